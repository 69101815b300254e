//! Lanes, groups and slices as bytes.

use std::collections::VecDeque;
use std::sync::Arc;

use super::definition::{Definition, floor};
use super::lane::{Group, Lane, NEVER, Open, Slice, Track};
use super::table::Names;
use super::{Sliced, Store};
use crate::engine::Context;
use crate::engine::aggregate::Partial;
use crate::engine::budget::Budget;
use crate::engine::snapshot::{Reader, SnapshotError, Writer};
use crate::engine::watermark::{Mark, Progress};
use crate::model::time::Timestamp;
use crate::model::value::Value;
use crate::plan::logical::Aggregate;

impl Sliced {
    /// Writes the state.
    pub(in crate::engine::op) fn write(&self, now: Mark, out: &mut Writer) {
        let store = &self.store;
        out.i64(store.width);
        out.u64(store.next_order);
        out.len(store.definitions.len());
        for definition in &store.definitions {
            out.i64(definition.length);
            out.i64(definition.hop);
        }
        out.len(store.lanes.len());
        for (_, lane) in store.lanes.iter() {
            out.values(&lane.key);
            out.u64(lane.order);
            lane.progress.write(now, out);
            for track in &lane.tracks {
                out.time(track.forced);
                out.time(track.last_end);
            }
            let groups: Vec<&Group> = lane.groups.iter().filter_map(|at| store.groups.get(*at)).collect();
            out.len(groups.len());
            for group in groups {
                write_group(group, out);
            }
        }
    }

    /// Reads what [`Self::write`] wrote for these rules, and perhaps for others.
    pub(in crate::engine::op) fn read(
        &mut self,
        ctx: Context<'_>,
        now: Mark,
        budget: &mut Budget,
        from: &mut Reader<'_>,
    ) -> Result<(), SnapshotError> {
        let store = &mut self.store;
        store.width = from.i64()?;
        store.next_order = from.u64()?;
        let fits = |n: i64| store.width > 0 && n % store.width == 0;
        if !store.definitions.iter().all(|one| fits(one.length) && fits(one.hop)) {
            return Err(from.damaged());
        }
        let written = from.len()?;
        let written: Vec<(i64, i64)> =
            (0..written).map(|_| Ok((from.i64()?, from.i64()?))).collect::<Result<_, SnapshotError>>()?;
        // Where each definition stands in the bytes.
        let place = |one: &Definition| written.iter().position(|known| *known == (one.length, one.hop));
        let places: Option<Vec<usize>> = store.definitions.iter().map(place).collect();
        let places = places.ok_or_else(|| from.damaged())?;
        for _ in 0..from.len()? {
            store.read_lane(ctx, now, &places, written.len(), budget, from)?;
        }
        store.windows = store.count_windows();
        Ok(())
    }
}

impl Store {
    fn read_lane(
        &mut self,
        ctx: Context<'_>,
        now: Mark,
        places: &[usize],
        written: usize,
        budget: &mut Budget,
        from: &mut Reader<'_>,
    ) -> Result<(), SnapshotError> {
        let key: Arc<[Value]> = from.values()?.into();
        let order = from.u64()?;
        let progress = Progress::read(self.mode, now, from)?;
        let mut tracks = Vec::with_capacity(written.min(1_024));
        for _ in 0..written {
            tracks.push(Track { forced: from.time()?, last_end: from.time()?, ..Track::new() });
        }
        let mut lane = Lane::new(key, order, progress, places.len());
        lane.tracks = places.iter().map(|place| tracks[*place]).collect();
        lane.forced = lane.tracks.iter().map(|track| track.forced).max().unwrap_or(Timestamp::MIN);
        let named = Names::of(&lane.key);
        if self.lanes.find(named).is_some() {
            return Err(from.damaged());
        }
        budget.charge(lane.bytes());
        let at = self.lanes.put(lane);
        for _ in 0..from.len()? {
            let group = self.read_group(ctx, at, places, written, from)?;
            let Some(group) = group else { continue };
            budget.charge(group.bytes() + group.slices.iter().map(Slice::bytes).sum::<usize>());
            if self.groups.find(Names::of(&group.key)).is_some() {
                return Err(from.damaged());
            }
            let place = self.groups.put(group);
            if let Some(lane) = self.lanes.get_mut(at) {
                lane.groups.push(place);
            }
        }
        if let Some(lane) = self.lanes.get_mut(at) {
            lane.find_next_end();
        }
        self.quiet += 1;
        self.watch(at);
        Ok(())
    }

    /// A group; `None` if no open window of these definitions holds anything of it.
    fn read_group(
        &mut self,
        ctx: Context<'_>,
        at: usize,
        places: &[usize],
        written: usize,
        from: &mut Reader<'_>,
    ) -> Result<Option<Group>, SnapshotError> {
        let mut group = Group::new(from.values()?.into(), at, places.len());
        let orders: Vec<u64> = (0..written).map(|_| from.u64()).collect::<Result<_, _>>()?;
        let slices = from.len()?;
        group.slices = (0..slices)
            .map(|_| read_slice(self.width, ctx.aggregates(), from))
            .collect::<Result<VecDeque<Slice>, _>>()?;
        if !group.slices.iter().is_sorted_by(|a, b| a.start < b.start) {
            return Err(from.damaged());
        }
        let Some(lane) = self.lanes.get_mut(at) else { return Ok(None) };
        let mut open = false;
        for (n, definition) in self.definitions.iter_mut().enumerate() {
            let next_end = group.end_behind(definition, lane.closed(n));
            if next_end == NEVER {
                continue;
            }
            open = true;
            group.opens[n] = Open { order: orders[places[n]], next_end };
            definition.groups += 1;
            let track = &mut lane.tracks[n];
            track.next_end = track.next_end.min(next_end);
            let last = group.slices.back().map_or(next_end, |slice| definition.last_end(slice.start));
            track.last_end = track.last_end.max(last);
        }
        let (lane, definitions) = (&*lane, &self.definitions);
        let held = |slice: &Slice| {
            definitions.iter().enumerate().any(|(n, one)| one.last_end(slice.start) > lane.closed(n))
        };
        let from = group.slices.iter().position(held).unwrap_or(group.slices.len());
        group.slices.drain(..from);
        Ok(open.then_some(group))
    }
}

fn write_group(group: &Group, out: &mut Writer) {
    out.values(&group.key);
    group.opens.iter().for_each(|open| out.u64(open.order));
    out.len(group.slices.len());
    for slice in &group.slices {
        out.time(slice.start);
        slice.partials.iter().for_each(|partial| partial.write(out));
    }
}

fn read_slice(width: i64, plan: &[Aggregate], from: &mut Reader<'_>) -> Result<Slice, SnapshotError> {
    let start = from.time()?;
    if floor(start.micros(), width) != start.micros() {
        return Err(from.damaged());
    }
    let partials: Result<_, _> = plan.iter().map(|aggregate| Partial::read(aggregate, from)).collect();
    Ok(Slice { start, partials: partials? })
}
