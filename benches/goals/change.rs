//! P9: rules taken from their text, and changed while they run.

use weir::control::Running;
use weir::model::time::Timestamp;

use crate::Report;
use crate::ceiling::index::Index;
use crate::ceiling::load;
use crate::figures::Figures;
use crate::options::Options;
use crate::subject::{self, Whole};
use crate::table::{Goal, short};
use crate::timing::{cpu_nanos, median, p99};
use crate::workload::{self, Kind, Rule};

/// Measures loading and changing.
pub(crate) fn run(options: &Options, report: &mut Report) {
    let count = options.most_named();
    let rules = workload::rules(Kind::Mixed, count);
    let text = workload::text(&rules);
    let mut own = Vec::new();
    let mut hand = Vec::new();
    for _ in 0..options.loads {
        own.push(timed(|| subject::admit(&text)));
        hand.push(timed(|| load::load(&text)));
    }
    let (load, bare_load) = (median(own) / 1e9, median(hand) / 1e9);
    println!("{count} mixed rules from their text: {} s; by hand {} s\n", short(load), short(bare_load));
    let title = format!("how long a change of some of {count} rules holds the core up, in microseconds");
    let heads = ["rules changed", "median", "p99", "p99 a rule", "a rule by hand"];
    let mut figures = Figures::new("change", title, &heads);
    let mut worst = (0.0_f64, 0.0);
    for changed in [1, 10, 100, 1_000].into_iter().filter(|changed| *changed <= count) {
        let after = change(&rules, changed);
        let stalls = swaps(&text, &workload::text(&after), options.swaps);
        let bare = median(bare_swaps(&rules, &after, options.swaps)) / changed as f64 / 1e3;
        let (middle, high) = (median(stalls.clone()) / 1e3, p99(stalls) / 1e3);
        let each = high / changed as f64;
        figures.row([changed.to_string(), short(middle), short(high), short(each), short(bare)]);
        if each > worst.0 {
            worst = (each, bare);
        }
    }
    report.show(figures);
    report.goals.push(Goal {
        name: "P9",
        figure: worst.0,
        unit: "us of stall a rule (p99)",
        ceiling: Some(worst.1),
        ratio: Some(worst.0 / worst.1),
        goal: format!("≤ 2, and 10,000 rules loaded in ≤ 0.3 s ({load:.3} s, by hand {bare_load:.3} s)"),
        met: worst.0 <= 2.0 && load <= 0.3,
    });
}

fn timed<T>(work: impl FnOnce() -> T) -> f64 {
    let began = cpu_nanos();
    let made = work();
    let took = cpu_nanos() - began;
    drop(made);
    took as f64
}

/// The same rules, with another threshold in `changed` of them.
fn change(rules: &[Rule], changed: usize) -> Vec<Rule> {
    let mut rules = rules.to_vec();
    let step = rules.len() / changed;
    for rule in rules.iter_mut().step_by(step).take(changed) {
        rule.above = rule.above.map(|above| above + 0.5);
    }
    rules
}

/// How long each of many changes holds the core up: there and back.
fn swaps(before: &str, after: &str, times: usize) -> Vec<f64> {
    let first = subject::admit(before);
    let mut running = Running { plan: first.plan.clone(), basis: first.basis.clone() };
    let mut whole = Whole::new(first);
    // Each is compiled on the one before it, all of them beforehand, as what the engine's thread does not do.
    let compiled = (0..times).map(|i| {
        let next = subject::next(if i.is_multiple_of(2) { after } else { before }, &running);
        running = Running { plan: next.plan.clone(), basis: next.basis.clone() };
        next
    });
    let compiled: Vec<_> = compiled.collect();
    let swap = |(i, next)| timed(|| whole.run(next, Timestamp::from_micros(i as i64 + 1)));
    (0_usize..).zip(compiled).map(swap).collect()
}

fn bare_swaps(before: &[Rule], after: &[Rule], times: usize) -> Vec<f64> {
    let mut index = Index::new(before);
    let changed: Vec<usize> = (0..before.len()).filter(|i| before[*i].above != after[*i].above).collect();
    let mut swap = |i: usize| {
        let (old, new) = if i.is_multiple_of(2) { (before, after) } else { (after, before) };
        timed(|| {
            for place in &changed {
                index.remove(*place, &old[*place]);
                index.insert(*place, &new[*place]);
            }
        })
    };
    (0..times).map(&mut swap).collect()
}
