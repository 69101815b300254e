//! How much of what agents sent waits for the disk. Beyond a bound, agents are asked to come back later: they keep what
//! was not acknowledged, and a slow disk costs time, not memory.

use std::sync::atomic::{AtomicU64, Ordering};

/// What waits, all sessions together.
#[derive(Debug)]
pub(super) struct Load {
    held: AtomicU64,
    most: u64,
}

/// A message that waits; it does no longer once this is dropped.
#[derive(Debug)]
pub(super) struct Held<'a> {
    load: &'a Load,
    bytes: u64,
}

impl Load {
    pub(super) const fn new(most: u64) -> Self {
        Self { held: AtomicU64::new(0), most }
    }

    /// Room for a message, or `None` where there is none. One that is larger than all the room is taken when nothing
    /// else waits.
    pub(super) fn hold(&self, bytes: usize) -> Option<Held<'_>> {
        let bytes = bytes as u64;
        let fits = |held: u64| {
            let sum = held.saturating_add(bytes);
            (held == 0 || sum <= self.most).then_some(sum)
        };
        self.held.try_update(Ordering::Relaxed, Ordering::Relaxed, fits).ok()?;
        Some(Held { load: self, bytes })
    }

    /// Whether more than half of the room is taken: no time for more agents.
    pub(super) fn is_high(&self) -> bool {
        self.bytes() > self.most / 2
    }

    pub(super) fn bytes(&self) -> u64 {
        self.held.load(Ordering::Relaxed)
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.load.held.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_is_bounded_and_there_is_always_room_for_one() {
        let load = Load::new(100);
        let large = load.hold(500).unwrap();
        assert!(load.hold(1).is_none() && load.is_high());
        drop(large);
        let (one, two) = (load.hold(50).unwrap(), load.hold(50).unwrap());
        assert!(load.hold(1).is_none());
        drop(one);
        assert!(!load.is_high() && load.hold(50).is_some());
        drop(two);
        assert_eq!(load.bytes(), 0);
    }
}
