//! Who reads from the broker: a ceiling, the agent with a hub behind it, or another program. All are asked
//! the same questions, so that they are measured alike.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use serde_json::Value as Json;
use tempfile::TempDir;
use weir::clock::{self, Clock};
use weir::tasks;

use super::bare;
use super::cage::Cage;
use super::options::{Options, Peer, Service};
use super::process::Process;
use super::publisher::Publisher;
use super::support::certificates::certificates;
use super::support::desk::Desk;
use super::support::mosquitto::Mosquitto;
use super::support::programs::{AgentProgram, HubProgram};

/// What asks whether messages have come through, and how long that took.
pub(crate) const PROBES: &str = "
streams:
- CREATE STREAM probes (sent BIGINT) WITH (DATASOURCE='bench/{device}', KEY='device')
rules:
- {id: probe, repeat: 0, sql: 'SELECT device, sent FROM probes'}
";
/// How long anything may take to be ready: an agent may have 100,000 rules to read.
const START: Duration = Duration::from_secs(90);
/// Transitions that the hub gives at once.
const PAGE: usize = 1_000;

/// Who is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    /// The MQTT library alone.
    Client,
    /// The agent's ingest alone.
    Ingest,
    /// Agent and hub.
    Agent,
    /// Agent and hub, both connections under TLS.
    AgentTls,
    /// Another program.
    Peer,
}

impl Subject {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Client => "bare client",
            Self::Ingest => "bare ingest",
            Self::Agent => "agent",
            Self::AgentTls => "agent, TLS",
            Self::Peer => "command",
        }
    }
}

/// What a subject is started with.
pub(crate) struct Setup<'a> {
    pub(crate) options: &'a Options,
    /// The agent's program.
    pub(crate) agent: &'a Path,
    pub(crate) broker: &'a Mosquitto,
    /// Where the broker is spoken to without TLS.
    pub(crate) port: u16,
    pub(crate) service: Service,
    /// Names and texts of rule files.
    pub(crate) files: Vec<(&'static str, String)>,
    /// The rules of the load as JSON, for other programs.
    pub(crate) plain: Option<String>,
}

/// A message on `bench/<name>` that came through.
#[derive(Clone, Debug)]
pub(crate) struct Probe {
    pub(crate) name: String,
    /// Since it was sent, µs; the agent's until it was decided.
    pub(crate) micros: i64,
}

/// A reader that is connected and subscribed.
pub(crate) struct Reader {
    who: Who,
    /// What came so far: readings for a ceiling, matches for all others, by rule set.
    pub(crate) came: BTreeMap<String, u64>,
    pub(crate) probes: Vec<Probe>,
    /// How many of the probes were asked for already.
    asked: usize,
}

enum Who {
    Bare { child: Child, lines: Receiver<String> },
    Site(Box<Site>),
    Peer { child: Child, count: Arc<AtomicU64>, _dir: TempDir },
}

/// The agent, its hub, and where they keep things.
pub(crate) struct Site {
    pub(crate) agent: AgentProgram,
    pub(crate) desk: Desk,
    /// The hub's number of the newest transition that was looked at.
    after: i64,
    _hub: HubProgram,
    _cage: Cage,
    _dir: TempDir,
}

impl Reader {
    /// Starts a reader, and waits until it reads.
    pub(crate) async fn start(subject: Subject, setup: Setup<'_>) -> Self {
        let who = match subject {
            Subject::Client => bare("client", &setup),
            Subject::Ingest => bare("ingest", &setup),
            Subject::Agent => Who::Site(Box::new(site(&setup, false))),
            Subject::AgentTls => Who::Site(Box::new(site(&setup, true))),
            Subject::Peer => peer(&setup),
        };
        let mut reader = Self { who, came: BTreeMap::new(), probes: Vec::new(), asked: 0 };
        if let (Who::Peer { .. }, Some(peer)) = (&reader.who, &setup.options.peer) {
            tokio::time::sleep(Duration::from_secs(peer.ready)).await;
            return reader;
        }
        let mut publisher = Publisher::connect(setup.port, "ready");
        let clock = Clock::start();
        while !reader.probe(&mut publisher, "ready", Duration::from_millis(300)).await {
            let waited = clock.uptime();
            assert!(waited < START, "{} reads nothing after {waited:?}", subject.name());
        }
        // Those that came late are not taken for answers to later ones.
        tokio::time::sleep(Duration::from_millis(300)).await;
        reader.look().await;
        reader
    }

    pub(crate) fn process(&self) -> Process {
        Process(match &self.who {
            Who::Bare { child, .. } | Who::Peer { child, .. } => child.id(),
            Who::Site(site) => site.agent.child.as_ref().expect("it runs").id(),
        })
    }

