//! The time of a record, in whichever way it is written.

use serde_json::Value;

use crate::model::time::Timestamp;

/// RFC 3339 text, or a number since 1970: below 1e11 seconds, below 1e14 ms, below 1e17 µs, else
/// ns. A number in text counts as a number.
pub(super) fn read(value: &Value) -> Option<Timestamp> {
    match value {
        Value::Number(number) => match number.as_i64() {
            Some(whole) => Some(whole_number(whole)),
            None => fraction(number.as_f64()?),
        },
        Value::String(text) => {
            let text = text.trim();
            if let Ok(whole) = text.parse::<i64>() {
                Some(whole_number(whole))
            } else if let Ok(number) = text.parse::<f64>() {
                fraction(number)
            } else {
                Timestamp::parse(text)
            }
        }
        _ => None,
    }
}

fn whole_number(number: i64) -> Timestamp {
    let micros = match number.unsigned_abs() {
        0..100_000_000_000 => number * 1_000_000,
        100_000_000_000..100_000_000_000_000 => number * 1_000,
        100_000_000_000_000..100_000_000_000_000_000 => number,
        _ => number.div_euclid(1_000),
    };
    Timestamp::from_micros(micros)
}

fn fraction(number: f64) -> Option<Timestamp> {
    let micros = match number.abs() {
        size if size < 1e11 => number * 1e6,
        size if size < 1e14 => number * 1e3,
        size if size < 1e17 => number,
        size if size.is_finite() => number / 1e3,
        _ => return None,
    };
    // The cast saturates, which only a time beyond all calendars reaches.
    Some(Timestamp::from_micros(micros.round() as i64))
}
