//! The checked plan: names resolved to slots, types known where the schema tells them. Whatever
//! is in here can run; nothing that runs it can fail.

use std::sync::Arc;
use std::time::Duration;

use crate::model::alerting::{AlertSpec, Roster};
use crate::model::stream::{StreamSpec, TimeUnit};
use crate::model::value::{DataType, Value};

use super::function::{Compiled, Function};

pub use super::rules::{Params, Rules};
pub use super::shape::{Level, RulePlan, Shape};

/// One rule set, compiled.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Plan {
    /// The streams that rules of the set read, and those that feed its tables.
    pub streams: Vec<Arc<StreamSpec>>,
    /// The tables that rules of the set look into.
    pub tables: Vec<Arc<Table>>,
    /// The rules, each in its place, which it keeps over changes of the set; at first the order of the file.
    /// Where none stands, one that [is vacant](RulePlan::is_vacant).
    pub rules: Rules,
}

impl Plan {
    /// How many rules there are. Places where none stands do not count.
    pub fn len(&self) -> usize {
        self.rules.iter().filter(|rule| !rule.is_vacant()).count()
    }

    /// Whether there is no rule.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Roster for Plan {
    fn get(&self, rule: usize) -> Option<&AlertSpec> {
        self.rules.get(rule).map(|rule| &rule.alert)
    }

    fn at(&self, rule: usize) -> &AlertSpec {
        &self.rules[rule].alert
    }

    fn len(&self) -> usize {
        self.rules.len()
    }
}

/// A table: rows to look into, which start nothing by themselves.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    /// Its name in SQL.
    pub name: Arc<str>,
    /// Its columns. [`Expr::Field`] counts them; for [`Content::Latest`] they are the slots of the
    /// stream that feeds it.
    pub columns: Vec<Arc<str>>,
    /// Where its rows come from.
    pub content: Content,
}

/// Where the rows of a table come from.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// They travel with the rules.
    Fixed(Arc<[Box<[Value]>]>),
    /// The newest row of each key of a stream; of the whole stream, where that names no key. An
    /// older row never replaces a newer one. Retained messages count.
    Latest {
        /// The stream, by its place in [`Plan::streams`].
        stream: usize,
    },
}

/// FROM: what a rule reads.
#[derive(Clone, Debug, PartialEq)]
pub struct From {
    /// Streams and tables, in the order of FROM; the first is a stream. [`Expr::Field`] counts them.
    pub sides: Vec<Side>,
    /// How each side but the first is joined to those before it; one fewer than sides.
    pub joins: Vec<Join>,
    /// Whether rows of all sides wait in the window and are joined when it closes. So it is where two
    /// streams are joined, or a table's unmatched rows count too (RIGHT, FULL). Else each row of the one
    /// stream finds its partners in the tables when it comes.
    pub at_close: bool,
}

/// One side of FROM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// A stream, by its place in [`Plan::streams`].
    Stream(usize),
    /// A table, by its place in [`Plan::tables`].
    Table(usize),
}

/// How a side is joined to those before it.
#[derive(Clone, Debug, PartialEq)]
pub struct Join {
    /// Which rows without a partner stay.
    pub kind: JoinKind,
    /// ON, over all sides up to this one; `None` for CROSS.
    pub on: Option<Expr>,
    /// The equalities that `on` demands: an expression over the sides before, and the slot of this
    /// side that must equal it. `on` holds them too; they are there to look partners up by.
    pub equal: Vec<(Expr, usize)>,
}

/// The kinds of join.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JoinKind {
    /// Only pairs.
    Inner,
    /// All rows of the sides before.
    Left,
    /// All rows of this side.
    Right,
    /// All rows.
    Full,
    /// Every pair.
    Cross,
}

/// An analytic function: it looks back over the rows (or, in [`Window::analytics`], over the groups)
/// that came before, per partition.
#[derive(Clone, Debug, PartialEq)]
pub struct Analytic {
    /// Which.
    pub function: AnalyticFunction,
    /// Its arguments.
    pub args: Vec<Expr>,
    /// PARTITION BY; empty is one partition for all.
    pub partition: Vec<Expr>,
    /// WHEN: a row for which this is not true changes nothing, and gets the value of the last one for
    /// which it was.
    pub when: Option<Expr>,
}

