//! Windows over slices that close: their aggregates are put together, and those rules hear of them that may
//! have something to say. Slices that no open window holds go.

use super::Store;
use super::aggregates::{Aggregates, Measure};
use super::definition::Definition;
use super::lane::{Group, Lane, NEVER, Open, Slice};
use super::roll::{FEW, Roll};
use crate::engine::aggregate::Partial;
use crate::engine::budget::Budget;
use crate::engine::expr::Env;
use crate::engine::op::close::Emission;
use crate::engine::work::Work;
use crate::model::time::Timestamp;
use crate::model::value::Value;

/// What is used again for one window after the other.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    /// The windows that close: the end of each, the order of its group, and the group's place.
    ripe: Vec<(Timestamp, u64, usize)>,
    sums: Vec<Partial>,
    values: Vec<Value>,
    rules: Vec<usize>,
    /// Those of the rules that call the aggregates alike.
    alike: Vec<usize>,
}

impl Store {
    /// Closes the windows of a lane that its watermark, or the clock, has reached; of a lane of several groups
    /// about so many, and the others stay to be closed.
    pub(super) fn close(&mut self, work: &mut Work<'_>, at: usize, most: usize) {
        let mut scratch = std::mem::take(&mut self.scratch);
        let several = self.lanes.get(at).is_some_and(|lane| lane.groups.len() > 1);
        let mut left = if several { most } else { usize::MAX };
        for definition in 0..self.definitions.len() {
            if left == 0 || !self.ripen(at, definition, &mut scratch.ripe) {
                continue;
            }
            self.put_off(work, at, definition, left, &mut scratch.ripe);
            let ripe = std::mem::take(&mut scratch.ripe);
            left = left.saturating_sub(ripe.len());
            self.windows = self.windows.saturating_sub(ripe.len());
            self.closed += ripe.len() as u64;
            for together in ripe.chunk_by(|(a, ..), (b, ..)| a == b) {
                self.emit(work, definition, together, &mut scratch);
            }
            scratch.ripe = ripe;
        }
        self.scratch = scratch;
        self.trim(at, &mut work.ledger.budget);
        self.see_room(work);
    }

    /// Notes whether there is room for a good deal more of everything, so that what is done with may stay a
    /// while.
    pub(super) fn see_room(&mut self, work: &Work<'_>) {
        let config = work.ctx.config;
        let room = |used: usize, most: usize| used < most / 4 * 3;
        self.roomy = room(self.lanes.len().max(self.groups.len()), config.max_groups)
            && room(self.windows, config.max_states)
            && room(work.ledger.budget.used(), config.max_bytes);
    }

    /// The windows of a definition that close, in the order in which they do; says whether there are any.
    fn ripen(&mut self, at: usize, definition: usize, ripe: &mut Vec<(Timestamp, u64, usize)>) -> bool {
        ripe.clear();
        let (Some(lane), Some(own)) = (self.lanes.get_mut(at), self.definitions.get_mut(definition)) else {
            return false;
        };
        if !lane.is_ripe(definition) {
            return false;
        }
        let closed = lane.closed(definition);
        let mut next = NEVER;
        for place in &lane.groups {
            let Some(group) = self.groups.get_mut(*place) else { continue };
            let Open { order, mut next_end } = group.opens[definition];
            // A watermark may stand at the end of time, and even then nothing is open behind the last window.
            let is_over = |end: Timestamp| end <= closed && end != NEVER;
            if is_over(next_end) {
                while is_over(next_end) {
                    ripe.push((next_end, order, *place));
                    let behind = group.end_behind(definition, own, next_end);
                    next_end = if behind > next_end { behind } else { NEVER };
                }
                own.groups -= usize::from(next_end == NEVER);
                group.opens[definition] = Open { order, next_end };
            }
            next = next.min(next_end);
        }
        lane.tracks[definition].next_end = next;
        lane.forget_dues(definition);
        ripe.sort_unstable();
        !ripe.is_empty()
    }

    /// Leaves windows for later, where a lane has several groups and there are more than so many. Those that
    /// end together stay together where a rule arranges them.
    fn put_off(
        &mut self,
        work: &Work<'_>,
        at: usize,
        definition: usize,
        most: usize,
        ripe: &mut Vec<(Timestamp, u64, usize)>,
    ) {
        let (Some(lane), Some(own)) = (self.lanes.get_mut(at), self.definitions.get_mut(definition)) else {
            return;
        };
        if ripe.len() <= most {
            return;
        }
        let mut keep = most;
        let arranged = |rule: &usize| work.ctx.plan.rules[*rule].arrange.is_some();
        if own.heard.rules.iter().any(arranged) {
            let last = ripe[most - 1].0;
            keep = ripe.partition_point(|(end, ..)| *end <= last);
        }
        for (end, order, place) in ripe.drain(keep..).rev() {
            let Some(group) = self.groups.get_mut(place) else { continue };
            own.groups += usize::from(group.opens[definition].next_end == NEVER);
            group.opens[definition] = Open { order, next_end: end };
            let track = &mut lane.tracks[definition];
            track.next_end = track.next_end.min(end);
        }
    }

