//! A failing case made smaller, as long as it fails.

use crate::Case;
use crate::query::{Query, Window};

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

impl Query {
    /// Differs where the query does.
    fn sql_key(&self) -> String {
        format!("{self:?}")
    }
}
