//! The streams and tables of a set, by name: what a rule's FROM can mean, which slots rules take of
//! each, and what of it all goes into the plan. Knows no query.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use crate::model::node::NODE_STREAMS;
use crate::model::stream::{FieldSource, StreamSpec};
use crate::model::value::Value;

use super::cadence;
use super::logical::{Content, Plan, Rules, Shape, Side, Table};
use super::report::Problem;
use super::stream::{Expected, Schema, Slots};
use super::syntax::Name;

/// All streams and tables of one set, and the built-in streams. Each has a place here, which is not
/// its place in the plan.
#[derive(Default)]
pub(super) struct Catalog {
    entries: Vec<Entry>,
    /// The slots that rules took of each, by its place here.
    pub(super) slots: Vec<Slots>,
    by_name: BTreeMap<String, usize>,
    /// How many streams and tables of the plan there are so far.
    streams: usize,
    tables: usize,
    /// A name could not be read, so one that is not there may be it.
    pub(super) unsure: bool,
}

struct Entry {
    /// `None`: its declaration is wrong, and that was reported.
    schema: Option<Arc<Schema>>,
    content: Source,
    /// Where it is in the plan, once a rule uses it.
    used: Option<Used>,
}

/// What it is.
enum Source {
    Stream,
    /// A table with the newest rows of a stream of its own.
    Latest,
    /// A table with these rows, a value for each column of the schema.
    Fixed(Vec<Box<[Value]>>),
}

#[derive(Clone, Copy)]
enum Used {
    Stream(usize),
    Latest { table: usize, stream: usize },
    Fixed(usize),
}

impl Catalog {
    /// One with the built-in streams.
    pub(super) fn new() -> Self {
        let mut catalog = Self::default();
        for stream in NODE_STREAMS {
            catalog.add(stream.name, Schema::built_in(stream), Source::Stream);
        }
        catalog
    }

    /// Adds a stream, or a table with the newest rows of one. A name that is there already stays what
    /// it is. `None` for what was declared wrongly, so that nobody reports it as missing.
    pub(super) fn add_created(&mut self, name: &str, schema: Option<Schema>, table: bool) {
        self.add(name, schema, if table { Source::Latest } else { Source::Stream });
    }

    /// Adds a table with rows of its own; else as [`Self::add_created`].
    pub(super) fn add_rows(&mut self, name: &str, found: Option<(Schema, Vec<Box<[Value]>>)>) {
        let (schema, rows) = found.unzip();
        self.add(name, schema, Source::Fixed(rows.unwrap_or_default()));
    }

    fn add(&mut self, name: &str, schema: Option<Schema>, content: Source) {
        let place = self.entries.len();
        if *self.by_name.entry(name.to_owned()).or_insert(place) == place {
            self.slots.push(schema.as_ref().map(Schema::slots).unwrap_or_default());
            self.entries.push(Entry { schema: schema.map(Arc::new), content, used: None });
        }
    }

    /// Lets a stream expect the keys that a table declares for it.
    ///
    /// # Errors
    /// The problem with what it says of that.
    pub(super) fn expect(&mut self, stream: &str) -> Result<(), Problem> {
        let Some(place) = self.by_name.get(stream).copied() else { return Ok(()) };
        let found = self.entries.get(place).and_then(|entry| entry.schema.as_ref());
        let named = found.and_then(|schema| Some((schema.keys.clone()?, schema.key.as_ref()?.name.clone())));
        let Some((table, key)) = named else { return Ok(()) };
        let problem = |message: String| Problem::new("unknown-table", table.place, message);
        let entry = self.by_name.get(&table.text).and_then(|place| self.entries.get(*place));
        let Some(Entry { content: Source::Fixed(rows), schema, .. }) = entry else {
            if self.unsure {
                return Ok(());
            }
            let problem = problem(format!("no table `{}` with rows", table.text));
            return Err(problem
                .hint(format!("add it under `tables`: `- {{name: {}, rows: [{{{key}: …}}]}}`", table.text)));
        };
        let Some(schema) = schema else { return Ok(()) };
        if !schema.declares(&key) {
            let problem =
                problem(format!("the table `{}` has no column `{key}`, the KEY of `{stream}`", table.text));
            return Err(problem.hint("call the column so"));
        }
        let columns = schema.names().map(Arc::from).collect();
        let expected = Arc::new(Expected { columns, rows: rows.clone() });
        if let Some(schema) = self.entries.get_mut(place).and_then(|entry| entry.schema.as_mut()) {
            Arc::make_mut(schema).expected = Some(expected);
        }
        Ok(())
    }

