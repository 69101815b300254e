//! What was expected beside what came, told so that a person sees at once what differs.

use std::fmt;

use serde_json::Value as Json;

use crate::model::label::Labels;
use crate::model::transition::Transition;
use crate::model::value::Value;

use super::{Case, Expected, Outcome, format_time, scene};

/// The labels that every alert of a case has.
pub(super) const OWN_LABELS: [&str; 3] = ["agent", "alertname", "ruleset"];

/// How far from a case its outcome is, line by line. Empty where it is as expected.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mismatch {
    /// What to show, in order.
    pub lines: Vec<Line>,
}

/// One line of a comparison.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// What it is about.
    pub mark: Mark,
    /// What stands there, or came.
    pub text: String,
    /// What is wrong with it.
    pub note: String,
    /// The line of the test file that expects it.
    pub line: Option<usize>,
}

/// What a line is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// Which moment the lines below are about.
    Heading,
    /// It came as expected.
    Same,
    /// It was expected and did not come.
    Missing,
    /// It came and was not expected.
    Extra,
    /// It came, but differs.
    Differs,
    /// In what it differs.
    Detail,
    /// What may explain it.
    Hint,
}

impl Mark {
    /// What the line begins with.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Heading => "  ",
            Self::Same => "    ",
            Self::Missing => "  - ",
            Self::Extra => "  + ",
            Self::Differs => "  ~ ",
            Self::Detail => "        ",
            Self::Hint => "  note: ",
        }
    }
}

impl Line {
    pub(super) fn new(mark: Mark, text: String) -> Self {
        Self { mark, text, note: String::new(), line: None }
    }

    pub(super) fn missing(text: String, note: &str) -> Self {
        Self { note: note.to_owned(), ..Self::new(Mark::Missing, text) }
    }

    pub(super) fn extra(text: String, note: &str) -> Self {
        Self { note: note.to_owned(), ..Self::new(Mark::Extra, text) }
    }

    pub(super) fn at(self, line: usize) -> Self {
        Self { line: Some(line), ..self }
    }
}

/// The line, with what is wrong and where that is expected.
impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.mark.text(), self.text)?;
        if !self.note.is_empty() {
            write!(f, "   <- {}", self.note)?;
        }
        match self.line {
            Some(line) => write!(f, " (line {line})"),
            None => Ok(()),
        }
    }
}

impl Mismatch {
    /// Whether all is as expected.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }
}

/// One line for each finding, without a line's end after the last.
impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<String> = self.lines.iter().map(ToString::to_string).collect();
        f.write_str(&lines.join("\n"))
    }
}

/// Compares what came with what the case expects.
pub fn compare(case: &Case, outcome: &Outcome) -> Mismatch {
    let mut lines = transitions(case, outcome);
    lines.extend(standing(case, outcome));
    if !lines.is_empty() {
        lines.extend(outcome.unheard.iter().map(|text| Line::new(Mark::Hint, text.clone())));
    }
    Mismatch { lines }
}

/// Whether the case is right once its `expect` is what came: what must stand at a time is left to its author.
pub fn is_mended_by_update(case: &Case, outcome: &Outcome) -> bool {
    standing(case, outcome).is_empty()
}

fn standing(case: &Case, outcome: &Outcome) -> Vec<Line> {
    let mut lines = Vec::new();
    for (check, moment) in case.checks.iter().zip(&outcome.checks) {
        under(
            format!("at {}", format_time(check.at)),
            scene::compare(&check.scene, moment, outcome),
            &mut lines,
        );
    }
    under("at the end".to_owned(), scene::compare(&case.end, &outcome.end, outcome), &mut lines);
    lines
}

/// How far the transitions are from those expected.
fn transitions(case: &Case, outcome: &Outcome) -> Vec<Line> {
    let pairs = align(&case.expect, &outcome.transitions);
    if !case.is_exact || pairs.iter().all(Pair::agrees) {
        return Vec::new();
    }
    let mut lines = Vec::new();
    pairs.iter().for_each(|pair| pair.tell(outcome, &mut lines));
    shortened(lines)
}

/// So many transitions that came as expected are shown before and after one that did not.
const AROUND: usize = 3;

/// Leaves out what came as expected, far from what did not.
fn shortened(lines: Vec<Line>) -> Vec<Line> {
    let mut short = Vec::new();
    let runs = lines.chunk_by(|a, b| (a.mark == Mark::Same) == (b.mark == Mark::Same));
    for run in runs {
        let left_out = run.len().saturating_sub(2 * AROUND);
        match run {
            [Line { mark: Mark::Same, .. }, ..] if left_out > 1 => {
                short.extend_from_slice(&run[..AROUND]);
                short.push(Line::new(Mark::Same, format!("… {left_out} more, as expected")));
                short.extend_from_slice(&run[run.len() - AROUND..]);
            }
            _ => short.extend_from_slice(run),
        }
    }
    short
}

