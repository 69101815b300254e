//! Which alerts somebody watches: only there does an observation that raises nothing change anything.

use std::collections::HashMap;
use std::hash::Hasher;

use hashbrown::HashTable;

use super::Engine;
use super::gate::Gate;
use super::index::Standing;
use crate::model::fold::{BuildFold, Fold};
use crate::model::key::{Key, label_hash, same_labels, with_label};
use crate::model::value::Value;

/// The alerts that are not quiet.
#[derive(Debug, Default)]
pub(super) struct Watch {
    active: HashMap<u32, HashTable<Key>, BuildFold>,
    /// What was raised in the row or deadline at hand, of which nobody can have heard yet.
    raised: HashTable<(u32, Key)>,
}

impl Watch {
    /// Notes whether an alert is active. Says whether that is new, and whether the rule has another
    /// one.
    pub(super) fn set(&mut self, rule: u32, key: &[Value], active: bool) -> (bool, bool) {
        let hash = label_hash(key);
        let is = |known: &Key| same_labels(known, key);
        if active {
            let keys = self.active.entry(rule).or_default();
            let new = keys.find(hash, is).is_none();
            if new {
                keys.insert_unique(hash, Key::of_labels(key), |known| label_hash(known));
            }
            return (new, keys.len() > usize::from(new));
        }
        let Some(keys) = self.active.get_mut(&rule) else { return (false, false) };
        let new = keys.find_entry(hash, is).map(|known| drop(known.remove())).is_ok();
        let others = !keys.is_empty();
        if !others {
            self.active.remove(&rule);
        }
        (new, others)
    }

    /// Notes that no alert of a rule is active, and gives the keys of those that were.
    pub(super) fn forget(&mut self, rule: u32) -> impl Iterator<Item = Key> {
        self.raised.retain(|(raised, _)| *raised != rule);
        self.active.remove(&rule).into_iter().flatten()
    }

    /// All active alerts, each with its rule.
    pub(super) fn all(&self) -> impl Iterator<Item = (u32, &Key)> {
        self.active.iter().flat_map(|(rule, keys)| keys.iter().map(|key| (*rule, key)))
    }

    /// Whether any alert of the rule is active.
    pub(super) fn has(&self, rule: u32) -> bool {
        !self.active.is_empty() && self.active.contains_key(&rule)
    }

    /// The rules of which any alert is active, or was raised by the row at hand; perhaps one twice.
    pub(super) fn rules(&self) -> impl Iterator<Item = u32> {
        self.active.keys().copied().chain(self.raised.iter().map(|(rule, _)| *rule))
    }

    /// Whether this alert of the rule is active, or was raised by the row at hand.
    pub(super) fn is_active(&self, rule: u32, key: &[Value]) -> bool {
        let active = if self.active.is_empty() { None } else { self.active.get(&rule) };
        if active.is_none() && self.raised.is_empty() {
            return false;
        }
        let hash = label_hash(key);
        let is_raised = |(raised, known): &(u32, Key)| *raised == rule && same_labels(known, key);
        active.is_some_and(|keys| keys.find(hash, |known| same_labels(known, key)).is_some())
            || self.raised.find(raised_hash(rule, hash), is_raised).is_some()
    }

    /// Notes that an alert is raised by the row at hand.
    pub(super) fn raise(&mut self, rule: u32, key: &[Value]) {
        let hash = raised_hash(rule, label_hash(key));
        let is = |(raised, known): &(u32, Key)| *raised == rule && same_labels(known, key);
        if self.raised.find(hash, is).is_none() {
            let rehash = |(rule, key): &(u32, Key)| raised_hash(*rule, label_hash(key));
            self.raised.insert_unique(hash, (rule, Key::of_labels(key)), rehash);
        }
    }

    /// Whoever takes observations has heard of all so far.
    pub(super) fn heard(&mut self) {
        if !self.raised.is_empty() {
            self.raised.clear();
        }
    }
}

/// The hash of a rule and a key.
fn raised_hash(rule: u32, key: u64) -> u64 {
    let mut hasher = Fold::default();
    hasher.write_u64(key ^ u64::from(rule));
    hasher.finish()
}

/// Readers by the label that is the key of their alerts.
type Labels = HashMap<Box<str>, Vec<u32>, BuildFold>;

