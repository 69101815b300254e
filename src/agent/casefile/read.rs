//! The YAML of a test file. A wrong field is an error with its line, never passed over.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value as Json};
use serde_saphyr::Spanned;

use crate::model::message::NODE_SOURCE;
use crate::model::time::{Downtime, Timestamp, parse_span};

use super::series::{pace, topics};
use super::{
    Action, Case, Check, Event, Expected, Rules, START, Scene, Series, Standing, Suite, parse_time, payload,
};

/// A step or a series may stand for this many messages; more is taken for a slip of the pen.
pub(super) const MAX_REPEAT: u32 = 100_000;

/// The same of the readings of all topics of a series.
const MAX_READINGS: usize = 1_000_000;

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
    series: Vec<Spanned<SeriesText>>,
    #[serde(default)]
    steps: Vec<Spanned<StepText>>,
    until: Option<Spanned<Json>>,
    #[serde(default)]
    checks: Vec<Spanned<CheckText>>,
    expect: Option<Vec<Spanned<ExpectedText>>>,
    pending: Option<Vec<Spanned<Json>>>,
    firing: Option<Vec<Spanned<Json>>>,
    keeping: Option<Vec<Spanned<Json>>>,
    #[serde(default)]
    quiet: Vec<Spanned<Json>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SeriesText {
    topic: String,
    at: Option<Json>,
    every: Option<String>,
    delay: Option<String>,
    source: Option<String>,
    #[serde(default)]
    retained: bool,
    #[serde(default)]
    fields: Map<String, Json>,
    values: Json,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CheckText {
    at: Json,
    pending: Option<Vec<Spanned<Json>>>,
    firing: Option<Vec<Spanned<Json>>>,
    keeping: Option<Vec<Spanned<Json>>>,
    #[serde(default)]
    resolved: Vec<Spanned<Json>>,
    #[serde(default)]
    quiet: Vec<Spanned<Json>>,
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
    down: Option<String>,
    #[serde(default)]
    counted: bool,
    #[serde(default)]
    remove: bool,
    swap: Option<Json>,
    connected: Option<ConnectedText>,
    sources: Option<Vec<String>>,
    clock: Option<String>,
    resolve: Option<Spanned<Json>>,
}

/// Whether every source is connected, or some by name.
#[derive(Clone, Deserialize)]
#[serde(untagged)]
enum ConnectedText {
    All(bool),
    Some(BTreeMap<String, bool>),
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
    #[serde(default)]
    values: BTreeMap<String, Json>,
    severity: Option<String>,
    since: Option<Json>,
    reason: Option<String>,
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
                return Err(
                    "the rules are missing: add `rules: pack.yaml`, or the rules themselves under `ruleset:`"
                        .to_owned(),
                );
            }
        };
        let cases: Result<Vec<Case>, String> = found.cases.into_iter().map(case).collect();
        Ok(Self { rules, cases: cases? })
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
    let CaseText { name, series, steps, until, checks, expect, pending, firing, keeping, quiet } = text.value;
    let mut events = Vec::new();
    for step in steps {
        let line = line_of(&step);
        self::step(step.value, &mut events).map_err(at(line))?;
    }
    // Steps that repeat may reach beyond those written after them.
    events.sort_by_key(|event: &Event| event.at);
    if let Some(until) = until {
        let line = line_of(&until);
        events.push(Event { at: time(&until.value).map_err(at(line))?, action: Action::End });
    }
    let mut checked = Vec::new();
    for check in checks {
        let line = line_of(&check);
        let CheckText { at: when, pending, firing, keeping, resolved, quiet } = check.value;
        let when = time(&when).map_err(at(line))?;
        let scene = scene((pending, firing, keeping), resolved, quiet)?;
        if scene == Scene::default() {
            return Err(at(line)(
                "a check has one of `pending`, `firing`, `keeping`, `resolved`, `quiet`".to_owned(),
            ));
        }
        checked.push(Check { line, at: when, scene });
    }
    checked.sort_by_key(|check| check.at);
    let looks = checked.iter().enumerate();
    events.extend(looks.map(|(place, check)| Event { at: check.at, action: Action::Check(place) }));
    let mut all = Vec::new();
    for one in series {
        let line = line_of(&one);
        all.push(self::series(one.value, line).map_err(at(line))?);
    }
    for (one, _) in all.iter().filter(|(_, stale)| *stale) {
        let end = one.end();
        let goes_on = events.iter().map(|event| event.at).chain(all.iter().map(|(other, _)| other.end()));
        if !goes_on.into_iter().any(|at| at > end) {
            return Err(at(one.line)(
                "the series ends in `stale`, but nothing comes after it: add `until: 1h`, so that its silence can be noticed"
                    .to_owned(),
            ));
        }
    }
    let series = all.into_iter().map(|(one, _)| one).collect();
    let is_exact = expect.is_some() || checked.is_empty();
    let mut expected = Vec::new();
    for one in expect.unwrap_or_default() {
        let line = line_of(&one);
        expected.push(self::expected(one.value, line).map_err(at(line))?);
    }
    let end = scene((pending, firing, keeping), Vec::new(), quiet)?;
    Ok(Case { name, line, events, series, checks: checked, expect: expected, is_exact, end })
}

