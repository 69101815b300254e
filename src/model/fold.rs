//! A hash of a few nanoseconds, for tables on the way of every message.
//!
//! Keys that are chosen to collide make it slow, never wrong. So it is for tables whose keys come from
//! rules, and for those that are bounded and whose entries may be replaced; nowhere else.

use std::hash::{BuildHasherDefault, Hasher};

const SEED: u64 = 0x9e37_79b9_7f4a_7c15;
const FIRST: u64 = 0xa076_1d64_78bd_642f;
const SECOND: u64 = 0xe703_7ed1_a0b4_28db;

/// Both halves of the product: every bit of either factor reaches every bit of it.
/// (Wang Yi, wyhash; the same step is in foldhash and aHash.)
#[inline]
pub const fn mix(a: u64, b: u64) -> u64 {
    let product = a as u128 * b as u128;
    #[expect(clippy::cast_possible_truncation, reason = "both halves are used")]
    let (low, high) = (product as u64, (product >> 64) as u64);
    low ^ high
}

/// The hash of some bytes. It is the same in every process and on every machine.
#[inline]
pub fn fold(bytes: &[u8]) -> u64 {
    let mut hash = SEED;
    let (a, b) = if let (Some(first), Some(last)) = (bytes.first_chunk::<8>(), bytes.last_chunk::<8>()) {
        let mut a = *first;
        if bytes.len() > 16 {
            // The last sixteen bytes overlap those before them, which spares a loop over a rest.
            for [low, high] in bytes.as_chunks::<8>().0.as_chunks::<2>().0 {
                hash = mix(u64::from_le_bytes(*low) ^ hash, u64::from_le_bytes(*high) ^ FIRST);
            }
            a = bytes.get(bytes.len() - 16..).and_then(<[u8]>::first_chunk).copied().unwrap_or(a);
        }
        (u64::from_le_bytes(a), u64::from_le_bytes(*last))
    } else if let (Some(first), Some(last)) = (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
        (u64::from(u32::from_le_bytes(*first)), u64::from(u32::from_le_bytes(*last)))
    } else {
        (bytes.iter().fold(0, |word, byte| word << 8 | u64::from(*byte)), 0)
    };
    mix(mix(a ^ hash, b ^ FIRST) ^ bytes.len() as u64, SECOND)
}

/// What tells texts of one length apart: the whole of a short one, else its hash.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Brief(u64, u64);

impl Brief {
    /// The longest text that it tells whole, in bytes.
    pub const SHORT: usize = 16;

    /// That of a text.
    #[inline]
    pub fn of(text: &[u8]) -> Self {
        match text.len() {
            0..4 => Self(text.iter().fold(0, |word, byte| word << 8 | u64::from(*byte)), 0),
            4..9 => {
                let (first, last) = ends(text);
                Self(u32::from_le_bytes(first).into(), u32::from_le_bytes(last).into())
            }
            9..=Self::SHORT => {
                let (first, last) = ends(text);
                Self(u64::from_le_bytes(first), u64::from_le_bytes(last))
            }
            _ => Self(fold(text), 0),
        }
    }

    /// That of a word, which is told whole.
    #[inline]
    pub const fn word(word: u64) -> Self {
        Self(word, 0)
    }

    /// The hash of a text of this length.
    #[inline]
    pub const fn hash(self, len: usize) -> u64 {
        mix(self.0 ^ (len as u64).wrapping_mul(SEED), self.1 ^ FIRST)
    }
}

/// How a text begins and ends.
#[inline]
fn ends<const N: usize>(text: &[u8]) -> ([u8; N], [u8; N]) {
    let end = |chunk: Option<&[u8; N]>| chunk.copied().unwrap_or([0; N]);
    (end(text.first_chunk()), end(text.last_chunk()))
}

/// The same as a [`Hasher`], for what is made of several parts.
#[derive(Clone, Copy, Debug, Default)]
pub struct Fold(u64);

/// What a `HashMap` needs to use it.
pub type BuildFold = BuildHasherDefault<Fold>;

impl Hasher for Fold {
    fn write(&mut self, bytes: &[u8]) {
        self.write_u64(fold(bytes));
    }

    fn write_u8(&mut self, value: u8) {
        self.write_u64(value.into());
    }

    fn write_u16(&mut self, value: u16) {
        self.write_u64(value.into());
    }

    fn write_u32(&mut self, value: u32) {
        self.write_u64(value.into());
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = mix(self.0 ^ value ^ SEED, FIRST);
    }

    fn write_usize(&mut self, value: usize) {
        self.write_u64(value as u64);
    }

    #[expect(clippy::cast_sign_loss, reason = "only the bits count")]
    fn write_i64(&mut self, value: i64) {
        self.write_u64(value as u64);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_every_length_differ_in_their_hash() {
        let text: String = (0_u8..100).map(|n| char::from(b'a' + n % 26)).collect();
        let mut seen = std::collections::HashSet::new();
        for end in 0..text.len() {
            assert!(seen.insert(fold(&text.as_bytes()[..end])), "{end}");
            for place in 0..end {
                let mut other = text.as_bytes()[..end].to_vec();
                other[place] ^= 0x80;
                assert!(seen.insert(fold(&other)), "{end} {place}");
            }
        }
    }

    #[test]
    fn names_with_numbers_spread_over_a_small_table() {
        let mut buckets = [0_u32; 256];
        for n in 0..25_600 {
            buckets[(fold(format!("plant/7/line-{n}").as_bytes()) & 255) as usize] += 1;
        }
        assert!(buckets.iter().all(|n| (50..160).contains(n)), "{buckets:?}");
    }
}
