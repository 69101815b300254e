//! What a session keeps in mind: the messages that nobody took yet, the acknowledgements and
//! subscriptions that are still to be sent, and what it tells about itself.
//!
//! Synchronous: the session's loop says what happened and when; nothing here waits.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::face::{Lost, Publish, Requests};
use super::packets::Packets;
use crate::ingest::coalesce::{BATCH, Coalescer};
use crate::ingest::status::SourceStatus;
use crate::model::message::{AckToken, Message, Topic};
use crate::model::time::{Mono, Now, Timestamp};

/// Payload bytes that one batch may hold before reading pauses.
const BATCH_BYTES: usize = 4 * 1024 * 1024;
/// From here on QoS 0 messages are dropped.
const FULL: usize = 4_000;
/// From here on QoS 0 messages are dropped, payload bytes.
const FULL_BYTES: usize = 16 * 1024 * 1024;
/// Filters in one SUBSCRIBE packet. Some brokers take no more.
const FILTERS: usize = 8;

/// A broker that lets only so many messages be in flight has stopped after them. Mosquitto's default is 20.
const SMALL_WINDOW: usize = 16;

/// A request that the library had no room for yet.
enum Request {
    Ack(u16),
    Subscribe(Vec<String>),
    Unsubscribe(Vec<String>),
}

pub(super) struct Desk {
    source: Arc<str>,
    index: u16,
    qos: u8,
    max_packet: usize,
    requests: Requests,
    outbox: VecDeque<Request>,
    /// The filters of the subscriptions that the broker has not answered yet, in order.
    asked: VecDeque<Vec<String>>,
    filters: Vec<String>,
    /// Filters that ended while there was no connection: a session that is resumed still has them.
    leaving: Vec<String>,
    refused: Vec<(String, String)>,
    buffer: Vec<Message>,
    buffered_bytes: usize,
    generation: u32,
    session: u32,
    /// Whether the broker should still have a session of this client.
    resumes: bool,
    /// Packets of this connection that are handed on and not acknowledged.
    open: Packets,
    coalescer: Coalescer,
    drained: usize,
    /// Messages in the last batch that wait for an acknowledgement.
    last_open: usize,
    now: Timestamp,
    status: SourceStatus,
    told: watch::Sender<SourceStatus>,
}

/// What a desk is set up with.
pub(super) struct Setup {
    pub(super) source: Arc<str>,
    pub(super) index: u16,
    pub(super) resumes: bool,
    pub(super) qos: u8,
    pub(super) max_packet: u32,
    pub(super) requests: Requests,
    pub(super) filters: Vec<String>,
    pub(super) told: watch::Sender<SourceStatus>,
}

impl Desk {
    pub(super) fn new(setup: Setup) -> Self {
        let status = setup.told.borrow().clone();
        Self {
            source: setup.source,
            index: setup.index,
            qos: setup.qos,
            max_packet: usize::try_from(setup.max_packet).unwrap_or(usize::MAX),
            requests: setup.requests,
            outbox: VecDeque::new(),
            asked: VecDeque::new(),
            filters: setup.filters,
            leaving: Vec::new(),
            refused: Vec::new(),
            buffer: Vec::new(),
            buffered_bytes: 0,
            generation: 0,
            session: 0,
            resumes: setup.resumes,
            open: Packets::new(),
            coalescer: Coalescer::default(),
            drained: 0,
            last_open: 0,
            now: status.since,
            status,
            told: setup.told,
        }
    }

    /// Sets the time that messages are stamped with.
    pub(super) fn at(&mut self, now: Timestamp) {
        self.now = now;
    }

    /// A connection stands.
    pub(super) fn connected(&mut self, resumed: bool) {
        self.generation = self.generation.wrapping_add(1);
        if !resumed {
            self.session = self.session.wrapping_add(1);
            if self.resumes {
                self.status.counters.gaps += 1;
                tracing::warn!(
                    source = &*self.source,
                    "the broker lost the session; messages may be missing"
                );
            }
        }
        self.resumes = true;
        self.open.clear();
        self.outbox.clear();
        self.asked.clear();
        self.refused.clear();
        let leaving = std::mem::take(&mut self.leaving);
        let filters = self.filters.clone();
        self.subscribe(filters);
        if resumed {
            self.unsubscribe(leaving);
        }
        self.status.connected = true;
        self.status.error = None;
        self.status.since = self.now;
        self.tell();
        tracing::info!(source = &*self.source, resumed, "connected to the broker");
    }

