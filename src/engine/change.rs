//! Another plan while rows flow. Where it is the next version of the one that runs, what differs is taken out
//! and put in, and nothing else is looked at, however many rules there are; any other is swapped in whole.

use std::collections::HashMap;
use std::sync::Arc;

use super::feed::{Feed, feeds, list, unlist};
use super::gate::{Gate, skips_retained};
use super::op::Operator;
use super::presence::{delist, enlist};
use super::readers::Readers;
use super::recent::Recent;
use super::unit::{Unit, Units, look, together};
use super::{Account, Config, Context, Engine, known, layouts};
use crate::model::key::Key;
use crate::plan::logical::{Plan, RulePlan};

/// What a change leaves behind: state of rules that are gone. It may be large, so whoever has no time to
/// spare lets another thread drop it.
#[derive(Debug, Default)]
pub struct Leftover {
    units: Vec<Unit>,
    recent: Vec<Recent>,
}

impl Leftover {
    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.units.is_empty() && self.recent.is_empty()
    }
}

impl Engine {
    /// Runs another plan from here on. A rule whose id and [`RulePlan::state`] are the same keeps its
    /// state and its account, and a table whose name and stream are the same its rows; every
    /// other starts empty.
    pub fn swap(&mut self, plan: Arc<Plan>) {
        let old = std::mem::replace(self, Self::new(plan, self.config));
        let before = old.accounts();
        self.clock_trusted = old.clock_trusted;
        // What was written down before may hold state that went, and lack what came since.
        self.changed = true;
        self.seed = old.seed;
        self.tables.take_over(&self.plan, old.tables, &old.plan);
        let mut feeds = old.feeds;
        self.take_over_recorders(&mut feeds, &old.plan);
        self.take_over_presences(&mut feeds, &old.plan);
        self.take_over_recent(feeds, &old.plan);
        // Where each rule stands from here on, if it stays.
        let known: HashMap<(&str, u64), usize> = known(&self.plan);
        let shape = |plan, at| Context::new(plan, at, &self.config).shape();
        let stays = |(at, rule): (usize, &RulePlan)| {
            let new = *known.get(&(rule.alert.rule.as_ref(), rule.state))?;
            let alike = shape(&old.plan, at) == shape(&self.plan, new)
                && recalls_alike((&old.plan, at), (&self.plan, new), &self.config);
            alike.then_some(new)
        };
        let old_units = old.units;
        let stays: Vec<Option<usize>> = old.plan.rules.iter().enumerate().map(stays).collect();
        let mut units = Units::new(&self.plan);
        let mut shown: Vec<Option<Account>> = vec![None; self.plan.rules.len()];
        let mut begin = Vec::new();
        for (old, new) in stays.iter().enumerate().filter(|(old, _)| old_units.is_alone(*old)) {
            if let Some(new) = new {
                shown[*new] = Some(before[old]);
                begin.push(*new);
            }
        }
        for mut unit in old_units.take_all() {
            let stay = unit.rules.iter().filter_map(|old| Some((*old, stays[*old]?)));
            let stay: Vec<(usize, usize)> = stay.collect();
            // Rules of one text and one declaration are as alike as they were. Were they not, only the first
            // ones could go on with what is there.
            let rules = together(&self.plan, &self.config, stay.iter().map(|(_, new)| *new));
            let Some(rules) = rules.into_iter().next() else { continue };
            let ctx = Context::new(&self.plan, rules.first().copied().unwrap_or_default(), &self.config);
            let leader = Context::new(&old.plan, unit.leader(), &self.config);
            unit.move_slots(&layouts(leader), &layouts(ctx));
            for (old, new) in stay.into_iter().filter(|(_, new)| rules.binary_search(new).is_ok()) {
                shown[new] = Some(before[old]);
            }
            unit.run_for(ctx, rules);
            units.put(unit);
        }
        begin.extend(shown.iter().enumerate().filter_map(|(rule, shown)| shown.is_none().then_some(rule)));
        begin.sort_unstable();
        units.begin((&self.plan, &self.gates), &self.config, begin, self.seed);
        units.merge((&self.plan, &self.gates), &self.config);
        self.units = units;
        self.reindex();
        let shown: Vec<Account> = shown.into_iter().map(Option::unwrap_or_default).collect();
        self.show(&shown);
    }

