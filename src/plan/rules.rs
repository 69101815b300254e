//! The rules of a plan, by their places. They lie in blocks, so that a plan shares with the version before
//! it what did not change; and the ids and constants of a block lie together, since there may be a
//! great many.

use std::fmt;
use std::ops::{Deref, Index};
use std::sync::Arc;

use crate::model::name::Name;
use crate::model::value::Value;

use super::shape::RulePlan;

/// How many rules a block has; the last one of a plan may have fewer.
const BLOCK: usize = 64;

/// The constants of a rule.
#[derive(Clone, Default)]
pub struct Params {
    /// Those of many rules; a thin pointer, as there are many.
    all: Arc<Vec<Value>>,
    at: u32,
    len: u32,
}

impl Deref for Params {
    type Target = [Value];

    #[inline]
    fn deref(&self) -> &[Value] {
        let at = self.at as usize;
        self.all.get(at..at + self.len as usize).unwrap_or_default()
    }
}

impl From<Vec<Value>> for Params {
    fn from(values: Vec<Value>) -> Self {
        let len = u32::try_from(values.len()).unwrap_or(0);
        Self { all: Arc::new(values), at: 0, len }
    }
}

impl PartialEq for Params {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl fmt::Debug for Params {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

/// Rules, each in its place.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    blocks: Vec<Arc<[RulePlan]>>,
}

impl Rules {
    /// How many places there are.
    pub fn len(&self) -> usize {
        let last = self.blocks.last().map_or(0, |block| block.len());
        self.blocks.len().saturating_sub(1) * BLOCK + last
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }

    /// The rule at a place.
    #[inline]
    pub fn get(&self, at: usize) -> Option<&RulePlan> {
        self.blocks.get(at / BLOCK)?.get(at % BLOCK)
    }

    /// The first one.
    pub fn first(&self) -> Option<&RulePlan> {
        self.get(0)
    }

    /// All of them, in the order of their places.
    pub fn iter(&self) -> impl Iterator<Item = &RulePlan> + Clone {
        self.blocks.iter().flat_map(|block| block.iter())
    }

    /// Changes every one of them.
    pub(super) fn each_mut(&mut self, mut change: impl FnMut(&mut RulePlan)) {
        for block in &mut self.blocks {
            let mut rules = block.to_vec();
            rules.iter_mut().for_each(&mut change);
            *block = rules.into();
        }
    }

    /// The same with other rules in some places, which are given in ascending order; behind the last one
    /// further ones follow.
    pub(super) fn with(&self, rules: impl Iterator<Item = (usize, RulePlan)>) -> Self {
        let mut rules = rules.peekable();
        let mut blocks = Vec::with_capacity(self.blocks.len());
        let mut further = Gathering::default();
        for (place, block) in self.blocks.iter().enumerate() {
            let (begin, last) = (place * BLOCK, place + 1 == self.blocks.len());
            let end = begin + block.len();
            if rules.peek().is_none_or(|(at, _)| *at >= end && !(last && block.len() < BLOCK)) {
                blocks.push(block.clone());
                continue;
            }
            let mut own = block.to_vec();
            while let Some((at, rule)) = rules.next_if(|(at, _)| *at < end) {
                own[at - begin] = rule;
            }
            if last {
                further.open = own;
            } else {
                blocks.push(pack(own));
            }
        }
        rules.for_each(|(_, rule)| further.push(rule));
        blocks.extend(further.finish().blocks);
        Self { blocks }
    }
}

impl Index<usize> for Rules {
    type Output = RulePlan;

    #[inline]
    fn index(&self, at: usize) -> &RulePlan {
        &self.blocks[at / BLOCK][at % BLOCK]
    }
}

impl PartialEq for Rules {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.iter().eq(other.iter())
    }
}

impl FromIterator<RulePlan> for Rules {
    fn from_iter<I: IntoIterator<Item = RulePlan>>(rules: I) -> Self {
        let mut gathering = Gathering::default();
        rules.into_iter().for_each(|rule| gathering.push(rule));
        gathering.finish()
    }
}

/// Rules that come one by one.
#[derive(Debug, Default)]
pub(super) struct Gathering {
    done: Vec<Arc<[RulePlan]>>,
    open: Vec<RulePlan>,
}

impl Gathering {
    /// Takes the next one.
    pub(super) fn push(&mut self, rule: RulePlan) {
        if self.open.len() == BLOCK {
            self.done.push(pack(std::mem::take(&mut self.open)));
        }
        self.open.push(rule);
    }

    /// All of them.
    pub(super) fn finish(mut self) -> Rules {
        if !self.open.is_empty() {
            self.done.push(pack(self.open));
        }
        Rules { blocks: self.done }
    }
}

/// A block, in which ids lie together, and constants.
fn pack(mut rules: Vec<RulePlan>) -> Arc<[RulePlan]> {
    let constants = rules.iter().map(|rule| rule.params.len()).sum();
    let mut all = Vec::with_capacity(constants);
    rules.iter().for_each(|rule| all.extend_from_slice(&rule.params));
    let (all, mut at) = (Arc::new(all), 0);
    let ids: Vec<Name> = Name::together(rules.iter().map(|rule| &*rule.alert.rule)).collect();
    for (rule, id) in rules.iter_mut().zip(ids) {
        rule.alert.rule = id;
        let len = rule.params.len;
        rule.params = Params { all: all.clone(), at, len };
        at += len;
    }
    rules.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(n: usize) -> RulePlan {
        let mut rule = RulePlan::vacant();
        rule.alert.rule = format!("r{n}").into();
        rule.params = vec![Value::Int(i64::try_from(n).unwrap()); n % 3].into();
        rule
    }

    #[test]
    fn rules_stand_where_they_were_put() {
        for count in [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK] {
            let rules: Rules = (0..count).map(rule).collect();
            assert_eq!((rules.len(), rules.is_empty()), (count, count == 0));
            assert!(rules.iter().eq(&(0..count).map(rule).collect::<Vec<_>>()));
            assert!((0..count).all(|at| rules[at] == rule(at)) && rules.get(count).is_none());
            for further in [0, 1, BLOCK + 3] {
                let others = (0..count).step_by(5).chain(count..count + further);
                let next = rules.with(others.map(|at| (at, rule(1_000 + at))));
                assert_eq!(next.len(), count + further);
                for (at, found) in next.iter().enumerate() {
                    let other = at % 5 == 0 || at >= count;
                    assert_eq!(*found, rule(if other { 1_000 + at } else { at }), "{at}");
                }
            }
        }
    }

    #[test]
    fn what_stays_is_shared() {
        let rules: Rules = (0..3 * BLOCK).map(rule).collect();
        let next = rules.with(std::iter::once((BLOCK, rule(1))));
        let same: Vec<bool> = rules.blocks.iter().zip(&next.blocks).map(|(a, b)| Arc::ptr_eq(a, b)).collect();
        assert_eq!(same, [true, false, true]);
    }
}
