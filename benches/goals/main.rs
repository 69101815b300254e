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
mod json;
mod options;
mod subject;
mod table;
mod timing;
mod windows;
mod workload;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};

use options::Options;
use table::Goal;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if args.iter().any(|arg| arg == "--bench") && !args.iter().any(|arg| arg == "--smoke") {
        return full(&args);
    }
    let smoke = || {
        let goals = measure(&Options::smoke());
        match ["P1", "P2", "P3", "P4", "P5", "P9"].iter().find(|name| goals.iter().all(|g| g.name != **name)) {
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
        && let Err(error) = table::merge(&measure(&options))
    {
        eprintln!("goals: write the figures: {error}");
        return ExitCode::FAILURE;
    }
    println!("{}", table::table());
    ExitCode::SUCCESS
}

fn measure(options: &Options) -> Vec<Goal> {
    let mut goals = Vec::new();
    for part in &options.parts {
        goals.extend(match part.as_str() {
            "engine" => engine::run(options),
            "windows" => windows::run(options),
            "json" => json::run(options),
            _ => change::run(options),
        });
    }
    goals
}
