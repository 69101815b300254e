//! Collects what is wrong with one item of a set, in the terms of its texts. Never stops at the
//! first finding.

use crate::model::diagnostic::{Diagnostic, Level, Place};

use super::text::Text;

/// More findings about one item help nobody, and a text of mistakes must not fill memory.
const MOST: usize = 100;

/// What was found before anyone knows which item and text it is in.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Problem {
    /// A stable name for the kind of finding.
    pub(super) code: &'static str,
    /// Where, within the text.
    pub(super) place: Place,
    /// What is wrong.
    pub(super) message: String,
    /// What to do about it.
    pub(super) hint: Option<String>,
}

impl Problem {
    /// A finding without a hint.
    pub(super) fn new(code: &'static str, place: Place, message: impl Into<String>) -> Self {
        Self { code, place, message: message.into(), hint: None }
    }

    /// The same with a hint.
    #[must_use]
    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The finding about a field of an item.
    pub(super) fn finding(self, level: Level, item: &str, field: &str) -> Diagnostic {
        Diagnostic {
            level,
            code: self.code.into(),
            item: item.to_owned(),
            field: field.to_owned(),
            message: self.message,
            hint: self.hint,
            place: self.place,
        }
    }

    /// The same with the nearest of the names that exist, if one is near.
    #[must_use]
    pub(super) fn did_you_mean<'n>(self, wrong: &str, names: impl IntoIterator<Item = &'n str>) -> Self {
        match super::nearest::nearest(wrong, names) {
            Some(name) => self.hint(format!("did you mean `{name}`?")),
            None => self,
        }
    }
}

/// The findings of one item.
#[derive(Debug)]
pub(super) struct Report {
    item: String,
    found: Vec<Diagnostic>,
}

impl Report {
    /// For the item with this name, as in `rule freezer-too-warm`.
    pub(super) fn new(item: String) -> Self {
        Self { item, found: Vec::new() }
    }

    /// An error inside a text.
    pub(super) fn error(&mut self, field: &str, text: &Text, problem: Problem) {
        self.push(Level::Error, field, text.place(problem.place), problem);
    }

    /// A warning inside a text.
    pub(super) fn warning(&mut self, field: &str, text: &Text, problem: Problem) {
        self.push(Level::Warning, field, text.place(problem.place), problem);
    }

    /// An error about a text as a whole.
    pub(super) fn error_at_start(&mut self, field: &str, text: &Text, problem: Problem) {
        self.push(Level::Error, field, text.start(), problem);
    }

    /// An error at a place of the file, or of what stands for it.
    pub(super) fn error_in_file(&mut self, field: &str, problem: Problem) {
        self.push(Level::Error, field, problem.place, problem);
    }

    fn push(&mut self, level: Level, field: &str, place: Place, problem: Problem) {
        if self.found.len() >= MOST {
            return;
        }
        let problem = Problem { place, ..problem };
        self.found.push(problem.finding(level, &self.item, field));
    }

    /// Whether an error is among the findings.
    pub(super) fn failed(&self) -> bool {
        self.found.iter().any(|d| d.level == Level::Error)
    }

    /// The findings.
    pub(super) fn into_found(self) -> Vec<Diagnostic> {
        self.found
    }
}
