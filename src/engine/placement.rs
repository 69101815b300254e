//! Where a rule stands in the index of each stream that it reads: for people who ask why it is cheap or
//! dear.

use super::Engine;
use super::feed::streams;
use super::index::{Atom, Placed, Test};
use super::unit::Unit;
use crate::model::value::Value;
use crate::plan::explain;
use crate::plan::logical::{BinaryOp, RulePlan, Side};

/// How rows of one stream find a rule.
#[derive(Clone, Debug, PartialEq)]
pub struct Placement {
    /// The stream, by its place in the plan.
    pub stream: usize,
    /// The ways to the rule: one for each alternative of its condition. None where no row can matter.
    pub ways: Vec<Way>,
    /// Why every row of the stream is shown to the rule, if it is.
    pub open: Option<Open>,
}

/// One way to a rule: what a row must have to be shown to it.
#[derive(Clone, Debug, PartialEq)]
pub struct Way {
    /// The equality by which the row is looked up, such as `device = 'd1'`; it costs the same for any
    /// number of rules. Without it the row is held against the threshold of each such rule.
    pub equal: Option<String>,
    /// The comparison by which the rules with that equality are sorted, such as `t > 61.5`: those whose it is
    /// not are not looked at.
    pub threshold: Option<String>,
    /// What is checked where both are true.
    pub residual: Vec<String>,
    /// Whether nothing else need be asked to know that the rule's condition is true.
    pub exact: bool,
    /// How many rules' ways have the same equality, this one included.
    pub shared: usize,
    /// How many of them are sorted by the same field.
    pub sorted: usize,
}

/// Why every row of a stream is shown to a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Open {
    /// The engine has no index.
    NoIndex,
    /// It joins: any row may have partners.
    Joins,
    /// Its analytic functions look at every row, and it is not one that shares what they say.
    Analytics,
    /// A row that its window does not take still tells the window the time. Only an equality on the
    /// stream's KEY, by which it groups, spares it rows.
    Window,
    /// Neither WHERE nor `when` compares a field with a constant in a way that an index knows.
    Condition,
}

impl Open {
    /// A sentence for people.
    pub const fn text(self) -> &'static str {
        match self {
            Self::NoIndex => "the index is switched off",
            Self::Joins => "it joins, and any row may have a partner",
            Self::Analytics => "its analytic functions look back over every row",
            Self::Window => "its window takes every row, or the time that it tells",
            Self::Condition => "its conditions compare no field with a constant",
        }
    }
}

impl Engine {
    /// Where a rule stands, for each stream that it reads.
    pub fn placements(&self, rule: usize) -> Vec<Placement> {
        let unit = self.units.of(rule);
        let recall = unit.and_then(|unit| unit.operator.recall());
        // Rules that share a window stand where the first of them does.
        let rule = unit.filter(|_| recall.is_none()).map_or(rule, Unit::leader);
        let (Some(plan), Some(gate), Ok(reader)) =
            (self.plan.rules.get(rule), self.gates.get(rule), u32::try_from(rule))
        else {
            return Vec::new();
        };
        let condition = match recall {
            Some(_) => gate.recalled(plan),
            None => gate.condition(&self.plan, plan),
        };
        let of = |stream: usize| {
            let (feed, spec) = (self.feeds.get(stream)?, self.plan.streams.get(stream)?);
            let open = (!self.config.index || condition.is_open()).then(|| self.why(plan));
            let readers = recall.map_or(&feed.readers, |recall| &recall.readers);
            let functions = recall.map_or(0, |_| plan.analytics.len());
            let shown = |atom: &Atom| match (atom.slot as usize).checked_sub(functions) {
                None => text(atom, &explain::function(&self.plan, plan, atom.slot as usize)),
                Some(slot) => text(atom, spec.fields.get(slot).map_or("?", |field| &*field.name)),
            };
            let ways =
                || readers.index.placed(reader, &condition).into_iter().map(|placed| way(placed, shown));
            let ways = if open.is_some() { Vec::new() } else { ways().collect() };
            Some(Placement { stream, ways, open })
        };
        streams(plan).filter_map(of).collect()
    }

    /// For how many rules the work of this one is done together: 1 where it shares with nobody.
    pub fn together(&self, rule: usize) -> usize {
        self.units.of(rule).map_or(1, |unit| unit.rules.len())
    }

    fn why(&self, rule: &RulePlan) -> Open {
        if !self.config.index {
            Open::NoIndex
        } else if !matches!(*rule.from.sides, [Side::Stream(_)]) {
            Open::Joins
        } else if !rule.analytics.is_empty() {
            Open::Analytics
        } else if rule.window.is_some() {
            Open::Window
        } else {
            Open::Condition
        }
    }
}

fn way(placed: Placed, shown: impl Fn(&Atom) -> String) -> Way {
    Way {
        equal: placed.equal.as_ref().map(&shown),
        threshold: placed.threshold.as_ref().map(&shown),
        residual: placed.residual.iter().map(&shown).collect(),
        exact: placed.exact,
        shared: placed.cluster,
        sorted: placed.beside,
    }
}

/// An atom over what is called so, as SQL has it.
fn text(atom: &Atom, name: &str) -> String {
    match &atom.test {
        Test::Compare(op, value) => format!("{name} {} {}", symbol(*op), constant(value)),
        Test::Among(list) => format!("{name} IN ({} values)", list.len()),
        Test::Prefix(prefix) => format!("{name} LIKE {}", constant(&Value::str(&format!("{prefix}%")))),
        Test::Null => format!("{name} IS NULL"),
        Test::NotNull => format!("{name} IS NOT NULL"),
    }
}

fn constant(value: &Value) -> String {
    match value {
        Value::Str(text) => format!("'{}'", text.replace('\'', "''")),
        other => other.to_string(),
    }
}

const fn symbol(op: BinaryOp) -> &'static str {
    match op {
        BinaryOp::Ne => "<>",
        BinaryOp::Lt => "<",
        BinaryOp::Le => "<=",
        BinaryOp::Gt => ">",
        BinaryOp::Ge => ">=",
        _ => "=",
    }
}
