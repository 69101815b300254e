//! What was expected beside what came, told so that a person sees at once what differs.

use std::fmt;

use serde_json::Value as Json;

use crate::alert::Active;
use crate::model::transition::Transition;
use crate::model::value::Value;

use super::{Case, Expected, Outcome, Standing, format_time};

/// The labels that every alert of a case has.
pub(super) const OWN_LABELS: [&str; 3] = ["agent", "alertname", "ruleset"];

/// How far from a case its outcome is, line by line. Empty where it is as expected.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mismatch {
    lines: Vec<String>,
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
        f.write_str(&self.lines.join("\n"))
    }
}

/// Compares what came with what the case expects.
pub fn compare(case: &Case, outcome: &Outcome) -> Mismatch {
    let mut lines = Vec::new();
    let pairs = align(&case.expect, &outcome.transitions);
    let wrong = pairs
        .iter()
        .any(|pair| !matches!(pair, Pair::Both(e, t) if differences(e, t).is_empty()));
    if wrong {
        for pair in pairs {
            pair.tell(&mut lines);
        }
    }
    if let Some(expected) = &case.pending {
        standing("pending", expected, &outcome.pending, &mut lines);
    }
    if let Some(expected) = &case.firing {
        standing("firing", expected, &outcome.firing, &mut lines);
    }
    Mismatch { lines }
}

enum Pair<'a> {
    Both(&'a Expected, &'a Transition),
    Missing(&'a Expected),
    Extra(&'a Transition),
}

impl Pair<'_> {
    fn tell(&self, lines: &mut Vec<String>) {
        match self {
            Self::Both(expected, found) => {
                let differences = differences(expected, found);
                if differences.is_empty() {
                    lines.push(format!("    {}", found_line(found)));
                    return;
                }
                lines.push(format!("  - {}", expected_line(expected)));
                lines.push(format!("  + {}", found_line(found)));
                lines.extend(differences.iter().map(|one| format!("      {one}")));
            }
            Self::Missing(expected) => {
                lines.push(format!("  - {}   <- did not come", expected_line(expected)))
            }
            Self::Extra(found) => {
                lines.push(format!("  + {}   <- not expected", found_line(found)))
            }
        }
    }
}

/// Puts expected and found side by side, so that as few as possible stand alone or differ.
fn align<'a>(expected: &'a [Expected], found: &'a [Transition]) -> Vec<Pair<'a>> {
    // cost[i][j]: of aligning what follows expected[i..] and found[j..].
    let (n, m) = (expected.len(), found.len());
    let pair_cost = |i: usize, j: usize| match (&expected[i], &found[j]) {
        (e, t) if differences(e, t).is_empty() => 0,
        (e, t) if e.rule == *t.rule && e.state == t.state.name() => 2,
        // Two strangers are told better apart: one missing, one too many.
        _ => 7,
    };
    let mut cost = vec![vec![0_usize; m + 1]; n + 1];
    for i in (0..=n).rev() {
        for j in (0..=m).rev() {
            cost[i][j] = match (i < n, j < m) {
                (false, false) => 0,
                (true, false) => cost[i + 1][j] + 3,
                (false, true) => cost[i][j + 1] + 3,
                (true, true) => (cost[i + 1][j + 1] + pair_cost(i, j))
                    .min(cost[i + 1][j] + 3)
                    .min(cost[i][j + 1] + 3),
            };
        }
    }
    let (mut i, mut j) = (0, 0);
    let mut pairs = Vec::with_capacity(n.max(m));
    while i < n || j < m {
        if i < n && j < m && cost[i][j] == cost[i + 1][j + 1] + pair_cost(i, j) {
            pairs.push(Pair::Both(&expected[i], &found[j]));
            (i, j) = (i + 1, j + 1);
        } else if i < n && cost[i][j] == cost[i + 1][j] + 3 {
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
        check(
            &format!("label {name}"),
            value,
            found.labels.get(name.as_str()).map_or("nothing", |v| v),
        );
    }
    for (name, text) in &expected.annotations {
        check(
            name,
            text,
            found
                .annotations
                .get(name.as_str())
                .map_or("nothing", |v| v),
        );
    }
    for (name, value) in &expected.values {
        match found
            .values
            .iter()
            .find(|(column, _)| **column == *name.as_str())
        {
            None => all.push(format!("value {name}: the rule has no such column")),
            Some((_, got)) if is(value, got) => {}
            Some((_, got)) => all.push(format!(
                "value {name}: expected {value}, found {}",
                got.to_json()
            )),
        }
    }
    all
}

/// Whether the value is the expected one; floats but for the last digits, which the order of
/// additions decides.
fn is(expected: &Json, found: &Value) -> bool {
    if let (Some(a), Some(b)) = (expected.as_f64(), found.as_f64()) {
        return (a - b).abs() <= 1e-9 * a.abs().max(b.abs());
    }
    *expected == found.to_json()
}

fn standing(what: &str, expected: &[Standing], found: &[Active], lines: &mut Vec<String>) {
    let mut left: Vec<&Active> = found.iter().collect();
    for one in expected {
        let has = |alert: &&Active| {
            alert
                .labels
                .get("alertname")
                .is_some_and(|rule| **rule == *one.rule)
                && one.labels.iter().all(|(k, v)| {
                    alert
                        .labels
                        .get(k.as_str())
                        .is_some_and(|found| **found == **v)
                })
        };
        match left.iter().position(has) {
            Some(place) => drop(left.remove(place)),
            None => {
                let labels: Vec<String> = one
                    .labels
                    .iter()
                    .map(|(k, v)| format!(" {k}={v}"))
                    .collect();
                lines.push(format!(
                    "  - {what} at the end: {}{}   <- is not",
                    one.rule,
                    labels.concat()
                ));
            }
        }
    }
    for alert in left {
        let rule = alert.labels.get("alertname").map_or("", |rule| rule);
        let labels = own_labels(alert.labels.iter().map(|(k, v)| (&**k, &**v)));
        lines.push(format!(
            "  + {what} at the end: {rule}{labels}   <- not expected"
        ));
    }
}

fn own_labels<'a>(labels: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    labels
        .filter(|(name, _)| !OWN_LABELS.contains(name))
        .map(|(k, v)| format!(" {k}={v}"))
        .collect()
}

fn expected_line(e: &Expected) -> String {
    let mut line = e.at.map(format_time).unwrap_or_default();
    line.push_str(&format!(" {} {}", e.state, e.rule));
    line.push_str(&own_labels(
        e.labels.iter().map(|(k, v)| (k.as_str(), v.as_str())),
    ));
    e.values
        .iter()
        .for_each(|(k, v)| line.push_str(&format!(" {k}={v}")));
    if let Some(reason) = &e.reason {
        line.push_str(&format!(" ({reason})"));
    }
    line.trim_start().to_owned()
}

/// A transition in the manner of a case.
pub fn found_line(t: &Transition) -> String {
    let mut line = format!(
        "{} {} {}",
        format_time(t.occurred_at),
        t.state.name(),
        t.rule
    );
    line.push_str(&own_labels(t.labels.iter().map(|(k, v)| (&**k, &**v))));
    let key = |name: &str| t.labels.contains_key(name);
    for (name, value) in t.values.iter().filter(|(name, _)| !key(name)) {
        line.push_str(&format!(" {name}={}", value.to_json()));
    }
    if !t.state.reason().is_empty() {
        line.push_str(&format!(" ({})", t.state.reason()));
    }
    line
}
