//! What a query gives for a list of events, computed from its meaning.

use crate::eval::{At, Group, History, Row};
use crate::lane::{Closed, Entry, Lane, Rules};
use crate::query::{Content, Expr, JoinKind, Query, Source, Window, World};
use crate::value::{self, Val};

/// Something that happens.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    /// By the clock, in microseconds.
    pub(crate) at: i64,
    /// The message that comes; none where only time passes.
    pub(crate) message: Option<Message>,
}

#[derive(Clone, Debug)]
pub(crate) struct Message {
    /// Whose topic it is on.
    pub(crate) to: Source,
    pub(crate) device: String,
    /// A value for each declared column.
    pub(crate) values: Vec<Val>,
    /// The reading's own time, in microseconds.
    pub(crate) ts: i64,
    pub(crate) retained: bool,
}

/// An output row.
#[derive(Clone, Debug)]
pub(crate) struct Out {
    pub(crate) at: i64,
    pub(crate) values: Vec<Val>,
    /// What `when` says of it; true without one.
    pub(crate) raise: Option<bool>,
}

/// What a rule counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) rows: u64,
    pub(crate) matched: u64,
    pub(crate) late: u64,
    pub(crate) future: u64,
    pub(crate) retained: u64,
}

/// The output rows of a query after each event, if it runs from one event to before another. The
/// tables know all events. `stateful` says whether its rule has a `when`.
pub(crate) fn answer(
    world: &World,
    query: &Query,
    stateful: bool,
    events: &[Event],
    (from, to): (usize, usize),
) -> (Vec<Vec<Out>>, Counts) {
    let mut run = Run::new(world, query, stateful);
    let mut all = Vec::new();
    for (step, event) in events.iter().enumerate().take(to) {
        if step >= from {
            run.clock(event.at);
        }
        run.feed(event);
        if step >= from {
            run.step(event);
        }
        all.push(std::mem::take(&mut run.out));
    }
    run.counts.late = run.lanes.iter().map(|(_, lane)| lane.late).sum();
    run.counts.matched = all.iter().flatten().filter(|out| out.raise == Some(true)).count() as u64;
    (all, run.counts)
}

/// Whether one of the groups, or of what a state window is partitioned by, is the stream's key, or there are groups and the stream has none.
pub(crate) fn by_key(world: &World, query: &Query) -> bool {
    let Source::Stream(first) = query.sides[0] else { return false };
    let stream = &world.streams[first];
    let device = |expr: &Expr| matches!(expr, Expr::Col(0, column) if *column == stream.columns.len());
    let apart = match &query.window {
        Some(Window::State(_, _, partition)) => partition.iter().any(device),
        _ => false,
    };
    let some = if stream.keyed { apart || query.group.iter().any(device) } else { !query.group.is_empty() };
    some && !query.at_close() && !query.arranged()
}

struct Run<'a> {
    world: &'a World,
    query: &'a Query,
    stateful: bool,
    /// Whether each group has its own watermark.
    by_key: bool,
    history: History,
    rules: Option<Rules>,
    lanes: Vec<(Vec<Val>, Lane)>,
    /// The rows of each side by itself, where they are joined when the window closes.
    raw: History,
    /// The newest message of each device, for each table.
    latest: Vec<Vec<(i64, Vec<Val>)>>,
    out: Vec<Out>,
    counts: Counts,
}

impl<'a> Run<'a> {
    fn new(world: &'a World, query: &'a Query, stateful: bool) -> Self {
        let group_by: Vec<String> = query.group.iter().map(|expr| format!("{expr:?}")).collect();
        let Source::Stream(first) = query.sides[0] else { unreachable!("a table comes first") };
        let stream = &world.streams[first];
        let rules = query.window.as_ref().map(|window| Rules {
            window: window.clone(),
            event_time: stream.event_time,
            lateness: stream.lateness * 1_000,
            idle: stream.idle.unwrap_or(60_000) * 1_000,
        });
        Self {
            world,
            query,
            stateful,
            by_key: by_key(world, query),
            history: History { group_by, ..History::default() },
            rules,
            lanes: Vec::new(),
            raw: History::default(),
            latest: vec![Vec::new(); world.tables.len()],
            out: Vec::new(),
            counts: Counts::default(),
        }
    }

