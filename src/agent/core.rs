//! The decision path, whole and without an `await`: messages, rule changes and time in, effects
//! out. The core is the one owner of all state that changes with readings.
//!
//! Being synchronous costs state machines written by hand; it buys that every behaviour of the
//! agent is a table of (time, input) → output, that a recording replays to the same alerts, and
//! that nothing can come between a decision and its record.

mod decided;
mod set;
mod takeover;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::alert::{self, Book, SavedState};
use crate::control::Admitted;
use crate::decode::{self, Decoder, Fate};
use crate::engine::{self, Engine};
use crate::model::kept::{Seen, StateChange, StateKey};
use crate::model::label::Fingerprint;
use crate::model::message::{AckToken, Message, NODE_SOURCE};
use crate::model::row::{Observation, Rows};
use crate::model::ruleset::{ContentHash, Origin, RunningSet};
use crate::model::time::{Downtime, Mono, Now, Timestamp};
use crate::model::transition::Transition;
use crate::plan::Basis;
use crate::plan::logical::Plan;

use self::decided::Decided;
use super::ceiling::Ceilings;
use super::condition::{self, Conditions};
use super::meter::{Meter, Stage};
use super::outlet::Outlet;
pub use super::outlet::{Why, Withheld};
use super::redelivery::Redelivery;
use super::snapshot::{AlertSnapshot, CoreSnapshot, SetSnapshot};
use super::source::Sources;

/// What the core is told.
#[derive(Debug)]
pub enum Input {
    /// Messages, in the order in which they came.
    Messages(Vec<Message>),
    /// A rule set to run in the place of the one of its name, if any.
    Run(Box<Admitted>),
    /// The same of a set of which none runs so far, with what it starts from.
    Start(Box<Admitted>, Box<Fresh>),
    /// A rule set to run no longer.
    Remove(Arc<str>),
    /// End the alert of a fingerprint that is up, for a reason that a person gives. Nothing raises it until
    /// it clears.
    Resolve(Fingerprint, Arc<str>),
    /// A source is connected, or is not, and why. While one is not, silence means nothing.
    Connected(Arc<str>, bool, Option<Arc<str>>),
    /// These are all the sources there are: alerts on readings of others end.
    Sources(Vec<Arc<str>>),
    /// Time has passed.
    Tick,
}

/// What is to be done about it, in this order: make durable, then acknowledge.
#[derive(Debug, Default)]
pub struct Effects {
    /// For the outbox.
    pub transitions: Vec<Transition>,
    /// Alert states that changed.
    pub states: Vec<StateChange>,
    /// Messages to acknowledge.
    pub acks: Vec<AckToken>,
    /// The places of the messages that were delivered again, ascending: they were not evaluated. What came of them is
    /// durable only if all is that was decided so far.
    pub repeats: Vec<usize>,
    /// Keys whose silence will be noticed and that were not known before, by rule set, as [`Engine::take_learned`]
    /// writes them. The next snapshot holds them.
    pub learned: Vec<(Arc<str>, Vec<u8>)>,
    /// What rules with a memory told, by rule set; the next snapshot holds what follows from it.
    pub decided: Vec<(Arc<str>, Vec<u8>)>,
    /// What ran before a change of rules.
    pub replaced: Option<Box<Replaced>>,
    /// How many of the transitions were let out; the others still may be withheld.
    passed: usize,
}

/// What a set starts from. With many rules it takes a while to make, so it is made where no message waits
/// for it.
#[derive(Debug)]
pub struct Fresh {
    decoder: Decoder,
    engine: Engine,
    book: Book,
}

impl Fresh {
    /// That of a plan, for this agent's core.
    pub fn new(plan: &Arc<Plan>, agent: &Arc<str>, limits: Limits) -> Self {
        Self {
            decoder: Decoder::with_config(condition::streams(plan), limits.decode),
            engine: Engine::new(plan.clone(), limits.engine),
            book: Book::new(agent.clone(), plan.clone()),
        }
    }
}

/// What ran before. It may be large, so it should be dropped where no message waits for it.
#[derive(Debug)]
pub struct Replaced {
    /// The plan.
    pub plan: Arc<Plan>,
    /// What its next version could be compiled on.
    pub basis: Arc<Basis>,
    /// The plan that the change was compiled on.
    pub from: Option<Arc<Plan>>,
    /// State of rules that are gone.
    pub state: engine::Leftover,
}

