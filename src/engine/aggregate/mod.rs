//! What a window remembers for one aggregate of one group: one file a kind of state. Nothing shows the
//! order in which rows came, beyond ties of time; what goes by order goes by the rows' times. What grows
//! with the rows is taken from the rule's [`Budget`].

mod exact;
mod extreme;
mod line;
mod merged;
mod moments;
mod partial;
mod readings;
mod sample;
mod sum;
mod unique;
mod wide;

use std::cmp::Ordering;
use std::collections::HashSet;

use super::budget::Budget;
use super::expr::{Env, Scope, eval, holds};
use super::snapshot::{Reader, SnapshotError, Writer};
use crate::model::time::{Timestamp, parse_span};
use crate::model::value::Value;
use crate::plan::logical::{Aggregate, AggregateFunction, Expr};

use self::line::Line;
use self::merged::Merged;
use self::readings::{Ends, Readings};
use self::sample::Sample;
use self::unique::Unique;

pub(super) use self::moments::{Moments, Of};
pub(super) use self::partial::Partial;
pub(super) use self::readings::{Reading, rise, seconds_between};
pub(super) use self::sum::Sum;

/// The state of one aggregate.
#[derive(Clone, Debug)]
pub(super) struct Accumulator {
    state: State,
    /// With DISTINCT, the values so far; where the state itself does not tell them apart.
    seen: Option<HashSet<Value>>,
}

/// What is remembered. What it gives is the aggregate's to say: several share a state.
#[derive(Clone, Debug)]
enum State {
    Count(u64),
    Sum(Sum),
    Least(Value),
    Greatest(Value),
    First(Option<Reading>),
    Last(Option<Reading>),
    Ends(Box<Ends>),
    Readings(Readings),
    Unique(Box<Unique>),
    Merged(Merged),
    Sample(Sample),
    Spread(Box<Moments>),
    Distance(Box<(Moments, Option<Reading>)>),
    Line(Box<Line>),
}

/// What one row gives one aggregate: the values of its arguments, NULL where it has fewer; `None` where
/// FILTER holds the row back.
pub(super) type Input = Option<[Value; 2]>;

/// Evaluates what a row gives an aggregate.
pub(super) fn input(aggregate: &Aggregate, scope: Scope<'_>) -> Input {
    if aggregate.filter.as_ref().is_some_and(|filter| !holds(filter, scope)) {
        return None;
    }
    let argument = |n: usize| aggregate.args.get(n).map_or(Value::Null, |arg| eval(arg, scope).into_owned());
    Some([argument(0), argument(1)])
}

impl Accumulator {
    /// Nothing yet.
    pub(super) fn new(aggregate: &Aggregate) -> Self {
        let state = State::new(aggregate);
        let plain = !matches!(state, State::Unique(_) | State::First(_) | State::Last(_));
        Self { state, seen: (aggregate.distinct && plain).then(HashSet::new) }
    }

    /// Takes in what a row of this time gives. What it must remember of it is taken from the budget;
    /// false where there was no room, and the row was left out.
    pub(super) fn add(
        &mut self,
        aggregate: &Aggregate,
        input: &[Value; 2],
        at: Timestamp,
        budget: &mut Budget,
    ) -> bool {
        let [value, _] = input;
        if aggregate.args.is_empty() {
            if let State::Count(n) = &mut self.state {
                *n += 1;
            }
            return true;
        }
        if !takes(aggregate.function, input) {
            return true;
        }
        let Some(seen) = &mut self.seen else { return self.state.add(value, at, budget) };
        if seen.contains(value) {
            return true;
        }
        if !budget.take(value.bytes()) {
            return false;
        }
        let added = self.state.add(value, at, budget);
        if added {
            seen.insert(value.clone());
        } else {
            budget.give(value.bytes());
        }
        added
    }

    /// The aggregate's value so far.
    pub(super) fn value(&self, aggregate: &Aggregate, env: &Env) -> Value {
        use AggregateFunction as F;
        let number = |number: Option<f64>| number.map_or(Value::Null, |x| env.float(x));
        let parameter = || aggregate.args.get(1).and_then(constant);
        match (&self.state, aggregate.function) {
            (State::Count(n), _) => i64::try_from(*n).map_or(Value::Null, Value::Int),
            (State::Sum(sum), F::Avg) => sum.mean(env),
            (State::Sum(sum), _) => sum.total(env),
            (State::Least(value) | State::Greatest(value), _) => value.clone(),
            (State::First(reading) | State::Last(reading), _) => {
                reading.as_ref().map_or(Value::Null, |reading| reading.value.clone())
            }
            (State::Ends(ends), _) => ends.delta(env),
            (State::Readings(readings), F::Increase) => readings.increase(env),
            (State::Readings(readings), F::Rate) => readings.rate(env),
            (State::Readings(readings), _) => readings.collect(),
            (State::Unique(unique), F::Deduplicate) if !all(aggregate) => unique.newest(),
            (State::Unique(unique), _) => unique.all(),
            (State::Merged(merged), _) => merged.value(),
            (State::Sample(sample), F::PercentileCont) => {
                parameter().map_or(Value::Null, |share| sample.between(share))
            }
            (State::Sample(sample), F::PercentileDisc) => {
                parameter().map_or(Value::Null, |share| sample.at(share))
            }
            (State::Sample(sample), _) => sample.between(0.5),
            (State::Spread(moments), F::Var) => number(moments.variance(Of::Population)),
            (State::Spread(moments), F::Vars) => number(moments.variance(Of::Sample)),
            (State::Spread(moments), F::Stddevs) => number(moments.variance(Of::Sample).map(f64::sqrt)),
            (State::Spread(moments), _) => number(moments.variance(Of::Population).map(f64::sqrt)),
            (State::Distance(state), _) => {
                number(state.1.as_ref().and_then(|last| state.0.distance(&last.value)))
            }
            (State::Line(line), F::Predict) => number(parameter().and_then(|horizon| line.predict(horizon))),
            (State::Line(line), _) => number(line.slope()),
        }
    }

