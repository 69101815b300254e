//! What is known of the node's calendar: whether it can be believed, and how far the hub's is ahead of it.
//! It decides nothing; transitions say it, so that a person can judge their times.

use std::time::Duration;

use tokio::sync::watch;

use crate::clock::{self, Clock};
use crate::model::link::LinkStatus;
use crate::model::time::Timestamp;
use crate::uplink::Stamp;

/// A node's clock that shows an earlier time was never set (2025-01-01).
const IS_SET: Timestamp = Timestamp::from_millis(1_735_689_600_000);

/// How far the system's clock may have moved away from the one carried on since the start, and how far the
/// hub's may be from it.
const APART: Duration = Duration::from_secs(60);

/// The node's calendar, and what the hub said of its own.
#[derive(Debug)]
pub(super) struct Calendar {
    clock: Clock,
    link: watch::Receiver<LinkStatus>,
}

impl Calendar {
    pub(super) const fn new(clock: Clock, link: watch::Receiver<LinkStatus>) -> Self {
        Self { clock, link }
    }

    /// Whether the calendar that is carried on from the start can be believed.
    pub(super) fn is_trusted(&self) -> bool {
        let ahead = self.link.borrow().hub_ahead_ms;
        is_trusted(self.clock.now().wall, clock::wall(), ahead)
    }

    /// What a transition says of when it was recorded.
    pub(super) fn stamp<'a>(&self, boot_id: &'a str) -> Stamp<'a> {
        let (carried, system) = (self.clock.now().wall, clock::wall());
        let ahead = self.link.borrow().hub_ahead_ms;
        Stamp {
            boot_id,
            recorded_at: system,
            clock_trusted: is_trusted(carried, system, ahead),
            skew_ms: ahead.map(|ahead| skew(carried, system, ahead)),
        }
    }
}

/// Whether a calendar was ever set, and still agrees with the system's and, as far as is known, with the hub's.
pub(super) fn is_trusted(carried: Timestamp, system: Timestamp, hub_ahead_ms: Option<i64>) -> bool {
    let apart = carried.since(system).max(system.since(carried));
    let from_hub = hub_ahead_ms.map_or(Duration::ZERO, |ahead| Duration::from_millis(ahead.unsigned_abs()));
    carried >= IS_SET && apart < APART && from_hub < APART
}

/// The hub's clock less the system's, ms, given how far the hub's is ahead of the one carried on.
const fn skew(carried: Timestamp, system: Timestamp, hub_ahead_ms: i64) -> i64 {
    hub_ahead_ms.saturating_add(carried.millis().saturating_sub(system.millis()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(1_800_000_000_000 + seconds * 1_000)
    }

    #[test]
    fn a_calendar_is_believed_while_all_agree() {
        assert!(is_trusted(at(0), at(59), None));
        assert!(!is_trusted(at(0), at(61), None), "the system's was set forward");
        assert!(!is_trusted(at(61), at(0), None), "and back");
        assert!(!is_trusted(Timestamp::from_millis(0), Timestamp::from_millis(0), None), "never set");
        assert!(is_trusted(at(0), at(0), Some(-59_000)));
        assert!(!is_trusted(at(0), at(0), Some(-7_200_000)), "the hub knows better");
    }

    #[test]
    fn a_step_of_the_system_clock_shows_in_the_skew() {
        assert_eq!(skew(at(0), at(0), 250), 250);
        assert_eq!(skew(at(0), at(3_600), 250), 250 - 3_600_000);
    }
}
