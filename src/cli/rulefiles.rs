//! Rule files as the command line names them: files, directories, standard input.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::control::directory;

/// A rule file that was read.
pub(super) struct RuleFile {
    /// What diagnostics call it.
    pub(super) shown: String,
    /// The name of its set.
    pub(super) set: String,
    /// What it says.
    pub(super) text: String,
}

/// Reads what the arguments stand for: a directory is all its rule files, `-` is standard input.
///
/// # Errors
/// What cannot be read, and a directory without rule files.
pub(super) fn read(arguments: &[PathBuf]) -> Result<Vec<RuleFile>> {
    expand(arguments)?.iter().map(|path| one(path)).collect()
}

/// The rule files that the arguments stand for.
fn expand(arguments: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for path in arguments {
        if !path.is_dir() {
            found.push(path.clone());
            continue;
        }
        let context = || format!("read directory {}", path.display());
        let entries = fs::read_dir(path).with_context(context)?;
        let mut inside: Vec<PathBuf> = Vec::new();
        for entry in entries {
            let entry = entry.with_context(context)?.path();
            if directory::set_name(&entry).is_some() && entry.is_file() {
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

/// Reads one file; a set is called as its file.
fn one(path: &Path) -> Result<RuleFile> {
    if path.as_os_str() == "-" {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).context("read rules from standard input")?;
        return Ok(RuleFile { shown: "<stdin>".to_owned(), set: "rules".to_owned(), text });
    }
    let text = fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    let set = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or("rules").to_owned();
    Ok(RuleFile { shown: path.display().to_string(), set, text })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_its_rule_files() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["b.yaml", "a.json", "b.test.yaml", ".c.yaml", "notes.txt"] {
            fs::write(dir.path().join(name), "rules: []").unwrap();
        }
        let names: Vec<_> =
            read(&[dir.path().to_owned()]).unwrap().into_iter().map(|file| file.set).collect();
        assert_eq!(names, ["a", "b"]);
    }
}
