//! Runs one case: a core with its rules, driven by the case's events.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::agent::calendar::is_trusted;
use crate::agent::core::{Core, Effects, Input, Limits};
use crate::control::{self, Admitted, Running};
use crate::model::diagnostic::Diagnostic;
use crate::model::kept::StateKey;
use crate::model::message::{Message, NODE_SOURCE};
use crate::model::time::{Downtime, Mono, Now, Timestamp};
use crate::plan;

use super::{Action, Case, Event, Moment, Outcome, SOURCE, format_time, scene};

/// The label `agent` of all alerts in cases.
const AGENT: &str = "test";

/// So many standing alerts are looked at after every change.
const MOST_NOTICED: u64 = 200;

/// How a case is run. All ways must give the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// As it is written.
    Plain,
    /// With a restart of the agent between every two events.
    Restart,
}

/// Compiles the text of a rule file.
///
/// # Errors
/// All that is wrong with it.
pub fn admit(name: &str, text: &str) -> Result<Admitted, Vec<Diagnostic>> {
    admit_on(name, text, None)
}

/// As [`admit`], on what runs.
pub(in crate::agent) fn admit_on(
    name: &str,
    text: &str,
    before: Option<&Admitted>,
) -> Result<Admitted, Vec<Diagnostic>> {
    let before = before.map(|set| Running { plan: set.plan.clone(), basis: set.basis.clone() });
    let admitted = control::admit_file_on(&Arc::from(name), text, before.as_ref(), &plan::Limits::default());
    admitted.map_err(|report| report.diagnostics)
}

/// Runs a case over these rules.
///
/// # Errors
/// A series that no stream reads, a `swap` whose rules do not compile, or a restart that lost something.
pub fn run(case: &Case, rules: &Admitted, mode: Mode) -> Result<Outcome, String> {
    scene::check_names(case, &rules.plan)?;
    let events = events(case, rules)?;
    let first = events.first().map_or(super::START, |event| event.at);
    let mut bench = Bench::new(rules.clone(), first);
    let mut before = None;
    for event in &events {
        if let Some(before) = before
            && mode == Mode::Restart
            && bench.asleep.is_none()
        {
            bench.restart(before)?;
        }
        bench.take(event)?;
        before = Some(event.at);
    }
    bench.end()
}

/// All that happens, in the order of time. What is looked at is looked at after all else of its instant.
fn events(case: &Case, rules: &Admitted) -> Result<Vec<Event>, String> {
    let mut all = case.events.clone();
    for series in &case.series {
        let messages = series.messages(&rules.plan.streams, &mut all);
        messages.map_err(|why| format!("line {}: {why}", series.line))?;
    }
    let rank = |action: &Action| match action {
        Action::End => 1,
        Action::Check(_) => 2,
        _ => 0,
    };
    all.sort_by_key(|event| (event.at, rank(&event.action)));
    Ok(all)
}

/// An agent that is down.
struct Asleep {
    /// When it is up again.
    until: Timestamp,
    /// Whether that time counts.
    downtime: Downtime,
    snapshot: Vec<u8>,
}

/// The core, and what an agent keeps on disk beside it.
struct Bench {
    core: Core,
    running: Option<Admitted>,
    name: Arc<str>,
    /// The sources that are not connected.
    down: BTreeSet<Arc<str>>,
    /// Those that are configured, where the case says.
    configured: Option<Vec<Arc<str>>>,
    kept: BTreeMap<StateKey, Vec<u8>>,
    /// While the agent is down: since when it is up again, and what it left behind.
    asleep: Option<Asleep>,
    /// How far ahead the calendar is, µs: as the agent took it when it came up, and as it is.
    ahead: (i64, i64),
    outcome: Outcome,
}

impl Bench {
    fn new(rules: Admitted, at: Timestamp) -> Self {
        let mut bench = Self {
            core: Core::new(AGENT.into(), Limits::default()),
            name: rules.name.clone(),
            running: None,
            down: BTreeSet::new(),
            configured: None,
            kept: BTreeMap::new(),
            asleep: None,
            ahead: (0, 0),
            outcome: Outcome::default(),
        };
        bench.run(rules, at);
        bench
    }

