//! Random worlds, queries and events. Values are small and floats are quarters, so that sums come out
//! the same in any order.

use fastrand::Rng;

use crate::answer::{Event, Message};
use crate::query::{
    Aggregate, Analytic, Content, Expr, JoinKind, Query, Source, Stream, Table, Window, World,
};
use crate::value::{Ty, Val};
use crate::{Case, Rule, START};

/// What an expression may name.
pub(crate) type Leaves = Vec<(Ty, Expr)>;

const TEXTS: [&str; 6] = ["", "a", "b", "ab", "B", "x y"];
const DEVICES: [&str; 3] = ["d1", "d2", "d3"];
const SECOND: i64 = 1_000_000;

/// What a random case is made of.
pub(crate) fn case(rng: &mut Rng) -> Case {
    let world = world(rng);
    // Whether the rows of each stream come in the order of their times.
    let ordered = rng.bool();
    let events = events(rng, &world, ordered);
    let many = rng.usize(1..=3);
    let rules = (0..many)
        .map(|n| {
            let (from, to) = match (n, rng.u8(..3)) {
                (0, _) | (_, 0) => (0, usize::MAX),
                (_, 1) => (rng.usize(..events.len()), usize::MAX),
                (_, _) => (0, rng.usize(1..=events.len())),
            };
            let query = Writer { rng, world: &world, ordered, windowed: false }.query();
            // A table that nobody reads may forget.
            let newest = query.sides.contains(&Source::Table(1));
            let (from, to) = if newest { (0, usize::MAX) } else { (from, to) };
            Rule { id: format!("r{n}"), query, stateful: rng.u8(..5) == 0, from, to }
        })
        .collect();
    Case { world, rules, events }
}

fn world(rng: &mut Rng) -> World {
    let event_time = rng.u8(..5) > 0;
    let lateness = if event_time { rng.choice([0, 0, 1_000, 5_000, 12_000]).unwrap_or(0) } else { 0 };
    let idle = Some(rng.choice([15_000, 30_000, 60_000]).unwrap_or(30_000));
    let keyed = rng.u8(..4) > 0;
    let declared = rng.u8(..5) > 0;
    let max_future = (rng.u8(..6) == 0).then_some(20_000);
    let streams = ["s", "t"].into_iter().map(|name| Stream {
        name: name.to_owned(),
        columns: columns(rng),
        keyed,
        event_time,
        lateness,
        idle,
        declared,
        max_future,
    });
    let streams: Vec<Stream> = streams.collect();
    // A table may hold the newest row of each device of the stream itself.
    let of = (rng.u8(..3) == 0).then_some(0);
    let newest = of.map_or_else(|| columns(rng), |stream: usize| streams[stream].columns.clone());
    let columns = columns(rng);
    let mut rows = Vec::new();
    for device in DEVICES {
        if rng.u8(..4) > 0 {
            let mut row: Vec<Val> = columns.iter().map(|(_, ty)| value(rng, *ty)).collect();
            row.push(Val::text(device));
            rows.push(row);
        }
    }
    let fixed = Content::Fixed(rows);
    let event_time = event_time && rng.bool();
    let tables = vec![
        Table { name: "fixed".to_owned(), columns, content: fixed },
        Table { name: "latest".to_owned(), columns: newest, content: Content::Latest { event_time, of } },
    ];
    World { streams, tables }
}

fn columns(rng: &mut Rng) -> Vec<(String, Ty)> {
    let types = [Ty::Int, Ty::Float, Ty::Text, Ty::Bool];
    let mut columns = vec![("x0".to_owned(), Ty::Int), ("x1".to_owned(), Ty::Float)];
    for n in 2..rng.usize(2..=4) {
        columns.push((format!("x{n}"), rng.choice(types).unwrap_or(Ty::Int)));
    }
    if rng.u8(..3) == 0 {
        columns.push(("list".to_owned(), Ty::List));
    }
    columns
}

fn value(rng: &mut Rng, ty: Ty) -> Val {
    if rng.u8(..6) == 0 {
        return Val::Null;
    }
    constant(rng, ty)
}

pub(crate) fn constant(rng: &mut Rng, ty: Ty) -> Val {
    match ty {
        Ty::Bool => Val::Bool(rng.bool()),
        Ty::Int => Val::Int(rng.i64(-3..=9)),
        Ty::Float => Val::Float(f64::from(rng.i32(-12..=40)) / 4.0),
        Ty::Text => Val::text(rng.choice(TEXTS).unwrap_or("")),
        Ty::Time => Val::Null,
        Ty::List => Val::List((0..rng.usize(..4)).map(|_| value(rng, Ty::Int)).collect()),
    }
}

