//! What an expression gives: for one row, looking back over all rows before it; or for one group,
//! looking over all rows of its window, and back over all groups before it.

use crate::aggregate;
use crate::analytic;
use crate::query::{Analytic, Expr};
use crate::value::{self, Val};

/// A row as FROM gives it: a value for each column of each side, none for a side without a row.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) sides: Vec<Option<Vec<Val>>>,
    pub(crate) time: i64,
}

/// A group of a window that closed.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    /// The values of GROUP BY.
    pub(crate) key: Vec<Val>,
    /// Its rows, in the order of their times.
    pub(crate) rows: Vec<usize>,
    pub(crate) start: i64,
    pub(crate) end: i64,
}

/// Everything that one query has seen.
#[derive(Clone, Debug, Default)]
pub(crate) struct History {
    /// GROUP BY.
    pub(crate) group_by: Vec<String>,
    pub(crate) rows: Vec<Row>,
    /// For each row before the last one whether it gave output.
    pub(crate) hits: Vec<bool>,
    pub(crate) groups: Vec<Group>,
    /// The element that UNNEST is at.
    pub(crate) element: Option<Val>,
}

/// What an expression is evaluated for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum At {
    Row(usize),
    Group(usize),
}

impl History {
    pub(crate) fn holds(&self, condition: &Expr, at: At) -> bool {
        self.eval(condition, at).is_true()
    }

    pub(crate) fn time(&self, at: At) -> i64 {
        match at {
            At::Row(row) => self.rows[row].time,
            At::Group(group) => self.groups[group].end,
        }
    }

    pub(crate) fn eval(&self, expr: &Expr, at: At) -> Val {
        // What is grouped by has its value from the group, however it is written.
        if let At::Group(group) = at
            && let Some(n) = self.group_by.iter().position(|by| *by == format!("{expr:?}"))
        {
            return self.groups[group].key[n].clone();
        }
        let eval = |expr: &Expr| self.eval(expr, at);
        let all = |list: &[Expr]| list.iter().map(eval).collect::<Vec<Val>>();
        let when = |not: bool, value: Val| if not { value::not(&value) } else { value };
        match expr {
            Expr::Const(value) => value.clone(),
            Expr::Col(side, column) => match at {
                At::Row(row) => {
                    self.rows[row].sides[*side].as_ref().map_or(Val::Null, |values| values[*column].clone())
                }
                At::Group(_) => unreachable!("a column over a group: {expr:?}"),
            },
            Expr::Op("AND", a, b) => value::and(&[eval(a), eval(b)]),
            Expr::Op("OR", a, b) => value::or(&[eval(a), eval(b)]),
            Expr::Op(op, a, b) => operate(op, &eval(a), &eval(b)),
            Expr::Not(a) => value::not(&eval(a)),
            Expr::Neg(a) => value::subtract(&Val::Int(0), &eval(a)),
            Expr::Is(a, what, not) => {
                let is = match (*what, eval(a)) {
                    ("NULL", value) => value.is_null(),
                    ("TRUE", value) => value.is_true(),
                    (_, value) => matches!(value, Val::Bool(false)),
                };
                Val::Bool(is != *not)
            }
            Expr::In(a, list, not) => {
                let a = eval(a);
                let equal: Vec<Val> = list.iter().map(|item| operate("=", &a, &eval(item))).collect();
                when(*not, value::or(&equal))
            }
            Expr::Between(a, b, c, not) => {
                let a = eval(a);
                when(*not, value::and(&[operate(">=", &a, &eval(b)), operate("<=", &a, &eval(c))]))
            }
            Expr::Case(branches, otherwise) => {
                let branch = branches.iter().find(|(when, _)| eval(when).is_true());
                match (branch, otherwise) {
                    (Some((_, then)), _) => eval(then),
                    (None, Some(otherwise)) => eval(otherwise),
                    (None, None) => Val::Null,
                }
            }
            Expr::Call(function, args) => call(function, &all(args)),
            Expr::Aggregate(asked) => match at {
                At::Group(group) => aggregate::value(self, asked, &self.groups[group].rows),
                At::Row(_) => unreachable!("an aggregate over a row: {expr:?}"),
            },
            Expr::Analytic(asked) => self.look_back(asked, at),
            Expr::WindowStart => match at {
                At::Group(group) => Val::Time(self.groups[group].start),
                At::Row(_) => unreachable!("a window's start over a row"),
            },
            Expr::WindowEnd => match at {
                At::Group(group) => Val::Time(self.groups[group].end),
                At::Row(_) => unreachable!("a window's end over a row"),
            },
            Expr::EventTime => Val::Time(self.time(at)),
            Expr::Unnest(_) => self.element.clone().unwrap_or(Val::Null),
        }
    }

