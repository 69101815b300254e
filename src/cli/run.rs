//! `weir run`: the agent.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;

use crate::agent;
use crate::clock::Clock;
use crate::config::{AgentConfig, DEFAULT_PATH};
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

impl Run {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        telemetry::start(&self.log, self.log_format);
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
