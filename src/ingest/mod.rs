//! Ingest: MQTT packets, the node's own metrics and recordings become messages.
//!
//! A source reads from where its data is, hands on batches of [`Message`](crate::model::message::Message)
//! through a bounded channel, and acknowledges to its origin only what comes back as a token.
//! It never looks into a payload, never decides what a message means, and never loses a
//! QoS 1 message: what it must leave out is counted.

pub mod coalesce;
pub mod config;
pub mod mqtt;
pub mod node;
pub mod replay;
mod status;

pub use config::{BrokerConfig, ConfigError, MqttVersion};
pub use status::{Counters, SourceStatus};

/// Why a source could not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What was configured cannot work.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The system refused a thread or a runtime.
    #[error("start the thread of source `{name}`; the system may be out of threads or memory")]
    Thread {
        /// The source.
        name: String,
        /// What the system said.
        source: std::io::Error,
    },
}
