//! A text of a rule set together with where it stands, so that a place inside it can be told as a
//! place in the file: through block scalars, folding, quotes and escapes. Never guesses: where the
//! file does not read as the text, the text's start is the place.

use std::sync::Arc;

use crate::model::diagnostic::Place;

use super::yaml::At;

/// A text and its origin. Equal where the texts are.
#[derive(Clone, Debug)]
pub struct Text {
    text: String,
    origin: Option<Origin>,
}

#[derive(Clone, Debug)]
struct Origin {
    source: Arc<str>,
    at: At,
}

impl PartialEq for Text {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Text {}

impl Text {
    /// A text that came from no file: its places count within itself.
    pub fn own(text: impl Into<String>) -> Self {
        Self { text: text.into(), origin: None }
    }

    /// A text that begins at a place of a file.
    pub(super) fn in_file(text: String, source: &Arc<str>, at: At) -> Self {
        Self { text, origin: Some(Origin { source: source.clone(), at }) }
    }

    /// Whether its places are those of a file.
    pub(super) fn is_from_file(&self) -> bool {
        self.origin.is_some()
    }

    /// The text itself.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// A place within the text, as a place of its file; unchanged for a text from no file.
    pub fn place(&self, local: Place) -> Place {
        let Some(Origin { source, at }) = &self.origin else { return local };
        let begin = Place { length: 1, ..at.place };
        let Some(tail) = source.get(at.byte..) else { return begin };
        let offset = offset_of(&self.text, local);
        // A literal block reads as it stands; so does a plain scalar, folded or not. What begins
        // with a quote may be either, and only the text can tell.
        let styles = [Style::Bare, Style::Single, Style::Double];
        let found = styles.iter().find_map(|style| align(&self.text, tail, at.place, *style));
        match found {
            Some(spots) => {
                let (line, column) =
                    spots.get(offset).or(spots.last()).copied().unwrap_or((begin.line, begin.column));
                Place { line, column, length: local.length }
            }
            None => begin,
        }
    }

    /// The whole text, as far as its first line goes.
    pub(super) fn start(&self) -> Place {
        let first = self.text.trim_start().lines().next().unwrap_or("");
        let skipped = self.text.len() - self.text.trim_start().len();
        let mut place = place_of(&self.text, skipped);
        place.length = first.chars().count().max(1);
        self.place(place)
    }
}

/// The offset in characters of a place; the end of the text where it lies beyond.
fn offset_of(text: &str, place: Place) -> usize {
    let (mut line, mut column) = (1, 1);
    for (i, c) in text.chars().enumerate() {
        if (line, column) >= (place.line, place.column) {
            return i;
        }
        if c == '\n' {
            (line, column) = (line + 1, 1);
        } else {
            column += 1;
        }
    }
    text.chars().count()
}

/// The place of a byte offset, one character long.
pub(super) fn place_of(text: &str, byte: usize) -> Place {
    let head = text.get(..byte).unwrap_or(text);
    let line_start = head.rfind('\n').map_or(0, |i| i + 1);
    Place { line: head.matches('\n').count() + 1, column: head[line_start..].chars().count() + 1, length: 1 }
}

#[derive(Clone, Copy, PartialEq)]
enum Style {
    Bare,
    Single,
    Double,
}

/// Reads the file along with the text. Gives the line and column of each character of the text,
/// and of its end; `None` where the two do not agree.
fn align(text: &str, tail: &str, at: Place, style: Style) -> Option<Vec<(usize, usize)>> {
    let mut file = Reader { chars: tail.chars().peekable(), line: at.line, column: at.column };
    match style {
        Style::Bare => {}
        Style::Single => file.next_if('\'')?,
        Style::Double => file.next_if('"')?,
    }
    let indent = at.column.saturating_sub(1);
    let mut spots = Vec::with_capacity(text.len() + 1);
    let mut leading = true;
    for c in text.chars() {
        // The place of a scalar is its first character that shows.
        if leading && c.is_whitespace() {
            spots.push((file.line, file.column));
            continue;
        }
        leading = false;
        let spot =
            if c.is_whitespace() { file.take_space(c, indent, style)? } else { file.take_shown(c, style)? };
        spots.push(spot);
    }
    spots.push((file.line, file.column));
    Some(spots)
}

struct Reader<'a> {
    chars: std::iter::Peekable<std::str::Chars<'a>>,
    line: usize,
    column: usize,
}

