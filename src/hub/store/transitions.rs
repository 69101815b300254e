//! Transitions, and the alerts they lead to.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::gaps::{self, Cause};
use super::{Error, epochs, reconcile, unsigned};
use crate::failpoint;
use crate::hub::inbox::{self, Offer};
use crate::hub::record::{TransitionRecord, epoch_text};
use crate::model::ranges::Range;
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
    pub evicted: Vec<Range>,
    /// Everything up to here was sent, was acknowledged before, or is among what was given up; 0 says nothing.
    pub complete: u64,
    /// The hub's clock.
    pub received: Timestamp,
}

/// What became of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Everything of the epoch up to here is settled.
    pub committed: u64,
    /// What is settled beyond it, of what the batch was about.
    pub above: Vec<Range>,
    /// The hub's number of the newest transition; `None` where nothing was stored.
    pub newest: Option<i64>,
    /// How many were stored.
    pub stored: u64,
    /// How many were known already.
    pub duplicates: u64,
    /// What is lost.
    pub lost: Vec<Range>,
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
    let seqs: Vec<u64> = batch.transitions.iter().map(|transition| transition.seq).collect();
    let offer = Offer { seqs: &seqs, evicted: &batch.evicted, complete: batch.complete };
    let before = epochs::settled(db, &batch.agent, batch.epoch, &offer)?;
    let verdict = inbox::judge(before.clone(), &offer);
    let mut newest = None;
    let mut stored: u32 = 0;
    for &index in &verdict.take {
        let transition = &batch.transitions[index];
        let place = epochs::place(db, &batch.agent, batch.epoch, transition.seq)?;
        if let Some(id) = insert(db, transition, &place)? {
            newest = Some(id);
            stored += 1;
        }
    }
    for (ranges, cause) in [(&verdict.lost, Cause::Lost), (&verdict.evicted, Cause::Evicted)] {
        gaps::note(db, &batch.agent, batch.epoch, ranges, cause, batch.received)?;
    }
    epochs::settle(db, &batch.agent, batch.epoch, &before, &verdict.settled)?;
    db.prepare_cached(
        "UPDATE agents SET last_seen = max(last_seen, ?), transitions = transitions + ? WHERE agent = ?",
    )?
    .execute(params![batch.received.micros(), stored, batch.agent])?;
    failpoint::reach("hub.before_commit");
    Ok(Outcome {
        committed: verdict.settled.floor(),
        above: verdict.above,
        newest,
        stored: stored.into(),
        duplicates: (seqs.len() as u64).saturating_sub(stored.into()),
        lost: verdict.lost,
    })
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

/// Stores a transition, and what it does to its alert unless a later one came before it. `None` where one of its number
/// is there.
pub(super) fn insert(
    db: &Connection,
    transition: &TransitionRecord,
    place: &str,
) -> Result<Option<i64>, Error> {
    let new = db
        .prepare_cached(
            "INSERT INTO transitions (agent, epoch, seq, record) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
        )?
        .execute(params![
            transition.agent,
            transition.epoch,
            transition.seq.to_string(),
            serde_json::to_string(transition)?
        ])?;
    if new == 0 {
        return Ok(None);
    }
    let id = db.last_insert_rowid();
    db.prepare_cached(
        "INSERT INTO alerts (agent, fingerprint, rule, state, transition_id, place, item)
         VALUES (?, ?, ?, ?, ?, ?, ?)
         ON CONFLICT DO UPDATE SET rule = excluded.rule, state = excluded.state,
             transition_id = excluded.transition_id, place = excluded.place, item = excluded.item
         WHERE excluded.place >= place",
    )?
    .execute(params![
        transition.agent,
        transition.fingerprint,
        transition.rule,
        transition.state,
        id,
        place,
        reconcile::item(transition)
    ])?;
    Ok(Some(id))
}

pub(super) fn id_and_record(row: &Row<'_>) -> rusqlite::Result<(i64, String)> {
    Ok((row.get(0)?, row.get(1)?))
}

pub(super) fn read((id, text): (i64, String)) -> Result<TransitionRecord, Error> {
    let mut record: TransitionRecord = serde_json::from_str(&text)?;
    record.id = id;
    Ok(record)
}
