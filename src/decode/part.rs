//! A wanted value as the scanner leaves it: a few bytes, with text still in the payload. What a column
//! makes of it is what it makes of the value, without a copy where that can be spared.

use super::texts::Texts;
use crate::model::cast;
use crate::model::coerce;
use crate::model::fit::{self, Misfit};
use crate::model::stream::Field;
use crate::model::value::{DataType, Value};

/// One value.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) enum Part {
    /// The message does not have it.
    #[default]
    Absent,
    /// An object or array that was looked through.
    Inside,
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// Another number; finite.
    Float(f64),
    /// The text between these bytes of the payload.
    Text(u32, u32),
}

impl Part {
    /// The value; NULL where there is none.
    pub(super) fn value(self, payload: &str, texts: &mut Texts) -> Value {
        match self {
            Self::Absent | Self::Inside | Self::Null => Value::Null,
            Self::Bool(b) => Value::Bool(b),
            Self::Int(i) => Value::Int(i),
            Self::Float(x) => Value::Float(x),
            Self::Text(from, to) => texts.value(text(payload, from, to)),
        }
    }

    /// Puts the value of a column in its slot: what [`fit::fit`] says of it, or where the stream is not
    /// strict, [`cast::cast`]. Puts nothing and says no where the message does not have it.
    #[inline]
    pub(super) fn fit(
        &self,
        field: &Field,
        strict: bool,
        payload: &str,
        texts: &mut Texts,
        slot: &mut Value,
    ) -> Result<bool, Misfit> {
        // Each arm takes from its place what it needs and puts the value in its place itself: what was just
        // written in parts, the processor is slow to copy as a whole.
        match (&field.ty, self) {
            (_, Self::Absent) => return Ok(false),
            (_, Self::Null) => *slot = Value::Null,
            (DataType::Float | DataType::Any, Self::Float(x)) => *slot = Value::Float(*x),
            #[expect(clippy::cast_precision_loss, reason = "the column asks for a float")]
            (DataType::Float, Self::Int(i)) => *slot = Value::Float(*i as f64),
            (DataType::Bigint | DataType::Any, Self::Int(i)) => *slot = Value::Int(*i),
            (DataType::Boolean | DataType::Any, Self::Bool(b)) => *slot = Value::Bool(*b),
            (DataType::String | DataType::Any, Self::Text(from, to)) => {
                *slot = Value::Str(texts.share(text(payload, *from, *to)));
            }
            (DataType::Datetime, Self::Text(from, to)) => {
                match coerce::timestamp_in(text(payload, *from, *to), field.unit) {
                    Some(at) => *slot = Value::Time(at),
                    None => return self.put_other(field, strict, payload, texts, slot),
                }
            }
            _ => return self.put_other(field, strict, payload, texts, slot),
        }
        Ok(true)
    }

    #[cold]
    fn put_other(
        self,
        field: &Field,
        strict: bool,
        payload: &str,
        texts: &mut Texts,
        slot: &mut Value,
    ) -> Result<bool, Misfit> {
        let value = self.value(payload, texts);
        *slot = match strict {
            true => fit::fit(&value, &field.ty, field.unit)?,
            false => cast::cast(&value, &field.ty, field.unit),
        };
        Ok(true)
    }
}

fn text(payload: &str, from: u32, to: u32) -> &str {
    payload.get(from as usize..to as usize).unwrap_or_default()
}
