//! What a spool should hold, in plain collections, and how what it holds is compared with that.

use std::collections::{BTreeMap, BTreeSet};

use weir::model::kept::{Lane, Outgoing, Seen, SpoolTime, StateChange, StateKey};
use weir::model::label::Fingerprint;
use weir::model::ranges::{Range, Ranges};
use weir::model::time::Timestamp;
use weir::spool::{Commit, Loaded, Spool, StoredSetChange};

pub(crate) const NOW: SpoolTime =
    SpoolTime { boot: 7, since_boot_ms: 1_000, wall: Timestamp::from_millis(1_800_000_000_000) };

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Row {
    pub(crate) body: Vec<u8>,
    pub(crate) alert: u64,
    pub(crate) rank: u8,
    pub(crate) urgent: bool,
}

/// Plain and slow.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Model {
    pub(crate) max_bytes: u64,
    pub(crate) newest: u64,
    pub(crate) waiting: BTreeMap<u64, Row>,
    /// What the hub said it has.
    pub(crate) acknowledged: BTreeSet<u64>,
    pub(crate) evicted: BTreeSet<u64>,
    pub(crate) given_up: u64,
    pub(crate) superseded: u64,
    pub(crate) states: BTreeMap<StateKey, Vec<u8>>,
    pub(crate) rulesets: BTreeMap<String, Vec<u8>>,
    pub(crate) snapshot: Option<Vec<u8>>,
    pub(crate) journal: Vec<Vec<u8>>,
    pub(crate) traces: Vec<Seen>,
}

impl Model {
    pub(crate) fn new(max_bytes: u64) -> Self {
        Self { max_bytes, ..Self::default() }
    }

    pub(crate) fn commit(&mut self, commit: &Commit) {
        for one in &commit.transitions {
            self.newest += 1;
            let row =
                Row { body: one.body.clone(), alert: one.fingerprint.0, rank: one.rank, urgent: one.urgent };
            self.waiting.insert(self.newest, row);
        }
        // Older ones of an urgent one's alert go before it.
        let newest_urgent: BTreeMap<u64, u64> = (self.newest + 1 - commit.transitions.len() as u64..)
            .zip(&commit.transitions)
            .filter(|(_, one)| one.urgent && one.fingerprint.0 != 0)
            .map(|(seq, one)| (one.fingerprint.0, seq))
            .collect();
        for (seq, row) in &mut self.waiting {
            row.urgent |= newest_urgent.get(&row.alert).is_some_and(|upto| seq < upto);
        }
        if !commit.transitions.is_empty() && self.bytes() > self.max_bytes && self.waiting.len() > 1 {
            self.evict();
        }
        for StateChange { key, body } in &commit.states {
            match body {
                Some(body) => self.states.insert(key.clone(), body.clone()),
                None => self.states.remove(key),
            };
        }
        if let Some(input) = &commit.journal {
            self.journal.push(input.clone());
        }
        if let Some(snapshot) = &commit.snapshot {
            self.journal.clear();
            self.snapshot = Some(snapshot.clone());
        }
        for StoredSetChange { name, body } in &commit.rulesets {
            match body {
                Some(body) => self.rulesets.insert(name.to_string(), body.clone()),
                None => self.rulesets.remove(&**name),
            };
        }
        self.traces.retain(|trace| !commit.forget_seen.contains(&trace.source));
        self.traces.extend(commit.seen.iter().cloned());
        self.traces.sort_by(|a, b| (&a.source, a.serial).cmp(&(&b.source, b.serial)));
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.waiting.values().map(|row| row.body.len() as u64).sum()
    }

    fn evict(&mut self) {
        let rows: Vec<(u64, u64, u8)> =
            self.waiting.iter().map(|(seq, row)| (*seq, row.alert, row.rank)).collect();
        let superseded = |(seq, alert, _): &&(u64, u64, u8)| {
            *alert != 0 && rows.iter().any(|(other, of, _)| of == alert && other > seq)
        };
        let first: Vec<u64> = rows.iter().filter(superseded).map(|(seq, ..)| *seq).collect();
        let mut then: Vec<(u8, u64)> = rows.iter().map(|(seq, _, rank)| (*rank, *seq)).collect();
        then.sort();
        let counted = first.len();
        let order = first.into_iter().chain(then.into_iter().map(|(_, seq)| seq));
        for (i, seq) in order.enumerate() {
            if self.bytes() <= self.max_bytes - self.max_bytes / 8 || self.waiting.len() <= 1 {
                break;
            }
            if seq != self.newest && self.waiting.remove(&seq).is_some() {
                self.evicted.insert(seq);
                self.given_up += 1;
                self.superseded += u64::from(i < counted);
            }
        }
    }

    pub(crate) fn forget(&mut self, floor: u64, above: &[Range]) {
        let all = [(1, floor)];
        let told = above.iter().chain(&all).flat_map(|(first, last)| *first..=*last);
        for seq in told.filter(|seq| (1..=self.newest).contains(seq)) {
            self.acknowledged.insert(seq);
            self.waiting.remove(&seq);
            self.evicted.remove(&seq);
        }
    }

    pub(crate) fn renew(&mut self) {
        let rows = std::mem::take(&mut self.waiting);
        self.newest = rows.len() as u64;
        self.waiting = (1..).zip(rows.into_values()).collect();
        self.acknowledged.clear();
        self.evicted.clear();
    }

