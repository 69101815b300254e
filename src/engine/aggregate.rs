//! What a window remembers for one aggregate of one group. Sums of integers are exact, sums of
//! floats compensated (Neumaier), so that neither their order nor their number shows.

use std::cmp::Ordering;
use std::collections::HashSet;

use super::budget::Budget;
use super::expr::{Scope, eval, holds};
use super::snapshot::{Reader, SnapshotError, Writer};
use crate::model::time::Timestamp;
use crate::model::value::Value;
use crate::plan::logical::{Aggregate, AggregateFunction};

/// The state of one aggregate.
#[derive(Clone, Debug)]
pub(super) struct Accumulator {
    state: State,
    /// With DISTINCT, the values so far.
    seen: Option<HashSet<Value>>,
}

#[derive(Clone, Debug)]
enum State {
    Count(u64),
    Sum(Sum),
    Mean(Sum),
    Least(Value),
    Greatest(Value),
}

/// A running sum.
#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    count: u64,
    /// The integers among the values. 128 bits hold more of them than ever come.
    integers: i128,
    floats: f64,
    /// What rounding took off `floats`.
    carry: f64,
    only_integers: bool,
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
        let sum = Sum { only_integers: true, ..Sum::default() };
        let state = match aggregate.function {
            AggregateFunction::Count => State::Count(0),
            AggregateFunction::Sum => State::Sum(sum),
            AggregateFunction::Avg => State::Mean(sum),
            AggregateFunction::Min => State::Least(Value::Null),
            _ => State::Greatest(Value::Null),
        };
        Self { state, seen: aggregate.distinct.then(HashSet::new) }
    }

    /// Takes in what a row of this time gives. What it must remember of it is taken from the budget;
    /// false where there was no room, and the row was left out.
    pub(super) fn add(
        &mut self,
        aggregate: &Aggregate,
        input: &[Value; 2],
        _at: Timestamp,
        budget: &mut Budget,
    ) -> bool {
        let [value, _] = input;
        if aggregate.args.is_empty() {
            if let State::Count(n) = &mut self.state {
                *n += 1;
            }
            return true;
        }
        if value.is_null() {
            return true;
        }
        if let Some(seen) = &mut self.seen {
            if seen.contains(value) {
                return true;
            }
            if !budget.take(value.bytes()) {
                return false;
            }
            seen.insert(value.clone());
        }
        self.state.add(value);
        true
    }

    /// The aggregate's value so far.
    pub(super) fn value(&self) -> Value {
        match &self.state {
            State::Count(n) => i64::try_from(*n).map_or(Value::Null, Value::Int),
            State::Sum(sum) => sum.total(),
            State::Mean(sum) => sum.mean(),
            State::Least(value) | State::Greatest(value) => value.clone(),
        }
    }

    /// What it took from the budget.
    pub(super) fn bytes(&self) -> usize {
        self.seen.iter().flatten().map(Value::bytes).sum()
    }

    /// Writes the state.
    pub(super) fn write(&self, out: &mut Writer) {
        match &self.state {
            State::Count(n) => out.u64(*n),
            State::Sum(sum) | State::Mean(sum) => {
                out.u64(sum.count);
                out.i128(sum.integers);
                out.f64(sum.floats);
                out.f64(sum.carry);
                out.bool(sum.only_integers);
            }
            State::Least(value) | State::Greatest(value) => out.value(value),
        }
        if let Some(seen) = &self.seen {
            out.len(seen.len());
            seen.iter().for_each(|value| out.value(value));
        }
    }

    /// Reads the state of this aggregate. Its kind comes from the plan, not from the bytes.
    pub(super) fn read(aggregate: &Aggregate, from: &mut Reader<'_>) -> Result<Self, SnapshotError> {
        let mut new = Self::new(aggregate);
        match &mut new.state {
            State::Count(n) => *n = from.u64()?,
            State::Sum(sum) | State::Mean(sum) => {
                *sum = Sum {
                    count: from.u64()?,
                    integers: from.i128()?,
                    floats: from.f64()?,
                    carry: from.f64()?,
                    only_integers: from.bool()?,
                };
            }
            State::Least(value) | State::Greatest(value) => *value = from.value()?,
        }
        if let Some(seen) = &mut new.seen {
            for _ in 0..from.len()? {
                seen.insert(from.value()?);
            }
        }
        Ok(new)
    }
}

impl State {
    fn add(&mut self, value: &Value) {
        match self {
            Self::Count(n) => *n += 1,
            Self::Sum(sum) | Self::Mean(sum) => sum.add(value),
            Self::Least(best) => keep(best, value, Ordering::Less),
            Self::Greatest(best) => keep(best, value, Ordering::Greater),
        }
    }
}

/// Keeps the better one. A value that has no order with the best so far is passed over.
fn keep(best: &mut Value, value: &Value, wanted: Ordering) {
    if best.is_null() || value.compare(best) == Some(wanted) {
        *best = value.clone();
    }
}

