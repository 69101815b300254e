//! Which rules hear of a window that closed. A rule whose HAVING compares an aggregate with a number
//! stands in a sorted list of such numbers: those for which it is true are found without a look at the
//! others. Where somebody watches which alerts are active, `when` serves as well: what does not raise
//! an alert that is not active is not given anyway.

use std::cmp::Ordering;

use super::aggregates::Aggregates;
use crate::engine::Context;
use crate::engine::watch::Watch;
use crate::model::alerting::RuleKind;
use crate::model::value::Value;
use crate::plan::logical::{BinaryOp, Expr, RulePlan};

/// The rules of one definition.
#[derive(Debug, Default)]
pub(super) struct Heard {
    /// All of them, in the order of the plan.
    pub(super) rules: Vec<usize>,
    /// How each of them calls the aggregates; none where all call them alike.
    views: Vec<usize>,
    /// Those that look at every window.
    always: Vec<usize>,
    /// Those in a list for their `when`, in the order of the plan: they also look while an alert of theirs
    /// is active.
    silent: Vec<usize>,
    lists: Vec<Thresholds>,
}

/// Rules that compare one aggregate in one way.
#[derive(Debug)]
struct Thresholds {
    aggregate: usize,
    op: BinaryOp,
    /// With what, ascending.
    sorted: Vec<(Value, usize)>,
}

impl Heard {
    /// Of these rules, which are in ascending order, each with its view of the aggregates.
    pub(super) fn new(ctx: Context<'_>, rules: Vec<(usize, usize)>, aggregates: &Aggregates) -> Self {
        let mut new = Self { rules: rules.iter().map(|(rule, _)| *rule).collect(), ..Self::default() };
        if aggregates.views.len() > 1 {
            new.views = rules.iter().map(|(_, view)| *view).collect();
        }
        for (rule, view) in &rules {
            let ctx = Context::new(ctx.plan, *rule, ctx.config);
            // What is arranged needs all lines at once.
            let having = ctx.having().filter(|_| ctx.arrange().is_none());
            let (gate, silent) = match having.and_then(|having| gate(ctx.rule, having, &[])) {
                None => (raises(ctx), true),
                having => (having, false),
            };
            let Some((aggregate, op, with)) = gate else {
                new.always.push(*rule);
                continue;
            };
            let aggregate = aggregates.views[*view].get(aggregate).copied().unwrap_or(usize::MAX);
            if silent {
                new.silent.push(*rule);
            }
            match new.lists.iter_mut().find(|list| list.aggregate == aggregate && list.op == op) {
                Some(list) => list.sorted.push((with, *rule)),
                None => new.lists.push(Thresholds { aggregate, op, sorted: vec![(with, *rule)] }),
            }
        }
        for list in &mut new.lists {
            list.sorted.sort_by(|(a, _), (b, _)| a.compare(b).unwrap_or(Ordering::Equal));
        }
        new
    }

    /// How a rule calls the aggregates.
    pub(super) fn view(&self, rule: usize) -> usize {
        let place = self.rules.binary_search(&rule).ok();
        place.and_then(|place| self.views.get(place)).copied().unwrap_or_default()
    }

    /// Those that a group with these aggregates may be of interest to: all who would give something out, and
    /// perhaps others; each once.
    pub(super) fn of(&self, aggregates: &[Value], watch: &Watch, rules: &mut Vec<usize>) {
        rules.clear();
        rules.extend(&self.always);
        for list in &self.lists {
            let Some(value) = aggregates.get(list.aggregate) else { continue };
            rules.extend(list.of(value).iter().map(|(_, rule)| *rule));
        }
        let found = rules.len();
        if !self.silent.is_empty() {
            let awake = watch.rules().map(|rule| rule as usize);
            rules.extend(awake.filter(|rule| self.silent.binary_search(rule).is_ok()));
        }
        if rules.len() > found {
            rules.sort_unstable();
            rules.dedup();
        }
    }
}

impl Thresholds {
    fn of(&self, value: &Value) -> &[(Value, usize)] {
        // Nothing compares with what is no number.
        if value.as_f64().is_none() {
            return &[];
        }
        // The numbers below the value, and those up to it. Most windows reach none of them, or all.
        let below = || self.upto(|with| with.compare(value).is_some_and(Ordering::is_lt));
        let upto = || self.upto(|with| with.compare(value).is_some_and(Ordering::is_le));
        let end = self.sorted.len();
        let range = match self.op {
            BinaryOp::Gt => 0..below(),
            BinaryOp::Ge => 0..upto(),
            BinaryOp::Lt => upto()..end,
            BinaryOp::Le => below()..end,
            _ => below()..upto(),
        };
        self.sorted.get(range).unwrap_or_default()
    }

