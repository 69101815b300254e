//! A disk that takes nothing: the agent evaluates on, holds what it decides, says so, and heals.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value as Json;

use super::{PLAIN, Site, assert_gapless, connected};
use crate::support::disk::SmallDisk;
use crate::support::programs::free_port;
use crate::support::within;

/// A site whose agent has its state on a small disk.
async fn site(config: &str) -> (Site, SmallDisk) {
    let disk = std::cell::OnceCell::new();
    let through = |dir: &std::path::Path| {
        let disk = disk.get_or_init(|| SmallDisk::new(&dir.join("agent/state"), 3_072));
        disk.through()
    };
    let site = Site::start_through(&[], &(config, ""), &[], &through);
    site.agent.until("agent, broker and hub are connected", connected).await;
    site.push("plain", PLAIN).await;
    let disk = disk.into_inner().unwrap();
    (site, disk)
}

/// Lets a device of this name pass the line and come back, so many times in all.
fn publish(site: &Site, device: &str, count: usize, qos: &str) {
    let lines: Vec<String> =
        (0..count).map(|i| format!(r#"{{"v": {}}}"#, if i % 2 == 0 { 61 } else { 50 })).collect();
    site.broker.publish_lines(&format!("plant/{device}/t"), &lines, &["-q", qos]);
}

fn trouble(status: &Json) -> &Json {
    &status["core"]["disk"]["trouble"]
}

/// The states of a device's alert, in the order of their numbers.
fn states(all: &[Json], device: &str) -> Vec<String> {
    let own = all.iter().filter(|t| t["labels"]["device"] == device);
    own.map(|t| t["state"].as_str().unwrap().to_owned()).collect()
}

/// A figure of the agent's report, as the hub has it.
async fn reported(site: &Site, name: &str) -> Option<f64> {
    site.desk().get("/agents/gw-1").await["status"]["metrics"][name].as_f64()
}

/// Waits until a figure of the agent's own `/metrics` is this or more.
async fn measured(port: u16, name: &str, least: f64) {
    let ask = || {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
        write!(stream, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").ok()?;
        let mut text = String::new();
        stream.read_to_string(&mut text).ok()?;
        let line =
            text.lines().find(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(' ')))?;
        line.rsplit(' ').next()?.parse::<f64>().ok()
    };
    within(name, async {
        while ask().is_none_or(|figure| figure < least) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_holds_what_is_decided_until_there_is_room() {
    for durability in ["processed", "durable"] {
        let (site, disk) = site(&format!("spool.durability = {durability:?}")).await;
        disk.fill();
        // What the write-ahead log has room for goes on for a while.
        let mut count = 0;
        let full = within("the disk takes nothing", async {
            loop {
                publish(&site, "m1", 10, "0");
                count += 10;
                tokio::time::sleep(Duration::from_millis(100)).await;
                let status = site.agent.status().unwrap();
                if trouble(&status)["held"].as_u64() > Some(20) {
                    return status;
                }
            }
        })
        .await;
        assert_eq!(trouble(&full)["kind"], "full", "{full}");
        assert_eq!(full["core"]["disk"]["troubles"], 1);
        let shown = site.agent.shown();
        assert!(shown.contains("DISK  takes nothing since"), "{shown}");
        within("the hub hears of it", async {
            while reported(&site, r#"weir_spool_trouble{kind="full"}"#).await != Some(1.0) {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        })
        .await;
        // Readings that are not acknowledged are evaluated too, as far as the broker sends them.
        publish(&site, "m2", 8, "1");
        let status =
            site.agent.until("they wait", |s| trouble(s)["unacknowledged"].as_u64() >= Some(8)).await;
        let committed = status["core"]["spool"]["newest"].as_u64().unwrap();
        assert_eq!(site.transitions(0).await.len() as u64, committed, "nothing is told that is not durable");

        disk.free();
        site.agent.until("it heals", |s| trouble(s).is_null()).await;
        publish(&site, "m3", 40, "1");
        let all = site.transitions(count + 48).await;
        assert_gapless(&all);
        for (device, count) in [("m1", count), ("m2", 8), ("m3", 40)] {
            assert_eq!(
                states(&all, device),
                ["firing", "resolved"].repeat(count / 2),
                "{device} {durability}"
            );
        }
        let log = site.agent.log();
        assert!(log.contains("the disk takes again"), "{log}");
        let stale = super::counter(&site.agent.status().unwrap(), "plant", "stale_acks");
        assert_eq!(stale, 0, "the connection stood all the while");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_not_acknowledged_on_a_full_disk_survives_a_kill() {
    for durability in ["processed", "durable"] {
        let (mut site, disk) = site(&format!("spool.durability = {durability:?}")).await;
        disk.fill();
        let mut count = 0;
        // One at a time, so that each has a commit of its own.
        within("the disk takes nothing", async {
            while trouble(&site.agent.status().unwrap()).is_null() {
                publish(&site, "m1", 2, "1");
                count += 2;
            }
        })
        .await;
        publish(&site, "m1", 6, "1");
        count += 6;
        site.agent.until("they wait", |s| trouble(s)["unacknowledged"].as_u64() >= Some(6)).await;
        site.agent.kill();
        // It starts on the full disk too.
        site.agent.run();
        let status = site.agent.until("it is back", |s| s["sources"][0]["connected"] == true).await;
        assert_eq!(status["core"]["rulesets"][0]["name"], "plain", "{status}");
        disk.free();
        let all = site.transitions(count).await;
        assert_gapless(&all);
        assert_eq!(states(&all, "m1"), ["firing", "resolved"].repeat(count / 2), "{durability}");
        site.agent.until("it heals", |s| trouble(s).is_null()).await;
        site.agent.stop();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_that_starts_on_a_disk_without_room_for_a_spool_runs_and_heals() {
    let disk = std::cell::OnceCell::new();
    let through = |dir: &std::path::Path| {
        let disk = disk.get_or_init(|| {
            let disk = SmallDisk::new(&dir.join("agent/state"), 2_048);
            disk.fill();
            disk
        });
        disk.through()
    };
    let rules = tempfile::tempdir().unwrap();
    std::fs::write(rules.path().join("plain.yaml"), PLAIN).unwrap();
    let port = free_port();
    let config = format!(
        "rules.directory = {:?}\nlisten.http = \"127.0.0.1:{port}\"\n",
        rules.path().display().to_string()
    );
    let mut site = Site::start_through(&[], &(&config, ""), &[], &through);
    let disk = disk.get().unwrap();
    measured(port, r#"weir_spool_trouble{kind="full"}"#, 1.0).await;
    measured(port, r#"weir_source_connected{source="plant"}"#, 1.0).await;
    measured(port, "weir_link_connected", 1.0).await;
    let mut sent = 0;
    within("what comes is decided", async {
        while tokio::time::timeout(Duration::from_secs(1), measured(port, "weir_spool_held", 4.0))
            .await
            .is_err()
        {
            publish(&site, "m1", 2, "1");
            sent += 2;
        }
    })
    .await;
    assert!(site.transitions(0).await.is_empty());
    disk.free();
    // What came before the subscription stood was nobody's.
    let status = site.agent.until("it heals, and can be asked", |s| trouble(s).is_null()).await;
    let newest = usize::try_from(status["core"]["spool"]["newest"].as_u64().unwrap()).unwrap();
    assert!((4..=sent).contains(&newest), "{status}");
    assert_gapless(&site.transitions(newest).await);
    publish(&site, "m2", 4, "1");
    assert_gapless(&site.transitions(newest + 4).await);
    site.agent.stop();
    site.agent.run();
    site.agent.until("it starts on what it wrote", connected).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_may_only_be_read_lets_the_agent_start_with_what_it_knew() {
    let port = free_port();
    let (mut site, disk) = site(&format!("listen.http = \"127.0.0.1:{port}\"\n")).await;
    publish(&site, "m1", 1, "1");
    site.transitions(1).await;
    site.agent.kill();
    disk.read_only(true);
    site.agent.run();
    measured(port, r#"weir_spool_trouble{kind="read_only"}"#, 1.0).await;
    // It knows that the alert is up: it ends, and does not begin again.
    site.broker.publish("plant/m1/t", r#"{"v": 62}"#, &["-q", "1"]);
    site.broker.publish("plant/m1/t", r#"{"v": 50}"#, &["-q", "1"]);
    measured(port, "weir_spool_held", 1.0).await;
    disk.read_only(false);
    let all = site.transitions(2).await;
    assert_gapless(&all);
    assert_eq!(states(&all, "m1"), ["firing", "resolved"]);
    assert_eq!(all[0]["epoch"], all[1]["epoch"]);
    site.agent.until("it heals, and can be asked", |s| trouble(s).is_null()).await;
}
