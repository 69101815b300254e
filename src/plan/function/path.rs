//! A JSON path as RFC 9535 has it, read once. `engine` walks it.

use std::sync::Arc;

use super::Pattern;
use super::path_parser;
use crate::model::value::Value;

/// A path from the root of a value.
#[derive(Clone, Debug, PartialEq)]
pub struct Path {
    text: Arc<str>,
    segments: Vec<Segment>,
}

impl Path {
    /// As it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Its steps from the root.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// Reads a path.
    ///
    /// # Errors
    /// The byte at which it goes wrong, and why.
    pub(super) fn parse(text: &str) -> Result<Self, (usize, String)> {
        Ok(Self { text: text.into(), segments: path_parser::parse(text)? })
    }
}

/// A step: from each node to those that any selector finds.
#[derive(Clone, Debug, PartialEq)]
pub struct Segment {
    /// `..`: from the node and everything below it.
    pub descend: bool,
    /// What is found.
    pub selectors: Vec<Selector>,
}

/// Which children of a node are found.
#[derive(Clone, Debug, PartialEq)]
pub enum Selector {
    /// The member of this name.
    Name(Arc<str>),
    /// All.
    All,
    /// The element at this place; negative from the end.
    Index(i64),
    /// Elements at a distance from one another.
    Slice {
        /// The first; by default the end that `step` begins at.
        from: Option<i64>,
        /// Behind the last.
        to: Option<i64>,
        /// The distance; negative goes backwards, zero finds nothing.
        step: i64,
    },
    /// Those for which it is true.
    Filter(Test),
}

/// A condition on a node.
#[derive(Clone, Debug, PartialEq)]
pub enum Test {
    /// `a || b`
    Or(Vec<Test>),
    /// `a && b`
    And(Vec<Test>),
    /// `!a`
    Not(Box<Test>),
    /// Something is found.
    Exists(Query),
    /// `a == b` and its like.
    Compare(Operand, Relation, Operand),
    /// `match(a, 'pattern')`, `search(a, 'pattern')`.
    Matches(Operand, Pattern),
}

/// Where a condition looks.
#[derive(Clone, Debug, PartialEq)]
pub struct Query {
    /// `$`: from the root. Else `@`: from the node.
    pub root: bool,
    /// Its steps.
    pub segments: Vec<Segment>,
}

impl Query {
    /// Whether it finds one node at most.
    pub(super) fn is_singular(&self) -> bool {
        self.segments.iter().all(|segment| {
            !segment.descend && matches!(segment.selectors[..], [Selector::Name(_) | Selector::Index(_)])
        })
    }
}

/// A side of a comparison. It is a value, or nothing.
#[derive(Clone, Debug, PartialEq)]
pub enum Operand {
    /// Itself.
    Literal(Value),
    /// What is found: one node at most.
    Query(Query),
    /// `length(x)`: of a text, an array or an object.
    Length(Box<Operand>),
    /// `count(q)`: how many nodes are found.
    Count(Query),
    /// `value(q)`: what is found, if it is one.
    Only(Query),
}

/// How two values compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    /// `==`
    Equal,
    /// `!=`
    Unequal,
    /// `<`
    Less,
    /// `<=`
    AtMost,
    /// `>`
    Greater,
    /// `>=`
    AtLeast,
}
