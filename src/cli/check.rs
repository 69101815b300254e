//! `weir check`: what is wrong with rule files, as a compiler tells it. Reads files, runs nothing.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a verb of the command line prints its result"
)]

use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use serde_json::json;

use crate::model::diagnostic::{Diagnostic, Level};
use crate::plan::{self, Compiled, Limits, render::render};

use super::rulefiles::{self, RuleFile};
use super::table::count;

/// Check rule files without running them.
///
/// Exits with 1 if a file has an error, with 0 if there are warnings at most.
#[derive(Debug, clap::Args)]
pub(super) struct Check {
    /// Rule files; a directory stands for its `*.yaml`, `*.yml` and `*.json`, `-` for standard input.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Print the diagnostics as a JSON array.
    #[arg(long)]
    json: bool,
}

/// One rule file, read and checked.
struct Checked {
    name: String,
    source: String,
    compiled: Compiled,
}

impl Check {
    /// Checks all files and prints what was found.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub(super) fn run(self) -> Result<ExitCode> {
        let mut checked = Vec::new();
        for RuleFile { shown, set, text } in rulefiles::read(&self.files)? {
            let compiled = plan::compile_text(&set, &text, &Limits::default());
            checked.push(Checked { name: shown, source: text, compiled });
        }
        if self.json {
            println!("{}", serde_json::to_string_pretty(&as_json(&checked)?)?);
        } else {
            let color = io::stderr().is_terminal();
            for file in &checked {
                eprint!("{}", render(&file.compiled.diagnostics, &file.name, &file.source, color));
            }
            eprintln!("{}", summary(&checked));
        }
        let failed = checked.iter().any(|file| file.compiled.plan.is_none());
        Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }
}

fn as_json(checked: &[Checked]) -> Result<serde_json::Value> {
    let mut all = Vec::new();
    for file in checked {
        for diagnostic in &file.compiled.diagnostics {
            let mut entry = serde_json::to_value(diagnostic).context("write diagnostics as JSON")?;
            if let Some(members) = entry.as_object_mut() {
                members.insert("file".to_owned(), json!(file.name));
            }
            all.push(entry);
        }
    }
    Ok(all.into())
}

/// `2 files, 14 rules: 1 error, 1 warning`.
fn summary(checked: &[Checked]) -> String {
    let found: Vec<&Diagnostic> = checked.iter().flat_map(|file| &file.compiled.diagnostics).collect();
    let of = |level| found.iter().filter(|d| d.level == level).count();
    let (errors, warnings) = (of(Level::Error), of(Level::Warning));
    let counted = |n: usize, what: &str| count(n as u64, what);
    let rules = checked.iter().map(|file| file.compiled.outcomes.len()).sum();
    let verdict = match (errors, warnings) {
        (0, 0) => "all right".to_owned(),
        (0, _) => counted(warnings, "warning"),
        (_, 0) => counted(errors, "error"),
        _ => format!("{}, {}", counted(errors, "error"), counted(warnings, "warning")),
    };
    format!("{}, {}: {verdict}", counted(checked.len(), "file"), counted(rules, "rule"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closing_line_counts() {
        let check = |yaml: &str| Checked {
            name: "f".to_owned(),
            source: yaml.to_owned(),
            compiled: plan::compile_text("f", yaml, &Limits::default()),
        };
        let good = check("rules:\n  - {id: a, sql: SELECT cpu FROM node}\n");
        let bad = check("rules:\n  - {id: a, sql: SELECT cpo FROM node}\n");
        assert_eq!(summary(std::slice::from_ref(&good)), "1 file, 1 rule: all right");
        assert_eq!(summary(&[good, bad]), "2 files, 2 rules: 1 error");
    }
}
