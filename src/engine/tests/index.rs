//! With an index and without: the same observations, and the same accounts, whatever the rules are and
//! whenever they change.

use super::*;
use crate::engine::index::tests::{expr, value};

/// Random conditions as WHERE and as `when`, in rules of every kind.
fn rules() -> impl Strategy<Value = Vec<RulePlan>> {
    let term = prop_oneof![
        4 => expr(),
        // These have no value where `v` is 0, or too large.
        1 => (-2_i64..3).prop_map(|than| {
            let ratio = Expr::Binary(BinaryOp::Div, Box::new(Expr::Const(Value::Int(1))), Box::new(field(1)));
            compare(BinaryOp::Ge, ratio, than)
        }),
        1 => (-2_i64..3).prop_map(|than| {
            let twice = Expr::Binary(BinaryOp::Mul, Box::new(field(1)), Box::new(Expr::Const(Value::Int(2))));
            compare(BinaryOp::Lt, twice, than)
        }),
    ];
    let device = prop::sample::select(vec!["a", "b", "c"]);
    let device = device.prop_map(|name| {
        Expr::Binary(BinaryOp::Eq, Box::new(field(0)), Box::new(Expr::Const(Value::str(name))))
    });
    let terms = prop::collection::vec(prop_oneof![1 => device, 2 => term], 0..4);
    let rule = (terms, expr(), 0..9_usize, 0..40_usize).prop_map(|(terms, when, kind, name)| {
        let filter = terms.into_iter().map(|term| over_rows(&term)).collect::<Vec<_>>();
        let filter = match filter.len() {
            0 => None,
            1 => filter.into_iter().next(),
            _ => Some(Expr::And(filter)),
        };
        let when = Some(over_columns(&when));
        let rule = match kind {
            0 => RulePlan { when: None, alert: alert("", 1, OCCURRENCE), ..each() },
            1 => tumble(),
            2 => mixed(),
            3 => ordered::windowed(ordered::count(2, 1)),
            4 | 5 => {
                // Some of what is asked is asked of what the function says.
                let said =
                    |expr: &Expr| replaced(expr, &|part| (*part == field(1)).then_some(Expr::Analytic(0)));
                let back = RulePlan { analytics: vec![lag()], ..each() };
                let filter = filter.map(|filter| said(&filter));
                let rule = match kind {
                    4 => RulePlan { when: None, alert: alert("", 1, OCCURRENCE), ..back },
                    _ => RulePlan { when, project: vec![Expr::Analytic(0), field(0)], visible: 1, ..back },
                };
                let state = u64::try_from(name).unwrap();
                let alert = AlertSpec { rule: format!("r{name}").into(), ..rule.alert.clone() };
                return RulePlan { filter, state, alert, ..rule };
            }
            _ => RulePlan { when, project: vec![field(1), field(0)], visible: 1, ..each() },
        };
        let state = u64::try_from(name).unwrap();
        let alert = AlertSpec { rule: format!("r{name}").into(), ..rule.alert.clone() };
        RulePlan { filter, state, alert, ..rule }
    });
    prop::collection::vec(rule, 1..20).prop_map(|rules| {
        let mut known = std::collections::BTreeSet::new();
        rules.into_iter().filter(|rule| known.insert(rule.alert.rule.to_string())).collect()
    })
}

fn field(slot: usize) -> Expr {
    Expr::Field(0, slot)
}

fn lag() -> Analytic {
    Analytic { function: AnalyticFunction::Lag, args: vec![field(1)], partition: Vec::new(), when: None }
}

/// The expression with fields in the place of columns.
fn over_rows(expr: &Expr) -> Expr {
    replaced(expr, &|part| match part {
        Expr::Column(column) => Some(field(column % 2)),
        _ => None,
    })
}

/// The expression with columns in the place of fields.
fn over_columns(expr: &Expr) -> Expr {
    replaced(expr, &|part| match part {
        Expr::Field(_, slot) => Some(Expr::Column(slot % 2)),
        Expr::Column(column) => Some(Expr::Column(column % 2)),
        _ => None,
    })
}

