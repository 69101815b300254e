//! The SELECT list: `*` and `changed_cols` put into columns, each column bound and named.

use crate::model::diagnostic::Place;
use crate::model::value::Value;

use super::bind::{Binder, Clause, Output, Typed};
use super::report::Problem;
use super::side::{Side, called};
use super::syntax::{Call, Column, Item, Kind, Name, Node, Path};

/// A SELECT list put into columns.
pub(super) struct Expanded {
    /// Its columns.
    pub(super) columns: Vec<Column>,
    /// What must be true of a row of which only changes are selected.
    pub(super) changed: Option<Node>,
}

/// Puts a SELECT list into columns.
pub(super) fn expand(items: &[Item], sides: &[Side], grouped: bool, problems: &mut Vec<Problem>) -> Expanded {
    let mut columns = Vec::new();
    let mut changes = Vec::new();
    let mut others = false;
    for item in items {
        match item {
            Item::All { place, of, except, replace } => {
                others = true;
                if grouped {
                    let problem = Problem::new("not-grouped", *place, "`*` cannot be used with groups");
                    problems.push(problem.hint("name the grouped columns and aggregates"));
                } else {
                    columns.extend(all(*place, of.as_ref(), except, replace, sides, problems));
                }
            }
            Item::Expr(column) => match &column.node.kind {
                Kind::Call(call)
                    if call.name.text.eq_ignore_ascii_case("changed_cols") && column.alias.is_none() =>
                {
                    columns.extend(changed(call, column, sides, problems, &mut changes));
                }
                _ => {
                    others = true;
                    columns.push(column.clone());
                }
            },
        }
    }
    let changed = if others { None } else { either(changes) };
    Expanded { columns, changed }
}

/// The columns that sides declare, as nodes with their names. `None` where one declares none.
fn declared(
    place: Place,
    of: Option<usize>,
    sides: &[Side],
    problems: &mut Vec<Problem>,
) -> Option<Vec<(Node, String)>> {
    let mut found = Vec::new();
    for (i, side) in sides.iter().enumerate().filter(|(i, _)| of.is_none_or(|of| of == *i)) {
        if side.schema.open {
            let what = if side.is_stream() { "stream" } else { "table" };
            let message = format!("{what} `{}` declares no columns, so `*` names none", side.schema.name);
            problems.push(Problem::new("unsupported", place, message).hint("name the columns"));
            return None;
        }
        for text in side.schema.names() {
            let path = Path::column(i, Name { text: text.to_owned(), place });
            found.push((Node::new(Kind::Path(path), place), text.to_owned()));
        }
    }
    Some(found)
}

fn all(
    place: Place,
    of: Option<&Name>,
    except: &[Name],
    replace: &[(Node, Name)],
    sides: &[Side],
    problems: &mut Vec<Problem>,
) -> Vec<Column> {
    let side = match of.map(|name| (name, called(sides, &name.text))) {
        Some((name, None)) => {
            let message = format!("`{}` is not in FROM", name.text);
            let names: Vec<String> = sides.iter().map(|side| format!("`{}`", side.called)).collect();
            let problem = Problem::new("unknown-stream", name.place, message);
            problems.push(problem.hint(format!("there is {}", names.join(", "))));
            return Vec::new();
        }
        Some((_, side)) => side,
        None => None,
    };
    let Some(found) = declared(place, side, sides, problems) else { return Vec::new() };
    let names: Vec<String> = found.iter().map(|(_, name)| name.clone()).collect();
    for name in except.iter().chain(replace.iter().map(|(_, name)| name)) {
        if !names.contains(&name.text) {
            let message = format!("`*` has no column `{}`", name.text);
            let problem = Problem::new("unknown-column", name.place, message);
            problems.push(problem.did_you_mean(&name.text, names.iter().map(String::as_str)));
        }
    }
    let columns: Vec<Column> = found
        .into_iter()
        .filter(|(_, text)| !except.iter().any(|name| name.text == *text))
        .map(|(node, text)| match replace.iter().find(|(_, name)| name.text == text) {
            Some((node, name)) => {
                Column { node: node.clone(), alias: Some(name.clone()), text, invisible: false }
            }
            None => Column { node, alias: None, text, invisible: false },
        })
        .collect();
    if columns.is_empty() && !names.is_empty() {
        problems.push(Problem::new("empty-select", place, "EXCEPT leaves no column"));
    }
    columns
}

