//! The real programs, as child processes that can be killed and started again in place.

use std::fs::File;
use std::io::{BufRead, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use serde_json::Value as Json;

use super::desk::Desk;
use super::{PATIENCE, within};

/// A hub with its data in a directory.
pub(crate) struct HubProgram {
    program: PathBuf,
    pub(crate) child: Option<Child>,
    dir: PathBuf,
    args: Vec<String>,
    pub(crate) grpc: SocketAddr,
    pub(crate) http: String,
}

impl HubProgram {
    /// Starts it on free ports, which it keeps when it is started again.
    pub(crate) fn start(dir: &Path, args: &[&str]) -> Self {
        Self::start_on(dir, args, [0, 0])
    }

    /// The same with a `weir-hub` that was built elsewhere.
    pub(crate) fn start_program(program: &Path, dir: &Path, args: &[&str]) -> Self {
        Self::begin(program, dir, args, [0, 0])
    }

    /// Starts it on these ports, of gRPC and HTTP.
    pub(crate) fn start_on(dir: &Path, args: &[&str], ports: [u16; 2]) -> Self {
        Self::begin(Path::new(env!("CARGO_BIN_EXE_weir-hub")), dir, args, ports)
    }

    fn begin(program: &Path, dir: &Path, args: &[&str], ports: [u16; 2]) -> Self {
        std::fs::create_dir_all(dir).unwrap();
        let mut hub = Self {
            program: program.to_owned(),
            child: None,
            dir: dir.to_owned(),
            args: args.iter().map(|a| (*a).to_owned()).collect(),
            grpc: ([127, 0, 0, 1], ports[0]).into(),
            http: format!("http://127.0.0.1:{}", ports[1]),
        };
        hub.run();
        hub
    }

    /// Starts it, or starts it again.
    pub(crate) fn run(&mut self) {
        self.run_with(&[]);
    }

    /// The same with variables in its environment.
    pub(crate) fn run_with(&mut self, env: &[(&str, &str)]) {
        let mut child = Command::new(&self.program)
            .envs(env.iter().copied())
            .args(["serve", "--grpc-listen", &self.grpc.to_string()])
            .args(["--http-listen", self.http.rsplit("//").next().unwrap()])
            .args(["--data-dir".as_ref(), self.dir.as_os_str()])
            .args(&self.args)
            .stdout(Stdio::piped())
            .stderr(log(&self.dir.join("hub.log")))
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut address = || {
            let line = lines.next().expect("the hub says where it listens").unwrap();
            line.split_whitespace().last().unwrap().trim_end_matches('/').to_owned()
        };
        self.grpc = address().rsplit('/').next().unwrap().parse().unwrap();
        self.http = address();
        self.child = Some(child);
    }

    /// Ends it without a warning.
    pub(crate) fn kill(&mut self) {
        kill(&mut self.child);
    }

    /// Ends it in order; it must end well, and in time.
    pub(crate) fn stop(&mut self) {
        end(self.child.take().expect("it runs"), &self.dir.join("hub.log"));
    }

    /// Sends it a signal, as in `STOP`.
    pub(crate) fn signal(&self, signal: &str) {
        let pid = self.child.as_ref().expect("it runs").id().to_string();
        assert!(Command::new("kill").args(["-s", signal, &pid]).status().unwrap().success());
    }

    /// A token for an agent, in a file.
    pub(crate) fn token(&self, agent: &str) -> PathBuf {
        let token = weir::hub::tokens::add(&self.dir.join("agent-tokens"), agent).unwrap();
        let file = self.dir.join(format!("{agent}.token"));
        std::fs::write(&file, token).unwrap();
        file
    }

    /// A person at its API.
    pub(crate) fn desk(&self) -> Desk {
        let token = std::fs::read_to_string(self.dir.join("api-token")).unwrap();
        Desk::new(&self.http, token.trim())
    }

    /// A verb of its own command line: whether it went well, and what it said.
    pub(crate) fn verb(&self, args: &[&str]) -> (bool, String) {
        let output = self.command(args).output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8(text).unwrap())
    }

    /// A verb that goes on by itself.
    pub(crate) fn follow(&self, args: &[&str]) -> Followed {
        let mut child = self.command(args).stdout(Stdio::piped()).spawn().unwrap();
        let said = BufReader::new(child.stdout.take().unwrap());
        let (tell, lines) = sync_channel(64);
        weir::tasks::thread("said", move || {
            for line in said.lines().map_while(Result::ok) {
                if tell.send(line).is_err() {
                    return;
                }
            }
        })
        .unwrap();
        Followed { child, lines }
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_weir-hub"));
        command.args(args).args(["--hub", &self.http, "--token-file"]).arg(self.dir.join("api-token"));
        command
    }
}

/// A verb that goes on until it is dropped.
pub(crate) struct Followed {
    child: Child,
    lines: Receiver<String>,
}

impl Followed {
    /// The next line that it says.
    pub(crate) fn line(&self) -> String {
        self.lines.recv_timeout(PATIENCE).expect("the verb says something")
    }
}

impl Drop for Followed {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for HubProgram {
    fn drop(&mut self) {
        self.kill();
    }
}

/// An agent with its state in a directory.
pub(crate) struct AgentProgram {
    program: PathBuf,
    pub(crate) child: Option<Child>,
    dir: PathBuf,
    /// What it is started through.
    through: Vec<String>,
    /// Variables of its environment.
    pub(crate) env: Vec<(String, String)>,
}

impl AgentProgram {
    /// Starts the agent `id`. `config` is appended to a configuration without node metrics.
    pub(crate) fn start(dir: &Path, id: &str, config: &str) -> Self {
        Self::start_program(Path::new(env!("CARGO_BIN_EXE_weir")), dir, id, config)
    }

