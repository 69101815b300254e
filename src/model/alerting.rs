//! How a rule's observations become alerts: the contract between `plan`, which checks it, and
//! `alert`, which obeys it.

use std::fmt::Debug;
use std::ops::{Deref, Index};
use std::sync::Arc;
use std::time::Duration;

use super::absence::NoData;
use super::label::Labels;
use super::name::Name;
use super::schedule::{Flapping, Schedule};

/// The alert side of one rule, resolved: what is its own, and what it may share with others.
#[derive(Clone, Debug, PartialEq)]
pub struct AlertSpec {
    /// The rule's id, unique in its set; the alert's `alertname`.
    pub rule: Name,
    /// Hash of the rule's canonical text (first 64 bits of SHA-256).
    pub hash: u64,
    /// The rest, which reads as if it stood here.
    pub shape: Arc<AlertShape>,
}

impl Deref for AlertSpec {
    type Target = AlertShape;

    fn deref(&self) -> &AlertShape {
        &self.shape
    }
}

/// The alert sides of the rules of a set, by their places. Whoever has the rules has them too; nobody else
/// need keep them.
pub trait Roster: Debug + Send + Sync {
    /// That of the rule at a place.
    fn get(&self, rule: usize) -> Option<&AlertSpec>;

    /// The same, where it is known that there is one.
    fn at(&self, rule: usize) -> &AlertSpec;

    /// How many places there are.
    fn len(&self) -> usize;

    /// Whether there is none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Index<usize> for dyn Roster {
    type Output = AlertSpec;

    fn index(&self, rule: usize) -> &AlertSpec {
        self.at(rule)
    }
}

impl Roster for Vec<AlertSpec> {
    fn get(&self, rule: usize) -> Option<&AlertSpec> {
        self.as_slice().get(rule)
    }

    fn at(&self, rule: usize) -> &AlertSpec {
        &self[rule]
    }

    fn len(&self) -> usize {
        self.as_slice().len()
    }
}

/// The part of an [`AlertSpec`] that rules made of one template have in common.
#[derive(Clone, Debug, PartialEq)]
pub struct AlertShape {
    /// The rule set it belongs to.
    pub ruleset: Arc<str>,
    /// With `when` the rule has a state per key; without, every row is an occurrence.
    pub kind: RuleKind,
    /// Free text, such as `critical`; no part of the identity.
    pub severity: Arc<str>,
    /// The rule's own labels; part of the identity.
    pub labels: Labels,
    /// Texts for people, by name.
    pub annotations: Vec<(Arc<str>, Template)>,
    /// The key columns, as labels name them.
    pub key: Vec<Arc<str>>,
    /// The output columns, as values and templates name them.
    pub columns: Vec<Arc<str>>,
    /// How observations of a key follow one another, where the rule has a window.
    pub cadence: Option<Cadence>,
    /// What happens where a key gives no data; only where the key is that of the rule's stream.
    pub no_data: Option<NoData>,
    /// What it asks for beyond that.
    pub life: Life,
}

impl AlertShape {
    /// Whether its alerts have states, and are no occurrences.
    pub const fn is_state(&self) -> bool {
        matches!(self.kind, RuleKind::State { .. })
    }

    /// The severity of the level at a place; the rule's own where it has no levels.
    pub fn severity_at(&self, level: u8) -> &Arc<str> {
        self.life.levels.get(usize::from(level)).unwrap_or(&self.severity)
    }
}

/// What a rule asks of the lives of its alerts that most do not.
#[derive(Clone, Debug, PartialEq)]
pub struct Life {
    /// How many observations in a row raise an alert, and how many clear it; at least 1.
    pub times: u16,
    /// From when on an alert is told as flapping; `None`: never.
    pub flapping: Option<Flapping>,
    /// When the rule is in force; `None`: always.
    pub active: Option<Arc<Schedule>>,
    /// The severities of the levels, in ascending order; empty where the rule has none.
    pub levels: Box<[Arc<str>]>,
    /// How many of its alerts are told one by one at a time.
    pub max_instances: u32,
    /// The alerts that explain one of this rule.
    pub inhibited_by: Box<[Inhibitor]>,
}

/// Alerts of another rule, while which one of this rule is not told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inhibitor {
    /// The other rule, of the same set.
    pub rule: Arc<str>,
    /// The labels in which both must agree; `None`: in all that both have of their own.
    pub on: Option<Box<[Arc<str>]>>,
}

impl Default for Life {
    fn default() -> Self {
        Self {
            times: 1,
            flapping: Some(Flapping::default()),
            active: None,
            levels: Box::default(),
            max_instances: Self::MAX_INSTANCES,
            inhibited_by: Box::default(),
        }
    }
}

impl Life {
    /// How many alerts of a rule are told one by one, where it does not say.
    pub const MAX_INSTANCES: u32 = 1_000;
    /// The most levels that a rule may have.
    pub const MOST_LEVELS: usize = 8;

    /// One without anything.
    pub fn plain() -> Self {
        Self { flapping: None, ..Self::default() }
    }
}

/// How the observations of a windowed rule come. A timer that the next one could still decide
/// waits for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cadence {
    /// The next observation of a key is dated at least this much after the last.
    pub every: Duration,
    /// It comes at most this long after its date, while the key has readings at all.
    pub slack: Duration,
}

/// The two kinds of rule, each with its timers, all in the stream time of the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuleKind {
    /// `when` raises, `clear` lowers.
    State {
        /// How long `when` must hold before the alert fires.
        for_: Duration,
        /// How long an alert stays up after it cleared.
        keep_firing_for: Duration,
    },
    /// Each row is forwarded once, and not again for its key within `repeat`.
    Occurrence {
        /// The span of de-duplication.
        repeat: Duration,
    },
}

/// A text with `{{ }}` places, parsed.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Template {
    /// Its pieces, in order.
    pub pieces: Vec<Piece>,
}

/// One piece of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Text as it stands.
    Text(String),
    /// What a name stands for, through functions in their order.
    Place(Named, Vec<Shown>),
}

/// What a name in a template stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Named {
    /// The value of an output column.
    Column(usize),
    /// The value of a label, by name.
    Label(Arc<str>),
    /// The alert's severity.
    Severity,
    /// When the condition began to hold.
    StartsAt,
    /// When this change took place.
    OccurredAt,
}

/// How a value is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// A number, with at most so many digits after the point.
    Round(u8),
    /// A number, with four digits and the prefix of its size: `1.235M`.
    Humanize,
    /// The same of powers of 1,024: `1.5Ki`.
    Humanize1024,
    /// A ratio, as `12.5%`.
    Percent,
    /// A number of seconds, as `2h5m`.
    Duration,
    /// A time, as how long it is before this change: `2h5m`.
    Since,
}

impl Shown {
    /// What each is called in a template.
    pub const NAMES: [&str; 6] = ["round", "humanize", "humanize1024", "percent", "duration", "since"];
}
