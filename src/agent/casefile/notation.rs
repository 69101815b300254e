//! Values in short: `20x5 20+0.5x10 _x3 open stale`. One item for each run of readings, with blanks between them.
//!
//! The notation is promtool's, but for what `xN` counts: here it is always N readings.

use serde_json::Value as Json;

use super::read::MAX_REPEAT;

/// A list of values, one for each reading.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Values {
    /// `None` where there is none.
    pub(super) values: Vec<Option<Json>>,
    /// Whether it says that nothing comes any more.
    pub(super) stale: bool,
}

impl Values {
    /// Reads what stands in YAML: a text in the notation, a list of values as they are, or one value. A bare
    /// number where `several` are meant is none of its author's: `0x54` is 84 to YAML.
    ///
    /// # Errors
    /// A sentence that says which item is wrong, and how to write it.
    pub(super) fn of(json: &Json, several: bool) -> Result<Self, String> {
        match json {
            Json::Number(number) if several => Err(format!(
                "one reading, {number}, where `every` asks for several. A run of zeros needs a point or quotes, as in `0.0x54` and `'0x54'`: YAML takes 0x54 for a hexadecimal number"
            )),
            Json::String(text) => Self::parse(text),
            Json::Array(list) => Ok(Self { values: list.iter().cloned().map(Some).collect(), stale: false }),
            other => Ok(Self { values: vec![Some(other.clone())], stale: false }),
        }
    }

    fn parse(text: &str) -> Result<Self, String> {
        let mut all = Self::default();
        for item in items(text)? {
            if all.stale {
                return Err(format!(
                    "`{item}` stands behind `stale`, which ends a series; write `_x10` for ten readings that do not come"
                ));
            }
            match item.as_str() {
                "stale" => all.stale = true,
                _ => run(&item, &mut all.values)?,
            }
            if all.values.len() > MAX_REPEAT as usize {
                return Err(format!("a series of more than {MAX_REPEAT} readings"));
            }
        }
        Ok(all)
    }
}

/// The items of a text: what stands between blanks that are not in quotes.
fn items(text: &str) -> Result<Vec<String>, String> {
    let mut all = Vec::new();
    let mut item = String::new();
    let mut quoted = false;
    for c in text.chars() {
        match c {
            c if c.is_whitespace() && !quoted => {
                if !item.is_empty() {
                    all.push(std::mem::take(&mut item));
                }
                continue;
            }
            '\'' => quoted = !quoted,
            _ => {}
        }
        item.push(c);
    }
    if quoted {
        return Err(format!("a quote is never closed: {item}"));
    }
    if !item.is_empty() {
        all.push(item);
    }
    Ok(all)
}

fn run(item: &str, into: &mut Vec<Option<Json>>) -> Result<(), String> {
    let (head, times) = match item.rsplit_once('x') {
        Some((head, times)) if !head.is_empty() && is_count(times) => (head, Some(times)),
        _ => (item, None),
    };
    let n: u32 =
        times.map_or(Ok(1), str::parse).map_err(|_| format!("`{item}`: so many times is too often"))?;
    if n == 0 || n > MAX_REPEAT {
        return Err(format!("`{item}`: a run has 1 to {MAX_REPEAT} readings"));
    }
    if head == "_" {
        into.extend((0..n).map(|_| None));
        return Ok(());
    }
    if let Some((from, to)) = head.split_once("..") {
        return between(item, (from, to), n, into);
    }
    if let Some((from, rest)) = number(head)
        && !rest.is_empty()
    {
        let step = number(rest).filter(|(_, rest)| rest.is_empty()).map(|(step, _)| step);
        let step = step.ok_or_else(|| {
            format!("`{item}` is no run of values; write `20x5`, `20+0.5x5`, `20..25x6`, `_x5`, or a text in quotes: `'{head}'`")
        })?;
        if times.is_none() {
            return Err(format!("`{item}`: how many readings? Write `{item}x10` for ten"));
        }
        into.extend((0..n).map(|i| Some(from.plus(step, i))));
        return Ok(());
    }
    let value = value(head);
    into.extend((0..n).map(|_| Some(value.clone())));
    Ok(())
}

/// `20..25x6`: from here to there, both ends included.
fn between(item: &str, (from, to): (&str, &str), n: u32, into: &mut Vec<Option<Json>>) -> Result<(), String> {
    let end = |text: &str| number(text).filter(|(_, rest)| rest.is_empty()).map(|(number, _)| number);
    let (Some(from), Some(to)) = (end(from), end(to)) else {
        return Err(format!("`{item}`: both ends are numbers, as in `20..25x6`"));
    };
    if n < 2 {
        return Err(format!("`{item}`: how many readings? Write `20..25x6` for six, both ends included"));
    }
    for i in 0..n {
        let part = f64::from(i) / f64::from(n - 1);
        let exact = from.value + (to.value - from.value) * part;
        let digits = from.digits.max(to.digits);
        let whole = Number { value: exact, digits: digits.max(3) };
        into.push(Some(
            Number { digits: if whole.is_round(digits) { digits } else { whole.digits }, ..whole }.json(),
        ));
    }
    Ok(())
}

