//! The projection scanner: one pass over the bytes of a JSON message that validates all of it and takes
//! out only what is wanted.
//!
//! It decides nothing alone. At anything unusual (an escape in a name or in a wanted text, a wanted
//! object or array, a name that comes twice, a number that takes care, deep nesting, any mistake) it
//! gives up, and serde_json reads the message. So it must only ever accept what serde_json accepts, with
//! the same values.

use super::MAX_DEPTH;
use super::elements::Elements;
use super::number::{self, Number, load};
use super::part::Part;
use super::projection::{Node, Projection};

/// Reads a message into elements that are [reset](Elements::reset); `None` where it gives up, and then
/// they must be reset again.
pub(super) fn scan(
    text: &str,
    projection: &mut Projection,
    max_rows: usize,
    elements: &mut Elements,
) -> Option<()> {
    // Places in the text are kept in 32 bits.
    if projection.root.wanted || u32::try_from(text.len()).is_err() {
        return None;
    }
    let text = Text(text.as_bytes());
    let end = match text.next(0)? {
        (b'{', at) => {
            elements.parts.resize(projection.width, Part::Absent);
            elements.objects.push(true);
            text.object(at, &mut projection.root, 1, &mut elements.parts)?
        }
        (b'[', at) => {
            elements.array = true;
            text.elements(at + 1, projection, max_rows, elements)?
        }
        _ => return None,
    };
    elements.scanned = true;
    text.0.get(end..)?.iter().all(|byte| matches!(byte, b' ' | b'\n' | b'\r' | b'\t')).then_some(())
}

/// A message's bytes. What reads a part of them is given the place where it begins and gives the place
/// behind it, or `None` to give up.
#[derive(Clone, Copy)]
struct Text<'t>(&'t [u8]);

