//! A query over live topics: brokers, and the node's own metrics.
#![expect(clippy::print_stderr, reason = "a verb of the command line tells how things stand")]

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, timeout};

use crate::clock::Clock;
use crate::config::AgentConfig;
use crate::ingest::mqtt::{self, MqttSource};
use crate::ingest::{self, BrokerConfig, MqttVersion, SourceStatus};
use crate::model::message::Message;
use crate::model::stream::StreamSpec;
use crate::model::topic::minimal_cover;
use crate::tasks::{self, Stop, StopSource};

use super::pipeline::Pipeline;
use super::rows::Printer;
use crate::cli::signal::stop_on_signal;

/// Batches of messages between a broker and the query.
const BATCHES: usize = 4;

/// How often connections are looked at.
const LOOK: Duration = Duration::from_millis(100);

/// How long the end of a connection is waited for.
const FAREWELL: Duration = Duration::from_millis(500);

/// What is read from.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Broker")]
pub(super) struct Options {
    /// A broker to read from
    #[arg(long, short, value_name = "mqtt://HOST:PORT", conflicts_with_all = ["input", "config"])]
    broker: Option<String>,
    /// The user name at the broker
    #[arg(long, requires = "broker", value_name = "NAME")]
    username: Option<String>,
    /// A file with the password
    #[arg(long, requires = "username", value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// A PEM file with the certificates that may sign the broker's, for mqtts://
    #[arg(long, requires = "broker", value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// A PEM file with the client's certificate chain
    #[arg(long, requires = "key_file", value_name = "FILE")]
    cert_file: Option<PathBuf>,
    /// A PEM file with the client certificate's private key
    #[arg(long, requires = "cert_file", value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// The version of MQTT, `5` or `3.1.1`
    #[arg(long, requires = "broker", value_name = "VERSION", default_value = "5", value_parser = version)]
    mqtt: MqttVersion,
    /// The configuration of an agent, to read from its brokers
    #[arg(long, short, value_name = "FILE", conflicts_with = "input")]
    config: Option<PathBuf>,
    /// Only this one of the configuration's brokers
    #[arg(long, value_name = "NAME", requires = "config")]
    source: Option<String>,
}

fn version(text: &str) -> Result<MqttVersion, String> {
    match text {
        "5" => Ok(MqttVersion::V5),
        "3.1.1" => Ok(MqttVersion::V311),
        _ => Err("write `5` or `3.1.1`".to_owned()),
    }
}

impl Options {
    /// Whether there is one broker, so that streams need not say which they read.
    pub(super) fn is_one_broker(&self) -> bool {
        self.broker.is_some() || self.source.is_some()
    }

    /// The brokers to read from. Each is a client of its own, which leaves no session behind and
    /// takes no message away from anyone.
    ///
    /// # Errors
    /// A configuration that cannot be read, or has no such broker.
    pub(super) fn brokers(&self) -> Result<Vec<BrokerConfig>> {
        let mut brokers = match (&self.broker, &self.config) {
            (Some(url), _) => vec![BrokerConfig {
                version: self.mqtt,
                username: self.username.clone(),
                password_file: self.password_file.clone(),
                ca_file: self.ca_file.clone(),
                cert_file: self.cert_file.clone(),
                key_file: self.key_file.clone(),
                ..BrokerConfig::new("broker", url)
            }],
            (None, Some(config)) => self.configured(config)?,
            (None, None) => Vec::new(),
        };
        for broker in &mut brokers {
            broker.client_id = Some(format!("weir-query-{:08x}", fastrand::u32(..)));
            broker.session_expiry = Duration::ZERO;
            broker.qos = 0;
            broker.check()?;
        }
        Ok(brokers)
    }

    fn configured(&self, path: &Path) -> Result<Vec<BrokerConfig>> {
        let mut brokers = AgentConfig::load(path)?.brokers;
        let names: Vec<String> = brokers.iter().map(|broker| broker.name.clone()).collect();
        if let Some(source) = &self.source {
            brokers.retain(|broker| broker.name == *source);
            if brokers.is_empty() {
                bail!("no broker `{source}` in {}; there are {}", path.display(), names.join(", "));
            }
        }
        Ok(brokers)
    }
}

/// Runs the query until it is told to stop, or has given enough.
///
/// # Errors
/// A source that cannot start, output that cannot be written.
pub(super) fn run(
    brokers: Vec<BrokerConfig>,
    length: Option<Duration>,
    mut pipeline: Pipeline,
    printer: Printer,
) -> Result<ExitCode> {
    pipeline.seed();
    let clock = Clock::start();
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("start a runtime")?;
    let ended = runtime.block_on(async {
        let stop = stop_on_signal().context("listen to signals")?;
        let (ending, end) = StopSource::new();
        let (send, messages) = mpsc::channel(BATCHES);
        let streams: Vec<Arc<StreamSpec>> = pipeline.streams().cloned().collect();
        let sources = Sources::start(brokers, &streams, &send, clock, &end)?;
        drop(send);
        let mut query = Query { pipeline, printer, clock, messages, sources };
        let ended = query.run(stop, length).await;
        ending.stop();
        query.end().await;
        ended
    });
    runtime.shutdown_timeout(FAREWELL);
    ended.map(|()| ExitCode::SUCCESS)
}

