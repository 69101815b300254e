//! Annotation texts with `{{ name }}` places.

use std::sync::Arc;

use crate::model::alerting::{Piece, Template};
use crate::model::diagnostic::Place;

use super::report::Problem;
use super::text::place_of;

/// The names that a template may use.
pub(super) struct Names<'a> {
    /// The output columns, by place.
    pub(super) columns: &'a [Arc<str>],
    /// Output columns that go no further.
    pub(super) invisible: &'a [Arc<str>],
    /// The labels of the alert.
    pub(super) labels: &'a [Arc<str>],
    /// The rule's severity, which is the same for all its alerts.
    pub(super) severity: &'a str,
}

/// Reads a template; what cannot be read is left out and reported.
pub(super) fn parse(text: &str, names: &Names<'_>, problems: &mut Vec<Problem>) -> Template {
    let mut pieces = Vec::new();
    let mut plain = String::new();
    let mut rest = text;
    while let Some(open) = rest.find("{{") {
        plain.push_str(&rest[..open]);
        let at = text.len() - rest.len() + open;
        let inner = &rest[open + 2..];
        let Some(close) = inner.find("}}") else {
            let problem =
                Problem::new("bad-template", Place { length: 2, ..place_of(text, at) }, "`{{` is not closed");
            problems.push(problem.hint("write {{ name }}"));
            return Template { pieces };
        };
        let name = inner[..close].trim();
        rest = &inner[close + 2..];
        match names.find(name) {
            Some(Piece::Text(text)) => plain.push_str(&text),
            Some(piece) => {
                if !plain.is_empty() {
                    pieces.push(Piece::Text(std::mem::take(&mut plain)));
                }
                pieces.push(piece);
            }
            None => {
                let lead = inner.len() - inner.trim_start().len();
                let place = Place { length: name.chars().count().max(1), ..place_of(text, at + 2 + lead) };
                problems.push(names.unknown(name, place));
            }
        }
    }
    plain.push_str(rest);
    if !plain.is_empty() {
        pieces.push(Piece::Text(plain));
    }
    Template { pieces }
}

impl Names<'_> {
    fn find(&self, name: &str) -> Option<Piece> {
        if let Some(i) = self.columns.iter().position(|column| **column == *name) {
            return Some(Piece::Column(i));
        }
        if let Some(label) = self.labels.iter().find(|label| ***label == *name) {
            return Some(Piece::Label(label.clone()));
        }
        (name == "severity").then(|| Piece::Text(self.severity.to_owned()))
    }

    fn unknown(&self, name: &str, place: Place) -> Problem {
        if name.is_empty() {
            return Problem::new("bad-template", place, "`{{ }}` names nothing").hint("write {{ name }}");
        }
        let all = self.columns.iter().chain(self.labels).map(AsRef::as_ref).chain(["severity"]);
        let problem =
            Problem::new("unknown-template-name", place, format!("no output column or label `{name}`"));
        if self.invisible.iter().any(|column| **column == *name) {
            return problem.hint("it is INVISIBLE; leave that out, or select it again under another name");
        }
        problem.hint("add it to SELECT").did_you_mean(name, all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_in_order() {
        let names = Names {
            columns: &["t".into()],
            invisible: &[],
            labels: &["device".into()],
            severity: "critical",
        };
        let mut problems = Vec::new();
        let found = parse("{{severity}}: {{ device }} at {{ t }} °C }} {", &names, &mut problems);
        assert!(problems.is_empty());
        assert_eq!(
            found.pieces,
            [
                Piece::Text("critical: ".to_owned()),
                Piece::Label("device".into()),
                Piece::Text(" at ".to_owned()),
                Piece::Column(0),
                Piece::Text(" °C }} {".to_owned()),
            ]
        );
    }
}
