//! The invariants of the module, each through reopening the file.

use std::path::PathBuf;

use super::*;
use crate::model::ranges::Range;
use crate::model::time::Timestamp;

fn open(dir: &tempfile::TempDir, max_bytes: u64) -> (Spool, Loaded) {
    let config = Config { max_bytes, ..Config::default() };
    Spool::open(&dir.path().join("spool.db"), &config, NOW).unwrap()
}

const NOW: SpoolTime =
    SpoolTime { boot: 1, since_boot_ms: 0, wall: Timestamp::from_millis(1_800_000_000_000) };

/// The number is the alert's; 0 for one of its own.
fn outgoing(body: &str, alert: u64, rank: u8, urgent: bool) -> Outgoing {
    Outgoing { body: body.as_bytes().to_vec(), fingerprint: Fingerprint(alert), rank, urgent }
}

fn transitions(bodies: &[&str]) -> Commit {
    Commit {
        transitions: bodies.iter().map(|body| outgoing(body, 0, 1, false)).collect(),
        ..Commit::default()
    }
}

fn texts(spool: &Spool, after: u64) -> Vec<(u64, String)> {
    let rows = spool.peek(Lane::Both, &Ranges::up_to(after), u64::MAX, 100, usize::MAX).unwrap();
    rows.into_iter().map(|row| (row.seq, String::from_utf8(row.body).unwrap())).collect()
}

fn lane(spool: &Spool, lane: Lane) -> Vec<u64> {
    let rows = spool.peek(lane, &Ranges::default(), u64::MAX, 100, usize::MAX).unwrap();
    rows.into_iter().map(|row| row.seq).collect()
}

fn evicted(spool: &Spool) -> Vec<Range> {
    spool.evicted(&Ranges::default(), u64::MAX, usize::MAX).unwrap()
}

fn put(spool: &mut Spool, transitions: Vec<Outgoing>) -> u64 {
    spool.commit(&Commit { transitions, ..Commit::default() }, NOW).unwrap()
}

#[test]
fn numbers_go_on_after_everything_was_acknowledged_and_the_file_reopened() {
    let dir = tempfile::tempdir().unwrap();
    let (mut spool, _) = open(&dir, 1 << 20);
    assert_eq!(spool.commit(&transitions(&["a", "b"]), NOW).unwrap(), 2);
    spool.forget(2, &[]).unwrap();
    let epoch = spool.epoch();
    drop(spool);
    let (mut spool, _) = open(&dir, 1 << 20);
    assert_eq!(spool.epoch(), epoch);
    assert_eq!(spool.stats(NOW).waiting, 0);
    assert_eq!(spool.commit(&transitions(&["c"]), NOW).unwrap(), 3);
    assert_eq!(texts(&spool, 0), [(3, "c".to_owned())]);
}

#[test]
fn everything_of_a_commit_is_there_after_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let (mut spool, _) = open(&dir, 1 << 20);
    let key = StateKey { ruleset: "s".into(), rule: "r".into(), fingerprint: Fingerprint(u64::MAX) };
    let seen = Seen { source: "b".into(), serial: 3, packet: 65_535, content: u64::MAX };
    let mut commit = transitions(&["a"]);
    commit.states.push(StateChange { key: key.clone(), body: Some(b"up".to_vec()) });
    commit.seen.push(seen.clone());
    commit.snapshot = Some(b"snap".to_vec());
    commit.rulesets.push(StoredSetChange { name: "s".into(), body: Some(b"rules".to_vec()) });
    spool.commit(&commit, NOW).unwrap();
    spool.commit(&Commit { journal: Some(b"one".to_vec()), ..Commit::default() }, NOW).unwrap();
    spool.commit(&Commit { journal: Some(b"two".to_vec()), ..Commit::default() }, NOW).unwrap();
    drop(spool);
    let (mut spool, loaded) = open(&dir, 1 << 20);
    assert_eq!(loaded.states, [(key.clone(), b"up".to_vec())]);
    assert_eq!(loaded.seen, [seen]);
    assert_eq!(loaded.snapshot.as_deref(), Some(&b"snap"[..]));
    assert_eq!(loaded.journal, [b"one".to_vec(), b"two".to_vec()]);
    assert_eq!(loaded.rulesets, [("s".into(), b"rules".to_vec())]);
    let gone = Commit {
        states: vec![StateChange { key, body: None }],
        forget_seen: vec!["b".into()],
        snapshot: Some(b"later".to_vec()),
        rulesets: vec![StoredSetChange { name: "s".into(), body: None }],
        ..Commit::default()
    };
    spool.commit(&gone, NOW).unwrap();
    drop(spool);
    let (_, loaded) = open(&dir, 1 << 20);
    assert!(loaded.states.is_empty() && loaded.seen.is_empty() && loaded.rulesets.is_empty());
    assert!(loaded.journal.is_empty());
}

