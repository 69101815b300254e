//! Windows of the groups that share a watermark. Everything that arrived is kept, and searched
//! through again whenever the watermark moves.

use crate::eval::{At, History};
use crate::query::{Expr, Window};
use crate::value::{self, Val};

/// A row that wants to enter a window.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// The device that its stream's progress is told by, and its stream.
    pub(crate) key: (usize, Val),
    /// GROUP BY, and PARTITION BY of a state window.
    pub(crate) group: Vec<Val>,
    pub(crate) time: i64,
    /// Its place in the history of rows.
    pub(crate) row: usize,
    /// Whether WHERE and FILTER let it in.
    pub(crate) passes: bool,
}

/// A window that closed. The rows are in the order of their times, then of their arrival.
#[derive(Clone, Debug)]
pub(crate) struct Closed {
    pub(crate) group: Vec<Val>,
    pub(crate) rows: Vec<usize>,
    pub(crate) start: i64,
    pub(crate) end: i64,
}

/// What all lanes of a query have in common. Spans are microseconds.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    pub(crate) window: Window,
    pub(crate) event_time: bool,
    pub(crate) lateness: i64,
    pub(crate) idle: i64,
}

#[derive(Clone, Debug)]
pub(crate) struct Lane {
    watermark: i64,
    /// Rows that came too late.
    pub(crate) late: u64,
    /// The keys that are not idle: the greatest time of each, and when it last had a row.
    keys: Vec<((usize, Val), i64, i64)>,
    /// Rows in windows of aligned kinds, each with the start of one; a row may be in several.
    placed: Vec<(Entry, i64)>,
    /// Rows that wait for their turn in the order of times.
    waiting: Vec<Entry>,
    /// The groups of ordered kinds.
    groups: Vec<Ordered>,
    /// Groups with an open window, in the order in which they came.
    order: Vec<Vec<Val>>,
}

/// The state of one group of an ordered window.
#[derive(Clone, Debug, Default)]
struct Ordered {
    group: Vec<Val>,
    /// How many rows it has had.
    count: usize,
    /// The rows of its open session or state window.
    open: Vec<Entry>,
    /// Triggers of sliding windows that look ahead.
    pending: Vec<Entry>,
    /// All rows it has had.
    rows: Vec<Entry>,
}

const NEVER: i64 = i64::MIN;

impl Lane {
    pub(crate) fn new() -> Self {
        Self {
            watermark: NEVER,
            late: 0,
            keys: Vec::new(),
            placed: Vec::new(),
            waiting: Vec::new(),
            groups: Vec::new(),
            order: Vec::new(),
        }
    }

    /// The clock comes to `now`.
    pub(crate) fn clock(&mut self, rules: &Rules, history: &History, now: i64) -> Vec<Closed> {
        let mut closed = Vec::new();
        if !rules.event_time {
            self.move_to(now - rules.lateness, rules, history, &mut closed);
            return closed;
        }
        loop {
            self.keys.sort_by_key(|(_, _, seen)| *seen);
            let Some((_, _, seen)) = self.keys.first() else { return closed };
            if seen + rules.idle > now {
                return closed;
            }
            self.keys.remove(0);
            if let Some(slowest) = self.keys.iter().map(|(_, greatest, _)| *greatest).min() {
                self.move_to(slowest - rules.lateness, rules, history, &mut closed);
                continue;
            }
            // All are idle: what waits has its turn, then everything that time can close closes.
            if let Some(last) = self.waiting.iter().map(|entry| entry.time).max() {
                self.move_to(last, rules, history, &mut closed);
            }
            if let Some(last) = self.last_end(rules) {
                self.move_to(last, rules, history, &mut closed);
            }
        }
    }

