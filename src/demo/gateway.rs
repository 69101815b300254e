//! The demo's agent: the real one, with a configuration of its own, on a thread of its own. The
//! demo knows no more of it than `weir status` does.

use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::io::AsyncReadExt;
use tokio::net::UnixStream;
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::agent::{self, status::Status};
use crate::clock::Clock;
use crate::config::{Agent, AgentConfig};
use crate::ingest::{self, BrokerConfig};
use crate::tasks::{self, StopSource};
use crate::uplink;

/// Its id.
pub(super) const AGENT: &str = "gateway-1";
/// The name of its broker.
const BROKER: &str = "site";

const NODE_INTERVAL: Duration = Duration::from_secs(2);
/// What the page shows of the agent's figures is at most this old. A report costs about a
/// kilobyte, and counts as sent.
const STATUS_INTERVAL: Duration = Duration::from_secs(20);
const ANSWER: Duration = Duration::from_secs(2);

/// The running agent.
pub(super) struct Gateway {
    socket: PathBuf,
    stop: StopSource,
    ended: oneshot::Receiver<Result<(), agent::Error>>,
    _thread: JoinHandle<()>,
}

/// What the agent is told.
pub(super) struct Given<'a> {
    /// Where its state lies.
    pub(super) dir: &'a Path,
    /// Its broker.
    pub(super) broker: &'a str,
    /// Where the hub listens for agents.
    pub(super) hub: String,
    /// Its token at the hub.
    pub(super) token: &'a str,
}

impl Gateway {
    pub(super) fn start(given: &Given<'_>, clock: Clock) -> Result<Self> {
        let config = configure(given)?;
        let socket = config.socket_path();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("start the agent's runtime")?;
        let (stop, heard) = StopSource::new();
        let (ending, ended) = oneshot::channel();
        let thread = tasks::thread("agent", move || {
            let end = runtime.block_on(agent::run(config, clock, heard));
            drop(ending.send(end));
        })?;
        Ok(Self { socket, stop, ended, _thread: thread })
    }

    /// Where `weir status` finds it.
    pub(super) fn socket(&self) -> &Path {
        &self.socket
    }

    /// What it does, as it tells anybody who asks.
    ///
    /// # Errors
    /// Where it does not answer; with its own words where it has ended.
    pub(super) async fn status(&mut self) -> Result<Status> {
        if let Ok(end) = self.ended.try_recv() {
            end.context("run the agent")?;
            bail!("the agent has stopped");
        }
        let mut answer = Vec::new();
        let asked = async { UnixStream::connect(&self.socket).await?.read_to_end(&mut answer).await };
        timeout(ANSWER, asked)
            .await
            .context("ask the agent: it does not answer")?
            .context("ask the agent")?;
        serde_json::from_slice(&answer).context("understand the agent's answer")
    }

    /// Stops it in order. What it does not finish within `patience` it would finish at its next
    /// start.
    pub(super) async fn stop(self, patience: Duration) -> Result<()> {
        self.stop.stop();
        match timeout(patience, self.ended).await {
            Ok(Ok(end)) => end.context("stop the agent"),
            Ok(Err(_)) => bail!("the agent ended without a word"),
            Err(_) => {
                tracing::warn!("the agent takes long to stop; leaving it");
                Ok(())
            }
        }
    }
}

fn configure(given: &Given<'_>) -> Result<AgentConfig> {
    std::fs::create_dir_all(given.dir).with_context(|| format!("make {}", given.dir.display()))?;
    let token_file = given.dir.join("token");
    super::place::write_private(&token_file, given.token)?;
    let mut broker = BrokerConfig::new(BROKER, given.broker);
    // A session that ends with the demo: a broker of somebody else keeps nothing of it.
    broker.client_id = Some(format!("weir-demo-{:08x}", fastrand::u32(..)));
    broker.session_expiry = Duration::ZERO;
    let config = AgentConfig {
        agent: Agent {
            id: AGENT.to_owned(),
            labels: [("site".to_owned(), "demo".to_owned())].into(),
            state_dir: given.dir.to_owned(),
            ..Agent::default()
        },
        brokers: vec![broker],
        node: ingest::node::Config { interval: NODE_INTERVAL, ..ingest::node::Config::default() },
        hub: uplink::Config {
            url: given.hub.clone(),
            token_file: Some(token_file),
            status_interval: STATUS_INTERVAL,
            ..uplink::Config::default()
        },
        ..AgentConfig::default()
    };
    Ok(config.checked()?)
}
