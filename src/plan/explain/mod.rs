//! A rule's plan as a tree that a person can read: what it gives stands at the top, what it reads
//! at the leaves, as databases show it. Pure; runs nothing, and changes nothing about the plan.

mod source;
mod sql;
mod text;
mod window;

use std::time::Duration;

use serde::Serialize;

use crate::model::absence::{NoData, OnSilence};
use crate::model::alerting::{Inhibitor, Life, RuleKind};
use crate::model::schedule::Flapping;
use crate::model::time::format_span;

use super::logical::{Direction, Expr, Gives, Level, Plan, RulePlan};
use sql::{Sql, Terms, identifier};

pub use text::{shown, text};

/// One step of a rule, with the steps whose rows it takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Step {
    /// What it does, in a word: `scan`, `join`, `window`.
    pub operator: &'static str,
    /// What with: the stream's name, the condition, the length.
    pub about: String,
    /// The rest of what there is to know, in order.
    pub details: Vec<Detail>,
    /// Where its rows come from.
    pub inputs: Vec<Step>,
}

/// One thing to know about a step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Detail {
    /// What it tells of.
    pub name: &'static str,
    /// What there is to tell, an entry a line.
    pub lines: Vec<String>,
}

impl Step {
    fn new(operator: &'static str, about: impl Into<String>) -> Self {
        Self { operator, about: about.into(), details: Vec::new(), inputs: Vec::new() }
    }

    fn over(mut self, input: Self) -> Self {
        self.inputs.push(input);
        self
    }

    fn with(mut self, name: &'static str, line: impl Into<String>) -> Self {
        self.details.push(Detail { name, lines: vec![line.into()] });
        self
    }

    /// Adds a list, unless it is empty.
    #[must_use]
    pub fn with_all(mut self, name: &'static str, lines: Vec<String>) -> Self {
        if !lines.is_empty() {
            self.details.push(Detail { name, lines });
        }
        self
    }

    /// Adds what may not be there.
    fn with_some(self, name: &'static str, line: Option<String>) -> Self {
        self.with_all(name, line.into_iter().collect())
    }
}

/// An analytic function over rows of a rule, by its place among them, as it stood in the query.
pub fn function(plan: &Plan, rule: &RulePlan, n: usize) -> String {
    Sql { plan, rule: &rule.whole() }.analytic(n, Terms::Rows)
}

/// The tree of one rule of a plan.
pub fn explain(plan: &Plan, rule: &RulePlan) -> Step {
    // The constants of a rule are shown where they stood.
    let rule = &rule.whole();
    let sql = Sql { plan, rule };
    let terms = sql.output_terms();
    let mut step = rows(sql);
    if let Some(window) = rule.window.as_ref().filter(|window| window.gives == Gives::Groups) {
        step = window::groups(sql, window).over(step);
        step = analytic(sql, Terms::Groups, window.analytics.len(), step);
    }
    if let Some(having) = rule.window.as_ref().and_then(|window| window.having.as_ref()) {
        step = Step::new("having", sql.text(having, terms)).over(step);
    }
    step = project(sql, terms).over(step);
    if let Some(arrange) = arrange(sql, terms) {
        step = arrange.over(step);
    }
    alert(sql, terms).over(step)
}

/// The rows that are grouped, or projected: of FROM, past WHERE, and out of the window if there is
/// one. What is joined at the close passes the window first.
fn rows(sql: Sql<'_>) -> Step {
    let rule = sql.rule;
    let step = source::read(sql);
    let step = analytic(sql, Terms::Rows, rule.analytics.len(), step);
    let step = match &rule.filter {
        Some(filter) => Step::new("filter", sql.text(filter, Terms::Rows)).over(step),
        None => step,
    };
    match &rule.window {
        Some(window) if !rule.from.at_close => window::window(sql, window).over(step),
        _ => step,
    }
}

fn analytic(sql: Sql<'_>, terms: Terms, count: usize, input: Step) -> Step {
    if count == 0 {
        return input;
    }
    let about = match terms {
        Terms::Rows => "looks back over rows",
        Terms::Groups => "looks back over windows",
    };
    let functions = (0..count).map(|n| sql.analytic(n, terms)).collect();
    Step::new("analytic", about).with_all("computes", functions).over(input)
}

fn project(sql: Sql<'_>, terms: Terms) -> Step {
    let rule = sql.rule;
    let names = rule.alert.columns.iter().map(Some).chain(std::iter::repeat(None));
    let column = |(expr, name): (&Expr, Option<&std::sync::Arc<str>>)| {
        let made = sql.text(expr, terms);
        match name.map(|name| identifier(name)) {
            Some(name) if name != made => format!("{made} AS {name}"),
            _ => made,
        }
    };
    let columns: Vec<String> = rule.project.iter().zip(names).map(column).collect();
    let (visible, hidden) = columns.split_at(rule.visible.min(columns.len()));
    let about = match (visible.len(), &rule.unnest) {
        (1, None) => "1 column".to_owned(),
        (n, None) => format!("{n} columns"),
        (_, Some(array)) => format!("a row for each element of {}", sql.text(array, terms)),
    };
    Step::new("project", about).with_all("columns", visible.to_vec()).with_all("invisible", hidden.to_vec())
}

