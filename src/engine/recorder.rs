//! A flight recorder of one stream: the last readings of each of its keys, once for all its rules.
//!
//! Readings lie one behind the other in a ring of bytes; the oldest are written over, whoever they belong
//! to. Each tells where the one before it of its chain lies, and a table of fixed size tells where the newest of each
//! chain lies. A key belongs to one chain, perhaps together with others, which are told apart only when somebody
//! reads: so a reading is written without a look at any other, costs the same however many keys and rules there
//! are, and the bytes are bounded whatever devices send. It is for people: nothing that is decided depends on it.

mod saved;

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::fmt::Write;
use std::sync::Arc;

use super::Engine;
use super::feed::Feed;
use super::layout::Layout;
use crate::model::fold::fold;
use crate::model::label::as_label;
use crate::model::row::Row;
use crate::model::time::Timestamp;
use crate::model::transition::{Evidence, Reading};
use crate::model::value::Value;
use crate::plan::logical::{Expr, Plan};
use crate::plan::shape::Keyed;

/// Texts are cut to this many bytes.
const TEXT: usize = 64;
/// The part of the ring that one reading may take, as a divisor.
const SHARE: usize = 4;
/// The bytes that the ring begins with. They are taken from the system as they are used.
const FIRST: usize = 64 << 10;
/// There is a chain for so many bytes of the ring, about as many as there are readings.
const CHAIN: usize = 32;
/// How many readings of a chain are looked at for those of a key.
const STEPS: usize = 10_000;
/// How many readings of a key are looked at for what was before its condition began to hold.
const FAR: usize = 512;
/// Offset of the reading before, time, length of the key, number of values.
const HEAD: usize = 4 + 8 + 2 + 2;

/// The last readings of a stream.
#[derive(Debug)]
pub(super) struct Recorder {
    /// The bytes of a full ring.
    most: usize,
    ring: Vec<u8>,
    /// Where the lap at hand begins, counted over all laps.
    lap: u64,
    /// Where the next reading goes, within the lap.
    head: usize,
    /// Where the newest reading of each chain lies, perhaps one that was written over; 0 where there is none.
    newest: Vec<u64>,
    /// The reading that is being written.
    record: Vec<u8>,
    /// A key that is no text, as its label says it.
    label: String,
    /// Readings that were too large.
    left_out: u64,
}

impl Recorder {
    /// One of so many bytes.
    pub(super) fn new(most: usize) -> Self {
        // Offsets within a ring have four bytes.
        let most = most.min(1 << 30);
        Self {
            most,
            ring: Vec::new(),
            // No reading lies at 0.
            lap: most as u64,
            head: 0,
            // Taken from the system as it is used.
            newest: vec![0; (most / CHAIN).next_power_of_two()],
            record: Vec::new(),
            label: String::new(),
            left_out: 0,
        }
    }

    /// Takes a reading down, the value of the slot `key` apart. One too large for the ring is left out.
    pub(super) fn note(&mut self, key: Option<usize>, row: &Row) {
        match key.and_then(|slot| row.slots.get(slot)) {
            None | Some(Value::Null) => self.put("", key, row),
            Some(Value::Str(label)) => self.put(label, key, row),
            Some(other) => {
                let mut label = std::mem::take(&mut self.label);
                label.clear();
                // A text takes all that is written.
                write!(label, "{other}").ok();
                self.put(&label, key, row);
                self.label = label;
            }
        }
    }

    fn put(&mut self, label: &str, key: Option<usize>, row: &Row) {
        let (Ok(length), Ok(values)) = (u16::try_from(label.len()), u16::try_from(row.slots.len())) else {
            self.left_out += 1;
            return;
        };
        let record = &mut self.record;
        record.clear();
        record.extend_from_slice(&[0; 4]);
        record.extend_from_slice(&row.time.micros().to_le_bytes());
        record.extend_from_slice(&length.to_le_bytes());
        record.extend_from_slice(&values.to_le_bytes());
        record.extend_from_slice(label.as_bytes());
        for (slot, value) in row.slots.iter().enumerate() {
            put(record, if key == Some(slot) { &Value::Null } else { value });
        }
        self.append(label);
    }

