//! Why the spool cannot go on, and what to do about it.

use std::io;
use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;

use super::Trouble;

/// Why the spool cannot go on. What cannot be made durable must not be acknowledged; by its [`Kind`] the agent tells
/// whether waiting may help.
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
    /// The file is no spool any more, and could not be set aside.
    #[error(
        "open the spool {path}: it is damaged ({source}); move it away to start anew (alerts that wait in it, the states of alerts, and rules until the hub sends them again are then lost), and check the disk"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// SQLite's own words.
        source: rusqlite::Error,
    },
    /// A damaged file could not be set aside.
    #[error("set the damaged spool {path} aside: {source}; move it away, and check the disk")]
    Aside {
        /// The file.
        path: PathBuf,
        /// The system's own words.
        source: io::Error,
    },
    /// The file cannot be opened or made.
    #[error(
        "open the spool {path}: {source}; {}",
        way_out(kind(source), "check that the directory exists and the agent may write there")
    )]
    Open {
        /// The file.
        path: PathBuf,
        /// SQLite's own words.
        source: rusqlite::Error,
    },
    /// The file is older, and cannot be copied to be looked into.
    #[error("look into an older spool: make a copy of it at {path}: {why}; set TMPDIR to a place with room")]
    Copy {
        /// Where to.
        path: PathBuf,
        /// What the system said.
        why: String,
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
    /// The disk takes nothing, so another stands in for the file.
    #[error("open the spool {path}: {}", away(*.trouble))]
    Away {
        /// The file.
        path: PathBuf,
        /// What is wrong with the disk.
        trouble: Trouble,
    },
    /// The file is not the one that something stood in for.
    #[error("the spool {path} is another one than at the start: the agent has to start anew")]
    Replaced {
        /// The file.
        path: PathBuf,
    },
    /// SQLite failed under way.
    #[error("write the spool: {}; {}", .0, way_out(kind(.0), "check the disk"))]
    Sqlite(#[from] rusqlite::Error),
}

/// What kind of trouble it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The disk is full: it may have room again.
    Full,
    /// The file or its file system takes no writes.
    ReadOnly,
    /// The disk does not do what it is told.
    Io,
    /// The file is no spool any more: [`Spool::open`] sets it aside at the next start.
    ///
    /// [`Spool::open`]: super::Spool::open
    Damaged,
    /// Anything else.
    Other,
}

impl Error {
    /// What kind of trouble it is.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Sqlite(source) | Self::Open { source, .. } => kind(source),
            Self::Damaged { .. } => Kind::Damaged,
            Self::Aside { source, .. } => match source.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Kind::Full,
                io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => Kind::ReadOnly,
                _ => Kind::Io,
            },
            Self::Away { trouble, .. } => match trouble {
                Trouble::Full => Kind::Full,
                Trouble::ReadOnly => Kind::ReadOnly,
                Trouble::Io => Kind::Io,
            },
            Self::Taken { .. } | Self::Copy { .. } | Self::Newer { .. } | Self::Replaced { .. } => {
                Kind::Other
            }
        }
    }

    /// Tells a file that is taken or damaged from one that cannot be opened for other reasons.
    pub(super) fn at(self, path: &Path) -> Self {
        let (Self::Open { source, .. } | Self::Sqlite(source)) = self else { return self };
        let path = path.to_owned();
        match source.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Taken { path },
            _ if kind(&source) == Kind::Damaged => Self::Damaged { path, source },
            _ => Self::Open { path, source },
        }
    }

    /// The file is not what it should be.
    pub(super) fn damaged(why: &str) -> Self {
        let corrupt = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT);
        Self::Sqlite(rusqlite::Error::SqliteFailure(corrupt, Some(why.to_owned())))
    }
}

fn kind(source: &rusqlite::Error) -> Kind {
    match source.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => Kind::Full,
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => Kind::ReadOnly,
        Some(ErrorCode::SystemIoFailure) => Kind::Io,
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Kind::Damaged,
        // A table or a figure that every file has is not there.
        Some(ErrorCode::Unknown) => Kind::Damaged,
        Some(_) => Kind::Other,
        // A value that this program never writes.
        None => Kind::Damaged,
    }
}

const fn away(trouble: Trouble) -> &'static str {
    match trouble {
        Trouble::Full => "the disk is full; make room",
        Trouble::ReadOnly => "the disk may only be read; mount it writable, or replace it",
        Trouble::Io => "the disk fails; check it, or replace it",
    }
}

/// What to do about it.
const fn way_out(kind: Kind, otherwise: &'static str) -> &'static str {
    match kind {
        Kind::Full => "the disk is full: make room on it",
        Kind::ReadOnly => "nothing can be written there: mount it writable, or let the agent write to it",
        Kind::Io => "the disk fails: check it, and the system's log",
        Kind::Damaged => "the file is damaged: it is set aside at the next start; check the disk",
        Kind::Other => otherwise,
    }
}
