//! The good path: what plans look like, and that no text brings the planner down.

mod change;
mod query;

use std::time::Duration;

use proptest::prelude::*;

use super::file;
use super::logical::{
    Aggregate, AggregateFunction, BinaryOp, Content, Expr, Plan, RulePlan, Side, UnaryOp, WindowKind,
};
use super::{Limits, RuleSetDef, compile, compile_text, explain};
use crate::model::alerting::{Named, Piece, RuleKind};
use crate::model::diagnostic::{Diagnostic, Level};
use crate::model::message::NODE_SOURCE;
use crate::model::stream::{FieldSource, Format, TimeUnit};
use crate::model::time::Timestamp;
use crate::model::value::{DataType, Value};

const STREAMS: &str = "\
streams:
  - CREATE STREAM env (temperature FLOAT, n BIGINT, room STRING, ok BOOLEAN, ts DATETIME, data STRUCT(temp FLOAT, list ARRAY(BIGINT)))
      WITH (DATASOURCE='plant/{site}/{device}', TIMESTAMP='ts', TIMESTAMP_FORMAT='ms', KEY='device', LATENESS='5s', IDLE='1m', MAX_FUTURE='1h', SHARED='true')
  - CREATE STREAM open () WITH (DATASOURCE=\"raw/#\", FORMAT='json', SOURCE='b1')
  - CREATE STREAM plain (value FLOAT) WITH (DATASOURCE='s/{device}', FORMAT='scalar')
";

fn show(found: &[Diagnostic]) -> String {
    found.iter().map(|d| format!("{d}\n")).collect()
}

/// The plan with every constant in its place.
fn whole(mut plan: Plan) -> Plan {
    plan.rules = plan.rules.iter().map(RulePlan::whole).collect();
    plan
}

#[track_caller]
fn plan(rules: &str) -> Plan {
    let yaml = format!("{STREAMS}rules:\n{rules}");
    let compiled = compile_text("set", &yaml, &Limits::default());
    let Some(plan) = compiled.plan else { panic!("{}", show(&compiled.diagnostics)) };
    assert!(compiled.outcomes.iter().all(|outcome| outcome.ok));
    whole(plan)
}

#[track_caller]
fn rule(sql: &str) -> (Plan, RulePlan) {
    let plan = plan(&format!("  - id: r\n    sql: |\n      {}\n", sql.replace('\n', "\n      ")));
    let rule = plan.rules[0].clone();
    (plan, rule)
}

fn int(n: i64) -> Expr {
    Expr::Const(Value::Int(n))
}

fn binary(op: BinaryOp, a: Expr, b: Expr) -> Expr {
    Expr::Binary(op, Box::new(a), Box::new(b))
}

#[test]
fn a_whole_rule() {
    let plan = plan(
        "  - id: too-warm
    sql: |
      SELECT e.device, avg(e.temperature) AS t, count(*) AS n
      FROM env AS e WHERE e.n > 0
      GROUP BY e.device, TUMBLINGWINDOW(ss, 10)
      HAVING count(*) > 2
    when: t > 5
    clear: t < 4.5
    for: 2m
    keep_firing_for: 30s
    severity: critical
    labels: {team: cold}
    annotations: {summary: '{{ device }} at {{ t }} ({{ team }}, {{ severity }})'}
",
    );
    let rule = &plan.rules[0];
    let stream = &plan.streams[rule.stream()];
    let names: Vec<&str> = stream.fields.iter().map(|f| f.name.as_ref()).collect();
    assert_eq!(names, ["ts", "device", "n", "temperature"]);
    assert_eq!((stream.timestamp, stream.key), (Some(0), Some(1)));
    assert_eq!(stream.fields[0].unit, TimeUnit::Millis);
    assert_eq!(stream.fields[1].from, FieldSource::Capture(1));
    assert_eq!(stream.lateness, Duration::from_secs(5));
    assert_eq!(
        (stream.idle, stream.max_future),
        (Some(Duration::from_secs(60)), Some(Duration::from_secs(3600)))
    );
    assert_eq!(rule.filter, Some(binary(BinaryOp::Gt, Expr::Field(0, 2), int(0))));
    let window = rule.window.as_ref().unwrap();
    assert_eq!(window.kind, WindowKind::Tumbling { length: Duration::from_secs(10) });
    assert_eq!(window.group, [Expr::Field(0, 1)]);
    assert!(window.by_key);
    let aggregate = |function, args| Aggregate { function, args, filter: None, distinct: false };
    assert_eq!(
        window.aggregates,
        [
            aggregate(AggregateFunction::Avg, vec![Expr::Field(0, 3)]),
            aggregate(AggregateFunction::Count, vec![]),
        ]
    );
    assert_eq!(window.having, Some(binary(BinaryOp::Gt, Expr::Aggregate(1), int(2))));
    assert_eq!(rule.project, [Expr::Group(0), Expr::Aggregate(0), Expr::Aggregate(1)]);
    assert_eq!(rule.key, [Expr::Group(0)]);
    assert_eq!(rule.when, Some(binary(BinaryOp::Gt, Expr::Column(1), int(5))));
    assert_eq!(rule.clear, Some(binary(BinaryOp::Lt, Expr::Column(1), Expr::Const(Value::Float(4.5)))));
    let alert = &rule.alert;
    assert_eq!(
        (alert.ruleset.as_ref(), alert.rule.as_ref(), alert.severity.as_ref()),
        ("set", "too-warm", "critical")
    );
    let state = RuleKind::State { for_: Duration::from_secs(120), keep_firing_for: Duration::from_secs(30) };
    assert_eq!(alert.kind, state);
    assert_eq!(alert.key.as_slice(), ["device".into()]);
    assert_eq!(alert.columns.as_slice(), ["device".into(), "t".into(), "n".into()]);
    assert_eq!(
        alert.annotations[0].1.pieces,
        [
            Piece::Place(Named::Column(0), Vec::new()),
            Piece::Text(" at ".to_owned()),
            Piece::Place(Named::Column(1), Vec::new()),
            Piece::Text(" (".to_owned()),
            Piece::Place(Named::Label("team".into()), Vec::new()),
            Piece::Text(", ".to_owned()),
            Piece::Place(Named::Severity, Vec::new()),
            Piece::Text(")".to_owned()),
        ]
    );
}

#[test]
fn occurrences_and_keys() {
    let (plan, rule) = rule("SELECT room AS where_, temperature FROM env WHERE temperature > 3");
    assert_eq!(rule.alert.kind, RuleKind::Occurrence { repeat: Duration::from_secs(60) });
    assert_eq!(rule.alert.key.as_slice(), ["device".into()]);
    assert_eq!(rule.key, [Expr::Field(0, plan.streams[0].key.unwrap())]);
    let (_, rule) = self::rule("SELECT device AS sensor, n FROM env");
    assert_eq!(rule.alert.key.as_slice(), ["sensor".into()]);
    let (_, rule) = self::rule("SELECT cpu FROM node");
    assert!(rule.key.is_empty());
    let plan = self::plan("  - {id: r, sql: SELECT n FROM env, key: [n, room]}\n");
    assert_eq!(plan.rules[0].alert.key.as_slice(), ["n".into(), "room".into()]);
    assert_eq!(plan.rules[0].key[0], plan.rules[0].project[0]);
}

#[test]
fn watermarks_by_key() {
    let by_key = |sql: &str| rule(sql).1.window.clone().unwrap().by_key;
    assert!(by_key("SELECT count(*) FROM env GROUP BY device, room, TUMBLINGWINDOW(mi, 1)"));
    assert!(!by_key("SELECT count(*) FROM env GROUP BY room, TUMBLINGWINDOW(mi, 1)"));
    assert!(by_key("SELECT count(*) FROM plain GROUP BY device, TUMBLINGWINDOW(mi, 1)"));
    assert!(!by_key("SELECT count(*) FROM plain GROUP BY TUMBLINGWINDOW(mi, 1)"));
}

#[test]
fn streams_of_every_kind() {
    let (plan, rule) = rule("SELECT data->temp AS a, data.list[0] AS b, room FROM env");
    let field = |name: &str| plan.streams[0].fields.iter().find(|f| *f.name == *name).unwrap();
    assert_eq!(field("data.temp").from, FieldSource::Path(vec!["data".into(), "temp".into()]));
    assert_eq!(field("data.list").ty, DataType::Array(Box::new(DataType::Bigint)));
    assert!(matches!(&rule.project[1], Expr::Element(of, _) if matches!(**of, Expr::Field(..))));

    let (plan, rule) = self::rule("SELECT a.b->c AS c, x[1]->y AS y FROM open");
    let stream = &plan.streams[0];
    assert_eq!(stream.source.as_deref(), Some("b1"));
    assert_eq!(stream.fields.len(), 2);
    assert_eq!(stream.fields[0].name.as_ref(), "a.b.c");
    assert!(matches!(&rule.project[1], Expr::Member(_, name) if **name == *"y"));

    let (plan, _) = self::rule("SELECT value, device FROM plain");
    assert_eq!(plan.streams[0].format, Format::Scalar);
    assert_eq!(plan.streams[0].fields[0].from, FieldSource::Path(Vec::new()));

    let (plan, rule) = self::rule("SELECT * FROM node_disk");
    assert_eq!(plan.streams[0].source.as_deref(), Some(NODE_SOURCE));
    assert_eq!(plan.streams[0].pattern.filter(), "$node/node_disk");
    assert_eq!(rule.alert.key.as_slice(), ["mount".into()]);
    assert_eq!(rule.alert.columns.len(), 10);
}

#[test]
fn event_time_and_key_of_every_kind() {
    let plan = |with: &str, columns: &str, sql: &str| {
        let yaml = format!(
            "streams:\n  - CREATE STREAM s ({columns}) WITH (DATASOURCE='t/{{device}}', {with})\nrules:\n  - {{id: r, sql: '{sql}'}}\n"
        );
        let compiled = compile_text("set", &yaml, &Limits::default());
        compiled.plan.unwrap_or_else(|| panic!("{}", show(&compiled.diagnostics)))
    };
    let fields = |plan: &Plan| -> Vec<(String, DataType, TimeUnit)> {
        plan.streams[0].fields.iter().map(|f| (f.name.to_string(), f.ty.clone(), f.unit)).collect()
    };
    // A number that is also event time is read both ways.
    let found = plan("TIMESTAMP='ts', TIMESTAMP_FORMAT='s'", "ts BIGINT", "SELECT ts FROM s");
    assert_eq!(
        fields(&found),
        [
            ("ts".to_owned(), DataType::Datetime, TimeUnit::Seconds),
            ("ts".to_owned(), DataType::Bigint, TimeUnit::Seconds)
        ]
    );
    let found =
        plan("TIMESTAMP='ts', TIMESTAMP_FORMAT='s'", "ts DATETIME, u DATETIME", "SELECT ts, u FROM s");
    assert_eq!(
        fields(&found),
        [
            ("ts".to_owned(), DataType::Datetime, TimeUnit::Seconds),
            ("u".to_owned(), DataType::Datetime, TimeUnit::Auto)
        ]
    );
    let found = plan("timestamp=\"data.ts\", KEY='data.id'", "", "SELECT x FROM s");
    let stream = &found.streams[0];
    assert_eq!(stream.fields[0].from, FieldSource::Path(vec!["data".into(), "ts".into()]));
    assert_eq!((stream.timestamp, stream.key), (Some(0), Some(1)));
}

#[test]
fn rules_share_slots_and_streams() {
    let plan = plan(
        "  - {id: a, sql: SELECT temperature FROM env}
  - {id: b, sql: SELECT value FROM plain}
  - {id: c, sql: 'SELECT temperature, n FROM env'}
",
    );
    assert_eq!(plan.streams.len(), 2);
    assert_eq!(plan.rules.iter().map(|r| r.stream()).collect::<Vec<_>>(), [0, 1, 0]);
    assert_eq!(plan.rules[0].project[0], plan.rules[2].project[0]);
}

/// An expression, given the field of each name.
type Expected<'a> = &'a dyn Fn(&dyn Fn(&str) -> Expr) -> Expr;

#[test]
fn expressions() {
    let same = |text: &str, expected: Expected<'_>| {
        let (plan, rule) = rule(&format!("SELECT 1 AS one FROM env WHERE {text}"));
        let slot = |name: &str| {
            Expr::Field(0, plan.streams[0].fields.iter().position(|f| *f.name == *name).unwrap())
        };
        assert_eq!(rule.filter.clone().unwrap(), expected(&slot), "{text}");
    };
    let not = |e| Expr::Unary(UnaryOp::Not, Box::new(e));
    same("n + 2 * 3 > -4", &|f| {
        let sum = binary(BinaryOp::Add, f("n"), binary(BinaryOp::Mul, int(2), int(3)));
        binary(BinaryOp::Gt, sum, int(-4))
    });
    same("NOT ok OR n = 1 AND ok", &|f| {
        Expr::Or(vec![not(f("ok")), Expr::And(vec![binary(BinaryOp::Eq, f("n"), int(1)), f("ok")])])
    });
    same("n NOT IN (1, 2) AND n BETWEEN 3 AND 4 AND n IS NOT NULL", &|f| {
        Expr::And(vec![
            not(Expr::In(Box::new(f("n")), vec![int(1), int(2)])),
            Expr::And(vec![binary(BinaryOp::Ge, f("n"), int(3)), binary(BinaryOp::Le, f("n"), int(4))]),
            not(Expr::IsNull(Box::new(f("n")))),
        ])
    });
    same("ts >= '2026-01-01'", &|f| {
        let time = Timestamp::parse("2026-01-01T00:00:00Z").unwrap();
        binary(BinaryOp::Ge, f("ts"), Expr::Const(Value::Time(time)))
    });
    same("`n` DIV 2 % 3 <> 9223372036854775807 -- a comment", &|f| {
        let rem = binary(BinaryOp::Rem, binary(BinaryOp::IntDiv, f("n"), int(2)), int(3));
        binary(BinaryOp::Ne, rem, int(i64::MAX))
    });
    same("CASE n WHEN 1 THEN TRUE ELSE FALSE END", &|f| Expr::Case {
        branches: vec![(binary(BinaryOp::Eq, f("n"), int(1)), Expr::Const(Value::Bool(true)))],
        otherwise: Some(Box::new(Expr::Const(Value::Bool(false)))),
    });
    same("room LIKE 'a!_%' ESCAPE '!' AND ok IS TRUE", &|f| {
        let like = Expr::Like {
            text: Box::new(f("room")),
            pattern: Box::new(Expr::Const(Value::str("a!_%"))),
            escape: Some('!'),
        };
        Expr::And(vec![like, Expr::IsBool(Box::new(f("ok")), true)])
    });
    // Everything else only has to be taken.
    for text in [
        "-n - -1 = 0",
        "n > -9223372036854775808",
        "CAST(room AS FLOAT) > 1.5e3",
        "room || n || '!' = 'it''s'",
        "coalesce(n, temperature, 0) > greatest(1, 2.5)",
        "substring(lower(trim(room)), 0, 2) = 'ab'",
        "(((n))) = 1",
        "env.n = 1",
        "(n > 1) <> (temperature > 1)",
        "n > 1 IS TRUE = ok",
        "\"room\" = 'x' /* so */",
        "round(temperature, 1) = 1",
        "ts BETWEEN '2026-01-01' AND '2026-02-01 00:00:00'",
        "(CASE WHEN n > 1 THEN 'a' WHEN n > 0 THEN NULL END) IS NULL",
        "n IN (1, 2.5, NULL)",
        "TRUE",
        "startswith(room, 'a');",
        "indexof(room, 'x') >= 0 AND length(room) DIV 2 < 3",
        "data->temp > 3",
        "data.list[-1] = 4",
        "nullif(n, 0) IS NULL",
    ] {
        let (_, rule) = rule(&format!("SELECT n, temperature, room, ok, ts FROM env\nWHERE {text}"));
        assert!(rule.filter.is_some(), "{text}");
    }
}