impl Reader<'_> {
    fn next(&mut self) -> Option<char> {
        let c = self.chars.next()?;
        if c == '\n' {
            self.line += 1;
            self.column = 1;
        } else {
            self.column += 1;
        }
        Some(c)
    }

    fn next_if(&mut self, wanted: char) -> Option<()> {
        (self.chars.peek() == Some(&wanted)).then(|| {
            self.next();
        })
    }

    /// A blank or line break of the text: what stands for it in the file may be the same, an
    /// escape, or the fold of a line; or nothing, where folding took it with an earlier one.
    fn take_space(&mut self, c: char, indent: usize, style: Style) -> Option<(usize, usize)> {
        let spot = (self.line, self.column);
        self.next_if('\r');
        match self.chars.peek().copied() {
            Some('\n') => {
                self.next();
                for _ in 0..indent {
                    if self.next_if(' ').is_none() {
                        break;
                    }
                }
            }
            Some(found) if found == c => {
                self.next();
            }
            Some('\\') if style == Style::Double => self.take_escape(c)?,
            _ => {}
        }
        Some(spot)
    }

    /// Any other character of the text, past blanks that folding took.
    fn take_shown(&mut self, c: char, style: Style) -> Option<(usize, usize)> {
        while self.chars.peek().is_some_and(|found| found.is_whitespace()) {
            self.next();
        }
        let spot = (self.line, self.column);
        match (style, self.chars.peek().copied()?) {
            (Style::Double, '\\') => self.take_escape(c)?,
            (Style::Single, '\'') => {
                self.next();
                self.next_if('\'')?;
                (c == '\'').then_some(())?;
            }
            (_, found) => {
                (found == c).then_some(())?;
                self.next();
            }
        }
        Some(spot)
    }

    fn take_escape(&mut self, c: char) -> Option<()> {
        self.next();
        let meant = match self.next()? {
            'n' => '\n',
            't' => '\t',
            'r' => '\r',
            same @ ('"' | '\\' | '/' | ' ') => same,
            _ => return None,
        };
        (meant == c).then_some(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::yaml::{self, Value};
    use super::*;

    /// The file's own place of the `!` in the one text of a mapping.
    #[track_caller]
    fn check(file: &str) {
        let source: Arc<str> = file.into();
        let Value::Map(members) = yaml::read(file).unwrap().value else { panic!("no mapping") };
        let (_, node) = &members[0];
        let Value::Text(text) = &node.value else { panic!("no text") };
        let local = place_of(text, text.find('!').unwrap());
        let found = Text::in_file(text.clone(), &source, node.at.unwrap()).place(local);
        assert_eq!(found, place_of(file, file.find('!').unwrap()), "{file}");
    }

    #[test]
    fn places_hold_in_every_style() {
        check("sql: a !\n");
        check("sql: |\n  é\n    b !\n  c\n");
        check("sql: |\n\n  a\n\n  b !\n");
        check("sql: |-\r\n  a\r\n  b !\r\n");
        check("sql: >-\n  a\n  b\n\n  c !\n");
        check("sql: a\n   b\n  c !\n");
        check("sql: 'it''s\n    a !'\n");
        check("sql: \"say \\\"a\\\"\\n b !\"\n");
        check("{\"sql\": \"SELECT a\\n FROM !\"}");
        check("sql: |\n  'a' !\n");
        check("sql: |4\n      a !\n");
    }

    #[test]
    fn what_cannot_be_followed_points_at_its_start() {
        let source: Arc<str> = "sql: \"\\u0041 !\"\n".into();
        let at = At { place: Place { line: 1, column: 6, length: 10 }, byte: 5 };
        let text = Text::in_file("A !".to_owned(), &source, at);
        assert_eq!(
            text.place(Place { line: 1, column: 3, length: 1 }),
            Place { line: 1, column: 6, length: 1 }
        );
    }
}
