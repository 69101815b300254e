//! The tables, and how an older file becomes a current one. A migration that was released is never
//! changed; what is needed comes as one more at the end.

use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;

use super::{Error, reconcile};

const MIGRATIONS: &[&str] = &["
CREATE TABLE agents (
    agent TEXT PRIMARY KEY,
    version TEXT NOT NULL,
    boot_id TEXT NOT NULL,
    labels TEXT NOT NULL,          -- JSON
    first_seen INTEGER NOT NULL,   -- microseconds since 1970, as all times here
    last_seen INTEGER NOT NULL,
    running TEXT NOT NULL,         -- JSON
    transitions INTEGER NOT NULL DEFAULT 0, -- how many it sent: counting rows takes too long
    status TEXT                    -- JSON
) STRICT;
CREATE TABLE epochs (
    agent TEXT NOT NULL,
    epoch TEXT NOT NULL,
    committed TEXT NOT NULL,       -- a u64, which no SQLite integer holds
    PRIMARY KEY (agent, epoch)
) STRICT, WITHOUT ROWID;
CREATE TABLE gaps (
    id INTEGER PRIMARY KEY,
    agent TEXT NOT NULL,
    epoch TEXT NOT NULL,
    first TEXT NOT NULL,
    last TEXT NOT NULL,
    evicted INTEGER NOT NULL,
    noticed_at INTEGER NOT NULL
) STRICT;
CREATE INDEX gaps_by_agent ON gaps (agent, id);
CREATE TABLE transitions (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    agent TEXT NOT NULL,
    epoch TEXT NOT NULL,
    seq TEXT NOT NULL,
    record TEXT NOT NULL,          -- JSON
    UNIQUE (agent, epoch, seq)
) STRICT;
CREATE TABLE alerts (
    agent TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    rule TEXT NOT NULL,
    state TEXT NOT NULL,
    transition_id INTEGER NOT NULL,
    PRIMARY KEY (agent, fingerprint)
) STRICT, WITHOUT ROWID;
CREATE INDEX alerts_by_state ON alerts (state, transition_id);
CREATE TABLE rulesets (
    name TEXT PRIMARY KEY,
    revision INTEGER NOT NULL,
    target TEXT NOT NULL,
    deleted INTEGER NOT NULL
) STRICT;
CREATE TABLE revisions (
    name TEXT NOT NULL,
    revision INTEGER NOT NULL,
    hash TEXT NOT NULL,
    source TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (name, revision)
) STRICT, WITHOUT ROWID;
CREATE TABLE items (
    hash TEXT PRIMARY KEY,
    kind INTEGER NOT NULL,         -- as in the protocol
    name TEXT NOT NULL,
    body TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE set_items (
    set_hash TEXT NOT NULL,
    position INTEGER NOT NULL,
    item_hash TEXT NOT NULL,
    PRIMARY KEY (set_hash, position)
) STRICT, WITHOUT ROWID;
CREATE TABLE rule_reports (
    agent TEXT NOT NULL,
    ruleset TEXT NOT NULL,
    record TEXT NOT NULL,          -- JSON
    PRIMARY KEY (agent, ruleset)
) STRICT, WITHOUT ROWID;
CREATE TABLE targets (
    name TEXT PRIMARY KEY,
    cursor INTEGER NOT NULL,
    delivered INTEGER NOT NULL,
    retries INTEGER NOT NULL,
    last_error TEXT NOT NULL
) STRICT;
CREATE TABLE dead_letters (
    target TEXT NOT NULL,
    transition_id INTEGER NOT NULL,
    why TEXT NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (target, transition_id)
) STRICT, WITHOUT ROWID;
", "
ALTER TABLE agents ADD COLUMN epoch TEXT NOT NULL DEFAULT '';   -- of its last session
ALTER TABLE epochs ADD COLUMN rank INTEGER NOT NULL DEFAULT 0;  -- rises with each change of an agent's epoch
ALTER TABLE gaps ADD COLUMN cause TEXT NOT NULL DEFAULT '';
ALTER TABLE alerts ADD COLUMN place TEXT NOT NULL DEFAULT '';   -- of the last transition: rank and seq, which sort as texts
ALTER TABLE alerts ADD COLUMN item INTEGER;                     -- its part of the digest, as bits; NULL until it is computed
CREATE INDEX alerts_firing ON alerts (agent, item) WHERE state = 'firing';
CREATE TABLE settled (              -- beyond the committed mark of an epoch
    agent TEXT NOT NULL,
    epoch TEXT NOT NULL,
    first TEXT NOT NULL,            -- 20 digits, so that texts sort as numbers
    last TEXT NOT NULL,
    PRIMARY KEY (agent, epoch, first)
) STRICT, WITHOUT ROWID;
CREATE TABLE incidents (
    agent TEXT NOT NULL,
    kind TEXT NOT NULL,
    about TEXT NOT NULL,            -- what tells it from others of its kind
    first_at INTEGER NOT NULL,
    last_at INTEGER NOT NULL,
    times INTEGER NOT NULL,
    note TEXT NOT NULL,
    PRIMARY KEY (agent, kind, about)
) STRICT, WITHOUT ROWID;
CREATE TABLE tallies (              -- what is counted of an agent for ever
    agent TEXT NOT NULL,
    name TEXT NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (agent, name)
) STRICT, WITHOUT ROWID;
UPDATE epochs SET rank = coalesce(
    (SELECT max(t.id) FROM transitions AS t WHERE t.agent = epochs.agent AND t.epoch = epochs.epoch), 0);
UPDATE agents SET epoch = coalesce(
    (SELECT e.epoch FROM epochs AS e WHERE e.agent = agents.agent ORDER BY e.rank DESC LIMIT 1), '');
UPDATE alerts SET place = coalesce(
    (SELECT printf('%019d/%s', e.rank, substr('00000000000000000000' || t.seq, -20))
     FROM transitions AS t JOIN epochs AS e ON e.agent = t.agent AND e.epoch = t.epoch
     WHERE t.id = alerts.transition_id), '');
INSERT INTO tallies (agent, name, count)
SELECT agent, CASE WHEN evicted THEN 'evicted' ELSE 'lost' END,
    CAST(min(total(CAST(last AS INTEGER) - CAST(first AS INTEGER) + 1), 9e18) AS INTEGER)
FROM gaps GROUP BY agent, evicted <> 0;
"];

/// Opens or creates the file and brings it up to date.
pub(super) fn open(path: &Path) -> Result<Connection, Error> {
    let failed = |source| Error::Open { path: path.to_owned(), source };
    let mut db = Connection::open(path).map_err(failed)?;
    prepare(&db).map_err(failed)?;
    let known = u32::try_from(MIGRATIONS.len()).unwrap_or(u32::MAX);
    let found: u32 = db.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(failed)?;
    if found > known {
        return Err(Error::Younger { path: path.to_owned(), found, known });
    }
    for (number, migration) in (1..=known).zip(MIGRATIONS).filter(|(number, _)| *number > found) {
        let step = db.transaction().map_err(failed)?;
        step.execute_batch(migration).map_err(failed)?;
        step.pragma_update(None, "user_version", number).map_err(failed)?;
        step.commit().map_err(failed)?;
    }
    reconcile::complete(&mut db)?;
    Ok(db)
}

/// One process owns the file: the exclusive lock turns a second hub on the same directory into an
/// error at its start instead of two half-truths.
fn prepare(db: &Connection) -> rusqlite::Result<()> {
    db.busy_timeout(Duration::from_secs(2))?;
    db.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
    db.pragma_update(None, "journal_mode", "WAL")?;
    db.pragma_update(None, "synchronous", "FULL")?;
    db.set_prepared_statement_cache_capacity(64);
    Ok(())
}

/// Makes a file as the first version made it.
#[cfg(test)]
pub(super) fn first(path: &Path) {
    let db = Connection::open(path).unwrap();
    db.execute_batch(MIGRATIONS[0]).unwrap();
    db.pragma_update(None, "user_version", 1).unwrap();
}
