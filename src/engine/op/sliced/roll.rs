//! What the windows of one group that overlap have in common: the aggregates over the slices of the window
//! that closes next, as far as they are there. From one window to the next a few slices come and a few
//! go, so what a window's end takes does not depend on how many slices it has.
//!
//! Counts and sums are exact, so that what goes is taken away again. Of the least and the greatest those
//! slices are kept that no later one surpasses (the monotonic queue of Tangwongsan, Hirzel and Schneider,
//! "Sub-O(log n) out-of-order sliding-window aggregation", 2019, for one order of time): the first of them is
//! the window's. A slice that is taken in already and changes, since a row is late for some windows only, is
//! taken out before and put in again. Where values have no order between them there is no roll, and
//! the slices are put together anew.

use std::cmp::Ordering;
use std::collections::VecDeque;

use super::lane::{Group, Slice};
use crate::engine::aggregate::Partial;
use crate::model::time::Timestamp;
use crate::model::value::Value;

/// The aggregates over the slices from one time up to another.
#[derive(Debug)]
pub(super) struct Roll {
    from: Timestamp,
    upto: Timestamp,
    /// One for each aggregate that the definition uses, in that order.
    parts: Box<[Part]>,
}

#[derive(Debug)]
enum Part {
    /// A count or a sum.
    Total(Partial),
    /// The slices that may yet be the best, the best first.
    Peaks(VecDeque<Peak>),
}

/// The best value of a slice.
#[derive(Debug)]
struct Peak {
    start: Timestamp,
    value: Value,
    at: u64,
}

/// Windows of fewer slices are put together slice by slice.
pub(super) const FEW: i64 = 16;

impl Roll {
    /// Over no slices, for the aggregates of these places, of which these hold nothing.
    pub(super) fn new(from: Timestamp, uses: &[usize], nothing: &[Partial]) -> Self {
        let part = |at: &usize| match &nothing[*at] {
            extreme if extreme.is_extreme() => Part::Peaks(VecDeque::new()),
            total => Part::Total(total.clone()),
        };
        Self { from, upto: from, parts: uses.iter().map(part).collect() }
    }

    /// Whether it can be moved to a window that begins there.
    pub(super) fn reaches(&self, start: Timestamp, end: Timestamp) -> bool {
        self.from <= start && start <= self.upto && self.upto <= end
    }

    /// Whether a slice is taken in.
    pub(super) fn holds(&self, start: Timestamp) -> bool {
        self.from <= start && start < self.upto
    }

    /// Goes on to the window from `start` to `end`; false where a slice cannot be taken in.
    #[must_use]
    pub(super) fn go_to(
        &mut self,
        group: &Group,
        definition: usize,
        uses: &[usize],
        (start, end): (Timestamp, Timestamp),
    ) -> bool {
        if self.from < start {
            for slice in group.slices_of(definition, self.from, start.min(self.upto)) {
                self.take_out(slice, uses);
            }
            for part in &mut self.parts {
                if let Part::Peaks(peaks) = part {
                    while peaks.front().is_some_and(|peak| peak.start < start) {
                        peaks.pop_front();
                    }
                }
            }
            self.from = start;
        }
        self.shrink();
        let upto = std::mem::replace(&mut self.upto, end);
        group.slices_of(definition, upto.max(start), end).all(|slice| self.put_in(slice, uses))
    }

    /// Lets go of room that was needed once.
    fn shrink(&mut self) {
        for part in &mut self.parts {
            if let Part::Peaks(peaks) = part
                && peaks.capacity() > 4 * peaks.len() + 16
            {
                peaks.shrink_to(2 * peaks.len());
            }
        }
    }

    /// Takes a slice away from what was added up.
    pub(super) fn take_out(&mut self, slice: &Slice, uses: &[usize]) {
        for (part, at) in self.parts.iter_mut().zip(uses) {
            if let Part::Total(total) = part {
                let taken = total.unmerge(&slice.partials[*at]);
                debug_assert!(taken, "what is no extreme can be taken away");
            }
        }
    }

    /// Takes a slice in, perhaps again; false where it has no order with the others.
    #[must_use]
    pub(super) fn put_in(&mut self, slice: &Slice, uses: &[usize]) -> bool {
        let mut all = true;
        for (part, at) in self.parts.iter_mut().zip(uses) {
            let partial = &slice.partials[*at];
            match part {
                Part::Total(total) => total.merge(partial),
                Part::Peaks(peaks) => all &= put(peaks, slice.start, partial),
            }
        }
        all
    }

