//! What shared slices keep: lanes with their progress, and groups with their slices.

use std::collections::VecDeque;
use std::sync::Arc;

use super::definition::Definition;
use super::front::Front;
use super::partials::Partials;
use super::roll::Rolls;
use super::table::Keyed;
use crate::engine::aggregate::Partial;
use crate::engine::budget::weight;
use crate::engine::watermark::{Mark, Progress};
use crate::model::time::Timestamp;
use crate::model::value::Value;

/// Never; beyond every end of a window.
pub(super) const NEVER: Timestamp = Timestamp::from_micros(i64::MAX);

/// Groups that share a watermark.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) key: Arc<[Value]>,
    /// When it was made, as a place among all lanes.
    pub(super) order: u64,
    /// On arrival time it goes by the rows alone; what the clock closes is in the tracks.
    pub(super) progress: Progress,
    /// Its groups with an open window.
    pub(super) groups: Vec<usize>,
    /// One for each definition.
    pub(super) tracks: Box<[Track]>,
    /// The end of the earliest open window.
    pub(super) next_end: Timestamp,
    /// Up to where the clock has closed windows of any definition.
    pub(super) forced: Timestamp,
    /// Whether it waited for something when that was last counted.
    pub(super) waited: bool,
    /// When it will be looked at.
    pub(super) look: Option<Mark>,
    /// How far rows have brought each definition, where that differs. So it does on arrival time after a row
    /// that is dated before the end of a window that the clock has closed: time never goes back, so the row
    /// counts later for those who had this window than for the others.
    pub(super) split: Option<Box<[Reach]>>,
}

/// How far rows have brought a definition.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reach {
    pub(super) greatest: Timestamp,
    pub(super) closed: Timestamp,
}

/// How far a definition has come in a lane.
#[derive(Clone, Debug)]
pub(super) struct Track {
    /// Up to where the clock has closed its windows.
    pub(super) forced: Timestamp,
    /// The end of its earliest open window; [`NEVER`] where none is.
    pub(super) next_end: Timestamp,
    /// The end of the latest window it had.
    pub(super) last_end: Timestamp,
    /// On arrival time each open end, with the moment at which the clock will have passed it.
    pub(super) dues: VecDeque<(Timestamp, Mark)>,
}

/// A group that has an open window.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) key: Arc<[Value]>,
    pub(super) lane: usize,
    /// By their starts.
    pub(super) slices: VecDeque<Slice>,
    /// One for each definition.
    pub(super) opens: Box<[Open]>,
    /// What windows of many slices go on with.
    pub(super) rolls: Rolls,
}

/// The open windows of one definition in a group.
#[derive(Clone, Copy, Debug)]
pub(super) struct Open {
    /// The place of the row that opened the first of them, when none was.
    pub(super) order: u64,
    /// The end of the earliest; [`NEVER`] where none is.
    pub(super) next_end: Timestamp,
}

/// The rows of a stretch of time.
#[derive(Clone, Debug)]
pub(super) struct Slice {
    pub(super) start: Timestamp,
    /// The definitions for which they count, ascending; `None` is all.
    pub(super) of: Option<Box<[usize]>>,
    /// One for each aggregate.
    pub(super) partials: Partials,
}

impl Keyed for Lane {
    fn key(&self) -> &[Value] {
        &self.key
    }
}

impl Keyed for Group {
    fn key(&self) -> &[Value] {
        &self.key
    }
}

impl Lane {
    /// Nothing seen.
    pub(super) fn new(key: Arc<[Value]>, order: u64, progress: Progress, definitions: usize) -> Self {
        Self {
            key,
            order,
            progress,
            groups: Vec::new(),
            tracks: vec![Track::new(); definitions].into(),
            next_end: NEVER,
            forced: Timestamp::MIN,
            waited: false,
            look: None,
            split: None,
        }
    }

    /// Up to where the windows of a definition are closed.
    #[inline]
    pub(super) fn closed(&self, definition: usize) -> Timestamp {
        self.reach(definition).closed.max(self.tracks[definition].forced)
    }

