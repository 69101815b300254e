//! The scalar functions' meaning, a file for each group. NULL in gives NULL out, and so does an argument
//! of the wrong kind. What does not exist is NULL and counted. Nothing here grows without bound: a small
//! row could otherwise become a large one by nested calls.

mod array;
mod choice;
mod encode;
mod hash;
mod json;
mod math;
mod object;
mod path;
mod regex;
mod text;
mod time;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::engine::expr::Env;
use crate::model::coerce;
use crate::model::value::Value;
use crate::plan::function::{Array, Compiled, Function, Object, Text};

pub(super) use text::concat;

/// The longest text that a function makes, in bytes, and the most that it decompresses.
const MAX_TEXT: usize = 1 << 20;

/// The most elements or members that a function gives.
const MAX_ELEMENTS: usize = 10_000;

/// The most that an array or object which a function gives may take in memory, all of it counted: what
/// is shared takes no memory, but whoever reads it passes it each time.
const MAX_BYTES: usize = 4 << 20;

/// How deep an array or object that a function gives may nest. A payload nests no deeper either.
const MAX_DEPTH: usize = 64;

/// Calls a function. `fixed` are those arguments that the plan worked out.
pub(super) fn call(function: Function, fixed: &[Compiled], args: &[&Value], env: &Env) -> Value {
    if !takes_null(function) && args.iter().any(|arg| arg.is_null()) {
        return Value::Null;
    }
    match function {
        Function::Math(function) => math::call(function, args, env),
        Function::Choice(function) => choice::call(function, args),
        Function::Text(function) => text::call(function, fixed, args, env),
        Function::Regex(function) => regex::call(function, fixed, args, env),
        Function::Time(function) => time::call(function, fixed, args, env),
        Function::Array(function) => array::call(function, fixed, args, env),
        Function::Object(function) => object::call(function, args, env),
        Function::Json(function) => json::call(function, fixed, args, env),
        Function::Hash(function) => hash::call(function, args),
        Function::Encode(function) => encode::call(function, fixed, args, env),
    }
}

/// Whether it has a meaning for NULL.
fn takes_null(function: Function) -> bool {
    matches!(
        function,
        Function::Choice(_)
            | Function::Text(Text::Concat)
            | Function::Array(Array::Create | Array::Concat)
            | Function::Object(Object::Construct | Object::Concat)
    )
}

/// How many.
fn count(number: usize) -> Value {
    i64::try_from(number).map_or(Value::Null, Value::Int)
}

/// The integer that a number is, if it is one.
fn whole(value: &Value) -> Option<i64> {
    match value {
        Value::Int(i) => Some(*i),
        Value::Float(x) => coerce::whole(*x),
        _ => None,
    }
}

fn str(value: &Value) -> Option<&str> {
    match value {
        Value::Str(text) => Some(text),
        _ => None,
    }
}

/// A text that is not too long.
fn bounded(text: &str, env: &Env) -> Value {
    if text.len() > MAX_TEXT { env.undefined() } else { Value::str(text) }
}

/// An array that is not too large.
fn list(items: Vec<Value>, env: &Env) -> Value {
    let mut left = MAX_BYTES;
    if items.len() > MAX_ELEMENTS || !items.iter().all(|item| fits(item, &mut left, 1)) {
        return env.undefined();
    }
    Value::Array(items.into())
}

/// An object that is not too large.
fn object(members: BTreeMap<Arc<str>, Value>, env: &Env) -> Value {
    let mut left = MAX_BYTES;
    let within = members.iter().all(|(name, value)| take(name.len(), &mut left) && fits(value, &mut left, 1));
    if members.len() > MAX_ELEMENTS || !within {
        return env.undefined();
    }
    Value::Struct(Arc::new(members))
}

/// A value that is not too large.
fn within(value: Value, env: &Env) -> Value {
    if fits(&value, &mut { MAX_BYTES }, 0) { value } else { env.undefined() }
}

/// Takes what the value needs of the bytes that are left. Stops as soon as they do not suffice, so that its
/// time is bounded as well.
fn fits(value: &Value, left: &mut usize, depth: usize) -> bool {
    if !take(size_of::<Value>(), left) {
        return false;
    }
    match value {
        Value::Str(text) => take(text.len(), left),
        Value::Bytes(bytes) => take(bytes.len(), left),
        Value::Array(items) => depth < MAX_DEPTH && items.iter().all(|item| fits(item, left, depth + 1)),
        Value::Struct(members) => {
            depth < MAX_DEPTH
                && members.iter().all(|(name, item)| take(name.len(), left) && fits(item, left, depth + 1))
        }
        Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Time(_) => true,
    }
}

fn take(bytes: usize, left: &mut usize) -> bool {
    let enough = bytes <= *left;
    *left = left.saturating_sub(bytes);
    enough
}

/// The next number of the generator (splitmix64): fast, and good enough for jitter and for names that are
/// not secret.
fn random(env: &Env) -> u64 {
    let state = env.random.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
    env.random.set(state);
    let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests;
