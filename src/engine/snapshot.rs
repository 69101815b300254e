//! The bytes of a snapshot: a compact encoding, written and read by hand. The reader checks every
//! length against what is left, so that no bytes, however broken, make it panic or allocate more
//! than they hold.
//!
//! Layout: the version; the number of tables, and for each its name, the signature of its stream, and
//! its state; the number of units, and for each the number of its rules, of each rule its id, the hash of what
//! its state depends on and its shape, and then the unit's state. States are counted runs of bytes that can be passed over.

use std::collections::BTreeMap;
use std::sync::Arc;

use thiserror::Error;

use super::layout::Layout;
use super::table::Tables;
use super::unit::{Unit, together};
use super::watermark::Mark;
use super::{Context, Engine, known, layouts};
use crate::model::time::Now;
use crate::model::time::Timestamp;
use crate::model::value::Value;

/// The first byte of a snapshot that this code writes and reads.
pub(super) const VERSION: u8 = 4;

/// How deep a value may be nested; decode lets nothing deeper in.
const MAX_DEPTH: usize = 80;

/// Why a snapshot was not taken over. The engine goes on with empty windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SnapshotError {
    /// Written by a program of another version.
    #[error("cannot read a snapshot of version {0}; open windows start empty")]
    Version(u8),
    /// It ends too early, or holds what no snapshot holds.
    #[error("cannot read the snapshot: it is damaged at byte {0}; open windows start empty")]
    Damaged(usize),
}

/// Writes a snapshot.
#[derive(Debug, Default)]
pub(super) struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    pub(super) fn u8(&mut self, n: u8) {
        self.bytes.push(n);
    }

    pub(super) fn bool(&mut self, b: bool) {
        self.u8(u8::from(b));
    }

    /// Seven bits a byte, the lowest first.
    pub(super) fn u64(&mut self, mut n: u64) {
        while n >= 0x80 {
            #[expect(clippy::cast_possible_truncation, reason = "the low seven bits are what is meant")]
            self.u8(n as u8 | 0x80);
            n >>= 7;
        }
        #[expect(clippy::cast_possible_truncation, reason = "less than 0x80")]
        self.u8(n as u8);
    }

    /// Small numbers of either sign are short.
    pub(super) fn i64(&mut self, n: i64) {
        self.u64((n.cast_unsigned() << 1) ^ (n >> 63).cast_unsigned());
    }

    pub(super) fn i128(&mut self, n: i128) {
        self.bytes.extend_from_slice(&n.to_le_bytes());
    }

    pub(super) fn f64(&mut self, x: f64) {
        self.bytes.extend_from_slice(&x.to_bits().to_le_bytes());
    }

    pub(super) fn len(&mut self, n: usize) {
        self.u64(n as u64);
    }

    /// What stands in another one.
    pub(super) fn append(&mut self, other: &Self) {
        self.bytes.extend_from_slice(&other.bytes);
    }

    pub(super) fn run(&mut self, bytes: &[u8]) {
        self.len(bytes.len());
        self.bytes.extend_from_slice(bytes);
    }

    pub(super) fn time(&mut self, at: Timestamp) {
        self.i64(at.micros());
    }

    pub(super) fn values(&mut self, values: &[Value]) {
        self.len(values.len());
        values.iter().for_each(|value| self.value(value));
    }

    pub(super) fn value(&mut self, value: &Value) {
        match value {
            Value::Null => self.u8(0),
            Value::Bool(b) => self.u8(1 + u8::from(*b)),
            Value::Int(i) => {
                self.u8(3);
                self.i64(*i);
            }
            Value::Float(x) => {
                self.u8(4);
                self.f64(*x);
            }
            Value::Str(s) => {
                self.u8(5);
                self.run(s.as_bytes());
            }
            Value::Time(at) => {
                self.u8(6);
                self.time(*at);
            }
            Value::Bytes(b) => {
                self.u8(7);
                self.run(b);
            }
            Value::Array(items) => {
                self.u8(8);
                self.values(items);
            }
            Value::Struct(members) => {
                self.u8(9);
                self.len(members.len());
                for (name, value) in members.iter() {
                    self.run(name.as_bytes());
                    self.value(value);
                }
            }
        }
    }
}

/// Reads a snapshot.
#[derive(Clone, Debug)]
pub(super) struct Reader<'b> {
    bytes: &'b [u8],
    at: usize,
}

