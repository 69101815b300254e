//! The syntax tree: what a text says, names not yet resolved. Every node knows its place; nodes
//! are equal where they say the same, wherever they stand.

use crate::model::diagnostic::Place;
use crate::model::value::{DataType, Value};

use super::logical::BinaryOp;

/// A name as written.
#[derive(Clone, Debug)]
pub(super) struct Name {
    /// Without quotes.
    pub(super) text: String,
    /// Where it stands.
    pub(super) place: Place,
}

impl PartialEq for Name {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

/// An expression.
#[derive(Clone, Debug)]
pub(super) struct Node {
    /// What it says.
    pub(super) kind: Kind,
    /// Where it stands: all of it where it is on one line, else the part on its first.
    pub(super) place: Place,
    /// How many levels it has, itself included.
    pub(super) height: usize,
}

impl PartialEq for Node {
    fn eq(&self, other: &Self) -> bool {
        self.kind == other.kind
    }
}

/// The kinds of expression.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind {
    /// A literal.
    Const(Value),
    /// `a`, `s.a`, `a->b`, `s.a->b`: `dotted` counts the leading names joined by dots, the first
    /// of which may be the stream's.
    Path {
        /// The names, in order.
        names: Vec<Name>,
        /// How many of them are joined by dots.
        dotted: usize,
    },
    /// A member of something that is no plain path.
    Member(Box<Node>, Name),
    /// `a[0]`.
    Element(Box<Node>, Box<Node>),
    /// `NOT a`.
    Not(Box<Node>),
    /// `-a`.
    Neg(Box<Node>),
    /// `a op b`.
    Binary(BinaryOp, Box<Node>, Box<Node>),
    /// `a AND b AND …`.
    And(Vec<Node>),
    /// `a OR b OR …`.
    Or(Vec<Node>),
    /// `a IS NULL`.
    IsNull(Box<Node>),
    /// `a IS TRUE`, `a IS FALSE`.
    IsBool(Box<Node>, bool),
    /// `a IN (b, …)`.
    In(Box<Node>, Vec<Node>),
    /// `a BETWEEN b AND c`.
    Between(Box<Node>, Box<Node>, Box<Node>),
    /// `a LIKE b`.
    Like(Box<Node>, Box<Node>, Option<char>),
    /// Both kinds of CASE.
    Case {
        /// Between CASE and WHEN.
        operand: Option<Box<Node>>,
        /// WHEN and THEN.
        branches: Vec<(Node, Node)>,
        /// ELSE.
        otherwise: Option<Box<Node>>,
    },
    /// `CAST(a AS type)`.
    Cast(Box<Node>, DataType),
    /// A function or an aggregate.
    Call(Box<Call>),
}

/// A call.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Call {
    /// The function, as written.
    pub(super) name: Name,
    /// `f(*)`.
    pub(super) star: bool,
    /// `f(DISTINCT …)`.
    pub(super) distinct: bool,
    /// Its arguments.
    pub(super) args: Vec<Node>,
    /// `FILTER (WHERE …)`.
    pub(super) filter: Option<Node>,
}

/// A query.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Select {
    /// What it gives.
    pub(super) items: Vec<Item>,
    /// What it reads.
    pub(super) stream: Name,
    /// What it calls that.
    pub(super) alias: Option<Name>,
    /// WHERE.
    pub(super) filter: Option<Node>,
    /// GROUP BY, without the window.
    pub(super) group: Vec<Node>,
    /// The window, where GROUP BY names one.
    pub(super) window: Option<Call>,
    /// HAVING.
    pub(super) having: Option<Node>,
}

/// One item of a SELECT list.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Item {
    /// `*`.
    All(Place),
    /// An expression.
    Expr {
        /// What to compute.
        node: Node,
        /// `AS name`.
        alias: Option<Name>,
        /// Its text, in lower case and single blanks.
        text: String,
    },
}

impl Item {
    /// The name that AS gives, and whether nothing of that name is in its expression: `avg(t) AS t`
    /// tells that the column `t` is known.
    pub(super) fn renamed(&self) -> Option<(&str, bool)> {
        let Self::Expr { node, alias: Some(alias), .. } = self else { return None };
        Some((&alias.text, !node.mentions(alias)))
    }
}

