//! Sharing: whatever the rules, and however they come and go, the answers are those of rules that run
//! each by itself.

use std::collections::BTreeSet;

use super::*;
use crate::model::key::Key;
use crate::plan::logical::Arrange;

/// What a random rule is made of. There are few of each, so that many rules have much in common.
#[derive(Clone, Debug)]
struct Draft {
    kind: u8,
    group: u8,
    aggregates: u8,
    filter: Option<i8>,
    having: Option<i8>,
    when: Option<i8>,
    arranged: bool,
}

/// What happens.
#[derive(Clone, Debug)]
enum Event {
    /// A row of a device: its value, its time, and how long after the last.
    Row(u8, Value, u8, u8),
    /// The clock is told.
    Clock(u8),
    /// These of the rules run from here on.
    Swap(u16),
    /// A snapshot, and a restart.
    Restart,
}

fn draft() -> impl Strategy<Value = Draft> {
    let few = || prop::option::of(0..3_i8);
    (
        0..11_u8,
        0..4_u8,
        0..6_u8,
        prop::option::weighted(0.2, 0..2_i8),
        few(),
        few(),
        prop::bool::weighted(0.1),
    )
        .prop_map(|(kind, group, aggregates, filter, having, when, arranged)| Draft {
            kind,
            group,
            aggregates,
            filter,
            having,
            when,
            arranged,
        })
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        6 => (-3..4_i64).prop_map(Value::Int),
        6 => prop::sample::select(vec![0.1, 0.2, 0.3, 1.0, 2.5, -0.7, 1e16, -1e16, 1e300, 3e-300]).prop_map(Value::Float),
        1 => Just(Value::Null),
        1 => Just(Value::str("text")),
        1 => Just(Value::Bool(true)),
    ]
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let row = (0..3_u8, value(), 0..90_u8, prop_oneof![4 => 0..4_u8, 1 => 0..70_u8])
        .prop_map(|(device, value, at, wait)| Event::Row(device, value, at, wait));
    let event = prop_oneof![
        20 => row,
        2 => (0..90_u8).prop_map(Event::Clock),
        2 => any::<u16>().prop_map(Event::Swap),
        1 => Just(Event::Restart),
    ];
    prop::collection::vec(event, 0..50)
}

/// A rule that looks back, and has no window.
fn recalls(at: usize, draft: &Draft) -> RulePlan {
    let function = match draft.aggregates {
        0..2 => AnalyticFunction::Lag,
        2..4 => AnalyticFunction::AccSum,
        _ => AnalyticFunction::LastHitCount,
    };
    let args = if function == AnalyticFunction::LastHitCount { Vec::new() } else { vec![Expr::Field(0, 1)] };
    let partition = if draft.group < 2 { vec![Expr::Field(0, 0)] } else { Vec::new() };
    let when = (draft.group == 3).then(|| compare(BinaryOp::Gt, Expr::Field(0, 1), -2));
    let terms = [
        draft.filter.map(|c| compare(BinaryOp::Ge, Expr::Analytic(0), (c - 2).into())),
        draft.having.map(|c| compare(BinaryOp::Gt, Expr::Field(0, 1), c.into())),
    ];
    RulePlan {
        state: draft.kind.into(),
        analytics: vec![Analytic { function, args, partition, when }],
        filter: Some(Expr::And(terms.into_iter().flatten().collect())),
        project: vec![Expr::Field(0, 1), Expr::Analytic(0)],
        visible: 2,
        when: draft.when.map(|c| compare(BinaryOp::Lt, Expr::Column(1), c.into())),
        alert: alert(&format!("r{at}"), 1, if draft.when.is_some() { STATE } else { OCCURRENCE }),
        ..each()
    }
}

