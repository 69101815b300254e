//! Who is connected: one session an agent. What happens where a second one comes is decided here; `service` carries it
//! out.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{mpsc, watch};
use tonic::Status;

use crate::tasks::{Stop, StopSource};
use crate::wire::v1;

/// The way to an agent.
pub(super) type Downlink = mpsc::Sender<Result<v1::HubMessage, Status>>;

/// The first version of the protocol whose agents answer a probe.
const ANSWERS: u32 = 2;

/// What a session says of itself when it comes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Who {
    pub(super) agent: String,
    /// Random for each start of the agent.
    pub(super) boot_id: String,
    pub(super) protocol: u32,
    /// Where it dials from, for people.
    pub(super) from: String,
}

/// One place for each agent.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    last: AtomicU64,
    open: Mutex<BTreeMap<String, Entry>>,
}

#[derive(Debug)]
struct Entry {
    number: u64,
    who: Who,
    /// Does not keep the stream open.
    down: mpsc::WeakSender<Result<v1::HubMessage, Status>>,
    pulse: Arc<Pulse>,
    /// Dropping it ends the session.
    _source: StopSource,
}

/// A session that has its agent's place.
#[derive(Debug)]
pub(super) struct Seat {
    pub(super) number: u64,
    /// Says that another one has taken the place.
    pub(super) replaced: Stop,
    pub(super) pulse: Arc<Pulse>,
}

/// A session that has the place which another one wants.
#[derive(Clone, Debug)]
pub(super) struct Older {
    pub(super) number: u64,
    pub(super) who: Who,
    pub(super) pulse: Arc<Pulse>,
    down: mpsc::WeakSender<Result<v1::HubMessage, Status>>,
}

/// What came of wanting a place.
#[derive(Debug)]
pub(super) enum Entered {
    /// It is the session's.
    Seat(Seat),
    /// Another boot of the agent has it, which may be dead or be another machine.
    Taken(Older),
}

impl Sessions {
    /// Enters a session. One of the same boot takes the place of the older at once: the agent knows that its own is gone. So
    /// does one where the older cannot be asked.
    pub(super) fn enter(&self, who: &Who, down: &Downlink) -> Entered {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(older) = open.get(&who.agent)
            && older.who.boot_id != who.boot_id
            && older.who.protocol >= ANSWERS
        {
            return Entered::Taken(Older {
                number: older.number,
                who: older.who.clone(),
                pulse: Arc::clone(&older.pulse),
                down: older.down.clone(),
            });
        }
        Entered::Seat(self.sit(&mut open, who, down))
    }

    /// Puts a session in the place of an older one, which ends. `None` where the place is no longer that one's.
    pub(super) fn replace(&self, older: u64, who: &Who, down: &Downlink) -> Option<Seat> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let is_there = open.get(&who.agent).is_some_and(|entry| entry.number == older);
        is_there.then(|| self.sit(&mut open, who, down))
    }

    fn sit(&self, open: &mut BTreeMap<String, Entry>, who: &Who, down: &Downlink) -> Seat {
        let number = self.last.fetch_add(1, Ordering::Relaxed) + 1;
        let (source, replaced) = StopSource::new();
        let pulse = Arc::new(Pulse::default());
        let entry = Entry {
            number,
            who: who.clone(),
            down: down.downgrade(),
            pulse: Arc::clone(&pulse),
            _source: source,
        };
        open.insert(who.agent.clone(), entry);
        Seat { number, replaced, pulse }
    }

    /// Takes a session out. False where another has taken its place.
    pub(super) fn leave(&self, agent: &str, number: u64) -> bool {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let current = open.get(agent).is_some_and(|entry| entry.number == number);
        if current && let Some(entry) = open.remove(agent) {
            entry.pulse.gone.send_replace(true);
        }
        current
    }

    pub(super) fn connected(&self) -> BTreeSet<String> {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.keys().cloned().collect()
    }
}

