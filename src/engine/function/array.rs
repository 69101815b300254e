//! The functions of arrays. Whether two elements are the same is GROUP BY's question: NULL is NULL.

use std::cmp::Ordering;
use std::collections::HashSet;

use super::{MAX_BYTES, MAX_ELEMENTS, call as call_function, choice, count, list, random, str, text};
use super::{fits, whole};
use crate::engine::expr::Env;
use crate::model::value::Value;
use crate::plan::function::{Array, Compiled};

pub(super) fn call(function: Array, fixed: &[Compiled], args: &[&Value], env: &Env) -> Value {
    match (function, args) {
        (Array::Create, _) => list(args.iter().map(|arg| (*arg).clone()).collect(), env),
        (Array::Concat, _) => concat(args, env),
        (Array::Repeat, [value, times]) => repeat(value, times, env),
        (Array::Sequence, [from, to]) => sequence(from, to, &Value::Int(1), env),
        (Array::Sequence, [from, to, step]) => sequence(from, to, step, env),
        (Array::Count, [Value::Struct(members)]) => count(members.len()),
        (_, [Value::Array(items)]) => match (function, fixed) {
            (Array::Map, [Compiled::Function(inner)]) => {
                list(items.iter().map(|item| call_function(*inner, &[], &[item], env)).collect(), env)
            }
            _ => alone(function, items, env),
        },
        (_, [Value::Array(a), Value::Array(b)])
            if matches!(function, Array::ContainsAny | Array::Except | Array::Intersect | Array::Union) =>
        {
            pair(function, a, b, env)
        }
        (Array::Join, [Value::Array(items), separator, rest @ ..]) => match (str(separator), rest) {
            (Some(separator), []) => join(items, separator, None, env),
            (Some(separator), [null]) => {
                str(null).map_or(Value::Null, |null| join(items, separator, Some(null), env))
            }
            _ => Value::Null,
        },
        (_, [Value::Array(items), value]) => search(function, items, value, env),
        _ => Value::Null,
    }
}

/// Of one array.
fn alone(function: Array, items: &[Value], env: &Env) -> Value {
    let present = || items.iter().filter(|item| !item.is_null()).collect::<Vec<_>>();
    match function {
        Array::Count => count(items.len()),
        Array::Cardinality => count(present().len()),
        Array::Avg => average(items),
        Array::Max => choice::extreme(&present(), Ordering::Greater),
        Array::Min => choice::extreme(&present(), Ordering::Less),
        Array::Distinct => {
            let mut seen = HashSet::new();
            list(items.iter().filter(|item| seen.insert(*item)).cloned().collect(), env)
        }
        Array::Flatten => {
            let inner = |item: &Value| match item {
                Value::Array(inner) => inner.to_vec(),
                other => vec![other.clone()],
            };
            // One element more than allowed is enough to know that there are too many.
            list(items.iter().flat_map(inner).take(MAX_ELEMENTS + 1).collect(), env)
        }
        Array::Sort => {
            let mut sorted = items.to_vec();
            sorted.sort_by(order);
            list(sorted, env)
        }
        Array::Shuffle => shuffle(items, env),
        _ => Value::Null,
    }
}

/// Of two arrays.
fn pair(function: Array, a: &[Value], b: &[Value], env: &Env) -> Value {
    let others: HashSet<&Value> = b.iter().collect();
    let mut seen = HashSet::new();
    let mut chosen = |wanted: bool| {
        let found = a.iter().filter(|item| others.contains(item) == wanted && seen.insert(*item));
        list(found.cloned().collect(), env)
    };
    match function {
        Array::ContainsAny => Value::Bool(a.iter().any(|item| others.contains(item))),
        Array::Except => chosen(false),
        Array::Intersect => chosen(true),
        Array::Union => list(a.iter().chain(b).filter(|item| seen.insert(*item)).cloned().collect(), env),
        _ => Value::Null,
    }
}

/// Of an array and a value.
fn search(function: Array, items: &[Value], value: &Value, env: &Env) -> Value {
    let place = |found: Option<usize>| found.map_or(Value::Int(-1), count);
    match function {
        Array::Contains => Value::Bool(items.contains(value)),
        Array::Position => place(items.iter().position(|item| item == value)),
        Array::LastPosition => place(items.iter().rposition(|item| item == value)),
        Array::Remove => list(items.iter().filter(|item| *item != value).cloned().collect(), env),
        _ => Value::Null,
    }
}

