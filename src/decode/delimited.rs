//! Lines of values, as CSV writes them (RFC 4180): quotes around a value may hold delimiters, line
//! ends and doubled quotes. Knows places, not names. Must never fail on a line that is merely short.

use std::borrow::Cow;

use super::reject::{Reject, RejectReason};
use super::texts::Texts;
use crate::model::cast;
use crate::model::fit::Misfit;
use crate::model::stream::{Field, FieldSource};
use crate::model::value::Value;

/// How many values keep their memory for the next payload.
const KEPT: usize = 4_096;

/// The lines of a payload, as places in it. Used again for each payload.
#[derive(Debug, Default)]
pub(super) struct Lines {
    cells: Vec<Cell>,
    /// For each line the end of its values.
    ends: Vec<usize>,
}

/// One value: an empty one without quotes is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cell {
    /// The bytes between its quotes, where it has any.
    from: usize,
    to: usize,
    quoted: bool,
    /// Whether there are doubled quotes in it.
    doubled: bool,
}

impl Cell {
    fn text(self, payload: &str) -> Option<Cow<'_, str>> {
        let text = payload.get(self.from..self.to).filter(|text| self.quoted || !text.is_empty())?;
        Some(if self.doubled { Cow::Owned(text.replace("\"\"", "\"")) } else { Cow::Borrowed(text) })
    }
}

impl Lines {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// How many values a line has.
    pub(super) fn width(&self, line: usize) -> usize {
        self.cells(line).len()
    }

    fn cells(&self, line: usize) -> &[Cell] {
        let from = line.checked_sub(1).and_then(|before| self.ends.get(before)).copied().unwrap_or(0);
        let to = self.ends.get(line).copied().unwrap_or(from);
        self.cells.get(from..to).unwrap_or_default()
    }

    /// Puts the value of a column in its slot. Says no where the line has none.
    pub(super) fn fit(
        &self,
        line: usize,
        field: &Field,
        strict: bool,
        payload: &str,
        texts: &mut Texts,
        slot: &mut Value,
    ) -> Result<bool, Misfit> {
        let FieldSource::Cell(n) = field.from else { return Ok(false) };
        let Some(text) = self.cells(line).get(n).and_then(|cell| cell.text(payload)) else {
            return Ok(false);
        };
        *slot = match strict {
            true => texts.fit(&text, &field.ty, field.unit)?,
            false => cast::cast(&texts.value(&text), &field.ty, field.unit),
        };
        Ok(true)
    }

    /// Reads a payload, in the place of the one before; empty lines are passed over.
    pub(super) fn read(&mut self, payload: &str, delimiter: char, max_rows: usize) -> Result<(), Reject> {
        self.cells.clear();
        self.cells.shrink_to(KEPT);
        self.ends.clear();
        self.ends.shrink_to(KEPT);
        let mut at = 0;
        let mut first = 0;
        while at < payload.len() {
            let (cell, end) = cell(payload, at, delimiter)?;
            self.cells.push(cell);
            at = end;
            if payload[at..].starts_with(delimiter) {
                at += delimiter.len_utf8();
                // A delimiter at the very end has an empty value behind it.
                if at < payload.len() {
                    continue;
                }
                self.cells.push(Cell { from: at, to: at, quoted: false, doubled: false });
            }
            let rest = &payload[at..];
            at += match rest.as_bytes() {
                [b'\r', b'\n', ..] => 2,
                [b'\r' | b'\n', ..] => 1,
                _ => 0,
            };
            let is_empty = |cell: &Cell| !cell.quoted && cell.from == cell.to;
            if matches!(self.cells.get(first..), Some([only]) if is_empty(only)) {
                self.cells.truncate(first);
                continue;
            }
            first = self.cells.len();
            self.ends.push(first);
            if self.ends.len() > max_rows {
                return Err(Reject::new(RejectReason::TooManyRows, format!("more than {max_rows} lines")));
            }
        }
        Ok(())
    }
}

/// The value at a place, and where what follows it begins: a delimiter, a line's end or nothing.
fn cell(payload: &str, from: usize, delimiter: char) -> Result<(Cell, usize), Reject> {
    let ends = |c: char| c == delimiter || c == '\n' || c == '\r';
    let text = &payload[from..];
    let Some(inner) = text.strip_prefix('"') else {
        let to = from + text.find(ends).unwrap_or(text.len());
        return Ok((Cell { from, to, quoted: false, doubled: false }, to));
    };
    let from = from + 1;
    let (mut at, mut doubled) = (0, false);
    loop {
        let Some(quote) = inner[at..].find('"').map(|place| at + place) else {
            return Err(Reject::new(RejectReason::NotDelimited, "a quote is never closed"));
        };
        let rest = &inner[quote + 1..];
        if rest.starts_with('"') {
            (at, doubled) = (quote + 2, true);
            continue;
        }
        if !rest.is_empty() && !rest.starts_with(ends) {
            return Err(Reject::new(RejectReason::NotDelimited, "text follows a closing quote"));
        }
        let to = from + quote;
        return Ok((Cell { from, to, quoted: true, doubled }, to + 1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, delimiter: char, expected: &[&[&str]]) {
        let mut lines = Lines::default();
        lines.read("a,b\nc", ',', 100).unwrap();
        lines.read(text, delimiter, 100).unwrap();
        let shown = |cell: &Cell| cell.text(text).map_or("NULL".to_owned(), Cow::into_owned);
        let found: Vec<Vec<String>> =
            (0..lines.len()).map(|line| lines.cells(line).iter().map(shown).collect()).collect();
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
            assert_eq!(Lines::default().read(text, ',', 2).unwrap_err().reason, reason, "{text:?}");
        }
    }
}
