//! The signals that end a program in order.

use tokio::signal::unix::{SignalKind, signal};

use crate::tasks::{self, Stop, StopSource};

/// A stop that SIGTERM and SIGINT announce. Needs a running runtime.
///
/// # Errors
/// Where the system lets no handler be set.
pub(crate) fn stop_on_signal() -> std::io::Result<Stop> {
    let (source, stop) = StopSource::new();
    let mut term = signal(SignalKind::terminate())?;
    let mut int = signal(SignalKind::interrupt())?;
    let listen = async move {
        tokio::select! {
            _ = term.recv() => {}
            _ = int.recv() => {}
        }
        source.stop();
    };
    // Ends with the runtime: a program that stops for another reason waits for no signal.
    drop(tasks::spawn("signals", listen));
    Ok(stop)
}
