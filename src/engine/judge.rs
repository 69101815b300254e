//! The end of every rule: an output row, its key, and what `when` and `clear` say of it.

use super::Context;
use super::expr::{Scope, eval, truth};
use crate::model::alerting::RuleKind;
use crate::model::row::Observation;
use crate::model::time::Timestamp;
use crate::model::value::Value;
use crate::plan::logical::Expr;

/// Projects and judges what `scope` holds.
pub(super) fn observe(ctx: Context<'_>, scope: Scope<'_>, at: Timestamp, retained: bool) -> Observation {
    let row = |exprs: &[Expr]| -> Box<[Value]> {
        exprs.iter().map(|expr| eval(expr, scope).into_owned()).collect()
    };
    let (values, key) = (row(&ctx.rule.project), row(&ctx.rule.key));
    let says = |expr: &Expr| truth(&eval(expr, Scope::output(&values, scope.env)));
    let raise = match (&ctx.rule.alert.kind, &ctx.rule.when) {
        (RuleKind::State { .. }, Some(when)) => says(when),
        (RuleKind::State { .. }, None) | (RuleKind::Occurrence { .. }, _) => Some(true),
    };
    let clear = match &ctx.rule.clear {
        Some(clear) => says(clear),
        None => raise.map(|raise| !raise),
    };
    Observation { rule: ctx.index, key, values, at, raise, clear, retained }
}
