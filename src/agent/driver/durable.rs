//! What the driver makes durable, and what it does while the disk takes nothing.
//!
//! Everything goes into one transaction, and whoever waits for it is told behind it. A disk that takes nothing (it is
//! full, read-only, or fails) does not end the agent: what could not be committed is held in [`Trouble`], and tried again.
//! What was decided meanwhile has no numbers and is told to nobody, for a crash would take it back, or tell it a second
//! time under another number. The first commit that succeeds brings the file to where the core is, whole: so nothing that
//! was missed in between leaves a hole.

use std::time::Duration;

use super::{Driver, MAX_JOURNAL};
use crate::agent::core::Effects;
use crate::agent::meter::Stage;
use crate::agent::snapshot::{Journaled, Noted};
use crate::agent::trouble::{Disk, Trouble};
use crate::clock;
use crate::failpoint;
use crate::model::kept::Outgoing;
use crate::model::message::AckToken;
use crate::model::time::Now;
use crate::model::transition::rank;
use crate::spool::{self, Commit, Durability};
use crate::uplink;

/// Bytes of snapshots that are written a second, at most, where they come by themselves: a large one comes less often.
const SNAPSHOT_RATE: u64 = 16 << 10;

/// However large a snapshot is, so long after the one before it comes again.
const SNAPSHOT_AGE: Duration = Duration::from_secs(300);

impl Driver {
    /// Makes durable what must be, and returns what may then be acknowledged.
    pub(super) fn carry_out(
        &mut self,
        mut effects: Effects,
        journal: Option<Vec<u8>>,
        now: Now,
    ) -> Result<Vec<AckToken>, spool::Error> {
        if self.snapshot_due.is_none() {
            self.snapshot_due = Some(now.mono.plus(pace(self.snapshot_interval, self.last_snapshot)));
        }
        let acks = std::mem::take(&mut effects.acks);
        if !effects.must_commit() && journal.is_none() {
            // What was delivered again may be of what is held.
            return Ok(match &mut self.trouble {
                Some(trouble) if !effects.repeats.is_empty() => {
                    trouble.hold_acks(acks);
                    Vec::new()
                }
                _ => acks,
            });
        }
        let mut commit = self.commit_of(effects, now);
        commit.journal = journal.or(commit.journal);
        self.journaled += u32::from(commit.journal.is_some());
        if self.journaled > MAX_JOURNAL && self.trouble.is_none() {
            self.add_settled(&mut commit, now);
            commit.snapshot = Some(self.core.snapshot(now, self.is_durable()));
            commit.journal = None;
        }
        self.commit(commit, acks, now)
    }

    pub(super) fn is_durable(&self) -> bool {
        self.durability == Durability::Durable
    }

    /// What is to be durable of effects, without the input that they are of.
    pub(super) fn commit_of(&mut self, effects: Effects, now: Now) -> Commit {
        let stamp = self.calendar.stamp(&self.boot_id);
        let mut transitions = Vec::with_capacity(effects.transitions.len());
        for told in &effects.transitions {
            let (body, cut) = uplink::encode(&stamp, told);
            self.figures.cut += u64::from(cut);
            transitions.push(Outgoing {
                body,
                fingerprint: told.fingerprint,
                rank: rank(&told.severity),
                urgent: self.urgent.iter().any(|severity| **severity == *told.severity),
            });
        }
        let noted = Noted { learned: effects.learned, decided: effects.decided };
        // A journal of inputs tells all that by itself.
        let journal = if self.is_durable() { None } else { Journaled::noted(noted, now) };
        let journal = journal.map(|journal| journal.to_bytes());
        Commit { transitions, states: effects.states, journal, ..Commit::default() }
    }

    /// Commits, and returns what may be acknowledged then. Where the disk takes nothing, all of it is held, and nothing
    /// may.
    ///
    /// # Errors
    /// Those of the spool that no waiting mends.
    pub(super) fn commit(
        &mut self,
        mut commit: Commit,
        acks: Vec<AckToken>,
        now: Now,
    ) -> Result<Vec<AckToken>, spool::Error> {
        if let Some(trouble) = &mut self.trouble {
            trouble.hold(commit, acks);
            return Ok(Vec::new());
        }
        (commit.forget_seen, commit.seen) = self.core.take_seen();
        match self.write(&commit) {
            Ok(()) => Ok(acks),
            Err(error) => {
                self.begin_trouble(error, now)?.hold(commit, acks);
                Ok(Vec::new())
            }
        }
    }

    fn write(&mut self, commit: &Commit) -> Result<(), spool::Error> {
        let before = self.spool.newest();
        failpoint::reach("core.before_commit");
        let (core, spool) = (&mut self.core, &mut self.spool);
        let time = clock::spool_time();
        let newest = core.measured(Stage::Spool, || spool.commit(commit, time))?;
        failpoint::reach("core.committed");
        if let Some(snapshot) = &commit.snapshot {
            failpoint::reach("core.snapshot");
            self.journaled = 0;
            self.last_snapshot = snapshot.len() as u64;
            self.figures.snapshots += 1;
            self.figures.snapshot_bytes += self.last_snapshot;
        }
        if newest != before {
            self.lines.newest.send_replace(newest);
        }
        Ok(())
    }

