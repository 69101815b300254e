//! The alerts that stand, as a table that follows them.

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use serde_json::Value as Json;

use super::{Agent, Standing, ago, clean, own_labels, standing, values};
use crate::agent::status::AlertStatus;
use crate::cli::screen::{Screen, color_of, rank, table};

#[derive(Debug, clap::Args)]
pub(super) struct List {
    #[command(flatten)]
    agent: Agent,
    #[command(flatten)]
    filter: Filter,
    /// Print them once, also on a terminal, where they are followed
    #[arg(long)]
    once: bool,
    /// As a JSON array
    #[arg(long)]
    json: bool,
}

/// Which alerts.
#[derive(Debug, Default, clap::Args)]
pub(super) struct Filter {
    /// Only those of this rule
    #[arg(long, value_name = "ID")]
    rule: Option<String>,
    /// Only those of this rule set
    #[arg(long, value_name = "NAME")]
    ruleset: Option<String>,
    /// Only those in this state: `pending`, `firing`, `keeping`, `flapping`, `inhibited`, `withheld`, `stale`; in the history
    /// `firing`, `resolved`, `occurred`
    #[arg(long)]
    state: Option<String>,
    /// Only those of this severity
    #[arg(long)]
    severity: Option<String>,
    /// Only those with this label; of several all
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    label: Vec<(String, String)>,
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write it as in `device=pump-3`")?;
    Ok((name.to_owned(), value.to_owned()))
}

impl Filter {
    /// Whether an alert is among those that are asked for.
    pub(super) fn takes<'a>(
        &self,
        state: &str,
        severity: &str,
        label: impl Fn(&str) -> Option<&'a str>,
    ) -> bool {
        let is =
            |wanted: &Option<String>, name: &str| wanted.as_deref().is_none_or(|w| label(name) == Some(w));
        is(&self.rule, "alertname")
            && is(&self.ruleset, "ruleset")
            && self.state.as_deref().is_none_or(|wanted| wanted == state)
            && self.severity.as_deref().is_none_or(|wanted| wanted == severity)
            && self.label.iter().all(|(name, value)| label(name) == Some(value))
    }
}

impl List {
    pub(super) fn run(self) -> Result<ExitCode> {
        let screen = Screen::of_output();
        if self.json || self.once || !screen.is_terminal {
            let found = self.found()?;
            let text = match self.json {
                true => serde_json::to_string_pretty(&found.alerts)? + "\n",
                false => self.text(&found, screen),
            };
            // A reader such as `head` may close early.
            drop(std::io::stdout().write_all(text.as_bytes()));
            return Ok(ExitCode::SUCCESS);
        }
        self.follow()
    }

    /// Draws the table again each second, in its place.
    fn follow(&self) -> Result<ExitCode> {
        let mut drawn = 0;
        loop {
            let screen = Screen::of_output();
            let mut text = match self.found() {
                Ok(found) => self.text(&found, screen),
                // Who watches while the agent starts again wants to go on watching.
                Err(why) if drawn > 0 => format!("{}\n", super::super::explain(&why)),
                Err(why) => return Err(why),
            };
            let rows = text.lines().count();
            if rows + 1 > screen.lines {
                let kept: Vec<&str> = text.lines().take(screen.lines - 2).collect();
                text = format!(
                    "{}\n… {} more; a filter such as --severity shows fewer\n",
                    kept.join("\n"),
                    rows + 2 - screen.lines
                );
            }
            let mut out = std::io::stdout().lock();
            // Up to where it began, and blank from there on.
            let back = if drawn > 0 { format!("\u{1b}[{drawn}A\u{1b}[J") } else { String::new() };
            if out.write_all((back + &text).as_bytes()).and_then(|()| out.flush()).is_err() {
                return Ok(ExitCode::SUCCESS);
            }
            drop(out);
            drawn = text.lines().count();
            let (_open, wait) = std::sync::mpsc::sync_channel::<()>(0);
            wait.recv_timeout(Duration::from_secs(1)).ok();
        }
    }

