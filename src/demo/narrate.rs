//! What the demo tells, as values, as JSON, and as lines for a stranger at a terminal. Pure. What
//! comes from devices is freed of control characters before it reaches the terminal.

use std::time::Duration;

use serde::Serialize;

use crate::hub::record::TransitionRecord;
use crate::model::time::{Timestamp, format_span};

/// One thing to tell.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Line {
    /// What runs where.
    Started(Started),
    /// The agent runs the rules.
    Rules(Rules),
    /// The hub has received a transition.
    Alert(Box<Seen>),
    /// The sums so far.
    Tally(Tally),
    /// The closing sums.
    Summary(Summary),
}

/// What runs where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Started {
    /// The broker's address.
    pub broker: String,
    /// Whether it is part of the demo.
    pub broker_inside: bool,
    /// Who publishes there.
    pub sensors: String,
    /// The hub's page, with its token.
    pub page: String,
    /// The agent's id.
    pub agent: String,
    /// The command that asks it what it does.
    pub status: String,
    /// The directory that stays; none where nothing does.
    pub kept: Option<String>,
}

/// The rules that run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Rules {
    /// How many.
    pub rules: usize,
    /// The names of their sets.
    pub sets: Vec<String>,
    /// The greatest revision of a set.
    pub revision: u64,
}

/// A transition, as the hub has received it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Seen {
    /// From the reading, or the moment at which a time was up, to the hub; ms.
    pub latency_ms: u64,
    /// The transition.
    pub transition: TransitionRecord,
}

/// Sums since the start, as the agent counts them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Messages read: the sensors', and the samples of this machine's own metrics.
    pub readings_in: u64,
    /// Bytes of their payloads.
    pub bytes_in: u64,
    /// Transitions sent to the hub.
    pub alerts_out: u64,
    /// Bytes of all that was sent to the hub, reports on the agent's own state included.
    pub bytes_out: u64,
}

/// How many transitions of each sort the hub has received.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Alerts that came up.
    pub fired: u64,
    /// Alerts that ended.
    pub resolved: u64,
    /// Occurrences, which have no end.
    pub occurred: u64,
}

/// The closing sums.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// What the hub has received.
    pub counts: Counts,
    /// What the agent has read and sent.
    pub tally: Tally,
    /// The directory that stays.
    pub kept: Option<String>,
}

impl Seen {
    /// A transition as the demo tells it.
    pub fn of(transition: TransitionRecord) -> Self {
        let latency = latency(&transition).as_millis();
        Self { latency_ms: u64::try_from(latency).unwrap_or(u64::MAX), transition }
    }
}

fn latency(transition: &TransitionRecord) -> Duration {
    let at = |text: &str| Timestamp::parse(text).unwrap_or_default();
    at(&transition.received_at).since(at(&transition.occurred_at))
}

impl Counts {
    /// Counts a transition.
    pub fn add(&mut self, transition: &TransitionRecord) {
        match transition.state.as_str() {
            "firing" => self.fired += 1,
            "resolved" => self.resolved += 1,
            _ => self.occurred += 1,
        }
    }

    /// How many there were.
    pub fn all(&self) -> u64 {
        self.fired + self.resolved + self.occurred
    }
}

/// A line as JSON, without a line end.
pub fn json(line: &Line) -> String {
    serde_json::to_string(line).unwrap_or_default()
}

/// A line, or several, for a terminal; coloured where it can show colours.
pub fn text(line: &Line, coloured: bool) -> String {
    let pen = Pen { coloured };
    match line {
        Line::Started(started) => start(started, pen),
        Line::Rules(rules) => {
            let running = format!("{} rules pushed to the hub, running on the agent", rules.rules);
            let which = pen.dim(&format!("({}, revision {})", rules.sets.join(", "), rules.revision));
            format!("  rules    {running}   {which}\n\n{}", pen.dim(&heading()))
        }
        Line::Alert(seen) => alert(seen, pen),
        Line::Tally(tally) => pen.dim(&format!("{:10}{}", "", sums(tally))),
        Line::Summary(summary) => close(summary, pen),
    }
}

