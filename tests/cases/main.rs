//! Data-driven cases: every file under a folder here is a test of that folder's kind. Adding one
//! needs no recompilation; `UPDATE=1` writes what is found in the place of what is expected.

mod alert;
mod error;
mod sql;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};

/// A kind of case: the folder, and what runs one file of it. The runner gives the file's text as
/// it should be.
type Kind = (&'static str, fn(&Path, &str) -> Result<String, Failed>);

const KINDS: &[Kind] = &[("error", error::run)];

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let mut trials = Vec::new();
    for (kind, runner) in KINDS {
        for path in files(&root.join(kind)) {
            let stem = path.file_stem().unwrap_or_default().to_string_lossy();
            let name = format!("{kind}/{stem}");
            trials.push(Trial::test(name, move || case(&path, *runner)));
        }
    }
    trials.extend(sql::trials(&root.join("sql")));
    trials.extend(sql::trials(&Path::new(env!("CARGO_MANIFEST_DIR")).join("docs")));
    trials.extend(alert::trials("alert", &root.join("alert")));
    trials.extend(alert::trials("rules", &Path::new(env!("CARGO_MANIFEST_DIR")).join("rules")));
    trials.extend(alert::command());
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut found: Vec<PathBuf> =
        entries.flatten().map(|entry| entry.path()).filter(|path| path.is_file()).collect();
    found.sort();
    found
}

fn case(path: &Path, runner: fn(&Path, &str) -> Result<String, Failed>) -> Result<(), Failed> {
    let written = fs::read_to_string(path)?;
    let right = runner(path, &written)?;
    if written == right {
        return Ok(());
    }
    if std::env::var_os("UPDATE").is_some() {
        return Ok(fs::write(path, right)?);
    }
    Err(format!("{} is not as expected; found:\n{right}\n(UPDATE=1 writes it into the file)", path.display())
        .into())
}
