//! Observations in, transitions out: the life of every alert of one rule set.
//!
//! A [`Book`] holds one instance for each (rule, key) that has something to remember: an alert that is not
//! quiet. That an older row does not raise what is quiet is told with the observation; only where nobody
//! else keeps count of it are quiet instances kept too. Timers run
//! in the stream time of their key: from observation to observation by the observations' own
//! times, and while the key is quiet by the monotonic clock, as if the last observation held. An
//! observation at the very instant of a timer is applied before it.
//!
//! The book knows no SQL and does no I/O. What must survive a crash is handed out with
//! [`Book::take_changes`], to be committed with the transitions it belongs to.

mod instance;
mod saved;
mod template;

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::hash::Hasher;
use std::sync::Arc;
use std::time::Duration;

use hashbrown::HashTable;

use crate::model::alerting::{AlertSpec, Roster, RuleKind};
use crate::model::fold::{BuildFold, Fold, fold};
use crate::model::kept::{StateChange, StateKey};
use crate::model::label::{Fingerprint, Labels, as_label, label_key};
use crate::model::row::{Observation, Order};
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
    specs: Arc<dyn Roster>,
    instances: HashMap<u64, Instance, BuildFold>,
    /// The instances by rule and key.
    index: HashTable<u64>,
    /// Deadlines on the monotonic clock, of instances that have one.
    timers: BTreeSet<(Mono, u64)>,
    next_id: u64,
    /// What is in memory, of rules that have something there.
    rooms: HashMap<usize, Room, BuildFold>,
    /// Of rules that have something to count.
    counts: HashMap<usize, Counts, BuildFold>,
    changed: BTreeSet<u64>,
    /// Whether a key had no room since somebody asked.
    limited: bool,
    /// States of instances that are gone, to be deleted where they are kept.
    gone: Vec<StateKey>,
    /// Alerts that became active or quiet since somebody asked.
    activity: Vec<Activity>,
}

/// An alert of a rule with `when` became active, or quiet.
#[derive(Clone, Debug, PartialEq)]
pub struct Activity {
    /// The rule, by its place in the plan.
    pub rule: usize,
    /// Its key, as [`label_key`] has it.
    pub key: Box<[Value]>,
    /// Whether it is active: an observation that does not raise it matters.
    pub active: bool,
}

/// The instances of one rule.
#[derive(Debug, Default)]
struct Room {
    ids: HashSet<u64, BuildFold>,
    /// Every quiet key, each once, with its newest observation when it was put there. What
    /// has changed since is seen to when it comes to the front, so that an observation costs
    /// nothing here and a key that is not known finds room without a look at all others.
    quiet: VecDeque<(u64, Timestamp)>,
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
    pub fn new(agent: Arc<str>, specs: Arc<dyn Roster>) -> Self {
        Self {
            agent,
            specs,
            instances: HashMap::default(),
            index: HashTable::new(),
            timers: BTreeSet::new(),
            next_id: 0,
            rooms: HashMap::default(),
            counts: HashMap::default(),
            changed: BTreeSet::new(),
            limited: false,
            gone: Vec::new(),
            activity: Vec::new(),
        }
    }

    /// Takes one observation; what it changes upstream is appended to `out`.
    pub fn observe(&mut self, mut seen: Observation, now: Now, out: &mut Vec<Transition>) {
        let rule = seen.rule;
        let Some(spec) = self.specs.get(rule).cloned() else { return };
        let occurrence = matches!(spec.kind, RuleKind::Occurrence { .. });
        if occurrence && seen.retained {
            return;
        }
        let id = match self.find(rule, &seen.key) {
            Some(id) => id,
            None if seen.raise != Some(true) && seen.order != Order::Untold => return,
            // An occurrence is an event of its own, whenever it is dated.
            None if seen.order == Order::Older && !occurrence => {
                self.counts.entry(rule).or_default().outdated += 1;
                return;
            }
            None if spec.kind == (RuleKind::Occurrence { repeat: Duration::ZERO }) => {
                return self.occur(&spec, seen, now, out);
            }
            None => match self.admit(rule, &seen.key) {
                Some(id) => id,
                None => {
                    self.counts.entry(rule).or_default().refused += 1;
                    self.limited = true;
                    return;
                }
            },
        };
        let Some(instance) = self.instances.get_mut(&id) else { return };
        if seen.at < instance.last_at && !occurrence {
            self.counts.entry(rule).or_default().outdated += 1;
            return;
        }
        instance.kept = seen.order == Order::Untold;
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
        instance.apply(&spec.kind, &mut seen, now.mono, &mut steps);
        instance.expire_until(&spec.kind, seen.at, &mut steps);
        self.settle(id, before, old_timer, &spec, &steps, now, out);
        self.forget_if_quiet(id);
    }

