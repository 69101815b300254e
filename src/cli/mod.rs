//! The command line of `weir`: argument types, and one file for each verb.

mod check;
mod config;
#[cfg(feature = "demo")]
mod demo;
#[cfg(feature = "hub")]
pub mod hub;
mod replay;
mod run;
mod signal;
mod status;
mod table;
mod test;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Alerting at the edge: SQL rules over MQTT and node metrics; only alert transitions leave the
/// site.
#[derive(Debug, Parser)]
#[command(name = "weir", version, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Run the agent
    Run(run::Run),
    /// Check rule files, and show what is wrong at its place
    Check(check::Check),
    /// Show which alerts the rules would have raised over a recording
    Replay(replay::Replay),
    /// Run the test cases of rule files
    Test(test::Test),
    /// Show what the running agent does
    Status(status::Status),
    /// Print the reference configuration, or check a file
    Config(config::Config),
    /// Show the whole way on this machine: broker, sensors, agent, hub
    #[cfg(feature = "demo")]
    Demo(demo::Demo),
}

impl Cli {
    /// Carries the command out.
    ///
    /// # Errors
    /// What the person at the terminal should read.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        match self.verb {
            Verb::Run(run) => run.run(),
            Verb::Check(check) => check.run(),
            Verb::Replay(replay) => replay.run(),
            Verb::Test(test) => test.run(),
            Verb::Status(status) => status.run(),
            Verb::Config(config) => config.run(),
            #[cfg(feature = "demo")]
            Verb::Demo(demo) => demo.run(),
        }
    }
}
