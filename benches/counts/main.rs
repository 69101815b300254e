//! Instructions that decode, index and windows take, counted by callgrind through gungraun: the same on
//! every machine, so that a regression shows where clocks are noisy.
//!
//! `make counts` compares with `baseline.json` beside this file and fails where a count is more than a
//! twentieth above it; `UPDATE=1 make counts` writes the file anew. The library keeps some tables by a
//! hash that is seeded at random; that moves a count by less than a percent.
//!
//! Each count is of several events, so that one match more or less of the first of them does not decide.
#![expect(missing_docs, reason = "what gungraun makes of a benchmark is public and has no words")]

#[path = "../goals/subject.rs"]
#[expect(dead_code, reason = "the goals need more of it")]
mod subject;
#[path = "../goals/workload.rs"]
#[expect(dead_code, reason = "the goals need more of it")]
mod workload;

use std::hint::black_box;
use std::path::PathBuf;
use std::process::ExitCode;

use gungraun::prelude::*;
use gungraun::{Callgrind, EventKind};
use weir::model::message::Message;
use weir::model::row::Row;
use weir::model::time::Timestamp;

use subject::{Decoding, Evaluating};
use workload::Kind;

/// Events of one count.
const EVENTS: usize = 64;
/// Rules of the index.
const RULES: usize = 10_000;
/// Rules that share windows.
const WINDOW_RULES: usize = 99;
/// Where the time of windows starts, microseconds: at the begin of a minute.
const START: i64 = 1_699_999_980_000_000;
const MINUTE: i64 = 60_000_000;

/// Callgrind with the most instructions that a benchmark may take.
fn limited(name: &str) -> LibraryBenchmarkConfig {
    let mut callgrind = Callgrind::default();
    if let Some(most) = baseline::most(name) {
        callgrind.hard_limits([(EventKind::Ir, most)]);
    }
    let mut config = LibraryBenchmarkConfig::default();
    config.tool(callgrind);
    config
}

fn decoding(rules: usize) -> (Decoding, Vec<Message>) {
    let plan = subject::plan(&workload::text(&workload::rules(Kind::Template, rules)));
    let messages = workload::messages(&workload::events(2 * EVENTS));
    let mut decoding = Decoding::new(&plan);
    // Each topic was met before.
    messages.iter().for_each(|message| {
        decoding.message(message);
    });
    (decoding, messages[..EVENTS].to_vec())
}

#[library_benchmark(config = limited("decode"))]
#[bench::two_of_eight(args = (1), setup = decoding)]
fn decode((mut decoding, messages): (Decoding, Vec<Message>)) -> (Decoding, Vec<Message>) {
    for message in &messages {
        black_box(decoding.message(black_box(message)));
    }
    (decoding, messages)
}

fn indexed(rules: usize) -> (Evaluating, Vec<Row>) {
    let plan = subject::plan(&workload::text(&workload::rules(Kind::Mixed, rules)));
    let messages = workload::messages(&workload::events(2 * EVENTS));
    let mut rows = Decoding::new(&plan).rows(&messages);
    let mut engine = Evaluating::new(&plan);
    rows.drain(EVENTS..).for_each(|row| {
        engine.row(&row);
    });
    (engine, rows)
}

#[library_benchmark(config = limited("index"))]
#[bench::mixed_rules(args = (RULES), setup = indexed)]
fn index((mut engine, rows): (Evaluating, Vec<Row>)) -> (Evaluating, Vec<Row>) {
    for row in &rows {
        black_box(engine.row(black_box(row)));
    }
    (engine, rows)
}

/// An engine with open windows of `EVENTS` keys, and a row of each of them for the next second.
fn windowed(rules: usize) -> (Evaluating, Vec<Row>) {
    let plan = subject::plan(&workload::window_text(rules, &["avg"]));
    let event = |device| workload::Event { device, temperature: 50.0, humidity: 50.0 };
    let events: Vec<_> = (0..EVENTS).map(event).collect();
    let mut rows = Decoding::new(&plan).rows(&workload::messages(&events));
    let mut engine = Evaluating::new(&plan);
    for second in 0..4 {
        for row in &mut rows {
            row.time = Timestamp::from_micros(START + second * 1_000_000);
            if second < 3 {
                engine.row(row);
            }
        }
    }
    (engine, rows)
}

#[library_benchmark(config = limited("window_event"))]
#[bench::shared(args = (WINDOW_RULES), setup = windowed)]
fn window_event((mut engine, rows): (Evaluating, Vec<Row>)) -> (Evaluating, Vec<Row>) {
    for row in &rows {
        black_box(engine.row(black_box(row)));
    }
    (engine, rows)
}

#[library_benchmark(config = limited("window_end"))]
#[bench::shared(args = (WINDOW_RULES), setup = windowed)]
fn window_end((mut engine, rows): (Evaluating, Vec<Row>)) -> (Evaluating, Vec<Row>) {
    let end = Timestamp::from_micros(START + 2 * MINUTE);
    let mut calls = 0;
    while calls == 0 || (engine.is_due(end) && calls < 10_000) {
        black_box(engine.advance(end));
        calls += 1;
    }
    (engine, rows)
}

library_benchmark_group!(name = hot, benchmarks = [decode, index, window_event, window_end]);

mod harness {
    use super::hot;

    gungraun::main!(library_benchmark_groups = hot);

    pub(super) fn run() {
        main();
    }
}

/// The benchmarks by the names of their baselines, each with the name that gungraun gives it.
const BENCHMARKS: [(&str, &str); 4] = [
    ("decode", "decode.two_of_eight"),
    ("index", "index.mixed_rules"),
    ("window_event", "window_event.shared"),
    ("window_end", "window_end.shared"),
];

fn main() -> ExitCode {
    // This ends the program where a count is too large.
    harness::run();
    // Gungraun's runner starts this program again for each benchmark.
    if std::env::args().any(|arg| arg == "--gungraun-run") {
        return ExitCode::SUCCESS;
    }
    let home = PathBuf::from(std::env::var_os("GUNGRAUN_HOME").unwrap_or_default());
    // Package, the module of `harness`, group.
    let directory = home.join("counts/counts/harness/hot");
    match baseline::conclude(&BENCHMARKS.map(|(name, kept)| (name, directory.join(kept)))) {
        Ok(told) => {
            print!("{told}");
            ExitCode::SUCCESS
        }
        Err(why) => {
            eprintln!("counts: {why}");
            ExitCode::FAILURE
        }
    }
}
