//! The scalar functions, a file for each group: names, arity and types. `engine` gives them their
//! meaning. What a call fixes by a constant (a regular expression, a time zone, a path) is checked and
//! compiled here, once, so that no row can fail on it.

mod array;
mod choice;
mod compiled;
mod encode;
mod format;
mod hash;
mod json;
mod math;
mod object;
pub mod path;
mod path_parser;
mod regex;
mod text;
mod time;

pub use array::Array;
pub use choice::Choice;
pub use compiled::{Compiled, Compression, Encoding, Pattern, Zone};
pub use encode::Encode;
pub use format::{Format, Offset, Piece};
pub use hash::Hash;
pub use json::Json;
pub use math::Math;
pub use object::Object;
pub use regex::Regex;
pub use text::Text;
pub use time::Time;

/// A scalar function. NULL in gives NULL out unless its line says otherwise; so does a value of a kind
/// that it does not take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Function {
    /// Of numbers.
    Math(Math),
    /// Which choose one of their arguments.
    Choice(Choice),
    /// Of texts.
    Text(Text),
    /// Of regular expressions.
    Regex(Regex),
    /// Of times.
    Time(Time),
    /// Of arrays.
    Array(Array),
    /// Of objects.
    Object(Object),
    /// Of JSON.
    Json(Json),
    /// Hashes.
    Hash(Hash),
    /// Which change how something is written.
    Encode(Encode),
}

impl Function {
    /// Its name, as `weir explain` shows it: the first where it has several.
    pub fn name(self) -> &'static str {
        let named = entries().find(|entry| matches!(entry.meaning, Meaning::Call(known) if known == self));
        named.map_or("function", |entry| entry.name)
    }

    /// Whether its n-th argument is a constant that the plan works out.
    pub fn is_fixed(self, n: usize) -> bool {
        let named = entries().find(|entry| matches!(entry.meaning, Meaning::Call(known) if known == self));
        named.is_some_and(|entry| entry.param(n).is_fixed())
    }
}

/// What a call becomes in the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// A call.
    Call(Function),
    /// `a % b`.
    Remainder,
    /// `a IS NULL`.
    IsNull,
    /// `a[b]`.
    Element,
}

/// What a function takes in one place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Param {
    /// BIGINT or FLOAT.
    Number,
    /// STRING.
    Text,
    /// STRING or BYTEA.
    Bytes,
    /// DATETIME, or a number or text that CAST reads as one.
    Moment,
    /// An array.
    Array,
    /// An object.
    Object,
    /// A name or an array of names.
    Names,
    /// Anything.
    Any,
    /// Anything that compares with the other arguments.
    Alike,
    /// STRING that holds a span; a constant is checked.
    Span,
    /// A constant: a regular expression.
    Pattern,
    /// A constant: a JSON path.
    Path,
    /// A constant: how a time is written.
    Format,
    /// A constant: how a time is read. It cannot have what tells nothing, such as a zone's name.
    Reading,
    /// A constant: a time zone.
    Zone,
    /// A constant: how bytes are written as text.
    Encoding,
    /// A constant: how bytes are compressed.
    Compression,
    /// A constant: whose way of writing numbers.
    Locale,
    /// A constant: the name of a scalar function of one argument.
    Function,
}

impl Param {
    /// Whether it takes a constant that the plan works out.
    const fn is_fixed(self) -> bool {
        matches!(
            self,
            Self::Pattern
                | Self::Path
                | Self::Format
                | Self::Reading
                | Self::Zone
                | Self::Encoding
                | Self::Compression
                | Self::Locale
                | Self::Function
        )
    }
}

/// What a function gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gives {
    /// BIGINT.
    Bigint,
    /// FLOAT.
    Float,
    /// STRING.
    Text,
    /// BOOLEAN.
    Boolean,
    /// DATETIME.
    Datetime,
    /// BYTEA.
    Bytea,
    /// Known only when the row is there.
    Any,
    /// An array of anything.
    Array,
    /// An array of STRING.
    Texts,
    /// An array of BIGINT.
    Integers,
    /// The type of its first argument.
    First,
    /// The type of an element of its first argument.
    Element,
    /// The type that all arguments have.
    Common,
    /// An array of what its first argument is.
    ArrayOfFirst,
    /// An array of what all arguments are.
    ArrayOfCommon,
}

