//! The programs of a run: a broker, a hub, two agents with a promise each, and a wire between each agent and the hub.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use serde_json::Value as Json;
use tokio::runtime::Runtime;
use weir::clock;

use super::checker::Promise;
use super::relay::{Relay, Wire};
use super::support::desk::Desk;
use super::support::mosquitto::{Mosquitto, Options};
use super::support::programs::{AgentProgram, HubProgram};

/// How old an agent's snapshot may be.
pub(crate) const SNAPSHOT: Duration = Duration::from_secs(1);
/// Nothing that must come takes longer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// An agent, and what is known of its life.
pub(crate) struct Agent {
    pub(crate) program: AgentProgram,
    pub(crate) wire: Relay,
    metrics: u16,
    /// Where its state lies.
    pub(crate) state: PathBuf,
    /// When it ended, microseconds of the calendar.
    pub(crate) ends: Vec<i64>,
    redelivered: Tally,
    gaps: Tally,
    /// The bytes of its largest snapshot, about.
    largest: f64,
}

impl Agent {
    /// How old its last snapshot may be, microseconds: a large one comes less often, as the documentation says.
    pub(crate) fn snapshot_age(&self) -> i64 {
        let paced = self.largest / 16_384.0 * 1.5;
        ((SNAPSHOT.as_secs_f64().max(paced) + 1.0) * 1e6) as i64
    }
}

/// A counter that begins anew with each start of a program.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    before: u64,
    now: u64,
}

impl Tally {
    fn seen(&mut self, now: u64) {
        self.now = now;
    }

    fn restarted(&mut self) {
        self.before += std::mem::take(&mut self.now);
    }

    fn total(self) -> u64 {
        self.before + self.now
    }
}

/// All programs; dropped, all end.
pub(crate) struct Site {
    pub(crate) runtime: Runtime,
    pub(crate) dir: PathBuf,
    pub(crate) broker: Mosquitto,
    pub(crate) hub: HubProgram,
    pub(crate) agents: Vec<Agent>,
    desk: Option<Desk>,
    ports: Vec<u16>,
    sabotage: Option<&'static str>,
}

