//! How far stream time has come for the groups that share a watermark, and when the clock carries
//! it on. The watermark never goes back. Knows nothing of windows but where they end.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use super::snapshot::{Reader, SnapshotError, Writer};
use crate::model::time::{Mono, Timestamp};
use crate::model::value::Value;

/// A point of monotonic time. Unlike [`Mono`] it may lie before the process's own start: so it
/// does in state that an earlier process wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Mark(i64);

impl Mark {
    pub(super) fn of(mono: Mono) -> Self {
        Self(i64::try_from(mono.micros()).unwrap_or(i64::MAX))
    }

    pub(super) fn mono(self) -> Mono {
        Mono::from_micros(u64::try_from(self.0).unwrap_or(0))
    }

    fn plus(self, span: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(span.as_micros()).unwrap_or(i64::MAX)))
    }

    /// As a distance from `now`, which is what means something to another process.
    pub(super) fn write(self, now: Self, out: &mut Writer) {
        out.i64(self.0.saturating_sub(now.0));
    }

    pub(super) fn read(now: Self, from: &mut Reader<'_>) -> Result<Self, SnapshotError> {
        from.i64().map(|distance| Self(now.0.saturating_add(distance)))
    }
}

/// What the progress of stream time goes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// The rows of one key, or of a stream that knows no keys.
    Own,
    /// The slowest of several keys that is not idle.
    Slowest,
    /// The clock: the stream has no timestamps of its own.
    Arrival,
}

/// The progress of stream time.
#[derive(Clone, Debug)]
pub(super) struct Progress {
    /// The watermark: whatever ends at or before it is closed.
    closed: Timestamp,
    greatest: Timestamp,
    seen: Mark,
    pace: Pace,
}

#[derive(Clone, Debug)]
enum Pace {
    Own,
    Slowest(Box<Slowest>),
    /// Each open end with the moment at which the clock will have passed it, in order of ends.
    Arrival(Vec<(Timestamp, Mark)>),
}

/// The keys that are not idle.
#[derive(Clone, Debug, Default)]
struct Slowest {
    keys: HashMap<Value, Key>,
    by_time: BTreeSet<(Timestamp, u64)>,
    by_seen: BTreeMap<(Mark, u64), Value>,
    next: u64,
}

#[derive(Clone, Copy, Debug)]
struct Key {
    id: u64,
    greatest: Timestamp,
    seen: Mark,
}

impl Progress {
    /// None yet.
    pub(super) fn new(mode: Mode, now: Mark) -> Self {
        let pace = match mode {
            Mode::Own => Pace::Own,
            Mode::Slowest => Pace::Slowest(Box::default()),
            Mode::Arrival => Pace::Arrival(Vec::new()),
        };
        Self { closed: Timestamp::MIN, greatest: Timestamp::MIN, seen: now, pace }
    }

    /// The watermark.
    pub(super) fn closed(&self) -> Timestamp {
        self.closed
    }

    /// When a row last came.
    pub(super) fn seen(&self) -> Mark {
        self.seen
    }

    /// The stream time of a row. Arrival time never goes back, though the node's calendar may.
    pub(super) fn stamp(&self, time: Timestamp) -> Timestamp {
        match self.pace {
            Pace::Own | Pace::Slowest(_) => time,
            Pace::Arrival(_) => time.max(self.greatest).max(self.closed),
        }
    }

    /// Whether a row of this key would need room for one more key than `most`.
    pub(super) fn is_full_for(&self, key: &Value, most: usize) -> bool {
        match &self.pace {
            Pace::Slowest(slowest) => slowest.keys.len() >= most && !slowest.keys.contains_key(key),
            Pace::Own | Pace::Arrival(_) => false,
        }
    }

    /// A row of this key and stream time came.
    pub(super) fn row(&mut self, key: &Value, time: Timestamp, lateness: Duration, now: Mark) {
        self.seen = now;
        self.greatest = self.greatest.max(time);
        let slowest = match &mut self.pace {
            Pace::Own | Pace::Arrival(_) => self.greatest,
            Pace::Slowest(slowest) => {
                slowest.row(key, time, now);
                slowest.least().unwrap_or(Timestamp::MIN)
            }
        };
        self.close(slowest.minus(lateness));
    }

    /// A window that ends at `end` was opened by a row of this stream time.
    pub(super) fn opened(&mut self, end: Timestamp, time: Timestamp, lateness: Duration, now: Mark) {
        if let Pace::Arrival(dues) = &mut self.pace
            && let Err(place) = dues.binary_search_by_key(&end, |due| due.0)
        {
            dues.insert(place, (end, now.plus(end.since(time)).plus(lateness)));
        }
    }

    /// When the clock moves the watermark if no row does; `open` says whether a window waits.
    pub(super) fn deadline(&self, open: bool, idle: Duration) -> Option<Mark> {
        match &self.pace {
            Pace::Own => open.then(|| self.seen.plus(idle)),
            Pace::Slowest(slowest) => slowest.by_seen.keys().next().map(|(seen, _)| seen.plus(idle)),
            Pace::Arrival(dues) => dues.first().map(|due| due.1),
        }
    }

    /// The deadline has passed. `last` is the end of the latest open window.
    pub(super) fn expire(&mut self, last: Timestamp, lateness: Duration) {
        let upto = match &mut self.pace {
            Pace::Own => last,
            Pace::Slowest(slowest) => {
                slowest.forget_quietest();
                slowest.least().map_or(last, |least| least.minus(lateness))
            }
            Pace::Arrival(dues) => dues.first().map_or(last, |due| due.0),
        };
        self.close(upto);
    }

