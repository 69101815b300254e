//! The store through its own functions, and through reopening the file.

use super::*;
use crate::hub::fleet::Selector;
use crate::hub::record::{StatusRecord, TransitionRecord};
use crate::model::ruleset::{Item, ItemKind};
use crate::model::time::Timestamp;
use crate::wire::v1;
use transitions::{AlertFilter, Inbound};

const NOW: Timestamp = Timestamp::from_micros(1_000_000);

fn transition(seq: u64, state: v1::transition::State) -> TransitionRecord {
    let wire = v1::Transition {
        seq,
        state: state.into(),
        fingerprint: 1 + seq % 2,
        rule: "hot".to_owned(),
        ..Default::default()
    };
    TransitionRecord::from_wire("gw", 9, wire, Some(NOW))
}

fn inbound(seqs: &[u64]) -> Inbound {
    Inbound {
        agent: "gw".to_owned(),
        epoch: 9,
        transitions: seqs.iter().map(|seq| transition(*seq, v1::transition::State::Firing)).collect(),
        evicted: Vec::new(),
        received: NOW,
    }
}

fn arrival() -> agents::Arrival {
    agents::Arrival {
        agent: "gw".to_owned(),
        version: "1".to_owned(),
        boot_id: "b".to_owned(),
        labels: [("site".to_owned(), "a".to_owned())].into(),
        running: Vec::new(),
        at: NOW,
    }
}

fn item(name: &str) -> Item {
    Item { kind: ItemKind::Rule, name: name.into(), body: name.into() }
}

#[tokio::test]
async fn everything_is_there_after_a_reopen() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("hub.db");
    let (store, thread) = Store::open(&path).unwrap();
    store
        .call(|db| {
            agents::arrived(db, &arrival())?;
            agents::status(db, "gw", &StatusRecord::default(), &[], NOW)?;
            outbox::register(db, "t")?;
            transitions::accept(db, &inbound(&[1, 2, 5]))?;
            rulesets::put(db, "set", "text", &Selector::parse("site=a").unwrap(), &[item("a")], NOW)
        })
        .await
        .unwrap();
    drop(store);
    thread.join().unwrap();

    let (store, thread) = Store::open(&path).unwrap();
    store
        .call(|db| {
            assert_eq!(transitions::committed(db, "gw", 9)?, 5);
            let known = agents::list(db, None)?;
            assert_eq!(known.len(), 1);
            assert_eq!((known[0].gaps[0].first, known[0].gaps[0].last), (3, 4));
            assert_eq!(known[0].transitions, 3);
            assert!(known[0].status.is_some());
            assert_eq!(outbox::waiting(db, "t", 10)?.len(), 3);
            assert_eq!(transitions::count(db)?, 3);
            assert_eq!(outbox::list(db)?[0].depth, 3);
            let desired = rulesets::desired(db)?;
            assert_eq!(desired[0].items, [item("a")]);
            assert_eq!(desired[0].target.to_string(), "site=a");
            Ok(())
        })
        .await
        .unwrap();
    drop(store);
    thread.join().unwrap();
}

#[tokio::test]
async fn a_batch_that_comes_twice_is_stored_once() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _thread) = Store::open(&dir.path().join("hub.db")).unwrap();
    let first = store.call(|db| transitions::accept(db, &inbound(&[1, 2]))).await.unwrap();
    let again = store.call(|db| transitions::accept(db, &inbound(&[1, 2, 3]))).await.unwrap();
    assert_eq!((first.committed, first.stored), (2, 2));
    assert_eq!((again.committed, again.stored, again.duplicates), (3, 1, 2));
    let rows = store.call(|db| transitions::after(db, 0, 10)).await.unwrap();
    assert_eq!(rows.iter().map(|row| row.seq).collect::<Vec<_>>(), [1, 2, 3]);
    let alerts = |firing| AlertFilter { firing, limit: 10, ..AlertFilter::default() };
    store
        .call(move |db| {
            assert_eq!(transitions::alerts(db, &alerts(true))?.len(), 2);
            let mut end = inbound(&[]);
            end.transitions.push(transition(4, v1::transition::State::Resolved));
            transitions::accept(db, &end)?;
            assert_eq!(transitions::alerts(db, &alerts(true))?.len(), 1);
            assert_eq!(transitions::alerts(db, &alerts(false))?.len(), 2);
            Ok(())
        })
        .await
        .unwrap();
}