/// The analytic functions. `ignore_null` is a BOOLEAN argument in the place eKuiper gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AnalyticFunction {
    /// `lag(x [, offset [, default [, ignore_null]]])`
    Lag,
    /// `latest(x [, default])`: the last value that was not NULL, this row's included.
    Latest,
    /// `had_changed(ignore_null, x, …)`
    HadChanged,
    /// `changed_col(ignore_null, x)`; `changed_cols` is planned as one of these a column.
    ChangedCol,
    /// `acc_sum(x)`
    AccSum,
    /// `acc_avg(x)`
    AccAvg,
    /// `acc_min(x)`
    AccMin,
    /// `acc_max(x)`
    AccMax,
    /// `acc_count(x)`, `acc_count(*)`
    AccCount,
    /// `row_number()`
    RowNumber,
    /// `last_hit_count()`: how often the rule gave output before.
    LastHitCount,
    /// `last_hit_time()`: the time of the last output row; NULL before the first.
    LastHitTime,
    /// `delay(ms, x)`: x as it was so long before this row.
    Delay,
    /// `ewma(x, half_life)`: the exponentially weighted mean; the half life in seconds, or a text such as
    /// `'5m'`.
    Ewma,
    /// `zscore(x)`: distance to the mean of all before in standard deviations.
    Zscore,
    /// `delta(x)`: to the value before.
    Delta,
    /// `increase(x)` of a counter since the row before; a fall is a reset.
    Increase,
    /// `rate(x)`: `increase` a second.
    Rate,
    /// `time_in_state(condition)`: for how many seconds it has been true without a break; NULL where it
    /// is not true.
    TimeInState,
}

/// A window with its groups. State is kept per group key.
#[derive(Clone, Debug, PartialEq)]
pub struct Window {
    /// Which window.
    pub kind: WindowKind,
    /// `FILTER (WHERE …)` behind the window: only rows for which it is true enter. Over one row before
    /// any join at the close; the other sides are NULL there.
    pub filter: Option<Expr>,
    /// What comes out when it closes.
    pub gives: Gives,
    /// The GROUP BY expressions, over rows.
    pub group: Vec<Expr>,
    /// The aggregates, each once.
    pub aggregates: Vec<Aggregate>,
    /// The analytic functions over groups, each once. One may use the values of those before it.
    pub analytics: Vec<Analytic>,
    /// HAVING, in the terms of `project`.
    pub having: Option<Expr>,
    /// Whether one of `group`, or of a state window's `partition`, is the stream's key, or there are groups
    /// and the stream has no key: then each group has its own watermark. Without it a group follows
    /// the slowest key that is not idle. Never where [`Shape::arrange`] compares groups, nor where
    /// streams are joined.
    pub by_key: bool,
}

/// What a window gives when it closes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gives {
    /// A row for each group.
    Groups,
    /// Each of its rows: there is neither GROUP BY nor an aggregate.
    Rows,
}

/// DISTINCT, ORDER BY and LIMIT.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Arrange {
    /// Of output rows whose visible columns are the same, only the first.
    pub distinct: bool,
    /// ORDER BY, in the terms of `project`; NULL stands last, both ways round.
    pub order: Vec<(Expr, Direction)>,
    /// LIMIT.
    pub limit: Option<usize>,
}

/// Which way round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// The least first.
    Ascending,
    /// The greatest first.
    Descending,
}

