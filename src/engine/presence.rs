//! Which keys of a stream are silent, once for all its rules: when each was heard of last, and what it
//! said then. A rule whose WHERE is true of that last reading is told when the silence has become as long
//! as it allows.
//!
//! A reading only moves the time of its key: the queue holds one deadline a key, which is never too late,
//! and is set right when it comes to the front.
//!
//! One cause, one alert: where a stream of several keys fell silent as a whole, that is told once, and not
//! of each key. A key that was among the last that were heard, by half of the time that a rule allows it, waits:
//! the next reading of the stream shows that its silence is its own, and a silence of all that lasts as long as
//! the rule allows is the stream's.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap, HashSet};
use std::ops::Bound::{Excluded, Included, Unbounded};
use std::time::Duration;

use hashbrown::HashTable;

use super::budget::{Budget, weight};
use super::expr::{Env, Scope, holds, value};
use super::feed::{Feed, is_early};
use super::gate::{Gate, terms};
use super::index::{Candidate, Condition, Index, Standing};
use super::layout::Layout;
use super::snapshot::{Reader, SnapshotError, Writer};
use super::{Config, Context, Engine, join};
use crate::model::absence::{Absence, NoData, OnSilence};
use crate::model::fold::fold;
use crate::model::label::as_label;
use crate::model::row::Row;
use crate::model::stream::StreamSpec;
use crate::model::time::{Mono, Now, Timestamp};
use crate::model::value::Value;
use crate::plan::logical::{Expr, Plan, RulePlan};

/// The first byte of what [`Engine::snapshot_presence`] writes.
const FORMAT: u8 = 2;
/// How a snapshot says of a key that its silence is its own, and that it waits until that is known.
const OWN: u8 = 1;
const WAITS: u8 = 2;
/// Times that are no further apart are the same moment.
const MOMENT: Duration = Duration::from_secs(1);

/// The keys of a stream.
#[derive(Debug)]
pub(super) struct Presence {
    most: usize,
    /// The rules that go by it, by their WHERE alone.
    index: Index,
    /// Of each the silence that it allows, µs.
    readers: BTreeMap<u32, i64>,
    /// How many rules allow each of these silences.
    afters: BTreeMap<i64, usize>,
    /// How many forget a key after each of these.
    forgets: BTreeMap<i64, usize>,
    keys: Vec<Option<Known>>,
    free: Vec<u32>,
    places: HashTable<u32>,
    /// A deadline and whose it is; valid where it is the one that the key itself has.
    queue: BinaryHeap<Reverse<(i64, u32)>>,
    budget: Budget,
    /// Whether rules came that have not heard of any silence.
    fresh: bool,
    /// How long the whole stream may be silent, where it says.
    silence: Option<i64>,
    /// When any key was heard of last; `None` before anybody listened.
    heard: Option<i64>,
    /// Whether the whole stream is silent, which was told; who is silent since is not asked then.
    silent: bool,
    /// Keys whose silence may be that of the stream.
    waiting: Vec<u32>,
    /// Keys that are never forgotten, each with a row of what is known of it.
    expected: BTreeMap<Box<str>, Box<[Value]>>,
    /// The keys that were learned since somebody asked.
    learned: Vec<u32>,
    /// Readings of keys that found no room.
    pub(super) refused: u64,
}

/// One key.
#[derive(Clone, Debug)]
struct Known {
    label: Box<str>,
    /// When it was heard of last: by the monotonic clock, µs, and by the calendar.
    seen: i64,
    wall: Timestamp,
    /// Its newest reading.
    time: Timestamp,
    row: Vec<Value>,
    /// The longest silence that was told since, µs; 0 for none.
    told: i64,
    /// Its deadline in the queue.
    due: i64,
    /// Whether it is known that its silence is its own, and not that of the whole stream.
    own: bool,
    /// Whether it is only expected so far: `row` says what is known of it beforehand.
    unheard: bool,
}

/// What is heard of the whole of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lull {
    /// The stream, by its place.
    pub stream: usize,
    /// Whether it fell silent; else it gives readings again.
    pub silent: bool,
}

/// What came of a reading.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Noted {
    /// A deadline that was not there before.
    pub(super) due: Option<i64>,
    /// Whether there is something that a restart should know.
    pub(super) changed: bool,
    /// Whether there was no room.
    pub(super) refused: bool,
    /// Whether this ended a silence of the whole stream.
    pub(super) woke: bool,
}

/// A key whose silence has lasted longer than one span, and as long as another.
struct Silence {
    key: u32,
    told: i64,
    lasts: i64,
    /// The longest of those that rules allow which it has reached.
    reached: i64,
}

fn micros(span: Duration) -> i64 {
    i64::try_from(span.as_micros()).unwrap_or(i64::MAX)
}

fn mark(mono: Mono) -> i64 {
    i64::try_from(mono.micros()).unwrap_or(i64::MAX)
}

