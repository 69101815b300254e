//! JSON by projection: the whole message is validated, but only the members that some stream
//! asks for become values. Never builds a tree of the rest, and never recurses deeper than
//! [`MAX_DEPTH`](super::MAX_DEPTH). The scanner reads what is usual; serde_json reads what it leaves,
//! and has the last word on every mistake.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::elements::Elements;
use super::projection::{Node, Projection};
use super::reject::{Reject, RejectReason};
use super::scan::scan;
use super::{Config, MAX_DEPTH};
use crate::model::value::Value;

/// Reads a message into the elements, in the place of what they hold.
pub(super) fn read(
    text: &str,
    projection: &mut Projection,
    config: &Config,
    elements: &mut Elements,
) -> Result<(), Reject> {
    elements.reset(projection.width);
    if config.scan && scan(text, projection, config.max_rows, elements).is_some() {
        return Ok(());
    }
    elements.reset(projection.width);
    read_carefully(text, projection, config.max_rows, elements)
}

/// The same with serde_json.
#[cold]
fn read_carefully(
    text: &str,
    projection: &Projection,
    max_rows: usize,
    elements: &mut Elements,
) -> Result<(), Reject> {
    check_depth(text.as_bytes())?;
    let mut de = serde_json::Deserializer::from_str(text);
    let read = if text.trim_start().starts_with('[') {
        elements.array = true;
        de.deserialize_seq(Rows { node: &projection.root, max_rows, elements: &mut *elements })
    } else {
        elements.values.resize(projection.width, None);
        Object { node: &projection.root, places: &mut elements.values }
            .deserialize(&mut de)
            .map(|object| elements.objects.push(object))
    };
    match read.and_then(|()| de.end()) {
        Ok(()) if !elements.array && elements.objects == [false] => {
            Err(Reject::new(RejectReason::NotAnObject, "neither an object nor an array of objects"))
        }
        Ok(()) => Ok(()),
        // An array is left as soon as it is too long, so nothing behind that place was looked at.
        Err(_) if elements.len() > max_rows => {
            Err(Reject::new(RejectReason::TooManyRows, format!("more than {max_rows} elements")))
        }
        Err(e) => Err(Reject::new(RejectReason::NotJson, e.to_string())),
    }
}

/// Takes the wanted parts out of a value that is there as a whole.
fn spread(node: &Node, value: &Value, places: &mut [Option<Value>]) {
    for (name, child) in node.children() {
        let Value::Struct(members) = value else { return };
        let Some(part) = members.get(name) else { continue };
        spread(child, part, places);
        if child.wanted {
            places[child.places.start] = Some(part.clone());
        }
    }
}

/// Refuses deep nesting before anything recurses. Counting opening brackets settles almost every
/// message in one vectorised pass; only a message with many of them is walked.
pub(super) fn check_depth(text: &[u8]) -> Result<(), Reject> {
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
        if !self.node.wanted {
            return de.deserialize_any(self);
        }
        let value = Whole.deserialize(de)?;
        spread(self.node, &value, self.places);
        let object = matches!(value, Value::Struct(_));
        self.places[self.node.places.start] = Some(value);
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