#[tokio::test]
async fn revisions_rise_and_the_same_text_keeps_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _thread) = Store::open(&dir.path().join("hub.db")).unwrap();
    store
        .call(|db| {
            let all = Selector::default();
            let put = |source: &str, items: &[Item]| rulesets::put(db, "set", source, &all, items, NOW);
            let one = put("1", &[item("a"), item("b")])?;
            assert_eq!((one.revision, one.changed), (1, true));
            assert!(!put("1", &[item("a"), item("b")])?.changed);
            let two = put("2", &[item("a"), item("c")])?;
            assert_eq!((two.revision, two.changed), (2, true));
            assert_eq!(rulesets::item_hashes(db, one.hash)?, [item("a").hash(), item("b").hash()]);
            assert!(rulesets::delete(db, "set")?);
            assert!(!rulesets::delete(db, "set")?);
            assert!(rulesets::list(db, None)?.is_empty());
            let back = put("2", &[item("a"), item("c")])?;
            assert_eq!((back.revision, back.changed), (2, true));
            Ok(())
        })
        .await
        .unwrap();
}

#[tokio::test]
async fn a_command_that_fails_undoes_only_itself() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _thread) = Store::open(&dir.path().join("hub.db")).unwrap();
    let good = store.call(|db| transitions::accept(db, &inbound(&[1])));
    let bad = store.call(|db| {
        transitions::accept(db, &inbound(&[2]))?;
        Err::<(), _>(Error::Closed)
    });
    let (good, bad) = tokio::join!(good, bad);
    assert!(good.is_ok() && bad.is_err());
    assert_eq!(store.call(|db| transitions::after(db, 0, 9)).await.unwrap().len(), 1);
}

#[test]
fn a_second_hub_on_the_same_file_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("hub.db");
    let (_store, _thread) = Store::open(&path).unwrap();
    let error = Store::open(&path).unwrap_err().to_string();
    assert!(error.contains("another weir-hub"), "{error}");
}

#[tokio::test]
async fn a_group_that_fails_midway_tells_all_of_it_why() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _thread) = Store::open(&dir.path().join("hub.db")).unwrap();
    let (go, wait) = std::sync::mpsc::sync_channel::<()>(1);
    let (begun, begins) = oneshot::channel();
    let busy = store.call(move |_| {
        begun.send(()).unwrap();
        Ok(wait.recv().is_ok())
    });
    // Both wait while the thread is busy, and so share a group; the first takes its ground away.
    let breaks = store.call(|db| Ok(db.execute_batch("ROLLBACK")?));
    let other = store.call(agents_known);
    let group = async {
        begins.await.unwrap();
        tokio::join!(breaks, other, async { go.send(()).unwrap() })
    };
    let (busy, (breaks, other, ())) = tokio::join!(busy, group);
    assert!(busy.unwrap());
    for error in [breaks.unwrap_err(), other.unwrap_err()] {
        assert!(matches!(&error, Error::Commit(why) if why.contains("savepoint")), "{error}");
    }
    assert_eq!(store.call(agents_known).await.unwrap(), 0);
}

fn agents_known(db: &Connection) -> Result<usize, Error> {
    Ok(agents::list(db, None)?.len())
}

#[tokio::test]
async fn what_follows_a_commit_does_not_wait_for_the_caller() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _thread) = Store::open(&dir.path().join("hub.db")).unwrap();
    let (go, wait) = std::sync::mpsc::sync_channel::<()>(1);
    let (told, hears) = oneshot::channel();
    let call = store.call_then(move |_| Ok(wait.recv().is_ok()), move |went| told.send(*went).unwrap());
    let gone = tokio::time::timeout(std::time::Duration::ZERO, call).await;
    assert!(gone.is_err());
    go.send(()).unwrap();
    assert!(hears.await.unwrap());
}

#[tokio::test]
async fn the_end_of_the_thread_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let (store, thread) = Store::open(&dir.path().join("hub.db")).unwrap();
    let broken = store.call(|_| -> Result<(), Error> { panic!("a fault of the hub") }).await;
    assert!(matches!(broken, Err(Error::Closed)));
    store.ended().await;
    assert!(thread.join().is_err());
}
