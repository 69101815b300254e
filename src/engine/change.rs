//! A change of the plan while rows flow: what it touches is taken out and put in; nothing else is looked
//! at, however many rules there are.

use std::sync::Arc;

use super::feed::{Feed, list, unlist};
use super::gate::Gate;
use super::recent::Recent;
use super::unit::{Unit, look};
use super::{Account, Context, Engine};
use crate::plan::logical::Plan;

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
        // What rules that stay have shown so far.
        let mut shown: Vec<(usize, Account)> = Vec::new();
        // Units of several rules, each with one that is touched and whether it goes.
        let mut shared: Vec<(usize, usize, bool)> = Vec::new();
        let known = self.gates.len();
        for at in touched.iter().copied().take_while(|at| *at < known) {
            self.forget_active(at);
            self.follow(at, false);
            let place = self.units.of[at];
            let Some(unit) = self.units.list.get(place).and_then(Option::as_ref) else { continue };
            let stays = self.stays(&plan, at);
            let alone = unit.rules.len() == 1;
            if stays {
                shown.push((at, self.account(at)));
            }
            if alone {
                self.unlist(place);
            }
            match (alone, stays) {
                (true, true) => {}
                (true, false) => {
                    self.units.of[at] = usize::MAX;
                    left.take(self.units.vacate(place));
                }
                (false, _) => shared.push((place, at, !stays)),
            }
        }
        shared.sort_unstable();
        for of_one in shared.chunk_by(|one, other| one.0 == other.0) {
            self.unlist(of_one[0].0);
        }
        self.plan = plan;
        self.make_room(touched, &mut left);
        for (at, _) in &shown {
            let place = self.units.of[*at];
            if let Some(unit) = self.units.list.get_mut(place).and_then(Option::as_mut)
                && unit.rules.len() == 1
            {
                unit.run_for(Context::new(&self.plan, *at, &self.config), vec![*at]);
                self.list(place);
            }
        }
        for of_one in shared.chunk_by(|one, other| one.0 == other.0) {
            left.take(self.regroup(of_one));
        }
        self.begin(touched, &shown);
        self.settle_accounts(touched, &shown);
        left
    }

    /// Lets those of these rules begin that do not go on.
    fn begin(&mut self, touched: &[usize], stay: &[(usize, Account)]) {
        let begins = |at: &usize| {
            stay.binary_search_by_key(at, |(stays, _)| *stays).is_err()
                && self.plan.rules.get(*at).is_some_and(|rule| !rule.is_vacant())
        };
        let begin: Vec<usize> = touched.iter().copied().filter(begins).collect();
        self.units.begin(&self.plan, &self.config, begin.iter().copied(), self.seed);
        for rule in begin {
            if self.units.of(rule).is_some_and(|unit| unit.leader() == rule) {
                self.list(self.units.of[rule]);
            }
        }
    }

    /// Lets these rules show what they have shown before, or nothing.
    fn settle_accounts(&mut self, touched: &[usize], shown: &[(usize, Account)]) {
        let mut shown = shown.iter().peekable();
        for at in touched.iter().copied() {
            if at >= self.accounts.len() {
                break;
            }
            let before = shown.next_if(|(stays, _)| *stays == at);
            let before = before.map(|(_, account)| *account).unwrap_or_default();
            self.accounts[at] = Account::default();
            self.accounts[at] = before.without(&self.account(at));
        }
    }

    /// The account of the rule at a place of the plan; what feeds tables is not in it.
    pub fn account(&self, at: usize) -> Account {
        let mut account = self.accounts.get(at).copied().unwrap_or_default();
        if let Some(unit) = self.units.of(at) {
            account = account.with(&unit.counted(at), unit.rules.len());
        }
        if let Some(rule) = self.plan.rules.get(at) {
            self.count(&mut account, rule);
        }
        account
    }

    /// Whether the rule at a place goes on with its state under another plan, whose streams are declared as
    /// they were.
    fn stays(&self, plan: &Plan, at: usize) -> bool {
        match (self.plan.rules.get(at), plan.rules.get(at)) {
            (Some(was), Some(is)) => was.state == is.state && was.alert.rule == is.alert.rule,
            _ => false,
        }
    }

    /// No alert of a rule is active.
    fn forget_active(&mut self, at: usize) {
        let Ok(reader) = u32::try_from(at) else { return };
        if !self.watch.has(reader) {
            return;
        }
        let (gate, rule) = (self.gates[at], &self.plan.rules[at]);
        let keys = self.watch.forget(reader);
        if let Some(feed) = self.feeds.get_mut(rule.stream()).filter(|_| gate.is_plain()) {
            let slot = Gate::key_slot(rule);
            for key in keys {
                feed.awake.set(reader, slot, &key, false);
            }
        }
    }

    /// Counts a rule among those that go by the newest row of each key of their stream, or no longer.
    fn follow(&mut self, at: usize, follows: bool) {
        let (Some(gate), Some(rule)) = (self.gates.get(at), self.plan.rules.get(at)) else { return };
        if let Some(feed) = self.feeds.get_mut(rule.stream()).filter(|_| gate.is_by_stream()) {
            if follows {
                feed.followers += 1;
            } else {
                feed.followers -= 1;
            }
        }
    }

    /// Takes a unit out of the indexes of the streams that it reads.
    fn unlist(&mut self, at: usize) {
        let Some(leader) = self.units.list.get(at).and_then(Option::as_ref).map(Unit::leader) else { return };
        unlist(&mut self.feeds, &self.plan, (leader, self.gates[leader]));
    }

    /// Puts a unit into them, and sees to it that it is looked at in time.
    fn list(&mut self, at: usize) {
        let Some(unit) = self.units.list.get_mut(at).and_then(Option::as_mut) else { return };
        let leader = unit.leader();
        look(&mut self.units.looks, at, unit);
        list(&mut self.feeds, &self.plan, &self.config, (leader, self.gates[leader]));
    }

    /// Room for what the plan has more than the one before, and what is known of its rules beforehand.
    fn make_room(&mut self, touched: &[usize], left: &mut Leftover) {
        for (at, stream) in self.plan.streams.iter().enumerate() {
            match self.feeds.get_mut(at) {
                Some(feed) => feed.reads(stream),
                None => self.feeds.push(Feed::new(stream)),
            }
        }
        self.fed.resize_with(self.plan.streams.len(), Vec::new);
        let rules = self.plan.rules.len();
        self.accounts.resize(rules, Account::default());
        self.units.of.resize(rules, usize::MAX);
        for at in touched.iter().copied() {
            let Some(rule) = self.plan.rules.get(at) else { continue };
            let gate = Gate::new(&self.plan, rule, &self.config);
            match self.gates.get_mut(at) {
                Some(known) => *known = gate,
                None => self.gates.push(gate),
            }
            self.follow(at, true);
        }
        let most = self.config.max_groups;
        left.recent.extend(self.feeds.iter_mut().filter_map(|feed| feed.remember(most)));
    }

    /// Lets a unit run for those of its rules that stay; it goes with the last one.
    fn regroup(&mut self, touched: &[(usize, usize, bool)]) -> Option<Unit> {
        let at = touched.first()?.0;
        let mut goes = touched.iter().filter(|(.., goes)| *goes).map(|(_, rule, _)| *rule).peekable();
        let unit = self.units.list.get_mut(at)?.as_mut()?;
        let mut rest = Vec::with_capacity(unit.rules.len());
        for rule in &unit.rules {
            if goes.next_if_eq(rule).is_some() {
                self.units.of[*rule] = usize::MAX;
            } else {
                rest.push(*rule);
            }
        }
        let Some(first) = rest.first().copied() else { return self.units.vacate(at) };
        unit.run_for(Context::new(&self.plan, first, &self.config), rest);
        self.list(at);
        None
    }
}

impl Leftover {
    /// Keeps what has state; what has none is as well dropped at once.
    fn take(&mut self, unit: Option<Unit>) {
        self.units.extend(unit.filter(|unit| !unit.is_fresh()));
    }
}
