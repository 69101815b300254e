//! The loop of one broker: connect, read, hand on, acknowledge, and begin again when it breaks.
//!
//! It runs on a thread of its own, so that a pause of a millisecond here is a wake-up saved and
//! not a delay for others. The connection's future is never dropped halfway while the source
//! lives, for it may be about to write an acknowledgement.

use std::pin::pin;
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use super::desk::Desk;
use super::face::{Events, HARD_LIMIT, Happening, Lost};
use crate::clock::Clock;
use crate::failpoint;
use crate::ingest::coalesce::LONGEST;
use crate::model::backoff::Backoff;
use crate::model::message::{AckToken, Message};
use crate::model::time::Mono;
use crate::tasks::Stop;

/// How long a stopping source waits for the acknowledgements of what it handed on.
const LAST_ACKS: Duration = Duration::from_secs(2);
/// How long it takes at most to say goodbye.
const GOODBYE: Duration = Duration::from_secs(1);
/// A broker that sent nothing for this long has dealt with what it got.
const SILENCE: Duration = Duration::from_millis(50);
/// Bytes around a payload: what a packet may have more than what the broker reported.
const SLACK: u32 = 1_024;

/// The ends of the channels that a session holds.
pub(super) struct Lines {
    pub(super) out: mpsc::Sender<Vec<Message>>,
    pub(super) acks: mpsc::Receiver<Vec<AckToken>>,
    pub(super) filters: watch::Receiver<Vec<String>>,
}

/// Why the loop goes round.
enum Turn<'a> {
    Stop,
    Event(Result<Happening, Lost>),
    Acks(Option<Vec<AckToken>>),
    Filters(bool),
    /// Somebody can take a batch, or nobody ever will.
    Room(Option<mpsc::Permit<'a, Vec<Message>>>),
    /// Nothing more can be read at present.
    Drained,
    /// The time has come to read again.
    Wake,
}

/// When to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reading {
    /// Whatever comes.
    Open,
    /// Until nothing is left, then see.
    Once,
    /// Not before this time, while messages may be handed on.
    After(Mono),
    /// Not before there is room, or this time.
    Blocked(Mono),
}

/// Runs until the stop is announced or nobody is left to read for.
pub(super) async fn run(
    mut desk: Desk,
    mut events: Events,
    mut lines: Lines,
    stop: Stop,
    clock: Clock,
    longest_pause: Duration,
) {
    let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(30));
    let mut reading = Reading::Open;
    let mut filters_live = true;
    let mut stopped = pin!(stop.stopped());
    'source: loop {
        let event = {
            let mut polling = pin!(events.poll());
            loop {
                if desk.pump() {
                    reading = hurry(reading, &desk);
                }
                let wake = match reading {
                    Reading::After(at) | Reading::Blocked(at) => Some(clock.until(at)),
                    Reading::Open | Reading::Once => None,
                };
                let turn = tokio::select! {
                    biased;
                    () = &mut stopped => Turn::Stop,
                    tokens = lines.acks.recv() => Turn::Acks(tokens),
                    changed = lines.filters.changed(), if filters_live => Turn::Filters(changed.is_ok()),
                    event = &mut polling, if wake.is_none() => Turn::Event(event),
                    room = lines.out.reserve(), if desk.has_messages() => Turn::Room(room.ok()),
                    () = std::future::ready(()), if reading == Reading::Once => Turn::Drained,
                    () = tokio::time::sleep(wake.unwrap_or(Duration::MAX)), if wake.is_some() => Turn::Wake,
                };
                match turn {
                    Turn::Stop | Turn::Acks(None) | Turn::Room(None) => break 'source,
                    Turn::Event(event) => break event,
                    Turn::Acks(Some(tokens)) => desk.acknowledge(tokens),
                    Turn::Filters(live) => {
                        filters_live = live;
                        if live {
                            let wanted = lines.filters.borrow_and_update().clone();
                            desk.change_filters(wanted);
                        }
                    }
                    Turn::Room(Some(room)) => {
                        let (batch, pause) = desk.take_batch(clock.mono());
                        failpoint::reach("ingest.batch");
                        room.send(batch);
                        reading = after_batch(reading, &desk, pause, clock);
                    }
                    Turn::Drained => reading = settle(&desk, longest_pause, clock),
                    Turn::Wake => reading = if must_pause(&desk) { Reading::Once } else { Reading::Open },
                }
            }
        };
        desk.at(clock.now().wall);
        match event {
            Ok(first) => {
                note(&mut desk, &mut backoff, first, clock);
                while let Some(next) = events.ready() {
                    note(&mut desk, &mut backoff, next, clock);
                }
                // Where it reads for acknowledgements to go out and for signs of life to come in, it goes on to the
                // end of what is there, unless the broker sends without end.
                let enough = match reading {
                    Reading::Open => desk.is_full(),
                    Reading::Once => desk.is_overrun(),
                    Reading::After(_) | Reading::Blocked(_) => false,
                };
                if enough {
                    reading = settle(&desk, longest_pause, clock);
                    if lines.out.capacity() == 0 {
                        desk.paused();
                    }
                } else if lines.out.capacity() == 0 && desk.has_messages() {
                    // Who takes the batches is busy: what comes meanwhile need not wake anybody.
                    rest(desk.pause().min(LONGEST));
                }
            }
            Err(lost) => {
                desk.lost(&lost);
                allow_larger(&mut events, &lost);
                let wait = backoff.lost(clock.mono(), fastrand::f64());
                reading = Reading::After(clock.mono().plus(wait));
            }
        }
    }
    let Lines { out, acks, .. } = lines;
    finish(&mut desk, &mut events, out, acks, clock).await;
    desk.ended(clock.now());
}