    fn take(&mut self, event: &Event) -> Result<(), String> {
        let at = event.at;
        if let Some(up) = self.asleep.as_ref().map(|asleep| asleep.until) {
            match &event.action {
                Action::Message { .. } if at < up => return Ok(()),
                Action::Clock(_) | Action::Tick | Action::End if at < up => {}
                _ if at < up => {
                    return Err(format!(
                        "at {} the agent is down until {}",
                        format_time(at),
                        format_time(up)
                    ));
                }
                _ => self.wake()?,
            }
        }
        match &event.action {
            Action::Message { source, topic, payload, retained } => {
                self.pass(at, false);
                let message = Message {
                    source: source.as_str().into(),
                    topic: topic.clone().into(),
                    payload: payload.clone().into(),
                    received: self.now(at).wall,
                    retained: *retained,
                    dup: false,
                    qos: 0,
                    properties: Box::default(),
                    ack: None,
                };
                self.apply(Input::Messages(vec![message]), at);
            }
            Action::Tick | Action::End => self.pass(at, true),
            Action::Swap(text) => {
                self.pass(at, true);
                let rules = admit_on(&self.name, text, self.running.as_ref()).map_err(|found| {
                    let found: Vec<String> = found.iter().map(ToString::to_string).collect();
                    format!("the rules of `swap` do not compile:\n{}", found.join("\n"))
                })?;
                self.run(rules, at);
            }
            Action::Remove => {
                self.pass(at, true);
                self.running = None;
                self.outcome.exercised.rules_change();
                self.apply(Input::Remove(self.name.clone()), at);
            }
            Action::Restart { down, downtime } => {
                self.pass(at, true);
                self.fall_asleep(at, at.plus(*down), *downtime);
                if down.is_zero() {
                    self.wake()?;
                }
            }
            Action::Connected(source, connected) => {
                self.pass(at, true);
                let sources = match source {
                    Some(source) => vec![Arc::from(source.as_str())],
                    None => self.sources(),
                };
                for source in sources {
                    match connected {
                        true => self.down.remove(&source),
                        false => self.down.insert(source.clone()),
                    };
                    self.apply(Input::Connected(source, *connected, None), at);
                }
            }
            Action::Sources(sources) => {
                self.pass(at, true);
                let sources: Vec<Arc<str>> = sources.iter().map(|source| source.as_str().into()).collect();
                self.down.retain(|source| sources.contains(source));
                self.configured = Some(sources.clone());
                self.apply(Input::Sources(sources), at);
            }
            Action::Clock(ahead) => {
                self.pass(at, true);
                self.ahead.1 = *ahead;
                self.judge_clock(at);
            }
            Action::Resolve(alert) => {
                self.pass(at, true);
                let standing = self.moment().active;
                let Some(meant) = standing.iter().find(|one| alert.is_about(one)) else {
                    return Err(format!("line {}: no such alert stands at {}", alert.line, format_time(at)));
                };
                let why = alert.reason.as_deref().unwrap_or("").into();
                self.apply(Input::Resolve(meant.fingerprint, why), at);
            }
            Action::Check(_) => {
                self.pass(at, true);
                let moment = self.moment();
                self.outcome.checks.push(moment);
            }
        }
        Ok(())
    }

    /// Lets every timer that is due before `at` run out at its own time; those due at `at` too, if
    /// `through`. What is due at the very instant of a message is due after it.
    fn pass(&mut self, at: Timestamp, through: bool) {
        if self.asleep.is_some() {
            return;
        }
        while let Some(due) = self.core.next_deadline() {
            let due = Timestamp::from_micros(i64::try_from(due.micros()).unwrap_or(i64::MAX));
            if due > at || (due == at && !through) {
                return;
            }
            self.apply(Input::Tick, due);
            // A deadline that has nothing to do moves on, or the core would never sleep.
            if self.core.next_deadline() == Some(mono(due)) {
                return;
            }
        }
    }

    fn apply(&mut self, input: Input, at: Timestamp) {
        let Effects { transitions, states, .. } = self.core.apply(input, self.now(at));
        let changed = !transitions.is_empty() || !states.is_empty();
        for transition in &transitions {
            self.outcome.exercised.transition(transition);
        }
        self.outcome.transitions.extend(transitions);
        for change in states {
            match change.body {
                Some(body) => self.kept.insert(change.key, body),
                None => self.kept.remove(&change.key),
            };
        }
        if changed {
            self.notice();
        }
    }

