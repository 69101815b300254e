//! The verbs of both programs: read arguments, call, and print. The only place that prints.

#[cfg(feature = "hub")]
pub mod hub;
