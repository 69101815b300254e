//! Rules that are pushed from the hub while messages come: what is lost, and how long the agent stands still.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value as Json, json};
use weir::clock::Clock;
use weir::tasks;

use super::cell::Bench;
use super::options::{Options, Service};
use super::pool::{Pool, Rules};
use super::process::Process;
use super::report::Report;
use super::subject::Subject;

/// Rules that run all the time, and whose matches are counted.
const BASE: usize = 300;
/// Between two probes.
const PROBE: Duration = Duration::from_millis(5);
/// How long an agent may take to run what was pushed.
const PATIENCE: u64 = 30_000_000;

pub(crate) async fn measure(options: &Options, agent: &Path, pool: &Arc<Pool>, report: &mut Report) {
    let mut bench = Bench::start(Subject::Agent, options, agent, pool, Service::OneFree, BASE).await;
    let before = bench.reader.process().memory();
    let rate = options.push_rate;
    let count = (rate * options.seconds * 3) as usize;
    let expected = bench.expected_of(count);
    let mut publisher = bench.connect("publisher");
    let (packets, service) = (pool.clone(), bench.service);
    let publishing = tasks::thread("publisher", move || {
        publisher.publish(packets.packets(service.qos()), 0..packets.len(), count, Some(rate));
    })
    .unwrap();
    // Probes go on until the publisher is done, on a thread of their own.
    let mut probing = bench.connect("probing");
    let (stop, stopped) = weir::tasks::StopSource::new();
    let probes = tasks::thread("probing", move || {
        let mut count = 0_u64;
        while !stopped.is_stopped() {
            probing.say("bench/probing", &format!("{{\"sent\": {}}}", weir::clock::wall().micros()));
            count += 1;
            std::thread::park_timeout(PROBE);
        }
        count
    })
    .unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;
    bench.reader.look().await;
    let quiet = bench.reader.probes.len();

    let rules = Rules::new(options.goal_rules[0], 1_000_000).yaml();
    let clock = Clock::start();
    let site = bench.reader.site().expect("an agent");
    let (code, said) = site.desk.put("/rulesets/pushed", &rules).await;
    assert_eq!(code, 200, "{said}");
    let sent = clock.uptime().as_micros() as u64;
    let runs = loop {
        let view = site.desk.get("/agents/load").await;
        let runs = |set: &Json| set["name"] == "pushed" && !set["running_hash"].is_null();
        if view["sets"].as_array().is_some_and(|sets| sets.iter().any(runs)) {
            break clock.uptime().as_micros() as u64;
        }
        if clock.uptime().as_micros() as u64 > PATIENCE {
            println!("the pushed rules do not run after {} s: {view}", PATIENCE / 1_000_000);
            break PATIENCE;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    publishing.join().unwrap();
    stop.stop();
    let asked = probes.join().unwrap();
    let mut last = bench.connect("last");
    let behind = !bench.reader.probe(&mut last, "last", Duration::from_secs(20)).await;
    let after = Process::memory(bench.reader.process());
    let came = bench.reader.of_load();
    let latency: Vec<i64> = bench
        .reader
        .probes
        .iter()
        .filter(|probe| probe.name == "probing")
        .map(|probe| probe.micros)
        .collect();
    let longest = |part: &[i64]| part.iter().copied().max().unwrap_or(0) as f64 / 1e3;
    let at = quiet.min(latency.len());
    let (idle, stall) = (longest(&latency[..at]), longest(&latency[at..]));
    println!(
        "push: {} rules under {rate} messages/s: sent to the hub in {:.0} ms, running after {:.0} ms; longest delay {stall:.1} ms (before the push {idle:.1} ms); matches expected {expected}, came {came}; probes {asked}, came {}; RSS {:.1} → {:.1} MB{}",
        options.goal_rules[0],
        sent as f64 / 1e3,
        runs as f64 / 1e3,
        latency.len(),
        before.resident_bytes as f64 / 1e6,
        after.resident_bytes as f64 / 1e6,
        if behind { "; behind" } else { "" },
    );
    if !behind && came != expected {
        report.losses.push(format!("push: {expected} matches expected, {came} came"));
    }
    report.push = Some(json!({
        "rules": options.goal_rules[0], "rate": rate, "sent_ms": sent as f64 / 1e3, "running_ms": runs as f64 / 1e3,
        "longest_delay_ms": stall, "longest_delay_before_ms": idle, "expected": expected, "came": came,
        "probes": asked, "probes_came": latency.len(), "behind": behind,
        "rss_before_bytes": before.resident_bytes, "rss_after_bytes": after.resident_bytes,
    }));
}
