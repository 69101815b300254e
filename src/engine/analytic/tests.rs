//! Each analytic function over a few rows, and what holds for all of them: partitions keep apart, bytes
//! are given back as they were taken, snapshots read back at any point.

use super::*;
use crate::engine::expr::Env;
use crate::model::time::Timestamp;
use crate::plan::logical::{BinaryOp, Expr};
use proptest::prelude::*;

use AnalyticFunction as F;

const ALL: [AnalyticFunction; 19] = [
    F::Lag,
    F::Latest,
    F::HadChanged,
    F::ChangedCol,
    F::AccSum,
    F::AccAvg,
    F::AccMin,
    F::AccMax,
    F::AccCount,
    F::RowNumber,
    F::LastHitCount,
    F::LastHitTime,
    F::Delay,
    F::Ewma,
    F::Zscore,
    F::Delta,
    F::Increase,
    F::Rate,
    F::TimeInState,
];

const NULL: Value = Value::Null;
const TRUE: Value = Value::Bool(true);
const FALSE: Value = Value::Bool(false);

const fn i(i: i64) -> Value {
    Value::Int(i)
}

const fn x(x: f64) -> Value {
    Value::Float(x)
}

fn s(text: &str) -> Value {
    Value::str(text)
}

fn constant(value: Value) -> Expr {
    Expr::Const(value)
}

/// The value of the row.
fn v() -> Expr {
    Expr::Field(0, 0)
}

/// The device of the row.
fn device() -> Expr {
    Expr::Field(0, 1)
}

fn analytic(function: AnalyticFunction, args: Vec<Expr>) -> Analytic {
    Analytic { function, args, partition: Vec::new(), when: None }
}

fn per_device(function: AnalyticFunction, args: Vec<Expr>) -> Analytic {
    Analytic { partition: vec![device()], ..analytic(function, args) }
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_micros(second * 1_000_000)
}

/// The most partitions of a bench.
const MOST: usize = 1_000;

struct Bench {
    plan: Vec<Analytic>,
    state: Analytics,
    budget: Budget,
    env: Env<'static>,
}

impl Bench {
    fn new(plan: Vec<Analytic>) -> Self {
        Self::with(plan, 1 << 20)
    }

    fn with(plan: Vec<Analytic>, room: usize) -> Self {
        let state = Analytics::new(&plan, MOST);
        Self { plan, state, budget: Budget::new(room), env: Env::default() }
    }

    /// A row of this device at this second; and how much it refused.
    fn row(&mut self, device: &str, second: i64, value: Value) -> (Vec<Value>, u64) {
        self.env.at = at(second);
        let slots = [value, s(device)];
        let sides = [slots.as_slice()];
        let (scope, mut refused) = (Scope::row(&sides, &[], &self.env), 0);
        let values = self.state.take(&self.plan, scope, &mut self.budget, &mut refused);
        assert_eq!(self.state.bytes(), self.budget.used());
        (values, refused)
    }

    fn hit(&mut self, device: &str, second: i64) {
        self.env.at = at(second);
        let slots = [NULL, s(device)];
        let sides = [slots.as_slice()];
        self.state.hit(&self.plan, Scope::row(&sides, &[], &self.env));
    }

    /// The state written and read back.
    fn reopen(&mut self) {
        let mut out = Writer::default();
        self.state.write(&mut out);
        let bytes = out.into_bytes();
        let mut from = Reader::new(&bytes);
        let back = Analytics::read(&self.plan, MOST, &mut from).unwrap();
        assert!(from.is_at_end());
        assert_eq!(back.bytes(), self.state.bytes());
        self.state = back;
    }
}

/// What the function gives for these values, a second apart or at their seconds.
#[track_caller]
fn gives(analytic: Analytic, rows: &[(i64, Value)], expected: &[Value]) {
    let mut bench = Bench::new(vec![analytic]);
    let got: Vec<Value> =
        rows.iter().map(|(second, value)| bench.row("d", *second, value.clone()).0.remove(0)).collect();
    assert_eq!(format!("{got:?}"), format!("{expected:?}"));
}

