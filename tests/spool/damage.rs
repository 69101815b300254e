//! Files that a disk has spoilt.

use std::path::{Path, PathBuf};

use weir::model::kept::{Lane, Outgoing, StateChange, StateKey, Why};
use weir::model::label::Fingerprint;
use weir::model::ranges::Ranges;
use weir::spool::{Commit, Config, Loaded, Spool, StoredSetChange};

use crate::model::NOW;

/// A killed agent's file: what it committed lies in the log as well.
fn left_behind(dir: &Path) -> PathBuf {
    let live = dir.join("live");
    std::fs::create_dir(&live).unwrap();
    let path = live.join("spool.db");
    let (mut spool, _) = Spool::open(&path, &Config::default(), NOW).unwrap();
    for i in 0..400_u64 {
        let key = StateKey { ruleset: "s".into(), rule: "r".into(), fingerprint: Fingerprint(i) };
        let body = vec![b'x'; 600];
        let one = Outgoing { body: body.clone(), fingerprint: Fingerprint(i), rank: 1, urgent: false };
        let mut commit = Commit {
            transitions: vec![one],
            states: vec![StateChange { key, body: Some(body) }],
            ..Commit::default()
        };
        if i == 3 {
            let body = Some(b"rules".repeat(2_000));
            commit.rulesets.push(StoredSetChange { name: "s".into(), body });
            commit.snapshot = Some(b"windows".to_vec());
        }
        spool.commit(&commit, NOW).unwrap();
    }
    let state = dir.join("state");
    std::fs::create_dir(&state).unwrap();
    for name in ["spool.db", "spool.db-wal"] {
        std::fs::copy(live.join(name), state.join(name)).unwrap();
    }
    state.join("spool.db")
}

fn open(path: &Path, seconds: i64) -> (Spool, Loaded) {
    let mut time = NOW;
    time.wall = time.wall.plus(std::time::Duration::from_secs(seconds.unsigned_abs()));
    Spool::open(path, &Config::default(), time).unwrap()
}

fn spoil(path: &Path, from: usize, length: usize) {
    let mut bytes = std::fs::read(path).unwrap();
    let end = (from + length).min(bytes.len());
    bytes[from..end].iter_mut().enumerate().for_each(|(i, byte)| *byte = (i * 7) as u8 ^ 0x5a);
    std::fs::write(path, bytes).unwrap();
}

fn aside(path: &Path) -> Vec<String> {
    let mut found: Vec<String> = std::fs::read_dir(path.parent().unwrap())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.contains("damaged"))
        .collect();
    found.sort();
    found
}

fn waiting(spool: &Spool) -> usize {
    spool.peek(Lane::Both, &Ranges::default(), u64::MAX, usize::MAX, usize::MAX).unwrap().len()
}

#[test]
fn what_is_left_behind_is_sound() {
    let _turn = faults::turn();
    faults::install();
    let dir = tempfile::tempdir().unwrap();
    let path = left_behind(dir.path());
    let (spool, loaded) = open(&path, 0);
    assert!(spool.renewed().is_none());
    assert_eq!((waiting(&spool), loaded.states.len(), loaded.rulesets.len()), (400, 400, 1));
}

#[test]
fn a_damaged_file_is_set_aside_and_its_rules_go_on() {
    let _turn = faults::turn();
    faults::install();
    let dir = tempfile::tempdir().unwrap();
    let path = left_behind(dir.path());
    let epoch = {
        let (spool, _) = open(&path, 0);
        spool.epoch()
    };
    // Pages in the middle: of the outbox and of states, as they were written by turns.
    let pages = std::fs::metadata(&path).unwrap().len() / 4_096;
    for page in (pages / 2..pages / 2 + 3).chain([pages - 3]) {
        spoil(&path, usize::try_from(page * 4_096).unwrap(), 4_096);
    }
    let (mut spool, loaded) = open(&path, 10);
    let renewed = spool.renewed().unwrap().clone();
    assert_eq!((renewed.why, renewed.before), (Why::Damaged, epoch));
    assert!(renewed.note.contains("1 rule sets"), "{}", renewed.note);
    assert_ne!(spool.epoch(), epoch);
    assert_eq!(loaded.rulesets, [("s".into(), b"rules".repeat(2_000))]);
    assert_eq!(loaded.snapshot.as_deref(), Some(&b"windows"[..]));
    assert!(loaded.states.len() > 100 && loaded.states.len() < 400, "{}", loaded.states.len());
    assert_eq!((spool.newest(), waiting(&spool)), (0, 0));
    assert_eq!(aside(&path).iter().filter(|name| !name.ends_with("-wal")).count(), 1);
    spool.commit(&Commit::default(), NOW).unwrap();
    drop(spool);
    assert_eq!(open(&path, 20).0.renewed(), Some(&renewed), "it is said until the epoch ends");
}

#[test]
fn a_log_that_broke_in_the_middle_is_seen() {
    let _turn = faults::turn();
    faults::install();
    for (at, of) in [(8, "header"), (32 + 5 * 4_120 + 300, "frame")] {
        let dir = tempfile::tempdir().unwrap();
        let path = left_behind(dir.path());
        let log = path.with_extension("db-wal");
        assert!(std::fs::metadata(&log).unwrap().len() > 50 * 4_120);
        spoil(&log, at, 4);
        let (spool, loaded) = open(&path, 0);
        assert_eq!(spool.renewed().map(|renewed| renewed.why), Some(Why::Damaged), "{of}");
        assert_eq!(loaded.rulesets.len(), 1, "{of}");
        assert_eq!(aside(&path).len(), 2, "{of}: with its log");
    }
}

#[test]
fn two_damaged_files_stay() {
    let _turn = faults::turn();
    faults::install();
    let dir = tempfile::tempdir().unwrap();
    let path = left_behind(dir.path());
    for seconds in 0..4 {
        std::fs::write(&path, b"no database".repeat(1_000)).unwrap();
        let (spool, _) = open(&path, seconds);
        let before = spool.renewed().unwrap().before;
        assert_eq!(before, 0);
    }
    let found = aside(&path);
    let names: Vec<_> = found.iter().filter(|name| !name.ends_with("-wal")).collect();
    assert_eq!(names, ["spool.db.damaged-1800000002", "spool.db.damaged-1800000003"]);
}

#[test]
fn a_fresh_file_that_is_ready_takes_the_place() {
    let _turn = faults::turn();
    faults::install();
    let dir = tempfile::tempdir().unwrap();
    let path = left_behind(dir.path());
    let other = dir.path().join("other.db");
    let epoch = open(&other, 0).0.epoch();
    std::fs::rename(&other, path.with_extension("db.ready")).unwrap();
    let (spool, _) = open(&path, 0);
    assert_eq!(spool.epoch(), epoch, "the log of the one before is not taken for its own");
    assert_eq!(aside(&path).len(), 2);
}