impl Sum {
    fn add(&mut self, value: &Value) {
        match value {
            Value::Int(i) => self.integers = self.integers.saturating_add(i128::from(*i)),
            Value::Float(x) => {
                self.only_integers = false;
                let total = self.floats + x;
                self.carry += if self.floats.abs() >= x.abs() {
                    (self.floats - total) + x
                } else {
                    (x - total) + self.floats
                };
                self.floats = total;
            }
            _ => return,
        }
        self.count += 1;
    }

    #[expect(clippy::cast_precision_loss, reason = "a float is the best that a mixed sum can be")]
    fn float(&self) -> f64 {
        self.floats + self.carry + self.integers as f64
    }

    fn total(&self) -> Value {
        match i64::try_from(self.integers) {
            _ if self.count == 0 => Value::Null,
            Ok(exact) if self.only_integers => Value::Int(exact),
            _ => Value::float(self.float()),
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "no window holds 2^53 rows")]
    fn mean(&self) -> Value {
        if self.count == 0 { Value::Null } else { Value::float(self.float() / self.count as f64) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::expr::Env;
    use crate::plan::logical::{BinaryOp, Expr};

    fn over(function: AggregateFunction, distinct: bool, values: &[Value]) -> Value {
        let aggregate = Aggregate { function, args: vec![Expr::Field(0, 0)], filter: None, distinct };
        let mut acc = Accumulator::new(&aggregate);
        let mut budget = Budget::new(1 << 20);
        for value in values {
            assert!(acc.add(&aggregate, &[value.clone(), Value::Null], Timestamp::default(), &mut budget));
        }
        acc.value()
    }

    #[track_caller]
    fn check(function: AggregateFunction, values: &[Value], expected: Value) {
        assert_eq!(
            format!("{:?}", over(function, false, values)),
            format!("{expected:?}"),
            "{function:?} {values:?}"
        );
    }

    #[test]
    fn nothing_and_nulls() {
        use AggregateFunction::{Avg, Count, Max, Min, Sum};
        for values in [&[][..], &[Value::Null]] {
            check(Count, values, Value::Int(0));
            for function in [Sum, Avg, Min, Max] {
                check(function, values, Value::Null);
            }
        }
    }

    #[test]
    fn sums_are_exact_where_they_can_be() {
        use AggregateFunction::{Avg, Sum};
        let (i, x) = (Value::Int, Value::Float);
        check(Sum, &[i(1), i(2)], i(3));
        check(Sum, &[i(i64::MAX), i(1)], x(9_223_372_036_854_775_808.0));
        check(Sum, &[i(i64::MAX), i(1), i(-1)], i(i64::MAX));
        check(Sum, &[i(1), x(0.5)], x(1.5));
        check(Sum, &[x(1e100), x(1.0), x(-1e100)], x(1.0));
        check(Sum, &vec![x(0.1); 10], x(1.0));
        check(Avg, &[i(1), i(2)], x(1.5));
        check(Sum, &[Value::str("5"), i(2)], i(2));
    }

    #[test]
    fn extremes_distinct_and_filter() {
        use AggregateFunction::{Count, Max, Min, Sum};
        let (i, x) = (Value::Int, Value::Float);
        check(Min, &[i(3), x(1.5), Value::Null], x(1.5));
        check(Max, &[i(3), x(1.5)], i(3));
        check(Max, &[i(3), Value::str("a")], i(3));
        assert_eq!(over(Count, true, &[i(1), x(1.0), i(2)]), i(2));
        assert_eq!(over(Sum, true, &[i(1), i(1), i(2)]), i(3));

        let positive = Expr::Binary(BinaryOp::Gt, Box::new(Expr::Field(0, 0)), Box::new(Expr::Const(i(0))));
        let aggregate = Aggregate { function: Count, args: vec![], filter: Some(positive), distinct: false };
        let env = Env::default();
        let passes = |value: Value| input(&aggregate, Scope::row(&[&[value]], &[], &env)).is_some();
        assert!(passes(i(1)) && !passes(i(-1)) && !passes(Value::Null));
    }

    #[test]
    fn distinct_says_when_it_has_no_room() {
        let args = vec![Expr::Field(0, 0)];
        let aggregate = Aggregate { function: AggregateFunction::Count, args, filter: None, distinct: true };
        let mut acc = Accumulator::new(&aggregate);
        let mut budget = Budget::new(Value::Int(1).bytes());
        let mut add =
            |n: i64| acc.add(&aggregate, &[Value::Int(n), Value::Null], Timestamp::default(), &mut budget);
        assert!(add(1));
        assert!(add(1));
        assert!(!add(2));
        assert_eq!(acc.value(), Value::Int(1));
        assert_eq!(acc.bytes(), budget.used());
    }
}
