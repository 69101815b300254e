//! What went wrong with an agent that a person should know of: clones, restored files, repairs.

use rusqlite::{Connection, params};

use super::{Error, tallies, unsigned};
use crate::hub::record::IncidentRecord;
use crate::model::time::Timestamp;

/// How many incidents of an agent are kept, the latest; how many there were of each kind is counted for ever.
const KEPT: u32 = 50;

/// What went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Two agents use one id.
    Clone,
    /// The agent's spool was replaced by an older copy of itself.
    Rewound,
    /// The agent's spool was damaged, and set aside.
    Damaged,
    /// The agent's spool is another one, and it does not say why: its file was removed, or another machine has the id.
    Replaced,
    /// The agent's spool is one that was there before the last: machines with one id may take turns.
    Returned,
    /// The hub's database was replaced by an older copy of itself.
    HubRestored,
    /// What fires by the hub's knowledge was not what fires by the agent's, and was set right.
    Reconciled,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Clone,
        Self::Rewound,
        Self::Damaged,
        Self::Replaced,
        Self::Returned,
        Self::HubRestored,
        Self::Reconciled,
    ];

    /// As the API says it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Clone => "clone",
            Self::Rewound => "rewound",
            Self::Damaged => "damaged",
            Self::Replaced => "replaced",
            Self::Returned => "returned",
            Self::HubRestored => "hub_restored",
            Self::Reconciled => "reconciled",
        }
    }

    /// The name of its count.
    pub const fn tally(self) -> &'static str {
        match self {
            Self::Clone => "incident.clone",
            Self::Rewound => "incident.rewound",
            Self::Damaged => "incident.damaged",
            Self::Replaced => "incident.replaced",
            Self::Returned => "incident.returned",
            Self::HubRestored => "incident.hub_restored",
            Self::Reconciled => "incident.reconciled",
        }
    }
}

/// Notes an incident. One that is about the same as one before is that one again.
///
/// # Errors
/// Those of the database.
pub fn note(
    db: &Connection,
    agent: &str,
    kind: Kind,
    about: &str,
    note: &str,
    at: Timestamp,
) -> Result<(), Error> {
    db.prepare_cached(
        "INSERT INTO incidents (agent, kind, about, first_at, last_at, times, note)
         VALUES (?1, ?2, ?3, ?4, ?4, 1, ?5)
         ON CONFLICT DO UPDATE SET last_at = excluded.last_at, times = times + 1, note = excluded.note",
    )?
    .execute(params![agent, kind.name(), about, at.micros(), note])?;
    db.prepare_cached(
        "DELETE FROM incidents WHERE agent = ?1 AND (kind, about) NOT IN
             (SELECT kind, about FROM incidents WHERE agent = ?1 ORDER BY last_at DESC LIMIT ?2)",
    )?
    .execute(params![agent, KEPT])?;
    tallies::add(db, agent, kind.tally(), 1)
}

/// The incidents of an agent, the latest first.
///
/// # Errors
/// Those of the database.
pub fn of(db: &Connection, agent: &str) -> Result<Vec<IncidentRecord>, Error> {
    let mut statement = db.prepare_cached(
        "SELECT kind, first_at, last_at, times, note FROM incidents WHERE agent = ? ORDER BY last_at DESC",
    )?;
    let rows = statement.query_map([agent], |row| {
        let time = |micros| Timestamp::from_micros(micros).to_string();
        Ok(IncidentRecord {
            kind: row.get(0)?,
            first_at: time(row.get(1)?),
            last_at: time(row.get(2)?),
            times: unsigned(row, 3)?,
            note: row.get(4)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}
