//! How far stream time has come for the groups that share a watermark, and when the clock carries
//! it on. The watermark never goes back. Knows nothing of windows but where they end.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use super::snapshot::{Reader, SnapshotError, Writer};
use crate::model::fold::BuildFold;
use crate::model::time::{Mono, Timestamp};
use crate::model::value::Value;

/// A point of monotonic time. Unlike [`Mono`] it may lie before the process's own start: so it
/// does in state that an earlier process wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Mark(i64);

impl Mark {
    /// Behind every other.
    pub(super) const NEVER: Self = Self(i64::MAX);

    #[inline]
    pub(super) fn of(mono: Mono) -> Self {
        Self(i64::try_from(mono.micros()).unwrap_or(i64::MAX))
    }

    pub(super) fn mono(self) -> Mono {
        Mono::from_micros(u64::try_from(self.0).unwrap_or(0))
    }

    pub(super) fn plus(self, span: Duration) -> Self {
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
    /// Each open end with the moment at which the clock will have passed it.
    Arrival(BTreeMap<Timestamp, Mark>),
}

/// The keys that are not idle. A row moves its key later in both orders, and nothing depends on where a key
/// stands but on who is first: so a key is put where it belongs when it comes to the front.
#[derive(Clone, Debug, Default)]
struct Slowest {
    ids: HashMap<Value, u64, BuildFold>,
    keys: HashMap<u64, Key, BuildFold>,
    by_time: BTreeSet<(Timestamp, u64)>,
    by_seen: BTreeSet<(Mark, u64)>,
    next: u64,
    /// What the keys take.
    bytes: usize,
}

#[derive(Clone, Debug)]
struct Key {
    name: Value,
    /// Up to where its own rows, less its lateness, would have the watermark.
    reach: Timestamp,
    seen: Mark,
    /// The time at which it stands in the order of times.
    stands: Timestamp,
}

impl Progress {
    /// None yet.
    pub(super) fn new(mode: Mode, now: Mark) -> Self {
        let pace = match mode {
            Mode::Own => Pace::Own,
            Mode::Slowest => Pace::Slowest(Box::default()),
            Mode::Arrival => Pace::Arrival(BTreeMap::new()),
        };
        Self { closed: Timestamp::MIN, greatest: Timestamp::MIN, seen: now, pace }
    }

    /// The watermark.
    #[inline]
    pub(super) fn closed(&self) -> Timestamp {
        self.closed
    }

    /// The greatest time of a row.
    #[inline]
    pub(super) fn greatest(&self) -> Timestamp {
        self.greatest
    }

    /// When a row last came.
    #[inline]
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

    /// Whether a row of this key would need room for one more key than `most`, or for more bytes.
    pub(super) fn is_full_for(&self, key: &Value, most: usize, most_bytes: usize) -> bool {
        match &self.pace {
            Pace::Slowest(slowest) => {
                let full = slowest.ids.len() >= most || slowest.bytes + key.bytes() > most_bytes;
                full && !slowest.ids.contains_key(key)
            }
            Pace::Own | Pace::Arrival(_) => false,
        }
    }

    /// A row of this key and stream time came, of a stream with this lateness.
    #[inline]
    pub(super) fn row(&mut self, key: &Value, time: Timestamp, lateness: Duration, now: Mark) {
        self.seen = now;
        self.greatest = self.greatest.max(time);
        let upto = match &mut self.pace {
            Pace::Own | Pace::Arrival(_) => self.greatest.minus(lateness),
            Pace::Slowest(slowest) => {
                slowest.row(key, time.minus(lateness), now);
                slowest.least().unwrap_or(Timestamp::MIN)
            }
        };
        self.reach(upto);
    }

    /// Something will close at `end`, as seen from a row of this stream time.
    pub(super) fn opened(&mut self, end: Timestamp, time: Timestamp, lateness: Duration, now: Mark) {
        if let Pace::Arrival(dues) = &mut self.pace {
            dues.entry(end).or_insert_with(|| now.plus(end.since(time)).plus(lateness));
        }
    }

    /// Nothing closes at `end` any more.
    pub(super) fn withdrawn(&mut self, end: Timestamp) {
        if let Pace::Arrival(dues) = &mut self.pace {
            dues.remove(&end);
        }
    }

    /// When the clock moves the watermark if no row does; `open` says whether a window waits.
    pub(super) fn deadline(&self, open: bool, idle: Duration) -> Option<Mark> {
        match &self.pace {
            Pace::Own => open.then(|| self.seen.plus(idle)),
            Pace::Slowest(slowest) => slowest.by_seen.first().map(|(seen, _)| seen.plus(idle)),
            Pace::Arrival(dues) => dues.values().next().copied(),
        }
    }

    /// How far it has come: where it is the same before and after [`Self::expire`], that did nothing.
    pub(super) fn reached(&self) -> (Timestamp, usize) {
        let waited_for = match &self.pace {
            Pace::Own => 0,
            Pace::Slowest(slowest) => slowest.by_seen.len(),
            Pace::Arrival(dues) => dues.len(),
        };
        (self.closed, waited_for)
    }

