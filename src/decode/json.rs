//! JSON by projection: the whole message is validated, but only the members that some stream
//! asks for become values. Never builds a tree of the rest, and never recurses deeper than
//! [`MAX_DEPTH`](super::MAX_DEPTH).

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::MAX_DEPTH;
use super::reject::{Reject, RejectReason};
use crate::model::value::Value;

/// Which paths of a message are wanted, as a tree of member names.
#[derive(Debug, Default)]
pub(super) struct Projection {
    root: Node,
    width: usize,
}

#[derive(Debug, Default)]
struct Node {
    /// Where the value itself goes, if it is wanted as a whole.
    whole: Option<usize>,
    /// Wanted members, sorted by name.
    children: Vec<(Arc<str>, Node)>,
    /// The places of this node and everything below it.
    places: Range<usize>,
}

impl Projection {
    /// The projection onto these paths. Equal paths share a place.
    pub(super) fn new<'p>(paths: impl IntoIterator<Item = &'p [Arc<str>]>) -> Self {
        let mut root = Node::default();
        for path in paths {
            let mut node = &mut root;
            for name in path {
                let at = match node.children.binary_search_by(|(n, _)| n.cmp(name)) {
                    Ok(at) => at,
                    Err(at) => {
                        node.children.insert(at, (name.clone(), Node::default()));
                        at
                    }
                };
                node = &mut node.children[at].1;
            }
            node.whole = Some(0);
        }
        let width = root.number(0);
        Self { root, width }
    }

    /// Where the value of a path that was asked for lies in an element.
    pub(super) fn place(&self, path: &[Arc<str>]) -> Option<usize> {
        path.iter().try_fold(&self.root, |node, name| node.child(name)).and_then(|node| node.whole)
    }
}

impl Node {
    /// Numbers the places depth first, so that what lies below a node is one range.
    fn number(&mut self, start: usize) -> usize {
        let mut next = start;
        if let Some(place) = &mut self.whole {
            *place = next;
            next += 1;
        }
        for (_, child) in &mut self.children {
            next = child.number(next);
        }
        self.places = start..next;
        next
    }

    fn child(&self, name: &str) -> Option<&Self> {
        self.children.binary_search_by(|(n, _)| n.as_ref().cmp(name)).ok().map(|at| &self.children[at].1)
    }

    /// Takes the wanted parts out of a value that is there as a whole.
    fn spread(&self, value: &Value, places: &mut [Option<Value>]) {
        for (name, child) in &self.children {
            let Value::Struct(members) = value else { return };
            let Some(part) = members.get(name) else { continue };
            child.spread(part, places);
            if let Some(place) = child.whole {
                places[place] = Some(part.clone());
            }
        }
    }
}

/// A message's wanted values, element by element.
#[derive(Debug, Default)]
pub(super) struct Elements {
    width: usize,
    /// `None` where the message does not have it.
    values: Vec<Option<Value>>,
    /// For each element whether it is an object.
    objects: Vec<bool>,
    /// Whether the message is an array; else it is its only element.
    pub(super) array: bool,
}

impl Elements {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.objects.len()
    }

    /// The values of one element by place, `None` where it is no object. A value is `None` where the
    /// element does not have it.
    pub(super) fn get(&self, element: usize) -> Option<&[Option<Value>]> {
        let from = element * self.width;
        self.objects[element].then(|| &self.values[from..from + self.width])
    }
}

/// Reads a message.
pub(super) fn read(text: &str, projection: &Projection, max_rows: usize) -> Result<Elements, Reject> {
    check_depth(text.as_bytes())?;
    let mut elements = Elements { width: projection.width, ..Elements::default() };
    let mut de = serde_json::Deserializer::from_str(text);
    let read = if text.trim_start().starts_with('[') {
        elements.array = true;
        de.deserialize_seq(Rows { node: &projection.root, max_rows, elements: &mut elements })
    } else {
        elements.values = vec![None; projection.width];
        Object { node: &projection.root, places: &mut elements.values }
            .deserialize(&mut de)
            .map(|object| elements.objects.push(object))
    };
    match read.and_then(|()| de.end()) {
        Ok(()) if !elements.array && elements.objects == [false] => {
            Err(Reject::new(RejectReason::NotAnObject, "neither an object nor an array of objects"))
        }
        Ok(()) => Ok(elements),
        // An array is left as soon as it is too long, so nothing behind that place was looked at.
        Err(_) if elements.len() > max_rows => {
            Err(Reject::new(RejectReason::TooManyRows, format!("more than {max_rows} elements")))
        }
        Err(e) => Err(Reject::new(RejectReason::NotJson, e.to_string())),
    }
}

