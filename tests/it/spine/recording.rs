//! The real recording of three environmental sensor sets, live against replayed.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value as Json;

use super::{Site, assert_gapless, essence};
use crate::support::programs::weir;

const RULES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/rules/environment.yaml");

/// The recording's lines; also as a file in `dir`.
fn recording(dir: &std::path::Path) -> (PathBuf, Vec<String>) {
    let packed = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/env_sensors.jsonl.gz");
    let output = Command::new("gzip")
        .args(["-dc", packed])
        .output()
        .expect("gzip: install it with `apt-get install gzip`");
    assert!(output.status.success());
    let file = dir.join("env_sensors.jsonl");
    std::fs::write(&file, &output.stdout).unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    (file, text.lines().map(str::to_owned).collect())
}

/// What `weir replay` makes of it, but for what silence raises: live, hours pass in seconds.
fn replayed(file: &std::path::Path) -> Vec<String> {
    let topic = "site/lab/env/{device}";
    let file = file.to_str().unwrap();
    let (ok, out, err) =
        weir(&["replay", "--json", "--agent", "gw-1", "--rules", RULES, "--topic", topic, file]);
    assert!(ok, "{err}");
    let of_silence = |t: &Json| t["rule"] == "rooms/silent" || t["rule"] == "sensor-out-of-range";
    let all = out.lines().map(|line| serde_json::from_str::<Json>(line).unwrap());
    let mut all: Vec<String> = all.filter(|t| !of_silence(t)).map(|t| essence(&t)).collect();
    all.sort();
    all
}

/// A connection for each device, as devices have them: the order of each is kept.
struct Publisher {
    port: String,
    devices: BTreeMap<String, Child>,
}

impl Publisher {
    fn new(site: &Site) -> Self {
        Self { port: site.broker.port().to_string(), devices: BTreeMap::new() }
    }

    /// Publishes readings with QoS 1, as fast as the broker takes them.
    fn send(&mut self, lines: &[String]) {
        for line in lines {
            let reading: Json = serde_json::from_str(line).unwrap();
            let device = reading["device"].as_str().unwrap();
            let child = self.devices.entry(device.to_owned()).or_insert_with(|| {
                Command::new("mosquitto_pub")
                    .args(["-h", "127.0.0.1", "-p", &self.port, "-q", "1", "-l"])
                    .args(["-t", &format!("site/lab/env/{device}")])
                    .stdin(Stdio::piped())
                    .spawn()
                    .expect("install it with `apt-get install mosquitto-clients`")
            });
            writeln!(child.stdin.as_mut().unwrap(), "{line}").unwrap();
        }
    }

    /// Waits until the broker has everything.
    fn end(self) {
        for (_, mut child) in self.devices {
            drop(child.stdin.take());
            assert!(child.wait().unwrap().success());
        }
    }
}

async fn taken_in(site: &Site, count: u64) {
    let rows = |s: &Json| s["core"]["streams"][0]["rows"].as_u64().unwrap();
    site.agent.until("every message is taken in", |s| rows(s) >= count).await;
}

fn assert_same(live: &[Json], replayed: &[String]) {
    assert_gapless(live);
    let mut live: Vec<String> = live.iter().map(essence).collect();
    live.sort();
    let missing: Vec<&String> = replayed.iter().filter(|t| !live.contains(t)).collect();
    let extra: Vec<&String> = live.iter().filter(|t| !replayed.contains(t)).collect();
    assert!(missing.is_empty() && extra.is_empty(), "missing: {missing:#?}\nextra: {extra:#?}");
    assert_eq!(live.len(), replayed.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn live_alerts_equal_those_of_a_replay() {
    let site = Site::start(&[], "").await;
    let (file, lines) = recording(site.path());
    let expected = replayed(&file);
    assert!(expected.len() >= 24, "dozens of transitions, not {}", expected.len());
    site.push("environment", &std::fs::read_to_string(RULES).unwrap()).await;
    let mut publisher = Publisher::new(&site);
    publisher.send(&lines);
    publisher.end();
    taken_in(&site, lines.len() as u64).await;
    let live = site.transitions(expected.len()).await;
    assert_same(&live, &expected);
}

/// Publishes the recording in parts, and kills the agent, the hub, both, and neither while a part
/// is under way. Gives what the hub holds in the end.
async fn through_kills(site: &mut Site, lines: &[String], expected: usize) -> Vec<Json> {
    site.push("environment", &std::fs::read_to_string(RULES).unwrap()).await;
    for (i, part) in lines.chunks(lines.len() / 4 + 1).enumerate() {
        let (agent, hub) = ([true, false, true, false][i], [false, true, true, false][i]);
        let mut publisher = Publisher::new(site);
        let (before, after) = part.split_at(part.len() / 2);
        publisher.send(before);
        if agent {
            site.agent.kill();
        }
        if hub {
            site.hub.kill();
        }
        publisher.send(after);
        publisher.end();
        tokio::time::sleep(Duration::from_millis(300)).await;
        if hub {
            site.hub.run();
        }
        if agent {
            site.agent.run();
        }
    }
    site.agent.until("everything is connected again", super::connected).await;
    site.transitions(expected).await;
    site.agent.until("nothing waits", |s| s["core"]["spool"]["waiting"] == 0).await;
    // Whatever would come twice is here by the time that the broker has nothing left.
    tokio::time::sleep(Duration::from_secs(1)).await;
    site.transitions(0).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn live_alerts_equal_those_of_a_replay_though_agent_and_hub_are_killed() {
    let mut site = Site::start(&[], "spool.durability = \"durable\"").await;
    let (file, lines) = recording(site.path());
    let expected = replayed(&file);
    let live = through_kills(&mut site, &lines, expected.len()).await;
    assert_same(&live, &expected);
}

/// With the default durability a crash may cost open windows, and nothing else: the alerts of rules
/// without a window are all there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processed_durability_loses_no_alert_of_a_rule_without_a_window() {
    let mut site = Site::start(&[], "").await;
    let (file, lines) = recording(site.path());
    let rules = std::fs::read_to_string(RULES).unwrap();
    let windowed: Vec<&str> = rules
        .split("\n  - id: ")
        .skip(1)
        .filter(|rule| rule.contains("TUMBLINGWINDOW"))
        .map(|rule| rule.lines().next().unwrap())
        .collect();
    assert!(!windowed.is_empty());
    let plain = |t: &Json| !windowed.contains(&t["rule"].as_str().unwrap());
    let expected: Vec<String> =
        replayed(&file).into_iter().filter(|t| plain(&serde_json::from_str(t).unwrap())).collect();
    let live = through_kills(&mut site, &lines, expected.len()).await;
    assert_gapless(&live);
    let mut live: Vec<String> = live.iter().filter(|t| plain(t)).map(essence).collect();
    live.sort();
    assert_eq!(live, expected);
}
