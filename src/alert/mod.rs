//! Observations in, transitions out: the life of every alert of one rule set.
//!
//! A [`Book`] holds one instance for each (rule, key) that has something to remember. Timers run
//! in the stream time of their key: from observation to observation by the observations' own
//! times, and while the key is quiet by the monotonic clock, as if the last observation held. An
//! observation at the very instant of a timer is applied before it.
//!
//! The book knows no SQL and does no I/O. What must survive a crash is handed out with
//! [`Book::take_changes`], to be committed with the transitions it belongs to.

mod instance;
mod saved;
mod template;

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use crate::model::alerting::{AlertSpec, RuleKind};
use crate::model::kept::{StateChange, StateKey};
use crate::model::label::{Fingerprint, Labels};
use crate::model::row::Observation;
use crate::model::time::{Mono, Now, Timestamp};
use crate::model::transition::{Reason, State, Transition};
use crate::model::value::Value;

use instance::{Instance, Phase, Step};
pub use saved::{SavedState, SavedStateError};

/// How many keys a rule may have in memory. Beyond it a key that was quiet long and has no alert
/// is forgotten; a key that finds none to take the place of is refused and counted.
const MAX_KEYS: usize = 10_000;

/// The alerts of one rule set.
#[derive(Debug)]
pub struct Book {
    agent: Arc<str>,
    specs: Vec<Arc<AlertSpec>>,
    instances: HashMap<u64, Instance>,
    index: HashMap<(usize, Box<[Value]>), u64>,
    /// Deadlines on the monotonic clock, of instances that have one.
    timers: BTreeSet<(Mono, u64)>,
    next_id: u64,
    /// Keys in memory, by rule.
    keys: Vec<usize>,
    /// Every quiet key by rule, each once, with its newest observation when it was put there. What
    /// has changed since is seen to when it comes to the front, so that an observation costs
    /// nothing here and a key that is not known finds room without a look at all others.
    quiet: Vec<VecDeque<(u64, Timestamp)>>,
    counts: Vec<Counts>,
    changed: BTreeSet<u64>,
    /// Whether a key had no room since somebody asked.
    limited: bool,
    /// States of instances that are gone, to be deleted where they are kept.
    gone: Vec<StateKey>,
}

/// What a rule's alerts did since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Alerts that are firing (or kept up).
    pub firing: u64,
    /// Alerts that wait for their `for`.
    pub pending: u64,
    /// Transitions made.
    pub transitions: u64,
    /// Observations older than one of the same key: not used.
    pub outdated: u64,
    /// Observations of a key that had no room: not used.
    pub refused: u64,
}

/// One alert as it stands, for people.
#[derive(Clone, Debug, PartialEq)]
pub struct Active {
    /// `pending`, `firing` or `keeping`.
    pub phase: &'static str,
    /// Its identity.
    pub labels: Labels,
    /// Its fingerprint.
    pub fingerprint: Fingerprint,
    /// Its rule's severity.
    pub severity: Arc<str>,
    /// Since when the condition holds, in stream time.
    pub since: Timestamp,
    /// The newest row, by column.
    pub values: Vec<(Arc<str>, Value)>,
}

impl Book {
    /// An empty book for the rules of one set, in the order of their plan.
    pub fn new(agent: Arc<str>, specs: Vec<Arc<AlertSpec>>) -> Self {
        let rules = specs.len();
        Self {
            agent,
            specs,
            instances: HashMap::new(),
            index: HashMap::new(),
            timers: BTreeSet::new(),
            next_id: 0,
            keys: vec![0; rules],
            quiet: vec![VecDeque::new(); rules],
            counts: vec![Counts::default(); rules],
            changed: BTreeSet::new(),
            limited: false,
            gone: Vec::new(),
        }
    }

    /// Takes one observation; what it changes upstream is appended to `out`.
    pub fn observe(&mut self, mut seen: Observation, now: Now, out: &mut Vec<Transition>) {
        let rule = seen.rule;
        // An alert is told apart by what its labels say, as everybody upstream tells it.
        for value in &mut seen.key {
            *value = as_label(value).map_or(Value::Null, Value::Str);
        }
        let Some(spec) = self.specs.get(rule).cloned() else { return };
        let occurrence = matches!(spec.kind, RuleKind::Occurrence { .. });
        if occurrence && seen.retained {
            return;
        }
        let found = self.index.get(&(rule, seen.key.clone())).copied();
        let id = match found {
            Some(id) => id,
            None => match self.admit(rule, &seen) {
                Some(id) => id,
                None => {
                    self.counts[rule].refused += 1;
                    self.limited = true;
                    return;
                }
            },
        };
        let Some(instance) = self.instances.get_mut(&id) else { return };
        // An occurrence is an event of its own, whenever it is dated.
        if seen.at < instance.last_at && !occurrence {
            self.counts[rule].outdated += 1;
            return;
        }
        let before = instance.phase;
        let old_timer = instance.deadline(&spec);
        let mut steps = Vec::new();
        if occurrence {
            // `repeat` ends before its last instant: readings a minute apart are told each minute.
            instance.expire_until(&spec.kind, seen.at, &mut steps);
        } else {
            instance.expire_before(&spec.kind, seen.at, &mut steps);
        }
        if instance.phase != before {
            // What ran out before this observation is told with the row that stood then.
            self.settle(id, before, old_timer, &spec, &steps, now, out);
            steps.clear();
        }
        let Some(instance) = self.instances.get_mut(&id) else { return };
        let (before, old_timer) = (instance.phase, instance.deadline(&spec));
        instance.apply(&spec.kind, &seen, now.mono, &mut steps);
        instance.expire_until(&spec.kind, seen.at, &mut steps);
        self.settle(id, before, old_timer, &spec, &steps, now, out);
    }

