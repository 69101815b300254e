//! The gRPC session: dial, say hello, then send and receive until it breaks, and again.

use std::path::{Path, PathBuf};
use std::time::Duration;

use prost::Message as _;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Uri};
use tonic::{Code, Status, Streaming};

use crate::clock::{self, Clock};
use crate::model::backoff::Backoff;
use crate::model::causes::with_causes;
use crate::model::kept::{Lane, Renewed, Waiting, Why};
use crate::model::link::AgentReport;
use crate::model::ranges::{Range, Ranges};
use crate::model::ruleset::{Desired, DesiredSet, Outcome, RuleReport, RunningSet};
use crate::reach::is_loopback;
use crate::tasks::Stop;
use crate::wire::rules::{diagnostic_to_wire, hash_from_wire, hash_to_wire, item_from_wire};
use crate::wire::v1::{self, agent_message::Message as Up, hub_message::Message as Down};

use super::encode::decode;
use super::window::Window;
use super::{Config, Error, Identity, Outbox, Port, Request, Standing};

/// How long a dial or a single send may take. A hub that takes longer is as good as gone.
const PATIENCE: Duration = Duration::from_secs(15);

/// Bytes of transitions in one message; well below the receiver's window.
const BATCH_BYTES: usize = 128 * 1024;

/// The largest message that the hub may send: a rule set, whose file is 16 MiB at most, with the
/// addresses of its items and what JSON adds.
const LARGEST_MESSAGE: usize = 32 << 20;

/// A hub that asks for more is taken at no more than this: a mistake there must not silence a fleet.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(600);

/// Keeps a session with the hub until `stop`. Returns at once where no hub is configured.
///
/// # Errors
/// Only what no retry can mend: a wrong address or an unusable file.
pub async fn run(
    config: Config,
    identity: Identity,
    mut port: Port,
    clock: Clock,
    stop: Stop,
) -> Result<(), Error> {
    if config.url.is_empty() {
        stop.stopped().await;
        return Ok(());
    }
    let dial = Dial::new(&config, &identity.agent)?;
    port.link.send_modify(|link| link.hub = config.url.clone());
    let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(30));
    while !stop.is_stopped() {
        let end = tokio::select! {
            end = session(&dial, &identity, &mut port, clock, &mut backoff) => end,
            () = stop.stopped() => break,
        };
        // The agent lets go of its side before it tells the stop, so either may be seen first.
        if stop.is_stopped() {
            break;
        }
        let wait = backoff.lost(clock.mono(), fastrand::f64()).max(end.wait);
        let was_connected = port.link.borrow().connected;
        port.link.send_modify(|link| {
            link.connected = false;
            link.down_since.get_or_insert(clock::wall().micros());
            link.error = Some(end.why.clone());
        });
        if was_connected || end.needs_a_person {
            tracing::warn!(hub = %config.url, why = %end.why, "link to the hub lost; alerts wait in the spool");
        } else {
            tracing::info!(hub = %config.url, why = %end.why, "no link to the hub; trying again");
        }
        tokio::select! {
            () = sleep(wait) => {}
            () = stop.stopped() => break,
        }
    }
    port.link.send_modify(|link| link.connected = false);
    Ok(())
}

/// How a session ended.
struct End {
    why: String,
    /// At least this long before the next.
    wait: Duration,
    needs_a_person: bool,
}

impl End {
    fn because(why: impl Into<String>) -> Self {
        Self { why: why.into(), wait: Duration::ZERO, needs_a_person: false }
    }
}

impl From<Status> for End {
    fn from(status: Status) -> Self {
        match status.code() {
            Code::Unauthenticated | Code::PermissionDenied => Self {
                why: format!("the hub refuses this agent: {}; check the token", status.message()),
                wait: Duration::from_secs(10),
                needs_a_person: true,
            },
            code => Self::because(format!("{code:?}: {}", status.message())),
        }
    }
}

/// Everything that dialling takes, read and checked once.
pub(super) struct Dial {
    pub(super) endpoint: Endpoint,
    token_file: PathBuf,
}

