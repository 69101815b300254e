//! Sets of sequence numbers: what is sent, acknowledged, given up. They are nearly whole, so a few ranges say it all.

/// Sequence numbers, both ends included.
pub type Range = (u64, u64);

/// A set of sequence numbers, as ranges that neither meet nor touch, in ascending order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ranges(Vec<Range>);

impl Ranges {
    /// All numbers from 1 up to this one.
    pub fn up_to(floor: u64) -> Self {
        let mut all = Self::default();
        all.insert(1, floor);
        all
    }

    /// Puts a range in. One that ends before it begins is empty.
    pub fn insert(&mut self, first: u64, last: u64) {
        if first > last {
            return;
        }
        let from = self.0.partition_point(|range| range.1.saturating_add(1) < first);
        let upto = from + self.0[from..].partition_point(|range| range.0 <= last.saturating_add(1));
        let first = self.0[from..upto].first().map_or(first, |range| range.0.min(first));
        let last = self.0[from..upto].last().map_or(last, |range| range.1.max(last));
        self.0.splice(from..upto, [(first, last)]);
    }

    /// Takes a range out.
    pub fn remove(&mut self, first: u64, last: u64) {
        if first > last {
            return;
        }
        let from = self.0.partition_point(|range| range.1 < first);
        let upto = from + self.0[from..].partition_point(|range| range.0 <= last);
        let before =
            self.0[from..upto].first().filter(|range| range.0 < first).map(|range| (range.0, first - 1));
        let behind =
            self.0[from..upto].last().filter(|range| range.1 > last).map(|range| (last + 1, range.1));
        self.0.splice(from..upto, before.into_iter().chain(behind));
    }

    /// Whether a number is in it.
    pub fn contains(&self, number: u64) -> bool {
        let place = self.0.partition_point(|range| range.1 < number);
        self.0.get(place).is_some_and(|range| range.0 <= number)
    }

    /// The greatest number up to which all from 1 on are in it; 0 where 1 is not.
    pub fn floor(&self) -> u64 {
        self.0.first().filter(|range| range.0 <= 1).map_or(0, |range| range.1)
    }

    /// The parts of `first..=last` that are not in it, in ascending order.
    pub fn missing(&self, first: u64, last: u64) -> Vec<Range> {
        let mut holes = Self::default();
        holes.insert(first, last);
        let from = self.0.partition_point(|range| range.1 < first);
        for range in self.0[from..].iter().take_while(|range| range.0 <= last) {
            holes.remove(range.0, range.1);
        }
        holes.0
    }

    /// The first run of numbers from `from` on that are not in it; it may reach up to the last number there is. `None`
    /// where all are in it.
    pub fn next_missing(&self, from: u64) -> Option<Range> {
        let place = self.0.partition_point(|range| range.1 < from);
        let rest = &self.0[place..];
        match rest.first().filter(|range| range.0 <= from) {
            None => Some((from, rest.first().map_or(u64::MAX, |next| next.0 - 1))),
            Some(covering) => {
                let first = covering.1.checked_add(1)?;
                Some((first, rest.get(1).map_or(u64::MAX, |next| next.0 - 1)))
            }
        }
    }

    /// How many numbers are in it.
    pub fn count(&self) -> u64 {
        self.0
            .iter()
            .fold(0, |sum, (first, last)| sum.saturating_add(last.saturating_sub(*first)).saturating_add(1))
    }

    /// The ranges, in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = Range> {
        self.0.iter().copied()
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<Range> for Ranges {
    fn from_iter<I: IntoIterator<Item = Range>>(ranges: I) -> Self {
        let mut all = Self::default();
        for (first, last) in ranges {
            all.insert(first, last);
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Against a set that holds each number.
        #[test]
        fn ranges_are_the_set_of_their_numbers(
            steps in prop::collection::vec((any::<bool>(), 1_u64..40, 0_u64..12), 0..40),
        ) {
            let (mut ranges, mut naive) = (Ranges::default(), BTreeSet::new());
            for (puts, first, length) in steps {
                let last = first + length - 1;
                if puts {
                    ranges.insert(first, last);
                    naive.extend(first..=last);
                } else {
                    ranges.remove(first, last);
                    naive.retain(|number| !(first..=last).contains(number));
                }
                let list: Vec<Range> = ranges.iter().collect();
                prop_assert!(list.windows(2).all(|pair| pair[0].1 + 1 < pair[1].0), "{list:?}");
                let numbers: BTreeSet<u64> = list.iter().flat_map(|(first, last)| *first..=*last).collect();
                prop_assert_eq!(&numbers, &naive);
                prop_assert_eq!(ranges.count(), naive.len() as u64);
                prop_assert!((1..60).all(|number| ranges.contains(number) == naive.contains(&number)));
                prop_assert_eq!(ranges.floor(), (1..).take_while(|number| naive.contains(number)).last().unwrap_or(0));
                let mut free = BTreeSet::new();
                let mut from = 5;
                while let Some((first, last)) = ranges.next_missing(from).filter(|run| run.0 <= 30) {
                    free.extend(first..=last.min(30));
                    from = last.min(30) + 1;
                }
                prop_assert_eq!(free, (5..=30).filter(|number| !naive.contains(number)).collect::<BTreeSet<u64>>());
                let holes: BTreeSet<u64> =
                    ranges.missing(5, 30).into_iter().flat_map(|(first, last)| first..=last).collect();
                prop_assert_eq!(holes, (5..=30).filter(|number| !naive.contains(number)).collect::<BTreeSet<u64>>());
            }
        }
    }

    #[test]
    fn the_ends_of_the_numbers_do_no_harm() {
        let mut ranges = Ranges::up_to(0);
        assert!(ranges.is_empty());
        ranges.insert(0, 3);
        ranges.insert(u64::MAX - 1, u64::MAX);
        ranges.insert(4, u64::MAX);
        assert_eq!((ranges.floor(), ranges.count()), (u64::MAX, u64::MAX));
        ranges.remove(0, u64::MAX);
        assert!(ranges.is_empty());
    }
}
