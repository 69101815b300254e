//! The last values of some columns, for `had_changed` and `changed_col`.

use crate::engine::snapshot::{Reader, SnapshotError, Writer};
use crate::model::value::Value;

/// The last value of each column; `None` until there was one.
#[derive(Debug, Default)]
pub(super) struct Changed {
    last: Vec<Option<Value>>,
}

impl Changed {
    /// Whether any value differs from the last that was remembered. The first does. With `ignore_null` a
    /// NULL neither differs nor is remembered.
    pub(super) fn step(&mut self, values: impl Iterator<Item = Value>, ignore_null: bool) -> bool {
        let mut differs = false;
        for (place, value) in values.enumerate() {
            if place == self.last.len() {
                self.last.push(None);
            }
            if ignore_null && value.is_null() {
                continue;
            }
            let last = &mut self.last[place];
            if last.as_ref() != Some(&value) {
                differs = true;
                *last = Some(value);
            }
        }
        differs
    }

    pub(super) fn bytes(&self) -> usize {
        let list = self.last.len() * size_of::<Option<Value>>();
        list + self.last.iter().flatten().map(crate::engine::aggregate::beyond).sum::<usize>()
    }

    pub(super) fn write(&self, out: &mut Writer) {
        out.len(self.last.len());
        for last in &self.last {
            out.bool(last.is_some());
            last.iter().for_each(|value| out.value(value));
        }
    }

    pub(super) fn read(from: &mut Reader<'_>) -> Result<Self, SnapshotError> {
        let mut last = Vec::new();
        for _ in 0..from.len()? {
            last.push(if from.bool()? { Some(from.value()?) } else { None });
        }
        Ok(Self { last })
    }
}
