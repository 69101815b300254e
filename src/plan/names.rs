//! What the names of a query mean, before anything is bound: which side of FROM a path is of, and
//! where a name stands for an output column, whose expression then takes its place.

use crate::model::diagnostic::Place;
use crate::model::value::Value;

use super::aggregate;
use super::meta;
use super::report::Problem;
use super::side::{Owner, Side, called, owner};
use super::syntax::{Column, Kind, Node, Path, Select};

/// Gives the names of one query their meaning.
pub(super) struct Names<'a> {
    /// FROM.
    pub(super) sides: &'a [Side],
    /// Whether there is a window.
    pub(super) windowed: bool,
    /// Whether SELECT is over groups.
    pub(super) grouped: bool,
    /// How many nodes repeated expressions may still have.
    pub(super) budget: usize,
    /// How many levels an expression may have.
    pub(super) height: usize,
    /// What is wrong.
    pub(super) problems: Vec<Problem>,
    aliases: Vec<Alias>,
}

/// An output column that other expressions may use.
struct Alias {
    name: String,
    node: Node,
    /// AS gives the name, and it is not merely a path's last part.
    written: bool,
    /// Its own definition mentions a column of that name.
    mentions: bool,
    aggregate: bool,
}

/// Where an expression stands.
#[derive(Clone, Copy)]
struct At {
    /// Whether output columns are seen at all.
    outputs: bool,
    /// Whether an output column hides a column of its name.
    hides: bool,
    /// What it is part of, where that is over rows.
    rows: Option<&'static str>,
}

impl<'a> Names<'a> {
    /// For a query over these sides.
    pub(super) fn new(
        sides: &'a [Side],
        windowed: bool,
        grouped: bool,
        budget: usize,
        height: usize,
    ) -> Self {
        Self { sides, windowed, grouped, budget, height, problems: Vec::new(), aliases: Vec::new() }
    }

    /// Gives all names of a query their meaning.
    pub(super) fn resolve(&mut self, select: &mut Select, columns: &mut [Column]) {
        let rows = |what| At { outputs: true, hides: false, rows: Some(what) };
        let output = At { outputs: true, hides: true, rows: None };
        for column in columns {
            let (name, _) = column.name();
            let mentions = mentions(&column.node, &name);
            self.node(&mut column.node, At { hides: self.grouped, ..output });
            let aggregate = column.node.any(&mut |node| aggregate::is(node, self.windowed));
            let written = column.alias.is_some();
            self.aliases.push(Alias { name, node: column.node.clone(), written, mentions, aggregate });
        }
        for source in &mut select.from {
            let on = source.join.as_mut().and_then(|join| join.on.as_mut());
            on.into_iter()
                .for_each(|on| self.node(on, At { outputs: false, hides: false, rows: Some("ON") }));
        }
        select.filter.iter_mut().for_each(|node| self.node(node, rows("WHERE")));
        select.group.iter_mut().for_each(|node| self.node(node, rows("GROUP BY")));
        if let Some(call) = &mut select.window {
            if call.name.text.eq_ignore_ascii_case("STATEWINDOW") {
                call.args.iter_mut().for_each(|node| self.node(node, rows("a window")));
            }
            call.filter.iter_mut().for_each(|node| self.node(node, rows("FILTER")));
            if let Some(over) = &mut call.over {
                let parts = over.partition.iter_mut().chain(&mut over.when);
                parts.for_each(|node| self.node(node, rows("OVER")));
            }
        }
        select.having.iter_mut().for_each(|node| self.node(node, output));
        select.order.iter_mut().for_each(|(node, _)| self.node(node, output));
    }

    fn node(&mut self, node: &mut Node, at: At) {
        let aggregate = at.rows.is_none() && aggregate::is(node, self.windowed);
        match &node.kind {
            Kind::Path(_) => return self.path(node, at),
            // What it names is no column.
            Kind::Call(call) if meta::is(call) => return,
            _ => {}
        }
        let within = At { outputs: true, hides: false, rows: Some("an aggregate") };
        let inner = if aggregate { within } else { at };
        node.each_mut(&mut |part| self.node(part, inner));
        node.measure();
        if node.height > self.height {
            self.too_deep(node.place);
            *node = nothing(node.place);
        }
    }

    fn too_deep(&mut self, place: Place) {
        let message =
            format!("with what its names stand for, the expression has more than {} levels", self.height);
        self.problems.push(Problem::new("too-deep", place, message).hint("split the rule"));
    }

    fn path(&mut self, node: &mut Node, at: At) {
        let place = node.place;
        let Kind::Path(path) = &mut node.kind else { return };
        if path.side.is_some() {
            return;
        }
        let Some(first) = path.names.first() else { return };
        if path.dotted > 1
            && let Some(side) = called(self.sides, &first.text)
        {
            path.names.remove(0);
            path.dotted -= 1;
            path.side = Some(side);
            path.qualified = true;
            return;
        }
        let owner = owner(self.sides, &first.text);
        if at.outputs
            && let Some(alias) = self.alias(&first.text, &owner, at.hides)
        {
            *node = self.instead(alias, path, place, at);
            return;
        }
        if let Owner::Side(side) = owner {
            path.side = Some(side);
        }
    }

    /// The output column that a bare name stands for.
    fn alias(&self, name: &str, owner: &Owner, hides: bool) -> Option<usize> {
        let declared = self.sides.iter().any(|side| side.schema.declares(name));
        let stands = |alias: &Alias| {
            if alias.written {
                hides || !declared && !alias.mentions
            } else {
                hides && (!declared || matches!(owner, Owner::Several(_)))
            }
        };
        self.aliases.iter().position(|alias| alias.name == name && stands(alias))
    }

    /// The expression of an output column, in place of a path that begins with its name.
    fn instead(&mut self, alias: usize, path: &Path, place: Place, at: At) -> Node {
        let Some(alias) = self.aliases.get(alias) else { return nothing(place) };
        if let (Some(what), true) = (at.rows, alias.aggregate) {
            let message = format!("`{}` holds an aggregate and cannot stand in {what}", alias.name);
            let problem = Problem::new("misplaced-aggregate", place, message);
            self.problems.push(match what {
                "WHERE" => problem.hint("rows are chosen before they are aggregated; use HAVING"),
                _ => problem.hint("rows come before groups"),
            });
            return nothing(place);
        }
        let size = alias.node.size();
        if size > self.budget {
            if self.budget > 0 {
                let message = "the expression grows too large where its names are put in";
                self.problems.push(Problem::new("too-large", place, message).hint("split the rule"));
            }
            self.budget = 0;
            return nothing(place);
        }
        self.budget -= size;
        let mut node = alias.node.clone();
        node.place = place;
        for name in path.names.iter().skip(1) {
            match &mut node.kind {
                Kind::Path(of) if of.names.len() >= self.height => {
                    self.too_deep(place);
                    return nothing(place);
                }
                Kind::Path(of) => of.names.push(name.clone()),
                _ => node = Node::new(Kind::Member(Box::new(node), name.clone()), place),
            }
        }
        node
    }
}

/// Whether some path in it begins with this name.
fn mentions(node: &Node, name: &str) -> bool {
    match &node.kind {
        Kind::Path(path) => path.names.first().is_some_and(|first| first.text == name),
        Kind::Call(call) if meta::is(call) => false,
        _ => {
            let mut found = false;
            node.each(&mut |part| found = found || mentions(part, name));
            found
        }
    }
}

/// What stands for an expression that is wrong.
fn nothing(place: Place) -> Node {
    Node::new(Kind::Const(Value::Null), place)
}
