//! One run: broker, agent and hub on two hosts, and what the plan does to them and to the link between them.

use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::ChildStdin;
use std::time::Duration;

use serde_json::Value as Json;
use weir::clock::Clock;

use super::check;
use super::host::{Host, Program};
use super::link::{Link, Traffic, Weather, pause};
use super::plan::{Event, Plan};

const AGENT: &str = "10.77.0.1";
const HUB: &str = "10.77.0.2";

/// How often the agent is looked at.
const LOOK: Duration = Duration::from_millis(250);

/// How long a site may take to come up, however busy the machine.
const UP_WITHIN: Duration = Duration::from_secs(90);

/// How long after the last fault began everything must have arrived, though it stays: many of the longest waits between
/// two dials, of which few come through the worst of links.
const ARRIVED_WITHIN: Duration = Duration::from_secs(600);

const RULES: &str = "
streams:
  - CREATE STREAM t (device STRING, v FLOAT, w FLOAT, n BIGINT)
      WITH (DATASOURCE='plant', FORMAT='json', KEY='device')
rules:
  - id: hot
    sql: SELECT device, v, n FROM t WHERE v IS NOT NULL
    levels:
      - {severity: warning, when: v > 60}
      - {severity: critical, when: v > 80}
    flapping: off
    annotations: {summary: '{{ device }} is at {{ v }}'}
  - id: note
    sql: SELECT device, w, n FROM t WHERE w IS NOT NULL
    when: w > 60
    severity: info
    flapping: off
    annotations: {summary: '{{ device }} is at {{ w }}'}
";

/// What a run showed.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// How long the agent believed in a link that was dead; `None` where there was none to be found dead.
    pub(crate) found_after: Option<Duration>,
    /// How long after the last fault began everything had arrived.
    pub(crate) arrived_after: Duration,
    pub(crate) sessions: u64,
    pub(crate) sent: u64,
    /// By the agent's own account, and by that of the link.
    pub(crate) bytes: [u64; 2],
    pub(crate) traffic: [Traffic; 2],
}

/// Runs a plan. Where it fails, what the programs left is kept in the folder that is told with why.
pub(crate) fn run(seed: u64, plan: &Plan) -> Result<Outcome, String> {
    let dir = tempfile::tempdir().unwrap();
    match Site::start(seed, dir.path()).and_then(|site| site.go_through(plan)) {
        Ok(outcome) => Ok(outcome),
        Err(why) => Err(format!("{why}\nlogs: {}", dir.keep().display())),
    }
}

struct Site {
    dir: PathBuf,
    clock: Clock,
    agent: Program,
    hub: Option<Program>,
    readings: ChildStdin,
    publisher: Program,
    broker: Program,
    /// The agent's, and the hub's.
    hosts: [Host; 2],
    link: Link,
    /// Messages that the agent took in before the plan began.
    probes: u64,
}

impl Site {
    /// Starts everything in fine weather, and waits until the agent is connected to both.
    fn start(seed: u64, dir: &Path) -> Result<Self, String> {
        let (agent_host, agent_end) = Host::new(seed, 'a', AGENT, HUB);
        let (hub_host, hub_end) = Host::new(seed, 'h', HUB, AGENT);
        let link = Link::join(agent_end, hub_end, Weather::CLEAR, seed);
        set_up(dir);
        let hub = start_hub(&hub_host, dir);
        let mut mosquitto = agent_host.command(Path::new("mosquitto"));
        let broker =
            Program::start(mosquitto.arg("-c").arg(dir.join("mosquitto.conf")), &dir.join("broker.log"));
        let mut weir = agent_host.command(Path::new(env!("CARGO_BIN_EXE_weir")));
        let agent = Program::start(
            weir.arg("run").arg("--config").arg(dir.join("weir.toml")),
            &dir.join("agent.log"),
        );
        let (publisher, readings) = publish(&agent_host, dir)?;
        let (clock, hub) = (Clock::start(), Some(hub));
        let dir = dir.to_owned();
        let mut site = Self {
            dir,
            clock,
            agent,
            hub,
            readings,
            publisher,
            broker,
            link,
            hosts: [agent_host, hub_host],
            probes: 0,
        };
        site.until("agent, broker and hub are connected", UP_WITHIN, |s| {
            s["link"]["connected"] == true
                && s["sources"][0]["connected"] == true
                && s["core"]["rules"][1].is_object()
        })?;
        // Until the subscription stands. A publisher that was there before the broker is gone.
        let started = clock.uptime();
        while site.status().is_none_or(|s| s["core"]["messages"] == 0) {
            if writeln!(site.readings, r#"{{"device":"probe"}}"#).is_err() {
                (site.publisher, site.readings) = publish(&site.hosts[0], &site.dir)?;
            }
            pause(LOOK);
            if clock.uptime() - started > UP_WITHIN {
                return Err("nothing that is published arrives".to_owned());
            }
        }
        pause(LOOK);
        site.probes = site.status().and_then(|s| s["core"]["messages"].as_u64()).unwrap_or(0);
        Ok(site)
    }