    /// The connection ended, or could not be made.
    pub(super) fn lost(&mut self, lost: &Lost) {
        self.open.clear();
        self.outbox.clear();
        self.status.counters.reconnects += 1;
        if self.status.connected {
            self.status.connected = false;
            self.status.since = self.now;
        }
        if self.status.error.as_deref() != Some(&lost.why) {
            tracing::warn!(
                source = &*self.source,
                error = lost.why,
                "no connection to the broker; trying again"
            );
        }
        self.status.error = Some(lost.why.clone());
        self.tell();
    }

    /// Whether a connection stands.
    pub(super) fn is_connected(&self) -> bool {
        self.status.connected
    }

    /// A message came.
    pub(super) fn publish(&mut self, publish: Publish) {
        let size = publish.payload.len();
        self.drained += 1;
        self.status.counters.messages += 1;
        self.status.counters.bytes += size as u64;
        if let Some(packet) = publish.packet {
            self.open.insert(packet);
        }
        if size > self.max_packet {
            self.status.counters.oversized += 1;
            return self.skip(publish.packet);
        }
        let Some(topic) = Topic::new(publish.topic) else {
            self.status.counters.bad_topics += 1;
            return self.skip(publish.packet);
        };
        let full = self.buffer.len() >= FULL || self.buffered_bytes >= FULL_BYTES;
        if full && publish.packet.is_none() {
            self.status.counters.dropped += 1;
            return;
        }
        self.buffered_bytes += size;
        self.buffer.push(Message {
            source: self.source.clone(),
            topic,
            payload: publish.payload,
            received: self.now,
            retained: publish.retained,
            dup: publish.dup,
            qos: u8::from(publish.packet.is_some()),
            properties: publish.properties,
            ack: publish.packet.map(|packet| AckToken {
                source: self.index,
                generation: self.generation,
                session: self.session,
                packet,
            }),
        });
    }

    /// Acknowledges what is not handed on.
    fn skip(&mut self, packet: Option<u16>) {
        if let Some(packet) = packet
            && self.open.remove(packet)
        {
            self.outbox.push_back(Request::Ack(packet));
        }
    }

    /// Tokens came back.
    pub(super) fn acknowledge(&mut self, tokens: Vec<AckToken>) {
        for token in tokens {
            let known = token.generation == self.generation && token.source == self.index;
            if known && self.status.connected && self.open.remove(token.packet) {
                self.outbox.push_back(Request::Ack(token.packet));
            } else {
                self.status.counters.stale_acks += 1;
            }
        }
    }

    /// The broker answered a subscription.
    pub(super) fn subscribed(&mut self, answers: &[Option<String>]) {
        let asked = self.asked.pop_front().unwrap_or_default();
        for (i, answer) in answers.iter().enumerate() {
            if let Some(why) = answer {
                let filter = asked.get(i).cloned().unwrap_or_else(|| "a filter".to_owned());
                self.refused.push((filter, why.clone()));
            }
        }
        self.tell_refusals();
    }

    /// Other filters are wanted.
    pub(super) fn change_filters(&mut self, wanted: Vec<String>) {
        let fresh: Vec<String> = wanted.iter().filter(|f| !self.filters.contains(f)).cloned().collect();
        let gone: Vec<String> = self.filters.iter().filter(|f| !wanted.contains(f)).cloned().collect();
        self.filters = wanted;
        self.refused.retain(|(filter, _)| self.filters.contains(filter));
        if self.status.connected {
            // The wider subscription stands before the narrower one ends, so that nothing is
            // missed between them.
            self.subscribe(fresh);
            self.unsubscribe(gone);
            self.tell_refusals();
        } else {
            self.leaving.retain(|f| !fresh.contains(f));
            self.leaving.extend(gone);
        }
    }

    fn subscribe(&mut self, filters: Vec<String>) {
        let (good, bad): (Vec<_>, Vec<_>) = filters.into_iter().partition(|f| rumqttc::valid_filter(f));
        self.refused.extend(bad.into_iter().map(|f| (f, "no valid MQTT topic filter".to_owned())));
        self.outbox.extend(good.chunks(FILTERS).map(|part| Request::Subscribe(part.to_vec())));
    }

    fn unsubscribe(&mut self, filters: Vec<String>) {
        let good: Vec<_> = filters.into_iter().filter(|f| rumqttc::valid_filter(f)).collect();
        self.outbox.extend(good.chunks(FILTERS).map(|part| Request::Unsubscribe(part.to_vec())));
    }

