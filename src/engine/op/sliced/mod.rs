//! TUMBLINGWINDOW and HOPPINGWINDOW over groups, out of slices: rules that differ in the length and the
//! hop of their windows, and behind them, share what each row adds to.
//!
//! Time is cut into slices as wide as the greatest common divisor of all lengths and hops. A row adds to
//! one partial for each aggregate of its group and slice; a window that closes puts together those of its
//! slices (Krishnamurthy, Wu and Franklin, "On-the-fly sharing for streamed aggregation", SIGMOD 2006).
//! So only aggregates go here that do not show how rows were cut into parts.
//!
//! What is said of windows in `aligned` holds for each definition, a length with a hop, by itself: which
//! rows are late for it, when silence closes its windows, in which order they close. A window is open
//! for a group if it holds one of its slices and ends behind what is closed. That is the same as to open it
//! with its first row: a row that comes too late for a window finds it closed, and no window opens twice.
//!
//! The ceilings are those of the rules together. Open windows are counted, and a row for whose windows
//! there is no room is refused for all of them.

mod advance;
mod close;
mod definition;
mod heard;
mod lane;
mod saved;
mod table;

use std::collections::BTreeSet;
use std::time::Duration;

use self::definition::{Definition, floor, measures};
use self::heard::Heard;
use self::lane::{Group, Lane, NEVER, Open, Slice};
use self::table::{Names, Table};
use crate::engine::Context;
use crate::engine::budget::Budget;
use crate::engine::expr::{Scope, eval, holds};
use crate::engine::watermark::{Mark, Mode, Progress};
use crate::engine::work::Work;
use crate::model::row::Row;
use crate::model::time::Timestamp;
use crate::model::value::Value;
use crate::plan::logical::{Expr, RulePlan, Window, WindowKind};

pub(in crate::engine) use self::definition::slice;

/// The operator.
#[derive(Debug)]
pub(in crate::engine) struct Sliced {
    key: Key,
    store: Store,
}

/// Where a row's lane and group are found.
#[derive(Debug)]
struct Key {
    /// The slot of the stream's key.
    own: Option<usize>,
    /// The slots of GROUP BY, where it has nothing but slots.
    group: Option<Box<[usize]>>,
    lane: Laned,
}

/// Whose progress a group follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Laned {
    /// Everybody's.
    All,
    /// That of the stream's key, of which it is the only group.
    Alone([usize; 1]),
    /// That of the stream's key.
    Key([usize; 1]),
    /// Its own.
    Group,
}

/// What is kept.
#[derive(Debug)]
struct Store {
    mode: Mode,
    /// How wide a slice is, in microseconds.
    width: i64,
    definitions: Vec<Definition>,
    lanes: Table<Lane>,
    groups: Table<Group>,
    /// When to look at which lane, by the lanes' order; never later than its deadline.
    looks: BTreeSet<(Mark, u64, usize)>,
    /// How many lanes wait for nothing.
    quiet: usize,
    /// Open windows.
    windows: usize,
    next_order: u64,
    /// How many windows have closed in all.
    closed: u64,
}

/// A row on its way in.
struct Arrival<'r> {
    /// Whose progress it tells.
    key: &'r Value,
    /// `None` where all share one lane.
    lane: Option<Names<'r>>,
    /// `None` where a lane has one group only.
    group: Option<Names<'r>>,
    time: Timestamp,
    /// Whether WHERE and FILTER let it in.
    passes: bool,
    scope: Scope<'r>,
}

/// The length and hop of a rule's window, in microseconds.
pub(in crate::engine) fn measures_of(rule: &RulePlan) -> Option<(i64, i64)> {
    match rule.window.as_ref()?.kind {
        WindowKind::Tumbling { length } => Some(measures(length, length)),
        WindowKind::Hopping { length, hop } => Some(measures(length, hop)),
        _ => None,
    }
}

/// What the progress of a rule's windows goes by.
pub(in crate::engine) fn mode(ctx: Context<'_>) -> Mode {
    let stream = ctx.stream_of(0);
    match (stream.timestamp, stream.key) {
        (None, _) => Mode::Arrival,
        (Some(_), Some(_)) if !ctx.by_key() => Mode::Slowest,
        (Some(_), _) => Mode::Own,
    }
}

impl Key {
    fn new(ctx: Context<'_>) -> Self {
        let own = ctx.stream_of(0).key;
        let slot = |expr: &Expr| match expr {
            Expr::Field(0, slot) => Some(*slot),
            _ => None,
        };
        let group: Option<Box<[usize]>> = ctx.group().iter().map(slot).collect();
        let lane = match (ctx.by_key(), own) {
            (false, _) => Laned::All,
            (true, Some(key)) if group.as_deref() == Some(&[key]) => Laned::Alone([key]),
            (true, Some(key)) => Laned::Key([key]),
            (true, None) => Laned::Group,
        };
        Self { own, group, lane }
    }
}

