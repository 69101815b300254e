//! What was told lately: the newest transitions that the agent made, also of alerts that are over.

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, bail};

use super::list::Filter;
use super::{Agent, Standing, local, own_labels, standing, told, values};
use crate::agent::status::Told;
use crate::cli::screen::{Screen, color_of, table};
use crate::model::time::{Timestamp, parse_span};

#[derive(Debug, clap::Args)]
pub(super) struct History {
    #[command(flatten)]
    agent: Agent,
    #[command(flatten)]
    filter: Filter,
    /// Only what was told in this time, as in `1h`
    #[arg(long, value_name = "SPAN", value_parser = parse_span)]
    since: Option<Duration>,
    /// At most so many, the newest ones
    #[arg(long, short = 'n', default_value_t = 50)]
    limit: usize,
    /// As a JSON array, newest first
    #[arg(long)]
    json: bool,
}

impl History {
    pub(super) fn run(self) -> Result<ExitCode> {
        let Standing { at: now, link, .. } = standing(&self.agent)?;
        let from = match (Timestamp::parse(&now), self.since) {
            (Some(now), Some(since)) => Some(now.minus(since)),
            (None, Some(_)) => bail!("the agent's clock shows `{now}`, which is no time"),
            _ => None,
        };
        // A filter is applied to all that there is.
        let mut found = told(&self.agent, usize::MAX >> 1)?;
        found.retain(|one| {
            let label = |name: &str| one.told.labels.get(name).map(|value| &**value);
            let recent =
                from.is_none_or(|from| Timestamp::parse(&one.told.recorded_at).is_some_and(|at| at >= from));
            recent && self.filter.takes(&one.told.state, &one.told.severity, label)
        });
        found.truncate(self.limit);
        let text = match self.json {
            true => serde_json::to_string_pretty(&found)? + "\n",
            false => text(&found, &now, !link.hub.is_empty(), Screen::of_output()),
        };
        // A reader such as `head` may close early.
        drop(std::io::stdout().write_all(text.as_bytes()));
        Ok(ExitCode::SUCCESS)
    }
}

/// Oldest first: the newest stands above the next prompt.
pub(super) fn text(found: &[Told], now: &str, hub: bool, screen: Screen) -> String {
    if found.is_empty() {
        return "nothing was told, as far as it is kept\n".to_owned();
    }
    let row = |one: &Told| {
        let t = &one.told;
        let state = match &*t.reason {
            "" | "recovered" => t.state.clone(),
            reason => format!("{} ({reason})", t.state),
        };
        let labels = t.labels.iter().map(|(name, value)| (&**name, &**value));
        let label = |name: &str| t.labels.get(name).map(|value| &**value);
        let texts = ["resolved_because", "summary"];
        let says = texts.into_iter().find_map(|name| t.annotations.get(name));
        let mut cells = vec![
            state,
            super::clean(&t.severity),
            local(&t.occurred_at, now),
            t.rule.clone(),
            own_labels(labels),
            t.fingerprint[..t.fingerprint.len().min(8)].to_owned(),
        ];
        if hub {
            cells.push(if one.acknowledged { "has it" } else { "waits" }.to_owned());
        }
        cells.push(says.map_or_else(|| values(&t.values.0, label), |text| super::clean(text)));
        (cells, if t.state == "resolved" { "32" } else { color_of(&t.severity) })
    };
    let rows: Vec<_> = found.iter().rev().map(row).collect();
    let mut heading = vec!["STATE", "SEVERITY", "WHEN", "RULE", "ALERT", "ID"];
    heading.extend(hub.then_some("HUB"));
    heading.push("WHAT");
    table(&heading, &rows, screen)
}
