//! The plain part of YAML, read fast: what people and programs write rule files in. Lines of block
//! mappings and sequences, scalars of one kind each, small flow collections. Whatever is out of the
//! ordinary is left to the full reader of [`yaml`](super::yaml), which alone knows what is wrong with a
//! file; what is read here is read as it reads it.

use std::collections::HashMap;

use crate::model::diagnostic::Place;

use super::yaml::{self, At, Node, Value};

/// Deeper than any rule file nests.
const DEEP: usize = 6;

/// Reads a whole file; `None` where it is not plain enough.
#[cfg(test)]
pub(super) fn read(source: &str) -> Option<Node> {
    let mut reader = Reader::new(source)?;
    let root = reader.block(0, 0)?;
    reader.peek().is_none().then_some(root)
}

/// A file that is a mapping, read member by member.
pub(super) struct File<'a> {
    /// Its members but the list.
    pub(super) members: Vec<Member<'a>>,
    /// The list that was asked for, where it is there.
    pub(super) list: Option<List<'a>>,
}

/// A member of a file, or an element of a list, with the part of the file that it was read from.
pub(super) struct Member<'a> {
    /// The key; of an element there is none.
    pub(super) key: Option<Node>,
    /// What it holds.
    pub(super) value: Node,
    /// Where it stands.
    pub(super) part: Part<'a>,
}

/// A part of a file.
#[derive(Clone, Copy)]
pub(super) struct Part<'a> {
    /// Its lines, whole.
    pub(super) text: &'a str,
    /// How many bytes stand before it.
    pub(super) byte: usize,
}

/// A list of a file, of which no element is kept.
#[derive(Clone)]
pub(super) struct List<'a> {
    reader: Reader<'a>,
    indent: usize,
}

impl<'a> Iterator for List<'a> {
    type Item = Member<'a>;

    fn next(&mut self) -> Option<Member<'a>> {
        let from = self.reader.peek()?.byte;
        let (_, value) = self.reader.element(self.indent, 1)??;
        Some(Member { key: None, value, part: self.reader.part(from) })
    }
}

/// Reads a file that is a mapping in block style, in which the member of this name, if it is there, is a
/// list in block style; `None` where it is not, or not plain enough. Each element of the list is looked
/// at once, by `check`; where that says no, there is none either.
pub(super) fn open<'a>(
    source: &'a str,
    name: &str,
    mut check: impl FnMut(&Member<'a>) -> bool,
) -> Option<File<'a>> {
    let mut reader = Reader::new(source)?;
    let mut file = File { members: Vec::new(), list: None };
    let mut names: Vec<String> = Vec::new();
    while let Some(line) = reader.peek() {
        let (key, behind) = reader.key(line, 0)?;
        let text = key.text()?.to_owned();
        if names.contains(&text) {
            return None;
        }
        reader.step(line);
        if text == name {
            let next = reader.peek().filter(|next| behind >= line.text.len() && next.is_element())?;
            file.list = Some(List { indent: next.indent, reader: reader.clone() });
            let mut from = next.byte;
            while let Some((_, value)) = reader.element(next.indent, 1)? {
                if !check(&Member { key: None, value, part: reader.part(from) }) {
                    return None;
                }
                from = reader.peek().map_or(source.len(), |line| line.byte);
            }
        } else {
            let value = reader.value(line, 0, behind, 0)?;
            let part = reader.part(line.byte);
            file.members.push(Member { key: Some(key), value, part });
        }
        names.push(text);
        // What follows has to be the next key.
        if reader.peek().is_some_and(|next| next.indent != 0 || next.is_element()) {
            return None;
        }
    }
    (!names.is_empty()).then_some(file)
}

#[derive(Clone, Copy)]
struct Line<'a> {
    number: usize,
    byte: usize,
    /// How many blanks it begins with.
    indent: usize,
    /// Without the blanks at its end.
    text: &'a str,
    /// How long it is with them.
    length: usize,
    /// Empty, or a comment.
    blank: bool,
}

