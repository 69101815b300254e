//! The gRPC session: dial, say hello, then send and receive until it breaks, and again.

use std::convert::Infallible;
use std::time::Duration;

use prost::Message as _;
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use crate::clock::{self, Clock};
use crate::failpoint;
use crate::model::backoff::Backoff;
use crate::model::kept::Lane;
use crate::model::link::{Held, LinkStatus, Noticed};
use crate::model::ranges::Ranges;
use crate::model::ruleset::{Desired, RuleReport};
use crate::model::time::Mono;
use crate::tasks::Stop;
use crate::wire::PROTOCOL;
use crate::wire::figures::Told;
use crate::wire::v1::{self, agent_message::Message as Up, hub_message::Message as Down};

use super::ask::{ask, tell};
use super::budget::{Budget, Leave};
use super::dial::{Dial, PATIENCE};
use super::encode::decode;
use super::feed::{Feed, Next};
use super::messages::{desired_rules, hello, message, rule_report, status};
use super::reconcile::Reconcile;
use super::retry::End;
use super::window::Window;
use super::{Config, Error, Identity, Port, Request, Standing};

/// How many messages to the hub may wait. Batches wait until there is none, so that what is told at once is.
const QUEUE: usize = 4;

/// How long the hub may take nothing though something waits for it. A thin link may take a while for one batch.
const STALL: Duration = Duration::from_secs(60);

/// How long it may acknowledge nothing of what it took. It may have trouble of its own, so this is longer.
const UNACKNOWLEDGED: Duration = Duration::from_secs(180);

