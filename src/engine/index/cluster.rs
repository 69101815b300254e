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

/// The entries of one cluster. Most clusters hold one, since most devices have one rule.
#[derive(Debug)]
pub(super) enum Members {
    /// One.
    One(Spot, Tail),
    /// Several, or none.
    Many(Vec<Axis>),
}

impl Members {
    pub(super) const fn new() -> Self {
        Self::Many(Vec::new())
    }

    pub(super) fn insert(&mut self, spot: Spot, tail: Tail) {
        match self {
            Self::Many(axes) if axes.is_empty() => *self = Self::One(spot, tail),
            Self::Many(axes) => insert(axes, spot, tail),
            Self::One(first, known) => {
                let mut axes = Vec::with_capacity(1);
                insert(&mut axes, *first, *known);
                insert(&mut axes, spot, tail);
                *self = Self::Many(axes);
            }
        }
    }

    /// Takes out the entry of this reader and spot of which `is` is true.
    pub(super) fn remove(&mut self, spot: Spot, reader: u32, is: impl Fn(Tail) -> bool) -> Option<Tail> {
        match self {
            Self::One(known, tail) => {
                let found = (*known == spot && tail.reader == reader && is(*tail)).then_some(*tail)?;
                *self = Self::new();
                Some(found)
            }
            Self::Many(axes) => {
                let at = axes.iter().position(|axis| axis.by == spot.by)?;
                let axis = axes.get_mut(at)?;
                let tail = axis.remove(spot.key, reader, is)?;
                if axis.is_empty() {
                    axes.remove(at);
                }
                Some(tail)
            }
        }
    }

    pub(super) const fn is_empty(&self) -> bool {
        matches!(self, Self::Many(axes) if axes.is_empty())
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::One(..) => 1,
            Self::Many(axes) => axes.iter().map(Axis::len).sum(),
        }
    }

    /// How many entries are sorted like this one.
    pub(super) fn beside(&self, by: By) -> usize {
        match self {
            Self::One(..) => 1,
            Self::Many(axes) => axes.iter().filter(|axis| axis.by == by).map(Axis::len).sum(),
        }
    }

    /// Gives every entry whose threshold the row passes.
    pub(super) fn passed(&self, slots: &[Value], mut give: impl FnMut(Tail)) {
        match self {
            Self::One(spot, tail) => {
                if spot.by.against(slots).is_some_and(|value| spot.key < value) {
                    give(*tail);
                }
            }
            Self::Many(axes) => axes.iter().for_each(|axis| axis.passed(slots, &mut give)),
        }
    }
}

fn insert(axes: &mut Vec<Axis>, spot: Spot, tail: Tail) {
    let at = axes.iter().position(|axis| axis.by == spot.by).unwrap_or_else(|| {
        axes.push(Axis::new(spot.by));
        axes.len() - 1
    });
    if let Some(axis) = axes.get_mut(at) {
        axis.insert(spot.key, tail);
    }
}
