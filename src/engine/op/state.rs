//! STATEWINDOW: from a row for which the first condition is true. With one condition it lasts until a row
//! for which that is not true, which lies outside; with two, up to and with the first row for which
//! the second is true. Silence never closes it.

use std::sync::Arc;

use super::pane::{Shut, Turn};
use crate::engine::Context;
use crate::engine::budget::Budget;
use crate::engine::held::{Contents, Held};
use crate::engine::layout::Remap;
use crate::engine::snapshot::{Reader, SnapshotError, Writer};
use crate::engine::work::Work;
use crate::model::time::Timestamp;

/// The state window of one group, if it is in one.
#[derive(Debug)]
pub(super) struct State {
    /// Whether there are two conditions.
    two: bool,
    open: Option<(Timestamp, Contents)>,
}

impl State {
    pub(super) fn new(two: bool) -> Self {
        Self { two, open: None }
    }

    pub(super) fn enter(&mut self, work: &mut Work<'_>, held: &Arc<Held>) -> Turn {
        if !self.two && !held.begins {
            return self.close(work, held.time);
        }
        if self.open.is_none() {
            if !held.begins {
                return Turn::default();
            }
            self.open = Some((held.time, Contents::new(work.ctx)));
        }
        if let Some((_, contents)) = &mut self.open {
            contents.add(work, held);
        }
        if self.two && held.ends { self.close(work, held.time) } else { Turn::default() }
    }

    fn close(&mut self, work: &mut Work<'_>, end: Timestamp) -> Turn {
        let shut = self.open.take().map(|(start, contents)| {
            work.ledger.budget.give(contents.bytes());
            Shut { start, end, contents }
        });
        Turn { shut, ..Turn::default() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.open.is_none()
    }

    pub(super) fn bytes(&self) -> usize {
        self.open.as_ref().map_or(0, |(_, contents)| contents.bytes())
    }

    pub(super) fn move_slots(&mut self, remaps: &[Remap], budget: &mut Budget) {
        if let Some((_, contents)) = &mut self.open {
            contents.move_slots(remaps, budget);
        }
    }

    pub(super) fn write(&self, out: &mut Writer) {
        out.bool(self.open.is_some());
        if let Some((start, contents)) = &self.open {
            out.time(*start);
            contents.write(out);
        }
    }

    pub(super) fn read(&mut self, ctx: Context<'_>, from: &mut Reader<'_>) -> Result<(), SnapshotError> {
        if from.bool()? {
            self.open = Some((from.time()?, Contents::read(ctx, from)?));
        }
        Ok(())
    }
}
