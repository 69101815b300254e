//! One message on its way: its payload is read once for each format, and each stream gets its rows.
//! What does not fit goes into the stream's counts. Must take no memory for a message like those before.

use std::sync::Arc;

use super::delimited::Lines;
use super::elements::Elements;
use super::reject::{Reject, RejectReason, StreamStats};
use super::route::{self, Route, Target};
use super::scalar::Scalar;
use super::texts::Texts;
use super::{Config, json};
use crate::model::coerce;
use crate::model::fit::{self, Misfit};
use crate::model::message::Message;
use crate::model::row::{Row, Rows};
use crate::model::stream::{Field, FieldSource, Format, StreamSpec};
use crate::model::time::Timestamp;
use crate::model::value::Value;

/// A message, and what is needed to read it.
pub(super) struct Pass<'p> {
    pub(super) config: &'p Config,
    pub(super) streams: &'p [Arc<StreamSpec>],
    pub(super) stats: &'p mut [StreamStats],
    pub(super) texts: &'p mut Texts,
    pub(super) elements: &'p mut Elements,
    pub(super) lines: &'p mut Lines,
    pub(super) route: &'p Route,
    pub(super) message: &'p Message,
    pub(super) out: &'p mut Rows,
}

impl Pass<'_> {
    /// Reads the message.
    pub(super) fn run(&mut self) {
        let course = &*self.route.course;
        for target in &course.targets {
            self.stats[target.stream].messages += 1;
        }
        if let Err(reject) = self.size() {
            return self.refuse(course.targets.iter(), &reject);
        }
        let first = self.out.len();
        self.binaries();
        match text(self.message) {
            Ok(text) => {
                self.scalars(text);
                self.delimited(text);
                self.objects(text);
            }
            Err(reject) => {
                let streams = self.streams;
                let reads = |target: &&Target| streams[target.stream].format != Format::Binary;
                self.refuse(course.targets.iter().filter(reads), &reject);
            }
        }
        if course.mixed {
            self.out.sort_from(first);
        }
    }

    fn refuse<'t>(&mut self, targets: impl Iterator<Item = &'t Target>, reject: &Reject) {
        for target in targets {
            self.stats[target.stream].refuse(reject.clone(), self.message);
        }
    }

    fn size(&self) -> Result<(), Reject> {
        match self.message.payload.len() {
            0 => Err(Reject::new(RejectReason::Empty, "the payload is empty")),
            len if len > self.config.max_payload => {
                let detail = format!("{len} bytes; at most {} are read", self.config.max_payload);
                Err(Reject::new(RejectReason::TooLarge, detail))
            }
            _ => Ok(()),
        }
    }

    fn binaries(&mut self) {
        let (route, message) = (self.route, self.message);
        for target in &route.course.targets {
            if self.streams[target.stream].format == Format::Binary {
                let bytes = || Value::Bytes(message.payload.as_ref().into());
                self.row(target, |_, _, _, _| Ok(Some(bytes())), |reject| reject);
            }
        }
    }

    fn delimited(&mut self, text: &str) {
        let route = self.route;
        for target in &route.course.targets {
            let Format::Delimited { delimiter, columns } = self.streams[target.stream].format else {
                continue;
            };
            let mut lines = std::mem::take(self.lines);
            let read = lines.read(text, delimiter, self.config.max_rows);
            if let Err(reject) = &read {
                self.stats[target.stream].refuse(reject.clone(), self.message);
            }
            for line in 0..if read.is_ok() { lines.len() } else { 0 } {
                let named = |reject: Reject| match lines.len() > 1 {
                    true => Reject::new(reject.reason, format!("line {}: {}", line + 1, reject.detail)),
                    false => reject,
                };
                if lines.width(line) > columns && self.streams[target.stream].strict {
                    let detail = format!("{} values for {columns} columns", lines.width(line));
                    let reject = named(Reject::new(RejectReason::NotDelimited, detail));
                    self.stats[target.stream].refuse(reject, self.message);
                    continue;
                }
                let payload =
                    |_, field: &Field, strict, texts: &mut Texts| lines.fit(line, field, strict, text, texts);
                self.row(target, payload, named);
            }
            *self.lines = lines;
        }
    }

    fn scalars(&mut self, text: &str) {
        let route = self.route;
        let mut scalar = None;
        for target in &route.course.targets {
            if self.streams[target.stream].format != Format::Scalar {
                continue;
            }
            let scalar = scalar.get_or_insert_with(|| Scalar::read(text));
            let payload = |_, field: &Field, strict, texts: &mut Texts| match &field.from {
                FieldSource::Path(path) if path.is_empty() && strict => {
                    scalar.fit(&field.ty, field.unit, texts).map(Some)
                }
                FieldSource::Path(path) if path.is_empty() => {
                    Ok(Some(scalar.convert(&field.ty, field.unit, texts)))
                }
                _ => Ok(None),
            };
            self.row(target, payload, |reject| reject);
        }
    }

    fn objects(&mut self, text: &str) {
        let route = self.route;
        let Some(projection) = &route.course.json else { return };
        let mut elements = std::mem::take(self.elements);
        let read = json::read(text, projection, self.config, &mut elements);
        for target in &route.course.targets {
            if self.streams[target.stream].format != Format::Json {
                continue;
            }
            if let Err(reject) = &read {
                self.stats[target.stream].refuse(reject.clone(), self.message);
                continue;
            }
            for element in 0..elements.len() {
                let named = |reject: Reject| match elements.array {
                    true => Reject::new(reject.reason, format!("element {element}: {}", reject.detail)),
                    false => reject,
                };
                if !elements.is_object(element) {
                    let reject = named(Reject::new(RejectReason::NotAnObject, "no object"));
                    self.stats[target.stream].refuse(reject, self.message);
                    continue;
                }
                let payload = |slot, field: &Field, strict, texts: &mut Texts| {
                    let Some(Some(place)) = target.places.get::<usize>(slot) else { return Ok(None) };
                    elements.fit((element, *place), field, strict, text, texts)
                };
                self.row(target, payload, named);
            }
        }
        // What is large must not wait for the next message.
        elements.values.clear();
        *self.elements = elements;
    }

    /// A row of a target's stream; `payload` gives the values that come from there, strictly or converted,
    /// and `None` for what is absent; `named` says of a reject where in the payload it is.
    fn row(
        &mut self,
        target: &Target,
        payload: impl FnMut(usize, &Field, bool, &mut Texts) -> Result<Option<Value>, Misfit>,
        named: impl Fn(Reject) -> Reject,
    ) {
        let spec = &*self.streams[target.stream];
        let known = self.route.known(target);
        let row = self.out.begin(target.stream);
        match fill(row, spec, known, self.message, self.texts, payload) {
            Ok(()) => self.stats[target.stream].rows += 1,
            Err(reject) => {
                self.out.abandon();
                self.stats[target.stream].refuse(named(reject), self.message);
            }
        }
    }
}

