//! What Weir itself gives: rule text through the planner, payloads through the decoder, rows through
//! the engine.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::json;
use weir::decode::Decoder;
use weir::engine::{Config, Engine};
use weir::model::message::Message;
use weir::model::row::{Observation, Rows};
use weir::model::time::{Mono, Now, Timestamp};
use weir::model::value::Value;
use weir::plan::logical::{Gives, Plan};
use weir::plan::{Limits, compile_text};

use crate::answer::{Counts, Event, Out, by_key};
use crate::query::Source;
use crate::value::Val;
use crate::{Case, Rule};

/// How the same input is given in another way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// Event by event.
    Plain,
    /// With the clock told in between.
    Clock,
    /// With a snapshot and a restore now and then, and the clock told in between.
    Restore,
}

/// The output rows of each rule after each event, and what it counted at the end.
pub(crate) type Answers = BTreeMap<String, (Vec<Vec<Out>>, Option<Counts>)>;

/// The rule file at one step.
pub(crate) fn file(case: &Case, step: usize) -> String {
    let streams: Vec<String> = case.world.streams.iter().map(crate::query::Stream::sql).collect();
    let mut file = format!("streams: {}\n", json!(streams));
    let read = |n: usize| case.rules.iter().any(|rule| rule.query.sides.contains(&Source::Table(n)));
    let tables: Vec<String> = case
        .world
        .tables
        .iter()
        .enumerate()
        .filter(|(n, _)| read(*n))
        .map(|(_, t)| t.entry(&case.world))
        .collect();
    if !tables.is_empty() {
        file.push_str(&format!("tables:\n  - {}\n", tables.join("\n  - ")));
    }
    file.push_str("rules:\n");
    for rule in case.rules.iter().filter(|rule| rule.from <= step && step < rule.to) {
        // What is no part of the query may change at any time without a loss.
        let mut entry =
            json!({"id": rule.id, "sql": rule.query.sql(&case.world), "severity": format!("s{step}")});
        if rule.stateful {
            entry["when"] = json!("c0 IS NOT NULL");
        }
        file.push_str(&format!("  - {entry}\n"));
    }
    file
}

fn compile(case: &Case, step: usize) -> Result<Arc<Plan>, String> {
    let file = file(case, step);
    let compiled = compile_text("oracle", &file, &Limits::default());
    compiled.plan.map(Arc::new).ok_or_else(|| {
        let all: Vec<String> = compiled.diagnostics.iter().map(ToString::to_string).collect();
        format!("does not compile:\n{file}\n{}", all.join("\n"))
    })
}

/// Whether the planner sees the shape of each query as the oracle does: who shares a watermark, what a
/// window gives, and where rows are joined.
///
/// # Errors
/// The rule of which it does not, and how.
pub(crate) fn shapes(case: &Case) -> Result<(), String> {
    for rule in &case.rules {
        let alone = Rule { from: 0, to: usize::MAX, ..rule.clone() };
        let plan = compile(&Case { rules: vec![alone], ..case.clone() }, 0)?;
        let planned = &plan.rules[0];
        let query = &rule.query;
        let expected = (
            query.at_close(),
            query.window.is_some().then(|| (by_key(&case.world, query), query.gives_groups())),
        );
        let window = planned.window.as_ref();
        let found = (planned.from.at_close, window.map(|w| (w.by_key, w.gives == Gives::Groups)));
        if expected != found {
            return Err(format!("(at_close, (by_key, groups)): expected {expected:?}, found {found:?}"));
        }
    }
    Ok(())
}

