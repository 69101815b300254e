//! The agent's values as messages, and back.

use crate::clock;
use crate::model::kept::{Renewed, Why};
use crate::model::link::AgentReport;
use crate::model::ruleset::{Desired, DesiredSet, Outcome, RuleReport, RunningSet};
use crate::wire::rules::{diagnostic_to_wire, hash_from_wire, hash_to_wire, item_from_wire};
use crate::wire::v1::{self, agent_message::Message as Up};

use super::{Identity, Standing};

pub(super) const fn message(up: Up) -> v1::AgentMessage {
    v1::AgentMessage { message: Some(up) }
}

pub(super) fn hello(identity: &Identity, standing: &Standing) -> v1::Hello {
    v1::Hello {
        protocol: crate::wire::PROTOCOL,
        agent: identity.agent.to_string(),
        boot_id: identity.boot_id.to_string(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        labels: identity.labels.iter().cloned().collect(),
        epoch: standing.epoch,
        newest: standing.newest,
        running: standing.running.iter().map(running_set).collect(),
        renewed: standing.renewed.as_ref().map(renewed),
        acknowledged: standing.acknowledged.floor(),
    }
}

fn renewed(renewed: &Renewed) -> v1::Renewed {
    let why = match renewed.why {
        Why::Rewound => v1::renewed::Why::Rewound,
        Why::Damaged => v1::renewed::Why::Damaged,
    };
    v1::Renewed {
        why: why.into(),
        before: renewed.before,
        at: renewed.at.micros(),
        note: renewed.note.clone(),
    }
}

fn running_set(set: &RunningSet) -> v1::RunningSet {
    v1::RunningSet {
        name: set.name.to_string(),
        revision: set.revision,
        hash: hash_to_wire(set.hash),
        origin: set.origin.name().to_owned(),
        rules: u32::try_from(set.rules).unwrap_or(u32::MAX),
        attempted: hash_to_wire(set.attempted),
    }
}

pub(super) fn desired_rules(desired: v1::DesiredRules) -> Desired {
    let sets = desired.sets.into_iter().filter_map(|set| {
        Some(DesiredSet {
            name: set.name.as_str().into(),
            revision: set.revision,
            hash: hash_from_wire(&set.hash)?,
            items: set.items.iter().map(|h| hash_from_wire(h)).collect::<Option<_>>()?,
            added: set.added.iter().filter_map(item_from_wire).collect(),
        })
    });
    Desired { sets: sets.collect(), removed: desired.removed.iter().map(|n| n.as_str().into()).collect() }
}

pub(super) fn rule_report(report: &RuleReport) -> v1::RuleReport {
    let outcome = |outcome| match outcome {
        Outcome::Accepted => v1::rule_report::Outcome::Accepted,
        Outcome::Rejected => v1::rule_report::Outcome::Rejected,
        Outcome::Failed => v1::rule_report::Outcome::Failed,
    };
    let rules = report
        .rules
        .iter()
        .map(|(rule, became)| v1::RuleOutcome { rule: rule.to_string(), outcome: outcome(*became).into() });
    v1::RuleReport {
        set: report.set.to_string(),
        revision: report.revision,
        hash: hash_to_wire(report.hash),
        outcome: outcome(report.outcome).into(),
        diagnostics: report.diagnostics.iter().map(diagnostic_to_wire).collect(),
        rules: rules.collect(),
    }
}

pub(super) fn status(report: &AgentReport) -> v1::Status {
    v1::Status {
        time: clock::wall().micros(),
        uptime_seconds: report.uptime_seconds,
        metrics: report.metrics.iter().cloned().collect(),
        sources: report
            .sources
            .iter()
            .map(|s| v1::SourceStatus {
                name: s.name.to_string(),
                connected: s.connected,
                error: s.error.clone().unwrap_or_default(),
                since: s.since,
            })
            .collect(),
        running: report.running.iter().map(running_set).collect(),
        ..v1::Status::default()
    }
}
