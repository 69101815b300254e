//! A second opinion on what is expected: `weir replay` over the same readings.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::Value as Json;

use super::checker::{Checker, Promise, Since};
use super::readings::{FAREWELL, Source};
use super::rules;
use super::support::programs::weir;

/// Whether both say the same of many readings.
pub(crate) fn agrees() -> Result<(), String> {
    let dir = tempfile::tempdir().unwrap();
    let (rules_file, file) = (dir.path().join("torture.yaml"), dir.path().join("readings.jsonl"));
    std::fs::write(&rules_file, rules::TEXT).unwrap();
    let mut published = BTreeMap::new();
    let mut lines = Vec::new();
    for device in 0..6 {
        let (name, mut source) = (format!("d{device}"), Source::new(device));
        let mut readings: Vec<_> = (0..1_500).map(|_| source.next()).collect();
        readings.extend((0..FAREWELL).map(|place| source.farewell(place)));
        lines.extend(readings.iter().map(|reading| (reading.at, reading.line(&name))));
        published.insert(name, readings);
    }
    lines.sort();
    let text = lines.iter().fold(String::new(), |mut text, (_, line)| {
        writeln!(text, "{line}").unwrap();
        text
    });
    std::fs::write(&file, text).unwrap();
    let (rules_file, file) = (rules_file.to_str().unwrap(), file.to_str().unwrap());
    let topic = "torture/{device}";
    let (ok, out, err) =
        weir(&["replay", "--json", "--agent", "gw-0", "--rules", rules_file, "--topic", topic, file]);
    if !ok {
        return Err(err);
    }
    let mut checker = Checker::new(&[("gw-0", Promise::Durable)]);
    checker.published(published.into_iter().collect());
    let told: Vec<Json> = out.lines().zip(1..).map(|(line, number)| record(line, number)).collect();
    if told.len() < 5_000 {
        return Err(format!("only {} transitions", told.len()));
    }
    checker.heard(&told);
    let faults = checker.compare(&Since { repeats: false, ends: &[Vec::new()], snapshots: &[0] });
    let shown: Vec<String> = faults.iter().take(20).map(ToString::to_string).collect();
    if shown.is_empty() { Ok(()) } else { Err(shown.join("\n")) }
}

/// A transition of the replay as a hub would have it.
fn record(line: &str, number: u64) -> Json {
    let mut json: Json = serde_json::from_str(line).unwrap();
    let of_hub = [
        ("id", Json::from(number)),
        ("agent", "gw-0".into()),
        ("epoch", "1".into()),
        ("seq", number.into()),
        ("recorded_at", json["occurred_at"].clone()),
    ];
    for (key, value) in of_hub {
        json[key] = value;
    }
    json
}
