//! What an index can use of an expression: when it is true, as a disjunction of conjunctions of atoms.
//!
//! An expression is true or not; with NOT, also when it is false matters. So both are worked out, which
//! is all that three-valued logic needs: `a AND b` is true where both are, false where one is. What is no
//! atom is left open: the condition is true only where the rest of it is, but perhaps not everywhere.

use std::sync::Arc;

use super::atom::{Atom, Test, is_scalar};
use crate::model::value::Value;
use crate::plan::logical::{BinaryOp, Expr, RulePlan, UnaryOp};

/// The most conjunctions of one condition. What would need more is left open.
const MAX_CONJUNCTIONS: usize = 64;

/// All of these atoms.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::engine) struct Conjunction {
    pub(super) atoms: Vec<Atom>,
    /// Whether the condition is true wherever the atoms are.
    pub(super) exact: bool,
}

/// Any of these conjunctions; none is never.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::engine) struct Condition {
    pub(super) any: Vec<Conjunction>,
}

impl Condition {
    /// True for every row.
    pub(in crate::engine) fn always() -> Self {
        Self { any: vec![Conjunction { atoms: Vec::new(), exact: true }] }
    }

    /// Perhaps true for every row.
    pub(in crate::engine) fn open() -> Self {
        Self { any: vec![Conjunction::default()] }
    }

    const fn never() -> Self {
        Self { any: Vec::new() }
    }

    fn atom(slot: u32, test: Test) -> Self {
        Self { any: vec![Conjunction { atoms: vec![Atom { slot, test }], exact: true }] }
    }

    /// Whether it holds no row back.
    pub(in crate::engine) fn is_open(&self) -> bool {
        self.any.iter().any(|conjunction| conjunction.atoms.is_empty())
    }

    /// Whether it asks anything of one of these slots.
    pub(in crate::engine) fn asks(&self, slot: impl Fn(u32) -> bool) -> bool {
        self.any.iter().flat_map(|conjunction| &conjunction.atoms).any(|atom| slot(atom.slot))
    }

    /// As far as it asks this slot for equality.
    pub(in crate::engine) fn only(mut self, slot: u32) -> Self {
        for conjunction in &mut self.any {
            conjunction.atoms.retain(|atom| atom.slot == slot && atom.equal().is_some());
            conjunction.exact = false;
        }
        self.any.dedup();
        self.simplified()
    }

    /// Where both are true.
    pub(in crate::engine) fn and(mut self, mut other: Self) -> Self {
        if let ([own], [more]) = (self.any.as_mut_slice(), other.any.as_mut_slice()) {
            // As almost every condition is: nothing is copied.
            own.exact &= more.exact;
            let known = own.atoms.len();
            own.atoms.reserve_exact(more.atoms.len());
            for atom in more.atoms.drain(..) {
                if !own.atoms[..known].contains(&atom) {
                    own.atoms.push(atom);
                }
            }
            return self.simplified();
        }
        if self.any.len().saturating_mul(other.any.len()) > MAX_CONJUNCTIONS {
            // The shorter one holds back more.
            let kept = if self.any.len() <= other.any.len() { self } else { other };
            return kept.loosened();
        }
        let pair = |a: &Conjunction, b: &Conjunction| {
            let mut atoms = a.atoms.clone();
            atoms.extend(b.atoms.iter().filter(|atom| !a.atoms.contains(atom)).cloned());
            Conjunction { atoms, exact: a.exact && b.exact }
        };
        let mut any = Vec::with_capacity(self.any.len() * other.any.len());
        for a in &self.any {
            any.extend(other.any.iter().map(|b| pair(a, b)));
        }
        Self { any }.simplified()
    }

    /// Where one is true.
    fn or(mut self, other: Self) -> Self {
        self.any.extend(other.any);
        if self.any.len() > MAX_CONJUNCTIONS {
            return Self::open();
        }
        self.simplified()
    }

    fn loosened(mut self) -> Self {
        self.any.iter_mut().for_each(|conjunction| conjunction.exact = false);
        self
    }

    /// What is given for every row needs no other way to be given.
    fn simplified(self) -> Self {
        if !self.is_open() {
            return self;
        }
        let exact = self.any.iter().any(|conjunction| conjunction.atoms.is_empty() && conjunction.exact);
        if exact { Self::always() } else { Self::open() }
    }
}

/// The terms of one rule over rows of its one stream.
#[derive(Clone, Copy, Debug)]
pub(in crate::engine) struct Terms<'a> {
    rule: &'a RulePlan,
    /// How many slots stand before those of the row: what the rule's analytic functions say, or none.
    functions: usize,
}

