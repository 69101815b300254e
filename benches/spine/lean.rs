//! Builds the agent as a gateway gets it: release profile, nothing of hub or demo.

use std::path::{Path, PathBuf};
use std::process::Command;

use weir::clock::Clock;

/// Builds it into a directory of its own, where other features never replace it. The hub needs no
/// build: it is the one that cargo made for this benchmark.
pub(crate) fn build() -> Result<PathBuf, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let target = root.join("target/lean");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    println!("building the lean agent; the first time takes some minutes");
    let clock = Clock::start();
    let status = Command::new(cargo)
        .current_dir(root)
        .args(["build", "--locked", "--release", "--no-default-features", "--bin", "weir", "--target-dir"])
        .arg(&target)
        .status()
        .map_err(|error| format!("start cargo: {error}"))?;
    if !status.success() {
        return Err(format!("build the lean agent: cargo ended with {status}"));
    }
    println!("built in {:.0} s", clock.uptime().as_secs_f64());
    Ok(target.join("release/weir"))
}
