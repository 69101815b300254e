//! Joins with tables as rows come, and of streams when their window closes, the latter against nested
//! loops; and the tables themselves.

use super::*;
use crate::plan::logical::{Content, Join, JoinKind, Table};

/// Two streams of one shape; the second feeds the first table. The second table is fixed: `device`, `v`.
pub(super) fn plan(spec: StreamSpec, rules: Vec<RulePlan>) -> Arc<Plan> {
    let other = StreamSpec { name: "o".into(), ..spec.clone() };
    let line = |device: &str, v: i64| -> Box<[Value]> { [Value::str(device), Value::Int(v)].into() };
    let fixed = vec![line("d0", 0), line("d1", 10), line("d1", 11)];
    Arc::new(Plan {
        streams: vec![Arc::new(spec), Arc::new(other)],
        tables: vec![
            Arc::new(Table {
                name: "newest".into(),
                columns: ["device", "v", "ts"].map(Arc::from).to_vec(),
                content: Content::Latest { stream: 1 },
            }),
            Arc::new(Table {
                name: "limits".into(),
                columns: ["device", "v"].map(Arc::from).to_vec(),
                content: Content::Fixed(fixed.into()),
            }),
        ],
        rules: rules.into_iter().map(RulePlan::planned).collect(),
    })
}

/// `left.device = right.device`, to look up by if `hashed`.
fn on(kind: JoinKind, side: usize, hashed: bool) -> Join {
    let (left, right) = (Expr::Field(side - 1, 0), Expr::Field(side, 0));
    let on = Expr::Binary(BinaryOp::Eq, Box::new(left.clone()), Box::new(right));
    Join { kind, on: Some(on), equal: if hashed { vec![(left, 0)] } else { Vec::new() } }
}

/// `SELECT a.device, a.v, b.v FROM s a JOIN <side> b …`.
fn joined(side: Side, join: Join, at_close: bool) -> RulePlan {
    let mut rule = if at_close { ordered::rows(tumble()) } else { each() };
    rule.from = From { sides: vec![Side::Stream(0), side], joins: vec![join], at_close };
    rule.project = vec![Expr::Field(0, 0), Expr::Field(0, 1), Expr::Field(1, 1)];
    rule.visible = 3;
    rule.when = None;
    rule.alert = alert("joined", 1, OCCURRENCE);
    rule
}

/// Rules for the tests of all kinds together.
pub(super) fn rules() -> Vec<RulePlan> {
    let mut grouped = joined(Side::Stream(1), on(JoinKind::Full, 1, true), true);
    let counted = tumble().window.unwrap();
    grouped.project = vec![Expr::Group(0), Expr::Aggregate(0), Expr::Aggregate(1)];
    grouped.window = Some(Window { by_key: false, ..counted });
    grouped.key = vec![Expr::Group(0)];
    let mut windowed = joined(Side::Table(0), on(JoinKind::Left, 1, true), false);
    windowed.window = ordered::rows(ordered::windowed(ordered::slide(10, 0))).window;
    let mut following = joined(Side::Stream(1), on(JoinKind::Left, 1, false), true);
    following.window = ordered::rows(ordered::windowed(ordered::session(20, 6))).window;
    vec![
        joined(Side::Table(0), on(JoinKind::Left, 1, true), false),
        joined(Side::Table(1), on(JoinKind::Inner, 1, true), false),
        joined(Side::Stream(1), on(JoinKind::Left, 1, false), true),
        joined(Side::Table(0), on(JoinKind::Full, 1, true), true),
        joined(Side::Stream(0), on(JoinKind::Inner, 1, true), true),
        grouped,
        windowed,
        following,
    ]
}

struct Two {
    engine: Engine,
    out: Vec<Observation>,
}

impl Two {
    fn new(rules: Vec<RulePlan>) -> Self {
        Self::with(rules, Config::default())
    }

    fn with(rules: Vec<RulePlan>, config: Config) -> Self {
        Self { engine: Engine::new(plan(stream(), rules), config), out: Vec::new() }
    }

    fn row(&mut self, stream: usize, device: &str, v: impl Into<Option<i64>>, at: i64) -> &mut Self {
        self.engine.push(stream, &row(device, v.into(), at), now(at, 0), &mut self.out);
        self
    }

