//! What holds a rule's rows back, in which order it is asked, and how much of it an index can know.
//!
//! WHERE stops at its first term that is not true. Terms that have a value for every row come first; then,
//! where a rule is silent and none of its alerts is active, such terms of `when`; then those of WHERE that
//! may have no value. So it makes no difference to what is counted as undefined, nor to the numbers of a
//! generator, whether an index has answered for the others.

use std::ops::Index;

use super::Config;
use super::expr::{Scope, holds};
use super::feed::is_early;
use super::front;
use super::index::{Condition, Terms, is_total};
use super::light::Sketch;
use super::unit::{draws, hears_back};
use crate::model::alerting::RuleKind;
use crate::model::row::Order;
use crate::model::stream::StreamSpec;
use crate::plan::logical::{Expr, Plan, RulePlan, Side};

/// What is known of a rule's conditions before any row comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Gate {
    /// The terms of WHERE that have a value for every row.
    filter: u32,
    /// Those of `when`.
    when: u32,
    plain: bool,
    light: bool,
    recalls: bool,
    occurrence: bool,
    silent: bool,
    /// What it gives where the index has proved that it raises.
    sketch: Option<Sketch>,
    /// Whether what the index knows of slots that the topic tells does not hold for rows of active alerts:
    /// `when` asks them something, and such a row matters whatever it says.
    unsettled: bool,
    /// Whether alerts are told apart by the KEY of the rule's one stream.
    keyed: bool,
    by: By,
}

/// How many kinds of gates are compared with one that comes.
const NEWEST: usize = 64;

/// The gates of all rules of a plan. Most rules have the gate of another one.
#[derive(Debug, Default)]
pub(super) struct Gates {
    kinds: Vec<Gate>,
    of: Vec<u32>,
}

impl Gates {
    /// Those of a plan.
    pub(super) fn new(plan: &Plan, config: &Config) -> Self {
        let mut gates = Self { kinds: Vec::new(), of: Vec::with_capacity(plan.rules.len()) };
        for rule in plan.rules.iter() {
            let kind = gates.kind(Gate::new(plan, rule, config));
            gates.of.push(kind);
        }
        gates
    }

    /// None, of no rules.
    pub(super) fn none() -> &'static Self {
        static NONE: Gates = Gates { kinds: Vec::new(), of: Vec::new() };
        &NONE
    }

    fn kind(&mut self, gate: Gate) -> u32 {
        // One of the newest it is mostly; a few that are there twice do no harm.
        let newest = self.kinds.iter().enumerate().rev().take(NEWEST);
        let known = newest.filter(|(_, known)| **known == gate).map(|(at, _)| at).next();
        let place = known.unwrap_or(self.kinds.len());
        if known.is_none() {
            self.kinds.push(gate);
        }
        u32::try_from(place).unwrap_or(u32::MAX)
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.of.len()
    }

    /// That of a rule, if there is one.
    #[inline]
    pub(super) fn get(&self, rule: usize) -> Option<&Gate> {
        self.kinds.get(*self.of.get(rule)? as usize)
    }

    /// Gives a rule another one; the rule may be the first one that has none.
    pub(super) fn set(&mut self, rule: usize, gate: Gate) {
        let kind = self.kind(gate);
        match self.of.get_mut(rule) {
            Some(known) => *known = kind,
            None => self.of.push(kind),
        }
        if self.kinds.len() > self.of.len() + NEWEST {
            // Most of them no rule has any more.
            let old = std::mem::take(self);
            self.of.reserve_exact(old.of.len());
            for rule in 0..old.len() {
                let kind = self.kind(old[rule]);
                self.of.push(kind);
            }
        }
    }
}

impl Index<usize> for Gates {
    type Output = Gate;

    #[inline]
    fn index(&self, rule: usize) -> &Gate {
        &self.kinds[self.of[rule] as usize]
    }
}

/// Who knows how a row of the rule stands to those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    /// Nothing ever comes too late.
    Nothing,
    /// Its stream, which remembers the newest row of each key.
    Stream,
    /// Nobody here.
    Nobody,
}