    /// Notes who reads what, and when to look at whom, after units came or went.
    pub(super) fn reindex(&mut self) {
        let new = feeds(&self.plan, &self.config, &self.gates, &self.units);
        for (feed, new) in self.feeds.iter_mut().zip(new) {
            let awake = std::mem::take(&mut feed.readers.awake);
            (feed.readers, feed.unsettled) = (Readers { awake, ..new.readers }, new.unsettled);
        }
        self.units.look_at_all();
    }

    /// Runs the next version of the plan, in which the rules of these places, in ascending order, are others
    /// than before, and further streams and slots may have come behind those that were; all else is the
    /// same. A rule whose id and [`RulePlan::state`](crate::plan::logical::RulePlan::state) are the same
    /// keeps its state and its account; every other of them starts empty. Which of their alerts are active
    /// has to be said again. Takes time for what is touched alone, where there are no tables.
    pub fn change(&mut self, plan: Arc<Plan>, touched: &[usize]) -> Leftover {
        let mut left = Leftover::default();
        if !plan.tables.is_empty() || !self.plan.tables.is_empty() {
            self.swap(plan);
            return left;
        }
        self.changed = true;
        let was = std::mem::replace(&mut self.plan, plan);
        // Of units of several rules: the unit, the rule, and whether it goes.
        let mut shared: Vec<(usize, usize, bool)> = Vec::new();
        let known = self.gates.len();
        for at in touched.iter().copied().take_while(|at| *at < known) {
            self.forget_active(&was, at);
            self.unfollow(&was, at);
            let stays = stays(&was, &self.plan, at, &self.config);
            // What it shows from here on, of which it owns a part: see the end.
            let shown = if stays { self.account_of(&was, at) } else { Account::default() };
            self.accounts.set(at, shown);
            if let Some(recall) = self.units.recall(at) {
                recall.remove(&was, self.gates[at], at);
            }
            match self.units.of(at) {
                Some(unit) if unit.rules.len() > 1 => shared.push((self.units.place(at), at, !stays)),
                Some(_) => self.unlist(&was, at),
                None if self.units.is_alone(at) => self.unlist(&was, at),
                None => {}
            }
        }
        shared.sort_unstable();
        for of_one in shared.chunk_by(|one, other| one.0 == other.0) {
            let leader = self.units.of(of_one[0].1).map(Unit::leader);
            leader.into_iter().for_each(|leader| self.unlist(&was, leader));
        }
        self.make_room(touched, &mut left);
        for of_one in shared.chunk_by(|one, other| one.0 == other.0) {
            left.take(self.regroup(of_one));
        }
        let mut begin = Vec::new();
        for at in touched.iter().copied() {
            let place = self.units.place(at);
            if shared.binary_search_by_key(&(place, at), |(unit, rule, _)| (*unit, *rule)).is_ok() {
                continue;
            }
            let goes = !stays(&was, &self.plan, at, &self.config);
            if self.renew(at, goes, &mut left) {
                begin.push(at);
            }
        }
        if !begin.is_empty() {
            self.units.begin((&self.plan, &self.gates), &self.config, begin.iter().copied(), self.seed);
        }
        for rule in begin {
            if self.units.leads(rule) {
                self.list(rule);
            }
        }
        for at in touched.iter().copied().take_while(|at| *at < self.plan.rules.len()) {
            let shown = self.accounts.get(at);
            self.accounts.set(at, Account::default());
            let rest = shown.without(&self.account(at));
            self.accounts.set(at, rest);
        }
        left
    }

