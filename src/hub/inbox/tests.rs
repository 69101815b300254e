//! Batches by hand, and random ones against a hub that knows each number by itself.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

#[track_caller]
fn check(
    settled: &[Range],
    offer: &Offer<'_>,
    take: &[usize],
    after: &[Range],
    lost: &[Range],
    evicted: &[Range],
) {
    let verdict = judge(settled.iter().copied().collect(), offer);
    assert_eq!(verdict.take, take, "taken");
    assert_eq!(verdict.settled.iter().collect::<Vec<_>>(), after, "settled");
    assert_eq!(verdict.lost, lost, "lost");
    assert_eq!(verdict.evicted, evicted, "evicted");
    assert_eq!(verdict.take.len() + verdict.duplicates, offer.seqs.len());
}

fn offer<'a>(seqs: &'a [u64], evicted: &'a [Range], complete: u64) -> Offer<'a> {
    Offer { seqs, evicted, complete }
}

#[test]
fn every_transition_is_taken_once() {
    check(&[], &offer(&[1, 2, 3], &[], 3), &[0, 1, 2], &[(1, 3)], &[], &[]);
    check(&[(1, 3)], &offer(&[1, 2, 3], &[], 3), &[], &[(1, 3)], &[], &[]);
    check(&[(1, 2)], &offer(&[1, 2, 3, 4], &[], 0), &[2, 3], &[(1, 4)], &[], &[]);
    check(&[], &offer(&[1, 1, 2], &[], 0), &[0, 2], &[(1, 2)], &[], &[]);
    check(&[], &offer(&[2, 1], &[], 0), &[1, 0], &[(1, 2)], &[], &[]);
    check(&[(1, 5)], &offer(&[], &[], 0), &[], &[(1, 5)], &[], &[]);
    check(&[], &offer(&[0], &[], 0), &[], &[], &[], &[]);
}

#[test]
fn what_overtakes_is_taken_and_nothing_is_lost_by_it() {
    check(&[(1, 3)], &offer(&[7, 9], &[], 3), &[0, 1], &[(1, 3), (7, 7), (9, 9)], &[], &[]);
    check(&[(1, 3), (7, 7), (9, 9)], &offer(&[4, 5, 6], &[], 7), &[0, 1, 2], &[(1, 7), (9, 9)], &[], &[]);
    // All was offered: what did not come is lost, once.
    check(&[(1, 3), (7, 7), (9, 9)], &offer(&[5], &[], 8), &[0], &[(1, 9)], &[(4, 4), (6, 6), (8, 8)], &[]);
    check(&[(1, 9)], &offer(&[4], &[], 8), &[], &[(1, 9)], &[], &[]);
}

#[test]
fn what_was_given_up_is_not_lost() {
    check(&[], &offer(&[4], &[(1, 3)], 4), &[0], &[(1, 4)], &[], &[(1, 3)]);
    check(&[], &offer(&[6], &[(2, 3)], 6), &[0], &[(1, 6)], &[(1, 1), (4, 5)], &[(2, 3)]);
    check(&[(1, 2)], &offer(&[3], &[(4, 9)], 0), &[0], &[(1, 9)], &[], &[(4, 9)]);
    check(&[(1, 2)], &offer(&[], &[(5, 9)], 0), &[], &[(1, 2), (5, 9)], &[], &[(5, 9)]);
    // What the hub has, it has; what was given up does not come back as news.
    check(&[(1, 2), (5, 5)], &offer(&[6], &[(3, 7)], 7), &[0], &[(1, 7)], &[], &[(3, 4), (7, 7)]);
    check(&[(1, 7)], &offer(&[4], &[(2, 6)], 7), &[], &[(1, 7)], &[], &[]);
}

#[test]
fn an_answer_says_what_became_of_what_was_sent_and_not_more() {
    let settled: Ranges = [(1, 3), (7, 7), (100, 200), (300, 300)].into_iter().collect();
    let verdict = judge(settled, &offer(&[8, 300], &[(202, 203)], 0));
    assert_eq!(verdict.settled.floor(), 3);
    assert_eq!(verdict.above, [(7, 8), (202, 203), (300, 300)]);
}

