//! The text of a rule without those literals that a plan takes as they are. Two rules with one skeleton
//! are planned alike but for these constants. Reads only plain texts, and knows no grammar: where
//! anything is out of the ordinary there is no skeleton, and the rule is planned by itself.

use crate::model::value::Value;

use super::definition::RuleDef;
use super::text::Text;

/// What stands for a literal of each kind. No text with such a character has a skeleton.
const INT: char = '\u{1}';
const FLOAT: char = '\u{2}';
const TEXT: char = '\u{3}';
/// What parts the texts, and marks those that are there.
const END: char = '\u{4}';
const THERE: char = '\u{5}';

/// A rule's texts, and the literals that were taken out of them.
#[derive(Debug)]
pub(super) struct Skeleton {
    /// All texts of the rule but its id and the values of its labels.
    pub(super) text: String,
    /// The literals, in the order of the texts.
    pub(super) literals: Vec<Value>,
}

/// The skeleton of a rule; `None` where one cannot be told for sure.
pub(super) fn of(def: &RuleDef) -> Option<Skeleton> {
    let rare = def.times.is_some()
        || def.flapping.is_some()
        || !def.levels.is_empty()
        || !def.active.is_empty()
        || def.max_instances.is_some()
        || !def.inhibited_by.is_empty();
    if rare {
        return None;
    }
    let mut found = Skeleton { text: String::with_capacity(256), literals: Vec::new() };
    found.scan(def.sql.as_str(), true)?;
    for condition in [&def.when, &def.clear] {
        found.text.push(END);
        if let Some(text) = condition {
            found.text.push(THERE);
            found.scan(text.as_str(), false)?;
        }
    }
    if let Some(said) = &def.no_data {
        found.text.push(END);
        found.whole(&said.after)?;
        found.whole(&said.action)?;
    }
    for text in [&def.forget, &def.for_, &def.keep_firing_for, &def.repeat, &def.severity] {
        found.text.push(END);
        text.iter().try_for_each(|text| found.whole(text))?;
    }
    for (name, value) in &def.labels {
        found.text.push(END);
        found.whole(name)?;
        // A label is no template.
        plain(value.as_str())?;
        if value.as_str().contains("{{") {
            return None;
        }
    }
    found.text.push(END);
    for (name, value) in &def.annotations {
        found.whole(name)?;
        found.whole(value)?;
    }
    found.text.push(END);
    if let Some(key) = &def.key {
        found.text.push(END);
        key.iter().try_for_each(|column| found.whole(column))?;
    }
    Some(found)
}

/// The rule of a skeleton with other literals.
pub(super) fn fill(def: &RuleDef, skeleton: &str, literals: &[Value]) -> RuleDef {
    let mut literals = literals.iter();
    let mut fill = |text: &str| {
        let mut filled = String::with_capacity(text.len());
        for c in text.chars() {
            match c {
                THERE => {}
                INT | FLOAT | TEXT => match literals.next() {
                    Some(Value::Str(text)) => filled.push_str(&format!("'{text}'")),
                    Some(number) => filled.push_str(&number.to_string()),
                    None => {}
                },
                c => filled.push(c),
            }
        }
        Text::own(filled)
    };
    let mut parts = skeleton.split(END);
    let sql = parts.next().map(&mut fill);
    let when = parts.next().filter(|part| !part.is_empty()).map(&mut fill);
    let clear = parts.next().filter(|part| !part.is_empty()).map(&mut fill);
    RuleDef { sql: sql.unwrap_or_else(|| def.sql.clone()), when, clear, ..def.clone() }
}

/// A text without the characters that mean something here.
fn plain(text: &str) -> Option<()> {
    text.bytes().all(|byte| byte >= b' ' || matches!(byte, b'\n' | b'\t' | b'\r')).then_some(())
}

/// Where a scan stands.
struct Scan {
    /// For each open parenthesis, whether it is, or stands inside, that of a call.
    open: Vec<bool>,
    /// Whether a literal may be taken out here.
    free: bool,
    /// Whether the last token was a word that a parenthesis makes a call.
    word: bool,
    /// Whether this is GROUP BY, and whether anything is compared in it.
    grouping: bool,
    compares: bool,
}

impl Skeleton {
    fn whole(&mut self, text: &Text) -> Option<()> {
        plain(text.as_str())?;
        self.text.push(THERE);
        self.text.push_str(text.as_str());
        Some(())
    }