/// What a rule says of silence, where a silence changes anything.
pub(super) fn expects(rule: &RulePlan) -> Option<NoData> {
    rule.alert.no_data.filter(|no_data| no_data.action != OnSilence::Keep)
}

impl Presence {
    pub(super) fn new(stream: &StreamSpec, config: &Config) -> Self {
        let early = stream.fields.iter().map(is_early).collect();
        Self {
            most: config.max_groups.max(1),
            index: Index::new(early),
            readers: BTreeMap::new(),
            afters: BTreeMap::new(),
            forgets: BTreeMap::new(),
            keys: Vec::new(),
            free: Vec::new(),
            places: HashTable::new(),
            queue: BinaryHeap::new(),
            budget: Budget::new(config.max_bytes),
            fresh: false,
            silence: stream.silence.map(micros),
            heard: None,
            silent: false,
            waiting: Vec::new(),
            expected: expected(stream),
            learned: Vec::new(),
            refused: 0,
        }
    }

    /// Whether nobody goes by it.
    fn is_idle(&self) -> bool {
        self.readers.is_empty() && self.silence.is_none()
    }

    /// Notes that the stream gave a reading: whoever waited for that is silent by himself, and after a silence
    /// of all that of each begins anew.
    fn hear(&mut self, now: Now) -> Noted {
        self.heard = Some(mark(now.mono));
        if !self.silent {
            if self.waiting.is_empty() {
                return Noted::default();
            }
            for at in std::mem::take(&mut self.waiting) {
                if let Some(Some(known)) = self.keys.get_mut(at as usize) {
                    known.own = true;
                    known.due = mark(now.mono);
                    self.queue.push(Reverse((known.due, at)));
                }
            }
            return Noted { due: self.due(), changed: true, ..Noted::default() };
        }
        self.silent = false;
        self.waiting.clear();
        self.queue.clear();
        for at in 0..u32::try_from(self.keys.len()).unwrap_or(u32::MAX) {
            let Some(Some(known)) = self.keys.get_mut(at as usize) else { continue };
            let silent = mark(now.mono).saturating_sub(known.seen);
            let expected = self.expected.contains_key(&known.label);
            if !expected && self.forgets.last_key_value().is_some_and(|(span, _)| *span <= silent) {
                self.forget(at);
                continue;
            }
            if !known.own {
                (known.seen, known.told) = (mark(now.mono), 0);
            }
            self.expect_from(at, mark(now.mono));
        }
        Noted { due: self.due(), changed: true, woke: true, ..Noted::default() }
    }

    /// Whether a key may be silent with the whole stream, as its last reading was among the last there were: when
    /// this is known.
    fn unsure_until(&self, at: u32, reached: i64) -> Option<i64> {
        let heard = self.heard?;
        if self.keys.get(at as usize)?.as_ref()?.own {
            return None;
        }
        let among = |known: &Known| heard.saturating_sub(known.seen) < reached / 2;
        let known = self.keys.get(at as usize)?.as_ref()?;
        let mut others = self.keys.iter().enumerate().filter(|(place, _)| *place != at as usize);
        let with = among(known) && others.any(|(_, other)| other.as_ref().is_some_and(among));
        with.then(|| heard.saturating_add(reached))
    }

    /// Takes note of a reading. A key is learned from one that a rule can care for.
    pub(super) fn note(&mut self, key: Option<usize>, row: &Row, now: Now) -> Noted {
        let heard = self.hear(now);
        let noted = self.note_key(key, row, now);
        Noted {
            due: heard.due.into_iter().chain(noted.due).min(),
            changed: heard.changed | noted.changed,
            woke: heard.woke,
            ..noted
        }
    }

    fn note_key(&mut self, key: Option<usize>, row: &Row, now: Now) -> Noted {
        if self.readers.is_empty() {
            return Noted::default();
        }
        let label = as_label(key.and_then(|slot| row.slots.get(slot)).unwrap_or(&Value::Null));
        let hash = fold(label.as_bytes());
        let known = self.places.find(hash, |at| is(&self.keys, *at, &label)).copied();
        let Some(at) = known else { return self.learn(&label, hash, row, now) };
        let Some(Some(known)) = self.keys.get_mut(at as usize) else { return Noted::default() };
        (known.seen, known.wall) = (mark(now.mono), now.wall);
        known.own = false;
        let mut noted = Noted::default();
        if row.time >= known.time || std::mem::take(&mut known.unheard) {
            known.time = row.time;
            self.budget.give(weight(&known.row));
            known.row.clone_from(&row.slots);
            if !self.budget.take(weight(&known.row)) {
                keep_only(&mut known.row, key);
                self.budget.charge(weight(&known.row));
                self.refused += 1;
                noted.refused = true;
            }
        }
        if known.told != 0 {
            known.told = 0;
            noted.due = self.expect(at);
            noted.changed = true;
        }
        noted
    }

