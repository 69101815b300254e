//! The functions of times. A time is taken apart in the zone that the plan fixed, by default UTC.

use std::fmt::Write as _;

use jiff::tz::TimeZone;
use jiff::{Timestamp as Instant, Zoned};

use super::{bounded, str, whole};
use crate::engine::expr::Env;
use crate::model::coerce;
use crate::model::pattern::{MONTHS, WEEKDAYS};
use crate::model::stream::TimeUnit;
use crate::model::time::Timestamp;
use crate::model::value::Value;
use crate::plan::function::{Compiled, Format, Offset, Piece, Time, span_micros};

const DAY: i64 = 86_400_000_000;

pub(super) fn call(function: Time, fixed: &[Compiled], args: &[&Value], env: &Env) -> Value {
    let first = || args.first().and_then(|value| coerce::timestamp(value, TimeUnit::Auto));
    let found = match function {
        Time::CurDate | Time::CurTime => Some(env.now),
        Time::FromDays | Time::FromUnixTime | Time::ParseTime => {
            return args.first().map_or(Value::Null, |value| made(function, fixed, value, env));
        }
        _ => first(),
    };
    let Some(at) = found else { return Value::Null };
    match (function, args) {
        (Time::DateCalc, [_, span]) => match str(span).and_then(span_micros) {
            Some(span) => moment(at.micros().checked_add(span), env),
            None => Value::Null,
        },
        (Time::DateDiff, [_, other]) => match coerce::timestamp(other, TimeUnit::Auto) {
            Some(other) => env.integer(other.micros().checked_sub(at.micros()).map(|span| span / DAY)),
            None => Value::Null,
        },
        (Time::ToSeconds, _) => Value::Int(at.micros().div_euclid(1_000_000)),
        (Time::Second, _) => Value::Int(at.micros().div_euclid(1_000_000).rem_euclid(60)),
        (Time::Microsecond, _) => Value::Int(at.micros().rem_euclid(1_000_000)),
        _ => match zoned(at, fixed) {
            Some(zoned) => part(function, &zoned, fixed, env),
            None => env.undefined(),
        },
    }
}

/// The time in its zone; `None` for what no calendar holds.
fn zoned(at: Timestamp, fixed: &[Compiled]) -> Option<Zoned> {
    Some(Instant::from_microsecond(at.micros()).ok()?.to_zoned(zone(fixed)))
}

fn zone(fixed: &[Compiled]) -> TimeZone {
    let named = fixed.iter().find_map(|one| match one {
        Compiled::Zone(zone) => Some(zone.zone().clone()),
        _ => None,
    });
    named.unwrap_or(TimeZone::UTC)
}

fn moment(micros: Option<i64>, env: &Env) -> Value {
    micros.map_or_else(|| env.undefined(), |micros| Value::Time(Timestamp::from_micros(micros)))
}

fn named(names: &[&str], place: i8) -> Value {
    let name = usize::try_from(place).ok().and_then(|place| names.get(place));
    name.map_or(Value::Null, |name| Value::str(name))
}

/// A part of a time.
fn part(function: Time, at: &Zoned, fixed: &[Compiled], env: &Env) -> Value {
    let int = |n: i8| Value::Int(i64::from(n));
    match function {
        Time::CurDate => Value::str(&at.date().to_string()),
        Time::CurTime => Value::str(&format!("{:02}:{:02}:{:02}", at.hour(), at.minute(), at.second())),
        Time::Year => Value::Int(i64::from(at.year())),
        Time::Quarter => int((at.month() + 2) / 3),
        Time::Month => int(at.month()),
        Time::MonthName => named(&MONTHS, at.month() - 1),
        Time::Day => int(at.day()),
        Time::DayName => named(&WEEKDAYS, at.weekday().to_monday_zero_offset()),
        Time::DayOfWeek => int(at.weekday().to_sunday_one_offset()),
        Time::DayOfYear => Value::Int(i64::from(at.day_of_year())),
        Time::Hour => int(at.hour()),
        Time::Minute => int(at.minute()),
        Time::LastDay => match at.last_of_month().and_then(|last| last.start_of_day()) {
            Ok(day) => Value::Time(Timestamp::from_micros(day.timestamp().as_microsecond())),
            Err(_) => env.undefined(),
        },
        Time::ToDays => days(at),
        Time::ConvertTz => Value::str(&rfc3339(at)),
        Time::FormatTime => match fixed.first() {
            Some(Compiled::Format(format)) => bounded(&write(at, format), env),
            _ => Value::Null,
        },
        _ => Value::Null,
    }
}

/// From 1970 to the day that it is in its zone.
fn days(at: &Zoned) -> Value {
    let midnight = at.date().to_zoned(TimeZone::UTC);
    midnight.map_or(Value::Null, |day| Value::Int(day.timestamp().as_microsecond().div_euclid(DAY)))
}

