//! The values of the last rows, for `lag`.

use std::collections::VecDeque;

use crate::engine::snapshot::{Reader, SnapshotError, Writer};
use crate::model::value::Value;

/// The most rows that it looks back.
const MAX_OFFSET: usize = 10_000;

/// The values, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Lag {
    values: VecDeque<Value>,
    bytes: usize,
}

impl Lag {
    /// The value of so many rows ago, or the default; then remembers this row's. An offset that is no
    /// number from 1 on is 1.
    pub(super) fn step(
        &mut self,
        value: Value,
        offset: Option<&Value>,
        default: Value,
        ignore_null: bool,
    ) -> Value {
        let offset = match offset {
            Some(Value::Int(offset)) => usize::try_from(*offset).unwrap_or(1).clamp(1, MAX_OFFSET),
            _ => 1,
        };
        let place = self.values.len().checked_sub(offset);
        let lagged = place.and_then(|place| self.values.get(place)).cloned().unwrap_or(default);
        if !(ignore_null && value.is_null()) {
            self.push(value);
        }
        while self.values.len() > offset {
            if let Some(value) = self.values.pop_front() {
                self.bytes -= value.bytes();
            }
        }
        lagged
    }

    fn push(&mut self, value: Value) {
        self.bytes += value.bytes();
        self.values.push_back(value);
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn write(&self, out: &mut Writer) {
        out.len(self.values.len());
        self.values.iter().for_each(|value| out.value(value));
    }

    pub(super) fn read(from: &mut Reader<'_>) -> Result<Self, SnapshotError> {
        let mut new = Self::default();
        from.values()?.into_iter().for_each(|value| new.push(value));
        Ok(new)
    }
}