    /// How far rows have brought a definition.
    #[inline]
    pub(super) fn reach(&self, definition: usize) -> Reach {
        match &self.split {
            None => Reach { greatest: self.progress.greatest(), closed: self.progress.closed() },
            Some(split) => split[definition],
        }
    }

    /// The time of a row for a definition, on arrival time, where it never goes back.
    pub(super) fn stamp(&self, definition: usize, time: Timestamp) -> Timestamp {
        time.max(self.reach(definition).greatest).max(self.closed(definition))
    }

    /// The same for all of them; `None` where they differ.
    pub(super) fn stamp_of_all(&self, time: Timestamp) -> Option<Timestamp> {
        let first = self.stamp(0, time);
        (1..self.tracks.len()).all(|definition| self.stamp(definition, time) == first).then_some(first)
    }

    /// Rows have brought all definitions to this time: they go on together. How far those had come that are
    /// gone by now does not count.
    pub(super) fn join(&mut self, stamp: Timestamp) {
        if let Some(split) = self.split.take() {
            let closed = split.iter().map(|reach| reach.closed).max();
            self.progress.restart(stamp, closed.unwrap_or(Timestamp::MIN));
        }
    }

    /// Whether a window is open.
    pub(super) fn waits(&self) -> bool {
        self.next_end != NEVER
    }

    /// Whether a window of a definition is to be closed.
    pub(super) fn is_ripe(&self, definition: usize) -> bool {
        let next_end = self.tracks[definition].next_end;
        next_end != NEVER && next_end <= self.closed(definition)
    }

    /// Whether any window is to be closed.
    pub(super) fn has_ripe(&self) -> bool {
        self.waits() && (0..self.tracks.len()).any(|definition| self.is_ripe(definition))
    }

    /// The end of the earliest open window, anew.
    pub(super) fn find_next_end(&mut self) {
        self.next_end = self.tracks.iter().map(|track| track.next_end).min().unwrap_or(NEVER);
    }

    /// The clock has closed windows of a definition up to there.
    pub(super) fn force(&mut self, definition: usize, upto: Timestamp) {
        let track = &mut self.tracks[definition];
        track.forced = track.forced.max(upto);
        self.forced = self.forced.max(upto);
    }

    /// Nothing waits any more for what a definition has closed.
    pub(super) fn forget_dues(&mut self, definition: usize) {
        let closed = self.closed(definition);
        let dues = &mut self.tracks[definition].dues;
        while dues.front().is_some_and(|(end, _)| *end <= closed) {
            dues.pop_front();
        }
    }

    /// How many ends the clock has yet to pass.
    pub(super) fn dues(&self) -> usize {
        self.tracks.iter().map(|track| track.dues.len()).sum()
    }

    /// What it takes of the ceiling of bytes.
    pub(super) fn bytes(&self) -> usize {
        size_of::<Self>() + Front::BYTES + weight(&self.key) + size_of_val(&*self.tracks)
    }
}

impl Track {
    pub(super) const fn new() -> Self {
        Self { forced: Timestamp::MIN, next_end: NEVER, last_end: Timestamp::MIN, dues: VecDeque::new() }
    }

    /// Windows will close at each of these ends, a hop from one another; `due` says when the clock will have
    /// passed one. Those that are known stay as they are.
    pub(super) fn opened_all(
        &mut self,
        (first, last): (Timestamp, Timestamp),
        hop: i64,
        due: impl Fn(Timestamp) -> Mark,
    ) {
        let steps =
            |from: Timestamp, upto: Timestamp| (upto.micros() - from.micros()).checked_div(hop).unwrap_or(0);
        let after = |end: Timestamp| Timestamp::from_micros(end.micros().saturating_add(hop));
        let mut rest = first;
        // Mostly all are known that do not end behind the last that is.
        if let Some(last_known) = self.dues.back().map(|(end, _)| *end).filter(|known| *known >= first) {
            let upto = last_known.min(last);
            let at = |end: Timestamp| self.dues.partition_point(|(known, _)| *known < end);
            let behind = if upto == last_known { self.dues.len() } else { at(after(upto)) };
            let begins = self.dues.front().is_some_and(|(known, _)| *known >= first);
            let known = behind.saturating_sub(if begins { 0 } else { at(first) });
            if i64::try_from(known) == Ok(steps(first, upto) + 1) {
                rest = after(upto);
            }
        }
        while rest <= last {
            self.opened(rest, due(rest));
            let next = after(rest);
            if next <= rest {
                break;
            }
            rest = next;
        }
    }

