//! Publishes packets that were made beforehand. It speaks just as much MQTT 3.1.1 as that takes:
//! a client library would use more of the machine than what is measured.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use weir::clock::Clock;

/// Messages that are on their way before their acknowledgements are read.
const WINDOW: usize = 100;
/// The broker has never been this slow.
const PATIENCE: Duration = Duration::from_secs(60);

/// PUBLISH packets, one after the other.
#[derive(Default)]
pub(crate) struct Packets {
    bytes: Vec<u8>,
    ends: Vec<usize>,
    last_id: u16,
}

impl Packets {
    pub(crate) fn add(&mut self, topic: &str, payload: &[u8], qos: u8) {
        let id_length = if qos == 0 { 0 } else { 2 };
        self.bytes.push(0x30 | (qos << 1));
        let mut rest = 2 + topic.len() + id_length + payload.len();
        while rest > 0x7f {
            self.bytes.push((rest & 0x7f) as u8 | 0x80);
            rest >>= 7;
        }
        self.bytes.push(rest as u8);
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
}

/// A connection that publishes.
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

    /// Publishes all, as fast as the broker takes them or `rate` a second, and returns when the
    /// broker has dealt with the last one.
    pub(crate) fn publish(&mut self, packets: &Packets, rate: Option<u64>) {
        let clock = Clock::start();
        let start = clock.mono();
        let acked = packets.bytes.first().is_some_and(|first| first & 0x06 != 0);
        let step = if rate.is_some() { 1 } else { WINDOW };
        let (mut from, mut unread) = (0, 0);
        for (i, chunk) in packets.ends.chunks(step).enumerate() {
            if let Some(rate) = rate {
                let due = start.plus(Duration::from_micros(i as u64 * 1_000_000 / rate));
                while !clock.until(due).is_zero() {
                    std::thread::park_timeout(clock.until(due));
                }
            }
            let to = *chunk.last().unwrap();
            self.stream.write_all(&packets.bytes[from..to]).unwrap();
            from = to;
            unread += if acked { chunk.len() } else { 0 };
            if unread >= WINDOW {
                self.read_acks(&mut unread);
            }
        }
        self.read_acks(&mut unread);
        self.settle();
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
}
