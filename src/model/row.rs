//! What flows from decode to engine, and from engine to alert.

use super::time::Timestamp;
use super::value::Value;

/// One decoded reading: the values of its stream's fields, by slot.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// One value for each of [`StreamSpec::fields`](super::stream::StreamSpec::fields).
    pub slots: Box<[Value]>,
    /// Event time where the stream has one, else arrival.
    pub time: Timestamp,
    /// From a retained message: it sets state, it is no event.
    pub retained: bool,
}

/// One output row of a rule's query, judged: what the alert stage sees.
#[derive(Clone, Debug, PartialEq)]
pub struct Observation {
    /// The rule, by its place in the plan it was compiled in.
    pub rule: usize,
    /// The values of the rule's key columns, in the order of
    /// [`AlertSpec::key`](super::alerting::AlertSpec::key).
    pub key: Box<[Value]>,
    /// The output columns, in the order of
    /// [`AlertSpec::columns`](super::alerting::AlertSpec::columns).
    pub values: Box<[Value]>,
    /// Stream time of the observation: the row's own, or the end of its window.
    pub at: Timestamp,
    /// `when` over the row; NULL is `None` and changes nothing. Always true for a rule without
    /// `when`.
    pub raise: Option<bool>,
    /// `clear` over the row; where a rule has none, the negation of `raise`.
    pub clear: Option<bool>,
    /// From a retained message: may set the state of a stateful rule, is never an occurrence.
    pub retained: bool,
    /// How it stands to what came before.
    pub order: Order,
}

/// How an observation stands in time to those of its key that came before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// None of them is newer.
    #[default]
    Newest,
    /// A row of the key came before that is newer. It must not raise what is quiet.
    Older,
    /// Nobody has kept count: who takes it must remember the newest of each key, quiet or not.
    Untold,
}
