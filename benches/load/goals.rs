//! The goals that only the whole way shows: P6, what the agent costs beside its broker; P7, messages
//! that arrive one by one; P8, memory.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use super::cell::{Bench, Cell, Load};
use super::options::{Options, Service};
use super::pool::Pool;
use super::report::{Goal, Report};
use super::subject::Subject;

/// Messages a second that arrive one by one.
const SINGLY: u64 = 10_000;
/// Keys of the windows.
const KEYS: usize = 1_000;
/// Windows over each key.
const WINDOWS: usize = 20;

pub(crate) async fn measure(options: &Options, agent: &Path, pool: &Arc<Pool>, report: &mut Report) {
    beside_the_broker(options, agent, pool, report).await;
    one_by_one(options, agent, pool, report).await;
    memory(options, agent, report).await;
}

async fn beside_the_broker(options: &Options, agent: &Path, pool: &Arc<Pool>, report: &mut Report) {
    let load = Load { rate: None, messages: options.messages, probes: false };
    let ratio = |cell: &Cell| cell.cpu() / cell.broker_cpu();
    let mut worst: Option<(f64, f64)> = None;
    for &service in &options.services {
        let mut ceiling = f64::INFINITY;
        for subject in [Subject::Client, Subject::Ingest, Subject::Agent] {
            let mut bench = Bench::start(subject, options, agent, pool, service, options.goal_rules[0]).await;
            let cell = bench.run(load).await;
            if subject == Subject::Agent {
                let of = (ratio(&cell), ceiling);
                // A broker whose default window holds it up is not saturated.
                if service != Service::One && worst.is_none_or(|worst| of.0 > worst.0) {
                    worst = Some(of);
                }
            } else if subject == Subject::Client {
                ceiling = ratio(&cell);
            }
            report.add(cell);
        }
    }
    let Some((figure, ceiling)) = worst else { return };
    report.goal(Goal {
        name: "P6",
        figure,
        unit: "agent CPU / broker CPU",
        ceiling: Some(ceiling),
        goal: "≤ 0.20 behind a saturated broker, QoS 0 and 1; the worse".to_owned(),
        met: figure <= 0.2,
    });
}

async fn one_by_one(options: &Options, agent: &Path, pool: &Arc<Pool>, report: &mut Report) {
    let rate = options.rates.iter().flatten().copied().max().map_or(SINGLY, |most| most.min(SINGLY));
    let messages = (2 * options.seconds * rate) as usize;
    let load = Load { rate: Some(rate), messages, probes: true };
    let (mut worst, mut late) = ((0.0, 0.0), (f64::MIN, 0.0));
    for &service in &options.services {
        let (mut ceiling, mut seen) = (0.0, 0.0);
        for subject in [Subject::Client, Subject::Ingest, Subject::Agent] {
            let mut bench = Bench::start(subject, options, agent, pool, service, options.goal_rules[0]).await;
            let cell = bench.run(load).await;
            let latency = cell.latency(50).unwrap_or(0.0);
            match subject {
                Subject::Client => (ceiling, seen) = (100.0 * cell.share(), latency),
                Subject::Agent => {
                    if 100.0 * cell.share() > worst.0 {
                        worst = (100.0 * cell.share(), ceiling);
                    }
                    if latency - seen > late.0 {
                        late = (latency - seen, seen);
                    }
                }
                _ => {}
            }
            report.add(cell);
        }
    }
    let (share, added) = (worst.0 <= 6.0, late.0 <= 2.0);
    report.goal(Goal {
        name: "P7",
        figure: worst.0,
        unit: "% of a core",
        ceiling: Some(worst.1),
        goal: format!("≤ 6 % of a core at {rate} messages/s one by one, QoS 0 and 1; added latency ≤ 2 ms"),
        met: share && added,
    });
    report.goal(Goal {
        name: "P7 latency",
        figure: late.0,
        unit: "ms added to a bare subscriber's",
        ceiling: None,
        goal: "≤ 2 ms, median, the worse of QoS 0 and 1".to_owned(),
        met: added,
    });
}

async fn memory(options: &Options, agent: &Path, report: &mut Report) {
    // As many topics as there are keys: what 20,000 topics take besides, every other load shows.
    let pool = &Arc::new(Pool::new(options.pool / 4, KEYS as u32));
    let windows = vec![("windows", windows())];
    for (name, rules, most, more) in
        [("P8", options.goal_rules[0], 8.5, windows), ("P8 large", options.goal_rules[1], 15.0, Vec::new())]
    {
        let subject = Subject::AgentTls;
        let mut bench = Bench::with(subject, options, agent, pool, Service::One, rules, more).await;
        if name == "P8" {
            fill(&mut bench);
        }
        let load = Load { rate: Some(options.push_rate), messages: options.messages / 2, probes: false };
        let cell = bench.run(load).await;
        let figure = cell.memory.resident_bytes as f64 / 1e6;
        report.add(cell);
        report.goal(Goal {
            name,
            figure,
            unit: "MB RSS",
            ceiling: None,
            goal: format!(
                "≤ {most} MB with {rules} rules, TLS on{}",
                if name == "P8" { ", 1,000 keys × 20 windows" } else { "" }
            ),
            met: figure <= most,
        });
    }
}

/// Twenty rules over the same readings, with few lengths and lines of their own.
fn windows() -> String {
    let mut text = String::from(
        "streams:\n- CREATE STREAM w (v FLOAT) WITH (DATASOURCE='meter/{device}', KEY='device')\nrules:\n",
    );
    for i in 0..WINDOWS {
        let window = match i % 4 {
            0 => "TUMBLINGWINDOW(mi, 1)",
            1 => "TUMBLINGWINDOW(mi, 5)",
            2 => "HOPPINGWINDOW(mi, 10, 1)",
            _ => "TUMBLINGWINDOW(hh, 1)",
        };
        writeln!(
            text,
            "- {{id: w{i}, when: a > {}, sql: 'SELECT device, avg(v) AS a, max(v) AS m FROM w GROUP BY device, {window}'}}",
            100 + i
        )
        .unwrap();
    }
    text
}

/// A reading of each key, so that all its windows are open.
fn fill(bench: &mut Bench) {
    let mut publisher = bench.connect("meters");
    for round in 0..2 {
        for key in 0..KEYS {
            publisher.say(&format!("meter/m{key}"), &format!("{{\"v\": {}.5}}", key % 90 + round));
        }
    }
}
