//! The link between an agent and its hub at its worst: two hosts, each a network namespace with the real programs and
//! the system's own TCP, and between them a link that loses, delays, throttles and cuts, while the hub is ended and
//! started again. Whatever happens, all alerts arrive, in order, once.
//!
//! `NETSIM_SEEDS=200 NETSIM_SEED=1 cargo test --test netsim` runs more of them, or others; `NETSIM_JOBS` at once. What
//! happens in a run is a function of its seed; when exactly, and to which packet, depends on the machine too.
#![cfg(test)]

mod check;
mod host;
mod link;
mod plan;
mod site;

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use link::pause;
use plan::Plan;
use site::Outcome;

/// How many seeds the test suite runs, and how many it may run at once.
const SEEDS: u64 = 10;
const JOBS: u64 = 24;

/// Within what a dead link must be found: 30 s after what was heard last. What was under way, perhaps lost and sent again,
/// is heard after the cut; and the look at it, on a busy machine, takes its time.
const FOUND_WITHIN: Duration = Duration::from_secs(30 + 4);

/// What may stay in the buffers of a connection that broke, bytes.
const UNSENT: u64 = 128 << 10;

/// What may be sent between the look at the agent's count and that at the link's, bytes.
const SINCE: u64 = 4 << 10;

/// Starts are spread: what they cost is the machine's, and not what is asked here.
const APART: Duration = Duration::from_millis(400);

#[test]
fn all_alerts_arrive_once_and_in_order_over_a_bad_link() {
    host::sweep();
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let (seeds, first) = (number("NETSIM_SEEDS").unwrap_or(SEEDS), number("NETSIM_SEED").unwrap_or(1));
    let jobs = number("NETSIM_JOBS").unwrap_or(JOBS).min(seeds);
    let (next, end) = (AtomicU64::new(first), first.saturating_add(seeds));
    let outcomes = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for job in 0..jobs {
            let (next, outcomes) = (&next, &outcomes);
            std::thread::Builder::new()
                .name("run".to_owned())
                .spawn_scoped(scope, move || {
                    pause(APART * u32::try_from(job).unwrap_or(0));
                    loop {
                        let seed = next.fetch_add(1, Ordering::Relaxed);
                        if seed >= end {
                            return;
                        }
                        let outcome = run(seed);
                        outcomes.lock().unwrap().push(outcome);
                    }
                })
                .unwrap();
        }
    });
    summary(outcomes.into_inner().unwrap());
}
fn run(seed: u64) -> (u64, Plan, Result<Outcome, String>) {
    let plan = Plan::new(seed);
    let outcome = site::run(seed, &plan).and_then(|outcome| {
        let [up, down] = outcome.traffic;
        let [sent, received] = outcome.bytes;
        let most = up.carried + up.connections * UNSENT;
        match outcome.found_after {
            Some(span) if span > FOUND_WITHIN => Err(format!("a dead link was found after {span:.1?}")),
            _ if sent + SINCE < up.carried || sent > most || received == 0 || received > down.carried => Err(
                format!("the agent counts {sent} and {received} bytes, the link carried {up:?} and {down:?}"),
            ),
            _ => Ok(outcome),
        }
    });
    let ended = format!("{} ends of the hub", plan.hub_ends);
    match &outcome {
        Ok(o) => println!(
            "seed {seed}: {} readings, {:?}, {ended}; {} sessions, {} sent, {} of {} packets dropped, dead link found after {:.1?}, all there {:.1?} after the last fault, {:?} bytes of {:?}",
            plan.readings.len(),
            plan.faults,
            o.sessions,
            o.sent,
            o.traffic[0].dropped + o.traffic[1].dropped,
            o.traffic[0].packets + o.traffic[1].packets,
            o.found_after,
            o.arrived_after,
            o.bytes,
            o.traffic.map(|way| way.carried),
        ),
        Err(why) => println!("seed {seed}: {:?}, {ended}: FAILED\n{why}", plan.faults),
    }
    (seed, plan, outcome)
}

fn summary(runs: Vec<(u64, Plan, Result<Outcome, String>)>) {
    let of = |value: fn(&Outcome) -> Option<Duration>| {
        runs.iter().filter_map(move |(.., run)| value(run.as_ref().ok()?))
    };
    let found = of(|run| run.found_after);
    println!(
        "{} runs, {} readings, {} ends of the hub, {} sessions; {} of {} packets dropped; {} dead links found, the last after {:.1?}; all there at most {:.1?} after the last fault",
        runs.len(),
        runs.iter().map(|(_, plan, _)| plan.readings.len()).sum::<usize>(),
        runs.iter().map(|(_, plan, _)| plan.hub_ends).sum::<usize>(),
        runs.iter().filter_map(|(.., run)| run.as_ref().ok()).map(|run| run.sessions).sum::<u64>(),
        runs.iter()
            .filter_map(|(.., run)| run.as_ref().ok())
            .flat_map(|run| run.traffic)
            .map(|t| t.dropped)
            .sum::<u64>(),
        runs.iter()
            .filter_map(|(.., run)| run.as_ref().ok())
            .flat_map(|run| run.traffic)
            .map(|t| t.packets)
            .sum::<u64>(),
        found.clone().count(),
        found.max().unwrap_or_default(),
        of(|run| Some(run.arrived_after)).max().unwrap_or_default(),
    );
    let failed: Vec<String> = runs
        .iter()
        .filter_map(|(seed, _, run)| {
            Some(format!("NETSIM_SEED={seed} NETSIM_SEEDS=1: {}", run.as_ref().err()?))
        })
        .collect();
    assert!(failed.is_empty(), "\n{}", failed.join("\n"));
}
