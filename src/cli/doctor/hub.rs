//! The hub, asked beside the session that may stand.

use std::time::Duration;

use super::broker::way;
use super::config::expiry;
use super::disk::millis;
use super::report::{Line, ok, problem, skipped, warning};
use super::running::Running;
use crate::config::AgentConfig;
use crate::model::link::Noticed;
use crate::model::time::Timestamp;
use crate::uplink;
use crate::uplink::probe::{Answer, Found, Trouble, probe};
use crate::wire::PROTOCOL;

const CHECK: &str = "hub";

/// Looks at the hub; gives what it says of itself, too.
pub(super) async fn look(
    config: &AgentConfig,
    patience: Duration,
    now: Timestamp,
) -> (Option<Answer>, Vec<Line>) {
    if config.hub.url.is_empty() {
        let found = "none is configured: alerts stay here, and rules come from the directory alone";
        return (None, vec![ok(CHECK, found)]);
    }
    match probe(&config.hub, &config.agent.id, patience).await {
        Ok(found) => {
            let mut lines = vec![well(config, &found)];
            if let Some((_, until)) = found.reached.peer.as_ref().and_then(|peer| peer.valid) {
                lines.extend(expiry(CHECK, "its certificate", until, now));
            }
            (found.answer, lines)
        }
        Err(trouble) => (None, vec![ill(config, &trouble)]),
    }
}

fn well(config: &AgentConfig, found: &Found) -> Line {
    let tls = found.reached.peer.as_ref().map_or("plain text on this machine", |peer| peer.version);
    let way = format!("{} ({tls}, connected in {})", config.hub.url, millis(found.reached.connect));
    match &found.answer {
        Some(answer) => ok(
            CHECK,
            format!(
                "{way} takes the token of `{}`; version {}, answers in {}",
                config.agent.id,
                answer.version,
                millis(answer.took)
            ),
        ),
        None => warning(
            CHECK,
            format!("{way} is an older version, which cannot be asked whether it takes the token"),
            "update the hub; `weir status` shows whether the agent's session stands",
        ),
    }
}

/// What hub and agent say of the session between them, where the hub answered.
pub(super) fn session(config: &AgentConfig, answer: &Answer, running: &Running) -> Option<Line> {
    let id = &config.agent.id;
    let clone = |found: String| {
        problem(
            CHECK,
            found,
            "two machines use one `agent.id`: give each its own (and a token of its own), else they throw each other out",
        )
    };
    match running {
        Running::Yes(status) if status.agent == *id => {
            let (link, ours) = (&status.link, status.boot_id == answer.boot_id);
            match (link.connected, answer.connected) {
                (true, true) if ours => Some(ok(CHECK, "the agent's session with it stands")),
                (_, true) if !ours => {
                    Some(clone(format!("another machine than this one has a session as agent `{id}`")))
                }
                (true, _) => None,
                (false, _) => {
                    let why = link.error.as_deref().unwrap_or("it has not tried yet");
                    Some(problem(
                        CHECK,
                        format!("the agent has no session with it: {why}"),
                        "where all else of the hub is ok, wait half a minute for its next attempt; alerts wait in the spool meanwhile",
                    ))
                }
            }
        }
        Running::No if answer.connected => {
            Some(clone(format!("no agent runs here, and one has a session as `{id}`")))
        }
        _ => None,
    }
}

/// What the hub said to the agent that a person should know of.
pub(super) fn notices(running: &Running) -> Vec<Line> {
    let notices = running.status().map(|status| &*status.link.notices).unwrap_or_default();
    let line = |notice: &Noticed| {
        let at = Timestamp::from_micros(notice.at);
        let advice = "see to it; where it is done, a restart of the agent clears this line";
        warning(CHECK, format!("it said at {at}: {}", notice.message), advice)
    };
    notices.iter().map(line).collect()
}

/// What is to say of versions that differ.
pub(super) fn protocol(answer: &Answer) -> Option<Line> {
    (answer.protocol < PROTOCOL).then(|| {
        warning(
            CHECK,
            format!("it speaks protocol {}, this agent {PROTOCOL}: they understand each other, as far as the older knows", answer.protocol),
            "update the hub before its agents",
        )
    })
}

fn ill(config: &AgentConfig, trouble: &Trouble) -> Line {
    let id = &config.agent.id;
    let advice = match trouble {
        Trouble::Config(uplink::Error::File { .. }) => {
            return skipped(CHECK, "not tried: the files that it takes come first");
        }
        Trouble::Config(error) => {
            // Such an error tells what to do itself.
            let text = error.to_string();
            return match text.split_once("; ").or_else(|| text.split_once(": make")) {
                Some((found, advice)) if text.contains("; ") => problem(CHECK, found, advice),
                Some((found, advice)) => problem(CHECK, found, format!("make{advice}")),
                None => problem(CHECK, text, "correct [hub] in the configuration"),
            };
        }
        Trouble::Reach(trouble) => way(trouble, "the hub", "`hub.url`", "`hub.ca_file`"),
        Trouble::Token(_) => format!(
            "on the hub, `weir-hub tokens add {id}` prints a new token: write it to the file of `hub.token_file`"
        ),
        Trouble::NotYours(_) => format!(
            "set `agent.id` to the agent that the token is of; or make one with `weir-hub tokens add {id}`, and write it to the file of `hub.token_file`"
        ),
        Trouble::Other(_) => "see that `hub.url` names the hub's port for agents (7440, where nothing else was said), not that of its console; and the hub's log".to_owned(),
        Trouble::Silent(_) => "see that `hub.url` names the hub's port for agents, that no proxy stands between that lets no HTTP/2 through; and the hub's log".to_owned(),
    };
    let found = match trouble {
        // What follows there is what a person at the hub does, which is said below.
        Trouble::Token(why) => {
            format!("it does not take the token: {}", why.split("; ").next().unwrap_or(why))
        }
        other => other.to_string(),
    };
    problem(CHECK, found, advice)
}
