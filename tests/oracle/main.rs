//! The engine against a naive oracle. Random streams, tables, rules and events are given to Weir as
//! a person gives them: rule text through the planner, payloads through the decoder, rows through the
//! engine. The oracle computes what should come out by scanning all rows again for each window. It
//! shares no code with the engine.
//!
//! `ORACLE_CASES=100000 ORACLE_SEED=1 cargo test --test oracle` runs longer, or elsewhere. A failure
//! names its seed, and is made small before it is shown.

mod aggregate;
mod analytic;
mod answer;
mod eval;
mod expression;
mod generate;
mod lane;
mod product;
mod query;
mod shrink;
mod value;

use answer::{Counts, Event, Out, answer};
use product::Way;
use query::{Query, World};

/// 2026-01-01T00:00:00Z in microseconds.
const START: i64 = 1_767_225_600_000_000;

/// How far beyond its end the watermark must be to have passed a window that includes it.
const PASSED: i64 = 1;

/// How many cases the test suite runs.
const CASES: u64 = 600;

/// Whether the n-th row of a group ends a count window.
fn counts(n: usize, count: usize, every: usize) -> bool {
    n >= count && n.is_multiple_of(every)
}

/// One test: what there is to read, the rules, and what happens.
#[derive(Clone, Debug)]
struct Case {
    world: World,
    rules: Vec<Rule>,
    events: Vec<Event>,
}

/// A rule, and between which events it runs.
#[derive(Clone, Debug)]
struct Rule {
    id: String,
    query: Query,
    stateful: bool,
    from: usize,
    to: usize,
}

#[test]
fn the_engine_gives_what_a_naive_rescan_gives() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let cases = number("ORACLE_CASES").unwrap_or(CASES);
    let first = number("ORACLE_SEED").unwrap_or(0);
    // So many failures are shown before it stops.
    let most = number("ORACLE_SHOW").unwrap_or(1);
    let (mut rows, mut failures) = (0, Vec::new());
    for seed in first..first.saturating_add(cases) {
        let case = generate::case(&mut fastrand::Rng::with_seed(seed));
        match check(&case, seed) {
            Ok(found) => rows += found,
            Err(why) => {
                let small = shrink::smallest(case, &|case| check(case, seed).is_err_and(|w| alike(&why, &w)));
                let why = check(&small, seed).err().unwrap_or_default();
                failures.push(format!("seed {seed}:\n{}\n{why}", show(&small)));
            }
        }
        if failures.len() as u64 >= most {
            break;
        }
    }
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
    assert!(rows > cases, "{rows} rows of output in {cases} cases prove little");
}

/// Whether two failures are of one kind.
fn alike(a: &str, b: &str) -> bool {
    let kind = |text: &str| match text.split_once("error[") {
        Some((_, rest)) => rest.split_once(": ").map_or(rest, |(_, message)| message).to_owned(),
        None => text.starts_with("(at_close").to_string(),
    };
    kind(a) == kind(b)
}

/// How many rows came out, where all is as it should be.
fn check(case: &Case, seed: u64) -> Result<u64, String> {
    let mut rows = 0;
    product::shapes(case)?;
    if std::env::var_os("ORACLE_COMPILE").is_some() {
        return Ok(10);
    }
    let answers: Vec<(Vec<Vec<Out>>, Counts)> = case
        .rules
        .iter()
        .map(|rule| answer(&case.world, &rule.query, rule.stateful, &case.events, (rule.from, rule.to)))
        .collect();
    for way in [Way::Plain, Way::Clock, Way::Restore] {
        let found = product::run(case, way, seed)?;
        for (rule, (expected, counts)) in case.rules.iter().zip(&answers) {
            let (steps, counted) = &found[&rule.id];
            for (step, (expected, found)) in expected.iter().zip(steps).enumerate() {
                rows += expected.len() as u64;
                compare(rule, expected.clone(), found.clone())
                    .map_err(|why| format!("{way:?}: after event {step}, rule {}:\n{why}", rule.id))?;
            }
            // A restart begins to count again, and the rows of joins are counted in their own ways.
            let counted = counted.filter(|_| way != Way::Restore && rule.query.sides.len() == 1);
            if counted.is_some_and(|counted| counted != *counts) {
                return Err(format!(
                    "{way:?}: rule {} counts\n  {counted:?}, expected\n  {counts:?}",
                    rule.id
                ));
            }
        }
    }
    Ok(rows)
}

fn compare(rule: &Rule, mut expected: Vec<Out>, mut found: Vec<Out>) -> Result<(), String> {
    let query = &rule.query;
    // The order between groups is free, as is the order of joined rows.
    let free = if query.at_close() { usize::MAX } else { query.group.len() };
    if query.order.is_empty() || query.at_close() {
        for rows in [&mut expected, &mut found] {
            rows.sort_by_key(|row| {
                let values = &row.values[..free.min(row.values.len())];
                values.iter().map(|v| format!("{v}")).collect::<Vec<_>>()
            });
        }
    }
    let agree = |(a, b): (&Out, &Out)| {
        a.at == b.at
            && a.raise == b.raise
            && a.values.len() == b.values.len()
            && a.values.iter().zip(&b.values).all(|(a, b)| a.agrees(b))
    };
    if expected.len() == found.len() && expected.iter().zip(&found).all(agree) {
        return Ok(());
    }
    let list = |rows: &[Out]| rows.iter().map(|row| format!("    {}\n", shown(row))).collect::<String>();
    Err(format!("  expected\n{}  found\n{}", list(&expected), list(&found)))
}

fn shown(row: &Out) -> String {
    let values: Vec<String> = row.values.iter().map(ToString::to_string).collect();
    format!("{} {}", seconds(row.at), values.join(" | "))
}

fn seconds(at: i64) -> String {
    format!("{}s", (at - START) as f64 / 1e6)
}

/// The case as a person can run it.
fn show(case: &Case) -> String {
    let mut text = product::file(case, 0);
    for rule in &case.rules {
        if rule.from > 0 || rule.to < case.events.len() {
            text.push_str(&format!(
                "# {} runs from event {} to {}: {}\n",
                rule.id,
                rule.from,
                rule.to,
                rule.query.sql(&case.world)
            ));
        }
    }
    for (step, event) in case.events.iter().enumerate() {
        let Some(message) = &event.message else {
            text.push_str(&format!("{step}: {} advance\n", seconds(event.at)));
            continue;
        };
        let columns = case.world.columns(message.to);
        let values: Vec<String> =
            columns.iter().zip(&message.values).map(|((name, _), value)| format!("{name}={value}")).collect();
        let retained = if message.retained { " retained" } else { "" };
        text.push_str(&format!(
            "{step}: {} {:?} {}{retained} ts={} {}\n",
            seconds(event.at),
            message.to,
            message.device,
            seconds(message.ts),
            values.join(" ")
        ));
    }
    text
}
