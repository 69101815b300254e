//! One load: so many messages, at a rate or at the limit, and what came of them.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value as Json, json};
use weir::clock::Clock;
use weir::tasks;

use super::options::{Options, Service};
use super::pool::{Pool, Rules};
use super::process::{Memory, Process};
use super::publisher::Publisher;
use super::subject::{PROBES, Reader, Setup, Subject};
use super::support::mosquitto::{self, Mosquitto};
use super::support::programs::free_port;

/// How long a reader may take after the last message.
const BEHIND: Duration = Duration::from_secs(10);
/// Connections that publish where the broker's limit is sought.
const PUBLISHERS: usize = 4;
/// How often latency is probed, µs.
const PROBE_EVERY: u64 = 20_000;

/// What is published.
#[derive(Clone, Copy)]
pub(crate) struct Load {
    pub(crate) rate: Option<u64>,
    pub(crate) messages: usize,
    /// Whether probes are sent between.
    pub(crate) probes: bool,
}

/// What came of it.
pub(crate) struct Cell {
    pub(crate) subject: Subject,
    pub(crate) rules: usize,
    pub(crate) service: Service,
    pub(crate) load: Load,
    /// How long publishing took.
    pub(crate) publishing: f64,
    /// Until the last message was dealt with.
    pub(crate) seconds: f64,
    pub(crate) expected: u64,
    pub(crate) came: u64,
    /// Whether the last message was not dealt with in time.
    pub(crate) behind: bool,
    pub(crate) cpu_nanos: u64,
    pub(crate) broker_cpu_nanos: u64,
    pub(crate) memory: Memory,
    /// Of the probes, µs, sorted.
    pub(crate) latency: Vec<i64>,
}

/// A broker, a reader that runs rules, and what they are loaded with.
pub(crate) struct Bench {
    /// Ends before the broker does.
    pub(crate) reader: Reader,
    broker: Mosquitto,
    /// Where the broker is spoken to without TLS.
    port: u16,
    pub(crate) subject: Subject,
    pub(crate) service: Service,
    pub(crate) rules: usize,
    pub(crate) pool: Arc<Pool>,
    sums: Vec<u64>,
    offered: u64,
}

impl Bench {
    /// Starts both. A ceiling has no rules: what is expected of it is every message.
    pub(crate) async fn start(
        subject: Subject,
        options: &Options,
        agent: &Path,
        pool: &Arc<Pool>,
        service: Service,
        rules: usize,
    ) -> Self {
        Self::with(subject, options, agent, pool, service, rules, Vec::new()).await
    }