    /// Hands the library what it has room for. Gives whether there was anything to hand over: then
    /// the connection has to be polled for it to leave.
    pub(super) fn pump(&mut self) -> bool {
        let any = !self.outbox.is_empty();
        while let Some(request) = self.outbox.pop_front() {
            let taken = match &request {
                Request::Ack(packet) => self.requests.ack(*packet),
                Request::Subscribe(filters) => self.requests.subscribe(filters, self.qos),
                Request::Unsubscribe(filters) => self.requests.unsubscribe(filters),
            };
            if !taken {
                self.outbox.push_front(request);
                break;
            }
            if let Request::Subscribe(filters) = request {
                self.asked.push_back(filters);
            }
        }
        any
    }

    /// Whether the broker may have stopped sending until it sees acknowledgements.
    pub(super) fn may_hold_up(&self) -> bool {
        self.last_open >= SMALL_WINDOW
    }

    /// Whether messages wait to be taken.
    pub(super) fn has_messages(&self) -> bool {
        !self.buffer.is_empty()
    }

    /// Whether so much waits that reading has to pause.
    pub(super) fn is_full(&self) -> bool {
        self.buffer.len() >= BATCH || self.buffered_bytes >= BATCH_BYTES
    }

    /// Whether more waits than what is dropped where there is no room and what may be in flight: then the
    /// broker does not keep to the number in flight that it was asked for.
    pub(super) fn is_overrun(&self) -> bool {
        self.buffer.len() >= FULL + FULL / 4 || self.buffered_bytes >= 2 * FULL_BYTES
    }

    /// How long a pause is worth while nobody has room for what waits here.
    pub(super) fn pause(&self) -> Duration {
        if self.may_hold_up() { Duration::ZERO } else { self.coalescer.pause() }
    }

    /// Notes that reading pauses.
    pub(super) fn paused(&mut self) {
        self.status.counters.paused += 1;
        self.tell();
    }

    /// The next batch, and how long to leave the socket alone after it.
    pub(super) fn take_batch(&mut self, now: Mono) -> (Vec<Message>, Duration) {
        let batch = if self.buffer.len() <= BATCH {
            self.buffered_bytes = 0;
            // The next one is mostly as large.
            let next = Vec::with_capacity(self.buffer.len());
            std::mem::replace(&mut self.buffer, next)
        } else {
            let batch: Vec<Message> = self.buffer.drain(..BATCH).collect();
            let bytes: usize = batch.iter().map(|m| m.payload.len()).sum();
            self.buffered_bytes = self.buffered_bytes.saturating_sub(bytes);
            batch
        };
        self.last_open = batch.iter().filter(|m| m.ack.is_some()).count();
        // Whoever takes the batch lets go of its names while the next ones are made here: a counter that both
        // threads count on would cost each of them more than the message itself.
        self.source = Arc::from(&*self.source);
        let pause = self.coalescer.drained(std::mem::take(&mut self.drained), now);
        self.tell();
        (batch, pause)
    }

    /// Messages that nobody will take any more: the broker keeps those of QoS 1, the others are
    /// counted.
    pub(super) fn abandon(&mut self) {
        for message in self.buffer.drain(..) {
            match message.ack {
                Some(token) => {
                    self.open.remove(token.packet);
                }
                None => self.status.counters.dropped += 1,
            }
        }
        self.buffered_bytes = 0;
    }

    /// A message that came while the source was ending.
    pub(super) fn too_late(&mut self, publish: &Publish) {
        if publish.packet.is_none() {
            self.status.counters.dropped += 1;
        }
    }

    /// No more tokens will come.
    pub(super) fn forget_open(&mut self) {
        self.open.clear();
    }

    /// Whether acknowledgements may still come, or wait to be sent.
    pub(super) fn owes_acks(&self) -> bool {
        self.status.connected && !(self.open.is_empty() && self.outbox.is_empty())
    }

    /// Says goodbye to the broker. Gives `false` where there is nobody to say it to.
    pub(super) fn disconnect(&mut self) -> bool {
        self.status.connected && self.requests.disconnect()
    }

    /// The source ended.
    pub(super) fn ended(&mut self, now: Now) {
        self.status.connected = false;
        self.status.error = None;
        self.status.since = now.wall;
        self.tell();
    }

    fn tell_refusals(&mut self) {
        self.status.error = (!self.refused.is_empty()).then(|| {
            let list: Vec<String> =
                self.refused.iter().map(|(filter, why)| format!("`{filter}` ({why})")).collect();
            format!("the broker refused to subscribe to {}; check its access rules", list.join(", "))
        });
        self.tell();
    }

    fn tell(&self) {
        self.told.send_if_modified(|told| {
            let differs = *told != self.status;
            if differs {
                told.clone_from(&self.status);
            }
            differs
        });
    }
}
