//! One stream as the engine takes it in: which rules a row can matter to, and what is counted for all of them
//! at once.

use super::Config;
use super::gate::Gate;
use super::index::{Candidate, Index};
use super::recent::Recent;
use super::unit::{Unit, Units};
use super::watch::Awake;
use crate::model::row::Row;
use crate::model::stream::{Field, FieldSource, StreamSpec};
use crate::model::value::Value;
use crate::plan::logical::{Plan, RulePlan};

/// One stream.
#[derive(Debug)]
pub(super) struct Feed {
    /// The leaders of the units that read it.
    pub(super) index: Index,
    /// All of them, where rows are not looked up. Which topics nobody cares for the index says all the same,
    /// so that no answer depends on it.
    pub(super) all: Option<Vec<Candidate>>,
    /// Those that must see a row since it belongs to an active alert.
    pub(super) awake: Awake,
    /// Whether what a topic alone tells decides for good that nobody cares for its rows.
    pub(super) settled: bool,
    /// The newest row of each key, where a rule goes by it.
    pub(super) recent: Option<Recent>,
    /// Rows that came.
    pub(super) rows: u64,
    /// Those of them that are dated too far ahead.
    pub(super) future: u64,
    /// The others that were retained.
    pub(super) retained: u64,
}

impl Feed {
    fn new(stream: &StreamSpec) -> Self {
        Self {
            index: Index::new(stream.fields.iter().map(is_early).collect()),
            all: None,
            awake: Awake::default(),
            settled: true,
            recent: None,
            rows: 0,
            future: 0,
            retained: 0,
        }
    }

    /// Every rule that a row can matter to, each once, in their order.
    pub(super) fn candidates(&mut self, slots: &[Value], out: &mut Vec<Candidate>) {
        if let Some(all) = &self.all {
            out.clone_from(all);
            return;
        }
        self.index.candidates(slots, out);
        let found = out.len();
        self.awake.of(slots, |reader| out.push(Candidate::new(reader, false)));
        if out.len() > found {
            out.sort_unstable();
            out.dedup_by_key(|candidate| candidate.reader());
        }
    }

    /// Whether a row is older than one of its key that came before, which it notes.
    pub(super) fn is_older(&mut self, spec: &StreamSpec, row: &Row) -> bool {
        let key = spec.key.and_then(|slot| row.slots.get(slot)).unwrap_or(&Value::Null);
        self.recent.as_mut().is_some_and(|recent| recent.is_older(key, row.time))
    }
}

/// Whether a field is known before the payload is read.
fn is_early(field: &Field) -> bool {
    matches!(field.from, FieldSource::Capture(_) | FieldSource::Topic | FieldSource::Source)
}

/// The streams of a plan, with the units that read them.
pub(super) fn feeds(plan: &Plan, config: &Config, gates: &[Gate], units: &Units) -> Vec<Feed> {
    let mut feeds: Vec<Feed> = plan.streams.iter().map(|stream| Feed::new(stream)).collect();
    for (rule, gate) in plan.rules.iter().zip(gates) {
        if let Some(feed) = feeds.get_mut(rule.stream()).filter(|_| gate.is_by_stream()) {
            feed.recent.get_or_insert_with(|| Recent::new(config.max_groups));
        }
    }
    for leader in units.all().into_iter().map(Unit::leader) {
        let (Ok(reader), rule) = (u32::try_from(leader), &plan.rules[leader]) else { continue };
        let condition = gates[leader].condition(plan, rule);
        for stream in streams(rule) {
            if let Some(feed) = feeds.get_mut(stream) {
                feed.index.insert(reader, condition.clone());
                if !config.index {
                    feed.all.get_or_insert_default().push(Candidate::new(reader, false));
                }
                let fields = &plan.streams[stream].fields;
                let early = |slot: u32| fields.get(slot as usize).is_some_and(is_early);
                feed.settled &= gates[leader].is_settled_by(rule, early);
            }
        }
    }
    feeds
}

/// The streams that a rule reads, each once, on however many sides it does.
pub(super) fn streams(rule: &RulePlan) -> impl Iterator<Item = usize> {
    let all = || rule.streams().map(|(_, stream)| stream);
    all()
        .enumerate()
        .filter(move |(at, stream)| !all().take(*at).any(|before| before == *stream))
        .map(|(_, s)| s)
}
