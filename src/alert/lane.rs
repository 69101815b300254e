//! The state machine of one condition: which phase follows which, and when. An alert has one of them, or one
//! for each level of its rule.
//!
//! ```text
//! quiet → pending → up → keeping → quiet        State rules
//! quiet → sent → quiet                          Occurrence rules
//! ```

use std::time::Duration;

use crate::model::alerting::{AlertShape, RuleKind};
use crate::model::time::Timestamp;

/// Where a condition stands. All times are stream time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Nothing holds.
    Quiet,
    /// `when` holds since then, but not yet for `for`, or not yet so many times.
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

    /// Since when it holds.
    pub(super) const fn since(self) -> Option<Timestamp> {
        match self {
            Self::Quiet => None,
            Self::Pending { since } | Self::Up { since } | Self::Keeping { since, .. } => Some(since),
            Self::Sent { at } => Some(at),
        }
    }

    /// The same, as of an alert that is up since then.
    pub(super) const fn up_since(self, since: Timestamp) -> Self {
        match self {
            Self::Up { .. } => Self::Up { since },
            Self::Keeping { cleared, .. } => Self::Keeping { since, cleared },
            other => other,
        }
    }
}

/// One condition: its phase, and how many observations in a row spoke for another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lane {
    pub(super) phase: Phase,
    pub(super) run: u16,
}

impl Lane {
    /// One that stands in this phase.
    pub(super) const fn at(phase: Phase) -> Self {
        Self { phase, run: 0 }
    }

    /// Takes what an observation says, of a rule with states.
    pub(super) fn apply(
        &mut self,
        rule: &AlertShape,
        raise: Option<bool>,
        clear: Option<bool>,
        at: Timestamp,
    ) {
        let RuleKind::State { for_, keep_firing_for } = rule.kind else { return };
        let raises = raise == Some(true);
        match self.phase {
            Phase::Quiet if raises => {
                self.phase = Phase::Pending { since: at };
                self.run = 1;
                self.fire_if(rule, for_, at);
            }
            Phase::Pending { .. } if raises => {
                // Beyond what is asked for nobody counts: a change is written down.
                self.run = self.run.saturating_add(1).min(rule.life.times);
                // A wait that is over by then ran out with the clock.
                if rule.life.times > 1 {
                    self.fire_if(rule, for_, at);
                }
            }
            Phase::Pending { .. } if raise == Some(false) => *self = Self::at(Phase::Quiet),
            Phase::Up { since } if !raises && clear == Some(true) => {
                self.run = self.run.saturating_add(1);
                if self.run >= rule.life.times {
                    let keeping = Phase::Keeping { since, cleared: at };
                    *self = Self::at(if keep_firing_for.is_zero() { Phase::Quiet } else { keeping });
                }
            }
            Phase::Up { .. } if raises || clear == Some(false) => self.run = 0,
            Phase::Keeping { since, .. } if raises => *self = Self::at(Phase::Up { since }),
            _ => {}
        }
    }

    fn fire_if(&mut self, rule: &AlertShape, for_: Duration, at: Timestamp) {
        if let Phase::Pending { since } = self.phase
            && self.run >= rule.life.times
            && since.plus(for_) <= at
        {
            *self = Self::at(Phase::Up { since });
        }
    }

    /// The stream time at which the phase ends by itself.
    pub(super) fn due(&self, rule: &AlertShape) -> Option<Timestamp> {
        match (self.phase, rule.kind) {
            (Phase::Pending { since }, RuleKind::State { for_, .. }) => {
                (self.run >= rule.life.times || rule.life.times <= 1).then(|| since.plus(for_))
            }
            (Phase::Keeping { cleared, .. }, RuleKind::State { keep_firing_for, .. }) => {
                Some(cleared.plus(keep_firing_for))
            }
            (Phase::Sent { at }, RuleKind::Occurrence { repeat }) => Some(at.plus(repeat)),
            _ => None,
        }
    }

    /// Ends the phase whose time has come.
    pub(super) const fn expire(&mut self) {
        *self = Self::at(match self.phase {
            Phase::Pending { since } => Phase::Up { since },
            Phase::Keeping { .. } | Phase::Sent { .. } => Phase::Quiet,
            stays @ (Phase::Quiet | Phase::Up { .. }) => stays,
        });
    }

    /// The key gives no data, and the rule fires at that.
    pub(super) const fn silent(&mut self, at: Timestamp) {
        *self = Self::at(match self.phase {
            Phase::Quiet => Phase::Up { since: at },
            Phase::Pending { since } | Phase::Keeping { since, .. } => Phase::Up { since },
            stays @ (Phase::Up { .. } | Phase::Sent { .. }) => stays,
        });
    }
}

/// What several conditions are together: the worst of them that is up, and else whether any waits. With the place
/// of that one.
pub(super) fn together(lanes: &[Lane]) -> (Phase, usize) {
    let up = |lane: &Lane| matches!(lane.phase, Phase::Up { .. });
    let worst = lanes.iter().rposition(|lane| lane.phase.is_up());
    if let Some(worst) = worst {
        let since =
            lanes.iter().filter(|lane| lane.phase.is_up()).filter_map(|lane| lane.phase.since()).min();
        let since = since.unwrap_or_default();
        let held = lanes.iter().filter_map(|lane| match lane.phase {
            Phase::Keeping { cleared, .. } => Some(cleared),
            _ => None,
        });
        let phase = if lanes.iter().any(up) {
            Phase::Up { since }
        } else {
            Phase::Keeping { since, cleared: held.max().unwrap_or_default() }
        };
        return (phase, worst);
    }
    let waits = lanes.iter().filter(|lane| lane.phase.is_pending()).filter_map(|lane| lane.phase.since());
    (waits.min().map_or(Phase::Quiet, |since| Phase::Pending { since }), 0)
}
