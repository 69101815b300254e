//! The recorded day.

use std::io::Read as _;
use std::time::Duration;

use flate2::read::GzDecoder;
use weir::clock::Clock;

use super::publisher::{Packets, Publisher};

/// A reading as it was published.
struct Reading {
    topic: String,
    payload: String,
    /// Since the first of the day.
    after: Duration,
}

pub(crate) struct Recording(Vec<Reading>);

impl Recording {
    pub(crate) fn load() -> Self {
        let packed: &[u8] = include_bytes!("../../tests/data/env_sensors.jsonl.gz");
        let mut text = String::new();
        GzDecoder::new(packed).read_to_string(&mut text).unwrap();
        let mut first = None;
        let reading = |line: &str| {
            let json: serde_json::Value = serde_json::from_str(line).unwrap();
            let at = json["ts"].as_f64().unwrap();
            let after = Duration::try_from_secs_f64(at - *first.get_or_insert(at)).unwrap_or_default();
            let topic = format!("site/lab/env/{}", json["device"].as_str().unwrap());
            Reading { topic, payload: line.to_owned(), after }
        };
        Self(text.lines().map(reading).collect())
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// From the first reading to the last.
    pub(crate) fn span(&self) -> Duration {
        self.0.last().map_or(Duration::ZERO, |last| last.after)
    }

    /// Bytes of all payloads.
    pub(crate) fn payload(&self) -> u64 {
        self.0.iter().map(|reading| reading.payload.len() as u64).sum()
    }

    /// Publishes each at its time, so many times faster; those that are due together go together.
    pub(crate) fn publish(&self, publisher: &mut Publisher, speed: u32) {
        let clock = Clock::start();
        let mut rest = self.0.as_slice();
        while let Some(first) = rest.first() {
            let due = first.after / speed;
            while clock.uptime() < due {
                std::thread::park_timeout(due.saturating_sub(clock.uptime()));
            }
            let by_now = clock.uptime() * speed;
            let count = rest.iter().take_while(|reading| reading.after <= by_now).count().max(1);
            let mut packets = Packets::default();
            for reading in &rest[..count] {
                packets.add(&reading.topic, reading.payload.as_bytes(), 1);
            }
            publisher.publish(&packets, None);
            rest = &rest[count..];
        }
    }
}
