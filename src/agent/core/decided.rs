//! What was told, for the process after this one. After a crash windows are open again as the last snapshot has them, and
//! close once more, with a part of their readings perhaps; `lag` and its like remember what they did then; and of a key
//! without an alert nobody knows how new its newest reading was, which counts where a broker that was killed goes back in
//! time. What was told stands: what is not newer decides nothing, and the functions of a rule that told go on from where
//! they were.

use std::collections::{BTreeSet, HashMap};

use prost::Message as _;

use crate::engine::Engine;
use crate::model::alerting::RuleKind;
use crate::model::fold::{BuildFold, fold};
use crate::model::key::label_hash;
use crate::model::row::Observation;
use crate::model::time::Timestamp;
use crate::model::transition::State;
use crate::model::value::Value;
use crate::plan::logical::RulePlan;

/// What was told, of one rule set.
#[derive(Debug, Default)]
pub(super) struct Decided {
    /// The newest time for which a process before this one told, by rule and key, until something newer comes.
    before: Times,
    /// The same of this process, of alerts that ended lately.
    ended: Times,
    /// The same of this process, since somebody asked.
    told: Times,
    /// The rules that told whose analytic functions remember rows, by their places.
    remember: BTreeSet<usize>,
}

/// Of how many alerts that ended it is known at least that they did.
const ENDED: usize = 1_000;

type Times = HashMap<(u64, u64), Timestamp, BuildFold>;

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
        if self.before.is_empty() || is_forgotten(rule) {
            return false;
        }
        let name = name(rule, &seen.key);
        let Some(told) = self.before.get(&name) else { return false };
        // A window ends once. Readings may have one time.
        let stands = seen.at < *told || (rule.window.is_some() && seen.at == *told);
        if !stands {
            self.before.remove(&name);
        }
        stands
    }

    /// Something was told at a time, of the rule at a place.
    pub(super) fn note(
        &mut self,
        (place, rule): (usize, &RulePlan),
        key: &[Value],
        at: Timestamp,
        state: State,
    ) {
        if rule.window.is_none() && !rule.analytics.is_empty() {
            self.remember.insert(place);
        }
        // What is up is known by its state.
        if is_forgotten(rule) || (rule.window.is_none() && matches!(state, State::Firing | State::Up(_))) {
            return;
        }
        let name = name(rule, key);
        later(&mut self.told, name, at);
        if rule.window.is_none() {
            later(&mut self.ended, name, at);
        }
        if self.ended.len() > 2 * ENDED {
            let mut times: Vec<Timestamp> = self.ended.values().copied().collect();
            let (_, oldest, _) = times.select_nth_unstable(ENDED);
            self.ended.retain(|_, at| *at > *oldest);
        }
    }

    /// What was told since this was last asked, as bytes; empty where nothing was.
    pub(super) fn take(&mut self, engine: &mut Engine) -> Vec<u8> {
        let remember = std::mem::take(&mut self.remember);
        let functions =
            if remember.is_empty() { Vec::new() } else { engine.take_functions(remember.into_iter()) };
        let told = self.told.drain().map(Told::from).collect();
        Kept { told, functions }.encode_to_vec()
    }

    /// What must be known beside the windows of a snapshot of this moment.
    pub(super) fn snapshot(&self) -> Vec<u8> {
        let told = self.before.iter().chain(&self.ended).map(|(name, at)| Told::from((*name, *at)));
        Kept { told: told.collect(), functions: Vec::new() }.encode_to_vec()
    }

    /// Takes over what [`Self::take`] or [`Self::snapshot`] gave.
    ///
    /// # Errors
    /// Where the bytes are none of those; a sentence for the log.
    pub(super) fn restore(&mut self, bytes: &[u8], engine: &mut Engine) -> Result<(), String> {
        let kept = Kept::decode(bytes).map_err(|e| format!("read what was told: {e}"))?;
        for told in kept.told {
            later(&mut self.before, (told.rule, told.key), Timestamp::from_micros(told.at));
        }
        if kept.functions.is_empty() {
            return Ok(());
        }
        engine.restore_functions(&kept.functions).map_err(|e| e.to_string())
    }
}

impl From<((u64, u64), Timestamp)> for Told {
    fn from(((rule, key), at): ((u64, u64), Timestamp)) -> Self {
        Self { rule, key, at: at.micros() }
    }
}

/// Whether nothing is known of a rule's past: what happens by itself happens whenever it is dated.
fn is_forgotten(rule: &RulePlan) -> bool {
    rule.window.is_none() && matches!(rule.alert.kind, RuleKind::Occurrence { .. })
}

fn name(rule: &RulePlan, key: &[Value]) -> (u64, u64) {
    // A rule whose query is another one has windows of its own.
    (fold(rule.alert.rule.as_bytes()) ^ rule.state, label_hash(key))
}

fn later(times: &mut Times, name: (u64, u64), at: Timestamp) {
    let known = times.entry(name).or_insert(at);
    *known = at.max(*known);
}
