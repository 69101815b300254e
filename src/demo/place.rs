//! Where a demo keeps its files: a directory that goes with it, unless somebody wants to keep it.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// A directory for the demo's files.
pub(super) struct Place {
    dir: PathBuf,
    keep: bool,
}

impl Place {
    /// The directory to keep, which must be new or empty, or one that is removed when this value
    /// is dropped.
    pub(super) fn make(keep: Option<&Path>) -> Result<Self> {
        if let Some(dir) = keep {
            fs::create_dir_all(dir).with_context(|| format!("make {}", dir.display()))?;
            if fs::read_dir(dir).with_context(|| format!("read {}", dir.display()))?.next().is_some() {
                bail!("{} is not empty; name a directory that is, or that is not there yet", dir.display());
            }
            let dir = dir.canonicalize().with_context(|| format!("read {}", dir.display()))?;
            return Ok(Self { dir, keep: true });
        }
        let dir = std::env::temp_dir().join(format!("weir-demo-{:012x}", fastrand::u64(..1 << 48)));
        fs::DirBuilder::new().mode(0o700).create(&dir).with_context(|| format!("make {}", dir.display()))?;
        Ok(Self { dir, keep: false })
    }

    pub(super) fn join(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// The directory, where it stays.
    pub(super) fn kept(&self) -> Option<&Path> {
        self.keep.then_some(&*self.dir)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if !self.keep
            && let Err(error) = fs::remove_dir_all(&self.dir)
        {
            tracing::warn!(dir = %self.dir.display(), %error, "the demo's files could not be removed");
        }
    }
}

/// Writes a file that only its owner may read.
pub(super) fn write_private(path: &Path, text: &str) -> Result<()> {
    let mut options = fs::OpenOptions::new();
    let opened = options.write(true).create_new(true).mode(0o600).open(path);
    let written = opened.and_then(|mut file| file.write_all(text.as_bytes()));
    written.with_context(|| format!("write {}", path.display()))
}
