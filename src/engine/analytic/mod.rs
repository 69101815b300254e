//! The analytic functions: what they remember of the rows (or groups) before, per partition.
//!
//! Functions with the same PARTITION BY share their partitions. A partition is bounded by what its
//! functions remember, the number of partitions by [`Config`](super::Config), and all bytes by the
//! rule's [`Budget`]. Where a bound is reached, the partitions that were quiet for longest are forgotten.

mod cell;
mod changed;
mod delay;
mod lag;
mod partitions;

use super::budget::Budget;
use super::expr::{Scope, eval, holds};
use super::snapshot::{Reader, SnapshotError, Writer};
use crate::model::value::Value;
use crate::plan::logical::{Analytic, AnalyticFunction};

use self::partitions::Partitions;

/// The state of all analytic functions of one list of a rule. Most rules have none.
#[derive(Debug, Default)]
pub(super) struct Analytics(Option<Box<Functions>>);

#[derive(Debug, Default)]
struct Functions {
    /// One for each PARTITION BY that differs.
    sets: Vec<Partitions>,
    /// For each function its set, and its place among the functions of the set.
    places: Vec<(usize, usize)>,
}

impl Analytics {
    /// Nothing seen yet. Functions with the same PARTITION BY remember at most so many partitions.
    pub(super) fn new(plan: &[Analytic], most: usize) -> Self {
        Self((!plan.is_empty()).then(|| Box::new(Functions::new(plan, most))))
    }

    /// Whether there is no function.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Takes a row in, and gives the value of each function for it. `scope` has no analytics yet; they are
    /// filled in one after the other, so that one function may use those before it. `refused` counts
    /// partitions that were forgotten, and what had no room: a new partition, whose functions are NULL
    /// then, or what a function must remember, which then begins anew.
    pub(super) fn take(
        &mut self,
        plan: &[Analytic],
        scope: Scope<'_>,
        budget: &mut Budget,
        refused: &mut u64,
    ) -> Vec<Value> {
        self.0.as_mut().map_or_else(Vec::new, |functions| functions.take(plan, scope, budget, refused))
    }

    /// The row of `scope` (with its analytics) gave an output row.
    pub(super) fn hit(&mut self, plan: &[Analytic], scope: Scope<'_>) {
        if let Some(functions) = &mut self.0 {
            functions.hit(plan, scope);
        }
    }

    /// Whether it remembers nothing.
    pub(super) fn is_fresh(&self) -> bool {
        self.0.as_ref().is_none_or(|functions| functions.is_fresh())
    }

    /// What it took from the budget.
    pub(super) fn bytes(&self) -> usize {
        self.0.as_ref().map_or(0, |functions| functions.bytes())
    }

    /// Writes the state.
    pub(super) fn write(&self, out: &mut Writer) {
        if let Some(functions) = &self.0 {
            functions.write(out);
        }
    }

    /// Writes what was not written by this before.
    pub(super) fn write_news(&mut self, out: &mut Writer) {
        if let Some(functions) = &mut self.0 {
            functions.sets.iter_mut().for_each(|set| set.write_news(out));
        }
    }

    /// Reads what [`Self::write_news`] wrote for the same functions, in the place of what is known of the same
    /// partitions. The budget is the caller's to set right.
    pub(super) fn read_news(
        &mut self,
        plan: &[Analytic],
        from: &mut Reader<'_>,
    ) -> Result<(), SnapshotError> {
        if let Some(functions) = &mut self.0 {
            functions.sets.iter_mut().try_for_each(|set| set.read(plan, from))?;
        }
        if from.is_at_end() { Ok(()) } else { Err(from.damaged()) }
    }

    /// Reads what [`Self::write`] wrote for the same functions.
    pub(super) fn read(plan: &[Analytic], most: usize, from: &mut Reader<'_>) -> Result<Self, SnapshotError> {
        let mut new = Self::new(plan, most);
        if let Some(functions) = &mut new.0 {
            functions.read(plan, from)?;
        }
        Ok(new)
    }
}

impl Functions {
    fn new(plan: &[Analytic], most: usize) -> Self {
        let mut new = Self::default();
        let mut different: Vec<usize> = Vec::new();
        for (index, analytic) in plan.iter().enumerate() {
            let same = different.iter().position(|first| plan[*first].partition == analytic.partition);
            let set = same.unwrap_or_else(|| {
                different.push(index);
                new.sets.push(Partitions::new(most));
                different.len() - 1
            });
            let place = new.sets[set].join(index);
            new.places.push((set, place));
        }
        new
    }

    fn take(
        &mut self,
        plan: &[Analytic],
        scope: Scope<'_>,
        budget: &mut Budget,
        refused: &mut u64,
    ) -> Vec<Value> {
        let mut values = Vec::with_capacity(plan.len());
        for (analytic, (set, place)) in plan.iter().zip(&self.places) {
            let scope = scope.with_analytics(&values);
            let set = &mut self.sets[*set];
            if *place == 0 {
                set.turn_to(analytic.partition.iter().map(|expr| eval(expr, scope).into_owned()));
            }
            let counts = analytic.when.as_ref().is_none_or(|when| holds(when, scope));
            let value = if !counts {
                set.kept(*place)
            } else if set.enter(plan, budget, refused) {
                set.step(*place, analytic, scope, budget, refused)
            } else {
                Value::Null
            };
            values.push(value);
        }
        values
    }

    fn hit(&mut self, plan: &[Analytic], scope: Scope<'_>) {
        for (analytic, (set, place)) in plan.iter().zip(&self.places) {
            use AnalyticFunction::{LastHitCount, LastHitTime};
            if matches!(analytic.function, LastHitCount | LastHitTime) {
                let set = &mut self.sets[*set];
                set.turn_to(analytic.partition.iter().map(|expr| eval(expr, scope).into_owned()));
                set.hit(*place, scope.env.at);
            }
        }
    }

    fn is_fresh(&self) -> bool {
        self.sets.iter().all(Partitions::is_empty)
    }

    fn bytes(&self) -> usize {
        self.sets.iter().map(Partitions::bytes).sum()
    }

    fn write(&self, out: &mut Writer) {
        self.sets.iter().for_each(|set| set.write(out));
    }

    fn read(&mut self, plan: &[Analytic], from: &mut Reader<'_>) -> Result<(), SnapshotError> {
        self.sets.iter_mut().try_for_each(|set| set.read(plan, from))
    }
}

#[cfg(test)]
mod tests;
