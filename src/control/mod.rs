//! Rules coming in: a set is assembled, compiled whole, and either admitted or refused. What runs
//! is not touched here; the agent swaps an admitted set in between two batches.

pub mod directory;
pub mod store;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::model::diagnostic::{Diagnostic, Level, Place};
use crate::model::ruleset::{
    Address, ContentHash, DesiredSet, Item, ItemKind, Origin, Outcome, RuleReport, set_hash, set_hash_of,
};
use crate::plan::logical::Plan;
use crate::plan::{self, Basis, Limits, Texts};

/// A set that may run.
#[derive(Clone, Debug)]
pub struct Admitted {
    /// Its name.
    pub name: Arc<str>,
    /// Where it came from.
    pub origin: Origin,
    /// The hub's revision; 0 for a set from a directory.
    pub revision: u64,
    /// Its address.
    pub hash: ContentHash,
    /// Its texts, as they are [kept](store).
    pub stored: Vec<u8>,
    /// What runs.
    pub plan: Arc<Plan>,
    /// What its next version can be compiled on.
    pub basis: Arc<Basis>,
    /// What is different from what ran when it was compiled, where it was compiled on that.
    pub change: Option<Change>,
    /// Findings that do not keep it from running.
    pub warnings: Vec<Diagnostic>,
}

/// What a change of a set touches.
#[derive(Clone, Debug)]
pub struct Change {
    /// What ran before.
    pub from: Arc<Plan>,
    /// The places of rules that are different, in order. Everything else stands where it stood.
    pub touched: Vec<usize>,
}

/// A set that runs, for its next version to be compiled on.
#[derive(Clone, Debug)]
pub struct Running {
    /// What runs.
    pub plan: Arc<Plan>,
    /// What there was to note when it was compiled.
    pub basis: Arc<Basis>,
}

impl Admitted {
    /// What the hub hears of it.
    pub fn report(&self) -> RuleReport {
        RuleReport {
            set: self.name.clone(),
            revision: self.revision,
            hash: self.hash,
            outcome: Outcome::Accepted,
            diagnostics: self.warnings.clone(),
            rules: self
                .plan
                .rules
                .iter()
                .filter(|rule| !rule.is_vacant())
                .map(|rule| ((&rule.alert.rule).into(), Outcome::Accepted))
                .collect(),
        }
    }
}

/// Puts a pushed set together from the items that were sent and those that run.
///
/// # Errors
/// A `Failed` report where an item is in neither, or the whole does not have the announced
/// address; the hub then sends the set whole.
pub fn assemble(desired: &DesiredSet, running: &[Item]) -> Result<Vec<Item>, RuleReport> {
    let known: HashMap<ContentHash, &Item> =
        running.iter().chain(&desired.added).map(|item| (item.hash(), item)).collect();
    let items: Option<Vec<Item>> =
        desired.items.iter().map(|hash| known.get(hash).map(|item| (*item).clone())).collect();
    let failed = |message: &str| RuleReport {
        set: desired.name.clone(),
        revision: desired.revision,
        hash: desired.hash,
        outcome: Outcome::Failed,
        diagnostics: vec![whole_set("incomplete-set", message)],
        rules: Vec::new(),
    };
    let items = items.ok_or_else(|| failed("items of the set are missing on the agent; send it whole"))?;
    // Each was found by its address.
    if set_hash_of(desired.items.iter().copied()) != desired.hash {
        return Err(failed(
            "the set as put together on the agent has another hash than announced; send it whole",
        ));
    }
    Ok(items)
}

/// Compiles a set; on what runs in its place, where that is given, so that only what is different is
/// planned.
///
/// # Errors
/// A `Rejected` report with every finding where any rule or stream of it is wrong.
pub fn admit(
    name: &Arc<str>,
    origin: Origin,
    revision: u64,
    items: &[Item],
    before: Option<&Running>,
    limits: &Limits,
) -> Result<Admitted, Box<RuleReport>> {
    match Texts::of_items(items) {
        Ok(texts) => compile(name, origin, revision, &texts, before, limits),
        Err(diagnostics) => Err(refused(name, revision, items, diagnostics)),
    }
}