/// A `CREATE STREAM` or `CREATE TABLE`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Create {
    /// Whether it makes a table.
    pub(super) table: bool,
    /// The name of what it makes.
    pub(super) name: Name,
    /// Its columns; none for a schemaless stream.
    pub(super) columns: Vec<CreateColumn>,
    /// Its options, by name as written.
    pub(super) options: Vec<(Name, Name)>,
}

/// A column of a `CREATE`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct CreateColumn {
    /// Its name.
    pub(super) name: Name,
    /// What it holds.
    pub(super) ty: DataType,
    /// DEFAULT, and where its value stands.
    pub(super) default: Option<(Value, Place)>,
}

impl Place {
    /// From the start of this to the end of another, where both are on one line.
    #[must_use]
    pub(super) fn through(self, end: Self) -> Self {
        if self.line == end.line && end.column >= self.column {
            Self { length: end.column + end.length - self.column, ..self }
        } else {
            self
        }
    }
}

impl Node {
    /// A node over parts that are already there.
    pub(super) fn new(kind: Kind, place: Place) -> Self {
        let mut node = Self { kind, place, height: 0 };
        let mut highest = 0;
        node.each(&mut |child| highest = highest.max(child.height));
        node.height = highest + 1;
        node
    }

    /// Visits the direct parts, in the order of the text.
    pub(super) fn each<'n>(&'n self, visit: &mut dyn FnMut(&'n Self)) {
        match &self.kind {
            Kind::Const(_) | Kind::Path { .. } => {}
            Kind::Member(a, _)
            | Kind::Not(a)
            | Kind::Neg(a)
            | Kind::IsNull(a)
            | Kind::IsBool(a, _)
            | Kind::Cast(a, _) => {
                visit(a);
            }
            Kind::Element(a, b) | Kind::Binary(_, a, b) | Kind::Like(a, b, _) => {
                visit(a);
                visit(b);
            }
            Kind::And(list) | Kind::Or(list) => list.iter().for_each(visit),
            Kind::In(a, list) => {
                visit(a);
                list.iter().for_each(visit);
            }
            Kind::Between(a, b, c) => [a, b, c].into_iter().for_each(|n| visit(n)),
            Kind::Case { operand, branches, otherwise } => {
                operand.iter().for_each(|n| visit(n));
                for (when, then) in branches {
                    visit(when);
                    visit(then);
                }
                otherwise.iter().for_each(|n| visit(n));
            }
            Kind::Call(call) => call.args.iter().chain(&call.filter).for_each(visit),
        }
    }

    /// Whether some path in it begins with this name.
    fn mentions(&self, name: &Name) -> bool {
        if let Kind::Path { names, .. } = &self.kind {
            return names.first() == Some(name);
        }
        let mut found = false;
        self.each(&mut |part| found |= part.mentions(name));
        found
    }

    /// Takes the stream's name or alias off the paths that begin with it, so that `s.a` and `a`
    /// are equal.
    pub(super) fn unqualify(&mut self, own: &[&str]) {
        match &mut self.kind {
            Kind::Const(_) => {}
            Kind::Path { names, dotted } => {
                if *dotted > 1 && own.contains(&names[0].text.as_str()) {
                    names.remove(0);
                }
                *dotted = 1;
            }
            Kind::Member(a, _)
            | Kind::Not(a)
            | Kind::Neg(a)
            | Kind::IsNull(a)
            | Kind::IsBool(a, _)
            | Kind::Cast(a, _) => {
                a.unqualify(own);
            }
            Kind::Element(a, b) | Kind::Binary(_, a, b) | Kind::Like(a, b, _) => {
                a.unqualify(own);
                b.unqualify(own);
            }
            Kind::And(list) | Kind::Or(list) => list.iter_mut().for_each(|n| n.unqualify(own)),
            Kind::In(a, list) => {
                a.unqualify(own);
                list.iter_mut().for_each(|n| n.unqualify(own));
            }
            Kind::Between(a, b, c) => [a, b, c].into_iter().for_each(|n| n.unqualify(own)),
            Kind::Case { operand, branches, otherwise } => {
                operand.iter_mut().chain(otherwise).for_each(|n| n.unqualify(own));
                for (when, then) in branches {
                    when.unqualify(own);
                    then.unqualify(own);
                }
            }
            Kind::Call(call) => call.unqualify(own),
        }
    }
}

impl Call {
    /// As [`Node::unqualify`].
    pub(super) fn unqualify(&mut self, own: &[&str]) {
        self.args.iter_mut().chain(&mut self.filter).for_each(|n| n.unqualify(own));
    }
}