    fn feed(&mut self, event: &Event) {
        let Some(message) = &event.message else { return };
        for (table, latest) in self.latest.iter_mut().enumerate() {
            let Content::Latest { event_time, of } = self.world.tables[table].content else { continue };
            if message.to != of.map_or(Source::Table(table), Source::Stream) {
                continue;
            }
            let row = (if event_time { message.ts } else { event.at }, message.row());
            let of_device = |old: &&mut (i64, Vec<Val>)| {
                old.1.last().is_some_and(|v| v.same(&Val::text(&message.device)))
            };
            match latest.iter_mut().find(of_device) {
                Some(old) if old.0 <= row.0 => *old = row,
                Some(_) => {}
                None => latest.push(row),
            }
        }
    }

    fn table(&self, table: usize) -> Vec<Vec<Val>> {
        match &self.world.tables[table].content {
            Content::Fixed(rows) => rows.clone(),
            Content::Latest { .. } => self.latest[table].iter().map(|(_, row)| row.clone()).collect(),
        }
    }

    /// What the clock closes is closed before a message that comes at the same time is looked at.
    fn clock(&mut self, now: i64) {
        for lane in 0..self.lanes.len() {
            if let Some(rules) = self.rules.clone() {
                let history = if self.query.at_close() { &self.raw } else { &self.history };
                let closed = self.lanes[lane].1.clock(&rules, history, now);
                self.give(closed);
            }
        }
    }

    fn step(&mut self, event: &Event) {
        let Some(message) = &event.message else { return };
        for (side, source) in self.query.sides.iter().enumerate() {
            if *source != message.to || !matches!(source, Source::Stream(_)) {
                continue;
            }
            let Source::Stream(stream) = *source else { continue };
            let spec = &self.world.streams[stream];
            let time = if spec.event_time { message.ts } else { event.at };
            self.counts.rows += 1;
            if spec.event_time && spec.max_future.is_some_and(|most| time > event.at + most * 1_000) {
                self.counts.future += 1;
                continue;
            }
            if message.retained && !(self.stateful && self.query.window.is_none()) {
                self.counts.retained += 1;
                continue;
            }
            if self.query.at_close() {
                let mut sides = vec![None; self.query.sides.len()];
                sides[side] = Some(message.row());
                self.raw.rows.push(Row { sides, time });
                let row = self.raw.rows.len() - 1;
                let passes =
                    self.query.window_filter.as_ref().is_none_or(|f| self.raw.holds(f, At::Row(row)));
                let key = (stream, self.key(stream, message));
                self.enter(&[], Entry { key, group: Vec::new(), time, row, passes }, event.at);
            } else {
                self.row(message, stream, time, event.at);
            }
        }
    }

    fn key(&self, stream: usize, message: &Message) -> Val {
        if self.world.streams[stream].keyed { Val::text(&message.device) } else { Val::Null }
    }

