//! What a rule holds the columns of its stream against, so that a plot of them can show it.

use anyhow::Result;

use super::Agent;
use crate::agent::status::RunningRules;
use crate::model::value::Value;
use crate::plan::logical::{BinaryOp, Expr, Plan, RulePlan};
use crate::plan::{self, Limits, RuleSetDef};

/// A number that a column of a stream is compared with.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::cli) struct Threshold {
    /// The column of the stream that it is; empty where it is made of several readings.
    pub(in crate::cli) column: String,
    /// The output column.
    pub(in crate::cli) output: String,
    /// The number.
    pub(in crate::cli) at: f64,
    /// Which condition says so: `when`, `clear`, or the severity of a level.
    pub(in crate::cli) of: String,
}

/// Those of a rule that the agent runs; none where it cannot be told.
pub(super) fn of_running(agent: &Agent, set: &str, rule: &str) -> Result<Vec<Threshold>> {
    let answer = super::socket::ask(&agent.path()?, "rules")?;
    let running: Vec<RunningRules> = serde_json::from_str(&answer)?;
    let Some(set) = running.into_iter().find(|running| running.name == set) else { return Ok(Vec::new()) };
    let def = RuleSetDef::from_items(&set.items()).ok();
    let plan = def.and_then(|def| plan::compile(&set.name, &def, &Limits::default()).plan);
    Ok(plan.map(|plan| of(&plan, rule)).unwrap_or_default())
}

/// Those of a rule of a plan.
pub(in crate::cli) fn of(plan: &Plan, rule: &str) -> Vec<Threshold> {
    let Some(rule) = plan.rules.iter().find(|known| *known.alert.rule == *rule) else { return Vec::new() };
    let mut found = Vec::new();
    let mut look = |condition: &Expr, of: &str| {
        condition.walk(&mut |part| found.extend(threshold(plan, rule, part, of)));
    };
    if rule.levels.is_empty() {
        rule.when.iter().for_each(|when| look(when, "when"));
        rule.clear.iter().for_each(|clear| look(clear, "clear"));
    }
    for (level, severity) in rule.levels.iter().zip(&rule.alert.life.levels) {
        look(&level.when, severity);
    }
    found
}

fn threshold(plan: &Plan, rule: &RulePlan, part: &Expr, of: &str) -> Option<Threshold> {
    let Expr::Binary(op, left, right) = part else { return None };
    if !matches!(op, BinaryOp::Lt | BinaryOp::Le | BinaryOp::Gt | BinaryOp::Ge) {
        return None;
    }
    let number = |expr: &Expr| match rule.constant(expr)? {
        #[expect(clippy::cast_precision_loss, reason = "a line in a picture")]
        Value::Int(n) => Some(*n as f64),
        Value::Float(x) => Some(*x),
        _ => None,
    };
    let (column, at) = match (number(left), number(right)) {
        (None, Some(at)) => (left, at),
        (Some(at), None) => (right, at),
        _ => return None,
    };
    let Expr::Column(column) = **column else { return None };
    let output = rule.alert.columns.get(column).map(ToString::to_string).unwrap_or_default();
    let field = match rule.project.get(column)? {
        Expr::Field(side, slot) => rule
            .streams()
            .find(|(at, _)| at == side)
            .and_then(|(_, stream)| plan.streams.get(stream)?.fields.get(*slot))
            .map(|field| field.name.to_string()),
        _ => None,
    };
    Some(Threshold { column: field.unwrap_or_default(), output, at, of: of.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_that_are_compared_with_numbers_are_told() {
        let rules = r#"
streams:
  - CREATE STREAM s (t FLOAT, door STRING) WITH (DATASOURCE='t/{device}', KEY='device')
rules:
  - {id: a, sql: "SELECT t AS temp, door FROM s", when: "temp > 60 AND door = 'open'", clear: 55 > temp}
  - id: b
    sql: SELECT t FROM s
    levels: [{severity: warning, when: t > 60}, {severity: critical, when: t >= 80}]
"#;
        let compiled = plan::compile_text("set", rules, &Limits::default());
        assert!(compiled.plan.is_some(), "{:?}", compiled.diagnostics);
        let plan = compiled.plan.unwrap();
        let told =
            |rule: &str| of(&plan, rule).into_iter().map(|t| (t.column, t.at, t.of)).collect::<Vec<_>>();
        let line = |at: f64, of: &str| ("t".to_owned(), at, of.to_owned());
        assert_eq!(told("a"), [line(60.0, "when"), line(55.0, "clear")]);
        assert_eq!(told("b"), [line(60.0, "warning"), line(80.0, "critical")]);
    }
}
