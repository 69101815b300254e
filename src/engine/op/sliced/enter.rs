//! The way of a row into its slice: which lane and group it belongs to, what its time closes, for which
//! definitions it comes too late, and which windows it opens. Nearly every row finds its slice there, and
//! nothing to do besides.

use super::Store;
use super::aggregates::Intake;
use super::definition::floor;
use super::lane::{Group, Lane, NEVER, Open, Reach, Slice};
use super::table::Names;
use crate::engine::watermark::{Mark, Mode, Progress};
use crate::engine::work::Work;
use crate::model::time::Timestamp;
use crate::model::value::Value;

/// A row on its way in.
pub(super) struct Arrival<'r> {
    /// Whose progress it tells.
    pub(super) key: &'r Value,
    /// `None` where all share one lane.
    pub(super) lane: Option<Names<'r>>,
    /// `None` where a lane has one group only.
    pub(super) group: Option<Names<'r>>,
    pub(super) time: Timestamp,
    /// Whether WHERE and FILTER let it in.
    pub(super) passes: bool,
    pub(super) intake: Intake<'r>,
}

/// The stream time of a row, and up to where windows were closed when it came.
enum Timing<'t> {
    /// For all definitions; what the clock has closed comes on top.
    One { time: Timestamp, before: Timestamp },
    /// For each of them; the row goes to the slice of those for which its time is in it.
    Each { times: &'t [Timestamp], before: &'t [Timestamp], of: Vec<usize> },
}

impl Timing<'_> {
    /// The definitions for which the row counts; `None` is all.
    fn of(&self) -> Option<&[usize]> {
        match self {
            Self::One { .. } => None,
            Self::Each { times, of, .. } => (of.len() < times.len()).then_some(of),
        }
    }

    /// The time for a definition, and up to where its windows are closed; `None` where the row does not count
    /// for it.
    fn for_one(&self, definition: usize, forced: Timestamp) -> Option<(Timestamp, Timestamp)> {
        match self {
            Self::One { time, before } => Some((*time, forced.max(*before))),
            Self::Each { times, before, of } => {
                of.binary_search(&definition).is_ok().then(|| (times[definition], before[definition]))
            }
        }
    }

    /// The time for the first definition for which the row counts.
    fn time(&self) -> Timestamp {
        match self {
            Self::One { time, .. } => *time,
            Self::Each { times, of, .. } => of.first().map_or(Timestamp::MIN, |first| times[*first]),
        }
    }
}

impl Store {
    /// Takes a row in, and closes what its time closes.
    pub(super) fn take(&mut self, work: &mut Work<'_>, arrival: &Arrival<'_>) {
        let Some(at) = self.lane(work, arrival) else { return };
        let mark = work.mark();
        self.settle(at, &mut work.ledger.budget);
        if self.lanes.get(at).is_some_and(|lane| lane.look.is_some_and(|look| look <= mark)) {
            self.catch_up(work, at, mark);
        }
        let (mode, lateness) = (self.mode, self.lateness);
        let Some(lane) = self.lanes.get_mut(at) else { return };
        let mut time = arrival.time;
        if mode == Mode::Arrival && (lane.split.is_some() || time < lane.progress.greatest().max(lane.forced))
        {
            let Some(stamp) = lane.stamp_of_all(time) else { return self.take_apart(work, at, arrival) };
            lane.join(stamp);
            time = stamp;
        } else if mode == Mode::Slowest {
            let config = work.ctx.config;
            if lane.progress.is_full_for(arrival.key, config.max_groups, config.max_bytes) {
                work.account.refused += u64::from(arrival.passes);
                return;
            }
        }
        let before = lane.progress.closed();
        // A row never closes its own windows, but what it does close makes room for it.
        lane.progress.row(arrival.key, time, lateness, mark);
        let mut moved = lane.look.is_none();
        if lane.progress.closed() >= lane.next_end {
            self.close(work, at, usize::MAX);
            moved = true;
        }
        if arrival.passes {
            self.next_order += 1;
            if let Some((group, slice)) = self.place(at, arrival, time, before) {
                self.add(work, arrival, group, slice);
            } else {
                moved = true;
                self.open(work, at, arrival, &Timing::One { time, before });
            }
        }
        if moved {
            self.watch(at);
        }
        if arrival.passes {
            self.face(at, arrival, time);
        }
    }

