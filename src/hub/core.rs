//! What the services of one hub share: the store, who is connected, what is desired, and the
//! signals that something changed.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use serde::Serialize;
use tokio::sync::{broadcast, watch};

use super::fleet::{DesiredSet, Selector};
use super::load::Load;
use super::sessions::Sessions;
use super::store::reconcile::{self, Part, Repaired};
use super::store::rulesets::{self, Put};
use super::store::transitions::{self, Inbound};
use super::store::{self, Store};
use super::tokens::TokenDigest;
use crate::clock::{self, Clock};
use crate::failpoint;
use crate::model::ruleset::Item;
use crate::tasks::Stop;

/// How many notices a slow listener may be behind before it is told to read everything again.
const NOTICES: usize = 256;

/// Something to look at again. Carries names only; the API has the content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Notice {
    /// An agent came, went, or said something.
    Agent(String),
    /// A rule set was pushed, deleted, or reported on.
    Ruleset(String),
}

/// What the services share.
pub(super) struct Core {
    pub(super) store: Store,
    pub(super) clock: Clock,
    pub(super) stop: Stop,
    pub(super) api_token: TokenDigest,
    pub(super) agent_tokens_file: PathBuf,
    pub(super) sessions: Sessions,
    pub(super) load: Load,
    pub(super) counters: Counters,
    /// The hub's number of the newest transition.
    pub(super) newest: watch::Sender<i64>,
    /// All rule sets, as of the last push.
    pub(super) desired: watch::Sender<Arc<Vec<DesiredSet>>>,
    notices: broadcast::Sender<Notice>,
}

/// What was counted since the start.
#[derive(Debug, Default)]
pub(super) struct Counters {
    /// Transitions that came again and were ignored.
    pub(super) duplicates: AtomicU64,
    /// Sessions that were turned away for their token.
    pub(super) refused: AtomicU64,
    /// Sessions that were asked to come back later, as another agent has their id.
    pub(super) cloned: AtomicU64,
    /// The same, as too much waits for the disk.
    pub(super) overloaded: AtomicU64,
    /// The same, as the database failed.
    pub(super) unstored: AtomicU64,
    /// Sessions that ended with an error.
    pub(super) broken: AtomicU64,
    /// Messages that mean nothing to this hub, or that it did not ask for.
    pub(super) ignored: AtomicU64,
    /// Digests that were the hub's own.
    pub(super) same: AtomicU64,
    /// Digests that were not, where nothing more could be done about it in their session.
    pub(super) unreconciled: AtomicU64,
    /// Notices that a reader of the event stream was too slow for; it is told to look at everything again.
    pub(super) skipped: AtomicU64,
}

impl Core {
    pub(super) async fn open(
        store: Store,
        clock: Clock,
        stop: Stop,
        api_token: TokenDigest,
        agent_tokens_file: PathBuf,
        most_waiting: u64,
    ) -> Result<Self, store::Error> {
        let (newest, desired) =
            store.call(|db| Ok((transitions::newest(db)?, rulesets::desired(db)?))).await?;
        Ok(Self {
            store,
            clock,
            stop,
            api_token,
            agent_tokens_file,
            sessions: Sessions::default(),
            load: Load::new(most_waiting),
            counters: Counters::default(),
            newest: watch::Sender::new(newest),
            desired: watch::Sender::new(Arc::new(desired)),
            notices: broadcast::Sender::new(NOTICES),
        })
    }

    /// Stores a rule set and tells everyone whom it concerns, also when the caller goes in
    /// between.
    pub(super) async fn publish(
        &self,
        name: &str,
        source: String,
        target: Selector,
        items: Vec<Item>,
    ) -> Result<Put, store::Error> {
        let (set, at) = (name.to_owned(), clock::wall());
        let (desired, notices) = (self.desired.clone(), self.notices.clone());
        let notice = Notice::Ruleset(name.to_owned());
        let stored = self.store.call_then(
            move |db| {
                let put = rulesets::put(db, &set, &source, &target, &items, at)?;
                Ok((put, Arc::new(rulesets::desired(db)?)))
            },
            move |(_, sets)| {
                desired.send_replace(Arc::clone(sets));
                // An error means that nobody listens.
                drop(notices.send(notice));
            },
        );
        Ok(stored.await?.0)
    }

    /// Takes a rule set away, also from the agents. False where there is none of that name.
    pub(super) async fn withdraw(&self, name: &str) -> Result<bool, store::Error> {
        let set = name.to_owned();
        let (desired, notices) = (self.desired.clone(), self.notices.clone());
        let notice = Notice::Ruleset(name.to_owned());
        let stored = self.store.call_then(
            move |db| Ok((rulesets::delete(db, &set)?, Arc::new(rulesets::desired(db)?))),
            move |(known, sets)| {
                if *known {
                    desired.send_replace(Arc::clone(sets));
                    // An error means that nobody listens.
                    drop(notices.send(notice));
                }
            },
        );
        Ok(stored.await?.0)
    }

    /// Stores what an agent sent, and wakes those who pass transitions on, also when the agent's
    /// session ends in between.
    pub(super) async fn accept(&self, inbound: Inbound) -> Result<transitions::Outcome, store::Error> {
        let newest = self.newest.clone();
        self.store
            .call_then(
                move |db| transitions::accept(db, &inbound),
                move |accepted| {
                    failpoint::reach("hub.committed");
                    if let Some(id) = accepted.newest {
                        newest.send_replace(id);
                    }
                },
            )
            .await
    }

    /// Repairs by a part of what an agent says is up; with the last part come the whole set and what the parts before
    /// led to. Wakes those who pass transitions on.
    pub(super) async fn repair(
        &self,
        part: Part,
        whole: Option<(BTreeSet<u64>, Repaired)>,
    ) -> Result<Repaired, store::Error> {
        let newest = self.newest.clone();
        self.store
            .call_then(
                move |db| match whole {
                    Some((set, before)) => reconcile::conclude(db, &part, &set, before),
                    None => reconcile::take(db, &part),
                },
                move |repaired| {
                    if let Some(id) = repaired.newest {
                        newest.send_replace(id);
                    }
                },
            )
            .await
    }

    pub(super) fn notify(&self, notice: Notice) {
        // An error means that nobody listens.
        drop(self.notices.send(notice));
    }

    pub(super) fn listen(&self) -> broadcast::Receiver<Notice> {
        self.notices.subscribe()
    }
}
