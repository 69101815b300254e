//! Rendering of annotations. A template was checked with its rule; what only a value can show to be wrong
//! shows in the text, and never stops an alert.

use std::time::Duration;

use crate::model::alerting::{Named, Piece, Shown, Template};
use crate::model::label::Labels;
use crate::model::time::{Timestamp, format_span};
use crate::model::value::Value;

/// What the names of a template stand for.
#[derive(Clone, Copy)]
pub(super) struct Facts<'a> {
    /// The row.
    pub(super) values: &'a [Value],
    /// The alert's labels.
    pub(super) labels: &'a Labels,
    /// Its severity.
    pub(super) severity: &'a str,
    /// When its condition began to hold.
    pub(super) starts_at: Timestamp,
    /// When the change took place.
    pub(super) occurred_at: Timestamp,
}

/// The text, with each place filled. A NULL column shows as `NULL`; a label that is not there is
/// empty. What a function cannot show stands there with the reason: `{{ "x" is no number }}`.
pub(super) fn render(template: &Template, facts: Facts<'_>) -> String {
    let mut text = String::new();
    for piece in &template.pieces {
        match piece {
            Piece::Text(part) => text.push_str(part),
            Piece::Place(named, through) => match facts.show(named, through) {
                Ok(shown) => text.push_str(&shown),
                Err(why) => text.push_str(&format!("{{{{ {why} }}}}")),
            },
        }
    }
    text
}

impl Facts<'_> {
    fn show(self, named: &Named, through: &[Shown]) -> Result<String, String> {
        let mut value = match named {
            Named::Column(at) => self.values.get(*at).cloned().unwrap_or_default(),
            Named::Label(name) => Value::str(self.labels.get(name).map_or("", |text| text)),
            Named::Severity => Value::str(self.severity),
            Named::StartsAt => Value::Time(self.starts_at),
            Named::OccurredAt => Value::Time(self.occurred_at),
        };
        for how in through {
            if value != Value::Null {
                value = self.apply(*how, &value)?;
            }
        }
        Ok(match &value {
            Value::Float(x) => short(*x),
            other => other.to_string(),
        })
    }

    fn apply(self, how: Shown, value: &Value) -> Result<Value, String> {
        let text = |text: String| Ok(Value::str(&text));
        match how {
            Shown::Round(digits) => {
                let (x, scale) = (number(value)?, 10_f64.powi(i32::from(digits)));
                let rounded = (x * scale).round() / scale;
                // A number that large has no digits to round.
                Ok(Value::float(if rounded.is_finite() { rounded } else { x }))
            }
            Shown::Humanize => {
                text(scaled(number(value)?, 1_000.0, &["", "k", "M", "G", "T", "P", "E", "Z", "Y"]))
            }
            Shown::Humanize1024 => {
                text(scaled(number(value)?, 1_024.0, &["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei", "Zi", "Yi"]))
            }
            Shown::Percent => text(format!("{}%", digits(number(value)? * 100.0))),
            Shown::Duration => text(span(number(value)?)),
            Shown::Since => match time(value) {
                Some(at) => {
                    #[expect(
                        clippy::cast_precision_loss,
                        reason = "microseconds of years are far below 2^53"
                    )]
                    let micros = (self.occurred_at.micros() - at.micros()) as f64;
                    text(span(micros / 1e6))
                }
                None => Err(format!("{} is no time", quoted(value))),
            },
        }
    }
}

fn quoted(value: &Value) -> String {
    match value {
        Value::Str(text) => format!("\"{text}\""),
        other => other.to_string(),
    }
}

fn number(value: &Value) -> Result<f64, String> {
    let found = match value {
        #[expect(clippy::cast_precision_loss, reason = "shown with a few digits")]
        Value::Int(n) => Some(*n as f64),
        Value::Float(x) => Some(*x),
        // Labels are texts, also where they hold numbers.
        Value::Str(text) => text.trim().parse().ok().filter(|x: &f64| x.is_finite()),
        _ => None,
    };
    found.ok_or_else(|| format!("{} is no number", quoted(value)))
}

fn time(value: &Value) -> Option<Timestamp> {
    match value {
        Value::Time(at) => Some(*at),
        Value::Str(text) => Timestamp::parse(text),
        _ => None,
    }
}

