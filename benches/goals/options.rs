//! How much to measure, and of what.

use crate::timing::Effort;
use crate::workload::SIZES;

/// What `cargo bench --bench goals -- …` takes.
pub(crate) const USAGE: &str = "\
usage: cargo bench --bench goals -- [--only engine,windows,json,change] [--short] [--docs] [--table] [--smoke]
  --only LIST   some of the parts: engine (P1, P2, P3), windows (P4), json (P5), change (P9)
  --short       fewer sizes and rounds
  --docs        also writes the figures into docs/performance.md
  --table       measures nothing; prints the table of what benches measured before
  --smoke       a few events, nothing of worth";

/// How much of everything.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) parts: Vec<String>,
    pub(crate) table: bool,
    pub(crate) docs: bool,
    pub(crate) sizes: Vec<usize>,
    pub(crate) window_sizes: Vec<usize>,
    pub(crate) hopping_slices: Vec<usize>,
    pub(crate) events: usize,
    pub(crate) rounds: usize,
    pub(crate) budget_ns: u64,
    pub(crate) loads: usize,
    pub(crate) swaps: usize,
    pub(crate) stall_minutes: usize,
}

/// The parts, as `--only` names them.
const PARTS: [&str; 4] = ["json", "engine", "windows", "change"];

impl Options {
    fn full() -> Self {
        Self {
            parts: PARTS.map(str::to_owned).to_vec(),
            table: false,
            docs: false,
            sizes: SIZES.to_vec(),
            window_sizes: vec![20, 300, 1_000, 8_000],
            hopping_slices: vec![60, 600, 3_600],
            events: 16_384,
            rounds: 9,
            budget_ns: 40_000_000,
            loads: 5,
            swaps: 100,
            stall_minutes: 12,
        }
    }

    fn short() -> Self {
        Self {
            sizes: vec![1, 10_000, 100_000],
            window_sizes: vec![20, 8_000],
            rounds: 5,
            swaps: 20,
            loads: 3,
            ..Self::full()
        }
    }

    /// Everything once, small.
    pub(crate) fn smoke() -> Self {
        Self {
            sizes: vec![1, 20],
            window_sizes: vec![3, 6],
            hopping_slices: vec![20],
            events: 50,
            rounds: 1,
            budget_ns: 10_000_000,
            loads: 1,
            swaps: 2,
            stall_minutes: 1,
            ..Self::full()
        }
    }

    pub(crate) fn of(args: &[String]) -> Result<Self, String> {
        let mut options = if args.iter().any(|arg| arg == "--short") { Self::short() } else { Self::full() };
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            match arg.as_str() {
                // The first is Cargo's own.
                "--bench" | "--short" => {}
                "--table" => options.table = true,
                "--docs" => options.docs = true,
                "--only" => {
                    let list = args.next().ok_or("--only needs a list of parts")?;
                    options.parts = list.split(',').map(str::to_owned).collect();
                    if let Some(other) = options.parts.iter().find(|part| !PARTS.contains(&part.as_str())) {
                        return Err(format!("`{other}` is no part"));
                    }
                }
                other => return Err(format!("`{other}` is not known")),
            }
        }
        Ok(options)
    }

    /// The size that most goals name: 10,000 where that is measured.
    pub(crate) fn most_named(&self) -> usize {
        let named = |size: &&usize| **size <= 10_000;
        self.sizes.iter().rev().find(named).copied().unwrap_or(1)
    }

    pub(crate) fn effort(&self) -> Effort {
        Effort { events: self.events, rounds: self.rounds, budget_ns: self.budget_ns }
    }

    /// A round of windows is one in which each of them ends once.
    pub(crate) fn window_effort(&self) -> Effort {
        let events = self.events.max(crate::workload::WINDOW_ROUND);
        Effort { events, budget_ns: self.budget_ns * 4, ..self.effort() }
    }
}