/// Compiles the text of a rule file; findings tell the file's own lines.
///
/// # Errors
/// As [`admit`].
pub fn admit_file(name: &Arc<str>, text: &str, limits: &Limits) -> Result<Admitted, Box<RuleReport>> {
    admit_file_on(name, text, None, limits)
}

/// As [`admit_file`], on what runs in its place, if anything does.
///
/// # Errors
/// As [`admit`].
pub fn admit_file_on(
    name: &Arc<str>,
    text: &str,
    before: Option<&Running>,
    limits: &Limits,
) -> Result<Admitted, Box<RuleReport>> {
    match Texts::of_file(text, limits) {
        Ok(texts) => compile(name, Origin::Directory, 0, &texts, before, limits),
        Err(diagnostics) => Err(refused(name, 0, &[], diagnostics)),
    }
}

fn compile(
    name: &Arc<str>,
    origin: Origin,
    revision: u64,
    texts: &Texts<'_>,
    before: Option<&Running>,
    limits: &Limits,
) -> Result<Admitted, Box<RuleReport>> {
    let mut rules: Vec<u64> = Vec::with_capacity(texts.rules());
    let mut address = Address::default();
    let mut kept = store::Keeping::new(origin, revision, texts.rules());
    texts.each_item(|item| {
        let hash = item.hash();
        address.add(hash);
        kept.add(item);
        rules.extend((item.kind == ItemKind::Rule).then(|| hash.short()));
    });
    let (hash, stored) = (address.finish(), kept.finish());
    let compiled = match before {
        Some(Running { plan, basis }) => {
            plan::recompile(name, texts, &rules, limits, &plan::Running { plan, basis })
        }
        None => plan::compile_hashed(name, texts, &rules, limits),
    };
    let change = before.zip(compiled.touched);
    match compiled.plan {
        Some(plan) => Ok(Admitted {
            name: name.clone(),
            origin,
            revision,
            hash,
            plan: Arc::new(plan),
            basis: Arc::new(compiled.basis),
            change: change.map(|(before, touched)| Change { from: before.plan.clone(), touched }),
            warnings: compiled.diagnostics,
            stored,
        }),
        None => {
            let mut items = Vec::new();
            texts.each_item(|item| items.push(item.clone()));
            Err(refused(name, revision, &items, compiled.diagnostics))
        }
    }
}

fn refused(name: &Arc<str>, revision: u64, items: &[Item], diagnostics: Vec<Diagnostic>) -> Box<RuleReport> {
    Box::new(RuleReport {
        set: name.clone(),
        revision,
        hash: set_hash(items),
        outcome: Outcome::Rejected,
        rules: outcomes(items, &diagnostics),
        diagnostics,
    })
}

/// The refusal of a set whose name is taken by one of another origin.
pub fn name_taken(desired: &DesiredSet) -> RuleReport {
    let message = format!(
        "a set named `{}` comes from the agent's rules directory; push it under another name",
        desired.name
    );
    RuleReport {
        set: desired.name.clone(),
        revision: desired.revision,
        hash: desired.hash,
        outcome: Outcome::Rejected,
        diagnostics: vec![whole_set("name-taken", &message)],
        rules: Vec::new(),
    }
}

fn whole_set(code: &str, message: &str) -> Diagnostic {
    Diagnostic {
        level: Level::Error,
        code: code.into(),
        item: String::new(),
        field: String::new(),
        message: message.to_owned(),
        hint: None,
        place: Place::START,
    }
}

fn rule_names(items: &[Item]) -> impl Iterator<Item = Arc<str>> {
    items.iter().filter(|item| item.kind == ItemKind::Rule).map(|item| item.name.clone())
}

/// A rule is at fault where an error names it; the others would have been accepted.
fn outcomes(items: &[Item], diagnostics: &[Diagnostic]) -> Vec<(Arc<str>, Outcome)> {
    let errors = diagnostics.iter().filter(|found| found.level == Level::Error);
    let at_fault: HashSet<&str> = errors.filter_map(|found| found.item.strip_prefix("rule ")).collect();
    rule_names(items)
        .map(|rule| {
            let bad = at_fault.contains(&*rule);
            (rule, if bad { Outcome::Rejected } else { Outcome::Accepted })
        })
        .collect()
}
