//! `weir doctor` against real brokers and hubs: a place where all is well, and each thing that can be broken, with its
//! line and what to do about it.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value as Json;
use tempfile::TempDir;
use tonic::{Request, Response, Status, Streaming};
use weir::wire::v1;

use crate::support::certificates::{Validity, certificates, certificates_valid};
use crate::support::mosquitto::{Mosquitto, Options};
use crate::support::programs::{AgentProgram, HubProgram, free_port};

const RULES: &str = "
streams:
  - CREATE STREAM motors (v FLOAT) WITH (DATASOURCE='hall/{device}/v', KEY='device')
rules:
  - {id: hot, sql: 'SELECT device, v FROM motors', when: v > 60}
";

/// What a doctor said.
struct Said {
    code: Option<i32>,
    report: Json,
}

impl Said {
    /// The lines of a check, each as `mark: found → advice`.
    fn of(&self, check: &str) -> Vec<String> {
        let lines = self.report["checks"].as_array().unwrap();
        let text = |line: &Json, field: &str| line[field].as_str().unwrap_or_default().to_owned();
        lines
            .iter()
            .filter(|line| line["check"] == check)
            .map(|line| format!("{}: {} → {}", text(line, "mark"), text(line, "found"), text(line, "advice")))
            .collect()
    }

    /// Asserts that one line of a check has all of these parts, and the exit that goes with its mark.
    #[track_caller]
    fn has(&self, check: &str, parts: &[&str]) {
        let lines = self.of(check);
        assert!(
            lines.iter().any(|line| parts.iter().all(|part| line.contains(part))),
            "{check} {parts:?}: {:#}",
            self.report["checks"]
        );
        if parts[0] == "problem" {
            assert_eq!(self.code, Some(2));
        }
    }

    /// Asserts that nothing but what the machine of the test brings along is wrong.
    #[track_caller]
    fn is_well(&self) {
        let wrong = self.report["checks"].as_array().unwrap().iter().filter(|line| line["mark"] != "ok");
        // Tests may run in a container, without a time service, on a machine that is short of room.
        let own =
            wrong.filter(|line| !["disk", "clock", "machine"].contains(&line["check"].as_str().unwrap()));
        assert_eq!(own.collect::<Vec<_>>(), Vec::<&Json>::new());
        assert_eq!((self.code, &self.report["problems"]), (Some(0), &Json::from(0)));
    }
}

fn run(config: &Path, more: &[&str]) -> Said {
    let output = Command::new(env!("CARGO_BIN_EXE_weir"))
        .args(["doctor", "--json", "--config"])
        .arg(config)
        .args(more)
        .output()
        .unwrap();
    let report = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&output.stderr)));
    Said { code: output.status.code(), report }
}

