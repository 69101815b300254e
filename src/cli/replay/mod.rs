//! `weir replay`: what the rules would have raised over a recording.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "this is what the verb is for")]

mod plot;
mod story;
mod truth;
mod vary;

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
use crate::plan::definition::RuleDef;
use crate::plan::text::Text;
use crate::plan::{self, RuleSetDef};
use crate::tasks::StopSource;

use super::accounts;
use super::alerts::thresholds;
use super::status::bytes;
use super::table::table;
use plot::Panel;
use story::{Stories, heading};
use truth::Truth;
use vary::Vary;

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
    /// One JSON object a transition, and nothing else; with --table or --vary one object with the figures
    #[arg(long)]
    json: bool,
    /// Only what became of each rule: how often it fired, for how long, of which keys
    #[arg(long)]
    table: bool,
    /// Only this rule, by its id
    #[arg(long, value_name = "ID")]
    rule: Option<String>,
    /// Known incidents, a line `from,until` each: which of them the alerts caught, how long before their end, and how
    /// many alerts were of none
    #[arg(long, value_name = "FILE")]
    truth: Option<PathBuf>,
    /// Try a rule with each number of a range: `overheating.when=t > 70..90/5`, `for=1m..10m/1m`
    #[arg(long, value_name = "[RULE.]FIELD=TEXT", value_parser = Vary::parse)]
    vary: Option<Vary>,
    /// Draw what the rule judges and when it was up (with --vary how often it fires), as `.svg` or `.html`
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
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
        // What comes of a year in a second is no storm.
        let limits = Limits { engine: measured, rate: 0, ..limits };
        let mut core = Core::new(self.agent.as_str().into(), limits);
        let truth = self.truth.as_deref().map(Truth::read).transpose()?;
        let mut stories = Stories::default();
        for file in &self.rules {
            if !self.load(&mut core, &mut stories, file)? {
                return Ok(ExitCode::FAILURE);
            }
        }
        let quiet = self.table || self.vary.is_some();
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
        let out = Output::new(self.json, quiet, self.rule.clone());
        let mut run =
            Run { core, clock: Timestamp::MIN, out, stories, series: Vec::new(), bad_lines: 0, messages: 0 };
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
        run.end(&self, truth.as_ref())
    }

    /// Compiles a rule file into the core. Returns false where it is wrong, and has said so.
    fn load(&self, core: &mut Core, stories: &mut Stories, file: &Path) -> anyhow::Result<bool> {
        if !load(core, file)? {
            return Ok(false);
        }
        let Some(name) = directory::set_name(file) else { return Ok(true) };
        if let Some(set) = core.set(&name).filter(|_| self.vary.is_none()) {
            let ids: Vec<std::sync::Arc<str>> =
                set.plan.rules.iter().map(|rule| (&rule.alert.rule).into()).collect();
            let wanted = |id: &std::sync::Arc<str>| self.rule.as_deref().is_none_or(|rule| *rule == **id);
            ids.into_iter().filter(wanted).for_each(|id| stories.rule(&name, id));
        }
        if self.vary.is_none() && self.plot.is_none() {
            return Ok(true);
        }
        let text =
            std::fs::read_to_string(file).with_context(|| format!("read the rules {}", file.display()))?;
        // It was compiled above, so it can be read.
        let Ok(mut def) = plan::file::parse(&text) else { return Ok(true) };
        match &self.vary {
            Some(vary) => vary.apply(&mut def)?,
            None => self.watch(&mut def)?,
        }
        let items = def.items();
        let admitted = control::admit(
            &name,
            crate::model::ruleset::Origin::Directory,
            0,
            &items,
            None,
            &plan::Limits::default(),
        );
        match admitted {
            Ok(admitted) => {
                core.apply(Input::Run(Box::new(admitted)), Now::default());
                Ok(true)
            }
            Err(report) => {
                let first = report.diagnostics.first().map(ToString::to_string).unwrap_or_default();
                bail!("a variant of the rule is wrong: {first}")
            }
        }
    }

    /// Adds a rule that tells every row of the rule that is drawn.
    fn watch(&self, def: &mut RuleSetDef) -> anyhow::Result<()> {
        let drawn = |rule: &&RuleDef| self.rule.as_deref().is_none_or(|id| id == rule.id.as_str());
        let found: Vec<&RuleDef> = def.rules.iter().filter(drawn).collect();
        let [rule] = found.as_slice() else {
            let names: Vec<&str> = def.rules.iter().map(|rule| rule.id.as_str()).collect();
            bail!("say which rule to draw with --rule; there are {}", names.join(", "));
        };
        let mut probe = RuleDef::new(Text::own(format!("{}{PROBE}", rule.id.as_str())), rule.sql.clone());
        (probe.key, probe.repeat) = (rule.key.clone(), Some(Text::own("0")));
        def.rules.push(probe);
        Ok(())
    }
}

