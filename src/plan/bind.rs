//! Syntax into plan expressions: names to slots, types checked as far as the schema tells. An
//! expression that is wrong becomes NULL of type ANY, so that one mistake is told once.

use crate::model::diagnostic::Place;
use crate::model::stream::TimeUnit;
use crate::model::time::Timestamp;
use crate::model::value::{DataType, Value};

use super::logical::{Aggregate, BinaryOp, Expr, UnaryOp};
use super::report::Problem;
use super::stream::{Schema, Slots};
use super::syntax::{Kind, Name, Node};
use super::typing;

/// An expression with its type.
#[derive(Clone, Debug)]
pub(super) struct Typed {
    pub(super) expr: Expr,
    pub(super) ty: DataType,
}

/// Where an expression stands, and so what its names mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Clause {
    /// WHERE: over the row.
    Where,
    /// GROUP BY: over the row.
    GroupBy,
    /// Inside an aggregate: over the row.
    Argument,
    /// SELECT: over the row, or over the group where there is a window.
    Select,
    /// HAVING: over the group.
    Having,
    /// `when` and `clear`: over the output row.
    Condition,
}

/// Binds the expressions of one rule.
pub(super) struct Binder<'a> {
    pub(super) schema: &'a Schema,
    pub(super) slots: &'a mut Slots,
    /// Whether the query has a window.
    pub(super) windowed: bool,
    /// GROUP BY, as written and bound.
    pub(super) groups: Vec<(Node, Typed)>,
    /// The aggregates met, each once.
    pub(super) aggregates: Vec<Aggregate>,
    /// Output columns so far.
    pub(super) outputs: Vec<(String, Typed)>,
    /// What the query calls its stream.
    pub(super) called: &'a str,
    /// The names that SELECT gives with AS, each with whether it renames something.
    pub(super) aliases: Vec<(&'a str, bool)>,
    /// GROUP BY holds a mistake, so what is grouped by is not known.
    pub(super) blurred: bool,
    /// What is wrong in the text at hand.
    pub(super) problems: Vec<Problem>,
    /// What is probably not meant in the text at hand.
    pub(super) doubts: Vec<Problem>,
    /// How many nodes the rule's plan may still have.
    pub(super) budget: usize,
}

fn nothing() -> Typed {
    Typed { expr: Expr::Const(Value::Null), ty: DataType::Any }
}

