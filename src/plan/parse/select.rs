//! `SELECT … FROM … WHERE … GROUP BY … HAVING …`. Parts of SQL that this version does not have
//! are named as such where they stand.

use super::Parser;
use crate::plan::report::Problem;
use crate::plan::syntax::{Call, Item, Kind as NodeKind, Name, Node, Select};
use crate::plan::token::Kind;

/// Windows of the language that this version does not have.
const LATER_WINDOWS: &[&str] =
    &["HOPPINGWINDOW", "SLIDINGWINDOW", "SESSIONWINDOW", "COUNTWINDOW", "STATEWINDOW"];

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
    "CROSS",
    "ON",
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
            return Err(self.not_yet("WITH is"));
        }
        if !self.peek().is_word("SELECT") {
            return Err(self.expected("SELECT"));
        }
        self.next();
        if self.peek().is_word("DISTINCT") {
            return Err(self.not_yet("SELECT DISTINCT is"));
        }
        let mut items = vec![self.item()?];
        while self.take(",") {
            items.push(self.item()?);
        }
        if !self.peek().is_word("FROM") {
            return Err(match self.peek().kind {
                Kind::Word(_) | Kind::Quoted(_) => self.expected("`,` or FROM").hint("name a column with AS"),
                _ => self.expected("`,` or FROM"),
            });
        }
        self.next();
        if self.peek().is("(") {
            return Err(self.not_yet("a query in FROM is"));
        }
        let stream = self.name("a stream's name")?;
        let alias = self.alias()?;
        self.refuse_join()?;
        let filter = if self.take_word("WHERE") { Some(self.expr()?) } else { None };
        let (group, window) = self.group_by()?;
        let having = if self.take_word("HAVING") { Some(self.expr()?) } else { None };
        self.refuse_tail()?;
        let mut select = Select { items, stream, alias, filter, group, window, having };
        select.unqualify();
        Ok(select)
    }

    fn not_yet(&self, what: &str) -> Problem {
        Problem::new("not-yet", self.peek().place, format!("{what} not supported by this version"))
    }

    fn item(&mut self) -> Result<Item, Problem> {
        if self.peek().is("*") {
            return Ok(Item::All(self.next().place));
        }
        let first = self.at;
        let node = self.expr()?;
        let text = self.slice(first);
        let alias = if self.take_word("AS") { Some(self.name("the column's name after AS")?) } else { None };
        Ok(Item::Expr { node, alias, text })
    }

    fn alias(&mut self) -> Result<Option<Name>, Problem> {
        if self.take_word("AS") {
            return self.name("the stream's alias after AS").map(Some);
        }
        match &self.peek().kind {
            Kind::Word(word) if !CLAUSES.iter().any(|c| word.eq_ignore_ascii_case(c)) => {
                self.name("an alias").map(Some)
            }
            Kind::Quoted(_) => self.name("an alias").map(Some),
            _ => Ok(None),
        }
    }

    fn refuse_join(&self) -> Result<(), Problem> {
        let joins = ["JOIN", "INNER", "LEFT", "RIGHT", "FULL", "CROSS"];
        if self.peek().is(",") || joins.iter().any(|word| self.peek().is_word(word)) {
            return Err(self.not_yet("a join is"));
        }
        Ok(())
    }

    fn refuse_tail(&self) -> Result<(), Problem> {
        let refused = [
            ("ORDER", "ORDER BY means nothing on a stream: rows come in the order of their time"),
            ("LIMIT", "LIMIT means nothing on a stream: a rule sees every row"),
            ("OFFSET", "OFFSET means nothing on a stream: a rule sees every row"),
            ("UNION", "UNION is not supported; write one rule for each query"),
            ("EXCEPT", "EXCEPT is not supported"),
            ("INTERSECT", "INTERSECT is not supported"),
        ];
        for (word, message) in refused {
            if self.peek().is_word(word) {
                return Err(Problem::new("unsupported", self.peek().place, message));
            }
        }
        for (word, after) in [("WHERE", "FROM"), ("GROUP", "WHERE")] {
            if self.peek().is_word(word) {
                let message = format!("{word} stands too late: it comes after {after}");
                return Err(Problem::new("syntax", self.peek().place, message));
            }
        }
        Ok(())
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
                    let upper = call.name.text.to_uppercase();
                    if upper != "TUMBLINGWINDOW" && !LATER_WINDOWS.contains(&upper.as_str()) {
                        let message = format!("no window `{}`", call.name.text);
                        let problem = Problem::new("unknown-function", call.name.place, message);
                        return Err(problem.hint("write GROUP BY …, TUMBLINGWINDOW(ss, 10)"));
                    }
                    if LATER_WINDOWS.contains(&upper.as_str()) {
                        let message = format!("{upper} is not supported by this version");
                        return Err(Problem::new("not-yet", call.name.place, message)
                            .hint("TUMBLINGWINDOW(ss, 10) is"));
                    }
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
}

fn is_window(name: &str) -> bool {
    name.to_uppercase().ends_with("WINDOW")
}

impl Select {
    fn unqualify(&mut self) {
        let mut own = vec![self.alias.as_ref().unwrap_or(&self.stream).text.clone()];
        if self.alias.is_some() {
            own.push(self.stream.text.clone());
        }
        let own: Vec<&str> = own.iter().map(String::as_str).collect();
        for item in &mut self.items {
            if let Item::Expr { node, .. } = item {
                node.unqualify(&own);
            }
        }
        let parts = self.filter.iter_mut().chain(&mut self.group).chain(&mut self.having);
        parts.for_each(|node| node.unqualify(&own));
    }
}
