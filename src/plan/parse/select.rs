//! `SELECT … FROM … WHERE … GROUP BY … HAVING … ORDER BY … LIMIT …`. What the language leaves out of
//! SQL is named as such where it stands.

use super::Parser;
use super::expr::subquery;
use crate::model::diagnostic::Place;
use crate::plan::logical::{Direction, JoinKind};
use crate::plan::nearest::nearest;
use crate::plan::report::Problem;
use crate::plan::syntax::{Call, Column, Item, Join, Kind as NodeKind, Name, Node, Select, Source};
use crate::plan::token::Kind;
use crate::plan::window::{WINDOWS, example};

/// How many sides FROM may have.
const MOST_SIDES: usize = 16;

/// Words that begin a part of a query, and so cannot be an alias without AS.
const CLAUSES: &[&str] = &[
    "WHERE",
    "GROUP",
    "HAVING",
    "ORDER",
    "LIMIT",
    "OFFSET",
    "UNION",
    "EXCEPT",
    "INTERSECT",
    "JOIN",
    "INNER",
    "LEFT",
    "RIGHT",
    "FULL",
    "OUTER",
    "CROSS",
    "NATURAL",
    "ON",
    "USING",
    "WINDOW",
    "FETCH",
    "FOR",
    "AS",
    "FROM",
    "SELECT",
];