    /// How many stand before the first of which this is not true.
    fn upto(&self, is: impl Fn(&Value) -> bool) -> usize {
        match (self.sorted.first(), self.sorted.last()) {
            (Some((first, _)), _) if !is(first) => 0,
            (_, Some((last, _))) if is(last) => self.sorted.len(),
            _ => self.sorted.partition_point(|(with, _)| is(with)),
        }
    }
}

/// The comparison without which a rule's `when` is not true, where nobody hears of what does not raise, and
/// nothing is lost by not looking at the rest of the rule: nothing in it counts as undefined.
fn raises(ctx: Context<'_>) -> Option<(usize, BinaryOp, Value)> {
    let silent = ctx.config.watched && matches!(ctx.rule.alert.kind, RuleKind::State { .. });
    let having = ctx.having().is_none_or(|having| match having {
        Expr::And(terms) => terms.iter().all(is_plain),
        one => is_plain(one),
    });
    let plain = ctx.arrange().is_none() && ctx.rule.project.iter().chain(&ctx.rule.key).all(is_leaf);
    let when = ctx.rule.when.as_ref().filter(|_| silent && having && plain)?;
    gate(ctx.rule, when, &ctx.rule.project)
}

/// The comparison of an aggregate with a number without which an expression is not true, if nothing is lost
/// by looking at no other part of it: nothing in them counts as undefined. `columns` are what the
/// expression means by columns.
fn gate(rule: &RulePlan, expr: &Expr, columns: &[Expr]) -> Option<(usize, BinaryOp, Value)> {
    let aggregate = |expr: &Expr| match expr {
        Expr::Aggregate(n) => Some(*n),
        Expr::Column(n) => match columns.get(*n) {
            Some(Expr::Aggregate(n)) => Some(*n),
            _ => None,
        },
        _ => None,
    };
    match expr {
        Expr::And(terms) if terms.iter().all(is_plain) => {
            terms.iter().find_map(|term| gate(rule, term, columns))
        }
        Expr::Binary(op, a, b) => match (aggregate(a), aggregate(b)) {
            (Some(n), None) => threshold(n, *op, rule.constant(b)?),
            (None, Some(n)) => threshold(n, op.turned(), rule.constant(a)?),
            _ => None,
        },
        _ => None,
    }
}

fn threshold(aggregate: usize, op: BinaryOp, with: &Value) -> Option<(usize, BinaryOp, Value)> {
    use BinaryOp::{Eq, Ge, Gt, Le, Lt};
    (matches!(op, Lt | Le | Gt | Ge | Eq) && with.as_f64().is_some()).then(|| (aggregate, op, with.clone()))
}

/// Whether it is made of comparisons of names and constants only.
fn is_plain(expr: &Expr) -> bool {
    use BinaryOp::{Eq, Ge, Gt, Le, Lt, Ne};
    match expr {
        Expr::Binary(Eq | Ne | Lt | Le | Gt | Ge, a, b) => is_leaf(a) && is_leaf(b),
        Expr::IsNull(a) => is_leaf(a),
        _ => false,
    }
}

/// Whether it is a constant or a name.
fn is_leaf(expr: &Expr) -> bool {
    matches!(
        expr,
        Expr::Const(_)
            | Expr::Param(_)
            | Expr::Group(_)
            | Expr::Aggregate(_)
            | Expr::Column(_)
            | Expr::WindowStart
            | Expr::WindowEnd
            | Expr::EventTime
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_rules_for_whom_it_is_true_are_found() {
        let numbers = [1.0, 2.0, 2.0, 3.0].map(Value::Float).into_iter().zip(0..).collect();
        let mut list = Thresholds { aggregate: 0, op: BinaryOp::Gt, sorted: numbers };
        let mut check = |op, value: &Value, expected: &[usize]| {
            list.op = op;
            assert_eq!(
                list.of(value).iter().map(|(_, rule)| *rule).collect::<Vec<_>>(),
                expected,
                "{op:?} {value}"
            );
        };
        let two = Value::Int(2);
        check(BinaryOp::Gt, &two, &[0]);
        check(BinaryOp::Ge, &two, &[0, 1, 2]);
        check(BinaryOp::Lt, &two, &[3]);
        check(BinaryOp::Le, &two, &[1, 2, 3]);
        check(BinaryOp::Eq, &two, &[1, 2]);
        for op in [BinaryOp::Gt, BinaryOp::Ge, BinaryOp::Lt, BinaryOp::Le, BinaryOp::Eq] {
            check(op, &Value::Null, &[]);
            check(op, &Value::str("x"), &[]);
        }
    }
}
