//! Mean and variance of numbers, without the numbers: their count, their sum and the sum of their
//! squares, as distances from the first of them. In [`Wide`] the cancellation that makes this form
//! ill-reputed costs digits that nobody sees, and unlike Welford's it does not depend on the order.

use super::wide::Wide;
use crate::engine::snapshot::{Reader, SnapshotError, Writer};
use crate::model::value::Value;

/// What is remembered.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::engine) struct Moments {
    count: u64,
    /// The first number.
    pivot: Wide,
    sum: Wide,
    squares: Wide,
}

/// Whether all values are known, or some of many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) enum Of {
    /// All: divides by their number.
    Population,
    /// Some: divides by one less.
    Sample,
}

impl Moments {
    /// Adds a number; passes over everything else.
    pub(in crate::engine) fn add(&mut self, value: &Value) {
        let Some(number) = Wide::of(value) else { return };
        if self.count == 0 {
            self.pivot = number;
        }
        let distance = number.minus(self.pivot);
        self.count += 1;
        self.sum = self.sum.plus(distance);
        self.squares = self.squares.plus(distance.times(distance));
    }

    /// The variance: `None` where there is none, which for a sample begins at two values. It may be
    /// beyond what a float holds.
    pub(in crate::engine) fn variance(&self, of: Of) -> Option<f64> {
        let divisor = match of {
            Of::Population => self.count,
            Of::Sample => self.count.saturating_sub(1),
        };
        if divisor == 0 {
            return None;
        }
        let n = Wide::count(self.count);
        let scaled = n.times(self.squares).minus(self.sum.times(self.sum));
        let variance = scaled.over(n).over(Wide::count(divisor)).value();
        // Not `max`, which would make a zero of what is no number.
        Some(if variance < 0.0 { 0.0 } else { variance })
    }

    /// How many standard deviations of the population the value is from the mean. `None` where there
    /// are fewer than two values, or all are the same.
    pub(in crate::engine) fn distance(&self, value: &Value) -> Option<f64> {
        if self.count < 2 {
            return None;
        }
        let deviation = self.variance(Of::Population)?.sqrt();
        let number = Wide::of(value)?.minus(self.pivot);
        let distance = number.minus(self.sum.over(Wide::count(self.count)));
        (deviation != 0.0).then(|| distance.value() / deviation)
    }

    pub(in crate::engine) fn write(&self, out: &mut Writer) {
        out.u64(self.count);
        self.pivot.write(out);
        self.sum.write(out);
        self.squares.write(out);
    }

    pub(in crate::engine) fn read(from: &mut Reader<'_>) -> Result<Self, SnapshotError> {
        Ok(Self {
            count: from.u64()?,
            pivot: Wide::read(from)?,
            sum: Wide::read(from)?,
            squares: Wide::read(from)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(values: &[f64]) -> Moments {
        let mut moments = Moments::default();
        values.iter().for_each(|x| moments.add(&Value::Float(*x)));
        moments
    }

    fn two_pass(values: &[f64]) -> f64 {
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n
    }

    #[test]
    fn a_small_spread_far_from_zero() {
        let far = of(&[1e15 + 1.0, 1e15 + 2.0, 1e15 + 3.0, 1e15 + 4.0]);
        assert_eq!(far.variance(Of::Population), Some(1.25));
        assert_eq!(far.variance(Of::Sample), Some(5.0 / 3.0));
        let mut huge = Moments::default();
        [i64::MAX, i64::MAX - 2].iter().for_each(|i| huge.add(&Value::Int(*i)));
        assert_eq!(huge.variance(Of::Population), Some(1.0));
        assert_eq!(huge.distance(&Value::Int(i64::MAX)), Some(1.0));
    }

    #[test]
    fn few_values_and_equal_ones() {
        assert_eq!(of(&[]).variance(Of::Population), None);
        assert_eq!(of(&[5.0]).variance(Of::Population), Some(0.0));
        assert_eq!(of(&[5.0]).variance(Of::Sample), None);
        assert_eq!(of(&[0.1; 7]).variance(Of::Population), Some(0.0));
        assert_eq!(of(&[0.1; 7]).distance(&Value::Float(9.0)), None);
        assert_eq!(of(&[0.1]).distance(&Value::Float(9.0)), None);
    }

    proptest! {
        #[test]
        fn agrees_with_two_passes(values in prop::collection::vec(-1e6_f64..1e6, 1..50)) {
            let (got, expected) = (of(&values).variance(Of::Population).unwrap(), two_pass(&values));
            prop_assert!((got - expected).abs() <= 1e-9 * expected.max(1.0), "{got} {expected}");
        }

        #[test]
        fn order_does_not_show(values in prop::collection::vec(-1e3_f64..1e3, 1..30)) {
            let back: Vec<f64> = values.iter().rev().copied().collect();
            prop_assert_eq!(of(&values).variance(Of::Sample), of(&back).variance(Of::Sample));
        }
    }
}
