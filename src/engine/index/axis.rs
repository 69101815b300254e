//! The entries of a cluster that differ in a threshold of one field, sorted by it: those that a value
//! passes stand together at the front, and are found without a look at the others.

use super::atom::{Side, against};
use crate::model::value::Value;

/// How many entries a block holds before it is split: what is moved when one is put in.
const BLOCK: usize = 256;

/// What an entry says besides its threshold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tail {
    /// Whose it is.
    pub(super) reader: u32,
    /// What is left to be checked.
    pub(super) rest: Rest,
}

/// What is left of a conjunction when equality and threshold are true: a residual's place, or one of
/// the two constants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rest(pub(super) u32);

impl Rest {
    /// Nothing: the condition is true.
    pub(super) const PROVED: Self = Self(u32::MAX);
    /// What the index knows nothing of.
    pub(super) const OPAQUE: Self = Self(u32::MAX - 1);
}

/// What entries are sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    /// Nothing: every row passes.
    Nothing,
    /// A threshold of this slot.
    Field(u32, Side),
}

impl By {
    /// What stands against the keys; keys below it are passed.
    pub(super) fn against(self, slots: &[Value]) -> Option<f64> {
        match self {
            Self::Nothing => Some(0.0),
            Self::Field(slot, side) => against(side, slots.get(slot as usize)?),
        }
    }
}

/// Entries in the order of their keys, and of their readers where those are equal.
#[derive(Debug)]
pub(super) struct Axis {
    pub(super) by: By,
    /// The first entries, and most often all of them.
    first: Block,
    /// The others, where there are more than a block holds; none is empty.
    others: Vec<Block>,
}

/// A stretch of the order.
type Block = Vec<Entry>;

#[derive(Clone, Copy, Debug)]
struct Entry {
    key: f64,
    tail: Tail,
}

impl Entry {
    /// Whether it stands before the one of this key and reader.
    fn is_before(&self, key: f64, reader: u32) -> bool {
        self.key < key || (self.key <= key && self.tail.reader < reader)
    }
}

impl Axis {
    pub(super) const fn new(by: By) -> Self {
        Self { by, first: Vec::new(), others: Vec::new() }
    }

    pub(super) fn insert(&mut self, key: f64, tail: Tail) {
        let at = self.block_of(key, tail.reader);
        let Some(block) = self.block_mut(at) else { return };
        let place = block.partition_point(|entry| entry.is_before(key, tail.reader));
        if block.len() == block.capacity() && block.len() < 8 {
            block.reserve_exact(2);
        }
        block.insert(place, Entry { key, tail });
        if block.len() >= BLOCK {
            // Rules that come in the order of their thresholds fill their blocks.
            let half = if place + 1 == block.len() { place } else { BLOCK / 2 };
            let behind = block.split_off(half);
            self.others.insert(at, behind);
        }
    }

    /// Takes out the entry of this reader and key of which `is` is true.
    pub(super) fn remove(&mut self, key: f64, reader: u32, is: impl Fn(Tail) -> bool) -> Option<Tail> {
        let mut at = self.block_of(key, reader);
        while let Some(block) = self.block_mut(at) {
            let from = block.partition_point(|entry| entry.is_before(key, reader));
            for place in from..block.len() {
                let Entry { key: known, tail } = *block.get(place)?;
                if known > key || tail.reader != reader {
                    return None;
                }
                if is(tail) {
                    block.remove(place);
                    if block.is_empty() {
                        self.drop_block(at);
                    }
                    return Some(tail);
                }
            }
            at += 1;
        }
        None
    }

    /// The block in which an entry stands, or belongs: the last one that does not begin behind it.
    fn block_of(&self, key: f64, reader: u32) -> usize {
        self.others.partition_point(|block| block.first().is_some_and(|entry| entry.is_before(key, reader)))
    }

    fn block_mut(&mut self, at: usize) -> Option<&mut Block> {
        match at.checked_sub(1) {
            None => Some(&mut self.first),
            Some(at) => self.others.get_mut(at),
        }
    }

    fn drop_block(&mut self, at: usize) {
        match at.checked_sub(1) {
            Some(at) => drop(self.others.remove(at)),
            None if !self.others.is_empty() => self.first = self.others.remove(0),
            None => {}
        }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.first.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.first.len() + self.others.iter().map(Vec::len).sum::<usize>()
    }

    /// The one entry that there is, where every row passes it.
    #[inline]
    pub(super) fn only(&self) -> Option<Tail> {
        match &*self.first {
            [one] if self.by == By::Nothing && self.others.is_empty() => Some(one.tail),
            _ => None,
        }
    }

    /// Gives every entry whose threshold the row passes.
    #[inline]
    pub(super) fn passed(&self, slots: &[Value], mut give: impl FnMut(Tail)) {
        let Some(value) = self.by.against(slots) else { return };
        // All that is passed is given, so looking for its end would save nothing.
        let mut entries = self.first.iter().chain(self.others.iter().flatten());
        while let Some(entry) = entries.next().filter(|entry| entry.key < value) {
            give(entry.tail);
        }
    }
}
