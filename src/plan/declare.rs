//! What a `CREATE STREAM` or `CREATE TABLE` means: its columns, captures and options, checked. What
//! is not supported is refused with the reason, never passed over.

use std::sync::Arc;
use std::time::Duration;

use crate::model::fit;
use crate::model::node::NODE_STREAMS;
use crate::model::pattern::TimePattern;
use crate::model::stream::{Availability, Field, FieldSource, Format, TimeUnit};
use crate::model::time::parse_span;
use crate::model::topic::TopicPattern;
use crate::model::value::{DataType, Value};

use super::report::Problem;
use super::stream::{Column, Schema};
use super::syntax::{Create, CreateColumn, Name};

const OPTIONS: &[&str] = &[
    "DATASOURCE",
    "FORMAT",
    "DELIMITER",
    "STRICT_VALIDATION",
    "TIMESTAMP",
    "TIMESTAMP_FORMAT",
    "KEY",
    "SOURCE",
    "LATENESS",
    "IDLE",
    "MAX_FUTURE",
    "KEYS",
    "SILENCE",
    "AVAILABILITY",
    "TYPE",
    "SHARED",
    "KIND",
    "RETAIN_SIZE",
];

/// Options of eKuiper that would mean something else here, each with what to do instead.
const REFUSED: &[(&str, &str)] = &[
    ("CONF_KEY", "brokers are configured at the agent; name one with SOURCE='broker'"),
    (
        "SCHEMAID",
        "no format takes a schema: declare the columns, and let devices send JSON or delimited lines",
    ),
    ("EXTRA", "no source takes extra options"),
    ("VERSION", "the rule set has a revision as a whole"),
    ("TEMP", "streams and tables live as long as their rule set"),
];

/// The schema of what a statement creates, under `tables` or `streams`; `None` where a finding leaves
/// none.
pub(super) fn declare(create: &Create, table: bool, problems: &mut Vec<Problem>) -> Option<Schema> {
    let before = problems.len();
    if NODE_STREAMS.iter().any(|stream| *stream.name == create.name.text) {
        let message = format!("`{}` is a built-in stream of the node's metrics", create.name.text);
        problems.push(Problem::new("reserved-name", create.name.place, message).hint("choose another name"));
    }
    if create.table != table {
        let (is, list) = if table { ("CREATE STREAM", "streams") } else { ("CREATE TABLE", "tables") };
        let message = format!("{is} stands under `{list}`");
        problems.push(Problem::new("misplaced", create.name.place, message).hint("move it there"));
    }
    let options = Options::read(create, problems);
    let Some(topic) = options.get("DATASOURCE") else {
        let message = format!("the {} has no DATASOURCE", if table { "table" } else { "stream" });
        let hint = "add DATASOURCE='topic/{device}' to WITH (…)";
        problems.push(Problem::new("missing-option", create.name.place, message).hint(hint));
        return None;
    };
    let format = options.format(problems);
    let pattern = pattern(topic, problems)?;
    let (columns, format) = columns(create, &pattern, format, problems);
    let mut schema = Schema::over(create.name.text.as_str().into(), pattern, columns);
    schema.format = format;
    schema.table = table;
    schema.strict = options.truth("STRICT_VALIDATION", problems).unwrap_or(true);
    schema.open = create.columns.is_empty() && format == Format::Json;
    schema.source = options.get("SOURCE").map(|name| name.text.as_str().into());
    schema.lateness = options.span("LATENESS", problems).unwrap_or(Duration::ZERO);
    schema.idle = options.span("IDLE", problems);
    schema.max_future = options.span("MAX_FUTURE", problems);
    options.truth("SHARED", problems);
    options.of_tables(table, problems);
    options.timestamp(&mut schema, problems);
    options.key(&mut schema, problems);
    options.watch(&mut schema, problems);
    (problems.len() == before).then_some(schema)
}

fn pattern(topic: &Name, problems: &mut Vec<Problem>) -> Option<TopicPattern> {
    if topic.text.split('/').next() == Some("$node") {
        let problem = Problem::new("reserved-name", topic.place, "the node's metrics are built-in streams");
        problems.push(problem.hint("leave this statement out and read FROM node, node_cpu, node_disk, …"));
        return None;
    }
    match TopicPattern::parse(&topic.text) {
        Ok(pattern) => Some(pattern),
        Err(message) => {
            problems.push(Problem::new("bad-topic", topic.place, message));
            None
        }
    }
}

