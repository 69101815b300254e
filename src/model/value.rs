//! A value of a row, and its type.
//!
//! NaN never occurs: whoever makes a float makes NULL of it ([`Value::float`]). So values are
//! equal or not, and can be keys.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use super::time::Timestamp;

/// The type of a column.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum DataType {
    /// 64-bit signed integer.
    Bigint,
    /// 64-bit IEEE 754.
    Float,
    /// UTF-8 text.
    String,
    /// True or false.
    Boolean,
    /// A point in calendar time.
    Datetime,
    /// Bytes.
    Bytea,
    /// An array of one type.
    Array(Box<DataType>),
    /// An object with named, typed members.
    Struct(Vec<(String, DataType)>),
    /// Whatever the payload holds: the type of a column of a schemaless stream.
    Any,
}

impl fmt::Display for DataType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bigint => f.write_str("BIGINT"),
            Self::Float => f.write_str("FLOAT"),
            Self::String => f.write_str("STRING"),
            Self::Boolean => f.write_str("BOOLEAN"),
            Self::Datetime => f.write_str("DATETIME"),
            Self::Bytea => f.write_str("BYTEA"),
            Self::Array(of) => write!(f, "ARRAY({of})"),
            Self::Struct(members) => {
                f.write_str("STRUCT(")?;
                for (i, (name, ty)) in members.iter().enumerate() {
                    let comma = if i == 0 { "" } else { ", " };
                    write!(f, "{comma}{name} {ty}")?;
                }
                f.write_str(")")
            }
            Self::Any => f.write_str("ANY"),
        }
    }
}

/// One value of a row. Cheap to clone: what is large is shared.
#[derive(Clone, Debug, Default)]
pub enum Value {
    /// Unknown, absent, or not representable.
    #[default]
    Null,
    /// BOOLEAN.
    Bool(bool),
    /// BIGINT.
    Int(i64),
    /// FLOAT; finite. Made through [`Value::float`].
    Float(f64),
    /// STRING.
    Str(Arc<str>),
    /// DATETIME.
    Time(Timestamp),
    /// BYTEA.
    Bytes(Arc<[u8]>),
    /// ARRAY.
    Array(Arc<[Value]>),
    /// STRUCT, and a JSON object; members sorted by name.
    Struct(Arc<BTreeMap<Arc<str>, Value>>),
}

impl Value {
    /// A float, or NULL where it is not finite.
    pub fn float(number: f64) -> Self {
        if number.is_finite() { Self::Float(number) } else { Self::Null }
    }

    /// Text.
    pub fn str(text: &str) -> Self {
        Self::Str(text.into())
    }

    /// Whether this is NULL.
    pub const fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// The number as a float, where this is a number.
    pub fn as_f64(&self) -> Option<f64> {
        match *self {
            #[expect(clippy::cast_precision_loss, reason = "a float is what was asked for")]
            Self::Int(i) => Some(i as f64),
            Self::Float(x) => Some(x),
            _ => None,
        }
    }

    /// About how many bytes it takes, for ceilings of state. What is shared counts each time.
    pub fn bytes(&self) -> usize {
        let own = size_of::<Self>();
        own + match self {
            Self::Null | Self::Bool(_) | Self::Int(_) | Self::Float(_) | Self::Time(_) => 0,
            Self::Str(text) => text.len(),
            Self::Bytes(bytes) => bytes.len(),
            Self::Array(items) => items.iter().map(Self::bytes).sum(),
            // A node of the tree holds names and values side by side, not all of it in use.
            Self::Struct(members) => {
                members.iter().map(|(name, value)| own + name.len() + value.bytes()).sum()
            }
        }
    }

    /// What kind of value this is, as a diagnostic names it.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Null => "NULL",
            Self::Bool(_) => "BOOLEAN",
            Self::Int(_) => "BIGINT",
            Self::Float(_) => "FLOAT",
            Self::Str(_) => "STRING",
            Self::Time(_) => "DATETIME",
            Self::Bytes(_) => "BYTEA",
            Self::Array(_) => "ARRAY",
            Self::Struct(_) => "STRUCT",
        }
    }

    /// SQL's comparison: integers and floats exactly, text by code point, times by time, false
    /// before true, arrays element by element. `None` where either is NULL or the two kinds have
    /// no order between them.
    pub fn compare(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Int(a), Self::Int(b)) => Some(a.cmp(b)),
            (Self::Float(a), Self::Float(b)) => a.partial_cmp(b),
            (Self::Int(a), Self::Float(b)) => Some(compare_int_float(*a, *b)),
            (Self::Float(a), Self::Int(b)) => Some(compare_int_float(*b, *a).reverse()),
            (Self::Str(a), Self::Str(b)) => Some(a.cmp(b)),
            (Self::Bool(a), Self::Bool(b)) => Some(a.cmp(b)),
            (Self::Time(a), Self::Time(b)) => Some(a.cmp(b)),
            (Self::Bytes(a), Self::Bytes(b)) => Some(a.cmp(b)),
            (Self::Array(a), Self::Array(b)) => {
                for (x, y) in a.iter().zip(b.iter()) {
                    match x.compare(y)? {
                        Ordering::Equal => {}
                        unequal => return Some(unequal),
                    }
                }
                Some(a.len().cmp(&b.len()))
            }
            (Self::Struct(a), Self::Struct(b)) => (a == b).then_some(Ordering::Equal),
            _ => None,
        }
    }
}

