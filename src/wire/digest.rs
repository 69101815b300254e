//! What is announced and up, as one number: both ends add up the same hash of each alert, in any order, and
//! ask for the alerts themselves only where the sums differ.

use sha2::{Digest as _, Sha256};

use crate::model::label::Fingerprint;
use crate::model::time::Timestamp;

/// How many alerts are up, and the sum of their hashes modulo 2^64.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Digest {
    /// How many.
    pub count: u64,
    /// The sum of [`item`] over them.
    pub sum: u64,
}

impl Digest {
    /// Adds an alert.
    pub fn add(&mut self, item: u64) {
        self.count = self.count.wrapping_add(1);
        self.sum = self.sum.wrapping_add(item);
    }

    /// Takes one out that was added.
    pub fn remove(&mut self, item: u64) {
        self.count = self.count.wrapping_sub(1);
        self.sum = self.sum.wrapping_sub(item);
    }
}

impl FromIterator<u64> for Digest {
    fn from_iter<I: IntoIterator<Item = u64>>(items: I) -> Self {
        let mut all = Self::default();
        items.into_iter().for_each(|item| all.add(item));
        all
    }
}

/// The hash of one alert that is up: which it is, since when, and how severe.
pub fn item(fingerprint: Fingerprint, starts_at: Timestamp, severity: &str) -> u64 {
    let mut hash = Sha256::new();
    hash.update(fingerprint.0.to_le_bytes());
    hash.update(starts_at.micros().to_le_bytes());
    hash.update(severity);
    let bytes: [u8; 32] = hash.finalize().into();
    let (first, _) = bytes.split_at(8);
    first.iter().rev().fold(0, |number, byte| (number << 8) | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hot(fingerprint: u64, starts_at: i64, severity: &str) -> u64 {
        item(Fingerprint(fingerprint), Timestamp::from_micros(starts_at), severity)
    }

    /// The protocol's own words, by the bytes: agents and hubs of different versions must agree on it.
    #[test]
    fn an_item_is_what_the_protocol_says() {
        let bytes = [&[1, 0, 0, 0, 0, 0, 0, 0][..], &(-5_i64).to_le_bytes(), b"critical"].concat();
        let hash: [u8; 32] = Sha256::digest(bytes).into();
        assert_eq!(hot(1, -5, "critical"), u64::from_le_bytes(hash[..8].try_into().unwrap()));
    }

    #[test]
    fn order_does_not_matter_and_every_part_does() {
        let items =
            [hot(1, 2, "critical"), hot(2, 2, "critical"), hot(1, 3, "critical"), hot(1, 2, "warning")];
        let all: Digest = items.into_iter().collect();
        assert_eq!(all, items.into_iter().rev().collect());
        assert_eq!(items.iter().collect::<std::collections::BTreeSet<_>>().len(), 4);
        let mut fewer = all;
        fewer.remove(items[2]);
        assert_eq!(fewer, [items[3], items[0], items[1]].into_iter().collect());
    }
}
