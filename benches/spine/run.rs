//! One measurement: a fresh broker, one reader, one load.

use std::path::Path;
use std::time::Duration;

use weir::clock::Clock;
use weir::tasks;

use super::process::{Memory, Process};
use super::publisher::{Packets, Publisher};
use super::reader::{Reader, Subject};
use super::recording::Recording;
use super::support::mosquitto::{Mosquitto, Options};
use super::support::within;

/// Between two breaches, so that each finds an idle system.
const IDLE: Duration = Duration::from_millis(20);

/// What is published.
pub(crate) struct Load {
    pub(crate) name: &'static str,
    pub(crate) qos: u8,
    pub(crate) messages: usize,
    /// Messages a second from one publisher; `None`: from one a device, as fast as the broker takes them.
    pub(crate) rate: Option<u64>,
}

/// What came of it.
pub(crate) struct Run {
    pub(crate) load: &'static str,
    pub(crate) subject: Subject,
    pub(crate) qos: u8,
    pub(crate) offered: u64,
    pub(crate) received: u64,
    pub(crate) seconds: f64,
    pub(crate) cpu_nanos: u64,
    pub(crate) broker_cpu_nanos: u64,
    pub(crate) memory: Memory,
    pub(crate) transitions: usize,
}

/// Publishes a load and waits until the reader has it.
pub(crate) async fn load(subject: Subject, program: &Path, load: &Load, recording: &Recording) -> Run {
    let packets = recording.packets(load.messages, load.qos, load.rate.is_none());
    let (broker, mut reader) = start(subject, program).await;
    let publishers: Vec<(Publisher, Packets)> = packets
        .into_iter()
        .enumerate()
        .map(|(i, packets)| (Publisher::connect(broker.port(), &format!("publisher-{i}")), packets))
        .collect();
    let mut last = Publisher::connect(broker.port(), "last");
    let processes = [reader.process(), of(&broker)];
    let before = processes.map(Process::cpu_nanos);
    let clock = Clock::start();
    let rate = load.rate;
    let threads: Vec<_> = publishers
        .into_iter()
        .map(|(mut publisher, packets)| {
            tasks::thread("publisher", move || publisher.publish(&packets, rate)).unwrap()
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    last.publish(&probe("last", 100), None);
    reader.seen("last").await;
    let seconds = clock.uptime().as_secs_f64();
    let after = processes.map(Process::cpu_nanos);
    Run {
        load: load.name,
        subject,
        qos: load.qos,
        offered: load.messages as u64,
        memory: processes[0].memory(),
        received: reader.received().await,
        seconds,
        cpu_nanos: after[0] - before[0],
        broker_cpu_nanos: after[1] - before[1],
        transitions: reader.transitions().await,
    }
}

/// Crosses a line and comes back, so often. Microseconds from the publication of each crossing to its sign,
/// sorted.
pub(crate) async fn breaches(subject: Subject, program: &Path, count: usize) -> Vec<u64> {
    let (broker, mut reader) = start(subject, program).await;
    let mut publisher = Publisher::connect(broker.port(), "probe");
    let clock = Clock::start();
    let mut micros = Vec::with_capacity(count);
    for _ in 0..count {
        for v in [100, 0] {
            let packets = probe("probe", v);
            tokio::time::sleep(IDLE).await;
            let published = clock.mono();
            publisher.publish(&packets, None);
            reader.seen("probe").await;
            if v > 0 {
                micros.push(clock.mono().micros() - published.micros());
            }
        }
    }
    micros.sort_unstable();
    micros
}

async fn start(subject: Subject, program: &Path) -> (Mosquitto, Reader) {
    // What the broker would write to its log costs more than the messages.
    let broker = Mosquitto::with(&Options { extra: "log_type none\n", ..Options::default() });
    let mut reader = Reader::start(subject, program, &broker).await;
    let mut publisher = Publisher::connect(broker.port(), "ready");
    within("the subscription", async {
        loop {
            publisher.publish(&probe("ready", 100), None);
            let patience = Duration::from_millis(100);
            if tokio::time::timeout(patience, reader.seen("ready")).await.is_ok() {
                return;
            }
        }
    })
    .await;
    (broker, reader)
}

fn of(broker: &Mosquitto) -> Process {
    Process(broker.child.as_ref().expect("it runs").id())
}

fn probe(name: &str, v: u32) -> Packets {
    Packets::one(&format!("bench/{name}"), &format!("{{\"v\": {v}}}"))
}
