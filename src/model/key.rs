//! The key of an alert: the values that its labels are made of, and when two of them are the same to everybody
//! upstream.

use std::fmt::{self, Write};
use std::hash::Hasher;
use std::ops::Deref;
use std::sync::Arc;

use super::fold::{Fold, fold};
use super::label::as_label;
use super::value::Value;

/// The values of a rule's key columns. Most often it is one, which takes no memory of its own.
#[derive(Clone, PartialEq)]
pub struct Key(Held);

#[derive(Clone, PartialEq)]
enum Held {
    One(Value),
    Many(Box<[Value]>),
}

impl Key {
    /// A key of one value.
    #[inline]
    pub const fn one(value: Value) -> Self {
        Self(Held::One(value))
    }

    /// A key as its labels say it: text, and NULL where there is no label. Alerts are told apart by it, as
    /// everybody upstream tells them.
    pub fn of_labels(key: &[Value]) -> Self {
        let label = |value: &Value| match value {
            Value::Str(text) if !text.is_empty() => Value::Str(text.clone()),
            other => match as_label(other) {
                text if text.is_empty() => Value::Null,
                text => Value::str(&text),
            },
        };
        key.iter().map(label).collect()
    }
}

/// The key without values.
impl Default for Key {
    fn default() -> Self {
        Self(Held::Many(Box::default()))
    }
}

impl Deref for Key {
    type Target = [Value];

    #[inline]
    fn deref(&self) -> &[Value] {
        match &self.0 {
            Held::One(value) => std::slice::from_ref(value),
            Held::Many(values) => values,
        }
    }
}

impl FromIterator<Value> for Key {
    fn from_iter<I: IntoIterator<Item = Value>>(values: I) -> Self {
        let mut values = values.into_iter();
        match (values.next(), values.next()) {
            (None, _) => Self::default(),
            (Some(only), None) => Self::one(only),
            (Some(first), Some(second)) => {
                Self(Held::Many([first, second].into_iter().chain(values).collect()))
            }
        }
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// The hash of a key as its labels say it.
#[inline]
pub fn label_hash(key: &[Value]) -> u64 {
    match key {
        [Value::Str(text)] => fold(text.as_bytes()),
        [only] => with_label(only, |label| fold(label.as_bytes())),
        _ => {
            let mut hasher = Fold::default();
            for value in key {
                hasher.write_u64(with_label(value, |label| fold(label.as_bytes())));
            }
            hasher.finish()
        }
    }
}

/// Whether labels say the same of both keys. Texts that are one and the same are not read.
#[inline]
pub fn same_labels(a: &[Value], b: &[Value]) -> bool {
    let same = |a: &Value, b: &Value| match (a, b) {
        (Value::Str(a), Value::Str(b)) => Arc::ptr_eq(a, b) || a == b,
        _ => as_label(a) == as_label(b),
    };
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
}

/// Gives what a label says of a value: the same as [`as_label`], without memory of its own where that is short.
pub fn with_label<T>(value: &Value, give: impl FnOnce(&str) -> T) -> T {
    match value {
        Value::Null => give(""),
        Value::Str(text) => give(text),
        other => {
            let mut line = Line { bytes: [0; 64], len: 0 };
            let written = write!(line, "{other}").is_ok();
            match str::from_utf8(line.bytes.get(..line.len).unwrap_or_default()) {
                Ok(text) if written => give(text),
                _ => give(&as_label(other)),
            }
        }
    }
}

/// A short text on the stack. What is longer is an error.
struct Line {
    bytes: [u8; 64],
    len: usize,
}

impl Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.len + text.len();
        let place = self.bytes.get_mut(self.len..end).ok_or(fmt::Error)?;
        place.copy_from_slice(text.as_bytes());
        self.len = end;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_the_same_where_labels_are() {
        let long = "x".repeat(200);
        for (key, other, same) in [
            (vec![Value::Int(1)], vec![Value::str("1")], true),
            (vec![Value::Float(1.5)], vec![Value::str("1.5")], true),
            (vec![Value::Null], vec![Value::str("")], true),
            (vec![Value::Bool(true), Value::str("a")], vec![Value::str("true"), Value::str("a")], true),
            (
                vec![Value::Array([Value::str(&long)].into())],
                vec![Value::str(&format!("[\"{long}\"]"))],
                true,
            ),
            (vec![Value::Int(1)], vec![Value::Int(2)], false),
            (vec![Value::Int(1)], vec![Value::Int(1), Value::Null], false),
        ] {
            let label = |value: &Value| as_label(value).into_owned();
            assert_eq!(key.iter().map(label).eq(other.iter().map(label)), same, "{key:?} {other:?}");
            assert_eq!(same_labels(&key, &other), same, "{key:?} {other:?}");
            assert_eq!(label_hash(&key) == label_hash(&other), same, "{key:?} {other:?}");
            assert_eq!(Key::of_labels(&key) == Key::of_labels(&other), same, "{key:?} {other:?}");
            assert_eq!(*key.iter().cloned().collect::<Key>(), *key);
        }
        assert!(Key::default().is_empty() && [].into_iter().collect::<Key>() == Key::default());
        assert_eq!(size_of::<Key>(), size_of::<Value>());
    }
}
