//! Aggregates, each from the list of all values.

use crate::eval::{At, History};
use crate::query::Aggregate;
use crate::value::{self, Val};

/// A value with the time of its row.
type Timed = (i64, Val);

/// The value of an aggregate over these rows, which are in the order of their times.
pub(crate) fn value(history: &History, asked: &Aggregate, rows: &[usize]) -> Val {
    let passing =
        rows.iter().filter(|row| asked.filter.as_ref().is_none_or(|f| history.holds(f, At::Row(**row))));
    let Some(arg) = &asked.arg else { return Val::Int(passing.count() as i64) };
    let mut all: Vec<Timed> = Vec::new();
    for row in passing {
        let value = history.eval(arg, At::Row(*row));
        let known = all.iter().any(|(_, other)| other.same(&value));
        if !(asked.distinct && known) {
            all.push((history.rows[*row].time, value));
        }
    }
    over(asked.function, asked.more.as_ref(), &all)
}

fn over(function: &str, more: Option<&Val>, all: &[Timed]) -> Val {
    let given: Vec<Timed> = all.iter().filter(|(_, v)| !v.is_null()).cloned().collect();
    let values: Vec<Val> = given.iter().map(|(_, v)| v.clone()).collect();
    let ignore_null = more.is_some_and(Val::is_true);
    match function {
        "count" => return Val::Int(values.len() as i64),
        "collect" if !all.is_empty() => return Val::List(all.iter().map(|(_, v)| v.clone()).collect()),
        "first_value" if !ignore_null => return all.first().map_or(Val::Null, |(_, v)| v.clone()),
        "last_value" if !ignore_null => return all.last().map_or(Val::Null, |(_, v)| v.clone()),
        _ => {}
    }
    if values.is_empty() {
        return Val::Null;
    }
    match function {
        "sum" => sum(&values),
        "avg" => Val::float(mean(&numbers(&values))),
        "min" => best(&values, std::cmp::Ordering::Less),
        "max" => best(&values, std::cmp::Ordering::Greater),
        "first_value" => values[0].clone(),
        "last_value" => values[values.len() - 1].clone(),
        "deduplicate" => {
            let mut different: Vec<Val> = Vec::new();
            for value in values {
                if !different.iter().any(|other| other.same(&value)) {
                    different.push(value);
                }
            }
            Val::List(different)
        }
        "median" => percentile(&values, 0.5),
        "percentile_cont" => percentile(&values, more.and_then(Val::number).unwrap_or(0.0)),
        "percentile_disc" => {
            let sorted = sorted(&values);
            let p = more.and_then(Val::number).unwrap_or(0.0);
            // The first value at or below which there is a share of at least p.
            let share = |n: usize| (n + 1) as f64 / sorted.len() as f64;
            (0..sorted.len()).find(|n| share(*n) >= p).map_or(Val::Null, |n| sorted[n].clone())
        }
        "var" => Val::float(variance(&numbers(&values))),
        "stddev" => Val::float(variance(&numbers(&values)).sqrt()),
        "vars" | "stddevs" if values.len() < 2 => Val::Null,
        "vars" => Val::float(sample_variance(&numbers(&values))),
        "stddevs" => Val::float(sample_variance(&numbers(&values)).sqrt()),
        "zscore" => {
            let numbers = numbers(&values);
            let deviation = variance(&numbers).sqrt();
            if numbers.len() < 2 || deviation == 0.0 {
                Val::Null
            } else {
                Val::float((numbers[numbers.len() - 1] - mean(&numbers)) / deviation)
            }
        }
        "delta" | "increase" | "rate" if values.len() < 2 => Val::Null,
        "delta" => value::subtract(&values[values.len() - 1], &values[0]),
        "increase" => increase(&values),
        "rate" => {
            let seconds = (given[given.len() - 1].0 - given[0].0) as f64 / 1e6;
            if seconds > 0.0 { value::divide(&increase(&values), &Val::Float(seconds)) } else { Val::Null }
        }
        "slope" => line(&given).map_or(Val::Null, |(slope, _)| Val::float(slope)),
        "predict" => {
            let ahead = more.and_then(Val::number).unwrap_or(0.0);
            line(&given).map_or(Val::Null, |(slope, at_last)| Val::float(at_last + slope * ahead))
        }
        other => unreachable!("aggregate {other}"),
    }
}

fn numbers(values: &[Val]) -> Vec<f64> {
    values.iter().filter_map(Val::number).collect()
}

/// An integer while all are, and it fits.
pub(crate) fn sum(values: &[Val]) -> Val {
    let whole: Option<Vec<i128>> = values
        .iter()
        .map(|v| match v {
            Val::Int(i) => Some(i128::from(*i)),
            _ => None,
        })
        .collect();
    match whole.map(|whole| whole.iter().sum::<i128>()) {
        Some(sum) => i64::try_from(sum).map_or(Val::float(sum as f64), Val::Int),
        None => Val::float(numbers(values).iter().sum()),
    }
}

pub(crate) fn mean(numbers: &[f64]) -> f64 {
    numbers.iter().sum::<f64>() / numbers.len() as f64
}

pub(crate) fn variance(numbers: &[f64]) -> f64 {
    let mean = mean(numbers);
    numbers.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / numbers.len() as f64
}

fn sample_variance(numbers: &[f64]) -> f64 {
    variance(numbers) * numbers.len() as f64 / (numbers.len() - 1) as f64
}

pub(crate) fn best(values: &[Val], wanted: std::cmp::Ordering) -> Val {
    values.iter().fold(Val::Null, |best, v| {
        if best.is_null() || v.order(&best) == Some(wanted) { v.clone() } else { best }
    })
}

fn sorted(values: &[Val]) -> Vec<Val> {
    let mut sorted = values.to_vec();
    sorted.sort_by(|a, b| a.order(b).unwrap_or(std::cmp::Ordering::Equal));
    sorted
}

/// Between the two values beside the place p·(n − 1).
fn percentile(values: &[Val], p: f64) -> Val {
    let sorted = numbers(&sorted(values));
    let place = p * (sorted.len() - 1) as f64;
    let (below, above) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
    Val::float(below + (above - below) * (place - place.floor()))
}

/// A fall is a reset: it counts from zero.
fn increase(values: &[Val]) -> Val {
    values.windows(2).fold(Val::Int(0), |total, pair| {
        let step = match pair[1].order(&pair[0]) {
            Some(std::cmp::Ordering::Less) => pair[1].clone(),
            _ => value::subtract(&pair[1], &pair[0]),
        };
        value::add(&total, &step)
    })
}

/// The least squares line: its slope a second, and its value at the last time.
fn line(given: &[Timed]) -> Option<(f64, f64)> {
    let last = given[given.len() - 1].0;
    let times: Vec<f64> = given.iter().map(|(at, _)| (at - last) as f64 / 1e6).collect();
    let values: Vec<f64> = given.iter().filter_map(|(_, v)| v.number()).collect();
    let (t, v) = (mean(&times), mean(&values));
    let below: f64 = times.iter().map(|x| (x - t) * (x - t)).sum();
    let above: f64 = times.iter().zip(&values).map(|(x, y)| (x - t) * (y - v)).sum();
    (below > 0.0).then(|| (above / below, v - above / below * t))
}