/// The columns of FORMAT='kubeedge'.
const TWINS: [(&str, DataType); 10] = [
    ("property", DataType::String),
    ("value", DataType::Any),
    ("expected", DataType::Any),
    ("last", DataType::Any),
    ("type", DataType::String),
    ("ts", DataType::Datetime),
    ("event_id", DataType::String),
    ("state", DataType::String),
    ("code", DataType::Bigint),
    ("reason", DataType::String),
];

/// Declared columns, then what the topic captures beyond them; and the format that reads them.
fn columns(
    create: &Create,
    pattern: &TopicPattern,
    format: Format,
    problems: &mut Vec<Problem>,
) -> (Vec<Column>, Format) {
    let captures: Vec<&Arc<str>> = pattern.captures().collect();
    let (mut columns, payload) = declared(create, &captures, format, problems);
    let mut more = |name: &str, ty, from| {
        columns.push(Column { name: name.into(), ty, from, default: Value::Null });
    };
    for (n, capture) in captures.into_iter().enumerate() {
        if !create.columns.iter().any(|column| *column.name.text == **capture) {
            more(capture, DataType::String, FieldSource::Capture(n));
        }
    }
    match format {
        Format::Scalar if payload == 0 => more("value", DataType::Any, FieldSource::Path(Vec::new())),
        Format::Binary if payload == 0 => more("value", DataType::Bytea, FieldSource::Path(Vec::new())),
        Format::KubeEdge if payload == 0 => {
            for (name, ty) in TWINS {
                more(name, ty.clone(), FieldSource::Path(vec![name.into()]));
            }
        }
        Format::Delimited { .. } if payload == 0 => {
            let message = "FORMAT='delimited' needs columns: a line does not name its values";
            let problem = Problem::new("missing-columns", create.name.place, message);
            problems.push(problem.hint("declare them in the order of the line"));
        }
        _ => {}
    }
    let format = match format {
        Format::Delimited { delimiter, .. } => Format::Delimited { delimiter, columns: payload },
        other => other,
    };
    (columns, format)
}

/// Declared columns, and how many of them are of the payload.
fn declared(
    create: &Create,
    captures: &[&Arc<str>],
    format: Format,
    problems: &mut Vec<Problem>,
) -> (Vec<Column>, usize) {
    let mut columns: Vec<Column> = Vec::new();
    let mut payload = 0;
    for declared in &create.columns {
        let CreateColumn { name, ty, .. } = declared;
        if columns.iter().any(|column| *column.name == *name.text) {
            let message = format!("the column `{}` is there twice", name.text);
            problems.push(Problem::new("duplicate-column", name.place, message));
            continue;
        }
        let capture = captures.iter().position(|capture| ***capture == *name.text);
        let from = match (capture, format) {
            (Some(n), _) => {
                captured(declared, problems);
                FieldSource::Capture(n)
            }
            (None, Format::Json) => FieldSource::Path(vec![name.text.as_str().into()]),
            (None, Format::KubeEdge) => {
                if !TWINS.iter().any(|(known, _)| *known == name.text) {
                    let message = format!("FORMAT='kubeedge' has no column `{}`", name.text);
                    let known = || TWINS.iter().map(|(known, _)| *known);
                    let hint = match super::nearest::nearest(&name.text, known()) {
                        Some(near) => format!("did you mean `{near}`?"),
                        None => format!("its columns are {}", known().collect::<Vec<_>>().join(", ")),
                    };
                    problems.push(Problem::new("unknown-column", name.place, message).hint(hint));
                }
                FieldSource::Path(vec![name.text.as_str().into()])
            }
            (None, Format::Scalar | Format::Binary | Format::Availability) => {
                whole(name, ty, (format, payload), problems);
                FieldSource::Path(Vec::new())
            }
            (None, Format::Delimited { .. }) => {
                if matches!(ty, DataType::Array(_) | DataType::Struct(_)) {
                    let message = format!("FORMAT='delimited' cannot give {ty}");
                    problems.push(Problem::new("wrong-type", name.place, message).hint("use FORMAT='json'"));
                }
                FieldSource::Cell(payload)
            }
        };
        payload += usize::from(capture.is_none());
        let default = default(declared, problems);
        columns.push(Column { name: name.text.as_str().into(), ty: ty.clone(), from, default });
    }
    (columns, payload)
}

