//! The windows that follow rows one after the other: SLIDINGWINDOW, SESSIONWINDOW, COUNTWINDOW and
//! STATEWINDOW, per group.
//!
//! Rows wait until the watermark of their lane has come to their time, and then enter in the order of
//! their times, equal ones as they came. A row older than the watermark is late: counted, not used. What
//! the watermark closes at some time closes before rows of that time enter. On arrival time nothing
//! waits, as no row can come before another. When a lane is idle its waiting rows enter first.
//!
//! State: waiting rows, and a [`Pane`] per group. Where there is no room for another group or row, groups
//! that wait for nothing are forgotten, the longest quiet first; each counts as refused.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use super::Arrival;
use super::close::{self, Closed};
use super::lane::{self, Lane, Lanes};
use super::pane::{Due, Pane};
use crate::engine::Context;
use crate::engine::aggregate::Accumulator;
use crate::engine::budget::{Budget, weight};
use crate::engine::front::Entry;
use crate::engine::held::Held;
use crate::engine::layout::Remap;
use crate::engine::snapshot::{Reader, SnapshotError, Writer};
use crate::engine::watermark::{Mark, Mode};
use crate::engine::work::Work;
use crate::model::time::Timestamp;
use crate::model::value::Value;
use crate::plan::logical::WindowKind;

/// The operator.
#[derive(Debug)]
pub(in crate::engine) struct Ordered {
    lanes: Lanes<Queue>,
    /// The groups of all lanes.
    groups: usize,
    next_order: u64,
}

/// What a lane holds.
#[derive(Debug, Default)]
struct Queue {
    /// Rows that wait for the watermark, by time and arrival.
    waiting: BTreeMap<(Timestamp, u64), Waiting>,
    /// Which groups the watermark closes, and when.
    dues: BTreeMap<Due, Arc<[Value]>>,
    groups: HashMap<Arc<[Value]>, Group>,
}

#[derive(Debug)]
struct Waiting {
    group: Arc<[Value]>,
    held: Held,
}

#[derive(Debug)]
struct Group {
    pane: Pane,
    /// The order of the last row that it had.
    seen: u64,
}

/// Later than every row and everything due.
const EVER: Timestamp = Timestamp::from_micros(i64::MAX);

impl Ordered {
    /// Empty.
    pub(super) fn new(ctx: Context<'_>) -> Self {
        let length = match ctx.rule.window.as_ref().map(|window| &window.kind) {
            Some(WindowKind::Sliding { length, delay, .. }) => length.saturating_add(*delay),
            Some(WindowKind::Session { length, .. }) => *length,
            _ => Duration::ZERO,
        };
        Self { lanes: Lanes::new(ctx, length), groups: 0, next_order: 0 }
    }

    /// Whether it remembers nothing.
    pub(super) fn is_fresh(&self) -> bool {
        self.lanes.map.is_empty()
    }

    pub(super) fn wake(&self) -> Option<Mark> {
        self.lanes.wake()
    }

    pub(super) fn groups(&self) -> usize {
        self.groups
    }

    /// Takes a row in, and does what its time lets happen.
    pub(super) fn push(&mut self, work: &mut Work<'_>, arrival: Arrival<'_>) {
        let Arrival { key, time, entrant, .. } = arrival;
        let names = work.ctx.group().len();
        let lane_key = arrival.lane.or(entrant.group.get(..names).filter(|group| !group.is_empty()));
        let Some(lane_key) = lane_key else { return };
        let row = entrant.entry.map(|Entry { begins, ends, body }| Waiting {
            group: entrant.group.as_slice().into(),
            held: Held { time, order: 0, begins, ends, body },
        });
        let passes = row.is_some();
        if !self.enter(work, lane_key, row.as_ref()) {
            work.account.refused += u64::from(passes);
            return;
        }
        let mark = work.mark();
        // Rows of arrival time come in order, so there is nothing to wait for.
        let arrives = self.lanes.mode == Mode::Arrival;
        let lateness = if arrives { Duration::ZERO } else { arrival.lateness };
        let Some(lane) = self.lanes.map.get_mut(lane_key) else { return };
        let waited = lane.waits;
        if lane.progress.is_full_for(key, work.ctx.config.max_groups, work.ctx.config.max_bytes) {
            work.account.refused += u64::from(passes);
            return;
        }
        let time = lane.progress.stamp(time);
        let late = time < lane.progress.closed();
        lane.progress.row(key, time, lateness, mark);
        if let Some(mut row) = row {
            (row.held.time, row.held.order) = (time, self.next_order);
            self.next_order += 1;
            if late {
                work.account.late += 1;
            } else {
                if !work.ledger.budget.has(row.bytes()) {
                    self.groups -= lane.holds.forget_quietest(work, &row.group);
                }
                if work.charge(row.bytes()) {
                    lane.holds.waiting.insert((time, row.held.order), row);
                }
            }
        }
        let upto = lane.progress.closed();
        release(work, lane, &mut self.groups, upto);
        lane.settle();
        self.lanes.touched(lane_key, waited);
    }

