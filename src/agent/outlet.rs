//! What of the alerts is told upstream. The books know every alert and stay right; here it is decided which of them
//! a person should hear of one by one.
//!
//! 1. An alert that another one explains (`inhibited_by`) is withheld while that one is up.
//! 2. Beyond `max_instances` of a rule, and beyond the agent's rate, alerts are withheld, and one summary stands
//!    for them: `<rule>/storm`, `weir/storm`.
//! 3. What is withheld and still up is told when there is room, with the start that it had, the oldest first. What
//!    ends before leaves no trace upstream but in the figures of the summary.
//! 4. What was told is always told to have ended.
//!
//! Occurrences are events: they have `repeat`, and are only inhibited. Alerts about Weir itself (a name with a
//! slash) always go out, but for those about single devices that are not connected.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::alerting::{AlertSpec, Inhibitor};
use crate::model::kept::{StateChange, StateKey};
use crate::model::label::{Fingerprint, Labels, OWN_LABELS};
use crate::model::time::{Mono, Now, Timestamp};
use crate::model::transition::{Reason, State, Transition};
use crate::model::value::Value;

use super::condition::OFFLINE;
use super::core::Set;

/// The rule sets by name, as the core has them.
type Sets = BTreeMap<Arc<str>, Set>;

/// A rule set and a rule.
type Rule = (Arc<str>, Arc<str>);

/// What the ids of the states end with that are kept here.
const WITHHELD: &str = "/withheld";
const STORM: &str = "/storm";

/// The rule set of alerts that are the agent's own.
pub(super) const OWN_SET: &str = "weir";

/// How long nothing must be withheld for a storm to be over.
const CALM: Duration = Duration::from_secs(60);

/// How long a summary stands before it is told with other figures; it is told again each time the number of alerts has
/// more than doubled, so a few times only.
const PACE: Duration = Duration::from_secs(5);

/// A minute, in the units of the bucket: so many make one alert.
const MINUTE: u64 = 60_000_000;

/// Why an alert is withheld.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// An alert that explains it is up.
    Inhibited,
    /// Its rule has as many alerts up as it may have told.
    Storm,
    /// The agent told as many as it may at a time.
    Rate,
}

impl Why {
    /// Its name on screens.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Inhibited => "inhibited",
            Self::Storm => "storm",
            Self::Rate => "rate",
        }
    }
}

/// How many alerts were withheld since the start, and are now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Withheld {
    /// Alerts that are withheld.
    pub now: u64,
    /// Alerts and occurrences that were, since another one explains them.
    pub inhibited: u64,
    /// Alerts beyond what their rule may tell.
    pub storm: u64,
    /// Alerts beyond what the agent may tell at a time.
    pub rate: u64,
}

/// An alert that is withheld.
#[derive(Clone, Debug, PartialEq)]
struct Held {
    why: Why,
    /// Its rule, and the place of that.
    rule: Rule,
    place: usize,
    labels: Labels,
    starts_at: Timestamp,
}

/// A storm, of a rule or of the whole agent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Storm {
    /// When it began, stream time, µs.
    since: i64,
    severity: String,
    /// Alerts withheld so far; of these ended meanwhile, and told later.
    withheld: u64,
    ended: u64,
    told: u64,
    /// How many the summary said last.
    said: u64,
    /// By the node's clock, µs: when it said so, and when an alert was withheld last.
    said_at: i64,
    last_at: i64,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Outlet {
    agent: Arc<str>,
    /// Alerts a minute that may be told; 0: any number.
    rate: u32,
    /// What is left of them, in parts of a minute, at a time.
    left: u64,
    at: Now,
    /// Alerts that upstream believes up, and how many of each rule.
    told: HashSet<Fingerprint>,
    counts: HashMap<Rule, usize>,
    held: HashMap<Fingerprint, Held>,
    /// The same in the order in which they are told.
    inhibited: BTreeSet<(Timestamp, Fingerprint)>,
    stormy: BTreeMap<Rule, BTreeSet<(Timestamp, Fingerprint)>>,
    hasty: BTreeSet<(Timestamp, Fingerprint)>,
    /// By rule; the agent's own under its own set.
    storms: BTreeMap<Rule, Storm>,
    changed: BTreeSet<StateKey>,
    /// Whether rules changed, so that what was withheld may be told now.
    again: bool,
    figures: Withheld,
}

