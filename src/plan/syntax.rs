//! The syntax tree: what a text says, names not yet resolved. Every node knows its place; nodes
//! are equal where they say the same, wherever they stand.

use crate::model::diagnostic::Place;
use crate::model::value::{DataType, Value};

use super::logical::{BinaryOp, Direction, JoinKind};

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
    /// `a`, `s.a`, `a->b`, `s.a->b`.
    Path(Path),
    /// `*` among the arguments of a call.
    Star,
    /// A member of something that is no plain path.
    Member(Box<Node>, Name),
    /// `a[0]`.
    Element(Box<Node>, Box<Node>),
    /// `a[1:3]`, either bound may be absent.
    Slice(Box<Node>, Option<Box<Node>>, Option<Box<Node>>),
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
    /// `a IN array`.
    InArray(Box<Node>, Box<Node>),
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

/// A path of names. Equal where side and names are, whether the side is written or not.
#[derive(Clone, Debug)]
pub(super) struct Path {
    /// The names, in order; once the side is known, without its name.
    pub(super) names: Vec<Name>,
    /// How many of them, from the first on, are joined by dots: the first may be a side's.
    pub(super) dotted: usize,
    /// The side of FROM that it is of, once that is known.
    pub(super) side: Option<usize>,
    /// Whether the side was written.
    pub(super) qualified: bool,
    /// Whether the first name stands in double quotes, as texts do elsewhere.
    pub(super) quoted: bool,
}

impl PartialEq for Path {
    fn eq(&self, other: &Self) -> bool {
        self.side == other.side && self.names == other.names
    }
}

impl Path {
    /// A path as written.
    pub(super) fn of(name: Name) -> Self {
        Self { names: vec![name], dotted: 1, side: None, qualified: false, quoted: false }
    }

    /// A column of a side.
    pub(super) fn column(side: usize, name: Name) -> Self {
        Self { names: vec![name], dotted: 1, side: Some(side), qualified: true, quoted: false }
    }

    /// The path as a person would write it.
    pub(super) fn shown(&self) -> String {
        self.names.iter().map(|name| name.text.as_str()).collect::<Vec<_>>().join(".")
    }
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
    /// The texts of its arguments, in lower case and single blanks, where they name columns.
    pub(super) texts: Vec<String>,
    /// `FILTER (WHERE …)`.
    pub(super) filter: Option<Node>,
    /// `OVER (…)`.
    pub(super) over: Option<Over>,
}

/// `OVER (PARTITION BY a, … WHEN c)`.
#[derive(Clone, Debug, PartialEq, Default)]
pub(super) struct Over {
    /// PARTITION BY.
    pub(super) partition: Vec<Node>,
    /// WHEN.
    pub(super) when: Option<Node>,
}

/// A query.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Select {
    /// Where DISTINCT stands.
    pub(super) distinct: Option<Place>,
    /// What it gives.
    pub(super) items: Vec<Item>,
    /// What it reads, in order; at least one.
    pub(super) from: Vec<Source>,
    /// WHERE.
    pub(super) filter: Option<Node>,
    /// GROUP BY, without the window.
    pub(super) group: Vec<Node>,
    /// The window, where GROUP BY names one.
    pub(super) window: Option<Call>,
    /// HAVING.
    pub(super) having: Option<Node>,
    /// ORDER BY.
    pub(super) order: Vec<(Node, Direction)>,
    /// LIMIT, and where it stands.
    pub(super) limit: Option<(usize, Place)>,
}

/// One side of FROM.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Source {
    /// The stream or table.
    pub(super) name: Name,
    /// What the query calls it.
    pub(super) alias: Option<Name>,
    /// How it is joined to those before it; the first is not.
    pub(super) join: Option<Join>,
}

impl Source {
    /// The name that the query uses for it.
    pub(super) fn called(&self) -> &Name {
        self.alias.as_ref().unwrap_or(&self.name)
    }
}

/// How a side is joined.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Join {
    /// Which rows stay.
    pub(super) kind: JoinKind,
    /// Where its words stand.
    pub(super) place: Place,
    /// ON.
    pub(super) on: Option<Node>,
}

/// One item of a SELECT list.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Item {
    /// `*`, `a.*`.
    All {
        /// Where it stands.
        place: Place,
        /// Of which side; `None` is all.
        of: Option<Name>,
        /// `EXCEPT (a, …)`.
        except: Vec<Name>,
        /// `REPLACE (expr AS a, …)`.
        replace: Vec<(Node, Name)>,
    },
    /// An expression.
    Expr(Column),
}

