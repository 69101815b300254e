//! `weir replay`: what the rules would have raised over a recording.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "this is what the verb is for")]

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::{Map, Value as Json, json};

use crate::agent::core::{Core, Input, Limits};
use crate::agent::status::{RuleStatus, rules};
use crate::clock;
use crate::control::{self, directory};
use crate::engine;
use crate::ingest::replay::{Format, Options, Pace, Record, Recording};
use crate::model::diagnostic::Diagnostic;
use crate::model::label::OWN_LABELS;
use crate::model::time::{Mono, Now, Timestamp};
use crate::model::transition::{Evidence, Reading, State, Transition};
use crate::model::value::Value;
use crate::plan;
use crate::tasks::StopSource;

use super::accounts;
use super::status::bytes;
use super::table::table;

#[derive(Debug, clap::Args)]
pub(super) struct Replay {
    /// Rule files, each a rule set named by its stem
    #[arg(long, short, required = true, num_args = 1..)]
    rules: Vec<PathBuf>,
    /// The recording: JSON lines (payloads, or objects with `topic` and `payload`) or CSV with a
    /// heading; `-` is standard input
    file: PathBuf,
    /// The topic of payloads that tell none; `{member}` takes a member of the payload, as in
    /// `site/a/env/{device}`
    #[arg(long)]
    topic: Option<String>,
    /// The form of the recording; by default what the file's name says
    #[arg(long, value_parser = format)]
    format: Option<Format>,
    /// The member that holds the recorded time, for streams without a TIMESTAMP, and for --pace
    #[arg(long)]
    time_field: Option<String>,
    /// `fast`, `recorded`, or so many times faster, as in `60x`
    #[arg(long, default_value = "fast", value_parser = pace)]
    pace: Pace,
    /// The label `agent` of the alerts
    #[arg(long, default_value = "replay")]
    agent: String,
    /// One JSON object a transition, and nothing else
    #[arg(long)]
    json: bool,
}

/// Reads `--format`.
pub(super) fn format(text: &str) -> Result<Format, String> {
    match text {
        "jsonl" | "json" => Ok(Format::JsonLines),
        "csv" => Ok(Format::Csv),
        _ => Err("write `jsonl` or `csv`".to_owned()),
    }
}

/// Reads `--pace`.
pub(super) fn pace(text: &str) -> Result<Pace, String> {
    let speed = |x: &str| x.parse::<f64>().ok().filter(|s| s.is_finite() && *s > 0.0);
    match text {
        "fast" => Ok(Pace::AsFast),
        "recorded" => Ok(Pace::Recorded { speed: 1.0 }),
        _ => text
            .strip_suffix('x')
            .and_then(speed)
            .map(|speed| Pace::Recorded { speed })
            .ok_or_else(|| "write `fast`, `recorded`, or a factor as in `60x`".to_owned()),
    }
}

impl Replay {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let limits = Limits::default();
        let measured = engine::Config { nanos: Some(clock::nanos), ..limits.engine };
        let limits = Limits { engine: measured, ..limits };
        let mut core = Core::new(self.agent.as_str().into(), limits);
        for file in &self.rules {
            if !load(&mut core, file)? {
                return Ok(ExitCode::FAILURE);
            }
        }
        let options = Options {
            topic: self.topic.clone(),
            format: self.format,
            time_field: self.time_field.clone(),
            ..Options::default()
        };
        let recording = match self.file.to_str() {
            Some("-") => Recording::read(io::BufReader::new(io::stdin()), options),
            _ => Recording::open(&self.file, options),
        };
        let recording = recording.context("open the recording")?;
        // Nothing announces this stop; waiting on it with a timeout is the pace's sleep.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        let (_source, stop) = StopSource::new();
        let mut run =
            Run { core, clock: Timestamp::MIN, out: Output::new(self.json), bad_lines: 0, messages: 0 };
        let mut previous = None;
        for message in recording {
            let message = match message {
                Ok(message) => message,
                Err(error) => {
                    run.bad_line(&error.to_string());
                    continue;
                }
            };
            if let (Some(before), Some(at)) = (previous, message.recorded) {
                let wait = self.pace.delay(before, at);
                if wait > Duration::ZERO {
                    drop(runtime.block_on(async { tokio::time::timeout(wait, stop.stopped()).await }));
                }
            }
            previous = message.recorded.or(previous);
            if !run.take(message)? {
                return Ok(ExitCode::SUCCESS);
            }
        }
        run.end(&self.file, self.json)
    }
}

/// Compiles a rule file into the core. Returns false where it is wrong, and has said so.
fn load(core: &mut Core, file: &Path) -> anyhow::Result<bool> {
    let text = std::fs::read_to_string(file).with_context(|| format!("read the rules {}", file.display()))?;
    let Some(name) = directory::set_name(file) else {
        bail!("{} is no rule file: its name must end in .yaml, .yml or .json", file.display());
    };
    let show = |diagnostics: &[Diagnostic]| {
        let color = io::stderr().is_terminal();
        eprint!("{}", plan::render::render(diagnostics, &file.display().to_string(), &text, color));
    };
    match control::admit_file(&name, &text, &plan::Limits::default()) {
        Ok(admitted) => {
            show(&admitted.warnings);
            core.apply(Input::Run(Box::new(admitted)), Now::default());
            Ok(true)
        }
        Err(report) => {
            show(&report.diagnostics);
            Ok(false)
        }
    }
}

struct Run {
    core: Core,
    clock: Timestamp,
    out: Output,
    bad_lines: u64,
    messages: u64,
}

