//! The index against a look at every reader: many conditions, few constants, readers that come and go
//! between rows.

use proptest::prelude::*;

use super::*;
use crate::engine::expr::{Env, Scope, holds};
use crate::engine::tests::each;
use crate::model::time::Timestamp;
use crate::plan::logical::{BinaryOp, Expr, RulePlan, UnaryOp};

const SLOTS: usize = 4;

pub(in crate::engine) fn value() -> impl Strategy<Value = Value> {
    const BIG: i64 = 1 << 53;
    prop_oneof![
        3 => (-3_i64..4).prop_map(Value::Int),
        3 => (-6_i32..7).prop_map(|half| Value::Float(f64::from(half) / 2.0)),
        3 => prop::sample::select(vec!["", "a", "ab", "abc", "b", "ä", "äb"]).prop_map(Value::str),
        1 => any::<bool>().prop_map(Value::Bool),
        1 => Just(Value::Null),
        1 => (0_i64..2).prop_map(|at| Value::Time(Timestamp::from_micros(at))),
        1 => (BIG - 2..BIG + 4).prop_map(Value::Int),
        1 => (-BIG - 3..-BIG + 3).prop_map(Value::Int),
        1 => prop::sample::select(vec![
            9_007_199_254_740_992.0, 9_007_199_254_740_994.0, -9_007_199_254_740_992.0, -0.0, f64::MAX,
            f64::MIN, 5e-324, 9.3e18,
        ])
        .prop_map(Value::Float),
        1 => prop::sample::select(vec![i64::MAX, i64::MAX - 1, i64::MIN]).prop_map(Value::Int),
        1 => Just(Value::Array([Value::Null, Value::Int(1)].into())),
        1 => Just(Value::Array([Value::Int(1)].into())),
    ]
}

fn comparison() -> impl Strategy<Value = BinaryOp> {
    use BinaryOp::{Eq, Ge, Gt, Le, Lt, Ne};
    prop::sample::select(vec![Eq, Eq, Eq, Ne, Lt, Le, Gt, Ge])
}

fn field() -> impl Strategy<Value = Box<Expr>> {
    prop_oneof![
        (0..SLOTS).prop_map(|slot| Box::new(Expr::Field(0, slot))),
        // Columns 0 and 1 are fields; the third is no atom.
        (0..3_usize).prop_map(|column| Box::new(Expr::Column(column))),
    ]
}

fn constant() -> impl Strategy<Value = Box<Expr>> {
    value().prop_map(|value| Box::new(Expr::Const(value)))
}

fn atom() -> impl Strategy<Value = Expr> {
    let pattern = prop::sample::select(vec!["a%", "ab", "%", "a_", "ä%", "a%c", "a!%", "", "b%%"]);
    prop_oneof![
        8 => (comparison(), field(), constant()).prop_map(|(op, a, b)| Expr::Binary(op, a, b)),
        2 => (comparison(), constant(), field()).prop_map(|(op, a, b)| Expr::Binary(op, a, b)),
        1 => (comparison(), field(), field()).prop_map(|(op, a, b)| Expr::Binary(op, a, b)),
        2 => (field(), prop::collection::vec(constant(), 1..4))
            .prop_map(|(a, list)| Expr::In(a, list.into_iter().map(|c| *c).collect())),
        2 => (field(), pattern, any::<bool>()).prop_map(|(text, pattern, escape)| Expr::Like {
            text,
            pattern: Box::new(Expr::Const(Value::str(pattern))),
            escape: escape.then_some('!'),
        }),
        1 => field().prop_map(Expr::IsNull),
        1 => field().prop_map(|field| *field),
        1 => value().prop_map(Expr::Const),
    ]
}

pub(in crate::engine) fn expr() -> impl Strategy<Value = Expr> {
    atom().prop_recursive(3, 12, 4, |inner| {
        let list = || prop::collection::vec(inner.clone(), 2..4);
        prop_oneof![
            3 => list().prop_map(Expr::And),
            2 => list().prop_map(Expr::Or),
            1 => inner.clone().prop_map(|a| Expr::Unary(UnaryOp::Not, Box::new(a))),
            1 => (inner.clone(), any::<bool>()).prop_map(|(a, b)| Expr::IsBool(Box::new(a), b)),
            1 => inner.clone().prop_map(|a| Expr::IsNull(Box::new(a))),
        ]
    })
}