    /// Whether there is a lane of this key, with room for the row. One that is held back makes no lane,
    /// unless all share the one.
    fn enter(&mut self, work: &mut Work<'_>, key: &[Value], row: Option<&Waiting>) -> bool {
        let most = work.ctx.config.max_groups;
        let known = self.lanes.map.get(key);
        let exists = known.is_some();
        if let (Some(row), true) = (row, work.ctx.by_key()) {
            let empty = known.is_none_or(|lane| lane.holds.groups.is_empty());
            let full = (!exists && self.lanes.map.len() >= most) || (empty && self.groups >= most);
            let bytes = lane::bytes::<Queue>(key) + Group::bytes(work.ctx, &row.group) + row.bytes();
            if full || !work.ledger.budget.has(bytes) {
                self.forget_quietest(work, key);
            }
        } else if !exists && work.ctx.by_key() {
            return false;
        }
        if exists {
            return true;
        }
        if self.lanes.map.len() >= most || !work.ledger.budget.take(lane::bytes::<Queue>(key)) {
            return false;
        }
        self.lanes.make(key, self.next_order, Queue::default(), work.mark());
        self.next_order += 1;
        true
    }

    /// Forgets lanes that wait for nothing, with their groups, but not `except`.
    fn forget_quietest(&mut self, work: &mut Work<'_>, except: &[Value]) {
        for (key, queue) in self.lanes.forget_quietest(except) {
            work.ledger.budget.give(lane::bytes::<Queue>(&key));
            for (key, group) in &queue.groups {
                group.forget(work, key);
            }
            self.groups -= queue.groups.len();
        }
    }

    /// Does what the clock does.
    pub(super) fn advance(&mut self, work: &mut Work<'_>) {
        let groups = &mut self.groups;
        self.lanes.advance(work.mark(), |lane| {
            if lane.progress.expire() {
                let last = release(work, lane, groups, EVER);
                lane.progress.reach(last);
            } else {
                let upto = lane.progress.closed();
                release(work, lane, groups, upto);
            }
            lane.settle();
        });
    }

    pub(super) fn move_slots(&mut self, remaps: &[Remap], budget: &mut Budget) {
        for queue in self.lanes.map.values_mut().map(|lane| &mut lane.holds) {
            let waiting = queue.waiting.values_mut();
            waiting.for_each(|row| row.held.move_slots(remaps, budget));
            queue.groups.values_mut().for_each(|group| group.pane.move_slots(remaps, budget));
        }
    }

