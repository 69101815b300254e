//! The engine through its public face: the bench that all its tests share, tumbling windows against a
//! naive rescan, ceilings, snapshots, rule changes.

mod change;
mod index;
mod joins;
mod kept;
mod ordered;
mod output;
mod presence;
mod unit;

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::model::alerting::{AlertShape, AlertSpec, Life, RuleKind};
use crate::model::stream::{Field, FieldSource, Format, TimeUnit};
use crate::model::time::Timestamp;
use crate::model::topic::TopicPattern;
use crate::model::value::{DataType, Value};
use crate::plan::logical::{
    self, Aggregate, AggregateFunction, Analytic, AnalyticFunction, BinaryOp, Direction, Expr, From, Gives,
    Side, Window, WindowKind,
};

const SECOND: i64 = 1_000_000;

/// Slots of the test stream: `device`, `v`, `ts`.
fn stream() -> StreamSpec {
    let field = |name: &str| Field {
        name: name.into(),
        from: FieldSource::Path(vec![name.into()]),
        ty: DataType::Any,
        unit: TimeUnit::Auto,
        default: Value::Null,
    };
    StreamSpec {
        name: "s".into(),
        pattern: TopicPattern::parse("t").unwrap(),
        source: None,
        format: Format::Json,
        strict: true,
        fields: ["device", "v", "ts"].into_iter().map(field).collect(),
        timestamp: Some(2),
        key: Some(0),
        lateness: Duration::ZERO,
        idle: None,
        max_future: None,
        silence: None,
        availability: None,
        expected: Arc::default(),
    }
}

/// A rule as these tests write it: all in one.
#[derive(Clone, Debug)]
pub(super) struct RulePlan {
    state: u64,
    alert: AlertSpec,
    from: From,
    analytics: Vec<Analytic>,
    filter: Option<Expr>,
    window: Option<Window>,
    project: Vec<Expr>,
    visible: usize,
    unnest: Option<Expr>,
    arrange: Option<Arrange>,
    key: Vec<Expr>,
    when: Option<Expr>,
    clear: Option<Expr>,
}

impl RulePlan {
    /// The same as it runs: constants are the rule's own.
    pub(super) fn planned(self) -> logical::RulePlan {
        let shape = logical::Shape {
            from: self.from,
            analytics: self.analytics,
            filter: self.filter,
            window: self.window,
            project: self.project,
            visible: self.visible,
            unnest: self.unnest,
            arrange: self.arrange,
            key: self.key,
            when: self.when,
            levels: Vec::new(),
            clear: self.clear,
        };
        logical::RulePlan::new(self.state, self.alert, shape)
    }
}

fn alert(rule: &str, hash: u64, kind: RuleKind) -> AlertSpec {
    let shape = AlertShape {
        ruleset: "set".into(),
        kind,
        severity: "warning".into(),
        labels: BTreeMap::new(),
        annotations: Vec::new(),
        key: vec!["device".into()],
        columns: vec!["n".into()],
        cadence: None,
        no_data: None,
        life: Life::plain(),
    };
    AlertSpec { rule: rule.into(), hash, shape: Arc::new(shape) }
}

const STATE: RuleKind = RuleKind::State { for_: Duration::ZERO, keep_firing_for: Duration::ZERO };
const OCCURRENCE: RuleKind = RuleKind::Occurrence { repeat: Duration::from_secs(60) };

fn compare(op: BinaryOp, a: Expr, b: i64) -> Expr {
    Expr::Binary(op, Box::new(a), Box::new(Expr::Const(Value::Int(b))))
}

/// `SELECT v FROM s`, `when: v > 10`.
pub(super) fn each() -> RulePlan {
    RulePlan {
        state: 0,
        from: From { sides: vec![Side::Stream(0)], joins: Vec::new(), at_close: false },
        analytics: Vec::new(),
        visible: 1,
        unnest: None,
        arrange: None,
        filter: None,
        window: None,
        project: vec![Expr::Field(0, 1)],
        key: vec![Expr::Field(0, 0)],
        when: Some(compare(BinaryOp::Gt, Expr::Column(0), 10)),
        clear: None,
        alert: alert("each", 1, STATE),
    }
}

