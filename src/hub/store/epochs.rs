//! What is settled of each epoch, and which epoch of an agent is younger than which.

use std::collections::BTreeSet;

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::Error;
use crate::hub::inbox::Offer;
use crate::hub::record::epoch_text;
use crate::model::ranges::{Range, Ranges};

/// The most ranges beyond the floor that an agent is told when it comes. What it is not told it sends again, and that
/// is noticed.
const ABOVE: u32 = 10_000;

/// Where the hub stands in an epoch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Everything up to here is settled.
    pub floor: u64,
    /// What is settled beyond it, ascending.
    pub above: Vec<Range>,
}

impl Standing {
    /// The greatest number that is settled; 0 where none is.
    pub fn newest(&self) -> u64 {
        self.above.last().map_or(self.floor, |range| range.1)
    }
}

/// Where the hub stands in an epoch, as an agent is told it.
///
/// # Errors
/// Those of the database.
pub fn standing(db: &Connection, agent: &str, epoch: u64) -> Result<Standing, Error> {
    let mut statement = db.prepare_cached(
        "SELECT first, last FROM settled WHERE agent = ? AND epoch = ? ORDER BY first LIMIT ?",
    )?;
    let rows = statement.query_map(params![agent, epoch_text(epoch), ABOVE], range)?;
    Ok(Standing { floor: floor(db, agent, epoch)?, above: rows.collect::<Result<_, _>>()? })
}

/// Everything of an epoch up to here is settled; 0 where the epoch is not known.
///
/// # Errors
/// Those of the database.
pub fn floor(db: &Connection, agent: &str, epoch: u64) -> Result<u64, Error> {
    let text: Option<String> = db
        .prepare_cached("SELECT committed FROM epochs WHERE agent = ? AND epoch = ?")?
        .query_row(params![agent, epoch_text(epoch)], |row| row.get(0))
        .optional()?;
    Ok(text.and_then(|text| text.parse().ok()).unwrap_or(0))
}

/// What is settled of an epoch, as far as it matters to an offer.
///
/// # Errors
/// Those of the database.
pub fn settled(db: &Connection, agent: &str, epoch: u64, offer: &Offer<'_>) -> Result<Ranges, Error> {
    let floor = floor(db, agent, epoch)?;
    let (first, last) = offer.reach(floor);
    let mut statement = db.prepare_cached(
        "SELECT first, last FROM settled WHERE agent = ? AND epoch = ? AND first <= ? AND last >= ?",
    )?;
    let rows =
        statement.query_map(params![agent, epoch_text(epoch), sortable(last), sortable(first)], range)?;
    let mut settled: Ranges = rows.collect::<Result<_, _>>()?;
    settled.insert(1, floor);
    Ok(settled)
}

/// Records what is settled after an offer, where this was before it.
///
/// # Errors
/// Those of the database.
pub fn settle(
    db: &Connection,
    agent: &str,
    epoch: u64,
    before: &Ranges,
    after: &Ranges,
) -> Result<(), Error> {
    let text = epoch_text(epoch);
    let floor = after.floor();
    if floor > before.floor() {
        db.prepare_cached(
            "INSERT INTO epochs (agent, epoch, committed) VALUES (?, ?, ?)
             ON CONFLICT DO UPDATE SET committed = excluded.committed",
        )?
        .execute(params![agent, text, floor.to_string()])?;
    }
    // Whatever begins at 1 is what the floor says.
    let beyond = |ranges: &Ranges| ranges.iter().filter(|range| range.0 > 1).collect::<BTreeSet<Range>>();
    let (before, after) = (beyond(before), beyond(after));
    for (first, _) in before.difference(&after) {
        db.prepare_cached("DELETE FROM settled WHERE agent = ? AND epoch = ? AND first = ?")?
            .execute(params![agent, text, sortable(*first)])?;
    }
    for (first, last) in after.difference(&before) {
        db.prepare_cached("INSERT INTO settled (agent, epoch, first, last) VALUES (?, ?, ?, ?)")?
            .execute(params![agent, text, sortable(*first), sortable(*last)])?;
    }
    Ok(())
}

/// What came to pass between an agent's last session and this one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Turn {
    /// The epoch is that of the last session, or the agent's first.
    None,
    /// Another epoch, which was never seen before, follows the one named here.
    New(String),
    /// Another epoch, which was already seen before the one named here.
    Back(String),
}

/// Notes which epoch a session is of: it is the agent's youngest from here on.
///
/// # Errors
/// Those of the database.
pub fn begin(db: &Connection, agent: &str, epoch: u64) -> Result<Turn, Error> {
    let text = epoch_text(epoch);
    let last: String = db
        .prepare_cached("SELECT epoch FROM agents WHERE agent = ?")?
        .query_row([agent], |row| row.get(0))
        .optional()?
        .unwrap_or_default();
    if last == text {
        return Ok(Turn::None);
    }
    let known: Option<i64> = db
        .prepare_cached("SELECT rank FROM epochs WHERE agent = ? AND epoch = ?")?
        .query_row([agent, &text], |row| row.get(0))
        .optional()?;
    let youngest: i64 = db
        .prepare_cached("SELECT coalesce(max(rank), 0) FROM epochs WHERE agent = ?")?
        .query_row([agent], |row| row.get(0))?;
    db.prepare_cached(
        "INSERT INTO epochs (agent, epoch, committed, rank) VALUES (?, ?, '0', ?)
         ON CONFLICT DO UPDATE SET rank = excluded.rank",
    )?
    .execute(params![agent, text, youngest.saturating_add(1)])?;
    db.prepare_cached("UPDATE agents SET epoch = ? WHERE agent = ?")?.execute([&text, agent])?;
    Ok(match known {
        _ if last.is_empty() => Turn::None,
        Some(_) => Turn::Back(last),
        None => Turn::New(last),
    })
}

/// Where a transition stands in the life of its agent: of two, the later one is the greater text.
///
/// # Errors
/// Those of the database.
pub fn place(db: &Connection, agent: &str, epoch: u64, seq: u64) -> Result<String, Error> {
    let rank: Option<i64> = db
        .prepare_cached("SELECT rank FROM epochs WHERE agent = ? AND epoch = ?")?
        .query_row(params![agent, epoch_text(epoch)], |row| row.get(0))
        .optional()?;
    Ok(format!("{:019}/{}", rank.unwrap_or(0).max(0), sortable(seq)))
}

/// A number as a text that sorts as numbers do; no integer of SQLite holds it.
fn sortable(number: u64) -> String {
    format!("{number:020}")
}

fn range(row: &Row<'_>) -> rusqlite::Result<Range> {
    let number = |text: String| text.parse().unwrap_or(0);
    Ok((number(row.get(0)?), number(row.get(1)?)))
}
