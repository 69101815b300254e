//! All units of an engine: which rule is in which, and when to look at which. A rule that needs nothing but the
//! row at hand is in none: there may be a great many of those.

use std::collections::HashMap;

use super::Unit;
use super::looks::{Looks, look};
use super::signature::{Signature, fit, is_small};
use crate::engine::gate::Gates;
use crate::engine::op::{Operator, measures_of, names_of};
use crate::engine::recall::Recall;
use crate::engine::watermark::Mark;
use crate::engine::{Config, Context};
use crate::plan::logical::Plan;

/// The units.
#[derive(Debug, Default)]
pub(in crate::engine) struct Units {
    /// Those that left leave a hole.
    pub(in crate::engine) list: Vec<Option<Unit>>,
    holes: Vec<usize>,
    /// The unit of each rule, [`NONE`] or [`ALONE`].
    of: Vec<u32>,
    pub(in crate::engine) looks: Looks,
}

/// A rule that does not run.
const NONE: u32 = u32::MAX;
/// A rule that [needs nothing but the row](Gate::is_light): it runs without a unit.
const ALONE: u32 = u32::MAX - 1;

impl Units {
    /// None; the rules have yet to be [put](Self::put) in.
    pub(in crate::engine) fn new(plan: &Plan) -> Self {
        Self { of: vec![NONE; plan.rules.len()], ..Self::default() }
    }

    /// Makes room for so many rules.
    pub(in crate::engine) fn resize(&mut self, rules: usize) {
        self.of.resize(rules, NONE);
    }

    /// The place in the list of the unit of a rule; no place of it where the rule has none.
    #[inline]
    pub(in crate::engine) fn place(&self, rule: usize) -> usize {
        self.of.get(rule).map_or(usize::MAX, |at| *at as usize)
    }

    /// Whether a rule runs without a unit.
    pub(in crate::engine) fn is_alone(&self, rule: usize) -> bool {
        self.of.get(rule) == Some(&ALONE)
    }

    /// Lets a rule run without a unit, or not at all. It is in none.
    pub(in crate::engine) fn set_alone(&mut self, rule: usize, alone: bool) {
        self.of[rule] = if alone { ALONE } else { NONE };
    }

    /// Whether rows come to this rule: by itself, or for all rules of its unit.
    pub(in crate::engine) fn leads(&self, rule: usize) -> bool {
        self.is_alone(rule) || self.of(rule).is_some_and(|unit| unit.leader() == rule)
    }

    /// Lets these rules begin together: each by itself that needs no unit, and a unit for all of the others that
    /// are alike.
    pub(in crate::engine) fn begin(
        &mut self,
        (plan, gates): (&Plan, &Gates),
        config: &Config,
        rules: impl IntoIterator<Item = usize>,
        seed: u64,
    ) {
        let mut others = Vec::new();
        for rule in rules {
            if gates[rule].is_light() {
                self.set_alone(rule, true);
            } else if !plan.rules[rule].is_vacant() {
                others.push(rule);
            }
        }
        let all = together(plan, config, others);
        if self.list.is_empty() {
            // Room for a few that may come later; twice the room would be most of what a rule takes.
            self.list.reserve_exact(all.len() + all.len() / 16);
        }
        for rules in all {
            let ctx = Context::new(plan, rules.first().copied().unwrap_or_default(), config);
            self.put(Unit::new(ctx, rules, seed));
        }
    }

    /// Puts in a unit, whose rules are in no other. When to look at it has to be
    /// [noted](Self::look_at_all) then.
    pub(in crate::engine) fn put(&mut self, unit: Unit) {
        let at = self.holes.pop().unwrap_or(self.list.len());
        for rule in unit.rules.iter() {
            self.of[*rule] = u32::try_from(at).unwrap_or(NONE);
        }
        if at == self.list.len() {
            self.list.push(Some(unit));
        } else {
            self.list[at] = Some(unit);
        }
    }

    /// Takes rules, in ascending order, out of their units, which go with their last ones.
    pub(in crate::engine) fn leave(&mut self, plan: &Plan, config: &Config, rules: &[usize]) {
        let mut places: Vec<usize> = rules.iter().map(|rule| self.place(*rule)).collect();
        places.sort_unstable();
        places.dedup();
        for at in places {
            let Some(unit) = self.list.get_mut(at).and_then(Option::as_mut) else { continue };
            let stays = |rule: &usize| rules.binary_search(rule).is_err();
            let rest: Vec<usize> = unit.rules.iter().copied().filter(stays).collect();
            if let Some(first) = rest.first() {
                unit.run_for(Context::new(plan, *first, config), rest);
            } else {
                drop(self.vacate(at));
            }
        }
        rules.iter().for_each(|rule| self.of[*rule] = NONE);
    }

    /// Takes out a unit, whose rules are in none then.
    pub(in crate::engine) fn vacate(&mut self, at: usize) -> Option<Unit> {
        let unit = self.list.get_mut(at).and_then(Option::take)?;
        if let Some(look) = unit.look {
            self.looks.remove(look, at);
        }
        self.holes.push(at);
        Some(unit)
    }