    /// A crash may have brought back what was acknowledged and not written down: what the spool says is taken over, as
    /// far as it is part of what was told. `before` is what stood when the number was committed.
    pub(crate) fn take_back(&mut self, spool: &Spool, rows: &BTreeMap<u64, Row>) -> Result<(), String> {
        for seq in 1..=self.newest {
            let (has, should) = (spool.acknowledged().contains(seq), self.acknowledged.contains(&seq));
            if has && !should {
                return Err(format!("{seq} was never acknowledged"));
            }
            if should && !has {
                self.acknowledged.remove(&seq);
                let evicted = spool.evicted(&Ranges::default(), u64::MAX, usize::MAX).map_err(text)?;
                if evicted.iter().any(|range| (range.0..=range.1).contains(&seq)) {
                    self.evicted.insert(seq);
                } else if let Some(row) = rows.get(&seq) {
                    self.waiting.insert(seq, row.clone());
                } else {
                    return Err(format!("{seq} came back from nowhere"));
                }
            }
        }
        Ok(())
    }

    /// What an open spool holds.
    pub(crate) fn compare(&self, spool: &Spool) -> Result<(), String> {
        let stats = spool.stats(NOW);
        same("newest", spool.newest(), self.newest)?;
        same("waiting", stats.waiting, self.waiting.len() as u64)?;
        same("their bytes", stats.waiting_bytes, self.bytes())?;
        same("given up", (stats.evicted, stats.superseded), (self.given_up, self.superseded))?;
        let acknowledged: BTreeSet<u64> =
            spool.acknowledged().iter().flat_map(|(first, last)| first..=last).collect();
        same("acknowledged", &acknowledged, &self.acknowledged)?;
        let evicted = spool.evicted(&Ranges::default(), u64::MAX, usize::MAX).map_err(text)?;
        let evicted: BTreeSet<u64> = evicted.into_iter().flat_map(|(first, last)| first..=last).collect();
        same("evicted", &evicted, &self.evicted)?;
        let peek =
            |lane| spool.peek(lane, &Ranges::default(), u64::MAX, usize::MAX, usize::MAX).map_err(text);
        let lane = |urgent: bool| {
            self.waiting.iter().filter(move |(_, row)| row.urgent == urgent).map(|(seq, _)| *seq)
        };
        let seqs = |rows: Vec<weir::model::kept::Waiting>| rows.iter().map(|row| row.seq).collect::<Vec<_>>();
        same("the urgent", seqs(peek(Lane::Urgent)?), lane(true).collect())?;
        same("the rest", seqs(peek(Lane::Rest)?), lane(false).collect())?;
        let both: Vec<(u64, Vec<u8>)> =
            peek(Lane::Both)?.into_iter().map(|row| (row.seq, row.body)).collect();
        let should: Vec<(u64, Vec<u8>)> =
            self.waiting.iter().map(|(seq, row)| (*seq, row.body.clone())).collect();
        same("what waits", both, should)?;
        let all = self.waiting.len() + self.acknowledged.len() + self.evicted.len();
        same("each number is one of the three", all as u64, self.newest)
    }

    /// What was read when it was opened.
    pub(crate) fn compare_loaded(&self, loaded: &Loaded) -> Result<(), String> {
        let states: BTreeMap<StateKey, Vec<u8>> = loaded.states.iter().cloned().collect();
        same("states", &states, &self.states)?;
        let rulesets: BTreeMap<String, Vec<u8>> =
            loaded.rulesets.iter().map(|(name, body)| (name.to_string(), body.clone())).collect();
        same("rule sets", &rulesets, &self.rulesets)?;
        same("snapshot", &loaded.snapshot, &self.snapshot)?;
        same("journal", &loaded.journal, &self.journal)?;
        same("traces", &loaded.seen, &self.traces)
    }
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, is: T, should: T) -> Result<(), String> {
    if is == should { Ok(()) } else { Err(format!("{what}: is {is:?}, should be {should:?}")) }
}

pub(crate) fn text(error: weir::spool::Error) -> String {
    error.to_string()
}

/// A commit of all kinds, by chance.
pub(crate) fn commit(random: &mut fastrand::Rng, serial: &mut u64, most: usize) -> Commit {
    let row = |random: &mut fastrand::Rng| Outgoing {
        body: (0..random.usize(1..200)).map(|_| random.u8(..)).collect(),
        fingerprint: Fingerprint(random.u64(0..9)),
        rank: random.u8(0..4),
        urgent: random.u8(0..6) == 0,
    };
    let name = |random: &mut fastrand::Rng| format!("set{}", random.u8(0..3));
    let body = |random: &mut fastrand::Rng| random.bool().then(|| vec![random.u8(..); random.usize(1..300)]);
    let transitions = (0..random.usize(0..=most)).map(|_| row(random)).collect();
    let mut commit = Commit { transitions, ..Commit::default() };
    for _ in 0..random.usize(0..4) {
        let key = StateKey {
            ruleset: name(random).into(),
            rule: format!("r{}", random.u8(0..5)).into(),
            fingerprint: Fingerprint(random.u64(..)),
        };
        let fingerprint = Fingerprint(key.fingerprint.0 % 5);
        commit.states.push(StateChange { key: StateKey { fingerprint, ..key }, body: body(random) });
    }
    if random.u8(0..3) == 0 {
        let seen = (0..random.u64(1..5)).map(|i| Seen {
            source: "broker".into(),
            serial: *serial + i,
            packet: random.u16(..),
            content: random.u64(..),
        });
        commit.seen = seen.collect();
        *serial += commit.seen.len() as u64;
    }
    commit.journal = (random.u8(0..3) == 0).then(|| vec![random.u8(..); random.usize(1..400)]);
    commit.snapshot = (random.u8(0..8) == 0).then(|| vec![random.u8(..); random.usize(1..9_000)]);
    if random.u8(0..5) == 0 {
        commit.rulesets.push(StoredSetChange { name: name(random).into(), body: body(random) });
    }
    commit
}