    #[track_caller]
    fn gives(&mut self, expected: &[&str]) -> &mut Self {
        let got: Vec<String> = self.out.drain(..).map(|o| short(&o)).collect();
        assert_eq!(got, expected);
        self
    }
}

#[test]
fn a_row_finds_its_partners_in_a_table() {
    for hashed in [true, false] {
        let rule = |kind| joined(Side::Table(1), on(kind, 1, hashed), false);
        let mut two = Two::new(vec![rule(JoinKind::Inner)]);
        two.row(0, "d1", 1, 5).gives(&["@5 d1 1 10 tf", "@5 d1 1 11 tf"]);
        two.row(0, "d0", None, 5).row(0, "d9", 1, 5).gives(&["@5 d0 NULL 0 tf"]);
        let mut two = Two::new(vec![rule(JoinKind::Left)]);
        two.row(0, "d9", 1, 5).gives(&["@5 d9 1 NULL tf"]);
    }
    let cross = Join { kind: JoinKind::Cross, on: None, equal: Vec::new() };
    let mut two = Two::new(vec![joined(Side::Table(1), cross, false)]);
    two.row(0, "a", 1, 5).gives(&["@5 a 1 0 tf", "@5 a 1 10 tf", "@5 a 1 11 tf"]);
}

#[test]
fn a_late_row_counts_once_whatever_partners_it_has() {
    let mut rule = joined(Side::Table(1), on(JoinKind::Inner, 1, true), false);
    rule.window = ordered::rows(tumble()).window;
    let itself = joined(Side::Stream(0), on(JoinKind::Inner, 1, true), true);
    let mut two = Two::new(vec![rule, itself]);
    two.row(0, "d1", 1, 25).row(0, "d1", 2, 5);
    let retained = Row { retained: true, ..row("d1", Some(3), 26) };
    two.engine.push(0, &retained, now(0, 0), &mut two.out);
    for account in two.engine.accounts() {
        assert_eq!((account.rows, account.late, account.retained), (3, 1, 1));
    }
}

#[test]
fn a_table_of_the_newest_keeps_the_newest() {
    let mut two = Two::new(vec![joined(Side::Table(0), on(JoinKind::Left, 1, true), false)]);
    two.row(0, "a", 1, 5).gives(&["@5 a 1 NULL tf"]);
    two.row(1, "a", 7, 10).row(1, "b", 8, 1).gives(&[]);
    two.row(0, "a", 1, 5).gives(&["@5 a 1 7 tf"]);
    // An older row replaces nothing; one of the same time does.
    two.row(1, "a", 6, 9).row(0, "a", 1, 5).gives(&["@5 a 1 7 tf"]);
    two.row(1, "a", 9, 10).row(0, "a", 1, 5).gives(&["@5 a 1 9 tf"]);
    let retained = Row { retained: true, ..row("c", Some(3), 2) };
    two.engine.push(1, &retained, now(0, 0), &mut two.out);
    two.row(0, "c", 1, 6).gives(&["@6 c 1 3 tf"]);
    assert_eq!(two.engine.accounts()[0].rows, 5, "what feeds a table is no row of the rule");
}

#[test]
fn a_table_forgets_the_quietest_keys() {
    let config = Config { max_groups: 2, ..Config::default() };
    let rules = vec![joined(Side::Table(0), on(JoinKind::Left, 1, false), false)];
    let mut two = Two::with(rules, config);
    two.row(1, "a", 1, 0).row(1, "b", 2, 0).row(1, "a", 3, 1).row(1, "c", 4, 0);
    two.row(0, "a", 0, 5).row(0, "b", 0, 5).row(0, "c", 0, 5);
    two.gives(&["@5 a 0 3 tf", "@5 b 0 NULL tf", "@5 c 0 4 tf"]);
    assert_eq!(two.engine.accounts()[0].refused, 1);
    assert!(two.engine.accounts()[0].degraded_until.is_some());
}

