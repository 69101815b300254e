//! `weir replay` over a recording in CSV.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value as Json;

use crate::support::programs::weir;

/// A machine that overheats, and cools down.
const CSV: &str = "\
timestamp,value
2013-12-02 21:15:00,73.96
2013-12-02 21:15:05,74.93
2013-12-02 21:15:10,91.5
2013-12-02 21:15:15,102.25
2013-12-02 21:15:20,101
2013-12-02 21:15:25,70.1
2013-12-02 21:15:30,70.2
";

const RULES: &str = "
streams:
  - CREATE STREAM machine (timestamp DATETIME, value FLOAT) WITH (DATASOURCE='machine/{device}', TIMESTAMP='timestamp', KEY='device')
rules:
  - {id: hot, sql: 'SELECT device, value FROM machine', when: value > 100, clear: value < 80}
  - {id: warm, sql: 'SELECT device, value FROM machine', when: value > 90, for: 5s}
";

fn files(dir: &Path, csv: &str) -> (PathBuf, PathBuf) {
    let (rules, recording) = (dir.join("machine.yaml"), dir.join("machine.csv"));
    std::fs::write(&rules, RULES).unwrap();
    std::fs::write(&recording, csv).unwrap();
    (rules, recording)
}

/// Replays the recording; whether that went well, what was printed, and what was said.
fn replay(dir: &Path, csv: &str, flags: &[&str]) -> (bool, String, String) {
    let (rules, recording) = files(dir, csv);
    let (rules, recording) = (rules.to_str().unwrap(), recording.to_str().unwrap());
    weir(
        &[
            &["replay", "--rules", rules, "--topic", "machine/m1", "--time-field", "timestamp"],
            flags,
            &[recording],
        ]
        .concat(),
    )
}

fn transitions(out: &str) -> Vec<Json> {
    out.lines().map(|line| serde_json::from_str(line).expect("every line is JSON")).collect()
}

#[test]
fn a_recording_in_csv_raises_its_alerts_in_its_own_time() {
    let dir = tempfile::tempdir().unwrap();
    let (ok, out, err) = replay(dir.path(), CSV, &["--json"]);
    assert!(ok && err.is_empty(), "{err}");
    let text = |t: &Json, member: &str| t[member].as_str().unwrap().to_owned();
    let all: Vec<String> = transitions(&out)
        .iter()
        .map(|t| {
            format!(
                "{} {} {} {}",
                text(t, "occurred_at"),
                text(t, "rule"),
                text(t, "state"),
                t["values"]["value"]
            )
        })
        .collect();
    assert_eq!(
        all,
        [
            "2013-12-02T21:15:15Z hot firing 102.25",
            "2013-12-02T21:15:15Z warm firing 102.25",
            "2013-12-02T21:15:25Z hot resolved 70.1",
            "2013-12-02T21:15:25Z warm resolved 70.1",
        ]
    );
    let (ok, out, _) = replay(dir.path(), CSV, &[]);
    assert!(ok && out.contains("\n7 messages\n"), "{out}");
    assert_eq!(out.matches("FIRING").count(), 2, "{out}");
}

#[test]
fn the_pace_changes_nothing_but_the_time_it_takes() {
    let dir = tempfile::tempdir().unwrap();
    let (_, fast, _) = replay(dir.path(), CSV, &["--json", "--pace", "fast"]);
    let begun = weir::clock::Clock::start();
    let (ok, paced, err) = replay(dir.path(), CSV, &["--json", "--pace", "100x"]);
    let took = begun.uptime().as_micros();
    assert!(ok, "{err}");
    assert_eq!(transitions(&paced), transitions(&fast));
    assert!(!fast.is_empty());
    assert!(took >= 300_000, "thirty seconds, a hundred times as fast, took {took} us");
    let (ok, faster, _) = replay(dir.path(), CSV, &["--json", "--pace", "1000x"]);
    assert!(ok);
    assert_eq!(faster, fast);
}