    /// Takes the literals out of a text: in a query those of WHERE, and of HAVING where no group can be
    /// meant by it; only what stands to the right of a comparison, by itself, and in no call.
    fn scan(&mut self, text: &str, query: bool) -> Option<()> {
        let bytes = text.as_bytes();
        let mut scan = Scan { open: Vec::new(), free: !query, word: false, grouping: false, compares: false };
        let mut at = 0;
        while let Some(byte) = bytes.get(at).copied() {
            let next = bytes.get(at + 1).copied();
            let end = match byte {
                b' ' | b'\n' | b'\t' | b'\r' => at + 1,
                b'a'..=b'z' | b'A'..=b'Z' | b'_' => {
                    let end = at + run(&bytes[at..], |b| b.is_ascii_alphanumeric() || b == b'_');
                    if bytes.get(end) == Some(&b'\'') {
                        return None;
                    }
                    scan.word(&text[at..end], query);
                    end
                }
                b'0'..=b'9' | b'\'' => {
                    let (end, literal) = if byte == b'\'' { quoted(text, at)? } else { number(text, at)? };
                    scan.word = false;
                    let free = scan.free && !scan.open.last().copied().unwrap_or(false) && ends(text, end);
                    if free && self.take(text, at, literal).is_some() {
                        at = end;
                        continue;
                    }
                    end
                }
                b'(' => {
                    scan.open.push(scan.word || scan.open.last().copied().unwrap_or(false));
                    scan.word = false;
                    at + 1
                }
                b')' => {
                    scan.open.pop()?;
                    scan.word = false;
                    at + 1
                }
                b'-' if next == Some(b'-') => return None,
                b'/' if matches!(next, Some(b'*' | b'/')) => return None,
                b'=' | b'<' | b'>' | b'!' => {
                    scan.compares |= scan.grouping;
                    scan.word = false;
                    at + 1
                }
                b',' | b'.' | b'*' | b'+' | b'-' | b'/' | b'%' | b'|' | b'[' | b']' | b':' => {
                    scan.word = false;
                    at + 1
                }
                _ => return None,
            };
            self.text.push_str(&text[at..end]);
            at = end;
        }
        Some(())
    }

    /// Takes a literal that begins at this place, where a comparison stands before it.
    fn take(&mut self, text: &str, at: usize, literal: Literal<'_>) -> Option<()> {
        let head = text[..at].trim_end();
        let (head, minus) = match (head.strip_suffix('-'), &literal) {
            (Some(head), Literal::Number(_)) => (head.trim_end(), true),
            _ => (head, false),
        };
        if !head.ends_with(['=', '<', '>']) || head.ends_with("->") {
            return None;
        }
        let (value, mark) = match literal {
            Literal::Text(text) => (Value::str(text), TEXT),
            Literal::Number(digits) => {
                let signed = if minus { format!("-{digits}") } else { digits.to_owned() };
                if digits.bytes().all(|byte| byte.is_ascii_digit()) {
                    (Value::Int(signed.parse().ok()?), INT)
                } else {
                    let number: f64 = signed.parse().ok()?;
                    number.is_finite().then_some((Value::Float(number), FLOAT))?
                }
            }
        };
        if minus {
            let kept = self.text.trim_end().strip_suffix('-')?.len();
            self.text.truncate(kept);
        }
        self.text.push(mark);
        self.literals.push(value);
        Some(())
    }
}

impl Scan {
    fn word(&mut self, word: &str, query: bool) {
        let is = |known: &str| word.eq_ignore_ascii_case(known);
        self.word = !["AND", "OR", "NOT", "WHERE", "HAVING"].iter().any(|known| is(known));
        if !query || !self.open.is_empty() {
            return;
        }
        if is("WHERE") {
            self.free = true;
        } else if is("GROUP") {
            (self.free, self.grouping) = (false, true);
        } else if is("HAVING") {
            (self.free, self.grouping) = (!self.compares, false);
        } else if is("ORDER") || is("LIMIT") {
            (self.free, self.grouping) = (false, false);
        }
    }
}

