//! What one analytic function remembers of one partition, and its value for a row.

use std::cmp::Ordering;

use super::changed::Changed;
use super::delay::Delay;
use super::lag::Lag;
use crate::engine::aggregate::{Moments, Reading, Sum, beyond, keep, rise, seconds, seconds_between};
use crate::engine::arithmetic;
use crate::engine::expr::{Env, Scope, eval, truth};
use crate::engine::snapshot::{Reader, SnapshotError, Writer};
use crate::model::time::Timestamp;
use crate::model::value::Value;
use crate::plan::logical::{Analytic, AnalyticFunction};

/// The state of one function.
#[derive(Debug)]
pub(super) struct Cell {
    state: State,
    /// With WHEN, the value of the last row for which it was true.
    kept: Option<Value>,
}

#[derive(Debug)]
enum State {
    Lag(Lag),
    Latest(Value),
    Changed(Changed),
    Sum(Sum),
    Least(Value),
    Greatest(Value),
    Count(u64),
    Hits(u64, Option<Timestamp>),
    Delay(Delay),
    /// The mean, and the time of the last number in it.
    Mean(Option<(Timestamp, f64)>),
    Moments(Moments),
    /// The last number.
    Before(Option<Reading>),
    /// When the condition became true.
    Since(Option<Timestamp>),
}

impl Cell {
    /// Nothing seen yet.
    pub(super) fn new(analytic: &Analytic) -> Self {
        Self { state: State::new(analytic.function), kept: analytic.when.as_ref().map(|_| Value::Null) }
    }

    /// The value of the last row that WHEN let through.
    pub(super) fn kept(&self) -> Value {
        self.kept.clone().unwrap_or_default()
    }

    /// The value for a row, which is remembered.
    pub(super) fn step(&mut self, analytic: &Analytic, scope: Scope<'_>) -> Value {
        let value = self.state.step(analytic, scope);
        if let Some(kept) = &mut self.kept {
            kept.clone_from(&value);
        }
        value
    }

    /// The row gave output.
    pub(super) fn hit(&mut self, at: Timestamp) {
        if let State::Hits(count, last) = &mut self.state {
            *count += 1;
            *last = Some(at);
        }
    }

    /// What it takes beyond its own place.
    pub(super) fn bytes(&self) -> usize {
        let state = match &self.state {
            State::Lag(lag) => lag.bytes(),
            State::Latest(value) | State::Least(value) | State::Greatest(value) => beyond(value),
            State::Changed(changed) => changed.bytes(),
            State::Delay(delay) => delay.bytes(),
            State::Sum(_) | State::Count(_) | State::Hits(..) | State::Mean(_) => 0,
            // Numbers only, which have no more than their place.
            State::Before(_) | State::Moments(_) | State::Since(_) => 0,
        };
        state + self.kept.as_ref().map_or(0, beyond)
    }

    pub(super) fn write(&self, out: &mut Writer) {
        self.state.write(out);
        if let Some(kept) = &self.kept {
            out.value(kept);
        }
    }

    /// Reads the state of this function. Its kind comes from the plan, not from the bytes.
    pub(super) fn read(analytic: &Analytic, from: &mut Reader<'_>) -> Result<Self, SnapshotError> {
        let mut new = Self::new(analytic);
        new.state.read(from)?;
        if let Some(kept) = &mut new.kept {
            *kept = from.value()?;
        }
        Ok(new)
    }
}

impl State {
    fn new(function: AnalyticFunction) -> Self {
        use AnalyticFunction as F;
        match function {
            F::Lag => Self::Lag(Lag::default()),
            F::Latest => Self::Latest(Value::Null),
            F::HadChanged | F::ChangedCol => Self::Changed(Changed::default()),
            F::AccSum | F::AccAvg => Self::Sum(Sum::new()),
            F::AccMin => Self::Least(Value::Null),
            F::AccMax => Self::Greatest(Value::Null),
            F::AccCount | F::RowNumber => Self::Count(0),
            F::LastHitCount | F::LastHitTime => Self::Hits(0, None),
            F::Delay => Self::Delay(Delay::default()),
            F::Ewma => Self::Mean(None),
            F::Zscore => Self::Moments(Moments::default()),
            F::Delta | F::Increase | F::Rate => Self::Before(None),
            F::TimeInState => Self::Since(None),
        }
    }

