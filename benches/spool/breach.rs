//! P12: from the publication of a reading that crosses a line to the hub's event, with nothing else going on.

use std::path::Path;
use std::time::Duration;

use weir::clock::Clock;

use crate::bodies;
use crate::ceiling::round_trips;
use crate::figures::Figures;
use crate::options::Options;
use crate::site::Site;
use crate::table::{Goal, short};
use crate::{Report, disk};

/// Between two breaches, so that each finds an idle system.
const IDLE: Duration = Duration::from_millis(20);
/// What a hundredth may lie above, in milliseconds.
const GOAL: f64 = 10.0;

pub(crate) async fn run(options: &Options, agent: &Path, report: &mut Report) {
    let mut site = Site::start(agent).await;
    let mut events = site.desk().follow(None).await;
    let mut publisher = site.publisher("breach");
    let clock = Clock::start();
    let mut micros = Vec::with_capacity(options.breaches);
    for _ in 0..options.breaches {
        let reading = site.readings(1);
        tokio::time::sleep(IDLE).await;
        let published = clock.mono();
        publisher.publish(&reading, None);
        events.next("transition").await;
        micros.push(clock.mono().micros() - published.micros());
    }
    micros.sort_unstable();
    let dir = disk();
    let body = &bodies::batch(1).transitions[0].body;
    let hand = round_trips(dir.path(), body, options.breaches, IDLE);
    let mut figures = Figures::new(
        "breach",
        format!("{} breaches of an idle system on loopback, each to the hub's event", options.breaches),
        &["who", "p50 ms", "p99 ms", "max ms"],
    );
    let rows = [("broker, agent, hub", &micros), ("by hand: a TCP round trip and one fdatasync", &hand)];
    for (name, sorted) in rows {
        let [p50, p99, max] = [50, 99, 100].map(|percent| short(at(sorted, percent)));
        figures.row([name.to_owned(), p50, p99, max]);
    }
    report.show(figures);
    let (ours, ceiling) = (at(&micros, 99), at(&hand, 99));
    report.goals.push(Goal {
        name: "P12",
        figure: ours,
        unit: "ms, p99 to the hub",
        ceiling: Some(ceiling),
        ratio: Some(ours / ceiling),
        goal: format!("≤ {GOAL} ms; p50 {} ms", short(at(&micros, 50))),
        met: ours <= GOAL,
    });
}

/// Milliseconds that so many of a hundred lie within.
fn at(sorted: &[u64], percent: usize) -> f64 {
    let place = (sorted.len() * percent).div_ceil(100).max(1) - 1;
    sorted[place] as f64 / 1e3
}
