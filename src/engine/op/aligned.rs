//! TUMBLINGWINDOW and HOPPINGWINDOW: windows of one length that begin every `hop`, aligned to 1970 UTC,
//! per group.
//!
//! A row of time `t` belongs to each window `[start, start + length)` that holds `t`. A window closes
//! once the watermark of its lane reaches its end; windows that close together do so in the order of
//! their ends, then of their groups' first rows. A row all of whose windows are closed is late:
//! counted, not used. Every row of a lane moves its watermark, those that WHERE holds back too, since
//! they tell the time as well.
//!
//! State: contents per group and open window, and a watermark per lane. Both are bounded
//! ([`Config`](crate::engine::Config)); what finds no room is counted as refused.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::Arrival;
use super::close::{self, Closed};
use super::lane::{self, Lane, Lanes};
use crate::engine::Context;
use crate::engine::aggregate::Accumulator;
use crate::engine::budget::{Budget, weight};
use crate::engine::held::{Contents, Held};
use crate::engine::layout::Remap;
use crate::engine::snapshot::{Reader, SnapshotError, Writer};
use crate::engine::watermark::Mark;
use crate::engine::work::Work;
use crate::model::time::Timestamp;
use crate::model::value::Value;

/// The operator.
#[derive(Debug)]
pub(in crate::engine) struct Aligned {
    hop: Duration,
    lanes: Lanes<Open>,
    store: Store,
    next_order: u64,
}

/// What a lane has open.
#[derive(Debug)]
struct Open {
    /// Its groups with an open window, in the order of their first rows.
    groups: Vec<Arc<[Value]>>,
    /// The end of the earliest open window.
    next_end: Timestamp,
    /// The end of the latest window it had.
    last_end: Timestamp,
}

/// The groups of all lanes that have an open window.
#[derive(Debug)]
struct Store {
    length: Duration,
    groups: HashMap<Arc<[Value]>, Group>,
    /// Open windows.
    windows: usize,
}

#[derive(Debug)]
struct Group {
    order: u64,
    /// Sorted by start.
    windows: Vec<OpenWindow>,
}

#[derive(Debug)]
struct OpenWindow {
    start: Timestamp,
    contents: Contents,
}

/// Never; beyond every end of a window that a row can open.
const NEVER: Timestamp = Timestamp::from_micros(i64::MAX);

impl Aligned {
    /// Empty.
    pub(super) fn new(ctx: Context<'_>, length: Duration, hop: Duration) -> Self {
        // A length of zero would close every window before its row.
        let length = length.max(Duration::from_micros(1));
        Self {
            hop: hop.clamp(Duration::from_micros(1), length),
            lanes: Lanes::new(ctx, length),
            store: Store { length, groups: HashMap::new(), windows: 0 },
            next_order: 0,
        }
    }

    /// Whether it remembers nothing.
    pub(super) fn is_fresh(&self) -> bool {
        self.lanes.map.is_empty()
    }

    pub(super) fn wake(&self) -> Option<Mark> {
        self.lanes.wake()
    }

    pub(super) fn groups(&self) -> usize {
        self.store.groups.len()
    }

    /// Takes a row in, and closes what its time closes.
    pub(super) fn push(&mut self, work: &mut Work<'_>, arrival: Arrival<'_>) {
        let Arrival { key, time, lateness, entrant, .. } = arrival;
        let Some(lane_key) = arrival.lane.or((!entrant.group.is_empty()).then_some(&entrant.group)) else {
            return;
        };
        let passes = entrant.entry.is_some();
        if !self.enter(work, lane_key, passes) {
            work.account.refused += u64::from(passes);
            return;
        }
        let mark = work.mark();
        let Some(lane) = self.lanes.map.get_mut(lane_key) else { return };
        let waited = lane.waits;
        if lane.progress.is_full_for(key, work.ctx.config.max_groups, work.ctx.config.max_bytes) {
            work.account.refused += u64::from(passes);
            return;
        }
        let time = lane.progress.stamp(time);
        let before = lane.progress.closed();
        // A row never closes its own windows, but what it does close makes room for it.
        lane.progress.row(key, time, lateness, mark);
        self.store.close(work, lane);
        if let Some(entry) = entrant.entry {
            let order = self.next_order;
            self.next_order += 1;
            let held = Held { time, order, begins: entry.begins, ends: entry.ends, body: entry.body };
            let starts: Vec<Timestamp> = starts(time, self.store.length, self.hop)
                .filter(|start| start.plus(self.store.length) > before)
                .collect();
            if starts.is_empty() {
                work.account.late += 1;
            }
            let held = Arc::new(held);
            let mut refused = false;
            for start in starts.into_iter().rev() {
                let end = start.plus(self.store.length);
                if self.store.add(work, lane, &entrant.group, start, &held) {
                    lane.holds.next_end = lane.holds.next_end.min(end);
                    lane.holds.last_end = lane.holds.last_end.max(end);
                    lane.progress.opened(end, time, lateness, mark);
                } else {
                    refused = true;
                }
            }
            work.account.refused += u64::from(refused);
        }
        lane.waits = !lane.holds.groups.is_empty();
        self.lanes.touched(lane_key, waited);
    }