/// One scalar function as the planner sees it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Signature {
    /// Its name, in lower case.
    pub(super) name: &'static str,
    /// What it means.
    pub(super) meaning: Meaning,
    /// What it takes.
    params: &'static [Param],
    /// How many arguments it needs.
    pub(super) least: usize,
    /// Whether the last parameter may come any number of times.
    repeats: bool,
    /// What it gives.
    pub(super) gives: Gives,
}

/// A function that needs all its arguments.
const fn takes(name: &'static str, function: Function, params: &'static [Param], gives: Gives) -> Signature {
    means(name, Meaning::Call(function), params, gives)
}

/// The same for one that is planned as something else.
const fn means(name: &'static str, meaning: Meaning, params: &'static [Param], gives: Gives) -> Signature {
    Signature { name, meaning, params, least: params.len(), repeats: false, gives }
}

impl Signature {
    /// With so many arguments needed, the others optional.
    const fn least(self, least: usize) -> Self {
        Self { least, ..self }
    }

    /// With any number of the last.
    const fn repeats(self) -> Self {
        Self { repeats: true, ..self }
    }

    /// The function of this name, in any case.
    pub(super) fn named(name: &str) -> Option<&'static Self> {
        entries().find(|entry| entry.name.eq_ignore_ascii_case(name))
    }

    /// How many arguments it takes; `None` for any number.
    pub(super) fn most(&self) -> Option<usize> {
        (!self.repeats).then_some(self.params.len())
    }

    /// What it takes in the n-th place.
    pub(super) fn param(&self, n: usize) -> Param {
        self.params.get(n).or(self.params.last()).copied().unwrap_or(Param::Any)
    }

    /// Whether it can be called with one value and nothing else.
    pub(super) fn of_one(&self) -> bool {
        !self.param(0).is_fixed() && self.least <= 1 && !self.params.is_empty()
    }
}

fn entries() -> impl Iterator<Item = &'static Signature> {
    let tables = [
        math::TABLE,
        choice::TABLE,
        text::TABLE,
        regex::TABLE,
        time::TABLE,
        array::TABLE,
        object::TABLE,
        json::TABLE,
        hash::TABLE,
        encode::TABLE,
    ];
    tables.into_iter().flatten()
}

/// The names of all scalar functions.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    entries().map(|entry| entry.name)
}

/// A span with or without a sign, in microseconds: `1h30m`, `-250ms`. Besides the units of a rule file it
/// knows `us` and `ns`; what is left of a microsecond is dropped.
pub fn span_micros(text: &str) -> Option<i64> {
    let text = text.trim();
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(0);
    }
    let mut nanos: i128 = 0;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let number: i64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let unit = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let size: i128 = match &rest[..unit] {
            "ns" => 1,
            "us" | "µs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            "d" => 86_400_000_000_000,
            _ => return None,
        };
        // A 64-bit number times a day in nanoseconds is far below 128 bits, and so is the sum of as many
        // as a text can hold.
        nanos = nanos.saturating_add(i128::from(number) * size);
        rest = &rest[unit..];
    }
    i64::try_from(if negative { -nanos / 1_000 } else { nanos / 1_000 }).ok()
}

/// Functions of eKuiper that the language leaves out, each with what to do instead.
const REFUSED: &[(&str, &str)] = &[
    ("local_time", LOCAL),
    ("local_timestamp", LOCAL),
    ("get_keyed_state", "put the values into a table and join it"),
    (
        "rule_start",
        "a rule begins anew with every restart of the agent; `now()` and `event_time()` tell the time",
    ),
    ("bypass", "write its argument"),
];

const LOCAL: &str = "the node's own zone is not part of a rule; name one, as in \
    format_time(now(), 'yyyy-MM-dd HH:mm:ss', 'Europe/Berlin')";

/// What to do instead of a function that the language leaves out on purpose.
pub(super) fn refused(name: &str) -> Option<&'static str> {
    REFUSED.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, instead)| *instead)
}
