//! What the agent has in mind while the disk takes nothing: what is to be made durable once it does, whose messages
//! wait for that, and when it is tried again. The states of alerts, open windows and the traces of messages are not
//! held: they are the core's, and are written whole when the disk is back.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::backoff::Backoff;
use crate::model::message::AckToken;
use crate::model::time::{Mono, Now, Timestamp};
use crate::spool::{self, Commit, StoredSetChange};

use super::held::Held;

/// Bytes of transitions that are held at most.
const MOST: usize = 4 << 20;

/// The longest first wait between two tries, and the longest of all.
const FIRST: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(30);

/// The disk as people and the hub are told of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Disk {
    /// How often it took nothing, since the start.
    pub troubles: u64,
    /// Transitions that found no room in memory meanwhile, since the start; their numbers are told to the hub as given up.
    pub given_up: u64,
    /// What is wrong at present.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trouble: Option<DiskTrouble>,
}

/// A disk that takes nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DiskTrouble {
    /// `full`, `read_only` or `io`.
    pub kind: String,
    /// What it says.
    pub why: String,
    /// Since when, RFC 3339.
    pub since: String,
    /// Transitions that wait in memory to be made durable.
    pub held: u64,
    /// Their bytes.
    pub held_bytes: u64,
    /// Messages that are not acknowledged until then.
    pub unacknowledged: u64,
    /// How often it was tried again.
    pub tries: u64,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Trouble {
    pub(super) kind: spool::Trouble,
    why: String,
    since: Timestamp,
    pub(super) held: Held,
    /// Rule sets that changed, each as it is now.
    rulesets: BTreeMap<Arc<str>, Option<Vec<u8>>>,
    acks: Vec<AckToken>,
    backoff: Backoff,
    retry_at: Mono,
    tries: u64,
}

impl Trouble {
    /// It begins, with this error.
    pub(super) fn new(kind: spool::Trouble, error: &spool::Error, now: Now) -> Self {
        let mut backoff = Backoff::new(FIRST, LONGEST);
        let wait = backoff.lost(now.mono, fastrand::f64());
        Self {
            kind,
            why: error.to_string(),
            since: now.wall,
            held: Held::default(),
            rulesets: BTreeMap::new(),
            acks: Vec::new(),
            backoff,
            retry_at: now.mono.plus(wait),
            tries: 0,
        }
    }

    /// Takes over what could not be committed, and whose acknowledgement waits for it.
    pub(super) fn hold(&mut self, commit: Commit, acks: Vec<AckToken>) {
        self.held.extend(commit.transitions, MOST);
        self.rulesets.extend(commit.rulesets.into_iter().map(|set| (set.name, set.body)));
        self.hold_acks(acks);
    }

    /// Takes over acknowledgements alone. Of each source only those of its newest connection are worth anything.
    pub(super) fn hold_acks(&mut self, acks: Vec<AckToken>) {
        for ack in acks {
            let newest = self.acks.iter().rev().find(|old| old.source == ack.source);
            if newest.is_some_and(|old| old.generation != ack.generation) {
                self.acks.retain(|old| old.source != ack.source);
            }
            self.acks.push(ack);
        }
    }

    /// The body of a rule set that changed meanwhile; `Some(None)` where it is gone.
    pub(super) fn ruleset(&self, name: &str) -> Option<&Option<Vec<u8>>> {
        self.rulesets.get(name)
    }

    /// When to try again.
    pub(super) const fn retry_at(&self) -> Mono {
        self.retry_at
    }

    /// What is held, as one commit, without what is the core's.
    pub(super) fn commit(&self) -> Commit {
        let rulesets = self.rulesets.iter();
        Commit {
            whole: true,
            given_up: self.held.given_up(),
            transitions: self.held.all(),
            rulesets: rulesets
                .map(|(name, body)| StoredSetChange { name: name.clone(), body: body.clone() })
                .collect(),
            ..Commit::default()
        }
    }

    /// It was tried again, to no end.
    pub(super) fn failed(&mut self, kind: spool::Trouble, error: &spool::Error, mono: Mono) {
        (self.kind, self.why) = (kind, error.to_string());
        self.tries += 1;
        self.retry_at = mono.plus(self.backoff.lost(mono, fastrand::f64()));
        tracing::debug!(kind = self.kind.name(), why = self.why, "the disk still takes nothing");
    }

    /// It is over: what may be acknowledged now.
    pub(super) fn into_acks(self) -> Vec<AckToken> {
        self.acks
    }

    /// How long it has lasted.
    pub(super) fn lasted(&self, now: Now) -> Duration {
        now.wall.since(self.since)
    }

    /// As it is shown.
    pub(super) fn shown(&self) -> DiskTrouble {
        DiskTrouble {
            kind: self.kind.name().to_owned(),
            why: self.why.clone(),
            since: self.since.to_string(),
            held: self.held.count(),
            held_bytes: self.held.bytes(),
            unacknowledged: self.acks.len() as u64,
            tries: self.tries,
        }
    }
}
