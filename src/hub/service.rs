//! The gRPC side: who may open a session, and the session itself: convert, call, convert.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status, Streaming};

use super::core::{Core, Notice};
use super::fleet::{Action, DesiredSet, RunningSet, Standing};
use super::inbox::SeqRange;
use super::record::{ReportRecord, RuleOutcomeRecord, RunningRecord, StatusRecord, TransitionRecord, hex};
use super::store::transitions::Inbound;
use super::store::{self, agents, rulesets, transitions};
use super::tokens::{self, Grant};
use crate::clock;
use crate::model::id::valid_agent_id;
use crate::model::time::Timestamp;
use crate::tasks;
use crate::wire::rules::{diagnostic_from_wire, hash_from_wire, item_to_wire, outcome_name};
use crate::wire::{PROTOCOL, v1};

use v1::agent_message::Message as Up;
use v1::hub_message::Message as Down;

/// How many messages to an agent may wait; then the session does.
const OUTBOUND: usize = 16;
/// How long a new stream may take to say who it is.
const HELLO_WITHIN: Duration = Duration::from_secs(10);
/// How long after a failed report a set is sent again.
const RETRY_EVERY: Duration = Duration::from_secs(30);
/// How soon an agent may come back to a hub that stops, and a replaced session to one that has
/// another of the same name: long enough that two agents of one id do not fight.
const STOPPING_RETRY_MS: u32 = 2_000;
const REPLACED_RETRY_MS: u32 = 30_000;

/// The gRPC service.
pub(super) struct Service {
    pub(super) core: Arc<Core>,
}

#[tonic::async_trait]
impl v1::hub_server::Hub for Service {
    type SessionStream = ReceiverStream<Result<v1::HubMessage, Status>>;

    async fn session(
        &self,
        request: Request<Streaming<v1::AgentMessage>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        let grant = self.authenticate(request.metadata()).await?;
        let (down, stream) = mpsc::channel(OUTBOUND);
        // The task ends with its stream, which the server waits for when it stops.
        drop(tasks::spawn("hub-session", open(Arc::clone(&self.core), grant, request.into_inner(), down)));
        Ok(Response::new(ReceiverStream::new(stream)))
    }

    async fn check(&self, request: Request<v1::CheckRequest>) -> Result<Response<v1::CheckReply>, Status> {
        let grant = self.authenticate(request.metadata()).await?;
        let agent = request.into_inner().agent;
        admit(&self.core, &grant, &agent)?;
        let connected = self.core.sessions.connected().contains(&agent);
        let known =
            self.core.store.call(move |db| agents::list(db, Some(&agent))).await.map_err(unavailable)?;
        Ok(Response::new(v1::CheckReply {
            protocol: PROTOCOL,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            time: clock::wall().micros(),
            connected,
            boot_id: known.into_iter().next().map(|agent| agent.boot_id).unwrap_or_default(),
        }))
    }
}

impl Service {
    /// What the token of a request is good for. One that is good for nothing is counted.
    async fn authenticate(&self, metadata: &MetadataMap) -> Result<Grant, Status> {
        let grant = self.grant(metadata).await;
        if grant.is_err() {
            self.core.counters.refused.fetch_add(1, Ordering::Relaxed);
        }
        grant
    }

    async fn grant(&self, metadata: &MetadataMap) -> Result<Grant, Status> {
        let header = metadata.get("authorization").and_then(|value| value.to_str().ok());
        let Some(token) = header.and_then(tokens::bearer).map(str::to_owned) else {
            return Err(Status::unauthenticated("no token; send metadata `authorization: Bearer <token>`"));
        };
        let file = self.core.agent_tokens_file.clone();
        let grant = tasks::spawn_blocking(move || tokens::grant(&file, &token)).await;
        match grant {
            Ok(Ok(Some(grant))) => Ok(grant),
            Ok(Ok(None)) => Err(Status::unauthenticated(
                "unknown token; make one with `weir-hub tokens add AGENT` and give it to the agent",
            )),
            Ok(Err(error)) => {
                tracing::error!(%error, "cannot read the file of agents' tokens");
                Err(Status::unavailable("the hub cannot read its file of tokens"))
            }
            Err(_) => Err(Status::unavailable("the hub is stopping")),
        }
    }
}

type Downlink = mpsc::Sender<Result<v1::HubMessage, Status>>;

