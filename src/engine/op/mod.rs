//! The operators: what a rule does with its rows. A window is either aligned to the calendar, and then
//! the order of rows does not matter to it, or it follows the rows one after the other.

mod aligned;
mod close;
mod count;
mod each;
mod lane;
mod ordered;
mod pane;
mod session;
mod sliced;
mod slide;
mod state;

use std::time::Duration;

use super::Context;
use super::budget::Budget;
use super::front::{self, Entrant};
use super::layout::Remap;
use super::recall::Recall;
use super::snapshot::{Reader, SnapshotError, Writer};
use super::unit::is_sliceable;
use super::watermark::Mark;
use super::work::Work;
use crate::model::row::Row;
use crate::model::time::Timestamp;
use crate::model::value::Value;
use crate::plan::logical::WindowKind;

use self::aligned::Aligned;
use self::ordered::Ordered;
use self::sliced::Sliced;

pub(super) use self::sliced::{measures_of, mode, names_of, slice};

/// The operator of one rule, with its state.
#[derive(Debug)]
pub(super) enum Operator {
    /// Every row by itself.
    Each,
    /// Every row by itself, for rules that differ only behind their analytic functions.
    Recall(Box<Recall>),
    /// TUMBLINGWINDOW, HOPPINGWINDOW, where what they give can be put together from slices.
    Sliced(Box<Sliced>),
    /// TUMBLINGWINDOW, HOPPINGWINDOW.
    Aligned(Box<Aligned>),
    /// SLIDINGWINDOW, SESSIONWINDOW, COUNTWINDOW, STATEWINDOW.
    Ordered(Box<Ordered>),
}

/// A row that came, as the operators of windows see it.
#[derive(Debug)]
struct Arrival<'r> {
    /// Whose progress it tells.
    key: &'r Value,
    /// The key of its lane; `None` is the values of GROUP BY.
    lane: Option<&'r [Value]>,
    time: Timestamp,
    lateness: Duration,
    entrant: Entrant,
}

impl Operator {
    /// The operator that these rules ask for, empty; `ctx` is of the first.
    pub(super) fn new(ctx: Context<'_>, rules: &[usize]) -> Self {
        let Some(window) = &ctx.rule.window else {
            return Recall::new(ctx, rules).map_or(Self::Each, |recall| Self::Recall(Box::new(recall)));
        };
        if is_sliceable(ctx.rule) {
            return Self::Sliced(Box::new(Sliced::new(ctx, rules)));
        }
        match window.kind {
            WindowKind::Tumbling { length } => Self::Aligned(Box::new(Aligned::new(ctx, length, length))),
            WindowKind::Hopping { length, hop } => Self::Aligned(Box::new(Aligned::new(ctx, length, hop))),
            WindowKind::Sliding { .. }
            | WindowKind::Session { .. }
            | WindowKind::Count { .. }
            | WindowKind::State { .. } => Self::Ordered(Box::new(Ordered::new(ctx))),
        }
    }

    /// What finds its rules, where analytic functions are all that they share.
    pub(super) const fn recall(&self) -> Option<&Recall> {
        match self {
            Self::Recall(recall) => Some(recall),
            _ => None,
        }
    }

    /// Takes a row in, which stands on this side of FROM.
    pub(super) fn push(&mut self, work: &mut Work<'_>, side: usize, row: &Row) {
        let Some(window) = &work.ctx.rule.window else { return each::push(work, row) };
        if row.retained {
            return;
        }
        if let Self::Sliced(sliced) = self {
            sliced.push(work, row);
            work.account.groups = sliced.groups();
            return;
        }
        let stream = work.ctx.stream_of(side);
        let own = stream.key.and_then(|slot| row.slots.get(slot));
        let lane = match own {
            _ if !window.by_key => Some(&[][..]),
            Some(key) => Some(std::slice::from_ref(key)),
            None => None,
        };
        let own = own.unwrap_or(&Value::Null);
        // Keys of different streams are different keys.
        let apart;
        let key = if work.ctx.rule.from.at_close {
            let side = Value::Int(i64::try_from(side).unwrap_or(i64::MAX));
            apart = Value::Array([side, own.clone()].into());
            &apart
        } else {
            own
        };
        let lateness = work.ctx.lateness(side);
        for entrant in front::entrants(work, window, side, row) {
            let arrival = Arrival { key, lane, time: row.time, lateness, entrant };
            match self {
                Self::Each | Self::Recall(_) | Self::Sliced(_) => {}
                Self::Aligned(aligned) => aligned.push(work, arrival),
                Self::Ordered(ordered) => ordered.push(work, arrival),
            }
        }
        work.account.groups = self.groups();
    }