    /// Takes in a row whose time is not the same for all definitions.
    #[cold]
    fn take_apart(&mut self, work: &mut Work<'_>, at: usize, arrival: &Arrival<'_>) {
        let (mark, lateness) = (work.mark(), self.lateness);
        let Some(lane) = self.lanes.get_mut(at) else { return };
        let all = 0..lane.tracks.len();
        let times: Vec<Timestamp> = all.clone().map(|one| lane.stamp(one, arrival.time)).collect();
        let before: Vec<Timestamp> = all.clone().map(|one| lane.closed(one)).collect();
        let reach = |(one, time): (usize, &Timestamp)| Reach {
            greatest: *time,
            closed: lane.reach(one).closed.max(time.minus(lateness)),
        };
        let split = times.iter().enumerate().map(reach).collect();
        let latest = times.iter().copied().max().unwrap_or(arrival.time);
        lane.progress.row(arrival.key, latest, lateness, mark);
        lane.split = Some(split);
        if lane.has_ripe() {
            self.close(work, at, usize::MAX);
        }
        if arrival.passes {
            self.next_order += 1;
            let start = |one: usize| floor(times[one].micros(), self.width);
            let mut starts: Vec<i64> = all.clone().map(start).collect();
            let of = |from: i64| all.clone().filter(|one| start(*one) == from).collect();
            starts.sort_unstable();
            starts.dedup();
            let parts: Vec<Vec<usize>> = starts.into_iter().map(of).collect();
            for of in parts {
                self.open(work, at, arrival, &Timing::Each { times: &times, before: &before, of });
            }
        }
        self.watch(at);
    }

    /// The lane of a row. One that is held back makes none, unless all share the one.
    #[inline]
    fn lane(&mut self, work: &mut Work<'_>, arrival: &Arrival<'_>) -> Option<usize> {
        let found = match arrival.lane {
            Some(names) => self.lanes.find(names),
            None => (self.lanes.len() > 0).then_some(0),
        };
        if found.is_some() { found } else { self.make_lane(work, arrival) }
    }

    fn make_lane(&mut self, work: &mut Work<'_>, arrival: &Arrival<'_>) -> Option<usize> {
        if !arrival.passes && arrival.lane.is_some() {
            return None;
        }
        let key = arrival.lane.map_or_else(|| [].into(), Names::to_key);
        let lane = Lane::new(key, self.next_order, self.progress(work.mark()), self.definitions.len());
        let (most, bytes) = (work.ctx.config.max_groups, lane.bytes());
        if self.lanes.len() >= most || !work.ledger.budget.has(bytes) {
            self.forget_quietest(&mut work.ledger.budget);
        }
        if self.lanes.len() >= most || !work.ledger.budget.take(bytes) {
            work.account.refused += u64::from(arrival.passes);
            return None;
        }
        self.next_order += 1;
        self.quiet += 1;
        let place = self.lanes.put(lane);
        self.see_room(work);
        Some(place)
    }

    /// The progress of a lane that has seen nothing. On arrival time the tracks know what the clock closes.
    pub(super) fn progress(&self, now: Mark) -> Progress {
        let mode = if self.mode == Mode::Arrival { Mode::Own } else { self.mode };
        Progress::new(mode, now)
    }

    /// Where a row goes, if its slice is there and every window that holds it is open.
    #[inline]
    fn place(
        &self,
        lane: usize,
        arrival: &Arrival<'_>,
        time: Timestamp,
        before: Timestamp,
    ) -> Option<(usize, usize)> {
        let lane = self.lanes.get(lane)?;
        let place = match arrival.group {
            Some(names) => self.groups.find(names)?,
            None => *lane.groups.first()?,
        };
        let group = self.groups.get(place)?;
        let last = group.slices.back()?;
        let ends = |start: Timestamp| start.micros().saturating_add(self.width);
        let (slice, start) = if last.of.is_none() && last.start <= time && time.micros() < ends(last.start) {
            (group.slices.len() - 1, last.start)
        } else {
            let start = Timestamp::from_micros(floor(time.micros(), self.width));
            (group.place(start, None).ok()?, start)
        };
        (before.max(lane.forced).micros() < ends(start)).then_some((place, slice))
    }

    /// Adds a row to a slice.
    #[inline]
    fn add(&mut self, work: &mut Work<'_>, arrival: &Arrival<'_>, group: usize, slice: usize) {
        let slice = self.groups.get_mut(group).and_then(|group| group.slices.get_mut(slice));
        let Some(Slice { partials, .. }) = slice else { return };
        let budget = &mut work.ledger.budget;
        work.account.refused += self.aggregates.add(partials, arrival.intake, budget);
    }

    /// Takes a row in for which there is no slice yet, or which is late for some: sees for which definitions
    /// it is, and opens windows.
    fn open(&mut self, work: &mut Work<'_>, at: usize, arrival: &Arrival<'_>, timing: &Timing<'_>) {
        let Some(lane) = self.lanes.get(at) else { return };
        let mut late = true;
        for (one, (definition, track)) in self.definitions.iter_mut().zip(&lane.tracks).enumerate() {
            let Some((time, closed)) = timing.for_one(one, track.forced) else { continue };
            let is_late = definition.last_end(time) <= closed;
            definition.late += u64::from(is_late);
            late &= is_late;
        }
        if late {
            return;
        }
        let known = match arrival.group {
            Some(names) => self.groups.find(names),
            None => lane.groups.first().copied(),
        };
        let start = Timestamp::from_micros(floor(timing.time().micros(), self.width));
        let group = known.and_then(|group| self.groups.get(group));
        match (known, group.map_or(Err(0), |group| group.place(start, timing.of()))) {
            (Some(group), Ok(slice)) => {
                let rolled = self.unroll(work, (group, slice), true);
                self.add(work, arrival, group, slice);
                self.roll_again(work, (group, slice), &rolled);
            }
            (_, Ok(place) | Err(place)) => {
                if let Some(group) = self.make_slice(work, at, arrival, timing, (known, place, start)) {
                    let rolled = self.unroll(work, (group, place), false);
                    self.add(work, arrival, group, place);
                    self.roll_again(work, (group, place), &rolled);
                }
            }
        }
    }

