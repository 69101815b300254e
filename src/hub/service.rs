//! The gRPC side: who may open a session, which of two it is, and what an agent is told when it ends.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status, Streaming};

use super::core::{Core, Notice};
use super::session::{End, Session};
use super::sessions::{Downlink, Entered, Older, Seat, Who};
use super::store::incidents::{self, Kind};
use super::store::{self, agents};
use super::tokens::{self, Grant};
use crate::clock;
use crate::model::id::valid_agent_id;
use crate::tasks;
use crate::wire::{PROTOCOL, v1};

use v1::agent_message::Message as Up;
use v1::hub_message::Message as Down;

/// How many messages to an agent may wait; then the session does.
const OUTBOUND: usize = 16;
/// How long a new stream may take to say who it is: where each packet takes 2 s and a third is lost, that takes a while.
const HELLO_WITHIN: Duration = Duration::from_secs(30);
/// How long a session may take to show that its agent is there, when another one wants its place.
const ALIVE_WITHIN: Duration = Duration::from_secs(5);
/// How soon an agent may come back to a hub that stops.
const STOPPING_RETRY_MS: u32 = 2_000;
/// The same for one whose id another one has: long enough that two of them do not fight.
const REPLACED_RETRY_MS: u32 = 30_000;
/// The same where the hub cannot store or has too much to do; half of it and a random part of the other half.
const TROUBLE_RETRY_MS: u32 = 10_000;

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
        let from = request.remote_addr().map(|addr| addr.to_string()).unwrap_or_default();
        let session = open(Arc::clone(&self.core), grant, from, request.into_inner(), down);
        // The task ends with its stream, which the server waits for when it stops.
        drop(tasks::spawn("hub-session", session));
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

/// Greets, finds a place, serves until someone ends it, and says why it ended.
async fn open(
    core: Arc<Core>,
    grant: Grant,
    from: String,
    mut up: Streaming<v1::AgentMessage>,
    down: Downlink,
) {
    let hello = match greet(&grant, &mut up, &core).await {
        Ok(hello) => hello,
        Err(status) => {
            drop(down.send(Err(status)).await);
            return;
        }
    };
    let who =
        Who { agent: hello.agent.clone(), boot_id: hello.boot_id.clone(), protocol: hello.protocol, from };
    let seat = tokio::select! {
        seat = find_seat(&core, &who, &down) => seat,
        () = core.stop.stopped() => Err(Refusal::Later(later(STOPPING_RETRY_MS, "the hub is stopping"))),
    };
    let seat = match seat {
        Ok(seat) => seat,
        Err(Refusal::Later(goodbye)) => {
            drop(down.try_send(Ok(goodbye)));
            return;
        }
        Err(Refusal::Clone(older)) => return refuse_clone(&core, who, &older, &down).await,
    };
    tracing::info!(agent = who.agent, version = hello.version, "agent connected");
    let serving = async {
        match Session::start(&core, hello, &down).await {
            Ok(mut session) => session.serve(&mut up, &seat.pulse).await,
            Err(end) => end,
        }
    };
    let goodbye = tokio::select! {
        end = serving => farewell(&core, &who.agent, end),
        () = seat.replaced.stopped() => {
            vec![Ok(later(REPLACED_RETRY_MS, "another session of this agent has taken over"))]
        }
        () = core.stop.stopped() => vec![Ok(later(STOPPING_RETRY_MS, "the hub is stopping"))],
    };
    for message in goodbye {
        // A reader that does not read does not hear why.
        drop(down.try_send(message));
    }
    leave(&core, who.agent, &seat).await;
}

async fn leave(core: &Core, agent: String, seat: &Seat) {
    if !core.sessions.leave(&agent, seat.number) {
        return;
    }
    let (gone, at) = (agent.clone(), clock::wall());
    if let Err(error) = core.store.call(move |db| agents::heard(db, &gone, at)).await {
        tracing::debug!(%error, agent, "cannot note when the agent was heard last");
    }
    tracing::info!(agent, "agent disconnected");
    core.notify(Notice::Agent(agent));
}

