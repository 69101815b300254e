//! What a stream or table offers to rules: its columns and options, resolved from `CREATE`, from a
//! table's rows or from the node's built-in schemas; and the slots that rules take of it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crate::model::diagnostic::Place;
use crate::model::message::NODE_SOURCE;
use crate::model::node::NodeStream;
use crate::model::stream::{Availability, Field, FieldSource, Format, StreamSpec, TimeUnit};
use crate::model::topic::TopicPattern;
use crate::model::value::{DataType, Value};

use super::report::Problem;
use super::syntax::Name;

/// One stream's or table's schema.
#[derive(Clone, Debug)]
pub(super) struct Schema {
    pub(super) name: Arc<str>,
    pub(super) pattern: TopicPattern,
    pub(super) source: Option<Arc<str>>,
    pub(super) format: Format,
    pub(super) columns: Vec<Column>,
    index: HashMap<Arc<str>, usize>,
    /// No columns are declared: every name is one.
    pub(super) open: bool,
    /// It is a table's.
    pub(super) table: bool,
    /// A value of another type than its column's rejects the row.
    pub(super) strict: bool,
    pub(super) timestamp: Option<Field>,
    pub(super) key: Option<Field>,
    pub(super) lateness: Duration,
    pub(super) idle: Option<Duration>,
    pub(super) max_future: Option<Duration>,
    pub(super) silence: Option<Duration>,
    pub(super) availability: Option<Availability>,
    /// The table that declares its keys, and that table's columns and rows.
    pub(super) keys: Option<Name>,
    pub(super) expected: Option<Arc<Expected>>,
}

/// The columns of a table, and its rows.
#[derive(Clone, Debug)]
pub(super) struct Expected {
    pub(super) columns: Vec<Arc<str>>,
    pub(super) rows: Vec<Box<[Value]>>,
}

/// One column that a stream declares or captures.
#[derive(Clone, Debug)]
pub(super) struct Column {
    pub(super) name: Arc<str>,
    pub(super) ty: DataType,
    pub(super) from: FieldSource,
    /// What it is where the payload does not have it.
    pub(super) default: Value,
}

impl Schema {
    /// A stream of the node's own metrics.
    pub(super) fn built_in(stream: &NodeStream) -> Option<Self> {
        let pattern = TopicPattern::parse(stream.topic).ok()?;
        let columns = stream.columns.iter().map(|column| Column {
            name: column.name.into(),
            ty: column.ty.into(),
            from: FieldSource::Path(vec![column.name.into()]),
            default: Value::Null,
        });
        let mut schema = Self::over(stream.name.into(), pattern, columns.collect());
        schema.source = Some(NODE_SOURCE.into());
        schema.key = stream.key.and_then(|key| schema.field(&[key]).ok());
        Some(schema)
    }

    /// A stream with these columns and no options.
    pub(super) fn over(name: Arc<str>, pattern: TopicPattern, columns: Vec<Column>) -> Self {
        let index = columns.iter().enumerate().map(|(i, column)| (column.name.clone(), i)).collect();
        Self {
            name,
            pattern,
            source: None,
            format: Format::Json,
            columns,
            index,
            open: false,
            table: false,
            strict: true,
            timestamp: None,
            key: None,
            lateness: Duration::ZERO,
            idle: None,
            max_future: None,
            silence: None,
            availability: None,
            keys: None,
            expected: None,
        }
    }

    /// Whether it declares or captures a column of this name.
    pub(super) fn declares(&self, name: &str) -> bool {
        self.index.contains_key(name)
    }