fn replaced(expr: &Expr, with: &dyn Fn(&Expr) -> Option<Expr>) -> Expr {
    if let Some(other) = with(expr) {
        return other;
    }
    let all = |list: &[Expr]| list.iter().map(|e| replaced(e, with)).collect();
    let one = |e: &Expr| Box::new(replaced(e, with));
    match expr {
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

fn reading() -> impl Strategy<Value = Row> {
    let device =
        prop_oneof![3 => prop::sample::select(vec!["a", "b", "c", ""]).prop_map(Value::str), 1 => value()];
    (device, value(), 0..60_i64, prop::bool::weighted(0.1)).prop_map(|(device, v, at, retained)| {
        let time = Timestamp::from_micros(at * SECOND);
        Row { slots: [device, v, Value::Time(time)].into(), time, retained }
    })
}

/// `SELECT v, device FROM s WHERE v IS NOT NULL`, `when: device = 'a' AND v > 10`.
fn guarded() -> RulePlan {
    let a = Expr::Const(Value::str("a"));
    let on_a = Expr::Binary(BinaryOp::Eq, Box::new(Expr::Column(1)), Box::new(a));
    RulePlan {
        filter: Some(Expr::Unary(
            crate::plan::logical::UnaryOp::Not,
            Box::new(Expr::IsNull(Box::new(field(1)))),
        )),
        project: vec![field(1), field(0)],
        visible: 1,
        when: Some(Expr::And(vec![on_a, compare(BinaryOp::Gt, Expr::Column(0), 10)])),
        ..each()
    }
}

#[test]
fn an_engine_that_is_watched_gives_what_raises_and_what_an_active_alert_waits_for() {
    for index in [true, false] {
        let config = Config { watched: true, index, ..Config::default() };
        let mut bench = Bench::with(stream(), vec![guarded()], config);
        let (a, b) = (Value::str("a"), Value::str("b"));
        bench.row("a", 5, 1, 0).row("b", 11, 1, 0).gives(&[]);
        bench.row("a", 11, 2, 0).gives(&["@2 11 tf"]);
        if index {
            assert!(bench.engine.cares(0, &[(0, &a)]) && !bench.engine.cares(0, &[(0, &b)]));
            assert!(bench.engine.cares(0, &[(1, &Value::Int(1))]));
        }
        bench.engine.watch(0, std::slice::from_ref(&b), true);
        bench.row("b", 1, 3, 0).row("a", 1, 3, 0).row("b", None, 4, 0).gives(&["@3 1 ft"]);
        bench.row("a", 12, 1, 0);
        assert_eq!(bench.out.drain(..).map(|seen| seen.order).collect::<Vec<_>>(), [Order::Older]);
        bench.engine.watch(0, std::slice::from_ref(&b), false);
        bench.row("b", 1, 5, 0).gives(&[]);
        assert_eq!(bench.account().matched, 2);
    }
}

#[test]
fn where_a_rule_stands_can_be_asked() {
    let hot = RulePlan { when: Some(compare(BinaryOp::Gt, Expr::Column(0), 60)), ..guarded() };
    let ratio = Expr::Binary(BinaryOp::Div, Box::new(field(1)), Box::new(Expr::Const(Value::Int(2))));
    let opaque = RulePlan { filter: Some(compare(BinaryOp::Gt, ratio, 1)), ..each() };
    let b = Box::new(Expr::Const(Value::str("b")));
    let was_b = Expr::Binary(BinaryOp::Eq, Box::new(Expr::Analytic(0)), b);
    let after_b = RulePlan { analytics: vec![lag()], filter: Some(was_b), ..each() };
    let hits = Analytic { function: AnalyticFunction::LastHitCount, args: Vec::new(), ..lag() };
    let counts = RulePlan { analytics: vec![hits], ..each() };
    let rules = vec![guarded(), guarded(), hot, opaque, tumble(), after_b, counts];
    let config = Config { watched: true, ..Config::default() };
    let engine = Engine::new(plan(stream(), rules), config);
    let text = |rule: usize| {
        let placements = engine.placements(rule);
        let of = |way: &Way| {
            let part = |part: &Option<String>| part.clone().unwrap_or("-".into());
            let rest = way.residual.join(", ");
            format!(
                "{} | {} | {rest} | {} {}",
                part(&way.equal),
                part(&way.threshold),
                way.shared,
                way.sorted
            )
        };
        match placements[0].open {
            Some(open) => format!("{open:?}"),
            None => placements[0].ways.iter().map(of).collect::<Vec<_>>().join("; "),
        }
    };
    assert_eq!(text(0), "device = 'a' | v > 10 | v IS NOT NULL | 2 2");
    assert_eq!(text(2), "- | v > 60 | v IS NOT NULL | 5 2");
    assert_eq!(text(3), "- | v > 10 |  | 5 2");
    assert_eq!(text(4), "Window");
    assert_eq!(text(5), "lag(v) = 'b' | v > 10 |  | 1 1");
    assert_eq!(text(6), "Analytics");
    assert!(engine.placements(7).is_empty());
}

fn comparable(engine: &Engine) -> Vec<Account> {
    // A lane that is never asked for a row of another device takes no bytes for it.
    engine.accounts().into_iter().map(|account| Account { bytes: 0, ..account }).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn an_index_changes_no_answer(
        sets in prop::collection::vec(rules(), 1..4),
        rows in prop::collection::vec(reading(), 1..60),
        keyed in any::<bool>(),
    ) {
        let spec = StreamSpec {
            max_future: Some(Duration::from_secs(20)),
            key: keyed.then_some(0),
            ..stream()
        };
        let engine = |index| {
            let config = Config { index, ..Config::default() };
            Engine::new(plan(spec.clone(), sets[0].clone()), config)
        };
        let (mut with, mut without) = (engine(true), engine(false));
        let pieces = rows.len().div_ceil(sets.len());
        for (n, rows) in rows.chunks(pieces).enumerate() {
            if n > 0 {
                let next = plan(spec.clone(), sets[n].clone());
                with.swap(next.clone());
                without.swap(next);
            }
            for (at, row) in rows.iter().enumerate() {
                let now = now(25, i64::try_from(n * 100 + at).unwrap());
                let (mut found, mut expected) = (Vec::new(), Vec::new());
                with.push(0, row, now, &mut found);
                without.push(0, row, now, &mut expected);
                prop_assert_eq!(found, expected);
            }
            prop_assert_eq!(comparable(&with), comparable(&without));
        }
    }
}