fn captured(column: &CreateColumn, problems: &mut Vec<Problem>) {
    let CreateColumn { name, ty, default } = column;
    if !matches!(ty, DataType::String | DataType::Bigint) {
        let message = format!("`{}` is captured from the topic and cannot be {ty}", name.text);
        problems.push(Problem::new("wrong-type", name.place, message).hint("declare it STRING or BIGINT"));
    }
    if let Some((_, place)) = default {
        let message = format!("`{}` is captured from the topic: it is always there", name.text);
        problems.push(Problem::new("bad-default", *place, message).hint("leave DEFAULT out"));
    }
}

/// Checks a column that is the whole payload; so many were there before it.
fn whole(name: &Name, ty: &DataType, (format, before): (Format, usize), problems: &mut Vec<Problem>) {
    let called = if format == Format::Binary { "binary" } else { "scalar" };
    if before > 0 {
        let message = format!("FORMAT='{called}' has one column: the payload");
        problems.push(Problem::new("bad-option", name.place, message));
    } else if format == Format::Binary && *ty != DataType::Bytea {
        let message = format!("FORMAT='binary' gives BYTEA, not {ty}");
        problems.push(Problem::new("wrong-type", name.place, message).hint("declare the column BYTEA"));
    } else if matches!(ty, DataType::Array(_) | DataType::Struct(_)) {
        let message = format!("FORMAT='scalar' cannot give {ty}");
        problems.push(Problem::new("wrong-type", name.place, message).hint("use FORMAT='json'"));
    }
}

/// The value of DEFAULT as the column's type.
fn default(column: &CreateColumn, problems: &mut Vec<Problem>) -> Value {
    let Some((value, place)) = &column.default else { return Value::Null };
    fit::fit(value, &column.ty, TimeUnit::Auto).unwrap_or_else(|misfit| {
        problems.push(Problem::new("bad-default", *place, misfit.detail()));
        Value::Null
    })
}

/// The options of a statement, by upper-case name, each once.
struct Options<'a> {
    found: Vec<(String, &'a Name)>,
}

impl<'a> Options<'a> {
    fn read(create: &'a Create, problems: &mut Vec<Problem>) -> Self {
        let mut found: Vec<(String, &Name)> = Vec::new();
        for (key, value) in &create.options {
            let upper = key.text.to_uppercase();
            if found.iter().any(|(name, _)| *name == upper) {
                problems.push(Problem::new("bad-option", key.place, format!("{upper} is there twice")));
            } else if let Some((_, why)) = REFUSED.iter().find(|(name, _)| *name == upper) {
                problems.push(
                    Problem::new("unsupported", key.place, format!("{upper} is not supported")).hint(*why),
                );
            } else if OPTIONS.contains(&upper.as_str()) {
                found.push((upper, value));
            } else {
                let problem = Problem::new("unknown-option", key.place, format!("no option `{}`", key.text));
                let near = super::nearest::nearest(&upper, OPTIONS.iter().copied());
                problems.push(match near {
                    Some(near) => problem.hint(format!("did you mean {near}?")),
                    None => problem.hint(format!("the options are {}", OPTIONS.join(", "))),
                });
            }
        }
        let options = Self { found };
        if let Some(ty) = options.get("TYPE").filter(|ty| !ty.text.eq_ignore_ascii_case("mqtt")) {
            let message = format!("TYPE='{}' is not supported: streams are read from MQTT brokers", ty.text);
            let hint = "leave TYPE out, and publish the readings over MQTT";
            problems.push(Problem::new("unsupported", ty.place, message).hint(hint));
        }
        if let (Some(delimiter), false) = (options.get("DELIMITER"), options.delimited()) {
            let problem = Problem::new("bad-option", delimiter.place, "DELIMITER without FORMAT='delimited'");
            problems.push(problem.hint("leave it out, or add FORMAT='delimited'"));
        }
        if let (Some(unit), None) = (options.get("TIMESTAMP_FORMAT"), options.get("TIMESTAMP")) {
            let problem = Problem::new("bad-option", unit.place, "TIMESTAMP_FORMAT without TIMESTAMP");
            problems.push(problem.hint("name the column that holds event time: TIMESTAMP='ts'"));
        }
        options
    }

