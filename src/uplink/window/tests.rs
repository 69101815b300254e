//! The window by hand, and against a naive outbox, agent and hub.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

fn after(committed: u64) -> Window {
    Window::starting(committed, &[], &Ranges::default())
}

#[test]
fn sends_up_to_its_bound_and_goes_on_with_the_acks() {
    let mut window = after(10);
    assert_eq!(window.room(Which::Rest), Some(Room { count: BATCH, bytes: BATCH_BYTES }));
    (11..=810).for_each(|seq| window.send(seq, 10));
    assert_eq!(window.room(Which::Rest), None);
    assert_eq!(window.room(Which::Urgent).unwrap().count, 200);
    assert!(window.ack(10, &[(21, 30)]));
    assert_eq!(window.room(Which::Rest).unwrap().count, 10);
    assert!(window.ack(810, &[]));
    assert!(window.is_idle());
}

#[test]
fn large_rows_fill_it_too_and_one_always_goes() {
    let mut window = after(0);
    window.send(1, BYTES_IN_FLIGHT);
    assert_eq!((window.room(Which::Rest), window.room(Which::Urgent)), (None, None));
    assert!(window.ack(1, &[]));
    window.send(2, BYTES_IN_FLIGHT - BYTES_RESERVE);
    assert_eq!(window.room(Which::Rest), None);
    assert_eq!(window.room(Which::Urgent).unwrap().bytes, BATCH_BYTES);
}

#[test]
fn an_ack_of_what_was_not_sent_or_is_old_is_ignored() {
    let mut window = after(10);
    window.send(11, 1);
    window.send(13, 1);
    assert!(!window.ack(10, &[(5, 7), (12, 12), (14, 90)]));
    assert!(window.ack(90, &[]));
    assert_eq!(window.acked(), (11, vec![(13, 13)]));
    assert!(window.is_idle());
}

#[test]
fn a_hub_that_lost_what_it_had_is_told_that_nothing_more_comes() {
    let mut window = Window::starting(3, &[(5, 5)], &Ranges::up_to(9));
    assert_eq!((window.unsent(9), window.unsent(11)), (0, 2));
    assert_eq!((window.tell_complete(), window.tell_complete()), (Some(9), None));
}

#[test]
fn what_was_given_up_is_told_once() {
    let mut window = after(0);
    window.send(2, 1);
    assert_eq!(window.untold(1, 4), [(1, 1), (3, 4)]);
    window.pass(1, 1);
    assert_eq!(window.untold(1, 4), [(3, 4)]);
    assert_eq!(window.tell_complete(), Some(2));
}

/// What happens to an agent, its outbox and the link.
#[derive(Clone, Debug)]
enum Step {
    /// A transition of an alert; urgent or not.
    Commit { alert: u8, urgent: bool },
    /// A message of at most so many rows goes out, if there is room.
    Send { count: usize },
    /// The hub takes in the next message, and answers.
    Deliver,
    /// The agent hears of the next answer.
    Hear,
    /// The session breaks, with all that is under way.
    Break,
    /// The outbox gives up the oldest row of its rest.
    Evict,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0_u8..4, any::<bool>()).prop_map(|(alert, urgent)| Step::Commit { alert, urgent }),
        4 => (1_usize..4).prop_map(|count| Step::Send { count }),
        3 => Just(Step::Deliver),
        3 => Just(Step::Hear),
        1 => Just(Step::Break),
        1 => Just(Step::Evict),
    ]
}

#[derive(Debug)]
struct Message {
    rows: Vec<u64>,
    evicted: Vec<Range>,
    complete: u64,
}

/// A naive outbox, agent and hub around the window.
#[derive(Default)]
struct World {
    window: Window,
    /// By number: the alert, and whether it goes first.
    waiting: BTreeMap<u64, (u8, bool)>,
    alerts: BTreeMap<u64, u8>,
    evicted: BTreeSet<u64>,
    newest: u64,
    up: Vec<Message>,
    down: Vec<(u64, Vec<Range>)>,
    hub: Ranges,
    /// In the order in which they came first.
    came: Vec<u64>,
}