    /// From now on the disk takes nothing. Gives the error back where that is not what it says.
    pub(super) fn begin_trouble(
        &mut self,
        error: spool::Error,
        now: Now,
    ) -> Result<&mut Trouble, spool::Error> {
        let Some(kind) = error.trouble() else { return Err(error) };
        if self.trouble.is_none() {
            self.disk.troubles += 1;
            tracing::error!(
                kind = kind.name(),
                %error,
                "the disk takes nothing: the agent goes on evaluating, holds what it decides in memory, and tries again"
            );
            self.lines.disk.send_replace(true);
        }
        Ok(self.trouble.get_or_insert_with(|| Box::new(Trouble::new(kind, &error, now))))
    }

    /// What was read of the spool; nothing where the disk fails.
    pub(super) fn found<T: Default>(&mut self, read: Result<T, spool::Error>) -> Result<T, spool::Error> {
        match read {
            Ok(found) => Ok(found),
            Err(error) => {
                let now = self.clock.now();
                self.begin_trouble(error, now)?;
                Ok(T::default())
            }
        }
    }

    /// Tries to make durable what is held, and the core whole. Returns what may be acknowledged then.
    pub(super) fn heal(&mut self, now: Now) -> Result<Vec<AckToken>, spool::Error> {
        let effects = self.core.settle(now);
        let settled = self.commit_of(effects, now);
        let Some(trouble) = &mut self.trouble else { return Ok(Vec::new()) };
        trouble.hold(settled, Vec::new());
        let mut commit = trouble.commit();
        commit.states = self.core.states(now);
        (commit.forget_seen, commit.seen) = self.core.all_seen();
        commit.snapshot = Some(self.core.snapshot(now, self.is_durable()));
        let result = self.spool.mend(clock::spool_time()).and_then(|()| self.write(&commit));
        let Some(mut trouble) = self.trouble.take() else { return Ok(Vec::new()) };
        if let Err(error) = result {
            let Some(kind) = error.trouble() else { return Err(error) };
            trouble.failed(kind, &error, now.mono);
            self.trouble = Some(trouble);
            return Ok(Vec::new());
        }
        self.snapshot_due = None;
        self.disk.given_up += trouble.held.given_up();
        let (held, given_up, lasted) = (trouble.held.count(), trouble.held.given_up(), trouble.lasted(now));
        tracing::info!(
            seconds = lasted.as_secs(),
            held,
            given_up,
            "the disk takes again: everything that was held is durable"
        );
        self.lines.disk.send_replace(false);
        Ok(trouble.into_acks())
    }

    /// The disk, as it is shown.
    pub(super) fn disk(&self) -> Disk {
        let given_up = self.trouble.as_ref().map_or(0, |trouble| trouble.held.given_up());
        let trouble = self.trouble.as_ref().map(|trouble| trouble.shown());
        Disk { given_up: self.disk.given_up + given_up, trouble, ..self.disk }
    }

    /// Writes open windows down, where they differ from what is written.
    pub(super) fn snapshot(&mut self, now: Now) -> Result<(), spool::Error> {
        self.snapshot_due = None;
        let durable = self.is_durable();
        // The journal holds everything since the last snapshot; only its length calls for another.
        if durable && self.journaled < MAX_JOURNAL / 10 {
            return Ok(());
        }
        // When the disk takes again, the whole is written in any case.
        if self.trouble.is_some() || (!self.core.take_windows_changed() && !durable) {
            return Ok(());
        }
        let mut commit = Commit::default();
        self.add_settled(&mut commit, now);
        commit.snapshot = Some(self.core.snapshot(now, durable));
        self.commit(commit, Vec::new(), now)?;
        Ok(())
    }

    /// Closes the windows that wait to be closed, and makes durable what comes of it.
    pub(super) fn settle(&mut self, now: Now) -> Result<(), spool::Error> {
        let effects = self.core.settle(now);
        if effects.must_commit() {
            let commit = self.commit_of(effects, now);
            self.commit(commit, Vec::new(), now)?;
        }
        Ok(())
    }

    /// The same, together with what else is made durable, and a snapshot.
    fn add_settled(&mut self, commit: &mut Commit, now: Now) {
        let effects = self.core.settle(now);
        let settled = self.commit_of(effects, now);
        commit.transitions.extend(settled.transitions);
        commit.states.extend(settled.states);
    }
}

/// How long after a snapshot of so many bytes the next may come.
fn pace(interval: Duration, bytes: u64) -> Duration {
    interval.max(Duration::from_millis(bytes.saturating_mul(1_000) / SNAPSHOT_RATE).min(SNAPSHOT_AGE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_snapshot_comes_less_often_up_to_a_bound() {
        let pace = |kilobytes: u64| pace(Duration::from_secs(5), kilobytes << 10).as_secs();
        assert_eq!([0, 10, 80, 160, 1_600, 4_800, 1 << 30].map(pace), [5, 5, 5, 10, 100, 300, 300]);
    }
}
