//! Rules without a window that look back at the rows before by the same analytic functions, and differ in what they
//! make of what those say: WHERE, the output columns, `when`, `clear`, the key. The functions take a row in once
//! for all of them. What they say stands before the row's own columns, and an index of these rules is asked for both, so
//! that `lag(t) > 60` is found like `t > 60`. A rule that is found goes the [short way](super::light) from there.

use super::expr::{Env, Scope};
use super::gate::Gate;
use super::index::Candidate;
use super::op::Operator;
use super::readers::Readers;
use super::unit::Unit;
use super::{Context, Engine};
use crate::model::row::{Observation, Row};
use crate::model::time::Now;
use crate::model::value::Value;
use crate::plan::logical::Plan;

/// How rows find the rules of one unit.
#[derive(Debug)]
pub(super) struct Recall {
    pub(super) readers: Readers,
}

/// What was made of the row at hand, kept to be filled again.
#[derive(Debug, Default)]
pub(super) struct Recalled {
    /// What the functions say, and the row's slots behind it.
    slots: Vec<Value>,
    candidates: Vec<Candidate>,
}

impl Recall {
    /// Finds these rules, of which `ctx` is the first; `None` where they do not [recall](Gate::recalls).
    pub(super) fn new(ctx: Context<'_>, rules: &[usize]) -> Option<Self> {
        let gate = |rule: usize| Gate::new(ctx.plan, &ctx.plan.rules[rule], ctx.config);
        gate(ctx.index).recalls().then(|| {
            let mut new = Self { readers: Readers::default() };
            rules.iter().for_each(|rule| new.insert(ctx, gate(*rule), *rule));
            new.readers.index.shrink();
            new
        })
    }

    /// Finds one rule more.
    pub(super) fn insert(&mut self, ctx: Context<'_>, gate: Gate, rule: usize) {
        if let Ok(reader) = u32::try_from(rule) {
            self.readers.insert(reader, gate.recalled(&ctx.plan.rules[rule]), ctx.config);
        }
    }

    /// Finds a rule no more, which is as this plan has it.
    pub(super) fn remove(&mut self, plan: &Plan, gate: Gate, rule: usize) {
        if let Ok(reader) = u32::try_from(rule) {
            self.readers.remove(reader, &gate.recalled(&plan.rules[rule]));
        }
    }
}

impl Engine {
    /// Gives a row, which may be older than one before it, to the rules of a unit that [recalls](Gate::recalls).
    pub(super) fn ask_recall(
        &mut self,
        leader: usize,
        (row, older): (&Row, bool),
        now: Now,
        out: &mut Vec<Observation>,
    ) {
        // A retained row tells a state, so it is no occurrence.
        if row.retained && self.gates[leader].is_occurrence() {
            return;
        }
        let clock = self.config.nanos.filter(|_| self.sampler.is_due());
        let began = clock.map(|clock| clock());
        let at = self.units.place(leader);
        let Some(unit) = self.units.list.get_mut(at).and_then(Option::as_mut) else { return };
        let Unit { operator: Operator::Recall(recall), ledger, account, .. } = unit else { return };
        let rule = &self.plan.rules[leader];
        let env = Env { params: &rule.params, now: now.wall, at: row.time, ..Env::default() };
        let (sides, before) = ([&*row.slots], account.refused);
        let scope = Scope::row(&sides, &[], &env);
        let functions = ledger.rows.take(&rule.analytics, scope, &mut ledger.budget, &mut account.refused);
        account.undefined += env.undefined.get();
        self.limited |= account.note(ledger.budget.used(), before, now.mono);
        self.changed = true;
        let mut recalled = std::mem::take(&mut self.recalled);
        let Recalled { slots, candidates } = &mut recalled;
        let told = functions.len();
        slots.clear();
        slots.extend(functions);
        slots.extend_from_slice(&row.slots);
        recall.readers.candidates(slots, candidates);
        for candidate in candidates.iter() {
            self.judge_light(*candidate, (row, &slots[..told], older), now, out);
        }
        self.recalled = recalled;
        if let (Some(clock), Some(began)) = (clock, began)
            && let Some(unit) = self.units.list.get_mut(at).and_then(Option::as_mut)
        {
            unit.count_nanos(clock().saturating_sub(began));
        }
    }

    /// Shows the rules that recall the rows of their active alerts, after their units were made anew.
    pub(super) fn awaken(&mut self) {
        let Self { plan, gates, watch, units, .. } = self;
        for (reader, key) in watch.all() {
            let at = reader as usize;
            let (Some(gate), Some(rule)) = (gates.get(at), plan.rules.get(at)) else { continue };
            if let Some(recall) = units.recall(at) {
                recall.readers.awake.set(reader, gate.key_slot(rule), key, true);
            }
        }
    }
}
