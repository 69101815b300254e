//! What must be told of a device, from its readings and nothing else: a small machine for each rule of
//! [`super::rules`], written from the documentation. It shares no code with the program.

use std::fmt;

use super::readings::Reading;

const MINUTE: i64 = 60;
const HOUR: i64 = 3_600;

/// One transition, as far as it can be foretold.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Told {
    pub(crate) rule: &'static str,
    /// When it changed, seconds since 1970.
    pub(crate) at: i64,
    pub(crate) state: &'static str,
    pub(crate) reason: &'static str,
    pub(crate) severity: &'static str,
    pub(crate) starts: i64,
    /// Of an occurrence, the values by which it is known; else empty.
    pub(crate) values: String,
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rule, at, state, reason, severity, starts, values } = self;
        write!(f, "{rule} {state}")?;
        if !reason.is_empty() {
            write!(f, " ({reason})")?;
        }
        write!(f, " {severity} at {at} since {starts}")?;
        if values.is_empty() { Ok(()) } else { write!(f, " with {values}") }
    }
}

/// All rules over one device.
#[derive(Debug, Default)]
pub(crate) struct Oracle {
    plain: Option<i64>,
    held: Held,
    kept: Kept,
    thrice: Thrice,
    levels: Levels,
    seldom: Option<i64>,
    hour: Option<Hour>,
    before: Option<Hour>,
    mean: Option<i64>,
    peak: Option<i64>,
    fives: (u64, u64),
    told: Vec<Told>,
}

/// `for`.
#[derive(Debug, Default)]
struct Held {
    since: Option<i64>,
    fires: bool,
}

/// `keep_firing_for`.
#[derive(Debug, Default)]
struct Kept {
    since: Option<i64>,
    cleared: Option<i64>,
}

/// `times`.
#[derive(Debug, Default)]
struct Thrice {
    since: Option<i64>,
    first: i64,
    count: u32,
}

/// `levels`.
#[derive(Debug, Default)]
struct Levels {
    since: i64,
    low: bool,
    high: bool,
}

/// One hour of readings.
#[derive(Clone, Copy, Debug)]
struct Hour {
    begins: i64,
    count: u64,
    serials: u64,
    sum: i64,
    peak: i64,
}

impl Oracle {
    /// Takes the next reading of the device.
    pub(crate) fn take(&mut self, reading: Reading) {
        self.close_hours(reading.at);
        self.plain(reading);
        self.held(reading);
        self.kept(reading);
        self.thrice(reading);
        self.levels(reading);
        self.occurrences(reading);
        self.add(reading);
    }

    /// What must have been told since this was asked last.
    pub(crate) fn told(&mut self) -> Vec<Told> {
        std::mem::take(&mut self.told)
    }

    /// The rules whose alerts stand, with their starts and severities.
    pub(crate) fn standing(&self) -> Vec<(&'static str, i64, &'static str)> {
        let held = self.held.since.filter(|_| self.held.fires);
        let levels = (self.levels.low || self.levels.high).then_some(self.levels.since);
        let all = [
            ("plain", self.plain, "critical"),
            ("held", held, "warning"),
            ("kept", self.kept.since, "error"),
            ("thrice", self.thrice.since, "info"),
            ("levels", levels, self.levels.severity()),
            ("mean", self.mean, "warning"),
            ("peak", self.peak, "critical"),
        ];
        all.into_iter().filter_map(|(rule, since, severity)| Some((rule, since?, severity))).collect()
    }

    fn tell(&mut self, rule: &'static str, fires: bool, at: i64, starts: i64, severity: &'static str) {
        let (state, reason) = if fires { ("firing", "") } else { ("resolved", "recovered") };
        self.told.push(Told { rule, at, state, reason, severity, starts, values: String::new() });
    }

    fn occurs(&mut self, rule: &'static str, at: i64, severity: &'static str, values: String) {
        let (state, reason) = ("occurred", "");
        self.told.push(Told { rule, at, state, reason, severity, starts: at, values });
    }

    fn plain(&mut self, Reading { at, value, .. }: Reading) {
        match self.plain {
            None if value > 60 => {
                self.plain = Some(at);
                self.tell("plain", true, at, at, "critical");
            }
            Some(since) if value < 50 => {
                self.plain = None;
                self.tell("plain", false, at, since, "critical");
            }
            _ => {}
        }
    }

    fn held(&mut self, Reading { at, value, .. }: Reading) {
        if let Some(since) = self.held.since
            && !self.held.fires
            && since + 25 * MINUTE < at
        {
            self.held.fires = true;
            self.tell("held", true, since + 25 * MINUTE, since, "warning");
        }
        if value > 55 {
            self.held.since.get_or_insert(at);
            return;
        }
        if let Some(since) = self.held.since.take()
            && std::mem::take(&mut self.held.fires)
        {
            self.tell("held", false, at, since, "warning");
        }
    }