    pub(crate) fn site(&self) -> Option<&Site> {
        match &self.who {
            Who::Site(site) => Some(site),
            _ => None,
        }
    }

    /// Whether it answers probes.
    pub(crate) fn is_peer(&self) -> bool {
        matches!(self.who, Who::Peer { .. })
    }

    /// What came so far of the load.
    pub(crate) fn of_load(&self) -> u64 {
        self.came.get("load").copied().unwrap_or(0)
    }

    /// Sends a probe, and tells whether it came through in time. What was published before it, by
    /// whomever, came before it.
    pub(crate) async fn probe(&mut self, publisher: &mut Publisher, name: &str, patience: Duration) -> bool {
        publisher.say(&format!("bench/{name}"), &format!("{{\"sent\": {}}}", clock::wall().micros()));
        let clock = Clock::start();
        loop {
            self.look().await;
            let came = self.probes[self.asked..].iter().any(|probe| probe.name == name);
            if came || clock.uptime() >= patience {
                self.asked = self.probes.len();
                return came;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Takes note of what came.
    pub(crate) async fn look(&mut self) {
        match &mut self.who {
            Who::Bare { lines, .. } => {
                for line in lines.try_iter() {
                    let [name, count, micros] = line.split(' ').collect::<Vec<_>>()[..] else { continue };
                    self.came.insert("load".to_owned(), count.parse().unwrap());
                    self.probes.push(Probe { name: name.to_owned(), micros: micros.parse().unwrap() });
                }
            }
            Who::Peer { count, .. } => {
                self.came.insert("load".to_owned(), count.load(Ordering::Relaxed));
            }
            Who::Site(site) => loop {
                let page = site.desk.list(&format!("/transitions?after={}&limit={PAGE}", site.after)).await;
                for transition in &page {
                    site.after = site.after.max(transition["id"].as_i64().unwrap());
                    let ruleset = transition["ruleset"].as_str().unwrap();
                    if ruleset == "probes" {
                        self.probes.push(probe(transition));
                    } else {
                        *self.came.entry(ruleset.to_owned()).or_default() += 1;
                    }
                }
                if page.len() < PAGE {
                    return;
                }
            },
        }
    }

    /// What the agent counted of its source: messages, and those that it dropped.
    pub(crate) fn counted(&self) -> Option<[u64; 2]> {
        let status = self.site()?.agent.status()?;
        let counters = status["sources"][0]["counters"].as_array()?;
        let figure = |name: &str| counters.iter().find(|c| c[0] == name).and_then(|c| c[1].as_u64());
        Some([figure("messages")?, figure("dropped")?])
    }
}

fn probe(transition: &Json) -> Probe {
    let recorded: jiff::Timestamp = transition["recorded_at"].as_str().unwrap().parse().unwrap();
    Probe {
        name: transition["labels"]["device"].as_str().unwrap().to_owned(),
        micros: recorded.as_microsecond() - transition["values"]["sent"].as_i64().unwrap(),
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        if let Who::Bare { child, .. } | Who::Peer { child, .. } = &mut self.who {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
}

/// How many messages the subscriber lets be in flight.
fn receive_maximum(service: Service) -> u16 {
    if service == Service::OneFree { 1_000 } else { 100 }
}

fn bare(kind: &str, setup: &Setup<'_>) -> Who {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([bare::FLAG, kind, &setup.broker.port().to_string()])
        .arg(receive_maximum(setup.service).to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let said = BufReader::new(child.stdout.take().unwrap());
    let (tell, lines) = sync_channel(4_096);
    tasks::thread("lines", move || {
        for line in said.lines().map_while(Result::ok) {
            if tell.send(line).is_err() {
                return;
            }
        }
    })
    .unwrap();
    Who::Bare { child, lines }
}

fn site(setup: &Setup<'_>, tls: bool) -> Site {
    let place = setup.options.spool.clone().unwrap_or_else(|| PathBuf::from(env!("CARGO_TARGET_TMPDIR")));
    let dir = tempfile::Builder::new().prefix("load").tempdir_in(place).unwrap();
    let at = dir.path();
    let file = |name: &str| at.join(name).display().to_string();
    certificates(at);
    let args = ["--tls-cert", &file("server.pem"), "--tls-key", &file("server.key")];
    let hub = HubProgram::start(&at.join("hub"), if tls { &args } else { &[] });
    let rules = at.join("rules");
    fs::create_dir(&rules).unwrap();
    for (name, text) in &setup.files {
        fs::write(rules.join(format!("{name}.yaml")), text).unwrap();
    }
    let broker = setup.broker;
    let (scheme, extra, port) = (if tls { "s" } else { "" }, file("ca.pem"), broker.port());
    let mut config = format!(
        "rules.directory = {:?}\n[alerts]\nmax_per_minute = 0\n[hub]\nurl = \"http{scheme}://localhost:{}\"\ntoken_file = {:?}\n",
        rules.display().to_string(),
        hub.grpc.port(),
        hub.token("load").display().to_string(),
    );
    if tls {
        config.push_str(&format!("ca_file = {extra:?}\n"));
    }
    config.push_str(&format!(
        "[[broker]]\nname = \"plant\"\nurl = \"mqtt{scheme}://127.0.0.1:{port}\"\nqos = {}\nreceive_maximum = {}\n",
        setup.service.qos(),
        receive_maximum(setup.service),
    ));
    if tls {
        let of = |name: &str| broker.file(name).display().to_string();
        config.push_str(&format!(
            "ca_file = {:?}\ncert_file = {:?}\nkey_file = {:?}\n",
            of("ca.pem"),
            of("client.pem"),
            of("client.key")
        ));
    }
    let cage = Cage::new(setup.options);
    let program = cage.around(setup.agent, at);
    let agent = AgentProgram::start_program(&program, &at.join("agent"), "load", &config);
    let desk = match tls {
        true => Desk::trusting(&hub.http, &fs::read(at.join("ca.pem")).unwrap(), &api_token(at)),
        false => hub.desk(),
    };
    Site { agent, desk, after: 0, _hub: hub, _cage: cage, _dir: dir }
}

fn api_token(at: &Path) -> String {
    fs::read_to_string(at.join("hub/api-token")).unwrap()
}

fn peer(setup: &Setup<'_>) -> Who {
    let Peer { command, matches, .. } = setup.options.peer.as_ref().expect("a command was given");
    let dir = tempfile::tempdir().unwrap();
    let (plain, weir) = (dir.path().join("rules.json"), dir.path().join("load.yaml"));
    fs::write(&plain, setup.plain.as_deref().unwrap_or("[]")).unwrap();
    fs::write(&weir, &setup.files[0].1).unwrap();
    let count = Arc::new(AtomicU64::new(0));
    let counted = count.clone();
    let port = setup.broker.port();
    match matches.split_once(':') {
        Some(("webhook", at)) => {
            let listener = TcpListener::bind(("127.0.0.1", at.parse::<u16>().unwrap())).unwrap();
            tasks::thread("webhook", move || serve(&listener, &counted)).unwrap();
        }
        Some(("mqtt", topic)) => {
            let (subscriber, topic) = (Publisher::connect(port, "matches"), topic.to_owned());
            let seen = move || {
                counted.fetch_add(1, Ordering::Relaxed);
            };
            tasks::thread("matches", move || subscriber.count(&topic, seen)).unwrap();
        }
        _ => panic!("--matches takes mqtt:TOPIC or webhook:PORT, not `{matches}`"),
    }
    let line = command
        .replace("{host}", "127.0.0.1")
        .replace("{port}", &port.to_string())
        .replace("{broker}", &format!("tcp://127.0.0.1:{port}"))
        .replace("{weir}", &weir.display().to_string())
        .replace("{rules}", &plain.display().to_string());
    let cage = Cage::new(setup.options);
    let shell = cage.around(Path::new("/bin/sh"), dir.path());
    let child = Command::new(shell)
        .args(["-c", &format!("exec {line}")])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    Who::Peer { child, count, _dir: dir }
}

/// Counts what is posted: the elements of an array, else the request.
fn serve(listener: &TcpListener, count: &Arc<AtomicU64>) {
    for stream in listener.incoming().map_while(Result::ok) {
        let count = count.clone();
        tasks::thread("request", move || {
            let mut answers = stream.try_clone().unwrap();
            let mut input = BufReader::new(stream);
            loop {
                let (mut length, mut line) = (0, String::new());
                while input.read_line(&mut line).is_ok_and(|read| read > 2) {
                    if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                        length = value.trim().parse().unwrap_or(0);
                    }
                    line.clear();
                }
                let mut body = vec![0; length];
                if line.is_empty() || input.read_exact(&mut body).is_err() {
                    return;
                }
                let posted: Option<Json> = serde_json::from_slice(&body).ok();
                let matches = posted.as_ref().and_then(Json::as_array).map_or(1, Vec::len);
                count.fetch_add(matches as u64, Ordering::Relaxed);
                if answers.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").is_err() {
                    return;
                }
            }
        })
        .unwrap();
    }
}
