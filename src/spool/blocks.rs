//! Which alert each waiting row is of: what is asked when rows of an alert must go before another, and when the outbox is
//! full.
//!
//! An index would cost the flash a page for each row, as fingerprints come in no order. So rows are told by blocks of
//! numbers: those of the block at hand stand in memory (and, for the next start, in the rows themselves); a block that is
//! full is written at once, sorted, which is some twenty bytes a row. To look an alert up takes a step for each block.

use rusqlite::{Connection, params};

use super::{Error, signed, unsigned};
use crate::model::label::Fingerprint;

/// Numbers of a block, as a power of two. More make a look-up quicker, and a start read more rows.
const BITS: u32 = 10;

/// One row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Entry {
    pub(super) fingerprint: Fingerprint,
    pub(super) seq: u64,
    pub(super) rank: u8,
}

/// The block that is not full yet. The others are in the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Blocks {
    tail: Vec<Entry>,
}

/// The block that a number is in.
pub(super) const fn block(seq: u64) -> u64 {
    seq >> BITS
}

impl Blocks {
    /// Those of a file, whose newest number is given.
    pub(super) fn read(db: &Connection, newest: u64) -> Result<Self, Error> {
        let mut query =
            db.prepare("SELECT fingerprint, seq, rank FROM outbox WHERE seq >= ?1 ORDER BY seq")?;
        let first = block(newest + 1) << BITS;
        let tail = query.query_map([signed(first)], entry)?.collect::<Result<_, _>>()?;
        Ok(Self { tail })
    }

    /// The block that is not full yet, ascending.
    pub(super) fn tail(&self) -> &[Entry] {
        &self.tail
    }

    /// A row with the next number.
    pub(super) fn push(&mut self, tx: &Connection, entry: Entry) -> Result<(), Error> {
        self.tail.push(entry);
        if block(entry.seq + 1) == block(entry.seq) {
            return Ok(());
        }
        let mut full = std::mem::take(&mut self.tail);
        full.sort_unstable();
        let mut insert = tx.prepare_cached(
            "INSERT OR REPLACE INTO alerts (block, fingerprint, seq, rank) VALUES (?1, ?2, ?3, ?4)",
        )?;
        for Entry { fingerprint, seq, rank } in full {
            insert.execute(params![signed(block(seq)), fingerprint.0.cast_signed(), signed(seq), rank])?;
        }
        Ok(())
    }

    /// The rows of an alert, from the block of `from` on.
    pub(super) fn of(
        &self,
        db: &Connection,
        fingerprint: Fingerprint,
        from: u64,
        newest: u64,
    ) -> Result<Vec<u64>, Error> {
        let mut query = db.prepare_cached("SELECT seq FROM alerts WHERE block = ?1 AND fingerprint = ?2")?;
        let mut found = Vec::new();
        for at in block(from)..=block(newest) {
            let mut rows = query.query(params![signed(at), fingerprint.0.cast_signed()])?;
            while let Some(row) = rows.next()? {
                found.push(unsigned(row.get(0)?));
            }
        }
        found.extend(self.tail.iter().filter(|one| one.fingerprint == fingerprint).map(|one| one.seq));
        Ok(found)
    }

    /// The rows of one block, in no order of numbers.
    pub(super) fn entries(&self, db: &Connection, at: u64) -> Result<Vec<Entry>, Error> {
        if self.tail.first().is_some_and(|one| block(one.seq) == at) {
            return Ok(self.tail.clone());
        }
        let mut query = db.prepare_cached("SELECT fingerprint, seq, rank FROM alerts WHERE block = ?1")?;
        Ok(query.query_map([signed(at)], entry)?.collect::<Result<_, _>>()?)
    }

    /// The first block at or behind this one that has rows.
    pub(super) fn next(&self, db: &Connection, at: u64) -> Result<Option<u64>, Error> {
        let mut query = db.prepare_cached("SELECT min(block) FROM alerts WHERE block >= ?1")?;
        let found: Option<i64> = query.query_row([signed(at)], |row| row.get(0))?;
        let tail = self.tail.first().map(|one| block(one.seq)).filter(|tail| *tail >= at);
        Ok(found.map(unsigned).or(tail))
    }

    /// A row goes.
    pub(super) fn remove(&mut self, tx: &Connection, entry: Entry) -> Result<(), Error> {
        if let Ok(place) = self.tail.binary_search_by_key(&entry.seq, |one| one.seq) {
            self.tail.remove(place);
            return Ok(());
        }
        tx.prepare_cached("DELETE FROM alerts WHERE block = ?1 AND fingerprint = ?2 AND seq = ?3")?.execute(
            params![signed(block(entry.seq)), entry.fingerprint.0.cast_signed(), signed(entry.seq)],
        )?;
        Ok(())
    }

    /// No row waits any more up to `floor`. Blocks go as a whole.
    pub(super) fn acknowledge(tx: &Connection, floor: u64) -> Result<(), Error> {
        tx.prepare_cached("DELETE FROM alerts WHERE block < ?1")?.execute([signed(block(floor + 1))])?;
        Ok(())
    }
}

fn entry(row: &rusqlite::Row<'_>) -> rusqlite::Result<Entry> {
    Ok(Entry {
        fingerprint: Fingerprint(row.get::<_, i64>(0)?.cast_unsigned()),
        seq: unsigned(row.get(1)?),
        rank: row.get(2)?,
    })
}
