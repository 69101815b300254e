//! What a source tells about itself. It is published whole, so that a reader never sees half of
//! a change; nothing in here decides anything.

use crate::model::time::Timestamp;

/// The state of one source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceStatus {
    /// The source's name.
    pub name: String,
    /// Whether a session with the broker stands.
    pub connected: bool,
    /// What is wrong at present, as a sentence for people: why there is no connection, or which
    /// subscriptions were refused.
    pub error: Option<String>,
    /// Since when `connected` is what it is.
    pub since: Timestamp,
    /// What was counted since the program started.
    pub counters: Counters,
}

/// Counts of one source since the program started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Messages received.
    pub messages: u64,
    /// Payload bytes received.
    pub bytes: u64,
    /// Connections that were lost and tried again, failed attempts included.
    pub reconnects: u64,
    /// QoS 0 messages dropped because nobody took them in time.
    pub dropped: u64,
    /// Messages dropped because they were larger than `max_packet`.
    pub oversized: u64,
    /// Messages dropped because their topic is no UTF-8.
    pub bad_topics: u64,
    /// Acknowledgements that came after their connection had ended, or twice; the broker
    /// delivers again what they were for.
    pub stale_acks: u64,
    /// Connections at which the broker had lost the session, the first of a process included where the one before it
    /// had one: messages may be missing.
    pub gaps: u64,
    /// Times that reading was paused because nobody took the messages.
    pub paused: u64,
}
