//! The window and its groups, with what tells a window that it is over.

use std::time::Duration;

use crate::model::stream::StreamSpec;
use crate::model::time::format_span;
use crate::plan::logical::{Side, Window, WindowKind};

use super::Step;
use super::sql::{Sql, Terms, identifier};

/// GROUP BY and the aggregates.
pub(super) fn groups(sql: Sql<'_>, window: &Window) -> Step {
    let by: Vec<String> = window.group.iter().map(|expr| sql.text(expr, Terms::Rows)).collect();
    let about = match by.as_slice() {
        [] => "all rows of a window".to_owned(),
        by => format!("by {}", by.join(", ")),
    };
    let aggregates = (0..window.aggregates.len()).map(|n| sql.aggregate(n)).collect();
    Step::new("group", about).with_all("aggregates", aggregates)
}

/// The window itself.
pub(super) fn window(sql: Sql<'_>, window: &Window) -> Step {
    let rows = |expr| sql.text(expr, Terms::Rows);
    let streams: Vec<&StreamSpec> = sql
        .rule
        .from
        .sides
        .iter()
        .filter_map(|side| match side {
            Side::Stream(n) => sql.plan.streams.get(*n).map(|stream| &**stream),
            Side::Table(_) => None,
        })
        .collect();
    let mut step = Step::new("window", kind(sql, &window.kind));
    if let WindowKind::State { partition, .. } = &window.kind {
        step = step.with_all("partition", partition.iter().map(rows).collect());
    }
    step = step.with_some("filter", window.filter.as_ref().map(rows));
    step = step.with("watermark", watermark(window, &streams, sql.rule.from.at_close));
    let lateness = streams.iter().map(|stream| stream.lateness).max().unwrap_or_default();
    step = step.with_some("lateness", (lateness > Duration::ZERO).then(|| format_span(lateness)));
    let idle = length(&window.kind).map(|length| {
        let longest = streams.iter().map(|stream| stream.idle_for(length)).max().unwrap_or_default();
        format!("closes after {} of silence", format_span(longest))
    });
    if streams.iter().all(|stream| stream.timestamp.is_none()) {
        return step;
    }
    step.with("idle", idle.unwrap_or_else(|| "silence does not close it".to_owned()))
}

fn kind(sql: Sql<'_>, kind: &WindowKind) -> String {
    let rows = |expr| sql.text(expr, Terms::Rows);
    match kind {
        WindowKind::Tumbling { length } => format!("tumbling, {}", format_span(*length)),
        WindowKind::Hopping { length, hop } => {
            format!("hopping, {} every {}", format_span(*length), format_span(*hop))
        }
        WindowKind::Sliding { length, delay, trigger } => {
            let mut text = format!("sliding, {} back", format_span(*length));
            if *delay > Duration::ZERO {
                text.push_str(&format!(" and {} ahead", format_span(*delay)));
            }
            match trigger {
                Some(trigger) => text.push_str(&format!(", for each row with {}", rows(trigger))),
                None => text.push_str(", for each row"),
            }
            text
        }
        WindowKind::Session { length, timeout } => {
            format!(
                "session, ends after a gap of {}, at most {}",
                format_span(*timeout),
                format_span(*length)
            )
        }
        WindowKind::Count { count, every } if count == every => format!("count, {count} rows"),
        WindowKind::Count { count, every } => format!("count, the last {count} rows every {every}"),
        WindowKind::State { begin, end: Some(end), .. } => {
            format!("state, from {} to {}", rows(begin), rows(end))
        }
        WindowKind::State { begin, end: None, .. } => format!("state, while {}", rows(begin)),
    }
}

/// The span that a silence is measured against; `None` where silence closes nothing.
fn length(kind: &WindowKind) -> Option<Duration> {
    match kind {
        WindowKind::Tumbling { length }
        | WindowKind::Hopping { length, .. }
        | WindowKind::Session { length, .. } => Some(*length),
        WindowKind::Sliding { length, delay, .. } if *delay > Duration::ZERO => Some(*length + *delay),
        WindowKind::Sliding { .. } | WindowKind::Count { .. } | WindowKind::State { .. } => None,
    }
}

/// What the time goes by.
fn watermark(window: &Window, streams: &[&StreamSpec], at_close: bool) -> String {
    let key = |stream: &StreamSpec| {
        let field = stream.fields.get(stream.key?)?;
        Some(identifier(&field.name))
    };
    let key = streams.first().and_then(|stream| key(stream));
    if streams.iter().all(|stream| stream.timestamp.is_none()) {
        return "the node's clock: time is that of arrival".to_owned();
    }
    match (at_close, window.by_key, key) {
        (true, ..) => "the slowest key of any of its streams that is not idle".to_owned(),
        (_, true, Some(key)) => format!("each {key} has its own"),
        (_, true, None) => "each group has its own".to_owned(),
        (_, false, Some(key)) => format!("the slowest {key} that is not idle"),
        (_, false, None) => "all rows together".to_owned(),
    }
}
