//! The way of a row into a window: joined with tables, looked at by the analytic functions, held
//! against WHERE and FILTER, and cut down to what the query needs of it.

use super::aggregate::{Input, input};
use super::expr::{Env, Scope, eval, holds};
use super::held::Body;
use super::join;
use super::table::Slots;
use super::work::Work;
use crate::model::row::Row;
use crate::model::value::Value;
use crate::plan::logical::{Expr, Gives, Window, WindowKind};

/// A row at the door of a window.
#[derive(Debug)]
pub(super) struct Entrant {
    /// GROUP BY's values, then those of the window's PARTITION BY. Empty for a row that found no
    /// partner.
    pub(super) group: Vec<Value>,
    /// `None` where the row is held back: then it only tells the time.
    pub(super) entry: Option<Entry>,
}

/// A row that may enter.
#[derive(Debug)]
pub(super) struct Entry {
    /// See [`Held`](super::held::Held).
    pub(super) begins: bool,
    /// See [`Held`](super::held::Held).
    pub(super) ends: bool,
    /// What the query needs of it.
    pub(super) body: Body,
}

/// What a row of this side of FROM brings to the rule's window.
pub(super) fn entrants(work: &mut Work<'_>, window: &Window, side: usize, row: &Row) -> Vec<Entrant> {
    let env = work.env(row.time);
    let mut entrants = Vec::with_capacity(1);
    if work.ctx.rule.from.at_close {
        entrants.push(one_side(work, window, side, row, &env));
    } else if work.ctx.rule.from.joins.is_empty() {
        entrants.push(combined(work, window, &[&row.slots], &env));
    } else {
        let (rows, refused) = join::at_entry(work.ctx, work.tables, &row.slots, &env);
        work.account.refused += refused;
        entrants.extend(rows.iter().map(|sides| combined(work, window, sides, &env)));
        if rows.is_empty() {
            entrants.push(Entrant { group: Vec::new(), entry: None });
        }
    }
    work.settle(&env);
    entrants
}

/// A row that waits for those it is joined with. Only FILTER is asked: all else comes after the join.
fn one_side(work: &Work<'_>, window: &Window, side: usize, row: &Row, env: &Env) -> Entrant {
    let mut sides: Vec<&[Value]> = vec![&[]; work.ctx.rule.from.sides.len()];
    if let Some(own) = sides.get_mut(side) {
        *own = &row.slots;
    }
    let scope = Scope::row(&sides, &[], env);
    let entry = passes(window, scope).then(|| {
        let (begins, ends) = conditions(&window.kind, scope);
        Entry { begins, ends, body: Body::Side(side, row.slots.iter().cloned().collect()) }
    });
    Entrant { group: partition(&window.kind, scope), entry }
}

/// A row with its partners.
fn combined(work: &mut Work<'_>, window: &Window, sides: &[&[Value]], env: &Env) -> Entrant {
    let analytics = work.analytics(Scope::row(sides, &[], env));
    let scope = Scope::row(sides, &analytics, env);
    let mut group: Vec<Value> = window.group.iter().map(|expr| eval(expr, scope).into_owned()).collect();
    group.extend(partition(&window.kind, scope));
    if !work.passes(scope) || !passes(window, scope) {
        return Entrant { group, entry: None };
    }
    let (begins, ends) = conditions(&window.kind, scope);
    let body = match window.gives {
        Gives::Groups => Body::Inputs(inputs(window, scope)),
        Gives::Rows => Body::Row {
            sides: sides.iter().map(|side| side.iter().cloned().collect::<Slots>()).collect(),
            analytics: analytics.into(),
        },
    };
    Entrant { group, entry: Some(Entry { begins, ends, body }) }
}

/// What a row gives each aggregate.
pub(super) fn inputs(window: &Window, scope: Scope<'_>) -> Box<[Input]> {
    window.aggregates.iter().map(|aggregate| input(aggregate, scope)).collect()
}

fn passes(window: &Window, scope: Scope<'_>) -> bool {
    window.filter.as_ref().is_none_or(|filter| holds(filter, scope))
}

fn partition(kind: &WindowKind, scope: Scope<'_>) -> Vec<Value> {
    keys(kind).iter().map(|expr| eval(expr, scope).into_owned()).collect()
}

/// The further keys of a window.
pub(super) fn keys(kind: &WindowKind) -> &[Expr] {
    match kind {
        WindowKind::State { partition, .. } => partition,
        _ => &[],
    }
}

/// The conditions of the window's kind.
fn conditions(kind: &WindowKind, scope: Scope<'_>) -> (bool, bool) {
    match kind {
        WindowKind::Sliding { trigger, .. } => {
            (trigger.as_ref().is_none_or(|trigger| holds(trigger, scope)), false)
        }
        WindowKind::State { begin, end, .. } => {
            (holds(begin, scope), end.as_ref().is_some_and(|end| holds(end, scope)))
        }
        _ => (false, false),
    }
}