    fn learn(&mut self, label: &str, hash: u64, row: &Row, now: Now) -> Noted {
        let mut candidates = Vec::new();
        self.index.candidates(&row.slots, &mut candidates);
        if candidates.is_empty() {
            return Noted::default();
        }
        let known = Known {
            label: label.into(),
            seen: mark(now.mono),
            wall: now.wall,
            time: row.time,
            row: row.slots.clone(),
            told: 0,
            due: i64::MAX,
            own: false,
            unheard: false,
        };
        match self.put(known, hash) {
            Some(at) => {
                self.learned.push(at);
                Noted { due: self.expect(at), changed: true, ..Noted::default() }
            }
            None => {
                self.refused += 1;
                Noted { refused: true, ..Noted::default() }
            }
        }
    }

    /// Takes up the keys that are expected and not known, as if they had been heard of now.
    fn expect_all(&mut self, now: Now) {
        if self.readers.is_empty() {
            return;
        }
        for (label, row) in self.expected.clone() {
            let hash = fold(label.as_bytes());
            if self.places.find(hash, |at| is(&self.keys, *at, &label)).is_some() {
                continue;
            }
            let known = Known {
                label,
                seen: mark(now.mono),
                wall: now.wall,
                time: now.wall,
                row: row.into(),
                told: 0,
                due: i64::MAX,
                own: false,
                unheard: true,
            };
            match self.put(known, hash) {
                Some(at) => {
                    self.expect(at);
                }
                None => self.refused += 1,
            }
        }
    }

    /// Gives a key a place; `None` where there is none.
    fn put(&mut self, known: Known, hash: u64) -> Option<u32> {
        if self.places.len() >= self.most || !self.budget.take(known.bytes()) {
            return None;
        }
        let at = match self.free.pop() {
            Some(at) => at,
            None => {
                self.keys.push(None);
                u32::try_from(self.keys.len() - 1).ok()?
            }
        };
        *self.keys.get_mut(at as usize)? = Some(known);
        let keys = &self.keys;
        let rehash = |at: &u32| keys.get(*at as usize).and_then(Option::as_ref).map_or(0, Known::hash);
        self.places.insert_unique(hash, at, rehash);
        Some(at)
    }

    fn forget(&mut self, at: u32) {
        let Some(known) = self.keys.get_mut(at as usize).and_then(Option::take) else { return };
        self.budget.give(known.bytes());
        self.free.push(at);
        if let Ok(entry) = self.places.find_entry(known.hash(), |other| *other == at) {
            entry.remove();
        }
    }

    /// Puts the next deadline of a key into the queue, which it returns.
    fn expect(&mut self, at: u32) -> Option<i64> {
        self.expect_from(at, i64::MIN)
    }

    /// The same, where time has come so far.
    fn expect_from(&mut self, at: u32, now: i64) -> Option<i64> {
        let known = self.keys.get(at as usize)?.as_ref()?;
        let due = known.seen.saturating_add(self.next(known.told)).max(now);
        self.keys.get_mut(at as usize)?.as_mut()?.due = due;
        self.queue.push(Reverse((due, at)));
        // Whoever was silent and came back left a deadline behind.
        if self.queue.len() > 2 * self.places.len() + 64 {
            let keys = &self.keys;
            let valid = |(due, at): (i64, u32)| {
                keys.get(at as usize).and_then(Option::as_ref).is_some_and(|known| known.due == due)
            };
            self.queue.retain(|Reverse(entry)| valid(*entry));
        }
        Some(due)
    }

    /// The silence at which there is something to do, where one was told already.
    fn next(&self, told: i64) -> i64 {
        let after = self.afters.range((Excluded(told), Unbounded)).next();
        after.or(self.forgets.last_key_value()).map_or(i64::MAX, |(span, _)| *span)
    }

    /// When there is something to do. It may turn out that there is not.
    fn due(&self) -> Option<i64> {
        if self.silent {
            return None;
        }
        let key = self.queue.peek().map(|Reverse((due, _))| *due);
        key.into_iter().chain(self.all_due()).min()
    }

    /// When the whole stream will have been silent for longer than it may.
    fn all_due(&self) -> Option<i64> {
        Some(self.heard?.saturating_add(self.silence?))
    }

    /// The next key that was due by a time, and has been silent for long enough by now.
    fn pop(&mut self, by: i64, now: i64) -> Option<Silence> {
        while let Some(Reverse((due, at))) =
            self.queue.peek().copied().filter(|Reverse((due, _))| *due <= by && !self.silent)
        {
            self.queue.pop();
            let Some(Some(known)) = self.keys.get(at as usize) else { continue };
            if known.due != due {
                continue;
            }
            let (told, lasts) = (known.told, now.saturating_sub(known.seen));
            let reached = self.afters.range((Excluded(told), Included(lasts.max(told)))).next_back();
            if let Some((reached, _)) = reached {
                return Some(Silence { key: at, told, lasts, reached: *reached });
            }
            if self.forgets.last_key_value().is_some_and(|(span, _)| *span <= lasts) {
                if !self.expected.contains_key(&known.label) {
                    self.forget(at);
                }
            } else {
                self.expect(at);
            }
        }
        None
    }

