//! Carries out what the core decides: waits for the next input, applies it, makes the effects
//! durable, and only then acknowledges. Nothing is awaited between deciding and recording.

mod durable;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::yield_now;
use tokio::time::sleep;

use crate::clock::{self, Clock};
use crate::control::{Admitted, Running};
use crate::failpoint;
use crate::model::label::Fingerprint;
use crate::model::message::{AckToken, Message};
use crate::model::ranges::Ranges;
use crate::model::ruleset::{ContentHash, Origin};
use crate::model::stream::filters;
use crate::model::time::{Mono, Now};
use crate::spool::{self, Census, Commit, Durability, Loaded, Spool, StoredSetChange};
use crate::uplink::{Active, Outbox, Request, Standing};

use super::calendar::Calendar;
use super::core::{Core, Fresh, Input, Replaced};
use super::meter::Stage;
use super::snapshot::{Entry, Journaled};
use super::status::{self, CoreStatus, Figures};
use super::trouble::{Disk, Trouble};

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
    /// How much waits for the hub, by severity and lane.
    Census(oneshot::Sender<Census>),
    /// Whether somebody answers at all.
    Alive(oneshot::Sender<()>),
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
    /// Whether the disk takes nothing.
    pub(super) disk: watch::Sender<bool>,
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
    /// Bytes of the newest snapshot.
    last_snapshot: u64,
    figures: Figures,
    /// What is held while the disk takes nothing.
    trouble: Option<Box<Trouble>>,
    disk: Disk,
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
            last_snapshot: 0,
            figures: Figures::default(),
            trouble: None,
            disk: Disk::default(),
        }
    }

    /// Brings the core to where the process before it stood: kept rules, the snapshot, the
    /// journal since, the committed alerts.
    ///
    /// # Errors
    /// The spool's.
    pub(super) fn recover(&mut self, admitted: Vec<Admitted>, loaded: Loaded) -> Result<(), spool::Error> {
        let now = self.clock.now();
        if let Some(error) = self.spool.away() {
            self.begin_trouble(error, now)?;
        }
        self.core.trust_clock(self.calendar.is_trusted());
        for set in admitted {
            self.core.apply(Input::Run(Box::new(set)), now);
        }
        self.core.restore_seen(loaded.seen);
        self.last_snapshot = loaded.snapshot.as_ref().map_or(0, |bytes| bytes.len() as u64);
        let (mut journal, mut noted) = (Vec::with_capacity(loaded.journal.len()), Vec::new());
        for bytes in loaded.journal {
            match Journaled::read(&bytes) {
                Ok(Entry::Input(at, input)) => journal.push((at, input)),
                Ok(Entry::Noted(more)) => noted.push(more),
                Err(why) => {
                    self.figures.unreadable += 1;
                    tracing::error!(why, "an input of the journal cannot be read");
                }
            }
        }
        for why in self.core.take_over(loaded.snapshot.as_deref(), journal, now) {
            self.figures.unreadable += 1;
            tracing::error!(why, "what the process before this one left cannot be taken over whole");
        }
        for (set, keys) in noted.iter().flat_map(|noted| &noted.learned) {
            if let Err(why) = self.core.learn(set, keys, now) {
                self.figures.unreadable += 1;
                tracing::error!(why, "keys that were heard of last cannot be read; they are not missed");
            }
        }
        for (set, told) in noted.iter().flat_map(|noted| &noted.decided) {
            if let Err(why) = self.core.decide(set, told) {
                self.figures.unreadable += 1;
                tracing::error!(why, "what was told last cannot be read; windows may tell it again");
            }
        }
        let unreadable = self.core.restore_alerts(&loaded.states, now);
        self.figures.unreadable += unreadable as u64;
        if unreadable > 0 {
            tracing::error!(unreadable, "kept alert states cannot be read; these alerts start anew");
        }
        self.core.take_seen();
        // What is replayed gives the numbers that it gave before; what comes then, new ones.
        self.core.seed(fastrand::u64(..));
        let sources = self.lines.filters.iter().map(|(name, _)| name.as_str().into()).collect();
        let lost = self.core.apply(Input::Sources(sources), now);
        let durable = self.is_durable();
        if durable || lost.must_commit() {
            let snapshot = durable.then(|| self.core.snapshot(now, true));
            let commit = self.commit_of(lost, now);
            self.commit(Commit { snapshot, ..commit }, Vec::new(), now)?;
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
                Event::Deadline => self.deadline().await?,
                Event::Drained => {
                    draining = true;
                    self.drained().await?;
                    self.lines.acks.clear();
                    if let Some(drained) = self.lines.drained.take() {
                        drained.send(()).ok();
                    }
                }
            }
        }
    }

    /// Makes durable what the sources gave, as they are gone.
    async fn drained(&mut self) -> Result<(), spool::Error> {
        let now = self.clock.now();
        self.settle(now)?;
        self.snapshot(now)?;
        let acks = self.heal(now)?;
        self.acknowledge(acks).await;
        if let Some(trouble) = &self.trouble {
            tracing::error!(
                lost = trouble.held.count(),
                "the disk takes nothing to the end: what is held in memory is lost; what was not acknowledged comes again, and is decided anew"
            );
        }
        Ok(())
    }

    async fn next(&mut self) -> Event {
        let retry = self.trouble.as_ref().map(|trouble| trouble.retry_at());
        let deadline = [self.core.next_deadline(), self.snapshot_due, retry].into_iter().flatten().min();
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
        let journal = self.is_durable().then(|| Journaled::messages(&messages, now));
        self.core.trust_clock(self.calendar.is_trusted());
        let mut effects = self.core.apply(Input::Messages(messages), now);
        let journal = journal.map(|journal| journal.without(&effects.repeats).to_bytes());
        if failpoint::sabotaged("ack-before-commit") {
            self.acknowledge(std::mem::take(&mut effects.acks)).await;
            // They are to leave before anything else happens.
            sleep(Duration::from_millis(20)).await;
        }
        let acks = self.carry_out(effects, journal, now)?;
        self.acknowledge(acks).await;
        failpoint::reach("core.acked");
        // Where messages always wait there is no other time for it.
        self.upkeep(self.clock.now()).await
    }

    async fn deadline(&mut self) -> Result<(), spool::Error> {
        let now = self.clock.now();
        if self.core.next_deadline().is_some_and(|due| due <= now.mono) {
            let journal = self.is_durable().then(|| Journaled::tick(now).to_bytes());
            let effects = self.core.apply(Input::Tick, now);
            self.carry_out(effects, journal, now)?;
        }
        self.upkeep(now).await
    }

    /// What is due whatever comes: another attempt at a disk that took nothing, and a snapshot.
    async fn upkeep(&mut self, now: Now) -> Result<(), spool::Error> {
        if self.trouble.as_ref().is_some_and(|trouble| trouble.retry_at() <= now.mono) {
            let acks = self.heal(now)?;
            self.acknowledge(acks).await;
        }
        if self.snapshot_due.is_some_and(|due| due <= now.mono) {
            self.snapshot(now)?;
        }
        Ok(())
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
            Command::Texts(name, reply) => {
                let held = self.trouble.as_ref().and_then(|trouble| trouble.ruleset(&name)).cloned();
                let texts = match held {
                    Some(texts) => texts,
                    None => self.found(self.spool.ruleset(&name))?,
                };
                drop(reply.send(texts));
            }
            Command::Connected(source, connected, why) => {
                let journal = self
                    .is_durable()
                    .then(|| Journaled::link_changed(&source, connected, why.as_deref(), now).to_bytes());
                let effects = self.core.apply(Input::Connected(source, connected, why), now);
                self.carry_out(effects, journal, now)?;
            }
            Command::History(most, reply) => {
                let told = self.found(self.spool.told(most))?;
                let (epoch, acknowledged) = (self.spool.epoch(), self.spool.acknowledged().clone());
                // Nobody may wait for the answer any more.
                drop(reply.send(Past { epoch, acknowledged, told }));
            }
            Command::Resolve(fingerprint, why, reply) => {
                let effects = self.core.apply(Input::Resolve(fingerprint, why), now);
                let done = effects.transitions.iter().any(|told| told.fingerprint == fingerprint);
                // The journal does not tell of it.
                let mut commit = self.commit_of(effects, now);
                commit.snapshot = Some(self.core.snapshot(now, self.is_durable()));
                self.commit(commit, Vec::new(), now)?;
                // Nobody may wait for the answer any more.
                reply.send(done).ok();
            }
            Command::Alive(reply) => {
                reply.send(()).ok();
            }
            Command::Spent(reply) => {
                let stages = self.core.spent().collect();
                drop(reply.send(Spent { stages, messages: self.core.counts().messages }));
            }
            Command::Census(reply) => drop(reply.send(self.spool.census().unwrap_or_default())),
            Command::Status(detail, reply) => {
                let mut status = status::of(&self.core, &self.spool, now.mono, detail);
                (status.disk, status.figures) = (self.disk(), self.figures);
                drop(reply.send(Box::new(status)));
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
        let mut commit = self.commit_of(effects, now);
        commit.rulesets.push(stored);
        commit.snapshot = Some(self.core.snapshot(now, self.is_durable()));
        self.commit(commit, Vec::new(), now)?;
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
                let rows = self.found(self.spool.peek(lane, &skip, upto, count, bytes))?;
                let evicted = self.found(self.spool.evicted(&skip, upto, count))?;
                drop(reply.send(Outbox { rows, evicted, age: self.spool.age(clock::spool_time()) }));
            }
            Request::Forget { floor, above } => {
                let forgotten = self.spool.forget(floor, &above);
                self.found(forgotten)?;
            }
            Request::Active(reply) => {
                let seq = self.spool.newest();
                // What is held has no number, so nothing can be said as of one.
                let known = self.trouble.is_none();
                drop(
                    reply.send(known.then(|| Active { seq, alerts: self.core.announced(self.clock.now()) })),
                );
            }
            Request::RenewEpoch(reply) => {
                let away = self.spool.away().map_or(Ok(()), Err);
                if let Err(error) = away.and_then(|()| self.spool.renew_epoch(clock::wall())) {
                    // Without an answer the session is tried again.
                    let now = self.clock.now();
                    self.begin_trouble(error, now)?;
                    return Ok(());
                }
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
