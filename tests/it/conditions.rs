//! What explains the silence of devices, with a real broker: a last will, and the loss of the broker itself.

use std::process::{Command, Stdio};

use serde_json::Value as Json;

use crate::support::mosquitto::Mosquitto;
use crate::support::programs::{AgentProgram, weir};

const RULES: &str = "
streams:
  - >-
    CREATE STREAM motors (temperature FLOAT) WITH (DATASOURCE='hall/{device}/t', KEY='device',
    AVAILABILITY='hall/{device}/status')
rules:
  - {id: hot, sql: 'SELECT device, temperature FROM motors', when: temperature > 60, no_data: {after: 1h, do: fire}}
";

struct Gateway {
    broker: Mosquitto,
    agent: AgentProgram,
    config: String,
    _dir: tempfile::TempDir,
}

impl Gateway {
    async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let rules = dir.path().join("rules");
        std::fs::create_dir(&rules).unwrap();
        std::fs::write(rules.join("hall.yaml"), RULES).unwrap();
        let broker = Mosquitto::start();
        let config = format!(
            "rules.directory = {:?}\n[alerts]\nsource_lost_after = \"1s\"\n[[broker]]\nname = \"site\"\nurl = \"{}\"\n",
            rules.display().to_string(),
            broker.url()
        );
        let agent = AgentProgram::start(&dir.path().join("agent"), "gw-7", &config);
        let config = dir.path().join("agent/weir.toml").display().to_string();
        let gateway = Self { broker, agent, config, _dir: dir };
        let reads = |s: &Json| s["sources"][0]["connected"] == true && s["core"]["rules"][0].is_object();
        gateway.agent.until("it reads", reads).await;
        gateway
    }

    /// The alerts that stand, each with its state.
    fn standing(&self) -> Vec<(String, String)> {
        let rows = self.json(&["alerts", "--config", &self.config, "--json"]);
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
    fn told(&self) -> Vec<String> {
        let rows = self.json(&["alerts", "history", "--config", &self.config, "--json"]);
        let one = |t: &Json| format!("{} {}", t["rule"].as_str().unwrap(), t["state"].as_str().unwrap());
        rows.as_array().unwrap().iter().rev().map(one).collect()
    }

    fn json(&self, args: &[&str]) -> Json {
        let (ok, out, err) = weir(args);
        assert!(ok, "{err}");
        serde_json::from_str(&out).unwrap()
    }

    async fn until_told(&self, count: usize) {
        let made = |s: &Json| s["core"]["spool"]["newest"].as_u64().unwrap() >= count as u64;
        self.agent.until("it is told", made).await;
    }
}

fn pairs(all: &[(&str, &str)]) -> Vec<(String, String)> {
    all.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_that_dies_while_it_alarms_is_offline_by_its_last_will_and_its_alert_stands() {
    let gateway = Gateway::start().await;
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
    gateway.until_told(1).await;
    device.kill().unwrap();
    device.wait().unwrap();
    gateway.until_told(2).await;
    assert_eq!(gateway.standing(), pairs(&[("hot", "offline"), ("motors/offline", "firing")]));
    let (_, shown, _) = weir(&["alerts", "--config", &gateway.config]);
    assert!(shown.contains("1 of them stale"), "{shown}");
    gateway.broker.publish("hall/m1/status", "online", &["-q", "1", "-r"]);
    gateway.until_told(3).await;
    assert_eq!(gateway.standing(), pairs(&[("hot", "firing")]));
    assert_eq!(gateway.told(), ["hot firing", "motors/offline firing", "motors/offline resolved"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_is_lost_is_one_alert_and_ends_none() {
    let mut gateway = Gateway::start().await;
    for device in ["m1", "m2", "m3"] {
        gateway.broker.publish(&format!("hall/{device}/t"), r#"{"temperature": 70}"#, &["-q", "1"]);
    }
    gateway.until_told(3).await;
    gateway.broker.stop();
    gateway.until_told(4).await;
    let stale = ("hot", "source");
    assert_eq!(gateway.standing(), pairs(&[stale, stale, stale, ("weir/source", "firing")]));
    // It goes on where the process ends and another begins.
    gateway.agent.kill();
    gateway.agent.run();
    let again = |s: &Json| s["core"]["alerts"].as_array().is_some_and(|all| all.len() == 4);
    gateway.agent.until("it is there again", again).await;
    gateway.broker.run();
    gateway.until_told(5).await;
    let up = ("hot", "firing");
    assert_eq!(gateway.standing(), pairs(&[up, up, up]));
    assert_eq!(gateway.told()[3..], ["weir/source firing", "weir/source resolved"]);
}
