//! Accept once: which transitions of a batch are news, how far the epoch is committed after it,
//! and which sequence numbers are missing. Pure: the store asks, and records the answer in the
//! transaction that stores the batch.

/// Sequence numbers, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SeqRange {
    /// The first.
    pub first: u64,
    /// The last.
    pub last: u64,
}

impl SeqRange {
    /// How many there are.
    pub const fn count(self) -> u64 {
        self.last.saturating_sub(self.first).saturating_add(1)
    }
}

/// What is to be done with a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The places in the batch that are to be stored, in ascending order of seq.
    pub take: Vec<usize>,
    /// How many were known already.
    pub duplicates: usize,
    /// Everything up to here is settled once the batch is stored.
    pub committed: u64,
    /// What never came and was not given up by the agent: lost.
    pub missing: Vec<SeqRange>,
    /// What the agent says it gave up.
    pub evicted: Vec<SeqRange>,
}

/// Judges a batch against what is committed of its epoch. An agent sends in ascending order, so
/// what was jumped over will not come later: the committed mark moves past it.
pub fn judge(committed: u64, seqs: &[u64], evicted: &[SeqRange]) -> Verdict {
    let mut order: Vec<usize> = (0..seqs.len()).collect();
    order.sort_by_key(|&place| seqs[place]);
    let mut gone: Vec<SeqRange> = evicted
        .iter()
        .filter(|range| range.first <= range.last && range.last > committed)
        .map(|range| SeqRange { first: range.first.max(committed.saturating_add(1)), last: range.last })
        .collect();
    gone.sort_unstable();
    let mut verdict =
        Verdict { take: Vec::new(), duplicates: 0, committed, missing: Vec::new(), evicted: gone };
    for place in order {
        let seq = seqs[place];
        if seq <= verdict.committed {
            verdict.duplicates += 1;
            continue;
        }
        let jumped = uncovered(verdict.committed + 1, seq - 1, &verdict.evicted);
        verdict.missing.extend(jumped);
        verdict.take.push(place);
        verdict.committed = seq;
    }
    for range in &verdict.evicted {
        if range.first <= verdict.committed.saturating_add(1) {
            verdict.committed = verdict.committed.max(range.last);
        }
    }
    verdict.evicted.retain(|range| range.first <= verdict.committed);
    verdict
}

/// The parts of `first..=last` that no range covers. The ranges are sorted.
fn uncovered(first: u64, last: u64, ranges: &[SeqRange]) -> Vec<SeqRange> {
    let mut left = Vec::new();
    let mut from = first;
    for range in ranges {
        if from > last || range.first > last {
            break;
        }
        if range.last < from {
            continue;
        }
        if range.first > from {
            left.push(SeqRange { first: from, last: range.first - 1 });
        }
        from = range.last.saturating_add(1);
    }
    if from <= last {
        left.push(SeqRange { first: from, last });
    }
    left
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn range(first: u64, last: u64) -> SeqRange {
        SeqRange { first, last }
    }

    #[track_caller]
    fn check(
        committed: u64,
        seqs: &[u64],
        evicted: &[SeqRange],
        take: &[usize],
        after: u64,
        missing: &[SeqRange],
    ) {
        let verdict = judge(committed, seqs, evicted);
        assert_eq!(verdict.take, take, "taken");
        assert_eq!(verdict.committed, after, "committed");
        assert_eq!(verdict.missing, missing, "missing");
        assert_eq!(verdict.take.len() + verdict.duplicates, seqs.len());
    }

    #[test]
    fn every_transition_is_taken_once() {
        check(0, &[1, 2, 3], &[], &[0, 1, 2], 3, &[]);
        check(3, &[1, 2, 3], &[], &[], 3, &[]);
        check(2, &[1, 2, 3, 4], &[], &[2, 3], 4, &[]);
        check(0, &[1, 1, 2], &[], &[0, 2], 2, &[]);
        check(0, &[2, 1], &[], &[1, 0], 2, &[]);
        check(5, &[], &[], &[], 5, &[]);
        check(0, &[0], &[], &[], 0, &[]);
    }

    #[test]
    fn what_was_given_up_is_not_lost() {
        check(0, &[4], &[range(1, 3)], &[0], 4, &[]);
        check(0, &[6], &[range(2, 3)], &[0], 6, &[range(1, 1), range(4, 5)]);
        check(2, &[3], &[range(4, 9)], &[0], 9, &[]);
        check(2, &[], &[range(1, 9)], &[], 9, &[]);
        check(2, &[], &[range(5, 9)], &[], 2, &[]);
        check(2, &[10], &[], &[0], 10, &[range(3, 9)]);
    }

    #[test]
    fn the_ends_of_the_numbers_do_no_harm() {
        check(0, &[u64::MAX], &[], &[0], u64::MAX, &[range(1, u64::MAX - 1)]);
    }
}