    /// An analytic function: over the rows of the partition up to this one for which WHEN is true.
    fn look_back(&self, asked: &Analytic, at: At) -> Val {
        let partition = |at: At| asked.partition.iter().map(|by| self.eval(by, at)).collect::<Vec<Val>>();
        let own = partition(at);
        let up_to_here: Vec<At> = match at {
            At::Row(here) => (0..=here).map(At::Row).collect(),
            At::Group(here) => (0..=here).map(At::Group).collect(),
        };
        let of_partition =
            up_to_here.into_iter().filter(|row| value::all_same(&partition(*row), &own)).collect::<Vec<At>>();
        if asked.function.starts_with("last_hit") {
            let before = of_partition.iter().filter_map(|row| match row {
                At::Row(row) => self.hits.get(*row).is_some_and(|hit| *hit).then_some(*row),
                At::Group(_) => unreachable!("hits over groups"),
            });
            let before: Vec<usize> = before.collect();
            return match asked.function {
                "last_hit_count" => Val::Int(before.len() as i64),
                _ => before.last().map_or(Val::Null, |row| Val::Time(self.rows[*row].time)),
            };
        }
        let counted: Vec<At> = of_partition
            .into_iter()
            .filter(|row| asked.when.as_ref().is_none_or(|when| self.holds(when, *row)))
            .collect();
        let past: Vec<analytic::Seen> = counted
            .iter()
            .map(|row| analytic::Seen {
                time: self.time(*row),
                args: asked.args.iter().map(|arg| self.eval(arg, *row)).collect(),
            })
            .collect();
        if past.is_empty() { Val::Null } else { analytic::value(asked.function, &past) }
    }
}

/// An operator between two values.
fn operate(op: &str, a: &Val, b: &Val) -> Val {
    use std::cmp::Ordering::{Equal, Greater, Less};
    let compare =
        |wanted: &[std::cmp::Ordering]| a.order(b).map_or(Val::Null, |o| Val::Bool(wanted.contains(&o)));
    match op {
        "=" => compare(&[Equal]),
        "<>" => compare(&[Less, Greater]),
        "<" => compare(&[Less]),
        "<=" => compare(&[Less, Equal]),
        ">" => compare(&[Greater]),
        ">=" => compare(&[Greater, Equal]),
        "+" => value::add(a, b),
        "-" => value::subtract(a, b),
        "*" => value::multiply(a, b),
        "/" => value::divide(a, b),
        "DIV" => value::whole_quotient(a, b),
        "%" => value::remainder(a, b),
        "||" => match (a, b) {
            (Val::Text(a), Val::Text(b)) => Val::Text(format!("{a}{b}")),
            _ => Val::Null,
        },
        other => unreachable!("operator {other}"),
    }
}

/// A scalar function.
fn call(function: &str, args: &[Val]) -> Val {
    let extreme =
        |wanted: std::cmp::Ordering| {
            let given = args.iter().filter(|v| !v.is_null());
            given.fold(Val::Null, |best, v| {
                if best.is_null() || v.order(&best) == Some(wanted) { v.clone() } else { best }
            })
        };
    match (function, args) {
        ("abs", [Val::Int(i)]) => i.checked_abs().map_or(Val::Null, Val::Int),
        ("abs", [Val::Float(x)]) => Val::Float(x.abs()),
        ("floor", [Val::Float(x)]) => Val::Float(x.floor()),
        ("floor", [Val::Int(i)]) => Val::Int(*i),
        ("length", [Val::Text(text)]) => Val::Int(text.chars().count() as i64),
        ("upper", [Val::Text(text)]) => Val::Text(text.to_uppercase()),
        ("coalesce", _) => args.iter().find(|v| !v.is_null()).cloned().unwrap_or(Val::Null),
        ("nullif", [a, b]) => {
            if a.order(b) == Some(std::cmp::Ordering::Equal) {
                Val::Null
            } else {
                a.clone()
            }
        }
        ("greatest", _) => extreme(std::cmp::Ordering::Greater),
        ("least", _) => extreme(std::cmp::Ordering::Less),
        _ => Val::Null,
    }
}
