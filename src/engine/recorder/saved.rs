//! The readings as a snapshot holds them: all of them, or those of some keys, oldest first. They decide nothing, so
//! what cannot be read is left out.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{HEAD, Record, Recorder, STEPS, place, take};
use crate::engine::Engine;
use crate::engine::layout::Layout;
use crate::engine::snapshot::{Reader, SnapshotError, Writer};
use crate::model::label::as_label;
use crate::model::value::Value;
use crate::plan::shape::Keyed;

/// The first byte of what [`Engine::snapshot_evidence`] writes.
const FORMAT: u8 = 1;

/// How many readings of a key are saved where not all are: more than any alert is told with by default, so that those
/// before its condition began to hold are mostly among them.
const OF_A_KEY: usize = 64;

impl Recorder {
    /// The readings that are left, oldest first: of all keys, or the newest of these.
    fn left(&self, labels: Option<&BTreeSet<String>>) -> Vec<&[u8]> {
        let mut found = BTreeMap::new();
        match labels {
            None => {
                for newest in self.newest.iter().filter(|newest| **newest > 0) {
                    self.walk(*newest, STEPS, &|_| true, &mut found);
                }
            }
            Some(labels) => {
                for label in labels {
                    let newest = self.newest[self.chain(label)];
                    self.walk(newest, OF_A_KEY, &|record| record.key == label.as_bytes(), &mut found);
                }
            }
        }
        found.into_values().collect()
    }

    /// Goes back from a reading along its chain, and takes so many by their place.
    fn walk<'a>(
        &'a self,
        newest: u64,
        most: usize,
        wanted: &dyn Fn(&Record<'a>) -> bool,
        found: &mut BTreeMap<u64, &'a [u8]>,
    ) {
        let (mut at, mut taken) = (newest, 0);
        for _ in 0..STEPS {
            if at == 0 || taken == most {
                return;
            }
            let Some(from) = place(at, self.lap, self.head, self.most) else { return };
            let Some(record) = Record::at(&self.ring, from) else { return };
            if wanted(&record) {
                taken += 1;
                if let Some(bytes) = whole(&self.ring[from..], &record) {
                    found.insert(at, bytes);
                }
            }
            if record.before == 0 {
                return;
            }
            at = at.saturating_sub(record.before.into());
        }
    }

    /// Takes down what [`Self::left`] gave of another.
    fn take_down(&mut self, bytes: &[u8]) {
        let Some(label) = Record::at(bytes, 0).and_then(|record| std::str::from_utf8(record.key).ok()) else {
            return;
        };
        self.record.clear();
        self.record.extend_from_slice(bytes);
        self.append(label);
    }
}

/// The bytes of a reading, of which those that follow it begin with these.
fn whole<'a>(bytes: &'a [u8], record: &Record<'a>) -> Option<&'a [u8]> {
    let mut rest = record.values;
    for _ in 0..record.count {
        take(&mut rest)?;
    }
    let values = record.values.len() - rest.len();
    bytes.get(..HEAD + record.key.len() + values)
}

