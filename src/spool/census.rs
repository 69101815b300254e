//! What waits, counted by how much it matters and by lane: for people, and not for what is asked again and again.

use rusqlite::params;
use serde::{Deserialize, Serialize};

use super::blocks::block;
use super::{Error, Spool, signed, unsigned};

/// Counts of what waits for the hub.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Census {
    /// By rank, the least first: `info`, `warning` and what nobody knows, `error`, `critical`.
    pub ranks: [u64; 4],
    /// Those that may overtake.
    pub urgent: u64,
}

impl Spool {
    /// Counts what waits.
    ///
    /// # Errors
    /// SQLite's.
    pub fn census(&self) -> Result<Census, Error> {
        let mut census = Census::default();
        let floor = self.acknowledged.floor();
        self.ranks(floor + 1, u64::MAX, |rank, count| census.ranks[rank] += count)?;
        for (first, last) in self.acknowledged.iter().filter(|range| range.0 > floor) {
            self.ranks(first, last, |rank, count| {
                census.ranks[rank] = census.ranks[rank].saturating_sub(count);
            })?;
        }
        for one in self.figures.blocks.tail().iter().filter(|one| !self.acknowledged.contains(one.seq)) {
            census.ranks[usize::from(one.rank).min(3)] += 1;
        }
        census.urgent = self.urgent(1, u64::MAX)?;
        for (first, last) in self.unsaved.iter() {
            census.urgent = census.urgent.saturating_sub(self.urgent(first, last)?);
        }
        Ok(census)
    }

    /// Counts by rank, of the numbers `first..=last` that stand in full blocks.
    fn ranks(&self, first: u64, last: u64, mut take: impl FnMut(usize, u64)) -> Result<(), Error> {
        let mut query = self.db.prepare_cached(
            "SELECT rank, count(*) FROM alerts WHERE block BETWEEN ?1 AND ?2 AND seq BETWEEN ?3 AND ?4 GROUP BY rank",
        )?;
        let bounds = params![signed(block(first)), signed(block(last)), signed(first), signed(last)];
        let mut rows = query.query(bounds)?;
        while let Some(row) = rows.next()? {
            take(usize::from(row.get::<_, u8>(0)?).min(3), unsigned(row.get(1)?));
        }
        Ok(())
    }

    fn urgent(&self, first: u64, last: u64) -> Result<u64, Error> {
        let mut query = self.db.prepare_cached("SELECT count(*) FROM urgent WHERE seq BETWEEN ?1 AND ?2")?;
        Ok(query.query_row([signed(first), signed(last)], |row| Ok(unsigned(row.get(0)?)))?)
    }
}
