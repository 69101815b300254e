//! Series of readings, as a case writes them: one or several topics, a time between two readings, and their
//! values in short. They become messages once the streams are known: these say in which form a payload is, and
//! which column of it holds the time.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value as Json};

use crate::model::message::NODE_SOURCE;
use crate::model::stream::{Field, FieldSource, Format, StreamSpec, TimeUnit};
use crate::model::time::Timestamp;

use super::notation::Values;
use super::read::MAX_REPEAT;
use super::{Action, Event, Series, payload};

/// What one reading holds; nothing where it does not come.
type Reading = Option<Json>;

impl Series {
    /// The readings of `values`, which is a notation or list for the payload as a whole, or one for each of
    /// its fields; `fields` stand in every reading. `several` says that there is a time between two.
    ///
    /// # Errors
    /// A sentence that says what is wrong.
    pub(super) fn readings(
        values: &Json,
        fields: &Map<String, Json>,
        several: bool,
    ) -> Result<(Vec<Reading>, bool), String> {
        let Json::Object(columns) = values else {
            let Values { values, stale } = Values::of(values, several)?;
            let whole = |value: Json| match value {
                Json::Object(own) => Ok(Json::Object(fields.clone().into_iter().chain(own).collect())),
                value if fields.is_empty() => Ok(value),
                _ => {
                    Err("`fields` stand beside named values: write `values: {temperature: 20x5}`".to_owned())
                }
            };
            let readings: Result<_, String> = values.into_iter().map(|v| v.map(whole).transpose()).collect();
            return Ok((readings?, stale));
        };
        let mut all = Vec::with_capacity(columns.len());
        for (name, values) in columns {
            all.push((name, Values::of(values, several).map_err(|why| format!("{name}: {why}"))?));
        }
        let n = all.first().map_or(0, |(_, values)| values.values.len());
        if let Some((other, values)) = all.iter().find(|(_, values)| values.values.len() != n) {
            let first = all.first().map_or("", |(name, _)| name);
            return Err(format!(
                "`{first}` has {n} readings and `{other}` {}; each needs the same number (what never changes stands under `fields`)",
                values.values.len()
            ));
        }
        let stale = all.iter().any(|(_, values)| values.stale);
        let mut readings = Vec::with_capacity(n);
        for i in 0..n {
            let mut payload = fields.clone();
            let mut any = false;
            for (name, values) in &all {
                if let Some(value) = values.values.get(i).cloned().flatten() {
                    put(&mut payload, &name.split('.').collect::<Vec<_>>(), value)?;
                    any = true;
                }
            }
            readings.push(any.then_some(Json::Object(payload)));
        }
        Ok((readings, stale))
    }

    /// When the last of its readings arrives; where none does, its beginning.
    pub(super) fn end(&self) -> Timestamp {
        let steps = u32::try_from(self.readings.len().saturating_sub(1)).unwrap_or(u32::MAX);
        self.at.plus(self.every.saturating_mul(steps)).plus(self.delay)
    }

    /// Its messages, for streams that read so.
    ///
    /// # Errors
    /// A topic that no stream reads; a time that cannot be written.
    pub(super) fn messages(&self, streams: &[Arc<StreamSpec>], into: &mut Vec<Event>) -> Result<(), String> {
        for topic in &self.topics {
            let matching = || streams.iter().filter(|stream| stream.pattern.matches(topic, |_| {}));
            let Some(stream) =
                matching().find(|stream| stream.timestamp.is_some()).or_else(|| matching().next())
            else {
                return Err(none_reads(topic, streams));
            };
            let source = match (&self.source, &stream.source) {
                (Some(source), _) => source.clone(),
                _ if topic.starts_with("$node/") => NODE_SOURCE.to_owned(),
                (None, Some(source)) => source.to_string(),
                (None, None) => "test".to_owned(),
            };
            let mut time = self.at;
            for reading in &self.readings {
                if let Some(reading) = reading {
                    let payload = text(payload::fill(reading, time), stream, time)?;
                    let (source, topic, retained) = (source.clone(), topic.clone(), self.retained);
                    let action = Action::Message { source, topic, payload, retained };
                    into.push(Event { at: time.plus(self.delay), action });
                }
                time = time.plus(self.every);
            }
        }
        Ok(())
    }
}

fn none_reads(topic: &str, streams: &[Arc<StreamSpec>]) -> String {
    let known: Vec<String> = streams.iter().map(|stream| format!("`{}`", stream.pattern)).collect();
    format!("no stream of the rules reads the topic `{topic}`; they read {}", known.join(", "))
}

/// Sets a member by its path: `data.temp` is `{"data": {"temp": …}}`.
fn put(object: &mut Map<String, Json>, path: &[&str], value: Json) -> Result<(), String> {
    match path {
        [] => Ok(()),
        [name] => {
            object.insert((*name).to_owned(), value);
            Ok(())
        }
        [name, rest @ ..] => match object.entry(*name).or_insert_with(|| Json::Object(Map::new())) {
            Json::Object(inner) => put(inner, rest, value),
            _ => Err(format!("`{name}` is both a value and an object")),
        },
    }
}

