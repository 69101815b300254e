//! The durable outbox, and all that must survive with it: one SQLite file, one owner.
//!
//! Invariants:
//!
//! 1. Everything of one [`Commit`] becomes durable together or not at all, and it is durable
//!    (WAL, `synchronous=FULL`) when [`Spool::commit`] returns. Only then may the MQTT messages it
//!    covers be acknowledged.
//! 2. Sequence numbers are gapless within an epoch, are given at the commit, and are never given
//!    twice: the newest is kept apart from the rows, which may all be gone.
//! 3. A transition waits in the outbox until the hub committed it ([`Spool::forget`]; it stays for people
//!    then, see `history.rs`), or until the outbox was over its bound and gave up the oldest: then its
//!    number lies in an evicted range that is told to the hub and counted.
//! 4. Alert states are exactly those after the transitions of the same commit. A snapshot holds
//!    the engine at a point of the journal; what was journaled after it is replayed.
//! 5. Bodies are opaque. The spool knows no alert, no rule and no payload.
//!
//! A crash may repeat what was sent and not yet acknowledged, under the same numbers; it loses
//! nothing that was committed.

mod history;
mod schema;
mod traces;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::{Connection, ErrorCode, OptionalExtension, params};
use serde::{Deserialize, Serialize};

use crate::model::kept::{Seen, StateChange, StateKey};
use crate::model::label::Fingerprint;

use history::Kept;

/// The outbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// How many bytes of alerts may wait for the hub. Beyond it the oldest are given up, counted,
    /// and reported to the hub as evicted. Default 64 MiB, about 100,000 alerts.
    pub max_bytes: u64,
    /// `processed` (default; spares flash) or `durable`. With `processed` alert states and
    /// transitions survive any crash, and open windows up to the last snapshot. With `durable`
    /// every message is journaled before it is acknowledged, and nothing is lost.
    pub durability: Durability,
    /// How often open windows are written down, at most. Shorter loses less of them in a crash
    /// and wears the flash more. Default 5s.
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

/// Why the spool cannot go on. Every one of them stops the agent: what cannot be made durable must
/// not be acknowledged.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another process has it.
    #[error(
        "open the spool {path}: another agent runs on it; stop that one, or give each an `agent.state_dir` of its own"
    )]
    Taken {
        /// The file.
        path: PathBuf,
    },
    /// The file is no spool any more.
    #[error(
        "open the spool {path}: it is damaged ({source}); move it away to start anew (alerts that wait in it, the states of alerts, and rules until the hub sends them again are then lost), and check the disk"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// SQLite's own words.
        source: rusqlite::Error,
    },
    /// The file cannot be opened or made.
    #[error("open the spool {path}: {source}; check that the directory exists and the agent may write there")]
    Open {
        /// The file.
        path: PathBuf,
        /// SQLite's own words.
        source: rusqlite::Error,
    },
    /// A later version wrote the file.
    #[error(
        "open the spool {path}: it has schema {found}, this version knows {known}; run the newer version, or move the file away (alerts that wait in it are then not sent)"
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its schema.
        found: i64,
        /// The newest schema of this version.
        known: i64,
    },
    /// SQLite failed under way: a full or broken disk.
    #[error("write the spool: {0}; check the disk")]
    Sqlite(#[from] rusqlite::Error),
}

impl Error {
    /// Tells a file that is taken or damaged from one that cannot be opened for other reasons.
    fn at(self, path: &Path) -> Self {
        let (Self::Open { source, .. } | Self::Sqlite(source)) = self else { return self };
        let path = path.to_owned();
        match source.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Taken { path },
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Self::Damaged { path, source },
            // A value that this program never writes.
            None => Self::Damaged { path, source },
            Some(_) => Self::Open { path, source },
        }
    }
}

/// What becomes durable together.
#[derive(Debug, Default)]
pub struct Commit {
    /// Transitions for the outbox, encoded; each gets the next sequence number.
    pub transitions: Vec<Vec<u8>>,
    /// Alert states that changed.
    pub states: Vec<StateChange>,
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
    /// Transactions since the start.
    pub commits: u64,
}

/// A range of sequence numbers, both ends included.
pub type Range = (u64, u64);

/// The open file.
#[derive(Debug)]
pub struct Spool {
    db: Connection,
    max_bytes: u64,
    epoch: u64,
    stats: Stats,
    kept: Kept,
}

