//! What was told, for the process after this one. After a crash windows are open again as the last snapshot has them, and
//! close once more, with a part of their readings perhaps; `lag` and its like remember what they did then; and of a key
//! without an alert nobody knows how new its newest reading was, which counts where a broker that was killed goes back in
//! time. What was told stands: what is not newer decides nothing, and the functions of a rule that told go on from where
//! they were.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use prost::Message as _;

use crate::alert::Whose;
use crate::engine::Engine;
use crate::model::alerting::RuleKind;
use crate::model::fold::{BuildFold, fold};
use crate::model::key::label_hash;
use crate::model::row::Observation;
use crate::model::time::{Now, Timestamp};
use crate::model::transition::{State, Transition};
use crate::model::value::Value;
use crate::plan::logical::{Plan, RulePlan};

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

/// A time so much ahead of the node's clock was told by another clock.
const SKEW: Duration = Duration::from_secs(60);

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
    pub(super) fn stands(&mut self, plan: &Plan, seen: &Observation, now: Now) -> bool {
        if self.before.is_empty() {
            return false;
        }
        self.is_known(plan, seen, now)
    }

    fn is_known(&mut self, plan: &Plan, seen: &Observation, now: Now) -> bool {
        let Some(past) = Past::of(plan, seen.rule) else { return false };
        let name = past.name(&seen.key);
        let Some(told) = self.before.get(&name) else { return false };
        // The node's clock may have been wrong then.
        let wrong = past.by_node && *told > now.wall.plus(SKEW);
        // A window ends once. Readings may have one time.
        let stands = !wrong && (seen.at < *told || (past.windowed && seen.at == *told));
        if !stands {
            self.before.remove(&name);
        }
        stands
    }

    /// Something was told of an alert.
    pub(super) fn note(&mut self, plan: &Plan, whose: &Whose, told: &Transition) {
        let Some(rule) = plan.rules.get(whose.rule) else { return };
        if rule.window.is_none() && !rule.analytics.is_empty() {
            self.remember.insert(whose.rule);
        }
        let Some(past) = Past::of(plan, whose.rule) else { return };
        let name = past.name(&whose.key);
        if past.windowed {
            later(&mut self.told, name, told.occurred_at);
        } else if matches!(told.state, State::Resolved(_)) {
            // What is up is known by its state. The clock may have ended it, and a reading from before that be new.
            later(&mut self.told, name, whose.newest);
            later(&mut self.ended, name, whose.newest);
            newest(&mut self.ended, ENDED);
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
        newest(&mut self.before, 10 * ENDED);
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

/// A rule whose past counts.
struct Past<'p> {
    rule: &'p RulePlan,
    windowed: bool,
    /// Whether its times are the node's.
    by_node: bool,
}

impl<'p> Past<'p> {
    /// That of the rule at a place. None where everything happens by itself, whenever it is dated; nor where readings have no
    /// time of their own, since those that come again are new then.
    fn of(plan: &'p Plan, place: usize) -> Option<Self> {
        let rule = plan.rules.get(place)?;
        let windowed = rule.window.is_some();
        let by_node = rule.streams().any(|(_, stream)| plan.streams[stream].timestamp.is_none());
        let occurs = matches!(rule.alert.kind, RuleKind::Occurrence { .. });
        (windowed || !(occurs || by_node)).then_some(Self { rule, windowed, by_node })
    }

    fn name(&self, key: &[Value]) -> (u64, u64) {
        // A rule whose query is another one has windows of its own.
        (fold(self.rule.alert.rule.as_bytes()) ^ self.rule.state, label_hash(key))
    }
}

fn later(times: &mut Times, name: (u64, u64), at: Timestamp) {
    let known = times.entry(name).or_insert(at);
    *known = at.max(*known);
}

/// Forgets the oldest, so that so many stay; they may become twice as many before.
fn newest(times: &mut Times, most: usize) {
    if times.len() > 2 * most {
        let mut all: Vec<Timestamp> = times.values().copied().collect();
        let (_, oldest, _) = all.select_nth_unstable(times.len() - most);
        times.retain(|_, at| *at >= *oldest);
    }
}
