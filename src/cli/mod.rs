//! The command line of `weir`: argument types, and one file for each verb.

mod accounts;
mod alerts;
mod check;
mod config;
#[cfg(feature = "demo")]
mod demo;
mod doctor;
mod drops;
mod explain;
#[cfg(feature = "hub")]
pub mod hub;
mod node_labels;
mod prepare;
mod profile;
mod query;
mod replay;
mod rulefiles;
mod run;
mod screen;
mod signal;
mod socket;
mod spool;
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
    /// Show what rules do, step by step
    Explain(explain::Explain),
    /// Run a query on live topics or a recording, and print its rows
    Query(Box<query::Query>),
    /// Show which alerts the rules would have raised over a recording
    Replay(replay::Replay),
    /// Run the test cases of rule files
    Test(test::Test),
    /// Show the alerts of the running agent, follow them, look into one, end one
    Alerts(alerts::Alerts),
    /// Show what waits for the hub, since when and why; look into it, write it out
    Spool(spool::Spool),
    /// Show what the running agent does
    Status(status::Status),
    /// Show where the running agent's time goes
    Profile(profile::Profile),
    /// Look at all that an agent needs, say what is wrong, and what to do
    Doctor(doctor::Doctor),
    /// Print the reference configuration, or check a file
    Config(config::Config),
    /// Make the state directory and give it to the agent's user; for containers
    Prepare(prepare::Prepare),
    /// Write the labels of the Kubernetes node into a file; for containers
    NodeLabels(node_labels::NodeLabels),
    /// Show the whole way on this machine: broker, sensors, agent, hub
    #[cfg(feature = "demo")]
    Demo(demo::Demo),
}

/// An error and its causes in one line. Many errors name their cause in their own words already,
/// and then it is not told again.
pub fn explain(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        let known = cause.rsplit(": ").next().is_some_and(|last| text.contains(last));
        if !known {
            text.push_str(": ");
            text.push_str(&cause);
        }
    }
    text
}

/// Whether it only means that whoever reads our output has had enough of it.
#[cfg(feature = "hub")]
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
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
            Verb::Explain(explain) => explain.run(),
            Verb::Query(query) => query.run(),
            Verb::Replay(replay) => replay.run(),
            Verb::Test(test) => test.run(),
            Verb::Alerts(alerts) => alerts.run(),
            Verb::Spool(spool) => spool.run(),
            Verb::Status(status) => status.run(),
            Verb::Profile(profile) => profile.run(),
            Verb::Doctor(doctor) => doctor.run(),
            Verb::Config(config) => config.run(),
            Verb::Prepare(prepare) => prepare.run(),
            Verb::NodeLabels(labels) => labels.run(),
            #[cfg(feature = "demo")]
            Verb::Demo(demo) => demo.run(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::explain;
    use anyhow::{Context as _, anyhow};

    #[test]
    fn a_cause_is_told_once() {
        let plain = || anyhow!("file is not a database").context("Error code 26: file is not a database");
        for (error, told) in [
            (anyhow!("no space").context("write the file"), "write the file: no space"),
            (
                anyhow!("no space").context("write the file: no space; make room"),
                "write the file: no space; make room",
            ),
            (
                plain().context("it is damaged (file is not a database); move it away"),
                "it is damaged (file is not a database); move it away",
            ),
            (Err::<(), _>(anyhow!("c").context("b")).context("x").unwrap_err(), "x: b: c"),
        ] {
            assert_eq!(explain(&error), told);
        }
    }
}
