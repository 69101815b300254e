//! What of a book must survive: the states that go with transitions, and what a snapshot holds.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::model::kept::StateChange;
use crate::model::time::Now;

use super::instances::Id;
use super::saved::SavedState;
use super::{Book, places, state_key};

impl Book {
    /// The states that changed since the last call, to be committed with the transitions.
    pub fn take_changes(&mut self, now: Now) -> Vec<StateChange> {
        let mut changes: Vec<StateChange> =
            self.gone.drain(..).map(|key| StateChange { key, body: None }).collect();
        for id in std::mem::take(&mut self.changed) {
            let Some(instance) = self.instances.get(id) else { continue };
            let spec = &self.specs[instance.rule()];
            let body =
                (!instance.is_blank()).then(|| SavedState::of(instance, instance.anchor, now).encode());
            changes.push(StateChange { key: state_key(&self.agent, spec, &instance.key), body });
        }
        changes
    }

    /// Every state that is kept, as the newest of its changes would say it.
    pub fn states(&self, now: Now) -> impl Iterator<Item = StateChange> {
        let kept = self.instances.iter().filter(|(_, instance)| !instance.is_blank());
        kept.map(move |(_, instance)| StateChange {
            key: state_key(&self.agent, &self.specs[instance.rule()], &instance.key),
            body: Some(SavedState::of(instance, instance.anchor, now).encode()),
        })
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
            if let Some(id) = self.instances.find(rule, &instance.key) {
                kept.insert(id);
                let same = self.instances.get(id).is_some_and(|i| i.stands_as(&instance));
                if same {
                    continue;
                }
                self.take(id);
            }
            kept.insert(self.insert(instance));
        }
        let stray: Vec<Id> = self
            .instances
            .iter()
            .filter(|(id, i)| !i.is_blank() && !kept.contains(id))
            .map(|(id, _)| id)
            .collect();
        for id in stray {
            self.take(id);
        }
        self.changed.clear();
        self.gone.clear();
    }

    /// What a snapshot holds of this book: every instance, also those without an alert, with
    /// their timers as far as they have run by `now`.
    pub fn snapshot(&self, now: Now) -> Vec<(Arc<str>, SavedState)> {
        let all = self.instances.in_order().into_iter();
        all.map(|(_, i)| ((&self.specs[i.rule()].rule).into(), SavedState::of(i, now.mono, now))).collect()
    }
}
