//! What each rule saw, passed over, holds and costs: in `weir status` and in `/metrics`.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use serde_json::Value as Json;

use crate::support::mosquitto::Mosquitto;
use crate::support::programs::{AgentProgram, free_port, weir};

const RULES: &str = "
streams:
  - CREATE STREAM s (v FLOAT, ts DATETIME) WITH (DATASOURCE='s/{device}', TIMESTAMP='ts', KEY='device')
rules:
  - {id: ratio, sql: 'SELECT device, 1 / v AS x FROM s', when: x > 100}
  - {id: held, sql: 'SELECT device, collect(v) AS all_of FROM s GROUP BY device, TUMBLINGWINDOW(hh, 1)'}
";

fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

#[tokio::test]
async fn the_account_of_a_rule_is_told_everywhere() {
    let broker = Mosquitto::start();
    let dir = tempfile::tempdir().unwrap();
    let rules = dir.path().join("rules");
    std::fs::create_dir(&rules).unwrap();
    std::fs::write(rules.join("r.yaml"), RULES).unwrap();
    let http = format!("127.0.0.1:{}", free_port());
    let config = format!(
        "rules.directory = {:?}\nlisten.http = {http:?}\n[[broker]]\nname = \"b\"\nurl = {:?}",
        rules.display().to_string(),
        broker.url()
    );
    let agent = AgentProgram::start(&dir.path().join("agent"), "gw-1", &config);
    let subscribed = |s: &Json| {
        s["sources"][0]["connected"] == true
            && s["core"]["rules"].as_array().is_some_and(|all| all.len() == 2)
    };
    agent.until("the rules run", subscribed).await;
    let reading = |n: u32| format!(r#"{{"v": 0, "ts": "2026-01-01T00:00:00.{n:03}Z"}}"#);
    broker.publish_lines("s/d1", &(0..100).map(reading).collect::<Vec<_>>(), &["-q", "1"]);
    agent.until("the rows are there", |s| s["core"]["rules"][0]["rows"] == 100).await;

    let config = dir.path().join("agent/weir.toml");
    let status = |flags: &[&str]| {
        let (ok, out, err) = weir(&[&["status", "--config", config.to_str().unwrap()], flags].concat());
        assert!(ok, "{err}");
        out
    };
    let accounts: Json = serde_json::from_str(&status(&["--rules", "--sort", "bytes", "--json"])).unwrap();
    let (held, ratio) = (&accounts[0], &accounts[1]);
    assert_eq!((&held["rule"], &ratio["rule"]), (&Json::from("held"), &Json::from("ratio")));
    assert_eq!((&ratio["undefined"], &held["groups"]), (&Json::from(100), &Json::from(1)));
    assert!(held["bytes"].as_u64().unwrap() > 100 * 8, "{held}");
    assert!(ratio["nanos"].as_u64().unwrap() > 0 && ratio["degraded"] == false, "{ratio}");
    let table = status(&["--rules"]);
    assert!(table.contains("undefined") && table.lines().count() == 3, "{table}");

    let metrics = get(&http, "/metrics");
    for line in [
        "weir_rule_undefined_total{ruleset=\"r\",rule=\"ratio\"} 100\n",
        "weir_rule_degraded{ruleset=\"r\",rule=\"held\"} 0\n",
        "# TYPE weir_rule_seconds_total counter\n",
        "# TYPE weir_rule_state_bytes gauge\n",
    ] {
        assert!(metrics.contains(line), "{line}\n{metrics}");
    }

    let profile = ["profile", "--for", "1s", "--config", config.to_str().unwrap()];
    let (ok, out, err) = weir(&[&profile[..], &["--json"]].concat());
    assert!(ok, "{err}");
    let spent: Json = serde_json::from_str(&out).unwrap();
    assert!(spent["nanos"].as_u64().unwrap() >= 1_000_000_000, "{spent}");
    let names =
        |what: &str| spent[what].as_array().unwrap().iter().map(|s| s["name"].clone()).collect::<Vec<_>>();
    assert!(
        names("threads").contains(&"core".into()) && names("threads").contains(&"mqtt-b".into()),
        "{spent}"
    );
    assert!(names("stages").contains(&"decode".into()), "{spent}");
    let (ok, out, err) = weir(&profile);
    assert!(ok, "{err}");
    assert!(out.contains("of one core") && out.contains("receive"), "{out}");
}
