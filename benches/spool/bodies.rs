//! The product, as this bench uses it inside its own process, and what goes through it: transitions as the core makes
//! them of readings, encoded as the agent does.

use std::path::Path;

use weir::agent::core::{Core, Input, Limits as CoreLimits};
use weir::clock::spool_time;
use weir::control;
use weir::model::kept::{Outgoing, StateChange};
use weir::model::message::Message;
use weir::model::time::{Mono, Now, Timestamp};
use weir::model::transition;
use weir::plan::Limits;
use weir::spool::{Commit, Config, Spool};
use weir::uplink::{Stamp, encode};

/// A rule as packs have it: a sentence for people, and no more columns than it needs.
pub(crate) const RULES: &str = "
streams:
  - CREATE STREAM t (v FLOAT) WITH (DATASOURCE='plant/{device}/t', FORMAT='json', KEY='device')
rules:
  - id: freezer-too-warm
    sql: SELECT device, v FROM t
    when: v > 50
    severity: warning
    flapping: off
    annotations: {summary: '{{ device }} is at {{ v }} °C, limit 50 °C'}
";

/// How many devices take turns.
const DEVICES: usize = 500;

/// The topic of a device.
pub(crate) fn topic(device: usize) -> String {
    format!("plant/freezer-{:03}/t", device % DEVICES)
}

/// A reading that raises the alert of its device, or lowers it.
pub(crate) fn payload(up: bool) -> &'static str {
    if up { r#"{"v": 61.5}"# } else { r#"{"v": 12.5}"# }
}

/// Which device a transition is of, and whether it raises: each device is up once, and then down.
pub(crate) fn turn(number: usize) -> (usize, bool) {
    (number % DEVICES, (number / DEVICES).is_multiple_of(2))
}

/// Transitions that become durable together, and the states of their alerts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Batch {
    pub(crate) transitions: Vec<Outgoing>,
    pub(crate) states: Vec<StateChange>,
}

impl Batch {
    /// Bytes of the transitions.
    pub(crate) fn payload(&self) -> u64 {
        self.transitions.iter().map(|one| one.body.len() as u64).sum()
    }

    /// All as one commit.
    pub(crate) fn commit(self) -> Commit {
        Commit { transitions: self.transitions, states: self.states, ..Commit::default() }
    }
}

/// So many transitions, ready for the outbox, with the states.
pub(crate) fn batch(count: usize) -> Batch {
    let limits = CoreLimits { rate: 0, ..CoreLimits::default() };
    let mut core = Core::new("gateway-1".into(), limits);
    let admitted = control::admit_file(&"bench".into(), RULES, &Limits::default()).unwrap();
    drop(core.apply(Input::Run(Box::new(admitted)), at(0)));
    let stamp = Stamp {
        boot_id: "0f4c6f70d1a84f26b3a5c5d8b7f0a9e1",
        recorded_at: at(0).wall,
        clock_trusted: true,
        skew_ms: Some(3),
    };
    let mut batch = Batch::default();
    for number in 0..count {
        let (device, up) = turn(number);
        let now = at(i64::try_from(number).unwrap());
        let message = Message {
            source: "plant".into(),
            topic: topic(device).as_str().into(),
            payload: payload(up).into(),
            received: now.wall,
            retained: false,
            dup: false,
            qos: 1,
            properties: Box::default(),
            ack: None,
        };
        let effects = core.apply(Input::Messages(vec![message]), now);
        batch.transitions.extend(effects.transitions.iter().map(|told| Outgoing {
            body: encode(&stamp, told).0,
            fingerprint: told.fingerprint,
            rank: transition::rank(&told.severity),
            urgent: false,
        }));
        batch.states.extend(effects.states);
    }
    assert_eq!(batch.transitions.len(), count, "each reading makes one");
    batch
}

/// A moment of 2026, so many milliseconds after its begin.
fn at(millis: i64) -> Now {
    let wall = Timestamp::from_millis(1_767_225_600_000 + millis);
    Now { wall, mono: Mono::from_micros(u64::try_from(millis * 1_000).unwrap_or(0)) }
}

/// Opens a spool that gives nothing up.
pub(crate) fn spool(path: &Path) -> Spool {
    let config = Config { max_bytes: 1 << 40, ..Config::default() };
    Spool::open(path, &config, spool_time()).unwrap().0
}
