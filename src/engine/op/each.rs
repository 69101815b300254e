//! A rule without a window: every row is judged at once, late or not. Holds no state; that an
//! older row does not override a newer one of its key is the alert stage's part.

use crate::engine::expr::{Env, Scope, holds};
use crate::engine::{Account, Context, judge};
use crate::model::alerting::RuleKind;
use crate::model::row::{Observation, Row};

/// The operator.
#[derive(Clone, Copy, Debug)]
pub(in crate::engine) struct Each;

impl Each {
    /// Judges a row. A retained one tells a state, so it is no occurrence.
    pub(super) fn push(self, ctx: Context<'_>, row: &Row, account: &mut Account, out: &mut Vec<Observation>) {
        if row.retained && matches!(ctx.rule.alert.kind, RuleKind::Occurrence { .. }) {
            account.retained += 1;
            return;
        }
        let env = Env { at: row.time, ..Env::default() };
        let sides = [&*row.slots];
        let scope = Scope::row(&sides, &[], &env);
        if ctx.rule.filter.as_ref().is_none_or(|filter| holds(filter, scope)) {
            account.matched += 1;
            out.push(judge::observe(ctx, scope, row.time, row.retained));
        }
    }
}