    /// A row comes.
    pub(crate) fn take(&mut self, entry: Entry, rules: &Rules, history: &History, now: i64) -> Vec<Closed> {
        let mut closed = Vec::new();
        let before = self.watermark;
        if rules.event_time {
            match self.keys.iter_mut().find(|(key, ..)| key.0 == entry.key.0 && key.1.same(&entry.key.1)) {
                Some((_, greatest, seen)) => {
                    *greatest = entry.time.max(*greatest);
                    *seen = now;
                }
                None => self.keys.push((entry.key.clone(), entry.time, now)),
            }
            let slowest = self.keys.iter().map(|(_, greatest, _)| *greatest).min().unwrap_or(NEVER);
            self.move_to(slowest.saturating_sub(rules.lateness), rules, history, &mut closed);
        }
        if !entry.passes {
            return closed;
        }
        if let Some((length, hop)) = aligned(&rules.window) {
            let mut start = entry.time.div_euclid(hop) * hop;
            let many = self.placed.len();
            while start + length > entry.time {
                if start + length > before {
                    if !self.order.iter().any(|group| value::all_same(group, &entry.group)) {
                        self.order.push(entry.group.clone());
                    }
                    self.placed.push((entry.clone(), start));
                }
                start -= hop;
            }
            self.late += u64::from(self.placed.len() == many);
        } else if entry.time >= before || !rules.event_time {
            self.waiting.push(entry);
            self.release(rules, history, &mut closed);
            self.close(rules, &mut closed);
        } else {
            self.late += 1;
        }
        closed
    }

    /// The end of the last window that time alone would close.
    fn last_end(&self, rules: &Rules) -> Option<i64> {
        let placed =
            aligned(&rules.window).map(|(length, _)| self.placed.iter().map(move |(_, s)| s + length));
        let sessions = self.groups.iter().filter_map(|group| group.session_end(rules));
        let ahead = self.groups.iter().flat_map(|group| group.pending.iter().map(|e| ahead(e, rules)));
        placed.into_iter().flatten().chain(sessions).chain(ahead).max()
    }

    fn move_to(&mut self, to: i64, rules: &Rules, history: &History, closed: &mut Vec<Closed>) {
        self.watermark = self.watermark.max(to);
        self.release(rules, history, closed);
        self.close(rules, closed);
    }

    /// Aligned windows, sessions and windows that look ahead, as far as the watermark has reached
    /// their ends.
    fn close(&mut self, rules: &Rules, closed: &mut Vec<Closed>) {
        let watermark = self.watermark;
        if let Some((length, _)) = aligned(&rules.window) {
            let mut ripe: Vec<Closed> = Vec::new();
            for (entry, start) in self.placed.iter().filter(|(_, start)| start + length <= watermark) {
                let known =
                    ripe.iter_mut().find(|c| c.start == *start && value::all_same(&c.group, &entry.group));
                match known {
                    Some(window) => window.rows.push(entry.row),
                    None => ripe.push(Closed {
                        group: entry.group.clone(),
                        rows: vec![entry.row],
                        start: *start,
                        end: start + length,
                    }),
                }
            }
            let place = |window: &Closed| self.order.iter().position(|g| value::all_same(g, &window.group));
            ripe.sort_by_key(|window| (window.end, place(window)));
            let times: Vec<(usize, i64)> = self.placed.iter().map(|(e, _)| (e.row, e.time)).collect();
            let time = |row: usize| times.iter().find(|(r, _)| *r == row).map(|(_, t)| *t);
            for window in &mut ripe {
                window.rows.sort_by_key(|row| (time(*row), *row));
            }
            closed.extend(ripe);
            self.placed.retain(|(_, start)| start + length > watermark);
            let placed = &self.placed;
            self.order.retain(|group| placed.iter().any(|(e, _)| value::all_same(&e.group, group)));
        }
        for group in &mut self.groups {
            if group.session_end(rules).is_some_and(|end| end <= watermark) {
                closed.extend(group.end_session(rules));
            }
            group.end_pending(watermark, rules, closed);
        }
    }

    /// Rows whose turn it is, in the order of their times.
    fn release(&mut self, rules: &Rules, history: &History, closed: &mut Vec<Closed>) {
        self.waiting.sort_by_key(|entry| (entry.time, entry.row));
        while self.waiting.first().is_some_and(|entry| entry.time <= self.watermark || !rules.event_time) {
            let entry = self.waiting.remove(0);
            let place = self.groups.iter().position(|group| value::all_same(&group.group, &entry.group));
            let place = place.unwrap_or_else(|| {
                self.groups.push(Ordered { group: entry.group.clone(), ..Ordered::default() });
                self.groups.len() - 1
            });
            self.groups[place].turn(entry, rules, history, closed);
        }
    }
}

