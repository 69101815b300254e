//! `weir replay` over a recording in CSV.

use std::path::{Path, PathBuf};

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
