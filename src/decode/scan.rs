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
use super::projection::{Head, Node, Projection};

/// Reads a message into elements that are [reset](Elements::reset); `None` where it gives up, and then
/// they must be reset again.
pub(super) fn scan(
    text: &str,
    projection: &Projection,
    max_rows: usize,
    elements: &mut Elements,
) -> Option<()> {
    // Places in the text are kept in 32 bits.
    if projection.root.wanted || u32::try_from(text.len()).is_err() {
        return None;
    }
    let width = projection.width;
    let mut scanner = Scanner { bytes: text.as_bytes(), at: 0 };
    match scanner.next()? {
        b'{' => {
            elements.parts.resize(width, Part::Absent);
            scanner.object(&projection.root, 1, &mut elements.parts)?;
            elements.objects.push(true);
        }
        b'[' => {
            elements.array = true;
            scanner.elements(projection, max_rows, elements)?;
        }
        _ => return None,
    }
    elements.scanned = true;
    scanner.is_at_end().then_some(())
}

struct Scanner<'t> {
    bytes: &'t [u8],
    at: usize,
}

impl Scanner<'_> {
    /// The next byte that is no blank, which is not passed over.
    #[inline]
    fn next(&mut self) -> Option<u8> {
        loop {
            let byte = *self.bytes.get(self.at)?;
            if byte > b' ' {
                return Some(byte);
            }
            if !matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
                return None;
            }
            self.at += 1;
        }
    }

    /// Whether only blanks follow.
    fn is_at_end(&mut self) -> bool {
        self.next().is_none() && self.at == self.bytes.len()
    }

    /// The elements of an array of rows.
    fn elements(&mut self, projection: &Projection, max_rows: usize, elements: &mut Elements) -> Option<()> {
        self.at += 1;
        if self.next()? == b']' {
            self.at += 1;
            return Some(());
        }
        loop {
            let from = elements.parts.len();
            elements.parts.resize(from + projection.width, Part::Absent);
            let first = self.next()?;
            match first {
                b'{' => self.object(&projection.root, 2, elements.parts.get_mut(from..)?)?,
                b'[' => self.skip_nested(1)?,
                _ => {
                    self.scalar(first)?;
                }
            }
            elements.objects.push(first == b'{');
            if elements.objects.len() > max_rows {
                return None;
            }
            match self.next()? {
                b',' => self.at += 1,
                b']' => {
                    self.at += 1;
                    return Some(());
                }
                _ => return None,
            }
        }
    }

    /// An object in which something is wanted; `depth` counts it.
    fn object(&mut self, node: &Node, depth: usize, parts: &mut [Part]) -> Option<()> {
        if depth > MAX_DEPTH {
            return None;
        }
        self.at += 1;
        if self.next()? == b'}' {
            self.at += 1;
            return Some(());
        }
        loop {
            if self.next()? != b'"' {
                return None;
            }
            self.at += 1;
            let from = self.at;
            let word = load(self.bytes, from);
            self.plain()?;
            let name = self.bytes.get(from..self.at - 1)?;
            let child = node.find(Head::cut(word, name.len()), name);
            if self.next()? != b':' {
                return None;
            }
            self.at += 1;
            let first = self.next()?;
            match child {
                None => self.skip(first, depth)?,
                Some(child) => self.member(first, child, depth, parts)?,
            }
            match self.next()? {
                b',' => self.at += 1,
                b'}' => {
                    self.at += 1;
                    return Some(());
                }
                _ => return None,
            }
        }
    }

    /// The value of a member that is wanted, or in which something is.
    #[inline]
    fn member(&mut self, first: u8, node: &Node, depth: usize, parts: &mut [Part]) -> Option<()> {
        let place = node.places.start;
        if *parts.get(place)? != Part::Absent {
            return None;
        }
        parts[place] = match first {
            b'{' | b'[' if node.wanted => return None,
            b'{' => {
                parts[place] = Part::Inside;
                return self.object(node, depth + 1, parts);
            }
            b'[' => {
                self.skip_nested(depth)?;
                Part::Inside
            }
            _ => self.scalar(first)?,
        };
        Some(())
    }

    /// A value that is neither object nor array.
    #[inline]
    fn scalar(&mut self, first: u8) -> Option<Part> {
        match first {
            b'"' => {
                self.at += 1;
                let from = u32::try_from(self.at).ok()?;
                self.plain()?;
                Some(Part::Text(from, u32::try_from(self.at - 1).ok()?))
            }
            b'-' | b'0'..=b'9' => {
                let (number, end) = number::read(self.bytes, self.at)?;
                self.at = end;
                Some(match number {
                    Number::Int(i) => Part::Int(i),
                    Number::Float(x) => Part::Float(x),
                })
            }
            _ => self.literal(first),
        }
    }

    /// `true`, `false` or `null`.
    #[inline]
    fn literal(&mut self, first: u8) -> Option<Part> {
        let (text, part): (&[u8], Part) = match first {
            b't' => (b"true", Part::Bool(true)),
            b'f' => (b"false", Part::Bool(false)),
            b'n' => (b"null", Part::Null),
            _ => return None,
        };
        if self.bytes.get(self.at..self.at + text.len())? != text {
            return None;
        }
        self.at += text.len();
        Some(part)
    }

    /// Passes over the rest of a text without escapes, with its closing quote.
    #[inline]
    fn plain(&mut self) -> Option<()> {
        (self.text_until_special()? == b'"').then_some(())
    }

    /// Passes over what is plain in a text, and the quote, backslash or control character behind it.
    #[inline]
    fn text_until_special(&mut self) -> Option<u8> {
        loop {
            let special = special(load(self.bytes, self.at));
            if special == 0 {
                self.at += 8;
                continue;
            }
            self.at += (special.trailing_zeros() / 8) as usize;
            let byte = *self.bytes.get(self.at)?;
            self.at += 1;
            return Some(byte);
        }
    }

    /// Passes over the rest of a text that nobody wants.
    #[inline]
    fn skip_text(&mut self) -> Option<()> {
        loop {
            match self.text_until_special()? {
                b'"' => return Some(()),
                b'\\' => self.skip_escape()?,
                _ => return None,
            }
        }
    }

    /// Passes over an escape behind its backslash. Half of a pair may stand alone in what nobody wants.
    #[cold]
    fn skip_escape(&mut self) -> Option<()> {
        let kind = *self.bytes.get(self.at)?;
        self.at += 1;
        match kind {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some(()),
            b'u' => {
                let digits = self.bytes.get(self.at..self.at + 4)?;
                self.at += 4;
                digits.iter().all(u8::is_ascii_hexdigit).then_some(())
            }
            _ => None,
        }
    }

    /// Passes over a value that nobody wants; `depth` counts what is open around it.
    #[inline]
    fn skip(&mut self, first: u8, depth: usize) -> Option<()> {
        match first {
            b'{' | b'[' => self.skip_nested(depth),
            _ => self.skip_scalar(first),
        }
    }

    #[inline]
    fn skip_scalar(&mut self, first: u8) -> Option<()> {
        match first {
            b'"' => {
                self.at += 1;
                self.skip_text()
            }
            b'-' | b'0'..=b'9' => {
                self.at = number::skip(self.bytes, self.at)?;
                Some(())
            }
            _ => self.literal(first).map(drop),
        }
    }

    /// Passes over an object or array that nobody wants.
    fn skip_nested(&mut self, depth: usize) -> Option<()> {
        // What is open: how many, and for each, the innermost lowest, whether it is an object.
        let (mut open, mut objects) = (0, 0_u64);
        loop {
            let first = self.next()?;
            if matches!(first, b'{' | b'[') {
                self.at += 1;
                open += 1;
                if depth + open > MAX_DEPTH {
                    return None;
                }
                objects = objects << 1 | u64::from(first == b'{');
                let next = self.next()?;
                // The brackets of a kind lie two apart in ASCII.
                if next != first + 2 {
                    if first == b'{' {
                        self.skip_name(next)?;
                    }
                    continue;
                }
            } else {
                self.skip_scalar(first)?;
            }
            loop {
                let in_object = objects & 1 == 1;
                match self.next()? {
                    b',' => {
                        self.at += 1;
                        if in_object {
                            let next = self.next()?;
                            self.skip_name(next)?;
                        }
                        break;
                    }
                    b'}' if in_object => {}
                    b']' if !in_object => {}
                    _ => return None,
                }
                self.at += 1;
                open -= 1;
                objects >>= 1;
                if open == 0 {
                    return Some(());
                }
            }
        }
    }

    /// Passes over a member's name that begins with this byte, and the colon.
    fn skip_name(&mut self, first: u8) -> Option<()> {
        if first != b'"' {
            return None;
        }
        self.at += 1;
        self.skip_text()?;
        if self.next()? != b':' {
            return None;
        }
        self.at += 1;
        Some(())
    }
}

/// The highest bits of the bytes that are a quote, a backslash or a control character; the lowest of
/// them is right, and may have wrong ones behind it.
#[inline]
const fn special(word: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let quote = word ^ (ONES * b'"' as u64);
    let backslash = word ^ (ONES * b'\\' as u64);
    let quotes = quote.wrapping_sub(ONES) & !quote;
    let backslashes = backslash.wrapping_sub(ONES) & !backslash;
    let controls = word.wrapping_sub(ONES * 0x20) & !word;
    (quotes | backslashes | controls) & HIGH
}
