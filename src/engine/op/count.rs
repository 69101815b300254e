//! COUNTWINDOW: with every `every`-th row of a group a window of its last `count` rows, once there are
//! so many. Silence never closes it.
//!
//! Where windows overlap, the rows are kept; else running aggregates do, unless the query gives rows.

use std::sync::Arc;

use super::pane::{Shut, Turn};
use crate::engine::Context;
use crate::engine::budget::Budget;
use crate::engine::held::{Contents, Held};
use crate::engine::layout::Remap;
use crate::engine::snapshot::{Reader, SnapshotError, Writer};
use crate::engine::work::Work;
use crate::model::time::Timestamp;

/// The rows of one group.
#[derive(Debug)]
pub(super) struct Count {
    count: usize,
    every: usize,
    /// How many rows came since the last `every`-th one.
    since: usize,
    /// The time of the first row where the windows do not overlap.
    first: Timestamp,
    contents: Contents,
}

impl Count {
    pub(super) fn new(ctx: Context<'_>, count: usize, every: usize) -> Self {
        let count = count.max(1);
        let every = every.clamp(1, count);
        Self { count, every, since: 0, first: Timestamp::MIN, contents: Contents::new(ctx) }
    }

    pub(super) fn enter(&mut self, work: &mut Work<'_>, held: &Arc<Held>) -> Turn {
        if self.since == 0 {
            self.first = held.time;
        }
        // What is about to leave makes room.
        if self.contents.len() >= self.count
            && let Contents::Rows(rows) = &mut self.contents
            && let Some(row) = rows.pop_front()
        {
            work.ledger.budget.give(row.bytes());
        }
        self.contents.add(work, held);
        self.since += 1;
        if self.since < self.every {
            return Turn::default();
        }
        self.since = 0;
        Turn { shut: self.window(work, held.time), ..Turn::default() }
    }

    fn window(&mut self, work: &mut Work<'_>, end: Timestamp) -> Option<Shut> {
        if self.every == self.count {
            let contents = std::mem::replace(&mut self.contents, Contents::new(work.ctx));
            work.ledger.budget.give(contents.bytes());
            return Some(Shut { start: self.first, end, contents });
        }
        let Contents::Rows(rows) = &self.contents else { return None };
        let first = rows.front().filter(|_| rows.len() >= self.count)?;
        Some(Shut { start: first.time, end, contents: Contents::Rows(rows.clone()) })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.since == 0 && self.contents.len() == 0
    }

    pub(super) fn bytes(&self) -> usize {
        self.contents.bytes()
    }

    pub(super) fn move_slots(&mut self, remaps: &[Remap], budget: &mut Budget) {
        self.contents.move_slots(remaps, budget);
    }

    pub(super) fn write(&self, out: &mut Writer) {
        out.u64(self.since as u64);
        out.time(self.first);
        self.contents.write(out);
    }

    pub(super) fn read(&mut self, ctx: Context<'_>, from: &mut Reader<'_>) -> Result<(), SnapshotError> {
        self.since = usize::try_from(from.u64()?).map_err(|_| from.damaged())?;
        self.first = from.time()?;
        self.contents = Contents::read(ctx, from)?;
        if self.since >= self.every || self.contents.len() > self.count {
            return Err(from.damaged());
        }
        Ok(())
    }
}