impl Line<'_> {
    /// Where the next one begins.
    fn next(&self) -> Spot {
        Spot { byte: self.byte + self.length + 1, number: self.number + 1 }
    }

    /// Whether an element of a sequence begins on it.
    fn is_element(&self) -> bool {
        self.text[self.indent..].starts_with("- ")
    }

    /// The place of a byte of the line.
    fn at(&self, byte: usize) -> At {
        let column = self.text[..byte].chars().count() + 1;
        At { place: Place { line: self.number, column, length: 1 }, byte: self.byte + byte }
    }
}

/// Where a line begins.
#[derive(Clone, Copy)]
struct Spot {
    byte: usize,
    number: usize,
}

#[derive(Clone)]
struct Reader<'a> {
    source: &'a str,
    at: Spot,
    /// What plain scalars are that may be something other than text.
    resolved: HashMap<&'a str, Value>,
}

impl<'a> Reader<'a> {
    /// At the beginning of a file; `None` where that is not plain enough.
    fn new(source: &'a str) -> Option<Self> {
        let odd = |c: char| c != '\n' && c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}');
        if source.contains(odd) {
            return None;
        }
        let mut reader = Self { source, at: Spot { byte: 0, number: 1 }, resolved: HashMap::new() };
        (reader.peek()?.indent == 0).then_some(reader)
    }

    /// The line that begins there.
    fn line(&self, Spot { byte, number }: Spot) -> Option<Line<'a>> {
        let rest = self.source.get(byte..)?;
        let text = rest.find('\n').map_or(rest, |end| &rest[..end]);
        let indent = text.len() - text.trim_start_matches(' ').len();
        let shown = text.trim_end_matches(' ');
        let blank = shown.is_empty() || shown[indent..].starts_with('#');
        Some(Line { number, byte, indent, text: shown, length: text.len(), blank })
    }

    /// Goes on behind a line.
    fn step(&mut self, line: Line<'a>) {
        self.at = line.next();
    }

    /// What stands between a byte and the line at hand.
    fn part(&self, from: usize) -> Part<'a> {
        Part { text: self.source.get(from..self.at.byte).unwrap_or(&self.source[from..]), byte: from }
    }

    /// The next line that says something.
    fn peek(&mut self) -> Option<Line<'a>> {
        loop {
            let line = self.line(self.at)?;
            if !line.blank {
                return Some(line);
            }
            self.step(line);
        }
    }

    /// The mapping or sequence whose lines are indented so far.
    fn block(&mut self, indent: usize, depth: usize) -> Option<Node> {
        let line = self.peek()?;
        if depth > DEEP || line.indent != indent {
            return None;
        }
        if line.text[indent..].starts_with("- ") {
            return self.sequence(indent, depth);
        }
        self.mapping(line, indent, depth)
    }

    fn sequence(&mut self, indent: usize, depth: usize) -> Option<Node> {
        let mut list = Vec::new();
        let mut begin = None;
        while let Some((at, node)) = self.element(indent, depth)? {
            begin.get_or_insert(at);
            list.push(node);
        }
        Some(Node { value: Value::List(list), at: begin })
    }

    /// The next element of a sequence of this indentation, and where it begins; none behind the last one.
    fn element(&mut self, indent: usize, depth: usize) -> Option<Option<(At, Node)>> {
        let Some(line) = self.peek().filter(|line| line.indent >= indent) else { return Some(None) };
        let rest = line.text[indent..].strip_prefix("- ");
        let Some(rest) = rest.filter(|_| line.indent == indent) else {
            // A mapping's next key may stand where its sequence stood.
            return (line.indent == indent).then_some(None);
        };
        let at = line.at(indent);
        let start = line.text.len() - rest.trim_start_matches(' ').len();
        if key(&line.text[start..]).is_some() {
            return Some(Some((at, self.mapping(line, start, depth + 1)?)));
        }
        if line.text[start..].starts_with("- ") {
            return None;
        }
        self.step(line);
        Some(Some((at, self.scalar(line, start, indent, depth)?)))
    }

    /// The key of a mapping that stands on a line, this far in, and where what follows it begins.
    fn key(&mut self, line: Line<'a>, indent: usize) -> Option<(Node, usize)> {
        let (name, behind) = key(&line.text[indent..])?;
        let name = Node { value: self.plain(name)?, at: Some(line.at(indent)) };
        matches!(name.value, Value::Text(_)).then_some((name, indent + behind))
    }

    /// A mapping whose first key begins on this line, this far in.
    fn mapping(&mut self, first: Line<'a>, indent: usize, depth: usize) -> Option<Node> {
        let mut members: Vec<(Node, Node)> = Vec::new();
        let mut line = first;
        loop {
            let (name, start) = self.key(line, indent)?;
            if members.iter().any(|(known, _)| known.text() == name.text()) {
                return None;
            }
            self.step(line);
            let value = self.value(line, indent, start, depth)?;
            members.push((name, value));
            match self.peek() {
                Some(next) if next.indent == indent && !next.is_element() => line = next,
                Some(next) if next.indent > indent => return None,
                _ => return Some(Node { value: Value::Map(members), at: Some(first.at(indent)) }),
            }
        }
    }

    /// What follows a key of a mapping of this indentation; it begins on the line, which is behind, or on the
    /// next.
    fn value(&mut self, line: Line<'a>, indent: usize, start: usize, depth: usize) -> Option<Node> {
        if start < line.text.len() {
            let blanks = line.text[start..].len() - line.text[start..].trim_start_matches(' ').len();
            return self.scalar(line, start + blanks, indent, depth);
        }
        match self.peek() {
            Some(next) if next.indent > indent => self.block(next.indent, depth + 1),
            Some(next) if next.indent == indent && next.is_element() => self.sequence(indent, depth + 1),
            _ => Some(Node { value: Value::Null, at: Some(line.at(line.text.len())) }),
        }
    }

    /// What begins on a line, this far in, inside a block of this indentation. The line is behind.
    fn scalar(&mut self, line: Line<'a>, start: usize, indent: usize, depth: usize) -> Option<Node> {
        let text = &line.text[start..];
        let at = Some(line.at(start));
        let deeper = |next: Option<Line<'_>>| next.is_some_and(|next| next.indent > indent);
        let value = match text.bytes().next()? {
            b'|' => return self.literal(text, indent),
            b'\'' | b'"' => {
                let (value, rest) = quoted(text)?;
                if !rest.is_empty() || deeper(self.peek()) {
                    return None;
                }
                Value::Text(value)
            }
            b'{' | b'[' => {
                let mut flow = Flow { reader: self, line, at: start };
                let node = flow.collection(depth + 1)?;
                let end = flow.at;
                if end != line.text.len() || deeper(self.peek()) {
                    return None;
                }
                return Some(node);
            }
            _ => {
                let mut value = self.plain(text)?;
                let mut follows = self.line(self.at);
                while let Some(next) = follows.filter(|next| !next.text.is_empty() && next.indent > indent) {
                    let Value::Text(folded) = &mut value else { return None };
                    let more = &next.text[next.indent..];
                    if more.starts_with('#') || !continues(more) {
                        return None;
                    }
                    folded.push(' ');
                    folded.push_str(more);
                    self.step(next);
                    follows = self.line(self.at);
                }
                if deeper(self.peek()) {
                    return None;
                }
                value
            }
        };
        Some(Node { value, at })
    }

    /// `|` and `|-`: the lines as they stand.
    fn literal(&mut self, header: &str, indent: usize) -> Option<Node> {
        if header != "|" && header != "|-" {
            return None;
        }
        let first = self.line(self.at).filter(|line| !line.text.is_empty())?;
        if first.indent <= indent {
            return None;
        }
        let mut text = String::new();
        loop {
            // A file whose last line does not end has no end of line to keep.
            let line = self.line(self.at)?;
            // Blank lines inside and behind have rules of their own.
            if line.text.is_empty() {
                let mut next = self.line(line.next());
                while let Some(empty) = next.filter(|next| next.text.is_empty()) {
                    next = self.line(empty.next());
                }
                if next.is_some_and(|next| next.indent > indent) {
                    return None;
                }
                break;
            }
            if line.indent <= indent {
                break;
            }
            // Blanks at the end of a line count.
            if line.length != line.text.len() {
                return None;
            }
            text.push_str(line.text.get(first.indent..).filter(|_| line.indent >= first.indent)?);
            text.push('\n');
            self.step(line);
        }
        if header == "|-" {
            text.pop();
        }
        Some(Node { value: Value::Text(text), at: Some(first.at(first.indent)) })
    }

    /// A plain scalar that stands on one line by itself.
    fn plain(&mut self, text: &'a str) -> Option<Value> {
        let first = text.chars().next()?;
        if !(first.is_ascii_alphanumeric() || matches!(first, '_' | '/' | '(')) || !continues(text) {
            return None;
        }
        let word = text.bytes().all(|byte| byte.is_ascii_alphabetic());
        if text.contains(' ') || !first.is_ascii_digit() && !word {
            return Some(Value::Text(text.to_owned()));
        }
        // A number, TRUE, nothing, or only a text: the full reader knows.
        if let Some(known) = self.resolved.get(text) {
            return Some(known.clone());
        }
        let found = match yaml::read(text).ok()?.value {
            Value::Plain(_, json) => Value::Plain(text.to_owned(), json),
            Value::Text(found) if found == text => Value::Text(found),
            _ => return None,
        };
        self.resolved.insert(text, found.clone());
        Some(found)
    }
}

