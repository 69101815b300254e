//! Silent keys against a naive count of seconds; what is kept of them over a restart, and what is not.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::model::absence::Absence;
use crate::plan::{Limits, compile_text};

/// Slots: whatever the rules use, found by name.
const RULES: &str = "
streams:
  - CREATE STREAM s (v BIGINT, mode STRING) WITH (DATASOURCE='t/{device}', KEY='device')
rules:
  - {id: all, sql: 'SELECT device, v, mode FROM s', when: v > 100, no_data: {after: 5s, do: fire}, forget: 30s}
  - {id: few, sql: SELECT v FROM s WHERE v > 2, when: v > 100, no_data: {after: 3s, do: resolve}}
  - {id: one, sql: SELECT v FROM s WHERE device = 'b' AND v < 4, when: v > 100, no_data: {after: 8s, do: fire}, forget: 10s}
  - {id: kept, sql: SELECT v FROM s, when: v > 100, no_data: {after: 1s, do: keep}}
  - {id: mean, sql: 'SELECT device, avg(v) AS m FROM s WHERE v < 3 GROUP BY device, COUNTWINDOW(4)', when: m > 100,
     no_data: {after: 5s, do: fire}}
";

fn engine(config: Config) -> Engine {
    let compiled = compile_text("set", RULES, &Limits::default());
    Engine::new(Arc::new(compiled.plan.unwrap()), config)
}

fn row(engine: &Engine, device: &str, v: i64, at: i64) -> Row {
    let value = |field: &Field| match &*field.name {
        "device" => Value::str(device),
        "v" => Value::Int(v),
        _ => Value::Null,
    };
    let slots = engine.plan.streams[0].fields.iter().map(value).collect();
    Row { slots, time: Timestamp::from_micros(at * SECOND), retained: false }
}

fn at(second: i64) -> Now {
    Now { wall: Timestamp::from_micros(second * SECOND), mono: Mono::from_micros((second * SECOND) as u64) }
}

/// What is told: keys that are silent, and the seconds at which the whole stream fell silent or was heard.
#[derive(Debug, Default)]
struct Told {
    keys: Vec<Absence>,
    lulls: Vec<(i64, bool)>,
}

impl Told {
    fn take(&mut self, engine: &mut Engine, second: i64) {
        self.lulls.extend(engine.take_lulls().iter().map(|lull| (second, lull.silent)));
    }
}

/// Lets every deadline up to a second pass, each at its own time.
fn pass(engine: &mut Engine, until: i64, told: &mut Told) {
    while let Some(due) = engine.next_deadline().filter(|due| *due <= at(until).mono) {
        let second = i64::try_from(due.micros()).unwrap() / SECOND;
        engine.advance(at(second), &mut Vec::new());
        engine.silences(at(second), &mut told.keys);
        told.take(engine, second);
        assert_ne!(engine.next_deadline(), Some(due), "it moves on");
    }
}

/// Rule, key and second of each.
fn shown(out: &[Absence]) -> BTreeSet<(usize, String, i64)> {
    let all: BTreeSet<_> =
        out.iter().map(|a| (a.rule, a.key[0].to_string(), a.at.micros() / SECOND)).collect();
    assert_eq!(all.len(), out.len(), "each is told once");
    all
}

/// Whom the silence of a key concerns that said this last, and after how long.
fn concerned(device: &str, v: i64) -> Vec<(usize, i64)> {
    let rules = [(0, 5, true), (1, 3, v > 2), (2, 8, device == "b" && v < 4), (4, 5, v < 3)];
    rules.into_iter().filter(|(.., passes)| *passes).map(|(rule, after, _)| (rule, after)).collect()
}

/// A key, counted second by second.
#[derive(Clone, Copy, Debug)]
struct Naive {
    seen: i64,
    v: i64,
    told: i64,
    own: bool,
    waits: bool,
}

/// The stream, counted second by second.
#[derive(Debug, Default)]
struct Count {
    keys: BTreeMap<&'static str, Naive>,
    heard: i64,
    silent: bool,
    told: BTreeSet<(usize, String, i64)>,
    lulls: Vec<(i64, bool)>,
}

impl Count {
    fn reading(&mut self, device: &'static str, v: i64, now: i64) {
        self.heard = now;
        if std::mem::take(&mut self.silent) {
            self.lulls.push((now, false));
            self.keys.values_mut().filter(|key| key.told == 0).for_each(|key| key.seen = now);
        } else {
            self.keys.values_mut().filter(|key| key.waits).for_each(|key| key.own = true);
        }
        self.keys.values_mut().for_each(|key| key.waits = false);
        self.keys.insert(device, Naive { seen: now, v, told: 0, own: false, waits: false });
    }

    /// What is due at a second, behind its readings.
    fn second(&mut self, now: i64) {
        if self.silent {
            return;
        }
        let mut all = false;
        let before = self.keys.clone();
        for (device, key) in &mut self.keys {
            let lasts = now - key.seen;
            let due = concerned(device, key.v)
                .into_iter()
                .filter(|(_, after)| key.told < *after && *after <= lasts);
            let due: Vec<(usize, i64)> = due.collect();
            let Some(longest) = due.iter().map(|(_, after)| *after).max() else { continue };
            // Twice as much, to count in whole numbers.
            let among = |key: &Naive| 2 * (self.heard - key.seen) < longest;
            let others = || before.iter().any(|(other, key)| other != device && among(key));
            if !key.own && among(key) && others() {
                key.waits = self.heard + longest > now;
                all |= !key.waits;
                continue;
            }
            self.told.extend(due.iter().map(|(rule, _)| (*rule, (*device).to_owned(), now)));
            (key.told, key.own) = (longest, true);
        }
        if all {
            self.silent = true;
            self.lulls.push((now, true));
        }
    }
}