fn seconds(values: &[Value]) -> Vec<(i64, Value)> {
    (0..).zip(values.iter().cloned()).collect()
}

#[track_caller]
fn check(function: AnalyticFunction, values: &[Value], expected: &[Value]) {
    gives(analytic(function, vec![v()]), &seconds(values), expected);
}

#[test]
fn lag_looks_back_so_many_rows() {
    check(F::Lag, &[i(1), NULL, s("a"), i(4)], &[NULL, i(1), NULL, s("a")]);
    let lag = |more: &[Value]| {
        let more = more.iter().cloned().map(constant);
        analytic(F::Lag, std::iter::once(v()).chain(more).collect())
    };
    let rows = seconds(&[i(1), i(2), NULL, i(4), i(5)]);
    gives(lag(&[i(2)]), &rows, &[NULL, NULL, i(1), i(2), NULL]);
    gives(lag(&[i(2), i(0)]), &rows, &[i(0), i(0), i(1), i(2), NULL]);
    gives(lag(&[i(1), i(0), TRUE]), &rows, &[i(0), i(1), i(2), i(2), i(4)]);
    gives(lag(&[i(-1)]), &rows, &[NULL, i(1), i(2), NULL, i(4)]);
}

#[test]
fn latest_passes_over_null() {
    check(F::Latest, &[NULL, i(1), NULL, s("a"), NULL], &[NULL, i(1), i(1), s("a"), s("a")]);
    let with_default = analytic(F::Latest, vec![v(), constant(i(7))]);
    gives(with_default, &seconds(&[NULL, i(1), NULL]), &[i(7), i(1), i(1)]);
}

#[test]
fn changes_show() {
    let changed = |function, ignore: Value| analytic(function, vec![constant(ignore), v()]);
    let rows = seconds(&[NULL, i(1), x(1.0), NULL, i(1), i(2)]);
    gives(changed(F::HadChanged, FALSE), &rows, &[TRUE, TRUE, FALSE, TRUE, TRUE, TRUE]);
    gives(changed(F::HadChanged, TRUE), &rows, &[FALSE, TRUE, FALSE, FALSE, FALSE, TRUE]);
    gives(changed(F::ChangedCol, FALSE), &rows, &[NULL, i(1), NULL, NULL, i(1), i(2)]);
    gives(changed(F::ChangedCol, TRUE), &rows, &[NULL, i(1), NULL, NULL, NULL, i(2)]);
    let both = analytic(F::HadChanged, vec![constant(TRUE), v(), device()]);
    let mut bench = Bench::new(vec![both]);
    assert_eq!(bench.row("a", 0, i(1)).0, [TRUE]);
    assert_eq!(bench.row("a", 1, i(1)).0, [FALSE]);
    assert_eq!(bench.row("b", 2, i(1)).0, [TRUE]);
}

#[test]
fn what_accumulates() {
    let values = [NULL, i(3), x(1.5), s("a"), NULL];
    check(F::AccSum, &values, &[NULL, i(3), x(4.5), x(4.5), x(4.5)]);
    check(F::AccAvg, &values, &[NULL, x(3.0), x(2.25), x(2.25), x(2.25)]);
    check(F::AccMin, &values, &[NULL, i(3), x(1.5), x(1.5), x(1.5)]);
    check(F::AccMax, &values, &[NULL, i(3), i(3), i(3), i(3)]);
    check(F::AccCount, &values, &[i(0), i(1), i(2), i(3), i(3)]);
    gives(analytic(F::AccCount, vec![]), &seconds(&[NULL, NULL]), &[i(1), i(2)]);
    gives(analytic(F::RowNumber, vec![]), &seconds(&[NULL, i(5)]), &[i(1), i(2)]);
    check(
        F::AccSum,
        &[i(i64::MAX), i(1), i(-1)],
        &[i(i64::MAX), x(9_223_372_036_854_775_808.0), i(i64::MAX)],
    );
}

