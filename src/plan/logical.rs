//! The checked plan: names resolved to slots, types known where the schema tells them. Whatever
//! is in here can run; nothing that runs it can fail.

use std::sync::Arc;
use std::time::Duration;

use crate::model::alerting::AlertSpec;
use crate::model::stream::{StreamSpec, TimeUnit};
use crate::model::value::{DataType, Value};

use super::function::Function;

/// One rule set, compiled.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Plan {
    /// The streams that rules of the set read.
    pub streams: Vec<Arc<StreamSpec>>,
    /// The rules, in the order of the file.
    pub rules: Vec<Arc<RulePlan>>,
}

/// One rule, compiled. A row goes: `filter` → `window` (if any) → `project` → `when`/`clear`.
#[derive(Clone, Debug, PartialEq)]
pub struct RulePlan {
    /// The stream it reads, by its place in [`Plan::streams`].
    pub stream: usize,
    /// WHERE, over [`Expr::Field`]. A row passes where it is true (not false, not NULL).
    pub filter: Option<Expr>,
    /// GROUP BY and the window; `None` evaluates every row by itself.
    pub window: Option<Window>,
    /// The output columns, named by [`AlertSpec::columns`]. Over `Field` without a window, over
    /// `Group`, `Aggregate`, `WindowStart` and `WindowEnd` with one.
    pub project: Vec<Expr>,
    /// The key of the alert, named by [`AlertSpec::key`]; in the same terms as `project`.
    pub key: Vec<Expr>,
    /// `when`, over [`Expr::Column`] only.
    pub when: Option<Expr>,
    /// `clear`, over [`Expr::Column`] only. `None`: the negation of `when`.
    pub clear: Option<Expr>,
    /// Its alert side.
    pub alert: Arc<AlertSpec>,
}

/// A window with its groups. State is kept per group key.
#[derive(Clone, Debug, PartialEq)]
pub struct Window {
    /// Which window.
    pub kind: WindowKind,
    /// The GROUP BY expressions, over `Field`.
    pub group: Vec<Expr>,
    /// The aggregates that `having` and `project` use, each once.
    pub aggregates: Vec<Aggregate>,
    /// HAVING, in the terms of `project`.
    pub having: Option<Expr>,
    /// Which of `group` is the stream's key, if one is: its watermark is that key's own. Without
    /// it a group follows the slowest key that is not idle.
    pub by_key: bool,
}

/// The kinds of window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WindowKind {
    /// Back to back, aligned to 1970 UTC.
    Tumbling {
        /// Its length.
        length: Duration,
    },
}

/// One aggregate of a window.
#[derive(Clone, Debug, PartialEq)]
pub struct Aggregate {
    /// Which.
    pub function: AggregateFunction,
    /// Its argument, over `Field`; `None` for `count(*)`.
    pub argument: Option<Expr>,
    /// `FILTER (WHERE …)`, over `Field`.
    pub filter: Option<Expr>,
    /// `DISTINCT`.
    pub distinct: bool,
}

/// The aggregates. All skip NULL, except `count(*)`; all but `count` give NULL for nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AggregateFunction {
    /// How many.
    Count,
    /// The sum; BIGINT while all are and it fits, else FLOAT.
    Sum,
    /// The mean, always FLOAT.
    Avg,
    /// The least.
    Min,
    /// The greatest.
    Max,
}

/// An expression over one row. Evaluation gives a value for every input; what has none is NULL.
#[derive(Clone, Debug, PartialEq)]
pub enum Expr {
    /// A constant.
    Const(Value),
    /// A slot of the stream's row.
    Field(usize),
    /// The n-th GROUP BY expression's value.
    Group(usize),
    /// The n-th aggregate's value.
    Aggregate(usize),
    /// Start of the window, inclusive.
    WindowStart,
    /// End of the window, exclusive.
    WindowEnd,
    /// The n-th output column.
    Column(usize),
    /// `NOT a`, `-a`.
    Unary(UnaryOp, Box<Expr>),
    /// `a op b`.
    Binary(BinaryOp, Box<Expr>, Box<Expr>),
    /// `a AND b AND …`, three-valued; at least two.
    And(Vec<Expr>),
    /// `a OR b OR …`, three-valued; at least two.
    Or(Vec<Expr>),
    /// `a IS NULL`.
    IsNull(Box<Expr>),
    /// `a IS TRUE`, `a IS FALSE`: true or false, never NULL.
    IsBool(Box<Expr>, bool),
    /// `a IN (b, …)`, three-valued.
    In(Box<Expr>, Vec<Expr>),
    /// `a LIKE pattern`: `%` any text, `_` one character, `escape` before either takes it as it is.
    Like {
        /// The text.
        text: Box<Expr>,
        /// The pattern.
        pattern: Box<Expr>,
        /// The escape character.
        escape: Option<char>,
    },
    /// `CASE WHEN c THEN v … ELSE e END`; a simple CASE is planned as comparisons.
    Case {
        /// Conditions with their values, in order.
        branches: Vec<(Expr, Expr)>,
        /// Where none is true; NULL if absent.
        otherwise: Option<Box<Expr>>,
    },
    /// `CAST(a AS type)`; what does not convert is NULL.
    Cast(Box<Expr>, DataType, TimeUnit),
    /// A member of a struct: `a->b`.
    Member(Box<Expr>, Arc<str>),
    /// An element of an array, counted from 0; negative counts from the end: `a[0]`.
    Element(Box<Expr>, Box<Expr>),
    /// A scalar function.
    Call(Function, Vec<Expr>),
}

impl Expr {
    /// Visits this expression and all its parts.
    pub fn walk(&self, visit: &mut dyn FnMut(&Self)) {
        visit(self);
        match self {
            Self::Const(_) | Self::Field(_) | Self::Group(_) | Self::Aggregate(_) | Self::Column(_) => {}
            Self::WindowStart | Self::WindowEnd => {}
            Self::Unary(_, a)
            | Self::IsNull(a)
            | Self::IsBool(a, _)
            | Self::Cast(a, ..)
            | Self::Member(a, _) => {
                a.walk(visit);
            }
            Self::Binary(_, a, b) | Self::Element(a, b) => {
                a.walk(visit);
                b.walk(visit);
            }
            Self::And(list) | Self::Or(list) | Self::Call(_, list) => list.iter().for_each(|e| e.walk(visit)),
            Self::In(a, list) => {
                a.walk(visit);
                list.iter().for_each(|e| e.walk(visit));
            }
            Self::Like { text, pattern, .. } => {
                text.walk(visit);
                pattern.walk(visit);
            }
            Self::Case { branches, otherwise } => {
                for (when, then) in branches {
                    when.walk(visit);
                    then.walk(visit);
                }
                otherwise.iter().for_each(|e| e.walk(visit));
            }
        }
    }
}

/// Operators with one operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum UnaryOp {
    /// Three-valued NOT.
    Not,
    /// Negation; overflow is NULL.
    Neg,
}

/// Operators with two operands. NULL in gives NULL out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BinaryOp {
    /// `=`.
    Eq,
    /// `<>`, `!=`.
    Ne,
    /// `<`.
    Lt,
    /// `<=`.
    Le,
    /// `>`.
    Gt,
    /// `>=`.
    Ge,
    /// `+`.
    Add,
    /// `-`.
    Sub,
    /// `*`.
    Mul,
    /// `/`: always a FLOAT quotient; by zero NULL.
    Div,
    /// `DIV`: the quotient rounded towards zero, BIGINT; by zero NULL.
    IntDiv,
    /// `%`: the remainder with the sign of the dividend; by zero NULL.
    Rem,
    /// `||`.
    Concat,
}
