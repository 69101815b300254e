//! One rule: its query, its conditions, its key and its alert side, checked together.

use std::sync::Arc;
use std::time::Duration;

use crate::model::absence::NoData;
use crate::model::alerting::{AlertShape, AlertSpec, Life, RuleKind, Template};
use crate::model::diagnostic::Place;
use crate::model::label::{Labels, OWN_LABELS};
use crate::model::time::parse_span;
use crate::model::value::DataType;

use super::Limits;
use super::bind::{Binder, Clause, Output};
use super::cadence;
use super::definition::RuleDef;
use super::key::{KeyColumn, is_label, is_reserved};
use super::logical::{Expr, Level, RulePlan, Shape, UnaryOp};
use super::parse;
use super::report::{Problem, Report};
use super::side::Side;
use super::stream::Slots;
use super::syntax::{Node, Select};
use super::template;
use super::text::Text;

/// How long an occurrence is not repeated for its key, where the rule does not say.
const DEFAULT_REPEAT: Duration = Duration::from_secs(60);

/// What the texts of a rule say, before its stream is known.
pub(super) struct Syntax {
    /// The query, where it can be read.
    pub(super) select: Option<Select>,
    when: Option<Node>,
    clear: Option<Node>,
    /// `when` and `clear` of each level.
    levels: Vec<(Option<Node>, Option<Node>)>,
}

/// Reads the texts of a rule, and reports the first syntax error of each.
pub(super) fn read(def: &RuleDef, limits: &Limits, report: &mut Report) -> Syntax {
    let select = parse::select(def.sql.as_str(), limits);
    let select = select.map_err(|problem| report.error("sql", &def.sql, problem)).ok();
    let mut condition = |field: &str, text: &Option<Text>| {
        let text = text.as_ref()?;
        parse::expression(text.as_str(), limits).map_err(|problem| report.error(field, text, problem)).ok()
    };
    let when = condition("when", &def.when);
    let clear = condition("clear", &def.clear);
    let levels = def.levels.iter().enumerate().map(|(at, level)| {
        let when = condition(&format!("levels[{at}].when"), &Some(level.when.clone()));
        (when, condition(&format!("levels[{at}].clear"), &level.clear))
    });
    let levels = levels.collect();
    Syntax { select, when, clear, levels }
}

/// Checks everything of a rule that needs no stream, and gives its kind.
pub(super) fn kind(def: &RuleDef, report: &mut Report) -> RuleKind {
    let mut span = |field: &str, text: &Option<Text>| {
        let text = text.as_ref()?;
        let found = parse_span(text.as_str());
        found.map_err(|e| report.error_at_start(field, text, whole("bad-value", e))).ok()
    };
    let for_ = span("for", &def.for_);
    let keep_firing_for = span("keep_firing_for", &def.keep_firing_for);
    let repeat = span("repeat", &def.repeat);
    if def.is_state() {
        if let Some(text) = &def.repeat {
            let problem = whole("field-without-when", "`repeat` is for rules without `when`");
            report.error_at_start(
                "repeat",
                text,
                problem.hint("leave it out: an alert with a state is sent when it changes"),
            );
        }
        return RuleKind::State {
            for_: for_.unwrap_or(Duration::ZERO),
            keep_firing_for: keep_firing_for.unwrap_or(Duration::ZERO),
        };
    }
    for (field, text) in
        [("clear", &def.clear), ("for", &def.for_), ("keep_firing_for", &def.keep_firing_for)]
    {
        if let Some(text) = text {
            let problem = whole("field-without-when", format!("`{field}` is for rules with `when`"));
            report.error_at_start(field, text, problem.hint("add `when`, or leave it out"));
        }
    }
    RuleKind::Occurrence { repeat: repeat.unwrap_or(DEFAULT_REPEAT) }
}

fn whole(code: &'static str, message: impl Into<String>) -> Problem {
    Problem::new(code, Place::START, message)
}

/// The rule's own labels.
pub(super) fn labels(def: &RuleDef, report: &mut Report) -> Labels {
    let mut labels = Labels::new();
    for (name, value) in &def.labels {
        let field = format!("labels.{}", name.as_str());
        if is_reserved(name.as_str()) {
            let message = format!("every alert has a label `{}` of its own", name.as_str());
            report.error_at_start(&field, name, whole("reserved-name", message));
        } else if !is_label(name.as_str()) {
            let problem = whole("bad-name", format!("`{}` is no name for a label", name.as_str()));
            report.error_at_start(&field, name, problem.hint("use letters, digits and `_`"));
        } else if value.as_str().contains("{{") {
            let problem = whole("bad-template", "a label is the same for all alerts of its rule");
            report.error_at_start(
                &field,
                value,
                problem.hint("add the column to `key`, or put the text into an annotation"),
            );
        } else if labels.insert(name.as_str().into(), value.as_str().into()).is_some() {
            report.error_at_start(
                &field,
                name,
                whole("bad-name", format!("the label `{}` is there twice", name.as_str())),
            );
        }
    }
    labels
}

