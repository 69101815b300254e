//! The functions of regular expressions. Searching is linear in the text, whatever the pattern.

use super::{MAX_TEXT, str};
use crate::engine::expr::Env;
use crate::model::value::Value;
use crate::plan::function::{Compiled, Regex};

/// The longest text that is searched, in bytes. The time for one byte grows with the pattern, so this and
/// the bound of patterns keep one row from holding up all others.
const MAX_SEARCHED: usize = 16 << 10;

pub(super) fn call(function: Regex, fixed: &[Compiled], args: &[&Value], env: &Env) -> Value {
    let ([Compiled::Pattern(pattern)], Some(text)) = (fixed, args.first().copied().and_then(str)) else {
        return Value::Null;
    };
    if text.len() > MAX_SEARCHED {
        return env.undefined();
    }
    let regex = pattern.regex();
    match function {
        Regex::Matches => Value::Bool(regex.is_match(text)),
        Regex::Substring => regex.find(text).map_or(Value::Null, |found| Value::str(found.as_str())),
        Regex::Replace => match args.get(1).copied().and_then(str) {
            Some(to) => replace(regex, text, to, env),
            None => Value::Null,
        },
    }
}

/// Everywhere, as long as the result is not too long.
fn replace(regex: &::regex::Regex, text: &str, to: &str, env: &Env) -> Value {
    let mut made = String::new();
    let mut behind = 0;
    for found in regex.captures_iter(text) {
        let Some(all) = found.get(0) else { continue };
        made.push_str(text.get(behind..all.start()).unwrap_or_default());
        // A reference stands for the text at most: where that cannot become too long, it is not counted.
        if to.len().saturating_mul(text.len()) > MAX_TEXT && expanded(&found, to) > MAX_TEXT - made.len() {
            return env.undefined();
        }
        found.expand(to, &mut made);
        if made.len() > MAX_TEXT {
            return env.undefined();
        }
        behind = all.end();
    }
    made.push_str(text.get(behind..).unwrap_or_default());
    super::bounded(&made, env)
}

/// At most how long the replacement for one match is.
fn expanded(found: &::regex::Captures<'_>, to: &str) -> usize {
    let references = to.bytes().filter(|b| *b == b'$').count();
    let longest = found.get(0).map_or(0, |all| all.len());
    references.saturating_mul(longest).saturating_add(to.len())
}
