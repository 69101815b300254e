//! TUMBLINGWINDOW and HOPPINGWINDOW over groups, out of slices: rules that differ in the length and the
//! hop of their windows, and behind them, share what each row adds to.
//!
//! Time is cut into slices as wide as the greatest common divisor of all lengths and hops. A row adds to
//! one partial for each aggregate of its group and slice; a window that closes puts together those of its
//! slices (Krishnamurthy, Wu and Franklin, "On-the-fly sharing for streamed aggregation", SIGMOD 2006).
//! So only aggregates go here that do not show how rows were cut into parts. Rules may also differ in their
//! aggregates: a slice holds those of all of them.
//!
//! What is said of windows in `aligned` holds for each definition, a length with a hop, by itself: which
//! rows are late for it, when silence closes its windows, in which order they close. A window is open
//! for a group if it holds one of its slices and ends behind what is closed. That is the same as to open it
//! with its first row: a row that comes too late for a window finds it closed, and no window opens twice.
//!
//! The ceilings are those of the rules together. Open windows are counted, and a row for whose windows
//! there is no room is refused for all of them.

mod advance;
mod aggregates;
mod close;
mod definition;
mod enter;
mod front;
mod heard;
mod lane;
mod looks;
mod partials;
mod roll;
mod saved;
mod table;

use std::time::Duration;

use self::aggregates::{Aggregates, Intake};
use self::close::Scratch;
use self::definition::{Definition, measures};
use self::enter::Arrival;
use self::front::Fronts;
use self::heard::Heard;
use self::lane::{Group, Lane};
use self::looks::Looks;
use self::table::{Names, Table};
use crate::engine::Context;
use crate::engine::budget::Budget;
use crate::engine::expr::{Scope, eval, holds};
use crate::engine::watermark::{Mark, Mode};
use crate::engine::work::Work;
use crate::model::row::Row;
use crate::model::value::Value;
use crate::plan::logical::{Expr, RulePlan, WindowKind};

pub(in crate::engine) use self::aggregates::names_of;
pub(in crate::engine) use self::definition::slice;

/// The operator.
#[derive(Debug)]
pub(in crate::engine) struct Sliced {
    key: Key,
    store: Store,
    /// Whether nothing shows whose window closes first, of several lanes.
    apart: bool,
    /// Whether nothing is asked of a row but what WHERE does; and that WHERE asks nothing.
    plain: (bool, bool),
}

