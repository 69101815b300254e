//! Lanes, groups and slices as bytes.

use std::sync::Arc;

use super::aggregates::Measure;
use super::close::is_held;
use super::definition::{Definition, floor};
use super::lane::{Group, Lane, NEVER, Open, Reach, Slice, Track};
use super::table::Names;
use super::{Sliced, Store};
use crate::engine::aggregate::Partial;
use crate::engine::budget::Budget;
use crate::engine::snapshot::{Reader, SnapshotError, Writer};
use crate::engine::watermark::{Mark, Mode, Progress};
use crate::model::time::Timestamp;
use crate::model::value::Value;

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
        out.len(store.aggregates.len());
        for measure in &store.aggregates.list {
            out.u64(measure.name);
            out.u8(Partial::new(&measure.plan).kind());
        }
        out.len(store.lanes.len());
        for (at, lane) in store.lanes.iter() {
            let (progress, newest) = store.settled(at, lane);
            out.values(&lane.key);
            out.u64(lane.order);
            progress.write(now, out);
            for track in &lane.tracks {
                out.time(track.forced);
                out.time(track.last_end);
                out.len(track.dues.len());
                for (end, due) in &track.dues {
                    out.time(*end);
                    due.write(now, out);
                }
            }
            out.len(lane.split.as_ref().map_or(0, |split| split.len()));
            for reach in lane.split.iter().flatten() {
                out.time(reach.greatest);
                out.time(reach.closed);
            }
            let groups: Vec<&Group> = lane.groups.iter().filter_map(|at| store.groups.get(*at)).collect();
            out.len(groups.len());
            for group in groups {
                write_group(group, newest.as_ref(), out);
            }
        }
    }

    /// Reads what [`Self::write`] wrote for these rules, and perhaps for others.
    pub(in crate::engine::op) fn read(
        &mut self,
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
        let count = from.len()?;
        let written: Vec<(i64, i64)> =
            (0..count).map(|_| Ok((from.i64()?, from.i64()?))).collect::<Result<_, SnapshotError>>()?;
        // Where each definition and each aggregate stands in the bytes.
        let place = |one: &Definition| written.iter().position(|known| *known == (one.length, one.hop));
        let places: Option<Vec<usize>> = store.definitions.iter().map(place).collect();
        let places = places.ok_or_else(|| from.damaged())?;
        let count = from.len()?;
        let kinds: Vec<(u64, u8)> =
            (0..count).map(|_| Ok((from.u64()?, from.u8()?))).collect::<Result<_, SnapshotError>>()?;
        let place = |own: &Measure| {
            let kind = Partial::new(&own.plan).kind();
            kinds.iter().position(|known| *known == (own.name, kind))
        };
        let aggregates: Option<Vec<usize>> = store.aggregates.list.iter().map(place).collect();
        let aggregates = aggregates.ok_or_else(|| from.damaged())?;
        let kinds = kinds.into_iter().map(|(_, kind)| kind).collect();
        let written = Written { definitions: written.len(), places, kinds, aggregates };
        for _ in 0..from.len()? {
            store.read_lane(now, &written, budget, from)?;
        }
        store.windows = store.count_windows();
        Ok(())
    }
}

/// What stands where in the bytes.
struct Written {
    /// How many definitions.
    definitions: usize,
    /// Where each of ours is among them.
    places: Vec<usize>,
    /// The kinds of all aggregates.
    kinds: Vec<u8>,
    /// Where each of ours is among them.
    aggregates: Vec<usize>,
}

