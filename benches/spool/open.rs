//! What it takes to open a spool with a large backlog: time, and memory beyond that of a program that does nothing.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use weir::clock::{Clock, spool_time};
use weir::model::kept::Lane;
use weir::model::ranges::Ranges;

use crate::bodies;
use crate::ceiling::Table;
use crate::figures::Figures;
use crate::options::Options;
use crate::process::Process;
use crate::table::short;
use crate::{Report, disk};

/// The argument that makes this program open a file, say what it took, and end.
const FLAG: &str = "--open";
/// Transitions of a commit while the file is made.
const BATCH: usize = 1_000;

/// Who opens, and which file.
pub(crate) struct Request {
    hand: bool,
    path: PathBuf,
}

impl Request {
    pub(crate) fn of(args: &[String]) -> Option<Self> {
        match args {
            [flag, who, path] if flag == FLAG => Some(Self { hand: who == "hand", path: path.into() }),
            _ => None,
        }
    }
}

/// In a process of its own: microseconds to open, microseconds to the first page, bytes of memory that it took.
pub(crate) fn alone(request: &Request) -> ExitCode {
    let me = Process(std::process::id());
    let before = me.memory();
    let clock = Clock::start();
    let (opened, kept) = if request.hand {
        let table = Table::open(&request.path);
        assert!(table.newest() > 0);
        (clock.uptime(), Opened::Hand(table))
    } else {
        let spool = bodies::spool(&request.path);
        assert!(spool.stats(spool_time()).waiting > 0);
        (clock.uptime(), Opened::Spool(Box::new(spool)))
    };
    let rows = match &kept {
        Opened::Hand(table) => table.page(0, 100).len(),
        Opened::Spool(spool) => {
            spool.peek(Lane::Rest, &Ranges::default(), u64::MAX, 100, 1 << 20).unwrap().len()
        }
    };
    let first = clock.uptime();
    let after = me.memory();
    assert!(rows > 0);
    println!(
        "{} {} {}",
        opened.as_micros(),
        first.as_micros(),
        after.peak_bytes.saturating_sub(before.resident_bytes)
    );
    ExitCode::SUCCESS
}

enum Opened {
    Hand(Table),
    Spool(Box<weir::spool::Spool>),
}

/// Makes both files, and opens them.
pub(crate) fn run(options: &Options, report: &mut Report) {
    let dir = disk();
    let (spool, table) = (dir.path().join("spool"), dir.path().join("table"));
    fill(&spool, &table, options.rows);
    let title = format!(
        "a spool with {} rows that wait ({} MB) is opened; memory is what the process took for it at most",
        options.rows,
        std::fs::metadata(&spool).unwrap().len() / 1_000_000
    );
    let mut figures = Figures::new("open", title, &["who", "ms", "ms to the first page", "MB"]);
    for (name, who, path) in [("spool", "spool", &spool), ("by hand: SQLite, max(seq)", "hand", &table)] {
        let mut runs: Vec<[f64; 3]> = (0..options.rounds.max(3)).map(|_| ask(who, path)).collect();
        runs.sort_by(|a, b| a[0].total_cmp(&b[0]));
        let [opened, first, bytes] = runs[runs.len() / 2];
        figures.row([name.to_owned(), short(opened / 1e3), short(first / 1e3), short(bytes / 1e6)]);
    }
    report.show(figures);
}

fn fill(spool: &Path, table: &Path, rows: u64) {
    let all = bodies::batch(BATCH);
    let bodies: Vec<Vec<u8>> = all.transitions.iter().map(|one| one.body.clone()).collect();
    let commit = bodies::Batch { states: Vec::new(), ..all }.commit();
    let (mut spool, mut table) = (bodies::spool(spool), Table::open(table));
    for _ in 0..rows.div_ceil(BATCH as u64) {
        spool.commit(&commit, spool_time()).unwrap();
        table.insert(bodies.iter());
    }
}

/// Opens it in a process of its own.
fn ask(who: &str, path: &Path) -> [f64; 3] {
    let me = std::env::current_exe().unwrap();
    let output = Command::new(me).args([FLAG, who]).arg(path).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let numbers: Vec<f64> = said.split_whitespace().map(|number| number.parse().unwrap()).collect();
    numbers.try_into().unwrap_or_else(|_| panic!("{said}{}", String::from_utf8_lossy(&output.stderr)))
}