    /// Gives out windows of a definition that end together.
    fn emit(
        &mut self,
        work: &mut Work<'_>,
        definition: usize,
        together: &[(Timestamp, u64, usize)],
        scratch: &mut Scratch,
    ) {
        let Some(window) = &work.ctx.rule.window else { return };
        let Self { definitions, groups, aggregates, width, .. } = self;
        let of = definitions.len();
        let Some(own) = definitions.get_mut(definition) else { return };
        let mut emission = Emission::new(window);
        for (end, _, place) in together {
            let Some(group) = groups.get_mut(*place) else { continue };
            let start = own.start(*end);
            let rolls = own.length / *width > FEW && own.hop <= own.length / 4;
            let span = (start, *end);
            let budget = &mut work.ledger.budget;
            if rolls
                && group.roll_up((definition, of), span, own, &aggregates.list, &mut scratch.sums, budget)
            {
                debug_assert!(group.agrees(definition, span, own, &aggregates.list, &scratch.sums));
            } else {
                group.sum_up(definition, span, own, &aggregates.list, &mut scratch.sums);
            }
            let env = work.env(*end);
            scratch.values.clear();
            scratch.values.resize(aggregates.len(), Value::Null);
            for at in &own.uses {
                let before = env.undefined.get();
                scratch.values[*at] = scratch.sums[*at].value(&aggregates.list[*at].plan, &env);
                own.undefined[*at] += env.undefined.get() - before;
            }
            own.heard.of(&scratch.values, work.watch, &mut scratch.rules);
            if scratch.rules.is_empty() && window.analytics.is_empty() {
                continue;
            }
            for (at, view) in aggregates.views.iter().enumerate() {
                let rules = if aggregates.views.len() == 1 {
                    &scratch.rules
                } else {
                    let alike = scratch.rules.iter().copied().filter(|rule| own.heard.view(*rule) == at);
                    scratch.alike.clear();
                    scratch.alike.extend(alike);
                    if scratch.alike.is_empty() {
                        continue;
                    }
                    &scratch.alike
                };
                let values = view.iter().map(|at| scratch.values[*at].clone()).collect();
                emission.grouped(work, start, *end, group.key.to_vec(), values, Some(rules));
            }
        }
        emission.finish(work);
    }

    /// Lets go of the slices of a lane that no open window holds, and of its groups without any.
    pub(super) fn trim(&mut self, at: usize, budget: &mut Budget) {
        let Some(lane) = self.lanes.get_mut(at) else { return };
        lane.find_next_end();
        // What is still to be closed needs its slices.
        if lane.has_ripe() {
            return;
        }
        let mut places = std::mem::take(&mut lane.groups);
        let (definitions, groups) = (&self.definitions, &mut self.groups);
        places.retain(|place| {
            let Some(group) = groups.get_mut(*place) else { return false };
            if group.opens.iter().all(|open| open.next_end == NEVER) {
                budget.give(group.all_bytes());
                groups.remove(*place);
                return false;
            }
            while group.slices.front().is_some_and(|slice| !is_held(lane, definitions, slice)) {
                let slice = group.slices.pop_front();
                budget.give(slice.map_or(0, |slice| slice.bytes()));
            }
            true
        });
        lane.groups = places;
    }

    /// Lets go of definitions of which no rule hears.
    pub(super) fn drop_unheard(&mut self, budget: &mut Budget) {
        let keep: Vec<bool> = self.definitions.iter().map(|one| !one.heard.rules.is_empty()).collect();
        if keep.iter().all(|keep| *keep) {
            return;
        }
        let stays = |(at, keep): (usize, &bool)| keep.then_some(at);
        let stay: Vec<usize> = keep.iter().enumerate().filter_map(stays).collect();
        self.definitions.retain(|one| !one.heard.rules.is_empty());
        for (_, group) in self.groups.iter_mut() {
            budget.give(group.all_bytes());
            group.rolls.clear();
            group.opens = stay.iter().map(|at| group.opens[*at]).collect();
            for slice in &mut group.slices {
                let of = slice.of.take();
                slice.of = of.map(|of| {
                    let places = stay.iter().enumerate().filter(|(_, old)| of.binary_search(old).is_ok());
                    places.map(|(place, _)| place).collect()
                });
            }
            group.slices.retain(|slice| slice.of.as_ref().is_none_or(|of| !of.is_empty()));
            budget.charge(group.all_bytes());
        }
        let lanes: Vec<usize> = self.lanes.iter().map(|(at, _)| at).collect();
        for at in lanes {
            if let Some(lane) = self.lanes.get_mut(at) {
                budget.give(lane.bytes());
                lane.tracks = stay.iter().map(|at| lane.tracks[*at].clone()).collect();
                lane.forced = lane.tracks.iter().map(|track| track.forced).max().unwrap_or(Timestamp::MIN);
                lane.split = lane.split.take().map(|split| stay.iter().map(|at| split[*at]).collect());
                budget.charge(lane.bytes());
            }
            self.trim(at, budget);
            self.watch(at);
        }
        self.windows = self.count_windows();
    }

