//! `weir profile`: where the running agent's time goes, over a span.
#![expect(clippy::print_stderr, reason = "a verb that takes its time says what it waits for")]

use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::agent::profile::{Profile as Figures, Spent, thread};
use crate::model::time::{format_span, parse_span};

use super::accounts::time;
use super::socket::{self, Agent};
use super::table::table;

/// Show where the agent's time goes: receiving, decoding, rules, alerts, the spool, and the rest.
#[derive(Debug, clap::Args)]
pub(super) struct Profile {
    #[command(flatten)]
    agent: Agent,
    /// For how long to look
    #[arg(long = "for", value_name = "SPAN", default_value = "30s", value_parser = parse_span)]
    span: Duration,
    /// One JSON object: nanoseconds by thread and by stage
    #[arg(long)]
    json: bool,
}

impl Profile {
    /// Prints the figures.
    ///
    /// # Errors
    /// An agent that does not answer, or was restarted meanwhile.
    pub(super) fn run(self) -> Result<ExitCode> {
        let socket = self.agent.path()?;
        let before = ask(&socket)?;
        wait(self.span);
        let after = ask(&socket)?;
        ensure!(after.nanos >= before.nanos, "the agent was restarted while it was looked at; try again");
        let spent = after.since(&before);
        let text = if self.json { serde_json::to_string_pretty(&spent)? + "\n" } else { render(&spent) };
        // A reader such as `head` may close early.
        drop(io::stdout().write_all(text.as_bytes()));
        Ok(ExitCode::SUCCESS)
    }
}

fn ask(socket: &Path) -> Result<Figures> {
    let text = socket::ask(socket, "profile")?;
    serde_json::from_str(&text).context("understand the agent's answer; is it another version?")
}

/// Waits, and on a terminal shows for how long yet.
fn wait(span: Duration) {
    let shown = io::stderr().is_terminal();
    let (_open, waiting) = std::sync::mpsc::sync_channel::<()>(0);
    let mut left = span;
    while !left.is_zero() {
        if shown {
            eprint!("\rlooking for {} … ", format_span(left));
        }
        let step = left.min(Duration::from_secs(1));
        waiting.recv_timeout(step).ok();
        left -= step;
    }
    if shown {
        eprint!("\r{:40}\r", "");
    }
}

/// One line of the table.
struct Line {
    what: &'static str,
    nanos: u64,
    about: &'static str,
}

fn render(spent: &Figures) -> String {
    let lines = lines(spent);
    let total: u64 = lines.iter().map(|line| line.nanos).sum();
    let share = |nanos: u64, of: u64| format!("{:.1} %", percent(nanos, of));
    let rows: Vec<Vec<String>> = lines
        .iter()
        .map(|line| {
            let each = line.nanos.checked_div(spent.messages).map_or_else(String::new, time);
            vec![
                line.what.to_owned(),
                time(line.nanos),
                share(line.nanos, spent.nanos),
                each,
                share(line.nanos, total),
                line.about.to_owned(),
            ]
        })
        .collect();
    let seconds = (spent.nanos / 1_000_000_000).max(1);
    let span = format_span(Duration::from_millis(spent.nanos / 1_000_000));
    format!(
        "{} messages in {span} ({}/s), {} of one core\n\n{}",
        spent.messages,
        spent.messages / seconds,
        share(total, spent.nanos),
        table(&["stage", "time", "of a core", "a message", "share", ""], &rows)
    )
}

/// The way of a reading, and what is beside it.
fn lines(spent: &Figures) -> Vec<Line> {
    let threads = |belongs: &dyn Fn(&str) -> bool| -> u64 {
        spent.threads.iter().filter(|one| belongs(&one.name)).map(|one| one.nanos).sum()
    };
    let stage =
        |name: &str| spent.stages.iter().find(|one: &&Spent| one.name == name).map_or(0, |one| one.nanos);
    let receive = threads(&|name| name.starts_with(thread::BROKERS));
    let core = threads(&|name| name == thread::CORE);
    let node = threads(&|name| name == thread::NODE);
    let stages = [
        ("decode", "payloads into rows"),
        ("index", "finding the rules that a row can matter to"),
        ("rules", "evaluating them"),
        ("windows", "taking rows in, and closing"),
        ("alert", "what becomes of observations"),
        ("spool", "transactions; waiting for the disk is no CPU time, and is in here"),
    ];
    let mut lines = vec![Line { what: "receive", nanos: receive, about: "MQTT, TLS, acknowledgements" }];
    lines.extend(stages.map(|(what, about)| Line { what, nanos: stage(what), about }));
    let known: u64 = stages.iter().map(|(what, _)| stage(what)).sum();
    let rest = core.saturating_sub(known);
    lines.push(Line { what: "core", nanos: rest, about: "the rest of the core's thread: waking, batches" });
    lines.push(Line { what: "node", nanos: node, about: "the node's own metrics" });
    let others = threads(&|_| true).saturating_sub(receive + core + node);
    lines.push(Line { what: "other", nanos: others, about: "link to the hub, new rules, answers like this" });
    lines
}

#[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
fn percent(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 * 100.0 / whole as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rest_of_a_thread_is_told_too() {
        let spent = |name: &str, nanos| Spent { name: name.to_owned(), nanos };
        let figures = Figures {
            nanos: 2_000_000_000,
            messages: 1_000,
            threads: vec![
                spent("mqtt-site", 30_000_000),
                spent("core", 50_000_000),
                spent("weir", 20_000_000),
            ],
            stages: vec![spent("decode", 20_000_000), spent("rules", 10_000_000)],
        };
        let shown = render(&figures);
        let line = |what: &str| {
            let found = shown.lines().find(|line| line.trim_start().starts_with(what)).unwrap();
            found.split_whitespace().take(9).collect::<Vec<_>>().join(" ")
        };
        assert!(shown.starts_with("1000 messages in 2s (500/s), 5.0 % of one core"), "{shown}");
        assert_eq!(line("decode"), "decode 20.0 ms 1.0 % 20.0 us 20.0 %");
        assert!(line("core").starts_with("core 20.0 ms"), "{shown}");
        assert!(line("other").starts_with("other 20.0 ms"), "{shown}");
    }
}
