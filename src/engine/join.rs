//! Joins: of a row with tables when it comes, and of all rows of a window when it closes. Sides are
//! joined from left to right; what a condition says of NULL is no match.
//!
//! What one join may give and how many pairs it may look at is bounded, so that a condition that
//! holds too often costs its own rule rows, and nobody time. What is cut off is counted.

use std::collections::HashMap;
use std::sync::Arc;

use super::Context;
use super::expr::{Env, Scope, eval, holds};
use super::table::{Slots, Tables};
use crate::model::time::Timestamp;
use crate::model::value::Value;
use crate::plan::logical::{Join, JoinKind, Side};

/// The most rows that one join gives at once.
const MAX_ROWS: usize = 100_000;

/// About how many pairs one join looks at when a window closes.
const MAX_PAIRS: usize = 10_000_000;

/// About how many it looks at when a row comes, which happens more often.
const MAX_PAIRS_AT_ENTRY: usize = 1_000_000;

/// The combined rows that a row of the first side makes with the tables as they are, and how many
/// there was no room for.
pub(super) fn at_entry<'r>(
    ctx: Context<'_>,
    tables: &'r Tables,
    row: &'r [Value],
    env: &Env,
) -> (Vec<Vec<&'r [Value]>>, u64) {
    let mut combined: Vec<Vec<&[Value]>> = vec![vec![row]];
    let mut refused = 0;
    for (side, join) in ctx.rule.from.sides.iter().skip(1).zip(&ctx.rule.from.joins) {
        let mut next = Vec::new();
        let mut pairs = 0;
        for mut sides in combined {
            if pairs >= MAX_PAIRS_AT_ENTRY {
                refused += 1;
                continue;
            }
            let equal = wanted(join, &sides, env);
            let candidates = match side {
                Side::Table(table) => tables.candidates(*table, &equal),
                Side::Stream(_) => Vec::new(),
            };
            pairs += candidates.len();
            let mut alone = true;
            for candidate in candidates {
                sides.push(candidate);
                if matches(join, &sides, env) {
                    alone = false;
                    if next.len() < MAX_ROWS {
                        next.push(sides.clone());
                    } else {
                        refused += 1;
                    }
                }
                sides.pop();
            }
            if alone && matches!(join.kind, JoinKind::Left | JoinKind::Full) {
                sides.push(&[]);
                next.push(sides);
            }
        }
        combined = next;
    }
    (combined, refused)
}

/// A row of all sides; a side without a row has no slots.
#[derive(Clone, Debug)]
pub(super) struct Joined {
    /// The row of each side.
    pub(super) sides: Vec<Slots>,
    /// The latest time of the streams' rows in it; `None` where none has one.
    pub(super) time: Option<Timestamp>,
}

/// Joins the rows of a window: for each side that is a stream its rows, with their times, in order.
/// Also gives how many there was no room for.
pub(super) fn at_close(
    ctx: Context<'_>,
    tables: &Tables,
    streams: &mut [Vec<(Timestamp, Slots)>],
    env: &Env,
) -> (Vec<Joined>, u64) {
    let mut rows = |side: usize| -> Vec<(Option<Timestamp>, Slots)> {
        match ctx.rule.from.sides[side] {
            Side::Stream(_) => std::mem::take(&mut streams[side])
                .into_iter()
                .map(|(time, slots)| (Some(time), slots))
                .collect(),
            Side::Table(table) => tables.rows(table).into_iter().map(|row| (None, row.clone())).collect(),
        }
    };
    let mut joined: Vec<Joined> =
        rows(0).into_iter().map(|(time, slots)| Joined { sides: vec![slots], time }).collect();
    let mut refused = 0;
    for (at, join) in ctx.rule.from.joins.iter().enumerate() {
        let side = rows(at + 1);
        let step = Step::run(join, at + 1, joined, &side, env);
        joined = step.rows;
        refused += step.refused;
    }
    (joined, refused)
}

/// One join of many rows with many.
struct Step {
    rows: Vec<Joined>,
    refused: u64,
}

impl Step {
    fn run(
        join: &Join,
        width: usize,
        left: Vec<Joined>,
        right: &[(Option<Timestamp>, Slots)],
        env: &Env,
    ) -> Self {
        let index = index(join, right);
        let everything: Vec<usize> = (0..right.len()).collect();
        let none: Slots = Arc::from([]);
        let mut step = Self { rows: Vec::new(), refused: 0 };
        let mut met = vec![false; right.len()];
        let mut pairs = 0;
        for row in left {
            if pairs >= MAX_PAIRS {
                step.refused += 1;
                continue;
            }
            let mut sides: Vec<&[Value]> = row.sides.iter().map(|side| &**side).collect();
            let candidates = match &index {
                Some(index) => {
                    let equal: Vec<Value> = wanted(join, &sides, env).into_iter().map(|(_, v)| v).collect();
                    index.get(&equal).map_or(&[][..], Vec::as_slice)
                }
                None => &everything,
            };
            pairs += candidates.len();
            let mut alone = true;
            for &at in candidates {
                let (time, slots) = &right[at];
                sides.push(slots);
                if matches(join, &sides, env) {
                    (alone, met[at]) = (false, true);
                    step.give(&row, slots.clone(), row.time.max(*time));
                }
                sides.pop();
            }
            if alone && matches!(join.kind, JoinKind::Left | JoinKind::Full) {
                step.give(&row, none.clone(), row.time);
            }
        }
        if matches!(join.kind, JoinKind::Right | JoinKind::Full) {
            let nobody = Joined { sides: vec![none; width], time: None };
            for ((time, slots), _) in right.iter().zip(&met).filter(|(_, met)| !**met) {
                // Where pairs were left out, nobody knows which rows have no partner.
                match pairs < MAX_PAIRS {
                    true => step.give(&nobody, slots.clone(), *time),
                    false => step.refused += 1,
                }
            }
        }
        step
    }

    fn give(&mut self, row: &Joined, slots: Slots, time: Option<Timestamp>) {
        if self.rows.len() >= MAX_ROWS {
            self.refused += 1;
            return;
        }
        let mut sides = row.sides.clone();
        sides.push(slots);
        self.rows.push(Joined { sides, time });
    }
}

/// Which rows of the right side have which values in the slots that the join demands to be equal.
fn index(join: &Join, right: &[(Option<Timestamp>, Slots)]) -> Option<HashMap<Vec<Value>, Vec<usize>>> {
    if join.equal.is_empty() {
        return None;
    }
    let mut index: HashMap<Vec<Value>, Vec<usize>> = HashMap::new();
    for (at, (_, row)) in right.iter().enumerate() {
        let values = join.equal.iter().map(|(_, slot)| row.get(*slot).cloned().unwrap_or_default());
        index.entry(values.collect()).or_default().push(at);
    }
    Some(index)
}

/// The values that a partner of this row must have, with their slots.
fn wanted(join: &Join, sides: &[&[Value]], env: &Env) -> Vec<(usize, Value)> {
    let scope = Scope::row(sides, &[], env);
    join.equal.iter().map(|(expr, slot)| (*slot, eval(expr, scope).into_owned())).collect()
}

fn matches(join: &Join, sides: &[&[Value]], env: &Env) -> bool {
    join.on.as_ref().is_none_or(|on| holds(on, Scope::row(sides, &[], env)))
}
