//! The functions of objects. Members go by name.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{count, list, object, str};
use crate::engine::expr::Env;
use crate::model::value::Value;
use crate::plan::function::Object;

type Members = BTreeMap<Arc<str>, Value>;

pub(super) fn call(function: Object, args: &[&Value], env: &Env) -> Value {
    let found = match (function, args) {
        (Object::Construct, _) => construct(args),
        (Object::Concat, _) => concat(args),
        (Object::FromArrays, [Value::Array(names), Value::Array(values)]) => from_arrays(names, values),
        (Object::FromPairs, [Value::Array(pairs)]) => pairs.iter().map(named).collect(),
        (Object::Zip, [Value::Array(pairs)]) => zip(pairs),
        (Object::Erase, [Value::Struct(members), names]) => chosen(members, names, false),
        (Object::Pick, [Value::Struct(members), names]) => chosen(members, names, true),
        (_, [Value::Struct(members)]) => return of(function, members, env),
        _ => None,
    };
    found.map_or(Value::Null, |members| object(members, env))
}

/// Of one object, what is none itself.
fn of(function: Object, members: &Members, env: &Env) -> Value {
    let name = |name: &Arc<str>| Value::Str(name.clone());
    match function {
        Object::Size => count(members.len()),
        Object::Keys => list(members.keys().map(name).collect(), env),
        Object::Values => list(members.values().cloned().collect(), env),
        Object::Items => {
            let pair = |(key, value): (&Arc<str>, &Value)| Value::Array([name(key), value.clone()].into());
            list(members.iter().map(pair).collect(), env)
        }
        Object::ToPairs => {
            let pair = |(key, value): (&Arc<str>, &Value)| {
                let members = [("key".into(), name(key)), ("value".into(), value.clone())];
                Value::Struct(Arc::new(members.into()))
            };
            list(members.iter().map(pair).collect(), env)
        }
        _ => Value::Null,
    }
}

/// Names and values in turn. Where either is NULL there is no member.
fn construct(args: &[&Value]) -> Option<Members> {
    let (pairs, _) = args.as_chunks::<2>();
    let mut members = Members::new();
    for [name, value] in pairs.iter().filter(|[name, value]| !name.is_null() && !value.is_null()) {
        members.insert(key(name)?, (*value).clone());
    }
    Some(members)
}

fn concat(args: &[&Value]) -> Option<Members> {
    let mut all = Members::new();
    for arg in args.iter().filter(|arg| !arg.is_null()) {
        let Value::Struct(members) = arg else { return None };
        all.extend(members.iter().map(|(name, value)| (name.clone(), value.clone())));
    }
    Some(all)
}

fn from_arrays(names: &[Value], values: &[Value]) -> Option<Members> {
    if names.len() != values.len() {
        return None;
    }
    names.iter().zip(values).map(|(name, value)| Some((key(name)?, value.clone()))).collect()
}

fn zip(pairs: &[Value]) -> Option<Members> {
    let pair = |pair: &Value| match pair {
        Value::Array(pair) => match &pair[..] {
            [name, value] => Some((key(name)?, value.clone())),
            _ => None,
        },
        _ => None,
    };
    pairs.iter().filter(|pair| !pair.is_null()).map(pair).collect()
}

/// An object with `key` and `value` as a member.
fn named(pair: &Value) -> Option<(Arc<str>, Value)> {
    match pair {
        Value::Struct(members) => {
            Some((key(members.get("key")?)?, members.get("value").cloned().unwrap_or_default()))
        }
        _ => None,
    }
}

/// The members with these names, or all others.
fn chosen(members: &Members, names: &Value, wanted: bool) -> Option<Members> {
    let names: Vec<&str> = match names {
        Value::Str(name) => vec![name],
        Value::Array(names) => names.iter().map(str).collect::<Option<_>>()?,
        _ => return None,
    };
    let names: std::collections::HashSet<&str> = names.into_iter().collect();
    let found = members.iter().filter(|(name, _)| names.contains(&***name) == wanted);
    Some(found.map(|(name, value)| (name.clone(), value.clone())).collect())
}

fn key(name: &Value) -> Option<Arc<str>> {
    match name {
        Value::Str(name) => Some(name.clone()),
        _ => None,
    }
}
