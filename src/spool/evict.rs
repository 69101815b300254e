//! What goes when more waits than may: first what a newer transition of the same alert supersedes, then what matters least;
//! of either the oldest first.
//!
//! It goes down to seven eighths of the bound, so that the search is made once for many commits. It walks over the blocks
//! (`blocks.rs`) and holds a few of them at a time, so its memory does not grow with what waits.

use std::collections::HashSet;

use rusqlite::{Connection, OptionalExtension};

use super::blocks::Entry;
use super::figures::Figures;
use super::spans::Spans;
use super::{Error, signed, unsigned};
use crate::model::label::Fingerprint;
use crate::model::ranges::Ranges;

/// Rows whose successors are looked for in one walk.
const AT_ONCE: usize = 16 << 10;

/// Gives up until what waits fits, where it does not. Says whether anything changed.
pub(super) fn evict(
    tx: &Connection,
    max_bytes: u64,
    figures: &mut Figures,
    acknowledged: &Ranges,
) -> Result<bool, Error> {
    if figures.stats.waiting_bytes <= max_bytes || figures.stats.waiting <= 1 {
        return Ok(false);
    }
    figures.kept.clear(tx)?;
    let target = max_bytes - max_bytes / 8;
    Eviction { tx, figures, acknowledged, target }.run()?;
    Ok(true)
}

struct Eviction<'a> {
    tx: &'a Connection,
    figures: &'a mut Figures,
    acknowledged: &'a Ranges,
    target: u64,
}

impl Eviction<'_> {
    fn run(&mut self) -> Result<(), Error> {
        let mut at = Some(0);
        while let Some(from) = at.filter(|_| !self.is_done()) {
            at = self.superseded(from)?;
        }
        for rank in 0..=u8::MAX {
            if self.is_done() {
                break;
            }
            self.of_rank(rank)?;
        }
        Ok(())
    }

    const fn is_done(&self) -> bool {
        self.figures.stats.waiting_bytes <= self.target || self.figures.stats.waiting <= 1
    }

    /// Gives up what is superseded in some blocks from this one on; gives the block behind them.
    fn superseded(&mut self, from: u64) -> Result<Option<u64>, Error> {
        let mut chunk: Vec<Entry> = Vec::new();
        let mut at = self.next(from)?;
        while let Some(block) = at.filter(|_| chunk.len() < AT_ONCE) {
            chunk.extend(self.waiting(block)?);
            at = self.next(block + 1)?;
        }
        chunk.retain(|entry| entry.fingerprint != Fingerprint(0));
        chunk.sort_unstable();
        let behind = at;
        let mut lives: HashSet<Fingerprint> = HashSet::new();
        while let Some(block) = at {
            for entry in self.waiting(block)? {
                if chunk.binary_search_by_key(&entry.fingerprint, |one| one.fingerprint).is_ok() {
                    lives.insert(entry.fingerprint);
                }
            }
            at = self.next(block + 1)?;
        }
        let mut gone: Vec<Entry> = chunk
            .iter()
            .enumerate()
            .filter(|(i, one)| {
                chunk.get(i + 1).is_some_and(|next| next.fingerprint == one.fingerprint)
                    || lives.contains(&one.fingerprint)
            })
            .map(|(_, one)| *one)
            .collect();
        let before = self.figures.stats.evicted;
        self.give_up(&mut gone)?;
        self.figures.stats.superseded += self.figures.stats.evicted - before;
        Ok(behind)
    }

    fn of_rank(&mut self, rank: u8) -> Result<(), Error> {
        let mut at = self.next(0)?;
        while let Some(block) = at.filter(|_| !self.is_done()) {
            let mut gone = self.waiting(block)?;
            gone.retain(|entry| entry.rank == rank);
            self.give_up(&mut gone)?;
            at = self.next(block + 1)?;
        }
        Ok(())
    }

    fn next(&self, from: u64) -> Result<Option<u64>, Error> {
        self.figures.blocks.next(self.tx, from)
    }

    /// The rows of a block that wait.
    fn waiting(&self, block: u64) -> Result<Vec<Entry>, Error> {
        let mut entries = self.figures.blocks.entries(self.tx, block)?;
        entries.retain(|entry| !self.acknowledged.contains(entry.seq));
        Ok(entries)
    }

    /// Lets rows go, oldest first, until what waits fits. The newest of all stays: there is always something to tell.
    fn give_up(&mut self, rows: &mut [Entry]) -> Result<(), Error> {
        rows.sort_unstable_by_key(|entry| entry.seq);
        let newest = self.figures.stats.newest;
        let mut gone = Ranges::default();
        for entry in rows.iter().filter(|entry| entry.seq != newest) {
            if self.is_done() {
                break;
            }
            self.tx.prepare_cached("DELETE FROM urgent WHERE seq = ?1")?.execute([signed(entry.seq)])?;
            let bytes: Option<i64> = self
                .tx
                .prepare_cached("DELETE FROM outbox WHERE seq = ?1 RETURNING length(body)")?
                .query_row([signed(entry.seq)], |row| row.get(0))
                .optional()?;
            self.figures.blocks.remove(self.tx, *entry)?;
            let Some(bytes) = bytes else { continue };
            let stats = &mut self.figures.stats;
            stats.waiting_bytes = stats.waiting_bytes.saturating_sub(unsigned(bytes));
            stats.waiting -= 1;
            stats.evicted += 1;
            gone.insert(entry.seq, entry.seq);
        }
        for (first, last) in gone.iter() {
            Spans::Evicted.insert(self.tx, first, last)?;
        }
        Ok(())
    }
}
