//! Publishes packets that were made beforehand, as fast as the broker takes them or at a rate. It
//! speaks just as much MQTT 3.1.1 as that takes.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::ops::Range;
use std::time::Duration;

use weir::clock::Clock;

/// Messages that are on their way before their acknowledgements are read.
const WINDOW: usize = 100;
/// The broker has never been this slow.
const PATIENCE: Duration = Duration::from_secs(60);
/// Above so many a second, messages leave in groups, for the timers end here.
const SINGLY: u64 = 10_000;
/// Groups a second.
const GROUPS: u64 = 2_000;

/// PUBLISH packets, one after the other.
#[derive(Clone, Default)]
pub(crate) struct Packets {
    bytes: Vec<u8>,
    ends: Vec<usize>,
    last_id: u16,
}

impl Packets {
    pub(crate) fn add(&mut self, topic: &str, payload: &[u8], qos: u8) {
        let id_length = if qos == 0 { 0 } else { 2 };
        self.bytes.push(0x30 | (qos << 1));
        length(2 + topic.len() + id_length + payload.len(), &mut self.bytes);
        self.bytes.extend((topic.len() as u16).to_be_bytes());
        self.bytes.extend(topic.as_bytes());
        if qos > 0 {
            self.last_id = self.last_id % u16::MAX + 1;
            self.bytes.extend(self.last_id.to_be_bytes());
        }
        self.bytes.extend(payload);
        self.ends.push(self.bytes.len());
    }

    pub(crate) fn one(topic: &str, payload: &str) -> Self {
        let mut packets = Self::default();
        packets.add(topic, payload.as_bytes(), 1);
        packets
    }

    fn slice(&self, places: Range<usize>) -> &[u8] {
        let start = if places.start == 0 { 0 } else { self.ends[places.start - 1] };
        &self.bytes[start..self.ends[places.end - 1]]
    }
}

/// Appends a remaining length.
fn length(mut rest: usize, out: &mut Vec<u8>) {
    while rest > 0x7f {
        out.push((rest & 0x7f) as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

/// A connection that publishes, or counts what comes.
pub(crate) struct Publisher {
    stream: TcpStream,
}

impl Publisher {
    pub(crate) fn connect(port: u16, client_id: &str) -> Self {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        let mut connect = vec![0x10, 12 + client_id.len() as u8];
        connect.extend(b"\x00\x04MQTT\x04\x02\x00\x00");
        connect.extend((client_id.len() as u16).to_be_bytes());
        connect.extend(client_id.as_bytes());
        stream.write_all(&connect).unwrap();
        let mut answer = [0; 4];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(answer, [0x20, 2, 0, 0], "the broker accepts the publisher");
        Self { stream }
    }

    /// Publishes `count` of the packets, beginning with those at `places` and over again, as fast as
    /// the broker takes them or `rate` a second. Returns when the broker has dealt with the last one.
    pub(crate) fn publish(
        &mut self,
        packets: &Packets,
        places: Range<usize>,
        count: usize,
        rate: Option<u64>,
    ) {
        let clock = Clock::start();
        let start = clock.mono();
        let acked = packets.bytes.first().is_some_and(|first| first & 0x06 != 0);
        let step = match rate {
            None => WINDOW,
            Some(rate) if rate <= SINGLY => 1,
            Some(rate) => (rate / GROUPS) as usize,
        };
        let (mut at, mut done, mut unread) = (places.start, 0, 0);
        while done < count {
            if let Some(rate) = rate {
                let due = start.plus(Duration::from_nanos(done as u64 * 1_000_000_000 / rate));
                while !clock.until(due).is_zero() {
                    std::thread::park_timeout(clock.until(due));
                }
            }
            let step = step.min(count - done).min(places.end - at);
            self.stream.write_all(packets.slice(at..at + step)).unwrap();
            at = if at + step == places.end { places.start } else { at + step };
            done += step;
            unread += if acked { step } else { 0 };
            if unread >= WINDOW {
                self.read_acks(&mut unread);
            }
        }
        self.read_acks(&mut unread);
        self.settle();
    }

    /// Publishes one message with QoS 1.
    pub(crate) fn say(&mut self, topic: &str, payload: &str) {
        let packets = Packets::one(topic, payload);
        self.publish(&packets, 0..1, 1, None);
    }

    fn read_acks(&mut self, unread: &mut usize) {
        let mut acks = vec![0; *unread * 4];
        self.stream.read_exact(&mut acks).unwrap();
        assert!(acks.chunks(4).all(|ack| ack[..2] == [0x40, 2]), "the broker acknowledges");
        *unread = 0;
    }

    /// A ping is answered after everything that was sent before it.
    fn settle(&mut self) {
        self.stream.write_all(&[0xc0, 0]).unwrap();
        let mut answer = [0; 2];
        self.stream.read_exact(&mut answer).unwrap();
        assert_eq!(answer, [0xd0, 0]);
    }

    /// Subscribes with QoS 0, and calls `seen` for each message, until the broker goes.
    pub(crate) fn count(mut self, topic: &str, seen: impl Fn()) {
        let mut subscribe = vec![0x82];
        length(2 + 2 + topic.len() + 1, &mut subscribe);
        subscribe.extend([0, 1]);
        subscribe.extend((topic.len() as u16).to_be_bytes());
        subscribe.extend(topic.as_bytes());
        subscribe.push(0);
        self.stream.write_all(&subscribe).unwrap();
        self.stream.set_read_timeout(None).unwrap();
        let mut input = std::io::BufReader::new(self.stream);
        let mut byte = || {
            let mut byte = [0];
            input.read_exact(&mut byte).ok().map(|()| byte[0])
        };
        loop {
            let Some(kind) = byte() else { return };
            let (mut rest, mut shift) = (0_usize, 0);
            loop {
                let Some(next) = byte() else { return };
                rest |= usize::from(next & 0x7f) << shift;
                shift += 7;
                if next < 0x80 {
                    break;
                }
            }
            for _ in 0..rest {
                if byte().is_none() {
                    return;
                }
            }
            if kind >> 4 == 3 {
                seen();
            }
        }
    }
}
