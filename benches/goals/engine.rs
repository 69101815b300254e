//! P1, P2 and P3: decode and engine on batches in memory, and the index alone, at every size and for
//! every kind of rule; and where the time of a message goes.

use std::sync::Arc;

use weir::model::message::Message;
use weir::model::row::Row;
use weir::plan::logical::Plan;

use crate::Report;
use crate::ceiling::index::{Index, Reading};
use crate::ceiling::scan::{Read, scan};
use crate::figures::Figures;
use crate::options::Options;
use crate::subject::{self, Both, Decoding, Evaluating, Slots, Whole};
use crate::table::{Goal, short};
use crate::timing::{Contestant, keep, race};
use crate::workload::{self, Kind, Rule};

/// What PERFORMANCE.md's ideal takes of one core, messages a second: its own codec, scanner and index
/// with 8,000 rules. A third of it is what P1 asks for.
const IDEAL_SHARE: f64 = 0.35;

/// A set of rules with what it is measured on.
struct Field {
    rules: Vec<Rule>,
    plan: Arc<Plan>,
    slots: Slots,
    rows: Vec<Row>,
}

impl Field {
    fn new(kind: Kind, count: usize, messages: &[Message]) -> Self {
        let rules = workload::rules(kind, count);
        let plan = subject::plan(&workload::text(&rules));
        let rows = Decoding::new(&plan).rows(messages);
        Self { slots: Slots::of(&plan), rules, plan, rows }
    }

    /// The members that a rule of the set names.
    fn wanted(&self) -> Vec<&'static str> {
        let Slots { device, site, temperature, humidity } = self.slots;
        let names =
            [("device", device), ("site", site), ("temperature", temperature), ("humidity", humidity)];
        names.iter().filter(|(_, slot)| slot.is_some()).map(|(name, _)| *name).collect()
    }
}

/// What was measured of one field, in nanoseconds an event; the ceilings beside.
struct Cell {
    kind: Kind,
    count: usize,
    decode: f64,
    index: f64,
    whole: f64,
    bare_scan: f64,
    bare_index: f64,
    bare_whole: f64,
    matches: f64,
}

/// Measures everything here.
pub(crate) fn run(options: &Options, report: &mut Report) {
    let events = workload::events(options.events);
    let messages = workload::messages(&events);
    let mut cells = Vec::new();
    let title =
        "decode and engine, in CPU nanoseconds an event; `hand` is the ceiling; M/s: million a second";
    let heads =
        ["rules", "count", "decode", "hand", "engine", "hand", "both", "hand", "M/s", "ratio", "matches"];
    let mut figures = Figures::new("engine", title, &heads);
    for kind in Kind::ALL {
        for count in options.sizes.iter().copied() {
            let cell = cell(kind, count, &messages, options);
            figures.row([
                kind.name().to_owned(),
                count.to_string(),
                short(cell.decode),
                short(cell.bare_scan),
                short(cell.index),
                short(cell.bare_index),
                short(cell.whole),
                short(cell.bare_whole),
                short(1e3 / cell.whole),
                short(cell.bare_whole / cell.whole),
                short(cell.matches),
            ]);
            cells.push(cell);
        }
    }
    report.goals.extend(goals(&cells, options));
    report.goals.extend(flatness(&messages, options));
    report.show(figures);
    println!("a prototype's hand index, mixed rules: 4, 29, 76, 82, 137 ns at the five sizes\n");
    report.show(stages(&messages, options));
}

