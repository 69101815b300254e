//! Expressions of a plan, written back as SQL.
//!
//! What a plan holds once and refers to by number (groups, aggregates, analytic functions) stands here where it
//! is used, as in the query. The text is for people: it is cut off where it gets too long to read.

use std::fmt::Write as _;

use crate::model::stream::FieldSource;
use crate::model::value::{DataType, Value};
use crate::plan::logical::{
    Aggregate, Analytic, AnalyticFunction, BinaryOp, Content, Expr, Gives, Plan, RulePlan, Side, UnaryOp,
};
use crate::plan::{aggregate, analytic};

/// A longer text is cut off: what refers to one part twice, over and over, would grow without end.
const LONGEST: usize = 2_000;

/// No readable expression is nested deeper.
const DEEPEST: usize = 300;

/// Words that have a meaning of their own where an expression may stand.
const KEYWORDS: &[&str] = &[
    "AND",
    "AS",
    "BETWEEN",
    "BY",
    "CASE",
    "CAST",
    "DISTINCT",
    "DIV",
    "ELSE",
    "END",
    "ESCAPE",
    "FALSE",
    "FILTER",
    "FROM",
    "FULL",
    "GROUP",
    "HAVING",
    "IN",
    "INNER",
    "IS",
    "JOIN",
    "LEFT",
    "LIKE",
    "LIMIT",
    "NOT",
    "NULL",
    "ON",
    "OR",
    "ORDER",
    "OVER",
    "PARTITION",
    "RIGHT",
    "SELECT",
    "THEN",
    "TRUE",
    "WHEN",
    "WHERE",
];

/// Which expressions the numbers in an expression count.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Terms {
    /// Those of rows: analytic functions are the rule's own.
    Rows,
    /// Those of groups: analytic functions are the window's.
    Groups,
}

/// How tightly an expression holds together, from the loosest to the tightest.
mod level {
    pub(super) const ANY: u8 = 0;
    pub(super) const OR: u8 = 1;
    pub(super) const AND: u8 = 2;
    pub(super) const NOT: u8 = 3;
    pub(super) const COMPARE: u8 = 4;
    pub(super) const CONCAT: u8 = 5;
    pub(super) const ADD: u8 = 6;
    pub(super) const MULTIPLY: u8 = 7;
    pub(super) const SIGN: u8 = 8;
    pub(super) const PATH: u8 = 9;
}

/// Writes the expressions of one rule.
#[derive(Clone, Copy)]
pub(super) struct Sql<'a> {
    pub(super) plan: &'a Plan,
    pub(super) rule: &'a RulePlan,
}

impl Sql<'_> {
    /// The expression as text.
    pub(super) fn text(self, expr: &Expr, terms: Terms) -> String {
        self.write(terms, |out| out.expr(expr, level::ANY))
    }

    /// The n-th aggregate as it stood in the query.
    pub(super) fn aggregate(self, n: usize) -> String {
        self.write(Terms::Groups, |out| out.expr(&Expr::Aggregate(n), level::ANY))
    }

    /// The n-th analytic function as it stood in the query.
    pub(super) fn analytic(self, n: usize, terms: Terms) -> String {
        self.write(terms, |out| out.expr(&Expr::Analytic(n), level::ANY))
    }

    /// What a side of FROM is called.
    pub(super) fn side(self, side: usize) -> String {
        let name = |side: &Side| match *side {
            Side::Stream(n) => self.plan.streams.get(n).map_or("?", |stream| &*stream.name).to_owned(),
            Side::Table(n) => self.plan.tables.get(n).map_or("?", |table| &*table.name).to_owned(),
        };
        let sides = &self.rule.from.sides;
        let Some(found) = sides.get(side).map(name) else { return "?".to_owned() };
        match sides.iter().filter(|other| name(other) == found).count() {
            0 | 1 => identifier(&found),
            // The aliases are gone by now; a stream joined with itself is told apart by its place.
            _ => identifier(&format!("{found}#{}", side + 1)),
        }
    }

    /// A column of a side as the query names it.
    pub(super) fn column(self, side: usize, slot: usize) -> String {
        let stream = |n: usize| {
            let field = self.plan.streams.get(n)?.fields.get(slot)?;
            Some(match &field.from {
                FieldSource::Path(path) if !path.is_empty() => {
                    path.iter().map(|name| identifier(name)).collect::<Vec<_>>().join("->")
                }
                FieldSource::Path(_) | FieldSource::Cell(_) | FieldSource::Capture(_) => {
                    identifier(&field.name)
                }
                // They are called as they are written: `meta(topic)`.
                FieldSource::Topic
                | FieldSource::Received
                | FieldSource::Source
                | FieldSource::Retained
                | FieldSource::Qos
                | FieldSource::Property(_) => field.name.to_string(),
            })
        };
        let column = match self.rule.from.sides.get(side) {
            Some(Side::Stream(n)) => stream(*n),
            Some(Side::Table(n)) => self.plan.tables.get(*n).and_then(|table| match &table.content {
                Content::Latest { stream: feed } => stream(*feed),
                Content::Fixed(_) => table.columns.get(slot).map(|name| identifier(name)),
            }),
            None => None,
        };
        let column = column.unwrap_or_else(|| format!("?{slot}"));
        match self.rule.from.sides.len() {
            0 | 1 => column,
            _ => format!("{}.{column}", self.side(side)),
        }
    }

    fn write(self, terms: Terms, what: impl FnOnce(&mut Writer<'_>)) -> String {
        let mut out = Writer { sql: self, terms, text: String::new(), depth: 0, cut: false };
        what(&mut out);
        if out.cut {
            out.text.push('…');
        }
        out.text
    }
}

