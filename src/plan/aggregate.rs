//! Aggregates: names, arguments and types. What they compute is the engine's.

use crate::model::diagnostic::Place;
use crate::model::time::parse_span;
use crate::model::value::{DataType, Value};

use super::analytic;
use super::bind::{Binder, Clause, Typed, nothing};
use super::logical::{Aggregate, AggregateFunction, Expr};
use super::report::Problem;
use super::syntax::{Call, Kind, Node};

use AggregateFunction as A;

/// One aggregate as the planner sees it.
pub(super) struct Entry {
    name: &'static str,
    function: AggregateFunction,
    /// What its second argument is.
    second: Second,
    distinct: bool,
}

/// What an aggregate's second argument is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Second {
    None,
    /// An optional BOOLEAN.
    Flag,
    /// A share in [0, 1].
    Share,
    /// A span of time.
    Span,
}

const fn entry(name: &'static str, function: AggregateFunction, second: Second, distinct: bool) -> Entry {
    Entry { name, function, second, distinct }
}

const AGGREGATES: &[Entry] = &[
    entry("count", A::Count, Second::None, true),
    entry("sum", A::Sum, Second::None, true),
    entry("avg", A::Avg, Second::None, true),
    entry("min", A::Min, Second::None, true),
    entry("max", A::Max, Second::None, true),
    entry("collect", A::Collect, Second::None, true),
    entry("first_value", A::FirstValue, Second::Flag, false),
    entry("last_value", A::LastValue, Second::Flag, false),
    entry("merge_agg", A::MergeAgg, Second::None, false),
    entry("deduplicate", A::Deduplicate, Second::Flag, false),
    entry("median", A::Median, Second::None, true),
    entry("stddev", A::Stddev, Second::None, true),
    entry("stddevs", A::Stddevs, Second::None, true),
    entry("var", A::Var, Second::None, true),
    entry("vars", A::Vars, Second::None, true),
    entry("percentile_cont", A::PercentileCont, Second::Share, true),
    entry("percentile", A::PercentileCont, Second::Share, true),
    entry("percentile_disc", A::PercentileDisc, Second::Share, true),
    entry("increase", A::Increase, Second::None, false),
    entry("rate", A::Rate, Second::None, false),
    entry("delta", A::Delta, Second::None, false),
    entry("zscore", A::Zscore, Second::None, false),
    entry("slope", A::Slope, Second::None, false),
    entry("predict", A::Predict, Second::Span, false),
];

/// The aggregate of this name, in any case.
pub(super) fn named(name: &str) -> Option<&'static Entry> {
    AGGREGATES.iter().find(|entry| entry.name.eq_ignore_ascii_case(name))
}

/// The names of all aggregates.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    AGGREGATES.iter().map(|entry| entry.name)
}

/// What an aggregate is called: the first where it has several names.
pub(super) fn name(function: AggregateFunction) -> &'static str {
    AGGREGATES.iter().find(|entry| entry.function == function).map_or("?", |entry| entry.name)
}

/// Whether this is a call of an aggregate. Some names are that only in a query with a window.
pub(super) fn is(node: &Node, windowed: bool) -> bool {
    let Kind::Call(call) = &node.kind else { return false };
    let analytic = analytic::named(&call.name.text).is_some();
    named(&call.name.text).is_some() && !(analytic && (call.over.is_some() || !windowed))
}

