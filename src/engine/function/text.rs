//! The functions of texts, counted in characters.

use std::fmt::Write as _;

use super::{MAX_TEXT, bounded, count, math, str, whole};
use crate::engine::expr::Env;
use crate::model::value::Value;
use crate::plan::function::{Compiled, Text};

pub(super) fn call(function: Text, fixed: &[Compiled], args: &[&Value], env: &Env) -> Value {
    match (function, args) {
        (Text::Concat, _) => {
            let joined = concat(args.iter().copied().filter(|a| !a.is_null()));
            if joined.is_null() { env.undefined() } else { joined }
        }
        (Text::Format, [number, digits]) => format(number, digits, !fixed.is_empty()),
        (_, [first, rest @ ..]) => {
            str(first).and_then(|s| of_text(function, s, rest, env)).unwrap_or_default()
        }
        _ => Value::Null,
    }
}

/// The values as one text; NULL where that is too long.
pub(in crate::engine) fn concat<'v>(values: impl IntoIterator<Item = &'v Value>) -> Value {
    let mut text = String::new();
    for value in values {
        let written = match value {
            Value::Str(part) if text.len() + part.len() > MAX_TEXT => return Value::Null,
            Value::Str(part) => text.write_str(part),
            _ => write!(text, "{value}"),
        };
        if written.is_err() || text.len() > MAX_TEXT {
            return Value::Null;
        }
    }
    Value::str(&text)
}

/// Those that begin with a text.
fn of_text(function: Text, s: &str, rest: &[&Value], env: &Env) -> Option<Value> {
    let second = || rest.first().copied().and_then(str);
    Some(match function {
        Text::Lower => bounded(&s.to_lowercase(), env),
        Text::Upper => bounded(&s.to_uppercase(), env),
        Text::Length => count(s.chars().count()),
        Text::NumBytes => count(s.len()),
        Text::Trim => Value::str(s.trim()),
        Text::Ltrim => Value::str(s.trim_start()),
        Text::Rtrim => Value::str(s.trim_end()),
        Text::Reverse => Value::str(&s.chars().rev().collect::<String>()),
        Text::Substring => substring(s, rest),
        Text::StartsWith => Value::Bool(s.starts_with(second()?)),
        Text::EndsWith => Value::Bool(s.ends_with(second()?)),
        Text::IndexOf => s.find(second()?).map_or(Value::Int(-1), |at| count(s[..at].chars().count())),
        Text::Replace => replace(s, second()?, rest.get(1).copied().and_then(str)?, env),
        Text::SplitValue => split_value(s, second()?, whole(rest.get(1)?)?),
        Text::Lpad | Text::Rpad => {
            let blanks = usize::try_from(whole(rest.first()?)?).ok()?;
            if blanks > MAX_TEXT {
                return Some(env.undefined());
            }
            let blanks = " ".repeat(blanks);
            let padded = if function == Text::Lpad { blanks + s } else { s.to_owned() + &blanks };
            bounded(&padded, env)
        }
        Text::Concat | Text::Format => Value::Null,
    })
}

/// Characters from `start` to before `end`; beyond the text is its end. A negative place, or an
/// end before the start, is NULL.
fn substring(text: &str, range: &[&Value]) -> Value {
    let place = |value: &Value| whole(value).and_then(|i| usize::try_from(i).ok());
    let (start, end) = match range {
        [start] => (place(start), Some(usize::MAX)),
        [start, end] => (place(start), place(end)),
        _ => (None, None),
    };
    match (start, end) {
        (Some(start), Some(end)) if start <= end => {
            Value::str(&text.chars().skip(start).take(end - start).collect::<String>())
        }
        _ => Value::Null,
    }
}

/// Every `from` by `to`. An empty `from` stands nowhere.
fn replace(text: &str, from: &str, to: &str, env: &Env) -> Value {
    if from.is_empty() {
        return Value::str(text);
    }
    let places = text.matches(from).count();
    if places.saturating_mul(to.len()).saturating_add(text.len() - places * from.len()) > MAX_TEXT {
        return env.undefined();
    }
    Value::str(&text.replace(from, to))
}

/// A part between separators; an empty separator stands nowhere.
fn split_value(text: &str, separator: &str, place: i64) -> Value {
    let distance = usize::try_from(place.unsigned_abs()).unwrap_or(usize::MAX);
    let part = match (separator.is_empty(), place) {
        (true, 0 | -1) => Some(text),
        (true, _) => None,
        (false, 0..) => text.split(separator).nth(distance),
        (false, _) => text.rsplit(separator).nth(distance - 1),
    };
    part.map_or(Value::Null, Value::str)
}

/// A number with so many digits behind the point, and perhaps a comma before every three before it.
fn format(number: &Value, digits: &Value, grouped: bool) -> Value {
    // No float has a digit behind the 1074th place that is not 0.
    let Some(digits) = whole(digits).and_then(|d| usize::try_from(d).ok()).filter(|d| *d <= 1_100) else {
        return Value::Null;
    };
    let written = match number {
        Value::Int(i) if digits == 0 => i.to_string(),
        Value::Int(i) => format!("{i}.{}", "0".repeat(digits)),
        Value::Float(x) => format!("{:.digits$}", math::round(*x, digits)),
        _ => return Value::Null,
    };
    // What is rounded to nothing has no sign.
    let written = match written.strip_prefix('-') {
        Some(zero) if zero.bytes().all(|b| matches!(b, b'0' | b'.')) => zero.to_owned(),
        _ => written,
    };
    if !grouped {
        return Value::str(&written);
    }
    let (whole, fraction) = written.split_once('.').map_or((written.as_str(), None), |(w, f)| (w, Some(f)));
    let (sign, whole) = whole.strip_prefix('-').map_or(("", whole), |whole| ("-", whole));
    let mut text = sign.to_owned();
    for (i, digit) in whole.chars().enumerate() {
        if i > 0 && (whole.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if let Some(fraction) = fraction {
        text.push('.');
        text.push_str(fraction);
    }
    Value::str(&text)
}
