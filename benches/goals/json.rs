//! P5: two of eight members of a payload of 150 bytes.

use weir::model::value::Value;

use crate::Report;
use crate::ceiling::scan::{Read, scan};
use crate::ceiling::visitor;
use crate::figures::Figures;
use crate::options::Options;
use crate::subject::{self, Decoding};
use crate::table::{Goal, short};
use crate::timing::{Contestant, keep, race};
use crate::workload::{self, Kind, PAYLOAD};

/// What the stream's rules use.
const WANTED: [&str; 2] = ["device", "temperature"];

/// Measures the projection.
pub(crate) fn run(options: &Options, report: &mut Report) {
    let messages = workload::messages(&workload::events(options.events));
    assert!(messages.iter().all(|message| message.payload.len() == PAYLOAD));
    let plan = subject::plan(&workload::text(&workload::rules(Kind::Template, 1)));
    assert_eq!(plan.streams[0].fields.len(), WANTED.len());
    let mut ours = Decoding::new(&plan);
    let mut values = [Value::Null, Value::Null];
    let mut reads = [Read::Absent; 2];
    let contestants: Vec<Contestant<'_>> = vec![
        Box::new(|range| range.for_each(|i| keep(ours.message(&messages[i])))),
        Box::new(|range| {
            range.for_each(|i| {
                visitor::read(&messages[i].payload, &WANTED, &mut values).unwrap();
                std::hint::black_box(&values);
            });
        }),
        Box::new(|range| {
            range.for_each(|i| {
                scan(&messages[i].payload, &WANTED, &mut reads).unwrap();
                std::hint::black_box(&reads);
            });
        }),
        Box::new(|range| {
            range.for_each(|i| {
                let tree: serde_json::Value = serde_json::from_slice(&messages[i].payload).unwrap();
                std::hint::black_box(&tree);
            });
        }),
    ];
    let times = race(options.effort(), contestants);
    let [ours, seed, bare, tree] = times[..] else { unreachable!() };
    let title = format!("{PAYLOAD} bytes of JSON, 2 of 8 members, in CPU nanoseconds a message");
    let mut figures = Figures::new("json", title, &["reader", "ns", "of a prototype"]);
    for (name, nanos, known) in [
        ("Weir, with route and row", ours, ""),
        ("serde_json, a seed visitor", seed, "189"),
        ("by hand, whole message checked", bare, "95"),
        ("serde_json::Value", tree, "474"),
    ] {
        figures.row([name.to_owned(), short(nanos), known.to_owned()]);
    }
    report.show(figures);
    report.goals.push(Goal {
        name: "P5",
        figure: ours / seed,
        unit: "× a serde_json seed",
        ceiling: Some(bare / seed),
        ratio: Some(ours / bare),
        goal: format!("≤ 0.6; {} ns against {} and by hand {}", short(ours), short(seed), short(bare)),
        met: ours <= 0.6 * seed,
    });
}
