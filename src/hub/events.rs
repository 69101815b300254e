//! The live event stream: transitions from the store, which is what makes a resumed stream
//! complete, and notices of what else changed.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::response::sse::Event;
use futures_util::stream::{self, Stream};
use serde_json::json;
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::sync::watch;

use super::core::{Core, Notice};
use super::record::TransitionRecord;
use super::store::transitions;

/// How many transitions are read from the store at once.
const PAGE: u32 = 100;

/// The stream from the transition after `after` on; ends when the hub stops.
pub(super) fn follow(core: Arc<Core>, after: i64) -> impl Stream<Item = Result<Event, Infallible>> {
    let follower = Follower {
        newest: core.newest.subscribe(),
        notices: core.listen(),
        core,
        cursor: after,
        ready: VecDeque::new(),
    };
    stream::unfold(follower, |mut follower| async move {
        let event = follower.next().await?;
        Some((Ok(event), follower))
    })
}

struct Follower {
    core: Arc<Core>,
    newest: watch::Receiver<i64>,
    notices: broadcast::Receiver<Notice>,
    cursor: i64,
    ready: VecDeque<Event>,
}

enum Wake {
    Transitions,
    Notice(Notice),
    Behind(u64),
    End,
}

impl Follower {
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            if *self.newest.borrow_and_update() > self.cursor {
                self.read().await?;
                continue;
            }
            let wake = tokio::select! {
                _ = self.newest.changed() => Wake::Transitions,
                notice = self.notices.recv() => match notice {
                    Ok(notice) => Wake::Notice(notice),
                    Err(RecvError::Lagged(count)) => Wake::Behind(count),
                    Err(RecvError::Closed) => Wake::End,
                },
                () = self.core.stop.stopped() => Wake::End,
            };
            match wake {
                Wake::Transitions => {}
                Wake::Notice(notice) => self.ready.push_back(notice_event(&notice)),
                // An empty name: look at all of them again.
                Wake::Behind(count) => {
                    self.core.counters.skipped.fetch_add(count, Ordering::Relaxed);
                    for notice in [Notice::Agent(String::new()), Notice::Ruleset(String::new())] {
                        self.ready.push_back(notice_event(&notice));
                    }
                }
                Wake::End => return None,
            }
        }
    }

    /// Reads the next transitions; `None` ends the stream, and the client comes back with the last
    /// id it saw.
    async fn read(&mut self) -> Option<()> {
        let cursor = self.cursor;
        let page = self.core.store.call(move |db| transitions::after(db, cursor, PAGE)).await;
        let page = match page {
            Ok(page) => page,
            Err(error) => {
                tracing::error!(%error, "cannot read transitions for an event stream");
                return None;
            }
        };
        // An id that the store does not have (it was started anew): wait for what comes.
        self.cursor = page.last().map_or(*self.newest.borrow(), |last| last.id);
        self.ready.extend(page.iter().filter_map(transition_event));
        Some(())
    }
}

fn transition_event(transition: &TransitionRecord) -> Option<Event> {
    let event = Event::default().event("transition").id(transition.id.to_string());
    event.json_data(transition).ok()
}

fn notice_event(notice: &Notice) -> Event {
    match notice {
        Notice::Agent(agent) => Event::default().event("agent").data(json!({ "agent": agent }).to_string()),
        Notice::Ruleset(name) => {
            Event::default().event("ruleset").data(json!({ "ruleset": name }).to_string())
        }
    }
}