#[test]
fn aliases_stand_for_their_expressions() {
    let (_, rule) = rule("SELECT n * 2 AS double, double + 1 AS odd FROM env");
    assert_eq!(rule.project[1], binary(BinaryOp::Add, rule.project[0].clone(), int(1)));
    let (_, rule) = self::rule(
        "SELECT avg(temperature) AS temperature, window_end() AS until FROM env\nGROUP BY TUMBLINGWINDOW(hh, 1) HAVING temperature > 1",
    );
    let having = rule.window.clone().unwrap().having.unwrap();
    assert_eq!(having, binary(BinaryOp::Gt, Expr::Aggregate(0), int(1)));
    let (_, rule) = self::rule(
        "SELECT floor(n / 10) AS decade, count(DISTINCT room) FILTER (WHERE ok) FROM env GROUP BY floor(n / 10), TUMBLINGWINDOW(dd, 1)",
    );
    assert_eq!(rule.project[0], Expr::Group(0));
    assert_eq!(rule.alert.columns[1].as_ref(), "count(distinct room) filter (where ok)");
    assert_eq!(rule.alert.key.as_slice(), ["decade".into()]);
}

#[test]
fn items_come_back_as_they_went() {
    let yaml = format!(
        "{STREAMS}rules:\n  - {{sql: ' SELECT n FROM env ', when: n > 1, id: r, labels: {{b: 2, a: x}}}}\n"
    );
    let def = file::parse(&yaml).unwrap();
    let items = def.items();
    assert_eq!(items.len(), 4);
    assert_eq!(items[0].name.as_ref(), "env");
    assert_eq!(
        items[3].body.as_ref(),
        r#"{"id":"r","labels":{"a":"x","b":"2"},"sql":"SELECT n FROM env","when":"n > 1"}"#
    );
    let back = RuleSetDef::from_items(&items).unwrap();
    assert_eq!(back.items(), items);
    let a = compile("set", &def, &Limits::default()).plan.unwrap();
    let b = compile("set", &back, &Limits::default()).plan.unwrap();
    assert_eq!(a, b);
    assert_eq!(a.rules[0].alert.hash, items[3].hash().short());
}