    /// The same with a `weir` that was built elsewhere.
    pub(crate) fn start_program(program: &Path, dir: &Path, id: &str, config: &str) -> Self {
        let mut agent = Self::new(program, dir, id, config);
        agent.run();
        agent
    }

    /// The same with variables of its environment, started through another program.
    pub(crate) fn start_through(
        (dir, through): (&Path, &[String]),
        id: &str,
        config: &str,
        env: &[(&str, &str)],
    ) -> Self {
        let mut agent = Self::new(Path::new(env!("CARGO_BIN_EXE_weir")), dir, id, config);
        agent.through = through.to_vec();
        agent.env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        agent.run();
        agent
    }

    fn new(program: &Path, dir: &Path, id: &str, config: &str) -> Self {
        std::fs::create_dir_all(dir).unwrap();
        let state = dir.join("state");
        let text = format!(
            "agent.id = {id:?}\nagent.state_dir = {:?}\nnode.enabled = false\n{config}\n",
            state.display().to_string()
        );
        std::fs::write(dir.join("weir.toml"), text).unwrap();
        let (program, dir) = (program.to_owned(), dir.to_owned());
        Self { program, child: None, dir, through: Vec::new(), env: Vec::new() }
    }

    /// The program, as it is started.
    fn command(&self) -> Command {
        match self.through.split_first() {
            None => Command::new(&self.program),
            Some((first, rest)) => {
                let mut command = Command::new(first);
                command.args(rest).arg(&self.program);
                command
            }
        }
    }

    /// Starts it, or starts it again.
    pub(crate) fn run(&mut self) {
        self.run_with(&[]);
    }

    /// The same with variables in its environment.
    pub(crate) fn run_with(&mut self, env: &[(&str, &str)]) {
        let child = self
            .command()
            .envs(self.env.clone())
            .envs(env.iter().copied())
            .args(["run".as_ref(), "--config".as_ref(), self.dir.join("weir.toml").as_os_str()])
            .stdout(Stdio::null())
            .stderr(log(&self.dir.join("agent.log")))
            .spawn()
            .unwrap();
        self.child = Some(child);
    }

    /// Ends it without a warning.
    pub(crate) fn kill(&mut self) {
        kill(&mut self.child);
    }

    /// Ends it in order; it must end well, and in time.
    pub(crate) fn stop(&mut self) {
        end(self.child.take().expect("it runs"), &self.dir.join("agent.log"));
    }

    /// `weir status --json`; `None` while it does not answer.
    pub(crate) fn status(&self) -> Option<Json> {
        let output = self
            .command()
            .args([
                "status".as_ref(),
                "--json".as_ref(),
                "--config".as_ref(),
                self.dir.join("weir.toml").as_os_str(),
            ])
            .output()
            .unwrap();
        output.status.success().then(|| serde_json::from_slice(&output.stdout).unwrap())
    }

    /// `weir status` as a person reads it.
    pub(crate) fn shown(&self) -> String {
        let config = self.dir.join("weir.toml");
        let output = self.command().args(["status", "--config"]).arg(config).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Sends it a signal, as in `STOP`.
    pub(crate) fn signal(&self, signal: &str) {
        let pid = self.child.as_ref().expect("it runs").id().to_string();
        assert!(Command::new("kill").args(["-s", signal, &pid]).status().unwrap().success());
    }

    /// Asks until the status holds what is waited for.
    pub(crate) async fn until(&self, what: &str, holds: impl Fn(&Json) -> bool) -> Json {
        within(what, async {
            loop {
                if let Some(status) = self.status().filter(|status| holds(status)) {
                    return status;
                }
                assert!(
                    !self.has_ended(),
                    "the agent ended while this was waited for: {what}\n{}",
                    self.log()
                );
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        })
        .await
    }

    /// Waits until it has ended by itself; its exit.
    pub(crate) fn ended(&mut self) -> std::process::ExitStatus {
        let mut child = self.child.take().expect("it runs");
        let (ended, waiting) = sync_channel(1);
        weir::tasks::thread("wait-for-end", move || ended.send(child.wait().unwrap())).unwrap();
        waiting.recv_timeout(PATIENCE).expect("it ends")
    }

    /// Whether it ended by itself, or was killed by the system.
    fn has_ended(&self) -> bool {
        let pid = self.child.as_ref().map_or(0, Child::id);
        // Nobody has waited for it, so that its number is still its own.
        std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| stat.contains(") Z "))
    }

    /// What it said last.
    pub(crate) fn log(&self) -> String {
        let log = std::fs::read_to_string(self.dir.join("agent.log")).unwrap_or_default();
        let from = log.len().saturating_sub(2_000);
        log.get(log.ceil_char_boundary(from)..).unwrap_or_default().to_owned()
    }
}

impl Drop for AgentProgram {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Runs a verb of `weir`; its exit, standard output and standard error.
pub(crate) fn weir(args: &[&str]) -> (bool, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_weir")).args(args).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.success(), text(output.stdout), text(output.stderr))
}

/// A port that is free at the moment.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Ends a program without a warning, if it runs.
fn kill(child: &mut Option<Child>) {
    if let Some(mut child) = child.take() {
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

/// Tells a program to end, and waits until it has.
fn end(mut child: Child, log: &Path) {
    Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    let (ended, waiting) = sync_channel(1);
    weir::tasks::thread("wait-for-end", move || ended.send(child.wait().unwrap())).unwrap();
    let status = waiting.recv_timeout(PATIENCE).expect("the program ends when it is told to");
    assert!(status.success(), "{status}: {}", std::fs::read_to_string(log).unwrap());
}

fn log(path: &Path) -> File {
    let mut file = File::options().create(true).append(true).open(path).unwrap();
    writeln!(file, "--- start").unwrap();
    file
}
