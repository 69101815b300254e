//! The agent's configuration file: assembles the stages' own `Config`s, and nothing more.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::ingest::{self, BrokerConfig};
use crate::model::id::valid_agent_id;
use crate::model::time::{Downtime, span_text};
use crate::{spool, uplink};

/// The commented reference file, which `weir config reference` prints.
pub const REFERENCE: &str = include_str!("../packaging/weir.toml");

/// Where the configuration lies unless `--config` says otherwise.
pub const DEFAULT_PATH: &str = "/etc/weir/weir.toml";

/// The variable that tells the agent's id where the file does not. A pod's own name is another one after each change.
pub const AGENT_ID: &str = "WEIR_AGENT_ID";

/// The variable that tells further labels of the agent, as in `a=b,c=d`.
pub const AGENT_LABELS: &str = "WEIR_AGENT_LABELS";

/// What the file may say.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AgentConfig {
    /// The agent itself.
    pub agent: Agent,
    /// Brokers to read from.
    #[serde(rename = "broker")]
    pub brokers: Vec<BrokerConfig>,
    /// The node's own metrics.
    pub node: ingest::node::Config,
    /// Rules from a directory.
    pub rules: Rules,
    /// The hub.
    pub hub: uplink::Config,
    /// The outbox.
    pub spool: spool::Config,
    /// The readings that alerts are told with.
    pub evidence: Evidence,
    /// What is told of alerts.
    pub alerts: Alerts,
    /// What the agent listens on.
    pub listen: Listen,
}

/// The agent itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Agent {
    /// Who it is: label `agent` of all its alerts, and its name at the hub. Default: what the environment
    /// variable `WEIR_AGENT_ID` says, or else the host's name. 1 to 128 letters, digits or `-_.:@`. Changing it
    /// makes it another agent, with other alerts.
    pub id: String,
    /// Labels by which the hub chooses its rules. Before those of `labels_file`, which stand behind those of the
    /// environment variable `WEIR_AGENT_LABELS` (`a=b,c=d`).
    pub labels: BTreeMap<String, String>,
    /// A file of further labels, lines of `name="value"`, as Kubernetes writes those of a pod. Read at the start.
    /// Default: none.
    pub labels_file: Option<PathBuf>,
    /// The same of the node, as `weir node-labels` writes it. It need not be there. Default: none.
    pub node_labels_file: Option<PathBuf>,
    /// Where its state lies: the spool and the local socket. Default `/var/lib/weir`.
    pub state_dir: PathBuf,
}

impl Default for Agent {
    fn default() -> Self {
        Self {
            id: String::new(),
            labels: BTreeMap::new(),
            labels_file: None,
            node_labels_file: None,
            state_dir: "/var/lib/weir".into(),
        }
    }
}

impl Agent {
    /// Adds labels that are not there yet, each as `name=value` or `name="value"`.
    fn add_labels<'a>(&mut self, texts: impl Iterator<Item = &'a str>) -> Result<(), String> {
        for text in texts.map(str::trim).filter(|text| !text.is_empty()) {
            let (name, value) = text
                .split_once('=')
                .filter(|(name, _)| !name.is_empty())
                .ok_or_else(|| format!("`{text}` is no label; write it as in site=north"))?;
            let value = value.strip_prefix('"').and_then(|v| v.strip_suffix('"')).unwrap_or(value);
            self.labels.entry(name.to_owned()).or_insert_with(|| value.to_owned());
        }
        Ok(())
    }
}

/// Rules from a directory.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rules {
    /// A directory whose rule files run beside what the hub pushes, and are loaded again when
    /// they change. Default: none.
    pub directory: Option<PathBuf>,
    /// Whether the time for which the agent was off counts as time. Default `ignored`.
    pub downtime: Downtime,
}

/// The readings that alerts are told with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Evidence {
    /// How many of its last readings an alert is told with. Default 16; with 0 none are kept.
    pub readings: usize,
    /// The memory for the last readings of each stream, bytes. Default 512 KiB.
    pub max_bytes: usize,
}

impl Default for Evidence {
    fn default() -> Self {
        Self { readings: 16, max_bytes: 512 << 10 }
    }
}

/// What is told of alerts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Alerts {
    /// How many alerts a minute are told one by one; beyond, one summary stands for the rest. Default 600; 0: any
    /// number.
    pub max_per_minute: u32,
    /// How long a broker may be lost before that is told (`weir/source`). Default 1m; 0: it never is.
    #[serde(with = "span_text")]
    pub source_lost_after: Duration,
}

impl Default for Alerts {
    fn default() -> Self {
        Self { max_per_minute: 600, source_lost_after: Duration::from_secs(60) }
    }
}

