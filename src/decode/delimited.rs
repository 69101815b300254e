//! Lines of values, as CSV writes them (RFC 4180): quotes around a value may hold delimiters, line
//! ends and doubled quotes. Knows places, not names. Must never fail on a line that is merely short.

use std::borrow::Cow;

use super::reject::{Reject, RejectReason};
use crate::model::cast;
use crate::model::fit::{self, Misfit};
use crate::model::stream::{Field, FieldSource};
use crate::model::value::Value;

/// The values of one line. An empty one without quotes is none.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Line<'p>(Vec<Option<Cow<'p, str>>>);

impl Line<'_> {
    /// How many values it has.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The value of a column, `None` where the line has none.
    pub(super) fn fit(&self, field: &Field, strict: bool) -> Result<Option<Value>, Misfit> {
        let FieldSource::Cell(n) = field.from else { return Ok(None) };
        let Some(text) = self.0.get(n).and_then(Option::as_deref) else { return Ok(None) };
        match strict {
            true => fit::fit_text(text, &field.ty, field.unit).map(Some),
            false => Ok(Some(cast::cast(&Value::str(text), &field.ty, field.unit))),
        }
    }
}

/// The lines of a payload; empty ones are passed over.
pub(super) fn read(text: &str, delimiter: char, max_rows: usize) -> Result<Vec<Line<'_>>, Reject> {
    let mut lines = Vec::new();
    let mut line = Line::default();
    let mut rest = text;
    while !rest.is_empty() {
        let value;
        (value, rest) = cell(rest, delimiter)?;
        line.0.push(value);
        if let Some(next) = rest.strip_prefix(delimiter) {
            rest = next;
            // A delimiter at the very end has an empty value behind it.
            if !rest.is_empty() {
                continue;
            }
            line.0.push(None);
        }
        rest = rest.strip_prefix("\r\n").or_else(|| rest.strip_prefix(['\r', '\n'])).unwrap_or(rest);
        let done = std::mem::take(&mut line);
        if done.0 != [None] {
            lines.push(done);
        }
        if lines.len() > max_rows {
            return Err(Reject::new(RejectReason::TooManyRows, format!("more than {max_rows} lines")));
        }
    }
    Ok(lines)
}

/// One value, and what follows it: a delimiter, a line's end or nothing.
fn cell(text: &str, delimiter: char) -> Result<(Option<Cow<'_, str>>, &str), Reject> {
    let ends = |c: char| c == delimiter || c == '\n' || c == '\r';
    let Some(inner) = text.strip_prefix('"') else {
        let (value, rest) = text.split_at(text.find(ends).unwrap_or(text.len()));
        return Ok(((!value.is_empty()).then_some(Cow::Borrowed(value)), rest));
    };
    let mut from = 0;
    loop {
        let Some(quote) = inner[from..].find('"').map(|at| from + at) else {
            return Err(Reject::new(RejectReason::NotDelimited, "a quote is never closed"));
        };
        let rest = &inner[quote + 1..];
        if rest.starts_with('"') {
            from = quote + 2;
            continue;
        }
        if !rest.is_empty() && !rest.starts_with(ends) {
            return Err(Reject::new(RejectReason::NotDelimited, "text follows a closing quote"));
        }
        let value = &inner[..quote];
        let value = if from > 0 { Cow::Owned(value.replace("\"\"", "\"")) } else { Cow::Borrowed(value) };
        return Ok((Some(value), rest));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, delimiter: char, expected: &[&[&str]]) {
        let lines = read(text, delimiter, 100).unwrap();
        let found: Vec<Vec<&str>> = lines
            .iter()
            .map(|line| line.0.iter().map(|v| v.as_deref().unwrap_or("NULL")).collect())
            .collect();
        assert_eq!(found, expected, "{text:?}");
    }

    #[test]
    fn values_are_cut_at_delimiters_outside_quotes() {
        check("a,b\r\nc,\"d,e\"\n", ',', &[&["a", "b"], &["c", "d,e"]]);
        check("1;;\"\"", ';', &[&["1", "NULL", ""]]);
        check("a,", ',', &[&["a", "NULL"]]);
        check("\n\n a \n", ',', &[&[" a "]]);
        check("\"x\"\"y\nz\"\t2", '\t', &[&["x\"y\nz", "2"]]);
        check("é|\"ü\"", '|', &[&["é", "ü"]]);
    }

    #[test]
    fn broken_quotes_and_floods_are_refused() {
        for (text, reason) in [
            ("\"a", RejectReason::NotDelimited),
            ("\"a\"b,c", RejectReason::NotDelimited),
            ("a\nb\nc", RejectReason::TooManyRows),
        ] {
            assert_eq!(read(text, ',', 2).unwrap_err().reason, reason, "{text:?}");
        }
    }
}