fn cell(kind: Kind, count: usize, messages: &[Message], options: &Options) -> Cell {
    let field = Field::new(kind, count, messages);
    let wanted = field.wanted();
    let mut decoding = Decoding::new(&field.plan);
    let mut engine = Evaluating::new(&field.plan);
    let mut both = Both::new(&field.plan);
    let (mut bare, mut bare_whole) = (Bare::new(kind, &field), Bare::new(kind, &field));
    let (mut matched, mut taken) = (0, 0);
    let contestants: Vec<Contestant<'_>> = vec![
        Box::new(|range| range.for_each(|i| keep(decoding.message(&messages[i])))),
        Box::new(|range| range.for_each(|i| keep(engine.row(&field.rows[i])))),
        Box::new(|range| {
            taken += range.len();
            matched += range.map(|i| both.message(&messages[i])).sum::<usize>();
        }),
        Box::new(|range| {
            let mut out = [Read::Absent; 4];
            range.for_each(|i| {
                scan(&messages[i].payload, &wanted, &mut out).unwrap();
                std::hint::black_box(&out);
            });
        }),
        Box::new(|range| {
            for row in &field.rows[range] {
                let reading = Reading {
                    device: Slots::text(row, field.slots.device),
                    site: Slots::text(row, field.slots.site),
                    temperature: Slots::number(row, field.slots.temperature),
                    humidity: Slots::number(row, field.slots.humidity),
                };
                bare.take(reading);
            }
        }),
        Box::new(|range| {
            let mut out = [Read::Absent; 4];
            let place = |name: &str| wanted.iter().position(|known| *known == name);
            let places = ["device", "site", "temperature", "humidity"].map(place);
            for i in range {
                scan(&messages[i].payload, &wanted, &mut out).unwrap();
                let text = |place: Option<usize>| match place.map(|place| out[place]) {
                    Some(Read::Text(text)) => text,
                    _ => "",
                };
                let number = |place: Option<usize>| match place.map(|place| out[place]) {
                    Some(Read::Number(number)) => number,
                    _ => 0.0,
                };
                let [device, site, temperature, humidity] = places;
                bare_whole.take(Reading {
                    device: text(device),
                    site: text(site),
                    temperature: number(temperature),
                    humidity: number(humidity),
                });
            }
        }),
    ];
    let times = race(options.effort(), contestants);
    let [decode, index, whole, bare_scan, bare_index, bare_whole] = times[..] else { unreachable!() };
    let matches = matched as f64 / taken as f64;
    Cell { kind, count, decode, index, whole, bare_scan, bare_index, bare_whole, matches }
}

/// What the ceiling does with an event.
enum Bare {
    Index(Index, Vec<u32>),
    /// Asked for the temperature before.
    Back(Index, f64, Vec<u32>),
    /// Nothing is left but to go over all rules.
    Loop(Vec<f64>, Vec<u32>),
}

impl Bare {
    fn new(kind: Kind, field: &Field) -> Self {
        match kind {
            Kind::Unindexable => {
                let limits = field.rules.iter().map(|rule| rule.above.unwrap_or(f64::MIN)).collect();
                Self::Loop(limits, Vec::new())
            }
            Kind::Back => Self::Back(Index::new(&field.rules), f64::MIN, Vec::new()),
            _ => Self::Index(Index::new(&field.rules), Vec::new()),
        }
    }

    fn take(&mut self, reading: Reading<'_>) {
        match self {
            Self::Index(index, out) => {
                out.clear();
                index.candidates(reading, out);
                std::hint::black_box(&*out);
            }
            Self::Back(index, before, out) => {
                out.clear();
                let temperature = std::mem::replace(before, reading.temperature);
                index.candidates(Reading { temperature, ..reading }, out);
                std::hint::black_box(&*out);
            }
            Self::Loop(limits, out) => {
                out.clear();
                let twice = reading.temperature * 2.0;
                let of = |(i, _): (usize, &f64)| u32::try_from(i).unwrap_or(u32::MAX);
                out.extend(limits.iter().enumerate().filter(|(_, limit)| **limit < twice).map(of));
                std::hint::black_box(&*out);
            }
        }
    }
}

fn goals(cells: &[Cell], options: &Options) -> Vec<Goal> {
    let of = |count| cells.iter().find(|cell| cell.kind == Kind::Mixed && cell.count == count);
    let Some(cell) = of(options.most_named()) else { return Vec::new() };
    let (rate, bare) = (1e3 / cell.whole, 1e3 / cell.bare_whole);
    let whole = Goal {
        name: "P1",
        figure: rate,
        unit: "M messages/s a core",
        ceiling: Some(bare),
        ratio: Some(rate / bare),
        goal: format!("≥ 2.0 with 10,000 mixed rules, {IDEAL_SHARE} × an ideal"),
        met: rate >= 2.0,
    };
    let index = Goal {
        name: "P3",
        figure: cell.index,
        unit: "ns a match",
        ceiling: Some(cell.bare_index),
        ratio: Some(cell.index / cell.bare_index),
        goal: format!("≤ 165 with 10,000 mixed rules, about one match an event ({:.2})", cell.matches),
        met: cell.index <= 165.0,
    };
    vec![whole, index]
}

