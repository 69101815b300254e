//! The leaves of the tree: streams that are read, tables that are looked into, and how they are
//! joined.

use crate::model::stream::{Field, FieldSource, Format, StreamSpec};
use crate::model::time::format_span;
use crate::plan::logical::{Content, Join, JoinKind, Side, Table};

use super::Step;
use super::sql::{Sql, Terms, identifier};
use super::window;

/// FROM, with the window below it where streams are joined when that closes.
pub(super) fn read(sql: Sql<'_>) -> Step {
    let from = &sql.rule.from;
    if from.joins.is_empty() {
        return from.sides.first().map_or_else(|| Step::new("scan", "nothing"), |side| leaf(sql, *side));
    }
    let joins = from.joins.iter().enumerate().map(|(i, join)| joined(sql, i + 1, join)).collect();
    let how = match from.at_close {
        true => "at close: the rows of one window",
        false => "at entry: each row of the stream finds its partners as it comes",
    };
    let mut step = Step::new("join", how).with("from", sql.side(0)).with_all("joins", joins);
    let streams = from.sides.iter().filter(|side| matches!(side, Side::Stream(_)));
    let tables = from.sides.iter().filter(|side| matches!(side, Side::Table(_)));
    match sql.rule.window.as_ref().filter(|_| from.at_close) {
        Some(window) => {
            let mut all = window::window(sql, window);
            all.inputs.extend(streams.map(|side| leaf(sql, *side)));
            step.inputs.push(all);
        }
        None => step.inputs.extend(streams.map(|side| leaf(sql, *side))),
    }
    step.inputs.extend(tables.map(|side| leaf(sql, *side)));
    step
}

/// `LEFT JOIN limits ON …`, and what partners are looked up by.
fn joined(sql: Sql<'_>, side: usize, join: &Join) -> String {
    let kind = match join.kind {
        JoinKind::Inner => "INNER",
        JoinKind::Left => "LEFT",
        JoinKind::Right => "RIGHT",
        JoinKind::Full => "FULL",
        JoinKind::Cross => "CROSS",
    };
    let mut text = format!("{kind} JOIN {}", sql.side(side));
    if let Some(on) = &join.on {
        text.push_str(&format!(" ON {}", sql.text(on, Terms::Rows)));
    }
    match join.equal.is_empty() {
        true if join.on.is_some() => text.push_str("; every pair is tried"),
        true => {}
        false => {
            let columns: Vec<String> = join.equal.iter().map(|(_, slot)| sql.column(side, *slot)).collect();
            text.push_str(&format!("; looked up by {}", columns.join(", ")));
        }
    }
    text
}

fn leaf(sql: Sql<'_>, side: Side) -> Step {
    let missing = || Step::new("scan", "?");
    match side {
        Side::Stream(n) => sql.plan.streams.get(n).map_or_else(missing, |stream| scan(stream)),
        Side::Table(n) => sql.plan.tables.get(n).map_or_else(missing, |found| table(sql, found)),
    }
}

fn table(sql: Sql<'_>, table: &Table) -> Step {
    let columns = table.columns.iter().map(|name| identifier(name)).collect::<Vec<_>>().join(", ");
    match &table.content {
        Content::Fixed(rows) => {
            let count = if rows.len() == 1 { "1 row".to_owned() } else { format!("{} rows", rows.len()) };
            Step::new("table", format!("{}: {count} that travel with the rules", identifier(&table.name)))
                .with("columns", columns)
        }
        Content::Latest { stream } => {
            let feed = sql.plan.streams.get(*stream);
            let key = feed.and_then(|feed| Some(&feed.fields.get(feed.key?)?.name));
            let rows = match key {
                Some(key) => format!("the newest row of each {}", identifier(key)),
                None => "the newest row".to_owned(),
            };
            let step = Step::new("table", format!("{}: {rows}", identifier(&table.name)));
            match feed {
                Some(feed) => step.over(scan(feed)),
                None => step,
            }
        }
    }
}

fn scan(stream: &StreamSpec) -> Step {
    let fields: Vec<String> = stream.fields.iter().map(|field| read_field(stream, field)).collect();
    let name = |slot: usize| stream.fields.get(slot).map(|field| identifier(&field.name));
    let step = Step::new("scan", identifier(&stream.name))
        .with("topics", stream.pattern.to_string())
        .with_some("source", stream.source.as_ref().map(ToString::to_string))
        .with("format", format_name(stream.format))
        .with_all("reads", fields)
        .with("time", stream.timestamp.and_then(name).unwrap_or_else(|| "arrival".to_owned()))
        .with_some("key", stream.key.and_then(name));
    step.with_some("max_future", stream.max_future.map(format_span))
}

/// A format under the name that CREATE STREAM gives it.
fn format_name(format: Format) -> String {
    format!("{format:?}").to_lowercase()
}

/// `temperature FLOAT`, with where it comes from unless that is the payload's member of that name.
fn read_field(stream: &StreamSpec, field: &Field) -> String {
    let own = format!("{} {}", identifier(&field.name), field.ty);
    match &field.from {
        FieldSource::Path(path) if path.len() == 1 => own,
        FieldSource::Path(path) if path.is_empty() => format!("{own} (the payload)"),
        FieldSource::Path(path) => format!("{} {}", path.join("->"), field.ty),
        FieldSource::Capture(n) => {
            let level = stream.pattern.captures().nth(*n).map_or("", |name| name);
            format!("{own} (level {{{level}}} of the topic)")
        }
        FieldSource::Topic => format!("{own} (the topic)"),
        FieldSource::Received => format!("{own} (the time of arrival)"),
    }
}
