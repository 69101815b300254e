//! `weir spool`: what waits for the hub, for a person at the gateway. A running agent is asked; the file of one that is
//! down is read.

mod source;
mod text;

use std::io::{BufWriter, Write};
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Subcommand;

use super::screen::Screen;
use source::{Source, Where};

#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct Spool {
    #[command(subcommand)]
    what: Option<What>,
    #[command(flatten)]
    place: Where,
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
    place: Where,
    /// Its number
    number: u64,
    /// It is JSON anyway
    #[arg(long, hide = true)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct Export {
    #[command(flatten)]
    place: Where,
    /// It is JSON anyway
    #[arg(long, hide = true)]
    json: bool,
}

/// So many are asked for at once.
const MANY: usize = 1_000;

impl Spool {
    pub(super) fn run(self) -> Result<ExitCode> {
        let text = match self.what {
            Some(What::Export(export)) => return export.run(),
            Some(What::Show(show)) => show.text()?,
            None => {
                let found = Source::find(&self.place)?.page(0, self.limit)?;
                if self.json {
                    serde_json::to_string_pretty(&found)? + "\n"
                } else {
                    text::text(&found, Screen::of_output())
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
        let found = Source::find(&self.place)?.page(self.number.saturating_sub(1), 1)?;
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
        let source = Source::find(&self.place)?;
        let mut out = BufWriter::new(std::io::stdout().lock());
        let (mut after, mut count) = (0, 0_u64);
        loop {
            let page = source.page(after, MANY)?.page;
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
