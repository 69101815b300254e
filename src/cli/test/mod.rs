//! `weir test`: runs the cases of rule files, and shows what differs.

mod coverage;
mod junit;
mod report;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, anyhow, bail};

use crate::agent::casefile::{self, Case, Mode, Opened, Outcome};

use coverage::Wanted;
use report::{Report, Verdict, print};

/// Run the test cases of rule files.
///
/// A test file names its rules, what arrives and when, and the alerts that must come of it. Exits
/// with 1 if a case fails, or if a rule of a tested file is never made to fire.
#[derive(Debug, clap::Args)]
pub(super) struct Test {
    /// Test files; a directory stands for all `*.test.yaml` in it
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Only the cases whose name holds this text
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,
    /// Stop at the first case that fails
    #[arg(long)]
    fail_fast: bool,
    /// Write what came of failing cases into their `expect`
    #[arg(long)]
    update: bool,
    /// Show which states of each rule the cases go through; with `full`, or a percentage, also fail where
    /// they go through less of them
    #[arg(long, value_name = "full|PERCENT", num_args = 0..=1, require_equals = true, default_missing_value = "0")]
    coverage: Option<Wanted>,
    /// Write the results as JUnit XML too, for a CI server
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// One JSON object for all, and nothing else
    #[arg(long)]
    json: bool,
    /// Show the transitions of each case
    #[arg(long, short)]
    verbose: bool,
}

impl Test {
    pub(super) fn run(self) -> Result<ExitCode> {
        let mut report = Report::new(self.verbose, self.json);
        for path in expand(&self.files)? {
            match casefile::open(&path) {
                Ok(opened) => self.file(&path, &opened, &mut report)?,
                Err(refusal) => report.refused(&path, &refusal),
            }
            if self.fail_fast && report.has_failed() {
                break;
            }
        }
        // Of some cases nothing follows for the rules.
        let whole = self.filter.is_none() && !(self.fail_fast && report.has_failed());
        if whole {
            report.unexercised();
            if let Some(wanted) = self.coverage {
                report.coverage(wanted);
            }
        }
        if let Some(path) = &self.junit {
            let text = junit::write(&report.results);
            fs::write(path, text).with_context(|| format!("write {}", path.display()))?;
        }
        if self.json {
            print(&serde_json::to_string_pretty(&report.as_json())?);
        } else {
            print(&report.closing());
        }
        Ok(if report.has_failed() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }

    fn file(&self, path: &Path, opened: &Opened, report: &mut Report) -> Result<()> {
        let wanted = |case: &&Case| {
            self.filter.as_ref().is_none_or(|text| case.name.to_lowercase().contains(&text.to_lowercase()))
        };
        let mut mended: Vec<(&Case, Outcome)> = Vec::new();
        report.begin(path, opened);
        for case in opened.suite.cases.iter().filter(wanted) {
            match casefile::run(case, &opened.rules, Mode::Plain) {
                Err(why) => report.case(path, case, &Outcome::default(), &Verdict::Broken(why)),
                Ok(outcome) => {
                    let mismatch = casefile::compare(case, &outcome);
                    let verdict = match mismatch.is_empty() {
                        true => Verdict::Passed,
                        false if self.update && casefile::is_mended_by_update(case, &outcome) => {
                            Verdict::Updated
                        }
                        false => Verdict::Failed(mismatch),
                    };
                    report.case(path, case, &outcome, &verdict);
                    if matches!(verdict, Verdict::Updated) {
                        mended.push((case, outcome));
                    }
                }
            }
            if self.fail_fast && report.has_failed() {
                break;
            }
        }
        if mended.is_empty() {
            return Ok(());
        }
        let outcomes: Vec<(&Case, &Outcome)> =
            mended.iter().map(|(case, outcome)| (*case, outcome)).collect();
        let text =
            casefile::update(&opened.text, &outcomes).map_err(|why| anyhow!("{}: {why}", path.display()))?;
        fs::write(path, text).with_context(|| format!("write {}", path.display()))
    }
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
            bail!("no test files (*{}) in {}", casefile::TEST_SUFFIX, path.display());
        }
        found.extend(inside);
    }
    Ok(found)
}
