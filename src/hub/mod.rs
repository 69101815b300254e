//! The other side: one program that keeps agents, rule sets and alerts, pushes rules down the
//! sessions that agents dial, and passes every transition on. Shares vocabulary, language and
//! protocol with the agent, and nothing that runs on a device.
//!
//! `service` and `session` speak to agents, `rest` and the console to people, `cloudevents` to other programs;
//! each converts and calls. `inbox`, `reconcile` and `fleet` decide; `store` keeps. Nothing here is lost by a
//! crash: what was acknowledged is committed. Transitions are kept for ever.

mod ahead;
pub mod check;
pub mod cloudevents;
mod core;
mod drops;
mod events;
pub mod fleet;
pub mod inbox;
mod load;
mod metrics;
mod overview;
mod packed;
mod reconcile;
pub mod record;
mod rest;
mod service;
mod session;
mod sessions;
pub mod store;
mod tls;
pub mod tokens;

use std::future::IntoFuture;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use axum::serve::ListenerExt;
use futures_util::future::select_all;
use rustix::fs::{Access, access};
use serde::Deserialize;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinError, JoinHandle};
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Server, ServerTlsConfig};

use crate::clock::Clock;
use crate::supervisor::Supervisor;
use crate::tasks::{self, Stop, StopSource};
use crate::wire::v1::hub_server::HubServer;

use self::cloudevents::{Delivery, Target};
use self::core::Core;
use self::packed::Answers;
use self::service::Service;
use self::store::{Store, outbox};
use self::tls::{Identity, TlsListener};
use self::tokens::TokenDigest;

/// How long each step of a stop may take before the hub goes on without it.
const STEP: Duration = Duration::from_secs(5);

/// How often, and how long, an agent's end of a link is asked for a sign of life.
const KEEPALIVE_EVERY: Duration = Duration::from_secs(20);
const KEEPALIVE_WITHIN: Duration = Duration::from_secs(10);
/// What one agent may have in flight. Small: a batch of transitions fits, and ten thousand agents
/// must not be able to fill the memory.
const STREAM_WINDOW: u32 = 64 * 1024;
const CONNECTION_WINDOW: u32 = 128 * 1024;

/// What the hub is told when it starts.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where agents dial to. Any address but loopback needs TLS. Default: 127.0.0.1:7440.
    pub grpc_listen: SocketAddr,
    /// Where the API and the console are. Any address but loopback needs TLS. Default:
    /// 127.0.0.1:7441.
    pub http_listen: SocketAddr,
    /// Where the hub keeps everything. One hub a directory. Default: `$STATE_DIRECTORY`, else `/var/lib/weir-hub` where
    /// one may write there, else `~/.local/state/weir-hub`.
    pub data_dir: PathBuf,
    /// The certificate chain of both listeners, PEM. Default: none, which is plain text.
    pub tls_cert: Option<PathBuf>,
    /// Its key, PEM.
    pub tls_key: Option<PathBuf>,
    /// The file with the API's token; made with a random one if it is missing. Default:
    /// `api-token` in the data directory.
    pub api_token_file: Option<PathBuf>,
    /// The file of agents' tokens, lines of `agent sha256:<digest>`, `*` for any agent. Default:
    /// `agent-tokens` in the data directory.
    pub agent_tokens_file: Option<PathBuf>,
    /// Where transitions go as CloudEvents. Default: nowhere.
    pub targets: Vec<Target>,
    /// How many bytes of what agents sent may wait for the disk. Beyond it agents are asked to come back later: less costs
    /// time where the disk is slow, more costs memory, about three times as much. Default 64 MiB.
    pub most_waiting: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            grpc_listen: SocketAddr::from(([127, 0, 0, 1], 7440)),
            http_listen: SocketAddr::from(([127, 0, 0, 1], 7441)),
            data_dir: default_data_dir(),
            tls_cert: None,
            tls_key: None,
            api_token_file: None,
            agent_tokens_file: None,
            targets: Vec::new(),
            most_waiting: 64 << 20,
        }
    }
}

