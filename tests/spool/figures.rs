//! What the spool costs: `cargo test --test spool -- --ignored --nocapture figures`.

use weir::clock::Clock;
use weir::model::kept::{Lane, Outgoing, StateChange, StateKey};
use weir::model::label::Fingerprint;
use weir::model::ranges::Ranges;
use weir::spool::{Commit, Config, Spool};

use crate::model::NOW;

fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Bytes that the process handed to the disk.
fn written() -> u64 {
    let io = std::fs::read_to_string("/proc/self/io").unwrap();
    let line = io.lines().find(|line| line.starts_with("wchar")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn batch(random: &mut fastrand::Rng, rows: usize, states: bool) -> Commit {
    let mut commit = Commit::default();
    for _ in 0..rows {
        let fingerprint = Fingerprint(random.u64(1..20_000));
        let body = vec![random.u8(..); 650];
        commit.transitions.push(Outgoing { body, fingerprint, rank: random.u8(0..4), urgent: false });
        if states {
            let key = StateKey { ruleset: "plant".into(), rule: "hot".into(), fingerprint };
            commit.states.push(StateChange { key, body: Some(vec![1; 120]) });
        }
    }
    commit
}

#[test]
#[ignore = "takes a minute, and a gigabyte of disk"]
fn figures() {
    let dir = tempfile::tempdir_in(std::env::var("SPOOL_DIR").unwrap_or_else(|_| "/tmp".to_owned())).unwrap();
    let mut random = fastrand::Rng::with_seed(3);
    for (rows, times, states) in [(1, 2_000, false), (1, 2_000, true), (100, 300, false), (100, 300, true)] {
        let path = dir.path().join(format!("{rows}-{states}.db"));
        let (mut spool, _) = Spool::open(&path, &Config::default(), NOW).unwrap();
        let (begin, bytes) = (Clock::start(), written());
        for i in 0..times {
            spool.commit(&batch(&mut random, rows, states), NOW).unwrap();
            if i % 2 == 1 {
                let floor = spool.newest();
                spool.forget(floor, &[]).unwrap();
            }
        }
        drop(spool);
        let all = (rows * times) as u64;
        println!(
            "batches of {rows}, {}: {:.0} commits/s, {:.0} transitions/s, {} bytes written for each of 650",
            if states { "with states" } else { "alone" },
            times as f64 / begin.uptime().as_secs_f64(),
            all as f64 / begin.uptime().as_secs_f64(),
            (written() - bytes) / all,
        );
    }
    let path = dir.path().join("million.db");
    let config = Config { max_bytes: 1 << 30, ..Config::default() };
    let (mut spool, _) = Spool::open(&path, &config, NOW).unwrap();
    let begin = Clock::start();
    for _ in 0..1_000 {
        spool.commit(&batch(&mut random, 1_000, false), NOW).unwrap();
    }
    println!("a million rows put in within {:.1?}", begin.uptime());
    drop(spool);
    // A process of its own, whose heap is small.
    let mut child = std::process::Command::new(std::env::current_exe().unwrap());
    child.args(["--ignored", "--nocapture", "--exact", "figures::opens"]).env("SPOOL_FILE", &path);
    assert!(child.status().unwrap().success());
    let (mut spool, _) = Spool::open(&path, &config, NOW).unwrap();
    let begin = Clock::start();
    let page = spool.peek(Lane::Rest, &Ranges::up_to(500_000), u64::MAX, 200, 128 << 10).unwrap();
    println!("{} rows of its middle in {:.1?}", page.len(), begin.uptime());
    let mut urgent = batch(&mut random, 1, false);
    urgent.transitions[0].urgent = true;
    let begin = Clock::start();
    spool.commit(&urgent, NOW).unwrap();
    println!("an urgent one in {:.1?}", begin.uptime());
    drop(spool);
    let config = Config { max_bytes: 600 << 20, ..Config::default() };
    let (mut spool, _) = Spool::open(&path, &config, NOW).unwrap();
    let (before, begin, bytes) = (resident(), Clock::start(), written());
    spool.commit(&batch(&mut random, 1, false), NOW).unwrap();
    let stats = spool.stats(NOW);
    println!(
        "given up {} (superseded {}) in {:.1?}, {} KiB more resident, {} MiB written",
        stats.evicted,
        stats.superseded,
        begin.uptime(),
        resident().saturating_sub(before),
        (written() - bytes) >> 20
    );
}

#[test]
#[ignore = "a part of the figures"]
fn opens() {
    let Some(path) = std::env::var_os("SPOOL_FILE") else { return };
    let (before, begin) = (resident(), Clock::start());
    let (spool, _) = Spool::open(path.as_ref(), &Config::default(), NOW).unwrap();
    let (took, more) = (begin.uptime(), resident() - before);
    println!("{} rows opened in {took:.1?}, {more} KiB more resident", spool.stats(NOW).waiting);
}
