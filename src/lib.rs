//! Weir: alerting at the edge.
//!
//! # One reading, from broker to hub
//!
//! A motor publishes `{"temperature": 92}` on `plant/3/motor/m1`.
//!
//! 1. [`ingest`] takes it from the broker as a [`model::message::Message`]: topic, bytes, and the
//!    token that will acknowledge it. It never looks inside.
//! 2. [`decode`] makes a typed [`model::row::Row`] of it, `m1, 92.0`, for each stream that reads
//!    the topic; a payload that does not fit is a counted reject.
//! 3. [`engine`] runs the checked queries of [`plan`] over the row and gives, for each rule, an
//!    [`model::row::Observation`]: this key, these values, and whether `when` and `clear` hold.
//! 4. [`alert`] keeps the life of every alert; when one fires or resolves, that is a
//!    [`model::transition::Transition`].
//! 5. [`spool`] makes the transition durable, together with the alert's state. Only then the
//!    message is acknowledged.
//! 6. [`uplink`] sends it over the one connection that the agent dials, as [`wire`] writes it,
//!    and forgets it when the hub has committed it.
//! 7. `hub` commits it under (agent, epoch, number), shows it to people, and hands it on.
//!
//! Steps 2 to 4 are pure: bytes, rows and *time* are arguments. [`agent::core`] holds them as one
//! synchronous state machine, and its driver alone knows the order of steps 1, 5 and 6.
//!
//! # One rule, from hub to engine
//!
//! A person pushes a rule file to the hub, which checks it with the same [`plan`] and keeps it.
//! The agent's session brings the items that it lacks; [`control`] puts the set together, compiles
//! it whole, and admits or refuses it; the core swaps it in between two batches, the spool keeps
//! it as the last known good one, and the hub is told, rule by rule.
//!
//! # Who may name whom
//!
//! Stages never import each other; they share [`model`]. `engine` and `control` may use `plan`;
//! only [`agent`] knows the order; `hub` uses nothing that runs on a device. A test holds the
//! table.

// What stages exchange.
pub mod model;

// The stream, in order.
pub mod ingest;

pub mod decode;

pub mod plan;

pub mod engine;

pub mod alert;

pub mod spool;

pub mod uplink;

pub mod wire;

// The way back.
pub mod control;

// What puts them together.
pub mod agent;

pub mod config;

pub mod clock;

pub mod failpoint;

pub mod reach;

mod supervisor;

pub mod tasks;

pub mod telemetry;

pub mod cli;

// The other side.
#[cfg(feature = "hub")]
pub mod hub;

#[cfg(feature = "demo")]
pub mod demo;
