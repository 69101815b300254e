//! Analytic functions: names, arguments, types and places. They look back over rows, or over groups
//! where SELECT is over groups.

use crate::model::diagnostic::Place;
use crate::model::stream::FieldSource;
use crate::model::time::parse_span;
use crate::model::value::{DataType, Value};

use super::bind::{Binder, Clause, Typed, nothing};
use super::logical::{Analytic, AnalyticFunction, Expr};
use super::report::Problem;
use super::syntax::{Call, Kind, Name, Node, Path};
use super::typing;

use AnalyticFunction as A;

/// Name, function, fewest and most arguments.
type Entry = (&'static str, AnalyticFunction, usize, usize);

const ANALYTIC: &[Entry] = &[
    ("lag", A::Lag, 1, 4),
    ("latest", A::Latest, 1, 2),
    ("had_changed", A::HadChanged, 2, usize::MAX),
    ("changed_col", A::ChangedCol, 2, 2),
    ("acc_sum", A::AccSum, 1, 1),
    ("acc_avg", A::AccAvg, 1, 1),
    ("acc_min", A::AccMin, 1, 1),
    ("acc_max", A::AccMax, 1, 1),
    ("acc_count", A::AccCount, 1, 1),
    ("row_number", A::RowNumber, 0, 0),
    ("last_hit_count", A::LastHitCount, 0, 0),
    ("last_hit_time", A::LastHitTime, 0, 0),
    ("delay", A::Delay, 2, 2),
    ("ewma", A::Ewma, 2, 2),
    ("zscore", A::Zscore, 1, 1),
    ("delta", A::Delta, 1, 1),
    ("increase", A::Increase, 1, 1),
    ("rate", A::Rate, 1, 1),
    ("time_in_state", A::TimeInState, 1, 1),
];

/// How far `lag` may look back, in rows.
const LONGEST_LAG: i64 = 10_000;

/// The analytic function of this name, in any case.
pub(super) fn named(name: &str) -> Option<&'static Entry> {
    ANALYTIC.iter().find(|entry| entry.0.eq_ignore_ascii_case(name))
}

/// The names of all analytic functions.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    ANALYTIC.iter().map(|entry| entry.0)
}

/// What an analytic function is called.
pub(super) fn name(function: AnalyticFunction) -> &'static str {
    ANALYTIC.iter().find(|entry| entry.1 == function).map_or("?", |entry| entry.0)
}

