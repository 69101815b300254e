//! How many bytes of state one rule may hold. Whoever lets state grow asks first, and whoever lets
//! go of it gives back what it asked for.

use crate::model::value::Value;

/// About how many bytes these values take.
pub(super) fn weight(values: &[Value]) -> usize {
    values.iter().map(Value::bytes).sum()
}

/// The bytes of one rule's state, and their ceiling. Estimates: what counts is that they grow with
/// what is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Budget {
    used: usize,
    most: usize,
}

impl Budget {
    /// Nothing used of so many bytes.
    pub(super) fn new(most: usize) -> Self {
        Self { used: 0, most }
    }

    /// Whether so many bytes are there.
    pub(super) fn has(&self, bytes: usize) -> bool {
        bytes <= self.most.saturating_sub(self.used)
    }

    /// Takes so many bytes, if they are there.
    #[must_use]
    pub(super) fn take(&mut self, bytes: usize) -> bool {
        let fits = self.has(bytes);
        if fits {
            self.used += bytes;
        }
        fits
    }

    /// Takes so many bytes whether or not they are there: for state that is read back, and must not be
    /// lost because a ceiling was lowered.
    pub(super) fn charge(&mut self, bytes: usize) {
        self.used = self.used.saturating_add(bytes);
    }

    /// Gives back what was taken.
    pub(super) fn give(&mut self, bytes: usize) {
        self.used = self.used.saturating_sub(bytes);
    }

    /// What is taken.
    pub(super) fn used(&self) -> usize {
        self.used
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_not_taken() {
        let mut budget = Budget::new(10);
        assert!(budget.take(6));
        assert!(!budget.take(5));
        assert!(budget.take(4));
        budget.give(1);
        assert_eq!(budget.used(), 9);
        budget.charge(100);
        assert!(!budget.take(0) || budget.used() == 109);
    }
}
