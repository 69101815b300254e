//! Calls: which kind of function a name is, and the functions of the language's own that are
//! neither scalar, aggregate nor analytic.

use crate::model::diagnostic::Place;
use crate::model::value::{DataType, Value};

use super::bind::{Binder, Clause, Typed, nothing};
use super::function::{self, Signature};
use super::logical::Expr;
use super::nearest::nearest;
use super::report::Problem;
use super::syntax::Call;
use super::{aggregate, analytic, meta};

/// Functions without arguments that tell about the row or the window.
const BARE: &[(&str, Expr)] = &[
    ("window_start", Expr::WindowStart),
    ("window_end", Expr::WindowEnd),
    ("event_time", Expr::EventTime),
    ("now", Expr::Now),
    ("current_timestamp", Expr::Now),
    ("tstamp", Expr::Now),
];

/// The other names that are known here.
const OWN: [&str; 3] = ["rule_id", "unnest", "changed_cols"];

/// The names of all functions that are not scalar.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    let bare = BARE.iter().map(|bare| bare.0);
    // What is both an aggregate and analytic is one name.
    let analytic = analytic::names().filter(|name| aggregate::named(name).is_none());
    aggregate::names().chain(analytic).chain(bare).chain(OWN).chain(meta::NAMES)
}

/// What functions are called elsewhere, and here.
const ELSEWHERE: &[(&str, &str)] = &[
    ("average", "avg"),
    ("mean", "avg"),
    ("ifnull", "coalesce"),
    ("substr", "substring"),
    ("len", "length"),
    ("ucase", "upper"),
    ("lcase", "lower"),
    ("maximum", "max"),
    ("minimum", "min"),
    ("if", "CASE WHEN … THEN … ELSE … END"),
    ("iif", "CASE WHEN … THEN … ELSE … END"),
];