fn is_count(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_digit())
}

/// A word as YAML would read it.
fn value(text: &str) -> Json {
    match text {
        "true" => Json::Bool(true),
        "false" => Json::Bool(false),
        "null" => Json::Null,
        _ => match number(text) {
            Some((number, "")) => number.json(),
            _ => Json::from(text.trim_matches('\'')),
        },
    }
}

/// A decimal number, with how many digits it has behind the point: so a ramp goes in the steps that one reads,
/// and not in those of binary fractions.
#[derive(Clone, Copy, Debug)]
struct Number {
    value: f64,
    digits: u32,
}

impl Number {
    fn plus(self, step: Self, times: u32) -> Json {
        let digits = self.digits.max(step.digits);
        Self { value: self.value + step.value * f64::from(times), digits }.json()
    }

    fn is_round(self, digits: u32) -> bool {
        let scale = 10_f64.powi(digits.cast_signed());
        ((self.value * scale).round() / scale - self.value).abs() < 1e-9
    }

    /// Without a point an integer; beyond what an integer holds exactly, a float.
    fn json(self) -> Json {
        if self.digits > 12 {
            return Json::from(self.value);
        }
        let scale = 10_f64.powi(self.digits.cast_signed());
        let rounded = (self.value * scale).round() / scale;
        let written = if self.digits == 0 { format!("{rounded:.0}") } else { String::new() };
        match written.parse::<i64>() {
            Ok(whole) if rounded.abs() < 9e15 => Json::from(whole),
            _ => Json::from(rounded),
        }
    }
}

/// The number that a text begins with, and what follows it.
fn number(text: &str) -> Option<(Number, &str)> {
    let bytes = text.as_bytes();
    let digits = |from: usize| from + bytes[from..].iter().take_while(|b| b.is_ascii_digit()).count();
    let mut end = usize::from(matches!(bytes.first(), Some(b'+' | b'-')));
    let whole = digits(end);
    if whole == end {
        return None;
    }
    end = whole;
    let mut behind = 0;
    if bytes.get(end) == Some(&b'.') && bytes.get(end + 1).is_some_and(u8::is_ascii_digit) {
        let last = digits(end + 1);
        behind = last - end - 1;
        end = last;
    }
    let value: f64 = text[..end].parse().ok()?;
    Some((Number { value, digits: u32::try_from(behind).ok()? }, &text[end..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> String {
        let Values { values, stale } = Values::parse(text).unwrap();
        let mut all: Vec<String> =
            values.iter().map(|v| v.as_ref().map_or("_".to_owned(), ToString::to_string)).collect();
        all.extend(stale.then(|| "stale".to_owned()));
        all.join(" ")
    }

    #[test]
    fn runs_ramps_gaps_and_texts() {
        for (text, values) in [
            ("1 2 3", "1 2 3"),
            ("20x3", "20 20 20"),
            ("-18.5x2", "-18.5 -18.5"),
            ("20+0.1x4", "20.0 20.1 20.2 20.3"),
            ("20-5x3 -1-1x2 -1+1x3", "20 15 10 -1 -2 -1 0 1"),
            ("20..25x6", "20 21 22 23 24 25"),
            ("1..0x3", "1 0.5 0"),
            ("-13.0..-12.0x3", "-13.0 -12.5 -12.0"),
            ("1 _ 2 _x2 stale", "1 _ 2 _ _ stale"),
            ("true falsex2 null", "true false false null"),
            ("open closedx2 'not yet'x2 '5'", r#""open" "closed" "closed" "not yet" "not yet" "5""#),
            ("", ""),
            ("  4   5 ", "4 5"),
        ] {
            assert_eq!(read(text), values, "{text}");
        }
    }

    #[test]
    fn what_is_none_is_told_with_how_to_write_it() {
        for (text, said) in [
            ("20+5", "`20+5x10` for ten"),
            ("20+x5", "is no run of values"),
            ("20C", "in quotes: `'20C'`"),
            ("20..25", "both ends included"),
            ("a..bx3", "both ends are numbers"),
            ("stale 5", "`5` stands behind `stale`"),
            ("5x0", "a run has 1 to"),
            ("5x99999999", "a run has 1 to"),
            ("99999x99999 1x99999 1x99999", "more than 100000"),
            ("'a", "never closed"),
        ] {
            let found = Values::parse(text).unwrap_err();
            assert!(found.contains(said), "{text}: {found}");
        }
    }
}
