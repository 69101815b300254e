//! What the hub has committed stays for a while, so that a person at the gateway can see what was told. It
//! stays where it lay in the outbox: to keep it costs the flash nothing, only that it goes later.
//!
//! What the hub has is taken down in memory at once, and in the file with the next commit, or when it has become much: to
//! write it by itself would cost the flash more than to send it once more after a crash.

use rusqlite::Connection;

use super::blocks::Blocks;
use super::figures::Figures;
use super::outbox::between;
use super::spans::Spans;
use super::{Error, Spool, schema, signed, unsigned};
use crate::model::ranges::{Range, Ranges};

/// The most bytes of transitions that are kept beyond their acknowledgement.
const MOST_BYTES: u64 = 4 << 20;

/// What the hub has is written down by itself once so many numbers are not.
const MUCH: u64 = 512;

/// What is kept of transitions that the hub has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Kept {
    /// The hub has everything up to here, as the file knows it.
    floor: u64,
    count: u64,
    bytes: u64,
    /// How many may stay.
    most: u64,
}

impl Kept {
    /// That of a file.
    pub(super) fn read(db: &Connection, most: usize) -> Result<Self, Error> {
        Ok(Self {
            floor: schema::meta(db, "acknowledged")?,
            count: schema::meta(db, "kept")?,
            bytes: schema::meta(db, "kept_bytes")?,
            most: most as u64,
        })
    }

    pub(super) fn save(&self, tx: &Connection) -> Result<(), Error> {
        schema::set_meta(tx, "acknowledged", self.floor)?;
        schema::set_meta(tx, "kept", self.count)?;
        schema::set_meta(tx, "kept_bytes", self.bytes)
    }

    /// The hub has everything up to `floor`.
    fn acknowledge(&mut self, tx: &Connection, floor: u64) -> Result<(), Error> {
        if floor <= self.floor {
            return Ok(());
        }
        let (count, bytes) = between(tx, (self.floor + 1, floor))?;
        self.floor = floor;
        self.count += count;
        self.bytes += bytes;
        self.trim(tx)
    }

    /// Lets the oldest go of what is beyond the bounds.
    fn trim(&mut self, tx: &Connection) -> Result<(), Error> {
        let mut last = None;
        {
            let mut query = tx.prepare_cached("SELECT seq, length(body) FROM outbox ORDER BY seq")?;
            let mut rows = query.query([])?;
            while (self.count > self.most || self.bytes > MOST_BYTES) && self.count > 0 {
                let Some(row) = rows.next()? else { break };
                last = Some(row.get::<_, i64>(0)?);
                self.bytes = self.bytes.saturating_sub(unsigned(row.get(1)?));
                self.count -= 1;
            }
        }
        if let Some(last) = last {
            tx.prepare_cached("DELETE FROM outbox WHERE seq <= ?1")?.execute([last])?;
        }
        Ok(())
    }

    /// Lets all go.
    pub(super) fn clear(&mut self, tx: &Connection) -> Result<(), Error> {
        tx.execute("DELETE FROM outbox WHERE seq <= ?1", [signed(self.floor)])?;
        (self.count, self.bytes) = (0, 0);
        Ok(())
    }

    /// In a new number space the hub has nothing.
    pub(super) const fn renew(&mut self) {
        self.floor = 0;
    }
}

/// What the hub has, of a file.
pub(super) fn acknowledged(db: &Connection) -> Result<Ranges, Error> {
    let mut all = Ranges::up_to(schema::meta(db, "acknowledged")?);
    for (first, last) in Spans::Above.outside(db, &Ranges::default(), u64::MAX, usize::MAX)? {
        all.insert(first, last);
    }
    Ok(all)
}

/// Writes down what the hub has and the file does not know.
pub(super) fn save(
    tx: &Connection,
    figures: &mut Figures,
    acknowledged: &Ranges,
    unsaved: &Ranges,
) -> Result<(), Error> {
    let floor = acknowledged.floor();
    for (first, last) in unsaved.iter() {
        tx.prepare_cached("DELETE FROM urgent WHERE seq BETWEEN ?1 AND ?2")?
            .execute([signed(first), signed(last)])?;
        Spans::Evicted.remove(tx, first, last)?;
        Spans::Above.insert(tx, first.max(floor + 1), last)?;
    }
    Spans::Above.remove(tx, 1, floor)?;
    Blocks::acknowledge(tx, floor)?;
    figures.kept.acknowledge(tx, floor)
}

impl Spool {
    /// What the hub has.
    pub const fn acknowledged(&self) -> &Ranges {
        &self.acknowledged
    }

    /// The newest transitions that are there, whether they wait or the hub has them: at most so many, newest first.
    ///
    /// # Errors
    /// SQLite's.
    pub fn told(&self, most: usize) -> Result<Vec<(u64, Vec<u8>)>, Error> {
        let mut query = self.db.prepare_cached("SELECT seq, body FROM outbox ORDER BY seq DESC LIMIT ?1")?;
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let rows = query.query_map([most], |row| Ok((unsigned(row.get(0)?), row.get(1)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The hub committed everything up to `floor`, and these ranges beyond it: they wait no longer. That is durable with
    /// the next commit at the latest: what a crash brings back is sent once more, under the same numbers.
    ///
    /// # Errors
    /// SQLite's. What was told counts nonetheless where it was only to be written down.
    pub fn forget(&mut self, floor: u64, above: &[Range]) -> Result<(), Error> {
        let mut told: Ranges = above.iter().copied().collect();
        told.insert(1, floor);
        told.remove(0, 0);
        told.remove(self.newest() + 1, u64::MAX);
        let (mut count, mut bytes, mut news) = (0, 0, Vec::new());
        for (first, last) in told.iter() {
            for range in self.acknowledged.missing(first, last) {
                let (rows, their_bytes) = between(&self.db, range)?;
                count += rows;
                bytes += their_bytes;
                news.push(range);
            }
        }
        for (first, last) in news {
            self.acknowledged.insert(first, last);
            self.unsaved.insert(first, last);
        }
        let stats = &mut self.figures.stats;
        stats.waiting = stats.waiting.saturating_sub(count);
        stats.waiting_bytes = stats.waiting_bytes.saturating_sub(bytes);
        if self.unsaved.count() >= MUCH { self.save() } else { Ok(()) }
    }

    /// Writes down what the hub has.
    pub(super) fn save(&mut self) -> Result<(), Error> {
        if self.unsaved.is_empty() {
            return Ok(());
        }
        let mut figures = self.figures.clone();
        let tx = super::begin(&mut self.db)?;
        save(&tx, &mut figures, &self.acknowledged, &self.unsaved)?;
        figures.save(&tx)?;
        tx.commit()?;
        self.figures = figures;
        self.unsaved = Ranges::default();
        Ok(())
    }
}
