//! The front of a lane of one group: the slice that its rows go to at the moment, with all that has to be
//! known to add another, and nothing else. What is known of a lane lies far apart in memory, and most of
//! it changes only when a window opens or closes; a row between two such moments touches its front alone.
//!
//! A front is found by where the text of its lane's name lies: readings of one device share that text, so
//! mostly nobody has to read it.
//!
//! What a front holds is not in the lane yet. It is [settled](Store::settle) before anything else is done with
//! the lane. Aggregates that are put together from parts do not show it.

use std::sync::Arc;

use super::Store;
use super::aggregates::Intake;
use super::enter::Arrival;
use super::lane::{Lane, Slice};
use super::partials::Partials;
use crate::engine::aggregate::Partial;
use crate::engine::budget::Budget;
use crate::engine::watermark::{Mark, Mode, Progress};
use crate::engine::work::Work;
use crate::model::time::Timestamp;
use crate::model::value::Value;

/// The front of a lane. What each row needs stands first.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Front {
    /// The name as a row brought it. As long as it is here, no other text lies in its place.
    name: Arc<str>,
    /// Rows from here on, and before there, belong to the slice, and close nothing.
    from: Timestamp,
    upto: Timestamp,
    /// When the clock may have something to do; never, at the latest.
    look: Mark,
    /// The greatest time of a row.
    greatest: Timestamp,
    /// When a row last came; `None` while there is none.
    seen: Option<Mark>,
    partials: Partials,
    /// The start of the slice.
    start: Timestamp,
    hash: u64,
}

impl Front {
    /// What it takes.
    pub(super) const BYTES: usize = size_of::<Option<Self>>();

    /// Makes room for a row, if nothing else is to be done about it.
    #[inline]
    fn lets_in(&mut self, time: Timestamp, mark: Mark, goes_back: bool) -> bool {
        if time < self.from || time >= self.upto || self.look <= mark || (time < self.greatest && !goes_back)
        {
            return false;
        }
        self.greatest = self.greatest.max(time);
        self.seen = Some(mark);
        true
    }
}

/// The fronts, by the places of the lanes.
#[derive(Debug, Default)]
pub(super) struct Fronts {
    list: Vec<Option<Front>>,
    /// Where the front is of a name whose text lies somewhere: the upper half tells the place of the text,
    /// the lower half is the place of the lane. Some of it is out of date.
    by_address: Vec<u64>,
    /// By how much what an address is mixed to is shifted to give a place in it.
    shift: u32,
}

/// How many places are looked at for an address.
const NEAR: usize = 4;

impl Fronts {
    #[inline]
    fn get_mut(&mut self, at: usize) -> Option<&mut Front> {
        self.list.get_mut(at)?.as_mut()
    }

    #[inline]
    fn spot(&self, name: &Arc<str>) -> (usize, u64) {
        let mixed = (Arc::as_ptr(name).addr() as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let place = usize::try_from(mixed >> self.shift).unwrap_or_default();
        (place, mixed << 16 & !u64::from(u32::MAX))
    }

    /// The place of the lane of a name, if the very same text was seen before.
    #[inline]
    fn find(&self, name: &Arc<str>) -> Option<usize> {
        let (place, tag) = self.spot(name);
        let near = self.by_address.get(place..place + NEAR)?;
        for entry in near {
            #[expect(clippy::cast_possible_truncation, reason = "the lower half is meant")]
            let at = *entry as u32 as usize;
            if entry & !u64::from(u32::MAX) == tag
                && let Some(Some(front)) = self.list.get(at)
                && Arc::ptr_eq(&front.name, name)
            {
                return Some(at);
            }
        }
        None
    }

    /// Finds the lane at a place by where this text lies from here on.
    fn name(&mut self, at: usize, name: &Arc<str>) {
        if self.by_address.len() < 4 * self.list.len() + NEAR {
            let bits = (4 * self.list.len()).next_power_of_two().max(16).trailing_zeros();
            self.by_address = vec![u64::from(u32::MAX); (1 << bits) + NEAR];
            self.shift = 64 - bits;
        }
        let (place, tag) = self.spot(name);
        let entry = tag | u64::from(u32::try_from(at).unwrap_or(u32::MAX));
        let list = &self.list;
        let is_free = |entry: &u64| {
            #[expect(clippy::cast_possible_truncation, reason = "the lower half is meant")]
            let front = list.get(*entry as u32 as usize).and_then(Option::as_ref);
            front.is_none_or(|front| Arc::ptr_eq(&front.name, name))
        };
        let Some(near) = self.by_address.get_mut(place..place + NEAR) else { return };
        let free = near.iter().position(is_free).unwrap_or(0);
        near[free] = entry;
    }
}

impl Store {
    /// Adds a row of this time to the front of the lane of this name, if that is all there is to do and the
    /// aggregates need nothing but its slots.
    #[inline]
    pub(super) fn is_quick(
        &mut self,
        name: &Arc<str>,
        (slots, time): (&[Value], Timestamp),
        mark: Mark,
        budget: &mut Budget,
    ) -> bool {
        let goes_back = self.mode != Mode::Arrival;
        let found = self.fronts.find(name).or_else(|| self.find_front(name));
        let Some(front) = found.and_then(|at| self.fronts.get_mut(at)) else { return false };
        if !self.aggregates.may_add(slots) || !front.lets_in(time, mark, goes_back) {
            return false;
        }
        self.aggregates.add_slots(&mut front.partials, slots, self.next_order, budget);
        self.next_order += 1;
        true
    }

