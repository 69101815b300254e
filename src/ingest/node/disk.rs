//! Mounted file systems that lie on a device, and how full they are.

use std::collections::BTreeMap;

use rustix::fs::{StatVfs, statvfs};

use super::root::Roots;
use super::row::{Row, percent};

/// A line of the mount table.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Mount {
    device: String,
    at: String,
    fs: String,
}

/// The rows of the stream `node_disk`. A device that is mounted in several places is listed once,
/// where its path is shortest.
pub(super) fn rows(roots: &Roots) -> Vec<Row> {
    mounts(&roots.process_text("mounts"))
        .iter()
        .filter_map(|mount| {
            let path = roots.host(&mount.at);
            // A container's `/etc/hosts` is a mount too, of a file.
            if !path.is_dir() {
                return None;
            }
            let stat = statvfs(&path).ok()?;
            Some(row(mount, &stat))
        })
        .collect()
}

fn row(mount: &Mount, stat: &StatVfs) -> Row {
    let bytes = |blocks: u64| blocks.saturating_mul(stat.f_frsize);
    let used = stat.f_blocks.saturating_sub(stat.f_bfree);
    let fixed = stat.f_files > 0;
    let inodes = fixed.then_some(stat.f_files);
    let inodes_used = fixed.then(|| stat.f_files.saturating_sub(stat.f_ffree));
    Row::default()
        .text("mount", &mount.at)
        .text("device", &mount.device)
        .text("fs", &mount.fs)
        .int("total", Some(bytes(stat.f_blocks)))
        .int("used", Some(bytes(used)))
        .int("available", Some(bytes(stat.f_bavail)))
        .float("used_pct", percent(Some(used), Some(used.saturating_add(stat.f_bavail))))
        .int("inodes_total", inodes)
        .int("inodes_used", inodes_used)
        .float("inodes_used_pct", percent(inodes_used, inodes))
}

fn mounts(table: &str) -> Vec<Mount> {
    let mut by_device: BTreeMap<String, Mount> = BTreeMap::new();
    for line in table.lines() {
        let mut words = line.split_ascii_whitespace();
        let (Some(device), Some(at), Some(fs)) = (words.next(), words.next(), words.next()) else {
            continue;
        };
        let Some(name) = device.strip_prefix("/dev/") else {
            continue;
        };
        if super::diskio::is_virtual(name) {
            continue;
        }
        let mount = Mount { device: unescape(device), at: unescape(at), fs: fs.to_owned() };
        let known = by_device.entry(mount.device.clone()).or_insert_with(|| mount.clone());
        if mount.at.len() < known.at.len() {
            *known = mount;
        }
    }
    let mut mounts: Vec<Mount> = by_device.into_values().collect();
    mounts.sort_by(|a, b| a.at.cmp(&b.at));
    mounts
}

/// Undoes the table's way of writing blanks: a backslash and three octal digits.
fn unescape(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let octal = (*byte == b'\\')
            .then(|| text.get(at + 1..at + 4))
            .flatten()
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match octal {
            Some(code) => {
                out.push(code);
                at += 4;
            }
            None => {
                out.push(*byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_listed_once_and_pseudo_file_systems_not_at_all() {
        let table = "proc /proc proc rw 0 0\n/dev/sda2 /var/lib/kubelet/x ext4 rw 0 0\n/dev/sda2 / ext4 rw 0 0\n\
                     /dev/loop3 /snap/core squashfs ro 0 0\ntmpfs /run tmpfs rw 0 0\n/dev/sdb1 /mnt/my\\040data vfat rw 0 0\nbroken\n";
        let found: Vec<(String, String)> = mounts(table).into_iter().map(|m| (m.device, m.at)).collect();
        let expected = [("/dev/sda2", "/"), ("/dev/sdb1", "/mnt/my data")];
        assert_eq!(found, expected.map(|(d, m)| (d.to_owned(), m.to_owned())));
    }

    #[test]
    fn fullness_is_what_ordinary_users_see() {
        let mut stat = statvfs("/").unwrap();
        (stat.f_frsize, stat.f_blocks, stat.f_bfree, stat.f_bavail) = (4_096, 1_000, 400, 350);
        (stat.f_files, stat.f_ffree) = (200, 50);
        let mount = Mount { device: "/dev/sda1".into(), at: "/".into(), fs: "ext4".into() };
        let json = row(&mount, &stat).into_json();
        assert_eq!(json["total"], 4_096_000);
        assert_eq!(json["used"], 2_457_600);
        assert_eq!(json["available"], 1_433_600);
        assert_eq!(json["used_pct"], 63.158);
        assert_eq!(
            (&json["inodes_total"], &json["inodes_used"], &json["inodes_used_pct"]),
            (&200.into(), &150.into(), &75.0.into())
        );

        (stat.f_files, stat.f_ffree) = (0, 0);
        let json = row(&mount, &stat).into_json();
        assert!(
            json["inodes_total"].is_null()
                && json["inodes_used"].is_null()
                && json["inodes_used_pct"].is_null()
        );
    }
}
