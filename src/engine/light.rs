//! The way of a row through a rule that needs nothing but the row: most rules are such, so this way is short. It
//! gives what `op::each` and `judge` give, which know all rules.

use super::Engine;
use super::expr::{Env, Scope, eval, truth, value};
use super::gate::Gate;
use super::index::{Candidate, Standing};
use super::sampler::Sampler;
use super::watch::Watch;
use crate::model::key::Key;
use crate::model::row::{Levels, Observation, Row};
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
        let clock = self.config.nanos.filter(|_| self.sampler.is_due());
        let began = clock.map(|clock| clock());
        self.judge_light(candidate, (row, &[], older), now, out);
        if let (Some(clock), Some(began)) = (clock, began) {
            let took = clock().saturating_sub(began).saturating_mul(Sampler::EACH);
            let account = self.accounts.get_mut(candidate.reader() as usize);
            account.ns = account.ns.saturating_add(took);
        }
    }

    /// The same, with what the rule's analytic functions say of the row, and unmeasured.
    #[inline]
    pub(super) fn judge_light(
        &mut self,
        candidate: Candidate,
        (row, functions, older): (&Row, &[Value], bool),
        now: Now,
        out: &mut Vec<Observation>,
    ) {
        let (reader, standing) = (candidate.reader(), candidate.standing());
        let at = reader as usize;
        let gate = &self.gates[at];
        // A retained row tells a state, so it is no occurrence.
        if row.retained && gate.is_occurrence() {
            return;
        }
        if let Some(sketch) = gate.sketch().filter(|_| standing == Standing::Proved) {
            let mut seen = self.spare.pop().unwrap_or_default();
            sketch.fill(row, &mut seen);
            (seen.rule, seen.order) = (at, gate.order(older));
            self.accounts.hit(at);
            out.push(seen);
            return;
        }
        let gate = *gate;
        let rule = &self.plan.rules[at];
        let env = Env { params: &rule.params, now: now.wall, at: row.time, ..Env::default() };
        let light = Light { rule, reader, gate, standing, watch: &self.watch };
        let mut seen = self.spare.pop().unwrap_or_default();
        let told = light.judge(row, functions, &env, &mut seen);
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

    /// Takes back observations that are done with, to be used again: so a row like those before it takes no
    /// memory. Who keeps them need not give them back.
    pub fn take_back(&mut self, seen: &mut Vec<Observation>) {
        let room = SPARE.saturating_sub(self.spare.len());
        seen.truncate(room);
        self.spare.append(seen);
    }
}

/// How many output columns a sketch has room for.
const SKETCHED: usize = 8;

/// What a rule gives where a row raises it, if that is fields of the row and nothing else. Most rules are so, and most
/// of these alike, so that the rule itself, one of many thousands, is not even looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sketch {
    columns: [u16; SKETCHED],
    visible: u8,
    key: Option<u16>,
}

impl Sketch {
    /// That of a rule without a window, if it has one.
    pub(super) fn of(rule: &RulePlan) -> Option<Self> {
        let field = |expr: &Expr| match expr {
            Expr::Field(0, slot) => u16::try_from(*slot).ok(),
            _ => None,
        };
        let shown = rule.project.get(..rule.visible).filter(|shown| shown.len() <= SKETCHED)?;
        if rule.clear.is_some() || !rule.levels.is_empty() {
            return None;
        }
        let mut columns = [0; SKETCHED];
        for (column, expr) in columns.iter_mut().zip(shown) {
            *column = field(expr)?;
        }
        let key = match &*rule.key {
            [] => None,
            [key] => Some(field(key)?),
            _ => return None,
        };
        Some(Self { columns, visible: u8::try_from(shown.len()).ok()?, key })
    }

    /// Fills in what the rule gives for a row that raises it, but for which rule it is.
    #[inline]
    fn fill(&self, row: &Row, seen: &mut Observation) {
        let slot = |slot: u16| row.slots.get(usize::from(slot)).cloned().unwrap_or_default();
        seen.values.clear();
        seen.values.extend(self.columns.iter().take(self.visible.into()).map(|column| slot(*column)));
        seen.key = self.key.map_or_else(Key::default, |key| Key::one(slot(key)));
        (seen.raise, seen.clear, seen.levels) = (Some(true), Some(false), Levels::default());
        (seen.at, seen.retained) = (row.time, row.retained);
    }
}

impl Light<'_> {
    /// Fills in what the row gives, and whether it raises. Says whether that is given.
    fn judge(self, row: &Row, functions: &[Value], env: &Env<'_>, seen: &mut Observation) -> bool {
        let Self { rule, gate, .. } = self;
        let sides = [&*row.slots];
        let scope = Scope::row(&sides, functions, env);
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
