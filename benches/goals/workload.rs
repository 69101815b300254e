//! The rules and messages that the goals speak of, from fixed seeds: the same in every run.
//!
//! Mixed rules are 70 % `device = 'x' AND temperature > T`, 10 % `site = 's' AND temperature > T`, 10 %
//! `temperature > T` and 10 % two thresholds. About one rule matches an event at every size: devices,
//! sites and measures of the events are the same for all sizes, and each kind of rule gets its constants
//! from the share of an event's matches that it is to have. Of few rules by device too few meet an event,
//! so the thresholds for all devices take their part; one rule alone is `temperature > -1`. Of the
//! thresholds that meet every event each further one is met half as often, as limits of a plant are:
//! most of them never.

use std::fmt::Write;
use std::sync::Arc;

use bytes::Bytes;
use weir::model::message::{Message, Topic};
use weir::model::time::Timestamp;

/// Devices that send; each has a site.
pub(crate) const DEVICES: usize = 1_000;
/// Sites.
pub(crate) const SITES: usize = 20;
/// The length of each payload in bytes; its members are eight.
pub(crate) const PAYLOAD: usize = 150;
/// What a measure lies below; from 0, evenly spread.
const RANGE: f64 = 100.0;
/// The share of an event's matches that rules by device are to have in a mixed set.
const BY_DEVICE: f64 = 0.7;

/// The sizes that the goals name.
pub(crate) const SIZES: [usize; 5] = [1, 300, 8_000, 10_000, 100_000];

/// What the rules of a set look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// As the goals have it.
    Mixed,
    /// `device = 'x'`, each rule with its own.
    Equality,
    /// `temperature > T`.
    Threshold,
    /// `device = 'x' AND temperature > T`: identical but for the constants.
    Template,
    /// `lag(temperature) > T`: the function needs every row.
    Back,
    /// `temperature * 2 > T`: no index knows what a function makes of a field.
    Unindexable,
}

impl Kind {
    pub(crate) const ALL: [Self; 6] =
        [Self::Mixed, Self::Equality, Self::Threshold, Self::Template, Self::Back, Self::Unindexable];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Mixed => "mixed",
            Self::Equality => "equality only",
            Self::Threshold => "threshold only",
            Self::Template => "identical but for constants",
            Self::Back => "looking back: lag(t) > T",
            Self::Unindexable => "unindexable: t * 2 > T",
        }
    }
}

/// What is compared with a threshold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Measure {
    /// The temperature.
    Now,
    /// That of the reading before.
    Before,
    /// The double of it.
    Twice,
}

/// One rule: what must hold of an event.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    pub(crate) device: Option<usize>,
    pub(crate) site: Option<usize>,
    pub(crate) above: Option<f64>,
    pub(crate) humid: Option<f64>,
    /// What `above` is about.
    pub(crate) measure: Measure,
}

impl Rule {
    const ALL: Self = Self { device: None, site: None, above: None, humid: None, measure: Measure::Now };

    fn condition(&self) -> String {
        let mut parts = Vec::new();
        parts.extend(self.device.map(|device| format!("device = '{}'", device_name(device))));
        parts.extend(self.site.map(|site| format!("site = '{}'", site_name(site))));
        let measure = match self.measure {
            Measure::Now => "temperature",
            Measure::Before => "lag(temperature)",
            Measure::Twice => "temperature * 2",
        };
        parts.extend(self.above.map(|above| format!("{measure} > {above:.4}")));
        parts.extend(self.humid.map(|humid| format!("humidity > {humid:.4}")));
        parts.join(" AND ")
    }
}

pub(crate) fn device_name(device: usize) -> String {
    format!("d{device:05}")
}

pub(crate) fn site_name(site: usize) -> String {
    format!("s{site:02}")
}

/// The threshold that an event passes with this probability.
fn passed_by(probability: f64) -> f64 {
    ((1.0 - probability.clamp(0.0, 1.0)) * RANGE * 10_000.0).round() / 10_000.0
}

