//! `weir test`: runs the cases of rule files, and shows what differs.
#![expect(
    clippy::print_stderr,
    reason = "a verb of the command line prints its result"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, anyhow, bail};
use serde_json::{Value as Json, json};

use crate::agent::casefile::{self, Case, Mode, Opened, Outcome, Refusal};
use crate::plan::render::render;

/// Run the test cases of rule files.
///
/// A test file names its rules, what arrives and when, and the alerts that must come of it. Exits
/// with 1 if a case fails, or if a rule of a tested file is never made to fire.
#[derive(Debug, clap::Args)]
pub(super) struct Test {
    /// Test files; a directory stands for all `*.test.yaml` in it
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Write what came of failing cases into their `expect`
    #[arg(long)]
    update: bool,
    /// One JSON object for all, and nothing else
    #[arg(long)]
    json: bool,
    /// Show the transitions of each case
    #[arg(long, short)]
    verbose: bool,
}

impl Test {
    pub(super) fn run(self) -> Result<ExitCode> {
        let mut report = Report {
            verbose: self.verbose,
            quiet: self.json,
            ..Report::default()
        };
        for path in expand(&self.files)? {
            match casefile::open(&path) {
                Ok(opened) => self.file(&path, &opened, &mut report)?,
                Err(refusal) => report.refused(&path, &refusal),
            }
        }
        report.unexercised();
        if self.json {
            print(&serde_json::to_string_pretty(&report.as_json())?);
        } else {
            print(&report.closing());
        }
        Ok(if report.failed == 0 {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }

    fn file(&self, path: &Path, opened: &Opened, report: &mut Report) -> Result<()> {
        let mut failing = Vec::new();
        for case in &opened.suite.cases {
            let outcome = casefile::run(case, &opened.rules, Mode::Plain);
            let why = match &outcome {
                Ok(outcome) => casefile::compare(case, outcome).to_string(),
                Err(why) => format!("  {why}"),
            };
            let outcome = outcome.unwrap_or_default();
            let mended = self.update && !why.is_empty() && mends(case, &outcome);
            report.case(path, case, &outcome, if mended { "" } else { &why }, mended);
            if mended {
                failing.push((case, outcome));
            }
        }
        report.exercised(path, opened);
        if failing.is_empty() {
            return Ok(());
        }
        let outcomes: Vec<(&Case, &Outcome)> = failing
            .iter()
            .map(|(case, outcome)| (*case, outcome))
            .collect();
        let text = casefile::update(&opened.text, &outcomes)
            .map_err(|why| anyhow!("{}: {why}", path.display()))?;
        fs::write(path, text).with_context(|| format!("write {}", path.display()))
    }
}

/// Writes a line. A reader that is gone, as `head` is, wants no more; the exit code tells it all.
fn print(line: &str) {
    drop(writeln!(io::stdout(), "{line}"));
}

/// Whether writing the transitions into the case makes it pass: `pending` and `firing` are left
/// to the person.
fn mends(case: &Case, outcome: &Outcome) -> bool {
    let standing = Outcome {
        transitions: Vec::new(),
        ..outcome.clone()
    };
    casefile::compare(
        &Case {
            expect: Vec::new(),
            ..case.clone()
        },
        &standing,
    )
    .is_empty()
}

/// The test files that the arguments stand for.
fn expand(files: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for path in files {
        if !path.is_dir() {
            found.push(path.clone());
            continue;
        }
        let inside = casefile::test_files(path).map_err(anyhow::Error::msg)?;
        if inside.is_empty() {
            bail!(
                "no test files (*{}) in {}",
                casefile::TEST_SUFFIX,
                path.display()
            );
        }
        found.extend(inside);
    }
    Ok(found)
}

/// What came of all files.
#[derive(Default)]
struct Report {
    verbose: bool,
    quiet: bool,
    passed: usize,
    failed: usize,
    updated: usize,
    cases: Vec<Json>,
    problems: Vec<Json>,
    fired: BTreeSet<String>,
    /// For each tested pack the rules that no case made fire.
    idle: BTreeMap<PathBuf, BTreeSet<String>>,
}

impl Report {
    fn say(&self, line: &str) {
        if !self.quiet {
            print(line);
        }
    }

    fn case(&mut self, path: &Path, case: &Case, outcome: &Outcome, why: &str, mended: bool) {
        for transition in &outcome.transitions {
            if transition.state.reason().is_empty() {
                self.fired.insert(transition.rule.to_string());
            }
        }
        let place = format!("{}:{}", path.display(), case.line);
        let state = match (why.is_empty(), mended) {
            (true, true) => "updated",
            (true, false) => "ok",
            (false, _) => "FAILED",
        };
        self.say(&format!("{state:7} {place}: {}", case.name));
        if !why.is_empty() {
            self.say(why);
        } else if self.verbose {
            for transition in &outcome.transitions {
                self.say(&format!("    {}", casefile::found_line(transition)));
            }
        }
        self.passed += usize::from(why.is_empty());
        self.failed += usize::from(!why.is_empty());
        self.updated += usize::from(mended);
        self.cases.push(json!({
            "file": path.display().to_string(),
            "line": case.line,
            "case": case.name,
            "passed": why.is_empty(),
            "updated": mended,
            "mismatch": why,
            "transitions": outcome.transitions.iter().map(casefile::found_line).collect::<Vec<_>>(),
        }));
    }

    fn problem(&mut self, file: &str, why: &str) {
        self.failed += 1;
        self.say(&format!("FAILED  {file}: {why}"));
        self.problems.push(json!({ "file": file, "problem": why }));
    }

    fn refused(&mut self, path: &Path, refusal: &Refusal) {
        match refusal {
            Refusal::Unreadable(why) => self.problem(&path.display().to_string(), why),
            Refusal::Rules {
                file,
                text,
                diagnostics,
            } => {
                if !self.quiet {
                    eprint!(
                        "{}",
                        render(diagnostics, file, text, io::stderr().is_terminal())
                    );
                }
                let first = diagnostics
                    .first()
                    .map(ToString::to_string)
                    .unwrap_or_default();
                let why = format!("the rules of {file} do not compile: {first}");
                self.problem(&path.display().to_string(), &why);
            }
        }
    }

    /// Notes which rules of the file's pack fired in the cases since the last call.
    fn exercised(&mut self, path: &Path, opened: &Opened) {
        let fired = std::mem::take(&mut self.fired);
        let Some(pack) = &opened.pack else { return };
        let pack = fs::canonicalize(pack).unwrap_or_else(|_| path.join(pack));
        let all = || {
            opened
                .rules
                .plan
                .rules
                .iter()
                .map(|rule| rule.alert.rule.to_string())
                .collect()
        };
        let idle = self.idle.entry(pack).or_insert_with(all);
        idle.retain(|rule| !fired.contains(rule));
    }

    fn unexercised(&mut self) {
        for (pack, rules) in std::mem::take(&mut self.idle) {
            let name = pack
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            for rule in rules {
                self.problem(
                    &name,
                    &format!("rule {rule} is never exercised: add a case that makes it fire"),
                );
            }
        }
    }

    fn closing(&self) -> String {
        let updated = if self.updated > 0 {
            format!(" ({} updated)", self.updated)
        } else {
            String::new()
        };
        format!("{} passed{updated}, {} failed", self.passed, self.failed)
    }

    fn as_json(&self) -> Json {
        json!({ "passed": self.passed, "failed": self.failed, "cases": self.cases, "problems": self.problems })
    }
}
