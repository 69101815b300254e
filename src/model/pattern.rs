//! How a time is written, letter by letter: `yyyy-MM-dd HH:mm:ss.SSS`. The letters are eKuiper's.
//! Reads only; what does not match to the end is no time.

use std::fmt;

use super::time::Timestamp;

/// The most parts that a pattern has.
const PARTS: usize = 32;

/// A pattern. Times without an offset are UTC.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TimePattern {
    /// Each part a byte: the code of a [`Part`], or an ASCII character that stands for itself; 0 where
    /// the pattern is over.
    parts: [u8; PARTS],
}

/// A part of a time. The codes lie above ASCII.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// `yyyy`
    Year = 0x80,
    /// `yy`: 69 to 99 are of the last century, 00 to 68 of this one.
    ShortYear,
    /// `MMMM`
    MonthName,
    /// `MMM`
    MonthAbbreviation,
    /// `MM`
    Month,
    /// `M`
    ShortMonth,
    /// `dd`
    Day,
    /// `d`
    ShortDay,
    /// `EEEE`: read, and not compared with the date.
    WeekdayName,
    /// `EEE`: as above.
    WeekdayAbbreviation,
    /// `HH`, `hh`
    Hour,
    /// `H`, `h`
    ShortHour,
    /// `a`: AM or PM.
    Half,
    /// `mm`
    Minute,
    /// `m`
    ShortMinute,
    /// `ss`
    Second,
    /// `s`
    ShortSecond,
    /// `X`, `XX`, `XXX`, `z`: `Z`, `UTC`, `+0200`, `+02:00`, `+02`.
    Offset,
    /// `S` to `SSSSSSSSS`: so many digits of the fraction.
    Fraction1,
    /// Two digits.
    Fraction2,
    /// Three digits.
    Fraction3,
    /// Four digits.
    Fraction4,
    /// Five digits.
    Fraction5,
    /// Six digits.
    Fraction6,
    /// Seven digits.
    Fraction7,
    /// Eight digits.
    Fraction8,
    /// Nine digits.
    Fraction9,
}

/// All parts, in the order of their codes.
const ALL: [Part; 27] = [
    Part::Year,
    Part::ShortYear,
    Part::MonthName,
    Part::MonthAbbreviation,
    Part::Month,
    Part::ShortMonth,
    Part::Day,
    Part::ShortDay,
    Part::WeekdayName,
    Part::WeekdayAbbreviation,
    Part::Hour,
    Part::ShortHour,
    Part::Half,
    Part::Minute,
    Part::ShortMinute,
    Part::Second,
    Part::ShortSecond,
    Part::Offset,
    Part::Fraction1,
    Part::Fraction2,
    Part::Fraction3,
    Part::Fraction4,
    Part::Fraction5,
    Part::Fraction6,
    Part::Fraction7,
    Part::Fraction8,
    Part::Fraction9,
];

/// The months, January first, as texts of times name them.
pub const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// The days of the week, Monday first.
pub const WEEKDAYS: [&str; 7] =
    ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

impl TimePattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// A sentence that says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut parts = [0; PARTS];
        let mut len = 0;
        let mut push = |code: u8| {
            let slot =
                parts.get_mut(len).ok_or_else(|| format!("the pattern has more than {PARTS} parts"))?;
            *slot = code;
            len += 1;
            Ok::<(), String>(())
        };
        let mut chars = text.chars().peekable();
        let mut has = Has::default();
        while let Some(c) = chars.next() {
            if c == '\'' {
                let mut inner = 0;
                loop {
                    match chars.next() {
                        Some('\'') if inner == 0 => break push(b'\'')?,
                        Some('\'') => break,
                        Some(c) => push(literal(c)?)?,
                        None => return Err("a quote in the pattern is never closed".to_owned()),
                    }
                    inner += 1;
                }
                continue;
            }
            if !c.is_ascii_alphabetic() || matches!(c, 'T' | 'Z') {
                push(literal(c)?)?;
                continue;
            }
            let mut count = 1;
            while chars.next_if_eq(&c).is_some() {
                count += 1;
            }
            let part = part(c, count)
                .ok_or_else(|| format!("no part `{}` in a pattern of time", c.to_string().repeat(count)))?;
            has.note(part, c);
            push(part as u8)?;
        }
        has.check()?;
        Ok(Self { parts })
    }

    /// The time that a text tells; `None` where it does not follow the pattern, or is no date.
    pub fn read(self, text: &str) -> Option<Timestamp> {
        let mut rest = text.trim();
        let mut time = Fields::default();
        for code in self.parts.into_iter().take_while(|code| *code != 0) {
            match code.checked_sub(Part::Year as u8) {
                None => rest = rest.strip_prefix(char::from(code))?,
                Some(part) => rest = time.take(*ALL.get(usize::from(part))?, rest)?,
            }
        }
        if rest.is_empty() { time.timestamp() } else { None }
    }
}