/// Says on which line something is wrong.
fn at(line: usize) -> impl Fn(String) -> String {
    move |why| format!("line {line}: {why}")
}

fn series(text: SeriesText, line: usize) -> Result<(Series, bool), String> {
    let (readings, stale) = Series::readings(&text.values, &text.fields, text.every.is_some())?;
    let topics = topics(&text.topic)?;
    if topics.len().saturating_mul(readings.len()) > MAX_READINGS {
        return Err(format!("the series has more than {MAX_READINGS} readings"));
    }
    let span = |text: &Option<String>| text.as_deref().map(parse_span).transpose();
    let series = Series {
        line,
        topics,
        source: text.source,
        retained: text.retained,
        at: text.at.as_ref().map_or(Ok(START), time)?,
        every: pace(span(&text.every)?, readings.len())?,
        delay: span(&text.delay)?.unwrap_or_default(),
        readings,
    };
    Ok((series, stale))
}

type List = Option<Vec<Spanned<Json>>>;

fn scene(
    (pending, firing, keeping): (List, List, List),
    resolved: Vec<Spanned<Json>>,
    quiet: Vec<Spanned<Json>>,
) -> Result<Scene, String> {
    let list = |list: Vec<Spanned<Json>>| -> Result<Vec<Standing>, String> {
        list.into_iter()
            .map(|one| {
                let line = line_of(&one);
                standing(one.value, line).map_err(at(line))
            })
            .collect()
    };
    Ok(Scene {
        pending: pending.map(list).transpose()?,
        firing: firing.map(list).transpose()?,
        keeping: keeping.map(list).transpose()?,
        resolved: list(resolved)?,
        quiet: list(quiet)?,
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
        step.sources.is_some(),
        step.clock.is_some(),
        step.resolve.is_some(),
    ];
    if kinds.iter().filter(|is| **is).count() != 1 {
        return Err(
            "a step is one of `topic` with a payload, `tick`, `swap`, `remove`, `restart`, `connected`, `sources`, `clock`, `resolve`"
                .to_owned(),
        );
    }
    if (step.down.is_some() || step.counted) && !step.restart {
        return Err(
            "`down` says how long a `restart: true` takes, and `counted` that this time counts".to_owned()
        );
    }
    if let Some(topic) = &step.topic {
        return messages(&step, topic, at, events);
    }
    if let Some(ConnectedText::Some(sources)) = &step.connected {
        let each = sources.iter().map(|(name, is)| Action::Connected(Some(name.clone()), *is));
        events.extend(each.map(|action| Event { at, action }));
        return Ok(());
    }
    let action = match (&step.swap, &step.connected, &step.clock) {
        (Some(set), ..) => Action::Swap(rule_text(set.clone())),
        (_, Some(ConnectedText::All(connected)), _) => Action::Connected(None, *connected),
        _ if step.sources.is_some() => Action::Sources(step.sources.unwrap_or_default()),
        (_, _, Some(clock)) => Action::Clock(clock_shift(clock, at)?),
        _ if step.resolve.is_some() => resolved_by_hand(&step)?,
        _ if step.restart => Action::Restart {
            down: step.down.as_deref().map_or(Ok(Duration::ZERO), parse_span)?,
            downtime: if step.counted { Downtime::Counted } else { Downtime::Ignored },
        },
        _ if step.remove => Action::Remove,
        _ => Action::Tick,
    };
    events.push(Event { at, action });
    Ok(())
}

fn resolved_by_hand(step: &StepText) -> Result<Action, String> {
    let Some(alert) = &step.resolve else { return Err("`resolve` names an alert".to_owned()) };
    Ok(Action::Resolve(standing(alert.value.clone(), line_of(alert))?))
}

/// How far ahead of the true time the calendar is from here on: `+1h`, `-30m`, `0`, or what it shows.
fn clock_shift(text: &str, at: Timestamp) -> Result<i64, String> {
    let micros = |span: Duration| i64::try_from(span.as_micros()).unwrap_or(i64::MAX);
    let wrong =
        || format!("`{text}` is no setting of a clock; write `+1h`, `-30m`, `0`, or a time in RFC 3339");
    match (text.strip_prefix('+'), text.strip_prefix('-')) {
        (Some(ahead), _) => parse_span(ahead).map(micros).map_err(|_| wrong()),
        (_, Some(behind)) => parse_span(behind).map(|span| -micros(span)).map_err(|_| wrong()),
        _ if text == "0" => Ok(0),
        _ => Ok(Timestamp::parse(text).ok_or_else(wrong)?.micros().saturating_sub(at.micros())),
    }
}

fn messages(step: &StepText, topic: &str, at: Timestamp, events: &mut Vec<Event>) -> Result<(), String> {
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
        None => super::SOURCE.to_owned(),
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
            events.push(Event { at: at.plus(offset), action });
            offset += every;
        }
    }
    Ok(())
}