/// What the id of a rule ends with that tells every row of another.
const PROBE: &str = ".every-row";

/// The most keys that are drawn.
const MOST_PANELS: usize = 6;

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
    stories: Stories,
    /// Every row of the rule that is drawn.
    series: Vec<Transition>,
    bad_lines: u64,
    messages: u64,
}

impl Run {
    /// Takes one message. Returns false when nobody reads any more.
    fn take(&mut self, recorded: Record) -> anyhow::Result<bool> {
        self.messages += 1;
        let transitions = self.core.replay(&recorded.message, &mut self.clock);
        if self.clock > Timestamp::MIN {
            self.stories.reading(self.clock);
        }
        for transition in transitions {
            if transition.rule.ends_with(PROBE) {
                self.series.push(transition);
                continue;
            }
            self.stories.transition(&transition);
            if self.out.only.as_ref().is_some_and(|rule| **rule != *transition.rule) {
                continue;
            }
            let transition = &transition;
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

    fn end(self, asked: &Replay, truth: Option<&Truth>) -> anyhow::Result<ExitCode> {
        if self.bad_lines > 0 {
            eprintln!("weir: {} lines of {} could not be read", self.bad_lines, asked.file.display());
        }
        let quiet = asked.table || asked.vary.is_some();
        let told = match &asked.vary {
            Some(vary) => self.varied(vary, truth),
            None => self.stories_of(asked.rule.as_deref(), truth),
        };
        match (asked.json, quiet) {
            (true, false) => {}
            (true, true) => println!("{}", serde_json::to_string_pretty(&told.json)?),
            (false, true) => print!("{}", told.text),
            (false, false) => print!("{}{}", summary(&self.core, self.messages), told.text),
        }
        if let Some(file) = &asked.plot {
            let (title, svg) = match &asked.vary {
                Some(vary) => (told.title.clone(), told.curve(vary)),
                None => self.drawn(truth),
            };
            let page = file.extension().is_some_and(|end| end == "html");
            let text = if page { plot::page(&title, &svg, &told.text) } else { svg };
            std::fs::write(file, text).with_context(|| format!("write the plot {}", file.display()))?;
            eprintln!("weir: drawn in {}", file.display());
        }
        Ok(if self.bad_lines > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }
}

/// Figures, for people and for programs.
struct Told {
    title: String,
    text: String,
    json: Json,
    alerts: Vec<f64>,
    falsely: Option<Vec<f64>>,
}

impl Told {
    fn curve(&self, vary: &Vary) -> String {
        let values: Vec<String> = vary.variants.iter().map(|(value, _)| value.clone()).collect();
        plot::curve(&self.title, &values, &self.alerts, self.falsely.as_deref())
    }
}

impl Run {
    /// What became of each rule.
    fn stories_of(&self, only: Option<&str>, truth: Option<&Truth>) -> Told {
        let span = self.stories.span();
        let (mut rows, mut all) = (Vec::new(), Vec::new());
        for ((set, rule), story) in &self.stories.rules {
            if only.is_some_and(|only| *only != **rule) {
                continue;
            }
            let figures = story.figures(span, truth);
            rows.push([vec![format!("{set}/{rule}")], figures.cells()].concat());
            let mut one = figures.json();
            (one["ruleset"], one["rule"]) = ((&**set).into(), (&**rule).into());
            all.push(one);
        }
        let mut heading = heading(truth.is_some());
        heading.insert(0, "rule");
        let over = over(span);
        let json = json!({ "from": span.0.to_string(), "until": span.1.to_string(), "messages": self.messages, "rules": all });
        let text = format!("\nalerts {over}\n{}", table(&heading, &rows));
        Told { title: format!("alerts {over}"), text, json, alerts: Vec::new(), falsely: None }
    }

    /// What became of each variant.
    fn varied(&self, vary: &Vary, truth: Option<&Truth>) -> Told {
        let span = self.stories.span();
        let none = story::Story::default();
        let (mut rows, mut all, mut alerts, mut falsely) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for (n, (value, text)) in vary.variants.iter().enumerate() {
            let mut stories = self.stories.rules.iter();
            let story = stories
                .find(|((_, id), _)| Vary::variant_of(id) == Some(n))
                .map_or(&none, |(_, story)| story);
            let figures = story.figures(span, truth);
            rows.push([vec![value.clone()], figures.cells()].concat());
            let mut one = figures.json();
            (one["value"], one[&*vary.field]) = (value.as_str().into(), text.trim().into());
            all.push(one);
            #[expect(clippy::cast_precision_loss, reason = "a place in a picture")]
            alerts.push(figures.alerts as f64);
            #[expect(clippy::cast_precision_loss, reason = "a place in a picture")]
            falsely.extend(figures.score.map(|score| score.false_alarms as f64));
        }
        let mut heading = heading(truth.is_some());
        heading.insert(0, &vary.field);
        let whose = vary.rule.as_deref().map_or(String::new(), |rule| format!("{rule}."));
        let (first, last) = (vary.variants.first(), vary.variants.last());
        let range =
            first.zip(last).map_or(String::new(), |(a, b)| format!("{} … {}", a.1.trim(), b.1.trim()));
        let title = format!("alerts of {whose}{}: {range}, {}", vary.field, over(span));
        let text = format!("{title}\n{}", table(&heading, &rows));
        Told { title, text, json: Json::Array(all), alerts, falsely: truth.map(|_| falsely) }
    }

    /// The rule that is drawn: what it judges, its limits, and when its alerts were up.
    fn drawn(&self, truth: Option<&Truth>) -> (String, String) {
        let span = self.stories.span();
        let Some(first) = self.series.first() else {
            return ("nothing to draw".to_owned(), plot::series("the rule gave no row", &[], &[], span));
        };
        let rule = first.rule.trim_end_matches(PROBE).to_owned();
        let limits =
            self.core.set(&first.ruleset).map(|set| thresholds::of(&set.plan, &rule)).unwrap_or_default();
        // What is held against a number; where nothing is, what comes first and is one.
        let number = |t: &Transition, name: &str| {
            let value = t.values.iter().find(|(known, _)| **known == *name).map(|(_, value)| value)?;
            value.to_json().as_f64()
        };
        let mut columns: Vec<String> = Vec::new();
        for limit in &limits {
            if !columns.contains(&limit.output) {
                columns.push(limit.output.clone());
            }
        }
        if columns.is_empty() {
            let names = first.values.iter().map(|(name, _)| name.to_string());
            let any = |name: &String| self.series.iter().any(|t| number(t, name).is_some());
            columns.extend(names.filter(any).take(1));
        }
        let story = self.stories.rules.get(&(first.ruleset.clone(), rule.as_str().into()));
        let mut panels: Vec<(String, Panel)> = Vec::new();
        for t in &self.series {
            let own = t.labels.iter().filter(|(name, _)| !OWN_LABELS.contains(&&***name));
            let key = own.map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ");
            for column in &columns {
                let Some(value) = number(t, column) else { continue };
                let title = if key.is_empty() { column.clone() } else { format!("{column}  {key}") };
                let at = panels.iter().position(|(_, panel)| panel.title == title).unwrap_or_else(|| {
                    panels.push((key.clone(), Panel { title, ..Panel::default() }));
                    panels.len() - 1
                });
                if panels[at].1.limits.is_empty() {
                    let own = limits.iter().filter(|limit| limit.output == *column);
                    panels[at].1.limits = own.map(|limit| (limit.at, limit.of.clone())).collect();
                }
                panels[at].1.points.push((t.occurred_at, value));
            }
        }
        // Those with the most alerts first: it is they that people ask about.
        let bands = |key: &str| {
            let those = story.into_iter().flat_map(|story| &story.episodes).filter(|one| one.key == key);
            those.map(|one| (one.from, one.until.unwrap_or(span.1))).collect::<Vec<_>>()
        };
        panels.iter_mut().for_each(|(key, panel)| panel.bands = bands(key));
        panels.sort_by_key(|(_, panel)| std::cmp::Reverse(panel.bands.len()));
        let (all, title) = (panels.len(), format!("{rule} {}", over(span)));
        let panels: Vec<Panel> = panels.into_iter().take(MOST_PANELS).map(|(_, panel)| panel).collect();
        let title =
            if all > panels.len() { format!("{title} ({} of {all} series)", panels.len()) } else { title };
        let incidents = truth.map(|truth| truth.incidents.as_slice()).unwrap_or_default();
        (title.clone(), plot::series(&title, &panels, incidents, span))
    }
}

/// `over 78d18h, from 2013-12-02T21:15:00Z`.
fn over(span: (Timestamp, Timestamp)) -> String {
    format!("over {}, from {}", story::brief(span.1.since(span.0)), span.0)
}

struct Output {
    to: io::BufWriter<io::Stdout>,
    json: bool,
    /// Whether transitions are left out.
    quiet: bool,
    /// The rule whose transitions are shown; all where `None`.
    only: Option<String>,
}

impl Output {
    fn new(json: bool, quiet: bool, only: Option<String>) -> Self {
        Self { to: io::BufWriter::new(io::stdout()), json, quiet, only }
    }

    /// Writes one transition. Returns false when the reader is gone.
    fn transition(&mut self, transition: &Transition) -> anyhow::Result<bool> {
        if self.quiet {
            return Ok(true);
        }
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
