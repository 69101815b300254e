//! What a book tells: transitions, and for people how its alerts stand.

use std::sync::Arc;

use crate::model::alerting::{AlertSpec, Template};
use crate::model::label::{Fingerprint, Labels, as_label};
use crate::model::time::{Now, Timestamp, format_span};
use crate::model::transition::{Reason, State, Transition};
use crate::model::value::Value;

use super::instance::{Instance, Step};
use super::{Book, Whose, template};

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
    /// `pending`, `firing`, `keeping` or `flapping`.
    pub phase: &'static str,
    /// Its identity.
    pub labels: Labels,
    /// Its fingerprint.
    pub fingerprint: Fingerprint,
    /// Its severity: that of its rule, or of its level.
    pub severity: Arc<str>,
    /// Since when the condition holds, in stream time.
    pub since: Timestamp,
    /// The newest row, by column.
    pub values: Vec<(Arc<str>, Value)>,
    /// Why nothing new is heard of it, where that is known.
    pub stale: Option<Stale>,
}

/// Why nothing new is heard of an alert's device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stale {
    /// A source is not connected.
    Source,
    /// The whole stream is silent.
    Silent,
    /// The device is not connected.
    Offline,
}

impl Stale {
    /// Its name on screens.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Silent => "silent",
            Self::Offline => "offline",
        }
    }
}

impl Book {
    /// Whether the alert of a rule and a key is up.
    pub fn is_up(&self, rule: usize, key: &[Value]) -> bool {
        let id = self.instances.find(rule, key);
        id.and_then(|id| self.instances.get(id)).is_some_and(|instance| instance.phase.is_up())
    }

    /// The labels of every alert of a rule that is up.
    pub fn up(&self, rule: usize) -> impl Iterator<Item = Labels> {
        let ids = self.rooms.get(&rule).into_iter().flat_map(|room| &room.ids);
        let up = ids.filter_map(|id| self.instances.get(*id)).filter(|instance| instance.phase.is_up());
        up.filter_map(move |instance| Some(labels(&self.agent, self.specs.get(rule)?, &instance.key)))
    }

    /// Rule and key of every alert that is pending.
    pub fn pending(&self) -> impl Iterator<Item = (usize, &[Value])> {
        let pending = self.instances.iter().filter(|(_, instance)| instance.phase.is_pending());
        pending.map(|(_, instance)| (instance.rule(), &*instance.key))
    }

    /// Where the rule of this id stands.
    pub fn place_of(&self, rule: &str) -> Option<usize> {
        (0..self.specs.len()).find(|place| self.specs.get(*place).is_some_and(|spec| *spec.rule == *rule))
    }

    /// The alert side of the rule at a place.
    pub fn spec(&self, rule: usize) -> Option<&AlertSpec> {
        self.specs.get(rule)
    }

    /// Every alert that is up, with its rule.
    pub fn all_up(&self) -> impl Iterator<Item = (Arc<str>, Fingerprint)> {
        let up =
            self.instances.iter().map(|(_, instance)| instance).filter(|instance| instance.phase.is_up());
        up.map(|instance| {
            let spec = &self.specs[instance.rule()];
            ((&spec.rule).into(), Fingerprint::of(&labels(&self.agent, spec, &instance.key)))
        })
    }

    /// Every alert that is up, as it would be told anew: since when it is, and how severe it was told to be.
    pub fn announce(&self, now: Now, out: &mut Vec<Transition>) {
        let up = self.instances.in_order().into_iter().filter(|(_, instance)| instance.phase.is_up());
        out.extend(up.map(|(_, instance)| {
            let at = instance.last_at.max(instance.since());
            let step = Step { state: State::Firing, at, since: instance.since(), level: instance.level() };
            self.transition(&self.specs[instance.rule()], instance, step, now)
        }));
    }

    /// Tells once more that an alert is up, as it stands now. `labels` are its own; `at` is when there was reason
    /// to, in stream time, where that is known.
    pub fn retell(
        &mut self,
        rule: usize,
        labels: &Labels,
        (at, now): (Option<Timestamp>, Now),
        out: &mut Vec<Transition>,
    ) {
        self.told.clear();
        let Some(spec) = self.specs.get(rule).cloned() else { return };
        let text = |name: &Arc<str>| labels.get(name).map_or(Value::Null, |text| Value::Str(text.clone()));
        let key: Vec<Value> = spec.key.iter().map(text).collect();
        let Some(instance) = self.instances.find(rule, &key).and_then(|id| self.instances.get(id)) else {
            return;
        };
        if !instance.phase.is_up() {
            return;
        }
        let at = at.map_or_else(|| instance.stream_time(now.mono), |at| at.max(instance.last_at));
        let step = Step { state: instance.told_as(), at, since: instance.since(), level: instance.level() };
        out.push(self.transition(&spec, instance, step, now));
        self.told.push(Whose::of(instance));
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
        let all = self.instances.in_order().into_iter().map(|(_, instance)| instance);
        let mut all: Vec<&Instance> = all.filter(|i| i.phase.is_up() || i.phase.is_pending()).collect();
        all.sort_by(|a, b| {
            (a.since(), &*self.specs[a.rule()].rule).cmp(&(b.since(), &*self.specs[b.rule()].rule))
        });
        all.into_iter()
            .map(|i| {
                let spec = &self.specs[i.rule()];
                let labels = labels(&self.agent, spec, &i.key);
                Active {
                    phase: i.name(),
                    fingerprint: Fingerprint::of(&labels),
                    labels,
                    severity: spec.severity_at(i.level()).clone(),
                    since: i.since(),
                    values: named(spec, &i.values),
                    stale: None,
                }
            })
            .collect()
    }

    pub(super) fn transition(
        &self,
        spec: &AlertSpec,
        instance: &Instance,
        step: Step,
        now: Now,
    ) -> Transition {
        let labels = labels(&self.agent, spec, &instance.key);
        let severity = spec.severity_at(step.level).clone();
        let facts = template::Facts {
            values: &instance.values,
            labels: &labels,
            severity: &severity,
            starts_at: step.since,
            occurred_at: step.at,
        };
        let render =
            |(name, text): &(Arc<str>, Template)| (name.clone(), template::render(text, facts).into());
        let mut annotations: Labels = spec.annotations.iter().map(render).collect();
        if step.state == State::Up(Reason::Flapping)
            && let Some((times, span)) = instance.course.as_ref().map(|course| course.rate())
        {
            annotations
                .insert("flapping".into(), format!("fired {times} times in {}", format_span(span)).into());
        }
        Transition {
            state: step.state,
            ruleset: spec.ruleset.clone(),
            rule: (&spec.rule).into(),
            rule_hash: spec.hash,
            fingerprint: Fingerprint::of(&labels),
            labels,
            severity,
            annotations,
            values: named(spec, &instance.values),
            starts_at: step.since,
            occurred_at: step.at,
            recorded_at: now.wall,
            evidence: None,
            place: instance.rule(),
        }
    }
}

fn named(spec: &AlertSpec, values: &[Value]) -> Vec<(Arc<str>, Value)> {
    spec.columns.iter().cloned().zip(values.iter().cloned()).collect()
}

/// The identity of the alert of one key. A NULL in the key leaves its label out, as an absent and
/// an empty label are the same to Alertmanager.
pub(super) fn labels(agent: &Arc<str>, spec: &AlertSpec, key: &[Value]) -> Labels {
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
