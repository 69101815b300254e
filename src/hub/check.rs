//! The one place where the hub asks the planner about a rule file.

use serde_json::Value as Json;

use crate::model::diagnostic::{Diagnostic, Level, Place};
use crate::model::ruleset::{Item, ItemKind};

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

/// Checks a rule file, YAML or JSON.
pub fn check(_set_name: &str, source: &str) -> Checked {
    let file: Json = match serde_saphyr::from_str(source) {
        Ok(file) => file,
        Err(error) => {
            return Checked {
                diagnostics: vec![finding("", error.to_string(), 1)],
                ..Checked::default()
            };
        }
    };
    let mut checked = Checked::default();
    let list = |name: &str| file.get(name).and_then(Json::as_array).cloned().unwrap_or_default();
    for stream in list("streams") {
        let sql = stream.as_str().unwrap_or_default();
        let name = sql.split_whitespace().nth(2).unwrap_or_default();
        checked.items.push(Item { kind: ItemKind::Stream, name: name.into(), body: sql.into() });
    }
    for rule in list("rules") {
        let id = rule.get("id").and_then(Json::as_str).unwrap_or_default();
        let sql = rule.get("sql").and_then(Json::as_str).unwrap_or_default();
        if !sql.trim_start().to_ascii_uppercase().starts_with("SELECT ") {
            let line = source.lines().position(|line| line.contains("sql:") && line.contains(sql.trim()));
            checked.diagnostics.push(finding(
                &format!("rule {id}"),
                "a rule's query starts with SELECT".to_owned(),
                line.map_or(1, |line| line + 1),
            ));
        }
        checked.rules.push(id.to_owned());
        checked.items.push(Item { kind: ItemKind::Rule, name: id.into(), body: rule.to_string().into() });
    }
    checked
}

fn finding(item: &str, message: String, line: usize) -> Diagnostic {
    Diagnostic {
        level: Level::Error,
        code: "syntax".into(),
        item: item.to_owned(),
        field: String::new(),
        message,
        hint: None,
        place: Place { line, column: 1, length: 1 },
    }
}