#[test]
fn the_ends_of_the_numbers_do_no_harm() {
    check(&[], &offer(&[u64::MAX], &[], u64::MAX), &[0], &[(1, u64::MAX)], &[(1, u64::MAX - 1)], &[]);
    check(&[(1, 4)], &offer(&[], &[(9, 2), (0, 0), (5, 4)], 0), &[], &[(1, 4)], &[], &[]);
    check(&[], &offer(&[], &[(0, u64::MAX)], 0), &[], &[(1, u64::MAX)], &[], &[(1, u64::MAX)]);
    assert_eq!(offer(&[u64::MAX, 0], &[(7, 3)], 0).reach(5), (0, u64::MAX));
    assert_eq!(count(&[(1, u64::MAX), (0, 0)]), u64::MAX);
}

/// What an agent's numbers really are, one by one.
#[derive(Clone, Debug, Default)]
struct Naive {
    taken: BTreeSet<u64>,
    evicted: BTreeSet<u64>,
    lost: BTreeSet<u64>,
}

impl Naive {
    fn settled(&self) -> BTreeSet<u64> {
        self.taken.iter().chain(&self.evicted).chain(&self.lost).copied().collect()
    }
}

/// What happens between an agent and its hub. Numbers are those of the outbox, from 1 to [`NEWEST`].
#[derive(Clone, Debug)]
enum Step {
    /// So many of those that were not sent on this session, from one place of the outbox on.
    Send { from: u64, count: usize, again: bool },
    /// The spool gives a range up: what was not acknowledged of it goes.
    Evict(u64, u64),
    /// The row cannot be read any more.
    Damage(u64),
    /// A new session: all that is not acknowledged is sent again. The last answer may have got lost.
    Reconnect { heard: bool },
}

const NEWEST: u64 = 24;

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (1..=NEWEST, 1_usize..6, any::<bool>())
            .prop_map(|(from, count, again)| Step::Send { from, count, again }),
        2 => (1..=NEWEST, 0_u64..5).prop_map(|(first, more)| Step::Evict(first, (first + more).min(NEWEST))),
        1 => (1..=NEWEST).prop_map(Step::Damage),
        2 => any::<bool>().prop_map(|heard| Step::Reconnect { heard }),
    ]
}

fn numbers(ranges: impl IntoIterator<Item = Range>) -> BTreeSet<u64> {
    ranges.into_iter().flat_map(|(first, last)| first..=last).collect()
}

fn ranges(numbers: &BTreeSet<u64>) -> Vec<Range> {
    numbers.iter().map(|n| (*n, *n)).collect::<Ranges>().iter().collect()
}

/// The hub, which knows ranges, beside one that knows each number.
#[derive(Default)]
struct Hub {
    settled: Ranges,
    naive: Naive,
    stored: BTreeMap<u64, usize>,
}

