//! `weir check`: what is wrong with rule files, as a compiler tells it. Reads files, runs nothing.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a verb of the command line prints its result"
)]

use std::fs;
use std::io::{self, IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use serde_json::json;

use crate::model::diagnostic::{Diagnostic, Level};
use crate::plan::{self, Compiled, Limits, render::render};

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
        for path in expand(&self.files)? {
            let (name, source) = read(&path)?;
            let compiled = plan::compile_text(&set_name(&path), &source, &Limits::default());
            checked.push(Checked { name, source, compiled });
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

/// The rule files that the arguments stand for.
fn expand(files: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for path in files {
        if !path.is_dir() {
            found.push(path.clone());
            continue;
        }
        let context = || format!("read directory {}", path.display());
        let entries = fs::read_dir(path).with_context(context)?;
        let mut inside: Vec<PathBuf> = Vec::new();
        for entry in entries {
            let entry = entry.with_context(context)?.path();
            if is_rule_file(&entry) {
                inside.push(entry);
            }
        }
        if inside.is_empty() {
            bail!("no rule files (*.yaml, *.yml, *.json) in {}", path.display());
        }
        inside.sort();
        found.extend(inside);
    }
    Ok(found)
}

fn is_rule_file(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or("");
    let rules = [".yaml", ".yml", ".json"].iter().any(|end| name.ends_with(end));
    rules && !name.ends_with(".test.yaml") && path.is_file()
}

fn read(path: &Path) -> Result<(String, String)> {
    if path.as_os_str() == "-" {
        let mut source = String::new();
        io::stdin().read_to_string(&mut source).context("read rules from standard input")?;
        return Ok(("<stdin>".to_owned(), source));
    }
    let source = fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    Ok((path.display().to_string(), source))
}

/// A set is called as its file.
fn set_name(path: &Path) -> String {
    match path.file_stem().and_then(|stem| stem.to_str()) {
        Some(stem) if stem != "-" => stem.to_owned(),
        _ => "rules".to_owned(),
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
    let rules = checked.iter().map(|file| file.compiled.outcomes.len()).sum();
    let verdict = match (errors, warnings) {
        (0, 0) => "all right".to_owned(),
        (0, _) => count(warnings, "warning"),
        (_, 0) => count(errors, "error"),
        _ => format!("{}, {}", count(errors, "error"), count(warnings, "warning")),
    };
    format!("{}, {}: {verdict}", count(checked.len(), "file"), count(rules, "rule"))
}

fn count(n: usize, noun: &str) -> String {
    format!("{n} {noun}{}", if n == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_its_rule_files() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["b.yaml", "a.json", "b.test.yaml", "notes.txt"] {
            fs::write(dir.path().join(name), "rules: []").unwrap();
        }
        let found = expand(&[dir.path().to_owned()]).unwrap();
        let names: Vec<_> = found.iter().filter_map(|path| path.file_name()?.to_str()).collect();
        assert_eq!(names, ["a.json", "b.yaml"]);
    }

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
