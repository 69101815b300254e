//! Writes what came into the place of what was expected, and leaves the rest of the file as it is,
//! comments and all: the text is edited by lines, not written anew from its tree.

use std::collections::BTreeSet;

use serde_json::Value as Json;

use crate::model::transition::Transition;
use crate::model::value::Value;

use super::compare::{OWN_LABELS, Pair, align};
use super::{Case, Expected, Outcome, format_time};

/// The file's text with the `expect` of these cases as their outcomes are.
///
/// # Errors
/// A case that is not written in YAML's block style.
pub fn update(text: &str, outcomes: &[(&Case, &Outcome)]) -> Result<String, String> {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let mut ordered: Vec<&(&Case, &Outcome)> = outcomes.iter().collect();
    // From the end, so that the places of those before stay right.
    ordered.sort_by_key(|(case, _)| std::cmp::Reverse(case.line));
    for (case, outcome) in ordered {
        replace(&mut lines, case, outcome)?;
    }
    Ok(lines.join("\n") + "\n")
}

fn replace(lines: &mut Vec<String>, case: &Case, outcome: &Outcome) -> Result<(), String> {
    let first = case.line.saturating_sub(1);
    let head = lines.get(first).map_or("", String::as_str);
    // `  - name: …`: the members stand where the first one does, behind the dash.
    let dash = indent(head);
    let after = head.trim_start().strip_prefix('-').filter(|rest| !rest.trim_start().starts_with('{'));
    let Some(after) = after else {
        return Err(format!(
            "line {}: write the case `{}` in block style to have it updated",
            case.line, case.name
        ));
    };
    let members = dash + 1 + (after.len() - after.trim_start().len());
    let end = (first + 1..lines.len())
        .find(|i| is_text(&lines[*i]) && indent(&lines[*i]) < members)
        .unwrap_or(lines.len());
    let is_expect =
        |i: &usize| indent(&lines[*i]) == members && lines[*i].trim_start().starts_with("expect:");
    let (from, to) = match (first + 1..end).find(is_expect) {
        Some(from) => {
            let inside = |line: &String| {
                !is_text(line)
                    || indent(line) > members
                    || (indent(line) == members && line.trim_start().starts_with("- "))
            };
            let to = (from + 1..end).find(|i| !inside(&lines[*i])).unwrap_or(end);
            (from, last_text(lines, from, to))
        }
        None => {
            let at = last_text(lines, first, end);
            (at, at)
        }
    };
    let text = mended(lines, (from, to), case, outcome).unwrap_or_else(|| written(case, outcome, members));
    lines.splice(from..to, text);
    Ok(())
}

/// The block of expectations from line to line with what differs written anew, and the rest as its
/// author wrote it. `None` where they do not stand on lines of their own.
fn mended(
    lines: &[String],
    (from, to): (usize, usize),
    case: &Case,
    outcome: &Outcome,
) -> Option<Vec<String>> {
    let starts: Vec<usize> = case.expect.iter().map(|expected| expected.line.saturating_sub(1)).collect();
    let own_lines = starts.first().is_some_and(|first| *first > from) && starts.is_sorted_by(|a, b| a < b);
    let dashed =
        starts.iter().all(|at| lines.get(*at).is_some_and(|line| line.trim_start().starts_with("- ")));
    if !own_lines || !dashed || starts.last().is_none_or(|last| *last >= to) || outcome.transitions.is_empty()
    {
        return None;
    }
    let pad = " ".repeat(indent(lines.get(*starts.first()?)?));
    let details = Details::of(&case.expect);
    let ends = starts.iter().skip(1).copied().chain([to]);
    // Of each item its own lines, and the remarks that stand between it and the next.
    let mut items = starts.iter().copied().zip(ends).map(|(at, end)| (at, last_text(lines, at, end), end));
    let mut text = lines.get(from..*starts.first()?)?.to_vec();
    for pair in align(&case.expect, &outcome.transitions) {
        let fresh = |t: &Transition| format!("{pad}- {{{}}}", details.line(t));
        let item = match pair {
            Pair::Extra(found) => {
                text.push(fresh(found));
                continue;
            }
            Pair::Both(..) | Pair::Missing(_) => items.next()?,
        };
        let (at, behind, end) = item;
        match pair {
            Pair::Both(_, found) if !pair.agrees() => text.push(fresh(found)),
            Pair::Both(..) => text.extend_from_slice(lines.get(at..behind)?),
            Pair::Missing(_) | Pair::Extra(_) => {}
        }
        text.extend_from_slice(lines.get(behind..end)?);
    }
    Some(text)
}