impl<'a> Terms<'a> {
    pub(in crate::engine) const fn new(rule: &'a RulePlan) -> Self {
        Self { rule, functions: 0 }
    }

    /// Those of a rule over what its analytic functions say, and behind it the row's own slots.
    pub(in crate::engine) fn behind_functions(rule: &'a RulePlan) -> Self {
        Self { rule, functions: rule.analytics.len() }
    }

    /// Where all those of these terms are true that cannot be undefined; the others are left open.
    pub(in crate::engine) fn all(self, terms: &[Expr], total: u32) -> Condition {
        terms.iter().enumerate().fold(Condition::always(), |all, (at, term)| {
            let one = if is_total(total, at) { self.truth(term, true) } else { Condition::open() };
            all.and(one)
        })
    }

    /// Which of these terms have a value for every row, whatever it holds, and leave nothing behind: a
    /// bit for each of the first 32.
    pub(in crate::engine) fn total(self, terms: &[Expr]) -> u32 {
        let bits = terms.iter().take(32).enumerate();
        bits.fold(0, |bits, (at, term)| bits | u32::from(self.has_value(term)) << at)
    }

    /// Whether an expression has a value, if it may be NULL, for every row: nothing in it overflows or
    /// divides, and no generator moves on.
    pub(in crate::engine) fn has_value(self, expr: &Expr) -> bool {
        use crate::model::value::DataType;
        use crate::plan::function::{Choice, Function};
        let mut total = true;
        expr.walk(&mut |part| {
            total &= match part {
                Expr::Unary(op, _) => *op == UnaryOp::Not,
                Expr::Binary(op, ..) => !matches!(
                    op,
                    BinaryOp::Add
                        | BinaryOp::Sub
                        | BinaryOp::Mul
                        | BinaryOp::Div
                        | BinaryOp::IntDiv
                        | BinaryOp::Rem
                ),
                Expr::Call(function, _) => *function == Function::Choice(Choice::Coalesce),
                Expr::Cast(_, ty, _) => *ty != DataType::Bigint,
                Expr::Prepared(..) | Expr::Unnested => false,
                Expr::Column(column) => {
                    self.rule.project.get(*column).is_some_and(|expr| self.has_value(expr))
                }
                _ => true,
            };
        });
        total
    }

    /// The slot that an expression is.
    pub(in crate::engine) fn slot(self, expr: &Expr) -> Option<u32> {
        match expr {
            Expr::Field(0, slot) => u32::try_from(slot + self.functions).ok(),
            Expr::Analytic(at) if *at < self.functions => u32::try_from(*at).ok(),
            Expr::Column(column) => self.slot(self.rule.project.get(*column)?),
            _ => None,
        }
    }