fn average(items: &[Value]) -> Value {
    // Added up as a running mean, which does not overflow.
    let (mut mean, mut number) = (0.0, 0.0);
    for x in items.iter().filter_map(Value::as_f64) {
        number += 1.0;
        mean += (x - mean) / number;
    }
    if number == 0.0 { Value::Null } else { Value::float(mean) }
}

fn concat(args: &[&Value], env: &Env) -> Value {
    let mut all = Vec::new();
    for arg in args {
        match arg {
            Value::Array(items) if all.len() + items.len() > MAX_ELEMENTS => return env.undefined(),
            Value::Array(items) => all.extend(items.iter().cloned()),
            Value::Null => {}
            _ => return Value::Null,
        }
    }
    list(all, env)
}

fn join(items: &[Value], separator: &str, null: Option<&str>, env: &Env) -> Value {
    let separator = Value::str(separator);
    let null = null.map(Value::str);
    let mut parts = Vec::new();
    for item in items.iter().filter(|item| null.is_some() || !item.is_null()) {
        if !parts.is_empty() {
            parts.push(&separator);
        }
        parts.push(if item.is_null() { null.as_ref().unwrap_or(item) } else { item });
    }
    let joined = text::concat(parts);
    if joined.is_null() { env.undefined() } else { joined }
}

fn repeat(value: &Value, times: &Value, env: &Env) -> Value {
    let Some(times) = whole(times).and_then(|times| usize::try_from(times).ok()) else { return Value::Null };
    // What is shared is not copied, but is read each time.
    let mut left = MAX_BYTES / times.max(1);
    if times > MAX_ELEMENTS || !fits(value, &mut left, 1) {
        return env.undefined();
    }
    Value::Array(std::iter::repeat_n(value, times).cloned().collect())
}

/// Both ends included; by default up. Nothing lies between ends in the wrong direction.
fn sequence(from: &Value, to: &Value, step: &Value, env: &Env) -> Value {
    let (Some(from), Some(to), Some(step)) = (whole(from), whole(to), whole(step)) else {
        return Value::Null;
    };
    if step == 0 {
        return env.undefined();
    }
    let span = (i128::from(to) - i128::from(from)) / i128::from(step);
    if (i128::from(to) - i128::from(from)).signum() * i128::from(step).signum() < 0 {
        return Value::Array([].into());
    }
    match usize::try_from(span) {
        Ok(steps) if steps < MAX_ELEMENTS => {
            let next = |at: &i64| at.checked_add(step);
            Value::Array(std::iter::successors(Some(from), next).take(steps + 1).map(Value::Int).collect())
        }
        _ => env.undefined(),
    }
}

/// Fisher and Yates.
fn shuffle(items: &[Value], env: &Env) -> Value {
    let mut items = items.to_vec();
    for i in (1..items.len()).rev() {
        let bound = u64::try_from(i).unwrap_or(u64::MAX).saturating_add(1);
        let j = usize::try_from(random(env) % bound).unwrap_or(0);
        items.swap(i, j);
    }
    list(items, env)
}

/// An order of all values: kinds in turn, within a kind that of comparison, NULL last.
fn order(a: &Value, b: &Value) -> Ordering {
    let rank = |value: &Value| match value {
        Value::Bool(_) => 0,
        Value::Int(_) | Value::Float(_) => 1,
        Value::Str(_) => 2,
        Value::Time(_) => 3,
        Value::Bytes(_) => 4,
        Value::Array(_) => 5,
        Value::Struct(_) => 6,
        Value::Null => 7,
    };
    let within = || match (a, b) {
        (Value::Array(a), Value::Array(b)) => {
            let mut pairs = a.iter().zip(b.iter()).map(|(a, b)| order(a, b));
            pairs.find(|order| order.is_ne()).unwrap_or(a.len().cmp(&b.len()))
        }
        (Value::Struct(a), Value::Struct(b)) => {
            let mut pairs = a.iter().zip(b.iter()).map(|((x, a), (y, b))| x.cmp(y).then_with(|| order(a, b)));
            pairs.find(|order| order.is_ne()).unwrap_or(a.len().cmp(&b.len()))
        }
        _ => a.compare(b).unwrap_or(Ordering::Equal),
    };
    rank(a).cmp(&rank(b)).then_with(within)
}
