//! `weir doctor`: looks at everything that an agent needs, says what it found, and what to do next. It changes nothing,
//! takes nobody's session, and leaves nothing behind.

mod broker;
mod config;
mod disk;
mod hub;
mod machine;
mod report;
mod running;
mod spool;

use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::screen::Screen;
use crate::clock;
use crate::config::{AgentConfig, DEFAULT_PATH};
use crate::model::time::parse_span;
use crate::tasks;
use report::{Layout, Line, Report, problem};
use running::Running;

/// Look at configuration, brokers, hub, disk, clock and versions, and say what to do.
///
/// Exits with 0 where there is no problem, with 2 where there is one; with --strict, with 1 where there is a warning.
#[derive(Debug, clap::Args)]
pub(super) struct Doctor {
    /// The agent's configuration file
    #[arg(long, short, default_value = DEFAULT_PATH, value_name = "FILE")]
    config: PathBuf,
    /// How long each step of each check may take
    #[arg(long, default_value = "5s", value_parser = parse_span, value_name = "TIME")]
    timeout: Duration,
    /// Exit with 1 where there are warnings
    #[arg(long)]
    strict: bool,
    /// As one JSON object
    #[arg(long)]
    json: bool,
}

/// The exit where there is a problem, and where there are warnings that count.
const PROBLEMS: u8 = 2;
const WARNINGS: u8 = 1;

/// So many times as long as one step, a whole check may take.
const STEPS: u32 = 6;

impl Doctor {
    pub(super) fn run(self) -> Result<ExitCode> {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().context("start a runtime")?;
        let report = runtime.block_on(self.examine());
        // A disk or a name service that hangs must not hold the end up.
        runtime.shutdown_background();
        let mut out = std::io::stdout().lock();
        // A reader such as `head` may close early.
        drop(match self.json {
            true => writeln!(out, "{}", serde_json::to_string_pretty(&report)?),
            false => writeln!(out, "\n{}", report.verdict()),
        });
        Ok(match (report.problems, report.warnings) {
            (1.., _) => ExitCode::from(PROBLEMS),
            (0, 1..) if self.strict => ExitCode::from(WARNINGS),
            _ => ExitCode::SUCCESS,
        })
    }

    async fn examine(&self) -> Report {
        let (config, lines) = config::read(&self.config);
        let mut desk = Desk::new(self.json, config.as_ref());
        desk.add(lines);
        match &config {
            Some(config) => self.agent(config, &mut desk).await,
            None => {
                desk.add(machine::clock(clock::wall(), &machine::Hints::here(), None, &Running::No));
                desk.add(machine::machine());
            }
        }
        let shown = config::config_path(&self.config).display().to_string();
        Report::new(shown, config.map(|config| config.agent.id), desk.lines)
    }

    /// Everything about an agent that is configured. What must be waited for is waited for side by side.
    async fn agent(&self, config: &AgentConfig, desk: &mut Desk) {
        let (patience, now) = (self.timeout, clock::wall());
        let config = Arc::new(config.clone());
        let hub = {
            let config = Arc::clone(&config);
            tasks::spawn("doctor-hub", async move { hub::look(&config, patience, now).await })
        };
        let disk = blocking(&config, disk::look);
        let known = blocking(&config, move |config| {
            let mut lines = config::files(config, now);
            let (mut sets, of_rules) = config::rules(config);
            lines.extend(of_rules);
            let (running, of_agent) = running::ask(config);
            let (kept, of_spool) = spool::lines(config, &running);
            match running.status() {
                Some(_) => sets = running::sets(config),
                // Those of the directory stand there as they are now.
                None => sets.extend(kept.into_iter().filter(|set| !set.is_of_directory)),
            }
            lines.extend(config::sources(config, &sets));
            lines.extend(of_agent);
            (running, sets, lines, of_spool)
        });
        let Some((running, sets, lines, of_spool)) =
            desk.wait("the rules and the agent", self.limit(), known).await
        else {
            return;
        };
        desk.add(lines);
        let (running, sets) = (Arc::new(running), Arc::new(sets));
        let brokers: Vec<_> = config
            .brokers
            .iter()
            .map(|broker| {
                let broker = broker.clone();
                let (name, running, sets) =
                    (format!("broker {}", broker.name), Arc::clone(&running), Arc::clone(&sets));
                let look = async move { broker::look(broker, &sets, running.status(), patience, now).await };
                (name, tasks::spawn("doctor-broker", look))
            })
            .collect();
        for (name, look) in brokers {
            let lines = desk.wait(&name, self.limit(), look).await;
            desk.add(lines.unwrap_or_default());
        }
        let (answer, lines) = desk.wait("hub", self.limit(), hub).await.unwrap_or_default();
        desk.add(lines);
        desk.add(
            answer.as_ref().and_then(|answer| hub::session(&config, answer, &running)).into_iter().collect(),
        );
        desk.add(hub::notices(&running));
        let lines = desk.wait("disk", self.limit(), disk).await;
        desk.add(lines.unwrap_or_default());
        desk.add(of_spool);
        desk.add(machine::clock(clock::wall(), &machine::Hints::here(), answer.as_ref(), &running));
        desk.add(machine::versions(&running, answer.as_ref()));
        desk.add(machine::machine());
    }

