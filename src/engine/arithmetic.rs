//! Arithmetic on values. Two integers stay an integer, except under `/`. What overflows, divides by
//! zero or is no number gives NULL, and the first two are counted. Times less times are milliseconds, and
//! milliseconds move times; there is no other arithmetic on them.

use super::expr::Env;
use crate::model::coerce;
use crate::model::time::Timestamp;
use crate::model::value::Value;

/// Microseconds in a millisecond.
const MILLI: i64 = 1_000;

/// `a + b`.
pub(super) fn add(a: &Value, b: &Value, env: &Env) -> Value {
    match (a, b) {
        (Value::Time(at), span) | (span, Value::Time(at)) => moved(*at, span, i64::checked_add, env),
        _ => both(a, b, env, i64::checked_add, |x, y| x + y),
    }
}

/// `a - b`.
pub(super) fn subtract(a: &Value, b: &Value, env: &Env) -> Value {
    match (a, b) {
        (Value::Time(a), Value::Time(b)) => Value::Int(between(*a, *b)),
        (Value::Time(at), span) => moved(*at, span, i64::checked_sub, env),
        _ => both(a, b, env, i64::checked_sub, |x, y| x - y),
    }
}

/// `a * b`.
pub(super) fn multiply(a: &Value, b: &Value, env: &Env) -> Value {
    both(a, b, env, i64::checked_mul, |x, y| x * y)
}

/// `a / b`: always a FLOAT.
pub(super) fn divide(a: &Value, b: &Value, env: &Env) -> Value {
    floats(a, b, env, |x, y| x / y)
}

/// `a DIV b`: rounded towards zero, always a BIGINT.
pub(super) fn quotient(a: &Value, b: &Value, env: &Env) -> Value {
    let quotient = match (a, b) {
        (Value::Int(a), Value::Int(b)) => a.checked_div(*b),
        _ => match (a.as_f64(), b.as_f64()) {
            (Some(a), Some(b)) => coerce::truncated(a / b),
            _ => return Value::Null,
        },
    };
    env.integer(quotient)
}

/// `a % b`: with the sign of `a`.
pub(super) fn remainder(a: &Value, b: &Value, env: &Env) -> Value {
    // `i64::MIN % -1` is 0, though the processor's division overflows.
    let integers = |a: i64, b: i64| (b != 0).then(|| a.wrapping_rem(b));
    both(a, b, env, integers, |x, y| x % y)
}

/// `-a`.
pub(super) fn negate(a: &Value, env: &Env) -> Value {
    match a {
        Value::Int(i) => env.integer(i.checked_neg()),
        Value::Float(x) => Value::Float(-x),
        _ => Value::Null,
    }
}

fn both(
    a: &Value,
    b: &Value,
    env: &Env,
    integers: impl Fn(i64, i64) -> Option<i64>,
    numbers: impl Fn(f64, f64) -> f64,
) -> Value {
    match (a, b) {
        (Value::Int(a), Value::Int(b)) => env.integer(integers(*a, *b)),
        _ => floats(a, b, env, numbers),
    }
}

/// Division by zero gives an infinity or NaN, neither of which is a value.
fn floats(a: &Value, b: &Value, env: &Env, numbers: impl Fn(f64, f64) -> f64) -> Value {
    match (a.as_f64(), b.as_f64()) {
        (Some(a), Some(b)) => env.float(numbers(a, b)),
        _ => Value::Null,
    }
}

/// The milliseconds from `b` to `a`, rounded towards zero.
fn between(a: Timestamp, b: Timestamp) -> i64 {
    let millis = (i128::from(a.micros()) - i128::from(b.micros())) / i128::from(MILLI);
    // Two times are less than 2^64 microseconds apart, which are fewer milliseconds than 2^63.
    i64::try_from(millis).unwrap_or_default()
}

