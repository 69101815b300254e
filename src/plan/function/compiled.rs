//! What a call fixes by a constant, worked out once: a wrong pattern or zone is a finding about the rule,
//! and never about a row.

use std::fmt;

use ::regex::RegexBuilder;
use jiff::tz::{Offset, TimeZone, TimeZoneDatabase};

use super::{Format, Function, Meaning, Param, Signature, names, path::Path};
use crate::model::diagnostic::Place;
use crate::plan::report::Problem;

/// The longest text of a regular expression, in bytes.
const MAX_PATTERN: usize = 4 << 10;

/// How many bytes a regular expression may take when compiled. Searching takes time in proportion to
/// this and to the text, so it bounds both.
const MAX_COMPILED: usize = 256 << 10;

/// A constant argument, compiled.
#[derive(Clone, Debug, PartialEq)]
pub enum Compiled {
    /// A regular expression.
    Pattern(Pattern),
    /// A JSON path.
    Path(Path),
    /// How a time is written or read.
    Format(Format),
    /// A time zone.
    Zone(Zone),
    /// How bytes are written as text.
    Encoding(Encoding),
    /// How bytes are compressed.
    Compression(Compression),
    /// The American way of writing numbers: a comma before every three digits.
    Locale,
    /// A function of one value.
    Function(Function),
}

/// A regular expression. Two are equal if their texts are.
#[derive(Clone)]
pub struct Pattern {
    text: Box<str>,
    regex: ::regex::Regex,
}

impl Pattern {
    /// What searches.
    pub const fn regex(&self) -> &::regex::Regex {
        &self.regex
    }

    /// Compiles.
    ///
    /// # Errors
    /// Says what is wrong with the pattern.
    pub(super) fn new(text: &str) -> Result<Self, String> {
        if text.len() > MAX_PATTERN {
            return Err(format!("the pattern has more than {MAX_PATTERN} bytes"));
        }
        let ascii = ascii(text)?;
        let built = RegexBuilder::new(&ascii).size_limit(MAX_COMPILED).nest_limit(50).build();
        match built {
            Ok(regex) => Ok(Self { text: text.into(), regex }),
            Err(::regex::Error::CompiledTooBig(_)) => {
                Err("the pattern is too large: repetitions such as {1000} are written out".to_owned())
            }
            // The message draws the pattern first; its last line says what is wrong.
            Err(why) => {
                let why = why.to_string();
                let last = why.lines().last().unwrap_or_default();
                Err(last.strip_prefix("error: ").unwrap_or(last).trim().to_owned())
            }
        }
    }
}

/// The pattern with `\d`, `\w` and `\s` as the ASCII characters that they are in eKuiper too: in Unicode each
/// takes as much room as a whole pattern may. Classes by name are refused, in every build alike: their
/// tables may be there or not, as another part of the program has it.
fn ascii(pattern: &str) -> Result<String, String> {
    let mut written = String::with_capacity(pattern.len());
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            written.push(c);
            continue;
        }
        // A class may stand within a class, so that these fit in brackets, too.
        match chars.next() {
            Some('d') => written.push_str("[0-9]"),
            Some('D') => written.push_str("[^0-9]"),
            Some('w') => written.push_str("[0-9A-Za-z_]"),
            Some('W') => written.push_str("[^0-9A-Za-z_]"),
            Some('s') => written.push_str(r"[\t\n\x0B\f\r ]"),
            Some('S') => written.push_str(r"[^\t\n\x0B\f\r ]"),
            Some('p' | 'P') => {
                return Err(r"classes of characters by name, `\p{…}`, are not supported".to_owned());
            }
            escaped => {
                written.push(c);
                written.extend(escaped);
            }
        }
    }
    Ok(written)
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pattern({:?})", self.text)
    }
}

/// A time zone, from the database that comes with the program: a rule means the same on every device.
#[derive(Clone, Debug, PartialEq)]
pub struct Zone {
    name: String,
    zone: TimeZone,
}

impl Zone {
    /// The zone itself.
    pub const fn zone(&self) -> &TimeZone {
        &self.zone
    }

    /// A name of the IANA database such as `Europe/Berlin`, or an offset such as `+02:00`.
    fn named(name: &str) -> Option<Self> {
        let zone = match name.as_bytes().first() {
            Some(b'+' | b'-') => TimeZone::fixed(offset(name)?),
            _ => TimeZoneDatabase::bundled().get(name).ok()?,
        };
        Some(Self { name: name.to_owned(), zone })
    }
}

/// `+02:00`, `-0530`, `+02`.
fn offset(text: &str) -> Option<Offset> {
    let (sign, digits) = text.split_at_checked(1)?;
    let digits: String = digits.chars().filter(|c| *c != ':').collect();
    if !matches!(digits.len(), 2 | 4) || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let hours: i32 = digits[..2].parse().ok()?;
    let minutes: i32 = digits.get(2..4).map_or(Some(0), |m| m.parse().ok())?;
    if hours > 15 || minutes > 59 {
        return None;
    }
    let seconds = hours * 3_600 + minutes * 60;
    Offset::from_seconds(if sign == "-" { -seconds } else { seconds }).ok()
}

