//! The vocabulary: plain values that two or more stages exchange.
//!
//! A type lives here when a stage hands it to another stage and neither owns it. Nothing here
//! does I/O, reads a clock, or knows which stage comes next.

pub mod absence;
pub mod alerting;
pub mod backoff;
pub mod cast;
pub mod causes;
pub mod certificate;
pub mod coerce;
pub mod diagnostic;
pub mod fit;
pub mod fold;
pub mod id;
pub mod kept;
pub mod key;
pub mod label;
pub mod link;
pub mod message;
pub mod name;
pub mod node;
pub mod pattern;
pub mod ranges;
pub mod row;
pub mod ruleset;
pub mod schedule;
pub mod stream;
pub mod time;
pub mod topic;
pub mod transition;
pub mod value;
