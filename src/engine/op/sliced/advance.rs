//! What the clock does: silence closes windows, and lanes that wait for nothing make room.

use super::Store;
use super::lane::{Lane, NEVER};
use crate::engine::budget::Budget;
use crate::engine::watermark::{Mark, Mode};
use crate::engine::work::Work;

impl Store {
    /// Does what is due, in the order of the deadlines, so that it does not matter whether this is called once
    /// or often; stops once so many windows have closed, and says how many have.
    pub(super) fn advance(&mut self, work: &mut Work<'_>, most: usize) -> usize {
        let (now, before) = (work.mark(), self.closed);
        let closed = |store: &Self| usize::try_from(store.closed - before).unwrap_or(usize::MAX);
        while closed(self) < most && self.looks.first().is_some_and(|(look, ..)| *look <= now) {
            let Some((look, _, at)) = self.looks.pop_first() else { break };
            self.look(work, at, look);
        }
        closed(self)
    }

    /// Does what a lane still waits for of what is due.
    pub(super) fn catch_up(&mut self, work: &mut Work<'_>, at: usize, now: Mark) {
        while let Some(lane) = self.lanes.get(at)
            && let Some(look) = lane.look.filter(|look| *look <= now)
        {
            self.looks.remove(&(look, lane.order, at));
            self.look(work, at, look);
        }
    }

    fn look(&mut self, work: &mut Work<'_>, at: usize, look: Mark) {
        let Some(lane) = self.lanes.get_mut(at) else { return };
        lane.look = None;
        if self.expire(work, at, look) {
            self.watch(at);
        }
    }

    /// Does what is due in a lane by this time; says whether the lane is to be looked at again.
    fn expire(&mut self, work: &mut Work<'_>, at: usize, look: Mark) -> bool {
        let Some(lane) = self.lanes.get_mut(at) else { return false };
        let before = (lane.progress.reached(), lane.next_end);
        if self.mode == Mode::Own {
            let seen = lane.progress.seen();
            for (definition, track) in self.definitions.iter().zip(&mut lane.tracks) {
                if track.next_end != NEVER && seen.plus(definition.idle) <= look {
                    track.forced = track.forced.max(track.last_end);
                    lane.forced = lane.forced.max(track.forced);
                }
            }
        } else {
            let idle = self.definitions.first().map(|definition| definition.idle).unwrap_or_default();
            let due = lane.progress.deadline(lane.waits(), idle).is_some_and(|deadline| deadline <= look);
            if !due {
                return true;
            }
            if lane.progress.expire() {
                for track in &mut lane.tracks {
                    track.forced = track.forced.max(track.last_end);
                    lane.forced = lane.forced.max(track.forced);
                }
            }
        }
        if lane.next_end <= lane.progress.closed().max(lane.forced) {
            self.close(work, at);
        }
        // State that was read back may wait for what never comes. It must not keep the rest waiting.
        let lane = self.lanes.get(at);
        let moved = lane.is_some_and(|lane| (lane.progress.reached(), lane.next_end) != before);
        moved || lane.and_then(|lane| self.deadline(lane)).is_some_and(|deadline| deadline > look)
    }

    /// Sees to it that a lane is looked at by its deadline, and counts those that wait for nothing.
    pub(super) fn watch(&mut self, at: usize) {
        let Some(lane) = self.lanes.get(at) else { return };
        let (waits, waited) = (lane.waits(), lane.waited);
        let deadline = self.deadline(lane).filter(|deadline| lane.look.is_none_or(|look| look > *deadline));
        self.quiet = self.quiet + usize::from(waited) - usize::from(waits);
        let Some(lane) = self.lanes.get_mut(at) else { return };
        lane.waited = waits;
        let Some(deadline) = deadline else { return };
        if let Some(look) = lane.look.replace(deadline) {
            self.looks.remove(&(look, lane.order, at));
        }
        self.looks.insert((deadline, lane.order, at));
    }

    /// When the clock closes something in a lane if no row does.
    fn deadline(&self, lane: &Lane) -> Option<Mark> {
        if self.mode == Mode::Own {
            let waiting =
                self.definitions.iter().zip(&lane.tracks).filter(|(_, track)| track.next_end != NEVER);
            let idle = waiting.map(|(definition, _)| definition.idle).min()?;
            return Some(lane.progress.seen().plus(idle));
        }
        let idle = self.definitions.first().map(|definition| definition.idle).unwrap_or_default();
        lane.progress.deadline(lane.waits(), idle)
    }

    /// Forgets a sixteenth of the lanes at once, so that the search for them is rare: of those that wait
    /// for nothing the longest quiet.
    pub(super) fn forget_quietest(&mut self, budget: &mut Budget) {
        if self.quiet == 0 {
            return;
        }
        let quiet = self.lanes.iter().filter(|(_, lane)| !lane.waits());
        let mut quiet: Vec<(Mark, u64, usize)> =
            quiet.map(|(at, lane)| (lane.progress.seen(), lane.order, at)).collect();
        quiet.sort_unstable();
        quiet.truncate(1 + self.lanes.len() / 16);
        self.quiet -= quiet.len();
        for (_, _, at) in quiet {
            let Some(lane) = self.lanes.remove(at) else { continue };
            if let Some(look) = lane.look {
                self.looks.remove(&(look, lane.order, at));
            }
            budget.give(lane.bytes());
        }
    }
}
