//! One agent's session: what it sends, in order, and what it is told.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use prost::Message as _;
use tokio::sync::mpsc;
use tonic::{Status, Streaming};

use super::ahead::{Ahead, Piece};
use super::core::{Core, Notice};
use super::fleet::{Action, DesiredSet, RunningSet, Standing};
use super::load::Held;
use super::reconcile::{Part, Reconciliation};
use super::record::{ReportRecord, RuleOutcomeRecord, RunningRecord, StatusRecord, TransitionRecord, hex};
use super::sessions::{Downlink, Pulse};
use super::store::arrival::{self, Outbox, Renewed};
use super::store::incidents::Kind;
use super::store::reconcile::{self, Part as SetPart, Repaired};
use super::store::transitions::Inbound;
use super::store::{self, agents, rulesets};
use crate::clock;
use crate::failpoint;
use crate::model::ranges::Range;
use crate::model::time::Timestamp;
use crate::wire::digest::Digest;
use crate::wire::figures::Told;
use crate::wire::rules::{diagnostic_from_wire, hash_from_wire, item_to_wire, outcome_name};
use crate::wire::series::{Expander, Wrong};
use crate::wire::v1::{self, agent_message::Message as Up, hub_message::Message as Down};

/// How long after a failed report a set is sent again.
const RETRY_EVERY: Duration = Duration::from_secs(30);

/// The first version of the protocol in which a batch says what it completes.
const COMPLETES: u32 = 2;

/// Why a session ends.
#[derive(Debug)]
pub(super) enum End {
    /// The agent closed it.
    Closed,
    /// Something is wrong with what the agent sends, or with the way to it.
    Broken(Status),
    /// The store failed; the agent may come back when that is over.
    Store(store::Error),
    /// More waits for the disk than there is room for.
    Overloaded,
}

impl From<Status> for End {
    fn from(status: Status) -> Self {
        Self::Broken(status)
    }
}

impl From<store::Error> for End {
    fn from(error: store::Error) -> Self {
        Self::Store(error)
    }
}

impl From<Wrong> for End {
    fn from(wrong: Wrong) -> Self {
        Self::Broken(Status::invalid_argument(wrong.to_string()))
    }
}

pub(super) struct Session<'a> {
    core: &'a Core,
    down: &'a Downlink,
    agent: String,
    epoch: u64,
    protocol: u32,
    standing: Standing,
    series: Expander,
    figures: Told,
    reconciliation: Reconciliation,
}

enum Event {
    Piece(Piece),
    Desired,
    Retry,
}

impl<'a> Session<'a> {
    /// Notes the arrival, and tells the agent where the hub stands.
    pub(super) async fn start(core: &'a Core, hello: v1::Hello, down: &'a Downlink) -> Result<Self, End> {
        let at = clock::wall();
        let arrived = agents::Arrival {
            agent: hello.agent.clone(),
            version: hello.version,
            boot_id: hello.boot_id,
            labels: hello.labels.clone(),
            running: hello.running.iter().map(RunningRecord::from_wire).collect(),
            at,
        };
        let outbox = Outbox {
            epoch: hello.epoch,
            acknowledged: hello.acknowledged,
            renewed: hello.renewed.and_then(renewed),
        };
        let welcome = core.store.call(move |db| arrival::note(db, &arrived, &outbox)).await?;
        core.notify(Notice::Agent(hello.agent.clone()));
        let session = Self {
            core,
            down,
            epoch: hello.epoch,
            protocol: hello.protocol,
            standing: Standing::new(&hello.agent, hello.labels, running(&hello.running)),
            agent: hello.agent,
            series: Expander::default(),
            figures: Told::new(crate::wire::PROTOCOL),
            reconciliation: Reconciliation::default(),
        };
        let last = welcome.newest;
        session
            .send(Down::Welcome(v1::Welcome {
                protocol: crate::wire::PROTOCOL,
                committed: welcome.standing.floor,
                above: to_wire(&welcome.standing.above),
                time: at.micros(),
                version: env!("CARGO_PKG_VERSION").to_owned(),
                recorded_at: last
                    .as_ref()
                    .and_then(|t| Timestamp::parse(&t.recorded_at))
                    .map_or(0, Timestamp::micros),
                boot_id: last.map(|t| t.boot_id).unwrap_or_default(),
            }))
            .await?;
        Ok(session)
    }