    /// Sees to a rule that has its unit for itself, or none. Says whether it must be given one.
    fn renew(&mut self, at: usize, goes: bool, left: &mut Leftover) -> bool {
        let Some(rule) = self.plan.rules.get(at) else { return false };
        let (is_vacant, is_bare, is_light) = (rule.is_vacant(), is_bare(rule), self.gates[at].is_light());
        let ctx = Context::new(&self.plan, at, &self.config);
        let place = self.units.place(at);
        let Some(unit) = self.units.list.get_mut(place).and_then(Option::as_mut) else {
            self.units.set_alone(at, is_light);
            if is_light {
                self.list(at);
            } else if is_bare && !is_vacant {
                self.units.put(Unit::new(ctx, vec![at], self.seed));
                self.list(at);
            }
            return !is_bare && !is_vacant;
        };
        if !goes {
            unit.run_for_itself(ctx);
        } else if is_bare && !is_vacant && !is_light && unit.is_bare() {
            unit.begin_anew(ctx, self.seed);
        } else {
            self.units.set_alone(at, false);
            left.take(self.units.vacate(place));
            return self.renew(at, false, left);
        }
        self.list(at);
        false
    }

    /// The account of the rule at a place of the plan; what feeds tables is not in it.
    pub fn account(&self, at: usize) -> Account {
        self.account_of(&self.plan, at)
    }

    /// The same, where the rule is that of this plan.
    fn account_of(&self, plan: &Plan, at: usize) -> Account {
        let mut account = self.accounts.get(at);
        if let Some(unit) = self.units.of(at) {
            account = account.with(&unit.counted(at), unit.rules.len());
        }
        if let Some(rule) = plan.rules.get(at) {
            self.count(&mut account, rule);
        }
        account
    }

    /// No alert of a rule is active.
    fn forget_active(&mut self, plan: &Plan, at: usize) {
        let Ok(reader) = u32::try_from(at) else { return };
        if !self.watch.has(reader) {
            return;
        }
        let (gate, rule) = (self.gates[at], &plan.rules[at]);
        let keys: Vec<Key> = self.watch.forget(reader).collect();
        if let Some(awake) = self.awake_of(gate, at, rule.stream()).filter(|_| gate.is_plain()) {
            let slot = gate.key_slot(rule);
            keys.iter().for_each(|key| awake.set(reader, slot, key, false));
        }
    }

    /// Counts a rule no longer among those that go by the newest row of each key of their stream.
    fn unfollow(&mut self, plan: &Plan, at: usize) {
        let (Some(gate), Some(rule)) = (self.gates.get(at), plan.rules.get(at)) else { return };
        if let Some(feed) = self.feeds.get_mut(rule.stream()).filter(|_| gate.is_by_stream()) {
            feed.followers -= 1;
        }
        if let Some(feed) = self.feeds.get_mut(rule.stream()).filter(|_| gate.is_witness()) {
            feed.witnesses -= 1;
        }
        delist(&mut self.feeds, plan, (at, *gate));
    }

    /// Takes a rule that rows come to out of the indexes of the streams that it reads.
    fn unlist(&mut self, plan: &Plan, leader: usize) {
        unlist(&mut self.feeds, plan, (leader, self.gates[leader]));
    }

    /// Puts it into them, and sees to it that its unit, if it has one, is looked at in time.
    fn list(&mut self, leader: usize) {
        let at = self.units.place(leader);
        if let Some(unit) = self.units.list.get_mut(at).and_then(Option::as_mut) {
            look(&mut self.units.looks, at, unit);
        }
        list(&mut self.feeds, &self.plan, &self.config, (leader, self.gates[leader]));
    }

