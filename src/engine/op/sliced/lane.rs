//! What shared slices keep: lanes with their progress, and groups with their slices.

use std::collections::VecDeque;
use std::sync::Arc;

use super::definition::Definition;
use super::table::Keyed;
use crate::engine::aggregate::Partial;
use crate::engine::budget::weight;
use crate::engine::watermark::{Mark, Progress};
use crate::model::time::Timestamp;
use crate::model::value::Value;
use crate::plan::logical::Aggregate;

/// Never; beyond every end of a window.
pub(super) const NEVER: Timestamp = Timestamp::from_micros(i64::MAX);

/// Groups that share a watermark.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) key: Arc<[Value]>,
    /// When it was made, as a place among all lanes.
    pub(super) order: u64,
    pub(super) progress: Progress,
    /// Its groups with an open window.
    pub(super) groups: Vec<usize>,
    /// One for each definition.
    pub(super) tracks: Box<[Track]>,
    /// The end of the earliest open window.
    pub(super) next_end: Timestamp,
    /// Up to where the clock has closed windows of any definition.
    pub(super) forced: Timestamp,
    /// Whether it waited for something when that was last counted.
    pub(super) waited: bool,
    /// When it will be looked at.
    pub(super) look: Option<Mark>,
}

/// How far a definition has come in a lane.
#[derive(Clone, Copy, Debug)]
pub(super) struct Track {
    /// Up to where the clock has closed its windows.
    pub(super) forced: Timestamp,
    /// The end of its earliest open window; [`NEVER`] where none is.
    pub(super) next_end: Timestamp,
    /// The end of the latest window it had.
    pub(super) last_end: Timestamp,
}

/// A group that has an open window.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) key: Arc<[Value]>,
    pub(super) lane: usize,
    /// By their starts.
    pub(super) slices: VecDeque<Slice>,
    /// One for each definition.
    pub(super) opens: Box<[Open]>,
}

/// The open windows of one definition in a group.
#[derive(Clone, Copy, Debug)]
pub(super) struct Open {
    /// The place of the row that opened the first of them, when none was.
    pub(super) order: u64,
    /// The end of the earliest; [`NEVER`] where none is.
    pub(super) next_end: Timestamp,
}

/// The rows of a stretch of time.
#[derive(Clone, Debug)]
pub(super) struct Slice {
    pub(super) start: Timestamp,
    /// One for each aggregate.
    pub(super) partials: Box<[Partial]>,
}

impl Keyed for Lane {
    fn key(&self) -> &[Value] {
        &self.key
    }
}

impl Keyed for Group {
    fn key(&self) -> &[Value] {
        &self.key
    }
}

impl Lane {
    /// Nothing seen.
    pub(super) fn new(key: Arc<[Value]>, order: u64, progress: Progress, definitions: usize) -> Self {
        Self {
            key,
            order,
            progress,
            groups: Vec::new(),
            tracks: vec![Track::new(); definitions].into(),
            next_end: NEVER,
            forced: Timestamp::MIN,
            waited: false,
            look: None,
        }
    }

    /// Up to where the windows of a definition are closed.
    pub(super) fn closed(&self, definition: usize) -> Timestamp {
        self.progress.closed().max(self.tracks[definition].forced)
    }

    /// Whether a window is open.
    pub(super) fn waits(&self) -> bool {
        self.next_end != NEVER
    }

    /// The end of the earliest open window, anew.
    pub(super) fn find_next_end(&mut self) {
        self.next_end = self.tracks.iter().map(|track| track.next_end).min().unwrap_or(NEVER);
    }

    /// What it takes of the ceiling of bytes.
    pub(super) fn bytes(&self) -> usize {
        size_of::<Self>() + weight(&self.key) + size_of_val(&*self.tracks)
    }
}

impl Track {
    pub(super) const fn new() -> Self {
        Self { forced: Timestamp::MIN, next_end: NEVER, last_end: Timestamp::MIN }
    }
}

impl Open {
    pub(super) const NONE: Self = Self { order: 0, next_end: NEVER };
}

impl Group {
    pub(super) fn new(key: Arc<[Value]>, lane: usize, definitions: usize) -> Self {
        Self { key, lane, slices: VecDeque::new(), opens: vec![Open::NONE; definitions].into() }
    }

    /// The place of the slice that starts then, or where it would stand. Most rows belong to the last.
    pub(super) fn place(&self, start: Timestamp) -> Result<usize, usize> {
        match self.slices.back() {
            Some(last) if last.start == start => Ok(self.slices.len() - 1),
            Some(last) if last.start > start => self.slices.binary_search_by_key(&start, |slice| slice.start),
            _ => Err(self.slices.len()),
        }
    }

    /// The end of the first window of a definition that ends behind `closed` and has rows; [`NEVER`] where
    /// there is none.
    pub(super) fn end_behind(&self, definition: &Definition, closed: Timestamp) -> Timestamp {
        let from = self.slices.partition_point(|slice| definition.last_end(slice.start) <= closed);
        let first = self.slices.get(from).map(|slice| definition.end_behind(slice.start.max(closed)));
        first.unwrap_or(NEVER)
    }

    /// What it takes of the ceiling of bytes, without its slices.
    pub(super) fn bytes(&self) -> usize {
        size_of::<Self>() + weight(&self.key) + size_of_val(&*self.opens)
    }
}

impl Slice {
    pub(super) fn new(start: Timestamp, plan: &[Aggregate]) -> Self {
        Self { start, partials: plan.iter().map(Partial::new).collect() }
    }

    /// What it takes of the ceiling of bytes.
    pub(super) fn bytes(&self) -> usize {
        Self::own_bytes(self.partials.len()) + self.partials.iter().map(Partial::bytes).sum::<usize>()
    }

    /// What an empty one takes.
    pub(super) fn own_bytes(aggregates: usize) -> usize {
        size_of::<Self>() + aggregates * size_of::<Partial>()
    }
}
