//! Rows and time in, observations of rules out.
//!
//! One [`Engine`] runs one rule set. It is a pure state machine: what comes out depends on the
//! rows, their order and the `now` given with each, never on how they were batched. It cannot
//! fail on a checked plan, and no value of a row stops a rule. What it does not use it counts, in
//! the rule's [`Account`].

mod aggregate;
mod analytic;
mod arithmetic;
mod budget;
mod expr;
mod function;
mod judge;
mod like;
mod op;
mod snapshot;
mod watermark;

use std::collections::HashMap;
use std::sync::Arc;

use crate::model::cast;
use crate::model::row::{Observation, Row};
use crate::model::stream::StreamSpec;
use crate::model::time::{Mono, Now};
use crate::plan::logical::{Plan, RulePlan};

use self::op::Operator;
use self::snapshot::{Reader, VERSION, Writer};
use self::watermark::Mark;

pub use self::snapshot::SnapshotError;

/// The ceilings of one rule's state. What finds no room is counted as refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// The most groups that may have an open window, and the most keys whose progress is
    /// remembered; 10,000 by default. Beyond it, keys that wait for nothing are forgotten, the
    /// longest quiet first; if there are none, the rows of further groups are refused.
    pub max_groups: usize,
    /// The most open windows of all groups together; 100,000 by default. It bounds what a long
    /// `lateness` over a short window can take.
    pub max_states: usize,
    /// The most bytes that a rule's state may take, by estimate; 16 MiB by default.
    pub max_bytes: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self { max_groups: 10_000, max_states: 100_000, max_bytes: 16 << 20 }
    }
}

/// What one rule has done since it began to run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// Rows of its stream.
    pub rows: u64,
    /// Observations made.
    pub matched: u64,
    /// Rows not used because their window was closed.
    pub late: u64,
    /// Rows not used because they are dated too far ahead of the node's clock.
    pub future: u64,
    /// Retained rows not used, since they tell a state and no event.
    pub retained: u64,
    /// Rows (with DISTINCT: values) not used because the state was at its ceiling.
    pub refused: u64,
    /// Groups that have an open window at the moment.
    pub groups: usize,
}

/// Runs the rules of one set.
#[derive(Debug)]
pub struct Engine {
    plan: Arc<Plan>,
    config: Config,
    /// For each stream the rules that read it.
    readers: Vec<Vec<usize>>,
    operators: Vec<Operator>,
    accounts: Vec<Account>,
    /// Never later than anything becomes due.
    wake: Option<Mark>,
    clock_trusted: bool,
    /// Whether a window took a row or closed since somebody asked.
    changed: bool,
}

/// What an operator needs to know of its rule.
#[derive(Clone, Copy, Debug)]
struct Context<'a> {
    index: usize,
    rule: &'a RulePlan,
    stream: &'a StreamSpec,
    config: &'a Config,
}

impl<'a> Context<'a> {
    fn new(plan: &'a Plan, index: usize, config: &'a Config) -> Self {
        let rule = &plan.rules[index];
        Self { index, rule, stream: &plan.streams[rule.stream()], config }
    }

    /// What the bytes of a snapshot depend on, besides the rule's text. It only has to differ
    /// where the plan does: after an update of the program, windows may start empty.
    fn shape(self) -> u64 {
        let window = self.rule.window.as_ref().map(|window| {
            let aggregates: Vec<_> = window.aggregates.iter().map(|a| (a.function, a.distinct)).collect();
            (window.kind.clone(), window.by_key, window.group.len(), aggregates)
        });
        let text = format!("{}{window:?}", self.stream.signature());
        text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        })
    }
}

impl Engine {
    /// An engine with empty windows.
    pub fn new(plan: Arc<Plan>, config: Config) -> Self {
        let operators =
            (0..plan.rules.len()).map(|index| Operator::new(Context::new(&plan, index, &config))).collect();
        let accounts = vec![Account::default(); plan.rules.len()];
        Self {
            readers: readers(&plan),
            plan,
            config,
            operators,
            accounts,
            wake: None,
            clock_trusted: true,
            changed: false,
        }
    }

    /// Says whether the node's calendar clock is right. While it is not, no row counts as dated
    /// in the future. It is trusted until told otherwise.
    pub fn trust_clock(&mut self, trusted: bool) {
        self.clock_trusted = trusted;
    }

    /// Gives a row to every rule of its stream, and does first what is due by `now`. Time must
    /// not go back from call to call, except for the calendar.
    pub fn push(&mut self, stream: usize, row: &Row, now: Now, out: &mut Vec<Observation>) {
        self.advance(now, out);
        let (Some(rules), Some(spec)) = (self.readers.get(stream), self.plan.streams.get(stream)) else {
            return;
        };
        let horizon = spec.max_future.filter(|_| self.clock_trusted && spec.timestamp.is_some());
        let future = horizon.is_some_and(|ahead| row.time > now.wall.plus(ahead));
        let mark = Mark::of(now.mono);
        for &index in rules {
            let account = &mut self.accounts[index];
            account.rows += 1;
            if future {
                account.future += 1;
                continue;
            }
            let operator = &mut self.operators[index];
            operator.push(Context::new(&self.plan, index, &self.config), row, mark, account, out);
            self.changed |= self.plan.rules[index].window.is_some();
            if let Some(wake) = operator.wake() {
                self.wake = Some(self.wake.map_or(wake, |least| least.min(wake)));
            }
        }
    }

