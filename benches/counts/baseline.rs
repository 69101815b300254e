//! The committed counts: what a run may not exceed by more than a twentieth.
//!
//! They lie in `baseline.json` beside this file, for a fresh clone has nothing else to compare with. A
//! count depends on the compiler, so the file names the one it was made with.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value as Json, json};

/// How much more than the baseline fails, in hundredths.
const TOLERATED: u64 = 5;

fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("baseline.json")
}

fn read() -> Map<String, Json> {
    let text = std::fs::read(path()).unwrap_or_default();
    serde_json::from_slice(&text).unwrap_or_default()
}

/// Whether the counts are to be taken as they are: `UPDATE=1`.
pub fn is_update() -> bool {
    std::env::var("UPDATE").is_ok_and(|value| value == "1")
}

/// The most instructions that a benchmark may take; `None` where it has no baseline, or is to get one.
pub fn most(name: &str) -> Option<u64> {
    let known = read().get(name).and_then(Json::as_u64).filter(|_| !is_update())?;
    Some(known + known * TOLERATED / 100)
}

/// Tells what gungraun counted beside the baseline, or writes it as the baseline. Each benchmark comes with
/// the directory of its summary.
///
/// # Errors
/// Where there is no count, or the file cannot be written.
pub fn conclude(benchmarks: &[(&str, PathBuf)]) -> Result<String, String> {
    let before = read();
    let mut after = Map::new();
    let mut told = String::new();
    for (name, directory) in benchmarks {
        let count = counted(directory).ok_or_else(|| {
            format!("{}: gungraun left no count; does it save a summary?", directory.display())
        })?;
        let change = match before.get(*name).and_then(Json::as_f64) {
            Some(known) => format!("{:+.2} % against the baseline", 100.0 * (count as f64 / known - 1.0)),
            None => "without a baseline".to_owned(),
        };
        told.push_str(&format!("{name:<14}{count:>12} instructions, {change}\n"));
        after.insert((*name).to_owned(), json!(count));
    }
    let compiler = json!(compiler());
    if before.get("compiler").is_some_and(|known| *known != compiler) {
        told.push_str(&format!("the baseline is of {}; this is {compiler}\n", before["compiler"]));
    }
    after.insert("compiler".to_owned(), compiler);
    if is_update() {
        let text = format!("{:#}\n", Json::Object(after));
        std::fs::write(path(), text).map_err(|error| format!("{}: {error}", path().display()))?;
        told.push_str(&format!("written: {}\n", path().display()));
    }
    Ok(told)
}

/// What gungraun's summary says of the whole run: its own count, beside that of the run before.
fn counted(directory: &Path) -> Option<u64> {
    let summary: Json = serde_json::from_slice(&std::fs::read(directory.join("summary.json")).ok()?).ok()?;
    let count = ["total", "Ir", "new"].iter().try_fold(&summary, |json, name| find(json, name))?;
    count.as_u64()
}

/// The member of this name, however deep it lies.
fn find<'a>(json: &'a Json, name: &str) -> Option<&'a Json> {
    match json {
        Json::Object(members) => {
            members.get(name).or_else(|| members.values().find_map(|member| find(member, name)))
        }
        Json::Array(list) => list.iter().find_map(|member| find(member, name)),
        _ => None,
    }
}

fn compiler() -> String {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let said = std::process::Command::new(rustc).arg("--version").output();
    said.map(|said| String::from_utf8_lossy(&said.stdout).trim().to_owned()).unwrap_or_default()
}