impl Sliced {
    /// Empty, for these rules.
    pub(super) fn new(ctx: Context<'_>, rules: &[usize]) -> Self {
        let mut definitions: Vec<Definition> = Vec::new();
        for (length, hop) in rules.iter().filter_map(|rule| measures_of(&ctx.plan.rules[*rule])) {
            if !definitions.iter().any(|known| (known.length, known.hop) == (length, hop)) {
                let idle = ctx.idle_for(Duration::from_micros(length.unsigned_abs()));
                definitions.push(Definition::new(length, hop, idle));
            }
        }
        let store = Store {
            mode: mode(ctx),
            width: slice(definitions.iter().map(|one| (one.length, one.hop))),
            definitions,
            lanes: Table::new(),
            groups: Table::new(),
            looks: BTreeSet::new(),
            quiet: 0,
            windows: 0,
            next_order: 0,
            closed: 0,
        };
        let mut new = Self { key: Key::new(ctx), store };
        new.run_for(ctx, rules, &mut Budget::new(0));
        new
    }

    /// These are its rules from here on: all or some of those that were.
    pub(super) fn run_for(&mut self, ctx: Context<'_>, rules: &[usize], budget: &mut Budget) {
        self.key = Key::new(ctx);
        for definition in &mut self.store.definitions {
            let own = Some((definition.length, definition.hop));
            let rules = rules.iter().copied().filter(|rule| measures_of(&ctx.plan.rules[*rule]) == own);
            definition.heard = Heard::new(ctx, rules.collect());
        }
        self.store.drop_unheard(budget);
    }

    /// What was counted for a rule beyond its unit's account.
    pub(super) fn counted(&self, rule: usize) -> Option<(u64, u64, usize)> {
        let mut all = self.store.definitions.iter();
        let own = all.find(|one| one.heard.rules.binary_search(&rule).is_ok())?;
        Some((own.late, own.undefined, own.groups))
    }

    /// Whether it remembers nothing.
    pub(super) fn is_fresh(&self) -> bool {
        self.store.lanes.len() == 0
    }

    pub(super) fn wake(&self) -> Option<Mark> {
        self.store.looks.first().map(|(look, ..)| *look)
    }

    pub(super) fn groups(&self) -> usize {
        self.store.groups.len()
    }

    /// Takes a row in, and closes what its time closes.
    pub(super) fn push(&mut self, work: &mut Work<'_>, row: &Row) {
        let rule = work.ctx.rule;
        let Some(window) = &rule.window else { return };
        let env = work.env(row.time);
        let sides = [&row.slots[..]];
        let analytics = work.analytics(Scope::row(&sides, &[], &env));
        let scope = Scope::row(&sides, &analytics, &env);
        let values: Vec<Value> = match self.key.group {
            Some(_) => Vec::new(),
            None => window.group.iter().map(|expr| eval(expr, scope).into_owned()).collect(),
        };
        let passes = work.passes(scope) && window.filter.as_ref().is_none_or(|filter| holds(filter, scope));
        let group = match &self.key.group {
            Some(places) => Names::at(&row.slots, places),
            None => Names::of(&values),
        };
        let (lane, group) = match &self.key.lane {
            Laned::All => (None, Some(group)),
            Laned::Alone(key) => (Some(Names::at(&row.slots, key)), None),
            Laned::Key(key) => (Some(Names::at(&row.slots, key)), Some(group)),
            Laned::Group => (Some(group), None),
        };
        let key = self.key.own.and_then(|slot| row.slots.get(slot)).unwrap_or(&Value::Null);
        let arrival = Arrival { key, lane, group, time: row.time, passes, scope };
        self.store.take(work, window, &arrival);
        work.settle(&env);
    }

    /// Does what is due until so many windows have closed; says how many have.
    pub(super) fn advance(&mut self, work: &mut Work<'_>, most: usize) -> usize {
        self.store.advance(work, most)
    }
}

impl Store {
    fn take(&mut self, work: &mut Work<'_>, window: &Window, arrival: &Arrival<'_>) {
        let passes = u64::from(arrival.passes);
        let Some(at) = self.lane(work, arrival) else { return };
        let (mark, lateness, config) = (work.mark(), work.ctx.lateness(0), work.ctx.config);
        self.catch_up(work, at, mark);
        let Some(lane) = self.lanes.get_mut(at) else { return };
        if lane.progress.is_full_for(arrival.key, config.max_groups, config.max_bytes) {
            work.account.refused += passes;
            return;
        }
        let time = lane.progress.stamp(arrival.time);
        let before = lane.progress.closed();
        // A row never closes its own windows, but what it does close makes room for it.
        lane.progress.row(arrival.key, time, lateness, mark);
        let mut moved = self.mode != Mode::Own;
        if lane.progress.closed() >= lane.next_end {
            self.close(work, at);
            moved = true;
        }
        if arrival.passes {
            let order = self.next_order;
            self.next_order += 1;
            let place = match self.place(at, arrival, time, before) {
                Some(place) => Some(place),
                None => {
                    moved = true;
                    self.open(work, at, arrival, time, before, order)
                }
            };
            if let Some((group, slice)) = place {
                self.add(work, window, arrival.scope, group, slice, order);
            }
        }
        if moved {
            self.watch(at);
        }
    }

