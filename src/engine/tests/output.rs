//! What comes out: the rows of a window, arranged rows, elements of arrays, invisible columns; and what
//! the account says of it.

use super::*;
use crate::plan::logical::{Arrange, Direction};

/// All groups of windows that end together: the two of the greatest sums, each sum once.
pub(super) fn arranged() -> RulePlan {
    let mut rule = tumble();
    rule.window.as_mut().unwrap().by_key = false;
    rule.arrange = Some(Arrange {
        distinct: true,
        order: vec![(Expr::Aggregate(0), Direction::Descending)],
        limit: Some(2),
    });
    rule.project = vec![Expr::Aggregate(0), Expr::Group(0)];
    rule.visible = 1;
    rule
}

#[test]
fn output_is_arranged_over_all_groups() {
    let spec = StreamSpec { key: None, ..stream() };
    let mut bench = Bench::new(spec, vec![arranged()]);
    for (device, v) in [("a", Some(1)), ("b", Some(5)), ("c", None), ("d", Some(5)), ("e", Some(3))] {
        bench.row(device, v, 1, 0);
    }
    bench.row("a", 0, 15, 0).gives(&["@10 5 tf", "@10 3 tf"]);
    assert_eq!(bench.account().matched, 2);
    bench.row("a", 0, 25, 0).gives(&["@20 0 tf"]);
}

#[test]
fn a_window_gives_its_rows() {
    let spec = StreamSpec { key: None, lateness: Duration::from_secs(5), ..stream() };
    let mut bench = Bench::new(spec, vec![ordered::rows(tumble())]);
    bench.row("b", 1, 4, 0).row("a", 2, 3, 0).row("c", 3, 4, 0).gives(&[]);
    bench.row("a", 9, 15, 0).gives(&["@10 a 2 0 tf", "@10 b 1 0 tf", "@10 c 3 0 tf"]);
}

#[test]
fn a_row_of_a_window_has_its_own_time() {
    let mut rule = ordered::rows(tumble());
    rule.project = vec![Expr::EventTime, Expr::WindowStart, Expr::WindowEnd];
    let mut bench = Bench::new(StreamSpec { key: None, ..stream() }, vec![rule]);
    bench.row("a", 1, 4, 0).row("a", 1, 10, 0).gives(&["@10 4 0 10 tf"]);
}

#[test]
fn unnest_gives_a_row_for_each_element() {
    let elements = |n: &[i64]| Value::Array(n.iter().map(|n| Value::Int(*n)).collect());
    let rule = RulePlan {
        project: vec![Expr::Unnested, Expr::Field(0, 0)],
        visible: 2,
        unnest: Some(Expr::Field(0, 1)),
        ..each()
    };
    let mut bench = Bench::new(stream(), vec![rule]);
    let mut push = |v: Value| {
        let mut row = row("a", None, 5);
        row.slots[1] = v;
        bench.engine.push(0, &row, now(0, 0), &mut bench.out);
    };
    push(elements(&[9, 11]));
    push(elements(&[]));
    push(Value::Null);
    push(Value::Int(3));
    bench.gives(&["@5 9 a ft", "@5 11 a tf"]);
    assert_eq!(bench.account().matched, 1);
}

#[test]
fn what_multiplies_is_bounded() {
    let rule = RulePlan { project: vec![Expr::Unnested], unnest: Some(Expr::Field(0, 1)), ..each() };
    let mut bench = Bench::new(stream(), vec![rule]);
    let mut row = row("a", None, 5);
    row.slots[1] = Value::Array(vec![Value::Int(1); 200_003].into());
    bench.engine.push(0, &row, now(0, 0), &mut bench.out);
    assert_eq!((bench.out.len(), bench.account().refused), (200_000, 3));
}

#[test]
fn invisible_columns_are_judged_and_not_shown() {
    let rule = RulePlan {
        project: vec![Expr::Field(0, 0), Expr::Field(0, 1)],
        visible: 1,
        when: Some(compare(BinaryOp::Gt, Expr::Column(1), 10)),
        ..each()
    };
    let mut bench = Bench::new(stream(), vec![rule]);
    bench.row("a", 11, 5, 0).row("a", 1, 6, 0).gives(&["@5 a tf", "@6 a ft"]);
}

#[test]
fn filter_keeps_rows_out_of_the_window() {
    let mut rule = ordered::windowed(ordered::count(2, 2));
    rule.window.as_mut().unwrap().filter = Some(compare(BinaryOp::Gt, Expr::Field(0, 1), 0));
    let mut bench = Bench::new(stream(), vec![rule]);
    bench.row("a", 1, 0, 0).row("a", 0, 1, 0).row("a", None, 2, 0).row("a", 2, 3, 0);
    bench.gives(&["@3 a 3 2 0 tf"]);
}

#[test]
fn the_cost_of_rows_is_sampled() {
    fn ticking() -> u64 {
        use std::sync::atomic::{AtomicU64, Ordering};
        static TICKS: AtomicU64 = AtomicU64::new(0);
        TICKS.fetch_add(5, Ordering::Relaxed)
    }
    let config = Config { nanos: Some(ticking), ..Config::default() };
    let mut bench = Bench::with(stream(), vec![each()], config);
    for _ in 0..64_000 {
        bench.row("a", 1, 0, 0);
    }
    let each = bench.account().ns / 64_000;
    assert!((4..=6).contains(&each), "{each} of the 5 that a row took");
    assert_eq!(bench.account().degraded_until, None);
}
