//! A table of ranges of numbers, `(first, last)` by row: as `Ranges`, on disk. Each function touches only the rows that
//! meet the range it is given.

use rusqlite::{Connection, params};

use super::{Error, signed, unsigned};
use crate::model::ranges::{Range, Ranges};

/// Which table.
#[derive(Clone, Copy, Debug)]
pub(super) enum Spans {
    /// Numbers that were given up and that the hub does not know of yet.
    Evicted,
    /// Numbers that the hub has beyond the one up to which it has all.
    Above,
}

impl Spans {
    /// Puts a range in.
    pub(super) fn insert(self, tx: &Connection, first: u64, last: u64) -> Result<(), Error> {
        let mut all: Ranges =
            self.meeting(tx, first.saturating_sub(1), last.saturating_add(1))?.into_iter().collect();
        self.delete(tx, &all)?;
        all.insert(first, last);
        self.write(tx, &all)
    }

    /// Takes a range out.
    pub(super) fn remove(self, tx: &Connection, first: u64, last: u64) -> Result<(), Error> {
        let mut all: Ranges = self.meeting(tx, first, last)?.into_iter().collect();
        if all.is_empty() {
            return Ok(());
        }
        self.delete(tx, &all)?;
        all.remove(first, last);
        self.write(tx, &all)
    }

    /// The rows that share a number with `first..=last`, ascending.
    pub(super) fn meeting(self, db: &Connection, first: u64, last: u64) -> Result<Vec<Range>, Error> {
        // The ranges are apart, so only the last one that begins before `first` can reach it.
        let mut query = db.prepare_cached(match self {
            Self::Evicted => {
                "SELECT first, last FROM evicted WHERE first <= ?2 AND last >= ?1 AND first >=
                 coalesce((SELECT max(first) FROM evicted WHERE first <= ?1), 0) ORDER BY first"
            }
            Self::Above => {
                "SELECT first, last FROM above WHERE first <= ?2 AND last >= ?1 AND first >=
                 coalesce((SELECT max(first) FROM above WHERE first <= ?1), 0) ORDER BY first"
            }
        })?;
        let rows = query.query_map(params![signed(first), signed(last)], range)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The parts of `1..=upto` that are in the table and not in `skip`, ascending: at most so many.
    pub(super) fn outside(
        self,
        db: &Connection,
        skip: &Ranges,
        upto: u64,
        most: usize,
    ) -> Result<Vec<Range>, Error> {
        let mut query = db.prepare_cached(match self {
            Self::Evicted => "SELECT first, last FROM evicted WHERE first <= ?1 ORDER BY first",
            Self::Above => "SELECT first, last FROM above WHERE first <= ?1 ORDER BY first",
        })?;
        let mut rows = query.query([signed(upto)])?;
        let mut found = Vec::new();
        while found.len() < most
            && let Some(row) = rows.next()?
        {
            let (first, last) = range(row)?;
            found.extend(skip.missing(first, last.min(upto)));
        }
        found.truncate(most);
        Ok(found)
    }

    /// Empties it.
    pub(super) fn clear(self, tx: &Connection) -> Result<(), Error> {
        tx.execute(
            match self {
                Self::Evicted => "DELETE FROM evicted",
                Self::Above => "DELETE FROM above",
            },
            [],
        )?;
        Ok(())
    }

    fn delete(self, tx: &Connection, ranges: &Ranges) -> Result<(), Error> {
        let mut delete = tx.prepare_cached(match self {
            Self::Evicted => "DELETE FROM evicted WHERE first = ?1",
            Self::Above => "DELETE FROM above WHERE first = ?1",
        })?;
        for (first, _) in ranges.iter() {
            delete.execute([signed(first)])?;
        }
        Ok(())
    }

    fn write(self, tx: &Connection, ranges: &Ranges) -> Result<(), Error> {
        let mut insert = tx.prepare_cached(match self {
            Self::Evicted => "INSERT INTO evicted (first, last) VALUES (?1, ?2)",
            Self::Above => "INSERT INTO above (first, last) VALUES (?1, ?2)",
        })?;
        for (first, last) in ranges.iter() {
            insert.execute(params![signed(first), signed(last)])?;
        }
        Ok(())
    }
}

fn range(row: &rusqlite::Row<'_>) -> rusqlite::Result<Range> {
    Ok((unsigned(row.get(0)?), unsigned(row.get(1)?)))
}