/// `changed_cols(prefix, ignore_null, a, …)`, as a `changed_col` each.
fn changed(
    call: &Call,
    column: &Column,
    sides: &[Side],
    problems: &mut Vec<Problem>,
    changes: &mut Vec<Node>,
) -> Vec<Column> {
    let place = column.node.place;
    let (false, [prefix, flag, of @ ..]) = (call.distinct || call.filter.is_some(), call.args.as_slice())
    else {
        let message = "`changed_cols` takes a prefix, whether NULLs are left out, and columns or `*`";
        problems.push(
            Problem::new("wrong-arguments", place, message).hint("as in changed_cols('c_', true, a, b)"),
        );
        return Vec::new();
    };
    let Kind::Const(Value::Str(prefix)) = &prefix.kind else {
        let message = "the prefix in `changed_cols` must be a constant text";
        problems.push(
            Problem::new("not-constant", prefix.place, message).hint("'' gives the columns their own names"),
        );
        return Vec::new();
    };
    let mut found: Vec<(Node, String)> = Vec::new();
    for (node, text) in of.iter().zip(call.texts.iter().skip(2)) {
        match &node.kind {
            Kind::Star => found.extend(declared(node.place, None, sides, problems).unwrap_or_default()),
            Kind::Path(path) => {
                let name = path.names.last().map_or(text, |name| &name.text);
                found.push((node.clone(), name.clone()));
            }
            _ => found.push((node.clone(), text.clone())),
        }
    }
    let made = |name: &str, args: Vec<Node>| {
        let name = Name { text: name.to_owned(), place: call.name.place };
        let call = Call { name, args, texts: Vec::new(), ..call.clone() };
        Node::new(Kind::Call(Box::new(call)), place)
    };
    if !found.is_empty() {
        let args = std::iter::once(flag.clone()).chain(found.iter().map(|(node, _)| node.clone()));
        changes.push(made("had_changed", args.collect()));
    }
    let columns = found.into_iter().map(|(node, name)| {
        let place = node.place;
        let alias = Name { text: format!("{prefix}{name}"), place };
        let node = made("changed_col", vec![flag.clone(), node]);
        Column { node, alias: Some(alias), text: name, invisible: column.invisible }
    });
    columns.collect()
}

fn either(mut conditions: Vec<Node>) -> Option<Node> {
    match conditions.len() {
        0 | 1 => conditions.pop(),
        _ => {
            let place = conditions[0].place;
            Some(Node::new(Kind::Or(conditions), place))
        }
    }
}

impl Binder<'_> {
    /// Binds the columns of SELECT, in order.
    pub(super) fn columns(&mut self, columns: &[Column]) {
        for column in columns {
            let found = self.bind(&column.node, Clause::Select);
            let (name, place) = column.name();
            self.give(name, found, column.invisible, place);
        }
        // What goes further stands first.
        self.outputs.sort_by_key(|output| output.invisible);
        if self.outputs.iter().all(|output| output.invisible) && self.problems.is_empty() {
            let place = columns.first().map_or(Place::START, |column| column.node.place);
            let problem = Problem::new("empty-select", place, "SELECT gives no visible column");
            self.problem(problem.hint("leave out INVISIBLE, or add a column"));
        }
    }

    fn give(&mut self, name: String, found: Typed, invisible: bool, place: Place) {
        if self.outputs.iter().any(|known| known.name == name) {
            let problem =
                Problem::new("duplicate-column", place, format!("two output columns are called `{name}`"));
            let hint = if self.sides.len() > 1 {
                "name one of them with AS, or leave it out with * EXCEPT (…)"
            } else {
                "name one of them with AS"
            };
            self.problem(problem.hint(hint));
            return;
        }
        self.outputs.push(Output { name, found, invisible });
    }
}
