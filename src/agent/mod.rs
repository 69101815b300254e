//! The agent: the stages in the order of the stream, started, waited for, and stopped.
//!
//! Threads: one for each broker and one for the node's metrics, one for core and spool, and the
//! calling one, whose runtime carries the uplink, the rules' way in, and the local answers.
//! Stopping follows the stream: sources close, the core takes what they gave and makes it
//! durable, the uplink sends what it can, and then everything ends.

mod calendar;
pub mod casefile;
mod ceiling;
mod condition;
pub mod core;
mod driver;
pub mod drops;
mod evidence;
mod held;
mod local;
pub mod meter;
pub mod metrics;
mod outlet;
pub mod profile;
mod redelivery;
mod rules;
mod snapshot;
mod source;
pub mod status;
pub mod trouble;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{sleep, timeout};

use crate::clock::{self, Clock};
use crate::config::AgentConfig;
use crate::control::{self, Admitted, store};
use crate::engine;
use crate::ingest::{self, SourceStatus, mqtt::MqttSource};
use crate::model::kept::{Lane, Waiting};
use crate::model::label::Fingerprint;
use crate::model::link::{AgentReport, LinkStatus};
use crate::model::message::Message;
use crate::model::ranges::Ranges;
use crate::plan::Limits;
use crate::spool::{self, Loaded, Spool};
use crate::supervisor::Supervisor;
use crate::tasks::{self, Stop, StopSource};
use crate::uplink::{self, Identity, Port, Standing};
use crate::wire::record::TransitionRecord;

use self::core::Core;
use calendar::Calendar;
use driver::{Command, Driver, Lines, Spent};
use profile::Profile;
use status::{Detail, RefusedFile, RunningRules, Source, Status, Told};

/// The most bytes of transitions in a page of what waits.
const PAGE: usize = 1 << 20;

/// Batches of messages between sources and core. Few: what waits here is not yet durable, and a
/// full channel is what tells the sources to hold back.
const BATCHES: usize = 4;

/// How many windows that end together are closed before messages come next: well below a millisecond of work.
const AT_ONCE: usize = 256;

/// How long a stopping agent waits for each of its parts, and goes on sending what waits.
const FAREWELL: Duration = Duration::from_secs(3);

/// How long a stop takes at most: less than the ten seconds after which container runtimes kill by default.
const STOPS_WITHIN: Duration = Duration::from_secs(8);

