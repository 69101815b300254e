//! What fires by the hub's knowledge, as a digest, and its repair where the agent knows better.
//!
//! A repair is a transition like any other, but the hub's own: its epoch is [`HUB_EPOCH`], its seq counts the repairs of
//! its agent. It stands where the agent's set stood, so that what the agent tells later is later.

use std::collections::BTreeSet;

use rusqlite::{Connection, OptionalExtension};

use super::incidents::{self, Kind};
use super::transitions::{id_and_record, insert, read};
use super::{Error, epochs, tallies, unsigned};
use crate::hub::record::{Members, TransitionRecord};
use crate::model::label::Fingerprint;
use crate::model::time::Timestamp;
use crate::wire::digest::{self, Digest};

/// The epoch of transitions by which the hub repairs itself.
pub const HUB_EPOCH: &str = "hub";

/// Why an alert ends that fires by the hub's knowledge alone.
pub const RECONCILED: &str = "reconciled";

/// How many rows are read at once where all of a table are.
const PAGE: u32 = 500;

/// The counts of what was repaired.
pub const FIRED: &str = "repaired.firing";
/// As [`FIRED`], of those that were ended.
pub const ENDED: &str = "repaired.resolved";

/// A part of what an agent says is up.
#[derive(Clone, Debug)]
pub struct Part {
    /// Who says it.
    pub agent: String,
    /// Of its present spool.
    pub epoch: u64,
    /// As of this number.
    pub seq: u64,
    /// The alerts, as they would be announced anew.
    pub alerts: Vec<TransitionRecord>,
    /// The hub's clock.
    pub at: Timestamp,
}

/// What was repaired.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Repaired {
    /// Alerts taken as firing.
    pub fired: u64,
    /// Alerts ended.
    pub ended: u64,
    /// The hub's number of the newest transition that came of it.
    pub newest: Option<i64>,
}

impl Repaired {
    /// Both together.
    pub fn and(self, other: Self) -> Self {
        Self {
            fired: self.fired.saturating_add(other.fired),
            ended: self.ended.saturating_add(other.ended),
            newest: self.newest.max(other.newest),
        }
    }

    /// Whether nothing had to be repaired.
    pub const fn is_none(&self) -> bool {
        self.fired == 0 && self.ended == 0
    }
}

/// The part of an alert in the digest, as SQLite keeps it.
pub(super) fn item(transition: &TransitionRecord) -> i64 {
    let fingerprint = identity(&transition.fingerprint);
    let starts_at = micros(&transition.starts_at);
    digest::item(Fingerprint(fingerprint), starts_at, &transition.severity).cast_signed()
}

/// A fingerprint as a number again.
fn identity(text: &str) -> u64 {
    u64::from_str_radix(text, 16).unwrap_or(0)
}

/// A time of a record, also one that no calendar holds.
fn micros(text: &str) -> Timestamp {
    let beyond = || text.strip_suffix("us").and_then(|number| number.parse().ok());
    Timestamp::parse(text).or_else(|| beyond().map(Timestamp::from_micros)).unwrap_or_default()
}

/// Computes what files of older programs do not have.
pub(super) fn complete(db: &mut Connection) -> Result<(), Error> {
    let step = db.transaction()?;
    loop {
        let alerts: Vec<(i64, String)> = step
            .prepare(
                "SELECT t.id, t.record FROM alerts AS a JOIN transitions AS t ON t.id = a.transition_id
                 WHERE a.state = 'firing' AND a.item IS NULL LIMIT ?",
            )?
            .query_map([PAGE], id_and_record)?
            .collect::<Result<_, _>>()?;
        if alerts.is_empty() {
            break;
        }
        for (id, record) in alerts {
            let record = read((id, record))?;
            step.execute(
                "UPDATE alerts SET item = ? WHERE state = 'firing' AND transition_id = ?",
                [item(&record), id],
            )?;
        }
    }
    Ok(step.commit()?)
}

