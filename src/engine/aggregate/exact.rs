//! An exact sum of floats: a fixed-point number wide enough that nothing is ever rounded off. So neither
//! the order of the values shows in it, nor in how many parts they were summed up.
//!
//! Kulisch's long accumulator (Kulisch and Miranker, 1981) holds any sum of doubles. As long as the values
//! are of about one size, which readings of one sensor are, 127 bits hold it as well, at a scale of their
//! own; only where they do not is the long one taken.

use super::wide::Wide;
use crate::engine::snapshot::{Reader, SnapshotError, Writer};

/// The exact sum of floats and integers.
#[derive(Clone, Debug, Default)]
pub(super) struct Exact {
    /// The sum is `digits * 2^exponent`, while there is no long one.
    digits: i128,
    exponent: i16,
    long: Option<Box<Long>>,
}

/// Bits of the long accumulator, in words: from 2^-1074, the least of all doubles, up to where 2^64 of the
/// greatest do not reach, and a sign.
const WORDS: usize = 35;

/// Two's complement, the lowest word first, in units of 2^-1074.
type Long = [u64; WORDS];

/// The exponent of the least double.
const LEAST: i16 = -1074;

/// More bits than these are not used of `digits`, so that a sum of two still fits.
const BITS: u32 = 125;

impl Exact {
    /// Adds a finite number.
    #[inline]
    pub(super) fn add(&mut self, x: f64) {
        let bits = x.to_bits();
        let raised = i16::try_from((bits >> 52) & 0x7ff).unwrap_or_default();
        let fraction = i128::from(bits & ((1 << 52) - 1));
        let (digits, exponent) = match raised {
            0 => (fraction, LEAST),
            _ => (fraction | (1 << 52), LEAST + raised - 1),
        };
        let digits = if x.is_sign_negative() { -digits } else { digits };
        // Mostly the sum has a scale by now that is fine enough, and room.
        let by = exponent.wrapping_sub(self.exponent);
        if (0..64).contains(&by) && self.digits != 0 && self.long.is_none() && self.has_room() {
            self.digits += digits << by;
        } else {
            self.plus(digits, exponent);
        }
    }

    /// Whether what is not longer than [`BITS`] can be added to the digits.
    #[inline]
    fn has_room(&self) -> bool {
        matches!(self.digits >> (BITS - 1), 0 | -1)
    }

    /// Adds an integer.
    pub(super) fn add_integer(&mut self, i: i128) {
        self.plus(i, 0);
    }

    /// Adds the sum of others.
    #[inline]
    pub(super) fn merge(&mut self, other: &Self) {
        match &other.long {
            None if other.exponent == self.exponent
                && self.long.is_none()
                && self.has_room()
                && other.has_room() =>
            {
                self.digits += other.digits;
            }
            None => self.plus(other.digits, other.exponent),
            Some(long) => {
                let mut carry = false;
                for (word, other) in self.long().iter_mut().zip(long.iter()) {
                    let (sum, first) = word.overflowing_add(*other);
                    let (sum, second) = sum.overflowing_add(u64::from(carry));
                    (*word, carry) = (sum, first | second);
                }
            }
        }
    }

    /// Takes the sum of others away again.
    pub(super) fn subtract(&mut self, other: &Self) {
        match &other.long {
            None if other.exponent == self.exponent
                && self.long.is_none()
                && self.has_room()
                && other.has_room() =>
            {
                self.digits -= other.digits;
            }
            None => self.plus(-other.digits, other.exponent),
            Some(long) => {
                let mut borrow = false;
                for (word, other) in self.long().iter_mut().zip(long.iter()) {
                    let (rest, first) = word.overflowing_sub(*other);
                    let (rest, second) = rest.overflowing_sub(u64::from(borrow));
                    (*word, borrow) = (rest, first | second);
                }
            }
        }
    }

    /// Whether it has become long, and takes so many bytes more than its place.
    pub(super) fn bytes(&self) -> usize {
        self.long.as_ref().map_or(0, |long| size_of_val(&**long))
    }