    /// The lane of a row. One that is held back makes none, unless all share the one.
    fn lane(&mut self, work: &mut Work<'_>, arrival: &Arrival<'_>) -> Option<usize> {
        let found = match arrival.lane {
            Some(names) => self.lanes.find(names),
            None => (self.lanes.len() > 0).then_some(0),
        };
        if found.is_some() {
            return found;
        }
        if !arrival.passes && arrival.lane.is_some() {
            return None;
        }
        let key = arrival.lane.map_or_else(|| [].into(), Names::to_key);
        let progress = Progress::new(self.mode, work.mark());
        let lane = Lane::new(key, self.next_order, progress, self.definitions.len());
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
        Some(self.lanes.put(lane))
    }

    /// Where a row goes, if its slice is there and every window that holds it is open.
    fn place(
        &self,
        lane: usize,
        arrival: &Arrival<'_>,
        time: Timestamp,
        before: Timestamp,
    ) -> Option<(usize, usize)> {
        let lane = self.lanes.get(lane)?;
        let group = match arrival.group {
            Some(names) => self.groups.find(names)?,
            None => *lane.groups.first()?,
        };
        let start = floor(time.micros(), self.width);
        let slice = self.groups.get(group)?.place(Timestamp::from_micros(start)).ok()?;
        let closed = before.max(lane.forced);
        (closed.micros() < start.saturating_add(self.width)).then_some((group, slice))
    }

    /// Where a row goes otherwise: sees for which definitions it is late, and opens windows. `None` where it
    /// goes nowhere.
    fn open(
        &mut self,
        work: &mut Work<'_>,
        at: usize,
        arrival: &Arrival<'_>,
        time: Timestamp,
        before: Timestamp,
        order: u64,
    ) -> Option<(usize, usize)> {
        let start = Timestamp::from_micros(floor(time.micros(), self.width));
        let lane = self.lanes.get_mut(at)?;
        let mut late = true;
        for (definition, track) in self.definitions.iter_mut().zip(&lane.tracks) {
            let is_late = definition.last_end(time) <= before.max(track.forced);
            definition.late += u64::from(is_late);
            late &= is_late;
        }
        if late {
            return None;
        }
        let known = match arrival.group {
            Some(names) => self.groups.find(names),
            None => lane.groups.first().copied(),
        };
        let of_group = |group: usize| self.groups.get(group);
        let place = known.and_then(of_group).map_or(Err(0), |group| group.place(start));
        let place = match (known, place) {
            (Some(group), Ok(place)) => return Some((group, place)),
            (_, Ok(place) | Err(place)) => place,
        };
        let neighbour = |place: Option<usize>| Some(known.and_then(of_group)?.slices.get(place?)?.start);
        let (earlier, later) = (neighbour(place.checked_sub(1)), neighbour(Some(place)));
        let windows = self.definitions.iter().zip(&lane.tracks).map(|(definition, track)| {
            definition.opened_by(start, self.width, before.max(track.forced), earlier, later)
        });
        let windows = windows.fold(self.windows, usize::saturating_add);
        let config = work.ctx.config;
        let aggregates = work.ctx.aggregates();
        let made = match known {
            Some(_) => None,
            None => {
                let key = arrival.group.map_or_else(|| lane.key.clone(), Names::to_key);
                Some(Group::new(key, at, self.definitions.len()))
            }
        };
        let bytes = Slice::own_bytes(aggregates.len()) + made.as_ref().map_or(0, Group::bytes);
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
        group.slices.insert(place, Slice::new(start, aggregates));
        let (mark, lateness) = (work.mark(), work.ctx.lateness(0));
        for ((definition, track), open) in
            self.definitions.iter_mut().zip(&mut lane.tracks).zip(&mut group.opens)
        {
            let closed = before.max(track.forced);
            let last = definition.last_end(start);
            if last <= closed {
                continue;
            }
            let first = definition.end_behind(start.max(closed));
            if open.next_end == NEVER {
                *open = Open { order, next_end: first };
                definition.groups += 1;
            }
            open.next_end = open.next_end.min(first);
            track.next_end = track.next_end.min(first);
            track.last_end = track.last_end.max(last);
            if self.mode == Mode::Arrival {
                let mut end = first;
                while end <= last {
                    lane.progress.opened(end, time, lateness, mark);
                    end = definition.next(end);
                }
            }
        }
        lane.find_next_end();
        Some((known, place))
    }

    /// Adds a row to a slice.
    fn add(
        &mut self,
        work: &mut Work<'_>,
        window: &Window,
        scope: Scope<'_>,
        group: usize,
        slice: usize,
        order: u64,
    ) {
        let slice = self.groups.get_mut(group).and_then(|group| group.slices.get_mut(slice));
        let Some(Slice { partials, .. }) = slice else { return };
        for (partial, aggregate) in partials.iter_mut().zip(&window.aggregates) {
            if aggregate.filter.as_ref().is_some_and(|filter| !holds(filter, scope)) {
                continue;
            }
            match aggregate.args.first() {
                None => partial.count(),
                Some(arg) => {
                    let fits = partial.add(&eval(arg, scope), order, &mut work.ledger.budget);
                    work.account.refused += u64::from(!fits);
                }
            }
        }
    }
}
