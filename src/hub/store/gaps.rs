//! Sequence numbers that will not come any more, and why.

use rusqlite::{Connection, params};

use super::{Error, tallies, unsigned};
use crate::hub::inbox;
use crate::hub::record::{GapRecord, epoch_text};
use crate::model::ranges::Range;
use crate::model::time::Timestamp;

/// How many gaps of an agent are shown; the table keeps all.
const SHOWN: u32 = 50;

/// Why numbers did not come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// They were neither sent nor given up.
    Lost,
    /// The agent's full spool gave them up.
    Evicted,
    /// The hub had acknowledged them, and was then restored from an older copy of its database.
    Hub,
}

impl Cause {
    /// As the API says it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Lost => "lost",
            Self::Evicted => "evicted",
            Self::Hub => "hub_restored",
        }
    }
}

/// Notes that these numbers will not come.
///
/// # Errors
/// Those of the database.
pub fn note(
    db: &Connection,
    agent: &str,
    epoch: u64,
    ranges: &[Range],
    cause: Cause,
    at: Timestamp,
) -> Result<(), Error> {
    for (first, last) in ranges {
        db.prepare_cached(
            "INSERT INTO gaps (agent, epoch, first, last, evicted, noticed_at, cause)
             VALUES (?, ?, ?, ?, ?, ?, ?)",
        )?
        .execute(params![
            agent,
            epoch_text(epoch),
            first.to_string(),
            last.to_string(),
            cause == Cause::Evicted,
            at.micros(),
            cause.name()
        ])?;
    }
    tallies::add(db, agent, cause.name(), inbox::count(ranges))
}

/// The latest gaps of an agent.
///
/// # Errors
/// Those of the database.
pub fn of(db: &Connection, agent: &str) -> Result<Vec<GapRecord>, Error> {
    let mut statement = db.prepare_cached(
        "SELECT epoch, first, last, evicted, noticed_at, cause FROM gaps WHERE agent = ?
         ORDER BY id DESC LIMIT ?",
    )?;
    let rows = statement.query_map(params![agent, SHOWN], |row| {
        let number = |text: String| text.parse().unwrap_or(0);
        let (evicted, cause): (bool, String) = (row.get(3)?, row.get(5)?);
        let known = if evicted { Cause::Evicted } else { Cause::Lost };
        Ok(GapRecord {
            epoch: row.get(0)?,
            first: number(row.get(1)?),
            last: number(row.get(2)?),
            evicted,
            noticed_at: Timestamp::from_micros(row.get(4)?).to_string(),
            // Older files do not say it.
            cause: if cause.is_empty() { known.name().to_owned() } else { cause },
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// How many ranges of sequence numbers are lost, of all agents.
///
/// # Errors
/// Those of the database.
pub fn count(db: &Connection) -> Result<u64, Error> {
    Ok(db.query_row("SELECT count(*) FROM gaps WHERE NOT evicted", [], |row| unsigned(row, 0))?)
}
