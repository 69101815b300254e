//! Walks a JSON path over a value, as RFC 9535 says. How many nodes it visits is bounded: `$..*..*` over a
//! deep value, or a filter inside a filter, would take time beyond all proportion.

use std::cmp::Ordering;

use crate::model::value::Value;
use crate::plan::function::path::{Operand, Path, Query, Relation, Segment, Selector, Test};

/// The most nodes that one call visits.
const MAX_VISITS: usize = 100_000;

/// How many bytes of text a regular expression searches for the price of a visit.
const TEXT_A_VISIT: usize = 16;

/// All nodes that the path finds, in its order; `None` where that takes too long.
pub(super) fn select<'v>(path: &Path, root: &'v Value) -> Option<Vec<&'v Value>> {
    Walk { root, left: MAX_VISITS }.segments(path.segments(), root)
}

struct Walk<'v> {
    root: &'v Value,
    left: usize,
}

impl<'v> Walk<'v> {
    fn visit(&mut self) -> Option<()> {
        self.left = self.left.checked_sub(1)?;
        Some(())
    }

    /// Pays for a comparison with this value: it may look at all of it.
    fn read(&mut self, value: &Value) -> Option<()> {
        self.visit()?;
        if let Value::Str(text) = value {
            self.left = self.left.checked_sub(text.len() / TEXT_A_VISIT)?;
        }
        for child in below(value) {
            self.read(child)?;
        }
        Some(())
    }

