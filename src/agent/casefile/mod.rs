//! Test cases of rules, as people write them by hand: readings with their times, and the alerts
//! that must come of them. The format of `*.test.yaml`.
//!
//! A case drives a [`Core`](super::core::Core) of its own, with the times of its steps in the place
//! of both clocks. All but `open` is pure: text in, outcome out, so that `weir test`, the project's
//! own cases and whoever else wants to judge rules use the same code.
//!
//! ```yaml
//! rules: environment.yaml          # beside the test file; or the rules themselves: `ruleset:`
//! cases:
//!   - name: a hot room fires after two minutes and recovers
//!     steps:                       # `at` is an offset from 2026-01-01T00:00:00Z, or RFC 3339
//!       - {at: 0s, every: 30s, repeat: 6, topic: env/lab, payload: {temp: 31.0, ts: $t}}
//!       - {at: 3m, every: 30s, topic: env/lab, payloads: [{temp: 22.0, ts: $t}, {temp: 21.0, ts: $t}]}
//!       - {at: 4m, event: 1m, topic: env/lab, payload: {temp: 99.0, ts: $t}}   # `$t` is `event`
//!       - {at: 5m, topic: env/lab, text: "not json", retained: true, source: b1}
//!       - {at: 10m, tick: true}    # or `restart: true`, `connected: false`, `remove: true`, `swap: |`
//!     expect:                      # all transitions, in order; what is not given is not looked at
//!       - {at: 2m, firing: hot, labels: {device: lab}, values: {t: 31.0}, severity: warning}
//!       - {at: 3m, resolved: hot, reason: recovered, starts_at: 0s, summary: "it is 22 °C"}
//!     pending: []                  # what stands at the end: rules, or {rule: hot, labels: {…}}
//!     firing: []
//! ```
//!
//! `$t` is the time in seconds, `$t_ms` in milliseconds, `$t_iso` in RFC 3339. Steps are taken in the
//! order of their times. Timers run out each at its own time; what is due at the very instant of a
//! message is due after it.

mod compare;
mod open;
mod payload;
mod read;
mod run;
mod update;

use std::collections::BTreeMap;
use std::time::Duration;

use crate::alert::Active;
use crate::model::time::{Timestamp, format_span, parse_span};
use crate::model::transition::Transition;

pub use compare::{Mismatch, compare, found_line};
pub use open::{Opened, Refusal, TEST_SUFFIX, open, test_files};
#[cfg(test)]
pub(in crate::agent) use run::admit_on;
pub use run::{Mode, admit, run};
pub use update::update;

/// The time that an offset such as `30s` counts from: 2026-01-01T00:00:00Z.
pub const START: Timestamp = Timestamp::from_millis(1_767_225_600_000);

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
    /// What happens, in the order of time.
    pub events: Vec<Event>,
    /// The transitions, all of them and in order.
    pub expect: Vec<Expected>,
    /// The alerts that are pending at the end, where the case says.
    pub pending: Option<Vec<Standing>>,
    /// The alerts that are up at the end, where the case says.
    pub firing: Option<Vec<Standing>>,
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
    /// The rule set is replaced by this text.
    Swap(String),
    /// The rule set is taken away.
    Remove,
    /// The agent goes down and comes up again.
    Restart,
    /// Sources are lost or come back.
    Connected(bool),
}

/// A transition that must come. Only what is given is looked at; of labels, values and annotations
/// only those that are named.
#[derive(Clone, Debug, PartialEq)]
pub struct Expected {
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

/// An alert that must stand at the end of a case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Its rule.
    pub rule: String,
    /// Labels that it must have.
    pub labels: BTreeMap<String, String>,
}

/// What came of a case.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// The transitions, in order.
    pub transitions: Vec<Transition>,
    /// The alerts that are pending at the end.
    pub pending: Vec<Active>,
    /// The alerts that are up at the end.
    pub firing: Vec<Active>,
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
