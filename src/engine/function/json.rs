//! The functions of JSON.

use super::{fits, list, path, str, within};
use crate::engine::expr::Env;
use crate::model::value::Value;
use crate::plan::function::{Compiled, Json};

pub(super) fn call(function: Json, fixed: &[Compiled], args: &[&Value], env: &Env) -> Value {
    match (function, fixed, args) {
        (Json::Write, _, [value]) => {
            if !fits(value, &mut { super::MAX_BYTES }, 0) {
                return env.undefined();
            }
            super::bounded(&value.to_json().to_string(), env)
        }
        (Json::Parse, _, [value]) => {
            let parsed = str(value).and_then(|text| serde_json::from_str::<serde_json::Value>(text).ok());
            parsed.map_or(Value::Null, |json| within(Value::from_json(&json), env))
        }
        (_, [Compiled::Path(wanted)], [value]) => {
            let Some(found) = path::select(wanted, value) else { return env.undefined() };
            match function {
                Json::Exists => Value::Bool(!found.is_empty()),
                Json::First => found.first().map_or(Value::Null, |first| (*first).clone()),
                _ => list(found.into_iter().cloned().collect(), env),
            }
        }
        _ => Value::Null,
    }
}
