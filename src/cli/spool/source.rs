//! Where what waits is read from: the running agent, or the file of one that is down.

use std::io::ErrorKind;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use crate::agent::status::{Disk, Waiting};
use crate::cli::socket;
use crate::clock;
use crate::config::{AgentConfig, DEFAULT_PATH};
use crate::model::kept::Lane;
use crate::model::link::LinkStatus;
use crate::model::ranges::Ranges;
use crate::spool::{self, Look};
use crate::uplink;
use crate::wire::record::{TransitionRecord, epoch_text};

/// Where to look.
#[derive(Debug, clap::Args)]
pub(super) struct Where {
    /// The agent's configuration file, which tells where its socket and its spool are
    #[arg(long, short, default_value = DEFAULT_PATH, value_name = "FILE")]
    config: PathBuf,
    /// The running agent's socket itself
    #[arg(long, conflicts_with_all = ["config", "state_dir", "file"], value_name = "PATH")]
    socket: Option<PathBuf>,
    /// The agent's state directory itself
    #[arg(long, conflicts_with_all = ["config", "file"], value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// The file of an agent that is down, or a copy of one
    #[arg(long, conflicts_with = "config", value_name = "FILE")]
    file: Option<PathBuf>,
}

/// Bytes of transitions in one page.
const PAGE: usize = 1 << 20;

/// Ranges of numbers that are named.
const RANGES: usize = 1_000;

/// What was found there.
pub(super) enum Source {
    /// An agent that runs.
    Agent(PathBuf),
    /// The file of one that does not.
    File(Box<File>),
}

/// The file of an agent that is down.
pub(super) struct File {
    look: Look,
    /// The agent and its hub, as far as a configuration tells.
    agent: String,
    hub: String,
}

impl Source {
    /// What there is: the agent where it runs, else its file.
    ///
    /// # Errors
    /// A configuration or a file that cannot be read, and an agent that may not be asked.
    pub(super) fn find(place: &Where) -> Result<Self> {
        if let Some(file) = &place.file {
            return Self::file(file, String::new(), String::new());
        }
        if let Some(socket) = &place.socket {
            return Ok(Self::Agent(socket.clone()));
        }
        let (socket, file, agent, hub) = match &place.state_dir {
            Some(dir) => (dir.join("weir.sock"), dir.join("spool.db"), String::new(), String::new()),
            None => {
                let config = AgentConfig::load(&place.config)?;
                (config.socket_path(), config.spool_path(), config.agent.id, config.hub.url)
            }
        };
        match UnixStream::connect(&socket) {
            Ok(_) => Ok(Self::Agent(socket)),
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                bail!("you may not ask the agent at {}; run this as root, or as its user", socket.display())
            }
            Err(_) => Self::file(&file, agent, hub),
        }
    }

    fn file(file: &std::path::Path, agent: String, hub: String) -> Result<Self> {
        match std::fs::metadata(file) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                bail!("no agent runs there, and none ever did: {} is not there", file.display())
            }
            Err(error) => bail!("no agent answers there, and {}: {error}", file.display()),
            Ok(_) => {}
        }
        match Look::open(file, clock::spool_time()) {
            Ok(look) => Ok(Self::File(Box::new(File { look, agent, hub }))),
            Err(spool::Error::Taken { .. }) => bail!(
                "a running agent has {} open; ask it instead, with `--config` or `--socket`",
                file.display()
            ),
            Err(error) => Err(error.into()),
        }
    }

    /// What waits behind a number, at most so many.
    ///
    /// # Errors
    /// An agent that does not answer, or a file that cannot be read.
    pub(super) fn page(&self, after: u64, count: usize) -> Result<Waiting> {
        match self {
            Self::Agent(socket) => {
                let answer = socket::ask(socket, &format!("outbox {after} {count}"))?;
                serde_json::from_str(&answer).context("understand the agent's answer; is it another version?")
            }
            Self::File(file) => Ok(file.page(after, count)?),
        }
    }
}

impl File {
    fn page(&self, after: u64, count: usize) -> Result<Waiting, spool::Error> {
        let spool = self.look.spool();
        let epoch = spool.epoch();
        let rows = spool.peek(Lane::Both, &Ranges::up_to(after), u64::MAX, count, PAGE)?;
        // Who it is stands in each of its transitions.
        let label = |one: &TransitionRecord| one.labels.get("agent").cloned();
        let mut page: Vec<TransitionRecord> = rows
            .iter()
            .filter_map(|row| {
                let wire = uplink::decode(row.seq, &row.body)?;
                Some(TransitionRecord::from_wire(&self.agent, epoch, wire, None))
            })
            .collect();
        let mut agent = self.agent.clone();
        if agent.is_empty() {
            agent = page.first().and_then(label).unwrap_or_default();
            page.iter_mut().for_each(|one| one.agent.clone_from(&agent));
        }
        Ok(Waiting {
            agent,
            running: false,
            at: clock::wall().to_string(),
            link: LinkStatus { hub: self.hub.clone(), ..LinkStatus::default() },
            spool: spool.stats(clock::spool_time()),
            census: spool.census()?,
            disk: Disk::default(),
            epoch: epoch_text(epoch),
            given_up: spool.evicted(&Ranges::default(), u64::MAX, RANGES)?,
            page,
        })
    }
}
