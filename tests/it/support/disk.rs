//! A small disk of its own, which can be filled and emptied, and taken for reading only. Whoever is started through it
//! sees it; others do not.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// The disk, in a mount namespace of its own, for which nobody needs to be root.
pub(crate) struct SmallDisk {
    holder: Child,
    dir: PathBuf,
}

impl SmallDisk {
    /// One of so many kilobytes at a directory.
    pub(crate) fn new(dir: &Path, kilobytes: u32) -> Self {
        std::fs::create_dir_all(dir).unwrap();
        let script =
            format!("mount -t tmpfs -o size={kilobytes}k none '{}' && echo ready && exec cat", dir.display());
        let mut holder = Command::new("unshare")
            .args(["--user", "--map-root-user", "--mount", "sh", "-c", &script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(holder.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n", "a user may have a mount namespace here (unshare --user --mount)");
        Self { holder, dir: dir.to_owned() }
    }

    /// What to start a program through that is to see it.
    pub(crate) fn through(&self) -> Vec<String> {
        let pid = self.holder.id().to_string();
        ["nsenter", "--target", &pid, "--user", "--mount", "--preserve-credentials", "--"]
            .map(str::to_owned)
            .to_vec()
    }

    /// Fills it to the last byte.
    pub(crate) fn fill(&self) {
        self.shell("cat /dev/zero > \"$0/filler\" 2>/dev/null; true");
    }

    /// Makes room again.
    pub(crate) fn free(&self) {
        self.shell("rm \"$0/filler\"");
    }

    /// Lets it be read only, or written again. Nobody may have a file open there.
    pub(crate) fn read_only(&self, is: bool) {
        self.shell(if is { "mount -o remount,ro \"$0\"" } else { "mount -o remount,rw \"$0\"" });
    }

    fn shell(&self, script: &str) {
        let through = self.through();
        let status = Command::new(&through[0])
            .args(&through[1..])
            .args(["sh", "-c", script])
            .arg(&self.dir)
            .status()
            .unwrap();
        assert!(status.success(), "{script}");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // It ends when it has nothing more to read.
        drop(self.holder.stdin.take());
        self.holder.wait().unwrap();
    }
}
