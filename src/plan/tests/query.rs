//! Queries over several sides, with windows, analytic functions and names of every kind: what their
//! plans look like.

use std::time::Duration;

use super::{Limits, SIDES, binary, compile_text, int, show, whole};
use crate::model::stream::FieldSource;
use crate::model::value::Value;
use crate::plan::logical::{
    AnalyticFunction, BinaryOp, Content, Direction, Expr, Gives, JoinKind, Plan, RulePlan, Side, UnaryOp,
    Window, WindowKind,
};

#[track_caller]
fn sides(sql: &str) -> (Plan, RulePlan) {
    let yaml = format!("{SIDES}rules:\n  - id: r\n    sql: |\n      {}\n", sql.replace('\n', "\n      "));
    let compiled = compile_text("set", &yaml, &Limits::default());
    let Some(plan) = compiled.plan else { panic!("{sql}\n{}", show(&compiled.diagnostics)) };
    let plan = whole(plan);
    let rule = plan.rules[0].clone();
    (plan, rule)
}

#[track_caller]
fn window(sql: &str) -> Window {
    sides(sql).1.window.clone().unwrap()
}

fn field(plan: &Plan, side: usize, place: usize, name: &str) -> Expr {
    let fields = &plan.streams[place].fields;
    Expr::Field(side, fields.iter().position(|field| *field.name == *name).unwrap())
}

#[test]
fn tables_are_joined_at_entry() {
    let (plan, rule) = sides(
        "SELECT e.device, temperature - l.top AS over FROM env AS e\nLEFT JOIN limits AS l ON e.device = l.device AND l.top > 3\nWHERE temperature > top",
    );
    assert_eq!(rule.from.sides, [Side::Stream(0), Side::Table(0)]);
    assert!(!rule.from.at_close);
    let [join] = rule.from.joins.as_slice() else { panic!() };
    assert_eq!(join.kind, JoinKind::Left);
    assert_eq!(join.equal, [(field(&plan, 0, 0, "device"), 0)]);
    assert!(matches!(join.on, Some(Expr::And(ref parts)) if parts.len() == 2));
    let table = &plan.tables[0];
    assert_eq!(table.columns.as_slice(), ["device".into(), "top".into()]);
    assert!(matches!(&table.content, Content::Fixed(rows) if rows.len() == 2));
    assert_eq!(rule.filter, Some(binary(BinaryOp::Gt, field(&plan, 0, 0, "temperature"), Expr::Field(1, 1))));
    assert_eq!(rule.alert.key.as_slice(), ["device".into()]);

    // A constant and an expression over several sides before are looked up too, either way round.
    let (_, rule) = sides(
        "SELECT v FROM env AS e CROSS JOIN limits AS l INNER JOIN last ON 'a' = last.device AND last.v = e.n + l.top",
    );
    assert_eq!(rule.from.joins[0].kind, JoinKind::Cross);
    let equal: Vec<usize> = rule.from.joins[1].equal.iter().map(|(_, slot)| *slot).collect();
    assert_eq!(equal, [0, 1]);
    let (plan, rule) = sides("SELECT v FROM env INNER JOIN last ON env.n > last.v");
    assert!(rule.from.joins[0].equal.is_empty());
    // What feeds a table goes before what looks into it.
    assert_eq!((plan.tables[0].content.clone(), rule.stream()), (Content::Latest { stream: 0 }, 1));
    assert_eq!((plan.streams.len(), rule.streams().count()), (2, 1));
}

