//! What the hub has committed stays for a while, so that a person at the gateway can see what was told. It
//! stays where it lay in the outbox: to keep it costs the flash nothing, only that it goes later.

use rusqlite::{Connection, params};

use super::{Error, Spool, schema, signed, unsigned};

/// The most bytes of transitions that are kept beyond their acknowledgement.
const MOST_BYTES: u64 = 4 << 20;

/// What is kept of transitions that the hub has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Kept {
    /// The newest number that the hub has.
    pub(super) acknowledged: u64,
    pub(super) count: u64,
    pub(super) bytes: u64,
    /// How many may stay.
    most: u64,
}

impl Kept {
    /// That of a file.
    pub(super) fn read(db: &Connection, most: usize) -> Result<Self, Error> {
        let acknowledged = schema::meta(db, "acknowledged")?;
        let (count, bytes) = between(db, 0, acknowledged)?;
        Ok(Self { acknowledged, count, bytes, most: most as u64 })
    }

    /// How many transitions wait for the hub, and their bytes.
    pub(super) fn waiting(&self, db: &Connection) -> Result<(u64, u64), Error> {
        between(db, self.acknowledged, u64::MAX)
    }

    /// The hub has everything up to `seq`: gives how many transitions waited until then, and their bytes.
    pub(super) fn acknowledge(&mut self, tx: &Connection, seq: u64) -> Result<(u64, u64), Error> {
        if seq <= self.acknowledged {
            return Ok((0, 0));
        }
        let (count, bytes) = between(tx, self.acknowledged, seq)?;
        self.acknowledged = seq;
        schema::set_meta(tx, "acknowledged", seq)?;
        self.count += count;
        self.bytes += bytes;
        self.trim(tx)?;
        Ok((count, bytes))
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
        tx.execute("DELETE FROM outbox WHERE seq <= ?1", [signed(self.acknowledged)])?;
        (self.count, self.bytes) = (0, 0);
        Ok(())
    }
}

/// How many transitions lie behind `after` up to `upto`, and their bytes.
fn between(db: &Connection, after: u64, upto: u64) -> Result<(u64, u64), Error> {
    let mut query = db.prepare_cached(
        "SELECT count(*), coalesce(sum(length(body)), 0) FROM outbox WHERE seq > ?1 AND seq <= ?2",
    )?;
    let row = query.query_row(params![signed(after), signed(upto)], |row| {
        Ok((unsigned(row.get(0)?), unsigned(row.get(1)?)))
    })?;
    Ok(row)
}

impl Spool {
    /// The newest number that the hub has.
    pub const fn acknowledged(&self) -> u64 {
        self.kept.acknowledged
    }

    /// The newest transitions that are there, whether they wait or the hub has them: at most so many, newest first.
    ///
    /// # Errors
    /// SQLite's.
    pub fn newest(&self, most: usize) -> Result<Vec<(u64, Vec<u8>)>, Error> {
        let mut query = self.db.prepare_cached("SELECT seq, body FROM outbox ORDER BY seq DESC LIMIT ?1")?;
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let rows = query.query_map([most], |row| Ok((unsigned(row.get(0)?), row.get(1)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}