    /// The names of its columns.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().map(|column| column.name.as_ref())
    }

    /// The field that a path of names stands for.
    ///
    /// # Errors
    /// An unknown column, or a member of what has none.
    pub(super) fn resolve(&self, names: &[Name]) -> Result<Field, Problem> {
        let texts: Vec<&str> = names.iter().map(|name| name.text.as_str()).collect();
        self.field(&texts).map_err(|(i, problem)| {
            let place = names.get(i).or(names.last()).map(|name| name.place).unwrap_or_default();
            Problem { place, ..problem }
        })
    }

    /// As [`Self::resolve`]; an error comes with which of the names is wrong.
    pub(super) fn field(&self, path: &[&str]) -> Result<Field, (usize, Problem)> {
        let [first, rest @ ..] = path else {
            return Err((0, Problem::new("unknown-column", Place::default(), "no column")));
        };
        let mut default = Value::Null;
        let (from, ty) = match self.index.get(*first).and_then(|i| self.columns.get(*i)) {
            Some(column) => {
                if rest.is_empty() {
                    default = column.default.clone();
                }
                member(column, rest)?
            }
            None if self.open => {
                (FieldSource::Path(path.iter().map(|name| (*name).into()).collect()), DataType::Any)
            }
            None => return Err((0, self.unknown(first))),
        };
        let unit = match &self.timestamp {
            Some(timestamp) if timestamp.from == from => timestamp.unit,
            _ => TimeUnit::Auto,
        };
        Ok(Field { name: path.join(".").into(), from, ty, default, unit })
    }

    fn unknown(&self, name: &str) -> Problem {
        let what = if self.table { "table" } else { "stream" };
        let message = format!("no column `{name}` in {what} `{}`", self.name);
        Problem::new("unknown-column", Place::default(), message).did_you_mean(name, self.names())
    }

    /// What it says, as a text that is the same for the same declaration: state that was made of its rows
    /// may be kept where it is. Layout and comments do not count.
    pub(super) fn definition(&self) -> String {
        let reads = (&self.name, &self.pattern, &self.source, self.format, self.strict, self.open);
        let time = (&self.timestamp, &self.key, self.lateness, self.idle, self.max_future);
        let watched = (self.silence, &self.availability, &self.expected);
        format!("{} {reads:?} {:?} {time:?} {watched:?}", self.table, self.columns)
    }

    /// Its slots before any rule: event time and key.
    pub(super) fn slots(&self) -> Slots {
        let mut slots = Slots { fields: Vec::new(), taken: HashMap::new(), timestamp: None, key: None };
        slots.timestamp = self.timestamp.clone().map(|field| slots.take(field));
        slots.key = self.key.clone().map(|field| slots.take(field));
        slots
    }

    /// The stream as decode and engine need it, with the slots that rules took.
    pub(super) fn spec(&self, slots: Slots) -> StreamSpec {
        // What the table says of a device stands in the place of its first reading.
        let row = |columns: &[Arc<str>], row: &[Value]| -> Box<[Value]> {
            let known = |field: &Field| columns.iter().position(|column| *column == field.name);
            let value = |field: &Field| known(field).and_then(|at| row.get(at)).cloned().unwrap_or_default();
            slots.fields.iter().map(value).collect()
        };
        let expected = self.expected.iter();
        let expected = expected.flat_map(|all| all.rows.iter().map(|of| row(&all.columns, of))).collect();
        StreamSpec {
            expected,
            name: self.name.clone(),
            pattern: self.pattern.clone(),
            source: self.source.clone(),
            format: self.format,
            strict: self.strict,
            fields: slots.fields,
            timestamp: slots.timestamp,
            key: slots.key,
            lateness: self.lateness,
            idle: self.idle,
            max_future: self.max_future,
            silence: self.silence,
            availability: self.availability.clone(),
        }
    }
}

/// Follows member names into a column, as far as its type has members.
fn member(column: &Column, rest: &[&str]) -> Result<(FieldSource, DataType), (usize, Problem)> {
    let nowhere = Place::default();
    let FieldSource::Path(start) = &column.from else {
        if rest.is_empty() {
            return Ok((column.from.clone(), column.ty.clone()));
        }
        let message = match column.from {
            FieldSource::Capture(_) => {
                format!("`{}` is captured from the topic and has no members", column.name)
            }
            _ => format!("`{}` is {} and has no members", column.name, column.ty),
        };
        return Err((1, Problem::new("unknown-member", nowhere, message)));
    };
    let mut path = start.clone();
    let mut ty = &column.ty;
    for (i, name) in rest.iter().enumerate() {
        path.push((*name).into());
        ty = match ty {
            DataType::Any => ty,
            DataType::Struct(members) => {
                let found = members.iter().find(|(member, _)| member == name);
                let Some((_, ty)) = found else {
                    let message = format!("no member `{name}` in `{}`", column.name);
                    let problem = Problem::new("unknown-member", nowhere, message);
                    return Err((
                        i + 1,
                        problem.did_you_mean(name, members.iter().map(|(member, _)| member.as_str())),
                    ));
                };
                ty
            }
            other => {
                let message = format!("`{name}` is a member of what is {other} and has no members");
                return Err((i + 1, Problem::new("unknown-member", nowhere, message)));
            }
        };
    }
    Ok((FieldSource::Path(path), ty.clone()))
}

/// The fields of one stream or table that rules use, each once.
#[derive(Clone, Debug, Default)]
pub(super) struct Slots {
    /// The fields, by slot.
    pub(super) fields: Vec<Field>,
    taken: HashMap<(FieldSource, DataType), usize>,
    timestamp: Option<usize>,
    /// The slot of the stream's key.
    pub(super) key: Option<usize>,
}

impl Slots {
    /// Those of a stream of a plan.
    pub(super) fn of(stream: &StreamSpec) -> Self {
        let fields = stream.fields.iter().enumerate();
        let taken = fields.map(|(slot, field)| ((field.from.clone(), field.ty.clone()), slot)).collect();
        Self { fields: stream.fields.clone(), taken, timestamp: stream.timestamp, key: stream.key }
    }

    /// The slot of a field.
    pub(super) fn take(&mut self, field: Field) -> usize {
        let next = self.fields.len();
        let slot = *self.taken.entry((field.from.clone(), field.ty.clone())).or_insert(next);
        if slot == next {
            self.fields.push(field);
        }
        slot
    }
}