#[test]
fn hits_are_those_before() {
    let mut bench = Bench::new(vec![per_device(F::LastHitCount, vec![]), per_device(F::LastHitTime, vec![])]);
    assert_eq!(bench.row("a", 1, NULL).0, [i(0), NULL]);
    bench.hit("a", 1);
    bench.hit("unknown", 1);
    assert_eq!(bench.row("a", 2, NULL).0, [i(1), Value::Time(at(1))]);
    assert_eq!(bench.row("b", 3, NULL).0, [i(0), NULL]);
    bench.reopen();
    bench.hit("a", 4);
    assert_eq!(bench.row("a", 5, NULL).0, [i(2), Value::Time(at(4))]);
}

#[test]
fn delay_gives_what_was() {
    let delay = |millis: Value| analytic(F::Delay, vec![constant(millis), v()]);
    let rows = [(0, i(0)), (4, i(4)), (5, i(5)), (5, i(6)), (9, NULL), (10, i(10)), (20, i(20))];
    gives(delay(i(5_000)), &rows, &[NULL, NULL, i(0), i(0), i(4), i(6), i(10)]);
    gives(delay(i(0)), &rows, &[i(0), i(4), i(5), i(6), NULL, i(10), i(20)]);
    gives(delay(NULL), &rows[..2], &[NULL, NULL]);
    gives(delay(i(-1)), &rows[..2], &[NULL, NULL]);
    // A row that comes late takes its place among the others.
    gives(delay(i(2_000)), &[(0, i(0)), (4, i(4)), (2, i(2)), (4, i(5))], &[NULL, i(0), i(0), i(2)]);
    let mut bench = Bench::new(vec![delay(i(1 << 40))]);
    for second in 0..11_000 {
        bench.row("d", second, i(second));
    }
    assert!(bench.state.bytes() < 10_000 * 40);
}

#[test]
fn ewma_halves_the_distance() {
    let ewma = |half: Value| analytic(F::Ewma, vec![v(), constant(half)]);
    let rows = [(0, i(0)), (10, i(8)), (10, i(100)), (20, NULL), (30, x(4.0)), (30, s("a"))];
    gives(ewma(i(10)), &rows, &[x(0.0), x(4.0), x(4.0), x(4.0), x(4.0), x(4.0)]);
    gives(ewma(s("10s")), &[(0, NULL), (1, i(8)), (21, i(0))], &[NULL, x(8.0), x(2.0)]);
    gives(ewma(i(0)), &[(0, i(1)), (1, i(8))], &[x(1.0), x(8.0)]);
    gives(ewma(NULL), &[(0, i(1))], &[NULL]);
    gives(ewma(i(1)), &[(0, x(f64::MAX)), (1, x(-f64::MAX))], &[x(f64::MAX), x(f64::MAX)]);
}

#[test]
fn distance_to_those_before() {
    check(F::Zscore, &[i(1), i(3), i(4), NULL, s("a")], &[NULL, NULL, x(2.0), NULL, NULL]);
    check(F::Zscore, &[i(5), i(5), i(9)], &[NULL, NULL, NULL]);
}

#[test]
fn steps_from_the_number_before() {
    let values = [i(10), NULL, i(15), s("a"), i(3), x(3.5)];
    check(F::Delta, &values, &[NULL, NULL, i(5), NULL, i(-12), x(0.5)]);
    check(F::Increase, &values, &[NULL, NULL, i(5), NULL, i(3), x(0.5)]);
    check(F::Rate, &values, &[NULL, NULL, x(2.5), NULL, x(1.5), x(0.5)]);
    gives(
        analytic(F::Rate, vec![v()]),
        &[(5, i(1)), (5, i(2)), (4, i(3)), (6, i(4))],
        &[NULL, NULL, NULL, x(0.5)],
    );
    let mut bench = Bench::new(vec![analytic(F::Delta, vec![v()])]);
    bench.row("d", 0, i(i64::MIN));
    assert_eq!(bench.row("d", 1, i(1)).0, [NULL]);
    assert_eq!(bench.env.undefined.get(), 1);
}

