//! Transitions, the alerts they lead to, and the committed mark of each epoch.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{Error, unsigned};
use crate::hub::inbox::{self, SeqRange};
use crate::hub::record::{TransitionRecord, epoch_text};
use crate::model::time::Timestamp;

/// A batch as it came from an agent.
#[derive(Clone, Debug)]
pub struct Inbound {
    /// Who sent it.
    pub agent: String,
    /// The spool it came from.
    pub epoch: u64,
    /// Its transitions.
    pub transitions: Vec<TransitionRecord>,
    /// What the spool gave up.
    pub evicted: Vec<SeqRange>,
    /// The hub's clock.
    pub received: Timestamp,
}

/// What became of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Everything of the epoch up to here is settled.
    pub committed: u64,
    /// The hub's number of the newest transition; `None` where nothing was stored.
    pub newest: Option<i64>,
    /// How many were stored.
    pub stored: u64,
    /// How many were known already.
    pub duplicates: u64,
    /// How many numbers are lost.
    pub missing: u64,
}

/// Which alerts to list.
#[derive(Clone, Debug, Default)]
pub struct AlertFilter {
    /// Only those that fire.
    pub firing: bool,
    /// Only of this agent.
    pub agent: Option<String>,
    /// Only of this rule.
    pub rule: Option<String>,
    /// At most so many.
    pub limit: u32,
}

/// Stores what is news in a batch.
///
/// # Errors
/// Those of the database.
pub fn accept(db: &Connection, batch: &Inbound) -> Result<Outcome, Error> {
    let epoch = epoch_text(batch.epoch);
    let seqs: Vec<u64> = batch.transitions.iter().map(|transition| transition.seq).collect();
    let before = committed(db, &batch.agent, batch.epoch)?;
    let verdict = inbox::judge(before, &seqs, &batch.evicted);
    let mut newest = None;
    for &place in &verdict.take {
        newest = Some(insert(db, &batch.transitions[place])?);
    }
    for (ranges, evicted) in [(&verdict.missing, false), (&verdict.evicted, true)] {
        for range in ranges {
            db.prepare_cached(
                "INSERT INTO gaps (agent, epoch, first, last, evicted, noticed_at) VALUES (?, ?, ?, ?, ?, ?)",
            )?
            .execute(params![
                batch.agent,
                epoch,
                range.first.to_string(),
                range.last.to_string(),
                evicted,
                batch.received.micros()
            ])?;
        }
    }
    if verdict.committed > before {
        db.prepare_cached(
            "INSERT INTO epochs (agent, epoch, committed) VALUES (?, ?, ?)
             ON CONFLICT DO UPDATE SET committed = excluded.committed",
        )?
        .execute(params![batch.agent, epoch, verdict.committed.to_string()])?;
    }
    let stored = verdict.take.len();
    db.prepare_cached(
        "UPDATE agents SET last_seen = max(last_seen, ?), transitions = transitions + ? WHERE agent = ?",
    )?
    .execute(params![
        batch.received.micros(),
        i64::try_from(stored).unwrap_or(i64::MAX),
        batch.agent
    ])?;
    Ok(Outcome {
        committed: verdict.committed,
        newest,
        stored: stored as u64,
        duplicates: verdict.duplicates as u64,
        missing: verdict.missing.iter().fold(0, |sum, range| range.count().saturating_add(sum)),
    })
}

/// Everything of an epoch up to here is settled; 0 where the epoch is not known.
///
/// # Errors
/// Those of the database.
pub fn committed(db: &Connection, agent: &str, epoch: u64) -> Result<u64, Error> {
    let text: Option<String> = db
        .prepare_cached("SELECT committed FROM epochs WHERE agent = ? AND epoch = ?")?
        .query_row(params![agent, epoch_text(epoch)], |row| row.get(0))
        .optional()?;
    Ok(text.and_then(|text| text.parse().ok()).unwrap_or(0))
}

