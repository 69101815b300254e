//! The functions that choose one of their arguments.

use super::Param::{Alike, Any};
use super::{Function, Gives, Meaning, Signature, means, takes};

/// A function that gives one of its arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Choice {
    /// `coalesce(a, …)`: the first that is not NULL
    Coalesce,
    /// `greatest(a, …)`: NULLs are skipped
    Greatest,
    /// `least(a, …)`: NULLs are skipped
    Least,
    /// `nullif(a, b)`: NULL where equal, else a
    NullIf,
}

pub(super) const TABLE: &[Signature] = &[
    takes("coalesce", Function::Choice(Choice::Coalesce), &[Alike], Gives::Common).repeats(),
    takes("greatest", Function::Choice(Choice::Greatest), &[Alike], Gives::Common).repeats(),
    means("isnull", Meaning::IsNull, &[Any], Gives::Boolean),
    takes("least", Function::Choice(Choice::Least), &[Alike], Gives::Common).repeats(),
    takes("nullif", Function::Choice(Choice::NullIf), &[Alike, Alike], Gives::First),
];
