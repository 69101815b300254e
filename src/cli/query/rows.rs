//! The rows as they are printed: a table that grows as it must, JSON lines, or CSV.

use std::io::{self, Write};
use std::sync::Arc;

use crate::model::row::Observation;
use crate::model::value::Value;
use crate::plan::explain::shown;

/// How rows are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Form {
    /// Aligned columns under a heading.
    Table,
    /// One JSON object a line.
    Json,
    /// CSV with a heading.
    Csv,
}

/// A cell of a table is cut off at this width.
const WIDEST: usize = 80;

/// The column that `--time` adds.
const TIME: &str = "time";

/// Prints rows until there are enough, or nobody reads them.
pub(super) struct Printer {
    form: Form,
    columns: Vec<Arc<str>>,
    time: bool,
    left: Option<u64>,
    given: u64,
    /// The widths of the heading that stands above; none has been printed yet where it is empty.
    widths: Vec<usize>,
    begun: bool,
}

impl Printer {
    /// A printer of these columns, of at most `limit` rows.
    pub(super) fn new(form: Form, mut columns: Vec<Arc<str>>, time: bool, limit: Option<u64>) -> Self {
        if time {
            columns.insert(0, TIME.into());
        }
        Self { form, columns, time, left: limit, given: 0, widths: Vec::new(), begun: false }
    }

    /// How many rows were printed.
    pub(super) fn given(&self) -> u64 {
        self.given
    }

    /// Prints rows, and takes them. False when no more are wanted.
    ///
    /// # Errors
    /// Output that cannot be written, unless its reader is gone.
    pub(super) fn rows(&mut self, rows: &mut Vec<Observation>) -> io::Result<bool> {
        if let Some(left) = &mut self.left {
            rows.truncate(usize::try_from(*left).unwrap_or(usize::MAX));
            *left -= rows.len() as u64;
        }
        let text = self.text(rows);
        self.given += rows.len() as u64;
        rows.clear();
        let mut out = io::stdout().lock();
        match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
            Ok(()) => Ok(self.left != Some(0)),
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn text(&mut self, rows: &[Observation]) -> String {
        if rows.is_empty() {
            return String::new();
        }
        let rows: Vec<Vec<Value>> = rows.iter().map(|row| self.values(row)).collect();
        match self.form {
            Form::Table => self.table(&rows),
            Form::Json => rows.iter().map(|row| self.json(row)).collect(),
            Form::Csv => self.csv(&rows),
        }
    }

    fn values(&self, row: &Observation) -> Vec<Value> {
        let time = self.time.then_some(Value::Time(row.at));
        time.into_iter().chain(row.values.iter().cloned()).collect()
    }

    /// Members stand in the order of SELECT.
    fn json(&self, row: &[Value]) -> String {
        let members = self.columns.iter().zip(row);
        let members: Vec<String> = members
            .map(|(name, value)| format!("{}:{}", serde_json::Value::from(&**name), value.to_json()))
            .collect();
        format!("{{{}}}\n", members.join(","))
    }

    fn csv(&mut self, rows: &[Vec<Value>]) -> String {
        let line = |cells: Vec<String>| cells.join(",") + "\n";
        let mut text = String::new();
        if !std::mem::replace(&mut self.begun, true) {
            text.push_str(&line(self.columns.iter().map(|name| quoted(name)).collect()));
        }
        for row in rows {
            text.push_str(&line(row.iter().map(csv_field).collect()));
        }
        text
    }

    /// Lines under the heading that stands above, or under a wider one.
    fn table(&mut self, rows: &[Vec<Value>]) -> String {
        let cells: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(cell).collect()).collect();
        let width = |column: usize| {
            let of_cells = cells.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
            let heading = self.columns.get(column).map(|name| name.chars().count());
            of_cells.chain(heading).max().unwrap_or(0)
        };
        let needed: Vec<usize> = (0..self.columns.len()).map(width).collect();
        let mut text = String::new();
        let fits = self.widths.iter().zip(&needed).all(|(has, needs)| has >= needs);
        if !self.begun || !fits {
            if std::mem::replace(&mut self.begun, true) {
                text.push('\n');
            }
            self.widths.resize(needed.len(), 0);
            self.widths.iter_mut().zip(&needed).for_each(|(has, needs)| *has = (*has).max(*needs));
            text.push_str(&self.heading(rows));
        }
        for (row, cells) in rows.iter().zip(&cells) {
            let padded = cells.iter().zip(row).zip(&self.widths);
            let line: Vec<String> =
                padded.map(|((cell, value), width)| pad(cell, *width, is_number(value))).collect();
            text.push_str(line.join("  ").trim_end());
            text.push('\n');
        }
        text
    }

