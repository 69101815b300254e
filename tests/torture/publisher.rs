//! Publishes what the devices measure, over MQTT with QoS 1, and forgets nothing: a reading that the broker has
//! not acknowledged is sent again over the next connection. One reading of a device is in flight at a time, under
//! a packet id of the device's own, so that each device's order holds.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use weir::clock;

use super::readings::{FAREWELL, Reading, Source};

/// How often the publisher looks for something to send.
const BEAT: Duration = Duration::from_millis(4);
/// Nothing at the broker takes longer.
const ANSWER: Duration = Duration::from_secs(2);

/// One thing to be published.
#[derive(Debug)]
struct Letter {
    topic: String,
    payload: String,
    /// When the broker acknowledged it, nanoseconds of this process.
    acknowledged: Option<u64>,
}

/// What one device sends, in order.
#[derive(Debug, Default)]
struct Line {
    letters: Vec<Letter>,
    /// The next to be sent, or to be acknowledged where one is in flight.
    next: usize,
    in_flight: bool,
}

/// A device, and what it measured.
#[derive(Debug)]
pub(crate) struct Device {
    pub(crate) name: String,
    source: Source,
    /// What was measured and not yet taken by the checker.
    fresh: Vec<Reading>,
}

/// What both sides see.
#[derive(Debug)]
struct Board {
    devices: Vec<Device>,
    lines: Vec<Line>,
    rng: fastrand::Rng,
    per_second: f64,
    owed: f64,
    paused: bool,
    /// Nothing is sent.
    held: bool,
    /// Rises whenever the connection must not be used further.
    broken: u64,
    published: u64,
    again: u64,
}

/// Publishes in the background until it is dropped.
#[derive(Debug)]
pub(crate) struct Publisher {
    board: Arc<Mutex<Board>>,
    task: JoinHandle<()>,
}

impl Publisher {
    /// Starts it, paused.
    pub(crate) fn start(runtime: &Handle, port: u16, seed: u64, per_second: f64) -> Self {
        let board = Board {
            devices: Vec::new(),
            lines: Vec::new(),
            rng: fastrand::Rng::with_seed(seed),
            per_second,
            owed: 0.0,
            paused: true,
            held: false,
            broken: 0,
            published: 0,
            again: 0,
        };
        let board = Arc::new(Mutex::new(board));
        let _in_it = runtime.enter();
        let task = weir::tasks::spawn("publisher", publish(port, Arc::clone(&board)));
        Self { board, task }
    }

    /// Other devices from here on; the line of the marks stays the last.
    pub(crate) fn devices(&self, devices: Vec<(String, u64)>) {
        let mut board = self.board.lock().unwrap();
        let line = |_| Line::default();
        board.lines = (0..=devices.len()).map(line).collect();
        board.broken += 1;
        board.devices = devices
            .into_iter()
            .map(|(name, seed)| Device { name, source: Source::new(seed), fresh: Vec::new() })
            .collect();
    }

    /// Whether devices measure.
    pub(crate) fn pause(&self, paused: bool) {
        let mut board = self.board.lock().unwrap();
        board.paused = paused;
        board.owed = 0.0;
    }

    /// Whether nothing is sent, whatever is measured.
    pub(crate) fn hold(&self, held: bool) {
        self.board.lock().unwrap().held = held;
    }

    /// The readings after which no rule holds anything of a device.
    pub(crate) fn farewell(&self) {
        let mut board = self.board.lock().unwrap();
        for device in 0..board.devices.len() {
            for place in 0..FAREWELL {
                let reading = board.devices[device].source.farewell(place);
                board.post(device, reading);
            }
        }
    }

