//! What of an agent's data was dropped anywhere on its way to people, in one list: what the agent counted, as of its last
//! status, and what the hub did. Pure.

use std::collections::BTreeMap;

use serde::Serialize;

use super::record::StatusRecord;
use super::store::gaps::Cause;

/// Something that was dropped, and how often.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Drop {
    /// `agent` or `hub`.
    by: &'static str,
    /// The counter's name.
    what: String,
    /// What it counts.
    means: &'static str,
    count: f64,
}

/// The agent's counters of what it did not use or gave up.
const COUNTED: [(&str, &str); 11] = [
    ("weir_rejects_total", "messages and rows that could not be read"),
    ("weir_rule_late_total", "rows too late for their window"),
    ("weir_rule_future_total", "rows dated too far ahead"),
    ("weir_rule_outdated_total", "rows older than one of their key"),
    ("weir_rule_retained_total", "rows of retained messages, which feed no window"),
    ("weir_rule_refused_total", "keys and groups that had no room"),
    ("weir_spool_evicted_total", "transitions that the full spool gave up"),
    ("weir_evidence_left_out_total", "readings too large to be kept as evidence"),
    ("weir_transitions_cut_total", "transitions that were too large: evidence left out, texts cut"),
    ("weir_unreadable_total", "kept states that could not be read at the start"),
    ("weir_alerts_withheld_total", "alerts that were not told one by one: summaries stand for them"),
];

/// The counters of a source that count drops, by their label `what`.
const OF_SOURCES: [(&str, &str); 4] = [
    ("dropped", "messages that came too fast"),
    ("oversized", "messages that were too large"),
    ("bad_topics", "messages with topics that cannot be"),
    ("gaps", "times that the broker may have lost messages"),
];

/// How the names of counters end that younger agents may have.
const ENDINGS: [&str; 3] = ["_dropped_total", "_lost_total", "_evicted_total"];

/// All that was dropped, those of the agent first.
pub(super) fn of(status: Option<&StatusRecord>, tallies: &BTreeMap<String, u64>) -> Vec<Drop> {
    let mut sums = BTreeMap::<(String, &'static str), f64>::new();
    for (key, value) in status.iter().flat_map(|status| &status.metrics) {
        if let Some(counted) = counted(key)
            && *value > 0.0
        {
            *sums.entry(counted).or_default() += value;
        }
    }
    let mut drops: Vec<Drop> =
        sums.into_iter().map(|((what, means), count)| Drop { by: "agent", what, means, count }).collect();
    let own = [
        (Cause::Lost, "transitions that never came and were not given up"),
        (Cause::Hub, "transitions that the hub had once, before its database was replaced by an older copy"),
    ];
    for (cause, means) in own {
        if let Some(count) = tallies.get(cause.name()).filter(|count| **count > 0) {
            #[expect(clippy::cast_precision_loss, reason = "figures of agents are floats")]
            let count = *count as f64;
            drops.push(Drop { by: "hub", what: cause.name().to_owned(), means, count });
        }
    }
    drops
}

/// The counter of a figure without its labels, if it counts drops.
fn counted(key: &str) -> Option<(String, &'static str)> {
    let (name, labels) = key.split_once('{').unwrap_or((key, ""));
    if name == "weir_source_total" {
        let of = |(what, _): &&(&str, &str)| labels.contains(&format!("what=\"{what}\""));
        return OF_SOURCES
            .iter()
            .find(of)
            .map(|(what, means)| (format!("{name}{{what=\"{what}\"}}"), *means));
    }
    let known = COUNTED.iter().find(|(counter, _)| *counter == name).map(|(_, means)| *means);
    let young = || ENDINGS.iter().any(|ending| name.ends_with(ending)).then_some("dropped by the agent");
    known.or_else(young).map(|means| (name.to_owned(), means))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drops_of_agent_and_hub_stand_in_one_list() {
        let metrics = [
            ("weir_rejects_total{stream=\"a\",reason=\"x\"}", 2.0),
            ("weir_rejects_total{stream=\"b\",reason=\"x\"}", 3.0),
            ("weir_source_total{source=\"s\",what=\"dropped\"}", 7.0),
            ("weir_source_total{source=\"s\",what=\"messages\"}", 9.0),
            ("weir_held_dropped_total", 1.0),
            ("weir_spool_evicted_total", 0.0),
            ("weir_messages_total", 9.0),
        ];
        let status = StatusRecord {
            metrics: metrics.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect(),
            ..StatusRecord::default()
        };
        let tallies = [("lost".to_owned(), 4), ("repaired.firing".to_owned(), 1)].into();
        let drops = of(Some(&status), &tallies);
        let told: Vec<(&str, &str, f64)> = drops.iter().map(|d| (d.by, d.what.as_str(), d.count)).collect();
        assert_eq!(
            told,
            [
                ("agent", "weir_held_dropped_total", 1.0),
                ("agent", "weir_rejects_total", 5.0),
                ("agent", "weir_source_total{what=\"dropped\"}", 7.0),
                ("hub", "lost", 4.0),
            ]
        );
        assert!(of(None, &BTreeMap::new()).is_empty());
    }
}
