//! What a change of the rule set keeps, and what it does not.

use super::*;

#[test]
fn a_change_of_when_keeps_windows() {
    for kind in [ordered::slide(10, 0), ordered::session(20, 6), ordered::count(3, 3), ordered::state(true)] {
        let mut bench = Bench::new(stream(), vec![ordered::windowed(kind.clone())]);
        bench.row("a", 1, 1, 0).row("a", 2, 2, 0);
        let before = bench.account();
        bench.out.clear();
        let other = RulePlan {
            when: Some(compare(BinaryOp::Gt, Expr::Column(1), 0)),
            alert: alert("tumble", 2, STATE),
            ..ordered::windowed(kind.clone())
        };
        bench.engine.swap(plan(stream(), vec![each(), other]));
        assert_eq!(bench.engine.accounts()[1], before);
        bench.row("a", -4, 3, 0).advance(1_000);
        let last = bench.out.pop().unwrap();
        assert_eq!((last.rule, &last.values[2]), (1, &Value::Int(3)), "{kind:?}");

        let another = RulePlan { state: 2, ..ordered::windowed(kind) };
        bench.engine.swap(plan(stream(), vec![another]));
        assert_eq!(bench.account(), Account::default());
    }
}

#[test]
fn a_window_of_another_kind_is_not_taken_over() {
    let mut bench = Bench::new(stream(), vec![ordered::windowed(ordered::count(3, 3))]);
    bench.row("a", 1, 1, 0);
    let bytes = bench.engine.snapshot(now(0, 0));
    for kind in [ordered::count(3, 1), ordered::state(false), ordered::hop(10, 5)] {
        let mut other = Bench::new(stream(), vec![ordered::windowed(kind)]);
        other.engine.restore(&bytes, now(0, 0)).unwrap();
        assert_eq!(other.account(), Account::default());
    }
}

#[test]
fn a_snapshot_says_what_its_state_takes() {
    let engine = Engine::new(joins::plan(stream(), everything()), Config::default());
    let mut bench = Bench { engine, out: Vec::new() };
    for (at, device) in ["a", "b", "a", "c"].into_iter().enumerate() {
        let at = i64::try_from(at).unwrap();
        bench.row(device, at, at, 0);
    }
    let bytes = bench.engine.snapshot(now(0, 0));
    let mut later = Engine::new(joins::plan(stream(), everything()), Config::default());
    later.restore(&bytes, now(0, 0)).unwrap();
    let of = |engine: &Engine| engine.accounts().iter().map(|a| (a.groups, a.bytes)).collect::<Vec<_>>();
    assert_eq!(of(&later), of(&bench.engine));
}
