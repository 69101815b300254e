//! What happens before a file is kept, and what must therefore come of it: the same for every version, as far
//! as its language goes.

use serde_json::Value as Json;

/// Rules that every version takes.
pub(super) const RULES: &str = "
streams:
  - CREATE STREAM t (v FLOAT, ts DATETIME)
      WITH (DATASOURCE='plant/{device}/t', FORMAT='json', KEY='device', TIMESTAMP='ts', TIMESTAMP_FORMAT='s')
rules:
  - {id: hot, sql: 'SELECT device, v FROM t', key: [device], when: v > 60, severity: critical}
  - {id: slow, sql: 'SELECT device, v FROM t', key: [device], when: v > 60, for: 1h}
  - {id: held, sql: 'SELECT device, v FROM t', key: [device], when: v > 60, keep_firing_for: 1h}
  - id: mean
    sql: SELECT device, avg(v) AS mean, count(*) AS n FROM t GROUP BY device, TUMBLINGWINDOW(hh, 1)
    key: [device]
    when: mean > 0
";

/// Rules with what the language has learned since: where a version does not take them, its file does without.
pub(super) const LATER: &str = "
streams:
  - CREATE STREAM motors (v FLOAT) WITH (DATASOURCE='hall/{device}/motor', FORMAT='json', KEY='device')
rules:
  - id: motor-hot
    sql: SELECT device, v FROM motors
    key: [device]
    levels:
      - {severity: warning, when: v > 60}
      - {severity: critical, when: v > 80}
    no_data: {after: 5h, do: fire}
  - id: motor-warm
    sql: SELECT device, v FROM motors
    key: [device]
    when: v > 40
    inhibited_by: [motor-hot]
";

/// A reading: device, value, seconds after [`BEGIN`].
type Reading = (&'static str, u32, u32);

/// When the first hour of the story begins: 2026-01-01T00:00:00Z.
const BEGIN: u32 = 1_767_225_600;

/// Told while the hub is there.
pub(super) const TOLD: [Reading; 2] = [("m0", 61, 0), ("m0", 50, 1)];
/// How many transitions come of it.
pub(super) const TOLD_COUNT: u64 = 3;
/// Waits for the hub, and lies in the snapshot that an agent leaves when it is stopped.
pub(super) const WAITS: [Reading; 3] = [("m1", 61, 10), ("m2", 61, 10), ("m2", 50, 11)];
/// Comes after the snapshot.
pub(super) const LAST: Reading = ("m3", 61, 20);
/// What the motors say, at the same time as [`WAITS`].
pub(super) const MOTOR: (&str, &str) = ("hall/m4/motor", r#"{"v": 85}"#);

/// Ends what is up for `m1`, and two hours later its window.
pub(super) const AFTER: [Reading; 2] = [("m1", 50, 30), ("m1", 50, 7_200)];

/// The transitions that wait, as rule, device and state.
pub(super) const WAITING: [[&str; 3]; 7] = [
    ["held", "m1", "firing"],
    ["held", "m2", "firing"],
    ["held", "m3", "firing"],
    ["hot", "m1", "firing"],
    ["hot", "m2", "firing"],
    ["hot", "m2", "resolved"],
    ["hot", "m3", "firing"],
];
/// What waits of the motors.
pub(super) const MOTOR_WAITING: [&str; 3] = ["motor-hot", "m4", "firing"];

/// The alerts that stand, as rule, device, phase and start.
pub(super) const STANDING: [[&str; 4]; 8] = [
    ["held", "m0", "keeping", "2026-01-01T00:00:00Z"],
    ["held", "m1", "firing", "2026-01-01T00:00:10Z"],
    ["held", "m2", "keeping", "2026-01-01T00:00:10Z"],
    ["held", "m3", "firing", "2026-01-01T00:00:20Z"],
    ["hot", "m1", "firing", "2026-01-01T00:00:10Z"],
    ["hot", "m3", "firing", "2026-01-01T00:00:20Z"],
    ["slow", "m1", "pending", "2026-01-01T00:00:10Z"],
    ["slow", "m3", "pending", "2026-01-01T00:00:20Z"],
];

/// Topic and payload.
pub(super) fn message((device, v, after): Reading) -> (String, String) {
    (format!("plant/{device}/t"), format!(r#"{{"v": {v}, "ts": {}}}"#, BEGIN + after))
}

/// The alerts of a status that belong to this story, in order.
pub(super) fn standing(status: &Json) -> Vec<[String; 4]> {
    let text = |value: &Json| value.as_str().unwrap_or_default().to_owned();
    let alerts = status["core"]["alerts"].as_array().into_iter().flatten();
    let mut all: Vec<[String; 4]> = alerts
        .map(|alert| {
            let labels = &alert["labels"];
            [
                text(&labels["alertname"]),
                text(&labels["device"]),
                text(&alert["phase"]),
                text(&alert["since"]),
            ]
        })
        .filter(|alert| STANDING.iter().any(|known| known[0] == alert[0]))
        .collect();
    all.sort();
    all
}