    /// Room for what the plan has more than the one before, and what is known of its rules beforehand.
    fn make_room(&mut self, touched: &[usize], left: &mut Leftover) {
        for (at, stream) in self.plan.streams.iter().enumerate() {
            match self.feeds.get_mut(at) {
                Some(feed) => feed.reads(stream),
                None => self.feeds.push(Feed::new(stream, &self.config)),
            }
        }
        self.fed.resize_with(self.plan.streams.len(), Vec::new);
        let rules = self.plan.rules.len();
        self.accounts.resize(rules);
        self.units.resize(rules);
        for at in touched.iter().copied() {
            let Some(rule) = self.plan.rules.get(at) else { continue };
            let gate = Gate::new(&self.plan, rule, &self.config);
            self.gates.set(at, gate);
            if let Some(feed) = self.feeds.get_mut(rule.stream()).filter(|_| gate.is_by_stream()) {
                feed.followers += 1;
            }
            if let Some(feed) = self.feeds.get_mut(rule.stream()).filter(|_| gate.is_witness()) {
                feed.witnesses += 1;
            }
            enlist(&mut self.feeds, &self.plan, &self.config, (at, gate));
        }
        for feed in &mut self.feeds {
            feed.record(self.config.evidence);
            feed.expect();
        }
        self.look_for_silence();
        let most = self.config.max_groups;
        left.recent.extend(self.feeds.iter_mut().filter_map(|feed| feed.remember(most)));
    }

    /// Lets a unit run for those of its rules that stay; it goes with the last one.
    fn regroup(&mut self, touched: &[(usize, usize, bool)]) -> Option<Unit> {
        let at = touched.first()?.0;
        let mut goes = touched.iter().filter(|(.., goes)| *goes).map(|(_, rule, _)| *rule).peekable();
        let unit = self.units.list.get_mut(at)?.as_mut()?;
        let mut rest = Vec::with_capacity(unit.rules.len());
        for rule in unit.rules.iter() {
            if goes.next_if_eq(rule).is_none() {
                rest.push(*rule);
            }
        }
        let gone = touched.iter().filter(|(.., goes)| *goes);
        gone.for_each(|(_, rule, _)| self.units.set_alone(*rule, false));
        let unit = self.units.list.get_mut(at)?.as_mut()?;
        let Some(first) = rest.first().copied() else { return self.units.vacate(at) };
        let ctx = Context::new(&self.plan, first, &self.config);
        if let Operator::Recall(recall) = &mut unit.operator {
            let stay = touched.iter().filter(|(.., goes)| !goes).map(|(_, rule, _)| *rule);
            stay.for_each(|rule| recall.insert(ctx, self.gates[rule], rule));
            unit.rules = rest.into();
        } else {
            unit.run_for(ctx, rest);
        }
        self.list(first);
        None
    }
}

impl Leftover {
    /// Keeps what has state; what has none is as well dropped at once.
    fn take(&mut self, unit: Option<Unit>) {
        self.units.extend(unit.filter(|unit| !unit.is_fresh()));
    }
}

/// Whether the rule at a place goes on with its state under another plan, whose streams are declared as
/// they were.
fn stays(was: &Plan, is: &Plan, at: usize, config: &Config) -> bool {
    match (was.rules.get(at), is.rules.get(at)) {
        (Some(old), Some(new)) => {
            old.state == new.state
                && old.alert.rule == new.alert.rule
                && recalls_alike((was, at), (is, at), config)
        }
        _ => false,
    }
}

/// Whether the analytic functions of a rule are fed the same under another plan, and shared with the same others.
/// It is not so where the rule became one of occurrences, or ceased to be one.
fn recalls_alike((was, old): (&Plan, usize), (is, new): (&Plan, usize), config: &Config) -> bool {
    let feeds = |plan: &Plan, at: usize| {
        let rule = &plan.rules[at];
        let recalls = rule.window.is_none() && !rule.analytics.is_empty();
        recalls.then(|| (Gate::new(plan, rule, config).recalls(), skips_retained(rule)))
    };
    feeds(was, old) == feeds(is, new)
}

/// Whether a rule remembers nothing, so that it shares with nobody.
fn is_bare(rule: &RulePlan) -> bool {
    rule.window.is_none() && rule.analytics.is_empty()
}
