//! Syntax into plan expressions: names to slots, types checked as far as the schema tells. An
//! expression that is wrong becomes NULL of type ANY, so that one mistake is told once.

use crate::model::diagnostic::Place;
use crate::model::stream::{Field, TimeUnit};
use crate::model::value::{DataType, Value};

use super::logical::{Aggregate, Analytic, Expr, UnaryOp};
use super::report::Problem;
use super::side::Side;
use super::stream::Slots;
use super::syntax::{Kind, Name, Node, Path};
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
    /// ON: over the rows joined so far.
    On,
    /// WHERE: over the row.
    Where,
    /// GROUP BY: over the row.
    GroupBy,
    /// A condition of the window, FILTER behind it included: over the row.
    Window,
    /// Inside an aggregate: over the row.
    Argument,
    /// SELECT: over the row, or over the group where the query groups.
    Select,
    /// HAVING: over the group.
    Having,
    /// ORDER BY: as SELECT.
    Order,
    /// `when` and `clear`: over the output row.
    Condition,
}

impl Clause {
    /// As SQL calls it.
    pub(super) fn shown(self) -> &'static str {
        match self {
            Self::On => "ON",
            Self::Where => "WHERE",
            Self::GroupBy => "GROUP BY",
            Self::Window => "the condition of a window",
            Self::Argument => "an aggregate",
            Self::Select => "SELECT",
            Self::Having => "HAVING",
            Self::Order => "ORDER BY",
            Self::Condition => "`when` or `clear`",
        }
    }
}

/// An output column.
#[derive(Clone, Debug)]
pub(super) struct Output {
    pub(super) name: String,
    pub(super) found: Typed,
    /// `when` and `clear` may use it, and it goes no further.
    pub(super) invisible: bool,
}

/// Binds the expressions of one rule.
pub(super) struct Binder<'a> {
    /// FROM.
    pub(super) sides: Vec<Side>,
    /// The slots of its streams and tables, each once.
    pub(super) slots: Vec<Slots>,
    /// The rule's id.
    pub(super) rule: &'a str,
    /// Whether the query has a window.
    pub(super) windowed: bool,
    /// Whether SELECT is over groups.
    pub(super) grouped: bool,
    /// Whether rows are joined when the window closes.
    pub(super) at_close: bool,
    /// The last side that the ON at hand sees.
    pub(super) reach: usize,
    /// GROUP BY, as written and bound.
    pub(super) groups: Vec<(Node, Typed)>,
    /// The aggregates met, each once.
    pub(super) aggregates: Vec<Aggregate>,
    /// The analytic functions over rows, each once.
    pub(super) analytics: Vec<Analytic>,
    /// The analytic functions over groups, each once.
    pub(super) group_analytics: Vec<Analytic>,
    /// The analytic function whose arguments are bound.
    pub(super) within: Option<String>,
    /// `unnest`: its array, and the type of the elements.
    pub(super) unnest: Option<(Expr, DataType)>,
    /// Output columns so far.
    pub(super) outputs: Vec<Output>,
    /// The names that SELECT gives.
    pub(super) named: Vec<String>,
    /// GROUP BY holds a mistake, so what is grouped by is not known.
    pub(super) blurred: bool,
    /// What is wrong in the text at hand.
    pub(super) problems: Vec<Problem>,
    /// What is probably not meant in the text at hand.
    pub(super) doubts: Vec<Problem>,
    /// How many nodes the rule's plan may still have.
    pub(super) budget: usize,
}

pub(super) fn nothing() -> Typed {
    Typed { expr: Expr::Const(Value::Null), ty: DataType::Any }
}

impl<'a> Binder<'a> {
    /// For a rule over these sides, whose slots these are.
    pub(super) fn new(rule: &'a str, sides: Vec<Side>, slots: Vec<Slots>, budget: usize) -> Self {
        Self {
            sides,
            slots,
            rule,
            windowed: false,
            grouped: false,
            at_close: false,
            reach: usize::MAX,
            groups: Vec::new(),
            aggregates: Vec::new(),
            analytics: Vec::new(),
            group_analytics: Vec::new(),
            within: None,
            unnest: None,
            outputs: Vec::new(),
            named: Vec::new(),
            blurred: false,
            problems: Vec::new(),
            doubts: Vec::new(),
            budget,
        }
    }
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

    /// Checks for a truth value.
    pub(super) fn boolean(&mut self, found: &Typed, place: Place, what: &str) {
        if !typing::may_be_boolean(&found.ty) {
            let message = format!("{what} takes BOOLEAN, this is {}", found.ty);
            self.problem(Problem::new("wrong-type", place, message).hint("compare it with something"));
        }
    }

    /// Whether what stands here is over groups.
    pub(super) fn over_groups(&self, clause: Clause) -> bool {
        self.grouped && matches!(clause, Clause::Select | Clause::Having | Clause::Order)
    }