impl Dial {
    pub(super) fn new(config: &Config, agent: &str) -> Result<Self, Error> {
        let wrong = |why: String| Error::Url { url: config.url.clone(), why };
        let uri: Uri = config.url.parse().map_err(|e| wrong(format!("{e}")))?;
        let mut endpoint = Endpoint::from(uri.clone())
            .connect_timeout(PATIENCE)
            .http2_keep_alive_interval(config.keep_alive)
            .keep_alive_timeout(Duration::from_secs(10))
            .keep_alive_while_idle(true)
            // Small windows: rules come in small pieces, and memory is dear here.
            .initial_stream_window_size(64 * 1024)
            .initial_connection_window_size(128 * 1024);
        match uri.scheme_str() {
            Some("https") => {
                endpoint = endpoint.tls_config(tls(config)?).map_err(|e| wrong(e.to_string()))?;
            }
            Some("http") if is_loopback(uri.host().unwrap_or("")) => {}
            Some("http") => return Err(Error::Plain { url: config.url.clone() }),
            _ => return Err(wrong("it has no scheme that is known here".to_owned())),
        }
        let token_file =
            config.token_file.clone().ok_or_else(|| Error::NoToken { agent: agent.to_owned() })?;
        let dial = Self { endpoint, token_file };
        dial.token()?;
        Ok(dial)
    }

    /// The token as the file has it at the moment: it may have been renewed.
    pub(super) fn token(&self) -> Result<MetadataValue<Ascii>, Error> {
        let file = &self.token_file;
        let unusable = |why: String| Error::File { key: "hub.token_file", path: file.clone(), why };
        let token = std::fs::read_to_string(file).map_err(|e| unusable(e.to_string()))?;
        format!("Bearer {}", token.trim())
            .parse()
            .map_err(|_| unusable("it holds characters that no token has".to_owned()))
    }
}

fn tls(config: &Config) -> Result<ClientTlsConfig, Error> {
    let mut tls = ClientTlsConfig::new();
    tls = match &config.ca_file {
        Some(file) => tls.ca_certificate(Certificate::from_pem(read("hub.ca_file", file)?)),
        None => tls.with_native_roots(),
    };
    if let Some(name) = &config.server_name {
        tls = tls.domain_name(name.clone());
    }
    Ok(tls)
}

fn read(key: &'static str, path: &Path) -> Result<Vec<u8>, Error> {
    std::fs::read(path).map_err(|e| Error::File { key, path: path.to_owned(), why: e.to_string() })
}

/// What a session waits for.
enum Event {
    FromHub(Result<Option<v1::HubMessage>, Status>),
    Outbox,
    Report(RuleReport),
    Status,
    /// The agent itself is going.
    Closed,
}

/// One session, from the dial to its end.
async fn session(
    dial: &Dial,
    identity: &Identity,
    port: &mut Port,
    clock: Clock,
    backoff: &mut Backoff,
) -> End {
    let standing = match ask(&port.requests, Request::Standing).await {
        Ok(standing) => standing,
        Err(end) => return end,
    };
    let (mut session, welcome) = match timeout(PATIENCE, Session::open(dial, identity, &standing)).await {
        Ok(Ok(opened)) => opened,
        Ok(Err(end)) => return end,
        Err(_) => return End::because("the hub does not answer"),
    };
    let restored = match is_older_copy(&welcome, &standing, port).await {
        Ok(restored) => restored,
        Err(end) => return end,
    };
    if restored {
        tracing::warn!(
            hub = welcome.committed,
            spool = standing.newest,
            "the hub has alerts that this spool never gave: an older copy of the spool was restored; starting a new epoch"
        );
        return match ask(&port.requests, Request::RenewEpoch).await {
            Ok(()) => End::because("dialling again with a new epoch"),
            Err(end) => end,
        };
    }
    backoff.connected(clock.mono());
    session.window = Window::starting(welcome.committed);
    let skew = welcome.time.saturating_sub(clock::wall().micros()) / 1_000;
    let ahead = welcome.time.saturating_sub(clock.now().wall.micros()) / 1_000;
    port.link.send_modify(|link| {
        link.connected = true;
        link.down_since = None;
        link.error = None;
        link.sessions += 1;
        link.committed = welcome.committed;
        link.skew_ms = Some(skew);
        link.hub_ahead_ms = Some(ahead);
    });
    tracing::info!(hub = %port.link.borrow().hub, version = %welcome.version, skew_ms = skew, "link to the hub stands");
    match session.go_on(welcome.committed, port).await {
        Ok(never) => match never {},
        Err(end) => end,
    }
}

