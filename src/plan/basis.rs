//! What the next version of a set can be planned on: which rules stay as they are, and where each one
//! stands. Streams keep their places and slots, rules their places; what comes goes where something left,
//! or to the end. Knows no query.

use std::collections::HashSet;
use std::sync::Arc;

use hashbrown::HashTable;

use crate::model::diagnostic::Diagnostic;
use crate::model::fold::fold;

use super::logical::{Plan, RulePlan, Rules};
use super::rules::Gathering;

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
    /// The places of the rules that ran before, by the hash of their ids.
    known: HashTable<u32>,
    /// Which of those places are taken.
    taken: Vec<bool>,
    /// What goes where something else was.
    others: Vec<(usize, RulePlan)>,
    /// Rules that were not there before.
    fresh: Gathering,
}

impl<'a> Places<'a> {
    /// All free; with what ran before, its rules have theirs.
    pub(super) fn new(before: Option<&'a Running<'a>>) -> Self {
        let rules = before.map(|before| &before.plan.rules);
        let places = rules.map_or(0, Rules::len);
        let mut known = HashTable::with_capacity(places);
        let id = |at: u32| rules.and_then(|rules| rules.get(at as usize)).map_or("", |rule| &rule.alert.rule);
        for at in (0..places).filter_map(|at| u32::try_from(at).ok()).filter(|at| !id(*at).is_empty()) {
            known.insert_unique(fold(id(at).as_bytes()), at, |at| fold(id(*at).as_bytes()));
        }
        Self { before, known, taken: vec![false; places], others: Vec::new(), fresh: Gathering::default() }
    }

    /// Where the rule of this id ran before.
    fn place(&self, id: &str) -> Option<(usize, &'a RulePlan)> {
        let rules = &self.before?.plan.rules;
        let is = |at: &u32| rules.get(*at as usize).is_some_and(|rule| *rule.alert.rule == *id);
        let at = *self.known.find(fold(id.as_bytes()), is)? as usize;
        Some((at, rules.get(at)?))
    }

    /// Takes over the rule of this id, where it ran before with this text and nothing was found about it.
    pub(super) fn keep(&mut self, id: &str, hash: u64) -> bool {
        let (Some(before), Some((at, rule))) = (self.before, self.place(id)) else { return false };
        let same = rule.alert.hash == hash && !before.basis.found.contains(id);
        self.taken[at] |= same;
        same
    }

    /// Gives a planned rule its place.
    pub(super) fn put(&mut self, rule: RulePlan) {
        match self.place(&rule.alert.rule) {
            Some((at, _)) => {
                self.taken[at] = true;
                self.others.push((at, rule));
            }
            None => self.fresh.push(rule),
        }
    }

    /// The rules by place, and which places changed; `None` where so many stand empty that the set is
    /// better planned whole.
    pub(super) fn into_rules(self) -> Option<(Rules, Vec<usize>)> {
        let Self { before, taken, mut others, fresh, .. } = self;
        let fresh = fresh.finish();
        let Some(before) = before else { return Some((fresh, Vec::new())) };
        let (mut fresh, mut vacant, nobody) = (fresh.iter().cloned(), 0, RulePlan::vacant());
        let places = taken.len();
        for at in (0..places).filter(|at| !taken[*at]) {
            let next = fresh.next();
            vacant += usize::from(next.is_none());
            if next.is_some() || before.plan.rules.get(at).is_some_and(|was| !was.is_vacant()) {
                others.push((at, next.unwrap_or_else(|| nobody.clone())));
            }
        }
        others.extend((places..).zip(fresh));
        others.sort_unstable_by_key(|(at, _)| *at);
        let touched: Vec<usize> = others.iter().map(|(at, _)| *at).collect();
        let rules = before.plan.rules.with(others.into_iter());
        (vacant <= 16 + rules.len() / 4).then_some((rules, touched))
    }
}
