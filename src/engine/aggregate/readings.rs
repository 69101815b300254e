//! Readings kept with their times, for what depends on their order: it goes by time, and among equal
//! times by arrival. They are kept as they come and sorted when asked, so that no order of arrival makes
//! a window slow.

use crate::engine::arithmetic;
use crate::engine::expr::Env;
use crate::engine::snapshot::{Reader, SnapshotError, Writer};
use crate::model::time::Timestamp;
use crate::model::value::Value;

use super::sum::Sum;

/// One reading.
#[derive(Clone, Debug)]
pub(in crate::engine) struct Reading {
    /// Its time.
    pub(in crate::engine) at: Timestamp,
    /// Its value.
    pub(in crate::engine) value: Value,
}

impl Reading {
    /// What it takes in a list.
    pub(in crate::engine) fn bytes(&self) -> usize {
        size_of::<Timestamp>() + self.value.bytes()
    }

    pub(in crate::engine) fn write(&self, out: &mut Writer) {
        out.time(self.at);
        out.value(&self.value);
    }

    pub(in crate::engine) fn read(from: &mut Reader<'_>) -> Result<Self, SnapshotError> {
        Ok(Self { at: from.time()?, value: from.value()? })
    }

    /// Writes one that may be absent.
    pub(in crate::engine) fn write_option(reading: Option<&Self>, out: &mut Writer) {
        out.bool(reading.is_some());
        if let Some(reading) = reading {
            reading.write(out);
        }
    }

    /// Reads what [`Self::write_option`] wrote.
    pub(in crate::engine) fn read_option(from: &mut Reader<'_>) -> Result<Option<Self>, SnapshotError> {
        if from.bool()? { Self::read(from).map(Some) } else { Ok(None) }
    }
}

/// Seconds from one time to a later one; `None` where it is not later.
#[expect(clippy::cast_precision_loss, reason = "seconds are a FLOAT")]
pub(in crate::engine) fn seconds_between(earlier: Timestamp, later: Timestamp) -> Option<f64> {
    let micros = i128::from(later.micros()) - i128::from(earlier.micros());
    (micros > 0).then(|| micros as f64 / 1e6)
}

/// How much a counter rose from one reading to the next; a fall is a reset, from where it counts on
/// from zero.
pub(in crate::engine) fn rise(before: &Value, value: &Value, env: &Env) -> Value {
    if value.compare(before).is_some_and(std::cmp::Ordering::is_lt) {
        value.clone()
    } else {
        arithmetic::subtract(value, before, env)
    }
}

/// All readings of a window.
#[derive(Clone, Debug, Default)]
pub(super) struct Readings(Vec<Reading>);

impl Readings {
    pub(super) fn add(&mut self, reading: Reading) {
        self.0.push(reading);
    }

    pub(super) fn bytes(&self) -> usize {
        self.0.iter().map(Reading::bytes).sum()
    }

    fn in_order(&self) -> Vec<&Reading> {
        let mut sorted: Vec<&Reading> = self.0.iter().collect();
        sorted.sort_by_key(|reading| reading.at);
        sorted
    }

    /// All values as an array; NULL for nothing.
    pub(super) fn collect(&self) -> Value {
        if self.0.is_empty() {
            return Value::Null;
        }
        Value::Array(self.in_order().into_iter().map(|reading| reading.value.clone()).collect())
    }

    /// The rise of a counter; NULL with fewer than two readings.
    pub(super) fn increase(&self, env: &Env) -> Value {
        let sorted = self.in_order();
        let mut sum = Sum::new();
        for pair in sorted.windows(2) {
            if let [before, after] = pair {
                // Where a single step overflows a BIGINT the sum of all would too.
                let step = match rise(&before.value, &after.value, &Env::default()) {
                    Value::Null => float_rise(&before.value, &after.value),
                    step => step,
                };
                if step.is_null() {
                    return env.float(f64::NAN);
                }
                sum.add(&step);
            }
        }
        sum.total(env)
    }

    /// The rise of a counter a second; NULL where no time passed.
    pub(super) fn rate(&self, env: &Env) -> Value {
        let sorted = self.in_order();
        let (Some(first), Some(last)) = (sorted.first(), sorted.last()) else { return Value::Null };
        let Some(seconds) = seconds_between(first.at, last.at) else { return Value::Null };
        match self.increase(env).as_f64() {
            Some(increase) => env.float(increase / seconds),
            None => Value::Null,
        }
    }

    pub(super) fn write(&self, out: &mut Writer) {
        out.len(self.0.len());
        self.0.iter().for_each(|reading| reading.write(out));
    }

    pub(super) fn read(from: &mut Reader<'_>) -> Result<Self, SnapshotError> {
        let n = from.len()?;
        (0..n).map(|_| Reading::read(from)).collect::<Result<_, _>>().map(Self)
    }
}

fn float_rise(before: &Value, after: &Value) -> Value {
    match (before.as_f64(), after.as_f64()) {
        (Some(before), Some(after)) => Value::float(after - before),
        _ => Value::Null,
    }
}

/// The first and the last reading of a window.
#[derive(Clone, Debug, Default)]
pub(super) struct Ends {
    pub(super) first: Option<Reading>,
    pub(super) last: Option<Reading>,
    several: bool,
}

impl Ends {
    pub(super) fn add(&mut self, value: &Value, at: Timestamp) {
        self.several |= self.first.is_some();
        if self.first.as_ref().is_none_or(|first| at < first.at) {
            self.first = Some(Reading { at, value: value.clone() });
        }
        if self.last.as_ref().is_none_or(|last| at >= last.at) {
            self.last = Some(Reading { at, value: value.clone() });
        }
    }

    /// The last less the first; NULL with fewer than two readings.
    pub(super) fn delta(&self, env: &Env) -> Value {
        match (&self.first, &self.last) {
            (Some(first), Some(last)) if self.several => arithmetic::subtract(&last.value, &first.value, env),
            _ => Value::Null,
        }
    }

    pub(super) fn write(&self, out: &mut Writer) {
        out.bool(self.several);
        Reading::write_option(self.first.as_ref(), out);
        Reading::write_option(self.last.as_ref(), out);
    }

    pub(super) fn read(from: &mut Reader<'_>) -> Result<Self, SnapshotError> {
        Ok(Self {
            several: from.bool()?,
            first: Reading::read_option(from)?,
            last: Reading::read_option(from)?,
        })
    }
}
