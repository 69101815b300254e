//! The least that reading a payload takes: one pass that checks the whole message, UTF-8 and JSON, and
//! keeps the wanted members of the top level. What is unusual (an escape in a key or in a wanted text, a
//! nested wanted value) it gives up, as there is a slower reader for that.

/// A wanted value.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) enum Read<'a> {
    /// Not there, or null.
    #[default]
    Absent,
    Number(f64),
    Text(&'a str),
    Truth(bool),
}

const MAX_DEPTH: usize = 64;

/// Powers of ten that are exact as floats.
const POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18,
    1e19, 1e20, 1e21, 1e22,
];

/// Reads the wanted members of an object into `out`; `None` where it gives up.
pub(crate) fn scan<'a>(payload: &'a [u8], wanted: &[&str], out: &mut [Read<'a>]) -> Option<()> {
    out.fill(Read::Absent);
    // Outside of texts nothing but ASCII is taken, so it is enough to look into those.
    std::str::from_utf8(payload).ok()?;
    let mut rest = blanks(expect(blanks(payload), b'{')?);
    if let Some(end) = expect(rest, b'}') {
        return blanks(end).is_empty().then_some(());
    }
    loop {
        let (key, after) = plain(expect(rest, b'"')?)?;
        rest = blanks(expect(blanks(after), b':')?);
        rest = match wanted.iter().position(|name| is_same(name.as_bytes(), key)) {
            Some(place) => {
                let (value, after) = value(rest)?;
                out[place] = value;
                after
            }
            None => skip(rest, 0)?,
        };
        rest = blanks(rest);
        match rest.split_first()? {
            (b',', after) => rest = blanks(after),
            (b'}', after) => return blanks(after).is_empty().then_some(()),
            _ => return None,
        }
    }
}

/// Names are short: both ends of them in eight bytes each, or in four.
#[inline]
fn is_same(name: &[u8], key: &[u8]) -> bool {
    fn ends<const N: usize>(text: &[u8]) -> (Option<&[u8; N]>, Option<&[u8; N]>) {
        (text.first_chunk(), text.last_chunk())
    }
    name.len() == key.len()
        && match name.len() {
            4..=8 => ends::<4>(name) == ends::<4>(key),
            9..=16 => ends::<8>(name) == ends::<8>(key),
            _ => name == key,
        }
}

#[inline]
fn expect(rest: &[u8], byte: u8) -> Option<&[u8]> {
    rest.split_first().and_then(|(first, after)| (*first == byte).then_some(after))
}

#[inline]
fn blanks(rest: &[u8]) -> &[u8] {
    match rest.first() {
        Some(..=b' ') => many_blanks(rest),
        _ => rest,
    }
}

fn many_blanks(mut rest: &[u8]) -> &[u8] {
    while let [b' ' | b'\t' | b'\n' | b'\r', after @ ..] = rest {
        rest = after;
    }
    rest
}

/// Eight bytes, the first one lowest; zeros behind the end.
#[inline]
fn word(rest: &[u8]) -> u64 {
    match rest.first_chunk() {
        Some(chunk) => u64::from_le_bytes(*chunk),
        None => rest.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte)),
    }
}

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x8080_8080_8080_8080;

/// The highest bits of the bytes that are a quote, a backslash or a control character; the lowest of
/// them is right.
#[inline]
const fn special(word: u64) -> u64 {
    let low = (word ^ (ONES * 0x02)).wrapping_sub(ONES * 0x21);
    let backslash = (word ^ (ONES * b'\\' as u64)).wrapping_sub(ONES);
    (low | backslash) & !word & HIGH
}

/// The highest bits of the bytes that are no digits.
#[inline]
const fn others(word: u64) -> u64 {
    let digits = word ^ (ONES * b'0' as u64);
    (((digits & !HIGH) + ONES * 0x76) | digits) & HIGH
}

/// How far the next quote, backslash or control character is, and the byte itself.
#[inline]
fn stop(rest: &[u8]) -> Option<(usize, u8)> {
    let mut at = 0;
    loop {
        let found = special(word(rest.get(at..)?));
        if found != 0 {
            at += (found.trailing_zeros() / 8) as usize;
            return Some((at, *rest.get(at)?));
        }
        at += 8;
    }
}

/// A text without escapes, behind its quote, and what is behind it.
#[inline]
fn plain(rest: &[u8]) -> Option<(&[u8], &[u8])> {
    let (at, byte) = stop(rest)?;
    (byte == b'"').then_some((&rest[..at], &rest[at + 1..]))
}

#[inline]
fn value(rest: &[u8]) -> Option<(Read<'_>, &[u8])> {
    match rest.split_first()? {
        (b'"', after) => {
            let (text, after) = plain(after)?;
            Some((Read::Text(std::str::from_utf8(text).ok()?), after))
        }
        (b'-' | b'0'..=b'9', _) => number(rest).map(|(number, after)| (Read::Number(number), after)),
        (b't', after) => after.strip_prefix(b"rue").map(|after| (Read::Truth(true), after)),
        (b'f', after) => after.strip_prefix(b"alse").map(|after| (Read::Truth(false), after)),
        (b'n', after) => after.strip_prefix(b"ull").map(|after| (Read::Absent, after)),
        _ => None,
    }
}

