//! The query of a rule: FROM, WHERE, GROUP BY with its window, SELECT, HAVING, ORDER BY and LIMIT,
//! bound to its streams and tables.

use super::aggregate;
use super::bind::{Binder, Clause};
use super::logical::{Arrange, Expr, From, Gives, Window, WindowKind};
use super::names::Names;
use super::output::{Expanded, expand};
use super::report::Problem;
use super::syntax::{Item, Kind, Node, Select};

/// A query, bound. Its output columns are the binder's.
pub(super) struct Query {
    /// FROM.
    pub(super) from: From,
    /// WHERE.
    pub(super) filter: Option<Expr>,
    /// GROUP BY and HAVING. Its aggregates stay with the binder until the rule is done.
    pub(super) window: Option<Window>,
    /// ORDER BY, LIMIT and DISTINCT over the elements of one row, where there is no window.
    pub(super) arrange: Option<Arrange>,
}

impl Binder<'_> {
    /// Binds a query; what is wrong is among the binder's problems. What its names stand for is put
    /// into `select`.
    pub(super) fn query(&mut self, select: &mut Select, height: usize) -> Query {
        // Without a window GROUP BY is wrong, but what is grouped is known: SELECT is judged as it
        // is meant.
        self.windowed = select.window.is_some() || !select.group.is_empty();
        self.at_close = self.joins_at_close(select);
        self.grouped = self.windowed && (!select.group.is_empty() || aggregates(select));
        self.refuse_numbers(select);
        let Expanded { mut columns, changed } =
            expand(&select.items, &self.sides, self.grouped, &mut self.problems);
        if let Some(changed) = changed {
            let clause = if self.grouped { &mut select.having } else { &mut select.filter };
            *clause = Some(also(clause.take(), changed));
        }
        self.named = columns.iter().filter_map(|column| Some(column.alias.as_ref()?.text.clone())).collect();
        let mut names = Names::new(&self.sides, self.windowed, self.grouped, self.budget, height);
        names.resolve(select, &mut columns);
        let (budget, problems) = (names.budget, names.problems);
        self.budget = budget;
        self.blurred |= !problems.is_empty();
        self.problems.extend(problems);

        let from = self.from(select);
        let filter = select.filter.as_ref().map(|node| self.condition(node, Clause::Where, "WHERE"));
        self.group_by(select);
        let window = select.window.as_ref().and_then(|call| self.window(call));
        self.columns(&columns);
        let having = select.having.as_ref().and_then(|node| self.having(node));
        let arrange = self.arrange(select);
        let kind = window.as_ref().map(|(kind, _)| kind);
        let by_key = self.by_key(kind) && !self.at_close && arrange.is_none();
        let gives = if self.grouped { Gives::Groups } else { Gives::Rows };
        let window = window.map(|(kind, filter)| Window {
            kind,
            filter,
            gives,
            group: self.groups.iter().map(|(_, group)| group.expr.clone()).collect(),
            aggregates: Vec::new(),
            analytics: Vec::new(),
            having,
            by_key,
        });
        Query { from, filter, window, arrange }
    }

    fn having(&mut self, node: &Node) -> Option<Expr> {
        if !self.windowed {
            let problem = Problem::new("no-window", node.place, "HAVING without a window");
            self.problem(problem.hint("put the condition into WHERE or `when`"));
            return None;
        }
        if !self.grouped {
            let message = "HAVING chooses groups, and the query neither groups nor aggregates";
            let problem = Problem::new("no-group", node.place, message);
            self.problem(problem.hint("put the condition into WHERE"));
            return None;
        }
        Some(self.condition(node, Clause::Having, "HAVING"))
    }

    /// Elsewhere `GROUP BY 1` means the first column. An output column may be a constant, so this is
    /// asked before names are put in.
    fn refuse_numbers(&mut self, select: &Select) {
        let group = select.group.iter().map(|node| (node, "GROUP BY"));
        let order = select.order.iter().map(|(node, _)| (node, "ORDER BY"));
        for (node, clause) in group.chain(order).filter(|(node, _)| matches!(node.kind, Kind::Const(_))) {
            let message = format!("{clause} takes expressions and names, not the numbers of columns");
            self.problem(Problem::new("unsupported", node.place, message).hint("write the column's name"));
            self.blurred = true;
        }
    }

    fn group_by(&mut self, select: &Select) {
        if let (Some(first), None) = (select.group.first(), &select.window) {
            let problem = Problem::new("no-window", first.place, "GROUP BY without a window");
            self.problem(problem.hint("add a window: GROUP BY …, TUMBLINGWINDOW(ss, 10)"));
        }
        for node in &select.group {
            let before = self.problems.len();
            let bound = self.bind(node, Clause::GroupBy);
            self.blurred |= self.problems.len() > before;
            if !self.groups.iter().any(|(known, _)| known == node) {
                self.groups.push((node.clone(), bound));
            }
        }
    }

    fn arrange(&mut self, select: &Select) -> Option<Arrange> {
        let first = select.order.first().map(|(node, _)| node.place).or(select.limit.map(|(_, place)| place));
        if select.distinct.is_none() && first.is_none() {
            return None;
        }
        let mut order = Vec::new();
        for (node, direction) in &select.order {
            let found = self.bind(node, Clause::Order);
            self.ordered(&found, node.place, "ORDER BY");
            order.push((found.expr, *direction));
        }
        if !self.windowed && self.unnest.is_none() {
            if let Some(place) = select.distinct {
                let message = "DISTINCT without a window would have to remember every row there ever was";
                let problem = Problem::new("unbounded-state", place, message);
                self.problem(problem.hint(
                    "add WHERE had_changed(true, …) for rows that differ from the one before; or GROUP BY TUMBLINGWINDOW(ss, 10)",
                ));
            }
            if let Some(place) = first {
                let what = if select.order.is_empty() { "LIMIT" } else { "ORDER BY" };
                let message = format!("{what} without a window: each row comes by itself");
                let problem = Problem::new("unsupported", place, message);
                self.problem(problem.hint("add GROUP BY …, TUMBLINGWINDOW(ss, 10)"));
            }
        }
        let limit = select.limit.map(|(limit, _)| limit);
        Some(Arrange { distinct: select.distinct.is_some(), order, limit })
    }

    /// Whether each group has a watermark of its own.
    fn by_key(&self, kind: Option<&WindowKind>) -> bool {
        let key = self.sides.first().and_then(|side| self.slots.get(side.source)).and_then(|slots| slots.key);
        match key {
            Some(key) => {
                let key = Expr::Field(0, key);
                let apart =
                    matches!(kind, Some(WindowKind::State { partition, .. }) if partition.contains(&key));
                apart || self.groups.iter().any(|(_, group)| group.expr == key)
            }
            None => !self.groups.is_empty(),
        }
    }
}

/// Whether an aggregate stands where it makes groups of rows.
fn aggregates(select: &Select) -> bool {
    let mut is = |node: &Node| aggregate::is(node, true);
    let mut item = |item: &Item| match item {
        Item::Expr(column) => column.node.any(&mut is),
        Item::All { replace, .. } => replace.iter().any(|(node, _)| node.any(&mut is)),
    };
    select.items.iter().any(&mut item)
        || select.having.iter().chain(select.order.iter().map(|(node, _)| node)).any(|node| node.any(&mut is))
}

/// Both conditions.
fn also(first: Option<Node>, second: Node) -> Node {
    let Some(first) = first else { return second };
    let place = first.place;
    match first.kind {
        Kind::And(mut list) => {
            list.push(second);
            Node::new(Kind::And(list), place)
        }
        _ => Node::new(Kind::And(vec![first, second]), place),
    }
}