/// Fills a row; `known` are the values that the topic gives, if they fit.
fn fill(
    row: &mut Row,
    spec: &StreamSpec,
    known: Option<&[Value]>,
    message: &Message,
    texts: &mut Texts,
    mut payload: impl FnMut(usize, &Field, bool, &mut Texts) -> Result<Option<Value>, Misfit>,
) -> Result<(), Reject> {
    let mut known = known.map(<[Value]>::iter);
    for (slot, field) in spec.fields.iter().enumerate() {
        let value = match &field.from {
            FieldSource::Path(_) | FieldSource::Cell(_) => {
                payload(slot, field, route::is_strict(spec, slot), texts)
                    .map(|value| value.unwrap_or_else(|| field.default.clone()))
            }
            FieldSource::Capture(_) | FieldSource::Topic | FieldSource::Source => match &mut known {
                Some(known) => Ok(known.next().cloned().unwrap_or_default()),
                None => {
                    let captures = route::captures(spec, &message.topic).unwrap_or_default();
                    route::given(field, spec, slot, &captures, message, texts)
                }
            },
            FieldSource::Received => Ok(Value::Time(message.received)),
            FieldSource::Retained => Ok(Value::Bool(message.retained)),
            FieldSource::Qos => Ok(Value::Int(message.qos.into())),
            FieldSource::Property(name) => Ok(property(message, name, texts)),
        };
        row.slots.push(value.map_err(|misfit| of_column(field, misfit))?);
    }
    row.time = match spec.timestamp {
        None => message.received,
        Some(slot) => event_time(&spec.fields[slot], &row.slots[slot])?,
    };
    row.retained = message.retained;
    Ok(())
}

#[cold]
fn of_column(field: &Field, misfit: Misfit) -> Reject {
    let reject = Reject::from(misfit);
    Reject::new(reject.reason, format!("column `{}`: {}", field.name, reject.detail))
}

fn property(message: &Message, name: &str, texts: &mut Texts) -> Value {
    let found = message.properties.iter().rfind(|(property, _)| property == name);
    found.map_or(Value::Null, |(_, value)| texts.value(value))
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
