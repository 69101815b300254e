//! The value of an expression over one row. Every input has one: what has no value is NULL, so
//! nothing here fails, and no value of a row stops a rule.

use std::borrow::Cow;
use std::cell::Cell;
use std::cmp::Ordering;

use super::{arithmetic, cast, function, like};
use crate::model::stream::TimeUnit;
use crate::model::time::Timestamp;
use crate::model::value::{DataType, Value};
use crate::plan::function::{Choice, Compiled, Function};
use crate::plan::logical::{BinaryOp, Expr, UnaryOp};

/// What an expression is evaluated over.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scope<'a> {
    /// What its names stand for.
    pub(super) names: Names<'a>,
    /// What is around the row.
    pub(super) env: &'a Env<'a>,
    /// The element that `unnest` is at.
    pub(super) element: Option<&'a Value>,
}

/// What an expression's names stand for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Names<'a> {
    /// A row.
    Row {
        /// The slots of each side of FROM; none where a side has no row.
        sides: &'a [&'a [Value]],
        /// The values of the analytic functions so far.
        analytics: &'a [Value],
        /// What the output columns are, for who asks of them before they are there.
        columns: &'a [Expr],
    },
    /// A closed window of one group.
    Window {
        /// The values of GROUP BY.
        group: &'a [Value],
        /// The values of the aggregates.
        aggregates: &'a [Value],
        /// The values of the analytic functions over groups so far.
        analytics: &'a [Value],
    },
    /// The output columns.
    Output(&'a [Value]),
}

/// What is around a row.
#[derive(Debug, Default)]
pub(super) struct Env<'a> {
    /// The rule's own constants.
    pub(super) params: &'a [Value],
    /// The node's clock.
    pub(super) now: Timestamp,
    /// The row's own time; the end of the window over groups.
    pub(super) at: Timestamp,
    /// The start and the end of the window, over a group or a row that comes out of one.
    pub(super) window: Option<(Timestamp, Timestamp)>,
    /// How often a value that exists was asked for something that has none: overflow, division by
    /// zero, what is not finite.
    pub(super) undefined: Cell<u64>,
    /// The state of the generator behind `rand` and `newuuid`.
    pub(super) random: Cell<u64>,
}

impl Env<'_> {
    /// NULL, and counted: for what has no value though all that it is made of has.
    pub(super) fn undefined(&self) -> Value {
        self.undefined.set(self.undefined.get() + 1);
        Value::Null
    }

    /// The number; NULL and counted where it is not finite.
    pub(super) fn float(&self, number: f64) -> Value {
        if number.is_finite() { Value::Float(number) } else { self.undefined() }
    }

    /// The integer; NULL and counted where there is none.
    pub(super) fn integer(&self, number: Option<i64>) -> Value {
        number.map_or_else(|| self.undefined(), Value::Int)
    }
}

impl<'a> Scope<'a> {
    /// Over one row.
    pub(super) fn row(sides: &'a [&'a [Value]], analytics: &'a [Value], env: &'a Env<'a>) -> Self {
        Self { names: Names::Row { sides, analytics, columns: &[] }, env, element: None }
    }

    /// The same row, of which output columns can be asked: each is evaluated when it is.
    pub(super) fn through(self, columns: &'a [Expr]) -> Self {
        let names = match self.names {
            Names::Row { sides, analytics, .. } => Names::Row { sides, analytics, columns },
            other => other,
        };
        Self { names, ..self }
    }

    /// The same, with these values of analytic functions.
    pub(super) fn with_analytics(self, analytics: &'a [Value]) -> Self {
        let names = match self.names {
            Names::Row { sides, columns, .. } => Names::Row { sides, analytics, columns },
            Names::Window { group, aggregates, .. } => Names::Window { group, aggregates, analytics },
            Names::Output(columns) => Names::Output(columns),
        };
        Self { names, ..self }
    }

    /// Over the output columns.
    pub(super) fn output(columns: &'a [Value], env: &'a Env<'a>) -> Self {
        Self { names: Names::Output(columns), env, element: None }
    }
}

/// Evaluates, for who keeps what comes out. Most of what is kept is a field.
#[inline]
pub(super) fn value(expr: &Expr, scope: Scope<'_>) -> Value {
    match (expr, scope.names) {
        (Expr::Field(side, i), Names::Row { sides, .. }) => {
            sides.get(*side).and_then(|row| row.get(*i)).cloned().unwrap_or_default()
        }
        _ => eval(expr, scope).into_owned(),
    }
}

