//! The transitions that the environment pack makes of the recorded sensors, as an outbox keeps them.

use std::process::Command;

use prost::Message as _;
use serde_json::Value as Json;
use weir::model::label::Fingerprint;
use weir::model::time::Timestamp;
use weir::wire::v1;
use weir::wire::v1::value::Kind;

use crate::support::programs::weir;

/// All of them, in their order: which alert each is of, and its body.
pub(crate) fn bodies() -> Vec<(u64, Vec<u8>)> {
    let dir = tempfile::tempdir().unwrap();
    let packed = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/env_sensors.jsonl.gz");
    let plain = Command::new("gzip").args(["-dc", packed]).output().expect("install it: gzip").stdout;
    let file = dir.path().join("env_sensors.jsonl");
    std::fs::write(&file, plain).unwrap();
    let rules = concat!(env!("CARGO_MANIFEST_DIR"), "/rules/environment.yaml");
    let topic = "site/lab/env/{device}";
    let args = ["replay", "--json", "--agent", "gw-1", "--rules", rules, "--topic", topic];
    let (ok, out, err) = weir(&[&args[..], &[file.to_str().unwrap()]].concat());
    assert!(ok, "{err}");
    out.lines().map(|line| transition(&serde_json::from_str(line).unwrap())).collect()
}

/// The same a few hours later, with other readings.
pub(crate) fn later(body: &[u8], rounds: usize) -> Vec<u8> {
    let mut wire = v1::Transition::decode(body).unwrap();
    let rounds = i32::try_from(rounds).unwrap();
    let span = i64::from(rounds) * 4_817_321_987;
    wire.starts_at += span;
    wire.occurred_at += span;
    wire.recorded_at += span;
    let readings = wire.evidence.iter_mut().flat_map(|seen| &mut seen.readings);
    let values = readings.flat_map(|reading| &mut reading.values);
    let values = values.chain(wire.values.iter_mut().filter_map(|named| named.value.as_mut()));
    for (i, value) in (0..).zip(values) {
        if let Some(Kind::Float(number)) = &mut value.kind {
            *number = (*number * 100.0 + f64::from(rounds * (7 + i % 5))).round() / 100.0;
        }
    }
    wire.encode_to_vec()
}

fn transition(said: &Json) -> (u64, Vec<u8>) {
    let text = |name: &str| said[name].as_str().unwrap_or_default().to_owned();
    let time = |name: &str| Timestamp::parse(said[name].as_str().unwrap()).unwrap().micros();
    let texts = |name: &str| {
        let members = said[name].as_object().into_iter().flatten();
        members.map(|(name, text)| (name.clone(), text.as_str().unwrap().to_owned())).collect()
    };
    let state = match said["state"].as_str().unwrap() {
        "firing" => v1::transition::State::Firing,
        "resolved" => v1::transition::State::Resolved,
        _ => v1::transition::State::Occurred,
    };
    let fingerprint = Fingerprint::parse(said["fingerprint"].as_str().unwrap()).unwrap().0;
    let named =
        |(name, value): (&String, &Json)| v1::NamedValue { name: name.clone(), value: Some(of(value)) };
    let occurred_at = time("occurred_at");
    let reading = |reading: &Json| v1::Reading {
        before: occurred_at - Timestamp::parse(reading["at"].as_str().unwrap()).unwrap().micros(),
        values: reading["values"].as_array().unwrap().iter().map(of).collect(),
    };
    let evidence = said.get("evidence").map(|seen| v1::Evidence {
        columns: seen["columns"].as_array().unwrap().iter().map(|c| c.as_str().unwrap().to_owned()).collect(),
        readings: seen["readings"].as_array().unwrap().iter().map(reading).collect(),
    });
    let wire = v1::Transition {
        state: state.into(),
        reason: text("reason"),
        ruleset: text("ruleset"),
        rule: text("rule"),
        rule_hash: u64::from_str_radix(&text("rule_hash"), 16).unwrap(),
        fingerprint,
        labels: texts("labels"),
        severity: text("severity"),
        annotations: texts("annotations"),
        values: said["values"].as_object().unwrap().iter().map(named).collect(),
        starts_at: time("starts_at"),
        occurred_at,
        recorded_at: occurred_at + 1_234,
        boot_id: "6d1f8a52-0b7e-4c1d-9a53-5d0d2c8e7f11".to_owned(),
        evidence,
        skew_ms: Some(3),
        ..Default::default()
    };
    (fingerprint, wire.encode_to_vec())
}

fn of(value: &Json) -> v1::Value {
    let kind = match value {
        Json::Null => None,
        Json::Bool(b) => Some(Kind::Boolean(*b)),
        Json::Number(n) => Some(n.as_i64().map_or(Kind::Float(n.as_f64().unwrap()), Kind::Integer)),
        Json::String(text) => Some(Kind::Text(text.clone())),
        other => Some(Kind::Json(other.to_string())),
    };
    v1::Value { kind }
}
