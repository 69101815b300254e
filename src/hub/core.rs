//! What the services of one hub share: the store, who is connected, what is desired, and the
//! signals that something changed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;
use tokio::sync::{broadcast, watch};

use super::fleet::{DesiredSet, Selector};
use super::store::rulesets::{self, Put};
use super::store::transitions::{self, Inbound};
use super::store::{self, Store};
use super::tokens::TokenDigest;
use crate::clock::{self, Clock};
use crate::model::ruleset::Item;
use crate::tasks::{Stop, StopSource};

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
}

impl Core {
    pub(super) async fn open(
        store: Store,
        clock: Clock,
        stop: Stop,
        api_token: TokenDigest,
        agent_tokens_file: PathBuf,
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
                    if let Some(id) = accepted.newest {
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

/// Who is connected: one session an agent.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    last: AtomicU64,
    /// Dropping an entry's source ends its session.
    open: Mutex<BTreeMap<String, (u64, StopSource)>>,
}

impl Sessions {
    /// Enters a session, and ends the one that the agent had. Returns the session's number and
    /// the signal of its end.
    pub(super) fn enter(&self, agent: &str) -> (u64, Stop) {
        let number = self.last.fetch_add(1, Ordering::Relaxed) + 1;
        let (source, stop) = StopSource::new();
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.insert(agent.to_owned(), (number, source));
        (number, stop)
    }

    /// Takes a session out. False where another has taken its place.
    pub(super) fn leave(&self, agent: &str, number: u64) -> bool {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let current = open.get(agent).is_some_and(|(entered, _)| *entered == number);
        if current {
            open.remove(agent);
        }
        current
    }

    pub(super) fn connected(&self) -> BTreeSet<String> {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.keys().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newer_session_ends_the_older() {
        let sessions = Sessions::default();
        let (first, first_end) = sessions.enter("gw");
        let (second, second_end) = sessions.enter("gw");
        assert!(first_end.is_stopped() && !second_end.is_stopped());
        assert!(!sessions.leave("gw", first));
        assert_eq!(sessions.connected().len(), 1);
        assert!(sessions.leave("gw", second));
        assert!(sessions.connected().is_empty());
    }
}
