//! Who reads from the broker: a ceiling, or the agent with a hub behind it. Both are asked the same
//! questions, so that they are measured alike.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::net::unix::pipe;

use super::bare;
use super::process::Process;
use super::support::desk::{Desk, Events};
use super::support::mosquitto::Mosquitto;
use super::support::programs::{AgentProgram, HubProgram};
use super::support::within;

/// The pack that the agent runs.
const RULES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/rules/environment.yaml");
/// What is asked about a message of the benchmark's own: whether it has come through.
const PROBES: &str = "
streams:
  - CREATE STREAM probes (v FLOAT) WITH (DATASOURCE='bench/{device}', KEY='device')
rules:
  - id: over
    sql: SELECT device, v FROM probes
    when: v > 50
    severity: critical
    flapping: off
";

/// Who is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    /// The MQTT library alone.
    Client,
    /// The agent's ingest alone.
    Ingest,
    /// Agent and hub.
    Agent,
}

impl Subject {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Client => "bare client",
            Self::Ingest => "bare ingest",
            Self::Agent => "agent",
        }
    }
}

/// A reader that is connected and subscribed.
pub(crate) enum Reader {
    Bare(Bare),
    Site(Box<Site>),
}

pub(crate) struct Bare {
    child: Child,
    lines: Lines<BufReader<pipe::Receiver>>,
    count: u64,
}

pub(crate) struct Site {
    agent: AgentProgram,
    desk: Desk,
    events: Events,
    _hub: HubProgram,
    _dir: TempDir,
}

impl Reader {
    pub(crate) async fn start(subject: Subject, program: &Path, broker: &Mosquitto) -> Self {
        match subject {
            Subject::Client => Self::Bare(Bare::start("client", broker)),
            Subject::Ingest => Self::Bare(Bare::start("ingest", broker)),
            Subject::Agent => Self::Site(Box::new(Site::start(program, broker).await)),
        }
    }

    pub(crate) fn process(&self) -> Process {
        Process(match self {
            Self::Bare(bare) => bare.child.id(),
            Self::Site(site) => site.agent.child.as_ref().expect("it runs").id(),
        })
    }

    /// Waits for the next sign of a message on `bench/<name>`.
    pub(crate) async fn seen(&mut self, name: &str) {
        match self {
            Self::Bare(bare) => within(name, bare.seen(name)).await,
            Self::Site(site) => {
                while site.events.next("transition").await.data["labels"]["device"] != name {}
            }
        }
    }

    /// How many messages of the recording it has taken in.
    pub(crate) async fn received(&self) -> u64 {
        match self {
            Self::Bare(bare) => bare.count,
            Self::Site(site) => {
                let status = site.agent.until("the agent answers", |_| true).await;
                let streams = status["core"]["streams"].as_array().unwrap();
                let rooms = streams.iter().find(|s| s["ruleset"] == "environment").unwrap();
                assert_eq!(rooms["rows"], rooms["messages"], "{rooms}");
                rooms["messages"].as_u64().unwrap()
            }
        }
    }

    /// Transitions that the hub has; a ceiling makes none.
    pub(crate) async fn transitions(&self) -> usize {
        match self {
            Self::Bare(_) => 0,
            Self::Site(site) => {
                let all = site.desk.list("/transitions?after=0&limit=10000").await;
                all.iter().filter(|t| t["labels"]["ruleset"] == "environment").count()
            }
        }
    }
}

impl Bare {
    fn start(kind: &str, broker: &Mosquitto) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([bare::FLAG, kind, &broker.port().to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = OwnedFd::from(child.stdout.take().unwrap());
        let lines = BufReader::new(pipe::Receiver::from_owned_fd(stdout).unwrap()).lines();
        Self { child, lines, count: 0 }
    }

    async fn seen(&mut self, name: &str) {
        loop {
            let line = self.lines.next_line().await.unwrap().expect("the subscriber goes on");
            let (which, count) = line.split_once(' ').unwrap();
            self.count = count.parse().unwrap();
            if which == name {
                return;
            }
        }
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Site {
    async fn start(program: &Path, broker: &Mosquitto) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let hub = HubProgram::start(&dir.path().join("hub"), &[]);
        let desk = hub.desk();
        for (name, text) in
            [("environment", std::fs::read_to_string(RULES).unwrap()), ("probes", PROBES.to_owned())]
        {
            let (code, said) = desk.put(&format!("/rulesets/{name}"), &text).await;
            assert_eq!(code, 200, "{said}");
        }
        let config = format!(
            "[alerts]\nmax_per_minute = 0\n[hub]\nurl = \"http://{}\"\ntoken_file = {:?}\n[[broker]]\nname = \"plant\"\nurl = {:?}\n",
            hub.grpc,
            hub.token("bench").display().to_string(),
            broker.url(),
        );
        let agent = AgentProgram::start_program(program, &dir.path().join("agent"), "bench", &config);
        let runs = |s: &serde_json::Value| {
            s["core"]["rulesets"].as_array().unwrap().len() == 2 && s["sources"][0]["connected"] == true
        };
        agent.until("the agent runs the pushed rules", runs).await;
        let events = desk.follow(None).await;
        Self { agent, desk, events, _hub: hub, _dir: dir }
    }
}
