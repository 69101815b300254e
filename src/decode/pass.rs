//! One message on its way: its payload is read once for each format, and each stream gets its rows.
//! What does not fit goes into the stream's counts. Must take no memory for a message like those before.

use std::sync::Arc;

use super::delimited::Lines;
use super::elements::Elements;
use super::projection::Projection;
use super::reject::{Reject, RejectReason, StreamStats};
use super::route::{self, Course, Route, Target};
use super::scalar::Scalar;
use super::texts::Texts;
use super::{Config, availability, json, twins};
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
    pub(super) elements: &'p mut Elements,
    pub(super) lines: &'p mut Lines,
    pub(super) course: &'p mut Course,
    pub(super) sheet: Sheet<'p>,
}

/// Where the rows go, and what they are made of besides the payload.
pub(super) struct Sheet<'p> {
    pub(super) streams: &'p [Arc<StreamSpec>],
    pub(super) stats: &'p mut [StreamStats],
    pub(super) texts: &'p mut Texts,
    pub(super) route: &'p Route,
    pub(super) message: &'p Message,
    pub(super) out: &'p mut Rows,
}

impl Pass<'_> {
    /// Reads the message.
    #[inline]
    pub(super) fn run(self) {
        let Self { config, elements, lines, course, mut sheet } = self;
        let Course { targets, json, twins, others, mixed, .. } = course;
        for target in &*targets {
            sheet.stats[target.stream].messages += 1;
        }
        if let Err(reject) = size(sheet.message, config) {
            return sheet.refuse(targets.iter(), &reject);
        }
        let first = sheet.out.len();
        if *others {
            sheet.binaries(targets);
        }
        match text(sheet.message) {
            Ok(text) => {
                if *others {
                    sheet.scalars(targets, text);
                    sheet.availabilities(targets, text);
                    sheet.delimited(targets, text, lines, config);
                }
                if let Some(projection) = json {
                    sheet.objects(targets, text, (Format::Json, projection), config, elements);
                }
                if let Some(projection) = twins {
                    sheet.twins(targets, text, projection, config, elements);
                }
            }
            Err(reject) => {
                let streams = sheet.streams;
                let reads = |target: &&Target| streams[target.stream].format != Format::Binary;
                sheet.refuse(targets.iter().filter(reads), &reject);
            }
        }
        if *mixed {
            sheet.out.sort_from(first);
        }
    }
}

