//! The window in GROUP BY: its kind, lengths and conditions, and what FILTER and OVER behind it say.

use std::time::Duration;

use crate::model::diagnostic::Place;
use crate::model::value::Value;

use super::bind::{Binder, Clause};
use super::logical::{Expr, WindowKind};
use super::report::Problem;
use super::syntax::{Call, Kind, Node};

/// The windows, with an example of each.
pub(super) const WINDOWS: &[(&str, &str)] = &[
    ("TUMBLINGWINDOW", "TUMBLINGWINDOW(ss, 10)"),
    ("HOPPINGWINDOW", "HOPPINGWINDOW(ss, 60, 10)"),
    ("SLIDINGWINDOW", "SLIDINGWINDOW(ss, 60) or SLIDINGWINDOW(ss, 60, 5)"),
    ("SESSIONWINDOW", "SESSIONWINDOW(mi, 60, 5)"),
    ("COUNTWINDOW", "COUNTWINDOW(10) or COUNTWINDOW(10, 1)"),
    ("STATEWINDOW", "STATEWINDOW(running) or STATEWINDOW(t > 60, t < 50)"),
];

/// The units of a window's length, with their milliseconds.
const UNITS: &[(&str, u64)] =
    &[("DD", 86_400_000), ("HH", 3_600_000), ("MI", 60_000), ("SS", 1_000), ("MS", 1)];

/// Longer windows would hold state for what no rule of a site waits for.
const LONGEST_MS: u64 = 366 * 86_400_000;

/// How many windows of one key may be open at a time.
const MOST_OPEN: u128 = 10_000;

/// How many rows a count window may have.
const MOST_ROWS: i64 = 100_000;

/// What a length in a window may be.
const LENGTH: &str = "the length of a window is a whole number above 0, at most 366 days";