#[test]
fn streams_are_joined_at_the_close() {
    let (plan, rule) = sides(
        "SELECT e.device AS device, e.n AS n, d.open AS open FROM env AS e INNER JOIN doors AS d ON e.device = d.device\nGROUP BY TUMBLINGWINDOW(ss, 10)",
    );
    assert!(rule.from.at_close);
    assert_eq!(rule.from.sides, [Side::Stream(0), Side::Stream(1)]);
    assert_eq!(rule.from.joins[0].equal, [(field(&plan, 0, 0, "device"), 1)]);
    let found = rule.window.clone().unwrap();
    assert_eq!((found.gives, found.by_key), (Gives::Rows, false));
    assert!(rule.key.is_empty());
    // The slower of the two: its lateness, and a minute of silence.
    assert_eq!(rule.alert.cadence.unwrap().slack, Duration::from_secs(65));

    let (_, rule) = sides(
        "SELECT l.device AS device, count(e.n) AS c FROM env AS e RIGHT JOIN limits AS l ON e.device = l.device\nGROUP BY l.device, TUMBLINGWINDOW(mi, 5)",
    );
    assert!(rule.from.at_close);
    // What only a table has tells no readings apart.
    assert!(rule.key.is_empty());

    let (plan, rule) = sides(
        "SELECT a.n AS n, b.n AS m FROM env AS a INNER JOIN env AS b ON a.room = b.room\nGROUP BY TUMBLINGWINDOW(ss, 10)",
    );
    assert_eq!(plan.streams.len(), 1);
    assert_eq!(rule.from.sides, [Side::Stream(0), Side::Stream(0)]);
    assert_eq!(rule.project, [field(&plan, 0, 0, "n"), field(&plan, 1, 0, "n")]);
}

#[test]
fn bare_names_find_their_side() {
    // What a stream without columns might have never hides what another declares.
    let (plan, rule) = sides("SELECT top, x FROM raw INNER JOIN limits ON raw.id = limits.device");
    assert_eq!(rule.project, [Expr::Field(1, 1), field(&plan, 0, 0, "x")]);
    let (plan, rule) =
        sides("SELECT env.n AS n, env.n + top AS m FROM env CROSS JOIN limits WHERE env.device = 'a'");
    assert_eq!(rule.project[1], binary(BinaryOp::Add, field(&plan, 0, 0, "n"), Expr::Field(1, 0)));
}

#[test]
fn windows_of_every_kind() {
    let seconds = Duration::from_secs;
    let kind =
        |text: &str| window(&format!("SELECT device, count(*) AS c FROM env GROUP BY device, {text}")).kind;
    assert_eq!(
        kind("hoppingwindow(ss, 60, 10)"),
        WindowKind::Hopping { length: seconds(60), hop: seconds(10) }
    );
    assert_eq!(
        kind("SLIDINGWINDOW(mi, 1)"),
        WindowKind::Sliding { length: seconds(60), delay: Duration::ZERO, trigger: None }
    );
    let WindowKind::Sliding { delay, trigger, .. } = kind("SLIDINGWINDOW(ss, 10, 5) OVER (WHEN n > 3)")
    else {
        panic!()
    };
    assert!(delay == seconds(5) && trigger.is_some());
    assert_eq!(
        kind("SESSIONWINDOW(mi, 60, 5)"),
        WindowKind::Session { length: seconds(3600), timeout: seconds(300) }
    );
    assert_eq!(kind("COUNTWINDOW(5)"), WindowKind::Count { count: 5, every: 5 });
    assert_eq!(kind("COUNTWINDOW(5, 1)"), WindowKind::Count { count: 5, every: 1 });
    let WindowKind::State { end, partition, .. } = kind("STATEWINDOW(n > 3, n < 1) OVER (PARTITION BY room)")
    else {
        panic!()
    };
    assert!(end.is_some() && partition.len() == 1);
    assert!(matches!(kind("STATEWINDOW(ok)"), WindowKind::State { end: None, .. }));
    let found = window("SELECT count(*) AS c FROM env GROUP BY COUNTWINDOW(3) FILTER (WHERE ok AND n > 1)");
    assert!(matches!(found.filter, Some(Expr::And(_))));

    let cadence = |text: &str| {
        let rule = sides(&format!("SELECT device, count(*) AS c FROM env GROUP BY device, {text}")).1;
        rule.alert.cadence.map(|cadence| (cadence.every, cadence.slack))
    };
    assert_eq!(cadence("HOPPINGWINDOW(ss, 60, 10)"), Some((seconds(10), seconds(65))));
    assert_eq!(cadence("SLIDINGWINDOW(ss, 60, 10)"), Some((seconds(0), seconds(75))));
    assert_eq!(cadence("SESSIONWINDOW(ss, 60, 20)"), Some((seconds(0), seconds(85))));
    assert_eq!(cadence("COUNTWINDOW(3)"), None);
    assert_eq!(cadence("STATEWINDOW(ok)"), None);
}

