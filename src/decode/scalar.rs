//! A payload that is one value: `23.5`, `ON`, `"text"`. Must never look for structure in it.

use std::borrow::Cow;

use super::texts::Texts;
use crate::model::cast;
use crate::model::coerce;
use crate::model::fit::Misfit;
use crate::model::stream::TimeUnit;
use crate::model::value::{DataType, Value};

/// The text of a scalar payload, blanks trimmed and JSON quotes taken off.
pub(super) struct Scalar<'p> {
    text: Cow<'p, str>,
    quoted: bool,
}

impl<'p> Scalar<'p> {
    /// Reads the payload. What looks quoted but is no JSON string is plain text.
    pub(super) fn read(payload: &'p str) -> Self {
        let text = payload.trim();
        if text.starts_with('"')
            && let Ok(inner) = serde_json::from_str::<String>(text)
        {
            return Self { text: Cow::Owned(inner), quoted: true };
        }
        Self { text: Cow::Borrowed(text), quoted: false }
    }

    /// The value as the column's type. A bare `null` is NULL, except for STRING, where it is text.
    pub(super) fn fit(&self, ty: &DataType, unit: TimeUnit, texts: &mut Texts) -> Result<Value, Misfit> {
        match ty {
            DataType::Any => Ok(self.guess(texts)),
            _ if *ty != DataType::String && self.is_null() => Ok(Value::Null),
            _ => texts.fit(&self.text, ty, unit),
        }
    }

    /// As [`Self::fit`], but converted as CAST does; what does not convert is NULL.
    pub(super) fn convert(&self, ty: &DataType, unit: TimeUnit, texts: &mut Texts) -> Value {
        if self.is_null() && *ty != DataType::String {
            return Value::Null;
        }
        match ty {
            DataType::Any => self.guess(texts),
            _ => cast::cast(&texts.value(&self.text), ty, unit),
        }
    }

    fn is_null(&self) -> bool {
        !self.quoted && self.text == "null"
    }

    /// A number, `true`, `false`, `null`, else text. `ON` stays text, since nothing says that it
    /// is meant as a truth.
    fn guess(&self, texts: &mut Texts) -> Value {
        if self.quoted {
            return texts.value(&self.text);
        }
        match self.text.as_ref() {
            "true" => Value::Bool(true),
            "false" => Value::Bool(false),
            "null" => Value::Null,
            text => match (text.parse(), coerce::float(text)) {
                (Ok(i), _) => Value::Int(i),
                (Err(_), Some(x)) => Value::float(x),
                (Err(_), None) => texts.value(text),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(payload: &str, ty: DataType, expected: Option<Value>) {
        let got = Scalar::read(payload).fit(&ty, TimeUnit::Auto, &mut Texts::default()).ok();
        assert_eq!(got, expected, "{payload:?} as {ty}");
    }

    #[test]
    fn each_type_reads_its_text() {
        check(" 23.5\n", DataType::Float, Some(Value::Float(23.5)));
        check("23", DataType::Float, Some(Value::Float(23.0)));
        check("23.0", DataType::Bigint, Some(Value::Int(23)));
        check("23.5", DataType::Bigint, None);
        check("\"23.5\"", DataType::Float, Some(Value::Float(23.5)));
        check("nan", DataType::Float, None);
        check("null", DataType::Float, Some(Value::Null));
        check("null", DataType::String, Some(Value::str("null")));
        check("\"a\\\"b\"", DataType::String, Some(Value::str("a\"b")));
        check("\"open", DataType::String, Some(Value::str("\"open")));
        check("ON", DataType::Boolean, Some(Value::Bool(true)));
        check("0", DataType::Boolean, Some(Value::Bool(false)));
        check("maybe", DataType::Boolean, None);
        check(
            "1000",
            DataType::Datetime,
            Some(Value::Time(crate::model::time::Timestamp::from_millis(1_000_000))),
        );
        check("ab", DataType::Bytea, Some(Value::Bytes(b"ab".as_slice().into())));
        check("[1]", DataType::Array(Box::new(DataType::Any)), None);
    }

    #[test]
    fn any_takes_the_narrowest_meaning() {
        check("5", DataType::Any, Some(Value::Int(5)));
        check("5.5", DataType::Any, Some(Value::Float(5.5)));
        check("99999999999999999999", DataType::Any, Some(Value::Float(1e20)));
        check("true", DataType::Any, Some(Value::Bool(true)));
        check("ON", DataType::Any, Some(Value::str("ON")));
        check("\"5\"", DataType::Any, Some(Value::str("5")));
    }
}
