//! When a rule is in force: days, hours and dates of a place's own calendar. Judged in stream time, so that a
//! replay says the same.

use std::fmt;
use std::time::Duration;

use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::time::Timestamp;

/// How many spans that touch are looked at for the end of them all. Whoever is in force that long is so for
/// good, as far as an alert goes.
const MOST_SPANS: usize = 400;
/// How many days are looked at for the next span; each weekday is among any seven.
const MOST_DAYS: usize = 9;

/// When a rule is in force: while any of its parts is.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    /// The parts; at least one.
    pub parts: Vec<Part>,
}

/// One span a day, on some days.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    /// The days on which a span begins, Monday first.
    pub days: [bool; 7],
    /// Minutes after midnight at which it begins.
    pub from: u16,
    /// Minutes after midnight before which it ends; not behind `from`, where that is on the next day.
    pub until: u16,
    /// The first and the last day on which it begins; always where `None`.
    pub dates: Option<(Date, Date)>,
    /// Whose days and hours these are.
    pub zone: TimeZone,
}

impl Schedule {
    /// Whether it is in force.
    pub fn is_active(&self, at: Timestamp) -> bool {
        self.parts.iter().any(|part| part.around(at).is_some())
    }

    /// When it is in force no longer, seen from a time at which it is; `None` where that is not to be expected, and
    /// where it is not in force then.
    pub fn end(&self, at: Timestamp) -> Option<Timestamp> {
        let mut end = None;
        for _ in 0..MOST_SPANS {
            let from = end.unwrap_or(at);
            let next = self.parts.iter().filter_map(|part| part.around(from)).max();
            match next {
                Some(next) => end = Some(next),
                None => return end,
            }
        }
        None
    }

    /// When it is in force next, at a time or after it.
    pub fn next(&self, at: Timestamp) -> Option<Timestamp> {
        if self.is_active(at) {
            return Some(at);
        }
        self.parts.iter().filter_map(|part| part.next(at)).min()
    }
}

impl Part {
    /// The end of the span that a time lies in.
    fn around(&self, at: Timestamp) -> Option<Timestamp> {
        let today = self.date(at)?;
        let days = [Some(today), today.yesterday().ok()];
        let spans = days.into_iter().flatten().filter_map(|day| self.span(day));
        spans.filter(|(from, until)| *from <= at && at < *until).map(|(_, until)| until).max()
    }

    /// The beginning of the first span behind a time.
    fn next(&self, at: Timestamp) -> Option<Timestamp> {
        let today = self.date(at)?;
        let first = self.dates.map_or(today, |(first, _)| first.max(today));
        let days = std::iter::successors(Some(first), |day| day.tomorrow().ok()).take(MOST_DAYS);
        days.filter_map(|day| self.span(day)).map(|(from, _)| from).find(|from| *from > at)
    }

    fn date(&self, at: Timestamp) -> Option<Date> {
        let at = jiff::Timestamp::from_microsecond(at.micros()).ok()?;
        Some(self.zone.to_datetime(at).date())
    }

    /// The span that begins on a day. A clock that is put forward or back in it makes it shorter or longer.
    fn span(&self, day: Date) -> Option<(Timestamp, Timestamp)> {
        let weekday = usize::try_from(day.weekday().to_monday_zero_offset()).ok()?;
        if !*self.days.get(weekday)? || self.dates.is_some_and(|(first, last)| day < first || day > last) {
            return None;
        }
        let last = if self.until > self.from { day } else { day.tomorrow().ok()? };
        Some((self.instant(day, self.from)?, self.instant(last, self.until)?))
    }

    fn instant(&self, day: Date, minutes: u16) -> Option<Timestamp> {
        let minutes = i8::try_from(minutes / 60).ok().zip(i8::try_from(minutes % 60).ok());
        let (day, (hour, minute)) = match minutes? {
            (24, minute) => (day.tomorrow().ok()?, (0, minute)),
            within => (day, within),
        };
        let zoned = day.at(hour, minute, 0, 0).to_zoned(self.zone.clone()).ok()?;
        Some(Timestamp::from_micros(zoned.timestamp().as_microsecond()))
    }
}