/// A folder with a configuration, rules and secrets.
struct Place {
    dir: TempDir,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("rules")).unwrap();
        std::fs::write(dir.path().join("rules/hall.yaml"), RULES).unwrap();
        Self { dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn shown(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    /// A file for nobody else.
    fn secret(&self, name: &str, text: &str) -> String {
        use std::os::unix::fs::PermissionsExt;
        std::fs::write(self.path(name), text).unwrap();
        std::fs::set_permissions(self.path(name), std::fs::Permissions::from_mode(0o600)).unwrap();
        self.shown(name)
    }

    /// What the doctor says of a configuration with these lines.
    fn with(&self, lines: &str) -> Said {
        let state = if lines.contains("state_dir") {
            String::new()
        } else {
            format!("agent.state_dir = {:?}\n", self.shown("state"))
        };
        let text =
            format!("agent.id = \"gw-7\"\n{state}rules.directory = {:?}\n{lines}\n", self.shown("rules"));
        std::fs::write(self.path("weir.toml"), text).unwrap();
        run(&self.path("weir.toml"), &["--timeout", "3s"])
    }
}

fn broker_at(url: &str, more: &str) -> String {
    format!("[[broker]]\nname = \"site\"\nurl = {url:?}\n{more}\n")
}

fn hub_at(url: &str, token_file: &str, more: &str) -> String {
    format!("[hub]\nurl = {url:?}\ntoken_file = {token_file:?}\n{more}\n")
}

/// Mosquitto's plugin for access rights, which comes with it.
fn plugin() -> PathBuf {
    let folders = std::fs::read_dir("/usr/lib").unwrap().map(|entry| entry.unwrap().path());
    let mut files = folders.map(|folder| folder.join("mosquitto_dynamic_security.so"));
    files.find(|file| file.exists()).expect("mosquitto has its plugin")
}

/// All is well, under TLS and with a login; and the agent's own sessions never notice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_all_is_well_it_says_so_and_disturbs_nobody() {
    let place = Place::new();
    certificates(place.dir.path());
    let broker = Mosquitto::with(&Options {
        login: Some(("weir", "open sesame")),
        acl: Some("user weir\ntopic read hall/#\n"),
        ..Options::default()
    });
    let hub = HubProgram::start(
        &place.path("hub"),
        &["--tls-cert", &place.shown("server.pem"), "--tls-key", &place.shown("server.key")],
    );
    let password = place.secret("password", "open sesame\n");
    let token = place.secret("token", &std::fs::read_to_string(hub.token("gw-7")).unwrap());
    let config = format!(
        "rules.directory = {:?}\n{}{}",
        place.shown("rules"),
        hub_at(
            &format!("https://localhost:{}", hub.grpc.port()),
            &token,
            &format!("ca_file = {:?}", place.shown("ca.pem"))
        ),
        broker_at(&broker.url(), &format!("username = \"weir\"\npassword_file = {password:?}"))
    );
    let agent = AgentProgram::start(&place.path("agent"), "gw-7", &config);
    let file = place.path("agent/weir.toml");
    let stands = |s: &Json| {
        s["link"]["connected"] == true
            && s["sources"][0]["connected"] == true
            && s["core"]["rulesets"][0].is_object()
            && s["sources"][0]["error"].is_null()
    };
    agent.until("all stands", stands).await;
    for _ in 0..2 {
        let said = run(&file, &[]);
        said.is_well();
        said.has("broker site", &["ok", "speaks MQTT 5", "takes the login", "receive maximum"]);
        said.has("broker site", &["ok", "1 filter: `hall/+/v`"]);
        said.has("hub", &["ok", "TLS 1.3", "takes the token of `gw-7`"]);
        said.has("hub", &["ok", "session with it stands"]);
        said.has("agent", &["ok", "runs for"]);
        said.has("rules", &["ok", "1 file, 1 rule"]);
        said.has("version", &["ok", "the agent that runs is the same", "the hub is"]);
        said.has("files", &["ok", "3 files named"]);
    }
    let status = agent.status().unwrap();
    let reconnects =
        status["sources"][0]["counters"].as_array().unwrap().iter().find(|c| c[0] == "reconnects");
    assert_eq!((reconnects.unwrap()[1].as_u64(), status["link"]["sessions"].as_u64()), (Some(0), Some(1)));
    let left: Vec<_> =
        std::fs::read_dir(place.path("agent/state")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| !name.to_string_lossy().contains("doctor")), "{left:?}");

    // As a person reads it.
    let output =
        Command::new(env!("CARGO_BIN_EXE_weir")).args(["doctor", "--config"]).arg(&file).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && text.contains("  ok       hub          https://localhost:"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_with_a_broker_is_told_with_what_to_do() {
    let place = Place::new();
    let down = broker_at(&format!("mqtt://127.0.0.1:{}", free_port()), "");
    place
        .with(&down)
        .has("broker site", &["problem", "nothing listens on 127.0.0.1:", "start the broker there"]);

    let broker = Mosquitto::with(&Options { login: Some(("weir", "open sesame")), ..Options::default() });
    let login = |place: &Place, password: &str, more: &str| {
        let file = place.secret("password", password);
        broker_at(&broker.url(), &format!("username = \"weir\"\npassword_file = {file:?}\n{more}"))
    };
    for version in ["5", "3.1.1"] {
        let said = place.with(&login(&place, "wrong", &format!("version = {version:?}")));
        said.has(
            "broker site",
            &["problem: the broker", "check `username`", "`password_file`", "[[broker]] `site`"],
        );
    }
    let said = place.with(&login(&place, "open sesame", ""));
    said.has("broker site", &["ok", "takes the login"]);
    let said = place.with(&login(&place, "", ""));
    said.has("files", &["problem", "password is empty"]);

    // Access by topic: the broker's plugin answers a subscription that is not allowed, which its `acl_file` does not.
    let nothing = r#"{"defaultACLAccess": {"publishClientSend": true, "publishClientReceive": true, "subscribe": false, "unsubscribe": true}}"#;
    std::fs::write(place.path("access.json"), nothing).unwrap();
    let extra =
        format!("plugin {}\nplugin_opt_config_file {}\n", plugin().display(), place.shown("access.json"));
    let strict = Mosquitto::with(&Options { extra: extra.leak(), ..Options::default() });
    let said = place.with(&broker_at(&strict.url(), ""));
    said.has("broker site", &["ok", "without a login"]);
    said.has("broker site", &["problem", "does not let this client subscribe to `hall/+/v`", "access rules"]);

    // Under TLS: an authority that is not known, and a certificate that is missing.
    let tls = Mosquitto::with(&Options { tls: true, ..Options::default() });
    let url = format!("mqtts://localhost:{}", tls.port());
    let file = |name: &str| tls.file(name).display().to_string();
    let client = format!(
        "cert_file = {:?}\nkey_file = {:?}\n",
        file("client.pem"),
        place.secret("client.key", &std::fs::read_to_string(tls.file("client.key")).unwrap())
    );
    let ca = format!("ca_file = {:?}\n", file("ca.pem"));
    let said = place.with(&broker_at(&url, &client));
    said.has("broker site", &["problem", "no authority that is trusted here has signed it", "set `ca_file`"]);
    let said = place.with(&broker_at(&url, &ca));
    said.has("broker site", &["problem", "wants a client certificate"]);
    let said = place.with(&broker_at(&url, &(client.clone() + &ca)));
    said.has("broker site", &["ok", "TLS 1.3"]);
    // Plain text where TLS is spoken, and the other way round.
    let said = place.with(&broker_at(&format!("mqtt://localhost:{}", tls.port()), ""));
    said.has("broker site", &["problem", "`mqtts://`"]);
    let plain = Mosquitto::start();
    let said = place.with(&broker_at(&format!("mqtts://localhost:{}", plain.port()), &ca));
    said.has("broker site", &["problem", "TLS with", "speaks TLS"]);

    // A name that is another's.
    let said = place.with(&broker_at(&format!("mqtts://127.0.0.2:{}", tls.port()), &ca));
    // The broker listens on 127.0.0.1 alone.
    said.has("broker site", &["problem", "nothing listens on 127.0.0.2"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_with_the_hub_is_told_with_what_to_do() {
    let place = Place::new();
    let hub = HubProgram::start(&place.path("hub"), &[]);
    let url = format!("http://{}", hub.grpc);
    let token = |text: &str| place.secret("token", text);

    let nobody = format!("http://127.0.0.1:{}", free_port());
    place
        .with(&hub_at(&nobody, &token("x"), ""))
        .has("hub", &["problem", "nothing listens", "start the hub"]);
    let said = place.with(&hub_at(&url, &token("not-a-token"), ""));
    said.has("hub", &["problem: it does not take the token: unknown token", "weir-hub tokens add gw-7"]);
    let others = std::fs::read_to_string(hub.token("gw-8")).unwrap();
    let said = place.with(&hub_at(&url, &token(&others), ""));
    said.has("hub", &["problem", "another agent's, not that of `gw-7`", "agent.id"]);
    let said = place.with(&hub_at(&url, &place.shown("nowhere"), ""));
    said.has("hub", &["skipped: not tried"]);
    said.has("files", &["problem", "nowhere is not there", "weir-hub tokens add"]);
    let said = place.with("hub.url = \"http://192.0.2.1:7440\"\nhub.token_file = \"/nowhere\"");
    said.has("hub", &["problem", "plain http", "loopback"]);
    let said = place.with(&format!("hub.url = {url:?}"));
    said.has("hub", &["problem", "`hub.token_file` is missing", "weir-hub tokens add gw-7"]);
    // The console's port is not that for agents.
    let own = std::fs::read_to_string(hub.token("gw-7")).unwrap();
    let said = place.with(&hub_at(&hub.http, &token(&own), ""));
    said.has("hub", &["problem", "the hub's port for agents"]);

    let said = place.with(&hub_at(&url, &token(&own), ""));
    said.has("hub", &["ok", "takes the token of `gw-7`"]);
    said.has("agent", &["warning: it does not run", "weir run"]);
    assert_eq!(said.of("clock").len(), 1);

    // Another machine has a session under this name.
    let config = hub_at(&url, &token(&own), "");
    let twin = AgentProgram::start(&place.path("twin"), "gw-7", &config);
    twin.until("the twin is connected", |s| s["link"]["connected"] == true).await;
    let said = place.with(&config);
    said.has("hub", &["problem: no agent runs here, and one has a session as `gw-7`", "agent.id"]);
    assert_eq!(twin.status().unwrap()["link"]["sessions"], 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_of_a_hub_are_looked_at() {
    let place = Place::new();
    let url = |hub: &HubProgram, host: &str| format!("https://{host}:{}", hub.grpc.port());
    let ca = format!("ca_file = {:?}", place.shown("ca.pem"));
    let token = place.secret("token", "x");
    let start = |name: &str, validity: Validity| {
        certificates_valid(place.dir.path(), validity);
        HubProgram::start(
            &place.path(name),
            &["--tls-cert", &place.shown("server.pem"), "--tls-key", &place.shown("server.key")],
        )
    };
    let hub = start("over", Validity::Over);
    place
        .with(&hub_at(&url(&hub, "localhost"), &token, &ca))
        .has("hub", &["problem", "it expired", "new certificate"]);
    drop(hub);
    let hub = start("soon", Validity::DaysLeft(5));
    let token = place.secret("token", &std::fs::read_to_string(hub.token("gw-7")).unwrap());
    let said = place.with(&hub_at(&url(&hub, "localhost"), &token, &ca));
    said.has("hub", &["ok", "takes the token"]);
    said.has("hub", &["warning", "expires in 4 days"]);
    // It is not for this name, and no authority that the machine trusts has signed it.
    let said =
        place.with(&hub_at(&url(&hub, "localhost"), &token, &format!("{ca}\nserver_name = \"hub.example\"")));
    said.has("hub", &["problem", "it is not for this name, but for", "localhost"]);
    let said = place.with(&hub_at(&url(&hub, "localhost"), &token, ""));
    said.has("hub", &["problem", "no authority that is trusted here", "hub.ca_file"]);
    // Whoever writes an address where a name is meant is told as well.
    let said = place.with(&hub_at(&url(&hub, "localhost"), &token, &format!("ca_file = {token:?}")));
    said.has("files", &["problem", "holds no certificate in PEM form"]);
}

/// A hub whose clock is wrong.
struct WrongClock {
    ahead_ms: i64,
}

#[tonic::async_trait]
impl v1::hub_server::Hub for WrongClock {
    type SessionStream = tokio_stream::wrappers::ReceiverStream<Result<v1::HubMessage, Status>>;

    async fn session(
        &self,
        _: Request<Streaming<v1::AgentMessage>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        Err(Status::unavailable("it only answers"))
    }

    async fn check(&self, _: Request<v1::CheckRequest>) -> Result<Response<v1::CheckReply>, Status> {
        let time = weir::clock::wall().micros() + self.ahead_ms * 1_000;
        Ok(Response::new(v1::CheckReply {
            protocol: 0,
            version: "0.0.9".to_owned(),
            time,
            ..v1::CheckReply::default()
        }))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_is_far_from_the_hubs_is_told() {
    let place = Place::new();
    for (ahead_ms, parts) in [
        (7_200_000, ["problem", "2h behind the hub's", "timedatectl"]),
        (-30_000, ["warning", "30s ahead of the hub's", "timedatectl"]),
    ] {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let incoming = tonic::transport::server::TcpIncoming::from(listener);
        let serve = tonic::transport::Server::builder()
            .add_service(v1::hub_server::HubServer::new(WrongClock { ahead_ms }))
            .serve_with_incoming(incoming);
        let serving = weir::tasks::spawn("wrong-clock", serve);
        let config = hub_at(&url, &place.secret("token", "x"), "");
        let said = tokio::task::block_in_place(|| place.with(&config));
        said.has("clock", &parts);
        said.has("hub", &["warning", "it speaks protocol 0", "update the hub"]);
        serving.abort();
    }
}

#[test]
fn configuration_files_and_rules_are_read() {
    let place = Place::new();
    // None at all: how to make one.
    let said = run(&place.path("nowhere/weir.toml"), &[]);
    said.has("config", &["problem", "is not there", "weir config reference >"]);
    assert!(said.report["agent"].is_null() && !said.of("machine").is_empty());
    let said = place.with("[spool]\nmax_bites = 1");
    said.has("config", &["problem", "max_bites", "expected one of", "weir config reference"]);
    let said = place.with(&broker_at("http://x", ""));
    said.has("config", &["problem", "`url`", "correct [[broker]] `site`"]);

    std::fs::write(place.path("rules/wrong.yaml"), RULES.replace("device, v FROM", "devise, v FROM"))
        .unwrap();
    let said = place.with("");
    said.has("rules", &["problem", "wrong.yaml cannot run: 1 error", "devise", "weir check"]);
    std::fs::write(place.path("rules/wrong.yaml"), RULES.replace("KEY=", "SOURCE='yard', KEY=")).unwrap();
    let said = place.with(&broker_at(&format!("mqtt://127.0.0.1:{}", free_port()), ""));
    said.has("rules", &["warning", "`motors` of `wrong` reads from the source `yard`", "[[broker]]"]);
    let said = place.with("rules.directory = \"/nowhere\"");
    assert_eq!(said.code, Some(2), "a key twice");

    // Secrets that are open to all.
    use std::os::unix::fs::PermissionsExt;
    let token = place.secret("token", "x");
    std::fs::set_permissions(&token, std::fs::Permissions::from_mode(0o644)).unwrap();
    let said = place.with(&hub_at(&format!("http://127.0.0.1:{}", free_port()), &token, ""));
    said.has("files", &["warning", "every user of this machine may read", "chmod o="]);

    // Warnings alone end well, unless they count.
    std::fs::remove_file(place.path("rules/wrong.yaml")).unwrap();
    let said = place.with("");
    said.has("agent", &["warning", "it does not run"]);
    assert_eq!(said.code, Some(0));
    assert_eq!(run(&place.path("weir.toml"), &["--strict"]).code, Some(1));
}

/// A file system that the test mounts; it takes root to do so.
struct Mounted {
    at: PathBuf,
}

impl Mounted {
    fn new(at: PathBuf, options: &str) -> Option<Self> {
        std::fs::create_dir_all(&at).unwrap();
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(&at).output();
        mount.is_ok_and(|done| done.status.success()).then_some(Self { at })
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        assert!(Command::new("umount").arg(&self.at).status().unwrap().success());
    }
}

#[test]
fn a_disk_that_is_full_read_only_or_gone_is_told() {
    let place = Place::new();
    let at = |dir: &str| format!("agent.state_dir = {dir:?}");
    std::fs::write(place.path("file"), "").unwrap();
    place.with(&at(&place.shown("file"))).has("disk", &["problem", "is no directory", "agent.state_dir"]);
    let said = place.with(&at(&place.shown("new/state")));
    said.has("disk", &["ok", "is made at the first start"]);
    assert!(!place.path("new").exists());
    std::fs::create_dir(place.path("plain")).unwrap();
    let said = place.with(&at(&place.shown("plain")));
    said.has("disk", &[": ", " free", "is on the disk within"]);
    assert_eq!(std::fs::read_dir(place.path("plain")).unwrap().count(), 0, "it leaves nothing behind");

    // What follows takes root; elsewhere it is shown by CI, which has it.
    let Some(small) = Mounted::new(place.path("small"), "size=128k") else { return };
    let said = place.with(&at(&place.shown("small")));
    said.has("disk", &["warning", "lies in memory (tmpfs)", "agent.state_dir"]);
    said.has("disk", &["problem", "is full", "make room"]);
    std::fs::write(small.at.join("filler"), vec![0; 128 << 10]).unwrap();
    let said = place.with(&at(&place.shown("small")));
    said.has("disk", &["problem", "cannot be written: No space left", "make room"]);
    drop(small);
    let larger = Mounted::new(place.path("larger"), "size=20m").unwrap();
    place
        .with(&at(&place.shown("larger")))
        .has("disk", &["warning", "the outbox may grow by", "spool.max_bytes"]);
    drop(larger);
    let _sealed = Mounted::new(place.path("sealed"), "size=20m,ro").unwrap();
    place.with(&at(&place.shown("sealed"))).has("disk", &["problem", "mounted read-only", "remount,rw"]);
}

const HOT: &str = "
streams:
  - CREATE STREAM motors (v FLOAT) WITH (DATASOURCE='hall/{device}/v', KEY='device')
rules:
  - {id: hot, sql: 'SELECT device, v FROM motors', when: v > 60, severity: critical, flapping: off}
  - {id: warm, sql: 'SELECT device, v FROM motors', when: v > 40, severity: warning, flapping: off}
";

/// `weir spool` without an agent: the file is read, and stays what it is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_is_read_from_the_file_of_an_agent_that_is_down() {
    use crate::support::gateway::Gateway;
    use crate::support::programs::weir;
    let mut gateway = Gateway::start(HOT, "").await;
    for v in [70, 30, 50] {
        gateway.broker.publish("hall/m1/v", &format!(r#"{{"v": {v}}}"#), &["-q", "1"]);
    }
    gateway.broker.publish("hall/m1/v", "no number", &["-q", "1"]);
    let status = gateway.agent.until("all are decided", |s| s["core"]["spool"]["waiting"] == 5).await;
    assert_eq!(status["core"]["spool"]["newest"], 5);
    let config = gateway.config.clone();
    let state = Path::new(&config).parent().unwrap().join("state").display().to_string();
    let file = format!("{state}/spool.db");
    let json = |args: &[&str]| -> Json {
        let (ok, out, err) = weir(&[&["spool"], args, &["--json"]].concat());
        assert!(ok, "{err}");
        serde_json::from_str(&out).unwrap()
    };

    // While the agent runs it is asked, and its file is its own.
    let running = json(&["--config", &config]);
    assert_eq!(
        (&running["running"], &running["census"]["ranks"]),
        (&true.into(), &serde_json::json!([0, 3, 0, 2]))
    );
    let (ok, _, err) = weir(&["spool", "--file", &file]);
    assert!(!ok && err.contains("a running agent has") && err.contains("--config"), "{err}");
    let (_, shown, _) = weir(&["spool", "--config", &config]);
    for part in ["5 transitions wait for the hub", "2 critical, 3 warning", "no hub is configured"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }

    // What was dropped, in one place.
    let (_, drops, _) = weir(&["status", "--drops", "--config", &config]);
    for part in ["1      unused  rejects", "stream=motors", "do     ", "none of: broker-gaps"] {
        assert!(drops.contains(part), "{part}: {drops}");
    }
    let (_, drops, _) = weir(&["status", "--drops", "--json", "--config", &config]);
    let drops: Json = serde_json::from_str(&drops).unwrap();
    assert_eq!((&drops[0]["name"], &drops[0]["count"]), (&"rejects".into(), &1.into()));
    assert!(gateway.agent.shown().contains("drops 1 rejects"));

    // Ended in order, and without a warning.
    for killed in [false, true] {
        if killed {
            gateway.agent.run();
            gateway.agent.until("it runs", |s| s["core"]["spool"]["waiting"] == 5).await;
            gateway.agent.kill();
        } else {
            gateway.agent.stop();
        }
        let said = run(Path::new(&config), &[]);
        said.has("spool", &["ok", "spool.db", "5 transitions", "for the hub, the oldest for"]);
        said.has("agent", &["warning: it does not run"]);
        for place in [["--config", &*config], ["--state-dir", &*state], ["--file", &*file]] {
            let down = json(&place);
            assert_eq!(down["running"], false);
            for same in ["epoch", "census", "page"] {
                assert_eq!(down[same], running[same], "{same} by {place:?}");
            }
            let (ok, one, err) = weir(&[&["spool", "show", "2"], &place[..]].concat());
            assert!(ok, "{err}");
            assert_eq!(serde_json::from_str::<Json>(&one).unwrap()["seq"], 2);
            let (ok, lines, _) = weir(&[&["spool", "export"], &place[..]].concat());
            assert!(ok && lines.lines().count() == 5);
        }
        let (_, shown, _) = weir(&["spool", "--config", &config]);
        assert!(shown.contains("no agent runs there"), "{shown}");
    }
    let (ok, _, err) = weir(&["spool", "--state-dir", "/nowhere"]);
    assert!(!ok && err.contains("none ever did"), "{err}");
    // What waited goes on waiting.
    gateway.agent.run();
    gateway.agent.until("all is there", |s| s["core"]["spool"]["waiting"] == 5).await;

    // A damaged file.
    gateway.agent.stop();
    std::fs::write(&file, vec![0x55; 8_192]).unwrap();
    let said = run(Path::new(&config), &[]);
    said.has("spool", &["problem", "damaged", "check the disk"]);
}

#[test]
fn the_page_names_all_that_can_be_dropped() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/doctor.md");
    let page = std::fs::read_to_string(page).unwrap();
    for one in weir::agent::drops::DROPS {
        let row = format!("| `{}` | `{}` | {} | {} |", one.name, one.counter(), one.what, one.advice);
        assert!(page.contains(&row), "docs/doctor.md lacks\n{row}");
    }
    let named = page.lines().filter(|line| line.contains("| `weir_")).count();
    assert_eq!(named, weir::agent::drops::DROPS.len(), "the page names what is not there any more");
}
