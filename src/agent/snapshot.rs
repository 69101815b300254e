//! The bytes of a snapshot of the core, and of an input in the journal: protobuf messages that
//! only ever gain fields, so that every later version reads them.

use std::sync::Arc;

use bytes::Bytes;
use prost::Message as _;

use crate::alert::SavedState;
use crate::model::message::Message;
use crate::model::time::{Mono, Now, Timestamp};

use super::core::Input;

/// A snapshot of the core.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct CoreSnapshot {
    #[prost(message, repeated, tag = "1")]
    pub(super) sets: Vec<SetSnapshot>,
    /// When it was made, by the calendar of the process that made it, µs; 0 where it does not say.
    #[prost(int64, tag = "2")]
    pub(super) at: i64,
    /// What is withheld, and how much may be told at once.
    #[prost(bytes = "vec", tag = "3")]
    pub(super) outlet: Vec<u8>,
    /// The agent's own alerts.
    #[prost(message, repeated, tag = "4")]
    pub(super) own: Vec<AlertSnapshot>,
    /// The sources that were not connected.
    #[prost(string, repeated, tag = "5")]
    pub(super) down: Vec<String>,
}

/// A snapshot of one rule set.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct SetSnapshot {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(bytes = "vec", tag = "2")]
    pub(super) engine: Vec<u8>,
    #[prost(message, repeated, tag = "3")]
    pub(super) alerts: Vec<AlertSnapshot>,
    /// The newest time of each key, where `alerts` is there too.
    #[prost(bytes = "vec", tag = "4")]
    pub(super) recent: Vec<u8>,
    /// The keys whose silence rules go by.
    #[prost(bytes = "vec", tag = "5")]
    pub(super) presence: Vec<u8>,
    /// The last readings of keys.
    #[prost(bytes = "vec", tag = "6")]
    pub(super) evidence: Vec<u8>,
    /// What was told of windows that may be open here.
    #[prost(bytes = "vec", tag = "7")]
    pub(super) decided: Vec<u8>,
}

/// One alert instance of a snapshot.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct AlertSnapshot {
    #[prost(string, tag = "1")]
    pub(super) rule: String,
    #[prost(bytes = "vec", tag = "2")]
    pub(super) state: Vec<u8>,
}

impl From<(Arc<str>, SavedState)> for AlertSnapshot {
    fn from((rule, state): (Arc<str>, SavedState)) -> Self {
        Self { rule: rule.to_string(), state: state.encode() }
    }
}

impl CoreSnapshot {
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        self.encode_to_vec()
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Result<Self, String> {
        Self::decode(bytes).map_err(|e| format!("read the snapshot: {e}"))
    }
}

/// What the journal holds.
pub(super) enum Entry {
    /// An input, at its time.
    Input(Now, Input),
    /// What a snapshot lacks that is older: all that a journal holds that is none of inputs.
    Noted(Noted),
}

/// Bytes by rule set.
type BySet = Vec<(Arc<str>, Vec<u8>)>;

/// What became known, and is to be known again after a crash.
#[derive(Debug, Default)]
pub(super) struct Noted {
    /// Keys that were learned.
    pub(super) learned: BySet,
    /// What rules with a memory told.
    pub(super) decided: BySet,
}

#[derive(Clone, PartialEq, prost::Message)]
struct OfSet {
    #[prost(string, tag = "1")]
    set: String,
    #[prost(bytes = "vec", tag = "2")]
    bytes: Vec<u8>,
}

fn of_sets(all: BySet) -> Vec<OfSet> {
    all.into_iter().map(|(set, bytes)| OfSet { set: set.to_string(), bytes }).collect()
}

fn by_set(all: Vec<OfSet>) -> BySet {
    all.into_iter().map(|one| (one.set.into(), one.bytes)).collect()
}

/// One journaled input: messages, or a tick where there are none.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Journaled {
    #[prost(int64, tag = "1")]
    wall: i64,
    #[prost(uint64, tag = "2")]
    mono: u64,
    #[prost(message, repeated, tag = "3")]
    messages: Vec<JournaledMessage>,
    /// Whether a source is connected from here on.
    #[prost(bool, optional, tag = "4")]
    connected: Option<bool>,
    /// Which.
    #[prost(string, tag = "5")]
    source: String,
    /// Why it is not.
    #[prost(string, tag = "6")]
    why: String,
    /// Keys that were learned: no input then.
    #[prost(message, repeated, tag = "7")]
    learned: Vec<OfSet>,
    /// What rules with a memory told: no input then.
    #[prost(message, repeated, tag = "8")]
    decided: Vec<OfSet>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct JournaledMessage {
    #[prost(string, tag = "1")]
    source: String,
    #[prost(string, tag = "2")]
    topic: String,
    #[prost(bytes = "bytes", tag = "3")]
    payload: Bytes,
    #[prost(int64, tag = "4")]
    received: i64,
    #[prost(bool, tag = "5")]
    retained: bool,
    #[prost(uint32, tag = "6")]
    qos: u32,
    #[prost(message, repeated, tag = "7")]
    properties: Vec<Property>,
}

