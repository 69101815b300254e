//! Weir: alerting at the edge. (The map comes with the stages.)

pub mod agent;
pub mod alert;
pub mod cli;
pub mod clock;
pub mod config;
pub mod control;
pub mod decode;
#[cfg(feature = "demo")]
pub mod demo;
pub mod engine;
#[cfg(feature = "hub")]
pub mod hub;
pub mod ingest;
pub mod model;
pub mod plan;
pub mod spool;
pub mod tasks;
pub mod telemetry;
pub mod uplink;
pub mod wire;
