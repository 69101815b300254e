//! How much to measure, and of what.

/// What `cargo bench --bench spool -- …` takes.
pub(crate) const USAGE: &str = "\
usage: cargo bench --bench spool -- [--only commit,open,breach,wire,catchup] [--short] [--docs] [--smoke]
  --only LIST   some of the parts: commit (P10), open, breach (P12), wire, catchup
  --short       fewer of everything, and the agent as cargo built it for the bench
  --docs        also writes the figures into docs/performance.md
  --smoke       a few transitions, nothing of worth";

/// How much of everything.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) parts: Vec<String>,
    pub(crate) docs: bool,
    /// Whether the agent is built as a gateway gets it.
    pub(crate) lean: bool,
    /// Batches of a round.
    pub(crate) batches: usize,
    pub(crate) rounds: usize,
    /// Rows of the spool that is opened.
    pub(crate) rows: u64,
    pub(crate) breaches: usize,
    /// Transitions that are told one by one.
    pub(crate) singles: usize,
    /// Transitions of a small backlog, and of a day's.
    pub(crate) backlog: u64,
    pub(crate) day: u64,
}

/// The parts, as `--only` names them.
const PARTS: [&str; 5] = ["commit", "open", "breach", "wire", "catchup"];

impl Options {
    fn full() -> Self {
        Self {
            parts: PARTS.map(str::to_owned).to_vec(),
            docs: false,
            lean: true,
            batches: 400,
            rounds: 9,
            rows: 1_000_000,
            breaches: 300,
            singles: 200,
            backlog: 10_000,
            day: 100_000,
        }
    }

    fn short() -> Self {
        Self {
            lean: false,
            batches: 200,
            rounds: 3,
            rows: 100_000,
            breaches: 60,
            singles: 40,
            backlog: 2_000,
            day: 20_000,
            ..Self::full()
        }
    }

    /// Everything once, small.
    pub(crate) fn smoke() -> Self {
        Self {
            lean: false,
            batches: 3,
            rounds: 1,
            rows: 300,
            breaches: 3,
            singles: 3,
            backlog: 40,
            day: 100,
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

    /// Whether a part needs the agent's program.
    pub(crate) fn has_programs(&self) -> bool {
        self.parts.iter().any(|part| ["breach", "wire", "catchup"].contains(&part.as_str()))
    }
}
