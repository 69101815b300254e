//! What is found by values, without a copy of them: one lookup, however the values lie about in a row.

use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::sync::Arc;

use hashbrown::HashTable;

use crate::model::value::Value;

/// Values by which something is found: these, or those at these places of a row.
#[derive(Clone, Copy, Debug)]
pub(super) struct Names<'r> {
    values: &'r [Value],
    places: Option<&'r [usize]>,
}

static NULL: Value = Value::Null;

impl<'r> Names<'r> {
    /// These.
    pub(super) fn of(values: &'r [Value]) -> Self {
        Self { values, places: None }
    }

    /// Those at these places.
    pub(super) fn at(values: &'r [Value], places: &'r [usize]) -> Self {
        Self { values, places: Some(places) }
    }

    fn len(self) -> usize {
        self.places.map_or(self.values.len(), <[usize]>::len)
    }

    fn iter(self) -> impl Iterator<Item = &'r Value> {
        (0..self.len()).map(move |n| {
            let place = self.places.map_or(n, |places| places[n]);
            self.values.get(place).unwrap_or(&NULL)
        })
    }

    /// A copy, to be kept.
    pub(super) fn to_key(self) -> Arc<[Value]> {
        self.iter().cloned().collect()
    }

    /// The first of them, and whether it is the only one.
    #[inline]
    fn first(self) -> (&'r Value, bool) {
        match self.places {
            None => (self.values.first().unwrap_or(&NULL), self.values.len() == 1),
            Some(places) => {
                let first = places.first().and_then(|place| self.values.get(*place));
                (first.unwrap_or(&NULL), places.len() == 1)
            }
        }
    }

    /// The one value that it is.
    #[inline]
    pub(super) fn only(self) -> Option<&'r Value> {
        let (first, only) = self.first();
        only.then_some(first)
    }

    fn is(self, key: &[Value]) -> bool {
        self.len() == key.len() && self.iter().zip(key).all(|(a, b)| same(a, b))
    }
}

/// Text that is shared is the same without a look at it.
#[inline]
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Str(a), Value::Str(b)) => Arc::ptr_eq(a, b) || a == b,
        _ => a == b,
    }
}

/// Things by their names, each in a place that stays.
#[derive(Debug)]
pub(super) struct Table<T> {
    places: HashTable<usize>,
    list: Vec<Option<Named<T>>>,
    holes: Vec<usize>,
    seed: u64,
}

#[derive(Debug)]
struct Named<T> {
    hash: u64,
    /// The whole name, where it is one value: most names are, and then it is at hand.
    only: Option<Value>,
    thing: T,
}

/// What stands in a [`Table`].
pub(super) trait Keyed {
    /// Its name.
    fn key(&self) -> &[Value];
}

impl<T: Keyed> Table<T> {
    /// Empty.
    pub(super) fn new() -> Self {
        let seed = RandomState::new().hash_one(0);
        Self { places: HashTable::new(), list: Vec::new(), holes: Vec::new(), seed }
    }

    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    /// The place of a name.
    #[inline]
    pub(super) fn find(&self, names: Names<'_>) -> Option<usize> {
        let hash = self.hash(names);
        let (first, only) = names.first();
        let is = |place: &usize| {
            let Some(Some(named)) = self.list.get(*place) else { return false };
            named.hash == hash
                && match &named.only {
                    Some(known) => only && same(known, first),
                    None => !only && names.is(named.thing.key()),
                }
        };
        self.places.find(hash, is).copied()
    }

    /// The place of what has this hash and of which this is true.
    #[inline]
    pub(super) fn find_if(&self, hash: u64, is: impl Fn(usize) -> bool) -> Option<usize> {
        self.places.find(hash, |place| is(*place)).copied()
    }

    #[inline]
    pub(super) fn get(&self, place: usize) -> Option<&T> {
        self.list.get(place)?.as_ref().map(|named| &named.thing)
    }

    #[inline]
    pub(super) fn get_mut(&mut self, place: usize) -> Option<&mut T> {
        self.list.get_mut(place)?.as_mut().map(|named| &mut named.thing)
    }

