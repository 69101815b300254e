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
    blocks: Vec<Block>,
}

#[derive(Debug, Default)]
struct Block {
    keys: Vec<f64>,
    tails: Vec<Tail>,
}

impl Block {
    /// Where the first entry stands that is not before this one.
    fn place(&self, key: f64, reader: u32) -> usize {
        let first = self.keys.partition_point(|known| *known < key);
        let equal = self.keys.get(first..).unwrap_or_default().partition_point(|known| *known <= key);
        let tails = self.tails.get(first..first + equal).unwrap_or_default();
        first + tails.partition_point(|tail| tail.reader < reader)
    }

    /// Whether its last entry is before this one.
    fn ends_before(&self, key: f64, reader: u32) -> bool {
        match (self.keys.last(), self.tails.last()) {
            (Some(last), Some(tail)) => *last < key || (*last <= key && tail.reader < reader),
            _ => true,
        }
    }
}

impl Axis {
    pub(super) const fn new(by: By) -> Self {
        Self { by, blocks: Vec::new() }
    }

    pub(super) fn insert(&mut self, key: f64, tail: Tail) {
        let at = self.blocks.partition_point(|block| block.ends_before(key, tail.reader));
        // What comes behind all others goes to the last block.
        let at = at.min(self.blocks.len().saturating_sub(1));
        if self.blocks.is_empty() {
            self.blocks.push(Block::default());
        }
        let Some(block) = self.blocks.get_mut(at) else { return };
        let place = block.place(key, tail.reader);
        if block.keys.len() == block.keys.capacity() && block.keys.len() < 8 {
            block.keys.reserve_exact(2);
            block.tails.reserve_exact(2);
        }
        block.keys.insert(place, key);
        block.tails.insert(place, tail);
        if block.keys.len() >= BLOCK {
            // Rules that come in the order of their thresholds fill their blocks.
            let half = if place + 1 == block.keys.len() { place } else { BLOCK / 2 };
            let behind = Block { keys: block.keys.split_off(half), tails: block.tails.split_off(half) };
            self.blocks.insert(at + 1, behind);
        }
    }

    /// Takes out the entry of this reader and key of which `is` is true.
    pub(super) fn remove(&mut self, key: f64, reader: u32, is: impl Fn(Tail) -> bool) -> Option<Tail> {
        let first = self.blocks.partition_point(|block| block.ends_before(key, reader));
        for at in first..self.blocks.len() {
            let block = self.blocks.get_mut(at)?;
            for place in block.place(key, reader)..block.keys.len() {
                let (known, tail) = (*block.keys.get(place)?, *block.tails.get(place)?);
                if known > key || tail.reader != reader {
                    return None;
                }
                if is(tail) {
                    block.keys.remove(place);
                    block.tails.remove(place);
                    if block.keys.is_empty() {
                        self.blocks.remove(at);
                    }
                    return Some(tail);
                }
            }
        }
        None
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.blocks.iter().map(|block| block.keys.len()).sum()
    }

    /// Gives every entry whose threshold the row passes.
    pub(super) fn passed(&self, slots: &[Value], mut give: impl FnMut(Tail)) {
        let Some(value) = self.by.against(slots) else { return };
        for block in &self.blocks {
            let whole = block.keys.last().is_some_and(|last| *last < value);
            let count = if whole { block.keys.len() } else { block.keys.partition_point(|key| *key < value) };
            block.tails.iter().take(count).for_each(|tail| give(*tail));
            if !whole {
                return;
            }
        }
    }
}