impl Binder<'_> {
    /// Binds a call. `place` is all of it.
    pub(super) fn call(&mut self, call: &Call, place: Place, clause: Clause) -> Typed {
        let name = call.name.text.as_str();
        let windowed = self.windowed && clause != Clause::Condition;
        let aggregate = aggregate::named(name);
        let analytic =
            analytic::named(name).filter(|_| aggregate.is_none() || call.over.is_some() || !windowed);
        if let Some(function) = analytic {
            return self.analytic(function, call, place, clause);
        }
        if let Some(entry) = aggregate {
            return self.aggregate(entry, call, place, clause);
        }
        let bare = BARE.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        let own = OWN.iter().find(|known| known.eq_ignore_ascii_case(name));
        let signature = Signature::named(name);
        if bare.is_none() && own.is_none() && signature.is_none() && !meta::is(call) {
            return self.unknown_function(call);
        }
        if call.distinct || call.filter.is_some() || call.star {
            let message = format!("`{name}` is no aggregate and takes no DISTINCT, FILTER or `*`");
            if own != Some(&"changed_cols") {
                return self.problem(Problem::new("wrong-arguments", place, message));
            }
        }
        if call.over.is_some() && own != Some(&"changed_cols") {
            let message = format!("`{name}` does not look back over rows and takes no OVER");
            return self.problem(Problem::new("wrong-arguments", place, message));
        }
        match (bare, own, signature) {
            (Some((_, bare)), ..) => self.bare(bare, call, place, clause),
            (_, Some(&"rule_id"), _) => self.rule_id(call, place),
            (_, Some(&"unnest"), _) => self.unnest(call, place, clause),
            (_, Some(_), _) => {
                let problem = Problem::new(
                    "misplaced-changed-cols",
                    place,
                    "`changed_cols` is an item of SELECT by itself",
                );
                self.problem(
                    problem
                        .hint("its columns are named by its prefix; use changed_col(…) within an expression"),
                )
            }
            (None, None, Some(signature)) => self.scalar(signature, call, place, clause),
            (None, None, None) => self.meta(call, place, clause),
        }
    }

    fn unknown_function(&mut self, call: &Call) -> Typed {
        let name = call.name.text.as_str();
        if let Some(instead) = function::refused(name) {
            let message = format!("the function `{name}` is not part of the language");
            return self.problem(Problem::new("unsupported", call.name.place, message).hint(instead));
        }
        let problem = Problem::new("unknown-function", call.name.place, format!("no function `{name}`"));
        if name.to_uppercase().ends_with("WINDOW") {
            return self.problem(problem.hint("a window stands in GROUP BY, by itself"));
        }
        let names = super::function_names().chain(ELSEWHERE.iter().map(|(other, _)| *other));
        self.problem(match nearest(name, names) {
            Some(near) => match ELSEWHERE.iter().find(|(other, _)| *other == near) {
                Some((_, ours)) => problem.hint(format!("it is called `{ours}` here")),
                None => problem.hint(format!("did you mean `{near}`?")),
            },
            None => problem,
        })
    }

    fn bare(&mut self, bare: &Expr, call: &Call, place: Place, clause: Clause) -> Typed {
        if !self.no_arguments(call, place) {
            return nothing();
        }
        let bound = matches!(bare, Expr::WindowStart | Expr::WindowEnd);
        let known = self.windowed && matches!(clause, Clause::Select | Clause::Having | Clause::Order);
        if bound && !known {
            let name = call.name.text.as_str();
            let message =
                format!("`{name}` is known in SELECT, HAVING and ORDER BY of a query with a window");
            return self.problem(Problem::new("no-window", place, message));
        }
        Typed { expr: bare.clone(), ty: DataType::Datetime }
    }

    fn rule_id(&mut self, call: &Call, place: Place) -> Typed {
        if !self.no_arguments(call, place) {
            return nothing();
        }
        Typed { expr: Expr::Const(Value::str(self.rule)), ty: DataType::String }
    }

    /// Checks that a call has no arguments.
    pub(super) fn no_arguments(&mut self, call: &Call, place: Place) -> bool {
        if !call.args.is_empty() {
            let message = format!("`{}` takes no arguments, found {}", call.name.text, call.args.len());
            self.problem(Problem::new("wrong-arguments", place, message));
        }
        call.args.is_empty()
    }

    fn unnest(&mut self, call: &Call, place: Place, clause: Clause) -> Typed {
        let misplaced = |message: String| Problem::new("misplaced-unnest", place, message);
        if let Some(analytic) = &self.within {
            let message = format!(
                "`unnest` cannot stand in `{analytic}`: it makes rows after those are looked back over"
            );
            return self.problem(misplaced(message));
        }
        if !matches!(clause, Clause::Select | Clause::Order) {
            let message =
                format!("`unnest` cannot stand in {}: it makes rows of what SELECT gives", clause.shown());
            return self
                .problem(misplaced(message).hint("name it in SELECT with AS, and judge it in `when`"));
        }
        let [of] = call.args.as_slice() else {
            let message = format!("`unnest` takes 1 argument, found {}", call.args.len());
            return self.problem(Problem::new("wrong-arguments", place, message));
        };
        let known = self.unnest.clone();
        let found = self.bind(of, clause);
        let element = match &found.ty {
            DataType::Any => DataType::Any,
            DataType::Array(element) => element.as_ref().clone(),
            other => {
                let message = format!("`unnest` takes an ARRAY, this is {other}");
                return self.problem(Problem::new("wrong-type", of.place, message));
            }
        };
        let mut inside = false;
        found.expr.walk(&mut |part| inside |= *part == Expr::Unnested);
        if inside {
            return self.problem(misplaced("`unnest` stands inside another `unnest`".to_owned()));
        }
        if known.is_none() && clause == Clause::Order {
            let message = "`unnest` in ORDER BY repeats what SELECT has, and SELECT has none";
            return self.problem(misplaced(message.to_owned()).hint("name it in SELECT with AS"));
        }
        if known.is_some_and(|(array, _)| array != found.expr) {
            let problem = misplaced("a query has one `unnest`".to_owned());
            return self.problem(problem.hint("write a rule for each array"));
        }
        self.unnest = Some((found.expr, element.clone()));
        Typed { expr: Expr::Unnested, ty: element }
    }
}
