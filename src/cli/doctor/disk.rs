//! The place of the agent's state: whether it can be written, how much room there is, how fast it is, and whether it
//! lasts.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{StatVfsMountFlags, statvfs};

use super::report::{Line, ok, problem, warning};
use crate::cli::status::bytes;
use crate::clock;
use crate::config::AgentConfig;

const CHECK: &str = "disk";

/// Room that an agent needs beside the outbox: states, a snapshot, the log of the database.
const BESIDE: u64 = 32 << 20;
/// Less room than this is none.
const NOTHING: u64 = 1 << 20;
/// Fewer free inodes than this are none: the database makes files as it goes.
const FEW_INODES: u64 = 16;
/// A disk that takes longer than this to keep something is a slow one: each alert waits for it.
const SLOW: Duration = Duration::from_millis(100);
/// How often a write is tried.
const TRIES: usize = 5;

/// Looks at the state directory.
pub(super) fn look(config: &AgentConfig) -> Vec<Line> {
    let dir = &config.agent.state_dir;
    let shown = dir.display();
    let there = match fs::metadata(dir) {
        Ok(meta) if meta.is_dir() => true,
        Ok(_) => {
            return vec![problem(
                CHECK,
                format!("{shown} is no directory"),
                "move the file away, or set `agent.state_dir` to another place",
            )];
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => false,
        Err(error) => return vec![refused(dir, &error)],
    };
    let place = if there { dir.clone() } else { nearest(dir) };
    let mount = fs::read_to_string("/proc/self/mountinfo").ok().and_then(|text| Mount::of(&text, &place));
    let mut lines = Vec::new();
    let kind = mount.as_ref().map_or("", |mount| &*mount.kind);
    lines.extend(lasting(dir, kind));
    let room = match statvfs(&place) {
        Ok(stat) => {
            if stat.f_flag.contains(StatVfsMountFlags::RDONLY) {
                let at = mount.map_or_else(|| shown.to_string(), |mount| mount.point);
                lines.push(problem(
                    CHECK,
                    format!("the file system of {shown} is mounted read-only"),
                    format!(
                        "look at `dmesg` for errors of the disk (a file system that is damaged is made read-only), then `mount -o remount,rw {at}`; or set `agent.state_dir` to another place"
                    ),
                ));
                return lines;
            }
            let free = stat.f_bavail.saturating_mul(stat.f_frsize);
            let inodes = (stat.f_files > 0).then_some(stat.f_favail);
            lines.extend(short_of(config, free, inodes));
            format!("{} free", bytes(free))
        }
        Err(error) => format!("free room not known ({error})"),
    };
    let on = if kind.is_empty() { String::new() } else { format!(" on {kind}") };
    match there {
        false => match fs::metadata(&place).map(|meta| may_write(&meta)) {
            Ok(true) => lines.push(ok(CHECK, format!("{shown} is made at the first start{on}; {room}"))),
            _ => lines.push(problem(
                CHECK,
                format!("{shown} is not there, and you may not make it"),
                format!("`mkdir -p {shown}` as root, and give it to the user that the agent runs as"),
            )),
        },
        true => match write(dir) {
            Ok(took) if took > SLOW => lines.push(warning(
                CHECK,
                format!("{shown}{on}: {room}; it takes {} until a write is on the disk", millis(took)),
                "every alert waits that long before it is kept: see what else writes there, or choose another disk",
            )),
            Ok(took) => lines.push(ok(
                CHECK,
                format!("{shown}{on}: {room}; a write is on the disk within {}", millis(took)),
            )),
            Err(error) => lines.push(refused(dir, &error)),
        },
    }
    lines
}

/// Whether what is written there is there tomorrow.
fn lasting(dir: &Path, kind: &str) -> Option<Line> {
    let shown = dir.display();
    let elsewhere = "set `agent.state_dir` to a place on a disk";
    match kind {
        "tmpfs" | "ramfs" => Some(warning(
            CHECK,
            format!(
                "{shown} lies in memory ({kind}): alerts that wait for the hub do not survive a restart of the machine"
            ),
            elsewhere,
        )),
        "overlay" | "overlayfs" | "aufs" => Some(warning(
            CHECK,
            format!("{shown} lies in a container's own layer ({kind}): it goes with the container"),
            format!("mount a volume at {shown}, or {elsewhere}"),
        )),
        "nfs" | "nfs4" | "cifs" | "smb3" | "9p" | "ceph" | "glusterfs" | "fuse.sshfs" | "fuse.glusterfs" => {
            Some(warning(
                CHECK,
                format!(
                    "{shown} lies on another machine ({kind}): without the network nothing can be kept, and locks may not hold"
                ),
                elsewhere,
            ))
        }
        "vfat" | "exfat" | "msdos" => Some(warning(
            CHECK,
            format!("{shown} lies on {kind}, which may be damaged where power is lost"),
            format!("{elsewhere} with ext4 or f2fs"),
        )),
        _ => None,
    }
}

/// Whether there is room for all that may come.
fn short_of(config: &AgentConfig, free: u64, inodes: Option<u64>) -> Vec<Line> {
    let mut lines = Vec::new();
    let dir = config.agent.state_dir.display();
    let held = fs::metadata(config.spool_path()).map_or(0, |meta| meta.len());
    let wanted = config.spool.max_bytes.saturating_add(BESIDE).saturating_sub(held);
    if free < NOTHING {
        lines.push(problem(
            CHECK,
            format!("the disk of {dir} is full: {} free", bytes(free)),
            "make room (`du -xh / | sort -h | tail`): until then nothing can be kept, and alerts only wait in memory",
        ));
    } else if free < wanted {
        lines.push(warning(
            CHECK,
            format!("{} are free, and the outbox may grow by {}", bytes(free), bytes(wanted)),
            "make room, or lower `spool.max_bytes`: a full disk keeps no alert",
        ));
    }
    if inodes.is_some_and(|free| free < FEW_INODES) {
        lines.push(problem(
            CHECK,
            format!("the file system of {dir} has no room for more files (inodes)"),
            "remove what is not needed: many small files use them up (`df -i` shows it)",
        ));
    }
    lines
}

/// Why nothing can be written there, and what to do.
fn refused(dir: &Path, error: &io::Error) -> Line {
    let shown = dir.display();
    let found = format!("{shown} cannot be written: {error}");
    let advice = match error.kind() {
        io::ErrorKind::PermissionDenied => {
            let owner = fs::metadata(dir).map(|meta| meta.uid()).ok();
            match owner {
                Some(uid) => format!(
                    "run this as the user that the agent runs as (the directory is that of user {uid}), or as root"
                ),
                None => "run this as the user that the agent runs as, or as root".to_owned(),
            }
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "make room: until then nothing can be kept, and alerts only wait in memory".to_owned()
        }
        io::ErrorKind::ReadOnlyFilesystem => {
            "mount it for writing, or set `agent.state_dir` to another place".to_owned()
        }
        _ => "look at `dmesg`: the disk may be failing".to_owned(),
    };
    problem(CHECK, found, advice)
}

/// Writes something small and waits until it is on the disk; gives how long that takes, as the median of a few.
fn write(dir: &Path) -> io::Result<Duration> {
    let path = dir.join(format!(".weir-doctor-{}", std::process::id()));
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
    let took = timed(file);
    fs::remove_file(&path)?;
    took
}

fn timed(mut file: File) -> io::Result<Duration> {
    let mut took = Vec::new();
    for _ in 0..TRIES {
        let began = clock::nanos();
        file.write_all(&[0x5a; 4_096])?;
        file.sync_all()?;
        took.push(clock::nanos().saturating_sub(began));
    }
    took.sort_unstable();
    Ok(Duration::from_nanos(took.get(TRIES / 2).copied().unwrap_or(0)))
}

/// The first directory above that is there.
fn nearest(dir: &Path) -> PathBuf {
    dir.ancestors().skip(1).find(|dir| dir.is_dir()).unwrap_or_else(|| Path::new("/")).to_owned()
}

/// Whether this process may write into a directory, by its owner and mode.
fn may_write(meta: &fs::Metadata) -> bool {
    let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    uid == 0 || allowed(meta, uid, gid, 0o2)
}

/// Whether a user may do something (4 reads, 2 writes) with a file, by its owner and mode.
pub(super) fn allowed(meta: &fs::Metadata, uid: u32, gid: u32, what: u32) -> bool {
    let shift = if meta.uid() == uid {
        6
    } else if meta.gid() == gid {
        3
    } else {
        0
    };
    uid == 0 || meta.mode() >> shift & what == what
}

/// A time for people.
pub(super) fn millis(span: Duration) -> String {
    match span.as_micros() {
        0..1_000 => format!("{} µs", span.as_micros()),
        1_000..10_000 => format!("{:.1} ms", span.as_secs_f64() * 1e3),
        _ => format!("{} ms", span.as_millis()),
    }
}

/// A mounted file system.
#[derive(Debug, PartialEq, Eq)]
struct Mount {
    point: String,
    kind: String,
}

impl Mount {
    /// The one that a path lies on, from `/proc/self/mountinfo`.
    fn of(mounts: &str, path: &Path) -> Option<Self> {
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let found = mounts.lines().filter_map(|line| {
            let (before, after) = line.split_once(" - ")?;
            let point = before.split(' ').nth(4)?.replace("\\040", " ");
            let kind = after.split(' ').next()?;
            path.starts_with(&point).then(|| Self { point, kind: kind.to_owned() })
        });
        // The last of those that are as deep lies on top.
        found.enumerate().max_by_key(|(at, mount)| (mount.point.len(), *at)).map(|(_, mount)| mount)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_deepest_and_last_mount_is_the_one() {
        let mounts = "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n\
                      30 22 0:25 / /nowhere/state rw - tmpfs tmpfs rw\n\
                      31 22 0:26 / /nowhere/state rw - nfs4 box:/x rw\n\
                      32 22 0:27 / /nowhere/st rw - vfat /dev/sdb rw\n";
        let of = |path: &str| Mount::of(mounts, Path::new(path)).unwrap().kind;
        assert_eq!(of("/nowhere/state/weir"), "nfs4");
        assert_eq!(of("/nowhere/stately"), "ext4");
        assert_eq!(of("/nowhere/st/x"), "vfat");
    }

    #[test]
    fn what_does_not_last_is_said() {
        let dir = Path::new("/var/lib/weir");
        for (kind, part) in [("tmpfs", "in memory"), ("overlay", "container"), ("nfs4", "another machine")] {
            assert!(lasting(dir, kind).unwrap().found.contains(part), "{kind}");
        }
        assert_eq!(lasting(dir, "ext4"), None);
        assert_eq!(lasting(dir, ""), None);
    }

    #[test]
    fn room_is_held_against_what_may_come() {
        let mut config = AgentConfig::default();
        config.agent.state_dir = "/nowhere".into();
        let marks = |free: u64, inodes| {
            let lines = short_of(&config, free, inodes);
            lines.into_iter().map(|line| line.found).collect::<Vec<_>>().join("; ")
        };
        assert_eq!(marks(1 << 40, Some(1_000)), "");
        assert_eq!(marks(1 << 40, None), "");
        assert!(marks(1_000, None).contains("is full"));
        assert!(marks(50 << 20, None).contains("may grow by"));
        assert!(marks(1 << 40, Some(3)).contains("inodes"));
    }
}