/// Four significant digits, none of them a zero at the end.
fn digits(x: f64) -> String {
    let size = x.abs();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 12")]
    let places = if size == 0.0 { 0 } else { (3.0 - size.log10().floor()).clamp(0.0, 12.0) as usize };
    let text = format!("{x:.places$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// A number with the prefix of its size, as Prometheus's `humanize` shows it.
fn scaled(x: f64, step: f64, large: &[&str]) -> String {
    const SMALL: [&str; 9] = ["", "m", "u", "n", "p", "f", "a", "z", "y"];
    let (mut rest, mut at) = (x, 0);
    if x != 0.0 && x.abs() < 1.0 && step < 1_024.0 {
        while rest.abs() < 1.0 && at + 1 < SMALL.len() {
            (rest, at) = (rest * step, at + 1);
        }
        return format!("{}{}", digits(rest), SMALL[at]);
    }
    while rest.abs() >= step && at + 1 < large.len() {
        (rest, at) = (rest / step, at + 1);
    }
    format!("{}{}", digits(rest), large[at])
}

/// Seconds as people say them: whole ones from ten on, and no more than two units.
fn span(seconds: f64) -> String {
    let sign = if seconds < 0.0 { "-" } else { "" };
    let seconds = seconds.abs();
    if seconds < 1.0 {
        let millis = Duration::try_from_secs_f64((seconds * 1e3).round() / 1e3).unwrap_or_default();
        return format!("{sign}{}", format_span(millis));
    }
    if seconds < 59.5 {
        return format!(
            "{sign}{}s",
            if seconds < 10.0 { short((seconds * 10.0).round() / 10.0) } else { format!("{seconds:.0}") }
        );
    }
    let whole = Duration::try_from_secs_f64(seconds.round()).unwrap_or(Duration::MAX).as_secs();
    let unit = [86_400, 3_600, 60, 1].into_iter().find(|unit| whole >= *unit).unwrap_or(1);
    // Days with hours, hours with minutes, minutes with seconds.
    let finest = match unit {
        86_400 => 3_600,
        3_600 => 60,
        _ => 1,
    };
    format!("{sign}{}", format_span(Duration::from_secs(whole / finest * finest)))
}

/// A measured number for people: four digits after the point at most, six significant ones below
/// that, never an exponent in the usual range.
fn short(x: f64) -> String {
    let size = x.abs();
    let digits: usize = if size == 0.0 || size >= 0.1 {
        4
    } else if size >= 1e-9 {
        // 0.0045 → 3 leading places + 4 significant.
        let leading = -size.log10().floor();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 1 and 9")]
        let places = leading as usize;
        places + 3
    } else {
        return format!("{x:e}");
    };
    let text = format!("{x:.digits$}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        for (x, text) in [
            (27.0, "27"),
            (18.899_999_618_530_273, "18.9"),
            (0.0, "0"),
            (-12.25, "-12.25"),
            (0.004_532_068_199, "0.004532"),
            (1_234_567.891, "1234567.891"),
            (1e-12, "1e-12"),
        ] {
            assert_eq!(short(x), text);
        }
    }

    #[test]
    fn functions_show_values_for_people_and_say_what_they_cannot_show() {
        let at = Timestamp::from_millis(1_700_000_000_000);
        let show = |value: Value, how: &[Shown]| {
            let labels = Labels::new();
            let facts =
                Facts { values: &[value], labels: &labels, severity: "page", starts_at: at, occurred_at: at };
            let pieces = vec![Piece::Place(Named::Column(0), how.to_vec())];
            render(&Template { pieces }, facts)
        };
        let (number, int) = (Value::Float, Value::Int);
        for (value, how, text) in [
            (number(21.46), Shown::Round(1), "21.5"),
            (number(21.04), Shown::Round(1), "21"),
            (number(84.25), Shown::Round(1), "84.3"),
            (int(-7), Shown::Round(0), "-7"),
            (number(1_234_567.0), Shown::Humanize, "1.235M"),
            (number(0.0123), Shown::Humanize, "12.3m"),
            (int(999), Shown::Humanize, "999"),
            (int(0), Shown::Humanize, "0"),
            (number(-1_500.0), Shown::Humanize, "-1.5k"),
            (int(1_536), Shown::Humanize1024, "1.5Ki"),
            (int(12_884_901_888), Shown::Humanize1024, "12Gi"),
            (number(0.125), Shown::Percent, "12.5%"),
            (number(0.25), Shown::Duration, "250ms"),
            (number(1.227), Shown::Duration, "1.2s"),
            (number(59.7), Shown::Duration, "1m"),
            (int(7_500), Shown::Duration, "2h5m"),
            (number(93_784.0), Shown::Duration, "1d2h"),
            (number(-90.0), Shown::Duration, "-1m30s"),
            (Value::str("42"), Shown::Duration, "42s"),
            (Value::Time(Timestamp::from_millis(1_699_999_700_000)), Shown::Since, "5m"),
            (Value::Null, Shown::Humanize, "NULL"),
            (Value::str("open"), Shown::Round(1), "{{ \"open\" is no number }}"),
            (Value::Bool(true), Shown::Since, "{{ true is no time }}"),
        ] {
            assert_eq!(show(value.clone(), &[how]), text, "{value} {how:?}");
        }
        assert_eq!(show(number(1_234.56), &[Shown::Round(0), Shown::Humanize]), "1.235k");
    }
}
