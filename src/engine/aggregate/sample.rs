//! Values kept for their ranks: median and percentiles. Sorted when asked.

use crate::engine::snapshot::{Reader, SnapshotError, Writer};
use crate::model::value::Value;

/// Values of a window: numbers, or others that have an order.
#[derive(Clone, Debug, Default)]
pub(super) struct Sample(Vec<Value>);

impl Sample {
    pub(super) fn add(&mut self, value: &Value) {
        self.0.push(value.clone());
    }

    pub(super) fn bytes(&self) -> usize {
        self.0.iter().map(Value::bytes).sum()
    }

    fn sorted(&self) -> Vec<&Value> {
        let mut sorted: Vec<&Value> = self.0.iter().collect();
        // Kinds that do not compare stand apart, so that there is one order for all.
        let order = |a: &Value, b: &Value| a.compare(b).unwrap_or_else(|| rank(a).cmp(&rank(b)));
        sorted.sort_by(|a, b| order(a, b));
        sorted
    }

    /// The value at this share of the way from the least to the greatest, between two of them in
    /// proportion; NULL for nothing.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a place in a list: not negative, below 2^53"
    )]
    pub(super) fn between(&self, share: f64) -> Value {
        let sorted = self.sorted();
        let place = share.clamp(0.0, 1.0) * sorted.len().saturating_sub(1) as f64;
        let number = |place: f64| sorted.get(place as usize).and_then(|value| value.as_f64());
        let (Some(low), Some(high)) = (number(place.floor()), number(place.ceil())) else {
            return Value::Null;
        };
        let part = place - place.floor();
        let step = high - low;
        // The distance of two finite numbers may be beyond every float; what lies between never is.
        let between = if step.is_finite() { low + step * part } else { low * (1.0 - part) + high * part };
        Value::float(between.clamp(low, high))
    }

    /// The least value with at least this share of all at or below it; NULL for nothing.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a place in a list: not negative, below 2^53"
    )]
    pub(super) fn at(&self, share: f64) -> Value {
        let (share, all) = (share.clamp(0.0, 1.0), self.0.len() as f64);
        let mut rank = (share * all).ceil() as usize;
        // The product may have been rounded up: 0.07 of 100 is 7, and no more.
        while rank > 1 && (rank - 1) as f64 / all >= share {
            rank -= 1;
        }
        self.sorted().get(rank.saturating_sub(1)).map_or(Value::Null, |value| (*value).clone())
    }

    pub(super) fn write(&self, out: &mut Writer) {
        out.values(&self.0);
    }

    pub(super) fn read(from: &mut Reader<'_>) -> Result<Self, SnapshotError> {
        let mut values = from.values()?;
        values.retain(has_rank);
        Ok(Self(values))
    }
}

/// Whether the value has an order with all others of its kind.
pub(super) fn has_rank(value: &Value) -> bool {
    !matches!(value, Value::Null | Value::Array(_) | Value::Struct(_))
}

/// Where its kind stands among the kinds.
fn rank(value: &Value) -> u8 {
    match value {
        Value::Int(_) | Value::Float(_) => 0,
        Value::Time(_) => 1,
        Value::Str(_) => 2,
        Value::Bool(_) => 3,
        Value::Bytes(_) => 4,
        Value::Null | Value::Array(_) | Value::Struct(_) => 5,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(values: &[f64]) -> Sample {
        Sample(values.iter().copied().map(Value::Float).collect())
    }

    #[test]
    fn ranks_and_what_lies_between() {
        let four = of(&[4.0, 1.0, 3.0, 2.0]);
        for (share, between, at) in
            [(0.0, 1.0, 1.0), (0.25, 1.75, 1.0), (0.5, 2.5, 2.0), (0.75, 3.25, 3.0), (1.0, 4.0, 4.0)]
        {
            assert_eq!(four.between(share), Value::Float(between), "{share}");
            assert_eq!(four.at(share), Value::Float(at), "{share}");
        }
        let hundred: Vec<f64> = (1..=100).map(f64::from).collect();
        assert_eq!(of(&hundred).at(0.07), Value::Float(7.0));
        let mixed = Sample(vec![Value::str("b"), Value::Int(2), Value::str("a"), Value::Float(1.0)]);
        assert_eq!(mixed.at(0.5), Value::Int(2));
        assert_eq!(mixed.at(1.0), Value::str("b"));
        assert_eq!(of(&[]).between(0.5), Value::Null);
        assert_eq!(of(&[]).at(0.5), Value::Null);
        assert_eq!(of(&[7.0]).between(0.3), Value::Float(7.0));
        assert_eq!(of(&[-f64::MAX, f64::MAX]).between(0.5), Value::Float(0.0));
    }

    proptest! {
        #[test]
        fn agrees_with_a_definition(
            values in prop::collection::vec(-1e3_f64..1e3, 1..40),
            share in 0.0..=1.0_f64,
        ) {
            // The rank is the first with so many values at or below it.
            let below =
                |x: f64| values.iter().filter(|y| **y <= x).count() as f64 / values.len() as f64 >= share;
            let least = values.iter().copied().filter(|x| below(*x)).fold(f64::INFINITY, f64::min);
            let sample = of(&values);
            prop_assert_eq!(sample.at(share), Value::Float(least));
            let between = sample.between(share).as_f64().unwrap();
            let (low, high) = (
                values.iter().copied().fold(f64::INFINITY, f64::min),
                values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
            );
            prop_assert!((low..=high).contains(&between));
        }
    }
}
