//! Annotation texts with `{{ name }}` and `{{ name | function }}` places.

use std::sync::Arc;

use crate::model::alerting::{Named, Piece, Shown, Template};
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
    /// Of the output columns, those that are known to hold no number.
    pub(super) numberless: &'a [bool],
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
        rest = &inner[close + 2..];
        let found = names.place(&inner[..close], problems, |part: &str| {
            // Both lie in one text.
            let begin = at + 2 + (part.as_ptr() as usize - inner.as_ptr() as usize);
            Place { length: part.chars().count().max(1), ..place_of(text, begin) }
        });
        if let Some(piece) = found {
            if !plain.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut plain)));
            }
            pieces.push(piece);
        }
    }
    plain.push_str(rest);
    if !plain.is_empty() {
        pieces.push(Piece::Text(plain));
    }
    Template { pieces }
}

impl Names<'_> {
    /// What stands between braces.
    fn place(
        &self,
        inner: &str,
        problems: &mut Vec<Problem>,
        place: impl Fn(&str) -> Place,
    ) -> Option<Piece> {
        let mut parts = inner.split('|').map(str::trim);
        let name = parts.next().unwrap_or("");
        let named = self.find(name);
        if named.is_none() {
            problems.push(self.unknown(name, place(name)));
        }
        let mut through = Vec::new();
        for part in parts {
            match function(part) {
                Ok(how) => {
                    let numberless =
                        |at: &usize| through.is_empty() && self.numberless.get(*at) == Some(&true);
                    if let Some(Named::Column(at)) = &named
                        && numberless(at)
                        && how != Shown::Since
                    {
                        let message = format!("`{name}` holds no number");
                        problems.push(Problem::new("bad-template", place(part), message));
                    }
                    through.push(how);
                }
                Err(problem) => problems.push(Problem { place: place(part), ..problem }),
            }
        }
        Some(Piece::Place(named?, through))
    }

    fn find(&self, name: &str) -> Option<Named> {
        if let Some(i) = self.columns.iter().position(|column| **column == *name) {
            return Some(Named::Column(i));
        }
        if let Some(label) = self.labels.iter().find(|label| ***label == *name) {
            return Some(Named::Label(label.clone()));
        }
        Some(match name {
            "severity" => Named::Severity,
            "starts_at" => Named::StartsAt,
            "occurred_at" => Named::OccurredAt,
            _ => return None,
        })
    }

    fn unknown(&self, name: &str, place: Place) -> Problem {
        if name.is_empty() {
            return Problem::new("bad-template", place, "`{{ }}` names nothing").hint("write {{ name }}");
        }
        let all = self.columns.iter().chain(self.labels).map(AsRef::as_ref).chain([
            "severity",
            "starts_at",
            "occurred_at",
        ]);
        let problem =
            Problem::new("unknown-template-name", place, format!("no output column or label `{name}`"));
        if self.invisible.iter().any(|column| **column == *name) {
            return problem.hint("it is INVISIBLE; leave that out, or select it again under another name");
        }
        problem.hint("add it to SELECT").did_you_mean(name, all)
    }
}

/// A function with its argument: `round 1`.
fn function(text: &str) -> Result<Shown, Problem> {
    let (name, argument) =
        text.split_once(char::is_whitespace).map_or((text, ""), |(name, rest)| (name, rest.trim()));
    let bad = |message: String| Problem::new("bad-template", Place::START, message);
    let found = match name {
        "round" => {
            let digits = if argument.is_empty() {
                Some(0)
            } else {
                argument.parse().ok().filter(|digits| *digits <= 9)
            };
            let digits = digits
                .ok_or_else(|| bad(format!("`{argument}` is no number of digits")).hint("write `round 1`"));
            return digits.map(Shown::Round);
        }
        "humanize" => Shown::Humanize,
        "humanize1024" => Shown::Humanize1024,
        "percent" => Shown::Percent,
        "duration" => Shown::Duration,
        "since" => Shown::Since,
        _ => {
            let problem = bad(format!("no function `{name}` of templates"));
            return Err(problem
                .hint(format!("there are {}", Shown::NAMES.join(", ")))
                .did_you_mean(name, Shown::NAMES));
        }
    };
    match argument {
        "" => Ok(found),
        _ => Err(bad(format!("`{name}` takes no argument"))),
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
            numberless: &[false],
        };
        let mut problems = Vec::new();
        let text = "{{severity}}: {{ device }} at {{ t | round 1|humanize }} °C }} {, {{starts_at | since}}";
        let found = parse(text, &names, &mut problems);
        assert!(problems.is_empty());
        assert_eq!(
            found.pieces,
            [
                Piece::Place(Named::Severity, vec![]),
                Piece::Text(": ".to_owned()),
                Piece::Place(Named::Label("device".into()), vec![]),
                Piece::Text(" at ".to_owned()),
                Piece::Place(Named::Column(0), vec![Shown::Round(1), Shown::Humanize]),
                Piece::Text(" °C }} {, ".to_owned()),
                Piece::Place(Named::StartsAt, vec![Shown::Since]),
            ]
        );
    }
}
