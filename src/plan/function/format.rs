//! How a time is written: patterns of letters, as Java and eKuiper have them, cut into pieces once.

use std::sync::Arc;

/// A pattern. Two are equal if their texts are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Format {
    text: Arc<str>,
    pieces: Vec<Piece>,
}

/// A piece of a pattern. `padded` writes at least two digits, and reads exactly two.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Itself.
    Literal(Box<str>),
    /// `G`: AD or BC.
    Era,
    /// `y`, `Y`: the year in four digits; `short` in two.
    Year {
        /// Two digits only; read as 1970 to 2069.
        short: bool,
    },
    /// `M`, `MM`: the month.
    Month {
        /// `MM`.
        padded: bool,
    },
    /// `MMM`, `MMMM`: its English name.
    MonthName {
        /// Three letters.
        short: bool,
    },
    /// `d`, `dd`: the day of the month.
    Day {
        /// `dd`.
        padded: bool,
    },
    /// `E`, `EEEE`: the English name of the day of the week.
    Weekday {
        /// Three letters.
        short: bool,
    },
    /// `H`, `HH`: 0 to 23.
    Hour {
        /// `HH`.
        padded: bool,
    },
    /// `h`, `hh`: 1 to 12.
    HalfHour {
        /// `hh`.
        padded: bool,
    },
    /// `a`: AM or PM.
    Half,
    /// `m`, `mm`: the minute.
    Minute {
        /// `mm`.
        padded: bool,
    },
    /// `s`, `ss`: the second.
    Second {
        /// `ss`.
        padded: bool,
    },
    /// `S…`: so many digits of the fraction of the second.
    Fraction {
        /// 1 to 9.
        digits: usize,
        /// With a point before it: where the pattern has none there itself.
        point: bool,
    },
    /// `z`: the abbreviation of the zone.
    ZoneName,
    /// `Z`, `X`: the offset from UTC.
    Offset(Offset),
}

/// How an offset is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offset {
    /// `X`: `-07`
    Hours,
    /// `Z`, `XX`: `-0700`
    Compact,
    /// `XXX`: `-07:00`
    Colon,
}

impl Format {
    /// As it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Its pieces, in order.
    pub fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    /// Cuts a pattern into pieces. `reading` refuses what a time cannot be told from.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub(super) fn parse(text: &str, reading: bool) -> Result<Self, String> {
        let mut pieces: Vec<Piece> = Vec::new();
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            if c == '\'' {
                let (literal, behind) = quoted(rest)?;
                push_literal(&mut pieces, &literal);
                rest = behind;
                continue;
            }
            let length = rest.len() - rest.trim_start_matches(c).len();
            let count = length / c.len_utf8();
            // eKuiper's own examples have a bare `T` between date and time.
            if !c.is_ascii_alphabetic() || c == 'T' {
                push_literal(&mut pieces, &rest[..length]);
            } else {
                let piece = letter(c, count, pieces.last())?;
                if reading && piece == Piece::ZoneName {
                    return Err("the name of a zone tells no time; read an offset with `XXX`".to_owned());
                }
                pieces.push(piece);
            }
            rest = &rest[length..];
        }
        if pieces.iter().all(|piece| matches!(piece, Piece::Literal(_))) {
            return Err(format!("the format `{text}` has nothing of a time in it"));
        }
        Ok(Self { text: text.into(), pieces })
    }
}

/// A text in single quotes at the start, and what is behind it. Two quotes stand for one.
fn quoted(text: &str) -> Result<(String, &str), String> {
    let inner = &text[1..];
    if let Some(rest) = inner.strip_prefix('\'') {
        return Ok(("'".to_owned(), rest));
    }
    match inner.split_once('\'') {
        Some((literal, rest)) => Ok((literal.to_owned(), rest)),
        None => Err("a `'` in the format is not closed".to_owned()),
    }
}

fn push_literal(pieces: &mut Vec<Piece>, text: &str) {
    match pieces.last_mut() {
        Some(Piece::Literal(last)) => *last = format!("{last}{text}").into(),
        _ => pieces.push(Piece::Literal(text.into())),
    }
}

fn letter(c: char, count: usize, before: Option<&Piece>) -> Result<Piece, String> {
    let padded = count >= 2;
    Ok(match c {
        'G' => Piece::Era,
        'y' | 'Y' => Piece::Year { short: count == 2 },
        'M' | 'L' if count <= 2 => Piece::Month { padded },
        'M' | 'L' => Piece::MonthName { short: count == 3 },
        'd' => Piece::Day { padded },
        'E' => Piece::Weekday { short: count <= 3 },
        'H' => Piece::Hour { padded },
        'h' => Piece::HalfHour { padded },
        'a' => Piece::Half,
        'm' => Piece::Minute { padded },
        's' => Piece::Second { padded },
        'S' if count <= 9 => {
            Piece::Fraction { digits: count, point: matches!(before, Some(Piece::Second { .. })) }
        }
        'z' => Piece::ZoneName,
        'Z' => Piece::Offset(Offset::Compact),
        'X' if count == 1 => Piece::Offset(Offset::Hours),
        'X' if count == 2 => Piece::Offset(Offset::Compact),
        'X' => Piece::Offset(Offset::Colon),
        _ => {
            let letters: String = std::iter::repeat_n(c, count.min(10)).collect();
            return Err(format!("`{letters}` means nothing in a format; put plain text into quotes"));
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_become_pieces() {
        let format = Format::parse("yyyy-MM-dd'T'HH:mm:ss.SSSXXX", true).unwrap();
        assert_eq!(format.pieces().len(), 14);
        assert_eq!(format.pieces()[12], Piece::Fraction { digits: 3, point: false });
        let format = Format::parse("ssSSS", false).unwrap();
        assert_eq!(format.pieces()[1], Piece::Fraction { digits: 3, point: true });
    }

    #[test]
    fn what_means_nothing_is_told() {
        for (text, reading) in
            [("", false), ("--", false), ("yyyy ww", false), ("yyyy 'o", false), ("yyyy z", true)]
        {
            assert!(Format::parse(text, reading).is_err(), "{text}");
        }
    }
}