    /// The definitions whose rolls have gone beyond a slice that is about to change. What it holds is taken out
    /// of them, if it was in.
    fn unroll(&mut self, work: &mut Work<'_>, (group, slice): (usize, usize), was_in: bool) -> Vec<usize> {
        let Some(group) = self.groups.get_mut(group).filter(|group| !group.rolls.is_empty()) else {
            return Vec::new();
        };
        let Group { slices, rolls, .. } = group;
        let Some(slice) = slices.get(slice) else { return Vec::new() };
        let holding = rolls.holding(slice);
        if !holding.is_empty() {
            work.ledger.budget.give(rolls.bytes());
        }
        for at in holding.iter().filter(|_| was_in) {
            if let Some(roll) = rolls.get_mut(*at) {
                roll.take_out(slice, &self.definitions[*at].uses);
            }
        }
        holding
    }

    /// Puts what a slice holds back into them.
    fn roll_again(&mut self, work: &mut Work<'_>, (group, slice): (usize, usize), holding: &[usize]) {
        let Some(group) = self.groups.get_mut(group).filter(|_| !holding.is_empty()) else { return };
        let Group { slices, rolls, .. } = group;
        for at in holding {
            let uses = &self.definitions[*at].uses;
            let fits = slices
                .get(slice)
                .zip(rolls.get_mut(*at))
                .is_some_and(|(slice, roll)| roll.put_in(slice, uses));
            if !fits {
                drop(rolls.take(*at));
            }
        }
        work.ledger.budget.charge(rolls.bytes());
    }

    /// Makes a slice at a place of a group that is known, or is made too, and opens the windows that hold it.
    fn make_slice(
        &mut self,
        work: &mut Work<'_>,
        at: usize,
        arrival: &Arrival<'_>,
        timing: &Timing<'_>,
        (known, place, start): (Option<usize>, usize, Timestamp),
    ) -> Option<usize> {
        let lane = self.lanes.get_mut(at)?;
        let mut windows = self.windows;
        for (one, (definition, track)) in self.definitions.iter().zip(&lane.tracks).enumerate() {
            let Some((_, closed)) = timing.for_one(one, track.forced) else { continue };
            let group = known.and_then(|group| self.groups.get(group));
            let (earlier, later) = group.map_or((None, None), |group| group.beside(one, place));
            let opened = definition.opened_by(start, self.width, closed, earlier, later);
            windows = windows.saturating_add(opened);
        }
        let config = work.ctx.config;
        let made = match known {
            Some(_) => None,
            None => {
                let key = arrival.group.map_or_else(|| lane.key.clone(), Names::to_key);
                Some(Group::new(key, at, self.definitions.len()))
            }
        };
        let bytes = Slice::own_bytes(self.aggregates.len()) + made.as_ref().map_or(0, Group::bytes);
        if windows > config.max_states
            || (made.is_some() && self.groups.len() >= config.max_groups)
            || !work.ledger.budget.take(bytes)
        {
            work.account.refused += 1;
            return None;
        }
        self.windows = windows;
        let known = match made {
            Some(group) => {
                let known = self.groups.put(group);
                lane.groups.push(known);
                known
            }
            None => known?,
        };
        let group = self.groups.get_mut(known)?;
        let of = timing.of().map(Box::from);
        group.slices.insert(place, Slice { start, of, partials: self.aggregates.partials() });
        let (mark, lateness) = (work.mark(), self.lateness);
        for (one, definition) in self.definitions.iter_mut().enumerate() {
            let (track, open) = (&mut lane.tracks[one], &mut group.opens[one]);
            let Some((time, closed)) = timing.for_one(one, track.forced) else { continue };
            let last = definition.last_end(start);
            if last <= closed {
                continue;
            }
            let first = definition.end_behind(start.max(closed));
            if open.next_end == NEVER {
                *open = Open { order: arrival.intake.order, next_end: first };
                definition.groups += 1;
            }
            open.next_end = open.next_end.min(first);
            track.next_end = track.next_end.min(first);
            track.last_end = track.last_end.max(last);
            if self.mode == Mode::Arrival {
                let due = |end: Timestamp| mark.plus(end.since(time)).plus(lateness);
                track.opened_all((first, last), definition.hop, due);
            }
        }
        lane.find_next_end();
        self.see_room(work);
        Some(known)
    }
}

impl Group {
    /// The starts of the slices of a definition that stand before and behind a place.
    fn beside(&self, definition: usize, place: usize) -> (Option<Timestamp>, Option<Timestamp>) {
        let is_of = |slice: &&Slice| slice.is_of(definition);
        let before = self.slices.range(..place).rev().find(is_of);
        let behind = self.slices.range(place..).find(is_of);
        (before.map(|slice| slice.start), behind.map(|slice| slice.start))
    }
}
