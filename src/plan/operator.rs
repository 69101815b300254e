//! Operators, and which types they take: arithmetic, comparison, IN, BETWEEN and CASE.

use crate::model::diagnostic::Place;
use crate::model::time::Timestamp;
use crate::model::value::{DataType, Value};

use super::bind::{Binder, Clause, Typed, boolean, nothing};
use super::logical::{BinaryOp, Expr};
use super::report::Problem;
use super::syntax::Node;
use super::typing;

impl Binder<'_> {
    /// `a op b`.
    pub(super) fn binary(&mut self, op: BinaryOp, a: &Node, b: &Node, place: Place, clause: Clause) -> Typed {
        let mut left = self.bind(a, clause);
        let mut right = self.bind(b, clause);
        let ty = if op.compares() {
            self.doubt_null(op, [&left, &right], place);
            self.compare(&mut left, &mut right, place);
            DataType::Boolean
        } else if op == BinaryOp::Concat {
            DataType::String
        } else if let Some(ty) = typing::of_time(op, &left.ty, &right.ty) {
            ty
        } else {
            let what = format!("`{}`", op.symbol());
            let fits = self.number(&left, a.place, &what) & self.number(&right, b.place, &what);
            match op {
                _ if !fits => DataType::Any,
                BinaryOp::Div => DataType::Float,
                BinaryOp::IntDiv => DataType::Bigint,
                _ => typing::common(&left.ty, &right.ty),
            }
        };
        Typed { expr: Expr::Binary(op, Box::new(left.expr), Box::new(right.expr)), ty }
    }

    /// A comparison with NULL is NULL, whatever the other side is.
    fn doubt_null(&mut self, op: BinaryOp, sides: [&Typed; 2], place: Place) {
        if sides.iter().any(|side| side.expr == Expr::Const(Value::Null)) && self.problems.is_empty() {
            let message = format!("`{} NULL` is never true", op.symbol());
            let hint = if op == BinaryOp::Ne { "write IS NOT NULL" } else { "write IS NULL" };
            self.doubts.push(Problem::new("never-true", place, message).hint(hint));
        }
    }

    /// Checks that two sides have an order, and reads text beside DATETIME as a time.
    pub(super) fn compare(&mut self, a: &mut Typed, b: &mut Typed, place: Place) {
        if a.ty == DataType::Datetime && !self.as_time(b, place)
            || b.ty == DataType::Datetime && !self.as_time(a, place)
        {
            return;
        }
        if typing::comparable(&a.ty, &b.ty) {
            return;
        }
        let problem = Problem::new("wrong-type", place, format!("cannot compare {} with {}", a.ty, b.ty));
        let problem = match (&a.ty, &b.ty) {
            (DataType::String, DataType::Bigint | DataType::Float)
            | (DataType::Bigint | DataType::Float, DataType::String) => {
                problem.hint("put a text in quotes, or turn it into a number with CAST(… AS FLOAT)")
            }
            (DataType::Datetime, _) | (_, DataType::Datetime) => {
                problem.hint("write a time as '2026-01-31T12:00:00Z', or use CAST(… AS DATETIME)")
            }
            (DataType::Boolean, _) | (_, DataType::Boolean) => {
                problem.hint("a BOOLEAN is a condition by itself; or compare it with TRUE or FALSE")
            }
            _ => problem,
        };
        self.problem(problem);
    }

    /// Reads a text literal as a time. False where that was tried and failed.
    fn as_time(&mut self, side: &mut Typed, place: Place) -> bool {
        let Expr::Const(Value::Str(text)) = &side.expr else { return true };
        match Timestamp::parse(text) {
            Some(time) => {
                *side = Typed { expr: Expr::Const(Value::Time(time)), ty: DataType::Datetime };
                true
            }
            None => {
                let problem = Problem::new("bad-datetime", place, format!("'{text}' is no time"));
                self.problem(problem.hint("write it as '2026-01-31T12:00:00Z'"));
                false
            }
        }
    }

    /// Checks for a number; true where it may be one.
    pub(super) fn number(&mut self, found: &Typed, place: Place, what: &str) -> bool {
        let fits = typing::may_be_number(&found.ty);
        if !fits {
            let problem =
                Problem::new("wrong-type", place, format!("{what} takes a number, this is {}", found.ty));
            self.problem(match found.ty {
                DataType::String => problem.hint("turn it into a number with CAST(… AS FLOAT)"),
                DataType::Datetime => problem.hint("the difference of two times is a number of milliseconds"),
                _ => problem,
            });
        }
        fits
    }

    /// Checks for a text; true where it may be one.
    pub(super) fn text(&mut self, found: &Typed, place: Place, what: &str) -> bool {
        let fits = typing::may_be_text(&found.ty);
        if !fits {
            let problem =
                Problem::new("wrong-type", place, format!("{what} takes STRING, this is {}", found.ty));
            self.problem(problem.hint("turn it into text with CAST(… AS STRING)"));
        }
        fits
    }

    /// `a IN (b, …)`.
    pub(super) fn in_list(&mut self, of: &Node, list: &[Node], clause: Clause) -> Typed {
        let mut left = self.bind(of, clause);
        let mut items = Vec::with_capacity(list.len());
        for node in list {
            let mut item = self.bind(node, clause);
            if matches!(item.ty, DataType::Array(_)) && !matches!(left.ty, DataType::Array(_)) {
                let problem = Problem::new("wrong-type", node.place, "an ARRAY is no element of the list");
                self.problem(problem.hint("without parentheses IN looks into an array: x IN list"));
                continue;
            }
            self.compare(&mut left, &mut item, node.place);
            items.push(item.expr);
        }
        boolean(Expr::In(Box::new(left.expr), items))
    }

    /// `a IN array`.
    pub(super) fn in_array(&mut self, of: &Node, array: &Node, clause: Clause) -> Typed {
        let mut left = self.bind(of, clause);
        let right = self.bind(array, clause);
        match &right.ty {
            DataType::Any => {}
            DataType::Array(element) => {
                let mut element = Typed { expr: Expr::Unnested, ty: element.as_ref().clone() };
                self.compare(&mut left, &mut element, array.place);
            }
            other => {
                let message = format!("IN takes a list or an ARRAY, this is {other}");
                let problem = Problem::new("wrong-type", array.place, message);
                return self.problem(problem.hint("put the values in parentheses: IN (1, 2)"));
            }
        }
        boolean(Expr::InArray(Box::new(left.expr), Box::new(right.expr)))
    }

    /// `a BETWEEN b AND c`, as two comparisons.
    pub(super) fn between(&mut self, [of, low, high]: [&Node; 3], clause: Clause) -> Typed {
        let mut found = self.bind(of, clause);
        let mut least = self.bind(low, clause);
        let mut most = self.bind(high, clause);
        self.compare(&mut found, &mut least, low.place);
        self.compare(&mut found, &mut most, high.place);
        if !self.charge(&found.expr, of.place) {
            return nothing();
        }
        let side = |op, bound: Typed| Expr::Binary(op, Box::new(found.expr.clone()), Box::new(bound.expr));
        boolean(Expr::And(vec![side(BinaryOp::Ge, least), side(BinaryOp::Le, most)]))
    }

    /// Both kinds of CASE.
    pub(super) fn case(
        &mut self,
        operand: Option<&Node>,
        list: &[(Node, Node)],
        otherwise: Option<&Node>,
        clause: Clause,
    ) -> Typed {
        let mut operand = operand.map(|node| (self.bind(node, clause), node.place));
        let mut ty: Option<DataType> = None;
        let mut join = |found: &Typed| {
            if found.expr != Expr::Const(Value::Null) {
                ty = Some(ty.as_ref().map_or_else(|| found.ty.clone(), |ty| typing::common(ty, &found.ty)));
            }
        };
        let mut branches = Vec::with_capacity(list.len());
        for (when, then) in list {
            let when = match &mut operand {
                None => self.condition(when, clause, "WHEN"),
                Some((operand, place)) => {
                    let mut value = self.bind(when, clause);
                    self.compare(operand, &mut value, when.place);
                    if !self.charge(&operand.expr, *place) {
                        return nothing();
                    }
                    Expr::Binary(BinaryOp::Eq, Box::new(operand.expr.clone()), Box::new(value.expr))
                }
            };
            let then = self.bind(then, clause);
            join(&then);
            branches.push((when, then.expr));
        }
        let otherwise = otherwise.map(|node| {
            let found = self.bind(node, clause);
            join(&found);
            Box::new(found.expr)
        });
        Typed { expr: Expr::Case { branches, otherwise }, ty: ty.unwrap_or(DataType::Any) }
    }

    /// Checks that arguments have an order to one another, and gives the type they share.
    pub(super) fn alike(&mut self, args: &mut [Typed], places: &[Place]) -> DataType {
        let mut ty: Option<DataType> = None;
        for i in 0..args.len() {
            let (head, tail) = args.split_at_mut(i);
            if let (Some(first), Some(arg)) = (head.first_mut(), tail.first_mut()) {
                self.compare(first, arg, places.get(i).copied().unwrap_or_default());
            }
            if let Some(arg) = args.get(i).filter(|arg| arg.expr != Expr::Const(Value::Null)) {
                ty = Some(ty.map_or_else(|| arg.ty.clone(), |ty| typing::common(&ty, &arg.ty)));
            }
        }
        ty.unwrap_or(DataType::Any)
    }

    /// Takes the nodes of an expression that is about to be repeated from the rule's budget:
    /// repetition inside repetition grows without bound.
    pub(super) fn charge(&mut self, expr: &Expr, place: Place) -> bool {
        let mut size = 0;
        expr.walk(&mut |_| size += 1);
        let enough = size <= self.budget;
        let told = self.budget == 0;
        self.budget = if enough { self.budget - size } else { 0 };
        if !enough && !told {
            let message = "the expression grows too large when planned";
            self.problem(Problem::new("too-large", place, message).hint("split the rule"));
        }
        enough
    }
}