const TABLES: &str = "\
streams:
  - CREATE STREAM env (v FLOAT) WITH (DATASOURCE='env/{device}', KEY='device')
tables:
  - name: limits
    key: [device]
    columns: {device: STRING, max: FLOAT}
    rows:
      - {max: 5, device: f1}
      - {device: '07'}
  - CREATE TABLE last (v FLOAT) WITH (DATASOURCE='last/{device}', KEY='device')
  - {name: plain, rows: [{b: 1, a: x}, {a: y, c: [1, 2.5]}, {d: {e: true}}]}
rules:
  - {id: r, sql: SELECT v FROM env}
";

#[test]
fn tables_are_items_of_their_own() {
    let def = file::parse(TABLES).unwrap();
    let items = def.items();
    let names: Vec<String> = items.iter().map(|item| format!("{} {}", item.kind, item.name)).collect();
    assert_eq!(names, ["stream env", "table limits", "table last", "table plain", "rule r"]);
    assert_eq!(
        items[1].body.as_ref(),
        r#"{"columns":["device","max"],"key":["device"],"name":"limits","rows":[["f1",5],["07",null]],"types":{"device":"STRING","max":"FLOAT"}}"#
    );
    let back = RuleSetDef::from_items(&items).unwrap();
    assert_eq!(back.items(), items);
    assert_eq!(
        compile("set", &def, &Limits::default()).plan.unwrap(),
        compile("set", &back, &Limits::default()).plan.unwrap()
    );
    // Another row changes the one item.
    let other = file::parse(&TABLES.replace("max: 5,", "max: 6,")).unwrap().items();
    let changed: Vec<usize> = (0..items.len()).filter(|i| items[*i].hash() != other[*i].hash()).collect();
    assert_eq!(changed, [1]);
}

