//! Windows that have ended and were not closed yet, so that rows need not wait for all of them. What a row
//! must find done is done before it, at the time at which it was due.

use super::feed::Feed;
use super::unit::look;
use super::watermark::Mark;
use super::work::{MAX_LINES, Peers, Work};
use super::{Context, Engine, Unit, Units, in_order};
use crate::model::row::{Observation, Order, Row};
use crate::model::time::{Mono, Now};

impl Engine {
    /// As [`Self::push`], but of what is due by `now` only that is done first which must not wait. What the
    /// row itself must find done that was due before `now` has to be [caught up with](Self::catch_up).
    pub fn push_ahead(&mut self, stream: usize, row: &Row, now: Now, out: &mut Vec<Observation>) {
        self.advance_by(now, 0, out);
        self.take(stream, row, now, out);
    }

    /// When [`Self::advance_by`] and [`Self::silences`] should be called for what must not wait.
    pub fn next_urgent_deadline(&self) -> Option<Mono> {
        self.units.next_urgent_look().map(Mark::mono).into_iter().chain(self.silence_due()).min()
    }

    /// Since when something is due by `now` that must be done before this row.
    pub fn overdue(&mut self, stream: usize, row: &Row, now: Mono) -> Option<Mono> {
        let now = Mark::of(now);
        if self.units.next_look().is_none_or(|look| look > now) {
            return None;
        }
        let Self { feeds, candidates, units, .. } = self;
        feeds.get_mut(stream)?.readers.candidates(&row.slots, candidates);
        let overdue = |leader: usize| units.of(leader).and_then(|unit| unit.operator.overdue(row, now));
        candidates.iter().filter_map(|candidate| overdue(candidate.reader() as usize)).min().map(Mark::mono)
    }

    /// Does what is due by `now` and must be done before this row.
    pub fn catch_up(&mut self, stream: usize, row: &Row, now: Now, out: &mut Vec<Observation>) {
        self.watch.heard();
        let mut candidates = std::mem::take(&mut self.candidates);
        self.feeds.get_mut(stream).into_iter().for_each(|feed: &mut Feed| {
            feed.readers.candidates(&row.slots, &mut candidates);
        });
        let (from, mark) = (out.len(), Mark::of(now.mono));
        for leader in candidates.iter().map(|candidate| candidate.reader() as usize) {
            let at = self.units.place(leader);
            let Units { list, looks, .. } = &mut self.units;
            let Some(unit) = list.get_mut(at).and_then(Option::as_mut) else { continue };
            if unit.operator.overdue(row, mark).is_none() {
                continue;
            }
            let Unit { rules, operator, ledger, account, .. } = unit;
            let peers = Peers { rules, own: Some(&mut self.accounts), gates: &self.gates };
            let (gate, tables, watch) = (self.gates[leader], &self.tables, &mut self.watch);
            let (proved, order, lines) = (false, Order::Newest, MAX_LINES);
            let ctx = Context::new(&self.plan, leader, &self.config);
            let mut work =
                Work { ctx, gate, proved, watch, order, tables, now, account, peers, ledger, lines, out };
            let refused = work.account.refused;
            operator.catch_up(&mut work, row);
            self.limited |= work.note(refused);
            self.changed = true;
            look(looks, at, unit);
        }
        self.candidates = candidates;
        in_order(out, from);
    }
}
