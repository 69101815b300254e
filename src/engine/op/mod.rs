//! The operators: what a rule does with the rows that pass its WHERE. One operator a file; a
//! variant here and the compiler names every place that it needs.

mod each;
mod tumble;

use super::snapshot::{Reader, SnapshotError, Writer};
use super::watermark::Mark;
use super::{Account, Context};
use crate::model::row::{Observation, Row};
use crate::plan::logical::WindowKind;

use self::each::Each;
use self::tumble::Tumble;

/// The operator of one rule, with its state.
#[derive(Debug)]
pub(super) enum Operator {
    /// Every row by itself.
    Each(Each),
    /// TUMBLINGWINDOW.
    Tumble(Box<Tumble>),
}

impl Operator {
    /// The operator that a rule asks for, empty.
    pub(super) fn new(ctx: Context<'_>) -> Self {
        match &ctx.rule.window {
            None => Self::Each(Each),
            Some(window) => match window.kind {
                WindowKind::Tumbling { length } => Self::Tumble(Box::new(Tumble::new(ctx, length))),
                _ => Self::Each(Each),
            },
        }
    }

    /// Takes a row in.
    pub(super) fn push(
        &mut self,
        ctx: Context<'_>,
        row: &Row,
        now: Mark,
        account: &mut Account,
        out: &mut Vec<Observation>,
    ) {
        match self {
            Self::Each(each) => each.push(ctx, row, account, out),
            Self::Tumble(tumble) => tumble.push(ctx, row, now, account, out),
        }
    }

    /// Does what is due.
    pub(super) fn advance(
        &mut self,
        ctx: Context<'_>,
        now: Mark,
        account: &mut Account,
        out: &mut Vec<Observation>,
    ) {
        match self {
            Self::Each(_) => {}
            Self::Tumble(tumble) => tumble.advance(ctx, now, account, out),
        }
    }

    /// When something may be due: never later than it is, but perhaps earlier.
    pub(super) fn wake(&self) -> Option<Mark> {
        match self {
            Self::Each(_) => None,
            Self::Tumble(tumble) => tumble.wake(),
        }
    }

    /// Writes the state.
    pub(super) fn write(&self, now: Mark, out: &mut Writer) {
        match self {
            Self::Each(_) => {}
            Self::Tumble(tumble) => tumble.write(now, out),
        }
    }

    /// Reads the state of the operator that the rule asks for.
    pub(super) fn read(
        ctx: Context<'_>,
        now: Mark,
        account: &mut Account,
        from: &mut Reader<'_>,
    ) -> Result<Self, SnapshotError> {
        let mut new = Self::new(ctx);
        match &mut new {
            Self::Each(_) => {}
            Self::Tumble(tumble) => tumble.read(ctx, now, account, from)?,
        }
        Ok(new)
    }
}
