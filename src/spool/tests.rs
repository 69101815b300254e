//! The invariants of the module, each through reopening the file.

use std::path::PathBuf;

use super::*;

fn open(dir: &tempfile::TempDir, max_bytes: u64) -> (Spool, Loaded) {
    let config = Config { max_bytes, ..Config::default() };
    Spool::open(&dir.path().join("spool.db"), &config).unwrap()
}

fn transitions(bodies: &[&str]) -> Commit {
    Commit { transitions: bodies.iter().map(|b| b.as_bytes().to_vec()).collect(), ..Commit::default() }
}

fn texts(spool: &Spool, after: u64) -> Vec<(u64, String)> {
    let rows = spool.peek(after, 100, usize::MAX).unwrap();
    rows.into_iter().map(|(seq, body)| (seq, String::from_utf8(body).unwrap())).collect()
}

#[test]
fn numbers_go_on_after_everything_was_acknowledged_and_the_file_reopened() {
    let dir = tempfile::tempdir().unwrap();
    let (mut spool, _) = open(&dir, 1 << 20);
    assert_eq!(spool.commit(&transitions(&["a", "b"])).unwrap(), 2);
    spool.forget(2).unwrap();
    let epoch = spool.epoch();
    drop(spool);
    let (mut spool, _) = open(&dir, 1 << 20);
    assert_eq!(spool.epoch(), epoch);
    assert_eq!(spool.stats().waiting, 0);
    assert_eq!(spool.commit(&transitions(&["c"])).unwrap(), 3);
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
    spool.commit(&commit).unwrap();
    spool.commit(&Commit { journal: Some(b"one".to_vec()), ..Commit::default() }).unwrap();
    spool.commit(&Commit { journal: Some(b"two".to_vec()), ..Commit::default() }).unwrap();
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
    spool.commit(&gone).unwrap();
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
        spool.commit(&Commit { seen: seen.collect(), ..Commit::default() }).unwrap();
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
    spool.commit(&Commit { forget_seen, seen, ..Commit::default() }).unwrap();
    drop(spool);
    let (_, loaded) = open(&dir, 1 << 20);
    assert_eq!(of(&loaded, "b"), [trace("b", serial)]);
    assert!(!of(&loaded, "c").is_empty());
}

#[test]
fn over_the_bound_the_oldest_go_and_leave_a_range() {
    let dir = tempfile::tempdir().unwrap();
    let (mut spool, _) = open(&dir, 4);
    spool.commit(&transitions(&["aa", "bb"])).unwrap();
    spool.commit(&transitions(&["cc"])).unwrap();
    spool.commit(&transitions(&["dd"])).unwrap();
    assert_eq!(texts(&spool, 0), [(3, "cc".to_owned()), (4, "dd".to_owned())]);
    assert_eq!(spool.evicted().unwrap(), [(1, 2)]);
    assert_eq!(spool.stats().evicted, 2);
    spool.forget(3).unwrap();
    assert!(spool.evicted().unwrap().is_empty());
    drop(spool);
    let (spool, _) = open(&dir, 4);
    assert_eq!(spool.stats(), Stats { newest: 4, waiting: 1, waiting_bytes: 2, evicted: 2, commits: 0 });
}

#[test]
fn what_the_hub_has_stays_for_people_within_its_bound() {
    let dir = tempfile::tempdir().unwrap();
    let open = |history| {
        let config = Config { history, ..Config::default() };
        Spool::open(&dir.path().join("spool.db"), &config).unwrap().0
    };
    let numbers =
        |spool: &Spool| spool.newest(10).unwrap().into_iter().map(|(seq, _)| seq).collect::<Vec<_>>();
    let mut spool = open(3);
    spool.commit(&transitions(&["a", "b", "c", "d", "e", "f"])).unwrap();
    spool.forget(2).unwrap();
    assert_eq!(numbers(&spool), [6, 5, 4, 3, 2, 1]);
    assert_eq!(texts(&spool, 0)[0], (3, "c".to_owned()), "nobody is sent them again");
    spool.forget(5).unwrap();
    assert_eq!(numbers(&spool), [6, 5, 4, 3]);
    assert_eq!((spool.stats().waiting, spool.stats().waiting_bytes), (1, 1));
    drop(spool);
    let mut spool = open(1);
    assert_eq!((spool.stats().waiting, spool.stats().waiting_bytes), (1, 1));
    spool.forget(6).unwrap();
    assert_eq!(numbers(&spool), [6]);
    let big = "x".repeat(1 << 20);
    let mut spool = {
        drop(spool);
        open(100)
    };
    spool.commit(&transitions(&[big.as_str(); 6])).unwrap();
    spool.forget(12).unwrap();
    assert_eq!(numbers(&spool), [12, 11, 10, 9], "4 MiB");
    spool.renew_epoch().unwrap();
    assert_eq!((numbers(&spool), spool.stats().newest), (vec![], 0));
}

#[test]
fn a_new_epoch_numbers_what_waits_from_one() {
    let dir = tempfile::tempdir().unwrap();
    let (mut spool, _) = open(&dir, 1 << 20);
    spool.commit(&transitions(&["a", "b", "c"])).unwrap();
    spool.forget(1).unwrap();
    let before = spool.epoch();
    spool.renew_epoch().unwrap();
    assert_ne!(spool.epoch(), before);
    assert_eq!(texts(&spool, 0), [(1, "b".to_owned()), (2, "c".to_owned())]);
    assert_eq!(spool.commit(&transitions(&["d"])).unwrap(), 3);
}

#[test]
fn peek_is_bounded_by_count_and_bytes_and_always_moves_on() {
    let dir = tempfile::tempdir().unwrap();
    let (mut spool, _) = open(&dir, 1 << 20);
    spool.commit(&transitions(&["aaaa", "bb", "cc", "dd"])).unwrap();
    assert_eq!(spool.peek(0, 100, 1).unwrap().len(), 1);
    assert_eq!(spool.peek(1, 100, 4).unwrap().len(), 2);
    assert_eq!(spool.peek(1, 1, 100).unwrap().len(), 1);
}

#[test]
fn a_file_that_cannot_be_used_says_why_and_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let path: PathBuf = dir.path().join("spool.db");
    drop(open(&dir, 1 << 20));
    std::fs::write(&path, b"no database".repeat(500)).unwrap();
    let error = Spool::open(&path, &Config::default()).unwrap_err();
    assert!(error.to_string().contains("damaged") && error.to_string().contains("move it away"), "{error}");
    std::fs::remove_file(&path).unwrap();
    let _first = open(&dir, 1 << 20);
    let error = Spool::open(&path, &Config::default()).unwrap_err();
    assert!(error.to_string().contains("another agent"), "{error}");
}

#[test]
fn a_file_of_a_later_version_is_refused_with_the_way_out() {
    let dir = tempfile::tempdir().unwrap();
    let path: PathBuf = dir.path().join("spool.db");
    let db = Connection::open(&path).unwrap();
    db.pragma_update(None, "user_version", 999).unwrap();
    drop(db);
    let error = Spool::open(&path, &Config::default()).unwrap_err();
    assert!(error.to_string().contains("schema 999"), "{error}");
}
