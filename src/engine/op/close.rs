//! From closed windows to output: joins where streams are joined, aggregates, the analytic functions
//! over groups, HAVING, the output columns, and their arrangement.

use std::collections::HashMap;
use std::sync::Arc;

use crate::engine::aggregate::Accumulator;
use crate::engine::arrange::arrange;
use crate::engine::budget::Budget;
use crate::engine::expr::{Env, Names, Scope, eval, holds};
use crate::engine::held::{Body, Contents, Held};
use crate::engine::join::{self, Joined};
use crate::engine::table::Slots;
use crate::engine::work::Work;
use crate::engine::{front, judge};
use crate::model::time::Timestamp;
use crate::model::value::Value;
use crate::plan::logical::{Gives, Window};

/// A window of one group that has closed.
#[derive(Debug)]
pub(super) struct Closed {
    /// The values of GROUP BY, then those of the window's PARTITION BY.
    pub(super) group: Arc<[Value]>,
    pub(super) start: Timestamp,
    /// The window's end, and the time of what comes out.
    pub(super) end: Timestamp,
    pub(super) contents: Contents,
}

/// What makes output rows: a row of a window, or a group of its rows.
#[derive(Debug)]
struct Source {
    start: Timestamp,
    end: Timestamp,
    names: Owned,
}

#[derive(Debug)]
enum Owned {
    Row { time: Timestamp, sides: Vec<Slots>, analytics: Vec<Value> },
    Group { group: Vec<Value>, aggregates: Vec<Value>, analytics: Vec<Value> },
}

/// Gives out what windows of one lane make that end together.
pub(super) fn emit(work: &mut Work<'_>, together: Vec<Closed>) {
    let Some(window) = &work.ctx.rule.window else { return };
    if together.is_empty() {
        return;
    }
    let mut emission = Emission::new(window);
    for closed in together {
        emission.take(work, closed);
    }
    emission.finish(work);
}

/// The output of windows that end together.
pub(super) struct Emission<'p> {
    window: &'p Window,
    /// What made lines, where lines wait to be arranged.
    waiting: Vec<Source>,
    /// For each rule that arranges its lines those lines, each with the place of what made it.
    lines: Vec<(usize, Vec<(judge::Line, usize)>)>,
}

impl<'p> Emission<'p> {
    /// Nothing yet.
    pub(super) fn new(window: &'p Window) -> Self {
        Self { window, waiting: Vec::new(), lines: Vec::new() }
    }

    fn take(&mut self, work: &mut Work<'_>, closed: Closed) {
        let Closed { group, start, end, contents } = closed;
        let group = || group.iter().take(self.window.group.len()).cloned().collect::<Vec<_>>();
        match contents {
            Contents::Sums(sums) => {
                let group = group();
                self.group(work, start, end, group, &sums);
            }
            Contents::Rows(rows) if work.ctx.rule.from.at_close => {
                self.joined(work, start, end, rows.into_iter().collect());
            }
            Contents::Rows(rows) => match self.window.gives {
                Gives::Groups => {
                    let group = group();
                    let sums = self.aggregate(work, rows.iter().map(|row| &**row));
                    self.group(work, start, end, group, &sums);
                }
                Gives::Rows => {
                    let mut rows: Vec<Arc<Held>> = rows.into_iter().collect();
                    rows.sort_by_key(|row| (row.time, row.order));
                    for row in rows {
                        let Body::Row { sides, analytics } = &row.body else { continue };
                        let names = Owned::Row {
                            time: row.time,
                            sides: sides.to_vec(),
                            analytics: analytics.to_vec(),
                        };
                        self.source(work, Source { start, end, names });
                    }
                }
            },
        }
    }

