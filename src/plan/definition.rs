//! A rule set as written: texts, not yet understood. Turns into items and back; the same set gives
//! the same items however its file was laid out.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value as Json;

use crate::model::diagnostic::{Diagnostic, Place};
use crate::model::ruleset::{Item, ItemKind};

use super::text::Text;
use super::texts::Texts;

/// A rule set as written.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct RuleSetDef {
    /// The `CREATE STREAM` statements.
    pub streams: Vec<StreamDef>,
    /// The tables, in the order of the file.
    pub tables: Vec<TableDef>,
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

/// A table as written.
#[derive(Clone, Debug, PartialEq)]
pub struct TableDef {
    /// Its name, or `#1` for the first one of a set where nothing tells one.
    pub name: String,
    /// What it holds.
    pub body: TableBody,
}

/// The two ways to write a table.
#[derive(Clone, Debug, PartialEq)]
pub enum TableBody {
    /// A `CREATE TABLE` statement.
    Statement(Text),
    /// Its rows.
    Rows(RowsDef),
}

/// A table whose rows travel with the rules.
#[derive(Clone, Debug, PartialEq)]
pub struct RowsDef {
    /// Its name.
    pub name: Text,
    /// The columns that together tell its rows apart; empty where it names none.
    pub key: Vec<Text>,
    /// The types of columns, as far as it declares them: the name and the type's text.
    pub types: Vec<(Text, Text)>,
    /// All columns: the declared ones, then those of the rows in the order in which they appear.
    pub columns: Vec<Text>,
    /// The rows.
    pub rows: Vec<RowDef>,
}

/// A row as written: a value for each column, as far as it goes; null stands for none.
#[derive(Clone, Debug, PartialEq)]
pub struct RowDef {
    /// Where it begins.
    pub place: Place,
    /// What each column holds, and where.
    pub cells: Vec<(Json, Place)>,
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
    /// What happens where a key gives no data.
    pub no_data: Option<NoDataDef>,
    /// After how long a silence a key is known no more.
    pub forget: Option<Text>,
    /// The levels, in the place of `when`, `clear` and `severity`.
    pub levels: Vec<LevelDef>,
    /// How many observations in a row raise the alert, and clear it.
    pub times: Option<Text>,
    /// From when on it flaps.
    pub flapping: Option<FlappingDef>,
    /// When the rule is in force; empty: always.
    pub active: Vec<ActiveDef>,
    /// How many of its alerts are told one by one.
    pub max_instances: Option<Text>,
    /// The alerts that explain its own.
    pub inhibited_by: Vec<InhibitorDef>,
}

/// A member of `inhibited_by` as written.
#[derive(Clone, Debug, PartialEq)]
pub struct InhibitorDef {
    /// The other rule.
    pub rule: Text,
    /// The labels that must be the same.
    pub on: Option<Vec<Text>>,
}

/// A level as written.
#[derive(Clone, Debug, PartialEq)]
pub struct LevelDef {
    /// What it is called.
    pub severity: Text,
    /// The condition that raises.
    pub when: Text,
    /// The condition that lowers.
    pub clear: Option<Text>,
}

/// `flapping` as written.
#[derive(Clone, Debug, PartialEq)]
pub enum FlappingDef {
    /// A word: `off`.
    Word(Text),
    /// So many changes within a span.
    Often {
        /// `changes`.
        changes: Option<Text>,
        /// `within`.
        within: Option<Text>,
    },
}

/// A part of `active` as written.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct ActiveDef {
    /// Days of the week, and spans of them.
    pub days: Vec<Text>,
    /// Spans of a day.
    pub hours: Vec<Text>,
    /// Dates, and spans of them.
    pub dates: Vec<Text>,
    /// Whose.
    pub zone: Option<Text>,
}

/// `no_data` as written.
#[derive(Clone, Debug, PartialEq)]
pub struct NoDataDef {
    /// After how long a silence.
    pub after: Text,
    /// `do`: what then.
    pub action: Text,
}

impl RuleSetDef {
    /// The set as content-addressed items: streams first, then tables, then rules, each in the order
    /// of the file.
    pub fn items(&self) -> Vec<Item> {
        let streams = self.streams.iter().map(StreamDef::item);
        streams
            .chain(self.tables.iter().map(TableDef::item))
            .chain(self.rules.iter().map(RuleDef::item))
            .collect()
    }

    /// The set that these items make.
    ///
    /// # Errors
    /// What is wrong with the items themselves; what their texts say is for
    /// [`compile`](super::compile).
    pub fn from_items(items: &[Item]) -> Result<Self, Vec<Diagnostic>> {
        Texts::of_items(items).map(Texts::into_def)
    }
}

