//! A transition as JSON: of the hub's API, of its event stream and of CloudEvents, and of `weir alerts`.
//! States and reasons are names here, so that those of younger agents pass through as they came.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::model::label::Fingerprint;
use crate::model::time::Timestamp;

use super::{transition, v1};

/// A change in the life of an alert, as the hub and `weir alerts` show it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TransitionRecord {
    /// The hub's own number, ascending in the order of receipt; 0 where there is none.
    #[serde(default)]
    pub id: i64,
    /// Who sent it.
    pub agent: String,
    /// The spool it came from, 16 hex digits; `hub` where the hub repaired its own knowledge by it.
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
    /// The hub's clock when it came, RFC 3339; absent where it is the agent that shows it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
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
    /// The record of a transition from the wire, still without the hub's number; with when the hub received it.
    pub fn from_wire(agent: &str, epoch: u64, wire: v1::Transition, received: Option<Timestamp>) -> Self {
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
            received_at: received.map(|at| at.to_string()).unwrap_or_default(),
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
