//! Objects laid over one another, member by member: the later in time hides the earlier.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::engine::budget::Budget;
use crate::engine::snapshot::{Reader, SnapshotError, Writer};
use crate::model::time::Timestamp;
use crate::model::value::Value;

use super::readings::Reading;

/// Each member with the time that it is from. `None` until there was an object, for one without
/// members is an object too.
#[derive(Clone, Debug, Default)]
pub(super) struct Merged(Option<BTreeMap<Arc<str>, Reading>>);

impl Merged {
    /// Takes an object in; passes over everything else. False where there was no room for a member, or
    /// for its new value.
    pub(super) fn add(&mut self, value: &Value, at: Timestamp, budget: &mut Budget) -> bool {
        let Value::Struct(given) = value else { return true };
        let members = self.0.get_or_insert_default();
        let mut all = true;
        for (name, value) in given.iter() {
            let reading = Reading { at, value: value.clone() };
            let before = match members.get(name) {
                Some(known) if known.at > at => continue,
                Some(known) => entry(name, known),
                None => 0,
            };
            if budget.take(entry(name, &reading).saturating_sub(before)) {
                budget.give(before.saturating_sub(entry(name, &reading)));
                members.insert(name.clone(), reading);
            } else {
                all = false;
            }
        }
        all
    }

    pub(super) fn bytes(&self) -> usize {
        self.0.iter().flatten().map(|(name, reading)| entry(name, reading)).sum()
    }

    /// The object; NULL for nothing.
    pub(super) fn value(&self) -> Value {
        let Some(members) = &self.0 else { return Value::Null };
        let members = members.iter().map(|(name, reading)| (name.clone(), reading.value.clone()));
        Value::Struct(Arc::new(members.collect()))
    }

    pub(super) fn write(&self, out: &mut Writer) {
        out.bool(self.0.is_some());
        if let Some(members) = &self.0 {
            out.len(members.len());
            for (name, reading) in members {
                out.run(name.as_bytes());
                reading.write(out);
            }
        }
    }

    pub(super) fn read(from: &mut Reader<'_>) -> Result<Self, SnapshotError> {
        if !from.bool()? {
            return Ok(Self(None));
        }
        let mut members = BTreeMap::new();
        for _ in 0..from.len()? {
            let name: Arc<str> = from.text()?.into();
            members.insert(name, Reading::read(from)?);
        }
        Ok(Self(Some(members)))
    }
}

fn entry(name: &str, reading: &Reading) -> usize {
    size_of::<Arc<str>>() + name.len() + reading.bytes()
}