#[test]
fn streams_that_feed_tables_go_first() {
    let rules =
        "rules:\n  - {id: r, sql: SELECT e.v FROM env AS e LEFT JOIN last AS l ON e.device = l.device}\n";
    let yaml = format!("{}{rules}", TABLES.split("rules:").next().unwrap());
    let plan = compile_text("set", &yaml, &Limits::default()).plan.unwrap();
    let names: Vec<&str> = plan.streams.iter().map(|stream| stream.name.as_ref()).collect();
    assert_eq!(names, ["last", "env"]);
    assert_eq!(plan.tables[0].content, Content::Latest { stream: 0 });
    assert_eq!(plan.rules[0].from.sides, [Side::Stream(1), Side::Table(0)]);
}

#[test]
fn findings_in_tables_from_items_name_their_row() {
    let bad = TABLES.replace("max: 5,", "max: warm,").replace("'07'", "f1");
    let def = RuleSetDef::from_items(&file::parse(&bad).unwrap().items()).unwrap();
    let found = compile("set", &def, &Limits::default()).diagnostics;
    assert_eq!(found[0].item, "table limits");
    assert_eq!(found[0].message, "row 1, column `max`: STRING `warm` is no FLOAT");
    let limits = Limits { table_rows: 1, ..Limits::default() };
    let found = compile("set", &file::parse(TABLES).unwrap(), &limits).diagnostics;
    assert_eq!(found[0].code.as_ref(), "too-large");
}

