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
        complete: seqs.iter().copied().max().unwrap_or(0),
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
            assert_eq!(epochs::floor(db, "gw", 9)?, 5);
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

/// Whatever an agent offers, in whatever order and across whatever reopening: the tables say the same as a set of numbers.
#[tokio::test]
async fn the_tables_are_a_set_of_numbers() {
    use std::collections::BTreeSet;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("hub.db");
    let mut chance = fastrand::Rng::with_seed(7);
    let mut opened = Store::open(&path).unwrap();
    let (mut taken, mut evicted, mut lost) =
        (BTreeSet::<u64>::new(), BTreeSet::<u64>::new(), BTreeSet::<u64>::new());
    for round in 0..300 {
        if round % 40 == 39 {
            drop(opened.0);
            opened.1.join().unwrap();
            opened = Store::open(&path).unwrap();
        }
        let near = round / 2;
        let seqs: Vec<u64> = (0..chance.u64(0..6)).map(|_| near + chance.u64(1..30)).collect();
        let first = near + chance.u64(1..30);
        let gone = if chance.u8(0..4) == 0 { vec![(first, first + chance.u64(0..4))] } else { Vec::new() };
        let complete = if chance.u8(0..3) == 0 { near } else { 0 };
        let batch = Inbound { evicted: gone.clone(), complete, ..inbound(&seqs) };

        let settled = |n: &u64, taken: &BTreeSet<u64>, evicted: &BTreeSet<u64>, lost: &BTreeSet<u64>| {
            taken.contains(n) || evicted.contains(n) || lost.contains(n)
        };
        let news: BTreeSet<u64> =
            seqs.iter().copied().filter(|n| !settled(n, &taken, &evicted, &lost)).collect();
        taken.extend(&news);
        for n in gone.iter().flat_map(|(first, last)| *first..=*last) {
            if !settled(&n, &taken, &evicted, &lost) {
                evicted.insert(n);
            }
        }
        let missing: Vec<u64> = (1..=complete).filter(|n| !settled(n, &taken, &evicted, &lost)).collect();
        lost.extend(&missing);

        let outcome = opened.0.call(move |db| transitions::accept(db, &batch)).await.unwrap();
        assert_eq!(outcome.stored, news.len() as u64, "round {round}");
        assert_eq!(crate::hub::inbox::count(&outcome.lost), missing.len() as u64);
        let standing = opened.0.call(|db| epochs::standing(db, "gw", 9)).await.unwrap();
        let numbers: BTreeSet<u64> =
            standing.above.iter().copied().chain([(1, standing.floor)]).flat_map(|(a, b)| a..=b).collect();
        let all: BTreeSet<u64> = taken.iter().chain(&evicted).chain(&lost).copied().collect();
        assert_eq!(numbers, all, "round {round}");
        assert!(standing.above.first().is_none_or(|range| range.0 > standing.floor + 1));
    }
    let rows = opened.0.call(|db| transitions::after(db, 0, 10_000)).await.unwrap();
    let mut seqs: Vec<u64> = rows.iter().map(|row| row.seq).collect();
    seqs.sort_unstable();
    assert_eq!(seqs, taken.into_iter().collect::<Vec<_>>());
    opened
        .0
        .call(move |db| {
            agents::arrived(db, &arrival())?;
            let tallies = tallies::of(db, "gw")?;
            assert_eq!(tallies["lost"], lost.len() as u64);
            assert_eq!(tallies["evicted"], evicted.len() as u64);
            Ok(())
        })
        .await
        .unwrap();
}

#[tokio::test]
async fn an_alert_is_as_its_latest_transition_left_it_not_the_last_that_came() {
    use v1::transition::State::{Firing, Resolved};
    let dir = tempfile::tempdir().unwrap();
    let (store, _thread) = Store::open(&dir.path().join("hub.db")).unwrap();
    let one = |seq, state, epoch: u64| {
        let mut batch = Inbound { epoch, complete: 0, ..inbound(&[]) };
        let mut record = transition(seq, state);
        record.epoch = crate::hub::record::epoch_text(epoch);
        batch.transitions.push(record);
        batch
    };
    let outbox = |epoch| arrival::Outbox { epoch, ..arrival::Outbox::default() };
    let firing = |db: &Connection| {
        Ok::<_, Error>(
            transitions::alerts(db, &AlertFilter { firing: true, limit: 9, ..AlertFilter::default() })?.len(),
        )
    };
    store
        .call(move |db| {
            arrival::note(db, &self::arrival(), &outbox(9))?;
            transitions::accept(db, &one(9, Resolved, 9))?;
            transitions::accept(db, &one(3, Firing, 9))?;
            assert_eq!(firing(db)?, 0);
            // Another spool of the agent counts from 1, and is later all the same.
            arrival::note(db, &self::arrival(), &outbox(4))?;
            transitions::accept(db, &one(1, Firing, 4))?;
            assert_eq!(firing(db)?, 1);
            transitions::accept(db, &one(11, Resolved, 9))?;
            assert_eq!(firing(db)?, 1);
            // Until the older one is the agent's again.
            arrival::note(db, &self::arrival(), &outbox(9))?;
            transitions::accept(db, &one(13, Resolved, 9))?;
            assert_eq!(firing(db)?, 0);
            let kinds: Vec<String> = incidents::of(db, "gw")?.into_iter().map(|each| each.kind).collect();
            assert!(kinds.contains(&"replaced".to_owned()) && kinds.contains(&"returned".to_owned()));
            Ok(())
        })
        .await
        .unwrap();
}

