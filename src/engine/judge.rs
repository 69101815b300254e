//! The end of every rule: output rows, their keys, and what `when` and `clear` say of them.

use super::Context;
use super::expr::{Env, Scope, eval, holds, truth, value};
use super::work::Work;
use crate::model::alerting::RuleKind;
use crate::model::key::Key;
use crate::model::row::{Levels, Observation};
use crate::model::time::Timestamp;
use crate::model::value::Value;
use crate::plan::logical::{Expr, RulePlan};

/// One output row.
#[derive(Clone, Debug)]
pub(super) struct Line {
    /// The output columns, the invisible ones behind the others.
    pub(super) columns: Box<[Value]>,
    /// The key of the alert.
    pub(super) key: Key,
    /// The values of ORDER BY.
    pub(super) order: Box<[Value]>,
}

/// The output rows that a row or a group makes, if HAVING lets it: one, or with `unnest` one for each
/// element.
pub(super) fn lines(ctx: Context<'_>, scope: Scope<'_>, mut give: impl FnMut(Line)) {
    let Some(unnest) = &ctx.rule.unnest else {
        if let Some(line) = line(ctx, scope) {
            give(line);
        }
        return;
    };
    let Value::Array(elements) = eval(unnest, scope).into_owned() else { return };
    elements.iter().filter_map(|element| line(ctx, Scope { element: Some(element), ..scope })).for_each(give);
}

fn line(ctx: Context<'_>, scope: Scope<'_>) -> Option<Line> {
    if ctx.having().is_some_and(|having| !holds(having, scope)) {
        return None;
    }
    let order = ctx.arrange().map_or(&[][..], |arrange| &arrange.order);
    let order = order.iter().map(|(expr, _)| eval(expr, scope).into_owned()).collect();
    let row = |expr: &Expr| value(expr, scope);
    let (columns, key) = (ctx.rule.project.iter().map(row).collect(), ctx.rule.key.iter().map(row).collect());
    Some(Line { columns, key, order })
}

/// What the levels of a rule say, where it has any.
pub(super) fn levels(rule: &RulePlan, says: impl Fn(&Expr) -> Option<bool>) -> Levels {
    let mut found = Levels::default();
    for (at, level) in rule.levels.iter().enumerate() {
        let raise = says(&level.when);
        let clear = level.clear.as_ref().map_or(raise.map(|raise| !raise), &says);
        found.set(at, raise, clear);
    }
    found
}

/// Judges an output row and hands it out, unless it changes nothing.
pub(super) fn observe(work: &mut Work<'_>, line: Line, env: &Env, at: Timestamp, retained: bool) {
    let rule = work.ctx.rule;
    let says = |expr: &Expr| truth(&eval(expr, Scope::output(&line.columns, env)));
    let raise = match (&rule.alert.kind, &rule.when) {
        (RuleKind::State { .. }, Some(when)) if !work.is_raise_proved() => says(when),
        (RuleKind::State { .. } | RuleKind::Occurrence { .. }, _) => Some(true),
    };
    work.account.matched += u64::from(raise == Some(true));
    if !work.is_told(raise == Some(true), &line.key) {
        return;
    }
    let clear = match &rule.clear {
        Some(clear) => says(clear),
        None => raise.map(|raise| !raise),
    };
    let levels = levels(rule, says);
    let mut values = line.columns.into_vec();
    values.truncate(rule.visible);
    let (rule, key, order) = (work.ctx.index, line.key, work.order);
    work.out.push(Observation { rule, key, values, at, raise, clear, levels, retained, order });
}