/// The payload as the stream reads it, with the time in its column.
fn text(mut payload: Json, stream: &StreamSpec, time: Timestamp) -> Result<String, String> {
    let column = stream.timestamp.and_then(|slot| stream.fields.get(slot));
    match stream.format {
        Format::Json => {
            if let Some(Field { from: FieldSource::Path(path), unit, .. }) = column {
                let rows = match &mut payload {
                    Json::Array(rows) => rows.as_mut_slice(),
                    row => std::slice::from_mut(row),
                };
                for row in rows.iter_mut().filter_map(Json::as_object_mut) {
                    let path: Vec<&str> = path.iter().map(|name| &**name).collect();
                    if !has(row, &path) {
                        put(row, &path, written(time, *unit, stream)?)?;
                    }
                }
            }
            Ok(payload.to_string())
        }
        Format::Delimited { delimiter, columns } => match payload {
            Json::Object(values) => line(&values, stream, (delimiter, columns), time),
            other => Ok(plain(&other)),
        },
        Format::KubeEdge => Ok(payload.to_string()),
        Format::Scalar | Format::Binary | Format::Availability => Ok(plain(&payload)),
    }
}

fn has(object: &Map<String, Json>, path: &[&str]) -> bool {
    match path {
        [] => true,
        [name] => object.contains_key(*name),
        [name, rest @ ..] => {
            object.get(*name).and_then(Json::as_object).is_some_and(|inner| has(inner, rest))
        }
    }
}

/// A line of values; what the rules do not use is left empty.
fn line(
    values: &Map<String, Json>,
    stream: &StreamSpec,
    (delimiter, columns): (char, usize),
    time: Timestamp,
) -> Result<String, String> {
    let mut cells = vec![String::new(); columns];
    for (place, field) in stream.fields.iter().enumerate() {
        let FieldSource::Cell(n) = field.from else { continue };
        let Some(cell) = cells.get_mut(n) else { continue };
        match values.get(&*field.name) {
            Some(Json::Null) => {}
            Some(value) => *cell = plain(value),
            None if stream.timestamp == Some(place) => *cell = plain(&written(time, field.unit, stream)?),
            None => {}
        }
        if cell.contains([delimiter, '"', '\n']) {
            *cell = format!("\"{}\"", cell.replace('"', "\"\""));
        }
    }
    Ok(cells.join(&delimiter.to_string()))
}

fn plain(value: &Json) -> String {
    match value {
        Json::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// A time as the stream's column has it.
fn written(time: Timestamp, unit: TimeUnit, stream: &StreamSpec) -> Result<Json, String> {
    match unit {
        TimeUnit::Auto | TimeUnit::Rfc3339 => Ok(Json::from(time.to_string())),
        TimeUnit::Seconds => Ok(payload::fill(&Json::from("$t"), time)),
        TimeUnit::Millis => Ok(Json::from(time.millis())),
        TimeUnit::Micros => Ok(Json::from(time.micros())),
        TimeUnit::Nanos => Ok(Json::from(time.micros().saturating_mul(1_000))),
        TimeUnit::Pattern(_) => Err(format!(
            "the time of the stream `{}` follows a pattern, and cannot be filled in: write it as a field of the series, or use `steps`",
            stream.name
        )),
    }
}

/// The topics that one text stands for: `f-{1..3}` is three, `{a,b}/x` two.
///
/// # Errors
/// Braces that say neither.
pub(super) fn topics(text: &str) -> Result<Vec<String>, String> {
    let Some((before, rest)) = text.split_once('{') else { return Ok(vec![text.to_owned()]) };
    let wrong = || format!("`{text}`: braces in a topic are `{{1..3}}` or `{{a,b}}`");
    let (inner, after) = rest.split_once('}').ok_or_else(wrong)?;
    let choices: Vec<String> = match inner.split_once("..") {
        Some((from, to)) => {
            let (from, to): (u32, u32) =
                (from.parse().map_err(|_| wrong())?, to.parse().map_err(|_| wrong())?);
            if from > to || to - from >= MAX_REPEAT {
                return Err(wrong());
            }
            (from..=to).map(|n| n.to_string()).collect()
        }
        None if inner.contains(',') => inner.split(',').map(|one| one.trim().to_owned()).collect(),
        None => return Err(wrong()),
    };
    let tails = topics(after)?;
    Ok(choices.iter().flat_map(|one| tails.iter().map(move |tail| format!("{before}{one}{tail}"))).collect())
}

/// How much time passes between two readings.
pub(super) fn pace(every: Option<Duration>, readings: usize) -> Result<Duration, String> {
    match every {
        Some(every) if every.is_zero() && readings > 1 => {
            Err("`every` is more than nothing, as in `every: 1m`".to_owned())
        }
        Some(every) => Ok(every),
        None if readings > 1 => {
            Err("`every` is missing: the time between two readings, as in `every: 1m`".to_owned())
        }
        None => Ok(Duration::ZERO),
    }
}

#[cfg(test)]
mod tests {
    use super::topics;

    #[test]
    fn braces_stand_for_several_topics() {
        assert_eq!(topics("a/b").unwrap(), ["a/b"]);
        assert_eq!(topics("f-{1..3}/x").unwrap(), ["f-1/x", "f-2/x", "f-3/x"]);
        assert_eq!(topics("{a,b}/{1..2}").unwrap(), ["a/1", "a/2", "b/1", "b/2"]);
        for text in ["{device}/x", "{1..", "{3..1}", "{1..x}"] {
            assert!(topics(text).unwrap_err().contains("braces in a topic"), "{text}");
        }
    }
}