/// Refuses deep nesting before anything recurses. Counting opening brackets settles almost every
/// message in one vectorised pass; only a message with many of them is walked.
fn check_depth(text: &[u8]) -> Result<(), Reject> {
    let opens = |b: &&u8| matches!(b, b'[' | b'{');
    if text.iter().filter(opens).count() <= MAX_DEPTH {
        return Ok(());
    }
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for byte in text {
        if in_string {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_string = false,
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > MAX_DEPTH {
            return Err(Reject::new(
                RejectReason::TooDeep,
                format!("nested more than {MAX_DEPTH} levels deep"),
            ));
        }
    }
    Ok(())
}

/// An array of elements.
struct Rows<'a> {
    node: &'a Node,
    max_rows: usize,
    elements: &'a mut Elements,
}

impl<'de> Visitor<'de> for Rows<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of objects")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let Elements { width, values, objects, .. } = self.elements;
        loop {
            let from = values.len();
            values.resize(from + *width, None);
            let seed = Object { node: self.node, places: &mut values[from..] };
            let Some(object) = seq.next_element_seed(seed)? else { return Ok(()) };
            objects.push(object);
            if objects.len() > self.max_rows {
                return Err(A::Error::custom("too many elements"));
            }
        }
    }
}

/// The wanted parts of one value. Says whether it is an object; what is none is passed over.
struct Object<'a> {
    node: &'a Node,
    /// The places of the whole element; a node knows its own among them.
    places: &'a mut [Option<Value>],
}

impl<'de> DeserializeSeed<'de> for Object<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, de: D) -> Result<bool, D::Error> {
        let Some(place) = self.node.whole else { return de.deserialize_any(self) };
        let value = Whole.deserialize(de)?;
        self.node.spread(&value, self.places);
        let object = matches!(value, Value::Struct(_));
        self.places[place] = Some(value);
        Ok(object)
    }
}

impl<'de> Visitor<'de> for Object<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<bool, A::Error> {
        while let Some(child) = map.next_key_seed(Name(self.node))? {
            match child {
                Some(node) => {
                    // The last of two equal names wins, with everything below it.
                    self.places[node.places.clone()].fill(None);
                    map.next_value_seed(Object { node, places: &mut *self.places })?;
                }
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(true)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<bool, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(false)
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_unit<E: Error>(self) -> Result<bool, E> {
        Ok(false)
    }
}

/// A member's name, looked up without a copy of it.
struct Name<'a>(&'a Node);

impl<'de, 'a> DeserializeSeed<'de> for Name<'a> {
    type Value = Option<&'a Node>;

    fn deserialize<D: Deserializer<'de>>(self, de: D) -> Result<Self::Value, D::Error> {
        de.deserialize_str(self)
    }
}

impl<'a> Visitor<'_> for Name<'a> {
    type Value = Option<&'a Node>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a member's name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.0.child(name))
    }
}

/// A wanted value with everything in it.
struct Whole;

impl<'de> DeserializeSeed<'de> for Whole {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, de: D) -> Result<Value, D::Error> {
        de.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Whole {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Int(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        #[expect(clippy::cast_precision_loss, reason = "beyond BIGINT, the nearest FLOAT is what it is")]
        Ok(i64::try_from(value).map_or(Value::Float(value as f64), Value::Int))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Ok(Value::float(value))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(Value::str(value))
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element_seed(Self)? {
            items.push(item);
        }
        Ok(Value::Array(items.into()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut members = BTreeMap::new();
        while let Some(name) = map.next_key::<Arc<str>>()? {
            members.insert(name, map.next_value_seed(Self)?);
        }
        Ok(Value::Struct(Arc::new(members)))
    }
}
