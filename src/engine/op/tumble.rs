//! TUMBLINGWINDOW: back to back windows of one length, aligned to 1970 UTC, per group.
//!
//! A row of time `t` belongs to `[floor(t), floor(t) + length)`. Groups that share a watermark are
//! a *lane*: with `by_key` each key has its own, else all groups share one. A window closes once
//! the watermark of its lane reaches its end; windows that close together do so in the order of
//! their ends, then of their groups' first rows. A row whose window is closed is late: counted, not
//! used. Every row of a lane moves its watermark, those that WHERE holds back too, since they tell
//! the time as well.
//!
//! State: aggregates per group and open window, and a watermark per lane. Both are bounded
//! ([`Config`](crate::engine::Config)); what finds no room is counted as refused.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use crate::engine::aggregate::{Accumulator, input};
use crate::engine::budget::Budget;
use crate::engine::expr::{Env, Names, Scope, eval, holds};
use crate::engine::snapshot::{Reader, SnapshotError, Writer};
use crate::engine::watermark::{Mark, Mode, Progress};
use crate::engine::{Account, Context, judge};
use crate::model::row::{Observation, Row};
use crate::model::time::Timestamp;
use crate::model::value::Value;
use crate::plan::logical::{Aggregate, Expr};

/// The operator.
#[derive(Debug)]
pub(in crate::engine) struct Tumble {
    length: Duration,
    idle: Duration,
    mode: Mode,
    lanes: HashMap<Arc<[Value]>, Lane>,
    /// How many lanes have no open window.
    quiet: usize,
    store: Store,
    next_order: u64,
    wake: Option<Mark>,
    /// Room for the group of the row at hand.
    group: Vec<Value>,
}

/// Groups that share a watermark.
#[derive(Debug)]
struct Lane {
    order: u64,
    progress: Progress,
    /// Its groups with an open window, in the order of their first rows.
    open: Vec<Arc<[Value]>>,
    /// The end of the earliest open window.
    next_end: Timestamp,
    /// The end of the latest window it had.
    last_end: Timestamp,
}

/// The groups of all lanes that have an open window.
#[derive(Debug)]
struct Store {
    groups: HashMap<Arc<[Value]>, Group>,
    /// Open windows.
    states: usize,
    budget: Budget,
}

#[derive(Debug)]
struct Group {
    order: u64,
    /// Sorted by start.
    windows: Vec<Open>,
}

/// An open window of one group.
#[derive(Debug)]
struct Open {
    start: Timestamp,
    aggregates: Box<[Accumulator]>,
}

/// Never; beyond every end of a window that a row can open.
const NEVER: Timestamp = Timestamp::from_micros(i64::MAX);

impl Tumble {
    /// Empty.
    pub(super) fn new(ctx: Context<'_>, length: Duration) -> Self {
        let mode = match (ctx.stream.timestamp, ctx.stream.key) {
            (None, _) => Mode::Arrival,
            (Some(_), Some(_)) if !ctx.by_key() => Mode::Slowest,
            (Some(_), _) => Mode::Own,
        };
        Self {
            // A length of zero would close every window before its row.
            length: length.max(Duration::from_micros(1)),
            idle: ctx.stream.idle_for(length),
            mode,
            lanes: HashMap::new(),
            quiet: 0,
            store: Store { groups: HashMap::new(), states: 0, budget: Budget::new(ctx.config.max_bytes) },
            next_order: 0,
            wake: None,
            group: Vec::new(),
        }
    }

    pub(super) fn wake(&self) -> Option<Mark> {
        self.wake
    }

