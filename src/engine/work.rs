//! What surrounds an operator while it works on a row or on a deadline: the rule, the time, the
//! tables, the rule's account and ceilings, and where observations go.

use super::Context;
use super::account::{Account, Accounts};
use super::analytic::Analytics;
use super::budget::Budget;
use super::expr::{Env, Scope, eval};
use super::gate::{Gate, Gates};
use super::table::Tables;
use super::watch::Watch;
use super::watermark::Mark;
use crate::model::row::{Observation, Order};
use crate::model::time::{Now, Timestamp};
use crate::model::value::Value;

/// The surroundings.
#[derive(Debug)]
pub(super) struct Work<'a> {
    pub(super) ctx: Context<'a>,
    pub(super) gate: Gate,
    /// Whether the condition that the index knows is true of the row.
    pub(super) proved: bool,
    pub(super) watch: &'a mut Watch,
    /// How the row stands to those of its key that came before.
    pub(super) order: Order,
    pub(super) tables: &'a Tables,
    pub(super) now: Now,
    /// The account of all rules that the operator runs for.
    pub(super) account: &'a mut Account,
    pub(super) peers: Peers<'a>,
    pub(super) ledger: &'a mut Ledger,
    /// How many output rows it may still give.
    pub(super) lines: usize,
    pub(super) out: &'a mut Vec<Observation>,
}

/// The rules that an operator runs for.
#[derive(Debug)]
pub(super) struct Peers<'a> {
    /// Their places in the plan. The first is the one of [`Work::ctx`].
    pub(super) rules: &'a [usize],
    /// The own accounts of all rules of the plan.
    pub(super) own: Option<&'a mut Accounts>,
    /// The gates of all rules of the plan.
    pub(super) gates: &'a Gates,
}

/// The most output rows that a rule gives because of one row or one deadline: more than the rows that
/// its state has room for, so that only what multiplies, a join or `unnest`, comes to it.
pub(super) const MAX_LINES: usize = 200_000;

/// What a rule remembers besides its window.
#[derive(Debug)]
pub(super) struct Ledger {
    /// All state of the rule is taken from it.
    pub(super) budget: Budget,
    /// The analytic functions over rows.
    pub(super) rows: Analytics,
    /// The analytic functions over groups.
    pub(super) groups: Analytics,
    /// The state of the generator behind `rand` and `newuuid`.
    pub(super) random: u64,
}

impl<'a> Work<'a> {
    /// The monotonic clock.
    pub(super) fn mark(&self) -> Mark {
        Mark::of(self.now.mono)
    }

    /// Whether the operator runs for several rules.
    pub(super) fn is_shared(&self) -> bool {
        self.peers.rules.len() > 1
    }

    /// The surroundings of one of several rules that the operator runs for.
    pub(super) fn of(&mut self, rule: usize) -> Work<'_> {
        let Self { ctx, watch, order, tables, now, account, peers, ledger, out, .. } = self;
        Work {
            ctx: Context::new(ctx.plan, rule, ctx.config),
            gate: peers.gates[rule],
            proved: false,
            watch,
            order: *order,
            tables,
            now: *now,
            account: match &mut peers.own {
                Some(own) => own.get_mut(rule),
                None => account,
            },
            peers: Peers { rules: &[], own: None, gates: Gates::none() },
            ledger,
            lines: MAX_LINES,
            out,
        }
    }

    /// The surroundings of what stands at this time. Only one may be in use at a time, and it must be
    /// [settled](Self::settle).
    pub(super) fn env(&self, at: Timestamp) -> Env<'a> {
        let params: &'a [Value] = &self.ctx.rule.params;
        let env = Env { params, now: self.now.wall, at, ..Env::default() };
        env.random.set(self.ledger.random);
        env
    }

    /// Whether there may be another output row; where there may not, a refusal is counted.
    #[must_use]
    pub(super) fn another_line(&mut self) -> bool {
        let fits = self.lines > 0;
        self.lines -= usize::from(fits);
        self.account.refused += u64::from(!fits);
        fits
    }

    /// Takes over what evaluation left behind.
    pub(super) fn settle(&mut self, env: &Env) {
        self.account.undefined += env.undefined.get();
        self.ledger.random = env.random.get();
    }

    /// The analytic functions over a row that has none yet.
    pub(super) fn analytics(&mut self, scope: Scope<'_>) -> Vec<Value> {
        let plan = &self.ctx.rule.analytics;
        if plan.is_empty() {
            return Vec::new();
        }
        self.ledger.rows.take(plan, scope, &mut self.ledger.budget, &mut self.account.refused)
    }

    /// Whether WHERE is true of the row of `scope`.
    pub(super) fn passes(&self, scope: Scope<'_>) -> bool {
        self.proved || self.gate.passes(self.ctx.rule, scope)
    }

    /// Whether the row of `scope` belongs to an active alert of the rule.
    pub(super) fn is_awake(&self, scope: Scope<'_>) -> bool {
        let rule = self.ctx.reader();
        if !self.watch.has(rule) {
            return false;
        }
        let key: Vec<Value> = self.ctx.rule.key.iter().map(|expr| eval(expr, scope).into_owned()).collect();
        self.watch.is_active(rule, &key)
    }

    /// Whether an observation is given: one that raises nothing where nothing is up is not, if
    /// somebody watches.
    pub(super) fn is_told(&mut self, raises: bool, key: &[Value]) -> bool {
        let rule = self.ctx.reader();
        match raises {
            _ if !self.gate.is_silent() => true,
            false => self.watch.is_active(rule, key),
            true => {
                // Of a plain rule it is the only one because of this row.
                if !self.gate.is_plain() {
                    self.watch.raise(rule, key);
                }
                true
            }
        }
    }

    /// Whether `when` is known to be true of the row.
    pub(super) const fn is_raise_proved(&self) -> bool {
        self.proved && self.gate.is_plain() && self.gate.is_silent()
    }

    /// The row of `scope` gave output.
    pub(super) fn hit(&mut self, scope: Scope<'_>) {
        if !self.ctx.rule.analytics.is_empty() {
            self.ledger.rows.hit(&self.ctx.rule.analytics, scope);
        }
    }

    /// Brings the account up to date after a piece of work that began with so many refusals; says whether
    /// there are more of them.
    pub(super) fn note(&mut self, refused: u64) -> bool {
        self.account.note(self.ledger.budget.used(), refused, self.now.mono)
    }

    /// Takes so many bytes of the rule's ceiling; where they are not there, a refusal is counted.
    #[must_use]
    pub(super) fn charge(&mut self, bytes: usize) -> bool {
        let fits = self.ledger.budget.take(bytes);
        self.account.refused += u64::from(!fits);
        fits
    }
}
