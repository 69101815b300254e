//! The front of a lane of one group: the slice that its rows go to at the moment, with all that has to be
//! known to add another, and nothing else. What is known of a lane lies far apart in memory, and most of
//! it changes only when a window opens or closes; a row between two such moments touches its front alone.
//!
//! What a front holds is not in the lane yet. It is [settled](Store::settle) before anything else is done with
//! the lane. Aggregates that are put together from parts do not show it.

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

/// The front of a lane.
#[derive(Debug)]
pub(super) struct Front {
    hash: u64,
    name: Short,
    /// Rows from here on, and before there, belong to the slice, and close nothing.
    from: Timestamp,
    upto: Timestamp,
    /// When the clock may have something to do.
    look: Option<Mark>,
    /// The greatest time of a row.
    greatest: Timestamp,
    /// When a row last came; `None` while there is none.
    seen: Option<Mark>,
    /// The start of the slice.
    start: Timestamp,
    partials: Partials,
}

/// A name that is short enough to stand in its place: its bytes and length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Short([u64; 2]);

impl Short {
    #[inline]
    fn of(value: &Value) -> Option<Self> {
        let Value::Str(text) = value else { return None };
        let bytes = text.as_bytes();
        let length = bytes.len() as u64;
        // Two words that overlap hold all bytes; together with the length they tell texts apart.
        let (first, last) = match (bytes.first_chunk::<8>(), bytes.last_chunk::<8>()) {
            (Some(first), Some(last)) if length < 16 => {
                (u64::from_le_bytes(*first), u64::from_le_bytes(*last) & !0xff | length)
            }
            (Some(_), _) => return None,
            _ => match (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
                (Some(first), Some(last)) => {
                    (u32::from_le_bytes(*first).into(), u64::from(u32::from_le_bytes(*last)) << 8 | length)
                }
                _ => (bytes.iter().fold(0, |word, byte| word << 8 | u64::from(*byte)), length),
            },
        };
        Some(Self([first, last]))
    }
}

impl Front {
    /// What it takes.
    pub(super) const BYTES: usize = size_of::<Option<Self>>();
}

impl Store {
    /// Adds a row of this time to the front of the lane of this name, if that is all there is to do.
    #[inline]
    pub(super) fn is_quick(
        &mut self,
        work: &mut Work<'_>,
        name: &Value,
        time: Timestamp,
        intake: Intake<'_>,
    ) -> bool {
        let hash = self.lanes.hash_one(name);
        let Some(name) = Short::of(name) else { return false };
        let fronts = &self.fronts;
        let is = |at: usize| {
            let front = fronts.get(at).and_then(Option::as_ref);
            front.is_some_and(|front| front.hash == hash && front.name == name)
        };
        let found = self.lanes.find_if(hash, is);
        let Some(front) = found.and_then(|at| self.fronts.get_mut(at)).and_then(Option::as_mut) else {
            return false;
        };
        let mark = work.mark();
        if time < front.from || time >= front.upto || front.look.is_some_and(|look| look <= mark) {
            return false;
        }
        if time < front.greatest {
            if self.mode == Mode::Arrival {
                return false;
            }
        } else {
            front.greatest = time;
        }
        front.seen = Some(mark);
        self.next_order += 1;
        let budget = &mut work.ledger.budget;
        work.account.refused += self.aggregates.add(&mut front.partials, intake, budget);
        true
    }

    /// Lets the next rows go to the front, if they may belong to the slice of this one.
    pub(super) fn face(&mut self, at: usize, arrival: &Arrival<'_>, time: Timestamp) {
        let (Some(names), None) = (arrival.lane, arrival.group) else { return };
        let (Some(name), Some(lane)) = (names.only().and_then(Short::of), self.lanes.get(at)) else { return };
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
            hash: self.lanes.hash(names),
            name,
            from: if self.mode == Mode::Arrival { slice.start.max(lane.forced) } else { slice.start },
            upto: end.min(lane.next_end.plus(self.lateness)),
            look: lane.look,
            greatest: lane.progress.greatest(),
            seen: None,
            start: slice.start,
            partials: self.aggregates.partials(),
        };
        if self.fronts.len() <= at {
            self.fronts.resize_with(at + 1, || None);
        }
        self.fronts[at] = Some(front);
    }

    /// Puts what is in the front of a lane where it belongs.
    pub(super) fn settle(&mut self, at: usize, budget: &mut Budget) {
        let Some(front) = self.fronts.get_mut(at).and_then(Option::take) else { return };
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
        (0..self.fronts.len()).for_each(|at| self.settle(at, budget));
    }

    /// The progress of a lane as it will be when its front is settled, and the slice that its front adds to.
    pub(super) fn settled(&self, at: usize, lane: &Lane) -> (Progress, Option<Slice>) {
        let mut progress = lane.progress.clone();
        let front = self.fronts.get(at).and_then(Option::as_ref);
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
