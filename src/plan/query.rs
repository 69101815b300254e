//! The query of a rule: SELECT, WHERE, GROUP BY, the window and HAVING, bound to its stream.

use std::time::Duration;

use crate::model::diagnostic::Place;
use crate::model::stream::FieldSource;
use crate::model::value::Value;

use super::bind::{Binder, Clause, Typed};
use super::logical::{Expr, Gives, Window, WindowKind};
use super::report::Problem;
use super::syntax::{Call, Item, Kind, Name, Node, Select};

/// The units of a window's length, with their milliseconds.
const UNITS: &[(&str, u64)] =
    &[("DD", 86_400_000), ("HH", 3_600_000), ("MI", 60_000), ("SS", 1_000), ("MS", 1)];

/// A query, bound. Its output columns are the binder's.
pub(super) struct Query {
    /// WHERE.
    pub(super) filter: Option<Expr>,
    /// GROUP BY and HAVING. Its aggregates stay with the binder until the rule is done.
    pub(super) window: Option<Window>,
}

impl Binder<'_> {
    /// Binds a query; what is wrong is among the binder's problems.
    pub(super) fn query(&mut self, select: &Select) -> Query {
        self.windowed = select.window.is_some();
        let filter = select.filter.as_ref().map(|node| self.condition(node, Clause::Where, "WHERE"));
        self.group_by(select);
        let kind = select.window.as_ref().and_then(|call| self.window(call));
        for item in &select.items {
            match item {
                Item::All(place) => self.all(*place),
                Item::Expr { node, alias, text } => self.item(node, alias.as_ref(), text),
            }
        }
        let having = select.having.as_ref().and_then(|node| {
            if !self.windowed {
                let problem = Problem::new("no-window", node.place, "HAVING without a window");
                self.problem(problem.hint("put the condition into WHERE or `when`"));
                return None;
            }
            Some(self.condition(node, Clause::Having, "HAVING"))
        });
        let window = kind.map(|kind| Window {
            kind,
            filter: None,
            gives: Gives::Groups,
            analytics: Vec::new(),
            arrange: None,
            group: self.groups.iter().map(|(_, group)| group.expr.clone()).collect(),
            aggregates: Vec::new(),
            having,
            by_key: self.by_key(),
        });
        Query { filter, window }
    }

    fn group_by(&mut self, select: &Select) {
        if let (Some(first), None) = (select.group.first(), &select.window) {
            let problem = Problem::new("no-window", first.place, "GROUP BY without a window");
            self.problem(problem.hint("add a window: GROUP BY …, TUMBLINGWINDOW(ss, 10)"));
            // What is grouped is known, so that SELECT is judged as it is meant.
            self.windowed = true;
        }
        for node in &select.group {
            if matches!(node.kind, Kind::Const(_)) {
                let message = "GROUP BY takes expressions, not the numbers of columns";
                self.problem(Problem::new("unsupported", node.place, message));
                continue;
            }
            let before = self.problems.len();
            let bound = self.bind(node, Clause::GroupBy);
            self.blurred |= self.problems.len() > before;
            if !self.groups.iter().any(|(known, _)| known == node) {
                self.groups.push((node.clone(), bound));
            }
        }
    }

    fn window(&mut self, call: &Call) -> Option<WindowKind> {
        let place = call.name.place;
        let wrong = |place, message: &str| {
            Problem::new("bad-window", place, message).hint("write TUMBLINGWINDOW(ss, 10)")
        };
        let [unit, length] = call.args.as_slice() else {
            self.problem(wrong(place, "the window takes a unit and a length"));
            return None;
        };
        let unit_ms = match &unit.kind {
            Kind::Path { names, .. } if names.len() == 1 => {
                UNITS.iter().find(|(known, _)| known.eq_ignore_ascii_case(&names[0].text)).map(|(_, ms)| *ms)
            }
            _ => None,
        };
        let Some(unit_ms) = unit_ms else {
            self.problem(wrong(unit.place, "the unit of a window is DD, HH, MI, SS or MS"));
            return None;
        };
        let millis = match &length.kind {
            Kind::Const(Value::Int(n)) => u64::try_from(*n).ok().and_then(|n| n.checked_mul(unit_ms)),
            _ => None,
        };
        // Longer windows would hold state for what no rule of a site waits for.
        const LONGEST_MS: u64 = 366 * 86_400_000;
        match millis {
            Some(ms @ 1..=LONGEST_MS) => Some(WindowKind::Tumbling { length: Duration::from_millis(ms) }),
            _ => {
                self.problem(wrong(
                    length.place,
                    "the length of a window is a whole number above 0, at most 366 days",
                ));
                None
            }
        }
    }

    /// Whether each group has a watermark of its own.
    fn by_key(&self) -> bool {
        match self.slots.key {
            Some(key) => self.groups.iter().any(|(_, group)| group.expr == Expr::Field(0, key)),
            None => !self.groups.is_empty(),
        }
    }

    fn all(&mut self, place: Place) {
        if self.windowed {
            let problem = Problem::new("not-grouped", place, "`*` cannot be used with a window");
            self.problem(problem.hint("name the grouped columns and aggregates"));
            return;
        }
        if self.schema.open {
            let message = format!("stream `{}` declares no columns, so `*` names none", self.schema.name);
            self.problem(Problem::new("unsupported", place, message).hint("name the columns"));
            return;
        }
        let names: Vec<String> = self.schema.names().map(str::to_owned).collect();
        for text in names {
            let name = Name { text: text.clone(), place };
            let node = Node::new(Kind::Path { names: vec![name], dotted: 1 }, place);
            let bound = self.bind(&node, Clause::Select);
            self.give(text, bound, place);
        }
    }

    fn item(&mut self, node: &Node, alias: Option<&Name>, text: &str) {
        let bound = self.bind(node, Clause::Select);
        let (name, place) = match (alias, &node.kind) {
            (Some(alias), _) => (alias.text.clone(), alias.place),
            (None, Kind::Path { names, .. }) => {
                (names.last().map_or_else(String::new, |name| name.text.clone()), node.place)
            }
            (None, _) => (text.to_owned(), node.place),
        };
        self.give(name, bound, place);
    }

    fn give(&mut self, name: String, bound: Typed, place: Place) {
        if self.outputs.iter().any(|(known, _)| *known == name) {
            let problem =
                Problem::new("duplicate-column", place, format!("two output columns are called `{name}`"));
            self.problem(problem.hint("name one of them with AS"));
            return;
        }
        self.outputs.push((name, bound));
    }

    /// The name of the payload's path or capture that a slot holds.
    pub(super) fn slot_name(&self, slot: usize) -> Option<&str> {
        let field = self.slots.fields.get(slot)?;
        match &field.from {
            FieldSource::Path(path) => path.last().map(AsRef::as_ref).or(Some(field.name.as_ref())),
            _ => Some(field.name.as_ref()),
        }
    }
}