impl Effects {
    /// Whether something must be durable before the acknowledgements go out.
    pub fn must_commit(&self) -> bool {
        !self.transitions.is_empty() || !self.states.is_empty() || !self.learned.is_empty()
    }
}

/// How many messages are looked at ahead: as many as memory answers for at once, about.
const AHEAD: usize = 16;

/// The bounds of the stages inside, and how they work together.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Of decoding.
    pub decode: decode::Config,
    /// Of the engine.
    pub engine: engine::Config,
    /// The most readings that an alert is told with; 16 by default.
    pub evidence: usize,
    /// Whether the time between one process and the next counts.
    pub downtime: Downtime,
    /// The most alerts a minute that are told one by one; 0: any number. 600 by default.
    pub rate: u32,
    /// How long a source may be lost before that is told; zero: it never is. A minute by default.
    pub lost_after: Duration,
}

/// The engine is [watched](engine::Config::watched), and keeps half a megabyte of readings of each stream.
impl Default for Limits {
    fn default() -> Self {
        let engine = engine::Config { watched: true, evidence: 512 << 10, ..engine::Config::default() };
        Self {
            decode: decode::Config::default(),
            engine,
            evidence: 16,
            downtime: Downtime::Ignored,
            rate: 600,
            lost_after: Duration::from_secs(60),
        }
    }
}

/// The state of one agent.
#[derive(Debug)]
pub struct Core {
    agent: Arc<str>,
    limits: Limits,
    sets: BTreeMap<Arc<str>, Set>,
    redelivery: Redelivery,
    counts: Counts,
    idle: IdleClock,
    sources: Sources,
    clock_trusted: bool,
    seed: u64,
    meter: Meter,
    outlet: Outlet,
}

/// What the core has taken in since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Messages.
    pub messages: u64,
    /// Bytes of their payloads.
    pub bytes: u64,
    /// Messages that the broker delivered again after they had been taken in.
    pub redelivered: u64,
    /// Messages of brokers that no stream reads, such as those of a subscription that outlived its rules.
    pub unmatched: u64,
    /// Messages whose payload was not read, since by their topic no rule of any set could care.
    pub skipped: u64,
}

/// One rule set that runs.
#[derive(Debug)]
pub struct Set {
    /// Where it came from.
    pub origin: Origin,
    /// The hub's revision.
    pub revision: u64,
    /// Its address.
    pub hash: ContentHash,
    /// The address of the set that was attempted last in its place.
    pub attempted: ContentHash,
    /// What runs.
    pub plan: Arc<Plan>,
    /// What its next version can be compiled on.
    pub basis: Arc<Basis>,
    decoder: Decoder,
    engine: Engine,
    agent: Arc<str>,
    book: Book,
    ceilings: Ceilings,
    conditions: Conditions,
    /// The sources there are, where that is known.
    sources: Option<Arc<[Arc<str>]>>,
    /// Whether rows may come before windows are closed that ended earlier.
    ahead: bool,
    /// The most readings that an alert is told with.
    evidence: usize,
    decided: Decided,
    /// The rows of the message at hand.
    rows: Rows,
    /// What the engine gave of the row at hand.
    seen: Vec<Observation>,
}

/// The monotonic clock as far as it counts silence: it stands still while a source is
/// disconnected.
#[derive(Debug, Default)]
pub struct IdleClock {
    lost: Duration,
    disconnected_at: Option<Mono>,
}

impl IdleClock {
    /// Notes whether every source is connected, from `mono` on.
    pub fn set(&mut self, connected: bool, mono: Mono) {
        match (connected, self.disconnected_at) {
            (false, None) => self.disconnected_at = Some(mono),
            (true, Some(since)) => {
                self.lost += mono.since(since);
                self.disconnected_at = None;
            }
            _ => {}
        }
    }

    /// What this clock shows at `mono`.
    pub fn of(&self, mono: Mono) -> Mono {
        let mono = self.disconnected_at.map_or(mono, |since| since.min(mono));
        Mono::from_micros(
            mono.since(Mono::default()).saturating_sub(self.lost).as_micros().try_into().unwrap_or(u64::MAX),
        )
    }

    /// When this clock shows `idle`; `None` while it stands.
    pub fn when(&self, idle: Mono) -> Option<Mono> {
        self.disconnected_at.is_none().then(|| idle.plus(self.lost))
    }
}

