//! Goes over to other rules: which alerts go on, and how the others end.

use std::sync::Arc;

use crate::model::alerting::{AlertSpec, Roster};
use crate::model::time::Now;
use crate::model::transition::{Reason, State, Transition};
use crate::model::value::Value;

use super::instance::{Instance, Step};
use super::instances::{Id, Instances};
use super::{Book, Counts, places, state_key};

impl Book {
    /// Goes over to other rules. A rule with the same id keeps the alerts whose identity it keeps;
    /// the others resolve.
    pub fn swap(&mut self, specs: Arc<dyn Roster>, now: Now, out: &mut Vec<Transition>) {
        let old = std::mem::replace(self, Self::new(self.agent.clone(), specs.clone()));
        let place = places(&*specs);
        self.instances = Instances::behind(&old.instances);
        self.gone = old.gone;
        for (i, counts) in old.counts {
            if let Some(&j) = place.get(&*old.specs[i].rule) {
                self.counts.insert(j, Counts { firing: 0, pending: 0, ..counts });
            }
        }
        for (id, mut instance) in old.instances.into_order() {
            let was = &old.specs[instance.rule()];
            let target = place.get(&*was.rule).copied();
            match target {
                Some(rule) if keeps_identity(was, &self.specs[rule]) => {
                    let spec = self.specs[rule].clone();
                    instance.move_to(rule);
                    let adapted = self.adapt((was, &spec), &mut instance, now, out);
                    let is = self.put_back(instance);
                    // The kept state's rule may count differently from here on.
                    if adapted || old.changed.contains(&id) {
                        self.changed.insert(is);
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
        let mut ids: Vec<Id> = rooms.flat_map(|room| &room.ids).copied().collect();
        ids.sort_unstable();
        let mut taken = Vec::with_capacity(ids.len());
        for id in ids {
            let unsaved = self.changed.contains(&id);
            taken.extend(self.take(id).map(|instance| (unsaved, instance)));
        }
        let before = std::mem::replace(&mut self.specs, specs);
        let id = |specs: &Arc<dyn Roster>, at: usize| specs.get(at).map(|spec| spec.rule.clone());
        for at in touched {
            if !self.counts.is_empty() && id(&before, *at) != id(&self.specs, *at) {
                self.counts.remove(at);
            }
        }
        for (unsaved, mut instance) in taken {
            let (was, is) = (before[instance.rule()].clone(), self.specs[instance.rule()].clone());
            let same = was.rule == is.rule;
            if same && keeps_identity(&was, &is) {
                let adapted = self.adapt((&was, &is), &mut instance, now, out);
                let is = self.put_back(instance);
                // The kept state's rule may count differently from here on.
                if adapted || unsaved {
                    self.changed.insert(is);
                }
                continue;
            }
            let reason = if same { Reason::RuleChanged } else { Reason::RuleRemoved };
            self.end(&was, &instance, reason, now, out);
        }
    }

    /// Lets an alert go on under another text of its rule, and tells where that makes it more or less severe. Says
    /// whether it is kept differently from here on.
    fn adapt(
        &self,
        (was, is): (&AlertSpec, &AlertSpec),
        instance: &mut Instance,
        now: Now,
        out: &mut Vec<Transition>,
    ) -> bool {
        instance.values = carried_over(&instance.values, was, is);
        let severity = was.severity_at(instance.level()).clone();
        let adapted = instance.adapt(was, is);
        if instance.phase.is_up() && severity != *is.severity_at(instance.level()) {
            let (state, at) = (State::Up(Reason::Severity), instance.stream_time(now.mono));
            let step = Step { state, at, since: instance.since(), level: instance.level() };
            out.push(self.transition(is, instance, step, now));
        }
        adapted
    }

    /// Ends those alerts of a rule whose keys are so.
    pub fn end_all(
        &mut self,
        rule: usize,
        is: &dyn Fn(&[Value]) -> bool,
        reason: Reason,
        now: Now,
        out: &mut Vec<Transition>,
    ) {
        self.told.clear();
        let Some(spec) = self.specs.get(rule).cloned() else { return };
        let mut ids: Vec<Id> =
            self.rooms.get(&rule).into_iter().flat_map(|room| &room.ids).copied().collect();
        ids.retain(|id| self.instances.get(*id).is_some_and(|instance| is(&instance.key)));
        ids.sort_unstable();
        for id in ids {
            if let Some(instance) = self.take(id) {
                self.end(&spec, &instance, reason, now, out);
            }
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
            let state = State::Resolved(reason);
            let step = Step { state, at, since: instance.since(), level: instance.level() };
            out.push(self.transition(was, instance, step, now));
        }
        if !instance.is_blank() {
            self.gone.push(state_key(&self.agent, was, &instance.key));
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
