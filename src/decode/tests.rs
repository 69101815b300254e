//! Decoding through its public face: every format, type and kind of broken input.

use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::model::row::Row;
use crate::model::stream::{Field, FieldSource, Format, TimeUnit};
use crate::model::time::Timestamp;
use crate::model::topic::TopicPattern;
use crate::model::value::{DataType, Value};

mod scanner;

const RECEIVED: Timestamp = Timestamp::from_millis(1_700_000_000_000);

fn field(name: &str, ty: DataType) -> Field {
    let path = name.split('.').map(Into::into).collect();
    Field { name: name.into(), from: FieldSource::Path(path), ty, unit: TimeUnit::Auto, default: Value::Null }
}

fn from(name: &str, from: FieldSource, ty: DataType) -> Field {
    Field { from, ..field(name, ty) }
}

fn stream(name: &str, pattern: &str, format: Format, fields: Vec<Field>) -> StreamSpec {
    StreamSpec {
        name: name.into(),
        pattern: TopicPattern::parse(pattern).unwrap(),
        source: None,
        format,
        strict: true,
        timestamp: fields.iter().position(|f| f.name.as_ref() == "ts"),
        fields,
        key: None,
        lateness: Duration::ZERO,
        idle: None,
        max_future: None,
        silence: None,
        availability: None,
        expected: Arc::default(),
    }
}

fn message(topic: &str, payload: impl AsRef<[u8]>) -> Message {
    Message {
        source: "plant".into(),
        topic: topic.into(),
        payload: Bytes::copy_from_slice(payload.as_ref()),
        received: RECEIVED,
        retained: false,
        dup: false,
        qos: 0,
        properties: Box::default(),
        ack: None,
    }
}

/// The rows as text, then the rejects as `reason: detail`.
fn outcome(spec: StreamSpec, payload: impl AsRef<[u8]>) -> Vec<String> {
    let mut decoder = Decoder::new(vec![Arc::new(spec)]);
    let mut rows = Rows::new();
    decoder.decode(&message("t/x", payload), &mut rows);
    let shown = |row: &Row| {
        let values: Vec<String> = row.slots.iter().map(|v| format!("{}:{v}", v.kind())).collect();
        values.join(" ")
    };
    let mut lines: Vec<String> = rows.iter().map(|(_, row)| shown(row)).collect();
    let (_, stats) = decoder.stats().next().unwrap();
    assert_eq!(stats.rows, rows.len() as u64);
    assert_eq!(stats.messages, 1);
    let counted: u64 = stats.rejects().map(|(_, n)| n).sum();
    assert!(counted >= stats.samples().count() as u64);
    lines.extend(stats.samples().map(|s| format!("{}: {}", s.reason, s.detail)));
    lines
}

#[track_caller]
fn check(ty: DataType, payload: &str, expected: &str) {
    let got = outcome(stream("s", "t/x", Format::Json, vec![field("v", ty)]), payload);
    assert_eq!(got, [expected], "{payload}");
}

