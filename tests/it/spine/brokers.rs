//! Brokers that go away, and several of them.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value as Json;

use super::{PLAIN, Site, assert_gapless, counter};
use crate::support::mosquitto::Mosquitto;
use crate::support::within;

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
    let counter = |name: &str| counter(&status, "plant", name);
    assert!(counter("reconnects") >= 1);
    assert_eq!((counter("gaps"), counter("dropped")), (0, 0));
}

/// Readings that each are a device of their own, so that one which comes twice changes nothing.
const BURST: &str = "
streams:
  - CREATE STREAM t (id BIGINT, v FLOAT) WITH (DATASOURCE='plant/t', KEY='id')
rules:
  - {id: hot, sql: 'SELECT id, v FROM t', when: v > 60, max_instances: 10000}
";

fn burst(ids: std::ops::Range<u32>) -> Vec<String> {
    ids.map(|id| format!(r#"{{"id": {id}, "v": 61}}"#)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_in_flight_when_the_broker_stops_are_each_judged_once() {
    let mut site = Site::start(&[], "").await;
    site.push("burst", BURST).await;

    // The broker has acknowledged all, and the agent, which stands still, none of them: some lie in
    // its socket, the rest with the broker. Nobody publishes these again.
    site.agent.signal("STOP");
    site.broker.publish_lines("plant/t", &burst(0..1_000), &["-q", "1"]);
    site.broker.stop();
    site.agent.signal("CONT");
    site.broker.run();
    site.transitions(1_000).await;
    let log = std::fs::read_to_string(site.broker.file("log")).unwrap();
    assert!(log.contains("(d1, q1"), "something was in flight, and came again");

    // The publisher is in the middle too, and repeats all, since it does not know what arrived.
    let port = site.broker.port().to_string();
    let mut publisher = Command::new("mosquitto_pub")
        .args(["-h", "127.0.0.1", "-p", &port, "-q", "1", "-t", "plant/t", "-l"])
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut input = publisher.stdin.take().unwrap();
    let (first, second) = (burst(1_000..1_500), burst(1_500..2_000));
    writeln!(input, "{}", first.join("\n")).unwrap();
    site.transitions(1_100).await;
    // It may be gone by the time that it should read this.
    drop(writeln!(input, "{}", second.join("\n")));
    site.broker.stop();
    publisher.kill().unwrap();
    publisher.wait().unwrap();
    site.broker.run();
    site.broker.publish_lines("plant/t", &[first, second].concat(), &["-q", "1"]);

    site.transitions(2_000).await;
    let rows = |s: &Json| s["core"]["streams"][0]["messages"].as_u64().unwrap();
    let status =
        site.agent.until("all is taken in", |s| rows(s) >= 2_000 && s["core"]["spool"]["waiting"] == 0).await;
    assert_eq!(counter(&status, "plant", "gaps"), 0, "{}", status["sources"]);
    // What would come twice is here by then.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let all = site.transitions(2_000).await;
    assert_gapless(&all);
    let ids: BTreeSet<&str> = all.iter().map(|t| t["labels"]["id"].as_str().unwrap()).collect();
    assert_eq!((all.len(), ids.len()), (2_000, 2_000), "each once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_reads_the_broker_that_it_names_or_all() {
    let annex = Mosquitto::start();
    let other = format!(
        "version = \"5\"\n[[broker]]\nname = \"annex\"\nurl = {:?}\nversion = \"3.1.1\"\n",
        annex.url()
    );
    let mut site = Site::with_broker(&[], "", &other).await;
    let rules = "
streams:
  - CREATE STREAM near (v FLOAT) WITH (DATASOURCE='plant/{device}/t', KEY='device', SOURCE='plant')
  - CREATE STREAM far (v FLOAT) WITH (DATASOURCE='plant/{device}/t', KEY='device', SOURCE='annex')
  - CREATE STREAM both (v FLOAT) WITH (DATASOURCE='plant/{device}/t', KEY='device')
rules:
  - {id: near, sql: 'SELECT device, v FROM near', when: v > 60}
  - {id: far, sql: 'SELECT device, v FROM far', when: v > 60}
  - {id: both, sql: 'SELECT device, v FROM both', when: v > 60}
";
    site.push("two", rules).await;
    within("the subscription at the annex", async {
        while counter(&site.agent.status().unwrap(), "annex", "messages") == 0 {
            annex.publish("plant/probe/t", "probe", &["-q", "1"]);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    })
    .await;
    site.broker.publish("plant/m1/t", r#"{"v": 61}"#, &["-q", "1"]);
    annex.publish("plant/m2/t", r#"{"v": 62}"#, &["-q", "1"]);
    let fired = |all: &[Json]| {
        let pick = |t: &Json, what: &str| t[what].as_str().unwrap().to_owned();
        all.iter()
            .map(|t| format!("{} {} {}", pick(t, "rule"), pick(&t["labels"], "device"), pick(t, "state")))
            .collect::<BTreeSet<String>>()
    };
    let all = site.transitions(4).await;
    let expected = ["near m1 firing", "far m2 firing", "both m1 firing", "both m2 firing"];
    assert_eq!(fired(&all), expected.map(str::to_owned).into());

    // What was acknowledged does not come again to the same sessions.
    tokio::time::sleep(Duration::from_millis(500)).await;
    site.agent.kill();
    site.agent.run();
    let both = |s: &Json| {
        s["sources"]
            .as_array()
            .is_some_and(|all| all.len() == 2 && all.iter().all(|b| b["connected"] == true))
    };
    site.agent.until("both brokers are connected", both).await;
    site.broker.publish("plant/m1/t", r#"{"v": 50}"#, &["-q", "1"]);
    annex.publish("plant/m2/t", r#"{"v": 50}"#, &["-q", "1"]);
    let all = site.transitions(8).await;
    assert_eq!(all.len(), 8, "{all:#?}");
    assert_gapless(&all);
    let status = site.agent.status().unwrap();
    for (place, name) in ["plant", "annex"].into_iter().enumerate() {
        let source = &status["sources"][place];
        assert_eq!((&source["name"], &source["connected"]), (&name.into(), &true.into()), "{source}");
        assert_eq!(counter(&status, name, "messages"), 1, "{source}");
    }
    let shown = site.agent.shown();
    let row = |name: &str| shown.lines().any(|l| l.trim_start().starts_with(name) && l.contains("connected"));
    assert!(row("plant") && row("annex"), "{shown}");
}
