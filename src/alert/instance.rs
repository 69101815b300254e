//! One alert's state machine: which phase follows which, and when. Nothing else.
//!
//! ```text
//! quiet → pending → up → keeping → quiet        State rules
//! quiet → sent → quiet                          Occurrence rules
//! ```

use std::time::Duration;

use crate::model::alerting::{AlertSpec, Cadence, RuleKind};
use crate::model::key::Key;
use crate::model::row::{Observation, Order};
use crate::model::time::{Mono, Timestamp};
use crate::model::transition::{Reason, State};
use crate::model::value::Value;

/// Where an alert stands. All times are stream time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Nothing holds; only the time of the newest observation is remembered.
    Quiet,
    /// `when` holds since then, but not yet for `for`.
    Pending { since: Timestamp },
    /// Firing.
    Up { since: Timestamp },
    /// Cleared, but held up by `keep_firing_for`.
    Keeping { since: Timestamp, cleared: Timestamp },
    /// An occurrence was forwarded then; others are held back for `repeat`.
    Sent { at: Timestamp },
}

impl Phase {
    /// Whether upstream believes it firing.
    pub(super) const fn is_up(self) -> bool {
        matches!(self, Self::Up { .. } | Self::Keeping { .. })
    }

    pub(super) const fn is_pending(self) -> bool {
        matches!(self, Self::Pending { .. })
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Quiet => "quiet",
            Self::Pending { .. } => "pending",
            Self::Up { .. } => "firing",
            Self::Keeping { .. } => "keeping",
            Self::Sent { .. } => "sent",
        }
    }
}

/// A change that upstream must hear of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) state: State,
    pub(super) at: Timestamp,
    pub(super) since: Timestamp,
}

/// One key of one rule. What finds it and what most observations write lie in one cache line each.
#[derive(Clone, Debug)]
#[repr(C, align(64))]
pub(super) struct Instance {
    /// The number of its [`Id`](super::instances::Id).
    pub(super) number: u64,
    pub(super) rule: usize,
    pub(super) key: Key,
    pub(super) phase: Phase,
    /// Stream time of the newest observation.
    pub(super) last_at: Timestamp,
    /// The monotonic clock when that observation was applied.
    pub(super) anchor: Mono,
    /// How far stream time had come beyond that observation at the anchor, µs: more than nothing
    /// only after a restart.
    carried: u64,
    /// The stream time at which the phase ends by itself, as [`Self::set_due`] found it; [`Self::NEVER`].
    due: Timestamp,
    /// Its output row; empty while quiet, and where nobody will ask for it.
    pub(super) values: Box<[Value]>,
    /// When the book looks at it by the monotonic clock: never later than its [deadline](Self::deadline),
    /// but perhaps earlier, so that an observation which moves the deadline a little on costs nothing.
    /// [`Self::UNWATCHED`] where it does not.
    pub(super) look: Mono,
    /// Whether it is kept while it is quiet: nobody else knows of its newest observation.
    pub(super) kept: bool,
    /// Whether it stands in the book's queue of quiet keys.
    pub(super) queued: bool,
}

impl Instance {
    const NEVER: Timestamp = Timestamp::from_micros(i64::MAX);
    pub(super) const UNWATCHED: Mono = Mono::from_micros(u64::MAX);

