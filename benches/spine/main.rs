//! The first end-to-end benchmark: mosquitto → agent → hub, beside subscribers that only count.
//!
//! `cargo bench --bench spine` builds the lean agent as a gateway gets it, and prints messages a
//! second, CPU time a message, memory, what was lost, and how long a breach takes to the hub's event
//! stream; each beside its ceiling from the same run. The figures also go to `target/weir-spine.json`.
//! Without `--bench`, as `cargo test` runs it, everything runs once with few messages and debug
//! programs; then only that nothing is lost is checked, never a time.
//!
//! CPU time is that of the whole process, user and system. On a machine where the broker, the
//! reader and the publishers share cores, it tells more than messages a second do.
#![cfg(test)]

mod bare;
mod lean;
mod options;
mod process;
mod publisher;
mod reader;
mod recording;
mod report;
mod run;
#[path = "../../tests/it/support/mod.rs"]
#[expect(dead_code, reason = "the integration tests need more of it")]
mod support;

use std::path::Path;
use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};

use options::Options;
use reader::Subject;
use recording::Recording;
use report::Report;
use run::Load;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let Some(subject) = bare::Request::of(&args) {
        return bare::main(&subject);
    }
    if args.iter().any(|arg| arg == "--bench") && !args.iter().any(|arg| arg == "--smoke") {
        return full(&args);
    }
    let trial = Trial::test("spine_runs_and_loses_nothing", smoke);
    let harness: Vec<String> = std::env::args().filter(|arg| arg != "--smoke" && arg != "--bench").collect();
    libtest_mimic::run(&Arguments::from_iter(harness), vec![trial]).exit_code()
}

/// The measurement.
fn full(args: &[String]) -> ExitCode {
    let options = match Options::of(args) {
        Ok(options) => options,
        Err(why) => {
            eprintln!("spine: {why}\n{}", options::USAGE);
            return ExitCode::FAILURE;
        }
    };
    let agent = match lean::build() {
        Ok(agent) => agent,
        Err(why) => {
            eprintln!("spine: {why}");
            return ExitCode::FAILURE;
        }
    };
    let report = measure(&options, &agent);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/weir-spine.json");
    println!("\n{report}");
    match std::fs::write(&path, format!("{:#}\n", report.json())) {
        Ok(()) => println!("as JSON: {}", path.display()),
        Err(error) => eprintln!("write {}: {error}", path.display()),
    }
    match report.failure() {
        None => ExitCode::SUCCESS,
        Some(why) => {
            eprintln!("spine: {why}");
            ExitCode::FAILURE
        }
    }
}

/// Everything once, small, with the programs of the tests.
fn smoke() -> Result<(), Failed> {
    let report = measure(&Options::smoke(), Path::new(env!("CARGO_BIN_EXE_weir")));
    println!("{report}");
    for part in ["agent_size_bytes", "runs", "breach"] {
        if report.json()[part].is_null() {
            return Err(format!("the report lacks `{part}`").into());
        }
    }
    report.failure().map_or(Ok(()), |why| Err(why.into()))
}

fn measure(options: &Options, agent: &Path) -> Report {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let recording = Recording::load();
    let mut report = Report::new(agent);
    let flat = |name, qos, messages| Load { name, qos, messages, rate: None };
    let loads = [
        flat("recording, QoS 1", 1, options.recording),
        flat("flat out, QoS 1", 1, options.messages),
        flat("flat out, QoS 0", 0, options.messages),
        Load { name: "paced, QoS 1", qos: 1, messages: options.paced, rate: Some(options.rate) },
    ];
    for load in &loads {
        for subject in [Subject::Client, Subject::Ingest, Subject::Agent] {
            println!("running: {}, {}", load.name, subject.name());
            report.runs.push(runtime.block_on(run::load(subject, agent, load, &recording)));
        }
    }
    for subject in [Subject::Client, Subject::Ingest, Subject::Agent] {
        println!("running: breach, {}", subject.name());
        report.breach.push((subject, runtime.block_on(run::breaches(subject, agent, options.breaches))));
    }
    report
}
