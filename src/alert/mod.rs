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

mod absent;
mod change;
mod course;
mod instance;
mod instances;
mod keep;
mod lane;
mod saved;
mod show;
mod template;

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use crate::model::alerting::{AlertSpec, Roster, RuleKind};
use crate::model::fold::BuildFold;
use crate::model::kept::StateKey;
use crate::model::key::Key;
use crate::model::label::Fingerprint;
use crate::model::row::{Levels, Observation, Order};
use crate::model::time::{Mono, Now, Timestamp};
use crate::model::transition::Transition;
use crate::model::value::Value;

use instance::{Instance, Phase, Step};
use instances::{Id, Instances};
pub use saved::{SavedState, SavedStateError};
pub use show::{Active, Counts, Stale};

/// How many keys a rule may have in memory. Beyond it a key that was quiet long and has no alert
/// is forgotten; a key that finds none to take the place of is refused and counted.
const MAX_KEYS: usize = 10_000;

/// The alert that a transition is of.
#[derive(Clone, Debug)]
pub struct Whose {
    /// Its rule, by its place in the plan.
    pub rule: usize,
    /// Its key.
    pub key: Key,
    /// The stream time of its newest observation.
    pub newest: Timestamp,
}

impl Whose {
    fn of(instance: &Instance) -> Self {
        Self { rule: instance.rule(), key: instance.key.clone(), newest: instance.last_at }
    }
}

/// The alerts of one rule set.
#[derive(Debug)]
pub struct Book {
    agent: Arc<str>,
    specs: Arc<dyn Roster>,
    instances: Instances,
    /// When each instance is looked at that has a deadline on the monotonic clock.
    timers: BTreeSet<(Mono, Id)>,
    /// What is in memory, of rules that have something there.
    rooms: HashMap<usize, Room, BuildFold>,
    /// Of rules that have something to count.
    counts: HashMap<usize, Counts, BuildFold>,
    changed: BTreeSet<Id>,
    /// Whether a key had no room since somebody asked.
    limited: bool,
    /// States of instances that are gone, to be deleted where they are kept.
    gone: Vec<StateKey>,
    /// Alerts that became active or quiet since somebody asked.
    activity: Vec<Activity>,
    /// Whose each transition of the last call was.
    told: Vec<Whose>,
}

/// An alert of a rule with `when` became active, or quiet.
#[derive(Clone, Debug, PartialEq)]
pub struct Activity {
    /// The rule, by its place in the plan.
    pub rule: usize,
    /// Its key, as [`Key::of_labels`] has it.
    pub key: Key,
    /// Whether it is active: an observation that does not raise it matters.
    pub active: bool,
}

/// How an instance stands, as others go by it.
#[derive(Clone, Copy)]
struct Stand {
    phase: Phase,
    watched: bool,
}

impl Stand {
    fn of(instance: &Instance) -> Self {
        Self { phase: instance.phase, watched: instance.is_watched() }
    }
}

/// The instances of one rule.
#[derive(Debug, Default)]
struct Room {
    ids: HashSet<Id, BuildFold>,
    /// Every quiet key, each once, with its newest observation when it was put there. What
    /// has changed since is seen to when it comes to the front, so that an observation costs
    /// nothing here and a key that is not known finds room without a look at all others.
    quiet: VecDeque<(Id, Timestamp)>,
}

impl Book {
    /// An empty book for the rules of one set, in the order of their plan.
    pub fn new(agent: Arc<str>, specs: Arc<dyn Roster>) -> Self {
        Self {
            agent,
            specs,
            instances: Instances::default(),
            timers: BTreeSet::new(),
            rooms: HashMap::default(),
            counts: HashMap::default(),
            changed: BTreeSet::new(),
            limited: false,
            gone: Vec::new(),
            activity: Vec::new(),
            told: Vec::new(),
        }
    }

