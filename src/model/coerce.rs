//! What text and numbers mean as values of another type: alike in payloads, in captures of a
//! topic and in CAST. Nothing here guesses beyond its doc; what does not convert is `None`.

use super::stream::TimeUnit;
use super::time::Timestamp;
use super::value::Value;

/// `true` `on` `yes` `1` and `false` `off` `no` `0`, in any case.
pub fn boolean(text: &str) -> Option<bool> {
    let text = text.trim();
    let is = |words: [&str; 4]| words.iter().any(|word| word.eq_ignore_ascii_case(text));
    if is(["true", "on", "yes", "1"]) {
        Some(true)
    } else if is(["false", "off", "no", "0"]) {
        Some(false)
    } else {
        None
    }
}

/// A finite number in decimal notation.
pub fn float(text: &str) -> Option<f64> {
    text.trim().parse::<f64>().ok().filter(|x| x.is_finite())
}

/// A whole number that fits 64 bits; `5.0` and `5e3` are whole.
pub fn integer(text: &str) -> Option<i64> {
    let text = text.trim();
    text.parse().ok().or_else(|| whole(float(text)?))
}

/// The number without its fraction, where 64 bits hold it.
pub fn truncated(number: f64) -> Option<i64> {
    // -2^63 and 2^63: the first is the least that an i64 holds, the second the least above all.
    const LEAST: f64 = -9_223_372_036_854_775_808.0;
    #[expect(clippy::cast_possible_truncation, reason = "the range is checked in the same line")]
    (LEAST..-LEAST).contains(&number.trunc()).then_some(number as i64)
}

/// The number as an integer, where it is one and 64 bits hold it.
pub fn whole(number: f64) -> Option<i64> {
    if number.fract() == 0.0 { truncated(number) } else { None }
}

/// A point in time, written as `unit` says. Fractions are kept to the microsecond.
pub fn timestamp(value: &Value, unit: TimeUnit) -> Option<Timestamp> {
    match value {
        Value::Time(at) => Some(*at),
        Value::Int(n) => match unit {
            TimeUnit::Pattern(pattern) => pattern.read(&n.to_string()),
            _ => from_integer(*n, unit),
        },
        Value::Float(x) => from_float(*x, unit),
        Value::Str(text) => timestamp_in(text, unit),
        _ => None,
    }
}

/// What [`timestamp`] makes of this text.
pub fn timestamp_in(text: &str, unit: TimeUnit) -> Option<Timestamp> {
    if let TimeUnit::Pattern(pattern) = unit {
        return pattern.read(text);
    }
    let text = text.trim();
    if unit != TimeUnit::Rfc3339 {
        if let Ok(n) = text.parse() {
            return from_integer(n, unit);
        }
        if let Some(x) = float(text) {
            return from_float(x, unit);
        }
    }
    match unit {
        TimeUnit::Auto | TimeUnit::Rfc3339 => Timestamp::parse(text),
        _ => None,
    }
}

fn from_integer(n: i64, unit: TimeUnit) -> Option<Timestamp> {
    let micros = match unit {
        TimeUnit::Seconds => n.checked_mul(1_000_000)?,
        TimeUnit::Millis => n.checked_mul(1_000)?,
        TimeUnit::Micros => n,
        TimeUnit::Nanos => n.div_euclid(1_000),
        #[expect(clippy::cast_precision_loss, reason = "only the order of magnitude counts")]
        TimeUnit::Auto => return from_integer(n, by_size(n as f64)),
        TimeUnit::Rfc3339 | TimeUnit::Pattern(_) => return None,
    };
    Some(Timestamp::from_micros(micros))
}

fn from_float(x: f64, unit: TimeUnit) -> Option<Timestamp> {
    let micros = match unit {
        TimeUnit::Seconds => x * 1e6,
        TimeUnit::Millis => x * 1e3,
        TimeUnit::Micros => x,
        TimeUnit::Nanos => x / 1e3,
        TimeUnit::Auto => return from_float(x, by_size(x)),
        TimeUnit::Rfc3339 | TimeUnit::Pattern(_) => return None,
    };
    truncated(micros.round()).map(Timestamp::from_micros)
}

/// The unit in which a plausible date has this size, as [`TimeUnit::Auto`] documents it.
fn by_size(number: f64) -> TimeUnit {
    match number.abs() {
        x if x < 1e11 => TimeUnit::Seconds,
        x if x < 1e14 => TimeUnit::Millis,
        x if x < 1e17 => TimeUnit::Micros,
        _ => TimeUnit::Nanos,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_become_integers_only_where_they_are() {
        assert_eq!(whole(5.0), Some(5));
        assert_eq!(whole(5.5), None);
        assert_eq!(whole(9_223_372_036_854_775_808.0), None);
        assert_eq!(whole(-9_223_372_036_854_775_808.0), Some(i64::MIN));
        assert_eq!(truncated(-5.9), Some(-5));
        assert_eq!(integer("9223372036854775807"), Some(i64::MAX));
        assert_eq!(integer("5e3"), Some(5_000));
        assert_eq!(float("nan"), None);
        assert_eq!(float("1e400"), None);
    }

    #[test]
    fn every_unit_reads_the_same_instant() {
        let at = Some(Timestamp::from_micros(1_594_512_094_385_975));
        for (value, unit) in [
            (Value::Float(1_594_512_094.385_974_6), TimeUnit::Auto),
            (Value::Float(1_594_512_094.385_974_6), TimeUnit::Seconds),
            (Value::str("1594512094.3859746"), TimeUnit::Auto),
            (Value::Float(1_594_512_094_385.975), TimeUnit::Millis),
            (Value::Int(1_594_512_094_385_975), TimeUnit::Auto),
            (Value::Int(1_594_512_094_385_975_999), TimeUnit::Nanos),
            (Value::str("1594512094385975999"), TimeUnit::Auto),
            (Value::str("2020-07-12T00:01:34.385975Z"), TimeUnit::Rfc3339),
        ] {
            assert_eq!(timestamp(&value, unit), at, "{value:?} {unit:?}");
        }
        assert_eq!(timestamp(&Value::Int(5), TimeUnit::Rfc3339), None);
        assert_eq!(timestamp(&Value::str("2020-07-12T00:01:34Z"), TimeUnit::Millis), None);
        assert_eq!(timestamp(&Value::Int(i64::MAX), TimeUnit::Seconds), None);
        assert_eq!(timestamp(&Value::Bool(true), TimeUnit::Auto), None);
    }

    #[test]
    fn words_for_true_and_false() {
        assert_eq!(boolean("ON"), Some(true));
        assert_eq!(boolean(" no "), Some(false));
        assert_eq!(boolean("2"), None);
    }
}
