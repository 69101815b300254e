//! CAST: a value as another type, NULL where it does not convert. So are values of a payload
//! converted where a stream is not strict. Must never fail.

use std::sync::Arc;

use super::coerce;
use super::stream::TimeUnit;
use super::value::{DataType, Value};

/// Converts. To STRING goes everything; `unit` says how a number or text stands for a DATETIME.
pub fn cast(value: &Value, ty: &DataType, unit: TimeUnit) -> Value {
    if value.is_null() {
        return Value::Null;
    }
    match ty {
        DataType::Any => value.clone(),
        DataType::Bigint => bigint(value, unit).map_or(Value::Null, Value::Int),
        DataType::Float => float(value, unit),
        DataType::String => match value {
            Value::Str(_) => value.clone(),
            _ => Value::str(&value.to_string()),
        },
        DataType::Boolean => boolean(value).map_or(Value::Null, Value::Bool),
        DataType::Datetime => coerce::timestamp(value, unit).map_or(Value::Null, Value::Time),
        DataType::Bytea => match value {
            Value::Bytes(_) => value.clone(),
            Value::Str(text) => Value::Bytes(text.as_bytes().into()),
            _ => Value::Null,
        },
        DataType::Array(of) => match value {
            Value::Array(items) => Value::Array(items.iter().map(|item| cast(item, of, unit)).collect()),
            _ => Value::Null,
        },
        DataType::Struct(members) => match value {
            Value::Struct(given) => {
                let member = |name: &str| given.get(name).unwrap_or(&Value::Null);
                let cast =
                    |(name, of): &(String, DataType)| (name.as_str().into(), cast(member(name), of, unit));
                Value::Struct(Arc::new(members.iter().map(cast).collect()))
            }
            _ => Value::Null,
        },
    }
}

/// Floats lose their fraction; text must be a whole number.
fn bigint(value: &Value, unit: TimeUnit) -> Option<i64> {
    match value {
        Value::Int(i) => Some(*i),
        Value::Float(x) => coerce::truncated(*x),
        Value::Bool(b) => Some(i64::from(*b)),
        Value::Str(text) => coerce::integer(text),
        Value::Time(at) => match unit {
            TimeUnit::Seconds => Some(at.micros().div_euclid(1_000_000)),
            TimeUnit::Micros => Some(at.micros()),
            TimeUnit::Nanos => at.micros().checked_mul(1_000),
            TimeUnit::Auto | TimeUnit::Millis | TimeUnit::Rfc3339 | TimeUnit::Pattern(_) => Some(at.millis()),
        },
        _ => None,
    }
}

fn float(value: &Value, unit: TimeUnit) -> Value {
    let number = match value {
        Value::Bool(b) => Some(f64::from(u8::from(*b))),
        Value::Str(text) => coerce::float(text),
        #[expect(clippy::cast_precision_loss, reason = "a float is what was asked for")]
        Value::Time(at) => Some(match unit {
            TimeUnit::Seconds => at.micros() as f64 / 1e6,
            TimeUnit::Micros => at.micros() as f64,
            TimeUnit::Nanos => at.micros() as f64 * 1e3,
            TimeUnit::Auto | TimeUnit::Millis | TimeUnit::Rfc3339 | TimeUnit::Pattern(_) => {
                at.micros() as f64 / 1e3
            }
        }),
        _ => value.as_f64(),
    };
    number.map_or(Value::Null, Value::float)
}

fn boolean(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(b) => Some(*b),
        Value::Int(i) => Some(*i != 0),
        Value::Float(x) => Some(*x != 0.0),
        Value::Str(text) => coerce::boolean(text),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::time::Timestamp;

    #[test]
    fn each_type_takes_what_it_can() {
        let time = Value::Time(Timestamp::from_micros(1_594_512_094_385_975));
        for (value, ty, unit, expected) in [
            (Value::Float(-5.9), DataType::Bigint, TimeUnit::Auto, Value::Int(-5)),
            (Value::Float(1e30), DataType::Bigint, TimeUnit::Auto, Value::Null),
            (Value::Bool(true), DataType::Bigint, TimeUnit::Auto, Value::Int(1)),
            (Value::str(" 5.0"), DataType::Bigint, TimeUnit::Auto, Value::Int(5)),
            (Value::str("5.5"), DataType::Bigint, TimeUnit::Auto, Value::Null),
            (Value::str("5.5"), DataType::Float, TimeUnit::Auto, Value::Float(5.5)),
            (Value::str("x"), DataType::Float, TimeUnit::Auto, Value::Null),
            (Value::Int(5), DataType::String, TimeUnit::Auto, Value::str("5")),
            (Value::Null, DataType::String, TimeUnit::Auto, Value::Null),
            (Value::str("Off"), DataType::Boolean, TimeUnit::Auto, Value::Bool(false)),
            (Value::Float(0.5), DataType::Boolean, TimeUnit::Auto, Value::Bool(true)),
            (Value::Float(1_594_512_094.385_975), DataType::Datetime, TimeUnit::Auto, time.clone()),
            (time.clone(), DataType::Bigint, TimeUnit::Auto, Value::Int(1_594_512_094_385)),
            (time.clone(), DataType::Bigint, TimeUnit::Seconds, Value::Int(1_594_512_094)),
            (time.clone(), DataType::String, TimeUnit::Auto, Value::str("2020-07-12T00:01:34.385975Z")),
            (time, DataType::Boolean, TimeUnit::Auto, Value::Null),
            (Value::str("a"), DataType::Bytea, TimeUnit::Auto, Value::Bytes(b"a".as_slice().into())),
            (Value::Int(1), DataType::Bytea, TimeUnit::Auto, Value::Null),
        ] {
            let got = cast(&value, &ty, unit);
            assert_eq!(format!("{got:?}"), format!("{expected:?}"), "CAST({value:?} AS {ty})");
        }
    }

    #[test]
    fn nested_types_convert_inside() {
        let value = Value::from_json(&serde_json::json!({"a": ["1", "x"], "b": 1}));
        let ty = DataType::Struct(vec![("a".to_owned(), DataType::Array(Box::new(DataType::Bigint)))]);
        assert_eq!(cast(&value, &ty, TimeUnit::Auto).to_string(), r#"{"a":[1,null]}"#);
    }
}