/// `mon-fri 08:00-18:00 Europe/Berlin`, `every day 22:00-06:00 2026-12-24..2026-12-26 UTC`.
impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const NAMES: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
        let mut days: Vec<String> = Vec::new();
        let mut at = 0;
        while at < 7 {
            let run = self.days[at..].iter().take_while(|day| **day).count();
            match run {
                0 => at += 1,
                1 => days.push(NAMES[at].to_owned()),
                7 => days.push("every day".to_owned()),
                _ => days.push(format!("{}-{}", NAMES[at], NAMES[at + run - 1])),
            }
            at += run;
        }
        let clock = |minutes: u16| format!("{:02}:{:02}", minutes / 60, minutes % 60);
        write!(f, "{} {}-{}", days.join(","), clock(self.from), clock(self.until))?;
        if let Some((first, last)) = self.dates {
            write!(f, " {first}")?;
            if last > first {
                write!(f, "..{last}")?;
            }
        }
        write!(f, " {}", self.zone.iana_name().unwrap_or("UTC"))
    }
}

/// How often an alert may fire before it counts as flapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flapping {
    /// So often,
    pub changes: u16,
    /// within this span.
    pub within: Duration,
}

impl Flapping {
    /// The most changes that can be asked for.
    pub const MOST: u16 = 100;
}

impl Default for Flapping {
    fn default() -> Self {
        Self { changes: 5, within: Duration::from_secs(600) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(text).unwrap()
    }

    fn part(days: [u8; 7], from: u16, until: u16, zone: &str) -> Schedule {
        let days = days.map(|day| day == 1);
        Schedule { parts: vec![Part { days, from, until, dates: None, zone: TimeZone::get(zone).unwrap() }] }
    }

    #[test]
    fn hours_of_working_days_follow_the_clock_of_the_place() {
        let office = part([1, 1, 1, 1, 1, 0, 0], 8 * 60, 18 * 60, "Europe/Berlin");
        // Winter: UTC+1; summer: UTC+2.
        for (text, active) in [
            ("2026-01-05T06:59:59Z", false),
            ("2026-01-05T07:00:00Z", true),
            ("2026-01-05T16:59:59Z", true),
            ("2026-01-05T17:00:00Z", false),
            ("2026-07-06T06:00:00Z", true),
            ("2026-07-05T12:00:00Z", false),
        ] {
            assert_eq!(office.is_active(at(text)), active, "{text}");
        }
        assert_eq!(office.parts[0].to_string(), "mon-fri 08:00-18:00 Europe/Berlin");
        assert_eq!(office.end(at("2026-01-05T07:00:00Z")), Some(at("2026-01-05T17:00:00Z")));
        assert_eq!(office.next(at("2026-01-09T17:00:00Z")), Some(at("2026-01-12T07:00:00Z")));
        assert_eq!(office.end(at("2026-01-10T12:00:00Z")), None);
    }

    #[test]
    fn a_span_over_midnight_belongs_to_the_day_on_which_it_begins() {
        let night = part([0, 0, 0, 0, 1, 0, 0], 22 * 60, 6 * 60, "UTC");
        assert!(night.is_active(at("2026-01-10T05:59:59Z")), "Saturday morning");
        assert!(!night.is_active(at("2026-01-09T05:59:59Z")), "Friday morning");
        assert_eq!(night.end(at("2026-01-09T23:00:00Z")), Some(at("2026-01-10T06:00:00Z")));
    }

    #[test]
    fn whole_days_that_touch_are_one_span_and_a_night_of_a_clock_change_is_shorter() {
        let days = part([1, 1, 1, 1, 1, 0, 0], 0, 24 * 60, "UTC");
        assert_eq!(days.end(at("2026-01-05T03:00:00Z")), Some(at("2026-01-10T00:00:00Z")));
        assert_eq!(part([1; 7], 0, 24 * 60, "UTC").end(at("2026-01-05T03:00:00Z")), None);
        let night = part([1; 7], 22 * 60, 6 * 60, "Europe/Berlin");
        assert_eq!(night.end(at("2026-03-28T21:00:00Z")), Some(at("2026-03-29T04:00:00Z")), "7 hours");
        assert_eq!(night.end(at("2026-10-24T20:00:00Z")), Some(at("2026-10-25T05:00:00Z")), "9 hours");
    }

    #[test]
    fn dates_bound_the_days() {
        let mut feast = part([1; 7], 0, 24 * 60, "UTC");
        let date = |text: &str| text.parse::<Date>().unwrap();
        feast.parts[0].dates = Some((date("2026-12-24"), date("2026-12-26")));
        assert_eq!(feast.next(at("2026-01-05T03:00:00Z")), Some(at("2026-12-24T00:00:00Z")));
        assert_eq!(feast.end(at("2026-12-25T03:00:00Z")), Some(at("2026-12-27T00:00:00Z")));
        assert_eq!(feast.next(at("2026-12-27T00:00:00Z")), None);
    }
}
