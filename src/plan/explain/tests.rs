//! Expressions written back mean the same, and trees say what the plan does.

use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::model::stream::{Field, FieldSource, Format, StreamSpec, TimeUnit};
use crate::model::topic::TopicPattern;
use crate::model::value::{DataType, Value};
use crate::plan::logical::*;
use crate::plan::{Limits, compile_text};

const STREAM: &str = "CREATE STREAM s (a BIGINT, b FLOAT, c STRING, d BOOLEAN, e DATETIME, l ARRAY(BIGINT), \
    o STRUCT(p BIGINT, `in` STRING), `odd name` FLOAT) WITH (DATASOURCE='t/{device}')";

fn planned(expression: &str) -> Plan {
    let sql = format!("SELECT {expression} AS x FROM s");
    let file = serde_json::json!({"streams": [STREAM], "rules": [{"id": "r", "sql": sql}]});
    let compiled = compile_text("set", &file.to_string(), &Limits::default());
    compiled.plan.unwrap_or_else(|| panic!("{expression}: {:?}", compiled.diagnostics))
}

#[test]
fn what_is_written_back_means_the_same() {
    for expression in [
        "1 + 2 * a - (3 - a)",
        "(1 + 2) * -a",
        "-(-5) + -a",
        "a DIV 2 % 3 / b",
        "(d OR a > 1) AND NOT (d AND b < 2.5) OR c IS NULL",
        "NOT (NOT d)",
        "d = (a = 1)",
        "c || 'it''s' || (a + 1)",
        "c LIKE '50!%' ESCAPE '!' AND c NOT LIKE 'a_'",
        "a IN (1, 2, NULL) AND a NOT IN (3)",
        "a BETWEEN 1 AND 5",
        "(d AND TRUE) IS NOT TRUE",
        "CASE WHEN d THEN 'x' WHEN a > 3 THEN c ELSE 'y' END",
        "CASE a WHEN 1 THEN 'one' END",
        "CAST(c AS FLOAT) + CAST(a + 1 AS BIGINT)",
        "o->p + l[0] + l[-1] + l[a + 1]",
        "o->`in`",
        "`odd name` / 2.0",
        "round(abs(b), 2) + greatest(a, 1, 2)",
        "coalesce(c, 'none', device)",
        "regexp_replace(c, '^a+', 'it''s') || format_time(e, 'yyyy-MM-dd', 'Europe/Berlin')",
        "lag(b, 2) OVER (PARTITION BY device WHEN d) - acc_count(*)",
        "meta(topic) || event_time()",
        "a IN l AND cardinality(l[1:]) + cardinality(l[:2]) + cardinality(l[a:-1]) > 0",
        "1e300 * 0.1 - 9223372036854775807",
    ] {
        let plan = planned(expression);
        let rule = &plan.rules[0].whole();
        let written = Sql { plan: &plan, rule }.text(&rule.project[0], Terms::Rows);
        let again = &planned(&written).rules[0].whole();
        assert_eq!(
            (&again.project, &again.analytics),
            (&rule.project, &rule.analytics),
            "{expression}: {written}"
        );
    }
}

#[test]
fn a_tree_reads_from_the_alert_down_to_the_topics() {
    let yaml = "
streams:
  - CREATE STREAM freezers (temperature FLOAT, door STRING, ts DATETIME) WITH (DATASOURCE='plant/{site}/freezer/{device}',
      TIMESTAMP='ts', KEY='device', LATENESS='10s')
rules:
  - id: too-warm
    sql: |
      SELECT site, device, round(avg(temperature), 1) AS t
      FROM freezers WHERE temperature > -50
      GROUP BY site, device, TUMBLINGWINDOW(ss, 60)
      HAVING count(*) >= 3
    when: t > -12
    clear: t < -15
    for: 2m
    labels: {team: cold}
  - {id: open, sql: SELECT door FROM freezers, repeat: 1h}
";
    let plan = compile_text("set", yaml, &Limits::default()).plan.unwrap();
    let expected = "\
alert  a state for each key
   when      t > -12
   clear     t < -15
   for       2m
   key       site, device
   severity  warning
   labels    team=cold
-> project  3 columns
      columns  site
               device
               round(avg(temperature), 1) AS t
   -> having  count(*) >= 3
      -> group  by site, device
            aggregates  avg(temperature)
                        count(*)
         -> window  tumbling, 1m
               watermark  each device has its own
               lateness   10s
               idle       closes after 1m of silence
            -> filter  temperature > -50
               -> scan  freezers
                     topics  plant/{site}/freezer/{device}
                     format  json
                     reads   ts DATETIME
                             device STRING (level {device} of the topic)
                             temperature FLOAT
                             site STRING (level {site} of the topic)
                     time    ts
                     key     device
";
    assert_eq!(text(&explain(&plan, &plan.rules[0]), false), expected);
    // What other rules read of the stream is theirs.
    let other = text(&explain(&plan, &plan.rules[1]), false);
    assert!(other.contains("reads   ts DATETIME\n") && !other.contains("temperature FLOAT"), "{other}");
}

fn field(name: &str, ty: DataType) -> Field {
    Field {
        name: name.into(),
        from: FieldSource::Path(vec![name.into()]),
        ty,
        default: Value::Null,
        unit: TimeUnit::Auto,
    }
}

fn stream(name: &str) -> Arc<StreamSpec> {
    Arc::new(StreamSpec {
        name: name.into(),
        pattern: TopicPattern::parse(&format!("{name}/{{device}}")).unwrap(),
        source: None,
        format: Format::Json,
        strict: true,
        fields: vec![field("device", DataType::String), field("t", DataType::Float)],
        timestamp: Some(1),
        key: Some(0),
        lateness: Duration::from_secs(5),
        idle: None,
        max_future: None,
        silence: None,
        availability: None,
        expected: Arc::default(),
    })
}