impl Site {
    /// Starts everything, and waits until the agents run the rules and the broker has their subscriptions.
    pub(crate) fn start(
        dir: &Path,
        promises: &[Promise],
        rules: &str,
        sabotage: Option<&'static str>,
    ) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let mut ports = Ports::default();
        let broker = Mosquitto::with(&Options {
            port: Some(ports.next()),
            extra: "autosave_interval 1\n",
            ..Options::default()
        });
        let hub = HubProgram::start_on(&dir.join("hub"), &[], [ports.next(), ports.next()]);
        let mut site = Self {
            runtime,
            dir: dir.to_owned(),
            broker,
            hub,
            agents: Vec::new(),
            desk: None,
            ports: Vec::new(),
            sabotage,
        };
        for (i, promise) in promises.iter().enumerate() {
            let agent = site.agent(i, *promise, &mut ports);
            site.agents.push(agent);
        }
        site.ports = ports.0;
        site.push(rules);
        site
    }

    fn agent(&self, i: usize, promise: Promise, ports: &mut Ports) -> Agent {
        let wire = Relay::start(self.runtime.handle(), ports.next(), self.hub.grpc);
        let metrics = ports.next();
        let durability = match promise {
            Promise::Durable => "durable",
            Promise::Processed => "processed",
        };
        let name = name(i);
        let config = format!(
            "spool.durability = {durability:?}\nspool.snapshot_interval = \"{SNAPSHOT:?}\"\n\
             listen.http = \"127.0.0.1:{metrics}\"\nevidence.readings = 2\n\
             [alerts]\nmax_per_minute = 0\nsource_lost_after = \"0\"\n\
             [hub]\nurl = \"http://{}\"\ntoken_file = {:?}\nkeep_alive = \"2s\"\n\
             [[broker]]\nname = \"plant\"\nurl = {:?}\n",
            wire.address,
            self.hub.token(&name).display().to_string(),
            self.broker.url(),
        );
        let mut program = AgentProgram::start(&self.dir.join(&name), &name, &config);
        if self.sabotage.is_some() {
            program.kill();
            program.run_with(&env(self.sabotage, None));
        }
        let (redelivered, gaps) = (Tally::default(), Tally::default());
        let state = self.dir.join(&name).join("state");
        Agent { program, wire, metrics, state, ends: Vec::new(), redelivered, gaps, largest: 0.0 }
    }

    fn push(&mut self, rules: &str) {
        let pushed = self.hub.desk();
        let (code, said) = self.runtime.block_on(pushed.put("/rulesets/torture", rules));
        assert_eq!(code, 200, "{said}");
        let hash = said["hash"].as_str().unwrap().to_owned();
        let runs = |s: &Json| {
            s["sources"][0]["connected"] == true
                && s["core"]["rulesets"].as_array().unwrap().iter().any(|set| set["hash"] == hash.as_str())
        };
        for agent in &self.agents {
            self.runtime.block_on(agent.program.until("an agent runs the rules", runs));
        }
        // The subscriptions follow at once; the broker writes them down when it ends.
        pause(Duration::from_millis(500));
        self.broker.stop();
        self.broker.run();
    }

    /// A person at the hub's API.
    pub(crate) fn desk(&mut self) -> &Desk {
        let hub = &self.hub;
        self.desk.get_or_insert_with(|| hub.desk())
    }

    /// Asks the hub, which may be coming up.
    pub(crate) fn ask(&mut self, path: &str) -> Vec<Json> {
        self.desk();
        self.runtime.block_on(self.desk.as_ref().unwrap().list(path))
    }

    /// Starts an agent again, perhaps to end at a place.
    pub(crate) fn start_agent(&mut self, which: usize, point: Option<&str>) {
        let agent = &mut self.agents[which];
        agent.program.run_with(&env(self.sabotage, point));
    }

    /// `kill -9` of an agent, if it runs.
    pub(crate) fn kill_agent(&mut self, which: usize) {
        self.agents[which].program.kill();
        self.note_end(which);
    }

    /// Notes that an agent has ended.
    pub(crate) fn note_end(&mut self, which: usize) {
        let agent = &mut self.agents[which];
        agent.ends.push(clock::wall().micros());
        agent.redelivered.restarted();
        agent.gaps.restarted();
    }

    /// `kill -9` of the broker. Gives from when on, nanoseconds of this process, it may have forgotten what it
    /// acknowledged.
    pub(crate) fn kill_broker(&mut self) -> u64 {
        self.broker.kill();
        let saved = std::fs::metadata(self.broker.file("mosquitto.db")).and_then(|file| file.modified());
        let Ok(saved) = saved else { return 0 };
        let age = SystemTime::UNIX_EPOCH + Duration::from_micros(clock::wall().micros().try_into().unwrap());
        let age = age.duration_since(saved).unwrap_or_default();
        // It is written down what was there when the file was begun.
        let before = age + Duration::from_millis(500);
        clock::nanos().saturating_sub(before.as_nanos().try_into().unwrap())
    }

    /// How often the broker confirmed a subscription of an agent.
    pub(crate) fn subscriptions(&self, which: usize) -> usize {
        let log = std::fs::read(self.broker.file("log")).unwrap_or_default();
        let line = format!("Sending SUBACK to weir-{}", name(which));
        String::from_utf8_lossy(&log).lines().filter(|said| said.ends_with(&line)).count()
    }

    /// Looks at the figures of an agent, while it lives.
    pub(crate) fn look(&mut self, which: usize) {
        let port = self.agents[which].metrics;
        let Some(text) = self.runtime.block_on(metrics(port)) else { return };
        let figure = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
            line.trim().parse::<f64>().unwrap_or(0.0)
        };
        let agent = &mut self.agents[which];
        agent.redelivered.seen(figure("weir_redelivered_total ") as u64);
        agent.gaps.seen(figure("weir_source_total{source=\"plant\",what=\"gaps\"} ") as u64);
        let snapshots = figure("weir_snapshots_total ").max(1.0);
        agent.largest = agent.largest.max(figure("weir_snapshot_bytes_total ") / snapshots);
    }

    /// How many messages of an agent were delivered again, and how many gaps of its input it reported, as far as that
    /// was seen before it ended.
    pub(crate) fn figures(&self, which: usize) -> (u64, u64) {
        let agent = &self.agents[which];
        (agent.redelivered.total(), agent.gaps.total())
    }

    /// Mends everything that a round left broken.
    pub(crate) fn mend(&mut self) {
        for agent in &self.agents {
            agent.wire.set(Wire::Whole);
        }
    }

    /// What no log of a program may say.
    pub(crate) fn complaints(&self) -> Vec<String> {
        let mut logs = vec![self.dir.join("hub/hub.log")];
        logs.extend((0..self.agents.len()).map(|i| self.dir.join(name(i)).join("agent.log")));
        let mut found = Vec::new();
        for log in logs {
            let text = String::from_utf8_lossy(&std::fs::read(&log).unwrap_or_default()).into_owned();
            let bad = text
                .lines()
                .filter(|line| line.contains("panicked at") || line.contains("the agent panicked"));
            found.extend(bad.take(3).map(|line| format!("{}: {line}", log.display())));
        }
        found
    }
}

