//! The line through readings by least squares, without the readings: sums over time and value, as
//! distances from the first of them, in [`Wide`].

use super::wide::Wide;
use crate::engine::snapshot::{Reader, SnapshotError, Writer};
use crate::model::time::Timestamp;
use crate::model::value::Value;

const MICROS: f64 = 1e6;

/// What is remembered. Times are microseconds from `origin`, values distances from `pivot`.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Line {
    count: u64,
    /// The time of the reading that came first.
    origin: Timestamp,
    /// The value of the reading that came first.
    pivot: Wide,
    /// The least time.
    first: Timestamp,
    /// The greatest time.
    last: Timestamp,
    times: Wide,
    values: Wide,
    squares: Wide,
    products: Wide,
}

impl Line {
    /// Adds a reading; passes over what is no number.
    pub(super) fn add(&mut self, value: &Value, at: Timestamp) {
        let Some(number) = Wide::of(value) else { return };
        if self.count == 0 {
            (self.origin, self.first, self.last, self.pivot) = (at, at, at, number);
        }
        self.count += 1;
        self.first = self.first.min(at);
        self.last = self.last.max(at);
        let (time, number) = (self.time(at), number.minus(self.pivot));
        self.times = self.times.plus(time);
        self.values = self.values.plus(number);
        self.squares = self.squares.plus(time.times(time));
        self.products = self.products.plus(time.times(number));
    }

    fn time(&self, at: Timestamp) -> Wide {
        Wide::integer(i128::from(at.micros()) - i128::from(self.origin.micros()))
    }

    /// How much it rises a microsecond; `None` where all readings are of one time.
    fn rise(&self) -> Option<Wide> {
        if self.first == self.last {
            return None;
        }
        let n = Wide::count(self.count);
        let above = n.times(self.products).minus(self.times.times(self.values));
        let below = n.times(self.squares).minus(self.times.times(self.times));
        Some(above.over(below))
    }

    /// How much it rises a second; `None` with fewer than two different times. It may be beyond what a
    /// float holds.
    pub(super) fn slope(&self) -> Option<f64> {
        self.rise().map(|rise| rise.times(Wide::float(MICROS)).value())
    }

    /// Where it will be so many seconds after the last reading.
    pub(super) fn predict(&self, seconds: f64) -> Option<f64> {
        let rise = self.rise()?;
        let n = Wide::count(self.count);
        let at = self.time(self.last).plus(Wide::float(seconds * MICROS));
        // Both means are still multiplied by the number of readings here.
        let ahead = n.times(at).minus(self.times).times(rise);
        Some(self.pivot.plus(self.values.plus(ahead).over(n)).value())
    }

    pub(super) fn write(&self, out: &mut Writer) {
        out.u64(self.count);
        out.time(self.origin);
        out.time(self.first);
        out.time(self.last);
        let sums = [self.pivot, self.times, self.values, self.squares, self.products];
        sums.into_iter().for_each(|sum| sum.write(out));
    }

    pub(super) fn read(from: &mut Reader<'_>) -> Result<Self, SnapshotError> {
        Ok(Self {
            count: from.u64()?,
            origin: from.time()?,
            first: from.time()?,
            last: from.time()?,
            pivot: Wide::read(from)?,
            times: Wide::read(from)?,
            values: Wide::read(from)?,
            squares: Wide::read(from)?,
            products: Wide::read(from)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn through(points: &[(i64, f64)]) -> Line {
        let mut line = Line::default();
        for (micros, x) in points {
            line.add(&Value::Float(*x), Timestamp::from_micros(*micros));
        }
        line
    }

    #[test]
    fn a_straight_line_is_found_exactly() {
        let base = 1_700_000_000_000_000;
        let points: Vec<(i64, f64)> =
            (0..10).map(|i| (base + i * 1_000_000, 20.0 + 0.5 * i as f64)).collect();
        let line = through(&points);
        assert_eq!(line.slope(), Some(0.5));
        assert_eq!(line.predict(60.0), Some(24.5 + 30.0));
        let back: Vec<(i64, f64)> = points.into_iter().rev().collect();
        assert_eq!(through(&back).predict(60.0), Some(54.5));
    }

    #[test]
    fn one_time_has_no_line() {
        assert_eq!(through(&[]).slope(), None);
        assert_eq!(through(&[(5, 1.0)]).slope(), None);
        assert_eq!(through(&[(5, 1.0), (5, 2.0)]).predict(1.0), None);
        let ends = through(&[(i64::MIN, 1.0), (i64::MAX, 2.0)]);
        assert!(ends.slope().unwrap().is_finite());
    }

    proptest! {
        #[test]
        fn agrees_with_the_formula(points in prop::collection::vec((0..1_000_i64, -1e3..1e3_f64), 2..40)) {
            let n = points.len() as f64;
            let (mt, mx) = points.iter().fold((0.0, 0.0), |(t, x), p| (t + p.0 as f64 / n, x + p.1 / n));
            let above: f64 = points.iter().map(|(t, x)| (*t as f64 - mt) * (x - mx)).sum();
            let below: f64 = points.iter().map(|(t, _)| (*t as f64 - mt).powi(2)).sum();
            let seconds: Vec<(i64, f64)> = points.iter().map(|(t, x)| (t * 1_000_000, *x)).collect();
            let line = through(&seconds);
            if points.iter().all(|p| p.0 == points[0].0) {
                prop_assert_eq!(line.slope(), None);
                return Ok(());
            }
            let (slope, last) = (above / below, points.iter().map(|p| p.0).max().unwrap() as f64);
            prop_assert!((line.slope().unwrap() - slope).abs() <= 1e-7 * slope.abs().max(1.0));
            let ahead = mx + slope * (last + 10.0 - mt);
            prop_assert!((line.predict(10.0).unwrap() - ahead).abs() <= 1e-6 * ahead.abs().max(1.0));
        }
    }
}