    /// The deadline has passed: the watermark moves as far as it says. True where nobody is left to wait
    /// for, so that all that is open may close; the caller then says how far that [reaches](Self::reach).
    pub(super) fn expire(&mut self) -> bool {
        let upto = match &mut self.pace {
            Pace::Own => None,
            Pace::Slowest(slowest) => {
                slowest.forget_quietest();
                slowest.least()
            }
            Pace::Arrival(dues) => dues.keys().next().copied(),
        };
        if let Some(upto) = upto {
            self.reach(upto);
        }
        upto.is_none()
    }

    /// Rows have come up to `greatest`, and the watermark to `closed`, whatever was before.
    pub(super) fn restart(&mut self, greatest: Timestamp, closed: Timestamp) {
        (self.greatest, self.closed) = (greatest, closed);
    }

    /// The watermark has come to `upto`, if it was not beyond.
    #[inline]
    pub(super) fn reach(&mut self, upto: Timestamp) {
        self.closed = self.closed.max(upto);
        if let Pace::Arrival(dues) = &mut self.pace {
            while let Some(first) = dues.first_entry().filter(|first| *first.key() <= self.closed) {
                first.remove();
            }
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
                let mut all: Vec<(&u64, &Key)> = slowest.keys.iter().collect();
                all.sort_unstable_by_key(|(id, key)| (key.seen, **id));
                out.len(all.len());
                for (id, key) in all {
                    key.seen.write(now, out);
                    out.u64(*id);
                    out.value(&key.name);
                    out.time(key.reach);
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
                    let (name, reach) = (from.value()?, from.time()?);
                    let known = slowest.ids.contains_key(&name) || slowest.keys.contains_key(&id);
                    if id >= slowest.next || known {
                        return Err(from.damaged());
                    }
                    slowest.put(id, Key { name, reach, seen, stands: reach });
                }
            }
            Pace::Arrival(dues) => {
                for _ in 0..from.len()? {
                    let (end, due) = (from.time()?, Mark::read(now, from)?);
                    if dues.insert(end, due).is_some() {
                        return Err(from.damaged());
                    }
                }
            }
        }
        Ok(new)
    }
}

impl Slowest {
    fn row(&mut self, name: &Value, reach: Timestamp, now: Mark) {
        if let Some(key) = self.ids.get(name).and_then(|id| self.keys.get_mut(id)) {
            key.reach = key.reach.max(reach);
            key.seen = now;
            self.find_first();
        } else {
            self.next += 1;
            self.put(self.next - 1, Key { name: name.clone(), reach, seen: now, stands: reach });
        }
    }

    fn put(&mut self, id: u64, key: Key) {
        self.bytes += key.name.bytes();
        self.by_time.insert((key.reach, id));
        self.by_seen.insert((key.seen, id));
        self.ids.insert(key.name.clone(), id);
        self.keys.insert(id, key);
    }

    /// Puts keys where they belong, until in both orders the first one does.
    fn find_first(&mut self) {
        let Self { keys, by_time, by_seen, .. } = self;
        while let Some((reach, id)) = by_time.first().copied()
            && let Some(key) = keys.get_mut(&id).filter(|key| key.reach != reach)
        {
            by_time.pop_first();
            key.stands = key.reach;
            by_time.insert((key.reach, id));
        }
        while let Some((seen, id)) = by_seen.first().copied()
            && let Some(key) = keys.get(&id).filter(|key| key.seen != seen)
        {
            by_seen.pop_first();
            by_seen.insert((key.seen, id));
        }
    }

    fn least(&self) -> Option<Timestamp> {
        self.by_time.first().map(|(reach, _)| *reach)
    }

    /// An idle key holds nobody up. If it comes back, it is a key like any other.
    fn forget_quietest(&mut self) {
        if let Some((_, id)) = self.by_seen.pop_first()
            && let Some(key) = self.keys.remove(&id)
        {
            self.ids.remove(&key.name);
            self.bytes -= key.name.bytes().min(self.bytes);
            self.by_time.remove(&(key.stands, id));
        }
        self.find_first();
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
        assert!(!progress.expire());
        assert_eq!(progress.closed(), at(199), "b is idle");
        assert!(progress.expire(), "all are idle");
        assert_eq!(progress.deadline(true, IDLE), None);
    }

    #[test]
    fn arrival_time_follows_the_clock_and_never_goes_back() {
        let mut progress = Progress::new(Mode::Arrival, mark(0));
        progress.row(&Value::Null, at(103), Duration::ZERO, mark(5));
        progress.opened(at(110), at(103), Duration::ZERO, mark(5));
        assert_eq!(progress.deadline(true, IDLE), Some(mark(12)));
        assert_eq!(progress.stamp(at(50)), at(103));
        assert!(!progress.expire());
        assert_eq!(progress.closed(), at(110));
        assert_eq!(progress.stamp(at(50)), at(110));
        assert_eq!(progress.deadline(false, IDLE), None);
    }
}