/// Whether the hub has what this outbox never gave: numbers beyond its own, or another transition
/// under the newest one that both have.
async fn is_older_copy(welcome: &v1::Welcome, standing: &Standing, port: &Port) -> Result<bool, End> {
    if welcome.committed > standing.newest {
        return Ok(true);
    }
    if welcome.committed == 0 || welcome.boot_id.is_empty() {
        return Ok(false);
    }
    let (skip, upto) = (Ranges::up_to(welcome.committed - 1), welcome.committed);
    let peek = |reply| Request::Peek { lane: Lane::Both, skip, upto, count: 1, bytes: 1, reply };
    let outbox = ask(&port.requests, peek).await?;
    let own = outbox.rows.first().and_then(|row| decode(row.seq, &row.body));
    Ok(own.is_some_and(|own| own.boot_id != welcome.boot_id || own.recorded_at != welcome.recorded_at))
}

struct Session {
    epoch: u64,
    up: mpsc::Sender<v1::AgentMessage>,
    down: Streaming<v1::HubMessage>,
    window: Window,
    /// What the hub wants, until there is room to hand it on.
    rules: Option<Desired>,
}

impl Session {
    /// Dials, and exchanges `Hello` and `Welcome`.
    async fn open(dial: &Dial, identity: &Identity, standing: &Standing) -> Result<(Self, v1::Welcome), End> {
        let channel: Channel =
            dial.endpoint.connect().await.map_err(|e| End::because(format!("dial: {}", with_causes(&e))))?;
        let (up, outgoing) = mpsc::channel(8);
        up.try_send(message(Up::Hello(hello(identity, standing))))
            .map_err(|_| End::because("the session closed at once"))?;
        let mut request = tonic::Request::new(ReceiverStream::new(outgoing));
        let token = dial.token().map_err(|error| End::because(error.to_string()))?;
        request.metadata_mut().insert("authorization", token);
        let mut client = v1::hub_client::HubClient::new(channel).max_decoding_message_size(LARGEST_MESSAGE);
        let mut down = client.session(request).await?.into_inner();
        match down.message().await?.and_then(|m| m.message) {
            Some(Down::Welcome(welcome)) => {
                let window = Window::starting(welcome.committed);
                Ok((Self { epoch: standing.epoch, up, down, window, rules: None }, welcome))
            }
            Some(Down::RetryAfter(retry)) => Err(retry_after(&retry)),
            _ => Err(End::because("the hub did not begin with a welcome")),
        }
    }

    /// Sends and receives until the session ends.
    async fn go_on(&mut self, committed: u64, port: &mut Port) -> Result<std::convert::Infallible, End> {
        tell(&port.requests, Request::Forget { floor: committed, above: Vec::new() }).await?;
        // Right after the agent's start there is nothing to report yet.
        let report = port.status.borrow_and_update().clone();
        if !report.metrics.is_empty() {
            self.send(Up::Status(status(&report)), port).await?;
        }
        loop {
            self.pump(port).await?;
            match self.next(port).await {
                Event::FromHub(received) => match received? {
                    Some(received) => self.take(received, port).await?,
                    None => return Err(End::because("the hub closed the session")),
                },
                Event::Outbox => {}
                Event::Report(report) => self.send(Up::Rules(rule_report(&report)), port).await?,
                Event::Status => {
                    let report = port.status.borrow_and_update().clone();
                    self.send(Up::Status(status(&report)), port).await?;
                }
                Event::Closed => return Err(End::because("the agent stops")),
            }
        }
    }