    /// Takes a row in, and closes what its time closes.
    pub(super) fn push(
        &mut self,
        ctx: Context<'_>,
        row: &Row,
        now: Mark,
        account: &mut Account,
        out: &mut Vec<Observation>,
    ) {
        if row.retained {
            account.retained += 1;
            return;
        }
        let env = Env { at: row.time, ..Env::default() };
        let sides = [&*row.slots];
        let scope = Scope::row(&sides, &[], &env);
        let passes = ctx.rule.filter.as_ref().is_none_or(|filter| holds(filter, scope));
        let mut group = std::mem::take(&mut self.group);
        group.clear();
        group.extend(ctx.group().iter().map(|expr| eval(expr, scope).into_owned()));
        let key = ctx.stream.key.and_then(|slot| row.slots.get(slot));
        let lane = match key {
            _ if !ctx.by_key() => &[],
            Some(key) => std::slice::from_ref(key),
            None => group.as_slice(),
        };
        let key = key.unwrap_or(&Value::Null);
        // A row that WHERE holds back makes no new lane, unless all share the one.
        if self.lanes.contains_key(lane) || ((passes || !ctx.by_key()) && self.enter(ctx, lane, now)) {
            self.take(ctx, lane, key, passes.then_some(group.as_slice()), row, now, account, out);
        } else if passes {
            account.refused += 1;
        }
        account.groups = self.store.groups.len();
        self.group = group;
    }

    /// A row of a lane that exists; `group` is `None` where WHERE held the row back.
    #[expect(clippy::too_many_arguments, reason = "the parts of one row, taken apart once")]
    fn take(
        &mut self,
        ctx: Context<'_>,
        lane: &[Value],
        key: &Value,
        group: Option<&[Value]>,
        row: &Row,
        now: Mark,
        account: &mut Account,
        out: &mut Vec<Observation>,
    ) {
        let Some(lane) = self.lanes.get_mut(lane) else { return };
        let was_quiet = lane.open.is_empty();
        if lane.progress.is_full_for(key, ctx.config.max_groups) {
            account.refused += u64::from(group.is_some());
            return;
        }
        let time = lane.progress.stamp(row.time);
        let start = time.floor(self.length);
        let end = start.plus(self.length);
        let late = end <= lane.progress.closed();
        // A row never closes its own window, but what it does close makes room for it.
        lane.progress.row(key, time, ctx.stream.lateness, now);
        self.store.close(ctx, self.length, lane, account, out);
        match group {
            None => {}
            Some(_) if late => account.late += 1,
            Some(group) => {
                let order = &mut self.next_order;
                if self.store.add(ctx, lane, group, start, order, &row.slots, account) {
                    lane.next_end = lane.next_end.min(end);
                    lane.last_end = lane.last_end.max(end);
                    lane.progress.opened(end, time, ctx.stream.lateness, now);
                }
            }
        }
        self.quiet = self.quiet + usize::from(lane.open.is_empty()) - usize::from(was_quiet);
        self.wake = earlier(self.wake, lane.deadline(self.idle));
    }

    /// Makes a lane. Where there is no room, those that have been quiet for longest and wait for
    /// nothing are forgotten; if there are none, the answer is no.
    fn enter(&mut self, ctx: Context<'_>, lane: &[Value], now: Mark) -> bool {
        if self.lanes.len() >= ctx.config.max_groups {
            if self.quiet == 0 {
                return false;
            }
            self.forget_quietest();
        }
        let order = self.next_order;
        self.next_order += 1;
        self.quiet += 1;
        self.lanes.insert(lane.into(), Lane::new(order, Progress::new(self.mode, now)));
        true
    }

    /// Forgets a sixteenth of the lanes at once, so that the search for them is rare. Their next
    /// row may then open a window that was closed before.
    fn forget_quietest(&mut self) {
        let mut quiet: Vec<(Mark, u64, Arc<[Value]>)> = self
            .lanes
            .iter()
            .filter(|(_, lane)| lane.open.is_empty())
            .map(|(key, lane)| (lane.progress.seen(), lane.order, key.clone()))
            .collect();
        quiet.sort_by_key(|(seen, order, _)| (*seen, *order));
        for (_, _, key) in quiet.iter().take(1 + self.lanes.len() / 16) {
            self.lanes.remove(key);
            self.quiet -= 1;
        }
    }

