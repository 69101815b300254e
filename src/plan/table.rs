//! Tables whose rows travel with the rules: from the rule file into a definition, and from there
//! into checked rows. Reads no SQL but the names of types.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use serde_json::Value as Json;

use crate::model::diagnostic::Place;
use crate::model::fit;
use crate::model::node::NODE_STREAMS;
use crate::model::stream::{FieldSource, TimeUnit};
use crate::model::topic::TopicPattern;
use crate::model::value::{DataType, Value};

use super::definition::RowsDef;
use super::report::{Problem, Report};
use super::stream::{Column, Schema};
use super::text::Text;
use super::{Limits, parse, typing};

/// A table's schema and its rows, a value for each of its columns.
pub(super) struct Rows {
    pub(super) schema: Schema,
    pub(super) rows: Vec<Box<[Value]>>,
}

/// Checks a table. `None` where something was reported.
pub(super) fn rows(def: &RowsDef, limits: &Limits, report: &mut Report) -> Option<Rows> {
    let name = def.name.as_str();
    if NODE_STREAMS.iter().any(|stream| stream.name == name) {
        let message = format!("`{name}` is a built-in stream of the node's metrics");
        let problem = Problem::new("reserved-name", Place::START, message).hint("choose another name");
        report.error_at_start("name", &def.name, problem);
    }
    if def.columns.is_empty() {
        let problem = Problem::new("missing-field", Place::START, "the table has neither rows nor columns");
        report.error_at_start("name", &def.name, problem.hint("add `rows`, or `columns: {name: TYPE}`"));
    }
    if def.rows.len() > limits.table_rows {
        let message =
            format!("the table has {} rows; at most {} are taken", def.rows.len(), limits.table_rows);
        report.error_at_start("name", &def.name, Problem::new("too-large", Place::START, message));
        return None;
    }
    let types = types(def, limits, report);
    let mut rows: Vec<Box<[Value]>> = Vec::with_capacity(def.rows.len());
    for (number, row) in def.rows.iter().enumerate() {
        let mut cells = row.cells.iter();
        let row = def.columns.iter().zip(&types).map(|(column, ty)| {
            let Some((json, place)) = cells.next() else { return Value::Null };
            let value = Value::from_json(json);
            fit::fit(&value, ty, TimeUnit::Auto).unwrap_or_else(|misfit| {
                let message =
                    format!("row {}, column `{}`: {}", number + 1, column.as_str(), misfit.detail());
                let problem = Problem::new("wrong-type", *place, message);
                report.error_in_file(
                    "rows",
                    match (ty, json) {
                        (DataType::String, Json::Number(_) | Json::Bool(_)) => {
                            problem.hint("put it in quotes")
                        }
                        _ => problem,
                    },
                );
                Value::Null
            })
        });
        rows.push(row.collect());
    }
    unique(def, &rows, report);
    let columns = def.columns.iter().zip(types).map(|(name, ty)| {
        let name: Arc<str> = name.as_str().into();
        Column { from: FieldSource::Path(vec![name.clone()]), name, ty, default: Value::Null }
    });
    let mut schema = Schema::over(name.into(), TopicPattern::default(), columns.collect());
    schema.table = true;
    (!report.failed()).then_some(Rows { schema, rows })
}

/// The type of each column: as declared, else what all its values have in common.
fn types(def: &RowsDef, limits: &Limits, report: &mut Report) -> Vec<DataType> {
    let mut declared: HashMap<&str, DataType> = HashMap::new();
    for (name, text) in &def.types {
        let ty = parse::data_type(text.as_str(), limits);
        let ty = ty.map_err(|problem| report.error(&format!("columns.{}", name.as_str()), text, problem));
        declared.insert(name.as_str(), ty.unwrap_or(DataType::Any));
    }
    let mut types = Vec::with_capacity(def.columns.len());
    for (at, column) in def.columns.iter().enumerate() {
        if let Some(ty) = declared.get(column.as_str()) {
            types.push(ty.clone());
            continue;
        }
        if !def.types.is_empty() {
            let message = format!("`columns` does not have `{}`", column.as_str());
            let problem = Problem::new("unknown-column", Place::START, message);
            let names = def.types.iter().map(|(name, _)| name.as_str());
            let problem = problem.hint("declare it there").did_you_mean(column.as_str(), names);
            report.error_at_start("rows", column, problem);
        }
        let cells = def.rows.iter().filter_map(|row| row.cells.get(at));
        let values = cells.filter(|(json, _)| !json.is_null()).map(|(json, _)| of_json(json));
        types.push(values.reduce(|a, b| typing::common(&a, &b)).unwrap_or(DataType::Any));
    }
    types
}

fn of_json(json: &Json) -> DataType {
    match json {
        Json::Array(list) => {
            let items = list.iter().filter(|item| !item.is_null()).map(of_json);
            let of = items.reduce(|a, b| typing::common(&a, &b)).unwrap_or(DataType::Any);
            DataType::Array(Box::new(of))
        }
        other => typing::of_value(&Value::from_json(other)),
    }
}

/// Reports rows of one key, and key columns that are none.
fn unique(def: &RowsDef, rows: &[Box<[Value]>], report: &mut Report) {
    let mut key: Vec<usize> = Vec::with_capacity(def.key.len());
    for text in &def.key {
        match def.columns.iter().position(|column| column == text) {
            Some(at) => key.push(at),
            None => {
                let message = format!("no column `{}` for the key", text.as_str());
                let names = def.columns.iter().map(Text::as_str);
                let problem = Problem::new("unknown-key", Place::START, message);
                report.error_at_start("key", text, problem.did_you_mean(text.as_str(), names));
            }
        }
    }
    if key.is_empty() || key.len() < def.key.len() || report.failed() {
        return;
    }
    let mut seen: HashSet<Vec<&Value>> = HashSet::with_capacity(rows.len());
    for (row, written) in rows.iter().zip(&def.rows) {
        let values: Vec<&Value> = key.iter().filter_map(|at| row.get(*at)).collect();
        if seen.contains(&values) {
            let shown: Vec<String> = values.iter().map(ToString::to_string).collect();
            let message = format!("two rows have the key {}", shown.join(", "));
            report.error_in_file("rows", Problem::new("duplicate-row", written.place, message));
        }
        seen.insert(values);
    }
}
