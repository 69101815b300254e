//! The functions of objects.

use super::Param::{self, Any, Array, Names, Object as O};
use super::{Function, Gives, Signature, takes};

/// A function of objects. Members go by name; a name given twice has its last value. A result with too
/// many members or bytes is NULL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Object {
    /// `erase(o, names)`: without them
    Erase,
    /// `items(o)`: pairs of name and value
    Items,
    /// `keys(o)`
    Keys,
    /// `kvpair_array_to_obj(a)`: from objects with `key` and `value`
    FromPairs,
    /// `obj_to_kvpair_array(o)`: objects with `key` and `value`
    ToPairs,
    /// `object(names, values)`
    FromArrays,
    /// `object_concat(o, …)`: NULLs are skipped
    Concat,
    /// `object_construct(name, value, …)`: NULLs are left out
    Construct,
    /// `object_pick(o, names)`: only them
    Pick,
    /// `object_size(o)`
    Size,
    /// `values(o)`
    Values,
    /// `zip(a)`: from pairs of name and value
    Zip,
}

const fn object(name: &'static str, function: Object, params: &'static [Param], gives: Gives) -> Signature {
    takes(name, Function::Object(function), params, gives)
}

pub(super) const TABLE: &[Signature] = &[
    object("erase", Object::Erase, &[O, Names], Gives::Any),
    object("items", Object::Items, &[O], Gives::Array),
    object("keys", Object::Keys, &[O], Gives::Texts),
    object("kvpair_array_to_obj", Object::FromPairs, &[Array], Gives::Any),
    object("obj_to_kvpair_array", Object::ToPairs, &[O], Gives::Array),
    object("object", Object::FromArrays, &[Array, Array], Gives::Any),
    object("object_concat", Object::Concat, &[O], Gives::Any).repeats().least(2),
    object("object_construct", Object::Construct, &[Any], Gives::Any).repeats().least(2),
    object("object_pick", Object::Pick, &[O, Names], Gives::Any),
    object("object_size", Object::Size, &[O], Gives::Bigint),
    object("values", Object::Values, &[O], Gives::Array),
    object("zip", Object::Zip, &[Array], Gives::Any),
];