impl StreamDef {
    /// The stream as an item. Its body is the statement.
    pub fn item(&self) -> Item {
        let body = self.sql.as_str().trim();
        Item { kind: ItemKind::Stream, name: self.name.as_str().into(), body: body.into() }
    }
}

impl TableDef {
    /// The table as an item. Its body is the statement, or JSON with sorted members: `columns` are
    /// names, `types` those of them that are declared, `rows` a list of values each.
    pub fn item(&self) -> Item {
        let body = match &self.body {
            TableBody::Statement(sql) => sql.as_str().trim().to_owned(),
            TableBody::Rows(def) => def.json().to_string(),
        };
        Item { kind: ItemKind::Table, name: self.name.as_str().into(), body: body.into() }
    }

    /// Whether places in it are those of a file.
    pub(super) fn is_from_file(&self) -> bool {
        match &self.body {
            TableBody::Statement(sql) => sql.is_from_file(),
            TableBody::Rows(def) => def.name.is_from_file(),
        }
    }
}

impl RowsDef {
    fn json(&self) -> Json {
        let texts = |texts: &[Text]| texts.iter().map(|text| Json::from(text.as_str())).collect();
        let types = self.types.iter().map(|(k, v)| (k.as_str().to_owned(), Json::from(v.as_str().trim())));
        let row = |row: &RowDef| {
            // Columns that first appear in a later row are as good as null in this one.
            let mut cells: Vec<Json> = row.cells.iter().map(|(value, _)| value.clone()).collect();
            cells.resize(self.columns.len(), Json::Null);
            Json::Array(cells)
        };
        let members: BTreeMap<&str, Json> = BTreeMap::from([
            ("columns", texts(&self.columns)),
            ("key", texts(&self.key)),
            ("name", Json::from(self.name.as_str())),
            ("rows", self.rows.iter().map(row).collect()),
            ("types", Json::Object(types.collect())),
        ]);
        Json::Object(members.into_iter().map(|(k, v)| (k.to_owned(), v)).collect())
    }
}

impl RuleDef {
    /// A rule with nothing but its query.
    pub fn new(id: Text, sql: Text) -> Self {
        Self {
            id,
            sql,
            when: None,
            clear: None,
            for_: None,
            keep_firing_for: None,
            repeat: None,
            severity: None,
            labels: Vec::new(),
            annotations: Vec::new(),
            key: None,
            no_data: None,
            forget: None,
            levels: Vec::new(),
            times: None,
            flapping: None,
            active: Vec::new(),
            max_instances: None,
            inhibited_by: Vec::new(),
        }
    }

    /// Whether it has a condition, and so its alerts have states.
    pub(super) fn is_state(&self) -> bool {
        self.when.is_some() || !self.levels.is_empty()
    }

