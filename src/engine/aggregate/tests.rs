//! Each aggregate over small windows, and what holds for all of them: bytes are given back as they were
//! taken, snapshots read back at any point, the order of arrival does not show.

use super::*;
use crate::plan::logical::BinaryOp;
use proptest::prelude::*;

use AggregateFunction as F;

const ALL: [AggregateFunction; 23] = [
    F::Count,
    F::Sum,
    F::Avg,
    F::Min,
    F::Max,
    F::Collect,
    F::FirstValue,
    F::LastValue,
    F::MergeAgg,
    F::Deduplicate,
    F::Median,
    F::Stddev,
    F::Stddevs,
    F::Var,
    F::Vars,
    F::PercentileCont,
    F::PercentileDisc,
    F::Increase,
    F::Rate,
    F::Delta,
    F::Zscore,
    F::Slope,
    F::Predict,
];

const NULL: Value = Value::Null;

const fn i(i: i64) -> Value {
    Value::Int(i)
}

const fn x(x: f64) -> Value {
    Value::Float(x)
}

fn s(text: &str) -> Value {
    Value::str(text)
}

fn json(json: serde_json::Value) -> Value {
    Value::from_json(&json)
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_micros(second * 1_000_000)
}

fn aggregate(function: AggregateFunction, second: Option<Value>, distinct: bool) -> Aggregate {
    let mut args = vec![Expr::Field(0, 0)];
    args.extend(second.map(Expr::Const));
    Aggregate { function, args, filter: None, distinct }
}

/// Takes in readings of these seconds, with as much room as it wants.
fn over(aggregate: &Aggregate, readings: &[(i64, Value)], env: &Env) -> Value {
    let mut acc = Accumulator::new(aggregate);
    let mut budget = Budget::new(1 << 20);
    for (second, value) in readings {
        let sides = [std::slice::from_ref(value)];
        let given = input(aggregate, Scope::row(&sides, &[], env)).unwrap();
        assert!(acc.add(aggregate, &given, at(*second), &mut budget));
        assert_eq!(acc.bytes(), budget.used());
    }
    acc.value(aggregate, env)
}

#[track_caller]
fn same(got: &Value, expected: &Value) {
    assert_eq!(format!("{got:?}"), format!("{expected:?}"));
}

/// The values a second apart.
#[track_caller]
fn check(function: AggregateFunction, values: &[Value], expected: Value) {
    check_with(function, None, values, expected);
}

#[track_caller]
fn check_with(function: AggregateFunction, second: Option<Value>, values: &[Value], expected: Value) {
    let readings: Vec<(i64, Value)> = (0..).zip(values.iter().cloned()).collect();
    same(&over(&aggregate(function, second, false), &readings, &Env::default()), &expected);
}

#[track_caller]
fn timed(function: AggregateFunction, second: Option<Value>, readings: &[(i64, Value)], expected: Value) {
    same(&over(&aggregate(function, second, false), readings, &Env::default()), &expected);
}

#[test]
fn nothing_and_nulls() {
    for function in ALL {
        let empty = if function == F::Count { i(0) } else { NULL };
        let second = matches!(function, F::PercentileCont | F::PercentileDisc).then_some(x(0.5));
        check_with(function, second.clone(), &[], empty.clone());
        match function {
            F::Collect => check(function, &[NULL], json(serde_json::json!([null]))),
            _ => check_with(function, second.clone(), &[NULL, NULL], empty.clone()),
        }
    }
}

#[test]
fn a_wrong_kind_is_passed_over() {
    for function in ALL {
        let second = matches!(function, F::PercentileCont | F::PercentileDisc).then_some(x(0.5));
        let takes_text = matches!(function, F::Count | F::Min | F::Max | F::Collect | F::Deduplicate)
            || function == F::PercentileDisc
            || matches!(function, F::FirstValue | F::LastValue);
        if !takes_text {
            check_with(function, second, &[s("a"), Value::Bool(true), s("9")], NULL);
        }
    }
    check(F::Count, &[s("a"), NULL, i(1)], i(2));
    check(F::Min, &[s("b"), s("a")], s("a"));
    check(F::Sum, &[s("5"), i(2)], i(2));
    check(F::Median, &[s("5"), i(2)], x(2.0));
}

