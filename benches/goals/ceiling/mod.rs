//! Hand-written loops that do only the unavoidable work: what our figures stand beside. They know the
//! shape of rules and messages at compile time, which the product cannot.

pub(crate) mod index;
pub(crate) mod load;
pub(crate) mod scan;
pub(crate) mod visitor;
pub(crate) mod windows;