/// The kinds of window. Tumbling and hopping windows are aligned to 1970 UTC.
#[derive(Clone, Debug, PartialEq)]
pub enum WindowKind {
    /// Back to back.
    Tumbling {
        /// Its length.
        length: Duration,
    },
    /// One begins every `hop`.
    Hopping {
        /// Its length.
        length: Duration,
        /// From one's beginning to the next's; at most `length`.
        hop: Duration,
    },
    /// For each row one that ends with it: rows in `(t - length, t + delay]`.
    Sliding {
        /// How far it looks back.
        length: Duration,
        /// How far it looks ahead.
        delay: Duration,
        /// `OVER (WHEN …)`: only rows for which this is true have one.
        trigger: Option<Expr>,
    },
    /// Rows without a gap of `timeout` or more between them, for at most `length`.
    Session {
        /// Its greatest length: a row this far from its first begins the next.
        length: Duration,
        /// The silence that ends it.
        timeout: Duration,
    },
    /// Every `every` rows of a group, its last `count` rows, once there are so many.
    Count {
        /// Its length in rows.
        count: usize,
        /// How many rows lie between two; at most `count`.
        every: usize,
    },
    /// From a row for which `begin` is true. Without `end` it holds the rows up to the first for which
    /// `begin` is not true, which closes it from outside; with `end` it holds the rows up to and with
    /// the first for which that is true.
    State {
        /// What begins it.
        begin: Expr,
        /// What ends it.
        end: Option<Expr>,
        /// `OVER (PARTITION BY …)`: further keys besides GROUP BY's.
        partition: Vec<Expr>,
    },
}

/// One aggregate of a window.
#[derive(Clone, Debug, PartialEq)]
pub struct Aggregate {
    /// Which.
    pub function: AggregateFunction,
    /// Its arguments, over rows; none for `count(*)`.
    pub args: Vec<Expr>,
    /// `FILTER (WHERE …)`, over rows.
    pub filter: Option<Expr>,
    /// `DISTINCT`, by the first argument.
    pub distinct: bool,
}

/// The aggregates. They skip rows whose first argument is NULL, except `count(*)` and where a line says
/// otherwise; all but `count` give NULL for nothing. "First" and "last" go by the rows' times, and among
/// equal times by arrival.
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
    /// `collect(x)`: all values as an array, NULLs too, in order of time.
    Collect,
    /// `first_value(x [, ignore_null])`; NULLs count unless `ignore_null`.
    FirstValue,
    /// `last_value(x [, ignore_null])`; NULLs count unless `ignore_null`.
    LastValue,
    /// `merge_agg(object)`: all members, the later over the earlier.
    MergeAgg,
    /// `deduplicate(x [, all])`: the different values as an array, in order of time; with `all` false
    /// only the last value, if it is new.
    Deduplicate,
    /// `median(x)`
    Median,
    /// `stddev(x)`: of the population.
    Stddev,
    /// `stddevs(x)`: of a sample.
    Stddevs,
    /// `var(x)`: of the population.
    Var,
    /// `vars(x)`: of a sample.
    Vars,
    /// `percentile_cont(x, p)`: interpolated.
    PercentileCont,
    /// `percentile_disc(x, p)`: a value that is there.
    PercentileDisc,
    /// `increase(x)` of a counter over the window; a fall is a reset.
    Increase,
    /// `rate(x)`: `increase` a second, from the first to the last reading.
    Rate,
    /// `delta(x)`: the last less the first.
    Delta,
    /// `zscore(x)`: the last value's distance to the window's mean, in standard deviations of the
    /// population.
    Zscore,
    /// `slope(x)`: least squares, a second.
    Slope,
    /// `predict(x, horizon)`: where that line will be, so many seconds (or `'10m'`) after the last
    /// reading.
    Predict,
}

/// An expression over one row. Evaluation gives a value for every input; what has none is NULL.
#[derive(Clone, Debug, PartialEq)]
pub enum Expr {
    /// A constant that all rules of the shape have.
    Const(Value),
    /// The n-th constant of the rule itself: of [`RulePlan::params`].
    Param(usize),
    /// A slot of a row: of which side of FROM, and which. NULL where that side has no row.
    Field(usize, usize),
    /// The n-th GROUP BY expression's value.
    Group(usize),
    /// The n-th aggregate's value.
    Aggregate(usize),
    /// The n-th analytic function's value: of [`Shape::analytics`] over rows, of
    /// [`Window::analytics`] over groups.
    Analytic(usize),
    /// The element that [`Shape::unnest`] is at.
    Unnested,
    /// The row's own time; over groups the end of the window.
    EventTime,
    /// The node's clock.
    Now,
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
    /// `a IN array`, three-valued.
    InArray(Box<Expr>, Box<Expr>),
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
    /// The elements from the first bound up to before the second, counted likewise: `a[1:3]`, `a[1:]`.
    Slice(Box<Expr>, Option<Box<Expr>>, Option<Box<Expr>>),
    /// A scalar function.
    Call(Function, Vec<Expr>),
    /// The same with those of its arguments that are fixed by constants, worked out; the others follow.
    Prepared(Function, Arc<[Compiled]>, Vec<Expr>),
}

