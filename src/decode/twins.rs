//! FORMAT='kubeedge': what a KubeEdge node says of its devices becomes rows, one for each property. Values there are texts
//! with the name of their type beside them, and the same is said in several shapes: by the mapper, by edgecore that took
//! it, as what is wanted, as plain data, and as a line of text. So a message is rewritten as an array of flat objects, which
//! is read as JSON is.

use serde_json::{Map, Value as Json};

use super::Config;
use super::json::check_depth;
use super::reject::{Reject, RejectReason};

type Object = Map<String, Json>;

/// The rows of a message, as the text of an array.
pub(super) fn rewrite(text: &str, config: &Config) -> Result<String, Reject> {
    let rows = match mapper_line(text.trim()) {
        Some(row) => vec![row],
        None => {
            check_depth(text.as_bytes())?;
            let message: Json = serde_json::from_str(text)
                .map_err(|error| Reject::new(RejectReason::NotJson, error.to_string()))?;
            rows(&message)?
        }
    };
    if rows.len() > config.max_rows {
        let detail = format!("more than {} properties", config.max_rows);
        return Err(Reject::new(RejectReason::TooManyRows, detail));
    }
    Ok(Json::Array(rows.into_iter().map(Json::Object).collect()).to_string())
}

fn rows(message: &Json) -> Result<Vec<Object>, Reject> {
    let Json::Object(message) = message else {
        return Err(Reject::new(RejectReason::NotAnObject, "no object"));
    };
    let base = Base { event: message.get("event_id"), time: message.get("timestamp").and_then(time) };
    let members = |name: &str| message.get(name).and_then(Json::as_object);
    if let Some(code) = message.get("code") {
        let reason = message.get("reason").cloned().unwrap_or_default();
        return Ok(vec![base.row([("code", code.clone()), ("reason", reason)])]);
    }
    if let Some(twins) = members("twin") {
        return Ok(twins.iter().map(|(name, twin)| base.twin(name, twin)).collect());
    }
    if let Some(wanted) = members("delta") {
        let row = |(name, value): (&String, &Json)| {
            base.row([("property", name.as_str().into()), ("expected", value.clone())])
        };
        return Ok(wanted.iter().map(row).collect());
    }
    if let Some(data) = members("data") {
        return Ok(data.iter().map(|(name, value)| base.value(name, value)).collect());
    }
    let state = message.get("state").or_else(|| message.get("device")?.get("state"));
    if let Some(state) = state {
        return Ok(vec![base.row([("state", state.clone())])]);
    }
    // A question, or an answer that has nothing to say.
    let known = ["event_id", "timestamp", "twin", "data", "device"];
    if known.iter().any(|name| message.contains_key(*name)) {
        return Ok(Vec::new());
    }
    Err(Reject::new(
        RejectReason::WrongType,
        "no message of KubeEdge: none of `twin`, `delta`, `data`, `state`, `code`",
    ))
}

/// What all rows of a message have in common.
struct Base<'m> {
    event: Option<&'m Json>,
    time: Option<Json>,
}

impl Base<'_> {
    fn row<const N: usize>(&self, members: [(&str, Json); N]) -> Object {
        let own = [("event_id", self.event.cloned()), ("ts", self.time.clone())];
        let own = own.into_iter().filter_map(|(name, value)| Some((name, value?)));
        own.chain(members).map(|(name, value)| (name.to_owned(), value)).collect()
    }

    /// A property as a mapper or edgecore has it; in a document, what it was before too.
    fn twin(&self, name: &str, twin: &Json) -> Object {
        let is_document = twin.get("current").is_some() || twin.get("last").is_some();
        let (current, last) =
            if is_document { (twin.get("current"), twin.get("last")) } else { (Some(twin), None) };
        let ty = [current, last].into_iter().flatten().find_map(type_of);
        let value =
            |twin: Option<&Json>, which: &str| typed(twin.and_then(|twin| twin.get(which)?.get("value")), ty);
        let mut row = self.row([
            ("property", name.into()),
            ("value", value(current, "actual")),
            ("expected", value(current, "expected")),
            ("last", value(last, "actual")),
            ("type", ty.into()),
        ]);
        let own = current.and_then(|twin| time(twin.get("actual")?.get("metadata")?.get("timestamp")?));
        if let Some(own) = own {
            row.insert("ts".to_owned(), own);
        }
        row
    }

    /// A property as plain data.
    fn value(&self, name: &str, data: &Json) -> Object {
        let ty = type_of(data);
        let value = typed(data.get("value").or_else(|| (!data.is_object()).then_some(data)), ty);
        let mut row = self.row([("property", name.into()), ("value", value), ("type", ty.into())]);
        if let Some(own) = data.get("metadata").and_then(|metadata| time(metadata.get("timestamp")?)) {
            row.insert("ts".to_owned(), own);
        }
        row
    }
}

fn type_of(twin: &Json) -> Option<&str> {
    twin.get("metadata")?.get("type")?.as_str()
}

/// A value in the type that is named beside it; a text that is none of those stays one, so that a column of that type
/// refuses it.
fn typed(value: Option<&Json>, ty: Option<&str>) -> Json {
    let Some(value) = value else { return Json::Null };
    let (Json::String(text), Some(ty)) = (value, ty) else { return value.clone() };
    let read = match ty.to_ascii_lowercase().as_str() {
        "int" | "integer" | "long" => text.trim().parse::<i64>().ok().map(Json::from),
        "float" | "double" => text.trim().parse::<f64>().ok().filter(|x| x.is_finite()).map(Json::from),
        "boolean" | "bool" => text.trim().to_ascii_lowercase().parse::<bool>().ok().map(Json::from),
        _ => None,
    };
    read.unwrap_or_else(|| value.clone())
}

/// A time, as a number where it is one in a text.
fn time(written: &Json) -> Option<Json> {
    match written {
        Json::Null => None,
        Json::String(text) => Some(text.trim().parse::<i64>().map_or_else(|_| written.clone(), Json::from)),
        other => Some(other.clone()),
    }
}

/// `time is 2026-08-01 12:00:00  topic: 21.5`, as the mapper framework publishes a property. The time has no zone, so that
/// of arrival counts.
fn mapper_line(text: &str) -> Option<Object> {
    let said = text.strip_prefix("time is ")?;
    let (date, rest) = said.trim_start().split_once(' ')?;
    let (clock, rest) = rest.trim_start().split_once(' ')?;
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'-' | b':'));
    let (property, value) = rest.trim_start().split_once(": ").filter(|_| digits(date) && digits(clock))?;
    let text = value.trim();
    let number = || text.parse::<i64>().map(Json::from).ok();
    let fraction = || text.parse::<f64>().ok().filter(|x| x.is_finite()).map(Json::from);
    let value = number().or_else(fraction).or_else(|| text.parse::<bool>().map(Json::from).ok());
    let value = value.unwrap_or_else(|| text.into());
    let row = [("property", property.trim().into()), ("value", value)];
    Some(row.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}