/// The transition that an agent sent under a number of an epoch; `None` where there is none.
///
/// # Errors
/// Those of the database.
pub fn at(db: &Connection, agent: &str, epoch: u64, seq: u64) -> Result<Option<TransitionRecord>, Error> {
    db.prepare_cached("SELECT id, record FROM transitions WHERE agent = ? AND epoch = ? AND seq = ?")?
        .query_row(params![agent, epoch_text(epoch), seq.to_string()], id_and_record)
        .optional()?
        .map(read)
        .transpose()
}

/// The transitions after a number of the hub's, in its order.
///
/// # Errors
/// Those of the database.
pub fn after(db: &Connection, id: i64, limit: u32) -> Result<Vec<TransitionRecord>, Error> {
    let mut statement =
        db.prepare_cached("SELECT id, record FROM transitions WHERE id > ? ORDER BY id LIMIT ?")?;
    let rows = statement.query_map(params![id, limit], id_and_record)?;
    rows.map(|row| read(row?)).collect()
}

/// The hub's number of the newest transition; 0 where there is none.
///
/// # Errors
/// Those of the database.
pub fn newest(db: &Connection) -> Result<i64, Error> {
    Ok(db.query_row("SELECT coalesce(max(id), 0) FROM transitions", [], |row| row.get(0))?)
}

/// How many transitions there are.
///
/// # Errors
/// Those of the database.
pub fn count(db: &Connection) -> Result<u64, Error> {
    Ok(db.query_row("SELECT coalesce(sum(transitions), 0) FROM agents", [], |row| unsigned(row, 0))?)
}

/// The last transition of each alert, those that fire first, the latest first.
///
/// # Errors
/// Those of the database.
pub fn alerts(db: &Connection, filter: &AlertFilter) -> Result<Vec<TransitionRecord>, Error> {
    // Two statements, so that the one for what fires runs along the index.
    let mut statement = db.prepare_cached(if filter.firing {
        "SELECT t.id, t.record FROM alerts AS a JOIN transitions AS t ON t.id = a.transition_id
         WHERE a.state = 'firing' AND (?1 IS NULL OR a.agent = ?1) AND (?2 IS NULL OR a.rule = ?2)
         ORDER BY a.transition_id DESC LIMIT ?3"
    } else {
        "SELECT t.id, t.record FROM alerts AS a JOIN transitions AS t ON t.id = a.transition_id
         WHERE (?1 IS NULL OR a.agent = ?1) AND (?2 IS NULL OR a.rule = ?2)
         ORDER BY a.state <> 'firing', a.transition_id DESC LIMIT ?3"
    })?;
    let rows = statement.query_map(params![filter.agent, filter.rule, filter.limit], id_and_record)?;
    rows.map(|row| read(row?)).collect()
}

fn insert(db: &Connection, transition: &TransitionRecord) -> Result<i64, Error> {
    db.prepare_cached("INSERT INTO transitions (agent, epoch, seq, record) VALUES (?, ?, ?, ?)")?.execute(
        params![
            transition.agent,
            transition.epoch,
            transition.seq.to_string(),
            serde_json::to_string(transition)?
        ],
    )?;
    let id = db.last_insert_rowid();
    db.prepare_cached(
        "INSERT INTO alerts (agent, fingerprint, rule, state, transition_id) VALUES (?, ?, ?, ?, ?)
         ON CONFLICT DO UPDATE SET rule = excluded.rule, state = excluded.state,
             transition_id = excluded.transition_id",
    )?
    .execute(params![
        transition.agent,
        transition.fingerprint,
        transition.rule,
        transition.state,
        id
    ])?;
    Ok(id)
}

fn id_and_record(row: &Row<'_>) -> rusqlite::Result<(i64, String)> {
    Ok((row.get(0)?, row.get(1)?))
}

fn read((id, text): (i64, String)) -> Result<TransitionRecord, Error> {
    let mut record: TransitionRecord = serde_json::from_str(&text)?;
    record.id = id;
    Ok(record)
}
