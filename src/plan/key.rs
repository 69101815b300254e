//! The key of a rule's alerts: which columns tell its instances apart, and what its labels call
//! them.

use std::sync::Arc;

use crate::model::diagnostic::Place;
use crate::model::label::OWN_LABELS;
use crate::model::stream::FieldSource;

use super::bind::Binder;
use super::logical::Expr;
use super::report::{Problem, Report};
use super::side::{Owner, owner};
use super::syntax::{Kind, Name, Select};
use super::text::Text;

/// One key column.
pub(super) struct KeyColumn {
    /// What the label calls it.
    pub(super) label: Arc<str>,
    /// Its value, in the terms of the query's SELECT.
    pub(super) expr: Expr,
}

/// Whether every alert has something of this name already.
pub(super) fn is_reserved(label: &str) -> bool {
    OWN_LABELS.contains(&label) || label == "severity"
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
            let place = Place::START;
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
                Err(problem) => report.error_at_start("key", text, problem),
            }
        }
        key
    }

    fn key_expr(&mut self, name: &str, place: Place) -> Result<Expr, Problem> {
        if let Some(output) = self.outputs.iter().find(|output| output.name == name) {
            let mut mixed = false;
            output.found.expr.walk(&mut |part| {
                mixed |= match part {
                    Expr::Aggregate(_) | Expr::WindowStart | Expr::WindowEnd => true,
                    Expr::Analytic(_) => self.grouped,
                    _ => false,
                };
            });
            if mixed {
                let message = format!("`{name}` differs from window to window and cannot be the key");
                return Err(Problem::new("bad-key", place, message).hint("use what the query groups by"));
            }
            return Ok(output.found.expr.clone());
        }
        if self.grouped {
            let grouped = self.groups.iter().position(|(node, _)| {
                matches!(&node.kind, Kind::Path(path) if path.names.last().is_some_and(|last| last.text == name))
            });
            return match grouped {
                Some(i) => Ok(Expr::Group(i)),
                None if self.sides.iter().any(|side| side.schema.declares(name)) => {
                    let problem =
                        Problem::new("bad-key", place, format!("the key `{name}` is not grouped by"));
                    Err(problem.hint(format!("add `{name}` to GROUP BY")))
                }
                None => Err(self.unknown_key(name, place)),
            };
        }
        // What the streams call so tells devices apart; what only a table calls so does too.
        let side = match owner(&self.sides, name) {
            Owner::Side(side) => Some(side),
            Owner::Several(those) => those.first().copied(),
            Owner::Nobody => None,
        };
        let path = [Name { text: name.to_owned(), place }];
        let field = side.and_then(|side| Some((side, self.sides.get(side)?.schema.resolve(&path).ok()?)));
        match field {
            Some((side, field)) => Ok(self.take(side, field)),
            None => Err(self.unknown_key(name, place)),
        }
    }

    fn unknown_key(&self, name: &str, place: Place) -> Problem {
        let problem = Problem::new("unknown-key", place, format!("no column `{name}` for the key"));
        let all = self.outputs.iter().map(|output| output.name.as_str());
        let all = all.chain(self.sides.iter().flat_map(|side| side.schema.names()));
        problem.hint("name an output column, or a column of the stream").did_you_mean(name, all)
    }

    /// The key that follows from the query: what it groups by, else the stream's KEY, else none.
    pub(super) fn implied_key(&mut self) -> Vec<KeyColumn> {
        let mut exprs: Vec<(Expr, Place)> = Vec::new();
        if self.blurred {
            return Vec::new();
        }
        if self.grouped {
            let own = self.groups.iter().enumerate().filter(|(_, (_, group))| !self.of_table(&group.expr));
            exprs.extend(own.map(|(i, (node, _))| (Expr::Group(i), node.place)));
        } else if let Some(key) = self.stream_key() {
            exprs.push((key, Place::START));
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

    /// Whether a value comes from tables alone: it does not tell devices apart.
    fn of_table(&self, expr: &Expr) -> bool {
        let (mut table, mut stream) = (false, false);
        expr.walk(&mut |part| {
            if let Expr::Field(side, _) = part {
                match self.sides.get(*side).is_some_and(|side| side.is_stream()) {
                    true => stream = true,
                    false => table = true,
                }
            }
        });
        table && !stream
    }

    /// The KEY of the one stream.
    fn stream_key(&self) -> Option<Expr> {
        let mut streams = self.sides.iter().enumerate().filter(|(_, side)| side.is_stream());
        let (place, side) = streams.next()?;
        if streams.next().is_some() {
            return None;
        }
        self.slots.get(side.source)?.key.map(|slot| Expr::Field(place, slot))
    }

    /// A state that readings of several devices share goes up and down with each of them.
    pub(super) fn doubt_key(&mut self, select: &Select) {
        let mut streams = self.sides.iter().filter(|side| side.is_stream());
        let Some(side) = streams.next() else { return };
        if let Some(other) = streams.next() {
            let message = format!(
                "all pairs of `{}` and `{}` share one alert: a join of streams has no key of its own",
                side.called, other.called
            );
            let hint =
                "name the columns that tell alerts apart: `key: [device]`; or `key: []`, if one is meant";
            self.doubts.push(Problem::new("no-key", side.place, message).hint(hint));
            return;
        }
        let mut captures =
            side.schema.columns.iter().filter(|column| matches!(column.from, FieldSource::Capture(_)));
        let Some(capture) = captures.next_back() else { return };
        let message = format!(
            "all readings of `{}` share one alert: neither the stream's KEY nor the rule's `key` tells them apart",
            side.schema.name
        );
        let hint = format!(
            "add KEY='{}' to the stream; or `key: []` to the rule, if one alert is meant",
            capture.name
        );
        let place = select.from.first().map_or(side.place, |source| source.name.place);
        self.doubts.push(Problem::new("no-key", place, message).hint(hint));
    }

    fn key_name(&self, expr: &Expr) -> Option<String> {
        if let Some(output) = self.outputs.iter().find(|output| output.found.expr == *expr) {
            return Some(output.name.clone());
        }
        match expr {
            Expr::Group(i) => match &self.groups.get(*i)?.0.kind {
                Kind::Path(path) => path.names.last().map(|name| name.text.clone()),
                _ => None,
            },
            Expr::Field(side, slot) => self.slot_name(*side, *slot),
            _ => None,
        }
    }

    /// The last name of the payload's path that a slot holds, or what else it is called.
    fn slot_name(&self, side: usize, slot: usize) -> Option<String> {
        let field = self.slots.get(self.sides.get(side)?.source)?.fields.get(slot)?;
        Some(match &field.from {
            FieldSource::Path(path) => path.last().unwrap_or(&field.name).to_string(),
            _ => field.name.to_string(),
        })
    }
}

fn label_problem(name: &str, place: Place) -> Option<Problem> {
    if is_reserved(name) {
        let problem =
            Problem::new("reserved-name", place, format!("every alert has a label `{name}` of its own"));
        return Some(problem.hint("select the column under another name"));
    }
    (!is_label(name)).then(|| {
        Problem::new("bad-name", place, format!("`{name}` is no name for a label"))
            .hint("select the column under a name of letters, digits and `_`")
    })
}
