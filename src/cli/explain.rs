//! `weir explain`: what a rule does, step by step.
#![expect(clippy::print_stderr, reason = "a verb of the command line prints its result")]

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use serde_json::{Value as Json, json};

use crate::agent::status::{RuleStatus, RunningRules, Status};
use crate::engine::{self, Engine, Way};
use crate::model::diagnostic::Diagnostic;
use crate::plan::explain::{self, Step};
use crate::plan::logical::{Plan, RulePlan};
use crate::plan::render::render;
use crate::plan::{self, Compiled, Limits, RuleSetDef};

use super::accounts::time;
use super::rulefiles;
use super::socket::{self, Agent};
use super::table::count;

/// Show what rules do, step by step: a tree with the alert at the top and the topics at the leaves.
///
/// Without `--rules` the running agent is asked for its rules.
#[derive(Debug, clap::Args)]
pub(super) struct Explain {
    /// Only this rule, as `id` or `set/id`
    rule: Option<String>,
    /// Rule files; a directory stands for its rule files, `-` for standard input
    #[arg(long, short, num_args = 1.., value_name = "FILE")]
    rules: Vec<PathBuf>,
    /// One JSON array of all trees
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    agent: Agent,
}

/// A rule set that was compiled.
struct Set {
    name: String,
    plan: Arc<Plan>,
    /// What its rules cost so far, where they run.
    costs: Vec<RuleStatus>,
}

/// One tree.
struct Explained<'a> {
    set: &'a str,
    rule: &'a str,
    step: Step,
}

impl Explain {
    /// Prints the trees.
    ///
    /// # Errors
    /// Rules that cannot be read, an agent that does not answer, a rule that there is not.
    pub(super) fn run(self) -> Result<ExitCode> {
        let (sets, failed) = if self.rules.is_empty() { self.running()? } else { self.read()? };
        let wanted = |set: &str, rule: &str| match &self.rule {
            Some(name) => name == rule || *name == format!("{set}/{rule}"),
            None => true,
        };
        let mut trees: Vec<Explained<'_>> = Vec::new();
        for set in &sets {
            // As the agent runs it, which alone decides where a rule stands.
            let config = engine::Config { watched: true, ..engine::Config::default() };
            let engine = Engine::new(set.plan.clone(), config);
            let rules = set.plan.rules.iter().enumerate();
            trees.extend(rules.filter(|(_, rule)| wanted(&set.name, &rule.alert.rule)).map(|(at, rule)| {
                Explained { set: &set.name, rule: &rule.alert.rule, step: explained(set, at, rule, &engine) }
            }));
        }
        if let (Some(name), true, false) = (&self.rule, trees.is_empty(), failed) {
            bail!("no rule `{name}`; {}", known(&sets));
        }
        let mut out = io::stdout().lock();
        let text = if self.json { as_json(&trees)? } else { as_text(&trees, color()) };
        // A reader such as `head` may close early.
        drop(out.write_all(text.as_bytes()).and_then(|()| out.flush()));
        Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }

    /// The sets of the files that can run; and whether one cannot, which was told.
    fn read(&self) -> Result<(Vec<Set>, bool)> {
        let (mut sets, mut failed) = (Vec::new(), false);
        let files = rulefiles::read(&self.rules);
        // `--rules` takes all that follows it for files.
        let files = match (&self.rule, self.rules.len()) {
            (None, 2..) => files.context("read the rule files; the name of a rule stands before --rules")?,
            _ => files?,
        };
        for file in files {
            let Compiled { plan, diagnostics, .. } =
                plan::compile_text(&file.set, &file.text, &Limits::default());
            match plan {
                Some(plan) => sets.push(Set { name: file.set, plan: Arc::new(plan), costs: Vec::new() }),
                None => {
                    failed = true;
                    eprint!("{}", render(&diagnostics, &file.shown, &file.text, io::stderr().is_terminal()));
                }
            }
        }
        Ok((sets, failed))
    }