    /// Puts the reading that was written behind the others.
    fn append(&mut self, label: &str) {
        let length = self.record.len();
        if length > self.most / SHARE {
            self.left_out += 1;
            return;
        }
        if self.head + length > self.most {
            self.begin_lap();
        }
        self.link(label);
        let end = self.head + length;
        if end > self.ring.len() {
            // What lay here is written over in any case.
            self.ring.truncate(self.head);
            self.grow(length);
            self.ring.extend_from_slice(&self.record);
        } else {
            self.ring[self.head..end].copy_from_slice(&self.record);
        }
        self.head = end;
    }

    /// Makes the reading that is being written the newest of its chain, and lets it tell where the one before
    /// it lies.
    fn link(&mut self, label: &str) {
        let at = self.lap + self.head as u64;
        let chain = self.chain(label);
        let before = std::mem::replace(&mut self.newest[chain], at);
        // One that is further away than four bytes tell was written over long ago.
        let before = if before == 0 { 0 } else { u32::try_from(at - before).unwrap_or(0) };
        self.record[..4].copy_from_slice(&before.to_le_bytes());
    }

    /// The chain of a key.
    fn chain(&self, label: &str) -> usize {
        #[expect(clippy::cast_possible_truncation, reason = "less than there are chains")]
        let chain = (fold(label.as_bytes()) & (self.newest.len() as u64 - 1)) as usize;
        chain
    }

    /// Goes on at the beginning of the ring.
    fn begin_lap(&mut self) {
        self.lap += self.most as u64;
        self.head = 0;
    }

    /// Makes room for so many bytes more.
    fn grow(&mut self, length: usize) {
        let (size, room) = (self.ring.len(), self.ring.capacity());
        if size + length > room {
            let room = (2 * room).max(FIRST).min(self.most);
            self.ring.reserve_exact(room.max(size + length) - size);
        }
    }

    /// The last readings of a key, the newest first.
    fn readings<'a>(&'a self, label: &'a str) -> impl Iterator<Item = Record<'a>> {
        let get = |at: u64| Record::at(&self.ring, place(at, self.lap, self.head, self.most)?);
        let newest = self.newest[self.chain(label)];
        let mut next = (newest > 0).then_some(newest);
        let chain = std::iter::from_fn(move || {
            let at = next?;
            let record = get(at)?;
            next = at.checked_sub(record.before.into()).filter(|_| record.before > 0);
            Some(record)
        });
        chain.take(STEPS).filter(move |record| record.key == label.as_bytes())
    }
}

/// Where in the ring the reading of an offset lies, as long as nothing was written over it.
#[inline]
fn place(at: u64, lap: u64, head: usize, most: usize) -> Option<usize> {
    if at >= lap {
        return usize::try_from(at - lap).ok();
    }
    let place = usize::try_from(at + most as u64 - lap.min(at + most as u64)).ok()?;
    (place >= head && at + most as u64 >= lap).then_some(place)
}

/// One reading as it lies in the ring.
#[derive(Clone, Copy, Debug)]
struct Record<'a> {
    /// How many bytes before it the reading before it lies; 0 where there is none.
    before: u32,
    at: Timestamp,
    key: &'a [u8],
    count: usize,
    values: &'a [u8],
}

impl<'a> Record<'a> {
    #[inline]
    fn at(ring: &'a [u8], at: usize) -> Option<Self> {
        let (head, rest) = ring.get(at..)?.split_first_chunk::<HEAD>()?;
        let [b0, b1, b2, b3, time @ .., k0, k1, v0, v1] = *head;
        let (key, values) = rest.split_at_checked(u16::from_le_bytes([k0, k1]).into())?;
        Some(Self {
            before: u32::from_le_bytes([b0, b1, b2, b3]),
            at: Timestamp::from_micros(i64::from_le_bytes(time)),
            key,
            count: u16::from_le_bytes([v0, v1]).into(),
            values,
        })
    }

    /// The values of these slots, in ascending order; `None` for what is not recorded.
    fn values(&self, slots: &[usize]) -> Vec<Option<Value>> {
        let mut rest = self.values;
        let mut found = Vec::with_capacity(slots.len());
        for slot in 0..self.count {
            let Some(value) = take(&mut rest) else { break };
            if slots.get(found.len()) == Some(&slot) {
                found.push(value);
            }
        }
        // A field that no rule used yet.
        found.resize(slots.len(), None);
        found
    }
}