    /// Something will close at `end`, which the clock will have passed then.
    fn opened(&mut self, end: Timestamp, due: Mark) {
        let place = match self.dues.back() {
            Some((last, _)) if *last >= end => self.dues.partition_point(|(known, _)| *known < end),
            _ => self.dues.len(),
        };
        if self.dues.get(place).is_none_or(|(known, _)| *known != end) {
            self.dues.insert(place, (end, due));
        }
    }
}

impl Open {
    pub(super) const NONE: Self = Self { order: 0, next_end: NEVER };
}

impl Group {
    pub(super) fn new(key: Arc<[Value]>, lane: usize, definitions: usize) -> Self {
        let opens = vec![Open::NONE; definitions].into();
        Self { key, lane, slices: VecDeque::new(), opens, rolls: Rolls::default() }
    }

    /// The place of the slice that starts then and counts for those, or where it would stand. Most rows belong
    /// to the last.
    pub(super) fn place(&self, start: Timestamp, of: Option<&[usize]>) -> Result<usize, usize> {
        match self.slices.back() {
            Some(last) if last.start >= start => {
                let from = self.first_from(start);
                let same = self.slices.range(from..).take_while(|slice| slice.start == start);
                let mut all = same.enumerate();
                all.find(|(_, slice)| slice.of.as_deref() == of).map(|(at, _)| from + at).ok_or(from)
            }
            _ => Err(self.slices.len()),
        }
    }

    /// The place of the first slice that starts then or later. Mostly there is one for every stretch of time, or
    /// for every so many.
    pub(super) fn first_from(&self, start: Timestamp) -> usize {
        let slices = &self.slices;
        let (Some(first), Some(last)) = (slices.front(), slices.back()) else { return 0 };
        if first.start >= start {
            return 0;
        }
        if last.start < start {
            return slices.len();
        }
        let micros = |from: Timestamp, upto: Timestamp| i128::from(upto.micros()) - i128::from(from.micros());
        let whole = micros(first.start, last.start).max(1);
        let steps = micros(first.start, start) * (slices.len() as i128 - 1);
        let guess = usize::try_from((steps + whole - 1) / whole).unwrap_or(0).clamp(1, slices.len() - 1);
        if slices[guess].start >= start && slices[guess - 1].start < start {
            return guess;
        }
        slices.partition_point(|slice| slice.start < start)
    }

    /// The end of the first window of a definition that ends behind `closed` and has rows; [`NEVER`] where
    /// there is none.
    pub(super) fn end_behind(&self, at: usize, definition: &Definition, closed: Timestamp) -> Timestamp {
        // Whatever starts there or later is held by a window that ends behind.
        let from = self.first_from(definition.first_held_behind(closed));
        let first = self.slices.range(from..).find(|slice| slice.is_of(at));
        first.map_or(NEVER, |slice| definition.end_behind(slice.start.max(closed)))
    }

    /// What it takes of the ceiling of bytes, without its slices.
    pub(super) fn bytes(&self) -> usize {
        size_of::<Self>() + weight(&self.key) + size_of_val(&*self.opens)
    }

    /// The same with them.
    pub(super) fn all_bytes(&self) -> usize {
        self.bytes() + self.slices.iter().map(Slice::bytes).sum::<usize>() + self.rolls.bytes()
    }
}

impl Slice {
    /// Whether its rows count for a definition.
    #[inline]
    pub(super) fn is_of(&self, definition: usize) -> bool {
        self.of.as_ref().is_none_or(|of| of.binary_search(&definition).is_ok())
    }

    /// What it takes of the ceiling of bytes.
    pub(super) fn bytes(&self) -> usize {
        Self::own_bytes(self.partials.len()) + self.partials.iter().map(Partial::bytes).sum::<usize>()
    }

    /// What an empty one takes.
    pub(super) fn own_bytes(aggregates: usize) -> usize {
        size_of::<Self>() + aggregates * size_of::<Partial>()
    }
}