    /// An occurrence of which nothing is remembered.
    fn occur(&mut self, spec: &AlertSpec, mut seen: Observation, now: Now, out: &mut Vec<Transition>) {
        let mut instance = Instance::quiet(seen.rule, label_key(&seen.key));
        let mut steps = Vec::with_capacity(1);
        instance.apply(&spec.kind, &mut seen, now.mono, &mut steps);
        out.extend(steps.iter().map(|step| self.transition(spec, &instance, *step, now)));
        self.counts.entry(seen.rule).or_default().transitions += steps.len() as u64;
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
            self.forget_if_quiet(id);
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
    pub fn swap(&mut self, specs: Arc<dyn Roster>, now: Now, out: &mut Vec<Transition>) {
        let old = std::mem::replace(self, Self::new(self.agent.clone(), specs.clone()));
        let place = places(&*specs);
        self.next_id = old.next_id;
        self.gone = old.gone;
        for (i, counts) in old.counts {
            if let Some(&j) = place.get(&*old.specs[i].rule) {
                self.counts.insert(j, Counts { firing: 0, pending: 0, ..counts });
            }
        }
        let mut instances: Vec<(u64, Instance)> = old.instances.into_iter().collect();
        instances.sort_unstable_by_key(|(id, _)| *id);
        for (id, mut instance) in instances {
            let was = &old.specs[instance.rule];
            let target = place.get(&*was.rule).copied();
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
                    self.end(was, &instance, reason, now, out);
                }
            }
        }
    }

    /// Goes over to other rules, which are those that were but in these places, in ascending order. A rule with
    /// the same id keeps the alerts whose identity it keeps; the others of these places resolve.
    pub fn change(&mut self, specs: Arc<dyn Roster>, touched: &[usize], now: Now, out: &mut Vec<Transition>) {
        let rooms = touched.iter().filter_map(|at| self.rooms.get(at));
        let mut ids: Vec<u64> = rooms.flat_map(|room| &room.ids).copied().collect();
        ids.sort_unstable();
        let mut taken = Vec::with_capacity(ids.len());
        for id in ids {
            let unsaved = self.changed.contains(&id);
            taken.extend(self.take(id).map(|instance| (id, unsaved, instance)));
        }
        let before = std::mem::replace(&mut self.specs, specs);
        let id = |specs: &Arc<dyn Roster>, at: usize| specs.get(at).map(|spec| spec.rule.clone());
        for at in touched {
            if !self.counts.is_empty() && id(&before, *at) != id(&self.specs, *at) {
                self.counts.remove(at);
            }
        }
        for (id, unsaved, mut instance) in taken {
            let (was, is) = (&before[instance.rule], &self.specs[instance.rule]);
            let same = was.rule == is.rule;
            if same && keeps_identity(was, is) {
                instance.values = carried_over(&instance.values, was, is);
                self.insert(id, instance);
                // The kept state's rule may count differently from here on.
                if unsaved {
                    self.changed.insert(id);
                }
                continue;
            }
            let reason = if same { Reason::RuleChanged } else { Reason::RuleRemoved };
            self.end(was, &instance, reason, now, out);
        }
    }

    /// Ends an alert whose rule does not go on.
    fn end(
        &mut self,
        was: &AlertSpec,
        instance: &Instance,
        reason: Reason,
        now: Now,
        out: &mut Vec<Transition>,
    ) {
        if instance.phase.is_up() {
            let at = instance.stream_time(now.mono);
            let step = Step { state: State::Resolved(reason), at, since: instance.since() };
            out.push(self.transition(was, instance, step, now));
        }
        if instance.phase != Phase::Quiet {
            self.gone.push(state_key(&self.agent, was, &instance.key));
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
        let specs = self.specs.clone();
        let place = places(&*specs);
        let mut kept = BTreeSet::new();
        for (rule, state) in states {
            let Some(&rule) = place.get(&*rule) else { continue };
            let instance = state.into_instance(rule, now.mono);
            if instance.key.len() != self.specs[rule].key.len() {
                continue;
            }
            if let Some(id) = self.find(rule, &instance.key) {
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

    /// The alerts that became active or quiet since the last call, in that order. Behind [`Self::swap`] it is
    /// every alert that is active; behind [`Self::change`], of each rule that it touched.
    pub fn take_activity(&mut self) -> std::vec::Drain<'_, Activity> {
        self.activity.drain(..)
    }

    /// What a snapshot holds of this book: every instance, also those without an alert, with
    /// their timers as far as they have run by `now`.
    pub fn snapshot(&self, now: Now) -> Vec<(Arc<str>, SavedState)> {
        let mut all: Vec<(&u64, &Instance)> = self.instances.iter().collect();
        all.sort_unstable_by_key(|(id, _)| **id);
        all.into_iter()
            .map(|(_, i)| ((&self.specs[i.rule].rule).into(), SavedState::of(i, now.mono)))
            .collect()
    }

    /// Whether a rule had no room for a key since this was last asked.
    pub fn take_limited(&mut self) -> bool {
        std::mem::take(&mut self.limited)
    }

    /// Whether the one alert of a rule without a key is up.
    pub fn is_up(&self, rule: usize) -> bool {
        let id = self.find(rule, &[]);
        id.and_then(|id| self.instances.get(&id)).is_some_and(|instance| instance.phase.is_up())
    }

    /// What each rule's alerts did, in the order of the plan.
    pub fn counts(&self) -> Vec<Counts> {
        (0..self.specs.len()).map(|rule| self.counts.get(&rule).copied().unwrap_or_default()).collect()
    }

    /// What the alerts of the rule at a place of the plan did.
    pub fn counts_of(&self, rule: usize) -> Counts {
        self.counts.get(&rule).copied().unwrap_or_default()
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

    /// The instance of a rule's key, which is told apart as its labels say.
    fn find(&self, rule: usize, key: &[Value]) -> Option<u64> {
        let same = |id: &u64| {
            self.instances.get(id).is_some_and(|known| {
                known.rule == rule
                    && known.key.len() == key.len()
                    && known.key.iter().zip(key).all(|(a, b)| as_label(a) == as_label(b))
            })
        };
        self.index.find(hash(rule, key), same).copied()
    }

    /// Room for a key that was not seen before. `None` where there is none.
    fn admit(&mut self, rule: usize, key: &[Value]) -> Option<u64> {
        if self.rooms.get(&rule).is_some_and(|room| room.ids.len() >= MAX_KEYS) {
            let long_quiet = self.long_quiet(rule)?;
            self.remove(long_quiet);
        }
        let id = self.fresh_id();
        self.insert(id, Instance::quiet(rule, label_key(key)));
        Some(id)
    }

    /// A quiet key that was not observed since it was last looked at. `None` where none is quiet.
    fn long_quiet(&mut self, rule: usize) -> Option<u64> {
        let room = self.rooms.get_mut(&rule)?;
        while let Some((id, then)) = room.quiet.pop_front() {
            let Some(instance) = self.instances.get_mut(&id) else { continue };
            if instance.phase != Phase::Quiet {
                instance.queued = false;
            } else if instance.last_at > then {
                room.quiet.push_back((id, instance.last_at));
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

    fn insert(&mut self, id: u64, instance: Instance) {
        let rule = instance.rule;
        if let Some(due) = instance.deadline(&self.specs[rule]) {
            self.timers.insert((due, id));
        }
        self.rooms.entry(rule).or_default().ids.insert(id);
        self.count_phase(rule, instance.phase, true);
        self.tell(rule, &instance.key, Phase::Quiet, instance.phase);
        let instances = &self.instances;
        let rehash = |id: &u64| instances.get(id).map_or(0, |known| hash(known.rule, &known.key));
        self.index.insert_unique(hash(rule, &instance.key), id, rehash);
        self.instances.insert(id, instance);
        self.queue_if_quiet(id);
    }

    fn remove(&mut self, id: u64) {
        self.take(id);
    }

    fn take(&mut self, id: u64) -> Option<Instance> {
        let instance = self.instances.remove(&id)?;
        let rule = instance.rule;
        if let Some(due) = instance.deadline(&self.specs[rule]) {
            self.timers.remove(&(due, id));
        }
        if let Some(room) = self.rooms.get_mut(&rule) {
            room.ids.remove(&id);
            if room.ids.is_empty() {
                self.rooms.remove(&rule);
            }
        }
        self.count_phase(rule, instance.phase, false);
        self.tell(rule, &instance.key, instance.phase, Phase::Quiet);
        if let Ok(entry) = self.index.find_entry(hash(rule, &instance.key), |known| *known == id) {
            entry.remove();
        }
        self.changed.remove(&id);
        Some(instance)
    }

    /// Lets go of an instance that has nothing to remember.
    fn forget_if_quiet(&mut self, id: u64) {
        let quiet = |instance: &&Instance| instance.phase == Phase::Quiet && !instance.kept;
        let Some(instance) = self.instances.get(&id).filter(quiet) else { return };
        if self.changed.contains(&id) {
            self.gone.push(state_key(&self.agent, &self.specs[instance.rule], &instance.key));
        }
        self.remove(id);
    }

    /// Puts a quiet instance where room for others is found.
    fn queue_if_quiet(&mut self, id: u64) {
        let Some(instance) = self.instances.get_mut(&id) else { return };
        if instance.phase == Phase::Quiet && instance.kept && !instance.queued {
            instance.queued = true;
            let room = self.rooms.entry(instance.rule).or_default();
            room.quiet.push_back((id, instance.last_at));
        }
    }

    /// Notes that an alert became active or quiet.
    fn tell(&mut self, rule: usize, key: &[Value], before: Phase, after: Phase) {
        let active = after != Phase::Quiet;
        let stateful =
            || self.specs.get(rule).is_some_and(|spec| matches!(spec.kind, RuleKind::State { .. }));
        if (before != Phase::Quiet) != active && stateful() {
            self.activity.push(Activity { rule, key: key.into(), active });
        }
    }

    fn count_phase(&mut self, rule: usize, phase: Phase, up: bool) {
        if !phase.is_up() && !phase.is_pending() {
            return;
        }
        let counts = self.counts.entry(rule).or_default();
        let gauge = if phase.is_up() { &mut counts.firing } else { &mut counts.pending };
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
        if !steps.is_empty() {
            self.counts.entry(rule).or_default().transitions += steps.len() as u64;
        }
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
            if (before == Phase::Quiet) != (after == Phase::Quiet)
                && let Some(key) = self.instances.get(&id).map(|instance| instance.key.clone())
            {
                self.tell(rule, &key, before, after);
            }
        }
        self.queue_if_quiet(id);
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
            rule: (&spec.rule).into(),
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

/// The place of each rule, by its id.
fn places(specs: &dyn Roster) -> HashMap<&str, usize> {
    (0..specs.len()).filter_map(|at| Some((&*specs.get(at)?.rule, at))).collect()
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
        match value {
            Value::Str(text) if !text.is_empty() => {
                labels.insert(name.clone(), text.clone());
            }
            other => {
                let text = as_label(other);
                if !text.is_empty() {
                    labels.insert(name.clone(), text.into());
                }
            }
        }
    }
    labels.insert("agent".into(), agent.clone());
    labels.insert("ruleset".into(), spec.ruleset.clone());
    labels.insert("alertname".into(), (&spec.rule).into());
    labels
}

/// The hash of a rule's key, as its labels say it.
fn hash(rule: usize, key: &[Value]) -> u64 {
    let mut hasher = Fold::default();
    hasher.write_usize(rule);
    for value in key {
        hasher.write_u64(fold(as_label(value).as_bytes()));
    }
    hasher.finish()
}

fn state_key(agent: &Arc<str>, spec: &AlertSpec, key: &[Value]) -> StateKey {
    StateKey {
        ruleset: spec.ruleset.clone(),
        rule: (&spec.rule).into(),
        fingerprint: Fingerprint::of(&labels(agent, spec, key)),
    }
}

#[cfg(test)]
mod tests;