    fn go_through(mut self, plan: &Plan) -> Result<Outcome, String> {
        let began = self.clock.uptime();
        let mut watch = Watch::default();
        let mut last_fault = began;
        for (at, event) in &plan.events {
            let due = began + *at;
            while self.clock.uptime() + LOOK < due {
                pause(LOOK);
                watch.look(self.clock.uptime(), self.is_connected());
            }
            pause(due.saturating_sub(self.clock.uptime()));
            if let Event::Weather(..) = event {
                last_fault = self.clock.uptime();
                watch.over(last_fault, self.is_connected());
            }
            self.carry_out(event, plan)?;
            if matches!(event, Event::Weather(..)) && plan.long_cut == Some(*at) {
                watch.begin(last_fault, self.is_connected());
            }
        }
        self.hub.get_or_insert_with(|| start_hub(&self.hosts[1], &self.dir));
        let expected = self.probes + plan.readings.len() as u64;
        let status = self.until("everything has arrived", ARRIVED_WITHIN, |s| {
            s["core"]["messages"].as_u64() >= Some(expected) && s["core"]["spool"]["waiting"] == 0
        })?;
        let arrived_after = self.clock.uptime() - last_fault;
        let traffic = self.link.traffic();
        self.end()?;
        let number = |name: &str| status["link"][name].as_u64().unwrap_or(0);
        check::all_arrived(plan, &status["core"]["spool"], &self.dir)?;
        Ok(Outcome {
            found_after: watch.found_after()?,
            arrived_after,
            sessions: number("sessions"),
            sent: number("sent"),
            bytes: [number("bytes_sent"), number("bytes_received")],
            traffic,
        })
    }

    fn carry_out(&mut self, event: &Event, plan: &Plan) -> Result<(), String> {
        match event {
            Event::Weather(_, weather) => self.link.set(*weather),
            Event::Publish(n) => {
                writeln!(self.readings, "{}", plan.readings[*n].payload)
                    .map_err(|e| format!("publish: {e}"))?;
            }
            Event::HubEnds { told } => {
                if let Some(mut hub) = self.hub.take() {
                    match told {
                        true => hub.stop().map_err(|why| format!("the hub {why}"))?,
                        false => hub.kill(),
                    }
                }
            }
            Event::HubStarts => {
                self.hub.get_or_insert_with(|| start_hub(&self.hosts[1], &self.dir));
            }
        }
        for (name, program) in
            [("agent", &mut self.agent), ("broker", &mut self.broker), ("publisher", &mut self.publisher)]
        {
            if program.has_ended() {
                return Err(format!("the {name} ended by itself"));
            }
        }
        Ok(())
    }

    /// Ends all in order, the devices last.
    fn end(&mut self) -> Result<(), String> {
        self.agent.stop().map_err(|why| format!("the agent {why}"))?;
        self.hub.take().map_or(Ok(()), |mut hub| hub.stop()).map_err(|why| format!("the hub {why}"))?;
        self.publisher.kill();
        self.broker.kill();
        Ok(())
    }

    /// What the agent says of itself; `None` while it does not answer.
    fn status(&self) -> Option<Json> {
        let mut socket = UnixStream::connect(self.dir.join("state/weir.sock")).ok()?;
        socket.set_read_timeout(Some(Duration::from_secs(10))).ok()?;
        writeln!(socket, "status").ok()?;
        drop(socket.shutdown(Shutdown::Write));
        let mut text = String::new();
        socket.read_to_string(&mut text).ok()?;
        serde_json::from_str(&text).ok()
    }

    fn is_connected(&self) -> bool {
        self.status().is_some_and(|status| status["link"]["connected"] == true)
    }

