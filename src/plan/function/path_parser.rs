//! Reads the text of a JSON path. Nesting is bounded, so that no path exhausts the stack, here or where it
//! is walked.

use super::Pattern;
use super::path::{Operand, Query, Relation, Segment, Selector, Test};
use crate::model::value::Value;

/// How deep filters and parentheses may nest.
const MAX_DEPTH: usize = 16;

type Fail = (usize, String);

/// The steps of a path from the root.
///
/// # Errors
/// The byte at which it goes wrong, and why.
pub(super) fn parse(text: &str) -> Result<Vec<Segment>, Fail> {
    let mut parser = Parser { text, at: 0, depth: 0 };
    if !parser.take("$") {
        return Err(parser.wrong("expected `$`"));
    }
    let segments = parser.segments()?;
    if parser.at < text.len() {
        return Err(parser.wrong("expected `.`, `..` or `[`"));
    }
    Ok(segments)
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
}

/// What a function of a filter gives.
enum Called {
    Value(Operand),
    Truth(Test),
}

impl<'a> Parser<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn wrong(&self, why: &str) -> Fail {
        (self.at, why.to_owned())
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn blanks(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start_matches([' ', '\t', '\n', '\r']).len();
    }

    fn take(&mut self, wanted: &str) -> bool {
        let found = self.rest().starts_with(wanted);
        if found {
            self.at += wanted.len();
        }
        found
    }

    fn expect(&mut self, wanted: &str) -> Result<(), Fail> {
        self.blanks();
        if self.take(wanted) { Ok(()) } else { Err(self.wrong(&format!("expected `{wanted}`"))) }
    }

    fn segments(&mut self) -> Result<Vec<Segment>, Fail> {
        let mut segments = Vec::new();
        loop {
            let start = self.at;
            self.blanks();
            if self.take("..") {
                let selectors = if self.take("[") { self.bracket()? } else { vec![self.shorthand()?] };
                segments.push(Segment { descend: true, selectors });
            } else if self.take(".") {
                segments.push(Segment { descend: false, selectors: vec![self.shorthand()?] });
            } else if self.take("[") {
                segments.push(Segment { descend: false, selectors: self.bracket()? });
            } else {
                self.at = start;
                return Ok(segments);
            }
        }
    }

    /// `*` or a bare name.
    fn shorthand(&mut self) -> Result<Selector, Fail> {
        if self.take("*") {
            return Ok(Selector::All);
        }
        let rest = self.rest();
        let part = |c: char| c.is_alphanumeric() || c == '_' || !c.is_ascii();
        let length = rest.find(|c| !part(c)).unwrap_or(rest.len());
        if length == 0 || rest.starts_with(|c: char| c.is_ascii_digit()) {
            return Err(self.wrong("expected a name or `*`; write other names as ['a-b']"));
        }
        self.at += length;
        Ok(Selector::Name(rest[..length].into()))
    }

    /// Behind `[`.
    fn bracket(&mut self) -> Result<Vec<Selector>, Fail> {
        let mut selectors = Vec::new();
        loop {
            self.blanks();
            selectors.push(self.selector()?);
            self.blanks();
            if self.take("]") {
                return Ok(selectors);
            }
            if !self.take(",") {
                return Err(self.wrong("expected `,` or `]`"));
            }
        }
    }

    fn selector(&mut self) -> Result<Selector, Fail> {
        match self.peek() {
            Some('*') => {
                self.at += 1;
                Ok(Selector::All)
            }
            Some('?') => {
                self.at += 1;
                self.blanks();
                Ok(Selector::Filter(self.or()?))
            }
            Some('\'' | '"') => Ok(Selector::Name(self.string()?.into())),
            Some(c) if c == '-' || c == ':' || c.is_ascii_digit() => self.places(),
            _ => Err(self.wrong("expected a name in quotes, a number, a slice, `*` or `?`")),
        }
    }

    /// `1`, `1:3`, `::2`.
    fn places(&mut self) -> Result<Selector, Fail> {
        let from = self.integer()?;
        self.blanks();
        if !self.take(":") {
            return from.map(Selector::Index).ok_or_else(|| self.wrong("expected a number"));
        }
        self.blanks();
        let to = self.integer()?;
        self.blanks();
        let mut step = 1;
        if self.take(":") {
            self.blanks();
            step = self.integer()?.unwrap_or(1);
        }
        Ok(Selector::Slice { from, to, step })
    }

    fn integer(&mut self) -> Result<Option<i64>, Fail> {
        let rest = self.rest();
        let sign = usize::from(rest.starts_with('-'));
        let digits = rest[sign..].find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len() - sign);
        if sign + digits == 0 {
            return Ok(None);
        }
        let number = rest[..sign + digits].parse().map_err(|_| self.wrong("no such number"))?;
        self.at += sign + digits;
        Ok(Some(number))
    }

    /// A text in single or double quotes.
    fn string(&mut self) -> Result<String, Fail> {
        let start = self.at;
        let quote = self.peek().unwrap_or('"');
        self.at += 1;
        let mut text = String::new();
        while let Some(c) = self.peek() {
            self.at += c.len_utf8();
            match c {
                c if c == quote => return Ok(text),
                '\\' => text.push(self.escape()?),
                c => text.push(c),
            }
        }
        Err((start, "the text is not closed".to_owned()))
    }

    fn escape(&mut self) -> Result<char, Fail> {
        let c = self.peek().ok_or_else(|| self.wrong("the text is not closed"))?;
        self.at += c.len_utf8();
        Ok(match c {
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            '\\' | '/' | '\'' | '"' => c,
            'u' => {
                let mut unit = self.unit()?;
                if (0xd800..0xdc00).contains(&unit) && self.take("\\u") {
                    let low = self.unit()?;
                    if !(0xdc00..0xe000).contains(&low) {
                        return Err(self.wrong("no such character"));
                    }
                    unit = 0x1_0000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
                }
                char::from_u32(unit).ok_or_else(|| self.wrong("no such character"))?
            }
            _ => return Err(self.wrong("no such escape")),
        })
    }

    fn unit(&mut self) -> Result<u32, Fail> {
        let digits = self.rest().get(..4).ok_or_else(|| self.wrong("expected four digits"))?;
        let unit = u32::from_str_radix(digits, 16).map_err(|_| self.wrong("expected four digits"))?;
        self.at += 4;
        Ok(unit)
    }

    fn or(&mut self) -> Result<Test, Fail> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(self.wrong("nested too deep"));
        }
        let mut list = vec![self.and()?];
        while self.operator("||") {
            list.push(self.and()?);
        }
        self.depth -= 1;
        Ok(one_or(list, Test::Or))
    }

    fn and(&mut self) -> Result<Test, Fail> {
        let mut list = vec![self.not()?];
        while self.operator("&&") {
            list.push(self.not()?);
        }
        Ok(one_or(list, Test::And))
    }

    fn operator(&mut self, wanted: &str) -> bool {
        self.blanks();
        let found = self.take(wanted);
        self.blanks();
        found
    }

    fn not(&mut self) -> Result<Test, Fail> {
        let mut negated = false;
        while self.operator("!") {
            negated = !negated;
        }
        let test = self.basic(negated)?;
        Ok(if negated { Test::Not(Box::new(test)) } else { test })
    }

    /// Parentheses, a comparison, a query that must find something, or a function that is true.
    fn basic(&mut self, negated: bool) -> Result<Test, Fail> {
        if self.take("(") {
            let test = self.or()?;
            self.expect(")")?;
            return Ok(test);
        }
        let start = self.at;
        let left = match self.operand()? {
            Called::Truth(test) => return Ok(test),
            Called::Value(operand) => operand,
        };
        self.blanks();
        let Some(relation) = self.relation() else {
            return match left {
                Operand::Query(query) => Ok(Test::Exists(query)),
                _ => Err(self.wrong("expected `==`, `!=`, `<`, `<=`, `>` or `>=`")),
            };
        };
        if negated {
            return Err((start, "put the comparison behind `!` into parentheses".to_owned()));
        }
        let left = self.single(left, start)?;
        self.blanks();
        let start = self.at;
        match self.operand()? {
            Called::Value(right) => Ok(Test::Compare(left, relation, self.single(right, start)?)),
            Called::Truth(_) => Err((start, "what is true or false is not compared".to_owned())),
        }
    }

    fn single(&self, operand: Operand, start: usize) -> Result<Operand, Fail> {
        match &operand {
            Operand::Query(query) if !query.is_singular() => {
                Err((start, "what is compared must be one value; use value(…) or count(…)".to_owned()))
            }
            _ => Ok(operand),
        }
    }

    fn relation(&mut self) -> Option<Relation> {
        // Longer signs first.
        let signs = [
            ("==", Relation::Equal),
            ("!=", Relation::Unequal),
            ("<=", Relation::AtMost),
            (">=", Relation::AtLeast),
            ("<", Relation::Less),
            (">", Relation::Greater),
        ];
        signs.into_iter().find(|(sign, _)| self.take(sign)).map(|(_, relation)| relation)
    }

    fn operand(&mut self) -> Result<Called, Fail> {
        let value = |operand| Ok(Called::Value(operand));
        match self.peek() {
            Some('$' | '@') => value(Operand::Query(self.query()?)),
            Some('\'' | '"') => value(Operand::Literal(Value::str(&self.string()?))),
            Some(c) if c == '-' || c.is_ascii_digit() => value(Operand::Literal(self.number()?)),
            _ => {
                for (word, literal) in
                    [("true", Value::Bool(true)), ("false", Value::Bool(false)), ("null", Value::Null)]
                {
                    if self.take(word) {
                        return value(Operand::Literal(literal));
                    }
                }
                self.function()
            }
        }
    }

    fn query(&mut self) -> Result<Query, Fail> {
        let root = self.peek() == Some('$');
        self.at += 1;
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(self.wrong("nested too deep"));
        }
        let segments = self.segments()?;
        self.depth -= 1;
        Ok(Query { root, segments })
    }

    fn number(&mut self) -> Result<Value, Fail> {
        let rest = self.rest();
        let part = |c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.' | 'e' | 'E');
        let digits = &rest[..rest.find(|c| !part(c)).unwrap_or(rest.len())];
        let number: serde_json::Value =
            serde_json::from_str(digits).map_err(|_| self.wrong("no such number"))?;
        self.at += digits.len();
        Ok(Value::from_json(&number))
    }

    fn function(&mut self) -> Result<Called, Fail> {
        let start = self.at;
        let known = ["length", "count", "value", "match", "search"];
        let Some(name) = known.into_iter().find(|name| {
            let rest = self.rest();
            rest.strip_prefix(name).is_some_and(|behind| behind.starts_with('('))
        }) else {
            return Err(
                self.wrong("expected `@`, `$`, a literal, or one of length, count, value, match, search")
            );
        };
        self.at += name.len() + 1;
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(self.wrong("nested too deep"));
        }
        self.blanks();
        let inner = self.at;
        let Called::Value(first) = self.operand()? else {
            return Err((inner, "expected a value".to_owned()));
        };
        let called = match (name, first) {
            ("count", Operand::Query(query)) => Called::Value(Operand::Count(query)),
            ("value", Operand::Query(query)) => Called::Value(Operand::Only(query)),
            ("count" | "value", _) => return Err((inner, "expected a path".to_owned())),
            ("length", first) => Called::Value(Operand::Length(Box::new(self.single(first, inner)?))),
            (_, first) => Called::Truth(self.matching(name, self.single(first, inner)?, start)?),
        };
        self.depth -= 1;
        self.expect(")")?;
        Ok(called)
    }

    /// Behind the first argument of `match` and `search`.
    fn matching(&mut self, name: &str, first: Operand, start: usize) -> Result<Test, Fail> {
        self.expect(",")?;
        self.blanks();
        let Some('\'' | '"') = self.peek() else {
            return Err(self.wrong("expected a pattern in quotes: patterns are constants"));
        };
        let text = self.string()?;
        let text = if name == "match" { format!("^(?:{text})$") } else { text };
        let pattern = Pattern::new(&text).map_err(|why| (start, why))?;
        Ok(Test::Matches(first, pattern))
    }
}

