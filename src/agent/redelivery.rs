//! Telling a redelivery from a new message. MQTT has no input position, so the packet id and a
//! hash of the content of the messages last taken in are kept, a ring for each source.
//!
//! A message that is marked as a duplicate, comes on the session that its original came on, and
//! has the same packet id and content as one in the ring was taken in before: it is acknowledged
//! and not evaluated. The ring outlasts every in-flight window that a broker is asked for.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use crate::model::fold::{BuildFold, fold};
use crate::model::kept::{SEEN_RING, Seen};
use crate::model::message::Message;

/// The rings of all sources.
#[derive(Debug, Default)]
pub(super) struct Redelivery {
    sources: HashMap<Arc<str>, Ring, BuildFold>,
    /// Entries that were not handed out for keeping yet, oldest first.
    fresh: VecDeque<Seen>,
    /// Sources whose kept entries are of another session.
    stale: Vec<Arc<str>>,
}

#[derive(Debug, Default)]
struct Ring {
    /// The session that the entries are of.
    session: u32,
    /// Packet id and content, oldest first.
    entries: VecDeque<(u16, u64)>,
    /// The serial of the next one.
    next: u64,
}

impl Ring {
    fn push(&mut self, serial: u64, entry: (u16, u64)) {
        if self.entries.len() as u64 >= SEEN_RING {
            self.entries.pop_front();
        }
        self.entries.push_back(entry);
        self.next = serial + 1;
    }
}

impl Redelivery {
    /// The rings as they were kept, each oldest first. A process counts its broker sessions from
    /// 0, which is the one that the process before it left.
    pub(super) fn restore(seen: Vec<Seen>) -> Self {
        let mut all = Self::default();
        for Seen { source, serial, packet, content } in seen {
            all.sources.entry(source).or_default().push(serial, (packet, content));
        }
        all
    }

    /// Whether this very message was taken in before; if not, it is noted as taken in.
    pub(super) fn is_repeat(&mut self, message: &Message) -> bool {
        let Some(ack) = message.ack else { return false };
        let ring = self.sources.entry(message.source.clone()).or_default();
        if ring.session != ack.session {
            ring.session = ack.session;
            ring.entries.clear();
            self.fresh.retain(|seen| seen.source != message.source);
            self.stale.push(message.source.clone());
        }
        let entry = (ack.packet, content(message));
        // A packet id that was used again was acknowledged in between: only its latest use counts.
        let latest = || ring.entries.iter().rev().find(|(packet, _)| *packet == ack.packet);
        if message.dup && latest() == Some(&entry) {
            return true;
        }
        let serial = ring.next;
        ring.push(serial, entry);
        // What is further back than a ring would be replaced at once.
        if self.fresh.len() as u64 >= 4 * SEEN_RING {
            self.fresh.pop_front();
        }
        let source = message.source.clone();
        self.fresh.push_back(Seen { source, serial, packet: entry.0, content: entry.1 });
        false
    }

    /// What is to be kept since the last call: sources to forget first, and new entries.
    pub(super) fn take(&mut self) -> (Vec<Arc<str>>, Vec<Seen>) {
        (std::mem::take(&mut self.stale), std::mem::take(&mut self.fresh).into())
    }
}

/// The hash only has to tell messages of one session and packet id apart, within this version of
/// the program or the next: a mismatch costs one repeated evaluation.
fn content(message: &Message) -> u64 {
    fold(message.topic.as_bytes()) ^ fold(&message.payload).rotate_left(17)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::message::AckToken;
    use crate::model::time::Timestamp;

    fn message(packet: u16, payload: &str, dup: bool, session: u32) -> Message {
        Message {
            source: "b".into(),
            topic: "t".into(),
            payload: payload.to_owned().into(),
            received: Timestamp::default(),
            retained: false,
            dup,
            qos: 1,
            properties: Box::default(),
            ack: Some(AckToken { source: 0, generation: 1, session, packet }),
        }
    }

    #[test]
    fn only_a_duplicate_of_the_same_session_id_and_content_is_a_repeat() {
        let mut all = Redelivery::default();
        assert!(!all.is_repeat(&message(7, "a", false, 1)));
        assert!(all.is_repeat(&message(7, "a", true, 1)));
        assert!(!all.is_repeat(&message(7, "b", true, 1)), "other content");
        assert!(!all.is_repeat(&message(8, "a", true, 1)), "other packet");
        assert!(!all.is_repeat(&message(7, "a", false, 1)), "no duplicate");
        assert!(!all.is_repeat(&message(7, "a", true, 2)), "other session");
    }

    #[test]
    fn what_was_kept_tells_repeats_after_a_restart() {
        let mut before = Redelivery::default();
        before.is_repeat(&message(7, "a", false, 3));
        let (_, seen) = before.take();
        let mut after = Redelivery::restore(seen);
        assert!(after.is_repeat(&message(7, "a", true, 0)));
    }

    #[test]
    fn a_ring_forgets_the_oldest_first() {
        let mut all = Redelivery::default();
        for packet in 1..=1_025 {
            all.is_repeat(&message(packet, "a", false, 1));
        }
        assert!(!all.is_repeat(&message(1, "a", true, 1)));
        assert!(all.is_repeat(&message(1_025, "a", true, 1)));
    }
}
