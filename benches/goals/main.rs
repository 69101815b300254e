//! The goals that one core reaches or not: decode, index, windows and rule changes, each beside a
//! hand-written loop that does only the unavoidable work, in the same run and in turns with it.
//!
//! `cargo bench --bench goals` prints the figures and writes those of the goals to
//! `target/weir-bench.json`, beside what other benches wrote there. Figures are CPU time of one thread, in
//! the profile of benches. Without `--bench`, as `cargo test` runs it, everything runs once with a few
//! rules and events, and nothing is written.
#![cfg(test)]

mod ceiling;
mod change;
mod engine;
mod figures;
mod json;
mod options;
mod subject;
mod table;
mod timing;
mod windows;
mod workload;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};

use figures::Figures;
use options::Options;
use table::Goal;

/// What was measured.
#[derive(Default)]
struct Report {
    goals: Vec<Goal>,
    figures: Vec<Figures>,
}

impl Report {
    /// Prints a table, and keeps it.
    fn show(&mut self, figures: Figures) {
        println!("{figures}");
        self.figures.push(figures);
    }
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if args.iter().any(|arg| arg == "--bench") && !args.iter().any(|arg| arg == "--smoke") {
        return full(&args);
    }
    let smoke = || {
        let Report { goals, .. } = measure(&Options::smoke());
        let all = ["P1", "P2", "P3", "P4", "P5", "P9"];
        match all.iter().find(|name| goals.iter().all(|goal| goal.name != **name)) {
            Some(name) => Err(format!("nothing was measured for {name}").into()),
            None => Ok(()),
        }
    };
    let trial = Trial::test("every_goal_is_measured", smoke);
    let harness: Vec<String> = std::env::args().filter(|arg| arg != "--smoke" && arg != "--bench").collect();
    libtest_mimic::run(&Arguments::from_iter(harness), vec![trial]).exit_code()
}

fn full(args: &[String]) -> ExitCode {
    let options = match Options::of(args) {
        Ok(options) => options,
        Err(why) => {
            eprintln!("goals: {why}\n{}", options::USAGE);
            return ExitCode::FAILURE;
        }
    };
    if !options.table
        && let Err(why) = record(&options)
    {
        eprintln!("goals: {why}");
        return ExitCode::FAILURE;
    }
    println!("{}", table::table());
    ExitCode::SUCCESS
}

/// Measures, and writes down what came out.
fn record(options: &Options) -> Result<(), String> {
    let report = measure(options);
    table::merge(&report.goals).map_err(|error| format!("write the figures: {error}"))?;
    if options.docs { figures::write_page(&report.figures) } else { Ok(()) }
}

fn measure(options: &Options) -> Report {
    let mut report = Report::default();
    for part in &options.parts {
        match part.as_str() {
            "engine" => engine::run(options, &mut report),
            "windows" => windows::run(options, &mut report),
            "json" => json::run(options, &mut report),
            _ => change::run(options, &mut report),
        }
    }
    report
}
