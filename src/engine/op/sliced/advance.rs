//! What the clock does: silence closes windows, and lanes that wait for nothing make room.

use super::Store;
use super::lane::{Lane, NEVER, Track};
use crate::engine::budget::Budget;
use crate::engine::watermark::{Mark, Mode};
use crate::engine::work::Work;

impl Store {
    /// Does what is due, in the order of the deadlines, so that it does not matter whether this is called once
    /// or often; stops once so many windows have closed, and says how many have. What is left of a lane of
    /// many groups is closed by the next call, or before the next row of the lane.
    pub(super) fn advance(&mut self, work: &mut Work<'_>, most: usize) -> usize {
        let (now, before) = (work.mark(), self.closed);
        let mut left = most;
        while left > 0
            && let Some((look, _, at)) = self.looks.pop_due(now)
        {
            self.look(work, at, look, left);
            left = most.saturating_sub(usize::try_from(self.closed - before).unwrap_or(usize::MAX));
        }
        usize::try_from(self.closed - before).unwrap_or(usize::MAX)
    }

    /// Does what a lane still waits for of what is due.
    #[cold]
    pub(super) fn catch_up(&mut self, work: &mut Work<'_>, at: usize, now: Mark) {
        while let Some(lane) = self.lanes.get(at)
            && let Some(look) = lane.look.filter(|look| *look <= now)
        {
            self.looks.remove((look, lane.order, at));
            self.look(work, at, look, usize::MAX);
        }
    }

    fn look(&mut self, work: &mut Work<'_>, at: usize, look: Mark, most: usize) {
        self.settle(at, &mut work.ledger.budget);
        let Some(lane) = self.lanes.get_mut(at) else { return };
        lane.look = None;
        if !self.expire(work, at, look, most) {
            return;
        }
        self.watch_from(at, Some(look));
    }

    /// Does what is due in a lane by this time; says whether the lane is to be looked at again.
    fn expire(&mut self, work: &mut Work<'_>, at: usize, look: Mark, most: usize) -> bool {
        let Some(lane) = self.lanes.get_mut(at) else { return false };
        let before = (lane.progress.reached(), lane.next_end, lane.forced, lane.dues());
        match self.mode {
            // What was left of an earlier time comes first.
            _ if lane.has_ripe() => {}
            Mode::Own => {
                let seen = lane.progress.seen();
                for (one, definition) in self.definitions.iter().enumerate() {
                    let track = &lane.tracks[one];
                    if track.next_end != NEVER && seen.plus(definition.idle) <= look {
                        lane.force(one, track.last_end);
                    }
                }
            }
            Mode::Arrival => {
                for one in 0..lane.tracks.len() {
                    if let Some((end, _)) = lane.tracks[one].dues.front().filter(|(_, due)| *due <= look) {
                        lane.force(one, *end);
                    }
                }
            }
            Mode::Slowest => {
                let idle = self.definitions.first().map(|definition| definition.idle).unwrap_or_default();
                let due = lane.progress.deadline(lane.waits(), idle).is_some_and(|deadline| deadline <= look);
                if !due {
                    return true;
                }
                if lane.progress.expire() {
                    (0..lane.tracks.len()).for_each(|one| lane.force(one, lane.tracks[one].last_end));
                }
            }
        }
        if lane.has_ripe() {
            self.close(work, at, most);
        }
        // State that was read back may wait for what never comes. It must not keep the rest waiting.
        let Some(lane) = self.lanes.get_mut(at) else { return false };
        (0..lane.tracks.len()).for_each(|one| lane.forget_dues(one));
        let moved = (lane.progress.reached(), lane.next_end, lane.forced, lane.dues()) != before;
        let ripe = lane.has_ripe();
        let waits_for = self.lanes.get(at).and_then(|lane| self.deadline(lane));
        moved || ripe || waits_for.is_some_and(|deadline| deadline > look)
    }

    /// Sees to it that a lane is looked at by its deadline, and counts those that wait for nothing.
    pub(super) fn watch(&mut self, at: usize) {
        self.watch_from(at, None);
    }

    /// The same, not before this time: what is left of what was due then is as due as that was.
    fn watch_from(&mut self, at: usize, from: Option<Mark>) {
        let Some(lane) = self.lanes.get(at) else { return };
        let (waits, waited) = (lane.waits(), lane.waited);
        let deadline = self.deadline(lane).map(|deadline| from.map_or(deadline, |from| deadline.max(from)));
        let deadline = deadline.filter(|deadline| lane.look.is_none_or(|look| look > *deadline));
        self.quiet = self.quiet + usize::from(waited) - usize::from(waits);
        let Some(lane) = self.lanes.get_mut(at) else { return };
        lane.waited = waits;
        let Some(deadline) = deadline else { return };
        if let Some(look) = lane.look.replace(deadline) {
            self.looks.remove((look, lane.order, at));
        }
        self.looks.insert((deadline, lane.order, at));
    }

    /// When the clock closes something in a lane if no row does.
    fn deadline(&self, lane: &Lane) -> Option<Mark> {
        if lane.has_ripe() {
            return Some(lane.progress.seen());
        }
        match self.mode {
            Mode::Own => {
                let waiting = self.definitions.iter().zip(&lane.tracks);
                let waiting = waiting.filter(|(_, track)| track.next_end != NEVER);
                let idle = waiting.map(|(definition, _)| definition.idle).min()?;
                Some(lane.progress.seen().plus(idle))
            }
            Mode::Arrival => {
                let first = |track: &Track| track.dues.front().map(|(_, due)| *due);
                lane.tracks.iter().filter_map(first).min()
            }
            Mode::Slowest => {
                let idle = self.definitions.first().map(|definition| definition.idle).unwrap_or_default();
                lane.progress.deadline(lane.waits(), idle)
            }
        }
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
                self.looks.remove((look, lane.order, at));
            }
            budget.give(lane.bytes());
        }
    }
}
