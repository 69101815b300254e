//! What waits for the hub: put in, looked at, and counted.

use std::collections::HashSet;

use rusqlite::{Connection, Row, params};

use super::blocks::Entry;
use super::figures::Figures;
use super::spans::Spans;
use super::{Error, Spool, signed, unsigned};
use crate::model::kept::{Lane, Outgoing, Waiting};
use crate::model::label::Fingerprint;
use crate::model::ranges::{Range, Ranges};

/// Gives each transition the next number.
pub(super) fn insert(
    tx: &Connection,
    figures: &mut Figures,
    transitions: &[Outgoing],
    since: u64,
) -> Result<(), Error> {
    let mut insert = tx.prepare_cached(
        "INSERT INTO outbox (seq, body, fingerprint, rank, since, given) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?;
    for Outgoing { body, fingerprint, rank, urgent } in transitions {
        let bytes = body.len() as u64;
        let stats = &mut figures.stats;
        stats.newest += 1;
        stats.waiting += 1;
        stats.waiting_bytes += bytes;
        figures.given += bytes;
        let (seq, given) = (signed(stats.newest), signed(figures.given));
        insert.execute(params![seq, body, fingerprint.0.cast_signed(), rank, signed(since), given])?;
        if *urgent {
            tx.prepare_cached("INSERT INTO urgent (seq) VALUES (?1)")?.execute([seq])?;
        }
        let entry = Entry { fingerprint: *fingerprint, seq: stats.newest, rank: *rank };
        figures.blocks.push(tx, entry)?;
    }
    Ok(())
}

/// What waits of an alert of which an urgent transition came goes the urgent way too, so that it still goes before it.
pub(super) fn promote(
    tx: &Connection,
    figures: &Figures,
    transitions: &[Outgoing],
    acknowledged: &Ranges,
) -> Result<(), Error> {
    let mut seen = HashSet::from([Fingerprint(0)]);
    let mut promote = tx.prepare_cached("INSERT OR IGNORE INTO urgent (seq) VALUES (?1)")?;
    let newest = figures.stats.newest;
    let first = newest + 1 - transitions.len() as u64;
    let urgent = (first..).zip(transitions).filter(|(_, one)| one.urgent);
    let last: Vec<(Fingerprint, u64)> = urgent.map(|(seq, one)| (one.fingerprint, seq)).collect();
    // Only what is before the newest urgent one of its alert.
    for (fingerprint, upto) in last.into_iter().rev() {
        if !seen.insert(fingerprint) {
            continue;
        }
        for seq in figures.blocks.of(tx, fingerprint, acknowledged.floor() + 1, newest)? {
            if seq < upto && !acknowledged.contains(seq) {
                promote.execute([signed(seq)])?;
            }
        }
    }
    Ok(())
}

/// How many rows there are of `first..=last`, and their bytes.
pub(super) fn between(db: &Connection, (first, last): Range) -> Result<(u64, u64), Error> {
    let mut query = db.prepare_cached(
        "SELECT count(*), coalesce(sum(length(body)), 0) FROM outbox WHERE seq BETWEEN ?1 AND ?2",
    )?;
    let row = query.query_row(params![signed(first), signed(last)], |row| {
        Ok((unsigned(row.get(0)?), unsigned(row.get(1)?)))
    })?;
    Ok(row)
}

/// A page of what waits, as it grows.
struct Page {
    rows: Vec<Waiting>,
    count: usize,
    bytes: usize,
    taken: usize,
}

impl Page {
    /// Takes a row; `false` where it has no place any more.
    fn take(&mut self, row: &Row<'_>) -> Result<bool, Error> {
        let body: Vec<u8> = row.get(1)?;
        self.taken += body.len();
        if self.rows.len() >= self.count || (self.taken > self.bytes && !self.rows.is_empty()) {
            self.count = self.rows.len();
            return Ok(false);
        }
        self.rows.push(Waiting { seq: unsigned(row.get(0)?), body, since: unsigned(row.get(2)?) });
        Ok(true)
    }

    const fn is_full(&self) -> bool {
        self.rows.len() >= self.count
    }
}

impl Spool {
    /// What waits in a lane, ascending, up to the number `upto` and without those in `skip`: at most `count`, and
    /// no more than `bytes` together (but at least one).
    ///
    /// # Errors
    /// SQLite's.
    pub fn peek(
        &self,
        lane: Lane,
        skip: &Ranges,
        upto: u64,
        count: usize,
        bytes: usize,
    ) -> Result<Vec<Waiting>, Error> {
        let mut page = Page { rows: Vec::new(), count, bytes, taken: 0 };
        let upto = upto.min(self.newest());
        match lane {
            Lane::Urgent => self.peek_urgent(&mut page, skip, upto)?,
            Lane::Rest => self.peek_gaps(
                &mut page,
                skip,
                upto,
                "SELECT seq, body, since FROM outbox WHERE seq BETWEEN ?1 AND ?2
                 AND NOT EXISTS (SELECT 1 FROM urgent WHERE urgent.seq = outbox.seq) ORDER BY seq",
            )?,
            Lane::Both => self.peek_gaps(
                &mut page,
                skip,
                upto,
                "SELECT seq, body, since FROM outbox WHERE seq BETWEEN ?1 AND ?2 ORDER BY seq",
            )?,
        }
        Ok(page.rows)
    }

    fn peek_urgent(&self, page: &mut Page, skip: &Ranges, upto: u64) -> Result<(), Error> {
        let mut query = self.db.prepare_cached(
            "SELECT o.seq, o.body, o.since FROM urgent u CROSS JOIN outbox o ON o.seq = u.seq
             WHERE u.seq <= ?1 ORDER BY u.seq",
        )?;
        let mut rows = query.query([signed(upto)])?;
        while !page.is_full()
            && let Some(row) = rows.next()?
        {
            let seq = unsigned(row.get(0)?);
            if !skip.contains(seq) && !self.acknowledged.contains(seq) && !page.take(row)? {
                break;
            }
        }
        Ok(())
    }

    /// Goes from gap to gap of what is skipped: rows in between are not touched.
    fn peek_gaps(&self, page: &mut Page, skip: &Ranges, upto: u64, sql: &str) -> Result<(), Error> {
        let mut query = self.db.prepare_cached(sql)?;
        let mut from = 1;
        while !page.is_full()
            && let Some((first, last)) = gap(&self.acknowledged, skip, from).filter(|gap| gap.0 <= upto)
        {
            let last = last.min(upto);
            let mut rows = query.query(params![signed(first), signed(last)])?;
            while !page.is_full()
                && let Some(row) = rows.next()?
            {
                page.take(row)?;
            }
            from = last + 1;
        }
        Ok(())
    }

    /// The ranges that were given up up to the number `upto` and that the hub does not know of, without what is in
    /// `skip`, ascending: at most so many.
    ///
    /// # Errors
    /// SQLite's.
    pub fn evicted(&self, skip: &Ranges, upto: u64, most: usize) -> Result<Vec<Range>, Error> {
        let mut told = Spans::Evicted.outside(&self.db, skip, upto, most)?;
        if !self.unsaved.is_empty() {
            let kept: Ranges = told.iter().copied().collect();
            told = kept.iter().flat_map(|(first, last)| self.acknowledged.missing(first, last)).collect();
        }
        Ok(told)
    }
}

/// The first run of numbers from `from` on that are in neither set.
pub(super) fn gap(a: &Ranges, b: &Ranges, mut from: u64) -> Option<Range> {
    loop {
        let (first, last) = a.next_missing(from)?;
        let (start, end) = b.next_missing(first)?;
        if start <= last {
            return Some((start, last.min(end)));
        }
        from = start;
    }
}
