//! What is counted of an agent for as long as the file lives.

use std::collections::BTreeMap;

use rusqlite::{Connection, params};

use super::{Error, unsigned};

/// Adds to a count of an agent.
///
/// # Errors
/// Those of the database.
pub fn add(db: &Connection, agent: &str, name: &str, more: u64) -> Result<(), Error> {
    if more == 0 {
        return Ok(());
    }
    let more = i64::try_from(more).unwrap_or(i64::MAX);
    // SQLite turns a sum that is too large into a float, which the column does not take.
    db.prepare_cached(
        "INSERT INTO tallies (agent, name, count) VALUES (?1, ?2, ?3)
         ON CONFLICT DO UPDATE SET count = CASE
             WHEN count > 9223372036854775807 - ?3 THEN 9223372036854775807 ELSE count + ?3 END",
    )?
    .execute(params![agent, name, more])?;
    Ok(())
}

/// All counts of an agent, by name.
///
/// # Errors
/// Those of the database.
pub fn of(db: &Connection, agent: &str) -> Result<BTreeMap<String, u64>, Error> {
    let mut statement = db.prepare_cached("SELECT name, count FROM tallies WHERE agent = ?")?;
    let rows = statement.query_map([agent], |row| Ok((row.get(0)?, unsigned(row, 1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// All counts of all agents together, by name.
///
/// # Errors
/// Those of the database.
pub fn all(db: &Connection) -> Result<BTreeMap<String, u64>, Error> {
    let mut statement = db.prepare_cached("SELECT name, count FROM tallies")?;
    let mut sums = BTreeMap::<String, u64>::new();
    let rows = statement.query_map([], |row| Ok((row.get(0)?, unsigned(row, 1)?)))?;
    for row in rows {
        let (name, count): (String, u64) = row?;
        let sum = sums.entry(name).or_default();
        *sum = sum.saturating_add(count);
    }
    Ok(sums)
}
