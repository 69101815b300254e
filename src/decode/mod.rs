//! Messages in, typed rows out; what does not fit is counted with a reason and an example.
//!
//! A message is routed by its topic to every stream that reads it, its payload is parsed once,
//! and each stream gets rows in the types of its schema. Decoding cannot fail: no payload,
//! however broken, large or deep, does more than add to a counter.

mod delimited;
mod json;
mod reject;
mod route;
mod scalar;

use std::collections::HashMap;
use std::sync::Arc;

use crate::model::cast;
use crate::model::coerce;
use crate::model::fit::{self, Misfit};
use crate::model::message::Message;
use crate::model::row::Row;
use crate::model::stream::{Field, FieldSource, Format, StreamSpec};
use crate::model::time::Timestamp;
use crate::model::value::{DataType, Value};

use self::json::Elements;
use self::reject::Reject;
use self::route::{Reading, Route, Router, Target};
use self::scalar::Scalar;

pub use self::reject::{RejectReason, Sample, StreamStats};

/// How deep arrays and objects may be nested. Readings are rarely deeper than five; the bound
/// keeps every payload far from the end of the stack.
pub const MAX_DEPTH: usize = 64;

/// The bounds of decoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// The longest payload that is looked at, in bytes; 512 KiB by default. Longer ones are
    /// rejected as `too_large`. Raising it raises the memory that one message can take. It lies
    /// below the largest packet that a broker connection takes by default, so that a payload
    /// which is too long still arrives, and is counted for its stream with a sample.
    pub max_payload: usize,
    /// The longest array of rows in one message; 10,000 by default. A longer one is rejected
    /// whole, as `too_many_rows`.
    pub max_rows: usize,
    /// How many topics are remembered with their streams; 16,384 by default. With more topics
    /// than this in use, some messages pay for a search among all streams.
    pub max_topics: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self { max_payload: 512 << 10, max_rows: 10_000, max_topics: 16_384 }
    }
}

/// Turns messages into rows for a set of streams.
#[derive(Debug)]
pub struct Decoder {
    config: Config,
    streams: Vec<Arc<StreamSpec>>,
    router: Router,
    stats: Vec<StreamStats>,
    unmatched: u64,
}

impl Decoder {
    /// A decoder for these streams, with the default bounds. Rows name a stream by its place here.
    pub fn new(streams: Vec<Arc<StreamSpec>>) -> Self {
        Self::with_config(streams, Config::default())
    }

    /// A decoder with bounds of its own.
    pub fn with_config(streams: Vec<Arc<StreamSpec>>, config: Config) -> Self {
        let stats = streams.iter().map(|_| StreamStats::default()).collect();
        Self { config, streams, router: Router::default(), stats, unmatched: 0 }
    }

    /// Takes other streams in the place of the present ones. A stream whose name stays keeps its
    /// counts and samples.
    pub fn swap(&mut self, streams: Vec<Arc<StreamSpec>>) {
        let names = self.streams.iter().map(|spec| spec.name.clone());
        let mut old: HashMap<Arc<str>, StreamStats> = names.zip(self.stats.drain(..)).collect();
        self.stats = streams.iter().map(|spec| old.remove(&spec.name).unwrap_or_default()).collect();
        self.streams = streams;
        self.router = Router::default();
    }

    /// Decodes one message: appends its rows, each with its stream's place, in the order of streams.
    pub fn decode(&mut self, message: &Message, out: &mut Vec<(usize, Row)>) {
        let route = self.router.route(&self.streams, message, self.config.max_topics);
        if route.targets.is_empty() {
            self.unmatched += 1;
            return;
        }
        for target in &route.targets {
            self.stats[target.stream].messages += 1;
        }
        if let Err(reject) = self.size(message) {
            return self.refuse(route.targets.iter(), &reject, message);
        }
        let first = out.len();
        self.binaries(&route, message, out);
        match text(message) {
            Ok(text) => {
                self.scalars(&route, text, message, out);
                self.lines(&route, text, message, out);
                if let Some(reading) = &route.json {
                    self.objects(&route, reading, text, message, out);
                }
            }
            Err(reject) => {
                let reads = |target: &&Target| self.streams[target.stream].format != Format::Binary;
                let targets: Vec<&Target> = route.targets.iter().filter(reads).collect();
                self.refuse(targets.into_iter(), &reject, message);
            }
        }
        if route.mixed {
            out[first..].sort_by_key(|(stream, _)| *stream);
        }
    }