impl Binder<'_> {
    /// Binds a window with its filter. `None` where it is wrong.
    pub(super) fn window(&mut self, call: &Call) -> Option<(WindowKind, Option<Expr>)> {
        let name = call.name.text.to_uppercase();
        let place = call.name.place;
        if call.star || call.distinct {
            self.problem(wrong(place, "a window takes no `*` and no DISTINCT", &name));
            return None;
        }
        let filter = call.filter.as_ref().map(|node| self.condition(node, Clause::Window, "FILTER"));
        let kind = match name.as_str() {
            "SLIDINGWINDOW" => self.sliding(call),
            "COUNTWINDOW" => self.count(call),
            "STATEWINDOW" => self.state(call),
            _ => self.timed(call, &name),
        };
        let trigger = call.over.as_ref().and_then(|over| over.when.as_ref());
        if let (Some(node), true) = (trigger, name != "SLIDINGWINDOW") {
            let problem = Problem::new("bad-window", node.place, format!("{name} takes no OVER (WHEN …)"));
            self.problem(problem.hint(
                "write FILTER (WHERE …) for rows that shall not enter; SLIDINGWINDOW has OVER (WHEN …)",
            ));
        }
        let partition = call.over.as_ref().and_then(|over| over.partition.first());
        if let (Some(node), true) = (partition, name != "STATEWINDOW") {
            let message = format!("{name} takes no OVER (PARTITION BY …)");
            let problem = Problem::new("bad-window", node.place, message);
            self.problem(problem.hint("every window is kept for each group: write GROUP BY device, …"));
        }
        Some((kind?, filter))
    }

    /// The windows of a unit and one or two lengths that say nothing else.
    fn timed(&mut self, call: &Call, name: &str) -> Option<WindowKind> {
        let place = call.name.place;
        match name {
            "TUMBLINGWINDOW" => {
                let [length] = self.lengths(call, "the window takes a unit and a length")?;
                Some(WindowKind::Tumbling { length })
            }
            "HOPPINGWINDOW" => {
                let what = "the window takes a unit, a length, and how far it hops";
                let [length, hop] = self.lengths(call, what)?;
                if hop > length {
                    let at = call.args.get(2).map_or(place, |node| node.place);
                    let message = "the window hops further than it is long: rows in between would be in none";
                    self.problem(wrong(at, message, name));
                    return None;
                }
                if length.as_millis() / hop.as_millis().max(1) > MOST_OPEN {
                    let message = format!("every row would be in more than {MOST_OPEN} windows");
                    self.problem(wrong(place, &message, name));
                    return None;
                }
                Some(WindowKind::Hopping { length, hop })
            }
            _ => {
                let what = "the window takes a unit, its greatest length, and the silence that ends it";
                let [length, timeout] = self.lengths(call, what)?;
                if timeout > length {
                    let at = call.args.get(2).map_or(place, |node| node.place);
                    let message = "the silence is longer than the window may be, so it would never end one";
                    self.problem(wrong(at, message, name));
                    return None;
                }
                Some(WindowKind::Session { length, timeout })
            }
        }
    }

    fn sliding(&mut self, call: &Call) -> Option<WindowKind> {
        let what = "the window takes a unit, how far it looks back, and how far ahead";
        let trigger = call.over.as_ref().and_then(|over| over.when.as_ref());
        let trigger = trigger.map(|node| self.condition(node, Clause::Window, "WHEN"));
        let [length, delay] = match call.args.as_slice() {
            [_, length, delay] if matches!(delay.kind, Kind::Const(Value::Int(0))) => {
                let unit = self.unit(call, what)?;
                [self.length(length, unit, &call.name.text)?, Duration::ZERO]
            }
            [_, _, _, ..] => self.lengths(call, what)?,
            _ => {
                let [length] = self.lengths(call, what)?;
                [length, Duration::ZERO]
            }
        };
        Some(WindowKind::Sliding { length, delay, trigger })
    }

    fn count(&mut self, call: &Call) -> Option<WindowKind> {
        let name = "COUNTWINDOW";
        let (count, every) = match call.args.as_slice() {
            [count] => (count, count),
            [count, every] => (count, every),
            _ => {
                let message = "the window takes a number of rows, and then how many lie between two windows";
                self.problem(wrong(call.name.place, message, name));
                return None;
            }
        };
        let mut rows = |node: &Node| match &node.kind {
            Kind::Const(Value::Int(n)) if (1..=MOST_ROWS).contains(n) => usize::try_from(*n).ok(),
            _ => {
                let message = format!("a number of rows is a whole number from 1 to {MOST_ROWS}");
                self.problem(wrong(node.place, &message, name));
                None
            }
        };
        let first = rows(count)?;
        let second = if call.args.len() > 1 { rows(every)? } else { first };
        if second > first {
            let message = "more rows lie between two windows than are in one: some would be in none";
            self.problem(wrong(every.place, message, name));
            return None;
        }
        Some(WindowKind::Count { count: first, every: second })
    }

    fn state(&mut self, call: &Call) -> Option<WindowKind> {
        let (begin, end) = match call.args.as_slice() {
            [begin] => (begin, None),
            [begin, end] => (begin, Some(end)),
            _ => {
                let message = "the window takes a condition that begins it, and then one that ends it";
                self.problem(wrong(call.name.place, message, "STATEWINDOW"));
                return None;
            }
        };
        let begin = self.condition(begin, Clause::Window, "STATEWINDOW");
        let end = end.map(|node| self.condition(node, Clause::Window, "STATEWINDOW"));
        let by = call.over.as_ref().map_or(&[][..], |over| &over.partition);
        if let (Some(first), true) = (by.first(), self.at_close) {
            let message = "rows that wait to be joined share one window, so it takes no PARTITION BY";
            self.problem(wrong(first.place, message, "STATEWINDOW"));
        }
        let partition = by.iter().map(|node| self.bind(node, Clause::Window).expr).collect();
        Some(WindowKind::State { begin, end, partition })
    }

    /// The lengths behind the unit, as many as there must be.
    fn lengths<const N: usize>(&mut self, call: &Call, what: &str) -> Option<[Duration; N]> {
        if call.args.len() != N + 1 {
            self.problem(wrong(call.name.place, what, &call.name.text));
            return None;
        }
        let unit = self.unit(call, what)?;
        let mut lengths = [Duration::ZERO; N];
        let mut whole = true;
        for (length, node) in lengths.iter_mut().zip(&call.args[1..]) {
            match self.length(node, unit, &call.name.text) {
                Some(found) => *length = found,
                None => whole = false,
            }
        }
        whole.then_some(lengths)
    }

    /// The unit's milliseconds.
    fn unit(&mut self, call: &Call, what: &str) -> Option<u64> {
        let Some(unit) = call.args.first() else {
            self.problem(wrong(call.name.place, what, &call.name.text));
            return None;
        };
        let known = match &unit.kind {
            Kind::Path(path) if path.names.len() == 1 => {
                UNITS.iter().find(|(known, _)| known.eq_ignore_ascii_case(&path.names[0].text))
            }
            _ => None,
        };
        if known.is_none() {
            self.problem(wrong(unit.place, "the unit of a window is DD, HH, MI, SS or MS", &call.name.text));
        }
        known.map(|(_, ms)| *ms)
    }

    fn length(&mut self, node: &Node, unit: u64, name: &str) -> Option<Duration> {
        let millis = match &node.kind {
            Kind::Const(Value::Int(n)) => u64::try_from(*n).ok().and_then(|n| n.checked_mul(unit)),
            _ => None,
        };
        match millis {
            Some(ms @ 1..=LONGEST_MS) => Some(Duration::from_millis(ms)),
            _ => {
                self.problem(wrong(node.place, LENGTH, name));
                None
            }
        }
    }
}

/// How a window of this name is written; an example of some window where there is none of the name.
pub(super) fn example(name: &str) -> &'static str {
    let known = WINDOWS.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
    known.map_or("TUMBLINGWINDOW(ss, 10)", |(_, example)| example)
}

fn wrong(place: Place, message: &str, name: &str) -> Problem {
    Problem::new("bad-window", place, message).hint(format!("write {}", example(name)))
}
