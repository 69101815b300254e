//! Test files on disk, with the rules that stand beside them. The one file here that does I/O.

use std::fs;
use std::path::{Path, PathBuf};

use crate::control::{Admitted, directory};
use crate::model::diagnostic::Diagnostic;

use super::{Rules, Suite, admit};

/// How the name of a test file ends.
pub const TEST_SUFFIX: &str = ".test.yaml";

/// A test file, read, with its rules compiled.
#[derive(Clone, Debug)]
pub struct Opened {
    /// Its text.
    pub text: String,
    /// Its cases.
    pub suite: Suite,
    /// The file of its rules; `None` where they stand in the test file.
    pub pack: Option<PathBuf>,
    /// The rules.
    pub rules: Admitted,
}

/// Why a test file cannot be run.
#[derive(Clone, Debug)]
pub enum Refusal {
    /// A sentence says it.
    Unreadable(String),
    /// Its rules do not compile.
    Rules {
        /// What the rules' file is called.
        file: String,
        /// Its text.
        text: String,
        /// All that is wrong with it.
        diagnostics: Vec<Diagnostic>,
    },
}

/// Reads a test file and the rules it names.
///
/// # Errors
/// What cannot be read or does not compile.
pub fn open(path: &Path) -> Result<Opened, Refusal> {
    let text = read(path)?;
    let suite = Suite::parse(&text).map_err(Refusal::Unreadable)?;
    let (pack, name, rules) = match &suite.rules {
        Rules::Text(rules) => {
            let name = path
                .file_name()
                .and_then(|name| name.to_str())
                .unwrap_or("rules");
            (
                None,
                name.trim_end_matches(TEST_SUFFIX).into(),
                rules.clone(),
            )
        }
        Rules::File(file) => {
            let file = path.parent().unwrap_or_else(|| Path::new("")).join(file);
            let name = directory::set_name(&file).ok_or_else(|| {
                Refusal::Unreadable(format!(
                    "{} is no rule file: its name must end in .yaml, .yml or .json",
                    file.display()
                ))
            })?;
            let rules = read(&file)?;
            (Some(file), name, rules)
        }
    };
    match admit(&name, &rules) {
        Ok(admitted) => Ok(Opened {
            text,
            suite,
            pack,
            rules: admitted,
        }),
        Err(diagnostics) => {
            let file = pack.map_or_else(
                || format!("{} (ruleset)", path.display()),
                |file| file.display().to_string(),
            );
            Err(Refusal::Rules {
                file,
                text: rules,
                diagnostics,
            })
        }
    }
}

/// The test files under a folder, with those of its folders, in the order of their names.
///
/// # Errors
/// A folder that cannot be read.
pub fn test_files(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let failed = |e: std::io::Error| format!("read the folder {}: {e}", folder.display());
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.is_dir() {
            found.extend(test_files(&path)?);
        } else if path
            .to_str()
            .is_some_and(|name| name.ends_with(TEST_SUFFIX))
        {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

fn read(path: &Path) -> Result<String, Refusal> {
    fs::read_to_string(path)
        .map_err(|e| Refusal::Unreadable(format!("read {}: {e}", path.display())))
}
