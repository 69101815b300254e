//! Tokens into syntax trees, by recursive descent. Stops at the first syntax error of a text;
//! bounds nesting, height and size before anything walks the tree.

mod create;
mod expr;
mod select;
mod slip;

use super::Limits;
use super::report::Problem;
use super::syntax::{Create, Kind as NodeKind, Name, Node, Select};
use super::token::{Kind, Token, tokens};
use crate::model::diagnostic::Place;
use crate::model::value::{DataType, Value};

/// Reads a `CREATE STREAM` or `CREATE TABLE`.
///
/// # Errors
/// The first syntax error.
pub(super) fn create(text: &str, limits: &Limits) -> Result<Create, Problem> {
    let mut parser = Parser::new(text, limits)?;
    let create = parser.create()?;
    parser.end()?;
    Ok(create)
}

/// Reads a `SELECT`.
///
/// # Errors
/// The first syntax error.
pub(super) fn select(text: &str, limits: &Limits) -> Result<Select, Problem> {
    let mut parser = Parser::new(text, limits)?;
    let select = parser.select()?;
    parser.end()?;
    Ok(select)
}

/// Reads an expression.
///
/// # Errors
/// The first syntax error.
pub(super) fn expression(text: &str, limits: &Limits) -> Result<Node, Problem> {
    let mut parser = Parser::new(text, limits)?;
    let node = parser.expr()?;
    parser.end()?;
    Ok(node)
}

/// Reads the name of a type, as in `ARRAY(FLOAT)`.
///
/// # Errors
/// The first syntax error.
pub(super) fn data_type(text: &str, limits: &Limits) -> Result<DataType, Problem> {
    let mut parser = Parser::new(text, limits)?;
    let ty = parser.data_type()?;
    parser.end()?;
    Ok(ty)
}

/// The name in `CREATE STREAM name` and `CREATE TABLE name`, from a text that need not be right beyond
/// it.
pub(super) fn created_name(text: &str) -> Option<String> {
    let tokens = tokens(text).ok()?;
    let [create, what, name, ..] = tokens.as_slice() else { return None };
    let creates = create.is_word("CREATE") && (what.is_word("STREAM") || what.is_word("TABLE"));
    match &name.kind {
        Kind::Word(word) | Kind::Quoted(word) if creates => Some(word.clone()),
        _ => None,
    }
}

/// A place in the tokens of one text, and what was used of its caps.
struct Parser<'a> {
    text: &'a str,
    tokens: Vec<Token>,
    at: usize,
    nodes: usize,
    depth: usize,
    limits: &'a Limits,
}

impl<'a> Parser<'a> {
    fn new(text: &'a str, limits: &'a Limits) -> Result<Self, Problem> {
        if text.len() > limits.text_bytes {
            let message =
                format!("the text has {} bytes; at most {} are taken", text.len(), limits.text_bytes);
            return Err(Problem::new("too-large", Place::START, message));
        }
        Ok(Self { text, tokens: tokens(text)?, at: 0, nodes: 0, depth: 0, limits })
    }

    fn peek(&self) -> &Token {
        // The last token is the end, and nothing goes beyond it.
        &self.tokens[self.at]
    }

    fn ahead(&self, n: usize) -> &Token {
        &self.tokens[(self.at + n).min(self.tokens.len() - 1)]
    }

    fn last(&self) -> &Token {
        &self.tokens[self.at.saturating_sub(1)]
    }

    fn next(&mut self) -> Token {
        let token = self.tokens[self.at].clone();
        if self.at + 1 < self.tokens.len() {
            self.at += 1;
        }
        token
    }

    fn take(&mut self, symbol: &str) -> bool {
        let found = self.peek().is(symbol);
        if found {
            self.next();
        }
        found
    }

    fn take_word(&mut self, word: &str) -> bool {
        let found = self.peek().is_word(word);
        if found {
            self.next();
        }
        found
    }

    fn expect(&mut self, symbol: &str) -> Result<Place, Problem> {
        if self.peek().is(symbol) {
            Ok(self.next().place)
        } else {
            Err(self.expected(&format!("`{symbol}`")))
        }
    }

    fn expect_word(&mut self, word: &str) -> Result<Place, Problem> {
        if self.peek().is_word(word) { Ok(self.next().place) } else { Err(self.expected(word)) }
    }

    fn end(&mut self) -> Result<(), Problem> {
        while self.take(";") {}
        match self.peek().kind {
            Kind::End => Ok(()),
            _ => Err(self.expected("the end of the text")),
        }
    }

    /// A name: a bare word or a quoted one.
    fn name(&mut self, what: &str) -> Result<Name, Problem> {
        match &self.peek().kind {
            Kind::Word(text) | Kind::Quoted(text) => {
                let name = Name { text: text.clone(), place: self.peek().place };
                self.next();
                Ok(name)
            }
            _ => Err(self.expected(what)),
        }
    }