impl Outlet {
    pub(super) fn new(agent: Arc<str>, rate: u32) -> Self {
        Self {
            agent,
            rate,
            left: u64::from(rate) * MINUTE,
            at: Now { wall: Timestamp::default(), mono: Mono::default() },
            told: HashSet::new(),
            counts: HashMap::new(),
            held: HashMap::new(),
            inhibited: BTreeSet::new(),
            stormy: BTreeMap::new(),
            hasty: BTreeSet::new(),
            storms: BTreeMap::new(),
            changed: BTreeSet::new(),
            again: false,
            figures: Withheld::default(),
        }
    }

    /// What was withheld.
    pub(super) fn figures(&self) -> Withheld {
        Withheld { now: self.held.len() as u64, ..self.figures }
    }

    /// Why an alert is withheld, if it is.
    pub(super) fn why(&self, alert: Fingerprint) -> Option<Why> {
        self.held.get(&alert).map(|held| held.why)
    }

    /// The summaries that stand, as they would be told anew.
    pub(super) fn announce(&self, now: Now, out: &mut Vec<Transition>) {
        let told = self.storms.iter().filter(|(_, storm)| storm.said > 0);
        out.extend(told.map(|(key, storm)| self.summary(key, storm, State::Firing, now)));
    }

    /// Lets those of the transitions from a place on out that are to be told, and what there is to tell by now.
    pub(super) fn pass(&mut self, sets: &mut Sets, from: usize, now: Now, out: &mut Vec<Transition>) {
        if out.len() == from && !self.again && self.next_deadline().is_none_or(|due| due > now.mono) {
            return;
        }
        self.fill(now);
        let made: Vec<Transition> = out.drain(from..).collect();
        let mut freed = BTreeSet::new();
        // When what was up ended, in the time of the readings: others are told from then on.
        let mut ended: BTreeMap<Rule, Timestamp> = BTreeMap::new();
        for told in made.iter().filter(|told| matches!(told.state, State::Resolved(_))) {
            let at = ended.entry((told.ruleset.clone(), told.rule.clone())).or_insert(told.occurred_at);
            *at = told.occurred_at.max(*at);
        }
        for transition in made {
            self.take(sets, transition, now, &mut freed, out);
        }
        let again = std::mem::take(&mut self.again);
        if again {
            freed.extend(self.stormy.keys().cloned());
        }
        self.release(sets, (&freed, &ended), again, now, out);
        self.tell_storms(now, out);
    }

    /// The rules changed.
    pub(super) const fn look_again(&mut self) {
        self.again = true;
    }

    /// When [`Self::pass`] has something to do though nothing happens.
    pub(super) fn next_deadline(&self) -> Option<Mono> {
        let calm = self.storms.iter().map(|((set, rule), storm)| {
            let over = self.mono(storm.last_at, CALM);
            let other = self.mono(storm.said_at, PACE);
            let standing = self.standing(set, rule);
            if standing == 0 { Some(over) } else { (standing > 2 * storm.said).then_some(other) }
        });
        let refill = (!self.hasty.is_empty()).then(|| {
            let missing = MINUTE.saturating_sub(self.left).div_ceil(u64::from(self.rate.max(1)));
            self.at.mono.plus(Duration::from_micros(missing))
        });
        calm.flatten().chain(refill).min()
    }