    /// Does what is due, or so many windows of it if it can stop there; says how many.
    pub(super) fn advance(&mut self, work: &mut Work<'_>, most: usize) -> usize {
        let mut closed = 0;
        match self {
            Self::Each | Self::Recall(_) => {}
            Self::Sliced(sliced) => closed = sliced.advance(work, most),
            Self::Aligned(aligned) => aligned.advance(work),
            Self::Ordered(ordered) => ordered.advance(work),
        }
        work.account.groups = self.groups();
        closed
    }

    /// When something may be due: never later than it is, but perhaps earlier.
    pub(super) fn wake(&self) -> Option<Mark> {
        match self {
            Self::Each | Self::Recall(_) => None,
            Self::Sliced(sliced) => sliced.wake(),
            Self::Aligned(aligned) => aligned.wake(),
            Self::Ordered(ordered) => ordered.wake(),
        }
    }

    /// Whether what the clock closes may wait while rows of other keys come.
    #[inline]
    pub(super) fn is_patient(&self) -> bool {
        match self {
            Self::Sliced(sliced) => sliced.is_patient(),
            Self::Each | Self::Recall(_) | Self::Aligned(_) | Self::Ordered(_) => false,
        }
    }

    /// Since when something waits for the clock that must be done before a row.
    pub(super) fn overdue(&self, row: &Row, now: Mark) -> Option<Mark> {
        match self {
            Self::Sliced(sliced) => sliced.overdue(row, now),
            Self::Each | Self::Recall(_) | Self::Aligned(_) | Self::Ordered(_) => None,
        }
    }

    /// Does that.
    pub(super) fn catch_up(&mut self, work: &mut Work<'_>, row: &Row) {
        if let Self::Sliced(sliced) = self {
            sliced.catch_up(work, row);
            work.account.groups = sliced.groups();
        }
    }

    /// How many groups have an open window.
    pub(super) fn groups(&self) -> usize {
        match self {
            Self::Each | Self::Recall(_) => 0,
            Self::Sliced(sliced) => sliced.groups(),
            Self::Aligned(aligned) => aligned.groups(),
            Self::Ordered(ordered) => ordered.groups(),
        }
    }

    /// These are its rules from here on: all or some of those that were.
    pub(super) fn run_for(&mut self, ctx: Context<'_>, rules: &[usize], budget: &mut Budget) {
        match self {
            Self::Sliced(sliced) => sliced.run_for(ctx, rules, budget),
            // They remember nothing, and the rule may have become one of the other kind.
            Self::Each | Self::Recall(_) => *self = Self::new(ctx, rules),
            Self::Aligned(_) | Self::Ordered(_) => {}
        }
    }

    /// What was counted for a rule but not for all: late rows, what was undefined, and its groups.
    pub(super) fn counted(&self, rule: usize) -> Option<(u64, u64, usize)> {
        match self {
            Self::Sliced(sliced) => sliced.counted(rule),
            Self::Each | Self::Recall(_) | Self::Aligned(_) | Self::Ordered(_) => None,
        }
    }

    /// Whether it remembers nothing.
    pub(super) fn is_fresh(&self) -> bool {
        match self {
            Self::Each | Self::Recall(_) => true,
            Self::Sliced(sliced) => sliced.is_fresh(),
            Self::Aligned(aligned) => aligned.is_fresh(),
            Self::Ordered(ordered) => ordered.is_fresh(),
        }
    }

    /// Reads the rows that it keeps anew, after the slots of the streams have changed.
    pub(super) fn move_slots(&mut self, remaps: &[Remap], budget: &mut Budget) {
        match self {
            Self::Each | Self::Recall(_) | Self::Sliced(_) => {}
            Self::Aligned(aligned) => aligned.move_slots(remaps, budget),
            Self::Ordered(ordered) => ordered.move_slots(remaps, budget),
        }
    }

    /// Writes the state.
    pub(super) fn write(&self, now: Mark, out: &mut Writer) {
        match self {
            Self::Each | Self::Recall(_) => {}
            Self::Sliced(sliced) => sliced.write(now, out),
            Self::Aligned(aligned) => aligned.write(now, out),
            Self::Ordered(ordered) => ordered.write(now, out),
        }
    }

    /// Reads the state of the operator that the rule asks for, and charges it to the budget.
    pub(super) fn read(
        ctx: Context<'_>,
        rules: &[usize],
        now: Mark,
        budget: &mut Budget,
        from: &mut Reader<'_>,
    ) -> Result<Self, SnapshotError> {
        let mut new = Self::new(ctx, rules);
        match &mut new {
            Self::Each | Self::Recall(_) => {}
            Self::Sliced(sliced) => sliced.read(now, budget, from)?,
            Self::Aligned(aligned) => aligned.read(ctx, now, budget, from)?,
            Self::Ordered(ordered) => ordered.read(ctx, now, budget, from)?,
        }
        Ok(new)
    }
}
