//! The tables that rules look into: fixed rows with the indexes that joins need, and the newest row
//! of each key of a stream.
//!
//! A table of newest rows keeps them in the order in which their keys first came. It holds at most
//! as many keys as a rule may have groups, and as many bytes as a rule's state; beyond that the
//! longest quiet are forgotten, a sixteenth at once.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::Config;
use super::budget::{Budget, weight};
use super::layout::{Layout, Remap};
use super::snapshot::{Reader, SnapshotError, Writer};
use crate::model::row::Row;
use crate::model::time::Timestamp;
use crate::model::value::Value;
use crate::plan::logical::{Content, Plan, Side};

/// The values of one row, shared by all who hold it.
pub(super) type Slots = Arc<[Value]>;

/// All tables of a plan.
#[derive(Debug, Default)]
pub(super) struct Tables {
    tables: Vec<Table>,
}

#[derive(Debug)]
enum Table {
    Fixed(Fixed),
    Latest(Box<Latest>),
}

#[derive(Debug)]
struct Fixed {
    rows: Vec<Slots>,
    /// By the slots that a join asks for: which rows have these values there.
    indexes: HashMap<Vec<usize>, HashMap<Vec<Value>, Vec<usize>>>,
}

#[derive(Debug)]
struct Latest {
    /// The slot of the key; without one there is one row.
    key: Option<usize>,
    /// In the order in which the keys came.
    rows: BTreeMap<u64, Newest>,
    places: HashMap<Value, u64>,
    /// Counts the rows that came in.
    ticks: u64,
    budget: Budget,
    max_keys: usize,
}

#[derive(Debug)]
struct Newest {
    key: Value,
    slots: Slots,
    time: Timestamp,
    /// The tick at which the key last had a row.
    seen: u64,
}

impl Tables {
    /// The tables of a plan; those that a stream feeds are empty.
    pub(super) fn new(plan: &Plan, config: &Config) -> Self {
        let mut tables: Vec<Table> = plan
            .tables
            .iter()
            .map(|table| match &table.content {
                Content::Fixed(rows) => Table::Fixed(Fixed {
                    rows: rows.iter().map(|row| row.iter().cloned().collect()).collect(),
                    indexes: HashMap::new(),
                }),
                Content::Latest { stream } => {
                    let key = plan.streams.get(*stream).and_then(|spec| spec.key);
                    Table::Latest(Box::new(Latest::new(key, config)))
                }
            })
            .collect();
        for rule in plan.rules.iter() {
            for (side, join) in rule.from.sides.iter().skip(1).zip(&rule.from.joins) {
                if let Side::Table(table) = side
                    && let Some(Table::Fixed(fixed)) = tables.get_mut(*table)
                {
                    fixed.index(join.equal.iter().map(|(_, slot)| *slot).collect());
                }
            }
        }
        Self { tables }
    }

    /// All rows of a table.
    pub(super) fn rows(&self, table: usize) -> Vec<&Slots> {
        match self.tables.get(table) {
            Some(Table::Fixed(fixed)) => fixed.rows.iter().collect(),
            Some(Table::Latest(latest)) => latest.rows.values().map(|newest| &newest.slots).collect(),
            None => Vec::new(),
        }
    }

    /// The rows that may have these values in these slots, in the table's order: at least all that do.
    pub(super) fn candidates(&self, table: usize, equal: &[(usize, Value)]) -> Vec<&Slots> {
        if equal.is_empty() {
            return self.rows(table);
        }
        match self.tables.get(table) {
            Some(Table::Fixed(fixed)) => {
                let slots: Vec<usize> = equal.iter().map(|(slot, _)| *slot).collect();
                let Some(index) = fixed.indexes.get(&slots) else { return self.rows(table) };
                let values: Vec<Value> = equal.iter().map(|(_, value)| value.clone()).collect();
                index.get(&values).into_iter().flatten().map(|row| &fixed.rows[*row]).collect()
            }
            Some(Table::Latest(latest)) => {
                let Some((_, value)) = equal.iter().find(|(slot, _)| Some(*slot) == latest.key) else {
                    return self.rows(table);
                };
                let place = latest.places.get(value);
                place
                    .and_then(|place| latest.rows.get(place))
                    .map(|newest| &newest.slots)
                    .into_iter()
                    .collect()
            }
            None => Vec::new(),
        }
    }

    /// Gives a row to a table that its stream feeds. Gives back how many rows were forgotten or refused.
    pub(super) fn feed(&mut self, table: usize, row: &Row) -> u64 {
        match self.tables.get_mut(table) {
            Some(Table::Latest(latest)) => latest.feed(row),
            _ => 0,
        }
    }

    /// Takes over the content of another plan's tables, where name and stream are the same.
    pub(super) fn take_over(&mut self, plan: &Plan, mut old: Self, old_plan: &Plan) {
        for (at, table) in plan.tables.iter().enumerate() {
            let Some(was) = old_plan.tables.iter().position(|other| other.name == table.name) else {
                continue;
            };
            let (Content::Latest { stream }, Content::Latest { stream: before }) =
                (&table.content, &old_plan.tables[was].content)
            else {
                continue;
            };
            let (spec, spec_before) = (&plan.streams[*stream], &old_plan.streams[*before]);
            if spec.signature() != spec_before.signature() {
                continue;
            }
            let remap = Layout::of(spec).from(&Layout::of(spec_before));
            if let (Some(Table::Latest(new)), Some(Table::Latest(old))) =
                (self.tables.get_mut(at), old.tables.get_mut(was))
            {
                new.take_over(old, &remap);
            }
        }
    }

