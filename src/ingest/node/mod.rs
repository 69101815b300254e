//! The node's own metrics: a sample of the machine becomes one message a stream.
//!
//! Everything is read from the kernel's files under configurable roots, so that a container sees
//! its host and a test sees a fixture. What the machine does not offer is NULL; nothing here fails.

mod cgroup;
mod cpu;
mod disk;
mod diskio;
mod machine;
mod net;
mod rate;
mod root;
mod row;
mod temperature;

use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use crate::clock::Clock;
use crate::ingest::Error;
use crate::model::message::{Message, NODE_SOURCE};
use crate::model::node::NODE_STREAMS;
use crate::model::time::{Mono, Now, span_text};
use crate::tasks::{self, Stop};
use root::Roots;
use row::Row;

/// How the node's metrics are read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Whether they are read at all. Default: true. Without them, rules over `node…` streams never
    /// see a row.
    pub enabled: bool,
    /// The time between two samples, at least 1s. Default: 10s. Shares and rates are those of one
    /// interval: a shorter one sees shorter peaks, and costs more.
    #[serde(with = "span_text")]
    pub interval: Duration,
    /// Where the kernel's process files are. Default: `/proc`. In a container, where the host's are
    /// mounted.
    pub proc_root: PathBuf,
    /// Where the kernel's device files are. Default: `/sys`. In a container, where the host's are
    /// mounted.
    pub sys_root: PathBuf,
    /// Where the file system's root is. Default: `/`. In a container, where the host's is mounted:
    /// without it the host's disks cannot be measured.
    pub host_root: PathBuf,
    /// Where the control groups are that the agent itself is in. Default: `/sys/fs/cgroup`. In a container too: its own,
    /// not the host's.
    pub cgroup_root: PathBuf,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            enabled: true,
            interval: Duration::from_secs(10),
            proc_root: "/proc".into(),
            sys_root: "/sys".into(),
            host_root: "/".into(),
            cgroup_root: "/sys/fs/cgroup".into(),
        }
    }
}

/// Takes samples, and remembers the one before for shares and rates.
#[derive(Debug)]
pub struct Collector {
    roots: Roots,
    source: Arc<str>,
    last: Option<Mono>,
    cpu: cpu::Cores,
    diskio: diskio::Devices,
    net: net::Interfaces,
    temperature: temperature::Sensors,
    group: cgroup::Group,
}

impl Collector {
    /// A collector that has seen nothing yet: its first sample has no shares and rates.
    pub fn new(config: &Config) -> Self {
        Self {
            roots: Roots::new(config),
            source: NODE_SOURCE.into(),
            last: None,
            cpu: cpu::Cores::default(),
            diskio: diskio::Devices::default(),
            net: net::Interfaces::default(),
            temperature: temperature::Sensors::default(),
            group: cgroup::Group::default(),
        }
    }

    /// A sample: one message for each of [`NODE_STREAMS`], in their order. Each holds a JSON array
    /// of objects with exactly the stream's columns.
    pub fn collect(&mut self, now: Now) -> Vec<Message> {
        let span = self.last.replace(now.mono).map(|last| now.mono.since(last)).unwrap_or_default();
        let (total, cores) = self.cpu.sample(&self.roots);
        NODE_STREAMS
            .iter()
            .map(|stream| {
                let rows = match stream.name {
                    "node" => vec![machine::row(&self.roots, &total, cores.len())],
                    "node_cpu" => cores.iter().map(cpu::Core::row).collect(),
                    "node_disk" => disk::rows(&self.roots),
                    "node_diskio" => self.diskio.sample(&self.roots, span),
                    "node_net" => self.net.sample(&self.roots, span),
                    "node_temp" => self.temperature.sample(&self.roots),
                    "node_agent" => self.group.sample(&self.roots, span),
                    _ => Vec::new(),
                };
                self.message(stream.topic, rows, now)
            })
            .collect()
    }

    fn message(&self, topic: &'static str, rows: Vec<Row>, now: Now) -> Message {
        let payload = serde_json::Value::Array(rows.into_iter().map(Row::into_json).collect());
        Message {
            source: self.source.clone(),
            topic: topic.into(),
            payload: Bytes::from(payload.to_string()),
            received: now.wall,
            retained: false,
            dup: false,
            qos: 0,
            properties: Box::default(),
            ack: None,
        }
    }
}

/// Starts to sample, at once and then every interval, until the stop is announced or nobody takes
/// the messages. A sample that cannot be handed on delays the next one; none is dropped.
///
/// Gives `None` where the configuration turns the metrics off.
///
/// # Errors
/// Where the system has no thread to give.
pub fn start(
    config: &Config,
    out: mpsc::Sender<Vec<Message>>,
    clock: Clock,
    stop: Stop,
) -> Result<Option<JoinHandle<()>>, Error> {
    if !config.enabled {
        return Ok(None);
    }
    let refused = |source| Error::Thread { name: NODE_SOURCE.to_owned(), source };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().map_err(refused)?;
    let mut collector = Collector::new(config);
    let interval = config.interval.max(Duration::from_secs(1));
    let run = async move {
        loop {
            let now = clock.now();
            let batch = collector.collect(now);
            tokio::select! {
                () = stop.stopped() => return,
                sent = out.send(batch) => if sent.is_err() { return },
            }
            tokio::select! {
                () = stop.stopped() => return,
                () = tokio::time::sleep(clock.until(now.mono.plus(interval))) => {}
            }
        }
    };
    let thread = tasks::thread(NODE_SOURCE, move || runtime.block_on(run)).map_err(refused)?;
    Ok(Some(thread))
}

#[cfg(test)]
mod tests;