    fn limit(&self) -> Duration {
        self.timeout.saturating_mul(STEPS)
    }
}

/// Work that blocks, beside all else.
fn blocking<T: Send + 'static>(
    config: &Arc<AgentConfig>,
    work: impl FnOnce(&AgentConfig) -> T + Send + 'static,
) -> JoinHandle<T> {
    let config = Arc::clone(config);
    tasks::spawn_blocking(move || work(&config))
}

/// Where lines come together, and are shown as they come.
struct Desk {
    layout: Layout,
    json: bool,
    lines: Vec<Line>,
}

impl Desk {
    fn new(json: bool, config: Option<&AgentConfig>) -> Self {
        let brokers = config.map(|config| config.brokers.as_slice()).unwrap_or_default();
        let names = brokers.iter().map(|broker| "broker ".len() + broker.name.chars().count());
        let names = names.max().unwrap_or(0).clamp("machine".len(), 24);
        Self { layout: Layout { screen: Screen::of_output(), names }, json, lines: Vec::new() }
    }

    fn add(&mut self, lines: Vec<Line>) {
        if !self.json {
            // A reader such as `head` may close early.
            drop(std::io::stdout().write_all(self.layout.show(&lines).as_bytes()));
        }
        self.lines.extend(lines);
    }

    /// Waits for a check, and shows on a terminal that it does. One that takes too long is a problem itself.
    async fn wait<T>(&mut self, what: &str, limit: Duration, mut check: JoinHandle<T>) -> Option<T> {
        let began = clock::nanos();
        let seconds = || clock::nanos().saturating_sub(began) / 1_000_000_000;
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let live = !self.json && std::io::stdout().is_terminal() && std::io::stderr().is_terminal();
        let waiting = async {
            // The first comes at once.
            ticks.tick().await;
            loop {
                tokio::select! {
                    done = &mut check => return done,
                    _ = ticks.tick(), if live => tell(&format!("\r  waiting for {what}, {} s", seconds())),
                }
            }
        };
        let done = timeout(limit, waiting).await;
        if live {
            tell("\r\u{1b}[K");
        }
        match done {
            Ok(Ok(found)) => Some(found),
            Ok(Err(error)) => {
                self.add(vec![problem(what, format!("the check itself failed: {error}"), "report it")]);
                None
            }
            Err(_) => {
                let found = format!("no end after {} s", limit.as_secs());
                let advice =
                    "something hangs: for files, look at the disk (`dmesg`); else try a longer `--timeout`";
                self.add(vec![problem(what, found, advice)]);
                None
            }
        }
    }
}

/// How often it is said that something is waited for.
const TICK: Duration = Duration::from_millis(500);

/// Writes for a person who waits; nobody depends on it.
fn tell(text: &str) {
    let mut err = std::io::stderr();
    drop(err.write_all(text.as_bytes()).and_then(|()| err.flush()));
}