    fn take(
        &mut self,
        sets: &Sets,
        transition: Transition,
        now: Now,
        freed: &mut BTreeSet<Rule>,
        out: &mut Vec<Transition>,
    ) {
        let alert = transition.fingerprint;
        if transition.rule.contains('/') && !transition.rule.ends_with(OFFLINE) {
            return out.push(transition);
        }
        let rule = || (transition.ruleset.clone(), transition.rule.clone());
        let spec = sets.get(&transition.ruleset).and_then(|set| set.spec(&transition.rule, transition.place));
        match transition.state {
            State::Occurred => {
                let set = sets.get(&transition.ruleset).zip(spec);
                if set.is_some_and(|(set, spec)| is_inhibited(set, spec, &transition.labels)) {
                    self.figures.inhibited += 1;
                } else {
                    out.push(transition);
                }
            }
            State::Resolved(_) => {
                if let Some(held) = self.let_go(alert) {
                    if let Some(storm) = self.storm_of(&held) {
                        storm.ended += 1;
                    }
                    return;
                }
                if self.told.remove(&alert) {
                    let rule = rule();
                    if let Some(count) = self.counts.get_mut(&rule) {
                        *count -= 1;
                        if *count == 0 {
                            self.counts.remove(&rule);
                        }
                    }
                    freed.insert(rule);
                }
                out.push(transition);
            }
            // What is new of it is told with it, once it is told.
            State::Firing | State::Up(_) if self.held.contains_key(&alert) => {}
            State::Firing | State::Up(_) if self.told.contains(&alert) => out.push(transition),
            State::Firing | State::Up(_) => {
                let rule = rule();
                let set = sets.get(&transition.ruleset).zip(spec);
                match set.and_then(|(set, spec)| self.objection(set, spec, &rule, &transition.labels)) {
                    None => {
                        self.count(alert, &rule);
                        out.push(transition);
                    }
                    Some(why) => self.withhold(why, rule, transition, now),
                }
            }
        }
    }

    /// Why an alert should not be told now.
    fn objection(&self, set: &Set, spec: &AlertSpec, rule: &Rule, labels: &Labels) -> Option<Why> {
        if is_inhibited(set, spec, labels) {
            return Some(Why::Inhibited);
        }
        if self.counts.get(rule).copied().unwrap_or(0) >= spec.life.max_instances as usize {
            return Some(Why::Storm);
        }
        (self.rate > 0 && self.left < MINUTE).then_some(Why::Rate)
    }

    /// Notes that an alert is told to be up.
    fn count(&mut self, alert: Fingerprint, rule: &Rule) {
        self.left = self.left.saturating_sub(MINUTE);
        self.told.insert(alert);
        *self.counts.entry(rule.clone()).or_default() += 1;
    }

    fn withhold(&mut self, why: Why, rule: Rule, transition: Transition, now: Now) {
        match why {
            Why::Inhibited => self.figures.inhibited += 1,
            Why::Storm => self.figures.storm += 1,
            Why::Rate => self.figures.rate += 1,
        }
        let Transition { fingerprint, labels, starts_at, place, severity, occurred_at, .. } = transition;
        let held = Held { why, rule, place, labels, starts_at };
        self.put(fingerprint, held);
        self.join_storm(fingerprint, (&severity, occurred_at), now);
    }

    /// Counts an alert that is withheld to the storm that it belongs to, which begins with it perhaps.
    fn join_storm(&mut self, alert: Fingerprint, (severity, at): (&str, Timestamp), now: Now) {
        let Some(key) = self.held.get(&alert).and_then(storm_key) else { return };
        let own = *key.0 == *OWN_SET;
        let storm = self.storms.entry(key.clone()).or_insert_with(|| Storm {
            since: at.micros(),
            severity: if own { "critical".to_owned() } else { severity.to_owned() },
            withheld: 0,
            ended: 0,
            told: 0,
            said: 0,
            said_at: 0,
            last_at: 0,
        });
        storm.withheld += 1;
        storm.last_at = now.wall.micros();
        self.changed.insert(self.storm_state(&key));
    }

    fn storm_of(&mut self, held: &Held) -> Option<&mut Storm> {
        let key = storm_key(held)?;
        self.changed.insert(self.storm_state(&key));
        self.storms.get_mut(&key)
    }

    fn put(&mut self, alert: Fingerprint, held: Held) {
        let at = (held.starts_at, alert);
        match held.why {
            Why::Inhibited => self.inhibited.insert(at),
            Why::Storm => self.stormy.entry(held.rule.clone()).or_default().insert(at),
            Why::Rate => self.hasty.insert(at),
        };
        self.changed.insert(state_key(&held, alert));
        self.held.insert(alert, held);
    }