    /// Waits for what comes next. While rules wait to be taken nothing more is read from the hub,
    /// but reports go on: whoever takes the rules may be waiting to report the ones before.
    async fn next(&mut self, port: &mut Port) -> Event {
        tokio::select! {
            biased;
            room = port.rules.reserve(), if self.rules.is_some() => {
                let Ok(room) = room else { return Event::Closed };
                if let Some(rules) = self.rules.take() {
                    room.send(rules);
                }
                Event::Outbox
            }
            report = port.reports.recv() => report.map_or(Event::Closed, Event::Report),
            received = self.down.message(), if self.rules.is_none() => Event::FromHub(received),
            changed = port.newest.changed() => if changed.is_ok() { Event::Outbox } else { Event::Closed },
            changed = port.status.changed() => if changed.is_ok() { Event::Status } else { Event::Closed },
        }
    }

    /// Sends what waits, as far as the window is open.
    async fn pump(&mut self, port: &Port) -> Result<(), End> {
        loop {
            let newest = *port.newest.borrow();
            let count = self.window.room(newest);
            if count == 0 {
                return Ok(());
            }
            let after = self.window.sent();
            let skip = Ranges::up_to(after);
            let peek = |reply| Request::Peek {
                lane: Lane::Both,
                skip,
                upto: newest,
                count,
                bytes: BATCH_BYTES,
                reply,
            };
            let Outbox { rows, evicted, .. } = ask(&port.requests, peek).await?;
            let last = rows.last().map(|row| row.seq);
            // What was given up behind the last row is told with the next ones.
            let evicted: Vec<v1::SeqRange> = evicted
                .into_iter()
                .filter(|range: &Range| last.is_none_or(|last| range.1 <= last))
                .map(|(first, last)| v1::SeqRange { first, last })
                .collect();
            let Some(last) = last.or_else(|| evicted.last().map(|range| range.last)) else {
                return Ok(());
            };
            let transitions: Vec<v1::Transition> = rows.iter().filter_map(readable).collect();
            let sent = transitions.len() as u64;
            self.send(
                Up::Batch(v1::Batch {
                    epoch: self.epoch,
                    transitions,
                    evicted,
                    complete: 0,
                    series: Vec::new(),
                }),
                port,
            )
            .await?;
            self.window.send_until(last);
            port.link.send_modify(|link| link.sent += sent);
        }
    }

    async fn send(&self, up: Up, port: &Port) -> Result<(), End> {
        let message = message(up);
        let bytes = message.encoded_len() as u64;
        match timeout(PATIENCE, self.up.send(message)).await {
            Ok(Ok(())) => {
                port.link.send_modify(|link| link.bytes_sent += bytes);
                Ok(())
            }
            Ok(Err(_)) => Err(End::because("the hub closed the session")),
            Err(_) => Err(End::because("the hub takes nothing any more")),
        }
    }

    async fn take(&mut self, received: v1::HubMessage, port: &Port) -> Result<(), End> {
        let bytes = received.encoded_len() as u64;
        port.link.send_modify(|link| link.bytes_received += bytes);
        match received.message {
            Some(Down::Ack(ack)) if ack.epoch == self.epoch => {
                if self.window.ack(ack.committed) {
                    port.link.send_modify(|link| link.committed = ack.committed);
                    let above = ack.above.iter().map(|range| (range.first, range.last)).collect();
                    tell(&port.requests, Request::Forget { floor: ack.committed, above }).await?;
                }
            }
            Some(Down::Desired(desired)) => self.rules = Some(desired_rules(desired)),
            Some(Down::RetryAfter(retry)) => return Err(retry_after(&retry)),
            // Of another epoch, a second welcome, or from a later protocol.
            Some(Down::Ack(_) | Down::Welcome(_) | Down::Active(_) | Down::Probe(_) | Down::Notice(_))
            | None => {}
        }
        Ok(())
    }
}

/// A transition of the outbox. What the file's damage has made unreadable is said, and shows on the
/// hub as a gap.
fn readable(row: &Waiting) -> Option<v1::Transition> {
    let transition = decode(row.seq, &row.body);
    if transition.is_none() {
        tracing::error!(row.seq, "a transition of the spool cannot be read; the disk may be failing");
    }
    transition
}

