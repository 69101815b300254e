//! What a `CREATE STREAM` means: its columns, captures and options, checked.

use std::sync::Arc;
use std::time::Duration;

use crate::model::diagnostic::Place;
use crate::model::node::NODE_STREAMS;
use crate::model::stream::{Field, FieldSource, Format, TimeUnit};
use crate::model::time::parse_span;
use crate::model::topic::TopicPattern;
use crate::model::value::DataType;

use super::report::Problem;
use super::stream::{Column, Schema};
use super::syntax::{Create, Name};

const OPTIONS: &[&str] = &[
    "DATASOURCE",
    "FORMAT",
    "TIMESTAMP",
    "TIMESTAMP_FORMAT",
    "KEY",
    "SOURCE",
    "LATENESS",
    "IDLE",
    "MAX_FUTURE",
    "TYPE",
    "SHARED",
];

/// Options of eKuiper that would mean something else here, each with what to do instead.
const REFUSED: &[(&str, &str)] = &[
    ("CONF_KEY", "brokers are configured at the agent; name one with SOURCE='broker'"),
    ("SCHEMAID", "formats with a schema are not supported by this version"),
    ("RETAIN_SIZE", "memory streams are not supported"),
    ("KIND", "lookup tables are not supported by this version"),
    ("EXTRA", "no source takes extra options"),
    ("DELIMITER", "FORMAT='delimited' is not supported by this version"),
    ("STRICT_VALIDATION", "declared columns are always checked; leave them out for a schemaless stream"),
    ("VERSION", "the rule set has a revision as a whole"),
    ("TEMP", "streams live as long as their rule set"),
];

/// The schema of a stream; `None` where a finding leaves none.
pub(super) fn declare(create: &Create, problems: &mut Vec<Problem>) -> Option<Schema> {
    let before = problems.len();
    if NODE_STREAMS.iter().any(|stream| *stream.name == create.name.text) {
        let message = format!("`{}` is a built-in stream of the node's metrics", create.name.text);
        problems.push(Problem::new("reserved-name", create.name.place, message).hint("choose another name"));
    }
    let options = Options::read(create, problems);
    let Some(topic) = options.get("DATASOURCE") else {
        let message = "the stream has no DATASOURCE";
        let hint = "add DATASOURCE='topic/{device}' to WITH (…)";
        problems.push(Problem::new("missing-option", create.name.place, message).hint(hint));
        return None;
    };
    let format = options.format(problems);
    let pattern = pattern(topic, problems)?;
    let columns = columns(create, &pattern, format, problems);
    let mut schema = Schema::over(create.name.text.as_str().into(), pattern, columns);
    schema.format = format;
    schema.open = create.columns.is_empty() && format == Format::Json;
    schema.source = options.get("SOURCE").map(|name| name.text.as_str().into());
    schema.lateness = options.span("LATENESS", problems).unwrap_or(Duration::ZERO);
    schema.idle = options.span("IDLE", problems);
    schema.max_future = options.span("MAX_FUTURE", problems);
    options.timestamp(&mut schema, problems);
    options.key(&mut schema, problems);
    (problems.len() == before).then_some(schema)
}

fn pattern(topic: &Name, problems: &mut Vec<Problem>) -> Option<TopicPattern> {
    if topic.text.starts_with("$node") {
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

/// Declared columns, then what the topic captures beyond them.
fn columns(
    create: &Create,
    pattern: &TopicPattern,
    format: Format,
    problems: &mut Vec<Problem>,
) -> Vec<Column> {
    let captures: Vec<&Arc<str>> = pattern.captures().collect();
    let mut columns: Vec<Column> = Vec::new();
    let mut payload = 0;
    for (name, ty) in &create.columns {
        if columns.iter().any(|column| *column.name == *name.text) {
            let message = format!("the column `{}` is there twice", name.text);
            problems.push(Problem::new("duplicate-column", name.place, message));
            continue;
        }
        let capture = captures.iter().position(|capture| ***capture == *name.text);
        let from = match (capture, format) {
            (Some(n), _) => {
                if !matches!(ty, DataType::String | DataType::Bigint) {
                    let message = format!("`{}` is captured from the topic and cannot be {ty}", name.text);
                    problems.push(
                        Problem::new("wrong-type", name.place, message).hint("declare it STRING or BIGINT"),
                    );
                }
                FieldSource::Capture(n)
            }
            (None, Format::Json) => FieldSource::Path(vec![name.text.as_str().into()]),
            (None, Format::Scalar) => {
                payload += 1;
                scalar(name, ty, payload, problems);
                FieldSource::Path(Vec::new())
            }
        };
        columns.push(Column { name: name.text.as_str().into(), ty: ty.clone(), from });
    }
    for (n, capture) in captures.into_iter().enumerate() {
        if !columns.iter().any(|column| column.name == *capture) {
            columns.push(Column {
                name: capture.clone(),
                ty: DataType::String,
                from: FieldSource::Capture(n),
            });
        }
    }
    if format == Format::Scalar && payload == 0 {
        columns.push(Column { name: "value".into(), ty: DataType::Any, from: FieldSource::Path(Vec::new()) });
    }
    columns
}

fn scalar(name: &Name, ty: &DataType, payload: usize, problems: &mut Vec<Problem>) {
    if payload > 1 {
        let message = "FORMAT='scalar' has one column: the payload";
        problems.push(Problem::new("bad-option", name.place, message));
    } else if matches!(ty, DataType::Array(_) | DataType::Struct(_)) {
        let message = format!("FORMAT='scalar' cannot give {ty}");
        problems.push(Problem::new("wrong-type", name.place, message).hint("use FORMAT='json'"));
    }
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
            let message = format!("sources of type `{}` are not supported by this version", ty.text);
            problems.push(Problem::new("not-yet", ty.place, message).hint("TYPE='mqtt' is"));
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

    fn format(&self, problems: &mut Vec<Problem>) -> Format {
        let Some(format) = self.get("FORMAT") else { return Format::Json };
        match format.text.to_lowercase().as_str() {
            "json" => Format::Json,
            "scalar" => Format::Scalar,
            other => {
                let message = format!("FORMAT='{other}' is not supported by this version");
                problems.push(Problem::new("not-yet", format.place, message).hint("'json' and 'scalar' are"));
                Format::Json
            }
        }
    }

    fn span(&self, key: &str, problems: &mut Vec<Problem>) -> Option<Duration> {
        let value = self.get(key)?;
        parse_span(&value.text).map_err(|e| problems.push(Problem::new("bad-value", value.place, e))).ok()
    }

    fn timestamp(&self, schema: &mut Schema, problems: &mut Vec<Problem>) {
        let Some(name) = self.get("TIMESTAMP") else { return };
        let unit = match self.get("TIMESTAMP_FORMAT") {
            None => TimeUnit::Auto,
            Some(format) => match format.text.to_lowercase().as_str() {
                "s" => TimeUnit::Seconds,
                "ms" => TimeUnit::Millis,
                "us" => TimeUnit::Micros,
                "ns" => TimeUnit::Nanos,
                "rfc3339" => TimeUnit::Rfc3339,
                "auto" => TimeUnit::Auto,
                _ => {
                    let message = format!("no timestamp format `{}`", format.text);
                    let problem = Problem::new("bad-value", format.place, message);
                    problems.push(problem.hint("use 's', 'ms', 'us', 'ns', 'rfc3339' or 'auto'"));
                    return;
                }
            },
        };
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
    found.map_err(|(_, problem)| problems.push(Problem { place: Place { ..name.place }, ..problem })).ok()
}
