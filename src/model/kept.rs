//! What is kept across a restart: made by `alert` and `agent`, stored by `spool`, which looks into
//! none of it.

use std::sync::Arc;

use super::label::Fingerprint;

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