    fn plus(&mut self, digits: i128, exponent: i16) {
        if digits == 0 {
            return;
        }
        if let Some(long) = &mut self.long {
            add_at(long, digits, exponent);
            return;
        }
        if self.digits == 0 {
            // Nothing so far has every scale.
            self.exponent = exponent;
        }
        let low = exponent.min(self.exponent);
        let shifted = |digits: i128, from: i16| {
            let by = u32::from((from - low).unsigned_abs());
            let fits = by + (128 - digits.unsigned_abs().leading_zeros()) <= BITS;
            fits.then(|| digits << by)
        };
        match (shifted(digits, exponent), shifted(self.digits, self.exponent)) {
            (Some(a), Some(b)) => (self.digits, self.exponent) = (a + b, low),
            _ => add_at(self.long(), digits, exponent),
        }
    }

    fn long(&mut self) -> &mut Long {
        let (digits, exponent) = (self.digits, self.exponent);
        (self.digits, self.exponent) = (0, 0);
        self.long.get_or_insert_with(|| {
            let mut long = Box::new([0; WORDS]);
            add_at(&mut long, digits, exponent);
            long
        })
    }

    /// The nearest float, and what that leaves over; not finite where it is beyond them all.
    pub(super) fn wide(&self) -> Wide {
        let (digits, exponent) =
            self.long.as_ref().map_or((self.digits, self.exponent), |long| leading(long));
        #[expect(clippy::cast_precision_loss, reason = "rounding to the nearest is what is wanted")]
        let high = digits as f64;
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            reason = "below 2^126; the rest is small"
        )]
        let low = (digits - high as i128) as f64;
        Wide::of_parts(scaled(high, exponent), scaled(low, exponent))
    }

    pub(super) fn write(&self, out: &mut Writer) {
        out.i128(self.digits);
        out.i64(self.exponent.into());
        out.bool(self.long.is_some());
        self.long.iter().flat_map(|long| long.iter()).for_each(|word| out.u64(*word));
    }

    pub(super) fn read(from: &mut Reader<'_>) -> Result<Self, SnapshotError> {
        let digits = from.i128()?;
        let exponent = i16::try_from(from.i64()?).map_err(|_| from.damaged())?;
        let fits = 128 - digits.unsigned_abs().leading_zeros() <= BITS + 1;
        if !fits || !(LEAST..=1_100).contains(&exponent) {
            return Err(from.damaged());
        }
        let mut new = Self { digits, exponent, long: None };
        if from.bool()? {
            let mut long = Box::new([0; WORDS]);
            for word in long.iter_mut() {
                *word = from.u64()?;
            }
            new.long = Some(long);
        }
        Ok(new)
    }
}

/// Adds `digits * 2^exponent`.
fn add_at(long: &mut Long, digits: i128, exponent: i16) {
    let place = u32::from((exponent - LEAST).unsigned_abs());
    let (word, by) = (usize::try_from(place / 64).unwrap_or(WORDS), place % 64);
    let size = digits.unsigned_abs();
    #[expect(clippy::cast_possible_truncation, reason = "cut into words")]
    let words = [
        (size << by) as u64,
        ((size << by) >> 64) as u64,
        if by == 0 { 0 } else { (size >> (128 - by)) as u64 },
    ];
    let mut carry = false;
    for (at, word) in long.iter_mut().skip(word).enumerate() {
        let part = words.get(at).copied().unwrap_or(0);
        if at >= words.len() && !carry {
            break;
        }
        let (first, second);
        if digits < 0 {
            (*word, first) = word.overflowing_sub(part);
            (*word, second) = word.overflowing_sub(u64::from(carry));
        } else {
            (*word, first) = word.overflowing_add(part);
            (*word, second) = word.overflowing_add(u64::from(carry));
        }
        carry = first | second;
    }
}