    /// What is asked for: the worst first, then those that stand longest.
    fn found(&self) -> Result<Standing> {
        let mut found = standing(&self.agent)?;
        found.alerts.retain(|alert| {
            // A withheld or stale alert is firing as well.
            let shown = state(alert);
            let state = if self.filter.state.as_ref() == Some(&shown) { &*shown } else { &*alert.phase };
            self.filter.takes(state, &alert.severity, |name| alert.labels.get(name).and_then(Json::as_str))
        });
        found.alerts.sort_by(|a, b| {
            // What explains others stands before them.
            let key = |alert: &AlertStatus| {
                (alert.phase == "pending", rank(&alert.severity), alert.stale.is_some())
            };
            (key(a), &a.since, &a.fingerprint).cmp(&(key(b), &b.since, &b.fingerprint))
        });
        Ok(found)
    }

    fn text(&self, found: &Standing, screen: Screen) -> String {
        let mut text = head(found, screen);
        if found.alerts.is_empty() {
            return text + "no alert is pending or up\n";
        }
        let row = |alert: &AlertStatus| {
            let label = |name: &str| alert.labels.get(name).and_then(Json::as_str).unwrap_or("");
            let labels = alert.labels.iter().map(|(name, value)| (&**name, value.as_str().unwrap_or("")));
            let cells = vec![
                state(alert),
                clean(&alert.severity),
                label("alertname").to_owned(),
                own_labels(labels),
                ago(&alert.since, &found.at),
                alert.fingerprint[..alert.fingerprint.len().min(8)].to_owned(),
                values(&alert.values.0, |name| alert.labels.get(name).and_then(Json::as_str)),
            ];
            let color = if alert.phase == "pending" || alert.stale.is_some() {
                "2"
            } else {
                color_of(&alert.severity)
            };
            (cells, color)
        };
        let rows: Vec<_> = found.alerts.iter().map(row).collect();
        text.push_str(&table(&["STATE", "SEVERITY", "RULE", "ALERT", "FOR", "ID", "VALUES"], &rows, screen));
        text
    }
}

/// Its phase; or that nobody was told of it, or that nothing new is heard of it.
fn state(alert: &AlertStatus) -> String {
    match alert.withheld.as_deref() {
        None if alert.stale.is_some() && alert.phase != "pending" => "stale".to_owned(),
        None => alert.phase.clone(),
        Some("inhibited") => "inhibited".to_owned(),
        Some(_) => "withheld".to_owned(),
    }
}

/// `gw-7 at 14:03:07: 2 firing, 1 pending; the hub has all`.
fn head(found: &Standing, screen: Screen) -> String {
    let count = |phases: &[&str]| found.alerts.iter().filter(|a| phases.contains(&&*a.phase)).count();
    let mut counts = vec![format!("{} up", count(&["firing", "keeping", "flapping"]))];
    match found.alerts.iter().filter(|alert| alert.withheld.is_some()).count() {
        0 => {}
        n => counts.push(format!("{n} of them withheld")),
    }
    match found.alerts.iter().filter(|alert| state(alert) == "stale").count() {
        0 => {}
        n => counts.push(format!("{n} of them stale")),
    }
    match count(&["pending"]) {
        0 => {}
        n => counts.push(format!("{n} pending")),
    }
    let hub = match (found.waiting, &*found.link.hub, found.link.connected) {
        (_, "", _) => "no hub is configured".to_owned(),
        (0, _, true) => "the hub has all".to_owned(),
        (n, _, true) => format!("{n} on the way to the hub"),
        (0, _, false) => "the hub has all, and is not connected".to_owned(),
        (n, _, false) => format!("{n} wait for the hub, which is not connected"),
    };
    let line = format!(
        "{} at {}: {}; {hub}",
        clean(&found.agent),
        super::local(&found.at, &found.at),
        counts.join(", ")
    );
    screen.paint(&line, "2") + "\n"
}
