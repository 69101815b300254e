//! What the hub keeps: agents, rule sets, transitions, alerts, reports, and how far each egress
//! target is, in one SQLite file that a thread of its own owns.
//!
//! Invariants:
//! * A transition is stored once per (agent, epoch, seq), in one transaction with the alert state
//!   it leads to and with what is settled of its epoch. An ack is sent only after that commit.
//! * What is settled of an epoch, the floor in `epochs` and the ranges beyond it in `settled`, only grows. What is
//!   settled and not in `transitions` is in `gaps`.
//! * An alert is in the state of its transition with the greatest seq of its agent's youngest epoch, not of the last
//!   that came.
//! * What the hub repairs itself by is a transition too, of the epoch `hub`.
//! * `transitions.id` rises in the order of commit, so that everyone who reads "after id n" sees
//!   everything, once, and has no holes, so that a difference of ids is a number of transitions: the event stream and each egress target.
//! * The outbox of a target is its cursor over `transitions`: a cursor moves in the same
//!   transaction that counts the delivery or keeps the dead letter.
//! * A rule set's revision only rises, also across a deletion. Items are kept by their hash, so
//!   that a delta can be made against any revision that ever was.
//! * The file opens after any crash (WAL, `synchronous=FULL`). Migrations are only ever appended.
//!
//! All commands that wait are carried out in one transaction, each in a savepoint of its own, and
//! are answered after the commit: many agents share one fsync, and a command that fails undoes
//! only itself.

pub mod agents;
pub mod arrival;
pub mod epochs;
pub mod gaps;
pub mod incidents;
pub mod outbox;
pub mod reconcile;
pub mod rulesets;
mod schema;
pub mod tallies;
pub mod transitions;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use rusqlite::{Connection, ErrorCode, Row, TransactionBehavior};
use tokio::sync::{mpsc, oneshot};

use crate::tasks;

/// How many commands may wait: enough that a commit's time fills the next group.
const WAITING: usize = 256;
/// How many commands share a commit. More would only lengthen the wait of the first.
const GROUP: usize = 128;

/// Why the store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be used.
    #[error("open the hub's database {path}: {source}; {}", way_out(source))]
    Open {
        /// The file.
        path: PathBuf,
        /// What SQLite says.
        source: rusqlite::Error,
    },
    /// The file is of a younger program.
    #[error(
        "the hub's database {path} has version {found}, and this program knows {known}; run the weir-hub that wrote it, or a younger one"
    )]
    Younger {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// The version that this program makes.
        known: u32,
    },
    /// A statement failed.
    #[error("use the hub's database: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// The commit failed: nothing of the group was stored.
    #[error("commit to the hub's database: {0}; is the disk full?")]
    Commit(String),
    /// A stored record cannot be read.
    #[error("read a stored record: {0}")]
    Record(#[from] serde_json::Error),
    /// There is no thread to be had.
    #[error("start the database thread: {0}")]
    Thread(std::io::Error),
    /// The database thread has ended.
    #[error("the hub's database is closed")]
    Closed,
}

/// What a person can do about a file that cannot be used.
fn way_out(error: &rusqlite::Error) -> &'static str {
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => "another weir-hub uses this directory",
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            "it is damaged: put a backup in its place, or move it away to start anew, and check the disk"
        }
        _ => "check that the directory exists and the hub may write there, and that the disk is not full",
    }
}

/// A handle on the store; cheap to clone. The thread ends when the last one is dropped.
#[derive(Clone, Debug)]
pub struct Store {
    jobs: mpsc::Sender<Job>,
    health: Arc<Health>,
}

/// Whether the store can write.
#[derive(Debug, Default)]
pub struct Health {
    failing: AtomicBool,
    failures: AtomicU64,
}

impl Health {
    /// Whether the last attempt to write failed.
    pub fn is_failing(&self) -> bool {
        self.failing.load(Ordering::Relaxed)
    }

    /// How many transactions failed since the start; nothing of them was acknowledged.
    pub fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    /// Says once that it fails, and once that it does no longer.
    fn note(&self, failed: Option<&str>, wrote: bool) {
        if let Some(why) = failed {
            self.failures.fetch_add(1, Ordering::Relaxed);
            if !self.failing.swap(true, Ordering::Relaxed) {
                tracing::error!(
                    why,
                    "cannot write to the hub's database; agents keep what they have until that is over: check the disk"
                );
            }
        } else if wrote && self.failing.swap(false, Ordering::Relaxed) {
            tracing::info!("the hub's database can be written to again");
        }
    }
}

/// Is given the database, or nothing where its group failed before its turn.
type Job = Box<dyn FnOnce(Option<&Connection>) -> Answer + Send>;

