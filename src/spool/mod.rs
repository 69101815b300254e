//! The durable outbox, and all that must survive with it: one SQLite file, one owner.
//!
//! Invariants:
//!
//! 1. Everything of one [`Commit`] becomes durable together or not at all, and it is durable
//!    (WAL, `synchronous=FULL`) when [`Spool::commit`] returns. Only then may the MQTT messages it
//!    covers be acknowledged. One that failed is not there, and may be tried again; only where the file is opened anew
//!    after a failure at its very end may it turn out to be there, as a whole, which [`Spool::newest`] tells.
//! 2. Sequence numbers are gapless within an epoch, are given at the commit, and are never given
//!    twice. Each is of exactly one kind: it waits, the hub has it, or it was given up.
//! 3. A transition waits in the outbox until the hub committed it ([`Spool::forget`]; it stays for people
//!    then, see `history.rs`), or until the outbox was over its bound and gave it up (`evict.rs`): then its
//!    number lies in an evicted range that is told to the hub and counted.
//! 4. Of one alert, nothing goes before what came earlier: an urgent one takes along what waits of its alert.
//! 5. Alert states are exactly those after the transitions of the same commit. A snapshot holds
//!    the engine at a point of the journal; what was journaled after it is replayed.
//! 6. Bodies are opaque. The spool knows no alert, no rule and no payload.
//! 7. Memory does not grow with what waits: neither to open the file, nor to put in, look up, give up or number anew.
//!    Only ranges of numbers that the hub has out of order are held.
//!
//! A crash may repeat what was sent and not yet acknowledged, under the same numbers; it loses
//! nothing that was committed. A damaged file is set aside, and what can be read of it goes on (`aside.rs`).

mod age;
mod aside;
mod blocks;
mod census;
mod error;
mod evict;
mod figures;
mod history;
mod log;
mod look;
mod outbox;
mod renew;
mod schema;
mod spans;
mod traces;
mod trouble;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, Transaction, params};
use serde::{Deserialize, Serialize};

use crate::failpoint;
use crate::model::kept::{Lane, Outgoing, Renewed, Seen, SpoolTime, StateChange, StateKey};
use crate::model::label::Fingerprint;
use crate::model::ranges::Ranges;

pub use census::Census;
use figures::Figures;
pub use look::Look;
use spans::Spans;
use trouble::StandIn;

pub use error::{Error, Kind};
pub use trouble::Trouble;

/// The outbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// How many bytes of alerts may wait for the hub. Beyond it some are given up, counted, and reported to the hub as
    /// evicted: first what a newer one of the same alert supersedes, then the lowest severity, the oldest first.
    /// Default 64 MiB, about 100,000 alerts.
    pub max_bytes: u64,
    /// `processed` (default; spares flash) or `durable`. With `processed` alert states and
    /// transitions survive any crash, and open windows up to the last snapshot. With `durable`
    /// every message is journaled before it is acknowledged, and nothing is lost.
    pub durability: Durability,
    /// How often open windows are written down, at most. Shorter loses less of them in a crash
    /// and wears the flash more. Snapshots of more than 16 KiB for each of its seconds come less often. Default 5s.
    #[serde(with = "crate::model::time::span_text")]
    pub snapshot_interval: std::time::Duration,
    /// How many transitions that the hub has are kept for people at the gateway, within 4 MiB. Default 1,000.
    pub history: usize,
}

/// What a crash may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// Open windows since the last snapshot; nothing else.
    Processed,
    /// Nothing.
    Durable,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_bytes: 64 << 20,
            durability: Durability::Processed,
            snapshot_interval: std::time::Duration::from_secs(5),
            history: 1_000,
        }
    }
}

/// What becomes durable together.
#[derive(Debug, Default)]
pub struct Commit {
    /// Transitions for the outbox; each gets the next sequence number.
    pub transitions: Vec<Outgoing>,
    /// Alert states that changed.
    pub states: Vec<StateChange>,
    /// Whether `states` and `seen` are all there are: what is kept besides goes.
    pub whole: bool,
    /// How many transitions before `transitions` were given up before they were put in: they take numbers that the hub
    /// is told of.
    pub given_up: u64,
    /// Traces of messages taken in.
    pub seen: Vec<Seen>,
    /// Sources whose earlier traces mean nothing any more: their broker session is another.
    pub forget_seen: Vec<Arc<str>>,
    /// An input to journal (durability `durable`).
    pub journal: Option<Vec<u8>>,
    /// A snapshot of everything, which also ends the journal so far.
    pub snapshot: Option<Vec<u8>>,
    /// Rule sets that changed: what the agent starts from next time.
    pub rulesets: Vec<StoredSetChange>,
}

/// A change of a kept rule set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredSetChange {
    /// Its name.
    pub name: Arc<str>,
    /// The set as encoded by control; `None` removes it.
    pub body: Option<Vec<u8>>,
}