/// With as many digits of the second as it needs, and the offset.
fn rfc3339(at: &Zoned) -> String {
    let mut text = at.datetime().to_string();
    push_offset(&mut text, at, Offset::Colon);
    text
}

/// Times that are made of something else.
fn made(function: Time, fixed: &[Compiled], value: &Value, env: &Env) -> Value {
    match (function, value) {
        (Time::FromDays, _) => whole(value).map_or(Value::Null, |days| moment(days.checked_mul(DAY), env)),
        (Time::FromUnixTime, Value::Int(seconds)) => moment(seconds.checked_mul(1_000_000), env),
        (Time::FromUnixTime, Value::Float(seconds)) => {
            moment(coerce::truncated((seconds * 1e6).round()), env)
        }
        (Time::ParseTime, Value::Str(text)) => match fixed.first() {
            Some(Compiled::Format(format)) => {
                read(text, format, zone(fixed)).map_or(Value::Null, Value::Time)
            }
            _ => Value::Null,
        },
        _ => Value::Null,
    }
}

fn write(at: &Zoned, format: &Format) -> String {
    let mut text = String::new();
    for piece in format.pieces() {
        // Writing to a String cannot fail.
        let _infallible = write_piece(&mut text, at, piece);
    }
    text
}

fn write_piece(text: &mut String, at: &Zoned, piece: &Piece) -> std::fmt::Result {
    let mut number = |n: i8, padded: bool| if padded { write!(text, "{n:02}") } else { write!(text, "{n}") };
    match piece {
        Piece::Month { padded } => return number(at.month(), *padded),
        Piece::Day { padded } => return number(at.day(), *padded),
        Piece::Hour { padded } => return number(at.hour(), *padded),
        Piece::HalfHour { padded } => return number((at.hour() + 11) % 12 + 1, *padded),
        Piece::Minute { padded } => return number(at.minute(), *padded),
        Piece::Second { padded } => return number(at.second(), *padded),
        _ => {}
    }
    let name = |names: &[&'static str], place: i8, short: bool| {
        let name =
            usize::try_from(place).ok().and_then(|place| names.get(place)).copied().unwrap_or_default();
        if short { &name[..3] } else { name }
    };
    // Years before 1 are counted back from 1 BC.
    let year = if at.year() > 0 { at.year() } else { 1 - at.year() };
    match piece {
        Piece::Literal(literal) => text.push_str(literal),
        Piece::Era => text.push_str(if at.year() > 0 { "AD" } else { "BC" }),
        Piece::Year { short: true } => return write!(text, "{:02}", year % 100),
        Piece::Year { short: false } => return write!(text, "{year:04}"),
        Piece::MonthName { short } => text.push_str(name(&MONTHS, at.month() - 1, *short)),
        Piece::Weekday { short } => {
            text.push_str(name(&WEEKDAYS, at.weekday().to_monday_zero_offset(), *short));
        }
        Piece::Half => text.push_str(if at.hour() < 12 { "AM" } else { "PM" }),
        Piece::Fraction { digits, point } => {
            let nanos = format!("{:09}", at.subsec_nanosecond());
            let dot = if *point { "." } else { "" };
            return write!(text, "{dot}{}", nanos.get(..*digits).unwrap_or(&nanos));
        }
        Piece::ZoneName => {
            let info = at.time_zone().to_offset_info(at.timestamp());
            text.push_str(info.abbreviation());
        }
        Piece::Offset(offset) => push_offset(text, at, *offset),
        _ => {}
    }
    Ok(())
}

fn push_offset(text: &mut String, at: &Zoned, how: Offset) {
    let seconds = at.offset().seconds();
    let sign = if seconds < 0 { '-' } else { '+' };
    let (hours, minutes) = (seconds.abs() / 3_600, seconds.abs() / 60 % 60);
    text.push_str(&match how {
        Offset::Hours => format!("{sign}{hours:02}"),
        Offset::Compact => format!("{sign}{hours:02}{minutes:02}"),
        Offset::Colon => format!("{sign}{hours:02}:{minutes:02}"),
    });
}

/// What a text tells of a time; what it leaves out is the beginning of 1970.
struct Told {
    year: i16,
    before_christ: bool,
    month: i8,
    day: i8,
    hour: i8,
    afternoon: Option<bool>,
    minute: i8,
    second: i8,
    nanos: i32,
    /// Seconds east of Greenwich.
    offset: Option<i32>,
}