#[test]
fn traces_are_a_ring_for_each_source_and_those_of_another_session_go() {
    let dir = tempfile::tempdir().unwrap();
    let (mut spool, _) = open(&dir, 1 << 20);
    let trace = |source: &str, serial: u64| Seen {
        source: source.into(),
        serial,
        packet: serial as u16,
        content: !serial,
    };
    let mut serial = 0;
    for count in [1, 500, 30, 700, 0, 5] {
        let seen = (serial..serial + count).map(|serial| trace("b", serial)).chain([trace("c", serial)]);
        spool.commit(&Commit { seen: seen.collect(), ..Commit::default() }, NOW).unwrap();
        serial += count;
    }
    drop(spool);
    let (mut spool, loaded) = open(&dir, 1 << 20);
    let of = |loaded: &Loaded, source: &str| -> Vec<Seen> {
        loaded.seen.iter().filter(|seen| &*seen.source == source).cloned().collect()
    };
    let b = of(&loaded, "b");
    assert!(b.len() >= 1_024 && b.len() < 2_048, "{}", b.len());
    assert_eq!(b, Vec::from_iter((serial - b.len() as u64..serial).map(|serial| trace("b", serial))));
    let (forget_seen, seen) = (vec!["b".into()], vec![trace("b", serial)]);
    spool.commit(&Commit { forget_seen, seen, ..Commit::default() }, NOW).unwrap();
    drop(spool);
    let (_, loaded) = open(&dir, 1 << 20);
    assert_eq!(of(&loaded, "b"), [trace("b", serial)]);
    assert!(!of(&loaded, "c").is_empty());
}

#[test]
fn over_the_bound_the_oldest_of_what_matters_least_go_and_leave_a_range() {
    let dir = tempfile::tempdir().unwrap();
    let (mut spool, _) = open(&dir, 8);
    spool.commit(&transitions(&["aa", "bb", "cc"]), NOW).unwrap();
    spool.commit(&transitions(&["dd"]), NOW).unwrap();
    assert!(evicted(&spool).is_empty());
    spool.commit(&transitions(&["ee"]), NOW).unwrap();
    assert_eq!(texts(&spool, 0), [(3, "cc".to_owned()), (4, "dd".to_owned()), (5, "ee".to_owned())]);
    assert_eq!(evicted(&spool), [(1, 2)]);
    assert_eq!(spool.stats(NOW).evicted, 2);
    spool.forget(4, &[]).unwrap();
    assert!(evicted(&spool).is_empty());
    drop(spool);
    let (spool, _) = open(&dir, 8);
    let oldest_ms = Some(0);
    let stats =
        Stats { newest: 5, waiting: 1, waiting_bytes: 2, evicted: 2, superseded: 0, commits: 0, oldest_ms };
    assert_eq!(spool.stats(NOW), stats);
}

#[test]
fn what_is_superseded_goes_first_and_then_the_lowest_severity() {
    let dir = tempfile::tempdir().unwrap();
    let (mut spool, _) = open(&dir, 16);
    let rows = [(7, 3), (8, 0), (7, 3), (9, 2), (10, 1), (11, 0), (12, 3), (13, 3)];
    put(&mut spool, rows.iter().map(|(alert, rank)| outgoing("xx", *alert, *rank, false)).collect());
    assert!(evicted(&spool).is_empty());
    put(&mut spool, vec![outgoing("xx", 14, 0, false)]);
    assert_eq!(evicted(&spool), [(1, 2)], "one is superseded, one matters least and is the oldest");
    assert_eq!((spool.stats(NOW).evicted, spool.stats(NOW).superseded), (2, 1));
    put(&mut spool, vec![outgoing("xx", 7, 3, false), outgoing("xx", 15, 3, false)]);
    assert_eq!(evicted(&spool), [(1, 3), (6, 6)]);
    assert_eq!((spool.stats(NOW).evicted, spool.stats(NOW).superseded), (4, 2));
}

