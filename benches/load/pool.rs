//! What is published, and what the rules must find in it: the same for every run.
//!
//! Readings of 150 bytes come from 20,000 devices of 100 sites, each on a topic of its own. The rules are of
//! four kinds, and their lines are drawn so that all of them together match about as often as is
//! wished, whatever their number. What they match is counted here, by other means than the agent's.

use std::fmt::Write as _;

use super::publisher::Packets;

/// Devices, each with a topic of its own.
pub(crate) const DEVICES: u32 = 20_000;
/// Sites that they belong to.
const SITES: u32 = 100;
/// Bytes of a payload.
const PAYLOAD: usize = 150;
/// Values have six digits after the point, and are counted in these; below 100 each decimal is a
/// double of its own, so comparing integers here is comparing doubles there.
const MICROS: u64 = 1_000_000;
/// Values are below this.
const TOP: u64 = 100 * MICROS;

/// One reading: who, and the two fields that rules look at.
#[derive(Clone, Copy)]
struct Reading {
    device: u32,
    values: [u64; 2],
}

/// The readings, as values and as packets.
pub(crate) struct Pool {
    readings: Vec<Reading>,
    packets: [Packets; 2],
}

impl Pool {
    /// `count` readings of the first `devices`.
    pub(crate) fn new(count: usize, devices: u32) -> Self {
        let mut random = fastrand::Rng::with_seed(5);
        let mut packets = [Packets::default(), Packets::default()];
        let readings = (0..count).map(|i| {
            let device = random.u32(0..devices);
            let values = [random.u64(0..TOP), random.u64(0..TOP)];
            let reading = Reading { device, values };
            let payload = payload(i, &reading, &mut random);
            let topic = format!("plant/s{}/d{device}", device % SITES);
            for (qos, packets) in packets.iter_mut().enumerate() {
                packets.add(&topic, payload.as_bytes(), qos as u8);
            }
            reading
        });
        Self { readings: readings.collect(), packets }
    }

    pub(crate) fn len(&self) -> usize {
        self.readings.len()
    }

    pub(crate) fn packets(&self, qos: u8) -> &Packets {
        &self.packets[usize::from(qos.min(1))]
    }

    /// For each place how many matches the readings before it have; one more than there are readings.
    pub(crate) fn matches(&self, rules: &Rules) -> Vec<u64> {
        let mut sums = vec![0];
        let mut sum = 0;
        for reading in &self.readings {
            sum += rules.count(reading);
            sums.push(sum);
        }
        sums
    }
}

fn payload(i: usize, reading: &Reading, random: &mut fastrand::Rng) -> String {
    let [t, h] = reading.values.map(decimal);
    let mut other = || decimal(random.u64(0..TOP));
    let (p, v, c, u) = (other(), other(), other(), other());
    let mut text = format!(
        "{{\"seq\":{i},\"unit\":\"C\",\"p\":{p},\"t\":{t},\"v\":{v},\"c\":{c},\"h\":{h},\"u\":{u},\"mode\":\""
    );
    while text.len() + 2 < PAYLOAD {
        text.push('x');
    }
    text.push_str("\"}");
    text
}

fn decimal(micros: u64) -> String {
    format!("{}.{:06}", micros / MICROS, micros % MICROS)
}

/// A field and the line above which a value matches.
#[derive(Clone, Copy)]
struct Line {
    field: usize,
    over: u64,
}

impl Line {
    fn holds(self, reading: &Reading) -> bool {
        reading.values[self.field] > self.over
    }

    fn sql(self) -> String {
        format!("{} > {}", ["t", "h"][self.field], decimal(self.over))
    }
}

/// Mixed rules, as texts and as what counts their matches.
pub(crate) struct Rules {
    texts: Vec<String>,
    devices: Vec<Vec<Line>>,
    sites: Vec<Vec<Line>>,
    /// Sorted, for each field.
    over: [Vec<u64>; 2],
    /// Lines of both fields, sorted by the first.
    both: Vec<[u64; 2]>,
}

impl Rules {
    /// `count` rules that together match one reading in `one_in`: of ten, seven look at one device,
    /// one at one site, one at all, and one at all in two fields.
    pub(crate) fn new(count: usize, one_in: u32) -> Self {
        let mut random = fastrand::Rng::with_seed(7);
        let mut rules = Self {
            texts: Vec::with_capacity(count),
            devices: vec![Vec::new(); DEVICES as usize],
            sites: vec![Vec::new(); SITES as usize],
            over: [Vec::new(), Vec::new()],
            both: Vec::new(),
        };
        let share = 1.0 / f64::from(one_in) / count as f64;
        for i in 0..count {
            let mut line = |chance: f64| {
                let chance = (chance * (0.5 + random.f64())).min(0.9);
                Line { field: i / 10 % 2, over: TOP - 1 - (chance * TOP as f64) as u64 }
            };
            let condition = match i % 10 {
                0 => {
                    let line = line(share);
                    rules.over[line.field].push(line.over);
                    line.sql()
                }
                1 => {
                    let lines = [line(share.sqrt()).over, line(share.sqrt()).over];
                    rules.both.push(lines);
                    let [first, second] = [0, 1].map(|field| Line { field, over: lines[field] }.sql());
                    format!("{first} AND {second}")
                }
                2 => {
                    let line = line(share * f64::from(SITES));
                    let site = random.u32(0..SITES);
                    rules.sites[site as usize].push(line);
                    format!("site = 's{site}' AND {}", line.sql())
                }
                _ => {
                    let line = line(share * f64::from(DEVICES));
                    let device = random.u32(0..DEVICES);
                    rules.devices[device as usize].push(line);
                    format!("device = 'd{device}' AND {}", line.sql())
                }
            };
            rules.texts.push(condition);
        }
        rules.over.iter_mut().for_each(|lines| lines.sort_unstable());
        rules.both.sort_unstable();
        rules
    }

    /// The rule file. Every match is an occurrence, and none is held back.
    pub(crate) fn yaml(&self) -> String {
        let mut text = String::from(
            "streams:\n- CREATE STREAM m (t FLOAT, h FLOAT) WITH (DATASOURCE='plant/{site}/{device}', KEY='device')\nrules:\n",
        );
        for (i, condition) in self.texts.iter().enumerate() {
            writeln!(text, "- {{id: r{i}, repeat: 0, sql: \"SELECT t, h FROM m WHERE {condition}\"}}")
                .unwrap();
        }
        text
    }

    /// The conditions as JSON, for other programs: `[{"id": "r0", "where": "t > 99.5"}, …]`.
    pub(crate) fn plain(&self) -> String {
        let rule =
            |(i, condition): (usize, &String)| format!("{{\"id\": \"r{i}\", \"where\": \"{condition}\"}}");
        let all: Vec<String> = self.texts.iter().enumerate().map(rule).collect();
        format!("[{}]\n", all.join(",\n"))
    }

    /// How many of the rules match a reading.
    fn count(&self, reading: &Reading) -> u64 {
        let of = |lines: &[Line]| lines.iter().filter(|line| line.holds(reading)).count();
        let over = |field: usize| self.over[field].partition_point(|over| *over < reading.values[field]);
        let first = self.both.partition_point(|lines| lines[0] < reading.values[0]);
        let both = self.both[..first].iter().filter(|lines| lines[1] < reading.values[1]).count();
        let device = of(&self.devices[reading.device as usize]);
        let site = of(&self.sites[(reading.device % SITES) as usize]);
        (device + site + over(0) + over(1) + both) as u64
    }
}