impl World {
    fn apply(&mut self, step: Step) {
        match step {
            Step::Commit { alert, urgent } => {
                self.newest += 1;
                if urgent {
                    self.waiting.values_mut().filter(|row| row.0 == alert).for_each(|row| row.1 = true);
                }
                self.waiting.insert(self.newest, (alert, urgent));
                self.alerts.insert(self.newest, alert);
            }
            Step::Send { count } => self.send(count),
            Step::Deliver if self.up.is_empty() => {}
            Step::Deliver => self.deliver(),
            Step::Hear if self.down.is_empty() => {}
            Step::Hear => {
                let (floor, above) = self.down.remove(0);
                if self.window.ack(floor, &above) {
                    let (floor, above) = self.window.acked();
                    let mut gone = Ranges::up_to(floor);
                    above.iter().for_each(|(first, last)| gone.insert(*first, *last));
                    self.waiting.retain(|seq, _| !gone.contains(*seq));
                }
            }
            Step::Break => {
                self.up.clear();
                self.down.clear();
                let (floor, above) = standing(&self.hub);
                self.window = Window::starting(floor, &above, &Ranges::default());
                self.waiting.retain(|seq, _| !self.hub.contains(*seq));
            }
            Step::Evict => {
                let oldest = self.waiting.iter().find(|(_, row)| !row.1).map(|(seq, _)| *seq);
                if let Some(seq) = oldest {
                    self.waiting.remove(&seq);
                    self.evicted.insert(seq);
                }
            }
        }
    }

    fn peek(&self, which: Which, count: usize) -> Vec<u64> {
        let urgent = which == Which::Urgent;
        let rows =
            self.waiting.iter().filter(|(seq, row)| row.1 == urgent && !self.window.out().contains(**seq));
        rows.map(|(seq, _)| *seq).take(count).collect()
    }

    fn send(&mut self, count: usize) {
        let room = |which| self.window.room(which).map_or(0, |room: Room| room.count).min(count);
        let mut rows = self.peek(Which::Urgent, room(Which::Urgent));
        if rows.is_empty() {
            rows = self.peek(Which::Rest, room(Which::Rest));
        }
        let evicted: Vec<Range> =
            self.evicted.iter().flat_map(|seq| self.window.untold(*seq, *seq)).collect();
        rows.iter().for_each(|seq| self.window.send(*seq, 100));
        evicted.iter().for_each(|(first, last)| self.window.pass(*first, *last));
        if let complete @ Some(_) = self.window.tell_complete().or((!rows.is_empty()).then_some(0)) {
            self.up.push(Message { rows, evicted, complete: complete.unwrap_or(0) });
        } else if !evicted.is_empty() {
            self.up.push(Message { rows, evicted, complete: 0 });
        }
    }

    fn deliver(&mut self) {
        let Message { rows, evicted, complete } = self.up.remove(0);
        for seq in rows {
            if !self.hub.contains(seq) {
                self.came.push(seq);
                self.hub.insert(seq, seq);
            }
        }
        evicted.iter().for_each(|(first, last)| self.hub.insert(*first, *last));
        // Nothing is lost in this world: where the hub lacks something that should have come, that was a lie.
        assert_eq!(self.hub.missing(1, complete), [], "complete up to {complete}");
        self.down.push(standing(&self.hub));
    }
}

fn standing(hub: &Ranges) -> (u64, Vec<Range>) {
    let floor = hub.floor();
    (floor, hub.iter().filter(|(first, _)| *first > floor).collect())
}

proptest! {
    /// Any order of commits, sendings, answers, breaks and evictions: what the hub is told to be complete is, the
    /// transitions of each alert come in their order, and in the end all came that was not given up.
    #[test]
    fn everything_comes_in_the_order_of_its_alert(steps in prop::collection::vec(step(), 0..120)) {
        let mut world = World::default();
        for step in steps {
            world.apply(step);
        }
        for _ in 0..3 * world.newest + 3 {
            for step in [Step::Send { count: 3 }, Step::Deliver, Step::Hear] {
                world.apply(step);
            }
        }
        while !world.up.is_empty() {
            world.apply(Step::Deliver);
        }
        prop_assert_eq!(world.hub.missing(1, world.newest), []);
        prop_assert!(world.window.is_idle());
        let came: BTreeSet<u64> = world.came.iter().copied().collect();
        let lacks: BTreeSet<u64> = (1..=world.newest).filter(|seq| !came.contains(seq)).collect();
        prop_assert!(lacks.is_subset(&world.evicted));
        for alert in 0..4 {
            let own: Vec<u64> = world.came.iter().copied().filter(|seq| world.alerts[seq] == alert).collect();
            prop_assert!(own.is_sorted(), "alert {}: {:?}", alert, own);
        }
    }
}
