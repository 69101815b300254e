//! A failing case made smaller, as long as it fails.

use crate::Case;
use crate::query::{Expr, Query, Window};
use crate::value::Val;

/// The smallest case found that still fails.
pub(crate) fn smallest(mut case: Case, fails: &dyn Fn(&Case) -> bool) -> Case {
    loop {
        match smaller(&case).into_iter().find(|smaller| fails(smaller)) {
            Some(smaller) => case = smaller,
            None => return case,
        }
    }
}

fn smaller(case: &Case) -> Vec<Case> {
    let mut all = Vec::new();
    for place in 0..case.rules.len() {
        if case.rules.len() > 1 {
            let mut less = case.clone();
            less.rules.remove(place);
            all.push(less);
        }
    }
    let many = case.events.len();
    for length in [many / 2, many / 4, 3, 1] {
        for start in (0..many).step_by(length.max(1)) {
            let end = (start + length).min(many);
            if length == 0 || end - start == many {
                continue;
            }
            let mut less = case.clone();
            less.events.drain(start..end);
            for rule in &mut less.rules {
                for bound in [&mut rule.from, &mut rule.to] {
                    if *bound != usize::MAX && *bound > start {
                        *bound = bound.saturating_sub(end - start).max(start);
                    }
                }
            }
            all.push(less);
        }
    }
    for place in 0..case.rules.len() {
        for query in simpler(&case.rules[place].query) {
            let mut less = case.clone();
            less.rules[place].query = query;
            all.push(less);
        }
        let rule = &case.rules[place];
        if rule.stateful || rule.from > 0 || rule.to < usize::MAX {
            for field in 0..3 {
                let mut less = case.clone();
                let rule = &mut less.rules[place];
                match field {
                    0 if rule.stateful => rule.stateful = false,
                    1 if rule.from > 0 => rule.from = 0,
                    2 if rule.to < usize::MAX => rule.to = usize::MAX,
                    _ => continue,
                }
                all.push(less);
            }
        }
    }
    all
}

fn simpler(query: &Query) -> Vec<Query> {
    let mut all = Vec::new();
    let mut with = |change: &dyn Fn(&mut Query)| {
        let mut less = query.clone();
        change(&mut less);
        if less.sql_key() != query.sql_key() && less.gives_groups() == query.gives_groups() {
            all.push(less);
        }
    };
    with(&|q| q.filter = None);
    with(&|q| q.window_filter = None);
    with(&|q| q.having = None);
    with(&|q| {
        q.distinct = false;
        q.order.clear();
        q.limit = None;
    });
    with(&|q| q.limit = None);
    with(&|q| q.distinct = false);
    with(&|q| {
        if let Some(Window::Sliding(_, _, trigger)) = &mut q.window {
            *trigger = None;
        }
    });
    with(&|q| {
        if let Some(Window::State(_, _, partition)) = &mut q.window {
            partition.clear();
        }
    });
    for place in 0..expressions(&mut query.clone()).len() {
        let whole = expressions(&mut query.clone())[place].clone();
        for less in less(&whole) {
            with(&|q| *expressions(q)[place] = less.clone());
        }
    }
    if query.order.is_empty() {
        for place in 0..query.select.len() {
            with(&|q| {
                if q.select.len() + q.group.len() > 1 {
                    q.select.remove(place);
                }
            });
        }
        for place in 0..query.group.len() {
            with(&|q| {
                q.group.remove(place);
            });
        }
    }
    all
}

/// All expressions of a query that stand alone.
fn expressions(query: &mut Query) -> Vec<&mut Expr> {
    let mut all: Vec<&mut Expr> = query.select.iter_mut().collect();
    all.extend(&mut query.filter);
    all.extend(&mut query.window_filter);
    all.extend(&mut query.having);
    all.extend(query.joins.iter_mut().filter_map(|(_, on)| on.as_mut()));
    match &mut query.window {
        Some(Window::Sliding(_, _, trigger)) => all.extend(trigger),
        Some(Window::State(begin, end, _)) => {
            all.push(begin);
            all.extend(end);
        }
        _ => {}
    }
    all
}

/// What may stand in the place of an expression and is smaller.
fn less(expr: &Expr) -> Vec<Expr> {
    let mut all: Vec<Expr> = expr.clone().parts().into_iter().map(|part| part.clone()).collect();
    match expr {
        Expr::Op("=" | "<>" | "<" | "<=" | ">" | ">=", ..) | Expr::Not(_) | Expr::Is(..) | Expr::In(..) => {
            all.push(Expr::Const(Val::Bool(true)));
        }
        Expr::Aggregate(aggregate) => {
            let mut plain = aggregate.clone();
            plain.filter = None;
            plain.distinct = false;
            all.push(Expr::Aggregate(plain));
        }
        Expr::Analytic(analytic) => {
            let mut plain = analytic.clone();
            plain.when = None;
            all.push(Expr::Analytic(plain.clone()));
            plain.partition.clear();
            all.push(Expr::Analytic(plain));
        }
        _ => {}
    }
    for place in 0..expr.clone().parts().len() {
        let part = expr.clone().parts()[place].clone();
        for smaller in less(&part) {
            let mut whole = expr.clone();
            *whole.parts()[place] = smaller;
            all.push(whole);
        }
    }
    all.retain(|smaller| format!("{smaller:?}").len() < format!("{expr:?}").len());
    all
}

impl Query {
    /// Differs where the query does.
    fn sql_key(&self) -> String {
        format!("{self:?}")
    }
}
