//! CSV as RFC 4180 has it: a header, quoted fields with commas, quotes and line ends in them.

use serde_json::{Map, Number, Value};

use super::ReplayError;
use super::lines::{LONGEST, Lines};

/// The line on which something begins, and what it is; or what is wrong with it.
type Read<T> = Result<(u64, T), ReplayError>;

pub(super) struct Records {
    lines: Lines,
    header: Vec<String>,
}

impl Records {
    /// Reads the header.
    pub(super) fn open(mut lines: Lines) -> Result<Self, ReplayError> {
        let (line, header) = match fields(&mut lines) {
            Some(read) => read?,
            None => {
                return Err(ReplayError::new(
                    0,
                    "the recording is empty; CSV begins with a line of column names",
                ));
            }
        };
        let header: Vec<String> = header.iter().map(|name| name.trim().to_owned()).collect();
        for (i, name) in header.iter().enumerate() {
            if name.is_empty() {
                return Err(ReplayError::new(line, format!("column {} has no name", i + 1)));
            }
            if header.iter().take(i).any(|earlier| earlier == name) {
                return Err(ReplayError::new(line, format!("column `{name}` is there twice")));
            }
        }
        Ok(Self { lines, header })
    }

    /// The next record as members of an object.
    pub(super) fn next(&mut self) -> Option<Read<Map<String, Value>>> {
        let read = fields(&mut self.lines)?;
        Some(read.and_then(|(line, fields)| {
            if fields.len() != self.header.len() {
                let what =
                    format!("{} fields, but the header names {} columns", fields.len(), self.header.len());
                return Err(ReplayError::new(line, what));
            }
            Ok((line, self.header.iter().cloned().zip(fields.into_iter().map(value)).collect()))
        }))
    }
}

/// A number where the text is one; `007` is none, but a name.
fn value(field: String) -> Value {
    if field.is_empty() {
        return Value::Null;
    }
    match field.trim().parse::<Number>() {
        Ok(number) => Value::Number(number),
        Err(_) => Value::String(field),
    }
}

/// The fields of the next record and the line it begins on; blank lines are passed over.
fn fields(lines: &mut Lines) -> Option<Read<Vec<String>>> {
    let (first, mut bytes) = match lines.next_filled()? {
        Ok(read) => read,
        Err(error) => return Some(Err(error)),
    };
    loop {
        match split(&bytes) {
            Split::Whole(fields) => return Some(text(first, fields)),
            Split::Wrong(what) => return Some(Err(ReplayError::new(first, what))),
            Split::Open => {}
        }
        match lines.next() {
            Some(Ok((_, more))) if bytes.len() + more.len() < LONGEST => {
                bytes.push(b'\n');
                bytes.extend(more);
            }
            Some(Ok(_)) | None => {
                return Some(Err(ReplayError::new(first, "a quoted field does not end")));
            }
            Some(Err(error)) => return Some(Err(error)),
        }
    }
}

fn text(line: u64, fields: Vec<Vec<u8>>) -> Read<Vec<String>> {
    let fields: Result<Vec<String>, _> = fields.into_iter().map(String::from_utf8).collect();
    fields
        .map(|fields| (line, fields))
        .map_err(|_| ReplayError::new(line, "not UTF-8; convert the file first"))
}

enum Split {
    Whole(Vec<Vec<u8>>),
    /// A quoted field goes on in the next line.
    Open,
    Wrong(String),
}

fn split(record: &[u8]) -> Split {
    let mut fields = Vec::new();
    let mut rest = record;
    loop {
        let (field, tail) = match rest.strip_prefix(b"\"") {
            Some(inner) => match quoted(inner) {
                Some(read) => read,
                None => return Split::Open,
            },
            None => {
                let end = rest.iter().position(|b| *b == b',').unwrap_or(rest.len());
                let (field, tail) = rest.split_at(end);
                (field.to_vec(), tail)
            }
        };
        fields.push(field);
        rest = match tail {
            [] => return Split::Whole(fields),
            [b',', tail @ ..] => tail,
            _ => {
                return Split::Wrong("text follows a quoted field; double the quotes inside it".to_owned());
            }
        };
    }
}

/// A quoted field and what follows it; `None` where it does not end.
fn quoted(inner: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut field = Vec::new();
    let mut rest = inner;
    loop {
        let end = rest.iter().position(|b| *b == b'"')?;
        let (text, tail) = rest.split_at(end);
        field.extend_from_slice(text);
        match tail {
            [b'"', b'"', tail @ ..] => {
                field.push(b'"');
                rest = tail;
            }
            [_, tail @ ..] => return Some((field, tail)),
            [] => return None,
        }
    }
}