    fn step(&mut self, analytic: &Analytic, scope: Scope<'_>) -> Value {
        use AnalyticFunction as F;
        let given = |n: usize| analytic.args.get(n).map(|arg| eval(arg, scope).into_owned());
        let arg = |n: usize| given(n).unwrap_or_default();
        let env = scope.env;
        match (self, analytic.function) {
            (Self::Lag(lag), _) => lag.step(arg(0), given(1).as_ref(), arg(2), truth(&arg(3)) == Some(true)),
            (Self::Latest(latest), _) => {
                match arg(0) {
                    Value::Null => {}
                    value => *latest = value,
                }
                if latest.is_null() { arg(1) } else { latest.clone() }
            }
            (Self::Changed(changed), function) => {
                let ignore_null = truth(&arg(0)) == Some(true);
                let values = (1..analytic.args.len()).map(arg);
                let differs = changed.step(values, ignore_null);
                match function {
                    F::ChangedCol if differs => arg(1),
                    F::ChangedCol => Value::Null,
                    _ => Value::Bool(differs),
                }
            }
            (Self::Sum(sum), function) => {
                sum.add(&arg(0));
                sum.stay_lost();
                if function == F::AccAvg { sum.mean(env) } else { sum.total(env) }
            }
            (Self::Least(best), _) => extreme(best, &arg(0), Ordering::Less),
            (Self::Greatest(best), _) => extreme(best, &arg(0), Ordering::Greater),
            (Self::Count(n), _) => {
                *n += u64::from(given(0).is_none_or(|value| !value.is_null()));
                count(*n)
            }
            (Self::Hits(n, _), F::LastHitCount) => count(*n),
            (Self::Hits(_, at), _) => at.map_or(Value::Null, Value::Time),
            (Self::Delay(delay), _) => delay.step(&arg(0), arg(1), env.at),
            (Self::Mean(mean), _) => ewma(mean, &arg(0), &arg(1), env),
            (Self::Moments(moments), _) => {
                let value = arg(0);
                let distance = moments.distance(&value);
                moments.add(&value);
                distance.map_or(Value::Null, |distance| env.float(distance))
            }
            (Self::Before(before), function) => since_before(before, function, arg(0), env),
            (Self::Since(since), _) => match truth(&arg(0)) {
                Some(true) => {
                    let start = *since.get_or_insert(env.at);
                    Value::Float(seconds_between(start, env.at).unwrap_or(0.0))
                }
                _ => {
                    *since = None;
                    Value::Null
                }
            },
        }
    }

    fn write(&self, out: &mut Writer) {
        let optional = |at: Option<Timestamp>, out: &mut Writer| {
            out.bool(at.is_some());
            at.iter().for_each(|at| out.time(*at));
        };
        match self {
            Self::Lag(lag) => lag.write(out),
            Self::Latest(value) | Self::Least(value) | Self::Greatest(value) => out.value(value),
            Self::Changed(changed) => changed.write(out),
            Self::Sum(sum) => sum.write(out),
            Self::Count(n) => out.u64(*n),
            Self::Hits(n, at) => {
                out.u64(*n);
                optional(*at, out);
            }
            Self::Delay(delay) => delay.write(out),
            Self::Mean(mean) => {
                optional(mean.map(|(at, _)| at), out);
                mean.iter().for_each(|(_, mean)| out.f64(*mean));
            }
            Self::Moments(moments) => moments.write(out),
            Self::Before(before) => Reading::write_option(before.as_ref(), out),
            Self::Since(since) => optional(*since, out),
        }
    }

    fn read(&mut self, from: &mut Reader<'_>) -> Result<(), SnapshotError> {
        let optional = |from: &mut Reader<'_>| match from.bool()? {
            true => from.time().map(Some),
            false => Ok(None),
        };
        match self {
            Self::Lag(lag) => *lag = Lag::read(from)?,
            Self::Latest(value) | Self::Least(value) | Self::Greatest(value) => *value = from.value()?,
            Self::Changed(changed) => *changed = Changed::read(from)?,
            Self::Sum(sum) => *sum = Sum::read(from)?,
            Self::Count(n) => *n = from.u64()?,
            Self::Hits(n, at) => {
                *n = from.u64()?;
                *at = optional(from)?;
            }
            Self::Delay(delay) => *delay = Delay::read(from)?,
            Self::Mean(mean) => {
                *mean = match optional(from)? {
                    Some(at) => Some((at, from.f64()?)),
                    None => None,
                };
            }
            Self::Moments(moments) => *moments = Moments::read(from)?,
            Self::Before(before) => {
                let number = |before: &Reading| before.value.as_f64().is_some();
                *before = Reading::read_option(from)?.filter(number);
            }
            Self::Since(since) => *since = optional(from)?,
        }
        Ok(())
    }
}

fn count(n: u64) -> Value {
    i64::try_from(n).map_or(Value::Null, Value::Int)
}

fn extreme(best: &mut Value, value: &Value, wanted: Ordering) -> Value {
    if !value.is_null() {
        keep(best, value, wanted);
    }
    best.clone()
}

/// Moves the mean towards the number, the further the longer ago the last one was.
fn ewma(mean: &mut Option<(Timestamp, f64)>, value: &Value, half_life: &Value, env: &Env) -> Value {
    if let (Some(x), Some(half_life)) = (value.as_f64(), seconds(half_life)) {
        let moved = match *mean {
            None => x,
            Some((last, mean)) => match seconds_between(last, env.at) {
                None => mean,
                Some(_) if half_life <= 0.0 => x,
                Some(passed) => mean + (1.0 - (-passed / half_life).exp2()) * (x - mean),
            },
        };
        // Two finite numbers can be further apart than any float; the mean stays then.
        if moved.is_finite() {
            *mean = Some((env.at, moved));
        }
    }
    mean.map_or(Value::Null, |(_, mean)| Value::float(mean))
}

/// `delta`, `increase` and `rate`: what changed since the last number, whose place this one takes.
fn since_before(before: &mut Option<Reading>, function: AnalyticFunction, value: Value, env: &Env) -> Value {
    if value.as_f64().is_none() {
        return Value::Null;
    }
    let this = Reading { at: env.at, value };
    let result = match before.as_ref() {
        None => Value::Null,
        Some(before) => match function {
            AnalyticFunction::Delta => arithmetic::subtract(&this.value, &before.value, env),
            AnalyticFunction::Increase => rise(&before.value, &this.value, env),
            _ => match seconds_between(before.at, this.at) {
                Some(passed) => rise(&before.value, &this.value, env)
                    .as_f64()
                    .map_or(Value::Null, |increase| env.float(increase / passed)),
                None => Value::Null,
            },
        },
    };
    *before = Some(this);
    result
}
