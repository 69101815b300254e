//! What ingest hands on: bytes under a topic, and how to acknowledge them.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use bytes::Bytes;

use super::time::Timestamp;

/// The source name of the node's own metrics; their topics are `$node/<stream>`.
pub const NODE_SOURCE: &str = "node";

/// One message, as it came. Ingest never looks into the payload.
#[derive(Clone, Debug)]
pub struct Message {
    /// The name of the source it came from: a configured broker, or [`NODE_SOURCE`].
    pub source: Arc<str>,
    /// The topic it was published on.
    pub topic: Topic,
    /// Its bytes.
    pub payload: Bytes,
    /// When it arrived, by the node's clock; a replay puts recorded time here.
    pub received: Timestamp,
    /// The broker kept it from before the subscription: it tells a state, not an event.
    pub retained: bool,
    /// The broker says that it may have delivered it before.
    pub dup: bool,
    /// The quality of service it was delivered with; 0 for the node's metrics and recordings.
    pub qos: u8,
    /// MQTT 5 user properties, in order.
    pub properties: Box<[(String, String)]>,
    /// How to acknowledge it; `None` where nothing waits for that (QoS 0, node metrics, replay).
    pub ack: Option<AckToken>,
}

/// The name of a topic: text, in the very bytes that it came in. To look it up no copy of it is made.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Topic(Bytes);

impl Topic {
    /// A topic of these bytes; `None` where they are no UTF-8.
    pub fn new(bytes: Bytes) -> Option<Self> {
        std::str::from_utf8(&bytes).is_ok().then_some(Self(bytes))
    }

    /// Its bytes, which are UTF-8.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl Deref for Topic {
    type Target = str;

    /// The text. It is checked once more, which is cheap, but not for what every message needs.
    fn deref(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Debug for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self)
    }
}

impl From<&str> for Topic {
    fn from(text: &str) -> Self {
        Self(Bytes::copy_from_slice(text.as_bytes()))
    }
}

impl From<String> for Topic {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

/// What acknowledges one message: only its source can use it, and only while the connection on
/// which the message came still stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AckToken {
    /// Which source, by its place in the configuration.
    pub source: u16,
    /// The connection's number within this process. A token of an earlier connection is dropped.
    pub generation: u32,
    /// The broker session's number: equal for connections that resumed one session, so that a
    /// redelivery can be told from a packet id that was used again.
    pub session: u32,
    /// The MQTT packet id.
    pub packet: u16,
}