#[test]
fn windows_give_groups_or_rows() {
    let gives = |sql: &str| window(sql).gives;
    assert_eq!(gives("SELECT * FROM env GROUP BY TUMBLINGWINDOW(ss, 10)"), Gives::Rows);
    assert_eq!(
        gives("SELECT room, lag(n) OVER (PARTITION BY device) AS p FROM env GROUP BY TUMBLINGWINDOW(ss, 10)"),
        Gives::Rows
    );
    assert_eq!(gives("SELECT room FROM env GROUP BY room, TUMBLINGWINDOW(ss, 10)"), Gives::Groups);
    assert_eq!(
        gives("SELECT 1 AS one FROM env GROUP BY TUMBLINGWINDOW(ss, 10) HAVING count(*) > 3"),
        Gives::Groups
    );
    assert_eq!(gives("SELECT rate(n) AS r FROM env GROUP BY TUMBLINGWINDOW(ss, 10)"), Gives::Groups);
    assert_eq!(
        gives("SELECT rate(n) OVER (PARTITION BY device) AS r FROM env GROUP BY TUMBLINGWINDOW(ss, 10)"),
        Gives::Rows
    );
    let (_, rule) = sides("SELECT room, n FROM env GROUP BY TUMBLINGWINDOW(ss, 10)");
    assert_eq!(rule.alert.key.as_slice(), ["device".into()]);
}

#[test]
fn rows_are_arranged() {
    let (_, rule) = sides(
        "SELECT DISTINCT room, avg(n) AS mean FROM env GROUP BY room, device, TUMBLINGWINDOW(ss, 10)\nORDER BY mean DESC, room LIMIT 3",
    );
    let arrange = rule.arrange.clone().unwrap();
    assert!(arrange.distinct && !rule.window.clone().unwrap().by_key);
    assert_eq!(
        arrange.order,
        [(Expr::Aggregate(0), Direction::Descending), (Expr::Group(0), Direction::Ascending)]
    );
    assert_eq!(arrange.limit, Some(3));
    let (_, rule) = sides("SELECT DISTINCT unnest(list) AS e FROM env ORDER BY e LIMIT 1");
    let arrange = rule.arrange.clone().unwrap();
    assert_eq!((arrange.distinct, arrange.limit), (true, Some(1)));
    assert_eq!(arrange.order, [(Expr::Unnested, Direction::Ascending)]);
    assert!(rule.window.is_none());
}

