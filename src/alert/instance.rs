//! One alert: its condition, or those of its levels, and what is told of them.
//!
//! Most alerts are one [`Lane`] whose phase stands here. What only some have is a box beside: see
//! [`Course`].

use std::time::Duration;

use crate::model::alerting::{AlertShape, AlertSpec, Cadence, RuleKind};
use crate::model::key::Key;
use crate::model::row::{Observation, Order};
use crate::model::time::{Mono, Timestamp};
use crate::model::transition::{Reason, State};
use crate::model::value::Value;

use super::course::{self, Course};
use super::lane::Lane;
pub(super) use super::lane::Phase;

/// A change that upstream must hear of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) state: State,
    pub(super) at: Timestamp,
    pub(super) since: Timestamp,
    /// The level that the alert had then.
    pub(super) level: u8,
}

/// One key of one rule. What finds it and what most observations write lie in one cache line each.
#[derive(Clone, Debug)]
#[repr(C, align(64))]
pub(super) struct Instance {
    /// The number of its [`Id`](super::instances::Id).
    pub(super) number: u64,
    rule: u32,
    /// Whether it is kept while it is quiet: nobody else knows of its newest observation.
    pub(super) kept: bool,
    /// Whether it stands in the book's queue of quiet keys.
    pub(super) queued: bool,
    /// Whether more than its newest observation changed since it was last settled.
    pub(super) changed: bool,
    pub(super) key: Key,
    /// As upstream knows it.
    pub(super) phase: Phase,
    /// Stream time of the newest observation.
    pub(super) last_at: Timestamp,
    /// The monotonic clock when that observation was applied.
    pub(super) anchor: Mono,
    /// How far stream time had come beyond that observation at the anchor, µs: more than nothing
    /// only after a restart.
    carried: u64,
    /// The stream time at which something happens by itself, as [`Self::set_due`] found it; [`Self::NEVER`].
    due: Timestamp,
    /// Its output row; empty while quiet, and where nobody will ask for it.
    pub(super) values: Box<[Value]>,
    /// When the book looks at it by the monotonic clock: never later than its [deadline](Self::deadline),
    /// but perhaps earlier, so that an observation which moves the deadline a little on costs nothing.
    /// [`Self::UNWATCHED`] where it does not.
    pub(super) look: Mono,
    /// What most do not have.
    pub(super) course: Option<Box<Course>>,
}

const _: () = assert!(size_of::<Instance>() == 128, "two cache lines");

impl Instance {
    const NEVER: Timestamp = Timestamp::from_micros(i64::MAX);
    pub(super) const UNWATCHED: Mono = Mono::from_micros(u64::MAX);

    pub(super) fn quiet(rule: usize, key: Key) -> Self {
        Self {
            number: 0,
            rule: narrow(rule),
            key,
            phase: Phase::Quiet,
            last_at: Timestamp::MIN,
            anchor: Mono::default(),
            carried: 0,
            due: Self::NEVER,
            values: Box::default(),
            look: Self::UNWATCHED,
            kept: false,
            queued: false,
            changed: false,
            course: None,
        }
    }

    /// Its rule, by its place.
    pub(super) const fn rule(&self) -> usize {
        self.rule as usize
    }

    /// Goes over to another place.
    pub(super) fn move_to(&mut self, rule: usize) {
        self.rule = narrow(rule);
    }

    /// Goes on where it stood, so long after its newest observation.
    pub(super) fn resume(&mut self, carried: Duration, mono: Mono) {
        self.carried = u64::try_from(carried.as_micros()).unwrap_or(u64::MAX);
        self.anchor = mono;
    }

    fn carried(&self) -> Duration {
        Duration::from_micros(self.carried)
    }

    /// Stream time of the key: the newest observation's, carried on by the monotonic clock.
    pub(super) fn stream_time(&self, mono: Mono) -> Timestamp {
        self.last_at.plus(self.carried() + mono.since(self.anchor))
    }

    /// Since when the condition of a pending or firing alert holds.
    pub(super) fn since(&self) -> Timestamp {
        self.phase.since().unwrap_or(self.last_at)
    }