impl Binder<'_> {
    pub(super) fn problem(&mut self, problem: Problem) -> Typed {
        self.problems.push(problem);
        nothing()
    }

    /// An expression that must be a truth value.
    pub(super) fn condition(&mut self, node: &Node, clause: Clause, what: &str) -> Expr {
        let found = self.bind(node, clause);
        self.boolean(&found, node.place, what);
        found.expr
    }

    fn boolean(&mut self, found: &Typed, place: Place, what: &str) {
        if !typing::may_be_boolean(&found.ty) {
            let message = format!("{what} takes BOOLEAN, this is {}", found.ty);
            self.problem(Problem::new("wrong-type", place, message).hint("compare it with something"));
        }
    }

    fn over_groups(&self, clause: Clause) -> bool {
        self.windowed && matches!(clause, Clause::Select | Clause::Having)
    }

    /// Binds an expression.
    pub(super) fn bind(&mut self, node: &Node, clause: Clause) -> Typed {
        if self.over_groups(clause)
            && let Some(i) = self.groups.iter().position(|(group, _)| group == node)
        {
            return Typed { expr: Expr::Group(i), ty: self.groups[i].1.ty.clone() };
        }
        match &node.kind {
            Kind::Const(value) => Typed { expr: Expr::Const(value.clone()), ty: typing::of_value(value) },
            Kind::Path { names, .. } => self.path(names, node.place, clause),
            Kind::Member(of, name) => self.member(of, name, clause),
            Kind::Element(of, index) => self.element(of, index, clause),
            Kind::Not(of) => {
                let found = self.condition(of, clause, "NOT");
                boolean(Expr::Unary(UnaryOp::Not, Box::new(found)))
            }
            Kind::Neg(of) => {
                let found = self.bind(of, clause);
                if !self.number(&found, of.place, "`-`") {
                    return nothing();
                }
                Typed { expr: Expr::Unary(UnaryOp::Neg, Box::new(found.expr)), ty: found.ty }
            }
            Kind::Binary(op, a, b) => self.binary(*op, a, b, node.place, clause),
            Kind::And(list) => {
                let list = list.iter().map(|part| self.condition(part, clause, "AND")).collect();
                boolean(Expr::And(list))
            }
            Kind::Or(list) => {
                let list = list.iter().map(|part| self.condition(part, clause, "OR")).collect();
                boolean(Expr::Or(list))
            }
            Kind::IsNull(of) => boolean(Expr::IsNull(Box::new(self.bind(of, clause).expr))),
            Kind::IsBool(of, wanted) => {
                let found = self.condition(of, clause, if *wanted { "IS TRUE" } else { "IS FALSE" });
                boolean(Expr::IsBool(Box::new(found), *wanted))
            }
            Kind::In(of, list) => self.in_list(of, list, clause),
            Kind::Between(of, low, high) => self.between([of, low, high], clause),
            Kind::Like(text, pattern, escape) => {
                let mut side = |node: &Node| {
                    let found = self.bind(node, clause);
                    self.text(&found, node.place, "LIKE");
                    Box::new(found.expr)
                };
                boolean(Expr::Like { text: side(text), pattern: side(pattern), escape: *escape })
            }
            Kind::Case { operand, branches, otherwise } => {
                self.case(operand.as_deref(), branches, otherwise.as_deref(), clause)
            }
            Kind::Cast(of, ty) => {
                let found = self.bind(of, clause);
                if matches!(ty, DataType::Array(_) | DataType::Struct(_)) {
                    let message = format!("nothing can be cast to {ty}");
                    return self.problem(Problem::new("wrong-type", node.place, message));
                }
                Typed { expr: Expr::Cast(Box::new(found.expr), ty.clone(), TimeUnit::Auto), ty: ty.clone() }
            }
            Kind::Call(call) => self.call(call, node.place, clause),
        }
    }

    fn path(&mut self, names: &[Name], place: Place, clause: Clause) -> Typed {
        let [first, rest @ ..] = names else { return nothing() };
        if clause == Clause::Condition {
            return self.output(first, rest);
        }
        // An output column of the same name stands for a column only where that one cannot be
        // meant: an aggregate over `t` may well be called `t`.
        let column = self.schema.declares(&first.text) || (self.schema.open && !self.aliased(&first.text));
        let aliases = matches!(clause, Clause::Select | Clause::Having);
        if aliases && (self.over_groups(clause) || !column) && self.aliased(&first.text) {
            return self.output_inline(first, rest);
        }
        if self.over_groups(clause) {
            return self.part_of_group(names, place);
        }
        match self.schema.resolve(names) {
            Ok(field) => {
                if self.schema.open && rest.is_empty() {
                    self.doubt_alias(first, clause);
                }
                let ty = field.ty.clone();
                Typed { expr: Expr::Field(0, self.slots.take(field)), ty }
            }
            Err(problem) => {
                let alias = self.aliases.iter().any(|(alias, _)| *alias == first.text);
                self.problem(match problem.hint {
                    None if alias => problem.hint("an output column is not there yet; repeat its expression"),
                    None if !rest.is_empty() && !self.schema.declares(&first.text) => {
                        problem.hint(format!("the stream is called `{}` here", self.called))
                    }
                    _ => problem,
                })
            }
        }
    }

    /// In a schemaless stream every name is a column of the payload, also one that was meant for an
    /// output column.
    fn doubt_alias(&mut self, name: &Name, clause: Clause) {
        let meant = matches!(clause, Clause::Where | Clause::GroupBy | Clause::Argument);
        if meant && self.aliases.iter().any(|(alias, renames)| *alias == name.text && *renames) {
            let message = format!("`{}` is taken from the payload here, not from SELECT", name.text);
            let problem = Problem::new("alias-not-seen", name.place, message);
            self.doubts.push(problem.hint("repeat the expression, or call the output column something else"));
        }
    }

    fn aliased(&self, name: &str) -> bool {
        self.outputs.iter().any(|(output, _)| output == name)
    }

    /// A path over a group: some beginning of it may be what was grouped by.
    fn part_of_group(&mut self, names: &[Name], place: Place) -> Typed {
        for end in (1..names.len()).rev() {
            let head = Node::new(Kind::Path { names: names[..end].to_vec(), dotted: 1 }, place);
            if let Some(i) = self.groups.iter().position(|(group, _)| *group == head) {
                let start = Typed { expr: Expr::Group(i), ty: self.groups[i].1.ty.clone() };
                return self.members(start, &names[end..]);
            }
        }
        match self.schema.resolve(names) {
            Ok(_) if self.blurred => nothing(),
            Ok(field) => {
                let message =
                    format!("column `{}` is neither grouped by nor inside an aggregate", field.name);
                let hint =
                    format!("add it to GROUP BY, or take one value of the window, as in max({})", field.name);
                self.problem(Problem::new("not-grouped", place, message).hint(hint))
            }
            Err(problem) => self.problem(problem),
        }
    }

    /// The expression of an earlier output column, again.
    fn output_inline(&mut self, first: &Name, rest: &[Name]) -> Typed {
        let Some((_, found)) = self.outputs.iter().find(|(name, _)| *name == first.text) else {
            return nothing();
        };
        let found = found.clone();
        if !self.charge(&found.expr, first.place) {
            return nothing();
        }
        self.members(found, rest)
    }

    fn output(&mut self, first: &Name, rest: &[Name]) -> Typed {
        if let Some(i) = self.outputs.iter().position(|(name, _)| *name == first.text) {
            let ty = self.outputs[i].1.ty.clone();
            return self.members(Typed { expr: Expr::Column(i), ty }, rest);
        }
        let name = &first.text;
        let message = format!("no output column `{name}`; `when` and `clear` see what SELECT gives");
        let mut problem = Problem::new("unknown-output", first.place, message);
        problem = if self.schema.declares(name) {
            problem.hint(format!("add `{name}` to SELECT"))
        } else {
            problem.did_you_mean(name, self.outputs.iter().map(|(name, _)| name.as_str()))
        };
        if problem.hint.is_none() {
            problem = problem.hint("add it to SELECT");
        }
        self.problem(problem)
    }

    fn members(&mut self, start: Typed, names: &[Name]) -> Typed {
        names.iter().fold(start, |of, name| self.member_of(of, name))
    }

    fn member(&mut self, of: &Node, name: &Name, clause: Clause) -> Typed {
        let of = self.bind(of, clause);
        self.member_of(of, name)
    }

    fn member_of(&mut self, of: Typed, name: &Name) -> Typed {
        let ty = match &of.ty {
            DataType::Any => DataType::Any,
            DataType::Struct(members) => match members.iter().find(|(member, _)| *member == name.text) {
                Some((_, ty)) => ty.clone(),
                None => {
                    let problem =
                        Problem::new("unknown-member", name.place, format!("no member `{}`", name.text));
                    let problem =
                        problem.did_you_mean(&name.text, members.iter().map(|(member, _)| member.as_str()));
                    return self.problem(problem);
                }
            },
            other => {
                let message = format!("`{}` is a member of what is {other} and has no members", name.text);
                return self.problem(Problem::new("unknown-member", name.place, message));
            }
        };
        Typed { expr: Expr::Member(Box::new(of.expr), name.text.as_str().into()), ty }
    }

    fn element(&mut self, of: &Node, index: &Node, clause: Clause) -> Typed {
        let found = self.bind(of, clause);
        let ty = match &found.ty {
            DataType::Any => DataType::Any,
            DataType::Array(of) => of.as_ref().clone(),
            other => {
                let message = format!("only an ARRAY has elements, this is {other}");
                return self.problem(Problem::new("wrong-type", of.place, message));
            }
        };
        let at = self.bind(index, clause);
        if !matches!(at.ty, DataType::Bigint | DataType::Any) {
            let message = format!("an element is counted in BIGINT, this is {}", at.ty);
            return self.problem(Problem::new("wrong-type", index.place, message));
        }
        Typed { expr: Expr::Element(Box::new(found.expr), Box::new(at.expr)), ty }
    }

    fn binary(&mut self, op: BinaryOp, a: &Node, b: &Node, place: Place, clause: Clause) -> Typed {
        let mut left = self.bind(a, clause);
        let mut right = self.bind(b, clause);
        let ty = if op.compares() {
            self.doubt_null(op, [&left, &right], place);
            self.compare(&mut left, &mut right, place);
            DataType::Boolean
        } else if op == BinaryOp::Concat {
            DataType::String
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
    fn compare(&mut self, a: &mut Typed, b: &mut Typed, place: Place) {
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

    fn in_list(&mut self, of: &Node, list: &[Node], clause: Clause) -> Typed {
        let mut left = self.bind(of, clause);
        let mut items = Vec::with_capacity(list.len());
        for node in list {
            let mut item = self.bind(node, clause);
            self.compare(&mut left, &mut item, node.place);
            items.push(item.expr);
        }
        boolean(Expr::In(Box::new(left.expr), items))
    }

    fn between(&mut self, [of, low, high]: [&Node; 3], clause: Clause) -> Typed {
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

    fn case(
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
    fn charge(&mut self, expr: &Expr, place: Place) -> bool {
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

/// A truth value.
fn boolean(expr: Expr) -> Typed {
    Typed { expr, ty: DataType::Boolean }
}