impl Core {
    /// A core without rules.
    pub fn new(agent: Arc<str>, limits: Limits) -> Self {
        Self {
            outlet: Outlet::new(agent.clone(), limits.rate),
            sources: Sources::new(agent.clone(), limits.lost_after),
            agent,
            limits,
            sets: BTreeMap::new(),
            redelivery: Redelivery::default(),
            counts: Counts::default(),
            idle: IdleClock::default(),
            clock_trusted: true,
            seed: 0,
            meter: Meter::new(limits.engine.nanos),
        }
    }

    /// Where the generators behind `rand` and `newuuid` start; each rule has its own. They start at the
    /// same place for every core until told otherwise.
    pub fn seed(&mut self, seed: u64) {
        self.seed = seed;
        for (name, set) in &mut self.sets {
            set.engine.seed(set_seed(seed, name));
        }
    }

    /// What the clock that counts silence shows, which accounts go by.
    pub fn idle(&self, mono: Mono) -> Mono {
        self.idle.of(mono)
    }

    /// Says whether the node's calendar can be believed. While it cannot, no reading is too far in
    /// the future.
    pub const fn trust_clock(&mut self, trusted: bool) {
        self.clock_trusted = trusted;
    }

    /// Whether the node's calendar is believed.
    pub const fn is_clock_trusted(&self) -> bool {
        self.clock_trusted
    }

    /// Takes one input at a point in time.
    pub fn apply(&mut self, input: Input, now: Now) -> Effects {
        let mut effects = Effects::default();
        for set in self.sets.values_mut() {
            set.engine.trust_clock(self.clock_trusted);
        }
        // What is due at the very instant of a message is due after it, as in a replay.
        let due = if matches!(input, Input::Messages(_)) { just_before(now) } else { now };
        // What changes rules, or stops the clock that windows wait for, finds nothing waiting.
        let most = match input {
            Input::Messages(_) | Input::Tick | Input::Connected(_, true, _) => self.limits.engine.spread,
            Input::Run(_) | Input::Start(..) | Input::Remove(_) => usize::MAX,
            Input::Resolve(..) | Input::Connected(..) | Input::Sources(_) => usize::MAX,
        };
        self.run_out(due, most, &mut effects);
        match input {
            Input::Messages(messages) => {
                effects.acks.reserve(messages.iter().filter(|message| message.ack.is_some()).count());
                for (chunk, some) in messages.chunks(AHEAD).enumerate() {
                    for set in self.sets.values_mut() {
                        set.decoder.look_ahead(some);
                    }
                    for (i, message) in some.iter().enumerate() {
                        if !self.message(message, now, &mut effects) {
                            effects.repeats.push(chunk * AHEAD + i);
                        }
                    }
                }
            }
            Input::Run(admitted) => self.run(*admitted, None, now, &mut effects),
            Input::Start(admitted, fresh) => self.run(*admitted, Some(*fresh), now, &mut effects),
            Input::Remove(name) => self.remove(&name, now, &mut effects),
            Input::Resolve(fingerprint, why) => {
                let out = &mut effects.transitions;
                // A fingerprint is that of one alert.
                let _ = self.sets.values_mut().any(|set| set.resolve(fingerprint, &why, now, out))
                    || self.sources.book_mut().resolve(fingerprint, &why, now, out);
            }
            Input::Connected(source, connected, why) => {
                self.sources.set(&source, connected, why.as_deref(), now, &mut effects.transitions);
                self.idle.set(!self.sources.is_any_down(), now.mono);
            }
            Input::Sources(sources) => {
                let sources: Arc<[Arc<str>]> = sources.into();
                for set in self.sets.values_mut() {
                    set.sources = Some(sources.clone());
                    set.lose(now, &mut effects.transitions);
                }
                self.sources.are(sources, now, &mut effects.transitions);
                self.idle.set(!self.sources.is_any_down(), now.mono);
            }
            Input::Tick => {}
        }
        self.let_out(now, &mut effects);
        self.take_changes(now, &mut effects);
        let idle = Now { wall: now.wall, mono: self.idle.of(now.mono) };
        for (name, set) in &mut self.sets {
            let learned = set.engine.take_learned(idle);
            if !learned.is_empty() {
                effects.learned.push((name.clone(), learned));
            }
        }
        effects
    }