#[test]
fn the_bytes_of_a_table_are_bounded_where_its_rows_grow() {
    let config = Config { max_bytes: 2_000, ..Config::default() };
    let mut two = Two::with(vec![joined(Side::Table(0), on(JoinKind::Left, 1, true), false)], config);
    two.row(1, "a", 1, 0).row(1, "b", 2, 1);
    for (device, at) in [("b", 2), ("a", 3)] {
        let mut large = row(device, None, at);
        large.slots[1] = Value::str(&"x".repeat(1_200));
        two.engine.push(1, &large, now(at, 0), &mut two.out);
    }
    two.row(0, "b", 0, 5).gives(&["@5 b 0 NULL tf"]);
    assert_eq!(two.engine.accounts()[0].refused, 1, "it gave way to the other");
    two.row(1, "b", 4, 6).row(0, "b", 0, 7).gives(&["@7 b 0 4 tf"]);
}

#[test]
fn a_table_outlives_swaps_and_processes() {
    let rule = || joined(Side::Table(0), on(JoinKind::Left, 1, true), false);
    let mut two = Two::new(vec![rule()]);
    two.row(1, "a", 7, 10);
    let bytes = two.engine.snapshot(now(0, 0));
    // The slots of the stream that feeds it have moved.
    let mut moved = (*plan(stream(), vec![rule()])).clone();
    let mut other = (*moved.streams[1]).clone();
    other.fields.swap(0, 1);
    other.key = Some(1);
    moved.streams[1] = Arc::new(other);
    let mut swapped = rule();
    swapped.from.joins[0].equal[0].1 = 1;
    let right = Expr::Field(1, 1);
    swapped.from.joins[0].on = Some(Expr::Binary(BinaryOp::Eq, Box::new(Expr::Field(0, 0)), Box::new(right)));
    swapped.project[2] = Expr::Field(1, 0);
    moved.rules = [swapped.planned()].into_iter().collect();
    let moved = Arc::new(moved);
    two.engine.swap(moved.clone());
    two.row(0, "a", 1, 5).gives(&["@5 a 1 7 tf"]);

    for plan in [plan(stream(), vec![rule()]), moved] {
        let mut later = Two { engine: Engine::new(plan, Config::default()), out: Vec::new() };
        later.engine.restore(&bytes, now(0, 0)).unwrap();
        later.row(0, "a", 1, 5).gives(&["@5 a 1 7 tf"]);
    }
}

#[test]
fn rows_that_wait_are_read_anew_when_slots_move() {
    let rule = || ordered::rows(tumble());
    let mut bench = Bench::new(stream(), vec![rule()]);
    bench.row("a", 7, 3, 0);
    let bytes = bench.engine.snapshot(now(0, 0));
    let mut spec = stream();
    let first = spec.fields[0].clone();
    spec.fields.insert(0, Field { name: "other".into(), ..first });
    (spec.key, spec.timestamp) = (Some(1), Some(3));
    let mut moved = rule();
    moved.project = vec![Expr::Field(0, 1), Expr::Field(0, 2), Expr::Field(0, 0)];
    moved.key = vec![Expr::Field(0, 1)];
    bench.engine.swap(super::plan(spec.clone(), vec![moved.clone()]));
    bench.advance(60).gives(&["@10 a 7 NULL tf"]);
    let mut later = Bench::new(spec, vec![moved]);
    later.engine.restore(&bytes, now(0, 0)).unwrap();
    later.advance(60).gives(&["@10 a 7 NULL tf"]);
}

#[test]
fn streams_meet_in_their_window() {
    let mut two = Two::new(vec![joined(Side::Stream(1), on(JoinKind::Full, 1, true), true)]);
    two.row(0, "a", 1, 3).row(1, "a", 10, 4).row(1, "b", 20, 5).row(0, "c", 2, 6).gives(&[]);
    // The slowest key of either stream tells the time.
    two.row(0, "a", 9, 15).row(0, "c", 9, 15).row(1, "a", 9, 15).gives(&[]);
    two.row(1, "b", 9, 15);
    two.gives(&["@10 a 1 10 tf", "@10 c 2 NULL tf", "@10 NULL NULL 20 tf"]);
}

#[test]
fn a_stream_meets_itself() {
    let mut rule = joined(Side::Stream(0), on(JoinKind::Inner, 1, true), true);
    rule.from.joins[0].on = Some(Expr::And(vec![
        rule.from.joins[0].on.clone().unwrap(),
        Expr::Binary(BinaryOp::Lt, Box::new(Expr::Field(0, 1)), Box::new(Expr::Field(1, 1))),
    ]));
    let mut two = Two::new(vec![rule]);
    two.row(0, "a", 1, 3).row(0, "a", 2, 4).row(0, "b", 3, 4);
    two.row(0, "a", 0, 15).row(0, "b", 0, 15).gives(&["@10 a 1 2 tf"]);
    assert_eq!(two.engine.accounts()[0].rows, 5);
}