/// Where a row's lane and group are found.
#[derive(Debug)]
struct Key {
    /// The slot of the stream's key.
    own: Option<usize>,
    /// The slots of GROUP BY, where it has nothing but slots.
    group: Option<Box<[usize]>>,
    lane: Laned,
    /// The slot of the only value that names a lane of one group.
    name: Option<usize>,
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
    /// How late a row may be.
    lateness: Duration,
    definitions: Vec<Definition>,
    aggregates: Aggregates,
    lanes: Table<Lane>,
    groups: Table<Group>,
    fronts: Fronts,
    looks: Looks,
    /// How many lanes wait for nothing.
    quiet: usize,
    /// Open windows.
    windows: usize,
    next_order: u64,
    /// How many windows have closed in all.
    closed: u64,
    scratch: Scratch,
    /// Whether there is room for a good deal more of everything.
    roomy: bool,
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
        let name = match (&lane, group.as_deref()) {
            (Laned::Alone([slot]), _) | (Laned::Group, Some([slot])) => Some(*slot),
            _ => None,
        };
        Self { own, group, lane, name }
    }

    /// Whether what comes out of different lanes goes to different alerts of each rule, and nothing else
    /// remembers it.
    fn tells_apart(&self, ctx: Context<'_>, rules: &[usize]) -> bool {
        let quiet = ctx.rule.analytics.is_empty()
            && ctx.rule.window.as_ref().is_some_and(|window| window.analytics.is_empty());
        let slot = |group: &Expr, slot: usize| *group == Expr::Field(0, slot);
        let is_of = |rule: &RulePlan| {
            let group = rule.window.as_ref().map_or(&[][..], |window| &window.group);
            let has = |place: usize| rule.key.contains(&Expr::Group(place));
            match &self.lane {
                Laned::All => true,
                Laned::Alone([key]) | Laned::Key([key]) => {
                    group.iter().position(|expr| slot(expr, *key)).is_some_and(has)
                }
                Laned::Group => self.group.is_some() && (0..group.len()).all(has),
            }
        };
        quiet && rules.iter().all(|rule| is_of(&ctx.plan.rules[*rule]))
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
            lateness: Duration::ZERO,
            definitions,
            aggregates: Aggregates::default(),
            lanes: Table::new(),
            groups: Table::new(),
            fronts: Fronts::default(),
            looks: Looks::default(),
            quiet: 0,
            windows: 0,
            next_order: 0,
            closed: 0,
            scratch: Scratch::default(),
            roomy: true,
        };
        let mut new = Self { key: Key::new(ctx), store, apart: false, plain: (false, false) };
        new.run_for(ctx, rules, &mut Budget::new(0));
        new
    }

    /// These are its rules from here on: all or some of those that were.
    pub(super) fn run_for(&mut self, ctx: Context<'_>, rules: &[usize], budget: &mut Budget) {
        self.key = Key::new(ctx);
        self.apart = self.key.tells_apart(ctx, rules);
        let filters = ctx.rule.window.as_ref().is_some_and(|window| window.filter.is_some());
        self.plain = (ctx.rule.analytics.is_empty() && !filters, ctx.rule.filter.is_none());
        let store = &mut self.store;
        store.settle_all(budget);
        store.lateness = ctx.lateness(0);
        let (aggregates, views) = Aggregates::of(ctx, rules);
        let mut own: Vec<Vec<(usize, usize)>> = vec![Vec::new(); store.definitions.len()];
        for (rule, view) in rules.iter().zip(views) {
            let measures = measures_of(&ctx.plan.rules[*rule]);
            let place = store.definitions.iter().position(|one| measures == Some((one.length, one.hop)));
            if let Some(place) = place {
                own[place].push((*rule, view));
            }
        }
        let old = std::mem::replace(&mut store.aggregates, aggregates);
        for (definition, rules) in store.definitions.iter_mut().zip(own) {
            definition.use_views(rules.iter().map(|(_, view)| *view), &store.aggregates, &old);
            definition.heard = Heard::new(ctx, rules, &store.aggregates);
        }
        store.recast(&old, budget);
        store.drop_unheard(budget);
    }

    /// What was counted for a rule beyond its unit's account.
    pub(super) fn counted(&self, rule: usize) -> Option<(u64, u64, usize)> {
        let mut all = self.store.definitions.iter();
        let own = all.find(|one| one.heard.rules.binary_search(&rule).is_ok())?;
        let view = self.store.aggregates.views.get(own.heard.view(rule))?;
        let all = &self.store.aggregates.list;
        let undefined = view.iter().map(|at| all[*at].undefined + own.undefined[*at]).sum();
        Some((own.late, undefined, own.groups))
    }

    /// Whether it remembers nothing.
    pub(super) fn is_fresh(&self) -> bool {
        self.store.lanes.len() == 0
    }

    pub(super) fn wake(&self) -> Option<Mark> {
        self.store.looks.first()
    }

    pub(super) fn groups(&self) -> usize {
        self.store.groups.len()
    }

    /// Takes a row in, of which may be known that WHERE is true of it, if it only has to be added to the slice
    /// that the one before it went to. Most are like that.
    #[inline]
    pub(in crate::engine) fn is_quick(
        &mut self,
        row: &Row,
        proved: bool,
        mark: Mark,
        budget: &mut Budget,
    ) -> bool {
        let (plain, open) = self.plain;
        if !plain || !(open || proved) || row.retained {
            return false;
        }
        let Some(Value::Str(name)) = self.key.name.and_then(|slot| row.slots.get(slot)) else { return false };
        self.store.is_quick(name, (&row.slots, row.time), mark, budget)
    }

    /// Whether what the clock closes may wait while rows of other lanes come: nothing shows it then, as long as
    /// there is room for all.
    #[inline]
    pub(super) fn is_patient(&self) -> bool {
        self.apart && self.store.roomy
    }

    /// When the clock should have closed something in the lane of a row, if that is not done yet.
    pub(super) fn overdue(&self, row: &Row, now: Mark) -> Option<Mark> {
        let lane = self.store.lanes.get(self.lane_of(row)?)?;
        lane.look.filter(|look| *look <= now)
    }

    /// Closes in the lane of a row what the clock closes.
    pub(super) fn catch_up(&mut self, work: &mut Work<'_>, row: &Row) {
        if let Some(at) = self.lane_of(row) {
            self.store.catch_up(work, at, work.mark());
        }
    }

    /// The lane of a row; `None` too where that takes more than a look at the row.
    fn lane_of(&self, row: &Row) -> Option<usize> {
        let lanes = &self.store.lanes;
        match (&self.key.lane, &self.key.group) {
            (Laned::All, _) => (lanes.len() > 0).then_some(0),
            (Laned::Alone(key) | Laned::Key(key), _) => lanes.find(Names::at(&row.slots, key)),
            (Laned::Group, Some(places)) => lanes.find(Names::at(&row.slots, places)),
            (Laned::Group, None) => None,
        }
    }

    /// Takes a row in, and closes what its time closes.
    pub(super) fn push(&mut self, work: &mut Work<'_>, row: &Row) {
        let rule = work.ctx.rule;
        let Some(window) = &rule.window else { return };
        let env = work.env(row.time);
        let sides = [&row.slots[..]];
        let analytics = work.analytics(Scope::row(&sides, &[], &env));
        let scope = Scope::row(&sides, &analytics, &env);
        let passes = work.passes(scope) && window.filter.as_ref().is_none_or(|filter| holds(filter, scope));
        let intake = Intake { slots: &row.slots, scope, order: self.store.next_order };
        let name = self.key.name.and_then(|slot| row.slots.get(slot));
        if passes && name.is_some_and(|name| self.store.is_simple(work, name, intake)) {
            return work.settle(&env);
        }
        let values: Vec<Value> = match self.key.group {
            Some(_) => Vec::new(),
            None => window.group.iter().map(|expr| eval(expr, scope).into_owned()).collect(),
        };
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
        self.store.take(work, &Arrival { key, lane, group, time: row.time, passes, intake });
        work.settle(&env);
    }

    /// Does what is due until so many windows have closed; says how many have.
    pub(super) fn advance(&mut self, work: &mut Work<'_>, most: usize) -> usize {
        self.store.advance(work, most)
    }
}
