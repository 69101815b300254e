//! Everything that the agent leaves out or lets go of, in one place: under which name of `/metrics` it is counted, what it
//! means, and what to do about it.

use serde::{Deserialize, Serialize};

use super::metrics::Metric;
use super::status::Status;

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fate {
    /// It is gone, or may be.
    Lost,
    /// It came, and no rule could use it.
    Unused,
    /// It was not told one by one: a summary stands for it.
    Withheld,
}

/// Something that can be dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    /// Its short name.
    pub name: &'static str,
    /// What becomes of it.
    pub fate: Fate,
    /// The counter of `/metrics`.
    pub metric: &'static str,
    /// The label that tells it from others of that counter; empty where all of them are meant.
    pub label: (&'static str, &'static str),
    /// What it is.
    pub what: &'static str,
    /// What to do about it.
    pub advice: &'static str,
}

const fn lost(name: &'static str, metric: &'static str, what: &'static str, advice: &'static str) -> Kind {
    Kind { name, fate: Fate::Lost, metric, label: ("", ""), what, advice }
}

const fn unused(name: &'static str, metric: &'static str, what: &'static str, advice: &'static str) -> Kind {
    Kind { name, fate: Fate::Unused, metric, label: ("", ""), what, advice }
}

const fn withheld(
    reason: &'static str,
    name: &'static str,
    what: &'static str,
    advice: &'static str,
) -> Kind {
    Kind {
        name,
        fate: Fate::Withheld,
        metric: "weir_alerts_withheld_total",
        label: ("reason", reason),
        what,
        advice,
    }
}

impl Kind {
    /// That of a source's counters which has this name.
    const fn of_source(self, what: &'static str) -> Self {
        Self { metric: "weir_source_total", label: ("what", what), ..self }
    }
}

/// All there is, in the order of the stream.
pub const DROPS: &[Kind] = &[
    lost(
        "broker-gaps",
        "",
        "reconnects at which the broker had lost the session: messages of before may be missing",
        "let the broker keep sessions (mosquitto: `persistence true`), for as long as the agent may be away (`session_expiry`)",
    )
    .of_source("gaps"),
    lost(
        "qos0-messages",
        "",
        "messages of QoS 0 that came faster than they could be taken",
        "publish and subscribe with QoS 1, which makes the broker wait; `weir profile` shows what takes the time",
    )
    .of_source("dropped"),
    lost(
        "oversized-messages",
        "",
        "messages larger than `max_packet`",
        "raise `max_packet` of the broker, or send smaller ones",
    )
    .of_source("oversized"),
    lost("bad-topics", "", "messages whose topic is no UTF-8", "correct who publishes them").of_source("bad_topics"),
    unused(
        "unmatched-messages",
        "weir_unmatched_total",
        "messages that no stream reads",
        "nothing, where a filter must be wider than the streams; else see the topics of the streams (`weir status`)",
    ),
    unused(
        "rejects",
        "weir_rejects_total",
        "payloads and rows that do not fit their stream",
        "`weir status` shows the last with its reason; correct the stream's columns or the device",
    ),
    unused(
        "late-rows",
        "weir_rule_late_total",
        "rows that came when their window was closed",
        "raise LATENESS of the stream, where devices send so late",
    ),
    unused(
        "future-rows",
        "weir_rule_future_total",
        "rows dated further ahead than MAX_FUTURE",
        "set the device's clock, or raise MAX_FUTURE of the stream",
    ),
    unused(
        "retained-rows",
        "weir_rule_retained_total",
        "retained messages, which windows and occurrences do not take: they tell what was, not what happens",
        "nothing; publish readings without the retain flag to have them counted",
    ),
    unused(
        "outdated-rows",
        "weir_rule_outdated_total",
        "rows older than one of their key: a newer one decides",
        "nothing, where a few come out of order; else see the device's clock and its TIMESTAMP",
    ),
    lost(
        "refused-keys",
        "weir_rule_refused_total",
        "keys and groups that found no room within their rule's bounds; an alert `…/limit` says so",
        "group by less, or raise the rule's ceiling (`weir status --rules` shows which)",
    ),
    withheld(
        "inhibited",
        "inhibited-alerts",
        "alerts that were not told, as the alert that explains them (`inhibited_by`) was up",
        "nothing: they are told once that one ends, if they are still up",
    ),
    withheld(
        "storm",
        "storm-alerts",
        "alerts beyond their rule's `max_instances`: a summary stands for them",
        "`weir alerts` shows them; raise `max_instances` of the rule where each should be told",
    ),
    withheld(
        "rate",
        "rate-alerts",
        "alerts beyond `[alerts] max_per_minute`: a summary stands for them",
        "`weir alerts` shows them; raise `max_per_minute` where each should be told",
    ),
    lost(
        "evidence",
        "weir_evidence_left_out_total",
        "readings too large to be kept as evidence of alerts",
        "raise `[evidence] max_bytes`, or send smaller readings",
    ),
    lost(
        "cut-transitions",
        "weir_transitions_cut_total",
        "transitions that were too large: their evidence was left out, their texts were cut",
        "write shorter annotations; see what the rule's columns hold (`weir spool show`)",
    ),
    lost(
        "evicted-transitions",
        "weir_spool_evicted_total",
        "transitions that were given up since the outbox was full: superseded ones first, then the least severe; the hub is told which",
        "see why the hub takes nothing (`weir spool`), or raise `[spool] max_bytes`",
    ),
    lost(
        "held-transitions",
        "weir_spool_held_dropped_total",
        "transitions that were given up while the disk took nothing and memory for them was full; the hub is told which",
        "see to the disk (`weir doctor`)",
    ),
    lost(
        "unreadable",
        "weir_unreadable_total",
        "kept states, journal entries and snapshots that could not be read at the start",
        "see to the disk (`weir doctor`, `dmesg`)",
    ),
];

