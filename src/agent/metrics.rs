//! The agent's figures under their Prometheus names: for `/metrics`, and, summed up, for the hub.

use crate::model::link::{AgentReport, SourceReport};
use crate::model::ruleset::RunningSet;
use crate::model::time::Timestamp;

use super::status::{RuleStatus, Status};
use super::trouble::DiskTrouble;
use crate::spool::Trouble;

/// One figure under its Prometheus name, with its labels.
#[derive(Clone, Debug, PartialEq)]
pub struct Metric {
    /// As in `weir_rows_total`; a counter where it ends in `_total`, else a gauge.
    pub name: &'static str,
    /// What it counts.
    pub help: &'static str,
    /// Names and values.
    pub labels: Vec<(&'static str, String)>,
    /// The figure.
    pub value: f64,
}

/// What is told of a rule: name, help and figure.
type Figure = (&'static str, &'static str, fn(&RuleStatus) -> u64);

const FIGURES: [Figure; 11] = [
    ("weir_rule_matches_total", "output rows of a rule for which `when` was true", |r| r.matched),
    ("weir_rule_late_total", "rows too late for their window", |r| r.late),
    ("weir_rule_future_total", "rows dated too far ahead", |r| r.future),
    ("weir_rule_retained_total", "rows of retained messages, not used", |r| r.retained),
    ("weir_rule_outdated_total", "rows older than one of their key", |r| r.outdated),
    ("weir_rule_refused_total", "keys and groups that had no room", |r| r.refused),
    ("weir_rule_undefined_total", "results that do not exist: NULL in their place", |r| r.undefined),
    ("weir_rule_state_bytes", "bytes of a rule's state, by estimate", |r| r.bytes),
    ("weir_transitions_total", "transitions of a rule's alerts", |r| r.transitions),
    ("weir_alerts_firing", "alerts up", |r| r.firing),
    ("weir_alerts_pending", "alerts pending", |r| r.pending),
];

const DEGRADED: (&str, &str) = ("weir_rule_degraded", "whether a rule passed a ceiling lately");
const SECONDS: (&str, &str) = ("weir_rule_seconds_total", "time that a rule took");

impl Status {
    /// Every figure, in an order that keeps the same names together.
    pub fn metrics(&self) -> Vec<Metric> {
        let mut out = Metrics::default();
        self.own_metrics(&mut out);
        self.rule_metrics(&mut out);
        out.list
    }

    /// All but those of rules.
    fn own_metrics(&self, out: &mut Metrics) {
        out.plain("weir_uptime_seconds", "seconds since the start", self.uptime_seconds);
        out.plain("weir_resident_bytes", "resident memory of the process", self.rss_bytes);
        out.plain("weir_messages_total", "messages taken in", self.core.messages);
        out.plain("weir_message_bytes_total", "payload bytes taken in", self.core.bytes);
        out.plain(
            "weir_redelivered_total",
            "messages delivered again and not evaluated",
            self.core.redelivered,
        );
        out.plain(
            "weir_clock_trusted",
            "whether the node's calendar is believed",
            u64::from(self.core.clock_trusted),
        );
        out.plain("weir_unmatched_total", "messages that no stream reads", self.core.unmatched);
        out.plain(
            "weir_skipped_total",
            "messages not read, as by their topic no rule could care",
            self.core.skipped,
        );
        let withheld = &self.core.withheld;
        out.plain("weir_alerts_withheld", "alerts that are up and not told", withheld.now);
        for (why, count) in
            [("inhibited", withheld.inhibited), ("storm", withheld.storm), ("rate", withheld.rate)]
        {
            out.add(
                "weir_alerts_withheld_total",
                "alerts that were not told when they fired",
                &[("reason", why)],
                count,
            );
        }
        for source in &self.sources {
            out.add(
                "weir_source_connected",
                "whether the broker is connected",
                &[("source", &source.name)],
                u64::from(source.connected),
            );
        }
        for source in &self.sources {
            for (counter, count) in &source.counters {
                out.add(
                    "weir_source_total",
                    "what a source counted",
                    &[("source", &source.name), ("what", counter)],
                    *count,
                );
            }
        }
        self.stream_metrics(out);
        let spool = &self.core.spool;
        out.plain("weir_spool_newest", "newest sequence number", spool.newest);
        out.plain("weir_spool_waiting", "transitions that wait for the hub", spool.waiting);
        out.plain("weir_spool_waiting_bytes", "their bytes", spool.waiting_bytes);
        out.plain("weir_spool_evicted_total", "transitions given up since the spool was made", spool.evicted);
        out.plain("weir_spool_commits_total", "transactions", spool.commits);
        self.disk_metrics(out);
        out.plain("weir_link_connected", "whether the hub is connected", u64::from(self.link.connected));
        out.plain("weir_link_sessions_total", "sessions with the hub", self.link.sessions);
        out.plain("weir_link_sent_total", "transitions sent, repeats included", self.link.sent);
        let link = &self.link;
        let about = "bytes sent to the hub, at the socket";
        out.plain("weir_link_sent_bytes_total", about, link.bytes_sent);
        let about = "bytes received from the hub, at the socket";
        out.plain("weir_link_received_bytes_total", about, link.bytes_received);
        let about = "bytes of messages sent, before they are compressed";
        out.plain("weir_link_message_sent_bytes_total", about, link.message_bytes_sent);
        let about = "bytes of messages received, after they are decompressed";
        out.plain("weir_link_message_received_bytes_total", about, link.message_bytes_received);
        let about = "transitions that wait for the byte budget";
        out.plain("weir_link_held", about, link.held.map_or(0, |held| held.alerts));
    }

