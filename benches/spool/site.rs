//! Broker, agent and hub as real programs, with a relay on the link that counts its bytes.

use std::path::Path;
use std::time::Duration;

use serde_json::Value as Json;
use tempfile::TempDir;

use super::bodies;
use super::disk;
use super::process::Process;
use super::publisher::{Packets, Publisher};
use super::relay::Relay;
use super::support::desk::Desk;
use super::support::mosquitto::{Mosquitto, Options};
use super::support::programs::{AgentProgram, HubProgram};
use super::support::within;

pub(crate) struct Site {
    pub(crate) broker: Mosquitto,
    pub(crate) hub: HubProgram,
    pub(crate) agent: AgentProgram,
    pub(crate) relay: Relay,
    /// Transitions that were caused so far.
    caused: usize,
    _dir: TempDir,
}

impl Site {
    /// Starts all, with the rules of this bench; the outbox gives nothing up.
    pub(crate) async fn start(program: &Path) -> Self {
        let dir = disk();
        // What the broker would write to its log costs more than the messages.
        let broker = Mosquitto::with(&Options { extra: "log_type none\n", ..Options::default() });
        let hub = HubProgram::start(&dir.path().join("hub"), &[]);
        let (code, said) = hub.desk().put("/rulesets/bench", bodies::RULES).await;
        assert_eq!(code, 200, "{said}");
        let relay = Relay::start(hub.grpc);
        let config = format!(
            "[spool]\nmax_bytes = 4_000_000_000\n[alerts]\nmax_per_minute = 0\n[hub]\nurl = \"http://{}\"\ntoken_file = {:?}\n[[broker]]\nname = \"plant\"\nurl = {:?}\n",
            relay.address(),
            hub.token("bench").display().to_string(),
            broker.url(),
        );
        let agent = AgentProgram::start_program(program, &dir.path().join("agent"), "bench", &config);
        let site = Self { broker, hub, agent, relay, caused: 0, _dir: dir };
        site.agent.until("the agent runs the rules", |s| s["core"]["rulesets"][0].is_object()).await;
        within("the subscription", async {
            loop {
                site.broker.publish("plant/probe/t", "probe", &["-q", "1"]);
                if site.agent.status().is_some_and(|s| s["core"]["messages"].as_u64() > Some(0)) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        })
        .await;
        site
    }

    pub(crate) fn desk(&self) -> Desk {
        self.hub.desk()
    }

    pub(crate) fn agent_process(&self) -> Process {
        Process(self.agent.child.as_ref().expect("it runs").id())
    }

    pub(crate) fn hub_process(&self) -> Process {
        Process(self.hub.child.as_ref().expect("it runs").id())
    }

    pub(crate) fn publisher(&self, name: &str) -> Publisher {
        Publisher::connect(self.broker.port(), name)
    }

    /// The next readings, each of which makes a transition.
    pub(crate) fn readings(&mut self, count: usize) -> Packets {
        let mut packets = Packets::default();
        for number in self.caused..self.caused + count {
            let (device, up) = bodies::turn(number);
            packets.add(&bodies::topic(device), bodies::payload(up).as_bytes(), 1);
        }
        self.caused += count;
        packets
    }

    /// Causes a backlog while the hub is away.
    pub(crate) async fn pile_up(&mut self, count: usize) {
        let packets = self.readings(count);
        self.publisher("pile").publish(&packets, None);
        let newest = self.caused as u64;
        self.patient("all are decided", |s| s["core"]["spool"]["newest"] == newest).await;
    }

    /// Waits until the hub has all.
    pub(crate) async fn all_told(&self) {
        let told = |s: &Json| s["link"]["connected"] == true && s["core"]["spool"]["waiting"] == 0;
        self.patient("all are told", told).await;
    }

    /// Waits for what takes as long as there is much of it, with few questions.
    async fn patient(&self, what: &str, holds: impl Fn(&Json) -> bool) {
        for _ in 0..20 {
            for _ in 0..60 {
                if self.agent.status().is_some_and(|status| holds(&status)) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(250)).await;
            }
        }
        panic!("{what} took longer than five minutes: {:?}", self.agent.status());
    }
}