    /// Takes what comes, in order, until the session ends.
    pub(super) async fn serve(&mut self, up: &mut Streaming<v1::AgentMessage>, pulse: &Pulse) -> End {
        let mut desired = self.core.desired.subscribe();
        desired.mark_changed();
        let mut retry = tokio::time::interval(RETRY_EVERY);
        retry.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut ahead = Ahead::default();
        loop {
            let event = match ahead.pop() {
                Some(piece) => Event::Piece(piece),
                None => tokio::select! {
                    piece = up.message() => Event::Piece(piece),
                    _ = desired.changed() => Event::Desired,
                    _ = retry.tick() => Event::Retry,
                },
            };
            let work = self.handle(event, pulse);
            if let Err(end) = ahead.during(pulse, up, work).await {
                return end;
            }
        }
    }

    async fn handle(&mut self, event: Event, pulse: &Pulse) -> Result<(), End> {
        match event {
            Event::Piece(Ok(Some(message))) => self.receive(message, pulse).await,
            Event::Piece(Ok(None)) => Err(End::Closed),
            Event::Piece(Err(status)) => Err(End::Broken(status)),
            Event::Desired => {
                let sets = Arc::clone(&self.core.desired.borrow());
                self.tell(&sets).await
            }
            Event::Retry => {
                for name in self.standing.retry() {
                    self.send_whole(&name).await?;
                }
                Ok(())
            }
        }
    }

    async fn receive(&mut self, message: v1::AgentMessage, pulse: &Pulse) -> Result<(), End> {
        let at = clock::wall();
        let bytes = message.encoded_len();
        // Given back once it is stored: an agent that reads nothing must not hold what others need.
        let room = self.core.load.hold(bytes).ok_or(End::Overloaded)?;
        match message.message {
            Some(Up::Batch(batch)) => self.batch(batch, at, room).await,
            Some(Up::Rules(report)) => self.report(report, at, room).await,
            Some(Up::Status(status)) => self.status(status, at, room).await,
            Some(Up::Digest(digest)) => self.digest(&digest).await,
            Some(Up::Active(part)) => self.active(part, at, room).await,
            Some(Up::Alive(_)) => {
                pulse.answer();
                Ok(())
            }
            Some(Up::Hello(_)) => Err(Status::invalid_argument("a second Hello in one session").into()),
            // A message that is younger than this hub.
            None => {
                self.core.counters.ignored.fetch_add(1, Ordering::Relaxed);
                Ok(())
            }
        }
    }

    async fn batch(&mut self, batch: v1::Batch, at: Timestamp, room: Held<'a>) -> Result<(), End> {
        let epoch = self.check_epoch(batch.epoch)?;
        let mut transitions = Vec::with_capacity(batch.transitions.len());
        batch.series.iter().try_for_each(|series| self.series.define(series))?;
        for wire in batch.transitions {
            transitions.push(TransitionRecord::from_wire(
                &self.agent,
                epoch,
                self.series.expand(wire)?,
                Some(at),
            ));
        }
        let complete = if self.protocol < COMPLETES {
            // Its agents send in ascending order: what was jumped over will not come later.
            transitions.iter().map(|transition| transition.seq).max().unwrap_or(0)
        } else {
            batch.complete
        };
        let inbound = Inbound {
            agent: self.agent.clone(),
            epoch,
            transitions,
            evicted: batch.evicted.iter().map(|range| (range.first, range.last)).collect(),
            complete,
            received: at,
        };
        let outcome = self.core.accept(inbound).await?;
        drop(room);
        self.core.counters.duplicates.fetch_add(outcome.duplicates, Ordering::Relaxed);
        if let (Some(first), Some(last)) = (outcome.lost.first(), outcome.lost.last()) {
            tracing::warn!(
                agent = self.agent,
                from = first.0,
                to = last.1,
                "transitions of the agent are lost; its record on the hub lists them"
            );
            self.core.notify(Notice::Agent(self.agent.clone()));
        }
        let above = to_wire(&outcome.above);
        self.send(Down::Ack(v1::Ack { epoch, committed: outcome.committed, above })).await?;
        failpoint::reach("hub.acked");
        Ok(())
    }

