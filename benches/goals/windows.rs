//! P4: events into windows over one key and one field, for more and more rules.

use weir::model::row::Row;
use weir::model::time::Timestamp;

use crate::Report;
use crate::ceiling::windows::{Hopping, Windows};
use crate::figures::Figures;
use crate::options::Options;
use crate::subject::{self, Decoding, Evaluating, Slots};
use crate::table::{Goal, short};
use crate::timing::{Contestant, cpu_nanos, race};
use crate::workload::{self, DEVICES, WINDOW_ROUND, WINDOW_STEP_MS};

/// Rows that come in turns. A decoder leaves its row in the cache; of more rows than these, each would have
/// to be fetched from memory first.
const ROWS: usize = 4_096;

/// How many windows the clock closes at once, where an end of many is spread over several calls.
const AT_ONCE: usize = 256;

/// Measures windows.
pub(crate) fn run(options: &Options, report: &mut Report) {
    let title = format!("windows on {DEVICES} keys, their ends included, in CPU nanoseconds an event");
    let mut figures = Figures::new("windows", title, &["aggregates", "rules", "engine", "hand", "ratio"]);
    let mut measured = Vec::new();
    for (name, aggregates) in
        [("avg", &["avg"][..]), ("avg, min, max, count", &["avg", "min", "max", "count"])]
    {
        for count in options.window_sizes.iter().copied() {
            let (ours, hand) = contest(count, aggregates, options);
            let cells = [short(ours), short(hand), short(ours / hand)];
            let [ours_text, hand_text, ratio] = cells;
            figures.row([name.to_owned(), count.to_string(), ours_text, hand_text, ratio]);
            if aggregates.len() == 1 {
                measured.push((ours, hand));
            }
        }
    }
    report.show(figures);
    println!("a prototype's hand loop: 8 ns");
    let title = "a window that hops by one slice: a row and an end, in CPU nanoseconds".to_owned();
    let mut figures = Figures::new("hopping", title, &["slices", "keys", "engine", "hand", "ratio"]);
    for slices in options.hopping_slices.iter().copied() {
        let keys = DEVICES.min(600_000 / slices);
        let (ours, hand) = hopping(slices, keys, options);
        let cells = [slices.to_string(), keys.to_string(), short(ours), short(hand), short(ours / hand)];
        figures.row(cells);
    }
    report.show(figures);
    let stall = short(stall(options) / 1e6);
    println!("the longest stall of an end of {DEVICES} keys × 20 windows: {stall} ms, of at most 1\n");
    let (Some((few, _)), Some((many, hand))) = (measured.first(), measured.last()) else { return };
    let growth = many / few - 1.0;
    report.goals.push(Goal {
        name: "P4",
        figure: *many,
        unit: "ns an event",
        ceiling: Some(*hand),
        ratio: Some(many / hand),
        goal: format!("≤ 25 with 8,000 rules, ≤ +20 % from 20 to 8,000 ({:+.0} %)", growth * 100.0),
        met: *many <= 25.0 && growth <= 0.2,
    });
}

/// Ours and the ceiling, nanoseconds an event.
fn contest(count: usize, aggregates: &[&str], options: &Options) -> (f64, f64) {
    let plan = subject::plan(&workload::window_text(count, aggregates));
    let events = workload::events(options.effort().events.min(ROWS));
    let mut rows = Decoding::new(&plan).rows(&workload::messages(&events));
    let slots = Slots::of(&plan);
    let values: Vec<(usize, f64)> = rows
        .iter()
        .zip(&events)
        .map(|(row, event)| (event.device, Slots::number(row, slots.temperature)))
        .collect();
    let mut engine = Evaluating::new(&plan);
    let mut hand = Windows::new(DEVICES, slice(), workload::window_limits(count));
    let (mut own_time, mut hand_time) = (start(), start());
    let contestants: Vec<Contestant<'_>> = vec![
        Box::new(|range| {
            for i in range {
                own_time += WINDOW_STEP_MS * 1_000;
                let row: &mut Row = &mut rows[i % events.len()];
                row.time = Timestamp::from_micros(own_time);
                engine.row(row);
            }
        }),
        Box::new(|range| {
            for i in range {
                hand_time += WINDOW_STEP_MS * 1_000;
                let (key, value) = values[i % values.len()];
                hand.push(key, value, hand_time);
            }
            std::hint::black_box(hand.matched);
        }),
    ];
    let times = race(options.window_effort(), contestants);
    (times[0], times[1])
}

