//! What people are shown of agents and rule sets: records of the store, put beside what is desired
//! and who is connected. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::Serialize;

use super::drops::{self, Drop};
use super::fleet::{DesiredSet, Progress};
use super::record::{AgentRecord, ReportRecord, RuleOutcomeRecord, RuleSetRecord, RunningRecord};
use crate::model::diagnostic::Diagnostic;
use crate::model::time::Timestamp;

/// A connected agent that was not heard for so long is called stale: three of its statuses, one a
/// minute by default, are missing then.
const STALE_AFTER: Duration = Duration::from_secs(200);

/// An agent, its connection, and its rule sets.
#[derive(Debug, Serialize)]
pub(super) struct AgentView {
    #[serde(flatten)]
    record: AgentRecord,
    connected: bool,
    stale: bool,
    sets: Vec<SetOnAgent>,
    /// What of its data was dropped, anywhere.
    drops: Vec<Drop>,
}

#[derive(Debug, Serialize)]
struct SetOnAgent {
    name: String,
    revision: u64,
    hash: String,
    #[serde(flatten)]
    standing: StandingView,
}

/// A rule set, and where it stands with each agent that it is for.
#[derive(Debug, Serialize)]
pub(super) struct RuleSetView {
    #[serde(flatten)]
    record: RuleSetRecord,
    agents: Vec<AgentOfSet>,
}

#[derive(Debug, Serialize)]
struct AgentOfSet {
    agent: String,
    connected: bool,
    #[serde(flatten)]
    standing: StandingView,
}

#[derive(Debug, Serialize)]
struct StandingView {
    progress: &'static str,
    running_revision: Option<u64>,
    running_hash: Option<String>,
    /// What the agent said about this content; empty where it said nothing yet.
    diagnostics: Vec<Diagnostic>,
    rules: Vec<RuleOutcomeRecord>,
    reported_at: Option<String>,
}

type Reports = BTreeMap<(String, String), ReportRecord>;

pub(super) fn agents(
    records: Vec<AgentRecord>,
    reports: Vec<ReportRecord>,
    desired: &[DesiredSet],
    connected: &BTreeSet<String>,
    now: Timestamp,
) -> Vec<AgentView> {
    let reports = by_agent_and_set(reports);
    let view = |record: AgentRecord| {
        let connected = connected.contains(&record.agent);
        let heard = Timestamp::parse(&record.last_seen).unwrap_or(now);
        AgentView {
            connected,
            drops: drops::of(record.status.as_ref(), &record.tallies),
            stale: connected && now.since(heard) > STALE_AFTER,
            sets: desired
                .iter()
                .filter(|set| set.target.matches(&record.agent, &record.labels))
                .map(|set| SetOnAgent {
                    name: set.name.clone(),
                    revision: set.revision,
                    hash: set.hash.to_string(),
                    standing: standing(&record, &set.name, &set.hash.to_string(), &reports),
                })
                .collect(),
            record,
        }
    };
    records.into_iter().map(view).collect()
}

pub(super) fn rule_set(
    record: RuleSetRecord,
    agents: &[AgentRecord],
    reports: Vec<ReportRecord>,
    desired: &[DesiredSet],
    connected: &BTreeSet<String>,
) -> RuleSetView {
    let reports = by_agent_and_set(reports);
    let meant = |agent: &&AgentRecord| {
        let mut sets = desired.iter().filter(|set| set.name == record.name);
        sets.any(|set| set.target.matches(&agent.agent, &agent.labels))
    };
    RuleSetView {
        agents: agents
            .iter()
            .filter(meant)
            .map(|agent| AgentOfSet {
                agent: agent.agent.clone(),
                connected: connected.contains(&agent.agent),
                standing: standing(agent, &record.name, &record.hash, &reports),
            })
            .collect(),
        record,
    }
}

fn by_agent_and_set(reports: Vec<ReportRecord>) -> Reports {
    reports.into_iter().map(|report| ((report.agent.clone(), report.ruleset.clone()), report)).collect()
}

fn standing(agent: &AgentRecord, set: &str, hash: &str, reports: &Reports) -> StandingView {
    // A set of this name from the agent's own directory is another set.
    let own =
        |running: &&RunningRecord| running.name == set && running.origin == "hub" && !running.hash.is_empty();
    let running = agent.running.iter().find(own);
    let report = reports.get(&(agent.agent.clone(), set.to_owned())).filter(|report| report.hash == hash);
    let progress = Progress::of(
        hash,
        running.map(|running| running.hash.as_str()),
        report.map(|report| (report.hash.as_str(), report.outcome.as_str())),
    );
    StandingView {
        progress: progress.name(),
        running_revision: running.map(|running| running.revision),
        running_hash: running.map(|running| running.hash.clone()),
        diagnostics: report.map(|report| report.diagnostics.clone()).unwrap_or_default(),
        rules: report.map(|report| report.rules.clone()).unwrap_or_default(),
        reported_at: report.map(|report| report.reported_at.clone()),
    }
}