/// A time moved by milliseconds.
fn moved(at: Timestamp, span: &Value, step: impl Fn(i64, i64) -> Option<i64>, env: &Env) -> Value {
    let micros = match span {
        Value::Int(millis) => millis.checked_mul(MILLI),
        Value::Float(millis) => coerce::truncated((millis * 1e3).round()),
        _ => return Value::Null,
    };
    match micros.and_then(|micros| step(at.micros(), micros)) {
        Some(micros) => Value::Time(Timestamp::from_micros(micros)),
        None => env.undefined(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn i(i: i64) -> Value {
        Value::Int(i)
    }

    const fn x(x: f64) -> Value {
        Value::Float(x)
    }

    #[track_caller]
    fn check(got: Value, expected: Value) {
        assert_eq!(format!("{got:?}"), format!("{expected:?}"));
    }

    #[test]
    fn integers_stay_integers_and_never_wrap() {
        let env = Env::default();
        check(add(&i(1), &i(2), &env), i(3));
        check(add(&i(i64::MAX), &i(1), &env), Value::Null);
        check(subtract(&i(i64::MIN), &i(1), &env), Value::Null);
        check(multiply(&i(i64::MAX), &i(2), &env), Value::Null);
        check(multiply(&i(2), &x(1.5), &env), x(3.0));
        check(add(&x(f64::MAX), &x(f64::MAX), &env), Value::Null);
        assert_eq!(env.undefined.get(), 4);
        check(add(&i(1), &Value::str("1"), &env), Value::Null);
        check(add(&i(1), &Value::Null, &env), Value::Null);
        assert_eq!(env.undefined.get(), 4, "a wrong kind is not counted");
        check(negate(&i(i64::MIN), &env), Value::Null);
        assert_eq!(env.undefined.get(), 5);
        check(negate(&x(1.5), &env), x(-1.5));
    }

    #[test]
    fn division_in_its_three_forms() {
        let env = Env::default();
        check(divide(&i(7), &i(2), &env), x(3.5));
        check(divide(&i(6), &i(2), &env), x(3.0));
        check(divide(&i(6), &i(0), &env), Value::Null);
        check(divide(&x(0.0), &x(0.0), &env), Value::Null);
        check(quotient(&i(7), &i(2), &env), i(3));
        check(quotient(&i(-7), &i(2), &env), i(-3));
        check(quotient(&x(-7.5), &i(2), &env), i(-3));
        check(quotient(&i(1), &i(0), &env), Value::Null);
        check(quotient(&i(i64::MIN), &i(-1), &env), Value::Null);
        check(quotient(&x(1e300), &i(1), &env), Value::Null);
        check(remainder(&i(-7), &i(2), &env), i(-1));
        check(remainder(&i(i64::MIN), &i(-1), &env), i(0));
        check(remainder(&x(7.5), &i(2), &env), x(1.5));
        check(remainder(&i(7), &i(0), &env), Value::Null);
        check(remainder(&x(7.0), &i(0), &env), Value::Null);
    }

    #[test]
    fn times_move_by_milliseconds() {
        let env = Env::default();
        let at = |micros: i64| Value::Time(Timestamp::from_micros(micros));
        check(subtract(&at(5_000_999), &at(2_000_000), &env), i(3_000));
        check(subtract(&at(2_000_000), &at(5_000_999), &env), i(-3_000));
        check(subtract(&at(i64::MAX), &at(i64::MIN), &env), i(18_446_744_073_709_551));
        check(add(&at(0), &i(10), &env), at(10_000));
        check(add(&i(10), &at(0), &env), at(10_000));
        check(subtract(&at(0), &x(1.5), &env), at(-1_500));
        check(add(&at(0), &Value::str("1"), &env), Value::Null);
        check(subtract(&i(1), &at(0), &env), Value::Null);
        check(multiply(&at(1), &i(2), &env), Value::Null);
        check(add(&at(1), &at(2), &env), Value::Null);
        assert_eq!(env.undefined.get(), 0);
        check(add(&at(0), &i(i64::MAX), &env), Value::Null);
        check(add(&at(i64::MAX), &i(1), &env), Value::Null);
        check(add(&at(0), &x(1e300), &env), Value::Null);
        assert_eq!(env.undefined.get(), 3);
    }
}