impl<'b> Reader<'b> {
    pub(super) fn new(bytes: &'b [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Whether everything was read.
    pub(super) fn is_at_end(&self) -> bool {
        self.at == self.bytes.len()
    }

    pub(super) fn damaged(&self) -> SnapshotError {
        SnapshotError::Damaged(self.at)
    }

    fn take(&mut self, n: usize) -> Result<&'b [u8], SnapshotError> {
        let end = self.at.checked_add(n).ok_or_else(|| self.damaged())?;
        let bytes = self.bytes.get(self.at..end).ok_or_else(|| self.damaged())?;
        self.at = end;
        Ok(bytes)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], SnapshotError> {
        let bytes = self.take(N)?;
        bytes.try_into().map_err(|_| self.damaged())
    }

    pub(super) fn u8(&mut self) -> Result<u8, SnapshotError> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(super) fn bool(&mut self) -> Result<bool, SnapshotError> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(self.damaged()),
        }
    }

    pub(super) fn u64(&mut self) -> Result<u64, SnapshotError> {
        let mut n = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            n |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(n);
            }
        }
        Err(self.damaged())
    }

    pub(super) fn i64(&mut self) -> Result<i64, SnapshotError> {
        let n = self.u64()?;
        Ok((n >> 1).cast_signed() ^ -((n & 1).cast_signed()))
    }

    pub(super) fn i128(&mut self) -> Result<i128, SnapshotError> {
        self.array().map(i128::from_le_bytes)
    }

    pub(super) fn f64(&mut self) -> Result<f64, SnapshotError> {
        self.array().map(|bytes| f64::from_bits(u64::from_le_bytes(bytes)))
    }

    /// A number of things that take at least a byte each, so never more than bytes are left.
    pub(super) fn len(&mut self) -> Result<usize, SnapshotError> {
        let n = usize::try_from(self.u64()?).map_err(|_| self.damaged())?;
        if n > self.bytes.len() - self.at { Err(self.damaged()) } else { Ok(n) }
    }

    pub(super) fn run(&mut self) -> Result<&'b [u8], SnapshotError> {
        let n = self.len()?;
        self.take(n)
    }

    /// A run of bytes as a reader of its own.
    pub(super) fn part(&mut self) -> Result<Self, SnapshotError> {
        let n = self.len()?;
        let at = self.at;
        self.take(n)?;
        Ok(Self { bytes: &self.bytes[..self.at], at })
    }

    pub(super) fn text(&mut self) -> Result<&'b str, SnapshotError> {
        let run = self.run()?;
        std::str::from_utf8(run).map_err(|_| self.damaged())
    }

    pub(super) fn time(&mut self) -> Result<Timestamp, SnapshotError> {
        self.i64().map(Timestamp::from_micros)
    }

    pub(super) fn values(&mut self) -> Result<Vec<Value>, SnapshotError> {
        self.values_within(MAX_DEPTH)
    }

    pub(super) fn value(&mut self) -> Result<Value, SnapshotError> {
        self.value_within(MAX_DEPTH)
    }

    fn values_within(&mut self, depth: usize) -> Result<Vec<Value>, SnapshotError> {
        let n = self.len()?;
        (0..n).map(|_| self.value_within(depth)).collect()
    }

    fn value_within(&mut self, depth: usize) -> Result<Value, SnapshotError> {
        let depth = depth.checked_sub(1).ok_or_else(|| self.damaged())?;
        Ok(match self.u8()? {
            0 => Value::Null,
            1 => Value::Bool(false),
            2 => Value::Bool(true),
            3 => Value::Int(self.i64()?),
            4 => Value::float(self.f64()?),
            5 => Value::str(self.text()?),
            6 => Value::Time(self.time()?),
            7 => Value::Bytes(self.run()?.into()),
            8 => Value::Array(self.values_within(depth)?.into()),
            9 => {
                let mut members: BTreeMap<Arc<str>, Value> = BTreeMap::new();
                for _ in 0..self.len()? {
                    let name = self.text()?.into();
                    members.insert(name, self.value_within(depth)?);
                }
                Value::Struct(Arc::new(members))
            }
            _ => return Err(self.damaged()),
        })
    }
}

impl Engine {
    /// All state as bytes. Monotonic times are written as distances from `now`, so that another process
    /// can read them.
    pub fn snapshot(&self, now: Now) -> Vec<u8> {
        let mut out = Writer::default();
        out.u8(VERSION);
        self.tables.write(&self.plan, &mut out);
        let context = |unit: &Unit| Context::new(&self.plan, unit.leader(), &self.config);
        let units = self.units.all();
        let units: Vec<&Unit> = units.into_iter().filter(|unit| unit.has_state(context(unit))).collect();
        out.len(units.len());
        for unit in units {
            out.len(unit.rules.len());
            for rule in unit.rules.iter() {
                Context::new(&self.plan, *rule, &self.config).write_name(&mut out);
            }
            let ctx = context(unit);
            let mut state = Writer::default();
            layouts(ctx).iter().for_each(|layout| layout.write(&mut state));
            unit.write(Mark::of(now.mono), &mut state);
            out.run(&state.into_bytes());
        }
        out.into_bytes()
    }

