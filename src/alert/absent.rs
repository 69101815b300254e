//! What the silence of a key does to its alert: `no_data` of a rule. Data that returns is an observation
//! like any other, and needs nothing here.

use std::time::Duration;

use crate::model::absence::{Absence, NoData, OnSilence};
use crate::model::time::{Mono, Now, Timestamp};
use crate::model::transition::{Reason, State, Transition};
use crate::model::value::Value;

use super::Book;
use super::instance::{Instance, Phase, Step};

impl Book {
    /// Takes note that a key gave no data for as long as its rule allows.
    pub fn absent(&mut self, absence: Absence, now: Now, out: &mut Vec<Transition>) {
        self.told.clear();
        let rule = absence.rule;
        let Some(spec) = self.specs.get(rule).cloned() else { return };
        let Some(NoData { action, .. }) = spec.no_data else { return };
        let id = match (self.instances.find(rule, &absence.key), action) {
            (_, OnSilence::Keep) | (None, OnSilence::Resolve) => return,
            (Some(id), _) => id,
            (None, OnSilence::Fire) => match self.admit(rule, &absence.key) {
                Some(id) => id,
                None => {
                    self.counts.entry(rule).or_default().refused += 1;
                    self.limited = true;
                    return;
                }
            },
        };
        let Some(instance) = self.instances.get_mut(id) else { return };
        let at = absence.at.max(instance.last_at);
        let before = instance.phase;
        let mut steps = Vec::new();
        instance.expire_before(&spec.kind, at, &mut steps);
        if instance.phase != before {
            // What ran out before the silence was long enough.
            self.settle(id, before, &spec, &steps, now, out);
            steps.clear();
        }
        let Some(instance) = self.instances.get_mut(id) else { return };
        let before = instance.phase;
        instance.silent(action, at, absence.values, now.mono, &mut steps);
        self.settle(id, before, &spec, &steps, now, out);
        self.forget_if_quiet(id);
    }
}

impl Instance {
    fn silent(
        &mut self,
        action: OnSilence,
        at: Timestamp,
        values: Box<[Value]>,
        mono: Mono,
        steps: &mut Vec<Step>,
    ) {
        match (self.phase, action) {
            (Phase::Quiet, OnSilence::Fire) => {
                self.phase = Phase::Up { since: at };
                self.values = values;
                steps.push(Step { state: State::Silent, at, since: at });
            }
            (Phase::Pending { since }, OnSilence::Fire) => {
                self.phase = Phase::Up { since };
                steps.push(Step { state: State::Silent, at, since });
            }
            (Phase::Keeping { since, .. }, OnSilence::Fire) => self.phase = Phase::Up { since },
            (Phase::Pending { .. }, OnSilence::Resolve) => self.phase = Phase::Quiet,
            (Phase::Up { since } | Phase::Keeping { since, .. }, OnSilence::Resolve) => {
                self.phase = Phase::Quiet;
                steps.push(Step { state: State::Resolved(Reason::NoData), at, since });
            }
            _ => return,
        }
        self.last_at = at;
        self.resume(Duration::ZERO, mono);
    }
}