fn events(rng: &mut Rng, world: &World, ordered: bool) -> Vec<Event> {
    let mut events = Vec::new();
    let mut at = START + SECOND * rng.i64(0..20);
    let devices = rng.usize(1..=3);
    for _ in 0..rng.usize(3..=40) {
        at += match rng.u8(..20) {
            0 => SECOND * rng.i64(10..80),
            1..4 => 0,
            _ => SECOND / 2 * rng.i64(0..8),
        };
        if rng.u8(..25) == 0 {
            events.push(Event { at, message: None });
            continue;
        }
        let own = matches!(world.tables[1].content, Content::Latest { of: None, .. });
        let to = match rng.u8(..10) {
            0 if own => Source::Table(1),
            1..3 => Source::Stream(1),
            _ => Source::Stream(0),
        };
        let behind = match (ordered, rng.u8(..12)) {
            (true, _) => 0,
            (false, 0) => -SECOND * rng.i64(0..40),
            (false, 1) => SECOND * rng.i64(0..60),
            (false, _) => SECOND / 2 * rng.i64(0..14),
        };
        let columns = match to {
            Source::Stream(n) => &world.streams[n].columns,
            Source::Table(n) => &world.tables[n].columns,
        };
        let values = columns.iter().map(|(_, ty)| value(rng, *ty)).collect();
        let device = DEVICES[rng.usize(..devices)].to_owned();
        let retained = rng.u8(..40) == 0;
        events.push(Event { at, message: Some(Message { to, device, values, ts: at - behind, retained }) });
    }
    events.push(Event { at: at + 1_000 * SECOND, message: None });
    events
}

pub(crate) struct Writer<'a> {
    pub(crate) rng: &'a mut Rng,
    world: &'a World,
    ordered: bool,
    windowed: bool,
}