/// As it was written, but for quotes.
impl fmt::Debug for TimePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for code in self.parts.into_iter().take_while(|code| *code != 0) {
            match code.checked_sub(Part::Year as u8).and_then(|part| ALL.get(usize::from(part))) {
                Some(part) => write!(f, "{{{part:?}}}")?,
                None => write!(f, "{}", char::from(code))?,
            }
        }
        Ok(())
    }
}

fn literal(c: char) -> Result<u8, String> {
    match u8::try_from(c) {
        Ok(byte) if (b' '..=b'~').contains(&byte) => Ok(byte),
        _ => Err(format!("`{c}` cannot stand in a pattern of time")),
    }
}

fn part(letter: char, count: usize) -> Option<Part> {
    Some(match (letter, count) {
        ('y' | 'Y', 4) => Part::Year,
        ('y' | 'Y', 2) => Part::ShortYear,
        ('M', 4) => Part::MonthName,
        ('M', 3) => Part::MonthAbbreviation,
        ('M', 2) => Part::Month,
        ('M', 1) => Part::ShortMonth,
        ('d' | 'D', 2) => Part::Day,
        ('d' | 'D', 1) => Part::ShortDay,
        ('E', 4) => Part::WeekdayName,
        ('E', 3) => Part::WeekdayAbbreviation,
        ('H' | 'h', 2) => Part::Hour,
        ('H' | 'h', 1) => Part::ShortHour,
        ('a', 1) => Part::Half,
        ('m', 2) => Part::Minute,
        ('m', 1) => Part::ShortMinute,
        ('s', 2) => Part::Second,
        ('s', 1) => Part::ShortSecond,
        ('X', 1..=3) | ('z', 1..=4) => Part::Offset,
        ('S', 1..=9) => *ALL.get(Part::Fraction1 as usize - Part::Year as usize + count - 1)?,
        _ => return None,
    })
}

/// Which parts a pattern has.
#[derive(Default)]
struct Has {
    year: bool,
    month: bool,
    day: bool,
    twelve: bool,
    half: bool,
}

impl Has {
    fn note(&mut self, part: Part, letter: char) {
        match part {
            Part::Year | Part::ShortYear => self.year = true,
            Part::MonthName | Part::MonthAbbreviation | Part::Month | Part::ShortMonth => self.month = true,
            Part::Day | Part::ShortDay => self.day = true,
            Part::Hour | Part::ShortHour => self.twelve |= letter == 'h',
            Part::Half => self.half = true,
            _ => {}
        }
    }

    fn check(&self) -> Result<(), String> {
        if !(self.year && self.month && self.day) {
            return Err("the pattern names no day: it needs a year, a month and a day".to_owned());
        }
        if self.twelve != self.half {
            return Err("`h` counts to twelve and needs `a` for AM and PM; `H` counts to 24".to_owned());
        }
        Ok(())
    }
}

/// What was read so far.
#[derive(Default)]
struct Fields {
    year: i16,
    month: i8,
    day: i8,
    hour: i8,
    minute: i8,
    second: i8,
    nanos: i32,
    offset: i64,
    afternoon: Option<bool>,
}