/// A file of the first version, with what later ones compute.
#[tokio::test]
async fn a_file_of_the_first_version_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("hub.db");
    schema::first(&path);
    {
        let db = Connection::open(&path).unwrap();
        let mut record = transition(7, v1::transition::State::Firing);
        record.id = 0;
        db.execute_batch(
            "INSERT INTO agents (agent, version, boot_id, labels, first_seen, last_seen, running)
             VALUES ('gw', '1', 'b', '{}', 0, 0, '[]');
             INSERT INTO epochs VALUES ('gw', '0000000000000009', '7');
             INSERT INTO gaps (agent, epoch, first, last, evicted, noticed_at)
             VALUES ('gw', '0000000000000009', '2', '4', 0, 0), ('gw', '0000000000000009', '5', '18446744073709551615', 1, 0);",
        )
        .unwrap();
        db.execute(
            "INSERT INTO transitions (agent, epoch, seq, record) VALUES ('gw', '0000000000000009', '7', ?)",
            [serde_json::to_string(&record).unwrap()],
        )
        .unwrap();
        db.execute("INSERT INTO alerts VALUES ('gw', ?, 'hot', 'firing', 1)", [&record.fingerprint]).unwrap();
    }
    let (store, _thread) = Store::open(&path).unwrap();
    store
        .call(|db| {
            let alert = transition(7, v1::transition::State::Firing);
            let digest: crate::wire::digest::Digest =
                [reconcile::item(&alert).cast_unsigned()].into_iter().collect();
            assert_eq!(reconcile::digest(db, "gw")?, digest);
            assert_eq!(epochs::standing(db, "gw", 9)?, epochs::Standing { floor: 7, above: Vec::new() });
            assert_eq!(epochs::begin(db, "gw", 9)?, epochs::Turn::None);
            let known = agents::list(db, None)?.remove(0);
            assert_eq!(
                known.gaps.iter().map(|gap| gap.cause.as_str()).collect::<Vec<_>>(),
                ["evicted", "lost"]
            );
            assert_eq!((known.tallies["lost"], known.tallies["evicted"]), (3, 9_000_000_000_000_000_000));
            // What comes late of it changes nothing; what is later does.
            let late = Inbound { complete: 0, ..inbound(&[5]) };
            transitions::accept(db, &late)?;
            transitions::accept(db, &inbound(&[9]))?;
            assert_eq!(
                transitions::alerts(db, &AlertFilter { limit: 9, ..AlertFilter::default() })?[0].seq,
                9
            );
            Ok(())
        })
        .await
        .unwrap();
}

#[tokio::test]
async fn what_cannot_be_written_is_said_once_and_heals() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _thread) = Store::open(&dir.path().join("hub.db")).unwrap();
    store
        .call(|db| {
            transitions::accept(db, &inbound(&[1]))?;
            let pages: i64 = db.pragma_query_value(None, "page_count", |row| row.get(0))?;
            db.pragma_update(None, "max_page_count", pages)?;
            Ok(())
        })
        .await
        .unwrap();
    let large = || {
        let mut batch = inbound(&[2]);
        batch.transitions[0].annotations.insert("note".to_owned(), "x".repeat(1 << 20));
        batch
    };
    for times in 1..=2 {
        let batch = large();
        let error = store.call(move |db| transitions::accept(db, &batch)).await.unwrap_err();
        assert!(error.to_string().contains("full"), "{error}");
        assert!(store.health().is_failing());
        assert_eq!(store.health().failures(), times);
    }
    // Who only reads is served.
    assert_eq!(store.call(|db| epochs::floor(db, "gw", 9)).await.unwrap(), 1);
    assert!(store.health().is_failing());
    store.call(|db| Ok(db.pragma_update(None, "max_page_count", 1 << 30)?)).await.unwrap();
    let batch = large();
    let outcome = store.call(move |db| transitions::accept(db, &batch)).await.unwrap();
    assert_eq!((outcome.committed, outcome.stored), (2, 1));
    assert!(!store.health().is_failing());
}