impl Config {
    /// Reads a configuration file, TOML.
    ///
    /// # Errors
    /// Where the file cannot be read or is no configuration.
    pub fn load(file: &Path) -> Result<Self, Error> {
        let bad = |why: String| Error::Config(format!("{}: {why}", file.display()));
        let text = std::fs::read_to_string(file).map_err(|error| bad(error.to_string()))?;
        toml::from_str(&text).map_err(|error| bad(error.to_string()))
    }

    /// Where the API's token is.
    pub fn api_token_path(&self) -> PathBuf {
        self.api_token_file.clone().unwrap_or_else(|| self.data_dir.join("api-token"))
    }

    /// Where the agents' tokens are.
    pub fn agent_tokens_path(&self) -> PathBuf {
        self.agent_tokens_file.clone().unwrap_or_else(|| self.data_dir.join("agent-tokens"))
    }

    fn identity(&self) -> Result<Option<Identity>, Error> {
        match (&self.tls_cert, &self.tls_key) {
            (Some(cert), Some(key)) => {
                Identity::read(cert, key).map(Some).map_err(|error| Error::Tls(error.to_string()))
            }
            (None, None) => {
                for addr in [self.grpc_listen, self.http_listen] {
                    if !addr.ip().is_loopback() {
                        return Err(Error::PlainText(addr));
                    }
                }
                Ok(None)
            }
            _ => Err(Error::Tls("a certificate and a key belong together; give both or neither".to_owned())),
        }
    }
}

