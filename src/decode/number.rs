//! Numbers of JSON, eight digits at a time. What is not certain to become the very number that
//! serde_json makes of it is not read here.

/// A number that was read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Number {
    /// Without a fraction and an exponent.
    Int(i64),
    /// Any other; finite.
    Float(f64),
}

/// Powers of ten up to the greatest that an `f64` holds exactly and that is used.
const POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18,
    1e19, 1e20, 1e21, 1e22,
];

/// The same as integers, as far as eight digits go.
const TENS: [u64; 9] = [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000];

/// The most digits that an integer is read with: 64 bits hold every number of them.
const DIGITS: usize = 18;

/// Eight bytes from a place on, the first one lowest; zeros behind the end.
#[inline]
pub(super) fn load(bytes: &[u8], at: usize) -> u64 {
    match bytes.get(at..).and_then(<[u8]>::first_chunk) {
        Some(chunk) => u64::from_le_bytes(*chunk),
        None => load_end(bytes, at),
    }
}

/// The same where the end is near: the last eight bytes without those before the place.
#[inline]
fn load_end(bytes: &[u8], at: usize) -> u64 {
    let Some(last) = bytes.last_chunk() else { return load_few(bytes, at) };
    let before = at + 8 - bytes.len();
    if before < 8 { u64::from_le_bytes(*last) >> (8 * before) } else { 0 }
}

#[cold]
fn load_few(bytes: &[u8], at: usize) -> u64 {
    let rest = bytes.get(at..).unwrap_or_default();
    rest.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte))
}

/// The highest bits of those of eight bytes that are no digits.
#[inline]
const fn others(word: u64) -> u64 {
    let digits = word ^ 0x3030_3030_3030_3030;
    // Above nine, or with the highest bit. Seven bits and the addend never carry into the next byte.
    (((digits & 0x7f7f_7f7f_7f7f_7f7f) + 0x7676_7676_7676_7676) | digits) & 0x8080_8080_8080_8080
}

/// How many of eight bytes are digits, before the first that is none.
#[inline]
const fn leading_digits(word: u64) -> usize {
    place(others(word))
}

/// Of the bytes whose highest bits these are the place of the first; eight where there is none.
#[inline]
const fn place(bits: u64) -> usize {
    (bits.trailing_zeros() / 8) as usize
}

/// A number without sign and exponent that lies in eight bytes together with the byte behind it.
#[derive(Clone, Copy)]
struct Short {
    /// How many digits it has before its point, at least one.
    whole: usize,
    /// How many it has behind it; none where there is no point.
    fraction: usize,
}

impl Short {
    /// What eight bytes begin with; `None` where it is longer, or no such number.
    #[inline]
    fn of(word: u64) -> Option<Self> {
        let others = others(word);
        let whole = place(others);
        let byte = |place: usize| word.checked_shr(8 * u32::try_from(place).ok()?).map(|word| word & 0xff);
        if whole == 0 || whole > 1 && word & 0xff == u64::from(b'0') {
            return None;
        }
        let (fraction, behind) = match byte(whole)? {
            POINT => {
                let end = place(others & (others - 1));
                (end - whole - 1, byte(end)?)
            }
            behind => return (!is_e(behind)).then_some(Self { whole, fraction: 0 }),
        };
        (fraction > 0 && !is_e(behind)).then_some(Self { whole, fraction })
    }

    /// How many bytes it has.
    #[inline]
    fn len(self) -> usize {
        if self.fraction == 0 { self.whole } else { self.whole + 1 + self.fraction }
    }

    /// The number that its digits make without the point.
    #[inline]
    fn digits(self, word: u64) -> u64 {
        let before = (1 << (8 * self.whole)) - 1;
        value(word & before | (word >> 8) & !before, self.whole + self.fraction)
    }
}

/// A point, as a byte of a word.
const POINT: u64 = b'.' as u64;

/// Whether a byte of a word begins an exponent.
#[inline]
const fn is_e(byte: u64) -> bool {
    byte | 0x20 == b'e' as u64
}