/// `SELECT device, sum(v), count(*), window_start() … GROUP BY device, TUMBLINGWINDOW(ss, 10)`.
fn tumble() -> RulePlan {
    let sum = Aggregate {
        function: AggregateFunction::Sum,
        args: vec![Expr::Field(0, 1)],
        filter: None,
        distinct: false,
    };
    let count = Aggregate { function: AggregateFunction::Count, args: vec![], ..sum.clone() };
    RulePlan {
        state: 0,
        from: From { sides: vec![Side::Stream(0)], joins: Vec::new(), at_close: false },
        analytics: Vec::new(),
        visible: 4,
        unnest: None,
        arrange: None,
        filter: None,
        window: Some(Window {
            kind: WindowKind::Tumbling { length: Duration::from_secs(10) },
            filter: None,
            gives: Gives::Groups,
            analytics: Vec::new(),
            group: vec![Expr::Field(0, 0)],
            aggregates: vec![sum, count],
            having: None,
            by_key: true,
        }),
        project: vec![Expr::Group(0), Expr::Aggregate(0), Expr::Aggregate(1), Expr::WindowStart],
        key: vec![Expr::Group(0)],
        when: None,
        clear: None,
        alert: alert("tumble", 1, OCCURRENCE),
    }
}

/// All devices in one group.
fn mixed() -> RulePlan {
    let mut rule = tumble();
    let window = rule.window.as_mut().unwrap();
    window.group.clear();
    window.by_key = false;
    rule
}

fn plan(stream: StreamSpec, rules: Vec<RulePlan>) -> Arc<Plan> {
    Arc::new(Plan {
        streams: vec![Arc::new(stream)],
        tables: Vec::new(),
        rules: rules.into_iter().map(RulePlan::planned).collect(),
    })
}

/// An engine, and what came out of it, written short.
struct Bench {
    engine: Engine,
    out: Vec<Observation>,
}

impl Bench {
    fn new(stream: StreamSpec, rules: Vec<RulePlan>) -> Self {
        Self::with(stream, rules, Config::default())
    }

    fn with(stream: StreamSpec, rules: Vec<RulePlan>, config: Config) -> Self {
        Self { engine: Engine::new(plan(stream, rules), config), out: Vec::new() }
    }

    /// A row of this device, value and second, at this monotonic second.
    fn row(&mut self, device: &str, v: impl Into<Option<i64>>, at: i64, mono: i64) -> &mut Self {
        self.engine.push(0, &row(device, v.into(), at), now(at, mono), &mut self.out);
        self
    }

    fn advance(&mut self, mono: i64) -> &mut Self {
        self.engine.advance(now(0, mono), &mut self.out);
        self
    }

    /// What came out since the last check.
    #[track_caller]
    fn gives(&mut self, expected: &[&str]) -> &mut Self {
        let got: Vec<String> = self.out.drain(..).map(|o| short(&o)).collect();
        assert_eq!(got, expected);
        self
    }

    fn account(&self) -> Account {
        self.engine.accounts()[0]
    }
}

fn row(device: &str, v: Option<i64>, at: i64) -> Row {
    let time = Timestamp::from_micros(at * SECOND);
    let v = v.map_or(Value::Null, Value::Int);
    Row { slots: [Value::str(device), v, Value::Time(time)].into(), time, retained: false }
}

fn now(wall: i64, mono: i64) -> Now {
    Now {
        wall: Timestamp::from_micros(wall * SECOND),
        mono: Mono::from_micros(u64::try_from(mono * SECOND).unwrap()),
    }
}

