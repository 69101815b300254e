//! One shape for both versions of the protocol: what a session asks for, and what happens to it.
//! The two faces behind it know their library and nothing else.

use std::sync::Arc;

use bytes::Bytes;
use rustls::ClientConfig;

use super::probe::Granted;
use super::{v4, v5};
use crate::ingest::config::{BrokerConfig, MqttVersion, Settings};

/// Requests that may wait inside the library. A full channel is no error: what did not fit waits
/// in the session's own outbox.
pub(super) const REQUESTS: usize = 256;
/// Packets that are read, and requests that are written, before the other side gets its turn.
pub(super) const READ_BATCH: usize = 128;
/// Nothing is ever published, so a small window is enough; the library's default takes 13 MB.
pub(super) const OUTGOING: u16 = 100;
/// Seconds until an attempt to connect counts as failed.
pub(super) const CONNECT_TIMEOUT: u64 = 10;
/// A packet above this is not even read to be dropped.
pub(super) const HARD_LIMIT: u32 = 64 * 1024 * 1024;

/// Something that happened on the connection.
#[derive(Debug)]
pub(super) enum Happening {
    /// The broker accepted the connection; `resumed` if it still had the session.
    Connected { resumed: bool, granted: Granted },
    /// A message.
    Publish(Publish),
    /// The broker answered a subscription: for each filter whether it was refused, and why.
    Subscribed(Vec<Option<String>>),
    /// Nothing that concerns a session.
    Other,
}

/// A message in either version.
#[derive(Debug)]
pub(super) struct Publish {
    pub(super) topic: Bytes,
    pub(super) payload: Bytes,
    /// The packet id, where the broker waits for an acknowledgement.
    pub(super) packet: Option<u16>,
    pub(super) retained: bool,
    pub(super) dup: bool,
    pub(super) properties: Box<[(String, String)]>,
}

/// How a connection ended, or an attempt failed.
#[derive(Debug)]
pub(super) struct Lost {
    /// What to tell people.
    pub(super) why: String,
    /// The size of a packet that was too large to be read, if that was the reason.
    pub(super) too_large: Option<usize>,
}

/// The side that requests.
pub(super) enum Requests {
    V4(v4::Requests),
    V5(v5::Requests),
}

/// The side that is polled.
pub(super) enum Events {
    V4(Box<v4::Events>),
    V5(Box<v5::Events>),
}

/// The two sides of a connection that is not made yet: the first poll makes it.
pub(super) fn open(
    config: &BrokerConfig,
    settings: &Settings,
    tls: Option<Arc<ClientConfig>>,
) -> Result<(Requests, Events), String> {
    Ok(match config.version {
        MqttVersion::V311 => {
            let (requests, events) = v4::open(config, settings, tls)?;
            (Requests::V4(requests), Events::V4(Box::new(events)))
        }
        MqttVersion::V5 => {
            let (requests, events) = v5::open(config, settings, tls)?;
            (Requests::V5(requests), Events::V5(Box::new(events)))
        }
    })
}

impl Requests {
    /// Acknowledges a packet. Gives `false` where there is no room at present.
    pub(super) fn ack(&self, packet: u16) -> bool {
        match self {
            Self::V4(face) => face.ack(packet),
            Self::V5(face) => face.ack(packet),
        }
    }

    /// Subscribes. Gives `false` where there is no room at present.
    pub(super) fn subscribe(&self, filters: &[String], qos: u8) -> bool {
        match self {
            Self::V4(face) => face.subscribe(filters, qos),
            Self::V5(face) => face.subscribe(filters, qos),
        }
    }

    /// Ends subscriptions. Gives `false` where there is no room at present.
    pub(super) fn unsubscribe(&self, filters: &[String]) -> bool {
        match self {
            Self::V4(face) => face.unsubscribe(filters),
            Self::V5(face) => face.unsubscribe(filters),
        }
    }

    /// Says goodbye; the broker keeps the session.
    pub(super) fn disconnect(&self) -> bool {
        match self {
            Self::V4(face) => face.disconnect(),
            Self::V5(face) => face.disconnect(),
        }
    }
}

impl Events {
    /// The next happening; connects where no connection stands. Not cancel-safe: dropped halfway, it may lose an
    /// acknowledgement that it was about to write.
    pub(super) async fn poll(&mut self) -> Result<Happening, Lost> {
        match self {
            Self::V4(face) => face.poll().await,
            Self::V5(face) => face.poll().await,
        }
    }

    /// A happening that was read already; never waits.
    pub(super) fn ready(&mut self) -> Option<Happening> {
        match self {
            Self::V4(face) => face.ready(),
            Self::V5(face) => face.ready(),
        }
    }

    /// From the next connection on, reads packets up to `size` bytes, so that one that the broker
    /// insists on can be taken and dropped.
    pub(super) fn raise_limit(&mut self, size: u32) {
        match self {
            Self::V4(face) => face.raise_limit(size),
            Self::V5(face) => face.raise_limit(size),
        }
    }
}
