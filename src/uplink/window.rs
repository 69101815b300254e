//! What is under way to the hub in one session. Pure: numbers in, what may be sent next out.
//!
//! Rows go in two lanes, the urgent one first. That the order of each alert holds is the outbox's doing: a row of an
//! alert whose other rows wait in the rest is urgent only together with those.

use std::collections::BTreeMap;

use crate::model::ranges::{Range, Ranges};

/// How many transitions may be sent and not yet acknowledged.
const IN_FLIGHT: usize = 1_000;

/// Their bytes, before they are compressed.
const BYTES_IN_FLIGHT: usize = 384 * 1024;

/// What of both is kept free for urgent ones: they need not wait until the hub took a backlog. What lies in the buffers
/// of a thin link ahead of them cannot be overtaken any more, so the rest may not fill those with more than this leaves.
const RESERVE: usize = 200;
const BYTES_RESERVE: usize = 128 * 1024;

/// How many go in one message; an acknowledgement comes back for each.
pub(super) const BATCH: usize = 200;

/// Their bytes; well below the receiver's window once they are compressed.
pub(super) const BATCH_BYTES: usize = 128 * 1024;

/// Which rows of the outbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Which {
    Urgent,
    Rest,
}

/// What the next message may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Room {
    pub(super) count: usize,
    pub(super) bytes: usize,
}

/// The sending window of one session.
#[derive(Clone, Debug, Default)]
pub(super) struct Window {
    /// What the hub has.
    acked: Ranges,
    /// What need not be sent any more: it was sent on this session, acknowledged before it, or told as given up.
    out: Ranges,
    /// What was sent and is not acknowledged, with its bytes.
    under_way: BTreeMap<u64, usize>,
    bytes: usize,
    /// Up to where the hub was told that nothing more comes.
    told: u64,
}

impl Window {
    /// Starts with what the hub says that it has, and what the outbox knows that the hub had.
    pub(super) fn starting(floor: u64, above: &[Range], known: &Ranges) -> Self {
        let mut acked = known.clone();
        acked.insert(1, floor);
        above.iter().for_each(|(first, last)| acked.insert(*first, *last));
        Self { out: acked.clone(), acked, told: floor, ..Self::default() }
    }

    /// What need not be sent any more.
    pub(super) const fn out(&self) -> &Ranges {
        &self.out
    }

    /// How many numbers up to `newest` are still to be sent.
    pub(super) fn unsent(&self, newest: u64) -> u64 {
        self.out.missing(1, newest).iter().map(|(first, last)| last - first + 1).sum()
    }

    /// What may be sent of a lane at once; `None` to wait for acknowledgements.
    pub(super) fn room(&self, which: Which) -> Option<Room> {
        let (count, bytes) = match which {
            Which::Urgent => (IN_FLIGHT, BYTES_IN_FLIGHT),
            Which::Rest => (IN_FLIGHT - RESERVE, BYTES_IN_FLIGHT - BYTES_RESERVE),
        };
        let count = count.saturating_sub(self.under_way.len()).min(BATCH);
        let bytes = bytes.saturating_sub(self.bytes).min(BATCH_BYTES);
        (count > 0 && bytes > 0).then_some(Room { count, bytes })
    }

    /// Whether nothing is under way.
    pub(super) fn is_idle(&self) -> bool {
        self.under_way.is_empty()
    }

    /// A row is on its way.
    pub(super) fn send(&mut self, seq: u64, bytes: usize) {
        self.pass(seq, seq);
        if self.under_way.insert(seq, bytes).is_none() {
            self.bytes += bytes;
        }
    }

    /// These are never sent: they were given up, or cannot be read.
    pub(super) fn pass(&mut self, first: u64, last: u64) {
        self.out.insert(first, last);
    }

    /// What of a range that was given up the hub was not told yet.
    pub(super) fn untold(&self, first: u64, last: u64) -> Vec<Range> {
        self.out.missing(first, last)
    }

    /// Up to where everything was sent, acknowledged or told as given up.
    pub(super) fn complete(&self) -> u64 {
        self.out.floor()
    }

    /// The same where the hub does not know it yet; it does afterwards.
    pub(super) fn tell_complete(&mut self) -> Option<u64> {
        let complete = self.complete();
        let news = complete > self.told;
        self.told = self.told.max(complete);
        news.then_some(complete)
    }

    /// The hub has everything up to `floor`, and these beyond it. What was never sent is not believed. Returns whether
    /// any of it is news.
    pub(super) fn ack(&mut self, floor: u64, above: &[Range]) -> bool {
        let mut news = false;
        for (first, last) in std::iter::once((1, floor)).chain(above.iter().copied()) {
            let mut believed = Ranges::default();
            believed.insert(first, last);
            self.out.missing(first, last).iter().for_each(|(first, last)| believed.remove(*first, *last));
            for (first, last) in believed.iter() {
                news |= !self.acked.missing(first, last).is_empty();
                self.acked.insert(first, last);
            }
        }
        if news {
            let (acked, bytes) = (&self.acked, &mut self.bytes);
            self.under_way.retain(|seq, size| {
                let waits = !acked.contains(*seq);
                *bytes -= if waits { 0 } else { *size };
                waits
            });
        }
        news
    }

    /// What the hub has: everything up to a number, and these beyond it.
    pub(super) fn acked(&self) -> (u64, Vec<Range>) {
        let floor = self.acked.floor();
        (floor, self.acked.iter().filter(|(first, _)| *first > floor).collect())
    }
}

#[cfg(test)]
mod tests;
