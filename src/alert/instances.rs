//! The instances of a book: found by rule and key in one step, and by their [`Id`] from then on. It knows
//! nothing of what they do.

use std::hash::Hasher;

use hashbrown::HashTable;

use crate::model::fold::Fold;
use crate::model::key::{label_hash, same_labels};
use crate::model::value::Value;

use super::instance::Instance;

/// Which instance is meant. They are in the order in which instances came; an id is given once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Id {
    number: u64,
    /// Where it stands, as long as it does.
    place: u32,
}

impl Id {
    /// None comes behind it.
    pub(super) const LAST: Self = Self { number: u64::MAX, place: u32::MAX };
}

/// The instances.
#[derive(Debug, Default)]
pub(super) struct Instances {
    places: Vec<Option<Instance>>,
    free: Vec<u32>,
    /// By rule and key.
    index: HashTable<Entry>,
    /// The number of the one that came last.
    last: u64,
}

#[derive(Debug)]
struct Entry {
    hash: u64,
    place: u32,
}

impl Instances {
    /// None, whose ids come behind those of others.
    pub(super) fn behind(others: &Self) -> Self {
        Self { last: others.last, ..Self::default() }
    }

    /// The instance of a rule's key, which is told apart as its labels say.
    #[inline]
    pub(super) fn find(&self, rule: usize, key: &[Value]) -> Option<Id> {
        let hash = hash(rule, key);
        let is = |entry: &Entry| {
            entry.hash == hash
                && matches!(self.places.get(entry.place as usize), Some(Some(known))
                    if known.rule() == rule && same_labels(&known.key, key))
        };
        let place = self.index.find(hash, is)?.place;
        let number = self.places.get(place as usize)?.as_ref()?.number;
        Some(Id { number, place })
    }

    #[inline]
    pub(super) fn get(&self, id: Id) -> Option<&Instance> {
        self.places.get(id.place as usize)?.as_ref().filter(|instance| instance.number == id.number)
    }

    #[inline]
    pub(super) fn get_mut(&mut self, id: Id) -> Option<&mut Instance> {
        self.places.get_mut(id.place as usize)?.as_mut().filter(|instance| instance.number == id.number)
    }

    /// Puts an instance in behind all others. There is none of its rule and key.
    pub(super) fn insert(&mut self, mut instance: Instance) -> Id {
        self.last += 1;
        instance.number = self.last;
        self.put_back(instance)
    }

    /// Puts an instance back that had a number; it keeps its place in the order.
    pub(super) fn put_back(&mut self, instance: Instance) -> Id {
        let (number, hash) = (instance.number, hash(instance.rule(), &instance.key));
        let place = match self.free.pop() {
            Some(place) => {
                self.places[place as usize] = Some(instance);
                place
            }
            None => {
                self.places.push(Some(instance));
                u32::try_from(self.places.len() - 1).unwrap_or(u32::MAX)
            }
        };
        self.index.insert_unique(hash, Entry { hash, place }, |entry| entry.hash);
        Id { number, place }
    }

    pub(super) fn remove(&mut self, id: Id) -> Option<Instance> {
        self.get(id)?;
        let instance = self.places.get_mut(id.place as usize)?.take()?;
        self.free.push(id.place);
        let hash = hash(instance.rule(), &instance.key);
        if let Ok(entry) = self.index.find_entry(hash, |entry| entry.place == id.place) {
            entry.remove();
        }
        Some(instance)
    }

    /// All of them, by place.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Id, &Instance)> {
        self.places.iter().enumerate().filter_map(|(place, held)| {
            let instance = held.as_ref()?;
            Some((Id { number: instance.number, place: u32::try_from(place).ok()? }, instance))
        })
    }

    /// All of them, in the order in which they came.
    pub(super) fn in_order(&self) -> Vec<(Id, &Instance)> {
        let mut all: Vec<(Id, &Instance)> = self.iter().collect();
        all.sort_unstable_by_key(|(id, _)| *id);
        all
    }

    /// The same, to be kept.
    pub(super) fn into_order(self) -> Vec<(Id, Instance)> {
        let at = |(place, held): (usize, Option<Instance>)| {
            let instance = held?;
            Some((Id { number: instance.number, place: u32::try_from(place).ok()? }, instance))
        };
        let mut all: Vec<(Id, Instance)> = self.places.into_iter().enumerate().filter_map(at).collect();
        all.sort_unstable_by_key(|(id, _)| *id);
        all
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.index.len()
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.index.is_empty() && self.iter().next().is_none()
    }
}

/// The hash of a rule's key, as its labels say it.
#[inline]
fn hash(rule: usize, key: &[Value]) -> u64 {
    let mut hasher = Fold::default();
    hasher.write_u64(label_hash(key) ^ rule as u64);
    hasher.finish()
}