impl Run {
    /// Takes one message. Returns false when nobody reads any more.
    fn take(&mut self, recorded: Record) -> anyhow::Result<bool> {
        self.messages += 1;
        let transitions = self.core.replay(&recorded.message, &mut self.clock);
        for transition in &transitions {
            if !self.out.transition(transition)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn bad_line(&mut self, why: &str) {
        self.bad_lines += 1;
        if self.bad_lines <= 3 {
            eprintln!("weir: {why}");
        }
    }

    fn end(self, file: &Path, json: bool) -> anyhow::Result<ExitCode> {
        if self.bad_lines > 0 {
            eprintln!("weir: {} lines of {} could not be read", self.bad_lines, file.display());
        }
        if !json {
            print!("{}", summary(&self.core, self.messages));
        }
        Ok(if self.bad_lines > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }
}

struct Output {
    to: io::BufWriter<io::Stdout>,
    json: bool,
}

impl Output {
    fn new(json: bool) -> Self {
        Self { to: io::BufWriter::new(io::stdout()), json }
    }

    /// Writes one transition. Returns false when the reader is gone.
    fn transition(&mut self, transition: &Transition) -> anyhow::Result<bool> {
        let line = if self.json { as_json(transition).to_string() } else { as_text(transition) };
        match writeln!(self.to, "{line}").and_then(|()| self.to.flush()) {
            Ok(()) => Ok(true),
            Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(false),
            Err(e) => Err(e.into()),
        }
    }
}

/// A transition as the hub's API shows it, without what only a delivery has.
fn as_json(t: &Transition) -> Json {
    let labels = |labels: &crate::model::label::Labels| -> Map<String, Json> {
        labels.iter().map(|(k, v)| (k.to_string(), Json::from(&**v))).collect()
    };
    let values: Map<String, Json> = t.values.iter().map(|(k, v)| (k.to_string(), v.to_json())).collect();
    let mut shown = json!({
        "state": t.state.name(),
        "reason": t.state.reason(),
        "ruleset": &*t.ruleset,
        "rule": &*t.rule,
        "rule_hash": format!("{:016x}", t.rule_hash),
        "fingerprint": t.fingerprint.to_string(),
        "labels": labels(&t.labels),
        "severity": &*t.severity,
        "annotations": labels(&t.annotations),
        "values": values,
        "starts_at": t.starts_at.to_string(),
        "occurred_at": t.occurred_at.to_string(),
    });
    if let Some(readings) = &t.evidence {
        shown["evidence"] = evidence(readings);
    }
    shown
}

/// The readings of a transition as the hub's API shows them.
fn evidence(evidence: &Evidence) -> Json {
    let reading = |reading: &Reading| {
        let values: Vec<Json> = reading.values.iter().map(Value::to_json).collect();
        json!({ "at": reading.at.to_string(), "values": values })
    };
    let readings: Vec<Json> = evidence.readings.iter().map(reading).collect();
    let columns: Vec<&str> = evidence.columns.iter().map(|name| &**name).collect();
    json!({ "columns": columns, "readings": readings })
}

/// A transition as a line for people.
pub(super) fn as_text(t: &Transition) -> String {
    let keys: Vec<String> = t
        .labels
        .iter()
        .filter(|(k, _)| !OWN_LABELS.contains(&&***k))
        .map(|(k, v)| format!("{k}={v}"))
        .collect();
    let said = t.annotations.get("summary").map_or_else(
        || {
            let values: Vec<String> = t.values.iter().map(|(k, v)| format!("{k}={v}")).collect();
            values.join(" ")
        },
        ToString::to_string,
    );
    let state = match t.state {
        State::Firing | State::Up(_) => "FIRING",
        State::Occurred => "OCCURRED",
        State::Resolved(_) => "resolved",
    };
    let reason = match t.state.reason() {
        "" | "recovered" => String::new(),
        reason => format!(" ({reason})"),
    };
    format!(
        "{}  {state:8}{reason}  {:8}  {}/{}  {}  {said}",
        t.occurred_at,
        t.severity,
        t.ruleset,
        t.rule,
        keys.join(" ")
    )
}

fn summary(core: &Core, messages: u64) -> String {
    let mut rows = Vec::new();
    let mut rejects = Vec::new();
    for (name, set) in core.sets() {
        // A summary looks back: whether a ceiling was reached lately is no matter.
        rows.extend(rules(name, set, Mono::default()).map(|rule| rule_row(&rule)));
        for (stream, stats) in set.streams() {
            for (reason, count) in stats.rejects().filter(|(_, count)| *count > 0) {
                let example = stats.samples().filter(|s| s.reason == reason).last();
                let detail = example.map(|s| s.detail.clone()).unwrap_or_default();
                rejects.push(format!("  stream {}: {count} {reason}, such as: {detail}\n", stream.name));
            }
        }
    }
    let heading = [
        "set",
        "rule",
        "rows",
        "matches",
        "unused",
        "undefined",
        "state",
        "time",
        "transitions",
        "pending",
        "firing",
    ];
    let mut text = format!("\n{messages} messages\n{}", table(&heading, &rows));
    if !rejects.is_empty() {
        text.push_str("\nrejected\n");
        text.extend(rejects);
    }
    text
}

fn rule_row(r: &RuleStatus) -> Vec<String> {
    let mut row = vec![r.ruleset.clone(), r.rule.clone()];
    row.extend([r.rows, r.matched, r.unused(), r.undefined].map(|n| n.to_string()));
    row.extend([bytes(r.bytes), accounts::time(r.nanos)]);
    row.extend([r.transitions, r.pending, r.firing].map(|n| n.to_string()));
    row
}
