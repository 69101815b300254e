//! What people write who know another dialect, and what they meant: hints for syntax errors, from
//! what was found and what stands before it.

use super::Parser;
use super::select::is_window;
use crate::plan::nearest::nearest;
use crate::plan::report::Problem;
use crate::plan::token::{Kind, Token};

/// Operators of other languages, with ours.
const OPERATORS: &[(&str, &str)] = &[
    ("==", "compare with `=`"),
    ("=<", "write `<=`"),
    ("=>", "write `>=`"),
    ("&&", "write AND"),
    ("!", "write NOT"),
    ("::", "write CAST(… AS BIGINT)"),
    ("?", "write CASE WHEN … THEN … ELSE … END"),
    ("~", "write regexp_matches(a, '…')"),
    ("<=>", "write `=`, and IS NULL where NULL is meant"),
];

/// Words that begin a part of a query.
const PARTS: &[&str] = &["SELECT", "FROM", "WHERE", "GROUP", "HAVING", "ORDER", "LIMIT", "JOIN"];

impl Parser<'_> {
    /// The problem that something else was expected here.
    pub(super) fn expected(&self, what: &str) -> Problem {
        let (before, found) = (self.last(), self.peek());
        let written = self.written();
        if let Some((wrong, right)) = OPERATORS.iter().find(|(wrong, _)| *wrong == written) {
            let place = if *wrong == "=<" { before.place } else { found.place };
            return Problem::new("syntax", place, format!("`{wrong}` is no operator")).hint(*right);
        }
        let problem =
            Problem::new("syntax", found.place, format!("expected {what}, found {}", found.shown()));
        let meant = match what {
            "AND" => Some("write BETWEEN 3 AND 5".to_owned()),
            // A name that stands where JOIN is missing is no misspelt word.
            "JOIN" => None,
            _ => self.meant(before, found),
        };
        match meant {
            Some(hint) => problem.hint(hint),
            None => problem,
        }
    }

    /// What stands here as an operator.
    fn written(&self) -> &str {
        match &self.peek().kind {
            Kind::Symbol("<") if self.at > 0 && self.last().is("=") => "=<",
            Kind::Symbol(text) => text,
            Kind::Other(text) => text,
            _ => "",
        }
    }

    fn meant(&self, before: &Token, found: &Token) -> Option<String> {
        let compares = ["<", "<=", ">", ">=", "=", "<>"].iter().any(|symbol| found.is(symbol));
        let chained = before.is_word("AND") || before.is_word("OR");
        if chained && (compares || ["LIKE", "IN", "BETWEEN", "IS"].iter().any(|word| found.is_word(word))) {
            return Some("repeat what is compared, as in a > 1 AND a < 5".to_owned());
        }
        if before.is(",") && PARTS.iter().any(|word| found.is_word(word)) {
            return Some(format!("leave out the comma before {}", found.shown()));
        }
        match &found.kind {
            Kind::Other(text) if text.contains(['“', '”', '„', '‘', '’', '‚', '´']) => {
                return Some("a text stands in straight single quotes: 'f1'".to_owned());
            }
            Kind::Number(_) | Kind::Text(_) if before.is_word("INTERVAL") => {
                return Some("spans of time are milliseconds: now() - 300000".to_owned());
            }
            Kind::Word(unit) if matches!(before.kind, Kind::Number(_)) && is_span(unit) => {
                return Some("spans of time are milliseconds: now() - 300000".to_owned());
            }
            Kind::Word(_) if found.is_word("NOT") && self.ahead(1).is_word("NULL") => {
                return Some("write IS NOT NULL".to_owned());
            }
            Kind::Word(_) if found.is_word("ISNULL") => return Some("write IS NULL".to_owned()),
            Kind::Word(_) if found.is_word("NOTNULL") => return Some("write IS NOT NULL".to_owned()),
            Kind::Word(_) if found.is_word("ILIKE") => return Some("write lower(a) LIKE '…'".to_owned()),
            Kind::Number(_) if before.is_word("TOP") => return Some("write LIMIT at the end".to_owned()),
            Kind::Symbol(",") => {
                if let (Kind::Number(whole), Kind::Number(part)) = (&before.kind, &self.ahead(1).kind) {
                    return Some(format!("a number has a decimal point: {whole}.{part}"));
                }
            }
            _ => {}
        }
        let window = |token: &Token| matches!(&token.kind, Kind::Word(word) if is_window(word));
        if window(found) || (found.is("(") && window(before)) {
            return Some("a window stands in GROUP BY: GROUP BY …, TUMBLINGWINDOW(ss, 10)".to_owned());
        }
        // A misspelt word was perhaps taken for a name, and what follows it does not fit.
        [found, before].into_iter().find_map(|token| {
            let Kind::Word(word) = &token.kind else { return None };
            let near = nearest(word, PARTS.iter().copied())?;
            (!word.eq_ignore_ascii_case(near)).then(|| format!("did you mean {near}?"))
        })
    }
}

/// Whether it is a unit of time, as behind a number.
fn is_span(word: &str) -> bool {
    let known = ["ms", "s", "m", "h", "d", "sec", "min", "seconds", "minutes", "hours", "days"];
    known.iter().any(|unit| word.eq_ignore_ascii_case(unit))
}