impl Sheet<'_> {
    #[cold]
    fn refuse<'t>(&mut self, targets: impl Iterator<Item = &'t Target>, reject: &Reject) {
        for target in targets {
            self.stats[target.stream].refuse(reject.clone(), self.message);
        }
    }

    fn binaries(&mut self, targets: &[Target]) {
        let message = self.message;
        for target in targets {
            if self.streams[target.stream].format == Format::Binary {
                let bytes = || Value::Bytes(message.payload.as_ref().into());
                let payload = |_, _: &Field, _, _: &mut Texts, slot: &mut Value| {
                    *slot = bytes();
                    Ok(true)
                };
                self.row(target, payload, |reject| reject);
            }
        }
    }

    fn delimited(&mut self, targets: &[Target], text: &str, lines: &mut Lines, config: &Config) {
        for target in targets {
            let Format::Delimited { delimiter, columns } = self.streams[target.stream].format else {
                continue;
            };
            let read = lines.read(text, delimiter, config.max_rows);
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
                let payload = |_, field: &Field, strict, texts: &mut Texts, slot: &mut Value| {
                    lines.fit(line, field, strict, text, texts, slot)
                };
                self.row(target, payload, named);
            }
        }
    }

    fn availabilities(&mut self, targets: &[Target], text: &str) {
        for target in targets {
            if self.streams[target.stream].format == Format::Availability {
                let payload = |_, field: &Field, _, _: &mut Texts, slot: &mut Value| {
                    if !matches!(&field.from, FieldSource::Path(_)) {
                        return Ok(false);
                    }
                    *slot = Value::Bool(availability::read(text)?);
                    Ok(true)
                };
                self.row(target, payload, |reject| reject);
            }
        }
    }

    fn scalars(&mut self, targets: &[Target], text: &str) {
        let mut scalar = None;
        for target in targets {
            if self.streams[target.stream].format != Format::Scalar {
                continue;
            }
            let scalar = scalar.get_or_insert_with(|| Scalar::read(text));
            let payload = |_, field: &Field, strict, texts: &mut Texts, slot: &mut Value| {
                if !matches!(&field.from, FieldSource::Path(path) if path.is_empty()) {
                    return Ok(false);
                }
                *slot = match strict {
                    true => scalar.fit(&field.ty, field.unit, texts)?,
                    false => scalar.convert(&field.ty, field.unit, texts),
                };
                Ok(true)
            };
            self.row(target, payload, |reject| reject);
        }
    }

    fn twins(
        &mut self,
        targets: &[Target],
        text: &str,
        projection: &mut Projection,
        config: &Config,
        elements: &mut Elements,
    ) {
        match twins::rewrite(text, config) {
            Ok(rows) => self.objects(targets, &rows, (Format::KubeEdge, projection), config, elements),
            Err(reject) => {
                let streams = self.streams;
                let reads = |target: &&Target| streams[target.stream].format == Format::KubeEdge;
                self.refuse(targets.iter().filter(reads), &reject);
            }
        }
    }

    #[inline]
    fn objects(
        &mut self,
        targets: &[Target],
        text: &str,
        (format, projection): (Format, &mut Projection),
        config: &Config,
        elements: &mut Elements,
    ) {
        let read = json::read(text, projection, config, elements);
        for target in targets {
            if self.streams[target.stream].format != format {
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
                let payload = |n, field: &Field, strict, texts: &mut Texts, slot: &mut Value| {
                    let Some(Some(place)) = target.places.get::<usize>(n) else { return Ok(false) };
                    elements.fit((element, *place), field, strict, text, texts, slot)
                };
                self.row(target, payload, named);
            }
        }
        // What is large must not wait for the next message.
        elements.values.clear();
    }

    /// A row of a target's stream; `payload` puts the values that come from there in their slots,
    /// strictly or converted, and says no to what is absent; `named` says of a reject where in the payload
    /// it is.
    #[inline]
    fn row(
        &mut self,
        target: &Target,
        payload: impl FnMut(usize, &Field, bool, &mut Texts, &mut Value) -> Result<bool, Misfit>,
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
#[inline]
fn fill(
    row: &mut Row,
    spec: &StreamSpec,
    known: Option<&[Value]>,
    message: &Message,
    texts: &mut Texts,
    mut payload: impl FnMut(usize, &Field, bool, &mut Texts, &mut Value) -> Result<bool, Misfit>,
) -> Result<(), Reject> {
    let mut known = known.map(<[Value]>::iter);
    row.slots.resize_with(spec.fields.len(), Value::default);
    for (n, (field, slot)) in spec.fields.iter().zip(&mut row.slots).enumerate() {
        match &field.from {
            FieldSource::Path(_) | FieldSource::Cell(_) => {
                match payload(n, field, route::is_strict(spec, n), texts, slot) {
                    Ok(true) => {}
                    Ok(false) => slot.clone_from(&field.default),
                    Err(misfit) => return Err(of_column(field, misfit)),
                }
            }
            _ => {
                *slot = beside(n, field, spec, &mut known, message, texts)
                    .map_err(|misfit| of_column(field, misfit))?;
            }
        }
    }
    row.time = match spec.timestamp {
        None => message.received,
        Some(slot) => event_time(&spec.fields[slot], &row.slots[slot])?,
    };
    row.retained = message.retained;
    Ok(())
}

/// The value of a field that does not come from the payload.
fn beside(
    slot: usize,
    field: &Field,
    spec: &StreamSpec,
    known: &mut Option<std::slice::Iter<'_, Value>>,
    message: &Message,
    texts: &mut Texts,
) -> Result<Value, Misfit> {
    Ok(match &field.from {
        FieldSource::Received => Value::Time(message.received),
        FieldSource::Retained => Value::Bool(message.retained),
        FieldSource::Qos => Value::Int(message.qos.into()),
        FieldSource::Property(name) => property(message, name, texts),
        _ => match known {
            Some(known) => known.next().cloned().unwrap_or_default(),
            None => {
                let captures = route::captures(spec, &message.topic).unwrap_or_default();
                route::given(field, spec, slot, &captures, message, texts)?
            }
        },
    })
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

#[inline]
fn size(message: &Message, config: &Config) -> Result<(), Reject> {
    match message.payload.len() {
        0 => Err(Reject::new(RejectReason::Empty, "the payload is empty")),
        len if len > config.max_payload => {
            let detail = format!("{len} bytes; at most {} are read", config.max_payload);
            Err(Reject::new(RejectReason::TooLarge, detail))
        }
        _ => Ok(()),
    }
}

/// The payload as text.
#[inline]
fn text(message: &Message) -> Result<&str, Reject> {
    let text = std::str::from_utf8(message.payload.as_ref()).map_err(|e| {
        Reject::new(RejectReason::NotUtf8, format!("byte {} is no UTF-8", e.valid_up_to() + 1))
    })?;
    let visible = |first: &u8| first.is_ascii_graphic();
    if !text.as_bytes().first().is_some_and(visible) && text.trim_start().is_empty() {
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
