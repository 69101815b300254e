//! The agent's figures: what `weir status` shows, and what `/metrics` and the hub's report are made of.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

use crate::clock;
use crate::ingest::SourceStatus;
use crate::model::link::LinkStatus;
use crate::model::ranges::Range;
use crate::model::ruleset::{Item, ItemKind};
use crate::model::time::Mono;
use crate::spool::{self, Spool};
use crate::wire::record::{Members, TransitionRecord};

use super::core::{Core, Set, Withheld};
pub use super::trouble::Disk;
use crate::alert::Active;

/// Everything about a running agent, at one moment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// Its id.
    pub agent: String,
    /// Its version.
    pub version: String,
    /// Random for each start.
    pub boot_id: String,
    /// Seconds since the start.
    pub uptime_seconds: u64,
    /// Resident memory of the process, bytes; 0 where the system does not tell.
    pub rss_bytes: u64,
    /// The brokers.
    pub sources: Vec<Source>,
    /// The link to the hub.
    pub link: LinkStatus,
    /// Rules, alerts and outbox.
    pub core: CoreStatus,
    /// Rule files of the directory that cannot run, with the reason.
    pub refused_files: Vec<RefusedFile>,
}

/// One broker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Source {
    /// Its name.
    pub name: String,
    /// Whether it is connected.
    pub connected: bool,
    /// What is wrong.
    pub error: Option<String>,
    /// Since when it is connected or not, RFC 3339.
    pub since: String,
    /// What was counted, by name.
    pub counters: Vec<(String, u64)>,
}

/// A rule file that cannot run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedFile {
    /// The file.
    pub file: String,
    /// Why: one finding a line.
    pub why: Vec<String>,
}

/// What the core's owner knows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CoreStatus {
    /// Messages taken in.
    pub messages: u64,
    /// Bytes of their payloads.
    pub bytes: u64,
    /// Messages delivered again after they had been taken in: acknowledged, not evaluated.
    pub redelivered: u64,
    /// Messages that no stream reads.
    pub unmatched: u64,
    /// Messages whose payload was not read, since by their topic no rule could care.
    pub skipped: u64,
    /// Whether the node's calendar is believed. While it is not, `MAX_FUTURE` is off, and times
    /// of arrival are as wrong as the clock was at the start.
    pub clock_trusted: bool,
    /// The rule sets that run.
    pub rulesets: Vec<RuleSetStatus>,
    /// Every stream of every set.
    pub streams: Vec<StreamStatus>,
    /// Every rule of every set; in what the hub is told, for every set the sums of all its rules,
    /// without a name.
    pub rules: Vec<RuleStatus>,
    /// Alerts that are pending or up.
    pub alerts: Vec<AlertStatus>,
    /// How many alerts were withheld.
    #[serde(default)]
    pub withheld: Withheld,
    /// Sources that the core knows to be lost: while there is one, no silence is counted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lost: Vec<String>,
    /// The outbox.
    pub spool: spool::Stats,
    /// The disk under it.
    #[serde(default)]
    pub disk: Disk,
    /// What was counted of what is kept.
    #[serde(default)]
    pub figures: Figures,
    /// Readings that were too large to be kept as evidence.
    #[serde(default)]
    pub evidence_left_out: u64,
}

/// What was counted since the start of what is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Figures {
    /// Snapshots.
    pub snapshots: u64,
    /// Bytes of them.
    pub snapshot_bytes: u64,
    /// Transitions that were too large: evidence left out, texts cut.
    pub cut: u64,
    /// States, journal entries and snapshots that could not be read at the start.
    pub unreadable: u64,
}

/// A rule set that runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleSetStatus {
    /// Its name.
    pub name: String,
    /// `hub` or `directory`.
    pub origin: String,
    /// The hub's revision.
    pub revision: u64,
    /// Its address, 64 hex digits.
    pub hash: String,
    /// The address attempted last; differs where that was refused.
    pub attempted: String,
    /// How many rules it holds.
    pub rules: usize,
    /// How many of them passed a ceiling within the last minutes.
    pub degraded: usize,
}

