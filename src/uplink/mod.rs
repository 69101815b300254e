//! The link to the hub: one outbound gRPC session that the agent dials, over which alerts go up
//! and rules come down.
//!
//! The uplink decides nothing of the alerts. It asks its [`Port`] for what waits in the outbox, sends it, and hands back
//! what the hub acknowledged; a lost link is a longer outbox, not another code path. Pure are what is under way
//! (`window.rs`), how many bytes may go (`budget.rs`), and what the end of a session means for the next (`retry.rs`);
//! `feed.rs` puts the first two together, `client.rs` is the session.

mod ask;
mod budget;
mod client;
mod dial;
mod encode;
mod feed;
mod messages;
pub mod probe;
mod reconcile;
mod retry;
mod socket;
mod window;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot, watch};

use crate::model::kept::{Lane, Renewed, Waiting};
use crate::model::link::{AgentReport, LinkStatus};
use crate::model::ranges::{Range, Ranges};
use crate::model::ruleset::{Desired, RuleReport, RunningSet};
use crate::model::transition::Transition;

pub use client::run;
pub use encode::{Stamp, decode, encode};

/// The hub, and how to reach it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The hub's address, `https://hub.example:7440`. Plain `http://` is taken for a loopback
    /// address only, as the token would travel readable. Empty: no hub; alerts wait in the
    /// spool, and rules come from the directory alone.
    pub url: String,
    /// A file with the agent's token, which proves to the hub who it is. Required with a hub.
    pub token_file: Option<PathBuf>,
    /// A file with the PEM certificates of the authorities that may vouch for the hub. Without it
    /// the system's own are taken.
    pub ca_file: Option<PathBuf>,
    /// The name that the hub's certificate must have, where it is not the one in `url`.
    pub server_name: Option<String>,
    /// How often to ask a quiet connection for a sign of life; a dead one is found within this
    /// and ten seconds. Shorter costs bytes. Default 20s.
    #[serde(with = "crate::model::time::span_text")]
    pub keep_alive: Duration,
    /// How often the agent's counters go to the hub. Default 1m; each report costs about a
    /// kilobyte.
    #[serde(with = "crate::model::time::span_text")]
    pub status_interval: Duration,
    /// How long alerts may wait for others to go in one message with, which costs fewer bytes each. Urgent ones never
    /// wait. Default 0s: each goes at once.
    #[serde(with = "crate::model::time::span_text")]
    pub batch_age: Duration,
    /// How many bytes the link may carry an hour, both ways together, as counted at the socket. Beyond it alerts that are not urgent,
    /// and counters, wait. What a quiet time left, up to an hour's bytes, may be used at once. Default 0: any number.
    pub bytes_per_hour: u64,
    /// Severities whose alerts overtake others on the way to the hub, and wait for no byte budget. Default `critical`
    /// alone.
    pub urgent: Vec<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            url: String::new(),
            token_file: None,
            ca_file: None,
            server_name: None,
            keep_alive: Duration::from_secs(20),
            status_interval: Duration::from_secs(60),
            batch_age: Duration::ZERO,
            bytes_per_hour: 0,
            urgent: vec!["critical".to_owned()],
        }
    }
}

/// What must be put right before any session can be tried.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address is none.
    #[error("read `hub.url`: `{url}` is no address: {why}; write it as https://hub.example:7440")]
    Url {
        /// What was written.
        url: String,
        /// What is wrong with it.
        why: String,
    },
    /// Plain text to somewhere else.
    #[error(
        "`hub.url` is {url}: plain http is taken for loopback addresses only, as the agent's token would travel readable; use https://"
    )]
    Plain {
        /// What was written.
        url: String,
    },
    /// No token.
    #[error(
        "`hub.token_file` is missing: make a token on the hub with `weir-hub tokens add {agent}` and name its file"
    )]
    NoToken {
        /// The agent.
        agent: String,
    },
    /// A file that cannot be used.
    #[error("read `{key}` {path}: {why}")]
    File {
        /// The key of the configuration.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
}

/// Who the agent is, for `Hello`.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Its id.
    pub agent: Arc<str>,
    /// Random for each start of the process.
    pub boot_id: Arc<str>,
    /// Labels that rule sets are targeted by.
    pub labels: Vec<(String, String)>,
}

/// What the uplink asks of the agent.
#[derive(Debug)]
pub enum Request {
    /// Where the outbox and the rules stand, for `Hello`.
    Standing(oneshot::Sender<Standing>),
    /// What waits in a lane.
    Peek {
        /// Which.
        lane: Lane,
        /// Numbers that are not asked for: they were sent, or told of.
        skip: Ranges,
        /// Nothing behind this number.
        upto: u64,
        /// At most so many.
        count: usize,
        /// At most so many bytes, but at least one.
        bytes: usize,
        /// The answer.
        reply: oneshot::Sender<Outbox>,
    },
    /// The hub committed everything up to a number, and ranges beyond it.
    Forget {
        /// Everything up to here.
        floor: u64,
        /// And these.
        above: Vec<Range>,
    },
    /// The hub knows numbers that the outbox never gave: start a new epoch.
    RenewEpoch(oneshot::Sender<()>),
    /// What is announced and up as of the newest number. `None` while the agent knows more than it could make
    /// durable, as the disk takes nothing: nothing is to be compared then.
    Active(oneshot::Sender<Option<Active>>),
}

/// Where outbox and rules stand.
#[derive(Clone, Debug)]
pub struct Standing {
    /// The outbox's number space.
    pub epoch: u64,
    /// The newest number given.
    pub newest: u64,
    /// What the hub has of it.
    pub acknowledged: Ranges,
    /// Why the number space began, where it is not the first.
    pub renewed: Option<Renewed>,
    /// What runs.
    pub running: Vec<RunningSet>,
}

/// A piece of the outbox.
#[derive(Clone, Debug, Default)]
pub struct Outbox {
    /// What waits, ascending; the bodies are made by [`encode`].
    pub rows: Vec<Waiting>,
    /// Ranges that were given up, of either lane: at most as many as rows were asked for.
    pub evicted: Vec<Range>,
    /// The outbox's own time, as in [`Waiting::since`].
    pub age: u64,
}

/// The alerts that are announced and up.
#[derive(Clone, Debug, Default)]
pub struct Active {
    /// Once everything up to this number is told.
    pub seq: u64,
    /// Each as it would be announced anew.
    pub alerts: Vec<Transition>,
}

/// The uplink's side of its connections to the rest of the agent.
#[derive(Debug)]
pub struct Port {
    /// Asks the agent.
    pub requests: mpsc::Sender<Request>,
    /// Takes the rules that the hub wants.
    pub rules: mpsc::Sender<Desired>,
    /// The newest sequence number committed to the outbox.
    pub newest: watch::Receiver<u64>,
    /// What became of pushed rules.
    pub reports: mpsc::Receiver<RuleReport>,
    /// The newest periodic report.
    pub status: watch::Receiver<AgentReport>,
    /// Where the link's own state is published.
    pub link: watch::Sender<LinkStatus>,
}
