//! Hosts: a network namespace each, with programs in it.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use tappers::Tun;
use weir::tasks;

use super::link::device;

/// How a namespace of these tests is named: with the process that made it, so that another one can tell what was
/// left behind.
const PREFIX: &str = "weirsim";

/// No program here takes longer to start or to end on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A host; its namespace goes with it.
pub(crate) struct Host {
    name: String,
    interface: String,
}

impl Host {
    /// A host with a device that leads to another one.
    pub(crate) fn new(seed: u64, role: char, own: &str, other: &str) -> (Self, Tun) {
        let process = std::process::id();
        // At most 15 letters.
        let interface = format!("w{:x}{role}{:x}", process & 0xf_ffff, seed & 0xff_ffff);
        let host = Self { name: format!("{PREFIX}-{process}-{seed}{role}"), interface: interface.clone() };
        ip(&["netns", "add", &host.name]);
        let tun = device(&interface);
        ip(&["link", "set", "dev", &interface, "netns", &host.name]);
        ip(&["-n", &host.name, "addr", "add", own, "peer", other, "dev", &interface]);
        ip(&["-n", &host.name, "link", "set", "dev", &interface, "up"]);
        ip(&["-n", &host.name, "link", "set", "dev", "lo", "up"]);
        (host, tun)
    }

    /// A command that runs in here.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name]).arg(program);
        command
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // Connections that nobody has any more hold the namespace for minutes; the device must go at once.
        for args in [&["-n", &self.name, "link", "del", &self.interface][..], &["netns", "del", &self.name]] {
            drop(Command::new("ip").args(args).status());
        }
    }
}

/// Removes what processes that are no more have left behind.
pub(crate) fn sweep() {
    let list = Command::new("ip").args(["netns", "list"]).output().unwrap();
    for line in String::from_utf8_lossy(&list.stdout).lines() {
        let name = line.split_whitespace().next().unwrap_or("");
        let owner = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').nth(1));
        if owner.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            ip(&["netns", "del", name]);
        }
    }
}

fn ip(args: &[&str]) {
    let output = Command::new("ip").args(args).output().expect("`ip` of iproute2 is there");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "ip {}: {said}; network namespaces need root", args.join(" "));
}

/// A program that runs; it is ended when this is dropped.
pub(crate) struct Program {
    child: Option<Child>,
}

impl Program {
    /// Starts it; what it says goes to the end of `log`.
    pub(crate) fn start(command: &mut Command, log: &Path) -> Self {
        Self::spawn(command.stdin(Stdio::null()).stdout(Stdio::null()), log)
    }

    /// Starts it, and returns once it has said so many lines.
    pub(crate) fn start_and_hear(command: &mut Command, log: &Path, lines: usize) -> Self {
        let mut program = Self::spawn(command.stdin(Stdio::null()).stdout(Stdio::piped()), log);
        let said = program.child.as_mut().and_then(|child| child.stdout.take()).unwrap();
        let (tell, heard) = sync_channel(1);
        let reader = tasks::thread("said", move || {
            tell.send(BufReader::new(said).lines().take(lines).filter(Result::is_ok).count())
        });
        let count = heard.recv_timeout(PATIENCE).expect("the program says that it is up");
        reader.unwrap().join().unwrap().unwrap();
        assert_eq!(count, lines, "{}", std::fs::read_to_string(log).unwrap_or_default());
        program
    }

    /// Starts it with lines to be read.
    pub(crate) fn start_with_input(command: &mut Command, log: &Path) -> (Self, std::process::ChildStdin) {
        let mut program = Self::spawn(command.stdin(Stdio::piped()).stdout(Stdio::null()), log);
        let input = program.child.as_mut().and_then(|child| child.stdin.take()).unwrap();
        (program, input)
    }

    fn spawn(command: &mut Command, log: &Path) -> Self {
        let log = File::options().create(true).append(true).open(log).unwrap();
        Self { child: Some(command.stderr(log).spawn().unwrap()) }
    }

    /// Ends it without a warning.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Tells it to end, and whether it did so well and in time.
    pub(crate) fn stop(&mut self) -> Result<(), String> {
        let Some(mut child) = self.child.take() else { return Ok(()) };
        let pid = child.id().to_string();
        Command::new("kill").args(["-TERM", &pid]).status().unwrap();
        let (ended, waiting) = sync_channel(1);
        // Where nobody waits any more it is left to the end of the test.
        drop(tasks::thread("wait-for-end", move || ended.send(child.wait())).unwrap());
        match waiting.recv_timeout(PATIENCE) {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(Ok(status)) => Err(format!("ended with {status}")),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => {
                Command::new("kill").args(["-KILL", &pid]).status().unwrap();
                Err(format!("did not end within {PATIENCE:?}"))
            }
        }
    }

    /// Whether it has ended by itself.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| child.try_wait().is_ok_and(|status| status.is_some()))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.kill();
    }
}
