//! A query as the oracle has it, and how it is written in SQL.

use crate::value::{Ty, Val};

/// One stream. Its rows hold `columns` and then `device`, the level of the topic.
#[derive(Clone, Debug)]
pub(crate) struct Stream {
    pub(crate) name: String,
    pub(crate) columns: Vec<(String, Ty)>,
    pub(crate) keyed: bool,
    pub(crate) event_time: bool,
    /// In milliseconds.
    pub(crate) lateness: i64,
    /// In milliseconds.
    pub(crate) idle: Option<i64>,
    /// Whether it declares its columns.
    pub(crate) declared: bool,
    /// How far ahead of the clock a row may be, in milliseconds.
    pub(crate) max_future: Option<i64>,
}

/// One table: rows that are given, or the newest of each device of a topic.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    pub(crate) name: String,
    pub(crate) columns: Vec<(String, Ty)>,
    /// Each with the device last.
    pub(crate) content: Content,
}

#[derive(Clone, Debug)]
pub(crate) enum Content {
    Fixed(Vec<Vec<Val>>),
    /// With the event time of its rows, or without; of the messages of that stream, if it names one.
    Latest {
        event_time: bool,
        of: Option<usize>,
    },
}

/// Everything that queries can read.
#[derive(Clone, Debug)]
pub(crate) struct World {
    pub(crate) streams: Vec<Stream>,
    pub(crate) tables: Vec<Table>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    Stream(usize),
    Table(usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum JoinKind {
    Inner,
    Left,
    Right,
    Full,
    Cross,
}

#[derive(Clone, Debug)]
pub(crate) enum Expr {
    Const(Val),
    /// A side of FROM, and its column.
    Col(usize, usize),
    /// An operator between two.
    Op(&'static str, Box<Expr>, Box<Expr>),
    Not(Box<Expr>),
    Neg(Box<Expr>),
    /// IS NULL, IS TRUE and the like, and whether with NOT.
    Is(Box<Expr>, &'static str, bool),
    In(Box<Expr>, Vec<Expr>, bool),
    Between(Box<Expr>, Box<Expr>, Box<Expr>, bool),
    Case(Vec<(Expr, Expr)>, Option<Box<Expr>>),
    Call(&'static str, Vec<Expr>),
    Aggregate(Box<Aggregate>),
    Analytic(Box<Analytic>),
    WindowStart,
    WindowEnd,
    EventTime,
    /// The elements of an array, a row each.
    Unnest(Box<Expr>),
}

#[derive(Clone, Debug)]
pub(crate) struct Aggregate {
    pub(crate) function: &'static str,
    pub(crate) distinct: bool,
    /// None is `*`.
    pub(crate) arg: Option<Expr>,
    /// A constant behind it.
    pub(crate) more: Option<Val>,
    pub(crate) filter: Option<Expr>,
}

#[derive(Clone, Debug)]
pub(crate) struct Analytic {
    pub(crate) function: &'static str,
    pub(crate) args: Vec<Expr>,
    pub(crate) partition: Vec<Expr>,
    pub(crate) when: Option<Expr>,
}

/// Lengths in milliseconds.
#[derive(Clone, Debug)]
pub(crate) enum Window {
    Tumbling(i64),
    Hopping(i64, i64),
    Sliding(i64, i64, Option<Expr>),
    Session(i64, i64),
    Count(usize, Option<usize>),
    State(Expr, Option<Expr>, Vec<Expr>),
}

#[derive(Clone, Debug)]
pub(crate) struct Query {
    pub(crate) sides: Vec<Source>,
    pub(crate) joins: Vec<(JoinKind, Option<Expr>)>,
    pub(crate) filter: Option<Expr>,
    pub(crate) window: Option<Window>,
    pub(crate) window_filter: Option<Expr>,
    /// Each is an output column as well: the first ones of `select`.
    pub(crate) group: Vec<Expr>,
    /// Behind those of `group`.
    pub(crate) select: Vec<Expr>,
    pub(crate) having: Option<Expr>,
    pub(crate) distinct: bool,
    /// Output columns, and whether descending.
    pub(crate) order: Vec<(usize, bool)>,
    pub(crate) limit: Option<usize>,
    /// Whether output columns are called by their names where their expressions stand again.
    pub(crate) aliased: bool,
}

impl World {
    /// The columns of a side, the device included.
    pub(crate) fn columns(&self, source: Source) -> Vec<(String, Ty)> {
        let mut columns = match source {
            Source::Stream(n) => self.streams[n].columns.clone(),
            Source::Table(n) => self.tables[n].columns.clone(),
        };
        columns.push(("device".to_owned(), Ty::Text));
        columns
    }

    fn name(&self, source: Source) -> &str {
        match source {
            Source::Stream(n) => &self.streams[n].name,
            Source::Table(n) => &self.tables[n].name,
        }
    }
}

impl Stream {
    pub(crate) fn sql(&self) -> String {
        let mut columns = if self.declared { declared(&self.columns) } else { Vec::new() };
        let mut options = format!("DATASOURCE='{}/{{device}}'", self.name);
        if self.event_time {
            if self.declared {
                columns.push("ts DATETIME".to_owned());
            }
            options.push_str(", TIMESTAMP='ts', TIMESTAMP_FORMAT='ms'");
        }
        if self.keyed {
            options.push_str(", KEY='device'");
        }
        if self.lateness > 0 {
            options.push_str(&format!(", LATENESS='{}ms'", self.lateness));
        }
        if let Some(future) = self.max_future {
            options.push_str(&format!(", MAX_FUTURE='{future}ms'"));
        }
        if let Some(idle) = self.idle {
            options.push_str(&format!(", IDLE='{idle}ms'"));
        }
        format!("CREATE STREAM {} ({}) WITH ({options})", self.name, columns.join(", "))
    }
}

impl Table {
    /// As an entry of `tables:`.
    pub(crate) fn entry(&self, world: &World) -> String {
        let (event_time, of) = match &self.content {
            Content::Fixed(rows) => {
                let mut columns = self.columns.clone();
                columns.push(("device".to_owned(), Ty::Text));
                let types: Vec<String> = columns.iter().map(|(n, ty)| format!("{n}: {}", ty.sql())).collect();
                let row = |row: &Vec<Val>| {
                    let pairs = columns.iter().zip(row).filter(|(_, v)| !v.is_null());
                    let pairs: Vec<String> = pairs.map(|((n, _), v)| format!("{n}: {}", v.json())).collect();
                    format!("{{{}}}", pairs.join(", "))
                };
                let rows: Vec<String> = rows.iter().map(row).collect();
                return format!(
                    "{{name: {}, columns: {{{}}}, rows: [{}]}}",
                    self.name,
                    types.join(", "),
                    rows.join(", ")
                );
            }
            Content::Latest { event_time, of } => (*event_time, *of),
        };
        let topic = of.map_or(&self.name, |stream| &world.streams[stream].name);
        let mut columns = declared(&self.columns);
        let mut options = format!("DATASOURCE='{topic}/{{device}}', KEY='device'");
        if event_time {
            columns.push("ts DATETIME".to_owned());
            options.push_str(", TIMESTAMP='ts', TIMESTAMP_FORMAT='ms'");
        }
        let text = format!("CREATE TABLE {} ({}) WITH ({options})", self.name, columns.join(", "));
        serde_json::Value::from(text).to_string()
    }
}

fn declared(columns: &[(String, Ty)]) -> Vec<String> {
    columns.iter().map(|(name, ty)| format!("{name} {}", ty.sql())).collect()
}

/// The alias of a side.
fn alias(side: usize) -> char {
    ['p', 'q', 'r', 'u'][side]
}

impl Query {
    /// All output columns.
    pub(crate) fn output(&self) -> Vec<&Expr> {
        self.group.iter().chain(&self.select).collect()
    }

    /// Whether rows of all sides wait in the window.
    pub(crate) fn at_close(&self) -> bool {
        let streams = self.sides.iter().filter(|side| matches!(side, Source::Stream(_))).count();
        streams > 1 || self.joins.iter().any(|(kind, _)| matches!(kind, JoinKind::Right | JoinKind::Full))
    }

    /// The array whose elements are a row each.
    pub(crate) fn unnested(&self) -> Option<&Expr> {
        self.select.iter().find_map(|expr| match expr {
            Expr::Unnest(array) => Some(&**array),
            _ => None,
        })
    }

    /// Whether the window gives a row for each group, not each of its rows.
    pub(crate) fn gives_groups(&self) -> bool {
        self.window.is_some()
            && (!self.group.is_empty()
                || self.having.is_some()
                || self.select.iter().any(|expr| expr.any(&|e| matches!(e, Expr::Aggregate(_)))))
    }

    pub(crate) fn arranged(&self) -> bool {
        self.distinct || !self.order.is_empty() || self.limit.is_some()
    }

    pub(crate) fn sql(&self, world: &World) -> String {
        let all = if self.aliased { self.output() } else { Vec::new() };
        let sql = |expr: &Expr| self.expr(expr, world, &all);
        let plain = |expr: &Expr| self.expr(expr, world, &[]);
        // An output column may name those to its left.
        let known = |n: usize| if self.aliased { self.output()[..n].to_vec() } else { Vec::new() };
        let columns: Vec<String> = self
            .output()
            .iter()
            .enumerate()
            .map(|(n, expr)| format!("{} AS c{n}", self.expr(expr, world, &known(n))))
            .collect();
        let mut text = format!(
            "SELECT {}{} FROM {} AS {}",
            if self.distinct { "DISTINCT " } else { "" },
            columns.join(", "),
            world.name(self.sides[0]),
            alias(0)
        );
        for (n, (kind, on)) in self.joins.iter().enumerate() {
            let kind = match kind {
                JoinKind::Inner => "INNER JOIN",
                JoinKind::Left => "LEFT JOIN",
                JoinKind::Right => "RIGHT JOIN",
                JoinKind::Full => "FULL JOIN",
                JoinKind::Cross => "CROSS JOIN",
            };
            text.push_str(&format!(" {kind} {} AS {}", world.name(self.sides[n + 1]), alias(n + 1)));
            if let Some(on) = on {
                text.push_str(&format!(" ON {}", plain(on)));
            }
        }
        if let Some(filter) = &self.filter {
            text.push_str(&format!(" WHERE {}", sql(filter)));
        }
        if let Some(window) = &self.window {
            let mut parts: Vec<String> = self.group.iter().map(sql).collect();
            let mut window = match window {
                Window::Tumbling(length) => format!("TUMBLINGWINDOW(ms, {length})"),
                Window::Hopping(length, hop) => format!("HOPPINGWINDOW(ms, {length}, {hop})"),
                Window::Sliding(length, delay, _) => match delay {
                    0 => format!("SLIDINGWINDOW(ms, {length})"),
                    _ => format!("SLIDINGWINDOW(ms, {length}, {delay})"),
                },
                Window::Session(length, timeout) => format!("SESSIONWINDOW(ms, {length}, {timeout})"),
                Window::Count(count, None) => format!("COUNTWINDOW({count})"),
                Window::Count(count, Some(every)) => format!("COUNTWINDOW({count}, {every})"),
                Window::State(begin, None, _) => format!("STATEWINDOW({})", sql(begin)),
                Window::State(begin, Some(end), _) => format!("STATEWINDOW({}, {})", sql(begin), sql(end)),
            };
            if let Some(filter) = &self.window_filter {
                window.push_str(&format!(" FILTER (WHERE {})", sql(filter)));
            }
            match &self.window {
                Some(Window::Sliding(_, _, Some(when))) => {
                    window.push_str(&format!(" OVER (WHEN {})", sql(when)));
                }
                Some(Window::State(_, _, by)) if !by.is_empty() => {
                    let by: Vec<String> = by.iter().map(sql).collect();
                    window.push_str(&format!(" OVER (PARTITION BY {})", by.join(", ")));
                }
                _ => {}
            }
            parts.push(window);
            text.push_str(&format!(" GROUP BY {}", parts.join(", ")));
        }
        if let Some(having) = &self.having {
            text.push_str(&format!(" HAVING {}", sql(having)));
        }
        if !self.order.is_empty() {
            let order: Vec<String> = self
                .order
                .iter()
                .map(|(n, descending)| format!("c{n}{}", if *descending { " DESC" } else { "" }))
                .collect();
            text.push_str(&format!(" ORDER BY {}", order.join(", ")));
        }
        if let Some(limit) = self.limit {
            text.push_str(&format!(" LIMIT {limit}"));
        }
        text
    }

    /// An expression, with the output columns that it may call by their names.
    fn expr(&self, expr: &Expr, world: &World, known: &[&Expr]) -> String {
        if !matches!(expr, Expr::Const(_))
            && let Some(n) = known.iter().position(|output| format!("{output:?}") == format!("{expr:?}"))
        {
            return format!("c{n}");
        }
        let sql = |expr: &Expr| self.expr(expr, world, known);
        let list = |list: &[Expr]| list.iter().map(sql).collect::<Vec<_>>().join(", ");
        let negated = |not: bool| if not { " NOT" } else { "" };
        match expr {
            Expr::Const(Val::Int(i)) if *i < 0 => format!("({i})"),
            Expr::Const(Val::Float(x)) if *x < 0.0 => format!("({x:?})"),
            Expr::Const(value) => value.sql(),
            Expr::Col(side, column) => {
                format!("{}.{}", alias(*side), world.columns(self.sides[*side])[*column].0)
            }
            Expr::Op(op, a, b) => format!("({} {op} {})", sql(a), sql(b)),
            Expr::Not(a) => format!("(NOT {})", sql(a)),
            Expr::Neg(a) => format!("(- {})", sql(a)),
            Expr::Is(a, what, not) => format!("({} IS{} {what})", sql(a), negated(*not)),
            Expr::In(a, items, not) => format!("({}{} IN ({}))", sql(a), negated(*not), list(items)),
            Expr::Between(a, b, c, not) => {
                format!("({}{} BETWEEN {} AND {})", sql(a), negated(*not), sql(b), sql(c))
            }
            Expr::Case(branches, otherwise) => {
                let mut text = "CASE".to_owned();
                for (when, then) in branches {
                    text.push_str(&format!(" WHEN {} THEN {}", sql(when), sql(then)));
                }
                if let Some(otherwise) = otherwise {
                    text.push_str(&format!(" ELSE {}", sql(otherwise)));
                }
                text + " END"
            }
            Expr::Call(function, args) => format!("{function}({})", list(args)),
            Expr::Aggregate(aggregate) => {
                let distinct = if aggregate.distinct { "DISTINCT " } else { "" };
                let mut args = aggregate.arg.as_ref().map_or("*".to_owned(), sql);
                if let Some(more) = &aggregate.more {
                    args.push_str(&format!(", {}", more.sql()));
                }
                let filter = aggregate.filter.as_ref().map(|f| format!(" FILTER (WHERE {})", sql(f)));
                format!("{}({distinct}{args}){}", aggregate.function, filter.unwrap_or_default())
            }
            Expr::Analytic(analytic) => {
                let args = match (analytic.function, analytic.args.len()) {
                    ("acc_count", 0) => "*".to_owned(),
                    _ => list(&analytic.args),
                };
                let call = format!("{}({args})", analytic.function);
                if analytic.partition.is_empty() && analytic.when.is_none() {
                    return call;
                }
                let mut over = String::new();
                if !analytic.partition.is_empty() {
                    over.push_str(&format!("PARTITION BY {}", list(&analytic.partition)));
                }
                if let Some(when) = &analytic.when {
                    over.push_str(&format!(" WHEN {}", sql(when)));
                }
                format!("{call} OVER ({})", over.trim())
            }
            Expr::WindowStart => "window_start()".to_owned(),
            Expr::WindowEnd => "window_end()".to_owned(),
            Expr::EventTime => "event_time()".to_owned(),
            Expr::Unnest(array) => format!("unnest({})", sql(array)),
        }
    }
}

impl Expr {
    /// Whether some part of it is so.
    pub(crate) fn any(&self, is: &dyn Fn(&Self) -> bool) -> bool {
        is(self)
            || match self {
                Self::Op(_, a, b) => a.any(is) || b.any(is),
                Self::Not(a) | Self::Neg(a) | Self::Is(a, ..) => a.any(is),
                Self::In(a, list, _) => a.any(is) || list.iter().any(|e| e.any(is)),
                Self::Between(a, b, c, _) => a.any(is) || b.any(is) || c.any(is),
                Self::Case(branches, otherwise) => {
                    branches.iter().any(|(w, t)| w.any(is) || t.any(is))
                        || otherwise.as_ref().is_some_and(|e| e.any(is))
                }
                Self::Call(_, args) => args.iter().any(|e| e.any(is)),
                Self::Analytic(analytic) => analytic.args.iter().any(|e| e.any(is)),
                _ => false,
            }
    }

    /// Its direct parts.
    pub(crate) fn parts(&mut self) -> Vec<&mut Self> {
        match self {
            Self::Op(_, a, b) => vec![a, b],
            Self::Not(a) | Self::Neg(a) | Self::Is(a, ..) | Self::Unnest(a) => vec![a],
            Self::In(a, list, _) => std::iter::once(&mut **a).chain(list).collect(),
            Self::Between(a, b, c, _) => vec![a, b, c],
            Self::Case(branches, otherwise) => {
                let branches = branches.iter_mut().flat_map(|(when, then)| [when, then]);
                branches.chain(otherwise.as_deref_mut()).collect()
            }
            Self::Call(_, args) => args.iter_mut().collect(),
            Self::Aggregate(aggregate) => aggregate.arg.iter_mut().chain(&mut aggregate.filter).collect(),
            Self::Analytic(analytic) => analytic.args.iter_mut().chain(&mut analytic.when).collect(),
            Self::Const(_) | Self::Col(..) | Self::WindowStart | Self::WindowEnd | Self::EventTime => {
                Vec::new()
            }
        }
    }
}
