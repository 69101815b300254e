//! What comes from outside, in every broken form: SQL text, rule files, payloads, snapshots. Nothing
//! may panic, hang, or take memory without bound. `cargo test` runs the corpus in `__fuzz__` and
//! inputs at random for a second each; `make fuzz` goes on for as long as one likes.
#![cfg(test)]

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use bolero::check;
use weir::agent::casefile::Suite;
use weir::decode::Decoder;
use weir::engine::{Config, Engine};
use weir::model::message::Message;
use weir::model::row::Rows;
use weir::model::stream::{Field, FieldSource, Format, StreamSpec, TimeUnit};
use weir::model::time::{Mono, Now, Timestamp};
use weir::model::topic::TopicPattern;
use weir::model::value::{DataType, Value};
use weir::plan::logical::Plan;
use weir::plan::{Limits, RuleSetDef, compile_text};

/// The stream and table that fuzzed queries read.
const STREAMS: &[&str] = &[
    "CREATE STREAM s (v FLOAT, n BIGINT, state STRING, ok BOOLEAN, ts DATETIME, list ARRAY(BIGINT), pos STRUCT(lat FLOAT)) \
     WITH (DATASOURCE='t/{device}', KEY='device', TIMESTAMP='ts', TIMESTAMP_FORMAT='s', LATENESS='5s')",
    "CREATE STREAM open () WITH (DATASOURCE='o/{device}')",
];

