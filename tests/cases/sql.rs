//! Cases of kind `sql`: what queries give. A file is records with blank lines between them, each
//! introduced by its first line; `#` begins a comment.
//!
//! ```text
//! stream                        the streams that queries read from here on, in the place of those
//! CREATE STREAM s (…) WITH (…)  before; tables are gone as well. A line `;` stands between two
//! ;
//! CREATE STREAM t (…) WITH (…)
//!
//! table                         one more table: CREATE TABLE, or as a rule file has it
//! name: limits
//! rows: [{device: a, most: 5}]
//!
//! input                         what arrives for the queries from here on, a line each:
//! 0s t/d1 {"v": 1}              the time as an offset, the topic, the payload
//! 0s retained:t/d1 {"v": 1}     a retained message
//! 10m advance                   only time passes
//!
//! order free                    the queries from here on give the same for this input in any
//!                               order in which no row is late; up to the next input
//!
//! query                         a query, and its rows: the time of each, and its columns
//! SELECT v FROM s
//! ----
//! 0s 1
//!
//! query error                   a query, and what the planner says of it: line and column in the
//! SELECT w FROM s               query, level, code, message, hint
//! ----
//! 1:8: error[unknown-column]: …
//! ```
//!
//! Each file runs three ways, which must agree: all input at once; row by row, with the clock moved
//! on between two rows; and with a snapshot and a restore between every two rows. Queries whose order
//! is free run a fourth way: with the input shuffled, and the rows that come out compared as a set.

use std::path::Path;
use std::sync::Arc;

use libtest_mimic::{Failed, Trial};
use serde_json::json;
use weir::agent::casefile::{START, format_time};
use weir::decode::Decoder;
use weir::engine::{Config, Engine};
use weir::model::diagnostic::{Diagnostic, Level};
use weir::model::message::Message;
use weir::model::row::{Observation, Row, Rows};
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
    Shuffled,
}

/// How many orders of an input are tried where its order is free.
const ORDERS: u64 = 8;

/// The trials of all files in `folder`.
pub(crate) fn trials(folder: &Path) -> Vec<Trial> {
    let modes = [
        (Mode::Batch, "batch"),
        (Mode::Rows, "rows"),
        (Mode::Restore, "restore"),
        (Mode::Shuffled, "shuffled"),
    ];
    let mut trials = Vec::new();
    for path in files(folder) {
        if path.extension().is_none_or(|end| end != "slt" && end != "md") {
            continue;
        }
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let free = std::fs::read_to_string(&path).is_ok_and(|text| text.contains("\norder free\n"));
        for (mode, label) in modes {
            if mode == Mode::Shuffled && !free {
                continue;
            }
            let path = path.clone();
            trials.push(Trial::test(format!("sql/{stem}/{label}"), move || case(&path, mode)));
        }
    }
    trials
}

fn case(path: &Path, mode: Mode) -> Result<(), Failed> {
    let written = std::fs::read_to_string(path)?;
    let document = path.extension().is_some_and(|end| end == "md");
    let right = if document { blocks(&written, mode) } else { run(&written, mode) };
    let right = right.map_err(|why| format!("{}:{why}", path.display()))?;
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

/// A document as it should be, whose blocks marked `slt` are the records of one file.
fn blocks(text: &str, mode: Mode) -> Result<String, String> {
    const OPEN: &str = "```slt\n";
    const CLOSE: &str = "\n```";
    let inside = |part: &str| part.split_once(CLOSE).map(|(block, _)| block.to_owned());
    let written: Vec<String> = text.split(OPEN).skip(1).filter_map(inside).collect();
    if written.is_empty() {
        return Ok(text.to_owned());
    }
    let right = run(&(written.join("\n\n") + "\n"), mode)?;
    let mut records = right.trim_end_matches('\n').split("\n\n");
    let mut parts = text.split(OPEN);
    let mut whole = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (block, after) = part.split_once(CLOSE).ok_or("a block is not closed")?;
        let count = block.split("\n\n").count();
        let block: Vec<&str> = records.by_ref().take(count).collect();
        whole.extend([OPEN, &block.join("\n\n"), CLOSE, after]);
    }
    Ok(whole)
}

