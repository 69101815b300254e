//! The functions of texts.

use super::Param::{self, Any, Locale, Number, Text as T};
use super::{Function, Gives, Signature, takes};

/// A function of texts, which counts in characters. A result beyond the longest text is NULL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Text {
    /// `concat(a, …)`: NULLs are skipped
    Concat,
    /// `endswith(s, suffix)`
    EndsWith,
    /// `format(x, digits [, locale])`: a number as text
    Format,
    /// `indexof(s, part)`: from 0, -1 where absent
    IndexOf,
    /// `length(s)`
    Length,
    /// `lower(s)`
    Lower,
    /// `lpad(s, n)`: n blanks before it
    Lpad,
    /// `ltrim(s)`
    Ltrim,
    /// `numbytes(s)`: in UTF-8
    NumBytes,
    /// `replace(s, from, to)`
    Replace,
    /// `reverse(s)`
    Reverse,
    /// `rpad(s, n)`: n blanks behind it
    Rpad,
    /// `rtrim(s)`
    Rtrim,
    /// `split_value(s, separator, n)`: the n-th part from 0; negative from the end
    SplitValue,
    /// `startswith(s, prefix)`
    StartsWith,
    /// `substring(s, start, end)`: from 0, end exclusive and optional
    Substring,
    /// `trim(s)`
    Trim,
    /// `upper(s)`
    Upper,
}

const fn text(name: &'static str, function: Text, params: &'static [Param], gives: Gives) -> Signature {
    takes(name, Function::Text(function), params, gives)
}

pub(super) const TABLE: &[Signature] = &[
    text("concat", Text::Concat, &[Any], Gives::Text).repeats(),
    text("endswith", Text::EndsWith, &[T, T], Gives::Boolean),
    text("format", Text::Format, &[Number, Number, Locale], Gives::Text).least(2),
    text("indexof", Text::IndexOf, &[T, T], Gives::Bigint),
    text("length", Text::Length, &[T], Gives::Bigint),
    text("lower", Text::Lower, &[T], Gives::Text),
    text("lpad", Text::Lpad, &[T, Number], Gives::Text),
    text("ltrim", Text::Ltrim, &[T], Gives::Text),
    text("numbytes", Text::NumBytes, &[T], Gives::Bigint),
    text("replace", Text::Replace, &[T, T, T], Gives::Text),
    text("reverse", Text::Reverse, &[T], Gives::Text),
    text("rpad", Text::Rpad, &[T, Number], Gives::Text),
    text("rtrim", Text::Rtrim, &[T], Gives::Text),
    text("split_value", Text::SplitValue, &[T, T, Number], Gives::Text),
    text("startswith", Text::StartsWith, &[T, T], Gives::Boolean),
    text("substring", Text::Substring, &[T, Number, Number], Gives::Text).least(2),
    text("trim", Text::Trim, &[T], Gives::Text),
    text("upper", Text::Upper, &[T], Gives::Text),
];
