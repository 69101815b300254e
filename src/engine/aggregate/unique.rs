//! The different values of a window, each where it came first in time.

use std::collections::HashMap;

use crate::engine::snapshot::{Reader, SnapshotError, Writer};
use crate::model::time::Timestamp;
use crate::model::value::Value;

/// What is remembered.
#[derive(Clone, Debug, Default)]
pub(super) struct Unique {
    /// Each value with the time and the turn of its first reading.
    values: HashMap<Value, (Timestamp, u64)>,
    turn: u64,
    /// The last reading's time and value, and whether the value was there before.
    last: Option<(Timestamp, Value, bool)>,
}

impl Unique {
    /// What this value would take.
    pub(super) fn cost(&self, value: &Value) -> usize {
        if self.values.contains_key(value) { 0 } else { entry(value) }
    }

    pub(super) fn add(&mut self, value: &Value, at: Timestamp) {
        // The value that is held already, where there is one: what is large is shared with it.
        let known = self.values.get_key_value(value).map(|(value, _)| value.clone());
        let repeats = known.is_some();
        let value = known.unwrap_or_else(|| value.clone());
        match &mut self.last {
            Some((last, same, repeated)) if at < *last => *repeated |= *same == value,
            last => *last = Some((at, value.clone(), repeats)),
        }
        let place = (at, self.turn);
        self.turn += 1;
        self.values.entry(value).and_modify(|first| *first = place.min(*first)).or_insert(place);
    }

    pub(super) fn bytes(&self) -> usize {
        self.values.keys().map(entry).sum()
    }

    /// The values as an array, in order of time; NULL for nothing.
    pub(super) fn all(&self) -> Value {
        if self.values.is_empty() {
            return Value::Null;
        }
        let mut sorted: Vec<(&Value, &(Timestamp, u64))> = self.values.iter().collect();
        sorted.sort_by_key(|(_, place)| **place);
        Value::Array(sorted.into_iter().map(|(value, _)| value.clone()).collect())
    }

    /// The last value, if no reading before it had the same.
    pub(super) fn newest(&self) -> Value {
        match &self.last {
            Some((_, value, false)) => value.clone(),
            _ => Value::Null,
        }
    }

    pub(super) fn write(&self, out: &mut Writer) {
        out.u64(self.turn);
        out.bool(self.last.is_some());
        if let Some((at, value, repeats)) = &self.last {
            out.time(*at);
            out.value(value);
            out.bool(*repeats);
        }
        out.len(self.values.len());
        for (value, (at, turn)) in &self.values {
            out.value(value);
            out.time(*at);
            out.u64(*turn);
        }
    }

    pub(super) fn read(from: &mut Reader<'_>) -> Result<Self, SnapshotError> {
        let mut new = Self { turn: from.u64()?, ..Self::default() };
        if from.bool()? {
            new.last = Some((from.time()?, from.value()?, from.bool()?));
        }
        for _ in 0..from.len()? {
            let value = from.value()?;
            new.values.insert(value, (from.time()?, from.u64()?));
        }
        Ok(new)
    }
}

/// What a value takes with its place. The copy that `last` holds shares what is large.
fn entry(value: &Value) -> usize {
    value.bytes() + size_of::<(Timestamp, u64)>()
}