/// Payloads that reach every branch of an expression.
const READINGS: &[(&str, &str)] = &[
    ("t/a", r#"{"v":1.5,"n":7,"state":"on","ok":true,"ts":1767225600,"list":[1,2,3],"pos":{"lat":52.5}}"#),
    ("t/b", r#"{"v":-2,"n":9223372036854775807,"state":"","ok":false,"ts":1767225604,"list":[]}"#),
    ("o/a", r#"{"v":"x","n":[1,{"a":null}],"deep":{"er":{"still":1}}}"#),
    ("t/a", r#"{"ts":1767225633}"#),
    ("t/b", r#"{"v":60.5,"ts":1767225699,"state":"größe"}"#),
    ("t/a", r#"{"v":1e300,"n":-9223372036854775808,"ts":1767229999}"#),
];

fn compiled(set: &serde_json::Value) -> Option<Arc<Plan>> {
    compile_text("fuzz", &set.to_string(), &Limits::default()).plan.map(Arc::new)
}

fn message(topic: &str, payload: &[u8], at: Timestamp) -> Message {
    Message {
        source: "test".into(),
        topic: topic.into(),
        payload: payload.to_vec().into(),
        received: at,
        retained: false,
        dup: false,
        qos: 0,
        properties: Box::default(),
        ack: None,
    }
}

fn at(seconds: u64) -> Now {
    let micros = (1_767_225_600 + seconds) * 1_000_000;
    Now { wall: Timestamp::from_micros(i64::try_from(micros).unwrap()), mono: Mono::from_micros(micros) }
}

/// Runs a plan over some readings, a silence, and a restart in between.
fn run(plan: &Arc<Plan>) {
    let mut decoder = Decoder::new(plan.streams.clone());
    let config = Config { max_groups: 100, max_states: 1_000, max_bytes: 1 << 20, ..Config::default() };
    let mut engine = Engine::new(plan.clone(), config);
    let mut out = Vec::new();
    for (second, (topic, payload)) in (0..).zip(READINGS) {
        let now = at(second);
        let mut rows = Rows::new();
        decoder.decode(&message(topic, payload.as_bytes(), now.wall), &mut rows);
        for (stream, row) in rows.iter() {
            engine.push(stream, row, now, &mut out);
        }
        let bytes = engine.snapshot(now);
        engine = Engine::new(plan.clone(), config);
        engine.restore(&bytes, now).unwrap();
    }
    engine.advance(at(1_000_000), &mut out);
}

fn text(bytes: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

/// What queries are made of: bytes at random say something far more often in words than in letters.
const WORDS: &str = "SELECT FROM s WHERE GROUP BY HAVING ORDER LIMIT DISTINCT AS AND OR NOT IN IS NULL TRUE BETWEEN LIKE CASE WHEN \
    THEN ELSE END CAST OVER PARTITION FILTER JOIN LEFT RIGHT FULL CROSS ON open b v n state ok ts list pos device a x ( ) ( ) , , , . -> [ ] : \
    + - * / % DIV || = <> < <= > >= 0 1 -1 2 10 9223372036854775807 1e300 0.5 'a' '' '5m' 'on' '$..a' '^a+$' 'yyyy-MM-dd' 'UTC' * \
    TUMBLINGWINDOW(ss,10) HOPPINGWINDOW(ss,10,1) SLIDINGWINDOW(ss,10) SLIDINGWINDOW(ss,5,5) SESSIONWINDOW(mi,1,10) COUNTWINDOW(3,1) \
    COUNTWINDOW(2) STATEWINDOW(ok) STATEWINDOW(ok,v>1) STRING FLOAT BIGINT DATETIME EXCEPT( REPLACE( INVISIBLE ASC DESC \
    CREATE STREAM TABLE WITH ( DATASOURCE='t/{device}' KEY='device' FORMAT='json' TIMESTAMP='ts' ARRAY( STRUCT( DEFAULT";

/// A text of words, of functions' names with the parenthesis that follows them, and of letters.
fn spoken(bytes: &[u8]) -> String {
    let words: Vec<&str> = WORDS.split_whitespace().collect();
    let functions: Vec<&str> = weir::plan::function_names().collect();
    let mut text = String::from("SELECT ");
    let mut bytes = bytes.iter().map(|byte| usize::from(*byte));
    while let Some(byte) = bytes.next() {
        match byte {
            0..=199 => text.push_str(words[byte % words.len()]),
            200..=249 => {
                let place = byte * 251 + bytes.next().unwrap_or(0);
                text.push_str(functions[place % functions.len()]);
                text.push('(');
            }
            _ => text.extend(bytes.next().and_then(|byte| char::from_u32(u32::try_from(byte).ok()?))),
        }
        text.push(' ');
    }
    text
}

/// Something sound with some of its bytes changed, and perhaps its end cut off.
fn edited(sound: &[u8], edits: &[u8]) -> Vec<u8> {
    let mut bytes = sound.to_vec();
    let chunks = edits.chunks_exact(3);
    if let [.., cut] = chunks.remainder() {
        bytes.truncate(bytes.len() - usize::from(*cut).min(bytes.len()));
    }
    for edit in chunks {
        let place = usize::from(u16::from_le_bytes([edit[0], edit[1]])) % bytes.len().max(1);
        if let Some(byte) = bytes.get_mut(place) {
            *byte = edit[2];
        }
    }
    bytes
}

/// A rule file that uses what a rule file can hold.
const RULE_FILE: &str = include_str!("../../rules/machinery.yaml");

/// A payload that fits every stream, or nearly.
const PAYLOAD: &[u8] = br#"{"v":1.5,"n":7,"s":"x","ok":true,"ts":1767225600,"b":"raw","list":[{"a":1},{"a":null}],"a":{"b":{"c":[1,-2e9]}}}"#;

/// Several rows, blanks, escapes and depth.
const NESTED: &[u8] = br#" [ {"v" : -0.25e-3 , "s":"g\u00f6\n","a":{"b":{"c":"x"},"d":[[],{}, {"e":null}]}},
    {"pos":{"lat":52.520008,"lon":13.404954},"ok":false,"x":"\\","n":12345678901234567890},{"temperature":21.299999999999997}]"#;

#[test]
fn sql() {
    check!().with_max_len(2_000).for_each(|bytes: &[u8]| {
        judge_sql(&text(bytes));
        judge_sql(&spoken(bytes));
    });
}

fn judge_sql(text: &str) {
    let query = serde_json::json!({ "streams": STREAMS, "rules": [{ "id": "q", "sql": text }] });
    if let Some(plan) = compiled(&query) {
        run(&plan);
    }
    let condition = serde_json::json!({ "streams": STREAMS, "rules": [
            { "id": "q", "sql": "SELECT device, v, n, state, ok, list, pos, ts FROM s", "when": text }] });
    if let Some(plan) = compiled(&condition) {
        run(&plan);
    }
    for statement in [text, &format!("CREATE {text}")] {
        compiled(&serde_json::json!({ "streams": [statement], "tables": [statement], "rules": [] }));
    }
}

#[test]
fn rule_file() {
    check!().with_max_len(4_000).for_each(|bytes: &[u8]| {
        judge_rule_file(bytes);
        judge_rule_file(&edited(RULE_FILE.as_bytes(), bytes));
    });
}

fn judge_rule_file(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let compiled = compile_text("fuzz", text, &Limits::default());
    if let Some(plan) = compiled.plan {
        run(&Arc::new(plan));
    }
    // A set that was read goes over the wire and comes back the same.
    if let Ok(def) = weir::plan::file::parse(text) {
        let items = def.items();
        let again = RuleSetDef::from_items(&items).expect("items of a set make a set");
        assert_eq!(again.items(), items);
    }
}

#[test]
fn test_file() {
    const CASES: &str = include_str!("../../rules/cold-chain.test.yaml");
    check!().with_max_len(400).for_each(|bytes: &[u8]| {
        if let Ok(text) = std::str::from_utf8(&edited(CASES.as_bytes(), bytes)) {
            drop(Suite::parse(text));
        }
        // What is no text to YAML still comes to the notation of values.
        let values = serde_json::Value::from(text(bytes));
        let case =
            serde_json::json!({"name": "x", "series": [{"topic": "t", "every": "1s", "values": values}]});
        drop(Suite::parse(&serde_json::json!({"rules": "r.yaml", "cases": [case]}).to_string()));
    });
}

#[test]
fn payload() {
    let streams = [
        "CREATE STREAM typed (v FLOAT, n BIGINT, s STRING, ok BOOLEAN, ts DATETIME, b BYTEA, list ARRAY(STRUCT(a BIGINT))) WITH (DATASOURCE='#', TIMESTAMP='ts')",
        "CREATE STREAM open () WITH (DATASOURCE='#')",
        "CREATE STREAM value () WITH (DATASOURCE='#', FORMAT='scalar')",
        "CREATE STREAM number (x BIGINT) WITH (DATASOURCE='#', FORMAT='scalar')",
        "CREATE STREAM lines (a BIGINT, b STRING DEFAULT 'x', c DATETIME) WITH (DATASOURCE='#', FORMAT='delimited', DELIMITER=';', STRICT_VALIDATION='false')",
        "CREATE STREAM bytes (raw BYTEA) WITH (DATASOURCE='#', FORMAT='binary')",
        "CREATE STREAM lenient (v FLOAT DEFAULT 1.5, n BIGINT, ts STRING) WITH (DATASOURCE='#', STRICT_VALIDATION='false', TIMESTAMP='ts', TIMESTAMP_FORMAT='yyyy-MM-dd HH:mm:ss')",
        "CREATE STREAM twins () WITH (DATASOURCE='#', FORMAT='kubeedge')",
    ];
    let rules: Vec<_> = [
        "SELECT v, n, s, ok, ts, b, list FROM typed",
        "SELECT a, a->b->c AS c, v FROM open",
        "SELECT value FROM value",
        "SELECT x FROM number",
        "SELECT a, b, c, meta(topic) AS t FROM lines",
        "SELECT raw, sha256(raw) AS h, parse_json(encode(raw, 'utf8')) AS j, json_path_query(raw, '$..a[?@.b > 1]') AS p FROM bytes",
        "SELECT v, n, regexp_matches(ts, '^(a+)+$') AS r FROM lenient",
        "SELECT property, value, expected, last, ts, code FROM twins",
    ]
    .iter()
    .enumerate()
    .map(|(n, sql)| serde_json::json!({ "id": format!("r{n}"), "sql": sql }))
    .collect();
    let plan = compiled(&serde_json::json!({ "streams": streams, "rules": rules })).expect("a right set");
    check!().with_max_len(4_000).for_each(|bytes: &[u8]| {
        let mut decoder = Decoder::new(plan.streams.clone());
        let mut rows = Rows::new();
        decoder.decode(&message("t", bytes, at(0).wall), &mut rows);
        decoder.decode(&message("t", &edited(PAYLOAD, bytes), at(0).wall), &mut rows);
        let mut engine = Engine::new(plan.clone(), Config::default());
        let mut out = Vec::new();
        rows.iter().for_each(|(stream, row)| engine.push(stream, row, at(0), &mut out));
    });
}

/// Members that a payload may have, some below others.
const MEMBERS: &[&str] =
    &["v", "n", "s", "ok", "ts", "b", "list", "a", "a.b", "a.b.c", "pos.lat", "größe", "temperature"];

/// A stream that reads some of them: bytes say which, and how.
fn some_stream(bytes: [u8; 4]) -> StreamSpec {
    let wanted = u16::from_le_bytes([bytes[0], bytes[1]]);
    let types = [
        DataType::Any,
        DataType::Float,
        DataType::Bigint,
        DataType::String,
        DataType::Boolean,
        DataType::Datetime,
    ];
    let field = |(n, name): (usize, &&str)| Field {
        name: (*name).into(),
        from: FieldSource::Path(name.split('.').map(Into::into).collect()),
        ty: types[(usize::from(bytes[2]) + n) % types.len()].clone(),
        default: Value::Null,
        unit: TimeUnit::Auto,
    };
    StreamSpec {
        name: "s".into(),
        pattern: TopicPattern::parse("t").expect("a topic"),
        source: None,
        format: Format::Json,
        strict: bytes[3] & 1 == 0,
        fields: MEMBERS.iter().enumerate().filter(|(n, _)| wanted >> n & 1 == 1).map(field).collect(),
        timestamp: None,
        key: None,
        lateness: Duration::ZERO,
        idle: None,
        max_future: None,
        silence: None,
        availability: None,
        expected: Arc::default(),
    }
}

#[test]
fn scanner() {
    check!().with_max_len(4_000).for_each(|bytes: &[u8]| {
        let Some((wanted, bytes)) = bytes.split_first_chunk() else { return };
        let spec = Arc::new(some_stream(*wanted));
        for payload in [bytes, &edited(PAYLOAD, bytes), &edited(NESTED, bytes)] {
            let told = |scan| {
                let config = weir::decode::Config { scan, max_rows: 100, ..Default::default() };
                let mut decoder = Decoder::with_config(vec![spec.clone()], config);
                let mut rows = Rows::new();
                // What was met before must change nothing.
                for payload in [payload, PAYLOAD, payload] {
                    decoder.decode(&message("t", payload, at(0).wall), &mut rows);
                }
                let (_, stats) = decoder.stats().next().expect("one stream");
                let samples: Vec<_> = stats.samples().cloned().collect();
                // Minus zero is equal to zero, and yet another number.
                (rows.iter().map(|(_, row)| format!("{row:?}")).collect::<Vec<_>>(), samples)
            };
            assert_eq!(told(true), told(false), "{}", text(payload));
        }
    });
}

/// A rule for each operator that has state.
const STATEFUL: &[&str] = &[
    "SELECT device, count(DISTINCT n) AS c, avg(v) AS m, max(state) AS s FROM s GROUP BY device, TUMBLINGWINDOW(ss, 10)",
    "SELECT count(*) AS c FROM s GROUP BY TUMBLINGWINDOW(ss, 10)",
    "SELECT device, sum(v) AS c FROM s GROUP BY device, HOPPINGWINDOW(mi, 10, 1)",
    "SELECT count(*) AS c FROM open GROUP BY TUMBLINGWINDOW(ss, 10)",
    "SELECT device, collect(n) AS c, median(v) AS m FROM s GROUP BY device, SLIDINGWINDOW(ss, 10, 5) OVER (WHEN ok)",
    "SELECT device, increase(n) AS i, last_value(state) AS l, slope(v) AS k FROM s GROUP BY device, SESSIONWINDOW(mi, 10, 1)",
    "SELECT device, percentile_cont(v, 0.9) AS p, deduplicate(state) AS d FROM s GROUP BY device, COUNTWINDOW(3, 1)",
    "SELECT device, merge_agg(pos) AS m, stddev(v) AS s FROM s GROUP BY device, STATEWINDOW(ok, state = 'off')",
    "SELECT v, state FROM s GROUP BY TUMBLINGWINDOW(ss, 30) ORDER BY v DESC LIMIT 2",
    "SELECT s.device, s.v, b.n FROM s FULL JOIN s AS b ON s.device = b.device GROUP BY TUMBLINGWINDOW(ss, 10)",
    "SELECT s.device, v, l.n FROM s LEFT JOIN newest AS l ON s.device = l.device",
    "SELECT device, lag(v, 3) OVER (PARTITION BY device WHEN ok) AS a, ewma(v, 30) OVER (PARTITION BY device) AS b, \
       delay(5000, n) OVER (PARTITION BY state) AS c, time_in_state(v > 1) AS d, had_changed(true, state, ok) AS e, \
       zscore(v) AS f, rate(n) AS g, acc_avg(v) AS h, latest(state) AS i, last_hit_time() AS j, row_number() AS k FROM s",
];

#[test]
fn snapshot() {
    let rules: Vec<_> = STATEFUL
        .iter()
        .enumerate()
        .map(|(n, sql)| serde_json::json!({ "id": format!("r{n}"), "sql": sql }))
        .collect();
    let tables = ["CREATE TABLE newest () WITH (DATASOURCE='o/{device}', KEY='device')"];
    let set = serde_json::json!({ "streams": STREAMS, "tables": tables, "rules": rules });
    let plan = compiled(&set).expect("a right set");
    let mut decoder = Decoder::new(plan.streams.clone());
    let mut rows = Rows::new();
    for (topic, payload) in READINGS {
        decoder.decode(&message(topic, payload.as_bytes(), at(0).wall), &mut rows);
    }
    let mut engine = Engine::new(plan.clone(), Config::default());
    rows.iter().take(4).for_each(|(stream, row)| engine.push(stream, row, at(0), &mut Vec::new()));
    let sound = engine.snapshot(at(1));
    check!().for_each(|edits: &[u8]| {
        let bytes = edited(&sound, edits);
        for bytes in [edits, bytes.as_slice()] {
            let mut engine = Engine::new(plan.clone(), Config::default());
            if engine.restore(bytes, at(1)).is_ok() {
                let mut out = Vec::new();
                rows.iter().for_each(|(stream, row)| engine.push(stream, row, at(2), &mut out));
                engine.advance(at(1_000_000), &mut out);
                engine.snapshot(at(1_000_001));
            }
        }
    });
}