    /// A session is of one epoch.
    fn check_epoch(&self, epoch: u64) -> Result<u64, Status> {
        if epoch == self.epoch {
            return Ok(epoch);
        }
        Err(Status::invalid_argument("a message of another epoch than that of Hello"))
    }

    /// Everything that was sent before is committed, so both ends look at the same.
    async fn digest(&mut self, told: &v1::Digest) -> Result<(), End> {
        self.check_epoch(told.epoch)?;
        let agent = self.agent.clone();
        let own = self.core.store.call(move |db| reconcile::digest(db, &agent)).await?;
        if own == (Digest { count: told.count, sum: told.sum }) {
            self.core.counters.same.fetch_add(1, Ordering::Relaxed);
            return Ok(());
        }
        if self.reconciliation.differs() {
            tracing::info!(
                agent = self.agent,
                here = own.count,
                there = told.count,
                "what fires is not the same here and there; asking the agent for it"
            );
            return self.send(Down::Active(v1::ActiveRequest { seq: told.seq })).await;
        }
        self.core.counters.unreconciled.fetch_add(1, Ordering::Relaxed);
        tracing::warn!(
            agent = self.agent,
            here = own.count,
            there = told.count,
            "what fires is not the same here and there, and asking did not help; the agent's next session tries again"
        );
        Ok(())
    }

    async fn active(&mut self, part: v1::ActiveSet, at: Timestamp, room: Held<'a>) -> Result<(), End> {
        let epoch = self.check_epoch(part.epoch)?;
        let mut alerts = Vec::with_capacity(part.alerts.len());
        for wire in part.alerts {
            alerts.push(self.series.expand(wire)?);
        }
        alerts.retain(|alert| alert.state() == v1::transition::State::Firing);
        let fingerprints = alerts.iter().map(|alert| alert.fingerprint);
        let whole = match self.reconciliation.part(part.seq, fingerprints, part.last) {
            Part::Take => None,
            Part::Last { set, before } => Some((set, before)),
            Part::Unasked => {
                self.core.counters.ignored.fetch_add(1, Ordering::Relaxed);
                return Ok(());
            }
            Part::TooLarge => {
                self.core.counters.unreconciled.fetch_add(1, Ordering::Relaxed);
                tracing::warn!(agent = self.agent, "the agent says that more is up than the hub takes");
                return Ok(());
            }
        };
        let part = SetPart {
            agent: self.agent.clone(),
            epoch,
            seq: part.seq,
            alerts: alerts
                .into_iter()
                .map(|wire| TransitionRecord::from_wire(&self.agent, epoch, wire, Some(at)))
                .collect(),
            at,
        };
        let is_last = whole.is_some();
        let repaired = self.core.repair(part, whole).await?;
        drop(room);
        if !is_last {
            self.reconciliation.repaired(repaired);
        } else if !repaired.is_none() {
            let Repaired { fired, ended, .. } = repaired;
            tracing::warn!(
                agent = self.agent,
                fired,
                ended,
                "what fires was set right by what the agent says"
            );
            self.core.notify(Notice::Agent(self.agent.clone()));
        }
        Ok(())
    }

    async fn report(&mut self, report: v1::RuleReport, at: Timestamp, room: Held<'a>) -> Result<(), End> {
        use v1::rule_report::Outcome;
        let outcome = report.outcome();
        let record = ReportRecord {
            agent: self.agent.clone(),
            ruleset: report.set.clone(),
            revision: report.revision,
            hash: hex(&report.hash),
            outcome: outcome_name(outcome).to_owned(),
            diagnostics: report.diagnostics.iter().map(diagnostic_from_wire).collect(),
            rules: report
                .rules
                .iter()
                .map(|rule| RuleOutcomeRecord {
                    rule: rule.rule.clone(),
                    outcome: outcome_name(rule.outcome()).to_owned(),
                })
                .collect(),
            reported_at: at.to_string(),
        };
        self.core.store.call(move |db| agents::report(db, &record, at)).await?;
        drop(room);
        let hash = hash_from_wire(&report.hash);
        match outcome {
            Outcome::Accepted => self.standing.accepted(&report.set, hash),
            Outcome::Failed => {
                if self.standing.failed(&report.set, hash) {
                    self.send_whole(&report.set).await?;
                }
            }
            Outcome::Rejected | Outcome::Unspecified => self.standing.refused(&report.set),
        }
        self.core.notify(Notice::Ruleset(report.set));
        self.core.notify(Notice::Agent(self.agent.clone()));
        Ok(())
    }

