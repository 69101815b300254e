//! What a process that is gone left behind, put into the core of the one after it.

use crate::model::time::{Downtime, Mono, Now};

use super::{Core, Input, stood};

impl Core {
    /// Puts back a snapshot and replays what was journaled since, each input with its time; what these decided was
    /// committed with them. Returns what could not be taken over, a sentence each.
    ///
    /// The journal's clock is the dead process's: its times are put on this one's, as if the last input came just now, or,
    /// where downtime counts, as long ago as it did. A timer of an alert would stand still otherwise until this process
    /// has run for as long as the other one had.
    pub fn take_over(
        &mut self,
        snapshot: Option<&[u8]>,
        journal: Vec<(Now, Input)>,
        now: Now,
    ) -> Vec<String> {
        let mut complaints = Vec::new();
        let (Some((first, _)), Some((last, _))) = (journal.first(), journal.last()) else {
            complaints.extend(snapshot.and_then(|bytes| self.restore(bytes, now).err()));
            return complaints;
        };
        let (first, last) = (*first, *last);
        let stood = stood(last.wall.micros(), now, self.downtime());
        let here = |at: Now| Now { wall: at.wall, mono: before(stood.mono, last.mono, at.mono) };
        // What the journal begins with is of the process that made the snapshot.
        let restored = snapshot.map(|bytes| self.restore_across(bytes, here(first), Downtime::Counted));
        complaints.extend(restored.and_then(Result::err));
        for (at, input) in journal {
            self.apply(input, here(at));
        }
        self.reconnect(here(last));
        let bytes = self.snapshot(here(last), true);
        self.reset_idle();
        complaints.extend(self.restore(&bytes, now).err());
        complaints
    }
}

/// As long before `here` as `at` was before `there`.
fn before(here: Mono, there: Mono, at: Mono) -> Mono {
    let ago = u64::try_from(there.since(at).as_micros()).unwrap_or(u64::MAX);
    Mono::from_micros(here.micros().saturating_sub(ago))
}