    /// Lets the timers that are due at `now` run out.
    pub fn tick(&mut self, now: Now, out: &mut Vec<Transition>) {
        while let Some((due, id)) = self.timers.first().copied() {
            if due > now.mono {
                return;
            }
            let Some(instance) = self.instances.get_mut(&id) else {
                self.timers.remove(&(due, id));
                continue;
            };
            let spec = self.specs[instance.rule].clone();
            let before = instance.phase;
            let mut steps = Vec::new();
            let until = instance.stream_time(now.mono);
            instance.expire_until(&spec.kind, until, &mut steps);
            self.settle(id, before, Some(due), &spec, &steps, now, out);
            // What did not expire in stream time is due later; a timer never stays in the past.
            if self.timers.first() == Some(&(due, id)) {
                self.timers.remove(&(due, id));
            }
        }
    }

    /// When [`Self::tick`] next has something to do.
    pub fn next_deadline(&self) -> Option<Mono> {
        self.timers.first().map(|(due, _)| *due)
    }

    /// Goes over to other rules. A rule with the same id keeps the alerts whose identity it keeps;
    /// the others resolve.
    pub fn swap(&mut self, specs: Vec<Arc<AlertSpec>>, now: Now, out: &mut Vec<Transition>) {
        let place: HashMap<Arc<str>, usize> =
            specs.iter().enumerate().map(|(i, s)| (s.rule.clone(), i)).collect();
        let old = std::mem::replace(self, Self::new(self.agent.clone(), specs));
        self.next_id = old.next_id;
        self.gone = old.gone;
        for (i, counts) in old.counts.iter().enumerate() {
            if let Some(&j) = place.get(&old.specs[i].rule) {
                self.counts[j] = Counts { firing: 0, pending: 0, ..*counts };
            }
        }
        let mut instances: Vec<(u64, Instance)> = old.instances.into_iter().collect();
        instances.sort_unstable_by_key(|(id, _)| *id);
        for (id, mut instance) in instances {
            let was = &old.specs[instance.rule];
            let target = place.get(&was.rule).copied();
            match target {
                Some(rule) if keeps_identity(was, &self.specs[rule]) => {
                    instance.rule = rule;
                    instance.values = carried_over(&instance.values, was, &self.specs[rule]);
                    self.insert(id, instance);
                    // The kept state's rule may count differently from here on.
                    if old.changed.contains(&id) {
                        self.changed.insert(id);
                    }
                }
                _ => {
                    let reason = if target.is_some() { Reason::RuleChanged } else { Reason::RuleRemoved };
                    if instance.phase.is_up() {
                        let at = instance.stream_time(now.mono);
                        let step = Step { state: State::Resolved(reason), at, since: instance.since() };
                        out.push(self.transition(was, &instance, step, now));
                    }
                    if instance.phase != Phase::Quiet {
                        self.gone.push(state_key(&self.agent, was, &instance.key));
                    }
                }
            }
        }
    }

    /// The states that changed since the last call, to be committed with the transitions.
    pub fn take_changes(&mut self) -> Vec<StateChange> {
        let mut changes: Vec<StateChange> =
            self.gone.drain(..).map(|key| StateChange { key, body: None }).collect();
        for id in std::mem::take(&mut self.changed) {
            let Some(instance) = self.instances.get(&id) else { continue };
            let spec = &self.specs[instance.rule];
            let body =
                (instance.phase != Phase::Quiet).then(|| SavedState::of(instance, instance.anchor).encode());
            changes.push(StateChange { key: state_key(&self.agent, spec, &instance.key), body });
        }
        changes
    }

