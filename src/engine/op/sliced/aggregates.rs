//! The aggregates of all rules of a unit, each once: rules that ask different things of the same rows share
//! one slice, and each reads from it what it asked for.

use std::collections::HashMap;
use std::sync::Arc;

use super::partials::Partials;
use crate::engine::Context;
use crate::engine::aggregate::Partial;
use crate::engine::budget::Budget;
use crate::engine::expr::{Scope, eval, holds};
use crate::engine::layout::fingerprint;
use crate::model::value::Value;
use crate::plan::logical::{Aggregate, Expr, RulePlan, Shape};

/// The aggregates.
#[derive(Debug, Default)]
pub(super) struct Aggregates {
    pub(super) list: Vec<Measure>,
    /// What rules call their first, second … aggregate, as places in the list; each such view once. Where there
    /// is only one, it is the list.
    pub(super) views: Vec<Box<[usize]>>,
}

/// One aggregate.
#[derive(Debug)]
pub(super) struct Measure {
    /// It holds its constants, whichever rule it comes from.
    pub(super) plan: Aggregate,
    takes: Takes,
    /// What it is told by, wherever the fields that it reads stand.
    pub(super) name: u64,
    /// How often its argument or its filter had no value that it could give.
    pub(super) undefined: u64,
}

/// What it takes of a row.
#[derive(Clone, Copy, Debug)]
enum Takes {
    /// That it came.
    Row,
    /// What stands at a place.
    Slot(usize),
    /// What has to be worked out.
    Expr,
}

/// A row as aggregates take it in.
#[derive(Clone, Copy)]
pub(super) struct Intake<'r> {
    pub(super) slots: &'r [Value],
    pub(super) scope: Scope<'r>,
    /// Its place among all rows.
    pub(super) order: u64,
}

impl Aggregates {
    /// Those of these rules, and for each rule the place of its view.
    pub(super) fn of(ctx: Context<'_>, rules: &[usize]) -> (Self, Vec<usize>) {
        let mut new = Self::default();
        let mut places: HashMap<u64, usize> = HashMap::new();
        // Most rules differ in nothing but constants that are not in here.
        let mut shapes: HashMap<*const Shape, usize> = HashMap::new();
        let mut views = Vec::with_capacity(rules.len());
        for rule in rules {
            let plan = &ctx.plan.rules[*rule];
            let shape = Arc::as_ptr(&plan.shape);
            if let Some(view) = shapes.get(&shape) {
                views.push(*view);
                continue;
            }
            let view = new.view(ctx, plan, &mut places);
            if !all(plan).iter().flat_map(exprs).any(has_param) {
                shapes.insert(shape, view);
            }
            views.push(view);
        }
        (new, views)
    }

    fn view(&mut self, ctx: Context<'_>, rule: &RulePlan, places: &mut HashMap<u64, usize>) -> usize {
        let mut view = Vec::with_capacity(all(rule).len());
        for own in all(rule) {
            let plan = with_constants(own, rule);
            let name = name(ctx, &plan);
            let place = *places.entry(name).or_insert(self.list.len());
            if place == self.list.len() {
                self.list.push(Measure::new(plan, name));
            }
            view.push(place);
        }
        self.views.iter().position(|known| **known == *view).unwrap_or_else(|| {
            self.views.push(view.into());
            self.views.len() - 1
        })
    }

    /// The place of an aggregate.
    pub(super) fn place(&self, name: u64) -> Option<usize> {
        self.list.iter().position(|one| one.name == name)
    }