#[test]
fn aliases_go_everywhere() {
    let (plan, rule) = sides("SELECT n * 2 AS double FROM env WHERE double > 3");
    let double = binary(BinaryOp::Mul, field(&plan, 0, 0, "n"), int(2));
    assert_eq!(rule.filter, Some(binary(BinaryOp::Gt, double.clone(), int(3))));
    // A declared column is meant before an output column of its name, but not over groups.
    let (plan, rule) = sides("SELECT n * 2 AS temperature FROM env WHERE temperature > 3");
    assert_eq!(rule.filter, Some(binary(BinaryOp::Gt, field(&plan, 0, 0, "temperature"), int(3))));
    let (plan, rule) = sides(
        "SELECT max(n) AS n, n + 1 AS more, sum(n) AS total FROM env WHERE n > 1 GROUP BY TUMBLINGWINDOW(ss, 10) HAVING n > 2 ORDER BY n",
    );
    let found = rule.window.clone().unwrap();
    assert_eq!(rule.filter, Some(binary(BinaryOp::Gt, field(&plan, 0, 0, "n"), int(1))));
    assert_eq!(rule.project[1], binary(BinaryOp::Add, Expr::Aggregate(0), int(1)));
    assert_eq!(found.aggregates[1].args, [field(&plan, 0, 0, "n")]);
    assert_eq!(found.having, Some(binary(BinaryOp::Gt, Expr::Aggregate(0), int(2))));
    assert_eq!(rule.arrange.clone().unwrap().order[0].0, Expr::Aggregate(0));
    let (_, rule) = sides(
        "SELECT floor(n) AS f, count(*) AS c FROM env GROUP BY f, TUMBLINGWINDOW(ss, 10) FILTER (WHERE f > 0)",
    );
    assert_eq!(rule.project[0], Expr::Group(0));
    assert!(rule.window.clone().unwrap().filter.is_some());
    // In a stream without columns the output column is meant, unless it speaks of that name itself.
    let (_, rule) = sides("SELECT a * 2 AS b FROM raw WHERE b > 3");
    assert!(matches!(rule.filter, Some(Expr::Binary(_, ref left, _)) if matches!(**left, Expr::Binary(..))));
    let (plan, rule) = sides("SELECT b * 2 AS b FROM raw WHERE b > 3");
    assert_eq!(rule.filter, Some(binary(BinaryOp::Gt, field(&plan, 0, 0, "b"), int(3))));
    // A member of one.
    let (plan, rule) = sides("SELECT a.b AS c, c->d AS e FROM raw");
    assert_eq!(rule.project[1], field(&plan, 0, 0, "a.b.d"));
    // Names that are repeated too often are refused.
    let mut sql = "SELECT n AS x0".to_owned();
    for i in 0..40 {
        sql.push_str(&format!(", x{i} + x{i} AS x{}", i + 1));
    }
    let yaml = format!("{SIDES}rules:\n  - id: r\n    sql: {sql} FROM env\n");
    let found = compile_text("set", &yaml, &Limits::default()).diagnostics;
    assert_eq!(found[0].code.as_ref(), "too-large");
    let mut sql = "SELECT n AS x0".to_owned();
    for i in 0..12 {
        sql.push_str(&format!(", {}x{i} AS x{}", "- ".repeat(30), i + 1));
    }
    let yaml = format!("{SIDES}rules:\n  - id: r\n    sql: {sql} FROM env\n");
    assert!(
        compile_text("set", &yaml, &Limits::default()).diagnostics.iter().any(|d| *d.code == *"too-deep")
    );
}

#[test]
fn stars_and_invisible_columns() {
    let columns =
        |sql: &str| -> Vec<String> { sides(sql).1.alert.columns.iter().map(ToString::to_string).collect() };
    let all = ["temperature", "n", "room", "ok", "ts", "list", "site", "device"];
    assert_eq!(columns("SELECT * FROM env"), all);
    assert_eq!(
        columns("SELECT * EXCEPT(ts, list, site) FROM env"),
        ["temperature", "n", "room", "ok", "device"]
    );
    let (plan, rule) = sides("SELECT d.* EXCEPT(ts), 1 AS one FROM doors AS d");
    assert_eq!(rule.project, [field(&plan, 0, 0, "open"), field(&plan, 0, 0, "device"), int(1)]);
    let (plan, rule) = sides("SELECT * EXCEPT(ts, list) REPLACE(n * 2 AS n) FROM env");
    assert_eq!(rule.project[1], binary(BinaryOp::Mul, field(&plan, 0, 0, "n"), int(2)));
    let yaml = format!(
        "{SIDES}rules:\n  - id: r\n    sql: SELECT n AS hidden INVISIBLE, room FROM env\n    when: hidden > 3 AND room = 'x'\n"
    );
    let plan = whole(compile_text("set", &yaml, &Limits::default()).plan.unwrap());
    let rule = &plan.rules[0];
    assert_eq!(rule.alert.columns.as_slice(), ["room".into()]);
    assert_eq!((rule.visible, rule.project.len()), (1, 2));
    let Some(Expr::And(parts)) = &rule.when else { panic!() };
    assert_eq!(parts[0], binary(BinaryOp::Gt, Expr::Column(1), int(3)));
}