impl Ordered {
    /// A row has its turn.
    fn turn(&mut self, entry: Entry, rules: &Rules, history: &History, closed: &mut Vec<Closed>) {
        self.count += 1;
        self.rows.push(entry.clone());
        let holds = |condition: &Expr| history.holds(condition, At::Row(entry.row));
        match &rules.window {
            Window::Tumbling(_) | Window::Hopping(..) => {}
            Window::Sliding(length, delay, trigger) => {
                self.end_pending(entry.time, rules, closed);
                if trigger.as_ref().is_none_or(holds) {
                    if *delay > 0 {
                        self.pending.push(entry);
                    } else {
                        let start = entry.time - length * 1_000;
                        let rows = self.rows.iter().filter(|e| e.time > start).map(|e| e.row).collect();
                        closed.push(Closed { group: self.group.clone(), rows, start, end: entry.time });
                    }
                }
            }
            Window::Session(..) => {
                if self.session_end(rules).is_some_and(|end| entry.time >= end) {
                    closed.extend(self.end_session(rules));
                }
                self.open.push(entry);
            }
            Window::Count(count, every) => {
                let every = every.unwrap_or(*count);
                if crate::counts(self.count, *count, every) {
                    let rows = &self.rows[self.rows.len() - count..];
                    closed.push(Closed {
                        group: self.group.clone(),
                        start: rows[0].time,
                        rows: rows.iter().map(|e| e.row).collect(),
                        end: entry.time,
                    });
                }
            }
            Window::State(begin, end, _) => {
                let mut ends = false;
                if self.open.is_empty() {
                    if holds(begin) {
                        self.open.push(entry.clone());
                        ends = end.as_ref().is_some_and(holds);
                    }
                } else if let Some(end) = end {
                    self.open.push(entry.clone());
                    ends = holds(end);
                } else if holds(begin) {
                    self.open.push(entry.clone());
                } else {
                    ends = true;
                }
                if ends {
                    let rows = std::mem::take(&mut self.open);
                    closed.push(Closed {
                        group: self.group.clone(),
                        start: rows[0].time,
                        rows: rows.iter().map(|e| e.row).collect(),
                        end: entry.time,
                    });
                }
            }
        }
    }

    fn session_end(&self, rules: &Rules) -> Option<i64> {
        let Window::Session(length, timeout) = rules.window else { return None };
        let (first, last) = (self.open.first()?, self.open.last()?);
        Some((last.time + timeout * 1_000).min(first.time + length * 1_000))
    }

    fn end_session(&mut self, rules: &Rules) -> Option<Closed> {
        let end = self.session_end(rules)?;
        let rows = std::mem::take(&mut self.open);
        let start = rows[0].time;
        Some(Closed { group: self.group.clone(), rows: rows.iter().map(|e| e.row).collect(), start, end })
    }

    /// Sliding windows that looked ahead far enough.
    fn end_pending(&mut self, watermark: i64, rules: &Rules, closed: &mut Vec<Closed>) {
        let Window::Sliding(length, delay, _) = rules.window else { return };
        let (ripe, left): (Vec<Entry>, Vec<Entry>) =
            std::mem::take(&mut self.pending).into_iter().partition(|e| ahead(e, rules) <= watermark);
        self.pending = left;
        for entry in ripe {
            let (start, end) = (entry.time - length * 1_000, entry.time + delay * 1_000);
            let inside = self.rows.iter().filter(|e| e.time > start && e.time <= end);
            closed.push(Closed {
                group: self.group.clone(),
                rows: inside.map(|e| e.row).collect(),
                start,
                end,
            });
        }
    }
}

/// When the watermark has passed what a trigger looks ahead to: rows at that very time may still
/// come until then.
fn ahead(entry: &Entry, rules: &Rules) -> i64 {
    match rules.window {
        Window::Sliding(_, delay, _) if delay > 0 => entry.time + delay * 1_000 + crate::PASSED,
        _ => NEVER,
    }
}

/// Length and hop of an aligned window, in microseconds.
fn aligned(window: &Window) -> Option<(i64, i64)> {
    match window {
        Window::Tumbling(length) => Some((length * 1_000, length * 1_000)),
        Window::Hopping(length, hop) => Some((length * 1_000, hop * 1_000)),
        _ => None,
    }
}