fn rule() -> RulePlan {
    let abs = Expr::Case {
        branches: vec![(Expr::IsNull(Box::new(Expr::Field(0, 2))), Expr::Const(Value::Int(1)))],
        otherwise: Some(Box::new(Expr::Field(0, 2))),
    };
    let mut rule = RulePlan::clone(&each().planned());
    rule.project = vec![Expr::Field(0, 0), Expr::Field(0, 1), abs];
    rule.visible = 3;
    rule
}

/// Columns as what they stand for.
fn written_out(expr: &Expr, project: &[Expr]) -> Expr {
    let all = |list: &[Expr]| list.iter().map(|e| written_out(e, project)).collect();
    let one = |e: &Expr| Box::new(written_out(e, project));
    match expr {
        Expr::Column(column) => project[*column].clone(),
        Expr::And(list) => Expr::And(all(list)),
        Expr::Or(list) => Expr::Or(all(list)),
        Expr::Unary(op, a) => Expr::Unary(*op, one(a)),
        Expr::IsBool(a, b) => Expr::IsBool(one(a), *b),
        Expr::IsNull(a) => Expr::IsNull(one(a)),
        Expr::Binary(op, a, b) => Expr::Binary(*op, one(a), one(b)),
        Expr::In(a, list) => Expr::In(one(a), all(list)),
        Expr::Like { text, pattern, escape } => {
            Expr::Like { text: one(text), pattern: one(pattern), escape: *escape }
        }
        other => other.clone(),
    }
}

#[derive(Clone, Debug)]
enum Step {
    Add(Expr),
    Remove(prop::sample::Index),
    Rows(Vec<Vec<Value>>),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => expr().prop_map(Step::Add),
        1 => any::<prop::sample::Index>().prop_map(Step::Remove),
        2 => prop::collection::vec(prop::collection::vec(value(), SLOTS), 1..6).prop_map(Step::Rows),
    ]
}