    async fn status(&mut self, status: v1::Status, at: Timestamp, room: Held<'a>) -> Result<(), End> {
        let status = self.figures.restore(status);
        let status = status.ok_or_else(|| Status::invalid_argument("a status that goes on from none"))?;
        self.standing.runs(running(&status.running));
        let sets: Vec<RunningRecord> = status.running.iter().map(RunningRecord::from_wire).collect();
        let (agent, record) = (self.agent.clone(), StatusRecord::from_wire(status));
        self.core.store.call(move |db| agents::status(db, &agent, &record, &sets, at)).await?;
        drop(room);
        self.core.notify(Notice::Agent(self.agent.clone()));
        let desired = Arc::clone(&self.core.desired.borrow());
        self.tell(&desired).await
    }

    /// Tells the agent what it must do to run what is desired, if anything: each set in a message
    /// of its own, as sets together may be more than an agent takes in one.
    async fn tell(&mut self, desired: &[DesiredSet]) -> Result<(), End> {
        let mut removed = Vec::new();
        let mut changed = Vec::new();
        for action in self.standing.next(desired) {
            match action {
                Action::Remove(name) => removed.push(name),
                Action::Send { place, base } => changed.push((&desired[place], base)),
            }
        }
        if !removed.is_empty() {
            self.send(Down::Desired(v1::DesiredRules { sets: Vec::new(), removed })).await?;
        }
        for (set, base) in changed {
            let known = match base {
                Some(base) => self.core.store.call(move |db| rulesets::item_hashes(db, base)).await?,
                None => Vec::new(),
            };
            self.send_set(set, &known.into_iter().map(|hash| hash.0).collect()).await?;
        }
        Ok(())
    }

    /// Sends a set again with all its items, unless something else is due for it.
    async fn send_whole(&mut self, name: &str) -> Result<(), End> {
        let desired = Arc::clone(&self.core.desired.borrow());
        match desired.iter().find(|set| set.name == name && self.standing.is_told(set)) {
            Some(set) => self.send_set(set, &BTreeSet::new()).await,
            None => Ok(()),
        }
    }

    async fn send_set(&self, set: &DesiredSet, known: &BTreeSet<[u8; 32]>) -> Result<(), End> {
        let sets = vec![delta(set, known)];
        self.send(Down::Desired(v1::DesiredRules { sets, removed: Vec::new() })).await
    }

    async fn send(&self, message: Down) -> Result<(), End> {
        let message = v1::HubMessage { message: Some(message) };
        self.down.send(Ok(message)).await.map_err(gone)
    }
}

fn gone<T>(_: mpsc::error::SendError<T>) -> End {
    End::Closed
}

/// What the agent says of the end of its last epoch.
fn renewed(renewed: v1::Renewed) -> Option<Renewed> {
    let kind = match renewed.why() {
        v1::renewed::Why::Rewound => Kind::Rewound,
        v1::renewed::Why::Damaged => Kind::Damaged,
        v1::renewed::Why::Unspecified => return None,
    };
    Some(Renewed { kind, before: renewed.before, at: Timestamp::from_micros(renewed.at), note: renewed.note })
}

fn to_wire(ranges: &[Range]) -> Vec<v1::SeqRange> {
    ranges.iter().map(|(first, last)| v1::SeqRange { first: *first, last: *last }).collect()
}

/// A set without the items that the agent has.
fn delta(set: &DesiredSet, known: &BTreeSet<[u8; 32]>) -> v1::DesiredSet {
    v1::DesiredSet {
        name: set.name.clone(),
        revision: set.revision,
        hash: set.hash.0.to_vec(),
        items: set.items.iter().map(|item| item.hash().0.to_vec()).collect(),
        added: set.items.iter().filter(|item| !known.contains(&item.hash().0)).map(item_to_wire).collect(),
    }
}

fn running(sets: &[v1::RunningSet]) -> BTreeMap<String, RunningSet> {
    sets.iter()
        .map(|set| {
            let running = RunningSet { hash: hash_from_wire(&set.hash), from_hub: set.origin == "hub" };
            (set.name.clone(), running)
        })
        .collect()
}
