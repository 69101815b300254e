//! The least that windows over a key and a field take: one partial for each key and slice, an array by
//! a dense key, and at a slice's end the windows that end there compared with their sorted thresholds
//! (Krishnamurthy et al., SIGMOD 2006).

use std::collections::VecDeque;

/// Slices a window looks back over: tumbling by one, hopping by five and by ten.
const SPANS: [usize; 3] = [1, 5, 10];

/// One window that hops by a slice over many slices: what comes is added and what goes taken away, and of the
/// greatest those are kept that none behind them surpasses.
pub(crate) struct Hopping {
    slices: usize,
    keys: Vec<Hop>,
    /// Windows whose mean was above the limit.
    pub(crate) matched: u64,
}

#[derive(Clone, Default)]
struct Hop {
    past: VecDeque<f64>,
    sum: f64,
    most: VecDeque<(u64, f64)>,
    at: u64,
}

impl Hopping {
    /// A window of so many slices for each key.
    pub(crate) fn new(keys: usize, slices: usize) -> Self {
        Self { slices, keys: vec![Hop::default(); keys], matched: 0 }
    }

    /// The one value of a key in a slice, at the end of which the key's window ends.
    pub(crate) fn push(&mut self, key: usize, value: f64, limit: f64) {
        let hop = &mut self.keys[key];
        if hop.past.len() == self.slices {
            hop.sum -= hop.past.pop_front().unwrap_or_default();
        }
        hop.at += 1;
        if hop.most.front().is_some_and(|(at, _)| at + self.slices as u64 <= hop.at) {
            hop.most.pop_front();
        }
        while hop.most.back().is_some_and(|(_, most)| *most <= value) {
            hop.most.pop_back();
        }
        hop.most.push_back((hop.at, value));
        hop.past.push_back(value);
        hop.sum += value;
        let most = hop.most.front().map_or(0.0, |(_, most)| *most);
        self.matched += u64::from(hop.sum / hop.past.len() as f64 > limit && most > limit);
    }
}

#[derive(Clone, Copy, Debug)]
struct Partial {
    sum: f64,
    count: u64,
    least: f64,
    most: f64,
}

const EMPTY: Partial = Partial { sum: 0.0, count: 0, least: f64::MAX, most: f64::MIN };

/// The windows of all rules.
pub(crate) struct Windows {
    slice: i64,
    current: i64,
    open: Vec<Partial>,
    /// What the slices before gave, for each key, the newest last.
    past: Vec<VecDeque<Partial>>,
    /// The thresholds of the rules of each span, sorted.
    limits: [Vec<f64>; 3],
    /// Rules that a window's end made true.
    pub(crate) matched: u64,
}

impl Windows {
    /// Windows over slices of `slice` microseconds, rule by rule tumbling, hopping by five, by ten.
    pub(crate) fn new(keys: usize, slice: i64, limits: impl Iterator<Item = f64>) -> Self {
        let mut own = [const { Vec::new() }; 3];
        for (i, limit) in limits.enumerate() {
            own[i % 3].push(limit);
        }
        own.iter_mut().for_each(|limits| limits.sort_by(f64::total_cmp));
        Self {
            slice,
            current: i64::MIN,
            open: vec![EMPTY; keys],
            past: vec![VecDeque::with_capacity(SPANS[2] + 1); keys],
            limits: own,
            matched: 0,
        }
    }

    /// Takes one value of a key.
    pub(crate) fn push(&mut self, key: usize, value: f64, time: i64) {
        let slice = time / self.slice;
        if slice != self.current {
            self.close();
            self.current = slice;
        }
        let partial = &mut self.open[key];
        partial.sum += value;
        partial.count += 1;
        partial.least = partial.least.min(value);
        partial.most = partial.most.max(value);
    }

    fn close(&mut self) {
        for (open, past) in self.open.iter_mut().zip(&mut self.past) {
            if past.len() == SPANS[2] {
                past.pop_front();
            }
            past.push_back(std::mem::replace(open, EMPTY));
            for (span, limits) in SPANS.iter().zip(&self.limits) {
                let add = |sum: (f64, u64), partial: &Partial| (sum.0 + partial.sum, sum.1 + partial.count);
                let (sum, count) = past.iter().rev().take(*span).fold((0.0, 0), add);
                let mean = sum / count as f64;
                self.matched += limits.iter().take_while(|limit| **limit < mean).count() as u64;
            }
        }
    }
}
