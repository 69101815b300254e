//! Logging: to standard error, in the journal's or a person's form.

use std::io::{IsTerminal as _, stderr};

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::prelude::*;

/// The form of a log line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Starts logging at `level` (as in `info` or `weir::uplink=debug,info`); the variable `WEIR_LOG`
/// overrides it, and what cannot be read means `info`. Lines are coloured on a terminal only.
pub fn start(level: &str, format: LogFormat) {
    let filter = std::env::var("WEIR_LOG").unwrap_or_else(|_| level.to_owned());
    // By target and level alone: filters over fields would bring a regex engine along.
    let filter: Targets = filter.parse().unwrap_or_else(|_| Targets::new().with_default(LevelFilter::INFO));
    let lines = tracing_subscriber::fmt::layer()
        .with_target(false)
        .with_writer(stderr)
        .with_ansi(stderr().is_terminal());
    let registry = tracing_subscriber::registry();
    // A second start, as in tests, keeps the first.
    let started = match format {
        LogFormat::Text => registry.with(lines.with_filter(filter)).try_init(),
        LogFormat::Json => registry.with(lines.json().with_filter(filter)).try_init(),
    };
    drop(started);
}