    /// Goes on with what was counted for others.
    pub(super) fn count_on(&mut self, old: &Self) {
        for one in &mut self.list {
            one.undefined = old.place(one.name).map_or(0, |place| old.list[place].undefined);
        }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    /// Nothing of each.
    pub(super) fn partials(&self) -> Partials {
        self.list.iter().map(|measure| Partial::new(&measure.plan)).collect()
    }

    /// Whether a row can be added by nothing but its slots, and certainly finds room.
    #[inline]
    pub(super) fn may_add(&self, slots: &[Value]) -> bool {
        self.list.iter().all(|measure| match measure.takes {
            Takes::Row => true,
            // What could have to be remembered as it is takes room of its own.
            Takes::Slot(slot) => slots.get(slot).is_none_or(|value| {
                matches!(
                    value,
                    Value::Float(_) | Value::Int(_) | Value::Null | Value::Bool(_) | Value::Time(_)
                )
            }),
            Takes::Expr => false,
        })
    }

    /// Adds such a row to what there is of each.
    #[inline]
    pub(super) fn add_slots(
        &self,
        partials: &mut [Partial],
        slots: &[Value],
        order: u64,
        budget: &mut Budget,
    ) {
        for (partial, measure) in partials.iter_mut().zip(&self.list) {
            match measure.takes {
                Takes::Slot(slot) => {
                    if let Some(value) = slots.get(slot) {
                        partial.add(value, order, budget);
                    }
                }
                Takes::Row | Takes::Expr => partial.count(),
            }
        }
    }

    /// Adds a row to what there is of each; says how many had no room for it.
    #[inline]
    pub(super) fn add(&mut self, partials: &mut [Partial], row: Intake<'_>, budget: &mut Budget) -> u64 {
        let mut refused = 0;
        for (partial, measure) in partials.iter_mut().zip(&mut self.list) {
            let fits = match measure.takes {
                Takes::Row => {
                    partial.count();
                    true
                }
                Takes::Slot(slot) => match row.slots.get(slot) {
                    Some(value) => partial.add(value, row.order, budget),
                    None => true,
                },
                Takes::Expr => measure.work_out(partial, row, budget),
            };
            refused += u64::from(!fits);
        }
        refused
    }
}

impl Measure {
    fn new(plan: Aggregate, name: u64) -> Self {
        let takes = match (&plan.filter, plan.args.first()) {
            (None, None) => Takes::Row,
            (None, Some(Expr::Field(0, slot))) => Takes::Slot(*slot),
            _ => Takes::Expr,
        };
        Self { plan, takes, name, undefined: 0 }
    }

    /// Only rules that ask for it hear of what it could not give.
    fn work_out(&mut self, partial: &mut Partial, row: Intake<'_>, budget: &mut Budget) -> bool {
        let undefined = &row.scope.env.undefined;
        let before = undefined.get();
        let passes = self.plan.filter.as_ref().is_none_or(|filter| holds(filter, row.scope));
        let fits = match self.plan.args.first() {
            _ if !passes => true,
            Some(arg) => partial.add(&eval(arg, row.scope), row.order, budget),
            None => {
                partial.count();
                true
            }
        };
        self.undefined += undefined.replace(before) - before;
        fits
    }
}

fn all(rule: &RulePlan) -> &[Aggregate] {
    rule.window.as_ref().map_or(&[], |window| &window.aggregates)
}

fn exprs(aggregate: &Aggregate) -> impl Iterator<Item = &Expr> {
    aggregate.args.iter().chain(&aggregate.filter)
}

fn exprs_mut(aggregate: &mut Aggregate) -> impl Iterator<Item = &mut Expr> {
    aggregate.args.iter_mut().chain(&mut aggregate.filter)
}

fn has_param(expr: &Expr) -> bool {
    let mut has = false;
    expr.walk(&mut |part| has |= matches!(part, Expr::Param(_)));
    has
}

/// The aggregate with the constants of its rule in their places.
fn with_constants(aggregate: &Aggregate, rule: &RulePlan) -> Aggregate {
    let mut whole = aggregate.clone();
    for expr in exprs_mut(&mut whole) {
        expr.walk_mut(&mut |part| {
            if let Expr::Param(n) = part {
                *part = Expr::Const(rule.params.get(*n).cloned().unwrap_or_default());
            }
        });
    }
    whole
}

/// What an aggregate is told by. Slots move when other rules come and go, so their fields stand for them.
fn name(ctx: Context<'_>, aggregate: &Aggregate) -> u64 {
    let mut named = aggregate.clone();
    let fields = &ctx.stream_of(0).fields;
    // What does not fit into a place, where places have 32 bits, stands beside.
    let mut beside = Vec::new();
    for expr in exprs_mut(&mut named) {
        expr.walk_mut(&mut |part| {
            if let Expr::Field(_, slot) = part
                && let Some(field) = fields.get(*slot)
            {
                let field = fingerprint(field) >> 1;
                *slot = usize::try_from(field).unwrap_or_else(|_| {
                    beside.push(field);
                    beside.len()
                });
            }
        });
    }
    if beside.is_empty() { fingerprint(&named) } else { fingerprint(&(named, beside)) }
}

/// How many aggregates rules add to those of others if they share with them: the names of theirs.
pub(in crate::engine) fn names_of(ctx: Context<'_>) -> Vec<u64> {
    all(ctx.rule).iter().map(|own| name(ctx, &with_constants(own, ctx.rule))).collect()
}
