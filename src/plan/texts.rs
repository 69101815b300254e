//! A rule set as it is read: its rules one by one, each dropped before the next, so that a set of many
//! takes no more room than its text and its plan. What is in here reads well: whatever is wrong with the
//! structure of a text was told before.

use std::borrow::Cow;

use crate::model::diagnostic::Diagnostic;
use crate::model::ruleset::Item;

use super::Limits;
use super::block::List;
use super::definition::{RuleDef, RuleSetDef, StreamDef, TableDef};
use super::file;

/// The texts of a set.
pub struct Texts<'a> {
    /// The `CREATE STREAM` statements.
    pub(super) streams: Cow<'a, [StreamDef]>,
    /// The tables.
    pub(super) tables: Cow<'a, [TableDef]>,
    rules: Rules<'a>,
}

enum Rules<'a> {
    Written(Cow<'a, [RuleDef]>),
    /// So many of a file.
    Listed(List<'a>, usize),
    /// Those among these items.
    Items(&'a [Item], usize),
}

impl From<RuleSetDef> for Texts<'_> {
    fn from(def: RuleSetDef) -> Self {
        let rules = Rules::Written(Cow::Owned(def.rules));
        Self { streams: Cow::Owned(def.streams), tables: Cow::Owned(def.tables), rules }
    }
}

impl<'a> From<&'a RuleSetDef> for Texts<'a> {
    fn from(def: &'a RuleSetDef) -> Self {
        let rules = Rules::Written(Cow::Borrowed(&def.rules));
        Self { streams: Cow::Borrowed(&def.streams), tables: Cow::Borrowed(&def.tables), rules }
    }
}

impl<'a> Texts<'a> {
    /// Those of a rule file.
    ///
    /// # Errors
    /// All that is wrong with its structure, in the order of the file.
    pub fn of_file(yaml: &'a str, limits: &Limits) -> Result<Self, Vec<Diagnostic>> {
        file::texts(yaml, limits)
    }

    /// Those that these items make.
    ///
    /// # Errors
    /// As [`RuleSetDef::from_items`].
    pub fn of_items(items: &'a [Item]) -> Result<Self, Vec<Diagnostic>> {
        file::texts_of(items)
    }

    /// Of a file with such rules, so many of them.
    pub(super) fn listed(def: RuleSetDef, rules: Option<List<'a>>, count: usize) -> Self {
        let none = || Rules::Written(Cow::Borrowed(&[]));
        Self { rules: rules.map_or_else(none, |list| Rules::Listed(list, count)), ..Self::from(def) }
    }

    /// Of items, among which so many rules are.
    pub(super) fn items(def: RuleSetDef, items: &'a [Item], count: usize) -> Self {
        Self { rules: Rules::Items(items, count), ..Self::from(def) }
    }

    /// How many rules there are.
    pub fn rules(&self) -> usize {
        match &self.rules {
            Rules::Written(rules) => rules.len(),
            Rules::Listed(_, count) | Rules::Items(_, count) => *count,
        }
    }

    /// Shows each rule, in the order of the set.
    pub(super) fn each_rule(&self, mut take: impl FnMut(&RuleDef)) {
        match &self.rules {
            Rules::Written(rules) => rules.iter().for_each(take),
            Rules::Listed(list, _) => {
                (1..)
                    .zip(list.clone())
                    .filter_map(|(n, member)| file::listed(&member, n))
                    .for_each(|rule| take(&rule));
            }
            Rules::Items(items, _) => items.iter().filter_map(file::rule_of).for_each(|rule| take(&rule)),
        }
    }

    /// Shows each item that they make: streams first, then tables, then rules, each in the order of the set.
    pub fn each_item(&self, mut take: impl FnMut(&Item)) {
        if let Rules::Items(items, _) = &self.rules {
            return items.iter().for_each(take);
        }
        self.streams.iter().map(StreamDef::item).for_each(|item| take(&item));
        self.tables.iter().map(TableDef::item).for_each(|item| take(&item));
        self.each_rule(|rule| take(&rule.item()));
    }

    /// All of them.
    pub(super) fn into_def(self) -> RuleSetDef {
        let mut rules = Vec::with_capacity(self.rules());
        self.each_rule(|rule| rules.push(rule.clone()));
        RuleSetDef { streams: self.streams.into_owned(), tables: self.tables.into_owned(), rules }
    }
}
