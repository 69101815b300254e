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

    /// Puts the value of a column behind the others of a row: what [`fit::fit`] says of it, or where the
    /// stream is not strict, [`cast::cast`]. Puts nothing and says no where the message does not have it.
    #[inline]
    pub(super) fn fit(
        self,
        field: &Field,
        strict: bool,
        payload: &str,
        texts: &mut Texts,
        slots: &mut Vec<Value>,
    ) -> Result<bool, Misfit> {
        // Each arm puts its value in its place itself: a value that is handed on is copied.
        match (&field.ty, self) {
            (_, Self::Absent) => return Ok(false),
            (_, Self::Null) => slots.push(Value::Null),
            (DataType::Float | DataType::Any, Self::Float(x)) => slots.push(Value::Float(x)),
            #[expect(clippy::cast_precision_loss, reason = "the column asks for a float")]
            (DataType::Float, Self::Int(i)) => slots.push(Value::Float(i as f64)),
            (DataType::Bigint | DataType::Any, Self::Int(i)) => slots.push(Value::Int(i)),
            (DataType::Boolean | DataType::Any, Self::Bool(b)) => slots.push(Value::Bool(b)),
            (DataType::String | DataType::Any, Self::Text(from, to)) => {
                slots.push(Value::Str(texts.share(text(payload, from, to))));
            }
            (DataType::Datetime, Self::Text(from, to)) => {
                match coerce::timestamp_in(text(payload, from, to), field.unit) {
                    Some(at) => slots.push(Value::Time(at)),
                    None => slots.push(self.fit_value(field, strict, payload, texts)?),
                }
            }
            _ => slots.push(self.fit_value(field, strict, payload, texts)?),
        }
        Ok(true)
    }

    #[cold]
    fn fit_value(
        self,
        field: &Field,
        strict: bool,
        payload: &str,
        texts: &mut Texts,
    ) -> Result<Value, Misfit> {
        let value = self.value(payload, texts);
        match strict {
            true => fit::fit(&value, &field.ty, field.unit),
            false => Ok(cast::cast(&value, &field.ty, field.unit)),
        }
    }
}

fn text(payload: &str, from: u32, to: u32) -> &str {
    payload.get(from as usize..to as usize).unwrap_or_default()
}