    /// Writes lanes with what they hold. What is due follows from the groups.
    pub(super) fn write(&self, now: Mark, out: &mut Writer) {
        out.u64(self.next_order);
        self.lanes.write(now, out, |holds, out| {
            out.len(holds.waiting.len());
            for row in holds.waiting.values() {
                out.values(&row.group);
                row.held.write(out);
            }
            out.len(holds.groups.len());
            for (key, group) in &holds.groups {
                out.values(key);
                out.u64(group.seen);
                group.pane.write(out);
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
        let groups = &mut self.groups;
        self.lanes.read(now, budget, from, |budget, from| {
            let holds = Queue::read(ctx, budget, from)?;
            *groups += holds.groups.len();
            let waits = holds.waits();
            Ok((holds, waits))
        })
    }
}

impl Queue {
    /// Whether something in it waits for the watermark.
    fn waits(&self) -> bool {
        !self.waiting.is_empty() || !self.dues.is_empty()
    }

    fn read(ctx: Context<'_>, budget: &mut Budget, from: &mut Reader<'_>) -> Result<Self, SnapshotError> {
        let mut queue = Self::default();
        for _ in 0..from.len()? {
            let row = Waiting { group: from.values()?.into(), held: Held::read(ctx, from)? };
            budget.charge(row.bytes());
            if queue.waiting.insert((row.held.time, row.held.order), row).is_some() {
                return Err(from.damaged());
            }
        }
        for _ in 0..from.len()? {
            let (key, seen): (Arc<[Value]>, u64) = (from.values()?.into(), from.u64()?);
            let mut pane = Pane::new(ctx).ok_or_else(|| from.damaged())?;
            pane.read(ctx, from)?;
            budget.charge(Group::bytes(ctx, &key) + pane.bytes());
            queue.dues.extend(pane.dues().into_iter().map(|due| (due, key.clone())));
            if queue.groups.insert(key, Group { pane, seen }).is_some() {
                return Err(from.damaged());
            }
        }
        Ok(queue)
    }

    /// Forgets a sixteenth of the groups that wait for nothing, the longest quiet, but never `except`. Gives
    /// back how many.
    fn forget_quietest(&mut self, work: &mut Work<'_>, except: &[Value]) -> usize {
        let quiet = self.groups.iter().filter(|(key, group)| !group.pane.waits() && ***key != *except);
        let mut quiet: Vec<(u64, Arc<[Value]>)> =
            quiet.map(|(key, group)| (group.seen, key.clone())).collect();
        quiet.sort_by_key(|(seen, _)| *seen);
        quiet.truncate(1 + self.groups.len() / 16);
        for (_, key) in &quiet {
            if let Some(group) = self.groups.remove(key) {
                group.forget(work, key);
            }
        }
        quiet.len()
    }
}

impl Lane<Queue> {
    fn settle(&mut self) {
        self.waits = self.holds.waits();
    }

    fn withdraw(&mut self, due: Due) {
        self.holds.dues.remove(&due);
        let next = self.holds.dues.range((due.0, 0)..).next();
        if next.is_none_or(|((at, _), _)| *at != due.0) {
            self.progress.withdrawn(due.0);
        }
    }
}

impl Waiting {
    fn bytes(&self) -> usize {
        size_of::<Self>() + weight(&self.group) + self.held.bytes()
    }
}

impl Group {
    /// What it takes of the ceiling of bytes, besides what its window grows to.
    fn bytes(ctx: Context<'_>, key: &[Value]) -> usize {
        size_of::<Self>() + weight(key) + ctx.aggregates().len() * size_of::<Accumulator>()
    }

    /// Gives back what it took; that it is forgotten counts as refused.
    fn forget(&self, work: &mut Work<'_>, key: &[Value]) {
        work.ledger.budget.give(Self::bytes(work.ctx, key) + self.pane.bytes());
        work.account.refused += 1;
    }
}

/// Lets everything happen, in order, that the watermark allows. Gives back the time of the last of it.
fn release(work: &mut Work<'_>, lane: &mut Lane<Queue>, groups: &mut usize, upto: Timestamp) -> Timestamp {
    let mut last = Timestamp::MIN;
    loop {
        let row = lane.holds.waiting.keys().next().map(|key| key.0).filter(|time| *time <= upto);
        let due = lane.holds.dues.keys().next().map(|due| due.0).filter(|time| *time <= upto);
        match (due, row) {
            (Some(due), row) if row.is_none_or(|row| due <= row) => {
                last = due;
                close(work, lane, groups, due);
            }
            (_, Some(row)) => {
                last = row;
                if let Some((_, waiting)) = lane.holds.waiting.pop_first() {
                    work.ledger.budget.give(waiting.bytes());
                    enter(work, lane, groups, waiting);
                }
            }
            _ => return last,
        }
    }
}

/// Closes what is due at one time.
fn close(work: &mut Work<'_>, lane: &mut Lane<Queue>, groups: &mut usize, at: Timestamp) {
    let mut together = Vec::new();
    while let Some(first) = lane.holds.dues.first_entry().filter(|first| first.key().0 == at) {
        let (due, key) = first.remove_entry();
        let Some(group) = lane.holds.groups.get_mut(&key) else { continue };
        if let Some(shut) = group.pane.close(work, due) {
            together.push(Closed {
                group: key.clone(),
                start: shut.start,
                end: shut.end,
                contents: shut.contents,
            });
        }
        drop_empty(work, lane, groups, &key);
    }
    close::emit(work, together);
}

/// A row's turn has come.
fn enter(work: &mut Work<'_>, lane: &mut Lane<Queue>, groups: &mut usize, waiting: Waiting) {
    let (key, held) = (waiting.group, Arc::new(waiting.held));
    if !lane.holds.groups.contains_key(&key) && !found(work, lane, groups, &key) {
        work.account.refused += 1;
        return;
    }
    let Some(group) = lane.holds.groups.get_mut(&key) else { return };
    group.seen = held.order;
    let turn = group.pane.enter(work, &held);
    if turn.withdrawn != turn.due {
        if let Some(due) = turn.withdrawn {
            lane.withdraw(due);
        }
        if let Some(due) = turn.due {
            lane.holds.dues.insert(due, key.clone());
            lane.progress.opened(due.0, held.time, Duration::ZERO, work.mark());
        }
    }
    drop_empty(work, lane, groups, &key);
    if let Some(shut) = turn.shut {
        let closed = Closed { group: key, start: shut.start, end: shut.end, contents: shut.contents };
        close::emit(work, vec![closed]);
    }
}

/// Makes a group; false where there is no room for it.
fn found(work: &mut Work<'_>, lane: &mut Lane<Queue>, groups: &mut usize, key: &Arc<[Value]>) -> bool {
    let bytes = Group::bytes(work.ctx, key);
    if *groups >= work.ctx.config.max_groups || !work.ledger.budget.has(bytes) {
        *groups -= lane.holds.forget_quietest(work, key);
    }
    let Some(pane) = Pane::new(work.ctx) else { return false };
    let room = *groups < work.ctx.config.max_groups;
    if !room || !work.ledger.budget.take(bytes) {
        return false;
    }
    *groups += 1;
    lane.holds.groups.insert(key.clone(), Group { pane, seen: 0 });
    true
}

/// A group that holds nothing need not be there.
fn drop_empty(work: &mut Work<'_>, lane: &mut Lane<Queue>, groups: &mut usize, key: &Arc<[Value]>) {
    if lane.holds.groups.get(key).is_some_and(|group| group.pane.is_empty()) {
        lane.holds.groups.remove(key);
        work.ledger.budget.give(Group::bytes(work.ctx, key));
        *groups -= 1;
    }
}