    /// Notes that whoever is concerned was told of a silence.
    fn tell(&mut self, silence: &Silence, concerned: bool) {
        if let Some(Some(known)) = self.keys.get_mut(silence.key as usize) {
            known.told = silence.reached;
            known.own |= concerned;
            self.expect(silence.key);
        }
    }

    /// Asks again at this time whether a silence is that of the whole stream.
    fn wait(&mut self, silence: &Silence, until: i64) {
        if let Some(Some(known)) = self.keys.get_mut(silence.key as usize) {
            known.due = until;
            self.queue.push(Reverse((until, silence.key)));
            self.waiting.push(silence.key);
        }
    }

    /// Lets every key begin as one of which nothing was told: the rules are others. Who was told before hears
    /// nothing new.
    fn tell_again(&mut self) {
        self.fresh = false;
        self.waiting.clear();
        self.queue.clear();
        for at in 0..u32::try_from(self.keys.len()).unwrap_or(u32::MAX) {
            if let Some(Some(known)) = self.keys.get_mut(at as usize) {
                known.told = 0;
                self.expect(at);
            }
        }
    }

    fn add(&mut self, reader: u32, no_data: NoData, condition: Condition) {
        let (after, forget) = (micros(no_data.after), micros(no_data.forget));
        self.index.insert(reader, condition);
        self.readers.insert(reader, after);
        *self.afters.entry(after).or_default() += 1;
        *self.forgets.entry(forget).or_default() += 1;
        self.fresh = true;
    }

    fn remove(&mut self, reader: u32, no_data: NoData, condition: &Condition) {
        self.index.remove(reader, condition);
        self.readers.remove(&reader);
        for (counts, span) in [(&mut self.afters, no_data.after), (&mut self.forgets, no_data.forget)] {
            if let Some(count) = counts.get_mut(&micros(span)) {
                *count -= 1;
                if *count == 0 {
                    counts.remove(&micros(span));
                }
            }
        }
    }

    /// How many deadlines wait.
    #[cfg(test)]
    pub(super) fn deadlines(&self) -> usize {
        self.queue.len()
    }

    /// The rules that may have to hear of a silence, in their order.
    fn candidates(&mut self, silence: &Silence, all: bool, out: &mut Vec<Candidate>) {
        out.clear();
        let Some(Some(known)) = self.keys.get(silence.key as usize) else { return };
        if all {
            out.extend(self.readers.keys().map(|reader| Candidate::new(*reader, Standing::Open)));
        } else {
            self.index.candidates(&known.row, out);
        }
        let readers = &self.readers;
        out.retain(|candidate| {
            readers
                .get(&candidate.reader())
                .is_some_and(|after| silence.told < *after && *after <= silence.lasts)
        });
    }

    /// The silence that a rule allows, µs.
    fn allows(&self, rule: usize) -> Option<i64> {
        self.readers.get(&u32::try_from(rule).ok()?).copied()
    }

    /// Whether a row of which only some slots are known can be one to learn a key from.
    pub(super) fn cares(&self, known: &[(usize, &Value)]) -> bool {
        self.silence.is_some() || self.index.cares(known)
    }

    /// Lets the silence of a key begin anew, or of all: that nothing is heard has a reason that is known.
    fn excuse(&mut self, label: Option<&str>, now: Now) {
        let ats: Vec<u32> = match label {
            Some(label) => {
                let at = self.places.find(fold(label.as_bytes()), |at| is(&self.keys, *at, label));
                at.copied().into_iter().collect()
            }
            None => self.places.iter().copied().collect(),
        };
        for at in ats {
            if let Some(Some(known)) = self.keys.get_mut(at as usize) {
                known.seen = mark(now.mono);
                (known.told, known.own) = (0, false);
                self.expect(at);
            }
        }
    }

    /// The keys that are known.
    fn labels(&self) -> impl Iterator<Item = &str> {
        self.keys.iter().flatten().map(|known| &*known.label)
    }

    /// Knows these keys and no others, each with whether its silence may be that of the stream.
    fn start_with(&mut self, keys: Vec<(Known, bool)>, most: usize, now: i64) {
        (self.keys, self.free, self.waiting) = (Vec::new(), Vec::new(), Vec::new());
        self.learned.clear();
        self.places.clear();
        self.queue.clear();
        self.budget = Budget::new(most);
        for (known, waits) in keys {
            let hash = known.hash();
            if self.places.find(hash, |at| is(&self.keys, *at, &known.label)).is_none()
                && let Some(at) = self.put(known, hash)
            {
                self.expect_from(at, now);
                self.waiting.extend(waits.then_some(at));
            }
        }
    }