    /// The sets that the agent runs.
    fn running(&self) -> Result<(Vec<Set>, bool)> {
        let answer = socket::ask(&self.agent.path()?, "rules").context(
            "ask the running agent; name rule files with --rules to look at rules that do not run",
        )?;
        let running: Vec<RunningRules> =
            serde_json::from_str(&answer).context("understand the agent's answer; is it another version?")?;
        let status: Status = serde_json::from_str(&socket::ask(&self.agent.path()?, "status")?)
            .context("understand the agent's answer; is it another version?")?;
        let (mut sets, mut failed) = (Vec::new(), false);
        for set in running {
            let costs = || status.core.rules.iter().filter(|rule| rule.ruleset == set.name).cloned();
            let compiled = RuleSetDef::from_items(&set.items())
                .map(|def| plan::compile(&set.name, &def, &Limits::default()));
            match compiled {
                Ok(Compiled { plan: Some(plan), .. }) => {
                    let costs = costs().collect();
                    sets.push(Set { name: set.name, plan: Arc::new(plan), costs });
                }
                Ok(Compiled { diagnostics, .. }) | Err(diagnostics) => {
                    failed = true;
                    refuse(&set.name, &diagnostics);
                }
            }
        }
        Ok((sets, failed))
    }
}

/// The tree of a rule, and at its top how rows find it, with whom it shares, and what it cost.
fn explained(set: &Set, at: usize, rule: &RulePlan, engine: &Engine) -> Step {
    let mut found = Vec::new();
    for placement in engine.placements(at) {
        let stream = set.plan.streams.get(placement.stream).map_or("", |stream| &*stream.name);
        found.extend(placement.ways.iter().map(|way| format!("{stream}: {}", found_by(way))));
        match placement.open {
            Some(open) => found.push(format!("{stream}: every row, as {}", open.text())),
            None if placement.ways.is_empty() => found.push(format!("{stream}: no row can be true for it")),
            None => {}
        }
    }
    let others = engine.together(at) - 1;
    let what = if rule.window.is_some() { "one window" } else { "its analytic functions" };
    let shared = (others > 0).then(|| format!("{what} with {}", count(others as u64, "other rule")));
    let cost = set.costs.iter().find(|cost| *cost.rule == *rule.alert.rule && cost.rows > 0);
    let cost = cost.map(|cost| {
        let each = cost.nanos.checked_div(cost.rows).unwrap_or(0);
        format!("{} in {}, {} a row", time(cost.nanos), count(cost.rows, "row"), time(each))
    });
    explain::explain(&set.plan, rule)
        .with_all("found by", found)
        .with_all("shares", shared.into_iter().collect())
        .with_all("cost", cost.into_iter().collect())
}

/// A way to a rule, in words.
fn found_by(way: &Way) -> String {
    let beside = |n: usize| match n.saturating_sub(1) {
        0 => "alone there".to_owned(),
        others => format!("with {}", count(others as u64, "other condition")),
    };
    let mut text = match &way.equal {
        Some(equal) => format!("{equal} in a table, {}", beside(way.shared)),
        None => "no equality".to_owned(),
    };
    if let Some(threshold) = &way.threshold {
        text.push_str(&format!("; {threshold} in a sorted list, {}", beside(way.sorted)));
    }
    if !way.residual.is_empty() {
        text.push_str(&format!("; then {}", way.residual.join(" and ")));
    }
    if !way.exact {
        text.push_str("; then the rule itself");
    }
    text
}

/// What runs in the agent compiles there; a program of another version may see it otherwise.
fn refuse(set: &str, diagnostics: &[Diagnostic]) {
    for diagnostic in diagnostics {
        eprintln!("set {set}: {diagnostic}");
    }
}

fn known(sets: &[Set]) -> String {
    let all = sets.iter().flat_map(|set| set.plan.rules.iter()).map(|rule| &*rule.alert.rule);
    let mut names: Vec<&str> = all.clone().take(20).collect();
    if names.is_empty() {
        return "there are no rules".to_owned();
    }
    if all.count() > names.len() {
        names.push("…");
    }
    format!("there are {}", names.join(", "))
}

/// Whether standard output takes colours.
pub(super) fn color() -> bool {
    io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}

fn as_text(trees: &[Explained<'_>], color: bool) -> String {
    let one = |tree: &Explained<'_>| {
        format!("rule {}/{}\n{}", tree.set, tree.rule, explain::text(&tree.step, color))
    };
    trees.iter().map(one).collect::<Vec<_>>().join("\n")
}

fn as_json(trees: &[Explained<'_>]) -> Result<String> {
    let one = |tree: &Explained<'_>| -> Result<Json> {
        let plan = serde_json::to_value(&tree.step).context("write the plan as JSON")?;
        Ok(json!({ "set": tree.set, "rule": tree.rule, "plan": plan }))
    };
    let all: Vec<Json> = trees.iter().map(one).collect::<Result<_>>()?;
    Ok(serde_json::to_string_pretty(&all)? + "\n")
}
