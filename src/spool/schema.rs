//! The tables, and how an older file becomes a file of this version. Migrations are only ever
//! appended.

use std::path::Path;

use rusqlite::{Connection, params};

use super::{Error, signed, unsigned};

/// Each brings a file from the schema of its index to the next.
const MIGRATIONS: &[&str] = &[
    "
    CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
    INSERT INTO meta VALUES ('newest', 0), ('evicted', 0);
    -- Transitions that wait for the hub.
    CREATE TABLE outbox (seq INTEGER PRIMARY KEY, body BLOB NOT NULL);
    -- Numbers that were given up and that the hub does not know of yet.
    CREATE TABLE evicted (first INTEGER PRIMARY KEY, last INTEGER NOT NULL);
    -- Alerts that are not quiet.
    CREATE TABLE states (
        ruleset TEXT NOT NULL, rule TEXT NOT NULL, fingerprint INTEGER NOT NULL, body BLOB NOT NULL,
        PRIMARY KEY (ruleset, rule, fingerprint)) WITHOUT ROWID;
    -- Traces of the messages last taken in, a ring for each source.
    CREATE TABLE seen (
        source TEXT NOT NULL, slot INTEGER NOT NULL, serial INTEGER NOT NULL,
        packet INTEGER NOT NULL, content INTEGER NOT NULL,
        PRIMARY KEY (source, slot)) WITHOUT ROWID;
    CREATE TABLE snapshot (id INTEGER PRIMARY KEY, body BLOB NOT NULL);
    -- Inputs since the snapshot.
    CREATE TABLE journal (id INTEGER PRIMARY KEY AUTOINCREMENT, body BLOB NOT NULL);
    -- The rule sets that ran last.
    CREATE TABLE rulesets (name TEXT PRIMARY KEY, body BLOB NOT NULL) WITHOUT ROWID;
",
    "
    -- Traces of one commit and source together: a row for each message costs more than all else that
    -- is written. Those of before are let go; at most, what is delivered again is evaluated again.
    DROP TABLE seen;
    CREATE TABLE traces (
        source TEXT NOT NULL, last INTEGER NOT NULL, body BLOB NOT NULL,
        PRIMARY KEY (source, last)) WITHOUT ROWID;
",
    "
    -- What the hub has stays for a while, before what waits.
    INSERT INTO meta VALUES ('acknowledged', 0);
",
];

/// Settings that hold for the connection.
pub(super) fn prepare(db: &Connection) -> rusqlite::Result<()> {
    // One process owns the file: without the shared-memory index a reader would need, WAL works
    // on every file system, and a second agent on the same file is refused at once.
    db.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
    db.pragma_update(None, "journal_mode", "WAL")?;
    db.pragma_update(None, "synchronous", "FULL")?;
    // In KiB: the working set is the tail of a queue.
    db.pragma_update(None, "cache_size", -256)?;
    db.pragma_update(None, "temp_store", "MEMORY")?;
    db.pragma_update(None, "wal_autocheckpoint", 256)
}

/// Brings the file to the newest schema.
pub(super) fn migrate(db: &mut Connection, path: &Path) -> Result<(), Error> {
    let open = |source| Error::Open { path: path.to_owned(), source };
    let found: i64 = db.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(open)?;
    let known = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    if found > known {
        return Err(Error::Newer { path: path.to_owned(), found, known });
    }
    let done = usize::try_from(found).unwrap_or(0);
    for (i, migration) in MIGRATIONS.iter().enumerate().skip(done) {
        let tx = db.transaction()?;
        tx.execute_batch(migration)?;
        if i == 0 {
            set_meta(&tx, "epoch", random_epoch())?;
        }
        tx.pragma_update(None, "user_version", i64::try_from(i + 1).unwrap_or(i64::MAX))?;
        tx.commit()?;
    }
    Ok(())
}

/// A new number space. Positive as SQLite's integers are signed, and never 0.
pub(super) fn random_epoch() -> u64 {
    fastrand::u64(1..i64::MAX.cast_unsigned())
}

pub(super) fn meta(db: &Connection, name: &str) -> Result<u64, Error> {
    let value = db.query_row("SELECT value FROM meta WHERE name = ?1", [name], |row| row.get(0))?;
    Ok(unsigned(value))
}

pub(super) fn set_meta(db: &Connection, name: &str, value: u64) -> Result<(), Error> {
    db.prepare_cached("INSERT OR REPLACE INTO meta (name, value) VALUES (?1, ?2)")?
        .execute(params![name, signed(value)])?;
    Ok(())
}
