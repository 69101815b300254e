//! What flows from decode to engine, and from engine to alert.

use super::key::Key;
use super::time::Timestamp;
use super::value::Value;

/// One decoded reading: the values of its stream's fields, by slot.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Row {
    /// One value for each of [`StreamSpec::fields`](super::stream::StreamSpec::fields).
    pub slots: Vec<Value>,
    /// Event time where the stream has one, else arrival.
    pub time: Timestamp,
    /// From a retained message: it sets state, it is no event.
    pub retained: bool,
}

/// How many rows a pool keeps for the next message: a message of more is rare, and must not hold on to
/// its memory.
const KEPT: usize = 256;

/// The rows of one message, each with the place of its stream. Cleared, it keeps the rows and their
/// slots to be filled again, so that a message like those before it takes no memory.
#[derive(Debug, Default)]
pub struct Rows {
    /// Those in use, then those that wait to be.
    rows: Vec<(usize, Row)>,
    len: usize,
}

impl Rows {
    /// Without rows.
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets the rows, and lets go of their values.
    pub fn clear(&mut self) {
        for (_, row) in self.rows.iter_mut().take(self.len) {
            row.slots.clear();
        }
        self.rows.truncate(KEPT);
        self.len = 0;
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The rows in order, each with its stream's place.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (usize, &Row)> + DoubleEndedIterator + Clone {
        self.rows.get(..self.len).unwrap_or_default().iter().map(|(stream, row)| (*stream, row))
    }

    /// The row at a place.
    pub fn get(&self, place: usize) -> Option<(usize, &Row)> {
        self.iter().nth(place)
    }

    /// Another row, to be filled: without slots, at time zero, not retained.
    pub fn begin(&mut self, stream: usize) -> &mut Row {
        if self.len == self.rows.len() {
            self.rows.push((stream, Row::default()));
        }
        self.len += 1;
        let (of, row) = &mut self.rows[self.len - 1];
        *of = stream;
        row.slots.clear();
        (row.time, row.retained) = (Timestamp::default(), false);
        row
    }

    /// Takes the last row back.
    pub fn abandon(&mut self) {
        self.len = self.len.saturating_sub(1);
    }

    /// Orders the rows from `first` on by their streams; those of one stream stay in their order.
    pub fn sort_from(&mut self, first: usize) {
        if let Some(rows) = self.rows.get_mut(first..self.len) {
            rows.sort_by_key(|(stream, _)| *stream);
        }
    }
}

/// One output row of a rule's query, judged: what the alert stage sees.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observation {
    /// The rule, by its place in the plan it was compiled in.
    pub rule: usize,
    /// The values of the rule's key columns, in the order of
    /// [`AlertShape::key`](super::alerting::AlertShape::key).
    pub key: Key,
    /// The output columns, in the order of
    /// [`AlertShape::columns`](super::alerting::AlertShape::columns).
    pub values: Vec<Value>,
    /// Stream time of the observation: the row's own, or the end of its window.
    pub at: Timestamp,
    /// `when` over the row; NULL is `None` and changes nothing. Always true for a rule without
    /// `when`.
    pub raise: Option<bool>,
    /// `clear` over the row; where a rule has none, the negation of `raise`.
    pub clear: Option<bool>,
    /// What each level of the rule says, where it has levels.
    pub levels: Levels,
    /// From a retained message: may set the state of a stateful rule, is never an occurrence.
    pub retained: bool,
    /// How it stands to what came before.
    pub order: Order,
}

/// What the levels of a rule say of a row, a bit for each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Levels {
    raised: u8,
    not_raised: u8,
    cleared: u8,
    not_cleared: u8,
}

impl Levels {
    /// Notes what a level says: `when` and `clear` over the row.
    pub const fn set(&mut self, level: usize, raise: Option<bool>, clear: Option<bool>) {
        let bit = 1 << (level & 7);
        match raise {
            Some(true) => self.raised |= bit,
            Some(false) => self.not_raised |= bit,
            None => {}
        }
        match clear {
            Some(true) => self.cleared |= bit,
            Some(false) => self.not_cleared |= bit,
            None => {}
        }
    }

    /// What was noted of a level.
    pub const fn get(self, level: usize) -> (Option<bool>, Option<bool>) {
        const fn said(yes: u8, no: u8, bit: u8) -> Option<bool> {
            match (yes & bit, no & bit) {
                (0, 0) => None,
                (yes, _) => Some(yes != 0),
            }
        }
        let bit = 1 << (level & 7);
        (said(self.raised, self.not_raised, bit), said(self.cleared, self.not_cleared, bit))
    }
}

/// How an observation stands in time to those of its key that came before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// None of them is newer.
    #[default]
    Newest,
    /// A row of the key came before that is newer. It must not raise what is quiet.
    Older,
    /// Nobody has kept count: who takes it must remember the newest of each key, quiet or not.
    Untold,
}
