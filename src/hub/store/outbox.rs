//! How far each egress target is along the transitions, and what it refused for good.

use rusqlite::{Connection, params};

use super::{Error, transitions, unsigned};
use crate::hub::record::{TargetRecord, TransitionRecord};
use crate::model::time::Timestamp;

/// Makes sure that a target has a cursor. One that is seen for the first time starts with what
/// comes from here on: nobody wants the history of a year as news.
///
/// # Errors
/// Those of the database.
pub fn register(db: &Connection, target: &str) -> Result<(), Error> {
    let newest = transitions::newest(db)?;
    db.execute(
        "INSERT OR IGNORE INTO targets (name, cursor, delivered, retries, last_error)
         VALUES (?, ?, 0, 0, '')",
        params![target, newest],
    )?;
    Ok(())
}

/// What waits for a target, in order.
///
/// # Errors
/// Those of the database.
pub fn waiting(db: &Connection, target: &str, limit: u32) -> Result<Vec<TransitionRecord>, Error> {
    let cursor: i64 = db
        .prepare_cached("SELECT cursor FROM targets WHERE name = ?")?
        .query_row([target], |row| row.get(0))?;
    transitions::after(db, cursor, limit)
}

/// The target took a transition.
///
/// # Errors
/// Those of the database.
pub fn delivered(db: &Connection, target: &str, id: i64) -> Result<(), Error> {
    db.prepare_cached(
        "UPDATE targets SET cursor = ?, delivered = delivered + 1, last_error = '' WHERE name = ?",
    )?
    .execute(params![id, target])?;
    Ok(())
}

/// An attempt failed, and will be repeated.
///
/// # Errors
/// Those of the database.
pub fn retried(db: &Connection, target: &str, why: &str) -> Result<(), Error> {
    db.prepare_cached("UPDATE targets SET retries = retries + 1, last_error = ? WHERE name = ?")?
        .execute(params![why, target])?;
    Ok(())
}

/// The target refused a transition for good: it is kept aside, and the next is up.
///
/// # Errors
/// Those of the database.
pub fn dead(db: &Connection, target: &str, id: i64, why: &str, at: Timestamp) -> Result<(), Error> {
    db.prepare_cached(
        "INSERT OR REPLACE INTO dead_letters (target, transition_id, why, at) VALUES (?, ?, ?, ?)",
    )?
    .execute(params![target, id, why, at.micros()])?;
    db.prepare_cached("UPDATE targets SET cursor = ?, last_error = ? WHERE name = ?")?
        .execute(params![id, why, target])?;
    Ok(())
}

/// Where the targets stand, by name.
///
/// # Errors
/// Those of the database.
pub fn list(db: &Connection) -> Result<Vec<TargetRecord>, Error> {
    let mut statement = db.prepare_cached(
        "SELECT name, cursor, (SELECT coalesce(max(id), 0) FROM transitions) - cursor, delivered,
             retries, (SELECT count(*) FROM dead_letters WHERE target = name), last_error
         FROM targets ORDER BY name",
    )?;
    let rows = statement.query_map([], |row| {
        Ok(TargetRecord {
            name: row.get(0)?,
            cursor: row.get(1)?,
            depth: unsigned(row, 2)?,
            delivered: unsigned(row, 3)?,
            retries: unsigned(row, 4)?,
            dead: unsigned(row, 5)?,
            last_error: row.get(6)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}