impl Gate {
    /// The gate of a rule.
    pub(super) fn new(plan: &Plan, rule: &RulePlan, config: &Config) -> Self {
        let over = Terms::new(rule);
        let stateful = matches!(rule.alert.kind, RuleKind::State { .. });
        let by = match plan.streams.get(rule.stream()) {
            Some(stream) if stateful => Self::by(stream, rule),
            _ => By::Nothing,
        };
        let plain = rule.window.is_none()
            && rule.from.sides.len() == 1
            && !rule.analytics.iter().any(hears_back)
            && rule.unnest.is_none()
            && rule.arrange.is_none()
            && rule.key.iter().all(|key| over.has_value(key));
        let judged = [&rule.filter, &rule.when, &rule.clear].into_iter().flatten();
        let looks = rule.analytics.iter().flat_map(|a| a.args.iter().chain(&a.partition).chain(&a.when));
        let mut all = judged.chain(&rule.project).chain(&rule.key).chain(looks);
        let still = plain && !all.any(draws);
        let mut gate = Self {
            filter: over.total(terms(rule.filter.as_ref())),
            when: over.total(terms(rule.when.as_ref())),
            plain: plain && (still || rule.analytics.is_empty()),
            light: still && rule.analytics.is_empty(),
            recalls: still && !rule.analytics.is_empty(),
            occurrence: !stateful,
            silent: config.watched && stateful && by != By::Nobody,
            unsettled: false,
            sketch: None,
            keyed: plan.streams.get(rule.stream()).is_some_and(|stream| rule.keyed_by(stream.key).is_some()),
            by,
        };
        if (gate.light || gate.recalls) && (rule.when.is_none() || gate.occurrence || gate.silent) {
            gate.sketch = Sketch::of(rule);
        }
        if gate.plain && gate.silent && !gate.recalls {
            let fields = plan.streams.get(rule.stream()).map_or(&[][..], |stream| &stream.fields);
            let early = |slot: u32| fields.get(slot as usize).is_some_and(is_early);
            gate.unsettled = over.all(terms(rule.when.as_ref()), gate.when).asks(early);
        }
        gate
    }

    fn by(stream: &StreamSpec, rule: &RulePlan) -> By {
        let own = stream.key.map(|slot| Expr::Field(0, slot));
        if rule.window.is_some() || stream.timestamp.is_none() {
            By::Nothing
        } else if rule.key.iter().eq(own.iter()) {
            By::Stream
        } else {
            By::Nobody
        }
    }

    /// Whether each row gives one output row or none, and leaves nothing behind.
    pub(super) const fn is_plain(self) -> bool {
        self.plain
    }

    /// Whether it is plain, and its rule needs nothing to judge a row by but the row.
    pub(super) const fn is_light(self) -> bool {
        self.light
    }

    /// Whether it is plain, and its rule needs nothing to judge a row by but the row and what its analytic
    /// functions say of it.
    pub(super) const fn recalls(self) -> bool {
        self.recalls
    }

    /// Whether each of its output rows is an event of its own.
    pub(super) const fn is_occurrence(self) -> bool {
        self.occurrence
    }

    /// What it gives where the index has proved that it raises, if that is simple.
    #[inline]
    pub(super) const fn sketch(&self) -> Option<&Sketch> {
        self.sketch.as_ref()
    }

    /// Whether what raises nothing is only told where an alert is active.
    pub(super) const fn is_silent(self) -> bool {
        self.silent
    }

    /// Whether the stream must remember the newest row of each key.
    pub(super) fn is_by_stream(self) -> bool {
        self.by == By::Stream
    }

    /// Whether alerts are told with the last readings of their key.
    pub(super) const fn is_witness(self) -> bool {
        self.keyed
    }

    /// How a row stands to those before it, where the stream says whether it is older than one of them.
    pub(super) const fn order(self, older: bool) -> Order {
        match self.by {
            By::Stream if older => Order::Older,
            By::Stream | By::Nothing => Order::Newest,
            By::Nobody => Order::Untold,
        }
    }

    /// The slot that is the whole key of the rule's alerts, among those that its rows are looked up by.
    pub(super) fn key_slot(self, rule: &RulePlan) -> Option<u32> {
        match &*rule.key {
            [key @ (Expr::Field(0, _) | Expr::Analytic(_))] => self.over(rule).slot(key),
            _ => None,
        }
    }

