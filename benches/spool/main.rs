//! The outbox and the link, each figure beside its ceiling from the same run: what a commit takes and writes (P10), how
//! long a breach takes to the hub (P12), what a transition takes on the wire and on flash, what it takes to open a large
//! spool, and how fast a day's backlog is told.
//!
//! `cargo bench --bench spool` prints the figures and writes those of the goals to `target/weir-bench.json`, beside what
//! other benches wrote there. Files lie under `target`: where the goals are about flash, that must be a disk. Without
//! `--bench`, as `cargo test` runs it, everything runs once with a few transitions, and nothing is written.
#![cfg(test)]

mod bodies;
mod breach;
mod catchup;
mod ceiling;
mod commit;
#[path = "../goals/figures.rs"]
mod figures;
#[path = "../spine/lean.rs"]
mod lean;
mod open;
mod options;
#[path = "../spine/process.rs"]
#[expect(dead_code, reason = "other benches ask for more of a process")]
mod process;
#[path = "../spine/publisher.rs"]
#[expect(dead_code, reason = "other benches publish single messages")]
mod publisher;
mod relay;
mod site;
#[path = "../../tests/it/support/mod.rs"]
#[expect(dead_code, reason = "the integration tests need more of it")]
mod support;
#[path = "../goals/table.rs"]
#[expect(dead_code, reason = "the table of all goals is printed by another bench")]
mod table;
mod wire;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};

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
    if let Some(path) = open::Request::of(&args) {
        return open::alone(&path);
    }
    if args.iter().any(|arg| arg == "--bench") && !args.iter().any(|arg| arg == "--smoke") {
        return full(&args);
    }
    let trial = Trial::test("outbox_and_link_are_measured", smoke);
    let harness: Vec<String> = std::env::args().filter(|arg| arg != "--smoke" && arg != "--bench").collect();
    libtest_mimic::run(&Arguments::from_iter(harness), vec![trial]).exit_code()
}

fn full(args: &[String]) -> ExitCode {
    match Options::of(args).and_then(|options| record(&options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("spool: {why}\n{}", options::USAGE);
            ExitCode::FAILURE
        }
    }
}

/// Measures, and writes down what came out.
fn record(options: &Options) -> Result<(), String> {
    let agent = if options.lean && options.has_programs() { lean::build()? } else { programs() };
    let report = measure(options, &agent)?;
    table::merge(&report.goals).map_err(|error| format!("write the figures: {error}"))?;
    for goal in &report.goals {
        println!("{}: {} {} ({})", goal.name, table::short(goal.figure), goal.unit, goal.goal);
    }
    if options.docs { figures::write_page(&report.figures) } else { Ok(()) }
}

/// Everything once, small, with the programs of the tests.
fn smoke() -> Result<(), Failed> {
    let report = measure(&Options::smoke(), &programs())?;
    for name in ["P10", "P10b", "P12"] {
        if report.goals.iter().all(|goal| goal.name != name) {
            return Err(format!("nothing was measured for {name}").into());
        }
    }
    Ok(())
}

/// The agent that cargo built for this bench.
fn programs() -> PathBuf {
    env!("CARGO_BIN_EXE_weir").into()
}

fn measure(options: &Options, agent: &Path) -> Result<Report, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut report = Report::default();
    for part in &options.parts {
        match part.as_str() {
            "commit" => commit::run(options, &mut report),
            "open" => open::run(options, &mut report),
            "breach" => runtime.block_on(breach::run(options, agent, &mut report)),
            "wire" => runtime.block_on(wire::run(options, agent, &mut report)),
            _ => runtime.block_on(catchup::run(options, agent, &mut report))?,
        }
    }
    Ok(report)
}

/// A directory on the disk that is measured, gone when it is dropped.
fn disk() -> tempfile::TempDir {
    tempfile::Builder::new().prefix("weir-spool").tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}