    /// Writes the tables that streams feed.
    pub(super) fn write(&self, plan: &Plan, out: &mut Writer) {
        let fed = || {
            self.tables.iter().zip(&plan.tables).filter_map(|(table, spec)| match (table, &spec.content) {
                (Table::Latest(latest), Content::Latest { stream }) => {
                    Some((latest, spec, &plan.streams[*stream]))
                }
                _ => None,
            })
        };
        out.len(fed().count());
        for (latest, table, stream) in fed() {
            out.run(table.name.as_bytes());
            out.run(stream.signature().as_bytes());
            let mut state = Writer::default();
            Layout::of(stream).write(&mut state);
            latest.write(&mut state);
            out.run(&state.into_bytes());
        }
    }

    /// Reads what [`Self::write`] wrote, for the tables that are still the same.
    pub(super) fn read(plan: &Plan, config: &Config, from: &mut Reader<'_>) -> Result<Self, SnapshotError> {
        let mut new = Self::new(plan, config);
        for _ in 0..from.len()? {
            let (name, signature) = (from.text()?, from.text()?);
            let mut state = from.part()?;
            let known = plan.tables.iter().position(|table| *table.name == *name);
            let Some(at) = known else { continue };
            let (Some(Table::Latest(latest)), Content::Latest { stream }) =
                (new.tables.get_mut(at), &plan.tables[at].content)
            else {
                continue;
            };
            let stream = &plan.streams[*stream];
            if stream.signature() != signature {
                continue;
            }
            let remap = Layout::of(stream).from(&Layout::read(&mut state)?);
            let mut old = Latest::new(latest.key, config);
            old.read(&mut state)?;
            if !state.is_at_end() {
                return Err(state.damaged());
            }
            latest.take_over(&mut old, &remap);
        }
        Ok(new)
    }
}

impl Fixed {
    fn index(&mut self, slots: Vec<usize>) {
        if slots.is_empty() || self.indexes.contains_key(&slots) {
            return;
        }
        let mut index: HashMap<Vec<Value>, Vec<usize>> = HashMap::new();
        for (at, row) in self.rows.iter().enumerate() {
            let values = slots.iter().map(|slot| row.get(*slot).cloned().unwrap_or_default()).collect();
            index.entry(values).or_default().push(at);
        }
        self.indexes.insert(slots, index);
    }
}

impl Latest {
    fn new(key: Option<usize>, config: &Config) -> Self {
        Self {
            key,
            rows: BTreeMap::new(),
            places: HashMap::new(),
            ticks: 0,
            budget: Budget::new(config.max_bytes),
            max_keys: config.max_groups.max(1),
        }
    }

    fn feed(&mut self, row: &Row) -> u64 {
        self.ticks += 1;
        let key = self.key.and_then(|slot| row.slots.get(slot)).cloned().unwrap_or_default();
        let mut place = self.ticks;
        if let Some(known) = self.places.get(&key)
            && let Entry::Occupied(mut entry) = self.rows.entry(*known)
        {
            entry.get_mut().seen = self.ticks;
            if row.time < entry.get().time {
                return 0;
            }
            // It makes room for its successor, which stands in its place.
            place = *known;
            self.budget.give(entry.remove().bytes());
            self.places.remove(&key);
        }
        let slots = row.slots.iter().cloned().collect();
        let newest = Newest { key: key.clone(), slots, time: row.time, seen: self.ticks };
        let mut forgotten = 0;
        if self.rows.len() >= self.max_keys || !self.budget.has(newest.bytes()) {
            forgotten += self.forget_quietest();
        }
        if !self.budget.take(newest.bytes()) {
            return forgotten + 1;
        }
        self.places.insert(key, place);
        self.rows.insert(place, newest);
        forgotten
    }

    fn forget_quietest(&mut self) -> u64 {
        let mut quiet: Vec<(u64, u64)> =
            self.rows.iter().map(|(place, newest)| (newest.seen, *place)).collect();
        quiet.sort_unstable();
        quiet.truncate(1 + quiet.len() / 16);
        for (_, place) in &quiet {
            if let Some(newest) = self.rows.remove(place) {
                self.places.remove(&newest.key);
                self.budget.give(newest.bytes());
            }
        }
        quiet.len() as u64
    }

    fn take_over(&mut self, old: &mut Self, remap: &Remap) {
        self.ticks = old.ticks;
        self.places = std::mem::take(&mut old.places);
        for (place, newest) in std::mem::take(&mut old.rows) {
            let newest = Newest { slots: remap.row(&newest.slots), ..newest };
            self.budget.charge(newest.bytes());
            self.rows.insert(place, newest);
        }
    }

    fn write(&self, out: &mut Writer) {
        out.u64(self.ticks);
        out.len(self.rows.len());
        for (place, newest) in &self.rows {
            out.u64(*place);
            out.value(&newest.key);
            out.values(&newest.slots);
            out.time(newest.time);
            out.u64(newest.seen);
        }
    }

    fn read(&mut self, from: &mut Reader<'_>) -> Result<(), SnapshotError> {
        self.ticks = from.u64()?;
        for _ in 0..from.len()? {
            let (place, key) = (from.u64()?, from.value()?);
            let slots: Slots = from.values()?.into();
            let newest = Newest { key: key.clone(), slots, time: from.time()?, seen: from.u64()? };
            let known = self.places.insert(key, place).is_some() | self.rows.insert(place, newest).is_some();
            if known || place > self.ticks {
                return Err(from.damaged());
            }
        }
        Ok(())
    }
}

impl Newest {
    fn bytes(&self) -> usize {
        size_of::<Self>() + self.key.bytes() + weight(&self.slots)
    }
}