    fn let_go(&mut self, alert: Fingerprint) -> Option<Held> {
        let held = self.held.remove(&alert)?;
        let at = (held.starts_at, alert);
        match held.why {
            Why::Inhibited => self.inhibited.remove(&at),
            Why::Rate => self.hasty.remove(&at),
            Why::Storm => {
                let rule = self.stormy.get_mut(&held.rule);
                let was = rule.is_some_and(|rule| rule.remove(&at));
                self.stormy.retain(|_, rule| !rule.is_empty());
                was
            }
        };
        self.changed.insert(state_key(&held, alert));
        Some(held)
    }

    /// Tells what was withheld and need not be any longer.
    fn release(
        &mut self,
        sets: &mut Sets,
        (freed, ended): (&BTreeSet<Rule>, &BTreeMap<Rule, Timestamp>),
        again: bool,
        now: Now,
        out: &mut Vec<Transition>,
    ) {
        if again || !freed.is_empty() {
            for (_, alert) in self.inhibited.clone() {
                self.try_out(sets, alert, (ended, now), out);
            }
        }
        for rule in freed {
            while let Some(&(_, alert)) = self.stormy.get(rule).and_then(BTreeSet::first) {
                if !self.try_out(sets, alert, (ended, now), out) {
                    break;
                }
            }
        }
        while let Some(&(_, alert)) = self.hasty.first().filter(|_| self.left >= MINUTE) {
            self.try_out(sets, alert, (ended, now), out);
        }
    }

    /// Tells an alert that is withheld, or withholds it for another reason. Says whether it is withheld for this one
    /// no longer.
    fn try_out(
        &mut self,
        sets: &mut Sets,
        alert: Fingerprint,
        (ended, now): (&BTreeMap<Rule, Timestamp>, Now),
        out: &mut Vec<Transition>,
    ) -> bool {
        let Some(held) = self.held.get(&alert).cloned() else { return true };
        let Some(set) = sets.get_mut(&held.rule.0) else {
            self.let_go(alert);
            return true;
        };
        let spec = set.spec(&held.rule.1, held.place).filter(|spec| *spec.rule == *held.rule.1).cloned();
        let spec = spec.or_else(|| set.spec_named(&held.rule.1));
        let objection = spec.as_ref().and_then(|spec| self.objection(set, spec, &held.rule, &held.labels));
        if objection == Some(held.why) {
            return false;
        }
        let from = out.len();
        if objection.is_none() {
            let explains = |rule: &Rule| {
                let inhibitors = spec.iter().flat_map(|spec| &spec.life.inhibited_by);
                rule.0 == held.rule.0 && inhibitors.into_iter().any(|by| by.rule == rule.1)
            };
            let freed = ended.iter().filter(|(rule, _)| match held.why {
                Why::Inhibited => explains(rule),
                Why::Storm => **rule == held.rule,
                Why::Rate => false,
            });
            let at = freed.map(|(_, at)| *at).max();
            set.retell(&held.rule.1, &held.labels, (at, now), out);
        }
        self.let_go(alert);
        if let Some(storm) = self.storm_of(&held) {
            // What is not up any more ended without a word, which a change of rules may bring about.
            if out.len() > from || objection.is_some() { storm.told += 1 } else { storm.ended += 1 }
        }
        match objection {
            None if out.len() > from => self.count(alert, &held.rule),
            None => {}
            Some(why) => {
                let severity = spec.map_or_else(|| "warning".into(), |spec| spec.severity.clone());
                self.put(alert, Held { why, ..held });
                self.join_storm(alert, (&severity, now.wall), now);
            }
        }
        true
    }

    /// How many alerts a storm withholds.
    fn standing(&self, set: &Arc<str>, rule: &Arc<str>) -> u64 {
        match **set == *OWN_SET {
            true => self.hasty.len() as u64,
            false => self.stormy.get(&(set.clone(), rule.clone())).map_or(0, |held| held.len() as u64),
        }
    }