    /// A row of the one stream, joined with the tables as they are.
    fn row(&mut self, message: &Message, stream: usize, time: i64, now: i64) {
        let mut rows = vec![Row { sides: vec![Some(message.row())], time }];
        for (n, (kind, on)) in self.query.joins.iter().enumerate() {
            let Source::Table(table) = self.query.sides[n + 1] else { continue };
            rows = join(&rows, &self.table(table), *kind, on.as_ref(), n + 1);
        }
        let key = self.key(stream, message);
        if rows.is_empty() && self.query.window.is_some() {
            // A row without a partner enters nothing, but tells the time.
            let lane = if self.by_key { vec![key.clone()] } else { Vec::new() };
            if !self.by_key || self.world.streams[stream].keyed {
                let entry =
                    Entry { key: (stream, key.clone()), group: Vec::new(), time, row: 0, passes: false };
                self.enter(&lane, entry, now);
            }
        }
        for row in rows {
            self.history.rows.push(row);
            let at = At::Row(self.history.rows.len() - 1);
            let passes = self.query.filter.as_ref().is_none_or(|filter| self.history.holds(filter, at));
            if self.query.window.is_none() {
                let mut together = Vec::new();
                if passes {
                    self.project(at, time, &mut together);
                }
                self.history.hits.push(!together.is_empty());
                self.arrange(together);
                continue;
            }
            let passes =
                passes && self.query.window_filter.as_ref().is_none_or(|f| self.history.holds(f, at));
            let all = |list: &[Expr]| list.iter().map(|e| self.history.eval(e, at)).collect::<Vec<Val>>();
            let by = all(&self.query.group);
            let mut group = by.clone();
            if let Some(Window::State(_, _, partition)) = &self.query.window {
                group.extend(all(partition));
            }
            let key = key.clone();
            let lane = match (self.by_key, self.world.streams[stream].keyed) {
                (false, _) => Vec::new(),
                (true, true) => vec![key.clone()],
                (true, false) => by,
            };
            let row = self.history.rows.len() - 1;
            self.enter(&lane, Entry { key: (stream, key), group, time, row, passes }, now);
        }
    }

    fn enter(&mut self, name: &[Val], entry: Entry, now: i64) {
        let Some(rules) = self.rules.clone() else { return };
        let lane = match self.lanes.iter().position(|(key, _)| value::all_same(key, name)) {
            Some(lane) => lane,
            // The time of a group begins with its first row that enters.
            None if self.by_key && !entry.passes => return,
            None => {
                self.lanes.push((name.to_vec(), Lane::new()));
                self.lanes.len() - 1
            }
        };
        let history = if self.query.at_close() { &self.raw } else { &self.history };
        let closed = self.lanes[lane].1.take(entry, &rules, history, now);
        self.give(closed);
    }

    /// The output of windows of one lane.
    fn give(&mut self, closed: Vec<Closed>) {
        let ends: Vec<i64> = closed.iter().map(|window| window.end).collect();
        let mut together: Vec<Out> = Vec::new();
        for (n, window) in closed.into_iter().enumerate() {
            let end = window.end;
            if self.query.at_close() {
                self.joined(window, &mut together);
            } else if self.query.gives_groups() {
                let key = window.group[..self.query.group.len()].to_vec();
                self.group(key, window.rows, (window.start, end), &mut together);
            } else {
                for row in window.rows {
                    self.project(At::Row(row), end, &mut together);
                }
            }
            if ends.get(n + 1) != Some(&end) {
                self.arrange(std::mem::take(&mut together));
            }
        }
    }

    /// The rows of a window, joined.
    fn joined(&mut self, window: Closed, out: &mut Vec<Out>) {
        let of_side = |side: usize| -> Vec<(i64, Vec<Val>)> {
            let rows = window.rows.iter().map(|row| &self.raw.rows[*row]);
            rows.filter_map(|row| Some((row.time, row.sides[side].clone()?))).collect()
        };
        let first = of_side(0);
        let mut rows: Vec<Row> =
            first.into_iter().map(|(time, values)| Row { sides: vec![Some(values)], time }).collect();
        for (n, (kind, on)) in self.query.joins.iter().enumerate() {
            let right = match self.query.sides[n + 1] {
                Source::Table(table) => self.table(table),
                Source::Stream(_) => of_side(n + 1).into_iter().map(|(_, values)| values).collect(),
            };
            rows = join(&rows, &right, *kind, on.as_ref(), n + 1);
        }
        let mut groups: Vec<(Vec<Val>, Vec<usize>)> = Vec::new();
        for row in rows {
            self.history.rows.push(row);
            let place = self.history.rows.len() - 1;
            let at = At::Row(place);
            if !self.query.filter.as_ref().is_none_or(|filter| self.history.holds(filter, at)) {
                continue;
            }
            if !self.query.gives_groups() {
                self.project(at, window.end, out);
                continue;
            }
            let key: Vec<Val> = self.query.group.iter().map(|e| self.history.eval(e, at)).collect();
            match groups.iter_mut().find(|(other, _)| value::all_same(other, &key)) {
                Some((_, rows)) => rows.push(place),
                None => groups.push((key, vec![place])),
            }
        }
        for (key, rows) in groups {
            self.group(key, rows, (window.start, window.end), out);
        }
    }