    /// Closes the windows that wait to be closed when there is time, though their end has come. So it is
    /// before state is written down that goes on without the inputs so far.
    pub fn settle(&mut self, now: Now) -> Effects {
        let mut effects = Effects::default();
        if self.next_deadline().is_some_and(|due| due < now.mono) {
            self.run_out(just_before(now), usize::MAX, &mut effects);
            self.take_changes(now, &mut effects);
        }
        effects
    }

    /// Lets out what is to be told of what came since this was last done.
    fn let_out(&mut self, now: Now, effects: &mut Effects) {
        self.outlet.pass(&mut self.sets, effects.passed, now, &mut effects.transitions);
        effects.passed = effects.transitions.len();
    }

    fn take_changes(&mut self, now: Now, effects: &mut Effects) {
        effects.states.extend(self.outlet.take_changes());
        effects.states.extend(self.sources.take_changes(now));
        for (name, set) in &mut self.sets {
            effects.states.extend(set.take_changes(now));
            let decided = set.decided.take(&mut set.engine);
            if !decided.is_empty() {
                effects.decided.push((name.clone(), decided));
            }
        }
    }

    /// Takes one message of a recording, whose own times stand in the place of both clocks:
    /// `clock` is the greatest time met so far, and is moved on by this message. Timers that were
    /// due before the message run out first.
    pub fn replay(&mut self, message: &Message, clock: &mut Timestamp) -> Vec<Transition> {
        let mut effects = Effects::default();
        self.counts.messages += 1;
        self.counts.bytes += message.payload.len() as u64;
        let mut newest = *clock;
        for set in self.sets.values_mut() {
            set.decode(message);
            newest = set.rows.iter().fold(newest, |newest, (_, row)| newest.max(row.time));
        }
        if newest > *clock {
            if *clock == Timestamp::MIN {
                // It is listened from the beginning of the recording on.
                self.sets.values_mut().for_each(|set| set.engine.listen_from(recorded(newest)));
            }
            *clock = newest;
            // What is due at the very instant of the message is due after it.
            let just_before = recorded(Timestamp::from_micros(newest.micros() - 1));
            self.run_out(just_before, usize::MAX, &mut effects);
        }
        let newest = recorded(newest);
        for set in self.sets.values_mut() {
            set.evaluate(&self.idle, newest, &mut Meter::default(), &mut effects.transitions);
        }
        self.let_out(newest, &mut effects);
        for set in self.sets.values_mut() {
            // Nothing is written down.
            set.decided.take(&mut set.engine);
        }
        effects.transitions
    }

    /// When a [`Input::Tick`] has something to do.
    pub fn next_deadline(&self) -> Option<Mono> {
        let of = |set: &Set| {
            let engine = set.engine.next_deadline().and_then(|idle| self.idle.when(idle));
            let own = [set.ceilings.next_deadline(), set.conditions.next_deadline()];
            own.into_iter().chain([engine, set.book.next_deadline()]).flatten().min()
        };
        let own = [self.outlet.next_deadline(), self.sources.next_deadline()];
        self.sets.values().filter_map(of).chain(own.into_iter().flatten()).min()
    }

    /// Takes a message in. Gives whether it was evaluated: one that was before is not.
    fn message(&mut self, message: &Message, now: Now, effects: &mut Effects) -> bool {
        effects.acks.extend(message.ack);
        if self.redelivery.is_repeat(message) {
            self.counts.redelivered += 1;
            return false;
        }
        self.counts.messages += 1;
        self.counts.bytes += message.payload.len() as u64;
        self.meter.message();
        let mut fate = Fate::Unmatched;
        for set in self.sets.values_mut() {
            fate = fate.max(set.decode(message));
            self.meter.lap(Stage::Decode);
            set.evaluate(&self.idle, now, &mut self.meter, &mut effects.transitions);
        }
        self.let_out(now, effects);
        match fate {
            // The node's metrics come whether or not a rule asks for them.
            Fate::Unmatched => self.counts.unmatched += u64::from(*message.source != *NODE_SOURCE),
            Fate::Skipped => self.counts.skipped += 1,
            Fate::Read => {}
        }
        true
    }