    /// Whether what is decided becomes durable, and what it costs.
    fn disk_metrics(&self, out: &mut Metrics) {
        let disk = &self.core.disk;
        let trouble = disk.trouble.as_ref();
        for kind in Trouble::ALL {
            let is = trouble.is_some_and(|trouble| trouble.kind == kind.name());
            out.add(
                "weir_spool_trouble",
                "whether the disk takes nothing, and why",
                &[("kind", kind.name())],
                is.into(),
            );
        }
        out.plain("weir_spool_troubles_total", "times that the disk began to take nothing", disk.troubles);
        let held = |figure: fn(&DiskTrouble) -> u64| trouble.map_or(0, figure);
        out.plain("weir_spool_held", "transitions that wait in memory for the disk", held(|t| t.held));
        out.plain("weir_spool_held_bytes", "their bytes", held(|t| t.held_bytes));
        out.plain(
            "weir_spool_unacknowledged",
            "messages that are not acknowledged until the disk takes what they caused",
            held(|t| t.unacknowledged),
        );
        out.plain(
            "weir_spool_held_dropped_total",
            "transitions given up while the disk took nothing, as memory for them is bounded",
            disk.given_up,
        );
        let figures = &self.core.figures;
        out.plain("weir_snapshots_total", "snapshots of open windows", figures.snapshots);
        out.plain("weir_snapshot_bytes_total", "their bytes", figures.snapshot_bytes);
        out.plain(
            "weir_transitions_cut_total",
            "transitions that were too large: evidence left out, texts cut",
            figures.cut,
        );
        out.plain(
            "weir_evidence_left_out_total",
            "readings too large to be kept as evidence",
            self.core.evidence_left_out,
        );
        out.plain(
            "weir_unreadable_total",
            "kept states, journal entries and snapshots that could not be read at the start",
            figures.unreadable,
        );
    }

    fn stream_metrics(&self, out: &mut Metrics) {
        for s in &self.core.streams {
            out.add(
                "weir_stream_messages_total",
                "messages that reached a stream",
                &[("ruleset", &s.ruleset), ("stream", &s.name)],
                s.messages,
            );
        }
        for s in &self.core.streams {
            out.add(
                "weir_stream_skipped_total",
                "those not read, as by their topic no rule could care",
                &[("ruleset", &s.ruleset), ("stream", &s.name)],
                s.skipped,
            );
        }
        for s in &self.core.streams {
            out.add(
                "weir_rows_total",
                "rows made of them",
                &[("ruleset", &s.ruleset), ("stream", &s.name)],
                s.rows,
            );
        }
        for s in &self.core.streams {
            for (reason, count) in &s.rejects {
                out.add(
                    "weir_rejects_total",
                    "messages and rows refused",
                    &[("ruleset", &s.ruleset), ("stream", &s.name), ("reason", reason)],
                    *count,
                );
            }
        }
    }