    /// The aggregates: those that the definition uses among all, where the others stay as they are.
    pub(super) fn give(&self, uses: &[usize], sums: &mut [Partial], group: &Group, definition: usize) {
        for (part, at) in self.parts.iter().zip(uses) {
            match part {
                Part::Total(total) => sums[*at].clone_from(total),
                Part::Peaks(peaks) => {
                    let Some(peak) = peaks.front() else { continue };
                    let end = Timestamp::from_micros(peak.start.micros().saturating_add(1));
                    for slice in group.slices_of(definition, peak.start, end) {
                        sums[*at].merge(&slice.partials[*at]);
                    }
                }
            }
        }
    }

    /// What it takes of the ceiling of bytes.
    pub(super) fn bytes(&self) -> usize {
        let part = |part: &Part| match part {
            Part::Total(total) => total.bytes(),
            Part::Peaks(peaks) => peaks.capacity() * size_of::<Peak>(),
        };
        size_of::<Self>() + size_of_val(&*self.parts) + self.parts.iter().map(part).sum::<usize>()
    }
}

/// Puts the best value of a slice where it belongs among the others; false where it has no order with them.
fn put(peaks: &mut VecDeque<Peak>, start: Timestamp, partial: &Partial) -> bool {
    let Some((value, at, wanted)) = partial.peak() else { return false };
    if value.is_null() {
        return true;
    }
    // Text would have to be charged; it is hardly ever asked for.
    if !matches!(value, Value::Int(_) | Value::Float(_) | Value::Bool(_) | Value::Time(_)) {
        return false;
    }
    // Of equal values the one that came first is the better one.
    let surpasses = |(a, a_at): (&Value, u64), (b, b_at): (&Value, u64)| {
        a.compare(b).map(|order| order == wanted || (order == Ordering::Equal && a_at <= b_at))
    };
    let mut place = match peaks.back() {
        Some(last) if last.start > start => peaks.partition_point(|peak| peak.start <= start),
        _ => peaks.len(),
    };
    if let Some(later) = peaks.get(place) {
        match surpasses((&later.value, later.at), (value, at)) {
            None => return false,
            Some(true) => return true,
            Some(false) => {}
        }
    }
    while let Some(before) = place.checked_sub(1).and_then(|before| peaks.get(before)) {
        match surpasses((value, at), (&before.value, before.at)) {
            None => return false,
            Some(false) => break,
            Some(true) => {
                place -= 1;
                peaks.remove(place);
            }
        }
    }
    peaks.insert(place, Peak { start, value: value.clone(), at });
    true
}

/// The rolls of a group, by definition; most have none.
#[derive(Debug, Default)]
pub(super) struct Rolls(Option<Box<[Option<Box<Roll>>]>>);

impl Rolls {
    /// The roll of a definition, to be looked at or replaced.
    pub(super) fn take(&mut self, definition: usize) -> Option<Box<Roll>> {
        self.0.as_mut()?.get_mut(definition)?.take()
    }

    /// Puts one back, where there are so many definitions.
    pub(super) fn put(&mut self, definition: usize, of: usize, roll: Box<Roll>) {
        let all = self.0.get_or_insert_with(|| (0..of).map(|_| None).collect());
        if let Some(place) = all.get_mut(definition) {
            *place = Some(roll);
        }
    }

    /// Forgets them all.
    pub(super) fn clear(&mut self) {
        self.0 = None;
    }

    /// Whether there are none.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// The roll of a definition.
    pub(super) fn get_mut(&mut self, definition: usize) -> Option<&mut Roll> {
        self.0.as_mut()?.get_mut(definition)?.as_deref_mut()
    }

    /// The definitions whose rolls have gone beyond a slice of theirs.
    pub(super) fn holding(&self, slice: &Slice) -> Vec<usize> {
        let all = self.0.iter().flatten().enumerate();
        let holds = |at: usize, roll: &Roll| roll.holds(slice.start) && slice.is_of(at);
        all.filter(|(at, roll)| roll.as_ref().is_some_and(|roll| holds(*at, roll)))
            .map(|(at, _)| at)
            .collect()
    }

    /// What they take of the ceiling of bytes.
    pub(super) fn bytes(&self) -> usize {
        let each = self.0.iter().flatten();
        each.map(|roll| size_of::<Option<Box<Roll>>>() + roll.as_ref().map_or(0, |roll| roll.bytes())).sum()
    }
}

impl Group {
    /// The slices of a definition that start in a stretch of time.
    pub(super) fn slices_of(
        &self,
        definition: usize,
        from: Timestamp,
        upto: Timestamp,
    ) -> impl Iterator<Item = &Slice> {
        let first = self.first_from(from);
        let slices = self.slices.range(first..).take_while(move |slice| slice.start < upto);
        slices.filter(move |slice| slice.is_of(definition))
    }
}