impl Older {
    /// Says something to it, if it listens.
    pub(super) fn tell(&self, message: v1::HubMessage) {
        if let Some(down) = self.down.upgrade() {
            // One that does not read does not hear it.
            drop(down.try_send(Ok(message)));
        }
    }

    /// Returns when it has left its place.
    pub(super) async fn gone(&self) {
        let mut gone = self.pulse.gone.subscribe();
        // The sender is the pulse's own.
        drop(gone.wait_for(|gone| *gone).await);
    }
}

/// The signs of life of a session.
#[derive(Debug)]
pub(super) struct Pulse {
    asked: watch::Sender<u64>,
    answered: watch::Sender<u64>,
    /// Whether the hub itself does not listen to the agent, which cannot be blamed for its silence then.
    deaf: watch::Sender<bool>,
    gone: watch::Sender<bool>,
}

impl Default for Pulse {
    fn default() -> Self {
        Self {
            asked: watch::Sender::new(0),
            answered: watch::Sender::new(0),
            deaf: watch::Sender::new(false),
            gone: watch::Sender::new(false),
        }
    }
}

impl Pulse {
    /// Someone wants to know whether the agent is there.
    pub(super) fn ask(&self) {
        self.asked.send_modify(|times| *times += 1);
    }

    /// The agent answered.
    pub(super) fn answer(&self) {
        let asked = *self.asked.borrow();
        self.answered.send_replace(asked);
    }

    /// Whether a question waits for its answer.
    pub(super) fn is_asked(&self) -> bool {
        *self.asked.borrow() > *self.answered.borrow()
    }

    /// Hears of questions from here on.
    pub(super) fn questions(&self) -> watch::Receiver<u64> {
        self.asked.subscribe()
    }

    /// Hears of answers from here on.
    pub(super) fn answers(&self) -> watch::Receiver<u64> {
        self.answered.subscribe()
    }

    /// Notes whether the hub listens.
    pub(super) fn set_deaf(&self, deaf: bool) {
        self.deaf.send_replace(deaf);
    }

    /// Whether the hub does not listen to the agent, for a reason of its own.
    pub(super) fn is_deaf(&self) -> bool {
        *self.deaf.borrow()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn who(boot: &str, protocol: u32) -> Who {
        Who { agent: "gw".to_owned(), boot_id: boot.to_owned(), protocol, from: String::new() }
    }

    fn seat(entered: Entered) -> Seat {
        match entered {
            Entered::Seat(seat) => seat,
            Entered::Taken(older) => panic!("taken by {older:?}"),
        }
    }

    #[test]
    fn a_newer_session_of_a_boot_ends_the_older() {
        let sessions = Sessions::default();
        let (down, _stream) = mpsc::channel(1);
        let first = seat(sessions.enter(&who("a", 2), &down));
        let second = seat(sessions.enter(&who("a", 2), &down));
        assert!(first.replaced.is_stopped() && !second.replaced.is_stopped());
        assert!(!sessions.leave("gw", first.number));
        assert_eq!(sessions.connected().len(), 1);
        assert!(sessions.leave("gw", second.number));
        assert!(sessions.connected().is_empty());
    }

    #[test]
    fn another_boot_waits_for_the_answer_of_one_that_can_give_it() {
        let sessions = Sessions::default();
        let (down, _stream) = mpsc::channel(1);
        let old = seat(sessions.enter(&who("a", 1), &down));
        let first = seat(sessions.enter(&who("b", 2), &down));
        assert!(old.replaced.is_stopped());
        let Entered::Taken(older) = sessions.enter(&who("c", 2), &down) else { panic!("not taken") };
        assert_eq!((older.number, older.who.boot_id.as_str()), (first.number, "b"));
        let third = sessions.replace(older.number, &who("c", 2), &down).unwrap();
        assert!(first.replaced.is_stopped());
        assert!(sessions.replace(older.number, &who("d", 2), &down).is_none());
        assert!(sessions.leave("gw", third.number));
    }
}