    /// The aggregates over rows that were kept. They may take as much as the rule's state may, for as long
    /// as they are looked at.
    fn aggregate<'h>(&self, work: &mut Work<'_>, rows: impl Iterator<Item = &'h Held>) -> Box<[Accumulator]> {
        let mut sums: Box<[Accumulator]> = self.window.aggregates.iter().map(Accumulator::new).collect();
        let mut budget = Budget::new(work.ctx.config.max_bytes);
        for row in rows {
            let Body::Inputs(inputs) = &row.body else { continue };
            for ((sum, plan), input) in sums.iter_mut().zip(&self.window.aggregates).zip(inputs) {
                let Some(input) = input else { continue };
                work.account.refused += u64::from(!sum.add(plan, input, row.time, &mut budget));
            }
        }
        sums
    }

    /// A closed window whose rows are joined only here.
    fn joined(&mut self, work: &mut Work<'_>, start: Timestamp, end: Timestamp, mut rows: Vec<Arc<Held>>) {
        rows.sort_by_key(|row| (row.time, row.order));
        let mut streams: Vec<Vec<(Timestamp, Slots)>> = vec![Vec::new(); work.ctx.rule.from.sides.len()];
        for row in &rows {
            if let Body::Side(side, slots) = &row.body
                && let Some(side) = streams.get_mut(*side)
            {
                side.push((row.time, slots.clone()));
            }
        }
        let env = work.env(end);
        let (rows, refused) = join::at_close(work.ctx, work.tables, &mut streams, &env);
        work.settle(&env);
        work.account.refused += refused;
        let mut groups = Groups::default();
        for Joined { sides, time } in rows {
            let time = time.unwrap_or(start);
            let env = Env { window: Some((start, end)), ..work.env(time) };
            let slots: Vec<&[Value]> = sides.iter().map(|side| &**side).collect();
            let analytics = work.analytics(Scope::row(&slots, &[], &env));
            let scope = Scope::row(&slots, &analytics, &env);
            let filter = &work.ctx.rule.filter;
            let passes = filter.as_ref().is_none_or(|filter| holds(filter, scope));
            if passes && self.window.gives == Gives::Groups {
                groups.add(work, self.window, scope, time);
            }
            work.settle(&env);
            if passes && self.window.gives == Gives::Rows {
                let names = Owned::Row { time, sides, analytics };
                self.source(work, Source { start, end, names });
            }
        }
        for (group, sums) in groups.list {
            self.group(work, start, end, group, &sums);
        }
    }

    fn group(
        &mut self,
        work: &mut Work<'_>,
        start: Timestamp,
        end: Timestamp,
        group: Vec<Value>,
        sums: &[Accumulator],
    ) {
        let env = work.env(end);
        let values = sums.iter().zip(&self.window.aggregates);
        let aggregates: Vec<Value> = values.map(|(sum, aggregate)| sum.value(aggregate, &env)).collect();
        work.settle(&env);
        self.grouped(work, start, end, group, aggregates, None);
    }

    /// A group with its aggregates, which only these rules need to hear of; all if `None`.
    pub(super) fn grouped(
        &mut self,
        work: &mut Work<'_>,
        start: Timestamp,
        end: Timestamp,
        group: Vec<Value>,
        aggregates: Vec<Value>,
        rules: Option<&[usize]>,
    ) {
        let mut source =
            Source { start, end, names: Owned::Group { group, aggregates, analytics: Vec::new() } };
        if !self.window.analytics.is_empty() {
            let env = source.env(work);
            let ledger = &mut *work.ledger;
            let refused = &mut work.account.refused;
            let values = source.with_scope(&env, |scope| {
                ledger.groups.take(&self.window.analytics, scope, &mut ledger.budget, refused)
            });
            work.settle(&env);
            if let Owned::Group { analytics, .. } = &mut source.names {
                *analytics = values;
            }
        }
        match rules {
            Some(rules) => self.source_of(work, source, rules),
            None => self.source(work, source),
        }
    }

    /// Makes the output rows of a row or group, and gives out those of rules that do not arrange them.
    fn source(&mut self, work: &mut Work<'_>, source: Source) {
        if work.is_shared() {
            let rules = work.peers.rules;
            self.source_of(work, source, rules);
        } else if self.lines(work, &source, self.waiting.len()) {
            self.waiting.push(source);
        }
    }

    /// The same for some of several rules.
    fn source_of(&mut self, work: &mut Work<'_>, source: Source, rules: &[usize]) {
        let place = self.waiting.len();
        let mut waits = false;
        for rule in rules {
            waits |= self.lines(&mut work.of(*rule), &source, place);
        }
        if waits {
            self.waiting.push(source);
        }
    }

    /// Makes those of one rule; says whether they wait for the others, as coming from this place.
    fn lines(&mut self, work: &mut Work<'_>, source: &Source, place: usize) -> bool {
        let env = source.env(work);
        let mut lines = Vec::with_capacity(1);
        source.with_scope(&env, |scope| {
            judge::lines(work.ctx, scope, |line| {
                if work.another_line() {
                    lines.push(line);
                }
            });
        });
        work.settle(&env);
        if lines.is_empty() {
            return false;
        }
        if work.ctx.rule.arrange.is_some() {
            let lines = lines.into_iter().map(|line| (line, place));
            match self.lines.iter_mut().find(|(rule, _)| *rule == work.ctx.index) {
                Some((_, waiting)) => waiting.extend(lines),
                None => self.lines.push((work.ctx.index, lines.collect())),
            }
            return true;
        }
        for line in lines {
            source.give(work, line);
        }
        source.hit(work, self.window);
        false
    }

    /// Arranges what waits for it, and gives it out.
    pub(super) fn finish(self, work: &mut Work<'_>) {
        let Self { window, waiting, lines } = self;
        for (rule, lines) in lines {
            if work.is_shared() {
                give_arranged(&mut work.of(rule), window, &waiting, lines);
            } else {
                give_arranged(work, window, &waiting, lines);
            }
        }
    }
}