/// P2, with the sizes that it compares in turns.
fn flatness(messages: &[Message], options: &Options) -> Option<Goal> {
    let sizes = [1, options.most_named(), options.sizes.last().copied().unwrap_or(1)];
    let fields = sizes.map(|count| Field::new(Kind::Mixed, count, messages));
    let mut subjects = [0, 1, 2].map(|i| Both::new(&fields[i].plan));
    let mut bare = [0, 1, 2].map(|i| Bare::new(Kind::Mixed, &fields[i]));
    let wanted = fields.each_ref().map(Field::wanted);
    let mut contestants: Vec<Contestant<'_>> = Vec::new();
    for both in &mut subjects {
        contestants.push(Box::new(|range| range.for_each(|i| keep(both.message(&messages[i])))));
    }
    for ((bare, field), wanted) in bare.iter_mut().zip(&fields).zip(&wanted) {
        contestants.push(Box::new(|range| {
            let mut out = [Read::Absent; 4];
            for i in range {
                scan(&messages[i].payload, wanted, &mut out).unwrap();
                std::hint::black_box(&out);
                let row = &field.rows[i];
                bare.take(Reading {
                    device: Slots::text(row, field.slots.device),
                    site: Slots::text(row, field.slots.site),
                    temperature: Slots::number(row, field.slots.temperature),
                    humidity: Slots::number(row, field.slots.humidity),
                });
            }
        }));
    }
    let times = race(options.effort(), contestants);
    let [one, many, most, bare_one, bare_many, _] = times[..] else { return None };
    let (figure, ceiling, far) = (one / many, bare_one / bare_many, one / most);
    Some(Goal {
        name: "P2",
        figure,
        unit: "× the rate with one rule",
        ceiling: Some(ceiling),
        ratio: Some(figure / ceiling),
        goal: format!("≥ 0.75 with 10,000 mixed rules, and ≥ 0.60 with 100,000 ({far:.2})"),
        met: figure >= 0.75 && far >= 0.60,
    })
}

/// The share of each stage of a message's time, from what the stages take by themselves.
fn stages(messages: &[Message], options: &Options) -> Figures {
    let field = Field::new(Kind::Mixed, options.most_named(), messages);
    let elsewhere: Vec<Message> =
        messages.iter().map(|message| Message { topic: "other/place".into(), ..message.clone() }).collect();
    let quiet: Vec<Row> = field.rows.iter().map(|row| below_all(row, field.slots)).collect();
    let (mut routing, mut decoding) = (Decoding::new(&field.plan), Decoding::new(&field.plan));
    let (mut finding, mut engine) = (Evaluating::new(&field.plan), Evaluating::new(&field.plan));
    let mut whole = Whole::new(subject::admit(&workload::text(&field.rules)));
    let mut copying = Vec::new();
    let contestants: Vec<Contestant<'_>> = vec![
        Box::new(|range| range.for_each(|i| keep(routing.message(&elsewhere[i])))),
        Box::new(|range| range.for_each(|i| keep(decoding.message(&messages[i])))),
        Box::new(|range| range.for_each(|i| keep(finding.row(&quiet[i])))),
        Box::new(|range| range.for_each(|i| keep(engine.row(&field.rows[i])))),
        Box::new(|range| keep(whole.batch(messages[range].to_vec()))),
        Box::new(|range| {
            copying.clear();
            copying.extend_from_slice(&messages[range]);
        }),
    ];
    let times = race(options.effort(), contestants);
    let [route, decode, index, engine, whole, copy] = times[..] else { unreachable!() };
    let whole = (whole - copy).max(decode + engine);
    let stages = [
        ("route", route),
        ("decode", decode - route),
        ("index", index),
        ("evaluate", engine - index),
        ("alert", whole - decode - engine),
    ];
    let title = format!("a message through the core with {} mixed rules", field.rules.len());
    let mut figures = Figures::new("stages", title, &["stage", "ns", "share"]);
    for (name, nanos) in stages.into_iter().chain([("all", whole)]) {
        figures.row([name.to_owned(), short(nanos), format!("{:.0} %", 100.0 * nanos / whole)]);
    }
    figures
}

/// The same row with measures that pass no threshold.
fn below_all(row: &Row, slots: Slots) -> Row {
    let mut row = row.clone();
    for slot in [slots.temperature, slots.humidity].into_iter().flatten() {
        row.slots[slot] = weir::model::value::Value::Float(-2.0);
    }
    row
}
