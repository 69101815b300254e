//! A new number space for what waits, and what is told of why it began.

use rusqlite::{Connection, OptionalExtension, params};

use super::blocks::{Blocks, Entry};
use super::spans::Spans;
use super::{Error, Spool, begin, outbox, schema, signed, unsigned};
use crate::model::kept::{Renewed, Why};
use crate::model::label::Fingerprint;
use crate::model::ranges::Ranges;
use crate::model::time::Timestamp;

impl Spool {
    /// Why the number space at hand began, where it is not the first of its file.
    pub const fn renewed(&self) -> Option<&Renewed> {
        self.renewed.as_ref()
    }

    /// Starts a new number space: the hub knows numbers that this file never gave, so the file is
    /// an older copy of itself. What waits is numbered anew from 1.
    ///
    /// # Errors
    /// SQLite's; the number space is the one before then.
    pub fn renew_epoch(&mut self, at: Timestamp) -> Result<(), Error> {
        let renewed = Renewed {
            why: Why::Rewound,
            before: self.epoch,
            at,
            note: "the hub had numbers that this spool never gave".to_owned(),
        };
        let epoch = schema::random_epoch();
        let mut figures = self.figures.clone();
        let tx = begin(&mut self.db)?;
        super::history::save(&tx, &mut figures, &self.acknowledged, &self.unsaved)?;
        figures.kept.clear(&tx)?;
        figures.kept.renew();
        let newest = renumber(&tx, &self.acknowledged, figures.stats.newest)?;
        figures.stats.newest = newest;
        tx.execute("DELETE FROM alerts", [])?;
        figures.blocks = rebuild(&tx, newest)?;
        Spans::Evicted.clear(&tx)?;
        Spans::Above.clear(&tx)?;
        schema::set_meta(&tx, "epoch", epoch)?;
        write(&tx, &renewed)?;
        figures.save(&tx)?;
        tx.commit()?;
        self.figures = figures;
        self.epoch = epoch;
        self.renewed = Some(renewed);
        (self.acknowledged, self.unsaved) = (Ranges::default(), Ranges::default());
        Ok(())
    }
}

/// Numbers what waits from 1, row by row and in place, so that it takes no memory; lets go of the rest. Gives the newest
/// number.
fn renumber(tx: &Connection, acknowledged: &Ranges, newest: u64) -> Result<u64, Error> {
    let (mut seq, mut from) = (0, 1);
    while let Some((first, last)) = outbox::gap(acknowledged, &Ranges::default(), from) {
        tx.execute("DELETE FROM outbox WHERE seq >= ?1 AND seq < ?2", [signed(from), signed(first)])?;
        let mut at = first;
        // A row's new number is never behind its own, so those that still wait are not met.
        while let Some(old) = next(tx, at)?.filter(|old| *old <= last.min(newest)) {
            seq += 1;
            if old != seq {
                tx.prepare_cached("UPDATE outbox SET seq = ?1 WHERE seq = ?2")?
                    .execute([signed(seq), signed(old)])?;
                tx.prepare_cached("UPDATE urgent SET seq = ?1 WHERE seq = ?2")?
                    .execute([signed(seq), signed(old)])?;
            }
            at = old + 1;
        }
        if last >= newest {
            break;
        }
        from = last + 1;
    }
    Ok(seq)
}

fn next(tx: &Connection, from: u64) -> Result<Option<u64>, Error> {
    let mut query = tx.prepare_cached("SELECT min(seq) FROM outbox WHERE seq >= ?1")?;
    let seq: Option<i64> = query.query_row([signed(from)], |row| row.get(0))?;
    Ok(seq.map(unsigned))
}

/// The blocks of rows that were numbered anew.
fn rebuild(tx: &Connection, newest: u64) -> Result<Blocks, Error> {
    let mut blocks = Blocks::default();
    let mut query = tx.prepare_cached("SELECT fingerprint, rank FROM outbox WHERE seq = ?1")?;
    for seq in 1..=newest {
        let (fingerprint, rank): (i64, u8) =
            query.query_row([signed(seq)], |row| Ok((row.get(0)?, row.get(1)?)))?;
        blocks.push(tx, Entry { fingerprint: Fingerprint(fingerprint.cast_unsigned()), seq, rank })?;
    }
    Ok(blocks)
}

pub(super) fn write(tx: &Connection, renewed: &Renewed) -> Result<(), Error> {
    let why = match renewed.why {
        Why::Rewound => 1,
        Why::Damaged => 2,
    };
    tx.execute(
        "INSERT OR REPLACE INTO renewed (id, why, before, at, note) VALUES (0, ?1, ?2, ?3, ?4)",
        params![why, signed(renewed.before), renewed.at.micros(), renewed.note],
    )?;
    Ok(())
}

pub(super) fn read(db: &Connection) -> Result<Option<Renewed>, Error> {
    let row = db.query_row("SELECT why, before, at, note FROM renewed", [], |row| {
        Ok(Renewed {
            why: if row.get::<_, i64>(0)? == 1 { Why::Rewound } else { Why::Damaged },
            before: unsigned(row.get(1)?),
            at: Timestamp::from_micros(row.get(2)?),
            note: row.get(3)?,
        })
    });
    Ok(row.optional()?)
}
