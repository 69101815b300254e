//! What only some alerts have: the conditions of their levels, observations that are counted, and what is
//! remembered of how they went so far.

use std::time::Duration;

use crate::model::absence::OnSilence;
use crate::model::alerting::AlertShape;
use crate::model::row::Observation;
use crate::model::schedule::Flapping;
use crate::model::time::Timestamp;

use super::lane::{Lane, Phase, together};

/// What an alert has beside its phase.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Course {
    /// The conditions of its levels, or the one of an alert that counts or flaps; empty where the phase of the
    /// alert is that of its condition.
    pub(super) lanes: Vec<Lane>,
    /// The level at which it was told last; while it flaps, the highest of that time.
    pub(super) level: u8,
    /// When it was told to be up, or to be of another level: the newest times, oldest first.
    pub(super) fired: Vec<Timestamp>,
    /// It flaps: since when it came and went no more.
    pub(super) flapping: Option<Timestamp>,
    /// A person ended it: nothing raises it until it clears.
    pub(super) held: bool,
    /// Since when its key gives no data, or since when it does so unheard.
    pub(super) silent: Option<Timestamp>,
}

/// Whether a rule needs conditions beside the phase of its alerts.
pub(super) fn needs_lanes(rule: &AlertShape) -> bool {
    !rule.life.levels.is_empty() || rule.life.times > 1
}

impl Course {
    /// Whether an observation can be applied as if there were none of this.
    pub(super) const fn is_plain(&self) -> bool {
        self.lanes.is_empty() && !self.held && self.silent.is_none()
    }

    /// Whether nothing is remembered of an alert that is quiet.
    pub(super) fn is_blank(&self) -> bool {
        self.fired.is_empty() && !self.waits()
    }

    /// Whether an alert that is quiet waits for an observation that does not raise it.
    pub(super) const fn waits(&self) -> bool {
        self.held || self.silent.is_some()
    }

    pub(super) const fn is_flapping(&self) -> bool {
        self.flapping.is_some()
    }

    /// Makes the conditions of an alert that stands in this phase, where there are none.
    pub(super) fn open(&mut self, rule: &AlertShape, phase: Phase) {
        if self.lanes.is_empty() {
            let up_to = if phase.is_up() { usize::from(self.level) } else { 0 };
            let lane = |at| Lane::at(if at <= up_to { phase } else { Phase::Quiet });
            self.lanes = (0..rule.life.levels.len().max(1)).map(lane).collect();
        }
    }

    /// Takes an observation; says whether a condition changed its phase, or its count: what was counted is kept as
    /// much as what came of it.
    pub(super) fn apply(&mut self, rule: &AlertShape, seen: &Observation) -> bool {
        let (mut moved, mut counted) = (false, false);
        for (at, lane) in self.lanes.iter_mut().enumerate() {
            let before = *lane;
            let (raise, clear) = match rule.life.levels.is_empty() {
                true => (seen.raise, seen.clear),
                false => seen.levels.get(at),
            };
            lane.apply(rule, raise, clear, seen.at);
            moved |= lane.phase != before.phase;
            counted |= lane.run != before.run;
        }
        self.moved(moved, seen.at) || counted
    }

    /// Ends the phases whose time has come; says whether there was one.
    pub(super) fn expire_lanes(&mut self, rule: &AlertShape, at: Timestamp) -> bool {
        let mut moved = false;
        for lane in &mut self.lanes {
            if lane.due(rule).is_some_and(|due| due <= at) {
                lane.expire();
                moved = true;
            }
        }
        self.moved(moved, at)
    }

    /// The key gives no data, which raises the lowest level, or ends the alert. Says whether that changed anything.
    pub(super) fn silent(&mut self, fires: bool, at: Timestamp) -> bool {
        let before = self.lanes.clone();
        if fires {
            self.lanes.iter_mut().take(1).for_each(|lane| lane.silent(at));
        } else {
            self.lanes.fill(Lane::at(Phase::Quiet));
        }
        let moved = self.lanes != before;
        self.moved(moved, at)
    }