/// Exact order of an integer and a finite float: comparing after a conversion to float would call
/// 2^53 and 2^53 + 1 equal.
fn compare_int_float(int: i64, float: f64) -> Ordering {
    // 2^63 as a float: the first value that no i64 reaches.
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    if float >= LIMIT {
        return Ordering::Less;
    }
    if float < -LIMIT {
        return Ordering::Greater;
    }
    #[expect(clippy::cast_possible_truncation, reason = "the range was checked above")]
    let whole = float.trunc() as i64;
    int.cmp(&whole).then_with(|| 0.0_f64.partial_cmp(&float.fract()).unwrap_or(Ordering::Equal))
}

/// Sameness, as GROUP BY and DISTINCT need it: NULL is the same as NULL, 1 the same as 1.0.
impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Null, Self::Null) => true,
            (Self::Array(a), Self::Array(b)) => a == b,
            (Self::Struct(a), Self::Struct(b)) => a == b,
            _ => self.compare(other) == Some(Ordering::Equal),
        }
    }
}

impl Eq for Value {}

impl Hash for Value {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self {
            Self::Null => state.write_u8(0),
            Self::Bool(b) => (1_u8, b).hash(state),
            Self::Int(i) => (2_u8, i).hash(state),
            Self::Float(x) => {
                #[expect(clippy::cast_possible_truncation, reason = "only used where exact")]
                let whole = *x as i64;
                if compare_int_float(whole, *x) == Ordering::Equal {
                    (2_u8, whole).hash(state);
                } else {
                    (3_u8, x.to_bits()).hash(state);
                }
            }
            Self::Str(s) => (4_u8, s).hash(state),
            Self::Time(t) => (5_u8, t).hash(state),
            Self::Bytes(b) => (6_u8, b).hash(state),
            Self::Array(a) => (7_u8, a).hash(state),
            Self::Struct(s) => (8_u8, s).hash(state),
        }
    }
}

/// As a label, a topic or a template shows it: text bare, floats in their shortest exact form,
/// times in RFC 3339, NULL as `NULL`, arrays and objects as JSON.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("NULL"),
            Self::Bool(b) => write!(f, "{b}"),
            Self::Int(i) => write!(f, "{i}"),
            Self::Float(x) => write!(f, "{x}"),
            Self::Str(s) => f.write_str(s),
            Self::Time(t) => write!(f, "{t}"),
            Self::Bytes(b) => b.iter().try_for_each(|byte| write!(f, "{byte:02x}")),
            Self::Array(_) | Self::Struct(_) => write!(f, "{}", self.to_json()),
        }
    }
}

impl Value {
    /// The value as JSON: times as RFC 3339 text, bytes as hex text.
    pub fn to_json(&self) -> serde_json::Value {
        use serde_json::Value as Json;
        match self {
            Self::Null => Json::Null,
            Self::Bool(b) => Json::Bool(*b),
            Self::Int(i) => Json::from(*i),
            Self::Float(x) => Json::from(*x),
            Self::Str(s) => Json::from(s.as_ref()),
            Self::Time(_) | Self::Bytes(_) => Json::from(self.to_string()),
            Self::Array(a) => Json::Array(a.iter().map(Self::to_json).collect()),
            Self::Struct(s) => Json::Object(s.iter().map(|(k, v)| (k.to_string(), v.to_json())).collect()),
        }
    }

    /// From JSON: integers that fit 64 bits as BIGINT, other numbers as FLOAT, text as STRING.
    pub fn from_json(json: &serde_json::Value) -> Self {
        use serde_json::Value as Json;
        match json {
            Json::Null => Self::Null,
            Json::Bool(b) => Self::Bool(*b),
            Json::Number(n) => match (n.as_i64(), n.as_f64()) {
                (Some(i), _) => Self::Int(i),
                (None, Some(x)) => Self::float(x),
                (None, None) => Self::Null,
            },
            Json::String(s) => Self::str(s),
            Json::Array(a) => Self::Array(a.iter().map(Self::from_json).collect()),
            Json::Object(o) => Self::Struct(Arc::new(
                o.iter().map(|(k, v)| (k.as_str().into(), Self::from_json(v))).collect(),
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_and_floats_compare_exactly() {
        let big = 9_007_199_254_740_993; // 2^53 + 1: no float holds it
        assert_eq!(Value::Int(big).compare(&Value::Float(9_007_199_254_740_992.0)), Some(Ordering::Greater));
        assert_eq!(Value::Int(i64::MAX).compare(&Value::Float(9.3e18)), Some(Ordering::Less));
        assert_eq!(
            Value::Int(i64::MIN).compare(&Value::Float(-9_223_372_036_854_775_808.0)),
            Some(Ordering::Equal)
        );
        assert_eq!(Value::Int(-1).compare(&Value::Float(-1.5)), Some(Ordering::Greater));
        assert_eq!(Value::Float(1.5).compare(&Value::Int(1)), Some(Ordering::Greater));
    }

    #[test]
    fn what_is_the_same_hashes_the_same() {
        let hash = |v: &Value| {
            let mut h = std::hash::DefaultHasher::new();
            v.hash(&mut h);
            h.finish()
        };
        for (a, b) in [(Value::Int(3), Value::Float(3.0)), (Value::Int(0), Value::Float(-0.0))] {
            assert_eq!(a, b);
            assert_eq!(hash(&a), hash(&b));
        }
    }

    #[test]
    fn not_finite_is_null() {
        assert!(Value::float(f64::NAN).is_null());
        assert!(Value::float(f64::INFINITY).is_null());
    }
}