    /// What it is called.
    pub(super) fn name(&self) -> &'static str {
        match &self.course {
            Some(course) if course.is_flapping() => "flapping",
            _ => self.phase.name(),
        }
    }

    /// Whether it stands where another one stands, whatever was seen of it since.
    pub(super) fn stands_as(&self, other: &Self) -> bool {
        let of = |course: &Option<Box<Course>>| {
            course.as_ref().map(|course| (course.held, course.level, course.is_flapping()))
        };
        let plain = Some((false, 0, false));
        self.phase == other.phase && of(&self.course).or(plain) == of(&other.course).or(plain)
    }

    /// What it is told as, while it is up.
    pub(super) fn told_as(&self) -> State {
        match &self.course {
            Some(course) if course.is_flapping() => State::Up(Reason::Flapping),
            Some(course) if course.silent.is_some() => State::Up(Reason::NoData),
            _ => State::Firing,
        }
    }

    /// The level at which it is told.
    pub(super) fn level(&self) -> u8 {
        self.course.as_ref().map_or(0, |course| course.level)
    }

    /// Whether an observation that does not raise it matters.
    pub(super) fn is_watched(&self) -> bool {
        self.phase != Phase::Quiet || self.course.as_ref().is_some_and(|course| course.waits())
    }

    /// Whether there is nothing to remember of it but its newest observation.
    pub(super) fn is_blank(&self) -> bool {
        self.phase == Phase::Quiet && self.course.as_ref().is_none_or(|course| course.is_blank())
    }

    /// Applies an observation that changes no more than what the alert was seen with last: neither its phase nor
    /// anything that upstream hears of. Says whether it is one; else nothing was done.
    pub(super) fn refresh(&mut self, seen: &mut Observation, mono: Mono) -> bool {
        let before_due = seen.at < self.due;
        let raises = seen.raise == Some(true);
        let stays = match self.phase {
            Phase::Up { .. } => raises || seen.clear != Some(true),
            Phase::Pending { .. } => seen.raise != Some(false),
            Phase::Keeping { .. } => !raises,
            Phase::Sent { .. } => true,
            Phase::Quiet => !raises && self.kept && seen.order == Order::Untold,
        };
        let sent = matches!(self.phase, Phase::Sent { .. });
        if !stays || !before_due || (seen.at < self.last_at && !sent) {
            return false;
        }
        if self.course.as_ref().is_some_and(|course| !course.is_plain()) {
            return false;
        }
        self.note(seen, mono);
        if !sent && self.phase != Phase::Quiet {
            self.show(&mut seen.values);
        }
        true
    }

    /// Notes when it was observed.
    fn note(&mut self, seen: &Observation, mono: Mono) {
        self.last_at = self.last_at.max(seen.at);
        self.anchor = mono;
        self.carried = 0;
        self.kept = seen.order == Order::Untold;
    }

    /// Takes the values over. What stands in their place is of no worth.
    fn show(&mut self, values: &mut [Value]) {
        if self.values.len() == values.len() {
            self.values.swap_with_slice(values);
        } else {
            self.values = values.iter_mut().map(std::mem::take).collect();
        }
    }

    /// Lets go of the row where nobody will ask for it.
    pub(super) fn forget_row(&mut self) {
        let silent = self.course.as_ref().is_some_and(|course| course.silent.is_some());
        if matches!(self.phase, Phase::Quiet | Phase::Sent { .. }) && !silent {
            self.values = Box::default();
        }
    }

    /// Applies an observation that is not older than the newest one.
    pub(super) fn apply(
        &mut self,
        rule: &AlertShape,
        seen: &mut Observation,
        mono: Mono,
        steps: &mut Vec<Step>,
    ) {
        self.note(seen, mono);
        self.show(&mut seen.values);
        let at = seen.at;
        if let RuleKind::Occurrence { repeat } = rule.kind {
            if self.phase == Phase::Quiet && seen.raise == Some(true) {
                if !repeat.is_zero() {
                    self.phase = Phase::Sent { at };
                }
                steps.push(Step { state: State::Occurred, at, since: at, level: 0 });
            }
            return;
        }
        if course::needs_lanes(rule) {
            self.course.get_or_insert_default().open(rule, self.phase);
        }
        if let Some(course) = &mut self.course {
            if course.silent.take().is_some() {
                self.changed = true;
            }
            if course.held {
                if seen.raise != Some(true) && seen.clear == Some(true) {
                    course.held = false;
                    self.changed = true;
                }
                return;
            }
            if !course.lanes.is_empty() {
                self.changed |= course.apply(rule, seen);
                self.tell_lanes(rule, at, Reason::Recovered, steps);
                return;
            }
        }
        let mut lane = Lane::at(self.phase);
        lane.apply(rule, seen.raise, seen.clear, at);
        self.tell(rule, lane.phase, at, Reason::Recovered, steps);
    }

    /// The key gives no data: where the rule fires at that, and where it ends the alert.
    pub(super) fn silent(&mut self, rule: &AlertShape, fires: bool, at: Timestamp, steps: &mut Vec<Step>) {
        let is_new = self.phase == Phase::Quiet;
        if rule.life.active.is_some() || course::needs_lanes(rule) {
            self.course.get_or_insert_default();
        }
        if let Some(course) = &mut self.course {
            if course.silent.is_none() {
                course.silent = Some(at);
                self.changed = true;
            }
            if course.held
                || (is_new && rule.life.active.as_ref().is_some_and(|active| !active.is_active(at)))
            {
                return;
            }
            if !course.lanes.is_empty() || course::needs_lanes(rule) {
                course.open(rule, self.phase);
                self.changed |= course.silent(fires, at);
                return self.tell_lanes(rule, at, Reason::NoData, steps);
            }
        }
        let mut lane = Lane::at(self.phase);
        if fires {
            lane.silent(at)
        } else {
            lane = Lane::at(Phase::Quiet)
        }
        self.tell(rule, lane.phase, at, Reason::NoData, steps);
    }

    /// Ends it by hand: nothing raises it until it clears. Says whether it was up.
    pub(super) fn resolve(&mut self, at: Timestamp, steps: &mut Vec<Step>) -> bool {
        if !self.phase.is_up() {
            return false;
        }
        let (since, level) = (self.since(), self.level());
        // What is only kept up has cleared.
        let holds = matches!(self.phase, Phase::Up { .. });
        let course = self.course.get_or_insert_default();
        course.end();
        course.held = holds;
        self.phase = Phase::Quiet;
        self.changed = true;
        steps.push(Step { state: State::Resolved(Reason::Manual), at, since, level });
        true
    }

    /// Goes over to what the conditions of its course are together.
    fn tell_lanes(&mut self, rule: &AlertShape, at: Timestamp, why: Reason, steps: &mut Vec<Step>) {
        let Some(course) = &mut self.course else { return };
        let (phase, level) = super::lane::together(&course.lanes);
        let level = u8::try_from(level).unwrap_or(0);
        let was_up = self.phase.is_up();
        if course.is_flapping() {
            // No more is told of it but that it is worse than ever in this time.
            if phase.is_up() && level > course.level {
                course.level = level;
                let state = State::Up(Reason::Severity);
                steps.push(Step { state, at, since: self.since(), level });
            }
            return;
        }
        let before = course.level;
        if phase.is_up() {
            course.level = level;
        }
        if was_up && phase.is_up() {
            let since = self.since();
            self.phase = phase.up_since(since);
            if level != before {
                self.changed = true;
                let state = self.fired(rule, at).unwrap_or(State::Up(Reason::Severity));
                steps.push(Step { state, at, since, level });
            }
        } else {
            self.tell(rule, phase, at, why, steps);
        }
    }

    /// Goes over to a phase, and tells what upstream must hear of it. `why` it is so: a recovery, or silence.
    fn tell(&mut self, rule: &AlertShape, phase: Phase, at: Timestamp, why: Reason, steps: &mut Vec<Step>) {
        let before = self.phase;
        if before == phase {
            return;
        }
        self.phase = phase;
        self.changed = true;
        match (before.is_up(), phase.is_up()) {
            (false, true) => {
                let state = if why == Reason::NoData { State::Up(why) } else { State::Firing };
                let state = self.fired(rule, at).unwrap_or(state);
                steps.push(Step { state, at, since: self.since(), level: self.level() });
            }
            (true, false) => {
                let since = before.since().unwrap_or(at);
                steps.push(Step { state: State::Resolved(why), at, since, level: self.level() });
            }
            _ => {}
        }
    }

    /// Notes that it was told once more to be up; says so where it flaps from here on.
    fn fired(&mut self, rule: &AlertShape, at: Timestamp) -> Option<State> {
        let flapping = rule.life.flapping?;
        let phase = self.phase;
        let course = self.course.get_or_insert_default();
        course.fired(flapping, at).then(|| {
            course.open(rule, phase);
            course.begin_flapping(at);
            State::Up(Reason::Flapping)
        })
    }

    /// Runs out the timers that are due before `limit`.
    pub(super) fn expire_before(&mut self, rule: &AlertShape, limit: Timestamp, steps: &mut Vec<Step>) {
        while let Some(at) = self.find_due(rule).filter(|due| *due < limit) {
            self.expire(rule, at, steps);
        }
    }

    /// Runs out the timers that are due at `limit` or before.
    pub(super) fn expire_until(&mut self, rule: &AlertShape, limit: Timestamp, steps: &mut Vec<Step>) {
        while let Some(at) = self.find_due(rule).filter(|due| *due <= limit) {
            self.expire(rule, at, steps);
        }
    }

    /// When the monotonic clock runs the timer out: when it has carried the key's stream time
    /// there, and the next window's row, which may be dated before it, would have come.
    pub(super) fn deadline(&self, spec: &AlertSpec) -> Option<Mono> {
        let due = self.find_due(spec)?;
        // Of what is quiet no window decides what happens by itself.
        let open = |cadence: &Cadence| self.phase != Phase::Quiet && due >= self.last_at.plus(cadence.every);
        let slack = spec.cadence.filter(open).map_or(Duration::ZERO, |cadence| cadence.slack);
        // What is left of both together: a restart may come when the timer is out and the slack is not.
        Some(self.anchor.plus(due.plus(slack).since(self.last_at.plus(self.carried()))))
    }

    /// When the clock may run the timer out: at its deadline or before; [`Self::UNWATCHED`] where there is
    /// none.
    pub(super) const fn earliest(&self) -> Mono {
        if self.due.micros() == Self::NEVER.micros() {
            return Self::UNWATCHED;
        }
        let left = self.due.micros().saturating_sub(self.last_at.micros());
        let left = if left > 0 { left.cast_unsigned() } else { 0 };
        Mono::from_micros(self.anchor.micros().saturating_add(left.saturating_sub(self.carried)))
    }

    /// Notes when something happens by itself, which the rule decides.
    pub(super) fn set_due(&mut self, rule: &AlertShape) {
        self.due = self.find_due(rule).unwrap_or(Self::NEVER);
    }

    /// The stream time at which something happens by itself.
    fn find_due(&self, rule: &AlertShape) -> Option<Timestamp> {
        let own = match &self.course {
            None => Lane::at(self.phase).due(rule),
            Some(course) => [
                course.due(rule, self.phase),
                course.lanes.is_empty().then(|| Lane::at(self.phase).due(rule)).flatten(),
            ]
            .into_iter()
            .flatten()
            .min(),
        };
        [own, self.end_of_schedule(rule)].into_iter().flatten().min()
    }

    /// When its rule is in force no longer, while there is anything that ends with it.
    fn end_of_schedule(&self, rule: &AlertShape) -> Option<Timestamp> {
        let active = rule.life.active.as_ref()?;
        match self.phase {
            Phase::Pending { since } | Phase::Up { since } | Phase::Keeping { since, .. } => {
                if active.is_active(since) { active.end(since) } else { Some(since) }
            }
            Phase::Quiet | Phase::Sent { .. } => None,
        }
    }

    /// Does what is due at a time, one thing of it.
    fn expire(&mut self, rule: &AlertShape, at: Timestamp, steps: &mut Vec<Step>) {
        if self.end_of_schedule(rule).is_some_and(|end| end <= at) {
            if let Some(course) = &mut self.course {
                course.sleep(rule, at);
            }
            return self.tell(rule, Phase::Quiet, at, Reason::Inactive, steps);
        }
        let Some(course) = &mut self.course else { return self.expire_own(rule, at, steps) };
        if course.is_flapping() && course.end_of_flapping(rule).is_some_and(|end| end <= at) {
            return self.be_steady(rule, at, steps);
        }
        if course.lanes.is_empty() && Lane::at(self.phase).due(rule).is_some_and(|due| due <= at) {
            return self.expire_own(rule, at, steps);
        }
        if course.expire_lanes(rule, at) {
            self.changed = true;
            return self.tell_lanes(rule, at, Reason::Recovered, steps);
        }
        if self.phase == Phase::Quiet && course.wakes(rule, at) {
            return self.silent(rule, true, at, steps);
        }
        // What it remembers is of no worth any more.
        course.forget();
        self.changed = true;
    }

    fn expire_own(&mut self, rule: &AlertShape, at: Timestamp, steps: &mut Vec<Step>) {
        let mut lane = Lane::at(self.phase);
        lane.expire();
        self.tell(rule, lane.phase, at, Reason::Recovered, steps);
    }

    /// It came and went no more for long enough: it is told as it is.
    fn be_steady(&mut self, rule: &AlertShape, at: Timestamp, steps: &mut Vec<Step>) {
        let since = self.since();
        let Some(course) = &mut self.course else { return };
        let (phase, level) = super::lane::together(&course.lanes);
        let why = if course.silent.is_some() { Reason::NoData } else { Reason::Recovered };
        let level = if phase.is_up() { u8::try_from(level).unwrap_or(0) } else { course.level };
        course.level = level;
        course.end_flapping(rule);
        self.phase = phase.up_since(since);
        self.changed = true;
        let state = match phase.is_up() {
            true if course.silent.is_some() => State::Up(Reason::NoData),
            true => State::Firing,
            false => State::Resolved(why),
        };
        steps.push(Step { state, at, since, level });
    }

    /// Goes on under a text of its rule that is another one; says whether there is more to it than that.
    pub(super) fn adapt(&mut self, was: &AlertShape, rule: &AlertShape) -> bool {
        self.course.as_mut().is_some_and(|course| {
            let before = course.clone();
            course.adapt(was, rule);
            *course != before
        })
    }

    /// Has the conditions that its rule asks for.
    pub(super) fn fit(&mut self, rule: &AlertShape) {
        if course::needs_lanes(rule) && self.phase != Phase::Quiet {
            self.course.get_or_insert_default().open(rule, self.phase);
        }
    }
}

/// Places of rules are far below what a `u32` holds.
fn narrow(rule: usize) -> u32 {
    u32::try_from(rule).unwrap_or(u32::MAX)
}
