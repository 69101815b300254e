//! Links that break and data that is broken.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::http::HeaderMap;
use axum::routing::post;
use serde_json::Value as Json;
use tokio::net::TcpListener;
use weir::tasks;

use super::{PLAIN, Site, assert_gapless};
use crate::support::programs::free_port;
use crate::support::within;

/// The ids of the events that a receiver got, in order.
type Received = Arc<Mutex<Vec<String>>>;

/// Starts a receiver of CloudEvents.
async fn receiver(port: u16) -> Received {
    let received = Received::default();
    let takes = received.clone();
    let take = post(move |headers: HeaderMap| async move {
        takes.lock().unwrap().push(headers["ce-id"].to_str().unwrap().to_owned());
    });
    let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    drop(tasks::spawn("receiver", async move { axum::serve(listener, Router::new().route("/", take)).await }));
    received
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_fires_while_hub_and_receiver_are_down_arrives_once_and_in_order() {
    let port = free_port();
    let target = format!("people=http://127.0.0.1:{port}/");
    let mut site = Site::start(&["--target", &target], "").await;
    site.push("plain", PLAIN).await;
    site.hub.kill();
    for i in 0..40 {
        let value = if i % 2 == 0 { 61 + i } else { 50 };
        site.broker.publish("plant/m1/t", &format!(r#"{{"v": {value}}}"#), &["-q", "1"]);
        if i % 10 == 0 {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
    let status = site.agent.until("all wait", |s| s["core"]["spool"]["waiting"] == 40).await;
    assert_eq!(status["link"]["connected"], false);
    assert!(status["link"]["error"].as_str().is_some_and(|why| !why.is_empty()), "{status}");
    site.hub.run();
    let all = site.transitions(40).await;
    assert_gapless(&all);
    let states: Vec<&str> = all.iter().map(|t| t["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["firing", "resolved"].repeat(20), "in order");

    // The receiver was down all the while.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let received = receiver(port).await;
    within("the events", async {
        while received.lock().unwrap().len() < 40 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let expected: Vec<String> =
        all.iter().map(|t| format!("{}/{}/{}", t["agent"].as_str().unwrap(), t["epoch"].as_str().unwrap(), t["seq"])).collect();
    assert_eq!(*received.lock().unwrap(), expected);
}

/// The copy of a spool gives numbers again that the hub has seen; also where it has given so many
/// meanwhile that it is not behind.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_copy_of_the_spool_loses_nothing_that_it_decides() {
    let mut site = Site::start(&[], "").await;
    site.push("plain", PLAIN).await;
    let publish = |site: &Site, device: &str, count: u64| {
        for i in 0..count {
            let value = if i % 2 == 0 { 61 } else { 50 };
            site.broker.publish(&format!("plant/{device}/t"), &format!(r#"{{"v": {value}}}"#), &["-q", "1"]);
        }
    };
    site.agent.stop();
    let spool = site.path().join("agent/state/spool.db");
    let copy = std::fs::read(&spool).unwrap();
    for (restored, device, count) in [(false, "m1", 4), (true, "m2", 6), (true, "m3", 1)] {
        if restored {
            site.agent.kill();
            site.hub.kill();
            let wal = spool.with_extension("db-wal");
            std::fs::remove_file(&wal).or_else(|e| if wal.exists() { Err(e) } else { Ok(()) }).unwrap();
            std::fs::write(&spool, &copy).unwrap();
        }
        site.agent.run();
        site.agent.until("the broker is back", |s| s["sources"][0]["connected"] == true).await;
        publish(&site, device, count);
        if restored {
            site.agent.until("all wait", |s| s["core"]["spool"]["newest"] == count).await;
            site.hub.run();
        }
        site.agent.until("all went", |s| super::connected(s) && s["core"]["spool"]["waiting"] == 0).await;
        let all = site.transitions(0).await;
        let of_device = all.iter().filter(|t| t["labels"]["device"] == device).count() as u64;
        assert_eq!(of_device, count, "{device}: {all:#?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_was_down_costs_no_message_of_qos_1() {
    let mut site = Site::start(&[], "").await;
    site.push("plain", PLAIN).await;
    site.broker.publish("plant/m1/t", r#"{"v": 61}"#, &["-q", "1"]);
    site.transitions(1).await;
    site.broker.stop();
    let status = site.agent.until("the loss shows", |s| s["sources"][0]["connected"] == false).await;
    assert!(status["sources"][0]["error"].as_str().is_some_and(|why| !why.is_empty()), "{status}");
    assert_eq!(status["core"]["alerts"][0]["phase"], "firing", "a lost broker resolves nothing");
    site.broker.run();
    // Published before the agent is back, or after: the session holds it.
    for v in [50, 62, 50] {
        site.broker.publish("plant/m1/t", &format!(r#"{{"v": {v}}}"#), &["-q", "1"]);
    }
    let all = site.transitions(4).await;
    assert_gapless(&all);
    let status = site.agent.until("it is connected again", |s| s["sources"][0]["connected"] == true).await;
    let counter = |name: &str| {
        let all = status["sources"][0]["counters"].as_array().unwrap();
        all.iter().find(|c| c[0] == name).unwrap()[1].as_u64().unwrap()
    };
    assert!(counter("reconnects") >= 1);
    assert_eq!((counter("gaps"), counter("dropped")), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn broken_payloads_of_every_kind_are_counted_with_a_sample_and_hurt_nothing() {
    let rules = "
streams:
  - CREATE STREAM t (v FLOAT, ts DATETIME) WITH (DATASOURCE='plant/{device}/t', TIMESTAMP='ts', KEY='device')
rules:
  - {id: hot, sql: 'SELECT device, v FROM t', when: v > 60}
";
    let site = Site::start(&[], "").await;
    site.push("broken", rules).await;
    let before = site.agent.status().unwrap();
    let rejected = |s: &Json, reason: &str| {
        let all = s["core"]["streams"][0]["rejects"].as_array().unwrap();
        all.iter().find(|r| r[0] == reason).map_or(0, |r| r[1].as_u64().unwrap())
    };
    let deep = "[".repeat(200) + &"]".repeat(200);
    let long = format!(r#"{{"ts": 1, "v": 1, "x": "{}"}}"#, "x".repeat(1_040_000));
    let large = format!(r#"{{"ts": 1, "v": 1, "x": "{}"}}"#, "x".repeat(2_000_000));
    let many = format!("[{}]", vec![r#"{"ts":1,"v":1}"#; 10_001].join(","));
    for payload in [
        "",
        "not json",
        r#"{"v": 61,"#,
        r#"{"v": "warm", "ts": 1}"#,
        r#"{"v": 61, "ts": "yesterday"}"#,
        r#"{"v": 61}"#,
        "[1, 2]",
        &deep,
        &long,
        &large,
        &many,
    ] {
        site.broker.publish("plant/m1/t", payload, &["-q", "1"]);
    }
    let latin = site.path().join("latin");
    std::fs::write(&latin, b"{\"v\": 61, \"ts\": 1, \"n\": \"\xff\"}").unwrap();
    let port = site.broker.port().to_string();
    let sent = std::process::Command::new("mosquitto_pub")
        .args(["-h", "127.0.0.1", "-p", &port, "-q", "1", "-t", "plant/m1/t", "-f"])
        .arg(&latin)
        .status()
        .unwrap();
    assert!(sent.success());
    site.broker.publish("plant/m1/t", r#"{"v": 61, "ts": 1600000000}"#, &["-q", "1"]);

    let fired = site.transitions(1).await;
    assert_eq!(fired[0]["occurred_at"], "2020-09-13T12:26:40Z");
    let status = site.agent.status().unwrap();
    for (reason, count) in [
        ("wrong_type", 1),
        ("bad_timestamp", 1),
        ("missing_timestamp", 1),
        ("not_an_object", 2),
        ("too_deep", 1),
        ("too_many_rows", 1),
        ("not_utf8", 1),
    ] {
        assert_eq!(rejected(&status, reason), count, "{reason}: {}", status["core"]["streams"]);
    }
    // The probes for the subscription were no JSON either.
    assert_eq!(rejected(&status, "not_json"), rejected(&before, "not_json") + 2);
    assert_eq!(rejected(&status, "empty"), 1);
    let samples = status["core"]["streams"][0]["samples"].as_array().unwrap();
    assert!(samples.iter().any(|s| s["reason"] == "not_utf8" && s["topic"] == "plant/m1/t"), "{samples:?}");
    let oversized = status["sources"][0]["counters"].as_array().unwrap().iter().find(|c| c[0] == "oversized").unwrap()[1].as_u64();
    // A broker that knows the limit keeps the message to itself, and then nobody can count it.
    assert!(oversized.is_some());
}
