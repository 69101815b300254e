//! An MQTT broker inside the process, for a machine that has none: on a loopback port that the
//! system chooses, keeping nothing on disk. It has a thread of its own, as it would be elsewhere.

use std::net::SocketAddr;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result};
use mqtt5::broker::config::{BrokerConfig, StorageConfig};
use mqtt5::broker::{BrokerShutdownHandle, MqttBroker};
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::tasks;

/// How long the broker may take to listen, and to end.
const PATIENCE: Duration = Duration::from_secs(5);
const GOODBYE: Duration = Duration::from_millis(500);

/// A running broker. Dropped, its thread ends by itself.
pub(super) struct Broker {
    addr: SocketAddr,
    shutdown: BrokerShutdownHandle,
    /// Closed when the thread ends.
    ended: oneshot::Receiver<()>,
    _thread: JoinHandle<()>,
}

impl Broker {
    /// A broker that listens.
    pub(super) async fn start() -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("start the broker's runtime")?;
        let (started, starts) = oneshot::channel();
        let (ending, ended) = oneshot::channel::<()>();
        let thread = tasks::thread("broker", move || {
            runtime.block_on(serve(started));
            // What a client left open ends here.
            runtime.shutdown_background();
            drop(ending);
        })?;
        let (addr, shutdown) = timeout(PATIENCE, starts)
            .await
            .context("start the broker: it takes too long")?
            .context("start the broker: it ended at once")?
            .context("start the broker")?;
        Ok(Self { addr, shutdown, ended, _thread: thread })
    }

    /// Where clients connect to.
    pub(super) fn url(&self) -> String {
        format!("mqtt://{}", self.addr)
    }

    /// Ends it; its clients should be gone.
    pub(super) async fn stop(self) {
        self.shutdown.shutdown();
        // It keeps nothing, so nothing is lost where it takes longer.
        drop(timeout(GOODBYE, self.ended).await);
    }
}

type Started = Result<(SocketAddr, BrokerShutdownHandle)>;

async fn serve(started: oneshot::Sender<Started>) {
    let config = BrokerConfig {
        bind_addresses: vec![SocketAddr::from(([127, 0, 0, 1], 0))],
        storage_config: StorageConfig { enable_persistence: false, ..StorageConfig::default() },
        sys_topics_enabled: false,
        ..BrokerConfig::default()
    };
    let mut broker = match MqttBroker::with_config(config).await {
        Ok(broker) => broker,
        Err(error) => return drop(started.send(Err(error.into()))),
    };
    let Some(addr) = broker.local_addr() else {
        return drop(started.send(Err(anyhow::anyhow!("it has no address"))));
    };
    if started.send(Ok((addr, broker.shutdown_handle()))).is_err() {
        return;
    }
    if let Err(error) = broker.run().await {
        tracing::error!(%error, "the demo's broker failed");
    }
}
