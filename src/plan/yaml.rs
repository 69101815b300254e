//! YAML (and JSON, which is YAML) as a tree that knows where each part stands, so that all that is
//! wrong with a file can be told at once. Knows nothing of rules.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value as Json;
use serde_saphyr::Spanned;

use crate::model::diagnostic::Place;

/// One node of the tree, with its place in the file.
#[derive(Clone, Debug)]
pub(super) struct Node {
    /// What it holds.
    pub(super) value: Value,
    /// Where it begins; `None` where it came from no file.
    pub(super) at: Option<At>,
}

/// Where a node begins in its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct At {
    /// Line, column and length, in characters.
    pub(super) place: Place,
    /// The same in bytes from the start of the file.
    pub(super) byte: usize,
}

/// What a node holds.
#[derive(Clone, Debug)]
pub(super) enum Value {
    /// Nothing, `null`, `~`.
    Null,
    /// Text.
    Text(String),
    /// A number or a boolean: as it is written in the file, and what it says.
    Plain(String, Json),
    /// A sequence.
    List(Vec<Node>),
    /// A mapping, in the order of the file.
    Map(Vec<(Node, Node)>),
}

/// Reads a whole file.
///
/// # Errors
/// What the YAML is broken by, and where.
pub(super) fn read(text: &str) -> Result<Node, (Place, String)> {
    // The file's bytes are capped by the caller; the counts only have to let such a file pass.
    let options = serde_saphyr::options! {
        with_snippet: false,
        budget: serde_saphyr::budget! {
            max_nodes: 4_000_000,
            max_events: 8_000_000,
            max_recorded_anchor_events: 100_000,
            max_depth: DEPTH,
        },
    };
    let found: Result<Spanned<Value>, _> = serde_saphyr::from_str_with_options(text, options);
    match found {
        Ok(spanned) => {
            let mut node = Node::from(spanned);
            node.spell(text);
            Ok(node)
        }
        Err(e) => {
            let place = e.location().map_or(Place::START, |l| at(&l).place);
            Err((Place { length: 1, ..place }, sentence(&e.to_string())))
        }
    }
}

/// How deep a file may nest. A rule file needs five levels; each one costs kilobytes of stack.
const DEPTH: usize = 12;

/// The parser's message without the place, which the diagnostic tells.
fn sentence(message: &str) -> String {
    if message.contains("Depth {") || message.contains("recursion limit") {
        return "the file nests too deep".to_owned();
    }
    if message.contains("budget breached") {
        return "the file repeats too much with anchors and aliases, or holds too many parts".to_owned();
    }
    // The parser speaks to programmers here.
    for (theirs, ours) in [
        (
            "multiple YAML documents",
            "the file holds several YAML documents, parted by `---`; a rule file is one",
        ),
        ("non-finite float", "a number that is not finite; put it in quotes if a text is meant"),
        ("recursive references", "an anchor holds an alias of itself"),
    ] {
        if message.contains(theirs) {
            return ours.to_owned();
        }
    }
    let line = message.lines().next().unwrap_or("").trim_start_matches("error: ");
    let line = match line.split_once(": ") {
        Some((place, rest)) if place.starts_with("line ") => rest,
        _ => line,
    };
    let line = line.split(", set DuplicateKeyPolicy").next().unwrap_or(line);
    line.rsplit_once(" at line ").map_or(line, |(head, _)| head).to_owned()
}

impl Node {
    /// Gives numbers and booleans the spelling of the file: `5.0` and `yes` are texts in a label.
    fn spell(&mut self, source: &str) {
        match &mut self.value {
            Value::Plain(text, _) => {
                let written = self.at.and_then(|at| source.get(at.byte..).map(|tail| (at, tail)));
                if let Some((at, tail)) = written {
                    *text = tail.chars().take(at.place.length).collect();
                }
            }
            Value::List(list) => list.iter_mut().for_each(|node| node.spell(source)),
            Value::Map(members) => {
                for (key, value) in members {
                    key.spell(source);
                    value.spell(source);
                }
            }
            Value::Null | Value::Text(_) => {}
        }
    }

    /// The text of a scalar.
    pub(super) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) | Value::Plain(text, _) => Some(text),
            _ => None,
        }
    }

    /// What it says, as JSON. Of a mapping's keys that are no texts, nothing.
    pub(super) fn to_json(&self) -> Json {
        match &self.value {
            Value::Null => Json::Null,
            Value::Text(text) => Json::from(text.as_str()),
            Value::Plain(_, json) => json.clone(),
            Value::List(list) => list.iter().map(Self::to_json).collect(),
            Value::Map(members) => {
                let pair = |(key, value): &(Self, Self)| Some((key.text()?.to_owned(), value.to_json()));
                Json::Object(members.iter().filter_map(pair).collect())
            }
        }
    }

    /// Where it begins; the start of the file where nobody knows.
    pub(super) fn place(&self) -> Place {
        self.at.map_or(Place::START, |at| at.place)
    }

    /// A node from JSON, which has no places.
    pub(super) fn from_json(json: serde_json::Value) -> Self {
        let value = match json {
            Json::Null => Value::Null,
            Json::Bool(_) | Json::Number(_) => Value::Plain(json.to_string(), json),
            Json::String(text) => Value::Text(text),
            Json::Array(list) => Value::List(list.into_iter().map(Self::from_json).collect()),
            Json::Object(members) => {
                let pair =
                    |(key, value)| (Self { value: Value::Text(key), at: None }, Self::from_json(value));
                Value::Map(members.into_iter().map(pair).collect())
            }
        };
        Self { value, at: None }
    }
}