#[test]
fn a_bad_line_is_told_with_its_number_and_the_rest_is_replayed() {
    let dir = tempfile::tempdir().unwrap();
    let (_, good, _) = replay(dir.path(), CSV, &["--json"]);
    let broken = CSV.replace("2013-12-02 21:15:10", "2013-12-02 21:15:07,1,2\n2013-12-02 21:15:10");
    let (ok, out, err) = replay(dir.path(), &broken, &["--json"]);
    assert!(!ok, "a recording that was not read whole is no success");
    assert!(err.contains("line 4: 3 fields, but the header names 2 columns"), "{err}");
    assert!(err.contains("1 lines of"), "{err}");
    assert_eq!(out, good);

    let broken = CSV.replace("21:15:05,", "21:15:05 o'clock,");
    let (ok, out, err) = replay(dir.path(), &broken, &["--json"]);
    assert!(!ok && err.contains("line 3: "), "{err}");
    let without = good.replace(r#"{"at":"2013-12-02T21:15:05Z","values":[74.93]},"#, "");
    assert_ne!(without, good, "the reading stands among the last ones of the alert");
    assert_eq!(out, without);
}

/// The temperature of a machine until it failed, and after: every five minutes for 79 days (Numenta Anomaly
/// Benchmark, MIT; one digit after the point).
fn machine(dir: &Path) -> PathBuf {
    let packed = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/machine_temperature.csv.gz");
    let output = Command::new("gzip").args(["-dc", packed]).output();
    let output = output.expect("gzip: install it with `apt-get install gzip`");
    assert!(output.status.success());
    let file = dir.join("machine_temperature.csv");
    std::fs::write(&file, output.stdout).unwrap();
    file
}

fn over_the_machine(dir: &Path, flags: &[&str]) -> (bool, String, String) {
    let recording = machine(dir);
    let root = env!("CARGO_MANIFEST_DIR");
    let (rules, truth) =
        (format!("{root}/rules/machinery.yaml"), format!("{root}/tests/data/machine_incidents.csv"));
    let fixed = ["replay", "--rules", &rules, "--topic", "site/a/process/m1", "--truth", &truth];
    weir(&[&fixed, flags, &[recording.to_str().unwrap()]].concat())
}

#[test]
fn a_failing_machine_is_caught_by_a_shipped_rule_before_its_end() {
    let dir = tempfile::tempdir().unwrap();
    let (ok, out, err) = over_the_machine(dir.path(), &["--table", "--json"]);
    assert!(ok, "{err}");
    let told: Json = serde_json::from_str(&out).unwrap();
    assert_eq!(told["messages"], 22_695);
    let rule = |name: &str| {
        let all = told["rules"].as_array().unwrap();
        all.iter().find(|rule| rule["rule"] == name).unwrap_or_else(|| panic!("{name}")).clone()
    };
    // The figures of docs/backtest.md: 17 hours before, and 5 times otherwise.
    let cold = rule("process-too-cold");
    assert_eq!(
        (&cold["alerts"], &cold["caught"], &cold["missed"], &cold["false_alarms"]),
        (&6.into(), &1.into(), &0.into(), &5.into())
    );
    assert_eq!(cold["lead_seconds"], 17.0 * 3_600.0);
    assert_eq!(cold["keys"][0], serde_json::json!({ "key": "device=m1 site=a", "alerts": 6 }));
    let hot = rule("process-too-hot");
    assert_eq!((&hot["alerts"], &hot["caught"], &hot["false_alarms"]), (&4.into(), &0.into(), &4.into()));
    assert_eq!(rule("overheating")["alerts"], 0, "a rule without a reading has a line too");
}

#[test]
fn a_threshold_is_varied_and_drawn() {
    let dir = tempfile::tempdir().unwrap();
    let svg = dir.path().join("vary.svg");
    let vary = ["--vary", "process-too-hot.when=f > 95..105/5", "--json", "--plot", svg.to_str().unwrap()];
    let (ok, out, err) = over_the_machine(dir.path(), &vary);
    assert!(ok && err.contains("drawn in"), "{err}");
    let told: Json = serde_json::from_str(&out).unwrap();
    let alerts =
        |n: usize| (told[n]["when"].as_str().unwrap().to_owned(), told[n]["alerts"].as_u64().unwrap());
    assert_eq!(told.as_array().unwrap().len(), 3);
    let [low, middle, high] = [alerts(0), alerts(1), alerts(2)];
    assert_eq!((&*low.0, &*middle.0, &*high.0), ("f > 95", "f > 100", "f > 105"));
    assert!(low.1 > middle.1 && middle.1 > high.1, "{out}");
    let drawn = std::fs::read_to_string(&svg).unwrap();
    assert!(
        drawn.starts_with("<svg ") && drawn.contains(">105<") && drawn.contains("class=\"other\""),
        "with false alarms"
    );

    let page = dir.path().join("cold.html");
    let draw = ["--rule", "process-too-cold", "--table", "--plot", page.to_str().unwrap()];
    let (ok, _, err) = over_the_machine(dir.path(), &draw);
    assert!(ok, "{err}");
    let drawn = std::fs::read_to_string(&page).unwrap();
    for part in [
        "<!doctype html>",
        "warning 50",
        "critical 45",
        "class=\"band\"",
        "class=\"incident\"",
        "f  device=m1 site=a",
        "17h",
    ] {
        assert!(drawn.contains(part), "{part}");
    }

    for (flags, said) in [
        (&["--vary", "when=f > 1..2"][..], "say which rule varies"),
        (&["--vary", "process-too-hot.when=f > 1"], "no range in `f > 1`"),
        (&["--vary", "process-too-hot.when=g > 1..2"], "a variant of the rule is wrong"),
        (&["--plot", "x.svg"], "say which rule to draw with --rule"),
    ] {
        let (ok, _, err) = over_the_machine(dir.path(), flags);
        assert!(!ok && err.contains(said), "{flags:?}: {err}");
    }
}
