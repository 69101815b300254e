//! The way of a row through a rule that needs nothing but the row: most rules are such, so this way is short. It
//! gives what `op::each` and `judge` give, which know all rules.

use super::Engine;
use super::expr::{Env, Scope, eval, truth, value};
use super::gate::Gate;
use super::index::{Candidate, Standing};
use super::sampler::Sampler;
use super::watch::Watch;
use crate::model::key::Key;
use crate::model::row::{Observation, Row};
use crate::model::time::Now;
use crate::model::value::Value;
use crate::plan::logical::{Expr, RulePlan};

/// How many observations wait to be used again.
const SPARE: usize = 256;

/// What a row is held against.
#[derive(Clone, Copy)]
struct Light<'a> {
    rule: &'a RulePlan,
    /// The rule as the index counts it.
    reader: u32,
    gate: Gate,
    standing: Standing,
    watch: &'a Watch,
}

impl Engine {
    /// Gives a row, which may be older than one before it, to a rule that [is light](Gate::is_light).
    pub(super) fn ask_light(
        &mut self,
        candidate: Candidate,
        (row, older): (&Row, bool),
        now: Now,
        out: &mut Vec<Observation>,
    ) {
        let (reader, standing) = (candidate.reader(), candidate.standing());
        let at = reader as usize;
        let clock = self.config.nanos.filter(|_| self.sampler.is_due());
        let began = clock.map(|clock| clock());
        let gate = self.gates[at];
        // A retained row tells a state, so it is no occurrence.
        if !(row.retained && gate.is_occurrence()) {
            let rule = &self.plan.rules[at];
            let env = Env { params: &rule.params, now: now.wall, at: row.time, ..Env::default() };
            let light = Light { rule, reader, gate, standing, watch: &self.watch };
            let mut seen = self.spare.pop().unwrap_or_default();
            let told = light.judge(row, &env, &mut seen);
            let (raises, undefined) = (seen.raise == Some(true), env.undefined.get());
            if raises {
                self.accounts.hit(at);
            }
            if undefined > 0 {
                self.accounts.get_mut(at).undefined += undefined;
            }
            if told {
                (seen.rule, seen.order) = (at, gate.order(older));
                out.push(seen);
            } else {
                self.spare.push(seen);
            }
        }
        if let (Some(clock), Some(began)) = (clock, began) {
            let took = clock().saturating_sub(began).saturating_mul(Sampler::EACH);
            let account = self.accounts.get_mut(at);
            account.ns = account.ns.saturating_add(took);
        }
    }

    /// Takes back observations that are done with, to be used again: so a row like those before it takes no
    /// memory. Who keeps them need not give them back.
    pub fn take_back(&mut self, seen: &mut Vec<Observation>) {
        let room = SPARE.saturating_sub(self.spare.len());
        seen.truncate(room);
        self.spare.append(seen);
    }
}

impl Light<'_> {
    /// Fills in what the row gives, and whether it raises. Says whether that is given.
    fn judge(self, row: &Row, env: &Env<'_>, seen: &mut Observation) -> bool {
        let Self { rule, gate, .. } = self;
        let sides = [&*row.slots];
        let scope = Scope::row(&sides, &[], env);
        let proved = self.standing == Standing::Proved;
        if !proved && !gate.admits(rule, scope.through(&rule.project), || self.is_awake(scope)) {
            seen.raise = None;
            return false;
        }
        seen.values.clear();
        seen.values.extend(rule.project.iter().map(|expr| value(expr, scope)));
        seen.key = key(&rule.key, scope);
        let says = |expr: &Expr, columns: &[Value]| truth(&eval(expr, Scope::output(columns, env)));
        seen.raise = match &rule.when {
            Some(when) if !(gate.is_occurrence() || proved && gate.is_silent()) => says(when, &seen.values),
            _ => Some(true),
        };
        let raises = seen.raise == Some(true);
        // One that raises nothing where nothing is up is not given, if somebody watches.
        if !raises && gate.is_silent() && !self.is_active(&seen.key) {
            return false;
        }
        seen.clear = match &rule.clear {
            Some(clear) => says(clear, &seen.values),
            None => seen.raise.map(|raise| !raise),
        };
        seen.levels = super::judge::levels(rule, |expr| says(expr, &seen.values));
        seen.values.truncate(rule.visible);
        (seen.at, seen.retained) = (row.time, row.retained);
        true
    }

    /// Whether the row of `scope` belongs to an active alert of the rule.
    fn is_awake(self, scope: Scope<'_>) -> bool {
        match self.standing {
            Standing::Awake => true,
            _ => self.watch.has(self.reader) && self.is_active(&key(&self.rule.key, scope)),
        }
    }

    fn is_active(self, key: &[Value]) -> bool {
        self.standing == Standing::Awake || self.watch.is_active(self.reader, key)
    }
}

/// The key of a row.
#[inline]
fn key(exprs: &[Expr], scope: Scope<'_>) -> Key {
    match exprs {
        [only] => Key::one(value(only, scope)),
        exprs => exprs.iter().map(|expr| value(expr, scope)).collect(),
    }
}
