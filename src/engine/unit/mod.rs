//! Sharing: a unit is one operator with what it remembers, run once for all rules that would feed it the
//! same. Its rules differ in what they make of a closed window: HAVING, the output columns, their
//! arrangement, `when`, `clear`, the key; or, without a window, in what they make of a row and of what analytic
//! functions say of it (`super::recall`). Which rules may share is `signature`'s to say, who shares is
//! kept by `units`.
//!
//! Sharing never shows in an answer. A rule that comes later must not see what came before it, so it
//! gets a unit of its own, and units become one only while neither remembers anything that the other
//! does not. What a unit counts shows on each of its rules; the ceilings of [`Config`](super::Config) are
//! the unit's, so where one is reached its rules reach it together.

mod looks;
mod signature;
mod units;

use std::ops::Deref;

use super::account::Entry;
use super::analytic::Analytics;
use super::budget::Budget;
use super::layout::{Layout, Remap, fingerprint};
use super::op::Operator;
use super::sampler::Sampler;
use super::snapshot::{Reader, SnapshotError, Writer};
use super::watermark::Mark;
use super::work::Ledger;
use super::{Account, Context};
use crate::plan::logical::{Analytic, RulePlan};

pub(super) use self::looks::{Look, look};
pub(super) use self::signature::{draws, hears_back, is_sliceable};
pub(super) use self::units::{Units, together};

/// Places of rules; mostly it is one.
#[derive(Debug)]
pub(super) enum Rules {
    One(usize),
    Many(Box<[usize]>),
}

impl From<Vec<usize>> for Rules {
    fn from(rules: Vec<usize>) -> Self {
        match *rules {
            [one] => Self::One(one),
            _ => Self::Many(rules.into()),
        }
    }
}

impl Deref for Rules {
    type Target = [usize];

    #[inline]
    fn deref(&self) -> &[usize] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::Many(all) => all,
        }
    }
}

/// One operator with its state, and the rules that it runs for.
#[derive(Debug)]
pub(super) struct Unit {
    /// Its rules, by their places in the plan, ascending. The first one leads: the operator reads the plan
    /// through it.
    pub(super) rules: Rules,
    pub(super) operator: Operator,
    pub(super) ledger: Ledger,
    /// What is counted once for all its rules.
    pub(super) account: Entry,
    /// When it will be looked at.
    pub(super) look: Option<Look>,
}

impl Unit {
    /// With nothing seen. There is at least one rule, and `ctx` is of the first.
    pub(super) fn new(ctx: Context<'_>, rules: Vec<usize>, seed: u64) -> Self {
        let ledger = Ledger {
            budget: Budget::new(ctx.config.max_bytes),
            rows: Analytics::new(&ctx.rule.analytics, ctx.config.max_groups),
            groups: Analytics::new(over_groups(ctx.rule), ctx.config.max_groups),
            random: sequence(seed, &ctx.rule.alert.rule),
        };
        let operator = Operator::new(ctx, &rules);
        Self { rules: rules.into(), operator, ledger, account: Entry::default(), look: None }
    }

    /// The rule through which the plan is read.
    pub(super) fn leader(&self) -> usize {
        self.rules.first().copied().unwrap_or_default()
    }

    /// These are its rules from here on: all or some of those that were. There is at least one, and `ctx` is
    /// of the first.
    pub(super) fn run_for(&mut self, ctx: Context<'_>, rules: Vec<usize>) {
        self.operator.run_for(ctx, &rules, &mut self.ledger.budget);
        self.rules = rules.into();
    }

    /// As [`Self::run_for`], where it runs for one rule and the plan says the same of it up to where windows
    /// close.
    pub(super) fn run_for_itself(&mut self, ctx: Context<'_>) {
        self.operator.run_for(ctx, &self.rules, &mut self.ledger.budget);
    }

    /// Whether it never remembers anything.
    pub(super) fn is_bare(&self) -> bool {
        matches!(self.operator, Operator::Each) && self.ledger.rows.is_empty()
    }

    /// Such a unit of one rule runs for another one in its place from here on.
    pub(super) fn begin_anew(&mut self, ctx: Context<'_>, seed: u64) {
        self.account = Entry::default();
        self.seed(seed, &ctx.rule.alert.rule);
    }

    /// What is counted for a rule besides its own part.
    pub(super) fn counted(&self, rule: usize) -> Account {
        let all = &*self.account;
        let Some((late, undefined, groups)) = self.operator.counted(rule) else { return *all };
        Account { late: all.late + late, undefined: all.undefined + undefined, groups, ..*all }
    }

    /// Whether it remembers nothing, so that it is like one that has just begun.
    pub(super) fn is_fresh(&self) -> bool {
        self.operator.is_fresh() && self.ledger.rows.is_fresh() && self.ledger.groups.is_fresh()
    }

    /// Starts the generator of its leader anew; rules that draw from it share with nobody.
    pub(super) fn seed(&mut self, seed: u64, rule: &str) {
        self.ledger.random = sequence(seed, rule);
    }

    /// Counts the nanoseconds that a row took, for all rows that it stands for.
    pub(super) fn count_nanos(&mut self, nanos: u64) {
        let took = nanos.saturating_mul(Sampler::EACH) / self.rules.len() as u64;
        self.account.ns = self.account.ns.saturating_add(took);
    }

    /// Whether there is something that a restart would lose.
    pub(super) fn has_state(&self, ctx: Context<'_>) -> bool {
        ctx.rule.window.is_some() || !ctx.rule.analytics.is_empty()
    }

    /// Reads the rows that it keeps anew, after the slots of the streams have changed.
    pub(super) fn move_slots(&mut self, old: &[Layout], new: &[Layout]) {
        let remaps: Vec<Remap> = new.iter().zip(old).map(|(new, old)| new.from(old)).collect();
        if !remaps.iter().all(Remap::is_identity) {
            self.operator.move_slots(&remaps, &mut self.ledger.budget);
        }
    }

    /// Writes the state.
    pub(super) fn write(&self, now: Mark, out: &mut Writer) {
        out.u64(self.ledger.random);
        self.ledger.rows.write(out);
        self.ledger.groups.write(out);
        self.operator.write(now, out);
    }

    /// Reads what [`Self::write`] wrote for such rules.
    pub(super) fn read(
        ctx: Context<'_>,
        rules: Vec<usize>,
        now: Mark,
        from: &mut Reader<'_>,
    ) -> Result<Self, SnapshotError> {
        let mut budget = Budget::new(ctx.config.max_bytes);
        let random = from.u64()?;
        let most = ctx.config.max_groups;
        let rows = Analytics::read(&ctx.rule.analytics, most, from)?;
        let groups = Analytics::read(over_groups(ctx.rule), most, from)?;
        budget.charge(rows.bytes() + groups.bytes());
        let operator = Operator::read(ctx, &rules, now, &mut budget, from)?;
        let account = Account { groups: operator.groups(), bytes: budget.used(), ..Account::default() };
        let ledger = Ledger { budget, rows, groups, random };
        Ok(Self { rules: rules.into(), operator, ledger, account: account.into(), look: None })
    }
}

fn over_groups(rule: &RulePlan) -> &[Analytic] {
    rule.window.as_ref().map_or(&[], |window| &window.analytics)
}

/// Where a rule's own sequence of numbers starts.
fn sequence(seed: u64, rule: &str) -> u64 {
    seed ^ fingerprint(rule)
}