    /// A group: aggregates, analytic functions, HAVING, output.
    fn group(&mut self, key: Vec<Val>, rows: Vec<usize>, (start, end): (i64, i64), out: &mut Vec<Out>) {
        self.history.groups.push(Group { key, rows, start, end });
        let at = At::Group(self.history.groups.len() - 1);
        if self.query.having.as_ref().is_none_or(|having| self.history.holds(having, at)) {
            self.project(at, end, out);
        }
    }

    /// The output of a row or a group: one row, or one for each element of the array that is unnested.
    fn project(&mut self, at: At, time: i64, out: &mut Vec<Out>) {
        let elements = match self.query.unnested() {
            None => vec![None],
            Some(array) => match self.history.eval(array, at) {
                Val::List(items) => items.into_iter().map(Some).collect(),
                _ => Vec::new(),
            },
        };
        for element in elements {
            self.history.element = element;
            let values: Vec<Val> =
                self.query.output().iter().map(|expr| self.history.eval(expr, at)).collect();
            let raise = Some(!self.stateful || !values[0].is_null());
            out.push(Out { at: time, values, raise });
        }
    }

    /// DISTINCT, ORDER BY, LIMIT over what ends together.
    fn arrange(&mut self, together: Vec<Out>) {
        let mut rows: Vec<Out> = Vec::new();
        for row in together {
            let known = rows.iter().any(|other| value::all_same(&other.values, &row.values));
            if !(self.query.distinct && known) {
                rows.push(row);
            }
        }
        rows.sort_by(|a, b| {
            let mut order = std::cmp::Ordering::Equal;
            for (column, descending) in &self.query.order {
                let (x, y) = (&a.values[*column], &b.values[*column]);
                let one = match (x.is_null(), y.is_null()) {
                    (true, true) => std::cmp::Ordering::Equal,
                    (true, false) => std::cmp::Ordering::Greater,
                    (false, true) => std::cmp::Ordering::Less,
                    (false, false) => {
                        let plain = x.order(y).unwrap_or(std::cmp::Ordering::Equal);
                        if *descending { plain.reverse() } else { plain }
                    }
                };
                order = order.then(one);
            }
            order
        });
        rows.truncate(self.query.limit.unwrap_or(usize::MAX));
        self.out.extend(rows);
    }
}

/// Nested loops; the left rows have so many sides.
fn join(left: &[Row], right: &[Vec<Val>], kind: JoinKind, on: Option<&Expr>, sides: usize) -> Vec<Row> {
    let mut joined = Vec::new();
    let mut partners = vec![false; right.len()];
    for row in left {
        let mut alone = true;
        for (n, values) in right.iter().enumerate() {
            let mut both = row.clone();
            both.sides.push(Some(values.clone()));
            let one = History { rows: vec![both.clone()], ..History::default() };
            if on.is_none_or(|on| one.holds(on, At::Row(0))) {
                alone = false;
                partners[n] = true;
                joined.push(both);
            }
        }
        if alone && matches!(kind, JoinKind::Left | JoinKind::Full) {
            let mut row = row.clone();
            row.sides.push(None);
            joined.push(row);
        }
    }
    if matches!(kind, JoinKind::Right | JoinKind::Full) {
        for (values, _) in right.iter().zip(&partners).filter(|(_, partner)| !**partner) {
            let mut row = vec![None; sides];
            row.push(Some(values.clone()));
            joined.push(Row { sides: row, time: 0 });
        }
    }
    joined
}

impl Message {
    fn row(&self) -> Vec<Val> {
        let mut row = self.values.clone();
        row.push(Val::text(&self.device));
        row
    }
}