#[test]
fn rows_of_a_table_without_a_partner_stay_where_asked() {
    let mut two = Two::new(vec![joined(Side::Table(1), on(JoinKind::Right, 1, true), true)]);
    two.row(0, "d1", 1, 3).row(0, "d9", 2, 4).row(0, "d1", 9, 12).row(0, "d9", 9, 12);
    two.gives(&["@10 d1 1 10 tf", "@10 d1 1 11 tf", "@10 NULL NULL 0 tf"]);
}

#[test]
fn what_a_join_gives_is_bounded() {
    let cross = || Join { kind: JoinKind::Cross, on: None, equal: Vec::new() };
    let mut rule = joined(Side::Stream(0), cross(), true);
    rule.from.sides.push(Side::Stream(0));
    rule.from.joins.push(cross());
    rule.window.as_mut().unwrap().gives = Gives::Groups;
    rule.window.as_mut().unwrap().aggregates = vec![tumble().window.unwrap().aggregates[1].clone()];
    rule.project = vec![Expr::Aggregate(0)];
    rule.visible = 1;
    rule.key = Vec::new();
    let mut two = Two::new(vec![rule]);
    for _ in 0..60 {
        two.row(0, "a", 1, 3);
    }
    two.row(0, "a", 1, 13).gives(&["@10 100000 tf"]);
    assert_eq!(two.engine.accounts()[0].refused, 60 * 60 * 60 - 100_000);
}

proptest! {
    /// Every pair, looked at.
    #[test]
    fn a_join_equals_nested_loops(steps in steps(), hashed: bool) {
        for kind in [JoinKind::Inner, JoinKind::Left, JoinKind::Right, JoinKind::Full] {
            let mut two = Two::new(vec![joined(Side::Stream(1), on(kind, 1, hashed), true)]);
            two.engine = Engine::new(
                plan(
                    StreamSpec { lateness: Duration::from_secs(1_000), ..stream() },
                    vec![joined(Side::Stream(1), on(kind, 1, hashed), true)],
                ),
                Config::default(),
            );
            let mut sides: [Vec<(i64, String, Option<i64>)>; 2] = [Vec::new(), Vec::new()];
            for (n, v, at, _) in &steps {
                let (side, device) = (usize::from(n % 2), device(n / 2));
                two.row(side, &device, v.map(i64::from), i64::from(*at));
                sides[side].push((i64::from(*at), device, v.map(i64::from)));
            }
            sides.iter_mut().for_each(|rows| rows.sort_by_key(|row| row.0));
            two.engine.advance(now(0, 10_000), &mut two.out);
            let mut expected = Vec::new();
            let text = |v: Option<i64>| v.map_or(Value::Null, Value::Int).to_string();
            for start in (0..120).step_by(10) {
                let inside = |side: usize| -> Vec<_> {
                    sides[side].iter().filter(|row| row.0 / 10 * 10 == start).collect()
                };
                let (left, right) = (inside(0), inside(1));
                let end = start + 10;
                for (_, device, v) in &left {
                    let partners: Vec<_> = right.iter().filter(|(_, other, _)| other == device).collect();
                    for (_, _, w) in &partners {
                        expected.push(format!("@{end} {device} {} {} tf", text(*v), text(*w)));
                    }
                    if partners.is_empty() && matches!(kind, JoinKind::Left | JoinKind::Full) {
                        expected.push(format!("@{end} {device} {} NULL tf", text(*v)));
                    }
                }
                for (_, device, w) in &right {
                    let alone = left.iter().all(|(_, other, _)| other != device);
                    if alone && matches!(kind, JoinKind::Right | JoinKind::Full) {
                        expected.push(format!("@{end} NULL NULL {} tf", text(*w)));
                    }
                }
            }
            let got: Vec<String> = two.out.iter().map(short).collect();
            prop_assert_eq!(got, expected, "{:?}", kind);
        }
    }
}
