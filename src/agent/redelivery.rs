//! Telling a redelivery from a new message. MQTT has no input position, so the packet id and a
//! hash of the content of the messages last taken in are kept, a ring for each source.
//!
//! A message that is marked as a duplicate, comes on the session that its original came on, and
//! has the same packet id and content as one in the ring was taken in before: it is acknowledged
//! and not evaluated. The ring outlasts every in-flight window that a broker is asked for.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::failpoint;
use crate::model::fold::fold;
use crate::model::kept::{SEEN_RING, Seen};
use crate::model::message::Message;

/// The rings of all sources: as few as there are brokers.
#[derive(Debug, Default)]
pub(super) struct Redelivery {
    rings: Vec<Ring>,
    /// Sources whose kept entries are of another session.
    stale: Vec<Arc<str>>,
}

#[derive(Debug)]
struct Ring {
    source: Arc<str>,
    /// The session that the entries are of.
    session: u32,
    /// Packet id and content, oldest first.
    entries: VecDeque<(u16, u64)>,
    /// The serial of the next one.
    next: u64,
    /// The serial of the first one that was not handed out for keeping yet.
    kept: u64,
}

impl Ring {
    fn push(&mut self, entry: (u16, u64)) {
        if self.entries.len() as u64 >= SEEN_RING {
            self.entries.pop_front();
        }
        self.entries.push_back(entry);
        self.next += 1;
    }

    /// Hands out what was not handed out. What left the ring before would be replaced at once.
    fn take(&mut self) -> impl Iterator<Item = Seen> {
        let count = self.next - std::mem::replace(&mut self.kept, self.next);
        let skip = (self.entries.len() as u64).saturating_sub(count);
        let (first, source) = (self.next - self.entries.len() as u64, &self.source);
        let entries = self.entries.iter().enumerate().skip(usize::try_from(skip).unwrap_or(usize::MAX));
        entries.map(move |(i, (packet, content))| Seen {
            source: source.clone(),
            serial: first + i as u64,
            packet: *packet,
            content: *content,
        })
    }
}

impl Redelivery {
    /// The rings as they were kept, each oldest first. A process counts its broker sessions from
    /// 0, which is the one that the process before it left.
    pub(super) fn restore(seen: Vec<Seen>) -> Self {
        let mut all = Self::default();
        for Seen { source, serial, packet, content } in seen {
            let at = all.of(&source);
            let Some(ring) = all.rings.get_mut(at) else { continue };
            if ring.next != serial {
                // Nothing is known of what stood between.
                ring.entries.clear();
                ring.next = serial;
            }
            ring.push((packet, content));
            ring.kept = ring.next;
        }
        all
    }

    /// The place of a source's ring.
    fn of(&mut self, source: &Arc<str>) -> usize {
        let known = self.rings.iter().position(|ring| ring.source == *source);
        known.unwrap_or_else(|| {
            let entries = VecDeque::new();
            self.rings.push(Ring { source: source.clone(), session: 0, entries, next: 0, kept: 0 });
            self.rings.len() - 1
        })
    }

    /// Whether this very message was taken in before; if not, it is noted as taken in.
    pub(super) fn is_repeat(&mut self, message: &Message) -> bool {
        let Some(ack) = message.ack else { return false };
        let at = self.of(&message.source);
        let Some(ring) = self.rings.get_mut(at) else { return false };
        if ring.session != ack.session {
            ring.session = ack.session;
            ring.entries.clear();
            ring.kept = ring.next;
            self.stale.push(message.source.clone());
        }
        let entry = (ack.packet, content(message));
        // A packet id that was used again was acknowledged in between: only its latest use counts.
        let latest = || ring.entries.iter().rev().find(|(packet, _)| *packet == ack.packet);
        if message.dup && latest() == Some(&entry) && !failpoint::sabotaged("no-redelivery-check") {
            return true;
        }
        ring.push(entry);
        false
    }

    /// Everything that is to be kept, with all sources to forget first. It counts as handed out then.
    pub(super) fn all(&mut self) -> (Vec<Arc<str>>, Vec<Seen>) {
        for ring in &mut self.rings {
            ring.kept = ring.next - ring.entries.len() as u64;
        }
        self.stale = self.rings.iter().map(|ring| ring.source.clone()).collect();
        self.take()
    }

    /// What is to be kept since the last call: sources to forget first, and new entries.
    pub(super) fn take(&mut self) -> (Vec<Arc<str>>, Vec<Seen>) {
        let seen = self.rings.iter_mut().flat_map(Ring::take).collect();
        (std::mem::take(&mut self.stale), seen)
    }
}

/// The hash only has to tell messages of one session and packet id apart, within this version of
/// the program or the next: a mismatch costs one repeated evaluation. It is taken of every message
/// of QoS 1, so it reads eight bytes at a time.
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
    fn what_is_new_is_handed_out_once() {
        let mut all = Redelivery::default();
        let serials = |all: &mut Redelivery| all.take().1.iter().map(|seen| seen.serial).collect::<Vec<_>>();
        all.is_repeat(&message(1, "a", false, 1));
        all.is_repeat(&message(2, "a", false, 1));
        assert_eq!(serials(&mut all), [0, 1]);
        all.is_repeat(&message(3, "a", false, 1));
        assert_eq!(serials(&mut all), [2]);
        assert!(serials(&mut all).is_empty());
        for packet in 1..=3_000 {
            all.is_repeat(&message(packet, "a", false, 1));
        }
        assert_eq!(serials(&mut all), Vec::from_iter(3_003 - SEEN_RING..3_003));
        all.is_repeat(&message(5, "a", false, 2));
        assert_eq!(serials(&mut all), [3_003], "nothing of the session before");
    }

    #[test]
    fn all_of_it_can_be_handed_out_once_more() {
        let mut all = Redelivery::default();
        for packet in 1..=3 {
            all.is_repeat(&message(packet, "a", false, 1));
        }
        let first = all.take();
        let (forget, seen) = all.all();
        assert_eq!(forget, ["b".into()]);
        assert_eq!(seen, first.1);
        assert!(all.take().1.is_empty());
        assert!(Redelivery::restore(seen).is_repeat(&message(2, "a", true, 0)));
    }

    #[test]
    fn contents_that_differ_anywhere_differ() {
        let texts =
            ["", "a", "b", "ab", "ba", "12345678", "123456789", "12345678\0", "1234567\0", "x2345678"];
        let hashes: std::collections::BTreeSet<u64> =
            texts.iter().map(|t| content(&message(1, t, false, 1))).collect();
        assert_eq!(hashes.len(), texts.len());
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