/// How to go on when something waits to be sent. A pause that saves wake-ups goes on, unless the
/// broker may be waiting for these acknowledgements to send more.
fn hurry(reading: Reading, desk: &Desk) -> Reading {
    match reading {
        Reading::Blocked(_) => Reading::Once,
        Reading::After(_) if desk.is_connected() && desk.may_hold_up() => Reading::Once,
        other => other,
    }
}

/// How to go on reading after a batch was taken.
fn after_batch(reading: Reading, desk: &Desk, pause: Duration, clock: Clock) -> Reading {
    match reading {
        Reading::After(_) if !desk.is_connected() => reading,
        _ if desk.is_full() => reading,
        _ if pause.is_zero() => Reading::Open,
        _ if desk.may_hold_up() => Reading::After(clock.mono().plus(pause.min(LONGEST))),
        _ => {
            rest(pause.min(LONGEST));
            Reading::Open
        }
    }
}

/// Lets the whole thread sleep. A runtime that sleeps is woken by every packet that arrives, even
/// when nobody is going to read it, and those wake-ups are what the pause is to save. It is too
/// short to hold up a stop.
fn rest(pause: Duration) {
    if !pause.is_zero() {
        std::thread::park_timeout(pause);
    }
}

/// How to go on when nothing more can be read, or so much waits that it should not be.
fn settle(desk: &Desk, longest_pause: Duration, clock: Clock) -> Reading {
    if must_pause(desk) { Reading::Blocked(clock.mono().plus(longest_pause)) } else { Reading::Open }
}

/// Connecting brings no messages, and must not be held up.
fn must_pause(desk: &Desk) -> bool {
    desk.is_full() && desk.is_connected()
}

fn note(desk: &mut Desk, backoff: &mut Backoff, happening: Happening, clock: Clock) {
    match happening {
        Happening::Publish(publish) => desk.publish(publish),
        Happening::Connected { resumed, .. } => {
            backoff.connected(clock.mono());
            desk.connected(resumed);
        }
        Happening::Subscribed(answers) => desk.subscribed(&answers),
        Happening::Other => {}
    }
}

/// A packet above the limit ended the connection, and the broker will send it again: it can only
/// be got rid of by reading it.
fn allow_larger(events: &mut Events, lost: &Lost) {
    if let Some(size) = lost.too_large {
        let size = u32::try_from(size).unwrap_or(HARD_LIMIT);
        events.raise_limit(size.saturating_add(SLACK));
    }
}

/// The end: what was read goes out if there is room, what was handed on may still be
/// acknowledged, and the broker is told that it may keep the session.
async fn finish(
    desk: &mut Desk,
    events: &mut Events,
    out: mpsc::Sender<Vec<Message>>,
    mut acks: mpsc::Receiver<Vec<AckToken>>,
    clock: Clock,
) {
    while desk.has_messages()
        && let Ok(permit) = out.try_reserve()
    {
        permit.send(desk.take_batch(clock.mono()).0);
    }
    desk.abandon();
    drop(out);
    let deadline = clock.mono().plus(LAST_ACKS);
    let mut more = true;
    while desk.owes_acks() && !clock.until(deadline).is_zero() {
        desk.pump();
        let event = tokio::select! {
            biased;
            tokens = acks.recv(), if more => {
                match tokens {
                    Some(tokens) => desk.acknowledge(tokens),
                    None => {
                        more = false;
                        desk.forget_open();
                    }
                }
                continue;
            }
            event = events.poll() => event,
            () = tokio::time::sleep(clock.until(deadline)) => break,
        };
        match event {
            Ok(Happening::Publish(publish)) => desk.too_late(&publish),
            Ok(_) => {}
            Err(_) => return,
        }
    }
    fall_silent(desk, events).await;
    if desk.disconnect() {
        // What is read on the way is not taken: the broker keeps it.
        let goodbye = async { while events.poll().await.is_ok() {} };
        drop(tokio::time::timeout(GOODBYE, goodbye).await);
    }
}

/// Reads on until the broker is silent. A socket that is closed with something unread is reset, and a
/// reset may take back acknowledgements that the broker has not looked at yet.
async fn fall_silent(desk: &mut Desk, events: &mut Events) {
    if !desk.is_connected() {
        return;
    }
    let silent = async {
        while let Ok(event) = tokio::time::timeout(SILENCE, events.poll()).await {
            match event {
                Ok(Happening::Publish(publish)) => desk.too_late(&publish),
                Ok(_) => {}
                Err(_) => return,
            }
        }
    };
    drop(tokio::time::timeout(GOODBYE, silent).await);
}