impl BinaryOp {
    /// The same comparison with its operands exchanged; any other operator as it is.
    #[must_use]
    pub const fn turned(self) -> Self {
        match self {
            Self::Lt => Self::Gt,
            Self::Le => Self::Ge,
            Self::Gt => Self::Lt,
            Self::Ge => Self::Le,
            other => other,
        }
    }
}

impl Expr {
    /// Visits this expression and all its parts.
    pub fn walk(&self, visit: &mut dyn FnMut(&Self)) {
        visit(self);
        match self {
            Self::Const(_) | Self::Param(_) | Self::Field(..) | Self::Group(_) => {}
            Self::Aggregate(_)
            | Self::Analytic(_)
            | Self::Column(_)
            | Self::Unnested
            | Self::WindowStart
            | Self::WindowEnd => {}
            Self::EventTime | Self::Now => {}
            Self::Unary(_, a)
            | Self::IsNull(a)
            | Self::IsBool(a, _)
            | Self::Cast(a, ..)
            | Self::Member(a, _) => {
                a.walk(visit);
            }
            Self::Binary(_, a, b) | Self::Element(a, b) | Self::InArray(a, b) => {
                a.walk(visit);
                b.walk(visit);
            }
            Self::And(list) | Self::Or(list) | Self::Call(_, list) | Self::Prepared(_, _, list) => {
                list.iter().for_each(|e| e.walk(visit));
            }
            Self::Slice(a, from, to) => {
                a.walk(visit);
                from.iter().chain(to).for_each(|e| e.walk(visit));
            }
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

    /// Visits this expression and all its parts, each before its own parts, to change them.
    pub fn walk_mut(&mut self, visit: &mut dyn FnMut(&mut Self)) {
        visit(self);
        match self {
            Self::Const(_) | Self::Param(_) | Self::Field(..) | Self::Group(_) => {}
            Self::Aggregate(_)
            | Self::Analytic(_)
            | Self::Column(_)
            | Self::Unnested
            | Self::WindowStart
            | Self::WindowEnd => {}
            Self::EventTime | Self::Now => {}
            Self::Unary(_, a)
            | Self::IsNull(a)
            | Self::IsBool(a, _)
            | Self::Cast(a, ..)
            | Self::Member(a, _) => {
                a.walk_mut(visit);
            }
            Self::Binary(_, a, b) | Self::Element(a, b) | Self::InArray(a, b) => {
                a.walk_mut(visit);
                b.walk_mut(visit);
            }
            Self::And(list) | Self::Or(list) | Self::Call(_, list) | Self::Prepared(_, _, list) => {
                list.iter_mut().for_each(|e| e.walk_mut(visit));
            }
            Self::Slice(a, from, to) => {
                a.walk_mut(visit);
                from.iter_mut().chain(to).for_each(|e| e.walk_mut(visit));
            }
            Self::In(a, list) => {
                a.walk_mut(visit);
                list.iter_mut().for_each(|e| e.walk_mut(visit));
            }
            Self::Like { text, pattern, .. } => {
                text.walk_mut(visit);
                pattern.walk_mut(visit);
            }
            Self::Case { branches, otherwise } => {
                for (when, then) in branches {
                    when.walk_mut(visit);
                    then.walk_mut(visit);
                }
                otherwise.iter_mut().for_each(|e| e.walk_mut(visit));
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
