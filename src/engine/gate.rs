//! What holds a rule's rows back, in which order it is asked, and how much of it an index can know.
//!
//! WHERE stops at its first term that is not true. Terms that have a value for every row come first, then
//! those that may have none: so it makes no difference to what is counted as undefined, nor to the
//! numbers of a generator, whether an index has answered for the former.

use super::expr::{Scope, holds};
use super::front;
use super::index::{Condition, Terms, is_total};
use crate::model::alerting::RuleKind;
use crate::plan::logical::{Expr, Plan, RulePlan, Side};

/// What is known of a rule's conditions before any row comes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Gate {
    /// The terms of WHERE that have a value for every row.
    total: u64,
}

impl Gate {
    /// The gate of a rule.
    pub(super) fn new(rule: &RulePlan) -> Self {
        Self { total: Terms::new(rule).total(terms(rule.filter.as_ref())) }
    }

    /// Whether WHERE is true.
    pub(super) fn passes(self, rule: &RulePlan, scope: Scope<'_>) -> bool {
        let terms = terms(rule.filter.as_ref());
        let asked = |total: bool| {
            let those = terms.iter().enumerate().filter(move |(at, _)| is_total(self.total, *at) == total);
            those.map(|(_, term)| term)
        };
        asked(true).chain(asked(false)).all(|term| holds(term, scope))
    }

    /// For which rows of a stream the rule must be asked. Of the others none would change anything but
    /// what is counted for the whole stream.
    pub(super) fn access(self, plan: &Plan, rule: &RulePlan) -> Condition {
        let [Side::Stream(stream)] = *rule.from.sides else { return Condition::open() };
        if !rule.analytics.is_empty() {
            return Condition::open();
        }
        let terms_of = Terms::new(rule);
        let filter = terms_of.all(terms(rule.filter.as_ref()), self.total);
        let Some(window) = &rule.window else { return filter };
        // A row that WHERE holds back still tells its lane the time, so all rows of a lane must come; those
        // of another lane need not.
        let Some(key) = plan.streams.get(stream).and_then(|stream| stream.key).filter(|_| window.by_key)
        else {
            return Condition::open();
        };
        let lane = window.group.iter().chain(front::keys(&window.kind));
        if !lane.into_iter().all(|expr| terms_of.has_value(expr)) {
            return Condition::open();
        }
        u32::try_from(key).map_or_else(|_| Condition::open(), |key| filter.only(key))
    }
}

/// Whether retained rows are not used, since they tell a state and no event.
pub(super) fn skips_retained(rule: &RulePlan) -> bool {
    rule.window.is_some() || matches!(rule.alert.kind, RuleKind::Occurrence { .. })
}

/// The terms of a condition: what AND connects.
fn terms(condition: Option<&Expr>) -> &[Expr] {
    match condition {
        None => &[],
        Some(Expr::And(terms)) => terms,
        Some(one) => std::slice::from_ref(one),
    }
}