/// The readers that a row must be shown since it belongs to an active alert of theirs.
#[derive(Debug, Default)]
pub(super) struct Awake {
    /// By a slot whose label is the whole key of their alerts.
    by_label: Vec<(u32, Labels)>,
    /// Those with another key, for every row.
    always: Vec<u32>,
}

impl Awake {
    /// Shows a reader rows of this key, or no longer; `slot` is the slot that is the key.
    pub(super) fn set(&mut self, reader: u32, slot: Option<u32>, key: &[Value], awake: bool) {
        let Some((slot, [label])) = slot.map(|slot| (slot, key)) else {
            return change(&mut self.always, reader, awake);
        };
        let at = self.by_label.iter().position(|(known, _)| *known == slot).unwrap_or_else(|| {
            self.by_label.push((slot, Labels::default()));
            self.by_label.len() - 1
        });
        let Some((_, labels)) = self.by_label.get_mut(at) else { return };
        with_label(label, |label| {
            if awake && !labels.contains_key(label) {
                labels.insert(label.into(), Vec::new());
            }
            let Some(readers) = labels.get_mut(label) else { return };
            change(readers, reader, awake);
            if readers.is_empty() {
                labels.remove(label);
            }
        });
    }

    /// Whether there are none.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.always.is_empty() && self.by_label.is_empty()
    }

    /// Gives every reader that a row must be shown; perhaps one twice.
    pub(super) fn of(&self, slots: &[Value], mut give: impl FnMut(u32, Standing)) {
        self.always.iter().for_each(|reader| give(*reader, Standing::Open));
        for (slot, labels) in self.by_label.iter().filter(|(_, labels)| !labels.is_empty()) {
            let value = slots.get(*slot as usize).unwrap_or(&Value::Null);
            if let Some(readers) = with_label(value, |label| labels.get(label)) {
                readers.iter().for_each(|reader| give(*reader, Standing::Awake));
            }
        }
    }
}

fn change(readers: &mut Vec<u32>, reader: u32, awake: bool) {
    match (readers.binary_search(&reader), awake) {
        (Err(at), true) => readers.insert(at, reader),
        (Ok(at), false) => {
            readers.remove(at);
        }
        _ => {}
    }
}

impl Engine {
    /// Says whether an alert of a rule is active: not quiet, so that what does not raise it matters. The key
    /// is as [`Key::of_labels`] has it. It must be said before the next row
    /// comes.
    pub fn watch(&mut self, rule: usize, key: &[Value], active: bool) {
        let (Some(gate), Some(plan), Ok(reader)) =
            (self.gates.get(rule).copied(), self.plan.rules.get(rule), u32::try_from(rule))
        else {
            return;
        };
        if !gate.is_silent() {
            return;
        }
        let (new, others) = self.watch.set(reader, key, active);
        // Only of plain rules does the index hold back what does not raise.
        if !new || !gate.is_plain() {
            return;
        }
        let (slot, stream) = (gate.key_slot(plan), plan.stream());
        if slot.is_none() && others {
            return;
        }
        if let Some(awake) = self.awake_of(gate, rule, stream) {
            awake.set(reader, slot, key, active);
        }
    }

    /// Where rows of active alerts of a plain rule are known, if it runs.
    pub(super) fn awake_of(&mut self, gate: Gate, rule: usize, stream: usize) -> Option<&mut Awake> {
        if gate.recalls() {
            return self.units.recall(rule).map(|recall| &mut recall.readers.awake);
        }
        self.feeds.get_mut(stream).map(|feed| &mut feed.readers.awake)
    }

    /// Whether a row of a stream can matter to anyone, of which only some slots are known: those that the
    /// topic tells. Where not, it need not be read, and nobody counts it. A no holds until the next
    /// [swap](Self::swap) or [change](Self::change), whatever alerts become active.
    pub fn cares(&self, stream: usize, known: &[(usize, &Value)]) -> bool {
        self.fed.get(stream).is_some_and(|tables| !tables.is_empty())
            || self.feeds.get(stream).is_some_and(|feed| {
                feed.unsettled > 0
                    || feed.readers.index.cares(known)
                    || feed.presence.as_ref().is_some_and(|presence| presence.cares(known))
            })
    }
}