    fn rule_metrics(&self, out: &mut Metrics) {
        for (name, help, figure) in FIGURES {
            for r in &self.core.rules {
                out.add(name, help, &[("ruleset", &r.ruleset), ("rule", &r.rule)], figure(r));
            }
        }
        for r in &self.core.rules {
            let labels = [("ruleset", &*r.ruleset), ("rule", &*r.rule)];
            out.add(DEGRADED.0, DEGRADED.1, &labels, u64::from(r.degraded));
        }
        for r in &self.core.rules {
            let labels = [("ruleset", &*r.ruleset), ("rule", &*r.rule)];
            out.float(SECONDS.0, SECONDS.1, &labels, seconds(r.nanos));
        }
    }

    /// What the hub is told, of a status with the sums of each set's rules; of these only what there is to
    /// tell. One by one they would make each report as large as the rule sets.
    pub fn report(&self, running: Vec<RunningSet>) -> AgentReport {
        let mut out = Metrics::default();
        self.own_metrics(&mut out);
        for r in &self.core.rules {
            let labels = [("ruleset", &*r.ruleset)];
            for (name, help, figure) in FIGURES.iter().filter(|(.., figure)| figure(r) > 0) {
                out.add(name, help, &labels, figure(r));
            }
            if r.nanos > 0 {
                out.float(SECONDS.0, SECONDS.1, &labels, seconds(r.nanos));
            }
        }
        for set in self.core.rulesets.iter().filter(|set| set.degraded > 0) {
            out.add(DEGRADED.0, DEGRADED.1, &[("ruleset", &set.name)], set.degraded as u64);
        }
        AgentReport {
            uptime_seconds: self.uptime_seconds,
            running,
            metrics: out.list.iter().map(|m| (m.key(), m.value)).collect(),
            sources: self
                .sources
                .iter()
                .map(|s| SourceReport {
                    name: s.name.as_str().into(),
                    connected: s.connected,
                    error: s.error.clone(),
                    since: Timestamp::parse(&s.since).unwrap_or_default().micros(),
                })
                .collect(),
        }
    }
}

impl Metric {
    /// Name and labels, as in `weir_rejects_total{stream="env",reason="not_json"}`.
    pub fn key(&self) -> String {
        if self.labels.is_empty() {
            return self.name.to_owned();
        }
        let labels: Vec<String> = self.labels.iter().map(|(k, v)| format!("{k}={v:?}")).collect();
        format!("{}{{{}}}", self.name, labels.join(","))
    }
}

#[derive(Default)]
struct Metrics {
    list: Vec<Metric>,
}

impl Metrics {
    fn plain(&mut self, name: &'static str, help: &'static str, value: u64) {
        self.add(name, help, &[], value);
    }

    #[expect(clippy::cast_precision_loss, reason = "Prometheus figures are floats")]
    fn add(&mut self, name: &'static str, help: &'static str, labels: &[(&'static str, &str)], value: u64) {
        self.float(name, help, labels, value as f64);
    }

    fn float(&mut self, name: &'static str, help: &'static str, labels: &[(&'static str, &str)], value: f64) {
        let labels = labels.iter().map(|(k, v)| (*k, (*v).to_owned())).collect();
        self.list.push(Metric { name, help, labels, value });
    }
}

#[expect(clippy::cast_precision_loss, reason = "Prometheus figures are floats")]
fn seconds(nanos: u64) -> f64 {
    nanos as f64 / 1e9
}

/// The figures in Prometheus' text format.
pub fn exposition(metrics: &[Metric]) -> String {
    let mut text = String::new();
    let mut last = "";
    for metric in metrics {
        if metric.name != last {
            last = metric.name;
            let kind = if last.ends_with("_total") { "counter" } else { "gauge" };
            text.push_str(&format!("# HELP {last} {}\n# TYPE {last} {kind}\n", metric.help));
        }
        text.push_str(&format!("{} {}\n", metric.key(), metric.value));
    }
    text
}
