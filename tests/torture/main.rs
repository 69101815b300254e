//! Broker, hub, agents and links are killed, stopped, cut and held up, hundreds of times, while devices measure; and what
//! the hub has in the end is compared with what happened.
//!
//! `cargo test` runs a short form. `make torture ROUNDS=500 SEED=7` runs the long one, and repeats the plan of a seed.
#![cfg(test)]

mod checker;
mod oracle;
mod plan;
mod prove;
mod publisher;
mod readings;
mod relay;
mod replay;
mod rules;
mod run;
mod site;
mod soak;
#[path = "../it/support/mod.rs"]
#[expect(dead_code, reason = "the integration tests need more of it")]
mod support;

use std::fmt::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use libtest_mimic::{Arguments, Failed, Trial};

use checker::Promise;
use run::{Options, Outcome};

fn main() -> ExitCode {
    if let Some(rounds) = number("TORTURE_ROUNDS") {
        return ended(long(usize::try_from(rounds).unwrap()));
    }
    if let Some(minutes) = number("SOAK_MINUTES") {
        return ended(soak::soak(&options(usize::MAX, seed()), Duration::from_secs(60 * minutes)));
    }
    let trials = vec![
        Trial::test("what_is_expected_is_what_a_replay_gives", || said(replay::agrees())),
        Trial::test("a_broken_promise_is_found_out", || said(prove::all(seed(), false))),
        Trial::test("nothing_grows", || {
            said(soak::soak(&options(usize::MAX, seed()), Duration::from_secs(36)))
        }),
        Trial::test("nothing_is_lost_and_nothing_comes_twice", || said(short())),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

fn said(outcome: Result<(), String>) -> Result<(), Failed> {
    outcome.map_err(Failed::from)
}

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

fn options(rounds: usize, seed: u64) -> Options {
    Options {
        rounds,
        seed,
        per_second: 200.0,
        sabotage: None,
        promises: vec![Promise::Durable, Promise::Processed],
        patience: site::PATIENCE,
        only: None,
        tell: true,
    }
}

fn seed() -> u64 {
    number("TORTURE_SEED").unwrap_or(1)
}

fn ended(outcome: Result<(), String>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

/// As `make torture` runs it.
fn long(rounds: usize) -> Result<(), String> {
    let seed = seed();
    println!("torture: {rounds} rounds of seed {seed}");
    torture(&options(rounds, seed))?;
    prove::all(seed, true)
}

/// As `cargo test` runs it.
fn short() -> Result<(), String> {
    torture(&options(30, seed()))
}

fn torture(options: &Options) -> Result<(), String> {
    let dir = tempfile::Builder::new().prefix("weir-torture").tempdir().unwrap();
    let outcome = run::run(options, dir.path());
    println!("{}", account(&outcome, options));
    if outcome.faults.is_empty() {
        return Ok(());
    }
    Err(complaint(&outcome, options, &dir.keep()))
}

/// What a run came to, for people.
fn account(outcome: &Outcome, options: &Options) -> String {
    let mut text = format!(
        "{} rounds in {} s, {} blows (seed {}):\n",
        outcome.rounds,
        outcome.seconds,
        outcome.blows(),
        options.seed
    );
    for (kind, count) in &outcome.deeds {
        writeln!(text, "  {count:>5}  {kind}").unwrap();
    }
    let Outcome { not_reached, readings, sent_again, agreed, excused, redelivered, gaps, .. } = outcome;
    write!(
        text,
        "  {not_reached} places were not reached in time, and the program was killed there\n\
         {readings} readings published, {sent_again} of them sent again; {agreed} transitions agree, {excused} of windows \
         open at a crash (processed) or of repeated readings are not judged;\n\
         delivered again to the agents {redelivered:?}, gaps of input that they reported {gaps:?}"
    )
    .unwrap();
    text
}

fn complaint(outcome: &Outcome, options: &Options, dir: &std::path::Path) -> String {
    let mut text = format!("after round {} of seed {}:\n", outcome.rounds, options.seed);
    for fault in outcome.faults.iter().take(30) {
        writeln!(text, "  {fault}").unwrap();
    }
    let more = outcome.faults.len().saturating_sub(30);
    if more > 0 {
        writeln!(text, "  and {more} more").unwrap();
    }
    writeln!(text, "since the last check:\n  {}", outcome.segment.join("\n  ")).unwrap();
    write!(
        text,
        "everything is kept in {}\nrepeat it: make torture ROUNDS={} SEED={}",
        dir.display(),
        options.rounds,
        options.seed
    )
    .unwrap();
    text
}