struct Query {
    pipeline: Pipeline,
    printer: Printer,
    clock: Clock,
    messages: mpsc::Receiver<Vec<Message>>,
    sources: Sources,
}

enum Event {
    Messages(Vec<Message>),
    Look,
    Deadline,
    End,
}

impl Query {
    async fn run(&mut self, stop: Stop, length: Option<Duration>) -> Result<()> {
        let until = length.map(|length| self.clock.mono().plus(length));
        let mut out = Vec::new();
        loop {
            let due = self.pipeline.deadline();
            let wait = |due: Option<_>| due.map(|due| self.clock.until(due));
            let (deadline, over) = (wait(due), wait(until));
            let event = tokio::select! {
                biased;
                () = stop.stopped() => Event::End,
                () = pause(over) => Event::End,
                got = self.messages.recv() => got.map_or(Event::End, Event::Messages),
                () = pause(deadline) => Event::Deadline,
                () = sleep(LOOK) => Event::Look,
            };
            match event {
                Event::Messages(batch) => {
                    let now = self.clock.now();
                    batch.iter().for_each(|message| self.pipeline.live(message, now, &mut out));
                }
                Event::Deadline => self.pipeline.tick(self.clock.now(), &mut out),
                Event::Look => {
                    let connected = self.sources.look();
                    self.pipeline.connected(connected, self.clock.mono());
                }
                Event::End => return Ok(()),
            }
            if !self.printer.rows(&mut out)? {
                return Ok(());
            }
        }
    }

    async fn end(self) {
        let Self { pipeline, printer, messages, sources, .. } = self;
        drop(messages);
        for line in pipeline.counts(printer.given()) {
            eprintln!("weir: {line}");
        }
        let dropped = sources.dropped();
        if dropped > 0 {
            eprintln!("weir: {dropped} messages came faster than they could be shown, and were dropped");
        }
        sources.end().await;
    }
}

/// Waits that long; for ever where there is nothing to wait for.
async fn pause(wait: Option<Duration>) {
    match wait {
        Some(wait) => sleep(wait).await,
        None => std::future::pending().await,
    }
}

/// Everything that gives messages.
struct Sources {
    brokers: Vec<Broker>,
}

struct Broker {
    url: String,
    filters: String,
    source: MqttSource,
    /// What was told of it last.
    told: Option<String>,
}

impl Sources {
    fn start(
        configs: Vec<BrokerConfig>,
        streams: &[Arc<StreamSpec>],
        out: &mpsc::Sender<Vec<Message>>,
        clock: Clock,
        end: &Stop,
    ) -> Result<Self> {
        let mut brokers = Vec::new();
        for (index, config) in configs.into_iter().enumerate() {
            let reads = |spec: &&Arc<StreamSpec>| match &spec.source {
                Some(source) => **source == *config.name,
                None => true,
            };
            let filters = minimal_cover(streams.iter().filter(reads).map(|spec| spec.pattern.filter()));
            if filters.is_empty() {
                continue;
            }
            let (url, shown) = (config.url.clone(), filters.join(", "));
            let index = u16::try_from(index).unwrap_or(u16::MAX);
            let source = mqtt::start(config, (index, false), filters, out.clone(), clock, end.clone())?;
            brokers.push(Broker { url, filters: shown, source, told: None });
        }
        if streams.iter().any(|stream| super::is_of_node(stream)) {
            let config = ingest::node::Config { interval: Duration::from_secs(1), ..Default::default() };
            // Its thread ends with the stop, which the program does not wait for.
            drop(ingest::node::start(&config, out.clone(), clock, end.clone())?);
        }
        Ok(Self { brokers })
    }

    /// Tells what changed, and whether every broker is connected.
    fn look(&mut self) -> bool {
        for broker in &mut self.brokers {
            let Broker { url, filters, source, told } = broker;
            let status = source.status.borrow().clone();
            let state = match (status.connected, status.error) {
                (true, None) => format!("connected to {url}, reading {filters}"),
                (true, Some(why)) => format!("connected to {url}: {why}"),
                (false, Some(why)) => format!("not connected to {url}: {why}; trying again"),
                (false, None) => continue,
            };
            if told.as_ref() != Some(&state) {
                eprintln!("weir: {state}");
                *told = Some(state);
            }
        }
        self.statuses().all(|status| status.borrow().connected)
    }

    fn statuses(&self) -> impl Iterator<Item = &watch::Receiver<SourceStatus>> {
        self.brokers.iter().map(|broker| &broker.source.status)
    }

    fn dropped(&self) -> u64 {
        self.statuses().map(|status| status.borrow().counters.dropped).sum()
    }

    /// Takes leave of the brokers.
    async fn end(self) {
        let join = tasks::spawn_blocking(move || {
            for Broker { source: MqttSource { acks, filters, thread, .. }, .. } in self.brokers {
                // Nobody has anything to acknowledge: the thread need not wait for it.
                drop((acks, filters));
                // A panic of a thread has told its message already.
                drop(thread.join());
            }
        });
        drop(timeout(FAREWELL, join).await);
    }
}
