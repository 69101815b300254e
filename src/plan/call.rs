//! Calls: scalar functions, aggregates, and the bounds of the window.

use crate::model::diagnostic::Place;
use crate::model::value::DataType;

use super::bind::{Binder, Clause, Typed};
use super::function::{self, Signature};
use super::logical::{Aggregate, AggregateFunction, Expr};
use super::nearest::nearest;
use super::report::Problem;
use super::syntax::{Call, Node};

const AGGREGATES: &[(&str, AggregateFunction)] = &[
    ("count", AggregateFunction::Count),
    ("sum", AggregateFunction::Sum),
    ("avg", AggregateFunction::Avg),
    ("min", AggregateFunction::Min),
    ("max", AggregateFunction::Max),
];

const WINDOW_BOUNDS: &[(&str, Expr)] =
    &[("window_start", Expr::WindowStart), ("window_end", Expr::WindowEnd)];

/// The names of the aggregates and of the window's bounds.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    AGGREGATES.iter().map(|aggregate| aggregate.0).chain(WINDOW_BOUNDS.iter().map(|bound| bound.0))
}

impl Binder<'_> {
    pub(super) fn call(&mut self, call: &Call, place: Place, clause: Clause) -> Typed {
        let name = call.name.text.as_str();
        if let Some((_, aggregate)) = AGGREGATES.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)) {
            return self.aggregate(*aggregate, call, place, clause);
        }
        let bound = WINDOW_BOUNDS.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        let signature = Signature::named(name);
        if bound.is_none() && signature.is_none() {
            return self.unknown_function(call);
        }
        if call.distinct || call.filter.is_some() || call.star {
            let message = format!("`{name}` is no aggregate and takes no DISTINCT, FILTER or `*`");
            return self.problem(Problem::new("wrong-arguments", place, message));
        }
        match (bound, signature) {
            (Some((_, bound)), _) => self.window_bound(bound, call, place, clause),
            (None, Some(signature)) => self.scalar(signature, call, place, clause),
            (None, None) => self.unknown_function(call),
        }
    }

    fn unknown_function(&mut self, call: &Call) -> Typed {
        let name = call.name.text.as_str();
        if function::comes_later(name) {
            let message = format!("the function `{name}` is not supported by this version");
            return self.problem(Problem::new("not-yet", call.name.place, message));
        }
        if let Some(instead) = function::refused(name) {
            let message = format!("the function `{name}` is not part of the language");
            return self.problem(Problem::new("unsupported", call.name.place, message).hint(instead));
        }
        let problem = Problem::new("unknown-function", call.name.place, format!("no function `{name}`"));
        self.problem(match nearest(name, super::function_names()) {
            Some(near) => problem.hint(format!("did you mean `{near}`?")),
            None => problem,
        })
    }

    fn window_bound(&mut self, bound: &Expr, call: &Call, place: Place, clause: Clause) -> Typed {
        let name = call.name.text.as_str();
        if !call.args.is_empty() {
            let message = format!("`{name}` takes no arguments, found {}", call.args.len());
            return self.problem(Problem::new("wrong-arguments", place, message));
        }
        if !self.windowed || !matches!(clause, Clause::Select | Clause::Having) {
            let message = format!("`{name}` is known in SELECT and HAVING of a query with a window");
            return self.problem(Problem::new("no-window", place, message));
        }
        Typed { expr: bound.clone(), ty: DataType::Datetime }
    }

    fn aggregate(&mut self, function: AggregateFunction, call: &Call, place: Place, clause: Clause) -> Typed {
        let name = call.name.text.to_lowercase();
        match clause {
            Clause::Select | Clause::Having if self.windowed => {}
            Clause::Select | Clause::Having => {
                let problem =
                    Problem::new("no-window", place, format!("`{name}` needs a window to aggregate over"));
                return self.problem(problem.hint("add GROUP BY …, TUMBLINGWINDOW(ss, 10)"));
            }
            Clause::Where | Clause::GroupBy => {
                let clause = if clause == Clause::Where { "WHERE" } else { "GROUP BY" };
                let problem =
                    Problem::new("misplaced-aggregate", place, format!("`{name}` cannot stand in {clause}"));
                return self.problem(problem.hint("rows are chosen before they are aggregated; use HAVING"));
            }
            Clause::Argument => {
                let message = format!("`{name}` stands inside another aggregate");
                return self.problem(Problem::new("misplaced-aggregate", place, message));
            }
            Clause::Condition => {
                let message = format!("`{name}` cannot stand in `when` or `clear`");
                let hint = format!("compute it in SELECT and name it: {name}(…) AS {name}");
                return self.problem(Problem::new("misplaced-aggregate", place, message).hint(hint));
            }
        }
        let argument = match (call.star, call.args.as_slice()) {
            (true, []) if function == AggregateFunction::Count => None,
            (false, [one]) => Some(one),
            _ => {
                let message = match function {
                    AggregateFunction::Count => "`count` takes one argument, or `*`".to_owned(),
                    _ => format!("`{name}` takes one argument"),
                };
                return self.problem(Problem::new("wrong-arguments", place, message));
            }
        };
        let argument = argument.map(|node| (self.bind(node, Clause::Argument), node.place));
        let ty = self.aggregate_type(function, &name, argument.as_ref());
        let filter = call.filter.as_ref().map(|node: &Node| self.condition(node, Clause::Argument, "FILTER"));
        let distinct = call.distinct;
        let wanted = Aggregate {
            function,
            args: argument.map(|(found, _)| found.expr).into_iter().collect(),
            filter,
            distinct,
        };
        let i = self.aggregates.iter().position(|known| *known == wanted).unwrap_or_else(|| {
            self.aggregates.push(wanted);
            self.aggregates.len() - 1
        });
        Typed { expr: Expr::Aggregate(i), ty }
    }

    fn aggregate_type(
        &mut self,
        function: AggregateFunction,
        name: &str,
        argument: Option<&(Typed, Place)>,
    ) -> DataType {
        let Some((found, place)) = argument else { return DataType::Bigint };
        let what = format!("`{name}`");
        match function {
            AggregateFunction::Count => DataType::Bigint,
            AggregateFunction::Avg => {
                self.number(found, *place, &what);
                DataType::Float
            }
            AggregateFunction::Sum => {
                if self.number(found, *place, &what) {
                    found.ty.clone()
                } else {
                    DataType::Any
                }
            }
            _ => match &found.ty {
                DataType::Struct(_) => {
                    let message = format!("{what} needs values with an order, this is {}", found.ty);
                    self.problem(Problem::new("wrong-type", *place, message));
                    DataType::Any
                }
                ty => ty.clone(),
            },
        }
    }
}
