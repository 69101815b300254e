//! One session's reconciliation: when the hub asks for what is up, and when it stops asking. Pure.

use std::collections::BTreeSet;

use super::store::reconcile::Repaired;

/// How often a session is asked for its set. One repair is enough; if it is not, then another will hardly be.
const ASKED_AT_MOST: u32 = 3;
/// How many alerts a set may have: 8 bytes each are held while it comes.
const LARGEST: usize = 500_000;

/// What a session was asked, and what came of it so far.
#[derive(Debug, Default)]
pub(super) struct Reconciliation {
    asked: u32,
    set: Option<Set>,
}

/// A set that comes in parts.
#[derive(Debug, Default)]
struct Set {
    seq: Option<u64>,
    fingerprints: BTreeSet<u64>,
    repaired: Repaired,
}

/// What is to be done with a part of a set.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// Take what it says is up.
    Take,
    /// The same; and whatever fires and is not among these is to be ended.
    Last {
        /// All of the set.
        set: BTreeSet<u64>,
        /// What the parts before led to.
        before: Repaired,
    },
    /// Nobody asked for it.
    Unasked,
    /// The set is larger than any agent's.
    TooLarge,
}

impl Reconciliation {
    /// The digests differ. Whether the agent should be asked for its set.
    pub(super) fn differs(&mut self) -> bool {
        if self.asked >= ASKED_AT_MOST {
            return false;
        }
        self.asked += 1;
        self.set = Some(Set::default());
        true
    }

    /// A part of the set came.
    pub(super) fn part(&mut self, seq: u64, alerts: impl Iterator<Item = u64>, last: bool) -> Part {
        let Some(set) = &mut self.set else { return Part::Unasked };
        if set.seq.is_some_and(|known| known != seq) {
            // The agent began anew.
            *set = Set { repaired: set.repaired, ..Set::default() };
        }
        set.seq = Some(seq);
        set.fingerprints.extend(alerts);
        if set.fingerprints.len() > LARGEST {
            self.set = None;
            return Part::TooLarge;
        }
        if !last {
            return Part::Take;
        }
        let whole = self.set.take().unwrap_or_default();
        Part::Last { set: whole.fingerprints, before: whole.repaired }
    }

    /// What a part that is not the last led to.
    pub(super) fn repaired(&mut self, by: Repaired) {
        if let Some(set) = &mut self.set {
            set.repaired = set.repaired.and(by);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_comes_in_parts_and_only_where_it_was_asked_for() {
        let mut reconciliation = Reconciliation::default();
        assert_eq!(reconciliation.part(7, [1].into_iter(), true), Part::Unasked);
        assert!(reconciliation.differs());
        assert_eq!(reconciliation.part(7, [1, 2].into_iter(), false), Part::Take);
        let fired = |fired| Repaired { fired, ..Repaired::default() };
        reconciliation.repaired(fired(2));
        let last = Part::Last { set: [1, 2, 3].into(), before: fired(2) };
        assert_eq!(reconciliation.part(7, [3].into_iter(), true), last);
        assert_eq!(reconciliation.part(7, [3].into_iter(), true), Part::Unasked);
    }

    #[test]
    fn a_set_that_begins_anew_holds_nothing_of_the_one_before() {
        let mut reconciliation = Reconciliation::default();
        assert!(reconciliation.differs());
        assert_eq!(reconciliation.part(7, [1].into_iter(), false), Part::Take);
        let last = Part::Last { set: [2].into(), before: Repaired::default() };
        assert_eq!(reconciliation.part(9, [2].into_iter(), true), last);
    }

    #[test]
    fn what_cannot_be_made_equal_is_not_tried_for_ever() {
        let mut reconciliation = Reconciliation::default();
        assert!((0..3).all(|_| reconciliation.differs()));
        assert!(!reconciliation.differs());
        assert_eq!(reconciliation.part(1, 0..=500_000, false), Part::TooLarge);
        assert_eq!(reconciliation.part(1, 0..1, true), Part::Unasked);
    }
}
