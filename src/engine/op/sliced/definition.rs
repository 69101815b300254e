//! One length and hop of window over shared slices: where its windows lie, and which rules hear of them.

use std::time::Duration;

use super::aggregates::Aggregates;
use super::heard::Heard;
use crate::model::time::Timestamp;

/// One length and hop, in microseconds.
#[derive(Debug)]
pub(super) struct Definition {
    pub(super) length: i64,
    pub(super) hop: i64,
    /// The silence after which its windows close.
    pub(super) idle: Duration,
    pub(super) heard: Heard,
    /// Rows not used because all of its windows that hold them were closed.
    pub(super) late: u64,
    /// The aggregates that its rules ask for.
    pub(super) uses: Vec<usize>,
    /// How often each aggregate of its windows had no value that it could give.
    pub(super) undefined: Vec<u64>,
    /// Groups that have an open window.
    pub(super) groups: usize,
}

/// The length and the hop as they are used: neither zero nor a hop beyond its length.
pub(super) fn measures(length: Duration, hop: Duration) -> (i64, i64) {
    let micros = |span: Duration| i64::try_from(span.as_micros()).unwrap_or(i64::MAX);
    let length = micros(length).max(1);
    (length, micros(hop).clamp(1, length))
}

impl Definition {
    /// One that nobody hears of yet.
    pub(super) fn new(length: i64, hop: i64, idle: Duration) -> Self {
        let (uses, undefined) = (Vec::new(), Vec::new());
        Self { length, hop, idle, heard: Heard::default(), late: 0, uses, undefined, groups: 0 }
    }

    /// Its rules have these views of the aggregates; goes on with what was counted for the `old` ones.
    pub(super) fn use_views(
        &mut self,
        views: impl Iterator<Item = usize>,
        aggregates: &Aggregates,
        old: &Aggregates,
    ) {
        let mut used = vec![false; aggregates.views.len()];
        views.for_each(|view| used[view] = true);
        let used = aggregates.views.iter().zip(used).filter(|(_, used)| *used);
        self.uses = used.flat_map(|(view, _)| view.iter().copied()).collect();
        self.uses.sort_unstable();
        self.uses.dedup();
        let counted = |name| old.place(name).and_then(|place| self.undefined.get(place)).copied();
        let undefined = aggregates.list.iter().map(|one| counted(one.name).unwrap_or_default());
        self.undefined = undefined.collect();
    }

    /// The end of the window behind the one with this end; beyond all where there is none.
    pub(super) fn next(&self, end: Timestamp) -> Timestamp {
        at(end.micros().saturating_add(self.hop))
    }

    /// The end of the last window that holds a time.
    pub(super) fn last_end(&self, time: Timestamp) -> Timestamp {
        at(floor(time.micros(), self.hop).saturating_add(self.length))
    }

    /// The first time that a window holds that ends behind another.
    pub(super) fn first_held_behind(&self, closed: Timestamp) -> Timestamp {
        self.start(self.end_behind(closed))
    }

    /// The end of the first window that ends behind a time, which is the first one that holds it.
    pub(super) fn end_behind(&self, time: Timestamp) -> Timestamp {
        let before = floor(time.micros().saturating_sub(self.length), self.hop);
        at(before.saturating_add(self.hop).saturating_add(self.length))
    }

    /// The start of the window with this end.
    pub(super) fn start(&self, end: Timestamp) -> Timestamp {
        at(end.micros().saturating_sub(self.length))
    }

    /// How many windows that end behind `closed` hold the slice that starts at `start` and is so wide, but
    /// neither the slice `before` it nor the one `behind` it that hold rows already.
    pub(super) fn opened_by(
        &self,
        start: Timestamp,
        width: i64,
        closed: Timestamp,
        before: Option<Timestamp>,
        behind: Option<Timestamp>,
    ) -> usize {
        let start = start.micros();
        let mut above = start.saturating_add(width - 1).saturating_sub(self.length);
        above = above.max(closed.micros().saturating_sub(self.length));
        above = before.map_or(above, |before| above.max(before.micros()));
        let upto = behind.map_or(start, |behind| start.min(behind.micros().saturating_sub(self.length)));
        let windows = upto.div_euclid(self.hop).saturating_sub(above.div_euclid(self.hop));
        usize::try_from(windows).unwrap_or(0)
    }
}

fn at(micros: i64) -> Timestamp {
    Timestamp::from_micros(micros)
}

/// The last multiple of `step` up to a time.
pub(super) fn floor(micros: i64, step: i64) -> i64 {
    micros.saturating_sub(micros.rem_euclid(step))
}

/// The widest slice out of which windows of all these lengths and hops can be made.
pub(in crate::engine) fn slice(measures: impl IntoIterator<Item = (i64, i64)>) -> i64 {
    let divisor = |mut a: i64, mut b: i64| {
        while b != 0 {
            (a, b) = (b, a % b);
        }
        a
    };
    measures.into_iter().fold(0, |slice, (length, hop)| divisor(divisor(length, hop), slice)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(length: i64, hop: i64) -> Definition {
        Definition::new(length, hop, Duration::ZERO)
    }

    #[test]
    fn windows_lie_where_their_hop_says() {
        let hopping = of(10, 4);
        assert_eq!([12, 15, 16].map(|t| hopping.last_end(at(t)).micros()), [22, 22, 26]);
        assert_eq!([12, 13, 14, 15, 18].map(|t| hopping.end_behind(at(t)).micros()), [14, 14, 18, 18, 22]);
        assert_eq!(of(10, 10).end_behind(at(-1)).micros(), 0);
        assert_eq!(slice([(10, 4), (60, 60)]), 2);
        assert_eq!(slice([(60, 60), (90, 30)]), 30);
    }

    #[test]
    fn a_slice_opens_the_windows_that_no_other_holds() {
        let hopping = of(10, 4);
        let none = Timestamp::MIN;
        // Slices of 2: [12, 14) lies in the windows that start at 4, 8 and 12.
        assert_eq!(hopping.opened_by(at(12), 2, none, None, None), 3);
        assert_eq!(hopping.opened_by(at(12), 2, at(14), None, None), 2);
        assert_eq!(hopping.opened_by(at(12), 2, none, Some(at(8)), None), 1);
        assert_eq!(hopping.opened_by(at(12), 2, none, None, Some(at(14))), 1);
        assert_eq!(hopping.opened_by(at(12), 2, none, Some(at(10)), Some(at(14))), 0);
    }
}