#[test]
fn sums_are_exact_where_they_can_be() {
    check(F::Sum, &[i(1), i(2)], i(3));
    check(F::Sum, &[i(i64::MAX), i(1)], x(9_223_372_036_854_775_808.0));
    check(F::Sum, &[i(i64::MAX), i(1), i(-1)], i(i64::MAX));
    check(F::Sum, &[i(1), x(0.5)], x(1.5));
    check(F::Sum, &[x(1e100), x(1.0), x(-1e100)], x(1.0));
    check(F::Sum, &vec![x(0.1); 10], x(1.0));
    check(F::Avg, &[i(1), i(2)], x(1.5));
    check(F::Avg, &[x(0.1), x(0.1), x(0.1)], x(0.1));
    check(F::Avg, &[i(i64::MAX), i(i64::MAX)], x(9_223_372_036_854_775_807.0));
}

#[test]
fn what_is_not_finite_is_null_and_counted() {
    let huge = [(0, x(f64::MAX)), (1, x(-f64::MAX)), (2, x(f64::MAX)), (3, x(f64::MAX))];
    for function in [F::Sum, F::Avg, F::Var, F::Vars, F::Stddev, F::Stddevs, F::Increase] {
        let env = Env::default();
        assert!(over(&aggregate(function, None, false), &huge, &env).is_null(), "{function:?}");
        assert_eq!(env.undefined.get(), 1, "{function:?}");
    }
    let env = Env::default();
    let far = [(0, i(i64::MIN)), (1, i(i64::MAX))];
    assert!(over(&aggregate(F::Delta, None, false), &far, &env).is_null());
    assert_eq!(env.undefined.get(), 1);
    same(&over(&aggregate(F::Increase, None, false), &far, &env), &x(18_446_744_073_709_551_616.0));
    assert_eq!(env.undefined.get(), 1);
}

#[test]
fn extremes_distinct_and_filter() {
    check(F::Min, &[i(3), x(1.5), NULL], x(1.5));
    check(F::Max, &[i(3), x(1.5)], i(3));
    check(F::Max, &[i(3), s("a")], i(3));
    check(F::Max, &[i(i64::MAX - 1), x(9.2e18), i(i64::MAX)], i(i64::MAX));
    let distinct = |function, values: &[Value]| {
        let readings: Vec<(i64, Value)> = (0..).zip(values.iter().cloned()).collect();
        over(&aggregate(function, None, true), &readings, &Env::default())
    };
    same(&distinct(F::Count, &[i(1), x(1.0), i(2)]), &i(2));
    same(&distinct(F::Sum, &[i(1), i(1), i(2)]), &i(3));
    same(&distinct(F::Avg, &[i(1), i(1), i(2)]), &x(1.5));
    same(&distinct(F::Var, &[i(1), i(1), i(3)]), &x(1.0));
    same(&distinct(F::Median, &[i(1), i(1), i(1), i(5)]), &x(3.0));
    let collected = distinct(F::Collect, &[s("b"), NULL, s("a"), s("b"), NULL]);
    same(&collected, &json(serde_json::json!(["b", null, "a"])));

    let positive = Expr::Binary(BinaryOp::Gt, Box::new(Expr::Field(0, 0)), Box::new(Expr::Const(i(0))));
    let count = Aggregate { function: F::Count, args: vec![], filter: Some(positive), distinct: false };
    let env = Env::default();
    let passes = |value: Value| input(&count, Scope::row(&[&[value]], &[], &env)).is_some();
    assert!(passes(i(1)) && !passes(i(-1)) && !passes(NULL));
}

#[test]
fn first_last_and_all_go_by_time() {
    let late = [(5, i(5)), (1, i(1)), (9, NULL), (5, i(6)), (0, NULL)];
    timed(F::Collect, None, &late, json(serde_json::json!([null, 1, 5, 6, null])));
    timed(F::FirstValue, None, &late, NULL);
    timed(F::FirstValue, Some(Value::Bool(true)), &late, i(1));
    timed(F::LastValue, None, &late, NULL);
    timed(F::LastValue, Some(Value::Bool(true)), &late, i(6));
    timed(F::FirstValue, None, &[(1, s("a")), (1, s("b"))], s("a"));
    timed(F::LastValue, None, &[(1, s("a")), (1, s("b"))], s("b"));
}

#[test]
fn objects_are_merged_member_by_member() {
    let object = |json: serde_json::Value| Value::from_json(&json);
    let parts = [
        (2, object(serde_json::json!({"a": 2, "b": 2}))),
        (1, object(serde_json::json!({"a": 1, "c": null}))),
        (2, object(serde_json::json!({"b": 3}))),
        (3, s("no object")),
    ];
    timed(F::MergeAgg, None, &parts, object(serde_json::json!({"a": 2, "b": 3, "c": null})));
    check(F::MergeAgg, &[object(serde_json::json!({}))], object(serde_json::json!({})));
}