/// The file as it should be.
fn run(text: &str, mode: Mode) -> Result<String, String> {
    let mut right = String::new();
    let mut set = Set::default();
    let (mut input, mut free) = (Vec::new(), false);
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
            Some("stream") => {
                let streams = rest().split("\n;\n").map(str::to_owned).collect();
                set = Set { streams, tables: Vec::new() };
            }
            Some("table") => set.tables.push(rest()),
            Some("input") => {
                input = body[1..].iter().map(|l| event(l)).collect::<Result<_, _>>().map_err(at)?;
                free = false;
            }
            Some("order free") => free = true,
            Some(kind @ ("query" | "query error")) => {
                let (head, _) = record.split_once("\n----").unwrap_or((record, ""));
                let body = rest();
                let (sql, given) = body.split_once("\n----").unwrap_or((body.as_str(), ""));
                let given: Vec<&str> = given.lines().skip(1).collect();
                let answer = match (kind, mode) {
                    ("query error", _) => complaints(&set, sql).map_err(at)?,
                    (_, Mode::Shuffled) if !free => given.iter().map(ToString::to_string).collect(),
                    (_, Mode::Shuffled) => in_any_order(&set, sql, &input, &given).map_err(at)?,
                    _ => query(&set, sql, &input, mode).map_err(at)?.iter().map(show).collect(),
                };
                right.push_str(head);
                right.push_str("\n----");
                for shown in answer {
                    right.push_str(&format!("\n{shown}"));
                }
                line += record.matches('\n').count() + 2;
                continue;
            }
            None => {}
            Some(other) => {
                let known = "stream, table, input, order free, query or query error";
                return Err(at(format!("`{other}` is no record; write {known}")));
            }
        }
        right.push_str(record);
        line += record.matches('\n').count() + 2;
    }
    right.push('\n');
    Ok(right)
}

/// What the queries of a file read.
#[derive(Debug, Default)]
struct Set {
    streams: Vec<String>,
    tables: Vec<String>,
}

/// How far the query stands in the file that [`Set::file`] writes.
const INDENT: usize = 6;

impl Set {
    /// A rule file with this query, and how many lines stand before it.
    fn file(&self, sql: &str) -> (String, usize) {
        let mut file = format!("streams: {}\n", json!(self.streams));
        if !self.tables.is_empty() {
            file.push_str("tables:\n");
        }
        for table in &self.tables {
            let text = match table.to_ascii_uppercase().starts_with("CREATE") {
                true => json!(table).to_string(),
                false => table.replace('\n', "\n    "),
            };
            file.push_str(&format!("  - {text}\n"));
        }
        file.push_str("rules:\n  - id: q\n    sql: |\n");
        let before = file.lines().count();
        for line in sql.lines() {
            file.push_str(&format!("{}{line}\n", " ".repeat(INDENT)));
        }
        (file, before)
    }
}

