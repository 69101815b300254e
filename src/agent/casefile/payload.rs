//! Places in a payload that stand for the step's time: `$t` in seconds, `$t_ms` in milliseconds,
//! `$t_iso` in RFC 3339.

use serde_json::Value as Json;

use crate::model::time::Timestamp;

/// The payload with its places filled: a text that is nothing but `$t` or `$t_ms` becomes a number.
pub(super) fn fill(payload: &Json, at: Timestamp) -> Json {
    match payload {
        Json::String(text) => match text.as_str() {
            "$t" => Json::from(seconds(at)),
            "$t_ms" => Json::from(at.millis()),
            _ => Json::from(fill_text(text, at)),
        },
        Json::Array(list) => list.iter().map(|value| fill(value, at)).collect(),
        Json::Object(members) => Json::Object(
            members
                .iter()
                .map(|(name, value)| (name.clone(), fill(value, at)))
                .collect(),
        ),
        other => other.clone(),
    }
}

/// The text with its places filled.
pub(super) fn fill_text(text: &str, at: Timestamp) -> String {
    if !text.contains("$t") {
        return text.to_owned();
    }
    text.replace("$t_ms", &at.millis().to_string())
        .replace("$t_iso", &at.to_string())
        .replace("$t", &seconds(at).to_string())
}

#[expect(
    clippy::cast_precision_loss,
    reason = "microseconds of this century fit a float's 53 bits"
)]
fn seconds(at: Timestamp) -> f64 {
    at.micros() as f64 / 1e6
}
