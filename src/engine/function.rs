//! The scalar functions' meaning. Text is counted in characters. An argument of the wrong kind
//! gives NULL, as NULL itself does where a function's doc says nothing else.

use std::cmp::Ordering;
use std::fmt::Write as _;

use super::expr::Env;
use super::{arithmetic, expr};
use crate::model::coerce;
use crate::model::value::Value;
use crate::plan::function::Function;

/// The longest text that a function makes, in bytes: nested `replace` could otherwise grow it
/// without bound from a small row. Beyond it the result is NULL.
const MAX_TEXT: usize = 1 << 20;

/// Calls a function.
pub(super) fn call(function: Function, args: &[&Value], env: &Env) -> Value {
    match function {
        Function::Greatest => extreme(args, Ordering::Greater),
        Function::Least => extreme(args, Ordering::Less),
        Function::Coalesce => args.iter().find(|a| !a.is_null()).map_or(Value::Null, |a| (*a).clone()),
        Function::NullIf => match args {
            [a, b] if expr::equal(a, b) != Some(true) => (*a).clone(),
            _ => Value::Null,
        },
        Function::Concat => concat(args.iter().copied().filter(|a| !a.is_null())),
        _ => number(function, args, env).or_else(|| text(function, args)).unwrap_or_default(),
    }
}