/// Greets, serves until someone ends it, and says why it ended.
async fn open(core: Arc<Core>, grant: Grant, mut up: Streaming<v1::AgentMessage>, down: Downlink) {
    let hello = match greet(&grant, &mut up, &core).await {
        Ok(hello) => hello,
        Err(status) => {
            drop(down.send(Err(status)).await);
            return;
        }
    };
    let agent = hello.agent.clone();
    let (number, replaced) = core.sessions.enter(&agent);
    tracing::info!(agent, version = hello.version, "agent connected");
    let serving = async {
        let mut session = Session::start(&core, hello, &down).await?;
        session.serve(&mut up).await
    };
    let goodbye = tokio::select! {
        outcome = serving => outcome.err().map(Err),
        () = replaced.stopped() => Some(Ok(retry_after(REPLACED_RETRY_MS, "another session of this agent has taken over"))),
        () = core.stop.stopped() => Some(Ok(retry_after(STOPPING_RETRY_MS, "the hub is stopping"))),
    };
    if let Some(goodbye) = goodbye {
        // A reader that does not read does not hear why.
        drop(down.try_send(goodbye));
    }
    if core.sessions.leave(&agent, number) {
        let (gone, at) = (agent.clone(), clock::wall());
        if let Err(error) = core.store.call(move |db| agents::heard(db, &gone, at)).await {
            tracing::warn!(%error, agent, "cannot note when the agent was heard last");
        }
        tracing::info!(agent, "agent disconnected");
        core.notify(Notice::Agent(agent));
    }
}

async fn greet(
    grant: &Grant,
    up: &mut Streaming<v1::AgentMessage>,
    core: &Core,
) -> Result<v1::Hello, Status> {
    let first = tokio::time::timeout(HELLO_WITHIN, up.message())
        .await
        .map_err(|_| Status::deadline_exceeded("no Hello came; it is the first message of a session"))??;
    let Some(v1::AgentMessage { message: Some(Up::Hello(hello)) }) = first else {
        return Err(Status::invalid_argument("the first message of a session is Hello"));
    };
    admit(core, grant, &hello.agent)?;
    Ok(hello)
}

/// Whether a token may speak for an agent.
fn admit(core: &Core, grant: &Grant, agent: &str) -> Result<(), Status> {
    valid_agent_id(agent).map_err(Status::invalid_argument)?;
    if grant.allows(agent) {
        return Ok(());
    }
    core.counters.refused.fetch_add(1, Ordering::Relaxed);
    Err(Status::permission_denied(format!("the token is another agent's, not that of `{agent}`")))
}

struct Session<'a> {
    core: &'a Core,
    down: &'a Downlink,
    agent: String,
    standing: Standing,
}

enum Event {
    Message(Option<v1::AgentMessage>),
    Desired,
    Retry,
}

