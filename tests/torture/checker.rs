//! Compares what the hub has with what must have been told, and says exactly what differs.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::Value as Json;
use weir::model::time::Timestamp;

use super::oracle::{Oracle, Told};
use super::readings::Reading;
use super::rules;

/// Which promise an agent of the run has made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Promise {
    /// Nothing is lost, and nothing comes twice.
    Durable,
    /// The same, but for windows that were open when the agent ended.
    Processed,
}

/// A transition as the hub has it.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    epoch: String,
    seq: u64,
    fingerprint: String,
    pub(crate) device: String,
    pub(crate) told: Told,
    /// The agent's clock when it was decided, microseconds.
    recorded: i64,
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// More may still come that mends it.
    pub(crate) may_pass: bool,
    pub(crate) what: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

fn fault(what: String) -> Fault {
    Fault { may_pass: false, what }
}

/// What was heard of one agent.
#[derive(Debug)]
struct Seen {
    name: String,
    promise: Promise,
    /// The numbers of each epoch.
    numbers: BTreeMap<String, BTreeSet<u64>>,
    /// The last number of each alert, the time for which it was told last, and whether it is up.
    alerts: BTreeMap<String, (u64, i64, bool)>,
    /// What was not yet compared, by device.
    rows: BTreeMap<String, Vec<Row>>,
    marks: BTreeSet<u64>,
    faults: Vec<Fault>,
}

/// Everything that is expected and heard.
#[derive(Debug)]
pub(crate) struct Checker {
    devices: BTreeMap<String, Oracle>,
    expected: BTreeMap<String, Vec<Told>>,
    agents: Vec<Seen>,
    /// The last of the hub's transitions that was read.
    pub(crate) after: i64,
    /// How many transitions agreed.
    pub(crate) agreed: u64,
    /// How many of windows were left out, as their agent ended while they were open.
    pub(crate) excused: u64,
}

/// What is known of the time since the last comparison.
#[derive(Debug)]
pub(crate) struct Since<'a> {
    /// Whether readings may have come twice, by no fault of the agent.
    pub(crate) repeats: bool,
    /// When each agent ended without a word, microseconds of the calendar.
    pub(crate) ends: &'a [Vec<i64>],
    /// How old the snapshot of each agent may be, microseconds.
    pub(crate) snapshots: &'a [i64],
}

impl Checker {
    pub(crate) fn new(agents: &[(&str, Promise)]) -> Self {
        let seen = |(name, promise): &(&str, Promise)| Seen {
            name: (*name).to_owned(),
            promise: *promise,
            numbers: BTreeMap::new(),
            alerts: BTreeMap::new(),
            rows: BTreeMap::new(),
            marks: BTreeSet::new(),
            faults: Vec::new(),
        };
        Self {
            devices: BTreeMap::new(),
            expected: BTreeMap::new(),
            agents: agents.iter().map(seen).collect(),
            after: 0,
            agreed: 0,
            excused: 0,
        }
    }

    /// Takes what was published.
    pub(crate) fn published(&mut self, readings: Vec<(String, Vec<Reading>)>) {
        for (device, readings) in readings {
            let oracle = self.devices.entry(device.clone()).or_default();
            for reading in readings {
                oracle.take(reading);
            }
            self.expected.entry(device).or_default().extend(oracle.told());
        }
    }

    /// Devices that measure no longer.
    pub(crate) fn forget_devices(&mut self) {
        self.devices.clear();
        self.expected.clear();
    }

    /// Takes a page of the hub's transitions.
    pub(crate) fn heard(&mut self, page: &[Json]) {
        for json in page {
            self.after = json["id"].as_i64().unwrap();
            let Some(seen) = self.agents.iter_mut().find(|seen| json["agent"] == seen.name.as_str()) else {
                continue;
            };
            seen.take(json);
        }
    }

    /// Whether an agent has told of a mark.
    pub(crate) fn has_mark(&self, agent: usize, number: u64) -> bool {
        self.agents[agent].marks.contains(&number)
    }

