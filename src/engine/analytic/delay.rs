//! The values of the last while, for `delay`.

use std::collections::VecDeque;
use std::time::Duration;

use crate::engine::aggregate::Reading;
use crate::engine::snapshot::{Reader, SnapshotError, Writer};
use crate::model::time::Timestamp;
use crate::model::value::Value;

/// The most rows that are remembered.
const MAX_ROWS: usize = 10_000;

/// The rows in order of time, those of equal times in order of arrival.
#[derive(Debug, Default)]
pub(super) struct Delay {
    rows: VecDeque<Reading>,
    bytes: usize,
}

impl Delay {
    /// Remembers this row's value, and gives that of the newest row which is at least so many
    /// milliseconds older.
    pub(super) fn step(&mut self, millis: &Value, value: Value, at: Timestamp) -> Value {
        let reading = Reading { at, value };
        self.bytes += reading.bytes();
        self.rows.insert(self.rows.partition_point(|row| row.at <= at), reading);
        let Some(span) = span(millis) else {
            self.shorten(MAX_ROWS);
            return Value::Null;
        };
        let older = |limit: Timestamp| self.rows.partition_point(|row| row.at <= limit);
        let found = older(at.minus(span)).checked_sub(1).and_then(|place| self.rows.get(place));
        let value = found.map_or(Value::Null, |row| row.value.clone());
        // Of the rows older than that only the newest can be asked for again.
        let newest = self.rows.back().map_or(at, |row| row.at);
        let needless = older(newest.minus(span)).saturating_sub(1);
        self.shorten((self.rows.len() - needless).min(MAX_ROWS));
        value
    }

    fn shorten(&mut self, most: usize) {
        while self.rows.len() > most {
            if let Some(row) = self.rows.pop_front() {
                self.bytes -= row.bytes();
            }
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn write(&self, out: &mut Writer) {
        out.len(self.rows.len());
        self.rows.iter().for_each(|row| row.write(out));
    }

    pub(super) fn read(from: &mut Reader<'_>) -> Result<Self, SnapshotError> {
        let mut new = Self::default();
        for _ in 0..from.len()? {
            let row = Reading::read(from)?;
            if new.rows.back().is_some_and(|last| last.at > row.at) {
                return Err(from.damaged());
            }
            new.bytes += row.bytes();
            new.rows.push_back(row);
        }
        Ok(new)
    }
}

/// Milliseconds as a span; `None` for what is no number or negative.
fn span(millis: &Value) -> Option<Duration> {
    Duration::try_from_secs_f64(millis.as_f64()? / 1e3).ok()
}
