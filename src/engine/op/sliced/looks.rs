//! When to look at which lane, never later than its deadline: lanes in the order of these times, then of
//! their own.

use std::collections::BTreeSet;

use crate::engine::watermark::Mark;

/// A time, the order of a lane, and its place.
type Look = (Mark, u64, usize);

/// The times. The first of them is at hand, since every row asks for it.
#[derive(Debug, Default)]
pub(super) struct Looks {
    set: BTreeSet<Look>,
    first: Option<Mark>,
}

impl Looks {
    /// When to look at any lane next.
    #[inline]
    pub(super) fn first(&self) -> Option<Mark> {
        self.first
    }

    /// Looks at a lane then.
    pub(super) fn insert(&mut self, look: Look) {
        self.set.insert(look);
        self.first = Some(self.first.map_or(look.0, |first| first.min(look.0)));
    }

    /// Does not look at a lane then.
    pub(super) fn remove(&mut self, look: Look) {
        self.set.remove(&look);
        self.find_first();
    }

    /// Takes out the first that is due by `now`.
    pub(super) fn pop_due(&mut self, now: Mark) -> Option<Look> {
        let look = if self.first? <= now { self.set.pop_first() } else { None };
        self.find_first();
        look
    }

    fn find_first(&mut self) {
        self.first = self.set.first().map(|(look, ..)| *look);
    }
}
