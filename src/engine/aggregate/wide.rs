//! A float of twice the width: the unevaluated sum of two, about 32 decimal digits. Sums of squares
//! lose half of their digits to cancellation; with twice as many, a variance comes out right to the
//! last digit in whatever order its values came.

use crate::engine::snapshot::{Reader, SnapshotError, Writer};
use crate::model::value::Value;

/// The number `high + low`, where `low` is what rounding took off `high`.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Wide {
    high: f64,
    low: f64,
}

impl Wide {
    /// A number as it is; integers beyond 2^53 too. `None` where the value is none.
    pub(super) fn of(value: &Value) -> Option<Self> {
        match *value {
            Value::Int(i) => Some(Self::integer(i128::from(i))),
            Value::Float(x) => Some(Self::float(x)),
            _ => None,
        }
    }

    /// A float as it is.
    pub(super) const fn float(x: f64) -> Self {
        Self { high: x, low: 0.0 }
    }

    /// A float with what is to be added to it, which is less than it can show.
    pub(super) const fn of_parts(high: f64, low: f64) -> Self {
        Self { high, low }
    }

    /// An integer; exact up to 2^106.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        reason = "what the first conversion rounds off is what the second one keeps"
    )]
    pub(super) fn integer(i: i128) -> Self {
        let high = i as f64;
        Self { high, low: i.saturating_sub(high as i128) as f64 }
    }

    /// A count.
    #[expect(clippy::cast_precision_loss, reason = "nothing counts to 2^53")]
    pub(super) fn count(n: u64) -> Self {
        Self::float(n as f64)
    }

    pub(super) fn plus(self, other: Self) -> Self {
        let (high, error) = two_sum(self.high, other.high);
        let (low, rest) = two_sum(self.low, other.low);
        let first = quick_two_sum(high, error + low);
        quick_two_sum(first.high, first.low + rest)
    }

    pub(super) fn minus(self, other: Self) -> Self {
        self.plus(Self { high: -other.high, low: -other.low })
    }

    pub(super) fn times(self, other: Self) -> Self {
        let high = self.high * other.high;
        let error = self.high.mul_add(other.high, -high);
        quick_two_sum(high, error + self.high.mul_add(other.low, self.low * other.high))
    }

    /// The quotient. Not finite where `other` is zero.
    pub(super) fn over(self, other: Self) -> Self {
        let first = self.high / other.high;
        let rest = self.minus(other.times(Self::float(first)));
        quick_two_sum(first, rest.high / other.high)
    }

    /// The part that is a float by itself: of a sum that was exact the nearest one.
    pub(super) const fn high(self) -> f64 {
        self.high
    }

    /// The nearest float. Not finite where anything on the way was not.
    pub(super) fn value(self) -> f64 {
        self.high + self.low
    }

    pub(super) fn write(self, out: &mut Writer) {
        out.f64(self.high);
        out.f64(self.low);
    }

    pub(super) fn read(from: &mut Reader<'_>) -> Result<Self, SnapshotError> {
        Ok(Self { high: from.f64()?, low: from.f64()? })
    }
}

/// The rounded sum, and what rounding took off it (Knuth).
fn two_sum(a: f64, b: f64) -> (f64, f64) {
    let sum = a + b;
    let of_b = sum - a;
    (sum, (a - (sum - of_b)) + (b - of_b))
}

/// The same where `a` is the greater (Dekker).
fn quick_two_sum(a: f64, b: f64) -> Wide {
    let high = a + b;
    Wide { high, low: b - (high - a) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_what_one_float_loses() {
        let big = Wide::integer(i64::MAX.into());
        assert_eq!(big.minus(Wide::integer(i128::from(i64::MAX) - 1)).value(), 1.0);
        assert_eq!(Wide::integer(i64::MIN.into()).minus(Wide::float(i64::MIN as f64)).value(), 0.0);
        let odd = Wide::float(134_217_729.0); // 2^27 + 1: its square has 55 bits
        let square = odd.times(odd);
        assert_eq!(square.minus(Wide::float(18_014_398_777_917_440.0)).value(), 1.0);
        let third = Wide::float(1.0).over(Wide::float(3.0));
        assert!((third.times(Wide::float(3.0)).minus(Wide::float(1.0)).value()).abs() < 1e-31);
        assert_eq!(Wide::float(1e100).plus(Wide::float(1.0)).minus(Wide::float(1e100)).value(), 1.0);
    }
}
