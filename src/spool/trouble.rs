//! A disk that takes nothing for the time being: it is full, read-only, or fails. Whoever owns the spool goes on, and
//! tries again. And the stand-in for a file that such a disk does not let be opened.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, ErrorCode};

use super::{Config, Error, Loaded, Spool, schema};
use crate::model::kept::SpoolTime;

/// What is wrong with a disk that takes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// There is no room.
    Full,
    /// It may only be read.
    ReadOnly,
    /// It fails.
    Io,
}

impl Trouble {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Full, Self::ReadOnly, Self::Io];

    /// Its name in figures.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::ReadOnly => "read_only",
            Self::Io => "io",
        }
    }

    /// What the system says of a disk.
    pub fn of(error: &io::Error) -> Option<Self> {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Some(Self::Full),
            io::ErrorKind::ReadOnlyFilesystem => Some(Self::ReadOnly),
            _ => None,
        }
    }
}

impl Error {
    /// What is wrong with the disk, where that is all there is to it: the same may go well later.
    pub fn trouble(&self) -> Option<Trouble> {
        let source = match self {
            Self::Away { trouble, .. } => return Some(*trouble),
            Self::Sqlite(source) | Self::Open { source, .. } => source,
            Self::Aside { source, .. } => return Trouble::of(source),
            Self::Taken { .. }
            | Self::Copy { .. }
            | Self::Damaged { .. }
            | Self::Newer { .. }
            | Self::Replaced { .. } => {
                return None;
            }
        };
        match source.sqlite_error_code()? {
            ErrorCode::DiskFull => Some(Trouble::Full),
            ErrorCode::ReadOnly => Some(Trouble::ReadOnly),
            ErrorCode::SystemIoFailure => Some(Trouble::Io),
            // Of a file that is open: one beside it cannot be made.
            ErrorCode::CannotOpen if matches!(self, Self::Sqlite(_)) => Some(Trouble::Io),
            _ => None,
        }
    }
}

/// What a [`Spool`] is that stands in for a file.
#[derive(Debug)]
pub(super) struct StandIn {
    trouble: Trouble,
}

impl Spool {
    /// Opens the file; where the disk takes nothing, what stands in for it: it knows what the file holds, as far as
    /// that can be read, takes no commit, and becomes the file with [`Self::mend`].
    ///
    /// # Errors
    /// As [`Self::open`], where it is not the disk alone, or where what the file holds cannot be read.
    pub fn open_or_stand_in(path: &Path, config: &Config, time: SpoolTime) -> Result<(Self, Loaded), Error> {
        let error = match Self::open(path, config, time) {
            Ok(opened) => return Ok(opened),
            Err(error) => error,
        };
        let Some(trouble) = of_disk(&error, path) else { return Err(error) };
        Self::stand_in(path, config, time, trouble).ok_or(error)
    }

    /// What stands in for the file; `None` where what it holds cannot be read.
    fn stand_in(path: &Path, config: &Config, time: SpoolTime, trouble: Trouble) -> Option<(Self, Loaded)> {
        let opened = match path.exists() {
            false => Connection::open_in_memory()
                .map_err(Error::from)
                .and_then(|db| Self::of(db, path, config, time)),
            true => copy(path).and_then(|copy| {
                let opened = Self::read(&copy.0.join(FILE), config, time);
                opened.inspect_err(|why| tracing::error!(%why, "the copy of the spool cannot be read"))
            }),
        };
        let (mut spool, loaded) = opened.ok()?;
        path.clone_into(&mut spool.path);
        spool.stands_in = Some(StandIn { trouble });
        Some((spool, loaded))
    }

    /// Why nothing can be committed, where this stands in for the file.
    pub fn away(&self) -> Option<Error> {
        let stands_in = self.stands_in.as_ref()?;
        Some(Error::Away { path: self.path.clone(), trouble: stands_in.trouble })
    }

    /// Opens the file that this stands in for, if it does.
    ///
    /// # Errors
    /// The file's, as in [`Self::open`]; [`Error::Replaced`] where it is not the one of before.
    pub fn mend(&mut self, time: SpoolTime) -> Result<(), Error> {
        if self.stands_in.is_none() {
            return Ok(());
        }
        let (mut real, _) = Self::open(&self.path, &self.config, time).map_err(|error| {
            match of_disk(&error, &self.path) {
                Some(trouble) => Error::Away { path: self.path.clone(), trouble },
                None => error,
            }
        })?;
        if real.newest() == 0 && self.newest() == 0 && real.epoch != self.epoch {
            // The file was made only now, or only half made before. The number space that others were told of goes on.
            schema::set_meta(&real.db, "epoch", self.epoch)?;
            real.epoch = self.epoch;
        }
        if (real.epoch, real.newest()) != (self.epoch, self.newest()) {
            return Err(Error::Replaced { path: self.path.clone() });
        }
        let above: Vec<_> = self.acknowledged().iter().collect();
        real.forget(self.acknowledged().floor(), &above)?;
        *self = real;
        Ok(())
    }
}

/// What is wrong with the disk of a file that cannot be opened, if that is all. Often SQLite only says that something
/// fails, so it is tried.
fn of_disk(error: &Error, path: &Path) -> Option<Trouble> {
    let said = error.trouble();
    if !matches!(error, Error::Open { .. } | Error::Sqlite(_)) || said.is_some_and(|said| said != Trouble::Io)
    {
        return said;
    }
    let beside = path.with_extension("probe");
    let made = fs::write(&beside, [0; 4_096]);
    // What is left of it is written over the next time.
    fs::remove_file(&beside).ok();
    made.err().as_ref().and_then(Trouble::of).or(said)
}