fn expected(text: ExpectedText, line: usize) -> Result<Expected, String> {
    let (state, rule) = match (text.firing, text.resolved, text.occurred) {
        (Some(rule), None, None) => ("firing", rule),
        (None, Some(rule), None) => ("resolved", rule),
        (None, None, Some(rule)) => ("occurred", rule),
        _ => {
            return Err(
                "an expected transition has one of `firing`, `resolved`, `occurred`, with the rule's id"
                    .to_owned(),
            );
        }
    };
    let mut annotations = text.annotations;
    if let Some(summary) = text.summary {
        annotations.insert("summary".to_owned(), summary);
    }
    Ok(Expected {
        line,
        at: text.at.as_ref().map(time).transpose()?,
        state,
        rule,
        reason: text.reason,
        labels: text.labels.iter().map(|(name, value)| (name.clone(), scalar(value))).collect(),
        values: text.values,
        severity: text.severity,
        annotations,
        starts_at: text.starts_at.as_ref().map(time).transpose()?,
    })
}

fn standing(json: Json, line: usize) -> Result<Standing, String> {
    let text = match json {
        Json::String(rule) => serde_json::json!({ "rule": rule }),
        other => other,
    };
    let text: StandingText = serde_json::from_value(text)
        .map_err(|e| format!("write a rule's id, or `{{rule: id, labels: {{…}}}}` ({e})"))?;
    Ok(Standing {
        line,
        rule: text.rule,
        labels: text.labels.iter().map(|(name, value)| (name.clone(), scalar(value))).collect(),
        values: text.values,
        severity: text.severity,
        since: text.since.as_ref().map(time).transpose()?,
        reason: text.reason,
    })
}