fn start(started: &Started, pen: Pen) -> String {
    let broker = if started.broker_inside { "inside this process" } else { "yours" };
    let stays = match &started.kept {
        Some(dir) => format!("{dir} keeps the files of agent and hub"),
        None => "nothing stays when it ends".to_owned(),
    };
    let lines = [
        ("broker", pen.bold(&started.broker), format!("{broker}; {} publish there", started.sensors)),
        ("agent", pen.bold(&started.agent), started.status.clone()),
        ("hub", pen.bold(&started.page), String::new()),
    ];
    let mut text =
        format!("weir demo: sensors, broker, agent and hub on this machine. Ctrl-C ends it; {stays}.\n");
    for (what, place, about) in lines {
        text.push_str(&format!("\n  {what:<8} {place}"));
        if !about.is_empty() {
            text.push_str(&format!("   {}", pen.dim(&about)));
        }
    }
    text
}

fn alert(seen: &Seen, pen: Pen) -> String {
    let t = &seen.transition;
    let (state, paint): (&str, fn(Pen, &str) -> String) = match (&*t.state, &*t.severity) {
        ("firing", "critical") => ("FIRING", Pen::red),
        ("firing", _) => ("FIRING", Pen::yellow),
        ("resolved", _) => ("resolved", Pen::green),
        _ => ("occurred", Pen::cyan),
    };
    let state = paint(pen, &format!("{state:<8}"));
    let subject = clean(&subject(t));
    let what = clean(&what(t));
    let what = if t.state == "firing" { pen.bold(&what) } else { what };
    let delay = pen.dim(&format!("{:>6}", format!("{} ms", seen.latency_ms)));
    let (severity, rule) = (clean(&t.severity), clean(&t.rule));
    format!("{}  {state}  {severity:<8}  {rule:<18}  {subject:<9}  {delay}  {what}", clock(&t.received_at))
}

/// The columns of [`alert`]. The delay is from the reading to the hub.
fn heading() -> String {
    format!(
        "{:<8}  {:<8}  {:<8}  {:<18}  {:<9}  {:>6}  what",
        "time", "state", "severity", "rule", "on", "delay"
    )
}

/// What an alert is about: its device, else its labels beyond those that every alert has, else the
/// agent.
fn subject(t: &TransitionRecord) -> String {
    if let Some(device) = t.labels.get("device") {
        return device.clone();
    }
    let own = |name: &str| ["agent", "ruleset", "alertname"].contains(&name);
    let labels: Vec<String> = t
        .labels
        .iter()
        .filter(|(name, _)| !own(name))
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    if labels.is_empty() { t.agent.clone() } else { labels.join(" ") }
}

fn what(t: &TransitionRecord) -> String {
    let summary = t.annotations.get("summary").map_or("", String::as_str);
    if t.state != "resolved" {
        return summary.to_owned();
    }
    let at = |text: &str| Timestamp::parse(text).unwrap_or_default();
    let lasted = at(&t.occurred_at).since(at(&t.starts_at)).as_secs();
    let lasted = format_span(Duration::from_secs(lasted));
    format!("{} after {lasted}: {summary}", t.reason.replace('_', " "))
}

/// The time of day, as the wall shows it here.
fn clock(at: &str) -> String {
    let local = at.parse::<jiff::Timestamp>().map(|at| at.to_zoned(jiff::tz::TimeZone::system()));
    local.map_or_else(|_| "--:--:--".to_owned(), |at| at.strftime("%H:%M:%S").to_string())
}

fn sums(tally: &Tally) -> String {
    let mut text = format!(
        "in {}, {}   out {}, {}",
        count(tally.readings_in, "reading"),
        bytes(tally.bytes_in),
        count(tally.alerts_out, "alert"),
        bytes(tally.bytes_out)
    );
    if let Some(part) = tally.bytes_in.checked_div(tally.bytes_out).filter(|part| *part > 1) {
        text.push_str(&format!("   (1 of {part} bytes leaves the site)"));
    }
    text
}

