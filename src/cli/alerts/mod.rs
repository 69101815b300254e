//! `weir alerts`: the alerts of the running agent, for a person at the gateway.
#![expect(clippy::print_stdout, reason = "this is what the verb is for")]

mod history;
mod list;
mod plot;
mod show;
pub(super) mod thresholds;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Subcommand;

use crate::agent::status::{AlertStatus, Alerts as Standing, Told};
use crate::model::label::OWN_LABELS;
use crate::model::time::{Timestamp, format_span};

use super::socket::{self, Agent};

#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct Alerts {
    #[command(subcommand)]
    what: Option<What>,
    #[command(flatten)]
    list: list::List,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Show what was told lately, also what is over
    History(history::History),
    /// Show one alert whole, with its readings
    Show(show::Show),
    /// End an alert by hand; it stays quiet until it clears
    Resolve(Resolve),
}

#[derive(Debug, clap::Args)]
struct Resolve {
    #[command(flatten)]
    agent: Agent,
    /// Its fingerprint, or the beginning of it
    #[arg(value_name = "FINGERPRINT")]
    alert: String,
    /// Why; the hub hears of it, and everybody whom the hub tells
    #[arg(long, value_name = "TEXT")]
    reason: String,
}

/// Bytes of the longest reason.
const LONGEST_REASON: usize = 500;

impl Alerts {
    pub(super) fn run(self) -> Result<ExitCode> {
        match self.what {
            None => self.list.run(),
            Some(What::History(history)) => history.run(),
            Some(What::Show(show)) => show.run(),
            Some(What::Resolve(resolve)) => resolve.run(),
        }
    }
}

impl Resolve {
    fn run(self) -> Result<ExitCode> {
        let reason = self.reason.split_whitespace().collect::<Vec<_>>().join(" ");
        if reason.is_empty() || reason.len() > LONGEST_REASON {
            bail!("the reason has {} bytes; write 1 to {LONGEST_REASON}", reason.len());
        }
        let socket = self.agent.path()?;
        let standing = standing(&self.agent)?;
        let up: Vec<&AlertStatus> = standing.alerts.iter().filter(|alert| alert.phase != "pending").collect();
        let alert = the_one(&self.alert, up.iter().map(|alert| &*alert.fingerprint))
            .context("only an alert that is up can be resolved; `weir alerts` lists them")?;
        let answer = socket::ask(&socket, &format!("resolve {alert} {reason}"))?;
        match serde_json::from_str(&answer)
            .context("understand the agent's answer; is it another version?")?
        {
            true => println!("resolved {alert}: it stays quiet until it clears"),
            false => bail!("the alert {alert} has ended meanwhile"),
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// The alerts that stand.
fn standing(agent: &Agent) -> Result<Standing> {
    let answer = socket::ask(&agent.path()?, "alerts")?;
    serde_json::from_str(&answer).context("understand the agent's answer; is it another version?")
}

/// The newest transitions, newest first.
fn told(agent: &Agent, most: usize) -> Result<Vec<Told>> {
    let answer = socket::ask(&agent.path()?, &format!("history {most}"))?;
    serde_json::from_str(&answer).context("understand the agent's answer; is it another version?")
}

/// The one fingerprint that begins so.
fn the_one<'a>(prefix: &str, all: impl Iterator<Item = &'a str>) -> Result<String> {
    let prefix = prefix.trim().to_ascii_lowercase();
    let mut found: Vec<&str> = all.filter(|fingerprint| fingerprint.starts_with(&prefix)).collect();
    found.sort_unstable();
    found.dedup();
    match found.as_slice() {
        [one] => Ok((*one).to_owned()),
        [] => bail!("no alert has a fingerprint that begins with `{prefix}`"),
        several => {
            let some: Vec<&str> = several.iter().take(5).copied().collect();
            let more = if several.len() > some.len() { ", …" } else { "" };
            bail!("`{prefix}` is the beginning of {}: {}{more}", several.len(), some.join(", "))
        }
    }
}

/// The labels that are not the same for every alert of a rule.
pub(super) fn own_labels<'a>(labels: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let own = labels.filter(|(name, _)| !OWN_LABELS.contains(name));
    own.map(|(name, value)| format!("{name}={}", clean(value))).collect::<Vec<_>>().join(" ")
}

/// Values as `t=21.5 door=open`; texts as they are. What is a label too was said there.
fn values<'a>(values: &[(String, serde_json::Value)], label: impl Fn(&str) -> Option<&'a str>) -> String {
    let one = |(name, value): &(String, serde_json::Value)| {
        let text = value_text(value);
        (label(name) != Some(&*text)).then(|| format!("{name}={text}"))
    };
    values.iter().filter_map(one).collect::<Vec<_>>().join(" ")
}

