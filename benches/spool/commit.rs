//! P10: transitions become durable a hundred at a time.

use std::path::Path;

use weir::clock::{Clock, spool_time};
use weir::spool::{Commit, Spool};

use crate::bodies::{self, Batch};
use crate::ceiling::{Log, Table};
use crate::figures::Figures;
use crate::options::Options;
use crate::table::{Goal, short};
use crate::{Report, disk};

/// Transitions of a commit.
const BATCH: usize = 100;
/// Rows a second, and bytes written for one of a transition.
const GOAL: (f64, f64) = (37_000.0, 3.5);

/// Bytes that this process has had written to a disk.
pub(crate) fn written() -> u64 {
    io("/proc/self/io")
}

/// The same of another process.
pub(crate) fn written_by(process: u32) -> u64 {
    io(&format!("/proc/{process}/io"))
}

fn io(path: &str) -> u64 {
    let text = std::fs::read_to_string(path).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("write_bytes: "));
    line.and_then(|count| count.parse().ok()).unwrap_or(0)
}

/// Who takes transitions and makes them durable.
enum Contestant {
    /// The spool while the hub is away.
    Waiting(Box<Spool>),
    /// The spool while the hub has each batch before the next.
    Told(Box<Spool>),
    /// The spool with the states of the alerts, as the agent commits them.
    Whole(Box<Spool>),
    /// SQLite with one table.
    Rows(Table),
    /// The same with one row for a batch.
    Blobs(Table),
    /// A file that is appended to.
    Log(Log),
}

impl Contestant {
    const NAMES: [&str; 6] = [
        "spool, hub away",
        "spool, hub there",
        "spool, with the alerts' states",
        "by hand: SQLite, a row each",
        "by hand: SQLite, a row for 100",
        "by hand: append, fdatasync",
    ];

    fn open(which: usize, dir: &Path) -> Self {
        let path = dir.join("file");
        let spool = || Box::new(bodies::spool(&path));
        match which {
            0 => Self::Waiting(spool()),
            1 => Self::Told(spool()),
            2 => Self::Whole(spool()),
            3 => Self::Rows(Table::open(&path)),
            4 => Self::Blobs(Table::open(&path)),
            _ => Self::Log(Log::open(&path)),
        }
    }

    fn take(&mut self, batch: &Batch, commit: &Commit) {
        let bodies = || batch.transitions.iter().map(|one| one.body.as_slice());
        match self {
            Self::Waiting(spool) | Self::Whole(spool) => {
                spool.commit(commit, spool_time()).unwrap();
            }
            Self::Told(spool) => {
                let newest = spool.commit(commit, spool_time()).unwrap();
                spool.forget(newest, &[]).unwrap();
            }
            Self::Rows(table) => table.insert(bodies()),
            Self::Blobs(table) => {
                table.insert(std::iter::once(bodies().flatten().copied().collect::<Vec<u8>>()))
            }
            Self::Log(log) => log.append(bodies()),
        }
    }
}

/// One round of one contestant: rows a second, and bytes written for one of a transition.
fn round(which: usize, batches: &[(Batch, Commit)], warm: usize) -> (f64, f64) {
    let dir = disk();
    let mut contestant = Contestant::open(which, dir.path());
    let (first, rest) = batches.split_at(warm);
    first.iter().for_each(|(batch, commit)| contestant.take(batch, commit));
    let before = written();
    let clock = Clock::start();
    rest.iter().for_each(|(batch, commit)| contestant.take(batch, commit));
    let seconds = clock.uptime().as_secs_f64();
    let payload: u64 = rest.iter().map(|(batch, _)| batch.payload()).sum();
    ((rest.len() * BATCH) as f64 / seconds, (written() - before) as f64 / payload as f64)
}

/// Measures all in turns.
pub(crate) fn run(options: &Options, report: &mut Report) {
    let warm = options.batches / 8;
    let all = bodies::batch((options.batches + warm) * BATCH);
    let cut = |whole: bool| -> Vec<(Batch, Commit)> {
        let parts = all.transitions.chunks(BATCH).zip(all.states.chunks(BATCH));
        let batch = |(transitions, states): (&[_], &[_])| {
            let states = if whole { states.to_vec() } else { Vec::new() };
            let batch = Batch { transitions: transitions.to_vec(), states };
            (batch.clone(), batch.commit())
        };
        parts.map(batch).collect()
    };
    let (plain, whole) = (cut(false), cut(true));
    let mut rounds = vec![(Vec::new(), Vec::new()); Contestant::NAMES.len()];
    for _ in 0..options.rounds {
        for (which, (rates, bytes)) in rounds.iter_mut().enumerate() {
            let batches = if which == 2 { &whole } else { &plain };
            let (rate, written) = round(which, batches, warm);
            rates.push(rate);
            bytes.push(written);
        }
    }
    let median = |mut values: Vec<f64>| {
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    let found: Vec<(f64, f64)> =
        rounds.into_iter().map(|(rates, bytes)| (median(rates), median(bytes))).collect();
    let length = all.payload() as f64 / all.transitions.len() as f64;
    let title = format!(
        "transitions of {length:.0} bytes made durable (synchronous=FULL), {BATCH} in a commit; bytes are those that \
         the process has written to the disk, for one of a transition"
    );
    let mut figures = Figures::new("commit", title, &["who", "rows/s", "of SQLite by hand", "bytes"]);
    for (name, (rate, written)) in Contestant::NAMES.iter().zip(&found) {
        let ratio = format!("{:.2}", rate / found[3].0);
        figures.row([(*name).to_owned(), short(*rate), ratio, format!("{written:.2}")]);
    }
    report.show(figures);
    let (ours, hand) = (found[0], found[3]);
    report.goals.push(Goal {
        name: "P10",
        figure: ours.0,
        unit: "rows/s, batch 100",
        ceiling: Some(hand.0),
        ratio: Some(ours.0 / hand.0),
        goal: format!("≥ {} rows/s; the ceiling is SQLite by hand", GOAL.0),
        met: ours.0 >= GOAL.0,
    });
    report.goals.push(Goal {
        name: "P10b",
        figure: ours.1,
        unit: "× written",
        ceiling: Some(hand.1),
        ratio: Some(ours.1 / hand.1),
        goal: format!("≤ {}", GOAL.1),
        met: ours.1 <= GOAL.1,
    });
}