#[test]
fn time_in_state_counts_from_the_first_true_row() {
    let warm = Expr::Binary(BinaryOp::Gt, Box::new(v()), Box::new(constant(i(5))));
    let rows = [(0, i(1)), (1, i(6)), (3, i(7)), (2, i(7)), (4, NULL), (5, i(9)), (9, i(9)), (10, i(5))];
    let expected = [NULL, x(0.0), x(2.0), x(1.0), NULL, x(0.0), x(4.0), NULL];
    gives(analytic(F::TimeInState, vec![warm]), &rows, &expected);
    check(F::TimeInState, &[i(1), s("true")], &[NULL, NULL]);
}

#[test]
fn null_and_a_wrong_kind_from_the_first_row_on() {
    for function in ALL {
        let args = vec![if function == F::Delay { constant(i(0)) } else { v() }, v()];
        for value in [NULL, s("a"), Value::from_json(&serde_json::json!([{"a": 1}]))] {
            let mut bench = Bench::new(vec![analytic(function, args.clone())]);
            for second in [0, 1, 1] {
                bench.row("d", second, value.clone());
                bench.reopen();
            }
        }
        let mut bench = Bench::new(vec![analytic(function, vec![])]);
        bench.row("d", 0, NULL);
    }
}

#[test]
fn rows_that_when_holds_back_change_nothing() {
    let positive = Expr::Binary(BinaryOp::Gt, Box::new(v()), Box::new(constant(i(0))));
    let lag = Analytic { when: Some(positive.clone()), ..analytic(F::Lag, vec![v()]) };
    let rows = seconds(&[i(-1), i(1), i(2), i(-2), NULL, i(3)]);
    gives(lag, &rows, &[NULL, NULL, i(1), i(1), i(1), i(2)]);
    let sum = Analytic { when: Some(positive), ..per_device(F::AccSum, vec![v()]) };
    let mut bench = Bench::new(vec![sum]);
    assert_eq!(bench.row("a", 0, i(5)).0, [i(5)]);
    assert_eq!(bench.row("b", 1, i(-5)).0, [NULL]);
    bench.reopen();
    assert_eq!(bench.row("a", 2, i(-5)).0, [i(5)]);
}

#[test]
fn one_function_uses_those_before_it() {
    let lag = per_device(F::Lag, vec![v()]);
    let rose = Expr::Binary(BinaryOp::Gt, Box::new(v()), Box::new(Expr::Analytic(0)));
    let count = Analytic { when: Some(rose), ..per_device(F::RowNumber, vec![]) };
    let by_lag = Analytic { partition: vec![Expr::Analytic(0)], ..analytic(F::RowNumber, vec![]) };
    let mut bench = Bench::new(vec![lag, count, by_lag]);
    let mut row = |device: &str, value: i64| bench.row(device, 0, i(value)).0;
    assert_eq!(row("a", 1), [NULL, NULL, i(1)]);
    assert_eq!(row("a", 2), [i(1), i(1), i(1)]);
    assert_eq!(row("b", 9), [NULL, NULL, i(2)]);
    assert_eq!(row("a", 1), [i(2), i(1), i(1)]);
    assert_eq!(row("a", 5), [i(1), i(2), i(2)]);
}

#[test]
fn the_quietest_partitions_make_room() {
    let plan = vec![per_device(F::RowNumber, vec![]), per_device(F::Lag, vec![v()])];
    let mut bench = Bench::with(plan, usize::MAX);
    for n in 0..MOST {
        bench.row(&n.to_string(), 0, i(1));
    }
    assert_eq!(bench.row("0", 1, i(1)).0[0], i(2));
    assert_eq!(bench.row("new", 2, i(1)), (vec![i(1), NULL], 63), "a sixteenth");
    assert_eq!(bench.row("0", 3, i(1)).0[0], i(3));
    assert_eq!(bench.row("1", 4, i(1)).0[0], i(1), "it was the quietest");
    assert_eq!(bench.row("999", 5, i(1)).0[0], i(2));
}