fn close(summary: &Summary, pen: Pen) -> String {
    let Summary { counts, tally, kept } = summary;
    let alerts =
        format!("{} fired, {} resolved, {} occurred", counts.fired, counts.resolved, counts.occurred);
    let mut text = format!(
        "\n{}\n  alerts   {alerts}, as the hub received them\n  bytes    {}",
        pen.bold("The demo is over."),
        sums(tally)
    );
    if let Some(dir) = kept {
        text.push_str(&format!("\n  files    {dir}"));
    }
    text
}

fn count(n: u64, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}

/// A size for people.
#[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
fn bytes(size: u64) -> String {
    match size {
        0..1_000 => format!("{size} B"),
        1_000..1_000_000 => format!("{:.1} kB", size as f64 / 1e3),
        _ => format!("{:.1} MB", size as f64 / 1e6),
    }
}

fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// Colours, where there are any.
#[derive(Clone, Copy)]
struct Pen {
    coloured: bool,
}

impl Pen {
    fn paint(self, code: &str, text: &str) -> String {
        if self.coloured { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }

    fn red(self, text: &str) -> String {
        self.paint("1;31", text)
    }

    fn yellow(self, text: &str) -> String {
        self.paint("1;33", text)
    }

    fn green(self, text: &str) -> String {
        self.paint("32", text)
    }

    fn cyan(self, text: &str) -> String {
        self.paint("36", text)
    }

    fn bold(self, text: &str) -> String {
        self.paint("1", text)
    }

    fn dim(self, text: &str) -> String {
        self.paint("2", text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(state: &str, reason: &str, labels: &[(&str, &str)], summary: &str) -> Line {
        let label = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let transition = serde_json::json!({
            "agent": "gw", "epoch": "0", "seq": 1, "state": state, "reason": reason, "ruleset": "demo", "rule": "hot",
            "rule_hash": "0", "fingerprint": "0", "severity": "critical", "values": {},
            "labels": labels.iter().map(label).collect::<std::collections::BTreeMap<_, _>>(),
            "annotations": { "summary": summary },
            "starts_at": "2026-01-01T00:00:00Z", "occurred_at": "2026-01-01T00:01:05Z",
            "recorded_at": "2026-01-01T00:01:05Z", "received_at": "2026-01-01T00:01:05.012Z",
        });
        Line::Alert(Box::new(Seen::of(serde_json::from_value(transition).unwrap())))
    }

    #[test]
    fn a_line_tells_state_subject_delay_and_reason() {
        let device = [("agent", "gw"), ("alertname", "hot"), ("device", "f1"), ("site", "a")];
        let mount = [("agent", "gw"), ("mount", "/data")];
        let cases: &[(Line, &str)] = &[
            (
                seen("firing", "", &device, "92 °C"),
                "FIRING    critical  hot                 f1          12 ms  92 °C",
            ),
            (
                seen("resolved", "rule_changed", &device, "70 °C"),
                "resolved  critical  hot                 f1          12 ms  rule changed after 1m5s: 70 °C",
            ),
            (
                seen("occurred", "", &mount, "full"),
                "occurred  critical  hot                 mount=/data   12 ms  full",
            ),
            (
                seen("occurred", "", &[], "seen"),
                "occurred  critical  hot                 gw          12 ms  seen",
            ),
        ];
        for (line, expected) in cases {
            let text = text(line, false);
            assert_eq!(text.split_once("  ").unwrap().1, *expected);
        }
    }

    #[test]
    fn nothing_that_a_device_sends_reaches_the_terminal_as_a_command() {
        let line = seen("firing", "", &[("device", "f\u{1b}[2J")], "a\nb\u{7}");
        assert!(!text(&line, false).contains(|c: char| c.is_control()));
    }

    #[test]
    fn sums_tell_the_share_only_where_there_is_one() {
        let tally = |bytes_in, bytes_out| Tally { readings_in: 412, bytes_in, alerts_out: 1, bytes_out };
        assert_eq!(
            sums(&tally(63_200, 4_100)),
            "in 412 readings, 63.2 kB   out 1 alert, 4.1 kB   (1 of 15 bytes leaves the site)"
        );
        assert_eq!(sums(&tally(900, 800)), "in 412 readings, 900 B   out 1 alert, 800 B");
        assert_eq!(sums(&tally(900, 0)), "in 412 readings, 900 B   out 1 alert, 0 B");
    }
}
