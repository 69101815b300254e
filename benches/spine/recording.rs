//! The recording of three sensor sets, repeated as often as needed with time that goes on.

use std::collections::BTreeMap;
use std::process::Command;

use super::publisher::Packets;

/// Seconds between the end of one round and the beginning of the next.
const GAP: f64 = 3.0;

/// One line, cut around its timestamp.
struct Line {
    topic: String,
    head: String,
    at: f64,
    tail: String,
}

/// The readings, in the order of their time.
pub(crate) struct Recording {
    lines: Vec<Line>,
    span: f64,
}

impl Recording {
    pub(crate) fn load() -> Self {
        let packed = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/env_sensors.jsonl.gz");
        let output = Command::new("gzip")
            .args(["-dc", packed])
            .output()
            .expect("gzip: install it with `apt-get install gzip`");
        assert!(output.status.success(), "gzip cannot read {packed}");
        let text = String::from_utf8(output.stdout).unwrap();
        let lines: Vec<Line> = text.lines().map(cut).collect();
        let span = lines.last().unwrap().at - lines[0].at + GAP;
        Self { lines, span }
    }

    /// The first `count` messages as packets: in one piece, or for each device apart.
    pub(crate) fn packets(&self, count: usize, qos: u8, apart: bool) -> Vec<Packets> {
        let mut all: BTreeMap<&str, Packets> = BTreeMap::new();
        for i in 0..count {
            let line = &self.lines[i % self.lines.len()];
            let at = line.at + (i / self.lines.len()) as f64 * self.span;
            let payload = format!("{}{at:.6}{}", line.head, line.tail);
            let packets = all.entry(if apart { &line.topic } else { "" }).or_default();
            packets.add(&line.topic, payload.as_bytes(), qos);
        }
        all.into_values().collect()
    }
}

fn cut(line: &str) -> Line {
    let (head, rest) = line.split_once("\"ts\":").unwrap();
    let (at, tail) = rest.split_at(rest.find([',', '}']).unwrap());
    let reading: serde_json::Value = serde_json::from_str(line).unwrap();
    Line {
        topic: format!("site/lab/env/{}", reading["device"].as_str().unwrap()),
        head: format!("{head}\"ts\":"),
        at: at.parse().unwrap(),
        tail: tail.to_owned(),
    }
}