fn at(location: &serde_saphyr::Location) -> At {
    let small = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
    let span = location.span();
    At {
        place: Place {
            line: small(location.line()),
            column: small(location.column()),
            length: small(span.len()).max(1),
        },
        byte: small(span.byte_offset().unwrap_or(0)),
    }
}

impl From<Spanned<Value>> for Node {
    fn from(spanned: Spanned<Value>) -> Self {
        Self { value: spanned.value, at: Some(at(&spanned.defined)) }
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Tree)
    }
}

struct Tree;

impl<'de> Visitor<'de> for Tree {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, from: D) -> Result<Value, D::Error> {
        Value::deserialize(from)
    }

    fn visit_bool<E>(self, v: bool) -> Result<Value, E> {
        Ok(Value::Plain(v.to_string(), Json::from(v)))
    }

    fn visit_i64<E>(self, v: i64) -> Result<Value, E> {
        Ok(Value::Plain(v.to_string(), Json::from(v)))
    }

    fn visit_u64<E>(self, v: u64) -> Result<Value, E> {
        Ok(Value::Plain(v.to_string(), Json::from(v)))
    }

    #[expect(clippy::cast_precision_loss, reason = "beyond 64 bits, the nearest FLOAT is what it is")]
    fn visit_i128<E>(self, v: i128) -> Result<Value, E> {
        Ok(Value::Plain(v.to_string(), Json::from(v as f64)))
    }

    #[expect(clippy::cast_precision_loss, reason = "beyond 64 bits, the nearest FLOAT is what it is")]
    fn visit_u128<E>(self, v: u128) -> Result<Value, E> {
        Ok(Value::Plain(v.to_string(), Json::from(v as f64)))
    }

    fn visit_f64<E>(self, v: f64) -> Result<Value, E> {
        Ok(Value::Plain(v.to_string(), Json::from(v)))
    }

    fn visit_str<E>(self, v: &str) -> Result<Value, E> {
        Ok(Value::Text(v.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = seq.next_element::<Spanned<Value>>()? {
            list.push(item.into());
        }
        Ok(Value::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut members = Vec::new();
        while let Some((key, value)) = map.next_entry::<Spanned<Value>, Spanned<Value>>()? {
            members.push((key.into(), value.into()));
        }
        Ok(Value::Map(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scalars_keep_their_spelling_and_place() {
        let Value::Map(members) = read("a: 5.0\nyes: [no, 0x1F, é]\n").unwrap().value else {
            panic!("no mapping")
        };
        assert_eq!(members[0].1.text(), Some("5.0"));
        assert_eq!(members[1].0.text(), Some("yes"));
        let Value::List(list) = &members[1].1.value else { panic!("no list") };
        assert_eq!(list.iter().filter_map(Node::text).collect::<Vec<_>>(), ["no", "0x1F", "é"]);
        assert_eq!(list[2].place(), Place { line: 2, column: 17, length: 1 });
    }

    #[test]
    fn aliases_cannot_grow_a_file_without_bound() {
        let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for i in 1..10 {
            bomb.push_str(&format!("a{i}: &a{i} [{}]\n", vec![format!("*a{}", i - 1); 10].join(", ")));
        }
        let deep = format!("a: {}{}", "{b: ".repeat(1_000), "}".repeat(1_000));
        for (file, message) in [
            (bomb, "repeats too much"),
            ("[".repeat(100_000), "nests too deep"),
            ("- ".repeat(100_000), "nests too deep"),
            (deep, "nests too deep"),
        ] {
            let (_, found) = read(&file).unwrap_err();
            assert!(found.contains(message), "{found}");
        }
    }

    #[test]
    fn broken_files_say_where() {
        for (file, line, message) in [
            ("a: [1, 2\nb: 3", 2, "illegal placement"),
            ("a: 1\na: 2\n", 2, "duplicate mapping key"),
            ("a: *b\n", 1, "anchor"),
            ("a: 1\n---\nb: 2\n", 3, "several YAML documents"),
            ("&a [*a]\n", 1, "alias of itself"),
        ] {
            let (place, found) = read(file).unwrap_err();
            assert_eq!(place.line, line, "{file}: {found}");
            assert!(found.contains(message), "{file}: {found}");
        }
    }
}