    /// Everything between two tokens, on one line and in lower case.
    fn slice(&self, first: usize) -> String {
        let range = self.tokens[first].bytes.start..self.last().bytes.end;
        let text = self.text.get(range).unwrap_or("");
        text.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase()
    }

    /// A node of the tree, counted against the caps.
    fn node(&mut self, kind: NodeKind, place: Place) -> Result<Node, Problem> {
        self.nodes += 1;
        if self.nodes > self.limits.nodes {
            let message = format!("the expression has more than {} parts", self.limits.nodes);
            return Err(Problem::new("too-large", place, message).hint("split the rule"));
        }
        let node = Node::new(kind, place);
        if node.height > self.limits.height() {
            let message = format!("the expression has more than {} levels", self.limits.height());
            return Err(Problem::new("too-deep", place, message).hint("split the rule"));
        }
        Ok(node)
    }

    fn too_deep(&self, place: Place) -> Problem {
        let message = format!("the expression is nested more than {} deep", self.limits.depth);
        Problem::new("too-deep", place, message).hint("split the rule")
    }

    /// Runs a part of the grammar one level further down.
    fn nested<T>(&mut self, part: impl FnOnce(&mut Self) -> Result<T, Problem>) -> Result<T, Problem> {
        self.depth += 1;
        if self.depth > self.limits.depth {
            return Err(self.too_deep(self.peek().place));
        }
        let found = part(self);
        self.depth -= 1;
        found
    }

    /// A type's name, as in `ARRAY(STRUCT(a FLOAT))`.
    fn data_type(&mut self) -> Result<DataType, Problem> {
        self.nested(Self::data_type_inner)
    }

    fn data_type_inner(&mut self) -> Result<DataType, Problem> {
        const KNOWN: &str = "BIGINT, FLOAT, STRING, BOOLEAN, DATETIME, BYTEA, ARRAY(…) or STRUCT(…)";
        let name = self.name("a type")?;
        let upper = name.text.to_uppercase();
        Ok(match upper.as_str() {
            "BIGINT" => DataType::Bigint,
            "FLOAT" => DataType::Float,
            "STRING" => DataType::String,
            "BOOLEAN" => DataType::Boolean,
            "DATETIME" => DataType::Datetime,
            "BYTEA" => DataType::Bytea,
            "ARRAY" => {
                self.expect("(")?;
                let of = self.data_type()?;
                self.expect(")")?;
                DataType::Array(Box::new(of))
            }
            "STRUCT" => {
                self.expect("(")?;
                let mut members: Vec<(String, DataType)> = Vec::new();
                loop {
                    let member = self.name("a member's name")?;
                    if members.iter().any(|(name, _)| *name == member.text) {
                        let message = format!("the member `{}` is there twice", member.text);
                        return Err(Problem::new("duplicate-column", member.place, message));
                    }
                    members.push((member.text, self.data_type()?));
                    if !self.take(",") {
                        break;
                    }
                }
                self.expect(")")?;
                DataType::Struct(members)
            }
            other => {
                let meant = match other {
                    "INT" | "INTEGER" | "SMALLINT" | "TINYINT" | "LONG" | "INT64" | "INT32" => Some("BIGINT"),
                    "DOUBLE" | "REAL" | "DECIMAL" | "NUMERIC" | "NUMBER" | "FLOAT64" => Some("FLOAT"),
                    "TEXT" | "VARCHAR" | "CHAR" => Some("STRING"),
                    "BOOL" => Some("BOOLEAN"),
                    "TIMESTAMP" | "DATE" | "TIME" => Some("DATETIME"),
                    "BYTES" | "BLOB" | "BINARY" => Some("BYTEA"),
                    "OBJECT" | "MAP" | "JSON" => Some("STRUCT(…)"),
                    _ => None,
                };
                let problem = Problem::new("unknown-type", name.place, format!("no type `{}`", name.text));
                return Err(match meant {
                    Some(meant) => problem.hint(format!("did you mean {meant}?")),
                    None => problem.hint(format!("the types are {KNOWN}")),
                });
            }
        })
    }

    /// A number as a value; `minus` stood before it.
    fn number(&self, digits: &str, place: Place, minus: bool) -> Result<Value, Problem> {
        let text = if minus { format!("-{digits}") } else { digits.to_owned() };
        if digits.bytes().all(|b| b.is_ascii_digit()) {
            return text.parse().map(Value::Int).map_err(|_| {
                Problem::new("bad-number", place, format!("{text} does not fit BIGINT (64 bits)"))
                    .hint(format!("as a FLOAT it is {text}.0"))
            });
        }
        match text.parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(Value::Float(number)),
            _ => Err(Problem::new("bad-number", place, format!("{text} does not fit FLOAT"))),
        }
    }
}