/// `@end values`, or for a rule with `when` `@time values raise clear`.
fn short(o: &Observation) -> String {
    let values: Vec<String> = o
        .values
        .iter()
        .map(|v| match v {
            Value::Time(at) => (at.micros() / SECOND).to_string(),
            v => v.to_string(),
        })
        .collect();
    let judged = |b: Option<bool>| b.map_or('?', |b| if b { 't' } else { 'f' });
    let at = o.at.micros() / SECOND;
    format!("@{at} {} {}{}", values.join(" "), judged(o.raise), judged(o.clear))
}

#[test]
fn without_a_window_every_row_is_judged_at_once() {
    let mut bench = Bench::new(stream(), vec![each()]);
    bench.row("a", 11, 5, 0).row("a", 10, 4, 0).row("a", None, 6, 0);
    bench.gives(&["@5 11 tf", "@4 10 ft", "@6 NULL ??"]);

    let hysteresis = RulePlan { clear: Some(compare(BinaryOp::Lt, Expr::Column(0), 8)), ..each() };
    let mut bench = Bench::new(stream(), vec![hysteresis]);
    bench.row("a", 11, 1, 0).row("a", 9, 2, 0).row("a", 7, 3, 0).row("a", None, 4, 0);
    bench.gives(&["@1 11 tf", "@2 9 ff", "@3 7 ft", "@4 NULL ??"]);

    let filtered = RulePlan { filter: Some(compare(BinaryOp::Gt, Expr::Field(0, 1), 8)), ..each() };
    let mut bench = Bench::new(stream(), vec![filtered]);
    bench.row("a", 7, 1, 0).row("a", None, 2, 0).row("a", 9, 3, 0).gives(&["@3 9 ft"]);
    assert_eq!(bench.account(), Account { rows: 3, ..Account::default() });
}

#[test]
fn retained_rows_tell_states_only() {
    let occurrence = RulePlan { when: None, alert: alert("o", 1, OCCURRENCE), ..each() };
    let mut engine = Engine::new(plan(stream(), vec![each(), occurrence, tumble()]), Config::default());
    let mut out = Vec::new();
    let retained = Row { retained: true, ..row("a", Some(11), 1) };
    engine.push(0, &retained, now(1, 0), &mut out);
    assert_eq!(out.iter().map(|o| (o.rule, o.retained)).collect::<Vec<_>>(), [(0, true)]);
    assert_eq!(engine.accounts().iter().map(|a| a.retained).collect::<Vec<_>>(), [0, 1, 1]);
    engine.push(0, &row("a", Some(1), 1), now(1, 0), &mut out);
    assert_eq!((out[2].rule, out[2].raise, out[2].clear), (1, Some(true), Some(false)));
}

#[test]
fn a_window_closes_when_its_keys_time_has_passed_it() {
    let mut bench = Bench::new(stream(), vec![tumble()]);
    bench.row("a", 1, 3, 0).row("a", 2, 9, 0).row("b", 7, 100, 0).gives(&[]);
    bench.row("a", 4, 10, 0).gives(&["@10 a 3 2 0 tf"]);
    bench.row("a", 9, 8, 0).gives(&[]);
    assert_eq!(bench.account().late, 1);
    assert_eq!(bench.account().groups, 2);
    // Windows that nothing fell into say nothing.
    bench.row("a", 5, 75, 0).gives(&["@20 a 4 1 10 tf"]);
}

#[test]
fn lateness_keeps_windows_open() {
    let spec = StreamSpec { lateness: Duration::from_secs(5), ..stream() };
    let mut bench = Bench::new(spec, vec![tumble()]);
    bench.row("a", 1, 3, 0).row("a", 2, 14, 0).row("a", 4, 9, 0).gives(&[]);
    bench.row("a", 8, 15, 0).gives(&["@10 a 5 2 0 tf"]);
    bench.row("a", 1, 9, 0).gives(&[]);
    // Two windows at once, in the order of their ends.
    bench.row("a", 1, 22, 0).row("a", 1, 99, 0).gives(&["@20 a 10 2 10 tf", "@30 a 1 1 20 tf"]);
    assert_eq!(bench.account().late, 1);
}

