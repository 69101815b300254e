//! `CREATE STREAM name (columns) WITH (options)` and the same of `CREATE TABLE`: the shape; what the
//! options mean is `declare`'s.

use super::Parser;
use crate::model::diagnostic::Place;
use crate::model::value::Value;
use crate::plan::report::Problem;
use crate::plan::syntax::{Create, CreateColumn, Name};
use crate::plan::token::Kind;

impl Parser<'_> {
    pub(super) fn create(&mut self) -> Result<Create, Problem> {
        if !self.peek().is_word("CREATE") {
            return Err(self.expected("CREATE STREAM"));
        }
        self.next();
        let table = self.take_word("TABLE");
        if !table {
            self.expect_word("STREAM")?;
        }
        let name = self.name(if table { "the table's name" } else { "the stream's name" })?;
        let mut columns = Vec::new();
        if self.take("(") && !self.take(")") {
            loop {
                let name = self.name("a column's name")?;
                let ty = self.data_type()?;
                let default = if self.take_word("DEFAULT") { Some(self.literal()?) } else { None };
                columns.push(CreateColumn { name, ty, default });
                if !self.take(",") {
                    break;
                }
            }
            if !self.peek().is(")") {
                return Err(self.expected("`,` or `)` after the column"));
            }
            self.next();
        }
        if !self.peek().is_word("WITH") {
            return Err(self.expected("WITH (DATASOURCE='topic', …)"));
        }
        self.next();
        self.expect("(")?;
        let mut options = Vec::new();
        loop {
            let key = self.name("an option's name")?;
            self.expect("=")?;
            options.push((key, self.option_value()?));
            if !self.take(",") {
                break;
            }
        }
        if !self.peek().is(")") {
            return Err(self.expected("`,` or `)` after the option"));
        }
        self.next();
        Ok(Create { table, name, columns, options })
    }

    /// A constant behind DEFAULT.
    fn literal(&mut self) -> Result<(Value, Place), Problem> {
        let minus = self.peek().is("-");
        if minus {
            self.next();
        }
        let place = self.peek().place;
        let value = match &self.peek().kind {
            Kind::Number(digits) => self.number(digits, place, minus)?,
            Kind::Text(text) if !minus => Value::str(text),
            Kind::Word(word) if !minus && word.eq_ignore_ascii_case("TRUE") => Value::Bool(true),
            Kind::Word(word) if !minus && word.eq_ignore_ascii_case("FALSE") => Value::Bool(false),
            Kind::Word(word) if !minus && word.eq_ignore_ascii_case("NULL") => Value::Null,
            _ => return Err(self.expected("a constant after DEFAULT: a number, a text, TRUE or FALSE")),
        };
        self.next();
        Ok((value, place))
    }

    fn option_value(&mut self) -> Result<Name, Problem> {
        match &self.peek().kind {
            Kind::Text(text) | Kind::Quoted(text) | Kind::Word(text) | Kind::Number(text) => {
                let value = Name { text: text.clone(), place: self.peek().place };
                self.next();
                Ok(value)
            }
            _ => Err(self.expected("a value in single quotes")),
        }
    }
}
