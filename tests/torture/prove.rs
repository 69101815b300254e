//! A check that cannot fail proves nothing: agents that break a promise on purpose must be found out.

use std::fmt::Write as _;

use fastrand::Rng;

use super::checker::Promise;
use super::plan::Deed;
use super::run::{self, Options};

/// Rounds within which it must show.
const WITHIN: usize = 24;

/// One way to break a promise, and what is done to have it show.
struct Case {
    sabotage: &'static str,
    aims: fn(&mut Rng) -> Deed,
}

const CASES: [Case; 2] = [
    // What was acknowledged and is not committed is gone when the agent ends between the two.
    Case { sabotage: "ack-before-commit", aims: |rng| Deed::AgentAt(0, "core.before_commit", rng.u32(2..9)) },
    // What was committed and is not acknowledged comes again when the agent ends between the two.
    Case { sabotage: "no-redelivery-check", aims: |rng| Deed::AgentAt(0, "core.committed", rng.u32(3..9)) },
];

/// Whether each is found out, and an agent that keeps its promises passes the same.
pub(crate) fn all(seed: u64, tell: bool) -> Result<(), String> {
    for case in &CASES {
        one(case, Some(case.sabotage), seed, tell)?;
        one(case, None, seed, tell)?;
    }
    Ok(())
}

fn one(case: &Case, sabotage: Option<&'static str>, seed: u64, tell: bool) -> Result<(), String> {
    let options = Options {
        rounds: if sabotage.is_some() { WITHIN } else { 4 },
        seed,
        promises: vec![Promise::Durable],
        sabotage,
        only: Some(case.aims),
        patience: std::time::Duration::from_secs(if sabotage.is_some() { 6 } else { 60 }),
        tell: false,
        ..super::options(0, seed)
    };
    let dir = tempfile::Builder::new().prefix("weir-torture").tempdir().unwrap();
    let outcome = run::run(&options, dir.path());
    let name = case.sabotage;
    match (sabotage, outcome.faults.first()) {
        (Some(_), Some(fault)) => {
            if tell {
                println!("{name} is found out after {} rounds: {fault}", outcome.rounds);
            }
            Ok(())
        }
        (Some(_), None) => {
            Err(format!("{name} is not found out within {} rounds of seed {seed}", outcome.rounds))
        }
        (None, None) => Ok(()),
        (None, Some(_)) => {
            let mut text = format!("aimed as at {name}, an agent that keeps its promises is blamed\n");
            write!(text, "{}", super::complaint(&outcome, &options, &dir.keep())).unwrap();
            Err(text)
        }
    }
}
