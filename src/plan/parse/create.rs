//! `CREATE STREAM name (columns) WITH (options)`: its shape; what the options mean is `stream`'s.

use super::Parser;
use crate::plan::report::Problem;
use crate::plan::syntax::{Create, Name};
use crate::plan::token::Kind;

impl Parser<'_> {
    pub(super) fn create(&mut self) -> Result<Create, Problem> {
        if !self.peek().is_word("CREATE") {
            return Err(self.expected("CREATE STREAM"));
        }
        self.next();
        if self.peek().is_word("TABLE") {
            let place = self.peek().place;
            return Err(Problem::new("not-yet", place, "tables are not supported by this version"));
        }
        self.expect_word("STREAM")?;
        let name = self.name("the stream's name")?;
        let mut columns = Vec::new();
        if self.take("(") && !self.take(")") {
            loop {
                let column = self.name("a column's name")?;
                columns.push((column, self.data_type()?));
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
        Ok(Create { name, columns, options })
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
