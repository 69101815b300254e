//! Hopping windows and those that follow rows one after the other, each against a naive rescan of all
//! rows, and against what its definition says.

use super::*;

fn span(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(super) fn hop(length: u64, hop: u64) -> WindowKind {
    WindowKind::Hopping { length: span(length), hop: span(hop) }
}

pub(super) fn slide(length: u64, delay: u64) -> WindowKind {
    WindowKind::Sliding { length: span(length), delay: span(delay), trigger: None }
}

pub(super) fn session(length: u64, timeout: u64) -> WindowKind {
    WindowKind::Session { length: span(length), timeout: span(timeout) }
}

pub(super) fn count(count: usize, every: usize) -> WindowKind {
    WindowKind::Count { count, every }
}

/// From `v > 0` on; with `two` until `v < 0`.
pub(super) fn state(two: bool) -> WindowKind {
    let v = || Expr::Field(0, 1);
    let end = two.then(|| compare(BinaryOp::Lt, v(), 0));
    WindowKind::State { begin: compare(BinaryOp::Gt, v(), 0), end, partition: Vec::new() }
}

/// `SELECT device, sum(v), count(*), window_start() … GROUP BY device, <kind>`.
pub(super) fn windowed(kind: WindowKind) -> RulePlan {
    let mut rule = tumble();
    rule.window.as_mut().unwrap().kind = kind;
    rule
}

/// All devices in one group.
pub(super) fn over_all(kind: WindowKind) -> RulePlan {
    let mut rule = mixed();
    rule.window.as_mut().unwrap().kind = kind;
    rule
}

/// `SELECT device, v, window_start() …`: the rows themselves, in one group.
pub(super) fn rows(mut rule: RulePlan) -> RulePlan {
    let window = rule.window.as_mut().unwrap();
    window.gives = Gives::Rows;
    window.group.clear();
    window.aggregates.clear();
    window.by_key = false;
    rule.project = vec![Expr::Field(0, 0), Expr::Field(0, 1), Expr::WindowStart];
    rule.visible = 3;
    rule.key = vec![Expr::Field(0, 0)];
    rule
}

/// A row of one device: its time, and its value.
type Reading = (i64, Option<i64>);

/// A window of one device: end, start, and its rows.
type Expected = (i64, i64, Vec<Reading>);

fn sliding(rows: &[Reading], length: i64, delay: i64) -> Vec<Expected> {
    let window = |(at, (t, _)): (usize, &Reading)| {
        let seen = if delay == 0 { &rows[..=at] } else { rows };
        let inside = seen.iter().filter(|(u, _)| *u > t - length && *u <= t + delay);
        (t + delay, t - length, inside.copied().collect())
    };
    rows.iter().enumerate().map(window).collect()
}

fn sessions(rows: &[Reading], length: i64, timeout: i64) -> Vec<Expected> {
    let mut windows: Vec<Vec<Reading>> = Vec::new();
    for row in rows {
        match windows.last_mut() {
            Some(open) if row.0 - open.last().unwrap().0 < timeout && row.0 - open[0].0 < length => {
                open.push(*row);
            }
            _ => windows.push(vec![*row]),
        }
    }
    let end = |rows: &[Reading]| (rows.last().unwrap().0 + timeout).min(rows[0].0 + length);
    windows.into_iter().map(|rows| (end(&rows), rows[0].0, rows)).collect()
}

fn counts(rows: &[Reading], count: usize, every: usize) -> Vec<Expected> {
    (1..=rows.len())
        .filter(|n| n % every == 0 && *n >= count)
        .map(|n| (rows[n - 1].0, rows[n - count].0, rows[n - count..n].to_vec()))
        .collect()
}

fn states(rows: &[Reading], two: bool) -> Vec<Expected> {
    let mut closed = Vec::new();
    let mut open: Vec<Reading> = Vec::new();
    for row in rows {
        let begins = row.1.is_some_and(|v| v > 0);
        let ends = row.1.is_some_and(|v| v < 0);
        let close = |open: &mut Vec<Reading>, closed: &mut Vec<Expected>| {
            if !open.is_empty() {
                closed.push((row.0, open[0].0, std::mem::take(open)));
            }
        };
        if !two && !begins {
            close(&mut open, &mut closed);
            continue;
        }
        if begins || !open.is_empty() {
            open.push(*row);
        }
        if two && ends {
            close(&mut open, &mut closed);
        }
    }
    closed
}

fn hopping(rows: &[Reading], length: i64, hop: i64) -> Vec<Expected> {
    let starts = (-length / hop..=200 / hop).map(|n| n * hop);
    starts
        .map(|start| {
            let inside = rows.iter().filter(|(t, _)| *t >= start && *t < start + length);
            (start + length, start, inside.copied().collect::<Vec<_>>())
        })
        .filter(|(_, _, rows)| !rows.is_empty())
        .collect()
}

fn written(device: &str, windows: Vec<Expected>) -> Vec<String> {
    let line = |(end, start, rows): Expected| {
        let sum =
            rows.iter().filter_map(|(_, v)| *v).fold(None, |sum: Option<i64>, v| Some(sum.unwrap_or(0) + v));
        let sum = sum.map_or(Value::Null, Value::Int);
        format!("@{end} {device} {sum} {} {start} tf", rows.len())
    };
    windows.into_iter().map(line).collect()
}

proptest! {
    /// The rows of each device in order of time, less those that came too late, cut into windows.
    #[test]
    fn windows_that_follow_rows_equal_a_naive_rescan(steps in steps(), lateness in 0..30_i64) {
        type Naive = fn(&[Reading]) -> Vec<Expected>;
        let kinds: [(WindowKind, Naive); 8] = [
            (slide(10, 0), |rows| sliding(rows, 10, 0)),
            (slide(7, 5), |rows| sliding(rows, 7, 5)),
            (session(20, 6), |rows| sessions(rows, 20, 6)),
            (count(3, 3), |rows| counts(rows, 3, 3)),
            (count(4, 1), |rows| counts(rows, 4, 1)),
            (count(5, 2), |rows| counts(rows, 5, 2)),
            (state(false), |rows| states(rows, false)),
            (state(true), |rows| states(rows, true)),
        ];
        let spec = StreamSpec { lateness: span(lateness.unsigned_abs()), ..stream() };
        for (kind, naive) in kinds {
            let mut bench = Bench::new(spec.clone(), vec![windowed(kind.clone())]);
            let mut readings: BTreeMap<String, Vec<Reading>> = BTreeMap::new();
            let mut late = 0;
            for (i, (n, v, at, _)) in steps.iter().enumerate() {
                let (v, at) = (v.map(i64::from), i64::from(*at));
                bench.row(&device(*n), v, at, 0);
                let greatest = steps[..i].iter().filter(|r| r.0 == *n).map(|r| i64::from(r.2)).max();
                if greatest.is_some_and(|greatest| at < greatest - lateness) {
                    late += 1;
                } else {
                    readings.entry(device(*n)).or_default().push((at, v));
                }
            }
            bench.advance(10_000);
            for (device, mut rows) in readings {
                rows.sort_by_key(|row| row.0);
                let got = bench.out.iter().filter(|o| o.key[0] == Value::str(&device)).map(short);
                prop_assert_eq!(got.collect::<Vec<_>>(), written(&device, naive(&rows)), "{:?}", kind);
            }
            prop_assert_eq!(bench.account().late, late);
        }
    }

    #[test]
    fn hopping_equals_a_naive_rescan(steps in steps(), length in 1..20_i64, every in 1..20_i64) {
        let every = every.min(length);
        let spec = StreamSpec { lateness: span(1_000), ..stream() };
        let kind = hop(length.unsigned_abs(), every.unsigned_abs());
        let mut bench = Bench::new(spec, vec![windowed(kind)]);
        let mut readings: BTreeMap<String, Vec<Reading>> = BTreeMap::new();
        for (n, v, at, _) in &steps {
            let (v, at) = (v.map(i64::from), i64::from(*at));
            bench.row(&device(*n), v, at, 0);
            readings.entry(device(*n)).or_default().push((at, v));
        }
        bench.advance(10_000);
        for (device, rows) in readings {
            let got = bench.out.iter().filter(|o| o.key[0] == Value::str(&device)).map(short);
            prop_assert_eq!(got.collect::<Vec<_>>(), written(&device, hopping(&rows, length, every)));
        }
    }
}

#[test]
fn a_row_enters_the_hopping_windows_that_are_still_open() {
    let mut bench = Bench::new(stream(), vec![windowed(hop(10, 5))]);
    bench.row("a", 1, 3, 0).row("a", 2, 12, 0).gives(&["@5 a 1 1 -5 tf", "@10 a 1 1 0 tf"]);
    // Of [0, 10) and [5, 15) only the second is open.
    bench.row("a", 4, 8, 0).row("a", 8, 20, 0).gives(&["@15 a 6 2 5 tf", "@20 a 2 1 10 tf"]);
    assert_eq!(bench.account().late, 0);
    bench.row("a", 1, 3, 0);
    assert_eq!(bench.account().late, 1);
}

#[test]
fn a_sliding_window_ends_with_its_row() {
    let mut bench = Bench::new(stream(), vec![windowed(slide(10, 0))]);
    bench.row("a", 1, 3, 0).gives(&["@3 a 1 1 -7 tf"]);
    bench.row("a", 2, 12, 0).gives(&["@12 a 3 2 2 tf"]);
    // What is `length` old is outside.
    bench.row("a", 4, 13, 0).row("b", 9, 13, 0).gives(&["@13 a 6 2 3 tf", "@13 b 9 1 3 tf"]);
    // Of two rows of one time the second sees the first.
    bench.row("a", 8, 13, 0).gives(&["@13 a 14 3 3 tf"]);
    bench.row("a", 1, 12, 0).gives(&[]);
    assert_eq!(bench.account().late, 1);
}

#[test]
fn a_trigger_says_which_rows_have_a_sliding_window() {
    let trigger = Some(compare(BinaryOp::Gt, Expr::Field(0, 1), 10));
    let kind = WindowKind::Sliding { length: span(10), delay: Duration::ZERO, trigger };
    let mut bench = Bench::new(stream(), vec![windowed(kind)]);
    bench.row("a", 1, 0, 0).row("a", None, 1, 0).row("a", 11, 2, 0).gives(&["@2 a 12 3 -8 tf"]);
    bench.row("a", 2, 3, 0).gives(&[]);
}

#[test]
fn a_delayed_sliding_window_waits_for_what_follows() {
    let mut bench = Bench::new(stream(), vec![windowed(slide(10, 5))]);
    bench.row("a", 1, 3, 0).row("a", 2, 8, 0).gives(&[]);
    bench.row("a", 4, 8, 0).gives(&[]);
    bench.row("a", 8, 9, 0).gives(&["@8 a 7 3 -7 tf"]);
    assert_eq!(bench.engine.next_deadline(), Some(now(0, 60).mono), "silence closes it");
    bench.advance(60).gives(&["@13 a 15 4 -2 tf", "@13 a 15 4 -2 tf", "@14 a 15 4 -1 tf"]);
    assert_eq!(bench.engine.next_deadline(), None);
}

#[test]
fn delayed_windows_of_arrival_time_close_by_the_clock() {
    let spec = StreamSpec { timestamp: None, ..stream() };
    let mut bench = Bench::new(spec, vec![windowed(slide(10, 5))]);
    bench.row("a", 1, 103, 0).row("a", 2, 106, 3).gives(&[]);
    bench.advance(5).gives(&[]);
    bench.advance(6).gives(&["@108 a 3 2 93 tf"]);
    bench.advance(9).gives(&["@111 a 3 2 96 tf"]);
    assert_eq!(bench.engine.next_deadline(), None);
}

#[test]
fn a_session_ends_with_silence_or_at_its_length() {
    let mut bench = Bench::new(stream(), vec![windowed(session(20, 6))]);
    bench.row("a", 1, 0, 0).row("a", 2, 5, 0).row("a", 4, 11, 0).gives(&["@11 a 3 2 0 tf"]);
    bench.row("a", 1, 16, 0).row("a", 1, 21, 0).row("a", 1, 26, 0).row("a", 1, 30, 0).gives(&[]);
    bench.row("a", 8, 31, 0).gives(&["@31 a 8 5 11 tf"]);
    bench.advance(60).gives(&["@37 a 8 1 31 tf"]);
    assert_eq!((bench.account().groups, bench.engine.next_deadline()), (0, None));
    bench.row("a", 8, 36, 61).gives(&[]);
    assert_eq!(bench.account().late, 1);
}

#[test]
fn a_session_of_arrival_time_ends_by_the_clock() {
    let spec = StreamSpec { timestamp: None, lateness: span(9), ..stream() };
    let mut bench = Bench::new(spec, vec![over_all(session(20, 6))]);
    bench.row("a", 1, 100, 0).row("b", 2, 105, 5);
    // The first row alone would have ended it at 6.
    bench.advance(6).gives(&[]);
    assert_eq!(bench.engine.next_deadline(), Some(now(0, 11).mono));
    let key = |bench: &mut Bench| bench.out.pop().map(|o| (o.at.micros() / SECOND, o.values[2].clone()));
    bench.advance(10);
    assert_eq!(key(&mut bench), None);
    bench.advance(11);
    assert_eq!(key(&mut bench), Some((111, Value::Int(2))));
}

#[test]
fn rows_wait_for_their_turn() {
    let spec = StreamSpec { lateness: span(5), ..stream() };
    let mut bench = Bench::new(spec, vec![windowed(count(2, 2))]);
    bench.row("a", 1, 10, 0).row("a", 2, 8, 0).row("a", 4, 14, 0).gives(&[]);
    bench.row("a", 8, 15, 0).gives(&["@10 a 3 2 8 tf"]);
    // Silence lets them enter, and closes no count window.
    bench.advance(60).gives(&["@15 a 12 2 14 tf"]);
    assert_eq!(bench.engine.next_deadline(), None);
    bench.row("a", 1, 16, 61).advance(1_000).gives(&[]);
    assert_eq!(bench.account().groups, 1, "it waits for its second row, however long");
    bench.row("a", 1, 17, 1_001).advance(2_000).gives(&["@17 a 2 2 16 tf"]);
}

#[test]
fn devices_in_one_group_wait_for_the_slowest() {
    let mut bench = Bench::new(stream(), vec![RulePlan { key: vec![], ..over_all(count(2, 2)) }]);
    bench.row("a", 1, 10, 0).row("b", 2, 5, 1).gives(&[]);
    assert_eq!(bench.account().late, 1, "a alone had told the time");
    bench.row("b", 2, 12, 2).row("a", 1, 20, 3).gives(&["@12 NULL 3 2 10 tf"]);
    bench.advance(62).advance(63).row("b", 1, 15, 64);
    assert_eq!(bench.account().late, 2);
}

#[test]
fn a_state_window_closes_with_the_row_that_ends_it() {
    let mut bench = Bench::new(stream(), vec![windowed(state(false))]);
    bench.row("a", 0, 0, 0).row("a", 1, 1, 0).row("a", 2, 2, 0).gives(&[]);
    bench.row("a", None, 5, 0).gives(&["@5 a 3 2 1 tf"]);
    bench.row("a", 0, 6, 0).advance(1_000).gives(&[]);

    let mut bench = Bench::new(stream(), vec![windowed(state(true))]);
    bench.row("a", -1, 0, 0).row("a", 1, 1, 0).row("a", 0, 2, 0).row("a", None, 3, 0).gives(&[]);
    bench.row("a", -5, 4, 0).gives(&["@4 a -4 4 1 tf"]);
    bench.row("a", -5, 5, 0).row("a", 1, 6, 0).advance(1_000).gives(&[]);
    assert_eq!(bench.account().groups, 1);
}

#[test]
fn partition_by_separates_the_states_of_a_group() {
    let kind = WindowKind::State {
        begin: compare(BinaryOp::Gt, Expr::Field(0, 1), 0),
        end: None,
        partition: vec![Expr::Field(0, 0)],
    };
    let rule = RulePlan { project: vec![Expr::Aggregate(0)], visible: 1, key: vec![], ..over_all(kind) };
    let mut bench = Bench::new(StreamSpec { key: None, ..stream() }, vec![rule]);
    bench.row("a", 1, 0, 0).row("b", 2, 1, 0).row("a", 0, 2, 0).gives(&["@2 1 tf"]);
    bench.row("b", 0, 3, 0).gives(&["@3 2 tf"]);
}

#[test]
fn groups_that_wait_for_nothing_make_room() {
    for spec in [stream(), StreamSpec { key: None, ..stream() }] {
        let config = Config { max_groups: 2, ..Config::default() };
        let mut rule = windowed(count(2, 2));
        rule.window.as_mut().unwrap().by_key = spec.key.is_some();
        let mut bench = Bench::with(spec, vec![rule], config);
        bench.row("a", 1, 0, 0).row("b", 1, 0, 1).row("c", 1, 0, 2);
        assert_eq!((bench.account().groups, bench.account().refused), (2, 1));
        assert_eq!(bench.account().degraded_until, Some(now(0, 302).mono));
        // The longest quiet was forgotten; b was not.
        bench.row("b", 2, 1, 3).gives(&["@1 b 3 2 0 tf"]);
        bench.row("a", 4, 2, 4).row("a", 4, 2, 5).gives(&["@2 a 8 2 2 tf"]);
    }
}

#[test]
fn bytes_of_silent_groups_make_room() {
    for spec in [stream(), StreamSpec { key: None, ..stream() }] {
        for kind in [slide(10, 0), count(3, 1), state(true)] {
            let config = Config { max_bytes: 6_000, ..Config::default() };
            let mut rule = windowed(kind);
            rule.window.as_mut().unwrap().by_key = spec.key.is_some();
            let mut bench = Bench::with(spec.clone(), vec![rule], config);
            for at in 0..100 {
                bench.row(&format!("d{at}"), 1, at, at);
                assert!(bench.account().bytes <= 6_000);
            }
            // Each was taken in, and most were forgotten.
            let (groups, refused) = (bench.account().groups, bench.account().refused);
            assert_eq!(groups + usize::try_from(refused).unwrap(), 100);
            bench.out.clear();
            bench.row("d99", 2, 100, 100).row("d99", -1, 101, 101);
            assert!(bench.out.iter().any(|o| o.values[1] == Value::Int(2)), "{:?}", bench.out);
        }
    }
}

#[test]
fn bytes_are_bounded_and_given_back() {
    for kind in [slide(10, 0), slide(10, 5), session(20, 6), count(50, 10), state(true), hop(10, 5)] {
        let config = Config { max_bytes: 4_000, ..Config::default() };
        let mut rule = windowed(kind);
        rule.window.as_mut().unwrap().gives = Gives::Rows;
        rule.project = vec![Expr::Field(0, 1)];
        let mut bench = Bench::with(stream(), vec![rule], config);
        let v = |at: i64| if at == 199 { -1 } else { 1 };
        for at in 0..200 {
            bench.row("a", v(at), at / 20, 0);
            assert!(bench.account().bytes <= 4_000);
        }
        assert!(bench.account().refused > 0);
        let lanes_only = {
            let mut bench = Bench::new(stream(), vec![windowed(hop(10, 10))]);
            bench.row("a", 1, 0, 0).advance(100).account().bytes
        };
        bench.row("a", -1, 1_000, 0).advance(1_000);
        assert!(bench.account().bytes <= 4_000 && lanes_only > 0);
    }
}
