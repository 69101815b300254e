//! A compiled rule: a shape, which all rules share that are equal up to constants, and what is the
//! rule's own. Knows how constants leave a shape and come back; runs nothing.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::Duration;

use crate::model::alerting::{AlertShape, AlertSpec, Life, RuleKind};
use crate::model::label::Labels;
use crate::model::value::Value;

use super::logical::{Analytic, Arrange, Expr, From, Side, Window, WindowKind};
use super::rules::Params;

/// One rule, compiled: what is its own, and the [`Shape`] that it may share with others, which reads as
/// if it stood here.
#[derive(Clone, Debug, PartialEq)]
pub struct RulePlan {
    /// What the state of the rule depends on: a hash of its query's text, and of the declarations of
    /// the streams and tables that it names. Where it is the same, state is kept over a change of the rule.
    pub state: u64,
    /// Its alert side.
    pub alert: AlertSpec,
    /// Its own constants, which [`Expr::Param`] counts.
    pub params: Params,
    /// The rest.
    pub shape: Arc<Shape>,
}

impl Deref for RulePlan {
    type Target = Shape;

    fn deref(&self) -> &Shape {
        &self.shape
    }
}

/// A shape that is changed is no longer shared.
impl DerefMut for RulePlan {
    fn deref_mut(&mut self) -> &mut Shape {
        Arc::make_mut(&mut self.shape)
    }
}

/// What a rule does, but for its own constants. A row of a stream goes: `from` (joins) → `analytics` →
/// `filter` → `window` (if any) → `project` → `unnest` → `when`/`clear`. Where streams are joined, rows
/// wait in the window first, and all the rest happens when it closes.
#[derive(Clone, Debug, PartialEq)]
pub struct Shape {
    /// FROM.
    pub from: From,
    /// The analytic functions over rows, each once. One may use the values of those before it.
    pub analytics: Vec<Analytic>,
    /// WHERE, over rows. A row passes where it is true (not false, not NULL).
    pub filter: Option<Expr>,
    /// GROUP BY and the window; `None` evaluates every row by itself.
    pub window: Option<Window>,
    /// The output columns. The first [`Self::visible`] are named by
    /// [`AlertShape::columns`](crate::model::alerting::AlertShape::columns); those behind them are
    /// INVISIBLE: `when` and `clear` may use them, and they go no further. Over rows without a window or
    /// where it gives [`Gives::Rows`](super::logical::Gives::Rows), else over groups.
    pub project: Vec<Expr>,
    /// How many of `project` are output.
    pub visible: usize,
    /// `unnest(array)`: an output row for each element, which [`Expr::Unnested`] stands for. None for
    /// what is no array or empty. In the same terms as `project`.
    pub unnest: Option<Expr>,
    /// DISTINCT, ORDER BY and LIMIT: over all output rows of windows that end together; without a
    /// window over the elements of one row.
    pub arrange: Option<Arrange>,
    /// The key of the alert, named by [`AlertShape::key`](crate::model::alerting::AlertShape::key); in the
    /// same terms as `project`.
    pub key: Vec<Expr>,
    /// `when`, over [`Expr::Column`] only.
    pub when: Option<Expr>,
    /// `clear`, over [`Expr::Column`] only. `None`: the negation of `when`.
    pub clear: Option<Expr>,
    /// Its levels, in ascending order; `when` and `clear` are those of all of them then.
    pub levels: Vec<Level>,
}

/// A level of a rule.
#[derive(Clone, Debug, PartialEq)]
pub struct Level {
    /// As [`Shape::when`].
    pub when: Expr,
    /// As [`Shape::clear`].
    pub clear: Option<Expr>,
}

/// How the alerts of a rule go with the KEY of its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keyed {
    /// The side of FROM that is the stream.
    pub side: usize,
    /// Which of the columns of [`Shape::key`] it is; `None` where there is none.
    pub at: Option<usize>,
}

impl RulePlan {
    /// A rule of a shape with its constants in it, which become the rule's own.
    pub fn new(state: u64, alert: AlertSpec, mut shape: Shape) -> Self {
        let params = shape.lift().into();
        Self { state, alert, params, shape: Arc::new(shape) }
    }

