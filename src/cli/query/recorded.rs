//! A query over a recording, whose own times stand in the place of the clock.
#![expect(clippy::print_stderr, reason = "a verb of the command line tells what is wrong")]

use std::io;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::sync::mpsc::{self, Receiver, error::TryRecvError};
use tokio::time::{sleep, timeout};

use crate::cli::signal::stop_on_signal;
use crate::ingest::replay::{Options, Pace, Record, Recording, ReplayError};
use crate::model::time::Timestamp;
use crate::plan::logical::Plan;
use crate::tasks::{self, Stop};

use super::Recorded;
use super::pipeline::Pipeline;
use super::rows::Printer;

/// Rows are printed in runs of this many while the recording gives more: a run is as wide as its
/// widest row.
const RUN: usize = 200;

/// Rows wait no longer than this for more of their run.
const PATIENCE: Duration = Duration::from_millis(50);

/// Records that are read ahead.
const AHEAD: usize = 256;

/// Bad lines that are told one by one.
const TOLD: u64 = 3;

/// Runs the query over the recording.
///
/// # Errors
/// A recording that cannot be opened, output that cannot be written.
pub(super) fn run(options: &Recorded, plan: &Plan, pipeline: Pipeline, printer: Printer) -> Result<ExitCode> {
    let recording = open(options, plan)?;
    let (send, records) = mpsc::channel(AHEAD);
    // A thread of its own: a read from a terminal or a pipe may block for ever, and must not keep the
    // program from ending. It ends with the process.
    drop(tasks::thread("recording", move || {
        for record in recording {
            if send.blocking_send(record).is_err() {
                return;
            }
        }
    })?);
    let mut query =
        Query { records, pipeline, printer, pace: options.pace, out: Vec::new(), previous: None, bad: 0 };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let stop = stop_on_signal().context("listen to signals")?;
        query.run(&stop).await
    })?;
    if query.bad > 0 {
        eprintln!("weir: {} lines of the recording could not be read", query.bad);
    }
    for line in query.pipeline.counts(query.printer.given()) {
        eprintln!("weir: {line}");
    }
    Ok(if query.bad > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

struct Query {
    records: Receiver<Result<Record, ReplayError>>,
    pipeline: Pipeline,
    printer: Printer,
    pace: Pace,
    out: Vec<crate::model::row::Observation>,
    previous: Option<Timestamp>,
    bad: u64,
}

/// What comes next of a recording.
enum Next {
    Record(Result<Record, ReplayError>),
    /// Nothing for a while.
    Pause,
    End,
    Stopped,
}

impl Query {
    async fn run(&mut self, stop: &Stop) -> Result<()> {
        loop {
            let wanted = match self.next(stop).await {
                Next::Record(Ok(record)) => self.record(&record, stop).await?,
                Next::Record(Err(error)) => {
                    self.bad_line(&error);
                    true
                }
                Next::Pause => self.print()?,
                Next::Stopped => return self.print().map(drop),
                Next::End => {
                    if self.print()? {
                        self.pipeline.close(&mut self.out);
                        self.print()?;
                    }
                    return Ok(());
                }
            };
            if !wanted {
                return Ok(());
            }
        }
    }

    async fn next(&mut self, stop: &Stop) -> Next {
        if stop.is_stopped() {
            return Next::Stopped;
        }
        match self.records.try_recv() {
            Ok(record) => return Next::Record(record),
            Err(TryRecvError::Disconnected) => return Next::End,
            Err(TryRecvError::Empty) => {}
        }
        let wait = if self.out.is_empty() { Duration::MAX } else { PATIENCE };
        tokio::select! {
            () = stop.stopped() => Next::Stopped,
            got = timeout(wait, self.records.recv()) => match got {
                Ok(Some(record)) => Next::Record(record),
                Ok(None) => Next::End,
                Err(_) => Next::Pause,
            },
        }
    }

    /// Takes a record at its time. False when no more rows are wanted.
    async fn record(&mut self, record: &Record, stop: &Stop) -> Result<bool> {
        if let (Some(before), Some(at)) = (self.previous, record.recorded) {
            let wait = self.pace.delay(before, at);
            if wait > Duration::ZERO {
                if !self.print()? {
                    return Ok(false);
                }
                tokio::select! {
                    () = stop.stopped() => {}
                    () = sleep(wait) => {}
                }
            }
        }
        self.previous = record.recorded.or(self.previous);
        self.pipeline.replayed(&record.message, &mut self.out);
        if self.out.len() >= RUN { self.print() } else { Ok(true) }
    }

    fn print(&mut self) -> Result<bool> {
        Ok(self.printer.rows(&mut self.out)?)
    }

    fn bad_line(&mut self, error: &ReplayError) {
        self.bad += 1;
        if self.bad <= TOLD {
            eprintln!("weir: {error}");
        }
    }
}

fn open(options: &Recorded, plan: &Plan) -> Result<Recording> {
    let replay = Options {
        format: options.input_format,
        topic: options.topic.clone().or_else(|| only_topic(plan)),
        time_field: options.time_field.clone(),
        ..Options::default()
    };
    let path = options.input.clone().unwrap_or_default();
    let opened = match path.to_str() {
        Some("-") => Recording::read(io::BufReader::new(io::stdin()), replay),
        _ => Recording::open(&path, replay),
    };
    opened.context("open the recording")
}

/// The topic of the one stream that is read, where a message can have it: its captures are filled
/// from the payload.
fn only_topic(plan: &Plan) -> Option<String> {
    let [stream] = plan.streams.as_slice() else { return None };
    let topic = stream.pattern.to_string();
    (!topic.contains(['+', '#']) && !topic.contains("...}")).then_some(topic)
}