    /// Tells of storms that began, grew, or are over.
    fn tell_storms(&mut self, now: Now, out: &mut Vec<Transition>) {
        let keys: Vec<Rule> = self.storms.keys().cloned().collect();
        for key in keys {
            let standing = self.standing(&key.0, &key.1);
            let Some(storm) = self.storms.get(&key) else { continue };
            let past = |then: i64, span: Duration| now.wall >= Timestamp::from_micros(then).plus(span);
            let is_new = storm.said == 0;
            if standing == 0 && past(storm.last_at, CALM) {
                let summary = self.summary(&key, storm, State::Resolved(Reason::Recovered), now);
                out.extend((!is_new).then_some(summary));
                self.storms.remove(&key);
            } else if standing > 0 && (is_new || (standing > 2 * storm.said && past(storm.said_at, PACE))) {
                out.push(self.summary(&key, storm, State::Firing, now));
                if let Some(storm) = self.storms.get_mut(&key) {
                    (storm.said, storm.said_at) = (standing, now.wall.micros());
                }
            } else {
                continue;
            }
            self.changed.insert(self.storm_state(&key));
        }
    }

    /// One alert for many.
    fn summary(&self, key: &Rule, storm: &Storm, state: State, now: Now) -> Transition {
        let own = *key.0 == *OWN_SET;
        let held: Vec<&Held> = match own {
            true => self.hasty.iter().filter_map(|(_, alert)| self.held.get(alert)).collect(),
            false => {
                let those = self.stormy.get(key).into_iter().flatten();
                those.filter_map(|(_, alert)| self.held.get(alert)).collect()
            }
        };
        let up = if own { self.told.len() } else { self.counts.get(key).copied().unwrap_or(0) };
        let said = match state {
            State::Resolved(_) => format!(
                "{} alerts were withheld: {} ended meanwhile, {} were told later",
                storm.withheld, storm.ended, storm.told
            ),
            _ if own => format!(
                "{} alerts are withheld, as no more than {} a minute are told ({up} up besides)",
                held.len(),
                self.rate
            ),
            _ => format!("{} more alerts of {} are withheld ({up} are told)", held.len(), key.1),
        };
        let mut annotations = Labels::new();
        annotations.insert("summary".into(), said.into());
        let top = top(&held, own);
        if !top.is_empty() {
            annotations.insert("most_of".into(), top.into());
        }
        let sample: Vec<String> = held.iter().take(3).map(|held| shown(held, own)).collect();
        if !sample.is_empty() {
            annotations.insert("sample".into(), sample.join("; ").into());
        }
        let figure = |name: &str, n: u64| (Arc::from(name), Value::Int(i64::try_from(n).unwrap_or(i64::MAX)));
        let labels = self.storm_labels(key);
        let since = Timestamp::from_micros(storm.since);
        Transition {
            state,
            ruleset: key.0.clone(),
            rule: labels.get("alertname").cloned().unwrap_or_else(|| key.1.clone()),
            rule_hash: 0,
            fingerprint: Fingerprint::of(&labels),
            labels,
            severity: storm.severity.as_str().into(),
            annotations,
            values: vec![
                figure("withheld_now", held.len() as u64),
                figure("withheld", storm.withheld),
                figure("ended", storm.ended),
                figure("told", storm.told),
            ],
            starts_at: since,
            occurred_at: now.wall.max(since),
            recorded_at: now.wall,
            evidence: None,
            place: usize::MAX,
        }
    }

    fn storm_labels(&self, key: &Rule) -> Labels {
        let name = if *key.0 == *OWN_SET { format!("{OWN_SET}{STORM}") } else { format!("{}{STORM}", key.1) };
        [("agent", self.agent.clone()), ("ruleset", key.0.clone()), ("alertname", name.into())]
            .into_iter()
            .map(|(name, value)| (name.into(), value))
            .collect()
    }

    fn storm_state(&self, key: &Rule) -> StateKey {
        let rule = format!("{}{STORM}", key.1).into();
        StateKey { ruleset: key.0.clone(), rule, fingerprint: Fingerprint::of(&self.storm_labels(key)) }
    }

    /// Lets the bucket fill until now.
    fn fill(&mut self, now: Now) {
        self.left = self.left_at(now.mono);
        self.at = now;
    }

    /// When it is so long after a time of the node's clock, by the monotonic one.
    fn mono(&self, then: i64, span: Duration) -> Mono {
        self.at.mono.plus(Timestamp::from_micros(then).plus(span).since(self.at.wall))
    }

    fn left_at(&self, now: Mono) -> u64 {
        let since = u64::try_from(now.since(self.at.mono).as_micros()).unwrap_or(u64::MAX);
        let most = u64::from(self.rate) * MINUTE;
        self.left.saturating_add(since.saturating_mul(u64::from(self.rate))).min(most)
    }
}