/// What fires of an agent, whatever the epoch.
///
/// # Errors
/// Those of the database.
pub fn digest(db: &Connection, agent: &str) -> Result<Digest, Error> {
    let mut statement =
        db.prepare_cached("SELECT coalesce(item, 0) FROM alerts WHERE agent = ? AND state = 'firing'")?;
    let rows = statement.query_map([agent], |row| Ok(row.get::<_, i64>(0)?.cast_unsigned()))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Takes as firing what the agent says is up and the hub does not know as such. What the agent told later than the set
/// is left alone.
///
/// # Errors
/// Those of the database.
pub fn take(db: &Connection, part: &Part) -> Result<Repaired, Error> {
    let place = epochs::place(db, &part.agent, part.epoch, part.seq)?;
    let mut repaired = Repaired::default();
    for alert in &part.alerts {
        let known: Option<(String, String, Option<i64>)> = db
            .prepare_cached("SELECT state, place, item FROM alerts WHERE agent = ? AND fingerprint = ?")?
            .query_row([&part.agent, &alert.fingerprint], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
            .optional()?;
        let settled = known.is_some_and(|(state, stands, known)| {
            stands > place || state == "firing" && known == Some(item(alert))
        });
        if !settled {
            let alert = TransitionRecord { received_at: part.at.to_string(), ..alert.clone() };
            repaired.newest = repair(db, alert, &place)?.or(repaired.newest);
            repaired.fired += 1;
        }
    }
    tallies::add(db, &part.agent, FIRED, repaired.fired)?;
    Ok(repaired)
}

/// Ends what fires by the hub's knowledge and is not in the set.
fn end(db: &Connection, part: &Part, set: &BTreeSet<u64>) -> Result<Repaired, Error> {
    let place = epochs::place(db, &part.agent, part.epoch, part.seq)?;
    let mut repaired = Repaired::default();
    let firing: Vec<String> = db
        .prepare_cached("SELECT fingerprint FROM alerts WHERE agent = ? AND state = 'firing' AND place <= ?")?
        .query_map([&part.agent, &place], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    for fingerprint in firing {
        if set.contains(&identity(&fingerprint)) {
            continue;
        }
        let row = db
            .prepare_cached(
                "SELECT t.id, t.record FROM alerts AS a JOIN transitions AS t ON t.id = a.transition_id
                 WHERE a.agent = ? AND a.fingerprint = ?",
            )?
            .query_row([&part.agent, &fingerprint], id_and_record)?;
        let now = part.at.to_string();
        let alert = TransitionRecord {
            state: "resolved".to_owned(),
            reason: RECONCILED.to_owned(),
            // What decided that it fired says nothing about its end, of which nobody knows when it was.
            values: Members::default(),
            evidence: None,
            boot_id: String::new(),
            clock_doubted: false,
            skew_ms: None,
            occurred_at: now.clone(),
            recorded_at: now.clone(),
            received_at: now,
            ..read(row)?
        };
        repaired.newest = repair(db, alert, &place)?.or(repaired.newest);
        repaired.ended += 1;
    }
    tallies::add(db, &part.agent, ENDED, repaired.ended)?;
    Ok(repaired)
}

/// Repairs by the last part of a set, and notes what the whole set led to.
///
/// # Errors
/// Those of the database.
pub fn conclude(
    db: &Connection,
    part: &Part,
    set: &BTreeSet<u64>,
    before: Repaired,
) -> Result<Repaired, Error> {
    let whole = before.and(take(db, part)?).and(end(db, part, set)?);
    if !whole.is_none() {
        let note = format!(
            "what fires was not the same here and there: {} taken as firing, {} ended",
            whole.fired, whole.ended
        );
        incidents::note(db, &part.agent, Kind::Reconciled, "", &note, part.at)?;
    }
    Ok(whole)
}

/// Stores a transition of the hub's own.
fn repair(db: &Connection, alert: TransitionRecord, place: &str) -> Result<Option<i64>, Error> {
    db.prepare_cached(
        "INSERT INTO epochs (agent, epoch, committed) VALUES (?, ?, '1')
         ON CONFLICT DO UPDATE SET committed = CAST(committed + 1 AS TEXT)",
    )?
    .execute([&alert.agent, HUB_EPOCH])?;
    let seq = db
        .prepare_cached("SELECT CAST(committed AS INTEGER) FROM epochs WHERE agent = ? AND epoch = ?")?
        .query_row([&alert.agent, HUB_EPOCH], |row| unsigned(row, 0))?;
    let alert = TransitionRecord { id: 0, epoch: HUB_EPOCH.to_owned(), seq, ..alert };
    insert(db, &alert, place)
}
