//! Runs one case: a core with its rules, driven by the case's events.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::agent::core::{Core, Effects, Input, Limits};
use crate::control::{self, Admitted, Running};
use crate::model::diagnostic::Diagnostic;
use crate::model::kept::StateKey;
use crate::model::message::Message;
use crate::model::time::{Mono, Now, Timestamp};
use crate::model::transition::Transition;
use crate::plan;

use super::{Action, Case, Event, Outcome};

/// The label `agent` of all alerts in cases.
const AGENT: &str = "test";

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
/// A `swap` whose rules do not compile, or a restart that lost something.
pub fn run(case: &Case, rules: &Admitted, mode: Mode) -> Result<Outcome, String> {
    let first = case.events.first().map_or(super::START, |event| event.at);
    let mut bench = Bench::new(rules.clone(), first);
    for (i, event) in case.events.iter().enumerate() {
        if i > 0 && mode == Mode::Restart {
            bench.restart(case.events[i - 1].at)?;
        }
        bench.take(event)?;
    }
    Ok(bench.end())
}

/// The core, and what an agent keeps on disk beside it.
struct Bench {
    core: Core,
    running: Option<Admitted>,
    name: Arc<str>,
    connected: bool,
    kept: BTreeMap<StateKey, Vec<u8>>,
    transitions: Vec<Transition>,
}

impl Bench {
    fn new(rules: Admitted, at: Timestamp) -> Self {
        let mut bench = Self {
            core: Core::new(AGENT.into(), Limits::default()),
            name: rules.name.clone(),
            running: None,
            connected: true,
            kept: BTreeMap::new(),
            transitions: Vec::new(),
        };
        bench.run(rules, at);
        bench
    }

    fn take(&mut self, event: &Event) -> Result<(), String> {
        let at = event.at;
        match &event.action {
            Action::Message { source, topic, payload, retained } => {
                self.pass(at, false);
                let message = Message {
                    source: source.as_str().into(),
                    topic: topic.clone().into(),
                    payload: payload.clone().into(),
                    received: at,
                    retained: *retained,
                    dup: false,
                    qos: 0,
                    properties: Box::default(),
                    ack: None,
                };
                self.apply(Input::Messages(vec![message]), at);
            }
            Action::Tick => self.pass(at, true),
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
                self.apply(Input::Remove(self.name.clone()), at);
            }
            Action::Restart => {
                self.pass(at, true);
                self.restart(at)?;
            }
            Action::Connected(connected) => {
                self.pass(at, true);
                self.connected = *connected;
                self.apply(Input::Connected(*connected), at);
            }
        }
        Ok(())
    }

    /// Lets every timer that is due before `at` run out at its own time; those due at `at` too, if
    /// `through`. What is due at the very instant of a message is due after it.
    fn pass(&mut self, at: Timestamp, through: bool) {
        while let Some(due) = self.core.next_deadline() {
            let due = Timestamp::from_micros(i64::try_from(due.micros()).unwrap_or(i64::MAX));
            if due > at || (due == at && !through) {
                return;
            }
            self.apply(Input::Tick, due);
            // A deadline that has nothing to do moves on, or the core would never sleep.
            if self.core.next_deadline() == Some(now(due).mono) {
                return;
            }
        }
    }

    fn apply(&mut self, input: Input, at: Timestamp) {
        let Effects { transitions, states, .. } = self.core.apply(input, now(at));
        self.transitions.extend(transitions);
        for change in states {
            match change.body {
                Some(body) => self.kept.insert(change.key, body),
                None => self.kept.remove(&change.key),
            };
        }
    }

    fn run(&mut self, rules: Admitted, at: Timestamp) {
        self.running = Some(rules.clone());
        self.apply(Input::Run(Box::new(rules)), at);
    }

    /// What the agent does from one process to the next: rules, the snapshot, the kept states.
    fn restart(&mut self, at: Timestamp) -> Result<(), String> {
        let snapshot = self.core.snapshot(now(at), true);
        self.core = Core::new(AGENT.into(), Limits::default());
        if let Some(rules) = self.running.clone() {
            self.run(rules, at);
        }
        self.core.restore(&snapshot, now(at)).map_err(|why| format!("restart: {why}"))?;
        let kept: Vec<(StateKey, Vec<u8>)> = self.kept.clone().into_iter().collect();
        let unreadable = self.core.restore_alerts(&kept, now(at));
        if unreadable > 0 {
            return Err(format!("restart: {unreadable} kept states cannot be read"));
        }
        if !self.connected {
            self.apply(Input::Connected(false), at);
        }
        Ok(())
    }

    fn end(self) -> Outcome {
        let active: Vec<_> = self.core.sets().flat_map(|(_, set)| set.active()).collect();
        let (pending, firing) = active.into_iter().partition(|alert| alert.phase == "pending");
        Outcome { transitions: self.transitions, pending, firing }
    }
}

/// Recorded time in the place of both clocks.
fn now(at: Timestamp) -> Now {
    Now { wall: at, mono: Mono::from_micros(u64::try_from(at.micros()).unwrap_or(0)) }
}
