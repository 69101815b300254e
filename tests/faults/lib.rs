//! Storage that fails, for tests: what SQLite calls goes on to the real files, unless it was asked to fail.
//!
//! [`install`] puts it under every connection that the process opens from then on, so that the program under test needs
//! no hook. One [`Plan`] holds at a time, for the whole process: tests take turns by [`turn`].
//!
//! What was written and not yet synced is known by its sectors. [`lose_power`] keeps or loses each of them by chance, as a
//! disk does that was cut off; what was synced stays.

mod state;
mod vfs;

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

pub use state::{Plan, What};

/// Puts it under all connections from here on. More than once does no harm.
pub fn install() {
    vfs::install();
}

/// Lets one test after the other use it.
pub fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// From here on calls fail by this plan, counted from 1.
pub fn arm(plan: Plan) {
    state::with(|state| state.arm(Some(plan)));
}

/// No call fails any more. Gives whether one did.
pub fn disarm() -> bool {
    state::with(|state| {
        let struck = state.struck;
        state.arm(None);
        struck
    })
}

/// The bytes written since the start, and the syncs.
pub fn written() -> (u64, u64) {
    state::with(|state| (state.bytes, state.syncs))
}

/// Of what was not synced, each sector stays or goes. The files must be closed.
///
/// # Errors
/// Those of the files.
pub fn lose_power(random: &mut fastrand::Rng) -> std::io::Result<()> {
    state::with(|state| state.lose_power(random))
}

/// Forgets what is known of the files in a folder.
pub fn forget(folder: &Path) {
    state::with(|state| state.files.retain(|path, _| !path.starts_with(folder)));
}