    /// What differs; where nothing does, what was compared is settled.
    pub(crate) fn compare(&mut self, since: &Since<'_>) -> Vec<Fault> {
        let mut faults = Vec::new();
        let (mut agreed, mut excused) = (0, 0);
        for ((seen, ends), snapshot) in self.agents.iter_mut().zip(since.ends).zip(since.snapshots) {
            faults.extend(seen.faults.iter().cloned());
            faults.extend(seen.gaps());
            for (device, told) in &self.expected {
                let rows = seen.rows.get(device).map(Vec::as_slice).unwrap_or_default();
                let difference = Difference::of(told, rows);
                agreed += difference.agreed;
                let bounds = Bounds { promise: seen.promise, rows, ends, snapshot: *snapshot, since };
                for (lost, told) in difference.wrong() {
                    if bounds.excuse(told) {
                        excused += 1;
                        continue;
                    }
                    let how = if lost { "lost" } else { "not expected, or twice" };
                    let what = format!("{} {device}: {how}: {told}", seen.name);
                    faults.push(Fault { may_pass: lost, what });
                }
            }
        }
        if faults.is_empty() {
            self.agreed += agreed;
            self.excused += excused;
            self.expected.clear();
            self.agents.iter_mut().for_each(|seen| seen.rows.clear());
        }
        faults
    }

    /// Compares what stands at the hub for an agent with what must stand.
    pub(crate) fn compare_standing(&self, agent: usize, alerts: &[Json], repeats: bool) -> Vec<Fault> {
        let seen = &self.agents[agent];
        let judged = |rule: &str| {
            (!repeats || rules::bears_repeats(rule))
                && (seen.promise == Promise::Durable || !rules::has_window(rule))
        };
        let mut standing = BTreeSet::new();
        for alert in alerts {
            let row = Row::of(alert);
            if self.devices.contains_key(&row.device) && judged(row.told.rule) {
                let severity = alert["severity"].as_str().unwrap().to_owned();
                standing.insert((row.device, row.told.rule, row.told.starts, severity));
            }
        }
        let mut expected = BTreeSet::new();
        for (device, oracle) in &self.devices {
            for (rule, starts, severity) in oracle.standing() {
                if judged(rule) {
                    expected.insert((device.clone(), rule, starts, severity.to_owned()));
                }
            }
        }
        let missing = expected.difference(&standing);
        let missing = missing.map(|it| fault(format!("{}: stands, and not at the hub: {it:?}", seen.name)));
        let extra = standing.difference(&expected);
        let extra = extra.map(|it| fault(format!("{}: stands at the hub alone: {it:?}", seen.name)));
        missing.chain(extra).collect()
    }
}

impl Seen {
    fn take(&mut self, json: &Json) {
        let row = Row::of(json);
        if !self.numbers.entry(row.epoch.clone()).or_default().insert(row.seq) {
            let what = format!("{}: number {} of epoch {} came twice", self.name, row.seq, row.epoch);
            self.faults.push(fault(what));
        }
        if row.told.rule == rules::MARK {
            self.marks.insert(json["values"]["n"].as_u64().unwrap());
            return;
        }
        self.follow(&row);
        self.rows.entry(row.device.clone()).or_default().push(row);
    }

    /// The order of each alert, and that it comes and goes in turn.
    fn follow(&mut self, row: &Row) {
        let fires = row.told.state == "firing";
        let known = self.alerts.get(&row.fingerprint).copied();
        let (last, at, up) = known.unwrap_or((0, i64::MIN, false));
        if row.seq < last {
            let what = format!("{} {}: {} overtook number {last}", self.name, row.device, row.told);
            self.faults.push(fault(what));
        }
        let wrong = match row.told.reason {
            "severity" => !up,
            _ => fires == up,
        };
        if rules::ends_hours(row.told.rule) && row.told.at <= at {
            let what = format!("{} {}: the window was decided before: {}", self.name, row.device, row.told);
            self.faults.push(fault(what));
        }
        if rules::has_state(row.told.rule) && wrong {
            let was = if up { "up" } else { "quiet" };
            let what = format!(
                "{} {}: {} (number {}), though it was {was}",
                self.name, row.device, row.told, row.seq
            );
            self.faults.push(fault(what));
        }
        self.alerts.insert(row.fingerprint.clone(), (row.seq, row.told.at, fires));
    }

    /// Numbers that are not there.
    fn gaps(&self) -> Vec<Fault> {
        let gap = |(epoch, numbers): (&String, &BTreeSet<u64>)| {
            let last = numbers.last().copied().unwrap_or(0);
            let missing: Vec<u64> = (1..=last).filter(|number| !numbers.contains(number)).take(10).collect();
            (!missing.is_empty()).then(|| Fault {
                may_pass: true,
                what: format!("{}: epoch {epoch} lacks the numbers {missing:?} …", self.name),
            })
        };
        self.numbers.iter().filter_map(gap).collect()
    }
}