/// Arranges the lines of one rule, and gives them out.
fn give_arranged(
    work: &mut Work<'_>,
    window: &Window,
    from: &[Source],
    mut lines: Vec<(judge::Line, usize)>,
) {
    let Some(plan) = &work.ctx.rule.arrange else { return };
    arrange(plan, work.ctx.rule.visible, &mut lines);
    let mut hit = vec![false; from.len()];
    for (line, place) in lines {
        from[place].give(work, line);
        hit[place] = true;
    }
    for (source, _) in from.iter().zip(hit).filter(|(_, hit)| *hit) {
        source.hit(work, window);
    }
}

/// The groups of a window whose rows are joined at the close, in the order of their first rows.
#[derive(Default)]
struct Groups {
    places: HashMap<Vec<Value>, usize>,
    list: Vec<(Vec<Value>, Box<[Accumulator]>)>,
    budget: Option<Budget>,
}

impl Groups {
    fn add(&mut self, work: &mut Work<'_>, window: &Window, scope: Scope<'_>, time: Timestamp) {
        let group: Vec<Value> = window.group.iter().map(|expr| eval(expr, scope).into_owned()).collect();
        let place = match self.places.get(&group) {
            Some(place) => *place,
            None if self.list.len() >= work.ctx.config.max_groups => {
                work.account.refused += 1;
                return;
            }
            None => {
                let sums = window.aggregates.iter().map(Accumulator::new).collect();
                self.places.insert(group.clone(), self.list.len());
                self.list.push((group, sums));
                self.list.len() - 1
            }
        };
        let budget = self.budget.get_or_insert_with(|| Budget::new(work.ctx.config.max_bytes));
        let inputs = front::inputs(window, scope);
        for ((sum, plan), input) in self.list[place].1.iter_mut().zip(&window.aggregates).zip(inputs) {
            let Some(input) = input else { continue };
            work.account.refused += u64::from(!sum.add(plan, &input, time, budget));
        }
    }
}

impl Source {
    fn env<'a>(&self, work: &Work<'a>) -> Env<'a> {
        let time = match &self.names {
            Owned::Row { time, .. } => *time,
            Owned::Group { .. } => self.end,
        };
        Env { window: Some((self.start, self.end)), ..work.env(time) }
    }

    fn with_scope<R>(&self, env: &Env, use_it: impl FnOnce(Scope<'_>) -> R) -> R {
        match &self.names {
            Owned::Row { sides, analytics, .. } => {
                let sides: Vec<&[Value]> = sides.iter().map(|side| &**side).collect();
                use_it(Scope::row(&sides, analytics, env))
            }
            Owned::Group { group, aggregates, analytics } => {
                let names = Names::Window { group, aggregates, analytics };
                use_it(Scope { names, env, element: None })
            }
        }
    }

    fn give(&self, work: &mut Work<'_>, line: judge::Line) {
        let env = self.env(work);
        judge::observe(work, line, &env, self.end, false);
        work.settle(&env);
    }

    /// Tells the analytic functions that this gave output. What looks back over rows without a partition
    /// hears of groups too.
    fn hit(&self, work: &mut Work<'_>, window: &Window) {
        let env = Env { window: Some((self.start, self.end)), ..work.env(self.end) };
        self.with_scope(&env, |scope| {
            if matches!(self.names, Owned::Group { .. }) && !window.analytics.is_empty() {
                work.ledger.groups.hit(&window.analytics, scope);
            }
            work.hit(scope);
        });
        work.settle(&env);
    }
}