    /// The constant that an expression is.
    pub(in crate::engine) fn constant(self, expr: &'a Expr) -> Option<&'a Value> {
        match expr {
            Expr::Column(column) => self.constant(self.rule.project.get(*column)?),
            _ => self.rule.constant(expr),
        }
    }

    /// Where an expression is true, or where it is false.
    pub(in crate::engine) fn truth(self, expr: &'a Expr, wanted: bool) -> Condition {
        if let Some(value) = self.constant(expr) {
            let is = matches!(value, Value::Bool(b) if *b == wanted);
            return if is { Condition::always() } else { Condition::never() };
        }
        if let Some(slot) = self.slot(expr) {
            return Condition::atom(slot, Test::Compare(BinaryOp::Eq, Value::Bool(wanted)));
        }
        match expr {
            Expr::Column(column) => {
                self.rule.project.get(*column).map_or_else(Condition::open, |expr| self.truth(expr, wanted))
            }
            Expr::Unary(UnaryOp::Not, a) => self.truth(a, !wanted),
            Expr::And(terms) if wanted => self.every(terms, true),
            Expr::And(terms) => self.some(terms, false),
            Expr::Or(terms) if wanted => self.some(terms, true),
            Expr::Or(terms) => self.every(terms, false),
            Expr::IsNull(a) => match (self.slot(a), self.constant(a)) {
                (Some(slot), _) => Condition::atom(slot, if wanted { Test::Null } else { Test::NotNull }),
                (None, Some(value)) if value.is_null() == wanted => Condition::always(),
                (None, Some(_)) => Condition::never(),
                (None, None) => Condition::open(),
            },
            Expr::IsBool(a, expected) if wanted => self.truth(a, *expected),
            Expr::Binary(op, a, b) => self.compared(*op, a, b, wanted),
            Expr::In(a, list) => self.among(a, list, wanted),
            Expr::Like { text, pattern, escape } if wanted => self.like(text, pattern, *escape),
            _ => Condition::open(),
        }
    }

    fn every(self, terms: &'a [Expr], wanted: bool) -> Condition {
        terms.iter().fold(Condition::always(), |all, term| all.and(self.truth(term, wanted)))
    }

    fn some(self, terms: &'a [Expr], wanted: bool) -> Condition {
        terms.iter().fold(Condition::never(), |any, term| any.or(self.truth(term, wanted)))
    }

    fn compared(self, op: BinaryOp, a: &'a Expr, b: &'a Expr, wanted: bool) -> Condition {
        let (slot, constant, op) = match (self.slot(a), self.constant(b), self.constant(a), self.slot(b)) {
            (Some(slot), Some(constant), ..) => (slot, constant, op),
            (_, _, Some(constant), Some(slot)) => (slot, constant, op.turned()),
            _ => return Condition::open(),
        };
        let Some(op) = (if wanted { Some(op) } else { negated(op) }) else { return Condition::open() };
        if negated(op).is_none() {
            return Condition::open();
        }
        match constant {
            Value::Null => Condition::never(),
            value if is_scalar(value) => Condition::atom(slot, Test::Compare(op, value.clone())),
            _ => Condition::open(),
        }
    }

    fn among(self, a: &'a Expr, list: &'a [Expr], wanted: bool) -> Condition {
        let constants: Option<Vec<&Value>> = list.iter().map(|item| self.constant(item)).collect();
        let (Some(slot), Some(constants)) = (self.slot(a), constants) else { return Condition::open() };
        if !constants.iter().all(|value| value.is_null() || is_scalar(value)) {
            return Condition::open();
        }
        if !wanted {
            // NOT IN is never true where the list holds NULL.
            let unequal = |value: &Value| match value {
                Value::Null => Condition::never(),
                value => Condition::atom(slot, Test::Compare(BinaryOp::Ne, value.clone())),
            };
            return constants.into_iter().fold(Condition::always(), |all, value| all.and(unequal(value)));
        }
        let mut values: Vec<Value> = Vec::new();
        for value in constants {
            if !value.is_null() && (list.len() > MAX_CONJUNCTIONS || !values.contains(value)) {
                values.push(value.clone());
            }
        }
        if values.len() > MAX_CONJUNCTIONS {
            return Condition::atom(slot, Test::Among(values.into()));
        }
        let equal = |value: Value| Atom { slot, test: Test::Compare(BinaryOp::Eq, value) };
        let any = values.into_iter().map(|value| Conjunction { atoms: vec![equal(value)], exact: true });
        Condition { any: any.collect() }
    }

    fn like(self, text: &'a Expr, pattern: &'a Expr, escape: Option<char>) -> Condition {
        let (Some(slot), Some(Value::Str(pattern))) = (self.slot(text), self.constant(pattern)) else {
            return Condition::open();
        };
        let mut prefix = String::new();
        let mut rest = pattern.chars();
        loop {
            match rest.next() {
                None => {
                    let value = Value::Str(prefix.into());
                    return Condition::atom(slot, Test::Compare(BinaryOp::Eq, value));
                }
                Some(c) if escape == Some(c) => prefix.push(rest.next().unwrap_or(c)),
                Some('%' | '_') => break,
                Some(c) => prefix.push(c),
            }
        }
        // Behind `%` alone anything may follow; behind anything else the pattern must be asked.
        let exact = !pattern.ends_with('_') && rest.as_str().is_empty();
        let found = Condition::atom(slot, Test::Prefix(Arc::from(prefix)));
        if exact { found } else { found.loosened() }
    }
}

/// Whether the mask says so of the term.
pub(in crate::engine) const fn is_total(total: u32, at: usize) -> bool {
    at < 32 && total >> at & 1 == 1
}

/// What is true where a comparison is false; `None` for what compares nothing.
const fn negated(op: BinaryOp) -> Option<BinaryOp> {
    Some(match op {
        BinaryOp::Eq => BinaryOp::Ne,
        BinaryOp::Ne => BinaryOp::Eq,
        BinaryOp::Lt => BinaryOp::Ge,
        BinaryOp::Le => BinaryOp::Gt,
        BinaryOp::Gt => BinaryOp::Le,
        BinaryOp::Ge => BinaryOp::Lt,
        _ => return None,
    })
}
