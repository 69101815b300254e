//! A running sum, exact over integers and floats, so that neither the order of the values shows, nor
//! their number, nor in how many parts they were summed up.

use super::exact::Exact;
use super::wide::Wide;
use crate::engine::expr::Env;
use crate::engine::snapshot::{Reader, SnapshotError, Writer};
use crate::model::value::Value;

/// The sum of the numbers so far.
#[derive(Clone, Debug, Default)]
pub(in crate::engine) struct Sum {
    count: u64,
    /// How many of the values are floats.
    float_count: u64,
    /// The integers among the values. 128 bits hold more of them than ever come.
    integers: i128,
    floats: Exact,
    /// Whether it is to have no value any more.
    lost: bool,
}

impl Sum {
    /// Of nothing.
    pub(in crate::engine) fn new() -> Self {
        Self::default()
    }

    /// Adds a number; passes over everything else.
    #[inline]
    pub(in crate::engine) fn add(&mut self, value: &Value) {
        match value {
            Value::Int(i) => self.integers = self.integers.saturating_add(i128::from(*i)),
            Value::Float(x) => {
                self.float_count += 1;
                self.floats.add(*x);
            }
            _ => return,
        }
        self.count += 1;
    }

    /// Adds the sum of others.
    #[inline]
    pub(in crate::engine) fn merge(&mut self, other: &Self) {
        self.count += other.count;
        self.lost |= other.lost;
        self.integers = self.integers.saturating_add(other.integers);
        if other.float_count > 0 {
            self.float_count += other.float_count;
            self.floats.merge(&other.floats);
        }
    }

    /// Takes the sum of others away again, which was added before.
    pub(super) fn unmerge(&mut self, other: &Self) {
        self.count = self.count.saturating_sub(other.count);
        self.integers = self.integers.saturating_sub(other.integers);
        if other.float_count > 0 {
            self.float_count = self.float_count.saturating_sub(other.float_count);
            if self.float_count == 0 {
                self.floats = Exact::default();
            } else {
                self.floats.subtract(&other.floats);
            }
        }
    }

    /// Has no value from here on, if it is beyond all floats: for sums whose every step is looked at.
    pub(in crate::engine) fn stay_lost(&mut self) {
        self.lost |= self.float_count > 0 && !self.wide().high().is_finite();
    }

    /// What it takes beyond its own place.
    #[inline]
    pub(in crate::engine) fn bytes(&self) -> usize {
        self.floats.bytes()
    }

    fn wide(&self) -> Wide {
        if self.float_count == 0 {
            return Wide::integer(self.integers);
        }
        if self.integers == 0 {
            return self.floats.wide();
        }
        let mut all = self.floats.clone();
        all.add_integer(self.integers);
        all.wide()
    }

    /// BIGINT while all are and it fits, else FLOAT; NULL for nothing.
    pub(in crate::engine) fn total(&self, env: &Env) -> Value {
        match i64::try_from(self.integers) {
            _ if self.count == 0 => Value::Null,
            _ if self.lost => env.undefined(),
            Ok(exact) if self.float_count == 0 => Value::Int(exact),
            _ => env.float(self.wide().high()),
        }
    }

    /// Always FLOAT; NULL for nothing.
    pub(in crate::engine) fn mean(&self, env: &Env) -> Value {
        if self.count == 0 {
            return Value::Null;
        }
        if self.lost {
            return env.undefined();
        }
        env.float(self.wide().over(Wide::count(self.count)).value())
    }

    pub(in crate::engine) fn write(&self, out: &mut Writer) {
        out.u64(self.count);
        out.u64(self.float_count);
        out.i128(self.integers);
        out.bool(self.lost);
        if self.float_count > 0 {
            self.floats.write(out);
        }
    }

    pub(in crate::engine) fn read(from: &mut Reader<'_>) -> Result<Self, SnapshotError> {
        let (count, float_count, integers) = (from.u64()?, from.u64()?, from.i128()?);
        let lost = from.bool()?;
        let floats = if float_count > 0 { Exact::read(from)? } else { Exact::default() };
        Ok(Self { count, float_count, integers, floats, lost })
    }
}