#[test]
fn bytes_are_bounded() {
    let long = "a long text that takes bytes beyond its place".repeat(20);
    let mut bench = Bench::with(vec![per_device(F::Lag, vec![v()]), per_device(F::RowNumber, vec![])], 3_000);
    let mut refused = 0;
    for n in 0..100 {
        let (values, forgotten) = bench.row(&n.to_string(), n, s(&long));
        assert_eq!(values[1], i(1));
        refused += forgotten;
    }
    assert!((90..100).contains(&refused), "all but a few were forgotten: {refused}");
    let (values, refused) = bench.row("huge", 0, s(&long.repeat(10)));
    assert!(refused > 0, "it cannot be remembered");
    assert_eq!(values, [NULL, i(1)]);
    assert_eq!(bench.row("huge", 1, i(5)).0, [NULL, i(2)]);
    assert_eq!(bench.row("huge", 2, i(6)).0, [i(5), i(3)]);
    let mut none = Bench::with(vec![per_device(F::RowNumber, vec![])], 10);
    assert_eq!(none.row("a", 0, NULL), (vec![NULL], 1));
}

/// One of each, per device, each second one with WHEN.
fn each() -> Vec<Analytic> {
    let positive = Expr::Binary(BinaryOp::Gt, Box::new(v()), Box::new(constant(i(0))));
    let functions = ALL.into_iter().enumerate();
    functions
        .map(|(n, function)| {
            let args = match function {
                F::Lag => vec![v(), constant(i(2))],
                F::HadChanged | F::ChangedCol => vec![constant(TRUE), v()],
                F::Delay => vec![constant(i(1_500)), v()],
                F::Ewma => vec![v(), constant(i(2))],
                F::TimeInState => vec![positive.clone()],
                _ => vec![v()],
            };
            let when = (n % 2 == 1).then(|| positive.clone());
            Analytic { when, ..per_device(function, args) }
        })
        .collect()
}

fn any_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(NULL),
        (-5..5_i64).prop_map(i),
        (-5.0..5.0_f64).prop_map(x),
        any::<i64>().prop_map(i),
        Just(s("a text")),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn snapshots_change_nothing(
        rows in prop::collection::vec((0..3_usize, 0..9_i64, any_value(), any::<bool>()), 0..30),
        room in prop_oneof![Just(1_usize << 20), 0..20_000_usize],
    ) {
        let (mut straight, mut reopened) = (Bench::with(each(), room), Bench::with(each(), room));
        for (device, second, value, hit) in rows {
            let device = ["a", "b", "c"][device];
            let rows = [&mut straight, &mut reopened].map(|bench| bench.row(device, second, value.clone()));
            prop_assert_eq!(format!("{:?}", rows[0]), format!("{:?}", rows[1]));
            if hit {
                straight.hit(device, second);
                reopened.hit(device, second);
            }
            reopened.reopen();
        }
    }

    #[test]
    fn bytes_of_anything_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        for analytic in each() {
            let plan = vec![analytic];
            if let Ok(state) = Analytics::read(&plan, MOST, &mut Reader::new(&bytes)) {
                let mut budget = Budget::new(1 << 20);
                budget.charge(state.bytes());
                let mut bench = Bench { plan, state, budget, env: Env::default() };
                bench.row("a", 1, i(5));
                bench.hit("a", 1);
                bench.row("a", 2, s("b"));
            }
        }
    }

    #[test]
    fn partitions_keep_apart(rows in prop::collection::vec((any::<bool>(), 0..9_i64, any_value()), 0..30)) {
        let mut both = Bench::new(each());
        let (mut a, mut b) = (Bench::new(each()), Bench::new(each()));
        for (which, second, value) in rows {
            let (alone, name) = if which { (&mut a, "a") } else { (&mut b, "b") };
            let expected = alone.row(name, second, value.clone());
            prop_assert_eq!(format!("{:?}", both.row(name, second, value)), format!("{expected:?}"));
        }
    }
}