struct Answer {
    /// Whether what the command wrote stays.
    keep: bool,
    /// What the database said, where it is what failed.
    fault: Option<String>,
    /// Tells the caller; takes why the commit failed, if it did.
    tell: Box<dyn FnOnce(Option<String>)>,
}

impl Store {
    /// Opens or creates the file, brings it up to date, and starts its thread.
    ///
    /// # Errors
    /// Where the file cannot be opened, is of a younger program, or is in use.
    pub fn open(path: &Path) -> Result<(Self, thread::JoinHandle<()>), Error> {
        let mut db = schema::open(path)?;
        let (jobs, mut waiting) = mpsc::channel::<Job>(WAITING);
        let health = Arc::new(Health::default());
        let patient = Arc::clone(&health);
        let thread = tasks::thread("hub-store", move || {
            while let Some(first) = waiting.blocking_recv() {
                let mut group = vec![first];
                while group.len() < GROUP
                    && let Ok(next) = waiting.try_recv()
                {
                    group.push(next);
                }
                carry_out(&mut db, group, &patient);
            }
        })
        .map_err(Error::Thread)?;
        Ok((Self { jobs, health }, thread))
    }

    /// Carries out a command on the database's thread and returns once it is committed. When the
    /// command returns an error, what it wrote is undone.
    ///
    /// # Errors
    /// Those of the command and of the commit.
    pub async fn call<T: Send + 'static>(
        &self,
        command: impl FnOnce(&Connection) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        self.call_then(command, |_| ()).await
    }

    /// As [`Store::call`]; once it is committed, `then` runs on the database's thread, in the
    /// order of the commits, whether or not the caller still waits. It must not block.
    ///
    /// # Errors
    /// Those of the command and of the commit; `then` does not run after an error.
    pub async fn call_then<T: Send + 'static>(
        &self,
        command: impl FnOnce(&Connection) -> Result<T, Error> + Send + 'static,
        then: impl FnOnce(&T) + Send + 'static,
    ) -> Result<T, Error> {
        let (reply, answer) = oneshot::channel();
        let job: Job = Box::new(move |db| {
            let outcome = db.map(command);
            let keep = matches!(outcome, Some(Ok(_)));
            let fault = match &outcome {
                Some(Err(Error::Sqlite(error))) => Some(error.to_string()),
                _ => None,
            };
            let tell = Box::new(move |failed: Option<String>| {
                let outcome = match (outcome, failed) {
                    (Some(outcome), None) => outcome.inspect(then),
                    (Some(outcome), Some(why)) => outcome.and(Err(Error::Commit(why))),
                    (None, why) => Err(Error::Commit(why.unwrap_or_default())),
                };
                // The caller may have gone; what it asked for is done all the same.
                drop(reply.send(outcome));
            });
            Answer { keep, fault, tell }
        });
        self.jobs.send(job).await.map_err(|_| Error::Closed)?;
        answer.await.map_err(|_| Error::Closed)?
    }

    /// Whether it can write.
    pub fn health(&self) -> &Health {
        &self.health
    }

    /// Returns when the thread has ended, which it does of itself only by a panic. Cancel-safe.
    pub async fn ended(&self) {
        self.jobs.closed().await;
    }
}

/// An unsigned number of a row; SQLite's own are signed.
fn unsigned(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    Ok(u64::try_from(row.get::<_, i64>(column)?).unwrap_or(0))
}

fn carry_out(db: &mut Connection, group: Vec<Job>, health: &Health) {
    let mut answers = Vec::with_capacity(group.len());
    let mut group = group.into_iter();
    let before = db.total_changes();
    let failed = commit_group(db, &mut group, &mut answers).err().map(|error| error.to_string());
    let fault = answers.iter().find_map(|answer| answer.fault.as_deref());
    health.note(failed.as_deref().or(fault), db.total_changes() > before);
    // Those whose turn did not come hear why as well.
    answers.extend(group.map(|job| job(None)));
    for answer in answers {
        (answer.tell)(failed.clone());
    }
}

fn commit_group(
    db: &mut Connection,
    group: &mut impl Iterator<Item = Job>,
    answers: &mut Vec<Answer>,
) -> rusqlite::Result<()> {
    let mut transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for job in group {
        let savepoint = transaction.savepoint()?;
        let answer = job(Some(&savepoint));
        let keep = answer.keep;
        answers.push(answer);
        if keep {
            savepoint.commit()?;
        } else {
            savepoint.finish()?;
        }
    }
    transaction.commit()
}

#[cfg(test)]
mod tests;