/// Why the agent cannot run, or cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The state directory cannot be made.
    #[error(
        "make the state directory {path}: {source}; set `agent.state_dir` to a place that the agent may write to"
    )]
    StateDir {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The spool.
    #[error(transparent)]
    Spool(#[from] spool::Error),
    /// A source.
    #[error(transparent)]
    Ingest(#[from] ingest::Error),
    /// The uplink.
    #[error(transparent)]
    Uplink(#[from] uplink::Error),
    /// An address cannot be listened on.
    #[error("listen on {address}: {source}; is another agent running?")]
    Listen {
        /// The address or socket.
        address: String,
        /// Why.
        source: io::Error,
    },
    /// The system refused a thread.
    #[error("start a thread: {0}")]
    Thread(#[from] io::Error),
    /// The core's thread is gone without a word.
    #[error("the core's thread ended; its last words are in the log")]
    CoreGone,
}

/// Runs an agent until `stop`.
///
/// # Errors
/// What keeps it from starting, and failures of the spool, without which it must not go on.
pub async fn run(config: AgentConfig, clock: Clock, stop: Stop) -> Result<(), Error> {
    let agent: Arc<str> = config.agent.id.as_str().into();
    let boot_id: Arc<str> = format!("{:032x}", fastrand::u128(..)).into();
    tracing::info!(%agent, version = env!("CARGO_PKG_VERSION"), state = %config.agent.state_dir.display(), "agent starts");
    let state_dir = &config.agent.state_dir;
    if let Err(source) = std::fs::create_dir_all(state_dir)
        && spool::Trouble::of(&source).is_none()
    {
        return Err(Error::StateDir { path: state_dir.clone(), source });
    }
    let (spool, loaded) = Spool::open_or_stand_in(&config.spool_path(), &config.spool, clock::spool_time())?;

    let (messages, from_sources) = mpsc::channel(BATCHES);
    let sources = start_sources(&config, &loaded, &messages, clock, &stop)?;
    let (commands, from_others) = mpsc::channel(64);
    let (newest, newest_seen) = watch::channel(0);
    let (disk, disk_seen) = watch::channel(false);
    let (drained, has_drained) = oneshot::channel();
    let lines = Lines {
        messages: from_sources,
        commands: from_others,
        acks: sources.brokers.iter().map(|s| s.acks.clone()).collect(),
        filters: sources.brokers.iter().map(|s| (s.name.to_string(), s.filters.clone())).collect(),
        newest,
        disk,
        drained: Some(drained),
    };
    let limits = limits(&config);
    let core = Core::new(agent.clone(), limits);
    let (link, link_seen) = watch::channel(LinkStatus::default());
    let calendar = Calendar::new(clock, link_seen.clone());
    let settings = (&config.spool, config.hub.urgent.clone());
    let mut driver = Driver::new(core, spool, settings, (clock, calendar), boot_id.clone(), lines);
    driver.recover(kept_rules(&loaded), loaded)?;
    let (core_thread, mut core_ended) = start_core(driver)?;

    // The uplink outlives the stop by a farewell, so it has a stop of its own.
    let (uplink_stops, uplink_stop) = StopSource::new();
    let (desired, wanted) = mpsc::channel(4);
    let (reports, to_hub) = mpsc::channel(16);
    let (refused, refused_seen) = watch::channel(Vec::new());
    let (report, report_seen) = watch::channel(AgentReport::default());
    let watcher = Arc::new(Watcher {
        agent: agent.clone(),
        boot_id: boot_id.clone(),
        clock,
        sources: sources.brokers.iter().map(|s| s.status.clone()).collect(),
        link: link_seen.clone(),
        refused: refused_seen,
        commands: commands.clone(),
    });
    let (requests, asked) = mpsc::channel(16);
    let port = Port {
        requests,
        rules: desired,
        newest: newest_seen.clone(),
        reports: to_hub,
        status: report_seen,
        link,
    };
    let identity =
        Identity { agent: agent.clone(), boot_id, labels: config.agent.labels.clone().into_iter().collect() };
    let directory = config.rules.directory.clone();
    let rules = rules::Rules {
        agent: agent.clone(),
        limits,
        directory,
        desired: wanted,
        reports,
        commands: commands.clone(),
        refused,
    };

    let mut uplink =
        tasks::spawn("uplink", uplink::run(config.hub.clone(), identity, port, clock, uplink_stop.clone()));
    let mut others = vec![
        tasks::spawn("requests", forward(asked, commands.clone())),
        // It holds the channel for reports, which the uplink takes for the agent itself.
        tasks::spawn("rules", rules.run(uplink_stop.clone())),
        tasks::spawn("connected", watch_sources(watcher.sources.clone(), commands.clone(), stop.clone())),
        tasks::spawn(
            "report",
            reporting(watcher.clone(), report, (config.hub.status_interval, disk_seen), uplink_stop.clone()),
        ),
        tasks::spawn("open-until-stop", hold_open(messages, stop.clone())),
    ];
    others.extend(start_local(&config, &watcher, &uplink_stop).await?);
    let supervisor = Arc::new(Supervisor::of_environment());
    others.push(tasks::spawn(
        "watchdog",
        feed(supervisor.clone(), watcher.clone(), stop.clone(), uplink_stop.clone()),
    ));
    drop((commands, watcher));
    supervisor.tell("READY=1");

    let ended = tokio::select! {
        () = stop.stopped() => Ok(()),
        ended = &mut core_ended => Err(ended.unwrap_or(Err(Error::CoreGone))),
        failed = &mut uplink => Err(failed.map_err(|_| Error::CoreGone).and_then(|r| r.map_err(Error::from))),
    };
    match ended {
        Ok(()) => {}
        // Nothing can be made durable any more, or nothing can ever be sent: say so and go.
        Err(why) => return why,
    }
    tracing::info!("agent stops");
    supervisor.tell("STOPPING=1");
    let deadline = clock.mono().plus(STOPS_WITHIN);
    let patience = || FAREWELL.min(clock.until(deadline));
    if timeout(patience(), has_drained).await.is_err() {
        tracing::warn!("sources still busy at the stop; what they hold is delivered again at the next start");
    }
    farewell(&newest_seen, &link_seen, patience()).await;
    uplink_stops.stop();
    let last = async {
        drop(uplink.await);
        for task in others {
            drop(task.await);
        }
        core_ended.await
    };
    let ended = timeout(patience(), last).await;
    join(sources, core_thread, patience()).await;
    ended.map_or(Ok(()), |ended| ended.unwrap_or(Err(Error::CoreGone)))
}

/// The bounds of the stages, as the configuration has them.
fn limits(config: &AgentConfig) -> self::core::Limits {
    let evidence = &config.evidence;
    let limits = self::core::Limits::default();
    let kept = if evidence.readings == 0 { 0 } else { evidence.max_bytes };
    let nanos: Option<fn() -> u64> = Some(clock::nanos);
    let engine = engine::Config { nanos, evidence: kept, spread: AT_ONCE, ..limits.engine };
    self::core::Limits {
        engine,
        evidence: evidence.readings,
        downtime: config.rules.downtime,
        rate: config.alerts.max_per_minute,
        lost_after: config.alerts.source_lost_after,
        ..limits
    }
}

/// Everything that gives messages.
struct Sources {
    brokers: Vec<MqttSource>,
    node: Option<JoinHandle<()>>,
}

fn start_sources(
    config: &AgentConfig,
    loaded: &Loaded,
    messages: &mpsc::Sender<Vec<Message>>,
    clock: Clock,
    stop: &Stop,
) -> Result<Sources, Error> {
    let mut brokers = Vec::new();
    for (i, broker) in config.brokers.iter().enumerate() {
        let broker = broker.clone();
        let index = u16::try_from(i).unwrap_or(u16::MAX);
        // What is left of its messages is of a session that the broker should still have.
        let resumes = loaded.seen.iter().any(|seen| *seen.source == *broker.name);
        let of = (index, resumes);
        brokers.push(ingest::mqtt::start(broker, of, Vec::new(), messages.clone(), clock, stop.clone())?);
    }
    let node = ingest::node::start(&config.node, messages.clone(), clock, stop.clone())?;
    Ok(Sources { brokers, node })
}

/// The rule sets that ran last, compiled again.
fn kept_rules(loaded: &Loaded) -> Vec<Admitted> {
    let admit = |(name, body): &(Arc<str>, Vec<u8>)| {
        let Some(stored) = store::decode(body) else {
            tracing::error!(ruleset = %name, "the kept rule set cannot be read; it does not run until it is pushed again");
            return None;
        };
        match control::admit(name, stored.origin, stored.revision, &stored.items, None, &Limits::default()) {
            Ok(admitted) => Some(admitted),
            Err(report) => {
                let first = report.diagnostics.first().map(ToString::to_string);
                tracing::error!(ruleset = %name, first, "this version refuses the kept rule set; it does not run");
                None
            }
        }
    };
    loaded.rulesets.iter().filter_map(admit).collect()
}

type CoreEnd = oneshot::Receiver<Result<(), Error>>;

fn start_core(driver: Driver) -> Result<(JoinHandle<()>, CoreEnd), Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    let (ending, ended) = oneshot::channel();
    let thread = tasks::thread("core", move || {
        let end = runtime.block_on(driver.run());
        drop(ending.send(end.map_err(Error::from)));
    })?;
    Ok((thread, ended))
}

async fn start_local(
    config: &AgentConfig,
    watcher: &Arc<Watcher>,
    stop: &Stop,
) -> Result<Vec<tokio::task::JoinHandle<()>>, Error> {
    let path = config.socket_path();
    let failed = |address: String| move |source| Error::Listen { address, source };
    let mut started = vec![match local::bind_socket(&path) {
        Ok(socket) => tasks::spawn("status", local::serve_socket(socket, watcher.clone(), stop.clone())),
        // It comes when the disk takes it.
        Err(error) if spool::Trouble::of(&error).is_some() => {
            tracing::warn!(%error, path = %path.display(), "the disk takes no socket: `weir status` has to wait");
            tasks::spawn("status", local::serve_socket_later(path, watcher.clone(), stop.clone()))
        }
        Err(error) => return Err(failed(path.display().to_string())(error)),
    }];
    if let Some(address) = config.listen.http {
        let listener = local::bind_http(address).await.map_err(failed(address.to_string()))?;
        started.push(tasks::spawn("http", local::serve_http(listener, watcher.clone(), stop.clone())));
    }
    Ok(started)
}

/// Hands the uplink's questions to the core.
async fn forward(mut asked: mpsc::Receiver<uplink::Request>, commands: mpsc::Sender<Command>) {
    while let Some(request) = asked.recv().await {
        if commands.send(Command::Uplink(request)).await.is_err() {
            return;
        }
    }
}

/// Keeps the core's input open until the stop, also where there is no source at all.
async fn hold_open(messages: mpsc::Sender<Vec<Message>>, stop: Stop) {
    stop.stopped().await;
    drop(messages);
}

/// Tells the core which brokers are connected. Silence is counted in seconds, so looking a few times a second is
/// as good as being told.
async fn watch_sources(
    sources: Vec<watch::Receiver<SourceStatus>>,
    commands: mpsc::Sender<Command>,
    stop: Stop,
) {
    let mut told: Vec<Option<bool>> = vec![None; sources.len()];
    loop {
        // Most brokers are there soon: at the start they are given this time too.
        tokio::select! {
            () = sleep(Duration::from_millis(200)) => {}
            () = stop.stopped() => return,
        }
        for (source, told) in sources.iter().zip(&mut told) {
            let (name, connected, why) = {
                let status = source.borrow();
                let why = status.error.as_deref().filter(|_| !status.connected);
                (Arc::from(status.name.as_str()), status.connected, why.map(Arc::from))
            };
            if *told != Some(connected) {
                *told = Some(connected);
                if commands.send(Command::Connected(name, connected, why)).await.is_err() {
                    return;
                }
            }
        }
    }
}

/// Makes the periodic report, and one at once where the disk begins or ceases to take nothing.
async fn reporting(
    watcher: Arc<Watcher>,
    report: watch::Sender<AgentReport>,
    (every, mut disk): (Duration, watch::Receiver<bool>),
    stop: Stop,
) {
    // The first one soon: the hub should not wait a whole interval for an agent's first figures.
    let mut wait = Duration::from_secs(1).min(every);
    loop {
        tokio::select! {
            () = sleep(wait) => {}
            Ok(()) = disk.changed() => {}
            () = stop.stopped() => return,
        }
        wait = every;
        let status = watcher.status_in(Detail::Sets).await;
        let (Some(status), Some(standing)) = (status, watcher.standing().await) else {
            return;
        };
        report.send_replace(status.report(standing.running));
    }
}

/// Feeds the service manager's watchdog until the end.
async fn feed(supervisor: Arc<Supervisor>, watcher: Arc<Watcher>, stop: Stop, end: Stop) {
    supervisor.feed(|| watcher.lives(&stop), end).await;
}

/// Waits until the hub has everything, as long as a link stands and time is left.
async fn farewell(newest: &watch::Receiver<u64>, link: &watch::Receiver<LinkStatus>, patience: Duration) {
    let sent = async {
        loop {
            let (connected, committed) = {
                let link = link.borrow();
                (link.connected, link.committed)
            };
            if !connected || committed >= *newest.borrow() {
                return;
            }
            sleep(Duration::from_millis(20)).await;
        }
    };
    if timeout(patience, sent).await.is_err() {
        tracing::warn!("alerts still wait for the hub; they are sent after the next start");
    }
}

/// Waits for the threads. Their work is done; what is left is their end.
async fn join(sources: Sources, core: JoinHandle<()>, patience: Duration) {
    let threads = sources.brokers.into_iter().map(|s| s.thread).chain(sources.node).chain([core]);
    let threads: Vec<JoinHandle<()>> = threads.collect();
    let joined = tasks::spawn_blocking(move || {
        for thread in threads {
            // A panic of a thread has told its message already.
            drop(thread.join());
        }
    });
    if timeout(patience, joined).await.is_err() {
        tracing::warn!("a thread does not end; leaving it");
    }
}

/// Puts the whole status together from everybody's own.
#[derive(Debug)]
struct Watcher {
    agent: Arc<str>,
    boot_id: Arc<str>,
    clock: Clock,
    sources: Vec<watch::Receiver<SourceStatus>>,
    link: watch::Receiver<LinkStatus>,
    refused: watch::Receiver<Vec<RefusedFile>>,
    commands: mpsc::Sender<Command>,
}

impl Watcher {
    /// The status; `None` where the core is gone.
    async fn status(&self) -> Option<Status> {
        self.status_in(Detail::Rules).await
    }

    async fn status_in(&self, detail: Detail) -> Option<Status> {
        let core = *self.ask(|reply| Command::Status(detail, reply)).await?;
        Some(Status {
            agent: self.agent.to_string(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            boot_id: self.boot_id.to_string(),
            uptime_seconds: self.clock.uptime().as_secs(),
            rss_bytes: resident_bytes(),
            sources: self.sources.iter().map(|s| Source::from(&*s.borrow())).collect(),
            link: self.link.borrow().clone(),
            core,
            refused_files: self.refused.borrow().clone(),
        })
    }

    /// The rule sets that run; `None` where the core is gone.
    async fn rules(&self) -> Option<Vec<RunningRules>> {
        let mut rules = Vec::new();
        for name in self.ask(Command::Sets).await?.into_keys() {
            let bytes = self.ask(|reply| Command::Texts(name.clone(), reply)).await?;
            // A set that went in between has no texts.
            let stored = bytes.and_then(|bytes| store::decode(&bytes));
            rules.extend(stored.map(|stored| RunningRules::new(&name, &stored.items)));
        }
        Some(rules)
    }

    /// The alerts; `None` where the core is gone.
    async fn alerts(&self) -> Option<status::Alerts> {
        let core = *self.ask(|reply| Command::Status(Detail::Alerts, reply)).await?;
        Some(status::Alerts {
            agent: self.agent.to_string(),
            at: clock::wall().to_string(),
            waiting: core.spool.waiting,
            link: self.link.borrow().clone(),
            alerts: core.alerts,
        })
    }

    /// The newest transitions, at most so many, newest first; `None` where the core is gone.
    async fn history(&self, most: usize) -> Option<Vec<Told>> {
        let past = self.ask(|reply| Command::History(most, reply)).await?;
        let told = |(seq, body): &(u64, Vec<u8>)| {
            let wire = uplink::decode(*seq, body)?;
            let told = TransitionRecord::from_wire(&self.agent, past.epoch, wire, None);
            Some(Told { acknowledged: past.acknowledged.contains(*seq), told })
        };
        Some(past.told.iter().filter_map(told).collect())
    }

    /// What waits for the hub behind a number, at most so many; `None` where the core is gone.
    async fn waiting(&self, after: u64, count: usize) -> Option<status::Waiting> {
        let core = *self.ask(|reply| Command::Status(Detail::Sets, reply)).await?;
        let epoch = self.standing().await?.epoch;
        let (lane, skip, upto) = (Lane::Both, Ranges::up_to(after), u64::MAX);
        let peek = |reply| uplink::Request::Peek { lane, skip, upto, count, bytes: PAGE, reply };
        let found = self.ask(|reply| Command::Uplink(peek(reply))).await?;
        let census = self.ask(Command::Census).await?;
        let record = |row: &Waiting| {
            Some(TransitionRecord::from_wire(&self.agent, epoch, uplink::decode(row.seq, &row.body)?, None))
        };
        Some(status::Waiting {
            agent: self.agent.to_string(),
            running: true,
            at: clock::wall().to_string(),
            link: self.link.borrow().clone(),
            spool: core.spool,
            census,
            disk: core.disk,
            epoch: format!("{epoch:016x}"),
            given_up: found.evicted,
            page: found.rows.iter().filter_map(record).collect(),
        })
    }

    /// Ends an alert by hand; says whether there was one that is up. `None` where the core is gone.
    async fn resolve(&self, fingerprint: Fingerprint, why: &str) -> Option<bool> {
        self.ask(|reply| Command::Resolve(fingerprint, why.into(), reply)).await
    }

    /// Where the time went; `None` where the core is gone.
    async fn profile(&self) -> Option<Profile> {
        let Spent { messages, stages } = self.ask(Command::Spent).await?;
        Some(Profile::of(self.clock, messages, &stages))
    }

    /// Whether core, sources and uplink are all there, and the core answers.
    async fn lives(&self, stop: &Stop) -> bool {
        // Sources go first when the agent stops.
        let sources = stop.is_stopped() || self.sources.iter().all(|source| source.has_changed().is_ok());
        sources && self.link.has_changed().is_ok() && self.ask(Command::Alive).await.is_some()
    }

    async fn standing(&self) -> Option<Standing> {
        self.ask(|reply| Command::Uplink(uplink::Request::Standing(reply))).await
    }

    async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(command(reply)).await.ok()?;
        answer.await.ok()
    }
}

/// Resident memory of this process.
fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|l| l.trim().trim_end_matches("kB").trim().parse::<u64>().ok());
    kib.unwrap_or(0) * 1_024
}

#[cfg(test)]
mod tests;
