//! How long to leave a socket alone after it was drained.
//!
//! Waking up costs more than reading: messages that arrive one by one cost six times as much as
//! the same messages read in groups. So above a moderate rate a source sleeps a little before it
//! reads again. Pure: it is told counts and times, and answers with a pause.

use std::time::Duration;

use crate::model::time::Mono;

/// The longest pause this ever asks for.
pub const LONGEST: Duration = Duration::from_millis(5);

/// The most messages in one batch.
pub const BATCH: usize = 1_000;

/// Below this rate, messages/s, latency matters more than the wake-ups.
const SLOW: f64 = 500.0;
/// From this rate on, messages/s, the pause is the longer one.
const FAST: f64 = 4_000.0;
/// The rate is measured over at least this long.
const WINDOW: Duration = Duration::from_millis(20);

/// The rate of a source, measured, and what follows from it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Coalescer {
    counted_since: Mono,
    count: usize,
    rate: f64,
}

impl Coalescer {
    /// Notes that a drain ended at `now` with `count` messages. Gives how long to wait before the
    /// next one: nothing at low rates, and nothing where the drain ended because a batch was
    /// full, for then more is waiting already.
    pub fn drained(&mut self, count: usize, now: Mono) -> Duration {
        self.count = self.count.saturating_add(count);
        let span = now.since(self.counted_since);
        if span >= WINDOW {
            self.rate = self.count as f64 / span.as_secs_f64();
            self.counted_since = now;
            self.count = 0;
        }
        if count >= BATCH { Duration::ZERO } else { self.pause() }
    }

    /// How long a pause is worth at the rate that was measured last.
    pub fn pause(&self) -> Duration {
        if self.rate < SLOW {
            Duration::ZERO
        } else if self.rate < FAST {
            Duration::from_millis(1)
        } else {
            Duration::from_millis(2)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The pause that a steady stream of `rate` messages/s, in groups of `group`, settles on.
    fn settled(rate: u64, group: usize) -> Duration {
        let mut coalescer = Coalescer::default();
        let mut pause = Duration::ZERO;
        for i in 1..200 {
            let now = Mono::from_micros(i * group as u64 * 1_000_000 / rate);
            pause = coalescer.drained(group, now);
        }
        pause
    }

    #[test]
    fn the_pause_follows_the_rate() {
        let cases =
            [(1, 1, 0), (400, 1, 0), (1_000, 1, 1), (3_000, 6, 1), (10_000, 20, 2), (200_000, 400, 2)];
        for (rate, group, millis) in cases {
            assert_eq!(settled(rate, group), Duration::from_millis(millis), "{rate} messages/s");
        }
    }

    #[test]
    fn a_full_batch_means_that_more_is_waiting() {
        assert_eq!(settled(1_000_000, BATCH), Duration::ZERO);
    }

    #[test]
    fn a_message_after_silence_is_not_held_up() {
        let mut coalescer = Coalescer::default();
        for i in 1..100 {
            coalescer.drained(10, Mono::from_micros(i * 1_000));
        }
        assert!(coalescer.drained(10, Mono::from_micros(100_000)) > Duration::ZERO);
        assert_eq!(coalescer.drained(1, Mono::from_micros(2_000_000)), Duration::ZERO);
    }

    #[test]
    fn no_pause_is_longer_than_the_longest() {
        for rate in [100, 1_000, 10_000, 100_000, 1_000_000] {
            assert!(settled(rate, 8) <= LONGEST);
        }
    }
}