/// The name of a copy.
const FILE: &str = "spool.db";

/// A directory that goes when it is dropped. What is open in it stays open.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

/// Copies the file and what belongs to it to where there is room: in memory, mostly.
fn copy(path: &Path) -> Result<Scratch, Error> {
    let mut last = None;
    for place in [PathBuf::from("/dev/shm"), std::env::temp_dir(), PathBuf::from("/run")] {
        let scratch = Scratch(place.join(format!("weir-{:032x}", fastrand::u128(..))));
        match copy_to(path, &scratch.0) {
            Ok(()) => return Ok(scratch),
            Err(error) => last = Some(error),
        }
    }
    let why = last.map(|error| error.to_string());
    tracing::error!(path = %path.display(), why, "the spool cannot be read either");
    Err(Error::Away { path: path.to_owned(), trouble: Trouble::Io })
}

fn copy_to(path: &Path, directory: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new().mode(0o700).create(directory)?;
    fs::copy(path, directory.join(FILE))?;
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    match fs::copy(&log, directory.join(format!("{FILE}-wal"))) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::kept::{Lane, Outgoing, Seen, StateChange, StateKey};
    use crate::model::label::Fingerprint;
    use crate::model::ranges::Ranges;
    use crate::model::time::Timestamp;
    use crate::spool::Commit;

    const NOW: SpoolTime = SpoolTime { boot: 1, since_boot_ms: 0, wall: Timestamp::from_millis(0) };

    fn told(count: u64) -> Commit {
        let one = |alert| Outgoing { body: vec![1], fingerprint: Fingerprint(alert), rank: 1, urgent: false };
        Commit { transitions: (0..count).map(one).collect(), ..Commit::default() }
    }

    fn waiting(spool: &Spool) -> Vec<u64> {
        let rows = spool.peek(Lane::Both, &Ranges::default(), u64::MAX, 100, 1 << 20).unwrap();
        rows.iter().map(|row| row.seq).collect()
    }

    #[test]
    fn what_stands_in_for_a_file_knows_it_takes_nothing_and_becomes_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("spool.db");
        let config = Config::default();
        let (mut file, _) = Spool::open(&path, &config, NOW).unwrap();
        file.commit(&told(3), NOW).unwrap();
        let epoch = file.epoch();
        // Not closed, so that part of it is in the log beside it.
        let (mut spool, _) = Spool::stand_in(&path, &config, NOW, Trouble::ReadOnly).unwrap();
        assert_eq!((spool.epoch(), waiting(&spool)), (epoch, vec![1, 2, 3]));
        let error = spool.commit(&told(1), NOW).unwrap_err();
        assert_eq!(error.trouble(), Some(Trouble::ReadOnly));
        spool.forget(2, &[]).unwrap();
        assert!(spool.mend(NOW).is_err(), "it is taken");
        drop(file);
        spool.mend(NOW).unwrap();
        assert!(spool.away().is_none());
        assert_eq!(spool.commit(&told(1), NOW).unwrap(), 4);
        assert_eq!(waiting(&spool), [3, 4]);
    }

    #[test]
    fn without_a_file_the_number_space_is_that_of_the_file_to_come() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("spool.db");
        let config = Config::default();
        let (mut spool, loaded) = Spool::stand_in(&path, &config, NOW, Trouble::Full).unwrap();
        assert!(loaded.states.is_empty());
        let epoch = spool.epoch();
        spool.mend(NOW).unwrap();
        assert_eq!((spool.epoch(), spool.commit(&told(1), NOW).unwrap()), (epoch, 1));
        drop(spool);
        assert_eq!(Spool::open(&path, &config, NOW).unwrap().0.epoch(), epoch);
        // One that was there after all, and is another one.
        let other = dir.path().join("other.db");
        let (mut spool, _) = Spool::stand_in(&other, &config, NOW, Trouble::Full).unwrap();
        std::fs::copy(&path, &other).unwrap();
        assert!(matches!(spool.mend(NOW).unwrap_err(), Error::Replaced { .. }));
    }

    #[test]
    fn a_whole_commit_replaces_states_and_traces_and_numbers_what_was_given_up() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("spool.db");
        let config = Config::default();
        let state = |alert: u64| StateChange {
            key: StateKey { ruleset: "s".into(), rule: "r".into(), fingerprint: Fingerprint(alert) },
            body: Some(vec![1]),
        };
        let seen = |serial| Seen { source: "b".into(), serial, packet: 1, content: 1 };
        let (mut spool, _) = Spool::open(&path, &config, NOW).unwrap();
        let first = Commit { states: vec![state(1), state(2)], seen: vec![seen(0)], ..told(2) };
        spool.commit(&first, NOW).unwrap();
        let whole =
            Commit { whole: true, given_up: 3, states: vec![state(2)], seen: vec![seen(7)], ..told(2) };
        assert_eq!(spool.commit(&whole, NOW).unwrap(), 7);
        assert_eq!(waiting(&spool), [1, 2, 6, 7]);
        assert_eq!(spool.evicted(&Ranges::default(), u64::MAX, 10).unwrap(), [(3, 5)]);
        drop(spool);
        let (spool, loaded) = Spool::open(&path, &config, NOW).unwrap();
        assert_eq!((spool.newest(), spool.stats(NOW).waiting, spool.stats(NOW).evicted), (7, 4, 3));
        let alerts: Vec<u64> = loaded.states.iter().map(|(key, _)| key.fingerprint.0).collect();
        let serials: Vec<u64> = loaded.seen.iter().map(|seen| seen.serial).collect();
        assert_eq!((alerts, serials), (vec![2], vec![7]));
    }
}
