//! Everything that runs in a demo, started in the order in which it is needed, and ended in the
//! order of the stream.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::clock::Clock;
use crate::hub::record::TransitionRecord;
use crate::hub::{self, Running, tokens};
use crate::tasks::StopSource;

use super::broker::Broker;
use super::desk::Desk;
use super::gateway::{AGENT, Gateway, Given};
use super::narrate::{Rules, Started, Tally};
use super::place::Place;
use super::plant::{DEVICES, Kind, Plant};
use super::publish::Sensors;

/// How long everything may take to find together.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often it is looked whether it has.
const LOOK: Duration = Duration::from_millis(100);
/// How long the agent may take to end, and the hub after it.
const AGENT_GOODBYE: Duration = Duration::from_millis(1_500);
const HUB_GOODBYE: Duration = Duration::from_millis(500);

/// Everything that runs.
pub(super) struct Stage {
    broker: Option<Broker>,
    broker_url: String,
    hub: Running,
    hub_stop: StopSource,
    desk: Desk,
    gateway: Gateway,
    waiting: Option<Sensors>,
    measuring: Option<(StopSource, JoinHandle<()>)>,
    kept: Option<String>,
}

impl Stage {
    /// Starts broker, hub and agent, and connects the sensors. Dropped, all of it ends.
    pub(super) async fn set(broker: Option<&str>, place: &Place, clock: Clock) -> Result<Self> {
        let (own, broker_url) = match broker {
            Some(url) => (None, url.to_owned()),
            None => {
                let broker = Broker::start().await?;
                let url = broker.url();
                (Some(broker), url)
            }
        };
        let sensors = Sensors::connect(&broker_url).await?;
        let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
        let config = hub::Config {
            grpc_listen: any_port,
            http_listen: any_port,
            data_dir: place.join("hub"),
            ..hub::Config::default()
        };
        let token = tokens::add(&config.agent_tokens_path(), AGENT).context("make the agent's token")?;
        let (hub_stop, heard) = StopSource::new();
        let hub = hub::start(config, clock, heard).await.context("start the hub")?;
        let agent_dir = place.join("agent");
        let given = Given {
            dir: &agent_dir,
            broker: &broker_url,
            hub: format!("http://{}", hub.grpc_addr),
            token: &token,
        };
        let gateway = Gateway::start(&given, clock)?;
        let desk = Desk::new(hub.http_addr, hub.api_token.clone())?;
        let kept = place.kept().map(|dir| dir.display().to_string());
        Ok(Self {
            broker: own,
            broker_url,
            hub,
            hub_stop,
            desk,
            gateway,
            waiting: Some(sensors),
            measuring: None,
            kept,
        })
    }

    /// What runs where.
    pub(super) fn started(&self, program: &str) -> Started {
        let count = |kind| DEVICES.iter().filter(|device| device.kind == kind).count();
        Started {
            broker: self.broker_url.clone(),
            broker_inside: self.broker.is_some(),
            sensors: format!(
                "{} freezers, {} motors, {} rooms",
                count(Kind::Freezer),
                count(Kind::Motor),
                count(Kind::Room)
            ),
            page: format!("http://{}/#token={}", self.hub.http_addr, self.hub.api_token),
            agent: AGENT.to_owned(),
            status: format!("{program} status --socket {}", self.gateway.socket().display()),
            kept: self.kept.clone(),
        }
    }

    /// Pushes the rules, and waits until the agent runs them and reads from the broker.
    pub(super) async fn open(&mut self, sets: &[(&str, &str)]) -> Result<Rules> {
        let mut told = Rules::default();
        for (name, text) in sets {
            let pushed = self.desk.push(name, text).await?;
            told.rules += pushed.rules;
            told.sets.push((*name).to_owned());
            told.revision = told.revision.max(pushed.revision);
        }
        let ready = async {
            while !self.is_ready().await? {
                sleep(LOOK).await;
            }
            Ok(told)
        };
        match timeout(PATIENCE, ready).await {
            Ok(ready) => ready,
            Err(_) => {
                bail!("wait for the agent to run the rules: it takes too long; WEIR_LOG=info says more")
            }
        }
    }

    async fn is_ready(&mut self) -> Result<bool> {
        if !self.desk.runs_everything(AGENT).await? {
            return Ok(false);
        }
        let status = self.gateway.status().await?;
        Ok(status.sources.iter().all(|source| source.connected))
    }

    /// Lets the sensors publish.
    pub(super) fn begin(&mut self, clock: Clock) {
        let Some(sensors) = self.waiting.take() else {
            return;
        };
        let (stop, heard) = StopSource::new();
        let plant = Plant::new(fastrand::u64(..), clock.now().wall);
        self.measuring = Some((stop, sensors.publish(plant, clock, heard)));
    }

    /// What the hub has received since the last call.
    pub(super) async fn news(&mut self) -> Result<Vec<TransitionRecord>> {
        self.desk.news().await
    }

    /// The sums so far, as the agent counts them.
    pub(super) async fn tally(&mut self) -> Result<Tally> {
        let status = self.gateway.status().await?;
        Ok(Tally {
            readings_in: status.core.messages,
            bytes_in: status.core.bytes,
            alerts_out: status.link.sent,
            bytes_out: status.link.bytes_sent,
        })
    }

    /// Ends everything, first what gives and last what takes.
    pub(super) async fn clear(self) {
        if let Some((stop, sensors)) = self.measuring {
            stop.stop();
            drop(sensors.await);
        }
        drop(self.waiting);
        if let Err(error) = self.gateway.stop(AGENT_GOODBYE).await {
            tracing::warn!("{error:#}");
        }
        drop(self.desk);
        self.hub_stop.stop();
        // What it has committed is safe, and a page that is open may hold it up.
        drop(timeout(HUB_GOODBYE, self.hub.join).await);
        if let Some(broker) = self.broker {
            broker.stop().await;
        }
    }
}