/// The number that the first `count` of eight bytes are the digits of, at least one and at most eight.
#[inline]
const fn value(word: u64, count: usize) -> u64 {
    // The digits to the end, zeros before them; then neighbours are put together three times.
    // (D. Lemire, "Quickly parsing eight digits", 2018.)
    let digits = (word ^ 0x3030_3030_3030_3030) << (64 - 8 * count);
    let pairs = digits.wrapping_mul(10).wrapping_add(digits >> 8);
    let low = (pairs & 0x0000_00ff_0000_00ff).wrapping_mul(0x000f_4240_0000_0064);
    let high = ((pairs >> 16) & 0x0000_00ff_0000_00ff).wrapping_mul(0x0000_2710_0000_0001);
    low.wrapping_add(high) >> 32
}

/// The digits from a place on: the number that they make, behind what `before` makes, and where they
/// end. The number means nothing where there are more than [`DIGITS`] in all.
#[inline]
fn digits(bytes: &[u8], mut at: usize, before: u64) -> (u64, usize) {
    let mut number = before;
    loop {
        let word = load(bytes, at);
        let count = leading_digits(word);
        if count == 0 {
            return (number, at);
        }
        number = number.wrapping_mul(TENS[count]).wrapping_add(value(word, count));
        at += count;
        if count < 8 {
            return (number, at);
        }
    }
}

/// The end of the digits from a place on; `None` where there is none.
#[inline]
fn skip_digits(bytes: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    loop {
        let count = leading_digits(load(bytes, at));
        at += count;
        if count < 8 {
            return (at > from).then_some(at);
        }
    }
}

/// Where the integer at a place begins and ends, without its sign; `None` where there is none, or it
/// begins with a zero that should not be there.
#[inline]
fn sign(bytes: &[u8], at: usize) -> (bool, usize) {
    let negative = bytes.get(at) == Some(&b'-');
    (negative, at + usize::from(negative))
}

/// Whether an integer between these places is written as it must be.
#[inline]
fn is_integer(bytes: &[u8], from: usize, to: usize) -> bool {
    to == from + 1 || to > from && bytes.get(from) != Some(&b'0')
}

/// The end of the exponent at a place, which is the place itself where there is none; `None` where it is
/// broken.
#[inline]
fn skip_exponent(bytes: &[u8], at: usize) -> Option<usize> {
    if !matches!(bytes.get(at), Some(b'e' | b'E')) {
        return Some(at);
    }
    let signed = matches!(bytes.get(at + 1), Some(b'+' | b'-'));
    skip_digits(bytes, at + 1 + usize::from(signed))
}

/// The end of the number at a place; `None` where there is none.
#[inline]
pub(super) fn skip(bytes: &[u8], at: usize) -> Option<usize> {
    let (_, from) = sign(bytes, at);
    match Short::of(load(bytes, from)) {
        Some(short) => Some(from + short.len()),
        None => skip_long(bytes, from),
    }
}

fn skip_long(bytes: &[u8], from: usize) -> Option<usize> {
    let mut end = skip_digits(bytes, from)?;
    if !is_integer(bytes, from, end) {
        return None;
    }
    if bytes.get(end) == Some(&b'.') {
        end = skip_digits(bytes, end + 1)?;
    }
    skip_exponent(bytes, end)
}

/// The number at a place and its end; `None` where there is none, or reading it is not for here.
#[inline]
pub(super) fn read(bytes: &[u8], at: usize) -> Option<(Number, usize)> {
    let (negative, from) = sign(bytes, at);
    let word = load(bytes, from);
    let Some(short) = Short::of(word) else { return read_long(bytes, at) };
    let (digits, end) = (short.digits(word), from + short.len());
    if short.fraction > 0 {
        return Some((Number::Float(quotient(negative, digits, short.fraction)?), end));
    }
    // Minus zero is no integer.
    if negative && digits == 0 {
        return None;
    }
    let whole = digits.cast_signed();
    Some((Number::Int(if negative { -whole } else { whole }), end))
}

