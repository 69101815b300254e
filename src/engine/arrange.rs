//! DISTINCT, ORDER BY and LIMIT over the output rows of windows that end together.

use std::cmp::Ordering;
use std::collections::HashSet;

use super::judge::Line;
use crate::model::value::Value;
use crate::plan::logical::{Arrange, Direction};

/// Puts output rows in order and drops those that are not wanted. `visible` columns count for DISTINCT.
/// Each row carries whatever the caller ties to it.
pub(super) fn arrange<T>(plan: &Arrange, visible: usize, lines: &mut Vec<(Line, T)>) {
    if plan.distinct {
        let mut seen: HashSet<Vec<Value>> = HashSet::new();
        lines.retain(|(line, _)| seen.insert(line.columns.iter().take(visible).cloned().collect()));
    }
    if !plan.order.is_empty() {
        lines.sort_by(|(a, _), (b, _)| compare(plan, &a.order, &b.order));
    }
    if let Some(limit) = plan.limit {
        lines.truncate(limit);
    }
}

fn compare(plan: &Arrange, a: &[Value], b: &[Value]) -> Ordering {
    let each = plan.order.iter().zip(a.iter().zip(b));
    each.map(|((_, direction), (a, b))| {
        // What is NULL stands last whichever way the others go.
        a.is_null().cmp(&b.is_null()).then_with(|| match direction {
            Direction::Ascending => total(a, b),
            Direction::Descending => total(b, a),
        })
    })
    .find(|order| order.is_ne())
    .unwrap_or(Ordering::Equal)
}

/// SQL's order where there is one; else values go by their kinds and parts. It is total, since a sort
/// may refuse to work with one that is not.
fn total(a: &Value, b: &Value) -> Ordering {
    match (a, b) {
        (Value::Array(a), Value::Array(b)) => all(a.iter().zip(b.iter())).then(a.len().cmp(&b.len())),
        (Value::Struct(a), Value::Struct(b)) => {
            a.keys().cmp(b.keys()).then_with(|| all(a.values().zip(b.values())))
        }
        _ => rank(a).cmp(&rank(b)).then_with(|| a.compare(b).unwrap_or(Ordering::Equal)),
    }
}

fn all<'v>(mut pairs: impl Iterator<Item = (&'v Value, &'v Value)>) -> Ordering {
    pairs.find_map(|(a, b)| Some(total(a, b)).filter(|order| order.is_ne())).unwrap_or(Ordering::Equal)
}

fn rank(value: &Value) -> u8 {
    match value {
        Value::Null => 0,
        Value::Bool(_) => 1,
        Value::Int(_) | Value::Float(_) => 2,
        Value::Time(_) => 3,
        Value::Str(_) => 4,
        Value::Bytes(_) => 5,
        Value::Array(_) => 6,
        Value::Struct(_) => 7,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::key::Key;
    use crate::plan::logical::Expr;

    fn line(column: i64, order: Value) -> (Line, ()) {
        (Line { columns: [Value::Int(column)].into(), key: Key::default(), order: [order].into() }, ())
    }

    #[track_caller]
    fn check(plan: &Arrange, mut lines: Vec<(Line, ())>, expected: &[i64]) {
        arrange(plan, 1, &mut lines);
        let left: Vec<Value> = lines.iter().map(|(line, ())| line.columns[0].clone()).collect();
        assert_eq!(left, expected.iter().map(|n| Value::Int(*n)).collect::<Vec<_>>());
    }

    #[test]
    fn null_stands_last_and_ties_keep_their_order() {
        let lines = || {
            vec![
                line(1, Value::Null),
                line(2, Value::Int(5)),
                line(3, Value::Int(7)),
                line(4, Value::Float(5.0)),
            ]
        };
        let by = |direction| Arrange { order: vec![(Expr::Column(0), direction)], ..Arrange::default() };
        check(&by(Direction::Ascending), lines(), &[2, 4, 3, 1]);
        check(&by(Direction::Descending), lines(), &[3, 2, 4, 1]);
        check(&Arrange { limit: Some(2), ..by(Direction::Descending) }, lines(), &[3, 2]);
        check(&Arrange { limit: Some(0), ..Arrange::default() }, lines(), &[]);
    }

    #[test]
    fn distinct_keeps_the_first() {
        let lines = vec![line(1, Value::Int(9)), line(2, Value::Int(8)), line(1, Value::Int(1))];
        let plan =
            Arrange { distinct: true, order: vec![(Expr::Column(0), Direction::Ascending)], limit: None };
        check(&plan, lines, &[2, 1]);
    }

    #[test]
    fn sorting_has_an_order_for_all_kinds() {
        // Arrays of mixed kinds have no order of SQL's; the sort must not mind.
        let array = |values: Vec<Value>| Value::Array(values.into());
        let plan = Arrange { order: vec![(Expr::Column(0), Direction::Ascending)], ..Arrange::default() };
        let lines = vec![
            line(1, array(vec![Value::Int(1)])),
            line(2, Value::str("a")),
            line(3, array(vec![Value::str("a")])),
            line(4, Value::Bool(true)),
        ];
        check(&plan, lines, &[4, 2, 1, 3]);
    }
}