struct Writer<'a> {
    sql: Sql<'a>,
    terms: Terms,
    text: String,
    depth: usize,
    cut: bool,
}

impl Writer<'_> {
    fn put(&mut self, text: &str) {
        if !self.cut {
            self.text.push_str(text);
        }
    }

    /// Writes an expression, in parentheses where it holds together more loosely than `least`.
    fn expr(&mut self, expr: &Expr, least: u8) {
        if self.cut || self.text.len() > LONGEST || self.depth > DEEPEST {
            self.cut = true;
            return;
        }
        self.depth += 1;
        match expr {
            Expr::Group(n) => self.group(*n, least),
            Expr::Column(n) => self.output(*n, least),
            _ if tightness(expr) < least => {
                self.put("(");
                self.bare(expr);
                self.put(")");
            }
            _ => self.bare(expr),
        }
        self.depth -= 1;
    }

    fn bare(&mut self, expr: &Expr) {
        match expr {
            Expr::Const(value) => self.put(&literal(value)),
            // The rule is shown with its constants in their places.
            Expr::Param(_) => self.put("?"),
            Expr::Field(side, slot) => {
                let column = self.sql.column(*side, *slot);
                self.put(&column);
            }
            Expr::Group(n) => self.group(*n, level::ANY),
            Expr::Aggregate(n) => self.aggregate(*n),
            Expr::Analytic(n) => self.analytic(*n),
            Expr::Column(n) => self.output(*n, level::ANY),
            Expr::Unnested => {
                self.put("unnest(");
                if let Some(array) = &self.sql.rule.unnest {
                    self.expr(array, level::ANY);
                }
                self.put(")");
            }
            Expr::EventTime => self.put("event_time()"),
            Expr::Now => self.put("now()"),
            Expr::WindowStart => self.put("window_start()"),
            Expr::WindowEnd => self.put("window_end()"),
            Expr::Unary(UnaryOp::Not, a) => self.prefixed("NOT ", a, level::NOT),
            Expr::Unary(UnaryOp::Neg, a) => self.prefixed("-", a, level::PATH),
            Expr::Binary(op, a, b) => self.binary(*op, a, b),
            Expr::And(list) => self.list(list, " AND ", level::NOT),
            Expr::Or(list) => self.list(list, " OR ", level::AND),
            Expr::IsNull(a) => self.followed(a, " IS NULL"),
            Expr::IsBool(a, wanted) => self.followed(a, if *wanted { " IS TRUE" } else { " IS FALSE" }),
            Expr::In(a, list) => {
                self.followed(a, " IN (");
                self.list(list, ", ", level::ANY);
                self.put(")");
            }
            Expr::InArray(a, array) => {
                self.followed(a, " IN ");
                self.expr(array, level::CONCAT);
            }
            Expr::Like { text, pattern, escape } => self.like(text, pattern, *escape),
            Expr::Case { branches, otherwise } => self.case(branches, otherwise.as_deref()),
            Expr::Cast(a, ty, _) => self.cast(a, ty),
            Expr::Member(a, name) => {
                self.expr(a, level::PATH);
                self.put("->");
                self.put(&identifier(name));
            }
            Expr::Element(a, index) => {
                self.expr(a, level::PATH);
                self.put("[");
                self.expr(index, level::ANY);
                self.put("]");
            }
            Expr::Slice(a, from, to) => {
                self.expr(a, level::PATH);
                self.put("[");
                from.iter().for_each(|from| self.expr(from, level::CONCAT));
                self.put(":");
                to.iter().for_each(|to| self.expr(to, level::CONCAT));
                self.put("]");
            }
            Expr::Call(function, args) => {
                self.put(function.name());
                self.put("(");
                self.list(args, ", ", level::ANY);
                self.put(")");
            }
            Expr::Prepared(function, fixed, args) => {
                self.put(function.name());
                self.put("(");
                let (mut args, mut fixed) = (args.iter(), fixed.iter());
                for n in 0..args.len() + fixed.len() {
                    self.put(if n == 0 { "" } else { ", " });
                    let constant = if function.is_fixed(n) { fixed.next() } else { None };
                    match constant {
                        Some(constant) => self.put(&quoted(&constant.to_string())),
                        None => args.next().into_iter().for_each(|arg| self.expr(arg, level::ANY)),
                    }
                }
                self.put(")");
            }
        }
    }

    fn prefixed(&mut self, sign: &str, a: &Expr, least: u8) {
        self.put(sign);
        self.expr(a, least);
    }

    fn followed(&mut self, a: &Expr, tail: &str) {
        self.expr(a, level::CONCAT);
        self.put(tail);
    }

    fn list(&mut self, list: &[Expr], between: &str, least: u8) {
        for (i, expr) in list.iter().enumerate() {
            if i > 0 {
                self.put(between);
            }
            self.expr(expr, least);
        }
    }

    fn binary(&mut self, op: BinaryOp, a: &Expr, b: &Expr) {
        let own = of_operator(op);
        // Comparisons have no sides to lean to; all else leans to the left.
        let left = if own == level::COMPARE { level::CONCAT } else { own };
        self.expr(a, left);
        self.put(&format!(" {} ", op.symbol()));
        self.expr(b, own + 1);
    }

    fn like(&mut self, text: &Expr, pattern: &Expr, escape: Option<char>) {
        self.followed(text, " LIKE ");
        self.expr(pattern, level::CONCAT);
        if let Some(escape) = escape {
            self.put(" ESCAPE ");
            self.put(&quoted(&escape.to_string()));
        }
    }

    fn case(&mut self, branches: &[(Expr, Expr)], otherwise: Option<&Expr>) {
        self.put("CASE");
        for (when, then) in branches {
            self.put(" WHEN ");
            self.expr(when, level::ANY);
            self.put(" THEN ");
            self.expr(then, level::ANY);
        }
        if let Some(otherwise) = otherwise {
            self.put(" ELSE ");
            self.expr(otherwise, level::ANY);
        }
        self.put(" END");
    }

    fn cast(&mut self, a: &Expr, ty: &DataType) {
        self.put("CAST(");
        self.expr(a, level::ANY);
        self.put(&format!(" AS {ty})"));
    }

    /// What belongs to rows, while groups are being written.
    fn in_rows(&mut self, write: impl FnOnce(&mut Self)) {
        let before = std::mem::replace(&mut self.terms, Terms::Rows);
        write(self);
        self.terms = before;
    }

    fn group(&mut self, n: usize, least: u8) {
        let rule = self.sql.rule;
        match rule.window.as_ref().and_then(|window| window.group.get(n)) {
            Some(expr) => self.in_rows(|out| out.expr(expr, least)),
            None => self.put("?"),
        }
    }

    fn aggregate(&mut self, n: usize) {
        let rule = self.sql.rule;
        let Some(aggregate) = rule.window.as_ref().and_then(|window| window.aggregates.get(n)) else {
            return self.put("?");
        };
        let Aggregate { function, args, filter, distinct } = aggregate;
        self.in_rows(|out| {
            out.put(aggregate::name(*function));
            out.put(if *distinct { "(DISTINCT " } else { "(" });
            match args.as_slice() {
                [] => out.put("*"),
                args => out.list(args, ", ", level::ANY),
            }
            out.put(")");
            if let Some(filter) = filter {
                out.put(" FILTER (WHERE ");
                out.expr(filter, level::ANY);
                out.put(")");
            }
        });
    }

    fn analytic(&mut self, n: usize) {
        let rule = self.sql.rule;
        let known = match (self.terms, &rule.window) {
            (Terms::Groups, Some(window)) => window.analytics.get(n),
            _ => rule.analytics.get(n),
        };
        let Some(Analytic { function, args, partition, when }) = known else { return self.put("?") };
        self.put(analytic::name(*function));
        self.put("(");
        match (function, args.as_slice()) {
            (AnalyticFunction::AccCount, []) => self.put("*"),
            (_, args) => self.list(args, ", ", level::ANY),
        }
        self.put(")");
        if partition.is_empty() && when.is_none() {
            return;
        }
        self.put(" OVER (");
        if !partition.is_empty() {
            self.put("PARTITION BY ");
            self.list(partition, ", ", level::ANY);
        }
        if let Some(when) = when {
            self.put(if partition.is_empty() { "WHEN " } else { " WHEN " });
            self.expr(when, level::ANY);
        }
        self.put(")");
    }

    /// An output column by its name; one that is INVISIBLE has none any more, and stands as it was made.
    fn output(&mut self, n: usize, least: u8) {
        let rule = self.sql.rule;
        if let Some(name) = rule.alert.columns.get(n) {
            return self.put(&identifier(name));
        }
        let terms = self.sql.output_terms();
        let before = std::mem::replace(&mut self.terms, terms);
        match rule.project.get(n) {
            Some(expr) => self.expr(expr, least),
            None => self.put("?"),
        }
        self.terms = before;
    }
}

