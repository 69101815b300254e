//! Which states of the alerts of a pack's rules the cases went through, and which never.

use std::path::Path;
use std::str::FromStr;

use serde_json::{Value as Json, json};

use crate::agent::casefile::{Exercised, Goal, Opened, goals};
use crate::cli::table::table;

/// How much of the states has to be shown, in percent; 0 asks to see it and no more.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted(pub(super) u8);

impl FromStr for Wanted {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.trim_end_matches('%').parse() {
            _ if text == "full" => Ok(Self(100)),
            Ok(percent) if percent <= 100 => Ok(Self(percent)),
            _ => Err("write `full`, or a percentage from 0 to 100".to_owned()),
        }
    }
}

/// The rules of one pack, with what can become of their alerts and what was seen of it.
#[derive(Debug)]
pub(super) struct Pack {
    /// The pack's file; of rules in a test file, that.
    pub(super) name: String,
    /// Whether the rules stand in a file of their own.
    pub(super) is_file: bool,
    rules: Vec<(String, Vec<Goal>)>,
    pub(super) seen: Exercised,
}

impl Pack {
    pub(super) fn new(path: &Path, opened: &Opened) -> Self {
        let rules = opened.rules.plan.rules.iter().filter(|rule| !rule.is_vacant());
        Self {
            name: path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            is_file: opened.pack.is_some(),
            rules: rules.map(|rule| (rule.alert.rule.to_string(), goals(&rule.alert))).collect(),
            seen: Exercised::default(),
        }
    }

    /// The rules whose alerts were never raised by their condition.
    pub(super) fn idle(&self) -> impl Iterator<Item = &str> {
        self.rules.iter().map(|(rule, _)| rule.as_str()).filter(|rule| !self.seen.has_fired(rule))
    }

    /// How many states were shown, of how many.
    pub(super) fn figures(&self) -> (usize, usize) {
        let all = self.rules.iter().flat_map(|(rule, goals)| goals.iter().map(move |goal| (rule, goal)));
        let shown = all.clone().filter(|(rule, goal)| self.seen.has(rule, &goal.name)).count();
        (shown, all.count())
    }

    /// The share that was shown, in whole percent, rounded down: 100 means all.
    pub(super) fn percent(&self) -> usize {
        let (shown, all) = self.figures();
        (shown * 100).checked_div(all).unwrap_or(100)
    }

    /// The states that were never shown: rule, state, and what would show it.
    fn missing(&self) -> impl Iterator<Item = (&str, &Goal)> {
        self.rules.iter().flat_map(|(rule, goals)| {
            let unseen = goals.iter().filter(|goal| !self.seen.has(rule, &goal.name));
            unseen.map(|goal| (rule.as_str(), goal))
        })
    }

    /// A table of rules and states, and what is missing below it.
    pub(super) fn text(&self) -> String {
        let mut columns: Vec<&str> = Vec::new();
        for goal in self.rules.iter().flat_map(|(_, goals)| goals) {
            if !columns.contains(&goal.name.as_str()) {
                columns.push(&goal.name);
            }
        }
        // In the order of an alert's life, which no single rule may go through as a whole.
        let order = |name: &&str| ORDER.iter().position(|known| known == name).unwrap_or(ORDER.len());
        columns.sort_by_key(order);
        let rows: Vec<Vec<String>> = self
            .rules
            .iter()
            .map(|(rule, goals)| {
                let cell = |column: &&str| match goals.iter().any(|goal| goal.name == **column) {
                    false => "",
                    true if self.seen.has(rule, column) => "yes",
                    true => NEVER,
                };
                std::iter::once(rule.clone()).chain(columns.iter().map(|c| cell(c).to_owned())).collect()
            })
            .collect();
        let heading: Vec<&str> = std::iter::once("rule").chain(columns.iter().copied()).collect();
        let (shown, all) = self.figures();
        let mut text = format!("\n{}: {shown} of {all} states shown, {} %\n", self.name, self.percent());
        text.push_str(&table(&heading, &rows));
        for (rule, goal) in self.missing() {
            text.push_str(&format!("  never: {rule} {}: {}\n", goal.name, goal.how));
        }
        text
    }

    pub(super) fn as_json(&self) -> Json {
        let rules = self.rules.iter().map(|(rule, goals)| {
            let states =
                goals.iter().map(|goal| (goal.name.clone(), Json::from(self.seen.has(rule, &goal.name))));
            json!({ "rule": rule, "states": states.collect::<serde_json::Map<_, _>>() })
        });
        let (shown, all) = self.figures();
        json!({
            "rules": self.name,
            "shown": shown,
            "of": all,
            "percent": self.percent(),
            "states": rules.collect::<Vec<_>>(),
            "never": self.missing().map(|(rule, goal)| json!({ "rule": rule, "state": goal.name, "how": goal.how })).collect::<Vec<_>>(),
        })
    }
}

/// What stands where a state was never shown.
pub(super) const NEVER: &str = "NEVER";

/// The order in which columns stand; others follow.
const ORDER: [&str; 7] = ["pending", "brief", "firing", "keeping", "recovered", "no_data", "occurred"];
