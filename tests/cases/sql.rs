//! Cases of kind `sql`: what queries give. A file is records with blank lines between them, each
//! introduced by its first line; `#` begins a comment.
//!
//! ```text
//! stream                        the streams that queries read from here on, with a line `;` between
//! CREATE STREAM s (…) WITH (…)  two statements; there are no tables any more
//!
//! table                         one table more from here on: an entry of `tables`, as YAML or as
//! name: limits                  CREATE TABLE
//! key: [device]
//! rows: [{device: d1, max: 5}]
//!
//! input                         what arrives for the queries from here on, a line each:
//! 0s t/d1 {"v": 1}              the time as an offset, the topic, the payload
//! 10m advance                   only time passes
//!
//! query                         a query, and its rows: the time of each, and its columns
//! SELECT v FROM s
//! ----
//! 0s 1
//! ```
//!
//! Each file runs three ways, which must agree: all input at once; row by row, with the clock moved
//! on between two rows; and with a snapshot and a restore between every two rows.

use std::path::Path;
use std::sync::Arc;

use libtest_mimic::{Failed, Trial};
use serde_json::json;
use weir::agent::casefile::{START, format_time};
use weir::decode::Decoder;
use weir::engine::{Config, Engine};
use weir::model::message::Message;
use weir::model::row::{Observation, Row};
use weir::model::time::{Mono, Now, Timestamp, parse_span};
use weir::model::value::Value;
use weir::plan::logical::Plan;
use weir::plan::{Limits, compile_text};

use super::files;

/// How the input goes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Batch,
    Rows,
    Restore,
}

/// The trials of all files in `folder`.
pub(crate) fn trials(folder: &Path) -> Vec<Trial> {
    let modes = [(Mode::Batch, "batch"), (Mode::Rows, "rows"), (Mode::Restore, "restore")];
    let mut trials = Vec::new();
    for path in files(folder) {
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        for (mode, label) in modes {
            let path = path.clone();
            trials.push(Trial::test(format!("sql/{stem}/{label}"), move || case(&path, mode)));
        }
    }
    trials
}

fn case(path: &Path, mode: Mode) -> Result<(), Failed> {
    let written = std::fs::read_to_string(path)?;
    let right = run(&written, mode).map_err(|why| format!("{}:{why}", path.display()))?;
    if right == written {
        return Ok(());
    }
    if std::env::var_os("UPDATE").is_some() {
        // One way writes; whether the others agree shows in the next run.
        return if mode == Mode::Batch { Ok(std::fs::write(path, right)?) } else { Ok(()) };
    }
    let pairs = written.lines().zip(right.lines()).enumerate();
    let first = pairs.into_iter().find(|(_, (a, b))| a != b);
    let (line, (expected, found)) = first.map_or((0, ("", "")), |(i, pair)| (i + 1, pair));
    Err(format!(
        "{}:{line}: expected `{expected}`, found `{found}`; the whole as found:\n{right}\n(UPDATE=1 writes it into the file)",
        path.display()
    )
    .into())
}

/// The file as it should be.
fn run(text: &str, mode: Mode) -> Result<String, String> {
    let mut right = String::new();
    let (mut set, mut input) = (Set::default(), Vec::new());
    let mut line = 1;
    for record in text.split("\n\n") {
        let record = record.trim_end_matches('\n');
        let at = |why: String| format!("{line}: {why}");
        let body: Vec<&str> = record.lines().filter(|l| !l.trim_start().starts_with('#')).collect();
        let rest = || body.get(1..).unwrap_or_default().join("\n");
        if !right.is_empty() {
            right.push_str("\n\n");
        }
        match body.first().copied() {
            Some("stream") => set = Set::of(&rest()),
            Some("table") => set.tables.push(rest()),
            Some("input") => {
                input = body[1..].iter().map(|l| event(l)).collect::<Result<_, _>>().map_err(at)?
            }
            Some("query") => {
                let (head, _) = record.split_once("\n----").unwrap_or((record, ""));
                let body = rest();
                let sql = body.split_once("\n----").map_or(body.as_str(), |(sql, _)| sql);
                right.push_str(head);
                right.push_str("\n----");
                for observation in query(&set, sql, &input, mode).map_err(at)? {
                    right.push_str(&format!("\n{}", show(&observation)));
                }
                line += record.matches('\n').count() + 2;
                continue;
            }
            None => {}
            Some(other) => {
                return Err(at(format!("`{other}` is no record; write stream, table, input or query")));
            }
        }
        right.push_str(record);
        line += record.matches('\n').count() + 2;
    }
    right.push('\n');
    Ok(right)
}