/// How much was dropped of one kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Dropped {
    /// Its short name.
    pub name: String,
    /// What became of it.
    pub fate: Fate,
    /// How much; since the start, or where the spool counts, since its file was made.
    pub count: u64,
    /// Where: the labels of the counters that are not 0, greatest first.
    pub by: Vec<(String, u64)>,
    /// The counter of `/metrics`.
    pub metric: String,
    /// What it is.
    pub what: String,
    /// What to do about it.
    pub advice: String,
}

impl Status {
    /// All that can be dropped, with how much was: what was first, the worst and greatest before.
    pub fn drops(&self) -> Vec<Dropped> {
        let metrics = self.metrics();
        let mut all: Vec<Dropped> = DROPS.iter().map(|one| one.count(&metrics)).collect();
        all.sort_by_key(|one| (one.count == 0, one.fate, std::cmp::Reverse(one.count)));
        all
    }
}

impl Kind {
    /// Its counter's name with its label, as in `/metrics`.
    pub fn counter(&self) -> String {
        match self.label {
            ("", _) => self.metric.to_owned(),
            (name, value) => format!("{}{{{name}={value:?}}}", self.metric),
        }
    }

    fn is(&self, metric: &Metric) -> bool {
        let (name, value) = self.label;
        metric.name == self.metric
            && (name.is_empty() || metric.labels.iter().any(|(label, said)| *label == name && said == value))
    }

    fn count(&self, metrics: &[Metric]) -> Dropped {
        let mut by: Vec<(String, u64)> = Vec::new();
        let mut count = 0;
        for metric in metrics.iter().filter(|metric| self.is(metric) && metric.value > 0.0) {
            let figure = whole(metric.value);
            count += figure;
            let place = metric.labels.iter().filter(|(name, _)| *name != self.label.0);
            let place: Vec<String> = place.map(|(name, value)| format!("{name}={value}")).collect();
            if !place.is_empty() {
                by.push((place.join(" "), figure));
            }
        }
        by.sort_by_key(|(_, figure)| std::cmp::Reverse(*figure));
        Dropped {
            name: self.name.to_owned(),
            fate: self.fate,
            count,
            by,
            metric: self.counter(),
            what: self.what.to_owned(),
            advice: self.advice.to_owned(),
        }
    }
}

