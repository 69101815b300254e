//! SQL text into tokens with places. The one file that knows sqlparser: its tokenizer reads
//! comments, quotes and numbers; statements and expressions are parsed by `parse`, which gives every
//! node its place, keeps chains flat and nesting bounded, and words errors for people.

use sqlparser::dialect::Dialect;
use sqlparser::tokenizer::{Location, Token as Raw, Tokenizer};

use crate::model::diagnostic::Place;

use super::report::Problem;

/// One token.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Token {
    /// What it is.
    pub(super) kind: Kind,
    /// Where it stands in the text.
    pub(super) place: Place,
    /// The same in bytes.
    pub(super) bytes: std::ops::Range<usize>,
}

/// The kinds of token.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind {
    /// A bare word: keyword, name or function.
    Word(String),
    /// A name in backticks or double quotes.
    Quoted(String),
    /// Digits, with or without point and exponent.
    Number(String),
    /// A text in single quotes.
    Text(String),
    /// An operator or a mark of punctuation.
    Symbol(&'static str),
    /// What the language has no use for.
    Other(String),
    /// The end of the text.
    End,
}

#[derive(Debug)]
struct Weir;

impl Dialect for Weir {
    fn is_identifier_start(&self, c: char) -> bool {
        c.is_alphabetic() || c == '_'
    }

    fn is_identifier_part(&self, c: char) -> bool {
        c.is_alphanumeric() || c == '_'
    }

    fn is_delimited_identifier_start(&self, c: char) -> bool {
        c == '"' || c == '`'
    }
}

/// Cuts a text into tokens, blanks and comments left out. The last one is [`Kind::End`].
///
/// # Errors
/// A quote or comment that is not closed.
pub(super) fn tokens(text: &str) -> Result<Vec<Token>, Problem> {
    let dialect = Weir;
    let raw = Tokenizer::new(&dialect, text).tokenize_with_location().map_err(|e| {
        let end = super::text::place_of(text, text.trim_end().len());
        let found = place(e.location);
        let place = if (found.line, found.column) > (end.line, end.column) { end } else { found };
        Problem::new("syntax", place, in_words(&e.message))
    })?;
    let mut ruler = Ruler::new(text);
    let mut found = Vec::new();
    for token in raw {
        if matches!(token.token, Raw::Whitespace(_) | Raw::EOF) {
            continue;
        }
        let from = ruler.byte(token.span.start);
        let to = ruler.byte(token.span.end).max(from);
        let length = text[from..to].lines().next().map_or(0, |l| l.chars().count()).max(1);
        let place = Place { length, ..place(token.span.start) };
        found.push(Token { kind: kind(token.token), place, bytes: from..to });
    }
    let end = text.trim_end().len();
    let place = super::text::place_of(text, end);
    found.push(Token { kind: Kind::End, place, bytes: end..end });
    Ok(found)
}

fn place(at: Location) -> Place {
    let small = |n: u64| usize::try_from(n).unwrap_or(usize::MAX).max(1);
    Place { line: small(at.line), column: small(at.column), length: 1 }
}

/// The tokenizer's message for a person.
fn in_words(message: &str) -> String {
    let known = [
        ("Unterminated string literal", "a text is not closed: a `'` is missing"),
        ("close delimiter", "a quoted name is not closed"),
        ("multi-line comment", "a comment is not closed: `*/` is missing"),
    ];
    known.iter().find(|(part, _)| message.contains(part)).map_or(message, |(_, words)| words).to_owned()
}

/// Turns locations, which only grow, into byte offsets in one pass.
struct Ruler<'a> {
    text: &'a str,
    rest: std::str::CharIndices<'a>,
    byte: usize,
    line: u64,
    column: u64,
}

impl<'a> Ruler<'a> {
    fn new(text: &'a str) -> Self {
        Self { text, rest: text.char_indices(), byte: 0, line: 1, column: 1 }
    }

    fn byte(&mut self, at: Location) -> usize {
        while (self.line, self.column) < (at.line, at.column) {
            let Some((i, c)) = self.rest.next() else { return self.text.len() };
            self.byte = i + c.len_utf8();
            if c == '\n' {
                (self.line, self.column) = (self.line + 1, 1);
            } else {
                self.column += 1;
            }
        }
        self.byte
    }
}

fn kind(raw: Raw) -> Kind {
    let symbol = match raw {
        Raw::Word(word) if word.quote_style.is_some() => return Kind::Quoted(word.value),
        Raw::Word(word) => return Kind::Word(word.value),
        Raw::Number(digits, _) => return Kind::Number(digits),
        Raw::SingleQuotedString(text) => return Kind::Text(text),
        Raw::Comma => ",",
        Raw::Eq => "=",
        Raw::DoubleEq => "==",
        Raw::Neq => "<>",
        Raw::Lt => "<",
        Raw::Gt => ">",
        Raw::LtEq => "<=",
        Raw::GtEq => ">=",
        Raw::Plus => "+",
        Raw::Minus => "-",
        Raw::Mul => "*",
        Raw::Div => "/",
        Raw::Mod => "%",
        Raw::StringConcat => "||",
        Raw::LParen => "(",
        Raw::RParen => ")",
        Raw::Period => ".",
        Raw::SemiColon => ";",
        Raw::LBracket => "[",
        Raw::RBracket => "]",
        Raw::Arrow => "->",
        Raw::Colon => ":",
        other => return Kind::Other(other.to_string()),
    };
    Kind::Symbol(symbol)
}

impl Token {
    /// Whether this is the bare word, in any case.
    pub(super) fn is_word(&self, word: &str) -> bool {
        matches!(&self.kind, Kind::Word(w) if w.eq_ignore_ascii_case(word))
    }

    /// Whether this is the symbol.
    pub(super) fn is(&self, symbol: &str) -> bool {
        matches!(&self.kind, Kind::Symbol(s) if *s == symbol)
    }

    /// How a message names it.
    pub(super) fn shown(&self) -> String {
        match &self.kind {
            Kind::Word(text) | Kind::Quoted(text) | Kind::Number(text) | Kind::Other(text) => {
                format!("`{text}`")
            }
            Kind::Text(text) => format!("'{}'", text.chars().take(40).collect::<String>()),
            Kind::Symbol(text) => format!("`{text}`"),
            Kind::End => "the end of the text".to_owned(),
        }
    }
}