/// A user property of a message.
#[derive(Clone, PartialEq, prost::Message)]
struct Property {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    value: String,
}

impl Journaled {
    /// Messages as they are taken in. What tells a redelivery is kept elsewhere, so packet ids
    /// are left out: a replayed message is never taken for a repeat.
    pub(super) fn messages(messages: &[Message], now: Now) -> Self {
        let messages = messages.iter().map(|m| JournaledMessage {
            source: m.source.to_string(),
            topic: m.topic.to_string(),
            payload: m.payload.clone(),
            received: m.received.micros(),
            retained: m.retained,
            qos: m.qos.into(),
            properties: m
                .properties
                .iter()
                .map(|(name, value)| Property { name: name.clone(), value: value.clone() })
                .collect(),
        });
        Self { messages: messages.collect(), ..Self::tick(now) }
    }

    /// The same without the messages in these places, which were delivered again: what is replayed was evaluated
    /// once, and a replayed message is never taken for a repeat. Where none is left, it is a tick.
    pub(super) fn without(mut self, repeats: &[usize]) -> Self {
        let mut place = 0;
        self.messages.retain(|_| {
            place += 1;
            repeats.binary_search(&(place - 1)).is_err()
        });
        self
    }

    /// A tick.
    pub(super) fn tick(now: Now) -> Self {
        Self { wall: now.wall.micros(), mono: now.mono.micros(), ..Self::default() }
    }

    /// A change of a source's connection.
    pub(super) fn link_changed(source: &str, connected: bool, why: Option<&str>, now: Now) -> Self {
        let why = why.unwrap_or_default().to_owned();
        Self { connected: Some(connected), source: source.to_owned(), why, ..Self::tick(now) }
    }

    /// What became known; `None` where nothing did.
    pub(super) fn noted(noted: Noted, now: Now) -> Option<Self> {
        let (learned, decided) = (of_sets(noted.learned), of_sets(noted.decided));
        let is_any = !learned.is_empty() || !decided.is_empty();
        is_any.then(|| Self { learned, decided, ..Self::tick(now) })
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        self.encode_to_vec()
    }

    /// What an entry holds.
    pub(super) fn read(bytes: &[u8]) -> Result<Entry, String> {
        let this = Self::decode(bytes).map_err(|e| format!("read the journal: {e}"))?;
        if !this.learned.is_empty() || !this.decided.is_empty() {
            let (learned, decided) = (by_set(this.learned), by_set(this.decided));
            return Ok(Entry::Noted(Noted { learned, decided }));
        }
        let now = Now { wall: Timestamp::from_micros(this.wall), mono: Mono::from_micros(this.mono) };
        let messages = this.messages.into_iter().map(|m| Message {
            source: m.source.into(),
            topic: m.topic.into(),
            payload: m.payload,
            received: Timestamp::from_micros(m.received),
            retained: m.retained,
            dup: false,
            qos: u8::try_from(m.qos).unwrap_or(0),
            properties: m.properties.into_iter().map(|p| (p.name, p.value)).collect(),
            ack: None,
        });
        let why = (!this.why.is_empty()).then(|| this.why.as_str().into());
        let messages: Vec<Message> = messages.collect();
        let input = match this.connected {
            Some(connected) => Input::Connected(this.source.as_str().into(), connected, why),
            None if messages.is_empty() => Input::Tick,
            None => Input::Messages(messages),
        };
        Ok(Entry::Input(now, input))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_journaled_message_comes_back_with_all_that_a_rule_can_read() {
        let message = Message {
            source: "plant".into(),
            topic: "t/1".into(),
            payload: Bytes::from_static(b"{}"),
            received: Timestamp::from_millis(5),
            retained: true,
            dup: true,
            qos: 1,
            properties: [("unit".to_owned(), "C".to_owned())].into(),
            ack: None,
        };
        let now = Now::default();
        let bytes = Journaled::messages(std::slice::from_ref(&message), now).to_bytes();
        let Entry::Input(_, Input::Messages(back)) = Journaled::read(&bytes).unwrap() else {
            panic!("no messages")
        };
        let shown = |m: &Message| format!("{:?}", Message { dup: false, ..m.clone() });
        assert_eq!(shown(&back[0]), shown(&message));
        let three: Vec<Message> =
            ["t/1", "t/2", "t/3"].map(|t| Message { topic: t.into(), ..message.clone() }).into();
        let left = |repeats: &[usize]| -> Vec<String> {
            let bytes = Journaled::messages(&three, now).without(repeats).to_bytes();
            match Journaled::read(&bytes).unwrap() {
                Entry::Input(_, Input::Messages(left)) => left.iter().map(|m| m.topic.to_string()).collect(),
                _ => Vec::new(),
            }
        };
        assert_eq!(left(&[0, 2]), ["t/2"], "what was delivered again is not replayed");
        assert!(left(&[0, 1, 2]).is_empty());
    }
}
