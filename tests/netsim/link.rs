//! The link between two hosts: packets go in at one host's TUN device and come out at the other's, if they do, when
//! the weather lets them. Everything above is the system's own TCP.

use std::collections::BTreeMap;
use std::io;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tappers::{Interface, Tun};
use weir::clock::Clock;
use weir::tasks;

/// Room for the largest packet of the device.
const PACKET: usize = 2_048;

/// How many packets may be under way in one direction: 2 s at the full rate of what is sent here.
const UNDER_WAY: usize = 1_024;

/// How much a slow line holds back before it drops: as modems do, too much rather than too little.
const BACKLOG: Duration = Duration::from_secs(4);

/// What the link does to packets.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Weather {
    /// The share of packets that are lost, in each direction.
    pub(crate) loss: f64,
    /// How long each takes, in each direction.
    pub(crate) delay: Duration,
    /// Bits a second, in each direction; 0 for any number.
    pub(crate) rate: u32,
    /// Whether packets of the agent pass.
    pub(crate) up: bool,
    /// Whether packets of the hub pass.
    pub(crate) down: bool,
}

impl Weather {
    pub(crate) const CLEAR: Self =
        Self { loss: 0.0, delay: Duration::from_millis(10), rate: 0, up: true, down: true };

    const fn passes(&self, way: Way) -> bool {
        match way {
            Way::Up => self.up,
            Way::Down => self.down,
        }
    }
}

/// The direction of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// From the agent.
    Up,
    /// From the hub.
    Down,
}

/// What went in at one end.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Traffic {
    pub(crate) packets: u64,
    /// Packets that did not come out.
    pub(crate) dropped: u64,
    /// Bytes of TCP's streams, those that were sent again counted once.
    pub(crate) carried: u64,
    /// Connections that were tried.
    pub(crate) connections: u64,
}

/// A link that stands until it is dropped.
pub(crate) struct Link {
    weather: Arc<Mutex<Weather>>,
    meters: [Arc<Mutex<Meter>>; 2],
    /// They end with their devices.
    threads: Vec<JoinHandle<()>>,
}

impl Link {
    /// Joins two devices. What is lost is a function of `seed` and of the packets that come.
    pub(crate) fn join(agent: Tun, hub: Tun, weather: Weather, seed: u64) -> Self {
        let clock = Clock::start();
        let weather = Arc::new(Mutex::new(weather));
        let meters = [Arc::default(), Arc::default()];
        let (agent, hub) = (Arc::new(agent), Arc::new(hub));
        let mut threads = Vec::new();
        for (way, from, to) in [(Way::Up, &agent, &hub), (Way::Down, &hub, &agent)] {
            let (send, receive) = sync_channel(UNDER_WAY);
            let end = End {
                way,
                clock,
                weather: Arc::clone(&weather),
                meter: Arc::clone(&meters[usize::from(way == Way::Down)]),
            };
            let (entry, exit) = (end.clone(), end);
            let (from, to) = (Arc::clone(from), Arc::clone(to));
            let chance = fastrand::Rng::with_seed(seed.wrapping_mul(2) + u64::from(way == Way::Up));
            threads.push(tasks::thread("link-in", move || entry.take(&from, &send, chance)).unwrap());
            threads.push(tasks::thread("link-out", move || exit.give(&to, &receive)).unwrap());
        }
        Self { weather, meters, threads }
    }

    pub(crate) fn set(&self, weather: Weather) {
        *lock(&self.weather) = weather;
    }

    /// What the agent's side sent, and the hub's.
    pub(crate) fn traffic(&self) -> [Traffic; 2] {
        [0, 1].map(|way| lock(&self.meters[way]).traffic())
    }
}

impl Drop for Link {
    /// The devices are gone by then, and that ends the threads.
    fn drop(&mut self) {
        for thread in self.threads.drain(..) {
            thread.join().unwrap();
        }
    }
}

/// One direction, at either end.
#[derive(Clone)]
struct End {
    way: Way,
    clock: Clock,
    weather: Arc<Mutex<Weather>>,
    meter: Arc<Mutex<Meter>>,
}

/// A packet, and when it comes out.
type UnderWay = (Duration, Vec<u8>);