    /// Something that comes behind everything that is acknowledged.
    pub(crate) fn mark(&self, number: u64) {
        let mut board = self.board.lock().unwrap();
        let letter = Letter {
            topic: "mark/run".to_owned(),
            payload: format!(r#"{{"n":{number}}}"#),
            acknowledged: None,
        };
        board.lines.last_mut().unwrap().letters.push(letter);
    }

    /// Whether the broker has acknowledged everything.
    pub(crate) fn is_idle(&self) -> bool {
        let board = self.board.lock().unwrap();
        board.lines.iter().all(|line| line.next == line.letters.len())
    }

    /// The broker forgot everything since then, nanoseconds of this process: it is published again.
    pub(crate) fn lost_since(&self, nanos: u64) {
        let mut board = self.board.lock().unwrap();
        board.broken += 1;
        for line in &mut board.lines {
            let kept =
                line.letters.iter().position(|letter| letter.acknowledged.is_none_or(|at| at >= nanos));
            line.next = kept.unwrap_or(line.letters.len());
            line.in_flight = false;
            for letter in &mut line.letters[line.next..] {
                letter.acknowledged = None;
            }
        }
    }

    /// Hands out what each device measured since the last call. What was acknowledged by then is not kept.
    pub(crate) fn take(&self) -> Vec<(String, Vec<Reading>)> {
        let mut board = self.board.lock().unwrap();
        for line in &mut board.lines {
            line.letters.drain(..line.next);
            line.next = 0;
        }
        board.devices.iter_mut().map(|d| (d.name.clone(), std::mem::take(&mut d.fresh))).collect()
    }

    /// How many readings were made, and how many were sent once more.
    pub(crate) fn counts(&self) -> (u64, u64) {
        let board = self.board.lock().unwrap();
        (board.published, board.again)
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Board {
    fn post(&mut self, device: usize, reading: Reading) {
        let topic = format!("torture/{}", self.devices[device].name);
        self.devices[device].fresh.push(reading);
        self.lines[device].letters.push(Letter { topic, payload: reading.payload(), acknowledged: None });
        self.published += 1;
    }

    /// Lets devices measure what is due since the last beat.
    fn measure(&mut self) {
        if self.paused || self.devices.is_empty() {
            return;
        }
        // What cannot be sent piles up only so far: devices hold no day of readings either.
        let waiting: usize = self.lines.iter().map(|line| line.letters.len() - line.next).sum();
        if waiting > 4 * self.lines.len() {
            return;
        }
        self.owed += self.per_second * BEAT.as_secs_f64();
        while self.owed >= 1.0 {
            self.owed -= 1.0;
            let device = self.rng.usize(0..self.devices.len());
            let reading = self.devices[device].source.next();
            self.post(device, reading);
        }
    }

    /// The packets that may be sent at once.
    fn packets(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        if self.held {
            return bytes;
        }
        for (i, line) in self.lines.iter_mut().enumerate() {
            if let Some(letter) = line.letters.get(line.next).filter(|_| !line.in_flight) {
                line.in_flight = true;
                bytes.extend(publication(letter, u16::try_from(i + 1).unwrap()));
            }
        }
        bytes
    }

    fn acknowledged(&mut self, packet: u16) {
        let Some(line) = self.lines.get_mut(usize::from(packet) - 1) else { return };
        if std::mem::take(&mut line.in_flight)
            && let Some(letter) = line.letters.get_mut(line.next)
        {
            letter.acknowledged = Some(clock::nanos());
            line.next += 1;
        }
    }

    /// A connection ended: what was in flight is sent again.
    fn disconnected(&mut self) {
        for line in &mut self.lines {
            self.again += u64::from(std::mem::take(&mut line.in_flight));
        }
    }
}

async fn publish(port: u16, board: Arc<Mutex<Board>>) {
    loop {
        let broken = board.lock().unwrap().broken;
        // An error is a connection that ended; the next one is tried.
        drop(connection(port, &board, broken).await);
        board.lock().unwrap().disconnected();
        tokio::time::sleep(Duration::from_millis(40)).await;
        board.lock().unwrap().measure();
    }
}

async fn connection(port: u16, board: &Mutex<Board>, broken: u64) -> std::io::Result<()> {
    let mut socket = TcpStream::connect(("127.0.0.1", port)).await?;
    socket.set_nodelay(true)?;
    socket.write_all(&greeting()).await?;
    let mut answer = [0; 4];
    tokio::time::timeout(ANSWER, socket.read_exact(&mut answer)).await??;
    let (mut reader, mut writer) = socket.split();
    let mut beat = tokio::time::interval(BEAT);
    beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let (mut received, mut chunk) = (Vec::new(), [0; 4_096]);
    loop {
        let read = tokio::select! {
            read = reader.read(&mut chunk) => Some(read?),
            _ = beat.tick() => None,
        };
        let out = {
            let mut board = board.lock().unwrap();
            if board.broken != broken {
                return Ok(());
            }
            match read {
                Some(0) => return Ok(()),
                Some(length) => {
                    received.extend_from_slice(&chunk[..length]);
                    take_answers(&mut received, &mut board);
                }
                None => board.measure(),
            }
            board.packets()
        };
        if !out.is_empty() {
            tokio::time::timeout(ANSWER, writer.write_all(&out)).await??;
        }
    }
}

/// Takes the whole PUBACKs off the front; to this client nothing else comes.
fn take_answers(received: &mut Vec<u8>, board: &mut Board) {
    let whole = received.len() / 4 * 4;
    for answer in received.drain(..whole).as_slice().chunks(4) {
        if answer[0] == 0x40 {
            board.acknowledged(u16::from_be_bytes([answer[2], answer[3]]));
        }
    }
}

/// CONNECT of MQTT 3.1.1: a clean session, and no keep-alive.
fn greeting() -> Vec<u8> {
    let id = b"torture-publisher";
    let mut packet = vec![0x10, u8::try_from(12 + id.len()).unwrap()];
    packet.extend([0, 4, b'M', b'Q', b'T', b'T', 4, 0x02, 0, 0, 0]);
    packet.push(u8::try_from(id.len()).unwrap());
    packet.extend(id);
    packet
}

/// PUBLISH with QoS 1.
fn publication(letter: &Letter, packet: u16) -> Vec<u8> {
    let length = 2 + letter.topic.len() + 2 + letter.payload.len();
    let mut bytes = vec![0x32];
    let mut rest = length;
    while rest > 0x7f {
        bytes.push(u8::try_from(rest & 0x7f).unwrap() | 0x80);
        rest >>= 7;
    }
    bytes.push(u8::try_from(rest).unwrap());
    bytes.extend(u16::try_from(letter.topic.len()).unwrap().to_be_bytes());
    bytes.extend(letter.topic.as_bytes());
    bytes.extend(packet.to_be_bytes());
    bytes.extend(letter.payload.as_bytes());
    bytes
}