#[test]
fn analytic_functions_over_rows_and_groups() {
    let (plan, rule) = sides(
        "SELECT n, lag(n) OVER (PARTITION BY device) AS before FROM env\nWHERE n > 60 AND lag(n) OVER (PARTITION BY device) <= 60",
    );
    let [lag] = rule.analytics.as_slice() else { panic!("{:?}", rule.analytics) };
    assert_eq!(lag.function, AnalyticFunction::Lag);
    assert_eq!(lag.args, [field(&plan, 0, 0, "n")]);
    assert_eq!(lag.partition, [field(&plan, 0, 0, "device")]);
    assert_eq!(rule.project[1], Expr::Analytic(0));

    // One within another stands before it.
    let (_, rule) = sides(
        "SELECT lag(acc_sum(n) OVER (PARTITION BY device), 2, 0, true) OVER (PARTITION BY device WHEN ok) AS x FROM env",
    );
    assert_eq!(rule.analytics[0].function, AnalyticFunction::AccSum);
    assert_eq!(rule.analytics[1].args, [Expr::Analytic(0), int(2), int(0), Expr::Const(Value::Bool(true))]);
    assert!(rule.analytics[1].when.is_some());

    // Over groups in SELECT and HAVING, over rows elsewhere.
    let (_, rule) = sides(
        "SELECT device, lag(avg(n)) OVER (PARTITION BY device) AS before, sum(delta(n) OVER (PARTITION BY device)) AS moved FROM env\nGROUP BY device, TUMBLINGWINDOW(ss, 10) HAVING avg(n) > lag(avg(n)) OVER (PARTITION BY device)",
    );
    let found = rule.window.clone().unwrap();
    assert_eq!(found.analytics.len(), 1);
    assert_eq!(found.analytics[0].args, [Expr::Aggregate(0)]);
    assert_eq!(found.analytics[0].partition, [Expr::Group(0)]);
    assert_eq!(found.aggregates[1].args, [Expr::Analytic(0)]);
    assert_eq!(rule.analytics[0].function, AnalyticFunction::Delta);

    // Spans become numbers.
    let (_, rule) = sides(
        "SELECT ewma(n, '5m') OVER (PARTITION BY device) AS a, delay('10s', n) OVER (PARTITION BY device) AS b FROM env",
    );
    assert_eq!(rule.analytics[0].args[1], Expr::Const(Value::Float(300.0)));
    assert_eq!(rule.analytics[1].args[0], int(10_000));
    let found = window(
        "SELECT percentile(n, 1) AS p, predict(n, '10m') AS q FROM env GROUP BY TUMBLINGWINDOW(ss, 10)",
    );
    assert_eq!(found.aggregates[0].args[1], Expr::Const(Value::Float(1.0)));
    assert_eq!(found.aggregates[1].args[1], Expr::Const(Value::Float(600.0)));

    let (_, rule) = sides("SELECT open FROM doors WHERE had_changed(true, *) OVER (PARTITION BY device)");
    assert_eq!(rule.analytics[0].args.len(), 4);
}