#[test]
fn places_of_items_count_in_their_texts() {
    let yaml = "rules:\n  - id: r\n    sql: |\n      SELECT cpu\n        FROM nod\n    when: cpo > 1\n";
    let def = file::parse(yaml).unwrap();
    let in_file = compile("set", &def, &Limits::default()).diagnostics;
    assert_eq!((in_file[0].place.line, in_file[0].place.column, in_file[0].field.as_str()), (5, 14, "sql"));
    let def = RuleSetDef::from_items(&def.items()).unwrap();
    let found = compile("set", &def, &Limits::default()).diagnostics;
    assert_eq!((found[0].place.line, found[0].place.column, found[0].field.as_str()), (2, 8, "sql"));
    assert_eq!(found[0].item, "rule r");
}

#[test]
fn caps_hold_without_overflowing_the_stack() {
    let check = |text: String, code: &str| {
        let yaml = format!("{STREAMS}rules:\n  - id: r\n    sql: SELECT n FROM env\n    when: {text:?}\n");
        let found = compile_text("set", &yaml, &Limits::default()).diagnostics;
        let codes: Vec<&str> = found.iter().map(|d| d.code.as_ref()).collect();
        assert_eq!(codes, if code.is_empty() { vec![] } else { vec![code] }, "{}", &text[..20]);
    };
    check(format!("n > 0{}", " AND n > 0".repeat(2_000)), "");
    check(format!("n > 0{}", " AND n > 0".repeat(6_000)), "too-large");
    check(format!("n > 0{}", " AND n > 0".repeat(20_000)), "too-large");
    check(format!("n{} > 0", " + n".repeat(200)), "");
    check(format!("n{} > 0", " + n".repeat(2_000)), "too-deep");
    check(format!("{}n{} > 0", "(".repeat(40), ")".repeat(40)), "");
    for (open, close) in
        [("(", ")"), ("NOT ", ""), ("- ", ""), ("+ ", ""), ("abs(", ")"), ("CASE WHEN ", ""), ("n[", "]")]
    {
        check(format!("{}n{}", open.repeat(5_000), close.repeat(5_000)), "too-deep");
    }
    check(format!("n{} IS NULL", ".a".repeat(5_000)), "too-deep");
    // Each BETWEEN and each CASE repeats its operand.
    let mut text = "n > 0".to_owned();
    for _ in 0..20 {
        text = format!("({text}) BETWEEN FALSE AND TRUE");
    }
    check(text, "too-large");
}