/// The threshold number `rank` of those that share an event's `share` of matches: the first passes
/// half of it, each further one half of the one before.
fn limit(share: f64, rank: usize) -> f64 {
    match rank {
        0..30 => passed_by(share * 0.5_f64.powi(i32::try_from(rank).unwrap_or(i32::MAX) + 1)),
        _ => RANGE + rank as f64 * 0.01,
    }
}

/// `count` rules of a kind.
pub(crate) fn rules(kind: Kind, count: usize) -> Vec<Rule> {
    match kind {
        Kind::Mixed => mixed(count),
        Kind::Equality => (0..count).map(|i| Rule { device: Some(i), ..Rule::ALL }).collect(),
        Kind::Threshold => {
            let limit = |i| if count == 1 { -1.0 } else { limit(1.0, i) };
            (0..count).map(|i| Rule { above: Some(limit(i)), ..Rule::ALL }).collect()
        }
        Kind::Template => by_device(count, 1.0),
        Kind::Back => rarely(count, Measure::Before, 1.0),
        Kind::Unindexable => rarely(count, Measure::Twice, 2.0),
    }
}

/// Rules of which an event matches one in ten times, about a measure that is so many times as large.
fn rarely(count: usize, measure: Measure, scale: f64) -> Vec<Rule> {
    (0..count).map(|i| Rule { above: Some(limit(0.1, i) * scale), measure, ..Rule::ALL }).collect()
}

fn mixed(count: usize) -> Vec<Rule> {
    if count == 1 {
        return vec![Rule { above: Some(-1.0), ..Rule::ALL }];
    }
    let of = |kinds: &[usize]| (0..count).filter(|i| kinds.contains(&(i % 10))).count();
    let mut devices = by_device(of(&[2, 3, 4, 5, 6, 7, 8]), BY_DEVICE).into_iter();
    let share = 0.1 + (BY_DEVICE - met_by_device(of(&[2, 3, 4, 5, 6, 7, 8]), BY_DEVICE)).max(0.0);
    let (mut sites, mut plain, mut two) = (0, 0, 0);
    let rule = |i: usize| match i % 10 {
        0 => {
            plain += 1;
            Rule { above: Some(limit(share, plain - 1)), ..Rule::ALL }
        }
        1 => {
            sites += 1;
            let (site, rank) = ((sites - 1) % SITES, (sites - 1) / SITES);
            Rule { site: Some(site), above: Some(limit(0.1, rank)), ..Rule::ALL }
        }
        9 => {
            two += 1;
            Rule { above: Some(limit(0.2, two - 1)), humid: Some(RANGE / 2.0), ..Rule::ALL }
        }
        _ => devices.next().unwrap_or(Rule::ALL),
    };
    (0..count).map(rule).collect()
}

/// How likely an event passes the threshold of a rule of its device, so that `share` come in all.
fn chance(count: usize, share: f64) -> f64 {
    (share * DEVICES as f64 / count.max(1) as f64).min(0.9)
}

fn met_by_device(count: usize, share: f64) -> f64 {
    chance(count, share) * count as f64 / DEVICES as f64
}

fn by_device(count: usize, share: f64) -> Vec<Rule> {
    let mut random = fastrand::Rng::with_seed(7);
    let chance = chance(count, share);
    let spread = chance.min(1.0 - chance);
    let mut rule = |i: usize| {
        let above = passed_by(chance + spread * (2.0 * random.f64() - 1.0));
        Rule { device: Some(i % DEVICES), above: Some(above), ..Rule::ALL }
    };
    (0..count).map(&mut rule).collect()
}

const STREAM: &str = "streams:
  - CREATE STREAM readings (device STRING, site STRING, temperature FLOAT, humidity FLOAT, pressure FLOAT, vibration FLOAT, seq BIGINT, state STRING) WITH (DATASOURCE='plant/+', KEY='device')
rules:
";

/// The rule file of these rules.
pub(crate) fn text(rules: &[Rule]) -> String {
    let mut text = STREAM.to_owned();
    for (i, rule) in rules.iter().enumerate() {
        let condition = rule.condition();
        writeln!(
            text,
            "  - {{id: r{i}, sql: \"SELECT device, temperature FROM readings WHERE {condition}\"}}"
        )
        .unwrap();
    }
    text
}

