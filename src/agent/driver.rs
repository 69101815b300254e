//! Carries out what the core decides: waits for the next input, applies it, makes the effects
//! durable, and only then acknowledges. Nothing is awaited between deciding and recording.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::yield_now;
use tokio::time::sleep;

use crate::clock::{self, Clock};
use crate::control::{Admitted, Running};
use crate::failpoint;
use crate::model::kept::Outgoing;
use crate::model::label::Fingerprint;
use crate::model::message::{AckToken, Message};
use crate::model::ranges::Ranges;
use crate::model::ruleset::{ContentHash, Origin};
use crate::model::stream::filters;
use crate::model::time::{Mono, Now};
use crate::model::transition::{Transition, rank};
use crate::spool::{self, Commit, Durability, Loaded, Spool, StoredSetChange};
use crate::uplink::{self, Active, Outbox, Request, Standing};

use super::calendar::Calendar;
use super::core::{Core, Effects, Fresh, Input, Replaced};
use super::meter::Stage;
use super::snapshot::Journaled;
use super::status::{self, CoreStatus};

/// Messages that are waited for no longer once so many are taken together: one commit covers them
/// all, and what is taken stands in memory until then.
const ENOUGH: usize = 1_000;

/// A journal of this many inputs is cut short by a snapshot: replaying it at a start stays quick.
const MAX_JOURNAL: u32 = 2_000;

/// What the rest of the agent asks of the core's owner.
#[derive(Debug)]
pub(super) enum Command {
    /// The uplink's questions.
    Uplink(Request),
    /// Run a set; answered when that is durable, with what ran before, to be dropped.
    /// Where none of its name runs, it may come with what it starts from.
    Run(Box<Admitted>, Option<Box<Fresh>>, oneshot::Sender<Option<Box<Replaced>>>),
    /// Run a set no longer; answered when that is durable.
    Remove(Arc<str>, oneshot::Sender<()>),
    /// A set was refused in the place of this one.
    Refused(Arc<str>, ContentHash),
    /// Every set that runs.
    Sets(oneshot::Sender<BTreeMap<Arc<str>, RunningSet>>),
    /// The texts of a set that runs, as they are kept; `None` where there is none of this name.
    Texts(Arc<str>, oneshot::Sender<Option<Vec<u8>>>),
    /// The newest transitions, at most so many; answered with their bodies, newest first.
    History(usize, oneshot::Sender<Past>),
    /// End an alert that is up for this reason; answered when that is durable, with whether there was one.
    Resolve(Fingerprint, Arc<str>, oneshot::Sender<bool>),
    /// Whether a source is connected, and why it is not.
    Connected(Arc<str>, bool, Option<Arc<str>>),
    /// The core's figures.
    Status(status::Detail, oneshot::Sender<Box<CoreStatus>>),
    /// Where the time of this thread went.
    Spent(oneshot::Sender<Spent>),
}

/// The messages taken in, and the nanoseconds of each stage.
#[derive(Clone, Debug)]
pub(super) struct Spent {
    pub(super) messages: u64,
    pub(super) stages: Vec<(Stage, u64)>,
}

/// What was told lately.
#[derive(Clone, Debug)]
pub(super) struct Past {
    /// The number space.
    pub(super) epoch: u64,
    /// The numbers that the hub has.
    pub(super) acknowledged: Ranges,
    /// Numbers and bodies, newest first.
    pub(super) told: Vec<(u64, Vec<u8>)>,
}

/// One running set, as control compares it with what is pushed.
#[derive(Clone, Debug)]
pub(super) struct RunningSet {
    pub(super) origin: Origin,
    pub(super) hash: ContentHash,
    pub(super) compiled: Running,
}

