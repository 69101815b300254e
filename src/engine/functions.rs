//! What the analytic functions of single rules remember, apart from a snapshot of everything: whoever writes down what a
//! rule told can write this down with it, so that a change is not told again of what is older.
//!
//! Layout: the version; the number of units, and for each its rules as in a [snapshot](super::snapshot), and what its
//! functions over rows learned since this was last asked.

use std::collections::BTreeSet;

use super::snapshot::{Reader, SnapshotError, VERSION, Writer};
use super::{Context, Engine, known};

impl Engine {
    /// What the functions over rows of these rules remember that was not given before, as bytes.
    pub fn take_functions(&mut self, rules: impl Iterator<Item = usize>) -> Vec<u8> {
        let places: BTreeSet<usize> = rules.map(|rule| self.units.place(rule)).collect();
        let mut units = Writer::default();
        let mut count = 0;
        for place in places {
            let Some(unit) = self.units.list.get_mut(place).and_then(Option::as_mut) else { continue };
            units.len(unit.rules.len());
            for rule in unit.rules.iter() {
                Context::new(&self.plan, *rule, &self.config).write_name(&mut units);
            }
            let mut state = Writer::default();
            unit.ledger.rows.write_news(&mut state);
            units.run(&state.into_bytes());
            count += 1;
        }
        let mut out = Writer::default();
        out.u8(VERSION);
        out.len(count);
        out.append(&units);
        out.into_bytes()
    }

    /// Takes over what [`Self::take_functions`] wrote, behind a snapshot from before it.
    ///
    /// # Errors
    /// Where the bytes are none of those. What stood before the place of the damage was taken over then.
    pub fn restore_functions(&mut self, bytes: &[u8]) -> Result<(), SnapshotError> {
        let mut from = Reader::new(bytes);
        match from.u8()? {
            VERSION => {}
            other => return Err(SnapshotError::Version(other)),
        }
        let known = known(&self.plan);
        for _ in 0..from.len()? {
            let mut places = BTreeSet::new();
            for _ in 0..from.len()? {
                let (name, hash, shape) = (from.text()?, from.u64()?, from.u64()?);
                let rule = known.get(&(name, hash)).copied();
                let same = |rule: &usize| Context::new(&self.plan, *rule, &self.config).shape() == shape;
                places.extend(rule.filter(same).map(|rule| self.units.place(rule)));
            }
            let state = from.part()?;
            for place in places {
                let Some(unit) = self.units.list.get_mut(place).and_then(Option::as_mut) else { continue };
                let plan = &self.plan.rules[unit.leader()].analytics;
                let before = unit.ledger.rows.bytes();
                let read = unit.ledger.rows.read_news(plan, &mut state.clone());
                unit.ledger.budget.give(before);
                unit.ledger.budget.charge(unit.ledger.rows.bytes());
                read?;
            }
        }
        if from.is_at_end() { Ok(()) } else { Err(from.damaged()) }
    }
}