/// What an agent is told at the end of its session.
fn farewell(core: &Core, agent: &str, end: End) -> Vec<Result<v1::HubMessage, Status>> {
    match end {
        End::Closed => Vec::new(),
        End::Broken(status) => {
            // An agent that went without a word is none of the hub's concern.
            if status.code() == tonic::Code::InvalidArgument {
                core.counters.broken.fetch_add(1, Ordering::Relaxed);
                tracing::warn!(
                    agent,
                    why = status.message(),
                    "ended a session: the agent does not keep to the protocol"
                );
            }
            vec![Err(status)]
        }
        End::Store(error) => {
            core.counters.unstored.fetch_add(1, Ordering::Relaxed);
            let status = unavailable(error);
            vec![Ok(later(in_trouble(), status.message())), Err(status)]
        }
        End::Overloaded => {
            core.counters.overloaded.fetch_add(1, Ordering::Relaxed);
            vec![Ok(later(in_trouble(), BUSY))]
        }
    }
}

const BUSY: &str = "the hub has more to store than its disk takes at the moment";

/// How long to stay away from a hub in trouble: not all at the same time.
fn in_trouble() -> u32 {
    fastrand::u32(TROUBLE_RETRY_MS / 2..TROUBLE_RETRY_MS)
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

/// Why a session has no place.
enum Refusal {
    /// What it is told.
    Later(v1::HubMessage),
    /// Another agent of its id has the place, and is alive.
    Clone(Older),
}

/// The place of an agent. A session that has it keeps it while its agent answers.
async fn find_seat(core: &Core, who: &Who, down: &Downlink) -> Result<Seat, Refusal> {
    let busy = || {
        core.counters.overloaded.fetch_add(1, Ordering::Relaxed);
        Err(Refusal::Later(later(in_trouble(), BUSY)))
    };
    if core.load.is_high() {
        return busy();
    }
    loop {
        let older = match core.sessions.enter(who, down) {
            Entered::Seat(seat) => return Ok(seat),
            Entered::Taken(older) => older,
        };
        let mut answers = older.pulse.answers();
        older.pulse.ask();
        older.tell(message(Down::Probe(v1::Probe {})));
        let is_alive = tokio::select! {
            answer = tokio::time::timeout(ALIVE_WITHIN, answers.changed()) => answer.is_ok(),
            () = older.gone() => continue,
        };
        if is_alive {
            return Err(Refusal::Clone(older));
        }
        if older.pulse.is_deaf() {
            return busy();
        }
        tracing::info!(agent = who.agent, "the agent's older session does not answer, and is replaced");
        if let Some(seat) = core.sessions.replace(older.number, who, down) {
            return Ok(seat);
        }
    }
}

/// Tells both, and people.
async fn refuse_clone(core: &Core, who: Who, older: &Older, down: &Downlink) {
    let note = format!(
        "two agents have the id {}: boot {} from {} is connected, boot {} from {} is turned away; give one of them another id",
        who.agent, older.who.boot_id, older.who.from, who.boot_id, who.from
    );
    tracing::warn!(agent = who.agent, "{note}");
    core.counters.cloned.fetch_add(1, Ordering::Relaxed);
    let notice = message(Down::Notice(v1::Notice { code: "clone".to_owned(), message: note.clone() }));
    older.tell(notice.clone());
    drop(down.try_send(Ok(notice)));
    drop(down.try_send(Ok(later(REPLACED_RETRY_MS, &note))));
    let (agent, at) = (who.agent.clone(), clock::wall());
    let noted = core
        .store
        .call(move |db| incidents::note(db, &who.agent, Kind::Clone, &who.boot_id, &note, at))
        .await;
    if let Err(error) = noted {
        tracing::debug!(%error, agent, "cannot note that two agents have one id");
    }
    core.notify(Notice::Agent(agent));
}

const fn message(message: Down) -> v1::HubMessage {
    v1::HubMessage { message: Some(message) }
}

fn later(milliseconds: u32, why: &str) -> v1::HubMessage {
    message(Down::RetryAfter(v1::RetryAfter { milliseconds, why: why.to_owned() }))
}

/// The store says in the log what is wrong with it, once.
fn unavailable(error: store::Error) -> Status {
    tracing::debug!(%error, "cannot serve an agent");
    Status::unavailable("the hub cannot use its database at the moment")
}
