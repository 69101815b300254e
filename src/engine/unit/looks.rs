//! When to look at which unit, never later than something of it is due. Units whose windows may wait until
//! there is time for them stand apart from the others.

use std::collections::BTreeSet;

use super::Unit;
use crate::engine::watermark::Mark;

/// The times, each with the place of a unit.
#[derive(Debug, Default)]
pub(in crate::engine) struct Looks {
    urgent: BTreeSet<(Mark, usize)>,
    patient: BTreeSet<(Mark, usize)>,
    /// The first of all. It is at hand, since every row asks for it.
    first: Option<Mark>,
}

impl Looks {
    /// The first of all.
    #[inline]
    pub(super) fn first(&self) -> Option<Mark> {
        self.first
    }

    /// The first of those that must not wait.
    pub(super) fn first_urgent(&self) -> Option<Mark> {
        self.urgent.first().map(|(look, _)| *look)
    }

    /// Takes out what is due by `now`, perhaps only what must not wait.
    pub(super) fn take_due(&mut self, now: Mark, all: bool) -> Vec<usize> {
        let mut due = Vec::new();
        let patient = all.then_some(&mut self.patient);
        for set in [Some(&mut self.urgent), patient].into_iter().flatten() {
            while set.first().is_some_and(|(look, _)| *look <= now) {
                due.extend(set.pop_first().map(|(_, at)| at));
            }
        }
        self.find_first();
        due
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    pub(super) fn remove(&mut self, look: Look, at: usize) {
        let set = if look.patient { &mut self.patient } else { &mut self.urgent };
        set.remove(&(look.at, at));
        self.find_first();
    }

    fn insert(&mut self, look: Look, at: usize) {
        let set = if look.patient { &mut self.patient } else { &mut self.urgent };
        set.insert((look.at, at));
        self.first = Some(self.first.map_or(look.at, |first| first.min(look.at)));
    }

    fn find_first(&mut self) {
        let firsts = [self.urgent.first(), self.patient.first()];
        self.first = firsts.into_iter().flatten().map(|(look, _)| *look).min();
    }
}

/// When a unit will be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) struct Look {
    at: Mark,
    patient: bool,
}

/// Sees to it that a unit is looked at in time.
#[inline]
pub(in crate::engine) fn look(looks: &mut Looks, at: usize, unit: &mut Unit) {
    let Some(wake) = unit.operator.wake() else { return };
    let look = Look { at: wake, patient: unit.operator.is_patient() };
    if unit.look.is_some_and(|known| known.at <= look.at && known.patient == look.patient) {
        return;
    }
    if let Some(known) = unit.look.replace(look) {
        looks.remove(known, at);
    }
    looks.insert(look, at);
}