fn retry_after(retry: &v1::RetryAfter) -> End {
    End {
        why: format!("the hub asks to come back later: {}", retry.why),
        wait: Duration::from_millis(retry.milliseconds.into()).min(LONGEST_RETRY_AFTER),
        needs_a_person: false,
    }
}

async fn tell(requests: &mpsc::Sender<Request>, request: Request) -> Result<(), End> {
    requests.send(request).await.map_err(|_| End::because("the agent stops"))
}

async fn ask<T>(
    requests: &mpsc::Sender<Request>,
    request: impl FnOnce(oneshot::Sender<T>) -> Request,
) -> Result<T, End> {
    let (reply, answer) = oneshot::channel();
    tell(requests, request(reply)).await?;
    answer.await.map_err(|_| End::because("the agent stops"))
}

const fn message(up: Up) -> v1::AgentMessage {
    v1::AgentMessage { message: Some(up) }
}

fn hello(identity: &Identity, standing: &Standing) -> v1::Hello {
    v1::Hello {
        protocol: crate::wire::PROTOCOL,
        agent: identity.agent.to_string(),
        boot_id: identity.boot_id.to_string(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        labels: identity.labels.iter().cloned().collect(),
        epoch: standing.epoch,
        newest: standing.newest,
        running: standing.running.iter().map(running_set).collect(),
        renewed: standing.renewed.as_ref().map(renewed),
        acknowledged: standing.acknowledged.floor(),
    }
}

fn renewed(renewed: &Renewed) -> v1::Renewed {
    let why = match renewed.why {
        Why::Rewound => v1::renewed::Why::Rewound,
        Why::Damaged => v1::renewed::Why::Damaged,
    };
    v1::Renewed {
        why: why.into(),
        before: renewed.before,
        at: renewed.at.micros(),
        note: renewed.note.clone(),
    }
}

fn running_set(set: &RunningSet) -> v1::RunningSet {
    v1::RunningSet {
        name: set.name.to_string(),
        revision: set.revision,
        hash: hash_to_wire(set.hash),
        origin: set.origin.name().to_owned(),
        rules: u32::try_from(set.rules).unwrap_or(u32::MAX),
        attempted: hash_to_wire(set.attempted),
    }
}

fn desired_rules(desired: v1::DesiredRules) -> Desired {
    let sets = desired.sets.into_iter().filter_map(|set| {
        Some(DesiredSet {
            name: set.name.as_str().into(),
            revision: set.revision,
            hash: hash_from_wire(&set.hash)?,
            items: set.items.iter().map(|h| hash_from_wire(h)).collect::<Option<_>>()?,
            added: set.added.iter().filter_map(item_from_wire).collect(),
        })
    });
    Desired { sets: sets.collect(), removed: desired.removed.iter().map(|n| n.as_str().into()).collect() }
}

fn rule_report(report: &RuleReport) -> v1::RuleReport {
    let outcome = |outcome| match outcome {
        Outcome::Accepted => v1::rule_report::Outcome::Accepted,
        Outcome::Rejected => v1::rule_report::Outcome::Rejected,
        Outcome::Failed => v1::rule_report::Outcome::Failed,
    };
    let rules = report
        .rules
        .iter()
        .map(|(rule, became)| v1::RuleOutcome { rule: rule.to_string(), outcome: outcome(*became).into() });
    v1::RuleReport {
        set: report.set.to_string(),
        revision: report.revision,
        hash: hash_to_wire(report.hash),
        outcome: outcome(report.outcome).into(),
        diagnostics: report.diagnostics.iter().map(diagnostic_to_wire).collect(),
        rules: rules.collect(),
    }
}

fn status(report: &AgentReport) -> v1::Status {
    v1::Status {
        time: clock::wall().micros(),
        uptime_seconds: report.uptime_seconds,
        metrics: report.metrics.iter().cloned().collect(),
        sources: report
            .sources
            .iter()
            .map(|s| v1::SourceStatus {
                name: s.name.to_string(),
                connected: s.connected,
                error: s.error.clone().unwrap_or_default(),
                since: s.since,
            })
            .collect(),
        running: report.running.iter().map(running_set).collect(),
    }
}