    /// Takes over what [`Self::snapshot`] wrote, for every rule whose id and [`RulePlan::state`] are the
    /// same, and every table whose name and stream are; the other rules stay as they are.
    ///
    /// # Errors
    /// Where the bytes are no snapshot that this program reads. Nothing has changed then.
    pub fn restore(&mut self, bytes: &[u8], now: Now) -> Result<(), SnapshotError> {
        let mut from = Reader::new(bytes);
        match from.u8()? {
            VERSION => {}
            other => return Err(SnapshotError::Version(other)),
        }
        let tables = Tables::read(&self.plan, &self.config, &mut from)?;
        let known = known(&self.plan);
        let (mut restored, mut taken) = (Vec::new(), vec![false; self.plan.rules.len()]);
        for _ in 0..from.len()? {
            let mut rules = Vec::new();
            for _ in 0..from.len()? {
                let (name, hash, shape) = (from.text()?, from.u64()?, from.u64()?);
                let rule = known.get(&(name, hash)).copied();
                rules.extend(
                    rule.filter(|rule| Context::new(&self.plan, *rule, &self.config).shape() == shape),
                );
            }
            let state = from.part()?;
            if rules.iter().any(|rule| std::mem::replace(&mut taken[*rule], true)) {
                return Err(from.damaged());
            }
            for rules in together(&self.plan, &self.config, rules) {
                restored.push(self.read_unit(rules, now, state.clone())?);
            }
        }
        if !from.is_at_end() {
            return Err(from.damaged());
        }
        // What was replayed before this stands on the clock of another process.
        let mut shown = self.accounts();
        shown.iter_mut().for_each(|account| account.degraded_until = None);
        for unit in restored {
            self.units.leave(&self.plan, &self.config, &unit.rules);
            self.units.put(unit);
        }
        self.units.forgive();
        self.tables = tables;
        self.units.merge((&self.plan, &self.gates), &self.config);
        self.reindex();
        self.awaken();
        self.show(&shown);
        Ok(())
    }

    /// Reads the state of a unit, for these of the rules that it was written for.
    fn read_unit(&self, rules: Vec<usize>, now: Now, mut state: Reader<'_>) -> Result<Unit, SnapshotError> {
        let ctx = Context::new(&self.plan, rules.first().copied().unwrap_or_default(), &self.config);
        let now_layouts = layouts(ctx);
        let before: Result<Vec<Layout>, _> = now_layouts.iter().map(|_| Layout::read(&mut state)).collect();
        let mut unit = Unit::read(ctx, rules, Mark::of(now.mono), &mut state)?;
        if !state.is_at_end() {
            return Err(state.damaged());
        }
        unit.move_slots(&before?, &now_layouts);
        Ok(unit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_value_reads_back() {
        let json = serde_json::json!({"a": [1, -2.5, "x", null, true, {"b": []}], "c": i64::MIN});
        for value in [
            Value::from_json(&json),
            Value::Time(Timestamp::MIN),
            Value::Bytes(b"\0\xff".as_slice().into()),
            Value::Int(i64::MAX),
            Value::Float(-0.0),
        ] {
            let mut out = Writer::default();
            out.value(&value);
            let bytes = out.into_bytes();
            let mut from = Reader::new(&bytes);
            assert_eq!(format!("{:?}", from.value().unwrap()), format!("{value:?}"));
            assert!(from.is_at_end());
            for cut in 0..bytes.len() {
                assert!(Reader::new(&bytes[..cut]).value().is_err(), "{value:?} cut at {cut}");
            }
        }
    }

    #[test]
    fn nesting_and_lengths_are_bounded() {
        // Arrays of one array, deeper than the stack could bear.
        let deep = [8, 1].repeat(1_000_000);
        assert!(Reader::new(&deep).value().is_err());
        let long = [8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
        assert!(Reader::new(&long).value().is_err());
    }

    proptest! {
        #[test]
        fn numbers_read_back(u: u64, i: i64, w: i128) {
            let mut out = Writer::default();
            out.u64(u);
            out.i64(i);
            out.i128(w);
            let bytes = out.into_bytes();
            let mut from = Reader::new(&bytes);
            prop_assert_eq!((from.u64(), from.i64(), from.i128()), (Ok(u), Ok(i), Ok(w)));
        }
    }
}