    /// Closes the windows that the clock closes. Costs next to nothing before
    /// [`Self::next_deadline`].
    pub fn advance(&mut self, now: Now, out: &mut Vec<Observation>) {
        let mark = Mark::of(now.mono);
        if self.wake.is_none_or(|wake| wake > mark) {
            return;
        }
        for (index, operator) in self.operators.iter_mut().enumerate() {
            let ctx = Context::new(&self.plan, index, &self.config);
            operator.advance(ctx, mark, &mut self.accounts[index], out);
        }
        self.changed = true;
        self.wake = self.operators.iter().filter_map(Operator::wake).min();
    }

    /// Whether open windows changed since this was last asked.
    pub fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    /// When [`Self::advance`] should be called if no row comes before. It may turn out that
    /// nothing is due then; it is never later than something is.
    pub fn next_deadline(&self) -> Option<Mono> {
        self.wake.map(Mark::mono)
    }

    /// Each rule's account, in the order of the plan.
    pub fn accounts(&self) -> &[Account] {
        &self.accounts
    }

    /// Runs another plan from here on. A rule whose id, text and stream are the same keeps its
    /// open windows and its account; every other starts empty.
    pub fn swap(&mut self, plan: Arc<Plan>) {
        let old = std::mem::replace(self, Self::new(plan, self.config));
        self.clock_trusted = old.clock_trusted;
        let states = old.operators.into_iter().zip(old.accounts).enumerate();
        let mut known: HashMap<(Arc<str>, u64), (usize, Operator, Account)> = states
            .map(|(index, (operator, account))| {
                let alert = &old.plan.rules[index].alert;
                ((alert.rule.clone(), alert.hash), (index, operator, account))
            })
            .collect();
        for (index, rule) in self.plan.rules.iter().enumerate() {
            let Some((was, operator, account)) = known.remove(&(rule.alert.rule.clone(), rule.alert.hash))
            else {
                continue;
            };
            let before = &old.plan.rules[was];
            let stream = |plan: &Plan, place: usize| plan.streams[place].signature();
            if stream(&old.plan, before.stream()) == stream(&self.plan, rule.stream()) {
                self.operators[index] = operator;
                self.accounts[index] = account;
            }
        }
        self.wake = self.operators.iter().filter_map(Operator::wake).min();
    }

    /// All open windows as bytes. Monotonic times are written as distances from `now`, so that
    /// another process can read them.
    pub fn snapshot(&self, now: Now) -> Vec<u8> {
        let mut out = Writer::default();
        out.u8(VERSION);
        let stateful = || self.plan.rules.iter().enumerate().filter(|(_, rule)| rule.window.is_some());
        out.len(stateful().count());
        for (index, rule) in stateful() {
            out.run(rule.alert.rule.as_bytes());
            out.u64(rule.alert.hash);
            out.u64(Context::new(&self.plan, index, &self.config).shape());
            let mut state = Writer::default();
            self.operators[index].write(Mark::of(now.mono), &mut state);
            out.run(&state.into_bytes());
        }
        out.into_bytes()
    }

    /// Takes over what [`Self::snapshot`] wrote, for every rule whose id, text and stream are the
    /// same; the others stay as they are.
    ///
    /// # Errors
    /// Where the bytes are no snapshot that this program reads. Nothing has changed then.
    pub fn restore(&mut self, bytes: &[u8], now: Now) -> Result<(), SnapshotError> {
        let mut from = Reader::new(bytes);
        match from.u8()? {
            VERSION => {}
            other => return Err(SnapshotError::Version(other)),
        }
        let rules: HashMap<(&str, u64), usize> = self
            .plan
            .rules
            .iter()
            .enumerate()
            .map(|(index, rule)| ((rule.alert.rule.as_ref(), rule.alert.hash), index))
            .collect();
        let mut restored = Vec::new();
        for _ in 0..from.len()? {
            let name = from.text()?;
            let (hash, shape) = (from.u64()?, from.u64()?);
            let mut state = from.part()?;
            let Some(&index) = rules.get(&(name, hash)) else { continue };
            let ctx = Context::new(&self.plan, index, &self.config);
            if ctx.shape() != shape {
                continue;
            }
            let mut account = self.accounts[index];
            let operator = Operator::read(ctx, Mark::of(now.mono), &mut account, &mut state)?;
            if !state.is_at_end() {
                return Err(state.damaged());
            }
            restored.push((index, operator, account));
        }
        if !from.is_at_end() {
            return Err(from.damaged());
        }
        for (index, operator, account) in restored {
            self.operators[index] = operator;
            self.accounts[index] = account;
        }
        self.wake = self.operators.iter().filter_map(Operator::wake).min();
        Ok(())
    }
}

fn readers(plan: &Plan) -> Vec<Vec<usize>> {
    let mut readers = vec![Vec::new(); plan.streams.len()];
    for (index, rule) in plan.rules.iter().enumerate() {
        rule.streams().for_each(|(_, stream)| readers[stream].push(index));
    }
    readers
}

#[cfg(test)]
mod tests;