/// The driver's connections.
#[derive(Debug)]
pub(super) struct Lines {
    pub(super) messages: mpsc::Receiver<Vec<Message>>,
    pub(super) commands: mpsc::Receiver<Command>,
    /// Where acknowledgements of each source go, by [`AckToken::source`].
    pub(super) acks: Vec<mpsc::Sender<Vec<AckToken>>>,
    /// Where each broker hears of what to subscribe, with its name.
    pub(super) filters: Vec<(String, watch::Sender<Vec<String>>)>,
    /// The newest number in the outbox.
    pub(super) newest: watch::Sender<u64>,
    /// Told when every source is gone and what they gave is durable.
    pub(super) drained: Option<oneshot::Sender<()>>,
}

/// The one owner of core and spool.
#[derive(Debug)]
pub(super) struct Driver {
    core: Core,
    spool: Spool,
    clock: Clock,
    calendar: Calendar,
    durability: Durability,
    snapshot_interval: Duration,
    boot_id: Arc<str>,
    /// Severities that overtake others on the way to the hub.
    urgent: Vec<String>,
    lines: Lines,
    /// When open windows are next written down; `None` while nothing changed.
    snapshot_due: Option<Mono>,
    journaled: u32,
}

/// What the driver waits for.
enum Event {
    Messages(Vec<Message>),
    Command(Command),
    Deadline,
    /// Every source is gone: the agent stops.
    Drained,
}

impl Driver {
    pub(super) fn new(
        core: Core,
        spool: Spool,
        (config, urgent): (&spool::Config, Vec<String>),
        (clock, calendar): (Clock, Calendar),
        boot_id: Arc<str>,
        lines: Lines,
    ) -> Self {
        lines.newest.send_replace(spool.newest());
        Self {
            core,
            spool,
            clock,
            calendar,
            durability: config.durability,
            snapshot_interval: config.snapshot_interval,
            boot_id,
            urgent,
            lines,
            snapshot_due: None,
            journaled: 0,
        }
    }

    /// Brings the core to where the process before it stood: kept rules, the snapshot, the
    /// journal since, the committed alerts.
    ///
    /// # Errors
    /// The spool's.
    pub(super) fn recover(&mut self, admitted: Vec<Admitted>, loaded: Loaded) -> Result<(), spool::Error> {
        let now = self.clock.now();
        self.core.trust_clock(self.calendar.is_trusted());
        for set in admitted {
            self.core.apply(Input::Run(Box::new(set)), now);
        }
        self.core.restore_seen(loaded.seen);
        let mut journal = Vec::with_capacity(loaded.journal.len());
        for bytes in loaded.journal {
            match Journaled::read(&bytes) {
                Ok(input) => journal.push(input),
                Err(why) => tracing::error!(why, "an input of the journal cannot be read"),
            }
        }
        for why in self.core.take_over(loaded.snapshot.as_deref(), journal, now) {
            tracing::error!(why, "what the process before this one left cannot be taken over whole");
        }
        let unreadable = self.core.restore_alerts(&loaded.states, now);
        if unreadable > 0 {
            tracing::error!(unreadable, "kept alert states cannot be read; these alerts start anew");
        }
        self.core.take_seen();
        // What is replayed gives the numbers that it gave before; what comes then, new ones.
        self.core.seed(fastrand::u64(..));
        let sources = self.lines.filters.iter().map(|(name, _)| name.as_str().into()).collect();
        let lost = self.core.apply(Input::Sources(sources), now);
        let durable = self.durability == Durability::Durable;
        if durable || lost.must_commit() {
            let snapshot = durable.then(|| self.core.snapshot(now, true));
            let commit = self.commit_of(lost);
            self.commit(Commit { snapshot, ..commit })?;
        }
        self.subscribe();
        Ok(())
    }

