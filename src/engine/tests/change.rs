//! What is changed in place goes on as what is swapped as a whole.

use super::*;

/// A rule of one of some kinds, with a threshold.
fn rule(id: usize, kind: u8, threshold: i64) -> RulePlan {
    let over =
        |rule: RulePlan| RulePlan { when: Some(compare(BinaryOp::Gt, Expr::Column(1), threshold)), ..rule };
    let back = |filter: Expr| {
        let function = AnalyticFunction::Lag;
        let lag = Analytic { function, args: vec![Expr::Field(0, 1)], partition: Vec::new(), when: None };
        RulePlan { analytics: vec![lag], filter: Some(filter), ..each() }
    };
    let mut rule = match kind % 8 {
        0 => RulePlan { when: Some(compare(BinaryOp::Gt, Expr::Column(0), threshold)), ..each() },
        1 => RulePlan {
            filter: Some(compare(BinaryOp::Gt, Expr::Field(0, 1), threshold)),
            alert: alert("each", 1, OCCURRENCE),
            when: None,
            ..each()
        },
        2 => over(tumble()),
        3 => over(ordered::windowed(ordered::count(3, 2))),
        4 => RulePlan { filter: Some(compare(BinaryOp::Gt, Expr::Field(0, 1), threshold)), ..over(tumble()) },
        5 => back(compare(BinaryOp::Gt, Expr::Analytic(0), threshold)),
        6 => RulePlan {
            alert: alert("each", 1, OCCURRENCE),
            when: None,
            ..back(compare(BinaryOp::Gt, Expr::Analytic(0), threshold))
        },
        _ => RulePlan {
            project: vec![Expr::Field(0, 1), Expr::Analytic(0)],
            when: Some(compare(BinaryOp::Lt, Expr::Column(1), threshold)),
            ..back(compare(BinaryOp::Ge, Expr::Field(0, 1), 0))
        },
    };
    let kind = rule.alert.kind;
    // `when` is no part of what state depends on.
    rule.state =
        u64::from(kind_of(&rule)) * 16 + if rule.filter.is_some() { 1 + threshold.unsigned_abs() } else { 0 };
    rule.alert = alert(&format!("r{id}"), 1, kind);
    rule
}

fn kind_of(rule: &RulePlan) -> u8 {
    match &rule.window {
        None if rule.project.len() > 1 => 4,
        None if !rule.analytics.is_empty() => 3,
        None => 0,
        Some(window) if matches!(window.kind, WindowKind::Tumbling { .. }) => 1,
        Some(_) => 2,
    }
}

fn planned(rules: &[Option<(usize, u8, i64)>]) -> Arc<Plan> {
    let one = |found: &Option<(usize, u8, i64)>| match found {
        Some((id, kind, threshold)) => rule(*id, *kind, *threshold).planned(),
        None => logical::RulePlan::vacant(),
    };
    Arc::new(Plan {
        streams: vec![Arc::new(stream())],
        tables: Vec::new(),
        rules: rules.iter().map(one).collect(),
    })
}

type Change = Vec<(usize, Option<(u8, i64)>)>;

/// A row: device, value, and seconds since the one before.
type Step = (u8, i64, i64);

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_change_in_place_is_a_swap(
        steps in prop::collection::vec(
            (
                prop::collection::vec((0_usize..12, prop::option::of((0_u8..8, 0_i64..4))), 0..5),
                prop::collection::vec((0_u8..3, -2_i64..6, 0_i64..6), 0..10),
            ),
            1..8,
        ),
        index: bool, share: bool,
    ) {
        let steps: Vec<(Change, Vec<Step>)> = steps;
        let config = Config { index, share, ..Config::default() };
        let mut rules: Vec<Option<(usize, u8, i64)>> = (0..6).map(|at: usize| Some((at, at as u8, 1))).collect();
        let mut fresh = 6;
        let mut plan = planned(&rules);
        let (mut changed, mut swapped) = (Engine::new(plan.clone(), config), Engine::new(plan.clone(), config));
        let mut second = 0;
        for (changes, rows) in steps {
            let mut touched = std::collections::BTreeSet::new();
            for (at, to) in changes {
                let at = at.min(rules.len());
                let id = match rules.get(at) {
                    Some(Some((id, ..))) => *id,
                    _ => {
                        fresh += 1;
                        fresh
                    }
                };
                let next = to.map(|(kind, threshold)| (id, kind, threshold));
                match rules.get_mut(at) {
                    Some(place) => *place = next,
                    None => rules.push(next),
                }
                touched.insert(at);
            }
            let mut next = Plan::clone(&planned(&rules));
            let kept = |(at, rule): (usize, &logical::RulePlan)| match touched.contains(&at) {
                true => rule.clone(),
                false => plan.rules[at].clone(),
            };
            next.rules = next.rules.iter().enumerate().map(kept).collect();
            plan = Arc::new(next);
            changed.change(plan.clone(), &touched.into_iter().collect::<Vec<_>>());
            swapped.swap(plan.clone());
            for (device, v, ahead) in rows {
                second += ahead;
                let row = row(&format!("d{device}"), Some(v), second);
                let (mut one, mut other) = (Vec::new(), Vec::new());
                changed.push(0, &row, now(second, second), &mut one);
                swapped.push(0, &row, now(second, second), &mut other);
                prop_assert_eq!(one, other);
                prop_assert_eq!(changed.next_deadline().is_some(), swapped.next_deadline().is_some());
            }
            let accounts = |engine: &Engine| {
                let there = plan.rules.iter().zip(engine.accounts()).filter(|(rule, _)| !rule.is_vacant());
                there.map(|(_, account)| Account { bytes: 0, ..account }).collect::<Vec<_>>()
            };
            prop_assert_eq!(accounts(&changed), accounts(&swapped));
            for (at, account) in changed.accounts().into_iter().enumerate() {
                prop_assert_eq!(account, changed.account(at));
            }
        }
    }
}
