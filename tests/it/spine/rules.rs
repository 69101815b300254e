//! Rules on their way down: good, bad, offline, and from a directory.

use serde_json::Value as Json;

use super::{PLAIN, Site};
use crate::support::within;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_set_is_refused_with_its_place_and_what_runs_runs_on() {
    let site = Site::start(&[], "").await;
    site.push("plain", PLAIN).await;
    let bad = PLAIN.replace("SELECT device, v FROM t", "SELECT device, vv FROM t");
    let good_rule = "  - id: cold\n    sql: SELECT device, v FROM t\n    when: v < 0\n";
    let bad = format!("{}{good_rule}", bad.trim_end().to_owned() + "\n");

    let (code, said) = site.desk().put("/rulesets/plain", &bad).await;
    assert_eq!(code, 422, "{said}");
    let found = &said["diagnostics"][0];
    let line = 1 + bad.lines().position(|l| l.contains("vv")).unwrap();
    assert_eq!(found["place"]["line"].as_u64().unwrap() as usize, line, "{found}");
    assert_eq!(found["place"]["column"], 25, "{found}");
    assert_eq!(found["item"], "rule hot");
    let stored = site.desk().get("/rulesets/plain").await;
    assert_eq!(stored["revision"], 1, "nothing was stored: {stored}");

    let (code, said) = site.desk().put("/rulesets/plain?force=true", &bad).await;
    assert_eq!(code, 200, "{said}");
    let refused = |set: &Json| set["agents"][0]["progress"] == "refused";
    let shown = site.desk().until("/rulesets/plain", refused).await;
    let outcome = &shown["agents"][0];
    assert_eq!((&outcome["agent"], &outcome["running_revision"]), (&"gw-1".into(), &1.into()), "{shown}");
    let reason = &outcome["diagnostics"][0];
    assert_eq!(reason["item"], "rule hot", "{outcome}");
    assert!(reason["message"].as_str().unwrap().contains("vv"), "{reason}");
    let of_rule = |rule: &str| {
        let all = outcome["rules"].as_array().unwrap();
        all.iter().find(|r| r["rule"] == rule).unwrap()["outcome"].clone()
    };
    assert_eq!((of_rule("hot"), of_rule("cold")), ("rejected".into(), "accepted".into()));

    let status = site.agent.status().unwrap();
    let set = &status["core"]["rulesets"][0];
    assert_eq!(set["revision"], 1, "{set}");
    assert_ne!(set["attempted"], set["hash"]);
    for v in [50, 58, 61] {
        site.broker.publish("plant/m1/t", &format!(r#"{{"v": {v}}}"#), &["-q", "1"]);
    }
    let fired = site.transitions(1).await;
    assert_eq!((&fired[0]["rule"], &fired[0]["state"]), (&"hot".into(), &"firing".into()));
    let evidence = &fired[0]["evidence"];
    let readings = evidence["readings"].as_array().unwrap();
    let values: Vec<f64> = readings.iter().map(|reading| reading["values"][0].as_f64().unwrap()).collect();
    assert_eq!(
        (&evidence["columns"][0], values.as_slice()),
        (&"v".into(), &[50.0, 58.0, 61.0][..]),
        "{evidence}"
    );
    assert_eq!(readings[2]["at"], fired[0]["occurred_at"]);
    assert_eq!(fired[0]["annotations"]["summary"], "m1 at 61");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_offline_runs_on_with_its_rules_and_alerts() {
    let mut site = Site::start(&[], "").await;
    site.push("plain", PLAIN).await;
    site.broker.publish("plant/m1/t", r#"{"v": 61}"#, &["-q", "1"]);
    let fired = site.transitions(1).await;
    site.hub.kill();
    site.agent.stop();
    site.agent.run();
    site.agent.until("the alert is still up", |s| s["core"]["alerts"][0]["phase"] == "firing").await;
    site.broker.publish("plant/m1/t", r#"{"v": 59}"#, &["-q", "1"]);
    site.broker.publish("plant/m2/t", r#"{"v": 62}"#, &["-q", "1"]);
    site.agent.until("both wait for the hub", |s| s["core"]["spool"]["waiting"] == 2).await;
    site.hub.run();
    let all = site.transitions(3).await;
    assert_eq!((&all[1]["state"], &all[1]["reason"]), (&"resolved".into(), &"recovered".into()));
    assert_eq!(all[1]["starts_at"], fired[0]["starts_at"]);
    assert_eq!(all[2]["labels"]["device"], "m2");
    // The first was recorded after a session with the hub, the others before the agent's first.
    let skew = fired[0]["skew_ms"].as_i64().unwrap();
    assert!(skew.abs() < 5_000, "one machine has one clock: {skew} ms");
    assert_eq!((&all[1]["skew_ms"], &all[1]["clock_doubted"]), (&Json::Null, &Json::Null));
    super::assert_gapless(&all);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removed_or_changed_rule_resolves_its_alerts_and_says_why() {
    let site = Site::start(&[], "").await;
    site.push("plain", PLAIN).await;
    site.broker.publish("plant/m1/t", r#"{"v": 70}"#, &["-q", "1"]);
    site.transitions(1).await;
    // The identity stays: another threshold and severity keep the alert up.
    site.push("plain", &PLAIN.replace("v > 60", "v > 65").replace("critical", "warning")).await;
    site.push("plain", &PLAIN.replace("    severity", "    labels: {team: a}\n    severity")).await;
    let all = site.transitions(3).await;
    assert_eq!((&all[1]["reason"], &all[2]["reason"]), (&"severity".into(), &"rule_changed".into()));
    site.broker.publish("plant/m1/t", r#"{"v": 70}"#, &["-q", "1"]);
    site.transitions(4).await;
    site.desk().delete("/rulesets/plain").await;
    let all = site.transitions(5).await;
    assert_eq!((&all[4]["state"], &all[4]["reason"]), (&"resolved".into(), &"rule_removed".into()));
    site.agent.until("nothing runs", |s| s["core"]["rulesets"].as_array().unwrap().is_empty()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_is_loaded_again_when_it_changes() {
    let rules = tempfile::tempdir().unwrap();
    let file = rules.path().join("local.yaml");
    std::fs::write(&file, PLAIN).unwrap();
    let site = Site::start(&[], &format!("rules.directory = {:?}", rules.path().display().to_string())).await;
    let runs = |s: &Json, rules: u64| {
        s["core"]["rulesets"][0]["rules"] == rules && s["core"]["rulesets"][0]["origin"] == "directory"
    };
    site.agent.until("the file runs", |s| runs(s, 1)).await;
    let two = format!("{PLAIN}  - id: cold\n    sql: SELECT device, v FROM t\n    when: v < 0\n");
    std::fs::write(&file, &two).unwrap();
    site.agent.until("the changed file runs", |s| runs(s, 2)).await;

    std::fs::write(&file, two.replace("v < 0", "w < 0")).unwrap();
    let status = site
        .agent
        .until("the bad file is refused", |s| !s["refused_files"].as_array().unwrap().is_empty())
        .await;
    let line = 1 + two.lines().position(|l| l.contains("v < 0")).unwrap();
    let why = status["refused_files"][0]["why"][0].as_str().unwrap();
    assert!(why.starts_with(&format!("{line}:11: error")), "{why}");
    assert!(runs(&status, 2), "what ran runs on");

    // A set that the hub pushes under the same name is refused: neither replaces the other.
    let (code, said) = site.desk().put("/rulesets/local", PLAIN).await;
    assert_eq!(code, 200, "{said}");
    let shown = site.desk().until("/rulesets/local", |set| set["agents"][0]["progress"] == "refused").await;
    assert!(shown.to_string().contains("name-taken"), "{shown}");

    std::fs::remove_file(&file).unwrap();
    within("the rules end", async {
        site.agent.until("the rules end", |s| s["core"]["rulesets"].as_array().unwrap().is_empty()).await
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rules_that_left_the_directory_while_the_agent_was_dead_resolve_their_alerts() {
    let rules = tempfile::tempdir().unwrap();
    let (kept, gone) = (rules.path().join("kept.yaml"), rules.path().join("gone.yaml"));
    let warm = "  - id: warm\n    sql: SELECT device, v FROM t\n    when: v > 40\n";
    std::fs::write(&kept, format!("{PLAIN}{warm}")).unwrap();
    std::fs::write(&gone, PLAIN).unwrap();
    let mut site =
        Site::start(&[], &format!("rules.directory = {:?}", rules.path().display().to_string())).await;
    let sets = |s: &Json| s["core"]["rulesets"].as_array().unwrap().len();
    site.agent.until("both files run", |s| sets(s) == 2).await;
    site.broker_has_subscription("kept").await;
    site.broker.publish("plant/m1/t", r#"{"v": 61}"#, &["-q", "1"]);
    site.transitions(3).await;

    // One rule leaves its file, and one file the directory.
    site.agent.kill();
    std::fs::write(&kept, PLAIN).unwrap();
    std::fs::remove_file(&gone).unwrap();
    site.agent.run();
    let all = site.transitions(5).await;
    let mut ended: Vec<(&str, &str, &str, &str)> = all[3..]
        .iter()
        .map(|t| ["ruleset", "rule", "state", "reason"].map(|member| t[member].as_str().unwrap()).into())
        .collect();
    ended.sort_unstable();
    assert_eq!(
        ended,
        [("gone", "hot", "resolved", "rule_removed"), ("kept", "warm", "resolved", "rule_removed")]
    );
    let status = site.agent.until("the rest runs", |s| sets(s) == 1 && super::connected(s)).await;
    let up = status["core"]["alerts"].as_array().unwrap();
    assert_eq!(up.len(), 1, "{up:?}");
    assert_eq!(up[0]["labels"]["alertname"], "hot");
    // The alert that stayed is the same, and ends like any other.
    site.broker.publish("plant/m1/t", r#"{"v": 30}"#, &["-q", "1"]);
    let all = site.transitions(6).await;
    assert_eq!(
        (&all[5]["ruleset"], &all[5]["rule"], &all[5]["reason"]),
        (&"kept".into(), &"hot".into(), &"recovered".into())
    );
    super::assert_gapless(&all);
}

/// More pushes than the agent has room for at once: rules wait, and reports pass them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_sets_pushed_in_a_row_all_run_and_the_link_lives_on() {
    let site = Site::start(&[], "").await;
    for i in 0..40 {
        let (code, said) = site.desk().put(&format!("/rulesets/set-{i}"), PLAIN).await;
        assert_eq!(code, 200, "{said}");
    }
    let sets = |s: &Json| s["core"]["rulesets"].as_array().unwrap().len();
    site.agent.until("all sets run", |s| sets(s) == 40).await;
    site.broker_has_subscription("set-0").await;
    site.broker.publish("plant/m1/t", r#"{"v": 61}"#, &["-q", "1"]);
    assert_eq!(site.transitions(40).await.len(), 40);
}

/// A directory that is configured no more leaves no rules behind.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_cannot_be_read_keeps_its_rules_and_a_directory_given_up_takes_them_along() {
    let rules = tempfile::tempdir().unwrap();
    let file = rules.path().join("local.yaml");
    std::fs::write(&file, PLAIN).unwrap();
    let directory = format!("rules.directory = {:?}", rules.path().display().to_string());
    let mut site = Site::start(&[], &directory).await;
    let sets = |s: &Json| s["core"]["rulesets"].as_array().unwrap().len();
    site.agent.until("the file runs", |s| sets(s) == 1).await;
    std::fs::write(&file, [0xff, 0xfe]).unwrap();
    let refused = |s: &Json| !s["refused_files"].as_array().unwrap().is_empty();
    let status = site.agent.until("the file is refused", refused).await;
    assert_eq!(sets(&status), 1, "what ran runs on");
    site.agent.stop();
    let config = site.path().join("agent/weir.toml");
    let text = std::fs::read_to_string(&config).unwrap().replace(&directory, "");
    std::fs::write(&config, text).unwrap();
    site.agent.run();
    site.agent.until("nothing runs", |s| sets(s) == 0).await;
}

/// Limits of each device travel with the rules; whether a device is armed comes over MQTT.
const TABLES: &str = "
streams:
  - CREATE STREAM t (v FLOAT) WITH (DATASOURCE='plant/{device}/t', KEY='device')
tables:
  - name: limits
    key: [device]
    rows: [{device: m1, max: 60}, {device: m2, max: 80}]
  - CREATE TABLE armed (armed BOOLEAN) WITH (DATASOURCE='plant/{device}/armed', FORMAT='scalar', KEY='device')
rules:
  - id: over-limit
    sql: |
      SELECT t.device, v, max FROM t
      INNER JOIN limits ON t.device = limits.device
      INNER JOIN armed ON t.device = armed.device
      WHERE armed
    when: v > max
    annotations: {summary: '{{ device }} at {{ v }}, limit {{ max }}'}
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_are_pushed_filled_and_changed_row_by_row() {
    let mut site = Site::start(&[], "").await;
    site.broker.publish("plant/m1/armed", "on", &["-r"]);
    site.push("tables", TABLES).await;
    site.broker.publish("plant/m2/armed", "off", &["-q", "1"]);
    for (device, v) in [("m2", 90), ("m1", 61)] {
        site.broker.publish(&format!("plant/{device}/t"), &format!(r#"{{"v": {v}}}"#), &["-q", "1"]);
    }
    let fired = site.transitions(1).await;
    assert_eq!(fired[0]["annotations"]["summary"], "m1 at 61, limit 60");

    // What the tables hold outlives the agent; the row that changes is the only news.
    site.agent.stop();
    site.agent.run();
    site.push("tables", &TABLES.replace("max: 60", "max: 65")).await;
    site.agent.until("the alert is still up", |s| s["core"]["alerts"][0]["phase"] == "firing").await;
    site.broker.publish("plant/m1/t", r#"{"v": 62}"#, &["-q", "1"]);
    site.broker.publish("plant/m2/armed", "on", &["-q", "1"]);
    site.broker.publish("plant/m2/t", r#"{"v": 81}"#, &["-q", "1"]);
    let all = site.transitions(3).await;
    assert_eq!((&all[1]["state"], &all[1]["reason"]), (&"resolved".into(), &"recovered".into()));
    assert_eq!(all[1]["starts_at"], fired[0]["starts_at"]);
    assert_eq!(all[2]["annotations"]["summary"], "m2 at 81, limit 80");
    super::assert_gapless(&all);
}