    /// Takes one observation; what it changes upstream is appended to `out`. Its values may be others
    /// afterwards.
    pub fn observe(&mut self, seen: &mut Observation, now: Now, out: &mut Vec<Transition>) {
        self.told.clear();
        let id = self.instances.find(seen.rule, &seen.key);
        let stays = id.and_then(|id| self.instances.get_mut(id)).is_some_and(|instance| {
            // What was forwarded is an occurrence, and a retained row is none.
            let is_none = seen.retained && matches!(instance.phase, Phase::Sent { .. });
            is_none || instance.refresh(seen, now.mono)
        });
        match id {
            Some(id) if stays => self.look_in_time(id),
            _ => self.decide(id, seen, now, out),
        }
    }

    /// Takes that a condition of the node holds or does not, at this moment by the monotonic clock: such an
    /// alert has no readings whose times could count.
    pub fn condition(
        &mut self,
        (rule, key): (usize, Box<[Value]>),
        holds: bool,
        values: Vec<Value>,
        now: Now,
        out: &mut Vec<Transition>,
    ) {
        let known = self.instances.find(rule, &key).and_then(|id| self.instances.get(id));
        let stands = |instance: &Instance| matches!(instance.phase, Phase::Pending { .. } | Phase::Up { .. });
        if holds && known.is_some_and(stands) {
            return;
        }
        let at = known.map_or(now.wall, |instance| match instance.stream_time(now.mono) {
            // What time is it where nobody counted while the agent was down: what waits goes on waiting.
            time if instance.phase.is_pending() => time,
            time => time.max(now.wall),
        });
        let mut seen = Observation {
            rule,
            key: Key::of_labels(&key),
            values,
            at,
            raise: Some(holds),
            clear: Some(!holds),
            levels: Levels::default(),
            retained: false,
            order: Order::Newest,
        };
        self.observe(&mut seen, now, out);
        // Nobody watches such alerts.
        self.activity.clear();
    }

    /// Takes an observation that may change what upstream knows.
    fn decide(&mut self, id: Option<Id>, seen: &mut Observation, now: Now, out: &mut Vec<Transition>) {
        let rule = seen.rule;
        let Some(spec) = self.specs.get(rule).cloned() else { return };
        let occurrence = matches!(spec.kind, RuleKind::Occurrence { .. });
        let asleep = spec.life.active.as_ref().is_some_and(|active| !active.is_active(seen.at));
        if occurrence && (seen.retained || asleep) {
            return;
        }
        if asleep {
            // What would raise does not now.
            (seen.raise, seen.clear, seen.levels) = (Some(false), Some(true), Levels::default());
        }
        // An alert of which only its past is remembered is as good as none.
        let heeded = id.filter(|id| {
            let watched = |instance: &Instance| instance.is_watched() || instance.kept;
            seen.order == Order::Untold || self.instances.get(*id).is_some_and(watched)
        });
        let id = match heeded {
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
            None => match id.or_else(|| self.admit(rule, &seen.key)) {
                Some(id) => id,
                None => {
                    self.counts.entry(rule).or_default().refused += 1;
                    self.limited = true;
                    return;
                }
            },
        };
        let Some(instance) = self.instances.get_mut(id) else { return };
        if seen.at < instance.last_at && !occurrence {
            self.counts.entry(rule).or_default().outdated += 1;
            return;
        }
        instance.kept = seen.order == Order::Untold;
        let before = Stand::of(instance);
        let mut steps = Vec::new();
        if occurrence || asleep {
            // `repeat` ends before its last instant: readings a minute apart are told each minute. And what ends
            // with the rule's time has ended when that is over.
            instance.expire_until(&spec, seen.at, &mut steps);
        } else {
            instance.expire_before(&spec, seen.at, &mut steps);
        }
        if instance.changed || instance.phase != before.phase {
            // What ran out before this observation is told with the row that stood then.
            self.settle(id, before, &spec, &steps, now, out);
            steps.clear();
        }
        let Some(instance) = self.instances.get_mut(id) else { return };
        let before = Stand::of(instance);
        instance.apply(&spec, seen, now.mono, &mut steps);
        instance.expire_until(&spec, seen.at, &mut steps);
        self.settle(id, before, &spec, &steps, now, out);
        self.forget_if_quiet(id);
    }

