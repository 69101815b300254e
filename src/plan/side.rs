//! The sides of FROM: what a query calls its streams and tables, which of them a name is of, and
//! how they are joined.

use std::sync::Arc;

use crate::model::diagnostic::Place;

use super::bind::{Binder, Clause};
use super::logical::{self, BinaryOp, Expr, From, Join, JoinKind};
use super::report::Problem;
use super::stream::Schema;
use super::syntax::{Node, Path, Select};

/// One side of FROM.
pub(super) struct Side {
    /// What the query calls it.
    pub(super) called: String,
    /// Where it stands.
    pub(super) place: Place,
    /// Its columns.
    pub(super) schema: Arc<Schema>,
    /// Its slots, by their place in [`Binder::slots`]: sides over one stream share them.
    pub(super) source: usize,
    /// What it is in the plan.
    pub(super) plan: logical::Side,
}

impl Side {
    /// Whether it is a stream.
    pub(super) fn is_stream(&self) -> bool {
        matches!(self.plan, logical::Side::Stream(_))
    }
}

/// Whose column a bare name is.
pub(super) enum Owner {
    /// Of this side.
    Side(usize),
    /// Of any of these.
    Several(Vec<usize>),
    /// Of none.
    Nobody,
}

/// Whose column a bare name is: of the side that declares it, else of the one that declares
/// nothing.
pub(super) fn owner(sides: &[Side], name: &str) -> Owner {
    let those = |which: &dyn Fn(&Schema) -> bool| -> Vec<usize> {
        sides.iter().enumerate().filter(|(_, side)| which(&side.schema)).map(|(i, _)| i).collect()
    };
    let mut found = those(&|schema| schema.declares(name));
    if found.is_empty() {
        found = those(&|schema| schema.open);
    }
    match found.as_slice() {
        [] => Owner::Nobody,
        [one] => Owner::Side(*one),
        _ => Owner::Several(found),
    }
}

/// The side that a name calls: by its alias, else by the only stream or table of that name.
pub(super) fn called(sides: &[Side], name: &str) -> Option<usize> {
    if let Some(side) = sides.iter().position(|side| side.called == name) {
        return Some(side);
    }
    let mut named = sides.iter().enumerate().filter(|(_, side)| *side.schema.name == *name);
    match (named.next(), named.next()) {
        (Some((side, _)), None) => Some(side),
        _ => None,
    }
}