#[test]
fn rows_held_back_by_where_tell_the_time() {
    let hot = RulePlan { filter: Some(compare(BinaryOp::Gt, Expr::Field(0, 1), 10)), ..tumble() };
    let mut bench = Bench::new(stream(), vec![hot]);
    bench.row("a", 11, 3, 0).row("a", 1, 9, 0).row("a", 1, 12, 0).gives(&["@10 a 11 1 0 tf"]);
    bench.row("b", 1, 12, 0);
    assert_eq!(bench.account().groups, 0);
}

#[test]
fn having_passes_only_what_is_true() {
    let mut rule = tumble();
    rule.window.as_mut().unwrap().having = Some(compare(BinaryOp::Gt, Expr::Aggregate(0), 5));
    let mut bench = Bench::new(stream(), vec![rule]);
    bench.row("a", 6, 0, 0).row("a", 5, 10, 0).row("a", None, 20, 0).row("a", 1, 30, 0);
    bench.gives(&["@10 a 6 1 0 tf"]);
    assert_eq!(bench.account().matched, 1);
}

#[test]
fn a_silent_key_closes_its_windows_by_the_monotonic_clock() {
    let mut bench = Bench::new(stream(), vec![tumble()]);
    bench.row("a", 1, 3, 100).row("b", 2, 1_000, 130);
    assert_eq!(bench.engine.next_deadline(), Some(now(0, 160).mono));
    bench.advance(159).gives(&[]);
    bench.advance(160).gives(&["@10 a 1 1 0 tf"]);
    assert_eq!(bench.engine.next_deadline(), Some(now(0, 190).mono));
    bench.row("a", 1, 5, 161).gives(&[]);
    assert_eq!(bench.account().late, 1, "it stops at the window's end");
    // The deadline counts from the last row, and a late call closes in the order of the deadlines.
    bench.row("b", 2, 1_001, 170).row("a", 1, 15, 171).advance(500);
    bench.gives(&["@1010 b 4 2 1000 tf", "@20 a 1 1 10 tf"]);
    assert_eq!(bench.engine.next_deadline(), None);
    assert_eq!(bench.account().groups, 0);
}

#[test]
fn a_push_does_first_what_is_due() {
    let mut bench = Bench::new(stream(), vec![tumble()]);
    bench.row("a", 1, 3, 0).row("a", 2, 4, 60).gives(&["@10 a 1 1 0 tf"]);
    assert_eq!(bench.account().late, 1);
}

#[test]
fn a_window_that_mixes_keys_waits_for_the_slowest() {
    let rule = RulePlan {
        project: vec![Expr::Aggregate(0), Expr::Aggregate(1), Expr::WindowStart],
        visible: 3,
        key: vec![],
        ..mixed()
    };
    let mut bench = Bench::new(stream(), vec![rule]);
    bench.row("a", 1, 3, 0).row("b", 2, 4, 1).row("a", 4, 25, 2).gives(&[]);
    bench.row("b", 8, 11, 3).gives(&["@10 3 2 0 tf"]);
    bench.row("a", 16, 26, 50).advance(63).gives(&["@20 8 1 10 tf"]);
    bench.row("b", 1, 12, 64).gives(&[]);
    assert_eq!(bench.account().late, 1);
    bench.advance(200).gives(&["@30 20 2 20 tf"]);
    assert_eq!(bench.engine.next_deadline(), None);
}

#[test]
fn groups_close_in_the_order_of_their_first_rows() {
    let mut rule = mixed();
    rule.window.as_mut().unwrap().group = vec![Expr::Field(0, 1)];
    let spec = StreamSpec { key: None, ..stream() };
    let mut bench = Bench::new(spec, vec![rule]);
    for v in [5, 3, 9, 1] {
        bench.row("x", v, 3, 0);
    }
    bench.row("x", 3, 12, 0).gives(&["@10 5 5 1 0 tf", "@10 3 3 1 0 tf", "@10 9 9 1 0 tf", "@10 1 1 1 0 tf"]);
}