/// What the agent listens on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Listen {
    /// An address for `/metrics` and `/healthz`, such as `127.0.0.1:9464`. Default: none.
    pub http: Option<SocketAddr>,
}

/// Why the configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("read the configuration {path}: {source}; `weir config reference` prints a file to start from")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file says what it cannot.
    #[error("read the configuration {path}: {message}")]
    Parse {
        /// The file.
        path: PathBuf,
        /// Line, column and what is wrong.
        message: String,
    },
    /// Two values do not go together.
    #[error("read the configuration: {0}")]
    Invalid(String),
}

impl AgentConfig {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// As [`Error`] says.
    pub fn load(path: &Path) -> Result<Self, Error> {
        let text =
            std::fs::read_to_string(path).map_err(|source| Error::Read { path: path.to_owned(), source })?;
        let config: Self = toml::from_str(&text)
            .map_err(|e| Error::Parse { path: path.to_owned(), message: e.to_string() })?;
        config.checked()
    }

    /// Fills in what depends on the machine, and checks what depends on two values.
    ///
    /// # Errors
    /// [`Error::Invalid`].
    pub fn checked(mut self) -> Result<Self, Error> {
        if self.agent.id.is_empty() {
            self.agent.id = std::env::var(AGENT_ID).unwrap_or_default();
        }
        if self.agent.id.is_empty() {
            self.agent.id =
                sysinfo::System::host_name().ok().filter(|name| !name.is_empty()).ok_or_else(|| {
                    Error::Invalid("`agent.id` is missing, and the host has no name".to_owned())
                })?;
        }
        let told = std::env::var(AGENT_LABELS).unwrap_or_default();
        self.agent
            .add_labels(told.split(','))
            .map_err(|why| Error::Invalid(format!("{AGENT_LABELS}: {why}")))?;
        if let Some(file) = self.agent.labels_file.clone() {
            let wrong = |why| Error::Invalid(format!("`agent.labels_file`, {}: {why}", file.display()));
            let text = std::fs::read_to_string(&file).map_err(|error| wrong(error.to_string()))?;
            self.agent.add_labels(text.lines()).map_err(wrong)?;
        }
        if let Some(file) = self.agent.node_labels_file.clone() {
            let wrong = |why| Error::Invalid(format!("`agent.node_labels_file`, {}: {why}", file.display()));
            match std::fs::read_to_string(&file) {
                Ok(text) => self.agent.add_labels(text.lines()).map_err(wrong)?,
                // The role that it takes is optional, and the API server may have been away.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(wrong(error.to_string())),
            }
        }
        valid_agent_id(&self.agent.id).map_err(|why| Error::Invalid(format!("`agent.id`: {why}")))?;
        for (i, broker) in self.brokers.iter().enumerate() {
            if self.brokers[..i].iter().any(|other| other.name == broker.name) {
                return Err(Error::Invalid(format!("two brokers are named `{}`", broker.name)));
            }
        }
        for broker in &mut self.brokers {
            broker.client_id.get_or_insert_with(|| format!("weir-{}", self.agent.id));
        }
        Ok(self)
    }

    /// The spool's file.
    pub fn spool_path(&self) -> PathBuf {
        self.agent.state_dir.join("spool.db")
    }

    /// The local socket that `weir status` asks.
    pub fn socket_path(&self) -> PathBuf {
        self.agent.state_dir.join("weir.sock")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_of_a_pod_are_added() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("labels");
        std::fs::write(&file, "app.kubernetes.io/name=\"weir-agent\"\nsite=\"south\"\n\nempty=\"\"").unwrap();
        let agent = Agent {
            id: "gw".into(),
            labels: [("site".into(), "north".into())].into(),
            labels_file: Some(file.clone()),
            node_labels_file: Some(dir.path().join("of-node")),
            ..Agent::default()
        };
        let config = AgentConfig { agent, ..AgentConfig::default() };
        let labels = config.clone().checked().unwrap().agent.labels;
        let expected = [("app.kubernetes.io/name", "weir-agent"), ("empty", ""), ("site", "north")];
        assert_eq!(labels, expected.map(|(name, value)| (name.to_owned(), value.to_owned())).into());

        // The node's go behind all others.
        std::fs::write(dir.path().join("of-node"), "site=\"other\"\nzone=\"west\"\n").unwrap();
        let labels = config.clone().checked().unwrap().agent.labels;
        assert_eq!((&*labels["site"], &*labels["zone"]), ("north", "west"));

        std::fs::write(&file, "no label\n").unwrap();
        let why = config.checked().unwrap_err().to_string();
        assert!(why.contains("`no label` is no label"), "{why}");
    }
}