impl Writer<'_> {
    pub(crate) fn one_in(&mut self, n: u32) -> bool {
        self.rng.u32(..n) == 0
    }

    pub(crate) fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.rng.usize(..from.len())].clone()
    }

    fn query(&mut self) -> Query {
        let (sides, joins) = self.from();
        let mut query = Query {
            sides,
            joins,
            filter: None,
            window: None,
            window_filter: None,
            group: Vec::new(),
            select: Vec::new(),
            having: None,
            distinct: false,
            order: Vec::new(),
            limit: None,
            aliased: self.one_in(3),
        };
        let at_close = query.at_close();
        self.windowed = at_close || !self.one_in(3);
        let columns: Leaves = (0..query.sides.len()).flat_map(|side| self.columns(&query, side)).collect();
        let mut row = columns.clone();
        // In which order rows come that have no partner on the left says nothing.
        let one_way = joins_one_way(&query);
        if at_close {
            self.ordered = false;
        }
        if !at_close || one_way {
            for _ in 0..self.rng.usize(..3) {
                let analytic = self.analytic(&columns, &columns, false);
                row.push(analytic);
            }
        }
        if self.windowed {
            query.window = Some(self.window(&row, at_close));
        } else if self.one_in(3) {
            let hits = self.hits(&columns);
            row.push(hits);
        }
        if self.one_in(2) {
            query.filter = Some(self.expr(Ty::Bool, 2, &row));
        }
        if self.windowed && self.one_in(4) {
            // Where streams are joined the filter sees one row by itself.
            let side = self.columns(&query, 0);
            query.window_filter = Some(self.expr(Ty::Bool, 1, if at_close { &side } else { &row }));
        }
        if !self.windowed || self.one_in(5) {
            let mut named = Leaves::new();
            for _ in 0..self.rng.usize(1..4) {
                let ty = self.pick(&[Ty::Bool, Ty::Int, Ty::Float, Ty::Text]);
                let item = self.expr(ty, 2, &row);
                named.push((ty, item.clone()));
                query.select.push(item);
            }
            if self.one_in(3) {
                query.filter = Some(self.expr(Ty::Bool, 2, &named));
            }
            let lists: Leaves = columns.iter().filter(|(ty, _)| *ty == Ty::List).cloned().collect();
            if !lists.is_empty() && self.rng.bool() {
                query.select.push(Expr::Unnest(Box::new(self.pick(&lists).1)));
                if !self.windowed && self.one_in(3) {
                    self.arrange(&mut query, false);
                }
            }
        } else {
            self.groups(&mut query, &columns, &row, at_close);
        }
        if self.windowed && self.one_in(5) && may_arrange(&query) {
            self.arrange(&mut query, at_close);
        }
        query
    }

    fn from(&mut self) -> (Vec<Source>, Vec<(JoinKind, Option<Expr>)>) {
        let mut sides = vec![Source::Stream(0)];
        let mut joins = Vec::new();
        if self.one_in(2) {
            return (sides, joins);
        }
        for side in 1..=self.rng.usize(1..=2) {
            let source = self.pick(&[
                Source::Table(0),
                Source::Table(0),
                Source::Table(1),
                Source::Stream(0),
                Source::Stream(1),
            ]);
            sides.push(source);
            let kinds = [JoinKind::Inner, JoinKind::Left, JoinKind::Inner, JoinKind::Right, JoinKind::Full];
            let kind = self.pick(&kinds);
            let device = |side: usize| Expr::Col(side, self.world.columns(sides[side]).len() - 1);
            let mut on = Expr::Op("=", Box::new(device(self.rng.usize(..side))), Box::new(device(side)));
            // In which order the rows of a table of newest rows stand is nobody's business, so at
            // most one of them is a partner.
            let newest = source == Source::Table(1);
            if !newest && self.one_in(6) {
                joins.push((JoinKind::Cross, None));
                continue;
            }
            if self.one_in(3) {
                let leaves: Leaves = (0..=side).flat_map(|n| self.side(sides[n], n)).collect();
                let more = self.expr(Ty::Bool, 1, &leaves);
                on = if newest || self.rng.bool() { op("AND", on, more) } else { more };
            }
            joins.push((kind, Some(on)));
        }
        (sides, joins)
    }

    fn side(&self, source: Source, side: usize) -> Leaves {
        let columns = self.world.columns(source);
        columns.into_iter().enumerate().map(|(n, (_, ty))| (ty, Expr::Col(side, n))).collect()
    }

    fn columns(&self, query: &Query, side: usize) -> Leaves {
        self.side(query.sides[side], side)
    }

    fn window(&mut self, row: &Leaves, at_close: bool) -> Window {
        let length = self.pick(&[2_000, 5_000, 10_000, 30_000]);
        match self.rng.u8(..if at_close { 7 } else { 9 }) {
            0 | 1 => Window::Tumbling(length),
            2 | 3 => {
                let hop = self.pick(&[length / 2, length / 5, length, 700]);
                Window::Hopping(length, hop)
            }
            4 => Window::Session(length * 3, self.pick(&[1_500, 5_000])),
            5 => {
                let count = self.rng.usize(1..5);
                let every = self.rng.usize(1..=count);
                Window::Count(count, self.rng.bool().then_some(every))
            }
            6 | 7 => {
                let delay = self.pick(&[0, 0, 1_000, 4_000]);
                let trigger = (!at_close && self.rng.bool()).then(|| self.expr(Ty::Bool, 1, row));
                Window::Sliding(length, delay, trigger)
            }
            _ => {
                let begin = self.expr(Ty::Bool, 1, row);
                let end = self.rng.bool().then(|| self.expr(Ty::Bool, 1, row));
                let device: Leaves = row.iter().filter(|(ty, _)| *ty == Ty::Text).cloned().collect();
                let by = if self.one_in(3) { vec![self.pick(&device).1] } else { Vec::new() };
                Window::State(begin, end, by)
            }
        }
    }

    fn groups(&mut self, query: &mut Query, columns: &Leaves, row: &Leaves, at_close: bool) {
        let text: Leaves = columns.iter().filter(|(ty, _)| *ty == Ty::Text).cloned().collect();
        let mut leaves = Leaves::new();
        let device = Expr::Col(0, self.world.columns(query.sides[0]).len() - 1);
        if self.rng.bool() {
            leaves.push((Ty::Text, device));
        }
        if self.one_in(3) {
            leaves.push(match self.rng.u8(..3) {
                0 => self.pick(&text),
                1 => (Ty::Int, op("%", Expr::Col(0, 0), Expr::Const(Val::Int(3)))),
                _ => (Ty::Bool, self.expr(Ty::Bool, 1, columns)),
            });
        }
        leaves.dedup_by_key(|(_, expr)| format!("{expr:?}"));
        query.group = leaves.iter().map(|(_, expr)| expr.clone()).collect();
        let by = query.group.clone();
        for _ in 0..self.rng.usize(1..4) {
            let aggregate = self.aggregate(row, at_close);
            leaves.push(aggregate);
        }
        if !at_close {
            leaves.push((Ty::Time, Expr::WindowStart));
        }
        leaves.push((Ty::Time, Expr::WindowEnd));
        if self.one_in(3) {
            // Each group looks back over its own; the order between groups says nothing.
            let plain: Leaves = leaves.iter().filter(|(ty, _)| *ty != Ty::Time).cloned().collect();
            let (ty, analytic) = self.analytic(&plain, &plain, true);
            if let Expr::Analytic(mut analytic) = analytic {
                analytic.partition = by.clone();
                leaves.push((ty, Expr::Analytic(analytic)));
            }
        }
        if self.one_in(3) {
            query.having = Some(self.expr(Ty::Bool, 2, &leaves));
        }
        for _ in 0..self.rng.usize(1..4) {
            let item = match self.rng.u8(..5) {
                0 => self.list(row, at_close),
                1 => {
                    let ty = self.pick(&[Ty::Bool, Ty::Int, Ty::Float]);
                    self.expr(ty, 2, &leaves)
                }
                _ => self.pick(&leaves).1,
            };
            query.select.push(item);
        }
        // It is a query over groups, whatever was picked.
        query.select.push(count());
    }

    fn arrange(&mut self, query: &mut Query, at_close: bool) {
        let width = query.output().len();
        query.distinct = self.rng.bool();
        let scalar = |n: &usize| match query.output()[*n] {
            Expr::Aggregate(aggregate) => !lists(aggregate.function),
            Expr::Const(_) | Expr::Neg(_) => false,
            _ => true,
        };
        let columns: Vec<usize> = (0..width).filter(scalar).collect();
        for column in &columns {
            if at_close || self.rng.bool() {
                let descending = self.rng.bool();
                query.order.push((*column, descending));
            }
        }
        if self.rng.bool() && (!at_close || columns.len() == width) && !query.order.is_empty() {
            query.limit = Some(self.rng.usize(usize::from(!self.windowed)..4));
        }
    }

    /// An aggregate whose value is one of a simple type.
    fn aggregate(&mut self, row: &Leaves, at_close: bool) -> (Ty, Expr) {
        let plain = ["count", "sum", "avg", "min", "max", "median", "stddev", "stddevs", "var", "vars"];
        let more = ["percentile_cont", "percentile_disc"];
        let timely = ["first_value", "last_value", "delta", "increase", "rate", "zscore", "slope", "predict"];
        let mut functions: Vec<&'static str> = plain.into_iter().chain(more).collect();
        if !at_close {
            functions.extend(timely);
        }
        let function = self.pick(&functions);
        if function == "count" && self.rng.bool() {
            return (Ty::Int, count());
        }
        let ty = match function {
            "count" | "min" | "max" | "first_value" | "last_value" => {
                self.pick(&[Ty::Int, Ty::Float, Ty::Text])
            }
            _ => self.pick(&[Ty::Int, Ty::Float]),
        };
        let arg = self.expr(ty, 1, row);
        let gives = match function {
            "count" => Ty::Int,
            "sum" | "min" | "max" | "first_value" | "last_value" | "percentile_disc" | "delta"
            | "increase" => ty,
            _ => Ty::Float,
        };
        let constant = match function {
            "percentile_cont" | "percentile_disc" => Some(Val::Float(self.pick(&[0.0, 0.25, 0.5, 0.9, 1.0]))),
            "first_value" | "last_value" => Some(Val::Bool(self.rng.bool())),
            "predict" => Some(Val::Int(60)),
            _ => None,
        };
        let may = ["count", "sum", "avg", "min", "max", "stddev"].contains(&function);
        (gives, self.aggregate_of(function, arg, constant, may, row))
    }

    /// An aggregate that gives a list.
    fn list(&mut self, row: &Leaves, at_close: bool) -> Expr {
        let ty = self.pick(&[Ty::Int, Ty::Float, Ty::Text]);
        let arg = self.expr(ty, 1, row);
        match (at_close, self.rng.bool()) {
            (true, _) => count(),
            (false, true) => self.aggregate_of("collect", arg, None, true, row),
            (false, false) => self.aggregate_of("deduplicate", arg, Some(Val::Bool(true)), false, row),
        }
    }

    fn aggregate_of(
        &mut self,
        function: &'static str,
        arg: Expr,
        more: Option<Val>,
        may_be_distinct: bool,
        row: &Leaves,
    ) -> Expr {
        let distinct = may_be_distinct && self.one_in(5);
        let filter = self.one_in(5).then(|| self.expr(Ty::Bool, 1, row));
        Expr::Aggregate(Box::new(Aggregate { function, distinct, arg: Some(arg), more, filter }))
    }

    /// An analytic function over rows or over groups.
    fn analytic(&mut self, leaves: &Leaves, by: &Leaves, over_groups: bool) -> (Ty, Expr) {
        let mut functions = vec![
            "lag",
            "lag",
            "latest",
            "had_changed",
            "changed_col",
            "acc_sum",
            "acc_avg",
            "acc_min",
            "acc_max",
            "acc_count",
            "row_number",
            "zscore",
            "delta",
            "increase",
        ];
        if self.ordered {
            functions.extend(["delay", "ewma", "rate", "time_in_state"]);
        }
        let function = self.pick(&functions);
        let ty = match function {
            "lag" | "latest" | "had_changed" | "changed_col" | "delay" => {
                self.pick(&[Ty::Int, Ty::Float, Ty::Text, Ty::Bool])
            }
            "time_in_state" => Ty::Bool,
            _ => self.pick(&[Ty::Int, Ty::Float]),
        };
        let x = self.expr(ty, 1, leaves);
        let flag = Expr::Const(Val::Bool(self.rng.bool()));
        let args = match function {
            "lag" => match self.rng.u8(..4) {
                0 => vec![x],
                1 => vec![x, Expr::Const(Val::Int(self.rng.i64(1..4)))],
                2 => vec![x, Expr::Const(Val::Int(2)), Expr::Const(constant(self.rng, ty))],
                _ => vec![x, Expr::Const(Val::Int(1)), Expr::Const(constant(self.rng, ty)), flag],
            },
            "latest" if self.rng.bool() => vec![x, Expr::Const(constant(self.rng, ty))],
            "had_changed" if self.rng.bool() => vec![flag, x, self.expr(Ty::Int, 0, leaves)],
            "had_changed" | "changed_col" => vec![flag, x],
            "acc_count" if self.rng.bool() => Vec::new(),
            "row_number" => Vec::new(),
            "delay" => vec![Expr::Const(Val::Int(self.pick(&[1_000, 3_000, 10_000]))), x],
            "ewma" => vec![x, Expr::Const(Val::Int(self.pick(&[1, 10, 60])))],
            _ => vec![x],
        };
        let gives = match function {
            "had_changed" => Ty::Bool,
            "acc_count" | "row_number" => Ty::Int,
            "acc_avg" | "zscore" | "ewma" | "rate" | "time_in_state" => Ty::Float,
            _ => ty,
        };
        let mut partition = Vec::new();
        let both = ["zscore", "delta", "increase", "rate"].contains(&function);
        let texts: Leaves = by.iter().filter(|(ty, _)| *ty == Ty::Text).cloned().collect();
        if !over_groups && !texts.is_empty() && (self.rng.bool() || (both && self.windowed)) {
            partition.push(self.pick(&texts).1);
        }
        let needs = both && self.windowed && partition.is_empty();
        let when = (needs || self.one_in(4)).then(|| self.expr(Ty::Bool, 1, leaves));
        (gives, Expr::Analytic(Box::new(Analytic { function, args, partition, when })))
    }

    fn hits(&mut self, columns: &Leaves) -> (Ty, Expr) {
        let texts: Leaves = columns.iter().filter(|(ty, _)| *ty == Ty::Text).cloned().collect();
        let partition = if self.rng.bool() { vec![self.pick(&texts).1] } else { Vec::new() };
        let count = Analytic { function: "last_hit_count", args: Vec::new(), partition, when: None };
        if self.rng.bool() {
            return (Ty::Int, Expr::Analytic(Box::new(count)));
        }
        let time = Expr::Analytic(Box::new(Analytic { function: "last_hit_time", ..count }));
        (Ty::Int, op("-", Expr::EventTime, time))
    }
}

/// Whether no side but the first has rows of its own.
fn joins_one_way(query: &Query) -> bool {
    query.joins.iter().all(|(kind, _)| !matches!(kind, JoinKind::Right | JoinKind::Full))
}

/// Whether it is clear which windows end together.
fn may_arrange(query: &Query) -> bool {
    match query.window {
        Some(Window::Tumbling(_) | Window::Hopping(..)) => true,
        Some(Window::Session(..)) => query.group.is_empty(),
        _ => false,
    }
}

fn lists(function: &str) -> bool {
    matches!(function, "collect" | "deduplicate")
}

fn count() -> Expr {
    Expr::Aggregate(Box::new(Aggregate {
        function: "count",
        distinct: false,
        arg: None,
        more: None,
        filter: None,
    }))
}

pub(crate) fn op(operator: &'static str, a: Expr, b: Expr) -> Expr {
    Expr::Op(operator, Box::new(a), Box::new(b))
}