    /// Puts kept states back: the alerts of this book are exactly `states` afterwards. An alert
    /// that already stands in the same phase since the same time keeps its newer details.
    pub fn restore(&mut self, states: impl IntoIterator<Item = (Arc<str>, SavedState)>, now: Now) {
        let place: HashMap<Arc<str>, usize> =
            self.specs.iter().enumerate().map(|(i, s)| (s.rule.clone(), i)).collect();
        let mut kept = BTreeSet::new();
        for (rule, state) in states {
            let Some(&rule) = place.get(&rule) else { continue };
            let instance = state.into_instance(rule, now.mono);
            if instance.key.len() != self.specs[rule].key.len() {
                continue;
            }
            if let Some(&id) = self.index.get(&(rule, instance.key.clone())) {
                kept.insert(id);
                let same = self.instances.get(&id).is_some_and(|i| i.phase == instance.phase);
                if same {
                    continue;
                }
                self.remove(id);
            }
            let id = self.fresh_id();
            kept.insert(id);
            self.insert(id, instance);
        }
        let stray: Vec<u64> = self
            .instances
            .iter()
            .filter(|(id, i)| i.phase != Phase::Quiet && !kept.contains(id))
            .map(|(id, _)| *id)
            .collect();
        for id in stray {
            self.remove(id);
        }
        self.changed.clear();
        self.gone.clear();
    }

    /// What a snapshot holds of this book: every instance, also those without an alert, with
    /// their timers as far as they have run by `now`.
    pub fn snapshot(&self, now: Now) -> Vec<(Arc<str>, SavedState)> {
        let mut all: Vec<(&u64, &Instance)> = self.instances.iter().collect();
        all.sort_unstable_by_key(|(id, _)| **id);
        all.into_iter().map(|(_, i)| (self.specs[i.rule].rule.clone(), SavedState::of(i, now.mono))).collect()
    }

    /// Whether a rule had no room for a key since this was last asked.
    pub fn take_limited(&mut self) -> bool {
        std::mem::take(&mut self.limited)
    }

    /// Whether the one alert of a rule without a key is up.
    pub fn is_up(&self, rule: usize) -> bool {
        let id = self.index.get(&(rule, Box::default()));
        id.and_then(|id| self.instances.get(id)).is_some_and(|instance| instance.phase.is_up())
    }

    /// What each rule's alerts did, in the order of the plan.
    pub fn counts(&self) -> &[Counts] {
        &self.counts
    }

    /// Every alert that is pending or up, oldest first.
    pub fn active(&self) -> Vec<Active> {
        let mut all: Vec<&Instance> =
            self.instances.values().filter(|i| i.phase.is_up() || i.phase.is_pending()).collect();
        all.sort_by(|a, b| {
            (a.since(), &*self.specs[a.rule].rule).cmp(&(b.since(), &*self.specs[b.rule].rule))
        });
        all.into_iter()
            .map(|i| {
                let spec = &self.specs[i.rule];
                let labels = labels(&self.agent, spec, &i.key);
                Active {
                    phase: i.phase.name(),
                    fingerprint: Fingerprint::of(&labels),
                    labels,
                    severity: spec.severity.clone(),
                    since: i.since(),
                    values: named(spec, &i.values),
                }
            })
            .collect()
    }

    /// Room for a key that was not seen before. `None` where there is none.
    fn admit(&mut self, rule: usize, seen: &Observation) -> Option<u64> {
        if self.keys[rule] >= MAX_KEYS {
            let long_quiet = self.long_quiet(rule)?;
            self.remove(long_quiet);
        }
        let id = self.fresh_id();
        self.insert(id, Instance::quiet(rule, seen.key.clone()));
        Some(id)
    }

    /// A quiet key that was not observed since it was last looked at. `None` where none is quiet.
    fn long_quiet(&mut self, rule: usize) -> Option<u64> {
        while let Some((id, then)) = self.quiet[rule].pop_front() {
            let Some(instance) = self.instances.get_mut(&id) else { continue };
            if instance.phase != Phase::Quiet {
                instance.queued = false;
            } else if instance.last_at > then {
                self.quiet[rule].push_back((id, instance.last_at));
            } else {
                return Some(id);
            }
        }
        None
    }

    fn fresh_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    fn insert(&mut self, id: u64, mut instance: Instance) {
        let rule = instance.rule;
        instance.queued = instance.phase == Phase::Quiet;
        if instance.queued {
            self.quiet[rule].push_back((id, instance.last_at));
        }
        if let Some(due) = instance.deadline(&self.specs[rule]) {
            self.timers.insert((due, id));
        }
        self.keys[rule] += 1;
        self.count_phase(rule, instance.phase, true);
        self.index.insert((rule, instance.key.clone()), id);
        self.instances.insert(id, instance);
    }

    fn remove(&mut self, id: u64) {
        let Some(instance) = self.instances.remove(&id) else { return };
        let rule = instance.rule;
        if let Some(due) = instance.deadline(&self.specs[rule]) {
            self.timers.remove(&(due, id));
        }
        self.keys[rule] -= 1;
        self.count_phase(rule, instance.phase, false);
        self.index.remove(&(rule, instance.key));
        self.changed.remove(&id);
    }

