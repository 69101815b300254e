//! The functions of arrays.

use super::Param::{self, Any, Array as A, Number, Text};
use super::{Function, Gives, Meaning, Signature, means, takes};

/// A function of arrays. Elements are the same as GROUP BY sees it: NULL as NULL, 1 as 1.0. A result with
/// too many elements or bytes is NULL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Array {
    /// `array_avg(a)`: of its numbers
    Avg,
    /// `array_cardinality(a)`: how many that are not NULL
    Cardinality,
    /// `array_concat(a, …)`: NULLs are skipped
    Concat,
    /// `array_contains(a, x)`
    Contains,
    /// `array_contains_any(a, b)`
    ContainsAny,
    /// `array_create(x, …)`: NULLs are elements
    Create,
    /// `array_distinct(a)`
    Distinct,
    /// `array_except(a, b)`: without duplicates
    Except,
    /// `array_flatten(a)`: by one level
    Flatten,
    /// `array_intersect(a, b)`: without duplicates
    Intersect,
    /// `array_join(a, separator [, null])`: NULLs are skipped without the third
    Join,
    /// `array_last_position(a, x)`: from 0, -1 where absent
    LastPosition,
    /// `array_map(function, a)`
    Map,
    /// `array_max(a)`: NULLs are skipped
    Max,
    /// `array_min(a)`: NULLs are skipped
    Min,
    /// `array_position(a, x)`: from 0, -1 where absent
    Position,
    /// `array_remove(a, x)`
    Remove,
    /// `array_shuffle(a)`
    Shuffle,
    /// `array_sort(a)`: numbers before texts, NULLs last
    Sort,
    /// `array_union(a, b)`: without duplicates
    Union,
    /// `cardinality(a)`: of an object too
    Count,
    /// `repeat(x, n)`: an array of it
    Repeat,
    /// `sequence(start, stop [, step])`: both ends included
    Sequence,
}

const fn array(name: &'static str, function: Array, params: &'static [Param], gives: Gives) -> Signature {
    takes(name, Function::Array(function), params, gives)
}

pub(super) const TABLE: &[Signature] = &[
    array("array_avg", Array::Avg, &[A], Gives::Float),
    array("array_cardinality", Array::Cardinality, &[A], Gives::Bigint),
    array("array_concat", Array::Concat, &[A], Gives::Array).repeats(),
    array("array_contains", Array::Contains, &[A, Any], Gives::Boolean),
    array("array_contains_any", Array::ContainsAny, &[A, A], Gives::Boolean),
    array("array_create", Array::Create, &[Any], Gives::ArrayOfCommon).repeats(),
    array("array_distinct", Array::Distinct, &[A], Gives::First),
    array("array_except", Array::Except, &[A, A], Gives::First),
    array("array_flatten", Array::Flatten, &[A], Gives::Array),
    array("array_intersect", Array::Intersect, &[A, A], Gives::First),
    array("array_join", Array::Join, &[A, Text, Text], Gives::Text).least(2),
    array("array_last_position", Array::LastPosition, &[A, Any], Gives::Bigint),
    array("array_map", Array::Map, &[Param::Function, A], Gives::Array),
    array("array_max", Array::Max, &[A], Gives::Element),
    array("array_min", Array::Min, &[A], Gives::Element),
    array("array_position", Array::Position, &[A, Any], Gives::Bigint),
    array("array_remove", Array::Remove, &[A, Any], Gives::First),
    array("array_shuffle", Array::Shuffle, &[A], Gives::First),
    array("array_sort", Array::Sort, &[A], Gives::First),
    array("array_union", Array::Union, &[A, A], Gives::Array),
    array("cardinality", Array::Count, &[Any], Gives::Bigint),
    means("element_at", Meaning::Element, &[A, Number], Gives::Element),
    array("repeat", Array::Repeat, &[Any, Number], Gives::ArrayOfFirst),
    array("sequence", Array::Sequence, &[Number, Number, Number], Gives::Integers).least(2),
];
