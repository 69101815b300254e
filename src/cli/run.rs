//! `weir run`: the agent.

use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::Context;

use crate::agent;
use crate::clock::Clock;
use crate::config::{AgentConfig, DEFAULT_PATH};
use crate::tasks;
use crate::telemetry::{self, LogFormat};

use super::signal::stop_on_signal;

#[derive(Debug, clap::Args)]
pub(super) struct Run {
    /// The configuration file
    #[arg(long, short, default_value = DEFAULT_PATH)]
    config: PathBuf,
    /// What to log: error, warn, info, debug, or as WEIR_LOG takes it
    #[arg(long, default_value = "info")]
    log: String,
    /// The form of log lines
    #[arg(long, value_enum, default_value_t)]
    log_format: LogFormat,
}

/// How glibc is told the number of its heaps: when a program starts, and never later.
const HEAPS: &str = "MALLOC_ARENA_MAX";

/// Starts this program over, in its own place, with one heap for all threads, unless the environment says how
/// many it shall have. glibc gives each thread its own: what one let go of the others cannot use, and memory
/// is a fifth larger with ten thousand rules, a quarter with more. The threads of an agent rarely allocate at once.
fn with_one_heap() {
    if !cfg!(target_env = "gnu") || std::env::var_os(HEAPS).is_some() {
        return;
    }
    let error = match std::env::current_exe() {
        Ok(program) => Command::new(program).args(std::env::args_os().skip(1)).env(HEAPS, "1").exec(),
        Err(error) => error,
    };
    tracing::debug!(%error, "cannot start over with one heap; the agent takes some more memory");
}

impl Run {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        telemetry::start(&self.log, self.log_format);
        with_one_heap();
        tasks::end_on_panic();
        let config = AgentConfig::load(&self.config)?;
        let clock = Clock::start();
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().context("start a runtime")?;
        let ended = runtime.block_on(async {
            let stop = stop_on_signal().context("listen to signals")?;
            agent::run(config, clock, stop).await?;
            Ok(ExitCode::SUCCESS)
        });
        // A name that is being resolved while the network is down must not hold the end up.
        runtime.shutdown_timeout(Duration::from_secs(1));
        ended
    }
}
