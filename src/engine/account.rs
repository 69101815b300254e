//! What rules have done, kept so that a rule of which there is nothing to tell takes next to no room.

use std::ops::{Deref, DerefMut};
use std::time::Duration;

use crate::model::time::Mono;

/// For how long a rule counts as degraded after it reached a ceiling.
pub(super) const DEGRADED: Duration = Duration::from_secs(300);

/// What one rule has done since it began to run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// Rows of its streams.
    pub rows: u64,
    /// Output rows for which `when` was true; for a rule without it, all of them.
    pub matched: u64,
    /// Rows not used because their window was closed.
    pub late: u64,
    /// Rows not used because they are dated too far ahead of the node's clock.
    pub future: u64,
    /// Retained rows not used, since they tell a state and no event.
    pub retained: u64,
    /// What was not used or was forgotten because a ceiling was reached: rows, values of aggregates, rows
    /// of joins, groups, and keys of the tables it looks into.
    pub refused: u64,
    /// How often an expression asked for what has no value: overflow, division by zero, what is not
    /// finite.
    pub undefined: u64,
    /// Groups that have an open window at the moment.
    pub groups: usize,
    /// The bytes that its state takes at the moment, by estimate. Rules that share state share them out
    /// evenly; the ceiling is that of all of it.
    pub bytes: usize,
    /// The nanoseconds that its rows took, extrapolated from some of them, chosen at random among all rows
    /// that a rule was asked for: what the index spared is not in it, and what finding the rule in the index
    /// took neither. Rules that share the work share it out evenly. Zero where [`Config::nanos`](super::Config::nanos) is not set.
    pub ns: u64,
    /// Until when the rule counts as degraded, since it reached a ceiling; `None` if it never did.
    pub degraded_until: Option<Mono>,
}

impl Account {
    const NOTHING: Self = Self {
        rows: 0,
        matched: 0,
        late: 0,
        future: 0,
        retained: 0,
        refused: 0,
        undefined: 0,
        groups: 0,
        bytes: 0,
        ns: 0,
        degraded_until: None,
    };

    /// Takes note of the bytes that are in use, after a piece of work that began with so many refusals; says whether
    /// there are more of them.
    pub(super) fn note(&mut self, bytes: usize, refused: u64, now: Mono) -> bool {
        self.bytes = bytes;
        let more = self.refused > refused;
        if more {
            self.degraded_until = Some(now.plus(DEGRADED));
        }
        more
    }

    /// The account of one rule: its own part, and what its unit counted for all of its `rules`. Bytes are
    /// shared out evenly, so that those of all rules add up to what there is.
    pub(super) fn with(self, shared: &Self, rules: usize) -> Self {
        Self {
            groups: shared.groups,
            bytes: shared.bytes.div_ceil(rules.max(1)),
            degraded_until: self.degraded_until.max(shared.degraded_until),
            ..self.each(shared, u64::wrapping_add)
        }
    }

    /// The own part of a rule that shows this account, where it would show `shared` with none.
    pub(super) fn without(self, shared: &Self) -> Self {
        Self { groups: 0, bytes: 0, ..self.each(shared, u64::wrapping_sub) }
    }

    fn each(self, other: &Self, with: fn(u64, u64) -> u64) -> Self {
        Self {
            rows: with(self.rows, other.rows),
            matched: with(self.matched, other.matched),
            late: with(self.late, other.late),
            future: with(self.future, other.future),
            retained: with(self.retained, other.retained),
            refused: with(self.refused, other.refused),
            undefined: with(self.undefined, other.undefined),
            ns: with(self.ns, other.ns),
            ..self
        }
    }
}

/// One account, which takes room once something is written there.
#[derive(Debug, Default)]
pub(super) struct Entry(Option<Box<Account>>);

impl From<Account> for Entry {
    fn from(account: Account) -> Self {
        Self((account != Account::NOTHING).then(|| Box::new(account)))
    }
}

impl Deref for Entry {
    type Target = Account;

    #[inline]
    fn deref(&self) -> &Account {
        self.0.as_deref().unwrap_or(&Account::NOTHING)
    }
}

impl DerefMut for Entry {
    #[inline]
    fn deref_mut(&mut self) -> &mut Account {
        self.0.get_or_insert_default()
    }
}

/// The own accounts of all rules of a plan.
#[derive(Debug, Default)]
pub(super) struct Accounts {
    /// For each rule the place of its account behind all that came before it, from 1 on; 0 where there is
    /// nothing to tell.
    places: Vec<u32>,
    list: Vec<Account>,
    /// For each rule matches that its account does not have yet: what rows write most often lies close
    /// together.
    hits: Vec<u32>,
}

impl Accounts {
    /// Of so many rules, of which there is nothing to tell.
    pub(super) fn new(rules: usize) -> Self {
        Self { places: vec![0; rules], list: Vec::new(), hits: vec![0; rules] }
    }

    /// Of these rules.
    pub(super) fn of(accounts: impl ExactSizeIterator<Item = Account>) -> Self {
        let mut new = Self::new(accounts.len());
        accounts.enumerate().for_each(|(at, account)| new.set(at, account));
        new
    }

    /// For so many rules from here on.
    pub(super) fn resize(&mut self, rules: usize) {
        self.places.resize(rules, 0);
        self.hits.resize(rules, 0);
    }

    /// The account of a rule.
    pub(super) fn get(&self, rule: usize) -> Account {
        let place = self.places.get(rule).map_or(0, |place| *place as usize);
        let mut account =
            place.checked_sub(1).and_then(|place| self.list.get(place)).copied().unwrap_or_default();
        account.matched = account.matched.wrapping_add(self.hits.get(rule).copied().unwrap_or(0).into());
        account
    }

    /// Counts a match of a rule.
    #[inline]
    pub(super) fn hit(&mut self, rule: usize) {
        match self.hits[rule].checked_add(1) {
            Some(hits) => self.hits[rule] = hits,
            None => self.get_mut(rule).matched += 1,
        }
    }

    /// The account of a rule, to be added to.
    pub(super) fn get_mut(&mut self, rule: usize) -> &mut Account {
        let known = self.places[rule] as usize;
        let place = known.checked_sub(1).unwrap_or_else(|| {
            self.list.push(Account::default());
            self.places[rule] = u32::try_from(self.list.len()).unwrap_or(u32::MAX);
            self.list.len() - 1
        });
        &mut self.list[place]
    }

    /// Writes the account of a rule anew.
    pub(super) fn set(&mut self, rule: usize, account: Account) {
        self.hits[rule] = 0;
        if self.places[rule] > 0 || account != Account::NOTHING {
            *self.get_mut(rule) = account;
        }
    }

    /// All of them, in the order of rules.
    pub(super) fn all(&self) -> Vec<Account> {
        (0..self.places.len()).map(|rule| self.get(rule)).collect()
    }
}