/// The same for any number.
fn read_long(bytes: &[u8], at: usize) -> Option<(Number, usize)> {
    let (negative, from) = sign(bytes, at);
    let (whole, end) = digits(bytes, from, 0);
    if !is_integer(bytes, from, end) {
        return None;
    }
    let count = end - from;
    match bytes.get(end) {
        Some(b'.') => {}
        Some(b'e' | b'E') => return exactly(bytes, at, skip_exponent(bytes, end)?),
        // Minus zero is no integer.
        _ if count > DIGITS || negative && whole == 0 => return None,
        _ => {
            let whole = i64::try_from(whole).ok()?;
            return Some((Number::Int(if negative { -whole } else { whole }), end));
        }
    }
    let point = end;
    let (mantissa, end) = digits(bytes, point + 1, whole);
    let fraction = end - point - 1;
    if fraction == 0 {
        return None;
    }
    if count + fraction > DIGITS
        || mantissa > 1 << f64::MANTISSA_DIGITS
        || matches!(bytes.get(end), Some(b'e' | b'E'))
    {
        return exactly(bytes, at, skip_exponent(bytes, end)?);
    }
    Some((Number::Float(quotient(negative, mantissa, fraction)?), end))
}

/// A mantissa of no more bits than an `f64` holds, with this many of its digits behind the point.
#[inline]
fn quotient(negative: bool, mantissa: u64, fraction: usize) -> Option<f64> {
    // Both are exact, so their quotient is rounded once, and that is the nearest number.
    // (W. Clinger, "How to Read Floating Point Numbers Accurately", PLDI 1990.)
    #[expect(clippy::cast_precision_loss, reason = "no more bits than an f64 holds")]
    let number = mantissa as f64 / POWERS.get(fraction)?;
    Some(if negative { -number } else { number })
}

/// A number that takes more than one division.
#[cold]
fn exactly(bytes: &[u8], from: usize, to: usize) -> Option<(Number, usize)> {
    let text = std::str::from_utf8(bytes.get(from..to)?).ok()?;
    let number: f64 = text.parse().ok()?;
    number.is_finite().then_some((Number::Float(number), to))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(text: &str) {
        let expected: Option<serde_json::Number> = serde_json::from_str(text).ok();
        let whole = |(number, end): (Number, usize)| (end == text.len()).then_some(number);
        let skipped = skip(text.as_bytes(), 0) == Some(text.len());
        assert_eq!(skipped, serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok(), "{text}");
        match (read(text.as_bytes(), 0).and_then(whole), expected) {
            (Some(Number::Int(got)), Some(expected)) => assert_eq!(Some(got), expected.as_i64(), "{text}"),
            (Some(Number::Float(got)), Some(expected)) => {
                assert!(!expected.is_i64() && !expected.is_u64(), "{text}");
                assert_eq!(Some(got.to_bits()), expected.as_f64().map(f64::to_bits), "{text}");
            }
            (Some(got), None) => panic!("{text} is no number, but read as {got:?}"),
            (None, _) => {}
        }
    }

    #[test]
    fn numbers_are_what_they_are_for_serde_json() {
        for text in [
            "0",
            "-0",
            "-0.0",
            "0.0",
            "00",
            "01",
            "-01",
            "1.",
            ".1",
            "-",
            "",
            "+1",
            "1e",
            "1e+",
            "1e5",
            "1E-5",
            "1e999",
            "1e-999",
            "0e0",
            "123456789012345678",
            "1234567890123456789",
            "-999999999999999999",
            "9007199254740993",
            "9007199254740992.0",
            "9007199254740993.0",
            "900719925474099.3",
            "0.1",
            "0.30000000000000004",
            "12345678",
            "123456789",
            "1234567.8",
            "12345678.12345678",
            "5e-324",
            "1.7976931348623157e308",
            "1.7976931348623159e308",
            "0.000000000000000000000000000001",
            "123456.7890123456789012",
            "1.5.",
            "1.5e3.2",
            "1-2",
            "0x10",
            "1_000",
        ] {
            check(text);
        }
    }

    proptest! {
        #[test]
        fn any_text_of_digits(text in "-?[0-9]{0,20}(\\.[0-9]{0,20})?([eE][+-]?[0-9]{0,3})?") {
            check(&text);
        }

        #[test]
        fn any_float(bits: u64) {
            let number = f64::from_bits(bits);
            check(&number.to_string());
            check(&format!("{number:e}"));
        }

        #[test]
        fn any_reading(number in -100_000_000_i64..100_000_000, digits in 0..12_usize) {
            check(&format!("{:.digits$}", number as f64 / 1e4));
            check(&number.to_string());
        }
    }
}