#[test]
fn a_set_of_many_rules() {
    let mut yaml = STREAMS.to_owned() + "rules:\n";
    for i in 0..5_000 {
        yaml.push_str(&format!("  - {{id: r{i}, sql: SELECT n FROM env, when: n > {i}}}\n"));
    }
    let plan = compile_text("set", &yaml, &Limits::default()).plan.unwrap();
    assert_eq!(plan.rules.len(), 5_000);
    let limits = Limits { rules: 10, ..Limits::default() };
    let found = compile_text("set", &yaml, &limits).diagnostics;
    assert_eq!(found[0].code.as_ref(), "too-large");
}

/// A set with tables and a second stream.
const SIDES: &str = "\
streams:
  - CREATE STREAM env (temperature FLOAT, n BIGINT, room STRING, ok BOOLEAN, ts DATETIME, list ARRAY(BIGINT))
      WITH (DATASOURCE='plant/{site}/{device}', TIMESTAMP='ts', KEY='device', LATENESS='5s', IDLE='1m')
  - CREATE STREAM doors (open BOOLEAN, ts DATETIME) WITH (DATASOURCE='doors/{device}', TIMESTAMP='ts', KEY='device')
  - CREATE STREAM raw () WITH (DATASOURCE='raw/#')
tables:
  - name: limits
    key: [device]
    rows: [{device: a, top: 3.5}, {device: b, top: 4.5}]
  - CREATE TABLE last (v FLOAT) WITH (DATASOURCE='last/{device}', KEY='device')