impl<'a> Session<'a> {
    /// Notes the arrival, and tells the agent where the hub stands.
    async fn start(core: &'a Core, hello: v1::Hello, down: &'a Downlink) -> Result<Self, Status> {
        let at = clock::wall();
        let arrival = agents::Arrival {
            agent: hello.agent.clone(),
            version: hello.version,
            boot_id: hello.boot_id,
            labels: hello.labels.clone(),
            running: hello.running.iter().map(RunningRecord::from_wire).collect(),
            at,
        };
        let epoch = hello.epoch;
        let (committed, last) = core
            .store
            .call(move |db| {
                agents::arrived(db, &arrival)?;
                let committed = transitions::committed(db, &arrival.agent, epoch)?;
                Ok((committed, transitions::at(db, &arrival.agent, epoch, committed)?))
            })
            .await
            .map_err(unavailable)?;
        core.notify(Notice::Agent(hello.agent.clone()));
        let standing = Standing::new(&hello.agent, hello.labels, running(&hello.running));
        let session = Self { core, down, agent: hello.agent, standing };
        session
            .send(Down::Welcome(v1::Welcome {
                protocol: PROTOCOL,
                committed,
                above: Vec::new(),
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

    async fn serve(&mut self, up: &mut Streaming<v1::AgentMessage>) -> Result<(), Status> {
        let mut desired = self.core.desired.subscribe();
        desired.mark_changed();
        let mut retry = tokio::time::interval(RETRY_EVERY);
        retry.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let event = tokio::select! {
                message = up.message() => Event::Message(message?),
                _ = desired.changed() => Event::Desired,
                _ = retry.tick() => Event::Retry,
            };
            match event {
                Event::Message(None) => return Ok(()),
                Event::Message(Some(message)) => self.receive(message).await?,
                Event::Desired => {
                    let sets = Arc::clone(&desired.borrow_and_update());
                    self.tell(&sets).await?;
                }
                Event::Retry => {
                    for name in self.standing.retry() {
                        self.send_whole(&name).await?;
                    }
                }
            }
        }
    }

    async fn receive(&mut self, message: v1::AgentMessage) -> Result<(), Status> {
        let at = clock::wall();
        match message.message {
            Some(Up::Batch(batch)) => self.batch(batch, at).await,
            Some(Up::Rules(report)) => self.report(report, at).await,
            Some(Up::Status(status)) => self.status(status, at).await,
            Some(Up::Hello(_)) => Err(Status::invalid_argument("a second Hello in one session")),
            // A message that is younger than this hub.
            Some(Up::Digest(_) | Up::Active(_) | Up::Alive(_)) | None => Ok(()),
        }
    }

    async fn batch(&mut self, batch: v1::Batch, at: Timestamp) -> Result<(), Status> {
        let epoch = batch.epoch;
        let inbound = Inbound {
            agent: self.agent.clone(),
            epoch,
            transitions: batch
                .transitions
                .into_iter()
                .map(|wire| TransitionRecord::from_wire(&self.agent, epoch, wire, Some(at)))
                .collect(),
            evicted: batch
                .evicted
                .iter()
                .map(|range| SeqRange { first: range.first, last: range.last })
                .collect(),
            received: at,
        };
        let outcome = self.core.accept(inbound).await.map_err(unavailable)?;
        self.core.counters.duplicates.fetch_add(outcome.duplicates, Ordering::Relaxed);
        if outcome.missing > 0 {
            tracing::warn!(
                agent = self.agent,
                missing = outcome.missing,
                "transitions of the agent are lost"
            );
        }
        self.send(Down::Ack(v1::Ack { epoch, committed: outcome.committed, above: Vec::new() })).await
    }

    async fn report(&mut self, report: v1::RuleReport, at: Timestamp) -> Result<(), Status> {
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
        self.core.store.call(move |db| agents::report(db, &record, at)).await.map_err(unavailable)?;
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

    async fn status(&mut self, status: v1::Status, at: Timestamp) -> Result<(), Status> {
        self.standing.runs(running(&status.running));
        let sets: Vec<RunningRecord> = status.running.iter().map(RunningRecord::from_wire).collect();
        let (agent, record) = (self.agent.clone(), StatusRecord::from_wire(status));
        self.core
            .store
            .call(move |db| agents::status(db, &agent, &record, &sets, at))
            .await
            .map_err(unavailable)?;
        self.core.notify(Notice::Agent(self.agent.clone()));
        let desired = Arc::clone(&self.core.desired.borrow());
        self.tell(&desired).await
    }

    /// Tells the agent what it must do to run what is desired, if anything: each set in a message
    /// of its own, as sets together may be more than an agent takes in one.
    async fn tell(&mut self, desired: &[DesiredSet]) -> Result<(), Status> {
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
                Some(base) => self
                    .core
                    .store
                    .call(move |db| rulesets::item_hashes(db, base))
                    .await
                    .map_err(unavailable)?,
                None => Vec::new(),
            };
            self.send_set(set, &known.into_iter().map(|hash| hash.0).collect()).await?;
        }
        Ok(())
    }

    /// Sends a set again with all its items, unless something else is due for it.
    async fn send_whole(&mut self, name: &str) -> Result<(), Status> {
        let desired = Arc::clone(&self.core.desired.borrow());
        match desired.iter().find(|set| set.name == name && self.standing.is_told(set)) {
            Some(set) => self.send_set(set, &BTreeSet::new()).await,
            None => Ok(()),
        }
    }

    async fn send_set(&self, set: &DesiredSet, known: &BTreeSet<[u8; 32]>) -> Result<(), Status> {
        let sets = vec![delta(set, known)];
        self.send(Down::Desired(v1::DesiredRules { sets, removed: Vec::new() })).await
    }

    async fn send(&self, message: Down) -> Result<(), Status> {
        self.down
            .send(Ok(v1::HubMessage { message: Some(message) }))
            .await
            .map_err(|_| Status::cancelled("the agent has gone"))
    }
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

fn retry_after(milliseconds: u32, why: &str) -> v1::HubMessage {
    let why = why.to_owned();
    v1::HubMessage { message: Some(Down::RetryAfter(v1::RetryAfter { milliseconds, why })) }
}

fn unavailable(error: store::Error) -> Status {
    tracing::error!(%error, "cannot serve an agent");
    Status::unavailable("the hub cannot use its database at the moment")
}