/// What the planner says of a query, with places counted in the query.
fn complaints(set: &Set, sql: &str) -> Result<Vec<String>, String> {
    let (file, before) = set.file(sql);
    let compiled = compile_text("case", &file, &Limits::default());
    let shown = |diagnostic: &Diagnostic| {
        let level = if diagnostic.level == Level::Error { "error" } else { "warning" };
        let place = diagnostic.place;
        let mut shown = match (place.line.checked_sub(before), diagnostic.item.as_str()) {
            (Some(line), "rule q") if line > 0 => {
                format!("{line}:{}: ", place.column.saturating_sub(INDENT))
            }
            (_, item) => format!("{item}: "),
        };
        shown.push_str(&format!("{level}[{}]: {}", diagnostic.code, diagnostic.message));
        if let Some(hint) = &diagnostic.hint {
            shown.push_str(&format!(" ({hint})"));
        }
        shown
    };
    if compiled.diagnostics.is_empty() {
        return Err("the planner has nothing to say; write `query`".to_owned());
    }
    Ok(compiled.diagnostics.iter().map(shown).collect())
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

fn query(set: &Set, sql: &str, input: &[Event], mode: Mode) -> Result<Vec<Observation>, String> {
    let (plan, input) = decoded(set, sql, input)?;
    bench(&plan, &input, mode)
}

fn bench(plan: &Arc<Plan>, input: &[Decoded], mode: Mode) -> Result<Vec<Observation>, String> {
    let mut bench = Bench {
        engine: Engine::new(plan.clone(), Config::default()),
        plan: plan.clone(),
        mode,
        last: None,
        out: Vec::new(),
    };
    for (at, rows) in input {
        bench.take(*at, rows)?;
    }
    Ok(bench.out)
}

/// One line of input: when, and its rows, each with its stream.
type Decoded = (Timestamp, Vec<(usize, Row)>);

fn decoded(set: &Set, sql: &str, input: &[Event]) -> Result<(Arc<Plan>, Vec<Decoded>), String> {
    let compiled = compile_text("case", &set.file(sql).0, &Limits::default());
    let Some(plan) = compiled.plan else {
        let all: Vec<String> = compiled.diagnostics.iter().map(ToString::to_string).collect();
        return Err(all.join("\n"));
    };
    let mut decoder = Decoder::new(plan.streams.clone());
    let mut decode = |(at, message): &Event| {
        let mut rows = Rows::new();
        if let Some(message) = message {
            decoder.decode(message, &mut rows);
        }
        (*at, rows.iter().map(|(stream, row)| (stream, row.clone())).collect())
    };
    let input = input.iter().map(&mut decode).collect();
    Ok((Arc::new(plan), input))
}

/// The given answer, if the input gives it in every order tried; else what came instead.
fn in_any_order(set: &Set, sql: &str, input: &[Event], given: &[&str]) -> Result<Vec<String>, String> {
    let (plan, input) = decoded(set, sql, input)?;
    let mut expected: Vec<String> = given.iter().map(ToString::to_string).collect();
    expected.sort();
    for seed in 0..ORDERS {
        let shuffled = shuffle(&plan, &input, &mut fastrand::Rng::with_seed(seed))?;
        let mut got: Vec<String> = bench(&plan, &shuffled, Mode::Rows)?.iter().map(show).collect();
        got.sort();
        if got != expected {
            let order = shuffled.iter().flat_map(|(_, rows)| rows);
            let order: Vec<String> = order.map(|(_, row)| format_time(row.time)).collect();
            got.push(format!("# rows in this order: {}", order.join(" ")));
            return Ok(got);
        }
    }
    Ok(given.iter().map(ToString::to_string).collect())
}

/// The rows in another order: those between two lines `advance` are exchanged, so that none is
/// late, and rows of the same time stay as they are. Each line comes at the time that it came.
fn shuffle(plan: &Plan, input: &[Decoded], rng: &mut fastrand::Rng) -> Result<Vec<Decoded>, String> {
    let lateness = plan.streams.iter().map(|spec| spec.lateness).min().unwrap_or_default();
    let mut shuffled: Vec<Decoded> = Vec::new();
    let mut greatest = Timestamp::MIN;
    for part in input.chunk_by(|a, b| a.1.is_empty() == b.1.is_empty()) {
        let mut left: Vec<&(usize, Row)> = part.iter().flat_map(|(_, rows)| rows).collect();
        if left.iter().any(|(stream, _)| plan.streams[*stream].timestamp.is_none()) {
            return Err("the order of a stream without TIMESTAMP is never free".to_owned());
        }
        for (at, rows) in part {
            let mut line = Vec::new();
            for _ in rows {
                // Whichever row goes next, those left must not be late after it.
                let least = left.iter().map(|(_, row)| row.time).min().unwrap_or(greatest);
                let early = |row: &Row| greatest.max(row.time).minus(lateness) <= least;
                let first = |place: usize, row: &Row| !left[..place].iter().any(|(_, r)| r.time == row.time);
                let free: Vec<usize> = (0..left.len())
                    .filter(|place| early(&left[*place].1) && first(*place, &left[*place].1))
                    .collect();
                let Some(place) = rng.choice(free) else {
                    return Err("a row is late; the order is not free".to_owned());
                };
                let row = left.remove(place);
                greatest = greatest.max(row.1.time);
                line.push(row.clone());
            }
            shuffled.push((*at, line));
        }
    }
    Ok(shuffled)
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
            self.engine = Engine::new(self.plan.clone(), Config { share: false, ..Config::default() });
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
