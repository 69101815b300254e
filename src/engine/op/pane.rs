//! The window of one group that follows its rows one after the other, whichever kind it is.

use std::sync::Arc;

use super::count::Count;
use super::session::Session;
use super::slide::Slide;
use super::state::State;
use crate::engine::Context;
use crate::engine::budget::Budget;
use crate::engine::held::{Contents, Held};
use crate::engine::layout::Remap;
use crate::engine::snapshot::{Reader, SnapshotError, Writer};
use crate::engine::work::Work;
use crate::model::time::Timestamp;
use crate::plan::logical::WindowKind;

/// The window of one group.
#[derive(Debug)]
pub(super) enum Pane {
    Slide(Slide),
    Session(Session),
    Count(Count),
    State(State),
}

/// A window that has closed, without its group.
#[derive(Debug)]
pub(super) struct Shut {
    pub(super) start: Timestamp,
    pub(super) end: Timestamp,
    pub(super) contents: Contents,
}

/// When the watermark closes a window: it closes before rows of that time enter. The second tells apart,
/// and orders, what closes at one time.
pub(super) type Due = (Timestamp, u64);

/// What a row did to its group's window.
#[derive(Debug, Default)]
pub(super) struct Turn {
    /// It closed one.
    pub(super) shut: Option<Shut>,
    /// The window does not close then.
    pub(super) withdrawn: Option<Due>,
    /// It closes then.
    pub(super) due: Option<Due>,
}

impl Pane {
    /// Empty.
    pub(super) fn new(ctx: Context<'_>) -> Option<Self> {
        Some(match ctx.rule.window.as_ref().map(|window| &window.kind)? {
            WindowKind::Sliding { length, delay, .. } => Self::Slide(Slide::new(*length, *delay)),
            WindowKind::Session { length, timeout } => Self::Session(Session::new(*length, *timeout)),
            WindowKind::Count { count, every } => Self::Count(Count::new(ctx, *count, *every)),
            WindowKind::State { end, .. } => Self::State(State::new(end.is_some())),
            WindowKind::Tumbling { .. } | WindowKind::Hopping { .. } => return None,
        })
    }

    /// Takes the next row in. Rows come in order, and what was due before them has been closed.
    pub(super) fn enter(&mut self, work: &mut Work<'_>, held: &Arc<Held>) -> Turn {
        match self {
            Self::Slide(slide) => slide.enter(work, held),
            Self::Session(session) => session.enter(work, held),
            Self::Count(count) => count.enter(work, held),
            Self::State(state) => state.enter(work, held),
        }
    }

    /// The watermark has come to what was due.
    pub(super) fn close(&mut self, work: &mut Work<'_>, due: Due) -> Option<Shut> {
        match self {
            Self::Slide(slide) => slide.close(work, due),
            Self::Session(session) => session.close(work),
            Self::Count(_) | Self::State(_) => None,
        }
    }

    /// What it waits for.
    pub(super) fn dues(&self) -> Vec<Due> {
        match self {
            Self::Slide(slide) => slide.dues(),
            Self::Session(session) => session.due().into_iter().collect(),
            Self::Count(_) | Self::State(_) => Vec::new(),
        }
    }

    /// Whether it waits for the watermark.
    pub(super) fn waits(&self) -> bool {
        match self {
            Self::Slide(slide) => slide.waits(),
            Self::Session(session) => !session.is_empty(),
            Self::Count(_) | Self::State(_) => false,
        }
    }

    /// Whether it holds nothing, so that it need not be there.
    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::Slide(slide) => slide.is_empty(),
            Self::Session(session) => session.is_empty(),
            Self::Count(count) => count.is_empty(),
            Self::State(state) => state.is_empty(),
        }
    }

    /// What it takes of the ceiling of bytes, besides itself.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Slide(slide) => slide.bytes(),
            Self::Session(session) => session.bytes(),
            Self::Count(count) => count.bytes(),
            Self::State(state) => state.bytes(),
        }
    }

    pub(super) fn move_slots(&mut self, remaps: &[Remap], budget: &mut Budget) {
        match self {
            Self::Slide(slide) => slide.move_slots(remaps, budget),
            Self::Session(session) => session.move_slots(remaps, budget),
            Self::Count(count) => count.move_slots(remaps, budget),
            Self::State(state) => state.move_slots(remaps, budget),
        }
    }

    pub(super) fn write(&self, out: &mut Writer) {
        match self {
            Self::Slide(slide) => slide.write(out),
            Self::Session(session) => session.write(out),
            Self::Count(count) => count.write(out),
            Self::State(state) => state.write(out),
        }
    }

    /// Reads into an empty one.
    pub(super) fn read(&mut self, ctx: Context<'_>, from: &mut Reader<'_>) -> Result<(), SnapshotError> {
        match self {
            Self::Slide(slide) => slide.read(ctx, from),
            Self::Session(session) => session.read(ctx, from),
            Self::Count(count) => count.read(ctx, from),
            Self::State(state) => state.read(ctx, from),
        }
    }
}