    fn kept(&mut self, Reading { at, value, .. }: Reading) {
        if let (Some(since), Some(cleared)) = (self.kept.since, self.kept.cleared)
            && cleared + 25 * MINUTE < at
        {
            self.kept = Kept::default();
            self.tell("kept", false, cleared + 25 * MINUTE, since, "error");
        }
        match self.kept.since {
            None if value > 65 => {
                self.kept.since = Some(at);
                self.tell("kept", true, at, at, "error");
            }
            Some(_) if value > 65 => self.kept.cleared = None,
            Some(_) if value < 60 => {
                self.kept.cleared.get_or_insert(at);
            }
            _ => {}
        }
    }

    fn thrice(&mut self, Reading { at, value, .. }: Reading) {
        let wanted = (value > 45) != self.thrice.since.is_some();
        if !wanted {
            self.thrice.count = 0;
            return;
        }
        self.thrice.count += 1;
        if self.thrice.count == 1 {
            self.thrice.first = at;
        }
        if self.thrice.count < 3 {
            return;
        }
        self.thrice.count = 0;
        match self.thrice.since.take() {
            None => {
                self.thrice.since = Some(self.thrice.first);
                self.tell("thrice", true, at, self.thrice.first, "info");
            }
            Some(since) => self.tell("thrice", false, at, since, "info"),
        }
    }

    fn levels(&mut self, Reading { at, value, .. }: Reading) {
        let before = (self.levels.low || self.levels.high).then(|| self.levels.severity());
        self.levels.low = if self.levels.low { value >= 55 } else { value > 60 };
        self.levels.high = if self.levels.high { value >= 75 } else { value > 80 };
        let after = (self.levels.low || self.levels.high).then(|| self.levels.severity());
        match (before, after) {
            (None, Some(severity)) => {
                self.levels.since = at;
                self.tell("levels", true, at, at, severity);
            }
            (Some(severity), None) => self.tell("levels", false, at, self.levels.since, severity),
            (Some(old), Some(new)) if old != new => {
                self.tell("levels", true, at, self.levels.since, new);
                if let Some(told) = self.told.last_mut() {
                    told.reason = "severity";
                }
            }
            _ => {}
        }
    }

    fn occurrences(&mut self, Reading { serial, at, value }: Reading) {
        if value <= 70 {
            return;
        }
        self.occurs("every", at, "info", format!("n={serial}"));
        if self.seldom.is_none_or(|last| at - last >= 45 * MINUTE) {
            self.seldom = Some(at);
            self.occurs("seldom", at, "critical", format!("n={serial}"));
        }
    }

    fn add(&mut self, Reading { serial, at, value }: Reading) {
        let begins = at - at.rem_euclid(HOUR);
        let new = Hour { begins, count: 0, serials: 0, sum: 0, peak: i64::MIN };
        let hour = self.hour.get_or_insert(new);
        hour.count += 1;
        hour.serials += serial;
        hour.sum += value;
        hour.peak = hour.peak.max(value);
        self.fives = (self.fives.0 + 1, self.fives.1 + serial);
        if self.fives.0 == 5 {
            let values = format!("c=5 s={}", self.fives.1);
            self.fives = (0, 0);
            self.occurs("fives", at, "info", values);
        }
    }

    /// Closes what a reading of this time shows to be over.
    fn close_hours(&mut self, at: i64) {
        if let Some(hour) = self.hour.filter(|hour| hour.begins + HOUR <= at) {
            self.hour = None;
            let end = hour.begins + HOUR;
            self.occurs("counted", end, "notice", format!("c={} s={}", hour.count, hour.serials));
            self.mean(hour, end);
            let before = self.before.replace(hour).filter(|old| old.begins + HOUR == hour.begins);
            self.peak(before.map_or(hour.peak, |old| old.peak.max(hour.peak)), end);
        }
        // The second hour of a hopping window may be empty.
        if let Some(old) = self.before.filter(|old| old.begins + 2 * HOUR <= at)
            && self.hour.is_none()
        {
            self.before = None;
            self.peak(old.peak, old.begins + 2 * HOUR);
        }
    }

    fn mean(&mut self, hour: Hour, end: i64) {
        let count = i64::try_from(hour.count).unwrap();
        match self.mean {
            None if hour.sum > 60 * count => {
                self.mean = Some(end);
                self.tell("mean", true, end, end, "warning");
            }
            Some(since) if hour.sum < 50 * count => {
                self.mean = None;
                self.tell("mean", false, end, since, "warning");
            }
            _ => {}
        }
    }

    fn peak(&mut self, peak: i64, end: i64) {
        match self.peak {
            None if peak > 85 => {
                self.peak = Some(end);
                self.tell("peak", true, end, end, "critical");
            }
            Some(since) if peak <= 85 => {
                self.peak = None;
                self.tell("peak", false, end, since, "critical");
            }
            _ => {}
        }
    }
}

impl Levels {
    fn severity(&self) -> &'static str {
        if self.high { "critical" } else { "warning" }
    }
}
