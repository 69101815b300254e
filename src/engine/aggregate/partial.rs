//! What one slice of time remembers for one aggregate of one group, so that a window's value comes out of
//! its slices as it would out of its rows: for aggregates to which it does not matter how the rows are
//! cut into parts.

use std::cmp::Ordering;

use crate::engine::budget::Budget;
use crate::engine::expr::Env;
use crate::engine::snapshot::{Reader, SnapshotError, Writer};
use crate::model::value::Value;
use crate::plan::logical::{Aggregate, AggregateFunction};

use super::extreme::Extreme;
use super::sum::Sum;

/// The state of one aggregate.
#[derive(Clone, Debug)]
pub(in crate::engine) enum Partial {
    Count(u64),
    Sum(Sum),
    Least(Extreme),
    Greatest(Extreme),
}

impl Partial {
    /// Whether there is one for this aggregate.
    pub(in crate::engine) fn takes(aggregate: &Aggregate) -> bool {
        use AggregateFunction as F;
        !aggregate.distinct && matches!(aggregate.function, F::Count | F::Sum | F::Avg | F::Min | F::Max)
    }

    /// Of nothing.
    pub(in crate::engine) fn new(aggregate: &Aggregate) -> Self {
        match aggregate.function {
            AggregateFunction::Sum | AggregateFunction::Avg => Self::Sum(Sum::new()),
            AggregateFunction::Min => Self::Least(Extreme::new()),
            AggregateFunction::Max => Self::Greatest(Extreme::new()),
            _ => Self::Count(0),
        }
    }

    /// Which kind of state it is, as a number that snapshots know it by.
    pub(in crate::engine) const fn kind(&self) -> u8 {
        match self {
            Self::Count(_) => 0,
            Self::Sum(_) => 1,
            Self::Least(_) => 2,
            Self::Greatest(_) => 3,
        }
    }

    /// Counts a row, whatever it holds: `count(*)`.
    #[inline]
    pub(in crate::engine) fn count(&mut self) {
        if let Self::Count(n) = self {
            *n += 1;
        }
    }

    /// Takes in the argument's value of the row that came as this one. What it must remember of it is taken
    /// from the budget; false where there was no room, and the row was left out.
    #[inline]
    pub(in crate::engine) fn add(&mut self, value: &Value, at: u64, budget: &mut Budget) -> bool {
        match self {
            Self::Count(n) => *n += u64::from(!value.is_null()),
            Self::Sum(sum) => match value {
                Value::Int(_) => sum.add(value),
                Value::Float(_) => {
                    let before = sum.bytes();
                    sum.add(value);
                    // Once in its life, and never much.
                    budget.charge(sum.bytes() - before);
                }
                _ => {}
            },
            Self::Least(_) | Self::Greatest(_) if value.is_null() => {}
            Self::Least(best) => return extreme(best, value, at, Ordering::Less, budget),
            Self::Greatest(best) => return extreme(best, value, at, Ordering::Greater, budget),
        }
        true
    }

    /// Takes in what another of the same aggregate holds.
    #[inline]
    pub(in crate::engine) fn merge(&mut self, other: &Self) {
        match (self, other) {
            (Self::Count(n), Self::Count(other)) => *n += other,
            (Self::Sum(sum), Self::Sum(other)) => sum.merge(other),
            (Self::Least(best), Self::Least(other)) => best.merge(other, Ordering::Less),
            (Self::Greatest(best), Self::Greatest(other)) => best.merge(other, Ordering::Greater),
            _ => {}
        }
    }

    /// Takes away again what another of the same aggregate holds, which was taken in before; false where that
    /// cannot be done.
    #[must_use]
    pub(in crate::engine) fn unmerge(&mut self, other: &Self) -> bool {
        match (self, other) {
            (Self::Count(n), Self::Count(other)) => *n = n.saturating_sub(*other),
            (Self::Sum(sum), Self::Sum(other)) => sum.unmerge(other),
            _ => return false,
        }
        true
    }

    /// The least or greatest value so far with the place of its row, and how the better of two compares with the
    /// other; `None` where there is more to it than that.
    pub(in crate::engine) fn peak(&self) -> Option<(&Value, u64, Ordering)> {
        let (best, wanted) = match self {
            Self::Least(best) => (best, Ordering::Less),
            Self::Greatest(best) => (best, Ordering::Greater),
            Self::Count(_) | Self::Sum(_) => return None,
        };
        best.only().map(|(value, at)| (value, at, wanted))
    }

    /// Whether it holds the least or the greatest of values.
    pub(in crate::engine) const fn is_extreme(&self) -> bool {
        matches!(self, Self::Least(_) | Self::Greatest(_))
    }

    /// The aggregate's value.
    pub(in crate::engine) fn value(&self, aggregate: &Aggregate, env: &Env) -> Value {
        match self {
            Self::Count(n) => i64::try_from(*n).map_or(Value::Null, Value::Int),
            Self::Sum(sum) if aggregate.function == AggregateFunction::Avg => sum.mean(env),
            Self::Sum(sum) => sum.total(env),
            Self::Least(best) => best.value(Ordering::Less),
            Self::Greatest(best) => best.value(Ordering::Greater),
        }
    }

    /// What it takes beyond its own place.
    pub(in crate::engine) fn bytes(&self) -> usize {
        match self {
            Self::Count(_) => 0,
            Self::Sum(sum) => sum.bytes(),
            Self::Least(best) | Self::Greatest(best) => best.bytes(),
        }
    }

    /// Writes the state.
    pub(in crate::engine) fn write(&self, out: &mut Writer) {
        match self {
            Self::Count(n) => out.u64(*n),
            Self::Sum(sum) => sum.write(out),
            Self::Least(best) | Self::Greatest(best) => best.write(out),
        }
    }

    /// Reads a state of this kind.
    pub(in crate::engine) fn read(kind: u8, from: &mut Reader<'_>) -> Result<Self, SnapshotError> {
        Ok(match kind {
            0 => Self::Count(from.u64()?),
            1 => Self::Sum(Sum::read(from)?),
            2 => Self::Least(Extreme::read(from)?),
            3 => Self::Greatest(Extreme::read(from)?),
            _ => return Err(from.damaged()),
        })
    }
}

fn extreme(best: &mut Extreme, value: &Value, at: u64, wanted: Ordering, budget: &mut Budget) -> bool {
    if matches!(value, Value::Int(_) | Value::Float(_) | Value::Bool(_) | Value::Time(_)) {
        best.add(value, at, wanted);
        return true;
    }
    // What such a value could take at most; what it does not take is given back.
    if !budget.has(2 * value.bytes()) {
        return false;
    }
    let before = best.bytes();
    best.add(value, at, wanted);
    budget.charge(best.bytes().saturating_sub(before));
    budget.give(before.saturating_sub(best.bytes()));
    true
}