    fn refuse<'t>(&mut self, targets: impl Iterator<Item = &'t Target>, reject: &Reject, message: &Message) {
        for target in targets {
            self.stats[target.stream].refuse(reject.clone(), message);
        }
    }

    /// Each stream with what it has taken in.
    pub fn stats(&self) -> impl Iterator<Item = (&Arc<StreamSpec>, &StreamStats)> {
        self.streams.iter().zip(&self.stats)
    }

    /// Messages whose topic feeds no stream.
    pub fn unmatched(&self) -> u64 {
        self.unmatched
    }

    fn size(&self, message: &Message) -> Result<(), Reject> {
        match message.payload.len() {
            0 => Err(Reject::new(RejectReason::Empty, "the payload is empty")),
            len if len > self.config.max_payload => {
                let detail = format!("{len} bytes; at most {} are read", self.config.max_payload);
                Err(Reject::new(RejectReason::TooLarge, detail))
            }
            _ => Ok(()),
        }
    }

    fn binaries(&mut self, route: &Route, message: &Message, out: &mut Vec<(usize, Row)>) {
        for target in route.targets.iter().filter(|t| self.streams[t.stream].format == Format::Binary) {
            let bytes = || Some(Value::Bytes(message.payload.as_ref().into()));
            let row = row(&self.streams[target.stream], target, message, |_, _, _| Ok(bytes()));
            settle(&mut self.stats[target.stream], target.stream, row, message, out);
        }
    }

    fn lines(&mut self, route: &Route, text: &str, message: &Message, out: &mut Vec<(usize, Row)>) {
        for target in &route.targets {
            let spec = &self.streams[target.stream];
            let Format::Delimited { delimiter, columns } = spec.format else { continue };
            let stats = &mut self.stats[target.stream];
            let lines = match delimited::read(text, delimiter, self.config.max_rows) {
                Ok(lines) => lines,
                Err(reject) => {
                    stats.refuse(reject, message);
                    continue;
                }
            };
            for (number, line) in lines.iter().enumerate() {
                let row = match line.len() > columns && spec.strict {
                    true => Err(Reject::new(
                        RejectReason::NotDelimited,
                        format!("{} values for {columns} columns", line.len()),
                    )),
                    false => row(spec, target, message, |_, field, strict| line.fit(field, strict)),
                };
                let row = row.map_err(|reject| match lines.len() > 1 {
                    true => Reject::new(reject.reason, format!("line {}: {}", number + 1, reject.detail)),
                    false => reject,
                });
                settle(stats, target.stream, row, message, out);
            }
        }
    }

    fn scalars(&mut self, route: &Route, text: &str, message: &Message, out: &mut Vec<(usize, Row)>) {
        let targets = route.targets.iter().filter(|t| self.streams[t.stream].format == Format::Scalar);
        let mut scalar = None;
        for target in targets {
            let scalar = scalar.get_or_insert_with(|| Scalar::read(text));
            let payload = |_, field: &Field, strict| match &field.from {
                FieldSource::Path(path) if path.is_empty() && strict => {
                    scalar.fit(&field.ty, field.unit).map(Some)
                }
                FieldSource::Path(path) if path.is_empty() => Ok(Some(scalar.convert(&field.ty, field.unit))),
                _ => Ok(None),
            };
            let row = row(&self.streams[target.stream], target, message, payload);
            settle(&mut self.stats[target.stream], target.stream, row, message, out);
        }
    }

    fn objects(
        &mut self,
        route: &Route,
        reading: &Reading,
        text: &str,
        message: &Message,
        out: &mut Vec<(usize, Row)>,
    ) {
        let elements = json::read(text, &reading.projection, self.config.max_rows);
        for (target, places) in route.targets.iter().zip(&reading.places) {
            let spec = &self.streams[target.stream];
            if spec.format != Format::Json {
                continue;
            }
            let stats = &mut self.stats[target.stream];
            match &elements {
                Err(reject) => stats.refuse(reject.clone(), message),
                Ok(elements) => {
                    for element in 0..elements.len() {
                        let row = object(spec, target, places, elements, element, message);
                        settle(stats, target.stream, row, message, out);
                    }
                }
            }
        }
    }
}