/// What a file held when it was opened.
#[derive(Debug, Default)]
pub struct Loaded {
    /// Alert states.
    pub states: Vec<(StateKey, Vec<u8>)>,
    /// Traces of messages, by source, oldest first.
    pub seen: Vec<Seen>,
    /// Rule sets, by name.
    pub rulesets: Vec<(Arc<str>, Vec<u8>)>,
    /// The newest snapshot.
    pub snapshot: Option<Vec<u8>>,
    /// The inputs journaled since it, in order.
    pub journal: Vec<Vec<u8>>,
}

/// The spool's figures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stats {
    /// The newest sequence number given; 0 for none.
    pub newest: u64,
    /// Transitions that wait for the hub.
    pub waiting: u64,
    /// Their bytes.
    pub waiting_bytes: u64,
    /// Transitions given up since the file was made.
    pub evicted: u64,
    /// Those of them which a newer one of the same alert superseded; the others mattered least.
    #[serde(default)]
    pub superseded: u64,
    /// Transactions since the start.
    pub commits: u64,
    /// For how long the oldest of those that wait does, in milliseconds; `None` while nothing waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oldest_ms: Option<u64>,
}

/// The open file.
#[derive(Debug)]
pub struct Spool {
    db: Connection,
    path: PathBuf,
    config: Config,
    epoch: u64,
    renewed: Option<Renewed>,
    figures: Figures,
    /// What the hub has, and what of it the file does not know yet.
    acknowledged: Ranges,
    unsaved: Ranges,
    /// Set where this is not the file itself.
    stands_in: Option<StandIn>,
}

impl Spool {
    /// Opens or makes the file, and reads what it holds. One that is damaged is set aside, and a fresh one starts with
    /// what can still be read of it (`aside.rs`): [`Spool::renewed`] then says so.
    ///
    /// # Errors
    /// [`Error::Taken`], [`Error::Newer`], or what the disk says.
    pub fn open(path: &Path, config: &Config, time: SpoolTime) -> Result<(Self, Loaded), Error> {
        aside::finish(path, time)?;
        match Self::read(path, config, time).map_err(|error| error.at(path)) {
            Err(Error::Damaged { source, .. }) => {
                aside::replace(path, time, &source)?;
                Self::read(path, config, time).map_err(|error| error.at(path))
            }
            other => other,
        }
    }

    fn read(path: &Path, config: &Config, time: SpoolTime) -> Result<(Self, Loaded), Error> {
        let open = |source| Error::Open { path: path.to_owned(), source };
        let db = Connection::open(path).map_err(open)?;
        aside::keep_log(&db, true)?;
        schema::prepare(&db).map_err(open)?;
        if !log::is_whole(&aside::log_of(path)) {
            return Err(Error::damaged("its write-ahead log is broken in the middle"));
        }
        let (spool, loaded) = Self::of(db, path, config, time)?;
        aside::check(&spool.db)?;
        aside::keep_log(&spool.db, false)?;
        Ok((spool, loaded))
    }

    /// With what a database holds.
    fn of(
        mut db: Connection,
        path: &Path,
        config: &Config,
        time: SpoolTime,
    ) -> Result<(Self, Loaded), Error> {
        schema::migrate(&mut db, path)?;
        let spool = Self {
            path: path.to_owned(),
            config: config.clone(),
            epoch: schema::meta(&db, "epoch")?,
            renewed: renew::read(&db)?,
            figures: Figures::read(&db, config, time)?,
            acknowledged: history::acknowledged(&db)?,
            unsaved: Ranges::default(),
            stands_in: None,
            db,
        };
        let loaded = load(&spool.db)?;
        Ok((spool, loaded))
    }

    /// The number space of this file's sequence numbers.
    pub const fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The newest sequence number given; 0 for none.
    pub const fn newest(&self) -> u64 {
        self.figures.stats.newest
    }

