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
            Self::Taken { .. } | Self::Damaged { .. } | Self::Newer { .. } | Self::Replaced { .. } => {
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
    /// Whether there is no file yet.
    fresh: bool,
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
        let Some(trouble) = error.trouble().or_else(|| probe(&error, path)) else { return Err(error) };
        let fresh = !path.exists();
        let opened = match fresh {
            true => Connection::open_in_memory()
                .map_err(Error::from)
                .and_then(|db| Self::of(db, path, config, time)),
            false => copy(path).and_then(|copy| {
                let opened = Self::read(&copy.0.join(FILE), config, time);
                opened.inspect_err(|why| tracing::error!(%why, "the copy of the spool cannot be read"))
            }),
        };
        let Ok((mut spool, loaded)) = opened else { return Err(error) };
        path.clone_into(&mut spool.path);
        spool.stands_in = Some(StandIn { trouble, fresh });
        Ok((spool, loaded))
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
        let Some(stands_in) = &self.stands_in else { return Ok(()) };
        let (mut real, _) = Self::open(&self.path, &self.config, time).map_err(|error| {
            match error.trouble().or_else(|| probe(&error, &self.path)) {
                Some(trouble) => Error::Away { path: self.path.clone(), trouble },
                None => error,
            }
        })?;
        if stands_in.fresh && real.newest() == 0 && real.acknowledged().is_empty() {
            // Whoever was told of a number space goes on with it.
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

/// What is wrong with the disk of a file that cannot be opened: SQLite does not say.
fn probe(error: &Error, path: &Path) -> Option<Trouble> {
    if !matches!(error, Error::Open { .. }) {
        return None;
    }
    let beside = path.with_extension("probe");
    let made = fs::write(&beside, [0; 4_096]);
    // What is left of it is written over the next time.
    fs::remove_file(&beside).ok();
    made.err().as_ref().and_then(Trouble::of)
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