/// A count of things, which Prometheus has as a float.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "counters are whole and not negative"
)]
fn whole(value: f64) -> u64 {
    value as u64
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::agent::status::{CoreStatus, RuleStatus, Source, StreamStatus};

    /// Counters that count what was done, and nothing that was dropped.
    const DONE: &[&str] = &[
        "weir_message_bytes_total",
        "weir_messages_total",
        "weir_redelivered_total",
        "weir_rows_total",
        "weir_rule_matches_total",
        "weir_rule_seconds_total",
        "weir_rule_undefined_total",
        "weir_skipped_total",
        "weir_stream_messages_total",
        "weir_stream_skipped_total",
        "weir_transitions_total",
        "weir_link_message_received_bytes_total",
        "weir_link_message_sent_bytes_total",
        "weir_link_received_bytes_total",
        "weir_link_sent_bytes_total",
        "weir_link_sent_total",
        "weir_link_sessions_total",
        "weir_snapshot_bytes_total",
        "weir_snapshots_total",
        "weir_spool_commits_total",
        "weir_spool_troubles_total",
    ];

    /// Counters of a source that count no drop.
    const DONE_BY_SOURCES: &[&str] = &["messages", "bytes", "reconnects", "stale_acks", "paused"];

    /// A status with one of each.
    fn status() -> Status {
        let counters = crate::ingest::Counters::default();
        let seen = crate::ingest::SourceStatus {
            name: "site".to_owned(),
            connected: true,
            error: None,
            since: crate::model::time::Timestamp::default(),
            counters,
        };
        let mut source = Source::from(&seen);
        source.counters.iter_mut().filter(|(name, _)| name == "gaps").for_each(|(_, count)| *count = 2);
        let stream = StreamStatus {
            ruleset: "hall".to_owned(),
            name: "motors".to_owned(),
            rejects: vec![("not_json".to_owned(), 7)],
            ..StreamStatus::default()
        };
        let rule = |id: &str, late| RuleStatus {
            ruleset: "hall".to_owned(),
            rule: id.to_owned(),
            late,
            ..RuleStatus::default()
        };
        Status {
            sources: vec![source],
            core: CoreStatus {
                streams: vec![stream],
                rules: vec![rule("a", 1), rule("b", 3), rule("c", 0)],
                ..CoreStatus::default()
            },
            ..Status::default()
        }
    }

    #[test]
    fn every_counter_counts_what_was_done_or_what_was_dropped() {
        let metrics = status().metrics();
        let counters: BTreeSet<&str> =
            metrics.iter().map(|m| m.name).filter(|name| name.ends_with("_total")).collect();
        let drops: BTreeSet<&str> = DROPS.iter().map(|one| one.metric).collect();
        let done: BTreeSet<&str> = DONE.iter().copied().collect();
        let known: BTreeSet<&str> = drops.union(&done).copied().collect();
        let unknown: Vec<&&str> = counters.difference(&known).collect();
        assert!(unknown.is_empty(), "neither in DROPS, with what to do, nor in DONE: {unknown:?}");
        assert!(drops.is_subset(&counters), "{:?}", drops.difference(&counters).collect::<Vec<_>>());
        let of_sources = metrics.iter().filter(|m| m.name == "weir_source_total");
        let told: BTreeSet<&str> = of_sources.map(|m| &*m.labels[1].1).collect();
        let kinds = DROPS.iter().filter(|one| one.metric == "weir_source_total").map(|one| one.label.1);
        assert_eq!(told, kinds.chain(DONE_BY_SOURCES.iter().copied()).collect());
        let names: BTreeSet<&str> = DROPS.iter().map(|one| one.name).collect();
        assert_eq!(names.len(), DROPS.len(), "each has a name of its own");
    }

    #[test]
    fn what_was_dropped_stands_first_the_worst_before_all() {
        let drops = status().drops();
        let named: Vec<(&str, u64)> = drops.iter().map(|one| (&*one.name, one.count)).collect();
        assert_eq!(named[..3], [("broker-gaps", 2), ("rejects", 7), ("late-rows", 4)]);
        assert!(named[3..].iter().all(|(_, count)| *count == 0));
        assert_eq!(drops.len(), DROPS.len());
        let places = [("ruleset=hall rule=b".to_owned(), 3), ("ruleset=hall rule=a".to_owned(), 1)];
        assert_eq!(drops[2].by, places);
        assert_eq!(drops[0].by, [("source=site".to_owned(), 2)]);
        assert_eq!(drops[0].metric, "weir_source_total{what=\"gaps\"}");
    }
}