/// Why the hub does not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration cannot be used.
    #[error("read the hub's configuration: {0}")]
    Config(String),
    /// Tokens would cross the network readably.
    #[error(
        "listen on {0} without TLS: tokens would cross the network in plain text; give a certificate and key, or listen on loopback"
    )]
    PlainText(SocketAddr),
    /// The certificate or key cannot be used.
    #[error("set up TLS: {0}")]
    Tls(String),
    /// The data directory or a file in it cannot be used.
    #[error("use {path}: {source}")]
    File {
        /// The file or directory.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// An address cannot be listened on.
    #[error("listen on {addr}: {source}; is another program using it?")]
    Listen {
        /// The address.
        addr: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// The database cannot be used.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// A listener failed while it ran.
    #[error("serve {0}")]
    Serve(String),
    /// A part of the hub ended by itself, without which the others are of no use.
    #[error("serve on: {0} ended before the hub was told to stop; start the hub again, its log says more")]
    Ended(&'static str),
}

/// A hub that runs.
#[derive(Debug)]
pub struct Running {
    /// Where agents dial to: the actual port, where 0 was asked for.
    pub grpc_addr: SocketAddr,
    /// Where the API and the console are.
    pub http_addr: SocketAddr,
    /// Whether both speak TLS.
    pub tls: bool,
    /// The API's token.
    pub api_token: String,
    /// Ends when the hub has stopped.
    pub join: JoinHandle<Result<(), Error>>,
}

/// Starts a hub on the current runtime. It listens when this returns, and stops in order when
/// `stop` says so.
///
/// # Errors
/// Where something it needs cannot be had; nothing is left running then.
pub async fn start(config: Config, clock: Clock, stop: Stop) -> Result<Running, Error> {
    // An error means that the process has chosen a provider already.
    drop(rustls::crypto::ring::default_provider().install_default());
    let identity = config.identity()?;
    distinct_names(&config.targets)?;
    let deliveries = config
        .targets
        .iter()
        .cloned()
        .map(Delivery::prepare)
        .collect::<Result<Vec<_>, _>>()
        .map_err(Error::Config)?;
    let file_error = |path: &Path| {
        let path = path.to_owned();
        move |source| Error::File { path, source }
    };
    std::fs::create_dir_all(&config.data_dir).map_err(file_error(&config.data_dir))?;
    let token_file = config.api_token_path();
    let api_token = tokens::api_token(&token_file).map_err(file_error(&token_file))?;
    let (grpc, grpc_addr) = listen(config.grpc_listen).await?;
    let (http, http_addr) = listen(config.http_listen).await?;
    let (store, store_thread) = Store::open(&config.data_dir.join("hub.db"))?;
    for target in &config.targets {
        let name = target.name.clone();
        store.call(move |db| outbox::register(db, &name)).await?;
    }
    let (source, within) = StopSource::new();
    let core = Core::open(
        store,
        clock,
        within,
        TokenDigest::of(&api_token),
        config.agent_tokens_path(),
        config.most_waiting,
    )
    .await?;
    let core = Arc::new(core);
    let mut services = servers(&core, identity.as_ref(), grpc, http)?;
    for delivery in deliveries {
        let core = Arc::clone(&core);
        let task = tasks::spawn("hub-cloudevents", async move {
            delivery.run(core).await;
            Ok(())
        });
        services.push((DELIVERY, task));
    }
    let supervisor = Arc::new(Supervisor::of_environment());
    supervisor.tell("READY=1");
    let watchdog = tasks::spawn("hub-watchdog", feed(supervisor.clone(), core.clone()));
    let join = tasks::spawn("hub", async move {
        let ended = serve(core, store_thread, services, source, stop, &supervisor).await;
        watchdog.abort();
        ended
    });
    Ok(Running { grpc_addr, http_addr, tls: identity.is_some(), api_token, join })
}

/// Feeds the service manager's watchdog for as long as the database answers.
async fn feed(supervisor: Arc<Supervisor>, core: Arc<Core>) {
    let stop = core.stop.clone();
    supervisor.feed(|| async { core.store.call(|_| Ok(())).await.is_ok() }, stop).await;
}

async fn listen(addr: SocketAddr) -> Result<(TcpListener, SocketAddr), Error> {
    let failed = |source| Error::Listen { addr, source };
    let listener = TcpListener::bind(addr).await.map_err(failed)?;
    let local = listener.local_addr().map_err(failed)?;
    Ok((listener, local))
}

/// Each name stands for one place in the outbox.
fn distinct_names(targets: &[Target]) -> Result<(), Error> {
    for (place, target) in targets.iter().enumerate() {
        if targets[..place].iter().any(|other| other.name == target.name) {
            return Err(Error::Config(format!(
                "two targets are named `{}`; give each a name of its own",
                target.name
            )));
        }
    }
    Ok(())
}

/// A part of the hub that runs until the stop, and what people call it.
type ServiceTask = (&'static str, JoinHandle<Result<(), Error>>);

const AGENTS: &str = "the listener for agents";
const API: &str = "the listener for the API";
const DELIVERY: &str = "the delivery to a target";
const DATABASE: &str = "the database's thread";

/// Starts both listeners; each ends when the hub stops.
fn servers(
    core: &Arc<Core>,
    identity: Option<&Identity>,
    grpc: TcpListener,
    http: TcpListener,
) -> Result<Vec<ServiceTask>, Error> {
    let stop = core.stop.clone();
    let mut builder = Server::builder()
        .http2_keepalive_interval(Some(KEEPALIVE_EVERY))
        .http2_keepalive_timeout(Some(KEEPALIVE_WITHIN))
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        // An agent needs one, and one more for `weir doctor`.
        .max_concurrent_streams(Some(8));
    if let Some(identity) = identity {
        let identity = tonic::transport::Identity::from_pem(&identity.cert, &identity.key);
        builder = builder
            .tls_config(ServerTlsConfig::new().identity(identity))
            .map_err(|error| Error::Tls(error.to_string()))?;
    }
    let service = HubServer::new(Service { core: Arc::clone(core) })
        .accept_compressed(tonic::codec::CompressionEncoding::Zstd);
    let incoming = TcpIncoming::from(grpc).with_nodelay(Some(true));
    let end = stop.clone();
    let grpc = builder
        .add_service(Answers(service))
        .serve_with_incoming_shutdown(incoming, async move { end.stopped().await });
    let router = rest::router(Arc::clone(core));
    let tls = identity.map(Identity::server_config).transpose().map_err(Error::Tls)?;
    let http = match tls {
        None => {
            let server = axum::serve(http.tap_io(|tcp| at_once(tcp)), router);
            tasks::spawn("hub-http", settle(server.with_graceful_shutdown(ended(stop)).into_future()))
        }
        Some(config) => {
            let listener = TlsListener::start(http, config, stop.clone())
                .map_err(|error| Error::Serve(format!("the API: {error}")))?;
            let server = axum::serve(listener, router);
            tasks::spawn("hub-http", settle(server.with_graceful_shutdown(ended(stop)).into_future()))
        }
    };
    let grpc = tasks::spawn("hub-grpc", async move {
        grpc.await.map_err(|error| Error::Serve(format!("agents: {error}")))
    });
    Ok(vec![(AGENTS, grpc), (API, http)])
}

/// Events leave at once: else each waits for the client's system to acknowledge the one before, tens of milliseconds.
fn at_once(tcp: &TcpStream) {
    if let Err(error) = tcp.set_nodelay(true) {
        tracing::debug!(%error, "events to a client may come late");
    }
}

async fn ended(stop: Stop) {
    stop.stopped().await;
}

async fn settle(server: impl Future<Output = io::Result<()>>) -> Result<(), Error> {
    server.await.map_err(|error| Error::Serve(format!("the API: {error}")))
}

/// Runs until the stop, or until a part ends that the others need; then ends in order: what comes
/// in, what goes out, what is kept.
async fn serve(
    core: Arc<Core>,
    store_thread: thread::JoinHandle<()>,
    mut services: Vec<ServiceTask>,
    source: StopSource,
    stop: Stop,
    supervisor: &Supervisor,
) -> Result<(), Error> {
    let mut outcome = tokio::select! {
        () = stop.stopped() => Ok(()),
        () = core.store.ended() => Err(Error::Ended(DATABASE)),
        (ended, place, _) = select_all(services.iter_mut().map(|(_, task)| task)) => {
            let (name, _) = services.remove(place);
            settled(ended).and(Err(Error::Ended(name)))
        }
    };
    if let Err(error) = &outcome {
        tracing::error!(%error, "the hub cannot go on, and stops");
    }
    supervisor.tell("STOPPING=1");
    source.stop();
    for (name, task) in services {
        let abort = task.abort_handle();
        match tokio::time::timeout(STEP, task).await {
            Ok(ended) => outcome = outcome.and(settled(ended)),
            Err(_) => {
                tracing::debug!(
                    part = name,
                    "did not end in time; what it left undone is repeated after the next start"
                );
                abort.abort();
            }
        }
    }
    drop(core);
    let closed = tasks::spawn_blocking(move || store_thread.join());
    if tokio::time::timeout(STEP, closed).await.is_err() {
        tracing::warn!("the database did not close in time; what was committed is safe");
    }
    outcome
}

fn settled(ended: Result<Result<(), Error>, JoinError>) -> Result<(), Error> {
    ended.unwrap_or_else(|panicked| Err(Error::Serve(panicked.to_string())))
}

fn default_data_dir() -> PathBuf {
    let state = std::env::var_os("STATE_DIRECTORY").map(PathBuf::from);
    // That of the package, for its user and for root.
    let packaged = || {
        let dir = Path::new("/var/lib/weir-hub");
        access(dir, Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK).is_ok().then(|| dir.to_owned())
    };
    let home = || std::env::var_os("HOME").map(|home| Path::new(&home).join(".local/state/weir-hub"));
    state.or_else(packaged).or_else(home).unwrap_or_else(|| PathBuf::from("weir-hub-data"))
}

#[cfg(test)]
mod tests;