";

const GOOD: &str = "SELECT e.device, avg(e.temperature) AS t, CASE WHEN n > 1 THEN 'é' ELSE room END AS c, data->temp, ts FROM env AS e WHERE e.n BETWEEN 1 AND 2 AND room LIKE 'x%' GROUP BY e.device, TUMBLINGWINDOW(ss, 10) HAVING count(*) > 2";

const WIDE: &str = "SELECT DISTINCT e.*, * EXCEPT(n) REPLACE(n + 1 AS room), lag(e.n, 2) OVER (PARTITION BY e.device, room WHEN ok) AS p INVISIBLE, unnest(list[1:]) AS u, changed_cols('c_', true, *), meta(e.topic) AS m FROM env AS e LEFT JOIN limits AS l ON e.device = l.device AND l.top > 3 INNER JOIN doors d ON d.device = e.device WHERE n IN list AND p > 1 GROUP BY e.device, SLIDINGWINDOW(ss, 10, 2) FILTER (WHERE n > 3) OVER (WHEN ok) HAVING rate(n) > 2 ORDER BY p DESC, u LIMIT 3";

proptest! {
    #[test]
    fn random_text_never_panics(text in "\\PC{0,200}") {
        let _ = compile_text("set", &text, &Limits::default());
        let yaml = format!("{STREAMS}rules:\n  - {{id: r, sql: {text:?}, when: {text:?}, annotations: {{a: {text:?}}}}}\n  - id: s\n    sql: |\n      {text}\n");
        let _ = compile_text("set", &yaml, &Limits::default());
    }

    #[test]
    fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = compile_text("set", &String::from_utf8_lossy(&bytes), &Limits::default());
    }

    #[test]
    fn mangled_queries_never_panic(
        wide in any::<bool>(),
        cuts in proptest::collection::vec((0..WIDE.len(), 0..WIDE.len()), 1..6),
        insert in proptest::sample::select(vec!["(", ")", "'", "\"", " AS ", ",", "->", "[", "\n", "--", " NOT ", " 9e999 ", "*", "é", " OVER (", " e.", "[:", " JOIN ", " n "]),
    ) {
        let mut text: Vec<char> = if wide { WIDE } else { GOOD }.chars().collect();
        for (at, with) in cuts {
            let at = at % text.len();
            text.splice(at..(at + with % 7).min(text.len()), insert.chars());
        }
        let text: String = text.into_iter().collect();
        let sets = if wide { SIDES } else { STREAMS };
        let yaml = format!("{sets}rules:\n  - id: r\n    sql: |\n      {}\n    when: t > 1\n", text.replace('\n', "\n      "));
        let compiled = compile_text("set", &yaml, &Limits::default());
        let lines = yaml.lines().count();
        prop_assert!(compiled.diagnostics.iter().all(|d| d.place.line >= 1 && d.place.line <= lines + 1));
        let failed = compiled.diagnostics.iter().any(|d| d.level == Level::Error);
        prop_assert_eq!(failed, compiled.plan.is_none());
        super::render::render(&compiled.diagnostics, "f.yaml", &yaml, false);
    }
}