/// Ours and the ceiling for windows of so many slices, each of which holds one row of each key: nanoseconds
/// for a row and the end of a window.
fn hopping(slices: usize, keys: usize, options: &Options) -> (f64, f64) {
    const LIMIT: f64 = 1e9;
    let plan = subject::plan(&workload::hopping_text(slices));
    let mut events = workload::events(ROWS);
    events.iter_mut().enumerate().for_each(|(i, event)| event.device = i % keys);
    let mut rows = Decoding::new(&plan).rows(&workload::messages(&events));
    let own = Slots::of(&plan);
    let values: Vec<f64> = rows.iter().map(|row| Slots::number(row, own.temperature)).collect();
    let mut engine = Evaluating::roomy(&plan);
    let mut hand = Hopping::new(keys, slices);
    // Every key once a second: one after the other, and each time the rows before go on with others.
    let rounds = ROWS / keys * keys;
    let (mut sent, mut pushed) = (0, 0);
    let mut own_row = |engine: &mut Evaluating, sent: usize| {
        let row: &mut Row = &mut rows[sent % rounds];
        row.time = Timestamp::from_micros(start() + (sent / keys) as i64 * 1_000_000 + (sent % keys) as i64);
        engine.row(row);
    };
    // Until the windows are full.
    for _ in 0..=slices * keys {
        own_row(&mut engine, sent);
        hand.push(pushed % keys, values[pushed % rounds], LIMIT);
        (sent, pushed) = (sent + 1, pushed + 1);
    }
    let contestants: Vec<Contestant<'_>> = vec![
        Box::new(|range| {
            for _ in range {
                own_row(&mut engine, sent);
                sent += 1;
            }
        }),
        Box::new(|range| {
            for _ in range {
                hand.push(pushed % keys, values[pushed % rounds], LIMIT);
                pushed += 1;
            }
            std::hint::black_box(hand.matched);
        }),
    ];
    let times = race(options.window_effort(), contestants);
    (times[0], times[1])
}

/// The longest call into the engine while the windows of all keys end at one instant.
fn stall(options: &Options) -> f64 {
    let plan = subject::plan(&workload::window_text(20, &["avg"]));
    let events: Vec<_> =
        (0..DEVICES).map(|device| workload::Event { device, temperature: 50.0, humidity: 50.0 }).collect();
    let mut rows = Decoding::new(&plan).rows(&workload::messages(&events));
    let mut engine = Evaluating::in_parts(&plan, AT_ONCE);
    let mut time = start();
    let mut longest = 0;
    for _ in 0..options.stall_minutes {
        for row in &mut rows {
            time += 1_000;
            row.time = Timestamp::from_micros(time);
            engine.row(row);
        }
        // What ends is closed by the clock, call by call, until nothing is due.
        time += slice() - DEVICES as i64 * 1_000;
        let until = Timestamp::from_micros(time);
        let mut calls = 0;
        while calls == 0 || (engine.is_due(until) && calls < 100_000) {
            let began = cpu_nanos();
            engine.advance(until);
            longest = longest.max(cpu_nanos() - began);
            calls += 1;
        }
    }
    longest as f64
}

/// Where time starts: at the begin of a slice.
fn start() -> i64 {
    1_700_000_000_000_000 / slice() * slice()
}

/// The slice that all windows are made of, microseconds.
fn slice() -> i64 {
    WINDOW_ROUND as i64 * WINDOW_STEP_MS * 1_000
}