fn arrange(sql: Sql<'_>, terms: Terms) -> Option<Step> {
    let arrange = sql.rule.arrange.as_ref()?;
    let order: Vec<String> = arrange
        .order
        .iter()
        .map(|(expr, direction)| {
            let way = if *direction == Direction::Descending { " DESC" } else { "" };
            format!("{}{way}", sql.text(expr, terms))
        })
        .collect();
    let order = (!order.is_empty()).then(|| format!("ORDER BY {}", order.join(", ")));
    let distinct = arrange.distinct.then(|| "DISTINCT".to_owned());
    let limit = arrange.limit.map(|limit| format!("LIMIT {limit}"));
    let parts: Vec<String> = [distinct, order, limit].into_iter().flatten().collect();
    let over =
        if sql.rule.window.is_some() { "windows that end together" } else { "the elements of one row" };
    Some(Step::new("arrange", parts.join(", ")).with("over", over))
}

fn alert(sql: Sql<'_>, terms: Terms) -> Step {
    let (rule, spec) = (sql.rule, &sql.rule.alert);
    let condition = |expr: &Expr| sql.text(expr, terms);
    let key = |(expr, name): (&Expr, &std::sync::Arc<str>)| {
        let made = sql.text(expr, terms);
        if *made == **name { made } else { format!("{name} = {made}") }
    };
    let key: Vec<String> = rule.key.iter().zip(&spec.key).map(key).collect();
    let key = match key.as_slice() {
        [] => "none: one alert for the whole rule".to_owned(),
        key => key.join(", "),
    };
    let span = |span: Duration| (span > Duration::ZERO).then(|| format_span(span));
    let step = match spec.kind {
        RuleKind::State { for_, keep_firing_for } => {
            let clear = |clear: &Option<Expr>| {
                clear.as_ref().map_or_else(|| "when it is false".to_owned(), condition)
            };
            let step = Step::new("alert", "a state for each key");
            let step = if rule.levels.is_empty() {
                step.with_some("when", rule.when.as_ref().map(condition)).with("clear", clear(&rule.clear))
            } else {
                let level = |(level, severity): (&Level, &std::sync::Arc<str>)| {
                    format!("{severity}: {}; clear: {}", condition(&level.when), clear(&level.clear))
                };
                step.with_all("levels", rule.levels.iter().zip(&spec.life.levels).map(level).collect())
            };
            step.with_some("times", (spec.life.times > 1).then(|| format!("{} in a row", spec.life.times)))
                .with_some("for", span(for_))
                .with_some("keep_firing_for", span(keep_firing_for))
                .with_some("no_data", spec.no_data.map(silence))
                .with_some("flapping", flapping(spec.life.flapping))
        }
        RuleKind::Occurrence { repeat } => Step::new("alert", "an occurrence for each row")
            .with("repeat", span(repeat).unwrap_or_else(|| "every row".to_owned())),
    };
    let labels = spec.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let severity = spec.life.levels.is_empty().then(|| spec.severity.to_string());
    let active =
        spec.life.active.as_ref().map(|active| active.parts.iter().map(ToString::to_string).collect());
    let inhibitors = spec.life.inhibited_by.iter().map(inhibitor).collect();
    let most = spec.life.max_instances;
    step.with_all("active", active.unwrap_or_default())
        .with_all("inhibited by", inhibitors)
        .with_some("told at most", (most != Life::MAX_INSTANCES).then(|| format!("{most} at a time")))
        .with("key", key)
        .with_some("severity", severity)
        .with_all("labels", labels)
}

fn inhibitor(by: &Inhibitor) -> String {
    match &by.on {
        None => format!("{}, of the same key", by.rule),
        Some(on) if on.is_empty() => format!("{}, whatever its labels", by.rule),
        Some(on) => format!("{}, of the same {}", by.rule, on.join(", ")),
    }
}

/// The bound on flapping, where it is not the usual one.
fn flapping(flapping: Option<Flapping>) -> Option<String> {
    match flapping {
        None => Some("never".to_owned()),
        Some(usual) if usual == Flapping::default() => None,
        Some(Flapping { changes, within }) => Some(format!("{changes} times in {}", format_span(within))),
    }
}

fn silence(no_data: NoData) -> String {
    let does = match no_data.action {
        OnSilence::Fire => "fires",
        OnSilence::Keep => "stays as it is",
        OnSilence::Resolve => "ends",
    };
    format!("{does} after {} of silence", format_span(no_data.after))
}

#[cfg(test)]
mod tests;