proptest! {
    #[test]
    fn who_is_silent_is_told_of_in_time_and_once(
        steps in prop::collection::vec((prop_oneof![0..3_i64, 0..12_i64], 0..3_usize, 0..6_i64, prop::bool::weighted(0.1)), 1..60),
        index: bool,
    ) {
        let config = Config { index, ..Config::default() };
        let mut engine = engine(config);
        let (mut told, mut count) = (Told::default(), Count::default());
        let mut now = 1;
        for (wait, device, v, restart) in steps {
            (now..now + wait).for_each(|second| count.second(second));
            now += wait;
            let device = ["a", "b", "c"][device];
            pass(&mut engine, now - 1, &mut told);
            count.reading(device, v, now);
            let row = row(&engine, device, v, now);
            // What is due at this second waits for all rows of it.
            engine.push(0, &row, at(now), &mut Vec::new());
            told.take(&mut engine, now);
            if restart {
                let bytes = engine.snapshot_presence(at(now));
                engine = self::engine(config);
                engine.restore_presence(&bytes, at(now)).unwrap();
            }
        }
        (now..now + 100).for_each(|second| count.second(second));
        pass(&mut engine, now + 99, &mut told);
        prop_assert_eq!(shown(&told.keys), count.told);
        prop_assert_eq!(told.lulls, count.lulls);
    }
}

#[test]
fn after_time_that_nobody_saw_a_silence_begins_anew_unless_it_was_told() {
    let mut before = engine(Config::default());
    let mut out = Told::default();
    for (device, second) in [("a", 0), ("b", 6)] {
        pass(&mut before, second, &mut out);
        before.push(0, &row(&before, device, 1, second), at(second), &mut Vec::new());
    }
    assert_eq!(shown(&out.keys), [(0, "a".to_owned(), 5), (4, "a".to_owned(), 5)].into());
    let bytes = before.snapshot_presence(at(8));
    let mut later = engine(Config::default());
    later.restore_presence(&bytes, at(60)).unwrap();
    let mut out = Told::default();
    pass(&mut later, 1_000, &mut out);
    let told: Vec<(usize, String, i64)> =
        out.keys.iter().map(|a| (a.rule, a.key[0].to_string(), a.at.micros() / SECOND)).collect();
    // Its stream time goes on from its last reading.
    assert_eq!(told, [(0, "b".into(), 11), (4, "b".into(), 11), (2, "b".into(), 14)]);

    for cut in 0..bytes.len() {
        assert!(engine(Config::default()).restore_presence(&bytes[..cut], at(60)).is_err(), "cut at {cut}");
    }
    assert_eq!(later.restore_presence(&[9], at(60)), Err(SnapshotError::Version(9)));
}

#[test]
fn keys_beyond_the_ceiling_are_refused_and_counted() {
    let mut engine = engine(Config { max_groups: 2, ..Config::default() });
    for device in ["a", "b", "c", "c"] {
        let row = row(&engine, device, 1, 0);
        engine.push(0, &row, at(0), &mut Vec::new());
    }
    assert!(engine.take_limited());
    let refused: Vec<u64> = engine.accounts().iter().map(|account| account.refused).collect();
    assert_eq!((refused[0], refused[1], refused[3]), (2, 2, 0), "a rule that keeps goes by no key");
    let mut out = Told::default();
    pass(&mut engine, 100, &mut out);
    assert_eq!(
        (out.keys.len(), out.lulls.as_slice()),
        (0, &[(5, true)][..]),
        "two that are silent together are one"
    );
    let again = row(&engine, "a", 1, 200);
    engine.push(0, &again, at(200), &mut Vec::new());
    pass(&mut engine, 300, &mut out);
    assert_eq!(out.keys.iter().filter(|absence| absence.rule == 0).count(), 0);
    // Forgotten keys leave their room to others.
    let row = row(&engine, "c", 1, 90_000);
    pass(&mut engine, 90_000, &mut out);
    engine.push(0, &row, at(90_000), &mut Vec::new());
    assert_eq!(engine.feeds[0].presence.as_ref().unwrap().refused, 2);
}

#[test]
fn who_comes_and_goes_leaves_no_deadlines_behind() {
    let mut engine = engine(Config::default());
    let mut out = Told::default();
    for round in 0..2_000 {
        let row = row(&engine, "a", 1, round * 10);
        engine.push(0, &row, at(round * 10), &mut Vec::new());
        pass(&mut engine, round * 10 + 9, &mut out);
    }
    assert_eq!(out.keys.len(), 4_000);
    let presence = engine.feeds[0].presence.as_ref().unwrap();
    assert!(presence.deadlines() <= 2 + 64, "{}", presence.deadlines());
}

#[test]
fn the_last_reading_is_told_where_one_is_enough() {
    let mut engine = engine(Config::default());
    let row = row(&engine, "a", 1, 0);
    engine.push(0, &row, at(0), &mut Vec::new());
    let mut told = Told::default();
    pass(&mut engine, 10, &mut told);
    let out = told.keys;
    assert_eq!(*out[0].values, [Value::str("a"), Value::Int(1), Value::Null]);
    assert_eq!((out[1].rule, &*out[1].values), (4, &[Value::str("a"), Value::Null][..]));
}
