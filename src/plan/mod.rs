//! Rule text in, checked plan out, or every diagnostic at once. Runs nothing.
//!
//! `file` reads YAML into texts, rule by rule, `parse` reads texts into `syntax`, `declare` and `bind` resolve
//! names and types, `rule` and `compile` put the plan of `logical` together. A finding is a
//! diagnostic with the place where a person can mend it.

mod aggregate;
mod analytic;
mod basis;
mod bind;
mod block;
mod cadence;
mod call;
mod catalog;
mod compile;
mod declare;
pub mod definition;
pub mod explain;
pub mod file;
pub mod function;
mod ids;
mod inhibition;
mod key;
mod life;
pub mod logical;
mod meta;
mod mould;
mod names;
mod nearest;
mod operator;
mod output;
mod parse;
mod query;
mod recovery;
pub mod render;
mod report;
mod rule;
pub mod rules;
mod scalar;
pub mod shape;
mod share;
mod side;
mod silence;
mod skeleton;
mod stream;
mod syntax;
mod table;
mod template;
pub mod text;
pub mod texts;
mod token;
mod typing;
mod window;
mod yaml;

use std::sync::Arc;

use crate::model::diagnostic::Diagnostic;

pub use basis::{Basis, Running};
pub use definition::RuleSetDef;
use logical::Plan;
pub use texts::Texts;

/// Caps on what is taken for a rule set, so that no text can exhaust memory or stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a rule file.
    pub file_bytes: usize,
    /// Bytes of one SQL text or expression.
    pub text_bytes: usize,
    /// Nodes of one text's syntax tree, and of what planning repeats of it.
    pub nodes: usize,
    /// Nesting: parentheses, CASE, NOT, types. Chains such as `a + b + …` may be four times as
    /// long; those of AND and OR only count as nodes.
    pub depth: usize,
    /// Rules of one set.
    pub rules: usize,
    /// Rows of one table that travel with the rules.
    pub table_rows: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            file_bytes: 16 << 20,
            text_bytes: 64 << 10,
            nodes: 10_000,
            depth: 64,
            rules: 200_000,
            table_rows: 100_000,
        }
    }
}

impl Limits {
    /// How many levels a syntax tree may have. Everything that walks a tree recurses this deep.
    fn height(&self) -> usize {
        self.depth.saturating_mul(4)
    }
}

/// What became of a rule set.
#[derive(Clone, Debug)]
pub struct Compiled {
    /// The plan; `None` if any diagnostic is an error.
    pub plan: Option<Plan>,
    /// All findings: by place where the set came from a file, else by stream and rule.
    pub diagnostics: Vec<Diagnostic>,
    /// Which rules could run as far as they themselves go, in the order of the set. Rules whose
    /// structure cannot be read are not among them.
    pub outcomes: Vec<Outcome>,
    /// What the next version of the set can be planned on.
    pub basis: Basis,
    /// Where it was planned on what runs, the places of rules that differ from there, in order. All other
    /// rules are the very same, and so are the places and slots of streams; only further ones may have
    /// come at their ends.
    pub touched: Option<Vec<usize>>,
}

impl Compiled {
    /// A set that cannot run.
    fn refused(diagnostics: Vec<Diagnostic>, outcomes: Vec<Outcome>) -> Self {
        Self { plan: None, diagnostics, outcomes, basis: Basis::default(), touched: None }
    }
}

/// What became of one rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Its id.
    pub rule: Arc<str>,
    /// Whether it can run. A rule over a stream whose declaration is wrong cannot, and has no
    /// diagnostic of its own for that.
    pub ok: bool,
}

/// Checks a rule set and plans it.
pub fn compile(set_name: &str, def: &RuleSetDef, limits: &Limits) -> Compiled {
    compile::compile(set_name, def, limits)
}

/// As [`compile`], with the hash of each rule's text at hand: the first 64 bits of the address of its item.
/// [`Compiled::outcomes`] stay empty.
pub fn compile_hashed(set_name: &str, texts: &Texts<'_>, hashes: &[u64], limits: &Limits) -> Compiled {
    compile::compile_with(set_name, texts, hashes, limits)
}

/// As [`compile_hashed`], on what runs: rules whose text stays keep their place and their compiled form.
/// Where that is not possible, or would leave many places empty, the set is planned whole.
pub fn recompile(
    set_name: &str,
    texts: &Texts<'_>,
    hashes: &[u64],
    limits: &Limits,
    before: &Running<'_>,
) -> Compiled {
    compile::recompile(set_name, texts, hashes, limits, before)
}

/// Reads a rule file, checks it and plans it.
pub fn compile_text(set_name: &str, yaml: &str, limits: &Limits) -> Compiled {
    compile::compile_text(set_name, yaml, limits)
}

/// The name of every function that a query can call: scalar functions, aggregates, analytic
/// functions, and what tells about the row or the window.
pub fn function_names() -> impl Iterator<Item = &'static str> {
    function::names().chain(call::names())
}

#[cfg(test)]
mod tests;