    /// What was declared under this name before: `stream` or `table`.
    pub(super) fn declared(&self, name: &str) -> Option<&'static str> {
        let place = *self.by_name.get(name)?;
        let content = &self.entries.get(place)?.content;
        let kind = if matches!(content, Source::Stream) { "stream" } else { "table" };
        (place >= NODE_STREAMS.len()).then_some(kind)
    }

    /// The place of what FROM names; `Ok(None)` where nobody knows, since a declaration is broken.
    ///
    /// # Errors
    /// The problem that it is not there, with the nearest name.
    pub(super) fn find(&self, name: &Name) -> Result<Option<usize>, Problem> {
        if let Some(place) = self.by_name.get(&name.text) {
            return Ok(Some(*place));
        }
        if self.unsure {
            return Ok(None);
        }
        let problem =
            Problem::new("unknown-stream", name.place, format!("no stream or table `{}`", name.text));
        let problem = problem.hint("declare it under `streams` with CREATE STREAM, or under `tables`");
        Err(problem.did_you_mean(&name.text, self.by_name.keys().map(String::as_str)))
    }

    /// The schema of the stream or table at a place; `None` where its declaration is wrong.
    pub(super) fn schema(&self, place: usize) -> Option<Arc<Schema>> {
        self.entries.get(place)?.schema.clone()
    }

    /// Notes that a rule reads it, and says what it is in the plan; `None` where its declaration is
    /// wrong.
    pub(super) fn side(&mut self, place: usize) -> Option<Side> {
        let entry = self.entries.get_mut(place)?;
        entry.schema.as_ref()?;
        let (streams, tables) = (self.streams, self.tables);
        let used = *entry.used.get_or_insert(match entry.content {
            Source::Stream => Used::Stream(streams),
            Source::Latest => Used::Latest { table: tables, stream: streams },
            Source::Fixed(_) => Used::Fixed(tables),
        });
        Some(match used {
            Used::Stream(stream) => {
                self.streams = streams.max(stream + 1);
                Side::Stream(stream)
            }
            Used::Latest { table, stream } => {
                self.streams = streams.max(stream + 1);
                self.tables = tables.max(table + 1);
                Side::Table(table)
            }
            Used::Fixed(table) => {
                self.tables = tables.max(table + 1);
                Side::Table(table)
            }
        })
    }

    /// The streams and tables that rules use, with the slots that they took. Streams that feed tables go
    /// first: rows of one message come in the order of streams, and a rule that looks into a table
    /// sees what the same message has put there. The rules are told the new places.
    pub(super) fn into_plan(mut self, mut rules: Rules) -> Plan {
        let feeds = |entry: &Entry| match entry.used {
            Some(Used::Latest { stream, .. }) => Some(stream),
            _ => None,
        };
        let feeding: HashSet<usize> = self.entries.iter().filter_map(feeds).collect();
        let mut order: Vec<usize> = (0..self.streams).collect();
        order.sort_by_key(|stream| !feeding.contains(stream));
        let places: HashMap<usize, usize> = order.into_iter().zip(0..).collect();
        let moved = |stream: usize| places.get(&stream).copied().unwrap_or(stream);
        if places.iter().any(|(was, is)| was != is) {
            move_streams(&mut rules, &moved);
        }
        let mut streams: Vec<(usize, Arc<StreamSpec>)> = Vec::new();
        let mut tables: Vec<(usize, Arc<Table>)> = Vec::new();
        for (entry, slots) in self.entries.into_iter().zip(std::mem::take(&mut self.slots)) {
            let (Some(schema), Some(used)) = (entry.schema, entry.used) else { continue };
            let columns = slots.fields.iter().map(|field| field.name.clone()).collect();
            let table = |content| Arc::new(Table { name: schema.name.clone(), columns, content });
            match (used, entry.content) {
                (Used::Stream(place), _) => streams.push((moved(place), Arc::new(schema.spec(slots)))),
                (Used::Fixed(place), Source::Fixed(rows)) => {
                    let rows = rows.iter().map(|row| projected(&schema, row, &slots)).collect();
                    tables.push((place, table(Content::Fixed(rows))));
                }
                (Used::Latest { table: place, stream }, _) => {
                    let stream = moved(stream);
                    tables.push((place, table(Content::Latest { stream })));
                    streams.push((stream, Arc::new(schema.spec(slots))));
                }
                (Used::Fixed(_), _) => {}
            }
        }
        streams.sort_by_key(|(place, _)| *place);
        tables.sort_by_key(|(place, _)| *place);
        Plan {
            streams: streams.into_iter().map(|(_, stream)| stream).collect(),
            tables: tables.into_iter().map(|(_, table)| table).collect(),
            rules,
        }
    }

    /// Gives the streams the places and slots that they have in a plan. False where the set can not be
    /// planned on that: a stream is declared otherwise, or is there no more.
    pub(super) fn resume(&mut self, plan: &Plan, declared: &[u64]) -> bool {
        self.streams = plan.streams.len();
        let mut resumed = 0;
        for (at, (stream, declared)) in plan.streams.iter().zip(declared).enumerate() {
            let Some(place) = self.by_name.get(&*stream.name).copied() else { return false };
            let (Some(entry), Some(slots)) = (self.entries.get_mut(place), self.slots.get_mut(place)) else {
                return false;
            };
            let same = matches!(entry.content, Source::Stream)
                && entry.schema.as_ref().is_some_and(|schema| fingerprint(&schema.definition()) == *declared);
            if !same {
                return false;
            }
            entry.used = Some(Used::Stream(at));
            *slots = Slots::of(stream);
            resumed += 1;
        }
        resumed == plan.streams.len()
    }

    /// A hash of what each stream that rules use is declared to be, by its place in the plan; `None`
    /// where a rule uses a table.
    pub(super) fn declarations(&self) -> Option<Vec<u64>> {
        let mut found = vec![0; self.streams];
        for entry in &self.entries {
            if let (Some(Used::Stream(place)), Some(schema)) = (entry.used, &entry.schema) {
                *found.get_mut(place)? = fingerprint(&schema.definition());
            }
        }
        (self.tables == 0).then_some(found)
    }
}

