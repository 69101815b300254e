//! The bound on keys, and what is written down of an alert when.

use super::*;
use crate::model::alerting::{AlertShape, Life};
use crate::model::label::Labels;

fn book(for_: Duration) -> Book {
    book_that_counts(for_, 1)
}

fn book_that_counts(for_: Duration, times: u16) -> Book {
    let shape = AlertShape {
        ruleset: "set".into(),
        severity: "warning".into(),
        labels: Labels::new(),
        key: [Arc::from("device")].into(),
        columns: [Arc::from("device")].into(),
        annotations: Vec::new(),
        kind: RuleKind::State { for_, keep_firing_for: Duration::ZERO },
        cadence: None,
        no_data: None,
        life: Life { times, ..Life::plain() },
    };
    let spec = AlertSpec { rule: "hot".into(), hash: 1, shape: Arc::new(shape) };
    Book::new("gw".into(), Arc::new(vec![spec]))
}

fn see(book: &mut Book, device: usize, at: i64, hot: bool) -> usize {
    let key = Key::one(Value::Int(i64::try_from(device).unwrap()));
    let at = Timestamp::from_millis(at);
    let mut seen = Observation {
        rule: 0,
        values: key.to_vec(),
        key,
        at,
        raise: Some(hot),
        clear: Some(!hot),
        levels: Levels::default(),
        retained: false,
        order: Order::Untold,
    };
    let mut out = Vec::new();
    book.observe(&mut seen, Now { wall: at, mono: Mono::default() }, &mut out);
    out.len()
}

#[test]
fn a_key_beyond_the_bound_takes_the_place_of_a_quiet_one_and_never_that_of_an_alert() {
    let mut book = book(Duration::ZERO);
    for device in 0..100 {
        assert_eq!(see(&mut book, device, 1, true), 1);
    }
    // Many more than there is room for, again and again, as fast as one that is known.
    let mut at = 2;
    for _ in 0..3 {
        for device in 100..6 * MAX_KEYS {
            at += 1;
            see(&mut book, device, at, false);
            // One that is heard of all the time is not the one to go.
            if device % 1_000 == 0 {
                see(&mut book, 100, at, false);
            }
        }
    }
    assert_eq!(book.instances.len(), MAX_KEYS);
    assert_eq!(book.counts()[0].firing, 100);
    assert_eq!(book.counts()[0].refused, 0);
    assert!(book.instances.find(0, &[Value::Int(100)]).is_some());
    for device in 0..100 {
        assert_eq!(see(&mut book, device, at, false), 1, "alert {device} is still known");
    }
}

#[test]
fn where_every_key_has_an_alert_another_is_refused_until_one_clears() {
    let mut book = book(Duration::ZERO);
    for device in 0..MAX_KEYS {
        assert_eq!(see(&mut book, device, 1, true), 1);
    }
    assert_eq!(see(&mut book, MAX_KEYS, 2, true), 0);
    assert_eq!(book.counts()[0].refused, 1);
    for round in 0..3 {
        let at = 3 + 2 * round;
        let gone = usize::try_from(round).unwrap();
        assert_eq!(see(&mut book, gone, at, false), 1);
        assert_eq!(see(&mut book, MAX_KEYS + 1 + gone, at + 1, true), 1, "there is room for one");
        assert_eq!(see(&mut book, gone, at + 1, true), 0, "and for no more");
    }
    assert!(book.rooms[&0].quiet.len() <= MAX_KEYS);
}

/// An observation of device 1 as the engine tells it that counts the newest row of each key.
fn tell(book: &mut Book, at: i64, hot: bool, order: Order) -> usize {
    let key = Key::one(Value::Int(1));
    let at = Timestamp::from_millis(at);
    let (raise, clear) = (Some(hot), Some(!hot));
    let mut seen =
        Observation { rule: 0, values: key.to_vec(), key, at, raise, clear, order, ..Observation::default() };
    let mut out = Vec::new();
    book.observe(&mut seen, Now { wall: at, mono: Mono::default() }, &mut out);
    out.len()
}

#[test]
fn what_is_quiet_is_not_kept_where_others_know_what_is_newest() {
    let mut book = book(Duration::ZERO);
    assert_eq!(tell(&mut book, 5, false, Order::Newest), 0);
    assert_eq!(tell(&mut book, 3, true, Order::Older), 0, "it raises nothing");
    assert_eq!(book.counts()[0].outdated, 1);
    assert!(book.instances.is_empty() && book.take_activity().next().is_none());
    assert_eq!(tell(&mut book, 6, true, Order::Newest), 1);
    assert_eq!(tell(&mut book, 5, false, Order::Older), 0, "an alert knows its own newest");
    let told =
        |book: &mut Book| book.take_activity().map(|a| (a.key[0].to_string(), a.active)).collect::<Vec<_>>();
    assert_eq!(told(&mut book), [("1".to_owned(), true)]);
    assert_eq!(tell(&mut book, 7, false, Order::Newest), 1);
    assert_eq!(told(&mut book), [("1".to_owned(), false)]);
    assert!(book.instances.is_empty() && book.rooms.is_empty());
    // What is kept of it goes with it.
    let changes = book.take_changes(Now::default());
    assert_eq!(changes.iter().map(|change| change.body.is_some()).collect::<Vec<_>>(), [false]);
}

/// An observation that only brings an alert nearer to what is asked for is acknowledged after it was written down,
/// as is one that changes its phase; else a crash would have it counted short.
#[test]
fn what_was_counted_is_written_down_with_each_count() {
    let mut book = book_that_counts(Duration::ZERO, 3);
    let mut written = |at, hot| {
        see(&mut book, 1, at, hot);
        book.take_changes(Now::default()).len()
    };
    assert_eq!([written(1, true), written(2, true), written(3, true)], [1, 1, 1], "the third fires");
    assert_eq!([written(4, true), written(5, true)], [0, 0], "nothing is counted");
    assert_eq!([written(6, false), written(7, true), written(8, true)], [1, 1, 0], "a count, and its end");
    let mut waits = book_that_counts(Duration::from_secs(60), 2);
    let mut written = |at, hot| {
        see(&mut waits, 1, at, hot);
        waits.take_changes(Now::default()).len()
    };
    assert_eq!([written(1, true), written(2, true), written(3, true)], [1, 1, 0], "two are enough");
}
