//! What came of all files: told as it comes, and again as JSON or JUnit XML.
#![expect(clippy::print_stderr, reason = "a verb of the command line prints its result")]

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};

use serde_json::{Value as Json, json};

use crate::agent::casefile::{self, Case, Line, Mark, Mismatch, Opened, Outcome, Refusal};
use crate::plan::render::render;

use super::coverage::{NEVER, Pack, Wanted};
use super::junit;

/// Writes a line. A reader that is gone, as `head` is, wants no more; the exit code tells it all.
pub(super) fn print(line: &str) {
    drop(writeln!(io::stdout(), "{line}"));
}

/// What came of a case.
pub(super) enum Verdict {
    Passed,
    /// It differed, and its file is written anew.
    Updated,
    Failed(Mismatch),
    /// It cannot be run.
    Broken(String),
}

/// What came of all files.
pub(super) struct Report {
    verbose: bool,
    quiet: bool,
    colour: bool,
    explained: bool,
    passed: usize,
    failed: usize,
    updated: usize,
    cases: Vec<Json>,
    problems: Vec<Json>,
    covered: Vec<Json>,
    pub(super) results: Vec<junit::Result>,
    /// Each tested pack, by its file.
    packs: BTreeMap<PathBuf, Pack>,
    /// The pack of the file at hand.
    pack: PathBuf,
}

impl Report {
    pub(super) fn new(verbose: bool, quiet: bool) -> Self {
        Self {
            verbose,
            quiet,
            colour: io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none(),
            explained: false,
            passed: 0,
            failed: 0,
            updated: 0,
            cases: Vec::new(),
            problems: Vec::new(),
            covered: Vec::new(),
            results: Vec::new(),
            packs: BTreeMap::new(),
            pack: PathBuf::new(),
        }
    }

    pub(super) const fn has_failed(&self) -> bool {
        self.failed > 0
    }

    fn say(&self, line: &str) {
        if !self.quiet {
            print(line);
        }
    }

    /// The cases that follow are of this file.
    pub(super) fn begin(&mut self, path: &Path, opened: &Opened) {
        let file = opened.pack.as_deref().unwrap_or(path);
        self.pack = fs::canonicalize(file).unwrap_or_else(|_| file.to_owned());
        self.packs.entry(self.pack.clone()).or_insert_with(|| Pack::new(file, opened));
    }

    pub(super) fn case(&mut self, path: &Path, case: &Case, outcome: &Outcome, verdict: &Verdict) {
        if let Some(pack) = self.packs.get_mut(&self.pack) {
            pack.seen.merge(&outcome.exercised);
        }
        let file = path.display().to_string();
        let (state, colour, why) = match verdict {
            Verdict::Passed => ("ok", GREEN, String::new()),
            Verdict::Updated => ("updated", YELLOW, String::new()),
            Verdict::Failed(mismatch) => ("FAILED", RED, mismatch.to_string()),
            Verdict::Broken(why) => ("FAILED", RED, format!("  {why}")),
        };
        let state = self.painted(colour, &format!("{state:7}"));
        self.say(&format!("{state} {file}:{}: {}", case.line, case.name));
        match verdict {
            Verdict::Failed(mismatch) => self.differs(&file, mismatch),
            Verdict::Broken(why) => self.say(&format!("  {file}: {why}")),
            Verdict::Passed | Verdict::Updated if self.verbose => {
                outcome
                    .transitions
                    .iter()
                    .for_each(|t| self.say(&format!("    {}", casefile::found_line(t))));
            }
            Verdict::Passed | Verdict::Updated => {}
        }
        self.passed += usize::from(why.is_empty());
        self.failed += usize::from(!why.is_empty());
        self.updated += usize::from(matches!(verdict, Verdict::Updated));
        self.cases.push(json!({
            "file": file,
            "line": case.line,
            "case": case.name,
            "passed": why.is_empty(),
            "updated": matches!(verdict, Verdict::Updated),
            "mismatch": why,
            "transitions": outcome.transitions.iter().map(casefile::found_line).collect::<Vec<_>>(),
        }));
        self.results.push(junit::Result { file, line: case.line, name: case.name.clone(), failure: why });
    }