    fn segments(&mut self, segments: &[Segment], start: &'v Value) -> Option<Vec<&'v Value>> {
        let mut nodes = vec![start];
        for segment in segments {
            let mut found = Vec::new();
            for node in nodes {
                if segment.descend {
                    self.descend(segment, node, &mut found)?;
                } else {
                    self.children(segment, node, &mut found)?;
                }
            }
            nodes = found;
        }
        Some(nodes)
    }

    /// The node and everything below it, parents first.
    fn descend(&mut self, segment: &Segment, node: &'v Value, found: &mut Vec<&'v Value>) -> Option<()> {
        self.children(segment, node, found)?;
        match node {
            Value::Array(items) => {
                for item in items.iter() {
                    self.descend(segment, item, found)?;
                }
            }
            Value::Struct(members) => {
                for member in members.values() {
                    self.descend(segment, member, found)?;
                }
            }
            _ => {}
        }
        Some(())
    }

    fn children(&mut self, segment: &Segment, node: &'v Value, found: &mut Vec<&'v Value>) -> Option<()> {
        self.visit()?;
        for selector in &segment.selectors {
            match (selector, node) {
                (Selector::Name(name), Value::Struct(members)) => found.extend(members.get(name)),
                (Selector::Index(index), Value::Array(items)) => {
                    found.extend(place(*index, items.len()).and_then(|at| items.get(at)));
                }
                (Selector::Slice { from, to, step }, Value::Array(items)) => {
                    for at in slice(items.len(), *from, *to, *step) {
                        self.visit()?;
                        found.extend(items.get(at));
                    }
                }
                (Selector::All, _) => {
                    for child in below(node) {
                        self.visit()?;
                        found.push(child);
                    }
                }
                (Selector::Filter(test), _) => {
                    for child in below(node) {
                        self.visit()?;
                        if self.holds(test, child)? {
                            found.push(child);
                        }
                    }
                }
                _ => {}
            }
        }
        Some(())
    }

    fn holds(&mut self, test: &Test, node: &'v Value) -> Option<bool> {
        self.visit()?;
        match test {
            Test::Or(list) => {
                for test in list {
                    if self.holds(test, node)? {
                        return Some(true);
                    }
                }
                Some(false)
            }
            Test::And(list) => {
                for test in list {
                    if !self.holds(test, node)? {
                        return Some(false);
                    }
                }
                Some(true)
            }
            Test::Not(test) => self.holds(test, node).map(|holds| !holds),
            Test::Exists(query) => self.query(query, node).map(|found| !found.is_empty()),
            Test::Compare(left, relation, right) => {
                let (left, right) = (self.operand(left, node)?, self.operand(right, node)?);
                left.as_ref().map_or(Some(()), |value| self.read(value))?;
                Some(compare(left.as_ref(), *relation, right.as_ref()))
            }
            Test::Matches(of, pattern) => {
                let Some(Value::Str(text)) = self.operand(of, node)? else { return Some(false) };
                self.left = self.left.checked_sub(text.len() / TEXT_A_VISIT)?;
                Some(pattern.regex().is_match(&text))
            }
        }
    }

    fn query(&mut self, query: &Query, node: &'v Value) -> Option<Vec<&'v Value>> {
        self.segments(&query.segments, if query.root { self.root } else { node })
    }

    /// A value, or nothing (the inner `None`).
    fn operand(&mut self, operand: &Operand, node: &'v Value) -> Option<Option<Value>> {
        let int = |n: usize| i64::try_from(n).map_or(Value::Null, Value::Int);
        Some(match operand {
            Operand::Literal(value) => Some(value.clone()),
            Operand::Query(query) => self.query(query, node)?.first().copied().cloned(),
            Operand::Count(query) => Some(int(self.query(query, node)?.len())),
            Operand::Only(query) => match self.query(query, node)?[..] {
                [only] => Some(only.clone()),
                _ => None,
            },
            Operand::Length(of) => match self.operand(of, node)? {
                Some(Value::Str(text)) => Some(int(text.chars().count())),
                Some(Value::Array(items)) => Some(int(items.len())),
                Some(Value::Struct(members)) => Some(int(members.len())),
                _ => None,
            },
        })
    }
}

/// The children of an array or object.
fn below(node: &Value) -> Box<dyn Iterator<Item = &Value> + '_> {
    match node {
        Value::Array(items) => Box::new(items.iter()),
        Value::Struct(members) => Box::new(members.values()),
        _ => Box::new(std::iter::empty()),
    }
}

fn place(index: i64, length: usize) -> Option<usize> {
    let distance = usize::try_from(index.unsigned_abs()).ok()?;
    if index < 0 { length.checked_sub(distance) } else { Some(distance) }
}

/// The places of a slice, as RFC 9535 computes them.
fn slice(length: usize, from: Option<i64>, to: Option<i64>, step: i64) -> impl Iterator<Item = usize> {
    let length = i128::try_from(length).unwrap_or(i128::MAX);
    let step = i128::from(step);
    let normal = |place: i64| if place < 0 { length + i128::from(place) } else { i128::from(place) };
    let forward = step > 0;
    let (first, end) = if forward { (0, length) } else { (length - 1, -1) };
    let bound = |place: i128| if forward { place.clamp(0, length) } else { place.clamp(-1, length - 1) };
    let start = from.map_or(first, |place| bound(normal(place)));
    let stop = to.map_or(end, |place| bound(normal(place)));
    let within = move |at: &i128| if forward { *at < stop } else { *at > stop };
    let first = (step != 0).then_some(start);
    std::iter::successors(first, move |at| at.checked_add(step))
        .take_while(within)
        .filter_map(|at| usize::try_from(at).ok())
}

/// Nothing equals nothing, and has no order; only numbers and texts have one.
fn compare(a: Option<&Value>, relation: Relation, b: Option<&Value>) -> bool {
    let same = a == b;
    let ordered = |wanted: Ordering| match (a, b) {
        (Some(a @ (Value::Int(_) | Value::Float(_))), Some(b @ (Value::Int(_) | Value::Float(_))))
        | (Some(a @ Value::Str(_)), Some(b @ Value::Str(_))) => a.compare(b) == Some(wanted),
        _ => false,
    };
    match relation {
        Relation::Equal => same,
        Relation::Unequal => !same,
        Relation::Less => ordered(Ordering::Less),
        Relation::AtMost => same || ordered(Ordering::Less),
        Relation::Greater => ordered(Ordering::Greater),
        Relation::AtLeast => same || ordered(Ordering::Greater),
    }
}
