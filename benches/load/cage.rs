//! What the program under test is held to: one core, so much memory.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::options::Options;

/// Where a control group of either version would be made, and the name of its bound.
const GROUPS: [(&str, &str); 2] =
    [("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max")];

/// Limits that end with it.
pub(crate) struct Cage {
    core: Option<usize>,
    group: Option<PathBuf>,
}

impl Cage {
    /// What the options ask for. A bound that this machine does not let us set is an error that
    /// says so: a figure without it would be taken for one with it.
    pub(crate) fn new(options: &Options) -> Self {
        let core = options.pin.then(|| std::thread::available_parallelism().map_or(1, usize::from) - 1);
        Self { core, group: options.memory.map(group) }
    }

    /// A program that runs `program` inside.
    pub(crate) fn around(&self, program: &Path, dir: &Path) -> PathBuf {
        if self.core.is_none() && self.group.is_none() {
            return program.to_owned();
        }
        // Questions about its state are asked with the same program, and stand outside.
        let mut script = String::from("#!/bin/sh\nif [ \"$1\" != status ]; then\n");
        if let Some(group) = &self.group {
            writeln!(script, "echo $$ > {}/cgroup.procs || exit 1", group.display()).unwrap();
        }
        let pinned = self.core.map_or(String::new(), |core| format!("taskset -c {core} "));
        write!(script, "exec {pinned}{0} \"$@\"\nfi\nexec {0} \"$@\"\n", program.display()).unwrap();
        let path = dir.join("caged");
        fs::write(&path, script).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }
}

fn group(bytes: u64) -> PathBuf {
    let mut said = Vec::new();
    for (root, bound) in GROUPS {
        let path = Path::new(root).join(format!("weir-load-{}-{:x}", std::process::id(), fastrand::u32(..)));
        match fs::create_dir(&path).and_then(|()| fs::write(path.join(bound), bytes.to_string())) {
            Ok(()) => return path,
            Err(error) => said.push(format!("{}: {error}", path.display())),
        }
    }
    panic!("--memory needs a control group that can be made: {}", said.join("; "));
}

impl Drop for Cage {
    fn drop(&mut self) {
        if let Some(group) = &self.group {
            // It can be removed only after its processes; one that stays holds nothing.
            drop(fs::remove_dir(group));
        }
    }
}