/// What a value is written as. What is behind it follows from it.
mod tag {
    pub(super) const NULL: u8 = 0;
    pub(super) const FALSE: u8 = 1;
    pub(super) const TRUE: u8 = 2;
    pub(super) const BYTE: u8 = 3;
    pub(super) const INT: u8 = 4;
    pub(super) const SINGLE: u8 = 5;
    pub(super) const FLOAT: u8 = 6;
    pub(super) const TIME: u8 = 7;
    pub(super) const TEXT: u8 = 8;
    pub(super) const LEFT_OUT: u8 = 9;
}

#[inline]
fn put(record: &mut Vec<u8>, value: &Value) {
    let mut tagged = |tag: u8, bytes: &[u8]| {
        record.push(tag);
        record.extend_from_slice(bytes);
    };
    match value {
        Value::Null => tagged(tag::NULL, &[]),
        Value::Bool(value) => tagged(if *value { tag::TRUE } else { tag::FALSE }, &[]),
        Value::Int(value) => match i8::try_from(*value) {
            Ok(small) => tagged(tag::BYTE, &small.to_le_bytes()),
            Err(_) => tagged(tag::INT, &value.to_le_bytes()),
        },
        Value::Float(value) => {
            #[expect(clippy::cast_possible_truncation, reason = "only used where nothing is lost")]
            let single = *value as f32;
            if f64::from(single).to_bits() == value.to_bits() {
                tagged(tag::SINGLE, &single.to_le_bytes());
            } else {
                tagged(tag::FLOAT, &value.to_le_bytes());
            }
        }
        Value::Time(at) => tagged(tag::TIME, &at.micros().to_le_bytes()),
        Value::Str(text) => {
            let cut = text.get(..text.floor_char_boundary(TEXT)).unwrap_or_default();
            // Its length fits a byte, as it is cut.
            tagged(tag::TEXT, &[u8::try_from(cut.len()).unwrap_or(0)]);
            record.extend_from_slice(cut.as_bytes());
        }
        Value::Bytes(_) | Value::Array(_) | Value::Struct(_) => tagged(tag::LEFT_OUT, &[]),
    }
}

/// Reads what [`put`] wrote, and goes behind it. `Some(None)` is a value that was left out.
fn take(rest: &mut &[u8]) -> Option<Option<Value>> {
    fn chunk<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
        let (chunk, behind) = rest.split_first_chunk::<N>()?;
        *rest = behind;
        Some(*chunk)
    }
    let [tag] = chunk(rest)?;
    Some(Some(match tag {
        tag::NULL => Value::Null,
        tag::FALSE => Value::Bool(false),
        tag::TRUE => Value::Bool(true),
        tag::BYTE => Value::Int(i8::from_le_bytes(chunk(rest)?).into()),
        tag::INT => Value::Int(i64::from_le_bytes(chunk(rest)?)),
        tag::SINGLE => Value::float(f32::from_le_bytes(chunk(rest)?).into()),
        tag::FLOAT => Value::float(f64::from_le_bytes(chunk(rest)?)),
        tag::TIME => Value::Time(Timestamp::from_micros(i64::from_le_bytes(chunk(rest)?))),
        tag::TEXT => {
            let [length] = chunk(rest)?;
            let (text, behind) = rest.split_at_checked(length.into())?;
            *rest = behind;
            Value::str(std::str::from_utf8(text).ok()?)
        }
        _ => return Some(None),
    }))
}

/// Of the readings of a key, newest first, so many that tell how its condition came to hold: a quarter of them
/// the newest, half of them before `since`, the rest the first that came then. Of either that there are too few of,
/// more of the others.
fn chosen<'a, I: Iterator<Item = Record<'a>>>(
    records: impl Fn() -> I,
    most: usize,
    since: Timestamp,
) -> Vec<Record<'a>> {
    let (mut newest, mut first, mut before) = (Vec::new(), VecDeque::new(), Vec::new());
    let newest_of_all = most.div_ceil(4);
    for (far, record) in records().enumerate() {
        if newest.len() < newest_of_all {
            newest.push(record);
        } else if record.at < since {
            before.push(record);
            if before.len() >= most / 2 && newest.len() + first.len() + before.len() >= most {
                break;
            }
        } else if far < FAR {
            first.push_back(record);
            if newest.len() + first.len() > most {
                first.pop_front();
            }
        } else {
            // It has held for so long that what was before is not worth the way.
            return records().take(most).collect();
        }
    }
    while newest.len() + first.len() + before.len() > most && first.pop_front().is_some() {}
    newest.into_iter().chain(first).chain(before).take(most).collect()
}