    /// Puts in what is not there, and says where.
    pub(super) fn put(&mut self, thing: T) -> usize {
        let hash = self.hash(Names::of(thing.key()));
        let place = self.holes.pop().unwrap_or(self.list.len());
        let only = if let [only] = thing.key() { Some(only.clone()) } else { None };
        let named = Some(Named { hash, only, thing });
        match self.list.get_mut(place) {
            Some(hole) => *hole = named,
            None => self.list.push(named),
        }
        let list = &self.list;
        let hash_of = |place: &usize| list[*place].as_ref().map_or(0, |named| named.hash);
        self.places.insert_unique(hash, place, hash_of);
        place
    }

    /// Takes out what is at a place.
    pub(super) fn remove(&mut self, place: usize) -> Option<T> {
        let Named { hash, thing, .. } = self.list.get_mut(place)?.take()?;
        if let Ok(found) = self.places.find_entry(hash, |other| *other == place) {
            found.remove();
        }
        self.holes.push(place);
        Some(thing)
    }

    /// All, with their places.
    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, &T)> {
        let all = self.list.iter().enumerate();
        all.filter_map(|(place, named)| Some((place, &named.as_ref()?.thing)))
    }

    /// All, with their places.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (usize, &mut T)> {
        let all = self.list.iter_mut().enumerate();
        all.filter_map(|(place, named)| Some((place, &mut named.as_mut()?.thing)))
    }

    /// The hash of names in this table.
    #[inline]
    pub(super) fn hash(&self, names: Names<'_>) -> u64 {
        match names.first() {
            (only, true) => self.hash_one(only),
            _ => {
                let mut hasher = Fold(self.seed);
                names.iter().for_each(|value| value.hash(&mut hasher));
                hasher.finish()
            }
        }
    }

    /// The same of a name that is one text.
    #[inline]
    pub(super) fn hash_text(&self, name: &str) -> u64 {
        let mut hasher = Fold(self.seed);
        hasher.write(name.as_bytes());
        hasher.finish()
    }

    /// The same of a name that is one value.
    #[inline]
    fn hash_one(&self, name: &Value) -> u64 {
        if let Value::Str(text) = name {
            return self.hash_text(text);
        }
        let mut hasher = Fold(self.seed);
        name.hash(&mut hasher);
        hasher.finish()
    }
}

/// Multiplies and folds (Wang Yi, wyhash), eight bytes at a time. The names come from outside: the tables
/// are bounded, and start from a number that nobody knows.
struct Fold(u64);

impl Fold {
    #[inline]
    fn mix(&mut self, word: u64) {
        let product = u128::from(self.0 ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
        #[expect(clippy::cast_possible_truncation, reason = "both halves are used")]
        let folded = (product >> 64) as u64 ^ product as u64;
        self.0 = folded;
    }
}

impl Hasher for Fold {
    #[inline]
    fn write(&mut self, bytes: &[u8]) {
        // What is short is read as one word, or two that overlap; the length tells them apart.
        if let (4..=8, Some(first), Some(last)) =
            (bytes.len(), bytes.first_chunk::<4>(), bytes.last_chunk::<4>())
        {
            let (first, last) = (u32::from_le_bytes(*first), u32::from_le_bytes(*last));
            self.mix(u64::from(first) << 32 | u64::from(last));
            return self.mix(bytes.len() as u64);
        }
        let (words, rest) = bytes.as_chunks::<8>();
        words.iter().for_each(|word| self.mix(u64::from_le_bytes(*word)));
        if !rest.is_empty() {
            let mut last = [0; 8];
            last[..rest.len()].copy_from_slice(rest);
            // The length tells what is cut off apart from what is zero.
            self.mix(u64::from_le_bytes(last) ^ (rest.len() as u64) << 56);
        }
    }

    fn write_u8(&mut self, n: u8) {
        self.0 = self.0.rotate_left(8) ^ u64::from(n);
    }

    fn write_u64(&mut self, n: u64) {
        self.mix(n);
    }

    fn write_i64(&mut self, n: i64) {
        self.mix(n.cast_unsigned());
    }

    fn write_usize(&mut self, n: usize) {
        self.mix(n as u64);
    }

    #[inline]
    fn finish(&self) -> u64 {
        let mut last = Self(self.0);
        last.mix(0x2545_f491_4f6c_dd1d);
        last.0
    }
}