    /// Runs until every source is gone and everybody else has let go.
    ///
    /// # Errors
    /// The spool's: what cannot be made durable is not acknowledged, so the agent cannot go on.
    pub(super) async fn run(mut self) -> Result<(), spool::Error> {
        let mut draining = false;
        loop {
            let event = if draining {
                match self.lines.commands.recv().await {
                    Some(command) => Event::Command(command),
                    None => return Ok(()),
                }
            } else {
                self.next().await
            };
            match event {
                Event::Messages(messages) => self.messages(messages).await?,
                Event::Command(command) => self.command(command)?,
                Event::Deadline => self.deadline()?,
                Event::Drained => {
                    draining = true;
                    let now = self.clock.now();
                    self.settle(now)?;
                    self.snapshot(now)?;
                    self.lines.acks.clear();
                    if let Some(drained) = self.lines.drained.take() {
                        drained.send(()).ok();
                    }
                }
            }
        }
    }

    async fn next(&mut self) -> Event {
        let deadline = [self.core.next_deadline(), self.snapshot_due].into_iter().flatten().min();
        let wait = deadline.map_or(Duration::from_secs(3_600), |at| self.clock.until(at));
        tokio::select! {
            biased;
            Some(command) = self.lines.commands.recv() => Event::Command(command),
            messages = self.lines.messages.recv() => messages.map_or(Event::Drained, Event::Messages),
            () = pause(wait) => Event::Deadline,
        }
    }

    async fn messages(&mut self, mut messages: Vec<Message>) -> Result<(), spool::Error> {
        while messages.len() < ENOUGH {
            match self.lines.messages.try_recv() {
                Ok(more) => messages.extend(more),
                Err(_) => break,
            }
        }
        let now = self.clock.now();
        let journal =
            (self.durability == Durability::Durable).then(|| Journaled::messages(&messages, now).to_bytes());
        self.core.trust_clock(self.calendar.is_trusted());
        let mut effects = self.core.apply(Input::Messages(messages), now);
        if failpoint::sabotaged("ack-before-commit") {
            self.acknowledge(std::mem::take(&mut effects.acks)).await;
            // They are to leave before anything else happens.
            sleep(Duration::from_millis(20)).await;
        }
        let acks = self.carry_out(effects, journal, now)?;
        self.acknowledge(acks).await;
        failpoint::reach("core.acked");
        Ok(())
    }

    fn deadline(&mut self) -> Result<(), spool::Error> {
        let now = self.clock.now();
        if self.core.next_deadline().is_some_and(|due| due <= now.mono) {
            let journal = (self.durability == Durability::Durable).then(|| Journaled::tick(now).to_bytes());
            let effects = self.core.apply(Input::Tick, now);
            self.carry_out(effects, journal, now)?;
        }
        if self.snapshot_due.is_some_and(|due| due <= now.mono) {
            self.snapshot(now)?;
        }
        Ok(())
    }

    /// Makes durable what must be, and returns what may then be acknowledged.
    fn carry_out(
        &mut self,
        mut effects: Effects,
        journal: Option<Vec<u8>>,
        now: Now,
    ) -> Result<Vec<AckToken>, spool::Error> {
        if self.snapshot_due.is_none() {
            self.snapshot_due = Some(now.mono.plus(self.snapshot_interval));
        }
        let acks = std::mem::take(&mut effects.acks);
        if effects.must_commit() || journal.is_some() {
            self.journaled += u32::from(journal.is_some());
            let mut commit = self.commit_of(effects);
            commit.journal = journal;
            if self.journaled > MAX_JOURNAL {
                self.add_settled(&mut commit, now);
                commit.snapshot = Some(self.core.snapshot(now, true));
                commit.journal = None;
            }
            self.commit(commit)?;
        }
        Ok(acks)
    }

    fn commit_of(&self, effects: Effects) -> Commit {
        let stamp = self.calendar.stamp(&self.boot_id);
        let outgoing = |told: &Transition| Outgoing {
            body: uplink::encode(&stamp, told),
            fingerprint: told.fingerprint,
            rank: rank(&told.severity),
            urgent: self.urgent.iter().any(|severity| **severity == *told.severity),
        };
        Commit {
            transitions: effects.transitions.iter().map(outgoing).collect(),
            states: effects.states,
            ..Commit::default()
        }
    }

