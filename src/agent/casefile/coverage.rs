//! What can become of the alerts of a rule, and what of it cases have seen. [`goals`] is the one list of what a
//! rule's options make possible; all else goes by its names.

use std::collections::{BTreeMap, BTreeSet};

use crate::alert::Active;
use crate::model::absence::OnSilence;
use crate::model::alerting::{AlertSpec, Life, RuleKind};
use crate::model::label::Fingerprint;
use crate::model::schedule::Flapping;
use crate::model::time::format_span;
use crate::model::transition::{State, Transition};

/// Something that can become of a rule's alerts, which a case should show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Goal {
    /// Its name: `pending`, `brief` (pending that came to nothing), `firing`, `keeping`, `occurred`, or the
    /// reason of a transition.
    pub name: String,
    /// What a case has to do to show it.
    pub how: String,
}

/// What the options of a rule make possible, in the order of an alert's life.
pub fn goals(spec: &AlertSpec) -> Vec<Goal> {
    let mut all = Vec::new();
    let mut goal = |name: &str, how: String| all.push(Goal { name: name.to_owned(), how });
    match &spec.kind {
        RuleKind::State { for_, keep_firing_for, .. } => {
            if !for_.is_zero() {
                goal("pending", "let `when` hold for a while".to_owned());
                goal("brief", format!("let `when` end before it has held for {}", format_span(*for_)));
            }
            let held = if for_.is_zero() { String::new() } else { format!(" for {}", format_span(*for_)) };
            goal("firing", format!("let `when` hold{held}"));
            if !keep_firing_for.is_zero() {
                goal("keeping", "let it clear while it is firing".to_owned());
            }
            let kept = match keep_firing_for.is_zero() {
                true => String::new(),
                false => format!(", and stay so for {}", format_span(*keep_firing_for)),
            };
            goal("recovered", format!("let it clear while it is firing{kept}"));
            if let Some((highest, others)) = spec.life.levels.split_last() {
                for level in others.iter().chain([highest]) {
                    goal(&format!("severity {level}"), format!("let `when` of the level `{level}` hold"));
                }
                goal("severity", "let it go from one level to another while it is firing".to_owned());
            }
            // That of every rule is Weir's to show.
            if let Some(flapping) = spec.life.flapping.filter(|flapping| *flapping != Flapping::default()) {
                let within = format_span(flapping.within);
                goal("flapping", format!("let it fire {} times within {within}", flapping.changes));
            }
            if spec.life.max_instances != Life::MAX_INSTANCES {
                let most = spec.life.max_instances;
                goal("storm", format!("let more than {most} of its alerts be firing at a time"));
            }
            if spec.life.active.is_some() {
                goal("inactive", "let it be firing when `active` ends".to_owned());
            }
        }
        RuleKind::Occurrence { .. } => goal("occurred", "let the query give a row".to_owned()),
    }
    if let Some(no_data) = &spec.no_data {
        let after = format_span(no_data.after);
        match no_data.action {
            OnSilence::Fire => {
                goal("no_data", format!("let a device that was heard of be silent for {after}"));
            }
            OnSilence::Resolve => {
                goal("no_data", format!("let a device be silent for {after} while its alert is firing"));
            }
            // That nothing happens cannot be told from a case that never tried.
            OnSilence::Keep => {}
        }
    }
    all
}

/// What cases have seen of each rule.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exercised {
    seen: BTreeMap<String, BTreeSet<String>>,
    /// The alerts that were pending when it was last looked.
    waiting: BTreeMap<Fingerprint, String>,
}

impl Exercised {
    /// Takes note of a transition. That of a rule's companion (`hot/limit`) counts for the rule, under
    /// what stands behind the slash.
    pub(super) fn transition(&mut self, transition: &Transition) {
        let rule = &*transition.rule;
        if let Some((rule, companion)) = rule.split_once('/') {
            return self.note(rule, companion);
        }
        let state = match (transition.state.reason(), transition.state) {
            ("", State::Occurred) => "occurred",
            ("", _) => "firing",
            (reason, _) => reason,
        };
        self.note(rule, state);
        self.note(rule, &format!("severity {}", transition.severity));
        if transition.state == State::Firing && transition.starts_at < transition.occurred_at {
            self.note(rule, "pending");
        }
    }

    /// Takes note of the alerts that stand. One that waited and does not stand any more came to nothing.
    pub(super) fn standing(&mut self, alerts: &[Active]) {
        let mut waited = std::mem::take(&mut self.waiting);
        for alert in alerts {
            let Some(rule) = alert.labels.get("alertname").filter(|_| alert.phase != "firing") else {
                continue;
            };
            self.note(rule, alert.phase);
            if alert.phase == "pending" {
                self.waiting.insert(alert.fingerprint, rule.to_string());
            }
        }
        waited.retain(|fingerprint, _| !alerts.iter().any(|alert| alert.fingerprint == *fingerprint));
        waited.values().for_each(|rule| self.note(rule, "brief"));
    }

    /// The rules are others from here on: that an alert stands no more says nothing.
    pub(super) fn rules_change(&mut self) {
        self.waiting.clear();
    }

    fn note(&mut self, rule: &str, state: &str) {
        match self.seen.get_mut(rule) {
            Some(states) if states.contains(state) => {}
            Some(states) => drop(states.insert(state.to_owned())),
            None => drop(self.seen.insert(rule.to_owned(), BTreeSet::from([state.to_owned()]))),
        }
    }

    /// Takes over what another has seen.
    pub fn merge(&mut self, other: &Self) {
        for (rule, states) in &other.seen {
            states.iter().for_each(|state| self.note(rule, state));
        }
    }

    /// Whether a rule was seen in a state.
    pub fn has(&self, rule: &str, goal: &str) -> bool {
        self.seen.get(rule).is_some_and(|states| states.contains(goal))
    }

    /// Whether a rule's alert was ever raised by its condition.
    pub fn has_fired(&self, rule: &str) -> bool {
        ["firing", "occurred"].iter().any(|state| self.has(rule, state))
    }
}
