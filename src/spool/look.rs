//! The file of an agent that is down, as people look into it: read as it is. It is neither made nor migrated, and nothing
//! is written into it; while it is open, no agent can start on it.

use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::{Config, Error, Spool, schema};
use crate::model::kept::SpoolTime;

/// A file that is looked into.
#[derive(Debug)]
pub struct Look {
    spool: Spool,
    /// The schema of the file itself.
    found: i64,
    rulesets: Vec<(Arc<str>, Vec<u8>)>,
    /// What was made of a file of an older version, brought up to date.
    _copy: Option<Copy>,
}

/// A folder of our own that goes with this.
#[derive(Debug)]
struct Copy {
    dir: PathBuf,
}

impl Drop for Copy {
    fn drop(&mut self) {
        // What the system clears away sooner or later.
        drop(fs::remove_dir_all(&self.dir));
    }
}

impl Look {
    /// Opens a file to look into it.
    ///
    /// # Errors
    /// [`Error::Taken`] where an agent has it, [`Error::Newer`], [`Error::Damaged`], or [`Error::Open`].
    pub fn open(path: &Path, time: SpoolTime) -> Result<Self, Error> {
        Self::read(path, time).map_err(|error| error.at(path))
    }

    fn read(path: &Path, time: SpoolTime) -> Result<Self, Error> {
        let open = |source| Error::Open { path: path.to_owned(), source };
        let db = connect(path).map_err(open)?;
        let found = schema::version(&db).map_err(open)?;
        let known = schema::newest();
        if found > known {
            return Err(Error::Newer { path: path.to_owned(), found, known });
        }
        let look = |db, copy| {
            let (spool, loaded) = Spool::of(db, path, &Config::default(), time)?;
            Ok(Self { spool, found, rulesets: loaded.rulesets, _copy: copy })
        };
        if found == known {
            return look(db, None);
        }
        if found == 0 {
            // A file that an agent had just made when it ended.
            return look(Connection::open_in_memory().map_err(open)?, None);
        }
        let copy = Copy { dir: std::env::temp_dir().join(format!("weir-look-{:016x}", fastrand::u64(..))) };
        let failed = |e: std::io::Error| Error::Copy { path: copy.dir.clone(), why: e.to_string() };
        fs::DirBuilder::new().mode(0o700).create(&copy.dir).map_err(failed)?;
        let file = copy.dir.join("spool.db");
        db.execute("VACUUM INTO ?1", [&*file.to_string_lossy()]).map_err(open)?;
        look(Connection::open(&file).map_err(open)?, Some(copy))
    }

    /// What it holds; only to be read.
    pub const fn spool(&self) -> &Spool {
        &self.spool
    }

    /// Its schema, and the one that this version has: an older file is brought up to date when the agent starts.
    pub fn schema(&self) -> (i64, i64) {
        (self.found, schema::newest())
    }

    /// Whether all of it can be read, and belongs together: what is wrong, in SQLite's words.
    ///
    /// # Errors
    /// SQLite's.
    pub fn check(&self) -> Result<Option<String>, Error> {
        let said: String = self.spool.db.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
        Ok((said != "ok").then_some(said))
    }

    /// The rule sets that ran last, by name, as control has encoded them.
    pub fn rulesets(&self) -> &[(Arc<str>, Vec<u8>)] {
        &self.rulesets
    }
}

/// Opens the file for this look alone.
fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    let has_log = fs::metadata(&log).is_ok_and(|meta| meta.len() > 0);
    let plain = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let opened = Connection::open_with_flags(path, plain).and_then(|db| {
        // As the agent has it: no index of the log in a file of its own. What the log holds stays there.
        db.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
        db.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, has_log)?;
        schema::version(&db)?;
        Ok(db)
    });
    match opened {
        Err(error) if !has_log && may_not_write(&error) => {
            let uri = OpenFlags::SQLITE_OPEN_READ_ONLY
                | OpenFlags::SQLITE_OPEN_URI
                | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            Connection::open_with_flags(format!("file:{}?immutable=1", escaped(path)), uri)
        }
        opened => opened,
    }
}

/// Whether it is the lock that cannot be had, as on a disk that is read-only: without a log, all is in the file itself.
fn may_not_write(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode::{CannotOpen, PermissionDenied, ReadOnly, SystemIoFailure};
    matches!(error.sqlite_error_code(), Some(CannotOpen | PermissionDenied | ReadOnly | SystemIoFailure))
}