/// How many of the hub's notices are kept for the status.
const NOTICES: usize = 8;

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
    let mut peer = Peer {
        dial: Dial::new(&config, &identity.agent)?,
        identity,
        batch_age: config.batch_age,
        budget: Budget::new(config.bytes_per_hour, clock.mono()),
        backoff: Backoff::new(Duration::from_millis(200), Duration::from_secs(30)),
        clock,
    };
    port.link.send_modify(|link| link.hub = config.url.clone());
    while !stop.is_stopped() {
        let end = tokio::select! {
            end = peer.session(&mut port) => end,
            () = stop.stopped() => break,
        };
        // The agent lets go of its side before it tells the stop, so either may be seen first.
        if stop.is_stopped() {
            break;
        }
        // A hub that asks a fleet to come back later is not asked by all of it at once.
        let wait = end.wait + peer.backoff.lost(clock.mono(), fastrand::f64());
        let was_connected = port.link.borrow().connected;
        port.link.send_modify(|link| {
            link.connected = false;
            link.held = None;
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

/// What lasts from session to session.
struct Peer {
    dial: Dial,
    identity: Identity,
    batch_age: Duration,
    budget: Budget,
    backoff: Backoff,
    clock: Clock,
}

impl Peer {
    /// One session, from the dial to its end.
    async fn session(&mut self, port: &mut Port) -> End {
        match self.try_session(port).await {
            Ok(never) => match never {},
            Err(end) => end,
        }
    }

    async fn try_session(&mut self, port: &mut Port) -> Result<Infallible, End> {
        let standing = ask(&port.requests, Request::Standing).await?;
        let opening = open(&self.dial, &self.identity, &standing, &port.link);
        let (up, down, welcome) =
            timeout(PATIENCE, opening).await.map_err(|_| End::because("the hub does not answer"))??;
        if is_older_copy(&welcome, &standing, port).await? {
            tracing::warn!(
                hub = greatest(&welcome),
                spool = standing.newest,
                "the hub has alerts that this spool never gave: an older copy of the spool was restored; starting a new epoch"
            );
            ask(&port.requests, Request::RenewEpoch).await?;
            failpoint::reach("uplink.epoch");
            return Err(End::because("dialling again with a new epoch"));
        }
        let now = self.clock.mono();
        self.backoff.connected(now);
        let above: Vec<_> = welcome.above.iter().map(|range| (range.first, range.last)).collect();
        let window = Window::starting(welcome.committed, &above, &standing.acknowledged);
        let protocol = welcome.protocol.min(PROTOCOL);
        let feed = Feed::new(standing.epoch, protocol, window, self.batch_age, now);
        stands(&port.link, &welcome, self.clock);
        let reconcile = Reconcile::new(feed.reconciles());
        let figures = Told::new(protocol);
        let mut session = Session {
            peer: self,
            up,
            down,
            feed,
            reconcile,
            ready: None,
            rules: None,
            report: true,
            figures,
        };
        session.go_on(port).await
    }
}

/// Publishes that the link stands.
fn stands(link: &watch::Sender<LinkStatus>, welcome: &v1::Welcome, clock: Clock) {
    let skew = welcome.time.saturating_sub(clock::wall().micros()) / 1_000;
    let ahead = welcome.time.saturating_sub(clock.now().wall.micros()) / 1_000;
    link.send_modify(|link| {
        link.connected = true;
        link.down_since = None;
        link.error = None;
        link.sessions += 1;
        link.committed = welcome.committed;
        link.skew_ms = Some(skew);
        link.hub_ahead_ms = Some(ahead);
    });
    tracing::info!(hub = %link.borrow().hub, version = %welcome.version, skew_ms = skew, "link to the hub stands");
}

/// Dials, and exchanges `Hello` and `Welcome`.
async fn open(
    dial: &Dial,
    identity: &Identity,
    standing: &Standing,
    link: &watch::Sender<LinkStatus>,
) -> Result<(mpsc::Sender<v1::AgentMessage>, Streaming<v1::HubMessage>, v1::Welcome), End> {
    let (up, outgoing) = mpsc::channel(QUEUE);
    up.try_send(message(Up::Hello(hello(identity, standing))))
        .map_err(|_| End::because("the session closed at once"))?;
    let mut down = dial.open(link, ReceiverStream::new(outgoing)).await?;
    match down.message().await?.and_then(|m| m.message) {
        Some(Down::Welcome(welcome)) => Ok((up, down, welcome)),
        Some(Down::RetryAfter(retry)) => Err(End::later(&retry)),
        _ => Err(End::because("the hub did not begin with a welcome")),
    }
}

/// The greatest number that the hub has.
fn greatest(welcome: &v1::Welcome) -> u64 {
    welcome.above.last().map_or(0, |range| range.last).max(welcome.committed)
}

/// Whether the hub has what this outbox never gave: numbers beyond its own, or another transition
/// under the greatest one that the hub has.
async fn is_older_copy(welcome: &v1::Welcome, standing: &Standing, port: &Port) -> Result<bool, End> {
    let greatest = greatest(welcome);
    if greatest > standing.newest {
        return Ok(true);
    }
    if greatest == 0 || welcome.boot_id.is_empty() {
        return Ok(false);
    }
    let (lane, skip, upto) = (Lane::Both, Ranges::up_to(greatest - 1), greatest);
    let peek = |reply| Request::Peek { lane, skip, upto, count: 1, bytes: 1, reply };
    let own = ask(&port.requests, peek).await?.rows.into_iter().find(|row| row.seq == greatest);
    let own = own.and_then(|row| decode(row.seq, &row.body));
    Ok(own.is_some_and(|own| own.boot_id != welcome.boot_id || own.recorded_at != welcome.recorded_at))
}

/// What a session waits for.
enum Event {
    FromHub(Result<Option<v1::HubMessage>, Status>),
    /// Something changed, or it is time to look.
    Look,
    Report(RuleReport),
    Status,
    /// The hub takes nothing, or acknowledges nothing.
    Stuck(&'static str),
    /// The agent itself is going.
    Closed,
}

struct Session<'a> {
    peer: &'a mut Peer,
    up: mpsc::Sender<v1::AgentMessage>,
    down: Streaming<v1::HubMessage>,
    feed: Feed,
    reconcile: Reconcile,
    /// The next batch, and since when it waits to be taken.
    ready: Option<(v1::AgentMessage, u64, Mono)>,
    /// What the hub wants, until there is room to hand it on.
    rules: Option<Desired>,
    /// Whether the newest periodic report is to be sent.
    report: bool,
    /// What the hub was last told in one.
    figures: Told,
}

impl Session<'_> {
    /// Sends and receives until the session ends.
    async fn go_on(&mut self, port: &mut Port) -> Result<Infallible, End> {
        self.forget(port).await?;
        // When the hub acknowledged something last, or nothing was under way.
        let mut heard = self.peer.clock.mono();
        loop {
            let now = self.peer.clock.mono();
            if self.feed.window.is_idle() {
                heard = now;
            }
            let wake = self.look(port, now).await?;
            match self.event(port, wake, heard, now).await {
                Event::FromHub(received) => {
                    let received = received?.ok_or_else(|| End::because("the hub closed the session"))?;
                    if self.take(received, port).await? {
                        heard = self.peer.clock.mono();
                    }
                }
                Event::Look => {}
                Event::Report(report) => self.send(Up::Rules(rule_report(&report)), port).await?,
                Event::Status => self.report = true,
                Event::Stuck(why) => return Err(End::because(why)),
                Event::Closed => return Err(End::because("the agent stops")),
            }
        }
    }

    /// Sends what may be sent now, or makes it ready. Gives when to look again though nothing happens.
    async fn look(&mut self, port: &mut Port, now: Mono) -> Result<Option<Mono>, End> {
        let budget = &mut self.peer.budget;
        let (mut wake, mut held) = (None, None);
        {
            let link = port.link.borrow();
            budget.carried(link.bytes_sent + link.bytes_received, now);
        }
        if self.ready.is_none() {
            match self.feed.next(port, budget, now).await? {
                Next::Batch(batch) => {
                    let count = batch.transitions.len() as u64;
                    self.ready = Some((message(Up::Batch(batch)), count, now));
                }
                Next::Wait(until) => wake = until,
                Next::Held(until) => held = Some(until),
                Next::Sent(newest) => {
                    let (up, agent) = (&self.up, &self.peer.identity);
                    for message in self.reconcile.next(newest, self.feed.epoch(), agent, port).await? {
                        send(up, message, port).await?;
                    }
                }
            }
        }
        if self.report {
            match self.peer.budget.leave(now) {
                Leave::At(then) => held = Some(held.map_or(then, |other: Mono| other.min(then))),
                Leave::Free | Leave::Bytes(_) => {
                    self.report = false;
                    let report = port.status.borrow().clone();
                    // Right after the agent's start there is nothing to report yet.
                    if !report.metrics.is_empty() {
                        let status = self.figures.shorten(status(&report));
                        self.send(Up::Status(status), port).await?;
                    }
                }
            }
        }
        let until = held.map(|then| self.peer.clock.now().wall.plus(then.since(now)).micros());
        let alerts = self.feed.window.unsent(*port.newest.borrow());
        let now_held = until.map(|until| Held { alerts, until });
        port.link.send_if_modified(|link| {
            // The end of the wait moves with each byte; who is told of it need not know to the second.
            let changed = link.held.is_some() != now_held.is_some();
            link.held = now_held;
            changed
        });
        Ok(wake.into_iter().chain(held).min())
    }

    /// Waits for what comes next. While rules wait to be taken nothing more is read from the hub,
    /// but reports go on: whoever takes the rules may be waiting to report the ones before.
    async fn event(&mut self, port: &mut Port, wake: Option<Mono>, heard: Mono, now: Mono) -> Event {
        let waits = self.ready.as_ref().map(|(.., since)| since.plus(STALL));
        let stuck = waits.unwrap_or_else(|| heard.plus(UNACKNOWLEDGED));
        let is_stuck = waits.is_some() || !self.feed.window.is_idle();
        tokio::select! {
            biased;
            room = port.rules.reserve(), if self.rules.is_some() => {
                let Ok(room) = room else { return Event::Closed };
                if let Some(rules) = self.rules.take() {
                    room.send(rules);
                }
                Event::Look
            }
            report = port.reports.recv() => report.map_or(Event::Closed, Event::Report),
            received = self.down.message(), if self.rules.is_none() => Event::FromHub(received),
            room = self.up.reserve_many(QUEUE), if self.ready.is_some() => {
                let Ok(mut room) = room else { return Event::Stuck("the hub closed the session") };
                if let (Some(room), Some((batch, count, _))) = (room.next(), self.ready.take()) {
                    count_sent(&batch, count, port);
                    room.send(batch);
                    failpoint::reach("uplink.sent");
                }
                Event::Look
            }
            changed = port.newest.changed() => if changed.is_ok() { Event::Look } else { Event::Closed },
            changed = port.status.changed() => if changed.is_ok() { Event::Status } else { Event::Closed },
            () = sleep(wake.unwrap_or(now).since(now)), if wake.is_some() => Event::Look,
            () = sleep(stuck.since(now)), if is_stuck => Event::Stuck(match waits {
                Some(_) => "the hub takes nothing any more",
                None => "the hub acknowledges nothing any more",
            }),
        }
    }

    async fn send(&self, up: Up, port: &Port) -> Result<(), End> {
        send(&self.up, up, port).await
    }

    /// Takes a message of the hub. Gives whether it acknowledged something.
    async fn take(&mut self, received: v1::HubMessage, port: &Port) -> Result<bool, End> {
        let bytes = received.encoded_len() as u64;
        port.link.send_modify(|link| link.message_bytes_received += bytes);
        match received.message {
            Some(Down::Ack(ack)) if ack.epoch == self.feed.epoch() => {
                let above: Vec<_> = ack.above.iter().map(|range| (range.first, range.last)).collect();
                if self.feed.window.ack(ack.committed, &above) {
                    self.forget(port).await?;
                    failpoint::reach("uplink.acked");
                    return Ok(true);
                }
            }
            Some(Down::Desired(desired)) => self.rules = Some(desired_rules(desired)),
            Some(Down::RetryAfter(retry)) => return Err(End::later(&retry)),
            Some(Down::Active(asked)) => self.reconcile.asked(asked.seq),
            Some(Down::Probe(_)) => self.send(Up::Alive(v1::Alive {}), port).await?,
            Some(Down::Notice(notice)) => note(notice, port),
            // Of another epoch, a second welcome, or from a later protocol.
            Some(Down::Ack(_) | Down::Welcome(_)) | None => {}
        }
        Ok(false)
    }

    /// Lets the outbox forget what the hub has.
    async fn forget(&self, port: &Port) -> Result<(), End> {
        let (floor, above) = self.feed.window.acked();
        port.link.send_modify(|link| link.committed = floor);
        tell(&port.requests, Request::Forget { floor, above }).await
    }
}

async fn send(up: &mpsc::Sender<v1::AgentMessage>, say: Up, port: &Port) -> Result<(), End> {
    let message = message(say);
    count_sent(&message, 0, port);
    match timeout(STALL, up.send(message)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) => Err(End::because("the hub closed the session")),
        Err(_) => Err(End::because("the hub takes nothing any more")),
    }
}

fn count_sent(message: &v1::AgentMessage, transitions: u64, port: &Port) {
    let bytes = message.encoded_len() as u64;
    port.link.send_modify(|link| {
        link.message_bytes_sent += bytes;
        link.sent += transitions;
    });
}

/// Something that a person should know of.
fn note(notice: v1::Notice, port: &Port) {
    tracing::warn!(code = notice.code, message = notice.message, "the hub says");
    port.link.send_modify(|link| {
        let at = clock::wall().micros();
        link.notices.push(Noticed { code: notice.code, message: notice.message, at });
        let surplus = link.notices.len().saturating_sub(NOTICES);
        link.notices.drain(..surplus);
    });
}
