//! What of the outbox goes next, and when: urgent rows at once, the rest in batches, and within the byte budget.

use std::time::Duration;

use crate::model::kept::{Lane, Waiting};
use crate::model::time::Mono;
use crate::wire::series::Compactor;
use crate::wire::v1;

use super::ask::ask;
use super::budget::{Budget, Leave};
use super::encode::decode;
use super::retry::End;
use super::window::{BATCH, Room, Which, Window};
use super::{Outbox, Port, Request};

/// From this version of the protocol on, rows may overtake others, and refer to series.
const OVERTAKES: u32 = 2;

/// What there is to do for the outbox.
#[derive(Debug)]
pub(super) enum Next {
    /// To send this.
    Batch(v1::Batch),
    /// To wait for acknowledgements or new rows, and no longer than this.
    Wait(Option<Mono>),
    /// To wait for the byte budget.
    Held(Mono),
    /// Nothing: everything up to this number was sent.
    Sent(u64),
}

/// See the module. One for each session.
#[derive(Debug)]
pub(super) struct Feed {
    epoch: u64,
    /// The version that both ends speak.
    protocol: u32,
    pub(super) window: Window,
    compactor: Compactor,
    batch_age: Duration,
    /// The newest number as of which nothing urgent waits.
    calm: Option<u64>,
    /// When the rest goes though it is no full batch; `None` while there is none.
    due: Option<Mono>,
}

impl Feed {
    /// What waited when the session began has waited enough.
    pub(super) fn new(epoch: u64, protocol: u32, window: Window, batch_age: Duration, now: Mono) -> Self {
        let compactor = Compactor::default();
        Self { epoch, protocol, window, compactor, batch_age, calm: None, due: Some(now) }
    }

    /// The number space.
    pub(super) const fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Whether the hub knows of digests.
    pub(super) const fn reconciles(&self) -> bool {
        self.protocol >= OVERTAKES
    }

    /// What there is to do. A batch counts as sent.
    pub(super) async fn next(&mut self, port: &Port, budget: &mut Budget, now: Mono) -> Result<Next, End> {
        let newest = *port.newest.borrow();
        let overtakes = self.protocol >= OVERTAKES;
        if overtakes && self.calm != Some(newest) {
            if let Some(all) = self.all_at_once(port, budget, newest, now).await? {
                return Ok(Next::Batch(all));
            }
            let Some(room) = self.window.room(Which::Urgent) else { return Ok(Next::Wait(None)) };
            let found = self.peek(port, Lane::Urgent, newest, room).await?;
            if !found.rows.is_empty() {
                return Ok(Next::Batch(self.batch(found)));
            }
            self.calm = Some(newest);
        }
        let unsent = self.window.unsent(newest);
        if unsent == 0 {
            self.due = None;
            return Ok(self
                .window
                .tell_complete()
                .filter(|_| overtakes)
                .map_or(Next::Sent(newest), |complete| {
                    Next::Batch(v1::Batch { epoch: self.epoch, complete, ..Default::default() })
                }));
        }
        let due = *self.due.get_or_insert(now.plus(self.batch_age));
        if due > now && unsent < BATCH as u64 {
            return Ok(Next::Wait(Some(due)));
        }
        let Some(mut room) = self.window.room(Which::Rest) else { return Ok(Next::Wait(None)) };
        match budget.leave(now) {
            Leave::Free => {}
            Leave::At(then) => return Ok(Next::Held(then)),
            // What a message really took is known once it is acknowledged.
            Leave::Bytes(_) if !self.window.is_idle() => return Ok(Next::Wait(None)),
            Leave::Bytes(bytes) => room.bytes = room.bytes.min(bytes),
        }
        let lane = if overtakes { Lane::Rest } else { Lane::Both };
        let found = self.peek(port, lane, newest, room).await?;
        if found.rows.is_empty() && found.evicted.is_empty() {
            return self.vanished(port, newest, now).await;
        }
        self.due = (found.rows.len() >= room.count).then_some(now);
        Ok(Next::Batch(self.batch(found)))
    }

    /// Everything that waits, where nothing holds the rest back and it fits in one message: the lanes need not be looked at
    /// one by one then, which is so for most alerts.
    async fn all_at_once(
        &mut self,
        port: &Port,
        budget: &mut Budget,
        newest: u64,
        now: Mono,
    ) -> Result<Option<v1::Batch>, End> {
        let unsent = self.window.unsent(newest);
        let free = self.batch_age.is_zero() && budget.leave(now) == Leave::Free;
        let room =
            self.window.room(Which::Rest).filter(|room| free && (1..=room.count as u64).contains(&unsent));
        let Some(room) = room else { return Ok(None) };
        let found = self.peek(port, Lane::Both, newest, room).await?;
        if found.rows.len() as u64 != unsent {
            return Ok(None);
        }
        self.calm = Some(newest);
        Ok(Some(self.batch(found)))
    }

    /// Numbers that neither wait nor were given up. They became urgent meanwhile, or the file lost them: then they are
    /// passed over, so that the hub learns of the gap.
    async fn vanished(&mut self, port: &Port, newest: u64, now: Mono) -> Result<Next, End> {
        let found = self.peek(port, Lane::Both, newest, Room { count: 1, bytes: 1 }).await?;
        self.calm = None;
        if found.rows.is_empty() && found.evicted.is_empty() {
            let missing = self.window.out().missing(1, newest);
            tracing::error!(?missing, "transitions are gone from the spool; the disk may be failing");
            missing.iter().for_each(|(first, last)| self.window.pass(*first, *last));
        }
        Ok(Next::Wait(Some(now)))
    }

    async fn peek(&self, port: &Port, lane: Lane, upto: u64, room: Room) -> Result<Outbox, End> {
        let skip = self.window.out().clone();
        let Room { count, bytes } = room;
        ask(&port.requests, |reply| Request::Peek { lane, skip, upto, count, bytes, reply }).await
    }

    /// A message of what was found, which counts as sent.
    fn batch(&mut self, found: Outbox) -> v1::Batch {
        let mut transitions = Vec::new();
        for Waiting { seq, body, .. } in &found.rows {
            match decode(*seq, body) {
                Some(transition) => {
                    self.window.send(*seq, body.len());
                    transitions.push(transition);
                }
                // It shows on the hub as a gap.
                None => {
                    tracing::error!(seq, "a transition of the spool cannot be read; the disk may be failing");
                    self.window.pass(*seq, *seq);
                }
            }
        }
        let mut evicted = Vec::new();
        // For a hub of the first version nothing comes any more that is before what came.
        let most = found.rows.last().map(|row| row.seq).filter(|_| self.protocol < OVERTAKES);
        for (first, last) in found.evicted.into_iter().filter(|range| most.is_none_or(|most| range.1 < most))
        {
            for (first, last) in self.window.untold(first, last) {
                self.window.pass(first, last);
                evicted.push(v1::SeqRange { first, last });
            }
        }
        let (mut series, mut complete) = (Vec::new(), 0);
        if self.protocol >= OVERTAKES {
            (series, transitions) = self.compactor.compact(transitions);
            complete = self.window.tell_complete().unwrap_or(0);
        }
        v1::Batch { epoch: self.epoch, transitions, evicted, complete, series }
    }
}
