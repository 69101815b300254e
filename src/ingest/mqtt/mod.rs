//! MQTT brokers as sources, in both versions of the protocol.
//!
//! Acknowledgements are manual: a QoS 1 message is acknowledged when its token comes back, and
//! never before. The broker keeps the session across restarts; nothing about it is kept here.

mod cork;
mod desk;
mod face;
mod packets;
pub mod probe;
mod session;
mod tls;
mod v4;
mod v5;

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use super::Error;
use super::config::{BrokerConfig, ConfigError};
use super::status::{Counters, SourceStatus};
use crate::clock::Clock;
use crate::model::message::{AckToken, Message};
use crate::tasks::{self, Stop};
use desk::{Desk, Setup};
use session::Lines;

/// Batches of tokens that may wait for the source to take them.
const ACK_BATCHES: usize = 64;

/// A broker that is being read from, seen from outside.
///
/// The source ends when the stop is announced, when nobody takes its messages any more, or when
/// `acks` is dropped. It then closes its channel of messages first and takes tokens for two more seconds, so
/// that what was handed on can still be acknowledged.
#[derive(Debug)]
pub struct MqttSource {
    /// The source's name, as configured.
    pub name: Arc<str>,
    /// Takes back the tokens of messages that are dealt with. A token of an earlier connection, or one
    /// that came back before, is counted and otherwise ignored.
    pub acks: mpsc::Sender<Vec<AckToken>>,
    /// The filters to be subscribed to; a change takes effect at once, or at the next connection.
    pub filters: watch::Sender<Vec<String>>,
    /// What the source tells about itself.
    pub status: watch::Receiver<SourceStatus>,
    /// The thread; it ends as described above.
    pub thread: JoinHandle<()>,
}

/// Starts to read from a broker. Messages come as batches of at most 1,000 through `out`; their
/// tokens carry `index` as their source. With `resumes` a process before this one had a session with the broker,
/// so one that begins anew is a gap already at the first connection.
///
/// A broker that cannot be reached is no error here: the source tries on, and its status says why.
///
/// # Errors
/// A configuration that cannot work, or a system that has no thread to give.
pub fn start(
    config: BrokerConfig,
    (index, resumes): (u16, bool),
    filters: Vec<String>,
    out: mpsc::Sender<Vec<Message>>,
    clock: Clock,
    stop: Stop,
) -> Result<MqttSource, Error> {
    let settings = config.resolve()?;
    let tls = settings.tls.as_ref().map(|files| tls::client(&config.name, files)).transpose()?;
    let (requests, events) = face::open(&config, &settings, tls).map_err(|why| ConfigError::Value {
        source_name: config.name.clone(),
        key: "url",
        why,
    })?;
    let refused = |source| Error::Thread { name: config.name.clone(), source };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(refused)?;

    let name: Arc<str> = config.name.as_str().into();
    let (told, status) = watch::channel(SourceStatus {
        name: config.name.clone(),
        connected: false,
        error: None,
        since: clock.now().wall,
        counters: Counters::default(),
    });
    let (acks, taken_acks) = mpsc::channel(ACK_BATCHES);
    let (wanted, taken_filters) = watch::channel(filters.clone());
    let desk = Desk::new(Setup {
        source: name.clone(),
        index,
        resumes,
        qos: config.qos,
        max_packet: config.max_packet,
        requests,
        filters,
        told,
    });
    let lines = Lines { out, acks: taken_acks, filters: taken_filters };
    let longest_pause = config.keep_alive / 4;
    let thread = tasks::thread(&format!("mqtt-{name}"), move || {
        runtime.block_on(session::run(desk, events, lines, stop, clock, longest_pause));
        // A name that is being resolved while the network is down must not hold the end up.
        runtime.shutdown_timeout(Duration::from_secs(1));
    })
    .map_err(refused)?;
    Ok(MqttSource { name, acks, filters: wanted, status, thread })
}