/// Whether a part of a plain scalar holds nothing that would end it.
fn continues(text: &str) -> bool {
    !text.contains(": ") && !text.contains(" #") && !text.ends_with(':') && !text.starts_with("- ")
}

/// A key at the beginning of a line, and where what follows its colon begins.
fn key(text: &str) -> Option<(&str, usize)> {
    let length = text.bytes().position(|b| !(b.is_ascii_alphanumeric() || b == b'_' || b == b'-'))?;
    let (name, rest) = text.split_at(length);
    let first = name.bytes().next()?;
    (first.is_ascii_alphabetic() && (rest == ":" || rest.starts_with(": "))).then_some((name, length + 1))
}

/// A scalar in quotes, and what stands behind it.
fn quoted(text: &str) -> Option<(String, &str)> {
    if let Some(inner) = text.strip_prefix('"') {
        let end = inner.find('"')?;
        let value = &inner[..end];
        return (!value.contains('\\')).then(|| (value.to_owned(), &inner[end + 1..]));
    }
    let mut rest = text.strip_prefix('\'')?;
    let mut value = String::new();
    loop {
        let end = rest.find('\'')?;
        value.push_str(&rest[..end]);
        rest = &rest[end + 1..];
        match rest.strip_prefix('\'') {
            Some(behind) => {
                value.push('\'');
                rest = behind;
            }
            None => return Some((value, rest)),
        }
    }
}

