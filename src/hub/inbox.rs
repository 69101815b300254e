//! Accept once: which transitions of a batch are news, what is settled of the epoch after it, and which sequence
//! numbers are lost. Pure: the store asks, and records the answer in the transaction that stores the batch.
//!
//! A number is settled once its transition is stored, was given up by the agent, or is known to be lost; then it is
//! never looked at again. Severe transitions may overtake others, so what is settled is a floor and ranges beyond it.

use crate::model::ranges::{Range, Ranges};

/// What an agent offers with a batch.
#[derive(Clone, Copy, Debug, Default)]
pub struct Offer<'a> {
    /// The numbers of its transitions, in the order of the batch.
    pub seqs: &'a [u64],
    /// What its spool gave up.
    pub evicted: &'a [Range],
    /// Everything up to here was offered by now: what is not settled is lost.
    pub complete: u64,
}

/// What is to be done with a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The places in the batch that are to be stored, in ascending order of seq.
    pub take: Vec<usize>,
    /// How many were settled already.
    pub duplicates: usize,
    /// What is settled once the batch is stored.
    pub settled: Ranges,
    /// What never came and was not given up by the agent.
    pub lost: Vec<Range>,
    /// What the agent gave up, without what was settled before.
    pub evicted: Vec<Range>,
    /// What is settled beyond the floor, of what the batch was about.
    pub above: Vec<Range>,
}

impl Offer<'_> {
    /// Which of the settled numbers beyond the floor matter to the verdict: those of ranges that meet this one.
    pub fn reach(&self, floor: u64) -> Range {
        let whole = self.evicted.iter().filter(|(first, last)| first <= last);
        let firsts = self.seqs.iter().copied().chain(whole.clone().map(|range| range.0));
        let lasts = self.seqs.iter().copied().chain(whole.map(|range| range.1));
        let last = lasts.chain([floor, self.complete]).max().unwrap_or(floor);
        let first = if self.complete > floor { floor } else { firsts.min().unwrap_or(last) };
        // What touches is one range with it.
        (first.saturating_sub(1), last.saturating_add(1))
    }
}

/// Judges a batch against what is settled of its epoch, at least within [`Offer::reach`] and up to the floor.
pub fn judge(mut settled: Ranges, offer: &Offer<'_>) -> Verdict {
    let mut order: Vec<usize> = (0..offer.seqs.len()).collect();
    order.sort_by_key(|&place| offer.seqs[place]);
    let mut take = Vec::new();
    let mut offered = Ranges::default();
    for place in order {
        let seq = offer.seqs[place];
        // The first number of a spool is 1.
        if seq != 0 && !settled.contains(seq) {
            settled.insert(seq, seq);
            take.push(place);
        }
        offered.insert(seq, seq);
    }
    let duplicates = offer.seqs.len() - take.len();
    let mut evicted = Ranges::default();
    for (first, last) in offer.evicted.iter().map(|(first, last)| ((*first).max(1), *last)) {
        for (first, last) in settled.missing(first, last) {
            settled.insert(first, last);
            evicted.insert(first, last);
        }
        offered.insert(first, last);
    }
    let lost = settled.missing(1, offer.complete);
    settled.insert(1, offer.complete);
    let floor = settled.floor();
    let about = |range: &Range| range.0 > floor && offered.missing(range.0, range.1) != [*range];
    let above = settled.iter().filter(about).collect();
    Verdict { take, duplicates, lost, evicted: evicted.iter().collect(), above, settled }
}

/// How many numbers there are in ranges.
pub fn count(ranges: &[Range]) -> u64 {
    let each = ranges.iter().map(|(first, last)| last.saturating_sub(*first).saturating_add(1));
    each.fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests;
