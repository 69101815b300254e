//! The query and its streams, compiled as a rule set with one rule.
#![expect(clippy::print_stderr, reason = "a verb of the command line tells what is wrong")]

use std::io::{self, IsTerminal};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::model::alerting::{AlertShape, AlertSpec, RuleKind};
use crate::model::diagnostic::Diagnostic;
use crate::model::stream::StreamSpec;
use crate::plan::definition::{RuleDef, RuleSetDef, StreamDef, TableBody, TableDef};
use crate::plan::logical::{Plan, RulePlan};
use crate::plan::text::Text;
use crate::plan::{self, Limits, file, render::render};

/// What the rule is called that the query becomes.
const RULE: &str = "query";

/// Compiles the query. `None` where something is wrong, which was told then.
///
/// # Errors
/// A file that cannot be read.
pub(super) fn compile(sql: &str, streams: Option<&Path>, statements: &[String]) -> Result<Option<Plan>> {
    let mut set = RuleSetDef::default();
    let mut names = Vec::new();
    let mut source = (String::new(), String::new());
    if let Some(path) = streams {
        let text =
            std::fs::read_to_string(path).with_context(|| format!("read the streams {}", path.display()))?;
        source = (path.display().to_string(), text);
        match file::parse(&source.1) {
            Ok(read) => {
                names = read.streams.iter().map(|stream| stream.name.clone()).collect();
                set = read;
            }
            Err(found) => {
                show(&found, &source.0, &source.1);
                return Ok(None);
            }
        }
    }
    for (n, statement) in statements.iter().enumerate() {
        let (name, sql) = (format!("of --stream #{}", n + 1), Text::own(statement.as_str()));
        match is_table(statement) {
            true => set.tables.push(TableDef { name, body: TableBody::Statement(sql) }),
            false => set.streams.push(StreamDef { name, sql }),
        }
    }
    // What is grouped by needs no name here: there is no alert that it would label.
    set.rules = vec![RuleDef { key: Some(Vec::new()), ..RuleDef::new(Text::own(RULE), Text::own(sql)) }];
    let compiled = plan::compile(RULE, &set, &Limits::default());
    let item = format!("rule {RULE}");
    for mut diagnostic in compiled.diagnostics {
        let statement =
            |(n, _): &(usize, &String)| diagnostic.item.ends_with(&format!("of --stream #{}", n + 1));
        if diagnostic.item == item {
            diagnostic.item = String::new();
            if &*diagnostic.code == "unknown-stream" && !declares(&diagnostic) {
                diagnostic.hint = Some(undeclared(&names));
            }
            show(&[diagnostic], RULE, sql);
        } else if let Some((_, statement)) = statements.iter().enumerate().find(statement) {
            show(&[diagnostic], "--stream", statement);
        } else {
            show(&[diagnostic], &source.0, &source.1);
        }
    }
    Ok(compiled.plan.map(keep_retained))
}

/// Whether a statement begins as one that makes a table.
fn is_table(statement: &str) -> bool {
    let mut words = statement.split_whitespace();
    words.next().is_some_and(|word| word.eq_ignore_ascii_case("CREATE"))
        && words.next().is_some_and(|word| word.eq_ignore_ascii_case("TABLE"))
}

/// How to have the stream that the query names; `names` are those that are there.
fn undeclared(names: &[String]) -> String {
    let declare = "declare it with --stream \"CREATE STREAM name () WITH (DATASOURCE='topic/#')\"";
    match names {
        [] => format!("{declare}, or name the rule file that does with --streams"),
        names => format!("there are {}; {declare}", names.join(", ")),
    }
}

/// Whether the planner knows a name that is close.
fn declares(diagnostic: &Diagnostic) -> bool {
    diagnostic.hint.as_deref().is_some_and(|hint| hint.starts_with("did you mean"))
}

fn show(found: &[Diagnostic], name: &str, text: &str) {
    eprint!("{}", render(found, name, text, io::stderr().is_terminal()));
}

/// Lets rows of retained messages through where there is no window: they are no occurrences, but
/// who explores a broker wants to see what it keeps.
fn keep_retained(mut plan: Plan) -> Plan {
    let kept = |rule: &RulePlan| {
        let kind = RuleKind::State { for_: Duration::ZERO, keep_firing_for: Duration::ZERO };
        let shape = Arc::new(AlertShape { kind, ..AlertShape::clone(&rule.alert.shape) });
        RulePlan { alert: AlertSpec { shape, ..rule.alert.clone() }, ..rule.clone() }
    };
    plan.rules = plan.rules.iter().map(kept).collect();
    plan
}

/// Lets every stream read the one source that there is, but for the node's own metrics.
pub(super) fn read_any_source(plan: &mut Plan) {
    for stream in &mut plan.streams {
        if !super::is_of_node(stream) && stream.source.is_some() {
            *stream = Arc::new(StreamSpec { source: None, ..StreamSpec::clone(stream) });
        }
    }
}