#[test]
fn several_groups_of_one_key_share_its_watermark() {
    let mut rule = tumble();
    rule.window.as_mut().unwrap().group.push(Expr::Field(0, 1));
    let mut bench = Bench::new(stream(), vec![rule]);
    bench.row("a", 1, 3, 0).row("a", 2, 4, 0).row("a", 2, 12, 0);
    bench.gives(&["@10 a 1 1 0 tf", "@10 a 2 1 0 tf"]);
}

#[test]
fn arrival_time_windows_close_by_the_clock() {
    let spec = StreamSpec { timestamp: None, lateness: Duration::from_secs(1), ..stream() };
    for rule in [tumble(), mixed()] {
        let mut bench = Bench::new(spec.clone(), vec![rule]);
        bench.row("a", 1, 1_003, 50);
        assert_eq!(bench.engine.next_deadline(), Some(now(0, 58).mono), "7 s to the end, 1 s lateness");
        bench.row("a", 2, 1_009, 56).advance(57);
        assert!(bench.out.is_empty());
        bench.advance(58);
        assert_eq!(bench.out.pop().unwrap().at, Timestamp::from_micros(1_010 * SECOND));
        // The calendar steps back: nothing is late, the next window runs its length.
        bench.row("a", 4, 500, 59);
        assert_eq!(bench.account().late, 0);
        assert_eq!(bench.engine.next_deadline(), Some(now(0, 70).mono));
        bench.advance(70);
        assert_eq!(bench.out.pop().unwrap().at, Timestamp::from_micros(1_020 * SECOND));
    }
}

#[test]
fn rows_from_the_future_are_not_used() {
    let spec = StreamSpec { max_future: Some(Duration::from_secs(60)), ..stream() };
    let mut bench = Bench::new(spec, vec![tumble()]);
    let mut push = |wall, at| {
        let Bench { engine, out } = &mut bench;
        engine.push(0, &row("a", Some(1), at), now(wall, 0), out);
    };
    push(0, 3);
    push(0, 61);
    push(0, 60);
    bench.gives(&["@10 a 1 1 0 tf"]);
    assert_eq!(bench.account().future, 1);
    bench.engine.trust_clock(false);
    bench.engine.push(0, &row("a", Some(1), 1_000), now(0, 0), &mut bench.out);
    assert_eq!(bench.account().future, 1);
}

#[test]
fn ceilings_refuse_and_count() {
    let config = Config { max_groups: 2, max_states: 3, ..Config::default() };
    let spec = StreamSpec { lateness: Duration::from_secs(100), ..stream() };
    let mut bench = Bench::with(spec, vec![tumble()], config);
    bench.row("a", 1, 0, 0).row("b", 1, 0, 0).row("c", 1, 0, 0);
    assert_eq!((bench.account().refused, bench.account().groups), (1, 2));
    bench.row("a", 1, 10, 0).row("a", 1, 20, 0);
    assert_eq!(bench.account().refused, 2, "a fourth window");
    // What waits for nothing makes room: the longest quiet first.
    bench.row("a", 1, 1_000, 1).row("b", 1, 1_000, 2).advance(300);
    bench.out.clear();
    bench.row("c", 1, 2_000, 301).row("b", 1, 5, 302).row("a", 1, 5, 303);
    assert_eq!(bench.account().late, 1, "b is remembered");
    assert_eq!(bench.account().refused, 2, "a is forgotten, and finds room as b waits for nothing");
    assert_eq!(bench.account().groups, 2);
}

#[test]
fn partitions_count_against_the_ceiling() {
    let count = Analytic {
        function: AnalyticFunction::RowNumber,
        args: Vec::new(),
        partition: vec![Expr::Field(0, 0)],
        when: None,
    };
    let rule = RulePlan { analytics: vec![count], project: vec![Expr::Analytic(0)], when: None, ..each() };
    let config = Config { max_groups: 2, ..Config::default() };
    let mut bench = Bench::with(stream(), vec![rule], config);
    bench.row("a", 1, 0, 0).row("b", 1, 1, 0).row("a", 1, 2, 0).row("c", 1, 3, 0).row("a", 1, 4, 0);
    bench.gives(&["@0 1 tf", "@1 1 tf", "@2 2 tf", "@3 1 tf", "@4 3 tf"]);
    assert_eq!(bench.account().refused, 1, "b was forgotten");
    bench.row("b", 1, 5, 0).gives(&["@5 1 tf"]);
}