/// A path as SQLite's addresses have it.
fn escaped(path: &Path) -> String {
    path.to_string_lossy().replace('%', "%25").replace('?', "%3f").replace('#', "%23")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::kept::{Lane, Outgoing};
    use crate::model::label::Fingerprint;
    use crate::model::ranges::Ranges;
    use crate::spool::Commit;

    fn row(rank: u8, urgent: bool) -> Outgoing {
        Outgoing { body: vec![7; 40], fingerprint: Fingerprint(u64::from(rank) + 1), rank, urgent }
    }

    fn fill(path: &Path) -> Spool {
        let (mut spool, _) = Spool::open(path, &Config::default(), SpoolTime::default()).unwrap();
        let transitions = vec![row(0, false), row(1, false), row(3, true), row(1, false)];
        spool.commit(&Commit { transitions, ..Commit::default() }, SpoolTime::default()).unwrap();
        spool
    }

    fn files(dir: &Path) -> Vec<(String, Vec<u8>)> {
        let mut all: Vec<_> = fs::read_dir(dir)
            .unwrap()
            .map(|entry| entry.unwrap())
            .map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap()))
            .collect();
        all.sort();
        all
    }

    #[test]
    fn a_file_is_read_as_it_is_and_stays_so() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("spool.db");
        assert!(Look::open(&path, SpoolTime::default()).is_err());
        assert_eq!(files(dir.path()), [], "nothing is made");

        let mut spool = fill(&path);
        assert!(matches!(Look::open(&path, SpoolTime::default()), Err(Error::Taken { .. })));
        spool.forget(1, &[(4, 4)]).unwrap();
        let census = spool.census().unwrap();
        assert_eq!((census.ranks, census.urgent), ([0, 1, 0, 1], 1));
        drop(spool);

        let before = files(dir.path());
        let look = Look::open(&path, SpoolTime::default()).unwrap();
        assert_eq!(look.check().unwrap(), None);
        let page = look.spool().peek(Lane::Both, &Ranges::default(), u64::MAX, 9, 9_999).unwrap();
        assert_eq!(page.iter().map(|one| one.seq).collect::<Vec<_>>(), [2, 3]);
        assert_eq!(look.spool().census().unwrap(), census);
        drop(look);
        assert_eq!(files(dir.path()), before);
    }

    #[test]
    fn what_only_the_log_holds_is_read_and_stays_there() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("spool.db");
        let spool = fill(&path);
        // As after a crash: the log was not written back.
        let crashed = tempfile::tempdir().unwrap();
        for (name, bytes) in files(dir.path()) {
            fs::write(crashed.path().join(name), bytes).unwrap();
        }
        drop(spool);
        let path = crashed.path().join("spool.db");
        let before = files(crashed.path());
        assert!(before.iter().any(|(name, bytes)| name.ends_with("-wal") && !bytes.is_empty()));
        for _ in 0..2 {
            let look = Look::open(&path, SpoolTime::default()).unwrap();
            assert_eq!(look.spool().stats(SpoolTime::default()).waiting, 4);
            drop(look);
            assert_eq!(files(crashed.path()), before);
        }
        // The agent goes on with all of it.
        let (spool, _) = Spool::open(&path, &Config::default(), SpoolTime::default()).unwrap();
        assert_eq!(spool.stats(SpoolTime::default()).waiting, 4);
    }

    #[test]
    fn an_older_file_is_read_and_not_migrated() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("spool.db");
        {
            let mut db = Connection::open(&path).unwrap();
            schema::prepare(&db).unwrap();
            schema::migrate_to(&mut db, &path, 2).unwrap();
            db.execute_batch(
                "INSERT INTO outbox VALUES (1, x'07'); UPDATE meta SET value = 1 WHERE name = 'newest'",
            )
            .unwrap();
        }
        let before = files(dir.path());
        let look = Look::open(&path, SpoolTime::default()).unwrap();
        assert_eq!(look.schema(), (2, schema::newest()));
        assert_eq!(look.spool().stats(SpoolTime::default()).waiting, 1);
        let copy = look._copy.as_ref().unwrap().dir.clone();
        drop(look);
        assert!(!copy.exists());
        assert_eq!(files(dir.path()), before);
    }

    #[test]
    fn a_newer_or_damaged_file_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("spool.db");
        drop(fill(&path));
        let db = Connection::open(&path).unwrap();
        db.pragma_update(None, "user_version", 99).unwrap();
        drop(db);
        assert!(matches!(Look::open(&path, SpoolTime::default()), Err(Error::Newer { found: 99, .. })));
        fs::write(&path, vec![0x55; 8_192]).unwrap();
        assert!(matches!(Look::open(&path, SpoolTime::default()), Err(Error::Damaged { .. })));
    }
}