impl Binder<'_> {
    /// Binds an analytic function. `place` is all of the call.
    pub(super) fn analytic(&mut self, entry: &Entry, call: &Call, place: Place, clause: Clause) -> Typed {
        let (name, function, least, most) = *entry;
        if let Some(problem) = self.analytic_misplaced(name, place, clause) {
            return self.problem(problem);
        }
        if call.distinct || call.filter.is_some() {
            let message = format!("`{name}` looks back over rows and takes no DISTINCT or FILTER");
            let problem = Problem::new("wrong-arguments", place, message);
            return self.problem(problem.hint(format!("choose rows with {name}(…) OVER (WHEN …)")));
        }
        let stars = call.star && function == A::AccCount;
        if !stars && (call.star || !(least..=most).contains(&call.args.len())) {
            let problem = Problem::new("wrong-arguments", place, takes(function, name));
            return self.problem(problem);
        }
        let outer = self.within.replace(name.to_owned());
        let found = self.analytic_arguments(function, name, &call.args, clause);
        let over = call.over.as_ref();
        let partition = over.map_or(&[][..], |over| &over.partition);
        let partition: Vec<Expr> = partition.iter().map(|node| self.bind(node, clause).expr).collect();
        let when = over.and_then(|over| over.when.as_ref());
        let when = when.map(|node| self.condition(node, clause, "WHEN"));
        self.within = outer;
        let Some((args, ty)) = found else { return nothing() };
        if partition.is_empty() {
            self.doubt_partition(name, place, clause);
        }
        let wanted = Analytic { function, args, partition, when };
        let over_groups = self.over_groups(clause);
        let list = if over_groups { &mut self.group_analytics } else { &mut self.analytics };
        let i = list.iter().position(|known| *known == wanted).unwrap_or_else(|| {
            list.push(wanted);
            list.len() - 1
        });
        Typed { expr: Expr::Analytic(i), ty }
    }

    fn analytic_misplaced(&self, name: &str, place: Place, clause: Clause) -> Option<Problem> {
        let misplaced = |message| Problem::new("misplaced-analytic", place, message);
        match clause {
            Clause::Condition => Some(
                misplaced(format!("`{name}` cannot stand in `when` or `clear`"))
                    .hint(format!("compute it in SELECT and name it: {name}(…) AS {name}")),
            ),
            Clause::On => Some(
                misplaced(format!(
                    "`{name}` cannot stand in ON: rows are joined before it looks back over them"
                ))
                .hint("put the condition into WHERE"),
            ),
            Clause::Window if self.at_close => {
                let message =
                    format!("`{name}` cannot stand here: the rows are joined when the window closes");
                Some(misplaced(message).hint("put the condition into WHERE"))
            }
            _ => None,
        }
    }

    /// A function that mixes the readings of all devices is seldom meant.
    fn doubt_partition(&mut self, name: &str, place: Place, clause: Clause) {
        if self.doubts.iter().any(|doubt| doubt.code == "no-partition") {
            return;
        }
        let by = if self.over_groups(clause) {
            self.groups.first().map(|(node, _)| match &node.kind {
                Kind::Path(path) => path.shown(),
                _ => "…".to_owned(),
            })
        } else {
            self.sides.iter().filter(|side| side.is_stream()).find_map(|side| {
                let mut captures = side
                    .schema
                    .columns
                    .iter()
                    .filter(|column| matches!(column.from, FieldSource::Capture(_)));
                let key = side.schema.key.as_ref().map(|key| key.name.to_string());
                let by = key.or_else(|| captures.next_back().map(|column| column.name.to_string()))?;
                Some(if self.sides.len() > 1 { format!("{}.{by}", side.called) } else { by })
            })
        };
        let Some(by) = by else { return };
        let what = if self.over_groups(clause) { "groups" } else { "devices" };
        let message = format!("`{name}` looks back over the readings of all {what}");
        let problem = Problem::new("no-partition", place, message);
        self.doubts.push(problem.hint(format!("add OVER (PARTITION BY {by})")));
    }

    fn analytic_arguments(
        &mut self,
        function: AnalyticFunction,
        name: &str,
        args: &[Node],
        clause: Clause,
    ) -> Option<(Vec<Expr>, DataType)> {
        let what = format!("`{name}`");
        match (function, args) {
            (A::Lag, [of, rest @ ..]) => self.lag(of, rest, clause),
            (A::Latest, [of, rest @ ..]) => {
                let found = self.bind(of, clause);
                let rest: Vec<Typed> = rest.iter().map(|node| self.bind(node, clause)).collect();
                let ty = rest.iter().fold(found.ty.clone(), |ty, other| shared(&ty, other));
                Some((std::iter::once(found).chain(rest).map(|found| found.expr).collect(), ty))
            }
            (A::HadChanged, [flag, of @ ..]) => {
                let flag = self.flag(flag, name)?;
                let mut list = vec![Expr::Const(Value::Bool(flag))];
                for node in of {
                    if node.kind == Kind::Star {
                        list.extend(self.all_columns(node.place, clause));
                    } else {
                        list.push(self.bind(node, clause).expr);
                    }
                }
                Some((list, DataType::Boolean))
            }
            (A::ChangedCol, [flag, of]) => {
                let flag = self.flag(flag, name)?;
                let found = self.bind(of, clause);
                Some((vec![Expr::Const(Value::Bool(flag)), found.expr], found.ty))
            }
            (A::AccSum | A::Delta | A::Increase, [of]) => {
                let found = self.bind(of, clause);
                self.number(&found, of.place, &what).then(|| (vec![found.expr], found.ty))
            }
            (A::AccAvg | A::Zscore | A::Rate, [of]) => {
                let found = self.bind(of, clause);
                self.number(&found, of.place, &what);
                Some((vec![found.expr], DataType::Float))
            }
            (A::AccMin | A::AccMax, [of]) => {
                let found = self.bind(of, clause);
                let ty = self.ordered(&found, of.place, &what);
                Some((vec![found.expr], ty))
            }
            (A::AccCount, args) => {
                Some((args.iter().map(|node| self.bind(node, clause).expr).collect(), DataType::Bigint))
            }
            (A::Delay, [ms, of]) => {
                let millis = self.millis(ms, name)?;
                let found = self.bind(of, clause);
                Some((vec![Expr::Const(Value::Int(millis)), found.expr], found.ty))
            }
            (A::Ewma, [of, half_life]) => {
                let found = self.bind(of, clause);
                self.number(&found, of.place, &what);
                let seconds = self.seconds(half_life, name, "the half life")?;
                if seconds <= 0.0 {
                    let problem =
                        Problem::new("bad-value", half_life.place, "a half life is longer than nothing");
                    self.problem(problem);
                }
                Some((vec![found.expr, Expr::Const(Value::float(seconds))], DataType::Float))
            }
            (A::TimeInState, [of]) => Some((vec![self.condition(of, clause, &what)], DataType::Float)),
            (A::RowNumber | A::LastHitCount, _) => Some((Vec::new(), DataType::Bigint)),
            (A::LastHitTime, _) => Some((Vec::new(), DataType::Datetime)),
            _ => None,
        }
    }

    fn lag(&mut self, of: &Node, rest: &[Node], clause: Clause) -> Option<(Vec<Expr>, DataType)> {
        let found = self.bind(of, clause);
        let mut ty = found.ty.clone();
        let mut args = vec![found.expr];
        if let Some(offset) = rest.first() {
            match self.constant(offset, "lag", "the offset")? {
                Value::Int(n @ 1..=LONGEST_LAG) => args.push(Expr::Const(Value::Int(n))),
                _ => {
                    let message = format!("the offset in `lag` is a whole number from 1 to {LONGEST_LAG}");
                    self.problem(Problem::new("bad-value", offset.place, message));
                    return None;
                }
            }
        }
        if let Some(default) = rest.get(1) {
            let default = self.bind(default, clause);
            ty = shared(&ty, &default);
            args.push(default.expr);
        }
        if let Some(flag) = rest.get(2) {
            args.push(Expr::Const(Value::Bool(self.flag(flag, "lag")?)));
        }
        Some((args, ty))
    }

    /// A constant span in milliseconds: a number of them, or a text such as `'5m'`.
    fn millis(&mut self, node: &Node, name: &str) -> Option<i64> {
        let value = self.constant(node, name, "the span")?;
        let found = match &value {
            Value::Int(millis) if *millis >= 0 => Ok(*millis),
            Value::Str(text) => parse_span(text).and_then(|span| {
                i64::try_from(span.as_millis()).map_err(|_| format!("`{text}` is too long"))
            }),
            _ => Err(format!("the span in `{name}` is a number of milliseconds, or a text such as '5m'")),
        };
        found.map_err(|message| self.problem(Problem::new("bad-value", node.place, message))).ok()
    }

    /// What `*` among arguments stands for.
    fn all_columns(&mut self, place: Place, clause: Clause) -> Vec<Expr> {
        if self.sides.iter().any(|side| side.schema.open) {
            let problem =
                Problem::new("unsupported", place, "`*` names no columns where a stream declares none");
            self.problem(problem.hint("name the columns"));
            return Vec::new();
        }
        let mut list = Vec::new();
        for side in 0..self.sides.len() {
            let names: Vec<String> = self.sides[side].schema.names().map(str::to_owned).collect();
            for text in names {
                let path = Path::column(side, Name { text, place });
                list.push(self.bind(&Node::new(Kind::Path(path), place), clause).expr);
            }
        }
        list
    }
}

/// The type of a value or its default.
fn shared(ty: &DataType, default: &Typed) -> DataType {
    match default.expr {
        Expr::Const(Value::Null) => ty.clone(),
        _ => typing::common(ty, &default.ty),
    }
}

/// What a function takes, for a message.
fn takes(function: AnalyticFunction, name: &str) -> String {
    let what = match function {
        A::Lag => "a value, and then an offset, a default and whether NULLs are left out",
        A::Latest => "a value, and then a default",
        A::HadChanged => "whether NULLs are left out, and then columns or `*`",
        A::ChangedCol => "whether NULLs are left out, and a column",
        A::AccCount => "one argument, or `*`",
        A::Delay => "a number of milliseconds and a value",
        A::Ewma => "a value and a half life, as in ewma(x, '5m')",
        A::RowNumber | A::LastHitCount | A::LastHitTime => "no arguments",
        A::TimeInState => "a condition",
        _ => "one argument",
    };
    format!("`{name}` takes {what}")
}