impl Engine {
    /// The last readings of the key of an alert, at most so many, oldest first, with the columns that the
    /// rule uses. Where more came since its condition began to hold, they are those before, the first that came
    /// then, and the newest. The key is as [`label_key`](crate::model::label::label_key) has it. `None` where nothing
    /// is recorded, and for a rule whose alerts are told apart by something else than the KEY of its stream.
    pub fn evidence(&self, rule: usize, key: &[Value], most: usize, since: Timestamp) -> Option<Evidence> {
        let plan = self.plan.rules.get(rule)?;
        let at = plan.stream();
        let stream = self.plan.streams.get(at)?;
        let recorder = self.feeds.get(at)?.recorder.as_ref()?;
        let Keyed { side, at: place } = plan.keyed_by(stream.key)?;
        let mut used = BTreeSet::new();
        plan.each(&mut |expr| {
            expr.walk(&mut |part| {
                if let Expr::Field(from, slot) = part
                    && *from == side
                    && Some(*slot) != stream.key
                {
                    used.insert(*slot);
                }
            });
        });
        let used: Vec<usize> = used.into_iter().collect();
        let label = place.and_then(|place| key.get(place)).map(as_label).unwrap_or_default();
        let records = chosen(|| recorder.readings(&label), most, since);
        let mut readings: Vec<_> =
            records.into_iter().map(|record| (record.at, record.values(&used))).collect();
        if readings.is_empty() {
            return None;
        }
        readings.reverse();
        // Late ones were recorded when they came.
        readings.sort_by_key(|(at, _)| *at);
        // A column of which nothing is recorded says nothing.
        let is_there = |column: usize| {
            let mut values = readings.iter().map(|(_, values)| &values[column]);
            values.clone().all(Option::is_some)
                || values.any(|value| value.as_ref().is_some_and(|v| !v.is_null()))
        };
        let there: Vec<usize> = (0..used.len()).filter(|column| is_there(*column)).collect();
        let name = |column: &usize| Some(stream.fields.get(used[*column])?.name.clone());
        let columns: Vec<Arc<str>> = there.iter().filter_map(name).collect();
        let readings = readings.into_iter().map(|(at, mut values)| {
            let values = there.iter().map(|column| values[*column].take().unwrap_or_default());
            Reading { at, values: values.collect() }
        });
        Some(Evidence { readings: readings.collect(), columns })
    }

    /// Readings that were too large to be recorded, of all streams.
    pub fn evidence_left_out(&self) -> u64 {
        self.feeds.iter().filter_map(|feed| feed.recorder.as_ref()).map(|recorder| recorder.left_out).sum()
    }

    /// Goes on with what the streams of another engine recorded, where their slots are still what they were.
    pub(super) fn take_over_recorders(&mut self, feeds: &mut [Feed], plan: &Plan) {
        let before = plan.streams.iter().zip(feeds);
        let mut before: HashMap<_, _> = before
            .filter_map(|(stream, feed)| Some((stream.signature(), (stream, feed.recorder.take()?))))
            .collect();
        for (stream, feed) in self.plan.streams.iter().zip(&mut self.feeds) {
            let Some(recorder) = &mut feed.recorder else { continue };
            if let Some((was, known)) = before.remove(&stream.signature())
                && Layout::of(stream).continues(&Layout::of(was))
            {
                *recorder = known;
            }
        }
    }
}