    /// Whether there is a lane of this key. A row that is held back makes none, unless all share the one.
    fn enter(&mut self, work: &mut Work<'_>, key: &[Value], passes: bool) -> bool {
        if self.lanes.map.contains_key(key) {
            return true;
        }
        if !passes && work.ctx.by_key() {
            return false;
        }
        let (most, bytes) = (work.ctx.config.max_groups, lane::bytes::<Open>(key));
        if self.lanes.map.len() >= most || !work.ledger.budget.has(bytes) {
            for (key, _) in self.lanes.forget_quietest(key) {
                work.ledger.budget.give(lane::bytes::<Open>(&key));
            }
        }
        if self.lanes.map.len() >= most || !work.ledger.budget.take(bytes) {
            return false;
        }
        self.lanes.make(key, self.next_order, Open::new(), work.mark());
        self.next_order += 1;
        true
    }

    /// Closes what the clock closes.
    pub(super) fn advance(&mut self, work: &mut Work<'_>) {
        let store = &mut self.store;
        self.lanes.advance(work.mark(), |lane| {
            if lane.progress.expire() {
                lane.progress.reach(lane.holds.last_end);
            }
            store.close(work, lane);
            lane.waits = !lane.holds.groups.is_empty();
        });
    }

    pub(super) fn move_slots(&mut self, remaps: &[Remap], budget: &mut Budget) {
        for window in self.store.groups.values_mut().flat_map(|group| &mut group.windows) {
            window.contents.move_slots(remaps, budget);
        }
    }

    /// Writes lanes with their groups.
    pub(super) fn write(&self, now: Mark, out: &mut Writer) {
        out.u64(self.next_order);
        self.lanes.write(now, out, |holds, out| {
            out.time(holds.last_end);
            let groups = holds.groups.iter();
            let groups: Vec<_> = groups.filter_map(|key| self.store.groups.get_key_value(key)).collect();
            out.len(groups.len());
            for (key, group) in groups {
                out.values(key);
                out.u64(group.order);
                out.len(group.windows.len());
                for window in &group.windows {
                    out.time(window.start);
                    window.contents.write(out);
                }
            }
        });
    }

    /// Reads what [`Self::write`] wrote for the same rule.
    pub(super) fn read(
        &mut self,
        ctx: Context<'_>,
        now: Mark,
        budget: &mut Budget,
        from: &mut Reader<'_>,
    ) -> Result<(), SnapshotError> {
        self.next_order = from.u64()?;
        let store = &mut self.store;
        self.lanes.read(now, budget, from, |budget, from| {
            let mut holds = Open { last_end: from.time()?, ..Open::new() };
            for _ in 0..from.len()? {
                let name: Arc<[Value]> = from.values()?.into();
                let group = store.read(ctx, budget, &name, from)?;
                if let Some(first) = group.windows.first() {
                    holds.next_end = holds.next_end.min(first.start.plus(store.length));
                }
                if let Some(last) = group.windows.last() {
                    holds.last_end = holds.last_end.max(last.start.plus(store.length));
                }
                holds.groups.push(name.clone());
                if store.groups.insert(name, group).is_some() {
                    return Err(from.damaged());
                }
            }
            let waits = !holds.groups.is_empty();
            Ok((holds, waits))
        })
    }
}

impl Open {
    fn new() -> Self {
        Self { groups: Vec::new(), next_end: NEVER, last_end: Timestamp::MIN }
    }
}

impl Store {
    /// Adds a row to a window of a group; false where there was no room for the window.
    fn add(
        &mut self,
        work: &mut Work<'_>,
        lane: &mut Lane<Open>,
        key: &[Value],
        start: Timestamp,
        held: &Arc<Held>,
    ) -> bool {
        let known = self.groups.get(key);
        let place = known.map_or(Err(0), |group| group.windows.binary_search_by_key(&start, |w| w.start));
        if place.is_err() {
            let config = work.ctx.config;
            let own = if known.is_none() { Group::bytes(key) } else { 0 };
            let full = self.windows >= config.max_states
                || (known.is_none() && self.groups.len() >= config.max_groups)
                || !work.ledger.budget.take(own + OpenWindow::own_bytes(work.ctx));
            if full {
                return false;
            }
        }
        if known.is_none() {
            let name: Arc<[Value]> = key.into();
            lane.holds.groups.push(name.clone());
            self.groups.insert(name, Group { order: held.order, windows: Vec::new() });
        }
        let Some(group) = self.groups.get_mut(key) else { return false };
        let at = place.unwrap_or_else(|at| {
            group.windows.insert(at, OpenWindow { start, contents: Contents::new(work.ctx) });
            self.windows += 1;
            at
        });
        group.windows[at].contents.add(work, held);
        true
    }

