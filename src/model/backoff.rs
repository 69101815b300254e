//! Waiting before another try: exponential, with full jitter, so that a fleet that lost its hub
//! together does not come back together (Brooker, "Exponential Backoff And Jitter", 2015).

use std::time::Duration;

/// The waits between tries of one thing.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    base: Duration,
    cap: Duration,
    failures: u32,
}

impl Backoff {
    /// Waits that grow from `base` to `cap`.
    pub const fn new(base: Duration, cap: Duration) -> Self {
        Self { base, cap, failures: 0 }
    }

    /// How long to wait after one more failure. `random` is drawn anew each time, evenly from 0
    /// to 1; it is an argument so that tests need no luck.
    pub fn after_failure(&mut self, random: f64) -> Duration {
        let ceiling = self.base.saturating_mul(1_u32.checked_shl(self.failures).unwrap_or(u32::MAX)).min(self.cap);
        self.failures = self.failures.saturating_add(1);
        ceiling.mul_f64(random.clamp(0.0, 1.0))
    }

    /// It worked: the next failure waits as the first did.
    pub const fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grows_to_its_cap_and_starts_over() {
        let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(30));
        let waits: Vec<u128> = (0..10).map(|_| backoff.after_failure(1.0).as_millis()).collect();
        assert_eq!(waits, [200, 400, 800, 1_600, 3_200, 6_400, 12_800, 25_600, 30_000, 30_000]);
        assert_eq!(backoff.after_failure(0.5).as_millis(), 15_000);
        for _ in 0..100 {
            assert!(backoff.after_failure(1.0) <= Duration::from_secs(30));
        }
        backoff.reset();
        assert_eq!(backoff.after_failure(1.0).as_millis(), 200);
    }
}
