//! A rule without a window: every row is judged at once, late or not. That an older row does not
//! override a newer one of its key is the alert stage's part.

use crate::engine::arrange::arrange;
use crate::engine::expr::{Env, Scope, value};
use crate::engine::judge::Line;
use crate::engine::work::Work;
use crate::engine::{join, judge};
use crate::model::alerting::RuleKind;
use crate::model::row::Row;
use crate::model::value::Value;
use crate::plan::logical::Expr;

/// Judges a row. A retained one tells a state, so it is no occurrence.
pub(super) fn push(work: &mut Work<'_>, row: &Row) {
    if row.retained && matches!(work.ctx.rule.alert.kind, RuleKind::Occurrence { .. }) {
        return;
    }
    let env = work.env(row.time);
    if work.gate.is_plain() {
        plain(work, row, &env);
    } else if work.ctx.rule.from.joins.is_empty() {
        judge(work, &[&row.slots], row, &env);
    } else {
        let (rows, refused) = join::at_entry(work.ctx, work.tables, &row.slots, &env);
        work.account.refused += refused;
        for sides in rows {
            judge(work, &sides, row, &env);
        }
    }
    work.settle(&env);
}

/// A row that gives one output row, and leaves nothing behind: most rules are such.
fn plain(work: &mut Work<'_>, row: &Row, env: &Env) {
    let rule = work.ctx.rule;
    let sides = [&*row.slots];
    let scope = Scope::row(&sides, &[], env);
    if !work.proved && !work.gate.admits(rule, scope.through(&rule.project), || work.is_awake(scope)) {
        return;
    }
    let of_row = |expr: &Expr| value(expr, scope);
    let (columns, key) = (rule.project.iter().map(of_row).collect(), rule.key.iter().map(of_row).collect());
    let line = Line { columns, key, order: Box::default() };
    judge::observe(work, line, env, row.time, row.retained);
}

fn judge(work: &mut Work<'_>, sides: &[&[Value]], row: &Row, env: &Env) {
    let rule = work.ctx.rule;
    let analytics = work.analytics(Scope::row(sides, &[], env));
    let scope = Scope::row(sides, &analytics, env);
    if !work.passes(scope) {
        return;
    }
    let mut hit = false;
    let mut lines = Vec::new();
    judge::lines(work.ctx, scope, |line| match rule.arrange {
        _ if !work.another_line() => {}
        Some(_) => lines.push((line, ())),
        None => {
            hit = true;
            judge::observe(work, line, env, row.time, row.retained);
        }
    });
    if let Some(plan) = &rule.arrange {
        arrange(plan, rule.visible, &mut lines);
        hit = !lines.is_empty();
        for (line, ()) in lines {
            judge::observe(work, line, env, row.time, row.retained);
        }
    }
    if hit {
        work.hit(scope);
    }
}