    /// An occurrence of which nothing is remembered.
    fn occur(&mut self, spec: &AlertSpec, seen: &mut Observation, now: Now, out: &mut Vec<Transition>) {
        let mut instance = Instance::quiet(seen.rule, Key::of_labels(&seen.key));
        let mut steps = Vec::with_capacity(1);
        instance.apply(spec, seen, now.mono, &mut steps);
        out.extend(steps.iter().map(|step| self.transition(spec, &instance, *step, now)));
        self.told.extend(steps.iter().map(|_| Whose::of(&instance)));
        self.counts.entry(seen.rule).or_default().transitions += steps.len() as u64;
    }

    /// Lets the timers that are due at `now` run out.
    pub fn tick(&mut self, now: Now, out: &mut Vec<Transition>) {
        self.told.clear();
        while let Some((look, id)) = self.timers.first().copied().filter(|(look, _)| *look <= now.mono) {
            self.timers.pop_first();
            let Some(instance) = self.instances.get_mut(id) else { continue };
            instance.look = Instance::UNWATCHED;
            let spec = self.specs[instance.rule()].clone();
            let deadline = instance.deadline(&spec);
            if deadline.is_some_and(|deadline| deadline > look) {
                // It moved on. Who is due together with others has its turn when it is due.
                self.look_at(id, deadline);
                continue;
            }
            let before = Stand::of(instance);
            let mut steps = Vec::new();
            let until = instance.stream_time(now.mono);
            instance.expire_until(&spec, until, &mut steps);
            // What did not expire in stream time is due later; a timer never stays in the past.
            if instance.changed || instance.phase != before.phase {
                self.settle(id, before, &spec, &steps, now, out);
                self.forget_if_quiet(id);
            }
        }
    }

    /// Ends an alert by hand, and says why in its annotation `resolved_because`: nothing raises it until it
    /// clears. Says whether there is one of this fingerprint that is up.
    pub fn resolve(
        &mut self,
        fingerprint: Fingerprint,
        why: &str,
        now: Now,
        out: &mut Vec<Transition>,
    ) -> bool {
        self.told.clear();
        let is = |(_, instance): &(Id, &Instance)| {
            let spec = &self.specs[instance.rule()];
            instance.phase.is_up()
                && Fingerprint::of(&show::labels(&self.agent, spec, &instance.key)) == fingerprint
        };
        let Some((id, _)) = self.instances.iter().find(is) else { return false };
        let Some(instance) = self.instances.get_mut(id) else { return false };
        let spec = self.specs[instance.rule()].clone();
        let before = Stand::of(instance);
        let mut steps = Vec::new();
        instance.resolve(instance.stream_time(now.mono), &mut steps);
        self.settle(id, before, &spec, &steps, now, out);
        if let Some(told) = out.last_mut().filter(|_| !why.is_empty()) {
            told.annotations.insert("resolved_because".into(), why.into());
        }
        self.forget_if_quiet(id);
        true
    }

    /// Whose each transition is that the last call of [`Self::observe`] or [`Self::tick`] made, in their order.
    pub fn told(&self) -> &[Whose] {
        &self.told
    }

    /// When [`Self::tick`] may next have something to do: never later than it has.
    pub fn next_deadline(&self) -> Option<Mono> {
        self.timers.first().map(|(due, _)| *due)
    }

    /// Whether a timer is due by `until` that a window decides about which ended before.
    pub fn waits_for_windows(&self, until: Mono) -> bool {
        let due = self.timers.range(..=(until, Id::LAST));
        let mut rules = due.filter_map(|(_, id)| self.instances.get(*id)).map(Instance::rule);
        rules.any(|rule| self.specs.get(rule).is_some_and(|spec| spec.cadence.is_some()))
    }

