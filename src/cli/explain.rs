//! `weir explain`: what a rule does, step by step.
#![expect(clippy::print_stderr, reason = "a verb of the command line prints its result")]

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use serde_json::{Value as Json, json};

use crate::agent::status::RunningRules;
use crate::model::diagnostic::Diagnostic;
use crate::plan::explain::{self, Step};
use crate::plan::logical::Plan;
use crate::plan::render::render;
use crate::plan::{self, Compiled, Limits, RuleSetDef};

use super::rulefiles;
use super::socket::{self, Agent};

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
    plan: Plan,
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
        let all = sets.iter().flat_map(|set| set.plan.rules.iter().map(move |rule| (set, rule)));
        let wanted = |set: &str, rule: &str| match &self.rule {
            Some(name) => name == rule || *name == format!("{set}/{rule}"),
            None => true,
        };
        let trees: Vec<Explained<'_>> = all
            .filter(|(set, rule)| wanted(&set.name, &rule.alert.rule))
            .map(|(set, rule)| Explained {
                set: &set.name,
                rule: &rule.alert.rule,
                step: explain::explain(&set.plan, rule),
            })
            .collect();
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
                Some(plan) => sets.push(Set { name: file.set, plan }),
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
        let (mut sets, mut failed) = (Vec::new(), false);
        for set in running {
            let compiled = RuleSetDef::from_items(&set.items())
                .map(|def| plan::compile(&set.name, &def, &Limits::default()));
            match compiled {
                Ok(Compiled { plan: Some(plan), .. }) => sets.push(Set { name: set.name, plan }),
                Ok(Compiled { diagnostics, .. }) | Err(diagnostics) => {
                    failed = true;
                    refuse(&set.name, &diagnostics);
                }
            }
        }
        Ok((sets, failed))
    }
}

/// What runs in the agent compiles there; a program of another version may see it otherwise.
fn refuse(set: &str, diagnostics: &[Diagnostic]) {
    for diagnostic in diagnostics {
        eprintln!("set {set}: {diagnostic}");
    }
}

fn known(sets: &[Set]) -> String {
    let all = sets.iter().flat_map(|set| &set.plan.rules).map(|rule| &*rule.alert.rule);
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
