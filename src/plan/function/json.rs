//! The functions of JSON. Their paths are constants, compiled once.

use super::Param::{Any, Path, Text};
use super::{Function, Gives, Signature, takes};

/// A function of JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Json {
    /// `json_path_exists(x, path)`
    Exists,
    /// `json_path_query(x, path)`: all that is found
    Query,
    /// `json_path_query_first(x, path)`: NULL where nothing is
    First,
    /// `parse_json(s)`: NULL where it is none
    Parse,
    /// `to_json(x)`
    Write,
}

pub(super) const TABLE: &[Signature] = &[
    takes("json_path_exists", Function::Json(Json::Exists), &[Any, Path], Gives::Boolean),
    takes("json_path_query", Function::Json(Json::Query), &[Any, Path], Gives::Array),
    takes("json_path_query_first", Function::Json(Json::First), &[Any, Path], Gives::Any),
    takes("parse_json", Function::Json(Json::Parse), &[Text], Gives::Any),
    takes("to_json", Function::Json(Json::Write), &[Any], Gives::Text),
];
