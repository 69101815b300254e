//! Points in time. No clock is read here; `clock.rs` alone does that.
//!
//! `Timestamp` is calendar time, as devices and people write it. `Mono` is the node's monotonic
//! clock, which no NTP step moves. Spans are `std::time::Duration`.

use std::fmt;
use std::time::Duration;

/// Calendar time: microseconds since 1970-01-01T00:00:00Z, negative before it.
///
/// Microseconds cover ±292,000 years in 64 bits, so no arithmetic on plausible readings overflows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The earliest representable time; compares below every reading.
    pub const MIN: Self = Self(i64::MIN);

    /// From microseconds since 1970.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// From milliseconds since 1970; saturates.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis.saturating_mul(1_000))
    }

    /// Microseconds since 1970.
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// Milliseconds since 1970, rounded towards the past.
    pub const fn millis(self) -> i64 {
        self.0.div_euclid(1_000)
    }

    /// This time moved into the future by `span`; saturates.
    #[must_use]
    pub fn plus(self, span: Duration) -> Self {
        Self(self.0.saturating_add(micros(span)))
    }

    /// This time moved into the past by `span`; saturates.
    #[must_use]
    pub fn minus(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(micros(span)))
    }

    /// How long after `earlier` this is; zero if it is not after it.
    pub fn since(self, earlier: Self) -> Duration {
        let span = self.0.saturating_sub(earlier.0);
        Duration::from_micros(u64::try_from(span).unwrap_or(0))
    }

    /// The start of the interval of length `span` that holds this time, counted from 1970 in UTC.
    /// A `span` of zero leaves the time as it is.
    #[must_use]
    pub fn floor(self, span: Duration) -> Self {
        match micros(span) {
            0 => self,
            step => Self(self.0.saturating_sub(self.0.rem_euclid(step))),
        }
    }

    /// Reads RFC 3339, with or without fractions, `T` or a blank between date and time, with an
    /// offset or `Z`; without either it is taken as UTC. `None` where it is no such time.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if let Ok(at) = text.parse::<jiff::Timestamp>() {
            return Some(Self(at.as_microsecond()));
        }
        let civil = text.parse::<jiff::civil::DateTime>().ok()?;
        let zoned = civil.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
        Some(Self(zoned.timestamp().as_microsecond()))
    }
}

/// RFC 3339 in UTC, with as many fraction digits as it needs. What no calendar holds is written as
/// microseconds.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_microsecond(self.0) {
            Ok(at) => write!(f, "{at}"),
            Err(_) => write!(f, "{}us", self.0),
        }
    }
}

/// Monotonic time: microseconds since some start that means nothing beyond this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Mono(u64);

impl Mono {
    /// From microseconds since the process's own start of counting.
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// Microseconds since the process's own start of counting.
    pub const fn micros(self) -> u64 {
        self.0
    }

    /// This point moved into the future by `span`; saturates.
    #[must_use]
    pub fn plus(self, span: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(micros(span)).unwrap_or(u64::MAX)))
    }

    /// How long after `earlier` this is; zero if it is not after it.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

/// Whether the time for which an agent was off counts: for the timers of alerts, for windows that silence closes,
/// and for silence itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Downtime {
    /// Time goes on where it stood.
    #[default]
    Ignored,
    /// Time went on meanwhile, by the node's calendar.
    Counted,
}

/// The two clocks, read together: what every pure stage takes as "now".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Now {
    /// Calendar time. May step; nothing but stamps is derived from it.
    pub wall: Timestamp,
    /// Monotonic time. Never goes backwards within a process.
    pub mono: Mono,
}

fn micros(span: Duration) -> i64 {
    i64::try_from(span.as_micros()).unwrap_or(i64::MAX)
}

/// Reads a span as people write it: a number and a unit (`ms s m h d`), several in a row
/// (`1h30m`). A bare `0` is zero.
///
/// # Errors
/// A sentence that says what is wrong with the text.
pub fn parse_span(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let wrong =
        || format!("`{text}` is no duration; write a number and a unit, as in `30s`, `5m`, `1h30m`, `250ms`");
    let mut rest = text;
    let mut total = Duration::ZERO;
    if rest.is_empty() {
        return Err(wrong());
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
        let number: u64 = rest[..digits].parse().map_err(|_| wrong())?;
        rest = &rest[digits..];
        let unit_len = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let millis = match &rest[..unit_len] {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err(wrong()),
        };
        let part = number.checked_mul(millis).ok_or_else(wrong)?;
        total = total.checked_add(Duration::from_millis(part)).ok_or_else(wrong)?;
        rest = &rest[unit_len..];
    }
    Ok(total)
}

/// Writes a span as [`parse_span`] reads it, in the largest units that hold it exactly.
pub fn format_span(span: Duration) -> String {
    let mut millis = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
    if millis == 0 {
        return "0s".to_owned();
    }
    let mut text = String::new();
    for (unit, size) in [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)] {
        if millis >= size {
            text.push_str(&format!("{}{unit}", millis / size));
            millis %= size;
        }
    }
    text
}

/// Serde for a span in the form of [`parse_span`]: use as `#[serde(with = "span_text")]`.
pub mod span_text {
    use super::{Duration, format_span, parse_span};
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    /// Reads a span.
    ///
    /// # Errors
    /// Where the text is no span.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        let text = String::deserialize(from)?;
        parse_span(&text).map_err(D::Error::custom)
    }

    /// Writes a span.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn serialize<S: Serializer>(span: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&format_span(*span))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_read_and_write_back() {
        for text in ["250ms", "30s", "5m", "1h30m", "1d", "2d3h4m5s6ms"] {
            assert_eq!(format_span(parse_span(text).unwrap()), text);
        }
        for text in ["", "5", "m", "5 m", "1x", "99999999999999999999s"] {
            assert!(parse_span(text).is_err(), "{text}");
        }
    }

    #[test]
    fn timestamps_read_every_common_form() {
        let at = Timestamp::from_micros(1_594_512_094_500_000);
        for text in ["2020-07-12T00:01:34.5Z", "2020-07-12 02:01:34.5+02:00", "2020-07-12 00:01:34.5"] {
            assert_eq!(Timestamp::parse(text), Some(at), "{text}");
        }
        assert_eq!(Timestamp::parse("yesterday"), None);
        assert_eq!(at.to_string(), "2020-07-12T00:01:34.5Z");
    }

    #[test]
    fn floor_counts_from_1970_also_before_it() {
        let minute = Duration::from_secs(60);
        assert_eq!(Timestamp::from_millis(-1).floor(minute), Timestamp::from_millis(-60_000));
        assert_eq!(Timestamp::from_millis(61_000).floor(minute), Timestamp::from_millis(60_000));
    }
}
