//! Links that break and data that is broken.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::http::HeaderMap;
use axum::routing::post;
use serde_json::Value as Json;
use tokio::net::TcpListener;
use weir::tasks;

use super::{PLAIN, Site, assert_gapless, counter};
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
    drop(tasks::spawn(
        "receiver",
        async move { axum::serve(listener, Router::new().route("/", take)).await },
    ));
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
        // A minute in all: long enough for every wait between tries to reach its longest.
        tokio::time::sleep(Duration::from_millis(1_500)).await;
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
    let expected: Vec<String> = all
        .iter()
        .map(|t| format!("{}/{}/{}", t["agent"].as_str().unwrap(), t["epoch"].as_str().unwrap(), t["seq"]))
        .collect();
    assert_eq!(*received.lock().unwrap(), expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn broken_payloads_of_every_kind_are_counted_with_a_sample_and_hurt_nothing() {
    for version in ["5", "3.1.1"] {
        broken_payloads(version).await;
    }
}

async fn broken_payloads(version: &str) {
    let rules = "
streams:
  - CREATE STREAM t (v FLOAT, ts DATETIME) WITH (DATASOURCE='plant/{device}/t', TIMESTAMP='ts', KEY='device')
rules:
  - {id: hot, sql: 'SELECT device, v FROM t', when: v > 60}
";
    let site = Site::with_broker(&[], "", &format!("version = {version:?}")).await;
    site.push("broken", rules).await;
    let rejected = |s: &Json, reason: &str| {
        let all = s["core"]["streams"][0]["rejects"].as_array().unwrap();
        all.iter().find(|r| r[0] == reason).map_or(0, |r| r[1].as_u64().unwrap())
    };
    // The probes for the subscription were no JSON.
    let probes = rejected(&site.agent.status().unwrap(), "not_json");

    let deep = "[".repeat(200) + &"]".repeat(200);
    let long = format!(r#"{{"ts": 1, "v": 1, "x": "{}"}}"#, "x".repeat(1_000_000));
    let larger_than_a_packet = format!(r#"{{"ts": 1, "v": 1, "x": "{}"}}"#, "x".repeat(2_000_000));
    let words = format!(r#"{{"ts": 1, "v": "{}"}}"#, "warm ".repeat(100_000));
    let many = format!("[{}]", vec![r#"{"ts":1,"v":1}"#; 10_001].join(","));
    for payload in [
        "",
        "not json",
        r#"{"v": 61,"#,
        r#"{"v": "warm", "ts": 1}"#,
        &words,
        r#"{"v": 61, "ts": "yesterday"}"#,
        r#"{"v": 61}"#,
        "[1, 2]",
        &deep,
        &long,
        &larger_than_a_packet,
        &many,
    ] {
        site.broker.publish("plant/m1/t", payload, &["-q", "1"]);
    }
    site.broker.publish_raw("plant/m1/t", b"{\"v\": 61, \"ts\": 1, \"n\": \"\xff\"}", &["-q", "1"]);
    site.broker.publish("plant/m1/t", r#"{"v": 61, "ts": 1600000000}"#, &["-q", "1"]);

    let fired = site.transitions(1).await;
    assert_eq!(fired[0]["occurred_at"], "2020-09-13T12:26:40Z");
    let status = site.agent.status().unwrap();
    let samples = status["core"]["streams"][0]["samples"].as_array().unwrap();
    for (reason, count, detail) in [
        ("empty", 1, "empty"),
        ("too_large", 1, "at most"),
        ("not_utf8", 1, "byte 26"),
        ("not_json", probes + 2, "EOF"),
        ("too_deep", 1, "64 levels"),
        ("not_an_object", 2, "element 1"),
        ("wrong_type", 2, "`warm warm "),
        ("bad_timestamp", 1, "`yesterday`"),
        ("missing_timestamp", 1, "`ts`"),
        ("too_many_rows", 1, "10000"),
    ] {
        assert_eq!(rejected(&status, reason), count, "{reason}: {}", status["core"]["streams"]);
        let sample = samples.iter().rfind(|s| s["reason"] == reason);
        let sample = sample.unwrap_or_else(|| panic!("no sample of {reason}: {samples:#?}"));
        let text = |member: &str| sample[member].as_str().unwrap();
        assert!(text("detail").contains(detail) && text("detail").len() <= 260, "{sample}");
        assert_eq!(text("topic"), "plant/m1/t");
        assert!(text("payload").len() <= 260, "{sample}");
    }
    // An MQTT 5 broker was told the limit and keeps the message to itself; that of 3.1.1 sends it.
    let oversized = if version == "5" { 0 } else { 1 };
    assert_eq!(counter(&status, "plant", "oversized"), oversized, "{}", status["sources"]);
}