impl Store {
    fn read_lane(
        &mut self,
        now: Mark,
        written: &Written,
        budget: &mut Budget,
        from: &mut Reader<'_>,
    ) -> Result<(), SnapshotError> {
        let key: Arc<[Value]> = from.values()?.into();
        let order = from.u64()?;
        let mode = if self.mode == Mode::Arrival { Mode::Own } else { self.mode };
        let progress = Progress::read(mode, now, from)?;
        let mut tracks = Vec::with_capacity(written.definitions.min(1_024));
        for _ in 0..written.definitions {
            tracks.push(read_track(now, from)?);
        }
        let split = from.len()?;
        let split: Vec<Reach> = (0..split)
            .map(|_| Ok(Reach { greatest: from.time()?, closed: from.time()? }))
            .collect::<Result<_, SnapshotError>>()?;
        if !split.is_empty() && split.len() != written.definitions {
            return Err(from.damaged());
        }
        let mut lane = Lane::new(key, order, progress, written.places.len());
        lane.tracks = written.places.iter().map(|place| tracks[*place].clone()).collect();
        lane.forced = lane.tracks.iter().map(|track| track.forced).max().unwrap_or(Timestamp::MIN);
        lane.split = (!split.is_empty()).then(|| written.places.iter().map(|place| split[*place]).collect());
        let named = Names::of(&lane.key);
        if self.lanes.find(named).is_some() {
            return Err(from.damaged());
        }
        budget.charge(lane.bytes());
        let at = self.lanes.put(lane);
        for _ in 0..from.len()? {
            let group = self.read_group(at, written, from)?;
            let Some(group) = group else { continue };
            budget.charge(group.all_bytes());
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
        at: usize,
        written: &Written,
        from: &mut Reader<'_>,
    ) -> Result<Option<Group>, SnapshotError> {
        let mut group = Group::new(from.values()?.into(), at, written.places.len());
        let mut opens = Vec::with_capacity(written.definitions.min(1_024));
        for _ in 0..written.definitions {
            opens.push(Open { order: from.u64()?, next_end: from.time()? });
        }
        for _ in 0..from.len()? {
            group.slices.extend(read_slice(self.width, written, from)?);
        }
        if !group.slices.iter().is_sorted_by(|a, b| a.start <= b.start) {
            return Err(from.damaged());
        }
        let Some(lane) = self.lanes.get_mut(at) else { return Ok(None) };
        let mut open = false;
        let mut late = false;
        for (n, definition) in self.definitions.iter_mut().enumerate() {
            let Open { order, next_end } = opens[written.places[n]];
            // A window may be closed and not have been given out.
            let waits = next_end <= lane.closed(n);
            let upto = if waits {
                Timestamp::from_micros(next_end.micros().saturating_sub(1))
            } else {
                lane.closed(n)
            };
            let next_end = group.end_behind(n, definition, upto);
            if next_end == NEVER {
                continue;
            }
            open = true;
            late |= waits;
            group.opens[n] = Open { order, next_end };
            definition.groups += 1;
            let track = &mut lane.tracks[n];
            track.next_end = track.next_end.min(next_end);
            let last = group.slices.back().map_or(next_end, |slice| definition.last_end(slice.start));
            track.last_end = track.last_end.max(last);
        }
        if !late {
            let held = |slice: &Slice| is_held(lane, &self.definitions, slice);
            let from = group.slices.iter().position(held).unwrap_or(group.slices.len());
            group.slices.drain(..from);
        }
        Ok(open.then_some(group))
    }
}

fn write_group(group: &Group, newest: Option<&Slice>, out: &mut Writer) {
    out.values(&group.key);
    for open in &group.opens {
        out.u64(open.order);
        out.time(open.next_end);
    }
    out.len(group.slices.len());
    for slice in &group.slices {
        let is_newest = |newest: &&Slice| newest.start == slice.start && newest.of == slice.of;
        let slice = newest.filter(is_newest).unwrap_or(slice);
        out.time(slice.start);
        let of = slice.of.as_deref().unwrap_or_default();
        out.len(of.len());
        of.iter().for_each(|definition| out.len(*definition));
        slice.partials.iter().for_each(|partial| partial.write(out));
    }
}

fn read_track(now: Mark, from: &mut Reader<'_>) -> Result<Track, SnapshotError> {
    let mut track = Track { forced: from.time()?, last_end: from.time()?, ..Track::new() };
    for _ in 0..from.len()? {
        track.dues.push_back((from.time()?, Mark::read(now, from)?));
    }
    let sorted = track.dues.iter().is_sorted_by(|(a, _), (b, _)| a < b);
    if sorted { Ok(track) } else { Err(from.damaged()) }
}

/// A slice; `None` where it counts for none of these definitions.
fn read_slice(width: i64, written: &Written, from: &mut Reader<'_>) -> Result<Option<Slice>, SnapshotError> {
    let start = from.time()?;
    if floor(start.micros(), width) != start.micros() {
        return Err(from.damaged());
    }
    let count = from.len()?;
    let of: Vec<u64> = (0..count).map(|_| from.u64()).collect::<Result<_, _>>()?;
    let ours = written.places.iter().enumerate().filter(|(_, place)| of.contains(&(**place as u64)));
    let ours: Box<[usize]> = ours.map(|(one, _)| one).collect();
    let mut partials: Vec<Partial> = Vec::with_capacity(written.kinds.len());
    for kind in &written.kinds {
        partials.push(Partial::read(*kind, from)?);
    }
    let partials = written.aggregates.iter().map(|place| partials[*place].clone()).collect();
    let counts = of.is_empty() || !ours.is_empty();
    Ok(counts.then(|| Slice { start, of: (!of.is_empty()).then_some(ours), partials }))
}