    fn commit(&mut self, mut commit: Commit) -> Result<(), spool::Error> {
        (commit.forget_seen, commit.seen) = self.core.take_seen();
        let before = self.spool.newest();
        let time = clock::spool_time();
        failpoint::reach("core.before_commit");
        let (core, spool) = (&mut self.core, &mut self.spool);
        let newest = core.measured(Stage::Spool, || spool.commit(&commit, time))?;
        failpoint::reach("core.committed");
        if commit.snapshot.is_some() {
            failpoint::reach("core.snapshot");
            self.journaled = 0;
        }
        if newest != before {
            self.lines.newest.send_replace(newest);
        }
        Ok(())
    }

    /// Writes open windows down, where they differ from what is written.
    fn snapshot(&mut self, now: Now) -> Result<(), spool::Error> {
        self.snapshot_due = None;
        let durable = self.durability == Durability::Durable;
        // The journal holds everything since the last snapshot; only its length calls for another.
        if durable && self.journaled < MAX_JOURNAL / 10 {
            return Ok(());
        }
        if !self.core.take_windows_changed() && !durable {
            return Ok(());
        }
        let mut commit = Commit::default();
        self.add_settled(&mut commit, now);
        commit.snapshot = Some(self.core.snapshot(now, durable));
        self.commit(commit)
    }

    /// Closes the windows that wait to be closed, and makes durable what comes of it.
    fn settle(&mut self, now: Now) -> Result<(), spool::Error> {
        let mut commit = Commit::default();
        self.add_settled(&mut commit, now);
        if commit.transitions.is_empty() && commit.states.is_empty() {
            return Ok(());
        }
        self.commit(commit)
    }

    /// The same, together with what else is made durable.
    fn add_settled(&mut self, commit: &mut Commit, now: Now) {
        let effects = self.core.settle(now);
        let settled = self.commit_of(effects);
        commit.transitions.extend(settled.transitions);
        commit.states.extend(settled.states);
    }

    /// Hands tokens back, all of one source together. Mostly there is one source.
    async fn acknowledge(&self, mut acks: Vec<AckToken>) {
        if !acks.is_sorted_by_key(|ack| ack.source) {
            acks.sort_by_key(|ack| ack.source);
        }
        while let Some(source) = acks.first().map(|ack| ack.source) {
            let rest = acks.split_off(acks.partition_point(|ack| ack.source == source));
            let own = std::mem::replace(&mut acks, rest);
            if let Some(line) = self.lines.acks.get(usize::from(source)) {
                // A source that is gone delivers again what it was not told of.
                if line.send(own).await.is_err() {
                    tracing::debug!(source, "acknowledgements of a source that is gone");
                }
            }
        }
    }