#[test]
fn the_urgent_lane_takes_along_what_waits_of_its_alerts() {
    let dir = tempfile::tempdir().unwrap();
    let (mut spool, _) = open(&dir, 1 << 20);
    put(&mut spool, (1..=2_500).map(|i| outgoing("x", i % 1_000 + 1, 1, false)).collect());
    spool.forget(100, &[(1_600, 1_700)]).unwrap();
    put(&mut spool, vec![outgoing("x", 5_000, 3, true), outgoing("x", 700, 3, true)]);
    // Of alert 700 there were the numbers 699, 1,699, which the hub has, and none of the third thousand.
    assert_eq!(lane(&spool, Lane::Urgent), [699, 2_501, 2_502]);
    put(&mut spool, vec![outgoing("x", 700, 1, false)]);
    assert_eq!(lane(&spool, Lane::Urgent), [699, 2_501, 2_502], "the next goes later by itself");
    assert_eq!(lane(&spool, Lane::Rest)[..2], [101, 102]);
    assert!(!lane(&spool, Lane::Rest).contains(&699));
    let skip = Ranges::from_iter([(1, 1_500), (1_702, 2_502)]);
    let rest = spool.peek(Lane::Rest, &skip, 1_800, 1_000, usize::MAX).unwrap();
    let rest: Vec<u64> = rest.into_iter().map(|row| row.seq).collect();
    assert_eq!(rest, (1_501..=1_599).chain([1_701]).collect::<Vec<_>>());
    spool.forget(699, &[(2_501, 2_501)]).unwrap();
    assert_eq!(lane(&spool, Lane::Urgent), [2_502]);
    let stats = spool.stats(NOW);
    drop(spool);
    let (spool, _) = open(&dir, 1 << 20);
    assert_eq!(lane(&spool, Lane::Urgent), [2_502]);
    assert_eq!(spool.acknowledged().iter().collect::<Vec<_>>(), [(1, 699), (1_600, 1_700), (2_501, 2_501)]);
    assert_eq!(spool.stats(NOW), Stats { commits: 0, ..stats });
}

#[test]
fn a_wait_counts_the_time_for_which_the_node_was_off() {
    let dir = tempfile::tempdir().unwrap();
    let at = |boot: u64, since_boot_ms: u64, wall_ms: i64| SpoolTime {
        boot,
        since_boot_ms,
        wall: Timestamp::from_millis(NOW.wall.millis() + wall_ms),
    };
    let open = |time| Spool::open(&dir.path().join("spool.db"), &Config::default(), time).unwrap().0;
    let mut spool = open(at(1, 50_000, 0));
    spool.commit(&transitions(&["a"]), at(1, 60_000, 10_000)).unwrap();
    let oldest = |spool: &Spool, time| spool.stats(time).oldest_ms;
    assert_eq!(oldest(&spool, at(1, 90_000, 40_000)), Some(30_000));
    assert_eq!(oldest(&spool, at(1, 90_000, 9_000_000)), Some(30_000), "a step of the calendar");
    drop(spool);
    let spool = open(at(1, 100_000, -5));
    assert_eq!(oldest(&spool, at(1, 100_000, -5)), Some(40_000), "the same boot");
    drop(spool);
    let mut spool = open(at(2, 3_000, 3_610_000));
    assert_eq!(oldest(&spool, at(2, 4_000, 3_611_000)), Some(3_601_000), "an hour off");
    spool.commit(&transitions(&["b"]), at(2, 4_000, 3_611_000)).unwrap();
    drop(spool);
    let never_set = SpoolTime { boot: 3, since_boot_ms: 0, wall: Timestamp::from_millis(1_000) };
    let mut spool = open(never_set);
    assert_eq!(oldest(&spool, never_set), Some(3_601_000), "a clock that was never set says nothing");
    spool.commit(&transitions(&["c"]), never_set).unwrap();
    drop(spool);
    let spool = open(at(4, 0, 7_211_000));
    assert_eq!(oldest(&spool, at(4, 0, 7_211_000)), Some(7_201_000));
}

#[test]
fn what_the_hub_has_stays_for_people_within_its_bound() {
    let dir = tempfile::tempdir().unwrap();
    let open = |history| {
        let config = Config { history, ..Config::default() };
        Spool::open(&dir.path().join("spool.db"), &config, NOW).unwrap().0
    };
    let numbers = |spool: &Spool| spool.told(10).unwrap().into_iter().map(|(seq, _)| seq).collect::<Vec<_>>();
    let mut spool = open(3);
    spool.commit(&transitions(&["a", "b", "c", "d", "e", "f"]), NOW).unwrap();
    spool.forget(2, &[]).unwrap();
    spool.save().unwrap();
    assert_eq!(numbers(&spool), [6, 5, 4, 3, 2, 1]);
    assert_eq!(texts(&spool, 0)[0], (3, "c".to_owned()), "nobody is sent them again");
    spool.forget(5, &[]).unwrap();
    spool.save().unwrap();
    assert_eq!(numbers(&spool), [6, 5, 4, 3]);
    assert_eq!((spool.stats(NOW).waiting, spool.stats(NOW).waiting_bytes), (1, 1));
    drop(spool);
    let mut spool = open(1);
    assert_eq!((spool.stats(NOW).waiting, spool.stats(NOW).waiting_bytes), (1, 1));
    spool.forget(6, &[]).unwrap();
    spool.save().unwrap();
    assert_eq!(numbers(&spool), [6]);
    let big = "x".repeat(1 << 20);
    let mut spool = {
        drop(spool);
        open(100)
    };
    spool.commit(&transitions(&[big.as_str(); 6]), NOW).unwrap();
    spool.forget(12, &[]).unwrap();
    spool.save().unwrap();
    assert_eq!(numbers(&spool), [12, 11, 10, 9], "4 MiB");
    spool.renew_epoch(NOW.wall).unwrap();
    assert_eq!((numbers(&spool), spool.stats(NOW).newest), (vec![], 0));
}

