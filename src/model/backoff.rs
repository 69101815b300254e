//! When to try a lost peer again. Pure: chance and time are arguments.

use std::time::Duration;

use super::time::Mono;

/// A connection that stood this long starts the count of failures again.
const STABLE: Duration = Duration::from_secs(60);

/// Exponential backoff with full jitter: a fleet that lost its hub together does not come back
/// together (Brooker, "Exponential Backoff And Jitter", 2015).
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
    failures: u32,
    connected: Option<Mono>,
}

impl Backoff {
    /// Waits of at most `first` after one failure, twice that after the next, and so on up to
    /// `longest`.
    pub const fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest, failures: 0, connected: None }
    }

    /// Notes that a connection stands since `now`.
    pub const fn connected(&mut self, now: Mono) {
        self.connected = Some(now);
    }

    /// Notes that it was lost, or that an attempt failed. Gives how long to wait; `chance` is
    /// from 0 to 1.
    pub fn lost(&mut self, now: Mono, chance: f64) -> Duration {
        if self.connected.take().is_some_and(|since| now.since(since) >= STABLE) {
            self.failures = 0;
        }
        let doubled = 1_u32.checked_shl(self.failures).unwrap_or(u32::MAX);
        let most = self.first.saturating_mul(doubled).min(self.longest);
        self.failures = self.failures.saturating_add(1);
        most.mul_f64(chance.clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Duration = Duration::from_millis(200);
    const LONGEST: Duration = Duration::from_secs(30);

    fn backoff() -> Backoff {
        Backoff::new(FIRST, LONGEST)
    }

    #[test]
    fn grows_to_half_a_minute_and_starts_again_after_a_stable_one() {
        let mut backoff = backoff();
        let now = Mono::from_micros(0);
        let waits: Vec<u128> = (0..10).map(|_| backoff.lost(now, 1.0).as_millis()).collect();
        assert_eq!(waits, [200, 400, 800, 1_600, 3_200, 6_400, 12_800, 25_600, 30_000, 30_000]);

        backoff.connected(now);
        assert_eq!(backoff.lost(now.plus(Duration::from_secs(59)), 1.0), LONGEST);
        backoff.connected(now);
        assert_eq!(backoff.lost(now.plus(STABLE), 1.0), FIRST);
    }

    #[test]
    fn jitter_is_full() {
        assert_eq!(backoff().lost(Mono::default(), 0.0), Duration::ZERO);
        assert_eq!(backoff().lost(Mono::default(), 0.5), FIRST / 2);
    }
}