    fn moved(&mut self, moved: bool, at: Timestamp) -> bool {
        if moved && let Some(changed) = &mut self.flapping {
            *changed = at;
        }
        moved
    }

    /// Notes that the alert was told to be up; says whether it was so often that it flaps.
    pub(super) fn fired(&mut self, flapping: Flapping, at: Timestamp) -> bool {
        self.fired.push(at);
        self.fired.retain(|then| then.plus(flapping.within) >= at);
        self.fired.len() >= usize::from(flapping.changes)
    }

    /// How often it was told to be up, and in which span.
    pub(super) fn rate(&self) -> (usize, Duration) {
        let span = self.fired.first().zip(self.fired.last()).map(|(first, last)| last.since(*first));
        (self.fired.len(), span.unwrap_or_default())
    }

    pub(super) const fn begin_flapping(&mut self, at: Timestamp) {
        self.flapping = Some(at);
    }

    /// When it flaps no more, if it stays as it is.
    pub(super) fn end_of_flapping(&self, rule: &AlertShape) -> Option<Timestamp> {
        Some(self.flapping?.plus(within(rule)))
    }

    /// It flaps no more.
    pub(super) fn end_flapping(&mut self, rule: &AlertShape) {
        self.flapping = None;
        self.fired.clear();
        if !together(&self.lanes).0.is_up() {
            self.silent = None;
        }
        if !needs_lanes(rule) {
            self.lanes.clear();
        }
    }

    /// The alert ended, whatever its conditions say.
    pub(super) fn end(&mut self) {
        self.lanes.clear();
        self.flapping = None;
    }

    /// Forgets how often it was told.
    pub(super) fn forget(&mut self) {
        self.fired.clear();
    }

    /// When something of this happens by itself, to an alert in this phase.
    pub(super) fn due(&self, rule: &AlertShape, phase: Phase) -> Option<Timestamp> {
        let lanes = self.lanes.iter().filter_map(|lane| lane.due(rule));
        let quiet = phase == Phase::Quiet;
        let forget = self.fired.last().filter(|_| quiet).map(|last| last.plus(within(rule)));
        let wake = quiet.then(|| self.wakes_at(rule)).flatten();
        lanes.chain(self.end_of_flapping(rule)).chain(forget).chain(wake).min()
    }

    /// Whether a silence that nobody heard of is told by then.
    pub(super) fn wakes(&self, rule: &AlertShape, by: Timestamp) -> bool {
        self.wakes_at(rule).is_some_and(|at| at <= by)
    }

    fn wakes_at(&self, rule: &AlertShape) -> Option<Timestamp> {
        let since = self.silent.filter(|_| !self.held && fires(rule))?;
        rule.life.active.as_ref()?.next(since)
    }

    /// The rule's time is over: a silence goes on unheard.
    pub(super) fn sleep(&mut self, rule: &AlertShape, at: Timestamp) {
        self.end();
        self.silent = self.silent.filter(|_| fires(rule)).map(|_| at);
    }

    /// Goes on under another text of its rule.
    pub(super) fn adapt(&mut self, was: &AlertShape, rule: &AlertShape) {
        let levels = rule.life.levels.len().max(1);
        if was.life.levels != rule.life.levels {
            let severity = was.severity_at(self.level);
            let named = rule.life.levels.iter().position(|level| level == severity);
            self.level = named.and_then(|at| u8::try_from(at).ok()).unwrap_or(0);
        }
        if self.is_flapping() {
            self.lanes.resize(levels, Lane::at(Phase::Quiet));
        } else {
            if was.life.levels != rule.life.levels || !needs_lanes(rule) {
                self.lanes.clear();
            }
            if rule.life.flapping.is_none() {
                self.fired.clear();
            }
        }
    }
}

fn within(rule: &AlertShape) -> Duration {
    rule.life.flapping.unwrap_or_default().within
}

fn fires(rule: &AlertShape) -> bool {
    rule.no_data.is_some_and(|no_data| no_data.action == OnSilence::Fire)
}
