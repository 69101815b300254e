//! What the silence of a key does to its alert: `no_data` of a rule. Data that returns is an observation
//! like any other, and needs nothing here.

use std::time::Duration;

use crate::model::absence::{Absence, NoData, OnSilence};
use crate::model::time::Now;
use crate::model::transition::Transition;

use super::instance::Phase;
use super::{Book, Stand};

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
        let before = Stand::of(instance);
        let mut steps = Vec::new();
        instance.expire_before(&spec, at, &mut steps);
        if instance.changed || instance.phase != before.phase {
            // What ran out before the silence was long enough.
            self.settle(id, before, &spec, &steps, now, out);
            steps.clear();
        }
        let Some(instance) = self.instances.get_mut(id) else { return };
        let before = Stand::of(instance);
        instance.silent(&spec, action == OnSilence::Fire, at, &mut steps);
        if instance.changed || instance.phase != before.phase {
            if before.phase == Phase::Quiet {
                instance.values = absence.values;
            }
            instance.last_at = at;
            instance.resume(Duration::ZERO, now.mono);
        }
        self.settle(id, before, &spec, &steps, now, out);
        self.forget_if_quiet(id);
    }
}