    /// The names, over a column of numbers to the right, and a line below them.
    fn heading(&self, rows: &[Vec<Value>]) -> String {
        let number = |column: usize| {
            let mut values = rows.iter().filter_map(|row| row.get(column));
            values.any(is_number) && !values.any(|value| !value.is_null() && !is_number(value))
        };
        let names = self.columns.iter().zip(&self.widths).enumerate();
        let names: Vec<String> =
            names.map(|(column, (name, width))| pad(&shown(name), *width, number(column))).collect();
        let rules: Vec<String> = self.widths.iter().map(|width| "-".repeat(*width)).collect();
        format!("{}\n{}\n", names.join("  ").trim_end(), rules.join("  "))
    }
}

fn pad(cell: &str, width: usize, right: bool) -> String {
    let blanks = " ".repeat(width.saturating_sub(cell.chars().count()));
    if right { format!("{blanks}{cell}") } else { format!("{cell}{blanks}") }
}

const fn is_number(value: &Value) -> bool {
    matches!(value, Value::Int(_) | Value::Float(_))
}

fn cell(value: &Value) -> String {
    let text = shown(&value.to_string());
    match text.char_indices().nth(WIDEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// NULL is an empty field; an empty text is quoted, so that the two differ.
fn csv_field(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        other => quoted(&other.to_string()),
    }
}

fn quoted(text: &str) -> String {
    match text.is_empty() || text.contains(['"', ',', '\n', '\r']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::key::Key;
    use crate::model::time::Timestamp;

    fn row(values: &[Value]) -> Observation {
        Observation {
            rule: 0,
            key: Key::default(),
            values: values.into(),
            at: Timestamp::from_millis(1_000),
            raise: Some(true),
            ..Observation::default()
        }
    }

    fn printer(form: Form, time: bool) -> Printer {
        Printer::new(form, vec!["device".into(), "t".into()], time, None)
    }

    #[test]
    fn a_table_repeats_its_heading_only_where_it_grows() {
        let mut printer = printer(Form::Table, false);
        let a = row(&[Value::str("a"), Value::Float(21.5)]);
        let b = row(&[Value::str("b\u{1b}"), Value::Null]);
        assert_eq!(printer.text(std::slice::from_ref(&a)), "device     t\n------  ----\na       21.5\n");
        assert_eq!(printer.text(std::slice::from_ref(&a)), "a       21.5\n");
        assert_eq!(printer.text(&[b, a]), "\ndevice      t\n-------  ----\nb\\u{1b}  NULL\na        21.5\n");
    }

    #[test]
    fn json_keeps_the_order_of_select_and_csv_tells_null_from_empty() {
        let rows = [row(&[Value::str("a,b"), Value::Int(1)]), row(&[Value::str(""), Value::Null])];
        let json = "{\"device\":\"a,b\",\"t\":1}\n{\"device\":\"\",\"t\":null}\n";
        assert_eq!(printer(Form::Json, false).text(&rows), json);
        let csv = "time,device,t\n1970-01-01T00:00:01Z,\"a,b\",1\n1970-01-01T00:00:01Z,\"\",\n";
        assert_eq!(printer(Form::Csv, true).text(&rows), csv);
    }
}
