//! The one place where the hub asks the planner about a rule file.

use crate::model::diagnostic::{Diagnostic, Level};
use crate::model::ruleset::{Item, ItemKind};
use crate::plan::{self, Limits};

/// What the planner says about a rule file.
#[derive(Clone, Debug, Default)]
pub struct Checked {
    /// The file's items, in order; empty where the file cannot be read at all.
    pub items: Vec<Item>,
    /// Every finding, errors and warnings, with its place in the file.
    pub diagnostics: Vec<Diagnostic>,
    /// The ids of its rules.
    pub rules: Vec<String>,
}

impl Checked {
    /// Whether an agent would refuse it.
    pub fn is_bad(&self) -> bool {
        self.diagnostics.iter().any(|finding| finding.level == Level::Error)
    }
}

/// Checks a rule file, YAML or JSON, as the agent will.
pub fn check(set_name: &str, source: &str) -> Checked {
    let def = match plan::file::parse(source) {
        Ok(def) => def,
        Err(diagnostics) => return Checked { diagnostics, ..Checked::default() },
    };
    let compiled = plan::compile(set_name, &def, &Limits::default());
    let items = def.items();
    let rules = items.iter().filter(|item| item.kind == ItemKind::Rule).map(|item| item.name.to_string());
    Checked { rules: rules.collect(), items, diagnostics: compiled.diagnostics }
}
