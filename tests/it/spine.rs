//! The whole way, with a real mosquitto and the real programs: a rule goes from the hub to the
//! agent, a reading becomes an alert, and nothing that is killed, cut or broken on the way loses
//! or repeats one.

mod adversity;
mod brokers;
mod disk;
mod ends;
mod figures;
mod recording;
mod rules;
mod spool;
mod tls;

use std::path::Path;

use serde_json::Value as Json;
use tempfile::TempDir;

use crate::support::desk::Desk;
use crate::support::mosquitto::Mosquitto;
use crate::support::programs::{AgentProgram, HubProgram};

/// A rule set whose alerts come and go with single readings.
const PLAIN: &str = "
streams:
  - CREATE STREAM t (v FLOAT) WITH (DATASOURCE='plant/{device}/t', KEY='device')
rules:
  - id: hot
    sql: SELECT device, v FROM t
    when: v > 60
    severity: critical
    flapping: off
    annotations: {summary: '{{ device }} at {{ v }}'}
";

/// Broker, hub and agent, each in its place.
struct Site {
    dir: TempDir,
    broker: Mosquitto,
    hub: HubProgram,
    agent: AgentProgram,
}

impl Site {
    /// Starts all three; `config` is appended to the agent's configuration.
    async fn start(hub_args: &[&str], config: &str) -> Self {
        Self::with_broker(hub_args, config, "").await
    }

    /// The same with further keys of the agent's broker, and what may follow them.
    async fn with_broker(hub_args: &[&str], config: &str, keys: &str) -> Self {
        let site = Self::start_through(hub_args, &(config, keys), &[], &|_| Vec::new());
        site.agent.until("agent, broker and hub are connected", connected).await;
        site
    }

    /// The same with variables of the agent's environment, and through what it is started, which may depend on the
    /// directory of all. Nothing is waited for.
    fn start_through(
        hub_args: &[&str],
        (config, keys): &(&str, &str),
        env: &[(&str, &str)],
        through: &dyn Fn(&Path) -> Vec<String>,
    ) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let broker = Mosquitto::start();
        let hub = HubProgram::start(&dir.path().join("hub"), hub_args);
        let config = agent_config(&broker, &hub, config) + keys;
        let at = dir.path().join("agent");
        let agent = AgentProgram::start_through((&at, &through(dir.path())), "gw-1", &config, env);
        Self { dir, broker, hub, agent }
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn desk(&self) -> Desk {
        self.hub.desk()
    }

    /// Pushes a rule set and waits until the agent runs it.
    async fn push(&self, name: &str, text: &str) {
        let (code, said) = self.desk().put(&format!("/rulesets/{name}"), text).await;
        assert_eq!(code, 200, "{said}");
        let hash = said["hash"].as_str().unwrap().to_owned();
        self.agent
            .until("the agent runs the pushed rules", |s| {
                s["core"]["rulesets"].as_array().unwrap().iter().any(|r| r["hash"] == hash.as_str())
            })
            .await;
        self.broker_has_subscription(name).await;
    }

    /// Waits until what the rules read is subscribed, so that what is published next arrives.
    async fn broker_has_subscription(&self, set: &str) {
        let stream = |s: &Json| {
            s["core"]["streams"].as_array().unwrap().iter().find(|x| x["ruleset"] == set).map(|x| {
                let topic = x["topic"].as_str().unwrap();
                let levels: Vec<&str> =
                    topic.split('/').map(|l| if l.starts_with('{') { "probe" } else { l }).collect();
                levels.join("/")
            })
        };
        let status = self.agent.status().expect("the agent answers");
        let Some(topic) = stream(&status) else { return };
        let taken = |s: &Json| s["core"]["messages"].as_u64().unwrap();
        let before = taken(&status);
        let subscribed = async {
            loop {
                self.broker.publish(&topic, "probe", &["-q", "1"]);
                if self.agent.status().is_some_and(|s| taken(&s) > before) {
                    return;
                }
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
        };
        crate::support::within("the subscription", subscribed).await;
    }

    /// Waits until the hub holds so many transitions, and returns all that it holds.
    async fn transitions(&self, count: usize) -> Vec<Json> {
        let desk = self.desk();
        crate::support::within("the transitions", async {
            let mut all: Vec<Json> = Vec::new();
            loop {
                // The hub gives out a page at a time, oldest first.
                let after = all.last().map_or(0, |t| t["id"].as_i64().unwrap());
                let page = desk.list(&format!("/transitions?after={after}&limit=1000")).await;
                match page.is_empty() {
                    true if all.len() >= count => return all,
                    true => tokio::time::sleep(std::time::Duration::from_millis(20)).await,
                    false => all.extend(page),
                }
            }
        })
        .await
    }
}

fn agent_config(broker: &Mosquitto, hub: &HubProgram, more: &str) -> String {
    // These tests count what comes: many alerts at once are no storm here.
    let alerts = if more.contains("[alerts]") { "" } else { "[alerts]\nmax_per_minute = 0\n" };
    format!(
        "{more}\n{alerts}[hub]\nurl = \"http://{}\"\ntoken_file = {:?}\n[[broker]]\nname = \"plant\"\nurl = {:?}\n",
        hub.grpc,
        hub.token("gw-1").display().to_string(),
        broker.url(),
    )
}

fn connected(status: &Json) -> bool {
    status["link"]["connected"] == true && status["sources"][0]["connected"] == true
}

/// A counter of the agent's connection to a broker.
fn counter(status: &Json, source: &str, name: &str) -> u64 {
    let sources = status["sources"].as_array().unwrap();
    let counters = &sources.iter().find(|s| s["name"] == source).unwrap()["counters"];
    counters.as_array().unwrap().iter().find(|c| c[0] == name).unwrap()[1].as_u64().unwrap()
}

/// What makes two transitions the same, wherever they were made.
fn essence(t: &Json) -> String {
    let pick = [
        "rule",
        "labels",
        "state",
        "reason",
        "severity",
        "starts_at",
        "occurred_at",
        "values",
        "annotations",
    ];
    let picked: serde_json::Map<String, Json> =
        pick.iter().map(|k| ((*k).to_owned(), t[*k].clone())).collect();
    Json::Object(picked).to_string()
}

/// Each number of an agent's epoch once, without a gap.
fn assert_gapless(transitions: &[Json]) {
    let mut seqs: Vec<u64> = transitions.iter().map(|t| t["seq"].as_u64().unwrap()).collect();
    seqs.sort_unstable();
    let expected: Vec<u64> = (1..=seqs.len() as u64).collect();
    assert_eq!(seqs, expected, "every number once");
}
