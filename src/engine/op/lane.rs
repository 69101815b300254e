//! Lanes: who shares a watermark, and when the clock closes what no row does. With `by_key` each key
//! has a lane of its own, else all groups share one. Knows nothing of what a lane holds.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use crate::engine::Context;
use crate::engine::budget::{Budget, weight};
use crate::engine::snapshot::{Reader, SnapshotError, Writer};
use crate::engine::watermark::{Mark, Mode, Progress};
use crate::model::value::Value;

/// All lanes of a rule.
#[derive(Debug)]
pub(super) struct Lanes<L> {
    pub(super) mode: Mode,
    pub(super) map: HashMap<Arc<[Value]>, Lane<L>>,
    idle: Duration,
    /// How many lanes wait for nothing.
    quiet: usize,
    looks: Looks,
}

/// When to look at which lane, never later than its deadline, with the lane's order. Rows move most
/// deadlines on, and a look that comes too early costs less than keeping up with every row.
type Looks = BTreeMap<(Mark, u64), Arc<[Value]>>;

/// Groups that share a watermark.
#[derive(Debug)]
pub(super) struct Lane<L> {
    /// When it was made, as a place among all lanes.
    pub(super) order: u64,
    pub(super) progress: Progress,
    /// Whether it waits for the watermark.
    pub(super) waits: bool,
    pub(super) holds: L,
    /// When it will be looked at.
    look: Option<Mark>,
}

impl<L> Lane<L> {
    /// Waits for nothing.
    pub(super) fn new(order: u64, progress: Progress, holds: L) -> Self {
        Self { order, progress, waits: false, holds, look: None }
    }
}

impl<L> Lanes<L> {
    /// None yet, of a window of this length.
    pub(super) fn new(ctx: Context<'_>, length: Duration) -> Self {
        let stream = ctx.stream_of(0);
        let mode = match (stream.timestamp, stream.key) {
            (None, _) => Mode::Arrival,
            _ if ctx.rule.from.at_close => Mode::Slowest,
            (Some(_), Some(_)) if !ctx.by_key() => Mode::Slowest,
            (Some(_), _) => Mode::Own,
        };
        let idle = ctx.idle_for(length);
        Self { mode, map: HashMap::new(), idle, quiet: 0, looks: Looks::new() }
    }

    /// When to call [`Self::advance`], at the latest.
    pub(super) fn wake(&self) -> Option<Mark> {
        self.looks.keys().next().map(|(look, _)| *look)
    }

    /// Makes a lane. The caller has looked whether there is room.
    pub(super) fn make(&mut self, key: &[Value], order: u64, holds: L, now: Mark) {
        self.put(key.into(), Lane::new(order, Progress::new(self.mode, now), holds));
    }

    /// Puts a lane in; false where it was there.
    fn put(&mut self, key: Arc<[Value]>, mut lane: Lane<L>) -> bool {
        self.quiet += usize::from(!lane.waits);
        watch(&mut self.looks, self.idle, &key, &mut lane);
        self.map.insert(key, lane).is_none()
    }

    /// A row has gone through a lane.
    pub(super) fn touched(&mut self, key: &[Value], waited: bool) {
        if let Some(lane) = self.map.get_mut(key) {
            self.quiet = self.quiet + usize::from(!lane.waits) - usize::from(!waited);
            watch(&mut self.looks, self.idle, key, lane);
        }
    }

    /// Forgets a sixteenth of the lanes at once, so that the search for them is rare: of those that wait
    /// for nothing the longest quiet, but never `except`. Gives back what they held.
    pub(super) fn forget_quietest(&mut self, except: &[Value]) -> Vec<(Arc<[Value]>, L)> {
        if self.quiet == 0 {
            return Vec::new();
        }
        let quiet = self.map.iter().filter(|(key, lane)| !lane.waits && ***key != *except);
        let mut quiet: Vec<(Mark, u64, Arc<[Value]>)> =
            quiet.map(|(key, lane)| (lane.progress.seen(), lane.order, key.clone())).collect();
        quiet.sort_by_key(|(seen, order, _)| (*seen, *order));
        quiet.truncate(1 + self.map.len() / 16);
        self.quiet -= quiet.len();
        let mut forgotten = Vec::with_capacity(quiet.len());
        for (_, order, key) in quiet {
            let Some(lane) = self.map.remove(&key) else { continue };
            if let Some(look) = lane.look {
                self.looks.remove(&(look, order));
            }
            forgotten.push((key, lane.holds));
        }
        forgotten
    }

    /// Writes each lane; `holds` writes what it holds.
    pub(super) fn write(&self, now: Mark, out: &mut Writer, holds: impl Fn(&L, &mut Writer)) {
        out.len(self.map.len());
        for (key, lane) in &self.map {
            out.values(key);
            out.u64(lane.order);
            lane.progress.write(now, out);
            holds(&lane.holds, out);
        }
    }

    /// Reads what [`Self::write`] wrote; `holds` also says whether the lane waits.
    pub(super) fn read(
        &mut self,
        now: Mark,
        budget: &mut Budget,
        from: &mut Reader<'_>,
        mut holds: impl FnMut(&mut Budget, &mut Reader<'_>) -> Result<(L, bool), SnapshotError>,
    ) -> Result<(), SnapshotError> {
        for _ in 0..from.len()? {
            let key: Arc<[Value]> = from.values()?.into();
            let order = from.u64()?;
            let progress = Progress::read(self.mode, now, from)?;
            budget.charge(bytes::<L>(&key));
            let (holds, waits) = holds(budget, from)?;
            if !self.put(key, Lane { waits, ..Lane::new(order, progress, holds) }) {
                return Err(from.damaged());
            }
        }
        Ok(())
    }

    /// Does what the clock does, in the order of the deadlines, so that it does not matter whether this is
    /// called once or often. `expire` is called for each lane and deadline that has passed.
    pub(super) fn advance(&mut self, now: Mark, mut expire: impl FnMut(&mut Lane<L>)) {
        while let Some(first) = self.looks.first_entry().filter(|first| first.key().0 <= now) {
            let ((look, _), key) = first.remove_entry();
            let Some(lane) = self.map.get_mut(&key) else { continue };
            lane.look = None;
            if lane.progress.deadline(lane.waits, self.idle).is_some_and(|deadline| deadline <= look) {
                let (waited, before) = (lane.waits, lane.progress.reached());
                expire(lane);
                self.quiet = self.quiet + usize::from(!lane.waits) - usize::from(!waited);
                // State that was read back may wait for what never comes. It must not keep the rest waiting.
                if lane.waits == waited && lane.progress.reached() == before {
                    continue;
                }
            }
            watch(&mut self.looks, self.idle, &key, lane);
        }
    }
}

/// Sees to it that a lane is looked at by its deadline.
fn watch<L>(looks: &mut Looks, idle: Duration, key: &[Value], lane: &mut Lane<L>) {
    let Some(deadline) = lane.progress.deadline(lane.waits, idle) else { return };
    if lane.look.is_some_and(|look| look <= deadline) {
        return;
    }
    if let Some(look) = lane.look.replace(deadline) {
        looks.remove(&(look, lane.order));
    }
    looks.insert((deadline, lane.order), key.into());
}

/// What a lane takes of the ceiling of bytes, besides what it holds.
pub(super) fn bytes<L>(key: &[Value]) -> usize {
    size_of::<Lane<L>>() + weight(key)
}
