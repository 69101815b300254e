//! A row in the making: names and values, NULL where a value is missing.

use serde_json::{Map, Value};

#[derive(Debug, Default)]
pub(super) struct Row {
    columns: Map<String, Value>,
}

impl Row {
    /// With a column of text.
    pub(super) fn text(mut self, name: &str, value: &str) -> Self {
        self.columns.insert(name.to_owned(), Value::from(value));
        self
    }

    /// With a column of whole numbers.
    pub(super) fn int(mut self, name: &str, value: Option<u64>) -> Self {
        let value = value.map(|v| Value::from(i64::try_from(v).unwrap_or(i64::MAX)));
        self.columns.insert(name.to_owned(), value.unwrap_or(Value::Null));
        self
    }

    /// With a column of numbers, rounded to thousandths: what is measured is no finer.
    pub(super) fn float(mut self, name: &str, value: Option<f64>) -> Self {
        let value = value.map(|v| Value::from((v * 1_000.0).round() / 1_000.0));
        self.columns.insert(name.to_owned(), value.unwrap_or(Value::Null));
        self
    }

    pub(super) fn into_json(self) -> Value {
        Value::Object(self.columns)
    }
}

/// `part` of `whole`, %; `None` where there is no whole.
pub(super) fn percent(part: Option<u64>, whole: Option<u64>) -> Option<f64> {
    match (part, whole) {
        (Some(part), Some(whole)) if whole > 0 => Some(part as f64 * 100.0 / whole as f64),
        _ => None,
    }
}
