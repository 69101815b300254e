//! The tables, and how an older file becomes a file of this version. Migrations are only ever
//! appended.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension, params};

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
    "
    -- What waits is bounded by what matters, ages, and may overtake. `given` counts the bytes that were ever put in, up
    -- to and with the row: so the figures need not be written with each commit. Of rows from before, nothing is known.
    ALTER TABLE outbox ADD COLUMN fingerprint INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE outbox ADD COLUMN rank INTEGER NOT NULL DEFAULT 1;
    ALTER TABLE outbox ADD COLUMN since INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE outbox ADD COLUMN given INTEGER NOT NULL DEFAULT 0;
    -- The rows that may overtake, while they wait.
    CREATE TABLE urgent (seq INTEGER PRIMARY KEY);
    -- What the hub has beyond `acknowledged`.
    CREATE TABLE above (first INTEGER PRIMARY KEY, last INTEGER NOT NULL);
    -- Which alert each row is of that waits, in blocks of 1,024 numbers, each written when it is full (`blocks.rs`).
    CREATE TABLE alerts (
        block INTEGER NOT NULL, fingerprint INTEGER NOT NULL, seq INTEGER NOT NULL, rank INTEGER NOT NULL,
        PRIMARY KEY (block, fingerprint, seq)) WITHOUT ROWID;
    INSERT INTO alerts SELECT seq >> 10, 0, seq, 1 FROM outbox
        WHERE seq > (SELECT value FROM meta WHERE name = 'acknowledged')
        AND seq >> 10 < ((SELECT value FROM meta WHERE name = 'newest') + 1) >> 10 ORDER BY seq;
    INSERT INTO meta SELECT 'waiting', count(*) FROM outbox
        WHERE seq > (SELECT value FROM meta WHERE name = 'acknowledged');
    INSERT INTO meta SELECT 'waiting_bytes', coalesce(sum(length(body)), 0) FROM outbox
        WHERE seq > (SELECT value FROM meta WHERE name = 'acknowledged');
    INSERT INTO meta SELECT 'kept', count(*) FROM outbox
        WHERE seq <= (SELECT value FROM meta WHERE name = 'acknowledged');
    INSERT INTO meta SELECT 'kept_bytes', coalesce(sum(length(body)), 0) FROM outbox
        WHERE seq <= (SELECT value FROM meta WHERE name = 'acknowledged');
    INSERT INTO meta VALUES ('given', 0), ('superseded', 0), ('age', 0);
    -- Why this number space began.
    CREATE TABLE renewed (
        id INTEGER PRIMARY KEY CHECK (id = 0), why INTEGER NOT NULL, before INTEGER NOT NULL,
        at INTEGER NOT NULL, note TEXT NOT NULL);
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
    db.pragma_update(None, "wal_autocheckpoint", 256)?;
    // What a large transaction left of the log is given back.
    db.pragma_update(None, "journal_size_limit", 4 << 20)?;
    // A page that is not as it should be is found when it is read, not when it has done harm.
    db.pragma_update(None, "cell_size_check", true)
}

/// The schema of a file; 0 for one that has none yet.
pub(super) fn version(db: &Connection) -> rusqlite::Result<i64> {
    db.pragma_query_value(None, "user_version", |row| row.get(0))
}

/// The newest schema that this version knows.
pub(super) fn newest() -> i64 {
    i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX)
}

/// Brings the file to the newest schema.
pub(super) fn migrate(db: &mut Connection, path: &Path) -> Result<(), Error> {
    migrate_to(db, path, MIGRATIONS.len())
}

pub(super) fn migrate_to(db: &mut Connection, path: &Path, version: usize) -> Result<(), Error> {
    let open = |source| Error::Open { path: path.to_owned(), source };
    let (found, known) = (self::version(db).map_err(open)?, newest());
    if found > known {
        return Err(Error::Newer { path: path.to_owned(), found, known });
    }
    let done = usize::try_from(found).unwrap_or(0);
    for (i, migration) in MIGRATIONS.iter().enumerate().take(version).skip(done) {
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

/// A figure that every file has.
pub(super) fn meta(db: &Connection, name: &str) -> Result<u64, Error> {
    let value = db.query_row("SELECT value FROM meta WHERE name = ?1", [name], |row| row.get(0))?;
    Ok(unsigned(value))
}

pub(super) fn set_meta(db: &Connection, name: &str, value: u64) -> Result<(), Error> {
    set_signed(db, name, signed(value))
}

/// A figure that not every file has, and that may be below 0.
pub(super) fn find_signed(db: &Connection, name: &str) -> Result<Option<i64>, Error> {
    let mut query = db.prepare_cached("SELECT value FROM meta WHERE name = ?1")?;
    Ok(query.query_row([name], |row| row.get(0)).optional()?)
}

pub(super) fn set_signed(db: &Connection, name: &str, value: i64) -> Result<(), Error> {
    db.prepare_cached("INSERT OR REPLACE INTO meta (name, value) VALUES (?1, ?2)")?
        .execute(params![name, value])?;
    Ok(())
}
