//! Test cases of rules, as people write them by hand: readings with their times, and the alerts
//! that must come of them. The format of `*.test.yaml`; docs/testing.md tells it to those who write it.
//!
//! A case drives a [`Core`](super::core::Core) of its own, with the times of its steps in the place
//! of both clocks. All but `open` is pure: text in, outcome out, so that `weir test`, the project's
//! own cases and whoever else wants to judge rules use the same code.
//!
//! ```yaml
//! rules: environment.yaml          # beside the test file; or the rules themselves: `ruleset:`
//! cases:
//!   - name: a hot room fires after two minutes and recovers
//!     series:                      # `at` is an offset from 2026-01-01T00:00:00Z, or RFC 3339
//!       - {topic: env/lab, every: 30s, values: {temp: 31x6 22..20x3 _x4 20 stale}}
//!     steps:
//!       - {at: 0s, every: 30s, repeat: 6, topic: env/lab, payload: {temp: 31.0, ts: $t}}
//!       - {at: 4m, event: 1m, topic: env/lab, payload: {temp: 99.0, ts: $t}}   # `$t` is `event`
//!       - {at: 5m, topic: env/lab, text: "not json", retained: true, source: b1}
//!       - {at: 10m, tick: true}    # or `restart`, `connected: false`, `sources: [b1]`, `clock: +1h`, `remove`, `swap: |`
//!     until: 1h                    # how long it goes on
//!     checks:                      # what stands at a time; also `keeping`, `resolved`, `quiet`
//!       - {at: 1m, pending: [hot], firing: []}
//!     expect:                      # all transitions, in order; what is not given is not looked at
//!       - {at: 2m, firing: hot, labels: {device: lab}, values: {t: 31.0}, severity: warning}
//!       - {at: 3m, resolved: hot, reason: recovered, starts_at: 0s, summary: "it is 22 °C"}
//!     pending: []                  # what stands at the end: rules, or {rule: hot, labels: {…}}
//!     firing: []
//! ```
//!
//! `$t` is the time in seconds, `$t_ms` in milliseconds, `$t_iso` in RFC 3339. Steps are taken in the
//! order of their times. Timers run out each at its own time; what is due at the very instant of a
//! message is due after it, and what is checked then is checked after both.

mod compare;
mod coverage;
mod notation;
mod open;
mod payload;
mod read;
mod run;
mod scene;
mod series;
mod update;

use std::collections::BTreeMap;
use std::time::Duration;

use crate::alert::Active;
use crate::model::time::{Downtime, Timestamp, format_span, parse_span};
use crate::model::transition::Transition;

pub use compare::{Line, Mark, Mismatch, compare, found_line, is_mended_by_update};
pub use coverage::{Exercised, Goal, goals};
pub use open::{Opened, Refusal, TEST_SUFFIX, open, test_files};
#[cfg(test)]
pub(in crate::agent) use run::admit_on;
pub use run::{Mode, admit, run};
pub use update::update;

/// The time that an offset such as `30s` counts from: 2026-01-01T00:00:00Z.
pub const START: Timestamp = Timestamp::from_millis(1_767_225_600_000);

/// The source that messages come from where nothing else is said.
const SOURCE: &str = "test";

/// A test file.
#[derive(Clone, Debug)]
pub struct Suite {
    /// The rules that its cases are about.
    pub rules: Rules,
    /// The cases, in order.
    pub cases: Vec<Case>,
}

/// Where the rules of a test file stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rules {
    /// In a file: its path as seen from the test file's folder.
    File(String),
    /// In the test file itself: the text of a rule file.
    Text(String),
}

/// One case: what happens, and what must come of it.
#[derive(Clone, Debug)]
pub struct Case {
    /// What it shows.
    pub name: String,
    /// The line on which it begins, counted from 1.
    pub line: usize,
    /// What happens, in the order of time, but for the readings of its series.
    pub events: Vec<Event>,
    /// Readings in short.
    pub series: Vec<Series>,
    /// What must stand at which time, in the order of time.
    pub checks: Vec<Check>,
    /// The transitions, all of them and in order.
    pub expect: Vec<Expected>,
    /// Whether transitions are looked at: not where the case has checks and says nothing of them.
    pub is_exact: bool,
    /// What must stand at the end.
    pub end: Scene,
}

/// Readings of one or several devices, one after the other.
#[derive(Clone, Debug)]
pub struct Series {
    /// The line on which it begins.
    pub line: usize,
    /// The topics; each gets all readings.
    pub topics: Vec<String>,
    /// The source they come from; `None` takes that of the stream.
    pub source: Option<String>,
    /// Whether the broker had kept them.
    pub retained: bool,
    /// The time of the first.
    pub at: Timestamp,
    /// The time between two.
    pub every: Duration,
    /// How long after its time each arrives.
    pub delay: Duration,
    /// The payloads, without their times; nothing where none comes.
    pub readings: Vec<Option<serde_json::Value>>,
}

/// One thing that happens.
#[derive(Clone, Debug)]
pub struct Event {
    /// When, by both clocks.
    pub at: Timestamp,
    /// What.
    pub action: Action,
}

