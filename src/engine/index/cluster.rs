//! The entries that share an access predicate.

use super::atom::Threshold;
use super::axis::{Axis, By, Tail};
use crate::model::value::Value;

/// Where an entry stands in its cluster.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Spot {
    pub(super) by: By,
    pub(super) key: f64,
}

impl Spot {
    /// For what has no threshold. Its key is below what is held against it.
    pub(super) const ANYWHERE: Self = Self { by: By::Nothing, key: -1.0 };

    pub(super) const fn at(slot: u32, threshold: Threshold) -> Self {
        Self { by: By::Field(slot, threshold.side), key: threshold.key }
    }
}

/// The entries of one cluster. Most clusters are sorted by one field only.
#[derive(Debug)]
pub(super) struct Members {
    first: Axis,
    others: Vec<Axis>,
}

impl Members {
    pub(super) const fn new() -> Self {
        Self { first: Axis::new(By::Nothing), others: Vec::new() }
    }

    pub(super) fn insert(&mut self, spot: Spot, tail: Tail) {
        if self.is_empty() {
            self.first = Axis::new(spot.by);
        }
        if !self.axes().any(|axis| axis.by == spot.by) {
            self.others.reserve_exact(1);
            self.others.push(Axis::new(spot.by));
        }
        if let Some(axis) = self.axes_mut().find(|axis| axis.by == spot.by) {
            axis.insert(spot.key, tail);
        }
    }

    /// Takes out the entry of this reader and spot of which `is` is true.
    pub(super) fn remove(&mut self, spot: Spot, reader: u32, is: impl Fn(Tail) -> bool) -> Option<Tail> {
        let tail = self.axes_mut().find(|axis| axis.by == spot.by)?.remove(spot.key, reader, is)?;
        self.others.retain(|axis| !axis.is_empty());
        if self.first.is_empty()
            && let Some(other) = self.others.pop()
        {
            self.first = other;
        }
        Some(tail)
    }

    /// The first one is only empty where all are.
    pub(super) const fn is_empty(&self) -> bool {
        self.first.is_empty()
    }

    fn axes(&self) -> impl Iterator<Item = &Axis> {
        std::iter::once(&self.first).chain(&self.others)
    }

    fn axes_mut(&mut self) -> impl Iterator<Item = &mut Axis> {
        std::iter::once(&mut self.first).chain(&mut self.others)
    }

    pub(super) fn len(&self) -> usize {
        self.axes().map(Axis::len).sum()
    }

    /// How many entries are sorted like this one.
    pub(super) fn beside(&self, by: By) -> usize {
        self.axes().filter(|axis| axis.by == by).map(Axis::len).sum()
    }

    /// The one entry that there is, where every row passes it.
    #[inline]
    pub(super) fn only(&self) -> Option<Tail> {
        if self.others.is_empty() { self.first.only() } else { None }
    }

    /// Gives every entry whose threshold the row passes.
    #[inline]
    pub(super) fn passed(&self, slots: &[Value], mut give: impl FnMut(Tail)) {
        self.first.passed(slots, &mut give);
        self.others.iter().for_each(|axis| axis.passed(slots, &mut give));
    }
}
