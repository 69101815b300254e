//! The verbs of `weir-hub`: `serve` runs the hub; the others are clients of its API, and `tokens`
//! writes the file that it reads.

mod api;
mod show;

use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::{Args, Parser, Subcommand};
use serde_json::Value as Json;

use self::api::Api;
use super::is_broken_pipe;
use super::signal::stop_on_signal;
use crate::clock::Clock;
use crate::hub::cloudevents::Target;
use crate::hub::record::TransitionRecord;
use crate::hub::{self, Config, tokens};
use crate::model::id::valid_agent_id;
use crate::telemetry::{self, LogFormat};

/// Weir's cloud side: keeps agents, rules and alerts.
#[derive(Debug, Parser)]
#[command(name = "weir-hub", version)]
pub struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Run the hub.
    Serve(Serve),
    /// Push and list rule sets.
    #[command(subcommand)]
    Rules(Rules),
    /// List the alerts that fire, and follow what changes.
    Alerts(Alerts),
    /// List the agents.
    Agents(Agents),
    /// Make tokens for agents.
    #[command(subcommand)]
    Tokens(Tokens),
    /// Print the version.
    Version,
}

#[derive(Debug, Args)]
struct Serve {
    /// A configuration file, TOML. Options given here win over it.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where the hub keeps everything.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Where agents dial to [default: 127.0.0.1:7440].
    #[arg(long, value_name = "ADDR")]
    grpc_listen: Option<SocketAddr>,
    /// Where the API and the console are [default: 127.0.0.1:7441].
    #[arg(long, value_name = "ADDR")]
    http_listen: Option<SocketAddr>,
    /// The certificate chain of both, PEM. Needed on any address but loopback.
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// Its key, PEM.
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// The file with the API's token; made if it is missing.
    #[arg(long, value_name = "FILE")]
    api_token_file: Option<PathBuf>,
    /// The file of agents' tokens.
    #[arg(long, value_name = "FILE")]
    agent_tokens_file: Option<PathBuf>,
    /// Send every transition there as a CloudEvent; may be repeated.
    #[arg(long, value_name = "NAME=URL", value_parser = named_target)]
    target: Vec<Target>,
    /// What to log: error, warn, info, debug, or as WEIR_LOG takes it.
    #[arg(long, default_value = "info")]
    log: String,
    /// The form of log lines.
    #[arg(long, value_enum, default_value_t)]
    log_format: LogFormat,
}

/// Where the hub is, for those verbs that talk to it.
#[derive(Debug, Args)]
struct Connection {
    /// The hub's API.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:7441")]
    hub: String,
    /// The file with the API's token [default: `api-token` in the hub's data directory]. The
    /// environment variable WEIR_HUB_TOKEN, where set, holds the token itself.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// A certificate authority to trust besides those of the system, PEM.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Rules {
    /// Push rule files to the hub, and so to the agents.
    Push(Push),
    /// List the rule sets.
    List(List),
}

#[derive(Debug, Args)]
struct Push {
    /// Rule files, each one a set.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The set's name; only with one file [default: the file's name without its ending].
    #[arg(long)]
    name: Option<String>,
    /// Only for agents with these labels, as in `site=a,role=freezer`; empty for all [default: as
    /// before].
    #[arg(long, value_name = "LABELS")]
    target: Option<String>,
    /// Push although the check finds errors, to see how agents refuse it.
    #[arg(long)]
    force: bool,
    /// Print the hub's answers, one JSON line a file.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Args)]
struct List {
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Args)]
struct Alerts {
    /// Go on with each change as it comes.
    #[arg(long, short)]
    follow: bool,
    /// List those that ended, too.
    #[arg(long)]
    all: bool,
    /// Print one JSON line for each.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Args)]
struct Agents {
    #[command(flatten)]
    list: List,
}

#[derive(Debug, Subcommand)]
enum Tokens {
    /// Make a token for an agent and print it; the hub keeps only its digest. It counts at once.
    Add {
        /// The agent's id, or `*` for any.
        agent: String,
        /// The hub's data directory.
        #[arg(long, value_name = "DIR")]
        data_dir: Option<PathBuf>,
        /// The file of agents' tokens [default: `agent-tokens` in the data directory].
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,
    },
}

/// Runs the program: reads the arguments, does what they say, and returns how it went.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli.verb) {
        Ok(code) => code,
        // Whoever reads our output has had enough of it.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            // Where even stderr is gone, the exit code has to do.
            drop(writeln!(std::io::stderr(), "weir-hub: {}", super::explain(&error)));
            ExitCode::FAILURE
        }
    }
}