impl Hub {
    fn offer(
        &mut self,
        seqs: &[u64],
        evicted: &BTreeSet<u64>,
        complete: u64,
    ) -> Result<Verdict, TestCaseError> {
        let evicted_ranges = ranges(evicted);
        let offer = Offer { seqs, evicted: &evicted_ranges, complete };
        // The store reads only what matters.
        let floor = self.settled.floor();
        let (first, last) = offer.reach(floor);
        let near =
            self.settled.iter().filter(|range| range.1 >= first && range.0 <= last).chain([(1, floor)]);
        let verdict = judge(near.collect(), &offer);
        prop_assert_eq!(verdict.settled.floor(), {
            let mut whole = self.settled.clone();
            verdict.settled.iter().for_each(|(first, last)| whole.insert(first, last));
            self.settled = whole;
            self.settled.floor()
        });

        let before = self.naive.settled();
        let news: BTreeSet<u64> = seqs.iter().copied().filter(|seq| !before.contains(seq)).collect();
        let taken: Vec<u64> = verdict.take.iter().map(|place| seqs[*place]).collect();
        prop_assert_eq!(&taken, &news.iter().copied().collect::<Vec<_>>());
        taken.iter().for_each(|seq| *self.stored.entry(*seq).or_default() += 1);
        self.naive.taken.extend(&news);
        let gone: BTreeSet<u64> =
            evicted.iter().copied().filter(|n| !before.contains(n) && !news.contains(n)).collect();
        prop_assert_eq!(numbers(verdict.evicted.iter().copied()), gone.clone());
        self.naive.evicted.extend(&gone);
        let lost: BTreeSet<u64> = (1..=complete).filter(|n| !self.naive.settled().contains(n)).collect();
        prop_assert_eq!(numbers(verdict.lost.iter().copied()), lost.clone());
        self.naive.lost.extend(&lost);
        prop_assert_eq!(numbers(self.settled.iter()), self.naive.settled());
        let floor = self.settled.floor();
        let beyond = |n: &&u64| **n > floor;
        let told = numbers(verdict.above.iter().copied());
        prop_assert!(seqs.iter().chain(evicted).filter(beyond).all(|n| told.contains(n)));
        prop_assert!(told.iter().all(|n| self.naive.settled().contains(n)));
        Ok(verdict)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Whatever the order, the repeats, the evictions and the lost sessions: each number is stored once or is known to
    /// be given up or lost, and lost is only what could not be sent.
    #[test]
    fn a_hub_of_ranges_is_one_of_numbers(steps in prop::collection::vec(step(), 0..60)) {
        let mut hub = Hub::default();
        // The agent's side.
        let mut outbox: BTreeSet<u64> = (1..=NEWEST).collect();
        let (mut evicted, mut damaged) = (BTreeSet::new(), BTreeSet::new());
        let (mut acknowledged, mut sent) = (BTreeSet::<u64>::new(), BTreeSet::<u64>::new());
        let mut answer: BTreeSet<u64> = BTreeSet::new();
        let finish = [Step::Reconnect { heard: true }, Step::Send { from: 1, count: 99, again: true }];
        for step in steps.into_iter().chain(finish) {
            match step {
                Step::Send { from, count, again } => {
                    let waiting = outbox.range(from..).filter(|n| !damaged.contains(*n));
                    let seqs: Vec<u64> =
                        waiting.filter(|n| again || !sent.contains(*n)).copied().take(count).collect();
                    sent.extend(&seqs);
                    let over = |n: &u64| {
                        sent.contains(n) || acknowledged.contains(n) || evicted.contains(n) || damaged.contains(n)
                    };
                    let complete = (1..=NEWEST).take_while(over).last().unwrap_or(0);
                    let verdict = hub.offer(&seqs, &evicted, complete)?;
                    answer = numbers(verdict.above.into_iter().chain([(1, verdict.settled.floor())]));
                }
                Step::Evict(first, last) => {
                    let goes: Vec<u64> = outbox.range(first..=last).copied().collect();
                    outbox.retain(|n| !goes.contains(n));
                    evicted.extend(goes);
                }
                Step::Damage(seq) => damaged.extend([seq]),
                Step::Reconnect { heard } => {
                    if heard {
                        acknowledged.append(&mut answer);
                    }
                    // The welcome says it all in any case.
                    acknowledged.extend(numbers(hub.settled.iter()));
                    outbox.retain(|n| !acknowledged.contains(n));
                    sent.clear();
                }
            }
        }
        prop_assert!(hub.stored.values().all(|times| *times == 1));
        prop_assert_eq!(hub.settled.floor(), NEWEST);
        prop_assert!(hub.naive.lost.iter().all(|n| damaged.contains(n)), "{:?}", hub.naive.lost);
        prop_assert!(hub.naive.evicted.iter().all(|n| evicted.contains(n)));
    }
}
