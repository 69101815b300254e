//! One stream as the engine takes it in: which rules a row can matter to, and what is counted for all of them
//! at once.

use super::Config;
use super::gate::{Gate, Gates};
use super::presence::{Presence, enlist};
use super::readers::Readers;
use super::recent::Recent;
use super::recorder::Recorder;
use super::unit::Units;
use crate::model::row::Row;
use crate::model::stream::{Field, FieldSource, StreamSpec};
use crate::model::value::Value;
use crate::plan::logical::{Plan, RulePlan};

/// One stream.
#[derive(Debug)]
pub(super) struct Feed {
    /// The rules that run by themselves, and the leaders of the units that read it.
    pub(super) readers: Readers,
    /// How many of them keep it from being decided for good, by what a topic alone tells, that nobody cares
    /// for its rows.
    pub(super) unsettled: usize,
    /// The newest row of each key, where a rule goes by it.
    pub(super) recent: Option<Recent>,
    /// How many rules do.
    pub(super) followers: usize,
    /// The last readings, where alerts are told with them.
    pub(super) recorder: Option<Recorder>,
    /// How many rules do so.
    pub(super) witnesses: usize,
    /// The keys whose silence a rule goes by.
    pub(super) presence: Option<Box<Presence>>,
    /// Rows that came.
    pub(super) rows: u64,
    /// Those of them that are dated too far ahead.
    pub(super) future: u64,
    /// The others that were retained.
    pub(super) retained: u64,
}

impl Feed {
    /// One that nobody reads yet.
    pub(super) fn new(stream: &StreamSpec, config: &Config) -> Self {
        let listens = stream.silence.is_some();
        Self {
            presence: listens.then(|| Box::new(Presence::new(stream, config))),
            readers: Readers::new(stream.fields.iter().map(is_early).collect()),
            unsettled: 0,
            recent: None,
            followers: 0,
            recorder: None,
            witnesses: 0,
            rows: 0,
            future: 0,
            retained: 0,
        }
    }

    /// Its rows have the slots of this stream, which has further ones behind those that it had.
    pub(super) fn reads(&mut self, stream: &StreamSpec) {
        if self.readers.index.slots() != stream.fields.len() {
            self.readers.index.reads(stream.fields.iter().map(is_early).collect());
        }
    }

    /// Remembers the newest row of so many keys, if any rule goes by it; gives what nobody goes by any more.
    pub(super) fn remember(&mut self, most: usize) -> Option<Recent> {
        if self.followers == 0 {
            return self.recent.take();
        }
        self.recent.get_or_insert_with(|| Recent::new(most));
        None
    }

    /// Whether a row is older than one of its key that came before, which it notes.
    pub(super) fn is_older(&mut self, spec: &StreamSpec, row: &Row) -> bool {
        let Some(recent) = &mut self.recent else { return false };
        let key = spec.key.and_then(|slot| row.slots.get(slot)).unwrap_or(&Value::Null);
        recent.is_older(key, row.time)
    }
}

/// Whether a field is known before the payload is read.
pub(super) fn is_early(field: &Field) -> bool {
    matches!(field.from, FieldSource::Capture(_) | FieldSource::Topic | FieldSource::Source)
}

/// The streams of a plan, with the rules that rows come to.
pub(super) fn feeds(plan: &Plan, config: &Config, gates: &Gates, units: &Units) -> Vec<Feed> {
    let mut feeds: Vec<Feed> = plan.streams.iter().map(|stream| Feed::new(stream, config)).collect();
    for (at, rule) in plan.rules.iter().enumerate() {
        if let Some(feed) = feeds.get_mut(rule.stream()).filter(|_| gates[at].is_by_stream()) {
            feed.followers += 1;
        }
        if let Some(feed) = feeds.get_mut(rule.stream()).filter(|_| gates[at].is_witness()) {
            feed.witnesses += 1;
        }
    }
    for at in 0..plan.rules.len() {
        enlist(&mut feeds, plan, config, (at, gates[at]));
    }
    for feed in &mut feeds {
        feed.expect();
        feed.remember(config.max_groups);
        feed.record(config.evidence);
    }
    for leader in (0..plan.rules.len()).filter(|rule| units.leads(*rule)) {
        list(&mut feeds, plan, config, (leader, gates[leader]));
    }
    feeds.iter_mut().for_each(|feed| feed.readers.index.shrink());
    feeds
}

/// Notes that a rule leads a unit that reads streams.
pub(super) fn list(feeds: &mut [Feed], plan: &Plan, config: &Config, (leader, gate): (usize, Gate)) {
    let (Ok(reader), rule) = (u32::try_from(leader), &plan.rules[leader]) else { return };
    let mut condition = Some(gate.condition(plan, rule));
    let mut streams = streams(rule).peekable();
    while let Some(stream) = streams.next() {
        let last = streams.peek().is_none();
        let own = if last { condition.take() } else { condition.clone() };
        if let (Some(feed), Some(own)) = (feeds.get_mut(stream), own) {
            feed.readers.insert(reader, own, config);
            feed.unsettled += usize::from(!gate.is_settled());
        }
    }
}

/// Takes back what [`list`] noted, of the same plan.
pub(super) fn unlist(feeds: &mut [Feed], plan: &Plan, (leader, gate): (usize, Gate)) {
    let (Ok(reader), rule) = (u32::try_from(leader), &plan.rules[leader]) else { return };
    let condition = gate.condition(plan, rule);
    for stream in streams(rule) {
        if let Some(feed) = feeds.get_mut(stream) {
            feed.readers.remove(reader, &condition);
            feed.unsettled -= usize::from(!gate.is_settled());
        }
    }
}

/// The streams that a rule reads, each once, on however many sides it does.
pub(super) fn streams(rule: &RulePlan) -> impl Iterator<Item = usize> {
    let all = || rule.streams().map(|(_, stream)| stream);
    all()
        .enumerate()
        .filter(move |(at, stream)| !all().take(*at).any(|before| before == *stream))
        .map(|(_, s)| s)
}