/// A flow collection on one line.
struct Flow<'r, 'a> {
    reader: &'r mut Reader<'a>,
    line: Line<'a>,
    at: usize,
}

impl<'a> Flow<'_, 'a> {
    fn rest(&self) -> &'a str {
        &self.line.text[self.at..]
    }

    fn skip(&mut self) {
        self.at += self.rest().len() - self.rest().trim_start_matches(' ').len();
    }

    fn take(&mut self, mark: char) -> bool {
        let found = self.rest().starts_with(mark);
        self.at += usize::from(found);
        found
    }

    fn collection(&mut self, depth: usize) -> Option<Node> {
        let at = Some(self.line.at(self.at));
        let map = self.take('{');
        if depth > DEEP || !map && !self.take('[') {
            return None;
        }
        let end = if map { '}' } else { ']' };
        let (mut list, mut members): (Vec<Node>, Vec<(Node, Node)>) = (Vec::new(), Vec::new());
        self.skip();
        if !self.take(end) {
            loop {
                if map {
                    let key = self.scalar()?;
                    if !self.take(':') || !self.take(' ') {
                        return None;
                    }
                    self.skip();
                    let name = key.text().filter(|_| matches!(key.value, Value::Text(_)))?;
                    if members.iter().any(|(known, _)| known.text() == Some(name)) {
                        return None;
                    }
                    let value = self.value(depth)?;
                    members.push((key, value));
                } else {
                    list.push(self.value(depth)?);
                }
                self.skip();
                if self.take(end) {
                    break;
                }
                if !self.take(',') || !self.take(' ') {
                    return None;
                }
                self.skip();
            }
        }
        Some(Node { value: if map { Value::Map(members) } else { Value::List(list) }, at })
    }

    fn value(&mut self, depth: usize) -> Option<Node> {
        match self.rest().bytes().next()? {
            b'{' | b'[' => self.collection(depth + 1),
            _ => self.scalar(),
        }
    }

    fn scalar(&mut self) -> Option<Node> {
        let (text, at) = (self.rest(), Some(self.line.at(self.at)));
        if text.starts_with(['\'', '"']) {
            let (value, rest) = quoted(text)?;
            self.at += text.len() - rest.len();
            return Some(Node { value: Value::Text(value), at });
        }
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b'/' | b' ');
        let plain = &text[..text.bytes().position(|b| !allowed(b))?];
        let plain = plain.trim_end_matches(' ');
        self.at += plain.len();
        Some(Node { value: self.reader.plain(plain)?, at })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same tree, and for scalars the same places.
    fn alike(fast: &Node, full: &Node) -> Result<(), String> {
        let differ = || Err(format!("{fast:?}\n{full:?}"));
        let spot = |node: &Node| node.at.map(|at| (at.place.line, at.place.column, at.byte));
        match (&fast.value, &full.value) {
            (Value::Null, Value::Null) => Ok(()),
            (Value::Text(a), Value::Text(b)) if a == b && spot(fast) == spot(full) => Ok(()),
            (Value::Plain(a, x), Value::Plain(b, y)) if a == b && x == y && spot(fast) == spot(full) => {
                Ok(())
            }
            (Value::List(a), Value::List(b)) if a.len() == b.len() => {
                a.iter().zip(b).try_for_each(|(a, b)| alike(a, b))
            }
            (Value::Map(a), Value::Map(b)) if a.len() == b.len() => {
                a.iter().zip(b).try_for_each(|((k, v), (l, w))| alike(k, l).and(alike(v, w)))
            }
            _ => differ(),
        }
    }

    /// What is read member by member is what is read whole.
    #[track_caller]
    fn check_members(text: &str) {
        let mut shown = 0;
        let Some(file) = open(text, "rules", |_| {
            shown += 1;
            true
        }) else {
            return;
        };
        let Value::Map(full) = yaml::read(text).unwrap().value else { panic!("no mapping: {text}") };
        let listed: Vec<_> = file.list.into_iter().flatten().collect();
        assert_eq!(listed.len(), shown, "{text}");
        let (lists, members): (Vec<_>, Vec<_>) =
            full.iter().partition(|(key, _)| key.text() == Some("rules"));
        let list = lists.first().map_or(&[][..], |(_, list)| match &list.value {
            Value::List(list) => list,
            other => panic!("{other:?}: {text}"),
        });
        let wanted = members.into_iter().map(|(_, value)| value).chain(list);
        let found = || file.members.iter().chain(&listed);
        assert_eq!(found().count(), wanted.clone().count(), "{text}");
        for (member, wanted) in found().zip(wanted) {
            alike(&member.value, wanted).unwrap_or_else(|why| panic!("{text}\n{why}"));
            let Part { text: part, byte } = member.part;
            assert_eq!(text.get(byte..byte + part.len()), Some(part));
            let at = member.value.at.unwrap().byte;
            assert!((byte..=byte + part.len()).contains(&at), "{text}");
        }
    }

    #[track_caller]
    fn check(file: &str) -> bool {
        check_members(file);
        let Some(fast) = read(file) else { return false };
        let full = yaml::read(file).unwrap_or_else(|e| panic!("{e:?}: {file}\n{fast:?}"));
        alike(&fast, &full).unwrap_or_else(|why| panic!("{file}\n{why}"));
        true
    }

    #[test]
    fn what_is_plain_is_read_as_the_full_reader_reads_it() {
        for file in [
            "a: b\n",
            "a: b",
            "streams:\n  - CREATE STREAM s (v FLOAT) WITH (DATASOURCE='t')\nrules:\n- id: a-1\n  sql: SELECT a\n\n  # why\n  when: a > 61.5\n  for: 5m\n",
            "rules:\n  - id: x\n    labels: {team: cooling, n: 5, t: 'a b', yes_: \"x, y\"}\n    key: [a, b.c, 'd']\n    annotations:\n      summary: '{{ a }} is ''it'' °C'\n      é: x\n",
            "rules:\n  - id: x\n    sql: |\n      SELECT a\n        FROM b\n    when: |-\n      a\n    empty:\n    severity: true\n    n: 5.0\n    m: 0x1F\n    o: 1e5\n    p: null\n",
            "a: b\n   c\n   d\ne: []\nf: {}\n",
            "a:\n- b\n- c\nd:\n  - e: 1\n    f:\n      g: h\n  - {x: y}\n",
            "- CREATE STREAM s\n    WITH (x)\n- b\n",
            "a: 'b' \nc:  d  e\n",
            "a: 5\n  b\n",
        ] {
            assert!(
                check(file) || !file.is_ascii() || file.contains("null") || file.contains("5\n  b"),
                "{file}"
            );
        }
    }

    #[test]
    fn what_is_not_plain_is_left_to_the_full_reader() {
        for file in [
            "a: &x b\n",
            "a: *x\n",
            "a: !!str b\n",
            "a: b # c\n",
            "a: b: c\n",
            "a: >-\n  b\n",
            "---\na: b\n",
            "a: \"\\n\"\n",
            "a: 'b\n  c'\n",
            "a: b\na: c\n",
            "\ta: b\n",
            "a: |\n  b\n\n  c\n",
            "a: |2\n  b\n",
            "? a\n: b\n",
            "a: {b}\n",
            "a: [b,\n  c]\n",
            "a: b\r\n",
            "a: {b: 1, b: 2}\n",
            "a:\n  b\n",
            " a: b\n",
            "a: - b\n",
            "- - b\n",
            "a: b\n  # c\n  d\n",
            "~: a\n",
            "a: @b\n",
        ] {
            assert!(read(file).is_none(), "{file}: {:?}", read(file));
        }
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(2_000))]

        /// Pieces of YAML in any order: what is read here, the full reader reads likewise.
        #[test]
        fn no_two_readings(parts in proptest::collection::vec(
            proptest::sample::select(vec![
                "a: ", "b:", "rules:\n", "rules:\n  - ", "key: ", "- ", "\n", "\n", "\n  ", "\n    ", "\n", " ", "x", "5", "true", "no", "'q'", "\"d\"", "'", "{", "}",
                "[", "]", ", ", "|\n", "|-\n", "  ", "# c", "> 5", "x = 'd1'", "é", "0x1", "5m", "-", ":", "a.b", "/", "(", "~", "null",
            ]), 1..24,
        )) {
            check(&parts.concat());
        }
    }
}
