//! One rule at run: its operator, and what it remembers besides.

use super::Context;
use super::analytic::Analytics;
use super::budget::Budget;
use super::layout::{Layout, Remap, fingerprint};
use super::op::Operator;
use super::snapshot::{Reader, SnapshotError, Writer};
use super::watermark::Mark;
use super::work::Ledger;
use crate::plan::logical::{Analytic, RulePlan};

/// A rule with its state.
#[derive(Debug)]
pub(super) struct Runner {
    pub(super) operator: Operator,
    pub(super) ledger: Ledger,
    /// When it will be looked at.
    pub(super) look: Option<Mark>,
}

impl Runner {
    /// With nothing seen.
    pub(super) fn new(ctx: Context<'_>, seed: u64) -> Self {
        let ledger = Ledger {
            budget: Budget::new(ctx.config.max_bytes),
            rows: Analytics::new(&ctx.rule.analytics, ctx.config.max_groups),
            groups: Analytics::new(over_groups(ctx.rule), ctx.config.max_groups),
            random: sequence(seed, &ctx.rule.alert.rule),
        };
        Self { operator: Operator::new(ctx), ledger, look: None }
    }

    /// Starts the rule's generator anew.
    pub(super) fn seed(&mut self, seed: u64, rule: &str) {
        self.ledger.random = sequence(seed, rule);
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

    /// Reads what [`Self::write`] wrote for the same rule.
    pub(super) fn read(ctx: Context<'_>, now: Mark, from: &mut Reader<'_>) -> Result<Self, SnapshotError> {
        let mut budget = Budget::new(ctx.config.max_bytes);
        let random = from.u64()?;
        let most = ctx.config.max_groups;
        let rows = Analytics::read(&ctx.rule.analytics, most, from)?;
        let groups = Analytics::read(over_groups(ctx.rule), most, from)?;
        budget.charge(rows.bytes() + groups.bytes());
        let operator = Operator::read(ctx, now, &mut budget, from)?;
        Ok(Self { operator, ledger: Ledger { budget, rows, groups, random }, look: None })
    }
}

fn over_groups(rule: &RulePlan) -> &[Analytic] {
    rule.window.as_ref().map_or(&[], |window| &window.analytics)
}

/// Where a rule's own sequence of numbers starts.
fn sequence(seed: u64, rule: &str) -> u64 {
    seed ^ fingerprint(rule)
}