impl Spool {
    /// Opens or makes the file, and reads what it holds.
    ///
    /// # Errors
    /// [`Error::Open`], [`Error::Newer`], or SQLite's own while reading.
    pub fn open(path: &Path, config: &Config) -> Result<(Self, Loaded), Error> {
        Self::read(path, config).map_err(|error| error.at(path))
    }

    fn read(path: &Path, config: &Config) -> Result<(Self, Loaded), Error> {
        let open = |source| Error::Open { path: path.to_owned(), source };
        let mut db = Connection::open(path).map_err(open)?;
        schema::prepare(&db).map_err(open)?;
        schema::migrate(&mut db, path)?;
        let epoch = schema::meta(&db, "epoch")?;
        let kept = Kept::read(&db, config.history)?;
        let (waiting, waiting_bytes) = kept.waiting(&db)?;
        let stats = Stats {
            newest: schema::meta(&db, "newest")?,
            waiting,
            waiting_bytes,
            evicted: schema::meta(&db, "evicted")?,
            commits: 0,
        };
        let loaded = load(&db)?;
        Ok((Self { db, max_bytes: config.max_bytes, epoch, stats, kept }, loaded))
    }

    /// The number space of this file's sequence numbers.
    pub const fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The spool's figures.
    pub const fn stats(&self) -> Stats {
        self.stats
    }

