//! The only place that spawns. A task or thread has a name, hears of the stop through [`Stop`],
//! and is joined by whoever spawned it.
#![expect(clippy::disallowed_methods, reason = "this is the one place that the ban points to")]

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::io;
use std::panic;
use std::pin::pin;
use std::process;
use std::thread;

use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

/// The end of a program, announced once to everyone who holds a copy.
#[derive(Clone, Debug)]
pub struct Stop {
    seen: watch::Receiver<bool>,
}

/// The side that announces. Dropping it announces too, so that nobody waits for a dead owner.
#[derive(Debug)]
pub struct StopSource {
    told: watch::Sender<bool>,
}

impl StopSource {
    /// A source, and the first of the copies that listen to it.
    pub fn new() -> (Self, Stop) {
        let (told, seen) = watch::channel(false);
        (Self { told }, Stop { seen })
    }

    /// Announces the end.
    pub fn stop(&self) {
        self.told.send_replace(true);
    }
}

impl Stop {
    /// Whether the end was announced.
    pub fn is_stopped(&self) -> bool {
        *self.seen.borrow() || self.seen.has_changed().is_err()
    }

    /// Returns when the end is announced. Cancel-safe.
    pub async fn stopped(&self) {
        let mut seen = self.seen.clone();
        // An error means that the source is gone, which is the end as well.
        drop(seen.wait_for(|stop| *stop).await);
    }
}

/// Starts a named task on the current runtime.
pub fn spawn<F>(name: &'static str, future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    tokio::spawn(async move {
        tracing::trace!(task = name, "started");
        let mut future = pin!(future);
        let output = poll_fn(|context| {
            let before = TASK.replace(name);
            let polled = future.as_mut().poll(context);
            TASK.set(before);
            polled
        })
        .await;
        tracing::trace!(task = name, "ended");
        output
    })
}

thread_local! {
    /// The task that this thread is at; empty between tasks.
    static TASK: Cell<&'static str> = const { Cell::new("") };
}

/// From here on a panic of any thread or task is logged with its place, and ends the process at once, in builds that
/// unwind too: what is left of a program of which a part is gone must not go on as if it were whole.
pub fn end_on_panic() {
    panic::set_hook(Box::new(|panic| {
        let thread = thread::current();
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let message = panic.payload_as_str().unwrap_or("no message");
        tracing::error!(
            thread = thread.name().unwrap_or("unnamed"),
            task = TASK.get(),
            place,
            "panic: {message}; the process ends, and loses nothing that it acknowledged"
        );
        process::abort();
    }));
}

/// Runs blocking work beside the runtime.
pub fn spawn_blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    tokio::task::spawn_blocking(work)
}

/// Does work on a thread of its own that stands behind all others where there are few cores: what it does may take
/// longer, and what waits for a core meanwhile takes no longer than without it.
pub fn behind<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> oneshot::Receiver<T> {
    let (done, answer) = oneshot::channel();
    let started = thread(name, move || {
        // Best effort: a system that does not let it step back does the work all the same.
        rustix::process::setpriority_process(None, BEHIND).ok();
        drop(done.send(work()));
    });
    if let Err(error) = started {
        tracing::error!(%error, name, "no thread to be had");
    }
    answer
}

/// A niceness; on Linux it is the thread's own.
const BEHIND: i32 = 10;

/// Starts a named thread.
///
/// # Errors
/// Where the system has no thread to give.
pub fn thread<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<thread::JoinHandle<T>> {
    thread::Builder::new().name(name.to_owned()).spawn(work)
}
