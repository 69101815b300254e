//! The functions of numbers.

use std::f64::consts::PI;

use super::{random, str, whole};
use crate::engine::expr::Env;
use crate::model::value::Value;
use crate::plan::function::Math;

pub(super) fn call(function: Math, args: &[&Value], env: &Env) -> Value {
    match args {
        [] => constant(function, env),
        [a] => one(function, a, env),
        [a, b] => two(function, a, b, env),
        [a, from, to] if function == Math::Conv => conv(a, from, to),
        _ => Value::Null,
    }
}

fn constant(function: Math, env: &Env) -> Value {
    match function {
        Math::Pi => Value::Float(PI),
        #[expect(clippy::cast_precision_loss, reason = "a float holds 53 bits, and no more are left")]
        Math::Rand => Value::Float((random(env) >> 11) as f64 / (1_u64 << 53) as f64),
        _ => Value::Null,
    }
}

fn one(function: Math, a: &Value, env: &Env) -> Value {
    let real = |f: fn(f64) -> f64| a.as_f64().map_or(Value::Null, |x| env.float(f(x)));
    match (function, a) {
        (Math::Abs, Value::Int(i)) => env.integer(i.checked_abs()),
        (Math::Abs, _) => real(f64::abs),
        (Math::Ceil | Math::Floor | Math::Round | Math::Trunc, Value::Int(i)) => Value::Int(*i),
        (Math::Ceil, _) => real(f64::ceil),
        (Math::Floor, _) => real(f64::floor),
        (Math::Round, _) => real(f64::round),
        (Math::Trunc, _) => real(f64::trunc),
        (Math::Sign, Value::Int(i)) => Value::Int(i.signum()),
        (Math::Sign, Value::Float(x)) => Value::Int(i64::from(*x > 0.0) - i64::from(*x < 0.0)),
        (Math::BitNot, _) => whole(a).map_or(Value::Null, |i| Value::Int(!i)),
        (Math::Acos, _) => real(f64::acos),
        (Math::Asin, _) => real(f64::asin),
        (Math::Atan, _) => real(f64::atan),
        (Math::Cos, _) => real(f64::cos),
        (Math::Cosh, _) => real(f64::cosh),
        (Math::Cot, _) => real(|x| 1.0 / x.tan()),
        (Math::Degrees, _) => real(f64::to_degrees),
        (Math::Exp, _) => real(f64::exp),
        (Math::Ln, _) => real(f64::ln),
        (Math::Log, _) => real(f64::log10),
        (Math::Radians, _) => real(f64::to_radians),
        (Math::Sin, _) => real(f64::sin),
        (Math::Sinh, _) => real(f64::sinh),
        (Math::Sqrt, _) => real(f64::sqrt),
        (Math::Tan, _) => real(f64::tan),
        (Math::Tanh, _) => real(f64::tanh),
        _ => Value::Null,
    }
}

fn two(function: Math, a: &Value, b: &Value, env: &Env) -> Value {
    let bits = |f: fn(i64, i64) -> i64| match (whole(a), whole(b)) {
        (Some(a), Some(b)) => Value::Int(f(a, b)),
        _ => Value::Null,
    };
    let real = |f: fn(f64, f64) -> f64| match (a.as_f64(), b.as_f64()) {
        (Some(a), Some(b)) => env.float(f(a, b)),
        _ => Value::Null,
    };
    match function {
        Math::Atan2 => real(f64::atan2),
        Math::Log => real(|base, x| x.ln() / base.ln()),
        Math::Power => real(f64::powf),
        Math::BitAnd => bits(|a, b| a & b),
        Math::BitOr => bits(|a, b| a | b),
        Math::BitXor => bits(|a, b| a ^ b),
        Math::Round => whole(b).map_or(Value::Null, |digits| cut(a, digits, f64::round, env)),
        Math::Trunc => whole(b).map_or(Value::Null, |digits| cut(a, digits, f64::trunc, env)),
        _ => Value::Null,
    }
}

/// A float half away from zero.
pub(super) fn round(x: f64, digits: usize) -> f64 {
    cut_float(x, i32::try_from(digits).unwrap_or(i32::MAX).min(400), f64::round)
}

/// To so many digits behind the point (negative: before it).
fn cut(value: &Value, digits: i64, how: fn(f64) -> f64, env: &Env) -> Value {
    // No float has a digit beyond these places.
    let digits = i32::try_from(digits.clamp(-400, 400)).unwrap_or(0);
    match value {
        Value::Int(i) if digits >= 0 => Value::Int(*i),
        Value::Int(i) => {
            let Some(step) = 10_i128.checked_pow(digits.unsigned_abs()) else { return Value::Int(0) };
            let number = i128::from(*i);
            // Half a step away from zero rounds; nothing truncates.
            let away = if how(0.5) < 1.0 { 0 } else { step / 2 } * number.signum();
            env.integer(i64::try_from((number + away) / step * step).ok())
        }
        Value::Float(x) => Value::Float(cut_float(*x, digits, how)),
        _ => Value::Null,
    }
}

fn cut_float(x: f64, digits: i32, how: fn(f64) -> f64) -> f64 {
    let scale = 10_f64.powi(digits.abs());
    let cut = if digits >= 0 { how(x * scale) / scale } else { how(x / scale) * scale };
    // Where the scaled number is beyond every float, `x` has no digit to lose.
    if cut.is_finite() {
        cut
    } else if digits > 0 {
        x
    } else {
        0.0
    }
}

/// A number written to the base `from`, written to the base `to`.
fn conv(number: &Value, from: &Value, to: &Value) -> Value {
    let base = |value| whole(value).and_then(|b| u32::try_from(b).ok()).filter(|b| (2..=36).contains(b));
    let (Some(from), Some(to)) = (base(from), base(to)) else { return Value::Null };
    let number = match number {
        Value::Int(_) | Value::Float(_) => whole(number).map(|i| i.to_string()),
        _ => str(number).map(|text| text.trim().to_owned()),
    };
    let Some(number) = number.and_then(|text| i64::from_str_radix(&text, from).ok()) else {
        return Value::Null;
    };
    let mut rest = number.unsigned_abs();
    let mut digits = Vec::new();
    while rest > 0 || digits.is_empty() {
        let digit = u32::try_from(rest % u64::from(to)).unwrap_or(0);
        digits.push(char::from_digit(digit, to).unwrap_or('0'));
        rest /= u64::from(to);
    }
    if number < 0 {
        digits.push('-');
    }
    Value::str(&digits.into_iter().rev().collect::<String>())
}
