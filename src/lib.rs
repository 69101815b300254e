//! Weir: alerting at the edge. (The map comes with the stages.)

pub mod clock;
pub mod model;
pub mod tasks;
pub mod wire;

pub mod plan;

#[cfg(feature = "hub")]
pub mod hub;

pub mod cli;