#[test]
fn changed_columns_choose_their_rows() {
    let (plan, rule) =
        sides("SELECT changed_cols('c_', true, n, room, n + 1) OVER (PARTITION BY device) FROM env");
    let columns: Vec<&str> = rule.alert.columns.iter().map(AsRef::as_ref).collect();
    assert_eq!(columns, ["c_n", "c_room", "c_n + 1"]);
    let changed = rule.analytics.iter().filter(|a| a.function == AnalyticFunction::ChangedCol);
    assert_eq!(changed.count(), 3);
    assert!(rule.analytics.iter().all(|a| a.partition == [field(&plan, 0, 0, "device")]));
    assert!(matches!(rule.filter, Some(Expr::Analytic(_))));
    let (_, rule) =
        sides("SELECT device, changed_cols('', true, n) OVER (PARTITION BY device) FROM env WHERE ok");
    assert!(matches!(rule.filter, Some(Expr::Field(..))));
    let (_, rule) = sides(
        "SELECT changed_cols('', true, avg(n), count(*)) FROM env WHERE ok GROUP BY TUMBLINGWINDOW(ss, 10) HAVING count(*) > 1",
    );
    assert!(matches!(rule.window.clone().unwrap().having, Some(Expr::And(_))));
    assert_eq!(rule.alert.columns[0].as_ref(), "avg(n)");
}

#[test]
fn what_is_known_besides_the_payload() {
    let (plan, rule) = sides(
        "SELECT meta(topic) AS a, mqtt('qos') AS b, meta(e.properties->Unit) AS c, meta(topic) AS d, rule_id() AS r,\nevent_time() AS t, tstamp() AS u FROM env AS e WHERE now() - event_time() < 5000 AND ts - 1000 < ts",
    );
    let fields = &plan.streams[0].fields;
    let from = |expr: &Expr| match expr {
        Expr::Field(0, slot) => fields[*slot].from.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(from(&rule.project[0]), FieldSource::Topic);
    assert_eq!(from(&rule.project[1]), FieldSource::Qos);
    assert_eq!(from(&rule.project[2]), FieldSource::Property("Unit".into()));
    assert_eq!(rule.project[0], rule.project[3]);
    assert_eq!(rule.project[4..], [Expr::Const(Value::str("r")), Expr::EventTime, Expr::Now]);
    let (_, rule) =
        sides("SELECT meta(topic) AS a, count(*) AS c FROM env GROUP BY meta(topic), TUMBLINGWINDOW(ss, 10)");
    assert_eq!(rule.project[0], Expr::Group(0));
}

#[test]
fn arrays_of_every_use() {
    let (plan, rule) = sides(
        "SELECT list[1:3] AS a, list[:-1] AS b, unnest(list) AS e, e + 1 AS f FROM env WHERE n NOT IN list",
    );
    let list = Box::new(field(&plan, 0, 0, "list"));
    assert_eq!(rule.project[0], Expr::Slice(list.clone(), Some(Box::new(int(1))), Some(Box::new(int(3)))));
    assert_eq!(rule.project[1], Expr::Slice(list.clone(), None, Some(Box::new(int(-1)))));
    assert_eq!(rule.project[2..], [Expr::Unnested, binary(BinaryOp::Add, Expr::Unnested, int(1))]);
    assert_eq!(rule.unnest, Some(*list.clone()));
    assert!(
        matches!(rule.filter, Some(Expr::Unary(UnaryOp::Not, ref of)) if matches!(**of, Expr::InArray(..)))
    );
}

#[test]
fn state_depends_on_text_and_declarations() {
    let state = |sides: &str, rest: &str| {
        let yaml =
            format!("{sides}rules:\n  - id: r\n    sql: SELECT n, top FROM env CROSS JOIN limits{rest}\n");
        let compiled = compile_text("set", &yaml, &Limits::default());
        compiled.plan.unwrap_or_else(|| panic!("{}", show(&compiled.diagnostics))).rules[0].state
    };
    let first = state(SIDES, "");
    assert_eq!(first, state(SIDES, "\n    when: n > 3\n    severity: critical"));
    assert_eq!(first, state(&SIDES.replace("raw/#", "raw/+"), ""));
    assert_eq!(first, state(&SIDES.replace("top: 3.5", "top: 2.5"), ""));
    assert_ne!(first, state(SIDES, " WHERE ok"));
    assert_ne!(first, state(&SIDES.replace("LATENESS='5s'", "LATENESS='6s'"), ""));
    assert_ne!(first, state(&SIDES.replace("temperature FLOAT", "temperature BIGINT"), ""));
}