/// Runs the case.
pub(crate) fn run(case: &Case, way: Way, seed: u64) -> Result<Answers, String> {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut plan = compile(case, 0)?;
    let mut decoder = Decoder::new(plan.streams.clone());
    let mut engine = Engine::new(plan.clone(), config(&mut rng));
    let mut answers = Answers::new();
    for rule in &case.rules {
        answers.insert(rule.id.clone(), (vec![Vec::new(); case.events.len()], None));
    }
    let mut last = crate::START;
    for (step, event) in case.events.iter().enumerate() {
        let mut out = Vec::new();
        if step > 0 && case.rules.iter().any(|rule| rule.from == step || rule.to == step) {
            plan = compile(case, step)?;
            decoder = Decoder::new(plan.streams.clone());
            engine.swap(plan.clone());
        }
        if way == Way::Restore && rng.u8(..4) == 0 {
            let bytes = engine.snapshot(now(last));
            engine = Engine::new(plan.clone(), config(&mut rng));
            engine.restore(&bytes, now(last)).map_err(|why| format!("restore at event {step}: {why}"))?;
        }
        while way != Way::Plain && rng.bool() && last < event.at {
            last = rng.i64(last..=event.at);
            engine.advance(now(last), &mut out);
        }
        last = event.at;
        let mut rows = Rows::new();
        if let Some(message) = message(case, event) {
            decoder.decode(&message, &mut rows);
        }
        if rows.is_empty() {
            engine.advance(now(last), &mut out);
        }
        for (stream, row) in rows.iter() {
            engine.push(stream, row, now(last), &mut out);
        }
        for observation in out {
            let rule = &plan.rules[observation.rule];
            let id = rule.alert.rule.to_string();
            if let Some((steps, _)) = answers.get_mut(&id) {
                steps[step].push(shown(&observation));
            }
        }
    }
    for (rule, account) in plan.rules.iter().zip(engine.accounts()) {
        let counts = Counts {
            rows: account.rows,
            matched: account.matched,
            late: account.late,
            future: account.future,
            retained: account.retained,
        };
        if let Some((_, found)) = answers.get_mut(&*rule.alert.rule) {
            *found = Some(counts);
        }
    }
    Ok(answers)
}

/// No answer depends on what rules share, or on an index.
fn config(rng: &mut fastrand::Rng) -> Config {
    Config { index: rng.bool(), share: rng.bool(), ..Config::default() }
}

fn now(at: i64) -> Now {
    Now { wall: Timestamp::from_micros(at), mono: Mono::from_micros(at.unsigned_abs()) }
}

fn message(case: &Case, event: &Event) -> Option<Message> {
    let message = event.message.as_ref()?;
    let columns = case.world.columns(message.to);
    let mut payload = serde_json::Map::new();
    for ((name, _), value) in columns.iter().zip(&message.values) {
        payload.insert(name.clone(), value.json());
    }
    payload.insert("ts".to_owned(), (message.ts / 1_000).into());
    let name = match message.to {
        Source::Stream(n) => &case.world.streams[n].name,
        Source::Table(n) => &case.world.tables[n].name,
    };
    let text = serde_json::Value::Object(payload).to_string();
    let at = Timestamp::from_micros(event.at);
    Some(weir_message(&format!("{name}/{}", message.device), text, at, message.retained))
}

fn weir_message(topic: &str, payload: String, received: Timestamp, retained: bool) -> Message {
    Message {
        source: "test".into(),
        topic: topic.into(),
        payload: payload.into(),
        received,
        retained,
        dup: false,
        qos: 0,
        properties: Box::default(),
        ack: None,
    }
}

fn shown(observation: &Observation) -> Out {
    Out {
        at: observation.at.micros(),
        values: observation.values.iter().map(value).collect(),
        raise: observation.raise,
    }
}

fn value(value: &Value) -> Val {
    match value {
        Value::Null => Val::Null,
        Value::Bool(b) => Val::Bool(*b),
        Value::Int(i) => Val::Int(*i),
        Value::Float(x) => Val::Float(*x),
        Value::Str(text) => Val::text(text),
        Value::Time(at) => Val::Time(at.micros()),
        Value::Array(items) => Val::List(items.iter().map(self::value).collect()),
        other => Val::Text(format!("{other:?}")),
    }
}