impl Sql<'_> {
    /// The terms that output columns are in.
    pub(super) fn output_terms(self) -> Terms {
        match &self.rule.window {
            Some(window) if window.gives == Gives::Groups => Terms::Groups,
            _ => Terms::Rows,
        }
    }
}

fn tightness(expr: &Expr) -> u8 {
    match expr {
        Expr::Or(_) => level::OR,
        Expr::And(_) => level::AND,
        Expr::Unary(UnaryOp::Not, _) => level::NOT,
        Expr::IsNull(_) | Expr::IsBool(..) | Expr::In(..) | Expr::InArray(..) | Expr::Like { .. } => {
            level::COMPARE
        }
        Expr::Binary(op, ..) => of_operator(*op),
        Expr::Unary(UnaryOp::Neg, _) => level::SIGN,
        Expr::Const(value) if literal(value).starts_with('-') => level::SIGN,
        _ => level::PATH,
    }
}

const fn of_operator(op: BinaryOp) -> u8 {
    match op {
        BinaryOp::Eq | BinaryOp::Ne | BinaryOp::Lt | BinaryOp::Le | BinaryOp::Gt | BinaryOp::Ge => {
            level::COMPARE
        }
        BinaryOp::Concat => level::CONCAT,
        BinaryOp::Add | BinaryOp::Sub => level::ADD,
        BinaryOp::Mul | BinaryOp::Div | BinaryOp::IntDiv | BinaryOp::Rem => level::MULTIPLY,
    }
}

/// A constant as it is written in a query, where a query can write it.
fn literal(value: &Value) -> String {
    match value {
        Value::Null => "NULL".to_owned(),
        Value::Bool(true) => "TRUE".to_owned(),
        Value::Bool(false) => "FALSE".to_owned(),
        Value::Int(n) => n.to_string(),
        Value::Float(x) => format!("{x:?}"),
        Value::Str(text) => quoted(text),
        Value::Time(at) => quoted(&at.to_string()),
        Value::Bytes(_) => format!("X'{value}'"),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(literal).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Struct(_) => value.to_string(),
    }
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// A name, in backticks where it is no plain word.
pub(super) fn identifier(name: &str) -> String {
    let plain = name.chars().all(|c| c.is_alphanumeric() || c == '_')
        && name.chars().next().is_some_and(|c| c.is_alphabetic() || c == '_')
        && !KEYWORDS.iter().any(|word| word.eq_ignore_ascii_case(name));
    if plain {
        return name.to_owned();
    }
    let mut text = String::with_capacity(name.len() + 2);
    // Writing to a string cannot fail.
    write!(text, "`{}`", name.replace('`', "``")).unwrap_or_default();
    text
}