    /// Reads a body as [`Self::item`] writes it; `None` where it is any other.
    pub(super) fn from_body(body: &str) -> Option<Self> {
        let read: Read<'_> = serde_json::from_str(body).ok()?;
        let text = |text: Cow<'_, str>| Text::own(text);
        let pairs = |pairs: BTreeMap<Cow<'_, str>, Cow<'_, str>>| {
            pairs.into_iter().map(|(name, value)| (text(name), text(value))).collect()
        };
        let level = |level: Level<'_>| LevelDef {
            severity: text(level.severity),
            when: text(level.when),
            clear: level.clear.map(text),
        };
        let texts = |texts: Vec<Cow<'_, str>>| texts.into_iter().map(text).collect();
        let active = |part: Active<'_>| ActiveDef {
            days: texts(part.days),
            hours: texts(part.hours),
            dates: texts(part.dates),
            zone: part.zone.map(text),
        };
        Some(Self {
            id: text(read.id),
            sql: text(read.sql),
            when: read.when.map(text),
            clear: read.clear.map(text),
            for_: read.for_.map(text),
            keep_firing_for: read.keep_firing_for.map(text),
            repeat: read.repeat.map(text),
            severity: read.severity.map(text),
            labels: pairs(read.labels),
            annotations: pairs(read.annotations),
            key: read.key.map(|key| key.into_iter().map(text).collect()),
            no_data: read
                .no_data
                .map(|said| NoDataDef { after: text(said.after), action: text(said.action) }),
            forget: read.forget.map(text),
            levels: read.levels.into_iter().map(level).collect(),
            times: read.times.map(text),
            flapping: read.flapping.map(|flapping| match flapping {
                Often::Word(word) => FlappingDef::Word(text(word)),
                Often::Set { changes, within } => {
                    FlappingDef::Often { changes: changes.map(text), within: within.map(text) }
                }
            }),
            active: read.active.into_iter().map(active).collect(),
            max_instances: read.max_instances.map(text),
            inhibited_by: read
                .inhibited_by
                .into_iter()
                .map(|by| InhibitorDef { rule: text(by.rule), on: by.on.map(texts) })
                .collect(),
        })
    }

    /// The rule as an item. Its body is JSON with sorted members.
    pub fn item(&self) -> Item {
        fn text(text: &Option<Text>) -> Option<&str> {
            text.as_ref().map(|text| text.as_str().trim())
        }
        // Of two of one name the later one counts.
        fn pairs(pairs: &[(Text, Text)]) -> BTreeMap<&str, &str> {
            pairs.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect()
        }
        fn own(text: &Text) -> Cow<'_, str> {
            text.as_str().trim().into()
        }
        let texts =
            |texts: &[Text]| -> Vec<String> { texts.iter().map(|text| own(text).into_owned()).collect() };
        let level = |level: &'_ LevelDef| Level {
            severity: own(&level.severity).into_owned().into(),
            when: own(&level.when).into_owned().into(),
            clear: level.clear.as_ref().map(|clear| own(clear).into_owned().into()),
        };
        let active = |part: &ActiveDef| Active {
            days: texts(&part.days).into_iter().map(Into::into).collect(),
            hours: texts(&part.hours).into_iter().map(Into::into).collect(),
            dates: texts(&part.dates).into_iter().map(Into::into).collect(),
            zone: part.zone.as_ref().map(|zone| own(zone).into_owned().into()),
        };
        let inhibitor = |by: &InhibitorDef| Inhibited {
            on: by.on.as_ref().map(|on| texts(on).into_iter().map(Into::into).collect()),
            rule: own(&by.rule).into_owned().into(),
        };
        let body = Body {
            inhibited_by: self.inhibited_by.iter().map(inhibitor).collect(),
            max_instances: text(&self.max_instances),
            active: self.active.iter().map(active).collect(),
            flapping: self.flapping.as_ref().map(|flapping| match flapping {
                FlappingDef::Word(word) => Often::Word(own(word)),
                FlappingDef::Often { changes, within } => {
                    Often::Set { changes: changes.as_ref().map(own), within: within.as_ref().map(own) }
                }
            }),
            levels: self.levels.iter().map(level).collect(),
            times: text(&self.times),
            annotations: pairs(&self.annotations),
            clear: text(&self.clear),
            for_: text(&self.for_),
            forget: text(&self.forget),
            id: self.id.as_str().trim(),
            keep_firing_for: text(&self.keep_firing_for),
            key: self.key.as_ref().map(|key| key.iter().map(|column| column.as_str().trim()).collect()),
            labels: pairs(&self.labels),
            no_data: self.no_data.as_ref().map(|said| Silence {
                after: said.after.as_str().trim().into(),
                action: said.action.as_str().trim().into(),
            }),
            repeat: text(&self.repeat),
            severity: text(&self.severity),
            sql: self.sql.as_str().trim(),
            when: text(&self.when),
        };
        // Texts and lists of texts: nothing that writing could fail on.
        let body = serde_json::to_string(&body).unwrap_or_default();
        Item { kind: ItemKind::Rule, name: self.id.as_str().into(), body: body.into() }
    }
}

/// The body of a rule's item; the members stand in the order of their names.
#[derive(Serialize)]
struct Body<'a> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    active: Vec<Active<'a>>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<&'a str, &'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    clear: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    flapping: Option<Often<'a>>,
    #[serde(rename = "for", skip_serializing_if = "Option::is_none")]
    for_: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    forget: Option<&'a str>,
    id: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    inhibited_by: Vec<Inhibited<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    keep_firing_for: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<Vec<&'a str>>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    labels: BTreeMap<&'a str, &'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    levels: Vec<Level<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_instances: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    no_data: Option<Silence<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    repeat: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    severity: Option<&'a str>,
    sql: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    times: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    when: Option<&'a str>,
}

/// A level of a body.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Level<'a> {
    #[serde(borrow, default, skip_serializing_if = "Option::is_none", deserialize_with = "there")]
    clear: Option<Cow<'a, str>>,
    #[serde(borrow)]
    severity: Cow<'a, str>,
    #[serde(borrow)]
    when: Cow<'a, str>,
}

/// `flapping` of a body.
#[derive(Serialize, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
enum Often<'a> {
    Word(#[serde(borrow)] Cow<'a, str>),
    Set {
        #[serde(borrow, default, skip_serializing_if = "Option::is_none", deserialize_with = "there")]
        changes: Option<Cow<'a, str>>,
        #[serde(borrow, default, skip_serializing_if = "Option::is_none", deserialize_with = "there")]
        within: Option<Cow<'a, str>>,
    },
}