/// What happens.
#[derive(Clone, Debug)]
pub enum Action {
    /// A message arrives.
    Message {
        /// The source it comes from.
        source: String,
        /// Its topic.
        topic: String,
        /// Its bytes.
        payload: String,
        /// Whether the broker had kept it.
        retained: bool,
    },
    /// Time passes.
    Tick,
    /// The case goes on to here, after all else that happens then.
    End,
    /// The rule set is replaced by this text.
    Swap(String),
    /// The rule set is taken away.
    Remove,
    /// The agent goes down, and comes up again after a while. What arrives meanwhile is lost.
    Restart {
        /// How long it is down.
        down: Duration,
        /// Whether that counts for what waits.
        downtime: Downtime,
    },
    /// A source is lost or comes back; without a name, every one that the rules read.
    Connected(Option<String>, bool),
    /// The agent is configured with these sources from here on.
    Sources(Vec<String>),
    /// The node's calendar clock is set, to what it would show had it always been ahead by so many
    /// microseconds (behind, where negative).
    Clock(i64),
    /// Somebody resolves this alert by hand.
    Resolve(Standing),
    /// Somebody looks which alerts stand: the check at this place.
    Check(usize),
}

/// What must stand at a time.
#[derive(Clone, Debug)]
pub struct Check {
    /// The line on which it stands.
    pub line: usize,
    /// When: after all else that happens then.
    pub at: Timestamp,
    /// What.
    pub scene: Scene,
}

/// What must stand. Where a list is given, of `pending`, `firing` and `keeping` it names all there are.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scene {
    /// Alerts that wait for `for`.
    pub pending: Option<Vec<Standing>>,
    /// Alerts that are up, those held up by `keep_firing_for` among them.
    pub firing: Option<Vec<Standing>>,
    /// Alerts that cleared and are held up.
    pub keeping: Option<Vec<Standing>>,
    /// Alerts that were resolved by then, and are quiet.
    pub resolved: Vec<Standing>,
    /// Alerts of which there are none: neither pending nor up.
    pub quiet: Vec<Standing>,
}

/// A transition that must come. Only what is given is looked at; of labels, values and annotations
/// only those that are named.
#[derive(Clone, Debug, PartialEq)]
pub struct Expected {
    /// The line on which it begins.
    pub line: usize,
    /// Its stream time.
    pub at: Option<Timestamp>,
    /// `firing`, `resolved` or `occurred`.
    pub state: &'static str,
    /// Its rule.
    pub rule: String,
    /// Why it resolved.
    pub reason: Option<String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Values of the row that decided it.
    pub values: BTreeMap<String, serde_json::Value>,
    /// Its severity.
    pub severity: Option<String>,
    /// Annotations.
    pub annotations: BTreeMap<String, String>,
    /// Stream time at which the condition began to hold.
    pub starts_at: Option<Timestamp>,
}

/// An alert that must stand, or must not. Only what is given is looked at.
#[derive(Clone, Debug, PartialEq)]
pub struct Standing {
    /// The line on which it is named.
    pub line: usize,
    /// Its rule.
    pub rule: String,
    /// Labels that it must have.
    pub labels: BTreeMap<String, String>,
    /// Values of the row that it was seen with last.
    pub values: BTreeMap<String, serde_json::Value>,
    /// Its severity.
    pub severity: Option<String>,
    /// Since when its condition holds.
    pub since: Option<Timestamp>,
    /// Why it was resolved.
    pub reason: Option<String>,
}

/// What came of a case.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// The transitions, in order.
    pub transitions: Vec<Transition>,
    /// What stood at each check.
    pub checks: Vec<Moment>,
    /// What stands at the end.
    pub end: Moment,
    /// What became of the alerts of each rule on the way.
    pub exercised: Exercised,
    /// What went unheard: messages that no stream reads, payloads that were refused. For people who
    /// wonder why nothing came.
    pub unheard: Vec<String>,
}

/// What stands at a moment.
#[derive(Clone, Debug, Default)]
pub struct Moment {
    /// Every alert that is pending or up.
    pub active: Vec<Active>,
    /// How many transitions were made by then.
    pub told: usize,
}

/// Reads a time as cases write it: an offset from [`START`] or RFC 3339.
fn parse_time(text: &str) -> Result<Timestamp, String> {
    if let Ok(offset) = parse_span(text) {
        return Ok(START.plus(offset));
    }
    Timestamp::parse(text)
        .ok_or_else(|| format!("`{text}` is no time; write an offset as in `90s` or `1h30m`, or RFC 3339"))
}

/// Writes a time as [`parse_time`] reads it, as an offset where that is exact and short.
pub fn format_time(at: Timestamp) -> String {
    let offset = at.since(START);
    let whole = offset.subsec_nanos().is_multiple_of(1_000_000);
    if at >= START && whole && offset < Duration::from_secs(366 * 86_400) {
        format_span(offset)
    } else {
        at.to_string()
    }
}

#[cfg(test)]
mod tests;