/// Evaluates. What is merely read is not copied.
pub(super) fn eval<'a>(expr: &'a Expr, scope: Scope<'a>) -> Cow<'a, Value> {
    match expr {
        Expr::Const(value) => Cow::Borrowed(value),
        Expr::Param(n) => scope.env.params.get(*n).map_or(Cow::Owned(Value::Null), Cow::Borrowed),
        Expr::Field(..)
        | Expr::Group(_)
        | Expr::Aggregate(_)
        | Expr::Analytic(_)
        | Expr::Unnested
        | Expr::EventTime
        | Expr::Now
        | Expr::WindowStart
        | Expr::WindowEnd
        | Expr::Column(_) => name(expr, scope),
        Expr::Unary(op, a) => Cow::Owned(unary(*op, &eval(a, scope), scope.env)),
        Expr::Binary(op, a, b) => Cow::Owned(binary(*op, &eval(a, scope), &eval(b, scope), scope.env)),
        Expr::And(terms) => Cow::Owned(logical(all(terms, scope))),
        Expr::Or(terms) => Cow::Owned(logical(any(terms, scope))),
        Expr::IsNull(a) => Cow::Owned(Value::Bool(eval(a, scope).is_null())),
        Expr::IsBool(a, expected) => Cow::Owned(Value::Bool(truth(&eval(a, scope)) == Some(*expected))),
        Expr::In(a, list) => {
            Cow::Owned(logical(among(&eval(a, scope), list.iter().map(|item| eval(item, scope)))))
        }
        Expr::Like { text, pattern, escape } => {
            Cow::Owned(match (&*eval(text, scope), &*eval(pattern, scope)) {
                (Value::Str(text), Value::Str(pattern)) => Value::Bool(like::matches(text, pattern, *escape)),
                _ => Value::Null,
            })
        }
        Expr::Case { branches, otherwise } => branches
            .iter()
            .find(|(condition, _)| holds(condition, scope))
            .map(|(_, value)| value)
            .or(otherwise.as_deref())
            .map_or(Cow::Owned(Value::Null), |value| eval(value, scope)),
        Expr::Cast(a, ty, unit) => Cow::Owned(convert(&eval(a, scope), ty, *unit, scope.env)),
        Expr::Member(a, name) => part(eval(a, scope), |value| match value {
            Value::Struct(members) => members.get(name),
            _ => None,
        }),
        Expr::Element(a, index) => {
            let index = eval(index, scope);
            part(eval(a, scope), |value| element(value, &index))
        }
        Expr::Call(function, args) => call(*function, &[], args, scope),
        Expr::Prepared(function, fixed, args) => call(*function, fixed, args, scope),
        Expr::Slice(a, from, to) => {
            let bound = |bound: &'a Option<Box<Expr>>| bound.as_deref().map(|bound| eval(bound, scope));
            Cow::Owned(slice(&eval(a, scope), bound(from).as_deref(), bound(to).as_deref()))
        }
        Expr::InArray(a, array) => Cow::Owned(match &*eval(array, scope) {
            Value::Array(items) => logical(among(&eval(a, scope), items.iter().map(Cow::Borrowed))),
            _ => Value::Null,
        }),
    }
}

/// Whether the expression is true: not false, not NULL, nothing else.
pub(super) fn holds(expr: &Expr, scope: Scope<'_>) -> bool {
    truth(&eval(expr, scope)) == Some(true)
}

/// The truth of a value; NULL and what is no BOOLEAN have none.
pub(super) fn truth(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(b) => Some(*b),
        _ => None,
    }
}

fn logical(truth: Option<bool>) -> Value {
    truth.map_or(Value::Null, Value::Bool)
}

fn name<'a>(expr: &Expr, scope: Scope<'a>) -> Cow<'a, Value> {
    let slot = match (expr, scope.names) {
        (Expr::Field(side, i), Names::Row { sides, .. }) => sides.get(*side).and_then(|row| row.get(*i)),
        (Expr::Group(i), Names::Window { group, .. }) => group.get(*i),
        (Expr::Aggregate(i), Names::Window { aggregates, .. }) => aggregates.get(*i),
        (Expr::Analytic(i), Names::Row { analytics, .. } | Names::Window { analytics, .. }) => {
            analytics.get(*i)
        }
        (Expr::Column(i), Names::Output(columns)) => columns.get(*i),
        (Expr::Column(i), Names::Row { columns, .. }) => {
            return columns.get(*i).map_or(Cow::Owned(Value::Null), |column| eval(column, scope));
        }
        (Expr::Unnested, _) => scope.element,
        _ => return Cow::Owned(point(expr, scope.env).map_or(Value::Null, Value::Time)),
    };
    slot.map_or(Cow::Owned(Value::Null), Cow::Borrowed)
}

