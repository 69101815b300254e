//! The key of a rule's alerts: which columns tell its instances apart, and what its labels call
//! them.

use std::sync::Arc;

use crate::model::diagnostic::Place;
use crate::model::stream::FieldSource;

use super::bind::Binder;
use super::logical::Expr;
use super::nearest::nearest;
use super::report::{Problem, Report};
use super::syntax::{Kind, Name, Select};
use super::text::Text;

/// Labels that every alert has of itself.
pub(super) const RESERVED_LABELS: &[&str] = &["agent", "ruleset", "alertname", "severity"];

/// One key column.
pub(super) struct KeyColumn {
    /// What the label calls it.
    pub(super) label: Arc<str>,
    /// Its value, in the terms of the query's SELECT.
    pub(super) expr: Expr,
}

/// Whether Prometheus takes this as a label's name.
pub(super) fn is_label(name: &str) -> bool {
    let mut chars = name.chars();
    chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && chars.all(|c| c.is_ascii_alphanumeric() || c == '_')
}

impl Binder<'_> {
    /// The key that the rule names.
    pub(super) fn named_key(&mut self, names: &[Text], report: &mut Report) -> Vec<KeyColumn> {
        let mut key: Vec<KeyColumn> = Vec::new();
        for text in names {
            let name = text.as_str();
            let place = Place { line: 1, column: 1, length: name.chars().count().max(1) };
            let found = self.key_expr(name, place);
            let found = found.and_then(|expr| match label_problem(name, place) {
                Some(problem) => Err(problem),
                None if key.iter().any(|known| *known.label == *name) => {
                    Err(Problem::new("duplicate-column", place, format!("the key names `{name}` twice")))
                }
                None => Ok(expr),
            });
            match found {
                Ok(expr) => key.push(KeyColumn { label: name.into(), expr }),
                Err(problem) => report.error("key", text, problem),
            }
        }
        key
    }

    fn key_expr(&mut self, name: &str, place: Place) -> Result<Expr, Problem> {
        if let Some((_, found)) = self.outputs.iter().find(|(output, _)| output == name) {
            let mut mixed = false;
            found.expr.walk(&mut |part| {
                mixed |= matches!(part, Expr::Aggregate(_) | Expr::WindowStart | Expr::WindowEnd);
            });
            if mixed {
                let message = format!("`{name}` differs from window to window and cannot be the key");
                return Err(Problem::new("bad-key", place, message).hint("use what the query groups by"));
            }
            return Ok(found.expr.clone());
        }
        if self.windowed {
            let grouped = self.groups.iter().position(|(node, _)| {
                matches!(&node.kind, Kind::Path { names, .. } if names.last().is_some_and(|last| last.text == name))
            });
            return match grouped {
                Some(i) => Ok(Expr::Group(i)),
                None if self.schema.declares(name) => {
                    let problem =
                        Problem::new("bad-key", place, format!("the key `{name}` is not grouped by"));
                    Err(problem.hint(format!("add `{name}` to GROUP BY")))
                }
                None => Err(self.unknown_key(name, place)),
            };
        }
        match self.schema.resolve(&[Name { text: name.to_owned(), place }]) {
            Ok(field) => Ok(Expr::Field(0, self.slots.take(field))),
            Err(_) => Err(self.unknown_key(name, place)),
        }
    }

    fn unknown_key(&self, name: &str, place: Place) -> Problem {
        let problem = Problem::new("unknown-key", place, format!("no column `{name}` for the key"));
        let all = self.outputs.iter().map(|(output, _)| output.as_str()).chain(self.schema.names());
        match nearest(name, all) {
            Some(near) => problem.hint(format!("did you mean `{near}`?")),
            None => problem.hint("name an output column, or a column of the stream"),
        }
    }

    /// The key that follows from the query: what it groups by, else the stream's KEY, else none.
    pub(super) fn implied_key(&mut self) -> Vec<KeyColumn> {
        let mut exprs: Vec<(Expr, Place)> = Vec::new();
        if self.blurred {
            return Vec::new();
        }
        if self.windowed {
            exprs.extend(self.groups.iter().enumerate().map(|(i, (node, _))| (Expr::Group(i), node.place)));
        } else if let Some(slot) = self.slots.key {
            exprs.push((Expr::Field(0, slot), Place { line: 1, column: 1, length: 1 }));
        }
        let mut key: Vec<KeyColumn> = Vec::new();
        for (expr, place) in exprs {
            let name = self.key_name(&expr);
            let problem = match name.as_deref() {
                None => Some(
                    Problem::new("bad-key", place, "what is grouped by has no name to label alerts with")
                        .hint("add it to SELECT with AS"),
                ),
                Some(name) => label_problem(name, place).or_else(|| {
                    key.iter().any(|known| *known.label == *name).then(|| {
                        Problem::new("bad-key", place, format!("two key columns are called `{name}`"))
                            .hint("add one of them to SELECT with another name")
                    })
                }),
            };
            match (name, problem) {
                (_, Some(problem)) => self.problems.push(problem),
                (Some(name), None) => key.push(KeyColumn { label: name.into(), expr }),
                (None, None) => {}
            }
        }
        key
    }

    /// A state that readings of several devices share goes up and down with each of them.
    pub(super) fn doubt_key(&mut self, select: &Select) {
        let mut captures =
            self.schema.columns.iter().filter(|column| matches!(column.from, FieldSource::Capture(_)));
        let Some(capture) = captures.next_back() else { return };
        let message = format!(
            "all readings of `{}` share one alert: neither the stream's KEY nor the rule's `key` tells them apart",
            self.schema.name
        );
        let hint = format!(
            "add KEY='{}' to the stream; or `key: []` to the rule, if one alert is meant",
            capture.name
        );
        self.doubts.push(Problem::new("no-key", select.stream.place, message).hint(hint));
    }

    fn key_name(&self, expr: &Expr) -> Option<String> {
        if let Some((name, _)) = self.outputs.iter().find(|(_, output)| output.expr == *expr) {
            return Some(name.clone());
        }
        match expr {
            Expr::Group(i) => match &self.groups.get(*i)?.0.kind {
                Kind::Path { names, .. } => names.last().map(|name| name.text.clone()),
                _ => None,
            },
            Expr::Field(_, slot) => self.slot_name(*slot).map(str::to_owned),
            _ => None,
        }
    }
}

fn label_problem(name: &str, place: Place) -> Option<Problem> {
    if RESERVED_LABELS.contains(&name) {
        let problem =
            Problem::new("reserved-name", place, format!("every alert has a label `{name}` of its own"));
        return Some(problem.hint("select the column under another name"));
    }
    (!is_label(name)).then(|| {
        Problem::new("bad-name", place, format!("`{name}` is no name for a label"))
            .hint("select the column under a name of letters, digits and `_`")
    })
}
