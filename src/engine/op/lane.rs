//! Lanes: who shares a watermark, and when the clock closes what no row does. With `by_key` each key
//! has a lane of its own, else all groups share one. Knows nothing of what a lane holds.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use crate::engine::Context;
use crate::engine::budget::weight;
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
    wake: Option<Mark>,
}

/// Groups that share a watermark.
#[derive(Debug)]
pub(super) struct Lane<L> {
    pub(super) order: u64,
    pub(super) progress: Progress,
    /// Whether it waits for the watermark.
    pub(super) waits: bool,
    pub(super) holds: L,
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
        Self { mode, map: HashMap::new(), idle: ctx.idle_for(length), quiet: 0, wake: None }
    }

    pub(super) fn wake(&self) -> Option<Mark> {
        self.wake
    }

    /// Makes a lane. The caller has looked whether there is room.
    pub(super) fn make(&mut self, key: &[Value], order: u64, holds: L, now: Mark) {
        let lane = Lane { order, progress: Progress::new(self.mode, now), waits: false, holds };
        self.put(key.into(), lane);
    }

    /// Puts a lane in; false where it was there.
    pub(super) fn put(&mut self, key: Arc<[Value]>, lane: Lane<L>) -> bool {
        self.quiet += usize::from(!lane.waits);
        self.wake = earlier(self.wake, self.deadline(&lane));
        self.map.insert(key, lane).is_none()
    }

    fn deadline(&self, lane: &Lane<L>) -> Option<Mark> {
        lane.progress.deadline(lane.waits, self.idle)
    }

    /// A row has gone through a lane.
    pub(super) fn touched(&mut self, key: &[Value], waited: bool) {
        if let Some(lane) = self.map.get(key) {
            self.quiet = self.quiet + usize::from(!lane.waits) - usize::from(!waited);
            self.wake = earlier(self.wake, self.deadline(lane));
        }
    }

    /// Forgets a sixteenth of the lanes at once, so that the search for them is rare: of those that wait
    /// for nothing the longest quiet. Gives back what they held.
    pub(super) fn forget_quietest(&mut self) -> Vec<(Arc<[Value]>, L)> {
        if self.quiet == 0 {
            return Vec::new();
        }
        let quiet = self.map.iter().filter(|(_, lane)| !lane.waits);
        let mut quiet: Vec<(Mark, u64, Arc<[Value]>)> =
            quiet.map(|(key, lane)| (lane.progress.seen(), lane.order, key.clone())).collect();
        quiet.sort_by_key(|(seen, order, _)| (*seen, *order));
        quiet.truncate(1 + self.map.len() / 16);
        self.quiet -= quiet.len();
        quiet
            .into_iter()
            .filter_map(|(_, _, key)| self.map.remove(&key).map(|lane| (key, lane.holds)))
            .collect()
    }

    /// Does what the clock does, in the order of the deadlines, so that it does not matter whether this is
    /// called once or often. `expire` is called for each lane and deadline that has passed.
    pub(super) fn advance(&mut self, now: Mark, mut expire: impl FnMut(&mut Lane<L>)) {
        if self.wake.is_none_or(|wake| wake > now) {
            return;
        }
        let mut due: BTreeMap<(Mark, u64), Arc<[Value]>> = BTreeMap::new();
        for (key, lane) in &self.map {
            if let Some(deadline) = self.deadline(lane).filter(|deadline| *deadline <= now) {
                due.insert((deadline, lane.order), key.clone());
            }
        }
        while let Some(((_, order), key)) = due.pop_first() {
            let Some(lane) = self.map.get_mut(&key) else { continue };
            let waited = lane.waits;
            expire(lane);
            self.quiet = self.quiet + usize::from(!lane.waits) - usize::from(!waited);
            let next = lane.progress.deadline(lane.waits, self.idle);
            if let Some(next) = next.filter(|deadline| *deadline <= now) {
                due.insert((next, order), key);
            }
        }
        self.wake = self.map.values().filter_map(|lane| self.deadline(lane)).min();
    }
}

/// What a lane takes of the ceiling of bytes, besides what it holds.
pub(super) fn bytes<L>(key: &[Value]) -> usize {
    size_of::<Lane<L>>() + weight(key)
}

fn earlier(a: Option<Mark>, b: Option<Mark>) -> Option<Mark> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}
