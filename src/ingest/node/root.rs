//! Where the kernel's files are, and reading them. A file that is missing is no error: the machine
//! does not offer what it would say.

use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::Config;

#[derive(Debug)]
pub(super) struct Roots {
    proc_root: PathBuf,
    sys_root: PathBuf,
    host_root: PathBuf,
    cgroup_root: PathBuf,
    /// What the kernel says of the agent itself, wherever the machine's files are.
    own: PathBuf,
    /// Whose mounts and network are the machine's: our own, or, seen from a container, those of
    /// the first process.
    process: &'static str,
}

impl Roots {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            proc_root: config.proc_root.clone(),
            sys_root: config.sys_root.clone(),
            host_root: config.host_root.clone(),
            cgroup_root: config.cgroup_root.clone(),
            own: "/proc/self".into(),
            process: if config.proc_root == Path::new("/proc") { "self" } else { "1" },
        }
    }

    /// A file of `/proc`, or nothing.
    pub(super) fn proc_text(&self, name: &str) -> String {
        read(&self.proc_root.join(name))
    }

    /// A file of the process that stands for the machine, or else the one at the top.
    pub(super) fn process_text(&self, name: &str) -> String {
        let own = self.proc_text(&format!("{}/{name}", self.process));
        if own.is_empty() { self.proc_text(name) } else { own }
    }

    /// A file of the agent's own process.
    pub(super) fn own_text(&self, name: &str) -> String {
        read(&self.own.join(name))
    }

    /// Where the control groups are.
    pub(super) fn groups(&self) -> &Path {
        &self.cgroup_root
    }

    /// The same, with the agent's own process elsewhere.
    #[cfg(test)]
    pub(super) fn of_process(self, own: PathBuf) -> Self {
        Self { own, ..self }
    }

    /// A path below `/sys`.
    pub(super) fn sys(&self, name: &str) -> PathBuf {
        self.sys_root.join(name)
    }

    /// Where something mounted at `mount` is seen from here.
    pub(super) fn host(&self, mount: &str) -> PathBuf {
        self.host_root.join(mount.trim_start_matches('/'))
    }
}

/// A file's text, or nothing.
pub(super) fn read(path: &Path) -> String {
    fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}

/// The only value in a file.
pub(super) fn value<T: FromStr>(path: &Path) -> Option<T> {
    read(path).trim().parse().ok()
}

/// The entries of a folder that begin with `prefix`, sorted by the number that follows, so that
/// the order is the same each time.
pub(super) fn numbered(folder: &Path, prefix: &str) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut found: Vec<(u64, PathBuf)> = entries
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name();
            let number = name.to_str()?.strip_prefix(prefix)?.parse().ok()?;
            Some((number, entry.path()))
        })
        .collect();
    found.sort();
    found.into_iter().map(|(_, path)| path).collect()
}