fn point(expr: &Expr, env: &Env) -> Option<Timestamp> {
    match expr {
        Expr::WindowStart => env.window.map(|(start, _)| start),
        Expr::WindowEnd => env.window.map(|(_, end)| end),
        Expr::EventTime => Some(env.at),
        Expr::Now => Some(env.now),
        _ => None,
    }
}

fn unary(op: UnaryOp, a: &Value, env: &Env) -> Value {
    match op {
        UnaryOp::Not => logical(truth(a).map(|b| !b)),
        UnaryOp::Neg => arithmetic::negate(a, env),
    }
}

fn binary(op: BinaryOp, a: &Value, b: &Value, env: &Env) -> Value {
    let ordered = |holds: fn(Ordering) -> bool| logical(a.compare(b).map(holds));
    match op {
        BinaryOp::Eq => logical(equal(a, b)),
        BinaryOp::Ne => logical(equal(a, b).map(|same| !same)),
        BinaryOp::Lt => ordered(Ordering::is_lt),
        BinaryOp::Le => ordered(Ordering::is_le),
        BinaryOp::Gt => ordered(Ordering::is_gt),
        BinaryOp::Ge => ordered(Ordering::is_ge),
        BinaryOp::Add => arithmetic::add(a, b, env),
        BinaryOp::Sub => arithmetic::subtract(a, b, env),
        BinaryOp::Mul => arithmetic::multiply(a, b, env),
        BinaryOp::Div => arithmetic::divide(a, b, env),
        BinaryOp::IntDiv => arithmetic::quotient(a, b, env),
        BinaryOp::Rem => arithmetic::remainder(a, b, env),
        BinaryOp::Concat if a.is_null() || b.is_null() => Value::Null,
        BinaryOp::Concat => function::concat([a, b]),
    }
}

/// SQL's equality. Objects have no order, but they are equal or not.
pub(super) fn equal(a: &Value, b: &Value) -> Option<bool> {
    match (a, b) {
        (Value::Struct(a), Value::Struct(b)) => Some(a == b),
        _ => a.compare(b).map(Ordering::is_eq),
    }
}

/// AND: false decides, else NULL does.
fn all(terms: &[Expr], scope: Scope<'_>) -> Option<bool> {
    let mut result = Some(true);
    for term in terms {
        match truth(&eval(term, scope)) {
            Some(false) => return Some(false),
            Some(true) => {}
            None => result = None,
        }
    }
    result
}

/// OR: true decides, else NULL does.
fn any(terms: &[Expr], scope: Scope<'_>) -> Option<bool> {
    let mut result = Some(false);
    for term in terms {
        match truth(&eval(term, scope)) {
            Some(true) => return Some(true),
            Some(false) => {}
            None => result = None,
        }
    }
    result
}

/// IN: `a = b OR a = c …`.
fn among<'v>(value: &Value, list: impl Iterator<Item = Cow<'v, Value>>) -> Option<bool> {
    let mut result = Some(false);
    for item in list {
        match equal(value, &item) {
            Some(true) => return Some(true),
            Some(false) => {}
            None => result = None,
        }
    }
    result
}

/// A part of a value, borrowed where the value is.
fn part<'a>(value: Cow<'a, Value>, find: impl Fn(&Value) -> Option<&Value>) -> Cow<'a, Value> {
    match value {
        Cow::Borrowed(value) => find(value).map_or(Cow::Owned(Value::Null), Cow::Borrowed),
        Cow::Owned(value) => Cow::Owned(find(&value).cloned().unwrap_or_default()),
    }
}

fn element<'v>(value: &'v Value, index: &Value) -> Option<&'v Value> {
    let (Value::Array(items), Value::Int(index)) = (value, index) else { return None };
    let distance = usize::try_from(index.unsigned_abs()).ok()?;
    if *index < 0 { items.get(items.len().checked_sub(distance)?) } else { items.get(distance) }
}

/// The elements between two places; those beyond an end are its own. NULL where a bound is no BIGINT.
fn slice(value: &Value, from: Option<&Value>, to: Option<&Value>) -> Value {
    let Value::Array(items) = value else { return Value::Null };
    let place = |bound: Option<&Value>, absent: usize| match bound {
        None => Some(absent),
        Some(Value::Int(bound)) => {
            let distance = usize::try_from(bound.unsigned_abs()).unwrap_or(usize::MAX);
            let from_end = items.len().saturating_sub(distance);
            Some(if *bound < 0 { from_end } else { distance.min(items.len()) })
        }
        Some(_) => None,
    };
    match (place(from, 0), place(to, items.len())) {
        (Some(from), Some(to)) => Value::Array(items.get(from..to).unwrap_or_default().into()),
        _ => Value::Null,
    }
}