    fn count_phase(&mut self, rule: usize, phase: Phase, up: bool) {
        let counts = &mut self.counts[rule];
        let gauge = if phase.is_up() {
            &mut counts.firing
        } else if phase.is_pending() {
            &mut counts.pending
        } else {
            return;
        };
        *gauge = if up { *gauge + 1 } else { gauge.saturating_sub(1) };
    }

    /// Books what happened to one instance: its timer, its counts, its kept state, its transitions.
    #[expect(clippy::too_many_arguments, reason = "what was before, and what came of it")]
    fn settle(
        &mut self,
        id: u64,
        before: Phase,
        old_timer: Option<Mono>,
        spec: &AlertSpec,
        steps: &[Step],
        now: Now,
        out: &mut Vec<Transition>,
    ) {
        let Some(instance) = self.instances.get(&id) else { return };
        let (rule, after) = (instance.rule, instance.phase);
        let timer = instance.deadline(spec);
        for step in steps {
            out.push(self.transition(spec, instance, *step, now));
        }
        self.counts[rule].transitions += steps.len() as u64;
        if timer != old_timer {
            if let Some(due) = old_timer {
                self.timers.remove(&(due, id));
            }
            if let Some(due) = timer {
                self.timers.insert((due, id));
            }
        }
        if before != after {
            self.count_phase(rule, before, false);
            self.count_phase(rule, after, true);
            self.changed.insert(id);
            if after == Phase::Quiet
                && let Some(instance) = self.instances.get_mut(&id).filter(|instance| !instance.queued)
            {
                instance.queued = true;
                self.quiet[rule].push_back((id, instance.last_at));
            }
        }
    }

    fn transition(&self, spec: &AlertSpec, instance: &Instance, step: Step, now: Now) -> Transition {
        let labels = labels(&self.agent, spec, &instance.key);
        let annotations = spec
            .annotations
            .iter()
            .map(|(name, text)| (name.clone(), template::render(text, &instance.values, &labels).into()))
            .collect();
        Transition {
            state: step.state,
            ruleset: spec.ruleset.clone(),
            rule: spec.rule.clone(),
            rule_hash: spec.hash,
            fingerprint: Fingerprint::of(&labels),
            labels,
            severity: spec.severity.clone(),
            annotations,
            values: named(spec, &instance.values),
            starts_at: step.since,
            occurred_at: step.at,
            recorded_at: now.wall,
        }
    }
}

/// Whether alerts of `old` go on as alerts of `new`.
fn keeps_identity(old: &AlertSpec, new: &AlertSpec) -> bool {
    std::mem::discriminant(&old.kind) == std::mem::discriminant(&new.kind)
        && old.key == new.key
        && old.labels == new.labels
}

/// The values of a row under the columns of another text of the rule; what is new there is NULL
/// until the next row.
fn carried_over(values: &[Value], was: &AlertSpec, now: &AlertSpec) -> Box<[Value]> {
    if was.columns == now.columns || values.is_empty() {
        return values.into();
    }
    let old = |name: &Arc<str>| was.columns.iter().position(|column| column == name);
    now.columns
        .iter()
        .map(|name| old(name).and_then(|i| values.get(i)).cloned().unwrap_or_default())
        .collect()
}

fn named(spec: &AlertSpec, values: &[Value]) -> Vec<(Arc<str>, Value)> {
    spec.columns.iter().cloned().zip(values.iter().cloned()).collect()
}

/// The identity of the alert of one key. A NULL in the key leaves its label out, as an absent and
/// an empty label are the same to Alertmanager.
fn labels(agent: &Arc<str>, spec: &AlertSpec, key: &[Value]) -> Labels {
    let mut labels = spec.labels.clone();
    for (name, value) in spec.key.iter().zip(key) {
        if let Some(text) = as_label(value) {
            labels.insert(name.clone(), text);
        }
    }
    labels.insert("agent".into(), agent.clone());
    labels.insert("ruleset".into(), spec.ruleset.clone());
    labels.insert("alertname".into(), spec.rule.clone());
    labels
}

/// A key value as a label says it. NULL and the empty text are no label.
fn as_label(value: &Value) -> Option<Arc<str>> {
    let text = match value {
        Value::Null => return None,
        Value::Str(text) => text.clone(),
        other => other.to_string().into(),
    };
    (!text.is_empty()).then_some(text)
}

fn state_key(agent: &Arc<str>, spec: &AlertSpec, key: &[Value]) -> StateKey {
    StateKey {
        ruleset: spec.ruleset.clone(),
        rule: spec.rule.clone(),
        fingerprint: Fingerprint::of(&labels(agent, spec, key)),
    }
}

#[cfg(test)]
mod tests;