/// What a rule is compiled with.
pub(super) struct Context<'a> {
    /// The rule set's name.
    pub(super) ruleset: &'a Arc<str>,
    /// The caps.
    pub(super) limits: &'a Limits,
    /// State or occurrence.
    pub(super) kind: RuleKind,
    /// What happens where a key gives no data.
    pub(super) no_data: Option<NoData>,
    /// What else it asks for.
    pub(super) life: Life,
    /// The rule's own labels.
    pub(super) labels: Labels,
    /// The hash of the rule's text.
    pub(super) hash: u64,
}

/// Binds a rule to its sides, whose slots these are; they come back with what the rule took. The
/// plan is right only if nothing was reported.
pub(super) fn bind(
    def: &RuleDef,
    syntax: &mut Syntax,
    sides: Vec<Side>,
    slots: Vec<Slots>,
    context: Context<'_>,
    report: &mut Report,
) -> (Option<RulePlan>, Vec<Slots>) {
    let Some(mut select) = syntax.select.take() else { return (None, slots) };
    let mut binder = Binder::new(def.id.as_str(), sides, slots, context.limits.nodes);
    let mut query = binder.query(&mut select, context.limits.height());
    let key = match &def.key {
        Some(names) => binder.named_key(names, report),
        None => binder.implied_key(),
    };
    binder.flush("sql", &def.sql, report);
    if def.is_state() && def.key.is_none() && key.is_empty() && !binder.grouped && !report.failed() {
        binder.doubt_key(&select);
        binder.flush("sql", &def.sql, report);
    }
    let mut when = binder.judge("when", def.when.as_ref(), syntax.when.as_ref(), report);
    let mut clear = binder.judge("clear", def.clear.as_ref(), syntax.clear.as_ref(), report);
    let levels = binder.levels(def, syntax, report);
    if !levels.is_empty() {
        (when, clear) = any(&levels);
    }
    if !report.failed() {
        let judges: Vec<&Expr> = when.iter().chain(&clear).collect();
        if let Some(problem) = binder.hidden_recovery(&select, &query, &key, &judges) {
            report.warning("sql", &def.sql, problem);
        }
    }
    if let Some(window) = &mut query.window {
        window.aggregates = std::mem::take(&mut binder.aggregates);
        window.analytics = std::mem::take(&mut binder.group_analytics);
    }
    let visible = binder.outputs.iter().filter(|output| !output.invisible).count();
    let columns: Vec<Arc<str>> = binder.outputs.iter().map(|output| output.name.as_str().into()).collect();
    let numberless = |output: &Output| {
        let ty = &output.found.ty;
        matches!(
            ty,
            DataType::Boolean
                | DataType::Datetime
                | DataType::Bytea
                | DataType::Array(_)
                | DataType::Struct(_)
        )
    };
    let numberless: Vec<bool> = binder.outputs.iter().map(numberless).collect();
    let project: Vec<Expr> =
        std::mem::take(&mut binder.outputs).into_iter().map(|output| output.found.expr).collect();
    let hash = context.hash;
    let mut alert = alert(def, context, &key, (columns, &numberless), visible, report);
    alert.cadence = query.window.as_ref().and_then(|window| cadence::of(window, &binder.sides));
    let state = cadence::state(def.sql.as_str(), &cadence::declared(&binder.sides));
    let shape = Shape {
        from: query.from,
        analytics: std::mem::take(&mut binder.analytics),
        filter: query.filter,
        window: query.window,
        visible,
        project,
        unnest: binder.unnest.take().map(|(array, _)| array),
        arrange: query.arrange,
        key: key.into_iter().map(|column| column.expr).collect(),
        when,
        clear,
        levels,
    };
    binder.check_silence(def, &shape, report);
    let alert = AlertSpec { rule: def.id.as_str().into(), hash, shape: Arc::new(alert) };
    (Some(RulePlan::new(state, alert, shape)), binder.slots)
}

