//! The state of the connections an agent holds, as screens and the hub show it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::ruleset::RunningSet;

/// The link to the hub.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct LinkStatus {
    /// The hub's address; empty where none is configured.
    pub hub: String,
    /// Whether a session stands.
    pub connected: bool,
    /// Why not, where none does.
    pub error: Option<String>,
    /// Since when none does, µs since 1970; absent while one does, and before the first attempt ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub down_since: Option<i64>,
    /// Sessions since the start.
    pub sessions: u64,
    /// The newest sequence number that the hub committed, in the current epoch.
    pub committed: u64,
    /// Transitions sent, repeats included.
    pub sent: u64,
    /// Bytes sent, as counted at the socket: with TLS, HTTP/2 and signs of life.
    pub bytes_sent: u64,
    /// Bytes received, likewise.
    pub bytes_received: u64,
    /// Bytes of the messages sent, before they are compressed.
    pub message_bytes_sent: u64,
    /// Bytes of the messages received, after they are decompressed.
    pub message_bytes_received: u64,
    /// What waits for the byte budget, where something does.
    pub held: Option<Held>,
    /// What the hub said that a person should know of, oldest first; the last few.
    pub notices: Vec<Noticed>,
    /// The hub's clock less the node's, when the session began, ms.
    pub skew_ms: Option<i64>,
    /// The hub's clock less the calendar that the agent carries on from its start, ms, when a session last
    /// began. It stays what it is when the node's clock is set.
    #[serde(skip)]
    pub hub_ahead_ms: Option<i64>,
}

/// What waits for the byte budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// Transitions; the periodic report alone where it is 0.
    pub alerts: u64,
    /// Until when, µs since 1970 by the node's clock as it is carried on from the agent's start.
    pub until: i64,
}

/// Something that the hub said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Noticed {
    /// As in `clone`.
    pub code: String,
    /// A sentence.
    pub message: String,
    /// When it came, µs since 1970.
    pub at: i64,
}

/// A periodic report to the hub.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AgentReport {
    /// Seconds since the agent's start.
    pub uptime_seconds: u64,
    /// Counters and gauges by name.
    pub metrics: Vec<(String, f64)>,
    /// One for each source.
    pub sources: Vec<SourceReport>,
    /// What runs.
    pub running: Vec<RunningSet>,
}

/// One source, in a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceReport {
    /// Its name.
    pub name: Arc<str>,
    /// Whether it is connected.
    pub connected: bool,
    /// Why not, where it is not.
    pub error: Option<String>,
    /// Since when, µs since 1970.
    pub since: i64,
}
