//! Where the file stands, as it is known without asking it. A commit works on a copy, which takes the place of this one
//! only once the commit is durable.

use rusqlite::{Connection, OptionalExtension};

use super::age::Age;
use super::blocks::Blocks;
use super::history::Kept;
use super::{Config, Error, Stats, schema, unsigned};
use crate::model::kept::SpoolTime;

#[derive(Clone, Debug)]
pub(super) struct Figures {
    pub(super) stats: Stats,
    /// Bytes of all transitions that were ever put in.
    pub(super) given: u64,
    pub(super) kept: Kept,
    pub(super) blocks: Blocks,
    pub(super) age: Age,
}

impl Figures {
    /// Those of a file: what was written down last, and what the newest row says came since.
    pub(super) fn read(db: &Connection, config: &Config, time: SpoolTime) -> Result<Self, Error> {
        let (saved, saved_given) = (schema::meta(db, "newest")?, schema::meta(db, "given")?);
        let row = db
            .query_row(
                "SELECT seq, given, since FROM outbox WHERE seq > ?1 ORDER BY seq DESC LIMIT 1",
                [super::signed(saved)],
                |row| Ok((unsigned(row.get(0)?), unsigned(row.get(1)?), unsigned(row.get(2)?))),
            )
            .optional()?;
        let (newest, given, since) = row.unwrap_or((saved, saved_given, 0));
        let stats = Stats {
            newest,
            waiting: schema::meta(db, "waiting")? + (newest - saved),
            waiting_bytes: schema::meta(db, "waiting_bytes")? + given.saturating_sub(saved_given),
            evicted: schema::meta(db, "evicted")?,
            superseded: schema::meta(db, "superseded")?,
            commits: 0,
            oldest_ms: None,
        };
        Ok(Self {
            stats,
            given,
            kept: Kept::read(db, config.history)?,
            blocks: Blocks::read(db, newest)?,
            age: Age::read(db, since, time)?,
        })
    }

    /// Writes them down: what they can be read from is about to change.
    pub(super) fn save(&self, tx: &Connection) -> Result<(), Error> {
        let stats = &self.stats;
        for (name, value) in [
            ("newest", stats.newest),
            ("given", self.given),
            ("waiting", stats.waiting),
            ("waiting_bytes", stats.waiting_bytes),
            ("evicted", stats.evicted),
            ("superseded", stats.superseded),
        ] {
            schema::set_meta(tx, name, value)?;
        }
        self.kept.save(tx)?;
        self.age.save(tx)
    }
}
