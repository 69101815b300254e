//! The running agent, where there is one: what it says of itself.

use std::io::ErrorKind;
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use super::config::Set;
use super::report::{Line, ok, problem, warning};
use crate::agent::status::{RunningRules, Status};
use crate::cli::socket;
use crate::cli::status::{bytes, span};
use crate::config::AgentConfig;
use crate::control;
use crate::model::ruleset::Origin;
use crate::plan::Limits;

const CHECK: &str = "agent";

/// Whether an agent runs, as far as can be seen.
pub(super) enum Running {
    /// It does, and answers.
    Yes(Box<Status>),
    /// It does, and does not answer, or not to this user.
    Mute,
    /// It does not.
    No,
}

impl Running {
    /// What it says of itself.
    pub(super) fn status(&self) -> Option<&Status> {
        match self {
            Self::Yes(status) => Some(status),
            Self::Mute | Self::No => None,
        }
    }
}

/// Asks the agent.
pub(super) fn ask(config: &AgentConfig) -> (Running, Vec<Line>) {
    let path = config.socket_path();
    let shown = path.display();
    if let Err(error) = UnixStream::connect(&path) {
        return match error.kind() {
            ErrorKind::PermissionDenied => (
                Running::Mute,
                vec![warning(
                    CHECK,
                    format!("you may not ask the agent at {shown}: {error}"),
                    "run this as root, or as the user that the agent runs as",
                )],
            ),
            _ => (
                Running::No,
                vec![warning(
                    CHECK,
                    "it does not run",
                    "start it: `systemctl start weir`, or `weir run --config FILE`; where it ends at once, its log says why (`journalctl -u weir`)",
                )],
            ),
        };
    }
    match socket::ask(&path, "status").and_then(|text| Ok(serde_json::from_str::<Status>(&text)?)) {
        Ok(status) => {
            let lines = lines(config, &status);
            (Running::Yes(Box::new(status)), lines)
        }
        Err(error) => (
            Running::Mute,
            vec![problem(
                CHECK,
                format!(
                    "it takes the question at {shown}, and gives no answer that this version understands: {error}"
                ),
                "restart it: it hangs, or is another version",
            )],
        ),
    }
}

fn lines(config: &AgentConfig, status: &Status) -> Vec<Line> {
    let mut lines = vec![ok(
        CHECK,
        format!(
            "runs for {}, {} of memory, {} messages",
            span(status.uptime_seconds),
            bytes(status.rss_bytes),
            status.core.messages
        ),
    )];
    if status.agent != config.agent.id {
        lines.push(warning(
            CHECK,
            format!(
                "what runs is agent `{}`, and the configuration says `{}`",
                status.agent, config.agent.id
            ),
            "restart it, so that it takes the configuration; or see whether two share a state directory",
        ));
    }
    let named = |name: &str| config.brokers.iter().any(|broker| broker.name == name);
    let changed = status.sources.iter().any(|source| source.name != "node" && !named(&source.name))
        || config.brokers.iter().any(|b| !status.sources.iter().any(|source| source.name == b.name))
        || status.link.hub != config.hub.url;
    if changed && status.agent == config.agent.id {
        lines.push(warning(
            CHECK,
            "it runs with other brokers or another hub than the configuration has",
            "restart it, so that it takes the configuration",
        ));
    }
    for refused in &status.refused_files {
        let first = refused.why.first().map(|why| format!(": {why}")).unwrap_or_default();
        lines.push(problem(
            CHECK,
            format!("it refused {}{first}", refused.file),
            format!("`weir check {}` shows all that is wrong with it", refused.file),
        ));
    }
    if status.core.rulesets.is_empty() {
        let advice = match config.hub.url.is_empty() {
            true => "put a rule file into `rules.directory`",
            false => {
                "push one on the hub (`weir-hub rules push FILE`), or see which labels its target asks for"
            }
        };
        lines.push(warning(CHECK, "it runs no rules: it raises no alert", advice));
    }
    for set in status.core.rulesets.iter().filter(|set| set.degraded > 0) {
        lines.push(warning(
            CHECK,
            format!(
                "{} of the rules in `{}` passed a ceiling lately, and leave something out",
                set.degraded, set.name
            ),
            "`weir status --rules` shows which, and by what",
        ));
    }
    lines
}

/// The rule sets that the agent runs, compiled here: what they read tells what must be subscribed to.
pub(super) fn sets(config: &AgentConfig) -> Vec<Set> {
    let Ok(answer) = socket::ask(&config.socket_path(), "rules") else { return Vec::new() };
    let Ok(running) = serde_json::from_str::<Vec<RunningRules>>(&answer) else { return Vec::new() };
    let compile = |set: &RunningRules| {
        let name: Arc<str> = set.name.as_str().into();
        let admitted = control::admit(&name, Origin::Hub, 0, &set.items(), None, &Limits::default()).ok()?;
        Some(Set { name: set.name.clone(), plan: admitted.plan, is_of_directory: false })
    };
    running.iter().filter_map(compile).collect()
}
