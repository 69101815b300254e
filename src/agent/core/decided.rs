//! What rules with a memory told since the last snapshot. After a crash their windows are open again as that snapshot
//! has them, and close once more, with a part of their readings perhaps; and `lag` and its like remember what they did
//! then. What was told stands: such a window decides nothing, and the functions of a rule that told go on from where
//! they were.

use std::collections::{BTreeSet, HashMap};

use prost::Message as _;

use crate::engine::Engine;
use crate::model::fold::{BuildFold, fold};
use crate::model::key::label_hash;
use crate::model::row::Observation;
use crate::model::time::Timestamp;
use crate::plan::logical::RulePlan;

/// What was told, of one rule set.
#[derive(Debug, Default)]
pub(super) struct Decided {
    /// The newest time for which a process before this one told, by rule and key, while windows may come again that end
    /// by then.
    before: HashMap<(u64, u64), Timestamp, BuildFold>,
    /// The same of this process, since somebody asked.
    told: HashMap<(u64, u64), Timestamp, BuildFold>,
    /// The rules that told whose analytic functions remember rows, by their places.
    remember: BTreeSet<usize>,
}

/// As it is kept.
#[derive(Clone, PartialEq, prost::Message)]
struct Kept {
    #[prost(message, repeated, tag = "1")]
    told: Vec<Told>,
    /// As [`Engine::take_functions`] writes it.
    #[prost(bytes = "vec", tag = "2")]
    functions: Vec<u8>,
}

#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
struct Told {
    #[prost(fixed64, tag = "1")]
    rule: u64,
    #[prost(fixed64, tag = "2")]
    key: u64,
    #[prost(sint64, tag = "3")]
    at: i64,
}

impl Decided {
    /// Whether a process before this one decided what an observation says.
    #[inline]
    pub(super) fn stands(&mut self, rule: &RulePlan, seen: &Observation) -> bool {
        if self.before.is_empty() || rule.window.is_none() {
            return false;
        }
        let name = name(rule, seen);
        let stands = self.before.get(&name).is_some_and(|told| seen.at <= *told);
        if !stands {
            // Its windows close in order.
            self.before.remove(&name);
        }
        stands
    }

    /// Something was told of an observation.
    pub(super) fn note(&mut self, rule: &RulePlan, seen: &Observation) {
        if rule.window.is_some() {
            let told = self.told.entry(name(rule, seen)).or_insert(seen.at);
            *told = seen.at.max(*told);
        } else if !rule.analytics.is_empty() {
            self.remember.insert(seen.rule);
        }
    }

    /// What was told since this was last asked, as bytes; empty where nothing was.
    pub(super) fn take(&mut self, engine: &mut Engine) -> Vec<u8> {
        let remember = std::mem::take(&mut self.remember);
        let functions =
            if remember.is_empty() { Vec::new() } else { engine.take_functions(remember.into_iter()) };
        let bytes = Kept { told: listed(&self.told), functions }.encode_to_vec();
        self.told.clear();
        bytes
    }

    /// What must be known beside the windows of a snapshot of this moment.
    pub(super) fn snapshot(&self) -> Vec<u8> {
        Kept { told: listed(&self.before), functions: Vec::new() }.encode_to_vec()
    }

    /// Takes over what [`Self::take`] or [`Self::snapshot`] gave.
    ///
    /// # Errors
    /// Where the bytes are none of those; a sentence for the log.
    pub(super) fn restore(&mut self, bytes: &[u8], engine: &mut Engine) -> Result<(), String> {
        let kept = Kept::decode(bytes).map_err(|e| format!("read what was told: {e}"))?;
        for told in kept.told {
            let at = Timestamp::from_micros(told.at);
            let known = self.before.entry((told.rule, told.key)).or_insert(at);
            *known = at.max(*known);
        }
        if kept.functions.is_empty() {
            return Ok(());
        }
        engine.restore_functions(&kept.functions).map_err(|e| e.to_string())
    }
}

fn name(rule: &RulePlan, seen: &Observation) -> (u64, u64) {
    // A rule whose query is another one has windows of its own.
    (fold(rule.alert.rule.as_bytes()) ^ rule.state, label_hash(&seen.key))
}

fn listed(told: &HashMap<(u64, u64), Timestamp, BuildFold>) -> Vec<Told> {
    told.iter().map(|((rule, key), at)| Told { rule: *rule, key: *key, at: at.micros() }).collect()
}