/// One rule by itself and among others of its skeleton is the same rule.
#[test]
fn a_rule_that_is_cast_is_as_if_it_were_planned() {
    let streams = "CREATE STREAM s (device STRING, v FLOAT, n BIGINT, ok BOOLEAN, ts DATETIME) \
        WITH (DATASOURCE='t/{site}/{device}', KEY='device', TIMESTAMP='ts')";
    let queries: [(&str, &str); 14] = [
        ("SELECT device, v FROM s WHERE device = @", "v > #"),
        ("SELECT device, v FROM s WHERE device = @ AND n <> #", "v >= # OR v < #"),
        ("SELECT device, v * 2 AS w FROM s WHERE (n = # OR site = @) AND v > 1.5", "w > #"),
        (
            "SELECT device, avg(v) AS m FROM s WHERE n < # GROUP BY device, TUMBLINGWINDOW(ss, 10) HAVING avg(v) > #",
            "m > #",
        ),
        ("SELECT device, n > # AS x FROM s WHERE n > #", "x"),
        ("SELECT device, v FROM s WHERE ts > @", "v > #"),
        ("SELECT device, v FROM s WHERE ts > '2026-01-31T12:00:00Z'", "v > #"),
        ("SELECT device, rule_id() AS r, v FROM s WHERE n = #", "v > # AND r <> @"),
        ("SELECT device, lag(v) AS w FROM s WHERE lag(n) = # AND lag(v > #) = TRUE", "w > #"),
        (
            "SELECT device, n > 5 AS big, count(*) AS c FROM s GROUP BY device, n > 5, n, TUMBLINGWINDOW(ss, 10) HAVING n > #",
            "c > #",
        ),
        ("SELECT device, v FROM s WHERE device = #", "v > #"),
        ("SELECT device, v FROM s WHERE v IN (#, #) AND n BETWEEN # AND #", "v = #"),
        ("SELECT device, v FROM s WHERE CASE WHEN n = # THEN v > # ELSE v = # END", "v <> #"),
        ("SELECT device, v FROM s WHERE device LIKE @ AND v > # LIMIT 5", "v = -#"),
    ];
    let numbers = ["5", "-7", "6.5", "0", "-0.0", "5", "99999999999999999999", "61.25", "6", "5.0"];
    let texts = ["'a'", "'b''c'", "'2026-01-31T12:00:00Z'", "''", "'é'", "'a\\b'", "'5'"];
    let mut rules = Vec::new();
    let (mut number, mut text) = (0, 0);
    for round in 0..40 {
        for (at, (sql, when)) in queries.iter().enumerate() {
            let mut fill = |template: &str| {
                let mut filled = String::new();
                for c in template.chars() {
                    match c {
                        '#' => {
                            number += 1;
                            filled.push_str(numbers[(number * 7 + round) % numbers.len()]);
                        }
                        '@' => {
                            text += 1;
                            filled.push_str(texts[(text * 3 + round) % texts.len()]);
                        }
                        c => filled.push(c),
                    }
                }
                filled
            };
            rules.push(serde_json::json!({
                "id": format!("r{at}-{round}"), "sql": fill(sql), "when": fill(when),
                "labels": {"team": format!("t{}", round % 3)}, "annotations": {"a": "{{ device }} {{ team }}"},
            }));
        }
    }
    let read = |rules: &[serde_json::Value]| {
        let file = serde_json::json!({"streams": [streams], "rules": rules}).to_string();
        compile_text("set", &file, &Limits::default())
    };
    let mut good = Vec::new();
    for rule in &rules {
        let alone = read(std::slice::from_ref(rule));
        let shown: Vec<_> = alone.diagnostics.iter().map(|d| (d.code.clone(), d.message.clone())).collect();
        let failed = alone.plan.is_none();
        good.extend((!failed).then(|| (rule.clone(), alone, shown)));
    }
    assert!(good.len() > 200, "{}", good.len());
    let all = read(&good.iter().map(|(rule, ..)| rule.clone()).collect::<Vec<_>>());
    let plan = all.plan.unwrap();
    for ((source, alone, shown), rule) in good.iter().zip(plan.rules.iter()) {
        let id = &*rule.alert.rule;
        let own = alone.plan.as_ref().unwrap();
        let item = format!("rule {id}");
        let found: Vec<_> = all.diagnostics.iter().filter(|d| d.item == item).collect();
        assert_eq!(
            found.iter().map(|d| (d.code.clone(), d.message.clone())).collect::<Vec<_>>(),
            *shown,
            "{source}"
        );
        // Slots differ with the neighbours, and so does the order in which fields are read.
        let tree = |plan: &Plan, rule: &RulePlan| {
            let shown = explain::text(&explain::explain(plan, rule), false);
            let mut lines: Vec<String> =
                shown.lines().map(|line| line.replace("reads", "").trim().to_owned()).collect();
            lines.sort_unstable();
            lines
        };
        assert_eq!(tree(&plan, rule), tree(own, &own.rules[0]), "{source}");
        assert_eq!((rule.state, &rule.alert), (own.rules[0].state, &own.rules[0].alert), "{source}");
        let params = |rule: &RulePlan| format!("{:?}", rule.params);
        assert_eq!(params(rule), params(&own.rules[0]), "{source}");
    }
}
