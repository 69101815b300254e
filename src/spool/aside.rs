//! A damaged file is set aside, and a fresh one takes over what can still be read of it: the rule sets, by which an agent
//! without a link goes on, the states of alerts, the open windows. What waited in it is not sent: which of it the hub has
//! already cannot be told any more. The hub repairs what stands from the digest, and is told (`Renewed`).
//!
//! The fresh file is made beside the damaged one and then takes its place; a crash in between is finished at the next
//! start, as the fresh file then has the name that says so.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, Row, params};

use super::{Error, renew, schema, unsigned};
use crate::model::kept::{Renewed, SpoolTime, Why};

/// How many damaged files stay, the newest.
const STAY: usize = 2;

/// Pages of a file that is checked whole at each start.
const SMALL: u64 = 4_096;

/// The path with something behind its name.
fn beside(path: &Path, what: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(what);
    name.into()
}

/// Where SQLite's log of the file lies.
pub(super) fn log_of(path: &Path) -> PathBuf {
    beside(path, "-wal")
}

/// Takes the fresh file into use, where one is ready.
pub(super) fn finish(path: &Path, time: SpoolTime) -> Result<(), Error> {
    let ready = beside(path, ".ready");
    if !ready.exists() {
        return Ok(());
    }
    let swap = || {
        let aside = name_aside(path, time);
        rename(&log_of(path), &log_of(&aside))?;
        rename(path, &aside)?;
        rename(&ready, path)?;
        prune(path)
    };
    swap().map_err(|source| Error::Aside { path: path.to_owned(), source })
}

fn name_aside(path: &Path, time: SpoolTime) -> PathBuf {
    let seconds = time.wall.millis() / 1_000;
    beside(path, &format!(".damaged-{seconds:010}"))
}

/// What is not there need not be renamed.
fn rename(from: &Path, to: &Path) -> io::Result<()> {
    match fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Lets go of all damaged files but the newest.
fn prune(path: &Path) -> io::Result<()> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else { return Ok(()) };
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let mut begin: OsString = name.to_owned();
    begin.push(".damaged-");
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        let bytes = name.as_encoded_bytes();
        if bytes.starts_with(begin.as_encoded_bytes()) && !bytes.ends_with(b"-wal") {
            found.push(folder.join(name));
        }
    }
    found.sort();
    for old in found.iter().rev().skip(STAY) {
        fs::remove_file(old)?;
        // Most have none.
        drop(fs::remove_file(log_of(old)));
    }
    Ok(())
}

/// Makes the fresh file of what can be read of the damaged one. Gives what is told of it.
pub(super) fn replace(path: &Path, time: SpoolTime, why: &rusqlite::Error) -> Result<Renewed, Error> {
    let fresh = beside(path, ".fresh");
    for old in [log_of(&fresh), fresh.clone()] {
        match fs::remove_file(&old) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                return Err(Error::Aside { path: path.to_owned(), source });
            }
            _ => {}
        }
    }
    let saved = Saved::read(path);
    let renewed = Renewed {
        why: Why::Damaged,
        before: saved.epoch,
        at: time.wall,
        note: format!(
            "{why}; the file is set aside beside the new one; {} rule sets and the states of {} alerts were saved",
            saved.rulesets.len(),
            saved.states.len()
        ),
    };
    let mut db = Connection::open(&fresh)?;
    schema::prepare(&db)?;
    schema::migrate(&mut db, &fresh)?;
    let tx = db.transaction()?;
    saved.write(&tx)?;
    renew::write(&tx, &renewed)?;
    tx.commit()?;
    db.close().map_err(|(_, error)| error)?;
    fs::rename(&fresh, beside(path, ".ready"))
        .map_err(|source| Error::Aside { path: path.to_owned(), source })?;
    finish(path, time)?;
    Ok(renewed)
}

type State = (String, String, i64, Vec<u8>);
type Named = (String, Vec<u8>);

/// What could be read.
#[derive(Default)]
struct Saved {
    epoch: u64,
    rulesets: Vec<Named>,
    states: Vec<State>,
    traces: Vec<(String, i64, Vec<u8>)>,
    snapshot: Option<Vec<u8>>,
    journal: Vec<Vec<u8>>,
}