    /// Makes everything of `commit` durable, and returns the newest sequence number.
    ///
    /// # Errors
    /// SQLite's; nothing of the commit is durable then.
    pub fn commit(&mut self, commit: &Commit) -> Result<u64, Error> {
        let (mut stats, mut kept) = (self.stats, self.kept);
        let tx = self.db.transaction()?;
        {
            let mut insert = tx.prepare_cached("INSERT INTO outbox (seq, body) VALUES (?1, ?2)")?;
            for body in &commit.transitions {
                stats.newest += 1;
                insert.execute(params![signed(stats.newest), body])?;
                stats.waiting += 1;
                stats.waiting_bytes += body.len() as u64;
            }
        }
        if !commit.transitions.is_empty() {
            schema::set_meta(&tx, "newest", stats.newest)?;
            evict(&tx, self.max_bytes, &mut stats, &mut kept)?;
        }
        write_states(&tx, &commit.states)?;
        traces::write(&tx, &commit.forget_seen, &commit.seen)?;
        if let Some(body) = &commit.journal {
            tx.prepare_cached("INSERT INTO journal (body) VALUES (?1)")?.execute([body])?;
        }
        if let Some(body) = &commit.snapshot {
            tx.execute("DELETE FROM journal", [])?;
            tx.prepare_cached("INSERT OR REPLACE INTO snapshot (id, body) VALUES (0, ?1)")?
                .execute([body])?;
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
        tx.commit()?;
        stats.commits += 1;
        (self.stats, self.kept) = (stats, kept);
        Ok(stats.newest)
    }

    /// The transitions that wait after `after`, oldest first: at most `count` of them, and no more than
    /// `bytes` together (but at least one).
    ///
    /// # Errors
    /// SQLite's.
    pub fn peek(&self, after: u64, count: usize, bytes: usize) -> Result<Vec<(u64, Vec<u8>)>, Error> {
        let mut query =
            self.db.prepare_cached("SELECT seq, body FROM outbox WHERE seq > ?1 ORDER BY seq LIMIT ?2")?;
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        let mut rows = query.query(params![signed(after.max(self.kept.acknowledged)), count])?;
        let mut out: Vec<(u64, Vec<u8>)> = Vec::new();
        let mut total = 0;
        while let Some(row) = rows.next()? {
            let body: Vec<u8> = row.get(1)?;
            total += body.len();
            if total > bytes && !out.is_empty() {
                break;
            }
            out.push((unsigned(row.get(0)?), body));
        }
        Ok(out)
    }

    /// The ranges that were given up and not yet acknowledged by the hub.
    ///
    /// # Errors
    /// SQLite's.
    pub fn evicted(&self) -> Result<Vec<Range>, Error> {
        let mut query = self.db.prepare_cached("SELECT first, last FROM evicted ORDER BY first")?;
        let rows = query.query_map([], |row| Ok((unsigned(row.get(0)?), unsigned(row.get(1)?))))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The body of a stored rule set; `None` where there is none of this name.
    ///
    /// # Errors
    /// SQLite's.
    pub fn ruleset(&self, name: &str) -> Result<Option<Vec<u8>>, Error> {
        let mut query = self.db.prepare_cached("SELECT body FROM rulesets WHERE name = ?1")?;
        Ok(query.query_row([name], |row| row.get(0)).optional()?)
    }

    /// The hub committed everything up to `seq`: it waits no longer. That is durable with the next commit, which spares
    /// the disk a write of its own: what a crash brings back is sent once more, under the same numbers.
    ///
    /// # Errors
    /// SQLite's.
    pub fn forget(&mut self, seq: u64) -> Result<(), Error> {
        self.db.execute_batch("PRAGMA synchronous = NORMAL")?;
        let gone = self.acknowledge(seq);
        // Without it no later commit would be durable either.
        self.db.execute_batch("PRAGMA synchronous = FULL")?;
        let (count, bytes) = gone?;
        self.stats.waiting = self.stats.waiting.saturating_sub(count);
        self.stats.waiting_bytes = self.stats.waiting_bytes.saturating_sub(bytes);
        Ok(())
    }

    /// Gives how many transitions waited until then, and their bytes.
    fn acknowledge(&mut self, seq: u64) -> Result<(u64, u64), Error> {
        let mut kept = self.kept;
        let tx = self.db.transaction()?;
        let gone = kept.acknowledge(&tx, seq.min(self.stats.newest))?;
        tx.prepare_cached("DELETE FROM evicted WHERE last <= ?1")?.execute([signed(seq)])?;
        tx.commit()?;
        self.kept = kept;
        Ok(gone)
    }

    /// Starts a new number space: the hub knows numbers that this file never gave, so the file is
    /// an older copy of itself. What waits is numbered anew from 1.
    ///
    /// # Errors
    /// SQLite's.
    pub fn renew_epoch(&mut self) -> Result<(), Error> {
        let epoch = schema::random_epoch();
        let mut kept = self.kept;
        let tx = self.db.transaction()?;
        kept.clear(&tx)?;
        kept.acknowledged = 0;
        schema::set_meta(&tx, "acknowledged", 0)?;
        tx.execute_batch(
            "CREATE TEMP TABLE renumbered AS SELECT row_number() OVER (ORDER BY seq) AS seq, body FROM outbox;
             DELETE FROM outbox;
             INSERT INTO outbox SELECT seq, body FROM renumbered;
             DROP TABLE renumbered;
             DELETE FROM evicted;",
        )?;
        let newest: Option<i64> =
            tx.query_row("SELECT max(seq) FROM outbox", [], |row| row.get(0)).optional()?.flatten();
        let newest = unsigned(newest.unwrap_or(0));
        schema::set_meta(&tx, "epoch", epoch)?;
        schema::set_meta(&tx, "newest", newest)?;
        tx.commit()?;
        self.epoch = epoch;
        self.stats.newest = newest;
        self.kept = kept;
        Ok(())
    }
}

/// Gives up the oldest transitions until the rest fits, leaving one range for all of them.
fn evict(tx: &Connection, max_bytes: u64, stats: &mut Stats, kept: &mut Kept) -> Result<(), Error> {
    if stats.waiting_bytes <= max_bytes {
        return Ok(());
    }
    kept.clear(tx)?;
    let mut gone: Option<Range> = None;
    {
        let mut query = tx.prepare_cached("SELECT seq, length(body) FROM outbox ORDER BY seq")?;
        let mut rows = query.query([])?;
        while stats.waiting_bytes > max_bytes && stats.waiting > 1 {
            let Some(row) = rows.next()? else { break };
            let seq = unsigned(row.get(0)?);
            stats.waiting_bytes = stats.waiting_bytes.saturating_sub(unsigned(row.get(1)?));
            stats.waiting -= 1;
            stats.evicted += 1;
            gone = Some((gone.map_or(seq, |(first, _)| first), seq));
        }
    }
    let Some((first, last)) = gone else { return Ok(()) };
    tx.execute("DELETE FROM outbox WHERE seq <= ?1", [signed(last)])?;
    // The oldest go first, so ranges only ever grow at their end.
    let grown =
        tx.execute("UPDATE evicted SET last = ?1 WHERE last = ?2", [signed(last), signed(first) - 1])?;
    if grown == 0 {
        tx.execute("INSERT INTO evicted (first, last) VALUES (?1, ?2)", [signed(first), signed(last)])?;
    }
    schema::set_meta(tx, "evicted", stats.evicted)
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
