//! The functions of times. A zone is a constant; without one a time is taken apart in UTC.

use super::Param::{self, Format, Moment, Number, Reading, Span, Text, Zone};
use super::{Function, Gives, Signature, takes};

/// A function of times. What the calendar does not hold is NULL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Time {
    /// `convert_tz(t, zone)`: RFC 3339 with the zone's offset
    ConvertTz,
    /// `cur_date([zone])`, also `current_date`: of the node's clock
    CurDate,
    /// `cur_time([zone])`, also `current_time`: of the node's clock
    CurTime,
    /// `date_calc(t, span)`: moved by a span with a sign
    DateCalc,
    /// `date_diff(a, b)`: whole days from a to b
    DateDiff,
    /// `day(t [, zone])`, also `day_of_month`
    Day,
    /// `day_name(t [, zone])`
    DayName,
    /// `day_of_week(t [, zone])`: Sunday is 1
    DayOfWeek,
    /// `day_of_year(t [, zone])`
    DayOfYear,
    /// `format_time(t, format [, zone])`
    FormatTime,
    /// `from_days(n)`: days since 1970
    FromDays,
    /// `from_unix_time(n)`: seconds since 1970
    FromUnixTime,
    /// `hour(t [, zone])`
    Hour,
    /// `last_day(t [, zone])`: the beginning of the last day of the month
    LastDay,
    /// `microsecond(t)`: behind the second
    Microsecond,
    /// `minute(t [, zone])`
    Minute,
    /// `month(t [, zone])`
    Month,
    /// `month_name(t [, zone])`
    MonthName,
    /// `parse_time(s, format [, zone])`
    ParseTime,
    /// `quarter(t [, zone])`
    Quarter,
    /// `second(t)`
    Second,
    /// `to_days(t [, zone])`: days since 1970
    ToDays,
    /// `to_seconds(t)`: seconds since 1970
    ToSeconds,
    /// `year(t [, zone])`
    Year,
}

const fn time(name: &'static str, function: Time, params: &'static [Param], gives: Gives) -> Signature {
    takes(name, Function::Time(function), params, gives)
}

/// A part of a time, by default in UTC.
const fn part(name: &'static str, function: Time, gives: Gives) -> Signature {
    time(name, function, &[Moment, Zone], gives).least(1)
}

pub(super) const TABLE: &[Signature] = &[
    time("convert_tz", Time::ConvertTz, &[Moment, Zone], Gives::Text),
    time("cur_date", Time::CurDate, &[Zone], Gives::Text).least(0),
    time("current_date", Time::CurDate, &[Zone], Gives::Text).least(0),
    time("cur_time", Time::CurTime, &[Zone], Gives::Text).least(0),
    time("current_time", Time::CurTime, &[Zone], Gives::Text).least(0),
    time("date_calc", Time::DateCalc, &[Moment, Span], Gives::Datetime),
    time("date_diff", Time::DateDiff, &[Moment, Moment], Gives::Bigint),
    part("day", Time::Day, Gives::Bigint),
    part("day_of_month", Time::Day, Gives::Bigint),
    part("day_name", Time::DayName, Gives::Text),
    part("day_of_week", Time::DayOfWeek, Gives::Bigint),
    part("day_of_year", Time::DayOfYear, Gives::Bigint),
    time("format_time", Time::FormatTime, &[Moment, Format, Zone], Gives::Text).least(2),
    time("from_days", Time::FromDays, &[Number], Gives::Datetime),
    time("from_unix_time", Time::FromUnixTime, &[Number], Gives::Datetime),
    part("hour", Time::Hour, Gives::Bigint),
    part("last_day", Time::LastDay, Gives::Datetime),
    time("microsecond", Time::Microsecond, &[Moment], Gives::Bigint),
    part("minute", Time::Minute, Gives::Bigint),
    part("month", Time::Month, Gives::Bigint),
    part("month_name", Time::MonthName, Gives::Text),
    time("parse_time", Time::ParseTime, &[Text, Reading, Zone], Gives::Datetime).least(2),
    part("quarter", Time::Quarter, Gives::Bigint),
    time("second", Time::Second, &[Moment], Gives::Bigint),
    part("to_days", Time::ToDays, Gives::Bigint),
    time("to_seconds", Time::ToSeconds, &[Moment], Gives::Bigint),
    part("year", Time::Year, Gives::Bigint),
];