#[test]
fn duplicates_go_and_the_new_shows() {
    let array = |json: serde_json::Value| Value::from_json(&json);
    check(F::Deduplicate, &[i(2), i(1), x(2.0), NULL], array(serde_json::json!([2, 1])));
    timed(
        F::Deduplicate,
        Some(Value::Bool(true)),
        &[(5, i(5)), (1, i(1)), (0, i(5))],
        array(serde_json::json!([5, 1])),
    );
    let newest = |readings: &[(i64, Value)], expected| {
        timed(F::Deduplicate, Some(Value::Bool(false)), readings, expected);
    };
    newest(&[(1, i(1)), (2, i(2))], i(2));
    newest(&[(1, i(2)), (2, i(2))], NULL);
    newest(&[(2, i(2)), (1, i(2))], NULL);
    newest(&[(2, i(2)), (1, i(1))], i(2));
    newest(&[(1, i(2)), (3, i(3)), (2, i(3))], NULL);
    newest(&[(1, i(1)), (1, i(1))], NULL);
    newest(&[], NULL);
}

#[test]
fn ranks() {
    check(F::Median, &[i(3), i(1), i(2)], x(2.0));
    check(F::Median, &[i(4), i(1), i(2), i(3)], x(2.5));
    check_with(F::PercentileCont, Some(x(0.9)), &[i(0), i(10)], x(9.0));
    check_with(F::PercentileDisc, Some(x(0.9)), &[i(0), i(10)], i(10));
    check_with(F::PercentileDisc, Some(i(0)), &[i(7), i(3)], i(3));
    check_with(F::PercentileDisc, Some(i(1)), &[i(7), i(3)], i(7));
    check_with(F::PercentileDisc, Some(x(0.5)), &[i(1), i(1), i(2)], i(1));
    check_with(F::PercentileDisc, Some(x(0.5)), &[s("c"), s("a"), s("b"), NULL], s("b"));
    check_with(F::PercentileDisc, Some(x(0.5)), &[json(serde_json::json!([1]))], NULL);
}

#[test]
fn spread() {
    let values = [i(2), i(4), i(4), i(4), i(5), i(5), i(7), i(9)];
    check(F::Var, &values, x(4.0));
    check(F::Stddev, &values, x(2.0));
    check(F::Vars, &values, x(32.0 / 7.0));
    check(F::Stddevs, &values, x((32.0_f64 / 7.0).sqrt()));
    check(F::Stddev, &[i(5)], x(0.0));
    check(F::Stddevs, &[i(5)], NULL);
    check(F::Var, &[x(0.1), x(0.1), x(0.1)], x(0.0));
    check(F::Zscore, &values, x(2.0));
    check(F::Zscore, &[i(5)], NULL);
    check(F::Zscore, &[i(5), i(5)], NULL);
    timed(F::Zscore, None, &[(9, i(3)), (1, i(1))], x(1.0));
}

#[test]
fn counters() {
    check(F::Increase, &[i(10), i(15), i(3), i(4)], i(9));
    check(F::Increase, &[i(10)], NULL);
    check(F::Increase, &[i(10), i(10)], i(0));
    check(F::Increase, &[x(0.5), i(2)], x(1.5));
    check(F::Increase, &[i(1), NULL, i(4)], i(3));
    timed(F::Increase, None, &[(3, i(3)), (1, i(1)), (2, i(9))], i(11));
    timed(F::Rate, None, &[(0, i(0)), (10, i(5)), (20, i(2))], x(0.35));
    timed(F::Rate, None, &[(5, i(0)), (5, i(7))], NULL);
    check(F::Rate, &[i(10)], NULL);
    check(F::Delta, &[i(10), i(99), i(4)], i(-6));
    check(F::Delta, &[i(10)], NULL);
    timed(F::Delta, None, &[(3, i(3)), (1, x(0.5))], x(2.5));
    timed(F::Delta, None, &[(1, i(3)), (1, i(5))], i(2));
}

#[test]
fn lines() {
    let readings: Vec<(i64, Value)> = (0..5).map(|n| (n * 10, i(n * 5))).collect();
    timed(F::Slope, None, &readings, x(0.5));
    timed(F::Predict, Some(i(60)), &readings, x(50.0));
    timed(F::Predict, Some(s("1m")), &readings, x(50.0));
    timed(F::Predict, Some(i(0)), &readings, x(20.0));
    timed(F::Slope, None, &[(1, i(1)), (1, i(2))], NULL);
    timed(F::Slope, None, &[(1, i(1))], NULL);
    timed(F::Predict, Some(i(60)), &[(1, i(1))], NULL);
    timed(F::Slope, None, &[(0, i(3)), (10, i(3))], x(0.0));
}

