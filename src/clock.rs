//! The only place that reads time. Everything else takes it as an argument.
#![expect(clippy::disallowed_methods, reason = "this is the one place that the ban points to")]

use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::model::kept::SpoolTime;
use crate::model::time::{Mono, Now, Timestamp};

/// Where the monotonic side of a [`Clock`] begins: 365 days.
const BEGIN: Mono = Mono::from_micros(365 * 86_400 * 1_000_000);

/// The node's two clocks. Cheap to copy; all copies of one process count from the same start.
///
/// The calendar side is read once, at the start, and carried on by the monotonic clock: stream
/// time of streams without a `TIMESTAMP` is made of it, and a step of the system's clock must
/// neither fire, clear nor reorder an alert. [`wall`] is the system's own, for stamps.
///
/// The monotonic side begins a year from zero, so that what another process saw has a place on it too.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
    wall_at_start: Timestamp,
}

impl Clock {
    /// A clock whose monotonic side starts counting here. One a process.
    pub fn start() -> Self {
        Self { start: Instant::now(), wall_at_start: wall() }
    }

    /// Both clocks, read together.
    pub fn now(self) -> Now {
        let uptime = self.uptime();
        Now { wall: self.wall_at_start.plus(uptime), mono: BEGIN.plus(uptime) }
    }

    /// The monotonic clock.
    pub fn mono(self) -> Mono {
        BEGIN.plus(self.uptime())
    }

    /// How long ago it was started.
    pub fn uptime(self) -> Duration {
        self.start.elapsed()
    }

    /// How long from here until `deadline`; zero if it has passed.
    pub fn until(self, deadline: Mono) -> Duration {
        deadline.since(self.mono())
    }
}

/// Nanoseconds since a moment of this process: to measure what something costs, and for nothing else.
pub fn nanos() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    u64::try_from(START.get_or_init(Instant::now).elapsed().as_nanos()).unwrap_or(u64::MAX)
}

/// The system's calendar clock, as it stands; may step.
pub fn wall() -> Timestamp {
    let micros = |span: Duration| i64::try_from(span.as_micros()).unwrap_or(i64::MAX);
    Timestamp::from_micros(match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(after) => micros(after),
        Err(before) => -micros(before.duration()),
    })
}

/// The clocks that the spool ages by: the kernel's boot and the time since, and the calendar clock.
pub fn spool_time() -> SpoolTime {
    static BOOT: OnceLock<u64> = OnceLock::new();
    let since = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let millis = since.tv_sec.saturating_mul(1_000).saturating_add(since.tv_nsec / 1_000_000);
    SpoolTime {
        boot: *BOOT.get_or_init(boot),
        since_boot_ms: u64::try_from(millis).unwrap_or(0),
        wall: wall(),
    }
}

/// A number for the kernel's boot, of its random id; 0 where there is none to read.
fn boot() -> u64 {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let digits: String = id.chars().filter(char::is_ascii_hexdigit).take(15).collect();
    u64::from_str_radix(&digits, 16).unwrap_or(0)
}