    /// Writes down all keys, or those of these places.
    fn write(&self, only: Option<&[u32]>, now: Now, out: &mut Writer) {
        let at = |at: u32| Some((at, self.keys.get(at as usize)?.as_ref()?));
        let all: Vec<(u32, &Known)> = match only {
            None => (0..).take(self.keys.len()).filter_map(at).collect(),
            Some(places) => places.iter().copied().filter_map(at).collect(),
        };
        let waiting: HashSet<u32> = self.waiting.iter().copied().collect();
        out.i64(self.heard.map_or(-1, |heard| mark(now.mono).saturating_sub(heard).max(0)));
        out.bool(self.silent);
        out.len(all.len());
        for (at, known) in all {
            out.run(known.label.as_bytes());
            out.i64(mark(now.mono).saturating_sub(known.seen));
            out.time(known.wall);
            out.time(known.time);
            out.values(&known.row);
            out.i64(known.told);
            out.u8(match waiting.contains(&at) {
                _ if known.own => OWN,
                true => WAITS,
                false => 0,
            });
            out.bool(known.unheard);
        }
    }
}

/// Reads what [`Presence::write`] wrote, of rows whose slots are read like this.
fn read(
    from: &mut Reader<'_>,
    (was, is): (&Layout, &Layout),
    now: Now,
    at_once: bool,
) -> Result<Kept, SnapshotError> {
    let remap = is.from(was);
    let mut keys = Vec::new();
    let silent_for = Some(from.i64()?).filter(|span| *span >= 0);
    let silent = from.bool()?;
    let heard =
        silent_for.map(|span| mark(now.mono).saturating_sub(if at_once || silent { span } else { 0 }));
    for _ in 0..from.len()? {
        let label = from.text()?.into();
        let (silent, wall, time) = (from.i64()?, from.time()?, from.time()?);
        let row = remap.row(&from.values()?.into()).to_vec();
        let (told, whose, unheard) = (from.i64()?, from.u8()?, from.bool()?);
        if !matches!(whose, 0 | OWN | WAITS) {
            return Err(from.damaged());
        }
        // What came while nobody listened is not known: a silence that was not told of begins anew.
        let (silent, wall) = if at_once || told != 0 { (silent, wall) } else { (0, now.wall) };
        let seen = mark(now.mono).saturating_sub(silent);
        let own = whose == OWN && (at_once || told != 0);
        let known = Known { label, seen, wall, time, row, told, due: i64::MAX, own, unheard };
        keys.push((known, whose == WAITS && at_once));
    }
    Ok(Kept { keys, heard, silent })
}

/// What is known of a stream's keys, to go on with.
struct Kept {
    /// Each with whether it waits.
    keys: Vec<(Known, bool)>,
    heard: Option<i64>,
    silent: bool,
}

impl Known {
    fn hash(&self) -> u64 {
        fold(self.label.as_bytes())
    }

    fn bytes(&self) -> usize {
        size_of::<Self>() + self.label.len() + weight(&self.row)
    }
}

fn is(keys: &[Option<Known>], at: u32, label: &str) -> bool {
    keys.get(at as usize).and_then(Option::as_ref).is_some_and(|known| *known.label == *label)
}

/// The keys that a stream expects, each with what is known of it.
fn expected(stream: &StreamSpec) -> BTreeMap<Box<str>, Box<[Value]>> {
    let key = |row: &[Value]| Some(as_label(row.get(stream.key?)?).into());
    stream.expected.iter().filter_map(|row| Some((key(row)?, row.clone()))).collect()
}

/// Lets go of all values of a row but one.
fn keep_only(row: &mut [Value], key: Option<usize>) {
    let others = row.iter_mut().enumerate().filter(|(slot, _)| Some(*slot) != key);
    others.for_each(|(_, value)| *value = Value::Null);
}

/// For which readings of its stream the rule must be asked, by WHERE alone.
fn condition(rule: &RulePlan, gate: Gate) -> Condition {
    if rule.from.sides.len() == 1 && rule.analytics.is_empty() {
        gate.filter_condition(rule)
    } else {
        Condition::open()
    }
}

/// Lets a rule hear of the silence of its stream's keys, if it wants to.
pub(super) fn enlist(feeds: &mut [Feed], plan: &Plan, config: &Config, (at, gate): (usize, Gate)) {
    let Some(rule) = plan.rules.get(at) else { return };
    let (Some(no_data), Ok(reader)) = (expects(rule), u32::try_from(at)) else { return };
    let (Some(feed), Some(stream)) = (feeds.get_mut(rule.stream()), plan.streams.get(rule.stream())) else {
        return;
    };
    let presence = feed.presence.get_or_insert_with(|| Box::new(Presence::new(stream, config)));
    if presence.index.slots() != stream.fields.len() {
        presence.index.reads(stream.fields.iter().map(is_early).collect());
        presence.expected = expected(stream);
    }
    presence.add(reader, no_data, condition(rule, gate));
}