    /// Runs out what is due by `until`, each at its own time: a window that a silence closed may
    /// begin a wait that ends before `until` too. Once about so many windows are closed, those that may wait
    /// do so.
    fn run_out(&mut self, until: Now, most: usize, effects: &mut Effects) {
        let mut left = most;
        let mut stays = None;
        while let Some(due) =
            self.next_due(until.mono, left).filter(|due| due.0 < until.mono && stays != Some(*due))
        {
            let closed = self.tick(earlier(until, due.0), until.mono, left, effects);
            left = left.saturating_sub(closed);
            // A deadline that stays has nothing to do, and must not keep the rest waiting.
            stays = (closed == 0).then_some(due);
        }
        self.tick(until, until.mono, left, effects);
    }

    /// When something is due next, of what has to be done by `until` where so many windows that may wait may be
    /// closed; and whether any of those is closed.
    fn next_due(&self, until: Mono, most: usize) -> Option<(Mono, bool)> {
        let all = most > 0 || self.sets.values().any(|set| set.must_go_on(until));
        let dues = self.sets.values().filter_map(|set| set.next_due(&self.idle, until, most));
        let own = [self.outlet.next_deadline(), self.sources.next_deadline()];
        Some((dues.chain(own.into_iter().flatten()).min()?, all))
    }

    /// Runs out what is due in engine and alerts, on the way to `until`; says how many windows were closed
    /// that might have waited, of which there may be so many.
    fn tick(&mut self, now: Now, until: Mono, most: usize, effects: &mut Effects) -> usize {
        let idle = Now { wall: now.wall, mono: self.idle.of(now.mono) };
        let mut closed = 0;
        for set in self.sets.values_mut() {
            let mut seen = Vec::new();
            if set.engine.next_deadline().is_some_and(|due| due <= idle.mono) {
                let left = if set.must_go_on(until) { usize::MAX } else { most.saturating_sub(closed) };
                closed += set.engine.advance_by(idle, left, &mut seen);
            }
            set.observe(seen, now, &mut effects.transitions);
            set.silences(idle, now, &mut effects.transitions);
            set.tick_alerts(now, &mut effects.transitions);
            set.watch();
            set.limits(now, &mut effects.transitions);
        }
        self.sources.tick(now, &mut effects.transitions);
        // Timers that are due together run out in any order, and who is told first must not be a matter of chance.
        effects.transitions[effects.passed..].sort_by_key(|told| (told.occurred_at, told.fingerprint));
        self.let_out(now, effects);
        closed
    }

    fn run(&mut self, admitted: Admitted, fresh: Option<Fresh>, now: Now, effects: &mut Effects) {
        self.outlet.look_again();
        let Admitted { name, origin, revision, hash, plan, basis, change, .. } = admitted;
        if let Some(set) = self.sets.get_mut(&name) {
            let before = set.plan.clone();
            let state = match change.as_ref().filter(|change| Arc::ptr_eq(&change.from, &before)) {
                Some(change) => set.change(plan, &change.touched, now, &mut effects.transitions),
                None => {
                    set.swap(plan, now, &mut effects.transitions);
                    engine::Leftover::default()
                }
            };
            (set.origin, set.revision) = (origin, revision);
            (set.hash, set.attempted) = (hash, hash);
            // Rules that came hear of the silence there is.
            let idle = Now { wall: now.wall, mono: self.idle.of(now.mono) };
            set.engine.listen(idle);
            set.agree(idle);
            set.silences(idle, now, &mut effects.transitions);
            set.lulls(now, &mut effects.transitions);
            // A wait that is shorter from here on may be over.
            set.tick_alerts(now, &mut effects.transitions);
            set.watch();
            let basis = std::mem::replace(&mut set.basis, basis);
            let from = change.map(|change| change.from);
            effects.replaced = Some(Box::new(Replaced { plan: before, basis, from, state }));
            return;
        }
        let fresh = fresh.unwrap_or_else(|| Fresh::new(&plan, &self.agent, self.limits));
        let Fresh { decoder, mut engine, book } = fresh;
        engine.seed(set_seed(self.seed, &name));
        engine.listen(Now { wall: now.wall, mono: self.idle.of(now.mono) });
        let set = Set {
            origin,
            revision,
            hash,
            attempted: hash,
            basis,
            decoder,
            engine,
            book,
            ceilings: Ceilings::default(),
            conditions: Conditions::default(),
            sources: self.sources.known(),
            evidence: self.limits.evidence,
            agent: self.agent.clone(),
            ahead: self.limits.engine.spread < usize::MAX,
            plan,
            decided: Decided::default(),
            rows: Rows::new(),
            seen: Vec::new(),
        };
        self.sets.insert(name, set);
    }

