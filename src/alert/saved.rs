//! How an alert's state is kept: a small JSON object, whose members are only ever added to.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::time::{Mono, Now, Timestamp};
use crate::model::value::Value;

use super::course::Course;
use super::instance::{Instance, Phase};
use super::lane::Lane;

/// One alert's state, as it is kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SavedState {
    phase: SavedPhase,
    key: Vec<SavedValue>,
    /// Stream time of the newest observation, µs.
    last_at: i64,
    /// How far stream time had come beyond it, µs.
    #[serde(default, skip_serializing_if = "is_zero")]
    carried: u64,
    /// When that was, by the node's calendar, µs; 0 where it does not say.
    #[serde(default, skip_serializing_if = "is_never")]
    at: i64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    values: Vec<SavedValue>,
    /// What most alerts do not have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    course: Option<Box<SavedCourse>>,
}

/// A [`Course`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct SavedCourse {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    lanes: Vec<(SavedPhase, u16)>,
    #[serde(skip_serializing_if = "is_none")]
    level: u8,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    fired: Vec<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    flapping: Option<i64>,
    #[serde(skip_serializing_if = "is_not")]
    held: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    silent: Option<i64>,
}

/// A kept state that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("read the kept state of an alert: {0}")]
pub struct SavedStateError(#[from] serde_json::Error);

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum SavedPhase {
    Quiet,
    Pending { since: i64 },
    Firing { since: i64 },
    Keeping { since: i64, cleared: i64 },
    Sent { at: i64 },
}

/// A value with its type: 1 and 1.0 stay apart.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum SavedValue {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Str(String),
    Time(i64),
    Bytes(Vec<u8>),
    Json(serde_json::Value),
}

fn is_zero(micros: &u64) -> bool {
    *micros == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
const fn is_never(at: &i64) -> bool {
    *at == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
const fn is_none(level: &u8) -> bool {
    *level == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
const fn is_not(held: &bool) -> bool {
    !*held
}

impl SavedPhase {
    const fn of(phase: Phase) -> Self {
        match phase {
            Phase::Quiet => Self::Quiet,
            Phase::Pending { since } => Self::Pending { since: since.micros() },
            Phase::Up { since } => Self::Firing { since: since.micros() },
            Phase::Keeping { since, cleared } => {
                Self::Keeping { since: since.micros(), cleared: cleared.micros() }
            }
            Phase::Sent { at } => Self::Sent { at: at.micros() },
        }
    }

    const fn into_phase(self) -> Phase {
        const fn at(micros: i64) -> Timestamp {
            Timestamp::from_micros(micros)
        }
        match self {
            Self::Quiet => Phase::Quiet,
            Self::Pending { since } => Phase::Pending { since: at(since) },
            Self::Firing { since } => Phase::Up { since: at(since) },
            Self::Keeping { since, cleared } => Phase::Keeping { since: at(since), cleared: at(cleared) },
            Self::Sent { at: sent } => Phase::Sent { at: at(sent) },
        }
    }
}

impl SavedCourse {
    fn of(course: &Course) -> Self {
        Self {
            lanes: course.lanes.iter().map(|lane| (SavedPhase::of(lane.phase), lane.run)).collect(),
            level: course.level,
            fired: course.fired.iter().map(|at| at.micros()).collect(),
            flapping: course.flapping.map(Timestamp::micros),
            held: course.held,
            silent: course.silent.map(Timestamp::micros),
        }
    }

    fn into_course(self) -> Course {
        let at = Timestamp::from_micros;
        Course {
            lanes: self
                .lanes
                .into_iter()
                .map(|(phase, run)| Lane { phase: phase.into_phase(), run })
                .collect(),
            level: self.level,
            fired: self.fired.into_iter().map(at).collect(),
            flapping: self.flapping.map(at),
            held: self.held,
            silent: self.silent.map(at),
        }
    }
}

impl SavedState {
    /// The instance as it stands at `mono`, where it is `now`.
    pub(super) fn of(instance: &Instance, mono: Mono, now: Now) -> Self {
        let carried = instance.stream_time(mono).since(instance.last_at);
        Self {
            phase: SavedPhase::of(instance.phase),
            key: instance.key.iter().map(SavedValue::of).collect(),
            last_at: instance.last_at.micros(),
            carried: u64::try_from(carried.as_micros()).unwrap_or(u64::MAX),
            at: now.wall.minus(now.mono.since(mono)).micros(),
            values: instance.values.iter().map(SavedValue::of).collect(),
            course: instance.course.as_ref().map(|course| Box::new(SavedCourse::of(course))),
        }
    }

    /// The alert as it goes on: its stream time continues where it stood, so the time that the
    /// agent was down does not count.
    pub(super) fn into_instance(self, rule: usize, mono: Mono) -> Instance {
        let key = self.key.into_iter().map(SavedValue::into_value).collect();
        let mut instance = Instance::quiet(rule, key);
        instance.phase = self.phase.into_phase();
        instance.course = self.course.map(|course| Box::new(course.into_course()));
        instance.last_at = Timestamp::from_micros(self.last_at);
        instance.resume(Duration::from_micros(self.carried), mono);
        instance.values = self.values.into_iter().map(SavedValue::into_value).collect();
        // Only those are saved quiet that are kept so.
        instance.kept = instance.is_blank();
        instance
    }

    /// Lets the time count that has passed since, by the node's calendar.
    #[must_use]
    pub fn carried_on(self, wall: Timestamp) -> Self {
        let since = if self.at == 0 { Duration::ZERO } else { wall.since(Timestamp::from_micros(self.at)) };
        let carried = self.carried.saturating_add(u64::try_from(since.as_micros()).unwrap_or(u64::MAX));
        Self { carried, at: wall.micros(), ..self }
    }

    /// The bytes to keep.
    pub fn encode(&self) -> Vec<u8> {
        // Neither a map with keys of other types nor a failing impl is among the members, and the
        // numbers are finite: nothing is left that could fail.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Reads what [`Self::encode`] wrote.
    ///
    /// # Errors
    /// Where the bytes are something else.
    pub fn decode(bytes: &[u8]) -> Result<Self, SavedStateError> {
        Ok(serde_json::from_slice(bytes)?)
    }
}

impl SavedValue {
    fn of(value: &Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(b) => Self::Bool(*b),
            Value::Int(i) => Self::Int(*i),
            Value::Float(x) => Self::Float(*x),
            Value::Str(s) => Self::Str(s.to_string()),
            Value::Time(t) => Self::Time(t.micros()),
            Value::Bytes(b) => Self::Bytes(b.to_vec()),
            Value::Array(_) | Value::Struct(_) => Self::Json(value.to_json()),
        }
    }

    fn into_value(self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Bool(b) => Value::Bool(b),
            Self::Int(i) => Value::Int(i),
            Self::Float(x) => Value::float(x),
            Self::Str(s) => Value::Str(Arc::from(s)),
            Self::Time(t) => Value::Time(Timestamp::from_micros(t)),
            Self::Bytes(b) => Value::Bytes(b.into()),
            Self::Json(json) => Value::from_json(&json),
        }
    }
}