    /// The slot of a field of a side.
    pub(super) fn take(&mut self, side: usize, field: Field) -> Expr {
        let source = self.sides.get(side).map_or(0, |side| side.source);
        match self.slots.get_mut(source) {
            Some(slots) => Expr::Field(side, slots.take(field)),
            None => Expr::Const(Value::Null),
        }
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
            Kind::Path(path) => self.path(path, node.place, clause),
            Kind::Star => {
                let problem = Problem::new("wrong-arguments", node.place, "`*` cannot stand here");
                self.problem(problem.hint("name the columns"))
            }
            Kind::Member(of, name) => self.member(of, name, clause),
            Kind::Element(of, index) => self.element(of, index, clause),
            Kind::Slice(of, from, to) => self.slice(of, [from.as_deref(), to.as_deref()], clause),
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
            Kind::InArray(of, array) => self.in_array(of, array, clause),
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

    fn path(&mut self, path: &Path, place: Place, clause: Clause) -> Typed {
        let [first, rest @ ..] = path.names.as_slice() else { return nothing() };
        if clause == Clause::Condition {
            return self.output(first, rest);
        }
        let Some(side) = path.side else {
            let problem = self.nowhere(path, place, clause);
            return self.problem(meant(path, problem));
        };
        if self.over_groups(clause) {
            return self.part_of_group(path, side, place);
        }
        if let Some(problem) = self.out_of_reach(side, place, clause) {
            return self.problem(problem);
        }
        match self.sides[side].schema.resolve(&path.names) {
            Ok(field) => {
                if path.quoted && path.names.len() == 1 && !self.sides[side].schema.declares(&first.text) {
                    let message = format!("\"{0}\" is the column `{0}`, which may not be there", first.text);
                    let hint =
                        format!("a text stands in single quotes: '{}'; a name in backticks", first.text);
                    self.doubts.push(Problem::new("quoted-name", place, message).hint(hint));
                }
                let ty = field.ty.clone();
                Typed { expr: self.take(side, field), ty }
            }
            Err(problem) => self.problem(meant(path, problem)),
        }
    }

    /// Why ON cannot see a side.
    pub(super) fn out_of_reach(&self, side: usize, place: Place, clause: Clause) -> Option<Problem> {
        (clause == Clause::On && side > self.reach).then(|| {
            let message =
                format!("`{}` is joined further right; ON does not see it yet", self.sides[side].called);
            Problem::new("unknown-column", place, message)
                .hint("put the condition into a later ON, or into WHERE")
        })
    }

    /// A path over a group: some beginning of it may be what was grouped by.
    fn part_of_group(&mut self, path: &Path, side: usize, place: Place) -> Typed {
        let names = &path.names;
        for end in (1..names.len()).rev() {
            let part = Path { names: names[..end].to_vec(), side: Some(side), ..path.clone() };
            let head = Node::new(Kind::Path(part), place);
            if let Some(i) = self.groups.iter().position(|(group, _)| *group == head) {
                let start = Typed { expr: Expr::Group(i), ty: self.groups[i].1.ty.clone() };
                return self.members(start, &names[end..]);
            }
        }
        match self.sides[side].schema.resolve(names) {
            Ok(field) => self.ungrouped(&field.name, place),
            Err(problem) => self.problem(problem),
        }
    }

    /// Over groups there is no one value of a column.
    pub(super) fn ungrouped(&mut self, column: &str, place: Place) -> Typed {
        if self.blurred {
            return nothing();
        }
        let message = format!("column `{column}` is neither grouped by nor inside an aggregate");
        let hint = format!("add it to GROUP BY, or take one value of the window, as in last_value({column})");
        self.problem(Problem::new("not-grouped", place, message).hint(hint))
    }

    fn output(&mut self, first: &Name, rest: &[Name]) -> Typed {
        if let Some(i) = self.outputs.iter().position(|output| output.name == first.text) {
            let ty = self.outputs[i].found.ty.clone();
            return self.members(Typed { expr: Expr::Column(i), ty }, rest);
        }
        let name = &first.text;
        let message = format!("no output column `{name}`; `when` and `clear` see what SELECT gives");
        let problem = Problem::new("unknown-output", first.place, message);
        if self.sides.iter().any(|side| side.schema.declares(name)) {
            return self.problem(problem.hint(format!("add `{name}` to SELECT")));
        }
        let names = self.outputs.iter().map(|output| output.name.as_str());
        let problem = problem.hint("add it to SELECT").did_you_mean(name, names);
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
        let at = self.index(index, clause);
        Typed { expr: Expr::Element(Box::new(found.expr), at), ty }
    }

    /// What counts elements.
    fn index(&mut self, node: &Node, clause: Clause) -> Box<Expr> {
        let at = self.bind(node, clause);
        if !matches!(at.ty, DataType::Bigint | DataType::Any) {
            let message = format!("an element is counted in BIGINT, this is {}", at.ty);
            self.problem(Problem::new("wrong-type", node.place, message));
        }
        Box::new(at.expr)
    }

    fn slice(&mut self, of: &Node, bounds: [Option<&Node>; 2], clause: Clause) -> Typed {
        let found = self.bind(of, clause);
        if !matches!(found.ty, DataType::Array(_) | DataType::Any) {
            let message = format!("only an ARRAY has slices, this is {}", found.ty);
            let problem = Problem::new("wrong-type", of.place, message);
            return self.problem(match found.ty {
                DataType::String => problem.hint("take a part of a text with substring(…)"),
                _ => problem,
            });
        }
        let [from, to] = bounds.map(|node| node.map(|node| self.index(node, clause)));
        Typed { expr: Expr::Slice(Box::new(found.expr), from, to), ty: found.ty }
    }
}

/// A truth value.
pub(super) fn boolean(expr: Expr) -> Typed {
    Typed { expr, ty: DataType::Boolean }
}

/// What was perhaps meant by a path that does not exist, where nothing else is near.
fn meant(path: &Path, problem: Problem) -> Problem {
    match path.names.as_slice() {
        _ if problem.hint.is_some() => problem,
        [only] if path.quoted => problem.hint(format!("a text stands in single quotes: '{}'", only.text)),
        [before, last] if super::function_names().any(|name| name.eq_ignore_ascii_case(&last.text)) => {
            problem.hint(format!("write {}({})", last.text, before.text))
        }
        _ => problem,
    }
}
