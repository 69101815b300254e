//! Recordings as a source: each record of a file becomes the message that it was.
//!
//! A recording is read once, front to back, in constant memory. A bad record is an error with its line, and the
//! next record follows. Nothing here waits or reads a clock: [`Pace`] says how long to wait, the
//! caller does it.

mod csv;
mod lines;
mod pace;
mod template;
mod time;

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Map, Value};

use crate::model::message::Message;
use crate::model::time::Timestamp;
use lines::Lines;
pub use pace::Pace;
use template::Template;

/// How a recording is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A JSON value a line: an envelope `{"topic": …, "payload": …, "time"?: …, "retained"?: …}`, or
    /// else a payload.
    JsonLines,
    /// CSV with a header line: each record becomes a JSON object. Text that is a number becomes a
    /// number, an empty field NULL.
    Csv,
}

/// What a recording does not say by itself.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The format; `None` goes by the file's ending: `.csv` is CSV, everything else JSON lines.
    pub format: Option<Format>,
    /// The topic of records that name none. `{column}` is filled from the payload's member of that
    /// name, as in `env/{device}`.
    pub topic: Option<String>,
    /// Where a payload holds its time: a member, or a dotted path of members. An envelope's own time goes first. The
    /// time is RFC 3339 text, or a number since 1970 whose unit shows by its size.
    pub time_field: Option<String>,
    /// The source that the messages seem to come from. Empty means `replay`.
    pub source: String,
}

/// One record.
#[derive(Clone, Debug)]
pub struct Record {
    /// The message. Its `received` is `recorded`, or else that of the record before, or else 1970.
    pub message: Message,
    /// When it was recorded, if the record says so.
    pub recorded: Option<Timestamp>,
}

/// What is wrong with a recording.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{what}", if *.line > 0 { format!("line {line}: ", line = .line) } else { String::new() })]
pub struct ReplayError {
    /// The line where the bad record begins, from 1; 0 where the file as a whole is meant.
    pub line: u64,
    /// What is wrong, and what to do.
    pub what: String,
}

impl ReplayError {
    fn new(line: u64, what: impl Into<String>) -> Self {
        Self { line, what: what.into() }
    }
}

/// A recording that is being read.
pub struct Recording {
    records: Records,
    topic: Option<Template>,
    time_path: Option<Vec<String>>,
    source: Arc<str>,
    last: Timestamp,
}

enum Records {
    Json(Lines),
    Csv(csv::Records),
}

impl std::fmt::Debug for Recording {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recording")
            .field("source", &self.source)
            .field("last", &self.last)
            .finish_non_exhaustive()
    }
}

impl Recording {
    /// Opens a file.
    ///
    /// # Errors
    /// A file that cannot be read, a topic that is none, a CSV header that names no columns.
    pub fn open(path: &Path, options: Options) -> Result<Self, ReplayError> {
        let file = File::open(path)
            .map_err(|e| ReplayError::new(0, format!("open recording `{}`: {e}", path.display())))?;
        let by_name = match path.extension() {
            Some(end) if end.eq_ignore_ascii_case("csv") => Format::Csv,
            _ => Format::JsonLines,
        };
        let format = options.format.unwrap_or(by_name);
        Self::read(BufReader::new(file), Options { format: Some(format), ..options })
    }

    /// Reads from anything; without a format, JSON lines.
    ///
    /// # Errors
    /// A topic that is none, a CSV header that names no columns.
    pub fn read(from: impl BufRead + Send + 'static, options: Options) -> Result<Self, ReplayError> {
        let topic = options.topic.as_deref().map(Template::parse).transpose();
        let topic = topic.map_err(|what| ReplayError::new(0, what))?;
        let lines = Lines::new(Box::new(from));
        let records = match options.format.unwrap_or(Format::JsonLines) {
            Format::JsonLines => Records::Json(lines),
            Format::Csv => Records::Csv(csv::Records::open(lines)?),
        };
        let source = if options.source.is_empty() { "replay" } else { options.source.as_str() };
        Ok(Self {
            records,
            topic,
            time_path: options.time_field.map(|path| path.split('.').map(str::to_owned).collect()),
            source: source.into(),
            last: Timestamp::default(),
        })
    }

