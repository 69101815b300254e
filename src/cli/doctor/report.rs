//! What the doctor found, as lines for a person and as JSON.

use serde::Serialize;

use crate::cli::alerts::clean;
use crate::cli::screen::Screen;
use crate::cli::table::count;

/// How something stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Mark {
    /// As it should be.
    Ok,
    /// It works, and may not for ever or not as well as it could.
    Warning,
    /// It was not looked at, for a reason that another line gives.
    Skipped,
    /// It does not work.
    Problem,
}

impl Mark {
    const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Skipped => "skipped",
            Self::Problem => "problem",
        }
    }

    const fn color(self) -> &'static str {
        match self {
            Self::Ok => "32",
            Self::Warning => "33",
            Self::Skipped => "2",
            Self::Problem => "31",
        }
    }
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Line {
    /// What: `config`, `broker plant`, `hub`.
    pub(super) check: String,
    /// How it stands.
    pub(super) mark: Mark,
    /// What was found.
    pub(super) found: String,
    /// What to do next, where it is not as it should be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) advice: Option<String>,
}

/// As it should be.
pub(super) fn ok(check: &str, found: impl Into<String>) -> Line {
    Line { check: check.to_owned(), mark: Mark::Ok, found: found.into(), advice: None }
}

/// Not looked at, since something else must be put right before.
pub(super) fn skipped(check: &str, found: impl Into<String>) -> Line {
    Line { check: check.to_owned(), mark: Mark::Skipped, found: found.into(), advice: None }
}

/// Something to see to, sooner or later.
pub(super) fn warning(check: &str, found: impl Into<String>, advice: impl Into<String>) -> Line {
    Line { check: check.to_owned(), mark: Mark::Warning, found: found.into(), advice: Some(advice.into()) }
}

/// Something that does not work.
pub(super) fn problem(check: &str, found: impl Into<String>, advice: impl Into<String>) -> Line {
    Line { check: check.to_owned(), mark: Mark::Problem, found: found.into(), advice: Some(advice.into()) }
}

/// The whole report, as JSON.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// The configuration that was looked at.
    pub(super) config: String,
    /// The agent's id; absent where there is no configuration that can be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) agent: Option<String>,
    /// How many are as they should be.
    pub(super) ok: usize,
    /// How many warnings there are.
    pub(super) warnings: usize,
    /// How many problems.
    pub(super) problems: usize,
    /// One by one.
    pub(super) checks: Vec<Line>,
}

impl Report {
    /// Of these lines.
    pub(super) fn new(config: String, agent: Option<String>, checks: Vec<Line>) -> Self {
        let of = |mark: Mark| checks.iter().filter(|line| line.mark == mark).count();
        let (ok, warnings, problems) = (of(Mark::Ok), of(Mark::Warning), of(Mark::Problem));
        Self { config, agent, ok, warnings, problems, checks }
    }

    /// The closing line.
    pub(super) fn verdict(&self) -> String {
        let counted = |n: usize, what: &str| count(n as u64, what);
        match (self.problems, self.warnings) {
            (0, 0) => "all is well".to_owned(),
            (0, _) => format!("it works; {}", counted(self.warnings, "warning")),
            (_, 0) => counted(self.problems, "problem"),
            _ => format!("{}, {}", counted(self.problems, "problem"), counted(self.warnings, "warning")),
        }
    }
}

/// Where the columns of a report stand.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    pub(super) screen: Screen,
    /// How wide the names of checks are.
    pub(super) names: usize,
}

/// The width of the marks.
const MARKS: usize = 7;

impl Layout {
    /// Lines as they are shown.
    pub(super) fn show(self, lines: &[Line]) -> String {
        lines.iter().map(|line| self.line(line)).collect()
    }

    fn line(self, line: &Line) -> String {
        let indent = 2 + MARKS + 2 + self.names + 2;
        let room = self.screen.columns.saturating_sub(indent).max(30);
        let pad = " ".repeat(MARKS.saturating_sub(line.mark.name().len()));
        let mark = self.screen.paint(line.mark.name(), line.mark.color());
        let name = format!("{:<width$}", line.check, width = self.names);
        let mut text = format!("  {mark}{pad}  {name}  ");
        text.push_str(&hanging(&line.found, indent, room));
        if let Some(advice) = &line.advice {
            let arrow = if self.screen.unicode { "→ " } else { "> " };
            text.push_str(&" ".repeat(indent));
            text.push_str(arrow);
            text.push_str(&hanging(advice, indent + 2, room.saturating_sub(2)));
        }
        text
    }
}

/// A text in lines of at most so many columns, the second and later ones indented. Lines that it has are kept.
fn hanging(text: &str, indent: usize, room: usize) -> String {
    let mut out = String::new();
    for line in text.trim_end().lines() {
        let mut width = 0;
        let begins_blank = line.starts_with(' ');
        let words: Vec<&str> = if begins_blank { vec![line] } else { line.split(' ').collect() };
        if !out.is_empty() {
            out.push_str(&" ".repeat(indent));
        }
        for word in words {
            let word = clean(word);
            let wide = word.chars().count();
            if width > 0 && width + 1 + wide > room {
                out.push('\n');
                out.push_str(&" ".repeat(indent));
                width = 0;
            } else if width > 0 {
                out.push(' ');
                width += 1;
            }
            out.push_str(&word);
            width += wide;
        }
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(columns: usize, unicode: bool) -> Layout {
        let screen = Screen { is_terminal: false, lines: 24, columns, color: false, unicode };
        Layout { screen, names: 6 }
    }

    #[test]
    fn long_texts_hang_under_their_beginning() {
        let line =
            problem("hub", "nothing listens on 10.0.0.7:7440", "start the hub there, or correct `hub.url`");
        assert_eq!(
            layout(50, true).show(&[ok("disk", "fine"), line.clone()]),
            "  ok       disk    fine\n\
             \x20 problem  hub     nothing listens on\n\
             \x20                  10.0.0.7:7440\n\
             \x20                  → start the hub there, or\n\
             \x20                    correct `hub.url`\n"
        );
        assert!(layout(50, false).show(&[line]).contains("> start"));
    }

    #[test]
    fn the_verdict_counts() {
        let report = |lines: Vec<Line>| Report::new(String::new(), None, lines).verdict();
        assert_eq!(report(vec![ok("a", "")]), "all is well");
        assert_eq!(report(vec![warning("a", "", ""), ok("b", "")]), "it works; 1 warning");
        assert_eq!(report(vec![problem("a", "", ""), problem("b", "", "")]), "2 problems");
        assert_eq!(report(vec![problem("a", "", ""), warning("b", "", "")]), "1 problem, 1 warning");
    }
}
