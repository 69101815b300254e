//! Rules by the thousand come from a template: they differ in literals alone. The first two of a
//! [skeleton](super::skeleton) are planned; the second once more with literals of its own, which shows
//! where in the plan each of them goes, and that nothing else depends on them. The others are cast.

use std::collections::{BTreeMap, HashMap};
use std::mem::discriminant;
use std::sync::Arc;

use crate::model::value::Value;

use super::definition::RuleDef;
use super::logical::RulePlan;
use super::skeleton::Skeleton;

/// What is known of each skeleton.
#[derive(Debug, Default)]
pub(super) struct Moulds {
    known: HashMap<String, Mould>,
}

#[derive(Debug)]
enum Mould {
    /// A rule of it was planned, from these literals.
    Once(Box<(RulePlan, Vec<Value>)>),
    /// What rules of it are cast from.
    Ready(Box<Cast>),
    /// Where its literals go cannot be told: each rule of it is planned.
    Never,
}

/// A rule, and which of its constants stand for which literals.
#[derive(Debug)]
pub(super) struct Cast {
    rule: RulePlan,
    /// For each literal the constants that it is.
    places: Vec<Vec<usize>>,
    /// What the hash of the state goes on with behind the query.
    declared: String,
}

/// What can be had of a skeleton.
pub(super) enum Known<'a> {
    /// Nothing: plan the rule, and tell of it.
    No,
    /// This rule was planned: plan one with its labels and [`trial`] literals, and tell of it.
    Once(&'a RulePlan),
    /// This.
    Cast(&'a Cast),
}

impl Moulds {
    pub(super) fn find(&self, skeleton: &Skeleton) -> Known<'_> {
        match self.known.get(&skeleton.text) {
            Some(Mould::Ready(cast)) => Known::Cast(cast),
            Some(Mould::Once(once)) => Known::Once(&once.0),
            Some(Mould::Never) | None => Known::No,
        }
    }

    /// A rule of this skeleton was planned, without a finding.
    pub(super) fn planned(&mut self, skeleton: Skeleton, rule: &RulePlan) {
        if !skeleton.literals.is_empty() {
            let Skeleton { text, literals } = skeleton;
            self.known.entry(text).or_insert_with(|| Mould::Once(Box::new((rule.clone(), literals))));
        }
    }

    /// The rule with trial literals was planned; `None` where that gave a finding.
    pub(super) fn tried(
        &mut self,
        skeleton: &Skeleton,
        trial: Option<(&RulePlan, &[Value])>,
        declared: String,
    ) {
        let Some(mould) = self.known.get_mut(&skeleton.text) else { return };
        let Mould::Once(once) = std::mem::replace(mould, Mould::Never) else { return };
        let (rule, literals) = *once;
        let places = trial.and_then(|(trial, tried)| places(&rule, &literals, trial, tried));
        if let Some(places) = places {
            *mould = Mould::Ready(Box::new(Cast { rule, places, declared }));
        }
    }
}

/// Literals of the same kinds that no rule has.
pub(super) fn trial(literals: &[Value]) -> Vec<Value> {
    let unusual = |at: usize| 7_000_000_019 + i64::try_from(at).unwrap_or(0);
    let other = |(at, value): (usize, &Value)| match value {
        Value::Int(_) => Value::Int(unusual(at)),
        #[expect(clippy::cast_precision_loss, reason = "far below what a float tells apart")]
        Value::Float(_) => Value::Float(unusual(at) as f64 + 0.5),
        _ => Value::str(&format!("a literal that no rule has, {}", unusual(at))),
    };
    literals.iter().enumerate().map(other).collect()
}

/// Which constants are which literals, where the two plans differ in nothing else.
fn places(rule: &RulePlan, literals: &[Value], trial: &RulePlan, tried: &[Value]) -> Option<Vec<Vec<usize>>> {
    // Shapes that are equal are one by now.
    let alike = Arc::ptr_eq(&rule.shape, &trial.shape) && Arc::ptr_eq(&rule.alert.shape, &trial.alert.shape);
    if !alike || rule.params.len() != trial.params.len() || literals.len() != tried.len() {
        return None;
    }
    let mut places = vec![Vec::new(); literals.len()];
    for (at, (own, other)) in rule.params.iter().zip(trial.params.iter()).enumerate() {
        match tried.iter().position(|value| same(value, other)) {
            Some(literal) if same(own, &literals[literal]) => places[literal].push(at),
            None if same(own, other) => {}
            _ => return None,
        }
    }
    places.iter().all(|those| !those.is_empty()).then_some(places)
}

/// Not only equal: 1 and 1.0 are two.
fn same(a: &Value, b: &Value) -> bool {
    discriminant(a) == discriminant(b) && a == b
}

impl Cast {
    /// The constants of a rule with these literals.
    pub(super) fn params(&self, literals: Vec<Value>) -> Vec<Value> {
        let mut params = self.rule.params.to_vec();
        for (value, places) in literals.into_iter().zip(&self.places) {
            for at in places {
                if let Some(param) = params.get_mut(*at) {
                    *param = value.clone();
                }
            }
        }
        params
    }

    /// The rule that this was made of.
    pub(super) const fn rule(&self) -> &RulePlan {
        &self.rule
    }

    /// What the hash of the state goes on with behind the query.
    pub(super) fn declared(&self) -> &str {
        &self.declared
    }

    /// Whether a rule's labels are those of the rule that this was made of.
    pub(super) fn has_labels(&self, def: &RuleDef) -> bool {
        let own: BTreeMap<&str, &str> =
            self.rule.alert.labels.iter().map(|(name, value)| (&**name, &**value)).collect();
        own.len() == def.labels.len()
            && def.labels.iter().all(|(name, value)| own.get(name.as_str()) == Some(&value.as_str()))
    }
}