impl Feed {
    /// Records the readings in so many bytes, if the alerts of any rule are told with them.
    pub(super) fn record(&mut self, bytes: usize) {
        if self.witnesses == 0 || bytes == 0 {
            self.recorder = None;
        } else if self.recorder.is_none() {
            self.recorder = Some(Recorder::new(bytes));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Each row: its key, its time, its values behind the key.
    fn rows(most: usize) -> impl Strategy<Value = Vec<Row>> {
        let value = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            (-300_i64..300).prop_map(Value::Int),
            any::<i64>().prop_map(Value::Int),
            (-100_i32..100).prop_map(|n| Value::Float(f64::from(n) / 4.0)),
            any::<f64>().prop_map(Value::float),
            any::<i64>().prop_map(|at| Value::Time(Timestamp::from_micros(at))),
            "[aé€]{0,40}".prop_map(|text| Value::str(&text)),
            Just(Value::Bytes(Arc::from([1_u8].as_slice()))),
        ];
        let key = prop_oneof![
            8 => (0..6_i64).prop_map(|n| Value::str(&format!("device {n}"))),
            1 => (0..3_i64).prop_map(Value::Int),
            1 => Just(Value::Null),
            1 => "[a-c]{0,90}".prop_map(|text| Value::str(&text)),
        ];
        let row = (key, any::<i64>(), proptest::collection::vec(value, 0..5));
        let row = row.prop_map(|(key, at, values)| Row {
            slots: std::iter::once(key).chain(values).collect(),
            time: Timestamp::from_micros(at),
            retained: false,
        });
        proptest::collection::vec(row, 0..most)
    }

    /// What is read back of a value; a text is cut.
    fn kept(value: &Value) -> Option<Value> {
        match value {
            Value::Bytes(_) | Value::Array(_) | Value::Struct(_) => None,
            Value::Str(text) => Some(Value::str(&text[..text.floor_char_boundary(TEXT)])),
            other => Some(other.clone()),
        }
    }

    fn length(row: &Row) -> usize {
        let mut bytes = Vec::new();
        row.slots[1..].iter().for_each(|value| put(&mut bytes, value));
        HEAD + as_label(&row.slots[0]).len() + 1 + bytes.len()
    }

    proptest! {
        /// Against a list of all readings and the place of each on a tape without end.
        #[test]
        fn it_holds_what_a_ring_of_its_size_holds(rows in rows(120), most in 64_usize..2_000) {
            let mut recorder = Recorder::new(most);
            let mut tape: Vec<(usize, &Row)> = Vec::new();
            let mut head = 0;
            for row in &rows {
                recorder.note(Some(0), row);
                let length = length(row);
                if length > most / SHARE {
                    continue;
                }
                if head % most + length > most {
                    head = (head / most + 1) * most;
                }
                tape.push((head, row));
                head += length;
                // The end of a lap is not yet the beginning of the next.
                let end = head;
                let alive = tape.iter().filter(|(at, _)| at + most >= end);
                let label = as_label(&row.slots[0]);
                let own: Vec<_> = alive.rev_own(&label);
                let got: Vec<_> = recorder
                    .readings(&label)
                    .map(|record| (record.at, record.values(&[1, 2, 3])))
                    .collect();
                prop_assert_eq!(&got, &own);
                prop_assert!(recorder.ring.len() <= most);
            }
        }
    }

    trait RevOwn {
        fn rev_own(self, label: &str) -> Vec<(Timestamp, Vec<Option<Value>>)>;
    }

    impl<'a, I: Iterator<Item = &'a (usize, &'a Row)> + DoubleEndedIterator> RevOwn for I {
        fn rev_own(self, label: &str) -> Vec<(Timestamp, Vec<Option<Value>>)> {
            let own = self.rev().filter(|(_, row)| as_label(&row.slots[0]) == label);
            own.map(|(_, row)| {
                let value = |slot: usize| row.slots.get(slot).and_then(kept);
                (row.time, (1..=3).map(value).collect())
            })
            .collect()
        }
    }

    #[test]
    fn once_it_is_full_it_takes_no_further_memory() {
        let mut recorder = Recorder::new(4_096);
        let row = |n: i64| Row {
            slots: vec![Value::str(&format!("d{}", n % 20)), Value::Int(n)],
            time: Timestamp::from_micros(n),
            retained: false,
        };
        (0..1_000).for_each(|n| recorder.note(Some(0), &row(n)));
        let before = (recorder.ring.capacity(), recorder.newest.len(), recorder.record.capacity());
        (1_000..9_000).for_each(|n| recorder.note(Some(0), &row(n)));
        let after = (recorder.ring.capacity(), recorder.newest.len(), recorder.record.capacity());
        assert_eq!(before, after);
        let times: Vec<i64> = recorder.readings("d3").take(3).map(|record| record.at.micros()).collect();
        assert_eq!(times, [8_983, 8_963, 8_943]);
    }
}
