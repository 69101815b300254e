//! Messages and time in, rows of the query out: decode and engine, without alerts.

use std::sync::Arc;

use crate::agent::core::IdleClock;
use crate::cli::table::count;
use crate::decode::{Decoder, Fate};
use crate::engine::{Config, Engine};
use crate::model::message::{Message, NODE_SOURCE};
use crate::model::row::{Observation, Rows};
use crate::model::stream::StreamSpec;
use crate::model::time::{Mono, Now, Timestamp};
use crate::plan::logical::Plan;

/// One query that runs.
pub(super) struct Pipeline {
    decoder: Decoder,
    engine: Engine,
    idle: IdleClock,
    /// Of a recording: the greatest time so far.
    recorded: Timestamp,
    messages: u64,
    unmatched: u64,
    /// A topic that no stream reads, as an example.
    stray: Option<Arc<str>>,
    rows: Rows,
}

impl Pipeline {
    pub(super) fn new(plan: Arc<Plan>) -> Self {
        Self {
            decoder: Decoder::new(plan.streams.clone()),
            engine: Engine::new(plan, Config::default()),
            idle: IdleClock::default(),
            recorded: Timestamp::MIN,
            messages: 0,
            unmatched: 0,
            stray: None,
            rows: Rows::new(),
        }
    }

    /// The streams that it reads.
    pub(super) fn streams(&self) -> impl Iterator<Item = &Arc<StreamSpec>> {
        self.decoder.stats().map(|(stream, _)| stream)
    }

    /// Lets `rand` and `newuuid` give what they have not given before. Without it a query over a
    /// recording gives the same each time.
    pub(super) fn seed(&mut self) {
        self.engine.seed(fastrand::u64(..));
    }

    /// Takes a message as it comes.
    pub(super) fn live(&mut self, message: &Message, now: Now, out: &mut Vec<Observation>) {
        self.tick(now, out);
        self.decode(message);
        let idle = Now { mono: self.idle.of(now.mono), ..now };
        for (stream, row) in self.rows.iter() {
            self.engine.push(stream, row, idle, out);
        }
    }

    /// Closes what the clock closes.
    pub(super) fn tick(&mut self, now: Now, out: &mut Vec<Observation>) {
        self.engine.advance(Now { mono: self.idle.of(now.mono), ..now }, out);
    }

    /// Whether every broker is connected; while one is not, silence means nothing.
    pub(super) fn connected(&mut self, connected: bool, mono: Mono) {
        self.idle.set(connected, mono);
    }

    /// When [`Self::tick`] may have something to do.
    pub(super) fn deadline(&self) -> Option<Mono> {
        self.engine.next_deadline().and_then(|due| self.idle.when(due))
    }

    /// Takes a message of a recording, whose times stand in the place of both clocks.
    pub(super) fn replayed(&mut self, message: &Message, out: &mut Vec<Observation>) {
        self.decode(message);
        let newest = self.rows.iter().fold(self.recorded, |newest, (_, row)| newest.max(row.time));
        if newest > self.recorded {
            self.recorded = newest;
            // What is due at the very instant of the message is due after it.
            self.run_out(Timestamp::from_micros(newest.micros().saturating_sub(1)), out);
        }
        for (stream, row) in self.rows.iter() {
            self.engine.push(stream, row, at(self.recorded), out);
        }
    }

    /// The recording is over: what silence closes is closed.
    pub(super) fn close(&mut self, out: &mut Vec<Observation>) {
        self.run_out(Timestamp::from_micros(i64::MAX), out);
    }

    /// Closes what is due by then, each at its own time.
    fn run_out(&mut self, until: Timestamp, out: &mut Vec<Observation>) {
        while let Some(due) = self.engine.next_deadline().filter(|due| *due <= at(until).mono) {
            let wall = Timestamp::from_micros(i64::try_from(due.micros()).unwrap_or(i64::MAX));
            self.engine.advance(Now { wall, mono: due }, out);
            // A deadline that stays has nothing to do.
            if self.engine.next_deadline() == Some(due) {
                return;
            }
        }
    }

    fn decode(&mut self, message: &Message) {
        self.rows.clear();
        let own = &*message.source == NODE_SOURCE;
        if self.decoder.decode(message, &mut self.rows) != Fate::Unmatched {
            self.messages += 1;
        } else if !own {
            self.unmatched += 1;
            self.stray.get_or_insert_with(|| (&*message.topic).into());
        }
    }

    /// What was taken in and what came of it, a line each.
    pub(super) fn counts(&self, given: u64) -> Vec<String> {
        let account = self.engine.accounts().first().copied().unwrap_or_default();
        let rejected: u64 = self.decoder.stats().flat_map(|(_, stats)| stats.rejects()).map(|(_, n)| n).sum();
        let [messages, read, given] = [(self.messages, "message"), (account.rows, "row"), (given, "row")]
            .map(|(n, what)| count(n, what));
        let mut line = format!("{messages}, {read} in, {given} out");
        let unused = [
            ("rejected", rejected),
            ("late", account.late),
            ("too far in the future", account.future),
            ("retained and not used", account.retained),
            ("refused at a limit", account.refused),
            ("undefined results", account.undefined),
            ("messages of other topics", self.unmatched),
        ];
        for (what, count) in unused.into_iter().filter(|(_, count)| *count > 0) {
            line.push_str(&format!("; {count} {what}"));
        }
        if account.groups > 0 {
            line.push_str(&format!("; {} still open", count(account.groups as u64, "group")));
        }
        let mut lines = vec![line];
        for (stream, stats) in self.decoder.stats() {
            for (reason, count) in stats.rejects().filter(|(_, count)| *count > 0) {
                let example = stats.samples().filter(|sample| sample.reason == reason).last();
                let detail = example.map(|sample| sample.detail.clone()).unwrap_or_default();
                lines.push(format!("stream {}: {count} {reason}, such as: {detail}", stream.name));
            }
        }
        if let Some(stray) = self.stray.as_ref().filter(|_| self.messages == 0) {
            let read: Vec<String> =
                self.decoder.stats().map(|(stream, _)| stream.pattern.to_string()).collect();
            lines.push(format!(
                "the topics of the messages are others, such as {stray}; what is read is {}",
                read.join(", ")
            ));
        }
        lines
    }
}

/// Recorded time in the place of both clocks.
fn at(time: Timestamp) -> Now {
    Now { wall: time, mono: Mono::from_micros(u64::try_from(time.micros()).unwrap_or(0)) }
}
