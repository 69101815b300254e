//! The functions of regular expressions. Their patterns are constants, compiled once.

use super::Param::{Pattern, Text};
use super::{Function, Gives, Signature, takes};

/// A function of a regular expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Regex {
    /// `regexp_matches(s, pattern)`: whether it is found anywhere
    Matches,
    /// `regexp_replace(s, pattern, to)`: everywhere; `$1` in `to` is the first group
    Replace,
    /// `regexp_substring(s, pattern)`, also `regexp_substr`: what is found first
    Substring,
}

pub(super) const TABLE: &[Signature] = &[
    takes("regexp_matches", Function::Regex(Regex::Matches), &[Text, Pattern], Gives::Boolean),
    takes("regexp_replace", Function::Regex(Regex::Replace), &[Text, Pattern, Text], Gives::Text),
    takes("regexp_substring", Function::Regex(Regex::Substring), &[Text, Pattern], Gives::Text),
    takes("regexp_substr", Function::Regex(Regex::Substring), &[Text, Pattern], Gives::Text),
];
