//! `weir query`: one query over live topics or a recording, its rows as they come.
//!
//! It is decode and engine as the agent has them, with one rule and no alerts. Nothing is kept.

mod compile;
mod live;
mod pipeline;
mod recorded;
mod rows;

use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail};

use crate::ingest::replay::{Format, Pace};
use crate::model::message::NODE_SOURCE;
use crate::model::time::parse_span;
use crate::plan::explain;
use crate::plan::logical::Plan;

use super::replay;
use pipeline::Pipeline;
use rows::{Form, Printer};

/// Run a query on live topics or a recording, and print its rows as they come.
///
/// The query is what a rule has under `sql`. Without a broker or a recording the node's own
/// metrics can be queried: `weir query 'SELECT cpu FROM node'`.
#[derive(Debug, clap::Args)]
pub(super) struct Query {
    /// The query
    sql: String,
    /// A rule file with the streams and tables to read; its rules do not run
    #[arg(long, short, value_name = "FILE")]
    streams: Option<PathBuf>,
    /// A statement that declares a stream or a table, as in `CREATE STREAM env () WITH
    /// (DATASOURCE='site/{device}')`; may be repeated
    #[arg(long, value_name = "STATEMENT")]
    stream: Vec<String>,
    /// Show how the query would run, and do not run it
    #[arg(long)]
    explain: bool,
    #[command(flatten)]
    live: live::Options,
    #[command(flatten)]
    recorded: Recorded,
    #[command(flatten)]
    output: Output,
}

/// What reads a recording.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Recording")]
struct Recorded {
    /// A recording in place of a broker: JSON lines (payloads, or objects with `topic` and
    /// `payload`) or CSV with a heading; `-` is standard input
    #[arg(long, short, value_name = "FILE")]
    input: Option<PathBuf>,
    /// The topic of payloads that tell none; `{member}` takes a member of the payload, as in
    /// `site/a/env/{device}` [default: that of the stream, where there is one]
    #[arg(long, requires = "input")]
    topic: Option<String>,
    /// The form of the recording, `jsonl` or `csv`; by default what the file's name says
    #[arg(long, requires = "input", value_name = "FORM", value_parser = replay::format)]
    input_format: Option<Format>,
    /// The member that holds the recorded time, for streams without a TIMESTAMP, and for --pace
    #[arg(long, requires = "input", value_name = "MEMBER")]
    time_field: Option<String>,
    /// `fast`, `recorded`, or so many times faster, as in `60x`
    #[arg(long, requires = "input", default_value = "fast", value_parser = replay::pace)]
    pace: Pace,
}

/// What is printed, and for how long.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Output")]
struct Output {
    /// The form of the rows [default: table on a terminal, else json]
    #[arg(long, short, value_enum)]
    format: Option<Form>,
    /// Print the time of each row before its columns: its own, or the end of its window
    #[arg(long)]
    time: bool,
    /// Stop after so many rows
    #[arg(long, short = 'n', value_name = "ROWS")]
    limit: Option<u64>,
    /// Stop after this time, as in `30s`
    #[arg(long = "for", value_name = "TIME", value_parser = parse_span, conflicts_with = "input")]
    length: Option<Duration>,
}

impl Query {
    /// Runs the query until its input, its limit or its reader ends it.
    ///
    /// # Errors
    /// What keeps it from running at all.
    pub(super) fn run(self) -> Result<ExitCode> {
        let Some(mut plan) = compile::compile(&self.sql, self.streams.as_deref(), &self.stream)? else {
            return Ok(ExitCode::FAILURE);
        };
        if self.explain {
            let tree = plan.rules.first().map(|rule| explain::explain(&plan, rule));
            let text = tree.map(|tree| explain::text(&tree, super::explain::color())).unwrap_or_default();
            drop(io::Write::write_all(&mut io::stdout(), text.as_bytes()));
            return Ok(ExitCode::SUCCESS);
        }
        if self.recorded.input.is_some() || self.live.is_one_broker() {
            // There is one source only, whatever it is called.
            compile::read_any_source(&mut plan);
        }
        let plan = Arc::new(plan);
        let printer = self.printer(&plan);
        let pipeline = Pipeline::new(plan.clone());
        if self.recorded.input.is_some() {
            return recorded::run(&self.recorded, &plan, pipeline, printer);
        }
        let brokers = self.live.brokers()?;
        if brokers.is_empty() && !plan.streams.iter().all(|stream| is_of_node(stream)) {
            bail!(
                "there is nothing to read from; name a broker (`--broker mqtt://HOST:PORT`), an agent's \
                 configuration (`--config FILE`), or a recording (`--input FILE`)"
            );
        }
        live::run(brokers, self.output.length, pipeline, printer)
    }

    fn printer(&self, plan: &Plan) -> Printer {
        let terminal = io::stdout().is_terminal();
        let form = self.output.format.unwrap_or(if terminal { Form::Table } else { Form::Json });
        let columns = plan.rules.first().map(|rule| rule.alert.columns.clone()).unwrap_or_default();
        Printer::new(form, columns, self.output.time, self.output.limit)
    }
}

/// Whether it is one of the node's own metrics.
fn is_of_node(stream: &crate::model::stream::StreamSpec) -> bool {
    stream.source.as_deref() == Some(NODE_SOURCE)
}
