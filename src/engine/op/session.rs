//! SESSIONWINDOW: rows without a gap of `timeout` between them, for at most `length` from the first. It
//! closes when the watermark comes to its end: so long after its last row, or so long after its first.

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

/// The session of one group, if it has one.
#[derive(Debug)]
pub(super) struct Session {
    length: Duration,
    timeout: Duration,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    first: Timestamp,
    last: Timestamp,
    order: u64,
    contents: Contents,
}

impl Session {
    pub(super) fn new(length: Duration, timeout: Duration) -> Self {
        // Without any length it would close before its first row.
        let least = Duration::from_micros(1);
        Self { length: length.max(least), timeout: timeout.max(least), open: None }
    }

    pub(super) fn enter(&mut self, work: &mut Work<'_>, held: &Arc<Held>) -> Turn {
        let withdrawn = self.due();
        let open = self.open.get_or_insert_with(|| Open {
            first: held.time,
            last: held.time,
            order: held.order,
            contents: Contents::new(work.ctx),
        });
        open.last = held.time;
        open.contents.add(work, held);
        Turn { withdrawn, due: self.due(), shut: None }
    }

    pub(super) fn close(&mut self, work: &mut Work<'_>) -> Option<Shut> {
        let (end, _) = self.due()?;
        let open = self.open.take()?;
        work.ledger.budget.give(open.contents.bytes());
        Some(Shut { start: open.first, end, contents: open.contents })
    }

    pub(super) fn due(&self) -> Option<Due> {
        let open = self.open.as_ref()?;
        Some((open.last.plus(self.timeout).min(open.first.plus(self.length)), open.order))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.open.is_none()
    }

    pub(super) fn bytes(&self) -> usize {
        self.open.as_ref().map_or(0, |open| open.contents.bytes())
    }

    pub(super) fn move_slots(&mut self, remaps: &[Remap], budget: &mut Budget) {
        if let Some(open) = &mut self.open {
            open.contents.move_slots(remaps, budget);
        }
    }

    pub(super) fn write(&self, out: &mut Writer) {
        out.bool(self.open.is_some());
        if let Some(open) = &self.open {
            out.time(open.first);
            out.time(open.last);
            out.u64(open.order);
            open.contents.write(out);
        }
    }

    pub(super) fn read(&mut self, ctx: Context<'_>, from: &mut Reader<'_>) -> Result<(), SnapshotError> {
        if from.bool()? {
            self.open = Some(Open {
                first: from.time()?,
                last: from.time()?,
                order: from.u64()?,
                contents: Contents::read(ctx, from)?,
            });
        }
        Ok(())
    }
}
