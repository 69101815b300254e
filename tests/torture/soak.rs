//! An agent of each promise and a hub, for as long as one likes, under load and with kills: what they take of memory,
//! descriptors and files in the end must be what they took after a sixth of the time.
//!
//! A kill resets a process, so nothing is killed in the first sixth and in the last one: what is compared is of
//! processes of the same age. What grows by nature, the hub's history, is set against the number of its rows.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::Duration;

use weir::clock;

use super::plan::{Deed, Round};
use super::run::{Options, Run};
use super::site::pause;

/// What one program takes.
#[derive(Clone, Copy, Debug, Default)]
struct Sample {
    resident: u64,
    descriptors: u64,
    files: u64,
    bytes: u64,
    /// The transitions that the hub has; 0 for an agent.
    rows: u64,
}

/// The names of the programs, in the order of their samples.
const PROGRAMS: [&str; 3] = ["agent (durable)", "agent (processed)", "hub"];

impl Sample {
    fn of(pid: Option<u32>, dir: &Path, rows: u64) -> Self {
        let proc = format!("/proc/{}", pid.unwrap_or(0));
        let status = fs::read_to_string(format!("{proc}/status")).unwrap_or_default();
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let resident =
            resident.and_then(|rest| rest.trim().trim_end_matches("kB").trim().parse::<u64>().ok());
        let descriptors = fs::read_dir(format!("{proc}/fd")).map_or(0, Iterator::count) as u64;
        let (mut files, mut bytes) = (0, 0);
        for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
            // The programs' logs are the harness's own.
            if entry.path().extension().is_some_and(|ending| ending == "log") {
                continue;
            }
            files += 1;
            bytes += entry.metadata().map_or(0, |file| file.len());
        }
        Self { resident: resident.unwrap_or(0) * 1_024, descriptors, files, bytes, rows }
    }

    /// Bytes of its files; of a hub, those of one transition.
    fn weight(self) -> u64 {
        self.bytes.checked_div(self.rows).unwrap_or(self.bytes)
    }

    /// What grew beyond what chance does.
    fn grew(self, since: Self, name: &str) -> Vec<String> {
        let mut grown = Vec::new();
        let mut judge = |what: &str, before: u64, after: u64, most: u64| {
            if after > most {
                grown.push(format!("{name}: {what} grew from {before} to {after}, more than {most}"));
            }
        };
        // The allocator and SQLite's cache settle within this; a leak of an hour is far more.
        judge("resident memory", since.resident, self.resident, since.resident * 115 / 100 + (6 << 20));
        judge("descriptors", since.descriptors, self.descriptors, since.descriptors + 4);
        judge("files", since.files, self.files, since.files + 1);
        let room = if since.rows > 0 { since.weight() / 4 } else { 4 << 20 };
        judge("what its files take", since.weight(), self.weight(), since.weight() * 11 / 10 + room);
        grown
    }
}

/// Runs for so long.
pub(crate) fn soak(options: &Options, length: Duration) -> Result<(), String> {
    let dir = tempfile::Builder::new().prefix("weir-soak").tempdir().unwrap();
    let mut run = Run::start(options, dir.path());
    let begun = clock::nanos();
    let passed = || Duration::from_nanos(clock::nanos() - begun);
    let calm = length / 6;
    let mut rng = fastrand::Rng::with_seed(options.seed);
    let (mut after_calm, mut told) = (Vec::new(), 0);
    println!("{}", head());
    while passed() < length && run.outcome.faults.is_empty() {
        let now = passed();
        let calm_now = now < calm || now + calm > length;
        let period = if calm_now { length / 60 } else { (length / 60).min(Duration::from_secs(20)) };
        run.load(true);
        pause(period.max(Duration::from_secs(1)));
        if !calm_now {
            let deed = deed(&mut rng);
            run.round(&Round { before: 0, deeds: vec![deed], down: rng.u64(100..3_000) });
            run.outcome.rounds += 1;
        }
        run.check(false);
        let minute = passed().as_secs() / 60;
        if minute > told || length < Duration::from_secs(120) {
            told = minute;
            let samples = samples(&mut run);
            println!("{}", line(passed(), &samples));
        }
        if after_calm.is_empty() && passed() >= calm {
            after_calm = samples(&mut run);
        }
    }
    let end = samples(&mut run);
    println!("{}", columns(&after_calm, &end));
    let mut wrong: Vec<String> = run.outcome.faults.iter().map(ToString::to_string).collect();
    for ((end, since), name) in end.iter().zip(&after_calm).zip(PROGRAMS) {
        wrong.extend(end.grew(*since, name));
    }
    let outcome = run.end();
    println!("{}", super::account(&outcome, options));
    if wrong.is_empty() {
        return Ok(());
    }
    Err(format!("{}\neverything is kept in {}", wrong.join("\n"), dir.keep().display()))
}

fn deed(rng: &mut fastrand::Rng) -> Deed {
    let which = rng.usize(0..2);
    match rng.u8(0..10) {
        0..3 => Deed::AgentKilled(which),
        3 => Deed::AgentStopped(which),
        4..6 => Deed::HubKilled,
        6 => Deed::BrokerStopped,
        7 => Deed::Still(which, rng.bool()),
        _ => Deed::Cut(which),
    }
}

fn samples(run: &mut Run<'_>) -> Vec<Sample> {
    let rows = run.heard();
    let site = &run.site;
    let agent = |i: usize| {
        let agent = &site.agents[i];
        Sample::of(agent.program.child.as_ref().map(std::process::Child::id), &agent.state, 0)
    };
    let hub = Sample::of(site.hub.child.as_ref().map(std::process::Child::id), &site.dir.join("hub"), rows);
    vec![agent(0), agent(1), hub]
}

fn head() -> String {
    PROGRAMS.iter().fold("  minute".to_owned(), |mut text, name| {
        write!(text, " | {name:>17}: RSS KB   fds files  files KB").unwrap();
        text
    })
}

fn line(at: Duration, samples: &[Sample]) -> String {
    let minute = at.as_secs_f64() / 60.0;
    samples.iter().fold(format!("{minute:>8.1}"), |mut text, sample| {
        let Sample { resident, descriptors, files, bytes, .. } = sample;
        let (resident, bytes) = (resident / 1_024, bytes / 1_024);
        write!(text, " | {resident:>25} {descriptors:>5} {files:>5} {bytes:>9}").unwrap();
        text
    })
}

fn columns(since: &[Sample], end: &[Sample]) -> String {
    let mut text = format!("{:<40} {:>14} {:>14}", "", "after a sixth", "at the end");
    for ((since, end), name) in since.iter().zip(end).zip(PROGRAMS) {
        let mut row = |what: &str, before: u64, after: u64| {
            write!(text, "\n{:<40} {before:>14} {after:>14}", format!("{name}: {what}")).unwrap();
        };
        row("resident bytes", since.resident, end.resident);
        row("descriptors", since.descriptors, end.descriptors);
        row("files", since.files, end.files);
        row(
            if since.rows > 0 { "bytes of files per transition" } else { "bytes of files" },
            since.weight(),
            end.weight(),
        );
    }
    text
}