    /// Closes what the clock closes: in the order of the deadlines, so that it does not matter
    /// whether this is called once or often.
    pub(super) fn advance(
        &mut self,
        ctx: Context<'_>,
        now: Mark,
        account: &mut Account,
        out: &mut Vec<Observation>,
    ) {
        if self.wake.is_none_or(|wake| wake > now) {
            return;
        }
        let deadline = |lane: &Lane, idle| lane.deadline(idle).filter(|deadline| *deadline <= now);
        let mut due: BTreeMap<(Mark, u64), Arc<[Value]>> = self
            .lanes
            .iter()
            .filter_map(|(key, lane)| Some(((deadline(lane, self.idle)?, lane.order), key.clone())))
            .collect();
        while let Some(((_, order), key)) = due.pop_first() {
            let Some(lane) = self.lanes.get_mut(&key) else { continue };
            let was_quiet = lane.open.is_empty();
            lane.progress.expire(lane.last_end, ctx.stream.lateness);
            self.store.close(ctx, self.length, lane, account, out);
            self.quiet = self.quiet + usize::from(lane.open.is_empty()) - usize::from(was_quiet);
            if let Some(next) = deadline(lane, self.idle) {
                due.insert((next, order), key);
            }
        }
        self.wake = self.lanes.values().filter_map(|lane| lane.deadline(self.idle)).min();
        account.groups = self.store.groups.len();
    }

    /// Writes lanes with their groups.
    pub(super) fn write(&self, now: Mark, out: &mut Writer) {
        out.u64(self.next_order);
        out.len(self.lanes.len());
        for (key, lane) in &self.lanes {
            out.values(key);
            out.u64(lane.order);
            out.time(lane.last_end);
            lane.progress.write(now, out);
            let groups: Vec<_> =
                lane.open.iter().filter_map(|group| self.store.groups.get_key_value(group)).collect();
            out.len(groups.len());
            for (key, group) in groups {
                out.values(key);
                out.u64(group.order);
                out.len(group.windows.len());
                for window in &group.windows {
                    out.time(window.start);
                    window.aggregates.iter().for_each(|aggregate| aggregate.write(out));
                }
            }
        }
    }

    /// Reads what [`Self::write`] wrote for the same rule.
    pub(super) fn read(
        &mut self,
        ctx: Context<'_>,
        now: Mark,
        account: &mut Account,
        from: &mut Reader<'_>,
    ) -> Result<(), SnapshotError> {
        self.next_order = from.u64()?;
        for _ in 0..from.len()? {
            let key: Arc<[Value]> = from.values()?.into();
            let order = from.u64()?;
            let last_end = from.time()?;
            let mut lane = Lane::new(order, Progress::read(self.mode, now, from)?);
            lane.last_end = last_end;
            for _ in 0..from.len()? {
                let name: Arc<[Value]> = from.values()?.into();
                let group = self.store.read(ctx, from)?;
                if let Some(first) = group.windows.first() {
                    lane.next_end = lane.next_end.min(first.start.plus(self.length));
                }
                lane.open.push(name.clone());
                if self.store.groups.insert(name, group).is_some() {
                    return Err(from.damaged());
                }
            }
            self.quiet += usize::from(lane.open.is_empty());
            self.wake = earlier(self.wake, lane.deadline(self.idle));
            if self.lanes.insert(key, lane).is_some() {
                return Err(from.damaged());
            }
        }
        account.groups = self.store.groups.len();
        Ok(())
    }
}

impl Lane {
    fn new(order: u64, progress: Progress) -> Self {
        Self { order, progress, open: Vec::new(), next_end: NEVER, last_end: Timestamp::MIN }
    }

    fn deadline(&self, idle: Duration) -> Option<Mark> {
        self.progress.deadline(!self.open.is_empty(), idle)
    }
}

impl Store {
    /// Adds a row to a window of a group; says whether that window was opened by it.
    #[expect(clippy::too_many_arguments, reason = "the parts of one row, taken apart once")]
    fn add(
        &mut self,
        ctx: Context<'_>,
        lane: &mut Lane,
        key: &[Value],
        start: Timestamp,
        next_order: &mut u64,
        row: &[Value],
        account: &mut Account,
    ) -> bool {
        let known = self.groups.get(key);
        let place = known.map_or(Err(0), |group| group.windows.binary_search_by_key(&start, |w| w.start));
        let full = self.states >= ctx.config.max_states
            || (known.is_none() && self.groups.len() >= ctx.config.max_groups);
        if place.is_err() && full {
            account.refused += 1;
            return false;
        }
        if known.is_none() {
            let name: Arc<[Value]> = key.into();
            lane.open.push(name.clone());
            self.groups.insert(name, Group { order: *next_order, windows: Vec::new() });
            *next_order += 1;
        }
        let Some(group) = self.groups.get_mut(key) else { return false };
        let (at, opened) = match place {
            Ok(at) => (at, false),
            Err(at) => {
                let aggregates = ctx.aggregates().iter().map(Accumulator::new).collect();
                group.windows.insert(at, Open { start, aggregates });
                self.states += 1;
                (at, true)
            }
        };
        let env = Env::default();
        let sides = [row];
        let scope = Scope::row(&sides, &[], &env);
        for (accumulator, aggregate) in group.windows[at].aggregates.iter_mut().zip(ctx.aggregates()) {
            let Some(given) = input(aggregate, scope) else { continue };
            if !accumulator.add(aggregate, &given, start, &mut self.budget) {
                account.refused += 1;
            }
        }
        opened
    }

