//! The figures: one table for people, the same as JSON.

use std::fmt;
use std::path::Path;

use serde_json::{Value as Json, json};

use super::reader::Subject;
use super::run::Run;

/// What the agent's program should not be larger than, bytes.
const SIZE_AIM: u64 = 8_000_000;
/// What it should not take after the recording, bytes.
const RSS_AIM: u64 = 12_000_000;

pub(crate) struct Report {
    agent_size: u64,
    pub(crate) runs: Vec<Run>,
    /// Microseconds, sorted.
    pub(crate) breach: Vec<(Subject, Vec<u64>)>,
}

impl Report {
    pub(crate) fn new(agent: &Path) -> Self {
        let agent_size = std::fs::metadata(agent).unwrap().len();
        Self { agent_size, runs: Vec::new(), breach: Vec::new() }
    }

    /// What must not be, whatever the machine.
    pub(crate) fn failure(&self) -> Option<String> {
        let lost = self.runs.iter().find(|run| run.qos > 0 && run.received != run.offered)?;
        let (who, load) = (lost.subject.name(), lost.load);
        Some(format!("{who}, {load}: {} messages offered, {} received", lost.offered, lost.received))
    }

    pub(crate) fn json(&self) -> Json {
        let runs: Vec<Json> = self.runs.iter().map(|run| self.run(run)).collect();
        let breach: Vec<Json> =
            self.breach.iter().map(|(subject, micros)| self.breaches(*subject, micros)).collect();
        json!({
            "agent_size_bytes": self.agent_size, "agent_size_aim_bytes": SIZE_AIM,
            "agent_rss_bytes": self.rss(), "agent_rss_aim_bytes": RSS_AIM,
            "runs": runs, "breach": breach,
        })
    }

    fn breaches(&self, subject: Subject, micros: &[u64]) -> Json {
        json!({
            "subject": subject.name(), "count": micros.len(),
            "p50_us": quantile(micros, 50), "p99_us": quantile(micros, 99), "max_us": quantile(micros, 100),
            "p50_to_client": self.to_client(micros, 50), "p99_to_client": self.to_client(micros, 99),
        })
    }

    fn run(&self, run: &Run) -> Json {
        json!({
            "load": run.load, "subject": run.subject.name(), "offered": run.offered, "received": run.received,
            "lost": run.lost(), "seconds": run.seconds, "messages_per_second": run.rate(),
            "cpu_ns_per_message": run.cpu(), "broker_cpu_ns_per_message": run.broker_cpu(),
            "cpu_to_client": self.beside(run, Subject::Client, Run::cpu),
            "cpu_to_broker": run.cpu() / run.broker_cpu(),
            "rate_to_client": self.beside(run, Subject::Client, Run::rate),
            "rss_bytes": run.memory.resident_bytes, "peak_bytes": run.memory.peak_bytes,
            "anonymous_bytes": run.memory.anonymous_bytes,
            "transitions": run.transitions,
        })
    }

    /// A figure of `run` as a multiple of another subject's under the same load.
    fn beside(&self, run: &Run, subject: Subject, figure: fn(&Run) -> f64) -> f64 {
        let other = self.runs.iter().find(|other| other.subject == subject && other.load == run.load);
        other.map_or(1.0, |other| figure(run) / figure(other))
    }

    fn to_client(&self, micros: &[u64], percent: usize) -> f64 {
        let client = self.breach.iter().find(|(subject, _)| *subject == Subject::Client);
        client
            .map_or(1.0, |(_, ceiling)| quantile(micros, percent) as f64 / quantile(ceiling, percent) as f64)
    }

    /// Resident memory of the agent after the recording, which is the first load.
    fn rss(&self) -> u64 {
        let run = self.runs.iter().find(|run| run.subject == Subject::Agent);
        run.map_or(0, |run| run.memory.resident_bytes)
    }
}

impl Run {
    pub(crate) fn rate(&self) -> f64 {
        self.received as f64 / self.seconds
    }

    pub(crate) fn cpu(&self) -> f64 {
        self.cpu_nanos as f64 / self.received as f64
    }

    pub(crate) fn broker_cpu(&self) -> f64 {
        self.broker_cpu_nanos as f64 / self.received as f64
    }

    fn lost(&self) -> i64 {
        self.offered as i64 - self.received as i64
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<18}{:<13}{:>9}{:>11}{:>9}{:>9}{:>11}{:>8}{:>8}{:>8}{:>7}{:>8}",
            "load",
            "reader",
            "messages",
            "messages/s",
            "CPU ns",
            "/ client",
            "broker ns",
            "RSS MB",
            "own MB",
            "peak MB",
            "lost",
            "alerts"
        )?;
        for run in &self.runs {
            writeln!(
                f,
                "{:<18}{:<13}{:>9}{:>11.0}{:>9.0}{:>9.2}{:>11.0}{:>8.1}{:>8.1}{:>8.1}{:>7}{:>8}",
                run.load,
                run.subject.name(),
                run.offered,
                run.rate(),
                run.cpu(),
                self.beside(run, Subject::Client, Run::cpu),
                run.broker_cpu(),
                megabytes(run.memory.resident_bytes),
                megabytes(run.memory.anonymous_bytes),
                megabytes(run.memory.peak_bytes),
                run.lost(),
                run.transitions,
            )?;
        }
        writeln!(
            f,
            "CPU and broker: nanoseconds a message, of the whole process. Own: without the pages of program and"
        )?;
        writeln!(f, "libraries. Alerts: transitions on the hub.\n")?;
        writeln!(
            f,
            "{:<31}{:>9}{:>11}{:>11}{:>9}{:>9}",
            "published to seen, idle", "times", "p50 us", "p99 us", "max us", "/ client"
        )?;
        for (subject, micros) in &self.breach {
            let what = match subject {
                Subject::Agent => "breach to the hub's events",
                other => other.name(),
            };
            let [p50, p99, max] = [50, 99, 100].map(|percent| quantile(micros, percent));
            let ratio = self.to_client(micros, 50);
            writeln!(f, "{what:<31}{:>9}{p50:>11}{p99:>11}{max:>9}{ratio:>9.2}", micros.len())?;
        }
        writeln!(f)?;
        let aims = [
            ("agent's program", self.agent_size, SIZE_AIM),
            ("agent's RSS after the recording", self.rss(), RSS_AIM),
        ];
        for (what, figure, aim) in aims {
            let verdict = if figure < aim { "within" } else { "above" };
            writeln!(
                f,
                "{what:<31}{:>9.2} MB, {verdict} the aim of {:.0} MB",
                megabytes(figure),
                megabytes(aim)
            )?;
        }
        Ok(())
    }
}

fn quantile(sorted: &[u64], percent: usize) -> u64 {
    let at = (sorted.len() * percent).div_ceil(100).max(1) - 1;
    sorted.get(at).copied().unwrap_or(0)
}

fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}