fn rule(at: usize, draft: &Draft) -> RulePlan {
    if draft.kind >= 8 {
        return recalls(at, draft);
    }
    let of = |function, args: Vec<Expr>| Aggregate { function, args, filter: None, distinct: false };
    let v = || vec![Expr::Field(0, 1)];
    use AggregateFunction as F;
    let aggregates = match draft.aggregates {
        0 => vec![of(F::Avg, v())],
        1 => vec![of(F::Sum, v()), of(F::Count, Vec::new())],
        2 => vec![of(F::Max, v()), of(F::Min, v())],
        3 => vec![of(F::Max, v())],
        4 => vec![of(F::Stddev, v())],
        _ => vec![Aggregate { distinct: true, ..of(F::Count, v()) }],
    };
    let kind = match draft.kind {
        0 | 1 => WindowKind::Tumbling { length: Duration::from_secs(10) },
        2 => WindowKind::Tumbling { length: Duration::from_secs(20) },
        3 => WindowKind::Tumbling { length: Duration::from_secs(70) },
        4 => ordered::hop(20, 10),
        5 => ordered::hop(30, 4),
        6 => ordered::hop(70, 5),
        _ => ordered::session(20, 6),
    };
    let mut rule = tumble();
    rule.state = draft.kind.into();
    let last = aggregates.len();
    let window = rule.window.as_mut().unwrap();
    window.kind = kind;
    (window.group, window.by_key) = match draft.group {
        0 | 1 => (vec![Expr::Field(0, 0)], true),
        2 => (vec![Expr::Field(0, 0), Expr::Field(0, 1)], true),
        _ => (Vec::new(), false),
    };
    let compare = |op, a, b: i8| compare(op, a, b.into());
    window.aggregates = aggregates;
    window.having = draft.having.map(|c| compare(BinaryOp::Gt, Expr::Aggregate(0), c));
    rule.filter = draft.filter.map(|c| compare(BinaryOp::Ge, Expr::Field(0, 1), c - 2));
    rule.project = vec![Expr::WindowStart, Expr::Group(0)];
    rule.project.extend((0..last).map(Expr::Aggregate));
    rule.visible = rule.project.len();
    rule.when = draft.when.map(|c| compare(BinaryOp::Lt, Expr::Column(2), c));
    if draft.arranged {
        rule.window.as_mut().unwrap().by_key = false;
        let order = vec![(Expr::Aggregate(0), Direction::Descending)];
        rule.arrange = Some(Arrange { order, limit: Some(1), ..Arrange::default() });
    }
    rule.alert = alert(&format!("r{at}"), 1, if draft.when.is_some() { STATE } else { OCCURRENCE });
    rule
}

/// What is heard of what comes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hears {
    /// All.
    All,
    /// What raises an alert, or is said of one that is up.
    Changes,
    /// The same, and the engine is told which are up.
    Watched,
}

