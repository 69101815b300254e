//! The signals that end a program in order.

use tokio::signal::unix::{SignalKind, signal};

use crate::tasks::{self, Stop, StopSource};

/// The exit code of a program that was told twice to end, as a shell has it for SIGINT.
const IN_A_HURRY: i32 = 130;

/// A stop that SIGTERM and SIGINT announce; a second of them ends the program at once. Needs a running runtime.
///
/// # Errors
/// Where the system lets no handler be set.
pub(crate) fn stop_on_signal() -> std::io::Result<Stop> {
    let (source, stop) = StopSource::new();
    let mut term = signal(SignalKind::terminate())?;
    let mut int = signal(SignalKind::interrupt())?;
    let listen = async move {
        for first in [true, false] {
            tokio::select! {
                _ = term.recv() => {}
                _ = int.recv() => {}
            }
            if first {
                source.stop();
            }
        }
        tracing::warn!("told to end a second time: ending at once; what is not acknowledged comes again");
        end_at_once();
    };
    // Ends with the runtime: a program that stops for another reason waits for no signal.
    drop(tasks::spawn("signals", listen));
    Ok(stop)
}

/// Whoever asks twice wants no order.
#[expect(clippy::disallowed_methods, reason = "nothing is lost: a program may end at any moment")]
fn end_at_once() {
    std::process::exit(IN_A_HURRY);
}
