//! What the hub keeps and shows: the JSON of the API, of the event stream and of CloudEvents.
//! States and reasons are names here, so that those of younger agents pass through as they came.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::model::diagnostic::Diagnostic;
use crate::model::time::Timestamp;
pub use crate::wire::record::{EvidenceRecord, Members, ReadingRecord, TransitionRecord, epoch_text};
use crate::wire::v1;

/// A set that an agent says it runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunningRecord {
    /// Its name.
    pub name: String,
    /// The hub's revision; 0 for a set from a directory.
    pub revision: u64,
    /// The set's content hash, hex; empty where nothing runs.
    pub hash: String,
    /// `hub` or `directory`.
    pub origin: String,
    /// How many rules it holds.
    pub rules: u32,
    /// The hash that was attempted last, hex.
    pub attempted: String,
}

impl RunningRecord {
    /// From the wire.
    pub fn from_wire(set: &v1::RunningSet) -> Self {
        Self {
            name: set.name.clone(),
            revision: set.revision,
            hash: hex(&set.hash),
            origin: set.origin.clone(),
            rules: set.rules,
            attempted: hex(&set.attempted),
        }
    }
}

/// The last counters and states that an agent sent.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
pub struct StatusRecord {
    /// The agent's clock, RFC 3339.
    pub time: String,
    /// How long the agent has been up.
    pub uptime_seconds: u64,
    /// Counters and gauges by the names of its `/metrics`.
    pub metrics: BTreeMap<String, f64>,
    /// Its sources.
    pub sources: Vec<SourceRecord>,
}

/// One source of an agent's data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceRecord {
    /// Its name.
    pub name: String,
    /// Whether it is connected.
    pub connected: bool,
    /// Why not.
    pub error: String,
    /// Since when, RFC 3339.
    pub since: String,
}

impl StatusRecord {
    /// From the wire.
    pub fn from_wire(status: v1::Status) -> Self {
        let time = |micros| Timestamp::from_micros(micros).to_string();
        Self {
            time: time(status.time),
            uptime_seconds: status.uptime_seconds,
            // JSON knows no infinities: such a metric says nothing.
            metrics: status.metrics.into_iter().filter(|(_, value)| value.is_finite()).collect(),
            sources: status
                .sources
                .into_iter()
                .map(|source| SourceRecord {
                    name: source.name,
                    connected: source.connected,
                    error: source.error,
                    since: time(source.since),
                })
                .collect(),
        }
    }
}

/// What an agent said about a pushed rule set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportRecord {
    /// Who said it.
    pub agent: String,
    /// The set.
    pub ruleset: String,
    /// The revision that was attempted.
    pub revision: u64,
    /// Its hash, hex.
    pub hash: String,
    /// `accepted`, `rejected`, `failed`.
    pub outcome: String,
    /// Findings; those of an accepted set are warnings.
    pub diagnostics: Vec<Diagnostic>,
    /// Every rule's own outcome.
    pub rules: Vec<RuleOutcomeRecord>,
    /// The hub's clock when it came, RFC 3339.
    pub reported_at: String,
}

/// What became of one rule of a pushed set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleOutcomeRecord {
    /// The rule.
    pub rule: String,
    /// `accepted`, `rejected`, `failed`.
    pub outcome: String,
}

/// An agent as the store keeps it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AgentRecord {
    /// Its id.
    pub agent: String,
    /// Its program's version.
    pub version: String,
    /// The boot that was seen last.
    pub boot_id: String,
    /// What rule sets are targeted by.
    pub labels: BTreeMap<String, String>,
    /// The hub's clock when it first came, RFC 3339.
    pub first_seen: String,
    /// The hub's clock when it was heard last, RFC 3339.
    pub last_seen: String,
    /// What it said it runs.
    pub running: Vec<RunningRecord>,
    /// Its last status.
    pub status: Option<StatusRecord>,
    /// The spool of its last session, 16 hex digits; empty where none was seen.
    #[serde(default)]
    pub epoch: String,
    /// Sequence numbers that never came, or that its spool gave up: the latest first.
    pub gaps: Vec<GapRecord>,
    /// What went wrong with it: the latest first.
    #[serde(default)]
    pub incidents: Vec<IncidentRecord>,
    /// What the hub counted of it since it is known: numbers lost and given up, repairs, incidents of each kind.
    #[serde(default)]
    pub tallies: BTreeMap<String, u64>,
    /// How many transitions it has sent.
    pub transitions: u64,
}

/// A hole in an agent's sequence numbers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GapRecord {
    /// The spool, 16 hex digits.
    pub epoch: String,
    /// The first that is missing.
    pub first: u64,
    /// The last that is missing.
    pub last: u64,
    /// Whether the agent's full spool gave them up; else they are lost.
    pub evicted: bool,
    /// Why: `lost`, `evicted`, or `hub_restored` where the hub had them once.
    #[serde(default)]
    pub cause: String,
    /// The hub's clock when it was noticed, RFC 3339.
    pub noticed_at: String,
}

/// Something that went wrong with an agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IncidentRecord {
    /// `clone`, `rewound`, `damaged`, `replaced`, `returned`, `hub_restored`, `reconciled`.
    pub kind: String,
    /// The hub's clock when it was first seen, RFC 3339.
    pub first_at: String,
    /// The hub's clock when it was last seen, RFC 3339.
    pub last_at: String,
    /// How often.
    pub times: u64,
    /// What a person should know.
    pub note: String,
}

/// A rule set as the store keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleSetRecord {
    /// Its name.
    pub name: String,
    /// Rises with each change of its text.
    pub revision: u64,
    /// The address of its items, hex.
    pub hash: String,
    /// Whom it is for, as in `site=a`; empty for all.
    pub target: String,
    /// The hub's clock when this revision came, RFC 3339.
    pub created_at: String,
    /// The ids of its rules.
    pub rules: Vec<String>,
    /// The file as it was pushed.
    pub source: String,
}

/// Where the deliveries to one CloudEvents target stand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetRecord {
    /// Its name.
    pub name: String,
    /// The hub's number of the last transition that is settled.
    pub cursor: i64,
    /// How many wait.
    pub depth: u64,
    /// How many were taken.
    pub delivered: u64,
    /// How many attempts failed and were repeated.
    pub retries: u64,
    /// How many the target refused for good.
    pub dead: u64,
    /// The last thing that went wrong; empty after a success.
    pub last_error: String,
}

/// Bytes as hex.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_keep_the_order_of_their_columns() {
        let text = r#"{"z":1,"a":null,"m":"x"}"#;
        let members: Members = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&members).unwrap(), text);
    }

    #[test]
    fn states_and_reasons_of_younger_agents_pass_through() {
        let wire = v1::Transition { state: 42, reason: "tired".to_owned(), ..Default::default() };
        let record = TransitionRecord::from_wire("gw", 255, wire, Some(Timestamp::from_micros(0)));
        assert_eq!((record.state.as_str(), record.reason.as_str()), ("state-42", "tired"));
        assert_eq!(record.epoch, "00000000000000ff");
    }
}
