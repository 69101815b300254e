//! The leaves of the tree: streams that are read, tables that are looked into, and how they are
//! joined.

use std::collections::HashSet;

use crate::model::stream::{Availability, Field, FieldSource, Format, StreamSpec};
use crate::model::time::format_span;
use crate::plan::logical::{Content, Expr, Join, JoinKind, RulePlan, Side, Table};

use super::Step;
use super::sql::{Sql, Terms, identifier};
use super::window;

/// FROM, with the window below it where streams are joined when that closes.
pub(super) fn read(sql: Sql<'_>) -> Step {
    let from = &sql.rule.from;
    if from.joins.is_empty() {
        return leaf(sql, 0);
    }
    let joins = from.joins.iter().enumerate().map(|(i, join)| joined(sql, i + 1, join)).collect();
    let how = match from.at_close {
        true => "at close: the rows of one window",
        false => "at entry: each row of the stream finds its partners as it comes",
    };
    let mut step = Step::new("join", how).with("from", sql.side(0)).with_all("joins", joins);
    let is_stream = |side: &usize| matches!(from.sides.get(*side), Some(Side::Stream(_)));
    let (streams, tables): (Vec<usize>, Vec<usize>) = (0..from.sides.len()).partition(is_stream);
    let streams = streams.into_iter().map(|side| leaf(sql, side));
    match sql.rule.window.as_ref().filter(|_| from.at_close) {
        Some(window) => {
            let mut all = window::window(sql, window);
            all.inputs.extend(streams);
            step.inputs.push(all);
        }
        None => step.inputs.extend(streams),
    }
    step.inputs.extend(tables.into_iter().map(|side| leaf(sql, side)));
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

fn leaf(sql: Sql<'_>, side: usize) -> Step {
    let missing = || Step::new("scan", "?");
    match sql.rule.from.sides.get(side) {
        Some(Side::Stream(n)) => sql.plan.streams.get(*n).map_or_else(missing, |stream| {
            let used = used(sql.rule, side);
            scan(stream, |slot| used.contains(&slot))
        }),
        Some(Side::Table(n)) => sql.plan.tables.get(*n).map_or_else(missing, |found| table(sql, found)),
        None => missing(),
    }
}

/// The slots of a side that the rule uses. The stream may have more, for other rules.
fn used(rule: &RulePlan, side: usize) -> HashSet<usize> {
    let mut used = HashSet::new();
    rule.each(&mut |expr| {
        expr.walk(&mut |part| {
            if let Expr::Field(of, slot) = part
                && *of == side
            {
                used.insert(*slot);
            }
        });
    });
    let equal = rule.from.joins.get(side.wrapping_sub(1)).map(|join| join.equal.as_slice());
    used.extend(equal.unwrap_or_default().iter().map(|(_, slot)| *slot));
    used
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
                Some(feed) => step.over(scan(feed, |_| true)),
                None => step,
            }
        }
    }
}

/// A stream, with those of its slots that are of interest, and what tells its time and key.
fn scan(stream: &StreamSpec, used: impl Fn(usize) -> bool) -> Step {
    let own = |slot: usize| used(slot) || stream.timestamp == Some(slot) || stream.key == Some(slot);
    let fields = stream.fields.iter().enumerate().filter(|(slot, _)| own(*slot));
    let fields: Vec<String> = fields.map(|(_, field)| read_field(stream, field)).collect();
    let name = |slot: usize| stream.fields.get(slot).map(|field| identifier(&field.name));
    let step = Step::new("scan", identifier(&stream.name))
        .with("topics", stream.pattern.to_string())
        .with_some("source", stream.source.as_ref().map(ToString::to_string))
        .with("format", format_name(stream.format))
        .with_some("types", (!stream.strict).then_some("what does not fit is converted, or NULL".to_owned()))
        .with_all("reads", fields)
        .with("time", stream.timestamp.and_then(name).unwrap_or_else(|| "arrival".to_owned()))
        .with_some("key", stream.key.and_then(name));
    let said = |said: &Availability| match said.key.is_some() {
        true => format!("of each device, on {}", said.pattern),
        false => format!("of all devices, on {}", said.pattern),
    };
    let count = stream.expected.len();
    step.with_some("expects", (count > 0).then(|| format!("{count} keys that a table declares")))
        .with_some("silence", stream.silence.map(format_span))
        .with_some("availability", stream.availability.as_ref().map(said))
        .with_some("max_future", stream.max_future.map(format_span))
}

/// A format under the name that CREATE STREAM gives it.
fn format_name(format: Format) -> &'static str {
    match format {
        Format::Json => "json",
        Format::Scalar => "scalar",
        Format::Delimited { .. } => "delimited",
        Format::Binary => "binary",
        Format::KubeEdge => "kubeedge",
        Format::Availability => "availability",
    }
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
        FieldSource::Cell(n) => format!("{own} (value {} of a line)", n + 1),
        FieldSource::Topic
        | FieldSource::Received
        | FieldSource::Source
        | FieldSource::Retained
        | FieldSource::Qos
        | FieldSource::Property(_) => format!("{} {}", field.name, field.ty),
    }
}
