//! The load from end to end: mosquitto → agent → hub, beside subscribers that only count.
//!
//! `cargo bench --bench load` builds the lean agent as a gateway gets it, and prints for 1 to 100,000 rules, at
//! 1,000 messages/s up to the broker's limit, with QoS 0 and 1, how many messages were offered,
//! how many matches were expected and came, CPU time a message of agent and broker, and memory;
//! then the goals P6, P7 and P8, and what a push of rules under load does. What is expected is
//! counted by the benchmark itself. Another program that takes the same load can be put in the
//! agent's place. Without `--bench`, as `cargo test` runs it, everything runs once with few
//! messages and debug programs; then only that nothing is lost is checked, never a time.
#![cfg(test)]

mod bare;
mod cage;
mod cell;
mod goals;
#[path = "../spine/lean.rs"]
mod lean;
mod options;
mod pool;
#[path = "../spine/process.rs"]
mod process;
mod publisher;
mod push;
mod report;
mod subject;
#[path = "../../tests/it/support/mod.rs"]
#[expect(dead_code, reason = "the integration tests need more of it")]
mod support;

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use libtest_mimic::{Arguments, Failed, Trial};

use cell::{Bench, Cell, Load};
use options::{Options, Part};
use pool::Pool;
use report::Report;
use subject::Subject;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let Some(subject) = bare::Request::of(&args) {
        return bare::main(&subject);
    }
    if args.iter().any(|arg| arg == "--bench") && !args.iter().any(|arg| arg == "--smoke") {
        return full(&args);
    }
    let trial = Trial::test("load_runs_and_loses_nothing", smoke);
    let harness: Vec<String> = std::env::args().filter(|arg| arg != "--smoke" && arg != "--bench").collect();
    libtest_mimic::run(&Arguments::from_iter(harness), vec![trial]).exit_code()
}

/// The measurement.
fn full(args: &[String]) -> ExitCode {
    let options = match Options::of(args) {
        Ok(options) => options,
        Err(why) => {
            eprintln!("load: {why}\n{}", options::USAGE);
            return ExitCode::FAILURE;
        }
    };
    let built = match (&options.program, &options.peer) {
        (Some(program), _) => Ok(program.clone()),
        (None, Some(_)) => Ok("weir".into()),
        (None, None) => lean::build(),
    };
    let agent = match built {
        Ok(agent) => agent,
        Err(why) => {
            eprintln!("load: {why}");
            return ExitCode::FAILURE;
        }
    };
    let report = measure(&options, &agent);
    if let Err(error) = report.write(options.pin || options.memory.is_some()) {
        eprintln!("write the figures: {error}");
    }
    for loss in &report.losses {
        println!("LOST: {loss}");
    }
    if report.losses.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Everything once, small, with the programs of the tests.
fn smoke() -> Result<(), Failed> {
    let report = measure(&Options::smoke(), Path::new(env!("CARGO_BIN_EXE_weir")));
    let push = report.push.as_ref().ok_or("no push")?;
    if push["came"] != push["expected"] || report.cells.iter().any(|cell| cell.behind) {
        return Err("the agent is behind".into());
    }
    if report.goals.len() != 5 {
        return Err("a goal is missing".into());
    }
    match report.losses.first() {
        None => Ok(()),
        Some(loss) => Err(loss.as_str().into()),
    }
}

fn measure(options: &Options, agent: &Path) -> Report {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let pool = Arc::new(Pool::new(options.pool, pool::DEVICES));
    let mut report = Report::default();
    println!("{}", Cell::HEAD);
    for part in &options.parts {
        match part {
            Part::Matrix => runtime.block_on(matrix(options, agent, &pool, &mut report)),
            Part::Goals => runtime.block_on(goals::measure(options, agent, &pool, &mut report)),
            Part::Push => runtime.block_on(push::measure(options, agent, &pool, &mut report)),
        }
    }
    report
}

/// Every number of rules under every load.
async fn matrix(options: &Options, agent: &Path, pool: &Arc<Pool>, report: &mut Report) {
    let subject = if options.peer.is_some() { Subject::Peer } else { Subject::Agent };
    for &rules in &options.rules {
        for &service in &options.services {
            let mut bench = Bench::start(subject, options, agent, pool, service, rules).await;
            let mut behind = false;
            for &rate in &options.rates {
                let messages = rate.map_or(options.messages, |rate| (rate * options.seconds) as usize);
                let cell = bench.run(Load { rate, messages, probes: false }).await;
                behind = cell.behind;
                report.add(cell);
                if behind {
                    break;
                }
            }
            if let Some((offered, [received, dropped])) = bench.account().filter(|_| !behind) {
                // What the broker itself gave up never came to the agent.
                if received < offered || dropped > 0 {
                    report.losses.push(format!(
                        "{rules} rules, QoS {}: {offered} messages offered, {received} received, {dropped} dropped",
                        service.name()
                    ));
                }
            }
        }
    }
}