/// A part of `active` of a body.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Active<'a> {
    #[serde(borrow, default, skip_serializing_if = "Vec::is_empty")]
    dates: Vec<Cow<'a, str>>,
    #[serde(borrow, default, skip_serializing_if = "Vec::is_empty")]
    days: Vec<Cow<'a, str>>,
    #[serde(borrow, default, skip_serializing_if = "Vec::is_empty")]
    hours: Vec<Cow<'a, str>>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none", deserialize_with = "there")]
    zone: Option<Cow<'a, str>>,
}

/// A member of `inhibited_by` of a body.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Inhibited<'a> {
    #[serde(borrow, default, skip_serializing_if = "Option::is_none", deserialize_with = "there")]
    on: Option<Vec<Cow<'a, str>>>,
    #[serde(borrow)]
    rule: Cow<'a, str>,
}

/// `no_data` of a body.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Silence<'a> {
    #[serde(borrow)]
    after: Cow<'a, str>,
    #[serde(borrow, rename = "do")]
    action: Cow<'a, str>,
}

/// The same, to read. A member that is there is a text: null is none.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Read<'a> {
    #[serde(borrow, default)]
    active: Vec<Active<'a>>,
    #[serde(borrow, default)]
    annotations: BTreeMap<Cow<'a, str>, Cow<'a, str>>,
    #[serde(borrow, default, deserialize_with = "there")]
    clear: Option<Cow<'a, str>>,
    #[serde(borrow, default, deserialize_with = "there")]
    flapping: Option<Often<'a>>,
    #[serde(borrow, default, rename = "for", deserialize_with = "there")]
    for_: Option<Cow<'a, str>>,
    #[serde(borrow, default, deserialize_with = "there")]
    forget: Option<Cow<'a, str>>,
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow, default)]
    inhibited_by: Vec<Inhibited<'a>>,
    #[serde(borrow, default, deserialize_with = "there")]
    keep_firing_for: Option<Cow<'a, str>>,
    #[serde(borrow, default, deserialize_with = "there")]
    key: Option<Vec<Cow<'a, str>>>,
    #[serde(borrow, default)]
    labels: BTreeMap<Cow<'a, str>, Cow<'a, str>>,
    #[serde(borrow, default)]
    levels: Vec<Level<'a>>,
    #[serde(borrow, default, deserialize_with = "there")]
    max_instances: Option<Cow<'a, str>>,
    #[serde(borrow, default, deserialize_with = "there")]
    no_data: Option<Silence<'a>>,
    #[serde(borrow, default, deserialize_with = "there")]
    repeat: Option<Cow<'a, str>>,
    #[serde(borrow, default, deserialize_with = "there")]
    severity: Option<Cow<'a, str>>,
    #[serde(borrow)]
    sql: Cow<'a, str>,
    #[serde(borrow, default, deserialize_with = "there")]
    times: Option<Cow<'a, str>>,
    #[serde(borrow, default, deserialize_with = "there")]
    when: Option<Cow<'a, str>>,
}

fn there<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Option<T>, D::Error> {
    T::deserialize(from).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::file;

    #[test]
    fn a_body_is_read_as_its_json_is() {
        let bodies = [
            r#"{"annotations":{"b":"2","a":"\u0031"},"for":"5m","id":"r","key":["a"],"sql":"SELECT a FROM s","when":"a > 1"}"#,
            r#"{"id":"r","sql":"SELECT a FROM s","labels":{},"extra":"x"}"#,
            r#"{"id":"r","sql":"SELECT a FROM s","when":null}"#,
            r#"{"id":"r","sql":"SELECT a FROM s","for":5}"#,
            r#"{"id":"r r","sql":"SELECT a FROM s"}"#,
            r#"{"id":"r","sql":"x","sql":"SELECT a FROM s"}"#,
            r#"{"sql":"SELECT a FROM s"}"#,
            "{",
        ];
        for body in bodies {
            let item = Item { kind: ItemKind::Rule, name: "r".into(), body: body.into() };
            // The same in a file goes through the reader of files.
            let file = format!("{{\"rules\": [{body}]}}");
            match (RuleSetDef::from_items(&[item]), file::parse(&file)) {
                (Ok(one), Ok(other)) => assert_eq!(one.items(), other.items(), "{body}"),
                (Err(_), Err(_)) => {}
                // JSON lets the later of two members count; YAML does not.
                (Ok(_), Err(_)) if body.contains("\"x\",") => {}
                (one, other) => panic!("{body}: {one:?} {other:?}"),
            }
        }
    }
}