/// The leading digits, the last of which tells whether any follow: rounded, they give what all would.
fn leading(long: &Long) -> (i128, i16) {
    let negative = long[WORDS - 1] >> 63 == 1;
    let mut size = *long;
    if negative {
        let mut carry = true;
        for word in &mut size {
            (*word, carry) = (!*word).overflowing_add(u64::from(carry));
        }
    }
    let Some(top) = size.iter().rposition(|word| *word != 0) else { return (0, 0) };
    // The 124 bits from the highest on.
    let high = top * 64 + 63 - size[top].leading_zeros() as usize;
    let from = high.saturating_sub(123);
    let (word, by) = (from / 64, from % 64);
    let at = |n: usize| u128::from(size.get(n).copied().unwrap_or(0));
    let mut digits = (at(word) | at(word + 1) << 64) >> by;
    if by > 0 {
        digits |= at(word + 2) << (128 - by);
    }
    digits &= (1 << 124) - 1;
    let below = size[..word].iter().any(|word| *word != 0) || at(word) & ((1 << by) - 1) != 0;
    let digits = i128::try_from(digits | u128::from(below)).unwrap_or_default();
    let exponent = i16::try_from(from).unwrap_or(i16::MAX).saturating_add(LEAST);
    (if negative { -digits } else { digits }, exponent)
}

/// `x * 2^exponent`. The digits of `x` are such that the result is exact, or beyond all floats.
fn scaled(x: f64, exponent: i16) -> f64 {
    let power = |exponent: i16| match u64::try_from(exponent + 1_023) {
        Ok(raised @ 1..) => f64::from_bits(raised << 52),
        _ => f64::from_bits(1 << u64::try_from(exponent - LEAST).unwrap_or(0)),
    };
    match exponent {
        ..=1_023 => x * power(exponent),
        _ => x * power(1_023) * power((exponent - 1_023).min(1_023)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sum(values: &[f64]) -> Exact {
        let mut sum = Exact::default();
        values.iter().for_each(|x| sum.add(*x));
        sum
    }

    #[track_caller]
    fn check(values: &[f64], expected: f64) {
        assert_eq!(sum(values).wide().high().to_bits(), expected.to_bits(), "{values:?}");
    }

    #[test]
    fn nothing_is_rounded_off() {
        check(&[], 0.0);
        check(&[0.1; 10], 1.0);
        check(&[1e100, 1.0, -1e100], 1.0);
        check(&[1e300, 1e-300, 1.0, -1e300, -1.0], 1e-300);
        check(&[f64::MAX, f64::MAX, -f64::MAX], f64::MAX);
        check(&[f64::MAX, f64::MAX], f64::INFINITY);
        check(&[-f64::MAX, -f64::MAX, 1.0], f64::NEG_INFINITY);
        check(&[f64::from_bits(1), f64::from_bits(1)], f64::from_bits(2));
        check(&[1.0, 2f64.powi(-53)], 1.0);
        check(&[1.0, 2f64.powi(-53), f64::from_bits(1)], 1.0 + f64::EPSILON);
        check(&[-1.0, -2f64.powi(-53), -f64::from_bits(1)], -1.0 - f64::EPSILON);
        let mut mixed = sum(&[0.5, -1e200, 1e200]);
        mixed.add_integer(i128::from(i64::MAX) * 3);
        mixed.add_integer(-i128::from(i64::MAX) * 3);
        assert_eq!(mixed.wide().high(), 0.5);
    }

    proptest! {
        #[test]
        fn parts_and_order_do_not_show(
            mut values in prop::collection::vec(prop_oneof![prop::num::f64::NORMAL | prop::num::f64::SUBNORMAL, -100.0..100.0], 0..20),
            cut: prop::sample::Index,
        ) {
            let whole = sum(&values).wide().high();
            let cut = cut.index(values.len() + 1);
            let mut parts = sum(&values[..cut]);
            parts.merge(&sum(&values[cut..]));
            prop_assert_eq!(parts.wide().high().to_bits(), whole.to_bits());
            values.sort_by(f64::total_cmp);
            prop_assert_eq!(sum(&values).wide().high().to_bits(), whole.to_bits());
            let mut out = Writer::default();
            parts.write(&mut out);
            let bytes = out.into_bytes();
            let read = Exact::read(&mut Reader::new(&bytes)).unwrap();
            prop_assert_eq!(read.wide().high().to_bits(), whole.to_bits());
            // What is taken away again leaves nothing.
            let negated: Vec<f64> = values.iter().map(|x| -x).collect();
            parts.merge(&sum(&negated));
            prop_assert_eq!(parts.wide().high(), 0.0);
            let mut rest = sum(&values);
            rest.subtract(&sum(&values[..cut]));
            prop_assert_eq!(rest.wide().high().to_bits(), (sum(&values[cut..]).wide().high() + 0.0).to_bits());
        }
    }
}