/// How many digits come first; at most eight are counted.
#[inline]
fn count(word: u64) -> usize {
    (others(word).trailing_zeros() / 8) as usize
}

/// The number that the first digits make.
#[inline]
const fn make(word: u64, count: usize) -> u64 {
    // (D. Lemire, "Quickly parsing eight digits", 2018.)
    let digits = (word ^ (ONES * b'0' as u64)) << (64 - 8 * count);
    let pairs = digits.wrapping_mul(10).wrapping_add(digits >> 8);
    let low = (pairs & 0x0000_00ff_0000_00ff).wrapping_mul(0x000f_4240_0000_0064);
    let high = ((pairs >> 16) & 0x0000_00ff_0000_00ff).wrapping_mul(0x0000_2710_0000_0001);
    low.wrapping_add(high) >> 32
}

/// A number; what is longer than seven digits before or behind its point is left to the library.
#[inline]
fn number(from: &[u8]) -> Option<(f64, &[u8])> {
    let negative = from.first() == Some(&b'-');
    let digits = &from[usize::from(negative)..];
    let end = skip_number(digits)?;
    let first = word(digits);
    let whole = count(first);
    let rest = digits.get(whole..)?;
    let simple = |number: f64| Some((if negative { -number } else { number }, end));
    let length = digits.len() - end.len();
    if (1..8).contains(&whole) && length == whole {
        return simple(make(first, whole) as f64);
    }
    let second = word(rest.get(1..)?);
    let fraction = count(second);
    if whole < 8 && (1..8).contains(&fraction) && length == whole + 1 + fraction {
        let mantissa = make(first, whole) * 10_u64.pow(fraction as u32) + make(second, fraction);
        return simple(mantissa as f64 / POWERS[fraction]);
    }
    std::str::from_utf8(&from[..from.len() - end.len()]).ok()?.parse().ok().map(|number| (number, end))
}

/// Checks a number without its sign and gives what is behind it.
#[inline]
fn skip_number(rest: &[u8]) -> Option<&[u8]> {
    let first = word(rest);
    let others = others(first);
    let whole = (others.trailing_zeros() / 8) as usize;
    if whole > 0 && whole < 7 && !(whole > 1 && rest[0] == b'0') {
        // Most lie in eight bytes, with what is behind them.
        let end = match rest.get(whole)? {
            b'.' => ((others & (others - 1)).trailing_zeros() / 8) as usize,
            _ => whole,
        };
        if end != whole + 1 && end < 8 && !matches!(rest.get(end)?, b'e' | b'E') {
            return rest.get(end..);
        }
    }
    skip_long(rest)
}

fn skip_long(rest: &[u8]) -> Option<&[u8]> {
    let whole = skip_digits(rest)?;
    if rest.len() - whole.len() > 1 && rest[0] == b'0' {
        return None;
    }
    let mut end = whole;
    if let Some(fraction) = expect(end, b'.') {
        end = skip_digits(fraction)?;
    }
    if let [b'e' | b'E', after @ ..] = end {
        end = skip_digits(match after {
            [b'+' | b'-', digits @ ..] => digits,
            _ => after,
        })?;
    }
    Some(end)
}

fn skip_digits(mut rest: &[u8]) -> Option<&[u8]> {
    let from = rest.len();
    loop {
        let count = count(word(rest));
        rest = &rest[count..];
        if count < 8 {
            return (rest.len() < from).then_some(rest);
        }
    }
}

/// Checks a value and gives what is behind it.
#[inline]
fn skip(rest: &[u8], depth: usize) -> Option<&[u8]> {
    match rest.split_first()? {
        (b'"', after) => skip_text(after),
        (b'{' | b'[', _) if depth == MAX_DEPTH => None,
        (b'{', after) => skip_list(after, b'}', depth, true),
        (b'[', after) => skip_list(after, b']', depth, false),
        (b'-', after) => skip_number(after),
        (b'0'..=b'9', _) => skip_number(rest),
        _ => value(rest).map(|(_, after)| after),
    }
}

#[inline]
fn skip_text(mut rest: &[u8]) -> Option<&[u8]> {
    loop {
        let (at, byte) = stop(rest)?;
        let after = &rest[at + 1..];
        match byte {
            b'"' => return Some(after),
            b'\\' => match after.split_first()? {
                (b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't', after) => rest = after,
                // Whether it is half of a pair is for the slower reader.
                _ => return None,
            },
            _ => return None,
        }
    }
}

fn skip_list(rest: &[u8], close: u8, depth: usize, keys: bool) -> Option<&[u8]> {
    let mut rest = blanks(rest);
    if let Some(after) = expect(rest, close) {
        return Some(after);
    }
    loop {
        if keys {
            let after = skip_text(expect(rest, b'"')?)?;
            rest = blanks(expect(blanks(after), b':')?);
        }
        rest = blanks(skip(rest, depth + 1)?);
        match rest.split_first()? {
            (b',', after) => rest = blanks(after),
            (byte, after) if *byte == close => return Some(after),
            _ => return None,
        }
    }
}
