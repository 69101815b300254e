//! Which rules may share: those that make the same of every row up to the end of their window, and, where
//! windows are put together from slices, also those whose windows differ only in length, hop and aggregates; and
//! without a window those that look back by the same functions.
//!
//! A rule shares with nobody if what it gives out comes back into what it remembers, or if its expressions
//! draw from the rule's own sequence of random numbers, or if a closed window can make more rows than
//! it has groups or rows: the ceiling of those is the rule's own.

use std::fmt::{self, Debug, Write};
use std::time::Duration;

use crate::engine::Context;
use crate::engine::aggregate::Partial;
use crate::engine::gate::{Gate, skips_retained};
use crate::engine::op::{measures_of, mode, slice};
use crate::engine::watermark::Mode;
use crate::plan::function::{Encode, Function, Math};
use crate::plan::logical::{Analytic, AnalyticFunction, Expr, Gives, RulePlan, Window};

/// All that two rules must have in common to share.
#[derive(Debug)]
pub(super) struct Signature {
    hash: u64,
    /// The rule, its constants in their places.
    rule: RulePlan,
    kind: Kind,
}

/// What two windows must have in common of their kinds.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    /// All of it.
    Same,
    /// That they are aligned, over slices.
    Sliced,
    /// The same, and for how long a silent key holds the others up.
    Waiting(Duration),
    /// That there is none, and whether retained rows count.
    Windowless { retained: bool },
}

impl Signature {
    /// That of a rule; `None` where it shares with nobody.
    pub(super) fn new(ctx: Context<'_>) -> Option<Self> {
        if !ctx.config.share {
            return None;
        }
        let kind = Kind::new(ctx)?;
        let rule = ctx.rule.whole();
        let mut hash = Hash(0xcbf2_9ce4_8422_2325);
        write!(hash, "{:?}", (&rule.from, &rule.analytics, kind)).ok()?;
        if let Some(window) = &rule.window {
            write!(hash, "{:?}", (&rule.filter, kind.parts(window))).ok()?;
        }
        Some(Self { hash: hash.0, rule, kind })
    }

    /// The same for rules that may share, and hardly for others.
    pub(super) fn hash(&self) -> u64 {
        self.hash
    }

    /// Whether rules may differ in their aggregates and still share.
    pub(super) fn takes_any_aggregates(&self) -> bool {
        matches!(self.kind, Kind::Sliced | Kind::Waiting(_))
    }

    /// Whether two rules make the same of every row.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        let (a, b) = (&self.rule, &other.rule);
        let windows = match (&a.window, &b.window) {
            (Some(of_a), Some(of_b)) => {
                self.kind.parts(of_a) == self.kind.parts(of_b)
                    && (self.kind != Kind::Same || of_a.kind == of_b.kind)
                    && a.filter == b.filter
            }
            (None, None) => true,
            _ => false,
        };
        self.kind == other.kind && windows && a.from == b.from && a.analytics == b.analytics
    }
}

impl Kind {
    fn new(ctx: Context<'_>) -> Option<Self> {
        let Some(window) = &ctx.rule.window else {
            let recalls = Gate::new(ctx.plan, ctx.rule, ctx.config).recalls();
            return recalls.then(|| Self::Windowless { retained: !skips_retained(ctx.rule) });
        };
        if !may_share(ctx.rule) {
            return None;
        }
        let measures =
            measures_of(ctx.rule).filter(|_| is_sliceable(ctx.rule) && window.analytics.is_empty());
        Some(match (measures, mode(ctx)) {
            (Some(_), Mode::Own | Mode::Arrival) => Self::Sliced,
            (Some((length, _)), Mode::Slowest) => {
                Self::Waiting(ctx.idle_for(Duration::from_micros(length.unsigned_abs())))
            }
            (None, _) => Self::Same,
        })
    }

    /// All of a window but its kind and HAVING; and where it is put together from slices, its aggregates.
    fn parts(self, window: &Window) -> impl Debug + PartialEq + '_ {
        let Window { kind: _, filter, gives, group, aggregates, analytics, having: _, by_key } = window;
        (filter, gives, group, (self == Self::Same).then_some(aggregates), analytics, by_key)
    }
}

/// Whether a rule's windows can be put together from slices.
pub(in crate::engine) fn is_sliceable(rule: &RulePlan) -> bool {
    let Some(window) = &rule.window else { return false };
    measures_of(rule).is_some()
        && window.gives == Gives::Groups
        && rule.from.joins.is_empty()
        && window.aggregates.iter().all(Partial::takes)
        && may_share(rule)
}

/// The most slices in a window, beyond those that its own length and hop ask for.
const SLICES: i64 = 64;

/// Whether windows of these lengths and hops should be put together from the same slices: not if those
/// became too narrow for one of them.
pub(super) fn fit(all: &[(i64, i64)]) -> bool {
    let width = slice(all.iter().copied());
    all.len() <= 256 && all.iter().all(|own| own.0 / width <= SLICES.max(4 * own.0 / slice([*own])))
}

/// The most aggregates that rules may have between them and still share: all of them take room in each
/// slice, whoever asks for them.
const AGGREGATES: usize = 16;

/// Whether rules with these aggregates, of which one rule has so many, should share.
pub(super) fn is_small(all: usize, own: usize) -> bool {
    all <= AGGREGATES.max(own)
}

fn may_share(rule: &RulePlan) -> bool {
    let Some(window) = &rule.window else { return false };
    !rule.from.at_close
        && rule.unnest.is_none()
        && !rule.analytics.iter().chain(&window.analytics).any(hears_back)
        && !expressions(rule, window).any(draws)
}

/// Whether what a rule gives out comes back into what the function remembers.
pub(in crate::engine) fn hears_back(analytic: &Analytic) -> bool {
    matches!(analytic.function, AnalyticFunction::LastHitCount | AnalyticFunction::LastHitTime)
}

/// Whether an expression draws random numbers.
pub(in crate::engine) fn draws(expr: &Expr) -> bool {
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