    /// Closes the windows of a lane that its watermark has reached.
    fn close(
        &mut self,
        ctx: Context<'_>,
        length: Duration,
        lane: &mut Lane,
        account: &mut Account,
        out: &mut Vec<Observation>,
    ) {
        let closed = lane.progress.closed();
        if lane.next_end > closed {
            return;
        }
        lane.next_end = NEVER;
        let mut ripe: Vec<(Timestamp, u64, Arc<[Value]>, Open)> = Vec::new();
        lane.open.retain(|key| {
            let Some(group) = self.groups.get_mut(key) else { return false };
            let count = group.windows.partition_point(|window| window.start.plus(length) <= closed);
            let order = group.order;
            for window in group.windows.drain(..count) {
                ripe.push((window.start.plus(length), order, key.clone(), window));
            }
            match group.windows.first() {
                Some(next) => lane.next_end = lane.next_end.min(next.start.plus(length)),
                None => drop(self.groups.remove(key)),
            }
            self.groups.contains_key(key)
        });
        ripe.sort_by_key(|(end, order, ..)| (*end, *order));
        for (end, _, key, window) in ripe {
            self.states -= 1;
            self.budget.give(window.bytes());
            emit(ctx, &key, &window, end, account, out);
        }
    }

    /// Reads a group.
    fn read(&mut self, ctx: Context<'_>, from: &mut Reader<'_>) -> Result<Group, SnapshotError> {
        let order = from.u64()?;
        let mut windows: Vec<Open> = Vec::new();
        for _ in 0..from.len()? {
            let start = from.time()?;
            if windows.last().is_some_and(|last| last.start >= start) {
                return Err(from.damaged());
            }
            let aggregates: Result<_, _> =
                ctx.aggregates().iter().map(|aggregate| Accumulator::read(aggregate, from)).collect();
            let window = Open { start, aggregates: aggregates? };
            self.states += 1;
            self.budget.charge(window.bytes());
            windows.push(window);
        }
        Ok(Group { order, windows })
    }
}

impl Open {
    /// What it takes of the ceiling of bytes.
    fn bytes(&self) -> usize {
        self.aggregates.iter().map(Accumulator::bytes).sum()
    }
}

fn emit(
    ctx: Context<'_>,
    group: &[Value],
    window: &Open,
    end: Timestamp,
    account: &mut Account,
    out: &mut Vec<Observation>,
) {
    let env = Env { at: end, ..Env::default() };
    let held = window.aggregates.iter().zip(ctx.aggregates());
    let aggregates: Vec<Value> = held.map(|(held, aggregate)| held.value(aggregate, &env)).collect();
    let names = Names::Window { group, aggregates: &aggregates, analytics: &[], start: window.start, end };
    let scope = Scope { names, env: &env, element: None };
    if ctx.having().is_none_or(|having| holds(having, scope)) {
        account.matched += 1;
        out.push(judge::observe(ctx, scope, end, false));
    }
}

fn earlier(a: Option<Mark>, b: Option<Mark>) -> Option<Mark> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

impl<'a> Context<'a> {
    fn by_key(self) -> bool {
        self.rule.window.as_ref().is_some_and(|window| window.by_key)
    }

    fn group(self) -> &'a [Expr] {
        self.rule.window.as_ref().map_or(&[], |window| &window.group)
    }

    fn aggregates(self) -> &'a [Aggregate] {
        self.rule.window.as_ref().map_or(&[], |window| &window.aggregates)
    }

    fn having(self) -> Option<&'a Expr> {
        self.rule.window.as_ref().and_then(|window| window.having.as_ref())
    }
}