impl Fields {
    /// Takes one part off the text.
    fn take<'t>(&mut self, part: Part, text: &'t str) -> Option<&'t str> {
        let mut small = |range: std::ops::RangeInclusive<usize>, field: fn(&mut Self) -> &mut i8| {
            let (number, rest) = digits(text, range)?;
            *field(self) = i8::try_from(number).ok()?;
            Some(rest)
        };
        match part {
            Part::Month => return small(2..=2, |f| &mut f.month),
            Part::ShortMonth => return small(1..=2, |f| &mut f.month),
            Part::Day => return small(2..=2, |f| &mut f.day),
            Part::ShortDay => return small(1..=2, |f| &mut f.day),
            Part::Hour => return small(2..=2, |f| &mut f.hour),
            Part::ShortHour => return small(1..=2, |f| &mut f.hour),
            Part::Minute => return small(2..=2, |f| &mut f.minute),
            Part::ShortMinute => return small(1..=2, |f| &mut f.minute),
            Part::Second => return small(2..=2, |f| &mut f.second),
            Part::ShortSecond => return small(1..=2, |f| &mut f.second),
            _ => {}
        }
        match part {
            Part::Year => {
                let (year, rest) = digits(text, 4..=4)?;
                self.year = i16::try_from(year).ok()?;
                Some(rest)
            }
            Part::ShortYear => {
                let (year, rest) = digits(text, 2..=2)?;
                self.year = i16::try_from(if year < 69 { 2000 + year } else { 1900 + year }).ok()?;
                Some(rest)
            }
            Part::MonthName | Part::MonthAbbreviation => {
                let (month, rest) = name(&MONTHS, part == Part::MonthName, text)?;
                self.month = i8::try_from(month + 1).ok()?;
                Some(rest)
            }
            Part::WeekdayName | Part::WeekdayAbbreviation => {
                Some(name(&WEEKDAYS, part == Part::WeekdayName, text)?.1)
            }
            Part::Half => {
                let half = text.get(..2)?;
                self.afternoon = Some(half.eq_ignore_ascii_case("PM"));
                (half.eq_ignore_ascii_case("AM") || half.eq_ignore_ascii_case("PM")).then(|| &text[2..])
            }
            Part::Offset => {
                let (offset, rest) = offset(text)?;
                self.offset = offset;
                Some(rest)
            }
            fraction => {
                let count = (fraction as usize).checked_sub(Part::Fraction1 as usize)? + 1;
                let (number, rest) = digits(text, count..=count)?;
                let scale = 10_u32.pow(9 - u32::try_from(count).ok()?);
                self.nanos = i32::try_from(number.checked_mul(scale)?).ok()?;
                Some(rest)
            }
        }
    }

    fn timestamp(&self) -> Option<Timestamp> {
        let hour = match self.afternoon {
            None => self.hour,
            Some(_) if !(1..=12).contains(&self.hour) => return None,
            Some(afternoon) => self.hour % 12 + if afternoon { 12 } else { 0 },
        };
        let civil = jiff::civil::DateTime::new(
            self.year,
            self.month,
            self.day,
            hour,
            self.minute,
            self.second,
            self.nanos,
        );
        let zoned = civil.ok()?.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
        let micros = zoned.timestamp().as_microsecond().checked_sub(self.offset.checked_mul(1_000_000)?)?;
        Some(Timestamp::from_micros(micros))
    }
}

/// As many digits as there are within the range, as a number.
fn digits(text: &str, range: std::ops::RangeInclusive<usize>) -> Option<(u32, &str)> {
    let there = text.bytes().take(*range.end()).take_while(u8::is_ascii_digit).count();
    let (head, rest) = text.split_at_checked(there)?;
    if there < *range.start() { None } else { Some((head.parse().ok()?, rest)) }
}

/// Which of the names the text begins with, whole or its first three letters.
fn name<'t>(names: &[&str], whole: bool, text: &'t str) -> Option<(usize, &'t str)> {
    names.iter().enumerate().find_map(|(i, name)| {
        let name = if whole { name } else { name.get(..3)? };
        let head = text.get(..name.len())?;
        head.eq_ignore_ascii_case(name).then(|| (i, &text[name.len()..]))
    })
}

