//! The hub's answers as lines for people. Control characters are not passed on to the terminal:
//! labels and annotations hold what devices send.

use serde_json::Value as Json;

use super::api::Reply;
use crate::hub::record::TransitionRecord;
use crate::model::diagnostic::Diagnostic;
use crate::model::label::OWN_LABELS;

pub(super) fn transition(t: &TransitionRecord) -> String {
    let mut line =
        format!("{}  {:<9} {:<9} {}  {}/{}", t.occurred_at, state(t), t.severity, t.agent, t.ruleset, t.rule);
    for (name, value) in &t.labels {
        if !OWN_LABELS.contains(&name.as_str()) {
            line.push_str(&format!(" {name}={value}"));
        }
    }
    match t.annotations.get("summary") {
        Some(summary) => line.push_str(&format!("  {summary}")),
        None => {
            for (name, value) in &t.values.0 {
                line.push_str(&format!(" {name}={}", text(value)));
            }
        }
    }
    clean(&line)
}

fn state(t: &TransitionRecord) -> String {
    let state = t.state.to_uppercase();
    match t.reason.as_str() {
        // The hub took it from what the agent says is up.
        "" if t.epoch == "hub" => format!("{state} (reconciled)"),
        "" | "recovered" => state,
        reason => format!("{state} ({reason})"),
    }
}

pub(super) fn agent(agent: &Json) -> String {
    let link = match (agent["connected"].as_bool(), agent["stale"].as_bool()) {
        (Some(true), Some(true)) => "stale",
        (Some(true), _) => "connected",
        _ => "away",
    };
    let mut line = format!(
        "{:<24} {link:<9} {}  last seen {}",
        text(&agent["agent"]),
        text(&agent["version"]),
        text(&agent["last_seen"]),
    );
    for set in agent["sets"].as_array().into_iter().flatten() {
        let runs = match (set["progress"].as_str(), set["running_revision"].as_u64()) {
            (Some("running"), _) => String::new(),
            (_, Some(revision)) => format!("; revision {revision} runs"),
            (_, None) => "; nothing runs".to_owned(),
        };
        line.push_str(&format!(
            "\n    {} revision {}: {}{runs}",
            text(&set["name"]),
            text(&set["revision"]),
            text(&set["progress"])
        ));
        for finding in set["diagnostics"].as_array().into_iter().flatten() {
            // The agent's places count within a text of the item, which goes before them.
            let field = text(&finding["field"]);
            let field = if field.is_empty() { field } else { format!("{field}:") };
            line.push_str(&format!("\n        {field}{}", diagnostic(finding)));
        }
    }
    for gap in agent["gaps"].as_array().into_iter().flatten() {
        let what = match gap["cause"].as_str() {
            _ if gap["evicted"] == true => "given up by its full spool",
            Some("hub_restored") => "lost as an older copy of the hub's database was restored",
            _ => "lost",
        };
        line.push_str(&format!("\n    transitions {} to {} {what}", gap["first"], gap["last"]));
    }
    for incident in agent["incidents"].as_array().into_iter().flatten() {
        let times = match incident["times"].as_u64() {
            None | Some(0 | 1) => String::new(),
            Some(times) => format!(", {times} times"),
        };
        line.push_str(&format!(
            "\n    {} at {}{times}: {}",
            text(&incident["kind"]),
            text(&incident["last_at"]),
            text(&incident["note"])
        ));
    }
    for drop in agent["drops"].as_array().into_iter().flatten() {
        line.push_str(&format!(
            "\n    dropped: {} {} ({})",
            drop["count"],
            text(&drop["means"]),
            text(&drop["what"])
        ));
    }
    line
}

pub(super) fn ruleset(set: &Json) -> String {
    let target = text(&set["target"]);
    format!(
        "{:<24} revision {:<4} {:>3} rules  for {}  since {}",
        text(&set["name"]),
        text(&set["revision"]),
        set["rules"].as_array().map_or(0, Vec::len),
        if target.is_empty() { "all agents".to_owned() } else { target },
        text(&set["created_at"]),
    )
}

/// What became of a pushed file; findings as a compiler prints them.
pub(super) fn pushed(name: &str, file: &str, reply: &Reply) -> String {
    let mut lines = Vec::new();
    for finding in reply.body["diagnostics"].as_array().into_iter().flatten() {
        lines.push(format!("{file}:{}", diagnostic(finding)));
    }
    if reply.ok {
        let agents = reply.body["agents"].as_array().map_or(0, Vec::len);
        let news = if reply.body["changed"] == false { ", unchanged" } else { "" };
        lines.push(format!("{name}: revision {} for {agents} agents{news}", reply.body["revision"]));
    } else {
        lines.push(format!("{name}: {}; {}", text(&reply.body["error"]), text(&reply.body["hint"])));
    }
    lines.join("\n")
}

/// `12:7: error[code]: rule x: message (hint)`.
fn diagnostic(finding: &Json) -> String {
    match serde_json::from_value::<Diagnostic>(finding.clone()) {
        Ok(finding) => clean(&finding.to_string()),
        Err(_) => clean(&finding.to_string()),
    }
}

fn text(value: &Json) -> String {
    match value {
        Json::String(text) => clean(text),
        Json::Null => String::new(),
        other => clean(&other.to_string()),
    }
}

fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}
