//! What the next version of a set can be planned on: which rules stay as they are, and where each one
//! stands. Streams keep their places and slots, rules their places; what comes goes where something left,
//! or to the end. Knows no query.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::model::diagnostic::Diagnostic;

use super::logical::{Plan, RulePlan};

/// What a plan does not say of the set that it was made of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Basis {
    /// A hash of what each stream is declared to be, in the order of the plan. `None` where the set has
    /// tables: their places and those of streams depend on one another, so such a set is planned whole.
    pub(super) streams: Option<Vec<u64>>,
    /// The rules that something was found about: it must be found again.
    pub(super) found: HashSet<Arc<str>>,
}

/// A set that runs, for its next version to be planned on.
#[derive(Clone, Copy, Debug)]
pub struct Running<'a> {
    /// What runs.
    pub plan: &'a Plan,
    /// What there was to note when it was planned.
    pub basis: &'a Basis,
}

impl Basis {
    /// Notes what was found about which rules.
    pub(super) fn new(streams: Option<Vec<u64>>, found: &[Diagnostic]) -> Self {
        let rule = |found: &Diagnostic| found.item.strip_prefix("rule ").map(Arc::from);
        Self { streams, found: found.iter().filter_map(rule).collect() }
    }
}

/// Places of rules, as they come one by one in the order of the set.
#[derive(Debug)]
pub(super) struct Places<'a> {
    before: Option<&'a Running<'a>>,
    known: HashMap<&'a str, usize>,
    /// By place. `None`: free so far.
    rules: Vec<Option<Arc<RulePlan>>>,
    /// Rules that were not there before.
    fresh: Vec<Arc<RulePlan>>,
    touched: Vec<usize>,
}

impl<'a> Places<'a> {
    /// All free; with what ran before, its rules have theirs.
    pub(super) fn new(before: Option<&'a Running<'a>>) -> Self {
        let rules = before.map_or(&[][..], |before| &before.plan.rules);
        let named = rules.iter().enumerate().filter(|(_, rule)| !rule.is_vacant());
        Self {
            before,
            known: named.map(|(at, rule)| (&*rule.alert.rule, at)).collect(),
            rules: vec![None; rules.len()],
            fresh: Vec::new(),
            touched: Vec::new(),
        }
    }

    /// Takes over the rule of this id, where it ran before with this text and nothing was found about it.
    pub(super) fn keep(&mut self, id: &str, hash: u64) -> bool {
        let (Some(before), Some(at)) = (self.before, self.known.get(id).copied()) else { return false };
        let Some(rule) = before.plan.rules.get(at) else { return false };
        let same = rule.alert.hash == hash && !before.basis.found.contains(id);
        if same {
            self.rules[at] = Some(rule.clone());
        }
        same
    }

    /// Gives a planned rule its place.
    pub(super) fn put(&mut self, rule: RulePlan) {
        let rule = Arc::new(rule);
        match self.known.get(&*rule.alert.rule).copied() {
            Some(at) => {
                self.rules[at] = Some(rule);
                self.touched.push(at);
            }
            None => self.fresh.push(rule),
        }
    }

    /// The rules by place, and which places changed; `None` where so many stand empty that the set is
    /// better planned whole.
    pub(super) fn into_rules(mut self) -> Option<(Vec<Arc<RulePlan>>, Vec<usize>)> {
        let mut fresh = std::mem::take(&mut self.fresh).into_iter();
        let (mut vacant, nobody) = (0, Arc::new(RulePlan::vacant()));
        let mut rules = Vec::with_capacity(self.rules.len() + fresh.len());
        for (at, rule) in self.rules.into_iter().enumerate() {
            if let Some(rule) = rule {
                rules.push(rule);
                continue;
            }
            let was = self.before.and_then(|before| before.plan.rules.get(at));
            let next = fresh.next();
            if next.is_some() || was.is_some_and(|was| !was.is_vacant()) {
                self.touched.push(at);
            }
            vacant += usize::from(next.is_none());
            rules.push(next.unwrap_or_else(|| nobody.clone()));
        }
        for rule in fresh {
            self.touched.push(rules.len());
            rules.push(rule);
        }
        self.touched.sort_unstable();
        (vacant <= 16 + rules.len() / 4).then_some((rules, self.touched))
    }
}