    fn until(&self, what: &str, within: Duration, holds: impl Fn(&Json) -> bool) -> Result<Json, String> {
        let began = self.clock.uptime();
        loop {
            let status = self.status();
            if let Some(status) = status.as_ref().filter(|status| holds(status)) {
                return Ok(status.clone());
            }
            if self.clock.uptime() - began > within {
                let known =
                    status.map(|s| format!("{}\n{}", s["link"], s["core"]["spool"])).unwrap_or_default();
                return Err(format!("not within {within:?}: {what}\n{known}"));
            }
            pause(LOOK);
        }
    }
}

/// Whether the agent found a dead link dead.
#[derive(Default)]
struct Watch {
    /// When the cut began of a link that stood then.
    since: Option<Duration>,
    found: Option<Duration>,
    missed: Option<Duration>,
}

impl Watch {
    fn begin(&mut self, now: Duration, connected: bool) {
        self.since = connected.then_some(now);
    }

    fn look(&mut self, now: Duration, connected: bool) {
        if let Some(since) = self.since.filter(|_| self.found.is_none() && !connected) {
            self.found = Some(now - since);
        }
    }

    /// The weather changes.
    fn over(&mut self, now: Duration, connected: bool) {
        self.look(now, connected);
        if let Some(since) = self.since.take().filter(|_| self.found.is_none()) {
            self.missed = Some(now - since);
        }
    }

    fn found_after(&self) -> Result<Option<Duration>, String> {
        match self.missed {
            Some(span) => Err(format!("a link that was dead for {span:?} was not found dead")),
            None => Ok(self.found),
        }
    }
}

/// Writes what the programs read.
fn set_up(dir: &Path) {
    let write = |name: &str, text: &str| std::fs::write(dir.join(name), text).unwrap();
    let made = rcgen::generate_simple_self_signed(vec!["hub.test".to_owned()]).unwrap();
    write("cert.pem", &made.cert.pem());
    write("key.pem", &made.signing_key.serialize_pem());
    std::fs::create_dir_all(dir.join("hub")).unwrap();
    write("token", &weir::hub::tokens::add(&dir.join("hub/agent-tokens"), "gw-1").unwrap());
    std::fs::create_dir_all(dir.join("rules")).unwrap();
    write("rules/hall.yaml", RULES);
    write(
        "mosquitto.conf",
        "user root\nlistener 1883 127.0.0.1\nallow_anonymous true\npersistence false\nmax_queued_messages 0\n",
    );
    let path = |name: &str| format!("{:?}", dir.join(name).display().to_string());
    write(
        "weir.toml",
        &format!(
            "agent.id = 'gw-1'\nagent.state_dir = {}\nnode.enabled = false\nrules.directory = {}\n\
             [alerts]\nmax_per_minute = 0\nsource_lost_after = '0s'\n\
             [hub]\nurl = 'https://{HUB}:7440'\nserver_name = 'hub.test'\ntoken_file = {}\nca_file = {}\n\
             [[broker]]\nname = 'plant'\nurl = 'mqtt://127.0.0.1:1883'\n",
            path("state"),
            path("rules"),
            path("token"),
            path("cert.pem"),
        ),
    );
}

fn start_hub(host: &Host, dir: &Path) -> Program {
    let mut hub = host.command(Path::new(env!("CARGO_BIN_EXE_weir-hub")));
    hub.args(["serve", "--http-listen", "127.0.0.1:7441", "--grpc-listen", &format!("{HUB}:7440")])
        .arg("--data-dir")
        .arg(dir.join("hub"))
        .arg("--tls-cert")
        .arg(dir.join("cert.pem"))
        .arg("--tls-key")
        .arg(dir.join("key.pem"));
    Program::start_and_hear(&mut hub, &dir.join("hub.log"), 2)
}

/// A publisher whose lines are messages, once the broker listens.
fn publish(host: &Host, dir: &Path) -> Result<(Program, ChildStdin), String> {
    for _ in 0..100 {
        let mut command = host.command(Path::new("mosquitto_pub"));
        command.args(["-h", "127.0.0.1", "-V", "mqttv5", "-q", "1", "-t", "plant", "-l"]);
        let (mut program, input) = Program::start_with_input(&mut command, &dir.join("publisher.log"));
        pause(LOOK);
        if !program.has_ended() {
            return Ok((program, input));
        }
    }
    Err("the broker takes no publisher".to_owned())
}
