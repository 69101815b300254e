//! Transitions that could not be made durable yet, bounded in bytes. Where not all have room, those that a newer one of
//! the same alert supersedes go first, then those that matter least; of either the oldest. What goes is counted, and
//! takes a number all the same, so that the hub hears of it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::model::kept::Outgoing;
use crate::model::label::Fingerprint;

/// What a transition takes beside its bytes, about.
const OVERHEAD: usize = 256;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Held {
    /// By the order in which they were decided.
    told: BTreeMap<u64, Outgoing>,
    next: u64,
    bytes: usize,
    /// The newest of each alert.
    newest: HashMap<Fingerprint, u64>,
    superseded: BTreeSet<u64>,
    by_rank: BTreeSet<(u8, u64)>,
    given_up: u64,
}

impl Held {
    /// Takes transitions; afterwards there are no more than so many bytes, or one transition.
    pub(super) fn extend(&mut self, told: impl IntoIterator<Item = Outgoing>, most: usize) {
        for one in told {
            let at = self.next;
            self.next += 1;
            // Of what is of no alert nothing is superseded.
            if one.fingerprint != Fingerprint(0)
                && let Some(before) = self.newest.insert(one.fingerprint, at)
            {
                self.superseded.insert(before);
            }
            self.bytes += one.body.len() + OVERHEAD;
            self.by_rank.insert((one.rank, at));
            self.told.insert(at, one);
            while self.bytes > most && self.told.len() > 1 {
                self.give_up(at);
            }
        }
    }

    /// Lets one go, but not the newest.
    fn give_up(&mut self, newest: u64) {
        let least = || self.by_rank.iter().map(|(_, at)| *at).find(|at| *at != newest);
        let Some(at) = self.superseded.first().copied().or_else(least) else { return };
        let Some(one) = self.told.remove(&at) else { return };
        self.superseded.remove(&at);
        self.by_rank.remove(&(one.rank, at));
        if self.newest.get(&one.fingerprint) == Some(&at) {
            self.newest.remove(&one.fingerprint);
        }
        self.bytes -= one.body.len() + OVERHEAD;
        self.given_up += 1;
    }

    /// What is held, oldest first.
    pub(super) fn all(&self) -> Vec<Outgoing> {
        self.told.values().cloned().collect()
    }

    /// How many are held.
    pub(super) fn count(&self) -> u64 {
        self.told.len() as u64
    }

    /// Their bytes, about.
    pub(super) const fn bytes(&self) -> u64 {
        self.bytes as u64
    }

    /// How many were let go.
    pub(super) const fn given_up(&self) -> u64 {
        self.given_up
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn one(alert: u64, rank: u8, size: usize) -> Outgoing {
        Outgoing { body: vec![0; size], fingerprint: Fingerprint(alert), rank, urgent: false }
    }

    #[test]
    fn what_is_superseded_goes_before_what_matters_least() {
        let mut held = Held::default();
        let most = 3 * (10 + OVERHEAD);
        held.extend([one(1, 3, 10), one(2, 0, 10), one(1, 3, 10), one(3, 1, 10)], most);
        let alerts = |held: &Held| held.all().iter().map(|one| one.fingerprint.0).collect::<Vec<_>>();
        assert_eq!((alerts(&held), held.given_up()), (vec![2, 1, 3], 1));
        held.extend([one(4, 2, 10)], most);
        assert_eq!((alerts(&held), held.given_up()), (vec![1, 3, 4], 2));
        held.extend([one(5, 0, 10)], most);
        assert_eq!((alerts(&held), held.given_up()), (vec![1, 4, 5], 3), "the newest stays");
    }

    proptest! {
        #[test]
        fn it_stays_within_its_bound_and_accounts_for_all(
            told in prop::collection::vec((0_u64..6, 0_u8..4, 0_usize..400), 1..80),
            most in 0_usize..4_000,
        ) {
            let mut held = Held::default();
            for (n, (alert, rank, size)) in told.iter().enumerate() {
                held.extend([one(*alert, *rank, *size)], most);
                let all = held.all();
                prop_assert_eq!(all.len() as u64 + held.given_up(), n as u64 + 1);
                let bytes: usize = all.iter().map(|one| one.body.len() + OVERHEAD).sum();
                prop_assert_eq!(bytes as u64, held.bytes());
                prop_assert!(bytes <= most || all.len() == 1);
                let newest = all.last().unwrap();
                prop_assert_eq!((newest.fingerprint.0, newest.body.len()), (*alert, *size));
                prop_assert_eq!(held.by_rank.len(), all.len());
                prop_assert!(held.superseded.iter().all(|at| held.told.contains_key(at)));
            }
        }
    }
}