/// A stream.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StreamStatus {
    /// The set that it belongs to.
    pub ruleset: String,
    /// Its name.
    pub name: String,
    /// The topics that it reads.
    pub topic: String,
    /// Messages that reached it.
    pub messages: u64,
    /// Those of them whose payload was not read, since by their topic no rule could care.
    pub skipped: u64,
    /// Rows made of them.
    pub rows: u64,
    /// Rejects by reason, those that occurred.
    pub rejects: Vec<(String, u64)>,
    /// The last rejects.
    pub samples: Vec<RejectSample>,
}

/// A reject, as an example.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RejectSample {
    /// Why.
    pub reason: String,
    /// What exactly.
    pub detail: String,
    /// The topic it came on.
    pub topic: String,
    /// The beginning of its payload.
    pub payload: String,
    /// When it arrived, RFC 3339.
    pub received: String,
}

/// A rule.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleStatus {
    /// The set that it belongs to.
    pub ruleset: String,
    /// Its id.
    pub rule: String,
    /// Rows of its stream that it saw.
    pub rows: u64,
    /// Output rows that it gave.
    pub matched: u64,
    /// Rows too late for their window.
    pub late: u64,
    /// Rows dated too far ahead.
    pub future: u64,
    /// Rows from retained messages that it does not use: a window and an occurrence take events.
    pub retained: u64,
    /// Groups it holds.
    pub groups: u64,
    /// Groups and keys that had no room.
    pub refused: u64,
    /// Results that do not exist, such as a division by zero: NULL in their place.
    pub undefined: u64,
    /// Bytes of its state, by estimate.
    pub bytes: u64,
    /// Nanoseconds that it took, from samples.
    pub nanos: u64,
    /// Whether it passed a ceiling within the last minutes.
    pub degraded: bool,
    /// Output rows older than one of their key.
    pub outdated: u64,
    /// Alerts up.
    pub firing: u64,
    /// Alerts pending.
    pub pending: u64,
    /// Transitions made.
    pub transitions: u64,
}

/// A rule set that runs, with the texts that it runs from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunningRules {
    /// Its name.
    pub name: String,
    /// Kind, name and body of each of its items, in order.
    items: Vec<(String, String, String)>,
}

impl RunningRules {
    /// The set as the core's owner knows it.
    pub(super) fn new(name: &str, items: &[Item]) -> Self {
        let texts = |item: &Item| (item.kind.to_string(), item.name.to_string(), item.body.to_string());
        Self { name: name.to_owned(), items: items.iter().map(texts).collect() }
    }

    /// Its items. What is of no kind that this version knows is left out.
    pub fn items(&self) -> Vec<Item> {
        let kinds = [ItemKind::Stream, ItemKind::Table, ItemKind::Rule];
        self.items
            .iter()
            .filter_map(|(kind, name, body)| {
                let kind = kinds.into_iter().find(|known| known.to_string() == *kind)?;
                Some(Item { kind, name: name.as_str().into(), body: body.as_str().into() })
            })
            .collect()
    }
}

/// An alert.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AlertStatus {
    /// `pending`, `firing`, `keeping` or `flapping`.
    pub phase: String,
    /// Why nobody was told of it, where that is so: `inhibited`, `storm`, `rate`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub withheld: Option<String>,
    /// Why nothing new is heard of it, where that is known: `source`, `silent`, `offline`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stale: Option<String>,
    /// 16 hex digits.
    pub fingerprint: String,
    /// Its identity.
    pub labels: Map<String, Json>,
    /// Its severity.
    pub severity: String,
    /// Since when the condition holds, RFC 3339.
    pub since: String,
    /// The newest row, in the order of its columns.
    pub values: Members,
}

/// The alerts of an agent, at one moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Alerts {
    /// Its id.
    pub agent: String,
    /// Its calendar clock, RFC 3339.
    pub at: String,
    /// How many transitions wait for the hub.
    pub waiting: u64,
    /// The link to it.
    pub link: LinkStatus,
    /// Those that are pending or up.
    pub alerts: Vec<AlertStatus>,
}

