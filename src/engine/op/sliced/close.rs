//! Windows over slices that close: their aggregates are put together, and those rules hear of them that may
//! have something to say. Slices that no open window holds go.

use super::Store;
use super::definition::Definition;
use super::lane::{Group, Lane, NEVER, Open, Slice};
use crate::engine::aggregate::Partial;
use crate::engine::budget::Budget;
use crate::engine::expr::Env;
use crate::engine::op::close::Emission;
use crate::engine::work::Work;
use crate::model::time::Timestamp;
use crate::model::value::Value;
use crate::plan::logical::Aggregate;

impl Store {
    /// Closes the windows of a lane that its watermark, or the clock, has reached.
    pub(super) fn close(&mut self, work: &mut Work<'_>, at: usize) {
        for definition in 0..self.definitions.len() {
            let ripe = self.ripe(at, definition);
            self.windows = self.windows.saturating_sub(ripe.len());
            self.closed += ripe.len() as u64;
            for together in ripe.chunk_by(|(a, ..), (b, ..)| a == b) {
                self.emit(work, definition, together);
            }
        }
        self.trim(at, &mut work.ledger.budget);
    }

    /// The windows of a definition that close, in the order in which they do: the end of each, and its group.
    fn ripe(&mut self, at: usize, definition: usize) -> Vec<(Timestamp, u64, usize)> {
        let mut ripe = Vec::new();
        let (Some(lane), Some(own)) = (self.lanes.get_mut(at), self.definitions.get_mut(definition)) else {
            return ripe;
        };
        let closed = lane.closed(definition);
        if lane.tracks[definition].next_end > closed {
            return ripe;
        }
        let mut next = NEVER;
        for place in &lane.groups {
            let Some(group) = self.groups.get_mut(*place) else { continue };
            let Open { order, mut next_end } = group.opens[definition];
            // A watermark may stand at the end of time, and even then nothing is open behind the last window.
            let is_over = |end: Timestamp| end <= closed && end != NEVER;
            if is_over(next_end) {
                while is_over(next_end) {
                    ripe.push((next_end, order, *place));
                    let behind = group.end_behind(own, next_end);
                    next_end = if behind > next_end { behind } else { NEVER };
                }
                own.groups -= usize::from(next_end == NEVER);
                group.opens[definition] = Open { order, next_end };
            }
            next = next.min(next_end);
        }
        lane.tracks[definition].next_end = next;
        ripe.sort_unstable();
        ripe
    }

    /// Gives out windows of a definition that end together.
    fn emit(&mut self, work: &mut Work<'_>, definition: usize, together: &[(Timestamp, u64, usize)]) {
        let Some(window) = &work.ctx.rule.window else { return };
        let (Some(own), groups) = (self.definitions.get_mut(definition), &self.groups) else { return };
        let mut emission = Emission::new(window);
        let mut rules = Vec::new();
        for (end, _, place) in together {
            let Some(group) = groups.get(*place) else { continue };
            let start = own.start(*end);
            let env = work.env(*end);
            let aggregates = group.aggregates(start, *end, &window.aggregates, &env);
            own.undefined += env.undefined.get();
            own.heard.of(&aggregates, work.watch, &mut rules);
            if !rules.is_empty() || !window.analytics.is_empty() {
                emission.grouped(work, start, *end, group.key.to_vec(), aggregates, Some(&rules));
            }
        }
        emission.finish(work);
    }

    /// Lets go of the slices of a lane that no open window holds, and of its groups without any.
    pub(super) fn trim(&mut self, at: usize, budget: &mut Budget) {
        let Some(lane) = self.lanes.get_mut(at) else { return };
        let places = std::mem::take(&mut lane.groups);
        let (definitions, groups) = (&self.definitions, &mut self.groups);
        let kept = places.into_iter().filter(|place| {
            let Some(group) = groups.get_mut(*place) else { return false };
            if group.opens.iter().all(|open| open.next_end == NEVER) {
                budget.give(group.bytes() + group.slices.iter().map(Slice::bytes).sum::<usize>());
                groups.remove(*place);
                return false;
            }
            while group.slices.front().is_some_and(|slice| !is_held(lane, definitions, slice.start)) {
                let slice = group.slices.pop_front();
                budget.give(slice.map_or(0, |slice| slice.bytes()));
            }
            true
        });
        let kept: Vec<usize> = kept.collect();
        lane.groups = kept;
        lane.find_next_end();
    }

    /// Lets go of definitions of which no rule hears.
    pub(super) fn drop_unheard(&mut self, budget: &mut Budget) {
        let keep: Vec<bool> = self.definitions.iter().map(|one| !one.heard.rules.is_empty()).collect();
        if keep.iter().all(|keep| *keep) {
            return;
        }
        let stays = |(at, keep): (usize, &bool)| keep.then_some(at);
        let stay: Vec<usize> = keep.iter().enumerate().filter_map(stays).collect();
        self.definitions = stay.iter().map(|at| self.definitions[*at].clone()).collect();
        for (_, group) in self.groups.iter_mut() {
            group.opens = stay.iter().map(|at| group.opens[*at]).collect();
        }
        let lanes: Vec<usize> = self.lanes.iter().map(|(at, _)| at).collect();
        for at in lanes {
            if let Some(lane) = self.lanes.get_mut(at) {
                lane.tracks = stay.iter().map(|at| lane.tracks[*at]).collect();
                lane.forced = lane.tracks.iter().map(|track| track.forced).max().unwrap_or(Timestamp::MIN);
            }
            self.trim(at, budget);
            self.watch(at);
        }
        self.windows = self.count_windows();
    }

    /// Counts the open windows.
    pub(super) fn count_windows(&self) -> usize {
        let mut windows = 0_usize;
        for (_, group) in self.groups.iter() {
            let Some(lane) = self.lanes.get(group.lane) else { continue };
            for (at, definition) in self.definitions.iter().enumerate() {
                let mut before = None;
                for slice in &group.slices {
                    let opened = definition.opened_by(slice.start, self.width, lane.closed(at), before, None);
                    windows = windows.saturating_add(opened);
                    before = Some(slice.start);
                }
            }
        }
        windows
    }
}

/// Whether an open window of any definition holds the slice that starts then.
fn is_held(lane: &Lane, definitions: &[Definition], start: Timestamp) -> bool {
    definitions.iter().enumerate().any(|(at, definition)| definition.last_end(start) > lane.closed(at))
}

impl Group {
    /// The values of the aggregates of one window.
    fn aggregates(&self, start: Timestamp, end: Timestamp, plan: &[Aggregate], env: &Env) -> Vec<Value> {
        let from = self.slices.partition_point(|slice| slice.start < start);
        let mut slices = self.slices.range(from..).take_while(|slice| slice.start < end);
        let values = |partials: &[Partial]| {
            partials.iter().zip(plan).map(|(partial, aggregate)| partial.value(aggregate, env)).collect()
        };
        let Some(first) = slices.next() else {
            return plan.iter().map(|aggregate| Partial::new(aggregate).value(aggregate, env)).collect();
        };
        let Some(second) = slices.next() else { return values(&first.partials) };
        let mut sums = first.partials.clone();
        for slice in std::iter::once(second).chain(slices) {
            sums.iter_mut().zip(&slice.partials).for_each(|(sum, partial)| sum.merge(partial));
        }
        values(&sums)
    }
}