    fn record(&mut self, line: u64, content: Content) -> Result<Record, ReplayError> {
        let wrong = |what: String| ReplayError::new(line, what);
        let Content { topic, payload, bytes, time, retained } = content;
        let topic = match (topic, &self.topic) {
            (Some(topic), _) => topic,
            (None, Some(template)) => template.fill(&payload).map_err(wrong)?,
            (None, None) => {
                return Err(wrong("the record names no topic, and none was given".to_owned()));
            }
        };
        let at = time.or_else(|| self.time_path.as_deref().and_then(|path| member(&payload, path)).cloned());
        let recorded = match at {
            None | Some(Value::Null) => None,
            Some(value) => match time::read(&value) {
                Some(at) => Some(at),
                None => {
                    return Err(wrong(format!(
                        "`{value}` is no time; write RFC 3339, or a number since 1970"
                    )));
                }
            },
        };
        if let Some(at) = recorded {
            self.last = at;
        }
        let message = Message {
            source: self.source.clone(),
            topic: topic.into(),
            payload: bytes,
            received: self.last,
            retained,
            dup: false,
            qos: 0,
            properties: Box::default(),
            ack: None,
        };
        Ok(Record { message, recorded })
    }
}

impl Iterator for Recording {
    type Item = Result<Record, ReplayError>;

    fn next(&mut self) -> Option<Self::Item> {
        let read = match &mut self.records {
            Records::Json(lines) => {
                lines.next_filled()?.and_then(|(line, bytes)| Ok((line, Content::from_json(line, bytes)?)))
            }
            Records::Csv(records) => {
                records.next()?.map(|(line, members)| (line, Content::from_members(members)))
            }
        };
        Some(read.and_then(|(line, content)| self.record(line, content)))
    }
}

/// What a record holds.
struct Content {
    topic: Option<String>,
    payload: Value,
    bytes: Bytes,
    time: Option<Value>,
    retained: bool,
}

impl Content {
    fn from_json(line: u64, bytes: Vec<u8>) -> Result<Self, ReplayError> {
        let value: Value = serde_json::from_slice(&bytes)
            .map_err(|e| ReplayError::new(line, format!("not JSON, at column {}: {e}", e.column())))?;
        match value {
            Value::Object(members) if is_envelope(&members) => Ok(Self::from_envelope(members)),
            payload => Ok(Self { topic: None, payload, bytes: bytes.into(), time: None, retained: false }),
        }
    }

    fn from_envelope(mut members: Map<String, Value>) -> Self {
        let payload = members.remove("payload").unwrap_or_default();
        let bytes = match &payload {
            Value::String(text) => Bytes::copy_from_slice(text.as_bytes()),
            other => Bytes::from(other.to_string()),
        };
        let topic = members.get("topic").and_then(Value::as_str).map(str::to_owned);
        let retained = members.get("retained").and_then(Value::as_bool).unwrap_or(false);
        Self { topic, payload, bytes, time: members.remove("time"), retained }
    }

    fn from_members(members: Map<String, Value>) -> Self {
        let payload = Value::Object(members);
        Self { topic: None, bytes: Bytes::from(payload.to_string()), payload, time: None, retained: false }
    }
}

/// An envelope has a topic and a payload, and nothing that an envelope has not: a payload may well
/// have a member `topic`.
fn is_envelope(members: &Map<String, Value>) -> bool {
    members.get("topic").is_some_and(Value::is_string)
        && members.contains_key("payload")
        && members.keys().all(|key| matches!(key.as_str(), "topic" | "payload" | "time" | "retained"))
}

fn member<'v>(value: &'v Value, path: &[String]) -> Option<&'v Value> {
    // A CSV column may have dots in its name.
    if let Some(found) = value.get(path.join(".")) {
        return Some(found);
    }
    path.iter().try_fold(value, |value, name| value.get(name))
}

#[cfg(test)]
mod tests;