#[test]
fn says_when_it_has_no_room() {
    let count = aggregate(F::Count, None, true);
    let mut acc = Accumulator::new(&count);
    let mut budget = Budget::new(i(1).bytes());
    let mut add = |n: i64| acc.add(&count, &[i(n), NULL], Timestamp::default(), &mut budget);
    assert!(add(1));
    assert!(add(1));
    assert!(!add(2));
    same(&acc.value(&count, &Env::default()), &i(1));
    assert_eq!(acc.bytes(), budget.used());
}

/// One of each, with and without DISTINCT.
fn each() -> impl Iterator<Item = Aggregate> {
    ALL.into_iter().flat_map(|function| {
        let second = match function {
            F::PercentileCont | F::PercentileDisc => Some(x(0.3)),
            F::Predict => Some(i(10)),
            F::Deduplicate => Some(Value::Bool(false)),
            _ => None,
        };
        [false, true].map(|distinct| aggregate(function, second.clone(), distinct))
    })
}

fn written(acc: &Accumulator) -> Vec<u8> {
    let mut out = Writer::default();
    acc.write(&mut out);
    out.into_bytes()
}

/// A value of any kind that an aggregate meets.
fn any_value() -> impl Strategy<Value = Value> {
    let text = prop::sample::select(vec!["a", "b", "a longer text, which takes bytes beyond its place"]);
    prop_oneof![
        Just(NULL),
        (-5..5_i64).prop_map(i),
        (-5.0..5.0_f64).prop_map(x),
        any::<i64>().prop_map(i),
        text.clone().prop_map(s),
        (text, -3..3_i64).prop_map(|(name, n)| json(serde_json::json!({ name: n }))),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn bytes_and_snapshots_hold_at_any_point(
        readings in prop::collection::vec((0..5_i64, any_value()), 0..20),
        room in prop_oneof![Just(1_usize << 20), 0..400_usize],
    ) {
        for aggregate in each() {
            let (mut acc, mut budget) = (Accumulator::new(&aggregate), Budget::new(room));
            let env = Env::default();
            for (second, value) in &readings {
                let sides = [std::slice::from_ref(value)];
                let given = input(&aggregate, Scope::row(&sides, &[], &env)).unwrap();
                let _fits: bool = acc.add(&aggregate, &given, at(*second), &mut budget);
                prop_assert_eq!(acc.bytes(), budget.used(), "{:?}", aggregate);
                let bytes = written(&acc);
                let mut from = Reader::new(&bytes);
                let back = Accumulator::read(&aggregate, &mut from).unwrap();
                prop_assert!(from.is_at_end());
                prop_assert_eq!(back.bytes(), acc.bytes());
                let values = [&acc, &back].map(|acc| format!("{:?}", acc.value(&aggregate, &env)));
                prop_assert_eq!(&values[0], &values[1], "{:?}", aggregate);
                acc = back;
            }
        }
    }

    #[test]
    fn bytes_of_anything_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
        for aggregate in each() {
            if let Ok(acc) = Accumulator::read(&aggregate, &mut Reader::new(&bytes)) {
                let mut acc = acc;
                let mut budget = Budget::new(1 << 20);
                budget.charge(acc.bytes());
                let _fits: bool = acc.add(&aggregate, &[i(5), NULL], at(1), &mut budget);
                let _value: Value = acc.value(&aggregate, &Env::default());
            }
        }
    }

    #[test]
    fn order_of_arrival_does_not_show(
        values in prop::collection::vec(-1_000..1_000_i64, 1..15),
        turn in any::<prop::sample::Index>(),
    ) {
        let mut readings: Vec<(i64, Value)> =
            (0..).zip(values.iter().map(|n| x(*n as f64 / 8.0))).collect();
        // The planner lets DISTINCT stand only where the times of what it leaves out do not matter.
        let timed = |f| matches!(f, F::Increase | F::Rate | F::Delta | F::Zscore | F::Slope | F::Predict);
        for aggregate in each().filter(|a| !(a.distinct && timed(a.function))) {
            let straight = over(&aggregate, &readings, &Env::default());
            let turn = turn.index(readings.len());
            readings.rotate_left(turn);
            readings.reverse();
            let turned = over(&aggregate, &readings, &Env::default());
            readings.reverse();
            readings.rotate_right(turn);
            prop_assert_eq!(format!("{straight:?}"), format!("{turned:?}"), "{:?}", aggregate);
        }
    }
}
