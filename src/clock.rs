//! The only place that reads time. Everything else takes it as an argument.
#![expect(
    clippy::disallowed_methods,
    reason = "this is the one place that the ban points to"
)]

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::model::time::{Mono, Now, Timestamp};

/// The node's two clocks. Cheap to copy; all copies of one process count from the same start.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
}

impl Clock {
    /// A clock whose monotonic side starts counting here. One a process.
    pub fn start() -> Self {
        Self { start: Instant::now() }
    }

    /// Both clocks, read together.
    pub fn now(self) -> Now {
        Now { wall: wall(), mono: self.mono() }
    }

    /// The monotonic clock.
    pub fn mono(self) -> Mono {
        Mono::from_micros(u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX))
    }

    /// How long from here until `deadline`; zero if it has passed.
    pub fn until(self, deadline: Mono) -> Duration {
        deadline.since(self.mono())
    }
}

/// The calendar clock.
pub fn wall() -> Timestamp {
    let micros = |span: Duration| i64::try_from(span.as_micros()).unwrap_or(i64::MAX);
    Timestamp::from_micros(match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(after) => micros(after),
        Err(before) => -micros(before.duration()),
    })
}
