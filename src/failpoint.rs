//! Named places where a test can end the process as a power cut would, or have it do the wrong thing on purpose.
//!
//! Only programs with debug assertions look at them; in a release each is nothing. `WEIR_FAILPOINT=name:5` kills the
//! process by SIGKILL when the place of that name is reached the fifth time; `WEIR_FAILPOINT=panic.name:5` panics there,
//! and `WEIR_FAILPOINT=stuck.name:5` never goes on.
//! `WEIR_SABOTAGE=name` switches one promise off, so that a proof of the promise can be shown to fail without it.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// What happens at a place.
#[derive(Clone, Copy)]
enum How {
    Ends,
    Panics,
    Sticks,
}

/// Where to end, how, and after how many times more.
struct Armed {
    name: String,
    how: How,
    left: AtomicU64,
}

/// The place of this name is reached: ends the process where that was asked for.
///
/// # Panics
/// Where that was asked for.
pub fn reach(name: &str) {
    if cfg!(debug_assertions) {
        static ARMED: OnceLock<Option<Armed>> = OnceLock::new();
        let Some(armed) = ARMED.get_or_init(|| read(&std::env::var("WEIR_FAILPOINT").ok()?)) else { return };
        if armed.name == name && armed.left.fetch_sub(1, Ordering::Relaxed) == 1 {
            match armed.how {
                How::Ends => {
                    let me = rustix::process::getpid();
                    // It does not return; where a system refuses, the process goes on, and the test sees that.
                    rustix::process::kill_process(me, rustix::process::Signal::KILL).ok();
                }
                How::Panics => panic!("failpoint {name}"),
                How::Sticks => loop {
                    std::thread::park();
                },
            }
        }
    }
}

/// Whether the promise of this name is switched off.
pub fn sabotaged(name: &str) -> bool {
    static SABOTAGED: OnceLock<Option<String>> = OnceLock::new();
    cfg!(debug_assertions)
        && SABOTAGED.get_or_init(|| std::env::var("WEIR_SABOTAGE").ok()).as_deref() == Some(name)
}

fn read(text: &str) -> Option<Armed> {
    let (name, times) = text.split_once(':').unwrap_or((text, "1"));
    let (how, name) = match (name.strip_prefix("panic."), name.strip_prefix("stuck.")) {
        (Some(name), _) => (How::Panics, name),
        (_, Some(name)) => (How::Sticks, name),
        (None, None) => (How::Ends, name),
    };
    Some(Armed { name: name.to_owned(), how, left: AtomicU64::new(times.parse().ok()?) })
}