    /// What it took from the budget.
    pub(super) fn bytes(&self) -> usize {
        self.state.bytes() + self.seen.iter().flatten().map(Value::bytes).sum::<usize>()
    }

    /// Writes the state.
    pub(super) fn write(&self, out: &mut Writer) {
        self.state.write(out);
        if let Some(seen) = &self.seen {
            out.len(seen.len());
            seen.iter().for_each(|value| out.value(value));
        }
    }

    /// Reads the state of this aggregate. Its kind comes from the plan, not from the bytes.
    pub(super) fn read(aggregate: &Aggregate, from: &mut Reader<'_>) -> Result<Self, SnapshotError> {
        let mut new = Self::new(aggregate);
        new.state.read(from)?;
        if let Some(seen) = &mut new.seen {
            for _ in 0..from.len()? {
                seen.insert(from.value()?);
            }
        }
        Ok(new)
    }
}

/// Whether the aggregate takes this value in, or passes over it.
fn takes(function: AggregateFunction, [value, option]: &[Value; 2]) -> bool {
    use AggregateFunction as F;
    match function {
        F::Count | F::Min | F::Max | F::Deduplicate => !value.is_null(),
        F::Collect => true,
        F::FirstValue | F::LastValue => !value.is_null() || *option != Value::Bool(true),
        F::MergeAgg => matches!(value, Value::Struct(_)),
        F::PercentileDisc => sample::has_rank(value),
        F::Sum | F::Avg | F::Median | F::PercentileCont => value.as_f64().is_some(),
        F::Stddev | F::Stddevs | F::Var | F::Vars | F::Zscore => value.as_f64().is_some(),
        F::Increase | F::Rate | F::Delta | F::Slope | F::Predict => value.as_f64().is_some(),
    }
}

/// Whether `deduplicate` gives all values: unless its second argument is false.
fn all(aggregate: &Aggregate) -> bool {
    !matches!(aggregate.args.get(1), Some(Expr::Const(Value::Bool(false))))
}

/// A constant argument: a number, or a span as seconds.
fn constant(expr: &Expr) -> Option<f64> {
    match expr {
        Expr::Const(value) => seconds(value),
        _ => None,
    }
}

/// A span: a number of seconds, or a text such as `'5m'`.
pub(super) fn seconds(value: &Value) -> Option<f64> {
    match value {
        Value::Str(text) => parse_span(text).ok().map(|span| span.as_secs_f64()),
        value => value.as_f64(),
    }
}

/// What a value takes beyond its own place.
pub(super) fn beyond(value: &Value) -> usize {
    value.bytes() - size_of::<Value>()
}

/// Keeps the better one. A value that has no order with the best so far is passed over.
pub(super) fn keep(best: &mut Value, value: &Value, wanted: Ordering) {
    if best.is_null() || value.compare(best) == Some(wanted) {
        *best = value.clone();
    }
}

impl State {
    fn new(aggregate: &Aggregate) -> Self {
        use AggregateFunction as F;
        match aggregate.function {
            F::Count => Self::Count(0),
            F::Sum | F::Avg => Self::Sum(Sum::new()),
            F::Min => Self::Least(Value::Null),
            F::Max => Self::Greatest(Value::Null),
            F::Collect if aggregate.distinct => Self::Unique(Box::default()),
            F::Collect | F::Increase | F::Rate => Self::Readings(Readings::default()),
            F::FirstValue => Self::First(None),
            F::LastValue => Self::Last(None),
            F::MergeAgg => Self::Merged(Merged::default()),
            F::Deduplicate => Self::Unique(Box::default()),
            F::Median | F::PercentileCont | F::PercentileDisc => Self::Sample(Sample::default()),
            F::Stddev | F::Stddevs | F::Var | F::Vars => Self::Spread(Box::default()),
            F::Delta => Self::Ends(Box::default()),
            F::Zscore => Self::Distance(Box::default()),
            F::Slope | F::Predict => Self::Line(Box::default()),
        }
    }