/// One element as a row of one stream.
fn object(
    spec: &StreamSpec,
    target: &Target,
    places: &[Option<usize>],
    elements: &Elements,
    element: usize,
    message: &Message,
) -> Result<Row, Reject> {
    let made = match elements.get(element) {
        None => Err(Reject::new(RejectReason::NotAnObject, "no object")),
        Some(values) => row(spec, target, message, |slot, field, strict| {
            let Some(value) = places[slot].and_then(|place| values[place].as_ref()) else { return Ok(None) };
            match strict {
                true => fit::fit(value, &field.ty, field.unit).map(Some),
                false => Ok(Some(cast::cast(value, &field.ty, field.unit))),
            }
        }),
    };
    made.map_err(|reject| match elements.array {
        true => Reject::new(reject.reason, format!("element {element}: {}", reject.detail)),
        false => reject,
    })
}

/// A row of the stream; `payload` gives the values that come from there, strictly or converted, and
/// `None` for what is absent.
fn row(
    spec: &StreamSpec,
    target: &Target,
    message: &Message,
    payload: impl Fn(usize, &Field, bool) -> Result<Option<Value>, Misfit>,
) -> Result<Row, Reject> {
    let mut slots = Vec::with_capacity(spec.fields.len());
    for (slot, field) in spec.fields.iter().enumerate() {
        // Whatever else may be converted: a row needs a time that is one.
        let strict = spec.strict || spec.timestamp == Some(slot);
        let value = match &field.from {
            FieldSource::Path(_) | FieldSource::Cell(_) => {
                payload(slot, field, strict).map(|value| value.unwrap_or_else(|| field.default.clone()))
            }
            FieldSource::Capture(n) => captured(target, *n, field, strict),
            FieldSource::Topic => Ok(Value::Str(message.topic.clone())),
            FieldSource::Received => Ok(Value::Time(message.received)),
            FieldSource::Source => Ok(Value::Str(message.source.clone())),
            FieldSource::Retained => Ok(Value::Bool(message.retained)),
            FieldSource::Qos => Ok(Value::Int(message.qos.into())),
            FieldSource::Property(name) => Ok(property(message, name)),
        };
        slots.push(value.map_err(|misfit| {
            let reject = Reject::from(misfit);
            Reject::new(reject.reason, format!("column `{}`: {}", field.name, reject.detail))
        })?);
    }
    let time = match spec.timestamp {
        None => message.received,
        Some(slot) => event_time(&spec.fields[slot], &slots[slot])?,
    };
    Ok(Row { slots: slots.into(), time, retained: message.retained })
}

fn property(message: &Message, name: &str) -> Value {
    let found = message.properties.iter().rfind(|(property, _)| property == name);
    found.map_or(Value::Null, |(_, value)| Value::str(value))
}

fn captured(target: &Target, n: usize, field: &Field, strict: bool) -> Result<Value, Misfit> {
    match (target.captures.get(n), &field.ty) {
        (None, _) => Ok(Value::Null),
        (Some(text), DataType::String | DataType::Any) => Ok(Value::Str(text.clone())),
        (Some(text), ty) if strict => fit::fit_text(text, ty, field.unit),
        (Some(text), ty) => Ok(cast::cast(&Value::Str(text.clone()), ty, field.unit)),
    }
}

/// The payload as text.
fn text(message: &Message) -> Result<&str, Reject> {
    let text = std::str::from_utf8(message.payload.as_ref()).map_err(|e| {
        Reject::new(RejectReason::NotUtf8, format!("byte {} is no UTF-8", e.valid_up_to() + 1))
    })?;
    if text.trim().is_empty() {
        return Err(Reject::new(RejectReason::Empty, "the payload is empty"));
    }
    Ok(text)
}

fn event_time(field: &Field, value: &Value) -> Result<Timestamp, Reject> {
    if value.is_null() {
        let detail = format!("column `{}` holds no time", field.name);
        return Err(Reject::new(RejectReason::MissingTimestamp, detail));
    }
    coerce::timestamp(value, field.unit).ok_or_else(|| {
        let detail = format!("column `{}`: {} is no time", field.name, fit::shown(value));
        Reject::new(RejectReason::BadTimestamp, detail)
    })
}

fn settle(
    stats: &mut StreamStats,
    stream: usize,
    row: Result<Row, Reject>,
    message: &Message,
    out: &mut Vec<(usize, Row)>,
) {
    match row {
        Ok(row) => {
            stats.rows += 1;
            out.push((stream, row));
        }
        Err(reject) => stats.refuse(reject, message),
    }
}

#[cfg(test)]
mod tests;
