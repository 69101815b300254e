//! A real mosquitto on a random loopback port, in a directory of its own.

use std::fmt::Write as _;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use super::certificates::certificates;

const INSTALL: &str = "install it with `apt-get install mosquitto mosquitto-clients`";

/// How the broker is set up.
#[derive(Clone, Debug, Default)]
pub(crate) struct Options {
    /// TLS with a private authority; clients must show a certificate of that authority.
    pub(crate) tls: bool,
    /// The only login that is accepted.
    pub(crate) login: Option<(&'static str, &'static str)>,
    /// Messages in flight per client; the broker's default is 20.
    pub(crate) max_inflight: Option<u16>,
    /// Further lines of the configuration.
    pub(crate) extra: &'static str,
    /// The port; by default one that is free at the moment.
    pub(crate) port: Option<u16>,
    /// The access rules, in the broker's own form.
    pub(crate) acl: Option<&'static str>,
}

/// A running broker; dropped, it is stopped and its directory removed.
pub(crate) struct Mosquitto {
    dir: TempDir,
    port: u16,
    pub(crate) child: Option<Child>,
}

impl Mosquitto {
    /// A broker with the defaults, which keeps its sessions on disk.
    pub(crate) fn start() -> Self {
        Self::with(&Options::default())
    }

    /// A broker set up with `options`.
    pub(crate) fn with(options: &Options) -> Self {
        let dir = tempfile::Builder::new().prefix("weir-mosquitto").tempdir().unwrap();
        let free = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let port = options.port.unwrap_or_else(free);
        let at = dir.path();
        let mut text = format!(
            "user {}\nlistener {port} 127.0.0.1\npersistence true\npersistence_location {}/\nmax_queued_messages 0\nmax_queued_bytes 0\nset_tcp_nodelay true\nlog_dest file {}\nlog_type all\n",
            user(),
            at.display(),
            at.join("log").display(),
        );
        if let Some(count) = options.max_inflight {
            writeln!(text, "max_inflight_messages {count}").unwrap();
        }
        match options.login {
            Some((user, password)) => {
                let file = at.join("passwords");
                fs::write(&file, "").unwrap();
                let made = Command::new(binary("mosquitto_passwd"))
                    .args(["-b"])
                    .arg(&file)
                    .args([user, password])
                    .status();
                assert!(made.unwrap().success());
                writeln!(text, "allow_anonymous false\npassword_file {}", file.display()).unwrap();
            }
            None => text.push_str("allow_anonymous true\n"),
        }
        if let Some(rules) = options.acl {
            let file = at.join("acl");
            fs::write(&file, rules).unwrap();
            writeln!(text, "acl_file {}", file.display()).unwrap();
        }
        if options.tls {
            certificates(at);
            let file = |name: &str| at.join(name).display().to_string();
            writeln!(
                text,
                "cafile {}\ncertfile {}\nkeyfile {}\nrequire_certificate true",
                file("ca.pem"),
                file("server.pem"),
                file("server.key"),
            )
            .unwrap();
        }
        text.push_str(options.extra);
        fs::write(at.join("mosquitto.conf"), text).unwrap();
        let mut broker = Self { dir, port, child: None };
        broker.run();
        broker
    }

    /// The port on 127.0.0.1.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The address for a plain connection.
    pub(crate) fn url(&self) -> String {
        format!("mqtt://127.0.0.1:{}", self.port)
    }

    /// A file in the broker's directory: `ca.pem`, `client.pem`, `client.key`, or one to be made.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Stops the broker, so that it saves what it keeps.
    pub(crate) fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let pid = child.id().to_string();
            Command::new("kill").args(["-TERM", &pid]).status().unwrap();
            for _ in 0..100 {
                if child.try_wait().unwrap().is_some() {
                    return;
                }
                pause(50);
            }
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Ends the broker without a warning: what it did not save is gone.
    #[cfg(feature = "hub")]
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Starts it again on the same port and directory.
    pub(crate) fn run(&mut self) {
        let child = Command::new(binary("mosquitto"))
            .arg("-c")
            .arg(self.file("mosquitto.conf"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        self.child = Some(child);
        for _ in 0..200 {
            if TcpStream::connect(("127.0.0.1", self.port)).is_ok() {
                return;
            }
            pause(25);
        }
        panic!("mosquitto does not listen: {}", fs::read_to_string(self.file("log")).unwrap_or_default());
    }

    /// Publishes one message and waits until the broker has it.
    pub(crate) fn publish(&self, topic: &str, payload: &str, flags: &[&str]) {
        let how = if payload.is_empty() { "-n" } else { "-s" };
        self.publish_bytes(topic, payload.as_bytes(), &[&[how], flags].concat());
    }

    /// Publishes each line as a message of its own.
    pub(crate) fn publish_lines(&self, topic: &str, lines: &[String], flags: &[&str]) {
        self.publish_bytes(topic, (lines.join("\n") + "\n").as_bytes(), &[&["-l"], flags].concat());
    }

    /// Publishes bytes that are no text as one message.
    #[cfg(feature = "hub")]
    pub(crate) fn publish_raw(&self, topic: &str, payload: &[u8], flags: &[&str]) {
        self.publish_bytes(topic, payload, &[&["-s"], flags].concat());
    }

    fn publish_bytes(&self, topic: &str, input: &[u8], flags: &[&str]) {
        let mut child = Command::new(binary("mosquitto_pub"))
            .args(["-h", "127.0.0.1", "-p", &self.port.to_string(), "-V", "mqttv5", "-t", topic])
            .args(flags)
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input).unwrap();
        let status = child.wait().unwrap();
        let mut said = String::new();
        child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        assert!(status.success(), "mosquitto_pub: {said}");
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        self.stop();
    }
}

fn binary(name: &str) -> PathBuf {
    ["/usr/sbin", "/usr/bin", "/usr/local/sbin", "/usr/local/bin"]
        .iter()
        .map(|dir| Path::new(dir).join(name))
        .find(|path| path.exists())
        .unwrap_or_else(|| panic!("`{name}` is not on this machine; {INSTALL}"))
}

/// Who runs the tests: started by root, the broker would become somebody who cannot write here.
fn user() -> String {
    let output = Command::new("id").arg("-un").output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Waits a little for another process.
fn pause(millis: u64) {
    let (_keep, never) = std::sync::mpsc::sync_channel::<()>(0);
    never.recv_timeout(Duration::from_millis(millis)).unwrap_err();
}