    /// The same of a row of which something has to be worked out.
    pub(super) fn is_simple(&mut self, work: &mut Work<'_>, name: &Value, intake: Intake<'_>) -> bool {
        let Value::Str(name) = name else { return false };
        let (time, mark) = (intake.scope.env.at, work.mark());
        let goes_back = self.mode != Mode::Arrival;
        let found = self.fronts.find(name).or_else(|| self.find_front(name));
        let Some(front) = found.and_then(|at| self.fronts.get_mut(at)) else { return false };
        if !front.lets_in(time, mark, goes_back) {
            return false;
        }
        self.next_order += 1;
        let budget = &mut work.ledger.budget;
        work.account.refused += self.aggregates.add(&mut front.partials, intake, budget);
        true
    }

    /// The place of a lane with a front, whose name is the same, wherever its text lies.
    fn find_front(&mut self, name: &Arc<str>) -> Option<usize> {
        let hash = self.lanes.hash_text(name);
        let list = &self.fronts.list;
        let is = |at: usize| {
            let front = list.get(at).and_then(Option::as_ref);
            front.is_some_and(|front| front.hash == hash && front.name == *name)
        };
        let at = self.lanes.find_if(hash, is)?;
        if let Some(front) = self.fronts.get_mut(at) {
            front.name = name.clone();
        }
        self.fronts.name(at, name);
        Some(at)
    }

    /// Lets the next rows go to the front, if they may belong to the slice of this one.
    pub(super) fn face(&mut self, at: usize, arrival: &Arrival<'_>, time: Timestamp) {
        let (Some(names), None) = (arrival.lane, arrival.group) else { return };
        let (Some(Value::Str(name)), Some(lane)) = (names.only(), self.lanes.get(at)) else { return };
        if self.mode == Mode::Slowest || lane.split.is_some() {
            return;
        }
        let group = lane.groups.first().and_then(|group| self.groups.get(*group));
        let Some(slice) = group.and_then(|group| group.slices.back()) else { return };
        let end = Timestamp::from_micros(slice.start.micros().saturating_add(self.width));
        let closed = lane.progress.closed();
        if slice.of.is_some()
            || !(slice.start..end).contains(&time)
            || closed.max(lane.forced) >= end
            || closed >= lane.next_end
        {
            return;
        }
        let front = Front {
            name: name.clone(),
            from: if self.mode == Mode::Arrival { slice.start.max(lane.forced) } else { slice.start },
            upto: end.min(lane.next_end.plus(self.lateness)),
            look: lane.look.unwrap_or(Mark::NEVER),
            greatest: lane.progress.greatest(),
            seen: None,
            partials: self.aggregates.partials(),
            start: slice.start,
            hash: self.lanes.hash(names),
        };
        if self.fronts.list.len() <= at {
            self.fronts.list.resize_with(at + 1, || None);
        }
        self.fronts.list[at] = Some(front);
        if self.fronts.find(name).is_none() {
            self.fronts.name(at, name);
        }
    }

    /// Puts what is in the front of a lane where it belongs.
    pub(super) fn settle(&mut self, at: usize, budget: &mut Budget) {
        let Some(front) = self.fronts.list.get_mut(at).and_then(Option::take) else { return };
        let (Some(seen), Some(lane)) = (front.seen, self.lanes.get_mut(at)) else { return };
        lane.progress.row(&Value::Null, front.greatest, self.lateness, seen);
        let Some(group) = lane.groups.first().and_then(|group| self.groups.get_mut(*group)) else { return };
        let Ok(place) = group.place(front.start, None) else { return };
        let Some(slice) = group.slices.get_mut(place) else { return };
        // Windows that have closed end before it begins.
        if !group.rolls.is_empty() && !group.rolls.holding(slice).is_empty() {
            budget.give(group.rolls.bytes());
            group.rolls.clear();
        }
        budget.give(slice.bytes() + front.partials.iter().map(Partial::bytes).sum::<usize>());
        merge(&mut slice.partials, &front.partials);
        budget.charge(slice.bytes());
    }

    /// The same for all lanes.
    pub(super) fn settle_all(&mut self, budget: &mut Budget) {
        (0..self.fronts.list.len()).for_each(|at| self.settle(at, budget));
    }

    /// The progress of a lane as it will be when its front is settled, and the slice that its front adds to.
    pub(super) fn settled(&self, at: usize, lane: &Lane) -> (Progress, Option<Slice>) {
        let mut progress = lane.progress.clone();
        let front = self.fronts.list.get(at).and_then(Option::as_ref);
        let Some((front, seen)) = front.and_then(|front| Some((front, front.seen?))) else {
            return (progress, None);
        };
        progress.row(&Value::Null, front.greatest, self.lateness, seen);
        let group = lane.groups.first().and_then(|group| self.groups.get(*group));
        let slice = group.and_then(|group| group.slices.get(group.place(front.start, None).ok()?));
        let slice = slice.map(|slice| {
            let mut slice = slice.clone();
            merge(&mut slice.partials, &front.partials);
            slice
        });
        (progress, slice)
    }
}

fn merge(sums: &mut [Partial], others: &[Partial]) {
    sums.iter_mut().zip(others).for_each(|(sum, other)| sum.merge(other));
}