/// CAST. A number too large for a BIGINT is counted; what merely has another form is not.
fn convert(value: &Value, ty: &DataType, unit: TimeUnit, env: &Env) -> Value {
    match (cast::cast(value, ty, unit), value, ty) {
        (Value::Null, Value::Float(_), DataType::Bigint) => env.undefined(),
        (converted, ..) => converted,
    }
}

fn call<'a>(function: Function, fixed: &[Compiled], args: &'a [Expr], scope: Scope<'a>) -> Cow<'a, Value> {
    if function == Function::Choice(Choice::Coalesce) {
        return args
            .iter()
            .map(|arg| eval(arg, scope))
            .find(|value| !value.is_null())
            .unwrap_or(Cow::Owned(Value::Null));
    }
    let args: Vec<Cow<'a, Value>> = args.iter().map(|arg| eval(arg, scope)).collect();
    let args: Vec<&Value> = args.iter().map(|arg| &**arg).collect();
    Cow::Owned(function::call(function, fixed, &args, scope.env))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::function::Text;

    fn c(value: impl Into<Constant>) -> Box<Expr> {
        Box::new(Expr::Const(value.into().0))
    }

    struct Constant(Value);
    impl From<i64> for Constant {
        fn from(i: i64) -> Self {
            Self(Value::Int(i))
        }
    }
    impl From<f64> for Constant {
        fn from(x: f64) -> Self {
            Self(Value::Float(x))
        }
    }
    impl From<&str> for Constant {
        fn from(s: &str) -> Self {
            Self(Value::str(s))
        }
    }
    impl From<Option<bool>> for Constant {
        fn from(b: Option<bool>) -> Self {
            Self(logical(b))
        }
    }
    impl From<Value> for Constant {
        fn from(v: Value) -> Self {
            Self(v)
        }
    }

    #[track_caller]
    fn check(expr: Expr, expected: impl Into<Constant>) {
        let got = eval(&expr, Scope::row(&[], &[], &Env::default())).into_owned();
        let expected = expected.into().0;
        assert_eq!(format!("{got:?}"), format!("{expected:?}"), "{expr:?}");
    }

    #[test]
    fn three_valued_logic() {
        let (t, f, n) = (Some(true), Some(false), None);
        for (a, b, and, or) in
            [(t, t, t, t), (t, f, f, t), (t, n, n, t), (f, f, f, f), (f, n, f, n), (n, n, n, n)]
        {
            for (a, b) in [(a, b), (b, a)] {
                check(Expr::And(vec![*c(a), *c(b)]), and);
                check(Expr::Or(vec![*c(a), *c(b)]), or);
            }
        }
        check(Expr::Unary(UnaryOp::Not, c(n)), n);
        check(Expr::Unary(UnaryOp::Not, c(t)), f);
        check(Expr::IsBool(c(n), false), f);
        check(Expr::IsNull(c(n)), t);
        check(Expr::In(c(1), vec![*c(2), *c(1.0)]), t);
        check(Expr::In(c(1), vec![*c(2), *c(n)]), n);
        check(Expr::In(c(n), vec![*c(2)]), n);
        check(Expr::In(c(1), vec![*c(2)]), f);
    }

    #[test]
    fn comparison_needs_comparable_kinds() {
        let cmp = |op, a: Box<Expr>, b: Box<Expr>| Expr::Binary(op, a, b);
        check(cmp(BinaryOp::Eq, c(1), c(1.0)), Some(true));
        check(cmp(BinaryOp::Lt, c("a"), c("b")), Some(true));
        check(cmp(BinaryOp::Lt, c("a"), c(1)), None);
        check(cmp(BinaryOp::Ne, c(1), c(None)), None);
        check(cmp(BinaryOp::Ge, c(9_007_199_254_740_993), c(9_007_199_254_740_992.0)), Some(true));
    }

    #[test]
    fn case_takes_the_first_true_branch() {
        let case =
            |branches: Vec<(Expr, Expr)>, otherwise: Option<Box<Expr>>| Expr::Case { branches, otherwise };
        check(case(vec![(*c(None), *c(1)), (*c(Some(true)), *c(2))], None), 2);
        check(case(vec![(*c(None), *c(1))], Some(c(3))), 3);
        check(case(vec![(*c(Some(false)), *c(1))], None), Value::Null);
    }

    #[test]
    fn parts_of_structs_and_arrays() {
        let json = serde_json::json!({"a": [10, 20, {"b": "x"}]});
        let row = [Value::from_json(&json)];
        let member = |e: Expr, name: &str| Expr::Member(Box::new(e), name.into());
        let at = |e: Expr, i: i64| Expr::Element(Box::new(e), c(i));
        let a = || member(Expr::Field(0, 0), "a");
        for (expr, expected) in [
            (at(a(), 0), Value::Int(10)),
            (at(a(), -2), Value::Int(20)),
            (member(at(a(), -1), "b"), Value::str("x")),
            (at(a(), 3), Value::Null),
            (at(a(), -4), Value::Null),
            (at(a(), i64::MIN), Value::Null),
            (member(a(), "b"), Value::Null),
            (Expr::Field(0, 7), Value::Null),
        ] {
            let env = Env::default();
            assert_eq!(*eval(&expr, Scope::row(&[&row], &[], &env)), expected, "{expr:?}");
        }
    }

    #[test]
    fn concatenation_writes_values_as_text() {
        let concat = |a, b| Expr::Binary(BinaryOp::Concat, a, b);
        check(concat(c("a"), c(5)), "a5");
        check(concat(c("a"), c(None)), Value::Null);
        check(Expr::Call(Function::Text(Text::Concat), vec![*c("a"), *c(None), *c(1.5)]), "a1.5");
        check(Expr::Cast(c("5"), DataType::Bigint, TimeUnit::Auto), 5);
    }

    #[test]
    fn slices_count_from_either_end() {
        let list = |items: &[i64]| Value::Array(items.iter().copied().map(Value::Int).collect());
        let whole = list(&[1, 2, 3, 4]);
        let slice =
            |from: Option<i64>, to: Option<i64>| Expr::Slice(c(whole.clone()), from.map(c), to.map(c));
        check(slice(Some(1), Some(3)), list(&[2, 3]));
        check(slice(None, Some(2)), list(&[1, 2]));
        check(slice(Some(-2), None), list(&[3, 4]));
        check(slice(None, None), whole.clone());
        check(slice(Some(0), Some(-1)), list(&[1, 2, 3]));
        check(slice(Some(3), Some(1)), list(&[]));
        check(slice(Some(9), Some(i64::MAX)), list(&[]));
        check(slice(Some(i64::MIN), Some(1)), list(&[1]));
        check(Expr::Slice(c("abcd"), Some(c(1)), None), Value::Null);
        check(Expr::Slice(c(Value::Null), Some(c(1)), None), Value::Null);
        check(Expr::Slice(c(whole.clone()), Some(c(Value::Null)), None), Value::Null);
        check(Expr::Slice(c(whole), Some(c(1.5)), None), Value::Null);
    }

    #[test]
    fn membership_in_an_array_has_three_values() {
        let list = |items: Vec<Value>| c(Value::Array(items.into()));
        let of = |a, list| Expr::InArray(a, list);
        check(of(c(1), list(vec![Value::Int(2), Value::Float(1.0)])), Some(true));
        check(of(c(1), list(vec![Value::Int(2)])), Some(false));
        check(of(c(1), list(vec![Value::Int(2), Value::Null])), None);
        check(of(c(Value::Null), list(vec![Value::Int(2)])), None);
        check(of(c(1), list(vec![])), Some(false));
        check(of(c(1), c(Value::Null)), None);
        check(of(c(1), c(1)), None);
    }

    #[test]
    fn what_is_undefined_is_counted() {
        let counted = |expr: Expr| {
            let env = Env::default();
            assert!(eval(&expr, Scope::row(&[], &[], &env)).is_null(), "{expr:?}");
            env.undefined.get()
        };
        let binary = |op, a, b| counted(Expr::Binary(op, a, b));
        assert_eq!(binary(BinaryOp::Add, c(i64::MAX), c(1)), 1);
        assert_eq!(binary(BinaryOp::Div, c(1), c(0)), 1);
        assert_eq!(binary(BinaryOp::IntDiv, c(1), c(0)), 1);
        assert_eq!(binary(BinaryOp::Rem, c(1.5), c(0)), 1);
        assert_eq!(binary(BinaryOp::Mul, c(1e300), c(1e300)), 1);
        assert_eq!(counted(Expr::Unary(UnaryOp::Neg, c(i64::MIN))), 1);
        assert_eq!(counted(Expr::Cast(c(1e30), DataType::Bigint, TimeUnit::Auto)), 1);
        assert_eq!(binary(BinaryOp::Add, c(1), c(Value::Null)), 0);
        assert_eq!(binary(BinaryOp::Div, c("1"), c(0)), 0);
        assert_eq!(counted(Expr::Cast(c("x"), DataType::Bigint, TimeUnit::Auto)), 0);
    }
}