/// One line of input: when, and the message, if any.
type Event = (Timestamp, Option<Message>);

fn event(line: &str) -> Result<Event, String> {
    let mut parts = line.splitn(3, ' ');
    let (at, topic, payload) =
        (parts.next().unwrap_or(""), parts.next().unwrap_or(""), parts.next().unwrap_or(""));
    let at = START.plus(parse_span(at)?);
    if topic == "advance" {
        return Ok((at, None));
    }
    let (topic, retained) = topic.strip_prefix("retained:").map_or((topic, false), |topic| (topic, true));
    let message = Message {
        source: "test".into(),
        topic: topic.into(),
        payload: payload.to_owned().into(),
        received: at,
        retained,
        dup: false,
        qos: 0,
        properties: Box::default(),
        ack: None,
    };
    Ok((at, Some(message)))
}

/// The streams and tables that a query sees.
#[derive(Debug, Default)]
struct Set {
    streams: Vec<String>,
    tables: Vec<String>,
}

impl Set {
    fn of(statements: &str) -> Self {
        let streams = statements.split("\n;\n").map(str::to_owned).collect();
        Self { streams, tables: Vec::new() }
    }

    /// The rule file with this one rule.
    fn file(&self, sql: &str) -> String {
        let mut file =
            format!("streams: {}\nrules: {}\n", json!(self.streams), json!([{ "id": "q", "sql": sql }]));
        if !self.tables.is_empty() {
            file.push_str("tables:\n");
        }
        for table in &self.tables {
            let entry = if table.starts_with("CREATE") {
                json!(table).to_string()
            } else {
                table.replace('\n', "\n  ")
            };
            file.push_str(&format!("- {entry}\n"));
        }
        file
    }
}

fn query(set: &Set, sql: &str, input: &[Event], mode: Mode) -> Result<Vec<Observation>, String> {
    let compiled = compile_text("case", &set.file(sql), &Limits::default());
    let Some(plan) = compiled.plan else {
        let all: Vec<String> = compiled.diagnostics.iter().map(ToString::to_string).collect();
        return Err(all.join("\n"));
    };
    let plan = Arc::new(plan);
    let mut decoder = Decoder::new(plan.streams.clone());
    let mut bench = Bench {
        engine: Engine::new(plan.clone(), Config::default()),
        plan,
        mode,
        last: None,
        out: Vec::new(),
    };
    for (at, message) in input {
        let mut rows = Vec::new();
        if let Some(message) = message {
            decoder.decode(message, &mut rows);
        }
        bench.take(*at, &rows)?;
    }
    Ok(bench.out)
}

struct Bench {
    plan: Arc<Plan>,
    engine: Engine,
    mode: Mode,
    last: Option<Timestamp>,
    out: Vec<Observation>,
}

impl Bench {
    fn take(&mut self, at: Timestamp, rows: &[(usize, Row)]) -> Result<(), String> {
        if self.mode == Mode::Restore
            && let Some(last) = self.last
        {
            let bytes = self.engine.snapshot(now(last));
            self.engine = Engine::new(self.plan.clone(), Config::default());
            self.engine.restore(&bytes, now(last)).map_err(|e| format!("restore: {e}"))?;
        }
        if self.mode != Mode::Batch || rows.is_empty() {
            while let Some(due) = self.engine.next_deadline().filter(|due| *due < now(at).mono) {
                let wall = Timestamp::from_micros(i64::try_from(due.micros()).map_err(|e| e.to_string())?);
                self.engine.advance(Now { wall, mono: due }, &mut self.out);
                if self.engine.next_deadline() == Some(due) {
                    break;
                }
            }
            self.engine.advance(now(at), &mut self.out);
        }
        for (stream, row) in rows {
            self.engine.push(*stream, row, now(at), &mut self.out);
        }
        self.last = Some(at);
        Ok(())
    }
}

fn now(at: Timestamp) -> Now {
    Now { wall: at, mono: Mono::from_micros(u64::try_from(at.micros()).unwrap_or(0)) }
}

fn show(observation: &Observation) -> String {
    let values: Vec<String> = observation.values.iter().map(value).collect();
    format!("{} {}", format_time(observation.at), values.join(" | "))
}

/// A value that shows its type: text in quotes, floats with a point, times with an `@`.
fn value(value: &Value) -> String {
    match value {
        Value::Float(x) => format!("{x:?}"),
        Value::Str(text) => format!("'{text}'"),
        Value::Time(at) => format!("@{at}"),
        other => other.to_string(),
    }
}