impl Engine {
    /// The readings of all keys; or of the keys of these alerts (a rule, by its place, and its key as
    /// [`label_key`](crate::model::label::label_key) has it) the newest.
    pub fn snapshot_evidence<'a>(&self, only: Option<impl Iterator<Item = (usize, &'a [Value])>>) -> Vec<u8> {
        let labels = only.map(|alerts| {
            let mut labels: HashMap<usize, BTreeSet<String>> = HashMap::new();
            for (rule, key) in alerts {
                if let Some((stream, label)) = self.witness(rule, key) {
                    labels.entry(stream).or_default().insert(label);
                }
            }
            labels
        });
        let none = BTreeSet::new();
        let mut parts = Vec::new();
        for (at, (stream, feed)) in self.plan.streams.iter().zip(&self.feeds).enumerate() {
            let Some(recorder) = &feed.recorder else { continue };
            let left = recorder.left(labels.as_ref().map(|labels| labels.get(&at).unwrap_or(&none)));
            if left.is_empty() {
                continue;
            }
            let mut part = Writer::default();
            Layout::of(stream).write(&mut part);
            part.len(left.len());
            left.into_iter().for_each(|reading| part.run(reading));
            parts.push((stream.signature(), part.into_bytes()));
        }
        let mut out = Writer::default();
        out.u8(FORMAT);
        out.len(parts.len());
        for (signature, part) in parts {
            out.run(signature.as_bytes());
            out.run(&part);
        }
        out.into_bytes()
    }

    /// The stream and the key there whose readings an alert is told with.
    fn witness(&self, rule: usize, key: &[Value]) -> Option<(usize, String)> {
        let plan = self.plan.rules.get(rule)?;
        let at = plan.stream();
        let Keyed { at: place, .. } = plan.keyed_by(self.plan.streams.get(at)?.key)?;
        Some((at, place.and_then(|place| key.get(place)).map(as_label).unwrap_or_default().into_owned()))
    }

    /// Takes down what [`Self::snapshot_evidence`] wrote, of streams that are the same and have the same slots, in the
    /// place of what is recorded of them.
    ///
    /// # Errors
    /// Where the bytes are no snapshot that this program reads. Nothing has changed then.
    pub fn restore_evidence(&mut self, bytes: &[u8]) -> Result<(), SnapshotError> {
        let mut from = Reader::new(bytes);
        match from.u8()? {
            FORMAT => {}
            other => return Err(SnapshotError::Version(other)),
        }
        let mut saved = HashMap::new();
        for _ in 0..from.len()? {
            let signature = from.text()?;
            let mut part = from.part()?;
            let layout = Layout::read(&mut part)?;
            let readings = (0..part.len()?).map(|_| part.run()).collect::<Result<Vec<_>, _>>()?;
            saved.insert(signature, (layout, readings));
        }
        for (stream, feed) in self.plan.streams.iter().zip(&mut self.feeds) {
            let Some((was, readings)) = saved.remove(&*stream.signature()) else { continue };
            let Some(recorder) = feed.recorder.as_mut().filter(|_| was == Layout::of(stream)) else {
                continue;
            };
            *recorder = Recorder::new(recorder.most);
            readings.into_iter().for_each(|reading| recorder.take_down(reading));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::row::Row;
    use crate::model::time::Timestamp;

    fn shown(recorder: &Recorder, label: &str) -> Vec<(i64, Vec<Option<Value>>)> {
        recorder.readings(label).map(|record| (record.at.micros(), record.values(&[1, 2]))).collect()
    }

    #[test]
    fn what_is_left_is_taken_down_as_it_was() {
        let mut recorder = Recorder::new(8_192);
        for n in 0..500_i64 {
            let text = "x".repeat(usize::try_from(n % 70).unwrap());
            let slots = vec![Value::str(&format!("d{}", n % 7)), Value::Int(n), Value::str(&text)];
            recorder.note(Some(0), &Row { slots, time: Timestamp::from_micros(n), retained: false });
        }
        let mut whole = Recorder::new(8_192);
        recorder.left(None).into_iter().for_each(|reading| whole.take_down(reading));
        for device in 0..7 {
            let label = format!("d{device}");
            let (was, is) = (shown(&recorder, &label), shown(&whole, &label));
            assert!(!is.is_empty() && was.starts_with(&is), "{was:?} {is:?}");
            // A ring that is begun anew ends its laps elsewhere.
            assert!(is.len() + 3 >= was.len(), "{} of {}", is.len(), was.len());
        }
        let mut some = Recorder::new(8_192);
        let labels = ["d3".to_owned()].into();
        recorder.left(Some(&labels)).into_iter().for_each(|reading| some.take_down(reading));
        assert_eq!(shown(&some, "d3"), shown(&recorder, "d3"));
        assert!(shown(&some, "d4").is_empty());
    }
}