    /// Closes the windows of a lane that its watermark has reached.
    fn close(&mut self, work: &mut Work<'_>, lane: &mut Lane<Open>) {
        let closed = lane.progress.closed();
        let open = &mut lane.holds;
        if open.next_end > closed {
            return;
        }
        open.next_end = NEVER;
        let mut ripe: Vec<(u64, Closed)> = Vec::new();
        open.groups.retain(|key| {
            let Some(group) = self.groups.get_mut(key) else { return false };
            let count = group.windows.partition_point(|window| window.start.plus(self.length) <= closed);
            let order = group.order;
            for OpenWindow { start, contents } in group.windows.drain(..count) {
                let end = start.plus(self.length);
                ripe.push((order, Closed { group: key.clone(), start, end, contents }));
            }
            if let Some(next) = group.windows.first() {
                open.next_end = open.next_end.min(next.start.plus(self.length));
                return true;
            }
            self.groups.remove(key);
            work.ledger.budget.give(Group::bytes(key));
            false
        });
        ripe.sort_by_key(|(order, closed)| (closed.end, *order));
        for (_, closed) in &ripe {
            self.windows -= 1;
            work.ledger.budget.give(OpenWindow::own_bytes(work.ctx) + closed.contents.bytes());
        }
        let mut together: Vec<Closed> = Vec::new();
        for (_, closed) in ripe {
            if together.first().is_some_and(|first| first.end != closed.end) {
                close::emit(work, std::mem::take(&mut together));
            }
            together.push(closed);
        }
        close::emit(work, together);
    }

    /// Reads a group.
    fn read(
        &mut self,
        ctx: Context<'_>,
        budget: &mut Budget,
        key: &[Value],
        from: &mut Reader<'_>,
    ) -> Result<Group, SnapshotError> {
        let order = from.u64()?;
        let mut windows: Vec<OpenWindow> = Vec::new();
        for _ in 0..from.len()? {
            let start = from.time()?;
            if windows.last().is_some_and(|last| last.start >= start) {
                return Err(from.damaged());
            }
            let window = OpenWindow { start, contents: Contents::read(ctx, from)? };
            self.windows += 1;
            budget.charge(OpenWindow::own_bytes(ctx) + window.contents.bytes());
            windows.push(window);
        }
        // A group without a window would wait for ever.
        if windows.is_empty() {
            return Err(from.damaged());
        }
        budget.charge(Group::bytes(key));
        Ok(Group { order, windows })
    }
}

impl Group {
    /// What it takes of the ceiling of bytes, without its windows.
    fn bytes(key: &[Value]) -> usize {
        size_of::<Self>() + weight(key)
    }
}

impl OpenWindow {
    /// What it takes of the ceiling of bytes, besides what its contents grow to.
    fn own_bytes(ctx: Context<'_>) -> usize {
        size_of::<Self>() + ctx.aggregates().len() * size_of::<Accumulator>()
    }
}

/// The starts of the windows that hold a time, the latest first.
fn starts(time: Timestamp, length: Duration, hop: Duration) -> impl Iterator<Item = Timestamp> {
    let mut next = Some(time.floor(hop));
    std::iter::from_fn(move || {
        let start = next.filter(|start| start.plus(length) > time)?;
        // At the edge of what a timestamp holds it goes no further back.
        next = Some(start.minus(hop)).filter(|earlier| *earlier < start);
        Some(start)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_lies_in_every_window_that_holds_it() {
        let at = |seconds: i64| Timestamp::from_millis(seconds * 1_000);
        let span = Duration::from_secs;
        let of = |time, length, hop| starts(at(time), span(length), span(hop)).collect::<Vec<_>>();
        assert_eq!(of(12, 10, 10), [at(10)]);
        assert_eq!(of(12, 10, 5), [at(10), at(5)]);
        assert_eq!(of(12, 10, 4), [at(12), at(8), at(4)]);
        assert_eq!(of(10, 10, 5), [at(10), at(5)]);
        assert_eq!(of(-1, 10, 5), [at(-5), at(-10)]);
        let edge = starts(Timestamp::MIN, span(10), span(1));
        assert!(edge.count() <= 10);
    }
}