impl End {
    /// Takes what a host sends, and decides what becomes of it.
    fn take(&self, from: &Tun, under_way: &SyncSender<UnderWay>, mut chance: fastrand::Rng) {
        let mut buffer = [0; PACKET];
        // When the line is free for the next packet, and when the one before comes out: none overtakes another.
        let (mut free, mut last) = (Duration::ZERO, Duration::ZERO);
        loop {
            let length = match from.recv(&mut buffer) {
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                // The device is gone, and with it this end.
                Err(_) => return,
            };
            let packet = &buffer[..length];
            let Some(segment) = Segment::read(packet) else { continue };
            let now = self.clock.uptime();
            let weather = *lock(&self.weather);
            let mut meter = lock(&self.meter);
            meter.saw(&segment);
            let lost = chance.f64() < weather.loss;
            free = free.max(now);
            if lost || !weather.passes(self.way) || free - now > BACKLOG {
                meter.traffic.dropped += 1;
                continue;
            }
            if weather.rate > 0 {
                free += Duration::from_secs_f64(length as f64 * 8.0 / f64::from(weather.rate));
            }
            last = last.max(free + weather.delay);
            match under_way.try_send((last, packet.to_vec())) {
                Ok(()) => {}
                Err(TrySendError::Full(_)) => meter.traffic.dropped += 1,
                Err(TrySendError::Disconnected(_)) => return,
            }
        }
    }

    /// Hands over what has come through.
    fn give(&self, to: &Tun, under_way: &Receiver<UnderWay>) {
        while let Ok((due, packet)) = under_way.recv() {
            pause(due.saturating_sub(self.clock.uptime()));
            if !lock(&self.weather).passes(self.way) {
                // It was on the line when that was cut.
                lock(&self.meter).traffic.dropped += 1;
            } else if to.send(&packet).is_err() {
                return;
            }
        }
    }
}

/// What of a packet is looked at.
struct Segment {
    ports: [u8; 4],
    begins: bool,
    seq: u32,
    bytes: u32,
}

impl Segment {
    /// Reads IPv4 and TCP; `None` for anything else, which nobody here needs.
    fn read(packet: &[u8]) -> Option<Self> {
        let ip = packet.first().filter(|first| *first >> 4 == 4)?;
        let header = usize::from(ip & 15) * 4;
        if packet.get(9) != Some(&6) {
            return None;
        }
        let tcp = packet.get(header..)?;
        let ports = tcp.get(..4)?.try_into().ok()?;
        let seq = u32::from_be_bytes(tcp.get(4..8)?.try_into().ok()?);
        let data = usize::from(tcp.get(12)? >> 4) * 4;
        let begins = tcp.get(13)? & 2 != 0;
        Some(Self { ports, begins, seq, bytes: u32::try_from(tcp.len().checked_sub(data)?).ok()? })
    }
}

/// Counts what one side sends.
#[derive(Default)]
struct Meter {
    traffic: Traffic,
    /// By ports: where the stream begins, and how far it was sent.
    streams: BTreeMap<[u8; 4], (u32, u32)>,
}

impl Meter {
    fn saw(&mut self, segment: &Segment) {
        self.traffic.packets += 1;
        let begin = segment.seq.wrapping_add(1);
        if segment.begins {
            let known = self.streams.insert(segment.ports, (begin, 0));
            match known {
                // The same one, asked for once more.
                Some((first, sent)) if first == begin => {
                    self.streams.insert(segment.ports, (first, sent));
                }
                before => {
                    self.traffic.connections += 1;
                    self.traffic.carried += before.map_or(0, |(_, sent)| u64::from(sent));
                }
            }
        } else if segment.bytes > 0
            && let Some((first, sent)) = self.streams.get_mut(&segment.ports)
        {
            // A keepalive of TCP repeats the byte before.
            let end = segment.seq.wrapping_add(segment.bytes).wrapping_sub(*first);
            if end < u32::MAX / 2 {
                *sent = (*sent).max(end);
            }
        }
    }

    fn traffic(&self) -> Traffic {
        let open: u64 = self.streams.values().map(|(_, sent)| u64::from(*sent)).sum();
        Traffic { carried: self.traffic.carried + open, ..self.traffic }
    }
}

/// A device of this name, in the namespace of this process.
pub(crate) fn device(name: &str) -> Tun {
    let interface = Interface::new(name).unwrap();
    Tun::new_named(interface)
        .unwrap_or_else(|error| panic!("make the TUN device {name}: {error}; run as root"))
}

/// Waits; a moment that has passed is not waited for.
pub(crate) fn pause(span: Duration) {
    if !span.is_zero() {
        let (_keep, never) = sync_channel::<()>(0);
        never.recv_timeout(span).unwrap_err();
    }
}

fn lock<T>(shared: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
