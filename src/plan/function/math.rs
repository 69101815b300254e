//! The functions of numbers.

use super::Param::{Any, Number};
use super::{Function, Gives, Meaning, Signature, means, takes};

/// A function of numbers. What does not exist (overflow, a logarithm of 0) is NULL and counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Math {
    /// `abs(x)`
    Abs,
    /// `acos(x)`
    Acos,
    /// `asin(x)`
    Asin,
    /// `atan(x)`
    Atan,
    /// `atan2(y, x)`
    Atan2,
    /// `bitand(a, b)`
    BitAnd,
    /// `bitor(a, b)`
    BitOr,
    /// `bitxor(a, b)`
    BitXor,
    /// `bitnot(a)`
    BitNot,
    /// `ceil(x)`, also `ceiling`
    Ceil,
    /// `conv(n, from, to)`: written to another base
    Conv,
    /// `cos(x)`
    Cos,
    /// `cosh(x)`
    Cosh,
    /// `cot(x)`
    Cot,
    /// `degrees(x)`: from radians
    Degrees,
    /// `exp(x)`
    Exp,
    /// `floor(x)`
    Floor,
    /// `ln(x)`
    Ln,
    /// `log(x)`: base 10; `log(base, x)`
    Log,
    /// `pi()`
    Pi,
    /// `power(x, y)`, also `pow`
    Power,
    /// `radians(x)`: from degrees
    Radians,
    /// `rand()`: at least 0, below 1
    Rand,
    /// `round(x)`, `round(x, digits)`: half away from zero
    Round,
    /// `sign(x)`
    Sign,
    /// `sin(x)`
    Sin,
    /// `sinh(x)`
    Sinh,
    /// `sqrt(x)`
    Sqrt,
    /// `tan(x)`
    Tan,
    /// `tanh(x)`
    Tanh,
    /// `trunc(x)`, `trunc(x, digits)`, also `truncate`: towards zero
    Trunc,
}

const fn math(name: &'static str, function: Math, count: &'static [super::Param], gives: Gives) -> Signature {
    takes(name, Function::Math(function), count, gives)
}

const ONE: &[super::Param] = &[Number];
const TWO: &[super::Param] = &[Number, Number];

pub(super) const TABLE: &[Signature] = &[
    math("abs", Math::Abs, ONE, Gives::First),
    math("acos", Math::Acos, ONE, Gives::Float),
    math("asin", Math::Asin, ONE, Gives::Float),
    math("atan", Math::Atan, ONE, Gives::Float),
    math("atan2", Math::Atan2, TWO, Gives::Float),
    math("bitand", Math::BitAnd, TWO, Gives::Bigint),
    math("bitor", Math::BitOr, TWO, Gives::Bigint),
    math("bitxor", Math::BitXor, TWO, Gives::Bigint),
    math("bitnot", Math::BitNot, ONE, Gives::Bigint),
    math("ceil", Math::Ceil, ONE, Gives::First),
    math("ceiling", Math::Ceil, ONE, Gives::First),
    math("conv", Math::Conv, &[Any, Number, Number], Gives::Text),
    math("cos", Math::Cos, ONE, Gives::Float),
    math("cosh", Math::Cosh, ONE, Gives::Float),
    math("cot", Math::Cot, ONE, Gives::Float),
    math("degrees", Math::Degrees, ONE, Gives::Float),
    math("exp", Math::Exp, ONE, Gives::Float),
    math("floor", Math::Floor, ONE, Gives::First),
    math("ln", Math::Ln, ONE, Gives::Float),
    math("log", Math::Log, TWO, Gives::Float).least(1),
    means("mod", Meaning::Remainder, TWO, Gives::Common),
    math("pi", Math::Pi, &[], Gives::Float),
    math("power", Math::Power, TWO, Gives::Float),
    math("pow", Math::Power, TWO, Gives::Float),
    math("radians", Math::Radians, ONE, Gives::Float),
    math("rand", Math::Rand, &[], Gives::Float),
    math("round", Math::Round, TWO, Gives::First).least(1),
    math("sign", Math::Sign, ONE, Gives::Bigint),
    math("sin", Math::Sin, ONE, Gives::Float),
    math("sinh", Math::Sinh, ONE, Gives::Float),
    math("sqrt", Math::Sqrt, ONE, Gives::Float),
    math("tan", Math::Tan, ONE, Gives::Float),
    math("tanh", Math::Tanh, ONE, Gives::Float),
    math("trunc", Math::Trunc, TWO, Gives::First).least(1),
    math("truncate", Math::Trunc, TWO, Gives::First).least(1),
];