/// The values as one text.
pub(super) fn concat<'v>(values: impl IntoIterator<Item = &'v Value>) -> Value {
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

/// The extreme of those that are not NULL; NULL where two have no order.
fn extreme(args: &[&Value], wanted: Ordering) -> Value {
    let mut best = &Value::Null;
    for arg in args.iter().copied().filter(|a| !a.is_null()) {
        if best.is_null() {
            best = arg;
            continue;
        }
        match arg.compare(best) {
            Some(order) if order == wanted => best = arg,
            Some(_) => {}
            None => return Value::Null,
        }
    }
    best.clone()
}

/// The functions of numbers; `None` for the others.
fn number(function: Function, args: &[&Value], env: &Env) -> Option<Value> {
    let real = |f: fn(f64) -> f64| match args {
        [a] => a.as_f64().map_or(Value::Null, |x| Value::float(f(x))),
        _ => Value::Null,
    };
    Some(match (function, args) {
        (Function::Abs, [Value::Int(i)]) => i.checked_abs().map_or(Value::Null, Value::Int),
        (Function::Abs, _) => real(f64::abs),
        (Function::Ceil | Function::Floor | Function::Round, [Value::Int(i)]) => Value::Int(*i),
        (Function::Ceil, _) => real(f64::ceil),
        (Function::Floor, _) => real(f64::floor),
        (Function::Round, [_]) => real(f64::round),
        (Function::Round, [a, Value::Int(digits)]) => round(a, *digits),
        (Function::Sqrt, _) => real(f64::sqrt),
        (Function::Exp, _) => real(f64::exp),
        (Function::Ln, _) => real(f64::ln),
        (Function::Log, [_]) => real(f64::log10),
        (Function::Log, [base, a]) => match (base.as_f64(), a.as_f64()) {
            (Some(base), Some(x)) => Value::float(x.ln() / base.ln()),
            _ => Value::Null,
        },
        (Function::Power, [a, b]) => match (a.as_f64(), b.as_f64()) {
            (Some(x), Some(y)) => Value::float(x.powf(y)),
            _ => Value::Null,
        },
        (Function::Sign, [Value::Int(i)]) => Value::Int(i.signum()),
        (Function::Sign, [Value::Float(x)]) => Value::Int(i64::from(*x > 0.0) - i64::from(*x < 0.0)),
        (Function::Mod, [a, b]) => arithmetic::remainder(a, b, env),
        _ => return None,
    })
}

/// Half away from zero, to so many digits behind the point (negative: before it).
fn round(value: &Value, digits: i64) -> Value {
    // No float has a digit beyond these places.
    let digits = i32::try_from(digits.clamp(-400, 400)).unwrap_or(0);
    match value {
        Value::Int(i) if digits >= 0 => Value::Int(*i),
        Value::Int(i) => {
            let Some(step) = 10_i128.checked_pow(digits.unsigned_abs()) else { return Value::Int(0) };
            let number = i128::from(*i);
            let away = if number < 0 { -step } else { step } / 2;
            let rounded = number.saturating_add(away) / step * step;
            i64::try_from(rounded).map_or(Value::Null, Value::Int)
        }
        Value::Float(x) => {
            let scale = 10_f64.powi(digits.abs());
            let rounded = if digits >= 0 { (x * scale).round() / scale } else { (x / scale).round() * scale };
            // Where the scaled number is beyond every float, `x` has no digit to lose.
            Value::Float(if rounded.is_finite() {
                rounded
            } else if digits > 0 {
                *x
            } else {
                0.0
            })
        }
        _ => Value::Null,
    }
}

/// The functions of text; `None` for the others.
fn text(function: Function, args: &[&Value]) -> Option<Value> {
    let Some(Value::Str(s)) = args.first() else { return None };
    let second = match args.get(1) {
        Some(Value::Str(t)) => Some(t.as_ref()),
        _ => None,
    };
    Some(match function {
        Function::Lower => bounded(s.to_lowercase()),
        Function::Upper => bounded(s.to_uppercase()),
        Function::Length => count(s),
        Function::Trim => Value::str(s.trim()),
        Function::Ltrim => Value::str(s.trim_start()),
        Function::Rtrim => Value::str(s.trim_end()),
        Function::Substring => substring(s, &args[1..]),
        Function::StartsWith => Value::Bool(s.starts_with(second?)),
        Function::EndsWith => Value::Bool(s.ends_with(second?)),
        Function::IndexOf => s.find(second?).map_or(Value::Int(-1), |at| count(&s[..at])),
        Function::Replace => match args.get(2) {
            Some(Value::Str(to)) => replace(s, second?, to),
            _ => return None,
        },
        _ => return None,
    })
}

fn count(text: &str) -> Value {
    i64::try_from(text.chars().count()).map_or(Value::Null, Value::Int)
}

fn bounded(text: String) -> Value {
    if text.len() > MAX_TEXT { Value::Null } else { Value::str(&text) }
}

/// Characters from `start` to before `end`; beyond the text is its end. A negative place, or an
/// end before the start, is NULL.
fn substring(text: &str, range: &[&Value]) -> Value {
    let place = |value: &Value| match value {
        Value::Int(i) => usize::try_from(*i).ok(),
        Value::Float(x) => coerce::whole(*x).and_then(|i| usize::try_from(i).ok()),
        _ => None,
    };
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
fn replace(text: &str, from: &str, to: &str) -> Value {
    if from.is_empty() {
        return Value::str(text);
    }
    let places = text.matches(from).count();
    if places.saturating_mul(to.len()).saturating_add(text.len() - places * from.len()) > MAX_TEXT {
        return Value::Null;
    }
    Value::str(&text.replace(from, to))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(function: Function, args: &[Value], expected: Value) {
        let refs: Vec<&Value> = args.iter().collect();
        let got = call(function, &refs, &Env::default());
        assert_eq!(format!("{got:?}"), format!("{expected:?}"), "{function:?}{args:?}");
    }

    #[test]
    fn numbers() {
        let (i, x) = (Value::Int, Value::Float);
        check(Function::Abs, &[i(-3)], i(3));
        check(Function::Abs, &[i(i64::MIN)], Value::Null);
        check(Function::Abs, &[x(-1.5)], x(1.5));
        check(Function::Ceil, &[x(1.2)], x(2.0));
        check(Function::Floor, &[x(-1.2)], x(-2.0));
        check(Function::Floor, &[i(7)], i(7));
        check(Function::Round, &[x(2.5)], x(3.0));
        check(Function::Round, &[x(-2.5)], x(-3.0));
        check(Function::Round, &[x(1.2345), i(2)], x(1.23));
        check(Function::Round, &[x(1e300), i(300)], x(1e300));
        check(Function::Round, &[x(1234.5), i(-2)], x(1200.0));
        check(Function::Round, &[x(1234.5), i(-400)], x(0.0));
        check(Function::Round, &[i(1250), i(-2)], i(1300));
        check(Function::Round, &[i(-1250), i(-2)], i(-1300));
        check(Function::Round, &[i(i64::MAX), i(-1)], Value::Null);
        check(Function::Round, &[i(5), i(-50)], i(0));
        check(Function::Sqrt, &[x(-1.0)], Value::Null);
        check(Function::Sqrt, &[i(9)], x(3.0));
        check(Function::Power, &[i(2), i(10)], x(1024.0));
        check(Function::Ln, &[i(0)], Value::Null);
        check(Function::Log, &[i(1000)], x(3.0));
        check(Function::Log, &[i(2), i(8)], x(3.0));
        check(Function::Log, &[i(1), i(8)], Value::Null);
        check(Function::Sign, &[x(-0.0)], i(0));
        check(Function::Sign, &[i(-9)], i(-1));
        check(Function::Mod, &[i(7), i(4)], i(3));
        check(Function::Exp, &[x(1e9)], Value::Null);
        check(Function::Abs, &[Value::str("1")], Value::Null);
        check(Function::Abs, &[Value::Null], Value::Null);
    }

    #[test]
    fn choices() {
        let (i, n) = (Value::Int, Value::Null);
        check(Function::Greatest, &[i(1), n.clone(), Value::Float(2.5)], Value::Float(2.5));
        check(Function::Least, &[i(1), i(0)], i(0));
        check(Function::Least, std::slice::from_ref(&n), n.clone());
        check(Function::Greatest, &[i(1), Value::str("a")], n.clone());
        check(Function::Coalesce, &[n.clone(), i(2), i(3)], i(2));
        check(Function::NullIf, &[i(1), Value::Float(1.0)], n.clone());
        check(Function::NullIf, &[i(1), n.clone()], i(1));
    }

    #[test]
    fn text_is_counted_in_characters() {
        let (s, i) = (|t: &str| Value::str(t), Value::Int);
        check(Function::Length, &[s("größe")], i(5));
        check(Function::Upper, &[s("größe")], s("GRÖSSE"));
        check(Function::Lower, &[s("ÀB")], s("àb"));
        check(Function::Trim, &[s(" a ")], s("a"));
        check(Function::Ltrim, &[s(" a ")], s("a "));
        check(Function::Rtrim, &[s(" a ")], s(" a"));
        check(Function::Substring, &[s("größe"), i(2), i(4)], s("öß"));
        check(Function::Substring, &[s("größe"), i(3)], s("ße"));
        check(Function::Substring, &[s("abc"), i(5)], s(""));
        check(Function::Substring, &[s("abc"), i(-1)], Value::Null);
        check(Function::Substring, &[s("abc"), i(2), i(1)], Value::Null);
        check(Function::StartsWith, &[s("abc"), s("ab")], Value::Bool(true));
        check(Function::EndsWith, &[s("abc"), s("ab")], Value::Bool(false));
        check(Function::IndexOf, &[s("größe"), s("e")], i(4));
        check(Function::IndexOf, &[s("abc"), s("x")], i(-1));
        check(Function::Replace, &[s("a.b.c"), s("."), s("-")], s("a-b-c"));
        check(Function::Replace, &[s("abc"), s(""), s("-")], s("abc"));
        check(Function::Replace, &[s("abc"), Value::Null, s("-")], Value::Null);
        check(Function::Length, &[i(5)], Value::Null);
        check(Function::Concat, &[s("a"), Value::Null, i(1)], s("a1"));
    }

    #[test]
    fn text_cannot_grow_without_bound() {
        let big = Value::str(&"a".repeat(MAX_TEXT / 2 + 1));
        check(Function::Replace, &[big.clone(), Value::str("a"), Value::str("aa")], Value::Null);
        check(Function::Concat, &[big.clone(), big], Value::Null);
    }
}