    fn get(&self, key: &str) -> Option<&'a Name> {
        self.found.iter().find(|(name, _)| name == key).map(|(_, value)| *value)
    }

    fn delimited(&self) -> bool {
        self.get("FORMAT").is_some_and(|format| format.text.eq_ignore_ascii_case("delimited"))
    }

    fn format(&self, problems: &mut Vec<Problem>) -> Format {
        const KNOWN: [&str; 5] = ["json", "scalar", "delimited", "binary", "kubeedge"];
        let Some(format) = self.get("FORMAT") else { return Format::Json };
        let problem = match format.text.to_lowercase().as_str() {
            "json" => return Format::Json,
            "scalar" => return Format::Scalar,
            "delimited" => return Format::Delimited { delimiter: self.delimiter(problems), columns: 0 },
            "binary" => return Format::Binary,
            "kubeedge" => return Format::KubeEdge,
            other @ ("protobuf" | "custom") => {
                let message = format!("FORMAT='{other}' is not supported: it needs a program to decode it");
                let hint = "let devices send 'json' or 'delimited', or read the bytes with FORMAT='binary'";
                Problem::new("unsupported", format.place, message).hint(hint)
            }
            "csv" => {
                Problem::new("bad-value", format.place, "no format `csv`").hint("did you mean 'delimited'?")
            }
            other => {
                let problem = Problem::new("bad-value", format.place, format!("no format `{other}`"));
                match super::nearest::nearest(other, KNOWN) {
                    Some(near) => problem.hint(format!("did you mean '{near}'?")),
                    None => problem.hint(format!("the formats are {}", KNOWN.join(", "))),
                }
            }
        };
        problems.push(problem);
        Format::Json
    }

    fn delimiter(&self, problems: &mut Vec<Problem>) -> char {
        let Some(written) = self.get("DELIMITER") else { return ',' };
        let text = if written.text == "\\t" { "\t" } else { written.text.as_str() };
        let mut chars = text.chars();
        match (chars.next(), chars.next()) {
            (Some(c), None) if !matches!(c, '"' | '\n' | '\r') => c,
            _ => {
                let message = format!("`{}` cannot part values", written.text);
                let hint = "use one character, as in ';' or '\\t'; no quote and no line end";
                problems.push(Problem::new("bad-value", written.place, message).hint(hint));
                ','
            }
        }
    }

    fn truth(&self, key: &str, problems: &mut Vec<Problem>) -> Option<bool> {
        let value = self.get(key)?;
        match value.text.to_lowercase().as_str() {
            "true" => Some(true),
            "false" => Some(false),
            _ => {
                let problem = Problem::new("bad-value", value.place, format!("{key} is 'true' or 'false'"));
                problems.push(problem);
                None
            }
        }
    }

    /// Options that only tables have.
    fn of_tables(&self, table: bool, problems: &mut Vec<Problem>) {
        for (key, kept) in [("KIND", "scan"), ("RETAIN_SIZE", "1")] {
            let Some(value) = self.get(key) else { continue };
            let (message, hint) = match key {
                _ if !table => (
                    format!("{key} is for tables"),
                    "leave it out; for the newest row of each key, write CREATE TABLE under `tables`",
                ),
                _ if value.text.eq_ignore_ascii_case(kept) => continue,
                "KIND" => (
                    format!(
                        "KIND='{}' is not supported: no table is looked up outside the agent",
                        value.text
                    ),
                    "leave it out, or write the rows into the rule file: `- {name: …, rows: […]}`",
                ),
                _ => (
                    format!(
                        "RETAIN_SIZE='{}' is not supported: a table keeps the newest row of each key",
                        value.text
                    ),
                    "leave it out; for the rows before, use lag() or a window over a stream",
                ),
            };
            problems.push(Problem::new("unsupported", value.place, message).hint(hint));
        }
    }

    fn span(&self, key: &str, problems: &mut Vec<Problem>) -> Option<Duration> {
        let value = self.get(key)?;
        parse_span(&value.text).map_err(|e| problems.push(Problem::new("bad-value", value.place, e))).ok()
    }

    /// What is watched of the stream beside its readings.
    fn watch(&self, schema: &mut Schema, problems: &mut Vec<Problem>) {
        for key in ["KEYS", "SILENCE", "AVAILABILITY"] {
            if let Some(value) = self.get(key).filter(|_| schema.table) {
                let problem = Problem::new("bad-option", value.place, format!("{key} is for streams"));
                problems.push(problem.hint("leave it out, or add it to a stream of the same topic"));
                return;
            }
        }
        if let Some(table) = self.get("KEYS") {
            if schema.key.is_none() {
                let problem = Problem::new("bad-option", table.place, "KEYS without KEY");
                problems.push(problem.hint("name the column that tells devices apart: KEY='device'"));
            }
            schema.keys = Some(table.clone());
        }
        if let Some(value) = self.get("SILENCE") {
            schema.silence = self.span("SILENCE", problems);
            if schema.silence == Some(Duration::ZERO) {
                let problem = Problem::new("bad-value", value.place, "a silence of nothing is always over");
                problems.push(problem.hint("write how long no reading may come, as in '5m'"));
            }
        }
        let Some(topic) = self.get("AVAILABILITY") else { return };
        let Some(pattern) = pattern(topic, problems) else { return };
        let captures: Vec<Arc<str>> = pattern.captures().cloned().collect();
        let key = match (captures.as_slice(), &schema.key) {
            ([], _) => None,
            ([capture], Some(key)) if *capture == key.name => {
                let given = Field { from: FieldSource::Capture(0), default: Value::Null, ..key.clone() };
                Some(Field { ty: DataType::String, unit: TimeUnit::Auto, ..given })
            }
            (_, key) => {
                let hint = match key {
                    Some(key) => format!(
                        "capture `{{{}}}` alone, the KEY of `{}`; other levels can be `+`",
                        key.name, schema.name
                    ),
                    None => format!(
                        "give `{}` a KEY of this name, or write `+` where the whole stream is meant",
                        schema.name
                    ),
                };
                let message = "the topic must tell whose availability it is";
                return problems.push(Problem::new("bad-value", topic.place, message).hint(hint));
            }
        };
        schema.availability = Some(Availability { pattern, key });
    }

    fn unit(&self, problems: &mut Vec<Problem>) -> Option<TimeUnit> {
        let Some(format) = self.get("TIMESTAMP_FORMAT") else { return Some(TimeUnit::Auto) };
        Some(match format.text.to_lowercase().as_str() {
            "s" => TimeUnit::Seconds,
            "ms" => TimeUnit::Millis,
            "us" => TimeUnit::Micros,
            "ns" => TimeUnit::Nanos,
            "rfc3339" => TimeUnit::Rfc3339,
            "auto" => TimeUnit::Auto,
            _ => match TimePattern::parse(&format.text) {
                Ok(pattern) => TimeUnit::Pattern(pattern),
                Err(why) => {
                    let message = format!("no timestamp format `{}`: {why}", format.text);
                    let problem = Problem::new("bad-value", format.place, message);
                    let hint = "use 's', 'ms', 'us', 'ns', 'rfc3339', 'auto', or a pattern such as 'yyyy-MM-dd HH:mm:ss'";
                    problems.push(problem.hint(hint));
                    return None;
                }
            },
        })
    }

    fn timestamp(&self, schema: &mut Schema, problems: &mut Vec<Problem>) {
        let Some(name) = self.get("TIMESTAMP") else { return };
        let Some(unit) = self.unit(problems) else { return };
        let Some(field) = named(schema, name, problems) else { return };
        if matches!(field.from, FieldSource::Capture(_)) {
            let message = format!("`{}` is captured from the topic and cannot be the timestamp", name.text);
            problems.push(Problem::new("wrong-type", name.place, message));
        } else if !matches!(
            field.ty,
            DataType::Datetime | DataType::Bigint | DataType::Float | DataType::String | DataType::Any
        ) {
            let message = format!("`{}` is {} and cannot be the timestamp", name.text, field.ty);
            problems.push(Problem::new("wrong-type", name.place, message).hint("declare it DATETIME"));
        } else {
            schema.timestamp = Some(Field { ty: DataType::Datetime, unit, ..field });
        }
    }

    fn key(&self, schema: &mut Schema, problems: &mut Vec<Problem>) {
        let Some(name) = self.get("KEY") else { return };
        let Some(field) = named(schema, name, problems) else { return };
        if matches!(field.ty, DataType::Array(_) | DataType::Struct(_)) {
            let message = format!("`{}` is {} and cannot be the key", name.text, field.ty);
            problems.push(Problem::new("wrong-type", name.place, message));
        } else {
            schema.key = Some(field);
        }
    }
}

/// The field that an option names: a column, or a path with dots.
fn named(schema: &Schema, name: &Name, problems: &mut Vec<Problem>) -> Option<Field> {
    let found = if schema.declares(&name.text) {
        schema.field(&[name.text.as_str()])
    } else {
        schema.field(&name.text.split('.').collect::<Vec<_>>())
    };
    found.map_err(|(_, problem)| problems.push(Problem { place: name.place, ..problem })).ok()
}