impl Binder<'_> {
    /// Binds FROM; what is wrong is among the problems.
    pub(super) fn from(&mut self, select: &Select) -> From {
        self.check_sides(select);
        let joins: Vec<Join> =
            select.from.iter().enumerate().skip(1).map(|(i, _)| self.join(select, i)).collect();
        From { sides: self.sides.iter().map(|side| side.plan).collect(), joins, at_close: self.at_close }
    }

    /// Whether rows must wait for the window before they can be joined.
    pub(super) fn joins_at_close(&self, select: &Select) -> bool {
        let streams = self.sides.iter().filter(|side| side.is_stream()).count();
        let mut joins = select.from.iter().filter_map(|source| source.join.as_ref());
        streams > 1 || joins.any(|join| keeps_partnerless(join.kind))
    }

    fn check_sides(&mut self, select: &Select) {
        for (i, side) in self.sides.iter().enumerate() {
            if self.sides[..i].iter().any(|known| known.called == side.called) {
                let message = format!("two sides of FROM are called `{}`", side.called);
                let problem = Problem::new("duplicate-alias", side.place, message);
                self.problems.push(problem.hint("give one of them another name with AS"));
            }
        }
        let Some(first) = self.sides.first() else { return };
        let problems = if first.is_stream() {
            [self.mixed_time(first), self.no_window(first, select)]
        } else {
            [Some(self.table_first(first)), None]
        };
        self.problems.extend(problems.into_iter().flatten());
    }

    fn table_first(&self, first: &Side) -> Problem {
        let message = format!("`{}` is a table: it starts nothing, only rows of a stream do", first.called);
        let problem = Problem::new("table-first", first.place, message);
        match self.sides.iter().find(|side| side.is_stream()) {
            Some(stream) => problem
                .hint(format!("write FROM {} LEFT JOIN {} ON …", stream.schema.name, first.schema.name)),
            None => problem.hint("name a stream first, and join the table to it"),
        }
    }

    fn mixed_time(&self, first: &Side) -> Option<Problem> {
        let timed = first.schema.timestamp.is_some();
        let differs = |side: &&Side| side.is_stream() && side.schema.timestamp.is_some() != timed;
        let other = self.sides.iter().find(differs)?;
        let (with, without) = if timed { (first, other) } else { (other, first) };
        let message = format!(
            "`{}` has a TIMESTAMP and `{}` has none: their rows have no common time",
            with.called, without.called
        );
        let hint = format!("give `{}` a TIMESTAMP too, or leave it out of both", without.schema.name);
        Some(Problem::new("mixed-time", other.place, message).hint(hint))
    }

    /// What waits for the window to close needs one.
    fn no_window(&self, first: &Side, select: &Select) -> Option<Problem> {
        if !self.at_close || select.window.is_some() {
            return None;
        }
        if let Some(second) = self.sides.iter().skip(1).find(|side| side.is_stream()) {
            let message = "streams are joined inside a window, and there is none";
            return Some(Problem::new("no-window", second.place, message).hint(format!(
                "add GROUP BY …, TUMBLINGWINDOW(ss, 10); or, for the last value of `{}`, make it a CREATE TABLE with KEY",
                second.schema.name
            )));
        }
        let mut joins = select.from.iter().filter_map(|source| source.join.as_ref());
        let place = joins.find(|join| keeps_partnerless(join.kind)).map_or(first.place, |join| join.place);
        let message =
            "RIGHT and FULL wait for the rows that find no partner, and there is no window to end that";
        let problem = Problem::new("no-window", place, message);
        Some(problem.hint("add GROUP BY …, TUMBLINGWINDOW(ss, 10); or write LEFT JOIN"))
    }

    fn join(&mut self, select: &Select, side: usize) -> Join {
        let join = select.from.get(side).and_then(|source| source.join.as_ref());
        let Some(join) = join else { return Join { kind: JoinKind::Cross, on: None, equal: Vec::new() } };
        self.reach = side;
        let on = join.on.as_ref().map(|node| self.condition(node, Clause::On, "ON"));
        self.reach = usize::MAX;
        let mut equal = Vec::new();
        match &on {
            Some(Expr::And(parts)) => parts.iter().for_each(|part| equal.extend(equality(part, side))),
            Some(part) => equal.extend(equality(part, side)),
            None => {}
        }
        if equal.is_empty()
            && let Some(node) = &join.on
            && self.problems.is_empty()
        {
            self.doubt_on(node, side, on.as_ref());
        }
        Join { kind: join.kind, on, equal }
    }

    /// ON that does not look at the side it joins is probably not what was meant.
    fn doubt_on(&mut self, node: &Node, side: usize, on: Option<&Expr>) {
        let mut seen = false;
        if let Some(on) = on {
            on.walk(&mut |part| seen |= matches!(part, Expr::Field(of, _) if *of == side));
        }
        if !seen {
            let name = &self.sides[side].called;
            let message = format!("ON says nothing about `{name}`: every row of it is a partner");
            let problem = Problem::new("loose-join", node.place, message);
            self.doubts.push(problem.hint(format!("name what must be equal, as in ON a.x = {name}.x")));
        }
    }

    /// Why a path is of no side.
    pub(super) fn nowhere(&mut self, path: &Path, place: Place, clause: Clause) -> Problem {
        let Some(first) = path.names.first() else {
            return Problem::new("unknown-column", place, "no column");
        };
        let name = first.text.as_str();
        if let Owner::Several(those) = owner(&self.sides, name) {
            let list: Vec<String> = those.iter().map(|i| format!("`{}`", self.sides[*i].called)).collect();
            let message = format!("`{name}` may be a column of {}", list.join(" or of "));
            let hint = format!("write `{}.{name}`", self.sides[those[0]].called);
            return Problem::new("ambiguous-column", place, message).hint(hint);
        }
        let problem = match self.sides.as_slice() {
            [only] => only
                .schema
                .resolve(&path.names)
                .err()
                .unwrap_or_else(|| Problem::new("unknown-column", place, format!("no column `{name}`"))),
            sides => {
                let list: Vec<String> = sides.iter().map(|side| format!("`{}`", side.called)).collect();
                let message = format!("no column `{name}` in {}", list.join(" or "));
                let all = sides.iter().flat_map(|side| side.schema.names());
                Problem::new("unknown-column", first.place, message).did_you_mean(name, all)
            }
        };
        if problem.hint.is_some() {
            return problem;
        }
        if path.dotted > 1 {
            return match self.sides.as_slice() {
                [only] => {
                    let what = if only.is_stream() { "stream" } else { "table" };
                    problem.hint(format!("the {what} is called `{}` here", only.called))
                }
                sides => {
                    let list: Vec<String> = sides.iter().map(|side| format!("`{}`", side.called)).collect();
                    problem.hint(format!("the sides of FROM are called {}", list.join(", ")))
                }
            };
        }
        if clause == Clause::On && self.named.iter().any(|known| known == name) {
            return problem.hint("ON comes before SELECT; repeat the expression");
        }
        if self.named.iter().any(|known| known == name) {
            return problem.hint("an output column can be used to the right of where it is named");
        }
        problem.did_you_mean(name, self.named.iter().map(String::as_str))
    }
}

/// Whether rows of the joined side stay that find no partner.
fn keeps_partnerless(kind: JoinKind) -> bool {
    matches!(kind, JoinKind::Right | JoinKind::Full)
}

/// Of `a.x = b.y`, where b is the side: what its slot must equal.
fn equality(part: &Expr, side: usize) -> Option<(Expr, usize)> {
    let Expr::Binary(BinaryOp::Eq, a, b) = part else { return None };
    let own = |expr: &Expr| match expr {
        Expr::Field(of, slot) if *of == side => Some(*slot),
        _ => None,
    };
    let before = |expr: &Expr| {
        let mut clean = true;
        expr.walk(&mut |part| clean &= !matches!(part, Expr::Field(of, _) if *of >= side));
        clean
    };
    match (own(a), own(b)) {
        (None, Some(slot)) if before(a) => Some(((**a).clone(), slot)),
        (Some(slot), None) if before(b) => Some(((**b).clone(), slot)),
        _ => None,
    }
}
