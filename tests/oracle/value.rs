//! Values as the oracle knows them, with an order, a sameness and an arithmetic of their own.

use std::cmp::Ordering;
use std::fmt;

/// A value.
#[derive(Clone, Debug)]
pub(crate) enum Val {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    /// Microseconds since 1970.
    Time(i64),
    List(Vec<Val>),
}

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ty {
    Bool,
    Int,
    Float,
    Text,
    Time,
    /// An array of integers.
    List,
}

impl Ty {
    pub(crate) fn sql(self) -> &'static str {
        match self {
            Self::Bool => "BOOLEAN",
            Self::Int => "BIGINT",
            Self::Float => "FLOAT",
            Self::Text => "STRING",
            Self::Time => "DATETIME",
            Self::List => "ARRAY(BIGINT)",
        }
    }
}

impl Val {
    pub(crate) fn text(text: &str) -> Self {
        Self::Text(text.to_owned())
    }

    /// A float, or NULL for what is no number.
    pub(crate) fn float(x: f64) -> Self {
        if x.is_finite() { Self::Float(x) } else { Self::Null }
    }

    pub(crate) fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    pub(crate) fn is_true(&self) -> bool {
        matches!(self, Self::Bool(true))
    }

    pub(crate) fn number(&self) -> Option<f64> {
        match self {
            Self::Int(i) => Some(*i as f64),
            Self::Float(x) => Some(*x),
            _ => None,
        }
    }

    /// The order of SQL's `<`; none with NULL and between kinds.
    pub(crate) fn order(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Bool(a), Self::Bool(b)) => Some(a.cmp(b)),
            (Self::Int(a), Self::Int(b)) => Some(a.cmp(b)),
            (Self::Float(_) | Self::Int(_), Self::Float(_) | Self::Int(_)) => {
                // The inputs of these tests stay far below 2^53.
                self.number()?.partial_cmp(&other.number()?)
            }
            (Self::Text(a), Self::Text(b)) => Some(a.chars().cmp(b.chars())),
            (Self::Time(a), Self::Time(b)) => Some(a.cmp(b)),
            _ => None,
        }
    }

    /// As GROUP BY and DISTINCT see it: NULL is the same as NULL.
    pub(crate) fn same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Null, Self::Null) => true,
            (Self::List(a), Self::List(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.same(b)),
            _ => self.order(other) == Some(Ordering::Equal),
        }
    }

    /// As a check of answers sees it: of the same kind, floats to nine digits.
    pub(crate) fn agrees(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Float(a), Self::Float(b)) => (a - b).abs() <= 1e-9 * a.abs().max(b.abs()).max(1.0),
            (Self::Int(_), Self::Float(_)) | (Self::Float(_), Self::Int(_)) => false,
            (Self::List(a), Self::List(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.agrees(b)),
            _ => self.same(other),
        }
    }

    /// As a literal of SQL.
    pub(crate) fn sql(&self) -> String {
        match self {
            Self::Null => "NULL".to_owned(),
            Self::Bool(b) => b.to_string().to_uppercase(),
            Self::Int(i) => i.to_string(),
            Self::Float(x) => format!("{x:?}"),
            Self::Text(text) => format!("'{}'", text.replace('\'', "''")),
            Self::Time(_) | Self::List(_) => "NULL".to_owned(),
        }
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        match self {
            Self::Null => serde_json::Value::Null,
            Self::List(items) => items.iter().map(Self::json).collect(),
            Self::Bool(b) => (*b).into(),
            Self::Int(i) => (*i).into(),
            Self::Float(x) => (*x).into(),
            Self::Text(text) => text.clone().into(),
            Self::Time(micros) => (micros / 1_000).into(),
        }
    }
}

pub(crate) fn all_same(a: &[Val], b: &[Val]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.same(b))
}

pub(crate) fn add(a: &Val, b: &Val) -> Val {
    arithmetic(a, b, i128::checked_add, |x, y| x + y)
}

/// Between two times it gives milliseconds.
pub(crate) fn subtract(a: &Val, b: &Val) -> Val {
    if let (Val::Time(a), Val::Time(b)) = (a, b) {
        return Val::Int((a - b).div_euclid(1_000));
    }
    arithmetic(a, b, i128::checked_sub, |x, y| x - y)
}

pub(crate) fn multiply(a: &Val, b: &Val) -> Val {
    arithmetic(a, b, i128::checked_mul, |x, y| x * y)
}

pub(crate) fn remainder(a: &Val, b: &Val) -> Val {
    arithmetic(a, b, i128::checked_rem, |x, y| x % y)
}

/// Two integers stay one, if it fits; else both are floats.
fn arithmetic(
    a: &Val,
    b: &Val,
    whole: impl Fn(i128, i128) -> Option<i128>,
    broken: impl Fn(f64, f64) -> f64,
) -> Val {
    if let (Val::Int(a), Val::Int(b)) = (a, b) {
        let result = whole(i128::from(*a), i128::from(*b));
        return result.and_then(|r| i64::try_from(r).ok()).map_or(Val::Null, Val::Int);
    }
    match (a.number(), b.number()) {
        (Some(a), Some(b)) => Val::float(broken(a, b)),
        _ => Val::Null,
    }
}

/// `/`: always a float.
pub(crate) fn divide(a: &Val, b: &Val) -> Val {
    match (a.number(), b.number()) {
        (Some(a), Some(b)) => Val::float(a / b),
        _ => Val::Null,
    }
}

/// `DIV`: always an integer.
pub(crate) fn whole_quotient(a: &Val, b: &Val) -> Val {
    if let (Val::Int(a), Val::Int(b)) = (a, b) {
        return a.checked_div(*b).map_or(Val::Null, Val::Int);
    }
    match divide(a, b) {
        Val::Float(x) if x.abs() < 9e18 => Val::Int(x.trunc() as i64),
        _ => Val::Null,
    }
}

/// Three-valued AND over any number.
pub(crate) fn and(values: &[Val]) -> Val {
    if values.iter().any(|v| matches!(v, Val::Bool(false))) {
        Val::Bool(false)
    } else if values.iter().all(Val::is_true) {
        Val::Bool(true)
    } else {
        Val::Null
    }
}

/// Three-valued OR over any number.
pub(crate) fn or(values: &[Val]) -> Val {
    if values.iter().any(Val::is_true) {
        Val::Bool(true)
    } else if values.iter().all(|v| matches!(v, Val::Bool(false))) {
        Val::Bool(false)
    } else {
        Val::Null
    }
}

pub(crate) fn not(value: &Val) -> Val {
    match value {
        Val::Bool(b) => Val::Bool(!b),
        _ => Val::Null,
    }
}

impl fmt::Display for Val {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Time(micros) => write!(f, "@{}ms", (micros - crate::START) as f64 / 1e3),
            Self::List(items) => {
                let items: Vec<String> = items.iter().map(ToString::to_string).collect();
                write!(f, "[{}]", items.join(", "))
            }
            other => f.write_str(&other.sql()),
        }
    }
}
