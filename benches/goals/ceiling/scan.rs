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
    let text = std::str::from_utf8(payload).ok()?;
    let mut scan = Scan { text, bytes: payload, at: 0 };
    scan.blanks();
    scan.expect(b'{')?;
    scan.blanks();
    if scan.peek()? == b'}' {
        scan.at += 1;
    } else {
        loop {
            scan.blanks();
            let key = scan.plain()?;
            scan.blanks();
            scan.expect(b':')?;
            scan.blanks();
            match wanted.iter().position(|name| *name == key) {
                Some(place) => out[place] = scan.value()?,
                None => scan.skip(0)?,
            }
            scan.blanks();
            match scan.next()? {
                b',' => {}
                b'}' => break,
                _ => return None,
            }
        }
    }
    scan.blanks();
    (scan.at == payload.len()).then_some(())
}

struct Scan<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Scan<'a> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        (self.next()? == byte).then_some(())
    }

    fn blanks(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    /// A text without escapes.
    fn plain(&mut self) -> Option<&'a str> {
        self.expect(b'"')?;
        let from = self.at;
        loop {
            match self.next()? {
                b'"' => return self.text.get(from..self.at - 1),
                b'\\' | ..0x20 => return None,
                _ => {}
            }
        }
    }

    fn value(&mut self) -> Option<Read<'a>> {
        match self.peek()? {
            b'"' => self.plain().map(Read::Text),
            b'-' | b'0'..=b'9' => self.number().map(Read::Number),
            b't' => self.word(b"true").map(|()| Read::Truth(true)),
            b'f' => self.word(b"false").map(|()| Read::Truth(false)),
            b'n' => self.word(b"null").map(|()| Read::Absent),
            _ => None,
        }
    }

    fn word(&mut self, word: &[u8]) -> Option<()> {
        let end = self.at + word.len();
        (self.bytes.get(self.at..end)? == word).then(|| self.at = end)
    }

    fn number(&mut self) -> Option<f64> {
        let from = self.at;
        let negative = self.peek() == Some(b'-');
        self.at += usize::from(negative);
        let mut mantissa = 0_u64;
        let whole = self.digits(&mut mantissa)?;
        if whole > 1 && self.bytes[self.at - whole] == b'0' {
            return None;
        }
        let mut fraction = 0;
        if self.peek() == Some(b'.') {
            self.at += 1;
            fraction = self.digits(&mut mantissa)?;
        }
        let exponent = matches!(self.peek(), Some(b'e' | b'E'));
        if exponent {
            self.at += 1;
            self.at += usize::from(matches!(self.peek(), Some(b'+' | b'-')));
            self.digits(&mut 0)?;
        }
        if exponent || whole + fraction > 15 {
            return self.text.get(from..self.at)?.parse().ok();
        }
        let value = mantissa as f64 / POWERS[fraction];
        Some(if negative { -value } else { value })
    }

    /// How many digits there are; at least one.
    fn digits(&mut self, mantissa: &mut u64) -> Option<usize> {
        let from = self.at;
        while let Some(digit @ b'0'..=b'9') = self.peek() {
            *mantissa = mantissa.wrapping_mul(10).wrapping_add(u64::from(digit - b'0'));
            self.at += 1;
        }
        (self.at > from).then_some(self.at - from)
    }

    /// Checks a value and leaves it.
    fn skip(&mut self, depth: usize) -> Option<()> {
        match self.peek()? {
            b'"' => self.skip_text(),
            b'{' | b'[' if depth == MAX_DEPTH => None,
            b'{' => self.skip_list(b'}', depth, true),
            b'[' => self.skip_list(b']', depth, false),
            b'-' | b'0'..=b'9' => self.skip_number(),
            _ => self.value().map(drop),
        }
    }

    fn skip_number(&mut self) -> Option<()> {
        self.at += usize::from(self.peek() == Some(b'-'));
        let from = self.at;
        let whole = self.skip_digits()?;
        if whole > 1 && self.bytes[from] == b'0' {
            return None;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.skip_digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            self.at += usize::from(matches!(self.peek(), Some(b'+' | b'-')));
            self.skip_digits()?;
        }
        Some(())
    }

    fn skip_digits(&mut self) -> Option<usize> {
        let from = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        (self.at > from).then_some(self.at - from)
    }

    fn skip_text(&mut self) -> Option<()> {
        self.at += 1;
        loop {
            match self.next()? {
                b'"' => return Some(()),
                b'\\' => match self.next()? {
                    b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => {}
                    // Whether it is half of a pair is for the slower reader.
                    _ => return None,
                },
                ..0x20 => return None,
                _ => {}
            }
        }
    }

    fn skip_list(&mut self, close: u8, depth: usize, keys: bool) -> Option<()> {
        self.at += 1;
        self.blanks();
        if self.peek()? == close {
            self.at += 1;
            return Some(());
        }
        loop {
            self.blanks();
            if keys {
                (self.peek()? == b'"').then_some(())?;
                self.skip_text()?;
                self.blanks();
                self.expect(b':')?;
                self.blanks();
            }
            self.skip(depth + 1)?;
            self.blanks();
            match self.next()? {
                b',' => {}
                byte if byte == close => return Some(()),
                _ => return None,
            }
        }
    }
}
