//! What is to fail, and what of the files is safe.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

/// What a disk writes whole or not at all.
const SECTOR: u64 = 512;

/// How calls fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// Writes find no room.
    Full,
    /// Writes find room for the half.
    Half,
    /// Any call gives an I/O error; a failed sync may have lost what it was to sync.
    Io,
    /// No call comes through any more: the power went.
    Power,
}

/// Which calls fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// How.
    pub what: What,
    /// The first call that fails, from 1.
    pub at: u64,
    /// How many calls fail from there on.
    pub times: u64,
}

/// A call, as far as its failure is its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    Open,
    Read,
    Write,
    Truncate,
    Sync,
    Size,
    Delete,
}

/// What becomes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Passes,
    /// It does half of what it should, and finds the disk full.
    Half,
    Full,
    Fails,
}

/// What is safe of a file.
#[derive(Default)]
pub(crate) struct Safe {
    bytes: Vec<u8>,
    /// Sectors that were written since.
    dirty: BTreeSet<u64>,
}

#[derive(Default)]
pub(crate) struct State {
    plan: Option<Plan>,
    calls: u64,
    pub(crate) struck: bool,
    pub(crate) bytes: u64,
    pub(crate) syncs: u64,
    pub(crate) files: BTreeMap<PathBuf, Safe>,
    random: Option<fastrand::Rng>,
}

static STATE: Mutex<Option<State>> = Mutex::new(None);

pub(crate) fn with<T>(run: impl FnOnce(&mut State) -> T) -> T {
    run(STATE.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_default())
}

impl State {
    pub(crate) fn arm(&mut self, plan: Option<Plan>) {
        // The same plan fails in the same way each time.
        self.random = plan.map(|plan| fastrand::Rng::with_seed(plan.at));
        (self.plan, self.calls, self.struck) = (plan, 0, false);
    }

    pub(crate) fn fate(&mut self, call: Call) -> Fate {
        let Some(plan) = self.plan else { return Fate::Passes };
        // A full disk hinders writes alone, so they alone are counted.
        if matches!(plan.what, What::Full | What::Half) && call != Call::Write {
            return Fate::Passes;
        }
        self.calls += 1;
        if self.calls < plan.at || self.calls - plan.at >= plan.times {
            return Fate::Passes;
        }
        let fate = match plan.what {
            What::Full => Fate::Full,
            What::Half => Fate::Half,
            What::Io | What::Power => Fate::Fails,
        };
        self.struck |= fate != Fate::Passes;
        if fate != Fate::Passes && plan.what != What::Power && std::env::var_os("FAULTS_LOG").is_some() {
            println!("call {} fails: {call:?}", self.calls);
        }
        fate
    }

    /// A file is opened, which may be there already.
    pub(crate) fn opened(&mut self, path: PathBuf) {
        let bytes = std::fs::read(&path).unwrap_or_default();
        self.files.entry(path).or_insert_with(|| Safe { bytes, dirty: BTreeSet::new() });
    }

    pub(crate) fn wrote(&mut self, path: &PathBuf, offset: u64, length: u64) {
        self.bytes += length;
        if let Some(file) = self.files.get_mut(path) {
            file.dirty.extend(offset / SECTOR..(offset + length).div_ceil(SECTOR));
        }
    }

    /// What was written is safe.
    pub(crate) fn synced(&mut self, path: &PathBuf) {
        self.syncs += 1;
        if let Some(file) = self.files.get_mut(path) {
            let dirty = std::mem::take(&mut file.dirty);
            // A file that cannot be read is as it was.
            drop(file.save(path, dirty));
        }
    }

    /// A sync failed: some is safe, some will never be, unless it is written again.
    pub(crate) fn not_synced(&mut self, path: &PathBuf) {
        let mut random = self.random.take().unwrap_or_default();
        if let Some(file) = self.files.get_mut(path) {
            let dirty = std::mem::take(&mut file.dirty);
            let safe = dirty.into_iter().filter(|_| random.bool()).collect();
            drop(file.save(path, safe));
        }
        self.random = Some(random);
    }

    pub(crate) fn deleted(&mut self, path: &PathBuf) {
        self.files.remove(path);
    }

    pub(crate) fn lose_power(&mut self, random: &mut fastrand::Rng) -> io::Result<()> {
        for (path, safe) in &mut self.files {
            if !path.exists() {
                continue;
            }
            let kept = safe.dirty.iter().copied().filter(|_| random.bool()).collect();
            safe.dirty.clear();
            let length = std::fs::metadata(path)?.len();
            safe.save(path, kept)?;
            // How long the file is, is told by itself.
            if random.bool() && safe.bytes.len() as u64 <= length {
                safe.bytes.resize(usize::try_from(length).unwrap_or(usize::MAX), 0);
            }
            std::fs::write(path, &safe.bytes)?;
        }
        Ok(())
    }
}

impl Safe {
    /// These sectors are safe as the file has them.
    fn save(&mut self, path: &PathBuf, sectors: BTreeSet<u64>) -> io::Result<()> {
        let file: File = OpenOptions::new().read(true).open(path)?;
        let length = file.metadata()?.len();
        if length < self.bytes.len() as u64 {
            self.bytes.truncate(usize::try_from(length).unwrap_or(usize::MAX));
        }
        for sector in sectors {
            let start = sector * SECTOR;
            let end = (start + SECTOR).min(length);
            if start >= end {
                continue;
            }
            let (from, upto) = (start as usize, end as usize);
            if self.bytes.len() < upto {
                self.bytes.resize(upto, 0);
            }
            file.read_exact_at(&mut self.bytes[from..upto], start)?;
        }
        Ok(())
    }
}
