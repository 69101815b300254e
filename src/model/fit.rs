//! A value as the type of its column, or the reason why it does not fit: for payloads, for the rows
//! of tables, for the defaults of columns. NULL fits every type. Must never convert beyond its doc.

use std::fmt::{self, Write as _};
use std::sync::Arc;

use super::coerce;
use super::stream::TimeUnit;
use super::value::{DataType, Value};

/// How much of a value a refusal shows, in characters.
const SHOWN: usize = 64;

/// Why a value does not fit its column, for a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Misfit {
    /// It is of another type.
    Type(String),
    /// It stands for no point in time.
    Time(String),
}

impl Misfit {
    /// The reason, as in ``STRING `abc` is no FLOAT``.
    pub fn detail(&self) -> &str {
        match self {
            Self::Type(detail) | Self::Time(detail) => detail,
        }
    }
}

/// The JSON value as the column's type. Types are taken at their word: text is no number, a
/// number no BOOLEAN, and a BIGINT has no fraction.
///
/// # Errors
/// What the value is, and what it is not.
pub fn fit(value: &Value, ty: &DataType, unit: TimeUnit) -> Result<Value, Misfit> {
    match (ty, value) {
        (DataType::Any, _) | (_, Value::Null) => Ok(value.clone()),
        (DataType::Bigint, Value::Int(_))
        | (DataType::Float, Value::Float(_))
        | (DataType::String, Value::Str(_))
        | (DataType::Boolean, Value::Bool(_)) => Ok(value.clone()),
        (DataType::Bigint, Value::Float(x)) => {
            coerce::whole(*x).map(Value::Int).ok_or_else(|| misfit(value, ty))
        }
        #[expect(clippy::cast_precision_loss, reason = "the column asks for a float")]
        (DataType::Float, Value::Int(i)) => Ok(Value::Float(*i as f64)),
        (DataType::Datetime, _) => time(value, unit),
        (DataType::Bytea, Value::Str(text)) => Ok(Value::Bytes(text.as_bytes().into())),
        (DataType::Array(of), Value::Array(items)) => {
            let items: Result<Vec<Value>, Misfit> = items.iter().map(|item| fit(item, of, unit)).collect();
            Ok(Value::Array(items?.into()))
        }
        (DataType::Struct(members), Value::Struct(given)) => members
            .iter()
            .map(|(name, of)| {
                let value = given.get(name.as_str()).unwrap_or(&Value::Null);
                Ok((name.as_str().into(), fit(value, of, unit)?))
            })
            .collect::<Result<_, Misfit>>()
            .map(|members| Value::Struct(Arc::new(members))),
        _ => Err(misfit(value, ty)),
    }
}

/// Bare text (a scalar payload, a capture of the topic) as the column's type.
///
/// # Errors
/// As [`fit`].
pub fn fit_text(text: &str, ty: &DataType, unit: TimeUnit) -> Result<Value, Misfit> {
    let value = match ty {
        DataType::String => Some(Value::str(text)),
        DataType::Float => coerce::float(text).map(Value::Float),
        DataType::Bigint => coerce::integer(text).map(Value::Int),
        DataType::Boolean => coerce::boolean(text).map(Value::Bool),
        DataType::Bytea => Some(Value::Bytes(text.as_bytes().into())),
        DataType::Datetime => return time(&Value::str(text), unit),
        DataType::Any | DataType::Array(_) | DataType::Struct(_) => None,
    };
    value.ok_or_else(|| misfit(&Value::str(text), ty))
}

fn time(value: &Value, unit: TimeUnit) -> Result<Value, Misfit> {
    coerce::timestamp(value, unit).map(Value::Time).ok_or_else(|| {
        let asked = match unit {
            TimeUnit::Auto => "time",
            TimeUnit::Seconds => "time in seconds",
            TimeUnit::Millis => "time in milliseconds",
            TimeUnit::Micros => "time in microseconds",
            TimeUnit::Nanos => "time in nanoseconds",
            TimeUnit::Rfc3339 => "time in RFC 3339",
            TimeUnit::Pattern(_) => "time as TIMESTAMP_FORMAT says",
        };
        Misfit::Time(format!("{} is no {asked}", shown(value)))
    })
}

fn misfit(value: &Value, ty: &DataType) -> Misfit {
    Misfit::Type(format!("{} is no {ty}", shown(value)))
}

/// A value's type and how it begins, for a person.
pub fn shown(value: &Value) -> String {
    let mut head = Head { text: String::new(), left: SHOWN };
    // The error says that the text is full, and spares writing out the rest of a long value.
    if write!(head, "{value}").is_err() {
        head.text.push('…');
    }
    format!("{} `{}`", value.kind(), head.text)
}

/// The beginning of a text: takes so many characters, and fails at the next.
struct Head {
    text: String,
    left: usize,
}

impl fmt::Write for Head {
    fn write_str(&mut self, more: &str) -> fmt::Result {
        for c in more.chars() {
            self.left = self.left.checked_sub(1).ok_or(fmt::Error)?;
            self.text.push(c);
        }
        Ok(())
    }
}
