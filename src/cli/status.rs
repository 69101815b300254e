//! `weir status`: asks the running agent over its local socket.
#![expect(clippy::print_stdout, reason = "this is what the verb is for")]

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;

use crate::agent::status::{CoreStatus, Source, Status as AgentStatus, StreamStatus};
use crate::model::label::OWN_LABELS;
use crate::model::time::Timestamp;

use super::accounts::{self, Sort};
use super::alerts::clean;
use super::drops;
use super::screen::Screen;
use super::socket::{self, Agent};
use super::table::table;

#[derive(Debug, clap::Args)]
pub(super) struct Status {
    #[command(flatten)]
    agent: Agent,
    /// Everything as one JSON object; with --rules an array of rules, with --drops one of what can be dropped
    #[arg(long)]
    json: bool,
    /// Only the rules, each with its whole account
    #[arg(long)]
    rules: bool,
    /// Only what was dropped: what it means, and what to do
    #[arg(long, conflicts_with = "rules")]
    drops: bool,
    /// In which order: those first that cost most, took most rows, or hold most state
    #[arg(long, value_enum, requires = "rules")]
    sort: Option<Sort>,
}

impl Status {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let socket = self.agent.path()?;
        let mut first = ask(&socket)?;
        if self.rules {
            accounts::sort(&mut first.core.rules, self.sort);
            let text = match self.json {
                true => serde_json::to_string_pretty(&first.core.rules)? + "\n",
                false => accounts::text(&first.core.rules),
            };
            drop(std::io::stdout().write_all(text.as_bytes()));
            return Ok(ExitCode::SUCCESS);
        }
        if self.drops {
            let text = match self.json {
                true => serde_json::to_string_pretty(&first.drops())? + "\n",
                false => drops::text(&first, Screen::of_output()),
            };
            drop(std::io::stdout().write_all(text.as_bytes()));
            return Ok(ExitCode::SUCCESS);
        }
        if self.json {
            println!("{}", serde_json::to_string_pretty(&first)?);
            return Ok(ExitCode::SUCCESS);
        }
        // Rates are those of the next second: what is going on, not what was.
        let (_open, wait) = std::sync::mpsc::sync_channel::<()>(0);
        wait.recv_timeout(SAMPLE).ok();
        let text = render(&ask(&socket)?, &first);
        // A reader such as `head` may close early.
        drop(std::io::stdout().write_all(text.as_bytes()));
        Ok(ExitCode::SUCCESS)
    }
}

/// The span over which rates are taken.
const SAMPLE: Duration = Duration::from_secs(1);

fn ask(socket: &Path) -> anyhow::Result<AgentStatus> {
    let text = socket::ask(socket, "status")?;
    serde_json::from_str(&text).context("understand the agent's answer; is it another version?")
}

fn render(status: &AgentStatus, before: &AgentStatus) -> String {
    let core = &status.core;
    let mut text = format!(
        "agent {}  version {}  up {}  memory {}\n",
        status.agent,
        status.version,
        span(status.uptime_seconds),
        bytes(status.rss_bytes)
    );
    text.push_str(&format!(
        "in    {} messages, {} ({}/s), {} delivered again, {} read by no stream, {} of no use to any rule\n",
        core.messages,
        bytes(core.bytes),
        core.messages.saturating_sub(before.core.messages),
        core.redelivered,
        core.unmatched,
        core.skipped
    ));
    if !core.clock_trusted {
        text.push_str(
            "clock was set since the agent started, or never: restart it; MAX_FUTURE is off until then\n",
        );
    }
    text.push_str(&link(status));
    text.push_str(&format!(
        "spool {} waiting ({}), newest {}, {} given up\n",
        core.spool.waiting,
        bytes(core.spool.waiting_bytes),
        core.spool.newest,
        core.spool.evicted
    ));
    text.push_str(&disk(core));
    text.push_str(&drops::section(status));
    text.push_str(&sources(&status.sources));
    text.push_str(&rulesets(core));
    text.push_str(&streams(core, &before.core));
    text.push_str(&rules(core));
    text.push_str(&alerts(core));
    for refused in &status.refused_files {
        text.push_str(&format!("\nrefused {}\n", refused.file));
        for why in &refused.why {
            text.push_str(&format!("  {why}\n"));
        }
    }
    text
}

fn disk(core: &CoreStatus) -> String {
    let mut text = String::new();
    if let Some(trouble) = &core.disk.trouble {
        text.push_str(&format!(
            "DISK  takes nothing since {}: {}; {} transitions ({}) wait for it in memory and are told when it does, {} messages are not acknowledged until then\n",
            trouble.since,
            trouble.why,
            trouble.held,
            bytes(trouble.held_bytes),
            trouble.unacknowledged
        ));
    }
    if core.disk.given_up > 0 {
        text.push_str(&format!(
            "disk  {} transitions were given up while it took nothing\n",
            core.disk.given_up
        ));
    }
    text
}

fn link(status: &AgentStatus) -> String {
    let link = &status.link;
    let state = match (&*link.hub, link.connected, &link.error) {
        ("", ..) => return "hub   none configured\n".to_owned(),
        (_, true, _) => "connected".to_owned(),
        (_, false, Some(why)) => format!("not connected: {why}"),
        (_, false, None) => "not connected yet".to_owned(),
    };
    let mut text = format!(
        "hub   {} {state}; {} sent, {} up, {} down\n",
        link.hub,
        link.sent,
        bytes(link.bytes_sent),
        bytes(link.bytes_received)
    );
    if let Some(held) = link.held {
        let what =
            if held.alerts > 0 { format!("{} alerts wait", held.alerts) } else { "counters wait".to_owned() };
        let until = Timestamp::from_micros(held.until);
        text.push_str(&format!("      {what} for the byte budget (hub.bytes_per_hour) until {until}\n"));
    }
    for notice in &link.notices {
        let at = Timestamp::from_micros(notice.at);
        text.push_str(&format!("      the hub said at {at}: {}\n", clean(&notice.message)));
    }
    text
}

