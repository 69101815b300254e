//! What is kept across a restart: made by `alert` and `agent`, stored by `spool`, which looks into
//! none of it.

use std::sync::Arc;

use super::label::Fingerprint;
use super::time::Timestamp;

/// A transition on its way into the outbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// The transition, as the uplink encodes it.
    pub body: Vec<u8>,
    /// The alert that it is of: a newer one of the same alert supersedes it where not all can be kept. 0 where that is
    /// not known: nothing supersedes it then.
    pub fingerprint: Fingerprint,
    /// How much it matters (`transition::rank`); where not all can be kept, the lowest go first.
    pub rank: u8,
    /// Whether it may overtake those that are not. Those of its own alert it never overtakes.
    pub urgent: bool,
}

/// One of the two ways through the outbox. Each is sent in ascending order, the urgent one first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// What overtakes.
    Urgent,
    /// Everything else.
    Rest,
    /// Both as one: for people, and to look up a number.
    Both,
}

/// A transition that waits in the outbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Its number.
    pub seq: u64,
    /// As it was put in.
    pub body: Vec<u8>,
    /// When it was put in, in milliseconds of the outbox's own time.
    pub since: u64,
}

/// Why the number space before this one ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Renewed {
    /// What happened.
    pub why: Why,
    /// The epoch before; 0 where it could not be read.
    pub before: u64,
    /// The node's calendar clock then.
    pub at: Timestamp,
    /// More of it, for a person.
    pub note: String,
}

/// What ends a number space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// The hub knew numbers that the file never gave: an older copy of it was restored.
    Rewound,
    /// The file was damaged and set aside.
    Damaged,
}

/// The node's clocks as the spool needs them: what is in it ages while the node is off, too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpoolTime {
    /// Names the kernel's boot; 0 where that cannot be told.
    pub boot: u64,
    /// Milliseconds since that boot, those of a suspended node included.
    pub since_boot_ms: u64,
    /// The calendar clock; may step.
    pub wall: Timestamp,
}

/// Names one alert's kept state.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StateKey {
    /// The rule set.
    pub ruleset: Arc<str>,
    /// The rule's id.
    pub rule: Arc<str>,
    /// The alert.
    pub fingerprint: Fingerprint,
}

/// A state to keep (`Some`) or to delete (`None`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateChange {
    /// Whose.
    pub key: StateKey,
    /// The state, as the alert stage encodes it.
    pub body: Option<Vec<u8>>,
}

/// How many traces are kept of each source: more than any in-flight window that a broker is
/// asked for.
pub const SEEN_RING: u64 = 1_024;

/// The trace of a message that was taken in: what tells its redelivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The source's name.
    pub source: Arc<str>,
    /// Counts the messages taken in from that source; what is more than [`SEEN_RING`] behind the newest
    /// is let go.
    pub serial: u64,
    /// The MQTT packet id.
    pub packet: u16,
    /// A hash of topic and payload.
    pub content: u64,
}