    /// The same rule with its constants in the places where they stood: for what shows rules, and for
    /// what compares them.
    #[must_use]
    pub fn whole(&self) -> Self {
        let mut shape = Shape::clone(&self.shape);
        shape.each_mut(&mut |expr| {
            expr.walk_mut(&mut |part| {
                if let Expr::Param(n) = part {
                    *part = Expr::Const(self.params.get(*n).cloned().unwrap_or_default());
                }
            });
        });
        Self { params: Params::default(), shape: Arc::new(shape), ..self.clone() }
    }

    /// What stands where no rule stands: it reads nothing, and has no id.
    pub fn vacant() -> Self {
        let alert = AlertShape {
            ruleset: "".into(),
            kind: RuleKind::Occurrence { repeat: Duration::ZERO },
            severity: "".into(),
            labels: Labels::new(),
            annotations: Vec::new(),
            key: Vec::new(),
            columns: Vec::new(),
            cadence: None,
            no_data: None,
            life: Life::plain(),
        };
        let shape = Shape {
            from: From { sides: Vec::new(), joins: Vec::new(), at_close: false },
            analytics: Vec::new(),
            filter: None,
            window: None,
            project: Vec::new(),
            visible: 0,
            unnest: None,
            arrange: None,
            key: Vec::new(),
            when: None,
            clear: None,
            levels: Vec::new(),
        };
        let alert = AlertSpec { rule: "".into(), hash: 0, shape: Arc::new(alert) };
        Self { state: 0, alert, params: Params::default(), shape: Arc::new(shape) }
    }

    /// Whether no rule stands here.
    pub fn is_vacant(&self) -> bool {
        self.alert.rule.is_empty()
    }

    /// The constant that an expression of this rule is; `None` where it is none.
    pub fn constant<'a>(&'a self, expr: &'a Expr) -> Option<&'a Value> {
        constant(expr, &self.params)
    }
}

/// The constant that an expression of a rule with these constants is; `None` where it is none.
pub fn constant<'a>(expr: &'a Expr, params: &'a [Value]) -> Option<&'a Value> {
    match expr {
        Expr::Const(value) => Some(value),
        Expr::Param(n) => params.get(*n),
        _ => None,
    }
}

impl Shape {
    /// The streams whose rows it takes, each with the side of FROM that it is.
    pub fn streams(&self) -> impl Iterator<Item = (usize, usize)> {
        self.from.sides.iter().enumerate().filter_map(|(at, side)| match side {
            Side::Stream(stream) => Some((at, *stream)),
            Side::Table(_) => None,
        })
    }

    /// The stream that is the first side of FROM.
    pub fn stream(&self) -> usize {
        self.streams().next().map_or(0, |(_, stream)| stream)
    }

    /// Whether its alerts are told apart by the KEY of its only stream, which is in this slot, and perhaps by
    /// more that a reading tells; where the stream has none, whether all its readings share one alert.
    pub fn keyed_by(&self, key: Option<usize>) -> Option<Keyed> {
        let mut streams = self.streams();
        let (side, _) = streams.next()?;
        let own = |expr: &Expr| {
            let mut own = true;
            self.key_expr(expr).walk(&mut |part| match part {
                Expr::Field(from, _) => own &= *from == side,
                Expr::Group(_) | Expr::Aggregate(_) | Expr::Analytic(_) | Expr::Column(_) => own = false,
                Expr::Unnested | Expr::WindowStart | Expr::WindowEnd => own = false,
                _ => {}
            });
            own
        };
        let at = match key {
            None if self.key.is_empty() => None,
            None => return None,
            Some(slot) => {
                let is_key = |expr: &Expr| *self.key_expr(expr) == Expr::Field(side, slot);
                Some(self.key.iter().position(is_key)?)
            }
        };
        (streams.next().is_none() && self.key.iter().all(own)).then_some(Keyed { side, at })
    }

    /// A column of the key as an expression over rows.
    pub fn key_expr<'a>(&'a self, expr: &'a Expr) -> &'a Expr {
        let group = |at: usize| self.window.as_ref().and_then(|window| window.group.get(at));
        match expr {
            Expr::Group(at) => group(*at).unwrap_or(expr),
            _ => expr,
        }
    }