    /// The terms of a rule over what its rows are looked up by.
    fn over(self, rule: &RulePlan) -> Terms<'_> {
        if self.recalls { Terms::behind_functions(rule) } else { Terms::new(rule) }
    }

    /// Whether WHERE is true.
    pub(super) fn passes(self, rule: &RulePlan, scope: Scope<'_>) -> bool {
        let filter = terms(rule.filter.as_ref());
        all(filter, self.filter, true, scope) && all(filter, self.filter, false, scope)
    }

    /// Whether WHERE is true, and where the rule is silent and the row not `awake`, `when` as far as it
    /// always has a value. The scope is one of a plain rule, through which columns can be asked.
    pub(super) fn admits(self, rule: &RulePlan, scope: Scope<'_>, awake: impl FnOnce() -> bool) -> bool {
        let (filter, when) = (terms(rule.filter.as_ref()), terms(rule.when.as_ref()));
        all(filter, self.filter, true, scope)
            && (!self.silent || all(when, self.when, true, scope) || awake())
            && all(filter, self.filter, false, scope)
    }

    /// Whether what the index knows of slots that the topic tells also holds for rows of active alerts.
    pub(super) const fn is_settled(self) -> bool {
        !self.unsettled
    }

    /// For which rows of a stream WHERE can be true.
    pub(super) fn filter_condition(self, rule: &RulePlan) -> Condition {
        Terms::new(rule).all(terms(rule.filter.as_ref()), self.filter)
    }

    /// For which rows of its unit a rule that [recalls](Self::recalls) must be asked: as [`Self::condition`], over
    /// what its functions say, and the row's slots behind it.
    pub(super) fn recalled(self, rule: &RulePlan) -> Condition {
        let over = Terms::behind_functions(rule);
        let filter = over.all(terms(rule.filter.as_ref()), self.filter);
        if self.silent { filter.and(over.all(terms(rule.when.as_ref()), self.when)) } else { filter }
    }

    /// For which rows of a stream the rule must be asked. Of the others none would change anything but
    /// what is counted for the whole stream, unless it belongs to an active alert.
    pub(super) fn condition(self, plan: &Plan, rule: &RulePlan) -> Condition {
        let [Side::Stream(stream)] = *rule.from.sides else { return Condition::open() };
        if !rule.analytics.is_empty() {
            return Condition::open();
        }
        let over = Terms::new(rule);
        let filter = over.all(terms(rule.filter.as_ref()), self.filter);
        if self.plain && self.silent {
            return filter.and(over.all(terms(rule.when.as_ref()), self.when));
        }
        let Some(window) = &rule.window else { return filter };
        // A row that WHERE holds back still tells its lane the time, so all rows of a lane must come; those
        // of another lane need not.
        let Some(key) = plan.streams.get(stream).and_then(|stream| stream.key).filter(|_| window.by_key)
        else {
            return Condition::open();
        };
        let mut lane = window.group.iter().chain(front::keys(&window.kind));
        if !lane.all(|expr| over.has_value(expr)) {
            return Condition::open();
        }
        u32::try_from(key).map_or_else(|_| Condition::open(), |key| filter.only(key))
    }
}

/// Whether retained rows are not used, since they tell a state and no event.
pub(super) fn skips_retained(rule: &RulePlan) -> bool {
    rule.window.is_some() || matches!(rule.alert.kind, RuleKind::Occurrence { .. })
}

/// Whether all those terms are true that always have a value, or all the others.
fn all(terms: &[Expr], total: u32, first: bool, scope: Scope<'_>) -> bool {
    terms
        .iter()
        .enumerate()
        .filter(|(at, _)| is_total(total, *at) == first)
        .all(|(_, term)| holds(term, scope))
}

/// The terms of a condition: what AND connects.
pub(super) fn terms(condition: Option<&Expr>) -> &[Expr] {
    match condition {
        None => &[],
        Some(Expr::And(terms)) => terms,
        Some(one) => std::slice::from_ref(one),
    }
}