/// What an agent is called.
pub(crate) fn name(which: usize) -> String {
    format!("gw-{which}")
}

fn env<'a>(sabotage: Option<&'a str>, point: Option<&'a str>) -> Vec<(&'a str, &'a str)> {
    let sabotage = sabotage.map(|name| ("WEIR_SABOTAGE", name));
    let point = point.map(|point| ("WEIR_FAILPOINT", point));
    sabotage.into_iter().chain(point).collect()
}

async fn metrics(port: u16) -> Option<String> {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let read = async {
        let mut socket = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.ok()?;
        socket.write_all(b"GET /metrics HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await.ok()?;
        let mut text = String::new();
        socket.read_to_string(&mut text).await.ok()?;
        Some(text)
    };
    tokio::time::timeout(Duration::from_millis(500), read).await.ok()?
}

/// Ports that nobody gets by chance: below those that the system gives to connections, which are made and lost here
/// by the thousand while their listener is down.
#[derive(Default)]
struct Ports(Vec<u16>);

impl Ports {
    fn next(&mut self) -> u16 {
        for _ in 0..1_000 {
            let port = fastrand::u16(10_240..32_000);
            if !self.0.contains(&port) && TcpListener::bind(("127.0.0.1", port)).is_ok() {
                self.0.push(port);
                return port;
            }
        }
        panic!("no port is free");
    }
}

/// Waits a little.
pub(crate) fn pause(time: Duration) {
    let (_keep, never) = std::sync::mpsc::sync_channel::<()>(0);
    never.recv_timeout(time).unwrap_err();
}

/// Copies a broker's log to where the other logs are.
pub(crate) fn keep_broker_log(site: &Site) {
    drop(std::fs::copy(site.broker.file("log"), site.dir.join("mosquitto.log")));
}

/// Ends a program in order by its own pid, and waits; true where it ended by itself in time.
pub(crate) fn terminate(child: &mut Option<std::process::Child>) -> bool {
    let Some(mut child) = child.take() else { return true };
    drop(Command::new("kill").args(["-TERM", &child.id().to_string()]).status());
    for _ in 0..400 {
        if matches!(child.try_wait(), Ok(Some(_))) {
            return true;
        }
        pause(Duration::from_millis(25));
    }
    drop(child.kill());
    drop(child.wait());
    false
}