impl Binder<'_> {
    /// Binds an aggregate. `place` is all of the call.
    pub(super) fn aggregate(&mut self, entry: &Entry, call: &Call, place: Place, clause: Clause) -> Typed {
        let name = entry.name;
        if call.over.is_some() {
            let accumulates = ["sum", "avg", "min", "max", "count"].contains(&name);
            let problem =
                Problem::new("wrong-arguments", place, format!("`{name}` is an aggregate and takes no OVER"));
            return self.problem(if accumulates {
                problem.hint(format!("over all rows so far there is acc_{name}(…) OVER (…)"))
            } else {
                problem.hint("it goes over the rows of the window")
            });
        }
        if let Some(problem) = self.misplaced(name, place, clause) {
            return self.problem(problem);
        }
        if call.distinct && !entry.distinct {
            let message = format!("`{name}` takes no DISTINCT");
            return self.problem(Problem::new("wrong-arguments", place, message));
        }
        let Some((argument, second)) = self.arguments(entry, call, place) else { return nothing() };
        let argument = argument.map(|node| (self.bind(node, Clause::Argument), node.place));
        let ty = self.aggregate_type(entry.function, name, argument.as_ref());
        let second = second.map(|node| self.second(entry, node));
        let filter = call.filter.as_ref().map(|node: &Node| self.condition(node, Clause::Argument, "FILTER"));
        let args = argument.map(|(found, _)| found.expr).into_iter().chain(second.map(Expr::Const)).collect();
        let wanted = Aggregate { function: entry.function, args, filter, distinct: call.distinct };
        let i = self.aggregates.iter().position(|known| *known == wanted).unwrap_or_else(|| {
            self.aggregates.push(wanted);
            self.aggregates.len() - 1
        });
        Typed { expr: Expr::Aggregate(i), ty }
    }

    fn misplaced(&self, name: &str, place: Place, clause: Clause) -> Option<Problem> {
        let misplaced = |message| Problem::new("misplaced-aggregate", place, message);
        Some(match clause {
            Clause::Select | Clause::Having | Clause::Order if self.windowed => return None,
            Clause::Select | Clause::Having | Clause::Order => {
                let problem =
                    Problem::new("no-window", place, format!("`{name}` needs a window to aggregate over"));
                problem.hint("add GROUP BY …, TUMBLINGWINDOW(ss, 10)")
            }
            Clause::Where | Clause::GroupBy | Clause::On => {
                let problem = misplaced(format!("`{name}` cannot stand in {}", clause.shown()));
                match analytic::named(name) {
                    Some(_) if clause != Clause::On => problem.hint(format!(
                        "use HAVING; or {name}(…) OVER (PARTITION BY …), which compares with the rows before"
                    )),
                    _ => problem.hint("rows are chosen before they are aggregated; use HAVING"),
                }
            }
            Clause::Window => misplaced(format!("`{name}` cannot stand in {}", clause.shown()))
                .hint("rows enter the window before they are aggregated"),
            Clause::Argument => misplaced(format!("`{name}` stands inside another aggregate")),
            Clause::Condition => misplaced(format!("`{name}` cannot stand in `when` or `clear`"))
                .hint(format!("compute it in SELECT and name it: {name}(…) AS {name}")),
        })
    }

    /// Its first and second argument, where there are as many as it takes.
    fn arguments<'c>(
        &mut self,
        entry: &Entry,
        call: &'c Call,
        place: Place,
    ) -> Option<(Option<&'c Node>, Option<&'c Node>)> {
        let name = entry.name;
        match (call.star, call.args.as_slice(), entry.second) {
            (true, [], _) if entry.function == A::Count && !call.distinct => return Some((None, None)),
            (false, [one], Second::None | Second::Flag) => return Some((Some(one), None)),
            (false, [one, two], Second::Flag | Second::Share | Second::Span) => {
                return Some((Some(one), Some(two)));
            }
            _ => {}
        }
        let message = match entry.second {
            Second::None if entry.function == A::Count => "`count` takes one argument, or `*`".to_owned(),
            Second::None => format!("`{name}` takes one argument"),
            Second::Flag => format!("`{name}` takes a value, and whether NULLs are left out"),
            Second::Share => format!("`{name}` takes a value and a share, as in {name}(x, 0.95)"),
            Second::Span => format!("`{name}` takes a value and how far ahead, as in {name}(x, '10m')"),
        };
        let message = match entry.function {
            A::Deduplicate => "`deduplicate` takes a value, and whether all are given".to_owned(),
            _ => message,
        };
        self.problem(Problem::new("wrong-arguments", place, message));
        None
    }

    fn second(&mut self, entry: &Entry, node: &Node) -> Value {
        let name = entry.name;
        match entry.second {
            Second::None => Value::Null,
            Second::Flag => Value::Bool(self.flag(node, name).unwrap_or_default()),
            Second::Span => Value::float(self.seconds(node, name, "the horizon").unwrap_or_default()),
            Second::Share => {
                let Some(value) = self.constant(node, name, "the share") else { return Value::Null };
                match value.as_f64() {
                    Some(share) if (0.0..=1.0).contains(&share) => Value::float(share),
                    _ => {
                        let problem = Problem::new(
                            "bad-value",
                            node.place,
                            format!("the share in `{name}` is a number from 0 to 1"),
                        );
                        self.problem(match value.as_f64() {
                            Some(percent) if percent > 1.0 && percent <= 100.0 => {
                                problem.hint(format!("write {}", percent / 100.0))
                            }
                            _ => problem,
                        });
                        Value::Null
                    }
                }
            }
        }
    }

    /// An argument that must be a constant.
    pub(super) fn constant(&mut self, node: &Node, name: &str, what: &str) -> Option<Value> {
        let before = self.problems.len();
        match self.bind(node, Clause::Argument).expr {
            Expr::Const(value) if self.problems.len() == before => Some(value),
            _ => {
                if self.problems.len() == before {
                    let message = format!("{what} in `{name}` must be a constant");
                    self.problem(Problem::new("not-constant", node.place, message));
                }
                None
            }
        }
    }

    /// A constant TRUE or FALSE.
    pub(super) fn flag(&mut self, node: &Node, name: &str) -> Option<bool> {
        match self.constant(node, name, "the flag")? {
            Value::Bool(flag) => Some(flag),
            _ => {
                let message = format!("the flag in `{name}` is TRUE or FALSE");
                self.problem(Problem::new("wrong-type", node.place, message));
                None
            }
        }
    }

    /// A constant span in seconds: a number of them, or a text such as `'5m'`.
    pub(super) fn seconds(&mut self, node: &Node, name: &str, what: &str) -> Option<f64> {
        let value = self.constant(node, name, what)?;
        let found = match &value {
            Value::Str(text) => parse_span(text).map(|span| span.as_secs_f64()),
            value => match value.as_f64() {
                Some(seconds) if seconds >= 0.0 => Ok(seconds),
                _ => Err(format!("{what} in `{name}` is a number of seconds, or a text such as '5m'")),
            },
        };
        found.map_err(|message| self.problem(Problem::new("bad-value", node.place, message))).ok()
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
            A::Count => DataType::Bigint,
            A::Sum | A::Increase | A::Delta => {
                if self.number(found, *place, &what) {
                    found.ty.clone()
                } else {
                    DataType::Any
                }
            }
            A::Avg
            | A::Median
            | A::Stddev
            | A::Stddevs
            | A::Var
            | A::Vars
            | A::PercentileCont
            | A::Rate
            | A::Zscore
            | A::Slope
            | A::Predict => {
                self.number(found, *place, &what);
                DataType::Float
            }
            A::Min | A::Max | A::PercentileDisc => self.ordered(found, *place, &what),
            A::FirstValue | A::LastValue => found.ty.clone(),
            A::Collect | A::Deduplicate => DataType::Array(Box::new(found.ty.clone())),
            A::MergeAgg => match &found.ty {
                DataType::Struct(_) | DataType::Any => found.ty.clone(),
                other => {
                    let message = format!("{what} takes STRUCT, this is {other}");
                    self.problem(Problem::new("wrong-type", *place, message));
                    DataType::Any
                }
            },
        }
    }

    /// The type of what must have an order.
    pub(super) fn ordered(&mut self, found: &Typed, place: Place, what: &str) -> DataType {
        match &found.ty {
            DataType::Struct(_) => {
                let message = format!("{what} needs values with an order, this is {}", found.ty);
                self.problem(Problem::new("wrong-type", place, message));
                DataType::Any
            }
            ty => ty.clone(),
        }
    }
}
