//! A site as it stands in the field: broker, agent with the pack for rooms, and a hub under TLS; and an agent beside it that
//! hears no reading.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use serde_json::Value as Json;
use tempfile::TempDir;

use super::publisher::Publisher;
use super::relay::{Carried, Relay};
use super::support::certificates::certificates;
use super::support::desk::Desk;
use super::support::mosquitto::{Mosquitto, Options};
use super::support::programs::{AgentProgram, HubProgram};
use super::support::within;

/// The pack that the agents run.
const RULES: &str = include_str!("../../rules/environment.yaml");
/// What the link does by the clock, in seconds: `hub.keep_alive`, `hub.status_interval`.
const CLOCK: [u64; 2] = [20, 60];

pub(crate) struct Site {
    pub(crate) publisher: Publisher,
    hearing: Gateway,
    idle: Gateway,
    desk: Desk,
    _hub: HubProgram,
    _brokers: [Mosquitto; 2],
    _dir: TempDir,
}

/// An agent, and relays on its two connections.
struct Gateway {
    agent: AgentProgram,
    broker: Relay,
    link: Relay,
    /// Messages that it took in before the day.
    before: u64,
}

impl Site {
    pub(crate) async fn start(speed: u32) -> Self {
        let dir = tempfile::tempdir().unwrap();
        certificates(dir.path());
        let file = |name: &str| dir.path().join(name).display().to_string();
        let hub_dir = dir.path().join("hub");
        let hub = HubProgram::start(
            &hub_dir,
            &["--tls-cert", &file("server.pem"), "--tls-key", &file("server.key")],
        );
        let https = format!("https://localhost:{}", hub.http.rsplit(':').next().unwrap());
        let authority = std::fs::read(file("ca.pem")).unwrap();
        let token = std::fs::read_to_string(hub_dir.join("api-token")).unwrap();
        let desk = Desk::trusting(&https, &authority, &token);
        let (code, said) = desk.put("/rulesets/environment", RULES).await;
        assert_eq!(code, 200, "{said}");
        let quiet = Options { extra: "log_type none\n", ..Options::default() };
        let brokers = [Mosquitto::with(&quiet), Mosquitto::with(&quiet)];
        let gateways = ["hears", "idle"].into_iter().zip(&brokers);
        let mut gateways = gateways.map(|(id, broker)| Gateway::start(dir.path(), id, &hub, broker, speed));
        let (mut hearing, idle) = (gateways.next().unwrap(), gateways.next().unwrap());
        drop(gateways);
        for gateway in [&hearing, &idle] {
            gateway.ready().await;
        }
        let publisher = Publisher::connect(brokers[0].port(), "rooms");
        hearing.before = within("the subscription", hearing.subscribed(&brokers[0])).await;
        Self { publisher, hearing, idle, desk, _hub: hub, _brokers: brokers, _dir: dir }
    }

    /// What went over the sockets so far: of the agent that hears, and of the other, each to its broker and to the hub.
    pub(crate) fn carried(&self) -> [(Carried, Carried); 2] {
        [&self.hearing, &self.idle].map(|gateway| (gateway.broker.carried(), gateway.link.carried()))
    }

    /// Waits until everything that was published is taken in and told; gives the number of transitions.
    ///
    /// # Errors
    /// What was lost.
    pub(crate) async fn finish(&self, readings: usize) -> Result<usize, String> {
        let all = self.hearing.before + readings as u64;
        let done = |s: &Json| s["core"]["messages"] == all && s["core"]["spool"]["waiting"] == 0;
        let status = self.hearing.agent.until("all readings are taken in, and all alerts told", done).await;
        let made = status["core"]["spool"]["newest"].as_u64().unwrap();
        let told = self.desk.list("/transitions?after=0&limit=1000").await;
        let told = told.iter().filter(|t| t["agent"] == "hears").count();
        match told as u64 == made {
            true => Ok(told),
            false => Err(format!("{made} transitions were made, and the hub has {told} of them")),
        }
    }
}

impl Gateway {
    fn start(dir: &Path, id: &str, hub: &HubProgram, broker: &Mosquitto, speed: u32) -> Self {
        let to_broker = Relay::start(SocketAddr::from(([127, 0, 0, 1], broker.port())));
        let link = Relay::start(hub.grpc);
        let [keep_alive, status] = CLOCK.map(|seconds| Duration::from_secs(seconds) / speed);
        let config = format!(
            "[alerts]\nmax_per_minute = 0\n[hub]\nurl = \"https://localhost:{}\"\ntoken_file = {:?}\nca_file = {:?}\nkeep_alive = \"{}ms\"\nstatus_interval = \"{}ms\"\n[[broker]]\nname = \"site\"\nurl = \"mqtt://{}\"\n",
            link.address().port(),
            hub.token(id).display().to_string(),
            dir.join("ca.pem").display().to_string(),
            keep_alive.as_millis().max(1),
            status.as_millis().max(1),
            to_broker.address(),
        );
        let agent = AgentProgram::start(&dir.join(id), id, &config);
        Self { agent, broker: to_broker, link, before: 0 }
    }

    async fn ready(&self) {
        let ready = |s: &Json| {
            s["link"]["connected"] == true
                && s["sources"][0]["connected"] == true
                && s["core"]["rulesets"][0].is_object()
        };
        self.agent.until("the agent runs the pack", ready).await;
    }

    /// Waits until messages arrive; gives how many it took in.
    async fn subscribed(&self, broker: &Mosquitto) -> u64 {
        loop {
            broker.publish("site/lab/env/probe", "probe", &["-q", "1"]);
            let taken = self.agent.status().and_then(|s| s["core"]["messages"].as_u64()).unwrap_or(0);
            if taken > 0 {
                // One more may be on its way.
                tokio::time::sleep(Duration::from_millis(300)).await;
                return self.agent.status().and_then(|s| s["core"]["messages"].as_u64()).unwrap_or(taken);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}