#[test]
fn json_values_in_every_type() {
    use DataType::{Any, Array, Bigint, Boolean, Bytea, Datetime, Float, String, Struct};
    for (ty, payload, expected) in [
        (Float, r#"{"v": 23.5}"#, "FLOAT:23.5"),
        (Float, r#"{"v": 23}"#, "FLOAT:23"),
        (Float, r#"{"v": "23.5"}"#, "wrong_type: column `v`: STRING `23.5` is no FLOAT"),
        (Float, r#"{"v": null}"#, "NULL:NULL"),
        (Float, "{}", "NULL:NULL"),
        (Float, r#"{"other": {"v": 1}}"#, "NULL:NULL"),
        (Bigint, r#"{"v": 5.0}"#, "BIGINT:5"),
        (Bigint, r#"{"v": 5.5}"#, "wrong_type: column `v`: FLOAT `5.5` is no BIGINT"),
        (Bigint, r#"{"v": 9223372036854775807}"#, "BIGINT:9223372036854775807"),
        (
            Bigint,
            r#"{"v": 9223372036854775808}"#,
            "wrong_type: column `v`: FLOAT `9223372036854776000` is no BIGINT",
        ),
        (Any, r#"{"v": 9223372036854775808}"#, "FLOAT:9223372036854776000"),
        (Any, r#"{"v": 1, "v": "last"}"#, "STRING:last"),
        (Any, r#"{"v": [1, {"a": null}]}"#, r#"ARRAY:[1,{"a":null}]"#),
        (Any, r#"{"\u0076": "escaped name"}"#, "STRING:escaped name"),
        (String, r#"{"v": "a\"\u00e9"}"#, "STRING:a\"é"),
        (String, r#"{"v": 5}"#, "wrong_type: column `v`: BIGINT `5` is no STRING"),
        (Boolean, r#"{"v": true}"#, "BOOLEAN:true"),
        (Boolean, r#"{"v": 1}"#, "wrong_type: column `v`: BIGINT `1` is no BOOLEAN"),
        (Bytea, r#"{"v": "az"}"#, "BYTEA:617a"),
        (Bytea, r#"{"v": 5}"#, "wrong_type: column `v`: BIGINT `5` is no BYTEA"),
        (Datetime, r#"{"v": 1594512094.3859746}"#, "DATETIME:2020-07-12T00:01:34.385975Z"),
        (Datetime, r#"{"v": "1594512094385"}"#, "DATETIME:2020-07-12T00:01:34.385Z"),
        (Datetime, r#"{"v": "2020-07-12 02:01:34+02:00"}"#, "DATETIME:2020-07-12T00:01:34Z"),
        (Datetime, r#"{"v": "noon"}"#, "bad_timestamp: column `v`: STRING `noon` is no time"),
        (Array(Box::new(Float)), r#"{"v": [1, 2.5, null]}"#, "ARRAY:[1.0,2.5,null]"),
        (Array(Box::new(Float)), r#"{"v": ["x"]}"#, "wrong_type: column `v`: STRING `x` is no FLOAT"),
        (Array(Box::new(Float)), r#"{"v": 1}"#, "wrong_type: column `v`: BIGINT `1` is no ARRAY(FLOAT)"),
        (
            Struct(vec![("b".to_owned(), Bigint), ("c".to_owned(), String)]),
            r#"{"v": {"a": 1, "b": 2.0}}"#,
            r#"STRUCT:{"b":2,"c":null}"#,
        ),
    ] {
        check(ty, payload, expected);
    }
}

#[test]
fn malformed_payloads_are_rejected_with_a_reason() {
    let deep = |n: usize| format!("{{\"x\": {}{}}}", "[".repeat(n), "]".repeat(n));
    for (payload, expected) in [
        (Vec::new(), "empty: the payload is empty"),
        (b" \r\n".to_vec(), "empty: the payload is empty"),
        (vec![b' '; (512 << 10) + 1], "too_large: 524289 bytes; at most 524288 are read"),
        (b"{\"v\": \"\xff\"}".to_vec(), "not_utf8: byte 8 is no UTF-8"),
        (b"{\"v\": 1".to_vec(), "not_json: EOF while parsing an object at line 1 column 7"),
        (b"{\"v\": 1} x".to_vec(), "not_json: trailing characters at line 1 column 10"),
        (b"{\"x\": 01, \"v\": 1}".to_vec(), "not_json: invalid number at line 1 column 8"),
        (b"{\"x\": \"\\q\"}".to_vec(), "not_json: invalid escape at line 1 column 9"),
        (b"hello".to_vec(), "not_json: expected value at line 1 column 1"),
        (b"23.5".to_vec(), "not_an_object: neither an object nor an array of objects"),
        (b"null".to_vec(), "not_an_object: neither an object nor an array of objects"),
        (b"[1]".to_vec(), "not_an_object: element 0: no object"),
        (b"[[{\"v\": 1}]]".to_vec(), "not_an_object: element 0: no object"),
        (deep(64).into_bytes(), "too_deep: nested more than 64 levels deep"),
        (deep(250_000).into_bytes(), "too_deep: nested more than 64 levels deep"),
        ("[".repeat(500_000).into_bytes(), "too_deep: nested more than 64 levels deep"),
        ("{\"a\":".repeat(100_000).into_bytes(), "too_deep: nested more than 64 levels deep"),
        (
            format!("[{}]", vec!["{}"; 10_001].join(",")).into_bytes(),
            "too_many_rows: more than 10000 elements",
        ),
        (br#"{"v": [true]}"#.to_vec(), "wrong_type: column `v`: ARRAY `[true]` is no FLOAT"),
    ] {
        let spec = stream("s", "t/x", Format::Json, vec![field("v", DataType::Float)]);
        let head = String::from_utf8_lossy(&payload[..payload.len().min(40)]).into_owned();
        assert_eq!(outcome(spec, payload), [expected], "{head}");
    }
}

#[test]
fn nesting_counts_only_outside_of_text() {
    let text = "[".repeat(1_000);
    check(DataType::Float, &format!(r#"{{"v": 1, "x": "\"{text}"}}"#), "FLOAT:1");
    let flat = vec!["[]"; 1_000].join(",");
    check(DataType::Float, &format!(r#"{{"v": 1, "x": [{flat}]}}"#), "FLOAT:1");
    let deep = format!("{}1{}", "[".repeat(63), "]".repeat(63));
    let got = outcome(
        stream("s", "t/x", Format::Json, vec![field("v", DataType::Any)]),
        format!(r#"{{"v": {deep}}}"#),
    );
    assert_eq!(got, [format!("ARRAY:{deep}")]);
}

#[test]
fn a_bad_element_takes_nothing_from_the_good_ones() {
    let spec = || stream("s", "t/x", Format::Json, vec![field("v", DataType::Bigint)]);
    assert_eq!(
        outcome(spec(), r#"[{"v": 1}, {"v": "x"}, 7, {"v": 2}]"#),
        [
            "BIGINT:1",
            "BIGINT:2",
            "wrong_type: element 1: column `v`: STRING `x` is no BIGINT",
            "not_an_object: element 2: no object",
        ]
    );
    assert_eq!(outcome(spec(), "[]"), [""; 0]);
    assert_eq!(
        outcome(spec(), r#"[{"v": 1}, {"v": 2"#),
        ["not_json: EOF while parsing an object at line 1 column 18"]
    );
}

#[test]
fn nested_paths_and_overlapping_wants() {
    let fields = || {
        vec![
            field("data.temp", DataType::Float),
            field("data", DataType::Any),
            field("data.in.x", DataType::Any),
            field("data.in", DataType::Any),
            from("all", FieldSource::Path(Vec::new()), DataType::Any),
        ]
    };
    let spec = stream("s", "t/x", Format::Json, fields());
    assert_eq!(
        outcome(spec, r#"{"data": {"temp": 5, "in": {"x": 7}}}"#),
        [concat!(
            r#"FLOAT:5 STRUCT:{"in":{"x":7},"temp":5} BIGINT:7 STRUCT:{"x":7} "#,
            r#"STRUCT:{"data":{"in":{"x":7},"temp":5}}"#
        )]
    );
    let spec = stream("s", "t/x", Format::Json, fields()[..1].to_vec());
    assert_eq!(outcome(spec.clone(), r#"{"data": {"temp": 5}, "data": {"hum": 1}}"#), ["NULL:NULL"]);
    assert_eq!(outcome(spec, r#"{"data": [5]}"#), ["NULL:NULL"]);
}

#[test]
fn topic_captures_and_arrival_are_columns() {
    let fields = || {
        vec![
            from("site", FieldSource::Capture(0), DataType::Bigint),
            from("device", FieldSource::Capture(1), DataType::String),
            from("topic", FieldSource::Topic, DataType::String),
            from("at", FieldSource::Received, DataType::Datetime),
        ]
    };
    let mut decoder = Decoder::new(vec![Arc::new(stream("s", "p/{site}/{device}", Format::Json, fields()))]);
    let mut out = Rows::new();
    decoder.decode(&message("p/3/f1", "{}"), &mut out);
    decoder.decode(&message("p/x/f1", "{}"), &mut out);
    let row = out.get(0).unwrap().1;
    assert_eq!(*row.slots, [Value::Int(3), Value::str("f1"), Value::str("p/3/f1"), Value::Time(RECEIVED)]);
    assert_eq!(row.time, RECEIVED);
    let (_, stats) = decoder.stats().next().unwrap();
    assert_eq!(stats.samples().next().unwrap().detail, "column `site`: STRING `x` is no BIGINT");
    assert_eq!(out.len(), 1);
}

#[test]
fn event_time_comes_from_its_column() {
    let spec = || stream("s", "t/x", Format::Json, vec![field("ts", DataType::Any)]);
    let mut decoder = Decoder::new(vec![Arc::new(spec())]);
    let mut out = Rows::new();
    decoder.decode(&message("t/x", r#"{"ts": 1594512094.5}"#), &mut out);
    assert_eq!(out.get(0).unwrap().1.time, Timestamp::from_millis(1_594_512_094_500));
    assert_eq!(outcome(spec(), "{}"), ["missing_timestamp: column `ts` holds no time"]);
    assert_eq!(outcome(spec(), r#"{"ts": true}"#), ["bad_timestamp: column `ts`: BOOLEAN `true` is no time"]);
}

#[test]
fn a_message_feeds_every_stream_that_reads_its_topic() {
    let on = |source: Option<&str>, spec: StreamSpec| {
        Arc::new(StreamSpec { source: source.map(Into::into), ..spec })
    };
    let json =
        |name: &str, column: &str| stream(name, "t/+", Format::Json, vec![field(column, DataType::Any)]);
    let mut decoder = Decoder::new(vec![
        on(None, json("a", "a")),
        on(Some("plant"), json("b", "b")),
        on(Some("other"), json("c", "a")),
        on(
            None,
            stream(
                "d",
                "t/x",
                Format::Scalar,
                vec![from("v", FieldSource::Path(Vec::new()), DataType::String)],
            ),
        ),
        on(Some("node"), json("e", "a")),
    ]);
    let mut out = Rows::new();
    decoder.decode(&message("t/x", r#"{"a": 1, "b": 2}"#), &mut out);
    let mut seen: Vec<(usize, Value)> = out.iter().map(|(s, row)| (s, row.slots[0].clone())).collect();
    out.clear();
    seen.sort_by_key(|(stream, _)| *stream);
    assert_eq!(seen, [(0, Value::Int(1)), (1, Value::Int(2)), (3, Value::str(r#"{"a": 1, "b": 2}"#))]);

    let node = Message { source: "node".into(), ..message("t/x", r#"{"a": 1}"#) };
    decoder.decode(&node, &mut out);
    assert_eq!(
        out.iter().map(|(s, _)| s).collect::<Vec<_>>(),
        [4],
        "only a stream that names the node reads it"
    );

    decoder.decode(&message("elsewhere", "{}"), &mut out);
    assert_eq!(decoder.unmatched(), 1);
}

#[test]
fn other_streams_keep_the_counts_of_those_that_stay() {
    let spec = |name| Arc::new(stream(name, "t/x", Format::Json, vec![field("v", DataType::Any)]));
    let mut decoder = Decoder::new(vec![spec("a"), spec("b")]);
    decoder.decode(&message("t/x", "{}"), &mut Rows::new());
    decoder.swap(vec![spec("c"), spec("b")]);
    let counts: Vec<u64> = decoder.stats().map(|(_, stats)| stats.messages).collect();
    assert_eq!(counts, [0, 1]);
}

#[test]
fn where_nobody_cares_a_message_is_only_counted() {
    let fields = || {
        vec![
            from("device", FieldSource::Capture(1), DataType::String),
            field("v", DataType::Float),
            from("site", FieldSource::Capture(0), DataType::Bigint),
            from("topic", FieldSource::Topic, DataType::String),
        ]
    };
    let on = |name| Arc::new(stream(name, "p/{site}/{device}", Format::Json, fields()));
    let mut decoder = Decoder::new(vec![on("a"), on("b")]);
    let asked = std::cell::RefCell::new(Vec::new());
    let cares = |stream: usize, known: &[(usize, &Value)]| {
        let known: Vec<String> = known.iter().map(|(slot, value)| format!("{slot}={value}")).collect();
        asked.borrow_mut().push(format!("{stream}: {}", known.join(" ")));
        stream == 0 && known[0] != "0=quiet"
    };
    let mut out = Rows::new();
    let mut decode = |decoder: &mut Decoder, topic, payload| {
        out.clear();
        let fate = decoder.decode_for(&cares, &message(topic, payload), &mut out);
        (fate, out.iter().map(|(stream, _)| stream).collect::<Vec<_>>())
    };
    assert_eq!(decode(&mut decoder, "p/3/f1", r#"{"v": 1}"#), (Fate::Read, vec![0]));
    assert_eq!(decode(&mut decoder, "p/3/quiet", "no JSON"), (Fate::Skipped, vec![]));
    assert_eq!(decode(&mut decoder, "p/3/quiet", ""), (Fate::Skipped, vec![]));
    // What the topic says does not fit, which is told of each message.
    assert_eq!(decode(&mut decoder, "p/x/quiet", "{}"), (Fate::Read, vec![]));
    assert_eq!(decode(&mut decoder, "elsewhere", "{}"), (Fate::Unmatched, vec![]));
    let counts = |decoder: &Decoder| -> Vec<[u64; 4]> {
        let rejects = |stats: &StreamStats| stats.rejects().map(|(_, n)| n).sum();
        decoder.stats().map(|(_, s)| [s.messages, s.skipped, s.rows, rejects(s)]).collect()
    };
    assert_eq!(counts(&decoder), [[4, 2, 1, 1], [4, 3, 0, 1]]);
    assert_eq!(
        asked.borrow().as_slice(),
        [
            "0: 0=f1 2=3 3=p/3/f1",
            "1: 0=f1 2=3 3=p/3/f1",
            "0: 0=quiet 2=3 3=p/3/quiet",
            "1: 0=quiet 2=3 3=p/3/quiet"
        ]
    );
}

#[test]
fn rows_are_used_again_with_nothing_left_of_those_before() {
    let fields = || vec![field("a", DataType::Any), field("b", DataType::Any)];
    let mut decoder = Decoder::new(vec![Arc::new(stream("s", "t/x", Format::Json, fields()))]);
    let mut out = Rows::new();
    let mut shown = |payload: &str| {
        out.clear();
        decoder.decode(&message("t/x", payload), &mut out);
        let row =
            |(_, row): (usize, &Row)| row.slots.iter().map(Value::to_string).collect::<Vec<_>>().join(" ");
        out.iter().map(row).collect::<Vec<_>>()
    };
    assert_eq!(
        shown(r#"[{"a": 1, "b": "x"}, {"a": {"c": 2}}, {"b": 3}]"#),
        ["1 x", r#"{"c":2} NULL"#, "NULL 3"]
    );
    assert_eq!(shown(r#"{"b": 4}"#), ["NULL 4"]);
    assert_eq!(shown("[1, {\"a\": 5}]"), ["5 NULL"]);
    assert_eq!(shown("{"), [""; 0]);
    assert_eq!(shown(r#"[{"b": [6]}, {}]"#), ["NULL [6]", "NULL NULL"]);
    assert_eq!(shown(&format!("[{}{{}}]", "{},".repeat(999))).len(), 1_000);
    assert_eq!(shown("{}"), ["NULL NULL"]);
}

#[test]
fn many_topics_are_all_routed() {
    let spec = stream("s", "t/{x}", Format::Json, vec![from("x", FieldSource::Capture(0), DataType::String)]);
    let config = Config { max_topics: 4, ..Config::default() };
    let mut decoder = Decoder::with_config(vec![Arc::new(spec)], config);
    let mut out = Rows::new();
    for round in 0..3 {
        for n in 0..10 {
            decoder.decode(&message(&format!("t/{n}"), "{}"), &mut out);
            let (_, row) = out.iter().next_back().unwrap();
            assert_eq!(row.slots[0], Value::str(&n.to_string()), "round {round}");
        }
    }
}

/// JSON text, broken here and there.
fn nearly_json() -> impl Strategy<Value = Vec<u8>> {
    let pieces = prop::sample::select(vec![
        "{",
        "}",
        "[",
        "]",
        ":",
        ",",
        "\"v\"",
        "\"ts\"",
        "\"a\"",
        "1",
        "-0.5e3",
        "1e999",
        "null",
        "true",
        "\"\\u12\"",
        " ",
        "\\",
        "\"",
    ]);
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..200),
        prop::collection::vec(pieces, 0..40).prop_map(|pieces| pieces.concat().into_bytes()),
    ]
}

proptest! {
    #[test]
    fn no_payload_makes_it_fail(payload in nearly_json()) {
        let fields = || vec![
            field("v", DataType::Float),
            field("ts", DataType::Datetime),
            field("v.a", DataType::Struct(vec![("a".to_owned(), DataType::Any)])),
        ];
        let scalar = vec![from("v", FieldSource::Path(Vec::new()), DataType::Any)];
        let mut decoder = Decoder::new(vec![
            Arc::new(stream("json", "t/x", Format::Json, fields())),
            Arc::new(stream("scalar", "t/x", Format::Scalar, scalar)),
            Arc::new(lines(vec![from("v", FieldSource::Cell(0), DataType::Float)])),
            Arc::new(StreamSpec { strict: false, ..stream("lenient", "t/x", Format::Json, fields()) }),
        ]);
        let mut out = Rows::new();
        decoder.decode(&message("t/x", &payload), &mut out);
        for (_, stats) in decoder.stats() {
            let rejects: u64 = stats.rejects().map(|(_, n)| n).sum();
            prop_assert!(stats.rows + rejects > 0 || serde_json::from_slice::<Vec<()>>(&payload).is_ok());
        }
    }

    /// What the projection calls JSON is what serde_json calls JSON, and the values are the same.
    #[test]
    fn projection_equals_a_whole_read(payload in nearly_json()) {
        let got = outcome(stream("s", "t/x", Format::Json, vec![field("a", DataType::Any)]), &payload);
        let whole = serde_json::from_slice::<serde_json::Value>(&payload);
        if let Ok(serde_json::Value::Object(members)) = &whole {
            let expected = members.get("a").map_or(Value::Null, Value::from_json);
            prop_assert_eq!(got, [format!("{}:{expected}", expected.kind())]);
        } else if got.iter().any(|line| line.starts_with("not_json")) {
            prop_assert!(whole.is_err());
        }
    }
}

#[test]
fn a_flood_of_one_kind_leaves_a_sample_of_every_other() {
    let spec = stream("s", "t/x", Format::Json, vec![field("v", DataType::Float)]);
    let mut decoder = Decoder::new(vec![Arc::new(spec)]);
    let mut out = Rows::new();
    for payload in ["", "x", "5"] {
        decoder.decode(&message("t/x", payload), &mut out);
    }
    for i in 0..1_000 {
        decoder.decode(&message("t/x", format!(r#"{{"v": "{i}"}}"#)), &mut out);
    }
    let (_, stats) = decoder.stats().next().unwrap();
    let kept: Vec<&str> = stats.samples().map(|s| s.reason.name()).collect();
    assert_eq!(kept[..3], ["empty", "not_json", "not_an_object"]);
    assert!((5..=20).contains(&kept.len()), "{kept:?}");
    assert_eq!(stats.samples().last().unwrap().detail, "column `v`: STRING `999` is no FLOAT");
}

#[test]
fn a_sample_quotes_no_long_value_whole() {
    let long = "é".repeat(100_000);
    let values = [format!("\"{long}\""), format!("[\"{long}\"]"), format!("{{\"{long}\": 1}}")];
    for ty in [DataType::Float, DataType::Datetime] {
        for value in &values {
            let spec = stream("s", "t/x", Format::Json, vec![field("v", ty.clone())]);
            let said = outcome(spec, format!(r#"{{"v": {value}}}"#));
            assert!(
                said[0].contains("éé") && said[0].contains('…') && said[0].len() < 300,
                "{}",
                said[0].len()
            );
        }
    }
    let spec = || {
        let mut spec = stream("s", "t/x", Format::Json, vec![field("ts", DataType::Any)]);
        spec.timestamp = Some(0);
        spec
    };
    let said = outcome(spec(), format!(r#"{{"ts": "{long}"}}"#));
    assert!(said[0].starts_with("bad_timestamp") && said[0].len() < 300, "{}", said[0].len());
}

#[test]
fn what_is_known_of_a_message_is_a_column() {
    let fields = || {
        vec![
            from("source", FieldSource::Source, DataType::String),
            from("qos", FieldSource::Qos, DataType::Bigint),
            from("retained", FieldSource::Retained, DataType::Boolean),
            from("unit", FieldSource::Property("unit".into()), DataType::String),
            from("none", FieldSource::Property("none".into()), DataType::String),
        ]
    };
    let mut decoder = Decoder::new(vec![Arc::new(stream("s", "t", Format::Json, fields()))]);
    let mut out = Rows::new();
    let unit = |value: &str| ("unit".to_owned(), value.to_owned());
    let properties = [unit("F"), unit("C")].into();
    decoder.decode(&Message { qos: 1, retained: true, properties, ..message("t", "{}") }, &mut out);
    let expected = [Value::str("plant"), Value::Int(1), Value::Bool(true), Value::str("C"), Value::Null];
    assert_eq!(*out.get(0).unwrap().1.slots, expected);
}

fn lines(fields: Vec<Field>) -> StreamSpec {
    let columns = fields.len();
    stream("s", "t/x", Format::Delimited { delimiter: ',', columns }, fields)
}

#[test]
fn each_line_is_a_row_and_is_refused_alone() {
    let fields = || {
        vec![
            from("a", FieldSource::Cell(0), DataType::String),
            Field { default: Value::Int(7), ..from("b", FieldSource::Cell(1), DataType::Bigint) },
        ]
    };
    assert_eq!(
        outcome(lines(fields()), "x,1\r\ny,warm\n\n\"z\nz\",\nu,1,2\n"),
        [
            "STRING:x BIGINT:1",
            "STRING:z\nz BIGINT:7",
            "wrong_type: line 2: column `b`: STRING `warm` is no BIGINT",
            "not_delimited: line 4: 3 values for 2 columns",
        ]
    );
    assert_eq!(outcome(lines(fields()), "x,1\n\"y,2\n"), ["not_delimited: a quote is never closed"]);
    assert_eq!(outcome(lines(fields()), "x,1\n".repeat(10_001)), ["too_many_rows: more than 10000 lines"]);
    assert_eq!(outcome(lines(fields()), " \n"), ["empty: the payload is empty"]);
    assert_eq!(outcome(lines(fields()), [0xff]), ["not_utf8: byte 1 is no UTF-8"]);
}

#[test]
fn a_binary_payload_need_be_no_text() {
    let spec = || {
        let fields = vec![from("image", FieldSource::Path(Vec::new()), DataType::Bytea)];
        stream("s", "t/x", Format::Binary, fields)
    };
    assert_eq!(outcome(spec(), [0xff, 0x00]), ["BYTEA:ff00"]);
    assert_eq!(outcome(spec(), ""), ["empty: the payload is empty"]);
    // A stream that reads text of the same topic refuses it for itself.
    let json = stream("j", "t/x", Format::Json, vec![field("v", DataType::Any)]);
    let mut decoder = Decoder::new(vec![Arc::new(spec()), Arc::new(json)]);
    let mut out = Rows::new();
    decoder.decode(&message("t/x", [0xff]), &mut out);
    assert_eq!(out.len(), 1);
    let counts: Vec<(u64, u64)> =
        decoder.stats().map(|(_, s)| (s.rows, s.rejects().map(|(_, n)| n).sum())).collect();
    assert_eq!(counts, [(1, 0), (0, 1)]);
}

#[test]
fn a_default_stands_for_the_absent_alone() {
    let spec = || {
        let v = Field { default: Value::Float(20.0), ..field("v", DataType::Float) };
        stream("s", "t/x", Format::Json, vec![v, field("v.a", DataType::Any)])
    };
    assert_eq!(outcome(spec(), "{}"), ["FLOAT:20 NULL:NULL"]);
    assert_eq!(outcome(spec(), r#"{"v": null}"#), ["NULL:NULL NULL:NULL"]);
    assert_eq!(outcome(spec(), r#"{"v": 1, "v": null}"#), ["NULL:NULL NULL:NULL"]);
    assert_eq!(outcome(spec(), r#"[{}, {"v": 2}]"#), ["FLOAT:20 NULL:NULL", "FLOAT:2 NULL:NULL"]);
}

#[test]
fn without_strict_validation_only_time_is_refused() {
    let spec = || {
        let fields = vec![field("ts", DataType::Datetime), field("v", DataType::Bigint)];
        StreamSpec { strict: false, ..stream("s", "t/x", Format::Json, fields) }
    };
    assert_eq!(outcome(spec(), r#"{"ts": 0, "v": "5"}"#), ["DATETIME:1970-01-01T00:00:00Z BIGINT:5"]);
    assert_eq!(outcome(spec(), r#"{"ts": 0, "v": {}}"#), ["DATETIME:1970-01-01T00:00:00Z NULL:NULL"]);
    assert_eq!(
        outcome(spec(), r#"{"ts": "soon", "v": 1}"#),
        ["bad_timestamp: column `ts`: STRING `soon` is no time"]
    );
}