/// Takes back what [`enlist`] did, of the same plan.
pub(super) fn delist(feeds: &mut [Feed], plan: &Plan, (at, gate): (usize, Gate)) {
    let Some(rule) = plan.rules.get(at) else { return };
    let (Some(no_data), Ok(reader)) = (expects(rule), u32::try_from(at)) else { return };
    let Some(presence) = feeds.get_mut(rule.stream()).and_then(|feed| feed.presence.as_mut()) else { return };
    presence.remove(reader, no_data, &condition(rule, gate));
}

impl Feed {
    /// Goes on with the keys that are known, for the rules that go by them by now.
    pub(super) fn expect(&mut self) {
        match &mut self.presence {
            Some(presence) if presence.is_idle() => self.presence = None,
            Some(presence) if presence.fresh => presence.tell_again(),
            _ => {}
        }
    }
}

impl Engine {
    /// Tells of keys that were silent for as long as a rule allows, in the order of time. Costs next to
    /// nothing before [`Self::next_deadline`]. What is due at the very instant of a row is due after it, so
    /// it is asked for behind the rows of that instant.
    pub fn silences(&mut self, now: Now, out: &mut Vec<Absence>) {
        let due = mark(now.mono);
        if self.silence_due.is_none_or(|first| first > due) {
            return;
        }
        for stream in 0..self.feeds.len() {
            let Some(mut presence) = self.feeds[stream].presence.take() else { continue };
            let mut candidates = std::mem::take(&mut self.candidates);
            // Keys that were silent for long enough before are told of first.
            let mut all = presence.all_due().is_some_and(|all| all <= due) && !presence.silent;
            let by = presence.all_due().map_or(due, |all| all.min(due));
            while let Some(silence) = presence.pop(by, due) {
                self.changed = true;
                presence.candidates(&silence, !self.config.index, &mut candidates);
                let Some(Some(known)) = presence.keys.get(silence.key as usize) else { continue };
                let absent = |candidate: &Candidate| self.absence(candidate.reader() as usize, known, now);
                let from = out.len();
                out.extend(candidates.iter().filter_map(absent));
                let allowed = |absence: &Absence| presence.allows(absence.rule);
                let longest = out.iter().skip(from).filter_map(allowed).max();
                match longest.and_then(|longest| presence.unsure_until(silence.key, longest)) {
                    None => presence.tell(&silence, longest.is_some()),
                    Some(until) if until > due => {
                        out.truncate(from);
                        presence.wait(&silence, until);
                    }
                    // Its turn comes when any of them is heard.
                    Some(_) => {
                        out.truncate(from);
                        all = true;
                    }
                }
            }
            if all {
                self.changed = true;
                presence.silent = true;
                self.lulls.push(Lull { stream, silent: true });
            }
            self.candidates = candidates;
            self.feeds[stream].presence = Some(presence);
        }
        self.look_for_silence();
    }

    /// Streams that fell silent as a whole, or are heard again, since this was last asked.
    pub fn take_lulls(&mut self) -> Vec<Lull> {
        std::mem::take(&mut self.lulls)
    }

    /// The keys of a stream whose silence is noticed.
    pub fn present(&self, stream: usize) -> impl Iterator<Item = &str> {
        let presence = self.feeds.get(stream).and_then(|feed| feed.presence.as_ref());
        presence.into_iter().flat_map(|presence| presence.labels())
    }

    /// Holds a stream for silent as a whole, or not.
    pub fn hush(&mut self, stream: usize, silent: bool, now: Now) {
        let presence = self.feeds.get_mut(stream).and_then(|feed| feed.presence.as_mut());
        if let Some(presence) = presence.filter(|presence| presence.silent != silent) {
            if !silent {
                presence.hear(now);
            }
            presence.silent = silent;
            self.look_for_silence();
        }
    }

    /// Whether the silence of any stream is noticed.
    #[inline]
    pub fn listens(&self) -> bool {
        self.listens
    }

    /// A stream was heard of by a message of which nobody needs the contents.
    pub fn heard(&mut self, stream: usize, now: Now) {
        let Some(presence) = self.feeds.get_mut(stream).and_then(|feed| feed.presence.as_mut()) else {
            return;
        };
        let noted = presence.hear(now);
        self.silence_due = self.silence_due.into_iter().chain(noted.due).min();
        self.changed |= noted.changed;
        if noted.woke {
            self.lulls.push(Lull { stream, silent: false });
        }
    }

    /// It is listened from here on, whatever was before.
    pub fn listen_from(&mut self, now: Now) {
        for presence in self.feeds.iter_mut().filter_map(|feed| feed.presence.as_mut()) {
            presence.heard = Some(mark(now.mono));
        }
        self.look_for_silence();
    }

