//! The verbs of the command line, one file each. Only here may anything print.

pub mod check;
