//! The partitions of all functions with one PARTITION BY: found by the row's key, forgotten when they
//! have been quiet for longest and room is short.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::cell::Cell;
use crate::engine::budget::Budget;
use crate::engine::expr::Scope;
use crate::engine::snapshot::{Reader, SnapshotError, Writer};
use crate::model::fold::BuildFold;
use crate::model::time::Timestamp;
use crate::model::value::Value;
use crate::plan::logical::Analytic;

/// All partitions, and which of them the row at hand belongs to.
#[derive(Debug)]
pub(super) struct Partitions {
    /// How many there may be.
    most: usize,
    /// The functions, by their places in the plan.
    members: Vec<usize>,
    known: HashMap<Arc<[Value]>, Partition, BuildFold>,
    /// The key of the row at hand, and whether its partition is there.
    key: Vec<Value>,
    here: bool,
    /// Counts rows: the greater, the later.
    turn: u64,
    /// The turn up to which everything was written down by itself.
    written: u64,
    /// What was taken from the budget.
    bytes: usize,
}

#[derive(Debug)]
struct Partition {
    /// The turn of its last row.
    used: u64,
    /// One for each function.
    cells: Box<[Cell]>,
}

impl Partitions {
    /// None yet.
    pub(super) fn new(most: usize) -> Self {
        let (members, key) = (Vec::new(), Vec::new());
        Self { most, members, known: HashMap::default(), key, here: false, turn: 0, written: 0, bytes: 0 }
    }

    /// Adds a function; gives its place.
    pub(super) fn join(&mut self, function: usize) -> usize {
        self.members.push(function);
        self.members.len() - 1
    }

    /// Turns to the partition of a row.
    pub(super) fn turn_to(&mut self, key: impl Iterator<Item = Value>) {
        self.key.clear();
        self.key.extend(key);
        self.turn += 1;
        let partition = self.known.get_mut(self.key.as_slice());
        self.here = partition.is_some();
        if let Some(partition) = partition {
            partition.used = self.turn;
        }
    }

    /// What the function gave for the last row that counted.
    pub(super) fn kept(&self, place: usize) -> Value {
        let partition = self.known.get(self.key.as_slice());
        partition.map_or(Value::Null, |partition| partition.cells[place].kept())
    }

    /// Makes the partition if it is not there. False where there is no room, which counts as refused.
    pub(super) fn enter(&mut self, plan: &[Analytic], budget: &mut Budget, refused: &mut u64) -> bool {
        if self.here {
            return true;
        }
        let cost = self.cost(&self.key);
        if self.known.len() >= self.most || !budget.has(cost) {
            *refused += self.forget_quietest(budget);
        }
        if self.known.len() >= self.most || !budget.take(cost) {
            *refused += 1;
            return false;
        }
        self.bytes += cost;
        let cells = self.members.iter().map(|index| Cell::new(&plan[*index])).collect();
        self.known.insert(self.key.as_slice().into(), Partition { used: self.turn, cells });
        self.here = true;
        true
    }

    /// The function's value for the row at hand, which it remembers. Where there is no room for that, it
    /// begins anew, and that counts as refused.
    pub(super) fn step(
        &mut self,
        place: usize,
        analytic: &Analytic,
        scope: Scope<'_>,
        budget: &mut Budget,
        refused: &mut u64,
    ) -> Value {
        let Some(partition) = self.known.get_mut(self.key.as_slice()) else { return Value::Null };
        let cell = &mut partition.cells[place];
        let before = cell.bytes();
        let value = cell.step(analytic, scope);
        let after = cell.bytes();
        self.bytes -= before;
        budget.give(before);
        if !budget.has(after) {
            *refused += self.forget_quietest(budget);
        }
        if budget.take(after) {
            self.bytes += after;
        } else if let Some(partition) = self.known.get_mut(self.key.as_slice()) {
            partition.cells[place] = Cell::new(analytic);
            *refused += 1;
        }
        value
    }

    /// The row at hand gave output at this time.
    pub(super) fn hit(&mut self, place: usize, at: Timestamp) {
        if let Some(partition) = self.known.get_mut(self.key.as_slice()) {
            partition.cells[place].hit(at);
        }
    }

    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// Forgets a sixteenth of the partitions at once, so that the search for them is rare; never the one
    /// of the row at hand. Gives back how many.
    fn forget_quietest(&mut self, budget: &mut Budget) -> u64 {
        let turn = self.turn;
        let others = self.known.iter().filter(|(_, partition)| partition.used != turn);
        let mut quiet: Vec<(u64, Arc<[Value]>)> =
            others.map(|(key, partition)| (partition.used, key.clone())).collect();
        let count = (1 + quiet.len() / 16).min(quiet.len());
        if count < quiet.len() {
            quiet.select_nth_unstable_by_key(count, |(used, _)| *used);
        }
        for (_, key) in quiet.iter().take(count) {
            if let Some(partition) = self.known.remove(key) {
                let freed = self.size(key, &partition.cells);
                self.bytes -= freed;
                budget.give(freed);
            }
        }
        count as u64
    }

    /// What a partition takes besides what its functions remember.
    fn cost(&self, key: &[Value]) -> usize {
        let cells = self.members.len() * size_of::<Cell>();
        size_of::<(Arc<[Value]>, Partition)>() + key.iter().map(Value::bytes).sum::<usize>() + cells
    }

    /// What was taken from the budget.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Writes the partitions.
    pub(super) fn write(&self, out: &mut Writer) {
        self.write_since(None, out);
    }

    /// Writes those that rows came for since this was last asked.
    pub(super) fn write_news(&mut self, out: &mut Writer) {
        self.write_since(Some(self.written), out);
        self.written = self.turn;
    }

    fn write_since(&self, turn: Option<u64>, out: &mut Writer) {
        let known = self.known.iter().filter(|(_, partition)| turn.is_none_or(|turn| partition.used > turn));
        let known: Vec<(&Arc<[Value]>, &Partition)> = known.collect();
        out.u64(self.turn);
        out.len(known.len());
        for (key, partition) in known {
            out.values(key);
            out.u64(partition.used);
            partition.cells.iter().for_each(|cell| cell.write(out));
        }
    }

    /// Reads what [`Self::write`] or [`Self::write_news`] wrote for the same functions, in the place of what is known of
    /// the same partitions.
    pub(super) fn read(&mut self, plan: &[Analytic], from: &mut Reader<'_>) -> Result<(), SnapshotError> {
        self.turn = from.u64()?;
        self.written = self.turn;
        let mut read = HashSet::new();
        for _ in 0..from.len()? {
            let key: Arc<[Value]> = from.values()?.into();
            let used = from.u64()?;
            let cells: Result<Box<[Cell]>, _> =
                self.members.iter().map(|index| Cell::read(&plan[*index], from)).collect();
            let cells = cells?;
            self.bytes += self.size(&key, &cells);
            if used > self.turn || !read.insert(key.clone()) {
                return Err(from.damaged());
            }
            if let Some(before) = self.known.insert(key.clone(), Partition { used, cells }) {
                self.bytes -= self.size(&key, &before.cells);
            }
        }
        Ok(())
    }

    fn size(&self, key: &[Value], cells: &[Cell]) -> usize {
        self.cost(key) + cells.iter().map(Cell::bytes).sum::<usize>()
    }
}
