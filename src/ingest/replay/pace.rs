//! How fast a recording is played. Pure: it answers with a span, and does not wait.

use std::time::Duration;

use crate::model::time::Timestamp;

/// The pace of a replay. It changes nothing about what comes out, only when.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Pace {
    /// One record after the other, without waiting.
    #[default]
    AsFast,
    /// As it was recorded, faster or slower.
    Recorded {
        /// 1 is the speed at which it was recorded, 10 ten times as fast. What is no positive number
        /// counts as 1.
        speed: f64,
    },
}

impl Pace {
    /// How long to wait between a record of time `previous` and one of time `next`. Nothing where
    /// the next one is older.
    pub fn delay(self, previous: Timestamp, next: Timestamp) -> Duration {
        match self {
            Self::AsFast => Duration::ZERO,
            Self::Recorded { speed } => {
                let speed = if speed.is_finite() && speed > 0.0 { speed } else { 1.0 };
                Duration::try_from_secs_f64(next.since(previous).as_secs_f64() / speed)
                    .unwrap_or(Duration::MAX)
            }
        }
    }
}
