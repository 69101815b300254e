//! The newest time of each key of a stream, once for all its rules: what an older row is told by.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::Engine;
use super::feed::Feed;
use super::snapshot::{Reader, SnapshotError, VERSION, Writer};
use crate::model::fold::BuildFold;
use crate::model::key::with_label;
use crate::model::time::Timestamp;
use crate::model::value::Value;
use crate::plan::logical::Plan;

/// The newest times. Beyond so many keys, one of those that were not heard of for the longest is forgotten.
#[derive(Debug, Default)]
pub(super) struct Recent {
    most: usize,
    newest: HashMap<Arc<str>, Timestamp, BuildFold>,
    /// Every key once, with its time when it was put there. What has come since is seen to when it
    /// comes to the front.
    queue: VecDeque<(Arc<str>, Timestamp)>,
}

impl Recent {
    /// Room for so many keys.
    pub(super) fn new(most: usize) -> Self {
        Self { most, ..Self::default() }
    }

    /// Notes a row; says whether a newer one of its key came before. Keys are told apart as labels say
    /// them.
    pub(super) fn is_older(&mut self, key: &Value, at: Timestamp) -> bool {
        with_label(key, |key| {
            if let Some(newest) = self.newest.get_mut(key) {
                let older = at < *newest;
                *newest = at.max(*newest);
                return older;
            }
            self.admit(key.into(), at);
            false
        })
    }

    fn admit(&mut self, key: Arc<str>, at: Timestamp) {
        while self.newest.len() >= self.most.max(1) {
            let Some((oldest, then)) = self.queue.pop_front() else { break };
            match self.newest.get(&oldest) {
                Some(newest) if *newest > then => self.queue.push_back((oldest, *newest)),
                _ => {
                    self.newest.remove(&oldest);
                }
            }
        }
        self.queue.push_back((key.clone(), at));
        self.newest.insert(key, at);
    }

    /// Writes the times, the longest unheard of first.
    pub(super) fn write(&self, out: &mut Writer) {
        out.len(self.queue.len());
        for (key, then) in &self.queue {
            out.run(key.as_bytes());
            out.i64(self.newest.get(key).unwrap_or(then).micros());
        }
    }

    /// Reads what [`Self::write`] wrote.
    pub(super) fn read(most: usize, from: &mut Reader<'_>) -> Result<Self, SnapshotError> {
        let mut recent = Self::new(most);
        for _ in 0..from.len()? {
            let key = Arc::from(from.text()?);
            let at = Timestamp::from_micros(from.i64()?);
            if !recent.newest.contains_key(&key) {
                recent.admit(key, at);
            }
        }
        Ok(recent)
    }
}

impl Engine {
    /// Goes on with what the streams of another engine know, where they are the same.
    pub(super) fn take_over_recent(&mut self, feeds: Vec<Feed>, plan: &Plan) {
        let known = plan.streams.iter().zip(feeds);
        let known = known.filter_map(|(stream, feed)| Some((stream.signature(), feed.recent?)));
        self.put_back(known.collect());
    }

    fn put_back(&mut self, mut known: HashMap<String, Recent>) {
        for (stream, feed) in self.plan.streams.iter().zip(&mut self.feeds) {
            let same = feed.recent.is_some().then(|| known.remove(&stream.signature())).flatten();
            feed.recent = same.or(feed.recent.take());
        }
    }

    /// The newest time of each key of the streams, where rules go by it, as bytes. It is apart from the
    /// other state, as it is only worth keeping where alerts are kept as they are.
    pub fn snapshot_recent(&self) -> Vec<u8> {
        let mut out = Writer::default();
        out.u8(VERSION);
        let known = || {
            let streams = self.plan.streams.iter().zip(&self.feeds);
            streams.filter_map(|(stream, feed)| Some((stream, feed.recent.as_ref()?)))
        };
        out.len(known().count());
        for (stream, recent) in known() {
            out.run(stream.signature().as_bytes());
            let mut state = Writer::default();
            recent.write(&mut state);
            out.run(&state.into_bytes());
        }
        out.into_bytes()
    }

    /// Takes over what [`Self::snapshot_recent`] wrote, for the streams that are the same.
    ///
    /// # Errors
    /// Where the bytes are no snapshot that this program reads. Nothing has changed then.
    pub fn restore_recent(&mut self, bytes: &[u8]) -> Result<(), SnapshotError> {
        let mut from = Reader::new(bytes);
        match from.u8()? {
            VERSION => {}
            other => return Err(SnapshotError::Version(other)),
        }
        let mut known = HashMap::new();
        for _ in 0..from.len()? {
            let stream = from.text()?.to_owned();
            known.insert(stream, Recent::read(self.config.max_groups, &mut from.part()?)?);
        }
        self.put_back(known);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_heard_of_stay_when_room_runs_out() {
        let mut recent = Recent::new(3);
        let at = Timestamp::from_micros;
        for (n, key) in ["a", "b", "c"].into_iter().enumerate() {
            assert!(!recent.is_older(&Value::str(key), at(n as i64)));
        }
        assert!(!recent.is_older(&Value::str("a"), at(10)));
        assert!(recent.is_older(&Value::str("a"), at(9)));
        assert!(!recent.is_older(&Value::str("d"), at(11)));
        assert!(recent.is_older(&Value::str("a"), at(9)), "it was heard of");
        assert!(!recent.is_older(&Value::str("b"), at(0)), "it is forgotten");
        // As labels say them.
        assert!(!recent.is_older(&Value::Int(1), at(5)));
        assert!(recent.is_older(&Value::str("1"), at(4)));
        let mut out = Writer::default();
        recent.write(&mut out);
        let bytes = out.into_bytes();
        let mut back = Recent::read(3, &mut Reader::new(&bytes)).unwrap();
        assert!(back.is_older(&Value::str("1"), at(4)) && back.newest.len() == 3);
    }
}