fn sources(sources: &[Source]) -> String {
    let rows: Vec<Vec<String>> = sources
        .iter()
        .map(|s| {
            let count = |name: &str| s.counters.iter().find(|(n, _)| n == name).map_or(0, |(_, c)| *c);
            let lost = ["dropped", "oversized", "bad_topics"].map(count).iter().sum::<u64>();
            vec![
                s.name.clone(),
                if s.connected { "connected".to_owned() } else { "NOT CONNECTED".to_owned() },
                s.since.clone(),
                count("messages").to_string(),
                count("reconnects").to_string(),
                lost.to_string(),
                count("gaps").to_string(),
                s.error.clone().unwrap_or_default(),
            ]
        })
        .collect();
    section(
        "brokers",
        &["broker", "state", "since", "messages", "reconnects", "dropped", "gaps", "error"],
        &rows,
    )
}

fn rulesets(core: &CoreStatus) -> String {
    let rows: Vec<Vec<String>> = core
        .rulesets
        .iter()
        .map(|s| {
            let note = if s.attempted == s.hash { "" } else { "a newer one was refused" };
            vec![
                s.name.clone(),
                s.origin.clone(),
                s.revision.to_string(),
                s.rules.to_string(),
                s.hash[..12].to_owned(),
                note.to_owned(),
            ]
        })
        .collect();
    section("rule sets", &["set", "from", "revision", "rules", "hash", ""], &rows)
}

fn streams(core: &CoreStatus, before: &CoreStatus) -> String {
    let rows_before = |s: &StreamStatus| {
        let was = before.streams.iter().find(|b| b.ruleset == s.ruleset && b.name == s.name);
        was.map_or(s.rows, |was| was.rows)
    };
    let rows: Vec<Vec<String>> = core
        .streams
        .iter()
        .map(|s| {
            let rejects: Vec<String> = s.rejects.iter().map(|(why, n)| format!("{why} {n}")).collect();
            vec![
                s.ruleset.clone(),
                s.name.clone(),
                s.topic.clone(),
                s.messages.to_string(),
                s.skipped.to_string(),
                s.rows.to_string(),
                s.rows.saturating_sub(rows_before(s)).to_string(),
                rejects.join(", "),
            ]
        })
        .collect();
    let mut text = section(
        "streams",
        &["set", "stream", "topic", "messages", "skipped", "rows", "rows/s", "rejects"],
        &rows,
    );
    for stream in &core.streams {
        if let Some(last) = stream.samples.last() {
            text.push_str(&format!(
                "  last reject of {}: {} on {}: {}\n",
                stream.name, last.reason, last.topic, last.detail
            ));
        }
    }
    text
}

fn rules(core: &CoreStatus) -> String {
    let rows: Vec<Vec<String>> = core
        .rules
        .iter()
        .map(|r| {
            let mut row = vec![r.ruleset.clone(), r.rule.clone()];
            let counts = [r.rows, r.matched, r.unused(), r.undefined, r.groups];
            row.extend(counts.map(|n| n.to_string()));
            row.extend([bytes(r.bytes), accounts::time(r.nanos)]);
            row.extend([r.pending, r.firing, r.transitions].map(|n| n.to_string()));
            row.push(accounts::degraded(r));
            row
        })
        .collect();
    let heading = [
        "set",
        "rule",
        "rows",
        "matches",
        "unused",
        "undefined",
        "groups",
        "state",
        "time",
        "pending",
        "firing",
        "transitions",
        "",
    ];
    section("rules", &heading, &rows)
}

fn alerts(core: &CoreStatus) -> String {
    let rows: Vec<Vec<String>> = core
        .alerts
        .iter()
        .map(|a| {
            let values: Vec<String> = a.values.0.iter().map(|(k, v)| format!("{k}={v}")).collect();
            let labels: Vec<String> = a
                .labels
                .iter()
                .filter(|(k, _)| !OWN_LABELS.contains(&k.as_str()))
                .map(|(k, v)| format!("{k}={}", v.as_str().unwrap_or_default()))
                .collect();
            let rule = a.labels.get("alertname").and_then(|v| v.as_str()).unwrap_or_default();
            vec![
                a.phase.clone(),
                a.severity.clone(),
                rule.to_owned(),
                labels.join(" "),
                a.since.clone(),
                values.join(" "),
            ]
        })
        .collect();
    section("alerts", &["state", "severity", "rule", "labels", "since", "values"], &rows)
}

fn section(title: &str, heading: &[&str], rows: &[Vec<String>]) -> String {
    if rows.is_empty() {
        return format!("\n{title}: none\n");
    }
    format!("\n{title}\n{}", table(heading, rows))
}

pub(super) fn span(seconds: u64) -> String {
    crate::model::time::format_span(Duration::from_secs(seconds))
}

/// A size for people.
#[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
pub(super) fn bytes(size: u64) -> String {
    match size {
        0..1_000 => format!("{size} B"),
        1_000..1_000_000 => format!("{:.1} kB", size as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", size as f64 / 1e6),
        _ => format!("{:.2} GB", size as f64 / 1e9),
    }
}
