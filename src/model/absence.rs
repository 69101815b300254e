//! What a rule has to say of a key that gives no data.

use std::time::Duration;

use super::time::Timestamp;
use super::value::Value;

/// `no_data` of a rule: what the silence of a key does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoData {
    /// After how long a silence.
    pub after: Duration,
    /// What then.
    pub action: OnSilence,
    /// After how long a silence the key is known no more.
    pub forget: Duration,
}

/// What a silence does to an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnSilence {
    /// It is up.
    Fire,
    /// It stays as it is.
    Keep,
    /// It ends.
    Resolve,
}

impl OnSilence {
    /// All of them, as rules write them.
    pub const NAMES: [(&'static str, Self); 3] =
        [("fire", Self::Fire), ("keep", Self::Keep), ("resolve", Self::Resolve)];

    /// As rules write it.
    pub fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(_, action)| *action == self).map_or("", |(name, _)| name)
    }
}

/// A key of a rule gave no data for the rule's [`NoData::after`].
#[derive(Clone, Debug, PartialEq)]
pub struct Absence {
    /// The rule, by its place in the plan.
    pub rule: usize,
    /// The values of its key columns.
    pub key: Box<[Value]>,
    /// What the last reading gives for the output columns; NULL where more than one reading would be
    /// needed to tell.
    pub values: Box<[Value]>,
    /// The stream time of the key: that of its newest reading, and what has passed since.
    pub at: Timestamp,
}
