//! Agents: who they are, what they run, what they last said, and what they said about rule sets.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{Error, gaps, incidents, tallies, unsigned};
use crate::hub::record::{AgentRecord, ReportRecord, RunningRecord, StatusRecord};
use crate::model::time::Timestamp;

/// What an agent says when it comes.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// Its id.
    pub agent: String,
    /// Its program's version.
    pub version: String,
    /// Its boot.
    pub boot_id: String,
    /// What rule sets are targeted by.
    pub labels: BTreeMap<String, String>,
    /// What it runs.
    pub running: Vec<RunningRecord>,
    /// The hub's clock.
    pub at: Timestamp,
}

/// Notes that an agent came.
///
/// # Errors
/// Those of the database.
pub fn arrived(db: &Connection, arrival: &Arrival) -> Result<(), Error> {
    db.prepare_cached(
        "INSERT INTO agents (agent, version, boot_id, labels, first_seen, last_seen, running)
         VALUES (?1, ?2, ?3, ?4, ?5, ?5, ?6)
         ON CONFLICT DO UPDATE SET version = excluded.version, boot_id = excluded.boot_id,
             labels = excluded.labels, last_seen = max(last_seen, excluded.last_seen),
             running = excluded.running",
    )?
    .execute(params![
        arrival.agent,
        arrival.version,
        arrival.boot_id,
        serde_json::to_string(&arrival.labels)?,
        arrival.at.micros(),
        serde_json::to_string(&arrival.running)?
    ])?;
    Ok(())
}

/// Notes that an agent was heard.
///
/// # Errors
/// Those of the database.
pub fn heard(db: &Connection, agent: &str, at: Timestamp) -> Result<(), Error> {
    db.prepare_cached("UPDATE agents SET last_seen = max(last_seen, ?) WHERE agent = ?")?
        .execute(params![at.micros(), agent])?;
    Ok(())
}

/// Keeps an agent's last status, and what it says it runs.
///
/// # Errors
/// Those of the database.
pub fn status(
    db: &Connection,
    agent: &str,
    status: &StatusRecord,
    running: &[RunningRecord],
    at: Timestamp,
) -> Result<(), Error> {
    db.prepare_cached(
        "UPDATE agents SET status = ?, running = ?, last_seen = max(last_seen, ?) WHERE agent = ?",
    )?
    .execute(params![
        serde_json::to_string(status)?,
        serde_json::to_string(running)?,
        at.micros(),
        agent
    ])?;
    Ok(())
}

/// Keeps what an agent said about a rule set; what it accepted, it runs.
///
/// # Errors
/// Those of the database.
pub fn report(db: &Connection, report: &ReportRecord, at: Timestamp) -> Result<(), Error> {
    db.prepare_cached(
        "INSERT INTO rule_reports (agent, ruleset, record) VALUES (?, ?, ?)
         ON CONFLICT DO UPDATE SET record = excluded.record",
    )?
    .execute(params![report.agent, report.ruleset, serde_json::to_string(report)?])?;
    heard(db, &report.agent, at)?;
    if report.outcome != "accepted" {
        return Ok(());
    }
    let text: Option<String> = db
        .prepare_cached("SELECT running FROM agents WHERE agent = ?")?
        .query_row([&report.agent], |row| row.get(0))
        .optional()?;
    let mut running: Vec<RunningRecord> = match text {
        Some(text) => serde_json::from_str(&text)?,
        None => return Ok(()),
    };
    running.retain(|set| set.name != report.ruleset);
    running.push(RunningRecord {
        name: report.ruleset.clone(),
        revision: report.revision,
        hash: report.hash.clone(),
        origin: "hub".to_owned(),
        rules: u32::try_from(report.rules.len()).unwrap_or(u32::MAX),
        attempted: report.hash.clone(),
    });
    running.sort_by(|a, b| a.name.cmp(&b.name));
    db.prepare_cached("UPDATE agents SET running = ? WHERE agent = ?")?
        .execute(params![serde_json::to_string(&running)?, report.agent])?;
    Ok(())
}

/// All agents by id, or the one.
///
/// # Errors
/// Those of the database.
pub fn list(db: &Connection, only: Option<&str>) -> Result<Vec<AgentRecord>, Error> {
    let mut statement = db.prepare_cached(
        "SELECT agent, version, boot_id, labels, first_seen, last_seen, running, status, transitions, epoch
         FROM agents WHERE ?1 IS NULL OR agent = ?1 ORDER BY agent",
    )?;
    let rows = statement.query_map([only], columns)?;
    rows.map(|row| {
        let row = row?;
        Ok(AgentRecord {
            gaps: gaps::of(db, &row.agent)?,
            incidents: incidents::of(db, &row.agent)?,
            tallies: tallies::of(db, &row.agent)?,
            epoch: row.epoch,
            agent: row.agent,
            version: row.version,
            boot_id: row.boot_id,
            labels: serde_json::from_str(&row.labels)?,
            first_seen: Timestamp::from_micros(row.first_seen).to_string(),
            last_seen: Timestamp::from_micros(row.last_seen).to_string(),
            running: serde_json::from_str(&row.running)?,
            status: row.status.map(|text| serde_json::from_str(&text)).transpose()?,
            transitions: row.transitions,
        })
    })
    .collect()
}

/// All last reports, of one agent or of one set or both.
///
/// # Errors
/// Those of the database.
pub fn reports(
    db: &Connection,
    agent: Option<&str>,
    ruleset: Option<&str>,
) -> Result<Vec<ReportRecord>, Error> {
    let mut statement = db.prepare_cached(
        "SELECT record FROM rule_reports
         WHERE (?1 IS NULL OR agent = ?1) AND (?2 IS NULL OR ruleset = ?2)
         ORDER BY agent, ruleset",
    )?;
    let rows = statement.query_map(params![agent, ruleset], |row| row.get::<_, String>(0))?;
    rows.map(|text| Ok(serde_json::from_str(&text?)?)).collect()
}

struct AgentRow {
    agent: String,
    version: String,
    boot_id: String,
    labels: String,
    first_seen: i64,
    last_seen: i64,
    running: String,
    status: Option<String>,
    transitions: u64,
    epoch: String,
}

fn columns(row: &Row<'_>) -> rusqlite::Result<AgentRow> {
    Ok(AgentRow {
        agent: row.get(0)?,
        version: row.get(1)?,
        boot_id: row.get(2)?,
        labels: row.get(3)?,
        first_seen: row.get(4)?,
        last_seen: row.get(5)?,
        running: row.get(6)?,
        status: row.get(7)?,
        transitions: unsigned(row, 8)?,
        epoch: row.get(9)?,
    })
}
