//! A running sum: exact over integers, compensated over floats (Neumaier), so that neither the order
//! of the values nor their number shows.

use super::wide::Wide;
use crate::engine::expr::Env;
use crate::engine::snapshot::{Reader, SnapshotError, Writer};
use crate::model::value::Value;

/// The sum of the numbers so far.
#[derive(Clone, Copy, Debug)]
pub(in crate::engine) struct Sum {
    count: u64,
    /// The integers among the values. 128 bits hold more of them than ever come.
    integers: i128,
    floats: f64,
    /// What rounding took off `floats`.
    carry: f64,
    only_integers: bool,
}

impl Sum {
    /// Of nothing.
    pub(in crate::engine) const fn new() -> Self {
        Self { count: 0, integers: 0, floats: 0.0, carry: 0.0, only_integers: true }
    }

    /// Adds a number; passes over everything else.
    pub(in crate::engine) fn add(&mut self, value: &Value) {
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

    fn wide(&self) -> Wide {
        Wide::float(self.floats).plus(Wide::float(self.carry)).plus(Wide::integer(self.integers))
    }

    /// BIGINT while all are and it fits, else FLOAT; NULL for nothing.
    pub(in crate::engine) fn total(&self, env: &Env) -> Value {
        match i64::try_from(self.integers) {
            _ if self.count == 0 => Value::Null,
            Ok(exact) if self.only_integers => Value::Int(exact),
            _ => env.float(self.wide().value()),
        }
    }

    /// Always FLOAT; NULL for nothing.
    pub(in crate::engine) fn mean(&self, env: &Env) -> Value {
        if self.count == 0 {
            return Value::Null;
        }
        env.float(self.wide().over(Wide::count(self.count)).value())
    }

    pub(in crate::engine) fn write(&self, out: &mut Writer) {
        out.u64(self.count);
        out.i128(self.integers);
        out.f64(self.floats);
        out.f64(self.carry);
        out.bool(self.only_integers);
    }

    pub(in crate::engine) fn read(from: &mut Reader<'_>) -> Result<Self, SnapshotError> {
        Ok(Self {
            count: from.u64()?,
            integers: from.i128()?,
            floats: from.f64()?,
            carry: from.f64()?,
            only_integers: from.bool()?,
        })
    }
}