    fn differs(&mut self, file: &str, mismatch: &Mismatch) {
        if !std::mem::replace(&mut self.explained, true) {
            let (minus, plus, tilde) =
                (self.painted(RED, "-"), self.painted(GREEN, "+"), self.painted(YELLOW, "~"));
            self.say(&format!(
                "  ({minus} expected, did not come   {plus} came, was not expected   {tilde} came, but differs)"
            ));
        }
        mismatch.lines.iter().for_each(|line| self.say(&self.line(file, line)));
    }

    /// A line of a comparison, with the place that expects it.
    fn line(&self, file: &str, line: &Line) -> String {
        let text = format!("{}{}", line.mark.text(), line.text);
        let mut text = match line.mark {
            Mark::Missing => self.painted(RED, &text),
            Mark::Extra => self.painted(GREEN, &text),
            Mark::Differs | Mark::Detail => self.painted(YELLOW, &text),
            Mark::Heading => self.painted(BOLD, &text),
            Mark::Same => self.painted(DIM, &text),
            Mark::Hint => text,
        };
        if !line.note.is_empty() {
            text.push_str(&format!("   <- {}", line.note));
        }
        if let Some(n) = line.line {
            text.push_str(&self.painted(DIM, &format!("   {file}:{n}")));
        }
        text
    }

    fn painted(&self, colour: &str, text: &str) -> String {
        if self.colour { format!("{colour}{text}{PLAIN}") } else { text.to_owned() }
    }

    fn problem(&mut self, file: &str, name: &str, why: &str) {
        self.failed += 1;
        let failed = self.painted(RED, "FAILED ");
        self.say(&format!("{failed} {file}: {why}"));
        self.problems.push(json!({ "file": file, "problem": why }));
        let (file, name, failure) = (file.to_owned(), name.to_owned(), why.to_owned());
        self.results.push(junit::Result { file, line: 0, name, failure });
    }

    pub(super) fn refused(&mut self, path: &Path, refusal: &Refusal) {
        let shown = path.display().to_string();
        match refusal {
            Refusal::Unreadable(why) => self.problem(&shown, "the test file", why),
            Refusal::Rules { file, text, diagnostics } => {
                if !self.quiet {
                    eprint!("{}", render(diagnostics, file, text, io::stderr().is_terminal()));
                }
                let first = diagnostics.first().map(ToString::to_string).unwrap_or_default();
                let why = format!("the rules of {file} do not compile: {first}");
                self.problem(&shown, "the rules", &why);
            }
        }
    }

    /// Tells the rules of packs that no case makes fire.
    pub(super) fn unexercised(&mut self) {
        let packs = self.packs.values().filter(|pack| pack.is_file);
        let idle: Vec<(String, String)> =
            packs.flat_map(|pack| pack.idle().map(|rule| (pack.name.clone(), rule.to_owned()))).collect();
        for (pack, rule) in idle {
            let why = format!("rule {rule} is never exercised: add a case that makes it fire");
            self.problem(&pack, &rule, &why);
        }
    }

    /// Tells which states the cases went through; less than wanted is a failure.
    pub(super) fn coverage(&mut self, wanted: Wanted) {
        let packs = std::mem::take(&mut self.packs);
        for pack in packs.values() {
            let never = self.painted(RED, NEVER);
            self.say(pack.text().trim_end_matches('\n').replace(NEVER, &never).as_str());
            self.covered.push(pack.as_json());
        }
        self.say("");
        for pack in packs.values().filter(|pack| pack.percent() < usize::from(wanted.0)) {
            let (shown, all) = pack.figures();
            let why =
                format!("{shown} of {all} states shown, {} %; wanted are {} %", pack.percent(), wanted.0);
            self.problem(&pack.name, "coverage", &why);
        }
        self.packs = packs;
    }

    pub(super) fn closing(&self) -> String {
        let updated = if self.updated > 0 { format!(" ({} updated)", self.updated) } else { String::new() };
        format!("{} passed{updated}, {} failed", self.passed, self.failed)
    }

    pub(super) fn as_json(&self) -> Json {
        let mut all = json!({ "passed": self.passed, "failed": self.failed, "cases": self.cases, "problems": self.problems });
        if !self.covered.is_empty() {
            all["coverage"] = Json::from(self.covered.clone());
        }
        all
    }
}

const RED: &str = "\u{1b}[31m";
const GREEN: &str = "\u{1b}[32m";
const YELLOW: &str = "\u{1b}[33m";
const BOLD: &str = "\u{1b}[1m";
const DIM: &str = "\u{1b}[2m";
const PLAIN: &str = "\u{1b}[0m";
