//! Rule text in, checked plan out, or every diagnostic at once. Runs nothing.

pub mod function;
pub mod logical;
