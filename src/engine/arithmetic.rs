//! Arithmetic on values. What overflows, divides by zero or is no number gives NULL; two integers
//! stay an integer, except under `/`.

use crate::model::coerce;
use crate::model::value::Value;

/// `a + b`.
pub(super) fn add(a: &Value, b: &Value) -> Value {
    both(a, b, i64::checked_add, |x, y| x + y)
}

/// `a - b`.
pub(super) fn subtract(a: &Value, b: &Value) -> Value {
    both(a, b, i64::checked_sub, |x, y| x - y)
}

/// `a * b`.
pub(super) fn multiply(a: &Value, b: &Value) -> Value {
    both(a, b, i64::checked_mul, |x, y| x * y)
}

/// `a / b`: always a FLOAT.
pub(super) fn divide(a: &Value, b: &Value) -> Value {
    floats(a, b, |x, y| x / y)
}

/// `a DIV b`: rounded towards zero, always a BIGINT.
pub(super) fn quotient(a: &Value, b: &Value) -> Value {
    let quotient = match (a, b) {
        (Value::Int(a), Value::Int(b)) => a.checked_div(*b),
        _ => match floats(a, b, |x, y| x / y) {
            Value::Float(x) => coerce::truncated(x),
            _ => None,
        },
    };
    quotient.map_or(Value::Null, Value::Int)
}

/// `a % b`: with the sign of `a`.
pub(super) fn remainder(a: &Value, b: &Value) -> Value {
    // `i64::MIN % -1` is 0, though the processor's division overflows.
    let integers = |a: i64, b: i64| (b != 0).then(|| a.wrapping_rem(b));
    both(a, b, integers, |x, y| x % y)
}

fn both(
    a: &Value,
    b: &Value,
    integers: impl Fn(i64, i64) -> Option<i64>,
    numbers: impl Fn(f64, f64) -> f64,
) -> Value {
    match (a, b) {
        (Value::Int(a), Value::Int(b)) => integers(*a, *b).map_or(Value::Null, Value::Int),
        _ => floats(a, b, numbers),
    }
}

/// Division by zero gives an infinity or NaN, neither of which is a value.
fn floats(a: &Value, b: &Value, numbers: impl Fn(f64, f64) -> f64) -> Value {
    match (a.as_f64(), b.as_f64()) {
        (Some(a), Some(b)) => Value::float(numbers(a, b)),
        _ => Value::Null,
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
        check(add(&i(1), &i(2)), i(3));
        check(add(&i(i64::MAX), &i(1)), Value::Null);
        check(subtract(&i(i64::MIN), &i(1)), Value::Null);
        check(multiply(&i(i64::MAX), &i(2)), Value::Null);
        check(multiply(&i(2), &x(1.5)), x(3.0));
        check(add(&x(f64::MAX), &x(f64::MAX)), Value::Null);
        check(add(&i(1), &Value::str("1")), Value::Null);
        check(add(&i(1), &Value::Null), Value::Null);
    }

    #[test]
    fn division_in_its_three_forms() {
        check(divide(&i(7), &i(2)), x(3.5));
        check(divide(&i(6), &i(2)), x(3.0));
        check(divide(&i(6), &i(0)), Value::Null);
        check(divide(&x(0.0), &x(0.0)), Value::Null);
        check(quotient(&i(7), &i(2)), i(3));
        check(quotient(&i(-7), &i(2)), i(-3));
        check(quotient(&x(-7.5), &i(2)), i(-3));
        check(quotient(&i(1), &i(0)), Value::Null);
        check(quotient(&i(i64::MIN), &i(-1)), Value::Null);
        check(quotient(&x(1e300), &i(1)), Value::Null);
        check(remainder(&i(-7), &i(2)), i(-1));
        check(remainder(&i(i64::MIN), &i(-1)), i(0));
        check(remainder(&x(7.5), &i(2)), x(1.5));
        check(remainder(&i(7), &i(0)), Value::Null);
        check(remainder(&x(7.0), &i(0)), Value::Null);
    }
}
