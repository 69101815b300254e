//! What a window holds: of each row just what its query needs later, or running aggregates where the
//! rows themselves are not needed.

use std::collections::VecDeque;
use std::sync::Arc;

use super::Context;
use super::aggregate::{Accumulator, Input};
use super::budget::{Budget, weight};
use super::layout::Remap;
use super::snapshot::{Reader, SnapshotError, Writer};
use super::table::Slots;
use super::work::Work;
use crate::model::time::Timestamp;
use crate::model::value::Value;
use crate::plan::logical::{Gives, WindowKind};

/// A row that waits or lies in a window.
#[derive(Clone, Debug)]
pub(super) struct Held {
    /// Its time.
    pub(super) time: Timestamp,
    /// Rows of one time go by this.
    pub(super) order: u64,
    /// Whether the first condition of the window's kind is true for it: the trigger of a sliding
    /// window, the beginning of a state window.
    pub(super) begins: bool,
    /// Whether the condition that ends a state window is true for it.
    pub(super) ends: bool,
    /// What the query needs of it.
    pub(super) body: Body,
}

/// What a query needs of a row.
#[derive(Clone, Debug)]
pub(super) enum Body {
    /// What it gives each aggregate.
    Inputs(Box<[Input]>),
    /// All of it: the rows of its sides, and the values of the analytic functions.
    Row {
        /// No slots where a side has no row.
        sides: Box<[Slots]>,
        /// In the order of the plan.
        analytics: Box<[Value]>,
    },
    /// The row of one side that is joined when the window closes.
    Side(usize, Slots),
}

/// The content of one window of one group.
#[derive(Debug)]
pub(super) enum Contents {
    /// Running aggregates.
    Sums(Box<[Accumulator]>),
    /// Rows, in the order in which they entered.
    Rows(VecDeque<Arc<Held>>),
}

/// Which body the rows of a rule's window have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Needs {
    Inputs,
    Row,
    Side,
}

impl Needs {
    fn of(ctx: Context<'_>) -> Self {
        match ctx.rule.window.as_ref().map(|window| window.gives) {
            _ if ctx.rule.from.at_close => Self::Side,
            Some(Gives::Rows) => Self::Row,
            _ => Self::Inputs,
        }
    }
}

/// Whether a window must keep its rows: aggregates cannot let go of one again.
fn keeps_rows(ctx: Context<'_>) -> bool {
    let overlaps = match ctx.rule.window.as_ref().map(|window| &window.kind) {
        Some(WindowKind::Sliding { .. }) => true,
        Some(WindowKind::Count { count, every }) => every < count,
        _ => false,
    };
    overlaps || Needs::of(ctx) != Needs::Inputs
}

impl Held {
    /// What it takes of the ceiling of bytes.
    pub(super) fn bytes(&self) -> usize {
        let body = match &self.body {
            Body::Inputs(inputs) => {
                inputs.iter().map(|input| input.as_ref().map_or(8, |values| weight(values))).sum()
            }
            Body::Row { sides, analytics } => {
                sides.iter().map(|side| weight(side)).sum::<usize>() + weight(analytics)
            }
            Body::Side(_, slots) => weight(slots),
        };
        size_of::<Self>() + body
    }

    fn remap(&mut self, remaps: &[Remap]) {
        let at = |side: usize, slots: &Slots| {
            remaps.get(side).map_or_else(|| slots.clone(), |remap| remap.row(slots))
        };
        match &mut self.body {
            Body::Inputs(_) => {}
            Body::Row { sides, .. } => {
                for (side, slots) in sides.iter_mut().enumerate() {
                    *slots = at(side, slots);
                }
            }
            Body::Side(side, slots) => *slots = at(*side, slots),
        }
    }

    /// Reads its values anew, after the slots of the streams have changed.
    pub(super) fn move_slots(&mut self, remaps: &[Remap], budget: &mut Budget) {
        budget.give(self.bytes());
        self.remap(remaps);
        budget.charge(self.bytes());
    }