    /// Goes on with these aggregates, where slices hold others.
    pub(super) fn recast(&mut self, old: &Aggregates, budget: &mut Budget) {
        self.aggregates.count_on(old);
        let names = |all: &Aggregates| all.list.iter().map(|one| one.name).collect::<Vec<_>>();
        if names(old) == names(&self.aggregates) {
            return;
        }
        let places: Vec<Option<usize>> = self.aggregates.list.iter().map(|one| old.place(one.name)).collect();
        for (_, group) in self.groups.iter_mut() {
            budget.give(group.rolls.bytes());
            group.rolls.clear();
            for slice in &mut group.slices {
                budget.give(slice.bytes());
                let mut partials = self.aggregates.partials();
                for (partial, place) in partials.iter_mut().zip(&places) {
                    if let Some(known) = place.and_then(|place| slice.partials.get_mut(place)) {
                        std::mem::swap(partial, known);
                    }
                }
                slice.partials = partials;
                budget.charge(slice.bytes());
            }
        }
    }

    /// Counts the open windows.
    pub(super) fn count_windows(&self) -> usize {
        let mut windows = 0_usize;
        for (_, group) in self.groups.iter() {
            let Some(lane) = self.lanes.get(group.lane) else { continue };
            for (at, definition) in self.definitions.iter().enumerate() {
                let mut before = None;
                for slice in group.slices.iter().filter(|slice| slice.is_of(at)) {
                    let opened = definition.opened_by(slice.start, self.width, lane.closed(at), before, None);
                    windows = windows.saturating_add(opened);
                    before = Some(slice.start);
                }
            }
        }
        windows
    }
}

/// Whether an open window of any definition holds a slice.
pub(super) fn is_held(lane: &Lane, definitions: &[Definition], slice: &Slice) -> bool {
    let mut all = definitions.iter().enumerate();
    all.any(|(at, definition)| definition.last_end(slice.start) > lane.closed(at) && slice.is_of(at))
}

impl Group {
    /// What one window of a definition comes to, slice by slice; of aggregates for which nobody asks perhaps
    /// something else.
    fn sum_up(
        &self,
        at: usize,
        (start, end): (Timestamp, Timestamp),
        own: &Definition,
        plan: &[Measure],
        sums: &mut Vec<Partial>,
    ) {
        let mut slices = self.slices_of(at, start, end);
        sums.clear();
        match slices.next() {
            Some(first) => sums.extend(first.partials.iter().cloned()),
            None => sums.extend(plan.iter().map(|measure| Partial::new(&measure.plan))),
        }
        for slice in slices {
            own.uses.iter().for_each(|at| sums[*at].merge(&slice.partials[*at]));
        }
    }

    /// The same, going on from the window of the definition before; false where that cannot be.
    fn roll_up(
        &mut self,
        (at, of): (usize, usize),
        (start, end): (Timestamp, Timestamp),
        own: &Definition,
        plan: &[Measure],
        sums: &mut Vec<Partial>,
        budget: &mut Budget,
    ) -> bool {
        sums.clear();
        sums.extend(plan.iter().map(|measure| Partial::new(&measure.plan)));
        budget.give(self.rolls.bytes());
        let known = self.rolls.take(at).filter(|roll| roll.reaches(start, end));
        let mut roll = known.unwrap_or_else(|| Box::new(Roll::new(start, &own.uses, sums)));
        let fits = roll.go_to(self, at, &own.uses, (start, end));
        if fits {
            roll.give(&own.uses, sums, self, at);
            // What the next window does not hold may be gone by then.
            let kept = roll.go_to(self, at, &own.uses, (own.next(start), end));
            if kept && budget.has(self.rolls.bytes() + roll.bytes()) {
                self.rolls.put(at, of, roll);
            }
        }
        budget.charge(self.rolls.bytes());
        fits
    }

    /// Whether these are what the slices of a window come to.
    fn agrees(
        &self,
        at: usize,
        span: (Timestamp, Timestamp),
        own: &Definition,
        plan: &[Measure],
        sums: &[Partial],
    ) -> bool {
        let mut plain = Vec::new();
        self.sum_up(at, span, own, plan, &mut plain);
        let env = Env::default();
        let shown = |all: &[Partial], at: usize| format!("{:?}", all[at].value(&plan[at].plan, &env));
        own.uses.iter().all(|at| shown(sums, *at) == shown(&plain, *at))
    }
}