/// A transition that the agent made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Told {
    /// Whether the hub has it.
    pub acknowledged: bool,
    /// The transition, with the names of the hub's API.
    #[serde(flatten)]
    pub told: TransitionRecord,
}

/// A page of what waits for the hub.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Waiting {
    /// The agent's id; empty where only its file is there, which does not tell.
    pub agent: String,
    /// Whether an agent runs; else this is what the file of one holds that is down.
    #[serde(default = "yes")]
    pub running: bool,
    /// Its calendar clock, RFC 3339.
    pub at: String,
    /// The link to the hub.
    pub link: LinkStatus,
    /// The outbox as a whole.
    pub spool: spool::Stats,
    /// What waits, by severity and lane.
    #[serde(default)]
    pub census: spool::Census,
    /// The disk under it.
    #[serde(default)]
    pub disk: Disk,
    /// The number space, 16 hex digits.
    pub epoch: String,
    /// Numbers that were given up, each first and last, which the hub has not heard of.
    pub given_up: Vec<Range>,
    /// The transitions behind a number, oldest first.
    pub page: Vec<TransitionRecord>,
}

/// What an agent means that does not say whether it runs.
const fn yes() -> bool {
    true
}

/// How much of the core's figures is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Detail {
    /// Each rule's, and the alerts.
    Rules,
    /// The alerts alone.
    Alerts,
    /// The sums of each set's rules, and no alerts: what is asked for again and again must not grow with the
    /// number of rules.
    Sets,
}

/// The figures of core and spool.
pub(super) fn of(core: &Core, spool: &Spool, now: Mono, detail: Detail) -> CoreStatus {
    let counts = core.counts();
    let mut status = CoreStatus {
        messages: counts.messages,
        bytes: counts.bytes,
        redelivered: counts.redelivered,
        unmatched: counts.unmatched,
        skipped: counts.skipped,
        clock_trusted: core.is_clock_trusted(),
        spool: spool.stats(clock::spool_time()),
        withheld: core.withheld(),
        evidence_left_out: core.sets().map(|(_, set)| set.evidence_left_out()).sum(),
        lost: core.lost().map(ToString::to_string).collect(),
        ..CoreStatus::default()
    };
    for (name, set) in core.sets() {
        let idle = core.idle(now);
        if detail == Detail::Alerts {
            status.alerts.extend(alerts(core, core.active(set)));
            continue;
        }
        let known = status.rules.len();
        let mut degraded = 0;
        match detail {
            Detail::Rules | Detail::Alerts => {
                status.rules.extend(rules(name, set, idle));
                degraded += status.rules[known..].iter().filter(|rule| rule.degraded).count();
            }
            Detail::Sets => {
                let mut sums = RuleStatus { ruleset: name.to_string(), ..RuleStatus::default() };
                for (_, rule) in figures(set, idle) {
                    sums.add(&rule);
                    degraded += usize::from(rule.degraded);
                }
                status.rules.push(sums);
            }
        }
        status.rulesets.push(RuleSetStatus {
            name: name.to_string(),
            origin: set.origin.name().to_owned(),
            revision: set.revision,
            hash: set.hash.to_string(),
            attempted: set.attempted.to_string(),
            rules: set.plan.len(),
            degraded,
        });
        status.streams.extend(streams(name, set));
        if detail == Detail::Sets {
            continue;
        }
        status.alerts.extend(alerts(core, core.active(set)));
    }
    if detail != Detail::Sets {
        status.alerts.extend(alerts(core, core.own_active()));
    }
    status
}

fn alerts(core: &Core, active: Vec<Active>) -> impl Iterator<Item = AlertStatus> {
    active.into_iter().map(|alert| AlertStatus {
        stale: alert.stale.map(|why| why.name().to_owned()),
        withheld: core.why_withheld(alert.fingerprint).map(|why| why.name().to_owned()),
        phase: alert.phase.to_owned(),
        fingerprint: alert.fingerprint.to_string(),
        labels: alert.labels.iter().map(|(k, v)| (k.to_string(), Json::from(&**v))).collect(),
        severity: alert.severity.to_string(),
        since: alert.since.to_string(),
        values: Members(alert.values.iter().map(|(k, v)| (k.to_string(), v.to_json())).collect()),
    })
}