#[test]
fn distinct_counts_against_the_ceiling() {
    let mut rule = tumble();
    rule.window.as_mut().unwrap().aggregates[0].distinct = true;
    let mut probe = Bench::new(stream(), vec![rule.clone()]);
    let used = probe.row("a", None, 0, 0).account().bytes;
    let config = Config { max_bytes: used + 2 * Value::Int(0).bytes(), ..Config::default() };
    let mut bench = Bench::with(stream(), vec![rule], config);
    for v in [1, 2, 2, 3, 1] {
        bench.row("a", v, 0, 0);
    }
    bench.row("a", 1, 10, 0).gives(&["@10 a 3 5 0 tf"]);
    assert_eq!(bench.account().refused, 1);
    bench.row("a", 3, 20, 0).gives(&["@20 a 1 1 10 tf"]);
    assert_eq!(bench.account().refused, 1, "a closed window gives back what it took");
}

#[test]
fn a_swap_keeps_the_windows_of_rules_that_stay() {
    let mut other = tumble();
    other.alert = alert("other", 1, OCCURRENCE);
    let mut bench = Bench::new(stream(), vec![tumble(), other.clone()]);
    bench.row("a", 1, 3, 0);
    let changed = RulePlan { state: 2, ..other };
    bench.engine.swap(plan(stream(), vec![changed, each(), tumble()]));
    assert_eq!(bench.engine.next_deadline(), Some(now(0, 60).mono));
    assert_eq!(bench.engine.accounts().iter().map(|a| a.rows).collect::<Vec<_>>(), [0, 0, 1]);
    bench.row("a", 1, 12, 0);
    assert_eq!(bench.out.iter().map(|o| o.rule).collect::<Vec<_>>(), [1, 2]);
    // Another stream under the same rule: its windows mean something else.
    bench.engine.take_changed();
    bench.engine.swap(plan(StreamSpec { key: None, ..stream() }, vec![tumble()]));
    assert!(bench.engine.take_changed(), "what was written down before still has them");
    assert_eq!(bench.engine.accounts()[0].rows, 0);
    bench.advance(1_000);
    assert_eq!(bench.out.len(), 2);
}

#[test]
fn a_snapshot_outlives_its_process() {
    let mut bench = Bench::new(stream(), vec![tumble(), each()]);
    bench.row("a", 1, 3, 1_000);
    let bytes = bench.engine.snapshot(now(0, 1_050));

    let mut later = Bench::new(stream(), vec![each(), tumble()]);
    later.engine.restore(&bytes, now(0, 2)).unwrap();
    assert_eq!(later.engine.accounts()[1].groups, 1);
    later.advance(11).gives(&[]);
    later.advance(12).gives(&["@10 a 1 1 0 tf"]);

    let changed = RulePlan { state: 2, ..tumble() };
    let mut other = Bench::new(stream(), vec![changed]);
    other.engine.restore(&bytes, now(0, 2)).unwrap();
    assert_eq!(other.engine.next_deadline(), None, "another text is another rule");
    assert_eq!(other.engine.restore(&[9], now(0, 0)), Err(SnapshotError::Version(9)));
    assert!(other.engine.restore(&[], now(0, 0)).is_err());
}

/// A row of an arbitrary test: device, value, stream time, and monotonic time since the last.
type Step = (u8, Option<i8>, u8, u8);

fn steps() -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec((0..4_u8, any::<Option<i8>>(), 0..120_u8, 0..40_u8), 0..60)
}

fn any_stream() -> impl Strategy<Value = StreamSpec> {
    (any::<bool>(), any::<bool>(), 0..20_u64).prop_map(|(event_time, keyed, late)| StreamSpec {
        timestamp: event_time.then_some(2),
        key: keyed.then_some(0),
        lateness: Duration::from_secs(late),
        ..stream()
    })
}

