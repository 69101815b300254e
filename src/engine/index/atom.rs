//! One comparison of a field with constants: what the conditions of rules are made of, as far as an
//! index can use them. An atom is true, or it is not; that of the latter some are NULL does not matter
//! here.

use std::cmp::Ordering;
use std::sync::Arc;

use crate::model::fold::Brief;
use crate::model::value::Value;
use crate::plan::logical::BinaryOp;

/// From here on not every integer has a float of its own.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// A test of one slot.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::engine) struct Atom {
    /// The slot of the row.
    pub(in crate::engine) slot: u32,
    /// What must be true of its value.
    pub(in crate::engine) test: Test,
}

/// What must be true of a value.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::engine) enum Test {
    /// `value op constant`, as [`Value::compare`] has it. The constant is a [scalar](is_scalar).
    Compare(BinaryOp, Value),
    /// It equals one of these scalars.
    Among(Arc<[Value]>),
    /// It is a text that begins so.
    Prefix(Arc<str>),
    /// It is NULL.
    Null,
    /// It is not.
    NotNull,
}

/// Which side of a threshold is true.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::engine) enum Side {
    /// Strictly above it.
    Above,
    /// Strictly below it.
    Below,
}

/// A number that a value must pass.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Threshold {
    pub(super) side: Side,
    /// Of [`Side::Below`] with its sign turned, so that it is always "above the key".
    pub(super) key: f64,
    /// Whether passing it is all that the atom asks for. Else it asks for more.
    pub(super) exact: bool,
}

/// Whether the values equal to it are those whose [`Mark`] is the same, and which no NULL inside
/// keeps from being equal to itself.
pub(super) const fn is_scalar(value: &Value) -> bool {
    matches!(value, Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Str(_) | Value::Time(_))
}

impl Atom {
    /// Whether it is true of a row.
    pub(super) fn holds(&self, slots: &[Value]) -> bool {
        let Some(value) = slots.get(self.slot as usize) else { return self.test == Test::Null };
        self.test.holds(value)
    }

    /// The constant that the value must equal.
    pub(super) const fn equal(&self) -> Option<&Value> {
        match &self.test {
            Test::Compare(BinaryOp::Eq, value) => Some(value),
            _ => None,
        }
    }

    /// The number that the value must pass.
    pub(super) fn threshold(&self) -> Option<Threshold> {
        let Test::Compare(op, constant) = &self.test else { return None };
        let (down, up) = bounds(constant)?;
        let small = up.abs() < EXACT && down.abs() < EXACT;
        let same = down.to_bits() == up.to_bits();
        let (side, key, exact) = match op {
            BinaryOp::Gt => (Side::Above, down, same),
            // No integer lies between two neighbouring floats as small as these.
            BinaryOp::Ge => (Side::Above, down.next_down(), small),
            BinaryOp::Lt => (Side::Below, -up, same),
            BinaryOp::Le => (Side::Below, -up.next_up(), small),
            _ => return None,
        };
        Some(Threshold { side, key, exact })
    }
}

impl Test {
    /// Whether it is true of a value.
    pub(super) fn holds(&self, value: &Value) -> bool {
        match self {
            Self::Compare(op, constant) => value.compare(constant).is_some_and(|order| match op {
                BinaryOp::Eq => order == Ordering::Equal,
                BinaryOp::Ne => order != Ordering::Equal,
                BinaryOp::Lt => order == Ordering::Less,
                BinaryOp::Le => order != Ordering::Greater,
                BinaryOp::Gt => order == Ordering::Greater,
                BinaryOp::Ge => order != Ordering::Less,
                _ => false,
            }),
            Self::Among(list) => list.iter().any(|one| value.compare(one) == Some(Ordering::Equal)),
            Self::Prefix(prefix) => matches!(value, Value::Str(text) if text.starts_with(&**prefix)),
            Self::Null => value.is_null(),
            Self::NotNull => !value.is_null(),
        }
    }
}

/// The greatest float that is not above the number, and the least that is not below it: the same but
/// for large integers.
fn bounds(value: &Value) -> Option<(f64, f64)> {
    let near = value.as_f64()?;
    Some(match value.compare(&Value::Float(near)) {
        Some(Ordering::Less) => (near.next_down(), near),
        Some(Ordering::Greater) => (near, near.next_up()),
        _ => (near, near),
    })
}

/// What stands against the keys of thresholds of this side: the keys below it are passed. An integer
/// that is no float stands for the next float: between the two no key lies.
pub(super) fn against(side: Side, value: &Value) -> Option<f64> {
    match (value, side) {
        (Value::Float(number), Side::Above) => Some(*number),
        (Value::Float(number), Side::Below) => Some(-*number),
        (Value::Int(_), Side::Above) => bounds(value).map(|(_, up)| up),
        (Value::Int(_), Side::Below) => bounds(value).map(|(down, _)| -down),
        _ => None,
    }
}

/// What tells scalars apart without a look at them: values that are equal have the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    brief: Brief,
    /// The length of a text; more than any for what is none.
    len: u32,
}

impl Mark {
    /// That of a text.
    #[inline]
    pub(super) fn of_text(text: &[u8]) -> Self {
        Self {
            brief: Brief::of(text),
            len: u32::try_from(text.len()).unwrap_or(Self::TEXTS).min(Self::TEXTS),
        }
    }

    /// From here on a length is none, but says what the value is.
    const TEXTS: u32 = u32::MAX - 8;

    /// That of a scalar; `None` for what equals none.
    #[inline]
    pub(super) fn of(value: &Value) -> Option<Self> {
        let of = |kind: u32, word: u64| Self { brief: Brief::word(word), len: Self::TEXTS + kind };
        Some(match value {
            Value::Str(text) => Self::of_text(text.as_bytes()),
            Value::Bool(b) => of(1, u64::from(*b)),
            // 1 equals 1.0: numbers meet in the float next to them, as equal ones do.
            #[expect(clippy::cast_precision_loss, reason = "equal numbers have the same float next to them")]
            Value::Int(int) => of(2, (*int as f64 + 0.0).to_bits()),
            Value::Float(number) => of(2, (*number + 0.0).to_bits()),
            Value::Time(time) => of(3, time.micros().cast_unsigned()),
            Value::Null | Value::Bytes(_) | Value::Array(_) | Value::Struct(_) => return None,
        })
    }

    /// Whether those that have the same are equal.
    #[inline]
    pub(super) const fn is_whole(self) -> bool {
        self.len as usize <= Brief::SHORT
    }

    /// Its hash in one of several tables.
    #[inline]
    pub(super) const fn hash(self, table: u32) -> u64 {
        self.brief.hash((self.len as usize) << 8 ^ table as usize)
    }
}

/// Whether a value equals a scalar. Texts that are one and the same are not read.
pub(super) fn same(constant: &Value, value: &Value) -> bool {
    match (constant, value) {
        (Value::Str(a), Value::Str(b)) => Arc::ptr_eq(a, b) || a == b,
        _ => constant.compare(value) == Some(Ordering::Equal),
    }
}