impl Row {
    fn of(json: &Json) -> Self {
        let text = |key: &str| json[key].as_str().unwrap_or_default().to_owned();
        let micros = |key: &str| Timestamp::parse(&text(key)).unwrap().micros();
        let seconds = |key: &str| micros(key) / 1_000_000;
        let values = &json["values"];
        let rule = known(&text("rule"));
        let values = match rule {
            "every" | "seldom" => format!("n={}", values["n"]),
            "counted" | "fives" => format!("c={} s={}", values["c"], values["s"]),
            _ => String::new(),
        };
        Self {
            epoch: text("epoch"),
            seq: json["seq"].as_u64().unwrap(),
            fingerprint: text("fingerprint"),
            device: json["labels"]["device"].as_str().unwrap_or_default().to_owned(),
            recorded: micros("recorded_at"),
            told: Told {
                rule,
                at: seconds("occurred_at"),
                state: known(&text("state")),
                reason: known(&text("reason")),
                severity: known(&text("severity")),
                starts: seconds("starts_at"),
                values,
            },
        }
    }
}

/// The same word, as one of those that are expected.
fn known(word: &str) -> &'static str {
    const WORDS: [&str; 25] = [
        "",
        "plain",
        "held",
        "kept",
        "thrice",
        "levels",
        "every",
        "seldom",
        "counted",
        "fives",
        "mean",
        "peak",
        "mark",
        "firing",
        "resolved",
        "occurred",
        "severity",
        "recovered",
        "info",
        "notice",
        "warning",
        "error",
        "critical",
        "reconciled",
        "no_data",
    ];
    WORDS.into_iter().find(|known| *known == word).unwrap_or("something else")
}

/// Two bags against each other.
struct Difference<'a> {
    counts: BTreeMap<&'a Told, i64>,
    agreed: u64,
}

impl<'a> Difference<'a> {
    fn of(expected: &'a [Told], rows: &'a [Row]) -> Self {
        let mut counts: BTreeMap<&Told, i64> = BTreeMap::new();
        for told in expected {
            *counts.entry(told).or_default() += 1;
        }
        let mut agreed = 0;
        for row in rows {
            let count = counts.entry(&row.told).or_default();
            agreed += u64::from(*count > 0);
            *count -= 1;
        }
        counts.retain(|_, count| *count != 0);
        Self { counts, agreed }
    }

    /// What is wrong, and whether it is lost.
    fn wrong(&self) -> impl Iterator<Item = (bool, &'a Told)> {
        self.counts.iter().map(|(told, count)| (*count > 0, *told))
    }
}

/// What may differ after all.
struct Bounds<'a> {
    promise: Promise,
    rows: &'a [Row],
    ends: &'a [i64],
    snapshot: i64,
    since: &'a Since<'a>,
}

impl Bounds<'_> {
    fn excuse(&self, told: &Told) -> bool {
        if self.since.repeats && !rules::bears_repeats(told.rule) {
            // At least once, still.
            return told.rule != "every" || self.rows.iter().any(|row| row.told == *told);
        }
        if self.promise == Promise::Durable {
            return false;
        }
        if !rules::has_window(told.rule) {
            return false;
        }
        // One window that lacks a reading moves the next ones of a count, and the alert that the next mean finds. A
        // window of an hour stands for itself.
        told.rule != "counted" || self.was_open_at_an_end(told)
    }

    /// Whether the agent ended while the window was open, or before it was written down that it is closed. When
    /// readings were evaluated is told by the transitions that they gave by themselves.
    fn was_open_at_an_end(&self, told: &Told) -> bool {
        let by_itself = |row: &&Row| !rules::has_window(row.told.rule);
        let begins = told.at - 3_600;
        let opened = self.rows.iter().filter(by_itself).filter(|row| row.told.at < begins);
        let opened = opened.map(|row| row.recorded).max().unwrap_or(i64::MIN);
        let closed = self.rows.iter().filter(by_itself).filter(|row| row.told.at >= told.at);
        let closed = closed.map(|row| row.recorded).min().unwrap_or(i64::MAX);
        self.ends.iter().any(|end| opened <= *end && *end <= closed.saturating_add(self.snapshot))
    }
}
