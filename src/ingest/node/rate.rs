//! Counters and what they say over time.

use std::collections::HashMap;
use std::time::Duration;

/// The counters of each device at the last sample.
#[derive(Debug)]
pub(super) struct Counted<const N: usize> {
    last: HashMap<String, [u64; N]>,
}

impl<const N: usize> Default for Counted<N> {
    fn default() -> Self {
        Self { last: HashMap::new() }
    }
}

impl<const N: usize> Counted<N> {
    /// The increase of each counter, per second, and the state remembered for the next time. A counter that
    /// went back was reset or wrapped: its increase is not known. Devices that are gone are
    /// forgotten.
    pub(super) fn rates(&mut self, current: &[(String, [u64; N])], span: Duration) -> Vec<[Option<f64>; N]> {
        let seconds = span.as_secs_f64();
        let rates = current
            .iter()
            .map(|(name, counters)| {
                let mut rates = [None; N];
                if let Some(last) = self.last.get(name)
                    && seconds > 0.0
                {
                    for ((rate, now), before) in rates.iter_mut().zip(counters).zip(last) {
                        *rate = now.checked_sub(*before).map(|increase| increase as f64 / seconds);
                    }
                }
                rates
            })
            .collect();
        self.last = current.iter().cloned().collect();
        rates
    }
}
