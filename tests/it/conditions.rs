//! What explains the silence of devices, with a real broker: a last will, and the loss of the broker itself.

use std::process::{Command, Stdio};

use serde_json::Value as Json;

use crate::support::gateway::Gateway;

const RULES: &str = "
streams:
  - >-
    CREATE STREAM motors (temperature FLOAT) WITH (DATASOURCE='hall/{device}/t', KEY='device',
    AVAILABILITY='hall/{device}/status')
rules:
  - {id: hot, sql: 'SELECT device, temperature FROM motors', when: temperature > 60, no_data: {after: 1h, do: fire}}
";

const CONFIG: &str = "[alerts]\nsource_lost_after = \"1s\"";

/// The alerts that stand, each with its state.
fn standing(gateway: &Gateway) -> Vec<(String, String)> {
    let rows = gateway.json(&[]);
    let text = |value: &Json| value.as_str().unwrap_or("").to_owned();
    let one = |alert: &Json| {
        let state = if alert["stale"].is_null() { &alert["phase"] } else { &alert["stale"] };
        (text(&alert["labels"]["alertname"]), text(state))
    };
    let mut all: Vec<_> = rows.as_array().unwrap().iter().map(one).collect();
    all.sort();
    all
}

/// What was told, oldest first.
fn told(gateway: &Gateway) -> Vec<String> {
    let rows = gateway.json(&["history"]);
    let one = |t: &Json| format!("{} {}", t["rule"].as_str().unwrap(), t["state"].as_str().unwrap());
    rows.as_array().unwrap().iter().rev().map(one).collect()
}

async fn until_told(gateway: &Gateway, count: usize) {
    let made = |s: &Json| s["core"]["spool"]["newest"].as_u64().unwrap() >= count as u64;
    gateway.agent.until("it is told", made).await;
}

fn pairs(all: &[(&str, &str)]) -> Vec<(String, String)> {
    all.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_that_dies_while_it_alarms_is_offline_by_its_last_will_and_its_alert_stands() {
    let gateway = Gateway::start(RULES, CONFIG).await;
    let port = gateway.broker.port().to_string();
    // A device that stays connected, with a will.
    let mut device = Command::new("mosquitto_pub")
        .args(["-h", "127.0.0.1", "-p", &port, "-q", "1", "-t", "hall/m1/t", "-l"])
        .args([
            "--will-topic",
            "hall/m1/status",
            "--will-payload",
            "offline",
            "--will-retain",
            "--will-qos",
            "1",
        ])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = device.stdin.take().unwrap();
    std::io::Write::write_all(&mut input, b"{\"temperature\": 70}\n").unwrap();
    until_told(&gateway, 1).await;
    device.kill().unwrap();
    device.wait().unwrap();
    until_told(&gateway, 2).await;
    assert_eq!(standing(&gateway), pairs(&[("hot", "offline"), ("motors/offline", "firing")]));
    let (_, shown, _) = gateway.alerts(&[]);
    assert!(shown.contains("1 of them stale"), "{shown}");
    gateway.broker.publish("hall/m1/status", "online", &["-q", "1", "-r"]);
    until_told(&gateway, 3).await;
    assert_eq!(standing(&gateway), pairs(&[("hot", "firing")]));
    assert_eq!(told(&gateway), ["hot firing", "motors/offline firing", "motors/offline resolved"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_is_lost_is_one_alert_and_ends_none() {
    let mut gateway = Gateway::start(RULES, CONFIG).await;
    for device in ["m1", "m2", "m3"] {
        gateway.broker.publish(&format!("hall/{device}/t"), r#"{"temperature": 70}"#, &["-q", "1"]);
    }
    until_told(&gateway, 3).await;
    gateway.broker.stop();
    until_told(&gateway, 4).await;
    let stale = ("hot", "source");
    assert_eq!(standing(&gateway), pairs(&[stale, stale, stale, ("weir/source", "firing")]));
    // It goes on where the process ends and another begins.
    gateway.agent.kill();
    gateway.agent.run();
    let again = |s: &Json| s["core"]["alerts"].as_array().is_some_and(|all| all.len() == 4);
    gateway.agent.until("it is there again", again).await;
    gateway.broker.run();
    until_told(&gateway, 5).await;
    let up = ("hot", "firing");
    assert_eq!(standing(&gateway), pairs(&[up, up, up]));
    assert_eq!(told(&gateway)[3..], ["weir/source firing", "weir/source resolved"]);
}