    /// The alerts that became active or quiet since the last call, in that order. Behind [`Self::swap`] it is
    /// every alert that is active; behind [`Self::change`], of each rule that it touched.
    pub fn take_activity(&mut self) -> std::vec::Drain<'_, Activity> {
        self.activity.drain(..)
    }

    /// Whether a rule had no room for a key since this was last asked.
    pub fn take_limited(&mut self) -> bool {
        std::mem::take(&mut self.limited)
    }

    /// Room for a key that was not seen before. `None` where there is none.
    fn admit(&mut self, rule: usize, key: &[Value]) -> Option<Id> {
        if self.rooms.get(&rule).is_some_and(|room| room.ids.len() >= MAX_KEYS) {
            let long_quiet = self.long_quiet(rule)?;
            if let Some(instance) = self.take(long_quiet).filter(|instance| !instance.is_blank()) {
                self.gone.push(state_key(&self.agent, &self.specs[rule], &instance.key));
            }
        }
        Some(self.insert(Instance::quiet(rule, Key::of_labels(key))))
    }

    /// A quiet key that was not observed since it was last looked at. `None` where none is quiet.
    fn long_quiet(&mut self, rule: usize) -> Option<Id> {
        let room = self.rooms.get_mut(&rule)?;
        while let Some((id, then)) = room.quiet.pop_front() {
            let Some(instance) = self.instances.get_mut(id) else { continue };
            if instance.is_watched() {
                instance.queued = false;
            } else if instance.last_at > then {
                room.quiet.push_back((id, instance.last_at));
            } else {
                return Some(id);
            }
        }
        None
    }

    fn insert(&mut self, instance: Instance) -> Id {
        let id = self.instances.insert(instance);
        self.enter(id);
        id
    }

    fn put_back(&mut self, instance: Instance) -> Id {
        let id = self.instances.put_back(instance);
        self.enter(id);
        id
    }

    /// Books an instance that was put in.
    fn enter(&mut self, id: Id) {
        let Some(instance) = self.instances.get_mut(id) else { return };
        if let Some(spec) = self.specs.get(instance.rule()) {
            instance.fit(spec);
        }
        let (rule, phase, key) = (instance.rule(), instance.phase, instance.key.clone());
        let watched = instance.is_watched();
        instance.look = Instance::UNWATCHED;
        self.rooms.entry(rule).or_default().ids.insert(id);
        self.count_phase(rule, phase, true);
        self.tell(rule, &key, false, watched);
        self.wind(id);
        self.queue_if_quiet(id);
    }

    fn take(&mut self, id: Id) -> Option<Instance> {
        let instance = self.instances.remove(id)?;
        let rule = instance.rule();
        if instance.look < Instance::UNWATCHED {
            self.timers.remove(&(instance.look, id));
        }
        if let Some(room) = self.rooms.get_mut(&rule) {
            room.ids.remove(&id);
            if room.ids.is_empty() {
                self.rooms.remove(&rule);
            }
        }
        self.count_phase(rule, instance.phase, false);
        self.tell(rule, &instance.key, instance.is_watched(), false);
        self.changed.remove(&id);
        Some(instance)
    }

    /// Sets the timer of an instance whose phase may be another one.
    fn wind(&mut self, id: Id) {
        let Some(instance) = self.instances.get_mut(id) else { return };
        let Some(spec) = self.specs.get(instance.rule()) else { return };
        instance.set_due(spec);
        let deadline = instance.deadline(spec);
        self.look_at(id, deadline);
    }

    /// Sees to it that an instance is looked at by its deadline, which an observation moved.
    fn look_in_time(&mut self, id: Id) {
        let Some(instance) = self.instances.get(id) else { return };
        if instance.look > instance.earliest() {
            let deadline = self.specs.get(instance.rule()).and_then(|spec| instance.deadline(spec));
            self.look_at(id, deadline);
        }
    }

    /// Looks at an instance at its deadline; where it would be looked at before, that may stay so.
    fn look_at(&mut self, id: Id, deadline: Option<Mono>) {
        let Some(instance) = self.instances.get_mut(id) else { return };
        let (was, is) = (instance.look, deadline.unwrap_or(Instance::UNWATCHED));
        if was == is || (was < is && deadline.is_some()) {
            return;
        }
        instance.look = is;
        if was < Instance::UNWATCHED {
            self.timers.remove(&(was, id));
        }
        if is < Instance::UNWATCHED {
            self.timers.insert((is, id));
        }
    }

    /// Lets go of an instance that has nothing to remember.
    fn forget_if_quiet(&mut self, id: Id) {
        let quiet = |instance: &&Instance| instance.is_blank() && !instance.kept;
        let Some(instance) = self.instances.get(id).filter(quiet) else { return };
        if self.changed.contains(&id) {
            self.gone.push(state_key(&self.agent, &self.specs[instance.rule()], &instance.key));
        }
        self.take(id);
    }

    /// Puts a quiet instance where room for others is found.
    fn queue_if_quiet(&mut self, id: Id) {
        let Some(instance) = self.instances.get_mut(id) else { return };
        let stays = instance.kept || !instance.is_blank();
        if instance.phase == Phase::Quiet && !instance.is_watched() && stays && !instance.queued {
            instance.queued = true;
            let (rule, last_at) = (instance.rule(), instance.last_at);
            let room = self.rooms.entry(rule).or_default();
            room.quiet.push_back((id, last_at));
            if room.quiet.len() > 2 * room.ids.len() + 16 {
                // Those that were forgotten since.
                room.quiet.retain(|(id, _)| self.instances.get(*id).is_some());
            }
        }
    }

    /// Notes that an alert became active or quiet.
    fn tell(&mut self, rule: usize, key: &Key, before: bool, active: bool) {
        let stateful =
            || self.specs.get(rule).is_some_and(|spec| matches!(spec.kind, RuleKind::State { .. }));
        if before != active && stateful() {
            self.activity.push(Activity { rule, key: key.clone(), active });
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
    fn settle(
        &mut self,
        id: Id,
        before: Stand,
        spec: &AlertSpec,
        steps: &[Step],
        now: Now,
        out: &mut Vec<Transition>,
    ) {
        let Some(instance) = self.instances.get_mut(id) else { return };
        let changed = std::mem::take(&mut instance.changed) || instance.phase != before.phase;
        let Some(instance) = self.instances.get(id) else { return };
        let (rule, after, key) = (instance.rule(), Stand::of(instance), instance.key.clone());
        for step in steps {
            out.push(self.transition(spec, instance, *step, now));
            self.told.push(Whose::of(instance));
        }
        if !steps.is_empty() {
            self.counts.entry(rule).or_default().transitions += steps.len() as u64;
        }
        if changed {
            self.count_phase(rule, before.phase, false);
            self.count_phase(rule, after.phase, true);
            self.changed.insert(id);
            self.tell(rule, &key, before.watched, after.watched);
        }
        if let Some(instance) = self.instances.get_mut(id) {
            instance.forget_row();
        }
        self.wind(id);
        self.queue_if_quiet(id);
    }
}

/// The place of each rule, by its id.
fn places(specs: &dyn Roster) -> HashMap<&str, usize> {
    (0..specs.len()).filter_map(|at| Some((&*specs.get(at)?.rule, at))).collect()
}

fn state_key(agent: &Arc<str>, spec: &AlertSpec, key: &[Value]) -> StateKey {
    StateKey {
        ruleset: spec.ruleset.clone(),
        rule: (&spec.rule).into(),
        fingerprint: Fingerprint::of(&show::labels(agent, spec, key)),
    }
}

#[cfg(test)]
mod tests;