/// A plan that joins `a` with itself, with `b` and with a table, and uses what else there is.
fn everything() -> Plan {
    let mut plan = planned("1");
    let equal = |a: Expr, b: Expr| Expr::Binary(BinaryOp::Eq, Box::new(a), Box::new(b));
    plan.streams = vec![stream("a"), stream("b")];
    plan.tables = vec![Arc::new(Table {
        name: "limits".into(),
        columns: vec!["device".into(), "most".into()],
        content: Content::Fixed([Box::from([Value::str("x"), Value::Int(3)])].into()),
    })];
    let mut rule = RulePlan::clone(&plan.rules[0]);
    let join = |kind, side: usize| Join {
        kind,
        on: Some(equal(Expr::Field(0, 0), Expr::Field(side, 0))),
        equal: vec![(Expr::Field(0, 0), 0)],
    };
    rule.from = From {
        sides: vec![Side::Stream(0), Side::Stream(1), Side::Stream(0), Side::Table(0)],
        joins: vec![join(JoinKind::Inner, 1), join(JoinKind::Full, 2), join(JoinKind::Left, 3)],
        at_close: true,
    };
    let analytic =
        |function, args, when| Analytic { function, args, partition: vec![Expr::Field(0, 0)], when };
    rule.analytics = vec![
        analytic(AnalyticFunction::Lag, vec![Expr::Field(0, 1)], None),
        analytic(AnalyticFunction::Delta, vec![Expr::Analytic(0)], Some(Expr::IsNull(Box::new(Expr::Now)))),
    ];
    rule.filter = Some(Expr::Binary(BinaryOp::Lt, Box::new(Expr::Analytic(1)), Box::new(Expr::Field(3, 1))));
    rule.window = Some(Window {
        kind: WindowKind::Hopping { length: Duration::from_secs(60), hop: Duration::from_secs(10) },
        filter: Some(Expr::IsBool(Box::new(Expr::Field(1, 1)), true)),
        gives: Gives::Groups,
        group: vec![Expr::Binary(
            BinaryOp::Add,
            Box::new(Expr::Field(0, 1)),
            Box::new(Expr::Const(Value::Int(1))),
        )],
        aggregates: vec![Aggregate {
            function: AggregateFunction::PercentileCont,
            args: vec![Expr::Field(1, 1), Expr::Const(Value::Float(0.5))],
            filter: Some(Expr::InArray(Box::new(Expr::EventTime), Box::new(Expr::Field(1, 0)))),
            distinct: true,
        }],
        analytics: vec![Analytic {
            function: AnalyticFunction::AccCount,
            args: Vec::new(),
            partition: Vec::new(),
            when: None,
        }],
        having: Some(Expr::Binary(BinaryOp::Mul, Box::new(Expr::Group(0)), Box::new(Expr::Aggregate(0)))),
        by_key: false,
    });
    rule.arrange = Some(Arrange {
        distinct: true,
        order: vec![(Expr::Group(0), Direction::Descending)],
        limit: Some(3),
    });
    rule.unnest = Some(Expr::Aggregate(0));
    rule.project = vec![Expr::Unnested, Expr::Analytic(0)];
    rule.visible = 1;
    rule.when = Some(Expr::Column(1));
    plan.rules = [rule].into_iter().collect();
    plan
}

#[test]
fn a_tree_shows_joins_at_the_close_and_what_comes_after() {
    let plan = everything();
    let shown = text(&explain(&plan, &plan.rules[0]), false);
    for line in [
        "arrange  DISTINCT, ORDER BY `a#1`.t + 1 DESC, LIMIT 3",
        "project  a row for each element of percentile_cont(DISTINCT b.t, 0.5) FILTER (WHERE event_time() IN b.device)",
        "invisible  acc_count(*)",
        "having  (`a#1`.t + 1) * percentile_cont(",
        "looks back over windows",
        "lag(`a#1`.t) OVER (PARTITION BY `a#1`.device)",
        "delta(lag(`a#1`.t) OVER (PARTITION BY `a#1`.device)) OVER (PARTITION BY `a#1`.device WHEN now() IS NULL)",
        "join  at close: the rows of one window",
        "INNER JOIN b ON `a#1`.device = b.device; looked up by b.device",
        "FULL JOIN `a#3` ON `a#1`.device = `a#3`.device",
        "LEFT JOIN limits ON `a#1`.device = limits.device; looked up by limits.device",
        "-> window  hopping, 1m every 10s",
        "watermark  the slowest key of any of its streams that is not idle",
        "table  limits: 1 row that travel with the rules",
    ] {
        assert!(shown.contains(line), "{line}\n{shown}");
    }
}

#[test]
fn what_refers_to_itself_over_and_over_is_cut_off() {
    let mut plan = everything();
    let mut rule = RulePlan::clone(&plan.rules[0]);
    rule.analytics = (0..200_usize)
        .map(|n| {
            let before = || Box::new(if n == 0 { Expr::Now } else { Expr::Analytic(n - 1) });
            Analytic {
                function: AnalyticFunction::Latest,
                args: vec![Expr::Binary(BinaryOp::Add, before(), before())],
                partition: Vec::new(),
                when: None,
            }
        })
        .collect();
    plan.rules = [rule].into_iter().collect();
    let shown = text(&explain(&plan, &plan.rules[0]), true);
    assert!(shown.contains('…') && shown.len() < 1_000_000, "{}", shown.len());
}