#[test]
fn a_new_epoch_numbers_what_waits_from_one() {
    let dir = tempfile::tempdir().unwrap();
    let (mut spool, _) = open(&dir, 1 << 20);
    spool.commit(&transitions(&["a", "b", "c"]), NOW).unwrap();
    spool.forget(1, &[]).unwrap();
    let before = spool.epoch();
    spool.renew_epoch(NOW.wall).unwrap();
    assert_ne!(spool.epoch(), before);
    assert_eq!(texts(&spool, 0), [(1, "b".to_owned()), (2, "c".to_owned())]);
    assert_eq!(spool.commit(&transitions(&["d"]), NOW).unwrap(), 3);
}

#[test]
fn peek_is_bounded_by_count_and_bytes_and_always_moves_on() {
    let dir = tempfile::tempdir().unwrap();
    let (mut spool, _) = open(&dir, 1 << 20);
    spool.commit(&transitions(&["aaaa", "bb", "cc", "dd"]), NOW).unwrap();
    let peek = |after: u64, count: usize, bytes: usize| {
        spool.peek(Lane::Both, &Ranges::up_to(after), u64::MAX, count, bytes).unwrap().len()
    };
    assert_eq!(peek(0, 100, 1), 1);
    assert_eq!(peek(1, 100, 4), 2);
    assert_eq!(peek(1, 1, 100), 1);
    assert_eq!(peek(1, 0, 100), 0);
}

#[test]
fn a_file_of_an_older_version_goes_on_with_what_it_holds() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("spool.db");
    let mut db = Connection::open(&path).unwrap();
    schema::migrate_to(&mut db, &path, 3).unwrap();
    let rows = "WITH RECURSIVE n(i) AS (SELECT 6 UNION ALL SELECT i + 1 FROM n WHERE i < 3000)
        INSERT INTO outbox (seq, body) SELECT i, CAST('b' || i AS BLOB) FROM n;
        UPDATE meta SET value = 3000 WHERE name = 'newest'; UPDATE meta SET value = 10 WHERE name = 'acknowledged'";
    db.execute_batch(rows).unwrap();
    drop(db);
    let (mut spool, _) = open(&dir, 1 << 20);
    let stats = spool.stats(NOW);
    assert_eq!((stats.newest, stats.waiting), (3_000, 2_990));
    assert_eq!(stats.waiting_bytes, (11..=3_000_u64).map(|i| 1 + i.to_string().len() as u64).sum::<u64>());
    assert_eq!(texts(&spool, 0)[0], (11, "b11".to_owned()));
    assert_eq!(spool.told(5_000).unwrap().len(), 2_995);
    assert_eq!(put(&mut spool, vec![outgoing("x", 1, 0, false)]), 3_001);
    drop(spool);
    let (mut spool, _) = open(&dir, 8_000);
    put(&mut spool, vec![outgoing("x", 1, 3, false)]);
    let stats = spool.stats(NOW);
    assert_eq!((stats.superseded, evicted(&spool)), (1, vec![(11, stats.evicted + 9), (3_001, 3_001)]));
}

#[test]
fn a_file_that_cannot_be_used_says_why_and_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let path: PathBuf = dir.path().join("spool.db");
    let _first = open(&dir, 1 << 20);
    let error = Spool::open(&path, &Config::default(), NOW).unwrap_err();
    assert!(error.to_string().contains("another agent"), "{error}");
}

#[test]
fn a_file_of_a_later_version_is_refused_with_the_way_out() {
    let dir = tempfile::tempdir().unwrap();
    let path: PathBuf = dir.path().join("spool.db");
    let db = Connection::open(&path).unwrap();
    db.pragma_update(None, "user_version", 999).unwrap();
    drop(db);
    let error = Spool::open(&path, &Config::default(), NOW).unwrap_err();
    assert!(error.to_string().contains("schema 999"), "{error}");
}