fn check(index: &mut Index, known: &[(u32, Expr, Condition)], slots: &[Value], project: &[Expr]) {
    let mut out = Vec::new();
    index.candidates(slots, &mut out);
    assert!(out.windows(2).all(|pair| pair[0].reader() < pair[1].reader()), "in order, each once");
    let env = Env::default();
    let sides = [slots];
    let scope = Scope::row(&sides, &[], &env);
    for (reader, expr, condition) in known {
        let found = out.iter().find(|candidate| candidate.reader() == *reader);
        let holds = holds(&written_out(expr, project), scope);
        let shown = || format!("{expr:?} over {slots:?}: {condition:?}");
        match found {
            None => assert!(!holds, "missing: {}", shown()),
            Some(found) if found.is_proved() => assert!(holds, "not proved: {}", shown()),
            Some(_) => {
                let exact = condition.any.iter().all(|conjunction| conjunction.exact);
                assert!(holds || !exact, "given though it is false: {}", shown());
            }
        }
    }
    let readers = known.iter().map(|(reader, ..)| *reader).collect::<Vec<_>>();
    assert!(out.iter().all(|candidate| readers.contains(&candidate.reader())));
    for seen in 0..1 << SLOTS {
        let told: Vec<(usize, &Value)> =
            slots.iter().enumerate().filter(|(at, _)| seen >> at & 1 == 1).collect();
        assert!(out.is_empty() || index.cares(&told), "of those slots {seen:b}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 120, ..ProptestConfig::default() })]

    #[test]
    fn it_gives_those_whose_condition_is_true(
        steps in prop::collection::vec(step(), 1..60),
        early in prop::collection::vec(any::<bool>(), 0..SLOTS),
        again in 1..80_usize,
    ) {
        let rule = rule();
        let mut index = Index::new(early);
        let mut known: Vec<(u32, Expr, Condition)> = Vec::new();
        for (n, step) in steps.into_iter().enumerate() {
            match step {
                Step::Add(expr) => {
                    let condition = Terms::new(&rule).truth(&expr, true);
                    // Readers come back under numbers that were others'.
                    let reader = (0..).find(|r| known.iter().all(|(k, ..)| k != r)).unwrap();
                    let reader = if n % 3 == 0 { reader } else { 100 + u32::try_from(n).unwrap() };
                    index.insert(reader, condition.clone());
                    known.push((reader, expr, condition));
                }
                Step::Remove(which) if !known.is_empty() => {
                    let (reader, _, condition) = known.swap_remove(which.index(known.len()));
                    index.remove(reader, &condition);
                }
                Step::Remove(_) => {}
                Step::Rows(rows) => {
                    for slots in rows {
                        // As often as it takes to choose other access predicates.
                        for _ in 0..again {
                            index.candidates(&slots, &mut Vec::new());
                        }
                        check(&mut index, &known, &slots, &rule.project);
                    }
                }
            }
            let entries: usize = known.iter().map(|(_, _, condition)| condition.any.len()).sum();
            prop_assert_eq!(index.len(), entries);
        }
        for (reader, _, condition) in known {
            for placed in index.placed(reader, &condition) {
                prop_assert!(placed.cluster >= placed.beside && placed.beside >= 1, "{placed:?}");
            }
            index.remove(reader, &condition);
        }
        prop_assert_eq!((index.len(), index.clusters.len(), index.residuals.len()), (0, 0, 0));
        prop_assert!(index.root.0.is_empty());
    }

    #[test]
    fn thousands_of_thresholds_stand_in_order(
        mut keys in prop::collection::vec((0..300_i64, any::<bool>()), 1..3_000),
        gone in 0..3_000_usize,
    ) {
        let above = |key: i64, strict: bool| {
            let op = if strict { BinaryOp::Gt } else { BinaryOp::Ge };
            Expr::Binary(op, Box::new(Expr::Field(0, 0)), Box::new(Expr::Const(Value::Int(key))))
        };
        let rule = rule();
        let mut index = Index::new(Vec::new());
        for (reader, (key, strict)) in keys.iter().enumerate() {
            let condition = Terms::new(&rule).truth(&above(*key, *strict), true);
            index.insert(u32::try_from(reader).unwrap(), condition);
        }
        let gone = gone.min(keys.len());
        for (reader, (key, strict)) in keys.drain(..gone).enumerate() {
            index.remove(u32::try_from(reader).unwrap(), &Terms::new(&rule).truth(&above(key, strict), true));
        }
        prop_assert_eq!(index.len(), keys.len());
        for value in [-1_i64, 0, 150, 299, 300] {
            let mut out = Vec::new();
            index.candidates(&[Value::Int(value)], &mut out);
            let passes = |(key, strict): &(i64, bool)| value > *key || (!strict && value == *key);
            let expected: Vec<usize> =
                (0..keys.len()).filter(|at| passes(&keys[*at])).map(|at| gone + at).collect();
            let found: Vec<usize> = out.iter().map(|c| c.reader() as usize).collect();
            prop_assert_eq!(found, expected);
            prop_assert!(out.iter().all(|candidate| candidate.is_proved()));
        }
    }
}

fn equals(slot: usize, value: i64) -> Expr {
    Expr::Binary(BinaryOp::Eq, Box::new(Expr::Field(0, slot)), Box::new(Expr::Const(Value::Int(value))))
}

#[test]
fn an_access_predicate_that_lets_too_much_through_is_replaced() {
    let rule = rule();
    let mut index = Index::new(Vec::new());
    let both = Expr::And(vec![equals(0, 1), equals(1, 7)]);
    let condition = Terms::new(&rule).truth(&both, true);
    index.insert(0, condition.clone());
    let chosen = |index: &Index| index.placed(0, &condition)[0].equal.as_ref().unwrap().slot;
    assert_eq!(chosen(&index), 0, "as it was written");
    let mut out = Vec::new();
    for _ in 0..1_000 {
        index.candidates(&[Value::Int(1), Value::Int(8)], &mut out);
        assert!(out.is_empty());
    }
    assert_eq!(chosen(&index), 1, "every row has the first, none the second");
    index.candidates(&[Value::Int(1), Value::Int(7)], &mut out);
    assert!(out.len() == 1 && out[0].is_proved());
}

#[test]
fn what_the_topic_tells_leads_where_it_can() {
    let rule = rule();
    let mut index = Index::new(vec![false, true]);
    for device in 0..10 {
        let both = Expr::And(vec![equals(0, device), equals(1, device)]);
        index.insert(u32::try_from(device).unwrap(), Terms::new(&rule).truth(&both, true));
    }
    assert!(index.cares(&[(1, &Value::Int(3))]));
    assert!(!index.cares(&[(1, &Value::Int(10))]));
    assert!(index.cares(&[(0, &Value::Int(10))]), "it is not asked for");
    assert!(index.cares(&[]));
    index.insert(20, Terms::new(&rule).truth(&Expr::IsNull(Box::new(Expr::Field(0, 3))), true));
    assert!(index.cares(&[(1, &Value::Int(10))]), "a reader that any row may matter to");
}
