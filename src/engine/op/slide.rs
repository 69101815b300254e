//! SLIDINGWINDOW: for each row that triggers one a window `(t - length, t + delay]`. Without a delay it
//! closes with its row; with one when the watermark has passed `t + delay`.
//!
//! State: the rows that a window may still need.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::pane::{Due, Shut, Turn};
use crate::engine::Context;
use crate::engine::budget::Budget;
use crate::engine::held::{Contents, Held};
use crate::engine::layout::Remap;
use crate::engine::snapshot::{Reader, SnapshotError, Writer};
use crate::engine::work::Work;
use crate::model::time::Timestamp;

/// The rows of one group, and its open windows.
#[derive(Debug)]
pub(super) struct Slide {
    length: Duration,
    delay: Duration,
    rows: VecDeque<Arc<Held>>,
    /// The triggers whose windows are open: their times, and what tells them apart.
    open: VecDeque<(Timestamp, u64)>,
}

/// The least span of time: what is due at the end of a closed interval is due after it.
const AFTER: Duration = Duration::from_micros(1);

impl Slide {
    pub(super) fn new(length: Duration, delay: Duration) -> Self {
        Self { length: length.max(AFTER), delay, rows: VecDeque::new(), open: VecDeque::new() }
    }

    pub(super) fn enter(&mut self, work: &mut Work<'_>, held: &Arc<Held>) -> Turn {
        self.prune(work, held.time);
        if !work.charge(held.bytes()) {
            return Turn::default();
        }
        self.rows.push_back(held.clone());
        if !held.begins {
            return Turn::default();
        }
        if self.delay.is_zero() {
            return Turn { shut: Some(self.window(held.time)), ..Turn::default() };
        }
        self.open.push_back((held.time, held.order));
        Turn { due: Some(self.due(held.time, held.order)), ..Turn::default() }
    }

    pub(super) fn close(&mut self, work: &mut Work<'_>, due: Due) -> Option<Shut> {
        let (trigger, _) = self.open.pop_front().filter(|(_, order)| *order == due.1)?;
        let shut = self.window(trigger);
        if let Some(last) = self.rows.back().map(|row| row.time) {
            self.prune(work, last);
        }
        Some(shut)
    }

    /// Lets go of the rows that no open window needs, nor one that is triggered at `now` or later.
    fn prune(&mut self, work: &mut Work<'_>, now: Timestamp) {
        let first = self.open.front().map_or(now, |(trigger, _)| *trigger);
        while let Some(row) = self.rows.front().filter(|row| row.time <= first.minus(self.length)) {
            work.ledger.budget.give(row.bytes());
            self.rows.pop_front();
        }
    }

    fn window(&self, trigger: Timestamp) -> Shut {
        let (start, end) = (trigger.minus(self.length), trigger.plus(self.delay));
        let rows = self.rows.iter().filter(|row| row.time > start && row.time <= end);
        Shut { start, end, contents: Contents::Rows(rows.cloned().collect()) }
    }

    fn due(&self, trigger: Timestamp, order: u64) -> Due {
        (trigger.plus(self.delay).plus(AFTER), order)
    }

    pub(super) fn dues(&self) -> Vec<Due> {
        self.open.iter().map(|(trigger, order)| self.due(*trigger, *order)).collect()
    }

    pub(super) fn waits(&self) -> bool {
        !self.open.is_empty()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.open.is_empty()
    }

    pub(super) fn bytes(&self) -> usize {
        self.rows.iter().map(|row| row.bytes()).sum()
    }

    pub(super) fn move_slots(&mut self, remaps: &[Remap], budget: &mut Budget) {
        self.rows.iter_mut().for_each(|row| Arc::make_mut(row).move_slots(remaps, budget));
    }

    pub(super) fn write(&self, out: &mut Writer) {
        out.len(self.rows.len());
        self.rows.iter().for_each(|row| row.write(out));
        out.len(self.open.len());
        for (trigger, order) in &self.open {
            out.time(*trigger);
            out.u64(*order);
        }
    }

    pub(super) fn read(&mut self, ctx: Context<'_>, from: &mut Reader<'_>) -> Result<(), SnapshotError> {
        for _ in 0..from.len()? {
            self.rows.push_back(Arc::new(Held::read(ctx, from)?));
        }
        for _ in 0..from.len()? {
            self.open.push_back((from.time()?, from.u64()?));
        }
        Ok(())
    }
}