/// The storm that a withheld alert belongs to.
fn storm_key(held: &Held) -> Option<Rule> {
    match held.why {
        Why::Inhibited => None,
        Why::Storm => Some(held.rule.clone()),
        Why::Rate => Some((OWN_SET.into(), OWN_SET.into())),
    }
}

/// The label values that most of the alerts have in common: `site=north (31), site=south (9)`.
fn top(held: &[&Held], own: bool) -> String {
    let mut counts: HashMap<(&str, &str), usize> = HashMap::new();
    for alert in held {
        for (name, value) in &alert.labels {
            // Which rule it is says something only where there are several.
            if !OWN_LABELS.contains(&&**name) || (own && **name == *"alertname") {
                *counts.entry((name, value)).or_default() += 1;
            }
        }
    }
    let mut counts: Vec<_> = counts.into_iter().filter(|(_, count)| *count > 1).collect();
    counts.sort_by(|a, b| (b.1, a.0).cmp(&(a.1, b.0)));
    let shown = counts.into_iter().take(3).map(|((name, value), count)| format!("{name}={value} ({count})"));
    shown.collect::<Vec<_>>().join(", ")
}

/// An alert by its labels.
fn shown(held: &Held, own: bool) -> String {
    let labels = held.labels.iter().filter(|(name, _)| !OWN_LABELS.contains(&&***name));
    let labels: Vec<String> = labels.map(|(name, value)| format!("{name}={value}")).collect();
    if own { format!("{} {}", held.rule.1, labels.join(" ")) } else { labels.join(" ") }
}

fn state_key(held: &Held, alert: Fingerprint) -> StateKey {
    let rule = format!("{}{WITHHELD}", held.rule.1).into();
    StateKey { ruleset: held.rule.0.clone(), rule, fingerprint: alert }
}

/// Whether an alert that explains one with these labels is up.
fn is_inhibited(set: &Set, spec: &AlertSpec, labels: &Labels) -> bool {
    let explains = |inhibitor: &Inhibitor| {
        set.up(&inhibitor.rule).any(|other| match &inhibitor.on {
            Some(names) => names.iter().all(|name| other.get(name) == labels.get(name)),
            // What both are told apart by.
            None => other.iter().all(|(name, value)| {
                OWN_LABELS.contains(&&**name) || labels.get(name).is_none_or(|own| own == value)
            }),
        })
    };
    spec.life.inhibited_by.iter().any(explains)
}

/// A withheld alert, as it is kept.
#[derive(Serialize, Deserialize)]
struct SavedHeld {
    why: Why,
    labels: BTreeMap<String, String>,
    starts_at: i64,
}

/// What a snapshot holds.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Saved {
    /// What is left of a minute's alerts.
    left: Option<u64>,
    /// States, as they are kept elsewhere: rule set, id, fingerprint, body.
    states: Vec<(String, String, String, String)>,
}

impl Outlet {
    /// The states that changed since the last call, to be committed with the transitions.
    pub(super) fn take_changes(&mut self) -> Vec<StateChange> {
        let changed = std::mem::take(&mut self.changed);
        changed.into_iter().map(|key| StateChange { body: self.body(&key), key }).collect()
    }

    /// Every state that is kept.
    pub(super) fn states(&self) -> Vec<StateChange> {
        let kept = |key: StateKey| StateChange { body: self.body(&key), key };
        self.keys().into_iter().map(kept).collect()
    }

    /// What states are kept under.
    fn keys(&self) -> BTreeSet<StateKey> {
        let storms = self.storms.keys().map(|key| self.storm_state(key));
        let held = self.held.iter().map(|(alert, held)| state_key(held, *alert));
        storms.chain(held).collect()
    }

    /// What is kept under a key; `None` where that is nothing any more.
    fn body(&self, key: &StateKey) -> Option<Vec<u8>> {
        // Texts and numbers: nothing that writing could fail on.
        if let Some(rule) = key.rule.strip_suffix(STORM) {
            let storm = self.storms.get(&(key.ruleset.clone(), rule.into()))?;
            return Some(serde_json::to_vec(storm).unwrap_or_default());
        }
        let held = self.held.get(&key.fingerprint)?;
        let labels = held.labels.iter().map(|(name, value)| (name.to_string(), value.to_string()));
        let saved = SavedHeld { why: held.why, labels: labels.collect(), starts_at: held.starts_at.micros() };
        Some(serde_json::to_vec(&saved).unwrap_or_default())
    }