/// Bytes for each rule: enough for all, or for some.
fn any_room() -> impl Strategy<Value = usize> {
    prop_oneof![Just(1 << 20), 0..8_000_usize]
}

fn device(n: u8) -> String {
    format!("d{n}")
}

/// A rule of every kind, each under a name of its own. They read two streams of one shape, of which the
/// second also feeds a table.
fn everything() -> Vec<RulePlan> {
    let mut distinct = tumble();
    distinct.window.as_mut().unwrap().aggregates[0].distinct = true;
    let mut rules = vec![tumble(), mixed(), distinct, ordered::over_all(ordered::slide(10, 0))];
    let kinds = [
        ordered::hop(10, 4),
        ordered::slide(10, 0),
        ordered::slide(7, 5),
        ordered::session(20, 6),
        ordered::count(3, 3),
        ordered::count(4, 2),
        ordered::state(false),
        ordered::state(true),
    ];
    rules.extend(kinds.iter().map(|kind| ordered::windowed(kind.clone())));
    rules.extend(kinds.into_iter().map(|kind| ordered::rows(ordered::windowed(kind))));
    rules.push(output::arranged());
    rules.extend(joins::rules());
    for (at, rule) in rules.iter_mut().enumerate() {
        rule.alert = alert(&format!("r{at}"), 1, OCCURRENCE);
    }
    rules
}

/// What the rules give, where between any two rows the engine is treated by `between`.
fn run(
    spec: &StreamSpec,
    max_bytes: usize,
    steps: &[Step],
    mut between: impl FnMut(&mut Engine, Now, &mut Vec<Observation>),
) -> (Vec<Observation>, Vec<Account>) {
    let config = Config { max_groups: 3, max_states: 12, max_bytes, ..Config::default() };
    let mut engine = Engine::new(joins::plan(spec.clone(), everything()), config);
    let (mut out, mut mono) = (Vec::new(), 0);
    for (n, v, at, wait) in steps {
        mono += i64::from(*wait);
        let time = now(i64::from(*at), mono);
        between(&mut engine, time, &mut out);
        engine.push(
            usize::from(n % 2),
            &row(&device(*n / 2), v.map(i64::from), i64::from(*at)),
            time,
            &mut out,
        );
    }
    engine.advance(now(0, mono + 10_000), &mut out);
    (out, engine.accounts())
}

#[test]
fn the_ends_of_time_are_times_like_any_other() {
    let engine = Engine::new(joins::plan(stream(), everything()), Config::default());
    let mut bench = Bench { engine, out: Vec::new() };
    for (second, micros) in [i64::MIN, 0, i64::MAX, i64::MAX, i64::MIN].into_iter().enumerate() {
        let row = Row { time: Timestamp::from_micros(micros), ..row("a", Some(20), 0) };
        let told = i64::try_from(second).unwrap();
        bench.engine.push(0, &row, now(told, told), &mut bench.out);
    }
    bench.advance(1_000_000);
}

