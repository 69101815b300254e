//! One alert whole: what it is, what was told of it, and the readings that decided.

use std::io::Write;
use std::process::ExitCode;

use anyhow::{Context, Result};
use serde_json::{Value as Json, json};

use super::plot::plot;
use super::thresholds::{self, Threshold};
use super::{Agent, ago, clean, history, local, standing, the_one, told, value_text, values};
use crate::agent::status::{AlertStatus, Told};
use crate::cli::screen::{Screen, color_of, table};
use crate::model::time::Timestamp;
use crate::wire::record::EvidenceRecord;

#[derive(Debug, clap::Args)]
pub(super) struct Show {
    #[command(flatten)]
    agent: Agent,
    /// Its fingerprint, or the beginning of it
    #[arg(value_name = "FINGERPRINT")]
    alert: String,
    /// As one JSON object: the alert as it stands, if it does, and what was told of it, newest first
    #[arg(long)]
    json: bool,
}

/// The most columns that are drawn.
const MOST_PLOTS: usize = 3;

impl Show {
    pub(super) fn run(self) -> Result<ExitCode> {
        let standing = standing(&self.agent)?;
        let mut past = told(&self.agent, usize::MAX >> 1)?;
        let known = standing.alerts.iter().map(|alert| &*alert.fingerprint);
        let known = known.chain(past.iter().map(|one| &*one.told.fingerprint));
        let fingerprint = the_one(&self.alert, known)
            .context("`weir alerts` and `weir alerts history` show the fingerprints that there are")?;
        let alert = standing.alerts.into_iter().find(|alert| alert.fingerprint == fingerprint);
        past.retain(|one| one.told.fingerprint == fingerprint);
        let text = if self.json {
            let object = json!({ "fingerprint": fingerprint, "alert": alert, "history": past });
            serde_json::to_string_pretty(&object)? + "\n"
        } else {
            let screen = Screen::of_output();
            let rule = |name: &str| {
                let of = alert.as_ref().and_then(|alert| alert.labels.get(name)).and_then(Json::as_str);
                of.or(past.first().and_then(|one| one.told.labels.get(name)).map(|text| &**text))
                    .unwrap_or("")
            };
            // Without them the plot has no lines, and is a plot all the same.
            let limits =
                thresholds::of_running(&self.agent, rule("ruleset"), rule("alertname")).unwrap_or_default();
            let hub = !standing.link.hub.is_empty();
            text(&fingerprint, alert.as_ref(), &past, &limits, (&standing.at, hub), screen)
        };
        // A reader such as `head` may close early.
        drop(std::io::stdout().write_all(text.as_bytes()));
        Ok(ExitCode::SUCCESS)
    }
}

