//! Weir: alerting at the edge. (The map comes with the stages.)

pub mod agent;
pub mod alert;
pub mod clock;
pub mod decode;
pub mod engine;
pub mod model;
pub mod spool;
pub mod tasks;
pub mod uplink;
pub mod wire;

pub mod plan;