    fn command(&mut self, command: Command) -> Result<(), spool::Error> {
        let now = self.clock.now();
        match command {
            Command::Uplink(request) => self.uplink(request)?,
            Command::Run(mut admitted, fresh, done) => {
                let body = std::mem::take(&mut admitted.stored);
                let stored = StoredSetChange { name: admitted.name.clone(), body: Some(body) };
                let input = match fresh {
                    Some(fresh) => Input::Start(admitted, fresh),
                    None => Input::Run(admitted),
                };
                drop(done.send(self.swap(input, stored, now)?));
            }
            Command::Remove(name, done) => {
                let stored = StoredSetChange { name: name.clone(), body: None };
                self.swap(Input::Remove(name), stored, now)?;
                done.send(()).ok();
            }
            Command::Refused(name, hash) => self.core.refused(&name, hash),
            Command::Sets(reply) => {
                let sets = self.core.sets().map(|(name, set)| {
                    let compiled = Running { plan: set.plan.clone(), basis: set.basis.clone() };
                    (name.clone(), RunningSet { origin: set.origin, hash: set.hash, compiled })
                });
                drop(reply.send(sets.collect()));
            }
            Command::Texts(name, reply) => drop(reply.send(self.spool.ruleset(&name)?)),
            Command::Connected(source, connected, why) => {
                let journal = (self.durability == Durability::Durable)
                    .then(|| Journaled::link_changed(&source, connected, why.as_deref(), now).to_bytes());
                let effects = self.core.apply(Input::Connected(source, connected, why), now);
                self.carry_out(effects, journal, now)?;
            }
            Command::History(most, reply) => {
                let told = self.spool.told(most)?;
                let (epoch, acknowledged) = (self.spool.epoch(), self.spool.acknowledged().clone());
                // Nobody may wait for the answer any more.
                drop(reply.send(Past { epoch, acknowledged, told }));
            }
            Command::Resolve(fingerprint, why, reply) => {
                let effects = self.core.apply(Input::Resolve(fingerprint, why), now);
                let done = effects.transitions.iter().any(|told| told.fingerprint == fingerprint);
                // The journal does not tell of it.
                let mut commit = self.commit_of(effects);
                commit.snapshot = Some(self.core.snapshot(now, self.durability == Durability::Durable));
                self.commit(commit)?;
                // Nobody may wait for the answer any more.
                reply.send(done).ok();
            }
            Command::Spent(reply) => {
                let stages = self.core.spent().collect();
                drop(reply.send(Spent { stages, messages: self.core.counts().messages }));
            }
            Command::Status(detail, reply) => {
                drop(reply.send(Box::new(status::of(&self.core, &self.spool, self.clock.mono(), detail))));
            }
        }
        Ok(())
    }

    /// Changes what runs, and makes that durable together with the alerts that it ends and, as
    /// the journal does not tell of it, with a snapshot.
    fn swap(
        &mut self,
        input: Input,
        stored: StoredSetChange,
        now: Now,
    ) -> Result<Option<Box<Replaced>>, spool::Error> {
        let mut effects = self.core.apply(input, now);
        let replaced = effects.replaced.take();
        let mut commit = self.commit_of(effects);
        commit.rulesets.push(stored);
        commit.snapshot = Some(self.core.snapshot(now, self.durability == Durability::Durable));
        self.commit(commit)?;
        self.subscribe();
        Ok(replaced)
    }

    /// Tells each broker what the rules read.
    fn subscribe(&self) {
        for (name, line) in &self.lines.filters {
            let filters = filters(self.core.sets().flat_map(|(_, set)| &set.plan.streams), name);
            line.send_if_modified(|old| {
                let changed = *old != filters;
                *old = filters;
                changed
            });
        }
    }

    fn uplink(&mut self, request: Request) -> Result<(), spool::Error> {
        // An uplink that is gone no longer wants its answer.
        match request {
            Request::Standing(reply) => {
                let standing = Standing {
                    epoch: self.spool.epoch(),
                    newest: self.spool.newest(),
                    acknowledged: self.spool.acknowledged().clone(),
                    renewed: self.spool.renewed().cloned(),
                    running: self.core.running(),
                };
                drop(reply.send(standing));
            }
            Request::Peek { lane, skip, upto, count, bytes, reply } => {
                let rows = self.spool.peek(lane, &skip, upto, count, bytes)?;
                let evicted = self.spool.evicted(&skip, upto, count)?;
                drop(reply.send(Outbox { rows, evicted, age: self.spool.age(clock::spool_time()) }));
            }
            Request::Forget { floor, above } => self.spool.forget(floor, &above)?,
            Request::Active(reply) => {
                drop(reply.send(Active { seq: self.spool.newest(), alerts: Vec::new() }));
            }
            Request::RenewEpoch(reply) => {
                self.spool.renew_epoch(clock::wall())?;
                self.lines.newest.send_replace(self.spool.newest());
                reply.send(()).ok();
            }
        }
        Ok(())
    }
}

/// Waits so long; where there is nothing to wait for, whoever else has something to do comes first.
async fn pause(wait: Duration) {
    match wait.is_zero() {
        true => yield_now().await,
        false => sleep(wait).await,
    }
}