fn fingerprint(text: &str) -> u64 {
    cadence::state(text, "")
}

/// Tells each shape once where its streams are.
fn move_streams(rules: &mut Rules, moved: &dyn Fn(usize) -> usize) {
    let mut done: HashMap<*const Shape, (Arc<Shape>, Arc<Shape>)> = HashMap::new();
    rules.each_mut(|rule| {
        let before = rule.shape.clone();
        // The shape that was is kept, so that no other can come to stand in its place.
        let (_, after) = done.entry(Arc::as_ptr(&before)).or_insert_with(|| {
            let mut shape = Shape::clone(&before);
            for side in &mut shape.from.sides {
                if let Side::Stream(stream) = side {
                    *stream = moved(*stream);
                }
            }
            (before.clone(), Arc::new(shape))
        });
        rule.shape = after.clone();
    });
}

/// What rules use of a row.
fn projected(schema: &Schema, row: &[Value], slots: &Slots) -> Box<[Value]> {
    let value = |source: &FieldSource| {
        let FieldSource::Path(path) = source else { return None };
        let (column, members) = path.split_first()?;
        let at = schema.columns.iter().position(|known| known.name == *column)?;
        members.iter().try_fold(row.get(at)?, |value, member| match value {
            Value::Struct(found) => found.get(member),
            _ => None,
        })
    };
    slots.fields.iter().map(|field| value(&field.from).cloned().unwrap_or(Value::Null)).collect()
}
