//! The least or the greatest of values, in parts that can be put together.
//!
//! Which value wins goes by the order in which they came, where they are of kinds that have no order
//! between them: the first one's kind decides, and all others are passed over. So each kind has its own
//! best here, with the place of its first value. Of equal values, 1 and 1.0, the first one stays.

use std::cmp::Ordering;

use crate::engine::snapshot::{Reader, SnapshotError, Writer};
use crate::model::value::Value;

use super::beyond;

/// The best value of each kind so far.
#[derive(Clone, Debug)]
pub(in crate::engine) struct Extreme {
    best: Best,
    /// Those of other kinds. Arrays stand one by one: between two of them there may be no order.
    others: Vec<Best>,
}

/// The best value of one kind.
#[derive(Clone, Debug)]
struct Best {
    /// NULL for none.
    value: Value,
    /// The place of the value among all rows.
    at: u64,
    /// The place of the first value of the kind.
    first: u64,
}

impl Extreme {
    /// Of nothing.
    pub(super) const fn new() -> Self {
        Self { best: Best { value: Value::Null, at: 0, first: 0 }, others: Vec::new() }
    }

    /// Takes in a value that is not NULL, of the row that came as this one. `wanted` is how the better of
    /// two compares with the other.
    #[inline]
    pub(super) fn add(&mut self, value: &Value, at: u64, wanted: Ordering) {
        match value.compare(&self.best.value) {
            // Rows come one after the other, so the earlier value stays of equal ones.
            Some(order) if !stands_alone(value) => {
                if order == wanted {
                    self.best.value = value.clone();
                    self.best.at = at;
                }
            }
            _ => self.put(&Best { value: value.clone(), at, first: at }, wanted),
        }
    }

    /// Takes in what others have come to.
    pub(super) fn merge(&mut self, other: &Self, wanted: Ordering) {
        if other.best.value.is_null() {
            return;
        }
        self.put(&other.best, wanted);
        other.others.iter().for_each(|best| self.put(best, wanted));
    }

    fn put(&mut self, new: &Best, wanted: Ordering) {
        if self.best.value.is_null() {
            self.best = new.clone();
            return;
        }
        let joins = |best: &Best| !stands_alone(&new.value) && same_kind(&best.value, &new.value);
        if joins(&self.best) {
            self.best.join(new, wanted);
            return;
        }
        match self.others.iter_mut().find(|best| joins(best)) {
            Some(best) => best.join(new, wanted),
            None => self.others.push(new.clone()),
        }
    }

    /// The value; NULL for nothing.
    pub(super) fn value(&self, wanted: Ordering) -> Value {
        if self.others.is_empty() {
            return self.best.value.clone();
        }
        let mut all: Vec<&Best> = [&self.best].into_iter().chain(&self.others).collect();
        all.sort_by_key(|best| best.first);
        let mut value = Value::Null;
        for best in all {
            super::keep(&mut value, &best.value, wanted);
        }
        value
    }

    /// The best value, NULL for none, and the place of its row; `None` where values of several kinds came, or of
    /// one that has no order.
    pub(super) fn only(&self) -> Option<(&Value, u64)> {
        let alone = matches!(self.best.value, Value::Array(_) | Value::Struct(_)) || !self.others.is_empty();
        (!alone).then_some((&self.best.value, self.best.at))
    }

    /// What it takes beyond its own place.
    pub(super) fn bytes(&self) -> usize {
        let others = self.others.iter();
        beyond(&self.best.value) + others.map(|best| size_of::<Best>() + beyond(&best.value)).sum::<usize>()
    }

    pub(super) fn write(&self, out: &mut Writer) {
        self.best.write(out);
        out.len(self.others.len());
        self.others.iter().for_each(|best| best.write(out));
    }

    pub(super) fn read(from: &mut Reader<'_>) -> Result<Self, SnapshotError> {
        let best = Best::read(from)?;
        let count = from.len()?;
        let others = (0..count).map(|_| Best::read(from)).collect::<Result<_, _>>()?;
        Ok(Self { best, others })
    }
}

impl Best {
    fn join(&mut self, other: &Self, wanted: Ordering) {
        let better = match other.value.compare(&self.value) {
            Some(Ordering::Equal) | None => other.at < self.at,
            Some(order) => order == wanted,
        };
        if better {
            self.value = other.value.clone();
            self.at = other.at;
        }
        self.first = self.first.min(other.first);
    }

    fn write(&self, out: &mut Writer) {
        out.value(&self.value);
        out.u64(self.at);
        out.u64(self.first);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, SnapshotError> {
        Ok(Self { value: from.value()?, at: from.u64()?, first: from.u64()? })
    }
}

/// Whether a value may have no order with others of its kind.
fn stands_alone(value: &Value) -> bool {
    matches!(value, Value::Array(_))
}

/// Whether two values are of one kind, within which all have an order, or the first one stays.
fn same_kind(a: &Value, b: &Value) -> bool {
    a.compare(b).is_some() || matches!((a, b), (Value::Struct(_), Value::Struct(_)))
}