fn indent(line: &str) -> usize {
    line.len() - line.trim_start_matches(' ').len()
}

/// Whether the line is neither blank nor a comment.
fn is_text(line: &str) -> bool {
    let line = line.trim_start();
    !line.is_empty() && !line.starts_with('#')
}

/// Behind the last line with text in this range, which begins with one.
fn last_text(lines: &[String], from: usize, to: usize) -> usize {
    (from..to).rev().find(|i| is_text(&lines[*i])).map_or(from, |i| i + 1)
}

fn written(case: &Case, outcome: &Outcome, members: usize) -> Vec<String> {
    let pad = " ".repeat(members);
    if outcome.transitions.is_empty() {
        return vec![format!("{pad}expect: []")];
    }
    let details = Details::of(&case.expect);
    let mut lines = vec![format!("{pad}expect:")];
    lines.extend(outcome.transitions.iter().map(|t| format!("{pad}  - {{{}}}", details.line(t))));
    lines
}

/// Which details of its transitions a case looks at.
struct Details {
    starts_at: bool,
    severity: bool,
    /// `None`: all.
    labels: Option<BTreeSet<String>>,
    values: Option<BTreeSet<String>>,
    annotations: BTreeSet<String>,
}

impl Details {
    fn of(expected: &[Expected]) -> Self {
        let of = |names: fn(&Expected) -> Vec<String>| -> BTreeSet<String> {
            expected.iter().flat_map(names).collect()
        };
        let fresh = expected.is_empty();
        Self {
            starts_at: expected.iter().any(|e| e.starts_at.is_some()),
            severity: expected.iter().any(|e| e.severity.is_some()),
            labels: (!fresh).then(|| of(|e| e.labels.keys().cloned().collect())),
            values: (!fresh).then(|| of(|e| e.values.keys().cloned().collect())),
            annotations: of(|e| e.annotations.keys().cloned().collect()),
        }
    }

    fn line(&self, t: &Transition) -> String {
        let mut parts =
            vec![format!("at: {}", format_time(t.occurred_at)), format!("{}: {}", t.state.name(), t.rule)];
        if self.starts_at {
            parts.push(format!("starts_at: {}", format_time(t.starts_at)));
        }
        if !t.state.reason().is_empty() {
            parts.push(format!("reason: {}", t.state.reason()));
        }
        let wanted = |names: &Option<BTreeSet<String>>, name: &str| {
            names.as_ref().is_none_or(|names| names.contains(name))
        };
        let labels: Vec<String> = t
            .labels
            .iter()
            .filter(|(name, _)| wanted(&self.labels, name) && !OWN_LABELS.contains(&&***name))
            .map(|(name, value)| format!("{name}: {}", text(value)))
            .collect();
        if !labels.is_empty() {
            parts.push(format!("labels: {{{}}}", labels.join(", ")));
        }
        let is_key = |name: &str| self.values.is_none() && t.labels.contains_key(name);
        let values: Vec<String> = t
            .values
            .iter()
            .filter(|(name, _)| wanted(&self.values, name) && !is_key(name))
            .map(|(name, value)| format!("{name}: {}", self::value(value)))
            .collect();
        if !values.is_empty() {
            parts.push(format!("values: {{{}}}", values.join(", ")));
        }
        if self.severity {
            parts.push(format!("severity: {}", text(&t.severity)));
        }
        let annotation =
            |name: &String| t.annotations.get(name.as_str()).map(|said| (name.clone(), quoted(said)));
        let mut annotations: Vec<(String, String)> = self.annotations.iter().filter_map(annotation).collect();
        if let Some(place) = annotations.iter().position(|(name, _)| name == "summary") {
            parts.push(format!("summary: {}", annotations.remove(place).1));
        }
        if !annotations.is_empty() {
            let all: Vec<String> = annotations.iter().map(|(name, said)| format!("{name}: {said}")).collect();
            parts.push(format!("annotations: {{{}}}", all.join(", ")));
        }
        parts.join(", ")
    }
}

fn value(value: &Value) -> String {
    match value.to_json() {
        Json::String(text) => self::text(&text),
        other => other.to_string(),
    }
}

/// Bare where YAML reads it back as this text in every place, else in quotes.
fn text(text: &str) -> String {
    let plain = text.chars().next().is_some_and(|c| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '/'))
        && !["true", "false", "null", "yes", "no", "on", "off", "y", "n"]
            .contains(&text.to_ascii_lowercase().as_str());
    if plain { text.to_owned() } else { quoted(text) }
}

/// In double quotes: JSON's escapes are YAML's.
fn quoted(text: &str) -> String {
    Json::from(text).to_string()
}
