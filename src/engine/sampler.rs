//! Which pieces of work are measured.

/// Chooses one of [`Self::EACH`], at random, so that no pattern in the rows makes a rule dearer or cheaper than
/// it is.
#[derive(Debug, Default)]
pub(super) struct Sampler {
    left: u64,
    state: u64,
}

impl Sampler {
    /// How many pieces of work one stands for that is measured.
    pub(super) const EACH: u64 = 64;

    /// Whether this one is measured.
    pub(super) fn is_due(&mut self) -> bool {
        if let Some(left) = self.left.checked_sub(1) {
            self.left = left;
            return false;
        }
        // A Weyl sequence: its upper bits spread evenly over the gaps, whose mean is that of EACH.
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.left = (self.state >> 32) % (2 * Self::EACH - 1);
        true
    }
}