fn under(heading: String, found: Vec<Line>, lines: &mut Vec<Line>) {
    if !found.is_empty() {
        lines.push(Line::new(Mark::Heading, format!("{heading}:")));
        lines.extend(found);
    }
}

/// An expected transition and one that came, as far as they belong together.
#[derive(Clone, Copy)]
pub(super) enum Pair<'a> {
    Both(&'a Expected, &'a Transition),
    Missing(&'a Expected),
    Extra(&'a Transition),
}

impl Pair<'_> {
    /// Whether it is as expected.
    pub(super) fn agrees(&self) -> bool {
        matches!(self, Self::Both(expected, found) if differences(expected, found).is_empty())
    }

    fn tell(&self, outcome: &Outcome, lines: &mut Vec<Line>) {
        match self {
            Self::Both(_, found) if self.agrees() => lines.push(Line::new(Mark::Same, found_line(found))),
            Self::Both(expected, found) => {
                let all = differences(expected, found);
                lines.push(Line::new(Mark::Differs, found_line(found)).at(expected.line));
                lines.extend(all.into_iter().map(|text| Line::new(Mark::Detail, text)));
            }
            Self::Missing(expected) => {
                let why = pending_still(expected, outcome).unwrap_or_else(|| "did not come".to_owned());
                lines.push(Line::missing(expected_line(expected), &why).at(expected.line));
            }
            Self::Extra(found) => lines.push(Line::extra(found_line(found), "not expected")),
        }
    }
}

/// What is known of an alert that should have fired, and waits at the end of the case.
fn pending_still(expected: &Expected, outcome: &Outcome) -> Option<String> {
    let mut waiting = outcome.end.active.iter().filter(|alert| alert.phase == "pending");
    let is_meant = |alert: &&crate::alert::Active| {
        alert.labels.get("alertname").is_some_and(|rule| **rule == *expected.rule)
            && expected.labels.iter().all(|(k, v)| alert.labels.get(k.as_str()).is_some_and(|l| **l == **v))
    };
    let alert = waiting.find(is_meant).filter(|_| expected.state == "firing")?;
    Some(format!("did not come: pending since {}, when the case ends", format_time(alert.since)))
}

/// Up to so many possible pairs, the best are looked for.
const MAX_PAIRS: usize = 1_000_000;

/// Puts expected and found side by side, so that as few as possible stand alone or differ. What agrees from
/// the beginning and from the end on needs no search.
pub(super) fn align<'a>(expected: &'a [Expected], found: &'a [Transition]) -> Vec<Pair<'a>> {
    let agree = |(e, t): &(&'a Expected, &'a Transition)| differences(e, t).is_empty();
    let head = expected.iter().zip(found).take_while(agree).count();
    let (rest, came) = (&expected[head..], &found[head..]);
    let tail = rest.iter().rev().zip(came.iter().rev()).take_while(agree).count();
    let (rest, came) = (&rest[..rest.len() - tail], &came[..came.len() - tail]);
    let both = |e: &'a [Expected], t: &'a [Transition]| e.iter().zip(t).map(|(e, t)| Pair::Both(e, t));
    let mut pairs: Vec<Pair<'a>> = both(&expected[..head], found).collect();
    if rest.len() * came.len() <= MAX_PAIRS {
        pairs.extend(search(rest, came));
    } else {
        pairs.extend(both(rest, came));
        pairs.extend(rest.iter().skip(came.len()).map(Pair::Missing));
        pairs.extend(came.iter().skip(rest.len()).map(Pair::Extra));
    }
    pairs.extend(both(&expected[expected.len() - tail..], &found[found.len() - tail..]));
    pairs
}