    /// Whether a kept state is one of these.
    pub(super) fn keeps(key: &StateKey) -> bool {
        key.rule.ends_with(WITHHELD) || key.rule.ends_with(STORM)
    }

    /// Puts kept states back: what is withheld is exactly that afterwards. Returns how many could not be read.
    pub(super) fn restore<'a>(
        &mut self,
        states: impl Iterator<Item = (&'a StateKey, &'a [u8])>,
        sets: &Sets,
        now: Now,
    ) -> usize {
        let fresh = Self::new(self.agent.clone(), self.rate);
        let (left, figures) = (self.left, self.figures);
        *self = Self { left, at: now, figures, ..fresh };
        let mut unreadable = 0;
        for (key, body) in states {
            if let Some(rule) = key.rule.strip_suffix(STORM) {
                let Ok(storm) = serde_json::from_slice::<Storm>(body) else {
                    unreadable += 1;
                    continue;
                };
                // A clock that went back must not keep a storm up.
                let then = |at: i64| at.min(now.wall.micros());
                let storm = Storm { said_at: then(storm.said_at), last_at: then(storm.last_at), ..storm };
                self.storms.insert((key.ruleset.clone(), rule.into()), storm);
            } else if let Some(rule) = key.rule.strip_suffix(WITHHELD) {
                let Ok(saved) = serde_json::from_slice::<SavedHeld>(body) else {
                    unreadable += 1;
                    continue;
                };
                let labels =
                    saved.labels.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
                let rule = (key.ruleset.clone(), Arc::from(rule));
                let starts_at = Timestamp::from_micros(saved.starts_at);
                self.put(
                    key.fingerprint,
                    Held { why: saved.why, rule, place: usize::MAX, labels, starts_at },
                );
            }
        }
        self.changed.clear();
        self.recount(sets);
        unreadable
    }

    /// Takes note of the alerts that are up: those that are not withheld were told.
    fn recount(&mut self, sets: &Sets) {
        for (name, set) in sets {
            for (rule, alert) in set.all_up() {
                if !self.held.contains_key(&alert) && self.told.insert(alert) {
                    *self.counts.entry((name.clone(), rule)).or_default() += 1;
                }
            }
        }
    }

    /// What a snapshot holds of it; with `alerts` also what is kept elsewhere otherwise.
    pub(super) fn snapshot(&self, alerts: bool, mono: Mono) -> Vec<u8> {
        let mut saved = Saved { left: Some(self.left_at(mono)), states: Vec::new() };
        if alerts {
            let state = |key: &StateKey| {
                let body = String::from_utf8(self.body(key)?).ok()?;
                Some((key.ruleset.to_string(), key.rule.to_string(), key.fingerprint.to_string(), body))
            };
            saved.states = self.keys().iter().filter_map(state).collect();
        }
        serde_json::to_vec(&saved).unwrap_or_default()
    }

    /// Goes on where a snapshot stood.
    ///
    /// # Errors
    /// A sentence for the log.
    pub(super) fn resume(&mut self, bytes: &[u8], sets: &Sets, now: Now) -> Result<(), String> {
        let saved: Saved = match bytes {
            [] => Saved::default(),
            bytes => serde_json::from_slice(bytes).map_err(|e| format!("read what was withheld: {e}"))?,
        };
        let states: Vec<(StateKey, Vec<u8>)> = saved
            .states
            .into_iter()
            .filter_map(|(ruleset, rule, fingerprint, body)| {
                let fingerprint = Fingerprint::parse(&fingerprint)?;
                let key = StateKey { ruleset: ruleset.into(), rule: rule.into(), fingerprint };
                Some((key, body.into_bytes()))
            })
            .collect();
        self.restore(states.iter().map(|(key, body)| (key, body.as_slice())), sets, now);
        if let Some(left) = saved.left {
            self.left = left.min(u64::from(self.rate) * MINUTE);
        }
        Ok(())
    }
}