    /// From now on it is listened to streams of which nothing was heard so far.
    pub fn listen(&mut self, now: Now) {
        for presence in self.feeds.iter_mut().filter_map(|feed| feed.presence.as_mut()) {
            presence.heard.get_or_insert(mark(now.mono));
            presence.expect_all(now);
        }
        self.look_for_silence();
    }

    /// Lets the silence of a key of a stream begin anew, or of all: why nothing is heard is known.
    pub fn excuse(&mut self, stream: usize, key: Option<&str>, now: Now) {
        let Some(presence) = self.feeds.get_mut(stream).and_then(|feed| feed.presence.as_mut()) else {
            return;
        };
        // Whoever says of himself that he is there was heard.
        if presence.hear(now).woke {
            self.lulls.push(Lull { stream, silent: false });
        }
        presence.excuse(key, now);
        self.changed = true;
        self.look_for_silence();
    }

    /// When [`Self::silences`] should be called.
    pub(super) fn silence_due(&self) -> Option<Mono> {
        self.silence_due.map(|due| Mono::from_micros(u64::try_from(due).unwrap_or(0)))
    }

    /// Notes when a key is silent for long enough at the earliest.
    pub(super) fn look_for_silence(&mut self) {
        self.listens = self.feeds.iter().any(|feed| feed.presence.is_some());
        let presences = self.feeds.iter().filter_map(|feed| feed.presence.as_ref());
        self.silence_due = presences.filter_map(|presence| presence.due()).min();
    }

    /// What a rule is told of a silent key; `None` where WHERE is not true of its last reading.
    fn absence(&self, at: usize, known: &Known, now: Now) -> Option<Absence> {
        let ctx = Context::new(&self.plan, at, &self.config);
        let (rule, gate) = (ctx.rule, self.gates.get(at)?);
        let env = Env { params: &rule.params, now: now.wall, at: known.time, ..Env::default() };
        let own: [&[Value]; 1] = [&known.row];
        let passes = if rule.from.sides.len() == 1 && rule.analytics.is_empty() {
            gate.passes(rule, Scope::row(&own, &[], &env))
        } else if rule.from.at_close {
            asked(rule, |expr| is_of(expr, |side| side == 0), Scope::row(&own, &[], &env))
        } else {
            let (rows, _) = join::at_entry(ctx, &self.tables, &known.row, &env);
            rows.iter().any(|sides| asked(rule, |expr| is_of(expr, |_| true), Scope::row(sides, &[], &env)))
        };
        if !passes {
            return None;
        }
        let scope = Scope::row(&own, &[], &env);
        let key: Box<[Value]> = rule.key.iter().map(|expr| value(rule.key_expr(expr), scope)).collect();
        let column = |expr: &Expr| match rule.key.iter().position(|key| key == expr) {
            Some(at) => key[at].clone(),
            None if gate.is_plain() && !gate.recalls() => value(expr, scope),
            None => Value::Null,
        };
        let values = rule.project.iter().take(rule.visible).map(column).collect();
        let at_time = known.time.plus(now.wall.since(known.wall));
        Some(Absence { rule: at, key, values, at: at_time })
    }

    /// Goes on with the keys of the streams of another engine, where they are the same.
    pub(super) fn take_over_presences(&mut self, feeds: &mut [Feed], plan: &Plan) {
        let before = plan.streams.iter().zip(feeds);
        let before = before.filter_map(|(stream, feed)| {
            let presence = feed.presence.take()?;
            let (heard, silent) = (presence.heard, presence.silent);
            let keys = presence.keys.into_iter().flatten().map(|known| (known, false)).collect();
            Some((stream.signature(), (Layout::of(stream), Kept { keys, heard, silent })))
        });
        let mut before: HashMap<String, (Layout, Kept)> = before.collect();
        for (stream, feed) in self.plan.streams.iter().zip(&mut self.feeds) {
            let Some(presence) = &mut feed.presence else { continue };
            let Some((was, Kept { keys, heard, silent })) = before.remove(&stream.signature()) else {
                continue;
            };
            (presence.heard, presence.silent) = (heard, silent);
            let remap = Layout::of(stream).from(&was);
            for (known, _) in keys {
                let row = match presence.expected.get(&known.label).filter(|_| known.unheard) {
                    Some(row) => row.to_vec(),
                    // Nobody expects it any more.
                    None if known.unheard => continue,
                    None => remap.row(&known.row.into()).to_vec(),
                };
                let known = Known { row, ..known };
                let hash = known.hash();
                presence.put(known, hash);
            }
            presence.tell_again();
        }
        self.look_for_silence();
    }

    /// The keys of the streams whose silence rules go by, as bytes. A silence is written as a distance from
    /// `now`.
    pub fn snapshot_presence(&self, now: Now) -> Vec<u8> {
        self.write_presence(false, now)
    }

