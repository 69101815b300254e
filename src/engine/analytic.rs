//! The analytic functions: what they remember of the rows (or groups) before, per partition.

use super::budget::Budget;
use super::expr::Scope;
use super::snapshot::{Reader, SnapshotError, Writer};
use crate::model::value::Value;
use crate::plan::logical::Analytic;

/// The state of all analytic functions of one list of a rule.
#[derive(Debug, Default)]
pub(super) struct Analytics {}

impl Analytics {
    /// Nothing seen yet.
    pub(super) fn new(_plan: &[Analytic]) -> Self {
        Self {}
    }

    /// Takes a row in, and gives the value of each function for it. `scope` has no analytics yet; they are
    /// filled in one after the other, so that one function may use those before it. The second is
    /// false where there was no room for a new partition: its functions are NULL then.
    pub(super) fn take(
        &mut self,
        plan: &[Analytic],
        _scope: Scope<'_>,
        _budget: &mut Budget,
    ) -> (Vec<Value>, bool) {
        (vec![Value::Null; plan.len()], true)
    }

    /// The row of `scope` (with its analytics) gave an output row.
    pub(super) fn hit(&mut self, _plan: &[Analytic], _scope: Scope<'_>) {}

    /// What it took from the budget.
    pub(super) fn bytes(&self) -> usize {
        0
    }

    /// Writes the state.
    pub(super) fn write(&self, _out: &mut Writer) {}

    /// Reads what [`Self::write`] wrote for the same functions.
    pub(super) fn read(plan: &[Analytic], _from: &mut Reader<'_>) -> Result<Self, SnapshotError> {
        Ok(Self::new(plan))
    }
}