impl Saved {
    /// As much as there is, without changing the file.
    fn read(path: &Path) -> Self {
        let Ok(db) = Connection::open(path) else { return Self::default() };
        // The log stays as it is, for whoever looks into it.
        drop(db.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true));
        drop(db.pragma_update(None, "locking_mode", "EXCLUSIVE"));
        let named = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?));
        let state = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?));
        let trace = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
        let snapshot = db.query_row("SELECT body FROM snapshot WHERE id = 0", [], |row| row.get(0)).ok();
        // Inputs say nothing without what they came to, and none may be missing in between.
        let journal = match &snapshot {
            Some(_) => rows(&db, "SELECT body FROM journal ORDER BY id", |row| row.get(0)).0,
            None => Vec::new(),
        };
        Self {
            epoch: schema::meta(&db, "epoch").unwrap_or(0),
            rulesets: both_ways(&db, "SELECT name, body FROM rulesets ORDER BY name", "name", named),
            states: both_ways(
                &db,
                "SELECT ruleset, rule, fingerprint, body FROM states ORDER BY ruleset, rule, fingerprint",
                "ruleset DESC, rule DESC, fingerprint",
                state,
            ),
            traces: rows(&db, "SELECT source, last, body FROM traces ORDER BY source, last", trace).0,
            snapshot,
            journal,
        }
    }

    fn write(&self, tx: &Connection) -> Result<(), Error> {
        for (name, body) in &self.rulesets {
            tx.execute("INSERT OR REPLACE INTO rulesets (name, body) VALUES (?1, ?2)", params![name, body])?;
        }
        let mut state = tx.prepare(
            "INSERT OR REPLACE INTO states (ruleset, rule, fingerprint, body) VALUES (?1, ?2, ?3, ?4)",
        )?;
        for (ruleset, rule, fingerprint, body) in &self.states {
            state.execute(params![ruleset, rule, fingerprint, body])?;
        }
        let mut trace =
            tx.prepare("INSERT OR REPLACE INTO traces (source, last, body) VALUES (?1, ?2, ?3)")?;
        for (source, last, body) in &self.traces {
            trace.execute(params![source, last, body])?;
        }
        if let Some(body) = &self.snapshot {
            tx.execute("INSERT OR REPLACE INTO snapshot (id, body) VALUES (0, ?1)", [body])?;
        }
        for body in &self.journal {
            tx.execute("INSERT INTO journal (body) VALUES (?1)", [body])?;
        }
        Ok(())
    }
}

/// The rows of a query until the first that cannot be read, and whether that was all.
fn rows<T>(db: &Connection, sql: &str, of: impl Fn(&Row<'_>) -> rusqlite::Result<T>) -> (Vec<T>, bool) {
    let Ok(mut query) = db.prepare(sql) else { return (Vec::new(), false) };
    let Ok(found) = query.query_map([], of) else { return (Vec::new(), false) };
    let mut good = Vec::new();
    for row in found {
        match row {
            Ok(row) => good.push(row),
            Err(_) => return (good, false),
        }
    }
    (good, true)
}

/// The same, and where it breaks off also from the other end.
fn both_ways<T>(
    db: &Connection,
    sql: &str,
    key: &str,
    of: impl Fn(&Row<'_>) -> rusqlite::Result<T> + Copy,
) -> Vec<T> {
    let (mut found, all) = rows(db, sql, of);
    if !all {
        let select = sql.split(" ORDER BY").next().unwrap_or(sql);
        found.extend(rows(db, &format!("{select} ORDER BY {key} DESC"), of).0);
    }
    found
}

/// Whether the log stays as it is when the file is closed.
pub(super) fn keep_log(db: &Connection, keeps: bool) -> Result<(), Error> {
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, keeps)?;
    Ok(())
}

/// Whether the tables that every start reads whole are sound, and all others where the file is small.
pub(super) fn check(db: &Connection) -> Result<(), Error> {
    let pages: i64 = db.pragma_query_value(None, "page_count", |row| row.get(0))?;
    let tables: &[&str] = if unsigned(pages) <= SMALL {
        &[""]
    } else {
        &["meta", "states", "rulesets", "snapshot", "traces", "evicted", "above", "urgent"]
    };
    for table in tables {
        let sql = match *table {
            "" => "PRAGMA quick_check(1)".to_owned(),
            name => format!("PRAGMA quick_check({name})"),
        };
        let said: String = db.query_row(&sql, [], |row| row.get(0))?;
        // A page that the disk does not give is no damage yet: it may give it the next time.
        let unread = said.contains("error code=") || said.contains("failed to get page");
        if said != "ok" && !unread {
            return Err(Error::damaged(&said));
        }
    }
    Ok(())
}
