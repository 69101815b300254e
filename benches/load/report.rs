//! The figures as JSON: every load in a file of its own, the goals in the one that all benchmarks share.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value as Json, json};

use super::cell::Cell;

/// A goal, and what became of it.
pub(crate) struct Goal {
    pub(crate) name: &'static str,
    pub(crate) figure: f64,
    pub(crate) unit: &'static str,
    pub(crate) ceiling: Option<f64>,
    pub(crate) goal: String,
    pub(crate) met: bool,
}

impl Goal {
    pub(crate) fn line(&self) -> String {
        let beside = self.ceiling.map_or(String::new(), |ceiling| {
            format!(" (ceiling {ceiling:.3}, ratio {:.2})", self.figure / ceiling)
        });
        let met = if self.met { "met" } else { "not met" };
        format!("{:<12} {:.3} {}{beside}: {met}; goal {}", self.name, self.figure, self.unit, self.goal)
    }

    fn json(&self) -> Json {
        json!({
            "figure": self.figure, "unit": self.unit, "ceiling": self.ceiling,
            "ratio": self.ceiling.map(|ceiling| self.figure / ceiling), "goal": self.goal, "met": self.met,
        })
    }
}

/// Everything that was measured.
#[derive(Default)]
pub(crate) struct Report {
    pub(crate) cells: Vec<Cell>,
    pub(crate) goals: Vec<Goal>,
    pub(crate) push: Option<Json>,
    /// What was lost where the broker delivered.
    pub(crate) losses: Vec<String>,
}

impl Report {
    /// Takes note of a load, and prints its line.
    pub(crate) fn add(&mut self, cell: Cell) {
        println!("{}", cell.line());
        if !cell.behind && cell.lost() != 0 {
            self.losses.push(cell.line());
        }
        self.cells.push(cell);
    }

    pub(crate) fn goal(&mut self, goal: Goal) {
        println!("{}", goal.line());
        self.goals.push(goal);
    }

    /// Writes `weir-load.json`, or `weir-load-caged.json` where the program was held to less than the machine has, and puts the goals into `weir-bench.json` beside those of others.
    pub(crate) fn write(&self, caged: bool) -> std::io::Result<()> {
        let target =
            |name: &str| -> PathBuf { Path::new(env!("CARGO_MANIFEST_DIR")).join("target").join(name) };
        let cells: Vec<Json> = self.cells.iter().map(Cell::json).collect();
        let all = json!({"cells": cells, "push": self.push});
        let own = if caged { "weir-load-caged.json" } else { "weir-load.json" };
        std::fs::write(target(own), format!("{all:#}\n"))?;
        let shared = target("weir-bench.json");
        let kept =
            std::fs::read(&shared).ok().and_then(|text| serde_json::from_slice::<Map<_, _>>(&text).ok());
        let mut goals = kept.unwrap_or_default();
        goals.extend(self.goals.iter().map(|goal| (goal.name.to_owned(), goal.json())));
        std::fs::write(shared, format!("{:#}\n", Json::Object(goals)))
    }
}