/// The windows of window rules: a round of [`WINDOW_ROUND`] events holds one end of each.
const WINDOWS: [&str; 3] =
    ["TUMBLINGWINDOW(ss, 60)", "HOPPINGWINDOW(ss, 300, 60)", "HOPPINGWINDOW(ss, 600, 60)"];
/// Milliseconds between two events of window rules.
pub(crate) const WINDOW_STEP_MS: i64 = 1;
/// The events of a minute.
pub(crate) const WINDOW_ROUND: usize = 60_000;

/// A rule file with this many window rules on a key and a field. They differ in their thresholds, which
/// few windows reach, and in which of three windows they take; and where `aggregates` are several, in
/// those.
pub(crate) fn window_text(count: usize, aggregates: &[&str]) -> String {
    let mut text = STREAM.to_owned();
    for (i, above) in window_limits(count).enumerate() {
        let (window, aggregate) = (WINDOWS[i % 3], aggregates[i / 3 % aggregates.len()]);
        // Counts are larger than readings, and few windows are to reach them either.
        let above = if aggregate == "count" { above * 100.0 } else { above };
        writeln!(
            text,
            "  - {{id: w{i}, sql: \"SELECT device, {aggregate}(temperature) AS t FROM readings GROUP BY device, {window} HAVING {aggregate}(temperature) > {above:.4}\"}}",
        )
        .unwrap();
    }
    text
}

/// A rule file with one rule over a window of so many slices of a second, which no window fulfils.
pub(crate) fn hopping_text(slices: usize) -> String {
    let columns = "SELECT device, avg(temperature) AS t, max(temperature) AS m FROM readings";
    let window = format!("HOPPINGWINDOW(ss, {slices}, 1)");
    let having = "avg(temperature) > 1000000";
    format!("{STREAM}  - {{id: h, sql: \"{columns} GROUP BY device, {window} HAVING {having}\"}}\n")
}

/// The thresholds of window rules.
pub(crate) fn window_limits(count: usize) -> impl Iterator<Item = f64> {
    (0..count).map(move |i| RANGE + i as f64 * 40.0 / count as f64)
}

/// One event as the ceilings see it: what a message says.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) device: usize,
    pub(crate) temperature: f64,
    pub(crate) humidity: f64,
}

/// `count` events.
pub(crate) fn events(count: usize) -> Vec<Event> {
    let mut random = fastrand::Rng::with_seed(42);
    let mut measure = || (random.f64() * RANGE * 10_000.0).floor() / 10_000.0;
    let mut devices = fastrand::Rng::with_seed(43);
    (0..count)
        .map(|_| Event { device: devices.usize(..DEVICES), temperature: measure(), humidity: measure() })
        .collect()
}

/// The events as messages, a microsecond apart.
pub(crate) fn messages(events: &[Event]) -> Vec<Message> {
    let source: Arc<str> = "bench".into();
    let topics: Vec<Topic> =
        (0..DEVICES).map(|device| format!("plant/{}", device_name(device)).into()).collect();
    events
        .iter()
        .enumerate()
        .map(|(i, event)| Message {
            source: source.clone(),
            topic: topics[event.device].clone(),
            payload: payload(i, event),
            received: Timestamp::from_micros(1_700_000_000_000_000 + i as i64),
            retained: false,
            dup: false,
            qos: 0,
            properties: Box::default(),
            ack: None,
        })
        .collect()
}

fn payload(i: usize, event: &Event) -> Bytes {
    let Event { device, temperature, humidity } = event;
    let (device, site) = (device_name(*device), site_name(device % SITES));
    let mut text = format!(
        r#"{{"device":"{device}","site":"{site}","temperature":{temperature:.4},"humidity":{humidity:.4},"pressure":1013.25,"vibration":0.0123,"seq":{},"state":"run"#,
        100_000 + i,
    );
    while text.len() < PAYLOAD - 2 {
        text.push('n');
    }
    text.push_str("\"}");
    Bytes::from(text)
}
