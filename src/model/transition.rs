//! The one thing that leaves the site: a change in the life of an alert.

use std::fmt;
use std::sync::Arc;

use super::label::{Fingerprint, Labels};
use super::time::Timestamp;
use super::value::Value;

/// A change in the life of an alert, before the spool gave it a sequence number.
#[derive(Clone, Debug, PartialEq)]
pub struct Transition {
    /// What the alert became.
    pub state: State,
    /// The rule set of its rule.
    pub ruleset: Arc<str>,
    /// Its rule.
    pub rule: Arc<str>,
    /// Hash of the rule's text as it was then.
    pub rule_hash: u64,
    /// The alert's identity: the fingerprint of `labels`.
    pub fingerprint: Fingerprint,
    /// `agent`, `ruleset`, `alertname`, key columns, the rule's labels.
    pub labels: Labels,
    /// The rule's severity then.
    pub severity: Arc<str>,
    /// The rule's annotations, rendered.
    pub annotations: Labels,
    /// The output row that decided it, by column.
    pub values: Vec<(Arc<str>, Value)>,
    /// Stream time at which the condition began to hold.
    pub starts_at: Timestamp,
    /// Stream time of this change.
    pub occurred_at: Timestamp,
    /// The node's calendar clock when it was decided.
    pub recorded_at: Timestamp,
    /// The last readings of its key; `None` where there are none to show.
    pub evidence: Option<Evidence>,
    /// The place of its rule in the plan that made it; of no worth beyond that.
    pub place: usize,
}

/// The last readings of an alert's key, with the columns that its rule uses.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Evidence {
    /// What the stream calls them.
    pub columns: Vec<Arc<str>>,
    /// Oldest first.
    pub readings: Vec<Reading>,
}

/// One of them.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// Its time in its stream.
    pub at: Timestamp,
    /// A value for each column; texts may be cut, and what is neither a number, a text, a time nor a
    /// truth value is NULL.
    pub values: Vec<Value>,
}

/// What an alert became.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// It is up.
    Firing,
    /// It is up, and this of it is new: `no_data` (it is up since its key gave no data), `severity`, `flapping`.
    Up(Reason),
    /// It ended, for this reason.
    Resolved(Reason),
    /// An occurrence of a rule without `when`: it ends by itself.
    Occurred,
}

/// Why an alert ended, or what is new of one that is up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The condition cleared.
    Recovered,
    /// Its key gave no data.
    NoData,
    /// The rule's text changed, and the new one does not keep this alert.
    RuleChanged,
    /// The rule is gone.
    RuleRemoved,
    /// The source that its readings came from is no longer configured.
    SourceLost,
    /// The rule is not in force at this time.
    Inactive,
    /// A person ended it.
    Manual,
    /// It is worse than before, or less bad.
    Severity,
    /// It comes and goes so often that no more is told of that.
    Flapping,
}

/// How much a severity matters, 0 to 3: where not everything can be kept, what matters least goes first. A severity
/// that is none of the usual ones matters as much as a warning.
pub fn rank(severity: &str) -> u8 {
    match severity.to_ascii_lowercase().as_str() {
        "info" | "notice" | "debug" | "none" => 0,
        "error" | "high" | "major" => 2,
        "critical" | "emergency" | "page" | "fatal" => 3,
        _ => 1,
    }
}

impl State {
    /// The state's name on the wire and on screens.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Firing | Self::Up(_) => "firing",
            Self::Resolved(_) => "resolved",
            Self::Occurred => "occurred",
        }
    }

    /// The reason's name, empty where there is none.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Resolved(reason) | Self::Up(reason) => reason.name(),
            Self::Firing | Self::Occurred => "",
        }
    }
}

impl Reason {
    /// The reason's name on the wire and on screens.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Recovered => "recovered",
            Self::NoData => "no_data",
            Self::RuleChanged => "rule_changed",
            Self::RuleRemoved => "rule_removed",
            Self::SourceLost => "source_lost",
            Self::Inactive => "inactive",
            Self::Manual => "manual",
            Self::Severity => "severity",
            Self::Flapping => "flapping",
        }
    }
}

/// `firing`, `resolved (recovered)`, `occurred`.
impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.reason() {
            "" => f.write_str(self.name()),
            reason => write!(f, "{} ({reason})", self.name()),
        }
    }
}