    fn remove(&mut self, name: &str, now: Now, effects: &mut Effects) {
        let Some(mut set) = self.sets.remove(name) else { return };
        set.book.swap(Arc::new(Plan::default()), now, &mut effects.transitions);
        set.ceilings.swap(&Arc::default(), now, &mut effects.transitions);
        set.conditions.swap(&Arc::default(), now, &mut effects.transitions);
        effects.states.extend(set.take_changes(now));
    }

    /// Notes that a set was refused in the place of the one of its name.
    pub fn refused(&mut self, name: &str, hash: ContentHash) {
        if let Some(set) = self.sets.get_mut(name) {
            set.attempted = hash;
        }
    }

    /// Traces of messages to keep: sources to forget first, and new entries.
    pub fn take_seen(&mut self) -> (Vec<Arc<str>>, Vec<Seen>) {
        self.redelivery.take()
    }

    /// All traces of messages that are there, and the sources that they are of: for a file that lacks some of those
    /// that were taken.
    pub fn all_seen(&mut self) -> (Vec<Arc<str>>, Vec<Seen>) {
        self.redelivery.all()
    }

    /// Every alert state that is to be kept: for a file that lacks some of the changes.
    pub fn states(&self, now: Now) -> Vec<StateChange> {
        let mut all = self.outlet.states();
        all.extend(self.sources.book().states(now));
        for set in self.sets.values() {
            all.extend(set.states(now));
        }
        all
    }

    /// The sets that run, by name.
    pub fn sets(&self) -> impl Iterator<Item = (&Arc<str>, &Set)> {
        self.sets.iter()
    }

    /// The set of this name.
    pub fn set(&self, name: &str) -> Option<&Set> {
        self.sets.get(name)
    }

    /// The sets that run, as the hub hears of them.
    pub fn running(&self) -> Vec<RunningSet> {
        let running = |(name, set): (&Arc<str>, &Set)| RunningSet {
            name: name.clone(),
            revision: set.revision,
            hash: set.hash,
            origin: set.origin,
            rules: set.plan.len(),
            attempted: set.attempted,
        };
        self.sets.iter().map(running).collect()
    }

    /// The nanoseconds that each stage took so far, from samples. Zero where no clock was given.
    pub fn spent(&self) -> impl Iterator<Item = (Stage, u64)> {
        self.meter.spent()
    }

    /// Measures a piece of work as one of this stage.
    pub(super) fn measured<T>(&mut self, stage: Stage, work: impl FnOnce() -> T) -> T {
        self.meter.begin();
        let done = work();
        self.meter.lap(stage);
        done
    }

    /// What the core has taken in.
    pub const fn counts(&self) -> Counts {
        self.counts
    }

    /// Whether open windows changed since this was last asked.
    pub fn take_windows_changed(&mut self) -> bool {
        // Every set is asked, as asking resets it.
        self.sets.values_mut().filter_map(|set| set.engine.take_changed().then_some(())).count() > 0
    }

    /// Open windows at a point in time, and the last readings of the keys that alerts wait for; with `alerts` also
    /// every key that alerts know of, which a journal that goes on from here needs, and the readings of all keys.
    pub fn snapshot(&self, now: Now, alerts: bool) -> Vec<u8> {
        let outlet = self.outlet.snapshot(alerts, now.mono);
        let idle = Now { wall: now.wall, mono: self.idle.of(now.mono) };
        let sets = self.sets.iter().map(|(name, set)| SetSnapshot {
            name: name.to_string(),
            engine: set.engine.snapshot(idle),
            alerts: match alerts {
                true => set.saved(now).map(AlertSnapshot::from).collect(),
                false => Vec::new(),
            },
            presence: set.engine.snapshot_presence(idle),
            evidence: set.snapshot_evidence(alerts),
            decided: set.decided.snapshot(),
            recent: if alerts { set.engine.snapshot_recent() } else { Vec::new() },
        });
        let own = if alerts { self.sources.saved(now) } else { Vec::new() };
        let own = own.into_iter().map(AlertSnapshot::from).collect();
        let down = self.sources.down().map(ToString::to_string).collect();
        CoreSnapshot { sets: sets.collect(), at: now.wall.micros(), outlet, own, down }.to_bytes()
    }

