//! How many bytes may go over the link. Pure: time is an argument.
//!
//! A bucket that holds an hour's bytes at most, and fills within an hour: what a quiet time left may be used at once, and
//! in the long run no more than the budget is used. Everything that the link carries is taken out of it, in both
//! directions. What may not wait is sent though it is empty, and the rest then waits until that is made up for.

use std::time::Duration;

use crate::model::time::Mono;

const HOUR: i128 = 3_600_000_000;

/// Once the bucket is empty, what waits goes on with so much of an hour's bytes: many small pieces would each cost the
/// link's own bytes.
const PIECE: i128 = HOUR / 60;

/// Whether what may wait must.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leave {
    /// There is no budget.
    Free,
    /// So many bytes may go.
    Bytes(usize),
    /// Not before then.
    At(Mono),
}

/// See the module.
#[derive(Clone, Copy, Debug)]
pub(super) struct Budget {
    an_hour: i128,
    /// What is left, in bytes times the microseconds of an hour, as it was at a time. Below 0 for what must be made up for.
    left: i128,
    at: Mono,
    /// The bytes that were taken out of it so far.
    carried: u64,
    /// Whether it ran empty, and did not fill by a piece since.
    dry: bool,
}

impl Budget {
    /// A budget of so many bytes an hour; 0 for none. It starts with a quarter of that: an agent that starts again and
    /// again must not be given an hour's each time.
    pub(super) fn new(an_hour: u64, now: Mono) -> Self {
        let an_hour = i128::from(an_hour);
        Self { an_hour, left: an_hour * HOUR / 4, at: now, carried: 0, dry: false }
    }

    /// So many bytes were carried since the start.
    pub(super) fn carried(&mut self, total: u64, now: Mono) {
        let bytes = total.saturating_sub(self.carried);
        self.carried = total;
        self.spend(bytes, now);
    }

    fn spend(&mut self, bytes: u64, now: Mono) {
        self.fill(now);
        // However much it was, the wait has an end.
        self.left = (self.left - i128::from(bytes) * HOUR).max(-self.an_hour * HOUR);
    }

    /// Whether what may wait must.
    pub(super) fn leave(&mut self, now: Mono) -> Leave {
        if self.an_hour == 0 {
            return Leave::Free;
        }
        self.fill(now);
        if self.left <= 0 {
            self.dry = true;
        }
        let missing = self.an_hour * PIECE - self.left;
        if self.dry && missing > 0 {
            let wait = u64::try_from((missing + self.an_hour - 1) / self.an_hour).unwrap_or(u64::MAX);
            return Leave::At(now.plus(Duration::from_micros(wait)));
        }
        self.dry = false;
        Leave::Bytes(usize::try_from(self.left / HOUR).unwrap_or(usize::MAX).max(1))
    }

    fn fill(&mut self, now: Mono) {
        let since = i128::try_from(now.since(self.at).as_micros()).unwrap_or(HOUR).min(2 * HOUR);
        self.left = (self.left + since * self.an_hour).min(self.an_hour * HOUR);
        self.at = now;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn second(seconds: u64) -> Mono {
        Mono::from_micros(seconds * 1_000_000)
    }

    #[test]
    fn none_is_no_bound() {
        let mut budget = Budget::new(0, second(0));
        budget.spend(u64::MAX, second(0));
        assert_eq!(budget.leave(second(0)), Leave::Free);
    }

    #[test]
    fn what_is_spent_comes_back_with_time_and_an_hours_at_most() {
        let mut budget = Budget::new(3_600, second(0));
        assert_eq!(budget.leave(second(0)), Leave::Bytes(900));
        budget.spend(900, second(0));
        // A minute's bytes, then it goes on.
        assert_eq!(budget.leave(second(0)), Leave::At(second(60)));
        assert_eq!(budget.leave(second(59)), Leave::At(second(60)));
        assert_eq!(budget.leave(second(60)), Leave::Bytes(60));
        budget.spend(59, second(60));
        assert_eq!(budget.leave(second(60)), Leave::Bytes(1));
        assert_eq!(budget.leave(second(100_000)), Leave::Bytes(3_600));
    }

    #[test]
    fn what_may_not_wait_is_made_up_for_within_about_an_hour() {
        let mut budget = Budget::new(3_600, second(0));
        budget.spend(1_000, second(0));
        assert_eq!(budget.leave(second(0)), Leave::At(second(160)));
        budget.spend(u64::MAX, second(0));
        assert_eq!(budget.leave(second(0)), Leave::At(second(3_660)));
    }

    proptest! {
        /// What asks before it sends, and sends no more than it may, uses no more than the bucket held and what came in.
        #[test]
        fn in_the_long_run_no_more_than_the_budget_is_used(
            an_hour in 100_u64..1_000_000,
            asks in prop::collection::vec((0_u64..600, 1_usize..50_000), 1..200),
        ) {
            let mut budget = Budget::new(an_hour, second(0));
            let (mut now, mut used) = (0, 0);
            for (wait, wants) in asks {
                now += wait;
                match budget.leave(second(now)) {
                    Leave::Bytes(most) => {
                        let bytes = wants.min(most) as u64;
                        budget.spend(bytes, second(now));
                        used += bytes;
                    }
                    Leave::At(then) => {
                        prop_assert!(then > second(now) && then <= second(now + 61), "{:?}", then);
                    }
                    Leave::Free => prop_assert!(false, "there is one"),
                }
                prop_assert!(used * 3_600 <= an_hour * (900 + now) + 3_600, "{} in {} s", used, now);
            }
        }
    }
}
