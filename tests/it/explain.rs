//! `weir explain` and `weir check`: over files, directories, standard input, and a running agent.

use std::io::Write as _;
use std::process::{Command, Stdio};

use serde_json::Value as Json;

use crate::support::programs::{AgentProgram, weir};

const RULES: &str = "
streams:
  - CREATE STREAM freezers (temperature FLOAT) WITH (DATASOURCE='plant/{site}/freezer/{device}', KEY='device')
rules:
  - {id: warm, sql: 'SELECT device, temperature AS t FROM freezers', when: t > -12, for: 2m}
  - {id: hot, sql: 'SELECT device, max(temperature) AS t FROM freezers GROUP BY device, TUMBLINGWINDOW(mi, 1)', when: t > 0}
";

fn packs() -> String {
    concat!(env!("CARGO_MANIFEST_DIR"), "/rules").to_owned()
}

#[test]
fn rules_of_files_are_explained_one_or_all() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("cold.yaml"), RULES).unwrap();
    let at = dir.path().to_str().unwrap();
    let (ok, all, err) = weir(&["explain", "--rules", at]);
    assert!(ok && err.is_empty(), "{err}");
    assert!(all.starts_with("rule cold/warm\nalert  a state for each key\n"), "{all}");
    assert!(all.contains("\nrule cold/hot\n") && all.contains("-> window  tumbling, 1m\n"), "{all}");
    for name in ["hot", "cold/hot"] {
        let (_, one, _) = weir(&["explain", name, "--rules", at]);
        assert!(one.starts_with("rule cold/hot\n") && !one.contains("rule cold/warm"), "{one}");
    }
    let (ok, _, err) = weir(&["explain", "cool", "--rules", at]);
    assert!(!ok && err.contains("no rule `cool`; there are warm, hot"), "{err}");
    let (_, json, _) = weir(&["explain", "warm", "--json", "--rules", at]);
    let trees: Json = serde_json::from_str(&json).unwrap();
    assert_eq!(trees[0]["rule"], "warm");
    assert_eq!(trees[0]["plan"]["inputs"][0]["inputs"][0]["operator"], "scan");
}

#[test]
fn what_an_analytic_function_says_is_looked_up() {
    let dir = tempfile::tempdir().unwrap();
    let delta = "delta(temperature) OVER (PARTITION BY device)";
    let rule = |id: &str, by: u8| {
        format!("  - {{id: {id}, sql: 'SELECT device FROM freezers WHERE {delta} > {by}'}}\n")
    };
    let streams = RULES.split("rules:").next().unwrap();
    std::fs::write(
        dir.path().join("cold.yaml"),
        format!("{streams}rules:\n{}{}", rule("jumps", 5), rule("leaps", 9)),
    )
    .unwrap();
    let (ok, all, err) = weir(&["explain", "--rules", dir.path().to_str().unwrap()]);
    assert!(ok && err.is_empty(), "{err}");
    for by in [5, 9] {
        let found =
            format!("freezers: no equality; {delta} > {by} in a sorted list, with 1 other condition\n");
        assert!(all.contains(&found), "{all}");
    }
    assert_eq!(all.matches("its analytic functions with 1 other rule\n").count(), 2, "{all}");
}

#[test]
fn every_rule_of_the_packs_has_a_tree() {
    let (ok, all, err) = weir(&["explain", "--rules", &packs()]);
    assert!(ok && err.is_empty(), "{err}");
    assert!(all.matches("\nalert  ").count() > 5 && !all.contains('?'), "{all}");
}

#[test]
fn the_running_agent_tells_its_rules() {
    let dir = tempfile::tempdir().unwrap();
    let rules = dir.path().join("rules");
    std::fs::create_dir(&rules).unwrap();
    std::fs::write(rules.join("cold.yaml"), RULES).unwrap();
    let config = format!("rules.directory = {:?}", rules.display().to_string());
    let agent = AgentProgram::start(&dir.path().join("agent"), "gw-1", &config);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(agent.until("the rules run", |s| s["core"]["rules"].as_array().unwrap().len() == 2));
    let config = dir.path().join("agent/weir.toml");
    let config = config.to_str().unwrap();
    let (ok, running, err) = weir(&["explain", "--config", config]);
    assert!(ok, "{err}");
    let (_, read, _) = weir(&["explain", "--rules", rules.to_str().unwrap()]);
    assert_eq!(running, read);
}

#[test]
fn check_takes_files_directories_and_standard_input() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("cold.yaml"), RULES).unwrap();
    std::fs::write(dir.path().join("cold.test.yaml"), "no rules").unwrap();
    let wrong = dir.path().join("wrong.txt");
    std::fs::write(&wrong, RULES.replace("max(temperature)", "max(temprature)")).unwrap();
    let (at, wrong) = (dir.path().to_str().unwrap(), wrong.to_str().unwrap());
    let (ok, _, err) = weir(&["check", at]);
    assert!(ok && err == "1 file, 2 rules: all right\n", "{err}");
    let (ok, _, err) = weir(&["check", at, wrong, &packs()]);
    assert!(!ok && err.contains("did you mean `temperature`?"), "{err}");
    let (ok, json, _) = weir(&["check", "--json", at, wrong]);
    let found: Json = serde_json::from_str(&json).unwrap();
    assert!(!ok && found[0]["code"] == "unknown-column" && found[0]["file"] == wrong, "{json}");

    let mut child = Command::new(env!("CARGO_BIN_EXE_weir"))
        .args(["check", "-"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"rules: [{id: a, sql: SELECT cpo FROM node}]").unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && said.contains(" --> <stdin>:1:"), "{said}");
}