fn text(
    fingerprint: &str,
    alert: Option<&AlertStatus>,
    past: &[Told],
    limits: &[Threshold],
    (now, hub): (&str, bool),
    screen: Screen,
) -> String {
    let newest = past.first().map(|one| &one.told);
    let labels: Vec<(String, String)> = match (alert, newest) {
        (Some(alert), _) => {
            let text = |value: &Json| value.as_str().unwrap_or("").to_owned();
            alert.labels.iter().map(|(name, value)| (name.clone(), text(value))).collect()
        }
        (None, Some(told)) => told.labels.clone().into_iter().collect(),
        (None, None) => Vec::new(),
    };
    let label = |name: &str| labels.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value);
    let (state, severity) = match (alert, newest) {
        (Some(alert), _) => (alert.phase.clone(), &*alert.severity),
        (None, Some(told)) if told.reason.is_empty() => (told.state.clone(), &*told.severity),
        (None, Some(told)) => (format!("{} ({})", told.state, told.reason), &*told.severity),
        (None, None) => (String::new(), ""),
    };
    let color = if alert.is_some_and(|alert| alert.phase != "pending") { color_of(severity) } else { "" };
    let head = format!("{} {} {}", clean(&state), clean(severity), label("alertname"));
    let mut text = screen.paint(&head, &format!("1;{color}")) + "\n";
    let mut line = |name: &str, value: &str| {
        if !value.is_empty() {
            text.push_str(&format!("  {name:<12} {value}\n"));
        }
    };
    for (name, value) in newest.map(|told| &told.annotations).into_iter().flatten() {
        line(&clean(name), &clean(value));
    }
    line("id", fingerprint);
    for (name, value) in &labels {
        line(&clean(name), &clean(value));
    }
    let since = alert.map(|alert| &*alert.since).or(newest.map(|told| &*told.starts_at));
    if let Some(since) = since {
        line("since", &format!("{} ({} ago), {since}", local(since, now), ago(since, now)));
    }
    let stale = alert.and_then(|alert| alert.stale.as_deref()).map(|why| match why {
        "source" => "nothing new is heard of it: no connection to its broker",
        "silent" => "nothing new is heard of it: its whole stream is silent",
        _ => "nothing new is heard of it: its device is offline",
    });
    line("stale", stale.unwrap_or_default());
    if let Some(over) = newest.filter(|told| alert.is_none() && told.state == "resolved") {
        line("until", &format!("{} ({} ago)", local(&over.occurred_at, now), ago(&over.occurred_at, now)));
    }
    let row = alert.map(|alert| &alert.values).or(newest.map(|told| &told.values));
    line("values", &row.map(|row| values(&row.0, |name| Some(label(name)))).unwrap_or_default());
    if newest.is_some_and(|told| told.clock_doubted) {
        line("clock", "the node's clock could not be believed then");
    }
    // What it fired with says more than what it ended with.
    let evidence = past.iter().filter_map(|one| Some((one.told.evidence.as_ref()?, &one.told)));
    let evidence =
        evidence.max_by_key(|(evidence, told)| (told.state != "resolved", evidence.readings.len()));
    if let Some((evidence, told)) = evidence {
        text.push_str(&format!("\nreadings when it was told at {}\n", local(&told.occurred_at, now)));
        text.push_str(&readings(evidence, limits, now, screen));
    }
    if !past.is_empty() {
        text.push_str("\nwhat was told\n");
        text.push_str(&history::text(past, now, hub, screen));
    }
    text
}

/// Readings as plots of their numbers, and as a table.
fn readings(evidence: &EvidenceRecord, limits: &[Threshold], now: &str, screen: Screen) -> String {
    let mut text = String::new();
    let seconds = |at: &str| {
        #[expect(clippy::cast_precision_loss, reason = "a place in a picture")]
        Timestamp::parse(at).map(|at| at.micros() as f64 / 1e6)
    };
    let mut drawn = 0;
    for (at, column) in evidence.columns.iter().enumerate() {
        let point = |reading: &crate::wire::record::ReadingRecord| {
            Some((seconds(&reading.at)?, reading.values.get(at)?.as_f64()?))
        };
        let points: Vec<(f64, f64)> = evidence.readings.iter().filter_map(point).collect();
        let limits: Vec<&Threshold> = limits.iter().filter(|limit| limit.column == *column).collect();
        let flat = points.windows(2).all(|two| two[0].1 == two[1].1);
        if drawn == MOST_PLOTS || (flat && limits.is_empty()) {
            continue;
        }
        let picture = plot(&points, &limits, screen.columns, screen.unicode);
        if !picture.is_empty() {
            drawn += 1;
            text.push_str(&format!("{}\n{picture}", clean(column)));
        }
    }
    let heading: Vec<String> =
        std::iter::once("WHEN".to_owned()).chain(evidence.columns.iter().map(|c| clean(c))).collect();
    let heading: Vec<&str> = heading.iter().map(|name| &**name).collect();
    let row = |reading: &crate::wire::record::ReadingRecord| {
        let cells = std::iter::once(local(&reading.at, now)).chain(reading.values.iter().map(value_text));
        (cells.collect(), "")
    };
    let rows: Vec<(Vec<String>, &str)> = evidence.readings.iter().map(row).collect();
    text + &table(&heading, &rows, screen)
}