/// How bytes are written as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// RFC 4648, with padding; reading takes it without as well.
    Base64,
    /// Two hexadecimal digits a byte.
    Hex,
    /// The text that the bytes are in UTF-8.
    Utf8,
}

/// How bytes are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// RFC 1950.
    Zlib,
    /// RFC 1952.
    Gzip,
    /// RFC 1951.
    Flate,
}

impl Compiled {
    /// Compiles a constant for a parameter that asks for one; `None` for the other parameters.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(in crate::plan) fn new(param: Param, text: &str, place: Place) -> Result<Option<Self>, Problem> {
        let compiled = match param {
            Param::Pattern => Self::Pattern(Pattern::new(text).map_err(|why| {
                let problem = Problem::new("bad-pattern", place, format!("no regular expression: {why}"));
                match why.as_str() {
                    why if why.contains("\\p{") => problem.hint("write the characters, as in [α-ω]"),
                    why if why.ends_with("not supported") => {
                        problem.hint("what would make searching slower than linear is left out")
                    }
                    _ => problem,
                }
            })?),
            Param::Path => Self::Path(Path::parse(text).map_err(|(at, why)| {
                let found = text.get(..at).map_or(0, |before| before.chars().count()) + 1;
                let problem =
                    Problem::new("bad-path", place, format!("no JSON path: character {found}: {why}"));
                problem.hint("a path begins with `$`, as in '$.readings[0].t' or '$..t'")
            })?),
            Param::Format | Param::Reading => {
                let format = Format::parse(text, param == Param::Reading);
                Self::Format(format.map_err(|why| {
                    Problem::new("bad-format", place, why).hint("write it as in 'yyyy-MM-dd HH:mm:ss.SSS'")
                })?)
            }
            Param::Zone => Self::Zone(Zone::named(text).ok_or_else(|| unknown_zone(text, place))?),
            Param::Encoding => Self::Encoding(match text.to_ascii_lowercase().as_str() {
                "base64" => Encoding::Base64,
                "hex" => Encoding::Hex,
                "utf8" | "utf-8" => Encoding::Utf8,
                _ => return Err(unknown(text, place, "encoding", "'base64', 'hex' or 'utf8'")),
            }),
            Param::Compression => Self::Compression(match text.to_ascii_lowercase().as_str() {
                "zlib" => Compression::Zlib,
                "gzip" => Compression::Gzip,
                "flate" => Compression::Flate,
                "zstd" => {
                    let problem = Problem::new("unsupported", place, "zstd is not supported");
                    return Err(problem.hint(
                        "use 'zlib', 'gzip' or 'flate'; zstd would make the agent larger by a C library",
                    ));
                }
                _ => return Err(unknown(text, place, "compression", "'zlib', 'gzip' or 'flate'")),
            }),
            Param::Locale => match text.to_ascii_lowercase().as_str() {
                "en_us" => Self::Locale,
                _ => return Err(unknown(text, place, "locale", "'en_US', or leave it out")),
            },
            Param::Function => Self::Function(of_one(text, place)?),
            _ => return Ok(None),
        };
        Ok(Some(compiled))
    }
}

/// As it was written, for `weir explain`.
impl fmt::Display for Compiled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pattern(pattern) => &pattern.text,
            Self::Path(path) => path.text(),
            Self::Format(format) => format.text(),
            Self::Zone(zone) => &zone.name,
            Self::Encoding(Encoding::Base64) => "base64",
            Self::Encoding(Encoding::Hex) => "hex",
            Self::Encoding(Encoding::Utf8) => "utf8",
            Self::Compression(Compression::Zlib) => "zlib",
            Self::Compression(Compression::Gzip) => "gzip",
            Self::Compression(Compression::Flate) => "flate",
            Self::Locale => "en_US",
            Self::Function(function) => function.name(),
        })
    }
}

fn unknown(text: &str, place: Place, what: &str, known: &str) -> Problem {
    Problem::new("bad-argument", place, format!("no {what} `{text}`")).hint(format!("write {known}"))
}

fn unknown_zone(text: &str, place: Place) -> Problem {
    let problem = Problem::new("unknown-zone", place, format!("no time zone `{text}`"));
    let known: Vec<String> =
        TimeZoneDatabase::bundled().available().map(|name| name.as_str().to_owned()).collect();
    match crate::plan::nearest::nearest(text, known.iter().map(String::as_str)) {
        Some(near) => problem.hint(format!("did you mean '{near}'?")),
        None => problem.hint("write a name such as 'Europe/Berlin', or an offset such as '+02:00'"),
    }
}

/// The function of this name, if it takes one value.
fn of_one(text: &str, place: Place) -> Result<Function, Problem> {
    match Signature::named(text) {
        Some(signature) => match signature.meaning {
            Meaning::Call(function) if signature.of_one() => Ok(function),
            _ => {
                let message = format!("`{text}` cannot be applied to elements: it takes more than a value");
                Err(Problem::new("bad-argument", place, message))
            }
        },
        None => {
            let problem = Problem::new("unknown-function", place, format!("no function `{text}`"));
            Err(problem.did_you_mean(text, names()))
        }
    }
}