fn search<'a>(expected: &'a [Expected], found: &'a [Transition]) -> Vec<Pair<'a>> {
    // cost[i][j]: of aligning what follows expected[i..] and found[j..].
    let (n, m) = (expected.len(), found.len());
    let pair_cost = |i: usize, j: usize| match (&expected[i], &found[j]) {
        // Two strangers are told better apart: one missing, one too many.
        (e, t) if e.rule != *t.rule || e.state != t.state.name() => 7,
        (e, t) if differences(e, t).is_empty() => 0,
        _ => 2,
    };
    let mut cost = vec![vec![0_usize; m + 1]; n + 1];
    for i in (0..=n).rev() {
        for j in (0..=m).rev() {
            cost[i][j] = match (i < n, j < m) {
                (false, false) => 0,
                (true, false) => cost[i + 1][j] + 3,
                (false, true) => cost[i][j + 1] + 3,
                (true, true) => {
                    (cost[i + 1][j + 1] + pair_cost(i, j)).min(cost[i + 1][j] + 3).min(cost[i][j + 1] + 3)
                }
            };
        }
    }
    // Of two that stand alone, the earlier one is told first.
    let comes_first = |i: usize, j: usize| {
        let earlier = found.get(j).is_some_and(|t| expected[i].at.is_some_and(|at| t.occurred_at < at));
        earlier && cost[i][j] == cost[i][j + 1] + 3
    };
    let (mut i, mut j) = (0, 0);
    let mut pairs = Vec::with_capacity(n.max(m));
    while i < n || j < m {
        if i < n && j < m && cost[i][j] == cost[i + 1][j + 1] + pair_cost(i, j) {
            pairs.push(Pair::Both(&expected[i], &found[j]));
            (i, j) = (i + 1, j + 1);
        } else if i < n && cost[i][j] == cost[i + 1][j] + 3 && !comes_first(i, j) {
            pairs.push(Pair::Missing(&expected[i]));
            i += 1;
        } else {
            pairs.push(Pair::Extra(&found[j]));
            j += 1;
        }
    }
    pairs
}

/// What of `found` is not as expected.
fn differences(expected: &Expected, found: &Transition) -> Vec<String> {
    let mut all = Vec::new();
    let mut check = |what: &str, expected: &str, found: &str| {
        if expected != found {
            all.push(format!("{what}: expected {expected}, found {found}"));
        }
    };
    check("state", expected.state, found.state.name());
    check("rule", &expected.rule, &found.rule);
    if let Some(at) = expected.at {
        check("at", &format_time(at), &format_time(found.occurred_at));
    }
    if let Some(at) = expected.starts_at {
        check("starts_at", &format_time(at), &format_time(found.starts_at));
    }
    if let Some(reason) = &expected.reason {
        check("reason", reason, found.state.reason());
    }
    if let Some(severity) = &expected.severity {
        check("severity", severity, &found.severity);
    }
    for (name, value) in &expected.labels {
        check(&format!("label {name}"), value, found.labels.get(name.as_str()).map_or("nothing", |v| v));
    }
    for (name, text) in &expected.annotations {
        check(name, text, found.annotations.get(name.as_str()).map_or("nothing", |v| v));
    }
    for (name, value) in &expected.values {
        match found.values.iter().find(|(column, _)| **column == *name.as_str()) {
            None => all.push(format!("value {name}: the rule has no such column")),
            Some((_, got)) if is(value, got) => {}
            Some((_, got)) => all.push(format!("value {name}: expected {value}, found {}", got.to_json())),
        }
    }
    all
}

/// Whether the value is the expected one; floats but for the last digits, which the order of
/// additions decides.
pub(super) fn is(expected: &Json, found: &Value) -> bool {
    if let (Some(a), Some(b)) = (expected.as_f64(), found.as_f64()) {
        return (a - b).abs() <= 1e-9 * a.abs().max(b.abs());
    }
    *expected == found.to_json()
}

/// The labels that tell the alerts of a rule apart.
pub(super) fn labels_text<'a>(labels: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    labels.filter(|(name, _)| !OWN_LABELS.contains(name)).map(|(k, v)| format!(" {k}={v}")).collect()
}

/// The values that are no labels.
pub(super) fn values_text(values: &[(std::sync::Arc<str>, Value)], labels: &Labels) -> String {
    let shown = values.iter().filter(|(name, _)| !labels.contains_key(&**name));
    shown.map(|(name, value)| format!(" {name}={}", value.to_json())).collect()
}

fn expected_line(e: &Expected) -> String {
    let mut line = e.at.map(format_time).unwrap_or_default();
    line.push_str(&format!(" {} {}", e.state, e.rule));
    line.push_str(&labels_text(e.labels.iter().map(|(k, v)| (k.as_str(), v.as_str()))));
    e.values.iter().for_each(|(k, v)| line.push_str(&format!(" {k}={v}")));
    if let Some(reason) = &e.reason {
        line.push_str(&format!(" ({reason})"));
    }
    line.trim_start().to_owned()
}

/// A transition in the manner of a case.
pub fn found_line(t: &Transition) -> String {
    let mut line = format!("{} {} {}", format_time(t.occurred_at), t.state.name(), t.rule);
    line.push_str(&labels_text(t.labels.iter().map(|(k, v)| (&**k, &**v))));
    line.push_str(&values_text(&t.values, &t.labels));
    if !t.state.reason().is_empty() {
        line.push_str(&format!(" ({})", t.state.reason()));
    }
    line
}