proptest! {
    /// The windows of a key, computed from all of its rows at once.
    #[test]
    fn tumbling_equals_a_naive_rescan(rows in steps(), lateness in 0..30_i64) {
        let spec = StreamSpec { lateness: Duration::from_secs(lateness.unsigned_abs()), ..stream() };
        let mut bench = Bench::new(spec, vec![tumble()]);
        let mut expected: BTreeMap<(String, i64), (Option<i64>, i64)> = BTreeMap::new();
        let mut late = 0;
        for (i, (n, v, at, _)) in rows.iter().enumerate() {
            bench.row(&device(*n), v.map(i64::from), i64::from(*at), 0);
            let start = i64::from(*at) / 10 * 10;
            let greatest = rows[..i].iter().filter(|r| r.0 == *n).map(|r| i64::from(r.2)).max();
            if greatest.is_some_and(|greatest| start + 10 <= greatest - lateness) {
                late += 1;
                continue;
            }
            let window = expected.entry((device(*n), start)).or_default();
            window.1 += 1;
            if let Some(v) = v {
                window.0 = Some(window.0.unwrap_or(0) + i64::from(*v));
            }
        }
        bench.advance(10_000);
        let got: Vec<((String, i64), String)> = bench.out.iter().map(|o| {
            ((o.key[0].to_string(), o.at.micros() / SECOND - 10), format!("{} {}", o.values[1], o.values[2]))
        }).collect();
        // Within a key the windows come in order.
        let mut last: BTreeMap<&String, i64> = BTreeMap::new();
        for ((key, start), _) in &got {
            prop_assert!(last.insert(key, *start).is_none_or(|before| before < *start));
        }
        let got_sorted: BTreeMap<_, _> = got.iter().cloned().collect();
        prop_assert_eq!(got_sorted.len(), got.len());
        let expected: BTreeMap<_, _> = expected
            .into_iter()
            .map(|(key, (sum, n))| (key, format!("{} {n}", sum.map_or(Value::Null, Value::Int))))
            .collect();
        prop_assert_eq!(got_sorted, expected);
        prop_assert_eq!(bench.account().late, late);
    }
}

proptest! {
    // Every rule, at every row: a case costs what many cost elsewhere.
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_snapshot_between_any_two_rows_changes_nothing(
        spec in any_stream(), room in any_room(), rows in steps(),
    ) {
        let plain = run(&spec, room, &rows, |_, _, _| {});
        let restored = run(&spec, room, &rows, |engine, now, _| {
            let bytes = engine.snapshot(now);
            let accounts = engine.accounts();
            *engine = Engine::new(engine.plan.clone(), engine.config);
            engine.restore(&bytes, now).unwrap();
            engine.show(&accounts);
        });
        prop_assert_eq!(plain, restored);
    }

    #[test]
    fn when_the_clock_is_told_changes_nothing(
        spec in any_stream(), room in any_room(), rows in steps(),
    ) {
        let plain = run(&spec, room, &rows, |_, _, _| {});
        let mut last = 0;
        let told = run(&spec, room, &rows, |engine, time, out| {
            for micros in (last..time.mono.micros()).step_by(SECOND as usize) {
                engine.advance(Now { mono: Mono::from_micros(micros), ..time }, out);
            }
            last = time.mono.micros();
        });
        // Between rules the order may differ, within a rule it may not.
        for rule in 0..plain.1.len() {
            let of = |all: &[Observation]| all.iter().filter(|o| o.rule == rule).cloned().collect::<Vec<_>>();
            prop_assert_eq!(of(&plain.0), of(&told.0));
        }
        // A ceiling reached at a deadline is noticed when the clock is told of it, and held from then.
        let counted = |accounts: &[Account]| {
            accounts.iter().map(|a| Account { degraded_until: None, ..*a }).collect::<Vec<_>>()
        };
        prop_assert_eq!(counted(&plain.1), counted(&told.1));
    }

    #[test]
    fn broken_snapshots_are_refused_and_change_nothing(
        rows in steps(), cuts: [prop::sample::Index; 8], at: prop::sample::Index, bit in 0..8_u8,
    ) {
        let spec = stream();
        let engine = Engine::new(joins::plan(spec, everything()), Config::default());
        let mut bench = Bench { engine, out: Vec::new() };
        for (n, v, at, _) in rows.iter().take(20) {
            bench.row(&device(*n), v.map(i64::from), i64::from(*at), 0);
        }
        let mut bytes = bench.engine.snapshot(now(0, 0));
        for cut in cuts {
            let cut = cut.index(bytes.len());
            prop_assert!(bench.engine.restore(&bytes[..cut], now(0, 0)).is_err());
        }
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        // A flipped bit may still be a snapshot; it must only do no harm.
        bench.engine.restore(&bytes, now(0, 0)).ok();
        bench.row("a", 1, 1_000_000, 0).advance(10_000_000);
    }
}