fn streams(ruleset: &str, set: &Set) -> impl Iterator<Item = StreamStatus> {
    set.streams().map(move |(spec, stats)| StreamStatus {
        ruleset: ruleset.to_owned(),
        name: spec.name.to_string(),
        topic: spec.pattern.to_string(),
        messages: stats.messages,
        skipped: stats.skipped,
        rows: stats.rows,
        rejects: stats
            .rejects()
            .filter(|(_, count)| *count > 0)
            .map(|(reason, count)| (reason.name().to_owned(), count))
            .collect(),
        samples: stats
            .samples()
            .map(|s| RejectSample {
                reason: s.reason.name().to_owned(),
                detail: s.detail.clone(),
                topic: s.topic.to_string(),
                payload: s.payload.clone(),
                received: s.received.to_string(),
            })
            .collect(),
    })
}

/// The account of each rule of a set, in the order of its plan; `idle` is the time by the clock that counts
/// silence.
pub fn rules(ruleset: &str, set: &Set, idle: Mono) -> impl Iterator<Item = RuleStatus> {
    figures(set, idle).map(move |(rule, figures)| RuleStatus {
        ruleset: ruleset.to_owned(),
        rule: rule.to_string(),
        ..figures
    })
}

/// The figures of each rule with its id, but without names of its own.
fn figures(set: &Set, idle: Mono) -> impl Iterator<Item = (&str, RuleStatus)> {
    let figures = set.accounts().into_iter().zip(set.alert_counts());
    let rules = set.plan.rules.iter().zip(figures).filter(|(rule, _)| !rule.is_vacant());
    rules.map(move |(rule, (account, alerts))| {
        let figures = RuleStatus {
            rows: account.rows,
            matched: account.matched,
            late: account.late,
            future: account.future,
            retained: account.retained,
            groups: account.groups as u64,
            refused: account.refused + alerts.refused,
            undefined: account.undefined,
            bytes: account.bytes as u64,
            nanos: account.ns,
            degraded: account.degraded_until.is_some_and(|until| until > idle),
            outdated: alerts.outdated,
            firing: alerts.firing,
            pending: alerts.pending,
            transitions: alerts.transitions,
            ..RuleStatus::default()
        };
        (&*rule.alert.rule, figures)
    })
}

impl RuleStatus {
    /// Takes in the counts of another rule.
    fn add(&mut self, other: &Self) {
        for (sum, figure) in [
            (&mut self.rows, other.rows),
            (&mut self.matched, other.matched),
            (&mut self.late, other.late),
            (&mut self.future, other.future),
            (&mut self.retained, other.retained),
            (&mut self.groups, other.groups),
            (&mut self.refused, other.refused),
            (&mut self.undefined, other.undefined),
            (&mut self.bytes, other.bytes),
            (&mut self.nanos, other.nanos),
            (&mut self.outdated, other.outdated),
            (&mut self.firing, other.firing),
            (&mut self.pending, other.pending),
            (&mut self.transitions, other.transitions),
        ] {
            *sum = sum.saturating_add(figure);
        }
    }

    /// Rows and keys that came and were not used, for whatever reason.
    pub fn unused(&self) -> u64 {
        self.late + self.future + self.retained + self.outdated + self.refused
    }
}

impl From<&SourceStatus> for Source {
    fn from(status: &SourceStatus) -> Self {
        let c = &status.counters;
        let counters = [
            ("messages", c.messages),
            ("bytes", c.bytes),
            ("reconnects", c.reconnects),
            ("dropped", c.dropped),
            ("oversized", c.oversized),
            ("bad_topics", c.bad_topics),
            ("stale_acks", c.stale_acks),
            ("gaps", c.gaps),
            ("paused", c.paused),
        ];
        Self {
            name: status.name.clone(),
            connected: status.connected,
            error: status.error.clone(),
            since: status.since.to_string(),
            counters: counters.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect(),
        }
    }
}