/// Reads a time; `None` where the text does not follow the format, or the day does not exist. A time of
/// day that a change of the clock skips or repeats is read by the offset before the change.
fn read(text: &str, format: &Format, zone: TimeZone) -> Option<Timestamp> {
    let mut told = Told {
        year: 1970,
        before_christ: false,
        month: 1,
        day: 1,
        hour: 0,
        afternoon: None,
        minute: 0,
        second: 0,
        nanos: 0,
        offset: None,
    };
    let mut rest = text.trim();
    for piece in format.pieces() {
        read_piece(&mut rest, piece, &mut told)?;
    }
    if !rest.is_empty() {
        return None;
    }
    let hour = match told.afternoon {
        Some(_) if !(1..=12).contains(&told.hour) => return None,
        Some(afternoon) => told.hour % 12 + if afternoon { 12 } else { 0 },
        None => told.hour,
    };
    let year = if told.before_christ { 1 - told.year } else { told.year };
    let civil =
        jiff::civil::DateTime::new(year, told.month, told.day, hour, told.minute, told.second, told.nanos)
            .ok()?;
    let zone = match told.offset {
        Some(seconds) => TimeZone::fixed(jiff::tz::Offset::from_seconds(seconds).ok()?),
        None => zone,
    };
    Some(Timestamp::from_micros(civil.to_zoned(zone).ok()?.timestamp().as_microsecond()))
}

fn read_piece(rest: &mut &str, piece: &Piece, told: &mut Told) -> Option<()> {
    match piece {
        Piece::Literal(literal) => *rest = rest.strip_prefix(&**literal)?,
        Piece::Era => told.before_christ = choice(rest, &["AD", "BC"], false)? == 1,
        Piece::Year { short: false } => told.year = number(rest, 4, 4)?,
        Piece::Year { short: true } => {
            let year: i16 = number(rest, 2, 2)?;
            told.year = if year < 70 { 2_000 } else { 1_900 } + year;
        }
        Piece::Month { padded } => told.month = one_or_two(rest, *padded)?,
        Piece::MonthName { short } => told.month = choice(rest, &MONTHS, *short)? + 1,
        Piece::Day { padded } => told.day = one_or_two(rest, *padded)?,
        // The date tells it, too.
        Piece::Weekday { short } => {
            choice(rest, &WEEKDAYS, *short)?;
        }
        Piece::Hour { padded } => told.hour = one_or_two(rest, *padded)?,
        Piece::HalfHour { padded } => {
            told.hour = one_or_two(rest, *padded)?;
            told.afternoon.get_or_insert(false);
        }
        Piece::Half => told.afternoon = Some(choice(rest, &["AM", "PM"], false)? == 1),
        Piece::Minute { padded } => told.minute = one_or_two(rest, *padded)?,
        Piece::Second { padded } => told.second = one_or_two(rest, *padded)?,
        Piece::Fraction { digits, point } => {
            if *point {
                *rest = rest.strip_prefix('.')?;
            }
            let fraction: i32 = number(rest, *digits, *digits)?;
            told.nanos = fraction * 10_i32.pow(9 - u32::try_from(*digits).ok()?.min(9));
        }
        Piece::ZoneName => return None,
        Piece::Offset(how) => told.offset = Some(offset(rest, *how)?),
    }
    Some(())
}

fn one_or_two(rest: &mut &str, padded: bool) -> Option<i8> {
    number(rest, if padded { 2 } else { 1 }, 2)
}

/// Between so many and so many digits.
fn number<N: std::str::FromStr>(rest: &mut &str, least: usize, most: usize) -> Option<N> {
    let digits = rest.bytes().take(most).take_while(u8::is_ascii_digit).count();
    let (number, behind) = rest.split_at_checked(digits)?;
    *rest = behind;
    if digits < least { None } else { number.parse().ok() }
}

/// One of these names, or of their first three letters, in any case.
fn choice(rest: &mut &str, names: &[&str], short: bool) -> Option<i8> {
    for (place, name) in names.iter().enumerate() {
        let name = if short { &name[..3] } else { name };
        if let Some((head, behind)) = rest.split_at_checked(name.len())
            && head.eq_ignore_ascii_case(name)
        {
            *rest = behind;
            return i8::try_from(place).ok();
        }
    }
    None
}

/// In seconds. `Z` is zero.
fn offset(rest: &mut &str, how: Offset) -> Option<i32> {
    if let Some(behind) = rest.strip_prefix('Z') {
        *rest = behind;
        return Some(0);
    }
    let negative = rest.starts_with('-');
    *rest = rest.strip_prefix(['+', '-'])?;
    let hours: i32 = number(rest, 2, 2)?;
    let minutes: i32 = match how {
        Offset::Hours => 0,
        Offset::Compact => number(rest, 2, 2)?,
        Offset::Colon => {
            *rest = rest.strip_prefix(':')?;
            number(rest, 2, 2)?
        }
    };
    if hours > 15 || minutes > 59 {
        return None;
    }
    let seconds = hours * 3_600 + minutes * 60;
    Some(if negative { -seconds } else { seconds })
}