fn one_or(mut list: Vec<Test>, many: fn(Vec<Test>) -> Test) -> Test {
    match (list.len(), list.pop()) {
        (1, Some(only)) => only,
        (_, last) => {
            list.extend(last);
            many(list)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_are_none() {
        let deep = format!("$[?{}@{}]", "(".repeat(200), ")".repeat(200));
        for text in [
            "",
            "a",
            "$.",
            "$..",
            "$[",
            "$[]",
            "$['a",
            "$.a-b",
            "$.1",
            "$[1",
            "$[?]",
            "$[?@.a = 1]",
            "$[?1]",
            "$[?@.* == 1]",
            "$[?count(1) > 1]",
            "$[?length(@.a)]",
            "$[?match(@.a, @.b)]",
            "$[?match(@.a, '(')]",
            "$[99999999999999999999]",
            "$ x",
            "$[?@ == true x]",
            &deep,
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn paths_that_are() {
        for text in [
            "$",
            "$.a",
            "$..a",
            "$..*",
            "$['a']",
            "$[\"a b\", 'c', 1, -1, *]",
            "$[1:3]",
            "$[::-1]",
            "$[:]",
            "$.größe",
            "$[?@.a]",
            "$[?!@.a]",
            "$[?@.a == 1 && (@.b < 2.5e3 || $.x != 'y')]",
            "$[?length(@.a) > 2]",
            "$[?count(@.*) >= 1]",
            "$[?value(@..a) == null]",
            "$ [ 'a' ] .b",
            "$[?match(@.a, 'x.*')]",
            "$[?search(@.a, \"x\")]",
            r"$['\u00e9\ud83d\ude00\'']",
        ] {
            assert!(parse(text).is_ok(), "{text}: {:?}", parse(text));
        }
    }
}