impl Binder<'_> {
    /// Reports what is wrong in the text at hand.
    fn flush(&mut self, field: &str, text: &Text, report: &mut Report) {
        let mut told: Vec<Problem> = Vec::new();
        for problem in self.problems.drain(..) {
            // An expression that a name repeats has the same mistake again.
            if !told.contains(&problem) {
                report.error(field, text, problem.clone());
                told.push(problem);
            }
        }
        for doubt in self.doubts.drain(..) {
            report.warning(field, text, doubt);
        }
    }

    fn levels(&mut self, def: &RuleDef, syntax: &Syntax, report: &mut Report) -> Vec<Level> {
        let mut found = Vec::with_capacity(def.levels.len());
        for (at, (level, (when, clear))) in def.levels.iter().zip(&syntax.levels).enumerate() {
            let when = self.judge(&format!("levels[{at}].when"), Some(&level.when), when.as_ref(), report);
            let field = format!("levels[{at}].clear");
            let clear = self.judge(&field, level.clear.as_ref(), clear.as_ref(), report);
            found.extend(when.map(|when| Level { when, clear }));
        }
        found
    }

    fn judge(
        &mut self,
        field: &str,
        text: Option<&Text>,
        node: Option<&Node>,
        report: &mut Report,
    ) -> Option<Expr> {
        let (text, node) = (text?, node?);
        let found = self.condition(node, Clause::Condition, &format!("`{field}`"));
        self.flush(field, text, report);
        Some(found)
    }
}

/// What raises any of the levels, and what clears all of them; that is the negation where none says its own.
fn any(levels: &[Level]) -> (Option<Expr>, Option<Expr>) {
    let not = |when: &Expr| Expr::Unary(UnaryOp::Not, Box::new(when.clone()));
    let clear = |level: &Level| level.clear.clone().unwrap_or_else(|| not(&level.when));
    let one = |mut all: Vec<Expr>, join: fn(Vec<Expr>) -> Expr| {
        if all.len() > 1 { Some(join(all)) } else { all.pop() }
    };
    let when = one(levels.iter().map(|level| level.when.clone()).collect(), Expr::Or);
    let own = levels.iter().any(|level| level.clear.is_some());
    (when, if own { one(levels.iter().map(clear).collect(), Expr::And) } else { None })
}

fn alert(
    def: &RuleDef,
    context: Context<'_>,
    key: &[KeyColumn],
    (mut columns, numberless): (Vec<Arc<str>>, &[bool]),
    visible: usize,
    report: &mut Report,
) -> AlertShape {
    let Context { ruleset, kind, labels, no_data, life, .. } = context;
    let invisible = columns.split_off(visible.min(columns.len()));
    for (name, _) in &def.labels {
        if key.iter().any(|column| *column.label == *name.as_str()) {
            let problem =
                whole("reserved-name", format!("`{}` is already the name of a key column", name.as_str()));
            report.error_at_start(
                &format!("labels.{}", name.as_str()),
                name,
                problem.hint("rename the label"),
            );
        }
    }
    let severity: Arc<str> = match life.levels.first() {
        Some(lowest) => lowest.clone(),
        None => def.severity.as_ref().map_or("warning", Text::as_str).into(),
    };
    let key: Vec<Arc<str>> = key.iter().map(|column| column.label.clone()).collect();
    let known: Vec<Arc<str>> = key
        .iter()
        .chain(labels.keys())
        .cloned()
        .chain(OWN_LABELS.iter().map(|name| (*name).into()))
        .collect();
    let names = template::Names { columns: &columns, invisible: &invisible, labels: &known, numberless };
    let annotations = annotations(def, &names, report);
    let ruleset = ruleset.clone();
    AlertShape { ruleset, kind, severity, labels, annotations, key, columns, cadence: None, no_data, life }
}

fn annotations(def: &RuleDef, names: &template::Names<'_>, report: &mut Report) -> Vec<(Arc<str>, Template)> {
    let mut found: Vec<(Arc<str>, Template)> = Vec::new();
    for (name, text) in &def.annotations {
        let field = format!("annotations.{}", name.as_str());
        if !is_label(name.as_str()) {
            let problem = whole("bad-name", format!("`{}` is no name for an annotation", name.as_str()));
            report.error_at_start(&field, name, problem.hint("use letters, digits and `_`"));
        }
        let mut problems = Vec::new();
        let template = template::parse(text.as_str(), names, &mut problems);
        for problem in problems {
            report.error(&field, text, problem);
        }
        found.push((name.as_str().into(), template));
    }
    found
}