    /// Makes one unit of those that are alike and remember nothing. It begins to count at nothing.
    pub(in crate::engine) fn merge(&mut self, (plan, gates): (&Plan, &Gates), config: &Config) {
        let fresh = self.list.iter().flatten().filter(|unit| unit.is_fresh());
        let mut alike: HashMap<u64, Vec<usize>> = HashMap::new();
        for leader in fresh.map(Unit::leader) {
            if let Some(signature) = Signature::new(Context::new(plan, leader, config)) {
                alike.entry(signature.hash()).or_default().push(self.place(leader));
            }
        }
        for units in alike.into_values().filter(|units| units.len() > 1) {
            let mut rules = Vec::new();
            for at in units {
                let Some(gone) = self.list.get_mut(at).and_then(Option::take) else { continue };
                self.holes.push(at);
                rules.extend(gone.rules.iter());
            }
            rules.sort_unstable();
            self.begin((plan, gates), config, rules, 0);
        }
    }

    /// Notes when to look at whom, after units came or went.
    pub(in crate::engine) fn look_at_all(&mut self) {
        self.looks.clear();
        for (at, unit) in self.list.iter_mut().enumerate() {
            let Some(unit) = unit else { continue };
            unit.look = None;
            look(&mut self.looks, at, unit);
        }
    }

    /// Takes out what is due by `now`, perhaps only what must not wait; each is looked at no more until it is
    /// [noted](look) again.
    pub(in crate::engine) fn take_due(&mut self, now: Mark, all: bool) -> Vec<usize> {
        let mut due = self.looks.take_due(now, all);
        due.sort_unstable_by_key(|at| self.list[*at].as_ref().map_or(0, Unit::leader));
        due
    }

    /// When to look at one, at the latest.
    #[inline]
    pub(in crate::engine) fn next_look(&self) -> Option<Mark> {
        self.looks.first()
    }

    /// The same of those that must not wait.
    pub(in crate::engine) fn next_urgent_look(&self) -> Option<Mark> {
        self.looks.first_urgent()
    }

    /// The unit of a rule.
    pub(in crate::engine) fn of(&self, rule: usize) -> Option<&Unit> {
        self.list.get(self.place(rule))?.as_ref()
    }

    /// What finds the rules of the unit of this one, where its analytic functions are all that it remembers.
    pub(in crate::engine) fn recall(&mut self, rule: usize) -> Option<&mut Recall> {
        let at = self.place(rule);
        match &mut self.list.get_mut(at)?.as_mut()?.operator {
            Operator::Recall(recall) => Some(recall),
            _ => None,
        }
    }

    /// All of them, in the order of their leaders.
    pub(in crate::engine) fn all(&self) -> Vec<&Unit> {
        let mut all: Vec<&Unit> = self.list.iter().flatten().collect();
        all.sort_unstable_by_key(|unit| unit.leader());
        all
    }

    /// All of them, taken out.
    pub(in crate::engine) fn take_all(self) -> Vec<Unit> {
        self.list.into_iter().flatten().collect()
    }

    /// No unit counts as degraded.
    pub(in crate::engine) fn forgive(&mut self) {
        self.list.iter_mut().flatten().for_each(|unit| {
            if unit.account.degraded_until.is_some() {
                unit.account.degraded_until = None;
            }
        });
    }

    /// Starts all generators anew.
    pub(in crate::engine) fn seed(&mut self, plan: &Plan, seed: u64) {
        for unit in self.list.iter_mut().flatten() {
            let rule = unit.leader();
            unit.seed(seed, &plan.rules[rule].alert.rule);
        }
    }
}

/// Rules that may share.
struct Known {
    place: usize,
    signature: Signature,
    /// The lengths and hops that they have so far.
    measures: Vec<(i64, i64)>,
    /// The names of their aggregates, where those may differ.
    names: Vec<u64>,
}

/// Those of these rules that may share, in the order of their first ones; each in ascending order.
pub(in crate::engine) fn together(
    plan: &Plan,
    config: &Config,
    rules: impl IntoIterator<Item = usize>,
) -> Vec<Vec<usize>> {
    let mut all: Vec<Vec<usize>> = Vec::new();
    let mut known: HashMap<u64, Vec<Known>> = HashMap::new();
    for rule in rules {
        let ctx = Context::new(plan, rule, config);
        let Some(signature) = Signature::new(ctx) else {
            all.push(vec![rule]);
            continue;
        };
        let measures = measures_of(ctx.rule);
        let names = if signature.takes_any_aggregates() { names_of(ctx) } else { Vec::new() };
        let known = known.entry(signature.hash()).or_default();
        if let Some(place) = known.iter_mut().find_map(|known| known.take(&signature, measures, &names)) {
            all[place].push(rule);
        } else {
            let (place, measures) = (all.len(), measures.into_iter().collect());
            known.push(Known { place, signature, measures, names });
            all.push(vec![rule]);
        }
    }
    all.iter_mut().for_each(|rules| rules.sort_unstable());
    all
}

impl Known {
    /// Takes a rule in, if it may share with these; gives their place.
    fn take(&mut self, signature: &Signature, measures: Option<(i64, i64)>, names: &[u64]) -> Option<usize> {
        if !self.signature.is_like(signature) {
            return None;
        }
        let others: Vec<u64> = names.iter().copied().filter(|name| !self.names.contains(name)).collect();
        if !is_small(self.names.len() + others.len(), names.len()) {
            return None;
        }
        if let Some(measures) = measures.filter(|measures| !self.measures.contains(measures)) {
            self.measures.push(measures);
            if !fit(&self.measures) {
                self.measures.pop();
                return None;
            }
        }
        self.names.extend(others);
        Some(self.place)
    }
}
