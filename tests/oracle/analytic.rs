//! Analytic functions, each from the list of all rows of its partition up to the present one.

use crate::aggregate::{best, mean, sum, variance};
use crate::value::{self, Val};

/// A row, as the function sees it.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) time: i64,
    pub(crate) args: Vec<Val>,
}

/// The value for the last of these rows.
pub(crate) fn value(function: &str, rows: &[Seen]) -> Val {
    let (now, before) = (&rows[rows.len() - 1], &rows[..rows.len() - 1]);
    let arg = |n: usize| now.args.get(n).cloned().unwrap_or(Val::Null);
    let given: Vec<Val> =
        rows.iter().map(|r| r.args.first().cloned().unwrap_or(Val::Null)).filter(|v| !v.is_null()).collect();
    let numbers: Vec<f64> = given.iter().filter_map(Val::number).collect();
    // The last row before this one that has a value.
    let previous = before.iter().rev().find(|row| row.args.first().is_some_and(|v| !v.is_null()));
    match function {
        "lag" => {
            let offset = match arg(1) {
                Val::Int(offset) => offset as usize,
                _ => 1,
            };
            let ignore_null = arg(3).is_true();
            let past: Vec<&Val> =
                before.iter().map(|row| &row.args[0]).filter(|v| !(ignore_null && v.is_null())).collect();
            if past.len() >= offset { past[past.len() - offset].clone() } else { arg(2) }
        }
        "latest" => given.last().cloned().unwrap_or_else(|| arg(1)),
        "had_changed" => {
            let ignore_null = arg(0).is_true();
            let any = (1..now.args.len()).any(|n| changed(ignore_null, n, rows));
            Val::Bool(any)
        }
        "changed_col" => {
            if changed(arg(0).is_true(), 1, rows) {
                arg(1)
            } else {
                Val::Null
            }
        }
        "acc_count" if now.args.is_empty() => Val::Int(rows.len() as i64),
        "acc_count" => Val::Int(given.len() as i64),
        "row_number" => Val::Int(rows.len() as i64),
        "acc_sum" | "acc_avg" | "acc_min" | "acc_max" if given.is_empty() => Val::Null,
        "acc_sum" => sum(&given),
        "acc_avg" => Val::float(mean(&numbers)),
        "acc_min" => best(&given, std::cmp::Ordering::Less),
        "acc_max" => best(&given, std::cmp::Ordering::Greater),
        "delay" => {
            let span = arg(0).number().unwrap_or(0.0) as i64 * 1_000;
            let old = rows.iter().filter(|row| row.time <= now.time - span);
            old.max_by_key(|row| row.time).map_or(Val::Null, |row| row.args[1].clone())
        }
        "ewma" => {
            let half_life = arg(1).number().unwrap_or(1.0);
            let mut mean: Option<(i64, f64)> = None;
            for row in rows {
                let Some(x) = row.args[0].number() else { continue };
                mean = Some(match mean {
                    None => (row.time, x),
                    Some((at, y)) => {
                        let seconds = ((row.time - at).max(0)) as f64 / 1e6;
                        (row.time, y + (1.0 - 2_f64.powf(-seconds / half_life)) * (x - y))
                    }
                });
            }
            mean.map_or(Val::Null, |(_, y)| Val::float(y))
        }
        "zscore" => {
            let Some(x) = arg(0).number() else { return Val::Null };
            let earlier = &numbers[..numbers.len() - 1];
            let deviation = if earlier.len() < 2 { 0.0 } else { variance(earlier).sqrt() };
            if deviation == 0.0 { Val::Null } else { Val::float((x - mean(earlier)) / deviation) }
        }
        "delta" | "increase" | "rate" => {
            let (x, Some(previous)) = (arg(0), previous) else { return Val::Null };
            if x.is_null() {
                return Val::Null;
            }
            let p = &previous.args[0];
            let reset = x.order(p) == Some(std::cmp::Ordering::Less);
            let increase = if reset && function != "delta" { x } else { value::subtract(&x, p) };
            let seconds = (now.time - previous.time) as f64 / 1e6;
            match function {
                "rate" if seconds > 0.0 => value::divide(&increase, &Val::Float(seconds)),
                "rate" => Val::Null,
                _ => increase,
            }
        }
        "time_in_state" => {
            let run = rows.iter().rev().take_while(|row| row.args[0].is_true());
            run.last().map_or(Val::Null, |first| Val::float((now.time - first.time) as f64 / 1e6))
        }
        other => unreachable!("analytic function {other}"),
    }
}

/// Whether the n-th argument differs from the last one that is remembered.
fn changed(ignore_null: bool, n: usize, rows: &[Seen]) -> bool {
    let remembered: Vec<&Val> =
        rows.iter().map(|row| &row.args[n]).filter(|v| !(ignore_null && v.is_null())).collect();
    let now = &rows[rows.len() - 1].args[n];
    if ignore_null && now.is_null() {
        return false;
    }
    match remembered.len() {
        0 | 1 => true,
        many => !now.same(remembered[many - 2]),
    }
}