enum Literal<'a> {
    Text(&'a str),
    Number(&'a str),
}

fn run(bytes: &[u8], holds: impl Fn(u8) -> bool) -> usize {
    bytes.iter().position(|byte| !holds(*byte)).unwrap_or(bytes.len())
}

/// A text in single quotes that says what it says: without a quote or backslash in it.
fn quoted(text: &str, at: usize) -> Option<(usize, Literal<'_>)> {
    let inner = text.get(at + 1..)?;
    let length = inner.find('\'')?;
    let found = &inner[..length];
    plain(found)?;
    let doubled = inner.as_bytes().get(length + 1) == Some(&b'\'');
    (!doubled && !found.contains('\\')).then_some((at + length + 2, Literal::Text(found)))
}

/// Digits, with or without digits behind a point.
fn number(text: &str, at: usize) -> Option<(usize, Literal<'_>)> {
    let bytes = text.as_bytes();
    let digits = |from: usize| from + run(&bytes[from..], |byte| byte.is_ascii_digit());
    let mut end = digits(at);
    if bytes.get(end) == Some(&b'.') {
        let behind = digits(end + 1);
        if behind == end + 1 {
            return None;
        }
        end = behind;
    }
    let before = at.checked_sub(1).and_then(|before| bytes.get(before));
    let odd = |byte: Option<&u8>| {
        byte.is_some_and(|b| b.is_ascii_alphanumeric() || !b.is_ascii() || matches!(b, b'_' | b'.' | b'\''))
    };
    (!odd(before) && !odd(bytes.get(end))).then_some((end, Literal::Number(&text[at..end])))
}

/// Whether a condition, or a part of one that is joined by AND or OR, ends here.
fn ends(text: &str, at: usize) -> bool {
    let rest = text[at..].trim_start();
    let word = &rest[..run(rest.as_bytes(), |byte| byte.is_ascii_alphanumeric() || byte == b'_')];
    let stops = ["AND", "OR", "GROUP", "HAVING", "ORDER", "LIMIT"];
    rest.is_empty() || rest.starts_with(')') || stops.iter().any(|stop| word.eq_ignore_ascii_case(stop))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn literals(sql: &str, when: &str) -> Option<Vec<String>> {
        let def = RuleDef { when: Some(Text::own(when)), ..RuleDef::new(Text::own("r"), Text::own(sql)) };
        let found = of(&def)?;
        let again = fill(&def, &found.text, &found.literals);
        assert_eq!(of(&again).unwrap().text, found.text);
        Some(found.literals.iter().map(|value| format!("{value:?}")).collect())
    }

    #[test]
    fn what_stands_behind_a_comparison_is_taken_out() {
        for (sql, when, expected) in [
            ("SELECT a FROM s WHERE a = 'x' AND b > -5", "t >= 1.5 OR t < 2", 4),
            ("SELECT a > 5 FROM s WHERE (a = 1 OR NOT (b = 2))", "t", 2),
            ("SELECT a FROM s WHERE f(a = 1) AND a IN (1, 2)", "t", 0),
            ("SELECT a FROM s WHERE a = 1 + 2 AND a->'b' = 1 AND a BETWEEN 1 AND 2", "t", 1),
            ("SELECT avg(a) FROM s GROUP BY b, TUMBLINGWINDOW(ss, 10) HAVING avg(a) > 3", "t > 4", 2),
            ("SELECT avg(a) FROM s GROUP BY b > 3, TUMBLINGWINDOW(ss, 10) HAVING b > 3", "t > 4", 1),
            ("SELECT a FROM s WHERE a = 99999999999999999999", "t", 0),
            ("SELECT a FROM s WHERE a = 1 IS TRUE AND lag(a, 1) = 2 LIMIT 5", "t", 1),
        ] {
            let found = literals(sql, when).unwrap();
            assert_eq!(found.len(), expected, "{sql}: {found:?}");
        }
    }

    #[test]
    fn what_is_out_of_the_ordinary_has_no_skeleton() {
        for sql in [
            "SELECT a FROM s WHERE a = 'it''s'",
            "SELECT a FROM s -- x\nWHERE a = 1",
            "SELECT a FROM s /* x */ WHERE a = 1",
            "SELECT `a` FROM s WHERE a = 1",
            "SELECT a FROM s WHERE a = X'00'",
            "SELECT a FROM s WHERE a = 1e5",
            "SELECT a FROM s WHERE a = 1_000",
            "SELECT a FROM s WHERE a = .5",
            "SELECT a FROM s WHERE a = '\u{1}'",
            "SELECT é FROM s WHERE a = 1",
        ] {
            assert!(literals(sql, "t").is_none(), "{sql}");
        }
    }
}