/// A value for people: a long fraction is cut.
fn value_text(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::String(text) => clean(text),
        serde_json::Value::Number(number) => match number.as_f64().filter(|_| number.is_f64()) {
            Some(x) if x.abs() >= 0.1 && x.abs() < 1e9 => {
                let text = format!("{x:.3}");
                text.trim_end_matches('0').trim_end_matches('.').to_owned()
            }
            _ => number.to_string(),
        },
        other => clean(&other.to_string()),
    }
}

/// What devices send may hold control characters; a terminal must not see them.
pub(super) fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// How long before a time another one was, in at most two units: `2h5m`.
pub(super) fn ago(then: &str, now: &str) -> String {
    let Some((then, now)) = Timestamp::parse(then).zip(Timestamp::parse(now)) else { return String::new() };
    let seconds = now.since(then).as_secs();
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600, seconds / 60);
    let span = |seconds: u64| format_span(Duration::from_secs(seconds));
    match (days, hours, minutes) {
        (1.., ..) => span(hours * 3_600),
        (_, 1.., _) => span(minutes * 60),
        _ => span(seconds),
    }
}

/// A time as the clock on the wall shows it there: `14:03:07`, and the day where it is not today's.
pub(super) fn local(at: &str, now: &str) -> String {
    let zone = jiff::tz::TimeZone::system();
    let zoned = |text: &str| text.parse::<jiff::Timestamp>().ok().map(|at| at.to_zoned(zone.clone()));
    match (zoned(at), zoned(now)) {
        (Some(at), Some(now)) if at.date() == now.date() => at.strftime("%H:%M:%S").to_string(),
        (Some(at), _) => at.strftime("%Y-%m-%d %H:%M:%S").to_string(),
        _ => clean(at),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_may_be_cut_short_where_that_is_clear() {
        let all = ["aabb", "aacc", "bbcc", "aacc"];
        let one = |prefix: &str| the_one(prefix, all.into_iter());
        assert_eq!(one("BB").unwrap(), "bbcc");
        assert_eq!(one("aac").unwrap(), "aacc");
        assert_eq!(one("aa").unwrap_err().to_string(), "`aa` is the beginning of 2: aabb, aacc");
        assert_eq!(one("c").unwrap_err().to_string(), "no alert has a fingerprint that begins with `c`");
    }

    #[test]
    fn spans_have_two_units_and_numbers_three_digits() {
        let now = "2026-01-02T03:04:05Z";
        for (then, text) in [
            ("2026-01-02T03:04:00Z", "5s"),
            ("2026-01-02T02:00:00Z", "1h4m"),
            ("2025-12-30T00:00:00Z", "3d3h"),
            ("2026-01-02T03:05:00Z", "0s"),
        ] {
            assert_eq!(ago(then, now), text);
        }
        assert_eq!(value_text(&serde_json::json!(18.899_999_618)), "18.9");
        assert_eq!(value_text(&serde_json::json!("a\u{1b}[2J")), "a\u{fffd}[2J");
    }
}
