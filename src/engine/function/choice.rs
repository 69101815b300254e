//! The functions that choose one of their arguments.

use std::cmp::Ordering;

use crate::engine::expr::equal;
use crate::model::value::Value;
use crate::plan::function::Choice;

pub(super) fn call(function: Choice, args: &[&Value]) -> Value {
    match (function, args) {
        (Choice::Coalesce, _) => args.iter().find(|a| !a.is_null()).map_or(Value::Null, |a| (*a).clone()),
        (Choice::Greatest, _) => extreme(args, Ordering::Greater),
        (Choice::Least, _) => extreme(args, Ordering::Less),
        (Choice::NullIf, [a, b]) if equal(a, b) != Some(true) => (*a).clone(),
        (Choice::NullIf, _) => Value::Null,
    }
}

/// The extreme of those that are not NULL; NULL where two have no order.
pub(super) fn extreme(args: &[&Value], wanted: Ordering) -> Value {
    let mut best = &Value::Null;
    for arg in args.iter().copied().filter(|a| !a.is_null()) {
        if best.is_null() {
            best = arg;
            continue;
        }
        match arg.compare(best) {
            Some(order) if order == wanted => best = arg,
            Some(_) => {}
            None => return Value::Null,
        }
    }
    best.clone()
}