/// An expression of a SELECT list.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Column {
    /// What to compute.
    pub(super) node: Node,
    /// `AS name`.
    pub(super) alias: Option<Name>,
    /// Its text, in lower case and single blanks.
    pub(super) text: String,
    /// `INVISIBLE`.
    pub(super) invisible: bool,
}

impl Column {
    /// The output column's name and where it comes from.
    pub(super) fn name(&self) -> (String, Place) {
        match (&self.alias, &self.node.kind) {
            (Some(alias), _) => (alias.text.clone(), alias.place),
            (None, Kind::Path(path)) => {
                (path.names.last().map_or_else(String::new, |name| name.text.clone()), self.node.place)
            }
            (None, _) => (self.text.clone(), self.node.place),
        }
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
        node.measure();
        node
    }

    /// Counts its levels again, after a part was replaced.
    pub(super) fn measure(&mut self) {
        let mut highest = 0;
        self.each(&mut |child| highest = highest.max(child.height));
        self.height = highest + 1;
    }

    /// Visits the direct parts, in the order of the text.
    pub(super) fn each<'n>(&'n self, visit: &mut dyn FnMut(&'n Self)) {
        match &self.kind {
            Kind::Const(_) | Kind::Path(_) | Kind::Star => {}
            Kind::Member(a, _)
            | Kind::Not(a)
            | Kind::Neg(a)
            | Kind::IsNull(a)
            | Kind::IsBool(a, _)
            | Kind::Cast(a, _) => {
                visit(a);
            }
            Kind::Element(a, b) | Kind::Binary(_, a, b) | Kind::Like(a, b, _) | Kind::InArray(a, b) => {
                visit(a);
                visit(b);
            }
            Kind::Slice(a, from, to) => {
                visit(a);
                from.iter().chain(to).for_each(|n| visit(n));
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
            Kind::Call(call) => {
                call.args.iter().chain(&call.filter).for_each(&mut *visit);
                if let Some(over) = &call.over {
                    over.partition.iter().chain(&over.when).for_each(visit);
                }
            }
        }
    }

    /// As [`Self::each`], to change them.
    pub(super) fn each_mut(&mut self, visit: &mut dyn FnMut(&mut Self)) {
        match &mut self.kind {
            Kind::Const(_) | Kind::Path(_) | Kind::Star => {}
            Kind::Member(a, _)
            | Kind::Not(a)
            | Kind::Neg(a)
            | Kind::IsNull(a)
            | Kind::IsBool(a, _)
            | Kind::Cast(a, _) => {
                visit(a);
            }
            Kind::Element(a, b) | Kind::Binary(_, a, b) | Kind::Like(a, b, _) | Kind::InArray(a, b) => {
                visit(a);
                visit(b);
            }
            Kind::Slice(a, from, to) => {
                visit(a);
                from.iter_mut().chain(to).for_each(|n| visit(n));
            }
            Kind::And(list) | Kind::Or(list) => list.iter_mut().for_each(visit),
            Kind::In(a, list) => {
                visit(a);
                list.iter_mut().for_each(visit);
            }
            Kind::Between(a, b, c) => [a, b, c].into_iter().for_each(|n| visit(n)),
            Kind::Case { operand, branches, otherwise } => {
                operand.iter_mut().for_each(|n| visit(n));
                for (when, then) in branches {
                    visit(when);
                    visit(then);
                }
                otherwise.iter_mut().for_each(|n| visit(n));
            }
            Kind::Call(call) => {
                call.args.iter_mut().chain(&mut call.filter).for_each(&mut *visit);
                if let Some(over) = &mut call.over {
                    over.partition.iter_mut().chain(&mut over.when).for_each(visit);
                }
            }
        }
    }

    /// Whether this or some part of it is so.
    pub(super) fn any(&self, is: &mut dyn FnMut(&Self) -> bool) -> bool {
        let mut found = is(self);
        self.each(&mut |part| found = found || part.any(is));
        found
    }

    /// How many nodes it has; each name of a path counts.
    pub(super) fn size(&self) -> usize {
        let mut size = match &self.kind {
            Kind::Path(path) => path.names.len(),
            _ => 1,
        };
        self.each(&mut |part| size += part.size());
        size
    }
}