    /// The time by which what waits ages, in milliseconds, as in [`Waiting::since`].
    ///
    /// [`Waiting::since`]: crate::model::kept::Waiting::since
    pub fn age(&self, time: SpoolTime) -> u64 {
        self.figures.age.at(time)
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The spool's figures.
    pub fn stats(&self, time: SpoolTime) -> Stats {
        // Where the file cannot be read, the next commit says so.
        let oldest = self.peek(Lane::Both, &Ranges::default(), u64::MAX, 1, 1).unwrap_or_default();
        let oldest_ms = oldest.first().map(|one| self.age(time).saturating_sub(one.since));
        Stats { oldest_ms, ..self.figures.stats }
    }

    /// Makes everything of `commit` durable, and returns the newest sequence number.
    ///
    /// # Errors
    /// SQLite's; nothing of the commit is durable then, and it may be tried again.
    pub fn commit(&mut self, commit: &Commit, time: SpoolTime) -> Result<u64, Error> {
        if let Some(error) = self.away() {
            return Err(error);
        }
        let mut figures = self.figures.clone();
        let tx = begin(&mut self.db)?;
        let since = figures.age.go_on(&tx, time)?;
        let mut moved = !self.unsaved.is_empty();
        if moved {
            history::save(&tx, &mut figures, &self.acknowledged, &self.unsaved)?;
        }
        if commit.given_up > 0 {
            let first = figures.stats.newest + 1;
            figures.stats.newest += commit.given_up;
            figures.stats.evicted += commit.given_up;
            Spans::Evicted.insert(&tx, first, figures.stats.newest)?;
            moved = true;
        }
        if !commit.transitions.is_empty() {
            outbox::insert(&tx, &mut figures, &commit.transitions, since)?;
            outbox::promote(&tx, &figures, &commit.transitions, &self.acknowledged)?;
            moved |= evict::evict(&tx, self.config.max_bytes, &mut figures, &self.acknowledged)?;
        }
        if moved {
            figures.save(&tx)?;
        }
        write_rest(&tx, commit)?;
        failpoint::reach("spool.before_commit");
        tx.commit()?;
        figures.stats.commits += 1;
        self.figures = figures;
        self.unsaved = Ranges::default();
        Ok(self.newest())
    }

    /// The body of a stored rule set; `None` where there is none of this name.
    ///
    /// # Errors
    /// SQLite's.
    pub fn ruleset(&self, name: &str) -> Result<Option<Vec<u8>>, Error> {
        let mut query = self.db.prepare_cached("SELECT body FROM rulesets WHERE name = ?1")?;
        Ok(query.query_row([name], |row| row.get(0)).optional()?)
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        // What is not written down is sent once more.
        drop(self.save());
    }
}

/// Begins a transaction. One that an error left open is ended first.
fn begin(db: &mut Connection) -> Result<Transaction<'_>, Error> {
    if !db.is_autocommit() {
        db.execute_batch("ROLLBACK")?;
    }
    Ok(db.transaction()?)
}

/// Everything of a commit but its transitions.
fn write_rest(tx: &Connection, commit: &Commit) -> Result<(), Error> {
    if commit.whole {
        tx.execute("DELETE FROM states", [])?;
        tx.execute("DELETE FROM traces", [])?;
    }
    write_states(tx, &commit.states)?;
    traces::write(tx, &commit.forget_seen, &commit.seen)?;
    if let Some(body) = &commit.journal {
        tx.prepare_cached("INSERT INTO journal (body) VALUES (?1)")?.execute([body])?;
    }
    if let Some(body) = &commit.snapshot {
        tx.execute("DELETE FROM journal", [])?;
        tx.prepare_cached("INSERT OR REPLACE INTO snapshot (id, body) VALUES (0, ?1)")?.execute([body])?;
    }
    for set in &commit.rulesets {
        match &set.body {
            Some(body) => tx.execute(
                "INSERT OR REPLACE INTO rulesets (name, body) VALUES (?1, ?2)",
                params![&*set.name, body],
            )?,
            None => tx.execute("DELETE FROM rulesets WHERE name = ?1", [&*set.name])?,
        };
    }
    Ok(())
}

fn write_states(tx: &Connection, states: &[StateChange]) -> Result<(), Error> {
    let mut keep = tx.prepare_cached(
        "INSERT OR REPLACE INTO states (ruleset, rule, fingerprint, body) VALUES (?1, ?2, ?3, ?4)",
    )?;
    let mut drop_ =
        tx.prepare_cached("DELETE FROM states WHERE ruleset = ?1 AND rule = ?2 AND fingerprint = ?3")?;
    for StateChange { key, body } in states {
        let fingerprint = key.fingerprint.0.cast_signed();
        match body {
            Some(body) => keep.execute(params![&*key.ruleset, &*key.rule, fingerprint, body])?,
            None => drop_.execute(params![&*key.ruleset, &*key.rule, fingerprint])?,
        };
    }
    Ok(())
}

fn load(db: &Connection) -> Result<Loaded, Error> {
    let text = |text: String| -> Arc<str> { text.into() };
    let states = db
        .prepare("SELECT ruleset, rule, fingerprint, body FROM states")?
        .query_map([], |row| {
            let key = StateKey {
                ruleset: text(row.get(0)?),
                rule: text(row.get(1)?),
                fingerprint: Fingerprint(row.get::<_, i64>(2)?.cast_unsigned()),
            };
            Ok((key, row.get(3)?))
        })?
        .collect::<Result<_, _>>()?;
    let seen = traces::load(db)?;
    let rulesets = db
        .prepare("SELECT name, body FROM rulesets ORDER BY name")?
        .query_map([], |row| Ok((text(row.get(0)?), row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    let snapshot = db.query_row("SELECT body FROM snapshot WHERE id = 0", [], |row| row.get(0)).optional()?;
    let journal = db
        .prepare("SELECT body FROM journal ORDER BY id")?
        .query_map([], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    Ok(Loaded { states, seen, rulesets, snapshot, journal })
}

/// SQLite's integers are signed; sequence numbers and sizes stay far below 2^63.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

#[cfg(test)]
mod tests;