    fn close(&mut self, upto: Timestamp) {
        self.closed = self.closed.max(upto);
        if let Pace::Arrival(dues) = &mut self.pace {
            let passed = dues.partition_point(|due| due.0 <= self.closed);
            dues.drain(..passed);
        }
    }

    pub(super) fn write(&self, now: Mark, out: &mut Writer) {
        out.time(self.closed);
        out.time(self.greatest);
        self.seen.write(now, out);
        match &self.pace {
            Pace::Own => {}
            Pace::Slowest(slowest) => {
                out.u64(slowest.next);
                out.len(slowest.by_seen.len());
                for ((seen, id), key) in &slowest.by_seen {
                    seen.write(now, out);
                    out.u64(*id);
                    out.value(key);
                    out.time(slowest.keys.get(key).map_or(Timestamp::MIN, |key| key.greatest));
                }
            }
            Pace::Arrival(dues) => {
                out.len(dues.len());
                for (end, due) in dues {
                    out.time(*end);
                    due.write(now, out);
                }
            }
        }
    }

    /// Reads the progress of this mode, which comes from the plan.
    pub(super) fn read(mode: Mode, now: Mark, from: &mut Reader<'_>) -> Result<Self, SnapshotError> {
        let mut new = Self::new(mode, now);
        new.closed = from.time()?;
        new.greatest = from.time()?;
        new.seen = Mark::read(now, from)?;
        match &mut new.pace {
            Pace::Own => {}
            Pace::Slowest(slowest) => {
                slowest.next = from.u64()?;
                for _ in 0..from.len()? {
                    let (seen, id) = (Mark::read(now, from)?, from.u64()?);
                    let (key, greatest) = (from.value()?, from.time()?);
                    if id >= slowest.next || slowest.keys.contains_key(&key) {
                        return Err(from.damaged());
                    }
                    slowest.put(key, Key { id, greatest, seen });
                }
            }
            Pace::Arrival(dues) => {
                for _ in 0..from.len()? {
                    let due = (from.time()?, Mark::read(now, from)?);
                    if dues.last().is_some_and(|last| last.0 >= due.0) {
                        return Err(from.damaged());
                    }
                    dues.push(due);
                }
            }
        }
        Ok(new)
    }
}

impl Slowest {
    fn row(&mut self, key: &Value, time: Timestamp, now: Mark) {
        let old = self.keys.get(key).copied();
        let new = match old {
            Some(old) => {
                self.by_time.remove(&(old.greatest, old.id));
                self.by_seen.remove(&(old.seen, old.id));
                Key { id: old.id, greatest: old.greatest.max(time), seen: now }
            }
            None => {
                self.next += 1;
                Key { id: self.next - 1, greatest: time, seen: now }
            }
        };
        self.put(key.clone(), new);
    }

    fn put(&mut self, name: Value, key: Key) {
        self.by_time.insert((key.greatest, key.id));
        self.by_seen.insert((key.seen, key.id), name.clone());
        self.keys.insert(name, key);
    }

    fn least(&self) -> Option<Timestamp> {
        self.by_time.first().map(|(greatest, _)| *greatest)
    }

    /// An idle key holds nobody up. If it comes back, it is a key like any other.
    fn forget_quietest(&mut self) {
        if let Some((_, name)) = self.by_seen.pop_first()
            && let Some(key) = self.keys.remove(&name)
        {
            self.by_time.remove(&(key.greatest, key.id));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LATE: Duration = Duration::from_secs(1);
    const IDLE: Duration = Duration::from_secs(60);

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1_000)
    }

    fn mark(seconds: i64) -> Mark {
        Mark(seconds * 1_000_000)
    }

    #[test]
    fn the_slowest_key_holds_until_it_is_idle() {
        let mut progress = Progress::new(Mode::Slowest, mark(0));
        progress.row(&Value::str("a"), at(100), LATE, mark(0));
        assert_eq!(progress.closed(), at(99));
        progress.row(&Value::str("b"), at(90), LATE, mark(10));
        progress.row(&Value::str("a"), at(200), LATE, mark(20));
        assert_eq!(progress.closed(), at(99), "held by b, and never back");
        assert_eq!(progress.deadline(true, IDLE), Some(mark(70)));
        progress.expire(at(300), LATE);
        assert_eq!(progress.closed(), at(199), "b is idle");
        progress.expire(at(300), LATE);
        assert_eq!(progress.closed(), at(300), "all are idle");
        assert_eq!(progress.deadline(true, IDLE), None);
    }

    #[test]
    fn arrival_time_follows_the_clock_and_never_goes_back() {
        let mut progress = Progress::new(Mode::Arrival, mark(0));
        progress.row(&Value::Null, at(103), Duration::ZERO, mark(5));
        progress.opened(at(110), at(103), Duration::ZERO, mark(5));
        assert_eq!(progress.deadline(true, IDLE), Some(mark(12)));
        assert_eq!(progress.stamp(at(50)), at(103));
        progress.expire(at(110), Duration::ZERO);
        assert_eq!(progress.closed(), at(110));
        assert_eq!(progress.stamp(at(50)), at(110));
        assert_eq!(progress.deadline(false, IDLE), None);
    }
}