    pub(super) fn quiet(rule: usize, key: Key) -> Self {
        Self {
            number: 0,
            rule,
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
        }
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
    pub(super) const fn since(&self) -> Timestamp {
        match self.phase {
            Phase::Quiet => self.last_at,
            Phase::Pending { since } | Phase::Up { since } | Phase::Keeping { since, .. } => since,
            Phase::Sent { at } => at,
        }
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
        self.last_at = self.last_at.max(seen.at);
        self.anchor = mono;
        self.carried = 0;
        self.kept = seen.order == Order::Untold;
        if !sent && self.phase != Phase::Quiet {
            self.show(&mut seen.values);
        }
        true
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
        if matches!(self.phase, Phase::Quiet | Phase::Sent { .. }) {
            self.values = Box::default();
        }
    }

    /// Applies an observation that is not older than the newest one.
    pub(super) fn apply(
        &mut self,
        kind: &RuleKind,
        seen: &mut Observation,
        mono: Mono,
        steps: &mut Vec<Step>,
    ) {
        self.last_at = self.last_at.max(seen.at);
        self.anchor = mono;
        self.carried = 0;
        self.show(&mut seen.values);
        let at = seen.at;
        let raises = seen.raise == Some(true);
        match self.phase {
            Phase::Quiet if raises => match kind {
                RuleKind::Occurrence { repeat } => {
                    if !repeat.is_zero() {
                        self.phase = Phase::Sent { at };
                    }
                    steps.push(Step { state: State::Occurred, at, since: at });
                }
                RuleKind::State { for_, .. } if for_.is_zero() => {
                    self.phase = Phase::Up { since: at };
                    steps.push(Step { state: State::Firing, at, since: at });
                }
                RuleKind::State { .. } => self.phase = Phase::Pending { since: at },
            },
            Phase::Pending { .. } if seen.raise == Some(false) => self.phase = Phase::Quiet,
            Phase::Up { since } if !raises && seen.clear == Some(true) => {
                if keep(kind).is_zero() {
                    self.phase = Phase::Quiet;
                    steps.push(Step { state: State::Resolved(Reason::Recovered), at, since });
                } else {
                    self.phase = Phase::Keeping { since, cleared: at };
                }
            }
            Phase::Keeping { since, .. } if raises => self.phase = Phase::Up { since },
            _ => {}
        }
    }

    /// Runs out the timers that are due before `limit`.
    pub(super) fn expire_before(&mut self, kind: &RuleKind, limit: Timestamp, steps: &mut Vec<Step>) {
        while self.due(kind).is_some_and(|due| due < limit) {
            self.expire(kind, steps);
        }
    }

    /// Runs out the timers that are due at `limit` or before.
    pub(super) fn expire_until(&mut self, kind: &RuleKind, limit: Timestamp, steps: &mut Vec<Step>) {
        while self.due(kind).is_some_and(|due| due <= limit) {
            self.expire(kind, steps);
        }
    }

    /// When the monotonic clock runs the timer out: when it has carried the key's stream time
    /// there, and the next window's row, which may be dated before it, would have come.
    pub(super) fn deadline(&self, spec: &AlertSpec) -> Option<Mono> {
        let due = self.due(&spec.kind)?;
        let open = |cadence: &Cadence| due >= self.last_at.plus(cadence.every);
        let slack = spec.cadence.filter(open).map_or(Duration::ZERO, |cadence| cadence.slack);
        Some(self.anchor.plus(due.since(self.last_at.plus(self.carried())) + slack))
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

    /// Notes when the phase ends by itself, which a rule of this kind decides.
    pub(super) fn set_due(&mut self, kind: &RuleKind) {
        self.due = self.due(kind).unwrap_or(Self::NEVER);
    }

    /// The stream time at which the phase ends by itself.
    fn due(&self, kind: &RuleKind) -> Option<Timestamp> {
        match (self.phase, kind) {
            (Phase::Pending { since }, RuleKind::State { for_, .. }) => Some(since.plus(*for_)),
            (Phase::Keeping { cleared, .. }, RuleKind::State { .. }) => Some(cleared.plus(keep(kind))),
            (Phase::Sent { at }, RuleKind::Occurrence { repeat }) => Some(at.plus(*repeat)),
            _ => None,
        }
    }

    fn expire(&mut self, kind: &RuleKind, steps: &mut Vec<Step>) {
        let Some(at) = self.due(kind) else { return };
        match self.phase {
            Phase::Pending { since } => {
                self.phase = Phase::Up { since };
                steps.push(Step { state: State::Firing, at, since });
            }
            Phase::Keeping { since, .. } => {
                self.phase = Phase::Quiet;
                steps.push(Step { state: State::Resolved(Reason::Recovered), at, since });
            }
            Phase::Sent { .. } => self.phase = Phase::Quiet,
            Phase::Quiet | Phase::Up { .. } => {}
        }
    }
}

const fn keep(kind: &RuleKind) -> Duration {
    match kind {
        RuleKind::State { keep_firing_for, .. } => *keep_firing_for,
        RuleKind::Occurrence { .. } => Duration::ZERO,
    }
}