impl Parser<'_> {
    pub(super) fn select(&mut self) -> Result<Select, Problem> {
        if self.peek().is_word("WITH") {
            let problem = self.unsupported("WITH is not supported: a rule is one query");
            return Err(problem.hint("use the output columns to the right of where they are named"));
        }
        if !self.peek().is_word("SELECT") {
            return Err(self.expected("SELECT"));
        }
        self.next();
        let distinct = self.peek().is_word("DISTINCT").then(|| self.next().place);
        let mut items = vec![self.item()?];
        while self.take(",") {
            items.push(self.item()?);
        }
        if !self.peek().is_word("FROM") {
            return Err(match self.peek().kind {
                Kind::Word(_) | Kind::Quoted(_) => {
                    let problem = self.expected("`,` or FROM");
                    if problem.hint.is_some() { problem } else { problem.hint("name a column with AS") }
                }
                _ => self.expected("`,` or FROM"),
            });
        }
        self.next();
        let from = self.from()?;
        let filter = if self.take_word("WHERE") { Some(self.expr()?) } else { None };
        let (group, window) = self.group_by()?;
        let having = if self.take_word("HAVING") { Some(self.expr()?) } else { None };
        let order = self.order_by()?;
        let limit = self.limit()?;
        self.refuse_tail()?;
        Ok(Select { distinct, items, from, filter, group, window, having, order, limit })
    }

    fn unsupported(&self, message: &str) -> Problem {
        Problem::new("unsupported", self.peek().place, message)
    }

    fn item(&mut self) -> Result<Item, Problem> {
        if self.peek().is("*") {
            let place = self.next().place;
            return self.all(place, None);
        }
        if self.ahead(1).is(".") && self.ahead(2).is("*") {
            let side = self.name("a stream's name")?;
            self.next();
            let place = side.place.through(self.next().place);
            return self.all(place, Some(side));
        }
        let first = self.at;
        let node = self.expr()?;
        let text = self.slice(first);
        let alias = if self.take_word("AS") { Some(self.name("the column's name after AS")?) } else { None };
        let invisible = self.take_word("INVISIBLE");
        Ok(Item::Expr(Column { node, alias, text, invisible }))
    }

    /// What may stand behind `*`.
    fn all(&mut self, place: Place, of: Option<Name>) -> Result<Item, Problem> {
        let mut except = Vec::new();
        let mut replace = Vec::new();
        if self.peek().is_word("EXCEPT") && self.ahead(1).is("(") {
            self.next();
            self.next();
            except.push(self.name("a column's name")?);
            while self.take(",") {
                except.push(self.name("a column's name")?);
            }
            self.expect(")")?;
        }
        if self.peek().is_word("REPLACE") && self.ahead(1).is("(") {
            self.next();
            self.next();
            loop {
                let node = self.expr()?;
                self.expect_word("AS")?;
                replace.push((node, self.name("the column's name after AS")?));
                if !self.take(",") {
                    break;
                }
            }
            self.expect(")")?;
        }
        Ok(Item::All { place, of, except, replace })
    }

    fn from(&mut self) -> Result<Vec<Source>, Problem> {
        let mut sides = vec![self.source(None)?];
        loop {
            if self.peek().is(",") {
                let problem = self.unsupported("FROM takes one stream or table, and joins to it");
                return Err(problem.hint("write INNER JOIN … ON …, or CROSS JOIN"));
            }
            let Some((kind, place)) = self.join()? else { return Ok(sides) };
            if sides.len() >= MOST_SIDES {
                let message = format!("FROM joins more than {MOST_SIDES} streams and tables");
                return Err(Problem::new("too-large", place, message).hint("split the rule"));
            }
            let mut source = self.source(Some(Join { kind, place, on: None }))?;
            let on = self.on(kind)?;
            source.join = Some(Join { kind, place, on });
            sides.push(source);
        }
    }

    fn source(&mut self, join: Option<Join>) -> Result<Source, Problem> {
        if self.peek().is("(") {
            return Err(subquery(self.peek().place));
        }
        let name = self.name("the name of a stream or table")?;
        let alias = self.alias()?;
        Ok(Source { name, alias, join })
    }

    /// The words of a join, where one begins here.
    fn join(&mut self) -> Result<Option<(JoinKind, Place)>, Problem> {
        let start = self.peek().place;
        let outer = [("LEFT", JoinKind::Left), ("RIGHT", JoinKind::Right), ("FULL", JoinKind::Full)];
        if self.peek().is_word("NATURAL") {
            let problem = self.unsupported("NATURAL JOIN is not supported");
            return Err(problem.hint("name the columns: INNER JOIN … ON a.x = b.x"));
        }
        let kind = if self.take_word("INNER") {
            JoinKind::Inner
        } else if self.take_word("CROSS") {
            JoinKind::Cross
        } else if let Some((_, kind)) = outer.into_iter().find(|(word, _)| self.take_word(word)) {
            self.take_word("OUTER");
            kind
        } else if self.peek().is_word("JOIN") {
            JoinKind::Inner
        } else {
            return Ok(None);
        };
        let end = self.expect_word("JOIN")?;
        Ok(Some((kind, start.through(end))))
    }

    fn on(&mut self, kind: JoinKind) -> Result<Option<Node>, Problem> {
        if self.peek().is_word("USING") {
            let problem = self.unsupported("USING is not supported");
            return Err(problem.hint("write ON a.x = b.x"));
        }
        match (kind, self.peek().is_word("ON")) {
            (JoinKind::Cross, true) => {
                let problem = Problem::new("syntax", self.peek().place, "CROSS JOIN takes no ON");
                Err(problem.hint("write INNER JOIN … ON …"))
            }
            (JoinKind::Cross, false) => Ok(None),
            (_, false) => {
                Err(self.expected("ON").hint("say which rows belong together, as in ON a.device = b.device"))
            }
            (_, true) => {
                self.next();
                self.expr().map(Some)
            }
        }
    }

    fn alias(&mut self) -> Result<Option<Name>, Problem> {
        if self.take_word("AS") {
            return self.name("the alias after AS").map(Some);
        }
        match &self.peek().kind {
            Kind::Word(word) if !CLAUSES.iter().any(|c| word.eq_ignore_ascii_case(c)) => {
                self.name("an alias").map(Some)
            }
            Kind::Quoted(_) => self.name("an alias").map(Some),
            _ => Ok(None),
        }
    }

    fn group_by(&mut self) -> Result<(Vec<Node>, Option<Call>), Problem> {
        let mut group = Vec::new();
        let mut window: Option<Call> = None;
        if !self.take_word("GROUP") {
            return Ok((group, window));
        }
        self.expect_word("BY")?;
        loop {
            let node = self.expr()?;
            match node.kind {
                NodeKind::Call(call) if is_window(&call.name.text) => {
                    known(&call.name)?;
                    if window.is_some() {
                        return Err(Problem::new("unsupported", call.name.place, "a query has one window"));
                    }
                    window = Some(*call);
                }
                _ => group.push(node),
            }
            if !self.take(",") {
                return Ok((group, window));
            }
        }
    }

    fn order_by(&mut self) -> Result<Vec<(Node, Direction)>, Problem> {
        let mut order = Vec::new();
        if !self.take_word("ORDER") {
            return Ok(order);
        }
        self.expect_word("BY")?;
        loop {
            let node = self.expr()?;
            let direction = if self.take_word("DESC") {
                Direction::Descending
            } else {
                self.take_word("ASC");
                Direction::Ascending
            };
            if self.peek().is_word("NULLS") {
                return Err(self.unsupported("NULL stands last, both ways round; NULLS cannot be said"));
            }
            order.push((node, direction));
            if !self.take(",") {
                return Ok(order);
            }
        }
    }

    fn limit(&mut self) -> Result<Option<(usize, Place)>, Problem> {
        if !self.peek().is_word("LIMIT") {
            return Ok(None);
        }
        let start = self.next().place;
        let number = match &self.peek().kind {
            Kind::Number(digits) => digits.parse::<usize>().ok(),
            _ => None,
        };
        let Some(number) = number else {
            return Err(self.expected("how many rows after LIMIT, a whole number"));
        };
        let place = start.through(self.next().place);
        Ok(Some((number, place)))
    }

    fn refuse_tail(&self) -> Result<(), Problem> {
        let refused = [
            ("OFFSET", "OFFSET is not supported; LIMIT takes the first rows"),
            ("UNION", "UNION is not supported; write one rule for each query"),
            ("EXCEPT", "EXCEPT between queries is not supported"),
            ("INTERSECT", "INTERSECT is not supported"),
            ("FETCH", "FETCH is not supported; write LIMIT"),
        ];
        for (word, message) in refused {
            if self.peek().is_word(word) {
                return Err(self.unsupported(message));
            }
        }
        let late = [
            ("WHERE", "FROM"),
            ("GROUP", "WHERE and before HAVING"),
            ("HAVING", "GROUP BY"),
            ("ORDER", "HAVING and before LIMIT"),
            ("JOIN", "FROM"),
        ];
        for (word, after) in late {
            if self.peek().is_word(word) {
                let message = format!("{word} stands too late: it comes after {after}");
                return Err(Problem::new("syntax", self.peek().place, message));
            }
        }
        Ok(())
    }
}

/// Whether this is called as a window is.
pub(super) fn is_window(name: &str) -> bool {
    name.to_uppercase().ends_with("WINDOW")
}

fn known(name: &Name) -> Result<(), Problem> {
    if WINDOWS.iter().any(|(window, _)| name.text.eq_ignore_ascii_case(window)) {
        return Ok(());
    }
    let problem = Problem::new("unknown-function", name.place, format!("no window `{}`", name.text));
    let near = nearest(&name.text, WINDOWS.iter().map(|window| window.0)).unwrap_or_default();
    Err(problem.hint(format!("write GROUP BY …, {}", example(near))))
}
