//! A message takes no memory that matches nothing, or nothing but what is known, once messages like it have
//! come. The allocator of this program counts; what is measured is the thread that asks.
#![cfg(test)]

use std::sync::Arc;

use weir::agent::casefile::admit;
use weir::agent::core::{Core, Input, Limits};
use weir::decode::Decoder;
use weir::engine::{Config, Engine};
use weir::model::message::Message;
use weir::model::row::Rows;
use weir::model::time::{Mono, Now, Timestamp};

/// Streams of every usual kind, and rules that none of the messages below comes up to.
const RULES: &str = "
streams:
  - CREATE STREAM typed (temperature FLOAT, state STRING, n BIGINT, ok BOOLEAN, ts DATETIME, pos STRUCT(lat FLOAT))
      WITH (DATASOURCE='plant/{site}/{device}', KEY='device', TIMESTAMP='ts')
  - CREATE STREAM open () WITH (DATASOURCE='plant/#')
  - CREATE STREAM value () WITH (DATASOURCE='value/+', FORMAT='scalar')
  - CREATE STREAM lines (a FLOAT, b STRING, c DATETIME) WITH (DATASOURCE='lines/+', FORMAT='delimited')
rules:
  - {id: hot, sql: SELECT device FROM typed WHERE temperature > 100 AND state = 'on'}
  - {id: site, sql: SELECT device FROM typed WHERE site = 'elsewhere' OR n BETWEEN 5000 AND 6000 AND ok}
  - {id: state, sql: \"SELECT device, state, ts FROM typed WHERE state IN ('off', 'broken') AND NOT ok\"}
  - {id: deep, sql: SELECT pressure FROM open WHERE pressure > 10 AND data.inner.x = 7 AND mode LIKE 'auto%'}
  - {id: topic, sql: SELECT meta(topic) AS t FROM open WHERE meta(topic) LIKE '%/none' OR unit = 'F'}
  - {id: line, sql: SELECT a FROM lines WHERE a > 1000 OR b = 'broken'}
  - {id: single, sql: SELECT value FROM value WHERE value > 100 OR value = 'ON'}
";

fn now() -> Now {
    let micros = 1_767_225_600_000_000;
    Now { wall: Timestamp::from_micros(i64::try_from(micros).unwrap()), mono: Mono::from_micros(micros) }
}

/// Readings as devices send them: their values go up and down, their texts come again.
fn messages() -> Vec<Message> {
    let mut messages = Vec::new();
    for n in 0..200_u16 {
        let (topic, payload) = match n % 5 {
            0 => (
                format!("plant/{}/d{}", n % 3, n % 7),
                format!(
                    r#"{{"temperature":{}.5,"state":"on","n":{n},"ok":true,"ts":1767225600.{n},"unit":"C","pos":{{"lat":52.5,"lon":13.4}}}}"#,
                    n % 40
                ),
            ),
            1 => (
                format!("plant/{}/d{}", n % 3, n % 7),
                format!(
                    r#"{{ "state" : "idle", "ts" : "2026-01-01T00:00:{:02}Z", "list" : [1, {{"a": "\u00e9\n"}}], "ok" : null }}"#,
                    n % 60
                ),
            ),
            2 => (format!("lines/{}", n % 5), format!("{n}.5,\"on, and off\",2026-01-01\n1,,")),
            3 => (
                format!("plant/x/{}", n % 5),
                format!(
                    r#"[{{"pressure":1.{n},"data":{{"inner":{{"x":{n}}}}},"mode":"manual","ts":0}},{{"pressure":2,"ts":1}}]"#
                ),
            ),
            _ => (
                format!("value/{}", n % 5),
                if n % 8 == 3 { "OFF".to_owned() } else { format!("{n}.25").replace("1", "0") },
            ),
        };
        messages.push(Message {
            source: "broker".into(),
            topic: topic.into(),
            payload: payload.into_bytes().into(),
            received: now().wall,
            retained: false,
            dup: false,
            qos: 0,
            properties: Box::default(),
            ack: None,
        });
    }
    messages
}

/// What the third round over the messages allocates, one figure for each message that does.
#[track_caller]
fn check(mut take: impl FnMut(&Message)) {
    let messages = messages();
    for _ in 0..2 {
        messages.iter().for_each(&mut take);
    }
    for message in &messages {
        let info = allocation_counter::measure(|| take(message));
        let payload = String::from_utf8_lossy(&message.payload);
        assert_eq!(info.count_total, 0, "{} bytes for {} {payload}", info.bytes_total, message.topic);
    }
}

#[test]
fn decoding_allocates_nothing() {
    let plan = admit("set", RULES).unwrap().plan;
    let mut decoder = Decoder::new(plan.streams.clone());
    let mut rows = Rows::new();
    check(|message| {
        rows.clear();
        decoder.decode(message, &mut rows);
        assert!(!rows.is_empty());
    });
    assert!(decoder.stats().flat_map(|(_, stats)| stats.rejects()).all(|(_, n)| n == 0));
}

#[test]
fn the_engine_allocates_nothing_for_rows_that_match_nothing() {
    let plan = admit("set", RULES).unwrap().plan;
    let mut decoder = Decoder::new(plan.streams.clone());
    let mut engine = Engine::new(Arc::clone(&plan), Config::default());
    let (mut rows, mut out) = (Rows::new(), Vec::new());
    check(|message| {
        rows.clear();
        decoder.decode(message, &mut rows);
        for (stream, row) in rows.iter() {
            engine.push(stream, row, now(), &mut out);
        }
        assert!(out.is_empty());
    });
}

#[test]
fn the_core_allocates_nothing_for_a_message_that_matches_nothing() {
    let mut core = Core::new("edge".into(), Limits::default());
    core.apply(Input::Run(Box::new(admit("set", RULES).unwrap())), now());
    for _ in 0..2 {
        core.apply(Input::Messages(messages()), now());
    }
    let batch = Input::Messages(messages());
    let mut effects = None;
    let info = allocation_counter::measure(|| effects = Some(core.apply(batch, now())));
    assert_eq!(info.count_total, 0, "{} bytes", info.bytes_total);
    assert!(effects.unwrap().transitions.is_empty());
    assert_eq!((core.counts().messages, core.counts().unmatched), (600, 0));
}

/// Rules of each kind, which every message of the stream that they read matches.
const KNOWN: &str = "
streams:
  - CREATE STREAM typed (temperature FLOAT, state STRING) WITH (DATASOURCE='plant/{site}/{device}', KEY='device')
rules:
  - {id: up, sql: \"SELECT device, temperature, state FROM typed\", when: temperature > -100}
  - {id: held, sql: \"SELECT device, temperature FROM typed\", when: temperature > 1000, clear: temperature < -100}
  - {id: waits, sql: \"SELECT device, site FROM typed\", when: \"device LIKE 'd%'\", for: 1000h}
  - {id: told, sql: \"SELECT device, temperature FROM typed WHERE temperature > -100\", repeat: 1h}
";

#[test]
fn an_alert_that_goes_on_allocates_nothing() {
    let mut core = Core::new("edge".into(), Limits::default());
    core.apply(Input::Run(Box::new(admit("set", KNOWN).unwrap())), now());
    let mut at = now();
    let mut batch = |round: i32| {
        let mut messages = messages();
        messages.retain(|message| message.topic.contains("/d"));
        for message in &mut messages {
            at.wall = Timestamp::from_micros(at.wall.micros() + 1_000);
            message.received = at.wall;
            let temperature = if round == 0 { 2_000 } else { 20 + round };
            message.payload = format!(r#"{{"temperature":{temperature},"state":"on"}}"#).into_bytes().into();
        }
        at.mono = Mono::from_micros(at.wall.micros().cast_unsigned());
        (Input::Messages(messages), at)
    };
    for round in 0..3 {
        let (input, at) = batch(round);
        core.apply(input, at);
    }
    let (input, at) = batch(3);
    let mut effects = None;
    let info = allocation_counter::measure(|| effects = Some(core.apply(input, at)));
    assert_eq!(info.count_total, 0, "{} bytes", info.bytes_total);
    assert!(!effects.unwrap().must_commit());
    let set = core.set("set").unwrap();
    let counts: Vec<(u64, u64)> = set.alert_counts().iter().map(|c| (c.firing, c.pending)).collect();
    let keys = counts[0].0;
    assert_eq!(keys, 7);
    assert_eq!(counts, [(keys, 0), (keys, 0), (0, keys), (0, 0)]);
}