fn run(verb: Verb) -> Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    match verb {
        Verb::Serve(serve) => runtime.block_on(run_hub(serve)),
        Verb::Rules(Rules::Push(push)) => runtime.block_on(push_rules(push)),
        Verb::Rules(Rules::List(list)) => runtime.block_on(show_list(&list, "/rulesets", show::ruleset)),
        Verb::Agents(agents) => runtime.block_on(show_list(&agents.list, "/agents", show::agent)),
        Verb::Alerts(alerts) => runtime.block_on(show_alerts(alerts)),
        Verb::Tokens(Tokens::Add { agent, data_dir, file }) => add_token(&agent, data_dir, file),
        Verb::Version => {
            print(&format!("weir-hub {}", env!("CARGO_PKG_VERSION")))?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

async fn run_hub(serve: Serve) -> Result<ExitCode> {
    telemetry::start(&serve.log, serve.log_format);
    let config = serve.into_config()?;
    let token_path = config.api_token_path();
    let stop = stop_on_signal().context("listen to signals")?;
    let running = hub::start(config, Clock::start(), stop).await?;
    let scheme = if running.tls { "https" } else { "http" };
    let where_it_is = format!(
        "agents dial {scheme}://{}\nconsole and API at {scheme}://{}/\nthe API's token is in {}",
        running.grpc_addr,
        running.http_addr,
        token_path.display()
    );
    // A hub whose output nobody reads serves all the same.
    drop(print(&where_it_is));
    running.join.await.context("the hub panicked")??;
    Ok(ExitCode::SUCCESS)
}

impl Serve {
    fn into_config(self) -> Result<Config> {
        let mut config = match &self.config {
            Some(file) => Config::load(file)?,
            None => Config::default(),
        };
        let set = |option: Option<PathBuf>, slot: &mut Option<PathBuf>| {
            if option.is_some() {
                *slot = option;
            }
        };
        config.data_dir = self.data_dir.unwrap_or(config.data_dir);
        config.grpc_listen = self.grpc_listen.unwrap_or(config.grpc_listen);
        config.http_listen = self.http_listen.unwrap_or(config.http_listen);
        set(self.tls_cert, &mut config.tls_cert);
        set(self.tls_key, &mut config.tls_key);
        set(self.api_token_file, &mut config.api_token_file);
        set(self.agent_tokens_file, &mut config.agent_tokens_file);
        config.targets.extend(self.target);
        Ok(config)
    }
}

fn named_target(text: &str) -> std::result::Result<Target, String> {
    match text.split_once('=') {
        Some((name, url)) if !name.is_empty() => Ok(Target::new(name, url)),
        _ => Err("write it as in `pager=https://host/path`".to_owned()),
    }
}

async fn push_rules(push: Push) -> Result<ExitCode> {
    if push.name.is_some() && push.files.len() > 1 {
        bail!("--name names one set; push {} files without it, or one by one", push.files.len());
    }
    let api = Api::connect(&push.connection)?;
    let mut query = Vec::new();
    if let Some(target) = &push.target {
        query.push(("target", target.as_str()));
    }
    if push.force {
        query.push(("force", "true"));
    }
    let mut code = ExitCode::SUCCESS;
    for file in &push.files {
        let source = std::fs::read_to_string(file).with_context(|| format!("read {}", file.display()))?;
        let name = set_name(&push, file)?;
        let reply = api.put(&format!("/rulesets/{name}"), &query, source).await?;
        if !reply.ok {
            code = ExitCode::FAILURE;
        }
        if push.json {
            print(&reply.body.to_string())?;
        } else {
            print(&show::pushed(&name, &file.display().to_string(), &reply))?;
        }
    }
    Ok(code)
}

fn set_name(push: &Push, file: &Path) -> Result<String> {
    match &push.name {
        Some(name) => Ok(name.clone()),
        None => Ok(file
            .file_stem()
            .and_then(|stem| stem.to_str())
            .with_context(|| format!("name the set of {} with --name", file.display()))?
            .to_owned()),
    }
}

async fn show_list(list: &List, path: &str, show: fn(&Json) -> String) -> Result<ExitCode> {
    let reply = Api::connect(&list.connection)?.get(path, &[]).await?;
    for element in reply.body.as_array().into_iter().flatten() {
        print(&if list.json { element.to_string() } else { show(element) })?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn show_alerts(alerts: Alerts) -> Result<ExitCode> {
    let api = Api::connect(&alerts.connection)?;
    // First the mark, then the list: what happens between the two is shown twice, not never.
    let newest = api.transitions("/transitions", &[("limit", "1")]).await?;
    let after = newest.last().map_or(0, |last| last.id);
    let state = if alerts.all { "all" } else { "firing" };
    for alert in api.transitions("/alerts", &[("state", state), ("limit", "1000")]).await? {
        print_transition(&alert, alerts.json)?;
    }
    if alerts.follow {
        let mut follower = api.follow(after);
        loop {
            print_transition(&follower.next().await?, alerts.json)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn print_transition(transition: &TransitionRecord, json: bool) -> Result<()> {
    print(&if json { serde_json::to_string(transition)? } else { show::transition(transition) })
}

fn add_token(agent: &str, data_dir: Option<PathBuf>, file: Option<PathBuf>) -> Result<ExitCode> {
    let mut config = Config { agent_tokens_file: file, ..Config::default() };
    config.data_dir = data_dir.unwrap_or(config.data_dir);
    if agent != "*"
        && let Err(why) = valid_agent_id(agent)
    {
        bail!("{why}, or `*` for any agent");
    }
    let path = config.agent_tokens_path();
    let token = tokens::add(&path, agent).with_context(|| format!("write {}", path.display()))?;
    print(&token)?;
    Ok(ExitCode::SUCCESS)
}

fn print(text: &str) -> Result<()> {
    // Not println!, which panics when the reader has gone.
    let mut out = std::io::stdout().lock();
    writeln!(out, "{text}")?;
    out.flush()?;
    Ok(())
}
