//! `weir spool`: what waits for the hub, for a person at the gateway.

use std::io::{BufWriter, Write};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Subcommand;

use crate::agent::status::Waiting;
use crate::wire::record::TransitionRecord;

use super::alerts::{ago, clean, local, own_labels};
use super::screen::{Screen, color_of, table};
use super::socket::{self, Agent};

#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct Spool {
    #[command(subcommand)]
    what: Option<What>,
    #[command(flatten)]
    agent: Agent,
    /// At most so many, the oldest ones
    #[arg(long, short = 'n', default_value_t = 20)]
    limit: usize,
    /// As a JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Show one transition whole, as JSON
    Show(Show),
    /// Write all that waits as JSON lines, oldest first; it goes on waiting
    Export(Export),
}

#[derive(Debug, clap::Args)]
struct Show {
    #[command(flatten)]
    agent: Agent,
    /// Its number
    number: u64,
}

#[derive(Debug, clap::Args)]
struct Export {
    #[command(flatten)]
    agent: Agent,
}

/// So many are asked for at once.
const MANY: usize = 1_000;

fn waiting(agent: &Agent, after: u64, count: usize) -> Result<Waiting> {
    let answer = socket::ask(&agent.path()?, &format!("outbox {after} {count}"))?;
    serde_json::from_str(&answer).context("understand the agent's answer; is it another version?")
}

impl Spool {
    pub(super) fn run(self) -> Result<ExitCode> {
        let text = match self.what {
            Some(What::Export(export)) => return export.run(),
            Some(What::Show(show)) => show.text()?,
            None => {
                let found = waiting(&self.agent, 0, self.limit)?;
                if self.json {
                    serde_json::to_string_pretty(&found)? + "\n"
                } else {
                    text(&found, Screen::of_output())
                }
            }
        };
        // A reader such as `head` may close early.
        drop(std::io::stdout().write_all(text.as_bytes()));
        Ok(ExitCode::SUCCESS)
    }
}

impl Show {
    fn text(&self) -> Result<String> {
        let found = waiting(&self.agent, self.number.saturating_sub(1), 1)?;
        match found.page.first().filter(|one| one.seq == self.number) {
            Some(one) => Ok(serde_json::to_string_pretty(one)? + "\n"),
            None if self.number > found.spool.newest => {
                bail!("there is no number {}; the newest is {}", self.number, found.spool.newest)
            }
            None => bail!(
                "number {} does not wait; `weir alerts history` shows what the hub has, as far as it is kept",
                self.number
            ),
        }
    }
}

impl Export {
    fn run(self) -> Result<ExitCode> {
        let mut out = BufWriter::new(std::io::stdout().lock());
        let (mut after, mut count) = (0, 0_u64);
        loop {
            let page = waiting(&self.agent, after, MANY)?.page;
            let Some(last) = page.last() else { break };
            after = last.seq;
            count += page.len() as u64;
            for one in &page {
                writeln!(out, "{}", serde_json::to_string(one)?)?;
            }
        }
        out.flush()?;
        drop(writeln!(std::io::stderr(), "{count} transitions"));
        Ok(ExitCode::SUCCESS)
    }
}

fn text(found: &Waiting, screen: Screen) -> String {
    let mut text = format!("{} at {}: ", clean(&found.agent), local(&found.at, &found.at));
    let stats = &found.spool;
    match found.page.first() {
        None => text.push_str("nothing waits for the hub\n"),
        Some(oldest) => {
            let (are, s) = if stats.waiting == 1 { ("waits", "") } else { ("wait", "s") };
            text.push_str(&format!(
                "{} transition{s} {are} for the hub, {} bytes, the oldest for {}\n",
                stats.waiting,
                stats.waiting_bytes,
                ago(&oldest.recorded_at, &found.at)
            ));
        }
    }
    let link = &found.link;
    let why = match (&*link.hub, link.connected, &link.error) {
        ("", ..) => "no hub is configured: add `[hub]` to the configuration".to_owned(),
        (hub, true, _) => format!("connected to {hub}; what waits is on its way"),
        (hub, false, Some(error)) => format!("no link to {hub}: {}", clean(error)),
        (hub, false, None) => format!("no link to {hub} yet"),
    };
    text.push_str(&format!("  {why}\n"));
    if stats.evicted > 0 {
        let ranges = found.given_up.iter().map(|(first, last)| match first == last {
            true => first.to_string(),
            false => format!("{first}-{last}"),
        });
        let ranges = ranges.collect::<Vec<_>>().join(", ");
        let which =
            if ranges.is_empty() { "the hub knows which".to_owned() } else { format!("numbers {ranges}") };
        text.push_str(&format!(
            "  {} were given up since the outbox was full ([spool] max_bytes); {which}\n",
            stats.evicted
        ));
    }
    if found.page.is_empty() {
        return text;
    }
    let row = |one: &TransitionRecord| {
        let labels = one.labels.iter().map(|(name, value)| (&**name, &**value));
        let state =
            if one.reason.is_empty() { one.state.clone() } else { format!("{} ({})", one.state, one.reason) };
        let cells = vec![
            one.seq.to_string(),
            clean(&one.severity),
            state,
            local(&one.recorded_at, &found.at),
            one.rule.clone(),
            own_labels(labels),
            one.fingerprint[..one.fingerprint.len().min(8)].to_owned(),
        ];
        (cells, color_of(&one.severity))
    };
    let rows: Vec<_> = found.page.iter().map(row).collect();
    text.push_str(&table(&["NUMBER", "SEVERITY", "STATE", "SINCE", "RULE", "ALERT", "ID"], &rows, screen));
    let more = stats.waiting.saturating_sub(found.page.len() as u64);
    if more > 0 {
        text.push_str(&format!("… {more} more; --limit shows them, and `weir spool export` writes all\n"));
    }
    text
}