/// What comes out, and what each rule counted, for an engine that shares as `share` says each time it
/// starts.
fn answers(
    spec: &StreamSpec,
    drafts: &[Draft],
    events: &[Event],
    hears: Hears,
    mut share: impl FnMut() -> bool,
) -> (Vec<(usize, Observation)>, Vec<Account>) {
    let rules = |set: u16| {
        let all = drafts.iter().enumerate().filter(|(at, _)| set & (1 << at) != 0);
        plan(spec.clone(), all.map(|(at, draft)| rule(at, draft)).collect())
    };
    let watched = hears == Hears::Watched;
    let mut config = || Config { share: share(), watched, ..Config::default() };
    let mut up: BTreeSet<(Arc<str>, Vec<String>)> = BTreeSet::new();
    let mut keys = HashMap::new();
    let mut running = rules(0x00ff);
    let mut engine = Engine::new(running.clone(), config());
    let (mut out, mut all, mut mono) = (Vec::new(), Vec::new(), 0);
    for (step, event) in events.iter().chain(&[Event::Clock(255), Event::Clock(255)]).enumerate() {
        match event {
            Event::Row(device, value, at, wait) => {
                mono += i64::from(*wait);
                let mut row = row(&super::device(*device), None, i64::from(*at) + mono);
                row.slots[1] = value.clone();
                engine.push(0, &row, now(i64::from(*at) + mono, mono), &mut out);
            }
            Event::Clock(wait) => {
                mono += i64::from(*wait);
                engine.advance(now(mono, mono), &mut out);
            }
            Event::Swap(set) => {
                running = rules(*set);
                engine.swap(running.clone());
                up.retain(|(id, _)| running.rules.iter().any(|rule| *rule.alert.rule == **id));
            }
            Event::Restart => {
                let bytes = engine.snapshot(now(mono, mono));
                let accounts = engine.accounts();
                engine = Engine::new(running.clone(), config());
                engine.restore(&bytes, now(mono, mono)).unwrap();
                engine.show(&accounts);
            }
        }
        for observation in out.drain(..) {
            let rule = &running.rules[observation.rule];
            let key = Key::of_labels(&observation.key);
            let name = (Arc::from(&rule.alert.rule), key.iter().map(ToString::to_string).collect());
            keys.insert(name.clone(), key);
            if hears != Hears::All && matches!(rule.alert.kind, RuleKind::State { .. }) {
                let raises = observation.raise == Some(true);
                if !raises && !up.contains(&name) {
                    continue;
                }
                if observation.clear == Some(true) {
                    up.remove(&name);
                } else if raises {
                    up.insert(name);
                }
            }
            all.push((step, observation));
        }
        for (rule, spec) in running.rules.iter().enumerate().filter(|_| watched) {
            for (name, key) in keys.iter().filter(|((id, _), _)| **id == *spec.alert.rule) {
                engine.watch(rule, key, up.contains(name));
            }
        }
    }
    let accounts = engine.accounts().into_iter().map(|account| Account { bytes: 0, ..account });
    (all, accounts.collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn sharing_does_not_show(
        spec in any_stream(),
        drafts in prop::collection::vec(draft(), 1..16),
        events in events(),
        mixed in any::<u32>(),
    ) {
        let alone = answers(&spec, &drafts, &events, Hears::All, || false);
        let shared = answers(&spec, &drafts, &events, Hears::All, || true);
        prop_assert_eq!(&alone, &shared);
        let mut bits = mixed;
        let changing = answers(&spec, &drafts, &events, Hears::All, || {
            bits = bits.rotate_left(1);
            bits & 1 == 0
        });
        prop_assert_eq!(&alone, &changing);
        // Nor what nobody needs to hear.
        let alone = answers(&spec, &drafts, &events, Hears::Changes, || false);
        for share in [false, true] {
            let watched = answers(&spec, &drafts, &events, Hears::Watched, || share);
            prop_assert_eq!(&alone, &watched);
        }
    }
}

#[test]
fn what_the_clock_closes_can_be_spread() {
    let rules = || vec![tumble(), windowed_by(20), windowed_by(30)];
    let mut whole = Bench::new(stream(), rules());
    let mut spread = Bench::with(stream(), rules(), Config { spread: 4, ..Config::default() });
    for bench in [&mut whole, &mut spread] {
        for device in ["a", "b", "c", "d", "e"] {
            bench.row(device, 1, 3, 0).row(device, 2, 7, 0);
        }
        bench.gives(&[]).advance(100);
    }
    assert_eq!((whole.out.len(), whole.engine.next_deadline()), (15, None));
    assert_eq!(spread.out.len(), 6, "two keys");
    assert_eq!(spread.engine.next_deadline(), Some(now(0, 60).mono));
    // A row finds what its key waits for done.
    spread.row("e", 5, 8, 100);
    let of =
        |bench: &Bench, device: &str| bench.out.iter().filter(|o| o.key[0] == Value::str(device)).count();
    assert_eq!((of(&spread, "e"), spread.engine.accounts()[0].late), (3, 1));
    while spread.engine.next_deadline().is_some() {
        spread.advance(100);
    }
    assert_eq!(spread.out.len(), 15);
    for device in ["a", "b", "c", "d", "e"] {
        assert_eq!(of(&spread, device), of(&whole, device));
    }
}

fn windowed_by(length: u64) -> RulePlan {
    let kind = WindowKind::Tumbling { length: Duration::from_secs(length) };
    RulePlan { alert: alert(&format!("by{length}"), 1, OCCURRENCE), ..ordered::windowed(kind) }
}

#[test]
fn rules_that_differ_behind_the_window_share_it() {
    let named = |name: &str, least| {
        let mut rule = tumble();
        rule.window.as_mut().unwrap().having = Some(compare(BinaryOp::Gt, Expr::Aggregate(0), least));
        RulePlan { alert: alert(name, 1, OCCURRENCE), ..rule }
    };
    let mut bench = Bench::new(stream(), vec![named("x", 5), named("y", 9), named("z", 2)]);
    assert_eq!(bench.engine.units.all().len(), 1);
    bench.row("a", 4, 3, 0).row("a", 3, 12, 0);
    assert_eq!(bench.out.drain(..).map(|o| o.rule).collect::<Vec<_>>(), [2]);
    assert_eq!(
        bench.engine.accounts().iter().map(|a| (a.rows, a.matched)).collect::<Vec<_>>(),
        [(2, 0), (2, 0), (2, 1)]
    );
    // Who comes later does not see what came before, nor does a snapshot bring it about.
    bench.engine.swap(plan(stream(), vec![named("y", 1), named("new", 1)]));
    assert_eq!(bench.engine.units.all().len(), 2);
    let bytes = bench.engine.snapshot(now(0, 0));
    bench.engine.restore(&bytes, now(0, 0)).unwrap();
    bench.row("a", 5, 14, 0).row("a", 0, 25, 0).gives(&["@20 a 8 2 10 tf", "@20 a 5 1 10 tf"]);
    assert_eq!(
        bench.engine.accounts().iter().map(|a| (a.rows, a.matched)).collect::<Vec<_>>(),
        [(4, 1), (2, 1)]
    );
    let mut apart = Bench::with(
        stream(),
        vec![named("x", 5), named("y", 9)],
        Config { share: false, ..Config::default() },
    );
    assert_eq!(apart.row("a", 1, 1, 0).engine.units.all().len(), 2);
}