    pub(super) fn write(&self, out: &mut Writer) {
        out.time(self.time);
        out.u64(self.order);
        out.bool(self.begins);
        out.bool(self.ends);
        match &self.body {
            Body::Inputs(inputs) => inputs.iter().for_each(|input| {
                out.bool(input.is_some());
                input.iter().flatten().for_each(|value| out.value(value));
            }),
            Body::Row { sides, analytics } => {
                sides.iter().for_each(|side| out.values(side));
                out.values(analytics);
            }
            Body::Side(side, slots) => {
                out.len(*side);
                out.values(slots);
            }
        }
    }

    pub(super) fn read(ctx: Context<'_>, from: &mut Reader<'_>) -> Result<Self, SnapshotError> {
        let (time, order, begins, ends) = (from.time()?, from.u64()?, from.bool()?, from.bool()?);
        let sides = ctx.rule.from.sides.len();
        let body = match Needs::of(ctx) {
            Needs::Inputs => {
                let mut input = || -> Result<Input, SnapshotError> {
                    Ok(if from.bool()? { Some([from.value()?, from.value()?]) } else { None })
                };
                let inputs: Result<_, _> = ctx.aggregates().iter().map(|_| input()).collect();
                Body::Inputs(inputs?)
            }
            Needs::Row => {
                let slots: Result<_, _> = (0..sides).map(|_| from.values().map(Slots::from)).collect();
                Body::Row { sides: slots?, analytics: from.values()?.into() }
            }
            Needs::Side => match usize::try_from(from.u64()?) {
                Ok(side) if side < sides => Body::Side(side, from.values()?.into()),
                _ => return Err(from.damaged()),
            },
        };
        Ok(Self { time, order, begins, ends, body })
    }
}

impl Contents {
    /// Empty, of the kind that the rule's window needs.
    pub(super) fn new(ctx: Context<'_>) -> Self {
        if keeps_rows(ctx) {
            return Self::Rows(VecDeque::new());
        }
        Self::Sums(ctx.aggregates().iter().map(Accumulator::new).collect())
    }

    /// Takes a row in. What finds no room is counted as refused.
    pub(super) fn add(&mut self, work: &mut Work<'_>, held: &Arc<Held>) {
        match (self, &held.body) {
            (Self::Rows(rows), _) => {
                if work.charge(held.bytes()) {
                    rows.push_back(held.clone());
                }
            }
            (Self::Sums(sums), Body::Inputs(inputs)) => {
                let plan = work.ctx.aggregates();
                for ((sum, aggregate), input) in sums.iter_mut().zip(plan).zip(inputs) {
                    let Some(input) = input else { continue };
                    if !sum.add(aggregate, input, held.time, &mut work.ledger.budget) {
                        work.account.refused += 1;
                    }
                }
            }
            (Self::Sums(_), _) => {}
        }
    }

    /// How many rows it holds; none where it holds aggregates.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Rows(rows) => rows.len(),
            Self::Sums(_) => 0,
        }
    }

    /// What it takes of the ceiling of bytes.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Sums(sums) => sums.iter().map(Accumulator::bytes).sum(),
            Self::Rows(rows) => rows.iter().map(|row| row.bytes()).sum(),
        }
    }

    /// See [`Held::move_slots`].
    pub(super) fn move_slots(&mut self, remaps: &[Remap], budget: &mut Budget) {
        if let Self::Rows(rows) = self {
            rows.iter_mut().for_each(|row| Arc::make_mut(row).move_slots(remaps, budget));
        }
    }

    pub(super) fn write(&self, out: &mut Writer) {
        match self {
            Self::Sums(sums) => sums.iter().for_each(|sum| sum.write(out)),
            Self::Rows(rows) => {
                out.len(rows.len());
                rows.iter().for_each(|row| row.write(out));
            }
        }
    }

    pub(super) fn read(ctx: Context<'_>, from: &mut Reader<'_>) -> Result<Self, SnapshotError> {
        if keeps_rows(ctx) {
            let rows = from.len()?;
            let rows: Result<_, _> = (0..rows).map(|_| Held::read(ctx, from).map(Arc::new)).collect();
            return rows.map(Self::Rows);
        }
        let sums: Result<_, _> = ctx.aggregates().iter().map(|plan| Accumulator::read(plan, from)).collect();
        sums.map(Self::Sums)
    }
}
