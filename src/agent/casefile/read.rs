//! The YAML of a test file. A wrong field is an error with its line, never passed over.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value as Json;
use serde_saphyr::Spanned;

use crate::model::message::NODE_SOURCE;
use crate::model::time::{Timestamp, parse_span};

use super::{Action, Case, Event, Expected, Rules, Standing, Suite, parse_time, payload};

/// A step may stand for this many messages; more is taken for a slip of the pen.
const MAX_REPEAT: u32 = 100_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SuiteText {
    rules: Option<String>,
    ruleset: Option<Json>,
    cases: Vec<Spanned<CaseText>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CaseText {
    name: String,
    #[serde(default)]
    steps: Vec<Spanned<StepText>>,
    expect: Option<Vec<Spanned<ExpectedText>>>,
    pending: Option<Vec<Json>>,
    firing: Option<Vec<Json>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StepText {
    at: Json,
    topic: Option<String>,
    source: Option<String>,
    payload: Option<Json>,
    payloads: Option<Vec<Json>>,
    text: Option<String>,
    #[serde(default)]
    retained: bool,
    event: Option<Json>,
    repeat: Option<u32>,
    every: Option<String>,
    #[serde(default)]
    tick: bool,
    #[serde(default)]
    restart: bool,
    #[serde(default)]
    remove: bool,
    swap: Option<Json>,
    connected: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ExpectedText {
    at: Option<Json>,
    firing: Option<String>,
    resolved: Option<String>,
    occurred: Option<String>,
    reason: Option<String>,
    #[serde(default)]
    labels: BTreeMap<String, Json>,
    #[serde(default)]
    values: BTreeMap<String, Json>,
    severity: Option<String>,
    summary: Option<String>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
    starts_at: Option<Json>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StandingText {
    rule: String,
    #[serde(default)]
    labels: BTreeMap<String, Json>,
}

impl Suite {
    /// Reads a test file.
    ///
    /// # Errors
    /// What is wrong with it, and on which line.
    pub fn parse(text: &str) -> Result<Self, String> {
        let options = serde_saphyr::options! { with_snippet: false };
        let found: Result<SuiteText, _> = serde_saphyr::from_str_with_options(text, options);
        let found = found.map_err(|e| e.to_string().trim_start_matches("error: ").to_owned())?;
        let rules = match (found.rules, found.ruleset) {
            (Some(path), None) => Rules::File(path),
            (None, Some(set)) => Rules::Text(rule_text(set)),
            (Some(_), Some(_)) => {
                return Err("`rules` and `ruleset` are both there; keep one".to_owned());
            }
            (None, None) => {
                return Err("the rules are missing: add `rules: pack.yaml`, or the rules themselves under `ruleset:`".to_owned());
            }
        };
        let cases: Result<Vec<Case>, String> = found.cases.into_iter().map(case).collect();
        Ok(Self {
            rules,
            cases: cases?,
        })
    }
}

/// Rules as the text of a rule file: what is written as a mapping becomes JSON, which is YAML too.
fn rule_text(set: Json) -> String {
    match set {
        Json::String(text) => text,
        other => other.to_string(),
    }
}

fn line_of<T>(spanned: &Spanned<T>) -> usize {
    usize::try_from(spanned.defined.line()).unwrap_or(usize::MAX)
}

fn case(text: Spanned<CaseText>) -> Result<Case, String> {
    let line = line_of(&text);
    let CaseText {
        name,
        steps,
        expect,
        pending,
        firing,
    } = text.value;
    let mut events = Vec::new();
    for step in steps {
        let line = line_of(&step);
        self::step(step.value, &mut events).map_err(|why| format!("line {line}: {why}"))?;
    }
    // Steps that repeat may reach beyond those written after them.
    events.sort_by_key(|event: &Event| event.at);
    let mut expected = Vec::new();
    for one in expect.unwrap_or_default() {
        let line = line_of(&one);
        expected.push(self::expected(one.value).map_err(|why| format!("line {line}: {why}"))?);
    }
    let standing = |list: Option<Vec<Json>>| -> Result<Option<Vec<Standing>>, String> {
        let one =
            |json| self::standing(json).map_err(|why| format!("case `{name}`, line {line}: {why}"));
        list.map(|list| list.into_iter().map(one).collect())
            .transpose()
    };
    let (pending, firing) = (standing(pending)?, standing(firing)?);
    Ok(Case {
        name,
        line,
        events,
        expect: expected,
        pending,
        firing,
    })
}

fn time(json: &Json) -> Result<Timestamp, String> {
    parse_time(&scalar(json))
}

/// A scalar as it reads.
fn scalar(json: &Json) -> String {
    match json {
        Json::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn step(step: StepText, events: &mut Vec<Event>) -> Result<(), String> {
    let at = time(&step.at)?;
    let kinds = [
        step.topic.is_some(),
        step.tick,
        step.restart,
        step.remove,
        step.swap.is_some(),
        step.connected.is_some(),
    ];
    if kinds.iter().filter(|is| **is).count() != 1 {
        return Err("a step is one of `topic` with a payload, `tick`, `swap`, `remove`, `restart`, `connected`".to_owned());
    }
    if let Some(topic) = &step.topic {
        return messages(&step, topic, at, events);
    }
    let action = match (&step.swap, step.connected) {
        (Some(set), _) => Action::Swap(rule_text(set.clone())),
        (_, Some(connected)) => Action::Connected(connected),
        _ if step.restart => Action::Restart,
        _ if step.remove => Action::Remove,
        _ => Action::Tick,
    };
    events.push(Event { at, action });
    Ok(())
}

fn messages(
    step: &StepText,
    topic: &str,
    at: Timestamp,
    events: &mut Vec<Event>,
) -> Result<(), String> {
    let bodies: Vec<Json> = match (&step.payload, &step.payloads, &step.text) {
        (Some(payload), None, None) => vec![payload.clone()],
        (None, Some(payloads), None) => payloads.clone(),
        (None, None, Some(_)) => vec![Json::Null],
        _ => return Err("a message has one of `payload`, `payloads`, `text`".to_owned()),
    };
    let repeat = step.repeat.unwrap_or(1);
    if repeat == 0 || repeat > MAX_REPEAT {
        return Err(format!("`repeat` is between 1 and {MAX_REPEAT}"));
    }
    let several = repeat > 1 || bodies.len() > 1;
    let every = match &step.every {
        Some(every) => parse_span(every)?,
        None if several => {
            return Err("several messages need `every`, the time between two of them".to_owned());
        }
        None => Duration::ZERO,
    };
    let event = step.event.as_ref().map(time).transpose()?.unwrap_or(at);
    let source = match &step.source {
        Some(source) => source.clone(),
        None if topic.starts_with("$node/") => NODE_SOURCE.to_owned(),
        None => "test".to_owned(),
    };
    let mut offset = Duration::ZERO;
    for _ in 0..repeat {
        for body in &bodies {
            let stamp = event.plus(offset);
            let payload = match &step.text {
                Some(text) => payload::fill_text(text, stamp),
                None => payload::fill(body, stamp).to_string(),
            };
            let action = Action::Message {
                source: source.clone(),
                topic: topic.to_owned(),
                payload,
                retained: step.retained,
            };
            events.push(Event {
                at: at.plus(offset),
                action,
            });
            offset += every;
        }
    }
    Ok(())
}

fn expected(text: ExpectedText) -> Result<Expected, String> {
    let (state, rule) = match (text.firing, text.resolved, text.occurred) {
        (Some(rule), None, None) => ("firing", rule),
        (None, Some(rule), None) => ("resolved", rule),
        (None, None, Some(rule)) => ("occurred", rule),
        _ => return Err("an expected transition has one of `firing`, `resolved`, `occurred`, with the rule's id".to_owned()),
    };
    let mut annotations = text.annotations;
    if let Some(summary) = text.summary {
        annotations.insert("summary".to_owned(), summary);
    }
    Ok(Expected {
        at: text.at.as_ref().map(time).transpose()?,
        state,
        rule,
        reason: text.reason,
        labels: text
            .labels
            .iter()
            .map(|(name, value)| (name.clone(), scalar(value)))
            .collect(),
        values: text.values,
        severity: text.severity,
        annotations,
        starts_at: text.starts_at.as_ref().map(time).transpose()?,
    })
}

fn standing(json: Json) -> Result<Standing, String> {
    if let Json::String(rule) = json {
        return Ok(Standing {
            rule,
            labels: BTreeMap::new(),
        });
    }
    let text: StandingText = serde_json::from_value(json)
        .map_err(|e| format!("write a rule's id, or `{{rule: id, labels: {{…}}}}` ({e})"))?;
    let labels = text
        .labels
        .iter()
        .map(|(name, value)| (name.clone(), scalar(value)))
        .collect();
    Ok(Standing {
        rule: text.rule,
        labels,
    })
}