    /// Notes in which phases alerts stand. Of very many one sees no more than of some.
    fn notice(&mut self) {
        let counts = self.core.sets().flat_map(|(_, set)| set.alert_counts());
        if counts.map(|counts| counts.pending + counts.firing).sum::<u64>() <= MOST_NOTICED {
            let active = self.moment().active;
            self.outcome.exercised.standing(&active);
        }
    }

    fn run(&mut self, rules: Admitted, at: Timestamp) {
        self.running = Some(rules.clone());
        self.outcome.exercised.rules_change();
        self.apply(Input::Run(Box::new(rules)), at);
    }

    /// The agent goes down and comes up in the same instant.
    fn restart(&mut self, at: Timestamp) -> Result<(), String> {
        self.fall_asleep(at, at, Downtime::Ignored);
        self.wake()
    }

    fn fall_asleep(&mut self, at: Timestamp, until: Timestamp, downtime: Downtime) {
        let snapshot = self.core.snapshot(self.now(at), true);
        self.asleep = Some(Asleep { until, downtime, snapshot });
    }

    /// What the agent does from one process to the next: rules, the snapshot, the kept states.
    fn wake(&mut self) -> Result<(), String> {
        let Some(Asleep { until: at, downtime, snapshot }) = self.asleep.take() else { return Ok(()) };
        self.unheard();
        self.core = Core::new(AGENT.into(), Limits::default());
        self.ahead.0 = self.ahead.1;
        self.judge_clock(at);
        if let Some(rules) = self.running.clone() {
            self.run(rules, at);
        }
        let restored = self.core.restore_across(&snapshot, self.now(at), downtime);
        restored.map_err(|why| format!("restart: {why}"))?;
        let kept: Vec<(StateKey, Vec<u8>)> = self.kept.clone().into_iter().collect();
        let unreadable = self.core.restore_alerts(&kept, self.now(at));
        if unreadable > 0 {
            return Err(format!("restart: {unreadable} kept states cannot be read"));
        }
        if let Some(sources) = self.configured.clone() {
            self.apply(Input::Sources(sources), at);
        }
        for source in self.down.clone() {
            self.apply(Input::Connected(source, false, None), at);
        }
        Ok(())
    }

    /// The sources that the streams name; where none does, the one that messages come from.
    fn sources(&self) -> Vec<Arc<str>> {
        let streams = self.running.iter().flat_map(|set| &set.plan.streams);
        let named: BTreeSet<Arc<str>> =
            streams.map(|stream| stream.source.clone().unwrap_or_else(|| SOURCE.into())).collect();
        named.into_iter().filter(|source| **source != *NODE_SOURCE).collect()
    }

    fn moment(&self) -> Moment {
        let active = self.core.all_active();
        Moment { active, told: self.outcome.transitions.len() }
    }

    fn end(mut self) -> Result<Outcome, String> {
        self.wake()?;
        self.unheard();
        self.outcome.end = self.moment();
        Ok(self.outcome)
    }

    /// Notes what this core could not make a reading of.
    fn unheard(&mut self) {
        let unmatched = self.core.counts().unmatched;
        if unmatched > 0 {
            let (s, have) = if unmatched == 1 { ("", "has") } else { ("s", "have") };
            let text = format!("{unmatched} message{s} {have} a topic that no stream reads");
            self.outcome.unheard.push(text);
        }
        for (_, set) in self.core.sets() {
            for (stream, stats) in set.streams() {
                let refused: u64 = stats.rejects().map(|(_, n)| n).sum();
                if let Some(sample) = stats.samples().last() {
                    self.outcome.unheard.push(format!(
                        "the stream `{}` refused {refused} payload{}; the last, on {}: {}",
                        stream.name,
                        if refused == 1 { "" } else { "s" },
                        sample.topic,
                        sample.detail
                    ));
                }
            }
        }
    }

    /// The true time in the place of the monotonic clock; the calendar as the agent took it when it
    /// came up, and carried on since.
    fn now(&self, at: Timestamp) -> Now {
        Now { wall: shifted(at, self.ahead.0), mono: mono(at) }
    }

    fn judge_clock(&mut self, at: Timestamp) {
        self.core.trust_clock(is_trusted(self.now(at).wall, shifted(at, self.ahead.1), None));
    }
}

fn shifted(at: Timestamp, ahead: i64) -> Timestamp {
    Timestamp::from_micros(at.micros().saturating_add(ahead))
}

fn mono(at: Timestamp) -> Mono {
    Mono::from_micros(u64::try_from(at.micros()).unwrap_or(0))
}