impl Text<'_> {
    #[inline]
    fn byte(self, at: usize) -> Option<u8> {
        self.0.get(at).copied()
    }

    /// The next byte that is no blank, with its place.
    #[inline]
    fn next(self, at: usize) -> Option<(u8, usize)> {
        let byte = self.byte(at)?;
        if byte > b' ' {
            return Some((byte, at));
        }
        // Many programs write one blank behind each colon and comma.
        match self.byte(at + 1)? {
            second if byte == b' ' && second > b' ' => Some((second, at + 1)),
            _ => self.next_of_many(at),
        }
    }

    #[cold]
    fn next_of_many(self, mut at: usize) -> Option<(u8, usize)> {
        loop {
            match self.byte(at)? {
                b' ' | b'\n' | b'\r' | b'\t' => at += 1,
                byte => return Some((byte, at)),
            }
        }
    }

    /// The elements of an array of rows, behind its bracket.
    fn elements(
        self,
        at: usize,
        projection: &mut Projection,
        max_rows: usize,
        elements: &mut Elements,
    ) -> Option<usize> {
        let (mut first, mut at) = self.next(at)?;
        if first == b']' {
            return Some(at + 1);
        }
        loop {
            let from = elements.parts.len();
            elements.parts.resize(from + projection.width, Part::Absent);
            elements.objects.push(first == b'{');
            if elements.objects.len() > max_rows {
                return None;
            }
            at = match first {
                b'{' => self.object(at, &mut projection.root, 2, elements.parts.get_mut(from..)?)?,
                b'[' => self.skip_nested(first, at, 1)?,
                _ => self.scalar(first, at, &mut Part::Absent)?,
            };
            match self.next(at)? {
                (b',', comma) => (first, at) = self.next(comma + 1)?,
                (b']', end) => return Some(end + 1),
                _ => return None,
            }
        }
    }

    /// An object in which something is wanted, at its bracket; `depth` counts it.
    fn object(self, mut at: usize, node: &mut Node, depth: usize, parts: &mut [Part]) -> Option<usize> {
        if depth > MAX_DEPTH {
            return None;
        }
        let mut turn = 0;
        loop {
            let word = load(self.0, at);
            let (child, end) = match node.usual(turn, self.0, at, word) {
                Some((child, end, next)) => {
                    turn = next;
                    (child, end)
                }
                None if turn > 0 && word & 0xff == u64::from(b'}') => return Some(at + 1),
                None => match self.name(at, node, turn)? {
                    Name::Member(child, end) => {
                        turn += 1;
                        (child, end)
                    }
                    Name::End(end) => return Some(end),
                },
            };
            let (first, from) = self.next(end)?;
            at = match child {
                None => self.skip(first, from, depth)?,
                Some(child) => self.member(first, from, node.at(child)?, depth, parts)?,
            };
        }
    }

    /// What comes in an object at this place, where it is not what usually does: at the bracket in the
    /// first turn, else behind a value.
    #[cold]
    fn name(self, at: usize, node: &mut Node, turn: usize) -> Option<Name> {
        let (separator, begin) = self.next(at)?;
        match separator {
            b'{' if turn == 0 => {}
            b',' if turn > 0 => {}
            b'}' if turn > 0 => return Some(Name::End(begin + 1)),
            _ => return None,
        }
        let (first, quote) = self.next(begin + 1)?;
        match first {
            b'"' => {}
            b'}' if turn == 0 => return Some(Name::End(quote + 1)),
            _ => return None,
        }
        let from = quote + 1;
        let word = load(self.0, from);
        let (b'"', end) = self.special_from(from, word)? else { return None };
        let child = node.find(word, self.0.get(from..end)?);
        let (b':', colon) = self.next(end + 1)? else { return None };
        node.learn(turn, self.0.get(at..=colon)?, child);
        Some(Name::Member(child, colon + 1))
    }

    /// The value of a member that is wanted, or in which something is.
    #[inline]
    fn member(
        self,
        first: u8,
        at: usize,
        node: &mut Node,
        depth: usize,
        parts: &mut [Part],
    ) -> Option<usize> {
        let part = parts.get_mut(node.places.start)?;
        if !matches!(part, Part::Absent) {
            return None;
        }
        match first {
            b'{' | b'[' if node.wanted => None,
            b'{' => {
                *part = Part::Inside;
                self.object(at, node, depth + 1, parts)
            }
            b'[' => {
                *part = Part::Inside;
                self.skip_nested(first, at, depth)
            }
            _ => self.scalar(first, at, part),
        }
    }

    /// A value that is neither object nor array.
    #[inline]
    fn scalar(self, first: u8, at: usize, part: &mut Part) -> Option<usize> {
        match first {
            b'"' => {
                let (quote, end) = self.special(at + 1)?;
                // All places fit: the message is not longer.
                #[expect(clippy::cast_possible_truncation, reason = "no place is beyond 32 bits")]
                let text = Part::Text((at + 1) as u32, end as u32);
                *part = text;
                (quote == b'"').then_some(end + 1)
            }
            b'-' | b'0'..=b'9' => {
                let (number, end) = number::read(self.0, at)?;
                match number {
                    Number::Int(i) => *part = Part::Int(i),
                    Number::Float(x) => *part = Part::Float(x),
                }
                Some(end)
            }
            b't' => {
                *part = Part::Bool(true);
                self.literal(at, b"true")
            }
            b'f' => {
                *part = Part::Bool(false);
                self.literal(at, b"false")
            }
            b'n' => {
                *part = Part::Null;
                self.literal(at, b"null")
            }
            _ => None,
        }
    }

    /// `true`, `false` or `null`.
    #[inline]
    fn literal(self, at: usize, text: &[u8]) -> Option<usize> {
        let end = at + text.len();
        (self.0.get(at..end)? == text).then_some(end)
    }

    /// The next quote, backslash or control character, with its place.
    #[inline]
    fn special(self, at: usize) -> Option<(u8, usize)> {
        self.special_from(at, load(self.0, at))
    }

    /// The same where the first eight bytes are at hand.
    #[inline]
    fn special_from(self, mut at: usize, mut word: u64) -> Option<(u8, usize)> {
        loop {
            let found = special(word);
            if found != 0 {
                at += (found.trailing_zeros() / 8) as usize;
                return Some((self.byte(at)?, at));
            }
            at += 8;
            word = load(self.0, at);
        }
    }

    /// Passes over a text that nobody wants, behind its quote.
    #[inline]
    fn skip_text(self, mut at: usize) -> Option<usize> {
        loop {
            match self.special(at)? {
                (b'"', end) => return Some(end + 1),
                (b'\\', escape) => at = self.skip_escape(escape + 1)?,
                _ => return None,
            }
        }
    }

    /// Passes over an escape behind its backslash. Half of a pair may stand alone in what nobody wants.
    #[cold]
    fn skip_escape(self, at: usize) -> Option<usize> {
        match self.byte(at)? {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some(at + 1),
            b'u' => {
                let digits = self.0.get(at + 1..at + 5)?;
                digits.iter().all(u8::is_ascii_hexdigit).then_some(at + 5)
            }
            _ => None,
        }
    }

    /// Passes over a value that nobody wants; `depth` counts what is open around it.
    #[inline]
    fn skip(self, first: u8, at: usize, depth: usize) -> Option<usize> {
        match first {
            b'{' | b'[' => self.skip_nested(first, at, depth),
            _ => self.skip_scalar(first, at),
        }
    }

    #[inline]
    fn skip_scalar(self, first: u8, at: usize) -> Option<usize> {
        match first {
            b'"' => self.skip_text(at + 1),
            b'-' | b'0'..=b'9' => number::skip(self.0, at),
            b't' => self.literal(at, b"true"),
            b'f' => self.literal(at, b"false"),
            b'n' => self.literal(at, b"null"),
            _ => None,
        }
    }

    /// Passes over an object or array that nobody wants.
    fn skip_nested(self, mut first: u8, mut at: usize, depth: usize) -> Option<usize> {
        // What is open: how many, and for each, the innermost lowest, whether it is an object.
        let (mut open, mut objects) = (0, 0_u64);
        loop {
            if matches!(first, b'{' | b'[') {
                open += 1;
                if depth + open > MAX_DEPTH {
                    return None;
                }
                objects = objects << 1 | u64::from(first == b'{');
                let (next, inside) = self.next(at + 1)?;
                at = inside;
                // The brackets of a kind lie two apart in ASCII.
                if next != first + 2 {
                    (first, at) = if first == b'{' { self.skip_name(next, at)? } else { (next, at) };
                    continue;
                }
            } else {
                at = self.skip_scalar(first, at)?;
            }
            loop {
                let in_object = objects & 1 == 1;
                (first, at) = self.next(at)?;
                match first {
                    b',' => {
                        (first, at) = self.next(at + 1)?;
                        if in_object {
                            (first, at) = self.skip_name(first, at)?;
                        }
                        break;
                    }
                    b'}' if in_object => {}
                    b']' if !in_object => {}
                    _ => return None,
                }
                at += 1;
                open -= 1;
                objects >>= 1;
                if open == 0 {
                    return Some(at);
                }
            }
        }
    }

    /// Passes over a member's name that begins with this byte; gives the first byte of its value.
    fn skip_name(self, first: u8, at: usize) -> Option<(u8, usize)> {
        if first != b'"' {
            return None;
        }
        match self.next(self.skip_text(at + 1)?)? {
            (b':', colon) => self.next(colon + 1),
            _ => None,
        }
    }
}

/// What comes next in an object.
enum Name {
    /// A member: which child it is, if any, and where its colon ends.
    Member(Option<usize>, usize),
    /// The end of the object.
    End(usize),
}

/// The highest bits of the bytes that are a quote, a backslash or a control character; the lowest of
/// them is right, and may have wrong ones behind it.
#[inline]
const fn special(word: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    // With one bit flipped, a quote comes next to the control characters, and a blank away from them.
    let low = (word ^ (ONES * 0x02)).wrapping_sub(ONES * 0x21);
    let backslash = (word ^ (ONES * b'\\' as u64)).wrapping_sub(ONES);
    // Of what is no ASCII the subtractions may say anything, and of an ASCII byte both exclusive ors
    // leave the highest bit as it is.
    (low | backslash) & !word & HIGH
}