    /// Puts a snapshot back into the sets that run already. What it holds of rules that changed
    /// since is left out; bytes that are no snapshot leave everything as it is, and where only those of
    /// one set are none, its windows.
    ///
    /// # Errors
    /// A sentence for the log.
    pub fn restore(&mut self, bytes: &[u8], now: Now) -> Result<(), String> {
        self.restore_across(bytes, now, self.downtime())
    }

    /// Whether the time for which the agent was off counts; by a clock that is wrong it never does.
    fn downtime(&self) -> Downtime {
        if self.clock_trusted { self.limits.downtime } else { Downtime::Ignored }
    }

    /// The same, with the time since the snapshot counted or not.
    ///
    /// # Errors
    /// A sentence for the log.
    pub fn restore_across(&mut self, bytes: &[u8], now: Now, downtime: Downtime) -> Result<(), String> {
        let snapshot = CoreSnapshot::from_bytes(bytes)?;
        let truly = now;
        let now = stood(snapshot.at, now, downtime);
        let mut result = Ok(());
        for saved in snapshot.sets {
            let Some(set) = self.sets.get_mut(saved.name.as_str()) else { continue };
            let idle = Now { wall: now.wall, mono: self.idle.of(now.mono) };
            let windows = set.engine.restore(&saved.engine, idle);
            result = result.and(windows.map_err(|e| format!("rule set {}: {e}", saved.name)));
            let decided = set.decided.restore(&saved.decided, &mut set.engine);
            result = result.and(decided.map_err(|e| format!("rule set {}: {e}", saved.name)));
            set.restore(read_states(&saved.alerts), now);
            if !saved.recent.is_empty() {
                let recent = set.engine.restore_recent(&saved.recent);
                result = result.and(recent.map_err(|e| format!("rule set {}: {e}", saved.name)));
            }
            if !saved.presence.is_empty() {
                let presence = set.engine.restore_presence(&saved.presence, idle);
                result = result.and(presence.map_err(|e| format!("rule set {}: {e}", saved.name)));
            }
            if !saved.evidence.is_empty() {
                let evidence = set.engine.restore_evidence(&saved.evidence);
                result = result.and(evidence.map_err(|e| format!("rule set {}: {e}", saved.name)));
            }
            set.resume_limits(now);
        }
        // Nobody tried to connect meanwhile: that time never counts.
        self.sources.restore(read_states(&snapshot.own), truly);
        self.sources.lost(snapshot.down.iter().map(|source| source.as_str().into()));
        self.idle.set(!self.sources.is_any_down(), truly.mono);
        result.and(self.outlet.resume(&snapshot.outlet, &self.sets, now))
    }

    /// Knows keys that were learned after the snapshot, as [`Effects::learned`] has them.
    ///
    /// # Errors
    /// A sentence for the log.
    pub fn learn(&mut self, set: &str, bytes: &[u8], now: Now) -> Result<(), String> {
        let idle = Now { wall: now.wall, mono: self.idle.of(now.mono) };
        let Some(set) = self.sets.get_mut(set) else { return Ok(()) };
        set.engine.learn(bytes, idle).map_err(|e| e.to_string())
    }

    /// Knows what was told after the snapshot, as [`Effects::decided`] has it.
    ///
    /// # Errors
    /// A sentence for the log.
    pub fn decide(&mut self, set: &str, bytes: &[u8]) -> Result<(), String> {
        let Some(set) = self.sets.get_mut(set) else { return Ok(()) };
        set.decided.restore(bytes, &mut set.engine)
    }

    /// Puts the committed alert states in force: they are what the transitions that were sent
    /// came from. Returns how many could not be read.
    pub fn restore_alerts(&mut self, states: &[(StateKey, Vec<u8>)], now: Now) -> usize {
        let mut unreadable = 0;
        let counted = self.downtime() == Downtime::Counted;
        let read = |body: &[u8]| {
            let state = SavedState::decode(body);
            if counted { state.map(|state| state.carried_on(now.wall)) } else { state }
        };
        for (name, set) in &mut self.sets {
            let own = states.iter().filter(|(key, _)| key.ruleset == *name && !Outlet::keeps(key));
            let decoded: Vec<(Arc<str>, SavedState)> = own
                .filter_map(|(key, body)| match read(body) {
                    Ok(state) => Some((key.rule.clone(), state)),
                    Err(_) => {
                        unreadable += 1;
                        None
                    }
                })
                .collect();
            set.restore(decoded, now);
            set.agree(Now { wall: now.wall, mono: self.idle.of(now.mono) });
            set.resume_limits(now);
        }
        let own = states.iter().filter(|(key, _)| Sources::keeps(key));
        // Nobody tried to connect meanwhile: that time never counts.
        let decoded = own.filter_map(|(key, body)| match SavedState::decode(body) {
            Ok(state) => Some((key.rule.clone(), state)),
            Err(_) => {
                unreadable += 1;
                None
            }
        });
        let decoded: Vec<(Arc<str>, SavedState)> = decoded.collect();
        self.sources.restore(decoded, now);
        let own = states.iter().filter(|(key, _)| Outlet::keeps(key));
        unreadable + self.outlet.restore(own.map(|(key, body)| (key, &**body)), &self.sets, now)
    }

