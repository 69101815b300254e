//! A rule set as written: texts, not yet understood. Turns into items and back; the same set gives
//! the same items however its file was laid out.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use crate::model::diagnostic::Diagnostic;
use crate::model::ruleset::{Item, ItemKind};

use super::file;
use super::text::Text;

/// A rule set as written.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct RuleSetDef {
    /// The `CREATE STREAM` statements.
    pub streams: Vec<StreamDef>,
    /// The rules, in the order of the file.
    pub rules: Vec<RuleDef>,
}

/// A stream as written.
#[derive(Clone, Debug, PartialEq)]
pub struct StreamDef {
    /// Its name, or `#1` for the first one of a set where the statement tells none.
    pub name: String,
    /// The statement.
    pub sql: Text,
}

/// A rule as written: only the fields that are there.
#[derive(Clone, Debug, PartialEq)]
pub struct RuleDef {
    /// Its id.
    pub id: Text,
    /// Its query.
    pub sql: Text,
    /// The condition that raises.
    pub when: Option<Text>,
    /// The condition that lowers.
    pub clear: Option<Text>,
    /// How long `when` must hold.
    pub for_: Option<Text>,
    /// How long the alert stays up after it cleared.
    pub keep_firing_for: Option<Text>,
    /// The span of de-duplication of a rule without `when`.
    pub repeat: Option<Text>,
    /// Free text; `warning` where absent.
    pub severity: Option<Text>,
    /// Names and values.
    pub labels: Vec<(Text, Text)>,
    /// Names and templates.
    pub annotations: Vec<(Text, Text)>,
    /// The key columns, where the rule names them.
    pub key: Option<Vec<Text>>,
}

impl RuleSetDef {
    /// The set as content-addressed items: streams first, then rules, each in the order of the
    /// file.
    pub fn items(&self) -> Vec<Item> {
        let stream = |def: &StreamDef| Item {
            kind: ItemKind::Stream,
            name: def.name.as_str().into(),
            body: def.sql.as_str().trim().into(),
        };
        self.streams.iter().map(stream).chain(self.rules.iter().map(RuleDef::item)).collect()
    }

    /// The set that these items make.
    ///
    /// # Errors
    /// What is wrong with the items themselves; what their texts say is for
    /// [`compile`](super::compile).
    pub fn from_items(items: &[Item]) -> Result<Self, Vec<Diagnostic>> {
        file::from_items(items)
    }
}

impl RuleDef {
    /// The rule as an item. Its body is JSON with sorted members.
    pub fn item(&self) -> Item {
        let text = |text: &Text| Json::from(text.as_str().trim());
        let pairs = |pairs: &[(Text, Text)]| {
            let sorted: BTreeMap<&str, &str> = pairs.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
            Json::Object(sorted.into_iter().map(|(k, v)| (k.to_owned(), Json::from(v))).collect())
        };
        let mut members: BTreeMap<&str, Json> = BTreeMap::new();
        members.insert("id", text(&self.id));
        members.insert("sql", text(&self.sql));
        let optional = [
            ("when", &self.when),
            ("clear", &self.clear),
            ("for", &self.for_),
            ("keep_firing_for", &self.keep_firing_for),
            ("repeat", &self.repeat),
            ("severity", &self.severity),
        ];
        members.extend(optional.into_iter().filter_map(|(name, field)| Some((name, text(field.as_ref()?)))));
        if !self.labels.is_empty() {
            members.insert("labels", pairs(&self.labels));
        }
        if !self.annotations.is_empty() {
            members.insert("annotations", pairs(&self.annotations));
        }
        if let Some(key) = &self.key {
            members.insert("key", Json::Array(key.iter().map(text).collect()));
        }
        let body = Json::Object(members.into_iter().map(|(k, v)| (k.to_owned(), v)).collect()).to_string();
        Item { kind: ItemKind::Rule, name: self.id.as_str().into(), body: body.into() }
    }
}
