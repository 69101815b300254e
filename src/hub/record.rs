//! What the hub keeps and shows: the JSON of the API, of the event stream and of CloudEvents.
//! States and reasons are names here, so that those of younger agents pass through as they came.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::model::diagnostic::Diagnostic;
use crate::model::label::Fingerprint;
use crate::model::time::Timestamp;
use crate::wire::{transition, v1};

/// A change in the life of an alert, as the hub received it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TransitionRecord {
    /// The hub's own number, ascending in the order of receipt.
    #[serde(default)]
    pub id: i64,
    /// Who sent it.
    pub agent: String,
    /// The spool it came from, 16 hex digits.
    pub epoch: String,
    /// Its number within the epoch.
    pub seq: u64,
    /// The boot of the agent in which it was decided.
    #[serde(default)]
    pub boot_id: String,
    /// `firing`, `resolved`, `occurred`.
    pub state: String,
    /// Why it resolved; `no_data` where it fires since its key gave no data; else empty.
    pub reason: String,
    /// The rule set of its rule.
    pub ruleset: String,
    /// Its rule.
    pub rule: String,
    /// First 64 bits of the hash of the rule's text, 16 hex digits.
    pub rule_hash: String,
    /// The alert's identity, 16 hex digits.
    pub fingerprint: String,
    /// What the identity is made of.
    pub labels: BTreeMap<String, String>,
    /// As in `critical`.
    pub severity: String,
    /// Texts for people, by name.
    pub annotations: BTreeMap<String, String>,
    /// The row that decided it, in the order of its columns.
    pub values: Members,
    /// Stream time at which the condition began to hold, RFC 3339.
    pub starts_at: String,
    /// Stream time of the change, RFC 3339.
    pub occurred_at: String,
    /// The agent's clock when it was decided, RFC 3339.
    pub recorded_at: String,
    /// Whether the agent could not believe its clock then.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub clock_doubted: bool,
    /// The hub's clock less the agent's, as the agent estimated it then, ms; absent where it knew of none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skew_ms: Option<i64>,
    /// The hub's clock when it came, RFC 3339.
    pub received_at: String,
    /// The last readings of its key; absent where there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<EvidenceRecord>,
}

/// The last readings of an alert's key, with the columns that its rule uses.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EvidenceRecord {
    /// What the stream calls them.
    pub columns: Vec<String>,
    /// Oldest first.
    pub readings: Vec<ReadingRecord>,
}

/// One of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReadingRecord {
    /// Its stream time, RFC 3339.
    pub at: String,
    /// A value for each column.
    pub values: Vec<serde_json::Value>,
}

impl EvidenceRecord {
    fn from_wire(evidence: v1::Evidence, occurred_at: i64) -> Self {
        let json = |value: &v1::Value| transition::value_from_wire(value).to_json();
        let reading = |reading: &v1::Reading| ReadingRecord {
            at: transition::reading_at(reading, occurred_at).to_string(),
            values: reading.values.iter().map(json).collect(),
        };
        let readings = evidence.readings.iter().map(reading).collect();
        Self { columns: evidence.columns, readings }
    }
}

impl TransitionRecord {
    /// The record of a transition from the wire, still without the hub's number.
    pub fn from_wire(agent: &str, epoch: u64, wire: v1::Transition, received: Timestamp) -> Self {
        let time = |micros| Timestamp::from_micros(micros).to_string();
        Self {
            id: 0,
            agent: agent.to_owned(),
            epoch: epoch_text(epoch),
            seq: wire.seq,
            boot_id: wire.boot_id,
            state: transition::state_name(wire.state),
            reason: wire.reason,
            ruleset: wire.ruleset,
            rule: wire.rule,
            rule_hash: format!("{:016x}", wire.rule_hash),
            fingerprint: Fingerprint(wire.fingerprint).to_string(),
            labels: wire.labels,
            severity: wire.severity,
            annotations: wire.annotations,
            values: Members(
                wire.values
                    .into_iter()
                    .map(|named| {
                        let value = named.value.as_ref().map(transition::value_from_wire);
                        (named.name, value.unwrap_or_default().to_json())
                    })
                    .collect(),
            ),
            starts_at: time(wire.starts_at),
            occurred_at: time(wire.occurred_at),
            recorded_at: time(wire.recorded_at),
            clock_doubted: wire.clock_doubted,
            skew_ms: wire.skew_ms,
            received_at: received.to_string(),
            evidence: wire.evidence.map(|seen| EvidenceRecord::from_wire(seen, wire.occurred_at)),
        }
    }
}

/// An epoch as text: 16 hex digits.
pub fn epoch_text(epoch: u64) -> String {
    format!("{epoch:016x}")
}

/// The members of a JSON object, in the order in which they came.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Members(pub Vec<(String, serde_json::Value)>);

impl Serialize for Members {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        from.deserialize_map(InOrder)
    }
}

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
    /// Sequence numbers that never came, or that its spool gave up: the latest first.
    pub gaps: Vec<GapRecord>,
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
    /// The hub's clock when it was noticed, RFC 3339.
    pub noticed_at: String,
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
        let record = TransitionRecord::from_wire("gw", 255, wire, Timestamp::from_micros(0));
        assert_eq!((record.state.as_str(), record.reason.as_str()), ("state-42", "tired"));
        assert_eq!(record.epoch, "00000000000000ff");
    }
}
