//! `weir config`: the reference file, and a check of one's own.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use super::table::count;
use crate::config::{AgentConfig, DEFAULT_PATH, REFERENCE};

#[derive(Debug, clap::Args)]
pub(super) struct Config {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Print the configuration file with every key, its meaning and its default
    Reference,
    /// Read a configuration file and say what is wrong with it
    Check {
        /// The file
        #[arg(default_value = DEFAULT_PATH)]
        file: PathBuf,
        /// The same, as other verbs are told it
        #[arg(long, short, value_name = "FILE", conflicts_with = "file")]
        config: Option<PathBuf>,
    },
}

impl Config {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        // Not print!, which panics where nothing can be written.
        let mut out = std::io::stdout().lock();
        match self.what {
            What::Reference => out.write_all(REFERENCE.as_bytes())?,
            What::Check { file, config } => {
                let file = config.unwrap_or(file);
                let config = AgentConfig::load(&file)?;
                for broker in &config.brokers {
                    broker.check()?;
                }
                writeln!(
                    out,
                    "{}: ok; agent `{}`, {}",
                    file.display(),
                    config.agent.id,
                    count(config.brokers.len() as u64, "broker")
                )?;
            }
        }
        out.flush()?;
        Ok(ExitCode::SUCCESS)
    }
}