    /// Adds a value that the aggregate takes. False where there was no room.
    fn add(&mut self, value: &Value, at: Timestamp, budget: &mut Budget) -> bool {
        let growth = match self {
            Self::Readings(_) => size_of::<Timestamp>() + value.bytes(),
            Self::Sample(_) => value.bytes(),
            Self::Unique(unique) => unique.cost(value),
            Self::Merged(merged) => return merged.add(value, at, budget),
            Self::First(_) | Self::Last(_) | Self::Least(_) | Self::Greatest(_) => {
                return self.replace(value, at, budget);
            }
            _ => 0,
        };
        if !budget.take(growth) {
            return false;
        }
        match self {
            Self::Count(n) => *n += 1,
            Self::Sum(sum) => sum.add(value),
            Self::Ends(ends) => ends.add(value, at),
            Self::Readings(readings) => readings.add(Reading { at, value: value.clone() }),
            Self::Unique(unique) => unique.add(value, at),
            Self::Sample(sample) => sample.add(value),
            Self::Spread(moments) => moments.add(value),
            Self::Distance(state) => {
                state.0.add(value);
                if state.1.as_ref().is_none_or(|last| at >= last.at) {
                    state.1 = Some(Reading { at, value: value.clone() });
                }
            }
            Self::Line(line) => line.add(value, at),
            Self::First(_) | Self::Last(_) | Self::Least(_) | Self::Greatest(_) | Self::Merged(_) => {}
        }
        true
    }

    /// Puts a value in the place of the one that is held, if it is the better one and there is room.
    fn replace(&mut self, value: &Value, at: Timestamp, budget: &mut Budget) -> bool {
        let held = self.bytes();
        let better = match self {
            Self::First(first) => first.as_ref().is_none_or(|first| at < first.at),
            Self::Last(last) => last.as_ref().is_none_or(|last| at >= last.at),
            Self::Least(best) => best.is_null() || value.compare(best) == Some(Ordering::Less),
            Self::Greatest(best) => best.is_null() || value.compare(best) == Some(Ordering::Greater),
            _ => false,
        };
        if !better {
            return true;
        }
        let needed = beyond(value);
        if !budget.take(needed.saturating_sub(held)) {
            return false;
        }
        budget.give(held.saturating_sub(needed));
        match self {
            Self::First(held) | Self::Last(held) => *held = Some(Reading { at, value: value.clone() }),
            Self::Least(best) | Self::Greatest(best) => *best = value.clone(),
            _ => {}
        }
        true
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Least(value) | Self::Greatest(value) => beyond(value),
            Self::First(reading) | Self::Last(reading) => {
                reading.as_ref().map_or(0, |reading| beyond(&reading.value))
            }
            Self::Readings(readings) => readings.bytes(),
            Self::Unique(unique) => unique.bytes(),
            Self::Merged(merged) => merged.bytes(),
            Self::Sample(sample) => sample.bytes(),
            // These hold numbers only, and grow at most once.
            Self::Count(_) | Self::Sum(_) | Self::Ends(_) => 0,
            Self::Spread(_) | Self::Distance(_) | Self::Line(_) => 0,
        }
    }

    fn write(&self, out: &mut Writer) {
        match self {
            Self::Count(n) => out.u64(*n),
            Self::Sum(sum) => sum.write(out),
            Self::Least(value) | Self::Greatest(value) => out.value(value),
            Self::First(reading) | Self::Last(reading) => Reading::write_option(reading.as_ref(), out),
            Self::Ends(ends) => ends.write(out),
            Self::Readings(readings) => readings.write(out),
            Self::Unique(unique) => unique.write(out),
            Self::Merged(merged) => merged.write(out),
            Self::Sample(sample) => sample.write(out),
            Self::Spread(moments) => moments.write(out),
            Self::Distance(state) => {
                state.0.write(out);
                Reading::write_option(state.1.as_ref(), out);
            }
            Self::Line(line) => line.write(out),
        }
    }

    fn read(&mut self, from: &mut Reader<'_>) -> Result<(), SnapshotError> {
        match self {
            Self::Count(n) => *n = from.u64()?,
            Self::Sum(sum) => *sum = Sum::read(from)?,
            Self::Least(value) | Self::Greatest(value) => *value = from.value()?,
            Self::First(reading) | Self::Last(reading) => *reading = Reading::read_option(from)?,
            Self::Ends(ends) => **ends = Ends::read(from)?,
            Self::Readings(readings) => *readings = Readings::read(from)?,
            Self::Unique(unique) => **unique = Unique::read(from)?,
            Self::Merged(merged) => *merged = Merged::read(from)?,
            Self::Sample(sample) => *sample = Sample::read(from)?,
            Self::Spread(moments) => **moments = Moments::read(from)?,
            Self::Distance(state) => {
                **state = (Moments::read(from)?, Reading::read_option(from)?);
            }
            Self::Line(line) => **line = Line::read(from)?,
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