    /// Takes the constants out that may differ from rule to rule, in the order of [`Self::each`]. NULL,
    /// TRUE and FALSE stay, as there is nothing to save; so do the further arguments of aggregates and of
    /// analytic functions, which say what they are and not what they are of.
    pub(super) fn lift(&mut self) -> Vec<Value> {
        let mut params = Vec::new();
        self.each_mut(&mut |expr| {
            expr.walk_mut(&mut |part| {
                if let Expr::Const(value) = part
                    && !matches!(value, Value::Null | Value::Bool(_))
                {
                    let value = std::mem::take(value);
                    *part = Expr::Param(params.len());
                    params.push(value);
                }
            });
        });
        params
    }

    /// Visits every expression that may hold constants of a rule: all but the further arguments of
    /// aggregates and the arguments of analytic functions.
    fn each_mut(&mut self, visit: &mut dyn FnMut(&mut Expr)) {
        fn analytics(list: &mut [Analytic], visit: &mut dyn FnMut(&mut Expr)) {
            for analytic in list {
                analytic.partition.iter_mut().chain(&mut analytic.when).for_each(&mut *visit);
            }
        }
        for join in &mut self.from.joins {
            join.on.iter_mut().for_each(&mut *visit);
            join.equal.iter_mut().for_each(|(expr, _)| visit(expr));
        }
        analytics(&mut self.analytics, visit);
        self.filter.iter_mut().for_each(&mut *visit);
        if let Some(window) = &mut self.window {
            window.filter.iter_mut().chain(&mut window.group).for_each(&mut *visit);
            for aggregate in &mut window.aggregates {
                aggregate.args.iter_mut().take(1).chain(&mut aggregate.filter).for_each(&mut *visit);
            }
            analytics(&mut window.analytics, visit);
            window.having.iter_mut().for_each(&mut *visit);
            match &mut window.kind {
                WindowKind::Sliding { trigger, .. } => trigger.iter_mut().for_each(&mut *visit),
                WindowKind::State { begin, end, partition } => {
                    std::iter::once(begin).chain(end).chain(partition).for_each(&mut *visit);
                }
                WindowKind::Tumbling { .. }
                | WindowKind::Hopping { .. }
                | WindowKind::Session { .. }
                | WindowKind::Count { .. } => {}
            }
        }
        self.project.iter_mut().chain(&mut self.unnest).for_each(&mut *visit);
        self.arrange.iter_mut().flat_map(|arrange| &mut arrange.order).for_each(|(expr, _)| visit(expr));
        self.key.iter_mut().chain(&mut self.when).chain(&mut self.clear).for_each(&mut *visit);
        self.levels
            .iter_mut()
            .flat_map(|level| std::iter::once(&mut level.when).chain(&mut level.clear))
            .for_each(visit);
    }

    /// Visits every expression.
    pub fn each(&self, visit: &mut dyn FnMut(&Expr)) {
        fn analytics(list: &[Analytic], visit: &mut dyn FnMut(&Expr)) {
            for analytic in list {
                analytic.args.iter().chain(&analytic.partition).chain(&analytic.when).for_each(&mut *visit);
            }
        }
        for join in &self.from.joins {
            join.on.iter().for_each(&mut *visit);
            join.equal.iter().for_each(|(expr, _)| visit(expr));
        }
        analytics(&self.analytics, visit);
        self.filter.iter().for_each(&mut *visit);
        if let Some(window) = &self.window {
            window.filter.iter().chain(&window.group).for_each(&mut *visit);
            for aggregate in &window.aggregates {
                aggregate.args.iter().chain(&aggregate.filter).for_each(&mut *visit);
            }
            analytics(&window.analytics, visit);
            window.having.iter().for_each(&mut *visit);
            match &window.kind {
                WindowKind::Sliding { trigger, .. } => trigger.iter().for_each(&mut *visit),
                WindowKind::State { begin, end, partition } => {
                    std::iter::once(begin).chain(end).chain(partition).for_each(&mut *visit);
                }
                WindowKind::Tumbling { .. }
                | WindowKind::Hopping { .. }
                | WindowKind::Session { .. }
                | WindowKind::Count { .. } => {}
            }
        }
        self.project.iter().chain(&self.unnest).for_each(&mut *visit);
        self.arrange.iter().flat_map(|arrange| &arrange.order).for_each(|(expr, _)| visit(expr));
        self.key.iter().chain(&self.when).chain(&self.clear).for_each(&mut *visit);
        self.levels.iter().flat_map(|level| std::iter::once(&level.when).chain(&level.clear)).for_each(visit);
    }
}