    /// The alerts of a set that are pending or up.
    pub fn active(&self, set: &Set) -> Vec<alert::Active> {
        set.active(&self.sources)
    }

    /// The same of alerts that are the agent's own, and up.
    pub fn own_active(&self) -> Vec<alert::Active> {
        // Each start begins with brokers that are not connected yet.
        self.sources.active().into_iter().filter(|alert| alert.phase != "pending").collect()
    }

    /// Every alert that is pending or up.
    pub fn all_active(&self) -> Vec<alert::Active> {
        let sets = self.sets.values().flat_map(|set| self.active(set));
        sets.chain(self.own_active()).collect()
    }

    /// Every alert that whoever heard all that was told so far believes to be up, as it would be told anew.
    pub fn announced(&self, now: Now) -> Vec<Transition> {
        let mut all = Vec::new();
        for set in self.sets.values() {
            set.announce(now, &mut all);
        }
        self.sources.book().announce(now, &mut all);
        all.retain(|alert| self.outlet.why(alert.fingerprint).is_none());
        self.outlet.announce(now, &mut all);
        all
    }

    /// The sources that are not connected.
    pub fn lost(&self) -> impl Iterator<Item = &Arc<str>> {
        self.sources.down()
    }

    /// How many alerts were withheld.
    pub fn withheld(&self) -> Withheld {
        self.outlet.figures()
    }

    /// Why an alert that is up is not told, if it is not.
    pub fn why_withheld(&self, alert: Fingerprint) -> Option<Why> {
        self.outlet.why(alert)
    }

    /// Every source is connected from here on, and nothing else happens.
    pub(super) fn reconnect(&mut self, now: Now) {
        self.sources.reconnect();
        self.idle.set(true, now.mono);
    }

    /// Forgets how long sources were disconnected: what was restored from another process stands
    /// on another clock.
    pub fn reset_idle(&mut self) {
        self.idle = IdleClock::default();
    }

    /// Puts the traces of messages back.
    pub fn restore_seen(&mut self, seen: Vec<Seen>) {
        self.redelivery = Redelivery::restore(seen);
    }
}

fn read_states(saved: &[AlertSnapshot]) -> Vec<(Arc<str>, SavedState)> {
    let read = |alert: &AlertSnapshot| {
        Some((Arc::from(alert.rule.as_str()), SavedState::decode(&alert.state).ok()?))
    };
    saved.iter().filter_map(read).collect()
}

/// Rules of one name in two sets do not give the same numbers.
fn set_seed(seed: u64, name: &str) -> u64 {
    name.bytes().fold(seed, |seed, byte| (seed ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

fn just_before(now: Now) -> Now {
    earlier(now, Mono::from_micros(now.mono.micros().saturating_sub(1)))
}

/// When state was written down, as this process's clocks have it: now, where the time since does not count.
fn stood(at: i64, now: Now, downtime: Downtime) -> Now {
    match downtime {
        Downtime::Counted if at != 0 => {
            let down = now.wall.since(Timestamp::from_micros(at)).as_micros();
            let mono = now.mono.micros().saturating_sub(u64::try_from(down).unwrap_or(u64::MAX));
            earlier(now, Mono::from_micros(mono))
        }
        Downtime::Counted | Downtime::Ignored => now,
    }
}

/// A moment before `now`.
fn earlier(now: Now, at: Mono) -> Now {
    Now { wall: now.wall.minus(now.mono.since(at)), mono: at }
}

/// Recorded time in the place of both clocks.
fn recorded(at: Timestamp) -> Now {
    Now { wall: at, mono: Mono::from_micros(u64::try_from(at.micros()).unwrap_or(0)) }
}

#[cfg(test)]
mod tests;