/// An offset from UTC in seconds.
fn offset(text: &str) -> Option<(i64, &str)> {
    for utc in ["UTC", "GMT", "Z"] {
        if let Some(rest) = text.strip_prefix(utc) {
            return Some((0, rest));
        }
    }
    let (sign, rest) = match text.split_at_checked(1)? {
        ("+", rest) => (1, rest),
        ("-", rest) => (-1, rest),
        _ => return None,
    };
    let (hours, rest) = digits(rest, 2..=2)?;
    let (minutes, rest) = match digits(rest.strip_prefix(':').unwrap_or(rest), 2..=2) {
        Some(found) => found,
        None => (0, rest),
    };
    (hours < 24 && minutes < 60).then(|| (sign * i64::from(hours * 3_600 + minutes * 60), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pattern: &str, text: &str, expected: Option<&str>) {
        let found = TimePattern::parse(pattern).unwrap().read(text).map(|at| at.to_string());
        assert_eq!(found.as_deref(), expected, "{text} as {pattern}");
    }

    #[test]
    fn codes_follow_the_order() {
        for (i, part) in ALL.into_iter().enumerate() {
            assert_eq!(part as usize, Part::Year as usize + i);
        }
    }

    #[test]
    fn every_part_reads() {
        let noon = Some("2026-01-31T12:00:00Z");
        check("yyyy-MM-dd HH:mm:ss", "2026-01-31 12:00:00", noon);
        check("YYYY-MM-DDTHH:mm:ssZ", "2026-01-31T12:00:00Z", noon);
        check("d/M/yy h:m:s a", "31/1/26 12:0:0 pm", noon);
        check("d/M/yy h:m:s a", "31/1/26 12:0:0 AM", Some("2026-01-31T00:00:00Z"));
        check("EEE, dd MMM yyyy HH:mm:ss z", "Sat, 31 Jan 2026 12:00:00 GMT", noon);
        check("EEEE dd MMMM yyyy HH", "Saturday 31 January 2026 12", noon);
        check("yyyyMMddHHmmss", "20260131120000", noon);
        check("yyyy-MM-dd HH:mm:ssXXX", "2026-01-31 14:00:00+02:00", noon);
        check("yyyy-MM-dd HH:mm:ssX", "2026-01-31 06:30:00-0530", noon);
        check("yyyy-MM-dd 'o''clock' HH", "2026-01-31 oclock 12", noon);
        check("yyyy-MM-dd HH:mm:ss.SSS", "2026-01-31 12:00:00.250", Some("2026-01-31T12:00:00.25Z"));
        check("yyyy-MM-dd", "1969-12-31", Some("1969-12-31T00:00:00Z"));
    }

    #[test]
    fn what_does_not_follow_is_no_time() {
        for text in ["2026-02-30", "2026-2-01", "2026-02-01 ", "2026-02-01x", "", "é026-02-01", "26-02-01"] {
            let expected = (text == "2026-02-01 ").then_some("2026-02-01T00:00:00Z");
            check("yyyy-MM-dd", text, expected);
        }
        check("yyyy-MM-dd hh a", "2026-02-01 13 PM", None);
        check("yyyy-MM-dd HH:mm:ss.SSS", "2026-01-31 12:00:00.25", None);
        check("yyyy-MM-dd HH:mm", "2026-01-31 24:00", None);
    }

    #[test]
    fn a_pattern_must_name_an_instant() {
        for (pattern, message) in [
            ("HH:mm:ss", "names no day"),
            ("yyyy-MM-dd hh:mm", "needs `a`"),
            ("yyyy-MM-dd QQ", "no part `QQ`"),
            ("yyy-MM-dd", "no part `yyy`"),
            ("yyyy-MM-dd 'x", "never closed"),
            ("yyyy年MM-dd", "cannot stand"),
            ("yyyy-MM-dd HH:mm:ss and so on and so on", "no part"),
        ] {
            let found = TimePattern::parse(pattern).unwrap_err();
            assert!(found.contains(message), "{pattern}: {found}");
        }
        assert!(
            TimePattern::parse(&format!("yyyy-MM-dd{}", "-".repeat(40))).unwrap_err().contains("more than")
        );
    }
}