    /// The keys that were learned since this was last asked, as bytes; empty where there are none. A restart before
    /// the next snapshot would not know of them.
    pub fn take_learned(&mut self, now: Now) -> Vec<u8> {
        let presences = || self.feeds.iter().filter_map(|feed| feed.presence.as_ref());
        if presences().all(|presence| presence.learned.is_empty()) {
            return Vec::new();
        }
        let bytes = self.write_presence(true, now);
        let presences = self.feeds.iter_mut().filter_map(|feed| feed.presence.as_mut());
        presences.for_each(|presence| presence.learned.clear());
        bytes
    }

    fn write_presence(&self, learned: bool, now: Now) -> Vec<u8> {
        let known = || {
            let streams = self.plan.streams.iter().zip(&self.feeds);
            let known = streams.filter_map(|(stream, feed)| Some((stream, feed.presence.as_ref()?)));
            known.filter(|(_, presence)| !learned || !presence.learned.is_empty())
        };
        let mut out = Writer::default();
        out.u8(FORMAT);
        out.time(now.wall);
        out.len(known().count());
        for (stream, presence) in known() {
            out.run(stream.signature().as_bytes());
            let mut state = Writer::default();
            Layout::of(stream).write(&mut state);
            presence.write(learned.then_some(&*presence.learned), now, &mut state);
            out.run(&state.into_bytes());
        }
        out.into_bytes()
    }

    /// Knows the keys of [`Self::take_learned`] too, as if they had been heard of now.
    ///
    /// # Errors
    /// Where the bytes are none that this program reads. Nothing has changed then.
    pub fn learn(&mut self, bytes: &[u8], now: Now) -> Result<(), SnapshotError> {
        for (at, Kept { keys, .. }) in self.read_presence(bytes, now)? {
            let Some(presence) = self.feeds.get_mut(at).and_then(|feed| feed.presence.as_mut()) else {
                continue;
            };
            for (known, _) in keys {
                let hash = known.hash();
                if presence.places.find(hash, |at| is(&presence.keys, *at, &known.label)).is_none() {
                    let known = Known { seen: mark(now.mono), wall: now.wall, ..known };
                    if let Some(at) = presence.put(known, hash) {
                        presence.expect(at);
                    }
                }
            }
            presence.heard.get_or_insert(mark(now.mono));
        }
        self.look_for_silence();
        Ok(())
    }

    /// Takes over what [`Self::snapshot_presence`] wrote, for the streams that are the same, in the place of
    /// the keys that are known. A silence that was not told of goes on where this is the moment at which it
    /// was written, by the calendar; else it begins anew, as nobody knows what came in between.
    ///
    /// # Errors
    /// Where the bytes are no snapshot that this program reads. Nothing has changed then.
    pub fn restore_presence(&mut self, bytes: &[u8], now: Now) -> Result<(), SnapshotError> {
        for (at, Kept { keys, heard, silent }) in self.read_presence(bytes, now)? {
            let Some(presence) = self.feeds.get_mut(at).and_then(|feed| feed.presence.as_mut()) else {
                continue;
            };
            presence.start_with(keys, self.config.max_bytes, mark(now.mono));
            (presence.heard, presence.silent) = (heard.or(presence.heard), silent);
            presence.expect_all(now);
        }
        self.look_for_silence();
        Ok(())
    }

    /// Reads what was written of the keys, of the streams that are the same, by their places.
    fn read_presence(&self, bytes: &[u8], now: Now) -> Result<Vec<(usize, Kept)>, SnapshotError> {
        let mut from = Reader::new(bytes);
        match from.u8()? {
            FORMAT => {}
            other => return Err(SnapshotError::Version(other)),
        }
        let written = from.time()?;
        let at_once = now.wall.since(written).max(written.since(now.wall)) < MOMENT;
        let mut saved = HashMap::new();
        for _ in 0..from.len()? {
            saved.insert(from.text()?, from.part()?);
        }
        if !from.is_at_end() {
            return Err(from.damaged());
        }
        let mut restored = Vec::new();
        for (at, stream) in self.plan.streams.iter().enumerate() {
            let Some(mut part) = saved.remove(&*stream.signature()) else { continue };
            let was = Layout::read(&mut part)?;
            restored.push((at, read(&mut part, (&was, &Layout::of(stream)), now, at_once)?));
            if !part.is_at_end() {
                return Err(part.damaged());
            }
        }
        Ok(restored)
    }
}

/// Whether those terms of WHERE are true that can be asked of a single reading: without analytic functions,
/// and with names of these sides alone.
fn asked(rule: &RulePlan, can: impl Fn(&Expr) -> bool, scope: Scope<'_>) -> bool {
    terms(rule.filter.as_ref()).iter().filter(|term| can(term)).all(|term| holds(term, scope))
}

fn is_of(expr: &Expr, side: impl Fn(usize) -> bool) -> bool {
    let mut is = true;
    expr.walk(&mut |part| match part {
        Expr::Analytic(_) => is = false,
        Expr::Field(from, _) => is &= side(*from),
        _ => {}
    });
    is
}
