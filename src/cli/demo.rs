//! `weir demo`: arguments, and the lines on the terminal.

use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;

use crate::clock::Clock;
use crate::demo::{self, narrate};
use crate::model::time::parse_span;
use crate::telemetry::{self, LogFormat};

use super::signal::stop_on_signal;

/// How long tasks that were not waited for may go on: those of clients that hold on.
const REST: Duration = Duration::from_millis(200);

#[derive(Debug, clap::Args)]
pub(super) struct Demo {
    /// A broker to use, in place of one inside the process; it must let anyone in
    #[arg(long, value_name = "mqtt://HOST:PORT")]
    broker: Option<String>,
    /// End after this time, as in `30s`; fails if no alert has come by then
    #[arg(long = "for", value_name = "TIME", value_parser = parse_span)]
    length: Option<Duration>,
    /// Keep the files of agent and hub in this directory, which must be new or empty
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
}

impl Demo {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        telemetry::start("warn", LogFormat::Text);
        let clock = Clock::start();
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().context("start a runtime")?;
        let (json, timed) = (self.json, self.length.is_some());
        let program = std::env::args().next().unwrap_or_else(|| "weir".to_owned());
        let options = demo::Options { program, broker: self.broker, length: self.length, keep: self.keep };
        let coloured = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        let say = |line: &narrate::Line| {
            let text = if json { narrate::json(line) } else { narrate::text(line, coloured) };
            writeln!(std::io::stdout(), "{text}")
        };
        let summary = runtime.block_on(async {
            let stop = stop_on_signal().context("listen to signals")?;
            demo::run(options, clock, stop, say).await
        });
        runtime.shutdown_timeout(REST);
        match summary {
            Ok(summary) if timed && summary.counts.all() == 0 => Ok(ExitCode::FAILURE),
            Ok(_) => Ok(ExitCode::SUCCESS),
            // A reader such as `head` has had enough.
            Err(error) if super::is_broken_pipe(&error) => Ok(ExitCode::SUCCESS),
            Err(error) => Err(error),
        }
    }
}
