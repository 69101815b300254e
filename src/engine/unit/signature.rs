//! Which rules may share: those that make the same of every row up to the end of their window.
//!
//! A rule shares with nobody if what it gives out comes back into what it remembers, or if its expressions
//! draw from the rule's own sequence of random numbers, or if a closed window can make more rows than
//! it has groups or rows: the ceiling of those is the rule's own.

use std::fmt::{self, Debug, Write};

use crate::engine::Context;
use crate::plan::function::{Encode, Function, Math};
use crate::plan::logical::{Analytic, AnalyticFunction, Expr, RulePlan, Window};

/// A hash of all that two rules must have in common to share; `None` where a rule shares with nobody.
/// Rules of one signature are alike only if [`alike`] says so too.
pub(super) fn signature(ctx: Context<'_>) -> Option<u64> {
    if !ctx.config.share || !may_share(ctx.rule) {
        return None;
    }
    let rule = ctx.rule.whole();
    let window = rule.window.as_ref()?;
    let mut hash = Hash(0xcbf2_9ce4_8422_2325);
    let all = (&rule.from, &rule.analytics, &rule.filter, parts(window));
    write!(hash, "{all:?}").ok()?;
    Some(hash.0)
}

/// Whether two rules of one signature make the same of every row.
pub(super) fn alike(a: &RulePlan, b: &RulePlan) -> bool {
    let (a, b) = (a.whole(), b.whole());
    let windows = match (&a.window, &b.window) {
        (Some(a), Some(b)) => parts(a) == parts(b),
        _ => false,
    };
    windows && a.from == b.from && a.analytics == b.analytics && a.filter == b.filter
}

/// All of a window but HAVING.
fn parts(window: &Window) -> impl Debug + PartialEq + '_ {
    let Window { kind, filter, gives, group, aggregates, analytics, having: _, by_key } = window;
    (kind, filter, gives, group, aggregates, analytics, by_key)
}

fn may_share(rule: &RulePlan) -> bool {
    let Some(window) = &rule.window else { return false };
    let hears_back = |analytic: &Analytic| {
        matches!(analytic.function, AnalyticFunction::LastHitCount | AnalyticFunction::LastHitTime)
    };
    !rule.from.at_close
        && rule.unnest.is_none()
        && !rule.analytics.iter().chain(&window.analytics).any(hears_back)
        && !expressions(rule, window).any(draws)
}

/// Whether an expression draws random numbers.
fn draws(expr: &Expr) -> bool {
    let mut draws = false;
    expr.walk(&mut |part| {
        if let Expr::Call(function, _) | Expr::Prepared(function, ..) = part {
            draws |= matches!(function, Function::Math(Math::Rand) | Function::Encode(Encode::NewUuid));
        }
    });
    draws
}

/// All expressions of a rule.
fn expressions<'r>(rule: &'r RulePlan, window: &'r Window) -> impl Iterator<Item = &'r Expr> {
    use crate::plan::logical::WindowKind as K;
    let kind: Vec<&Expr> = match &window.kind {
        K::Sliding { trigger, .. } => trigger.iter().collect(),
        K::State { begin, end, partition } => [begin].into_iter().chain(end).chain(partition).collect(),
        K::Tumbling { .. } | K::Hopping { .. } | K::Session { .. } | K::Count { .. } => Vec::new(),
    };
    let joins = rule.from.joins.iter().filter_map(|join| join.on.as_ref());
    let analytics = rule.analytics.iter().chain(&window.analytics);
    let analytics = analytics.flat_map(|a| a.args.iter().chain(&a.partition).chain(&a.when));
    let aggregates = window.aggregates.iter().flat_map(|a| a.args.iter().chain(&a.filter));
    let order = rule.arrange.iter().flat_map(|arrange| arrange.order.iter().map(|(expr, _)| expr));
    let rows = rule.filter.iter().chain(&window.filter).chain(&window.group);
    let output = rule.project.iter().chain(&rule.key).chain(&window.having);
    let judged = rule.when.iter().chain(&rule.clear);
    rows.chain(output).chain(judged).chain(joins).chain(analytics).chain(aggregates).chain(order).chain(kind)
}

/// FNV-1a over what is written, which is never kept.
struct Hash(u64);

impl Write for Hash {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        Ok(())
    }
}