    /// The same with further rule files.
    pub(crate) async fn with(
        subject: Subject,
        options: &Options,
        agent: &Path,
        pool: &Arc<Pool>,
        service: Service,
        rules: usize,
        more: Vec<(&'static str, String)>,
    ) -> Self {
        let tls = subject == Subject::AgentTls;
        // What the broker would write to its log costs more than the messages.
        let mut extra = String::from("log_type none\n");
        let plain_port = if tls { free_port() } else { 0 };
        if tls {
            writeln!(extra, "listener {plain_port} 127.0.0.1").unwrap();
        }
        let broker = Mosquitto::with(&mosquitto::Options {
            tls,
            max_inflight: (service == Service::OneFree).then_some(0),
            extra: extra.leak(),
            ..mosquitto::Options::default()
        });
        let port = if tls { plain_port } else { broker.port() };
        let all = Rules::new(rules, options.one_in);
        let sums = match subject {
            Subject::Client | Subject::Ingest => (0..=pool.len() as u64).collect(),
            _ => pool.matches(&all),
        };
        let mut files = vec![("load", all.yaml()), ("probes", PROBES.to_owned())];
        files.extend(more);
        let plain = (subject == Subject::Peer).then(|| all.plain());
        let setup = Setup { options, agent, broker: &broker, port, service, files, plain };
        let reader = Reader::start(subject, setup).await;
        Self { broker, port, reader, subject, service, rules, pool: pool.clone(), sums, offered: 0 }
    }

    /// Matches of `count` messages, beginning with those at `from..to` and over again.
    fn expected(&self, from: usize, to: usize, count: usize) -> u64 {
        let (rounds, rest) = (count / (to - from), count % (to - from));
        let matches = |from: usize, to: usize| self.sums[to] - self.sums[from];
        rounds as u64 * matches(from, to) + matches(from, from + rest)
    }

    /// Publishes a load and waits until the reader has it.
    pub(crate) async fn run(&mut self, load: Load) -> Cell {
        let parts = if load.rate.is_some() { 1 } else { PUBLISHERS };
        let (count, span) = (load.messages / parts, self.pool.len() / parts);
        let mut publishers: Vec<Publisher> =
            (0..parts).map(|i| self.connect(&format!("publisher-{i}"))).collect();
        let mut last = self.connect("last");
        let expected = (0..parts).map(|i| self.expected(i * span, (i + 1) * span, count)).sum();
        self.reader.look().await;
        let (came, probed) = (self.reader.of_load(), self.reader.probes.len());
        let processes = [self.reader.process(), self.broker_process()];
        let before = processes.map(Process::cpu_nanos);
        let clock = Clock::start();
        let publishing: Vec<_> = publishers
            .drain(..)
            .enumerate()
            .map(|(i, mut publisher)| {
                let (pool, qos) = (self.pool.clone(), self.service.qos());
                tasks::thread("publisher", move || {
                    let places = i * span..(i + 1) * span;
                    publisher.publish(pool.packets(qos), places, count, load.rate);
                })
                .unwrap()
            })
            .collect();
        if load.probes {
            // On a thread of its own the probes would wait for the reader's answers.
            let mut probing = self.connect("probing");
            while publishing.iter().any(|thread| !thread.is_finished()) {
                let sent = weir::clock::wall().micros();
                probing.say("bench/probing", &format!("{{\"sent\": {sent}}}"));
                tokio::time::sleep(Duration::from_micros(PROBE_EVERY)).await;
            }
        }
        for thread in publishing {
            thread.join().unwrap();
        }
        let published = clock.uptime();
        let behind = match self.reader.is_peer() {
            true => !self.settled(came + expected).await,
            false => !self.reader.probe(&mut last, "last", BEHIND).await,
        };
        let seconds = clock.uptime().as_secs_f64();
        let after = processes.map(Process::cpu_nanos);
        let memory = processes[0].memory();
        let answered = self.reader.probes[probed..].iter().filter(|probe| probe.name == "probing");
        let mut latency: Vec<i64> = answered.map(|probe| probe.micros).collect();
        latency.sort_unstable();
        self.offered += (count * parts) as u64;
        Cell {
            subject: self.subject,
            rules: self.rules,
            service: self.service,
            load: Load { messages: count * parts, ..load },
            publishing: published.as_secs_f64(),
            seconds,
            expected,
            came: self.reader.of_load() - came,
            behind,
            cpu_nanos: after[0] - before[0],
            broker_cpu_nanos: after[1] - before[1],
            memory,
            latency,
        }
    }

    /// Matches of the first `count` messages.
    pub(crate) fn expected_of(&self, count: usize) -> u64 {
        self.expected(0, self.pool.len(), count)
    }

    /// Messages offered so far, and what the agent counted: received, and dropped.
    pub(crate) fn account(&self) -> Option<(u64, [u64; 2])> {
        Some((self.offered, self.reader.counted()?))
    }

    pub(crate) fn connect(&self, name: &str) -> Publisher {
        Publisher::connect(self.port, name)
    }

    fn broker_process(&self) -> Process {
        Process(self.broker.child.as_ref().expect("it runs").id())
    }

    /// Waits for another program, which answers no probes: until it gave what is expected, or nothing
    /// more for a while.
    async fn settled(&mut self, expected: u64) -> bool {
        let clock = Clock::start();
        while clock.uptime() < BEHIND {
            self.reader.look().await;
            if self.reader.of_load() >= expected {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        false
    }
}

impl Cell {
    /// Messages that were dealt with: all, or for one that is behind what its matches let one guess.
    fn done(&self) -> f64 {
        let all = self.load.messages as f64;
        if self.behind { (all * self.came as f64 / self.expected.max(1) as f64).max(1.0) } else { all }
    }

    pub(crate) fn cpu(&self) -> f64 {
        self.cpu_nanos as f64 / self.done()
    }

    pub(crate) fn broker_cpu(&self) -> f64 {
        self.broker_cpu_nanos as f64 / self.load.messages as f64
    }

    /// Of a core, while the load lasted.
    pub(crate) fn share(&self) -> f64 {
        self.cpu_nanos as f64 / 1e9 / self.seconds
    }

    pub(crate) fn lost(&self) -> i64 {
        self.expected as i64 - self.came as i64
    }

    pub(crate) fn rate(&self) -> f64 {
        self.done() / self.seconds
    }

    /// A quantile of the probes' latency, ms.
    pub(crate) fn latency(&self, percent: usize) -> Option<f64> {
        let at = (self.latency.len() * percent).div_ceil(100).max(1) - 1;
        self.latency.get(at).map(|micros| *micros as f64 / 1e3)
    }

    pub(crate) const HEAD: &str = "reader       rules   QoS     offered/s messages  expected  came      lost  done/s    CPU ns  broker   ratio  core %  RSS MB own MB";

    pub(crate) fn line(&self) -> String {
        let rate = self.load.rate.map_or("max".to_owned(), |rate| rate.to_string());
        let behind = if self.behind { "  behind" } else { "" };
        let latency = match (self.latency(50), self.latency(99)) {
            (Some(p50), Some(p99)) => format!("  latency p50 {p50:.2} p99 {p99:.2} ms"),
            _ => String::new(),
        };
        format!(
            "{:<13}{:<8}{:<8}{:<10}{:<10}{:<10}{:<10}{:<6}{:<10.0}{:<8.0}{:<9.0}{:<7.3}{:<8.1}{:<7.1}{:<7.1}{behind}{latency}",
            self.subject.name(),
            self.rules,
            self.service.name(),
            rate,
            self.load.messages,
            self.expected,
            self.came,
            self.lost(),
            self.rate(),
            self.cpu(),
            self.broker_cpu(),
            self.cpu() / self.broker_cpu(),
            100.0 * self.share(),
            self.memory.resident_bytes as f64 / 1e6,
            self.memory.anonymous_bytes as f64 / 1e6,
        )
    }

    pub(crate) fn json(&self) -> Json {
        json!({
            "subject": self.subject.name(), "rules": self.rules, "qos": self.service.name(),
            "rate": self.load.rate, "offered": self.load.messages, "publishing_seconds": self.publishing,
            "seconds": self.seconds, "expected": self.expected, "came": self.came, "lost": self.lost(),
            "behind": self.behind, "cpu_ns_per_message": self.cpu(),
            "broker_cpu_ns_per_message": self.broker_cpu(), "core_share": self.share(),
            "rss_bytes": self.memory.resident_bytes, "peak_bytes": self.memory.peak_bytes,
            "anonymous_bytes": self.memory.anonymous_bytes,
            "latency_p50_ms": self.latency(50), "latency_p99_ms": self.latency(99),
        })
    }
}
