//! The goals with what was measured: one table, and `target/weir-bench.json` behind it.
//!
//! Several benches write into the file, each its own goals; what others wrote stays.

use std::fmt::Write;
use std::path::PathBuf;

use serde_json::{Map, Value as Json, json};

/// What was measured for one goal.
#[derive(Clone, Debug)]
pub(crate) struct Goal {
    pub(crate) name: &'static str,
    pub(crate) figure: f64,
    pub(crate) unit: &'static str,
    /// The figure of what does only the unavoidable work.
    pub(crate) ceiling: Option<f64>,
    /// The figure as a multiple of the ceiling.
    pub(crate) ratio: Option<f64>,
    /// What was to be reached, in words.
    pub(crate) goal: String,
    pub(crate) met: bool,
}

impl Goal {
    fn json(&self) -> Json {
        let Self { figure, unit, ceiling, ratio, goal, met, .. } = self;
        json!({ "figure": figure, "unit": unit, "ceiling": ceiling, "ratio": ratio, "goal": goal, "met": met })
    }
}

fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/weir-bench.json")
}

/// All that benches wrote so far.
fn read() -> Map<String, Json> {
    let text = std::fs::read(path()).unwrap_or_default();
    serde_json::from_slice(&text).unwrap_or_default()
}

/// Puts these goals into the file.
///
/// # Errors
/// Where it cannot be written.
pub(crate) fn merge(goals: &[Goal]) -> std::io::Result<()> {
    let mut all = read();
    for goal in goals {
        all.insert(goal.name.to_owned(), goal.json());
    }
    all.sort_keys();
    std::fs::write(path(), format!("{:#}\n", Json::Object(all)))
}

/// The table of all goals in the file.
pub(crate) fn table() -> String {
    let all = read();
    let mut out = String::new();
    let number = |goal: &Json, name: &str| match goal[name].as_f64() {
        Some(number) => short(number),
        None => "–".to_owned(),
    };
    writeln!(out, "{:<6}{:>11} {:<24}{:>11}{:>9}  {:<8}goal", "", "figure", "unit", "ceiling", "ratio", "")
        .unwrap();
    for (name, goal) in &all {
        let text = |part: &str| goal[part].as_str().unwrap_or("");
        writeln!(
            out,
            "{name:<6}{:>11} {:<24}{:>11}{:>9}  {:<8}{}",
            number(goal, "figure"),
            text("unit"),
            number(goal, "ceiling"),
            number(goal, "ratio"),
            if goal["met"] == json!(true) { "met" } else { "NOT MET" },
            text("goal"),
        )
        .unwrap();
    }
    write!(out, "as JSON: {}", path().display()).unwrap();
    out
}

/// A number in about three digits.
pub(crate) fn short(number: f64) -> String {
    match number.abs() {
        0.0 => "0".to_owned(),
        ..0.1 => format!("{number:.4}"),
        ..10.0 => format!("{number:.2}"),
        ..100.0 => format!("{number:.1}"),
        _ => format!("{number:.0}"),
    }
}
